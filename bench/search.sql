/*
 * search.sql
 *      One figure of nearest-neighbour search: builds, sizes, queries.
 *
 * psql variables: figure (gauss3, uniform3 or cluster8), nrows, nprobes, k,
 * dims, at_least (how many times faster than cube), build_at_most and
 * size_at_most (numbers or NULL), build_repetitions, repetitions, exact_step,
 * index_options (as in WITH, or empty), cube_only.
 *
 * IDENTIFICATION
 *      bench/search.sql
 */
SET search_path = bench, public;
\echo :figure: making :nrows rows
CALL make_data(:'figure', :nrows, :nprobes);
VACUUM (FREEZE, ANALYZE) data;

\echo :figure: building indexes
CREATE INDEX data_r ON data (r);
SELECT pg_prewarm('data') > 0 AS warm \gset
SELECT format($$
    CALL note(%1$L, 'build, 1 thread', 'cube', %2$s,
              timed_build('data_c', 'data USING gist (c)'), 's');
    $$, :'figure', i)
FROM generate_series(1, :build_repetitions) i
WHERE :cube_only \gexec
SELECT format($$
    SET max_parallel_maintenance_workers = 0;
    CALL note(%1$L, 'build, 1 thread', 'covertree', %2$s,
              timed_build('data_pt', %3$L), 's');
    CALL note(%1$L, 'build, 1 thread', 'cube', %2$s,
              timed_build('data_c', 'data USING gist (c)'), 's');
    SET max_parallel_maintenance_workers = 2;
    CALL note(%1$L, 'build, 2 threads', 'covertree', %2$s,
              timed_build('data_pt', %3$L), 's');
    RESET max_parallel_maintenance_workers;
    $$, :'figure', i, 'data USING covertree (pt)' || :'index_options')
FROM generate_series(1, :build_repetitions) i
WHERE NOT :cube_only \gexec

VACUUM (FREEZE, ANALYZE) data;
SELECT count(pg_prewarm(oid)) > 0 AS warm
FROM pg_class WHERE relname IN ('data', 'data_r', 'data_c', 'data_pt') \gset

SELECT format('CALL note(%L, ''index size'', %L, 1, %s, ''bytes a row'')', :'figure',
              CASE relname WHEN 'data_pt' THEN 'covertree' WHEN 'data_c' THEN 'cube' END,
              pg_relation_size(oid)::float8 / :nrows)
FROM pg_class WHERE relname IN ('data_pt', 'data_c') ORDER BY relname DESC \gexec

\echo :figure: searching
CALL measure_lateral(:'figure', :k, :repetitions, :cube_only);
CALL measure_single(:'figure', :k, (:repetitions + 1) / 2, :cube_only);

\set verified ''
\if :cube_only
\else
\echo :figure: comparing with a sequential scan
SELECT verify_exact('data', :k, :exact_step) || ', ' || difference_from_cube(:k) AS verified \gset
\echo :figure: :verified
\endif

CALL conclude(:'figure', 'query, LATERAL', median(:'figure', 'query, LATERAL', 'covertree'),
    median(:'figure', 'query, LATERAL', 'cube'), 'cube', 'us', true, at_least => :at_least,
    note => :'verified');
CALL conclude(:'figure', 'query, single', median(:'figure', 'query, single', 'covertree'),
    median(:'figure', 'query, single', 'cube'), 'cube', 'us', true);
CALL conclude(:'figure', 'query, LATERAL', median(:'figure', 'query, LATERAL', 'covertree'),
    median(:'figure', 'query, LATERAL', 'floor'), 'floor', 'us', false,
    note => format('%s pages, %s distances a query',
        round(median(:'figure', 'pages per query', 'covertree')::numeric, 1),
        round(median(:'figure', 'distances per query', 'covertree')::numeric, 0)));
CALL conclude(:'figure', 'build, 1 thread', median(:'figure', 'build, 1 thread', 'covertree'),
    median(:'figure', 'build, 1 thread', 'cube'), 'cube', 's', false, at_most => :build_at_most);
CALL conclude(:'figure', 'build, 2 threads', median(:'figure', 'build, 2 threads', 'covertree'),
    median(:'figure', 'build, 1 thread', 'cube'), 'cube', 's', false);
CALL conclude(:'figure', 'index size', median(:'figure', 'index size', 'covertree'),
    :dims * 8 + 6, 'keys + TIDs', 'bytes a row', false, at_most => :size_at_most);
CALL conclude(:'figure', 'index size', median(:'figure', 'index size', 'covertree'),
    median(:'figure', 'index size', 'cube'), 'cube', 'bytes a row', false);
DROP TABLE data, probe;
