--
-- What the index refuses, when rows come in and when queries do.  A statement
-- that fails leaves the index whole.
--
CREATE TABLE err (id integer, pt double precision[], pt4 real[], p point);
CREATE INDEX err_pt ON err USING covertree (pt);
CREATE INDEX err_pt4 ON err USING covertree (pt4);
CREATE INDEX err_p ON err USING covertree (p);
INSERT INTO err SELECT id, pt, pt, point(pt[1], pt[2]) FROM ct_cloud('gauss', 1000, 3);

CREATE TABLE err_value (n serial, col text, value text);
INSERT INTO err_value (col, value) VALUES
	('pt', '''{1,2,NaN}'''), ('pt', '''{1,Infinity,3}'''), ('pt', '''{-Infinity,2,3}'''),
	('pt', '''{1,NULL,3}'''), ('pt', '''{}'''), ('pt', '''{{1,2,3},{4,5,6}}'''),
	('pt', '''{{1,2,3}}'''), ('pt', '''{1,2}'''), ('pt', '''{1,2,3,4}'''),
	('pt', 'array_fill(0::float8, ''{2001}'')'),
	('pt4', '''{1,2,NaN}'''), ('pt4', '''{1,Infinity,3}'''), ('pt4', '''{1,NULL,3}'''),
	('pt4', '''{}'''), ('pt4', '''{{1,2,3}}'''), ('pt4', '''{1,2}'''),
	('pt4', 'array_fill(0::real, ''{2001}'')'),
	('p', '''(NaN,1)'''), ('p', '''(1,Infinity)''');

SELECT n, col, left(value, 30) AS value, e.*
	FROM err_value, ct_error(format('INSERT INTO err (id, %s) VALUES (0, %s)', col, value)) AS e
	ORDER BY n;
SELECT n, col, left(value, 30) AS value, e.state, e.message
	FROM err_value, ct_error(format('UPDATE err SET %s = %s WHERE id = 5', col, value)) AS e
	ORDER BY n;

SET enable_seqscan = off;
SELECT n, col, left(value, 30) AS value, e.*
	FROM err_value, ct_error(format('SELECT id FROM err ORDER BY %s <~> %s LIMIT 1', col, value)) AS e
	ORDER BY n;
-- operands of other types, and the operator of core
SELECT q, e.state, left(e.message, 60) AS message, e.detail
	FROM unnest(ARRAY['pt <~> ''{NaN,1,2}''::real[]', 'pt <~> ''{1,2}''::int[]',
								'pt <~> ''{1,2,3,4}''::bigint[]', 'pt <~> ''{NaN,1,2}''::numeric[]',
								'pt <~> ''{1,2,1e400}''::numeric[]', 'pt4 <~> ''{1,2,1e400}''::numeric[]',
								'pt <~> ''{1,NULL,2}''::int[]', 'pt4 <~> ''{1,2,1e300}''::float8[]',
								'p <-> ''(NaN,1)''', 'pt <~> ''no point''', 'pt <-> ''{1,2,3}''']) AS q,
	ct_error(format('SELECT id FROM err ORDER BY %s LIMIT 1', q)) AS e;
RESET enable_seqscan;

-- the same when an index is to be built over such rows
DO $$
DECLARE
	v record;
BEGIN
	FOR v IN SELECT * FROM err_value ORDER BY n LOOP
		CREATE TABLE err_build (pt double precision[], pt4 real[], p point);
		EXECUTE format('INSERT INTO err_build (%s) VALUES (%s)', v.col,
					   CASE v.col WHEN 'p' THEN '''(1,2)''' ELSE '''{1,2,3}''' END);
		EXECUTE format('INSERT INTO err_build (%s) VALUES (%s)', v.col, v.value);
		RAISE NOTICE '%: %', v.n,
			(SELECT concat_ws(' | ', state, message, nullif(detail, ''), nullif(hint, ''))
			 FROM ct_error(format('CREATE INDEX ON err_build USING covertree (%s)', v.col)));
		DROP TABLE err_build;
	END LOOP;
END;
$$;

-- types without an operator class
SELECT * FROM ct_error($$CREATE INDEX ON err USING covertree (id)$$);
SELECT * FROM ct_error($$CREATE INDEX ON err USING covertree ((pt::text))$$);
SELECT * FROM ct_error($$CREATE INDEX ON err USING covertree (pt4 float8_euclidean_ops)$$);

-- Coordinates at the limits of the type are no errors.
INSERT INTO err VALUES
	(2001, '{1.7976931348623157e308,0,0}', '{3.4e38,0,0}', '(1e308,0)'),
	(2002, '{-1.7976931348623157e308,0,0}', '{-3.4e38,0,0}', '(-1e308,0)'),
	(2003, '{1e308,1e308,1e308}', '{3e38,3e38,3e38}', '(1e308,1e308)'),
	(2004, '{-1e308,-1e308,-1e308}', '{-3e38,-3e38,-3e38}', '(-1e308,-1e308)'),
	(2005, '{5e-324,0,0}', '{1e-45,0,0}', '(5e-324,0)'),
	(2006, '{0,1e-310,0}', '{0,1e-40,0}', '(0,1e-310)'),
	(2007, '{0,0,1e-200}', '{0,0,1e-38}', '(0,1e-200)');
SELECT q, col, ct_same('err', quote_literal(q), col => col)
	FROM unnest('{pt,pt4}'::text[]) AS col,
		 unnest(ARRAY['{0,0,0}', '{5e-324,0,0}', '{0.1,0.2,0.3}']) AS q
	WHERE col = 'pt' OR q <> '{5e-324,0,0}';
SELECT q, ct_same('err', quote_literal(q))
	FROM unnest(ARRAY['{1.7976931348623157e308,0,0}', '{-1e308,-1e308,1e308}']) AS q;
SELECT q, ct_same('err', quote_literal(q), col => 'p')
	FROM unnest(ARRAY['(0,0)', '(5e-324,0)', '(-1e308,1e308)']) AS q;

-- All of it left the indexes whole.
SELECT count(*), count(DISTINCT id) FROM err;
SELECT ct_check('err');
SELECT ct_same('err', '''{0.1,0.2,0.3}'''), ct_same('err', '''{0.1,0.2,0.3}''', col => 'pt4'),
	ct_same('err', '''(0.1,0.2)''', col => 'p');
REINDEX TABLE err;
SELECT ct_check('err');
SELECT ct_same('err', '''{0.1,0.2,0.3}'''), ct_same('err', '''{0.1,0.2,0.3}''', col => 'pt4'),
	ct_same('err', '''(0.1,0.2)''', col => 'p');
DROP TABLE err, err_value;
