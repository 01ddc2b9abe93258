--
-- Inducing points as queries.  Their residual variance is all jitter, so that bases
-- rule out nothing; the limits that leaves have do.  Scans and bulk searches are
-- compared with sequential scans, and may evaluate no more than a part of the rows.
--
CREATE TABLE rkn_source AS SELECT id, pt FROM ct_cloud('gauss', 3000, 2);
CREATE TABLE rkn (id integer, pt double precision[]) WITH (autovacuum_enabled = off);
CREATE TABLE rkn_case (model text, kernel text, m integer, nugget double precision, strategy text, grown boolean, share double precision);
INSERT INTO rkn_case VALUES
	('rkn1', 'rbf', 60, 0, 'exact_metric', false, 0.15),
	('rkn2', 'matern52', 60, 0, 'exact_metric', false, 0.3),
	('rkn3', 'matern52', 60, 0, 'spatial_proxy', true, 0.5),
	('rkn4', 'matern32', 60, 0.1, 'exact_metric', true, 0.5),
	-- more of them than limits
	('rkn5', 'matern12', 600, 0, 'exact_metric', false, 1);
SELECT model, covertree_create_model(model, kernel, '{0.5}',
	(SELECT array_agg(pt) FROM rkn_source WHERE id % (3000 / m) = 1), nugget => nugget) IS NOT NULL AS created
FROM rkn_case ORDER BY model;

-- some of the inducing points of a model
CREATE FUNCTION rkn_queries(m integer) RETURNS double precision[]
LANGUAGE sql AS $$
	SELECT array_agg(pt ORDER BY id) FROM rkn_source WHERE id % (3000 / m) = 1 AND id % 29 < 7 AND id < 60 * (3000 / m);
$$;

-- 'ok', or what is wrong of the k neighbours of these
CREATE FUNCTION rkn_compare(c rkn_case, k integer) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	queries double precision[] := rkn_queries(c.m);
	operand text := format('residual_query(%L, ''{%%s}'')', c.model);
	sorted ct_bulk.answer[] := (SELECT array_agg(s) FROM ct_bulk.scans('rkn', queries, k, operand, sorted => true) AS s);
	scanned ct_bulk.answer[];
	before bigint := (SELECT distances FROM covertree_scan_stats());
	evaluated double precision;
	result text;
BEGIN
	scanned := (SELECT array_agg(s) FROM ct_bulk.scans('rkn', queries, k, operand) AS s);
	evaluated := (SELECT distances FROM covertree_scan_stats()) - before;
	result := concat_ws(', ', ct_check('rkn'), ct_bulk.difference(scanned, sorted),
		ct_bulk.difference((SELECT array_agg(s) FROM ct_bulk.knn('rkn_pt', queries, k) AS s), sorted));
	evaluated := evaluated / array_length(queries, 1) / (SELECT count(*) FROM rkn);
	IF evaluated > c.share THEN
		RETURN format('%s; a query evaluates %s of the rows', result, round(evaluated::numeric, 2));
	END IF;
	RETURN result;
END;
$$;

CREATE FUNCTION rkn_load(c rkn_case) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	make_index text := format('CREATE INDEX rkn_pt ON rkn USING covertree (pt float8_residual_ops (model = %I)) WITH (strategy = %s)', c.model, c.strategy);
BEGIN
	DROP INDEX IF EXISTS rkn_pt;
	TRUNCATE rkn;
	IF c.grown THEN EXECUTE make_index; END IF;
	-- inducing points among them
	INSERT INTO rkn SELECT * FROM rkn_source WHERE id <= CASE WHEN c.grown THEN 1500 ELSE 3000 END ORDER BY hashint4(id);
	IF NOT c.grown THEN EXECUTE make_index; END IF;
	RETURN rkn_compare(c, 10);
END;
$$;

-- rows that leaves know nothing of, some of them at inducing points
CREATE FUNCTION rkn_insert(c rkn_case) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM rkn WHERE id % 3 = 1;
	INSERT INTO rkn SELECT 10000 + id, pt FROM ct_cloud('gauss', 500, 2, 77);
	INSERT INTO rkn SELECT 20000 + id, pt FROM rkn_source WHERE id % (3000 / c.m) = 1 AND id % 4 < 2;
	RETURN rkn_compare(c, 10);
END;
$$;

SET client_min_messages = warning;
SELECT model, rkn_load(c), rkn_insert(c) FROM rkn_case AS c ORDER BY model;
VACUUM (INDEX_CLEANUP ON) rkn;
SELECT rkn_compare(c, 10) FROM rkn_case AS c WHERE model = 'rkn5';
RESET client_min_messages;

DROP TABLE rkn, rkn_source;
SELECT covertree_drop_model(model) FROM rkn_case ORDER BY model;
DROP FUNCTION rkn_load, rkn_insert, rkn_compare, rkn_queries;
DROP TABLE rkn_case;
