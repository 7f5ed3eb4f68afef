# A build of a million rows that is cancelled, or whose process is killed, early and late in each of its phases: how long
# that takes, and what is left. Of a cancel the time until the error counts; that until the server has thrown away what was
# built, a file of a gigabyte among it, is its own and only told. Takes a while, 2 GB of disk and of memory, so it runs
# only when it is named: `PG_TEST_TIMEOUT_DEFAULT=1800 TAP_TIMEOUT=7200 scripts/run-tap large_cancel`. LARGE_DATA: a file of
# float32 numbers, 128 a row, in place of rows that are made up; LARGE_ROWS: rows (1,000,000);
# LARGE_SECONDS: a cancel may take so long (1); LARGE_ONLY: a pattern for the labels of what is to be done.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use VecannTest;

my $rows = $ENV{LARGE_ROWS} // 1_000_000;
my $limit = $ENV{LARGE_SECONDS} // 1;
my $node = new_server('large', conf => "shared_buffers = 512MB\nfsync = off\nmax_wal_size = 4GB\nwal_level = replica\n"
	. "max_wal_senders = 0\nlog_timezone = 'UTC'\nrestart_after_crash = on\ndynamic_shared_memory_type = mmap\nmax_parallel_maintenance_workers = 1\n");

# The rows of a file, through a copy in the server's own format.
sub load_file
{
	my ($file) = @_;
	my $copy = $node->basedir . '/large.copy';
	open my $in, '<:raw', $file or die "no $file: $!";
	open my $out, '>:raw', $copy or die "no $copy: $!";
	print $out "PGCOPY\n\xff\r\n\0", pack('NN', 0, 0);
	for my $id (1 .. $rows)
	{
		read($in, my $row, 512) == 512 or die "$file has less than $rows rows";
		print $out pack('nNNNnn', 2, 4, $id, 516, 128, 0), pack('N128', unpack('V128', $row));
	}
	print $out pack('n', 0xffff);
	close $out or die $!;
	$node->safe_psql('postgres', "CREATE TABLE large (id int, v vector(128)); COPY large FROM '$copy' (FORMAT binary)");
	unlink $copy;
	return;
}

# Vectors of few directions: each is the sum of one of each pool, so near ones share two of three.
sub make_rows
{
	$node->safe_psql('postgres', qq{
		SELECT setseed(0.5);
		CREATE TABLE pool AS SELECT p, i, ARRAY(SELECT ((random() + random() - 1) / p)::real FROM
			generate_series(1, 128) WHERE i > 0)::vector(128) AS v FROM generate_series(1, 3) p, generate_series(1, 1000) i;
		CREATE TABLE large (id int, v vector(128));
		INSERT INTO large SELECT n, a.v + b.v + c.v FROM generate_series(1, $rows) n
			JOIN pool a ON a.p = 1 AND a.i = n % 200 + 1 JOIN pool b ON b.p = 2 AND b.i = abs(hashint4(n)) % 1000 + 1
			JOIN pool c ON c.p = 3 AND c.i = abs(hashint4(n + 7)) % 1000 + 1});
	return;
}

$ENV{LARGE_DATA} ? load_file($ENV{LARGE_DATA}) : make_rows();
$node->safe_psql('postgres', 'ANALYZE large; CHECKPOINT');

# The files of the database that no relation has.
sub stray_files
{
	my $database = $node->safe_psql('postgres', q{SELECT oid FROM pg_database WHERE datname = 'postgres'});
	my %known = map { $_ => 1 } split /\n/, $node->safe_psql('postgres',
		'SELECT pg_relation_filenode(oid) FROM pg_class WHERE pg_relation_filenode(oid) IS NOT NULL');
	return grep { m{/(\d+)[^/]*$} && !$known{$1} } glob $node->data_dir . "/base/$database/[0-9]*";
}

# Dynamic shared memory; the server itself has one piece.
sub shared_memory
{
	return glob $node->data_dir . '/pg_dynshmem/*';
}

my $shared_before = () = shared_memory();

# What a build may leave behind: files of the database, temporary files, shared memory.
sub leftovers
{
	# a relation's own files stay, empty, until the next checkpoint
	$node->safe_psql('postgres', 'CHECKPOINT');
	my $shared = () = shared_memory();
	return (files => scalar(() = stray_files()),
		temporary => scalar(() = glob $node->data_dir . '/base/pgsql_tmp/*'), shared => $shared - $shared_before);
}

# Seconds of a time of day.
sub seconds_of
{
	my ($hours, $minutes, $seconds) = split /:/, $_[0];
	return ($hours * 60 + $minutes) * 60 + $seconds;
}

# A condition of SQL: the build of a session is in a phase, and the given share of its rows is done. With a total of 0 the
# phase does not count.
sub in_phase
{
	my ($pid, $phase, $share) = @_;
	return "EXISTS (SELECT FROM pg_stat_progress_create_index WHERE pid = $pid AND phase = 'building index: $phase'
		AND tuples_done >= $share * tuples_total)";
}

# Ends a build in a phase, when the given share of its rows is done and some seconds have gone; returns the seconds that
# took, nothing when the phase was missed.
sub end_build
{
	my ($end, $memory, $phase, $share, $wait) = @_;
	my $session = background_session($node);
	my $pid = $session->query_safe('SELECT pg_backend_pid()');
	$session->query_until(qr/started/, "\\echo started\n"
		. "SET client_min_messages = error;\nSET maintenance_work_mem = '$memory';\nCREATE INDEX large_v ON large USING hnsw (v vector_l2_ops);\n");
	my $watcher = background_session($node);
	my $in_phase = in_phase($pid, $phase, $share);
	$watcher->query_safe(qq{DO \$\$ BEGIN LOOP
		PERFORM pg_stat_clear_snapshot();
		EXIT WHEN $in_phase OR EXISTS (SELECT FROM pg_class WHERE relname = 'large_v');
		PERFORM pg_sleep(0.002);
	END LOOP; PERFORM pg_sleep($wait); END \$\$;});
	my $began = time;
	my $seconds;
	if ($end eq 'kill')
	{
		end_sessions($watcher);
		crash($node, 'backend', $pid);
		$seconds = time - $began;
		ok(!-e "/proc/$pid", 'the process is gone');
	}
	else
	{
		# by the server's clock: psql is slow to start on a busy machine
		my $began_and_all = $watcher->query_safe(qq{
			CREATE TEMP TABLE ended (began timestamptz, all_of_it real, met bool);
			DO \$\$ DECLARE began timestamptz = clock_timestamp(); met bool; BEGIN
				PERFORM pg_stat_clear_snapshot();
				met = $in_phase;
				PERFORM pg_cancel_backend($pid);
				LOOP
					PERFORM pg_stat_clear_snapshot();
					EXIT WHEN NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid AND state = 'active');
					PERFORM pg_sleep(0.001);
				END LOOP;
				INSERT INTO ended SELECT began, extract(epoch FROM clock_timestamp() - began), met;
			END \$\$;
			SELECT to_char(began AT TIME ZONE 'UTC', 'HH24:MI:SS.MS'), all_of_it, met FROM ended});
		my ($sent, $all, $met) = split /\|/, $began_and_all;
		my ($raised) = slurp_file($node->logfile) =~ /^.*^\S+ (\S+) UTC \[$pid\].* canceling statement/ms;
		$seconds = seconds_of($raised) - seconds_of($sent) if defined $raised && $met eq 't';
		note(sprintf('until all is undone: %.3f s', $all));
		end_sessions($watcher);
		my $threads = () = glob "/proc/$pid/task/*";
		cmp_ok($threads, '<=', 1, 'no thread is left');
	}
	end_sessions($session);
	return $node->safe_psql('postgres', q{SELECT to_regclass('large_v') IS NULL}) eq 't' ? $seconds : undef;
}

# Phases, the share of their rows that is done, seconds to wait then, and whether to kill as well.
my %phases = (
	'3GB' => [
		[ 'scanning table', 0.5, 0, 1 ], [ 'building graph', 0, 0, 1 ], [ 'building graph', 0, 5, 0 ],
		[ 'writing graph', 0.02, 0, 1 ], [ 'writing graph', 0.9, 0, 0 ], [ 'coding rows', 0, 0, 1 ],
		[ 'planting seeds', 0, 0, 0 ], [ 'writing WAL', 0, 0, 1 ]
	],
	'64MB' => [
		[ 'scanning table', 0.5, 0, 1 ], [ 'dividing rows', 0, 0, 1 ], [ 'dividing rows', 0.7, 0, 0 ],
		[ 'numbering nodes', 0.4, 0, 1 ], [ 'building graph', 0, 0, 0 ], [ 'building graph', 0.5, 0, 1 ],
		[ 'building graph', 0.95, 0, 0 ], [ 'writing graph', 0.02, 0, 0 ], [ 'writing graph', 0.5, 0, 1 ],
		[ 'writing graph', 0.9, 0, 0 ], [ 'building upper layers', 0, 0, 0 ], [ 'checking links', 0, 0, 1 ],
		[ 'planting seeds', 0, 0, 0 ], [ 'planting seeds', 0, 0.5, 1 ], [ 'coding rows', 0, 0, 0 ],
		[ 'coding rows', 0, 0.5, 1 ], [ 'writing WAL', 0, 0, 0 ], [ 'writing WAL', 0, 0.5, 1 ]
	]);
for my $memory ('3GB', '64MB')
{
	for my $case (@{ $phases{$memory} })
	{
		my ($phase, $share, $wait, $also_kill) = @$case;
		for my $end ($also_kill ? qw(cancel kill) : 'cancel')
		{
			my $label = "$memory, $end while $phase, from $share on" . ($wait > 0 ? ", $wait s later" : '');
			next if $label !~ ($ENV{LARGE_ONLY} // '');
			my $seconds;
			# a short phase may have passed between the look and the cancel
			for my $attempt (1 .. 3)
			{
				$seconds = end_build($end, $memory, $phase, $share, $wait);
				last if defined $seconds;
				note("$label: missed");
				$node->safe_psql('postgres', 'DROP INDEX IF EXISTS large_v');
			}
			if (!defined $seconds)
			{
				fail("$label: the phase was missed");
				next;
			}
			cmp_ok($seconds, '<', $end eq 'kill' ? 60 : $limit, sprintf('%s: %.3f s', $label, $seconds));
			my %left = leftovers();
			is("$left{temporary} $left{shared}", '0 0', "$label: no temporary file or shared memory is left");
			# The server knows no file of a transaction that a crash has ended.
			is($left{files}, 0, "$label: no file of a relation is left") if $end ne 'kill';
			is($node->safe_psql('postgres', 'SELECT count(v) FROM large'), $rows, "$label: the table is whole");
			if ($end eq 'kill' && $left{files} > 0)
			{
				note("$label: $left{files} files of the killed transaction stay");
				# for the sake of the disk
				unlink stray_files();
			}
		}
	}
}

$node->stop;
done_testing();
