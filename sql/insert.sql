--
-- Rows inserted one by one, into an empty index and into a built one.
--
CREATE TABLE ins (id integer, pt double precision[]);
CREATE INDEX ins_pt ON ins USING covertree (pt);
SELECT ct_same('ins', '''{0,0,0}''');
SELECT ct_check('ins');

-- one row, two rows, a page and more
INSERT INTO ins SELECT * FROM ct_cloud('gauss', 1, 3);
SELECT ct_same('ins', '''{0,0,0}''');
INSERT INTO ins SELECT * FROM ct_cloud('gauss', 2, 3) WHERE id > 1;
SELECT ct_same('ins', '''{0,0,0}''');
SELECT ct_check('ins');
INSERT INTO ins SELECT * FROM ct_cloud('gauss', 1000, 3) WHERE id > 2;
SELECT ct_same('ins', '''{0,0,0}''');
SELECT ct_check('ins');
INSERT INTO ins SELECT * FROM ct_cloud('gauss', 20000, 3) WHERE id > 1000;
SELECT ct_check('ins');
SELECT k, ct_same('ins', '''{0.1,0.2,0.3}''', k)
	FROM unnest('{1,10,1000,null}'::int[]) AS k;
SELECT min(r), max(r), count(*)
	FROM (SELECT ct_same('ins', quote_literal(pt), 20) AS r
		  FROM ins WHERE id % 200 = 0) AS s;

-- Points far outside, and nearer and nearer to one of the old ones.
INSERT INTO ins SELECT 20000 + i, ARRAY[power(2::float8, i), 0, -i]
	FROM generate_series(1, 500) AS i;
INSERT INTO ins SELECT 21000 + i, ARRAY[power(2::float8, -i), 0, 0]
	FROM generate_series(1, 1000) AS i;
SELECT ct_check('ins');
SELECT k, ct_same('ins', '''{0,0,0}''', k)
	FROM unnest('{1,10,1100,null}'::int[]) AS k;
SELECT k, ct_same('ins', '''{1e150,0,0}''', k)
	FROM unnest('{1,10,1100,null}'::int[]) AS k;

-- Into an index that was built over half of the rows, in its own region and
-- in a new one.
TRUNCATE ins;
INSERT INTO ins SELECT * FROM ct_cloud('clusters', 5000, 8);
REINDEX INDEX ins_pt;
INSERT INTO ins SELECT * FROM ct_cloud('clusters', 10000, 8) WHERE id > 5000;
INSERT INTO ins SELECT 10000 + id, pt FROM ct_cloud('gauss', 5000, 8);
SELECT ct_check('ins');
SELECT min(r), max(r), count(*)
	FROM (SELECT ct_same('ins', quote_literal(pt), 20) AS r
		  FROM ins WHERE id % 200 = 0) AS s;
SELECT ct_same('ins', '''{1,2,3,4,5,6,7,8}''');

-- Sorted input, in either direction, and input that always lies outermost.
CREATE TABLE ins1 (id integer, pt real[]);
CREATE INDEX ins1_pt ON ins1 USING covertree (pt) WITH (base = 2);
INSERT INTO ins1 SELECT i, ARRAY[i] FROM generate_series(1, 5000) AS i;
INSERT INTO ins1 SELECT i, ARRAY[-i] FROM generate_series(1, 5000) AS i;
INSERT INTO ins1 SELECT i, ARRAY[i * 1000000.0 * (1 - i % 2 * 2)]
	FROM generate_series(1, 1000) AS i;
SELECT ct_check('ins1');
SELECT k, ct_same('ins1', '''{2500.5}''', k) FROM unnest('{1,2,100,null}'::int[]) AS k;

-- Updates move rows.
UPDATE ins1 SET pt = ARRAY[pt[1] + 0.5] WHERE id % 3 = 0;
SELECT ct_check('ins1');
SELECT k, ct_same('ins1', '''{2500.5}''', k) FROM unnest('{1,2,100,null}'::int[]) AS k;

-- COPY and multi-row INSERT
COPY ins1 (id, pt) FROM stdin;
9001	{0.25}
9002	{0.5}
9003	{0.75}
\.
INSERT INTO ins1 VALUES (9004, '{0.25}'), (9005, '{0.5}'), (9006, '{0.75}');
SELECT id, pt <~> '{0.1}' AS d FROM ins1 ORDER BY pt <~> '{0.1}' LIMIT 3;
SELECT ct_same('ins1', '''{0.1}''', 50);

DROP TABLE ins, ins1;
