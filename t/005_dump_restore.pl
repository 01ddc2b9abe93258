# Tables with indexes, models of residual correlation, and queries that refer to
# them go through pg_dump and come back.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use CovertreeTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('dump');
$node->init;
$node->start;
install_helpers($node);

$node->safe_psql('postgres', q{
CREATE TABLE dumped AS SELECT id, pt, pt::real[] AS pt4, point(pt[1], pt[2]) AS p
	FROM ct_cloud('gauss', 2000, 3);
INSERT INTO dumped SELECT i, NULL, NULL, NULL FROM generate_series(1, 20) AS i;
-- coordinates that only the shortest exact output brings back
INSERT INTO dumped VALUES (-1, '{5e-324,1e-310,1.7976931348623157e308}',
	'{1e-45,3.4028235e38,0.1}', '(5e-324,-0)');
CREATE INDEX dumped_pt ON dumped USING covertree (pt) WITH (base = 2, strategy = spatial_proxy);
CREATE INDEX dumped_pt4 ON dumped USING covertree (pt4 float4_euclidean_ops) WHERE id % 2 = 0;
CREATE INDEX dumped_p ON dumped USING covertree (p);
CREATE INDEX dumped_e ON dumped USING covertree ((ARRAY[id, p[0]])) WHERE p IS NOT NULL;
CREATE TABLE parted (id integer, pt real[]) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (1000);
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (1000) TO (2000);
CREATE INDEX parted_pt ON parted USING covertree (pt) WITH (base = 3);
INSERT INTO parted SELECT * FROM ct_cloud('clusters', 1999, 4);
});

$node->safe_psql('postgres', q{
CREATE ROLE modeller;
CREATE VIEW moderate AS SELECT id, pt FROM dumped WHERE id BETWEEN 1 AND 1000;
SELECT covertree_create_model('any', 'rbf', ARRAY[1 / 3::float8], NULL, variance => 1e-300);
SELECT covertree_create_model('gauss', 'matern52', '{0.7}',
	covertree_inducing_points('moderate', 'pt', 30), 1.1, 0.1);
SET ROLE modeller;
SELECT covertree_create_model('my model', 'matern32', '{0.1,0.2}',
	(SELECT array_agg(ARRAY[sin(i), -cos(i) / 3]) FROM generate_series(1, 50) AS i));
RESET ROLE;
CREATE TABLE queries AS SELECT i AS id, residual_query('my model', ARRAY[sin(i), exp(-i)]) AS q
	FROM generate_series(1, 100) AS i;
CREATE INDEX dumped_res ON dumped USING covertree (pt float8_residual_ops (model = 'gauss')) WHERE id BETWEEN 1 AND 1000;
});

my $definitions = q{SELECT string_agg(indexdef, E'\n' ORDER BY indexname) FROM pg_indexes
	WHERE schemaname = 'public'};
my $answers = q{
	SET enable_seqscan = off; SET enable_sort = off;
	SELECT md5(string_agg(id || ':' || encode(float8send(d), 'hex'), ',' ORDER BY rn))
	FROM (SELECT id, d, row_number() OVER () AS rn
		  FROM (SELECT id, pt <~> '{0.1,0.2,0.3}' AS d FROM dumped WHERE pt IS NOT NULL ORDER BY pt <~> '{0.1,0.2,0.3}') AS s) AS t};
my $models = q{
	SELECT name, owner, kernel, m, dims, fingerprint,
		md5(array_send(lengthscale) || array_send(ARRAY[variance, nugget, jitter]) || array_send(inducing) || array_send(factor))
	FROM covertree_model ORDER BY name};
my $distances = q{
	SELECT md5(string_agg(concat(residual_query_send(q), float8send(d)), ',' ORDER BY id, part))
	FROM (SELECT 1 AS part, id, q, m.pt[1:2] <~> q AS d FROM queries JOIN moderate AS m USING (id)
		  UNION ALL SELECT 2, id, NULL, pt <~> residual_query('gauss', '{1,2,3}') FROM moderate
		  UNION ALL SELECT 3, id, NULL, pt <~> residual_query('any', '{1,2,3}') FROM moderate) AS s};
my $models_before = $node->safe_psql('postgres', $models);
my $distances_before = $node->safe_psql('postgres', $distances);
my $before = $node->safe_psql('postgres', $definitions);
my $digest = $node->safe_psql('postgres', $answers);

foreach my $format ('plain', 'custom')
{
	my $file = $node->basedir . "/dump.$format";
	my $db = "restored_$format";

	$node->safe_psql('postgres', "CREATE DATABASE $db");
	$node->command_ok([ 'pg_dump', "--format=$format", '-f', $file, $node->connstr('postgres') ],
		"$format: dumped");
	$node->command_ok(
		$format eq 'plain'
		? [ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $file, '-d', $node->connstr($db) ]
		: [ 'pg_restore', '--exit-on-error', '-d', $node->connstr($db), $file ],
		"$format: restored");
	is($node->safe_psql($db, $definitions), $before, "$format: same definitions");
	is($node->safe_psql($db, $answers), $digest, "$format: same answers");
	is($node->safe_psql($db, $models), $models_before, "$format: same models");
	is($node->safe_psql($db, $distances), $distances_before, "$format: same residual correlations");
	$node->safe_psql($db, q{SET ROLE modeller; SELECT covertree_drop_model('my model')});
	my ($stdout, $stderr);
	$node->psql($db, $distances, stdout => \$stdout, stderr => \$stderr);
	like($stderr, qr/model with fingerprint [0-9a-f]{32} does not exist/,
		"$format: the query misses a dropped model");
	$node->psql($db, q{SELECT covertree_drop_model('gauss')}, stdout => \$stdout, stderr => \$stderr);
	like($stderr, qr/index public\.dumped_res/, "$format: an index keeps its model");
	foreach my $table ('dumped', 'parted_1', 'parted_2')
	{
		whole_ok($node, $table, "$format, $table", $db);
	}
	exact_ok($node, 'dumped', [ '{0,0,0}', '{1,2,3}' ], "$format, dumped", $db);
	exact_ok($node, $_, [ '{0,0,0,0}', '{50,50,50,50}' ], "$format, $_", $db)
	  foreach ('parted_1', 'parted_2');
	is( $node->safe_psql($db, q{SELECT base, strategy FROM covertree_stats('dumped_pt')}),
		'2|spatial_proxy', "$format: options are back");
}

done_testing();
