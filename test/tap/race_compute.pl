# Compute jobs and what may happen to a backend meanwhile: cancel, timeout, terminate, signals, exceptions, the postmaster's
# death. Needs a build with race points (the job that only spins).
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION vecann');
$node->safe_psql('postgres',
	q{CREATE FUNCTION spin(float8, int DEFAULT 0, bool DEFAULT false, int DEFAULT 0) RETURNS void
	  AS '$libdir/vecann', 'vecann_compute_spin' LANGUAGE C});

# A minute of work that must end long before: the bound is generous, machines are slow.
my $long = 60;
my $soon = 20;

sub spins
{
	return "SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT spin(%' AND state = 'active'";
}

sub start_spin
{
	my ($out, $err) = ('', '');
	my $handle = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', "SELECT spin($long)" ],
		'>', \$out, '2>', \$err);
	$node->poll_query_until('postgres', 'SELECT count(*) = 1 FROM (' . spins() . ') s') or die 'no spinning session';
	return ($handle, \$err);
}

my ($ret, $out, $err) = $node->psql('postgres', "SET statement_timeout = '200ms'; SELECT spin($long)");
like($err, qr/statement timeout/, 'statement_timeout ends a job');

# The architecture says within a second; what the machine made of it is noted, not judged.
sub ends_a_job
{
	my ($function, $message) = @_;
	my ($handle, $session_err) = start_spin();
	my $start = time;
	$node->safe_psql('postgres', "SELECT $function(pid) FROM (" . spins() . ') s');
	$handle->finish;
	my $took = time - $start;
	note sprintf '%s took %.2f s', $function, $took;
	like($$session_err, $message, "$function ends a job");
	cmp_ok($took, '<', $long / 2, 'long before its own end');
	return;
}
ends_a_job('pg_cancel_backend', qr/canceling statement due to user request/);
ends_a_job('pg_terminate_backend', qr/terminating connection/);

# The threads of a job receive no signals, and a barrier passes a job: DROP DATABASE waits for all backends to answer.
my ($handle, $session_err) = start_spin();
my $spinning_pid = $node->safe_psql('postgres', spins());
SKIP:
{
	skip 'no /proc', 2 unless -d "/proc/$$/task";
	# The session is active before the job is: wait for the region's threads.
	my @threads;
	for (1 .. $soon * 20)
	{
		@threads = grep { !m{/$spinning_pid$} } glob "/proc/$spinning_pid/task/*";
		last if @threads >= 2;
		usleep(50_000);
	}
	cmp_ok(scalar(@threads), '>=', 2, 'the job has threads of its own');
	# all but SIGKILL, SIGSTOP, and the two that glibc keeps for itself
	my $open = 0;
	for my $thread (@threads)
	{
		my ($blocked) = slurp_file("$thread/status") =~ /^SigBlk:\s*([0-9a-f]+)/m;
		$open++ if (hex(substr($blocked, -8)) & 0x7ffbfeff) != 0x7ffbfeff;
	}
	is($open, 0, 'and they block all signals');
}
$node->safe_psql('postgres', 'CREATE DATABASE short_lived');
$node->safe_psql('postgres', q{SET statement_timeout = '30s'; DROP DATABASE short_lived});
is($node->safe_psql('postgres', spins()), $spinning_pid, 'DROP DATABASE does not wait for a job');
$node->safe_psql('postgres', "SELECT pg_cancel_backend($spinning_pid)");
$handle->finish;

# Other signals do not disturb a job, nor does it swallow them.
my $busy = $node->background_psql('postgres', on_error_stop => 0);
$busy->query_safe('LISTEN channel');
my $pid = $busy->query_safe('SELECT pg_backend_pid()');
my $noise = $node->background_psql('postgres');
$busy->query_until(qr/go/, "\\echo go\nSELECT spin(2);\n\\echo done\n");
for (1 .. 10)
{
	$noise->query_safe('NOTIFY channel');
	kill 'HUP', $pid;
	usleep(100_000);
}
$busy->query_until(qr/done/, '');
is($busy->query_safe('SELECT 1'), '1', 'NOTIFY and SIGHUP do not disturb a job');
$noise->quit;

# Exceptions of every kind, outside and inside an OpenMP region, become errors with a SQLSTATE; the session goes on.
my %sqlstate = (1 => '53200', 2 => 'XX000', 3 => 'XX000');
for my $kind (1 .. 3)
{
	for my $in_region ('false', 'true')
	{
		my ($r, $o, $e) = $node->psql('postgres',
			"\\set VERBOSITY sqlstate\nSELECT spin(0, $kind, $in_region);\nSELECT 'alive' FROM vecann_compute_check(1)",
			on_error_stop => 0);
		like($e, qr/$sqlstate{$kind}/, "exception $kind, in a region: $in_region");
		is($o, 'alive', 'the session goes on');
	}
}

# The backend raises an error while a job runs: the job is stopped and joined first.
SKIP:
{
	skip 'no /proc', 3 unless -d "/proc/$$/task";
	$busy->query("SELECT spin($long, 0, false, 21)");
	like($busy->{stderr}, qr/ERROR:  raised while a job runs/, 'an error of the backend ends the job');
	$busy->{stderr} = '';
	my $left;
	for (1 .. 100)
	{
		$left = () = glob "/proc/$pid/task/*";
		last if $left == 1;
		usleep(50_000);
	}
	is($left, 1, 'no thread is left after an error of the backend');
	($ret, $out, $err) = $node->psql('postgres', "SELECT spin($long, 0, false, 22)");
	like($err, qr/FATAL:  raised while a job runs/, 'a fatal error ends the job and the session');
}
is($busy->query_safe(q{SELECT 'same session'}), 'same session', 'no exception restarted the server');
$busy->quit;

# The postmaster dies: the backend must not spin on.
($handle, $session_err) = start_spin();
my $spinner = $node->safe_psql('postgres', spins());
$node->kill9;
my $gone = 0;
for (1 .. $soon * 10)
{
	$gone = !kill(0, $spinner);
	last if $gone;
	usleep(100_000);
}
ok($gone, 'a job ends with the postmaster');
$handle->kill_kill;

done_testing();
