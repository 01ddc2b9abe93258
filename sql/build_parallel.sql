--
-- Builds whose table is read by several processes.
--
\set SHOW_CONTEXT never

-- The content of an index, but for what depends on when its pages were
-- written: LSN and checksum.  The caller has made a checkpoint.
CREATE FUNCTION ct_content(index regclass)
RETURNS text
LANGUAGE sql AS $$
	SELECT md5(string_agg(md5(substr(page, 11)), '' ORDER BY b))
	FROM (SELECT b, pg_read_binary_file(pg_relation_filepath(index), b * size, size) AS page
		  FROM (SELECT current_setting('block_size')::bigint AS size) AS s,
			   generate_series(0, pg_relation_size(index) / size - 1) AS b) AS p;
$$;

-- Builds the same index without workers, and with 1, 2 and 5 of them (the
-- server may have fewer).
CREATE FUNCTION ct_build_by_workers(tab regclass, target text)
RETURNS SETOF regclass
LANGUAGE plpgsql AS $$
DECLARE
	workers text;
	name text;
BEGIN
	EXECUTE format('ALTER TABLE %s SET (parallel_workers = 5)', tab);
	FOREACH workers IN ARRAY '{0,1,2,5}'::text[] LOOP
		name := format('by_%s', workers);
		PERFORM set_config('max_parallel_maintenance_workers', workers, true);
		EXECUTE format('CREATE INDEX %I ON %s USING covertree (%s)', name, tab, target);
		RETURN NEXT name::regclass;
	END LOOP;
END;
$$;

-- How many rows they have, and how many different contents there are.
CREATE FUNCTION ct_contents(indexes regclass[])
RETURNS TABLE (rows text, contents bigint)
LANGUAGE sql AS $$
	SELECT string_agg(DISTINCT (covertree_stats(i)).rows::text, ','), count(DISTINCT ct_content(i))
	FROM unnest(indexes) AS i;
$$;

-- The index is the same whatever the number of workers: in memory, ...
CREATE TABLE par (id integer, pt double precision[]) WITH (autovacuum_enabled = off);
INSERT INTO par SELECT id, CASE WHEN id % 100 > 0 THEN pt END FROM ct_cloud('uniform', 25000, 3);
SELECT array_agg(i) AS indexes FROM ct_build_by_workers('par', 'pt') AS i \gset
CHECKPOINT;
SELECT * FROM ct_contents(:'indexes');
SELECT ct_check('par');
DROP INDEX by_0, by_1, by_2, by_5;
-- ... by way of files, ...
SET maintenance_work_mem = '1MB';
SELECT array_agg(i) AS indexes FROM ct_build_by_workers('par', 'pt') AS i \gset
CHECKPOINT;
SELECT * FROM ct_contents(:'indexes');
SELECT ct_check('par');
RESET maintenance_work_mem;
DROP INDEX by_0, by_1, by_2, by_5;
-- ... for points of other types, ...
ALTER TABLE par ALTER pt TYPE real[];
SELECT array_agg(i) AS indexes FROM ct_build_by_workers('par', 'pt') AS i \gset
CHECKPOINT;
SELECT * FROM ct_contents(:'indexes');
DROP INDEX by_0, by_1, by_2, by_5;
SELECT array_agg(i) AS indexes FROM ct_build_by_workers('par', 'point(pt[1], pt[2])') AS i \gset
CHECKPOINT;
SELECT * FROM ct_contents(:'indexes');
SELECT ct_check('par');
DROP TABLE par;
-- ... where ranges are so large that all threads share them, ...
CREATE TABLE par AS
SELECT i AS id, ARRAY[i % 64, i * 7919 % 1009, i / 64 % 32]::double precision[] AS pt
FROM generate_series(1, 200000) AS i;
SELECT array_agg(i) AS indexes FROM ct_build_by_workers('par', 'pt') AS i \gset
CHECKPOINT;
SELECT * FROM ct_contents(:'indexes');
SELECT ct_check('par');
SELECT ct_same('par', $$'{31,500,15}'$$, 100);
DROP TABLE par;
-- ... for points in pages of their own, for records ...
CREATE TABLE par AS SELECT * FROM ct_cloud('gauss', 3000, 40);
SELECT array_agg(i) AS indexes FROM ct_build_by_workers('par', 'pt') AS i \gset
CHECKPOINT;
SELECT * FROM ct_contents(:'indexes');
DROP TABLE par;
SELECT covertree_create_model('par', kernel => 'matern52', lengthscale => '{0.3}', nugget => 0.01,
		inducing => (SELECT array_agg(pt) FROM ct_cloud('uniform', 40, 2, 7))) IS NOT NULL AS created;
CREATE TABLE par AS SELECT * FROM ct_cloud('uniform', 3000, 2);
SELECT array_agg(i) AS indexes
	FROM ct_build_by_workers('par', 'pt float8_residual_ops (model = par)') AS i \gset
CHECKPOINT;
SELECT * FROM ct_contents(:'indexes');
SELECT ct_check('par');
DROP TABLE par;
SELECT covertree_drop_model('par');
-- ... and where there is nothing but NULLs, or nothing.
CREATE TABLE par AS SELECT i AS id, NULL::double precision[] AS pt FROM generate_series(1, 5000) AS i;
SELECT array_agg(i) AS indexes FROM ct_build_by_workers('par', 'pt') AS i \gset
CHECKPOINT;
SELECT * FROM ct_contents(:'indexes');
SELECT ct_check('par');
SELECT ct_same('par', '''{1,2}''');
DELETE FROM par;
VACUUM par;
REINDEX TABLE par;
SELECT ct_check('par');
DROP TABLE par;

-- HOT chains, also broken ones, and dead rows
SET max_parallel_maintenance_workers = 2;
CREATE TABLE par (id integer, pt double precision[])
	WITH (autovacuum_enabled = off, parallel_workers = 2, fillfactor = 50);
INSERT INTO par SELECT * FROM ct_cloud('uniform', 8000, 2);
UPDATE par SET id = -id WHERE id % 3 = 0;
DELETE FROM par WHERE id % 5 = 1;
CREATE INDEX par_pt ON par USING covertree (pt);
SELECT ct_check('par');
SELECT ct_same('par', '''{0.5,0.5}''', k) FROM unnest('{10,null}'::int[]) AS k;
DROP INDEX par_pt;
BEGIN;
UPDATE par SET pt = pt || '{1}'::double precision[];
CREATE INDEX par_pt ON par USING covertree (pt);
COMMIT;
SELECT indcheckxmin FROM pg_index WHERE indexrelid = 'par_pt'::regclass;
SELECT ct_check('par');

-- the other ways to build
REINDEX INDEX par_pt;
SELECT ct_check('par');
SELECT ct_same('par', '''{0.5,0.5,1}''', k) FROM unnest('{10,null}'::int[]) AS k;
REINDEX INDEX CONCURRENTLY par_pt;
CREATE INDEX CONCURRENTLY par_pt2 ON par USING covertree (pt) WHERE id < 0;
SELECT ct_check('par');
SELECT ct_same('par', '''{0.5,0.5,1}''', 100, 'id < 0');
BEGIN;
TRUNCATE par;
INSERT INTO par SELECT * FROM ct_cloud('uniform', 3000, 2);
REINDEX TABLE par;
SELECT ct_check('par');
ROLLBACK;
SELECT ct_check('par');
ALTER TABLE par SET UNLOGGED;
SELECT ct_check('par');
DROP TABLE par;
CREATE TEMPORARY TABLE par (id integer, pt double precision[]) WITH (parallel_workers = 2);
INSERT INTO par SELECT * FROM ct_cloud('uniform', 3000, 2);
CREATE INDEX par_pt ON par USING covertree (pt);
SELECT ct_check('par');
DROP TABLE par;

-- Workers there are: this function tells on them.  It gives them time to come.
CREATE FUNCTION ct_tell(pt double precision[])
RETURNS double precision[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
	IF pg_backend_pid() <> current_setting('test.leader')::integer THEN
		RAISE EXCEPTION 'read by a worker' USING ERRCODE = 'CT001';
	END IF;
	PERFORM pg_sleep(0.01);
	RETURN pt;
END;
$$;
SELECT set_config('test.leader', pg_backend_pid()::text, false) <> '' AS set;
CREATE TABLE par (id integer, pt double precision[]) WITH (parallel_workers = 2);
INSERT INTO par SELECT * FROM ct_cloud('uniform', 2000, 2);
SELECT state, message FROM ct_error('CREATE INDEX ON par USING covertree (ct_tell(pt))');
-- not where a function must not run in them, and not where the table says so
ALTER FUNCTION ct_tell PARALLEL RESTRICTED;
CREATE INDEX ON par USING covertree (ct_tell(pt)) WHERE id < 20;
ALTER FUNCTION ct_tell PARALLEL SAFE;
ALTER TABLE par SET (parallel_workers = 0);
CREATE INDEX ON par USING covertree (ct_tell(pt)) WHERE id < 20;
-- a build is cancelled while others read
CREATE FUNCTION ct_wait(pt double precision[])
RETURNS double precision[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
	PERFORM pg_sleep(0.1);
	RETURN pt;
END;
$$;
ALTER TABLE par SET (parallel_workers = 2);
SET statement_timeout = '500ms';
CREATE INDEX par_wait ON par USING covertree (ct_wait(pt));
RESET statement_timeout;
SELECT to_regclass('par_wait') IS NULL AS gone;
DROP TABLE par;
DROP FUNCTION ct_tell, ct_wait;

-- errors, whoever reads the row; nothing is left behind
CREATE TABLE par (id integer, pt double precision[]) WITH (parallel_workers = 2);
INSERT INTO par SELECT * FROM ct_cloud('uniform', 5000, 2);
INSERT INTO par VALUES (0, '{1,2,3}');
SELECT * FROM ct_error('CREATE INDEX ON par USING covertree (pt)');
UPDATE par SET pt = '{1,NaN}' WHERE id = 0;
SELECT * FROM ct_error('CREATE INDEX ON par USING covertree (pt)');
UPDATE par SET pt = '{{1,2}}' WHERE id = 0;
SELECT * FROM ct_error('CREATE INDEX ON par USING covertree (pt)');
UPDATE par SET pt = '{1,2}';
CREATE INDEX ON par USING covertree (pt);
SELECT ct_check('par');
DROP TABLE par;
CREATE TABLE par WITH (parallel_workers = 2) AS
	SELECT i AS id, array_fill(i, ARRAY[1500])::double precision[] AS pt FROM generate_series(1, 500) AS i;
SELECT * FROM ct_error('CREATE INDEX ON par USING covertree (pt)');
DROP TABLE par;
RESET max_parallel_maintenance_workers;
DROP FUNCTION ct_content, ct_build_by_workers, ct_contents;
