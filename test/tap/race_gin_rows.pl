# A scan that reads the posting lists of a GIN index while others change it: what waits in the pending list moves to the
# trees, VACUUM empties and deletes leaves, inserts split them. The scan finds each row of its snapshot, once.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VecannTest;

my $node = new_server('race');
plan skip_all => 'built without race points' unless has_race_points($node);

# 'all' has a posting tree of several leaves, 'odd' another; pages of the table are full of rows, so that leaves are few.
$node->safe_psql('postgres', q{
	CREATE TABLE t (id int PRIMARY KEY, v vector(2), words tsvector) WITH (autovacuum_enabled = off);
	INSERT INTO t SELECT i, ARRAY[i % 100, i / 100]::vector, CASE i % 2 WHEN 0 THEN 'all even' ELSE 'all odd' END::tsvector
	  FROM generate_series(1, 60000) AS i;
	CREATE INDEX t_v ON t USING hnsw (v vector_l2_ops) WITH (m = 4, ef_construction = 8);
	CREATE INDEX t_words ON t USING gin (words) WITH (fastupdate = on, gin_pending_list_limit = 100000);
	VACUUM ANALYZE t;
});

my @settings = ('enable_seqscan = off', 'enable_sort = off', 'jit = off', 'vecann.enable_post_filter = off',
	'vecann.enable_bitmap_search = off');

sub counting
{
	my ($words) = @_;
	return "SELECT 'found ' || count(*) || ' ' || count(DISTINCT id) || ' of ' || "
	  . "(SELECT count(*) FROM t WHERE to_tsvector('simple', words::text) @@ '$words') "
	  . "FROM (SELECT id FROM t WHERE words @@ '$words' ORDER BY v <-> '[0,0]' LIMIT 1000000) AS s;\n";
}

# Runs the query; meanwhile, held at the point, the changes.
sub found_while
{
	my ($point, $words, @changes) = @_;
	my $holder = hold_point($node, $point);
	my $reader = background_session($node, @settings, "vecann.race_points = '$point'");
	$reader->query_until(qr/started/, "\\echo started\n" . counting($words));
	wait_for_point($node, $point);
	$node->safe_psql('postgres', $_) for @changes;
	release_point($holder, $point);
	my $found = $reader->query_safe('SELECT 1');
	end_sessions($holder, $reader);
	return $found;
}

sub complete_ok
{
	my ($found, $rows, $name) = @_;
	like($found, qr/found $rows $rows of $rows\b/, $name);
	return;
}

$node->safe_psql('postgres', q{INSERT INTO t SELECT i, ARRAY[i % 100, i / 100]::vector, 'all even odd' FROM generate_series(100001, 100500) AS i});
complete_ok(found_while('gin-rows-before-trees', 'all', q{SELECT gin_clean_pending_list('t_words')}),
	60500, 'rows that move from the pending list to the trees');

$node->safe_psql('postgres', 'DELETE FROM t WHERE id BETWEEN 10000 AND 50000');
complete_ok(
	found_while('gin-rows-between-leaves', 'all', 'VACUUM t',
		q{INSERT INTO t SELECT i, '[1,1]', 'all odd' FROM generate_series(200001, 260000) AS i}, 'VACUUM t'),
	20499, 'leaves that VACUUM deletes and inserts fill again');

$node->safe_psql('postgres', 'DELETE FROM t WHERE id BETWEEN 2000 AND 9000 OR id BETWEEN 210001 AND 250000');
my $both = $node->safe_psql('postgres', q{SELECT count(*) FROM t WHERE words @@ 'all & odd'});
complete_ok(
	found_while('gin-rows-before-crossing', 'all & odd', 'VACUUM t',
		q{INSERT INTO t SELECT i, '[1,1]', 'all odd' FROM generate_series(300001, 350000) AS i}, 'VACUUM t'),
	$both, 'two lists are crossed meanwhile');

# A cancel ends it between two leaves.
my $point = 'gin-rows-between-leaves';
my $holder = hold_point($node, $point);
my $reader = background_session($node, @settings, "vecann.race_points = '$point'");
my $pid = $reader->query_safe('SELECT pg_backend_pid()');
$reader->query_until(qr/started/, "\\echo started\n" . counting('all'));
wait_for_point($node, $point);
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
ok($node->poll_query_until('postgres', "SELECT state IN ('idle', 'idle in transaction (aborted)') FROM pg_stat_activity WHERE pid = $pid"),
	'cancelled');
end_sessions($holder, $reader);

verify_ok($node, 't_v', 'in the end');
$node->stop;
done_testing();
