# The stub extension `vector` (make install-compat), which dumps and clients ask for: it requires vecann, holds nothing,
# takes vecann along with CASCADE, goes into a schema as dumps say it, warns where the types are elsewhere, may be made by
# the owner of a database, and survives dump and restore.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
if ($node->safe_psql('postgres',
		q{SELECT count(*) FROM pg_available_extension_versions WHERE name = 'vector' AND 'vecann' = ANY (requires)}) eq '0')
{
	$node->stop;
	plan skip_all => 'the stub extension is not installed (make install-compat)';
}

# A new database; psql's exit status, output and messages of a script in it.
my $databases = 0;
sub fresh
{
	my $name = 'compat' . ++$databases;
	$node->safe_psql('postgres', "CREATE DATABASE $name");
	return $name;
}
sub run_in
{
	my ($db, $sql) = @_;
	return $node->psql($db, $sql, on_error_stop => 1);
}
my $schemas = q{SELECT string_agg(extname || ' in ' || nspname, ', ' ORDER BY extname)
	FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace WHERE extname LIKE 've%'};

# ---- creating ----------------------------------------------------------------------

my $db = fresh();
my ($rc, $out, $err) = run_in($db, 'CREATE EXTENSION vector');
isnt($rc, 0, 'refused without vecann');
like($err, qr/required extension "vecann" is not installed.*HINT:.*CASCADE/s, 'with a hint at CASCADE');
($rc, $out, $err) = run_in($db, 'CREATE EXTENSION vecann; CREATE EXTENSION vector');
is("$rc$err", '0', 'created once vecann is there');
is($node->safe_psql($db, $schemas), 'vecann in public, vector in public', 'both in the default schema');
is($node->safe_psql($db, q{SELECT count(*) FROM pg_depend
	WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
	AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'vector')}), '0', 'it holds no object');
is($node->safe_psql($db, q{SELECT extversion FROM pg_extension WHERE extname = 'vector'}), '0.8.0',
	'its version is that of the interface');
($rc, $out, $err) = run_in($db, 'CREATE EXTENSION IF NOT EXISTS vector; CREATE EXTENSION IF NOT EXISTS vector SCHEMA public');
is($rc, 0, 'again, if it is not there');
run_in($db, 'CREATE EXTENSION vector');
($rc, $out, $err) = run_in($db, 'DROP EXTENSION vecann');
like($err, qr/extension vector depends on extension vecann/, 'vecann is not dropped under it');
is((run_in($db, 'DROP EXTENSION vector'))[0], 0, 'it can be dropped');
is($node->safe_psql($db, q{SELECT '[1,2]'::vector}), '[1,2]', 'and vecann stays');

$db = fresh();
is((run_in($db, 'CREATE EXTENSION vector CASCADE'))[0], 0, 'CASCADE brings vecann');
is($node->safe_psql($db, $schemas), 'vecann in public, vector in public', 'into the same schema');

$db = fresh();
is((run_in($db, 'CREATE SCHEMA x; CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA x CASCADE'))[0], 0,
	'WITH SCHEMA and CASCADE');
is($node->safe_psql($db, $schemas), 'vecann in x, vector in x', 'go there together');
is($node->safe_psql($db, q{SELECT '[1,2]'::x.vector(2) OPERATOR(x.<->) '[1,5]'}), '3', 'and work there');

$db = fresh();
($rc, $out, $err) = run_in($db, 'CREATE EXTENSION vecann; CREATE SCHEMA x; CREATE EXTENSION vector WITH SCHEMA x');
is($rc, 0, 'another schema than that of vecann is allowed');
like($err, qr/WARNING:  the vector types are in schema "public", not in schema "x".*ALTER EXTENSION vecann SET SCHEMA x/s,
	'with a warning that says what to do');
is((run_in($db, 'ALTER EXTENSION vecann SET SCHEMA x'))[0], 0, 'which works');
is($node->safe_psql($db, $schemas), 'vecann in x, vector in x', 'they are together');

# ---- the owner of a database -----------------------------------------------------------

$db = fresh();
$node->safe_psql('postgres', "CREATE ROLE app LOGIN; ALTER DATABASE $db OWNER TO app");
($rc, $out, $err) = $node->psql($db, 'CREATE EXTENSION vector CASCADE', extra_params => [ '-U', 'app' ]);
is($rc, 0, 'an owner who is no superuser creates both');

# ---- dump and restore ------------------------------------------------------------------

my $source = fresh();
$node->safe_psql($source, q{
	CREATE EXTENSION vector WITH SCHEMA public CASCADE;
	COMMENT ON EXTENSION vector IS 'vector data type and ivfflat and hnsw access methods';
	CREATE TABLE items (id int PRIMARY KEY, v vector(3));
	INSERT INTO items SELECT i, ARRAY[i, i % 5, -i]::vector FROM generate_series(1, 200) i;
	CREATE INDEX items_v ON items USING hnsw (v vector_l2_ops);
});
my $file = $node->basedir . '/dump.sql';
command_ok([ 'pg_dump', '-d', $node->connstr($source), '-f', $file ], 'a dump with the stub');
my $dump = slurp_file($file);
like($dump, qr/CREATE EXTENSION IF NOT EXISTS vecann WITH SCHEMA public;.*CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public;/s,
	'asks for vecann first');
my $target = fresh();
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($target), '-f', $file ], 'is restored');
is($node->safe_psql($target, q{SELECT problems FROM vecann_verify('items_v')}), '{}', 'its index is sound');
my $query = q{SELECT id FROM items ORDER BY v <-> '[70,3,-69]' LIMIT 5};
is($node->safe_psql($target, $query), $node->safe_psql($source, $query), 'and answers as before');

# A dump from pgvector names `vector` alone: vecann is to be there first, and the rest goes as it is.
$dump =~ s/^CREATE EXTENSION IF NOT EXISTS vecann.*\n//m;
$dump =~ s/^COMMENT ON EXTENSION vecann.*\n//m;
unlike($dump, qr/^[^-].*vecann/m, 'a dump that says vector alone');
my $foreign = $node->basedir . '/foreign.sql';
append_to_file($foreign, $dump);
$target = fresh();
$node->safe_psql($target, 'CREATE EXTENSION vecann');
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($target), '-f', $foreign ], 'is restored too');
is($node->safe_psql($target, $query), $node->safe_psql($source, $query), 'with the same answers');

$node->stop;
done_testing();
