-- The demo, run by scripts/demo.sh from the top folder of the project.
-- Ocean temperatures from Argo floats; data/README.md tells their source.  First
-- Euclidean neighbours, then those of a Gaussian process.
\set QUIET on
\pset footer off
\pset null '-'
SET client_min_messages = warning;
SET max_parallel_workers_per_gather = 0;    -- compare one core with one core

\echo
\echo '== loading data/argo.csv as points on the unit sphere'
CREATE EXTENSION covertree;
CREATE TABLE float_profile (
    id      integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lon     double precision NOT NULL,
    lat     double precision NOT NULL,
    day     double precision NOT NULL,
    temp100 real,
    temp150 real,
    temp200 real,
    pt      double precision[] NOT NULL GENERATED ALWAYS AS
            (ARRAY[cosd(lat) * cosd(lon), cosd(lat) * sind(lon), sind(lat)]) STORED
);
\copy float_profile (lon, lat, day, temp100, temp150, temp200) FROM 'data/argo.csv' (FORMAT csv, HEADER)
SELECT count(*) AS profiles, min(lat) AS south, max(lat) AS north FROM float_profile;

\echo '== CREATE INDEX ON float_profile USING covertree (pt)'
\timing on
CREATE INDEX float_profile_pt_idx ON float_profile USING covertree (pt);
\timing off
VACUUM ANALYZE float_profile;

SELECT ARRAY[cosd(36) * cosd(-30), cosd(36) * sind(-30), sind(36)] AS azores \gset
\echo
\echo '== the ten nearest floats to 36 N 30 W, south of the Azores'
SELECT id, round(lat::numeric, 3) AS lat, round((lon - 360)::numeric, 3) AS lon, temp100,
       pt <~> :'azores' AS chord,
       round((2 * 6371 * asin((pt <~> :'azores') / 2))::numeric, 1) AS km
FROM float_profile
ORDER BY pt <~> :'azores'
LIMIT 10;

\echo '== its plan'
EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF)
SELECT id, pt <~> :'azores' AS chord
FROM float_profile
ORDER BY pt <~> :'azores'
LIMIT 10;

\echo '== the tree: covertree_stats, covertree_levels'
\x on
SELECT * FROM covertree_stats('float_profile_pt_idx');
\x off
SELECT * FROM covertree_levels('float_profile_pt_idx');

\echo '== is it sound?  covertree_check, with every row of the table looked up'
SELECT covertree_check('float_profile_pt_idx', heapallindexed => true) \gset
\echo 'no error raised: the tree is sound, and every row is in it once'
\echo

-- Both ways answer the same 256 queries in one session, with data in cache.
\echo '== ten nearest neighbours of 256 places, by index and by sequential scan'
CREATE TEMP TABLE place AS
    SELECT g AS id, ARRAY[cosd(lat) * cosd(lon), cosd(lat) * sind(lon), sind(lat)] AS pt
    FROM generate_series(1, 256) g,
         -- spread evenly over the sphere
         LATERAL (SELECT asind(2 * (g - 0.5) / 256 - 1) AS lat,
                         (g * 137.50776405003785)::numeric % 360 AS turn) s,
         LATERAL (SELECT turn::double precision AS lon) t;
ANALYZE place;

PREPARE by_index AS
    SELECT p.id AS place, n.*
    FROM place p CROSS JOIN LATERAL
         (SELECT array_agg(id) AS ids, array_agg(dist) AS dists
          FROM (SELECT f.id, f.pt <~> p.pt AS dist
                FROM float_profile f
                ORDER BY f.pt <~> p.pt
                LIMIT 10) nearest) n;

-- The same with a sort.  Rows at one distance come in the order of their TIDs
-- from the index, so that is asked of the sort too.
PREPARE by_seqscan AS
    SELECT p.id AS place, n.*
    FROM place p CROSS JOIN LATERAL
         (SELECT array_agg(id) AS ids, array_agg(dist) AS dists
          FROM (SELECT f.id, f.pt <~> p.pt AS dist
                FROM float_profile f
                ORDER BY f.pt <~> p.pt, f.ctid
                LIMIT 10) nearest) n;

EXPLAIN (COSTS OFF) EXECUTE by_index;
EXPLAIN (COSTS OFF) EXECUTE by_seqscan;
CREATE TEMP TABLE warm_up AS EXECUTE by_index;
SELECT clock_timestamp() AS t0 \gset
CREATE TEMP TABLE index_answer AS EXECUTE by_index;
SELECT clock_timestamp() AS t1 \gset
CREATE TEMP TABLE seqscan_answer AS EXECUTE by_seqscan;
SELECT clock_timestamp() AS t2 \gset

SELECT round(index_ms, 1) AS "index ms", round(seqscan_ms, 1) AS "sequential scan ms",
       round(seqscan_ms / index_ms, 1) AS "times faster"
FROM (SELECT 1000 * extract(epoch FROM timestamptz :'t1' - :'t0') AS index_ms,
             1000 * extract(epoch FROM timestamptz :'t2' - :'t1') AS seqscan_ms) t;

-- The same rows in the same order, and every distance to the last bit?
CREATE TEMP VIEW comparison AS
    SELECT i.ids IS DISTINCT FROM s.ids AS other_rows,
           array_send(i.dists) IS DISTINCT FROM array_send(s.dists) AS other_distances
    FROM index_answer i FULL JOIN seqscan_answer s USING (place);
SELECT count(*) AS places,
       count(*) FILTER (WHERE other_rows) AS "with other rows",
       count(*) FILTER (WHERE other_distances) AS "with other distances"
FROM comparison;
SELECT bool_or(other_rows OR other_distances) AS differ FROM comparison \gset
\if :differ
    DO $$ BEGIN RAISE EXCEPTION 'index and sequential scan gave different answers'; END $$;
\endif
\echo 'index and sequential scan gave identical answers'

-- A Gaussian process on the sphere: kernel and parameters were fitted to temp100
-- (maximum likelihood, after a polynomial of latitude was taken off).
\echo
\echo '== neighbours for a Gaussian process: 200 inducing points, a model, an index'
\timing on
SELECT covertree_create_model('argo', kernel => 'matern52', lengthscale => '{0.105}', variance => 7.9,
           inducing => covertree_inducing_points('float_profile', 'pt', 200)) \gset
CREATE INDEX float_profile_argo_idx ON float_profile
    USING covertree (pt float8_residual_ops (model = 'argo'));
\timing off
SELECT name, kernel, lengthscale[1] AS lengthscale, variance, m, fingerprint FROM covertree_model;

\echo '== the ten floats that tell most about 36 N 30 W beyond what the inducing points tell'
SELECT id, round(lat::numeric, 3) AS lat, round((lon - 360)::numeric, 3) AS lon,
       pt <~> residual_query('argo', :'azores') AS dist,
       round(covertree_residual_correlation('argo', pt, :'azores')::numeric, 4) AS correlation,
       round((2 * 6371 * asin((pt <~> :'azores') / 2))::numeric, 1) AS km
FROM float_profile
ORDER BY pt <~> residual_query('argo', :'azores')
LIMIT 10;
SELECT round(covertree_residual_variance('argo', :'azores')::numeric, 3) AS "residual variance there";

\echo '== its plan'
EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF)
SELECT id, pt <~> residual_query('argo', :'azores') AS dist
FROM float_profile
ORDER BY pt <~> residual_query('argo', :'azores')
LIMIT 10;

\echo '== its tree'
\x on
SELECT * FROM covertree_stats('float_profile_argo_idx');
\x off
SELECT covertree_check('float_profile_argo_idx', heapallindexed => true) \gset
\echo 'covertree_check raised no error'
\echo

\echo '== conditioning sets, 30 rows each, for 64 of the places: by index and by sequential scan'
PREPARE sets_by_index AS
    SELECT p.id AS place, n.*
    FROM place p CROSS JOIN LATERAL
         (SELECT array_agg(id) AS ids, array_agg(dist) AS dists
          FROM (SELECT f.id, f.pt <~> residual_query('argo', p.pt) AS dist
                FROM float_profile f
                ORDER BY f.pt <~> residual_query('argo', p.pt)
                LIMIT 30) nearest) n
    WHERE p.id % 4 = 0;
PREPARE sets_by_seqscan AS
    SELECT p.id AS place, n.*
    FROM place p CROSS JOIN LATERAL
         (SELECT array_agg(id) AS ids, array_agg(dist) AS dists
          FROM (SELECT f.id, f.pt <~> residual_query('argo', p.pt) AS dist
                FROM float_profile f
                ORDER BY f.pt <~> residual_query('argo', p.pt), f.ctid
                LIMIT 30) nearest) n
    WHERE p.id % 4 = 0;
EXPLAIN (COSTS OFF) EXECUTE sets_by_index;
SELECT clock_timestamp() AS t0 \gset
CREATE TEMP TABLE index_sets AS EXECUTE sets_by_index;
SELECT clock_timestamp() AS t1 \gset
CREATE TEMP TABLE seqscan_sets AS EXECUTE sets_by_seqscan;
SELECT clock_timestamp() AS t2 \gset
SELECT round(index_ms, 1) AS "index ms", round(seqscan_ms, 1) AS "sequential scan ms",
       round(seqscan_ms / index_ms, 1) AS "times faster"
FROM (SELECT 1000 * extract(epoch FROM timestamptz :'t1' - :'t0') AS index_ms,
             1000 * extract(epoch FROM timestamptz :'t2' - :'t1') AS seqscan_ms) t;
SELECT bool_or(i.ids IS DISTINCT FROM s.ids OR
               array_send(i.dists) IS DISTINCT FROM array_send(s.dists)) AS differ
FROM index_sets i FULL JOIN seqscan_sets s USING (place) \gset
\if :differ
    DO $$ BEGIN RAISE EXCEPTION 'index and sequential scan gave different answers'; END $$;
\endif
\echo 'index and sequential scan gave identical answers'

-- What would the 30 nearest by straight-line distance have been?
SELECT round(100 * avg(n.shared / 30.0), 1) AS "% of them also among the 30 nearest by distance"
FROM place p JOIN index_sets i ON i.place = p.id CROSS JOIN LATERAL
     (SELECT count(*) FILTER (WHERE e.id = ANY (i.ids)) AS shared
      FROM (SELECT f.id FROM float_profile f ORDER BY f.pt <~> p.pt LIMIT 30) e) n;

\echo '== what the scans of this session did: covertree_scan_stats'
\x on
SELECT * FROM covertree_scan_stats();
\x off
