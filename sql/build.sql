--
-- Building an index of more rows than maintenance_work_mem holds.
--
SET maintenance_work_mem = '1MB';

-- Builds an index, compares some queries with sequential scans, adds and
-- deletes rows, and compares again.  All must be well.
CREATE FUNCTION ct_built(tab text, queries text[])
RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	q text;
	k integer;
	r text;
	stage text;
BEGIN
	EXECUTE format('CREATE INDEX ON %s USING covertree (pt)', tab);
	FOREACH stage IN ARRAY '{built,changed}'::text[] LOOP
		PERFORM ct_check(tab);
		FOREACH q IN ARRAY queries LOOP
			FOREACH k IN ARRAY '{20,null}'::int[] LOOP
				r := ct_same(tab, q, k);
				IF r NOT LIKE 'ok, %' THEN
					RETURN format('%s, %s rows nearest to %s: %s', stage, k, q, r);
				END IF;
			END LOOP;
		END LOOP;
		EXECUTE format('DELETE FROM %s WHERE id %% 9 = 4', tab);
		EXECUTE format('INSERT INTO %s SELECT -id, pt FROM %s WHERE id %% 7 = 3', tab, tab);
	END LOOP;
	RETURN r;
END;
$$;

CREATE TABLE bld (id integer, pt double precision[]);
INSERT INTO bld SELECT id, CASE WHEN id % 100 > 0 THEN pt END FROM ct_cloud('uniform', 25000, 3);
SELECT ct_built('bld', '{"''{0.5,0.5,0.5}''","''{2,0,0}''"}');
-- parts and all: the tree is no worse than one built in memory
SET maintenance_work_mem = '64MB';
CREATE INDEX bld_memory ON bld USING covertree (pt);
SET maintenance_work_mem = '1MB';
CREATE INDEX bld_disk ON bld USING covertree (pt);
SELECT d.rows = m.rows AS rows, d.height <= m.height + 1 AS height,
		d.pages < 1.1 * m.pages AS pages, d.overlap < 1.5 * m.overlap AS overlap
	FROM covertree_stats('bld_disk') AS d, covertree_stats('bld_memory') AS m;
-- the same once more
REINDEX TABLE bld;
SELECT ct_check('bld');
DROP TABLE bld;

-- far apart clusters, and the same in order
CREATE TABLE bld AS SELECT * FROM ct_cloud('clusters', 20000, 3);
SELECT ct_built('bld', '{"''{50,50,50}''"}');
CREATE TABLE bld_sorted AS SELECT * FROM bld ORDER BY pt;
DROP TABLE bld;
SELECT ct_built('bld_sorted', '{"''{50,50,50}''"}');
DROP TABLE bld_sorted;

-- a line, sorted
CREATE TABLE bld AS SELECT i AS id, ARRAY[i]::double precision[] AS pt FROM generate_series(1, 30000) AS i;
SELECT ct_built('bld', '{"''{10000}''","''{-10}''"}');
DROP TABLE bld;

-- powers of two, on a line and in the plane
CREATE TABLE bld AS SELECT i AS id, ARRAY[2.0 ^ (i * 0.02)]::double precision[] AS pt
	FROM generate_series(-15000, 15000) AS i;
SELECT ct_built('bld', '{"''{0}''","''{1e20}''"}');
DROP TABLE bld;
CREATE TABLE bld AS SELECT * FROM ct_cloud('powers', 20000, 2);
SELECT ct_built('bld', '{"''{0,0}''","''{1e20,-1e60}''"}');
DROP TABLE bld;

-- copies of one point: nearly all rows, all rows, and among others
CREATE TABLE bld AS SELECT i AS id, CASE WHEN i % 1000 = 0 THEN ARRAY[i, -i] ELSE '{0.5,0.5}'::double precision[] END AS pt
	FROM generate_series(1, 100000) AS i;
SELECT ct_built('bld', '{"''{0.5,0.5}''","''{2000,1}''"}');
SELECT height < 6 AS low FROM covertree_stats('bld_pt_idx');
DROP TABLE bld;
CREATE TABLE bld AS SELECT i AS id, '{1,2,3}'::double precision[] AS pt FROM generate_series(1, 100000) AS i;
SELECT ct_built('bld', '{"''{1,2,3}''"}');
SELECT height < 6 AS low FROM covertree_stats('bld_pt_idx');
DROP TABLE bld;
CREATE TABLE bld AS SELECT i AS id, CASE WHEN i > 5000 THEN ARRAY[i % 5, 0] ELSE ct_point('uniform', 0, i, 2) END AS pt
	FROM generate_series(1, 60000) AS i;
SELECT ct_built('bld', '{"''{0,0}''","''{3,0.1}''"}');
DROP TABLE bld;

-- points in vector pages
CREATE TABLE bld (id integer, pt real[]);
INSERT INTO bld SELECT id, (SELECT array_agg(sin(pt[1] * j) + pt[2]) FROM generate_series(1, 300) AS j)
	FROM (SELECT * FROM ct_cloud('gauss', 2000, 2) OFFSET 0) AS s;
SELECT ct_built('bld', '{"array_fill(0.5, ''{300}'')"}');
DROP TABLE bld;
-- of which few fit, and all at one distance from each other
CREATE TABLE bld (id integer, pt real[]);
INSERT INTO bld SELECT i, array_fill(0, ARRAY[i]) || 1 || array_fill(0, ARRAY[1999 - i])
	FROM generate_series(1, 500) AS i;
SELECT ct_built('bld', '{"array_fill(0, ''{2000}'')"}');
DROP TABLE bld;

-- records of a residual index
SELECT covertree_create_model('bld', kernel => 'matern52', lengthscale => '{0.3}', nugget => 0.01,
		inducing => (SELECT array_agg(pt) FROM ct_cloud('uniform', 40, 2, 7))) IS NOT NULL AS created;
CREATE TABLE bld AS SELECT * FROM ct_cloud('uniform', 4000, 2);
CREATE INDEX ON bld USING covertree (pt float8_residual_ops (model = 'bld'));
SELECT ct_check('bld');
SELECT k, ct_same('bld', 'residual_query(''bld'', ''{0.3,0.4}'')', k) FROM unnest('{1,300,null}'::int[]) AS k;
DROP TABLE bld;
CREATE TABLE bld AS SELECT * FROM ct_cloud('uniform', 4000, 2);
CREATE INDEX ON bld USING covertree (pt float8_residual_ops (model = 'bld')) WITH (strategy = spatial_proxy);
SELECT ct_check('bld');
SELECT k, ct_same('bld', 'residual_query(''bld'', ''{0.3,0.4}'')', k) FROM unnest('{1,300,null}'::int[]) AS k;
DROP TABLE bld;
SELECT covertree_drop_model('bld');

-- an error when most rows are on disk leaves nothing behind
CREATE TABLE bld AS SELECT i AS id, ARRAY[i, 0]::double precision[] AS pt FROM generate_series(1, 40000) AS i;
INSERT INTO bld VALUES (0, '{1,2,3}');
SELECT state, message FROM ct_error('CREATE INDEX ON bld USING covertree (pt)');
DELETE FROM bld WHERE id = 0;
SELECT ct_built('bld', '{"''{7,7}''"}');
DROP TABLE bld;
RESET maintenance_work_mem;
DROP FUNCTION ct_built;
