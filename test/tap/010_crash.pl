# Crash recovery: immediate stops and kill -9 of a server process or of the whole server at random moments, while rows
# are inserted, updated, deleted and vacuumed and while indexes are built. After each: no problem in any index, and full
# scans that agree with the heap.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);
use VecannTest;

my $node = new_server('crash', streaming => 1, conf => <<'CONF');
restart_after_crash = on
wal_consistency_checking = all
checkpoint_timeout = 30s
max_wal_size = 1GB
synchronous_commit = off
CONF
add_schema($node, rows => 600);
add_wide($node);

my %writers = (
	'insert@6' => q{
		INSERT INTO plain (v) SELECT random_vector(8);
		INSERT INTO dups (v) SELECT common_vector(8, 40);
	},
	'several@2' => q{
		INSERT INTO plain (v) SELECT random_vector(8) FROM generate_series(1, 20);
		INSERT INTO dups (v) SELECT common_vector(8, 40) FROM generate_series(1, 20);
	},
	'update@3' => q{
		\set n random(1, 5)
		UPDATE plain SET v = random_vector(8) WHERE id % 97 = :n;
		UPDATE dups SET v = common_vector(8, 40) WHERE id % 89 = :n;
	},
	'delete@2' => q{
		\set n random(0, 30)
		DELETE FROM plain WHERE id % 31 = :n;
		DELETE FROM dups WHERE id % 31 = :n;
	},
	'wide@3' => q{
		\set n random(0, 30)
		INSERT INTO wide (v) SELECT random_vector(4000);
		DELETE FROM wide WHERE id % 31 = :n;
	},
	'rollback@1' => q{
		BEGIN;
		INSERT INTO plain (v) SELECT random_vector(8) FROM generate_series(1, 5);
		DELETE FROM dups WHERE id % 2 = 0;
		ROLLBACK;
	});
my $vacuum = q{VACUUM (INDEX_CLEANUP ON) plain; VACUUM (INDEX_CLEANUP ON) dups; VACUUM (INDEX_CLEANUP ON) wide; CHECKPOINT;};

# A server process that runs such a command, for kill -9.
sub process_of
{
	my ($command) = @_;
	for (1 .. 1000)
	{
		my $pid = $node->safe_psql('postgres',
			"SELECT pid FROM pg_stat_activity WHERE query ~ '^\\s*$command' AND state = 'active' LIMIT 1");
		return $pid if $pid ne '';
	}
	die "nobody runs $command";
}

sub check
{
	my ($label) = @_;
	verify_all($node, $label);
	scan_ok($node, $label);
	is($node->safe_psql('postgres', q{SELECT scan_check('wide', 'v', '<->', random_vector(4000), NULL) >= 0}),
		't', "$label: a full scan of wide returns each row once");
	$node->safe_psql('postgres', $vacuum);
	verify_all($node, "$label, vacuumed");
	is($node->safe_psql('postgres', q{SELECT deleted_slots FROM vecann_verify('wide_l2')}),
		'0', "$label: no part of a vector is left behind");
	recall_ok($node, 'plain', '<->', 0.8, $label);
	return;
}

my @rounds = (
	[ 'INSERT', 'immediate', \%writers ],
	[ 'INSERT', 'postmaster', \%writers ],
	[ 'INSERT', 'backend', \%writers ],
	[ 'VACUUM', 'backend', { %writers, 'vacuum@40' => $vacuum } ],
	[ 'VACUUM', 'postmaster', { %writers, 'vacuum@40' => $vacuum } ],
	[ 'VACUUM', 'immediate', { %writers, 'vacuum@40' => $vacuum } ]);
srand 7;
for my $round (@rounds)
{
	my ($what, $how, $scripts) = @$round;
	my $label = "$how during $what";
	my $load = start_load($node, 3, %$scripts);
	sleep 0.7 + rand 1.0;
	crash($node, $how, $how eq 'backend' ? process_of($what) : undef);
	is(stop_load($load), '', "$label: no error in the load");
	check($label);
}

# A build that waits in the middle of the table until the server goes down.
sub crash_build
{
	my ($how, $command) = @_;
	my $holder = hold_point($node, 'build');
	my $session = background_session($node);
	my $pid = $session->query_safe('SELECT pg_backend_pid()');
	$session->query_until(qr/started/, "\\echo started\nSET synchronous_commit = on;\n$command;\n");
	wait_for_point($node, 'build');
	crash($node, $how, $pid);
	end_sessions($session, $holder);
	return;
}

# During CREATE INDEX: nothing is left of the index, and of CREATE INDEX CONCURRENTLY an invalid one that can be dropped
# or rebuilt.
my $held = 'USING hnsw ((held(v, id, 500)::vector(8)) vector_l2_ops)';
$node->safe_psql('postgres', 'CREATE TABLE big (id bigserial, v vector(8));
	INSERT INTO big (v) SELECT random_vector(8) FROM generate_series(1, 8000)');
for my $how ('immediate', 'backend')
{
	for my $command ('CREATE INDEX', 'CREATE INDEX CONCURRENTLY')
	{
		my $name = lc "big $command $how";
		$name =~ s/ /_/g;
		crash_build($how, "$command $name ON big $held");
		my $left = $node->safe_psql('postgres',
			"SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('$name')");
		is($left, $command =~ /CONCURRENTLY/ ? 'f' : '', "$how during $command: what is left");
		if ($left ne '')
		{
			$node->safe_psql('postgres', "REINDEX INDEX $name");
			verify_ok($node, $name, "$how during $command, REINDEX");
			$node->safe_psql('postgres', "DROP INDEX $name");
		}
	}
}
$node->safe_psql('postgres', "DELETE FROM big WHERE id > 2000; CREATE INDEX big_l2 ON big $held");
crash_build('postmaster', 'REINDEX INDEX CONCURRENTLY big_l2');
verify_ok($node, 'big_l2', 'postmaster during REINDEX CONCURRENTLY');

# At any moment of builds that follow one another, also after the rows are read: whatever is valid is sound.
for my $how ('immediate', 'postmaster')
{
	my $label = "$how during builds";
	my $load = start_load($node, 1, builds => q{
		CREATE INDEX often ON plain USING hnsw (v vector_l2_ops);
		REINDEX INDEX CONCURRENTLY often;
		DROP INDEX often;
		CREATE INDEX CONCURRENTLY often ON dups USING hnsw (v vector_l2_ops);
		REINDEX INDEX often;
		DROP INDEX often;
	});
	sleep 0.7 + rand 1.0;
	crash($node, $how);
	is(stop_load($load), '', "$label: no error in the load");
	check($label);
	$node->safe_psql('postgres', 'DROP INDEX IF EXISTS often');
}

$node->stop;
done_testing();
