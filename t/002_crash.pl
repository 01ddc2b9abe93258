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

# a Euclidean index, and a residual one with vectors in groups of pages
my %queries = (
	crash => \@points,
	crash_res => [ residual_queries('model', @points) ]);

$node->safe_psql('postgres', q{
CREATE TABLE crash AS SELECT * FROM ct_cloud('gauss', 40000, 3);
CREATE INDEX crash_pt ON crash USING covertree (pt);
CREATE UNLOGGED TABLE crash_unlogged AS SELECT * FROM ct_cloud('gauss', 1000, 3);
CREATE INDEX crash_unlogged_pt ON crash_unlogged USING covertree (pt);
SELECT covertree_create_model('model', 'matern32', '{0.6}',
	(SELECT array_agg(pt) FROM ct_cloud('gauss', 350, 3, 5)));
CREATE TABLE crash_res AS SELECT * FROM ct_cloud('gauss', 3000, 3);
CREATE INDEX crash_res_pt ON crash_res USING covertree (pt float8_residual_ops (model = model));
CREATE INDEX crash_unlogged_res ON crash_unlogged USING covertree (pt float8_residual_ops (model = model));
-- commits every few rows
CREATE PROCEDURE load_rows(tab text, first integer) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN first .. first + 1000000 LOOP
		EXECUTE format('INSERT INTO %I VALUES ($1, $2)', tab) USING i, ct_point('gauss', 9, i, 3);
		IF i % 7 = 0 THEN
			COMMIT;
		END IF;
	END LOOP;
END $$;
});

# A build that does not end leaves the old index as it was.
foreach ([ 'crash', 0 ], [ 'crash', 50_000 ], [ 'crash', 150_000 ],
	[ 'crash_res', 0 ], [ 'crash_res', 200_000 ], [ 'crash_res', 500_000 ])
{
	my ($table, $delay) = @$_;
	my $session = background_sql($node, 'build',
		[ ("REINDEX INDEX ${table}_pt") x 1000 ]);

	$node->poll_query_until('postgres', q{
		SELECT count(*) > 0 FROM pg_stat_progress_create_index});
	usleep($delay);
	ok(crash_backend($node, 'build', "state = 'active'"),
		"killed a build of $table after $delay microseconds");
	$session->finish;
	whole_ok($node, $table, "$table, build");
	exact_ok($node, $table, $queries{$table}, "$table, build");
}

# Nor does one whose table is read by several processes, whichever is killed.
# The second one takes so long that its workers are there to be killed.
$node->safe_psql('postgres', q{
ALTER TABLE crash SET (parallel_workers = 2);
CREATE FUNCTION slow(pt double precision[]) RETURNS double precision[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
	PERFORM pg_sleep(0.01);
	RETURN pt;
END $$;
});
foreach ([ 'leader', 'leader_pid IS NULL', ('REINDEX INDEX crash_pt') x 1000 ],
	[ 'worker', 'leader_pid IS NOT NULL', 'CREATE INDEX ON crash USING covertree (slow(pt))' ])
{
	my ($who, $condition, @sql) = @$_;
	my $session = background_sql($node, 'build', [ 'SET max_parallel_maintenance_workers = 2', @sql ]);

	# a worker there is, and so temporary files are
	$node->poll_query_until('postgres', q{
		SELECT count(*) > 0 FROM pg_stat_activity
		WHERE application_name = 'build' AND leader_pid IS NOT NULL});
	ok(crash_backend($node, 'build', $condition), "killed the $who of a parallel build");
	$session->finish;
	whole_ok($node, 'crash', "$who of a parallel build");
	exact_ok($node, 'crash', $queries{crash}, "$who of a parallel build");
}
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_ls_dir('base/pgsql_tmp', true, false)}),
	'0', 'no temporary files are left');

# Nor does one that is cancelled, whatever it was doing.
foreach my $delay (0, 20_000, 50_000, 100_000, 200_000)
{
	my $session = background_sql($node, 'build', [ q{
		DO $$ BEGIN FOR i IN 1 .. 10000 LOOP REINDEX INDEX crash_pt; END LOOP; END $$} ]);

	$node->poll_query_until('postgres', q{
		SELECT count(*) > 0 FROM pg_stat_progress_create_index});
	usleep($delay);
	is($node->safe_psql('postgres', q{
			SELECT pg_cancel_backend(pid) FROM pg_stat_activity
			WHERE application_name = 'build' AND leader_pid IS NULL}),
		't', "cancelled a parallel build after $delay microseconds");
	$session->finish;
}
whole_ok($node, 'crash', 'cancelled builds');
exact_ok($node, 'crash', $queries{crash}, 'cancelled builds');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_ls_dir('base/pgsql_tmp', true, false)}),
	'0', 'no temporary files of theirs are left');
# Pages that a build writes straight to the file are all in the log, whoever logs
# them: after a crash that leaves nothing of the file it is made again.  What
# was built before a checkpoint, and is changed after it, is whole as well.  (So
# far nothing was logged of a new file: that is what the server was told.)
is($node->safe_psql('postgres', 'SHOW wal_level'), 'minimal', 'files were not logged');
$node->append_conf('postgresql.conf', 'wal_level = replica');
$node->restart;
foreach my $workers (0, 2)
{
	my $how = "built by $workers workers";
	my @files = split /\n/, $node->safe_psql('postgres', qq{
		CHECKPOINT;
		ALTER TABLE crash_res SET (parallel_workers = $workers);
		SET max_parallel_maintenance_workers = $workers;
		REINDEX INDEX crash_pt;
		REINDEX INDEX crash_res_pt;
		SELECT pg_relation_filepath(i) FROM unnest('{crash_pt,crash_res_pt}'::regclass[]) AS i});

	is(scalar(@files), 2, "$how: files");
	$node->stop('immediate');
	truncate($node->data_dir . "/$_", 0) or die "could not truncate $_: $!" foreach @files;
	$node->start;
	foreach my $table (sort keys %queries)
	{
		whole_ok($node, $table, "$table, from the log, $how");
		exact_ok($node, $table, $queries{$table}, "$table, from the log, $how");
	}
	$node->safe_psql('postgres', qq{
		REINDEX INDEX crash_pt;
		REINDEX INDEX crash_res_pt;
		CHECKPOINT;
		INSERT INTO crash SELECT -id, pt FROM ct_cloud('gauss', 200, 3, 7);
		INSERT INTO crash_res SELECT -id, pt FROM ct_cloud('gauss', 200, 3, 7)});
	$node->stop('immediate');
	$node->start;
	foreach my $table (sort keys %queries)
	{
		whole_ok($node, $table, "$table, changed after a checkpoint, $how");
		exact_ok($node, $table, $queries{$table}, "$table, changed after a checkpoint, $how");
	}
}
$node->safe_psql('postgres', 'ALTER TABLE crash_res RESET (parallel_workers)');
$node->safe_psql('postgres', 'ALTER TABLE crash RESET (parallel_workers)');

# Rows that were committed are there, and the tree is whole, wherever the
# crash fell between the records of one insertion.
my $first = 100000;
foreach ([ 'crash', 500 ], [ 'crash', 3000 ], [ 'crash', 9000 ],
	[ 'crash_res', 100 ], [ 'crash_res', 1000 ])
{
	my ($table, $rows) = @$_;
	my $session = background_sql($node, 'load', ["CALL load_rows('$table', $first)"]);

	$node->poll_query_until('postgres',
		"SELECT count(*) >= $rows FROM $table WHERE id >= $first");
	$node->safe_psql('postgres', 'CHECKPOINT') if $rows == 3000;
	ok(crash_backend($node, 'load', 'true'), "killed an insertion into $table after $rows rows");
	$session->finish;
	is( $node->safe_psql('postgres',
			"SELECT count(*) >= $rows AND count(*) % 7 IN (0, (7 - $first % 7 + 1) % 7)
				FROM $table WHERE id >= $first"),
		't', "$table: committed rows are there");
	whole_ok($node, $table, "$table, insert $rows");
	exact_ok($node, $table, $queries{$table}, "$table, insert $rows");
	$first += 1000000;
}

# Unlogged indexes are empty after a crash, and usable.
whole_ok($node, 'crash_unlogged', 'unlogged');
is($node->safe_psql('postgres', 'SELECT count(*) FROM crash_unlogged'),
	'0', 'unlogged table was reset');
$node->safe_psql('postgres',
	q{INSERT INTO crash_unlogged SELECT * FROM ct_cloud('gauss', 1000, 3)});
whole_ok($node, 'crash_unlogged', 'unlogged');
exact_ok($node, 'crash_unlogged', $_, 'unlogged') foreach values %queries;

# Vacuum, slowed down so that it is caught at different places.
my $round = 0;
foreach ([ 'crash', 0 ], [ 'crash', 50_000 ], [ 'crash', 200_000 ], [ 'crash', 600_000 ],
	[ 'crash_res', 0 ], [ 'crash_res', 100_000 ], [ 'crash_res', 300_000 ])
{
	my ($table, $delay) = @$_;

	$round++;
	$node->safe_psql('postgres', "DELETE FROM $table WHERE id % 7 = $round OR pt[1] > 1.6 - $round % 5 * 0.2");
	my $session = background_sql($node, 'vacuum',
		[ 'SET vacuum_cost_delay = 1', 'SET vacuum_cost_limit = 100',
		  'SET vacuum_cost_page_hit = 5', "VACUUM (INDEX_CLEANUP ON) $table", 'SELECT pg_sleep(30)' ]);

	$node->poll_query_until('postgres', q{
		SELECT count(*) > 0 FROM pg_stat_activity
		WHERE application_name = 'vacuum' AND query ~ 'sleep'
		UNION ALL
		SELECT true FROM pg_stat_progress_vacuum WHERE phase = 'vacuuming indexes'
		ORDER BY 1 DESC LIMIT 1});
	usleep($delay);
	ok(crash_backend($node, 'vacuum', 'true'), "killed a vacuum of $table after $delay microseconds");
	$session->finish;
	whole_ok($node, $table, "$table, vacuum $delay");
	exact_ok($node, $table, $queries{$table}, "$table, vacuum $delay");
	$node->safe_psql('postgres', "INSERT INTO $table SELECT id, pt FROM ct_cloud('gauss', " . ($table eq 'crash' ? 2000 : 300) . ", 3, $round + 20)");
	whole_ok($node, $table, "$table, insert after vacuum $delay");
	exact_ok($node, $table, $queries{$table}, "$table, insert after vacuum $delay");
}

# The whole server at once, with inserts and vacuum under way.
my @sessions = map { background_sql($node, 'load', ["CALL load_rows('$_', $first)"]) } sort keys %queries;
push @sessions, background_sql($node, 'vacuum',
	[ ('VACUUM (INDEX_CLEANUP ON) crash, crash_res') x 1000 ]);
$node->poll_query_until('postgres',
	"SELECT (SELECT count(*) FROM crash WHERE id >= $first) > 1500
		AND (SELECT count(*) FROM crash_res WHERE id >= $first) > 300");
$node->stop('immediate');
$_->finish foreach @sessions;
$node->start;
foreach my $table (sort keys %queries)
{
	whole_ok($node, $table, "$table, immediate stop");
	exact_ok($node, $table, $queries{$table}, "$table, immediate stop");
	# After a vacuum that ends, still.
	$node->safe_psql('postgres', "VACUUM (INDEX_CLEANUP ON) $table");
	whole_ok($node, $table, "$table, last vacuum");
	exact_ok($node, $table, $queries{$table}, "$table, last vacuum");
}

# nor did a session of the load meet with anything
unlike(slurp_file($node->logfile), qr/corrupted page/, 'no damage seen');

done_testing();
