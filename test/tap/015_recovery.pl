# Other ways for an index to reach the disk: builds under wal_level = minimal that a crash follows, a base backup taken
# under load and recovered to a point in time, data checksums, unlogged tables.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);
use VecannTest;

# ---- wal_level = minimal -----------------------------------------------------------

for my $threshold ('0', '1GB')
{
	# below the threshold the server logs pages at commit, above it syncs the file
	my $node = new_server("minimal_$threshold", conf => "wal_skip_threshold = $threshold\n");
	$node->safe_psql('postgres', q{
		CREATE TABLE old (id bigserial, v vector(8));
		INSERT INTO old (v) SELECT random_vector(8) FROM generate_series(1, 400);
		CHECKPOINT;
		CREATE INDEX old_v ON old USING hnsw (v vector_l2_ops);
		BEGIN;
		CREATE TABLE fresh (id bigserial, v vector(8));
		CREATE INDEX fresh_v ON fresh USING hnsw (v vector_l2_ops);
		INSERT INTO fresh (v) SELECT common_vector(8, 30) FROM generate_series(1, 200);
		SAVEPOINT s;
		INSERT INTO fresh (v) SELECT random_vector(8) FROM generate_series(1, 100);
		ROLLBACK TO s;
		INSERT INTO fresh (v) SELECT random_vector(8) FROM generate_series(1, 100);
		COMMIT;
		BEGIN;
		TRUNCATE old;
		INSERT INTO old (v) SELECT random_vector(8) FROM generate_series(1, 300);
		COMMIT;
		CREATE TABLE kept (id bigserial, v vector(8));
		CREATE INDEX kept_v ON kept USING hnsw (v vector_cosine_ops);
		INSERT INTO kept (v) SELECT random_vector(8) FROM generate_series(1, 200);
		BEGIN;
		TRUNCATE kept;
		INSERT INTO kept (v) SELECT random_vector(8) FROM generate_series(1, 50);
		ROLLBACK;
	});
	crash($node, 'immediate');
	for my $table ([ 'old', '<->', 300 ], [ 'fresh', '<->', 300 ], [ 'kept', '<=>', 200 ])
	{
		my ($name, $op, $rows) = @$table;
		verify_ok($node, "${name}_v", "wal_level minimal, threshold $threshold");
		is($node->safe_psql('postgres', "SELECT scan_check('$name', 'v', '$op', random_vector(8), NULL)"),
			$rows, "wal_level minimal, threshold $threshold: a scan finds the rows of $name");
	}
	$node->stop;
}

# ---- base backup, point in time, checksums ------------------------------------------

my $node = new_server('origin', archiving => 1, checksums => 1, conf => "wal_consistency_checking = all\n");
add_schema($node, rows => 500);
$node->safe_psql('postgres', q{
	CREATE UNLOGGED TABLE fleeting (id bigserial, v vector(8));
	CREATE INDEX fleeting_l2 ON fleeting USING hnsw (v vector_l2_ops);
	INSERT INTO fleeting (v) SELECT random_vector(8) FROM generate_series(1, 200)});
my $load = start_load($node, 2,
	'insert@4' => q{
		INSERT INTO plain (v) SELECT random_vector(8) FROM generate_series(1, 3);
		INSERT INTO dups (v) SELECT common_vector(8, 40) FROM generate_series(1, 3);
	},
	'change@2' => q{
		\set n random(0, 60)
		UPDATE plain SET v = random_vector(8) WHERE id % 97 = :n;
		DELETE FROM dups WHERE id % 61 = :n;
	},
	'vacuum@1' => 'VACUUM (INDEX_CLEANUP ON) plain; VACUUM (INDEX_CLEANUP ON) dups;');
sleep 0.5;
$node->backup('base');
sleep 1;
# the point to recover to, and what a snapshot taken just before it sees at least
my $rows = $node->safe_psql('postgres', q{SELECT max(id) FROM plain});
$node->safe_psql('postgres', q{CREATE TABLE marker (); SELECT pg_create_restore_point('here')});
sleep 0.5;
is(stop_load($load), '', 'no errors in the load');
$node->safe_psql('postgres', 'DROP TABLE plain, dups; SELECT pg_switch_wal()');
verify_all($node, 'origin');

my $restored = PostgreSQL::Test::Cluster->new('restored');
$restored->init_from_backup($node, 'base', has_restoring => 1, standby => 0);
$restored->append_conf('postgresql.conf', "recovery_target_name = 'here'\nrecovery_target_action = promote\n");
$restored->start;
wait_until($restored, 'SELECT NOT pg_is_in_recovery()');
is($restored->safe_psql('postgres', q{SELECT to_regclass('marker') IS NOT NULL}), 't', 'recovered to the point');
is($restored->safe_psql('postgres', "SELECT max(id) >= $rows FROM plain"), 't', 'with its rows');
verify_all($restored, 'restored');
scan_ok($restored, 'restored');
recall_ok($restored, 'plain', '<->', 0.8, 'restored');
is($restored->safe_psql('postgres', q{SELECT nodes FROM vecann_verify('fleeting_l2')}), '0', 'unlogged: empty');
$restored->safe_psql('postgres', q{
	INSERT INTO plain (v) SELECT random_vector(8) FROM generate_series(1, 100);
	INSERT INTO fleeting (v) SELECT random_vector(8) FROM generate_series(1, 100);
	VACUUM (INDEX_CLEANUP ON)});
verify_all($restored, 'restored, with more rows');
is($restored->safe_psql('postgres', 'SELECT sum(checksum_failures) FROM pg_stat_database'), '0', 'no checksum failed');
$restored->stop;
command_ok([ 'pg_checksums', '--check', '-D', $restored->data_dir ], 'checksums of the restored server');
unlike(slurp_file($restored->logfile), qr/inconsistent page|PANIC|TRAP/, 'recovery found no inconsistent page');

# ---- unlogged tables ------------------------------------------------------------------

$node->safe_psql('postgres', 'DROP TABLE fleeting');
add_schema($node, rows => 300, unlogged => 1);
crash($node, 'immediate');
verify_all($node, 'unlogged, after a crash');
is($node->safe_psql('postgres', q{SELECT sum(r.nodes) FROM pg_class c, LATERAL vecann_verify(c.oid) r
	WHERE relname IN ('plain_l2', 'plain_ip', 'dups_l2', 'dups_cosine')}), '0', 'unlogged, after a crash: empty');
scan_ok($node, 'unlogged, after a crash');
$node->safe_psql('postgres', q{INSERT INTO plain (v) SELECT random_vector(8) FROM generate_series(1, 200);
	INSERT INTO dups (v) SELECT common_vector(8, 40) FROM generate_series(1, 200)});
verify_all($node, 'unlogged, filled again');
scan_ok($node, 'unlogged, filled again');
$node->restart;
is($node->safe_psql('postgres', q{SELECT heap_tids FROM vecann_verify('dups_l2')}), '200', 'unlogged: a clean restart keeps it');
$node->safe_psql('postgres', 'ALTER TABLE plain SET LOGGED; ALTER TABLE dups SET LOGGED');
crash($node, 'immediate');
verify_all($node, 'logged again, after a crash');
is($node->safe_psql('postgres', q{SELECT heap_tids FROM vecann_verify('plain_l2')}), '200', 'logged again: kept');
scan_ok($node, 'logged again, after a crash');
$node->stop;
command_ok([ 'pg_checksums', '--check', '-D', $node->data_dir ], 'checksums of the origin');
done_testing();
