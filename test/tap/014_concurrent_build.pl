# CREATE INDEX CONCURRENTLY, REINDEX INDEX and REINDEX TABLE CONCURRENTLY while others insert, update, delete and
# vacuum: no row is missing, none comes twice. Then parallel vacuum over several hnsw indexes.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);
use VecannTest;

my $node = new_server('build', conf => <<'CONF');
min_parallel_index_scan_size = 0
max_parallel_maintenance_workers = 3
autovacuum = on
autovacuum_naptime = 1s
autovacuum_vacuum_scale_factor = 0.05
CONF
add_schema($node, rows => 1500);

my %writers = (
	'insert@6' => q{
		INSERT INTO plain (v) SELECT random_vector(8) FROM generate_series(1, 3);
		INSERT INTO dups (v) SELECT common_vector(8, 40) FROM generate_series(1, 3);
	},
	'update@3' => q{
		\set n random(1, 90)
		UPDATE plain SET v = random_vector(8) WHERE id % 97 = :n;
		UPDATE dups SET note = note + 1 WHERE id % 89 = :n;
	},
	'delete@2' => q{
		\set n random(0, 30)
		DELETE FROM plain WHERE id % 31 = :n;
		DELETE FROM dups WHERE id % 31 = :n;
	},
	'slow@1' => q{
		BEGIN;
		INSERT INTO plain (v) SELECT random_vector(8);
		INSERT INTO dups (v) SELECT common_vector(8, 40);
		\sleep 30 ms
		ROLLBACK;
	});
my %readers = ('scan' => q{
	BEGIN ISOLATION LEVEL REPEATABLE READ;
	SELECT scan_check('plain', 'v', '<->', random_vector(8), NULL);
	SELECT scan_check('dups', 'v', '<=>', common_vector(8, 40), NULL);
	COMMIT;
});
my @loads = (start_load($node, 3, %writers), start_load($node, 1, %readers));
for my $round (1 .. 3)
{
	for my $sql (
		'CREATE INDEX CONCURRENTLY extra ON plain USING hnsw (v vector_cosine_ops) WITH (m = 6, ef_construction = 24)',
		'REINDEX INDEX CONCURRENTLY plain_l2',
		'REINDEX TABLE CONCURRENTLY dups',
		'DROP INDEX CONCURRENTLY extra')
	{
		my ($rc, $out, $err) = $node->psql('postgres', $sql);
		is($err, '', "round $round: $sql");
		verify_all($node, "round $round: $sql");
	}
}
is(stop_load(@loads), '', 'no errors in the load');
wait_until($node, q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'pgbench'});
is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_index WHERE NOT indisvalid'), '0', 'no invalid index is left');
verify_all($node, 'after the load');
scan_ok($node, 'after the load');
recall_ok($node, 'plain', '<->', 0.8, 'after the load');

# Parallel vacuum
$node->safe_psql('postgres', q{
	ALTER SYSTEM SET autovacuum = off;
	SELECT pg_reload_conf()});
# its snapshot would keep the rows that are deleted now
wait_until($node, q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type LIKE 'autovacuum %'});
$node->safe_psql('postgres', q{
	CREATE INDEX plain_cosine ON plain USING hnsw (v vector_cosine_ops);
	DELETE FROM plain WHERE id % 3 = 0});
my ($rc, $out, $err) = $node->psql('postgres', 'VACUUM (VERBOSE, PARALLEL 2, INDEX_CLEANUP ON) plain');
like($err, qr/launched [12] parallel vacuum workers? for index vacuuming/, 'parallel vacuum has workers');
verify_all($node, 'parallel vacuum');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_index JOIN pg_class c ON c.oid = indexrelid
	JOIN pg_am a ON a.oid = relam, LATERAL vecann_verify(indexrelid) r WHERE amname = 'hnsw'
	AND indrelid = 'plain'::regclass AND (r.deleted_slots > 0 OR r.free_slots = 0)}), '0',
	'parallel vacuum: slots are free in every index');
scan_ok($node, 'parallel vacuum');
$node->stop;
done_testing();
