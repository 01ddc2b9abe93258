--
-- Models of residual correlation: making and dropping them, the type
-- residual_query, and the distance without an index.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS covertree;
RESET client_min_messages;

-- numbers that can be computed by hand: one inducing point at 0, no jitter
CREATE TABLE mdl_hand (kernel text, p1 float8, p2 float8, d12 float8, d1m1 float8, rho1m1 float8);
INSERT INTO mdl_hand VALUES
	('rbf', 0.632120558829, 0.981684361111, 0.578139036504, 0.795060097621, -0.367879441171),
	('matern12', 0.864664716763, 0.981684361111, 0.809161441425, 1, 0),
	('matern32', 0.766365310073, 0.980475149773, 0.721320666992, 0.936733270100, -0.122530780687),
	('matern52', 0.725430173910, 0.980773343628, 0.681850372295, 0.901470818306, -0.187350363743);
SELECT count(covertree_create_model('mdl_' || kernel, kernel, '{1}', '{{0}}', jitter => 0)::text)
	FROM mdl_hand;
SELECT kernel,
	abs(covertree_residual_variance(m, '{1}') - p1) < 1e-11 AS p1,
	abs(covertree_residual_variance(m, '{2}') - p2) < 1e-11 AS p2,
	abs(('{1}'::float8[] <~> residual_query(m, '{2}')) - d12) < 1e-11 AS d12,
	abs(('{1}'::real[] <~> residual_query(m, '{-1}')) - d1m1) < 1e-11 AS d1m1,
	abs(covertree_residual_correlation(m, '{1}', '{-1}') - rho1m1) < 1e-11 AS rho1m1,
	'{1}'::float8[] <~> residual_query(m, '{1}') AS d11
	FROM mdl_hand, concat('mdl_', kernel) AS m ORDER BY kernel;

-- feature rows and ARD against an independent implementation
CREATE TABLE mdl_vif (i integer PRIMARY KEY, x1 float8, x2 float8, x3 float8, y float8);
CREATE TABLE mdl_vif_z (z1 float8, z2 float8, z3 float8);
CREATE TABLE mdl_vif_p (i integer, p float8);
\copy mdl_vif FROM 'data/vif_ard_data.csv' (FORMAT csv, HEADER)
\copy mdl_vif_z FROM 'data/vif_ard_inducing.csv' (FORMAT csv, HEADER)
\copy mdl_vif_p FROM 'data/vif_ard_pdiag.csv' (FORMAT csv, HEADER)
SELECT covertree_create_model('mdl_vif', kernel => 'exponential', lengthscale => '{0.1,0.2,0.15}',
		variance => 1.6, jitter => 1e-6,
		inducing => (SELECT array_agg(ARRAY[z1, z2, z3]) FROM mdl_vif_z));
-- one row is an inducing point: what cancellation leaves of 1.6 is the jitter
SELECT count(*) AS rows, count(*) FILTER (WHERE err <= 1e-12 * p) AS relative,
	count(*) FILTER (WHERE err <= 1e-14) AS absolute, min(p) < 2e-6 AS jitter
	FROM mdl_vif JOIN mdl_vif_p USING (i),
		LATERAL abs(covertree_residual_variance('mdl_vif', ARRAY[x1, x2, x3]) - p) AS err;

-- what the table says
SELECT name, owner = current_user AS mine, kernel, m, dims, lengthscale, variance, nugget, jitter,
	array_dims(inducing) AS inducing, array_dims(factor) AS factor, fingerprint ~ '^[0-9a-f]{32}$' AS fingerprint
	FROM covertree_model WHERE name LIKE 'mdl\_%' ORDER BY name;

-- the same parameters are the same model, whatever the names of model and kernel
SELECT covertree_create_model('mdl_vif_2', 'matern12', '{0.1,0.2,0.15}',
		(SELECT array_agg(ARRAY[z1, z2, z3]) FROM mdl_vif_z), 1.6);
SELECT count(DISTINCT fingerprint) AS fingerprints FROM covertree_model WHERE name LIKE 'mdl\_vif%';
-- other parameters are not
SELECT covertree_create_model('mdl_vif_3', 'matern12', '{0.1,0.2,0.15}',
		(SELECT array_agg(ARRAY[z1, z2, z3]) FROM mdl_vif_z), 1.6, nugget => 0.5);
SELECT count(DISTINCT fingerprint) AS fingerprints FROM covertree_model WHERE name LIKE 'mdl\_vif%';
-- a nugget adds to p, and keeps rows at one place apart
SELECT bool_and(abs(covertree_residual_variance('mdl_vif_3', x) - covertree_residual_variance('mdl_vif', x) - 0.5) < 1e-14) AS p,
	bool_and((x <~> residual_query('mdl_vif', x)) = 0) AS zero,
	bool_and((x <~> residual_query('mdl_vif_3', x)) > 0.3) AS apart
	FROM mdl_vif, LATERAL (VALUES (ARRAY[x1, x2, x3])) AS v (x);

-- one lengthscale for all dimensions or one for each; scaled points instead
SELECT covertree_create_model('mdl_iso', 'matern52', '{0.5}', '{{0,0},{1,0},{0,1}}');
SELECT covertree_create_model('mdl_iso_2', 'matern52', '{0.5,0.5}', '{{0,-0},{1,0},{0,1}}');
SELECT covertree_create_model('mdl_ard', 'matern52', '{0.5,2}', '{{0,0},{1,0},{0,4}}');
SELECT count(DISTINCT fingerprint) AS fingerprints FROM covertree_model WHERE name LIKE 'mdl\_iso%';
SELECT covertree_residual_correlation('mdl_iso', '{0.25,0.5}', '{0.5,0.75}')
	= covertree_residual_correlation('mdl_ard', '{0.25,2}', '{0.5,3}') AS same;

-- without inducing points: of any dimension, unless there are several lengthscales
SELECT covertree_create_model('mdl_any', 'rbf', '{2}', NULL);
SELECT covertree_create_model('mdl_any_2', 'gaussian', '{2}', '{}', jitter => 1e-6);
SELECT covertree_create_model('mdl_two', 'rbf', '{2,2}', '{}', 3);
SELECT name, m, dims, lengthscale, inducing, factor, fingerprint FROM covertree_model
	WHERE name IN ('mdl_any', 'mdl_any_2', 'mdl_two') ORDER BY name;
SELECT abs(('{1}'::float8[] <~> residual_query('mdl_any', '{2}')) - sqrt(1 - exp(-0.125))) < 1e-15 AS d1,
	abs(('{1,1,1}'::float8[] <~> residual_query('mdl_any', '{1,2,1}')) - sqrt(1 - exp(-0.125))) < 1e-15 AS d3,
	abs(('{1,1}'::float8[] <~> residual_query('mdl_two', '{1,2}')) - sqrt(1 - exp(-0.125))) < 1e-15 AS d2,
	covertree_residual_variance('mdl_any', array_fill(1::float8, '{2000}')) AS p2000,
	covertree_residual_variance('mdl_two', '{1,2}') AS p2;

-- extreme but allowed: far apart, on top of each other
SELECT count(covertree_create_model('mdl_far_' || kernel, kernel, '{1e-300}', '{{0,0},{1,1}}', 1e-300)::text),
	count(covertree_create_model('mdl_top_' || kernel, kernel, '{1e300}', '{{0,0},{1,1}}', 1e300)::text) FROM mdl_hand;
SELECT kernel, '{1e300,-1e300}'::float8[] <~> residual_query('mdl_far_' || kernel, '{-1e300,1e300}') AS far,
	('{0,0}'::float8[] <~> residual_query('mdl_top_' || kernel, '{1,2}')) BETWEEN 0 AND 1 AS top
	FROM mdl_hand ORDER BY kernel;

-- what is no model
SELECT args, e.state, e.message, e.detail, e.hint
FROM unnest(ARRAY[
	$$'mdl_x', 'cubic', '{1}', NULL$$, $$'mdl_x', '', '{1}', NULL$$,
	$$'', 'rbf', '{1}', NULL$$, $$repeat('m', 64), 'rbf', '{1}', NULL$$,
	$$'mdl_rbf', 'rbf', '{1}', NULL$$,
	$$NULL, 'rbf', '{1}', NULL$$, $$'mdl_x', NULL, '{1}', NULL$$,
	$$'mdl_x', 'rbf', NULL, NULL$$, $$'mdl_x', 'rbf', '{1}', NULL, variance => NULL$$,
	$$'mdl_x', 'rbf', '{1}', NULL, nugget => NULL$$, $$'mdl_x', 'rbf', '{1}', NULL, jitter => NULL$$,
	$$'mdl_x', 'rbf', '{0}', NULL$$, $$'mdl_x', 'rbf', '{1,-1}', NULL$$,
	$$'mdl_x', 'rbf', '{NaN}', NULL$$, $$'mdl_x', 'rbf', '{Infinity}', NULL$$,
	$$'mdl_x', 'rbf', '{1,NULL}', NULL$$, $$'mdl_x', 'rbf', '{}', NULL$$,
	$$'mdl_x', 'rbf', '{{1,2}}', NULL$$, $$'mdl_x', 'rbf', array_fill(1, '{2001}'), NULL$$,
	$$'mdl_x', 'rbf', '{1,2,3}', '{{1,2}}'$$, $$'mdl_x', 'rbf', '{1,2}', '{{1}}'$$,
	$$'mdl_x', 'rbf', '{1}', '{1,2}'$$, $$'mdl_x', 'rbf', '{1}', '{{{1,2}}}'$$,
	$$'mdl_x', 'rbf', '{1}', '{{1,NULL}}'$$, $$'mdl_x', 'rbf', '{1}', '{{1,2},{3,NaN}}'$$,
	$$'mdl_x', 'rbf', '{1}', '{{-Infinity}}'$$,
	$$'mdl_x', 'rbf', '{1}', array_fill(1, '{3001,1}')$$, $$'mdl_x', 'rbf', '{1}', array_fill(1, '{1,2001}')$$,
	$$'mdl_x', 'rbf', '{1}', NULL, variance => 0$$, $$'mdl_x', 'rbf', '{1}', NULL, variance => 'NaN'$$,
	$$'mdl_x', 'rbf', '{1}', NULL, variance => 'Infinity'$$,
	$$'mdl_x', 'rbf', '{1}', NULL, nugget => -1$$, $$'mdl_x', 'rbf', '{1}', NULL, jitter => -1e-9$$,
	$$'mdl_x', 'rbf', '{1}', NULL, jitter => 'NaN'$$, $$'mdl_x', 'rbf', '{1}', NULL, jitter => 1e7$$,
	$$'mdl_x', 'rbf', '{1}', '{{0},{1},{0}}', jitter => 0$$
	]) WITH ORDINALITY AS a (args, n),
	ct_error(format('SELECT covertree_create_model(%s)', args)) AS e
ORDER BY n;
SELECT count(*) FROM covertree_model WHERE name = 'mdl_x';
BEGIN READ ONLY;
SELECT covertree_create_model('mdl_x', 'rbf', '{1}', NULL);
ROLLBACK;

-- a model goes with the transaction that made it
BEGIN;
SELECT covertree_create_model('mdl_x', 'rbf', '{1}', NULL);
SELECT residual_query('mdl_x', '{1}');
SAVEPOINT s;
SELECT covertree_drop_model('mdl_x');
SELECT * FROM ct_error($$SELECT residual_query('mdl_x', '{1}')$$);
ROLLBACK TO s;
SELECT residual_query('mdl_x', '{1}');
ROLLBACK;
SELECT * FROM ct_error($$SELECT residual_query('mdl_x', '{1}')$$);

--
-- The type
--
SELECT residual_query('mdl_any', '{0.1,0.2}') AS unknown,
	residual_query('mdl_any', ARRAY[0.1, 0.2]) AS numeric,
	residual_query('mdl_any', '{0.1,0.2}'::real[]) AS real,
	residual_query('mdl_any', ARRAY[1, 2]) AS integer,
	residual_query('mdl_any', ARRAY[1, 2]::bigint[]) AS bigint \gx
SELECT residual_query('mdl_any', NULL) IS NULL AND residual_query(NULL, '{1}') IS NULL AS strict;

-- forms of the same value
SELECT v, v::residual_query
FROM unnest(ARRAY['mdl_any {1,2.5}', ' "mdl_any"{ 1 , 2.50e0 } ',
	E'mdl_any\t{1,2.5}\n@c0c2ac3a2bbfcde2a0a7b4f6a4a6a9b0 ', '"with ""quotes"" and space" {-0} @00000000000000000000000000000000',
	'plain.1-2_X {1e300} @0123456789abcdef0123456789abcdef']) AS v;
SELECT v, e.state, e.message, e.detail, e.hint
FROM unnest(ARRAY['', 'mdl_any', '{1,2}', 'mdl_any {1,2', 'mdl_any {}', 'mdl_any {1,NULL}', 'mdl_any {1,NaN}',
	'mdl_any {{1,2}}', 'mdl_any {{1},{2}}', 'mdl_any {1,x}', 'mdl_any {1e999}', 'mdl_any {1} x', 'mdl_any {1} @', 'mdl_any {1} @12',
	'mdl_any {1} @0123456789abcdef0123456789abcdeg', 'mdl_any {1} @0123456789ABCDEF0123456789abcdef',
	'mdl_any {1} @0123456789abcdef0123456789abcdef0', '"mdl_any {1}', '"" {1}', 'a b {1}',
	repeat('m', 64) || ' {1}', 'mdl_none {1}', 'mdl_two {1}', 'mdl_two {1,2,3}']) WITH ORDINALITY AS a (v, n),
	ct_error(format('SELECT %L::residual_query', v)) AS e
ORDER BY n;
SELECT q, e.* FROM unnest(ARRAY[$$'mdl_none', '{1}'$$, $$'mdl_two', '{1}'$$, $$'mdl_any', '{}'$$, $$'mdl_any', '{{1}}'$$,
	$$'mdl_any', '{1,NaN}'$$, $$'mdl_any', '{Infinity}'$$, $$'mdl_any', '{NULL}'$$, $$'', '{1}'$$, $$repeat('m', 64), '{1}'$$,
	$$'mdl_any', array_fill(0, '{2001}')$$]) WITH ORDINALITY AS a (q, n), ct_error(format('SELECT residual_query(%s)', q)) AS e
ORDER BY n;

-- text and binary come back to the bit, whatever extra_float_digits says
CREATE TABLE mdl_q (id integer, q residual_query, a residual_query[]);
INSERT INTO mdl_q SELECT i, q, ARRAY[q, NULL, q] FROM generate_series(1, 300) AS i,
	LATERAL residual_query('mdl_any', ARRAY[sin(i), exp(i), -exp(-2 * i), 1 / i::float8, -0.0::float8, 5e-324]) AS q;
INSERT INTO mdl_q VALUES (0, NULL, NULL), (-1, residual_query('mdl_any', array_fill(1 / 3::float8, '{2000}')), NULL);
SET extra_float_digits = 0;
SELECT count(*) FROM mdl_q WHERE residual_query_send(q) <> residual_query_send(q::text::residual_query);
CREATE TABLE mdl_q2 (LIKE mdl_q);
\copy mdl_q TO 'results/models_q.txt'
\copy mdl_q2 FROM 'results/models_q.txt'
RESET extra_float_digits;
\copy mdl_q TO 'results/models_q.bin' (FORMAT binary)
CREATE TABLE mdl_q3 (LIKE mdl_q);
\copy mdl_q3 FROM 'results/models_q.bin' (FORMAT binary)
SELECT count(*) AS rows,
	count(*) FILTER (WHERE residual_query_send(a.q) IS DISTINCT FROM residual_query_send(b.q)
					 OR residual_query_send(a.a[3]) IS DISTINCT FROM residual_query_send(b.a[3])) AS text,
	count(*) FILTER (WHERE residual_query_send(a.q) IS DISTINCT FROM residual_query_send(c.q)
					 OR residual_query_send(a.a[1]) IS DISTINCT FROM residual_query_send(c.a[1])) AS binary
	FROM mdl_q a JOIN mdl_q2 b USING (id) JOIN mdl_q3 c USING (id);
SELECT encode(residual_query_send(residual_query('mdl_any', '{1,-0.5}')), 'hex');

--
-- The operator
--

-- which one it is for the types that a column or a constant may have
CREATE VIEW mdl_v AS SELECT '{1,2}'::float8[] <~> residual_query('mdl_any', '{1,2}') AS f8,
	'{1,2}'::real[] <~> residual_query('mdl_any', '{1,2}') AS f4,
	'{1,2}'::float8[] <~> '{1,3}' AS euclidean;
SELECT DISTINCT d.refobjid::regoperator AS operator
	FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
	WHERE d.refclassid = 'pg_operator'::regclass AND r.ev_class = 'mdl_v'::regclass ORDER BY 1;
SELECT * FROM mdl_v;
DROP VIEW mdl_v;
SELECT e.* FROM unnest(ARRAY[
	$$'{1}'::float8[] <~> residual_query('mdl_any', '{1,2}')$$,
	$$'{NaN}'::float8[] <~> residual_query('mdl_any', '{1}')$$,
	$$'{NULL}'::real[] <~> residual_query('mdl_any', '{1}')$$,
	$$'{}'::real[] <~> residual_query('mdl_any', '{1}')$$,
	$$'{1}'::float8[] <~> 'mdl_any {1} @00000000000000000000000000000000'$$,
	$$'{1}'::float8[] <~> residual_query 'mdl_any {1} @00000000000000000000000000000000'$$,
	$$'{1,2,3}'::float8[] <~> residual_query('mdl_two', '{1,2}')$$,
	$$covertree_residual_variance('mdl_none', '{1}')$$,
	$$covertree_residual_variance('mdl_two', '{1}')$$,
	$$covertree_residual_variance('mdl_any', '{1,NaN}')$$,
	$$covertree_residual_correlation('mdl_any', '{1}', '{1,2}')$$,
	$$covertree_residual_correlation('mdl_two', '{1,2}', '{1}')$$]) WITH ORDINALITY AS a (q, n),
	ct_error('SELECT ' || q) AS e ORDER BY n;
SELECT ('{1}'::float8[] <~> NULL::residual_query) IS NULL AS strict;

-- agrees with the correlation; the query may change from row to row, model too
CREATE TABLE mdl_t AS SELECT id, pt, pt::real[] AS pt4 FROM ct_cloud('uniform', 2000, 3);
SELECT count(*) FILTER (WHERE abs(d1 - sqrt(1 - abs(rho))) < 1e-15) AS right, count(*) FILTER (WHERE d1 = d2) AS symmetric
	FROM (SELECT a.pt <~> residual_query(m, b.pt) AS d1, b.pt <~> residual_query(m, a.pt) AS d2,
				covertree_residual_correlation(m, a.pt, b.pt) AS rho
		  FROM mdl_t a JOIN mdl_t b ON b.id = a.id + 1000,
			  LATERAL (VALUES (CASE a.id % 3 WHEN 0 THEN 'mdl_any' WHEN 1 THEN 'mdl_vif' ELSE 'mdl_vif_3' END)) AS v (m)) AS s;
SELECT count(*) FROM mdl_t a JOIN mdl_t b ON b.id = a.id + 1000
	WHERE (a.pt4 <~> residual_query('mdl_vif', b.pt4)) <> (a.pt4::float8[] <~> residual_query('mdl_vif', b.pt4::float8[]));

-- prepared, with a custom plan and a generic one
PREPARE mdl_near(text, float8[]) AS SELECT id FROM mdl_t ORDER BY pt <~> residual_query($1, $2), id LIMIT 3;
SET plan_cache_mode = force_generic_plan;
EXECUTE mdl_near('mdl_vif', '{0.5,0.5,0.5}');
EXECUTE mdl_near('mdl_any', '{0.5,0.5,0.5}');
SET plan_cache_mode = force_custom_plan;
EXECUTE mdl_near('mdl_vif', '{0.5,0.5,0.5}');
EXECUTE mdl_near('mdl_any', '{0.5,0.5,0.5}');
RESET plan_cache_mode;
DEALLOCATE mdl_near;

-- in parallel workers, which have to find the model themselves
CREATE TABLE mdl_digest AS SELECT md5(string_agg(encode(float8send(pt <~> residual_query('mdl_vif', '{0.5,0.5,0.5}')), 'hex'), ',' ORDER BY id)) FROM mdl_t;
ALTER TABLE mdl_t SET (parallel_workers = 2);
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET parallel_leader_participation = off;
EXPLAIN (COSTS OFF)
SELECT id FROM mdl_t WHERE (pt <~> residual_query('mdl_vif', '{0.5,0.5,0.5}')) < 2;
SELECT count(id), sum((pt <~> residual_query('mdl_vif', '{0.5,0.5,0.5}'))::numeric) = (SELECT sum((pt <~> residual_query('mdl_vif', '{0.5,0.5,0.5}'))::numeric) FROM mdl_t LIMIT 1 OFFSET 0) AS same
	FROM mdl_t WHERE (pt <~> residual_query('mdl_vif', '{0.5,0.5,0.5}')) < 2;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
RESET parallel_leader_participation;

-- all kernels of the processor compute the same bits
SET covertree.kernel_level = scalar;
SELECT md5(string_agg(encode(float8send(pt <~> residual_query('mdl_vif', '{0.5,0.5,0.5}')), 'hex'), ',' ORDER BY id)) = (TABLE mdl_digest) AS same FROM mdl_t;
SELECT covertree_create_model('mdl_scalar', 'matern12', '{0.1,0.2,0.15}',
		(SELECT array_agg(ARRAY[z1, z2, z3]) FROM mdl_vif_z), 1.6);
RESET covertree.kernel_level;
SELECT count(DISTINCT fingerprint) AS fingerprints FROM covertree_model WHERE name IN ('mdl_vif', 'mdl_scalar');

-- the schema of the extension and search_path do not matter
SET search_path = pg_catalog;
SELECT public.covertree_residual_variance('mdl_two', '{1,2}');
RESET search_path;
CREATE SCHEMA mdl_schema;
ALTER EXTENSION covertree SET SCHEMA mdl_schema;
SELECT mdl_schema.covertree_residual_variance('mdl_two', '{1,2}');
SELECT mdl_schema.covertree_create_model('mdl_moved', 'rbf', '{1}', NULL);
SELECT mdl_schema.covertree_drop_model('mdl_moved');
ALTER EXTENSION covertree SET SCHEMA public;
DROP SCHEMA mdl_schema;

--
-- Rights
--
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_mdl_a, regress_mdl_b;
RESET client_min_messages;
CREATE ROLE regress_mdl_a;
CREATE ROLE regress_mdl_b;
SET ROLE regress_mdl_a;
SELECT covertree_create_model('mdl_a', 'rbf', '{1,2}', '{{0,0},{1,1}}');
SELECT name, owner, m, dims FROM covertree_model WHERE name = 'mdl_a';
SELECT statement, e.state, e.message FROM unnest(ARRAY[
	$$INSERT INTO covertree_model SELECT 'mdl_b', owner FROM covertree_model$$,
	$$UPDATE covertree_model SET variance = 2$$, $$DELETE FROM covertree_model$$, $$TRUNCATE covertree_model$$,
	$$SELECT covertree_drop_model('mdl_rbf')$$]) AS statement, ct_error(statement) AS e;
SET ROLE regress_mdl_b;
SELECT round(('{1,1}'::float8[] <~> residual_query('mdl_a', '{1,0}'))::numeric, 6) AS d;
SELECT * FROM ct_error($$SELECT covertree_drop_model('mdl_a')$$);
RESET ROLE;
GRANT regress_mdl_a TO regress_mdl_b;
SET ROLE regress_mdl_b;
SELECT covertree_drop_model('mdl_a');
SET ROLE regress_mdl_a;
SELECT covertree_create_model('mdl_a', 'rbf', '{1,2}', '{{0,0},{1,1}}');
RESET ROLE;
DROP ROLE regress_mdl_a, regress_mdl_b;
SELECT covertree_drop_model('mdl_a');

--
-- Dropping
--
SELECT * FROM ct_error($$SELECT covertree_drop_model('mdl_none')$$);
CREATE TABLE mdl_kept AS SELECT residual_query('mdl_two', '{1,2}') AS q;
SELECT round(('{1,3}'::float8[] <~> q)::numeric, 9) AS d FROM mdl_kept;
SELECT covertree_drop_model('mdl_two');
SELECT * FROM ct_error($$SELECT residual_query('mdl_two', '{1,2}')$$);
SELECT e.state, e.message, e.detail, e.hint FROM ct_error($$SELECT '{1,3}'::float8[] <~> q FROM mdl_kept$$) AS e;
SELECT q FROM mdl_kept;
-- the same parameters make the same model
SELECT covertree_create_model('mdl_two_again', 'rbf', '{2,2}', '{}', 3);
SELECT round(('{1,3}'::float8[] <~> q)::numeric, 9) AS d FROM mdl_kept;
DROP TABLE mdl_kept;

-- indexes keep their models
CREATE TABLE mdl_i (pt float8[], pt4 real[]);
-- (the server may name the schema of an operator class)
SELECT def, state, replace(message, 'class public.', 'class ') AS message, detail, hint
	FROM unnest(ARRAY['pt float8_residual_ops', 'pt float8_residual_ops (model = '''')',
	'pt float8_residual_ops (model = mdl_none)', 'pt float4_residual_ops (model = mdl_vif)',
	'pt float8_residual_ops (modell = mdl_vif)', 'pt float8_euclidean_ops (model = mdl_vif)']) WITH ORDINALITY AS a (def, n),
	ct_error(format('CREATE INDEX ON mdl_i USING covertree (%s)', def)) AS e ORDER BY n;
CREATE INDEX mdl_i_pt ON mdl_i USING covertree (pt float8_residual_ops (model = 'mdl_vif'));
CREATE INDEX mdl_i_pt4 ON mdl_i USING covertree (pt4 float4_residual_ops (model = 'mdl_vif'));
SELECT * FROM ct_error($$SELECT covertree_drop_model('mdl_vif')$$);
DROP INDEX mdl_i_pt;
SELECT * FROM ct_error($$SELECT covertree_drop_model('mdl_vif')$$);
DROP TABLE mdl_i;
SELECT covertree_drop_model('mdl_vif');

-- edits by hand are found out
BEGIN;
UPDATE covertree_model SET variance = 2 WHERE name = 'mdl_iso';
UPDATE covertree_model SET factor[2] = 2 WHERE name = 'mdl_iso_2';
UPDATE covertree_model SET dims = 3 WHERE name = 'mdl_ard';
UPDATE covertree_model SET fingerprint = repeat('0', 32) WHERE name = 'mdl_rbf';
UPDATE covertree_model SET kernel = 'none' WHERE name = 'mdl_matern12';
-- a change of the table makes all sessions read it again
ALTER TABLE covertree_model SET (fillfactor = 100);
SELECT name, e.state, e.message, e.detail, e.hint
	FROM unnest('{mdl_iso,mdl_iso_2,mdl_ard,mdl_rbf,mdl_matern12}'::text[]) WITH ORDINALITY AS a (name, n),
	ct_error(format('SELECT residual_query(%L, ''{1,2}'')', name)) AS e ORDER BY n;
ROLLBACK;

SELECT count(covertree_drop_model(name)::text) FROM covertree_model WHERE name LIKE 'mdl\_%';
DROP TABLE mdl_hand, mdl_vif, mdl_vif_z, mdl_vif_p, mdl_q, mdl_q2, mdl_q3, mdl_t, mdl_digest;
