# Many sessions insert, delete, ask and vacuum at once.  Each answer is
# compared with a sort of the same snapshot.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use CovertreeTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('concurrency');
$node->init;
$node->append_conf('postgresql.conf', "autovacuum = off\nmax_wal_size = 4GB\n");
$node->start;
install_helpers($node);

my @points = ('{0,0}', '{0.5,-0.5}', '{0.1,0.2}');

$node->safe_psql('postgres', q{
CREATE TABLE busy (id integer, pt real[]);
CREATE INDEX busy_pt ON busy USING covertree (pt);
CREATE TABLE vectors (id integer, pt real[]);
CREATE INDEX vectors_pt ON vectors USING covertree (pt);
SELECT covertree_create_model('model', 'matern52', '{0.5}', (SELECT array_agg(pt) FROM ct_cloud('gauss', 30, 2, 5)));
CREATE TABLE residual (id integer, pt real[]);
CREATE INDEX residual_pt ON residual USING covertree (pt float4_residual_ops (model = model)) WITH (strategy = spatial_proxy);
CREATE FUNCTION assert_same(tab text, query text, k integer) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	r text := ct_same(tab, query, k);
BEGIN
	IF r NOT LIKE 'ok%' THEN
		RAISE EXCEPTION '% near %: %', tab, query, r;
	END IF;
END $$;
});

# one place that all of them crowd, many copies, NULLs now and then
my $insert = q{
\set i random(1, 1000000)
\set n random(1, 20)
INSERT INTO busy SELECT :i, ct_point('gauss', 3, :i + j, 2) FROM generate_series(1, :n) AS j;
};
my $crowd = q{
\set i random(1, 100000)
INSERT INTO busy VALUES (:i, ARRAY[0.1 + :i * 1e-8, 0.2]), (:i, '{0.1,0.2}'), (:i, CASE WHEN :i % 5 > 0 THEN '{0.3,0.3}'::real[] END);
};
my $delete = q{
\set m random(20, 60)
\set r random(0, 19)
DELETE FROM busy WHERE id % :m = :r;
};
my $region = q{
\set x random(-10, 10)
DELETE FROM busy WHERE pt[1] BETWEEN :x * 0.1 AND :x * 0.1 + 0.05;
};
my $rollback = q{
\set i random(1, 1000000)
BEGIN;
INSERT INTO busy SELECT :i, ct_point('gauss', 4, :i + j, 2) FROM generate_series(1, 50) AS j;
ROLLBACK;
};
my $query = q{
\set i random(1, 1000000)
\set k random(1, 300)
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT assert_same('busy', format('ct_point(''gauss'', 3, %s, 2)', :i), :k);
COMMIT;
};
my $all = q{
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT assert_same('busy', '''{0.1,0.2}''', NULL);
COMMIT;
};
my $vectors = q{
\set i random(1, 100000)
\set m random(5, 20)
INSERT INTO vectors SELECT :i + j, ct_point('uniform', 3, :i + j, 100) FROM generate_series(1, 5) AS j;
DELETE FROM vectors WHERE id % :m = 0;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT assert_same('vectors', format('ct_point(''uniform'', 3, %s, 100)', :i), 30);
COMMIT;
};

# rows on an inducing point now and then: the smallest residual variance falls
my $residual = q{
\set i random(1, 100000)
\set m random(5, 20)
INSERT INTO residual SELECT :i + j, ct_point('gauss', 3, :i + j, 2) FROM generate_series(1, 10) AS j;
INSERT INTO residual SELECT :i, ct_point('gauss', 5, :i % 40, 2) WHERE :i % 20 = 0;
INSERT INTO residual VALUES (:i, ARRAY[0.1 + :i * 1e-8, 0.2]), (:i, '{0.1,0.2}'), (:i, CASE WHEN :i % 5 > 0 THEN '{0.3,0.3}'::real[] END);
DELETE FROM residual WHERE id % :m = 0;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT assert_same('residual', format('residual_query(''model'', ct_point(''gauss'', 3, %s, 2))', :i), CASE WHEN :i % 10 > 0 THEN 30 END);
COMMIT;
};

$node->pgbench(
	'--no-vacuum --client=6 --jobs=2 --time=15 --random-seed=11',
	0,
	[qr/actually processed/],
	[qr/^(?!.*(ERROR|error)).*$/s],
	'concurrent load',
	{
		'004_insert@20' => $insert,
		'004_crowd@10' => $crowd,
		'004_delete@3' => $delete,
		'004_region@2' => $region,
		'004_rollback@3' => $rollback,
		'004_query@20' => $query,
		'004_all@1' => $all,
		'004_vectors@8' => $vectors,
		'004_vacuum@2' => "VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) busy;\n",
		'004_residual@8' => $residual,
		'004_vacuum_residual@1' => "VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) residual;\n",
		'004_vacuum_vectors@1' => "VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) vectors;\n",
	});

cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM busy'), '>', 100, 'rows are left');
my @vector_points = map { '{' . join(',', ($_) x 100) . '}' } (0.3, 0.6);
foreach my $name ('after the load', 'vacuumed', 'vacuumed again')
{
	whole_ok($node, 'busy', "$name, busy");
	exact_ok($node, 'busy', \@points, "$name, busy");
	whole_ok($node, 'vectors', "$name, vectors");
	exact_ok($node, 'vectors', \@vector_points, "$name, vectors");
	whole_ok($node, 'residual', "$name, residual");
	exact_ok($node, 'residual', [ residual_queries('model', @points) ], "$name, residual");
	$node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP ON) busy, vectors, residual');
}

# Vacuum frees the dimension of an index again and again, under scans and
# insertions that know the old one.
install_shifting($node);
$node->pgbench(
	'--no-vacuum --client=5 --jobs=2 --time=6 --random-seed=13',
	0,
	[qr/actually processed/],
	[qr/^(?!.*(ERROR|error)).*$/s],
	'dimensions come and go',
	{
		'004_shift@3' => q{
\set d random(1, 4)
\set i random(1, 100000)
SELECT shifting_insert((ARRAY[2,3,100,1100])[:d], :i);
},
		'004_scan@6' => q{
\set d random(1, 4)
SELECT shifting_scan((ARRAY[2,3,100,1100])[:d]);
},
		'004_free@4' => "VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) shifting;\n"
	});
whole_ok($node, 'shifting', 'dimensions came and went');
$node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP ON) shifting');
is($node->safe_psql('postgres', q{SELECT dims, rows, nulls, vector_pages FROM covertree_stats('shifting_pt')}),
	'0|0|50|0', 'an index without points has no dimension');

# An index built and rebuilt while others write.
foreach ([ 'busy', '', @points ], [ 'residual', 'float4_residual_ops (model = model)', residual_queries('model', @points) ])
{
	my ($table, $class, @queries) = @$_;
	my $load = background_sql($node, 'load', [
		qq{DO \$\$ BEGIN FOR i IN 1 .. 1000000 LOOP
			INSERT INTO $table VALUES (i, ct_point('gauss', 5, i, 2));
			DELETE FROM $table WHERE ctid = (SELECT ctid FROM $table LIMIT 1);
			COMMIT; END LOOP; END \$\$} ]);
	$node->safe_psql('postgres', "CREATE INDEX CONCURRENTLY ${table}_pt2 ON $table USING covertree (pt $class) WITH (base = 2)");
	$node->safe_psql('postgres', "REINDEX INDEX CONCURRENTLY ${table}_pt");
	$node->safe_psql('postgres', "REINDEX INDEX ${table}_pt2");
	$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'load'});
	$load->finish;
	$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'load'});
	whole_ok($node, $table, "$table, built under load");
	exact_ok($node, $table, \@queries, "$table, built under load");
	$node->safe_psql('postgres', "DROP INDEX ${table}_pt2");
	exact_ok($node, $table, \@queries, "$table, rebuilt under load");
}

done_testing();
