# Random SQL against the exact answer: random tables, indexes and queries in the order of a distance; each query is
# answered with indexes and without, and the answers are compared. Between queries the data change.
#
# usage: random_sql.pl [--exhaustive | --default] [--seconds N] [--logs DIR] COUNT SEED
#   --exhaustive   small tables, hnsw.ef_search = 1000: answers must be equal row for row
#   --default      larger tables, the settings' defaults or others: filters, order and number of rows must be right
#   --seconds      stop after that time, whatever the count
#   --logs         folder for the SQL of a world in which something was wrong
# Both kinds when neither is named, half the queries each. A world (one schema, 100 queries) depends on its own seed
# alone, which stands in every report: `random_sql.pl --exhaustive 100 SEED` runs it again.
# The server is the one that PGHOST, PGPORT, PGUSER and PGDATABASE name; schema w in it is dropped. Superuser.
# Exit status 1 when something was wrong.
use strict;
use warnings FATAL => 'all';

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use lib dirname(abs_path(__FILE__));
use Getopt::Long;
use Time::HiRes qw(time);

use Check;
use Pick;
use Query;
use Run;
use Session;
use World;

use constant QUERIES => 100;
use constant MOST_PROBLEMS => 12;

my ($exhaustive, $default, $seconds, $logs) = (0, 0, 0, '.');
GetOptions('exhaustive' => \$exhaustive, 'default' => \$default, 'seconds=f' => \$seconds, 'logs=s' => \$logs)
  && @ARGV == 2
  or die "usage: random_sql.pl [--exhaustive | --default] [--seconds N] [--logs DIR] COUNT SEED\n";
my ($count, $seed) = @ARGV;
my $started = time;
$| = 1;
$ENV{PGOPTIONS} = '-c search_path=w,public -c statement_timeout=120s -c lock_timeout=60s -c client_min_messages=warning';

my ($done, $problems) = (0, 0);

sub out_of_time
{
	return $seconds && time - $started > $seconds;
}

sub problem
{
	my ($text, $log) = @_;
	$problems++;
	print "PROBLEM $problems: $text\n";
	print "the SQL so far: $log\n" if -e $log;
	return;
}

# Waits for a server that has crashed to come back.
sub await_server
{
	for (1 .. 60)
	{
		my $session = Session->new;
		my $up = eval { $session->must('SELECT 1') };
		$session->close;
		return if $up;
		sleep 1;
	}
	die "the server does not come back\n";
}

# One world in a log of its own. What ends it early, a lost connection above all, is one problem; the next world goes on.
sub run_world
{
	my ($kind, $world_seed, $queries, $counts) = @_;
	my $file = "$logs/world-$kind-$world_seed.sql";
	open my $log, '>:utf8', $file or die "$file: $!";
	my $before = $problems;
	if (!eval { run_queries($kind, $world_seed, $queries, $counts, $log, $file); 1 })
	{
		problem("--$kind, world $world_seed: $@", $file);
		await_server();
	}
	close $log;
	unlink $file if $problems == $before;
	return;
}

# The queries of a world, with changes in between, some of them seen by a snapshot that is older than the changes.
sub run_queries
{
	my ($kind, $world_seed, $queries, $counts, $log, $file) = @_;
	srand $world_seed;
	my $before = $problems;
	my $session = Session->new(log => $log);
	$session->run(World::SESSION);
	my $world = World->new(exhaustive => $kind eq 'exhaustive', session => $session);
	my $known = Run::known_settings($session);
	my $old;
	for my $number (1 .. $queries)
	{
		last if out_of_time() || $problems >= $before + 3 || $problems >= MOST_PROBLEMS;
		$world->change if chance(20);
		if ($old && (chance(10) || delete $world->{crowded}))
		{
			$old->close;
			$old = undef;
			$world->{snapshot_held} = 0;
			$world->keep_small if $world->{exhaustive};
		}
		elsif (!$old && chance(4))
		{
			$old = Session->new;
			$old->must(World::SESSION . 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM t LIMIT 1;');
			$world->{snapshot_held} = 1;
		}
		my $query = Query->new($world);
		my $in_old = $old && !$query->{changes} && !$query->{before} && chance(50);
		my $report = Run::check_query(
			$query,
			world => $world,
			session => $in_old ? $old : $session,
			known => $known,
			exhaustive => $kind eq 'exhaustive',
			counts => $counts,
			in_transaction => $in_old);
		$done++;
		problem("--$kind, world $world_seed ($world->{kind}), query $number" . ($in_old ? ', in an older snapshot' : '')
			  . ": $report\n-- nodes out of reach: " . $world->unreachable, $file)
		  if $report;
	}
	$old->close if $old;
	my $wrong = $world->verify;
	problem("--$kind, world $world_seed: $wrong", $file) if $wrong ne '';
	my %reach = $world->reach;
	for my $class (keys %reach)
	{
		$counts->{reach}{$class}[$_] += $reach{$class}[$_] for 0, 1;
	}
	$session->close;
	return;
}

sub run_kind
{
	my ($kind, $queries) = @_;
	my %counts = (rows => 0, hits => 0, late => 0, excused => 0, plans => {}, reach => {});
	my $begun = $done;
	for (my $world_seed = $seed; $queries > 0 && !out_of_time() && $problems < MOST_PROBLEMS; $world_seed++)
	{
		my $part = $queries < QUERIES ? $queries : QUERIES;
		run_world($kind, $world_seed, $part, \%counts);
		$queries -= $part;
	}
	my ($plans, $reach) = @counts{qw(plans reach)};
	printf "%s: %d queries, %d rows, recall %.4f, %d late; plans: %s\n", $kind, $done - $begun, $counts{rows},
	  $counts{rows} ? $counts{hits} / $counts{rows} : 1, $counts{late}, join ', ', map { "$_ $plans->{$_}" } sort keys %$plans;
	printf "nodes out of reach at the end of worlds: %s; %d answers inexact for that\n",
	  join(', ', map { "$_ $reach->{$_}[1] of $reach->{$_}[0]" } sort keys %$reach), $counts{excused};
	return;
}

my @kinds = $exhaustive == $default ? ('exhaustive', 'default') : $exhaustive ? 'exhaustive' : 'default';
{
	my $first = Session->new;
	$first->must(World::ONCE);
	$first->close;
}
run_kind($_, int($count / @kinds)) for @kinds;
printf "%d queries, seed %d, %.0f s: %s\n", $done, $seed, time - $started, $problems ? "$problems problems" : 'all right';
exit($problems > 0);
