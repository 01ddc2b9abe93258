# Queries on a standby while it replays inserts, splits and vacuum.  Replay
# takes no locks of ours, so a scan may meet pages of any later time.

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
$primary->append_conf('postgresql.conf', "autovacuum = off\nmax_wal_size = 4GB\n");
$primary->start;
$primary->backup('backup');

my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
# rather a late replay than a cancelled query
$standby->append_conf('postgresql.conf', "max_standby_streaming_delay = -1\n");
$standby->start;

install_helpers($primary);
$primary->safe_psql('postgres', q{
CREATE TABLE busy (id integer, pt real[]);
CREATE INDEX busy_pt ON busy USING covertree (pt);
INSERT INTO busy SELECT * FROM ct_cloud('gauss', 3000, 2);
SELECT covertree_create_model('model', 'matern32', '{0.5}', (SELECT array_agg(pt) FROM ct_cloud('gauss', 30, 2, 5)));
CREATE TABLE residual (id integer, pt real[]);
CREATE INDEX residual_pt ON residual USING covertree (pt float4_residual_ops (model = model));
INSERT INTO residual SELECT * FROM ct_cloud('gauss', 500, 2);
CREATE FUNCTION assert_same(tab text, query text, k integer) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	r text := ct_same(tab, query, k);
BEGIN
	IF r NOT LIKE 'ok%' THEN
		RAISE EXCEPTION '% near %: %', tab, query, r;
	END IF;
END $$;
-- bulk search against a sort, and every row once in the graph
CREATE FUNCTION assert_bulk_same(i integer, k integer) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	differences bigint;
	missing bigint;
BEGIN
	SELECT count(*) INTO differences
	FROM covertree_knn('busy_pt', (SELECT array_agg(ct_point('gauss', 3, i + q, 2) ORDER BY q) FROM generate_series(1, 4) AS q), k) AS a
		FULL JOIN (SELECT q AS query, s.* FROM generate_series(1, 4) AS q, LATERAL
			(SELECT row_number() OVER (ORDER BY d, ctid) AS rank, ctid, d
			 FROM (SELECT ctid, pt <~> ct_point('gauss', 3, i + q, 2) AS d FROM busy) AS t
			 ORDER BY d, ctid LIMIT k) AS s) AS e USING (query, rank)
	WHERE (a.tid, a.distance) IS DISTINCT FROM (e.ctid, e.d);
	SELECT count(*) INTO missing
	FROM (SELECT ctid FROM busy WHERE pt IS NOT NULL) AS b
		FULL JOIN covertree_knn_graph('busy_pt', 1) AS g ON g.tid = b.ctid
	WHERE g.tid IS NULL OR b.ctid IS NULL;
	IF differences + missing > 0 THEN
		RAISE EXCEPTION 'in bulk, % differences and % rows too many or too few', differences, missing;
	END IF;
END $$;
});
install_shifting($primary);
$primary->wait_for_catchup($standby);

my $load = background_sql($primary, 'load', [
	q{DO $$ BEGIN FOR i IN 1 .. 1000000 LOOP
		INSERT INTO busy SELECT i, ct_point('gauss', 3, i * 10 + j, 2) FROM generate_series(1, 10) AS j;
		INSERT INTO busy VALUES (i, ARRAY[0.1 + i * 1e-6, 0.2]), (i, NULL);
		DELETE FROM busy WHERE id < i - 300 OR i % 500 = 0 AND pt[1] > 0;
		INSERT INTO residual SELECT i, ct_point('gauss', 3, i * 10 + j, 2) FROM generate_series(1, 4) AS j;
		INSERT INTO residual VALUES (i, ARRAY[0.1 + i * 1e-6, 0.2]), (i, ct_point('gauss', 5, i % 100, 2));
		DELETE FROM residual WHERE id < i - 100;
		PERFORM shifting_insert((ARRAY[2,3,100,1100])[1 + i % 4], i);
		COMMIT; END LOOP; END $$} ]);
my $vacuum = background_sql($primary, 'vacuum',
	[ ('VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) busy, shifting, residual, shifting') x 10000 ]);

$standby->pgbench(
	'--no-vacuum --client=2 --jobs=2 --time=8 --random-seed=7',
	0,
	[qr/actually processed/],
	[qr/^(?!.*(ERROR|error)).*$/s],
	'queries while replaying',
	{
		'006_near@9' => q{
\set i random(1, 100000)
\set k random(1, 300)
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT assert_same('busy', format('ct_point(''gauss'', 3, %s, 2)', :i), :k);
COMMIT;
},
		'006_bulk@3' => q{
\set i random(1, 100000)
\set k random(1, 300)
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT assert_bulk_same(:i, :k);
COMMIT;
},
		'006_residual@5' => q{
\set i random(1, 100000)
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT assert_same('residual', format('residual_query(''model'', ct_point(''gauss'', 3, %s, 2))', :i), CASE WHEN :i % 10 > 0 THEN 30 END);
COMMIT;
},
		'006_shifting@10' => q{
\set d random(1, 4)
SELECT shifting_scan((ARRAY[2,3,100,1100])[:d]);
},
		'006_all@1' => q{
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT assert_same('busy', '''{0.1,0.2}''', NULL);
COMMIT;
}});

$primary->safe_psql('postgres', q{
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
	WHERE application_name IN ('load', 'vacuum')});
$load->finish;
$vacuum->finish;
$primary->wait_for_catchup($standby);
my @points = ('{0,0}', '{0.5,-0.5}', '{0.1,0.2}');
foreach my $node ($primary, $standby)
{
	my $where = 'after the load, ' . $node->name;

	whole_ok($node, 'shifting', "$where, shifting");
	whole_ok($node, 'busy', $where);
	exact_ok($node, 'busy', \@points, $where);
	whole_ok($node, 'residual', "$where, residual");
	exact_ok($node, 'residual', [ residual_queries('model', @points) ], "$where, residual");
}

done_testing();
