--
-- Extension and helpers that all other tests use.  The TAP tests run this
-- file too, so it holds plain SQL only.
--
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS covertree;
RESET client_min_messages;

-- Tests forbid plans by enable_seqscan and the like.  Before 18 that makes what is
-- left so dear that the server would compile each call of an SQL function.
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET jit = off', current_database()); END $$;

-- Uniform in [0, 1), the same on every machine.
CREATE FUNCTION ct_rand(seed bigint, i bigint, j integer)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT (hashint8extended(i * 4096 + j, seed) & 9007199254740991)::float8
		/ 9007199254740992;
$$;

-- Coordinate j of point i of a data set of the given shape.
CREATE FUNCTION ct_coordinate(shape text, seed integer, i integer, j integer)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT CASE shape
		WHEN 'uniform' THEN
			ct_rand(seed, i, j)
		WHEN 'gauss' THEN
			ct_rand(seed, i, j) + ct_rand(seed + 1, i, j)
			+ ct_rand(seed + 2, i, j) + ct_rand(seed + 3, i, j) - 2
		WHEN 'clusters' THEN
			100 * ct_rand(seed, (20 * ct_rand(seed + 1, i, 0))::bigint, j)
			+ ct_rand(seed + 2, i, j) + ct_rand(seed + 3, i, j)
		WHEN 'lattice' THEN
			floor(5 * ct_rand(seed, i, j))
		WHEN 'line' THEN
			floor(200 * ct_rand(seed, i, 0)) * j / 8 - 3
		WHEN 'duplicates' THEN
			ct_rand(seed, (10 * ct_rand(seed + 1, i, 0))::bigint, j)
		WHEN 'powers' THEN
			sign(ct_rand(seed + 1, i, j) - 0.5)
			* power(2::float8, floor(600 * ct_rand(seed, i, j)) - 300)
		WHEN 'small powers' THEN
			sign(ct_rand(seed + 1, i, j) - 0.5)
			* power(2::float8, floor(200 * ct_rand(seed, i, j)) - 100)
	END;
$$;

CREATE FUNCTION ct_point(shape text, seed integer, i integer, dims integer)
RETURNS double precision[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT array_agg(ct_coordinate(shape, seed, i, j) ORDER BY j)
	FROM generate_series(1, dims) AS j;
$$;

-- n points; other seeds give other points of the same kind.
CREATE FUNCTION ct_cloud(shape text, n integer, dims integer,
						 seed integer DEFAULT 0)
RETURNS TABLE (id integer, pt double precision[])
LANGUAGE sql IMMUTABLE AS $$
	SELECT i, ct_point(shape, seed, i, dims) FROM generate_series(1, n) AS i;
$$;

-- The plan of a statement, in words that do not depend on the server's version.
CREATE FUNCTION ct_plan(statement text)
RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || statement LOOP
		-- whether the best of what there is was disabled is told from 18 on
		CONTINUE WHEN line ~ '^ *Disabled: true$';
		-- $0 is what the first subquery returns, until 16
		line := replace(line, 'InitPlan 1 (returns $0)', 'InitPlan 1');
		RETURN NEXT replace(line, '$0', '(InitPlan 1).col1');
	END LOOP;
END;
$$;

-- The rows of an ordered query, by index and by sequential scan and sort.
CREATE FUNCTION ct_by_index(statement text)
RETURNS TABLE (tid tid, d double precision)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
SET max_parallel_workers_per_gather = 0 AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT JSON) ' || statement INTO plan;
	IF NOT EXISTS (SELECT 1
				   FROM jsonb_path_query(plan::jsonb, 'strict $.**."Index Name"') AS name
						JOIN pg_class c ON c.relname = name #>> '{}'
						JOIN pg_am ON pg_am.oid = c.relam
				   WHERE amname = 'covertree')
	THEN
		RAISE EXCEPTION 'no covertree index used by: %', statement;
	END IF;
	RETURN QUERY EXECUTE statement;
END;
$$;

CREATE FUNCTION ct_by_sort(statement text)
RETURNS TABLE (tid tid, d double precision)
LANGUAGE plpgsql
SET enable_indexscan = off SET enable_indexonlyscan = off
SET enable_bitmapscan = off
SET max_parallel_workers_per_gather = 0 AS $$
BEGIN
	RETURN QUERY EXECUTE statement;
END;
$$;

-- Run one nearest-neighbour query both ways.  Same rows, same order (ties by
-- TID) and the same bits of every distance give 'ok' and the number of rows,
-- anything else the first difference.
CREATE FUNCTION ct_same(tab text, query text, k integer DEFAULT NULL,
						filter text DEFAULT 'true', col text DEFAULT 'pt',
						op text DEFAULT '<~>')
RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	dist text := format('(%s) %s (%s)', col, op, query);
	stmt text := format('SELECT ctid, %s FROM %s WHERE %s ORDER BY %s',
						dist, tab, filter, dist);
	result text;
BEGIN
	SELECT CASE
			WHEN count(*) FILTER (WHERE i.rn IS NULL OR s.rn IS NULL
								  OR i.tid <> s.tid
								  OR float8send(i.d) IS DISTINCT FROM float8send(s.d)) = 0
			THEN format('ok, %s rows', count(*))
			ELSE format('%s rows by index and %s by sort; first difference: ',
						count(i.rn), count(s.rn)) ||
				(array_agg(format('row %s is %s at %s, not %s at %s',
								  coalesce(s.rn, i.rn), i.tid, i.d, s.tid, s.d)
						   ORDER BY coalesce(s.rn, i.rn))
				 FILTER (WHERE i.rn IS NULL OR s.rn IS NULL OR i.tid <> s.tid
						 OR float8send(i.d) IS DISTINCT FROM float8send(s.d)))[1]
		END
	INTO result
	FROM ct_by_index(stmt || coalesce(' LIMIT ' || k, ''))
		WITH ORDINALITY AS i (tid, d, rn)
		FULL JOIN ct_by_sort(stmt || ', ctid' || coalesce(' LIMIT ' || k, ''))
		WITH ORDINALITY AS s (tid, d, rn)
		ON i.rn = s.rn;
	RETURN result;
END;
$$;

-- The error of a statement that is to fail, with nothing left of the attempt.
CREATE FUNCTION ct_error(statement text)
RETURNS TABLE (state text, message text, detail text, hint text)
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	state := '00000';
	message := 'no error';
	RETURN NEXT;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE,
		message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
		hint = PG_EXCEPTION_HINT;
	RETURN NEXT;
END;
$$;

-- covertree_check of every index of a table, heap included.
CREATE FUNCTION ct_check(tab regclass)
RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	idx regclass;
	n integer := 0;
BEGIN
	FOR idx IN
		SELECT i.indexrelid FROM pg_index i
			JOIN pg_class c ON c.oid = i.indexrelid
			JOIN pg_am am ON am.oid = c.relam
		WHERE i.indrelid = tab AND am.amname = 'covertree' ORDER BY 1
	LOOP
		PERFORM covertree_check(idx, true);
		n := n + 1;
	END LOOP;
	RETURN format('ok, %s indexes', n);
END;
$$;
