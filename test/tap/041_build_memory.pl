# Builds beyond maintenance_work_mem: by partitions through temporary files. The index has no problem, reaches all its
# nodes, and finds what one built in memory finds. The same seed gives the same index. A cancel or a kill in any phase
# leaves no file and no thread.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use VecannTest;

my $node = new_server('memory',
	conf => "shared_buffers = 128MB\nfsync = off\nmax_parallel_maintenance_workers = 1\nrestart_after_crash = on\nwal_level = replica\n"
	  . "max_parallel_workers_per_gather = 0\nsynchronize_seqscans = on\n");
$node->safe_psql('postgres', q{
	CREATE FUNCTION near(centre int, dim int, width real) RETURNS vector LANGUAGE sql VOLATILE AS
		'SELECT array_agg((sin(centre * 12.9898 + i * 78.233) + width * (random() + random() - 1))::real)::vector
		 FROM generate_series(1, dim) i';
});

sub temp_files
{
	my @files = glob($node->data_dir . '/base/pgsql_tmp/*');
	return scalar @files;
}

# Builds an index; returns how many partitions it had, 0 for a build in memory.
sub build
{
	my ($memory, $sql, $settings) = @_;
	my ($rc, $out, $err) = $node->psql('postgres',
		"SET client_min_messages = debug1; SET maintenance_work_mem = '$memory'; " . ($settings // '') . $sql);
	is($rc, 0, "built: $sql") or diag($err);
	return $err =~ /hnsw build: (\d+) partitions/ ? $1 : 0;
}

# Recall@10 of `queries` against the exact distances in `truth`, ties included.
sub recall
{
	my ($op) = @_;
	return $node->safe_psql('postgres', qq{
		SET enable_seqscan = off; SET hnsw.ef_search = 40;
		SELECT round(avg((SELECT count(*) FROM (SELECT d.v $op q.v AS d FROM data d ORDER BY d.v $op q.v LIMIT 10) f
			WHERE f.d <= q.tenth + abs(q.tenth) * 1e-6 + 1e-9)) / 10, 4) FROM truth q});
}

my @cases = (
	{ name => 'clusters', dim => 32, rows => 14000, v => 'near(i % 60, 32, 0.8)' },
	{ name => 'clusters far apart, float32', dim => 32, rows => 14000, v => 'near(i % 40, 32, 0.05)', with => 'payload = float32' },
	{ name => 'equal rows in plenty', dim => 32, rows => 30000,
		v => 'CASE WHEN i % 2 = 0 THEN near(i % 1000, 32, 0) ELSE near(i % 60, 32, 0.8) END', with => 'payload = float16' },
	{ name => 'one vector half of the time', dim => 32, rows => 30000,
		v => 'CASE WHEN i % 2 > 0 THEN near(1, 32, 0) ELSE near(i % 60, 32, 0.8) END' },
	{ name => 'no cells to speak of', dim => 32, rows => 14000, v => 'near(1, 32, 1)' },
	{ name => 'cosine', dim => 64, rows => 14000, v => 'near(i % 60, 64, 0.8)', op => '<=>', class => 'cosine', with => 'payload = float16' },
	{ name => 'inner product, different lengths', dim => 32, rows => 14000,
		v => 'l2_normalize(near(i % 60, 32, 0.8)) * array_fill((0.5 + random())::real, ARRAY[32])::vector', op => '<#>', class => 'ip' },
	{ name => 'few dimensions', dim => 4, rows => 20000, v => 'near(i % 10, 4, 0.8)' },
	{ name => 'split payloads', dim => 2000, rows => 1500, v => 'near(i % 20, 2000, 0.8)', with => 'payload = float32', slack => 0.06 },
);

for my $case (@cases)
{
	my ($name, $dim) = @$case{qw(name dim)};
	my $op = $case->{op} // '<->';
	my $class = 'vector_' . ($case->{class} // 'l2') . '_ops';
	my $with = $case->{with} ? "WITH ($case->{with})" : '';
	$node->safe_psql('postgres', qq{
		DROP TABLE IF EXISTS data, truth;
		SELECT setseed(0.31);
		CREATE TABLE data (id int, v vector($dim));
		INSERT INTO data SELECT i, $case->{v} FROM generate_series(1, $case->{rows}) i;
		INSERT INTO data VALUES (0, NULL);
		CREATE TABLE truth AS SELECT q.v, f.tenth FROM (SELECT v FROM data WHERE v IS NOT NULL AND id % 97 = 5 LIMIT 60) q,
			LATERAL (SELECT max(d) AS tenth FROM (SELECT d.v $op q.v AS d FROM data d WHERE d.v IS NOT NULL ORDER BY 1 LIMIT 10) n) f;
		ANALYZE data});
	my $create = "CREATE INDEX data_v ON data USING hnsw (v $class) $with";
	is(build('512MB', $create), 0, "$name: fits") if $name !~ /length/;
	build('512MB', $create) if $name =~ /length/;
	my $in_memory = recall($op);
	$node->safe_psql('postgres', 'DROP INDEX data_v');
	my $partitions = build('1MB', $create);
	# Vectors of different lengths are inserted under inner product, whatever the memory.
	is($partitions, 0, "$name: inserted") if $name =~ /length/;
	cmp_ok($partitions, '>', 1, "$name: built in partitions") if $name !~ /length/;
	my $recall = recall($op);
	cmp_ok($recall, '>=', $in_memory - ($case->{slack} // 0.03), "$name: recall $recall, $in_memory in memory");
	is($node->safe_psql('postgres', q{SELECT heap_tids, unreachable, problems FROM vecann_verify('data_v')}),
		"$case->{rows}|0|{}", "$name: complete, all nodes within reach, no problem");
	is(temp_files(), 0, "$name: no temporary file is left");
}

# ---- rows that belong to no partition ----------------------------------------------------

$node->safe_psql('postgres', q{
	DROP TABLE data, truth;
	CREATE TABLE data (id int, v vector(32));
	INSERT INTO data SELECT i, CASE WHEN i % 1000 = 0 THEN array_fill(((random() - 0.5) * 6e38)::real, ARRAY[32])::vector
		ELSE near(i % 60, 32, 0.8) END FROM generate_series(1, 14000) i;
	ANALYZE data});
my $create = 'CREATE INDEX data_v ON data USING hnsw (v vector_l2_ops)';
cmp_ok(build('1MB', $create), '>', 1, 'huge numbers: built in partitions');
is($node->safe_psql('postgres', q{SELECT heap_tids, problems FROM vecann_verify('data_v')}), '14000|{}',
	'huge numbers: no problem');
$node->safe_psql('postgres', 'DROP INDEX data_v');

# ---- the notice ----------------------------------------------------------------------------

my ($rc, $out, $err) = $node->psql('postgres', "SET maintenance_work_mem = '1MB'; $create");
like($err, qr/NOTICE:  hnsw graph of about 14000 rows does not fit into maintenance_work_mem/, 'a notice');
like($err, qr/DETAIL:  It takes about \d+ MB .* parts of up to \d+ rows/, 'with the estimate');
($rc, $out, $err) = $node->psql('postgres', "DROP INDEX data_v; $create");
is($err, '', 'no notice when it fits');
($rc, $out, $err) = $node->psql('postgres',
	"DROP INDEX data_v; SET maintenance_work_mem = '1MB'; SET temp_file_limit = '1MB'; $create");
like($err, qr/temporary file size exceeds temp_file_limit/, 'temp_file_limit holds');
is(temp_files(), 0, 'and no file is left');

# What belongs to no partition is inserted, with layers of its own.
$node->safe_psql('postgres', 'DELETE FROM data WHERE id % 1000 = 0');
$node->safe_psql('postgres', 'VACUUM data');

# ---- the same seed ---------------------------------------------------------------------------

# The bytes of an index, but for what differs by where it was in the log: the pages' positions and checksums.
sub bytes_of
{
	my ($index) = @_;
	$node->safe_psql('postgres', 'CHECKPOINT');
	my $path = $node->safe_psql('postgres', "SELECT pg_relation_filepath('$index')");
	my $bytes = slurp_file($node->data_dir . "/$path");
	substr($bytes, $_ * 8192, 10) = "\0" x 10 for 0 .. length($bytes) / 8192 - 1;
	return $bytes;
}

for my $memory ('1MB', '512MB')
{
	my %bytes;
	for my $try ([ first => 0, 7 ], [ again => 0, 7 ], [ threads => 3, 7 ], [ other => 0, 8 ])
	{
		my ($name, $workers, $seed) = @$try;
		$node->safe_psql('postgres', 'DROP INDEX IF EXISTS data_v');
		build($memory, "$create WITH (seed = $seed)", "SET max_parallel_maintenance_workers = $workers; ");
		$bytes{$name} = bytes_of('data_v');
	}
	cmp_ok(length($bytes{first}), '>', 1000000, "$memory: there is an index");
	ok($bytes{first} eq $bytes{again}, "$memory: the same seed gives the same index");
	ok($bytes{first} eq $bytes{threads}, "$memory: with more threads too");
	ok($bytes{first} ne $bytes{other}, "$memory: another seed gives another");
}
$node->safe_psql('postgres', 'DROP INDEX data_v');
($rc, $out, $err) = $node->psql('postgres', "$create WITH (seed = -1)");
like($err, qr/value -1 out of bounds for option "seed"/, 'a seed is not negative');

$node->safe_psql('postgres', q{
	CREATE TABLE many (id int, v vector(64));
	INSERT INTO many SELECT i, near(i % 60, 64, 0.8) FROM generate_series(1, 40000) i;
	ANALYZE many});

# ---- memory ----------------------------------------------------------------------------------

# What a backend has in use for itself while it builds, in MB, above what it had before.
sub peak_of_build
{
	my ($memory) = @_;
	my $session = background_session($node);
	my $pid = $session->query_safe('SELECT pg_backend_pid()');
	$session->query_safe('SELECT count(*) FROM vecann_compute_check()');
	my $used = sub { return slurp_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+) kB/m ? $1 / 1024 : 0 };
	my $before = $used->();
	my $file = $node->basedir . '/peak';
	unlink("$file.stop", $file);
	my $watcher = fork() // die "cannot fork: $!";
	if ($watcher == 0)
	{
		my $most = 0;
		until (-e "$file.stop")
		{
			my $now = $used->();
			$most = $now if $now > $most;
			sleep 0.005;
		}
		append_to_file($file, $most);
		POSIX::_exit(0);
	}
	$session->query_safe("SET client_min_messages = error; SET maintenance_work_mem = '$memory'; "
		. 'CREATE INDEX many_v ON many USING hnsw (v vector_l2_ops)');
	append_to_file("$file.stop", '');
	waitpid($watcher, 0);
	end_sessions($session);
	$node->safe_psql('postgres', 'DROP INDEX many_v');
	return slurp_file($file) - $before;
}

SKIP:
{
	skip 'no RssAnon in /proc', 2 if !-r '/proc/self/status' || slurp_file('/proc/self/status') !~ /^RssAnon:/m;
	for my $limit (24, 256)
	{
		my $peak = peak_of_build("${limit}MB");
		cmp_ok($peak, '<=', $limit + 4, sprintf('%d MB: %.0f MB at most', $limit, $peak));
	}
}

# ---- cancel, terminate and kill in each phase ---------------------------------------------------

# Looks at the build of process `pid` until it is in a phase, and ends it there and then, or leaves it to be killed.
# False when the phase passed between two looks.
$node->safe_psql('postgres', q{
	CREATE FUNCTION meet(builder int, sought text, ending text) RETURNS bool LANGUAGE plpgsql AS $$
	BEGIN
		-- who waits for this lock begins now: a phase that comes early must not pass while we are still connecting
		PERFORM pg_advisory_unlock(41);
		FOR i IN 1 .. 30000 LOOP
			PERFORM pg_stat_clear_snapshot();
			IF EXISTS (SELECT FROM pg_stat_progress_create_index WHERE pid = builder AND phase = 'building index: ' || sought) THEN
				RETURN CASE ending WHEN 'cancel' THEN pg_cancel_backend(builder)
					WHEN 'terminate' THEN pg_terminate_backend(builder) ELSE true END;
			END IF;
			EXIT WHEN EXISTS (SELECT FROM pg_class WHERE relname = 'many_v');
			PERFORM pg_sleep(0.001);
		END LOOP;
		RETURN false;
	END $$});

# The late ones are short here: whoever looks for one may miss it each time.
my %short = map { $_ => 1 } ('numbering nodes', 'building upper layers', 'checking links', 'planting seeds');
for my $phase ('scanning table', 'dividing rows', 'numbering nodes', 'building graph', 'writing graph',
	'building upper layers', 'checking links', 'planting seeds')
{
	for my $end ($short{$phase} ? qw(cancel kill) : qw(cancel terminate kill))
	{
		my $label = "$end while $phase";
		my $ended = 0;
		# a phase may pass between two looks
		for my $attempt (1 .. 5)
		{
			my $session = background_session($node);
			my $pid = $session->query_safe('SELECT pg_backend_pid()');
			my $watcher = background_session($node);
			$watcher->query_safe('SELECT pg_advisory_lock(41)');
			$session->query_until(qr/started/, "\\echo started\n"
				. "SELECT pg_advisory_lock(41);\nSELECT pg_advisory_unlock(41);\n"
				. "SET maintenance_work_mem = '1MB';\nCREATE INDEX many_v ON many USING hnsw (v vector_l2_ops);\n");
			wait_until($node, "SELECT count(*) = 1 FROM pg_locks WHERE pid = $pid AND locktype = 'advisory' AND NOT granted");
			my $seen = $watcher->query_safe("SELECT meet($pid, '$phase', '$end')") eq 't';
			my $began = time;
			end_sessions($watcher);
			crash($node, 'backend', $pid) if $end eq 'kill';
			wait_until($node, "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid AND state = 'active'");
			cmp_ok(time - $began, '<', 30, "$label: it ends");
			if ($end eq 'cancel' && -d "/proc/$pid/task")
			{
				my $threads;
				for (1 .. 100)
				{
					$threads = () = glob "/proc/$pid/task/*";
					last if $threads == 1;
					sleep 0.05;
				}
				is($threads, 1, "$label: no thread is left");
			}
			end_sessions($session);
			is(temp_files(), 0, "$label: no temporary file is left");
			$ended = $seen && $node->safe_psql('postgres', q{SELECT to_regclass('many_v') IS NULL}) eq 't';
			last if $ended;
			$node->safe_psql('postgres', 'DROP INDEX IF EXISTS many_v');
		}
	  SKIP:
		{
			skip "$label: the phase was too short", 1 if !$ended && $short{$phase};
			ok($ended, "$label: met that phase, and there is no index");
		}
	}
}

$node->stop;
done_testing();
