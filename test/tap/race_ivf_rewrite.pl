# Vacuum that writes outgrown lists anew, held at its points: rows come meanwhile and are not lost; a cancel or a crash
# leaves the lists as they are; searches that began before go on in the old ones, over another vacuum, and those are used
# again only when they have gone; an insert that is on its way is waited for. After each: the verifier.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use IvfRace;
use VecannTest;

my $node = new_server('race_ivf_rewrite', conf => "restart_after_crash = on\nwal_consistency_checking = all\n");
if (!has_race_points($node))
{
	$node->stop;
	plan skip_all => 'needs a build with RACE_POINTS=1';
}
my @indexes = qw(many_pq many_rabitq many_flat many_stored long_flat);
my ($rest, $switch) = ('ivf-rewrite-before-rest', 'ivf-rewrite-before-switch');

# Indexes of a few rows that have grown; `long` has vectors in parts.
sub make_tables
{
	my (@only) = @_;
	$node->safe_psql('postgres', q{
		SET client_min_messages = warning;
		SELECT setseed(0.5);
		DROP TABLE IF EXISTS many, long;
		CREATE TABLE many (id bigserial PRIMARY KEY, v vector(8));
		INSERT INTO many (v) SELECT random_vector(8) FROM generate_series(1, 150);
		CREATE TABLE long (id bigserial PRIMARY KEY, v vector(4000));
		ALTER TABLE long ALTER v SET STORAGE external;
		INSERT INTO long (v) SELECT random_vector(4000) FROM generate_series(1, 30);
		CREATE INDEX many_pq ON many USING ivfpq (v vector_l2_ops) WITH (lists = 5);
		CREATE INDEX many_rabitq ON many USING ivfpq (v vector_cosine_ops) WITH (lists = 5, quantizer = rabitq);
		CREATE INDEX many_flat ON many USING ivfflat (v vector_ip_ops) WITH (lists = 5);
		CREATE INDEX many_stored ON many USING ivfpq (v vector_ip_ops) WITH (lists = 5, rerank = stored);
		CREATE INDEX long_flat ON long USING ivfflat (v) WITH (lists = 3);
	});
	for my $index (@indexes)
	{
		$node->safe_psql('postgres', "DROP INDEX $index") if @only && !grep { $_ eq $index } @only;
	}
	$node->safe_psql('postgres', q{
		INSERT INTO many (v) SELECT random_vector(8) FROM generate_series(1, 1500);
		INSERT INTO long (v) SELECT random_vector(4000) FROM generate_series(1, 130);
	});
	return;
}

sub check
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return scans_ok($node, $_[0], [ 'many', '<->', 8 ], [ 'many', '<=>', 8 ], [ 'many', '<#>', 8 ], [ 'long', '<->', 4000 ]);
}

my $more = q{INSERT INTO many (v) SELECT random_vector(8) FROM generate_series(1, 300);
	DELETE FROM many WHERE id % 5 = 0; INSERT INTO long (v) SELECT random_vector(4000) FROM generate_series(1, 3)};
sub vacuum_all
{
	$node->safe_psql('postgres', "SELECT pg_current_xact_id(); SET client_min_messages = warning; $_")
	  for 'VACUUM (INDEX_CLEANUP ON) many', 'VACUUM (INDEX_CLEANUP ON) long';
	return;
}

# ---- it is interrupted ---------------------------------------------------------------

for my $case ([ 'many', $rest, 'immediate' ], [ 'many', $switch, 'cancel' ], [ 'many', $switch, 'backend' ],
	[ 'long', $rest, 'cancel' ], [ 'long', $switch, 'immediate' ])
{
	my ($table, $point, $end) = @$case;
	my $label = "$table: $end at $point";
	make_tables();
	vacuum_interrupted($node, $table, $more, $point, $end, $label);
	check($label);
	vacuum_all();
	check("$label, vacuumed");
	vacuum_all();
	check("$label, vacuumed again");
	for my $index (@indexes)
	{
		cmp_ok(stat_of($node, 'lists', $index), '>', 5, "$label: the next vacuum divides the lists of $index");
		is(stat_of($node, 'retired_pages', $index), '0', "$label: what was left behind is taken back, $index");
	}
	my $size = $node->safe_psql('postgres', "SELECT pg_relation_size('many_pq')");
	$node->safe_psql('postgres', 'INSERT INTO many (v) SELECT random_vector(8) FROM generate_series(1, 300)');
	is($node->safe_psql('postgres', "SELECT pg_relation_size('many_pq')"), $size, "$label: and used again");
	check("$label, used again");
}

# ---- rows that come meanwhile --------------------------------------------------------

make_tables('many_pq');
vacuum_under_inserts($node, 'many', $more, [ $rest, $switch ],
	sub { cmp_ok(stat_of($node, 'lists', 'many_pq'), '>', 5, 'then it puts the lists in place') });
verify_all($node, 'rows that came meanwhile');
vacuum_all();
is($node->safe_psql('postgres', 'SELECT count(*) FROM many'), stat_of($node, 'rows', 'many_pq'), 'no row is lost');
check('rows that came meanwhile');

# ---- searches that began before -------------------------------------------------------

for my $case ([ 'many_pq', '<->', 8 ], [ 'many_flat', '<#>', 8 ], [ 'many_stored', '<#>', 8 ], [ 'long_flat', '<->', 4000 ])
{
	my ($index, $op, $dim) = @$case;
	my ($table) = $index =~ /^([a-z]+)_/;
	make_tables($index);
	my $point = $table eq 'many' ? 'ivf-scan-before-page' : 'ivf-scan-after-parts';
	my $holder = hold_point($node, $point);
	my $count = $node->safe_psql('postgres', "SELECT count(*) FROM $table");
	my $reader = background_session($node, "vecann.race_points = '$point'", 'enable_seqscan = off', 'enable_sort = off');
	$reader->query_until(qr/started/,
		"\\echo started\nSELECT 'found ' || count(*) || ' ' || count(DISTINCT id) FROM (SELECT id FROM $table ORDER BY v $op (SELECT random_vector($dim))) s;\n");
	wait_for_point($node, $point);
	vacuum_all();
	cmp_ok(stat_of($node, 'lists', $index), '>', 5, "$index: lists divided under a search");
	my $retired = stat_of($node, 'retired_pages', $index);
	cmp_ok($retired, '>', 0, "$index: the old pages stand");
	# Rows go to pages that both have, and out of them; more come than pages hold.
	$node->safe_psql('postgres', "$more; $more");
	vacuum_all();
	is(stat_of($node, 'retired_pages', $index), $retired, "$index: and stand while the search is on its way");
	verify_all($node, "$index, a search on its way");
	release_point($holder, $point);
	$reader->query_until(qr/found $count $count/, '');
	pass("$index: the search finds each of its rows once");
	end_sessions($holder, $reader);
	vacuum_all();
	is(stat_of($node, 'retired_pages', $index), '0', "$index: then they are taken back");
	check("$index, taken back");
}
$node->stop;
done_testing();
