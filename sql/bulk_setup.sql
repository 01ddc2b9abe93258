--
-- Helpers of the tests of bulk search (bulk_search, bulk_search_codes and
-- bulk_search_residual): what covertree_knn and covertree_knn_graph say against
-- scans, rows, ranks and the bits of distances.
--
CREATE SCHEMA ct_bulk;

-- One row of what is found for a query, which has a number, or a row's TID.
CREATE TYPE ct_bulk.answer AS (query text, rank integer, tid tid, d double precision);

-- Compares two lists of answers: 'ok' and their number, or the first difference.
CREATE FUNCTION ct_bulk.difference(bulk ct_bulk.answer[], expected ct_bulk.answer[])
RETURNS text
LANGUAGE sql IMMUTABLE AS $$
	WITH pair AS (
		SELECT query, rank, a.tid AS tid, a.d AS d, e.tid AS expected_tid, e.d AS expected_d,
			(a.tid, float8send(a.d)) IS DISTINCT FROM (e.tid, float8send(e.d)) AS differs
		FROM unnest(bulk) AS a FULL JOIN unnest(expected) AS e USING (query, rank))
	SELECT CASE WHEN count(*) FILTER (WHERE differs) = 0
		THEN format('ok, %s rows', count(*))
		ELSE format('%s rows in bulk, %s by scans; first difference: ', count(tid), count(expected_tid)) ||
			(array_agg(format('query %s rank %s is %s at %s, not %s at %s', query, rank, tid, d, expected_tid, expected_d)
					   ORDER BY query, rank)
			 FILTER (WHERE differs))[1] END
	FROM pair;
$$;

CREATE FUNCTION ct_bulk.knn(index regclass, queries double precision[], k integer)
RETURNS SETOF ct_bulk.answer
LANGUAGE sql AS $$
	SELECT query::text, rank, tid, distance FROM covertree_knn(index, queries, k);
$$;

CREATE FUNCTION ct_bulk.graph(index regclass, k integer)
RETURNS SETOF ct_bulk.answer
LANGUAGE sql AS $$
	SELECT tid::text, rank, neighbor, distance FROM covertree_knn_graph(index, k);
$$;

-- One query by a scan of the index, or by a sequential scan and sort.
CREATE FUNCTION ct_bulk.scan(name text, tab text, dist text, filter text, k integer, sorted boolean)
RETURNS SETOF ct_bulk.answer
LANGUAGE plpgsql AS $$
DECLARE
	stmt text := format('SELECT ctid, %s FROM %s WHERE %s ORDER BY %s', dist, tab, filter, dist);
BEGIN
	IF sorted THEN
		RETURN QUERY SELECT name, s.rank::integer, s.tid, s.d
			FROM ct_by_sort(format('%s, ctid LIMIT %s', stmt, k)) WITH ORDINALITY AS s (tid, d, rank);
	ELSE
		RETURN QUERY SELECT name, s.rank::integer, s.tid, s.d
			FROM ct_by_index(format('%s LIMIT %s', stmt, k)) WITH ORDINALITY AS s (tid, d, rank);
	END IF;
END;
$$;

-- A scan for each query.  operand makes one of its coordinates.
CREATE FUNCTION ct_bulk.scans(tab text, queries double precision[], k integer, operand text,
							  col text DEFAULT 'pt', filter text DEFAULT 'true', sorted boolean DEFAULT false)
RETURNS SETOF ct_bulk.answer
LANGUAGE sql AS $$
	SELECT s.*
	FROM generate_subscripts(queries, 1) AS i,
		ct_bulk.scan(i::text, tab, format('(%s) <~> %s', col, format(operand, array_to_string(queries[i:i], ','))),
					 filter, k, sorted) AS s;
$$;

-- A scan for each row, which leaves out the row itself.
CREATE FUNCTION ct_bulk.graph_scans(tab text, k integer, operand text, col text, filter text, sorted boolean)
RETURNS SETOF ct_bulk.answer
LANGUAGE plpgsql AS $$
DECLARE
	r record;
BEGIN
	FOR r IN EXECUTE format('SELECT ctid, btrim((%1$s)::text, ''{}()'') AS at FROM %2$s WHERE %3$s AND (%1$s) IS NOT NULL',
							col, tab, filter)
	LOOP
		RETURN QUERY SELECT * FROM ct_bulk.scan(r.ctid::text, tab, format('(%s) <~> %s', col, format(operand, r.at)),
												format('%s AND ctid <> %L', filter, r.ctid), k, sorted);
	END LOOP;
END;
$$;

-- Compares what covertree_knn says with a scan for each query.
CREATE FUNCTION ct_bulk.same(index regclass, queries double precision[], k integer, tab text,
							 col text DEFAULT 'pt', filter text DEFAULT 'true',
							 operand text DEFAULT $$'{%s}'::float8[]$$, sorted boolean DEFAULT false)
RETURNS text
LANGUAGE sql AS $$
	SELECT ct_bulk.difference(ARRAY(SELECT a FROM ct_bulk.knn(index, queries, k) AS a),
							  ARRAY(SELECT a FROM ct_bulk.scans(tab, queries, k, operand, col, filter, sorted) AS a));
$$;

-- Compares what covertree_knn_graph says with a scan for each row.
CREATE FUNCTION ct_bulk.graph_same(index regclass, k integer, tab text,
								   col text DEFAULT 'pt', filter text DEFAULT 'true',
								   operand text DEFAULT $$'{%s}'$$, sorted boolean DEFAULT false)
RETURNS text
LANGUAGE sql AS $$
	SELECT ct_bulk.difference(ARRAY(SELECT a FROM ct_bulk.graph(index, k) AS a),
							  ARRAY(SELECT a FROM ct_bulk.graph_scans(tab, k, operand, col, filter, sorted) AS a));
$$;

-- n queries of a kind of data.
CREATE FUNCTION ct_bulk.queries(shape text, n integer, dims integer, seed integer)
RETURNS double precision[]
LANGUAGE sql IMMUTABLE AS $$
	SELECT array_agg(pt ORDER BY id) FROM ct_cloud(shape, n, dims, seed);
$$;

-- Searches of the tables that ct_tables.config lists; expected is what scans say.
CREATE TABLE ct_bulk.search (tab text, what text, queries double precision[], k integer, expected ct_bulk.answer[]);

-- Queries: rows of the data, places beside them and where ct_tables.load() puts
-- a few rows more, one very far away.
CREATE FUNCTION ct_bulk.queries(c ct_tables.config, n integer)
RETURNS double precision[]
LANGUAGE sql AS $$
	SELECT array_agg(pt) FROM (
		SELECT pt FROM ct_cloud(c.shape, n, c.dims, c.seed)
		UNION ALL SELECT pt FROM ct_cloud(c.shape, n, c.dims, c.seed + 9)
		UNION ALL SELECT pt FROM ct_cloud(c.shape, 2, c.dims, c.seed + 3)
		UNION ALL SELECT (SELECT array_agg(1e8 * p) FROM unnest(pt) AS p)
			FROM ct_cloud(c.shape, 1, c.dims, c.seed + 7)) AS s;
$$;

-- Checks the indexes and scans the tables, as they are now.
CREATE FUNCTION ct_bulk.expect() RETURNS void
LANGUAGE sql AS $$
	SELECT ct_check(tab) FROM ct_tables.config;
	UPDATE ct_bulk.search AS s
		SET expected = ARRAY(SELECT a FROM ct_bulk.scans(s.tab, s.queries, s.k, c.operand) AS a)
		FROM ct_tables.config AS c WHERE c.tab = s.tab;
$$;

-- Compares all searches with what ct_bulk.expect() has found.
CREATE FUNCTION ct_bulk.compare(stage text) RETURNS void
LANGUAGE sql AS $$
	SELECT ct_tables.note(stage, s.tab, s.what,
						ct_bulk.difference(ARRAY(SELECT a FROM ct_bulk.knn(c.index, s.queries, s.k) AS a), s.expected))
	FROM ct_bulk.search AS s JOIN ct_tables.config AS c USING (tab);
$$;

-- Compares what knn_graph says of a row with what knn says of the place where it is.
CREATE FUNCTION ct_bulk.compare_graph(stage text, k integer) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	c ct_tables.config;
	expected ct_bulk.answer[];
BEGIN
	FOR c IN SELECT * FROM ct_tables.config LOOP
		EXECUTE format($q$
			WITH place AS (SELECT ctid AS tid, pt, row_number() OVER (ORDER BY ctid)::integer AS query
						   FROM %s WHERE pt IS NOT NULL),
				near AS (SELECT p.tid AS row, a.tid, a.distance,
							row_number() OVER (PARTITION BY query ORDER BY a.rank)::integer AS rank
						 FROM covertree_knn($1, (SELECT array_agg(pt ORDER BY query) FROM place)::float8[], $2 + 1) AS a
							JOIN place AS p USING (query)
						 WHERE a.tid <> p.tid)
			SELECT array_agg((row::text, rank, tid, distance)::ct_bulk.answer) FROM near WHERE rank <= $2
			$q$, c.tab) INTO expected USING c.index::regclass, k;
		PERFORM ct_tables.note(stage, c.tab, 'graph',
							 ct_bulk.difference(ARRAY(SELECT a FROM ct_bulk.graph(c.index, k) AS a), expected));
	END LOOP;
END;
$$;

-- All of that, with the tables as they are now.
CREATE FUNCTION ct_bulk.compare_all(stage text) RETURNS void
LANGUAGE sql AS $$
	SELECT ct_bulk.expect();
	SELECT ct_bulk.compare(stage);
	SELECT ct_bulk.compare_graph(stage, 3);
$$;

-- Compares all searches by each number of workers with each amount of memory.
CREATE FUNCTION ct_bulk.compare_resources(workers integer[], memory text[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	w integer;
	m text;
BEGIN
	FOREACH w IN ARRAY workers LOOP
		PERFORM set_config('max_parallel_workers_per_gather', w::text, true);
		FOREACH m IN ARRAY memory LOOP
			PERFORM set_config('work_mem', m, true);
			PERFORM ct_bulk.compare(format('%s workers, %s', w, m));
		END LOOP;
	END LOOP;
END;
$$;

-- Compares them by every level of kernels that the machine has.
CREATE FUNCTION ct_bulk.compare_levels() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	level text;
BEGIN
	FOREACH level IN ARRAY '{scalar,avx2,avx512}'::text[] LOOP
		BEGIN
			PERFORM set_config('covertree.kernel_level', level, true);
		EXCEPTION WHEN invalid_parameter_value THEN
			CONTINUE;
		END;
		PERFORM ct_bulk.compare(level);
	END LOOP;
END;
$$;

-- Ends a test: drops its tables, and forgets its searches and what has come of them.
CREATE FUNCTION ct_bulk.finish() RETURNS void
LANGUAGE sql AS $$
	SELECT ct_tables.finish();
	TRUNCATE ct_bulk.search;
$$;
