--
-- Each form of the right operand uses the index and gives what a sequential
-- scan gives, bit for bit and in the same order.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS covertree;
RESET client_min_messages;

-- a fixed pseudo-random sequence, with some duplicates and a NULL
CREATE TABLE operands_t (id int PRIMARY KEY, f8 double precision[], f4 real[], p point);
INSERT INTO operands_t
SELECT id, ARRAY[x, y, z], ARRAY[x, y, z], point(x, y)
FROM (SELECT id,
		((k * 7919) % 10007) / 1000.0::float8 AS x,
		((k * 104729) % 10009) / 1000.0::float8 AS y,
		((k * 611953) % 10037) / 1000.0::float8 AS z
	  FROM (SELECT id, id % 2900 AS k FROM generate_series(1, 3000) id) s) t;
INSERT INTO operands_t VALUES (3001, NULL, NULL, NULL);
CREATE INDEX operands_f8 ON operands_t USING covertree (f8);
CREATE INDEX operands_f4 ON operands_t USING covertree (f4);
CREATE INDEX operands_p ON operands_t USING covertree (p);
ANALYZE operands_t;

-- for LATERAL and for expressions
CREATE TABLE operands_q (n int, f8 float8[], f4 real[], nu numeric[],
	i4 int[], i8 bigint[], p point);
INSERT INTO operands_q VALUES
	(1, '{0.1,0.2,0.3}', '{0.1,0.2,0.3}', '{0.1,0.2,0.3}', '{1,2,3}', '{1,2,3}', '(0.1,0.2)'),
	(2, '{5,5.5,6.1}', '{5,5.5,6.1}', '{5,5.5,6.1}', '{5,5,6}', '{5,5,6}', '(5,5.5)'),
	(3, '{-1e9,1e9,7}', '{-1e9,1e9,7}', '{-1e9,1e9,7}', '{-9,9,7}', '{-9,9,7}', '(-1e9,1e9)');
ANALYZE operands_q;

-- Runs a query by index, and the same distances by a sequential scan with ties
-- in TID order; tells whether the plan reads the index in order, without a
-- sort, and whether both gave the same rows, distances and order.
CREATE FUNCTION operands_compare(index text, by_index text, by_seqscan text,
	OUT uses_index boolean, OUT sorts boolean, OUT same boolean, OUT n bigint)
LANGUAGE plpgsql AS $$
DECLARE
	line text;
	r record;
	i text[];
	s text[];
BEGIN
	uses_index := false;
	sorts := false;
	PERFORM set_config('enable_seqscan', 'off', true);
	PERFORM set_config('enable_indexscan', 'on', true);
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || by_index
	LOOP
		uses_index := uses_index OR line ~ ('Index Scan using ' || index || ' on');
		sorts := sorts OR line ~ 'Sort';
	END LOOP;
	FOR r IN EXECUTE by_index
	LOOP
		i := i || r::text;
	END LOOP;
	PERFORM set_config('enable_seqscan', 'on', true);
	PERFORM set_config('enable_indexscan', 'off', true);
	FOR r IN EXECUTE by_seqscan
	LOOP
		s := s || r::text;
	END LOOP;
	PERFORM set_config('enable_indexscan', 'on', true);
	same := i IS NOT DISTINCT FROM s;
	n := cardinality(i);
END
$$;

-- the nearest 40 rows by a distance; query is the statement to test, unless
-- it is simply that
CREATE FUNCTION operands_nearest(index text, distance text, query text,
	OUT uses_index boolean, OUT sorts boolean, OUT same boolean, OUT n bigint)
LANGUAGE sql AS $$
	SELECT c.* FROM
		format('SELECT id, %1$s FROM operands_t ORDER BY %1$s', distance) q,
		operands_compare(index, coalesce(query, q || ' LIMIT 40'),
						 q || ', ctid LIMIT 40') c
$$;

-- the nearest 20 rows of each row of operands_q
CREATE FUNCTION operands_lateral(index text, distance text,
	OUT uses_index boolean, OUT sorts boolean, OUT same boolean, OUT n bigint)
LANGUAGE sql AS $$
	SELECT c.* FROM
		format('SELECT q.n, l.* FROM operands_q q, '
			   'LATERAL (SELECT t.id, %1$s FROM operands_t t ORDER BY %1$s', distance) q,
		operands_compare(index, q || ' LIMIT 20) l', q || ', t.ctid LIMIT 20) l') c
$$;

--
-- Literals and constructors
--
SELECT o.distance, r.*
FROM (VALUES
	(1, 'operands_f8', $$f8 <~> '{5,5.5,6.1}'$$),
	(2, 'operands_f8', $$f8 <~> '{5,5.5,6.1}'::real[]$$),
	(3, 'operands_f8', $$f8 <~> '{5,5.5,6.1}'::float8[]$$),
	(4, 'operands_f8', $$f8 <~> ARRAY[5,5.5,6.1]$$),
	(5, 'operands_f8', $$f8 <~> '{5,5.5,6.1}'::numeric[]$$),
	(6, 'operands_f8', $$f8 <~> ARRAY[5,5,6]$$),
	(7, 'operands_f8', $$f8 <~> ARRAY[5,5,6]::bigint[]$$),
	(8, 'operands_f8', $$'{5,5.5,6.1}' <~> f8$$),
	(9, 'operands_f8', $$'{5,5.5,6.1}'::real[] <~> f8$$),
	(10, 'operands_f8', $$f8 <~> (SELECT q.f8 FROM operands_q q WHERE q.n = 2)$$),
	(11, 'operands_f4', $$f4 <~> '{5,5.5,6.1}'$$),
	(12, 'operands_f4', $$f4 <~> '{5,5.5,6.1}'::real[]$$),
	(13, 'operands_f4', $$f4 <~> '{5,5.5,6.1}'::float8[]$$),
	(14, 'operands_f4', $$f4 <~> ARRAY[5,5.5,6.1]$$),
	(15, 'operands_f4', $$f4 <~> '{5,5.5,6.1}'::numeric[]$$),
	(16, 'operands_f4', $$f4 <~> ARRAY[5,5,6]$$),
	(17, 'operands_f4', $$f4 <~> ARRAY[5,5,6]::bigint[]$$),
	(18, 'operands_f4', $$'{5,5.5,6.1}' <~> f4$$),
	(19, 'operands_f4', $$'{5,5.5,6.1}'::float8[] <~> f4$$),
	(20, 'operands_f4', $$f4 <~> (SELECT q.f8 FROM operands_q q WHERE q.n = 2)$$),
	(21, 'operands_p', $$p <~> '(5,5.5)'$$),
	(22, 'operands_p', $$p <~> point(5,5.5)$$),
	(23, 'operands_p', $$'(5,5.5)' <~> p$$),
	(24, 'operands_p', $$p <-> '(5,5.5)'$$),
	(25, 'operands_p', $$p <-> point(5,5.5)$$),
	(26, 'operands_p', $$p <~> (SELECT q.p FROM operands_q q WHERE q.n = 2)$$)
) o(n, index, distance), LATERAL operands_nearest(o.index, o.distance, NULL) r
ORDER BY o.n;

--
-- Parameters, in custom and in generic plans
--
PREPARE f8_untyped AS SELECT id, f8 <~> $1 FROM operands_t ORDER BY f8 <~> $1 LIMIT 40;
PREPARE f8_f8 AS SELECT id, f8 <~> $1::float8[] FROM operands_t ORDER BY f8 <~> $1::float8[] LIMIT 40;
PREPARE f8_f4(real[]) AS SELECT id, f8 <~> $1 FROM operands_t ORDER BY f8 <~> $1 LIMIT 40;
PREPARE f8_nu(numeric[]) AS SELECT id, f8 <~> $1 FROM operands_t ORDER BY f8 <~> $1 LIMIT 40;
PREPARE f8_i4(int[]) AS SELECT id, f8 <~> $1 FROM operands_t ORDER BY f8 <~> $1 LIMIT 40;
PREPARE f8_i8(bigint[]) AS SELECT id, f8 <~> $1 FROM operands_t ORDER BY f8 <~> $1 LIMIT 40;
PREPARE f4_untyped AS SELECT id, f4 <~> $1 FROM operands_t ORDER BY f4 <~> $1 LIMIT 40;
PREPARE f4_f8 AS SELECT id, f4 <~> $1::float8[] FROM operands_t ORDER BY f4 <~> $1::float8[] LIMIT 40;
PREPARE f4_f4(real[]) AS SELECT id, f4 <~> $1 FROM operands_t ORDER BY f4 <~> $1 LIMIT 40;
PREPARE f4_nu(numeric[]) AS SELECT id, f4 <~> $1 FROM operands_t ORDER BY f4 <~> $1 LIMIT 40;
PREPARE f4_i4(int[]) AS SELECT id, f4 <~> $1 FROM operands_t ORDER BY f4 <~> $1 LIMIT 40;
PREPARE f4_i8(bigint[]) AS SELECT id, f4 <~> $1 FROM operands_t ORDER BY f4 <~> $1 LIMIT 40;
PREPARE p_untyped AS SELECT id, p <~> $1 FROM operands_t ORDER BY p <~> $1 LIMIT 40;
PREPARE p_core AS SELECT id, p <-> $1::point FROM operands_t ORDER BY p <-> $1::point LIMIT 40;

CREATE TABLE operands_x (k int, index text, distance text, query text);
INSERT INTO operands_x VALUES
	(1, 'operands_f8', $$f8 <~> '{5,5.5,6.1}'::float8[]$$, $$EXECUTE f8_untyped('{5,5.5,6.1}')$$),
	(2, 'operands_f8', $$f8 <~> '{5,5.5,6.1}'::float8[]$$, $$EXECUTE f8_f8('{5,5.5,6.1}')$$),
	(3, 'operands_f8', $$f8 <~> '{5,5.5,6.1}'::real[]$$, $$EXECUTE f8_f4('{5,5.5,6.1}')$$),
	(4, 'operands_f8', $$f8 <~> '{5,5.5,6.1}'::numeric[]$$, $$EXECUTE f8_nu('{5,5.5,6.1}')$$),
	(5, 'operands_f8', $$f8 <~> '{5,5,6}'::int[]$$, $$EXECUTE f8_i4('{5,5,6}')$$),
	(6, 'operands_f8', $$f8 <~> '{5,5,6}'::bigint[]$$, $$EXECUTE f8_i8('{5,5,6}')$$),
	(7, 'operands_f4', $$f4 <~> '{5,5.5,6.1}'::real[]$$, $$EXECUTE f4_untyped('{5,5.5,6.1}')$$),
	(8, 'operands_f4', $$f4 <~> '{5,5.5,6.1}'::float8[]$$, $$EXECUTE f4_f8('{5,5.5,6.1}')$$),
	(9, 'operands_f4', $$f4 <~> '{5,5.5,6.1}'::real[]$$, $$EXECUTE f4_f4('{5,5.5,6.1}')$$),
	(10, 'operands_f4', $$f4 <~> '{5,5.5,6.1}'::numeric[]$$, $$EXECUTE f4_nu('{5,5.5,6.1}')$$),
	(11, 'operands_f4', $$f4 <~> '{5,5,6}'::int[]$$, $$EXECUTE f4_i4('{5,5,6}')$$),
	(12, 'operands_f4', $$f4 <~> '{5,5,6}'::bigint[]$$, $$EXECUTE f4_i8('{5,5,6}')$$),
	(13, 'operands_p', $$p <~> '(5,5.5)'$$, $$EXECUTE p_untyped('(5,5.5)')$$),
	(14, 'operands_p', $$p <-> '(5,5.5)'$$, $$EXECUTE p_core('(5,5.5)')$$);

SET plan_cache_mode = force_custom_plan;
SELECT o.query, r.*
FROM operands_x o, LATERAL operands_nearest(o.index, o.distance, o.query) r
ORDER BY o.k;
-- enable_seqscan counts when a generic plan is made, so it is made here
SET plan_cache_mode = force_generic_plan;
SELECT o.query, r.*
FROM operands_x o, LATERAL operands_nearest(o.index, o.distance, o.query) r
ORDER BY o.k;
SELECT name, generic_plans > 0 AS generic FROM pg_prepared_statements
WHERE name ~ '^(f8|f4|p)_' ORDER BY name COLLATE "C";
RESET plan_cache_mode;
DEALLOCATE ALL;

--
-- Columns of an outer table
--
SELECT o.distance, r.*
FROM (VALUES
	(1, 'operands_f8', 't.f8 <~> q.f8'),
	(2, 'operands_f8', 't.f8 <~> q.f4'),
	(3, 'operands_f8', 't.f8 <~> q.nu'),
	(4, 'operands_f8', 't.f8 <~> q.i4'),
	(5, 'operands_f8', 't.f8 <~> q.i8'),
	(6, 'operands_f8', 'q.f8 <~> t.f8'),
	(7, 'operands_f8', 'q.f4 <~> t.f8'),
	(8, 'operands_f4', 't.f4 <~> q.f8'),
	(9, 'operands_f4', 't.f4 <~> q.f4'),
	(10, 'operands_f4', 't.f4 <~> q.nu'),
	(11, 'operands_f4', 't.f4 <~> q.i4'),
	(12, 'operands_f4', 't.f4 <~> q.i8'),
	(13, 'operands_f4', 'q.f8 <~> t.f4'),
	(14, 'operands_p', 't.p <~> q.p'),
	(15, 'operands_p', 't.p <-> q.p'),
	(16, 'operands_p', 'q.p <-> t.p')
) o(n, index, distance), LATERAL operands_lateral(o.index, o.distance) r
ORDER BY o.n;

--
-- Every row, NULLs last
--
SELECT o.distance, r.*
FROM (VALUES
	(1, 'operands_f8', $$f8 <~> ARRAY[5,5.5,6.1]$$),
	(2, 'operands_f4', $$f4 <~> '{5,5.5,6.1}'::float8[]$$),
	(3, 'operands_p', $$p <~> '(5,5.5)'$$),
	(4, 'operands_p', $$p <-> '(5,5.5)'$$)
) o(n, index, distance), LATERAL operands_compare(o.index,
	format('SELECT id, %1$s FROM operands_t ORDER BY %1$s', o.distance),
	format('SELECT id, %1$s FROM operands_t ORDER BY %1$s, ctid', o.distance)) r
ORDER BY o.n;

DROP FUNCTION operands_lateral(text, text);
DROP FUNCTION operands_nearest(text, text, text);
DROP FUNCTION operands_compare(text, text, text);
DROP TABLE operands_t, operands_q, operands_x;
