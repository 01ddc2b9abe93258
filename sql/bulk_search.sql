--
-- Bulk search: covertree_knn and covertree_knn_graph against LATERAL scans,
-- rows, ranks and the bits of distances.
--

--
-- What it looks like
--
CREATE TABLE bulk (id integer, pt double precision[]);
INSERT INTO bulk VALUES (1, '{0,0}'), (2, '{3,4}'), (3, '{0,0}'), (4, '{6,8}'), (5, NULL);
CREATE INDEX bulk_pt ON bulk USING covertree (pt);
SELECT * FROM covertree_knn('bulk_pt', '{{0,1},{6,8}}', 3) ORDER BY query, rank;
SELECT * FROM covertree_knn_graph('bulk_pt', 2) ORDER BY tid, rank;
-- more than there are: rows without a point come last, as in a scan
SELECT * FROM covertree_knn('bulk_pt', ARRAY[[0,1]], 10) ORDER BY query, rank;
SELECT * FROM covertree_knn_graph('bulk_pt', 10) WHERE tid = '(0,2)' ORDER BY rank;
SELECT ct_bulk.same('bulk_pt', '{{0,1},{6,8},{1e300,-1e300},{0,0}}', k, 'bulk') FROM unnest('{1,2,4,5,6}'::int[]) AS k;
SELECT ct_bulk.graph_same('bulk_pt', k, 'bulk') FROM unnest('{1,2,4,5,6}'::int[]) AS k;
DROP TABLE bulk;

--
-- Kinds of data x dimensions x element types, with few and many queries
--
CREATE FUNCTION bulk_case(shape text, dims integer, element text, rows integer)
RETURNS TABLE (shape_dims text, knn1 text, knn7 text, many text, all_rows text, graph text)
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE bulk (id integer, pt %s[])', element);
	INSERT INTO bulk SELECT * FROM ct_cloud(shape, rows, dims, 5);
	INSERT INTO bulk SELECT -i, NULL FROM generate_series(1, 3) AS i;
	CREATE INDEX bulk_pt ON bulk USING covertree (pt);
	shape_dims := format('%s %s %s', shape, dims, element);
	knn1 := ct_bulk.same('bulk_pt', ct_bulk.queries(shape, 9, dims, 5), 1, 'bulk');
	knn7 := ct_bulk.same('bulk_pt', ct_bulk.queries(shape, 9, dims, 6), 7, 'bulk');
	many := ct_bulk.same('bulk_pt', ct_bulk.queries(shape, 60, dims, 7), 20, 'bulk');
	all_rows := ct_bulk.same('bulk_pt', ct_bulk.queries(shape, 2, dims, 8), rows + 10, 'bulk');
	graph := ct_bulk.graph_same('bulk_pt', 4, 'bulk');
	DROP TABLE bulk;
	RETURN NEXT;
END;
$$;
SELECT c.* FROM unnest('{1,2,3,5,8,16,17,40}'::int[]) AS dims, bulk_case('gauss', dims, 'double precision', 300) AS c;
SELECT c.* FROM unnest('{1,3,8,17,100}'::int[]) AS dims, bulk_case('clusters', dims, 'real', 300) AS c;
SELECT c.* FROM unnest('{lattice,line,duplicates,powers}'::text[]) AS shape, bulk_case(shape, 3, 'double precision', 400) AS c;
SELECT c.* FROM bulk_case('duplicates', 2, 'real', 900) AS c;

--
-- Points in the plane: the distance is that of <~>, also where core's operator
-- <-> is more usual
--
CREATE TABLE bulk (id integer, place point);
INSERT INTO bulk SELECT id, point(pt[1], pt[2]) FROM ct_cloud('gauss', 1000, 2) AS c;
CREATE INDEX bulk_place ON bulk USING covertree (place);
SELECT ct_bulk.same('bulk_place', ct_bulk.queries('gauss', 40, 2, 9), 10, 'bulk', 'place',
	operand => 'point(%s)');
SELECT ct_bulk.graph_same('bulk_place', 3, 'bulk', 'place', operand => 'point(%s)');
DROP TABLE bulk;

--
-- The snapshot's rows, through changes of all kinds
--
CREATE TABLE bulk (id integer, note integer, pt double precision[]) WITH (fillfactor = 60, autovacuum_enabled = off);
INSERT INTO bulk SELECT id, 0, pt FROM ct_cloud('gauss', 3000, 3, 1) AS c;
CREATE INDEX bulk_pt ON bulk USING covertree (pt);
CREATE FUNCTION bulk_both() RETURNS TABLE (few text, many text)
LANGUAGE sql AS $$
	SELECT ct_bulk.same('bulk_pt', ct_bulk.queries('gauss', 10, 3, 2), 30, 'bulk'),
		ct_bulk.same('bulk_pt', ct_bulk.queries('gauss', 100, 3, 3), 10, 'bulk');
$$;
SELECT * FROM bulk_both();
VACUUM bulk;
SELECT * FROM bulk_both();
-- updated in place: the index has the old TIDs, everybody else the new ones
UPDATE bulk SET note = note + 1 WHERE id % 3 = 0;
UPDATE bulk SET note = note + 1 WHERE id % 9 = 0;
SELECT * FROM bulk_both();
VACUUM bulk;
SELECT * FROM bulk_both();
-- moved, deleted, added
UPDATE bulk SET pt = ARRAY[pt[2], pt[3], pt[1]] WHERE id % 5 = 0;
DELETE FROM bulk WHERE id % 7 = 0;
INSERT INTO bulk SELECT 10000 + id, 0, pt FROM ct_cloud('gauss', 4000, 3, 4) AS c;
SELECT * FROM bulk_both();
VACUUM bulk;
SELECT * FROM bulk_both();
-- what this transaction has done, and what it has taken back
BEGIN;
DELETE FROM bulk WHERE id % 2 = 0;
SAVEPOINT s;
INSERT INTO bulk SELECT 20000 + id, 0, pt FROM ct_cloud('gauss', 2000, 3, 2) AS c;
DELETE FROM bulk WHERE id % 3 = 0;
SELECT * FROM bulk_both();
ROLLBACK TO s;
SELECT * FROM bulk_both();
ROLLBACK;
SELECT * FROM bulk_both();
-- a cursor sees what was there when it was opened
BEGIN;
DECLARE c CURSOR FOR SELECT count(*), round(sum(distance)::numeric, 6) FROM covertree_knn('bulk_pt', '{{0,0,0}}', 50);
SELECT count(*), round(sum(distance)::numeric, 6) FROM covertree_knn('bulk_pt', '{{0,0,0}}', 50) \gset before_
DELETE FROM bulk WHERE id < 2000;
FETCH c \gset after_
SELECT (:before_count, :before_round) = (:after_count, :after_round) AS same_as_before;
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT * FROM bulk_both();
COMMIT;
SELECT ct_check('bulk');

--
-- Any number of threads, any memory, any instruction set
--
SELECT * FROM bulk_both();
INSERT INTO ct_tables.config (tab, index) VALUES ('bulk', 'bulk_pt');
INSERT INTO ct_bulk.search VALUES ('bulk', 'few', ct_bulk.queries('gauss', 10, 3, 2), 30),
	('bulk', 'many', ct_bulk.queries('gauss', 1000, 3, 3), 10);
SELECT ct_bulk.expect();
SELECT ct_bulk.compare_resources('{0,1,2}', '{64kB,1MB,4MB,64MB}');
SELECT ct_bulk.compare_levels();
SELECT answers >= 13 * (10 * 30 + 1000 * 10) AS enough FROM ct_tables.counter;
SELECT * FROM ct_tables.failure;
SELECT ct_tables.forget();
TRUNCATE ct_bulk.search;
-- the whole graph in little memory is that in much
SET work_mem = '64kB';
CREATE TEMP TABLE bulk_little AS SELECT * FROM covertree_knn_graph('bulk_pt', 5);
SET work_mem = '64MB';
CREATE TEMP TABLE bulk_much AS SELECT * FROM covertree_knn_graph('bulk_pt', 5);
RESET work_mem;
SELECT count(*) FROM bulk_much;
SELECT count(*) AS differences FROM (TABLE bulk_much EXCEPT TABLE bulk_little) AS d;
SELECT count(*) - count(DISTINCT (tid, rank)) AS twice, count(*) FILTER (WHERE tid = neighbor) AS own FROM bulk_little;
-- an index that does not fit: leaves come and go
CREATE TABLE bulk_large (id integer, pt double precision[]);
INSERT INTO bulk_large SELECT * FROM ct_cloud('line', 7000, 16);
CREATE INDEX bulk_large_pt ON bulk_large USING covertree (pt);
SELECT pg_relation_size('bulk_large_pt') > 1024 * 1024 AS too_large;
SET work_mem = '1MB';
CREATE TEMP TABLE bulk_little2 AS SELECT * FROM covertree_knn_graph('bulk_large_pt', 40);
SELECT ct_bulk.same('bulk_large_pt', ct_bulk.queries('line', 30, 16, 3), 50, 'bulk_large');
SET work_mem = '64MB';
CREATE TEMP TABLE bulk_much2 AS SELECT * FROM covertree_knn_graph('bulk_large_pt', 40);
RESET work_mem;
SELECT count(*) FROM bulk_much2;
SELECT count(*) AS differences FROM (TABLE bulk_much2 EXCEPT TABLE bulk_little2) AS d;
DROP TABLE bulk_large, bulk_little2, bulk_much2;
-- once for each row of a join
SELECT count(*), count(*) FILTER (WHERE k.distance IS DISTINCT FROM a.pt <~> b.pt) AS differences
FROM (SELECT pt FROM bulk ORDER BY id LIMIT 20) AS a, LATERAL covertree_knn('bulk_pt', ARRAY[a.pt], 3) AS k JOIN bulk AS b ON b.ctid = k.tid;
-- called again and again by one plan, it takes memory for results once
BEGIN;
DECLARE bulk_again NO SCROLL CURSOR FOR
	SELECT k.query FROM (SELECT pt FROM bulk ORDER BY id LIMIT 20) AS a, LATERAL covertree_knn('bulk_pt', ARRAY[a.pt], 3) AS k;
MOVE 50 IN bulk_again;
SELECT count(*) = 1 AS once FROM pg_backend_memory_contexts WHERE name = 'Bulk search: results';
COMMIT;
SELECT count(*), count(DISTINCT (k).tid) > 3 AS several
FROM (SELECT covertree_knn('bulk_pt', ARRAY[pt], 3) AS k FROM (SELECT pt FROM bulk ORDER BY id LIMIT 20) AS a) AS a;
-- more neighbours than memory has room for
SET work_mem = '64kB';
SELECT ct_bulk.same('bulk_pt', ct_bulk.queries('gauss', 3, 3, 11), 5000, 'bulk');
RESET work_mem;
-- threads end with the search
SELECT count(*) FROM pg_ls_dir('/proc/self/task');
DROP TABLE bulk_little, bulk_much;

--
-- Parts of a table
--
CREATE INDEX bulk_part ON bulk USING covertree (pt) WHERE id % 4 = 0;
CREATE INDEX bulk_expr ON bulk USING covertree ((ARRAY[pt[1], pt[2]]));
DROP INDEX bulk_pt;
SELECT ct_bulk.same('bulk_part', ct_bulk.queries('gauss', 30, 3, 12), 12, 'bulk', 'pt', 'id % 4 = 0');
SELECT ct_bulk.same('bulk_expr', ct_bulk.queries('gauss', 30, 2, 12), 12, 'bulk', 'ARRAY[pt[1], pt[2]]');
DROP TABLE bulk;

--
-- Other indexes that are served: residual ones
--
SELECT covertree_create_model('bulk_model', kernel => 'matern52', lengthscale => '{0.5}', variance => 1, nugget => 0.01,
	inducing => ct_bulk.queries('uniform', 20, 2, 20));
CREATE TABLE bulk (id integer, pt double precision[]);
INSERT INTO bulk SELECT * FROM ct_cloud('uniform', 600, 2);
INSERT INTO bulk VALUES (-1, NULL);
CREATE INDEX bulk_pt ON bulk USING covertree (pt float8_residual_ops (model = 'bulk_model'));
SELECT ct_bulk.same('bulk_pt', ct_bulk.queries('uniform', 20, 2, 21), 8, 'bulk',
	operand => $$residual_query('bulk_model', '{%s}')$$, sorted => true);
SELECT ct_bulk.graph_same('bulk_pt', 2, 'bulk', operand => $$residual_query('bulk_model', '{%s}')$$, sorted => true);
SELECT count(*) FROM covertree_knn_graph('bulk_pt', 2);
SELECT state, message FROM ct_error($$SELECT * FROM covertree_knn('bulk_pt', '{{1,2,3}}', 1)$$);
DROP TABLE bulk;
SELECT covertree_drop_model('bulk_model');

--
-- Nothing to find
--
CREATE TABLE bulk (id integer, pt double precision[]);
CREATE INDEX bulk_pt ON bulk USING covertree (pt);
SELECT count(*) FROM covertree_knn('bulk_pt', '{{1,2},{3,4}}', 5);
SELECT count(*) FROM covertree_knn_graph('bulk_pt', 5);
INSERT INTO bulk VALUES (1, NULL), (2, NULL);
SELECT * FROM covertree_knn('bulk_pt', '{{1,2}}', 5);
SELECT count(*) FROM covertree_knn_graph('bulk_pt', 5);
INSERT INTO bulk VALUES (3, '{1,1}');
SELECT * FROM covertree_knn('bulk_pt', '{{1,2}}', 5) ORDER BY rank;
SELECT * FROM covertree_knn_graph('bulk_pt', 5) ORDER BY rank;
DELETE FROM bulk;
SELECT count(*) FROM covertree_knn('bulk_pt', '{{1,2}}', 5);
VACUUM bulk;
SELECT count(*) FROM covertree_knn('bulk_pt', '{{1,2}}', 5);
SELECT count(*) FROM covertree_knn('bulk_pt', '{}', 5);
SELECT count(*) FROM covertree_knn(NULL, '{{1,2}}', 5);
SELECT count(*) FROM covertree_knn('bulk_pt', NULL, 5);
SELECT count(*) FROM covertree_knn('bulk_pt', '{{1,2}}', NULL);
SELECT count(*) FROM covertree_knn_progress();

--
-- What is refused
--
INSERT INTO bulk SELECT * FROM ct_cloud('gauss', 50, 2);
SELECT * FROM ct_error($$SELECT * FROM covertree_knn('bulk_pt', '{{1,2}}', 0)$$);
SELECT * FROM ct_error($$SELECT * FROM covertree_knn_graph('bulk_pt', -3)$$);
SELECT * FROM ct_error($$SELECT * FROM covertree_knn('bulk_pt', '{1,2}', 1)$$);
SELECT * FROM ct_error($$SELECT * FROM covertree_knn('bulk_pt', '{{{1,2}}}', 1)$$);
SELECT * FROM ct_error($$SELECT * FROM covertree_knn('bulk_pt', '{{1,2,3}}', 1)$$);
SELECT * FROM ct_error($$SELECT * FROM covertree_knn('bulk_pt', '{{1,2},{3,NULL}}', 1)$$);
SELECT * FROM ct_error($$SELECT * FROM covertree_knn('bulk_pt', '{{1,2},{NaN,3}}', 1)$$);
SELECT * FROM ct_error($$SELECT * FROM covertree_knn('bulk_pt', '{{1,-Infinity},{1,3}}', 1)$$);
SELECT * FROM ct_error($$SELECT * FROM covertree_knn('bulk_pt', ARRAY[array_fill(1::float8, '{2001}')], 1)$$);
\set VERBOSITY default
SELECT * FROM covertree_knn('bulk_pt', '{{1,2},{3,NULL}}', 1);
SELECT * FROM covertree_knn('bulk_pt', '{{1,2},{3,4},{3,NaN}}', 1);
CREATE INDEX bulk_id ON bulk (id);
CREATE TABLE bulk_parted (pt real[]) PARTITION BY HASH (pt);
CREATE INDEX bulk_parted_pt ON bulk_parted USING covertree (pt);
SELECT * FROM ct_error($$SELECT * FROM covertree_knn('bulk_id', '{{1,2}}', 1)$$);
SELECT * FROM ct_error($$SELECT * FROM covertree_knn('bulk', '{{1,2}}', 1)$$);
SELECT * FROM ct_error($$SELECT * FROM covertree_knn_graph('bulk_parted_pt', 1)$$);
SELECT state, message FROM ct_error($$SELECT * FROM covertree_knn_graph(4294967295, 1)$$);
INSERT INTO bulk VALUES (1, '{1,2}');
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'bulk_pt'::regclass;
SELECT * FROM ct_error($$SELECT * FROM covertree_knn('bulk_pt', '{{1,2}}', 1)$$);
UPDATE pg_index SET indisvalid = true WHERE indexrelid = 'bulk_pt'::regclass;

-- Whoever may read the column may search it, unless rows are hidden from him.
CREATE ROLE regress_covertree_bulk;
SET ROLE regress_covertree_bulk;
SELECT state, message FROM ct_error($$SELECT * FROM covertree_knn('bulk_pt', '{{1,2}}', 1)$$);
SELECT state, message FROM ct_error($$SELECT * FROM covertree_knn_graph('bulk_pt', 1)$$);
RESET ROLE;
GRANT SELECT (id) ON bulk TO regress_covertree_bulk;
SET ROLE regress_covertree_bulk;
SELECT state, message FROM ct_error($$SELECT * FROM covertree_knn('bulk_pt', '{{1,2}}', 1)$$);
RESET ROLE;
GRANT SELECT (pt) ON bulk TO regress_covertree_bulk;
SET ROLE regress_covertree_bulk;
SELECT count(*) FROM covertree_knn('bulk_pt', '{{1,2}}', 1);
RESET ROLE;
ALTER TABLE bulk ENABLE ROW LEVEL SECURITY;
SELECT count(*) FROM covertree_knn('bulk_pt', '{{1,2}}', 1);
SET ROLE regress_covertree_bulk;
SELECT * FROM ct_error($$SELECT * FROM covertree_knn('bulk_pt', '{{1,2}}', 1)$$);
SET row_security = off;
SELECT state, message FROM ct_error($$SELECT * FROM covertree_knn('bulk_pt', '{{1,2}}', 1)$$);
RESET row_security;
RESET ROLE;
DROP OWNED BY regress_covertree_bulk;
DROP ROLE regress_covertree_bulk;
DROP TABLE bulk, bulk_parted;

--
-- It can be cancelled, and the session goes on
--
CREATE TABLE bulk (id integer, pt double precision[]);
INSERT INTO bulk SELECT * FROM ct_cloud('gauss', 20000, 2);
CREATE INDEX bulk_pt ON bulk USING covertree (pt);
SET statement_timeout = '100ms';
SELECT count(*) FROM covertree_knn_graph('bulk_pt', 5000);
RESET statement_timeout;
SELECT count(*) FROM pg_ls_dir('/proc/self/task');
SELECT count(*) FROM covertree_knn_progress();
SELECT count(*) FROM covertree_knn('bulk_pt', '{{0,0}}', 5);
DROP TABLE bulk;

DROP FUNCTION bulk_both, bulk_case;
