# ivfflat, of vectors and of bits, and ivfpq under load: kill -9 and immediate stops while rows come and go and vacuum runs; a standby under
# wal_consistency_checking = all that answers as the primary does, without an inconsistent page, and takes rows when it is
# promoted; unlogged indexes after a crash; builds that are cancelled or do not fit memory. After each: the verifier.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use VecannTest;

# The signs of a vector of eight dimensions, as an index on an expression has them.
my $bits = q{(binary_quantize(v - '[.5,.5,.5,.5,.5,.5,.5,.5]'::vector)::bit(8))};

my $primary = new_server('ivf', streaming => 1, conf => <<'CONF');
restart_after_crash = on
wal_consistency_checking = all
max_wal_size = 2GB
wal_keep_size = 4GB
synchronous_commit = off
CONF
$primary->safe_psql('postgres', qq{
	SELECT setseed(0.3);
	CREATE TABLE flat (id bigserial PRIMARY KEY, v vector(8));
	INSERT INTO flat (v) SELECT random_vector(8) FROM generate_series(1, 1500);
	INSERT INTO flat (v) VALUES (NULL), ('[0,0,0,0,0,0,0,0]');
	CREATE INDEX flat_l2 ON flat USING ivfflat (v) WITH (lists = 15);
	CREATE INDEX flat_cosine ON flat USING ivfflat (v vector_cosine_ops) WITH (lists = 15);
	CREATE INDEX flat_bits ON flat USING ivfflat ($bits bit_hamming_ops) WITH (lists = 15);
	CREATE TABLE compact (id bigserial PRIMARY KEY, v vector(8));
	INSERT INTO compact (v) SELECT random_vector(8) FROM generate_series(1, 1500);
	CREATE INDEX compact_l2 ON compact USING ivfpq (v vector_l2_ops) WITH (lists = 15);
	CREATE INDEX compact_ip ON compact USING ivfpq (v vector_ip_ops) WITH (lists = 15, quantizer = rabitq);
	CREATE INDEX compact_cosine ON compact USING ivfpq (v vector_cosine_ops) WITH (lists = 15, bits = 8);
	CREATE TABLE stored (id bigserial PRIMARY KEY, v vector(8));
	INSERT INTO stored (v) SELECT random_vector(8) FROM generate_series(1, 1500);
	CREATE INDEX stored_l2 ON stored USING ivfpq (v vector_l2_ops) WITH (lists = 15, rerank = stored);
	CREATE INDEX stored_ip ON stored USING ivfpq (v vector_ip_ops) WITH (lists = 15, rerank = stored, quantizer = rabitq);
	CREATE TABLE long (id bigserial PRIMARY KEY, v vector(4000));
	ALTER TABLE long ALTER v SET STORAGE external;
	INSERT INTO long (v) SELECT random_vector(4000) FROM generate_series(1, 60);
	CREATE INDEX long_l2 ON long USING ivfflat (v) WITH (lists = 3);
	CREATE UNLOGGED TABLE fleeting (id bigserial, v vector(8));
	INSERT INTO fleeting (v) SELECT random_vector(8) FROM generate_series(1, 500);
	CREATE INDEX fleeting_flat ON fleeting USING ivfflat (v) WITH (lists = 5);
	CREATE INDEX fleeting_bits ON fleeting USING ivfflat ($bits bit_hamming_ops) WITH (lists = 5);
	CREATE INDEX fleeting_pq ON fleeting USING ivfpq (v vector_l2_ops) WITH (lists = 5);
	CREATE FUNCTION bits_scan(q bit, wanted int) RETURNS SETOF bigint LANGUAGE sql SET enable_seqscan = off SET enable_sort = off AS
		\$\$SELECT id FROM flat ORDER BY $bits <~> q LIMIT wanted\$\$;
});

my @scans = ([ 'flat', '<->' ], [ 'flat', '<=>' ], [ 'compact', '<->' ], [ 'compact', '<#>' ], [ 'compact', '<=>' ],
	[ 'stored', '<->' ], [ 'stored', '<#>' ]);

my %load = (
	'insert@6' => q{
		INSERT INTO flat (v) SELECT random_vector(8) FROM generate_series(1, 3);
		INSERT INTO compact (v) SELECT random_vector(8) FROM generate_series(1, 3);
		INSERT INTO stored (v) SELECT random_vector(8) FROM generate_series(1, 3);
	},
	'update@3' => q{
		\set n random(1, 90)
		UPDATE flat SET v = random_vector(8) WHERE id % 97 = :n;
		UPDATE compact SET v = random_vector(8) WHERE id % 97 = :n;
		UPDATE stored SET v = random_vector(8) WHERE id % 97 = :n;
	},
	'delete@2' => q{
		\set n random(0, 30)
		DELETE FROM flat WHERE id % 31 = :n;
		DELETE FROM compact WHERE id % 31 = :n;
		DELETE FROM stored WHERE id % 31 = :n;
	},
	'long@2' => q{
		\set n random(0, 30)
		INSERT INTO long (v) SELECT random_vector(4000);
		DELETE FROM long WHERE id % 31 = :n;
	},
	'rollback@1' => q{
		BEGIN;
		INSERT INTO flat (v) SELECT random_vector(8) FROM generate_series(1, 5);
		INSERT INTO long (v) SELECT random_vector(4000);
		ROLLBACK;
	},
	'scan@2' => q{
		SELECT count(*) FROM scan_ids('flat', 'v', '<->', random_vector(8), 200);
		SELECT count(*) FROM scan_ids('compact', 'v', '<->', random_vector(8), 200);
		SELECT count(*) FROM scan_ids('stored', 'v', '<->', random_vector(8), 200);
	});
my $vacuum =
  q{VACUUM (INDEX_CLEANUP ON) flat; VACUUM (INDEX_CLEANUP ON) compact; VACUUM (INDEX_CLEANUP ON) stored; VACUUM (INDEX_CLEANUP ON) long; CHECKPOINT;};

sub full_scans
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($node, $label) = @_;
	for my $scan (@scans)
	{
		my ($table, $op) = @$scan;
		my ($rc, $out, $err) =
		  $node->psql('postgres', "SELECT scan_check('$table', 'v', '$op', random_vector(8), NULL) >= 0");
		is("$out$err", 't', "$label: a full scan of $table by $op returns each row once");
	}
	is($node->safe_psql('postgres', q{SELECT count(*) = count(DISTINCT id) AND count(*) = (SELECT count(v) FROM flat)
			FROM bits_scan(B'01101001', NULL) AS id}),
		't', "$label: a full scan of flat by <~> returns each row once");
	is($node->safe_psql('postgres', q{SELECT scan_check('long', 'v', '<->', random_vector(4000), NULL) >= 0}),
		't', "$label: a full scan of long returns each row once");
	return;
}

sub check
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($label) = @_;
	verify_all($primary, $label);
	full_scans($primary, $label);
	$primary->safe_psql('postgres', $vacuum);
	verify_all($primary, "$label, vacuumed");
	return;
}

# ---- crashes -------------------------------------------------------------------------

# The sessions of a load, whatever they do.
my $busy = q{FROM pg_stat_activity
	WHERE query ~ '^\s*(INSERT|UPDATE|DELETE|VACUUM|CHECKPOINT|BEGIN|ROLLBACK|SELECT count)' AND query !~ 'pg_stat_activity'};

srand 11;
for my $how ('immediate', 'postmaster', 'backend')
{
	my $load = start_load($primary, 3, %load, 'vacuum@4' => $vacuum);
	sleep 1.0 + rand 1.0;
	my $pid;
	if ($how eq 'backend')
	{
		wait_until($primary, "SELECT count(*) > 0 $busy");
		$pid = $primary->safe_psql('postgres', "SELECT max(pid) $busy");
	}
	crash($primary, $how, $pid);
	is(stop_load($load), '', "$how: no error in the load");
	check($how);
	is($primary->safe_psql('postgres', q{SELECT count(*) FROM fleeting}), '0', "$how: the unlogged table is empty");
	$primary->safe_psql('postgres', q{INSERT INTO fleeting (v) SELECT random_vector(8) FROM generate_series(1, 300)});
	is($primary->safe_psql('postgres', q{SELECT scan_check('fleeting', 'v', '<->', random_vector(8), NULL)}),
		'300', "$how: its indexes can be used");
	verify_ok($primary, $_, $how) for ('fleeting_flat', 'fleeting_bits', 'fleeting_pq');
}

# ---- a standby -----------------------------------------------------------------------

$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('ivf_standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', "max_standby_streaming_delay = 200ms\n");
$standby->start;

my @questions;
for my $n (1 .. 6)
{
	for my $scan (@scans)
	{
		my ($table, $op) = @$scan;
		my $vector = join ',', map { ($n * $_ * 7 % 10) / 10 + 0.01 } 1 .. 8;
		push @questions, sprintf q{SELECT 'flat <~>', string_agg(id::text, ',') FROM bits_scan(%d::bit(8), 30) id;}, 37 * $n
		  if $table eq 'flat' && $op eq '<->';
		push @questions, "SELECT '$table $op', string_agg(id::text, ',') FROM scan_ids('$table', 'v', '$op', '[$vector]', 30) id;";
	}
}
my %readers = (
	'top' => q{
		BEGIN ISOLATION LEVEL REPEATABLE READ;
		SELECT scan_check('flat', 'v', '<->', random_vector(8), NULL);
		SELECT count(*) FROM bits_scan((random() * 255)::int::bit(8), 200);
		SELECT scan_check('compact', 'v', '<->', random_vector(8), NULL);
		SELECT scan_check('compact', 'v', '<#>', random_vector(8), 100);
		SELECT scan_check('stored', 'v', '<->', random_vector(8), NULL);
		SELECT scan_check('long', 'v', '<->', random_vector(4000), NULL);
		COMMIT;
	});
for my $round (1 .. 2)
{
	my @loads = (
		start_load($primary, 2, %load),
		start_load($primary, 1, vacuum => $vacuum),
		start_load($standby, 2, %readers));
	sleep 4;
	is(stop_load(@loads), '', "round $round: no errors but recovery conflicts");
	wait_until($primary, "SELECT count(*) = 0 $busy");
	$primary->safe_psql('postgres', $vacuum);
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
	my $answers = $primary->safe_psql('postgres', join ' ', @questions);
	ok($standby->safe_psql('postgres', join ' ', @questions) eq $answers,
		"round $round: the standby answers as the primary does");
	verify_all($primary, "round $round");
	full_scans($standby, "round $round, standby");
}
unlike(slurp_file($standby->logfile), qr/inconsistent page|PANIC|TRAP/, 'replay found no inconsistent page');
$standby->promote;
wait_until($standby, 'SELECT NOT pg_is_in_recovery()');
verify_all($standby, 'promoted');
is($standby->safe_psql('postgres', q{SELECT nodes, problems FROM vecann_verify('fleeting_pq')}), '0|{}',
	'promoted: the index of an unlogged table is empty');
my $load = start_load($standby, 2, %load, 'vacuum@4' => $vacuum);
sleep 2;
is(stop_load($load), '', 'promoted: it takes rows');
wait_until($standby, "SELECT count(*) = 0 $busy");
verify_all($standby, 'promoted, after the load');
$standby->stop;

# ---- builds --------------------------------------------------------------------------

$primary->safe_psql('postgres', q{
	CREATE TABLE big (id bigserial, v vector(64));
	ALTER TABLE big ALTER v SET STORAGE plain;
	INSERT INTO big (v) SELECT random_vector(64) FROM generate_series(1, 40000)});
# The rows take 11 MB, and the lists are written in ranges.
$primary->safe_psql('postgres', q{
	SET maintenance_work_mem = '1MB';
	CREATE INDEX big_flat ON big USING ivfflat (v) WITH (lists = 100);
	CREATE INDEX big_pq ON big USING ivfpq (v vector_l2_ops);
	DROP INDEX big_pq;
	CREATE INDEX big_one ON big USING ivfflat (v) WITH (lists = 1)});
verify_ok($primary, $_, 'little memory') for ('big_flat', 'big_one');
$primary->safe_psql('postgres', 'DROP INDEX big_flat, big_one');
my ($rc, $out, $err) = $primary->psql('postgres', q{
	SET maintenance_work_mem = '1MB';
	CREATE TABLE wide (v vector(8000));
	INSERT INTO wide SELECT random_vector(8000) FROM generate_series(1, 50);
	CREATE INDEX ON wide USING ivfflat (v) WITH (lists = 5)});
is("$rc$err", '0', 'few long vectors fit');
my $start = time;
($rc, $out, $err) = $primary->psql('postgres', q{
	SET statement_timeout = '500ms';
	CREATE INDEX big_slow ON big USING ivfflat (v) WITH (lists = 4000)});
like($err, qr/canceling statement due to statement timeout/, 'a build is cancelled');
cmp_ok(time - $start, '<', 15, '... soon');
is($primary->safe_psql('postgres', q{SELECT to_regclass('big_slow') IS NULL}), 't', '... and leaves nothing behind');
$primary->stop;
done_testing();
