# An insert or a build held at each of its race points, and there ended by an immediate stop or a cancel; inserts into an
# empty index, into one with rows, into one whose rows are all deleted. The index has no problem then and takes rows;
# what the insert left behind goes with the next vacuum: parts of a long vector, too.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VecannTest;

my $node = new_server('race', streaming => 1, conf => "wal_consistency_checking = all\n");
plan skip_all => 'built without race points' unless has_race_points($node);
$node->safe_psql('postgres', q{
	CREATE TABLE t (id bigserial PRIMARY KEY, v vector(4)) WITH (autovacuum_enabled = off);
	CREATE INDEX t_v ON t USING hnsw (v vector_l2_ops) WITH (m = 3, ef_construction = 16);
});

# Holds `command` at a race point and ends it there.
sub end_at
{
	my ($point, $end, $command) = @_;
	my $holder = hold_point($node, $point);
	my $session = background_session($node, "vecann.race_points = '$point'");
	my $pid = $session->query_safe('SELECT pg_backend_pid()');
	$session->query_until(qr/started/, "\\echo started\n$command;\n");
	wait_for_point($node, $point);
	if ($end eq 'immediate' || $end eq 'flushed')
	{
		$node->safe_psql('postgres', 'CHECKPOINT') if $end eq 'flushed';
		crash($node, 'immediate');
	}
	else
	{
		$node->safe_psql('postgres', "SELECT pg_${end}_backend($pid)");
		wait_until($node, "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid AND state = 'active'");
	}
	end_sessions($session, $holder);
	return;
}

sub check
{
	my ($label) = @_;
	verify_ok($node, 't_v', $label);
	is($node->safe_psql('postgres', q{SELECT scan_check('t', 'v', '<->', random_vector(4), NULL) =
		(SELECT count(*) FROM t)}), 't', "$label: a full scan agrees with the heap");
	return;
}

my %states = (
	'1 empty' => 'TRUNCATE t',
	'2 with rows' => 'TRUNCATE t; INSERT INTO t (v) SELECT random_vector(4) FROM generate_series(1, 200)',
	'3 all deleted' => 'TRUNCATE t; INSERT INTO t (v) SELECT random_vector(4) FROM generate_series(1, 50); DELETE FROM t');
for my $point (map { "hnsw-insert-before-$_" } qw(place back-edges entry))
{
	for my $state (sort keys %states)
	{
		for my $end (qw(immediate cancel))
		{
			my $label = "$end at $point, index " . substr $state, 2;
			$node->safe_psql('postgres', $states{$state});
			end_at($point, $end, q{INSERT INTO t (v) VALUES ('[0.5,0.25,0.125,1]')});
			check($label);
			$node->safe_psql('postgres', q{INSERT INTO t (v) VALUES ('[0.5,0.25,0.125,1]');
				INSERT INTO t (v) SELECT random_vector(4) FROM generate_series(1, 20)});
			check("$label, more rows");
			$node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP ON) t');
			check("$label, vacuumed");
			is($node->safe_psql('postgres', q{SELECT heap_tids = (SELECT count(*) FROM t) AND deleted_slots = 0
				FROM vecann_verify('t_v')}), 't', "$label: nothing of it is left");
		}
	}
}

# ---- vectors in parts ----

add_wide($node);
for my $state ('INSERT INTO wide (v) SELECT random_vector(4000) FROM generate_series(1, 20)', 'DELETE FROM wide')
{
	for my $end (qw(flushed immediate cancel))
	{
		my $label = "$end between parts and slot, after " . lc substr $state, 0, 6;
		$node->safe_psql('postgres', $state);
		end_at('hnsw-insert-after-parts', $end, 'INSERT INTO wide (v) SELECT random_vector(4000)');
		verify_ok($node, 'wide_l2', $label);
		cmp_ok($node->safe_psql('postgres', q{SELECT deleted_slots FROM vecann_verify('wide_l2')}),
			'>', 0, "$label: parts are left") if $end ne 'immediate';
		$node->safe_psql('postgres', 'INSERT INTO wide (v) SELECT random_vector(4000) FROM generate_series(1, 3)');
		verify_ok($node, 'wide_l2', "$label, more rows");
		$node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP ON) wide');
		verify_ok($node, 'wide_l2', "$label, vacuumed");
		is($node->safe_psql('postgres', q{SELECT heap_tids = (SELECT count(*) FROM wide) AND deleted_slots = 0
			FROM vecann_verify('wide_l2')}), 't', "$label: nothing of it is left");
	}
}

for my $end (qw(immediate cancel terminate))
{
	$node->safe_psql('postgres', 'DROP INDEX IF EXISTS built');
	end_at('hnsw-build-row', $end, 'CREATE INDEX built ON t USING hnsw (v vector_l2_ops)');
	is($node->safe_psql('postgres', q{SELECT to_regclass('built') IS NULL}), 't', "$end of a build: nothing is left");
	end_at('hnsw-build-row', $end, 'CREATE INDEX CONCURRENTLY built ON t USING hnsw (v vector_l2_ops)');
	is($node->safe_psql('postgres', q{SELECT indisvalid FROM pg_index WHERE indexrelid = 'built'::regclass}),
		'f', "$end of a concurrent build: the index is invalid");
	$node->safe_psql('postgres', 'REINDEX INDEX built');
	verify_ok($node, 'built', "$end of a build, REINDEX");
}
$node->stop;
done_testing();
