# Indexes that grow to ten times their training while the data drifts: vacuum divides the lists that outgrew the others,
# recall is that of a REINDEX, readers under load see each row once, a standby under wal_consistency_checking = all
# replays it. The same in one leap, before which the statistics ask for a REINDEX. Lists that lose most of their rows
# are packed. After each: the verifier.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use VecannTest;

my $primary = new_server('ivf_rewrite', streaming => 1, conf => <<'CONF');
restart_after_crash = on
wal_consistency_checking = all
max_wal_size = 2GB
wal_keep_size = 4GB
synchronous_commit = off
client_min_messages = warning
CONF

# Vectors around 40 centres, which move with `shift`.
$primary->safe_psql('postgres', q{
	CREATE FUNCTION drifting(n int, shift float) RETURNS SETOF vector LANGUAGE sql VOLATILE AS $$
		SELECT array_agg((sin(c * 7.3 + d * 1.7) * 4 + shift * cos(c * 3.1 + d * 2.9) + random() * 2 - 1)::real)::vector
		FROM generate_series(1, n) i, LATERAL (SELECT floor(random() * 40 + i * 0)::int AS c) centre, generate_series(1, 16) d
		GROUP BY i $$;
	-- The share of the ten nearest that the index finds.
	CREATE FUNCTION recall_of(tab regclass, op text) RETURNS numeric LANGUAGE plpgsql AS $$
	DECLARE
		q vector;
		found bigint := 0;
		ids bigint[];
		got bigint[];
	BEGIN
		FOR q IN EXECUTE format('SELECT v FROM %s ORDER BY hashint8(id) LIMIT 200', tab) LOOP
			SET LOCAL enable_indexscan = off;
			SET LOCAL enable_seqscan = on;
			EXECUTE format('SELECT array_agg(id) FROM (SELECT id FROM %s ORDER BY (v %s $1) + 0, id LIMIT 10) s', tab, op) INTO ids USING q;
			SET LOCAL enable_indexscan = on;
			SET LOCAL enable_seqscan = off;
			SELECT array_agg(id) INTO got FROM scan_ids(tab, 'v', op, q, 10) id;
			found := found + (SELECT count(*) FROM unnest(ids) a JOIN unnest(got) b ON a = b);
		END LOOP;
		RETURN round(found / 2000.0, 4);
	END $$;
});
my %kinds = (
	flat => [ '<->', 'ivfflat (v) WITH (lists = 30)' ],
	pq => [ '<->', 'ivfpq (v vector_l2_ops)' ],
	rabitq => [ '<=>', 'ivfpq (v vector_cosine_ops) WITH (quantizer = rabitq)' ],
	stored => [ '<#>', 'ivfpq (v vector_ip_ops) WITH (rerank = stored)' ],
	sq8 => [ '<->', 'ivfpq (v vector_l2_ops) WITH (quantizer = sq8)' ],
	opq => [ '<->', 'ivfpq (v vector_l2_ops) WITH (opq = true, bits = 8)' ]);
my @kinds = sort keys %kinds;
my ($trained, $rows) = (1000, 10000);
$primary->safe_psql('postgres', 'CREATE TABLE source (id bigserial PRIMARY KEY, v vector(16))');
$primary->safe_psql('postgres', "SELECT setseed(0.1); INSERT INTO source (v) SELECT * FROM drifting($trained, 0)");
for my $kind (@kinds)
{
	$primary->safe_psql('postgres', qq{
		CREATE TABLE $kind (id bigserial PRIMARY KEY, v vector(16));
		INSERT INTO $kind SELECT * FROM source;
		CREATE INDEX ${kind}_v ON $kind USING $kinds{$kind}[1];
	});
}
$primary->safe_psql('postgres', 'ALTER DATABASE postgres SET ivfflat.probes = 3');
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('ivf_rewrite_standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', "max_standby_streaming_delay = 200ms\n");
$standby->start;

sub stat_of { my ($what, $kind) = @_; return $primary->safe_psql('postgres', "SELECT $what FROM vecann_list_stats('${kind}_v')"); }
# Unlocks what a vacuum has replaced: a transaction must have ended since.
sub vacuum { my ($kind) = @_; $primary->safe_psql('postgres', $_) for 'SELECT pg_current_xact_id()', "VACUUM (INDEX_CLEANUP ON) $kind"; return; }

# Is the index as good as one that is built now? Leaves that one behind.
sub compare_rebuilt
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($kind, $op, $lists) = @_;
	my ($after, $size) = split /\|/, $primary->safe_psql('postgres', "SELECT recall_of('$kind', '$op'), pg_relation_size('${kind}_v')");
	# More and shorter lists fill their pages less.
	$primary->safe_psql('postgres', "ALTER INDEX ${kind}_v SET (lists = $lists); REINDEX INDEX ${kind}_v");
	my ($fresh, $fresh_size) = split /\|/, $primary->safe_psql('postgres', "SELECT recall_of('$kind', '$op'), pg_relation_size('${kind}_v')");
	note("$kind: $lists lists, recall $after, of a REINDEX $fresh; size $size, $fresh_size");
	cmp_ok($after, '>=', $fresh - 0.02, "$kind: recall, $fresh of a REINDEX");
	# The old lists stand until the new ones are in place.
	cmp_ok($size, '<=', 2 * $fresh_size, "$kind: size, $fresh_size of a REINDEX");
	return;
}

# Readers go on meanwhile.
my %readers = map { $_ => qq{
	BEGIN ISOLATION LEVEL REPEATABLE READ;
	SELECT scan_check('$_', 'v', '$kinds{$_}[0]', random_vector(16), NULL);
	SELECT scan_check('$_', 'v', '$kinds{$_}[0]', random_vector(16), 30);
	COMMIT;} } @kinds;
sub errors_of { return join "\n", grep { !/was built anew by VACUUM/ } split /\n/, stop_load(@_); }

my @loads = (start_load($primary, 1, %readers), start_load($standby, 1, %readers));
for my $step (1 .. 3)
{
	my $more = ($rows - $trained) / 3;
	$primary->safe_psql('postgres', "SELECT setseed(0.$step); INSERT INTO source (v) SELECT * FROM drifting($more, $step)");
	$primary->safe_psql('postgres', "INSERT INTO $_ SELECT * FROM source WHERE id > (SELECT count(*) FROM source) - $more") for @kinds;
	for my $kind (@kinds)
	{
		# Twice: the second one takes the old lists back.
		vacuum($kind) for 1 .. 2;
	}
}
is(errors_of(@loads), '', 'no errors of readers');
verify_all($primary, 'grown');
for my $kind (@kinds)
{
	my $op = $kinds{$kind}[0];
	vacuum($kind) for 1 .. 2;
	my $lists = stat_of('lists', $kind);
	cmp_ok($lists, '>', 60, "$kind: lists were divided");
	cmp_ok(stat_of('largest_list', $kind), '<', 800, "$kind: none is very long");
	is(stat_of('retired_pages', $kind), '0', "$kind: what was replaced is taken back");
	my ($rc, $out, $err) = $primary->psql('postgres', "SELECT scan_check('$kind', 'v', '$op', random_vector(16), NULL)");
	is("$out$err", $rows, "$kind: a full scan returns each row once");
	is(stat_of('reindex_due', $kind), 'f', "$kind: nothing asks for a REINDEX");
	compare_rebuilt($kind, $op, $lists);
}
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
for my $kind (@kinds)
{
	my ($rc, $out, $err) = $standby->psql('postgres', "SELECT scan_check('$kind', 'v', '$kinds{$kind}[0]', random_vector(16), NULL)");
	is("$out$err", $rows, "$kind: the same on the standby");
	is($standby->safe_psql('postgres', "SELECT problems FROM vecann_verify('${kind}_v')"), '{}', "$kind: verified on the standby");
}
unlike(slurp_file($standby->logfile), qr/inconsistent page|PANIC|TRAP/, 'replay found no inconsistent page');
$standby->stop;

# ---- in one leap ---------------------------------------------------------------------------

for my $kind (qw(flat pq rabitq stored))
{
	my ($op, $index) = @{ $kinds{$kind} };
	my $table = "leap_$kind";
	$primary->safe_psql('postgres', qq{
		CREATE TABLE $table (id bigserial PRIMARY KEY, v vector(16));
		INSERT INTO $table SELECT * FROM source WHERE id <= $trained;
		CREATE INDEX ${table}_v ON $table USING $index;
		INSERT INTO $table SELECT * FROM source WHERE id > $trained;
	});
	$primary->safe_psql('postgres', "VACUUM (INDEX_CLEANUP OFF) $table");
	is(stat_of('reindex_due', $table), 't', "$table: a REINDEX is due");
	vacuum($table) for 1 .. 2;
	is(stat_of('reindex_due', $table), 'f', "$table: it has become needless");
	verify_ok($primary, "${table}_v", 'in one leap');
	compare_rebuilt($table, $op, stat_of('lists', $table));
}

# ---- lists that lose their rows --------------------------------------------------------

for my $kind (@kinds)
{
	my $op = $kinds{$kind}[0];
	# The index chooses about a hundred lists, too short for that.
	$primary->safe_psql('postgres', "DROP INDEX ${kind}_v; CREATE INDEX ${kind}_v ON $kind USING "
		. ($kinds{$kind}[1] =~ s/ WITH \(/ WITH (lists = 5, /r =~ s/, lists = 30//r =~ s/ops\)$/ops) WITH (lists = 5)/r));
	$primary->safe_psql('postgres', "DELETE FROM $kind WHERE id % 10 <> 0");
	my $pages = stat_of('list_pages', $kind);
	vacuum($kind) for 1 .. 2;
	my $packed = stat_of('list_pages', $kind);
	# 1,000 rows in five lists
	cmp_ok($packed, '<=', $pages < 40 ? $pages : $pages / 3, "$kind: packed, of $pages pages");
	my ($rc, $out, $err) = $primary->psql('postgres', "SELECT scan_check('$kind', 'v', '$op', random_vector(16), NULL)");
	is("$out$err", $rows / 10, "$kind: packed, each row once");
	verify_ok($primary, "${kind}_v", 'packed');
	my $size = $primary->safe_psql('postgres', "SELECT pg_relation_size('${kind}_v')");
	$primary->safe_psql('postgres', "INSERT INTO $kind (id, v) SELECT id + 1000000, v FROM source WHERE id % 10 = 1");
	cmp_ok($primary->safe_psql('postgres', "SELECT pg_relation_size('${kind}_v')"), '<=', $size * 1.1, "$kind: the room is used again");
	verify_ok($primary, "${kind}_v", 'used again');
}
$primary->stop;
done_testing();
