# What the race tests of inverted lists share: a vacuum that is held while it puts a new structure in the place of an old
# one, what comes meanwhile, and the checks.
package IvfRace;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use Test::More;
use VecannTest;

our @EXPORT = qw(stat_of start_vacuum scans_ok vacuum_interrupted vacuum_under_inserts);

# A column of vecann_list_stats.
sub stat_of
{
	my ($node, $what, $index) = @_;
	return $node->safe_psql('postgres', "SELECT $what FROM vecann_list_stats('$index')");
}

# A session that vacuums a table and stops at race points that are held, and its process.
sub start_vacuum
{
	my ($node, $table, $points) = @_;
	my $session = background_session($node, "vecann.race_points = '$points'", 'client_min_messages = warning');
	my $pid = $session->query_safe('SELECT pg_backend_pid()');
	$session->query_until(qr/started/, "\\echo started\nVACUUM (INDEX_CLEANUP ON) $table;\n");
	return ($session, $pid);
}

# All indexes are sound, and full scans ([table, operator, dimensions]) return each row once.
sub scans_ok
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($node, $label, @scans) = @_;
	verify_all($node, $label);
	for my $scan (@scans)
	{
		my ($table, $op, $dim) = @$scan;
		my ($rc, $out, $err) = $node->psql('postgres', "SELECT scan_check('$table', 'v', '$op', random_vector($dim), NULL) >= 0");
		is("$out$err", 't', "$label: a full scan of $table by $op returns each row once");
	}
	return;
}

# A vacuum of a table that is ended (cancel, or as `crash` has it) at a point where it is held, after rows have come ($more).
sub vacuum_interrupted
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($node, $table, $more, $point, $end, $label) = @_;
	my $holder = hold_point($node, $point);
	my ($session, $pid) = start_vacuum($node, $table, $point);
	wait_for_point($node, $point);
	$node->safe_psql('postgres', "SET statement_timeout = '20s'; $more");
	if ($end eq 'cancel')
	{
		is($node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)"), 't', "$label: sent");
		wait_until($node, "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid AND state = 'active'");
		release_point($holder, $point);
	}
	else
	{
		crash($node, $end, $pid);
	}
	end_sessions($holder, $session);
	return;
}

# Vacuums a table: rows come ($more) while it is held at its two points; at the second, one insert has the lock and another
# has read the old meta page and not taken it yet. Returns when all have ended; $done tells what vacuum has reached.
sub vacuum_under_inserts
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($node, $table, $more, $points, $done) = @_;
	my ($rest, $switch) = @$points;
	my ($lock, $with) = ('ivf-insert-before-lock', 'ivf-insert-with-lock');
	my $hold_rest = hold_point($node, $rest);
	my ($session, $pid) = start_vacuum($node, $table, "$rest,$switch");
	wait_for_point($node, $rest);
	$node->safe_psql('postgres', "$more; $more");
	my $hold_switch = hold_point($node, $switch);
	release_point($hold_rest, $rest);
	wait_for_point($node, $switch);
	$node->safe_psql('postgres', $more);
	my $hold_with = hold_point($node, $with);
	my $hold_lock = hold_point($node, $lock);
	my @inserts;
	for my $point ($with, $lock)
	{
		push @inserts, background_session($node, "vecann.race_points = '$point'");
		$inserts[-1]->query_until(qr/started/, "\\echo started\nINSERT INTO $table (v) SELECT random_vector(8);\n");
		wait_for_point($node, $point);
	}
	release_point($hold_switch, $switch);
	wait_until($node, "SELECT count(*) > 0 FROM pg_locks WHERE pid = $pid AND locktype = 'tuple' AND NOT granted");
	pass('vacuum waits for the insert');
	release_point($hold_with, $with);
	wait_until($node, "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid AND state = 'active'");
	$done->();
	release_point($hold_lock, $lock);
	wait_until($node, "SELECT count(*) = 0 FROM pg_stat_activity WHERE state = 'active' AND query ~ '^INSERT'");
	end_sessions($hold_rest, $hold_switch, $hold_with, $hold_lock, $session, @inserts);
	return;
}

1;
