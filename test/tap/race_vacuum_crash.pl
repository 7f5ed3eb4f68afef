# Vacuum held at each of its race points, and there ended by an immediate stop, a kill -9, a cancel or a terminate. The
# index has no problem then, takes rows, answers in full; the next vacuum reclaims every slot.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VecannTest;

my $node = new_server('race', streaming => 1, conf => <<'CONF');
restart_after_crash = on
wal_consistency_checking = all
max_wal_size = 1GB
CONF
plan skip_all => 'built without race points' unless has_race_points($node);

my @points = map { "hnsw-vacuum-$_" }
  qw(before-tower before-barrier after-barrier before-replace before-free between-frees);
# every point with the first two, one point with the others
my @ends = qw(immediate cancel postmaster backend terminate);

# Many layers, long TID chains.
$node->safe_psql('postgres', q{
	CREATE TABLE t (id bigserial PRIMARY KEY, v vector(4)) WITH (autovacuum_enabled = off);
	CREATE INDEX t_v ON t USING hnsw (v vector_l2_ops) WITH (m = 3, ef_construction = 16);
	INSERT INTO t (v) SELECT random_vector(4) FROM generate_series(1, 900);
	INSERT INTO t (v) SELECT '[1,2,3,4]' FROM generate_series(1, 100);
});

sub slots
{
	my ($which) = @_;
	return $node->safe_psql('postgres', "SELECT $which FROM vecann_verify('t_v')");
}

sub check
{
	my ($label) = @_;
	verify_ok($node, 't_v', $label);
	is($node->safe_psql('postgres', q{SELECT scan_check('t', 'v', '<->', random_vector(4), NULL) =
		(SELECT count(*) FROM t)}), 't', "$label: a full scan agrees with the heap");
	return;
}

my $round = 0;
for my $point (@points)
{
	for my $end ($point =~ /before-replace/ ? @ends : @ends[ 0, 1 ])
	{
		my $label = "$end at $point";
		# a third of the rows, the entry point among them in some round
		my $third = $round++ % 3;
		$node->safe_psql('postgres', "DELETE FROM t WHERE id % 3 = $third");
		my $holder = hold_point($node, $point);
		my $vacuum = background_session($node, "vecann.race_points = '$point'");
		my $pid = $vacuum->query_safe('SELECT pg_backend_pid()');
		$vacuum->query_until(qr/started/, "\\echo started\nVACUUM (INDEX_CLEANUP ON) t;\n");
		wait_for_point($node, $point);
		if ($end eq 'cancel' || $end eq 'terminate')
		{
			is($node->safe_psql('postgres', "SELECT pg_${end}_backend($pid)"), 't', "$label: sent");
			wait_until($node, "SELECT count(*) = 0 FROM pg_stat_activity
				WHERE pid = $pid AND backend_type = 'client backend' AND state <> 'idle'");
			release_point($holder, $point);
		}
		else
		{
			crash($node, $end, $pid);
		}
		end_sessions($holder, $vacuum);

		check($label);
		$node->safe_psql('postgres', q{INSERT INTO t (v) SELECT random_vector(4) FROM generate_series(1, 100);
			INSERT INTO t (v) SELECT '[1,2,3,4]' FROM generate_series(1, 20)});
		check("$label, more rows");
		$node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP ON) t');
		check("$label, vacuumed");
		is(slots('deleted_slots'), '0', "$label: no tombstone is left");
		is(slots('heap_tids = (SELECT count(*) FROM t)'), 't', "$label: no dead row is left");

		# What vacuum has freed is used again: the index does not grow.
		my $size = $node->safe_psql('postgres', "SELECT pg_relation_size('t_v')");
		cmp_ok(slots('free_slots'), '>', 200, "$label: slots are free");
		$node->safe_psql('postgres', 'INSERT INTO t (v) SELECT random_vector(4) FROM generate_series(1, 150)');
		is($node->safe_psql('postgres', "SELECT pg_relation_size('t_v')"), $size, "$label: they are used again");
	}
}
check('at the end');

# ---- vectors in parts: the slots of a page are free, their parts not yet ----

add_wide($node);
for my $end (qw(flushed immediate cancel))
{
	my $label = "$end between slots and their parts";
	my $point = 'hnsw-vacuum-before-parts';
	$node->safe_psql('postgres', 'DELETE FROM wide WHERE id % 2 = 0');
	my $size = $node->safe_psql('postgres', "SELECT pg_relation_size('wide_l2')");
	my $holder = hold_point($node, $point);
	my $vacuum = background_session($node, "vecann.race_points = '$point'");
	my $pid = $vacuum->query_safe('SELECT pg_backend_pid()');
	$vacuum->query_until(qr/started/, "\\echo started\nVACUUM (INDEX_CLEANUP ON) wide;\n");
	wait_for_point($node, $point);
	if ($end eq 'cancel')
	{
		$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
		wait_until($node, "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid AND state = 'active'");
		release_point($holder, $point);
	}
	else
	{
		$node->safe_psql('postgres', 'CHECKPOINT') if $end eq 'flushed';
		crash($node, 'immediate');
	}
	end_sessions($holder, $vacuum);
	verify_ok($node, 'wide_l2', $label);
	$node->safe_psql('postgres', 'INSERT INTO wide (v) SELECT random_vector(4000) FROM generate_series(1, 5)');
	verify_ok($node, 'wide_l2', "$label, more rows");
	$node->safe_psql('postgres', 'DELETE FROM wide WHERE id % 2 = 0; VACUUM (INDEX_CLEANUP ON) wide');
	is($node->safe_psql('postgres', q{SELECT problems, deleted_slots FROM vecann_verify('wide_l2')}), '{}|0',
		"$label: the next vacuum frees them");
	$node->safe_psql('postgres', 'INSERT INTO wide (v) SELECT random_vector(4000) FROM generate_series(1, 30)');
	is($node->safe_psql('postgres', q{SELECT scan_check('wide', 'v', '<->', random_vector(4000), NULL) =
		(SELECT count(*) FROM wide)}), 't', "$label: a full scan agrees with the heap");
}
$node->stop;
done_testing();
