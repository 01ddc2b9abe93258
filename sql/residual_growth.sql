--
-- Residual indexes that grow row by row: their leaves find bases that are about
-- as good as those of a build, so that scans evaluate no more than twice as many
-- rows.
--
SELECT covertree_create_model('rgr', 'rbf', '{0.7}', (SELECT array_agg(pt) FROM ct_cloud('gauss', 40, 2, 3)));
CREATE TABLE rgr_source AS SELECT id, pt FROM ct_cloud('gauss', 4000, 2);
CREATE TABLE rgr_query AS SELECT id, residual_query('rgr', pt) AS q FROM rgr_source WHERE id % 97 = 5;

-- rows evaluated by the scans of all queries
CREATE FUNCTION rgr_evaluated(tab regclass) RETURNS bigint
LANGUAGE plpgsql SET enable_seqscan = off SET enable_sort = off AS $$
DECLARE
	before bigint := (SELECT distances FROM covertree_scan_stats());
	found bigint;
BEGIN
	EXECUTE format('SELECT count(n.id) FROM rgr_query CROSS JOIN LATERAL
		(SELECT id FROM %s ORDER BY pt <~> q LIMIT 10) AS n', tab) INTO found;
	ASSERT found = 10 * (SELECT count(*) FROM rgr_query);
	RETURN (SELECT distances FROM covertree_scan_stats()) - before;
END;
$$;

CREATE FUNCTION rgr_compare(strategy text, sort text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	grown bigint;
	built bigint;
	result text;
BEGIN
	DROP TABLE IF EXISTS rgr;
	CREATE TABLE rgr (id integer, pt double precision[]);
	EXECUTE format('CREATE INDEX rgr_pt ON rgr USING covertree (pt float8_residual_ops (model = rgr)) WITH (strategy = %s)', strategy);
	EXECUTE format('INSERT INTO rgr SELECT id, pt FROM rgr_source ORDER BY %s', sort);
	grown := rgr_evaluated('rgr');
	result := ct_check('rgr') || ', ' || ct_same('rgr', $q$residual_query('rgr', '{0.1,0.2}')$q$);
	REINDEX INDEX rgr_pt;
	built := rgr_evaluated('rgr');
	IF grown > 2 * built THEN
		RETURN format('%s: %s rows evaluated, %s after REINDEX', result, grown, built);
	END IF;
	RETURN result;
END;
$$;
SELECT strategy, sort, rgr_compare(strategy, sort)
	FROM unnest('{exact_metric,spatial_proxy}'::text[]) AS strategy, unnest('{id,pt}'::text[]) AS sort;

DROP TABLE rgr, rgr_source, rgr_query;
DROP FUNCTION rgr_compare, rgr_evaluated;
SELECT covertree_drop_model('rgr');
