# Replay on a standby, page for page and answer for answer.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use CovertreeTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
# each replayed page is compared with the primary's image of it
$primary->append_conf('postgresql.conf', qq{
wal_consistency_checking = 'all'
autovacuum = off
max_wal_size = 4GB
});
$primary->start;
$primary->backup('backup');

my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;

install_helpers($primary);

my @small = ('{0,0,0}', '{0.1,0.2,0.3}', '{5,5,5}');
my @paged = residual_queries('paged', @small);
my @grouped = residual_queries('grouped', @small);
my @wide = map { '{' . join(',', ($_) x 300) . '}' } (0, 0.5);

# Both nodes find the index whole and give exact answers.
sub both_ok
{
	my ($name) = @_;

	$primary->wait_for_catchup($standby);
	foreach my $node ($primary, $standby)
	{
		my $where = "$name, " . $node->name;

		foreach my $table ('built', 'inserted')
		{
			whole_ok($node, $table, "$where, $table");
			exact_ok($node, $table, \@small, "$where, $table");
		}
		whole_ok($node, 'wide', "$where, wide");
		exact_ok($node, 'wide', \@wide, "$where, wide");
		whole_ok($node, $_, "$where, $_") foreach ('paged', 'grouped');
		exact_ok($node, 'paged', \@paged, "$where, paged");
		exact_ok($node, 'grouped', \@grouped, "$where, grouped");
	}
	return;
}

$primary->safe_psql('postgres', q{
CREATE TABLE built AS SELECT * FROM ct_cloud('gauss', 5000, 3);
INSERT INTO built SELECT i, NULL FROM generate_series(1, 100) AS i;
CREATE INDEX built_pt ON built USING covertree (pt);
CREATE TABLE inserted (id integer, pt real[]);
CREATE INDEX inserted_pt ON inserted USING covertree (pt) WITH (base = 2);
INSERT INTO inserted SELECT * FROM ct_cloud('lattice', 3000, 3);
INSERT INTO inserted SELECT 3000 + id, pt FROM ct_cloud('clusters', 3000, 3);
CREATE TABLE wide (id integer, pt real[]);
CREATE INDEX wide_pt ON wide USING covertree (pt);
INSERT INTO wide SELECT * FROM ct_cloud('gauss', 200, 300);
});

# Residual indexes, whose vectors stand several on a page, or in groups of pages.
$primary->safe_psql('postgres', q{
SELECT covertree_create_model('paged', 'matern52', '{0.7}',
	(SELECT array_agg(pt) FROM ct_cloud('gauss', 40, 3, 5)));
SELECT covertree_create_model('grouped', 'rbf', '{0.5}',
	(SELECT array_agg(pt) FROM ct_cloud('gauss', 520, 3, 5)));
CREATE TABLE paged AS SELECT * FROM ct_cloud('gauss', 1500, 3);
CREATE INDEX paged_pt ON paged USING covertree (pt float8_residual_ops (model = paged)) WITH (strategy = spatial_proxy);
CREATE TABLE grouped (id integer, pt real[]);
CREATE INDEX grouped_pt ON grouped USING covertree (pt float4_residual_ops (model = grouped));
INSERT INTO grouped SELECT * FROM ct_cloud('gauss', 400, 3);
});
both_ok('built');

$primary->safe_psql('postgres', q{
INSERT INTO built SELECT 5000 + id, pt FROM ct_cloud('clusters', 5000, 3, 1);
INSERT INTO built SELECT i, NULL FROM generate_series(1, 2000) AS i;
INSERT INTO inserted SELECT 6000 + i, '{1,2,3}' FROM generate_series(1, 3000) AS i;
INSERT INTO wide SELECT 200 + id, pt FROM ct_cloud('uniform', 200, 300, 1);
INSERT INTO paged SELECT 1500 + id, pt FROM ct_cloud('uniform', 1000, 3, 1);
INSERT INTO grouped SELECT 400 + id, pt FROM ct_cloud('uniform', 200, 3, 1);
});
both_ok('inserted');

$primary->safe_psql('postgres', q{
DELETE FROM built WHERE id % 3 = 0 OR pt[1] > 0.5;
DELETE FROM inserted WHERE id % 2 = 0;
DELETE FROM wide WHERE id % 3 > 0;
DELETE FROM paged WHERE id % 3 = 0 OR pt[1] > 0.5;
DELETE FROM grouped WHERE id % 3 > 0;
});
both_ok('deleted');

$primary->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP ON) built, inserted, wide, paged, grouped');
both_ok('vacuumed');

$primary->safe_psql('postgres', q{
INSERT INTO built SELECT 10000 + id, pt FROM ct_cloud('gauss', 5000, 3, 2);
INSERT INTO inserted SELECT 10000 + id, pt FROM ct_cloud('line', 3000, 3, 2);
INSERT INTO wide SELECT 400 + id, pt FROM ct_cloud('gauss', 300, 300, 2);
INSERT INTO paged SELECT 10000 + id, pt FROM ct_cloud('gauss', 1000, 3, 2);
INSERT INTO grouped SELECT 10000 + id, pt FROM ct_cloud('gauss', 300, 3, 2);
DELETE FROM inserted WHERE pt = '{1,2,3}';
});
$primary->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP ON) built, inserted, wide, paged, grouped');
both_ok('refilled');

$primary->safe_psql('postgres', 'REINDEX INDEX built_pt');
$primary->safe_psql('postgres', 'REINDEX INDEX CONCURRENTLY inserted_pt');
$primary->safe_psql('postgres', 'TRUNCATE wide, paged');
$primary->safe_psql('postgres', 'REINDEX INDEX grouped_pt');
$primary->safe_psql('postgres',
	q{INSERT INTO wide SELECT * FROM ct_cloud('gauss', 50, 300);
	  INSERT INTO paged SELECT * FROM ct_cloud('gauss', 500, 3)});
both_ok('rebuilt');

# A worker logs most pages, while others are written.
$primary->safe_psql('postgres', q{
INSERT INTO built SELECT 30000 + id, pt FROM ct_cloud('uniform', 30000, 3, 5);
ALTER TABLE built SET (parallel_workers = 2);
SET max_parallel_maintenance_workers = 2;
REINDEX INDEX built_pt;
});
both_ok('rebuilt by workers');

# The standby takes over where the primary stopped.
$standby->promote;
$standby->safe_psql('postgres', q{
INSERT INTO built SELECT 20000 + id, pt FROM ct_cloud('uniform', 1000, 3, 4);
DELETE FROM inserted WHERE id % 5 = 0;
INSERT INTO paged SELECT 20000 + id, pt FROM ct_cloud('uniform', 500, 3, 4);
DELETE FROM grouped WHERE id % 5 = 0;
});
$standby->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP ON) built, inserted, paged, grouped');
whole_ok($standby, $_, "promoted, $_") foreach ('built', 'inserted');
exact_ok($standby, $_, \@small, "promoted, $_") foreach ('built', 'inserted');
whole_ok($standby, $_, "promoted, $_") foreach ('paged', 'grouped');
exact_ok($standby, 'paged', \@paged, 'promoted, paged');
exact_ok($standby, 'grouped', \@grouped, 'promoted, grouped');

done_testing();
