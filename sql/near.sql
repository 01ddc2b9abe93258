--
-- Scans give up near rows first, as many as earlier scans returned, and trees
-- are divided evenly where no base is given.  Every answer is compared with a
-- sequential scan and sort.
--
CREATE TABLE near_config (tab text, shape text, dims integer, element text, n integer);
INSERT INTO near_config VALUES
	('near_1', 'uniform', 1, 'double precision', 3000),
	('near_2', 'gauss', 2, 'real', 3000),
	('near_3', 'lattice', 3, 'double precision', 3000),
	('near_4', 'duplicates', 4, 'double precision', 3000),
	('near_8', 'clusters', 8, 'double precision', 6000),
	-- small pages: three levels of them
	('near_16', 'gauss', 16, 'double precision', 9000);
DO $$
DECLARE
	c record;
BEGIN
	FOR c IN SELECT * FROM near_config LOOP
		EXECUTE format('CREATE TABLE %I (id integer, pt %s[])', c.tab, c.element);
		EXECUTE format('INSERT INTO %I SELECT id, pt FROM ct_cloud(%L, %s, %s)',
					   c.tab, c.shape, c.n, c.dims);
		EXECUTE format('CREATE INDEX %I ON %I USING covertree (pt)', c.tab || '_pt', c.tab);
	END LOOP;
END $$;
SELECT tab, covertree_check(tab || '_pt', true) AS checked,
	(covertree_stats(tab || '_pt')).height, (covertree_stats(tab || '_pt')).base
	FROM near_config ORDER BY tab;

-- ever more rows, then few again: what is expected is always wrong
SELECT tab, k, ct_same(tab, quote_literal(q.pt), k) AS same
	FROM near_config, unnest('{3,1,40,700,11,2500,30}'::int[]) WITH ORDINALITY AS u (k, no),
		LATERAL ct_cloud(shape, 1, dims, 100 + no::int) AS q
	WHERE ct_same(tab, quote_literal(q.pt), k) <> format('ok, %s rows', k);
-- under a filter nobody knows how many rows it takes
SELECT tab, ct_same(tab, quote_literal(q.pt), 5, 'id % 97 = 3') AS same
	FROM near_config, LATERAL ct_cloud(shape, 1, dims, 77) AS q ORDER BY tab;

-- each search of a join expects what the last one returned
SET enable_seqscan = off;
SET enable_sort = off;
CREATE TABLE near_probe AS
	SELECT id, pt, (ARRAY[1, 300, 2, 30, 1200, 10])[1 + id % 6] AS k FROM ct_cloud('gauss', 24, 2, 5);
CREATE TABLE near_index AS
	SELECT q.id, n.* FROM near_probe q CROSS JOIN LATERAL (
		SELECT t.id AS row, t.pt <~> q.pt AS d, row_number() OVER () AS rank
		FROM (SELECT * FROM near_2 p ORDER BY p.pt <~> q.pt LIMIT q.k) t) n;
RESET enable_seqscan;
RESET enable_sort;
SET enable_indexscan = off;
CREATE TABLE near_sort AS
	SELECT q.id, n.* FROM near_probe q CROSS JOIN LATERAL (
		SELECT t.id AS row, t.pt <~> q.pt AS d, row_number() OVER () AS rank
		FROM (SELECT * FROM near_2 p ORDER BY p.pt <~> q.pt, p.ctid LIMIT q.k) t) n;
RESET enable_indexscan;
SELECT count(*) AS rows,
	count(*) FILTER (WHERE i.row IS DISTINCT FROM s.row OR float8send(i.d) IS DISTINCT FROM float8send(s.d)) AS wrong
	FROM near_index i FULL JOIN near_sort s USING (id, rank);

-- rows at a distance beyond double's range stay with their leaf, and come last
CREATE TABLE near_huge (id integer, pt double precision[]);
INSERT INTO near_huge SELECT i, ARRAY[CASE WHEN i % 5 = 0 THEN -1.5e308 ELSE i END, i % 7] FROM generate_series(1, 2000) AS i;
CREATE INDEX near_huge_pt ON near_huge USING covertree (pt);
SELECT ct_same('near_huge', '''{1e308,0}''', k) FROM unnest('{5,1600,1601,1999}'::int[]) AS k;
SELECT ct_same('near_huge', '''{1e308,0}''');
SELECT ct_same('near_huge', '''{10,0}''');

-- distances that differ in their last bits, which squares do not tell apart
CREATE TABLE near_bits (id integer, pt double precision[]);
INSERT INTO near_bits SELECT i, ARRAY[0, 1 + (i % 400) * 2 ^ -52, 0] FROM generate_series(1, 1200) AS i;
CREATE INDEX near_bits_pt ON near_bits USING covertree (pt);
SELECT q, k, ct_same('near_bits', quote_literal(q), k)
	FROM unnest('{"{0,0,0}","{0,0.5,0}","{0,3,0}"}'::text[]) AS q, unnest('{1,10,700,1200}'::int[]) AS k
	WHERE ct_same('near_bits', quote_literal(q), k) <> format('ok, %s rows', k);

-- a leaf of which most rows, at one distance, have been taken when others are due
CREATE TABLE near_tie (id integer, pt double precision[]);
CREATE INDEX near_tie_pt ON near_tie USING covertree (pt);
INSERT INTO near_tie SELECT i, CASE WHEN i BETWEEN 10 AND 39 THEN ARRAY[i, 0] ELSE ARRAY[3, -4] END
	FROM generate_series(1, 100) AS i;
SELECT ct_same('near_tie', '''{0,0}''', k) FROM unnest('{5,80,100}'::int[]) AS k;

-- more rows at one distance than wait in a pool, between nearer and farther ones
CREATE TABLE near_ring (id integer, pt point);
INSERT INTO near_ring SELECT i, CASE i % 4 WHEN 0 THEN point(3, 4) WHEN 1 THEN point(-3, 4) WHEN 2 THEN point(4, -3)
		ELSE point(i % 100, i % 1000) END FROM generate_series(1, 8000) AS i;
CREATE INDEX near_ring_pt ON near_ring USING covertree (pt);
SELECT covertree_check('near_ring_pt', true);
SELECT op, k, ct_same('near_ring', '''(0,0)''', k, op => op)
	FROM unnest('{<~>,<->}'::text[]) AS op, unnest('{10,7000}'::int[]) AS k;
SELECT op, ct_same('near_ring', '''(40.5,300)''', k, op => op)
	FROM unnest('{<~>,<->}'::text[]) AS op, unnest('{10,700}'::int[]) AS k;

-- a base asks for nets
CREATE INDEX near_8_nets ON near_8 USING covertree (pt) WITH (base = 1.5);
SELECT covertree_check('near_8_nets', true), (covertree_stats('near_8_nets')).base;
DROP INDEX near_8_pt;
SELECT ct_same('near_8', quote_literal(pt), 20) FROM ct_cloud('clusters', 2, 8, 3);
ALTER INDEX near_8_nets RESET (base);
REINDEX INDEX near_8_nets;
SELECT covertree_check('near_8_nets', true), (covertree_stats('near_8_nets')).base;
SELECT ct_same('near_8', quote_literal(pt), 20) FROM ct_cloud('clusters', 2, 8, 3);

DROP TABLE near_config, near_1, near_2, near_3, near_4, near_8, near_16, near_probe, near_index, near_sort,
	near_huge, near_bits, near_tie, near_ring;
