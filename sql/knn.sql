--
-- Nearest neighbours from an index built over existing rows.
--
CREATE TABLE knn3 (id integer, pt double precision[], pt4 real[], p point);
INSERT INTO knn3
	SELECT id, pt, pt::real[], point(pt[1], pt[2])
	FROM ct_cloud('gauss', 10000, 3);
CREATE INDEX knn3_pt ON knn3 USING covertree (pt);
CREATE INDEX knn3_pt4 ON knn3 USING covertree (pt4);
CREATE INDEX knn3_p ON knn3 USING covertree (p);
ANALYZE knn3;
SELECT ct_check('knn3');

-- The planner takes the index for LIMIT, also without persuasion.
EXPLAIN (COSTS OFF)
	SELECT id FROM knn3 ORDER BY pt <~> '{0.1,0.2,0.3}' LIMIT 10;
EXPLAIN (COSTS OFF)
	SELECT id FROM knn3 ORDER BY pt4 <~> '{0.1,0.2,0.3}' LIMIT 10;
EXPLAIN (COSTS OFF)
	SELECT id FROM knn3 ORDER BY p <~> '(0.1,0.2)' LIMIT 10;
EXPLAIN (COSTS OFF)
	SELECT id FROM knn3 ORDER BY p <-> '(0.1,0.2)' LIMIT 10;

-- Few, many, all rows and more than there are.
SELECT k, ct_same('knn3', '''{0.1,0.2,0.3}''', k)
	FROM unnest('{0,1,2,10,100,1000,9999,10000,20000,null}'::int[]) AS k;
SELECT k, ct_same('knn3', '''{0.1,0.2,0.3}''', k, col => 'pt4')
	FROM unnest('{1,10,1000,null}'::int[]) AS k;
SELECT k, op, ct_same('knn3', '''(0.1,0.2)''', k, col => 'p', op => op)
	FROM unnest('{<~>,<->}'::text[]) AS op, unnest('{1,10,1000,null}'::int[]) AS k;

-- From inside, from the edge, and from far away.
SELECT ct_same('knn3', quote_literal(q), 50)
	FROM unnest(ARRAY['{0,0,0}', '{2,2,2}', '{-1.9,1.9,0}', '{1e6,-1e6,1e6}',
					  '{1e300,0,0}', '{-0,0,1e-310}']) AS q;
SELECT min(r), max(r), count(*)
	FROM (SELECT ct_same('knn3', quote_literal(pt), 20) AS r
		  FROM knn3 WHERE id % 100 = 0) AS s;

-- Right operands of other types.
SELECT ct_same('knn3', q, 20), ct_same('knn3', q, 20, col => 'pt4')
	FROM unnest(ARRAY['ARRAY[0.1,0.2,0.3]', 'ARRAY[0.1,0.2,0.3]::real[]',
					  'ARRAY[0.1,0.2,0.3]::double precision[]',
					  'ARRAY[1,0,-1]', 'ARRAY[1,0,-1]::bigint[]',
					  'ARRAY[1,0,-1]::numeric[]']) AS q;

-- Filters, selective ones too: LIMIT k returns k rows if they exist.
SELECT ct_same('knn3', '''{0.1,0.2,0.3}''', 10, 'id % 2 = 0');
SELECT ct_same('knn3', '''{0.1,0.2,0.3}''', 10, 'id % 997 = 0');
SELECT ct_same('knn3', '''{0.1,0.2,0.3}''', 10, 'id = 77');
SELECT ct_same('knn3', '''{0.1,0.2,0.3}''', 10, 'id = 0');
SELECT ct_same('knn3', '''{0.1,0.2,0.3}''', 10, 'pt <~> ''{0,0,0}'' > 1.5');

-- Shapes that are hard on a tree.
CREATE TABLE knn_shape (pt double precision[], p point);
CREATE INDEX knn_shape_pt ON knn_shape USING covertree (pt);
CREATE INDEX knn_shape_p ON knn_shape USING covertree (p);
DO $$
DECLARE
	s text;
	bulk boolean;
	r text;
BEGIN
	FOREACH s IN ARRAY '{uniform,clusters,lattice,line,duplicates,powers}'::text[] LOOP
		FOREACH bulk IN ARRAY '{false,true}'::boolean[] LOOP
			TRUNCATE knn_shape;
			INSERT INTO knn_shape SELECT pt, point(pt[1], pt[2]) FROM ct_cloud(s, 2000, 2, 7);
			IF bulk THEN
				REINDEX TABLE knn_shape;
			END IF;
			PERFORM ct_check('knn_shape');
			FOR r IN
				SELECT ct_same('knn_shape', quote_literal(pt), k)
				FROM ct_cloud(s, 5, 2, 8), unnest('{1,30,null}'::int[]) AS k
				UNION ALL
				SELECT ct_same('knn_shape', quote_literal(point(pt[1], pt[2])), k, col => 'p', op => op)
				FROM ct_cloud(s, 5, 2, 8), unnest('{1,30,null}'::int[]) AS k,
					unnest('{<~>,<->}'::text[]) AS op
			LOOP
				IF r NOT LIKE 'ok%' THEN
					RAISE WARNING '%, bulk %: %', s, bulk, r;
				END IF;
			END LOOP;
		END LOOP;
	END LOOP;
END;
$$;

-- The build goes on beyond maintenance_work_mem.
CREATE TABLE knn_large AS
	SELECT i AS id, ARRAY[ct_rand(1, i, 1), ct_rand(1, i, 2)] AS pt
	FROM generate_series(1, 100000) AS i;
SET maintenance_work_mem = '1MB';
CREATE INDEX knn_large_pt ON knn_large USING covertree (pt);
RESET maintenance_work_mem;
SELECT ct_check('knn_large');
SELECT min(r), max(r), count(*)
	FROM (SELECT ct_same('knn_large', quote_literal(pt), 100) AS r
		  FROM knn_large WHERE id % 10000 = 0) AS s;
DROP INDEX knn_large_pt;

-- The tree does not depend on the number of threads that built it.
CREATE TABLE knn_tree (threads integer, stats text, levels text);
DO $$
BEGIN
	FOR threads IN 0 .. 3 LOOP
		PERFORM set_config('max_parallel_maintenance_workers', threads::text, true);
		CREATE INDEX knn_large_pt ON knn_large USING covertree (pt);
		INSERT INTO knn_tree
			SELECT threads, s::text, (SELECT string_agg(l::text, ' ') FROM covertree_levels('knn_large_pt') AS l)
			FROM covertree_stats('knn_large_pt') AS s;
		DROP INDEX knn_large_pt;
	END LOOP;
END;
$$;
SELECT count(*), count(DISTINCT stats) AS stats, count(DISTINCT levels) AS levels FROM knn_tree;

-- No index condition: the index can order, not select.
SET enable_seqscan = off;
SELECT * FROM ct_plan($$SELECT id FROM knn3 WHERE pt <~> '{0,0,0}' < 0.1$$) AS plan;
-- The other direction is not to be had from the index.
SELECT * FROM ct_plan($$SELECT id FROM knn3 ORDER BY pt <~> '{0,0,0}' DESC LIMIT 1$$) AS plan;
RESET enable_seqscan;

DROP TABLE knn3, knn_shape, knn_large, knn_tree;
