# Damaged pages: an error that names index and block, never a crash.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use CovertreeTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Where things are on a page: see include/ct_format.h.
use constant {
	BLCKSZ => 8192,
	CONTENT => 24,
	SPECIAL => 8176,
	LEAF => 3,
	VECTOR => 4,
	MODEL => 7,
};

# Each case damages the index of a table of its own: one block, all but the
# first two, or all of a kind.  The query and the check of a damaged index must
# fail with index_corrupted and name the block.  Cases called res_ have a
# residual index; a query whose session knows the model from the table does not
# need the index's copy, and may be answered.
my @cases = (
	{ name => 'meta_magic', block => 0, at => CONTENT, bytes => pack('L', 0xdeadbeef) },
	{ name => 'meta_metric', block => 0, at => CONTENT + 8, bytes => pack('L', 4711) },
	{ name => 'meta_element', block => 0, at => CONTENT + 12, bytes => pack('L', 99) },
	{ name => 'meta_dims', block => 0, at => CONTENT + 16, bytes => pack('L', 60000) },
	{ name => 'meta_base', block => 0, at => CONTENT + 24, bytes => pack('d', -1) },
	{ name => 'meta_shape', block => 0, at => CONTENT + 44, bytes => pack('L', 7), says => 1 },
	{ name => 'meta_kind', block => 0, at => SPECIAL + 4, bytes => pack('C', 77) },
	{ name => 'meta_zero', block => 0, at => 0, bytes => "\0" x BLCKSZ },
	{ name => 'root_kind', block => 1, at => SPECIAL + 4, bytes => pack('C', 77) },
	{ name => 'root_is_free', block => 1, at => SPECIAL + 4, bytes => pack('C', 6) },
	{ name => 'root_version', block => 1, at => SPECIAL + 5, bytes => pack('C', 200) },
	{ name => 'root_page_id', block => 1, at => SPECIAL + 14, bytes => pack('S', 0) },
	{ name => 'root_shape', block => 1, at => SPECIAL + 8, bytes => pack('L', 7) },
	{ name => 'root_zero', block => 1, at => 0, bytes => "\0" x BLCKSZ },
	{ name => 'root_height', block => 1, at => CONTENT + 16, bytes => pack('S', 0xffff) },
	{ name => 'root_entries', block => 1, at => CONTENT + 18, bytes => pack('S', 0xffff) },
	{ name => 'root_children', block => 1, at => CONTENT + 20, bytes => pack('S', 0xffff) },
	{ name => 'leaf_kind', block => -1, at => SPECIAL + 4, bytes => pack('C', 77), all => 1 },
	{ name => 'leaf_entries', block => -1, at => CONTENT + 18, bytes => pack('S', 0xffff), all => 1 },
	{ name => 'leaf_shape', block => -1, at => SPECIAL + 8, bytes => pack('L', 7), all => 1 },
	{ name => 'leaf_zero', block => -1, at => 0, bytes => "\0" x BLCKSZ, all => 1 },
	{ name => 'res_meta_metric', block => 0, at => CONTENT + 8, bytes => pack('L', 4711) },
	{ name => 'res_meta_model_pages', block => 0, at => CONTENT + 76, bytes => pack('L', 0) },
	{ name => 'res_meta_model_bytes', block => 0, at => CONTENT + 80, bytes => pack('Q', 1 << 40) },
	{ name => 'res_meta_fingerprint', block => 0, at => CONTENT + 88, bytes => "\0" x 16, says => 2 },
	{ name => 'res_meta_variance', block => 0, at => CONTENT + 104, bytes => pack('d', 0) },
	{ name => 'res_model_zero', block => 2, at => 0, bytes => "\0" x BLCKSZ },
	{ name => 'res_model_kind', block => 2, at => SPECIAL + 4, bytes => pack('C', VECTOR) },
	{ name => 'res_model_header', block => 2, at => CONTENT, bytes => "\xff" x 64 },
	{ name => 'res_model_byte', block => 2, at => CONTENT + 1000, bytes => 'x' },
	{ name => 'res_model_factor', block => 3, at => CONTENT + 1000, bytes => 'x', says => 2 },
	{ name => 'res_leaf_entries', kind => LEAF, at => CONTENT + 18, bytes => pack('S', 0xffff) },
	{ name => 'res_basis_pivots', kind => LEAF, at => CONTENT + 56, bytes => "\xff" x 128 },
	{ name => 'res_vector_slots', kind => VECTOR, at => CONTENT, bytes => pack('S', 0xffff) },
	{ name => 'res_vector_bytes', kind => VECTOR, at => CONTENT + 4, bytes => pack('L', 16) },
	{ name => 'res_vector_shape', kind => VECTOR, at => SPECIAL + 8, bytes => pack('L', 7) },
	{ name => 'res_vector_gap', kind => VECTOR, at => 12, bytes => pack('S', 200) },
	{ name => 'res_vector_zero', kind => VECTOR, at => 0, bytes => "\0" x BLCKSZ },
	# one page each: of some, a bulk search reads no vector but those that threads copy
	(map { { name => "res_large_vector_$_", kind => VECTOR, number => 40 * $_,
			at => SPECIAL + 8, bytes => pack('L', 7) } } 1 .. 8));

# Damage of unknown consequence: any answer or error but a crash or a hang.
# The last ones have residual indexes, by turns with several vectors on a page
# and with groups of pages.
my $fuzzed = 60;
my $fuzzed_residual = 20;

my $node = PostgreSQL::Test::Cluster->new('corruption');
# Checksums, which clusters have from 18 on if not told otherwise, would find the
# damage before the index does.
$node->init($node->pg_version >= 18 ? (extra => ['--no-data-checksums']) : ());
$node->append_conf('postgresql.conf',
	"autovacuum = off\nrestart_after_crash = on\n");
$node->start;
install_helpers($node);

$node->safe_psql('postgres', qq{
	SELECT covertree_create_model('model_$_', 'matern52', '{0.7}',
		(SELECT array_agg(pt) FROM ct_cloud('gauss', $_, 3, 5))) }) foreach (60, 350);

# The model of a table's index, or nothing.
sub model_of
{
	my ($table) = @_;

	return 'model_350' if $table =~ /^res_large_/;
	return 'model_60' if $table =~ /^res_/;
	return $1 <= $fuzzed - $fuzzed_residual ? undef : $1 % 2 ? 'model_60' : 'model_350'
	  if $table =~ /^fuzz_(\d+)$/;
	return undef;
}

# Which tables have 200 dimensions.
sub is_wide { return $_[0] =~ /^fuzz_(\d+)$/ && $1 % 4 == 0 && !model_of($_[0]); }

# A query of a table.
sub query_of
{
	my ($table) = @_;
	my $point = '{' . join(',', (0.1) x (is_wide($table) ? 200 : 3)) . '}';
	my $model = model_of($table);

	return $model ? "residual_query('$model', '$point')" : "'$point'";
}

my @tables = ((map { $_->{name} } @cases), (map { "fuzz_$_" } 1 .. $fuzzed));
my %path;

foreach my $table (@tables)
{
	# small and wide points, few and many rows, with and without NULLs
	my $model = model_of($table);
	my $dims = is_wide($table) ? 200 : 3;
	my $n = $table =~ /^fuzz_(\d+)$/
	  ? ($dims == 200 ? 200 : 500 + 100 * ($1 % 7))
	  : ($model ? 1000 : 3000);
	my $class = $model ? "float8_residual_ops (model = $model)" : '';

	$node->safe_psql('postgres', qq{
		CREATE TABLE $table AS SELECT * FROM ct_cloud('gauss', $n, $dims);
		INSERT INTO $table SELECT i, NULL FROM generate_series(1, 20) AS i;
		CREATE INDEX ${table}_pt ON $table USING covertree (pt $class);});
	$path{$table} = $node->data_dir . '/'
	  . $node->safe_psql('postgres', "SELECT pg_relation_filepath('${table}_pt')");
}
$node->stop;

# Write bytes into a block of an index, counted from the end if negative.
sub damage
{
	my ($table, $block, $at, $bytes) = @_;

	open(my $file, '+<:raw', $path{$table}) or die "$path{$table}: $!";
	$block += (-s $file) / BLCKSZ if $block < 0;
	seek($file, $block * BLCKSZ + $at, 0);
	print $file $bytes;
	close($file);
	return;
}

# The blocks of an index whose page is of that kind.
sub of_kind
{
	my ($table, $kind) = @_;
	my $content = slurp_file($path{$table});

	return grep { unpack('C', substr($content, $_ * BLCKSZ + SPECIAL + 4, 1)) == $kind }
	  0 .. length($content) / BLCKSZ - 1;
}

foreach my $case (@cases)
{
	my $blocks = (-s $path{ $case->{name} }) / BLCKSZ;

	damage($case->{name}, $_, $case->{at}, $case->{bytes})
	  foreach ($case->{all} ? (2 .. $blocks - 1)
		: $case->{number} ? (of_kind($case->{name}, $case->{kind}))[ $case->{number} ]
		: $case->{kind} ? of_kind($case->{name}, $case->{kind})
		: ($case->{block}));
}

# fixed seed, and a generator that is the same everywhere
my $state = 42;
sub draw
{
	my ($n) = @_;

	$state = ($state * 1103515245 + 12345) % 2147483648;
	return int($state / 65536) % $n;
}

foreach my $i (1 .. $fuzzed)
{
	my $blocks = (-s $path{"fuzz_$i"}) / BLCKSZ;

	foreach (1 .. 3)
	{
		my $block = draw($blocks);
		my $length = 1 << draw(8);
		# beyond the page header in half of the cases
		my $at = draw(2) ? draw(BLCKSZ - $length) : CONTENT + draw(300);
		my $bytes = draw(3) ? join('', map { chr(draw(256)) } 1 .. $length) : "\xff" x $length;

		damage("fuzz_$i", $block, $at, $bytes);
	}
}

$node->start;
my $started = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');

# Several points near the one of query_of, for a bulk search.
sub queries_of
{
	my ($table) = @_;

	return 'ARRAY[' . join(',', map { '[' . join(',', ($_ / 20) x (is_wide($table) ? 200 : 3)) . ']' } 1 .. 40) . ']';
}

# Run a statement; return SQLSTATE ('00000' for success) and message.
sub outcome
{
	my ($sql) = @_;
	my ($stdout, $stderr);

	$node->psql('postgres',
		"SET statement_timeout = '10s'; SET enable_seqscan = off; SET enable_sort = off;\n$sql",
		stdout => \$stdout, stderr => \$stderr,
		timeout => 60, timed_out => \my $hung,
		extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	return ('hang', 'no answer to a cancel request') if $hung;
	return ($1, $stderr) if $stderr =~ /ERROR:\s+([0-9A-Z]{5}): /;
	return ($stderr eq '' ? '00000' : 'crash', $stderr);
}

my %statement = (
	query => sub { "SELECT count(*) FROM (SELECT id FROM $_[0] ORDER BY pt <~> " . query_of($_[0]) . ') AS s' },
	check => sub { "SELECT covertree_check('$_[0]_pt', true)" },
	bulk => sub { "SELECT count(*) FROM covertree_knn('$_[0]_pt', " . queries_of($_[0]) . ', 1000)' },
	graph => sub { "SELECT count(*) FROM covertree_knn_graph('$_[0]_pt', 3)" },
	insert => sub { "INSERT INTO $_[0] SELECT id, pt FROM ct_cloud('gauss', 50, " . (is_wide($_[0]) ? 200 : 3) . ', 7)' },
	vacuum => sub { "VACUUM (INDEX_CLEANUP ON) $_[0]" });

foreach my $case (@cases)
{
	my $block = $case->{all} || $case->{kind} ? qr/\d+/ : $case->{says} // $case->{block};

	foreach my $what ('query', 'check', 'bulk', 'graph')
	{
		my ($state, $message) = outcome($statement{$what}->($case->{name}));

		if ($what ne 'check' && $case->{name} =~ /^res_model_/)
		{
			like($state, qr/^(XX002|00000)$/, "$case->{name}, $what: no other error") or diag($message);
			exact_ok($node, $case->{name}, [ query_of($case->{name}) ], $case->{name}) if $state eq '00000';
			next;
		}
		is($state, 'XX002', "$case->{name}, $what: index_corrupted") or diag($message);
		like($message, qr/"$case->{name}_pt".*\bblock $block\b/s,
			"$case->{name}, $what: names index and block");
	}
	foreach my $what ('insert', 'vacuum')
	{
		$node->safe_psql('postgres', "DELETE FROM $case->{name} WHERE id < 10")
		  if $what eq 'vacuum';
		my ($state, $message) = outcome($statement{$what}->($case->{name}));

		like($state, qr/^(XX002|00000)$/, "$case->{name}, $what: no other error") or diag($message);
	}
	# and REINDEX helps
	$node->safe_psql('postgres', "REINDEX INDEX $case->{name}_pt");
	whole_ok($node, $case->{name}, "$case->{name}, rebuilt");
}

my %seen;
foreach my $i (1 .. $fuzzed)
{
	my @bad;

	$node->safe_psql('postgres', "DELETE FROM fuzz_$i WHERE id % 10 = 3");
	foreach my $sql (
		$statement{query}->("fuzz_$i"),
		$statement{check}->("fuzz_$i"),
		$statement{bulk}->("fuzz_$i"),
		$statement{graph}->("fuzz_$i"),
		"SELECT * FROM covertree_stats('fuzz_${i}_pt')",
		"SELECT count(*) FROM covertree_levels('fuzz_${i}_pt')",
		$statement{insert}->("fuzz_$i"),
		$statement{vacuum}->("fuzz_$i"))
	{
		my ($state, $message) = outcome($sql);

		$seen{$state}++;
		# a damaged TID may name a heap block that does not exist: core's error
		push @bad, "$sql: $message" if $state !~ /^(00000|XX00[0-2]|58P01)$/;
	}
	is(scalar(@bad), 0, "fuzz $i: no crash, no hang") or diag(join("\n", @bad));
}
note("$_: $seen{$_}") foreach sort keys %seen;

is($node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()'), $started, 'same server');
unlike(slurp_file($node->logfile), qr/terminated by signal/, 'no backend crashed');

done_testing();
