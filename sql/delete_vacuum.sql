--
-- Deleted rows, vacuum, and pages used again.
--
CREATE TABLE del (id integer, pt double precision[])
	WITH (autovacuum_enabled = off);
CREATE INDEX del_pt ON del USING covertree (pt);
INSERT INTO del SELECT * FROM ct_cloud('gauss', 10000, 3);

-- deleted, not yet vacuumed
DELETE FROM del WHERE id % 3 = 0;
SELECT ct_check('del');
SELECT ct_same('del', '''{0.1,0.2,0.3}''', 100);
SELECT ct_same('del', '''{0.1,0.2,0.3}''');

-- vacuumed
VACUUM (INDEX_CLEANUP ON) del;
SELECT ct_check('del');
SELECT ct_same('del', '''{0.1,0.2,0.3}''', 100);
SELECT ct_same('del', '''{0.1,0.2,0.3}''');
SELECT rows, dead_rows FROM covertree_stats('del_pt');

-- a whole region
DELETE FROM del WHERE pt <~> '{0.1,0.2,0.3}' < 0.8;
VACUUM (INDEX_CLEANUP ON) del;
SELECT ct_check('del');
SELECT ct_same('del', '''{0.1,0.2,0.3}''', 100);
SELECT ct_same('del', '''{0.1,0.2,0.3}''');

-- put back
INSERT INTO del SELECT * FROM ct_cloud('gauss', 10000, 3)
	WHERE id % 3 = 0 OR pt <~> '{0.1,0.2,0.3}' < 0.8;
SELECT count(*) FROM del;
SELECT ct_check('del');
SELECT ct_same('del', '''{0.1,0.2,0.3}''', 100);
SELECT ct_same('del', '''{0.1,0.2,0.3}''');

-- everything, and again from nothing
DELETE FROM del;
VACUUM (INDEX_CLEANUP ON) del;
SELECT ct_check('del');
SELECT ct_same('del', '''{0.1,0.2,0.3}''');
VACUUM (INDEX_CLEANUP ON) del;
INSERT INTO del SELECT * FROM ct_cloud('uniform', 3000, 3);
SELECT ct_check('del');
SELECT ct_same('del', '''{0.1,0.2,0.3}''');
-- vacuum with nothing to do
VACUUM (INDEX_CLEANUP ON) del;
SELECT ct_check('del');
SELECT ct_same('del', '''{0.1,0.2,0.3}''', 1000);
DROP TABLE del;

-- A table that always changes and never grows: the index stays bounded,
-- whether rows go at random or a region at a time.
CREATE TABLE churn (id integer, pt double precision[])
	WITH (autovacuum_enabled = off);
CREATE INDEX churn_pt ON churn USING covertree (pt);
INSERT INTO churn SELECT * FROM ct_cloud('gauss', 6000, 2);
CREATE TABLE churn_size AS
	SELECT 0 AS round, pg_relation_size('churn_pt') AS bytes;
\set ECHO none
SELECT unnest(ARRAY[
	format('DELETE FROM churn WHERE id %% 3 = %s %% 3', r),
	'VACUUM (INDEX_CLEANUP ON) churn',
	format('INSERT INTO churn SELECT * FROM ct_cloud(''gauss'', 6000, 2, %s) WHERE id %% 3 = %s %% 3', r, r),
	format('DELETE FROM churn WHERE pt[1] BETWEEN %s AND %s', -1 + r * 0.1, -0.8 + r * 0.1),
	'VACUUM (INDEX_CLEANUP ON) churn',
	format('INSERT INTO churn SELECT id, pt FROM ct_cloud(''gauss'', 6000, 2, %s) WHERE pt[1] BETWEEN %s AND %s', r + 100, -1 + r * 0.1, -0.8 + r * 0.1),
	format('INSERT INTO churn_size VALUES (%s, pg_relation_size(''churn_pt''))', r)])
FROM generate_series(1, 12) AS r \gexec
\set ECHO all
SELECT ct_check('churn');
SELECT ct_same('churn', '''{0.1,0.2}''') = format('ok, %s rows', count(*)) AS same
	FROM churn;
SELECT s12.bytes < 2.5 * s0.bytes AS bounded, s12.bytes < 1.3 * s6.bytes AS settled
	FROM churn_size s0, churn_size s6, churn_size s12
	WHERE s0.round = 0 AND s6.round = 6 AND s12.round = 12;

-- The same with a table that is emptied each time.
\set ECHO none
SELECT unnest(ARRAY[
	'DELETE FROM churn',
	'VACUUM (INDEX_CLEANUP ON) churn',
	format('INSERT INTO churn SELECT * FROM ct_cloud(''clusters'', 3000, 2, %s)', r),
	format('INSERT INTO churn_size VALUES (%s, pg_relation_size(''churn_pt''))', r)])
FROM generate_series(101, 108) AS r \gexec
\set ECHO all
SELECT ct_check('churn');
SELECT ct_same('churn', '''{10,10}''');
SELECT s8.bytes <= 1.3 * s3.bytes AS settled FROM churn_size s3, churn_size s8
	WHERE s3.round = 103 AND s8.round = 108;
DROP TABLE churn, churn_size;

-- Rows without a point are vacuumed too.
CREATE TABLE del_null (id integer, pt double precision[])
	WITH (autovacuum_enabled = off);
CREATE INDEX del_null_pt ON del_null USING covertree (pt);
INSERT INTO del_null SELECT i, CASE WHEN i % 2 = 0 THEN ARRAY[i, -i] END
	FROM generate_series(1, 6000) AS i;
DELETE FROM del_null WHERE id % 3 = 0;
VACUUM (INDEX_CLEANUP ON) del_null;
SELECT rows, nulls FROM covertree_stats('del_null_pt');
SELECT ct_check('del_null');
SELECT ct_same('del_null', '''{10,10}''');
DELETE FROM del_null WHERE pt IS NULL;
VACUUM (INDEX_CLEANUP ON) del_null;
INSERT INTO del_null SELECT i, NULL FROM generate_series(1, 100) AS i;
SELECT ct_check('del_null');
SELECT ct_same('del_null', '''{10,10}''');
DROP TABLE del_null;

-- Vectors that are stored apart from the tree give their space back.
CREATE TABLE del_wide (id integer, pt real[]) WITH (autovacuum_enabled = off);
CREATE INDEX del_wide_pt ON del_wide USING covertree (pt);
INSERT INTO del_wide SELECT * FROM ct_cloud('uniform', 500, 200);
CREATE TABLE wide_size AS SELECT 0 AS round, pg_relation_size('del_wide_pt') AS bytes;
\set ECHO none
SELECT unnest(ARRAY[
	format('DELETE FROM del_wide WHERE id %% 2 = %s %% 2', r),
	'VACUUM (INDEX_CLEANUP ON) del_wide',
	format('INSERT INTO del_wide SELECT * FROM ct_cloud(''uniform'', 500, 200, %s) WHERE id %% 2 = %s %% 2', r, r),
	format('INSERT INTO wide_size VALUES (%s, pg_relation_size(''del_wide_pt''))', r)])
FROM generate_series(1, 10) AS r \gexec
\set ECHO all
SELECT ct_check('del_wide');
SELECT ct_same('del_wide', 'array_fill(0.5::real, ''{200}'')');
SELECT s10.bytes < 3 * s0.bytes AS bounded FROM wide_size s0, wide_size s10
	WHERE s0.round = 0 AND s10.round = 10;
DROP TABLE del_wide, wide_size;

-- Vacuum tightens the boxes around what is left, so that scans pass over more
-- pages.  A temporary table: other sessions' snapshots do not keep its rows.
CREATE TEMP TABLE del_box (id integer, pt double precision[]);
INSERT INTO del_box SELECT i, ARRAY[ct_rand(1, i, 1), ct_rand(1, i, 2)]
	FROM generate_series(1, 15000) AS i;
CREATE INDEX del_box_pt ON del_box USING covertree (pt);
INSERT INTO del_box SELECT i, ARRAY[ct_rand(1, i, 1), ct_rand(1, i, 2)]
	FROM generate_series(15001, 20000) AS i;
CREATE FUNCTION del_pages() RETURNS bigint
LANGUAGE plpgsql SET enable_seqscan = off SET enable_sort = off AS $$
DECLARE
	before bigint := pages_read FROM covertree_scan_stats();
BEGIN
	PERFORM (SELECT count(*) FROM (SELECT id FROM del_box ORDER BY pt <~> q.pt LIMIT 10) AS n)
		FROM (SELECT ARRAY[ct_rand(2, i, 1), ct_rand(2, i, 2)] AS pt FROM generate_series(1, 100) AS i) AS q;
	RETURN (SELECT pages_read - before FROM covertree_scan_stats());
END;
$$;
-- narrow strips stay: a few rows in most leaves
DELETE FROM del_box WHERE pt[1] * 10 - floor(pt[1] * 10) > 0.03;
SELECT count(*) FROM del_box;
CREATE TEMP TABLE del_seen AS SELECT del_pages() AS pages;
VACUUM (INDEX_CLEANUP ON) del_box;
SELECT del_pages() < 0.8 * pages AS fewer FROM del_seen;
SELECT ct_check('del_box'), ct_same('del_box', '''{0.5,0.5}''');
INSERT INTO del_box SELECT i, ARRAY[ct_rand(3, i, 1), ct_rand(3, i, 2)]
	FROM generate_series(1, 5000) AS i;
SELECT ct_check('del_box'), ct_same('del_box', '''{0.5,0.5}''');
DROP TABLE del_box, del_seen;
DROP FUNCTION del_pages;
