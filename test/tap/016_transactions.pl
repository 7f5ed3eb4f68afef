# What transactions and commands do to an index, with a crash after each: savepoints, two-phase commit, TRUNCATE, another
# tablespace, temporary tables, VACUUM FULL and CLUSTER.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VecannTest;

my $node = new_server('transactions', streaming => 1, conf => <<'CONF');
wal_consistency_checking = all
allow_in_place_tablespaces = on
CONF
add_schema($node, rows => 300);

sub rows
{
	return $node->safe_psql('postgres', q{SELECT count(v) FROM plain});
}

# Sound, and complete, now and after a crash.
sub check
{
	my ($label) = @_;
	for my $when ($label, "$label, after a crash")
	{
		crash($node, 'immediate') if $when ne $label;
		verify_all($node, $when);
		scan_ok($node, $when);
	}
	return;
}

# Savepoints: half of the rows stay, the others go with a vacuum.
$node->safe_psql('postgres', q{
	BEGIN;
	INSERT INTO plain (v) SELECT random_vector(8) FROM generate_series(1, 50);
	SAVEPOINT a;
	INSERT INTO plain (v) SELECT random_vector(8) FROM generate_series(1, 50);
	INSERT INTO dups (v) SELECT common_vector(8, 40) FROM generate_series(1, 50);
	SAVEPOINT b;
	DELETE FROM plain WHERE id % 2 = 0;
	UPDATE dups SET v = common_vector(8, 40) WHERE id % 5 = 0;
	ROLLBACK TO b;
	INSERT INTO dups (v) SELECT common_vector(8, 40) FROM generate_series(1, 20);
	ROLLBACK TO a;
	INSERT INTO dups (v) SELECT common_vector(8, 40) FROM generate_series(1, 30);
	COMMIT});
is(rows(), 351, 'savepoints: the rows that stay');
check('savepoints');
$node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP ON) plain; VACUUM (INDEX_CLEANUP ON) dups');
is($node->safe_psql('postgres', q{SELECT heap_tids, deleted_slots FROM vecann_verify('plain_l2')}),
	'351|0', 'savepoints: the others are gone after a vacuum');

# An insert that fails after some rows.
my ($rc, $out, $err) = $node->psql('postgres', q{INSERT INTO plain (v)
	SELECT CASE WHEN i < 40 THEN random_vector(8) ELSE random_vector(7) END FROM generate_series(1, 50) i});
like($err, qr/expected 8 dimensions, not 7/, 'an insert fails half-way');
check('failed insert');
is(rows(), 351, 'failed insert: no row is left');

# Two-phase commit, over a crash.
$node->safe_psql('postgres', q{
	BEGIN; INSERT INTO plain (v) SELECT random_vector(8) FROM generate_series(1, 20); PREPARE TRANSACTION 'kept';
	BEGIN; INSERT INTO plain (v) SELECT random_vector(8) FROM generate_series(1, 30); PREPARE TRANSACTION 'undone';
	BEGIN; DELETE FROM plain WHERE id <= 40; PREPARE TRANSACTION 'deleted'});
crash($node, 'immediate');
is(rows(), 351, 'two-phase commit: nothing is visible before COMMIT PREPARED');
scan_ok($node, 'two-phase commit, prepared');
$node->safe_psql('postgres', q{VACUUM (INDEX_CLEANUP ON) plain});
$node->safe_psql('postgres', q{COMMIT PREPARED 'kept'});
$node->safe_psql('postgres', q{ROLLBACK PREPARED 'undone'});
$node->safe_psql('postgres', q{COMMIT PREPARED 'deleted'});
is(rows(), 331, 'two-phase commit: the rows');
check('two-phase commit');

# TRUNCATE, undone and done.
$node->safe_psql('postgres', q{
	BEGIN; TRUNCATE plain; INSERT INTO plain (v) SELECT random_vector(8) FROM generate_series(1, 10); ROLLBACK});
is(rows(), 331, 'TRUNCATE undone: the rows');
check('TRUNCATE undone');
$node->safe_psql('postgres', 'TRUNCATE plain');
is($node->safe_psql('postgres', q{SELECT nodes FROM vecann_verify('plain_l2')}), '0', 'TRUNCATE: an empty index');
check('TRUNCATE');
$node->safe_psql('postgres', 'INSERT INTO plain (v) SELECT random_vector(8) FROM generate_series(1, 200)');
check('TRUNCATE, filled again');

# Another tablespace.
$node->safe_psql('postgres', q{CREATE TABLESPACE elsewhere LOCATION ''});
$node->safe_psql('postgres', 'ALTER INDEX plain_l2 SET TABLESPACE elsewhere; ALTER INDEX dups_cosine SET TABLESPACE elsewhere');
check('tablespace');
$node->safe_psql('postgres', q{
	BEGIN; ALTER INDEX plain_l2 SET TABLESPACE pg_default; ROLLBACK;
	INSERT INTO plain (v) SELECT random_vector(8) FROM generate_series(1, 50);
	DELETE FROM plain WHERE id % 4 = 0});
$node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP ON) plain');
check('tablespace, changed there');
$node->safe_psql('postgres', 'ALTER TABLE dups SET TABLESPACE elsewhere; REINDEX (TABLESPACE pg_default) INDEX dups_cosine');
check('table in a tablespace');

# New files.
$node->safe_psql('postgres', 'VACUUM FULL plain');
$node->safe_psql('postgres', 'CLUSTER dups USING dups_pkey');
$node->safe_psql('postgres', 'REINDEX TABLE plain');
check('VACUUM FULL, CLUSTER, REINDEX');
$node->safe_psql('postgres', 'ALTER TABLE plain ALTER v TYPE vector(8) USING (v * v)');
check('ALTER TYPE');

# Temporary tables; one that is emptied at each commit.
is($node->safe_psql('postgres', q{
	CREATE TEMP TABLE brief (id bigserial, v vector(8)) ON COMMIT DELETE ROWS;
	CREATE INDEX brief_v ON brief USING hnsw (v vector_l2_ops);
	CREATE TEMP TABLE own (id bigserial, v vector(8));
	CREATE INDEX own_v ON own USING hnsw (v vector_l2_ops);
	INSERT INTO own (v) SELECT random_vector(8) FROM generate_series(1, 300);
	DELETE FROM own WHERE id % 3 = 0;
	VACUUM (INDEX_CLEANUP ON) own;
	INSERT INTO own (v) SELECT common_vector(8, 20) FROM generate_series(1, 100);
	SELECT problems FROM vecann_verify('own_v');
	SELECT scan_check('own', 'v', '<->', random_vector(8), NULL);
	BEGIN;
	INSERT INTO brief (v) SELECT random_vector(8) FROM generate_series(1, 50);
	SELECT scan_check('brief', 'v', '<->', random_vector(8), NULL);
	COMMIT;
	BEGIN;
	INSERT INTO brief (v) SELECT random_vector(8) FROM generate_series(1, 20);
	SELECT scan_check('brief', 'v', '<->', random_vector(8), NULL);
	SELECT problems FROM vecann_verify('brief_v');
	COMMIT}), "{}\n300\n50\n20\n{}", 'temporary tables');

verify_all($node, 'at the end');
$node->stop;
done_testing();
