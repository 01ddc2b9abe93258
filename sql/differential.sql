--
-- Randomised comparison with sequential scans, from fixed seeds: kinds of
-- data x dimensions x element types x bases x built or inserted, through
-- deletes, vacuum and re-inserts.  Prints failures and the number of queries.
--
INSERT INTO ct_tables.config (tab, shape, dims, element, definition, built, n, seed)
	SELECT format('ct_tables.t%s', row_number() OVER (ORDER BY shape, dims, element, base, built)),
		CASE WHEN shape = 'powers' AND element = 'real' THEN 'small powers' ELSE shape END,
		dims, element, format('covertree (pt) WITH (base = %s)', base), built,
		CASE WHEN dims > 16 THEN 250
			WHEN hashtext(concat(base, shape, built, dims, element)) % 5 = 0 THEN 2500
			ELSE 400 END,
		hashtext(shape) % 1000 + dims
	FROM unnest('{uniform,gauss,clusters,lattice,line,duplicates,powers}'::text[]) AS shape,
		unnest('{1,2,3,8,40}'::int[]) AS dims,
		unnest('{real,double precision}'::text[]) AS element,
		unnest('{1.1,1.5,2,4}'::float8[]) AS base,
		unnest('{false,true}'::boolean[]) AS built
	-- a third of all combinations, each pair of values among them
	WHERE (hashtext(concat(shape, dims, element, base, built)) & 1023) % 3 = 0;
-- points of the data, points beside them, points far off
INSERT INTO ct_tables.query
	SELECT tab, quote_literal(q.pt), q.k FROM ct_tables.config AS c, LATERAL (
		SELECT pt, k FROM ct_cloud(c.shape, 2, c.dims, c.seed), unnest('{1,17}'::int[]) AS k
		UNION ALL
		SELECT pt, k FROM ct_cloud(c.shape, 2, c.dims, c.seed + 9), unnest('{5,120}'::int[]) AS k
		UNION ALL
		SELECT array_agg(100 * p), 40 FROM ct_cloud(c.shape, 1, c.dims, c.seed + 7), unnest(pt) AS p
		UNION ALL
		SELECT pt, NULL FROM ct_cloud(c.shape, 1, c.dims, c.seed + 5)) AS q;

SELECT ct_tables.load();
SELECT ct_tables.compare('loaded');

SELECT ct_tables.each('DELETE FROM %1$s WHERE id %% 3 = 1 OR id < 40');
SELECT ct_tables.compare('deleted');

SELECT ct_tables.vacuum_command()
\gexec
SELECT ct_tables.compare('vacuumed');

-- the same points again, and others
SELECT ct_tables.each('INSERT INTO %1$s SELECT * FROM ct_cloud(%2$L, %3$s, %4$s, %5$s) WHERE id %% 3 = 1 OR id < 40');
SELECT ct_tables.each('INSERT INTO %1$s SELECT %3$s + id, pt FROM ct_cloud(%2$L, %3$s / 2, %4$s, %5$s + 3)');
SELECT ct_tables.each('UPDATE %1$s SET pt = (SELECT pt FROM ct_cloud(''duplicates'', 1, %4$s, 1)) WHERE id %% 10 = 0');
SELECT ct_tables.each('UPDATE %1$s SET pt = NULL WHERE id %% 50 = 7');
SELECT ct_tables.compare('refilled');

SELECT ct_tables.each('DELETE FROM %1$s WHERE id %% 4 > 0');
SELECT ct_tables.vacuum_command()
\gexec
SELECT ct_tables.each('INSERT INTO %1$s SELECT * FROM ct_cloud(%2$L, %3$s, %4$s, %5$s + 5)');
SELECT ct_tables.compare('again');

SELECT * FROM ct_tables.failure JOIN ct_tables.config USING (tab);
SELECT (SELECT count(*) FROM ct_tables.config) AS tables, queries FROM ct_tables.counter;
SELECT ct_tables.finish();
