--
-- Partitioned tables: ordered scans of the partitions, merged.
--
CREATE TABLE parted (id integer, pt double precision[]) PARTITION BY RANGE (id);
CREATE TABLE parted1 PARTITION OF parted FOR VALUES FROM (0) TO (1000);
CREATE TABLE parted2 PARTITION OF parted FOR VALUES FROM (1000) TO (2000);
INSERT INTO parted SELECT id, pt FROM ct_cloud('gauss', 1999, 3);
CREATE INDEX parted_pt ON parted USING covertree (pt) WITH (base = 2);
-- later partitions get their index, attached ones too
CREATE TABLE parted3 PARTITION OF parted FOR VALUES FROM (2000) TO (3000);
CREATE TABLE parted4 (id integer, pt double precision[]);
INSERT INTO parted4 SELECT id, pt FROM ct_cloud('gauss', 4000, 3) WHERE id >= 3000;
ALTER TABLE parted ATTACH PARTITION parted4 FOR VALUES FROM (3000) TO (5000);
INSERT INTO parted SELECT id, pt FROM ct_cloud('gauss', 2999, 3) WHERE id >= 2000;
ANALYZE parted;
SELECT base FROM covertree_stats('parted4_pt_idx');
SELECT t, ct_check(t) FROM unnest('{parted1,parted2,parted3,parted4}'::regclass[]) AS t;

EXPLAIN (COSTS OFF)
	SELECT id FROM parted ORDER BY pt <~> '{0.1,0.2,0.3}' LIMIT 10;
EXPLAIN (COSTS OFF)
	SELECT id FROM parted WHERE id < 1500 ORDER BY pt <~> '{0.1,0.2,0.3}' LIMIT 10;

CREATE FUNCTION parted_knn(k integer) RETURNS TABLE (id integer, d double precision)
LANGUAGE sql AS $$
	SELECT id, pt <~> '{0.1,0.2,0.3}' FROM parted ORDER BY pt <~> '{0.1,0.2,0.3}' LIMIT k
$$;
SET enable_sort = off;
SET enable_seqscan = off;
CREATE TABLE parted_index AS
	SELECT k, r.* FROM unnest('{1,10,500,10000}'::int[]) AS k, parted_knn(k) WITH ORDINALITY AS r (id, d, rn);
RESET enable_sort;
RESET enable_seqscan;
SET enable_indexscan = off;
CREATE TABLE parted_sort AS
	SELECT k, r.* FROM unnest('{1,10,500,10000}'::int[]) AS k, parted_knn(k) WITH ORDINALITY AS r (id, d, rn);
RESET enable_indexscan;
SELECT k, count(*), count(*) FILTER (WHERE i.id = s.id AND i.d = s.d) AS same
	FROM parted_index AS i FULL JOIN parted_sort AS s USING (k, rn) GROUP BY k ORDER BY k;

-- rows that move from one partition to another
UPDATE parted SET id = id + 2000 WHERE id % 10 = 1 AND id < 2000;
SELECT t, ct_check(t) FROM unnest('{parted1,parted2,parted3,parted4}'::regclass[]) AS t;
SELECT t, ct_same(t, '''{0.1,0.2,0.3}''') FROM unnest('{parted1,parted2,parted3,parted4}'::text[]) AS t;

DROP FUNCTION parted_knn;
DROP TABLE parted, parted_index, parted_sort;
