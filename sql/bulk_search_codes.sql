--
-- Bulk search in Euclidean indexes of more than 16 dimensions against LATERAL
-- scans, rows, ranks and the bits of distances: dimensions x element types x
-- kinds of data x built or inserted, in little and in much memory, through
-- deletes, vacuum and re-inserts.  Prints failures and the number of answers.
--
CREATE SCHEMA bulk_codes;
CREATE TABLE bulk_codes.config (
	tab text, index text, shape text, dims integer, element text, built boolean, n integer, seed integer);
INSERT INTO bulk_codes.config
	SELECT format('bulk_codes.t%s', row_number() OVER ()), format('bulk_codes.t%s_pt_idx', row_number() OVER ()),
		c.*, hashtext(shape) % 1000 + dims
	FROM (VALUES
		('gauss', 17, 'double precision', true, 1200),
		('lattice', 17, 'real', false, 700),
		('powers', 17, 'double precision', true, 400),
		('clusters', 20, 'double precision', false, 900),
		('line', 20, 'real', true, 900),
		-- more leaves than are known at a time in little memory
		('gauss', 20, 'real', true, 14000),
		('gauss', 64, 'real', true, 900),
		-- more rows at one place than there is room for
		('duplicates', 64, 'double precision', true, 900),
		('clusters', 64, 'double precision', false, 300),
		('small powers', 64, 'double precision', true, 300),
		('gauss', 300, 'double precision', true, 250),
		('clusters', 300, 'real', false, 120),
		('gauss', 600, 'real', true, 100)) AS c (shape, dims, element, built, n);

CREATE TABLE bulk_codes.failure (stage text, config bulk_codes.config, what text, result text);
CREATE TABLE bulk_codes.counter (answers bigint);
INSERT INTO bulk_codes.counter VALUES (0);

-- Searches of each configuration, and what scans say, one for each query.
CREATE TABLE bulk_codes.search (c bulk_codes.config, what text, queries double precision[], k integer);
CREATE TABLE bulk_codes.expected (tab text, what text, query integer, rank integer, tid tid, d double precision);

CREATE FUNCTION bulk_codes.note(stage text, c bulk_codes.config, what text, differences bigint, answers bigint)
RETURNS void
LANGUAGE sql AS $$
	INSERT INTO bulk_codes.failure SELECT stage, c, what, format('%s of %s', differences, answers)
	WHERE differences > 0 OR answers = 0;
	UPDATE bulk_codes.counter SET answers = counter.answers + note.answers;
$$;

-- Scans the tables as they are now.
CREATE FUNCTION bulk_codes.expect() RETURNS void
LANGUAGE sql AS $$
	SELECT ct_check(tab) FROM bulk_codes.config;
	TRUNCATE bulk_codes.expected;
	INSERT INTO bulk_codes.expected
		SELECT (s.c).tab, s.what, i, r.ordinality, r.tid, r.d
		FROM bulk_codes.search AS s, generate_subscripts(s.queries, 1) AS i,
			format('pt <~> ''{%s}''::float8[]', array_to_string(s.queries[i:i], ',')) AS d,
			ct_by_index(format('SELECT ctid, %s FROM %s ORDER BY %s LIMIT %s', d, (s.c).tab, d, s.k))
				WITH ORDINALITY AS r (tid, d, ordinality);
	ANALYZE bulk_codes.expected;
$$;

CREATE FUNCTION bulk_codes.compare(stage text) RETURNS void
LANGUAGE sql AS $$
	SELECT bulk_codes.note(stage, s.c, s.what, count(*) FILTER (WHERE (a.tid, float8send(a.distance))
																IS DISTINCT FROM (e.tid, float8send(e.d))), count(*))
	FROM bulk_codes.search AS s, LATERAL
		(SELECT * FROM covertree_knn((s.c).index, s.queries, s.k)) AS a
			FULL JOIN LATERAL (SELECT * FROM bulk_codes.expected AS x
							   WHERE x.tab = (s.c).tab AND x.what = s.what) AS e USING (query, rank)
	GROUP BY s.c, s.what;
$$;

-- What knn_graph says of a row, against what knn says of the place where it is.
CREATE FUNCTION bulk_codes.compare_graph(stage text, k integer) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	c bulk_codes.config;
	differences bigint;
	answers bigint;
BEGIN
	FOR c IN SELECT * FROM bulk_codes.config LOOP
		EXECUTE format($q$
			WITH place AS (SELECT ctid AS tid, pt, row_number() OVER (ORDER BY ctid)::integer AS query
						   FROM %1$s WHERE pt IS NOT NULL),
				expected AS (SELECT p.tid, a.tid AS neighbor, a.distance AS d,
								row_number() OVER (PARTITION BY query ORDER BY a.rank)::integer AS rank
							 FROM covertree_knn(%2$L, (SELECT array_agg(pt ORDER BY query) FROM place)::float8[], %3$s + 1) AS a
								JOIN place AS p USING (query)
							 WHERE a.tid <> p.tid)
			SELECT count(*) FILTER (WHERE (a.neighbor, float8send(a.distance)) IS DISTINCT FROM (e.neighbor, float8send(e.d))),
				count(*)
			FROM covertree_knn_graph(%2$L, %3$s) AS a
				FULL JOIN (SELECT * FROM expected WHERE rank <= %3$s) AS e USING (tid, rank)
			$q$, c.tab, c.index, k) INTO differences, answers;
		PERFORM bulk_codes.note(stage, c, 'graph', differences, answers);
	END LOOP;
END;
$$;

-- Queries: rows of the data, places beside them, one very far away.
CREATE FUNCTION bulk_codes.queries(c bulk_codes.config, n integer)
RETURNS double precision[]
LANGUAGE sql AS $$
	SELECT array_agg(pt) FROM (
		SELECT pt FROM ct_cloud(c.shape, n, c.dims, c.seed)
		UNION ALL SELECT pt FROM ct_cloud(c.shape, n, c.dims, c.seed + 9)
		UNION ALL SELECT (SELECT array_agg(1e8 * p) FROM unnest(pt) AS p)
			FROM ct_cloud(c.shape, 1, c.dims, c.seed + 7)) AS s;
$$;
INSERT INTO bulk_codes.search
	SELECT c, s.* FROM bulk_codes.config AS c,
		LATERAL (VALUES ('few', bulk_codes.queries(c, 4), 1), ('many', bulk_codes.queries(c, 40), 12),
						('large k', bulk_codes.queries(c, 5), 100)) AS s
	UNION ALL
	SELECT c, 'all rows', bulk_codes.queries(c, 4), 5000 FROM bulk_codes.config AS c WHERE n < 2000;

DO $$
DECLARE
	c bulk_codes.config;
	stmt text;
BEGIN
	FOR c IN SELECT * FROM bulk_codes.config LOOP
		EXECUTE format('CREATE TABLE %s (id integer, pt %s[])', c.tab, c.element);
		stmt := format('CREATE INDEX ON %s USING covertree (pt)', c.tab);
		IF NOT c.built THEN EXECUTE stmt; END IF;
		EXECUTE format('INSERT INTO %s SELECT id, CASE WHEN id %% 50 > 0 THEN pt END FROM ct_cloud(%L, %s, %s, %s)',
					   c.tab, c.shape, c.n, c.dims, c.seed);
		IF c.built THEN EXECUTE stmt; END IF;
	END LOOP;
END;
$$;
SELECT bulk_codes.expect();
SELECT bulk_codes.compare('new'), bulk_codes.compare_graph('new', 3);

-- any number of threads, any memory: by scans, by slabs and groups, at once
DO $$
DECLARE
	threads integer;
	memory text;
BEGIN
	FOR threads, memory IN VALUES (0, '512kB'), (0, '64MB'), (1, '64kB'), (1, '256kB'), (1, '512kB'), (1, '64MB') LOOP
		PERFORM set_config('max_parallel_workers_per_gather', threads::text, true);
		PERFORM set_config('work_mem', memory, true);
		PERFORM bulk_codes.compare(format('%s workers, %s', threads, memory));
	END LOOP;
	PERFORM set_config('work_mem', '256kB', true);
	PERFORM bulk_codes.compare_graph('little memory', 3);
END;
$$;

-- any instruction set that the machine has
DO $$
DECLARE
	level text;
BEGIN
	FOREACH level IN ARRAY '{scalar,avx2,avx512}'::text[] LOOP
		BEGIN
			PERFORM set_config('covertree.kernel_level', level, true);
		EXCEPTION WHEN invalid_parameter_value THEN
			CONTINUE;
		END;
		PERFORM bulk_codes.compare(level);
	END LOOP;
END;
$$;

-- rows that are gone, but not from the index; others were updated in place
DO $$
DECLARE
	c bulk_codes.config;
BEGIN
	FOR c IN SELECT * FROM bulk_codes.config LOOP
		EXECUTE format('DELETE FROM %s WHERE id %% 3 = 1', c.tab);
		EXECUTE format('UPDATE %s SET id = id + 1 WHERE id %% 5 = 1', c.tab);
	END LOOP;
END;
$$;
SELECT bulk_codes.expect();
SELECT bulk_codes.compare('deleted'), bulk_codes.compare_graph('deleted', 3);
SELECT format('VACUUM %s', tab) FROM bulk_codes.config
\gexec
SELECT bulk_codes.compare('vacuumed');

-- rows that leaves' grids do not hold
DO $$
DECLARE
	c bulk_codes.config;
BEGIN
	FOR c IN SELECT * FROM bulk_codes.config LOOP
		EXECUTE format('INSERT INTO %s SELECT 100000 + id, pt FROM ct_cloud(%L, %s, %s, %s)',
					   c.tab, c.shape, c.n / 3, c.dims, c.seed + 1);
	END LOOP;
END;
$$;
SELECT bulk_codes.expect();
SELECT bulk_codes.compare('inserted again'), bulk_codes.compare_graph('inserted again', 3);

SELECT answers > 500000 AS enough FROM bulk_codes.counter;
SELECT stage, (config).*, what, result FROM bulk_codes.failure;

--
-- It can be cancelled, and the session goes on
--
SET statement_timeout = '50ms';
SELECT count(*) FROM covertree_knn_graph('bulk_codes.t6_pt_idx', 500);
RESET statement_timeout;
SELECT count(*) FROM pg_ls_dir('/proc/self/task');
SELECT count(*) FROM covertree_knn_progress();

-- one of another dimension
SELECT * FROM ct_error($$SELECT * FROM covertree_knn('bulk_codes.t1_pt_idx', '{{0,0}}', 5)$$);

SELECT format('DROP TABLE %s', tab) FROM bulk_codes.config
\gexec
SET client_min_messages = warning;
DROP SCHEMA bulk_codes CASCADE;
