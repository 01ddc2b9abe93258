--
-- Bulk search in Euclidean indexes of more than 16 dimensions against LATERAL
-- scans, rows, ranks and the bits of distances: dimensions x element types x
-- kinds of data x built or inserted, in little and in much memory, through
-- deletes, vacuum and re-inserts.  Prints failures and whether there were
-- enough answers.
--
INSERT INTO ct_tables.config (tab, index, shape, dims, element, built, n, seed)
	SELECT format('ct_tables.t%s', row_number() OVER ()), format('ct_tables.t%s_pt_idx', row_number() OVER ()),
		c.*, hashtext(shape) % 1000 + dims
	FROM (VALUES
		('gauss', 17, 'double precision', true, 1200),
		('lattice', 17, 'real', false, 700),
		('powers', 17, 'double precision', true, 400),
		('clusters', 20, 'double precision', false, 900),
		('line', 20, 'real', true, 900),
		-- more leaves than are known at a time in little memory
		('gauss', 20, 'real', true, 14000),
		('gauss', 64, 'real', true, 900),
		-- more rows at one place than there is room for
		('duplicates', 64, 'double precision', true, 900),
		('clusters', 64, 'double precision', false, 300),
		('small powers', 64, 'double precision', true, 300),
		('gauss', 300, 'double precision', true, 250),
		('clusters', 300, 'real', false, 120),
		('gauss', 600, 'real', true, 100)) AS c (shape, dims, element, built, n);
INSERT INTO ct_bulk.search
	SELECT tab, s.* FROM ct_tables.config AS c,
		LATERAL (VALUES ('few', ct_bulk.queries(c, 4), 1), ('many', ct_bulk.queries(c, 40), 12),
						('large k', ct_bulk.queries(c, 5), 100)) AS s
	UNION ALL
	SELECT tab, 'all rows', ct_bulk.queries(c, 4), 5000 FROM ct_tables.config AS c WHERE n < 2000;

SELECT ct_tables.load();
SELECT ct_bulk.compare_all('new');

-- any number of threads, any memory: by scans, by slabs and groups, at once
SELECT ct_bulk.compare_resources('{0,1}', '{64kB,256kB,512kB,64MB}');
SET max_parallel_workers_per_gather = 1;
SET work_mem = '256kB';
SELECT ct_bulk.compare_graph('little memory', 3);
RESET work_mem;
RESET max_parallel_workers_per_gather;
SELECT ct_bulk.compare_levels();

-- rows that are gone, but not from the index
SELECT ct_tables.delete_rows();
SELECT ct_bulk.compare_all('deleted');
SELECT ct_tables.vacuum_command()
\gexec
SELECT ct_bulk.compare('vacuumed');

-- rows that leaves' grids do not hold
SELECT ct_tables.insert_rows();
SELECT ct_bulk.compare_all('inserted again');

SELECT answers > 500000 AS enough FROM ct_tables.counter;
SELECT * FROM ct_tables.failure JOIN ct_tables.config USING (tab);

--
-- It can be cancelled, and the session goes on
--
SET statement_timeout = '50ms';
SELECT count(*) FROM covertree_knn_graph('ct_tables.t6_pt_idx', 500);
RESET statement_timeout;
SELECT count(*) FROM pg_ls_dir('/proc/self/task');
SELECT count(*) FROM covertree_knn_progress();

-- one of another dimension
SELECT * FROM ct_error($$SELECT * FROM covertree_knn('ct_tables.t1_pt_idx', '{{0,0}}', 5)$$);

SELECT ct_bulk.finish();
