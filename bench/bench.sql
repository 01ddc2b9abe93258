/*
 * bench.sql
 *      What the figures share: data, queries, clocks and the tables of results.
 *
 * Loaded once into an empty database.  The scripts of the figures fill the
 * tables data (the rows) and probe (the queries), call the procedures below,
 * and leave every single measurement in the table measurement and every ratio
 * with its limit in the table figure.
 *
 * IDENTIFICATION
 *      bench/bench.sql
 */
CREATE EXTENSION cube;
CREATE EXTENSION pg_prewarm;

CREATE SCHEMA bench;
SET search_path = bench, public;

CREATE TABLE measurement (
    no integer GENERATED ALWAYS AS IDENTITY,
    figure text NOT NULL,
    what text NOT NULL,
    method text NOT NULL,
    repetition integer NOT NULL,
    value double precision NOT NULL,
    unit text NOT NULL
);

CREATE TABLE figure (
    no integer GENERATED ALWAYS AS IDENTITY,
    figure text NOT NULL,
    what text NOT NULL,
    ours double precision,
    theirs double precision,
    against text,
    unit text,
    ratio double precision,
    at_least double precision,
    at_most double precision,
    note text
);

/*
 * Data.  One setseed() before a statement that calls these row by row makes
 * the rows the same in every run.
 */

-- a point with n independent coordinates, uniform in [0, 1)
CREATE FUNCTION uniform_point(n integer) RETURNS double precision[]
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    p double precision[];
BEGIN
    FOR i IN 1 .. n LOOP
        p[i] := random();
    END LOOP;
    RETURN p;
END;
$$;

-- the same with normal coordinates (Box and Muller), around the origin or a centre
CREATE FUNCTION normal_point(n integer, sigma double precision DEFAULT 1,
                             centre double precision[] DEFAULT NULL)
RETURNS double precision[]
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    p double precision[];
BEGIN
    FOR i IN 1 .. n LOOP
        p[i] := coalesce(centre[i], 0) +
            sigma * sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random());
    END LOOP;
    RETURN p;
END;
$$;

CREATE FUNCTION make_point(distribution text, clusters double precision[])
RETURNS double precision[]
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    c integer;
BEGIN
    CASE distribution
        WHEN 'gauss3' THEN
            RETURN normal_point(3);
        WHEN 'uniform3' THEN
            RETURN uniform_point(3);
        WHEN 'cluster8' THEN
            -- 50 centres in the unit cube
            c := 1 + floor(random() * 50);
            RETURN normal_point(8, 0.1, clusters[8 * c - 7 : 8 * c]);
    END CASE;
END;
$$;

/*
 * Fill data and probe.  Both methods find their column in the same rows of
 * one heap, in random order; r is another random order, for the floor.  The
 * queries are fresh points of the same distribution.
 */
CREATE PROCEDURE make_data(distribution text, nrows integer, nprobes integer)
LANGUAGE plpgsql AS $$
DECLARE
    clusters double precision[];
BEGIN
    DROP TABLE IF EXISTS data, probe;
    PERFORM setseed(0.271828);
    clusters := uniform_point(400);

    CREATE TABLE data AS
        SELECT s.id, s.r, s.pt, cube(s.pt) AS c
        FROM (SELECT i AS id, random() AS r,
                     make_point(distribution, clusters) AS pt
              FROM generate_series(1, nrows) i
              OFFSET 0) s;
    -- r below 0.9, so that every probe has k rows above it
    CREATE TABLE probe AS
        SELECT s.id, s.r, s.pt, cube(s.pt) AS c
        FROM (SELECT i AS id, 0.9 * random() AS r,
                     make_point(distribution, clusters) AS pt
              FROM generate_series(1, nprobes) i
              OFFSET 0) s;
    ANALYZE probe;
END;
$$;

/*
 * The same for the residual figures, from the files of residual.py.  Rows have
 * the numbers that they have there.  The queries are residual queries, so that
 * the statements below are the same for them.
 */
CREATE PROCEDURE load_residual(folder text, kernel text)
LANGUAGE plpgsql AS $$
DECLARE
    f record;
BEGIN
    DROP TABLE IF EXISTS data, knots, probe_row, probe, answer, brute;
    CREATE TABLE data (id integer, pt double precision[]);
    CREATE TABLE knots (no integer, pt double precision[]);
    CREATE TABLE probe_row (id integer, row_id integer);
    CREATE TABLE answer (probe integer, row_id integer, d double precision);
    CREATE TABLE brute (repetition integer, us double precision, product_us double precision,
                        batch_us double precision);
    FOR f IN SELECT * FROM (VALUES ('data', 'data'), ('knots', 'knots'), ('probe_row', 'probe'),
                                   ('answer', 'answer'), ('brute', 'time')) v (tab, file) LOOP
        EXECUTE format('COPY %I FROM %L (FORMAT csv)', f.tab, folder || '/' || f.file || '.csv');
    END LOOP;

    IF EXISTS (SELECT FROM covertree_model WHERE name = 'bench') THEN
        PERFORM covertree_drop_model('bench');
    END IF;
    PERFORM covertree_create_model('bench', kernel => kernel, lengthscale => '{1}',
        inducing => (SELECT array_agg(pt ORDER BY no) FROM knots));
    CREATE TABLE probe AS
        SELECT q.id, residual_query('bench', d.pt) AS pt
        FROM probe_row q JOIN data d ON d.id = q.row_id ORDER BY q.id;
    ANALYZE probe;
END;
$$;

/*
 * Records
 */
CREATE PROCEDURE note(figure text, what text, method text, repetition integer,
                      value double precision, unit text)
LANGUAGE sql AS $$
    INSERT INTO measurement (figure, what, method, repetition, value, unit)
    VALUES (figure, what, method, repetition, value, unit);
$$;

CREATE FUNCTION median(figure text, what text, method text)
RETURNS double precision
LANGUAGE sql STABLE AS $$
    SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY m.value)
    FROM measurement m
    WHERE m.figure = median.figure AND m.what = median.what AND
          m.method = median.method;
$$;

-- ratio = ours / theirs, or theirs / ours where more of it is worse for them
CREATE PROCEDURE conclude(figure text, what text, ours double precision,
                          theirs double precision, against text, unit text,
                          speedup boolean, at_least double precision DEFAULT NULL,
                          at_most double precision DEFAULT NULL,
                          note text DEFAULT NULL)
LANGUAGE sql AS $$
    INSERT INTO figure (figure, what, ours, theirs, against, unit, ratio, at_least, at_most, note)
    VALUES (figure, what, ours, theirs, against, unit,
            CASE WHEN speedup THEN theirs / nullif(ours, 0)
                 ELSE ours / nullif(theirs, 0) END,
            at_least, at_most, note);
$$;

/*
 * Clocks
 */

-- microseconds of a statement that returns one number, which must be as expected
CREATE FUNCTION timed(statement text, expected bigint)
RETURNS double precision
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    began timestamptz;
    ended timestamptz;
    n bigint;
BEGIN
    began := clock_timestamp();
    EXECUTE statement INTO n;
    ended := clock_timestamp();
    IF n IS DISTINCT FROM expected THEN
        RAISE EXCEPTION 'expected % rows, but got %', expected, n
            USING DETAIL = statement;
    END IF;
    RETURN extract(epoch FROM ended - began) * 1e6;
END;
$$;

-- seconds to create an index anew
CREATE FUNCTION timed_build(name text, definition text)
RETURNS double precision
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    began timestamptz;
BEGIN
    EXECUTE format('DROP INDEX IF EXISTS %I', name);
    began := clock_timestamp();
    EXECUTE format('CREATE INDEX %I ON %s', name, definition);
    RETURN extract(epoch FROM clock_timestamp() - began);
END;
$$;

/*
 * Queries
 */
CREATE FUNCTION search_order(method text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE method
        WHEN 'covertree' THEN 'ORDER BY p.pt <~> q.pt'
        WHEN 'cube' THEN 'ORDER BY p.c <-> q.c'
        WHEN 'floor' THEN 'WHERE p.r >= q.r ORDER BY p.r'
    END;
$$;

-- k neighbours of every probe in one statement
CREATE FUNCTION lateral_query(tab text, method text, k integer) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT format('SELECT count(n.id) FROM probe q CROSS JOIN LATERAL '
                  '(SELECT p.id FROM %I p %s LIMIT %s) n',
                  tab, search_order(method), k);
$$;

-- Does the planner take an index scan in the order that the query asks for?
CREATE FUNCTION uses_index(statement text) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    line text;
    index_scan boolean := false;
    sort boolean := false;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN ' || statement LOOP
        index_scan := index_scan OR line ~ 'Index Scan using .* on data';
        sort := sort OR line ~ 'Sort';
    END LOOP;
    RETURN index_scan AND NOT sort;
END;
$$;

CREATE FUNCTION methods(cube_only boolean) RETURNS text[]
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN cube_only THEN '{cube,floor}'::text[]
                ELSE '{covertree,cube,floor}' END;
$$;

/*
 * The work of our searches so far in this session; zeros where the extension
 * is not there.
 */
CREATE FUNCTION work_done(OUT pages bigint, OUT distances bigint)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    pages := 0;
    distances := 0;
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'covertree') THEN
        EXECUTE 'SELECT pages_read, distances FROM covertree_scan_stats()'
            INTO pages, distances;
    END IF;
END;
$$;

/*
 * Microseconds a query of every method: first each once to warm up, then by
 * turns.  Where the planner would not take the index by itself, that is
 * reported, and the index is measured all the same.
 */
CREATE PROCEDURE measure_lateral(figure text, k integer, repetitions integer,
                                 cube_only boolean)
LANGUAGE plpgsql AS $$
DECLARE
    nprobes integer := (SELECT count(*) FROM probe);
    method text;
    statement text;
    before record;
    after record;
    us double precision;
BEGIN
    FOR i IN 0 .. repetitions LOOP
        FOREACH method IN ARRAY methods(cube_only) LOOP
            statement := lateral_query('data', method, k);
            IF i = 0 AND NOT uses_index(statement) THEN
                RAISE WARNING '%: the planner does not take the index of %', figure, method;
                SET enable_seqscan = off;
                SET enable_sort = off;
                IF NOT uses_index(statement) THEN
                    RAISE EXCEPTION 'no plan with the index of % for: %', method, statement;
                END IF;
            END IF;
            before := work_done();
            us := timed(statement, nprobes::bigint * k) / nprobes;
            after := work_done();
            IF i > 0 THEN
                CALL note(figure, 'query, LATERAL', method, i, us, 'us');
                IF method = 'covertree' THEN
                    CALL note(figure, 'pages per query', method, i,
                              (after.pages - before.pages)::float8 / nprobes, 'pages');
                    CALL note(figure, 'distances per query', method, i,
                              (after.distances - before.distances)::float8 / nprobes, 'distances');
                END IF;
            END IF;
        END LOOP;
    END LOOP;
    RESET enable_seqscan;
    RESET enable_sort;
END;
$$;

/*
 * The same with a statement of its own for every query, from a cached plan:
 * what a statement costs that has to set up and tear down its scan.
 */
CREATE PROCEDURE measure_single(figure text, k integer, repetitions integer,
                                cube_only boolean)
LANGUAGE plpgsql AS $$
DECLARE
    nprobes integer := (SELECT count(*) FROM probe);
    method text;
BEGIN
    FOREACH method IN ARRAY methods(cube_only) LOOP
        EXECUTE format($f$
            CREATE OR REPLACE FUNCTION single_%s() RETURNS bigint
            LANGUAGE plpgsql VOLATILE
            SET enable_seqscan = off SET enable_sort = off AS $b$
            DECLARE
                q record;
                n bigint;
                total bigint := 0;
            BEGIN
                FOR q IN SELECT * FROM probe LOOP
                    SELECT count(s.id) INTO n
                    FROM (SELECT p.id FROM data p %s LIMIT %s) s;
                    total := total + n;
                END LOOP;
                RETURN total;
            END; $b$ $f$, method, search_order(method), k);
    END LOOP;
    FOR i IN 0 .. repetitions LOOP
        FOREACH method IN ARRAY methods(cube_only) LOOP
            CALL note(figure, CASE WHEN i = 0 THEN 'warm-up, single' ELSE 'query, single' END,
                      method, i,
                      timed(format('SELECT single_%s()', method), nprobes::bigint * k) / nprobes,
                      'us');
        END LOOP;
    END LOOP;
END;
$$;

/*
 * Is the index exact?  On every nth probe, the rows, their order (ties by TID)
 * and the bits of their distances must be those of a sequential scan with
 * sort.  Returns the verdict in words; one of a wrong index begins with WRONG.
 */
CREATE FUNCTION verify_exact(tab text, k integer, step integer)
RETURNS text
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    statement text := format($f$
        SELECT array_agg(n.answer ORDER BY q.id)
        FROM probe q CROSS JOIN LATERAL (
            SELECT string_agg(s.id || '=' || float8send(s.d), ', ' ORDER BY s.rank) AS answer
            FROM (SELECT t.*, row_number() OVER () AS rank
                  FROM (SELECT p.id, p.pt <~> q.pt AS d
                        FROM %I p ORDER BY p.pt <~> q.pt /* ties */ LIMIT %s) t) s) n
        WHERE mod(q.id, %s) = 0$f$, tab, k, step);
    by_index text[];
    by_sort text[];
    wrong integer := 0;
BEGIN
    SET LOCAL enable_seqscan = off;
    SET LOCAL enable_sort = off;
    IF NOT uses_index(statement) THEN
        RAISE EXCEPTION 'no plan with the index for: %', statement;
    END IF;
    EXECUTE statement INTO by_index;

    SET LOCAL enable_seqscan = on;
    SET LOCAL enable_sort = on;
    SET LOCAL enable_indexscan = off;
    SET LOCAL enable_bitmapscan = off;
    EXECUTE replace(statement, '/* ties */', ', p.ctid') INTO by_sort;
    SET LOCAL enable_indexscan = on;
    SET LOCAL enable_bitmapscan = on;

    FOR i IN 1 .. cardinality(by_sort) LOOP
        IF by_index[i] IS DISTINCT FROM by_sort[i] THEN
            IF wrong = 0 THEN
                RAISE WARNING 'the index on % is not exact', tab
                    USING DETAIL = format(E'index:           %s\nsequential scan: %s',
                                          by_index[i], by_sort[i]);
            END IF;
            wrong := wrong + 1;
        END IF;
    END LOOP;
    IF wrong > 0 OR cardinality(by_sort) IS NULL THEN
        RETURN format('WRONG on %s of %s probes', wrong, cardinality(by_sort));
    END IF;
    RETURN format('exact on %s probes', cardinality(by_sort));
END;
$$;

/*
 * An independent look at the same: the largest relative difference of our kth
 * distances from those of cube, over all probes.  Same kind of verdict.
 */
CREATE FUNCTION difference_from_cube(k integer) RETURNS text
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    worst double precision;
BEGIN
    EXECUTE format($f$
        SELECT max(abs(a.d - b.d) / nullif(greatest(a.d, b.d), 0))
        FROM probe q
        CROSS JOIN LATERAL (SELECT p.pt <~> q.pt AS d FROM data p
                            ORDER BY p.pt <~> q.pt OFFSET %1$s LIMIT 1) a
        CROSS JOIN LATERAL (SELECT p.c <-> q.c AS d FROM data p
                            ORDER BY p.c <-> q.c OFFSET %1$s LIMIT 1) b$f$, k - 1) INTO worst;
    IF worst <= 1e-12 THEN
        RETURN format('within %s of cube', worst::real);
    END IF;
    RETURN format('WRONG: %s from cube', worst::real);
END;
$$;

/*
 * One block of single-row INSERTs.  A function for each table, so that
 * the statement's plan is cached and the loop itself costs little.
 */
CREATE PROCEDURE make_inserter(tab text, source_column text)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format($f$
        CREATE OR REPLACE FUNCTION %1$s_insert(first integer, last integer) RETURNS bigint
        LANGUAGE plpgsql VOLATILE AS $b$
        DECLARE
            s record;
            n bigint := 0;
        BEGIN
            FOR s IN SELECT id, %2$s AS v FROM fresh WHERE id BETWEEN first AND last LOOP
                INSERT INTO %1$s VALUES (s.id, s.v);
                n := n + 1;
            END LOOP;
            RETURN n;
        END; $b$ $f$, tab, source_column);
END;
$$;
