--
-- Choosing inducing points from a table.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS covertree;
RESET client_min_messages;

CREATE TABLE ind AS SELECT id, pt, pt::real[] AS pt4, pt::numeric[] AS ptn, point(pt[1], pt[2]) AS p,
	ARRAY[id, id % 7] AS pti, ARRAY[id % 100, id % 7]::smallint[] AS pts
	FROM ct_cloud('clusters', 3000, 3);
INSERT INTO ind (id) SELECT -i FROM generate_series(1, 100) AS i;	-- NULL points

-- shapes, by column type and by method
SELECT method, col, array_dims(covertree_inducing_points('ind', col, 20, method => method)) AS dims
	FROM unnest('{kmeans++,random}'::text[]) AS method, unnest('{pt,pt4,ptn,p,pti,pts}'::name[]) AS col;
SELECT array_dims(covertree_inducing_points('ind', 'pt', 5)) AS by_default,
	array_dims(covertree_inducing_points("table" => 'ind', "column" => 'pt', m => 5, method => 'random', seed => 7)) AS named;

-- a random sample consists of rows, each place once
CREATE FUNCTION ind_rows(points float8[]) RETURNS SETOF float8[]
LANGUAGE sql IMMUTABLE AS $$
	SELECT ARRAY(SELECT points[i][j] FROM generate_subscripts(points, 2) AS j ORDER BY j)
	FROM generate_subscripts(points, 1) AS i;
$$;
SELECT count(*) AS points, count(DISTINCT z) AS different, count(pt) AS rows
	FROM ind_rows(covertree_inducing_points('ind', 'pt', 500, 'random')) AS z LEFT JOIN ind ON pt = z;
SELECT count(*) AS points, count(DISTINCT z) AS different
	FROM ind_rows(covertree_inducing_points('ind', 'pt', 500)) AS z;
-- all there are
SELECT count(DISTINCT z) AS different
	FROM ind_rows(covertree_inducing_points('ind', 'pts', 700, 'random')) AS z;
SELECT * FROM ct_error($$SELECT covertree_inducing_points('ind', 'pts', 701)$$);

-- the same for a seed, however the rows lie and however much memory there is;
-- another one for another seed
CREATE TABLE ind_other AS SELECT pt FROM ind ORDER BY md5(id::text);
INSERT INTO ind_other SELECT pt FROM ind WHERE id % 3 = 0;
SELECT method,
	covertree_inducing_points('ind', 'pt', 30, method, 1) = covertree_inducing_points('ind', 'pt', 30, method, 1) AS again,
	covertree_inducing_points('ind', 'pt', 30, method, 1) = covertree_inducing_points('ind_other', 'pt', 30, method, 1) AS order,
	covertree_inducing_points('ind', 'pt', 30, method, 1) = covertree_inducing_points('ind', 'pt', 30, method, 2) AS seed
	FROM unnest('{kmeans++,random}'::text[]) AS method;
CREATE TABLE ind_digest AS SELECT covertree_inducing_points('ind', 'pt', 30, 'random') AS z,
	covertree_inducing_points('ind', 'pt', 30) AS k;
SET work_mem = '64kB';
SELECT covertree_inducing_points('ind', 'pt', 30, 'random') = z AS memory FROM ind_digest;
SELECT array_dims(covertree_inducing_points('ind', 'pt', 30)) AS dims;
RESET work_mem;
-- nor does the processor matter
SET covertree.kernel_level = scalar;
SELECT covertree_inducing_points('ind', 'pt', 30) = k AS kernels FROM ind_digest;
RESET covertree.kernel_level;

-- centres lie among the points, and nearer to them than a random sample does
SELECT bool_and(z[1] BETWEEN lo AND hi) AS among
	FROM ind_rows(covertree_inducing_points('ind', 'pt', 50)) AS z,
		(SELECT min(pt[1]) AS lo, max(pt[1]) AS hi FROM ind) AS b;
SELECT (SELECT sum(d * d) FROM ind, LATERAL (SELECT min(pt <~> z) AS d FROM ind_rows(k.z) AS z) AS s WHERE pt IS NOT NULL)
	< (SELECT sum(d * d) FROM ind, LATERAL (SELECT min(pt <~> z) AS d FROM ind_rows(r.z) AS z) AS s WHERE pt IS NOT NULL) AS nearer
	FROM (SELECT covertree_inducing_points('ind', 'pt', 20) AS z) AS k,
		(SELECT covertree_inducing_points('ind', 'pt', 20, 'random') AS z) AS r;

-- straight into a model
SELECT covertree_create_model('ind_model', kernel => 'matern52', lengthscale => '{30}', variance => 1, nugget => 0.01,
		inducing => covertree_inducing_points('ind', 'pt', 40));
SELECT m, dims, lengthscale, nugget FROM covertree_model WHERE name = 'ind_model';
SELECT covertree_drop_model('ind_model');

-- views, partitions, names that need quotes
CREATE VIEW ind_view AS SELECT pt AS "the Point" FROM ind WHERE id < 1000;
SELECT array_dims(covertree_inducing_points('ind_view', 'the Point', 3)) AS view;
CREATE SCHEMA "ind Schema";
CREATE TABLE "ind Schema"."a Table" (pt float8[]) PARTITION BY RANGE (pt);
CREATE TABLE "ind Schema".part PARTITION OF "ind Schema"."a Table" DEFAULT;
INSERT INTO "ind Schema"."a Table" SELECT pt FROM ind WHERE pt IS NOT NULL LIMIT 100;
SELECT array_dims(covertree_inducing_points('"ind Schema"."a Table"', 'pt', 3)) AS partitioned;
SET client_min_messages = warning;
DROP SCHEMA "ind Schema" CASCADE;
RESET client_min_messages;

-- errors
CREATE TABLE ind_bad (empty float8[], mixed float8[], nan float8[], t text, d date[]);
INSERT INTO ind_bad VALUES (NULL, '{1,2}', '{1,NaN}', 'x'), (NULL, '{1,2,3}', '{1,2}', 'y');
SELECT args, e.* FROM unnest(ARRAY[$$'ind', 'pt', 0$$, $$'ind', 'pt', -1$$, $$'ind', 'pt', 3001$$,
	$$'ind', 'pt', 5, 'lloyd'$$, $$'ind', 'none', 5$$, $$'ind_none', 'pt', 5$$, $$0, 'pt', 5$$, $$'ind', 'id', 5$$,
	$$'ind_bad', 'empty', 1$$, $$'ind_bad', 'mixed', 1$$, $$'ind_bad', 'nan', 1$$, $$'ind_bad', 't', 1$$, $$'ind_bad', 'd', 1$$])
	WITH ORDINALITY AS a (args, n), ct_error(format('SELECT covertree_inducing_points(%s)', args)) AS e ORDER BY n;
SELECT covertree_inducing_points(NULL, 'pt', 5) IS NULL AS strict;

-- only what the caller may read
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_ind;
RESET client_min_messages;
CREATE ROLE regress_ind;
GRANT SELECT (pt4) ON ind TO regress_ind;
SET ROLE regress_ind;
SELECT * FROM ct_error($$SELECT covertree_inducing_points('ind', 'pt', 2)$$);
SELECT array_dims(covertree_inducing_points('ind', 'pt4', 2)) AS dims;
RESET ROLE;
DROP OWNED BY regress_ind;
DROP ROLE regress_ind;

DROP VIEW ind_view;
DROP TABLE ind, ind_other, ind_bad, ind_digest;
DROP FUNCTION ind_rows(float8[]);
