/*
 * inserts.sql
 *      Figures of insertion: rate into a large index, and the tree it leaves.
 *
 * A tree that grew row by row from nothing is compared with one built at once
 * over the same rows in the same order.  Then single-row INSERTs go by turns
 * into three tables, with our index, with that of cube, and with none.
 *
 * psql variables: figure, nrows, nprobes, k, nfresh (inserts in a block),
 * repetitions, exact_step, index_options, cube_only, rate_at_least,
 * cost_at_most.
 *
 * IDENTIFICATION
 *      bench/inserts.sql
 */
SET search_path = bench, public;
SELECT checkpoints_timed + checkpoints_req AS checkpoints FROM pg_stat_bgwriter \gset
\echo :figure: making :nrows rows
CALL make_data('uniform3', :nrows + :nfresh * (:repetitions + 1), :nprobes);
DROP TABLE IF EXISTS fresh, with_covertree, with_cube, without_index;
CREATE TABLE fresh AS
    SELECT id - :nrows AS id, pt, c FROM data WHERE id > :nrows ORDER BY id;
CREATE UNIQUE INDEX ON fresh (id);
DELETE FROM data WHERE id > :nrows;
VACUUM (FREEZE, ANALYZE) data;
VACUUM (FREEZE, ANALYZE) fresh;

CREATE TABLE with_cube AS SELECT id, c FROM data ORDER BY id;
CREATE TABLE without_index AS SELECT id, pt FROM data ORDER BY id;
CREATE INDEX ON with_cube USING gist (c);
VACUUM (FREEZE, ANALYZE) with_cube;
VACUUM (FREEZE, ANALYZE) without_index;
SELECT NOT :cube_only AS ours \gset

\if :ours
CREATE TABLE with_covertree AS SELECT id, pt FROM data ORDER BY id;
SELECT 'CREATE INDEX with_covertree_pt ON with_covertree USING covertree (pt)' || :'index_options' \gexec
VACUUM (FREEZE, ANALYZE) with_covertree;

\echo :figure: growing a tree from nothing
DROP TABLE data;
CREATE TABLE data (id integer, pt double precision[]);
SELECT 'CREATE INDEX data_pt ON data USING covertree (pt)' || :'index_options' \gexec
CREATE FUNCTION pg_temp.grow() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    n bigint;
BEGIN
    INSERT INTO data SELECT id, pt FROM with_covertree;
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN n;
END;
$$;
SELECT pg_current_wal_insert_lsn() AS lsn \gset
CALL note(:'figure', 'growing from nothing', 'covertree', 1,
          :nrows * 1e6 / timed('SELECT pg_temp.grow()', :nrows), 'rows/s');
CALL note(:'figure', 'WAL per row, growing', 'covertree', 1,
          (pg_current_wal_insert_lsn() - :'lsn')::float8 / :nrows, 'bytes');
VACUUM (FREEZE, ANALYZE) data;
SELECT count(pg_prewarm(oid)) > 0 AS warm
FROM pg_class WHERE relname IN ('data', 'data_pt', 'with_covertree', 'with_covertree_pt') \gset

\echo :figure: searching both trees
CREATE PROCEDURE pg_temp.measure_trees(figure text, k integer, repetitions integer)
LANGUAGE plpgsql SET enable_seqscan = off SET enable_sort = off AS $$
DECLARE
    nprobes integer := (SELECT count(*) FROM probe);
    tab text;
    tree text;
    us double precision;
    before record;
    after record;
BEGIN
    FOR i IN 0 .. repetitions LOOP
        FOREACH tab IN ARRAY '{with_covertree,data}'::text[] LOOP
            tree := CASE tab WHEN 'data' THEN 'grown' ELSE 'built' END;
            before := work_done();
            us := timed(lateral_query(tab, 'covertree', k), nprobes::bigint * k) / nprobes;
            after := work_done();
            IF i > 0 THEN
                CALL note(figure, 'query, LATERAL', tree, i, us, 'us');
                CALL note(figure, 'pages per query', tree, i,
                          (after.pages - before.pages)::float8 / nprobes, 'pages');
                CALL note(figure, 'distances per query', tree, i,
                          (after.distances - before.distances)::float8 / nprobes, 'distances');
            END IF;
        END LOOP;
    END LOOP;
END;
$$;
CALL pg_temp.measure_trees(:'figure', :k, :repetitions);
CALL note(:'figure', 'index size', 'grown', 1,
          pg_relation_size('data_pt')::float8 / :nrows, 'bytes a row');
CALL note(:'figure', 'index size', 'built', 1,
          pg_relation_size('with_covertree_pt')::float8 / :nrows, 'bytes a row');
\echo :figure: comparing with a sequential scan
SELECT verify_exact('data', :k, :exact_step) AS verified \gset
\echo :figure: :verified

CALL conclude(:'figure', 'query, grown tree', median(:'figure', 'query, LATERAL', 'grown'),
    median(:'figure', 'query, LATERAL', 'built'), 'built tree', 'us', false,
    at_most => :cost_at_most, note => :'verified');
CALL conclude(:'figure', 'pages, grown tree', median(:'figure', 'pages per query', 'grown'),
    median(:'figure', 'pages per query', 'built'), 'built tree', 'pages', false);
CALL conclude(:'figure', 'distances, grown tree', median(:'figure', 'distances per query', 'grown'),
    median(:'figure', 'distances per query', 'built'), 'built tree', 'distances', false);
CALL conclude(:'figure', 'size, grown tree', median(:'figure', 'index size', 'grown'),
    median(:'figure', 'index size', 'built'), 'built tree', 'bytes a row', false);
CALL make_inserter('with_covertree', 'pt');
\endif

\echo :figure: single-row inserts
CALL make_inserter('with_cube', 'c');
CALL make_inserter('without_index', 'pt');
SELECT count(pg_prewarm(c.oid)) > 0 AS warm
FROM pg_class c WHERE c.relname ~ '^with' AND c.relkind IN ('r', 'i') \gset

-- block 0 warms up
CREATE PROCEDURE pg_temp.measure_inserts(figure text, repetition integer, method text,
                                         tab text, nrows integer)
LANGUAGE plpgsql AS $$
DECLARE
    lsn pg_lsn := pg_current_wal_insert_lsn();
    us double precision;
BEGIN
    us := timed(format('SELECT %I_insert(%s, %s)', tab, repetition * nrows + 1,
                       (repetition + 1) * nrows), nrows);
    IF repetition > 0 THEN
        CALL note(figure, 'single-row inserts', method, repetition, nrows * 1e6 / us, 'rows/s');
        CALL note(figure, 'WAL per insert', method, repetition,
                  (pg_current_wal_insert_lsn() - lsn)::float8 / nrows, 'bytes');
    END IF;
END;
$$;
SELECT format('CALL pg_temp.measure_inserts(%L, %s, %L, %L, %s)',
              :'figure', i, m.method, m.tab, :nfresh)
FROM generate_series(0, :repetitions) i,
     (VALUES (1, 'covertree', 'with_covertree'), (2, 'cube', 'with_cube'),
             (3, 'no index', 'without_index')) m (no, method, tab)
WHERE NOT (:cube_only AND m.method = 'covertree')
ORDER BY i, m.no \gexec

-- after a checkpoint every page costs a full-page image: not what is measured
SELECT checkpoints_timed + checkpoints_req > :checkpoints AS checkpointed
FROM (SELECT pg_stat_clear_snapshot()) c, pg_stat_bgwriter \gset
\if :checkpointed
\warn WARNING:  a checkpoint happened during the insertions, their rates are too low
\endif

CALL conclude(:'figure', 'single-row inserts', median(:'figure', 'single-row inserts', 'covertree'),
    median(:'figure', 'single-row inserts', 'cube'), 'cube', 'rows/s', false,
    at_least => :rate_at_least);
CALL conclude(:'figure', 'WAL per insert', median(:'figure', 'WAL per insert', 'covertree'),
    median(:'figure', 'WAL per insert', 'cube'), 'cube', 'bytes', false);
CALL conclude(:'figure', 'single-row inserts', median(:'figure', 'single-row inserts', 'covertree'),
    median(:'figure', 'single-row inserts', 'no index'), 'no index', 'rows/s', false);
DROP TABLE data, probe, fresh, with_cube, without_index;
DROP TABLE IF EXISTS with_covertree;
