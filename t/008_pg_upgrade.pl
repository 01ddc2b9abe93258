# A cluster with indexes and models goes through pg_upgrade, which restores the
# schema while tables are still empty, models' among them, and then moves the
# files over.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use CovertreeTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $old = PostgreSQL::Test::Cluster->new('old');
$old->init;
$old->start;
install_helpers($old);

$old->safe_psql('postgres', q{
CREATE TABLE moved AS SELECT id, pt, pt::real[] AS pt4, point(pt[1], pt[2]) AS p
	FROM ct_cloud('gauss', 2000, 3);
INSERT INTO moved SELECT -i FROM generate_series(1, 20) AS i;
CREATE INDEX moved_pt ON moved USING covertree (pt) WITH (base = 2, strategy = spatial_proxy);
CREATE INDEX moved_pt4 ON moved USING covertree (pt4) WHERE id % 2 = 0;
CREATE INDEX moved_p ON moved USING covertree (p);
CREATE TABLE wide (id integer, pt real[]);
CREATE INDEX wide_pt ON wide USING covertree (pt);
INSERT INTO wide SELECT * FROM ct_cloud('gauss', 300, 100);
CREATE TABLE nothing (id integer, pt double precision[]);
CREATE INDEX nothing_pt ON nothing USING covertree (pt);
CREATE UNLOGGED TABLE fleeting AS SELECT id, pt FROM ct_cloud('gauss', 300, 3);
CREATE INDEX fleeting_pt ON fleeting USING covertree (pt);
CREATE TABLE parted (id integer, pt real[]) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (1000);
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (1000) TO (2000);
CREATE INDEX parted_pt ON parted USING covertree (pt) WITH (base = 3);
INSERT INTO parted SELECT * FROM ct_cloud('clusters', 1999, 4);

SELECT covertree_create_model('gauss', 'matern52', '{0.7}',
	(SELECT array_agg(pt) FROM ct_cloud('gauss', 30, 3, 5)), 1.1, 0.1);
SELECT covertree_create_model('my model', 'rbf', '{0.5,0.5,2}', NULL);
CREATE TABLE residual AS SELECT id, pt, pt::real[] AS pt4 FROM ct_cloud('gauss', 1000, 3);
CREATE INDEX residual_pt ON residual USING covertree (pt float8_residual_ops (model = gauss));
CREATE INDEX residual_pt4 ON residual USING covertree (pt4 float4_residual_ops (model = 'my model'))
	WITH (strategy = spatial_proxy);
CREATE UNLOGGED TABLE fleeting_residual AS SELECT id, pt FROM ct_cloud('gauss', 200, 3);
CREATE INDEX fleeting_residual_pt ON fleeting_residual USING covertree (pt float8_residual_ops (model = gauss));
CREATE TABLE residual_parted (id integer, pt double precision[]) PARTITION BY RANGE (id);
CREATE TABLE residual_parted_1 PARTITION OF residual_parted FOR VALUES FROM (0) TO (1000);
CREATE INDEX residual_parted_pt ON residual_parted USING covertree (pt float8_residual_ops (model = gauss));
INSERT INTO residual_parted SELECT * FROM ct_cloud('gauss', 500, 3);
CREATE TABLE queries AS SELECT id, residual_query('gauss', pt) AS q FROM ct_cloud('gauss', 50, 3, 8);
CREATE MATERIALIZED VIEW near AS
	SELECT q.id, n.id AS n, n.d FROM queries AS q, LATERAL
		(SELECT id, pt <~> q.q AS d FROM residual ORDER BY pt <~> q.q LIMIT 3) AS n;
CREATE VIEW nearest AS SELECT id, pt <~> 'gauss {0,0,0}'::residual_query AS d FROM residual ORDER BY pt <~> 'gauss {0,0,0}'::residual_query LIMIT 5;
CREATE INDEX near_pt ON near USING covertree ((ARRAY[id, n, d]));
});

my %queries = (
	moved => ['{0,0,0}', '{0.5,-0.5,1}'],
	wide => [ '{' . join(',', (0.3) x 100) . '}' ],
	fleeting => ['{0,0,0}'],
	parted_1 => ['{0,0,0,0}'],
	parted_2 => ['{0,0,0,0}'],
	residual => [ residual_queries('gauss', '{0,0,0}', '{0.5,-0.5,1}') ],
	fleeting_residual => [ residual_queries('gauss', '{0,0,0}') ],
	residual_parted_1 => [ residual_queries('gauss', '{0,0,0}') ]);
my @facts = (
	q{SELECT string_agg(m::text, E'\n' ORDER BY name) FROM covertree_model AS m},
	q{SELECT string_agg(indexdef, E'\n' ORDER BY indexname) FROM pg_indexes WHERE schemaname = 'public'},
	q{SELECT string_agg(c.relname || covertree_stats(c.oid), E'\n' ORDER BY c.relname)
	  FROM pg_class AS c JOIN pg_am AS a ON a.oid = c.relam
	  WHERE a.amname = 'covertree' AND c.relkind = 'i'},
	q{SELECT string_agg(q::text, ',' ORDER BY id) FROM queries},
	q{SELECT string_agg(covertree_residual_variance('gauss', pt)::text, ',' ORDER BY id) FROM residual},
	q{SELECT string_agg(nearest::text, ',' ORDER BY d) FROM nearest},
	q{SELECT string_agg(near::text, ',' ORDER BY id, n) FROM near},
	q{SELECT string_agg((pt4 <~> residual_query('my model', '{1,2,3}'))::text, ',' ORDER BY id) FROM residual});

my @before = map { $old->safe_psql('postgres', $_) } @facts;
$old->stop;

my $new = PostgreSQL::Test::Cluster->new('new');
$new->init;
$new->append_conf('postgresql.conf', "autovacuum = off\n");
my $bindir = $new->config_data('--bindir');

my $folder = PostgreSQL::Test::Utils::tempdir;
chdir $folder or die "chdir $folder: $!";
command_ok(
	[
		'pg_upgrade', '--no-sync', '-d', $old->data_dir, '-D', $new->data_dir,
		'-b', $bindir, '-B', $bindir, '-s', $new->host,
		'-p', $old->port, '-P', $new->port
	],
	'pg_upgrade');
foreach my $log (glob($new->data_dir . '/pg_upgrade_output.d/*/log/*.log'))
{
	my $text = slurp_file($log);
	note("$log:\n$text") if $text =~ /ERROR|FATAL|error:/;
}
chdir $FindBin::RealBin;
$new->start;

foreach my $i (0 .. $#facts)
{
	is($new->safe_psql('postgres', $facts[$i]), $before[$i], "as before: $facts[$i]");
}
# What a crash leaves of unlogged indexes was made by pg_upgrade, before there were
# models, or by REINDEX.
sub after_crash_ok
{
	my ($name) = @_;

	$new->stop('immediate');
	$new->start;
	is($new->safe_psql('postgres', 'SELECT count(*) FROM fleeting_residual'), '0', "$name: unlogged rows are gone");
	foreach my $table ('fleeting', 'fleeting_residual')
	{
		whole_ok($new, $table, "$name, $table, empty");
		$new->safe_psql('postgres', qq{
			INSERT INTO $table SELECT id, pt FROM ct_cloud('gauss', 300, 3, 9);
			DELETE FROM $table WHERE id % 5 = 0;
			VACUUM (INDEX_CLEANUP ON) $table;});
		whole_ok($new, $table, "$name, $table");
	}
	exact_ok($new, 'fleeting', ['{0,0,0}'], "$name, fleeting");
	exact_ok($new, 'fleeting_residual', $queries{fleeting_residual}, "$name, fleeting_residual");
	return;
}

foreach my $round ('upgraded', 'written to', 'rebuilt')
{
	foreach my $table (sort keys %queries)
	{
		whole_ok($new, $table, "$round, $table");
		exact_ok($new, $table, $queries{$table}, "$round, $table");
	}
	whole_ok($new, 'near', "$round, near");
	if ($round eq 'upgraded')
	{
		$new->safe_psql('postgres', q{
			INSERT INTO moved SELECT id, pt, pt::real[], point(pt[1], pt[2]) FROM ct_cloud('gauss', 500, 3, 7);
			INSERT INTO wide SELECT * FROM ct_cloud('gauss', 100, 100, 7);
			INSERT INTO fleeting SELECT * FROM ct_cloud('gauss', 100, 3, 7);
			INSERT INTO parted SELECT * FROM ct_cloud('clusters', 1999, 4, 7);
			INSERT INTO residual SELECT id, pt, pt::real[] FROM ct_cloud('gauss', 500, 3, 7);
			INSERT INTO fleeting_residual SELECT id, pt FROM ct_cloud('gauss', 100, 3, 7);
			INSERT INTO residual_parted SELECT id, pt FROM ct_cloud('gauss', 100, 3, 7);
			DELETE FROM residual WHERE id % 3 = 0;
			INSERT INTO nothing VALUES (1, '{1,2}');
			REFRESH MATERIALIZED VIEW near;
		});
		$new->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP ON)');
	}
	if ($round eq 'written to')
	{
		after_crash_ok('crashed');
		$new->safe_psql('postgres', 'REINDEX DATABASE postgres');
	}
}
is($new->safe_psql('postgres', q{SELECT dims FROM covertree_stats('nothing_pt')}), '2', 'an empty index works');

after_crash_ok('rebuilt and crashed');

# the upgraded database can be dumped
$new->safe_psql('postgres', 'CREATE DATABASE again');
command_ok(
	[ 'sh', '-c', "pg_dump -d '" . $new->connstr('postgres') . "' | psql -Xq -v ON_ERROR_STOP=1 -d '" . $new->connstr('again') . "'" ],
	'dump and restore');
is($new->safe_psql('again', $facts[$_]), $new->safe_psql('postgres', $facts[$_]), "restored: $facts[$_]")
  foreach 0, 1, 3 .. $#facts;
whole_ok($new, 'residual', 'restored, residual', 'again');
exact_ok($new, 'residual', $queries{residual}, 'restored, residual', 'again');

# models are as before: others can be added, and those with indexes stay
$new->safe_psql('postgres', q{SELECT covertree_create_model('another', 'rbf', '{1}', NULL)});
my ($stdout, $stderr);
$new->psql('postgres', q{SELECT covertree_drop_model('gauss')}, stdout => \$stdout, stderr => \$stderr);
like($stderr, qr/depend|index/, 'a model with indexes is kept');

done_testing();
