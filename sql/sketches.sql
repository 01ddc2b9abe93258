--
-- More than 16 dimensions: boxes around sketches, codes in leaves, points in
-- vector pages.  Trees that are built, that grow beyond one routing page and so
-- get a frame on their way, and that lose rows and grow again.
--
CREATE TABLE sk_config (
	tab text, shape text, dims integer, element text, bulk boolean, n integer);
INSERT INTO sk_config
	SELECT format('sk_%s_%s_%s_%s', replace(shape, ' ', '_'), dims, left(element, 1),
				  CASE WHEN bulk THEN 'built' ELSE 'grown' END),
		shape, dims, element, bulk,
		-- more rows than one routing page has leaves for
		CASE dims WHEN 17 THEN 9000 WHEN 33 THEN 6000 WHEN 130 THEN 2000 ELSE 500 END
	FROM (VALUES
		('uniform', 17, 'real', false), ('uniform', 17, 'double precision', true),
		('clusters', 33, 'double precision', false), ('line', 33, 'real', false),
		('duplicates', 33, 'real', false), ('gauss', 33, 'real', true),
		('small powers', 130, 'real', false), ('clusters', 130, 'real', true),
		('powers', 600, 'double precision', false), ('gauss', 600, 'real', false),
		('clusters', 600, 'real', true), ('lattice', 1500, 'real', false),
		('uniform', 1500, 'real', true)) AS s (shape, dims, element, bulk);

CREATE FUNCTION sk_compare() RETURNS TABLE (tab text, same text)
LANGUAGE plpgsql AS $$
DECLARE
	c record;
	q record;
	r text;
	n integer;
BEGIN
	FOR c IN SELECT * FROM sk_config ORDER BY sk_config.tab LOOP
		tab := c.tab;
		same := 'ok';
		n := 0;
		PERFORM ct_check(c.tab);
		FOR q IN
			SELECT quote_literal(pt) AS pt, k FROM (
				SELECT pt, k FROM ct_cloud(c.shape, 1, c.dims, 1), unnest('{1,50}'::int[]) AS k
				UNION ALL
				SELECT pt, 20 FROM ct_cloud(c.shape, 2, c.dims, 9)
				UNION ALL
				SELECT array_agg(100 * p), 20 FROM ct_cloud(c.shape, 1, c.dims, 7), unnest(pt) AS p
				UNION ALL
				SELECT pt, NULL FROM ct_cloud(c.shape, 1, c.dims, 5)) AS s
		LOOP
			r := ct_same(c.tab, q.pt, q.k);
			n := n + 1;
			IF r NOT LIKE 'ok%' THEN
				same := r;
			END IF;
		END LOOP;
		same := format('%s, %s queries', same, n);
		RETURN NEXT;
	END LOOP;
END;
$$;

DO $$
DECLARE
	c record;
	make_index text;
	load text;
BEGIN
	FOR c IN SELECT * FROM sk_config ORDER BY tab LOOP
		EXECUTE format('CREATE TABLE %s (id integer, pt %s[]) WITH (autovacuum_enabled = off)', c.tab, c.element);
		make_index := format('CREATE INDEX ON %s USING covertree (pt)', c.tab);
		load := format('INSERT INTO %s SELECT * FROM ct_cloud(%L, %s, %s, 1)', c.tab, c.shape, c.n, c.dims);
		IF c.bulk THEN
			EXECUTE load;
			EXECUTE make_index;
		ELSE
			EXECUTE make_index;
			EXECUTE load;
		END IF;
	END LOOP;
END;
$$;
SELECT * FROM sk_compare();

-- the root page has been grown, and every index has a frame
SELECT tab, height > 1 AS high, model_pages > 0 AS framed
	FROM sk_config, covertree_stats(tab || '_pt_idx') ORDER BY tab;

-- rows go, pages become empty, others come
DO $$
DECLARE
	c record;
BEGIN
	FOR c IN SELECT * FROM sk_config ORDER BY tab LOOP
		EXECUTE format('DELETE FROM %s WHERE id %% 3 > 0 OR id < %s', c.tab, c.n / 2);
	END LOOP;
END;
$$;
\set ECHO none
SELECT format('VACUUM (INDEX_CLEANUP ON) %s', string_agg(tab, ', ' ORDER BY tab)) FROM sk_config \gexec
\set ECHO all
DO $$
DECLARE
	c record;
BEGIN
	FOR c IN SELECT * FROM sk_config ORDER BY tab LOOP
		EXECUTE format('INSERT INTO %s SELECT %s + id, pt FROM ct_cloud(%L, %s, %s, 3)', c.tab, c.n, c.shape, c.n / 4, c.dims);
		EXECUTE format('INSERT INTO %s SELECT 2 * %s + id, pt FROM ct_cloud(''gauss'', 100, %s, 4)', c.tab, c.n, c.dims);
	END LOOP;
END;
$$;
SELECT * FROM sk_compare();

-- A search looks at few rows of data that few factors govern, though they have
-- many dimensions, and so does one of a tree grown row by row.
CREATE TABLE sk_latent (id integer, pt real[]) WITH (autovacuum_enabled = off);
INSERT INTO sk_latent
	SELECT i, array_agg((ct_rand(1, i, 1) * cos(j) + ct_rand(1, i, 2) * sin(3 * j)
						 + ct_rand(1, i, 3) * cos(7 * j) + 1e-3 * ct_rand(1, i, 3 + j))::real ORDER BY j)
	FROM generate_series(1, 8000) AS i, generate_series(1, 64) AS j GROUP BY i;
CREATE FUNCTION sk_share() RETURNS TABLE (pages_share boolean, distances boolean)
LANGUAGE plpgsql AS $$
DECLARE
	s record;
	t record;
	leaves bigint;
BEGIN
	SELECT leaf_pages INTO leaves FROM covertree_stats('sk_latent_pt');
	SELECT * INTO s FROM covertree_scan_stats();
	PERFORM ct_by_index(format('SELECT ctid, pt <~> %L FROM sk_latent ORDER BY pt <~> %1$L LIMIT 10', pt))
		FROM (SELECT pt FROM sk_latent ORDER BY id LIMIT 20) AS q;
	SELECT * INTO t FROM covertree_scan_stats();
	RETURN QUERY SELECT (t.pages_read - s.pages_read) / 20 < leaves / 4,
		(t.distances - s.distances) / 20 < 60;
END;
$$;
CREATE INDEX sk_latent_pt ON sk_latent USING covertree (pt);
SELECT * FROM sk_share();
DROP INDEX sk_latent_pt;
CREATE TABLE sk_rows AS SELECT * FROM sk_latent;
TRUNCATE sk_latent;
CREATE INDEX sk_latent_pt ON sk_latent USING covertree (pt);
INSERT INTO sk_latent SELECT * FROM sk_rows ORDER BY id;
SELECT * FROM sk_share();
SELECT ct_check('sk_latent');

-- more rows than fit the memory: the frame is that of the first ones
DROP INDEX sk_latent_pt;
SET maintenance_work_mem = '1MB';
CREATE INDEX sk_latent_pt ON sk_latent USING covertree (pt);
RESET maintenance_work_mem;
SELECT ct_check('sk_latent');
SELECT ct_same('sk_latent', quote_literal(pt), 30) FROM sk_rows WHERE id = 77;
SELECT * FROM sk_share();

DROP TABLE sk_latent, sk_rows;
SET client_min_messages = warning;
\set ECHO none
SELECT format('DROP TABLE %s', string_agg(tab, ', ')) FROM sk_config \gexec
\set ECHO all
DROP TABLE sk_config;
DROP FUNCTION sk_compare, sk_share;
RESET client_min_messages;
