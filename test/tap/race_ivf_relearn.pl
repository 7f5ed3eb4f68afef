# Vacuum that makes lists in an index that has had nothing to learn from, held at its points: rows come meanwhile and are
# not lost; a cancel, a kill or a crash leaves the old structure as it is; searches that began before go on in it, and
# what vacuum has replaced is used again only when they have gone; an insert that is on its way is waited for. After
# each: the verifier.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use IvfRace;
use VecannTest;

my $node = new_server('race_ivf_relearn', conf => "restart_after_crash = on\nwal_consistency_checking = all\n");
if (!has_race_points($node))
{
	$node->stop;
	plan skip_all => 'needs a build with RACE_POINTS=1';
}
my ($rows, $enough) = (500, 250);
my @indexes = qw(late_pq late_rabitq late_none long_none);

# Tables that are filled behind their indexes; `long` has vectors in parts.
sub make_tables
{
	$node->safe_psql('postgres', qq{
		SET client_min_messages = warning;
		SELECT setseed(0.5);
		DROP TABLE IF EXISTS late, long;
		CREATE TABLE late (id bigserial PRIMARY KEY, v vector(8));
		CREATE TABLE long (id bigserial PRIMARY KEY, v vector(4000));
		ALTER TABLE long ALTER v SET STORAGE external;
		CREATE INDEX late_pq ON late USING ivfpq (v vector_l2_ops) WITH (sample = $enough);
		CREATE INDEX late_rabitq ON late USING ivfpq (v vector_cosine_ops) WITH (sample = $enough, quantizer = rabitq);
		CREATE INDEX late_none ON late USING ivfpq (v vector_l2_ops) WITH (sample = $enough, quantizer = none, lists = 12);
		CREATE INDEX long_none ON long USING ivfpq (v vector_l2_ops) WITH (sample = 100, quantizer = none, lists = 4);
		INSERT INTO late (v) SELECT random_vector(8) FROM generate_series(1, $rows);
		INSERT INTO long (v) SELECT random_vector(4000) FROM generate_series(1, 150);
	});
	return;
}

sub check
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return scans_ok($node, $_[0], [ 'late', '<->', 8 ], [ 'late', '<=>', 8 ], [ 'long', '<->', 4000 ]);
}

my $more = q{INSERT INTO late (v) SELECT random_vector(8) FROM generate_series(1, 70);
	DELETE FROM late WHERE id % 5 = 0; INSERT INTO long (v) SELECT random_vector(4000) FROM generate_series(1, 3)};
my $vacuum = 'SET client_min_messages = warning; VACUUM (INDEX_CLEANUP ON) late; VACUUM (INDEX_CLEANUP ON) long';
my $many = 'VACUUM (INDEX_CLEANUP ON) late';

# ---- it is interrupted ---------------------------------------------------------------

for my $table ('late', 'long')
{
	for my $point ('ivf-relearn-before-rest', 'ivf-relearn-before-switch')
	{
		for my $end ('cancel', 'immediate', 'backend')
		{
			next if $end eq ($table eq 'late' && $point =~ /switch/ ? 'none' : 'backend');
			my $label = "$table: $end at $point";
			make_tables();
			vacuum_interrupted($node, $table, $more, $point, $end, $label);
			check($label);
			$node->safe_psql('postgres', $vacuum);
			check("$label, vacuumed");
			is(stat_of($node, 'learnt', $_), 't', "$label: the next vacuum makes the lists of $_") for @indexes;
			$node->safe_psql('postgres', $more);
			$node->safe_psql('postgres', $vacuum);
			check("$label, vacuumed again");
			is(stat_of($node, 'retired_pages', $_), '0', "$label: what was left behind is taken back, $_") for @indexes;
			my $size = $node->safe_psql('postgres', "SELECT pg_relation_size('late_pq')");
			$node->safe_psql('postgres', 'INSERT INTO late (v) SELECT random_vector(8) FROM generate_series(1, 300)');
			is($node->safe_psql('postgres', "SELECT pg_relation_size('late_pq')"), $size, "$label: and used again");
			check("$label, used again");
		}
	}
}

# ---- rows that come meanwhile --------------------------------------------------------

make_tables();
$node->safe_psql('postgres', 'DROP INDEX late_rabitq, late_none');
vacuum_under_inserts($node, 'late', $more, [ 'ivf-relearn-before-rest', 'ivf-relearn-before-switch' ],
	sub { is(stat_of($node, 'learnt', 'late_pq'), 't', 'then it makes the lists') });
is($node->safe_psql('postgres', 'SELECT count(*) FROM late'), stat_of($node, 'rows', 'late_pq'), 'no row is lost')
  if $node->safe_psql('postgres', $many) eq '';
check('rows that came meanwhile');

# ---- searches that began before -------------------------------------------------------

for my $table ('late', 'long')
{
	my ($dim, $index) = $table eq 'late' ? (8, 'late_pq') : (4000, 'long_none');
	make_tables();
	$node->safe_psql('postgres', 'DROP INDEX late_rabitq, late_none');
	my $point = $table eq 'late' ? 'ivf-scan-before-page' : 'ivf-scan-after-parts';
	my $holder = hold_point($node, $point);
	my $count = $node->safe_psql('postgres', "SELECT count(*) FROM $table");
	my $reader = background_session($node, "vecann.race_points = '$point'", 'enable_seqscan = off', 'enable_sort = off');
	$reader->query_until(qr/started/,
		"\\echo started\nSELECT 'found ' || count(*) || ' ' || count(DISTINCT id) FROM (SELECT id FROM $table ORDER BY v <-> (SELECT random_vector($dim))) s;\n");
	wait_for_point($node, $point);
	$node->safe_psql('postgres', "SET client_min_messages = warning; VACUUM (INDEX_CLEANUP ON) $table");
	is(stat_of($node, 'learnt', $index), 't', "$table: lists are made while a search is going on");
	$node->safe_psql('postgres', "$more; DELETE FROM $table WHERE id % 2 = 0");
	$node->safe_psql('postgres', "VACUUM (INDEX_CLEANUP ON) $table; $more; VACUUM (INDEX_CLEANUP ON) $table");
	isnt(stat_of($node, 'retired_pages', $index), '0', "$table: what it reads is kept");
	release_point($holder, $point);
	my $out = $reader->query_safe("SELECT 'done'");
	like($out, qr/found $count $count/, "$table: it returns every row of its snapshot once");
	end_sessions($holder, $reader);
	check("$table, a search across");
	$node->safe_psql('postgres', "$more; VACUUM (INDEX_CLEANUP ON) $table");
	is(stat_of($node, 'retired_pages', $index), '0', "$table: then it is taken back");
	check("$table, taken back");
}
$node->stop;
done_testing();
