# Tables with indexes go through pg_dump and come back.

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

my $definitions = q{SELECT string_agg(indexdef, E'\n' ORDER BY indexname) FROM pg_indexes
	WHERE schemaname = 'public'};
my $answers = q{
	SET enable_seqscan = off; SET enable_sort = off;
	SELECT md5(string_agg(id || ':' || encode(float8send(d), 'hex'), ',' ORDER BY rn))
	FROM (SELECT id, d, row_number() OVER () AS rn
		  FROM (SELECT id, pt <~> '{0.1,0.2,0.3}' AS d FROM dumped WHERE pt IS NOT NULL ORDER BY pt <~> '{0.1,0.2,0.3}') AS s) AS t};
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
