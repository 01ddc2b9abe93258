--
-- The same bits from every instruction set that this machine has.
--
CREATE FUNCTION ct_level_set(wanted text) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('covertree.kernel_level', wanted, false);
	RETURN covertree_kernel_level() = wanted;
EXCEPTION WHEN OTHERS THEN
	RETURN false;
END;
$$;
SELECT covertree_kernel_level() IN ('scalar', 'avx2', 'avx512') AS known;
SET covertree.kernel_level = scalar;
SELECT covertree_kernel_level();

CREATE TABLE kern (dims integer, shape text, pt double precision[], pt4 real[]);
INSERT INTO kern
	SELECT dims, shape, c.pt, CASE shape WHEN 'small powers' THEN NULL ELSE c.pt END
	FROM unnest('{1,2,3,7,8,9,15,16,17,31,32,33,100,1000,2000}'::int[]) AS dims,
		unnest('{gauss,clusters,small powers}'::text[]) AS shape,
		ct_cloud(shape, 6, dims) AS c;
INSERT INTO kern (dims, shape, pt)
	SELECT 3, 'limits', p FROM unnest(ARRAY['{0,-0,0}', '{5e-324,1e-310,0}', '{1e308,-1e308,1e308}',
											'{1.7976931348623157e308,0,0}', '{1e200,1e-200,1}',
											'{1e-200,1e-160,1e-170}']) AS s (t), LATERAL (SELECT t::float8[]) AS q (p);
SET covertree.kernel_level = scalar;
CREATE TABLE kern_scalar AS
	SELECT a.dims, a.shape, a.ctid AS a, b.ctid AS b, float8send(a.pt <~> b.pt) AS d88,
		float8send(a.pt4 <~> b.pt4) AS d44, float8send(a.pt <~> b.pt4) AS d84, float8send(a.pt4 <~> b.pt) AS d48
	FROM kern a JOIN kern b USING (dims, shape);

CREATE TABLE kern_row (id integer, pt double precision[], pt4 real[], wide real[]);
INSERT INTO kern_row
	SELECT a.id, a.pt, a.pt, b.pt FROM ct_cloud('gauss', 1000, 5) AS a, ct_point('gauss', 1, a.id, 150) AS b (pt);
CREATE INDEX ON kern_row USING covertree (pt);
CREATE INDEX ON kern_row USING covertree (pt4);
CREATE INDEX ON kern_row USING covertree (wide);

-- For each level: operators against the scalar ones, scans against operators,
-- and an index that was built at another level passes its check.
DO $$
DECLARE
	level text;
	r text;
	n bigint;
BEGIN
	FOREACH level IN ARRAY '{scalar,avx2,avx512,auto}'::text[] LOOP
		CONTINUE WHEN NOT ct_level_set(level) AND level <> 'auto';
		SELECT count(*) INTO n
			FROM kern a JOIN kern b USING (dims, shape) JOIN kern_scalar s ON s.a = a.ctid AND s.b = b.ctid
			WHERE (float8send(a.pt <~> b.pt), float8send(a.pt4 <~> b.pt4),
				   float8send(a.pt <~> b.pt4), float8send(a.pt4 <~> b.pt))
				IS DISTINCT FROM (d88, d44, d84, d48);
		IF n > 0 THEN
			RAISE WARNING '%: % operators differ', level, n;
		END IF;
		FOR r IN
			SELECT ct_same('kern_row', quote_literal(pt), 50) FROM ct_cloud('gauss', 5, 5, 1)
			UNION ALL
			SELECT ct_same('kern_row', quote_literal(pt), 50, col => 'pt4') FROM ct_cloud('gauss', 5, 5, 1)
			UNION ALL
			SELECT ct_same('kern_row', quote_literal(pt), 50, col => 'wide') FROM ct_cloud('gauss', 5, 150, 1)
		LOOP
			IF r NOT LIKE 'ok%' THEN
				RAISE WARNING '%: %', level, r;
			END IF;
		END LOOP;
		PERFORM ct_check('kern_row');
		INSERT INTO kern_row
			SELECT a.id, a.pt, a.pt, b.pt
			FROM ct_cloud('gauss', 100, 5, 10 + length(level)) AS a, ct_point('gauss', 1, a.id, 150) AS b (pt);
	END LOOP;
END;
$$;
RESET covertree.kernel_level;
SELECT ct_check('kern_row');
SELECT count(*) FROM kern_scalar;

DROP FUNCTION ct_level_set;
DROP TABLE kern, kern_scalar, kern_row;
