--
-- Bulk search in residual indexes against LATERAL scans, rows, ranks and the
-- bits of distances: kernels x strategies x nugget x inducing points x kinds of
-- data x built or inserted, through deletes, vacuum and re-inserts.  Prints
-- failures and whether there were enough answers.
--
INSERT INTO ct_tables.residual
	SELECT format('ct_tables.t%s', row_number() OVER w), format('bulk_m%s', row_number() OVER w),
		shape, dims, element, kernel, m, nugget, strategy, NULL, built,
		CASE WHEN built THEN 500 ELSE 250 END, hashtext(shape) % 1000 + dims
	FROM unnest('{gauss,clusters,lattice,duplicates}'::text[]) AS shape,
		unnest('{1,3,17}'::int[]) AS dims,
		unnest('{real,double precision}'::text[]) AS element,
		unnest('{rbf,matern12,matern32,matern52}'::text[]) AS kernel,
		unnest('{0,1,64}'::int[]) AS m,
		unnest('{0,0.05}'::float8[]) AS nugget,
		unnest('{exact_metric,spatial_proxy}'::text[]) AS strategy,
		unnest('{false,true}'::boolean[]) AS built
	-- a fraction of all combinations, each pair of values among them
	WHERE (hashtext(concat(shape, dims, element, kernel, m, nugget, strategy, built)) & 4095) % 157 = 0
	WINDOW w AS (ORDER BY shape, dims, element, kernel, m, nugget, strategy, built);
SELECT count(*) > 12 AS enough, count(DISTINCT kernel) AS kernels, count(DISTINCT m) AS m,
	count(DISTINCT (strategy, built)) AS trees, count(DISTINCT (nugget, m)) AS nuggets
FROM ct_tables.residual;
SELECT ct_tables.add_residual();
INSERT INTO ct_bulk.search
	SELECT tab, s.* FROM ct_tables.config AS c,
		LATERAL (VALUES ('one', (ct_bulk.queries(c, 1))[1:1], 10), ('few', ct_bulk.queries(c, 2), 1),
						('many', ct_bulk.queries(c, 12), 20), ('all rows', (ct_bulk.queries(c, 1))[1:2], 5000)) AS s;

SELECT ct_tables.load();
SELECT ct_bulk.compare_all('new');

-- as much memory as there is, so little that it goes by slabs and groups, and
-- one query after the other
SELECT ct_bulk.compare_resources('{0}', '{4MB,256kB,64kB}');
SET max_parallel_workers_per_gather = 0;
SET work_mem = '256kB';
SELECT ct_bulk.compare_graph('little memory', 3);
RESET work_mem;
SELECT ct_bulk.compare_levels();

-- rows that are gone, but not from the index
SELECT ct_tables.delete_rows();
SELECT ct_bulk.compare_all('deleted');
SELECT ct_tables.vacuum_command()
\gexec
SELECT ct_bulk.compare('vacuumed');

-- rows that come to leaves whose bases know nothing of them
SELECT ct_tables.insert_rows();
SELECT ct_bulk.compare_all('inserted again');

SELECT answers > 50000 AS enough FROM ct_tables.counter;
SELECT * FROM ct_tables.failure JOIN ct_tables.config USING (tab);

--
-- It can be cancelled, and the session goes on
--
RESET max_parallel_workers_per_gather;
SELECT covertree_create_model('bulk_slow', 'matern52', '{0.3}',
	(SELECT array_agg(pt) FROM ct_cloud('gauss', 100, 3, 1)));
CREATE TABLE bulk_slow (id integer, pt double precision[]);
INSERT INTO bulk_slow SELECT * FROM ct_cloud('gauss', 5000, 3, 2);
CREATE INDEX ON bulk_slow USING covertree (pt float8_residual_ops (model = bulk_slow));
SET statement_timeout = '50ms';
SELECT count(*) FROM covertree_knn_graph('bulk_slow_pt_idx', 1000);
RESET statement_timeout;
SELECT count(*) FROM pg_ls_dir('/proc/self/task');
SELECT count(*) FROM covertree_knn('bulk_slow_pt_idx', '{{0,0,0},{1,1,1}}', 5);
-- of another dimension
SELECT * FROM ct_error($$SELECT * FROM covertree_knn('bulk_slow_pt_idx', '{{0,0}}', 5)$$);

DROP TABLE bulk_slow;
SELECT ct_bulk.finish();
SELECT covertree_drop_model('bulk_slow');

--
-- A temporary table has buffers of its own, of which few are pinned together
--
SELECT covertree_create_model('bulk_temp', 'rbf', '{1}',
	(SELECT array_agg(pt) FROM ct_cloud('gauss', 200, 3, 1)));
\c -
SET temp_buffers = '800kB';
CREATE TEMP TABLE bulk_temp (id integer, pt double precision[]);
INSERT INTO bulk_temp SELECT * FROM ct_cloud('gauss', 2000, 3, 2);
CREATE INDEX bulk_temp_pt ON bulk_temp USING covertree (pt float8_residual_ops (model = bulk_temp));
SELECT covertree_check('bulk_temp_pt', true);
WITH query AS (SELECT id AS query, pt FROM ct_cloud('gauss', 20, 3, 3)),
	bulk AS (SELECT a.* FROM (SELECT array_agg(pt ORDER BY query) AS queries FROM query) AS q,
		covertree_knn('bulk_temp_pt', queries, 100) AS a),
	sorted AS (SELECT query, s.* FROM query AS q, LATERAL (
		SELECT row_number() OVER (ORDER BY d, ctid) AS rank, ctid AS tid, d FROM (
			SELECT ctid, pt <~> residual_query('bulk_temp', q.pt) AS d FROM bulk_temp) AS r
		ORDER BY d, ctid LIMIT 100) AS s)
SELECT count(*), count(*) FILTER (WHERE (b.tid, float8send(distance)) IS DISTINCT FROM (s.tid, float8send(d))) AS differences
FROM bulk AS b FULL JOIN sorted AS s USING (query, rank);
DROP TABLE bulk_temp;
SELECT covertree_drop_model('bulk_temp');
