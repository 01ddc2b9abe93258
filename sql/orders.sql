--
-- Several ordering operators on the indexed column: the first distance, then
-- the second, ..., then the TID.
--

-- Like ct_same, for a list of orderings ('<~> ''{1,2}''' and so on): the same
-- rows in the same order, and the same bits of each of the distances.
CREATE FUNCTION orders_same(tab text, orders text[], k integer DEFAULT NULL,
							filter text DEFAULT 'true', col text DEFAULT 'pt')
RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	sorted text := (SELECT string_agg(format('%s %s', col, o), ', ') FROM unnest(orders) AS o);
	stmt text;
	n bigint;
	bad bigint;
BEGIN
	FOR i IN 1 .. cardinality(orders) LOOP
		stmt := format('SELECT ctid, %s %s FROM %s WHERE %s ORDER BY %s', col, orders[i], tab, filter, sorted);
		SELECT count(*), count(*) FILTER (WHERE a.tid IS DISTINCT FROM s.tid
										  OR float8send(a.d) IS DISTINCT FROM float8send(s.d))
		INTO n, bad
		FROM ct_by_index(stmt || coalesce(' LIMIT ' || k, '')) WITH ORDINALITY AS a (tid, d, rn)
			FULL JOIN ct_by_sort(stmt || ', ctid' || coalesce(' LIMIT ' || k, ''))
			WITH ORDINALITY AS s (tid, d, rn) USING (rn);
		IF bad > 0 THEN
			RETURN format('%s of %s rows differ in distance %s', bad, n, i);
		END IF;
	END LOOP;
	RETURN format('ok, %s rows', n);
END;
$$;

-- A lattice: in one distance nearly every row ties with others.
CREATE TABLE ord (id integer, pt double precision[], pt4 real[], wide double precision[], p point);
INSERT INTO ord
	SELECT id, pt, pt::real[],
		(SELECT array_agg(pt[1 + j % 3] * (j % 2) ORDER BY j) FROM generate_series(1, 40) AS j),
		point(pt[1], pt[2])
	FROM ct_cloud('lattice', 3000, 3);
INSERT INTO ord SELECT -i FROM generate_series(1, 50) AS i;
CREATE INDEX ord_pt ON ord USING covertree (pt);
CREATE INDEX ord_pt4 ON ord USING covertree (pt4);
CREATE INDEX ord_wide ON ord USING covertree (wide);
CREATE INDEX ord_p ON ord USING covertree (p);
-- some come one by one, among them NULLs
INSERT INTO ord
	SELECT id, pt, pt::real[],
		(SELECT array_agg(pt[1 + j % 3] * (j % 2) ORDER BY j) FROM generate_series(1, 40) AS j),
		point(pt[1], pt[2])
	FROM ct_cloud('lattice', 1000, 3, 1);
INSERT INTO ord SELECT -i FROM generate_series(51, 100) AS i;
ANALYZE ord;
SELECT ct_check('ord');

EXPLAIN (COSTS OFF)
	SELECT id FROM ord ORDER BY pt <~> '{2,2,2}', pt <~> '{0,0,0}' LIMIT 5;
SELECT col, k, orders_same('ord', ARRAY['<~> ''{2,2,2}''', '<~> ''{0,0.5,0}'''], k, col => col)
	FROM unnest('{pt,pt4}'::text[]) AS col, unnest('{1,7,500,null}'::int[]) AS k;
SELECT k, orders_same('ord', ARRAY['<~> ''{2,2,2}''', '<~> ''{0,0,0}''::real[]', '<~> ''{4,0,0}''::int[]'], k)
	FROM unnest('{1,7,500,null}'::int[]) AS k;
SELECT k, orders_same('ord', ARRAY['<~> array_fill(2, ''{40}'')', '<~> array_fill(0.5, ''{40}'')'], k, col => 'wide')
	FROM unnest('{1,7,500,null}'::int[]) AS k;
SELECT k, a, b, orders_same('ord', ARRAY[a || ' ''(2,2)''', b || ' ''(0,1)'''], k, col => 'p')
	FROM unnest('{<~>,<->}'::text[]) AS a, unnest('{<~>,<->}'::text[]) AS b,
		unnest('{7,null}'::int[]) AS k;
-- the same place by two operators: their bits may differ
SELECT orders_same('ord', ARRAY['<~> ''(0.1,0.3)''', '<-> ''(0.1,0.3)'''], col => 'p'),
	orders_same('ord', ARRAY['<-> ''(0.1,0.3)''', '<~> ''(0.1,0.3)'''], col => 'p');
-- filters, and rows without a point
SELECT orders_same('ord', ARRAY['<~> ''{2,2,2}''', '<~> ''{0,0,0}'''], 50, 'id % 7 = 0'),
	orders_same('ord', ARRAY['<~> ''{2,2,2}''', '<~> ''{0,0,0}'''], NULL, 'id % 7 = 0'),
	orders_same('ord', ARRAY['<~> ''{2,2,2}''', '<~> ''{0,0,0}'''], NULL, 'pt IS NULL');
-- all rows tie in the first
SELECT k, orders_same('ord', ARRAY['<~> ''{2,2,2}''', '<~> ''{0,1,0}'''], k, 'pt = ''{1,2,3}'''),
	orders_same('ord', ARRAY['<~> ''{1e300,1e300,1e300}''', '<~> ''{0,1,0}'''], k)
	FROM unnest('{7,null}'::int[]) AS k;

-- A NULL operand orders nothing, wherever it stands.
PREPARE ord_q (double precision[], double precision[], double precision[]) AS
	SELECT ctid AS tid, pt <~> $1 AS a, pt <~> $2 AS b, pt <~> $3 AS c
	FROM ord ORDER BY pt <~> $1, pt <~> $2, pt <~> $3;
PREPARE ord_s (double precision[], double precision[], double precision[]) AS
	SELECT ctid AS tid, pt <~> $1 AS a, pt <~> $2 AS b, pt <~> $3 AS c
	FROM ord ORDER BY pt <~> $1, pt <~> $2, pt <~> $3, ctid;
SET plan_cache_mode = force_generic_plan;
DO $$
DECLARE
	args text;
	n bigint;
BEGIN
	FOREACH args IN ARRAY ARRAY[
		'NULL, ''{2,2,2}'', ''{0,1,0}''', '''{2,2,2}'', NULL, ''{0,1,0}''',
		'''{2,2,2}'', ''{0,1,0}'', NULL', 'NULL, NULL, ''{0,1,0}''',
		'NULL, ''{0,1,0}'', NULL', '''{0,1,0}'', NULL, NULL', 'NULL, NULL, NULL']
	LOOP
		SET enable_seqscan = off; SET enable_sort = off; SET enable_indexscan = on;
		EXECUTE 'CREATE TEMP TABLE by_index AS EXECUTE ord_q (' || args || ')';
		SET enable_indexscan = off; SET enable_sort = on; SET enable_seqscan = on;
		EXECUTE 'CREATE TEMP TABLE by_sort AS EXECUTE ord_s (' || args || ')';
		RESET enable_indexscan;
		SELECT count(*) FILTER (WHERE i IS DISTINCT FROM s) INTO n
			FROM (SELECT ctid AS rn, i FROM by_index AS i) AS i
				FULL JOIN (SELECT ctid AS rn, s FROM by_sort AS s) AS s USING (rn);
		IF n > 0 THEN
			RAISE WARNING '%: % rows differ', args, n;
		END IF;
		DROP TABLE by_index, by_sort;
	END LOOP;
END;
$$;
SET enable_seqscan = off;
SET enable_sort = off;
EXPLAIN (COSTS OFF) EXECUTE ord_q (NULL, NULL, '{0,1,0}');
DEALLOCATE ord_q;
DEALLOCATE ord_s;
RESET plan_cache_mode;

-- One scan, many queries.
SELECT count(*), count(*) FILTER (WHERE n.ids IS DISTINCT FROM s.ids) AS wrong
FROM ord AS q,
	LATERAL (SELECT array_agg(id) AS ids
			 FROM (SELECT id FROM ord ORDER BY pt <~> q.pt, pt <~> '{1,2,0}' LIMIT 9) AS x) AS n,
	LATERAL (SELECT array_agg(id) AS ids
			 FROM (SELECT id FROM ord ORDER BY (pt <~> q.pt) + 0, (pt <~> '{1,2,0}') + 0, ctid LIMIT 9) AS x) AS s
WHERE q.id % 100 = 1 AND q.pt IS NOT NULL;

-- What the index cannot order, or not all of it, is sorted.  (Servers differ in
-- whether they use it for a part.)
SELECT (SELECT array_agg(id) FROM
		(SELECT id FROM ord ORDER BY pt <~> '{2,2,2}', pt <~> '{0,0,0}' DESC, id LIMIT 20) AS a) =
	(SELECT array_agg(id) FROM
		(SELECT id FROM ord ORDER BY (pt <~> '{2,2,2}') + 0, (pt <~> '{0,0,0}') + 0 DESC, id LIMIT 20) AS a) AS same;
RESET enable_sort;
SELECT (SELECT array_agg(id) FROM
		(SELECT id FROM ord WHERE pt IS NOT NULL ORDER BY pt <~> '{2,2,2}' DESC, pt <~> '{0,0,0}', id LIMIT 20) AS a) =
	(SELECT array_agg(id) FROM
		(SELECT id FROM ord WHERE pt IS NOT NULL ORDER BY (pt <~> '{2,2,2}') + 0 DESC, (pt <~> '{0,0,0}') + 0, id LIMIT 20) AS a) AS same;
SELECT (SELECT array_agg(id) FROM
		(SELECT id FROM ord ORDER BY pt <~> '{2,2,2}', id DESC LIMIT 20) AS a) =
	(SELECT array_agg(id) FROM
		(SELECT id FROM ord ORDER BY (pt <~> '{2,2,2}') + 0, id DESC LIMIT 20) AS a) AS same;
RESET enable_seqscan;

-- Ties to the end.
SET enable_sort = off;
SELECT count(*), max(a), max(b) FROM
	(SELECT pt <~> '{2,2,2}' AS a, pt <~> '{0,1,0}' AS b FROM ord
	 ORDER BY pt <~> '{2,2,2}', pt <~> '{0,1,0}' FETCH FIRST 40 ROWS WITH TIES) AS x;
RESET enable_sort;
SELECT count(*), max(a), max(b) FROM
	(SELECT (pt <~> '{2,2,2}') + 0 AS a, (pt <~> '{0,1,0}') + 0 AS b FROM ord
	 ORDER BY 1, 2 FETCH FIRST 40 ROWS WITH TIES) AS x;

-- Errors name what is wrong with any of the operands.
SET enable_seqscan = off;
SELECT state, message FROM unnest(ARRAY[
	'''{1,2}''', '''{NaN,0,0}''', '''{}''']) AS q,
	ct_error('SELECT id FROM ord ORDER BY pt <~> ''{2,2,2}'', pt <~> ' || q || ' LIMIT 1');
SELECT state, message FROM
	ct_error('SELECT id FROM ord ORDER BY p <~> ''(0,0)'', p <-> ''(1e308,-1.7e308)'' LIMIT 1');
RESET enable_seqscan;

-- Residual correlation: rows at one place, and at places that mirror each other.
SELECT covertree_create_model('ord', kernel => 'matern32', lengthscale => '{2}',
	inducing => '{{2.1,2.1,2.1},{0.1,0.2,3.9}}') IS NOT NULL AS created;
SELECT covertree_create_model('ord_other', kernel => 'rbf', lengthscale => '{2}', inducing => NULL) IS NOT NULL AS created;
CREATE INDEX ord_residual ON ord USING covertree (pt float8_residual_ops (model = 'ord'));
CREATE INDEX ord_residual4 ON ord USING covertree (pt4 float4_residual_ops (model = 'ord')) WITH (strategy = spatial_proxy);
SELECT col, k, orders_same('ord', ARRAY['<~> residual_query(''ord'', ''{2,2,2}'')',
									 '<~> residual_query(''ord'', ''{0,1,0}'')'], k, col => col)
	FROM unnest('{pt,pt4}'::text[]) AS col, unnest('{7,500,null}'::int[]) AS k;
-- a query of another model, or another metric, is not for this index
SELECT (SELECT array_agg(id) FROM
		(SELECT id FROM ord WHERE pt IS NOT NULL ORDER BY pt <~> residual_query('ord', '{2,2,2}'),
			pt <~> residual_query('ord_other', '{0,1,0}'), id LIMIT 20) AS a) =
	(SELECT array_agg(id) FROM
		(SELECT id FROM ord WHERE pt IS NOT NULL ORDER BY (pt <~> residual_query('ord', '{2,2,2}')) + 0,
			(pt <~> residual_query('ord_other', '{0,1,0}')) + 0, id LIMIT 20) AS a) AS same;
SELECT (SELECT array_agg(id) FROM
		(SELECT id FROM ord WHERE pt IS NOT NULL ORDER BY pt <~> residual_query('ord', '{2,2,2}'),
			pt <~> '{0,1,0}', id LIMIT 20) AS a) =
	(SELECT array_agg(id) FROM
		(SELECT id FROM ord WHERE pt IS NOT NULL ORDER BY (pt <~> residual_query('ord', '{2,2,2}')) + 0,
			(pt <~> '{0,1,0}') + 0, id LIMIT 20) AS a) AS same;
DROP TABLE ord;
SELECT covertree_drop_model('ord'), covertree_drop_model('ord_other');
DROP FUNCTION orders_same;
