# An insert that is held before it writes its row's code while VACUUM plants all codes anew, with another shape: what it
# has encoded belongs to the old ones and goes nowhere. Two that add the same page of codes.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VecannTest;

my $node = new_server('race', streaming => 1, conf => "wal_consistency_checking = all\n");
plan skip_all => 'built without race points' unless has_race_points($node);

$node->safe_psql('postgres', q{
	CREATE TABLE t (id bigserial PRIMARY KEY, v vector(16), filler text) WITH (autovacuum_enabled = off);
	ALTER TABLE t ALTER filler SET STORAGE plain;
	INSERT INTO t (v, filler) SELECT random_vector(16), repeat('x', 900) FROM generate_series(1, 600);
	CREATE INDEX t_v ON t USING hnsw (v vector_l2_ops) WITH (m = 4, ef_construction = 16);
	INSERT INTO t (v) SELECT random_vector(16) FROM generate_series(1, 3000);
});

my $point = 'hnsw-insert-before-row-code';
my $holder = hold_point($node, $point);
my @inserts = map { background_session($node, "vecann.race_points = '$point'") } 1 .. 2;
$_->query_until(qr/started/, "\\echo started\nINSERT INTO t (v) SELECT random_vector(16) FROM generate_series(1, 300);\n")
  for @inserts;
wait_for_point($node, $point);
$node->safe_psql('postgres', 'VACUUM t');
release_point($holder, $point);
$_->query_safe('SELECT 1') for @inserts;
verify_ok($node, 't_v', 'planted anew under inserts');
$node->safe_psql('postgres', 'VACUUM t');
verify_ok($node, 't_v', 'vacuumed');
is($node->safe_psql('postgres', q{SELECT scan_check('t', 'v', '<->', random_vector(16), NULL) = (SELECT count(*) FROM t)}),
	't', 'a full scan agrees with the heap');
end_sessions($holder, @inserts);
$node->stop;
done_testing();
