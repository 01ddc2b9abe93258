--
-- Bulk search in residual indexes against LATERAL scans, rows, ranks and the
-- bits of distances: kernels x strategies x nugget x inducing points x kinds of
-- data x built or inserted, through deletes, vacuum and re-inserts.  Prints
-- failures and the number of answers.
--
CREATE SCHEMA bulk_res;
CREATE TABLE bulk_res.config (
	tab text, index text, model text, shape text, dims integer, element text,
	kernel text, m integer, nugget double precision, strategy text,
	built boolean, n integer, seed integer);
INSERT INTO bulk_res.config
	SELECT format('bulk_res.t%s', row_number() OVER w),
		format('bulk_res.t%s_pt_idx', row_number() OVER w),
		format('bulk_m%s', row_number() OVER w),
		shape, dims, element, kernel, m, nugget, strategy, built,
		CASE WHEN built THEN 500 ELSE 250 END, hashtext(shape) % 1000 + dims
	FROM unnest('{gauss,clusters,lattice,duplicates}'::text[]) AS shape,
		unnest('{1,3,17}'::int[]) AS dims,
		unnest('{real,double precision}'::text[]) AS element,
		unnest('{rbf,matern12,matern32,matern52}'::text[]) AS kernel,
		unnest('{0,1,64}'::int[]) AS m,
		unnest('{0,0.05}'::float8[]) AS nugget,
		unnest('{exact_metric,spatial_proxy}'::text[]) AS strategy,
		unnest('{false,true}'::boolean[]) AS built
	-- a fraction of all combinations, each pair of values among them
	WHERE (hashtext(concat(shape, dims, element, kernel, m, nugget, strategy, built)) & 4095) % 157 = 0
	WINDOW w AS (ORDER BY shape, dims, element, kernel, m, nugget, strategy, built);
SELECT count(*) > 12 AS enough, count(DISTINCT kernel) AS kernels, count(DISTINCT m) AS m,
	count(DISTINCT (strategy, built)) AS trees, count(DISTINCT (nugget, m)) AS nuggets
FROM bulk_res.config;

CREATE TABLE bulk_res.failure (stage text, config bulk_res.config, what text, result text);
CREATE TABLE bulk_res.counter (answers bigint);
INSERT INTO bulk_res.counter VALUES (0);

-- Searches of each configuration, and what scans say, one for each query.
CREATE TABLE bulk_res.search (c bulk_res.config, what text, queries double precision[], k integer);
CREATE TABLE bulk_res.expected (tab text, what text, query integer, rank integer, tid tid, d double precision);

CREATE FUNCTION bulk_res.scans(c bulk_res.config, queries double precision[], k integer)
RETURNS TABLE (query integer, rank integer, tid tid, d double precision)
LANGUAGE sql AS $$
	SELECT i, s.ordinality::integer, s.tid, s.d
	FROM generate_series(1, array_length(queries, 1)) AS i,
		format('pt <~> residual_query(%L, ''{%s}'')', c.model, array_to_string(queries[i:i], ',')) AS d,
		ct_by_index(format('SELECT ctid, %s FROM %s ORDER BY %s LIMIT %s', d, c.tab, d, k))
			WITH ORDINALITY AS s (tid, d, ordinality);
$$;

CREATE FUNCTION bulk_res.difference(s bulk_res.search)
RETURNS text
LANGUAGE sql AS $$
	SELECT CASE WHEN count(*) FILTER (WHERE (a.tid, float8send(a.distance))
									  IS DISTINCT FROM (e.tid, float8send(e.d))) = 0
		THEN format('ok, %s', count(*))
		ELSE format('%s rows in bulk, %s by scans; first difference: ', count(a.tid), count(e.tid)) ||
			(array_agg(format('query %s rank %s is %s at %s, not %s at %s', query, rank, a.tid, a.distance, e.tid, e.d)
					   ORDER BY query, rank)
			 FILTER (WHERE (a.tid, float8send(a.distance)) IS DISTINCT FROM (e.tid, float8send(e.d))))[1] END
	FROM covertree_knn((s.c).index, s.queries, s.k) AS a
		FULL JOIN (SELECT * FROM bulk_res.expected WHERE tab = (s.c).tab AND what = s.what) AS e USING (query, rank);
$$;

-- What knn_graph says of a row, against what knn says of the place where it is.
CREATE FUNCTION bulk_res.graph_difference(c bulk_res.config, k integer)
RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE format($q$
		WITH place AS (SELECT ctid AS tid, pt, row_number() OVER (ORDER BY ctid)::integer AS query
					   FROM %1$s WHERE pt IS NOT NULL),
			expected AS (SELECT p.tid, a.tid AS neighbor, a.distance AS d,
							row_number() OVER (PARTITION BY query ORDER BY a.rank)::integer AS rank
						 FROM covertree_knn(%2$L, (SELECT array_agg(pt ORDER BY query) FROM place)::float8[], %3$s + 1) AS a
							JOIN place AS p USING (query)
						 WHERE a.tid <> p.tid)
		SELECT format(CASE WHEN count(*) FILTER (WHERE (a.neighbor, float8send(a.distance))
												 IS DISTINCT FROM (e.neighbor, float8send(e.d))) = 0
							THEN 'ok, %%s' ELSE 'different, %%s' END, count(*))
		FROM covertree_knn_graph(%2$L, %3$s) AS a
			FULL JOIN (SELECT * FROM expected WHERE rank <= %3$s) AS e USING (tid, rank)
		$q$, c.tab, c.index, k) INTO result;
	RETURN result;
END;
$$;

CREATE FUNCTION bulk_res.note(stage text, c bulk_res.config, what text, result text)
RETURNS void
LANGUAGE sql AS $$
	INSERT INTO bulk_res.failure SELECT stage, c, what, result WHERE result NOT LIKE 'ok, %';
	UPDATE bulk_res.counter SET answers = answers + substr(result, 5)::bigint WHERE result LIKE 'ok, %';
$$;

-- Queries: rows of the data, places beside them, inducing points, very far away.
CREATE FUNCTION bulk_res.queries(c bulk_res.config, n integer)
RETURNS double precision[]
LANGUAGE sql AS $$
	SELECT array_agg(pt) FROM (
		SELECT pt FROM ct_cloud(c.shape, n, c.dims, c.seed)
		UNION ALL SELECT pt FROM ct_cloud(c.shape, n, c.dims, c.seed + 9)
		UNION ALL SELECT pt FROM ct_cloud(c.shape, 2, c.dims, c.seed + 3)
		UNION ALL SELECT (SELECT array_agg(1e8 * p) FROM unnest(pt) AS p)
			FROM ct_cloud(c.shape, 1, c.dims, c.seed + 7)) AS s;
$$;

-- Scans the tables as they are now.
CREATE FUNCTION bulk_res.expect() RETURNS void
LANGUAGE sql AS $$
	SELECT ct_check(tab) FROM bulk_res.config;
	TRUNCATE bulk_res.expected;
	INSERT INTO bulk_res.expected
		SELECT (s.c).tab, s.what, e.*
		FROM bulk_res.search AS s, bulk_res.scans(s.c, s.queries, s.k) AS e;
	ANALYZE bulk_res.expected;
$$;

CREATE FUNCTION bulk_res.compare(stage text, graph boolean DEFAULT false) RETURNS void
LANGUAGE sql AS $$
	SELECT bulk_res.note(stage, s.c, s.what, bulk_res.difference(s)) FROM bulk_res.search AS s;
	SELECT bulk_res.note(stage, c, 'graph', bulk_res.graph_difference(c, 3)) FROM bulk_res.config AS c
	WHERE graph;
$$;

INSERT INTO bulk_res.search
	SELECT c, s.* FROM bulk_res.config AS c,
		LATERAL (VALUES ('one', (bulk_res.queries(c, 1))[1:1], 10), ('few', bulk_res.queries(c, 2), 1),
						('many', bulk_res.queries(c, 12), 20), ('all rows', (bulk_res.queries(c, 1))[1:2], 5000)) AS s;

DO $$
DECLARE
	c bulk_res.config;
	stmt text;
BEGIN
	FOR c IN SELECT * FROM bulk_res.config LOOP
		PERFORM covertree_create_model(c.model, kernel => c.kernel,
			lengthscale => (SELECT array_agg(CASE c.shape WHEN 'clusters' THEN 3 WHEN 'lattice' THEN 2 ELSE 0.4 END * (1 + j % 3))
							FROM generate_series(1, c.dims) AS j),
			variance => 1.5, nugget => c.nugget,
			inducing => (SELECT array_agg(pt) FROM (SELECT pt FROM ct_cloud(c.shape, c.m * 3, c.dims, c.seed + 3)
													GROUP BY pt ORDER BY min(id) LIMIT c.m) AS s));
		EXECUTE format('CREATE TABLE %s (id integer, pt %s[])', c.tab, c.element);
		stmt := format('CREATE INDEX ON %s USING covertree (pt %s (model = %L)) WITH (strategy = %s)',
					   c.tab, CASE c.element WHEN 'real' THEN 'float4_residual_ops' ELSE 'float8_residual_ops' END,
					   c.model, c.strategy);
		IF NOT c.built THEN EXECUTE stmt; END IF;
		EXECUTE format('INSERT INTO %s SELECT id, CASE WHEN id %% 50 > 0 THEN pt END FROM ct_cloud(%L, %s, %s, %s)',
					   c.tab, c.shape, c.n, c.dims, c.seed);
		-- rows on inducing points
		EXECUTE format('INSERT INTO %s SELECT -id, pt FROM ct_cloud(%L, 5, %s, %s)',
					   c.tab, c.shape, c.dims, c.seed + 3);
		IF c.built THEN EXECUTE stmt; END IF;
	END LOOP;
END;
$$;
SELECT bulk_res.expect();
SELECT bulk_res.compare('new', graph => true);
SET max_parallel_workers_per_gather = 0;
SELECT bulk_res.compare('one thread');

-- with so little memory that it goes by slabs and groups
SET work_mem = '256kB';
SELECT bulk_res.compare('little memory', graph => true);
-- and one query after the other
SET work_mem = '64kB';
SELECT bulk_res.compare('hardly any memory');
RESET work_mem;

-- every level of kernels that the machine has; a level beyond is an error
DO $$
DECLARE
	level text;
BEGIN
	FOREACH level IN ARRAY '{scalar,avx2,avx512}'::text[] LOOP
		BEGIN
			PERFORM set_config('covertree.kernel_level', level, false);
		EXCEPTION WHEN OTHERS THEN
			CONTINUE;
		END;
		PERFORM bulk_res.compare(level);
	END LOOP;
END;
$$;
RESET covertree.kernel_level;

-- rows that are gone, but not from the index
DO $$
DECLARE
	c bulk_res.config;
BEGIN
	FOR c IN SELECT * FROM bulk_res.config LOOP
		EXECUTE format('DELETE FROM %s WHERE id %% 3 = 1', c.tab);
		EXECUTE format('UPDATE %s SET id = id + 1 WHERE id %% 5 = 1', c.tab);
	END LOOP;
END;
$$;
SELECT bulk_res.expect();
SELECT bulk_res.compare('deleted', graph => true);
SELECT format('VACUUM %s', tab) FROM bulk_res.config
\gexec
SELECT bulk_res.compare('vacuumed');

-- rows that come to leaves whose bases know nothing of them
DO $$
DECLARE
	c bulk_res.config;
BEGIN
	FOR c IN SELECT * FROM bulk_res.config LOOP
		EXECUTE format('INSERT INTO %s SELECT 100000 + id, pt FROM ct_cloud(%L, %s, %s, %s)',
					   c.tab, c.shape, c.n / 2, c.dims, c.seed + 1);
	END LOOP;
END;
$$;
SELECT bulk_res.expect();
SELECT bulk_res.compare('inserted again', graph => true);

SELECT answers > 50000 AS enough FROM bulk_res.counter;
SELECT stage, (config).*, what, result FROM bulk_res.failure;

--
-- It can be cancelled, and the session goes on
--
RESET max_parallel_workers_per_gather;
SELECT covertree_create_model('bulk_slow', 'matern52', '{0.3}',
	(SELECT array_agg(pt) FROM ct_cloud('gauss', 100, 3, 1)));
CREATE TABLE bulk_slow (id integer, pt double precision[]);
INSERT INTO bulk_slow SELECT * FROM ct_cloud('gauss', 5000, 3, 2);
CREATE INDEX ON bulk_slow USING covertree (pt float8_residual_ops (model = bulk_slow));
SET statement_timeout = '50ms';
SELECT count(*) FROM covertree_knn_graph('bulk_slow_pt_idx', 1000);
RESET statement_timeout;
SELECT count(*) FROM pg_ls_dir('/proc/self/task');
SELECT count(*) FROM covertree_knn('bulk_slow_pt_idx', '{{0,0,0},{1,1,1}}', 5);
-- of another dimension
SELECT * FROM ct_error($$SELECT * FROM covertree_knn('bulk_slow_pt_idx', '{{0,0}}', 5)$$);

DROP TABLE bulk_slow;
SELECT format('DROP TABLE %s', tab) FROM bulk_res.config
\gexec
SELECT count(covertree_drop_model(model)::text) > 12 AS dropped FROM bulk_res.config;
SELECT covertree_drop_model('bulk_slow');
SET client_min_messages = warning;
DROP SCHEMA bulk_res CASCADE;
