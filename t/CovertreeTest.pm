# CovertreeTest.pm
#	  What the TAP tests share: the helpers of sql/setup.sql, and assertions
#	  that an index is whole and exact.
#
# IDENTIFICATION
#	  t/CovertreeTest.pm

package CovertreeTest;

use strict;
use warnings;

use Exporter 'import';
use FindBin;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(install_helpers install_shifting whole_ok exact_ok residual_queries background_sql crash_backend);

# Create the extension and the SQL helpers, as the regression tests do.
sub install_helpers
{
	my ($node, $dbname) = @_;

	$node->safe_psql($dbname // 'postgres',
		slurp_file("$FindBin::RealBin/../sql/setup.sql"));
	return;
}

# Create a table whose index has no point that anybody sees, only 50 NULLs, and
# gets its dimension from insertions that are undone: shifting_insert(d, i) makes
# one, and shifting_scan(d) asserts that a scan returns the NULLs, whatever the
# dimension is just then.
sub install_shifting
{
	my ($node) = @_;

	$node->safe_psql('postgres', q{
CREATE TABLE shifting (id integer, pt real[]);
CREATE INDEX shifting_pt ON shifting USING covertree (pt);
INSERT INTO shifting SELECT i, NULL FROM generate_series(1, 50) AS i;
CREATE FUNCTION shifting_insert(d integer, i integer) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO shifting SELECT j, ct_point('uniform', 3, i + j, d) FROM generate_series(1, 1 + 400 / d) AS j;
	RAISE EXCEPTION 'undone';
EXCEPTION WHEN raise_exception THEN NULL;
	WHEN data_exception THEN
		IF SQLERRM NOT LIKE 'different point dimensions%' THEN
			RAISE;
		END IF;
END $$;
CREATE FUNCTION shifting_scan(d integer) RETURNS void
LANGUAGE plpgsql SET enable_seqscan = off SET enable_sort = off AS $$
DECLARE
	n integer;
BEGIN
	SELECT count(*) INTO n FROM (SELECT id FROM shifting ORDER BY pt <~> array_fill(0.5::real, ARRAY[d])) AS s;
	IF n <> 50 THEN
		RAISE 'a scan returned % rows', n;
	END IF;
EXCEPTION WHEN data_exception THEN
	IF SQLERRM NOT LIKE 'different point dimensions%' THEN
		RAISE;
	END IF;
END $$;
});
	return;
}

# Assert that each index of a table passes covertree_check, heap included.
sub whole_ok
{
	my ($node, $table, $name, $dbname) = @_;
	my ($stdout, $stderr);

	$node->psql(
		$dbname // 'postgres', "SELECT ct_check('$table')",
		stdout => \$stdout,
		stderr => \$stderr);
	like($stdout, qr/^ok, [1-9]\d* indexes$/, "$name: index is whole")
	  or diag($stderr);
	return;
}

# Assert that the index answers queries as a sort does, around each of the
# given points ('{1,2}') or for each of the given expressions
# ("residual_query('model', '{1,2}')"); the last one for all rows.
sub exact_ok
{
	my ($node, $table, $points, $name, $dbname) = @_;
	my @queries = map { /^\{/ ? "\$q\$'$_'\$q\$" : "\$q\$$_\$q\$" } @$points;
	my $sql = join(
		' UNION ALL ',
		map { "SELECT ct_same('$table', $_, 50)" } @queries);
	my ($stdout, $stderr);

	$node->psql(
		$dbname // 'postgres',
		"$sql UNION ALL SELECT ct_same('$table', $queries[-1])",
		stdout => \$stdout,
		stderr => \$stderr);
	my @wrong = grep { !/^ok, \d+ rows$/ } split(/\n/, $stdout);
	is(scalar(split(/\n/, $stdout)) - @wrong,
		@$points + 1, "$name: answers are exact")
	  or diag(join("\n", @wrong, $stderr));
	return;
}

# Queries of a residual index around the given points.
sub residual_queries
{
	my ($model, @points) = @_;

	return map { "residual_query('$model', '$_')" } @points;
}

# Start a statement in a session of its own, called by the given name, and
# return the handle to finish() once the server has gone.
sub background_sql
{
	my ($node, $name, $sql) = @_;
	my ($in, $out) = ('', '');

	return IPC::Run::start(
		[
			'psql', '-XAtq', '-d',
			$node->connstr('postgres') . " application_name=$name",
			map { ('-c', $_) } @$sql
		],
		'<',  \$in,
		'>',  \$out,
		'2>', \$out);
}

# Kill with SIGKILL the backend of that name, once a condition of its
# pg_stat_activity row holds, and wait until the server has recovered.
sub crash_backend
{
	my ($node, $name, $condition) = @_;

	$node->poll_query_until(
		'postgres', qq{
		SELECT count(*) > 0 FROM pg_stat_activity a
		WHERE application_name = '$name' AND $condition})
	  or die "no backend $name";
	# parallel workers have the name of their leader
	my $pid = $node->safe_psql('postgres', qq{
		SELECT pid FROM pg_stat_activity a WHERE application_name = '$name'
		ORDER BY CASE WHEN $condition THEN 1 ELSE 2 END, leader_pid NULLS FIRST LIMIT 1});
	my $started = $node->safe_psql('postgres',
		'SELECT pg_postmaster_start_time()');
	my $killed = $pid ? kill('KILL', $pid) : 0;

	$node->poll_query_until('postgres',
		"SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = '$name'");
	return $killed;
}

1;
