--
-- Unlogged and temporary tables.
--
CREATE UNLOGGED TABLE unl (id integer, pt double precision[]);
CREATE INDEX unl_pt ON unl USING covertree (pt);
SELECT ct_same('unl', '''{0,0,0}''');
INSERT INTO unl SELECT * FROM ct_cloud('gauss', 3000, 3);
SELECT ct_check('unl');
SELECT ct_same('unl', '''{0.1,0.2,0.3}''');
DELETE FROM unl WHERE id % 2 = 0;
VACUUM (INDEX_CLEANUP ON) unl;
INSERT INTO unl SELECT * FROM ct_cloud('lattice', 1000, 3);
SELECT ct_check('unl');
SELECT ct_same('unl', '''{0.1,0.2,0.3}''');
-- the init fork is there for a restart to copy
SELECT pg_relation_size('unl_pt', 'init') > 0 AS has_init_fork;

-- logged and back
ALTER TABLE unl SET LOGGED;
SELECT pg_relation_size('unl_pt', 'init') > 0 AS has_init_fork;
SELECT ct_check('unl'), ct_same('unl', '''{0.1,0.2,0.3}''', 100);
ALTER TABLE unl SET UNLOGGED;
INSERT INTO unl SELECT * FROM ct_cloud('gauss', 100, 3, 5);
SELECT ct_check('unl'), ct_same('unl', '''{0.1,0.2,0.3}''', 100);
DROP TABLE unl;

-- built over rows
CREATE UNLOGGED TABLE unl AS SELECT * FROM ct_cloud('uniform', 3000, 2);
CREATE INDEX unl_pt ON unl USING covertree (pt);
SELECT ct_check('unl'), ct_same('unl', '''{0.1,0.2}''');
DROP TABLE unl;

CREATE TEMP TABLE tmp (id integer, pt real[]);
CREATE INDEX tmp_pt ON tmp USING covertree (pt);
INSERT INTO tmp SELECT * FROM ct_cloud('gauss', 3000, 3);
SELECT ct_check('tmp');
SELECT ct_same('tmp', '''{0.1,0.2,0.3}''');
DELETE FROM tmp WHERE id % 2 = 0;
VACUUM (INDEX_CLEANUP ON) tmp;
INSERT INTO tmp SELECT * FROM ct_cloud('lattice', 1000, 3);
SELECT ct_check('tmp');
SELECT ct_same('tmp', '''{0.1,0.2,0.3}''');
REINDEX INDEX tmp_pt;
SELECT ct_check('tmp'), ct_same('tmp', '''{0.1,0.2,0.3}''', 100);
DROP TABLE tmp;

-- emptied at the end of each transaction
CREATE TEMP TABLE tmp_commit (id integer, pt real[]) ON COMMIT DELETE ROWS;
CREATE INDEX tmp_commit_pt ON tmp_commit USING covertree (pt);
BEGIN;
INSERT INTO tmp_commit SELECT * FROM ct_cloud('gauss', 1000, 3);
SELECT ct_same('tmp_commit', '''{0.1,0.2,0.3}''');
COMMIT;
SELECT ct_same('tmp_commit', '''{0.1,0.2,0.3}''');
BEGIN;
-- another dimension, since no row is left of the first
INSERT INTO tmp_commit SELECT * FROM ct_cloud('gauss', 1000, 2);
SELECT ct_same('tmp_commit', '''{0.1,0.2}''');
COMMIT;
DROP TABLE tmp_commit;
