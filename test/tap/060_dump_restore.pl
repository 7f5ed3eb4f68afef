# pg_dump and pg_restore: every type, every operator class and option of our access methods, expression and partial indexes,
# views, defaults, checks, settings of functions and databases. What comes back has the same values, definitions and
# answers, sound indexes, and dumps the same once more.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VecannTest;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "autovacuum = off\nmax_connections = 20\nmaintenance_work_mem = 64MB\n");
$node->start;

$node->safe_psql('postgres', 'CREATE DATABASE source');
$node->safe_psql('source', q{
	CREATE EXTENSION vecann;
	CREATE TABLE items (
		id bigint PRIMARY KEY,
		tenant int,
		v vector(8),
		h halfvec(8),
		s sparsevec(1000),
		b bit(64),
		free vector,
		several vector(2)[],
		norm double precision GENERATED ALWAYS AS (vector_norm(v)) STORED,
		origin halfvec(2) DEFAULT '[0,-0]',
		CHECK (vector_dims(free) < 100)
	);
	INSERT INTO items
	SELECT i, i % 5,
		CASE WHEN i % 30 > 0 THEN v::vector END, v::halfvec,
		format('{%s:%s,%s:-2.5}/1000', i, i % 7 + 1, i + 1 + i % 11)::sparsevec,
		(i * 2654435761)::bit(64), v[1:1 + i % 8]::vector, ARRAY[ARRAY[i, .1]::vector, '[1e-3,-0]']
	FROM generate_series(1, 400) i, LATERAL (SELECT array_agg(((i * d * d) % 37) / 8.0 - 2) FROM generate_series(1, 8) d) AS r(v);
	INSERT INTO items (id, v, h, s, b) VALUES
		(401, '[1e-30,3.4e38,-0,1.1754944e-38,0.1,-3.4e38,1,2]', '[65504,-65504,6e-8,0.1,-0,1,2,3]', '{}/1000', 0::bit(64)),
		(402, '[0,0,0,0,0,0,0,0]', '[0,0,0,0,0,0,0,0]', '{1:1e-30,1000:3e38}/1000', (-1)::bit(64));
	CREATE TABLE long (id int PRIMARY KEY, v vector(16000), h halfvec(16000), s sparsevec(1000000000));
	INSERT INTO long SELECT n, v::vector, v::halfvec, format('{1:%s,1000000000:2}/1000000000', n)::sparsevec
	FROM generate_series(1, 3) n, LATERAL (SELECT array_agg((d * n) % 113 - 50) FROM generate_series(1, 16000) d) AS r(v);

	-- options
	CREATE INDEX items_options ON items USING hnsw (v vector_l2_ops)
		WITH (m = 7, ef_construction = 50, payload = float16, code_bits = 2, seed = 42);
	CREATE INDEX items_fewest ON items USING hnsw (v vector_ip_ops) WITH (m = 2, ef_construction = 4, payload = float32);
	CREATE INDEX items_most ON items USING hnsw (h halfvec_l1_ops) WITH (m = 100, ef_construction = 1000, payload = sq8);
	CREATE INDEX long_v ON long USING hnsw (v vector_cosine_ops);
	CREATE INDEX long_h ON long USING hnsw (h halfvec_l2_ops);
	-- expressions, parts, btree
	CREATE INDEX items_as_half ON items USING hnsw ((v::halfvec(8)) halfvec_cosine_ops) WHERE id < 401;
	CREATE INDEX items_subvector ON items USING hnsw ((subvector(v, 1, 3)::vector(3)) vector_l2_ops) WHERE id < 401;
	CREATE INDEX items_free ON items USING hnsw ((free::vector(3)) vector_l2_ops) WHERE vector_dims(free) = 3;
	CREATE INDEX items_tenant ON items USING hnsw (v vector_l2_ops) WHERE tenant = 1;
	CREATE INDEX items_btree ON items (v, h DESC, s);
	CREATE UNIQUE INDEX items_hash_like ON items (s, id);

	CREATE VIEW near AS SELECT id, v <-> '[1,1,1,1,1,1,1,1]' AS l2, h <=> '[1,1,1,1,1,1,1,1]' AS cosine, s <#> '{1:1}/1000' AS ip,
		b <~> 0::bit(64) AS hamming, b <%> 77::bit(64) AS jaccard, v <+> h::vector AS l1 FROM items;
	CREATE MATERIALIZED VIEW centres AS SELECT tenant, avg(v) AS mean, sum(h) AS total FROM items WHERE id < 401 GROUP BY tenant;
	CREATE INDEX centres_mean ON centres USING hnsw ((mean::vector(8)) vector_l2_ops);
	CREATE FUNCTION nearest(q vector, n int) RETURNS SETOF bigint LANGUAGE sql STABLE SET hnsw.ef_search = 500 AS
		'SELECT id FROM items WHERE id < 401 ORDER BY v <-> q, id LIMIT n';
	CREATE DOMAIN unit AS vector(2) CHECK (abs(vector_norm(VALUE) - 1) < 1e-6);
	CREATE TABLE units (u unit PRIMARY KEY);
	INSERT INTO units VALUES ('[0.6,0.8]'), ('[-1,0]');
	ALTER DATABASE source SET hnsw.iterative_scan = strict_order;
});

# One more index for each operator class that our access methods have for these types.
my %column = (vector => 'v', halfvec => 'h', sparsevec => 's', bit => 'b');
my @classes = split /\n/, $node->safe_psql('source', q{
	SELECT amname, opcname, opcintype::regtype FROM pg_opclass JOIN pg_am a ON a.oid = opcmethod
	JOIN pg_depend d ON d.classid = 'pg_am'::regclass AND d.objid = a.oid AND d.deptype = 'e' ORDER BY 1, 2});
cmp_ok(scalar(@classes), '>=', 8, 'operator classes: ' . join ' ', @classes);
for my $class (@classes)
{
	my ($am, $name, $type) = split /\|/, $class;
	$node->safe_psql('source', "CREATE INDEX any_${am}_$name ON items USING $am ($column{$type} $name)");
}

# ---- dump, restore, compare ------------------------------------------------------------

my %contents = (
	values => q{SELECT * FROM items ORDER BY id; SELECT * FROM long ORDER BY id; SELECT * FROM units ORDER BY u},
	bytes => q{SELECT id, vector_send(v), halfvec_send(h), sparsevec_send(s) FROM items ORDER BY id},
	views => q{SELECT * FROM near ORDER BY id; SELECT * FROM centres ORDER BY tenant;
		SELECT nearest('[0,1,0,1,0,1,0,1]', 20)},
	definitions => q{SELECT indexrelid::regclass, pg_get_indexdef(indexrelid) FROM pg_index
		WHERE indrelid IN ('items'::regclass, 'long'::regclass, 'centres'::regclass) ORDER BY indexrelid::regclass::text COLLATE "C";
		SELECT relname, reloptions FROM pg_class WHERE reloptions IS NOT NULL ORDER BY relname COLLATE "C";
		SELECT attrelid::regclass, attname, format_type(atttypid, atttypmod), attstorage FROM pg_attribute
		WHERE attrelid IN ('items'::regclass, 'long'::regclass, 'units'::regclass, 'centres'::regclass) AND attnum > 0 ORDER BY attrelid::regclass::text, attnum},
	searches => q{SET enable_seqscan = off; SET enable_sort = off; SET hnsw.ef_search = 1000;
		SELECT id FROM items WHERE id < 401 ORDER BY subvector(v, 1, 3)::vector(3) <-> '[1,0,2]' LIMIT 10;
		SELECT round((v::halfvec(8) <=> '[1,2,3,4,5,6,7,8]')::numeric, 4) FROM items WHERE id < 401
			ORDER BY v::halfvec(8) <=> '[1,2,3,4,5,6,7,8]' LIMIT 10;
		SELECT round((free::vector(3) <-> '[1,0,2]')::numeric, 4) FROM items WHERE vector_dims(free) = 3
			ORDER BY free::vector(3) <-> '[1,0,2]' LIMIT 10;
		SELECT id FROM long ORDER BY v <=> (SELECT v FROM long WHERE id = 2)});
my %expected = map { $_ => $node->safe_psql('source', $contents{$_}) } keys %contents;
cmp_ok(length $expected{$_}, '>', 30, "there is something to compare: $_") for sort keys %expected;

sub same_ok
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($db, $label) = @_;
	for my $kind (sort keys %contents)
	{
		ok($node->safe_psql($db, $contents{$kind}) eq $expected{$kind}, "$label: the same $kind");
	}
	verify_all($node, $label, $db);
	return;
}

# A dump as text, without the lines that differ each time.
sub text_of
{
	my ($db) = @_;
	my $text = $node->basedir . "/$db.sql";
	$node->command_ok([ 'pg_dump', '-f', $text, $db ], "dump of $db as text");
	return join '', grep { !/^\\(un)?restrict / } split /^/, slurp_file($text);
}

my $base = $node->basedir;
my $first = text_of('source');
$node->safe_psql('postgres', 'CREATE DATABASE plain');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', 'plain', '-f', "$base/source.sql" ], 'text restored');
same_ok('plain', 'text');
ok(text_of('plain') eq $first, 'it dumps the same once more');

$node->command_ok([ 'pg_dump', '-Fc', '-f', "$base/custom", 'source' ], 'custom format');
$node->safe_psql('postgres', 'CREATE DATABASE custom');
$node->command_ok([ 'pg_restore', '-e', '-j', '2', '-d', 'custom', "$base/custom" ], 'restored by two jobs');
same_ok('custom', 'custom');

# with the database and its settings
$node->command_ok([ 'pg_dump', '-C', '-Fc', '-f', "$base/whole", 'source' ], 'dump of the database');
$node->safe_psql('postgres', 'ALTER DATABASE source RENAME TO original');
$node->command_ok([ 'pg_restore', '-C', '-e', '-d', 'postgres', "$base/whole" ], 'restored under its name');
same_ok('source', 'whole');
is($node->safe_psql('source', "LOAD 'vecann'; SHOW hnsw.iterative_scan"), 'strict_order', 'with its settings');

# data alone, as INSERT statements, into a schema that is there
$node->command_ok([ 'pg_dump', '--schema-only', '-f', "$base/schema", 'original' ], 'schema only');
$node->command_ok([ 'pg_dump', '--data-only', '--column-inserts', '-t', 'items', '-t', 'long', '-t', 'units', '-f', "$base/rows", 'original' ],
	'data only, as INSERT');
$node->safe_psql('postgres', 'CREATE DATABASE rows');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', 'rows', '-f', "$base/$_" ], "$_ restored") for 'schema', 'rows';
$node->safe_psql('rows', 'REFRESH MATERIALIZED VIEW centres');
same_ok('rows', 'INSERT statements, with indexes there');

$node->stop;
done_testing();
