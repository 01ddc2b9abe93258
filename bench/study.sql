/*
 * study.sql
 *      How options shape a residual index: base x strategy.  No limits.
 *
 * psql variables: figure, kernel, folder (of residual.py's files), k.
 *
 * IDENTIFICATION
 *      bench/study.sql
 */
SET search_path = bench, public;
CALL load_residual(:'folder', :'kernel');
VACUUM (FREEZE, ANALYZE) data;

CREATE PROCEDURE pg_temp.study(figure text, k integer)
LANGUAGE plpgsql AS $$
DECLARE
    nprobes integer := (SELECT count(*) FROM probe);
    nrows integer := (SELECT count(*) FROM data);
    shape record;
    stats record;
    before record;
    us double precision;
BEGIN
    SET LOCAL enable_seqscan = off;
    SET LOCAL max_parallel_maintenance_workers = 0;
    FOR shape IN
        SELECT strategy, base, format('%s, base %s', strategy, base) AS name
        FROM unnest('{exact_metric,spatial_proxy}'::text[]) strategy,
             unnest('{1.3,1.5,2,2.5,3,4}'::float8[]) base
    LOOP
        CALL note(figure, 'build', shape.name, 1,
            timed_build('data_pt', format('data USING covertree (pt float8_residual_ops (model = bench)) '
                                          'WITH (strategy = %s, base = %s)', shape.strategy, shape.base)), 's');
        PERFORM pg_prewarm('data_pt');
        stats := covertree_stats('data_pt');
        before := work_done();
        us := timed(lateral_query('data', 'covertree', k), nprobes::bigint * k) / nprobes;
        CALL note(figure, 'query', shape.name, 1, us, 'us');
        CALL note(figure, 'rows evaluated', shape.name, 1,
            100.0 * ((work_done()).distances - before.distances) / nprobes / nrows, '%');
        CALL note(figure, 'height', shape.name, 1, stats.height, 'pages');
        CALL note(figure, 'mean fan-out', shape.name, 1, stats.mean_fanout, 'children');
        CALL note(figure, 'largest fan-out', shape.name, 1, stats.max_fanout, 'children');
    END LOOP;
END;
$$;
CALL pg_temp.study(:'figure', :k);
\pset tuples_only off
\pset format aligned
SELECT method AS options,
       round(max(value) FILTER (WHERE what = 'build')::numeric, 2) AS "build s",
       round(max(value) FILTER (WHERE what = 'query')::numeric) AS "query us",
       round(max(value) FILTER (WHERE what = 'rows evaluated')::numeric, 2) AS "evaluated %",
       max(value) FILTER (WHERE what = 'height') AS height,
       round(max(value) FILTER (WHERE what = 'mean fan-out')::numeric, 1) AS "mean fan-out",
       max(value) FILTER (WHERE what = 'largest fan-out') AS "largest fan-out"
FROM measurement WHERE figure = :'figure' GROUP BY method ORDER BY min(no);
DROP TABLE data, knots, probe_row, probe, answer, brute;
