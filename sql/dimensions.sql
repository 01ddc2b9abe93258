--
-- From one dimension to the most there can be, around the sizes at which
-- vectors begin to fill a register, a node or a page.
--
CREATE TABLE dim_result (element text, dims integer, result text);
DO $$
DECLARE
	element text;
	n integer;
	rows integer;
	r text;
BEGIN
	FOREACH element IN ARRAY '{real,double precision}'::text[] LOOP
		FOREACH n IN ARRAY '{1,2,3,7,8,9,15,16,17,31,32,33,62,63,64,65,100,124,125,126,500,1000,2000}'::int[] LOOP
			CONTINUE WHEN element = 'double precision' AND n > 1000;
			rows := greatest(60, 400 - n);
			EXECUTE format('CREATE TABLE dim (id integer, pt %s[])', element);
			INSERT INTO dim SELECT * FROM ct_cloud('gauss', rows, n);
			CREATE INDEX dim_pt ON dim USING covertree (pt);
			INSERT INTO dim SELECT rows + id, pt FROM ct_cloud('gauss', rows, n, 100);
			PERFORM ct_check('dim');
			SELECT string_agg(DISTINCT s, ', ') INTO r
				FROM (SELECT ct_same('dim', quote_literal(pt), k) AS s
					  FROM ct_cloud('gauss', 3, n, 50), unnest('{1,20,null}'::int[]) AS k) AS q
				WHERE s NOT LIKE 'ok%';
			IF (SELECT dims FROM covertree_stats('dim_pt')) <> n THEN
				r := concat(r, 'dims wrong');
			END IF;
			INSERT INTO dim_result VALUES (element, n, coalesce(r, 'ok'));
			DROP TABLE dim;
		END LOOP;
	END LOOP;
END;
$$;
SELECT element, result, count(*) FROM dim_result
	GROUP BY element, result ORDER BY element, result;
DROP TABLE dim_result;

-- The limits.
CREATE TABLE dim4 (pt real[]);
CREATE INDEX dim4_pt ON dim4 USING covertree (pt);
CREATE TABLE dim8 (pt double precision[]);
CREATE INDEX dim8_pt ON dim8 USING covertree (pt);
SELECT * FROM ct_error($$INSERT INTO dim4 VALUES (array_fill(1::real, '{2001}'))$$);
SELECT * FROM ct_error($$INSERT INTO dim8 VALUES (array_fill(1::float8, '{2001}'))$$);
SELECT * FROM ct_error($$INSERT INTO dim8 VALUES (array_fill(1::float8, '{2000}'))$$);
SELECT * FROM ct_error($$SELECT array_fill(1::real, '{2001}') <~> array_fill(1::real, '{2001}')$$);
SELECT array_fill(1::float8, '{2000}') <~> array_fill(2::float8, '{2000}') = sqrt(2000) AS same;
-- the largest double precision[] that an index takes, and that it works
SELECT max(n) AS largest FROM generate_series(1000, 1030) AS n,
	ct_error(format($$INSERT INTO dim8 VALUES (array_fill(1::float8, '{%s}'));
					  DELETE FROM dim8; TRUNCATE dim8$$, n))
	WHERE state = '00000';
SELECT max(n) AS largest FROM generate_series(1000, 1030) AS n,
	ct_error(format($$INSERT INTO dim8 VALUES (array_fill(1::float8, '{%s}'));
					  REINDEX TABLE dim8; TRUNCATE dim8$$, n))
	WHERE state = '00000';
-- a build over rows that are too wide
DROP INDEX dim8_pt;
INSERT INTO dim8 SELECT array_fill(i::float8, '{1500}') FROM generate_series(1, 5) AS i;
SELECT * FROM ct_error($$CREATE INDEX dim8_pt ON dim8 USING covertree (pt)$$);
DROP TABLE dim4, dim8;

-- The first row decides the dimension, until the index is empty and rebuilt.
CREATE TABLE dim (pt double precision[]);
CREATE INDEX dim_pt ON dim USING covertree (pt);
SELECT dims FROM covertree_stats('dim_pt');
INSERT INTO dim VALUES (NULL);
INSERT INTO dim VALUES ('{1,2,3}');
SELECT dims FROM covertree_stats('dim_pt');
SELECT * FROM ct_error($$INSERT INTO dim VALUES ('{1,2}')$$);
SELECT * FROM ct_error($$INSERT INTO dim VALUES ('{1,2,3,4}')$$);
SELECT ct_check('dim'), ct_same('dim', '''{1,1,1}''');
TRUNCATE dim;
INSERT INTO dim VALUES ('{1,2}'), ('{3,4}');
SELECT dims FROM covertree_stats('dim_pt');
SELECT ct_check('dim'), ct_same('dim', '''{1,1}''');
DROP TABLE dim;

-- Vacuum frees the dimension of an index without points.  Temporary tables:
-- no other session's snapshot keeps their rows from vacuum.
CREATE TEMP TABLE dim (pt double precision[]);
CREATE INDEX dim_pt ON dim USING covertree (pt);
VACUUM dim;
BEGIN;
INSERT INTO dim VALUES ('{1,2,3}');
ROLLBACK;
SELECT * FROM ct_error($$INSERT INTO dim VALUES ('{1,2}')$$);
VACUUM (INDEX_CLEANUP ON) dim;
SELECT dims FROM covertree_stats('dim_pt');
SELECT ct_check('dim'), ct_same('dim', '''{1,1,1}''');
INSERT INTO dim SELECT ARRAY[i, i % 7] FROM generate_series(1, 2000) AS i;
SELECT dims FROM covertree_stats('dim_pt');
SELECT ct_check('dim'), ct_same('dim', '''{1,1}''');
SELECT message, detail FROM ct_error($$SELECT ct_same('dim', '''{1,1,1}''')$$);
-- rows without a point may stay, a single one with a point may not
DELETE FROM dim WHERE pt[1] > 1;
INSERT INTO dim VALUES (NULL), (NULL);
VACUUM (INDEX_CLEANUP ON) dim;
SELECT dims, rows, nulls FROM covertree_stats('dim_pt');
DELETE FROM dim WHERE pt[1] = 1;
VACUUM (INDEX_CLEANUP ON) dim;
SELECT dims, rows, nulls, routing_pages, leaf_pages FROM covertree_stats('dim_pt');
SELECT ct_check('dim'), ct_same('dim', '''{1,1,1,1}''');
-- its pages are used again, whatever they held
INSERT INTO dim SELECT ARRAY[i, i % 7, -i, i / 3, 0, 1] FROM generate_series(1, 3000) AS i;
SELECT ct_check('dim'), ct_same('dim', '''{1,1,1,1,1,1}''', 100);
SELECT dims, rows, nulls, free_pages < 3 AS reused FROM covertree_stats('dim_pt');
-- so does a vacuum that finds an index empty
DELETE FROM dim;
VACUUM (INDEX_CLEANUP OFF) dim;
VACUUM (INDEX_CLEANUP ON) dim;
VACUUM (INDEX_CLEANUP ON) dim;
SELECT dims, rows, nulls FROM covertree_stats('dim_pt');
DROP TABLE dim;

-- Vectors have pages of their own, which become free.
CREATE TEMP TABLE dim (pt real[]);
CREATE INDEX dim_pt ON dim USING covertree (pt);
CREATE FUNCTION dim_fill(d integer) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	s record;
	r text;
BEGIN
	INSERT INTO dim SELECT (SELECT array_agg(ct_rand(d, n, j)) FROM generate_series(1, d) AS j)
		FROM generate_series(1, 40) AS n;
	PERFORM ct_check('dim');
	r := ct_same('dim', format('array_fill(0.5, ''{%s}'')', d));
	SELECT * INTO s FROM covertree_stats('dim_pt');
	DELETE FROM dim;
	RETURN format('%s, dims %s, vectors %s, pages %s', r, s.dims, s.vector_pages > 0, s.pages < 130);
END;
$$;
SELECT dim_fill(100);
VACUUM (INDEX_CLEANUP ON) dim;
SELECT dim_fill(2);
VACUUM (INDEX_CLEANUP ON) dim;
SELECT dim_fill(2000);
VACUUM (INDEX_CLEANUP ON) dim;
SELECT dim_fill(1200);
VACUUM (INDEX_CLEANUP ON) dim;
SELECT dim_fill(65);
VACUUM (INDEX_CLEANUP ON) dim;
SELECT dim_fill(1700);
VACUUM (INDEX_CLEANUP ON) dim;
SELECT dim_fill(1300);
VACUUM (INDEX_CLEANUP ON) dim;
SELECT dims, rows, vector_pages, pages - free_pages AS others FROM covertree_stats('dim_pt');
SELECT ct_check('dim');
DROP FUNCTION dim_fill;
DROP TABLE dim;

-- Residual indexes, landmarks included: a model without inducing points fits
-- any dimension.
SELECT covertree_create_model('dim', kernel => 'rbf', lengthscale => '{0.5}', inducing => NULL) IS NOT NULL AS created;
CREATE TEMP TABLE dim (pt double precision[]);
INSERT INTO dim SELECT pt FROM ct_cloud('gauss', 500, 3);
CREATE INDEX dim_pt ON dim USING covertree (pt float8_residual_ops (model = 'dim'));
SELECT ct_same('dim', 'residual_query(''dim'', ''{0,0.1,0.2}'')');
DELETE FROM dim;
VACUUM (INDEX_CLEANUP ON) dim;
SELECT dims, rows, vector_pages FROM covertree_stats('dim_pt');
INSERT INTO dim SELECT pt FROM ct_cloud('gauss', 500, 2);
SELECT ct_check('dim'), ct_same('dim', 'residual_query(''dim'', ''{0,0.1}'')');
SELECT message FROM ct_error($$SELECT ct_same('dim', 'residual_query(''dim'', ''{0,0.1,0.2}'')')$$);
DELETE FROM dim;
VACUUM (INDEX_CLEANUP ON) dim;
INSERT INTO dim SELECT pt FROM ct_cloud('gauss', 500, 3, 5);
SELECT ct_check('dim'), ct_same('dim', 'residual_query(''dim'', ''{0,0.1,0.2}'')');
DROP TABLE dim;
SELECT covertree_drop_model('dim');
