--
-- Index options and their limits.
--
CREATE TABLE opt (id integer, pt double precision[]);
INSERT INTO opt SELECT * FROM ct_cloud('gauss', 2000, 3);

-- defaults
CREATE INDEX opt_pt ON opt USING covertree (pt);
SELECT base, strategy FROM covertree_stats('opt_pt');
DROP INDEX opt_pt;

-- limits and what lies beyond them
CREATE INDEX opt_pt ON opt USING covertree (pt) WITH (base = 1.05);
SELECT base, ct_check('opt'), ct_same('opt', '''{0,0,0}''', 100) FROM covertree_stats('opt_pt');
DROP INDEX opt_pt;
CREATE INDEX opt_pt ON opt USING covertree (pt) WITH (base = 16);
SELECT base, ct_check('opt'), ct_same('opt', '''{0,0,0}''', 100) FROM covertree_stats('opt_pt');
DROP INDEX opt_pt;
CREATE INDEX opt_pt ON opt USING covertree (pt) WITH (base = 1.0499);
CREATE INDEX opt_pt ON opt USING covertree (pt) WITH (base = 16.01);
CREATE INDEX opt_pt ON opt USING covertree (pt) WITH (base = 1);
CREATE INDEX opt_pt ON opt USING covertree (pt) WITH (base = 0);
CREATE INDEX opt_pt ON opt USING covertree (pt) WITH (base = -2);
CREATE INDEX opt_pt ON opt USING covertree (pt) WITH (base = 'NaN');
CREATE INDEX opt_pt ON opt USING covertree (pt) WITH (base = 'Infinity');
CREATE INDEX opt_pt ON opt USING covertree (pt) WITH (base = 'two');
CREATE INDEX opt_pt ON opt USING covertree (pt) WITH (base);

-- strategies
CREATE INDEX opt_pt ON opt USING covertree (pt) WITH (strategy = exact_metric);
SELECT strategy, ct_check('opt'), ct_same('opt', '''{0,0,0}''', 100) FROM covertree_stats('opt_pt');
DROP INDEX opt_pt;
CREATE INDEX opt_pt ON opt USING covertree (pt)
	WITH (strategy = spatial_proxy, base = 2);
SELECT base, strategy, ct_check('opt'), ct_same('opt', '''{0,0,0}''', 100) FROM covertree_stats('opt_pt');
DROP INDEX opt_pt;
CREATE INDEX opt_pt ON opt USING covertree (pt) WITH (strategy = approximate);

-- options that other access methods have
CREATE INDEX opt_pt ON opt USING covertree (pt) WITH (fillfactor = 70);
CREATE INDEX opt_pt ON opt USING covertree (pt) WITH (lists = 100);
SELECT state, message ~ 'operator class .*float8_euclidean_ops has no options' AS named FROM
	ct_error($$CREATE INDEX opt_pt ON opt USING covertree (pt float8_euclidean_ops (model = 'm'))$$);

-- An option set later takes effect when the index is rebuilt.
CREATE INDEX opt_pt ON opt USING covertree (pt) WITH (base = 1.5);
ALTER INDEX opt_pt SET (base = 4, strategy = spatial_proxy);
SELECT reloptions FROM pg_class WHERE relname = 'opt_pt';
SELECT base, strategy FROM covertree_stats('opt_pt');
INSERT INTO opt SELECT 2000 + id, pt FROM ct_cloud('gauss', 2000, 3, 1);
SELECT base, strategy FROM covertree_stats('opt_pt');
SELECT ct_check('opt'), ct_same('opt', '''{0,0,0}''');
REINDEX INDEX opt_pt;
SELECT base, strategy FROM covertree_stats('opt_pt');
SELECT ct_check('opt'), ct_same('opt', '''{0,0,0}''');
ALTER INDEX opt_pt RESET (base, strategy);
REINDEX INDEX opt_pt;
SELECT base, strategy FROM covertree_stats('opt_pt');
ALTER INDEX opt_pt SET (base = 0.5);
ALTER INDEX opt_pt SET (strategy = fastest);
ALTER INDEX opt_pt SET (dims = 3);

DROP TABLE opt;

-- settings
SHOW covertree.kernel_level;
SET covertree.kernel_level = neon;
SET covertree.no_such_setting = 1;
