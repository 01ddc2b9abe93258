--
-- Bulk search: covertree_knn and covertree_knn_graph against LATERAL scans,
-- rows, ranks and the bits of distances.
--

-- A row of an array of queries, as a literal for a column of arrays or points.
CREATE FUNCTION bulk_literal(queries double precision[], i integer, col text)
RETURNS text
LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE WHEN col LIKE 'place%'
		THEN format('%L', '(' || array_to_string(queries[i:i], ',') || ')')
		ELSE format('%L::double precision[]', '{' || array_to_string(queries[i:i], ',') || '}') END;
$$;

-- Compares what covertree_knn says with a scan for each query.
CREATE FUNCTION bulk_same(index regclass, queries double precision[], k integer,
						  tab text, col text DEFAULT 'pt', filter text DEFAULT 'true')
RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	stmt text;
	result text;
BEGIN
	CREATE TEMP TABLE bulk_expected (query integer, rank integer, tid tid, d float8);
	FOR i IN 1 .. coalesce(array_length(queries, 1), 0) LOOP
		stmt := format('(%s) <~> %s', col, bulk_literal(queries, i, col));
		INSERT INTO bulk_expected
			SELECT i, ordinality, s.tid, s.d
			FROM ct_by_index(format('SELECT ctid, %s FROM %s WHERE %s ORDER BY %s LIMIT %s',
									stmt, tab, filter, stmt, k)) WITH ORDINALITY AS s (tid, d, ordinality);
	END LOOP;
	SELECT CASE WHEN count(*) FILTER (WHERE (a.tid, float8send(a.distance))
									  IS DISTINCT FROM (e.tid, float8send(e.d))) = 0
		THEN format('ok, %s rows', count(*))
		ELSE format('%s rows in bulk, %s by scans; first difference: ', count(a.tid), count(e.tid)) ||
			(array_agg(format('query %s rank %s is %s at %s, not %s at %s', query, rank, a.tid, a.distance, e.tid, e.d)
					   ORDER BY query, rank)
			 FILTER (WHERE (a.tid, float8send(a.distance)) IS DISTINCT FROM (e.tid, float8send(e.d))))[1] END
	INTO result
	FROM covertree_knn(index, queries, k) AS a FULL JOIN bulk_expected AS e USING (query, rank);
	DROP TABLE bulk_expected;
	RETURN result;
END;
$$;

-- Compares what covertree_knn_graph says with a scan for each row.
CREATE FUNCTION bulk_graph_same(index regclass, k integer, tab text, col text DEFAULT 'pt',
								filter text DEFAULT 'true')
RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	r record;
	stmt text;
	result text;
BEGIN
	CREATE TEMP TABLE bulk_expected (tid tid, rank integer, neighbor tid, d float8);
	FOR r IN EXECUTE format('SELECT ctid, (%s)::text AS point FROM %s WHERE %s AND (%s) IS NOT NULL', col, tab, filter, col)
	LOOP
		stmt := format('(%s) <~> %L', col, r.point);
		INSERT INTO bulk_expected
			SELECT r.ctid, ordinality, s.tid, s.d
			FROM ct_by_index(format('SELECT ctid, %s FROM %s WHERE %s AND ctid <> %L ORDER BY %s LIMIT %s',
									stmt, tab, filter, r.ctid, stmt, k)) WITH ORDINALITY AS s (tid, d, ordinality);
	END LOOP;
	SELECT CASE WHEN count(*) FILTER (WHERE (a.neighbor, float8send(a.distance))
									  IS DISTINCT FROM (e.neighbor, float8send(e.d))) = 0
		THEN format('ok, %s rows', count(*))
		ELSE format('%s rows in bulk, %s by scans; first difference: ', count(a.neighbor), count(e.neighbor)) ||
			(array_agg(format('row %s rank %s is %s at %s, not %s at %s', tid, rank, a.neighbor, a.distance, e.neighbor, e.d)
					   ORDER BY tid, rank)
			 FILTER (WHERE (a.neighbor, float8send(a.distance)) IS DISTINCT FROM (e.neighbor, float8send(e.d))))[1] END
	INTO result
	FROM covertree_knn_graph(index, k) AS a FULL JOIN bulk_expected AS e USING (tid, rank);
	DROP TABLE bulk_expected;
	RETURN result;
END;
$$;

-- n queries of a kind of data.
CREATE FUNCTION bulk_queries(shape text, n integer, dims integer, seed integer)
RETURNS double precision[]
LANGUAGE sql IMMUTABLE AS $$
	SELECT array_agg(pt ORDER BY id) FROM ct_cloud(shape, n, dims, seed);
$$;

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
SELECT bulk_same('bulk_pt', '{{0,1},{6,8},{1e300,-1e300},{0,0}}', k, 'bulk') FROM unnest('{1,2,4,5,6}'::int[]) AS k;
SELECT bulk_graph_same('bulk_pt', k, 'bulk') FROM unnest('{1,2,4,5,6}'::int[]) AS k;
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
	knn1 := bulk_same('bulk_pt', bulk_queries(shape, 9, dims, 5), 1, 'bulk');
	knn7 := bulk_same('bulk_pt', bulk_queries(shape, 9, dims, 6), 7, 'bulk');
	many := bulk_same('bulk_pt', bulk_queries(shape, 60, dims, 7), 20, 'bulk');
	all_rows := bulk_same('bulk_pt', bulk_queries(shape, 2, dims, 8), rows + 10, 'bulk');
	graph := bulk_graph_same('bulk_pt', 4, 'bulk');
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
SELECT bulk_same('bulk_place', bulk_queries('gauss', 40, 2, 9), 10, 'bulk', 'place');
SELECT bulk_graph_same('bulk_place', 3, 'bulk', 'place');
DROP TABLE bulk;

--
-- The snapshot's rows, through changes of all kinds
--
CREATE TABLE bulk (id integer, note integer, pt double precision[]) WITH (fillfactor = 60, autovacuum_enabled = off);
INSERT INTO bulk SELECT id, 0, pt FROM ct_cloud('gauss', 3000, 3, 1) AS c;
CREATE INDEX bulk_pt ON bulk USING covertree (pt);
CREATE FUNCTION bulk_both() RETURNS TABLE (few text, many text)
LANGUAGE sql AS $$
	SELECT bulk_same('bulk_pt', bulk_queries('gauss', 10, 3, 2), 30, 'bulk'),
		bulk_same('bulk_pt', bulk_queries('gauss', 100, 3, 3), 10, 'bulk');
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
CREATE FUNCTION bulk_few() RETURNS TABLE (query integer, rank integer, tid tid, bits bytea)
LANGUAGE sql AS $$ SELECT query, rank, tid, float8send(distance)
	FROM covertree_knn('bulk_pt', bulk_queries('gauss', 10, 3, 2), 30) AS k $$;
CREATE FUNCTION bulk_many() RETURNS TABLE (query integer, rank integer, tid tid, bits bytea)
LANGUAGE sql AS $$ SELECT query, rank, tid, float8send(distance)
	FROM covertree_knn('bulk_pt', bulk_queries('gauss', 1000, 3, 3), 10) AS k $$;
CREATE TEMP TABLE bulk_few AS SELECT * FROM bulk_few();
CREATE TEMP TABLE bulk_many AS SELECT * FROM bulk_many();
CREATE FUNCTION bulk_differences() RETURNS bigint
LANGUAGE sql AS $$
	SELECT count(*) FROM bulk_few() AS a FULL JOIN bulk_few AS b USING (query, rank)
	WHERE (a.tid, a.bits) IS DISTINCT FROM (b.tid, b.bits)
	UNION ALL
	SELECT count(*) FROM bulk_many() AS a FULL JOIN bulk_many AS b USING (query, rank)
	WHERE (a.tid, a.bits) IS DISTINCT FROM (b.tid, b.bits)
	ORDER BY 1 DESC LIMIT 1;
$$;
DO $$
DECLARE
	threads integer;
	memory text;
	level text;
	n bigint;
BEGIN
	FOREACH threads IN ARRAY '{0,1,2}'::int[] LOOP
		PERFORM set_config('max_parallel_workers_per_gather', threads::text, true);
		FOREACH memory IN ARRAY '{64kB,1MB,4MB,64MB}'::text[] LOOP
			PERFORM set_config('work_mem', memory, true);
			n := bulk_differences();
			IF n > 0 THEN
				RAISE WARNING '% threads, %: % differences', threads, memory, n;
			END IF;
		END LOOP;
	END LOOP;
	FOREACH level IN ARRAY '{scalar,avx2,avx512}'::text[] LOOP
		BEGIN
			PERFORM set_config('covertree.kernel_level', level, true);
		EXCEPTION WHEN invalid_parameter_value THEN
			CONTINUE;
		END;
		n := bulk_differences();
		IF n > 0 THEN
			RAISE WARNING '%: % differences', level, n;
		END IF;
	END LOOP;
END;
$$;
DROP FUNCTION bulk_differences, bulk_few, bulk_many;
DROP TABLE bulk_few, bulk_many;
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
SELECT bulk_same('bulk_large_pt', bulk_queries('line', 30, 16, 3), 50, 'bulk_large');
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
SELECT bulk_same('bulk_pt', bulk_queries('gauss', 3, 3, 11), 5000, 'bulk');
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
SELECT bulk_same('bulk_part', bulk_queries('gauss', 30, 3, 12), 12, 'bulk', 'pt', 'id % 4 = 0');
SELECT bulk_same('bulk_expr', bulk_queries('gauss', 30, 2, 12), 12, 'bulk', 'ARRAY[pt[1], pt[2]]');
DROP TABLE bulk;

--
-- Other indexes that are served: residual ones
--
SELECT covertree_create_model('bulk_model', kernel => 'matern52', lengthscale => '{0.5}', variance => 1, nugget => 0.01,
	inducing => bulk_queries('uniform', 20, 2, 20));
CREATE TABLE bulk (id integer, pt double precision[]);
INSERT INTO bulk SELECT * FROM ct_cloud('uniform', 600, 2);
INSERT INTO bulk VALUES (-1, NULL);
CREATE INDEX bulk_pt ON bulk USING covertree (pt float8_residual_ops (model = 'bulk_model'));
WITH expected AS (
	SELECT i AS query, s.*
	FROM generate_subscripts(bulk_queries('uniform', 20, 2, 21), 1) AS i, LATERAL
		(SELECT row_number() OVER (ORDER BY d, ctid) AS rank, ctid AS tid, d
		 FROM (SELECT ctid, pt <~> residual_query('bulk_model',
									ARRAY(SELECT unnest((bulk_queries('uniform', 20, 2, 21))[i:i]))) AS d FROM bulk) AS a
		 ORDER BY d, ctid LIMIT 8) AS s)
SELECT count(*), count(*) FILTER (WHERE (a.tid, float8send(a.distance)) IS DISTINCT FROM (e.tid, float8send(e.d))) AS differences
FROM covertree_knn('bulk_pt', bulk_queries('uniform', 20, 2, 21), 8) AS a FULL JOIN expected AS e USING (query, rank);
WITH expected AS (
	SELECT b.ctid AS tid, s.*
	FROM bulk AS b, LATERAL
		(SELECT row_number() OVER (ORDER BY d, ctid) AS rank, ctid AS neighbor, d
		 FROM (SELECT ctid, pt <~> residual_query('bulk_model', b.pt) AS d FROM bulk AS c WHERE c.ctid <> b.ctid) AS a
		 ORDER BY d, ctid LIMIT 2) AS s
	WHERE b.pt IS NOT NULL AND b.id % 10 = 0)
SELECT count(*), count(*) FILTER (WHERE (a.neighbor, float8send(a.distance)) IS DISTINCT FROM (e.neighbor, float8send(e.d))) AS differences
FROM expected AS e LEFT JOIN covertree_knn_graph('bulk_pt', 2) AS a USING (tid, rank);
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

DROP FUNCTION bulk_both, bulk_case, bulk_queries, bulk_graph_same, bulk_same, bulk_literal;
