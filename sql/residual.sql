--
-- Residual indexes against sequential scans, bit for bit: kernels x strategies
-- x bases x dimensions x nugget x inducing points x built or inserted, through
-- deletes, vacuum and re-inserts.  Prints failures and the number of queries.
--
CREATE SCHEMA ct_res;
CREATE TABLE ct_res.config (
	tab text, model text, shape text, dims integer, element text, kernel text,
	m integer, nugget double precision, strategy text, base double precision,
	bulk boolean, n integer, seed integer);
INSERT INTO ct_res.config
	SELECT format('ct_res.t%s', row_number() OVER w),
		format('m%s', row_number() OVER w),
		shape, dims, element, kernel, m, nugget, strategy, base, bulk,
		CASE WHEN hashtext(concat(base, shape, bulk, dims, kernel)) % 6 = 0 THEN 1200
			ELSE 300 END,
		hashtext(shape) % 1000 + dims
	FROM unnest('{uniform,gauss,clusters,lattice,duplicates}'::text[]) AS shape,
		unnest('{1,2,3,10}'::int[]) AS dims,
		unnest('{real,double precision}'::text[]) AS element,
		unnest('{rbf,matern12,matern32,matern52}'::text[]) AS kernel,
		unnest('{0,1,30}'::int[]) AS m,
		unnest('{0,0.05}'::float8[]) AS nugget,
		unnest('{exact_metric,spatial_proxy}'::text[]) AS strategy,
		unnest('{1.2,2.5}'::float8[]) AS base,
		unnest('{false,true}'::boolean[]) AS bulk
	-- a fraction of all combinations, each pair of values among them
	WHERE (hashtext(concat(shape, dims, element, kernel, m, nugget, strategy, base, bulk)) & 4095) % 67 = 0
	WINDOW w AS (ORDER BY shape, dims, element, kernel, m, nugget, strategy, base, bulk);

CREATE TABLE ct_res.failure (stage text, config ct_res.config, query text, k integer, result text);
CREATE TABLE ct_res.counter (queries bigint);
INSERT INTO ct_res.counter VALUES (0);

-- inducing points: some rows, and points beside the data
CREATE FUNCTION ct_res.inducing(c ct_res.config) RETURNS double precision[]
LANGUAGE sql AS $$
	SELECT array_agg(pt) FROM (
		(SELECT pt FROM ct_cloud(c.shape, c.m * 3, c.dims, c.seed + 3)
		 GROUP BY pt ORDER BY min(id) LIMIT c.m)) AS s;
$$;

CREATE FUNCTION ct_res.compare(stage text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	c ct_res.config;
	q record;
	r text;
	n bigint := 0;
BEGIN
	FOR c IN SELECT * FROM ct_res.config LOOP
		BEGIN
			PERFORM ct_check(c.tab);
		EXCEPTION WHEN OTHERS THEN
			INSERT INTO ct_res.failure VALUES (stage, c, 'check', NULL, SQLERRM);
		END;
		FOR q IN
			SELECT format('residual_query(%L, %L)', c.model, pt) AS query, k FROM (
				SELECT pt, k FROM ct_cloud(c.shape, 1, c.dims, c.seed), unnest('{1,17}'::int[]) AS k
				UNION ALL
				SELECT pt, 60 FROM ct_cloud(c.shape, 2, c.dims, c.seed + 9)
				UNION ALL
				-- on an inducing point, and very far away
				SELECT pt, 20 FROM ct_cloud(c.shape, 1, c.dims, c.seed + 3)
				UNION ALL
				SELECT array_agg(1e8 * p), 20 FROM ct_cloud(c.shape, 1, c.dims, c.seed + 7), unnest(pt) AS p
				UNION ALL
				SELECT pt, NULL FROM ct_cloud(c.shape, 1, c.dims, c.seed + 5)) AS s
		LOOP
			n := n + 1;
			BEGIN
				r := ct_same(c.tab, q.query, q.k);
			EXCEPTION WHEN OTHERS THEN
				r := SQLERRM;
			END;
			IF r NOT LIKE 'ok, %' THEN
				INSERT INTO ct_res.failure VALUES (stage, c, q.query, q.k, r);
			END IF;
		END LOOP;
	END LOOP;
	UPDATE ct_res.counter SET queries = queries + n;
END;
$$;

DO $$
DECLARE
	c ct_res.config;
	stmt text;
BEGIN
	FOR c IN SELECT * FROM ct_res.config LOOP
		PERFORM covertree_create_model(c.model, kernel => c.kernel,
			lengthscale => (SELECT array_agg(CASE c.shape WHEN 'clusters' THEN 3 WHEN 'lattice' THEN 2 ELSE 0.4 END * (1 + j % 3))
							FROM generate_series(1, c.dims) AS j),
			variance => 1.5, nugget => c.nugget, inducing => ct_res.inducing(c));
		EXECUTE format('CREATE TABLE %s (id integer, pt %s[])', c.tab, c.element);
		stmt := format('CREATE INDEX ON %s USING covertree (pt %s (model = %L)) WITH (strategy = %s, base = %s)',
					   c.tab, CASE c.element WHEN 'real' THEN 'float4_residual_ops' ELSE 'float8_residual_ops' END,
					   c.model, c.strategy, c.base);
		IF NOT c.bulk THEN EXECUTE stmt; END IF;
		EXECUTE format('INSERT INTO %s SELECT id, CASE WHEN id %% 50 > 0 THEN pt END FROM ct_cloud(%L, %s, %s, %s)',
					   c.tab, c.shape, c.n, c.dims, c.seed);
		-- rows on inducing points
		EXECUTE format('INSERT INTO %s SELECT -id, pt FROM ct_cloud(%L, 5, %s, %s)',
					   c.tab, c.shape, c.dims, c.seed + 3);
		IF c.bulk THEN EXECUTE stmt; END IF;
	END LOOP;
END;
$$;
SELECT count(*) > 50 AS enough FROM ct_res.config;
SELECT ct_res.compare('new');

DO $$
DECLARE
	c ct_res.config;
BEGIN
	FOR c IN SELECT * FROM ct_res.config LOOP
		EXECUTE format('DELETE FROM %s WHERE id %% 3 = 1', c.tab);
		-- a new value each time: a HOT update would leave the index the old TID
		EXECUTE format('UPDATE %s SET pt = (SELECT pt FROM %s WHERE id = 2) WHERE id %% 7 = 5 AND pt IS DISTINCT FROM (SELECT pt FROM %s WHERE id = 2)', c.tab, c.tab, c.tab);
	END LOOP;
END;
$$;
SELECT format('VACUUM %s', tab) FROM ct_res.config
\gexec
SELECT ct_res.compare('vacuumed');

DO $$
DECLARE
	c ct_res.config;
BEGIN
	FOR c IN SELECT * FROM ct_res.config LOOP
		EXECUTE format('INSERT INTO %s SELECT 100000 + id, pt FROM ct_cloud(%L, %s, %s, %s)',
					   c.tab, c.shape, c.n / 2, c.dims, c.seed + 1);
	END LOOP;
END;
$$;
SELECT ct_res.compare('inserted again');

SELECT queries > 1000 AS enough FROM ct_res.counter;
SELECT stage, (config).*, query, k, result FROM ct_res.failure;
SET client_min_messages = warning;
DROP SCHEMA ct_res CASCADE;
RESET client_min_messages;
