--
-- Rows without a point come last; a query without a point has no distances.
--
CREATE TABLE nul (id integer, pt double precision[]);
INSERT INTO nul SELECT i, CASE WHEN i % 4 > 0 THEN ARRAY[i % 17, i % 13] END
	FROM generate_series(1, 4000) AS i;
CREATE INDEX nul_pt ON nul USING covertree (pt);
SELECT ct_check('nul');
SELECT rows, nulls FROM covertree_stats('nul_pt');
SELECT k, ct_same('nul', '''{3,4}''', k)
	FROM unnest('{1,2999,3000,3001,3999,4000,null}'::int[]) AS k;

-- inserted
INSERT INTO nul SELECT i, NULL FROM generate_series(1, 3000) AS i;
SELECT ct_check('nul');
SELECT k, ct_same('nul', '''{3,4}''', k)
	FROM unnest('{3001,7000,null}'::int[]) AS k;

-- filtered
SELECT ct_same('nul', '''{3,4}''', 10, 'pt IS NULL');
SELECT ct_same('nul', '''{3,4}''', NULL, 'pt IS NOT NULL');

-- from value to NULL and back
UPDATE nul SET pt = NULL WHERE id % 10 = 1;
UPDATE nul SET pt = ARRAY[id, id] WHERE id % 10 = 4;
SELECT ct_check('nul');
SELECT ct_same('nul', '''{3,4}''');

-- The query point is NULL: every row, distance NULL.
PREPARE nul_q (double precision[]) AS
	SELECT id, pt <~> $1 AS d FROM nul ORDER BY pt <~> $1;
SET plan_cache_mode = force_generic_plan;
SET enable_seqscan = off;
SET enable_sort = off;
EXPLAIN (COSTS OFF) EXECUTE nul_q (NULL);
CREATE TEMP TABLE nul_result AS EXECUTE nul_q (NULL);
SELECT count(*), count(d) FROM nul_result;
SELECT (SELECT count(*) FROM nul) = count(*) AS complete FROM nul_result;
DROP TABLE nul_result;
DEALLOCATE nul_q;
PREPARE nul_order (double precision[]) AS
	SELECT ctid AS row FROM nul ORDER BY pt <~> $1;
CREATE TEMP TABLE nul_result AS EXECUTE nul_order (NULL);
SELECT count(*) AS out_of_order
	FROM (SELECT row, lag(row) OVER (ORDER BY ctid) AS before
		  FROM nul_result) AS r
	WHERE before >= row;
DROP TABLE nul_result;
DEALLOCATE nul_order;
SELECT count(n.id), count(n.d)
	FROM (VALUES ('{3,4}'::double precision[]), (NULL), ('{5,6}')) AS q (pt),
		LATERAL (SELECT id, nul.pt <~> q.pt AS d FROM nul
				 ORDER BY nul.pt <~> q.pt LIMIT 5) AS n;
RESET plan_cache_mode;
RESET enable_seqscan;
RESET enable_sort;

-- nothing but NULLs: no dimension yet
CREATE TABLE nul_only (id integer, pt real[]);
INSERT INTO nul_only SELECT i, NULL FROM generate_series(1, 10) AS i;
CREATE INDEX nul_only_pt ON nul_only USING covertree (pt);
SELECT ct_check('nul_only');
SELECT ct_same('nul_only', '''{1,2,3}''');
INSERT INTO nul_only VALUES (11, NULL), (12, '{1,2,3}'), (13, NULL);
SELECT ct_check('nul_only');
SELECT ct_same('nul_only', '''{1,2,3}''');

-- points
CREATE TABLE nul_point (id integer, p point);
CREATE INDEX nul_point_p ON nul_point USING covertree (p);
INSERT INTO nul_point VALUES (1, NULL), (2, '(1,1)'), (3, NULL), (4, '(0,0)');
SELECT id, p <~> '(0,1)' AS d1, p <-> '(0,1)' AS d2 FROM nul_point ORDER BY p <~> '(0,1)', id;
SELECT ct_same('nul_point', '''(0,1)''', col => 'p');
SELECT ct_same('nul_point', '''(0,1)''', col => 'p', op => '<->');
SELECT ct_check('nul_point');

DROP TABLE nul, nul_only, nul_point;
