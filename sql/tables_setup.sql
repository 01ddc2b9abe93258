--
-- Helpers of the tests that take tables of many kinds through all stages of a
-- life (differential, residual, bulk_search_codes and bulk_search_residual): a
-- test lists its tables, and what is asked of them, and says what happens.
--
CREATE SCHEMA ct_tables;

-- The tables that a test has: of which ct_cloud() the rows are, and the index.
CREATE TABLE ct_tables.config (
	tab text, index text,
	shape text, dims integer, element text,
	built boolean,				-- or rows inserted after the index was made
	n integer, seed integer,
	operand text DEFAULT $$'{%s}'::float8[]$$,	-- of a query with coordinates %s
	definition text DEFAULT 'covertree (pt)',	-- of the index
	note text);
-- Those that are to have a residual index, with a model of their own.
CREATE TABLE ct_tables.residual (
	tab text, model text, shape text, dims integer, element text, kernel text,
	m integer, nugget double precision, strategy text, base double precision,
	built boolean, n integer, seed integer);
-- Queries, by index and by sequential scan; without k all rows are fetched.
CREATE TABLE ct_tables.query (tab text, operand text, k integer);
CREATE TABLE ct_tables.failure (stage text, tab text, what text, result text);
CREATE TABLE ct_tables.counter (queries bigint, answers bigint);
INSERT INTO ct_tables.counter VALUES (0, 0);

-- Makes the models of ct_tables.residual, and adds its tables to the others.
-- Inducing points are at places where ct_tables.load() puts rows.
CREATE FUNCTION ct_tables.add_residual() RETURNS void
LANGUAGE sql AS $$
	SELECT covertree_create_model(model, kernel => kernel,
		lengthscale => (SELECT array_agg(CASE shape WHEN 'clusters' THEN 3 WHEN 'lattice' THEN 2 ELSE 0.4 END * (1 + j % 3))
						FROM generate_series(1, dims) AS j),
		variance => 1.5, nugget => nugget,
		inducing => (SELECT array_agg(pt) FROM (SELECT pt FROM ct_cloud(shape, m * 3, dims, seed + 3)
												GROUP BY pt ORDER BY min(id) LIMIT m) AS s))
	FROM ct_tables.residual;
	INSERT INTO ct_tables.config
		SELECT tab, tab || '_pt_idx', shape, dims, element, built, n, seed,
			format('residual_query(%L, ''{%%s}'')', model),
			format('covertree (pt %s (model = %L)) WITH (strategy = %s%s)',
				   CASE element WHEN 'real' THEN 'float4_residual_ops' ELSE 'float8_residual_ops' END,
				   model, strategy, ', base = ' || base),
			format('%s, %s inducing points, nugget %s', kernel, m, nugget)
		FROM ct_tables.residual;
$$;

-- Does something to every table: %1$s, of which kind, rows, dimensions and seed
-- are what follows.
CREATE FUNCTION ct_tables.each(statement text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	c ct_tables.config;
BEGIN
	FOR c IN SELECT * FROM ct_tables.config LOOP
		EXECUTE format(statement, c.tab, c.shape, c.n, c.dims, c.seed);
	END LOOP;
END;
$$;

-- Makes the tables and their indexes.
CREATE FUNCTION ct_tables.load() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	c ct_tables.config;
	make_index text;
BEGIN
	FOR c IN SELECT * FROM ct_tables.config LOOP
		EXECUTE format('CREATE TABLE %s (id integer, pt %s[]) WITH (autovacuum_enabled = off)', c.tab, c.element);
		make_index := format('CREATE INDEX ON %s USING %s', c.tab, c.definition);
		IF NOT c.built THEN EXECUTE make_index; END IF;
		EXECUTE format('INSERT INTO %s SELECT id, CASE WHEN id %% 50 > 0 THEN pt END FROM ct_cloud(%L, %s, %s, %s)',
					   c.tab, c.shape, c.n, c.dims, c.seed);
		EXECUTE format('INSERT INTO %s SELECT -id, pt FROM ct_cloud(%L, 5, %s, %s)',
					   c.tab, c.shape, c.dims, c.seed + 3);
		IF c.built THEN EXECUTE make_index; END IF;
	END LOOP;
END;
$$;

-- Takes rows away; others are updated in place.
CREATE FUNCTION ct_tables.delete_rows() RETURNS void
LANGUAGE sql AS $$
	SELECT ct_tables.each('DELETE FROM %1$s WHERE id %% 3 = 1');
	SELECT ct_tables.each('UPDATE %1$s SET id = id + 1 WHERE id %% 5 = 1');
$$;

-- Adds rows at other places.
CREATE FUNCTION ct_tables.insert_rows() RETURNS void
LANGUAGE sql AS $$
	SELECT ct_tables.each('INSERT INTO %1$s SELECT 100000 + id, pt FROM ct_cloud(%2$L, %3$s / 2, %4$s, %5$s + 1)');
$$;

-- The command that vacuums them, for \gexec: it cannot be done in a function.
CREATE FUNCTION ct_tables.vacuum_command() RETURNS text
LANGUAGE sql AS $$
	SELECT format('VACUUM (INDEX_CLEANUP ON) %s', string_agg(tab, ', ' ORDER BY tab COLLATE "C")) FROM ct_tables.config;
$$;

-- Counts a result that is to be 'ok, 42 rows', or keeps it if it is not.
CREATE FUNCTION ct_tables.note(stage text, tab text, what text, result text)
RETURNS void
LANGUAGE sql AS $$
	INSERT INTO ct_tables.failure SELECT stage, tab, what, result
		WHERE (result ~ '^ok, [1-9]') IS NOT TRUE;
	UPDATE ct_tables.counter SET queries = queries + 1,
		answers = answers + coalesce(substring(result FROM '^ok, ([0-9]+) rows')::bigint, 0);
$$;

-- Checks the indexes, and compares all queries with sequential scans.
CREATE FUNCTION ct_tables.compare(stage text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	q record;
	result text;
BEGIN
	FOR q IN SELECT tab, NULL AS operand, NULL AS k FROM ct_tables.config
			 UNION ALL SELECT tab, operand, k::text FROM ct_tables.query
	LOOP
		BEGIN
			result := CASE WHEN q.operand IS NULL THEN ct_check(q.tab) ELSE ct_same(q.tab, q.operand, q.k::integer) END;
		EXCEPTION WHEN OTHERS THEN
			result := SQLERRM;
		END;
		PERFORM ct_tables.note(stage, q.tab, coalesce(format('%s LIMIT %s', left(q.operand, 60), q.k), 'check'), left(result, 200));
	END LOOP;
END;
$$;

-- Ends a test: forgets its tables, its queries and what has come of them.
CREATE FUNCTION ct_tables.forget() RETURNS void
LANGUAGE sql AS $$
	TRUNCATE ct_tables.config, ct_tables.residual, ct_tables.query, ct_tables.failure;
	UPDATE ct_tables.counter SET queries = 0, answers = 0;
$$;

-- The same, and drops the tables and their models.
CREATE FUNCTION ct_tables.finish() RETURNS void
LANGUAGE sql AS $$
	SELECT ct_tables.each('DROP TABLE %1$s');
	SELECT covertree_drop_model(model) FROM ct_tables.residual;
	SELECT ct_tables.forget();
$$;
