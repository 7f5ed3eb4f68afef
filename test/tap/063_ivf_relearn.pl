# Indexes made on empty tables, filled under load while vacuum makes their lists: readers see every row of their snapshot
# once, also over kill and immediate stop; a standby under wal_consistency_checking = all that answers as the primary
# does; a vacuum that is cancelled ends soon. After each: the verifier.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use VecannTest;

my $primary = new_server('ivf_relearn', streaming => 1, conf => <<'CONF');
restart_after_crash = on
wal_consistency_checking = all
max_wal_size = 2GB
wal_keep_size = 4GB
synchronous_commit = off
client_min_messages = warning
CONF

sub make_tables
{
	$primary->safe_psql('postgres', q{
		SELECT setseed(0.3);
		DROP TABLE IF EXISTS late, long;
		CREATE TABLE late (id bigserial PRIMARY KEY, v vector(8));
		CREATE INDEX late_pq ON late USING ivfpq (v vector_l2_ops) WITH (sample = 200);
		CREATE INDEX late_rabitq ON late USING ivfpq (v vector_cosine_ops) WITH (sample = 300, quantizer = rabitq);
		CREATE INDEX late_sq8 ON late USING ivfpq (v vector_ip_ops) WITH (sample = 400, quantizer = sq8);
		CREATE TABLE long (id bigserial PRIMARY KEY, v vector(4000));
		ALTER TABLE long ALTER v SET STORAGE external;
		CREATE INDEX long_none ON long USING ivfpq (v vector_l2_ops) WITH (sample = 100, quantizer = none);
	});
	return;
}
make_tables();
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('ivf_relearn_standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', "max_standby_streaming_delay = 200ms\n");
$standby->start;

my %load = (
	'insert@6' => q{INSERT INTO late (v) SELECT random_vector(8) FROM generate_series(1, 4);},
	'update@2' => q{
		\set n random(1, 90)
		UPDATE late SET v = random_vector(8) WHERE id % 97 = :n;
	},
	'delete@1' => q{
		\set n random(0, 60)
		DELETE FROM late WHERE id % 61 = :n;
	},
	'long@3' => q{INSERT INTO long (v) SELECT random_vector(4000) FROM generate_series(1, 2);},
	'rollback@1' => q{
		BEGIN;
		INSERT INTO late (v) SELECT random_vector(8) FROM generate_series(1, 5);
		ROLLBACK;
	});
my %readers = (
	'top' => q{
		BEGIN ISOLATION LEVEL REPEATABLE READ;
		SELECT scan_check('late', 'v', '<->', random_vector(8), NULL);
		SELECT scan_check('late', 'v', '<=>', random_vector(8), NULL);
		SELECT scan_check('late', 'v', '<#>', random_vector(8), 100);
		SELECT scan_check('long', 'v', '<->', random_vector(4000), NULL);
		COMMIT;
	});
my $vacuum = q{VACUUM (INDEX_CLEANUP ON) late; VACUUM (INDEX_CLEANUP ON) long;};
my $busy = q{FROM pg_stat_activity
	WHERE query ~ '^\s*(INSERT|UPDATE|DELETE|VACUUM|BEGIN|ROLLBACK|SELECT scan)' AND query !~ 'pg_stat_activity'};
my $learnt = q{SELECT bool_and(learnt) FROM unnest(ARRAY['late_pq', 'late_rabitq', 'late_sq8', 'long_none']::regclass[]) i,
	LATERAL vecann_list_stats(i)};

sub full_scans
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($node, $label) = @_;
	for my $scan ([ 'late', '<->', 8 ], [ 'late', '<=>', 8 ], [ 'late', '<#>', 8 ], [ 'long', '<->', 4000 ])
	{
		my ($table, $op, $dim) = @$scan;
		my ($rc, $out, $err) = $node->psql('postgres', "SELECT scan_check('$table', 'v', '$op', random_vector($dim), NULL) >= 0");
		is("$out$err", 't', "$label: a full scan of $table by $op returns each row once");
	}
	return;
}

# A search that a standby's replay has overtaken twice is told to run again.
sub errors_of { return join "\n", grep { !/was built anew by VACUUM/ } split /\n/, stop_load(@_); }

srand 5;
for my $round (1 .. 3)
{
	make_tables() if $round > 1;
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
	my @loads = (
		start_load($primary, 2, %load),
		start_load($primary, 1, vacuum => $vacuum),
		start_load($primary, 1, %readers),
		start_load($standby, 1, %readers));
	if ($round == 2)
	{
		sleep 1.5 + rand 1.5;
		crash($primary, 'immediate');
		is(errors_of(@loads), '', "round $round: no errors until the crash");
		verify_all($primary, "round $round: after the crash");
		full_scans($primary, "round $round: after the crash");
		@loads = (
			start_load($primary, 2, %load),
			start_load($primary, 1, vacuum => $vacuum),
			start_load($primary, 1, %readers));
	}
	wait_until($primary, $learnt);
	sleep 2;
	is(errors_of(@loads), '', "round $round: no errors but recovery conflicts");
	wait_until($primary, "SELECT count(*) = 0 $busy");
	verify_all($primary, "round $round");
	full_scans($primary, "round $round");
	# Twice: the first one may replace lists that have grown since they were made.
	$primary->safe_psql('postgres', "SELECT pg_current_xact_id(); $_")
	  for ('VACUUM (INDEX_CLEANUP ON) late', 'VACUUM (INDEX_CLEANUP ON) long') x 2;
	verify_all($primary, "round $round, vacuumed");
	is($primary->safe_psql('postgres', q{SELECT sum(retired_pages)
		FROM unnest(ARRAY['late_pq', 'late_rabitq', 'late_sq8', 'long_none']::regclass[]) i, LATERAL vecann_list_stats(i)}),
		'0', "round $round: no page of the old structures is left");
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
	full_scans($standby, "round $round, standby");
	my $questions = join ' ', map {
		my $vector = join ',', map { $_ / 10 } $_ .. $_ + 7;
		"SELECT string_agg(id::text, ',') FROM scan_ids('late', 'v', '<->', '[$vector]', 30) id;"
	} 1 .. 5;
	is($standby->safe_psql('postgres', $questions), $primary->safe_psql('postgres', $questions),
		"round $round: the standby answers as the primary does");
	is($standby->safe_psql('postgres', q{SELECT problems FROM vecann_verify('late_pq')}), '{}', "round $round: verified on the standby");
}
unlike(slurp_file($standby->logfile), qr/inconsistent page|PANIC|TRAP/, 'replay found no inconsistent page');
$standby->stop;

# ---- cancelled in the middle -----------------------------------------------------------

$primary->safe_psql('postgres', q{
	CREATE TABLE big (id bigserial, v vector(32));
	CREATE INDEX big_flat ON big USING ivfflat (v) WITH (lists = 1000);
	INSERT INTO big (v) SELECT random_vector(32) FROM generate_series(1, 12000)});
my $start = time;
my ($rc, $out, $err) = $primary->psql('postgres', q{SET statement_timeout = '300ms'; VACUUM (INDEX_CLEANUP ON) big});
SKIP:
{
	skip 'the lists were made too soon', 1 if $err eq '';
	like($err, qr/canceling statement due to statement timeout/, 'vacuum is cancelled');
}
verify_ok($primary, 'big_flat', 'cancelled');
$primary->safe_psql('postgres', 'VACUUM big');
is($primary->safe_psql('postgres', q{SELECT learnt, lists FROM vecann_list_stats('big_flat')}), 't|1000', 'the next one makes the lists');
verify_ok($primary, 'big_flat', 'lists made');
# Too little memory for the centroids alone.
($rc, $out, $err) = $primary->psql('postgres', q{
	CREATE TABLE wide (v vector(2000));
	CREATE INDEX wide_pq ON wide USING ivfpq (v vector_l2_ops) WITH (sample = 100, lists = 2000);
	INSERT INTO wide SELECT random_vector(2000) FROM generate_series(1, 120);
	SET maintenance_work_mem = '1MB';
	VACUUM wide});
like("$rc$err", qr/^0.*maintenance_work_mem is too low/s, 'too little memory: vacuum says so and goes on');
is($primary->safe_psql('postgres', q{SELECT learnt FROM vecann_list_stats('wide_pq')}), 'f', '... the list is as it was');
verify_ok($primary, 'wide_pq', 'too little memory');
$primary->stop;
done_testing();
