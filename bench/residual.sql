/*
 * residual.sql
 *      One figure of the residual-correlation metric: builds, queries, and
 *      exact brute force outside the server, by residual.py, on the same rows.
 *
 * psql variables: figure, kernel, folder (of residual.py's files), k,
 * repetitions, index_options (as in WITH, or empty), nseqscan (queries for the
 * sequential scan), and the limits, numbers or NULL: share_at_most (of rows
 * evaluated), brute_at_least and seqscan_at_least (times faster),
 * build_at_most (seconds), proxy_at_most (of the time of the other build).
 *
 * IDENTIFICATION
 *      bench/residual.sql
 */
SET search_path = bench, public;
CALL load_residual(:'folder', :'kernel');
SELECT count(*) AS nrows FROM data \gset
INSERT INTO measurement (figure, what, method, repetition, value, unit)
    SELECT :'figure', 'query', 'brute force', repetition, us, 'us' FROM brute
    UNION ALL
    SELECT :'figure', 'query', 'dgemv alone', repetition, product_us, 'us' FROM brute
    UNION ALL
    SELECT :'figure', 'query', 'brute force, batches', repetition, batch_us, 'us' FROM brute;
VACUUM (FREEZE, ANALYZE) data;

\echo :figure: building indexes
SELECT format($$
    SET max_parallel_maintenance_workers = %3$s;
    CALL note(%1$L, 'build, %4$s', 'exact_metric', %2$s, timed_build('data_pt', %5$L || %6$L), 's');
    CALL note(%1$L, 'build, %4$s', 'spatial_proxy', %2$s,
              timed_build('data_pt', %5$L || ' WITH (strategy = spatial_proxy)'), 's');
    $$, :'figure', i, w.n, w.threads,
    'data USING covertree (pt float8_residual_ops (model = bench))', :'index_options')
FROM (VALUES (2, '2 threads'), (0, '1 thread')) w (n, threads), generate_series(1, 3) i \gexec
SELECT 'CREATE INDEX data_exact ON data USING covertree (pt float8_residual_ops (model = bench))' ||
       :'index_options' \gexec
DROP INDEX data_pt;
VACUUM (FREEZE, ANALYZE) data;
SELECT count(pg_prewarm(oid)) > 0 AS warm FROM pg_class WHERE relname IN ('data', 'data_exact') \gset
CALL note(:'figure', 'index size', 'exact_metric', 1,
          pg_relation_size('data_exact')::float8 / :nrows, 'bytes a row');

\echo :figure: searching
CREATE PROCEDURE pg_temp.measure_residual(figure text, k integer, repetitions integer,
                                          nseqscan integer)
LANGUAGE plpgsql AS $$
DECLARE
    nprobes integer := (SELECT count(*) FROM probe);
    statement text := lateral_query('data', 'covertree', k);
    before record;
    after record;
    us double precision;
BEGIN
    IF NOT uses_index(statement) THEN
        RAISE WARNING '%: the planner does not take the index', figure;
        SET LOCAL enable_seqscan = off;
        SET LOCAL enable_sort = off;
    END IF;
    FOR i IN 0 .. repetitions LOOP
        before := work_done();
        us := timed(statement, nprobes::bigint * k) / nprobes;
        after := work_done();
        IF i > 0 THEN
            CALL note(figure, 'query', 'covertree', i, us, 'us');
            CALL note(figure, 'pages per query', 'covertree', i,
                      (after.pages - before.pages)::float8 / nprobes, 'pages');
            CALL note(figure, 'distances per query', 'covertree', i,
                      (after.distances - before.distances)::float8 / nprobes, 'distances');
        END IF;
    END LOOP;
    SET LOCAL enable_seqscan = on;
    SET LOCAL enable_sort = on;
    SET LOCAL enable_indexscan = off;
    CALL note(figure, 'query', 'sequential scan', 1,
              timed(replace(statement, 'FROM probe', format('FROM (SELECT * FROM probe LIMIT %s)', nseqscan)),
                    nseqscan::bigint * k) / nseqscan, 'us');
END;
$$;
CALL pg_temp.measure_residual(:'figure', :k, :repetitions, :nseqscan);

/*
 * Are the answers those of brute force?  Its arithmetic is another one, so
 * correlations may differ by some 1e-8, and rows that are that near to each
 * other may change places.
 */
\echo :figure: comparing with brute force and with a sequential scan
SET enable_seqscan = off;
CREATE TEMP TABLE ours AS
    SELECT q.id AS probe, n.id AS row_id, n.d, n.rank
    FROM probe q CROSS JOIN LATERAL
         (SELECT p.id, p.pt <~> q.pt AS d, row_number() OVER () AS rank
          FROM (SELECT * FROM data p ORDER BY p.pt <~> q.pt LIMIT :k) p) n;
RESET enable_seqscan;
SELECT avg((t.row_id IS NOT NULL)::integer) AS recall
FROM answer a LEFT JOIN ours t USING (probe, row_id) \gset
SELECT max(abs(o.d ^ 2 - a.d ^ 2)) AS difference
FROM (SELECT *, row_number() OVER (PARTITION BY probe ORDER BY d) AS rank FROM answer) a
     JOIN ours o USING (probe, rank) \gset
SELECT verify_exact('data', :k, (count(*) / :nseqscan)::integer) AS verified FROM probe \gset
SELECT format('%srecall %s, correlations within %s of brute force; ',
              CASE WHEN :difference <= 1e-6 AND :recall > 0.9999 THEN '' ELSE 'WRONG: ' END,
              round(:recall, 6), :difference::real) || :'verified' AS verified \gset
\echo :figure: :verified

SELECT format('%s %% of rows', round((100 * median(:'figure', 'distances per query', 'covertree') /
                                      :nrows)::numeric, 2)) AS share,
       format('dgemv alone: %s us', round(median(:'figure', 'query', 'dgemv alone')::numeric)) AS product \gset
CALL conclude(:'figure', 'rows evaluated', median(:'figure', 'distances per query', 'covertree'),
    :nrows, 'all rows', 'rows', false, at_most => :share_at_most, note => :'share');
CALL conclude(:'figure', 'query, LATERAL', median(:'figure', 'query', 'covertree'),
    median(:'figure', 'query', 'brute force'), 'brute force', 'us', true,
    at_least => :brute_at_least, note => :'verified' || '; ' || :'product');
CALL conclude(:'figure', 'query, LATERAL', median(:'figure', 'query', 'covertree'),
    median(:'figure', 'query', 'sequential scan'), 'sequential scan', 'us', true,
    at_least => :seqscan_at_least, note => format('%s queries', :nseqscan));
CALL conclude(:'figure', 'query, LATERAL', median(:'figure', 'query', 'covertree'),
    median(:'figure', 'query', 'brute force, batches'), 'batches of 64', 'us', true);
CALL conclude(:'figure', 'build, 1 thread', median(:'figure', 'build, 1 thread', 'exact_metric'),
    :build_at_most, 'the limit', 's', false, at_most => 1);
CALL conclude(:'figure', 'build, spatial_proxy', median(:'figure', 'build, 1 thread', 'spatial_proxy'),
    median(:'figure', 'build, 1 thread', 'exact_metric'), 'exact_metric', 's', false,
    at_most => :proxy_at_most);
CALL conclude(:'figure', 'build, 2 threads', median(:'figure', 'build, 2 threads', 'exact_metric'),
    median(:'figure', 'build, 1 thread', 'exact_metric'), '1 thread', 's', false);
CALL conclude(:'figure', 'index size', median(:'figure', 'index size', 'exact_metric'),
    (3 + 512) * 8, 'coordinates and features', 'bytes a row', false);
DROP TABLE data, knots, probe_row, probe, answer, brute;
