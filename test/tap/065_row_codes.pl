# Row codes: exact passes over the rows of a bitmap read those that may be nearest, and find what a sequential scan finds.
# After a build, inserts, deletes and vacuum, TIDs used again, immediate stops and kill -9 under load, on a standby under
# wal_consistency_checking = all, on tables filled by inserts alone, with rows beyond the places of their page. After
# each: the verifier, which compares each row's code with its vector.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);
use VecannTest;

my $primary = new_server('rows', streaming => 1, conf => <<'CONF');
restart_after_crash = on
wal_consistency_checking = all
max_wal_size = 2GB
wal_keep_size = 2GB
synchronous_commit = off
CONF

my $exact = q{
	SET LOCAL vecann.enable_post_filter = off;
	SET LOCAL vecann.enable_bitmap_search = off;
	SET LOCAL enable_seqscan = off;
	SET LOCAL enable_sort = off;
	SET LOCAL enable_indexscan = on;
	SET LOCAL enable_bitmapscan = on;
};
$primary->safe_psql('postgres', qq{
	-- The nearest 20 of a category through the index are what a sort of all of it gives.
	CREATE FUNCTION exact_check(tab regclass, op text, q vector, c int) RETURNS bool LANGUAGE plpgsql AS \$\$
	DECLARE
		found float8[];
		expected float8[];
	BEGIN
		$exact
		EXECUTE format('SELECT array_agg(d ORDER BY d) FROM (SELECT v %s \$1 AS d FROM %s WHERE cat = \$2 ORDER BY v %s \$1
			LIMIT 20) s', op, tab, op) INTO found USING q, c;
		SET LOCAL enable_seqscan = on;
		SET LOCAL enable_sort = on;
		SET LOCAL enable_indexscan = off;
		SET LOCAL enable_bitmapscan = off;
		EXECUTE format('SELECT array_agg(d ORDER BY d) FROM (SELECT v %s \$1 AS d FROM %s WHERE cat = \$2 ORDER BY 1
			LIMIT 20) s', op, tab) INTO expected USING q, c;
		IF found IS DISTINCT FROM expected THEN
			RAISE EXCEPTION '% by %: % instead of %', tab, op, found, expected;
		END IF;
		RETURN true;
	END \$\$;
});

# Rows of a category, and how many of them the index bounds.
sub bounded
{
	my ($node, $table) = @_;
	# A plan for few rows does without bounds.
	$primary->safe_psql('postgres', "ANALYZE $table");
	my $plan = $node->safe_psql('postgres', qq{
		BEGIN; $exact
		EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) SELECT id FROM $table WHERE cat = 1
		ORDER BY v <-> array_fill(0.5, ARRAY[16])::vector LIMIT 10;
		COMMIT;});
	my ($rows) = $plan =~ /Bitmap Rows: (\d+)/ or die $plan;
	my ($bounded) = $plan =~ /Rows Bounded by Codes: (\d+)/;
	return ($rows, $bounded // 0);
}

sub exact_ok
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($node, $table, $label) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', qq{
		SELECT bool_and(exact_check('$table', op, random_vector(16), 1))
		FROM unnest('{<->,<#>,<=>}'::text[]) op, generate_series(1, 5)});
	return is("$out$err", 't', "$label: exact passes over $table are exact");
}

sub all_bounded
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($node, $table, $label) = @_;
	my ($rows, $bounded) = bounded($node, $table);
	return is($bounded, $rows, "$label: all rows of $table have codes");
}

sub make
{
	my ($table, $rows, $with) = @_;
	$primary->safe_psql('postgres', qq{
		CREATE TABLE $table (id bigserial PRIMARY KEY, cat int DEFAULT 1, v vector(16), filler text)
			WITH (autovacuum_enabled = off);
		ALTER TABLE $table ALTER filler SET STORAGE plain;
		INSERT INTO $table (v, filler) SELECT random_vector(16), $with FROM generate_series(1, $rows);
		CREATE INDEX ON $table (cat);
		CREATE INDEX ${table}_l2 ON $table USING hnsw (v vector_l2_ops) WITH (m = 6, ef_construction = 24);
		CREATE INDEX ${table}_ip ON $table USING hnsw (v vector_ip_ops) WITH (m = 6, ef_construction = 24, payload = float16);
		CREATE INDEX ${table}_cosine ON $table USING hnsw (v vector_cosine_ops) WITH (m = 6, ef_construction = 24);
	});
	return;
}

$primary->safe_psql('postgres', 'SELECT setseed(0.6)');
make('built', 2000, 'NULL');
make('empty', 0, 'NULL');
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('rows_standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

sub check
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($table, $label, $is_covered) = @_;
	verify_all($primary, $label);
	exact_ok($primary, $table, $label);
	all_bounded($primary, $table, $label) if $is_covered;
	return;
}

check('built', 'built', 1);
$primary->safe_psql('postgres', q{INSERT INTO built (v) SELECT random_vector(16) FROM generate_series(1, 700);
	INSERT INTO built (v) VALUES (NULL), (array_fill(0, ARRAY[16])::vector)});
check('built', 'inserted into');

# TIDs that other vectors had, in part without one now.
for my $round (1 .. 2)
{
	$primary->safe_psql('postgres', "DELETE FROM built WHERE id % 2 = $round % 2; VACUUM built");
	check('built', "vacuumed, round $round");
	$primary->safe_psql('postgres', q{
		INSERT INTO built (v) SELECT CASE WHEN n % 50 = 0 THEN NULL ELSE random_vector(16) END FROM generate_series(1, 1000) n;
		UPDATE built SET filler = 'hot' WHERE id % 7 = 1;
		UPDATE built SET v = random_vector(16) WHERE id % 7 = 2;
	});
	check('built', "TIDs used again, round $round");
}
# In round 2 the table may have been too empty for codes.
$primary->safe_psql('postgres', 'VACUUM built');
my ($rows, $found) = bounded($primary, 'built');
cmp_ok($found, '>', 0.8 * $rows, "most rows have codes: $found of $rows");

# Too empty for codes at one vacuum, and full at the next, in an index that has not grown.
make('sparse', 3000, 'NULL');
$primary->safe_psql('postgres', q{
	DELETE FROM sparse WHERE id % 8 <> 0;
	ALTER INDEX sparse_l2 SET (row_codes = off);
	VACUUM sparse;
	ALTER INDEX sparse_l2 SET (row_codes = on);
	VACUUM sparse;
});
is((bounded($primary, 'sparse'))[1], 0, 'rows of a table that is nearly empty have no codes');
$primary->safe_psql('postgres', 'INSERT INTO sparse (v) SELECT random_vector(16) FROM generate_series(1, 2600)');
$primary->safe_psql('postgres', 'VACUUM sparse');
check('sparse', 'filled again', 1);
$primary->safe_psql('postgres', 'DROP TABLE sparse');

# Filled by inserts alone: the next vacuum codes them.
$primary->safe_psql('postgres', 'INSERT INTO empty (v) SELECT random_vector(16) FROM generate_series(1, 1200)');
is((bounded($primary, 'empty'))[1], 0, 'rows of a table filled by inserts have no codes');
exact_ok($primary, 'empty', 'without codes');
$primary->safe_psql('postgres', 'VACUUM empty');
check('empty', 'after VACUUM', 1);
$primary->safe_psql('postgres', 'INSERT INTO empty (v) SELECT random_vector(16) FROM generate_series(1, 1500)');
check('empty', 'inserted after VACUUM', 1);

# Few rows to a page when the codes were planted, many later: these have no place, until vacuum plants anew.
make('wide', 600, "repeat('x', 900)");
check('wide', 'wide rows', 1);
$primary->safe_psql('postgres', 'INSERT INTO wide (v) SELECT random_vector(16) FROM generate_series(1, 3000)');
($rows, $found) = bounded($primary, 'wide');
cmp_ok($found, '<', 0.7 * $rows, "narrow rows have no place: $found of $rows are bounded");
check('wide', 'narrow rows');
$primary->safe_psql('postgres', 'VACUUM wide');
($rows, $found) = bounded($primary, 'wide');
cmp_ok($found, '>', 0.9 * $rows, "planted anew: $found of $rows are bounded");
check('wide', 'planted anew');

# Without them, and with them again.
$primary->safe_psql('postgres', 'ALTER INDEX wide_l2 SET (row_codes = off); VACUUM wide');
is((bounded($primary, 'wide'))[1], 0, 'row_codes = off takes them away');
check('wide', 'without row codes');
$primary->safe_psql('postgres', 'ALTER INDEX wide_l2 SET (row_codes = on); VACUUM wide');
($rows, $found) = bounded($primary, 'wide');
cmp_ok($found, '>', 0.9 * $rows, "row_codes = on: $found of $rows are bounded");
check('wide', 'with row codes again');

# More codes than half of the memory go through temporary files; those that exist are read as they are.
$primary->safe_psql('postgres', q{
	CREATE TABLE long (id bigserial PRIMARY KEY, cat int DEFAULT 1, v vector(256)) WITH (autovacuum_enabled = off);
	INSERT INTO long (v) SELECT random_vector(256) FROM generate_series(1, 4500);
	CREATE INDEX ON long (cat);
	CREATE INDEX long_l2 ON long USING hnsw (v vector_l2_ops) WITH (m = 4, ef_construction = 16, row_codes = off);
	ALTER INDEX long_l2 SET (row_codes = on);
	SET maintenance_work_mem = '1MB';
	VACUUM long;});
my $temporary = $primary->safe_psql('postgres', 'SELECT temp_files FROM pg_stat_database WHERE datname = current_database()');
cmp_ok($temporary, '>', 1, "codes went through $temporary temporary files");
my $halves = $primary->safe_psql('postgres', qq{
	BEGIN; $exact
	EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) SELECT id FROM long WHERE cat = 1
	ORDER BY v <-> array_fill(0.5, ARRAY[256])::vector LIMIT 10;
	COMMIT;});
like($halves, qr/Rows Bounded by Codes: 4500/, 'all rows have codes');
verify_ok($primary, 'long_l2', 'through temporary files');

# A partial index of few rows keeps none.
$primary->safe_psql('postgres', q{
	CREATE INDEX wide_part ON wide USING hnsw (v vector_l2_ops) WHERE id % 12 = 0;
	VACUUM wide;});
verify_ok($primary, 'wide_part', 'partial index');

# Load, with readers that compare, vacuums, and the end of the server in between.
my %load = (
	'insert@6' => q{INSERT INTO built (v) SELECT random_vector(16) FROM generate_series(1, 5);},
	'delete@2' => q{
		\set n random(0, 90)
		DELETE FROM built WHERE id % 91 = :n;
	},
	'update@2' => q{
		\set n random(0, 90)
		UPDATE built SET v = random_vector(16) WHERE id % 91 = :n;
	},
	'rollback@1' => q{
		BEGIN;
		INSERT INTO built (v) SELECT random_vector(16) FROM generate_series(1, 5);
		ROLLBACK;
	},
	'vacuum@1' => q{VACUUM built;},
	'read@4' => q{
		BEGIN ISOLATION LEVEL REPEATABLE READ;
		SELECT exact_check('built', '<->', random_vector(16), 1);
		SELECT exact_check('built', '<=>', random_vector(16), 1);
		COMMIT;
	});
my %read = (
	'read' => q{
		BEGIN ISOLATION LEVEL REPEATABLE READ;
		SELECT exact_check('built', '<->', random_vector(16), 1);
		COMMIT;
	});
for my $how ('immediate', 'postmaster')
{
	my @running = start_load($primary, 3, %load);
	sleep 1;
	# A standby that replays the end of this takes an index away from under the server's planner ("could not open
	# relation"), so its readers come afterwards.
	if ($how eq 'immediate')
	{
		$primary->safe_psql('postgres', 'REINDEX INDEX CONCURRENTLY built_cosine; REINDEX INDEX CONCURRENTLY built_l2');
		$primary->wait_for_catchup($standby, 'replay', $primary->lsn('flush'));
	}
	push @running, start_load($standby, 1, %read);
	sleep 2;
	crash($primary, $how);
	is(stop_load(@running), '', "no errors under load before $how");
	check('built', "after $how");
}
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('flush'));
verify_all($standby, 'standby');
exact_ok($standby, 'built', 'standby');
($rows, $found) = bounded($standby, 'built');
cmp_ok($found, '>', 0.9 * $rows, "on the standby $found of $rows are bounded");

$standby->stop;
$primary->stop;
done_testing();
