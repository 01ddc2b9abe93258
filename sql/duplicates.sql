--
-- Many copies of one point cost no depth, and all come back.
--
CREATE TABLE dup (id integer, pt double precision[]);
INSERT INTO dup SELECT i, '{1,2,3}' FROM generate_series(1, 100000) AS i;
INSERT INTO dup SELECT 100000 + id, pt FROM ct_cloud('uniform', 1000, 3);
CREATE INDEX dup_pt ON dup USING covertree (pt);
SELECT ct_check('dup');
SELECT rows, height < 6 AS low FROM covertree_stats('dup_pt');
-- LIMIT inside the heap of copies, at its end and across it
SELECT k, ct_same('dup', '''{1,2,3}''', k)
	FROM unnest('{1,10,99999,100000,100001,100500,null}'::int[]) AS k;
SELECT k, ct_same('dup', '''{0,0,0}''', k)
	FROM unnest('{1000,1001,50000,101000}'::int[]) AS k;
-- rows behind the heap of copies
SELECT ct_same('dup', '''{1,2,3}''', 5, 'id > 100000');
SELECT ct_same('dup', '''{1,2,3}''', 5, 'id % 20000 = 7');
DROP TABLE dup;

-- inserted one by one, among other rows
CREATE TABLE dup (id integer, pt real[]) WITH (autovacuum_enabled = off);
CREATE INDEX dup_pt ON dup USING covertree (pt);
INSERT INTO dup SELECT * FROM ct_cloud('uniform', 500, 2);
INSERT INTO dup SELECT i, CASE WHEN i % 50 = 0 THEN ARRAY[i, -i]::real[] ELSE '{0.5,0.5}' END
	FROM generate_series(1, 100000) AS i;
SELECT ct_check('dup');
SELECT height < 6 AS low FROM covertree_stats('dup_pt');
SELECT k, ct_same('dup', '''{0.5,0.5}''', k)
	FROM unnest('{1,98000,98001,98500,null}'::int[]) AS k;

-- most copies go, some come back
DELETE FROM dup WHERE pt = '{0.5,0.5}' AND id % 10 <> 3;
VACUUM (INDEX_CLEANUP ON) dup;
SELECT ct_check('dup');
SELECT ct_same('dup', '''{0.5,0.5}''');
INSERT INTO dup SELECT i, '{0.5,0.5}' FROM generate_series(1, 20000) AS i;
SELECT ct_check('dup');
SELECT ct_same('dup', '''{0.5,0.5}''', 25000);
DROP TABLE dup;

-- copies of a wide vector
CREATE TABLE dup_wide (id integer, pt real[]);
INSERT INTO dup_wide SELECT i, array_fill(0.25::real, '{1000}')
	FROM generate_series(1, 300) AS i;
CREATE INDEX dup_wide_pt ON dup_wide USING covertree (pt);
INSERT INTO dup_wide SELECT i, array_fill(0.25::real, '{1000}')
	FROM generate_series(301, 600) AS i;
INSERT INTO dup_wide SELECT 600 + i, array_fill(i::real, '{1000}')
	FROM generate_series(1, 10) AS i;
SELECT ct_check('dup_wide');
SELECT ct_same('dup_wide', 'array_fill(0.25::real, ''{1000}'')');
DROP TABLE dup_wide;

-- a leaf full of copies of one place, and then points beside it, on either
-- side of a column's limits
DO $$
DECLARE
	dims integer;
	r text;
BEGIN
	FOREACH dims IN ARRAY '{1,2,3,16,64,65,100}'::int[] LOOP
		CREATE TABLE dup_beside (id integer, pt real[]);
		CREATE INDEX ON dup_beside USING covertree (pt);
		FOR round IN 1 .. 3 LOOP
			INSERT INTO dup_beside SELECT i, array_fill(round, ARRAY[dims])
				FROM generate_series(1, 1000) AS i;
			INSERT INTO dup_beside SELECT i, array_fill(round + i * 0.001, ARRAY[dims])
				FROM generate_series(-20, 20) AS i;
		END LOOP;
		PERFORM ct_check('dup_beside');
		r := ct_same('dup_beside', format('array_fill(2.0, ARRAY[%s])', dims));
		IF r <> 'ok, 3123 rows' THEN
			RAISE WARNING '% dimensions: %', dims, r;
		END IF;
		DROP TABLE dup_beside;
	END LOOP;
END;
$$;

-- zeros of both signs are one place
CREATE TABLE dup_zero (id integer, pt double precision[]);
CREATE INDEX dup_zero_pt ON dup_zero USING covertree (pt);
INSERT INTO dup_zero SELECT i, CASE i % 4 WHEN 0 THEN '{0,0}' WHEN 1 THEN '{-0,0}'
									WHEN 2 THEN '{0,-0}' ELSE '{-0,-0}' END::double precision[]
	FROM generate_series(1, 3000) AS i;
SELECT ct_check('dup_zero');
SELECT ct_same('dup_zero', '''{0,-0}''');
REINDEX INDEX dup_zero_pt;
SELECT ct_check('dup_zero');
SELECT ct_same('dup_zero', '''{-0,1}''');
DROP TABLE dup_zero;
