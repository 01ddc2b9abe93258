# Threads of a bulk search see no signal: the server's handlers are for the
# session's own thread.  They are gone when the search is.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use CovertreeTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'needs /proc' unless -r "/proc/$$/task/$$/status";
chomp(my $cores = `getconf _NPROCESSORS_ONLN`);
plan skip_all => 'one core has one thread' unless $cores > 1;

my $node = PostgreSQL::Test::Cluster->new('threads');
$node->init;
$node->start;
install_helpers($node);
$node->safe_psql('postgres', q{
CREATE TABLE rows (id integer, pt double precision[]);
INSERT INTO rows SELECT i, ARRAY[sin(i * 12.9898), sin(i * 78.233 + 1)] FROM generate_series(1, 1000) AS i;
CREATE INDEX rows_pt ON rows USING covertree (pt);
});

# The threads of a process other than its main one, and which signals each of
# them blocks, as a mask of bits.
sub threads_of
{
	my ($pid) = @_;
	my %mask;

	foreach my $file (glob "/proc/$pid/task/*/status")
	{
		next if $file =~ m{/task/$pid/};
		slurp_file($file) =~ /^SigBlk:\s*([0-9a-f]+)$/m
		  or die "no mask in $file";
		$mask{$file} = hex $1;
	}
	return %mask;
}

# A search of several windows, which waits between two of them.
my $holder = background_sql($node, 'holder',
	[ 'SELECT pg_advisory_lock(25460)', 'SELECT pg_sleep(600)' ]);
$node->poll_query_until('postgres',
	q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND granted});
my $search = background_sql($node, 'search', [
	'SET max_parallel_workers_per_gather = 1',
	'SET covertree.bulk_search_stop = 16',
	q{SELECT count(*) FROM covertree_knn('rows_pt', (SELECT array_agg(ARRAY[sin(i), cos(i)]) FROM generate_series(1, 60000) AS i), 100)},
	'SELECT pg_sleep(600)' ]);
$node->poll_query_until('postgres',
	q{SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'search' AND wait_event_type = 'Lock'});
is($node->safe_psql('postgres',
		'SELECT queries_done > 0, queries_done < queries_total, threads FROM covertree_knn_progress()'),
	't|t|2', 'a search is under way');

my $pid = $node->safe_psql('postgres',
	q{SELECT pid FROM pg_stat_activity WHERE application_name = 'search'});
my %mask = threads_of($pid);
is(scalar keys %mask, 1, 'it has a second thread');
foreach my $signal ([ HUP => 1 ], [ INT => 2 ], [ QUIT => 3 ], [ USR1 => 10 ], [ USR2 => 12 ], [ ALRM => 14 ], [ TERM => 15 ])
{
	my ($name, $number) = @$signal;

	is(scalar(grep { !($_ & 1 << $number - 1) } values %mask), 0, "which blocks SIG$name");
}

# Cancelled, it leaves nothing behind.
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
$node->poll_query_until('postgres',
	qq{SELECT count(*) = 1 FROM pg_stat_activity WHERE pid = $pid AND wait_event = 'PgSleep'});
is(scalar(my %left = threads_of($pid)), 0, 'no thread outlives the search');

$node->safe_psql('postgres',
	q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name IN ('holder', 'search')});
$_->finish foreach $holder, $search;
done_testing();
