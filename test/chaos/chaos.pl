# The chaos run: concurrent inserts, updates, deletes, vacuums, rebuilds and scans on a server that is killed again and
# again; after each recovery every index is verified and compared with its table.
#
# usage: chaos.pl --bindir DIR --dir DIR [--seconds N] [--seed N] [--round N]
#   --bindir   the server's programs; vecann is installed there
#   --dir      an empty folder for the server (data, log, socket), owned by the caller, who is not root
#   --round    longest time between two kills, in seconds (12)
# Prints one line per kill and a summary; exit status 0 when nothing was wrong.
#
# fsync is off: a kill of processes does not lose what the operating system has in memory.
use strict;
use warnings FATAL => 'all';

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use Getopt::Long;
use Time::HiRes qw(sleep time);

my ($bindir, $dir, $seconds, $seed, $longest) = (undef, undef, 60, time() % 100000, 12);
GetOptions('bindir=s' => \$bindir, 'dir=s' => \$dir, 'seconds=f' => \$seconds, 'seed=i' => \$seed,
	'round=f' => \$longest)
  && $bindir && $dir && !@ARGV
  or die "usage: chaos.pl --bindir DIR --dir DIR [--seconds N] [--seed N] [--round N]\n";
my $here = dirname(abs_path($0));
$seed = int $seed;
srand $seed;
$| = 1;

my $data = "$dir/data";
my $log = "$dir/log";
# the socket has the folder to itself
delete @ENV{qw(PGOPTIONS PGSERVICE PGHOSTADDR PGDATA)};
@ENV{qw(PGHOST PGPORT PGDATABASE PGUSER)} = ($dir, 54321, 'postgres', 'chaos');

my (%kills, %done, @problems);
my ($checks, $log_read, $loads_started) = (0, 0, 0);
my @loads;

# ---- small things ------------------------------------------------------------

sub problem
{
	my ($text) = @_;
	print "PROBLEM: $text\n";
	push @problems, $text;
	return;
}

sub read_file
{
	my ($name, $from) = @_;
	open my $in, '<', $name or return '';
	seek $in, $from // 0, 0;
	local $/ = undef;
	return <$in> // '';
}

sub write_file
{
	my ($name, $text) = @_;
	open my $out, '>', $name or die "cannot write $name: $!";
	print $out $text;
	close $out or die "cannot write $name: $!";
	return;
}

# Starts a program in the background with its output in a file; returns its process id.
sub spawn
{
	my ($output, @command) = @_;
	my $pid = fork() // die "cannot fork: $!";
	return $pid if $pid;
	open STDIN, '<', '/dev/null';
	open STDOUT, '>>', $output or die "cannot write $output: $!";
	open STDERR, '>&', \*STDOUT;
	exec @command or die "cannot run $command[0]: $!";
}

# Runs a program; returns its exit status.
sub run
{
	my ($output, @command) = @_;
	my $pid = spawn($output, @command);
	waitpid $pid, 0;
	return $? >> 8 || $?;
}

# Runs SQL; returns its output and whether it succeeded. A statement that takes minutes counts as failed.
sub sql
{
	my ($text) = @_;
	write_file("$dir/query.sql", "SET statement_timeout = '240s';\n$text\n");
	unlink "$dir/query.out";
	my $status = run("$dir/query.out", "$bindir/psql", '-XAtq', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/query.sql");
	my $out = read_file("$dir/query.out");
	chomp $out;
	return ($out, $status == 0);
}

# ---- the server ----------------------------------------------------------------

sub configure
{
	my $checking = rand() < 0.4 ? 'all' : '';
	my $buffers = (128, 256, 1024)[ int rand 3 ];
	write_file("$data/chaos.conf", <<"CONF");
listen_addresses = ''
unix_socket_directories = '$dir'
port = $ENV{PGPORT}
wal_level = replica
fsync = off
full_page_writes = on
shared_buffers = ${buffers}
temp_buffers = 800kB
maintenance_work_mem = 2MB
max_connections = 30
max_prepared_transactions = 20
max_wal_size = 512MB
checkpoint_timeout = 30s
restart_after_crash = on
wal_consistency_checking = '$checking'
autovacuum_naptime = 1s
autovacuum_vacuum_scale_factor = 0.05
autovacuum_vacuum_cost_delay = 0
min_parallel_index_scan_size = 0
max_parallel_maintenance_workers = 2
log_min_messages = log
log_checkpoints = off
deadlock_timeout = 100ms
jit = off
CONF
	return;
}

sub postmaster_pid
{
	my ($pid) = read_file("$data/postmaster.pid") =~ /^(\d+)/;
	return $pid;
}

# The processes of the server, the postmaster first.
sub server_processes
{
	my $postmaster = postmaster_pid() or return;
	return ($postmaster, split ' ', read_file("/proc/$postmaster/task/$postmaster/children"));
}

sub start_server
{
	for my $attempt (1 .. 120)
	{
		return 1 if run("$dir/pg_ctl.out", "$bindir/pg_ctl", '-D', $data, '-l', $log, '-w', '-t', '300', 'start') == 0;
		# a server on its way up had not said its number yet when it was to be killed: it is the one
		return 1 if (sql('SELECT 1'))[1];
		# processes of the killed server are still there
		sleep 0.5;
	}
	problem("the server does not start; the end of its log:\n" . substr read_file($log), -2000);
	return 0;
}

# Does the server notice the kill of one of its processes?
sub saw_kill
{
	my ($log_end) = @_;
	my $until = time() + 30;
	while (time() < $until)
	{
		return 1 if read_file($log, $log_end) =~ /was terminated by signal 9/;
		sleep 0.05;
	}
	return 0;
}

# Waits until a server that restarts by itself takes connections again.
sub wait_for_restart
{
	my ($log_end) = @_;
	my $until = time() + 300;
	while (time() < $until)
	{
		return 1 if read_file($log, $log_end) =~ /database system is ready to accept connections/;
		sleep 0.05;
	}
	problem('the server does not come back after the kill of one process');
	return 0;
}

sub kill_all
{
	my @pids = server_processes();
	kill 'KILL', @pids if @pids;
	# the parallel workers and backends started meanwhile
	kill 'KILL', server_processes() if @pids;
	return;
}

# Kills the server in some way and has it recovered.
sub kill_server
{
	my $how = (qw(server server process process immediate))[ int rand 5 ];
	if ($how eq 'process')
	{
		my ($postmaster, @children) = server_processes();
		if (!@children)
		{
			my ($pids) = sql('SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()');
			@children = split ' ', $pids;
		}
		my $log_end = -s $log;
		if (!@children || !kill 'KILL', $children[ int rand @children ])
		{
			return;
		}
		# It may have been about to exit by itself: then there is nothing to recover from.
		saw_kill($log_end) or return;
		++$kills{'one process'};
		wait_for_restart($log_end) or return 'failed';
	}
	elsif ($how eq 'server')
	{
		kill_all();
		++$kills{'the whole server'};
		if (rand() < 0.3)
		{
			# once more while it recovers
			run("$dir/pg_ctl.out", "$bindir/pg_ctl", '-D', $data, '-l', $log, '-W', 'start');
			sleep rand 0.6;
			kill_all();
			++$kills{'the server in recovery'};
		}
	}
	else
	{
		run("$dir/pg_ctl.out", "$bindir/pg_ctl", '-D', $data, '-m', 'immediate', '-w', 'stop');
		++$kills{'immediate stop'};
	}
	return $how;
}

# ---- the load ------------------------------------------------------------------

# scripts of pgbench, by kind of load and weight
my %writers = (
	'insert_wide@8' => q{\set n random(1, 6)
		SELECT add_rows('wide', :n);},
	'insert_dups@8' => q{\set n random(1, 12)
		SELECT add_rows('dups', :n);},
	'insert_tiny@4' => q{SELECT add_rows('tiny', 2);},
	'insert_fleet@3' => q{SELECT add_rows('fleet', 4);},
	'update_wide@4' => q{\set n random(0, 60)
		UPDATE wide SET v = some_vector('wide') WHERE id % 61 = :n;},
	'update_dups@4' => q{\set n random(0, 60)
		UPDATE dups SET v = some_vector('dups') WHERE id % 61 = :n;},
	'touch@4' => q{\set n random(0, 40)
		UPDATE dups SET note = note + 1 WHERE id % 41 = :n;
		UPDATE fleet SET note = note + 1 WHERE id % 41 = :n;},
	'delete_wide@3' => q{SELECT delete_rows('wide', 2000);},
	'delete_dups@3' => q{SELECT delete_rows('dups', 4000);},
	'delete_tiny@4' => q{\set n random(0, 3)
		DELETE FROM tiny WHERE :n > 0 OR id % 2 = 0;},
	'delete_fleet@2' => q{SELECT delete_rows('fleet', 1000);},
	'rollback@2' => q{BEGIN;
		SELECT add_rows('wide', 5), add_rows('dups', 5), add_rows('tiny', 1);
		ROLLBACK;},
	'savepoint@3' => q{BEGIN;
		SELECT add_rows('dups', 3);
		SAVEPOINT s;
		SELECT add_rows('dups', 3), add_rows('wide', 3);
		ROLLBACK TO s;
		SELECT add_rows('wide', 3);
		COMMIT;},
	'prepared@2' => q{\set n random(1, 1000000000)
		BEGIN;
		SELECT add_rows('wide', 3), add_rows('dups', 3);
		PREPARE TRANSACTION 'chaos_:client_id_:n';
		\set roll random(0, 1)
		\if :roll
		ROLLBACK PREPARED 'chaos_:client_id_:n';
		\else
		COMMIT PREPARED 'chaos_:client_id_:n';
		\endif},);
my %vacuums = (
	'vacuum@6' => q{VACUUM (INDEX_CLEANUP ON, PARALLEL 2) wide;
		VACUUM (INDEX_CLEANUP ON, PARALLEL 2) dups;
		VACUUM (INDEX_CLEANUP ON) tiny;
		VACUUM (INDEX_CLEANUP ON) fleet;},
	'reindex@1' => q{REINDEX INDEX CONCURRENTLY dups_l2;},
	'reindex_tiny@1' => q{REINDEX TABLE tiny;},
	'create@1' => q{DROP INDEX IF EXISTS extra;
		CREATE INDEX CONCURRENTLY extra ON wide USING hnsw (v vector_cosine_ops) WITH (m = 5, ef_construction = 20);},
	'checkpoint@2' => 'CHECKPOINT;',
	'rewrite@1' => 'VACUUM FULL tiny;');
my @scans = ([ 'wide', '<->' ], [ 'wide', '<#>' ], [ 'dups', '<->' ], [ 'dups', '<=>' ], [ 'tiny', '<->' ],
	[ 'fleet', '<->' ]);
my %scans = (
	(map { ("top_$_\@2" => scan_script(@{ $scans[$_] }, 1 + 17 * $_)) } 0 .. $#scans),
	(map { ("some_$_\@1" => scan_script(@{ $scans[$_] }, 400)) } 0 .. $#scans),
	(map { ("full_$_\@1" => scan_script(@{ $scans[$_] }, 'NULL')) } 0 .. $#scans),
	'strict@2' => q{BEGIN ISOLATION LEVEL REPEATABLE READ;
		SET LOCAL hnsw.iterative_scan = strict_order;
		SELECT count(*), count(DISTINCT id) FROM scan_ids('wide', '<->', some_vector('wide'), 50) id;
		COMMIT;},
	'cursor@2' => q{SELECT some_vector('dups') AS q \gset
		BEGIN;
		SET LOCAL enable_seqscan = off;
		DECLARE c CURSOR FOR SELECT id FROM dups ORDER BY v <-> ':q';
		FETCH 10 FROM c;
		\sleep 20 ms
		FETCH 100 FROM c;
		\sleep 20 ms
		FETCH 1000 FROM c;
		COMMIT;});

sub scan_script
{
	my ($table, $op, $wanted) = @_;
	return "BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT check_scan('$table', '$op', $wanted);\nCOMMIT;\n";
}

sub start_load
{
	my ($kind, $clients, $scripts) = @_;
	my @files;
	for my $name (sort keys %$scripts)
	{
		my ($base, $weight) = $name =~ /^(\w+)@(\d+)$/;
		my $file = "$dir/${kind}_$base";
		write_file($file, $scripts->{$name} . "\n") if !-e $file;
		push @files, '-f', "$file\@$weight";
	}
	my $output = "$dir/load_" . ++$loads_started;
	my $pid = spawn($output, "$bindir/pgbench", '-n', '-T', 100000, '-c', $clients, '-j', 1, '--max-tries=0', '-P', 1,
		'--random-seed', 1 + int rand 1000000, @files);
	push @loads, { pid => $pid, output => $output, kind => $kind };
	return;
}

# A psql whose statements end by statement_timeout, in the middle of some vector; it goes on after errors, pgbench would
# not.
sub start_cancels
{
	my $file = "$dir/cancels.sql";
	if (!-e $file)
	{
		my $text = '';
		for my $n (1 .. 20000)
		{
			my $wait = 1 + $n * 7 % 20;
			my $function = $n % 2 ? 'add_rows' : 'add_rows_until_cancelled';
			$text .= "SET statement_timeout = $wait; SELECT $function('wide', 60);\n"
			  . "SET statement_timeout = $wait; SELECT count(*) FROM scan_ids('wide', '<->', some_vector('wide'), NULL);\n";
		}
		write_file($file, $text);
	}
	my $output = "$dir/load_" . ++$loads_started;
	my $pid = spawn($output, "$bindir/psql", '-XAtq', '-o', '/dev/null', '-f', $file);
	push @loads, { pid => $pid, output => $output, kind => 'cancels' };
	return;
}

sub start_loads
{
	start_cancels() if rand() < 0.5;
	start_load('writes', 2 + int rand 4, \%writers);
	start_load('vacuums', 1, \%vacuums);
	start_load('scans', 2 + int rand 2, \%scans);
	return;
}

# What clients may be told by a server that is being killed, or by a lock conflict.
my $expected_errors = qr/
	deadlock\ detected | could\ not\ serialize | terminating\ connection | server\ closed\ the\ connection |
	could\ not\ connect | connection\ to\ server | the\ database\ system\ is | lost\ connection |
	could\ not\ (?:receive|send)\ data | current\ transaction\ is\ aborted | postmaster\ exited /x;

# Ends the load, counts what it did, looks at its errors.
sub stop_loads
{
	for my $load (@loads)
	{
		kill 'KILL', $load->{pid};
		waitpid $load->{pid}, 0;
		for my $line (split /\n/, read_file($load->{output}))
		{
			$done{ $load->{kind} } += $1 if $line =~ /^progress: [\d.]+ s, ([\d.]+) tps/;
			next if $line !~ /ERROR|FATAL|PANIC|aborted/;
			next if $line =~ $expected_errors;
			# a timeout that fires as its statement ends may be reported as somebody's request
			next if $load->{kind} eq 'cancels' && $line =~ /canceling statement due to/ && ++$done{cancels};
			problem("$load->{kind}: $line") if $line =~ /ERROR|FATAL|PANIC/;
		}
		unlink $load->{output};
	}
	@loads = ();
	return;
}

# ---- checks --------------------------------------------------------------------

sub check_log
{
	my $text = read_file($log, $log_read);
	$log_read += length $text;
	# what the server fears whenever it was killed while it recovered, as kill_server does
	$text =~ s/^.* LOG:  database system was interrupted while in recovery .*\n.* HINT:  This probably means .*\n//mg;
	# A server with assertions: one in its own end of a parallel query whose postmaster is gone.
	my %orphaned = map { $_ => 1 } $text =~ /\[(\d+)\] FATAL:  postmaster exited during a parallel transaction/g;
	$text =~ s/^(TRAP: .*PID: (\d+)\)?)\n/$orphaned{$2} ? '' : "$1\n"/gme;
	for my $line (split /\n/, $text)
	{
		problem("server log: $line")
		  if $line =~ /PANIC|TRAP|inconsistent page|invalid page|corrupt|does not exist in|terminated by signal (?!9)/
		  || $line =~ /ERROR:.*(?:CHAOS|index "|slot \d)/;
	}
	return;
}

# No statement runs for so long, except for a rebuild.
sub check_stuck
{
	my ($out, $ok) = sql(q{SELECT pid, wait_event_type, wait_event, now() - query_start, query FROM pg_stat_activity
		WHERE state = 'active' AND query_start < now() - interval '20 s' AND backend_type = 'client backend'
		AND query !~ 'REINDEX|CREATE INDEX'});
	problem("stuck: $out") if $ok && $out ne '';
	return;
}

sub check_everything
{
	my ($when) = @_;
	my ($out, $ok) = sql(q{BEGIN ISOLATION LEVEL REPEATABLE READ;
		SELECT * FROM check_everything();
		COMMIT;});
	problem("$when: $out") if !$ok || $out ne '';
	++$checks;
	return;
}

# Undoes what a crash may rightly leave behind: prepared transactions, invalid indexes of interrupted concurrent builds.
sub tidy_up
{
	my ($gids, $ok) = sql(q{SELECT gid FROM pg_prepared_xacts});
	problem("after a restart: $gids") if !$ok;
	sql((rand() < 0.5 ? 'COMMIT' : 'ROLLBACK') . " PREPARED '$_'") for $ok ? split /\n/, $gids : ();
	my $invalid;
	($invalid, $ok) = sql(q{SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid
		AND indrelid::regclass::text !~ '^pg_toast'});
	for my $index ($ok ? split /\n/, $invalid : ())
	{
		my ($out, $dropped) = sql("DROP INDEX $index");
		problem("after a restart: $out") if !$dropped;
	}
	return;
}

# ---- the run -------------------------------------------------------------------

END
{
	my $status = $?;
	kill 'KILL', map { $_->{pid} } @loads;
	if (defined $data && -e "$data/postmaster.pid")
	{
		run("$dir/pg_ctl.out", "$bindir/pg_ctl", '-D', $data, '-m', 'immediate', '-w', 'stop');
	}
	$? = $status;
}
$SIG{INT} = $SIG{TERM} = $SIG{HUP} = sub { exit 130 };

print "chaos: $seconds seconds, seed $seed\n";
run("$dir/initdb.out", "$bindir/initdb", '-D', $data, '-U', 'chaos', '-A', 'trust', '-N', '--data-checksums', '-E', 'UTF8',
	'--locale=C') == 0
  or die 'initdb failed: ' . read_file("$dir/initdb.out");
write_file("$data/postgresql.conf", "include 'chaos.conf'\n");
configure();
start_server() or exit 1;
my ($out, $ok) = sql(read_file("$here/schema.sql"));
die "the schema failed: $out\n" if !$ok;
($out, $ok) = sql(q{SET enable_seqscan = off; EXPLAIN (COSTS OFF) SELECT id FROM dups ORDER BY v <=> '[1,2,3,4,5,6]'});
problem("the index is not used: $out") if $out !~ /Index: dups_cosine/;
check_everything('at the start');

my $began = time();
my $round = 0;
while (time() - $began < $seconds && @problems < 20)
{
	++$round;
	start_loads();
	my $duration = $round % 8 == 0 ? 2.5 * $longest : 1 + rand($longest - 1);
	my $left = $seconds - (time() - $began);
	sleep($duration < $left ? $duration : $left > 1 ? $left : 1);
	check_stuck() if $duration > 20;
	my $how = kill_server();
	stop_loads();
	last if ($how // '') eq 'failed';
	if (($how // '') ne 'process')
	{
		configure();
		start_server() or last;
	}
	check_log();
	tidy_up();
	check_everything("after the kill in round $round");
	if ($round % 3 == 0)
	{
		($out, $ok) = sql(q{VACUUM (INDEX_CLEANUP ON); });
		problem("VACUUM: $out") if !$ok;
		check_everything("after the kill in round $round, vacuumed");
	}
	printf "%5d s  round %d: %s; %d writes, %d vacuums, %d scans so far, %d problems\n", time() - $began, $round,
	  $how // 'nothing killed', (map { $done{$_} // 0 } qw(writes vacuums scans)), scalar @problems;
}

($out, $ok) = sql(q{SELECT string_agg(format('%s: %s nodes, %s rows, %s bytes', c.oid::regclass, r.nodes, r.heap_tids,
	pg_relation_size(c.oid)), E'\n' ORDER BY c.oid::regclass::text)
	FROM pg_class c JOIN pg_am a ON a.oid = relam, LATERAL vecann_verify(c.oid) r WHERE amname = 'hnsw' AND relkind = 'i'});
print "$out\n" if $ok;
my $total = 0;
$total += $_ for values %kills;
print "kills: $total (", join(', ', map { "$kills{$_} of $_" } sort keys %kills), ")\n";
printf "operations: %d writes, %d vacuums and rebuilds, %d scans, %d cancelled statements\n",
  map { $done{$_} // 0 } qw(writes vacuums scans cancels);
printf "checks of everything: %d; problems: %d\n", $checks, scalar @problems;
print "$_\n" for @problems;
exit(@problems ? 1 : 0);
