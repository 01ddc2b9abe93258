--
-- Randomised comparison with sequential scans, from fixed seeds: kinds of
-- data x dimensions x element types x bases x built or inserted, through
-- deletes, vacuum and re-inserts.  Prints failures and the number of queries.
--
CREATE SCHEMA ct_diff;
CREATE TABLE ct_diff.config (
	tab text, shape text, dims integer, element text, base double precision,
	bulk boolean, n integer, seed integer);
INSERT INTO ct_diff.config
	SELECT format('ct_diff.t%s', row_number() OVER (ORDER BY shape, dims, element, base, bulk)),
		shape, dims, element, base, bulk,
		CASE WHEN dims > 16 THEN 250
			WHEN hashtext(concat(base, shape, bulk, dims, element)) % 5 = 0 THEN 2500
			ELSE 400 END,
		hashtext(shape) % 1000 + dims
	FROM unnest('{uniform,gauss,clusters,lattice,line,duplicates,powers}'::text[]) AS shape,
		unnest('{1,2,3,8,40}'::int[]) AS dims,
		unnest('{real,double precision}'::text[]) AS element,
		unnest('{1.1,1.5,2,4}'::float8[]) AS base,
		unnest('{false,true}'::boolean[]) AS bulk
	-- a third of all combinations, each pair of values among them
	WHERE (hashtext(concat(shape, dims, element, base, bulk)) & 1023) % 3 = 0;
UPDATE ct_diff.config SET shape = 'small powers' WHERE shape = 'powers' AND element = 'real';

CREATE TABLE ct_diff.failure (stage text, tab text, query text, k integer, result text);
CREATE TABLE ct_diff.counter (queries bigint);
INSERT INTO ct_diff.counter VALUES (0);

-- Ask every table: points of the data, points beside them, points far off.
CREATE FUNCTION ct_diff.compare(stage text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	c record;
	q record;
	r text;
	n bigint := 0;
BEGIN
	FOR c IN SELECT * FROM ct_diff.config LOOP
		BEGIN
			PERFORM ct_check(c.tab);
		EXCEPTION WHEN OTHERS THEN
			INSERT INTO ct_diff.failure VALUES (stage, c.tab, 'check', NULL, SQLERRM);
		END;
		FOR q IN
			SELECT quote_literal(pt) AS pt, k FROM (
				SELECT pt, k FROM ct_cloud(c.shape, 2, c.dims, c.seed), unnest('{1,17}'::int[]) AS k
				UNION ALL
				SELECT pt, k FROM ct_cloud(c.shape, 2, c.dims, c.seed + 9), unnest('{5,120}'::int[]) AS k
				UNION ALL
				SELECT array_agg(100 * p), 40 FROM ct_cloud(c.shape, 1, c.dims, c.seed + 7), unnest(pt) AS p
				UNION ALL
				SELECT pt, NULL FROM ct_cloud(c.shape, 1, c.dims, c.seed + 5)) AS s
		LOOP
			n := n + 1;
			BEGIN
				r := ct_same(c.tab, q.pt, q.k);
			EXCEPTION WHEN OTHERS THEN
				r := SQLERRM;
			END;
			IF r NOT LIKE 'ok%' THEN
				INSERT INTO ct_diff.failure VALUES (stage, c.tab, q.pt, q.k, r);
			END IF;
		END LOOP;
	END LOOP;
	UPDATE ct_diff.counter SET queries = queries + n;
END;
$$;

CREATE FUNCTION ct_diff.change(statement text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	c record;
BEGIN
	FOR c IN SELECT * FROM ct_diff.config LOOP
		BEGIN
			EXECUTE format(statement, c.tab, quote_literal(c.shape), c.n, c.dims, c.seed);
		EXCEPTION WHEN OTHERS THEN
			INSERT INTO ct_diff.failure VALUES (statement, c.tab, NULL, NULL, SQLERRM);
		END;
	END LOOP;
END;
$$;

DO $$
DECLARE
	c record;
	make_index text;
	load text;
BEGIN
	FOR c IN SELECT * FROM ct_diff.config LOOP
		EXECUTE format('CREATE TABLE %s (id integer, pt %s[]) WITH (autovacuum_enabled = off)', c.tab, c.element);
		make_index := format('CREATE INDEX ON %s USING covertree (pt) WITH (base = %s)', c.tab, c.base);
		load := format('INSERT INTO %s SELECT * FROM ct_cloud(%L, %s, %s, %s)', c.tab, c.shape, c.n, c.dims, c.seed);
		BEGIN
			IF c.bulk THEN
				EXECUTE load;
				EXECUTE make_index;
			ELSE
				EXECUTE make_index;
				EXECUTE load;
			END IF;
		EXCEPTION WHEN OTHERS THEN
			INSERT INTO ct_diff.failure VALUES ('load', c.tab, NULL, NULL, SQLERRM);
		END;
	END LOOP;
END;
$$;
SELECT ct_diff.compare('loaded');

SELECT ct_diff.change('DELETE FROM %1$s WHERE id %% 3 = 1 OR id < 40');
SELECT ct_diff.compare('deleted');

\set ECHO none
SELECT format('VACUUM (INDEX_CLEANUP ON) %s', string_agg(tab, ', ')) FROM ct_diff.config \gexec
\set ECHO all
SELECT ct_diff.compare('vacuumed');

-- the same points again, and others
SELECT ct_diff.change('INSERT INTO %1$s SELECT * FROM ct_cloud(%2$s, %3$s, %4$s, %5$s) WHERE id %% 3 = 1 OR id < 40');
SELECT ct_diff.change('INSERT INTO %1$s SELECT %3$s + id, pt FROM ct_cloud(%2$s, %3$s / 2, %4$s, %5$s + 3)');
SELECT ct_diff.change('UPDATE %1$s SET pt = (SELECT pt FROM ct_cloud(''duplicates'', 1, %4$s, 1)) WHERE id %% 10 = 0');
SELECT ct_diff.change('UPDATE %1$s SET pt = NULL WHERE id %% 50 = 7');
SELECT ct_diff.compare('refilled');

SELECT ct_diff.change('DELETE FROM %1$s WHERE id %% 4 > 0');
\set ECHO none
SELECT format('VACUUM (INDEX_CLEANUP ON) %s', string_agg(tab, ', ')) FROM ct_diff.config \gexec
\set ECHO all
SELECT ct_diff.change('INSERT INTO %1$s SELECT * FROM ct_cloud(%2$s, %3$s, %4$s, %5$s + 5)');
SELECT ct_diff.compare('again');

SELECT f.stage, c.shape, c.dims, c.element, c.base, c.bulk, f.k,
	left(f.query, 60) AS query, left(f.result, 200) AS result
	FROM ct_diff.failure f JOIN ct_diff.config c USING (tab)
	ORDER BY f.stage, c.shape, c.dims, c.element, c.base, c.bulk, f.k, f.query LIMIT 50;
SELECT (SELECT count(*) FROM ct_diff.config) AS tables, queries,
	(SELECT count(*) FROM ct_diff.failure) AS failures FROM ct_diff.counter;

SET client_min_messages = warning;
\set ECHO none
SELECT format('DROP TABLE %s', string_agg(tab, ', ')) FROM ct_diff.config \gexec
\set ECHO all
DROP SCHEMA ct_diff CASCADE;
RESET client_min_messages;
