--
-- Which operator each form of the operands gets, its value, and what bad
-- operands get.  No index here: see operands.sql.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS covertree;
RESET client_min_messages;

CREATE TABLE types_t (f8 double precision[], f4 real[], p point);
INSERT INTO types_t VALUES ('{0.1,0.2,0.3}', '{0.1,0.2,0.3}', '(0.1,0.2)');

-- what an expression over types_t resolves to: told by the dependencies of a
-- view, because a cast of the column would not show in the result
CREATE FUNCTION types_resolve(expr text, OUT operator regoperator,
	OUT column_cast boolean, OUT value double precision)
LANGUAGE plpgsql AS $$
DECLARE
	def text;
BEGIN
	EXECUTE format('CREATE VIEW types_v AS SELECT %s AS d FROM types_t', expr);
	SELECT d.refobjid::regoperator INTO STRICT operator
	FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
	WHERE d.classid = 'pg_rewrite'::regclass
	  AND d.refclassid = 'pg_operator'::regclass
	  AND r.ev_class = 'types_v'::regclass;
	SELECT definition INTO STRICT def FROM pg_views WHERE viewname = 'types_v';
	column_cast := def ~ '\m(f8|f4|p)\)?::';
	EXECUTE 'SELECT d FROM types_v' INTO STRICT value;
	DROP VIEW types_v;
END
$$;

SELECT o.expr, r.*
FROM (VALUES
	-- float8[] column
	(1, $$f8 <~> '{0.1,0.2,0.3}'$$),
	(2, $$f8 <~> '{0.1,0.2,0.3}'::real[]$$),
	(3, $$f8 <~> '{0.1,0.2,0.3}'::float8[]$$),
	(4, $$f8 <~> ARRAY[0.1,0.2,0.3]$$),
	(5, $$f8 <~> '{0.1,0.2,0.3}'::numeric[]$$),
	(6, $$f8 <~> ARRAY[1,2,3]$$),
	(7, $$f8 <~> ARRAY[1,2,3]::bigint[]$$),
	(8, $$f8 <~> ARRAY[1,2,3.5]$$),
	(9, $$f8 <~> f4$$),
	(10, $$f8 <~> (SELECT f8 FROM types_t)$$),
	-- real[] column
	(11, $$f4 <~> '{0.1,0.2,0.3}'$$),
	(12, $$f4 <~> '{0.1,0.2,0.3}'::real[]$$),
	(13, $$f4 <~> '{0.1,0.2,0.3}'::float8[]$$),
	(14, $$f4 <~> ARRAY[0.1,0.2,0.3]$$),
	(15, $$f4 <~> '{0.1,0.2,0.3}'::numeric[]$$),
	(16, $$f4 <~> ARRAY[1,2,3]$$),
	(17, $$f4 <~> ARRAY[1,2,3]::bigint[]$$),
	(18, $$f4 <~> ARRAY[1,2,3.5]$$),
	(19, $$f4 <~> f8$$),
	(20, $$f4 <~> (SELECT f4 FROM types_t)$$),
	-- point column
	(21, $$p <~> '(3.1,4.2)'$$),
	(22, $$p <~> point(3.1,4.2)$$),
	-- column on the right
	(23, $$'{0.1,0.2,0.3}' <~> f8$$),
	(24, $$'{0.1,0.2,0.3}'::real[] <~> f8$$),
	(25, $$'{0.1,0.2,0.3}' <~> f4$$),
	(26, $$'{0.1,0.2,0.3}'::float8[] <~> f4$$),
	(27, $$'(3.1,4.2)' <~> p$$)
) o(n, expr), LATERAL types_resolve(o.expr) r
ORDER BY o.n;

-- an untyped parameter takes the type of the column
PREPARE types_p1 AS SELECT f8 <~> $1 FROM types_t;
PREPARE types_p2 AS SELECT f4 <~> $1 FROM types_t;
PREPARE types_p3 AS SELECT p <~> $1 FROM types_t;
PREPARE types_p4 AS SELECT f4 <~> $1::float8[] FROM types_t;
PREPARE types_p5 AS SELECT f8 <~> $1::float8[] FROM types_t;
SELECT name, parameter_types FROM pg_prepared_statements
WHERE name ~ '^types_' ORDER BY name;
EXECUTE types_p1('{0.1,0.2,3.3}');
EXECUTE types_p2('{0.1,0.2,3.3}');
EXECUTE types_p3('(3.1,4.2)');
EXECUTE types_p4('{0.1,0.2,3.3}');
EXECUTE types_p5('{0.1,0.2,3.3}');
DEALLOCATE types_p1;
DEALLOCATE types_p2;
DEALLOCATE types_p3;
DEALLOCATE types_p4;
DEALLOCATE types_p5;

-- <-> is left alone for arrays
SELECT f8 <-> '{0.1,0.2,0.3}'::float8[] FROM types_t;

-- what the catalogs say of the operators
SELECT o.oid::regoperator AS operator, o.oprresult::regtype AS result,
	o.oprcom::regoperator AS commutator, p.proname AS function,
	p.provolatile AS vol, p.proisstrict AS strict, p.proparallel AS par
FROM pg_operator o JOIN pg_proc p ON p.oid = o.oprcode
WHERE o.oprname = '<~>' ORDER BY o.oid::regoperator::text COLLATE "C";

-- values
SELECT '{0,0}'::float8[] <~> '{3,4}' AS pythagoras,
	'{5}'::float8[] <~> '{-2}' AS one_dimension,
	'{1,2,3}'::float8[] <~> '{1,2,3}' AS zero,
	'{0}'::float8[] <~> '{-0}' AS signed_zero,
	'[0:2]={1,2,3}'::float8[] <~> '[7:9]={1,2,3}'::real[] AS lower_bounds;
SELECT '{3e300,0}'::float8[] <~> '{0,4e300}' AS huge,
	'{3e-300,0}'::float8[] <~> '{0,4e-300}' AS tiny,
	'{5e-324,0}'::float8[] <~> '{0,0}' AS subnormal,
	'{1e308,1e308}'::float8[] <~> '{-1e308,-1e308}' AS overflow,
	'{3e38}'::real[] <~> '{-3e38}'::float8[] AS beyond_real;
-- real elements are compared as they are, numbers of other types as doubles
SELECT '{0.1}'::real[] <~> '{0.1}'::real[] AS real_real,
	'{0.1}'::real[] <~> '{0.1}'::float8[] AS real_float8,
	'{0.1}'::real[] <~> ARRAY[0.1] AS real_numeric,
	'{16777217}'::float8[] <~> ARRAY[16777217] AS float8_integer,
	'{9007199254740992}'::float8[] <~> ARRAY[9007199254740993] AS float8_bigint,
	'{0.1,1e300}'::float8[] <~> ARRAY[0.1, 1e300] AS float8_numeric;
-- NULL operands
SELECT NULL::float8[] <~> '{1}' IS NULL AS l, '{1}'::float8[] <~> NULL IS NULL AS r,
	NULL::point <~> NULL IS NULL AS p;
-- a null bitmap without a null
SELECT (array_remove(ARRAY[1,NULL,3]::float8[], NULL)) <~> '{1,3}' AS removed,
	(('{1,NULL,3}'::float8[])[3:3]) <~> '{4}' AS slice;

-- every type reads the same numbers, whichever way it is stored, and the
-- operator is symmetric bit for bit (the larger ones are stored out of line)
CREATE TABLE types_n (n int, i4 int[], i8 bigint[], nu numeric[],
	f4 real[], f8 float8[], q float8[]);
ALTER TABLE types_n ALTER f8 SET STORAGE EXTERNAL;
INSERT INTO types_n
SELECT n, v, v::bigint[], v::numeric[], v::real[], v::float8[], q
FROM (SELECT n,
		array_agg((n * 7919 + j * 104729) % 20011 - 10000 ORDER BY j) AS v,
		array_agg(sin(n * 1000 + j) ORDER BY j) AS q
	  FROM unnest('{1,2,3,4,7,8,9,12,13,15,16,17,31,33,100,500,2000}'::int[]) n,
		generate_series(1, n) j
	  GROUP BY n) s;
SELECT n FROM types_n
WHERE (q <~> f8) IS DISTINCT FROM (q <~> f4)
   OR (q <~> f8) IS DISTINCT FROM (q <~> nu)
   OR (q <~> f8) IS DISTINCT FROM (q <~> i4)
   OR (q <~> f8) IS DISTINCT FROM (q <~> i8)
   OR (q <~> f8) IS DISTINCT FROM (f8 <~> q)
   OR (q <~> f8) IS DISTINCT FROM (f4 <~> q)
   OR (q::real[] <~> f8) IS DISTINCT FROM (q::real[]::float8[] <~> f8)
   OR (q::real[] <~> f4) IS DISTINCT FROM (q::real[]::float8[] <~> f8)
   OR (q::real[] <~> nu) IS DISTINCT FROM (q::real[]::float8[] <~> f8)
   OR (q::real[] <~> i4) IS DISTINCT FROM (q::real[]::float8[] <~> f8)
   OR (q::real[] <~> i8) IS DISTINCT FROM (q::real[]::float8[] <~> f8);
-- near enough to the textbook
SELECT n FROM types_n,
	LATERAL (SELECT sqrt(sum((a - b) ^ 2)) AS d FROM unnest(q, f8) u(a, b)) t
WHERE abs((q <~> f8) - d) > 1e-13 * d;
-- expanded arrays
DO $$
DECLARE
	a float8[] := '{1,2}';
BEGIN
	a[3] := 2;
	RAISE NOTICE '%', a <~> '{0,0,0}'::real[];
END
$$;

--
-- Bad operands
--
CREATE FUNCTION types_error(expr text, OUT code text, OUT message text,
	OUT detail text, OUT hint text)
LANGUAGE plpgsql AS $$
DECLARE
	d double precision;
BEGIN
	EXECUTE 'SELECT ' || expr INTO d;
	message := 'no error: ' || d;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE,
		message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
		hint = PG_EXCEPTION_HINT;
END
$$;

\x on
SELECT o.expr, e.code, left(e.message, 70) AS message, e.detail, e.hint
FROM (VALUES
	(1, $$'{1,2}'::float8[] <~> '{1,2,3}'$$),
	(2, $$'{1,2,3}'::real[] <~> ARRAY[1]$$),
	(3, $$'{}'::float8[] <~> '{1}'$$),
	(4, $$'{1}'::float8[] <~> '{}'$$),
	(5, $$'{{1,2},{3,4}}'::float8[] <~> '{1}'$$),
	(6, $$'{1}'::real[] <~> '{{{1}}}'::int[]$$),
	(7, $$'{1,NULL}'::float8[] <~> '{1,2}'$$),
	(8, $$'{1,2}'::real[] <~> ARRAY[NULL,1.5]$$),
	(9, $$'{1,2,NaN}'::float8[] <~> '{1,2,3}'$$),
	(10, $$'{1,2}'::float8[] <~> '{NaN,2}'::real[]$$),
	(11, $$'{1,2}'::float8[] <~> '{1,NaN}'::numeric[]$$),
	(12, $$'{1,2}'::float8[] <~> '{1,Infinity}'$$),
	(13, $$'{1,-Infinity}'::real[] <~> '{1,2}'$$),
	(14, $$'{1,2}'::real[] <~> '{1,-Infinity}'::numeric[]$$),
	(15, $$'{1}'::float8[] <~> ARRAY[1e400]$$),
	(16, $$array_fill(1, ARRAY[2001])::float8[] <~> '{1}'$$),
	(17, $$array_fill(1, ARRAY[2000])::real[] <~> array_fill(1::bigint, ARRAY[2001])$$),
	(18, $$'(1,NaN)'::point <~> '(1,2)'$$),
	(19, $$'(1,2)'::point <~> '(Infinity,2)'$$),
	(20, $$'{1}'::float8[] <~> '{a}'$$),
	(21, $$'{1}'::float8[] <~> '{1}'::smallint[]$$),
	(22, $$'{1}'::float8[] <~> '(1,2)'::point$$)
) o(n, expr), LATERAL types_error(o.expr) e
ORDER BY o.n;
\x off

-- a bad row fails the statement, wherever it comes from
SELECT f8 <~> '{1,2}' FROM types_t;
SELECT count(f8 <~> '{1}'::float8[]) FROM types_n WHERE n = 2;

DROP FUNCTION types_error(text);
DROP FUNCTION types_resolve(text);
DROP TABLE types_t, types_n;
