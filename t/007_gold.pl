# The configuration by which residual correlation is compared with other
# programs: 32,768 standard Gaussian points in 3-D, 512 of them as inducing
# points, 50 neighbours.  Published figures must come out, and the index must
# give the sequential scan's answers, bit for bit.  data/README.md tells how the
# files were made.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use CovertreeTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use constant { ROWS => 32768, QUERIES => 24, NEIGHBOURS => 50 };

my $data = "$FindBin::RealBin/../data";

sub numbers { return split(' ', slurp_file("$data/$_[0]")); }

my @coordinates = unpack('d<*', slurp_file("$data/gold.f8"));
my @knots = numbers('gold_knots.txt');
my @queries = (numbers('gold_queries.txt'))[ 0 .. QUERIES - 1 ];

is(scalar(@coordinates), 3 * ROWS, 'points are there');
is(scalar(@knots), 512, 'inducing points are there');

sub point
{
	my ($row) = @_;

	return '{' . join(',', map { sprintf('%.17g', $_) } @coordinates[ 3 * $row .. 3 * $row + 2 ]) . '}';
}

my $node = PostgreSQL::Test::Cluster->new('gold');
$node->init;
$node->append_conf('postgresql.conf', q{
autovacuum = off
shared_buffers = 256MB
max_wal_size = 4GB
# all of the index is built in memory
maintenance_work_mem = 1GB
# sequential scans in parallel
max_parallel_workers_per_gather = 2
parallel_setup_cost = 0
parallel_tuple_cost = 0
min_parallel_table_scan_size = 0
});
$node->start;
install_helpers($node);

my $file = $node->basedir . '/gold.txt';
append_to_file($file, join('', map { "$_\t" . point($_) . "\n" } 0 .. ROWS - 1));
$node->safe_psql('postgres', qq{
CREATE TABLE gold (id integer, pt double precision[]);
\\copy gold FROM '$file'
ANALYZE gold;
});

my %sum = (rbf => 156.928132, matern52 => 1427.561389);

# The neighbours of each query, a line each: id and all digits of the distance.
# Then what the index scans of it cost.
sub neighbours
{
	my ($kernel, $how) = @_;
	my $sql = $how eq 'index'
	  ? 'SET enable_seqscan = off; SET enable_sort = off;'
	  : 'SET enable_indexscan = off;';

	foreach my $query (@queries)
	{
		my $distance = "pt <~> residual_query('$kernel', '" . point($query) . "')";
		my $ties = $how eq 'index' ? '' : ', ctid';

		$sql .= "\nSELECT $query, id, $distance AS d FROM gold ORDER BY $distance$ties LIMIT " . NEIGHBOURS . ';';
	}
	$sql .= "\nSELECT 'cost', scans, distances, pages_read FROM covertree_scan_stats();" if $how eq 'index';
	return split(/\n/, $node->safe_psql('postgres', $sql));
}

foreach my $kernel ('rbf', 'matern52')
{
	$node->safe_psql('postgres', qq{
		SELECT covertree_create_model('$kernel', '$kernel', '{1}',
			(SELECT array_agg(pt ORDER BY id) FROM gold WHERE id = ANY ('{@{[join(',', @knots)]}}')))});
	is($node->safe_psql('postgres',
			"SELECT round(sum(covertree_residual_variance('$kernel', pt))::numeric, 6) FROM gold"),
		$sum{$kernel}, "$kernel: sum of residual variances");
	is($node->safe_psql('postgres',
			"SELECT string_agg(to_char(covertree_residual_variance('rbf', pt), '9.99999EEEE'), ',' ORDER BY id)
			 FROM gold WHERE id < 3"),
		' 8.82398e-07, 3.69916e-03, 1.47042e-07', "$kernel: first residual variances")
	  if $kernel eq 'rbf';

	my @expected = neighbours($kernel, 'scan');
	is(scalar(@expected), QUERIES * NEIGHBOURS, "$kernel: all neighbours by sequential scan");
	if ($kernel eq 'rbf')
	{
		# row 16558 is the first query
		my @first = map { [ split(/\|/, $_) ] } @expected[ 0 .. NEIGHBOURS - 1 ];

		is( join(' ', map { sprintf('%d:%.5f', $_->[1], $_->[2]) } @first[ 0 .. 6 ]),
			'16558:0.00000 31170:0.10814 18038:0.17369 7041:0.19607 4375:0.19739 2850:0.20165 7542:0.20671',
			'neighbours of row 16558');
		is(sprintf('%.5f', $first[-1][2]), '0.40599', 'and the last of them');
	}

	foreach my $strategy ('exact_metric', 'spatial_proxy')
	{
		$node->safe_psql('postgres', qq{
			CREATE INDEX gold_pt ON gold USING covertree (pt float8_residual_ops (model = $kernel))
				WITH (strategy = $strategy)});
		my @got = neighbours($kernel, 'index');
		my (undef, $scans, $distances, $pages) = split(/\|/, pop @got);
		my @wrong = grep { ($got[$_] // '') ne $expected[$_] } 0 .. $#expected;

		is($scans, QUERIES, "$kernel, $strategy: index was used");
		is(scalar(@got), scalar(@expected), "$kernel, $strategy: all neighbours by index");
		is(scalar(@wrong), 0, "$kernel, $strategy: same rows, same order, same bits")
		  or diag("first: " . ($got[ $wrong[0] ] // 'none') . ", not $expected[$wrong[0]]");
		note(sprintf('%s, %s: %.1f %% of rows evaluated, %.0f pages read per query',
				$kernel, $strategy, 100 * $distances / $scans / ROWS, $pages / $scans));
		whole_ok($node, 'gold', "$kernel, $strategy");
		$node->safe_psql('postgres', 'DROP INDEX gold_pt');
	}
}

done_testing();
