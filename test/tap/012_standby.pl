# A streaming standby under wal_consistency_checking = all, with hot_standby_feedback off and on: it replays what the
# primary inserts, updates, deletes and vacuums without an inconsistent page; its queries fail with nothing but recovery
# conflicts and return each row once; when it has caught up it answers as the primary does; a row that its snapshot sees
# is returned though the primary knows it dead; promoted, its indexes are sound and take rows.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);
use VecannTest;

my $primary = new_server('primary', streaming => 1, conf => <<'CONF');
wal_consistency_checking = all
max_wal_size = 1GB
wal_keep_size = 8GB
CONF
add_schema($primary, rows => 600);
add_wide($primary);
$primary->safe_psql('postgres', q{
	CREATE UNLOGGED TABLE fleeting (id bigserial, v vector(8));
	CREATE INDEX fleeting_l2 ON fleeting USING hnsw (v vector_l2_ops);
	INSERT INTO fleeting (v) SELECT random_vector(8) FROM generate_series(1, 200);
	CREATE TABLE killed (id bigint, v vector(2)) WITH (autovacuum_enabled = off);
	CREATE INDEX killed_l2 ON killed USING hnsw (v vector_l2_ops);
	INSERT INTO killed SELECT i, ARRAY[i, i]::vector FROM generate_series(1, 6) i;
});

$primary->backup('base');
my %standbys;
for my $feedback ('off', 'on')
{
	my $standby = PostgreSQL::Test::Cluster->new("standby_$feedback");
	$standby->init_from_backup($primary, 'base', has_streaming => 1);
	$standby->append_conf('postgresql.conf', <<"CONF");
hot_standby_feedback = $feedback
wal_receiver_status_interval = 1
max_standby_streaming_delay = 200ms
CONF
	$standby->start;
	$standbys{$feedback} = $standby;
}

sub catch_up
{
	$primary->wait_for_catchup($_, 'replay', $primary->lsn('insert')) for sort map { $_->name } values %standbys;
	return;
}

# A few searches: the ten nearest and all rows, in order.
my (@searches, @full);
for my $n (1 .. 6)
{
	for my $search ([ 'plain', '<->' ], [ 'plain', '<#>' ], [ 'dups', '<->' ], [ 'dups', '<=>' ])
	{
		my ($table, $op) = @$search;
		my $vector = join ',', map { ($n * $_ * 7 % 10) / 10 } 1 .. 8;
		my $scan = "FROM scan_ids('$table', 'v', '$op', '[$vector]',";
		push @searches, "SELECT '$table $op', string_agg(id::text, ',') $scan 10) id;";
		push @searches, "SELECT '$table $op', string_agg(id::text, ',') $scan NULL) id;";
		push @full, "SELECT '$table $op', string_agg(id::text, ',' ORDER BY id) $scan NULL) id;";
	}
}

for my $id (3, 5)
{
	my $scan = "FROM scan_ids('wide', 'v', '<->', (SELECT v FROM wide WHERE id = $id),";
	push @searches, "SELECT 'wide', string_agg(id::text, ',') $scan 10) id;";
	push @full, "SELECT 'wide', string_agg(id::text, ',' ORDER BY id) $scan NULL) id;";
}

sub same_answers
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($label, @queries) = @_;
	catch_up();
	my $expected = $primary->safe_psql('postgres', join ' ', @queries);
	for my $feedback (sort keys %standbys)
	{
		my $found = $standbys{$feedback}->safe_psql('postgres', join ' ', @queries);
		ok($found eq $expected, "$label: the standby with feedback $feedback answers as the primary does");
	}
	return;
}

# Vacuums until no dead row is left; a standby's feedback may hold them for a second.
sub vacuum_all
{
	for my $table ('plain', 'dups', 'wide')
	{
		for (1 .. 100)
		{
			$primary->safe_psql('postgres', "VACUUM (INDEX_CLEANUP ON) $table");
			last if $primary->safe_psql('postgres', "SELECT heap_tids = (SELECT count(v) FROM $table)
				FROM vecann_verify('${table}_l2')") eq 't';
			sleep 0.1;
		}
	}
	return;
}

same_answers('at the start', @searches);

# ---- a row that the primary knows dead ---------------------------------------------
#
# The primary's scans flag it in the index; a standby may still have a snapshot that sees it.
my $reader = $standbys{off}->background_psql('postgres');
$reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
is($reader->query_safe(q{SELECT count(*) FROM scan_ids('killed', 'v', '<->', '[0,0]', NULL)}), '6',
	'the snapshot sees six rows');
$primary->safe_psql('postgres', 'DELETE FROM killed WHERE id IN (2, 5)');
# once the feedback of the other standby allows it
wait_until($primary, q{SELECT count(*) FROM scan_ids('killed', 'v', '<->', '[0,0]', NULL) \g /dev/null
	SELECT killed_tids = 2 FROM vecann_verify('killed_l2')});
$primary->wait_for_catchup('standby_off', 'replay', $primary->lsn('insert'));
is($reader->query_safe(q{SELECT string_agg(id::text, ',') FROM scan_ids('killed', 'v', '<->', '[0,0]', NULL) id}),
	'1,2,3,4,5,6', 'the snapshot still sees them through the index');
is($reader->query_safe(q{SELECT string_agg(id::text, ',') FROM scan_ids('killed', 'v', '<->', '[2,2]', 1) id}),
	'2', 'and as the nearest one');
$reader->query_safe('COMMIT');
is($reader->query_safe(q{SELECT string_agg(id::text, ',') FROM scan_ids('killed', 'v', '<->', '[0,0]', NULL) id}),
	'1,3,4,6', 'a later snapshot does not');
$reader->quit;

# ---- a busy primary ----------------------------------------------------------------

my %writers = (
	'insert@6' => q{
		INSERT INTO plain (v) SELECT random_vector(8) FROM generate_series(1, 3);
		INSERT INTO dups (v) SELECT common_vector(8, 40) FROM generate_series(1, 3);
	},
	'update@3' => q{
		\set n random(1, 5)
		UPDATE plain SET v = random_vector(8) WHERE id % 97 = :n;
		UPDATE dups SET v = common_vector(8, 40) WHERE id % 89 = :n;
	},
	'delete@2' => q{
		\set n random(0, 30)
		DELETE FROM plain WHERE id % 31 = :n;
		DELETE FROM dups WHERE id % 31 = :n;
	},
	'wide@2' => q{
		\set n random(0, 30)
		INSERT INTO wide (v) SELECT random_vector(4000);
		DELETE FROM wide WHERE id > 5 AND id % 31 = :n;
	},
	'scan@1' => q{
		SELECT count(*) FROM scan_ids('plain', 'v', '<->', random_vector(8), 20);
		SELECT count(*) FROM scan_ids('dups', 'v', '<=>', common_vector(8, 40), 20);
	});
my %vacuum = (vacuum => q{
	VACUUM (INDEX_CLEANUP ON) plain;
	VACUUM (INDEX_CLEANUP ON) dups;
	VACUUM (INDEX_CLEANUP ON) wide;
	\sleep 50 ms
});
my %readers = (
	'full@2' => q{
		BEGIN ISOLATION LEVEL REPEATABLE READ;
		SELECT scan_check('plain', 'v', '<->', common_vector(8, 40), NULL);
		SELECT scan_check('dups', 'v', '<->', common_vector(8, 40), NULL);
		SELECT scan_check('dups', 'v', '<=>', common_vector(8, 40), NULL);
		SELECT scan_check('wide', 'v', '<->', random_vector(4000), NULL);
		COMMIT;
	},
	'top@4' => q{
		BEGIN ISOLATION LEVEL REPEATABLE READ;
		SELECT scan_check('plain', 'v', '<->', random_vector(8), 30);
		SELECT scan_check('plain', 'v', '<#>', random_vector(8), 300);
		SELECT scan_check('dups', 'v', '<->', common_vector(8, 40), 200);
		SELECT scan_check('wide', 'v', '<->', random_vector(4000), 5);
		COMMIT;
	});
for my $round (1 .. 2)
{
	my @loads = (start_load($primary, 2, %writers), start_load($primary, 1, %vacuum));
	push @loads, map { start_load($standbys{$_}, 2, %readers) } sort keys %standbys;
	sleep 6;
	is(stop_load(@loads), '', "round $round: no errors but recovery conflicts");
	wait_until($primary, q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'pgbench'});
	same_answers("round $round, all rows", @full);
	vacuum_all();
	same_answers("round $round, vacuumed", @searches);
	for my $feedback (sort keys %standbys)
	{
		scan_ok($standbys{$feedback}, "round $round, standby with feedback $feedback");
	}
}
verify_all($primary, 'primary');
for my $feedback (sort keys %standbys)
{
	my $log = slurp_file($standbys{$feedback}->logfile);
	unlike($log, qr/inconsistent page|PANIC|TRAP/, "feedback $feedback: replay found no inconsistent page");
	my ($rc, $out, $err) = $standbys{$feedback}->psql('postgres', 'SELECT count(*) FROM
		scan_ids(\'fleeting\', \'v\', \'<->\', random_vector(8), 5)');
	like($err, qr/cannot access temporary or unlogged relations during recovery/, 'no unlogged table on a standby');
}

# ---- promotion ---------------------------------------------------------------------

for my $feedback (sort keys %standbys)
{
	my $standby = $standbys{$feedback};
	my $label = "promoted, feedback $feedback";
	my $before = $standby->safe_psql('postgres', join ' ', @searches);
	$standby->promote;
	wait_until($standby, 'SELECT NOT pg_is_in_recovery()');
	verify_all($standby, $label);
	ok($standby->safe_psql('postgres', join ' ', @searches) eq $before, "$label: the answers of before");

	is($standby->safe_psql('postgres', 'SELECT nodes, problems FROM vecann_verify(\'fleeting_l2\')'),
		'0|{}', "$label: the index of an unlogged table is empty");
	$standby->safe_psql('postgres', 'INSERT INTO fleeting (v) SELECT random_vector(8) FROM generate_series(1, 300)');
	is($standby->safe_psql('postgres', q{SELECT scan_check('fleeting', 'v', '<->', random_vector(8), NULL)}),
		'300', "$label: it can be used");

	my @loads = (start_load($standby, 2, %writers, %readers), start_load($standby, 1, %vacuum));
	sleep 2;
	is(stop_load(@loads), '', "$label: it takes rows");
	wait_until($standby, q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'pgbench'});
	verify_all($standby, "$label, after the load");
	scan_ok($standby, $label);
	recall_ok($standby, 'plain', '<->', 0.8, $label);
	$standby->stop;
}
$primary->stop;
done_testing();
