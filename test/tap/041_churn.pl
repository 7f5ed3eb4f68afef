# Churn: every row deleted and inserted again in ten rounds with VACUUM between. Recall stays within a point of the fresh
# index's, which is no larger than before. Then VACUUM as such: in parallel for two indexes of a table, slowed down by
# its cost delay, cancelled while it sleeps.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use VecannTest;

my $node = new_server('main',
	conf => "shared_buffers = 256MB\nmax_wal_size = 4GB\nmax_parallel_workers_per_gather = 0\nfsync = off\n"
	  . "autovacuum = off\nmin_parallel_index_scan_size = 0\n");

# Makes a table `name` of `rows` vectors: `centres` places, and around each a patch of `rank` directions; and `name`_q
# of 400 more with the distance of the tenth nearest.
sub make_table
{
	my (%set) = @_;
	my ($name, $rows, $dim, $op) = @set{qw(name rows dim op)};
	$node->safe_psql('postgres', qq{
		SELECT setseed(0.5);
		CREATE TABLE raw AS
			SELECT id, (id * 7919) % $set{centres} AS c, ARRAY(SELECT random() + random() + random() - 1.5
				FROM generate_series(1, $set{rank}) WHERE id > 0) AS z
			FROM generate_series(1, $rows + 400) id;
		CREATE TABLE $name AS
			SELECT id, ARRAY(SELECT 1.2 * sin(c * 12.9 + j * 78.2)
				+ (SELECT sum(z[i] * sin(j * (0.7 + 0.31 * i) + c * i)) FROM generate_series(1, $set{rank}) i)
				+ 0.1 * sin(id * 3.7 + j * j) FROM generate_series(1, $dim) j)::real[]::vector($dim) AS v
			FROM raw;
		CREATE TABLE ${name}_all AS SELECT * FROM $name WHERE id <= $rows;
		CREATE TABLE ${name}_q AS SELECT q.id, q.v, (SELECT max(d) FROM
				(SELECT b.v $op q.v AS d FROM ${name}_all b ORDER BY 1 LIMIT 10) n) AS tenth
			FROM $name q WHERE id > $rows;
		DELETE FROM $name WHERE id > $rows;
		DROP TABLE raw, ${name}_all;
		VACUUM ANALYZE $name});
	return;
}

sub recall
{
	my ($name, $op) = @_;
	return $node->safe_psql('postgres', qq{
		SET enable_seqscan = off;
		SET hnsw.ef_search = 20;
		SELECT round(sum(hits) / 4000.0, 4) FROM ${name}_q q, LATERAL (SELECT count(*) AS hits
			FROM (SELECT b.v $op q.v AS d FROM $name b ORDER BY b.v $op q.v LIMIT 10) n
			WHERE d <= tenth * (1 + 1e-6) + 1e-9) f});
}

for my $set (
	{ name => 'narrow', rows => 6000, dim => 32, centres => 40, rank => 6, op => '<->', class => 'vector_l2_ops' },
	{ name => 'wide', rows => 3000, dim => 128, centres => 20, rank => 6, op => '<=>', class => 'vector_cosine_ops' })
{
	my ($name, $op) = @$set{qw(name op)};
	make_table(%$set);
	$node->safe_psql('postgres', "CREATE INDEX ${name}_v ON $name USING hnsw (v $set->{class})");
	my $fresh = recall($name, $op);
	my $size = $node->safe_psql('postgres', "SELECT pg_relation_size('${name}_v')");
	for my $round (0 .. 9)
	{
		$node->safe_psql('postgres', "
			CREATE TABLE moved AS SELECT * FROM $name WHERE id < 1000000 AND id % 10 = $round;
			DELETE FROM $name WHERE id < 1000000 AND id % 10 = $round");
		$node->safe_psql('postgres', "VACUUM (INDEX_CLEANUP ON) $name");
		$node->safe_psql('postgres', "
			INSERT INTO $name SELECT id + 1000000, v FROM moved ORDER BY hashint4(id);
			DROP TABLE moved");
	}
	$node->safe_psql('postgres', "VACUUM ANALYZE $name");
	verify_ok($node, "${name}_v", "$name: churned");
	my $churned = recall($name, $op);
	cmp_ok($fresh, '>=', 0.9, "$name: recall\@10 of the fresh index is $fresh");
	cmp_ok($churned, '>=', $fresh - 0.01, "$name: after ten rounds it is $churned");
	my $grown = $node->safe_psql('postgres', "SELECT round(pg_relation_size('${name}_v')::numeric / $size, 3)");
	cmp_ok($grown, '<=', 1.2, "$name: the index is $grown times as large");
}

# ---- an update of another column --------------------------------------------------------

# Not HOT, because `k` has an index; the row joins the node of its vector.
$node->safe_psql('postgres', 'ALTER TABLE narrow ADD k int; UPDATE narrow SET k = id; CREATE INDEX ON narrow (k);
	VACUUM FULL narrow');
$node->safe_psql('postgres', 'UPDATE narrow SET k = k + 1 WHERE id % 10 = 0');
my ($nodes, $tids) = split /\|/, $node->safe_psql('postgres', q{SELECT nodes, heap_tids FROM vecann_verify('narrow_v')});
is($nodes, 6000, 'rows updated in another column join the nodes of their vectors');
is($tids, 6600, 'and each has an entry of its own');

# ---- vacuum in parallel ------------------------------------------------------------------

$node->safe_psql('postgres', 'CREATE INDEX narrow_cosine ON narrow USING hnsw (v vector_cosine_ops);
	DELETE FROM narrow WHERE id % 3 = 0');
my ($out, $err);
$node->psql('postgres', 'VACUUM (PARALLEL 2, VERBOSE, INDEX_CLEANUP ON) narrow', stdout => \$out, stderr => \$err);
like($err, qr/launched \d parallel vacuum workers? for index vacuuming/, 'two indexes are vacuumed in parallel');
like($err, qr/launched \d parallel vacuum workers? for index cleanup/, 'and cleaned up in parallel');
verify_ok($node, $_, "$_ after a parallel vacuum") for qw(narrow_v narrow_cosine);
is($node->safe_psql('postgres', q{SELECT heap_tids = (SELECT count(*) FROM narrow) AND deleted_slots = 0
	FROM vecann_verify('narrow_cosine')}), 't', 'nothing of the deleted rows is left');

# ---- cost delay ----------------------------------------------------------------------------

# Each dirtied page costs 20 of 200: some hundreds of pages, in each of the passes, take a second at least.
$node->safe_psql('postgres', 'DELETE FROM narrow WHERE id % 3 = 1');
my $started = time;
$node->safe_psql('postgres', 'SET vacuum_cost_delay = 10; VACUUM (PARALLEL 0, INDEX_CLEANUP ON) narrow');
my $slow = time - $started;
cmp_ok($slow, '>', 1, sprintf('a vacuum with a cost delay takes its time: %.1f s', $slow));

# Asleep it holds no lock that a scan or an insert waits for, and can be cancelled.
$node->safe_psql('postgres', 'DELETE FROM narrow WHERE id % 3 = 2 AND id % 2 = 0');
my $vacuum = background_session($node);
my $pid = $vacuum->query_safe('SELECT pg_backend_pid()');
$vacuum->query_until(qr/started/, "SET vacuum_cost_delay = 100; SET vacuum_cost_limit = 20;\n\\echo started\nVACUUM (PARALLEL 0, INDEX_CLEANUP ON) narrow;\n");
wait_until($node, "SELECT phase = 'vacuuming indexes' FROM pg_stat_progress_vacuum WHERE pid = $pid");
$started = time;
$node->safe_psql('postgres', q{INSERT INTO narrow SELECT 3000000 + id, v, 0 FROM narrow_q WHERE id % 4 = 0});
recall('narrow', '<->');
cmp_ok(time - $started, '<', 30, 'scans and inserts go on meanwhile');
is($node->safe_psql('postgres', "SELECT phase FROM pg_stat_progress_vacuum WHERE pid = $pid"),
	'vacuuming indexes', 'and the vacuum is still under way');
$started = time;
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
wait_until($node, "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid AND state = 'active'");
cmp_ok(time - $started, '<', 5, 'a sleeping vacuum can be cancelled');
end_sessions($vacuum);
verify_ok($node, $_, "$_ after a cancelled vacuum") for qw(narrow_v narrow_cosine);
$node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP ON) narrow');
verify_ok($node, $_, "$_ after another") for qw(narrow_v narrow_cosine);

$node->stop;
done_testing();
