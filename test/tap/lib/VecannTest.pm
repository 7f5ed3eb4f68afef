# What the TAP tests share: servers with vecann, data from a seed, background load, crashes, and the checks that every
# test ends with.
package VecannTest;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(
	new_server start_again crash add_schema add_wide verify_ok verify_all scan_ok recall_ok start_load stop_load
	background_session end_sessions hold_point release_point wait_for_point wait_until has_race_points problems
	try_sql rewrite_file
);

# Helper functions in SQL. scan_check runs ordered scans of a table through the index and counts the rows it should
# find; it raises an error when they differ or when a row comes twice, so that load scripts can call it too.
my $helpers = q{
	CREATE EXTENSION vecann;
	CREATE FUNCTION random_vector(dim int) RETURNS vector LANGUAGE sql VOLATILE AS
		'SELECT array_agg(random()::real)::vector FROM generate_series(1, dim)';
	-- one of `kinds` different vectors
	CREATE FUNCTION common_vector(dim int, kinds int) RETURNS vector LANGUAGE sql VOLATILE AS
		'SELECT array_agg(((k * (i + 3)) % 11)::real)::vector FROM generate_series(1, dim) i,
		 (SELECT floor(random() * kinds)::int + 1) r(k)';

	-- All rows that one index returns when it is asked for `wanted` rows (NULL: for all).
	CREATE FUNCTION scan_ids(tab regclass, col text, op text, q vector, wanted int) RETURNS SETOF bigint
	LANGUAGE plpgsql AS $$
	BEGIN
		SET LOCAL enable_seqscan = off;
		SET LOCAL enable_sort = off;
		SET LOCAL enable_bitmapscan = off;
		RETURN QUERY EXECUTE format('SELECT id FROM %s ORDER BY %I %s $1 LIMIT $2', tab, col, op) USING q, wanted;
	END $$;
	CREATE FUNCTION scan_check(tab regclass, col text, op text, q vector, wanted int) RETURNS bigint
	LANGUAGE plpgsql AS $$
	DECLARE
		found bigint;
		distinct_found bigint;
		expected bigint;
		skip_zero text := CASE op WHEN '<=>' THEN format(' AND vector_norm(%I) > 0', col) ELSE '' END;
	BEGIN
		SELECT count(*), count(DISTINCT id) INTO found, distinct_found FROM scan_ids(tab, col, op, q, wanted) id;
		SET LOCAL enable_seqscan = on;
		EXECUTE format('SELECT count(*) FROM %s WHERE %I IS NOT NULL%s', tab, col, skip_zero) INTO expected;
		IF found <> distinct_found THEN
			RAISE EXCEPTION 'scan of % by % returned % rows, only % of them different', tab, op, found, distinct_found;
		END IF;
		IF found <> least(expected, wanted) THEN
			RAISE EXCEPTION 'scan of % by % returned % rows of %', tab, op, found, least(expected, wanted);
		END IF;
		RETURN found;
	END $$;

	-- For an index on ((held(v, id, n)::vector(...))): its build waits at the row with id n while hold_point holds 'build'.
	CREATE FUNCTION held(v vector, id bigint, at bigint) RETURNS vector IMMUTABLE LANGUAGE plpgsql AS $$
	BEGIN
		IF id = at THEN
			PERFORM pg_advisory_xact_lock_shared(hashtext('build'));
		END IF;
		RETURN v;
	END $$;
};

# A started server with the extension and the helper functions. Parameters: streaming, archiving, checksums (booleans),
# conf (lines for postgresql.conf).
sub new_server
{
	my ($name, %params) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(
		allows_streaming => $params{streaming} || $params{archiving} ? 1 : 0,
		has_archiving => $params{archiving} ? 1 : 0,
		extra => $params{checksums} ? ['--data-checksums'] : []);
	$node->append_conf('postgresql.conf', <<"CONF");
log_statement = none
max_connections = 40
autovacuum = off
shared_buffers = 4MB
maintenance_work_mem = 64MB
max_prepared_transactions = 5
jit = off
CONF
	$node->append_conf('postgresql.conf', $params{conf}) if $params{conf};
	$node->start;
	$node->safe_psql('postgres', $helpers);
	return $node;
}

# Starts a server after a kill: waits until the last processes of the old one have gone.
sub start_again
{
	my ($node) = @_;
	for my $attempt (1 .. 60)
	{
		return if $node->start(fail_ok => 1);
		sleep 0.5;
		# in case the attempt merely took too long
		$node->stop('fast', fail_ok => 1);
	}
	die 'the server did not start again';
}

# The processes that a process has started, as far as /proc is there to tell.
sub children_of
{
	my ($parent) = @_;
	my @children;
	for my $stat (glob '/proc/[0-9]*/stat')
	{
		open my $file, '<', $stat or next;
		my $line = <$file> // '';
		push @children, $1 if $line =~ /^(\d+) \(.*\) \S (\d+) / && $2 == $parent;
	}
	return @children;
}

# Ends the server abruptly and starts it again. $how: immediate (stop -m immediate), postmaster (kill -9 of it and of
# all its processes), backend (kill -9 of one server process; the server then recovers by itself if restart_after_crash
# is on).
sub crash
{
	my ($node, $how, $pid) = @_;
	if ($how eq 'immediate')
	{
		$node->stop('immediate');
		start_again($node);
	}
	elsif ($how eq 'postmaster')
	{
		my @pids = split /\n/, $node->safe_psql('postgres', 'SELECT pid FROM pg_stat_activity');
		# A session that came after the question would wait for ever for a lock that a killed one held.
		my $postmaster = (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];
		kill 'STOP', $postmaster;
		push @pids, children_of($postmaster);
		$node->kill9;
		kill 'KILL', @pids;
		start_again($node);
	}
	else
	{
		my $log_end = -s $node->logfile;
		kill 'KILL', $pid or die "no process $pid";
		$node->wait_for_log(qr/database system is ready to accept connections/, $log_end);
	}
	return;
}

# A table of random vectors, one of duplicates, and an index of every metric.
#   plain (id, v)  `rows` different vectors, indexes plain_l2, plain_ip; a NULL and a zero vector among them
#   dups (id, v)   `rows` rows of 40 vectors, indexes dups_l2, dups_cosine
sub add_schema
{
	my ($node, %params) = @_;
	my $rows = $params{rows} // 500;
	my $with = $params{with} // 'm = 6, ef_construction = 24';
	my $kind = $params{unlogged} ? 'UNLOGGED' : '';
	$node->safe_psql(
		'postgres', qq{
		SELECT setseed(0.42);
		CREATE $kind TABLE plain (id bigserial PRIMARY KEY, v vector(8), note int DEFAULT 0);
		CREATE $kind TABLE dups (id bigserial PRIMARY KEY, v vector(8), note int DEFAULT 0);
		INSERT INTO plain (v) SELECT random_vector(8) FROM generate_series(1, $rows);
		INSERT INTO plain (v) VALUES (NULL), ('[0,0,0,0,0,0,0,0]');
		INSERT INTO dups (v) SELECT common_vector(8, 40) FROM generate_series(1, $rows);
		CREATE INDEX plain_l2 ON plain USING hnsw (v vector_l2_ops) WITH ($with);
		CREATE INDEX plain_ip ON plain USING hnsw (v vector_ip_ops) WITH ($with);
		CREATE INDEX dups_l2 ON dups USING hnsw (v vector_l2_ops) WITH ($with);
		CREATE INDEX dups_cosine ON dups USING hnsw (v vector_cosine_ops) WITH ($with);
	});
	return;
}

# A table of vectors that take two pages of parts each: wide (id, v), index wide_l2.
sub add_wide
{
	my ($node, %params) = @_;
	my $rows = $params{rows} // 60;
	$node->safe_psql(
		'postgres', qq{
		CREATE TABLE wide (id bigserial PRIMARY KEY, v vector(4000));
		ALTER TABLE wide ALTER v SET STORAGE external;
		INSERT INTO wide (v) SELECT random_vector(4000) FROM generate_series(1, $rows);
		CREATE INDEX wide_l2 ON wide USING hnsw (v vector_l2_ops) WITH (m = 4, ef_construction = 16, payload = float32);
	});
	return;
}

# ---- checks ------------------------------------------------------------------

# Runs SQL and returns its output and the SQLSTATE of its error, 'crash' when there is none for it, or ''.
sub try_sql
{
	my ($node, $statement) = @_;
	my ($status, $out, $err) =
	  $node->psql('postgres', "\\set VERBOSITY sqlstate\nSET statement_timeout = '30s';\n$statement");
	my ($state) = $err =~ /ERROR:\s+(\w{5})/;
	$state = 'crash' if !$state && $status;
	return ($out, $state // '');
}

# Changes a file of a stopped server: $change gets a reference to all of it.
sub rewrite_file
{
	my ($node, $path, $change) = @_;
	open my $handle, '+<:raw', $node->data_dir . "/$path" or die "cannot open $path: $!";
	local $/ = undef;
	my $content = <$handle>;
	$change->(\$content);
	seek $handle, 0, 0;
	print $handle $content;
	truncate $handle, length $content;
	close $handle or die "cannot write $path: $!";
	return;
}

sub problems
{
	my ($node, $index, $db) = @_;
	return $node->safe_psql($db // 'postgres', "SELECT problems FROM vecann_verify('$index')");
}

# The verifier finds nothing wrong with an index.
sub verify_ok
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($node, $index, $label, $db) = @_;
	return is(problems($node, $index, $db), '{}', "$label: $index verified");
}

# The same for all valid indexes of vecann in the database.
sub verify_all
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($node, $label, $db) = @_;
	my $found = $node->safe_psql(
		$db // 'postgres', q{
		SELECT indexrelid::regclass, r.problems
		FROM pg_index JOIN pg_class c ON c.oid = indexrelid JOIN pg_am a ON a.oid = relam,
		LATERAL vecann_verify(indexrelid) r
		WHERE amname IN ('hnsw', 'ivfflat', 'ivfpq') AND relkind = 'i' AND indisvalid AND relpersistence <> 't' AND r.problems <> '{}'});
	return is($found, '', "$label: all indexes verified");
}

# Full scans through the indexes of add_schema's tables return each row once.
sub scan_ok
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($node, $label) = @_;
	for my $scan (
		[ 'plain', '<->' ], [ 'plain', '<#>' ], [ 'dups', '<->' ], [ 'dups', '<=>' ])
	{
		my ($table, $op) = @$scan;
		my ($rc, $out, $err) =
		  $node->psql('postgres', "SELECT scan_check('$table', 'v', '$op', common_vector(8, 40), NULL) >= 0");
		is("$out$err", 't', "$label: a full scan of $table by $op returns each row once");
	}
	return;
}

# Recall of the index against an exact search: the share of the `k` nearest, over 20 random queries.
sub recall_ok
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($node, $table, $op, $at_least, $label) = @_;
	my $recall = $node->safe_psql(
		'postgres', qq{
		BEGIN;
		SELECT setseed(0.7);
		CREATE TEMP TABLE queries ON COMMIT DROP AS
			SELECT n, random_vector(8) AS q FROM generate_series(1, 20) n;
		SET LOCAL enable_indexscan = off;
		CREATE TEMP TABLE exact ON COMMIT DROP AS
			SELECT n, f.d FROM queries,
			LATERAL (SELECT max(d) AS d FROM (SELECT v $op q AS d FROM $table WHERE v IS NOT NULL
				ORDER BY 1 LIMIT 10) x) f;
		SET LOCAL enable_indexscan = on;
		SET LOCAL enable_seqscan = off;
		SET LOCAL enable_sort = off;
		SELECT count(*) FILTER (WHERE f.d <= exact.d + 1e-6) / 200.0 FROM queries JOIN exact USING (n),
			LATERAL (SELECT v $op q AS d FROM $table ORDER BY v $op q LIMIT 10) f;
		COMMIT;
	});
	($recall) = grep { /\d/ } split /\n/, $recall;
	return cmp_ok($recall, '>=', $at_least, "$label: recall of $table by $op");
}

# ---- load --------------------------------------------------------------------

my $load_number = 0;

# Starts pgbench with scripts (name => text; "name@weight") that run until the server or stop_load ends them. Clients
# that meet a deadlock or a recovery conflict try again; any other error ends the client and stands in stop_load's
# answer.
sub start_load
{
	my ($node, $clients, %scripts) = @_;
	my $number = ++$load_number;
	my @files;
	for my $name (sort keys %scripts)
	{
		my ($base, $weight) = $name =~ /^(\w+)(@\d+)?$/;
		my $file = $node->basedir . "/load_${number}_$base";
		append_to_file($file, $scripts{$name});
		push @files, '-f', $file . ($weight // '');
	}
	my $log = $node->basedir . "/load_$number.log";
	my $run = IPC::Run::start(
		[
			'pgbench', '-n', '-T', 3600, '-c', $clients, '-j', 1, '--max-tries=0', '-h', $node->host, '-p', $node->port,
			@files, 'postgres'
		],
		'<', '/dev/null', '>', '/dev/null', '2>', $log);
	return { run => $run, log => $log };
}

# Ends the load; returns the errors that no crash explains, one a line.
sub stop_load
{
	my (@loads) = @_;
	my @errors;
	for my $load (@loads)
	{
		$load->{run}->signal('KILL');
		$load->{run}->finish;
		for my $line (split /\n/, slurp_file($load->{log}))
		{
			next if $line !~ /ERROR|FATAL|PANIC/;
			next if $line =~ /terminating connection|shutting down|starting up|recovery mode|Connection refused/;
			next if $line =~ /conflict with recovery|connection to server|postmaster exited/;
			push @errors, $line;
		}
	}
	return join "\n", @errors;
}

# ---- sessions and race points --------------------------------------------------

# A psql session that stays open, with settings ("name = value").
sub background_session
{
	my ($node, @settings) = @_;
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	# the settings of the extension exist once it is loaded
	$session->query_safe(join '', "LOAD 'vecann';\n", map { "SET $_;\n" } @settings);
	return $session;
}

# Ends sessions, whether or not the server has thrown them out: psql may be gone or wait for input.
sub end_sessions
{
	for my $session (@_)
	{
		$session->{run}->signal('KILL');
		$session->{run}->finish;
	}
	return;
}

# Are race points compiled in? Dies when RACE_POINTS says that they should be and they are not.
sub has_race_points
{
	my ($node) = @_;
	my $found = $node->safe_psql('postgres', "LOAD 'vecann'; SELECT current_setting('vecann.race_points', true) IS NOT NULL");
	die 'RACE_POINTS is set, but the installed library has no race points' if $ENV{RACE_POINTS} && $found ne 't';
	return $found eq 't';
}

# A session that holds others at a race point until release_point.
sub hold_point
{
	my ($node, $point) = @_;
	my $session = background_session($node);
	$session->query_safe("SELECT pg_advisory_lock(hashtext('$point'))");
	return $session;
}

sub release_point
{
	my ($session, $point) = @_;
	$session->query_safe("SELECT pg_advisory_unlock(hashtext('$point'))");
	return;
}

# Waits until a session stands at a race point that is held.
sub wait_for_point
{
	my ($node, $point) = @_;
	return $node->poll_query_until(
		'postgres', qq{
		SELECT count(*) > 0 FROM pg_locks
		WHERE locktype = 'advisory' AND NOT granted
		AND ((classid::bigint << 32) | objid::bigint) = hashtext('$point')::bigint}) ||
	  die "nobody came to $point";
}

# Waits until a query returns true; dies after the usual time-out.
sub wait_until
{
	my ($node, $query) = @_;
	return $node->poll_query_until('postgres', $query) || die "this did not become true: $query";
}

1;
