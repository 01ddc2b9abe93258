--
-- Operator classes are complete, and incomplete ones are found out.
--
SELECT opcname, opcintype::regtype, opcdefault, amvalidate(opc.oid)
	FROM pg_opclass opc JOIN pg_am am ON am.oid = opcmethod
	WHERE amname = 'covertree' ORDER BY opcname;

SELECT amopfamily.opfname, amopstrategy, amoppurpose, amopopr::regoperator,
	sort.opfname AS sort_family
	FROM pg_amop
		JOIN pg_opfamily amopfamily ON amopfamily.oid = amopfamily
		JOIN pg_am am ON am.oid = amopmethod
		JOIN pg_opfamily sort ON sort.oid = amopsortfamily
	WHERE amname = 'covertree' ORDER BY 1, 2, amopopr::regoperator::text;

-- what the access method can do
SELECT prop, pg_indexam_has_property(am.oid, prop)
	FROM pg_am am, unnest('{can_order,can_unique,can_multi_col,can_exclude,can_include}'::text[]) AS prop
	WHERE amname = 'covertree';
CREATE TABLE val (pt double precision[]);
CREATE INDEX val_pt ON val USING covertree (pt);
SELECT prop, pg_index_has_property('val_pt', prop)
	FROM unnest('{clusterable,index_scan,bitmap_scan,backward_scan}'::text[]) AS prop;
SELECT prop, pg_index_column_has_property('val_pt', 1, prop)
	FROM unnest('{orderable,distance_orderable,returnable,search_array,search_nulls}'::text[]) AS prop;
DROP TABLE val;

-- incomplete or foreign classes
CREATE OPERATOR CLASS val_no_operator FOR TYPE real[] USING covertree AS
	FUNCTION 1 covertree_float4_euclidean_support(internal);
CREATE OPERATOR CLASS val_no_support FOR TYPE real[] USING covertree AS
	OPERATOR 1 <~> (real[], real[]) FOR ORDER BY pg_catalog.float_ops;
CREATE OPERATOR CLASS val_no_options FOR TYPE real[] USING covertree AS
	OPERATOR 1 <~> (real[], residual_query) FOR ORDER BY pg_catalog.float_ops,
	FUNCTION 1 covertree_float4_residual_support(internal);
CREATE OPERATOR CLASS val_search FOR TYPE real[] USING covertree AS
	OPERATOR 1 = (anyarray, anyarray),
	FUNCTION 1 covertree_float4_euclidean_support(internal);
CREATE OPERATOR CLASS val_strategy FOR TYPE real[] USING covertree AS
	OPERATOR 1 <~> (real[], real[]) FOR ORDER BY pg_catalog.float_ops,
	OPERATOR 77 <~> (real[], double precision[]) FOR ORDER BY pg_catalog.float_ops,
	FUNCTION 1 covertree_float4_euclidean_support(internal);
CREATE OPERATOR CLASS val_function FOR TYPE real[] USING covertree AS
	OPERATOR 1 <~> (real[], real[]) FOR ORDER BY pg_catalog.float_ops,
	FUNCTION 1 array_ndims(anyarray);
SELECT opcname, amvalidate(oid) FROM pg_opclass
	WHERE opcname LIKE 'val\_%' ORDER BY opcname;
DO $$
DECLARE
	name text;
BEGIN
	FOR name IN SELECT opfname FROM pg_opfamily WHERE opfname LIKE 'val\_%' LOOP
		EXECUTE format('DROP OPERATOR FAMILY %I USING covertree', name);
	END LOOP;
END;
$$;
