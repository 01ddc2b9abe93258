--
-- What a residual index refuses, when it is made, when rows come in and when
-- queries do; what becomes of it when its model goes; and the limits of what
-- it takes.  A statement that fails leaves the index whole.
--
SELECT covertree_create_model('rer', 'matern32', '{0.5}', (SELECT array_agg(pt) FROM ct_cloud('gauss', 20, 3, 3)));
SELECT covertree_create_model('rer_other', 'rbf', '{0.3}', (SELECT array_agg(pt) FROM ct_cloud('gauss', 10, 3, 5)));
SELECT covertree_create_model('rer_any', 'rbf', '{1}', NULL);
CREATE TABLE rer (id integer, pt double precision[], pt4 real[]);
CREATE INDEX rer_pt ON rer USING covertree (pt float8_residual_ops (model = 'rer'));
CREATE INDEX rer_pt4 ON rer USING covertree (pt4 float4_residual_ops (model = 'rer'));
INSERT INTO rer SELECT id, pt, pt FROM ct_cloud('gauss', 2000, 3);
INSERT INTO rer SELECT i, NULL, NULL FROM generate_series(1, 20) AS i;
SELECT ct_check('rer');

--
-- Making an index
--
SELECT def, e.* FROM unnest(ARRAY[
	'pt float8_residual_ops', 'pt float8_residual_ops (model = '''')',
	'pt float8_residual_ops (model = none)', 'pt4 float4_residual_ops (model = ''no such model'')',
	format('pt float8_residual_ops (model = %L)', repeat('m', 64)),
	'pt float8_residual_ops (model = rer, model = rer_other)',
	'pt float8_residual_ops (base = 2)', 'pt4 float8_residual_ops (model = rer)',
	'(pt::text) float8_residual_ops (model = rer)',
	'pt float8_residual_ops (model = rer)) WITH (strategy = euclidean',
	'pt float8_residual_ops (model = rer)) INCLUDE (id']) WITH ORDINALITY AS a (def, n),
	ct_error(format('CREATE INDEX ON rer USING covertree (%s)', def)) AS e ORDER BY n;

--
-- Rows and queries
--
CREATE TABLE rer_value (n serial, col text, value text);
INSERT INTO rer_value (col, value) VALUES
	('pt', '''{1,2,NaN}'''), ('pt', '''{1,Infinity,3}'''), ('pt', '''{1,NULL,3}'''), ('pt', '''{}'''),
	('pt', '''{{1,2,3}}'''), ('pt', '''{1,2}'''), ('pt', '''{1,2,3,4}'''), ('pt', 'array_fill(0::float8, ''{2001}'')'),
	('pt4', '''{1,2,NaN}'''), ('pt4', '''{-Infinity,2,3}'''), ('pt4', '''{1,NULL,3}'''), ('pt4', '''{1,2}''');
SELECT n, col, left(value, 30) AS value, e.*
	FROM rer_value, ct_error(format('INSERT INTO rer (id, %s) VALUES (0, %s)', col, value)) AS e ORDER BY n;
SELECT n, col, left(value, 30) AS value, e.state, e.message
	FROM rer_value, ct_error(format('UPDATE rer SET %s = %s WHERE id = 5', col, value)) AS e ORDER BY n;
DO $$
DECLARE
	v record;
BEGIN
	FOR v IN SELECT * FROM rer_value ORDER BY n LOOP
		CREATE TABLE rer_build (pt double precision[], pt4 real[]);
		EXECUTE format('INSERT INTO rer_build (%s) VALUES (%s)', v.col, '''{1,2,3}''');
		EXECUTE format('INSERT INTO rer_build (%s) VALUES (%s)', v.col, v.value);
		RAISE NOTICE '%: %', v.n,
			(SELECT concat_ws(' | ', state, message, nullif(detail, ''), nullif(hint, ''))
			 FROM ct_error(format('CREATE INDEX ON rer_build USING covertree (%s %s_residual_ops (model = rer))', v.col,
								  CASE v.col WHEN 'pt' THEN 'float8' ELSE 'float4' END)));
		DROP TABLE rer_build;
	END LOOP;
END;
$$;
-- the first row is of another dimension than the model, with rows and without
CREATE TABLE rer_two (id integer, pt double precision[]);
CREATE INDEX rer_two_pt ON rer_two USING covertree (pt float8_residual_ops (model = 'rer'));
SELECT * FROM ct_error($$INSERT INTO rer_two VALUES (1, '{1,2}')$$);
INSERT INTO rer_two VALUES (1, NULL);
SELECT ct_check('rer_two'), ct_same('rer_two', $$residual_query('rer', '{1,2,3}')$$);
DROP INDEX rer_two_pt;
INSERT INTO rer_two VALUES (1, '{1,2}');
SELECT * FROM ct_error($$CREATE INDEX ON rer_two USING covertree (pt float8_residual_ops (model = 'rer'))$$);
DROP TABLE rer_two;
-- queries: each is refused, whether residual_query() does or the scan; that of no
-- model by the scan, unless the planner knows it and may do without the index
SET enable_seqscan = off;
SET enable_sort = off;
SELECT q, e.state, e.message, e.detail FROM unnest(ARRAY[
	$$pt <~> residual_query('rer', '{1,2}')$$, $$pt <~> residual_query('rer', '{1,2,NaN}')$$,
	$$pt <~> residual_query('rer', '{1,2,Infinity}')$$, $$pt <~> residual_query('rer', '{1,NULL,3}')$$,
	$$pt4 <~> residual_query('rer', '{}')$$, $$pt4 <~> residual_query('none', '{1,2,3}')$$,
	$$pt <~> 'rer {1,2}'$$, $$pt <~> (SELECT residual_query 'rer {1,2,3} @00000000000000000000000000000000' OFFSET 0)$$,
	$$pt <-> residual_query('rer', '{1,2,3}')$$]) WITH ORDINALITY AS a (q, n),
	ct_error(format('SELECT id FROM rer ORDER BY %s LIMIT 1', q)) AS e ORDER BY n;
SELECT state IN ('55000', '42704') AS refused
	FROM ct_error($$SELECT id FROM rer ORDER BY pt <~> residual_query 'rer {1,2,3} @00000000000000000000000000000000' LIMIT 1$$);
RESET enable_seqscan;
RESET enable_sort;
-- no row, no distance: a query of the wrong dimension is an error all the same
CREATE TABLE rer_empty (id integer, pt double precision[]);
CREATE INDEX rer_empty_pt ON rer_empty USING covertree (pt float8_residual_ops (model = 'rer_any'));
SELECT ct_same('rer_empty', $$residual_query('rer_any', '{1,2}')$$);
INSERT INTO rer_empty SELECT id, pt FROM ct_cloud('gauss', 300, 2);
SELECT ct_same('rer_empty', $$residual_query('rer_any', '{1,2}')$$);
SELECT * FROM ct_error($$SELECT ct_same('rer_empty', 'residual_query(''rer_any'', ''{1,2,3}'')')$$);
SELECT ct_check('rer_empty');
DROP TABLE rer_empty;

-- NULL rows and NULL queries
SELECT ct_same('rer', '(SELECT NULL::residual_query)'), ct_same('rer', '(SELECT NULL::residual_query)', 10, 'id <= 40'),
	ct_same('rer', $$residual_query('rer', '{1,2,3}')$$, NULL, 'id <= 40');

-- All of it left the indexes whole.
SELECT count(*) FROM rer;
SELECT ct_check('rer'), ct_same('rer', $$residual_query('rer', '{0.1,0.2,0.3}')$$),
	ct_same('rer', $$residual_query('rer', '{0.1,0.2,0.3}')$$, col => 'pt4');

--
-- Queries of other models
--
-- one index for each of two models: constants choose the right one
CREATE INDEX rer_pt_other ON rer USING covertree (pt float8_residual_ops (model = 'rer_other'));
ANALYZE rer;
SET enable_sort = off;
EXPLAIN (COSTS OFF) SELECT id FROM rer ORDER BY pt <~> residual_query('rer', '{1,2,3}') LIMIT 5;
EXPLAIN (COSTS OFF) SELECT id FROM rer ORDER BY pt <~> residual_query('rer_other', '{1,2,3}') LIMIT 5;
-- who cannot know the model takes either of them
SELECT regexp_replace(plan, 'rer_pt(_other)?', 'rer_pt...') AS plan
	FROM ct_plan($$SELECT id FROM rer ORDER BY pt <~> (SELECT residual_query('rer_other', '{1,2,3}') OFFSET 0) LIMIT 5$$) AS plan;
-- an index of no use at all is not used
SELECT * FROM ct_plan($$SELECT id FROM rer ORDER BY pt <~> residual_query('rer_any', '{1,2,3}') LIMIT 5$$) AS plan;
SELECT * FROM ct_plan($$SELECT id FROM rer ORDER BY pt4 <~> residual_query('rer_other', '{1,2,3}') LIMIT 5$$) AS plan;
SELECT ct_same('rer', $$residual_query('rer', '{1,2,3}')$$), ct_same('rer', $$residual_query('rer_other', '{1,2,3}')$$);
-- with parameters: a custom plan knows the model; a generic one does not, and
-- the scan gives the right answer or an error, never a wrong answer
CREATE TABLE rer_expected AS SELECT m, array_agg(s.tid) AS tids FROM unnest('{rer,rer_other,rer_any}'::text[]) AS m,
	ct_by_sort(format('SELECT ctid, pt <~> residual_query(%L, ''{1,2,3}'') AS d FROM rer ORDER BY d, ctid LIMIT 5', m)) AS s GROUP BY m;
PREPARE rer_near (text, float8[]) AS
	SELECT array_agg(ctid) FROM (SELECT ctid FROM rer ORDER BY pt <~> residual_query($1, $2) LIMIT 5) AS s;
CREATE FUNCTION rer_outcome(model text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	got tid[];
BEGIN
	EXECUTE format('EXECUTE rer_near (%L, ''{1,2,3}'')', model) INTO got;
	RETURN CASE WHEN got = tids THEN 'right' ELSE format('WRONG: %s, not %s', got, tids) END FROM rer_expected WHERE m = model;
EXCEPTION WHEN object_not_in_prerequisite_state THEN
	RETURN regexp_replace(SQLERRM, 'rer_pt(_other)?"', '..."');
END;
$$;
SET plan_cache_mode = force_custom_plan;
SELECT m, rer_outcome(m) FROM unnest('{rer,rer_other,rer_any}'::text[]) AS m;
SET plan_cache_mode = force_generic_plan;
SELECT count(*) FILTER (WHERE rer_outcome(m) = 'right') >= 1 AS right_one,
	count(*) FILTER (WHERE rer_outcome(m) !~ 'right|cannot answer') AS wrong
	FROM unnest('{rer,rer_other,rer_any}'::text[]) AS m;
DROP INDEX rer_pt_other;
SELECT m, rer_outcome(m) FROM unnest('{rer,rer_other,rer_any}'::text[]) AS m;
SELECT * FROM ct_error($$EXECUTE rer_near ('rer_other', '{1,2,3}')$$);
-- as the hint says
RESET enable_sort;
SET enable_indexscan = off;
DEALLOCATE rer_near;
PREPARE rer_near (text, float8[]) AS
	SELECT array_agg(ctid) FROM (SELECT ctid FROM rer ORDER BY pt <~> residual_query($1, $2) LIMIT 5) AS s;
SELECT m, rer_outcome(m) FROM unnest('{rer,rer_other,rer_any}'::text[]) AS m;
RESET enable_indexscan;
RESET plan_cache_mode;
DEALLOCATE rer_near;
-- a model of another name with the same content is the same model
SELECT covertree_create_model('rer_same', 'matern32', '{0.5}', (SELECT array_agg(pt) FROM ct_cloud('gauss', 20, 3, 3)));
SELECT ct_same('rer', $$residual_query('rer_same', '{1,2,3}')$$);
SELECT covertree_drop_model('rer_same');

--
-- The model goes
--
-- queries by name, by text and by content; an index keeps its model
SET enable_seqscan = off;
SET plan_cache_mode = force_generic_plan;
CREATE TABLE rer_kept AS SELECT residual_query('rer', '{1,2,3}') AS q;
PREPARE rer_name (text) AS SELECT array_agg(id) FROM (SELECT id FROM rer ORDER BY pt <~> residual_query($1, '{1,2,3}') LIMIT 3) AS s;
PREPARE rer_query (residual_query) AS SELECT array_agg(id) FROM (SELECT id FROM rer ORDER BY pt <~> $1 LIMIT 3) AS s;
PREPARE rer_stored AS SELECT array_agg(id) FROM (SELECT id FROM rer ORDER BY pt <~> (SELECT q FROM rer_kept) LIMIT 3) AS s;
EXECUTE rer_name ('rer');
EXECUTE rer_query ('rer {1,2,3}');
EXECUTE rer_stored;
SELECT * FROM ct_error($$SELECT covertree_drop_model('rer')$$);
-- between planning and execution: with the last index, for it must go first
BEGIN;
DROP INDEX rer_pt, rer_pt4;
SELECT covertree_drop_model('rer');
SELECT e.state, e.message, e.detail FROM unnest(ARRAY['rer_name (''rer'')', 'rer_query (''rer {1,2,3}'')']) WITH ORDINALITY AS a (s, n),
	ct_error('EXECUTE ' || s) AS e ORDER BY n;
ROLLBACK;
EXECUTE rer_name ('rer');
EXECUTE rer_query ('rer {1,2,3}');
EXECUTE rer_stored;
-- by hand, behind the extension's back: the index embeds the model, so in a
-- session that has never seen it, stored queries are answered and rows come in
CREATE TABLE rer_model AS SELECT * FROM covertree_model WHERE name = 'rer';
DELETE FROM covertree_model WHERE name = 'rer';
\c -
SELECT * FROM ct_error($$SELECT id FROM rer ORDER BY pt <~> residual_query('rer', '{1,2,3}') LIMIT 1$$);
SELECT ct_check('rer'), ct_same('rer', '(SELECT q FROM rer_kept)'), ct_same('rer', '(SELECT q FROM rer_kept)', col => 'pt4');
INSERT INTO rer SELECT 10000 + id, pt, pt FROM ct_cloud('gauss', 500, 3, 1);
DELETE FROM rer WHERE id % 5 = 0;
VACUUM rer;
SELECT ct_check('rer'), ct_same('rer', '(SELECT q FROM rer_kept)'), ct_same('rer', '(SELECT q FROM rer_kept)', col => 'pt4');
-- what needs the table says so
SELECT * FROM ct_error($$REINDEX INDEX rer_pt$$);
SELECT * FROM ct_error($$CREATE INDEX ON rer USING covertree (pt float8_residual_ops (model = 'rer'))$$);
SELECT ct_check('rer'), ct_same('rer', '(SELECT q FROM rer_kept)');
-- another model of that name is not taken for it before REINDEX
SELECT covertree_create_model('rer', 'rbf', '{1}', NULL);
SET enable_seqscan = off;
SET enable_sort = off;
SELECT * FROM ct_error($$SELECT id FROM rer ORDER BY pt <~> (SELECT residual_query('rer', '{1,2,3}') OFFSET 0) LIMIT 1$$);
RESET enable_seqscan;
RESET enable_sort;
-- (a planner that knows the model may do without the index)
SELECT state IN ('55000', 'P0001') AS refused FROM ct_error($$SELECT ct_same('rer', 'residual_query(''rer'', ''{1,2,3}'')')$$);
SELECT ct_same('rer', '(SELECT q FROM rer_kept)');
REINDEX INDEX rer_pt;
SELECT ct_check('rer'), ct_same('rer', $$residual_query('rer', '{1,2,3}')$$);
SELECT * FROM ct_error($$SELECT ct_same('rer', '(SELECT q FROM rer_kept)')$$);
-- the same model, come back
DELETE FROM covertree_model WHERE name = 'rer';
SELECT covertree_create_model('rer', 'matern32', '{0.5}', (SELECT array_agg(pt) FROM ct_cloud('gauss', 20, 3, 3)));
SELECT m.fingerprint = k.fingerprint AS same, m.factor = k.factor AS same FROM covertree_model AS m JOIN rer_model AS k USING (name);
REINDEX TABLE rer;
SELECT ct_check('rer'), ct_same('rer', '(SELECT q FROM rer_kept)'), ct_same('rer', $$residual_query('rer', '{1,2,3}')$$, col => 'pt4');
DROP TABLE rer_kept, rer_model;

-- dropped and made again, with the index gone in between
DROP INDEX rer_pt, rer_pt4;
SELECT covertree_drop_model('rer');
SELECT covertree_create_model('rer', 'matern52', '{0.4}', NULL);
CREATE INDEX rer_pt ON rer USING covertree (pt float8_residual_ops (model = 'rer'));
SELECT ct_check('rer'), ct_same('rer', $$residual_query('rer', '{1,2,3}')$$);
DROP TABLE rer, rer_value, rer_expected;
DROP FUNCTION rer_outcome;

--
-- Limits
--
CREATE FUNCTION rer_try(tab text, shape text, dims integer, m integer, n integer, options text, strategy text,
						kernel text DEFAULT 'matern52')
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	r text;
BEGIN
	EXECUTE format('CREATE TABLE %s AS SELECT * FROM ct_cloud(%L, %s, %s)', tab, shape, n, dims);
	EXECUTE format('SELECT covertree_create_model(%L, %L, ''{0.5}'', (SELECT array_agg(pt) FROM ct_cloud(%L, %s, %s, 9)) %s)',
				   tab, kernel, shape, m, dims, options);
	EXECUTE format('CREATE INDEX %s_pt ON %1$s USING covertree (pt float8_residual_ops (model = %1$L)) WITH (strategy = %2$s)', tab, strategy);
	r := concat_ws(', ', ct_check(tab), ct_same(tab, format('residual_query(%L, ct_point(%L, 7, 1, %s))', tab, shape, dims)));
	EXECUTE format('INSERT INTO %s SELECT %s + id, pt FROM ct_cloud(%L, 20, %s, 4)', tab, n, shape, dims);
	r := concat_ws(', ', r, ct_check(tab), ct_same(tab, format('residual_query(%L, ct_point(%L, 7, 1, %s))', tab, shape, dims)));
	EXECUTE format('DROP TABLE %s', tab);
	PERFORM covertree_drop_model(tab);
	RETURN r;
END;
$$;
-- records that fit on a page, that take one and a bit, and a whole group
SELECT dims, m, rer_try('rer_l', 'gauss', dims, m, 100, '', 'exact_metric'), rer_try('rer_l', 'gauss', dims, m, 100, '', 'spatial_proxy')
	FROM (VALUES (3, 0), (3, 1), (3, 330), (3, 500), (3, 1007), (3, 1008), (3, 1500), (3, 2000), (400, 200)) AS v (dims, m);
SELECT rer_try('rer_l', 'gauss', 3, 3000, 20, '', 'exact_metric');
SELECT * FROM ct_error($$SELECT covertree_create_model('rer_l', 'rbf', '{1}', array_fill(1, '{3001,1}'))$$);
-- dimensions and inducing points together: the last that fit, and one more
SELECT count(covertree_create_model('rer_' || m, 'rbf', '{1}', array_fill(0, ARRAY[m, 2000]))::text) FROM unnest('{2043,2044}'::int[]) AS m;
CREATE TABLE rer_wide (id integer, pt double precision[]);
CREATE INDEX rer_wide_pt ON rer_wide USING covertree (pt float8_residual_ops (model = 'rer_2044'));
SELECT * FROM ct_error($$INSERT INTO rer_wide VALUES (0, array_fill(1, '{2000}'))$$);
DROP INDEX rer_wide_pt;
CREATE INDEX rer_wide_pt ON rer_wide USING covertree (pt float8_residual_ops (model = 'rer_2043'));
INSERT INTO rer_wide SELECT i, array_fill(i / 2000::float8, '{2000}') FROM generate_series(0, 20) AS i;
SELECT ct_check('rer_wide'), ct_same('rer_wide', $$residual_query('rer_2043', array_fill(1 / 200::float8, '{2000}'))$$);
REINDEX INDEX rer_wide_pt;
SELECT ct_check('rer_wide'), ct_same('rer_wide', $$residual_query('rer_2043', array_fill(1 / 200::float8, '{2000}'))$$);
DROP INDEX rer_wide_pt;
SELECT * FROM ct_error($$CREATE INDEX ON rer_wide USING covertree (pt float8_residual_ops (model = 'rer_2044'))$$);
DROP TABLE rer_wide;

-- few rows, inserted: leaves that have no basis yet
SELECT covertree_create_model('rer_few', 'rbf', '{1}', '{{0}}', jitter => 1e-10);
CREATE TABLE rer_few (id integer, pt double precision[]);
CREATE INDEX rer_few_pt ON rer_few USING covertree (pt float8_residual_ops (model = 'rer_few'));
INSERT INTO rer_few SELECT i, ARRAY[i / 100::float8] FROM generate_series(0, 20) AS i;
SELECT ct_check('rer_few'), ct_same('rer_few', $$residual_query('rer_few', '{0.1}')$$);
DROP TABLE rer_few;

-- rows at one place, or at few: built and inserted in seconds
SET statement_timeout = '60s';
CREATE FUNCTION rer_copies(n integer, inserted integer, places integer, nugget double precision, strategy text)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	query text := $q$residual_query('rer_copies', '{0.3,0.2}')$q$;
	began timestamptz := clock_timestamp();
	r text;
BEGIN
	PERFORM covertree_create_model('rer_copies', 'rbf', '{0.5}', '{{0,0},{1,1},{0,1}}', nugget => nugget);
	CREATE TABLE rer_copies AS SELECT i AS id, ARRAY[0.1 * (i % places), 0.2]::float8[] AS pt FROM generate_series(1, n) AS i;
	EXECUTE format('CREATE INDEX rer_copies_pt ON rer_copies USING covertree (pt float8_residual_ops (model = rer_copies)) WITH (strategy = %s)', strategy);
	INSERT INTO rer_copies SELECT n + i, ARRAY[0.1 * (i % places), 0.2]::float8[] FROM generate_series(1, inserted) AS i;
	r := concat_ws(', ', ct_check('rer_copies'), ct_same('rer_copies', query), ct_same('rer_copies', query, 10),
		ct_same('rer_copies', $q$residual_query('rer_copies', '{0,0.2}')$q$, 10));
	r := concat_ws(', ', r, (SELECT CASE WHEN height < 6 THEN 'flat' ELSE format('height %s', height) END FROM covertree_stats('rer_copies_pt')),
		CASE WHEN clock_timestamp() - began > '30s' THEN 'SLOW: ' || clock_timestamp() - began END);
	DROP TABLE rer_copies;
	PERFORM covertree_drop_model('rer_copies');
	RETURN r;
END;
$$;
SELECT places, nugget, strategy, rer_copies(20000, 2000, places, nugget, strategy)
	FROM unnest('{exact_metric,spatial_proxy}'::text[]) AS strategy, unnest('{0,0.01}'::float8[]) AS nugget, unnest('{1,10}'::int[]) AS places;
SELECT nugget, strategy, rer_copies(0, 5000, 1, nugget, strategy)
	FROM unnest('{exact_metric,spatial_proxy}'::text[]) AS strategy, unnest('{0,0.01}'::float8[]) AS nugget;
RESET statement_timeout;

-- residual variance at its floor: rows on inducing points, without jitter
SELECT covertree_create_model('rer_floor', 'rbf', '{1}', (SELECT array_agg(pt) FROM (SELECT pt FROM ct_cloud('uniform', 12, 2) LIMIT 12) AS s), jitter => 0);
CREATE TABLE rer_floor AS SELECT id % 1000 AS id, pt FROM ct_cloud('uniform', 500, 2);
INSERT INTO rer_floor SELECT -id, pt FROM ct_cloud('uniform', 12, 2), generate_series(1, 20);
SELECT min(covertree_residual_variance('rer_floor', pt)) <= 1.001e-12 AS floor, min(covertree_residual_variance('rer_floor', pt)) > 0 AS positive FROM rer_floor;
CREATE INDEX rer_floor_pt ON rer_floor USING covertree (pt float8_residual_ops (model = 'rer_floor'));
SELECT ct_check('rer_floor'), ct_same('rer_floor', 'residual_query(''rer_floor'', ct_point(''uniform'', 0, 3, 2))'),
	ct_same('rer_floor', 'residual_query(''rer_floor'', ct_point(''uniform'', 0, 100, 2))', 30), ct_same('rer_floor', 'residual_query(''rer_floor'', ''{0.5,0.5}'')');
INSERT INTO rer_floor SELECT id, ARRAY[pt[1] + 1e-9 * id, pt[2]] FROM ct_cloud('uniform', 12, 2);
INSERT INTO rer_floor SELECT id, pt FROM ct_cloud('uniform', 500, 2);
SELECT ct_check('rer_floor'), ct_same('rer_floor', 'residual_query(''rer_floor'', ct_point(''uniform'', 0, 3, 2))'),
	ct_same('rer_floor', 'residual_query(''rer_floor'', ct_point(''uniform'', 0, 100, 2))', 30), ct_same('rer_floor', 'residual_query(''rer_floor'', ''{0.5,0.5}'')');
DROP TABLE rer_floor;

-- very far away: a row correlated with nothing, and queries from there
SELECT covertree_create_model('rer_far', 'matern32', '{0.01}', '{{0,0},{0.5,0.5}}');
CREATE TABLE rer_far AS SELECT * FROM ct_cloud('uniform', 1000, 2);
CREATE INDEX rer_far_pt ON rer_far USING covertree (pt float8_residual_ops (model = 'rer_far')) WITH (strategy = spatial_proxy);
INSERT INTO rer_far VALUES (1001, '{1e6,1e6}'), (1002, '{-1e300,1e300}'), (1003, '{1e6,1e6}'), (1004, '{1.7976931348623157e308,0}');
CREATE INDEX rer_far_pt2 ON rer_far USING covertree (pt float8_residual_ops (model = 'rer_far'));
SELECT ct_check('rer_far');
SELECT q, ct_same('rer_far', format('residual_query(''rer_far'', %L)', q)), ct_same('rer_far', format('residual_query(''rer_far'', %L)', q), 5)
	FROM unnest('{"{1e6,1e6}","{1e8,-1e8}","{1e300,-1e300}","{0.3,0.3}","{1.7976931348623157e308,0}"}'::text[]) AS q;
SELECT id, pt <~> residual_query('rer_far', '{1e6,1e6}') AS d FROM rer_far ORDER BY pt <~> residual_query('rer_far', '{1e6,1e6}') LIMIT 3;
DROP TABLE rer_far;

-- places so near to each other that the squares of their differences vanish
SELECT covertree_create_model('rer_near', 'rbf', '{1}', '{{0.3}}');
CREATE TABLE rer_near AS SELECT i AS id, ARRAY[i * 2.0::float8 ^ (-700)] AS pt FROM generate_series(1, 500) AS i;
CREATE INDEX rer_near_pt ON rer_near USING covertree (pt float8_residual_ops (model = 'rer_near'));
SELECT ct_check('rer_near'), ct_same('rer_near', 'residual_query(''rer_near'', ''{0.2}'')'), ct_same('rer_near', 'residual_query(''rer_near'', ''{0}'')', 7);
DROP TABLE rer_near;

DROP FUNCTION rer_try, rer_copies;
SELECT count(covertree_drop_model(name)::text) FROM covertree_model WHERE name LIKE 'rer%';
