--
-- covertree_stats, covertree_levels, covertree_scan_stats, covertree_check
--
CREATE TABLE insp (id integer, pt double precision[]) WITH (autovacuum_enabled = off);
CREATE INDEX insp_pt ON insp USING covertree (pt) WITH (base = 2);

-- empty
SELECT version, rows, nulls, dims, metric, element, strategy, base, height,
	vector_pages, null_pages, dead_rows
	FROM covertree_stats('insp_pt');
SELECT count(*) FROM covertree_levels('insp_pt');
SELECT covertree_check('insp_pt');

CREATE FUNCTION insp_sane(index regclass, tab regclass) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	s record;
	l record;
	n bigint;
	bad text := '';
BEGIN
	SELECT * INTO s FROM covertree_stats(index);
	EXECUTE format('SELECT count(*) FROM %s', tab) INTO n;
	IF s.rows + s.nulls - s.dead_rows <> n THEN
		bad := bad || format('rows %s, nulls %s, dead %s, table %s; ', s.rows, s.nulls, s.dead_rows, n);
	END IF;
	IF s.pages <> pg_relation_size(index) / current_setting('block_size')::int THEN
		bad := bad || format('pages %s; ', s.pages);
	END IF;
	IF s.routing_pages + s.leaf_pages + s.vector_pages + s.null_pages + s.free_pages + s.model_pages + 1 <> s.pages THEN
		bad := bad || format('pages by kind %s; ', s);
	END IF;
	IF NOT (s.leaf_fill > 0 AND s.leaf_fill <= 1) THEN
		bad := bad || format('leaf_fill %s; ', s.leaf_fill);
	END IF;
	IF NOT (s.mean_fanout >= 0 AND s.mean_fanout <= s.max_fanout) THEN
		bad := bad || format('fan-out %s of %s; ', s.mean_fanout, s.max_fanout);
	END IF;
	IF abs(s.bytes_per_row * (s.rows + s.nulls) / pg_relation_size(index) - 1) > 0.5 THEN
		bad := bad || format('bytes_per_row %s; ', s.bytes_per_row);
	END IF;
	IF NOT (s.overlap >= 0) OR s.overlap = 'Infinity' THEN
		bad := bad || format('overlap %s; ', s.overlap);
	END IF;
	FOR l IN SELECT * FROM covertree_levels(index) LOOP
		IF NOT (l.nodes > 0 AND l.children >= 0 AND l.mean_radius <= l.max_radius * 1.0000001
				AND l.radius_ratio >= 0) THEN
			bad := bad || format('level %s; ', l);
		END IF;
	END LOOP;
	RETURN CASE bad WHEN '' THEN 'ok' ELSE bad END;
END;
$$;

INSERT INTO insp SELECT * FROM ct_cloud('gauss', 12000, 3);
INSERT INTO insp SELECT i, NULL FROM generate_series(1, 50) AS i;
SELECT version, rows, nulls, dims, metric, element, strategy, base,
	height BETWEEN 1 AND 8 AS height, leaf_pages > 10 AS leaves,
	vector_pages, null_pages, dead_rows
	FROM covertree_stats('insp_pt');
SELECT insp_sane('insp_pt', 'insp');
REINDEX INDEX insp_pt;
SELECT rows, nulls, vector_pages, null_pages, dead_rows FROM covertree_stats('insp_pt');
SELECT insp_sane('insp_pt', 'insp');

-- one line per level, largest first or last, and the radii keep the promise
SELECT count(*) > 2 AS some, count(level) = count(DISTINCT level) AS distinct,
	bool_and(radius_ratio <= 2) AS covered
	FROM covertree_levels('insp_pt');

DELETE FROM insp WHERE id % 2 = 0;
VACUUM (INDEX_CLEANUP ON) insp;
SELECT insp_sane('insp_pt', 'insp');

CREATE TABLE insp_wide (id integer, pt real[]);
INSERT INTO insp_wide SELECT * FROM ct_cloud('gauss', 300, 300);
CREATE INDEX insp_wide_pt ON insp_wide USING covertree (pt);
SELECT rows, dims, element, vector_pages > 0 AS vectors FROM covertree_stats('insp_wide_pt');
SELECT insp_sane('insp_wide_pt', 'insp_wide');

-- inserted one by one, vectors share their pages as well
TRUNCATE insp_wide;
INSERT INTO insp_wide SELECT * FROM ct_cloud('gauss', 300, 300);
SELECT insp_sane('insp_wide_pt', 'insp_wide');
SELECT bytes_per_row < 3 * 4 * 300 AS compact FROM covertree_stats('insp_wide_pt');

CREATE TABLE insp_point (id integer, p point);
INSERT INTO insp_point SELECT id, point(pt[1], pt[2]) FROM ct_cloud('gauss', 300, 2);
CREATE INDEX insp_point_p ON insp_point USING covertree (p);
SELECT rows, dims, element, metric FROM covertree_stats('insp_point_p');
SELECT insp_sane('insp_point_p', 'insp_point');

-- This session's scans.
CREATE TABLE insp_before AS SELECT * FROM covertree_scan_stats();
SET enable_seqscan = off;
SELECT count(*) FROM (SELECT id FROM insp ORDER BY pt <~> '{0,0,0}' LIMIT 10) AS s;
SELECT a.scans - b.scans AS scans, a.rows_returned - b.rows_returned AS rows,
	a.pages_read - b.pages_read BETWEEN 1 AND 40 AS pages,
	a.distances - b.distances BETWEEN 10 AND 2000 AS distances,
	a.subtrees_pruned >= b.subtrees_pruned AS pruned
	FROM covertree_scan_stats() AS a, insp_before AS b;
SELECT count(*) FROM generate_series(1, 7) AS i,
	LATERAL (SELECT id FROM insp ORDER BY pt <~> ARRAY[i, 0, 0] LIMIT 3) AS s;
SELECT a.scans - b.scans AS scans, a.rows_returned - b.rows_returned AS rows
	FROM covertree_scan_stats() AS a, insp_before AS b;
RESET enable_seqscan;

-- What is no covertree index is refused.
CREATE INDEX insp_id ON insp (id);
CREATE TABLE insp_parted (pt real[]) PARTITION BY HASH (pt);
CREATE INDEX insp_parted_pt ON insp_parted USING covertree (pt);
SELECT * FROM ct_error($$SELECT covertree_check('insp_id')$$);
SELECT * FROM ct_error($$SELECT * FROM covertree_stats('insp_id')$$);
SELECT * FROM ct_error($$SELECT * FROM covertree_levels('insp_id')$$);
SELECT * FROM ct_error($$SELECT covertree_check('insp')$$);
SELECT * FROM ct_error($$SELECT * FROM covertree_stats('insp')$$);
SELECT * FROM ct_error($$SELECT covertree_check('insp_parted_pt')$$);
SELECT * FROM ct_error($$SELECT * FROM covertree_stats('insp_parted_pt')$$);
SELECT covertree_check(NULL);
SELECT covertree_stats(NULL) IS NULL;

-- Without rights on the table, not even the statistics.
CREATE ROLE regress_covertree_nobody;
SET ROLE regress_covertree_nobody;
SELECT state, message FROM ct_error($$SELECT covertree_check('insp_pt')$$);
RESET ROLE;
DROP ROLE regress_covertree_nobody;

DROP FUNCTION insp_sane;
-- Dead rows are counted one by one: those that nobody can see any more.  A
-- temporary table's are not kept from vacuum by other sessions.
CREATE TEMP TABLE insp_dead (id integer, pt double precision[]) WITH (fillfactor = 50);
INSERT INTO insp_dead SELECT i, ARRAY[i * 7 % 12007, i * 11 % 12011] FROM generate_series(1, 12000) AS i;
INSERT INTO insp_dead SELECT i, NULL FROM generate_series(1, 30) AS i;
CREATE INDEX insp_dead_pt ON insp_dead USING covertree (pt);
ANALYZE insp_dead;
SELECT rows, nulls, dead_rows FROM covertree_stats('insp_dead_pt');
DELETE FROM insp_dead WHERE id % 10 = 0;
SELECT rows, nulls, dead_rows FROM covertree_stats('insp_dead_pt');
-- moved rows leave an entry behind, changed ones do not
UPDATE insp_dead SET pt = ARRAY[id, 0] WHERE id % 100 = 1;
UPDATE insp_dead SET id = -id WHERE id % 100 = 2;
SELECT rows, nulls, dead_rows FROM covertree_stats('insp_dead_pt');
-- what is not committed is not dead; what was rolled back is
BEGIN;
DELETE FROM insp_dead WHERE id % 10 = 3;
INSERT INTO insp_dead SELECT i, ARRAY[i, i] FROM generate_series(13001, 13040) AS i;
SELECT rows, nulls, dead_rows FROM covertree_stats('insp_dead_pt');
ROLLBACK;
SELECT rows, nulls, dead_rows FROM covertree_stats('insp_dead_pt');
-- in as many steps as work_mem asks for
DELETE FROM insp_dead WHERE id > 1000;
SET work_mem = '64kB';
SELECT rows, nulls, dead_rows FROM covertree_stats('insp_dead_pt');
RESET work_mem;
SET enable_seqscan = off;
SELECT count(*) FROM (SELECT id FROM insp_dead ORDER BY pt <~> '{0,0}') AS s;
RESET enable_seqscan;
SELECT rows, nulls, dead_rows FROM covertree_stats('insp_dead_pt');
VACUUM (INDEX_CLEANUP ON) insp_dead;
SELECT rows, nulls, dead_rows FROM covertree_stats('insp_dead_pt');
SELECT count(*), count(pt) FROM insp_dead;
DROP TABLE insp_dead;

DROP TABLE insp, insp_wide, insp_point, insp_before, insp_parted;
