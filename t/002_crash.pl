# Recovery from crashes in the middle of a build, of inserts and of vacuum.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use CovertreeTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $node = PostgreSQL::Test::Cluster->new('crash');
$node->init;
$node->append_conf('postgresql.conf', q{
restart_after_crash = on
autovacuum = off
max_wal_size = 4GB
});
$node->start;
install_helpers($node);

my @points = ('{0,0,0}', '{0.5,-0.5,0.1}', '{0.1,0.2,0.3}');

$node->safe_psql('postgres', q{
CREATE TABLE crash AS SELECT * FROM ct_cloud('gauss', 40000, 3);
CREATE INDEX crash_pt ON crash USING covertree (pt);
CREATE UNLOGGED TABLE crash_unlogged AS SELECT * FROM ct_cloud('gauss', 1000, 3);
CREATE INDEX crash_unlogged_pt ON crash_unlogged USING covertree (pt);
-- commits every few rows
CREATE PROCEDURE load_rows(first integer) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN first .. first + 1000000 LOOP
		INSERT INTO crash VALUES (i, ct_point('gauss', 9, i, 3));
		IF i % 7 = 0 THEN
			COMMIT;
		END IF;
	END LOOP;
END $$;
});

# A build that does not end leaves the old index as it was.
foreach my $delay (0, 50_000, 150_000)
{
	my $session = background_sql($node, 'build',
		[ ('REINDEX INDEX crash_pt') x 100 ]);

	$node->poll_query_until('postgres', q{
		SELECT count(*) > 0 FROM pg_stat_progress_create_index});
	usleep($delay);
	ok(crash_backend($node, 'build', "state = 'active'"),
		"killed a build after $delay microseconds");
	$session->finish;
	whole_ok($node, 'crash', 'build');
	exact_ok($node, 'crash', \@points, 'build');
}

# Rows that were committed are there, and the tree is whole, wherever the
# crash fell between the records of one insertion.
my $first = 100000;
foreach my $rows (500, 3000, 9000)
{
	my $session = background_sql($node, 'load', ["CALL load_rows($first)"]);

	$node->poll_query_until('postgres',
		"SELECT count(*) >= $rows FROM crash WHERE id >= $first");
	$node->safe_psql('postgres', 'CHECKPOINT') if $rows == 3000;
	ok(crash_backend($node, 'load', 'true'), "killed an insertion after $rows rows");
	$session->finish;
	is( $node->safe_psql('postgres',
			"SELECT count(*) >= $rows AND count(*) % 7 IN (0, (7 - $first % 7 + 1) % 7)
				FROM crash WHERE id >= $first"),
		't', 'committed rows are there');
	whole_ok($node, 'crash', "insert $rows");
	exact_ok($node, 'crash', \@points, "insert $rows");
	$first += 1000000;
}

# Unlogged indexes are empty after a crash, and usable.
whole_ok($node, 'crash_unlogged', 'unlogged');
is($node->safe_psql('postgres', 'SELECT count(*) FROM crash_unlogged'),
	'0', 'unlogged table was reset');
$node->safe_psql('postgres',
	q{INSERT INTO crash_unlogged SELECT * FROM ct_cloud('gauss', 1000, 3)});
exact_ok($node, 'crash_unlogged', \@points, 'unlogged');

# Vacuum, slowed down so that it is caught at different places.
my $round = 0;
foreach my $delay (0, 50_000, 200_000, 600_000)
{
	$round++;
	$node->safe_psql('postgres', "DELETE FROM crash WHERE id % 7 = $round OR pt[1] > 1.6 - $round * 0.2");
	my $session = background_sql($node, 'vacuum',
		[ 'SET vacuum_cost_delay = 1', 'SET vacuum_cost_limit = 100',
		  'SET vacuum_cost_page_hit = 5', 'VACUUM (INDEX_CLEANUP ON) crash', 'SELECT pg_sleep(30)' ]);

	$node->poll_query_until('postgres', q{
		SELECT count(*) > 0 FROM pg_stat_activity
		WHERE application_name = 'vacuum' AND query ~ 'sleep'
		UNION ALL
		SELECT true FROM pg_stat_progress_vacuum WHERE phase = 'vacuuming indexes'
		ORDER BY 1 DESC LIMIT 1});
	usleep($delay);
	ok(crash_backend($node, 'vacuum', 'true'), "killed a vacuum after $delay microseconds");
	$session->finish;
	whole_ok($node, 'crash', "vacuum $delay");
	exact_ok($node, 'crash', \@points, "vacuum $delay");
	$node->safe_psql('postgres', "INSERT INTO crash SELECT id, pt FROM ct_cloud('gauss', 2000, 3, $round + 20)");
	whole_ok($node, 'crash', "insert after vacuum $delay");
	exact_ok($node, 'crash', \@points, "insert after vacuum $delay");
}

# The whole server at once, with inserts and vacuum under way.
my $load = background_sql($node, 'load', ["CALL load_rows($first)"]);
my $vacuum = background_sql($node, 'vacuum', [ ('VACUUM (INDEX_CLEANUP ON) crash') x 1000 ]);
$node->poll_query_until('postgres', "SELECT count(*) > 2000 FROM crash WHERE id >= $first");
$node->stop('immediate');
$load->finish;
$vacuum->finish;
$node->start;
whole_ok($node, 'crash', 'immediate stop');
exact_ok($node, 'crash', \@points, 'immediate stop');

# After a vacuum that ends, still.
$node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP ON) crash');
whole_ok($node, 'crash', 'last vacuum');
exact_ok($node, 'crash', \@points, 'last vacuum');

done_testing();
