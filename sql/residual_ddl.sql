--
-- Residual indexes with whatever else the server does to tables and indexes:
-- options and REINDEX, concurrent builds, unlogged and temporary tables,
-- partitions, expressions, conditions; and ways to ask.
--
SELECT covertree_create_model('rdd', 'matern52', '{0.5,0.7,0.6}', (SELECT array_agg(pt) FROM ct_cloud('gauss', 25, 3, 3)));
SELECT covertree_create_model('rdd_2', 'rbf', '{0.4}', (SELECT array_agg(pt) FROM ct_cloud('gauss', 10, 2, 3)), nugget => 0.01);
SET enable_seqscan = off;
SET enable_sort = off;
CREATE TABLE rdd (id integer, pt double precision[], tag text) WITH (autovacuum_enabled = off);
INSERT INTO rdd SELECT id, pt, 'tag ' || id % 10 FROM ct_cloud('gauss', 2500, 3);
INSERT INTO rdd SELECT -i, NULL, 'tag 0' FROM generate_series(1, 20) AS i;

-- options: they take effect with REINDEX
CREATE INDEX rdd_pt ON rdd USING covertree (pt float8_residual_ops (model = 'rdd'));
SELECT pg_get_indexdef('rdd_pt'::regclass);
ALTER INDEX rdd_pt SET (strategy = spatial_proxy, base = 1.5);
SELECT strategy, base FROM covertree_stats('rdd_pt');
INSERT INTO rdd SELECT 3000 + id, pt, 'new' FROM ct_cloud('gauss', 500, 3, 1);
SELECT ct_check('rdd'), ct_same('rdd', $$residual_query('rdd', '{0.1,0.2,0.3}')$$);
REINDEX INDEX rdd_pt;
SELECT strategy, base FROM covertree_stats('rdd_pt');
INSERT INTO rdd SELECT 4000 + id, pt, 'new' FROM ct_cloud('gauss', 500, 3, 2);
DELETE FROM rdd WHERE id % 5 = 1;
VACUUM (INDEX_CLEANUP ON) rdd;
SELECT ct_check('rdd'), ct_same('rdd', $$residual_query('rdd', '{0.1,0.2,0.3}')$$);
ALTER INDEX rdd_pt RESET (strategy, base);
REINDEX INDEX CONCURRENTLY rdd_pt;
SELECT strategy, base FROM covertree_stats('rdd_pt');
SELECT ct_check('rdd'), ct_same('rdd', $$residual_query('rdd', '{0.1,0.2,0.3}')$$);
CREATE INDEX CONCURRENTLY rdd_pt2 ON rdd USING covertree (pt float8_residual_ops (model = 'rdd')) WITH (strategy = spatial_proxy);
DROP INDEX CONCURRENTLY rdd_pt;
SELECT ct_check('rdd'), ct_same('rdd', $$residual_query('rdd', '{0.1,0.2,0.3}')$$);
-- one that fails leaves an invalid index, which REINDEX repairs
CREATE TABLE rdd_short (pt double precision[]);
INSERT INTO rdd_short VALUES ('{1,2,3}'), ('{1,2}');
CREATE INDEX CONCURRENTLY rdd_short_pt ON rdd_short USING covertree (pt float8_residual_ops (model = 'rdd'));
SELECT indisvalid FROM pg_index WHERE indexrelid = 'rdd_short_pt'::regclass;
DELETE FROM rdd_short WHERE cardinality(pt) = 2;
REINDEX INDEX CONCURRENTLY rdd_short_pt;
SELECT ct_check('rdd_short'), ct_same('rdd_short', $$residual_query('rdd', '{1,2,3}')$$);
DROP TABLE rdd_short;
-- a rewrite of the table, and another column type
CLUSTER rdd USING rdd_pt2;
VACUUM FULL rdd;
SELECT ct_check('rdd'), ct_same('rdd', $$residual_query('rdd', '{0.1,0.2,0.3}')$$);
SELECT * FROM ct_error('ALTER TABLE rdd ALTER COLUMN pt TYPE real[]');
DROP INDEX rdd_pt2;
CREATE INDEX rdd_pt ON rdd USING covertree ((pt::real[]) float4_residual_ops (model = 'rdd'));
SELECT ct_check('rdd'), ct_same('rdd', $$residual_query('rdd', '{0.1,0.2,0.3}')$$, col => 'pt::real[]');
DROP INDEX rdd_pt;
CREATE INDEX rdd_pt ON rdd USING covertree (pt float8_residual_ops (model = 'rdd'));
TRUNCATE rdd;
SELECT ct_check('rdd'), ct_same('rdd', $$residual_query('rdd', '{0.1,0.2,0.3}')$$);
INSERT INTO rdd SELECT id, pt, 'tag ' || id % 10 FROM ct_cloud('gauss', 2000, 3);
BEGIN;
SAVEPOINT a;
INSERT INTO rdd SELECT 20000 + id, pt FROM ct_cloud('gauss', 1000, 3, 2);
SELECT ct_same('rdd', $$residual_query('rdd', '{0.1,0.2,0.3}')$$);
ROLLBACK TO a;
INSERT INTO rdd SELECT 30000 + id, pt FROM ct_cloud('gauss', 50, 3, 3);
COMMIT;
SELECT ct_check('rdd'), ct_same('rdd', $$residual_query('rdd', '{0.1,0.2,0.3}')$$);

-- conditions and expressions
CREATE INDEX rdd_tag ON rdd USING covertree (pt float8_residual_ops (model = 'rdd')) WHERE tag = 'tag 3';
DROP INDEX rdd_pt;
SELECT ct_check('rdd'), ct_same('rdd', $$residual_query('rdd', '{0.1,0.2,0.3}')$$, NULL, 'tag = ''tag 3''');
UPDATE rdd SET tag = 'tag 3' WHERE id % 7 = 4;
UPDATE rdd SET tag = 'tag 4' WHERE id % 14 = 3;
SELECT ct_check('rdd'), ct_same('rdd', $$residual_query('rdd', '{0.1,0.2,0.3}')$$, NULL, 'tag = ''tag 3''');
DROP INDEX rdd_tag;
CREATE TABLE rdd_xy (id integer, x double precision, y double precision);
INSERT INTO rdd_xy SELECT id, pt[1], pt[2] FROM ct_cloud('gauss', 1000, 2);
CREATE INDEX rdd_xy_pt ON rdd_xy USING covertree ((ARRAY[x, y]) float8_residual_ops (model = 'rdd_2'));
EXPLAIN (COSTS OFF) SELECT id FROM rdd_xy ORDER BY ARRAY[x, y] <~> residual_query('rdd_2', '{0.1,0.2}') LIMIT 5;
SELECT ct_check('rdd_xy'), ct_same('rdd_xy', $$residual_query('rdd_2', '{0.1,0.2}')$$, col => 'ARRAY[x, y]');
UPDATE rdd_xy SET x = -x WHERE id % 2 = 0;
SELECT ct_check('rdd_xy'), ct_same('rdd_xy', $$residual_query('rdd_2', '{0.1,0.2}')$$, col => 'ARRAY[x, y]');
DROP TABLE rdd_xy;

-- HOT updates, and an index built over chains that are broken
CREATE TABLE rdd_hot (id integer, pt double precision[], n integer) WITH (fillfactor = 30, autovacuum_enabled = off);
INSERT INTO rdd_hot SELECT id, pt, 0 FROM ct_cloud('gauss', 500, 3);
CREATE INDEX rdd_hot_pt ON rdd_hot USING covertree (pt float8_residual_ops (model = 'rdd'));
UPDATE rdd_hot SET n = n + 1;
SELECT ct_check('rdd_hot'), ct_same('rdd_hot', $$residual_query('rdd', '{0.1,0.2,0.3}')$$);
BEGIN;
UPDATE rdd_hot SET n = n + 1 WHERE id % 3 = 0;
REINDEX INDEX rdd_hot_pt;
COMMIT;
SELECT ct_check('rdd_hot'), ct_same('rdd_hot', $$residual_query('rdd', '{0.1,0.2,0.3}')$$, 20, 'n = 2');
DROP TABLE rdd_hot;

--
-- Unlogged and temporary
--
CREATE UNLOGGED TABLE rdd_unl (id integer, pt real[]);
CREATE INDEX rdd_unl_pt ON rdd_unl USING covertree (pt float4_residual_ops (model = 'rdd'));
CREATE TEMP TABLE rdd_tmp (id integer, pt double precision[]);
CREATE INDEX rdd_tmp_pt ON rdd_tmp USING covertree (pt float8_residual_ops (model = 'rdd')) WITH (strategy = spatial_proxy);
SELECT t, ct_same(t, $$residual_query('rdd', '{0.1,0.2,0.3}')$$) FROM unnest('{rdd_unl,rdd_tmp}'::text[]) AS t;
INSERT INTO rdd_unl SELECT * FROM ct_cloud('gauss', 1000, 3);
INSERT INTO rdd_tmp SELECT * FROM ct_cloud('gauss', 1000, 3);
DELETE FROM rdd_unl WHERE id % 2 = 0;
DELETE FROM rdd_tmp WHERE id % 2 = 0;
VACUUM (INDEX_CLEANUP ON) rdd_unl;
VACUUM (INDEX_CLEANUP ON) rdd_tmp;
INSERT INTO rdd_unl SELECT * FROM ct_cloud('gauss', 500, 3, 1);
INSERT INTO rdd_tmp SELECT * FROM ct_cloud('lattice', 500, 3, 1);
SELECT t, ct_check(t::regclass), ct_same(t, $$residual_query('rdd', '{0.1,0.2,0.3}')$$) FROM unnest('{rdd_unl,rdd_tmp}'::text[]) AS t;
-- the model is in the init fork too
SELECT pg_relation_size('rdd_unl_pt', 'init') > 2 * 8192 AS has_init_fork;
ALTER TABLE rdd_unl SET LOGGED;
SELECT ct_check('rdd_unl'), ct_same('rdd_unl', $$residual_query('rdd', '{0.1,0.2,0.3}')$$, 100);
ALTER TABLE rdd_unl SET UNLOGGED;
REINDEX INDEX rdd_tmp_pt;
SELECT t, ct_check(t::regclass), ct_same(t, $$residual_query('rdd', '{0.1,0.2,0.3}')$$) FROM unnest('{rdd_unl,rdd_tmp}'::text[]) AS t;
DROP TABLE rdd_unl, rdd_tmp;
CREATE TEMP TABLE rdd_commit (id integer, pt real[]) ON COMMIT DELETE ROWS;
CREATE INDEX rdd_commit_pt ON rdd_commit USING covertree (pt float4_residual_ops (model = 'rdd'));
BEGIN;
INSERT INTO rdd_commit SELECT * FROM ct_cloud('gauss', 500, 3);
SELECT ct_same('rdd_commit', $$residual_query('rdd', '{0.1,0.2,0.3}')$$);
COMMIT;
SELECT ct_check('rdd_commit'), ct_same('rdd_commit', $$residual_query('rdd', '{0.1,0.2,0.3}')$$);
DROP TABLE rdd_commit;

--
-- Partitions
--
CREATE TABLE rdd_parted (id integer, pt double precision[]) PARTITION BY RANGE (id);
CREATE TABLE rdd_parted1 PARTITION OF rdd_parted FOR VALUES FROM (0) TO (1000);
INSERT INTO rdd_parted SELECT id, pt FROM ct_cloud('gauss', 999, 3);
CREATE INDEX rdd_parted_pt ON rdd_parted USING covertree (pt float8_residual_ops (model = 'rdd'));
-- later partitions get their index, attached ones too
CREATE TABLE rdd_parted2 PARTITION OF rdd_parted FOR VALUES FROM (1000) TO (2000);
CREATE TABLE rdd_parted3 (id integer, pt double precision[]);
INSERT INTO rdd_parted3 SELECT id, pt FROM ct_cloud('gauss', 2500, 3) WHERE id >= 2000;
ALTER TABLE rdd_parted ATTACH PARTITION rdd_parted3 FOR VALUES FROM (2000) TO (9000);
INSERT INTO rdd_parted SELECT id, pt FROM ct_cloud('gauss', 1999, 3) WHERE id >= 1000;
ANALYZE rdd_parted;
SELECT t, ct_check(t) FROM unnest('{rdd_parted1,rdd_parted2,rdd_parted3}'::regclass[]) AS t;
EXPLAIN (COSTS OFF) SELECT id FROM rdd_parted ORDER BY pt <~> residual_query('rdd', '{0.1,0.2,0.3}') LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM rdd_parted WHERE id < 1500 ORDER BY pt <~> residual_query('rdd', '{0.1,0.2,0.3}') LIMIT 10;
CREATE FUNCTION rdd_knn(k integer) RETURNS TABLE (id integer, d double precision) LANGUAGE sql AS $$
	SELECT id, pt <~> residual_query('rdd', '{0.1,0.2,0.3}') FROM rdd_parted
		ORDER BY pt <~> residual_query('rdd', '{0.1,0.2,0.3}') LIMIT k
$$;
CREATE TABLE rdd_index AS
	SELECT k, r.* FROM unnest('{1,10,500,10000}'::int[]) AS k, rdd_knn(k) WITH ORDINALITY AS r (id, d, rn);
SET enable_indexscan = off;
RESET enable_seqscan;
RESET enable_sort;
CREATE TABLE rdd_sort AS
	SELECT k, r.* FROM unnest('{1,10,500,10000}'::int[]) AS k, rdd_knn(k) WITH ORDINALITY AS r (id, d, rn);
RESET enable_indexscan;
SET enable_seqscan = off;
SET enable_sort = off;
SELECT k, count(*), count(*) FILTER (WHERE i.id = s.id AND i.d = s.d) AS same
	FROM rdd_index AS i FULL JOIN rdd_sort AS s USING (k, rn) GROUP BY k ORDER BY k;
UPDATE rdd_parted SET id = id + 2000 WHERE id % 10 = 1 AND id < 2000;
SELECT t, ct_check(t::regclass), ct_same(t, $$residual_query('rdd', '{0.1,0.2,0.3}')$$) FROM unnest('{rdd_parted1,rdd_parted2,rdd_parted3}'::text[]) AS t;
DROP FUNCTION rdd_knn;
DROP TABLE rdd_parted, rdd_index, rdd_sort;

--
-- Ways to ask
--
CREATE INDEX rdd_pt ON rdd USING covertree (pt float8_residual_ops (model = 'rdd'));
ANALYZE rdd;
-- WITH TIES, on rows at few places
CREATE TABLE rdd_lattice AS SELECT id, pt FROM ct_cloud('lattice', 1000, 2);
CREATE INDEX rdd_lattice_pt ON rdd_lattice USING covertree (pt float8_residual_ops (model = 'rdd_2'));
EXPLAIN (COSTS OFF)
	SELECT id FROM rdd_lattice ORDER BY pt <~> residual_query('rdd_2', '{2,2}') FETCH FIRST 10 ROWS WITH TIES;
SELECT count(*) = (SELECT count(*) FROM rdd_lattice WHERE pt = '{2,2}') AS ties
	FROM (SELECT id FROM rdd_lattice ORDER BY pt <~> residual_query('rdd_2', '{2,2}') FETCH FIRST 1 ROW WITH TIES) AS s;
SELECT ct_same('rdd_lattice', $$residual_query('rdd_2', '{2,2}')$$);
DROP TABLE rdd_lattice;

-- LATERAL: the query is another row, or that row's of a table of queries
SELECT * FROM ct_plan($$
	SELECT q.id, n.id FROM rdd AS q,
		LATERAL (SELECT id FROM rdd ORDER BY rdd.pt <~> residual_query('rdd', q.pt) LIMIT 3) AS n
	WHERE q.id <= 200$$) AS plan;
CREATE TABLE rdd_query AS SELECT id, residual_query('rdd', pt) AS q FROM rdd WHERE id <= 200;
CREATE FUNCTION rdd_neighbours(kind text) RETURNS TABLE (q integer, ids integer[], ds float8[]) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format(
		'SELECT q.id, array_agg(n.id ORDER BY n.rn), array_agg(n.d ORDER BY n.rn)
		 FROM %s AS q,
			LATERAL (SELECT id, d, row_number() OVER () AS rn
					 FROM (SELECT id, rdd.pt <~> %s AS d FROM rdd ORDER BY rdd.pt <~> %2$s LIMIT 5) AS s) AS n
		 WHERE q.id <= 200 GROUP BY q.id',
		CASE kind WHEN 'row' THEN 'rdd' ELSE 'rdd_query' END,
		CASE kind WHEN 'row' THEN 'residual_query(''rdd'', q.pt)' ELSE 'q.q' END);
END;
$$;
CREATE TABLE rdd_lateral AS SELECT kind, n.* FROM unnest('{row,query}'::text[]) AS kind, rdd_neighbours(kind) AS n;
SET enable_indexscan = off;
RESET enable_seqscan;
RESET enable_sort;
CREATE TABLE rdd_lateral_sort AS SELECT n.* FROM rdd_neighbours('row') AS n;
RESET enable_indexscan;
SET enable_seqscan = off;
SET enable_sort = off;
SELECT kind, count(*), count(*) FILTER (WHERE i.ids = s.ids AND i.ds = s.ds) AS same, count(*) FILTER (WHERE q = i.ids[1] AND i.ds[1] = 0) AS itself
	FROM rdd_lateral AS i JOIN rdd_lateral_sort AS s USING (q) GROUP BY kind ORDER BY kind;
DROP FUNCTION rdd_neighbours;
DROP TABLE rdd_query, rdd_lateral, rdd_lateral_sort;

-- prepared, generic: the parameters make the query, or are it
PREPARE rdd_q (float8[], integer) AS SELECT id FROM rdd ORDER BY pt <~> residual_query('rdd', $1) LIMIT $2;
PREPARE rdd_q2 (residual_query, integer) AS SELECT id FROM rdd ORDER BY pt <~> $1 LIMIT $2;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE rdd_q ('{0.1,0.2,0.3}', 3);
EXECUTE rdd_q ('{0.1,0.2,0.3}', 3);
EXECUTE rdd_q2 ('rdd {0.1,0.2,0.3}', 3);
EXECUTE rdd_q ('{0.1,0.2,0.4}', 2);
EXECUTE rdd_q (NULL, 2);
EXECUTE rdd_q2 (NULL, 2);
RESET plan_cache_mode;
EXECUTE rdd_q ('{0.1,0.2,0.3}', 3);
-- and the plan outlives a rebuild
REINDEX INDEX rdd_pt;
EXECUTE rdd_q ('{0.1,0.2,0.3}', 3);
DEALLOCATE ALL;

-- a cursor, two scans of one index at once, and the distance of another query
-- in the select list
BEGIN;
DECLARE a NO SCROLL CURSOR FOR SELECT id, pt <~> residual_query('rdd', '{0.1,0.2,0.3}') = 0 AS same FROM rdd ORDER BY pt <~> residual_query('rdd', '{0.1,0.2,0.3}');
DECLARE b NO SCROLL CURSOR FOR SELECT id FROM rdd ORDER BY pt <~> residual_query('rdd', '{0.1,0.2,0.4}');
FETCH 2 FROM a;
FETCH 2 FROM b;
MOVE 100 FROM a;
DELETE FROM rdd WHERE CURRENT OF a;
FETCH 1 FROM b;
FETCH 1 FROM a;
ROLLBACK;
SELECT count(*), count(*) FILTER (WHERE d = covertree_distance(pt, residual_query('rdd', '{0.5,0.5,0.5}'))) AS right
	FROM (SELECT pt, pt <~> residual_query('rdd', '{0.5,0.5,0.5}') AS d FROM rdd ORDER BY pt <~> residual_query('rdd', '{0.1,0.2,0.3}') LIMIT 100) AS s;


SELECT ct_check('rdd'), ct_same('rdd', $$residual_query('rdd', '{0.1,0.2,0.3}')$$);
DROP TABLE rdd;
SELECT count(covertree_drop_model(name)::text) FROM covertree_model WHERE name LIKE 'rdd%';
