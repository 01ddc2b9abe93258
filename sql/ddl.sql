--
-- Everything else that may happen to an index, and how queries may use it.
--
CREATE TABLE ddl (id integer, pt double precision[], tag text);
INSERT INTO ddl SELECT id, pt, 'tag ' || id % 7 FROM ct_cloud('gauss', 3000, 3);

-- built while others write, rebuilt, renamed, moved
CREATE INDEX CONCURRENTLY ddl_pt ON ddl USING covertree (pt);
SELECT ct_check('ddl'), ct_same('ddl', '''{0.1,0.2,0.3}''');
REINDEX INDEX ddl_pt;
SELECT ct_check('ddl'), ct_same('ddl', '''{0.1,0.2,0.3}''');
REINDEX INDEX CONCURRENTLY ddl_pt;
SELECT ct_check('ddl'), ct_same('ddl', '''{0.1,0.2,0.3}''');
ALTER INDEX ddl_pt RENAME TO ddl_pt_renamed;
SELECT ct_same('ddl', '''{0.1,0.2,0.3}''', 10);
SET allow_in_place_tablespaces = on;
CREATE TABLESPACE regress_covertree_space LOCATION '';
ALTER INDEX ddl_pt_renamed SET TABLESPACE regress_covertree_space;
SELECT ct_check('ddl'), ct_same('ddl', '''{0.1,0.2,0.3}''');
INSERT INTO ddl SELECT 3000 + id, pt FROM ct_cloud('uniform', 500, 3);
SELECT ct_check('ddl'), ct_same('ddl', '''{0.1,0.2,0.3}''');
ALTER INDEX ddl_pt_renamed SET TABLESPACE pg_default;
SELECT ct_check('ddl'), ct_same('ddl', '''{0.1,0.2,0.3}''', 10);
DROP TABLESPACE regress_covertree_space;
VACUUM FULL ddl;
SELECT ct_check('ddl'), ct_same('ddl', '''{0.1,0.2,0.3}''');
DROP INDEX ddl_pt_renamed;
CREATE INDEX IF NOT EXISTS ddl_pt ON ddl USING covertree (pt);
SELECT pg_get_indexdef('ddl_pt'::regclass);

-- progress, from an empty report to none left
SELECT count(*) FROM pg_stat_progress_create_index WHERE pid = pg_backend_pid();

-- what cannot be
CREATE UNIQUE INDEX ON ddl USING covertree (pt);
CREATE INDEX ON ddl USING covertree (pt, pt);
CREATE INDEX ON ddl USING covertree (pt) INCLUDE (id);
CREATE INDEX ON ddl USING covertree (pt DESC);
CLUSTER ddl USING ddl_pt;
ALTER TABLE ddl ADD EXCLUDE USING covertree (pt WITH =);

-- two indexes on one column
CREATE INDEX ddl_pt2 ON ddl USING covertree (pt) WITH (base = 4);
SELECT ct_check('ddl'), ct_same('ddl', '''{0.1,0.2,0.3}''', 10);
DROP INDEX ddl_pt2;

-- expressions
CREATE TABLE ddl_xy (id integer, x double precision, y double precision);
INSERT INTO ddl_xy SELECT id, pt[1], pt[2] FROM ct_cloud('gauss', 2000, 2);
CREATE INDEX ddl_xy_pt ON ddl_xy USING covertree ((ARRAY[x, y]));
CREATE INDEX ddl_xy_p ON ddl_xy USING covertree (point(x, y));
ANALYZE ddl_xy;
EXPLAIN (COSTS OFF) SELECT id FROM ddl_xy ORDER BY ARRAY[x, y] <~> '{0.1,0.2}' LIMIT 5;
SELECT ct_check('ddl_xy'), ct_same('ddl_xy', '''{0.1,0.2}''', col => 'ARRAY[x, y]'),
	ct_same('ddl_xy', '''(0.1,0.2)''', col => 'point(x, y)');
UPDATE ddl_xy SET x = -x WHERE id % 2 = 0;
SELECT ct_check('ddl_xy'), ct_same('ddl_xy', '''{0.1,0.2}''', col => 'ARRAY[x, y]'),
	ct_same('ddl_xy', '''(0.1,0.2)''', col => 'point(x, y)');
DROP TABLE ddl_xy;

-- partial
CREATE INDEX ddl_part ON ddl USING covertree (pt) WHERE tag = 'tag 3';
DROP INDEX ddl_pt;
SELECT ct_check('ddl'), ct_same('ddl', '''{0.1,0.2,0.3}''', NULL, 'tag = ''tag 3''');
UPDATE ddl SET tag = 'tag 3' WHERE id % 7 = 4;
UPDATE ddl SET tag = 'tag 4' WHERE id % 14 = 3;
SELECT ct_check('ddl'), ct_same('ddl', '''{0.1,0.2,0.3}''', NULL, 'tag = ''tag 3''');
DROP INDEX ddl_part;

-- another column type, with the index rebuilt in its default class
CREATE INDEX ddl_pt ON ddl USING covertree (pt) WITH (base = 2);
ALTER TABLE ddl ALTER COLUMN pt TYPE real[];
SELECT element, base FROM covertree_stats('ddl_pt');
SELECT ct_check('ddl'), ct_same('ddl', '''{0.1,0.2,0.3}''');
ALTER TABLE ddl ADD COLUMN note text DEFAULT 'none';
SELECT ct_same('ddl', '''{0.1,0.2,0.3}''', 10);
TRUNCATE ddl;
SELECT ct_check('ddl'), ct_same('ddl', '''{0.1,0.2,0.3}''');
INSERT INTO ddl SELECT id, pt FROM ct_cloud('gauss', 2000, 3);
BEGIN;
TRUNCATE ddl;
INSERT INTO ddl SELECT id, pt FROM ct_cloud('gauss', 10, 2);
SELECT ct_same('ddl', '''{0.1,0.2}''');
ROLLBACK;
SELECT ct_check('ddl'), ct_same('ddl', '''{0.1,0.2,0.3}''');

-- HOT updates leave the index alone, and the rows are still found
CREATE TABLE ddl_hot (id integer, pt double precision[], n integer) WITH (fillfactor = 30, autovacuum_enabled = off);
INSERT INTO ddl_hot SELECT id, pt, 0 FROM ct_cloud('gauss', 1000, 3);
CREATE INDEX ddl_hot_pt ON ddl_hot USING covertree (pt);
BEGIN;
UPDATE ddl_hot SET n = n + 1;
SELECT pg_stat_get_xact_tuples_hot_updated('ddl_hot'::regclass) > 900 AS hot;
COMMIT;
UPDATE ddl_hot SET n = n + 1 WHERE id % 2 = 0;
SELECT ct_check('ddl_hot'), ct_same('ddl_hot', '''{0.1,0.2,0.3}''');
SELECT ct_same('ddl_hot', '''{0.1,0.2,0.3}''', 10, 'n = 2');
VACUUM (INDEX_CLEANUP ON) ddl_hot;
SELECT ct_check('ddl_hot'), ct_same('ddl_hot', '''{0.1,0.2,0.3}''');
-- an index built over chains that are broken
BEGIN;
UPDATE ddl_hot SET n = n + 1 WHERE id % 3 = 0;
REINDEX INDEX ddl_hot_pt;
COMMIT;
SELECT ct_check('ddl_hot'), ct_same('ddl_hot', '''{0.1,0.2,0.3}''');
DROP TABLE ddl_hot;

-- rolled back rows are not seen, subtransactions or not
BEGIN;
INSERT INTO ddl SELECT 10000 + id, pt FROM ct_cloud('gauss', 100, 3, 1);
SAVEPOINT a;
INSERT INTO ddl SELECT 20000 + id, pt FROM ct_cloud('gauss', 3000, 3, 2);
SELECT ct_same('ddl', '''{0.1,0.2,0.3}''');
ROLLBACK TO a;
SELECT ct_same('ddl', '''{0.1,0.2,0.3}''');
INSERT INTO ddl SELECT 30000 + id, pt FROM ct_cloud('gauss', 50, 3, 3);
COMMIT;
SELECT ct_check('ddl'), ct_same('ddl', '''{0.1,0.2,0.3}''');
SELECT count(*), max(id) FROM ddl;

-- ways to ask
ANALYZE ddl;
SET enable_seqscan = off;
CREATE TABLE ddl_lattice AS SELECT * FROM ct_cloud('lattice', 2000, 2);
CREATE INDEX ddl_lattice_pt ON ddl_lattice USING covertree (pt);
EXPLAIN (COSTS OFF)
	SELECT id FROM ddl_lattice ORDER BY pt <~> '{2,2}' FETCH FIRST 10 ROWS WITH TIES;
SELECT count(*) = (SELECT count(*) FROM ddl_lattice WHERE pt = '{2,2}') AS ties
	FROM (SELECT id FROM ddl_lattice ORDER BY pt <~> '{2,2}' FETCH FIRST 1 ROW WITH TIES) AS s;
SELECT ct_same('ddl_lattice', '''{2,2}''');
-- by distance and something else: servers from 16 on sort what the index gives
SELECT count(*), count(*) FILTER (WHERE i.ctid = s.tid) AS same
	FROM (SELECT ctid, row_number() OVER () AS n
		  FROM (SELECT ctid FROM ddl_lattice ORDER BY pt <~> '{2,2}', id DESC LIMIT 300) AS t) AS i
		FULL JOIN ct_by_sort($$SELECT ctid, pt <~> '{2,2}' FROM ddl_lattice ORDER BY pt <~> '{2,2}', id DESC LIMIT 300$$)
			WITH ORDINALITY AS s (tid, d, n) USING (n);
EXPLAIN (COSTS OFF)
	SELECT id FROM ddl ORDER BY pt <~> '{0.1,0.2,0.3}' LIMIT 10 FOR UPDATE;
SELECT count(*) FROM (SELECT id FROM ddl ORDER BY pt <~> '{0.1,0.2,0.3}' LIMIT 10 FOR UPDATE) AS s;

-- cursors
BEGIN;
DECLARE fwd NO SCROLL CURSOR FOR SELECT id, pt <~> '{0.1,0.2,0.3}' AS d FROM ddl ORDER BY pt <~> '{0.1,0.2,0.3}';
FETCH 2 FROM fwd;
MOVE 1000 FROM fwd;
FETCH 1 FROM fwd;
DELETE FROM ddl WHERE CURRENT OF fwd;
FETCH 1 FROM fwd;
SAVEPOINT a;
FETCH BACKWARD 1 FROM fwd;
ROLLBACK TO a;
EXPLAIN (COSTS OFF)
	DECLARE back SCROLL CURSOR FOR SELECT id FROM ddl ORDER BY pt <~> '{0.1,0.2,0.3}';
DECLARE back SCROLL CURSOR FOR SELECT id FROM ddl ORDER BY pt <~> '{0.1,0.2,0.3}';
FETCH 3 FROM back;
FETCH BACKWARD 2 FROM back;
FETCH ABSOLUTE 3 FROM back;
COMMIT;
BEGIN;
DECLARE held CURSOR WITH HOLD FOR SELECT id FROM ddl ORDER BY pt <~> '{0.1,0.2,0.3}' LIMIT 3;
COMMIT;
FETCH ALL FROM held;
CLOSE held;

-- rescans: LATERAL by column, with a join on top, and nested
SELECT * FROM ct_plan($$
	SELECT q.id, n.id FROM ddl AS q,
		LATERAL (SELECT id FROM ddl ORDER BY ddl.pt <~> q.pt LIMIT 3) AS n
	WHERE q.id <= 500$$) AS plan;
CREATE TABLE ddl_lateral AS
	SELECT q.id AS q, array_agg(n.id ORDER BY n.rn) AS ids, array_agg(n.d ORDER BY n.rn) AS ds
	FROM ddl AS q,
		LATERAL (SELECT id, d, row_number() OVER () AS rn
				 FROM (SELECT id, ddl.pt <~> q.pt AS d FROM ddl ORDER BY ddl.pt <~> q.pt LIMIT 5) AS s) AS n
	WHERE q.id <= 500 GROUP BY q.id;
RESET enable_seqscan;
SET enable_indexscan = off;
SELECT count(*), count(*) FILTER (WHERE l.ids = s.ids AND l.ds = s.ds) AS same
	FROM ddl_lateral AS l JOIN (
		SELECT q.id AS q, array_agg(n.id ORDER BY n.d, n.ctid) AS ids, array_agg(n.d ORDER BY n.d, n.ctid) AS ds
		FROM ddl AS q,
			LATERAL (SELECT ctid, id, ddl.pt <~> q.pt AS d FROM ddl ORDER BY ddl.pt <~> q.pt, ctid LIMIT 5) AS n
		WHERE q.id <= 500 GROUP BY q.id) AS s USING (q);
RESET enable_indexscan;

-- prepared statements, custom and generic
PREPARE ddl_q (real[], integer) AS
	SELECT id FROM ddl ORDER BY pt <~> $1 LIMIT $2;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE ddl_q ('{0.1,0.2,0.3}', 3);
EXECUTE ddl_q ('{0.1,0.2,0.3}', 3);
EXECUTE ddl_q ('{0.1,0.2,0.4}', 2);
RESET plan_cache_mode;
EXECUTE ddl_q ('{0.1,0.2,0.3}', 3);
-- and the plan outlives a rebuild
REINDEX INDEX ddl_pt;
EXECUTE ddl_q ('{0.1,0.2,0.3}', 3);
DEALLOCATE ddl_q;

-- functions with cursors, closed half way
CREATE FUNCTION ddl_first(q real[]) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
	r record;
BEGIN
	FOR r IN SELECT id FROM ddl ORDER BY pt <~> q LOOP
		RETURN r.id;
	END LOOP;
END;
$$;
SET enable_seqscan = off;
SELECT count(*) FILTER (WHERE ddl_first(pt) = id) = count(*) AS same FROM ddl;
RESET enable_seqscan;

DROP INDEX ddl_pt;
DROP FUNCTION ddl_first;
DROP TABLE ddl, ddl_lattice, ddl_lateral;
