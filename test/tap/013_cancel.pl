# A cancel, a statement_timeout and a terminate end a build, an insert of many rows and a long scan at once, where each
# would take minutes; the index has no problem then. On the way: what pg_stat_progress_create_index shows of a build.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use VecannTest;

my $node = new_server('cancel', conf => "shared_buffers = 64MB\nmaintenance_work_mem = 256MB\n");
# An index for which every row costs milliseconds: it is compared with a good part of the others. With the rows of
# `source` that is work for minutes, and for many seconds if the build were 50 times faster.
my $slow = 'USING hnsw (v vector_l2_ops) WITH (m = 100, ef_construction = 1000)';
$node->safe_psql('postgres', qq{
	SELECT setseed(0.3);
	CREATE TABLE source (id bigserial, v vector(48));
	INSERT INTO source (v) SELECT random_vector(48) FROM generate_series(1, 80000);
	CREATE TABLE target (id bigint, v vector(48));
	INSERT INTO target SELECT * FROM source WHERE id <= 600;
	CREATE INDEX target_v ON target $slow;
	CREATE TABLE fast (id bigint, v vector(48));
	INSERT INTO fast SELECT * FROM source WHERE id <= 3000;
	CREATE INDEX fast_v ON fast USING hnsw (v vector_l2_ops) WITH (m = 8, ef_construction = 16);
});

# it takes about that long to read the table; a fast build ends within two seconds
my $building = q{SELECT count(*) > 0 FROM pg_stat_progress_create_index JOIN pg_stat_activity USING (pid)
	WHERE query_start < now() - interval '0.3 s'};
my %jobs = (
	build => {
		sql => "CREATE INDEX big ON source $slow",
		started => $building,
		after => sub {
			is($node->safe_psql('postgres', q{SELECT to_regclass('big') IS NULL}), 't', "$_[0]: nothing is left");
		},
	},
	'concurrent build' => {
		sql => "CREATE INDEX CONCURRENTLY big ON source $slow",
		started => $building,
		after => sub {
			is($node->safe_psql('postgres', q{SELECT indisvalid FROM pg_index WHERE indexrelid = 'big'::regclass}),
				'f', "$_[0]: the index is invalid");
			$node->safe_psql('postgres', 'DROP INDEX big');
		},
	},
	insert => {
		sql => 'INSERT INTO target SELECT * FROM source',
		started => sub {
			my $size = $node->safe_psql('postgres', q{SELECT pg_relation_size('target_v')});
			return "SELECT pg_relation_size('target_v') > $size + 500000";
		},
		after => sub {
			verify_ok($node, 'target_v', $_[0]);
			is($node->safe_psql('postgres', q{SELECT count(*), count(DISTINCT id) FROM
				scan_ids('target', 'v', '<->', random_vector(48), NULL) id}), '600|600', "$_[0]: no row is left");
			$node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP ON) target');
			is($node->safe_psql('postgres', q{SELECT nodes, deleted_slots, problems FROM vecann_verify('target_v')}),
				'600|0|{}', "$_[0]: nothing of it after a vacuum");
		},
	},
	scan => {
		# one full scan in order of distance for each of thousands of rows
		sql => q{SET enable_seqscan = off; SET enable_sort = off; SELECT sum(n) FROM source s,
			LATERAL (SELECT count(*) AS n FROM (SELECT id FROM fast ORDER BY v <-> s.v) o) c},
		started => q{SELECT count(*) > 0 FROM pg_stat_activity WHERE query ~ 'LATERAL' AND state = 'active'
			AND query_start < now() - interval '0.5 s' AND pid <> pg_backend_pid()},
		after => sub {
			verify_ok($node, 'fast_v', $_[0]);
			is($node->safe_psql('postgres', q{SELECT count(*) FROM scan_ids('fast', 'v', '<->', random_vector(48), NULL)}),
				'3000', "$_[0]: the next scan finds all");
		},
	});

for my $kind (sort keys %jobs)
{
	my $job = $jobs{$kind};
	for my $end (qw(cancel terminate timeout))
	{
		my $label = "$end of a $kind";
		my $session = background_session($node);
		my $pid = $session->query_safe('SELECT pg_backend_pid()');
		my $started = ref $job->{started} ? $job->{started}->() : $job->{started};
		my $sql = $end eq 'timeout' ? "SET statement_timeout = '150ms'; $job->{sql}" : $job->{sql};
		my $began = time;
		$session->query_until(qr/started/, "\\echo started\n$sql;\n\\echo ended\n\\warn ended\n");
		if ($end ne 'timeout')
		{
			wait_until($node, $started);
			$began = time;
			is($node->safe_psql('postgres', "SELECT pg_${end}_backend($pid)"), 't', "$label: sent");
		}
		my $message = { cancel => qr/due to user request/, timeout => qr/due to statement timeout/,
			terminate => qr/terminating connection|server closed the connection/ }->{$end};
		for (1 .. 400)
		{
			$session->{run}->pump_nb;
			last if $session->{stderr} =~ $message;
			sleep 0.05;
		}
		wait_until($node, "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid AND state = 'active'");
		cmp_ok(time - $began, '<', 8, "$label: it ends at once");
		like($session->{stderr}, $message, "$label: the message");
		end_sessions($session);
		$job->{after}->($label);
	}
}

# ---- progress ------------------------------------------------------------------------

my $session = background_session($node);
$session->query_until(qr/started/, "\\echo started\nCREATE INDEX big ON source $slow;\n");
my ($moves, $total, %last) = (0, 0);
for (1 .. 600)
{
	my $row = $node->safe_psql('postgres', "SELECT phase, tuples_done, tuples_total FROM pg_stat_progress_create_index
		WHERE phase LIKE 'building index: %' AND command = 'CREATE INDEX'");
	if (my ($phase, $done, $of) = $row =~ /^(.+)\|(\d+)\|(\d+)$/)
	{
		++$moves if $done > ($last{$phase} // 0);
		$last{$phase} = $done;
		$total = $of;
		last if $moves >= 4;
	}
	sleep 0.05;
}
cmp_ok($moves, '>=', 4, 'pg_stat_progress_create_index: the count of rows moves');
cmp_ok($total, '>', 10000, 'pg_stat_progress_create_index: there is a total');
end_sessions($session);
$node->stop('immediate');
done_testing();
