--
-- Residual indexes against sequential scans, bit for bit: kernels x strategies
-- x bases x dimensions x nugget x inducing points x built or inserted, through
-- deletes, vacuum and re-inserts.  Prints failures and the number of queries.
--
INSERT INTO ct_tables.residual
	SELECT format('ct_tables.t%s', row_number() OVER w), format('m%s', row_number() OVER w),
		shape, dims, element, kernel, m, nugget, strategy, base, built,
		CASE WHEN hashtext(concat(base, shape, built, dims, kernel)) % 6 = 0 THEN 1200
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
		unnest('{false,true}'::boolean[]) AS built
	-- a fraction of all combinations, each pair of values among them
	WHERE (hashtext(concat(shape, dims, element, kernel, m, nugget, strategy, base, built)) & 4095) % 67 = 0
	WINDOW w AS (ORDER BY shape, dims, element, kernel, m, nugget, strategy, base, built);
SELECT ct_tables.add_residual();
INSERT INTO ct_tables.query
	SELECT tab, format('residual_query(%L, %L)', model, q.pt), q.k FROM ct_tables.residual AS c, LATERAL (
		SELECT pt, k FROM ct_cloud(c.shape, 1, c.dims, c.seed), unnest('{1,17}'::int[]) AS k
		UNION ALL
		SELECT pt, 60 FROM ct_cloud(c.shape, 2, c.dims, c.seed + 9)
		UNION ALL
		-- on an inducing point, and very far away
		SELECT pt, 20 FROM ct_cloud(c.shape, 1, c.dims, c.seed + 3)
		UNION ALL
		SELECT array_agg(1e8 * p), 20 FROM ct_cloud(c.shape, 1, c.dims, c.seed + 7), unnest(pt) AS p
		UNION ALL
		SELECT pt, NULL FROM ct_cloud(c.shape, 1, c.dims, c.seed + 5)) AS q;
SELECT count(*) > 50 AS enough FROM ct_tables.config;

SELECT ct_tables.load();
SELECT ct_tables.compare('new');

SELECT ct_tables.each('DELETE FROM %1$s WHERE id %% 3 = 1');
-- a new value each time: a HOT update would leave the index the old TID
SELECT ct_tables.each('UPDATE %1$s SET pt = (SELECT pt FROM %1$s WHERE id = 2) WHERE id %% 7 = 5 AND pt IS DISTINCT FROM (SELECT pt FROM %1$s WHERE id = 2)');
SELECT ct_tables.vacuum_command()
\gexec
SELECT ct_tables.compare('vacuumed');

SELECT ct_tables.insert_rows();
SELECT ct_tables.compare('inserted again');

SELECT queries > 1000 AS enough FROM ct_tables.counter;
SELECT * FROM ct_tables.failure JOIN ct_tables.config USING (tab);
SELECT ct_tables.finish();
