# Logical replication of all types between two servers, in text and in binary form: the first copy, inserts, updates (also
# of another column while a vector stays out of line, and of rows without a key), deletes, with indexes on both sides. Both
# ends have the same rows, sound indexes and the same answers.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VecannTest;

my %server;
for my $name ('publisher', 'text', 'binary')
{
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(allows_streaming => 'logical');
	$node->append_conf('postgresql.conf', "autovacuum = off\nmax_connections = 20\nwal_retrieve_retry_interval = 100ms\n");
	$node->start;
	$server{$name} = $node;
	$node->safe_psql('postgres', q{
		CREATE EXTENSION vecann;
		CREATE TABLE items (id int PRIMARY KEY, note text, v vector(4), h halfvec(4), s sparsevec(500), b bit(16), several vector[]);
		CREATE INDEX items_v ON items USING hnsw (v vector_l2_ops) WITH (m = 6, ef_construction = 24);
		CREATE INDEX items_h ON items USING hnsw (h halfvec_cosine_ops);
		CREATE INDEX items_as_half ON items USING hnsw ((v::halfvec(4)) halfvec_l2_ops) WHERE id > 10;
		-- vectors out of line, and rows that only all their values tell apart
		CREATE TABLE long (id int PRIMARY KEY, note int, v vector(3000), h halfvec(3000));
		CREATE INDEX long_v ON long USING hnsw (v vector_l2_ops);
		CREATE TABLE keyless (v vector(3), h halfvec, s sparsevec);
		ALTER TABLE keyless REPLICA IDENTITY FULL;
		CREATE INDEX keyless_v ON keyless USING hnsw (v vector_ip_ops);
	});
}
my $publisher = $server{publisher};
my @subscribers = ('text', 'binary');

my $item = q{i, 'note ' || i, ARRAY[i, i % 7, i * i % 23, -i]::vector, ARRAY[i % 50, i % 7 / 2.0, -.1, 1]::halfvec,
	format('{%s:%s,%s:-0.1}/500', i, i % 9 + 1, i + 1)::sparsevec, (i * 40503)::bit(16), ARRAY['[1]', ARRAY[i, .5]::vector]};
my $long = q{i, 0, (SELECT array_agg(i * d % 97) FROM generate_series(1, 3000) d)::vector,
	(SELECT array_agg(i + d % 89) FROM generate_series(1, 3000) d)::halfvec};
$publisher->safe_psql('postgres', qq{
	INSERT INTO items SELECT $item FROM generate_series(1, 300) i;
	INSERT INTO items (id) VALUES (400);
	INSERT INTO long SELECT $long FROM generate_series(1, 10) i;
	INSERT INTO keyless SELECT ARRAY[i, 1, -i]::vector, '[0.5,-0]', format('{%s:1}/99', i)::sparsevec FROM generate_series(1, 40) i;
	CREATE PUBLICATION everything FOR ALL TABLES;
});

my %contents = (
	items => 'SELECT * FROM items ORDER BY id',
	bytes => 'SELECT id, vector_send(v), halfvec_send(h), sparsevec_send(s), bit_send(b) FROM items ORDER BY id',
	long => 'SELECT id, note, md5(vector_send(v)), md5(halfvec_send(h)) FROM long ORDER BY id',
	keyless => 'SELECT *, vector_send(v), halfvec_send(h), sparsevec_send(s) FROM keyless ORDER BY v, h, s',
	search => q{SET enable_seqscan = off; SET hnsw.ef_search = 1000;
		SELECT id FROM items WHERE v IS NOT NULL ORDER BY v <-> '[70,3,2,-69.5]' LIMIT 10;
		SELECT round((h <=> '[7,3,0,1]')::numeric, 4) FROM items WHERE h IS NOT NULL ORDER BY h <=> '[7,3,0,1]' LIMIT 10;
		SELECT id FROM long ORDER BY v <-> (SELECT v FROM long WHERE id = 3) LIMIT 3});

sub same_ok
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($label) = @_;
	my %expected = map { $_ => $publisher->safe_psql('postgres', $contents{$_}) } keys %contents;
	for my $name (@subscribers)
	{
		$publisher->wait_for_catchup("sub_$name");
		for my $kind (sort keys %contents)
		{
			ok($server{$name}->safe_psql('postgres', $contents{$kind}) eq $expected{$kind}, "$label, $name: the same $kind");
		}
	}
	return;
}

my $connection = $publisher->connstr . ' dbname=postgres';
for my $name (@subscribers)
{
	my $binary = $name eq 'binary' ? 'true' : 'false';
	$server{$name}->safe_psql('postgres',
		"CREATE SUBSCRIPTION sub_$name CONNECTION '$connection' PUBLICATION everything WITH (binary = $binary)");
}
for my $name (@subscribers)
{
	wait_until($server{$name}, q{SELECT count(*) = 3 AND bool_and(srsubstate = 'r') FROM pg_subscription_rel});
}
same_ok('first copy');

$publisher->safe_psql('postgres', qq{
	INSERT INTO items SELECT $item FROM generate_series(301, 350) i;
	INSERT INTO items (id, v, h, s) VALUES (402, '[1e-30,30000.5,-0,1e-45]', '[65504,6e-8,-0,0.1]', '{}/500');
	INSERT INTO long SELECT $long FROM generate_series(11, 14) i;
	INSERT INTO keyless VALUES ('[9,9,9]', '[1,2]', '{}/5'), (NULL, NULL, NULL);
});
same_ok('inserts');

$publisher->safe_psql('postgres', q{
	UPDATE items SET v = v * '[2,1,1,1]', s = '{7:7}/500' WHERE id BETWEEN 20 AND 40;
	UPDATE items SET note = 'another' WHERE id BETWEEN 41 AND 60;
	UPDATE items SET v = NULL WHERE id = 61;
	UPDATE items SET id = 500 WHERE id = 62;
	-- the vectors out of line do not change, and are not sent again
	UPDATE long SET note = note + 1;
	UPDATE long SET h = '[1]'::halfvec || subvector(h, 1, 2999) WHERE id = 5;
	UPDATE keyless SET s = '{1:1}/2' WHERE v = '[7,1,-7]';
	UPDATE keyless SET v = '[0,0,1]' WHERE h = '[1,2]';
});
same_ok('updates');

$publisher->safe_psql('postgres', q{
	DELETE FROM items WHERE id % 10 = 3;
	DELETE FROM long WHERE id IN (2, 12);
	DELETE FROM keyless WHERE v <-> '[0,1,0]' < 10;
	VACUUM items, long, keyless;
});
$server{$_}->safe_psql('postgres', 'VACUUM items, long, keyless') for @subscribers;
same_ok('deletes');
$publisher->safe_psql('postgres', "TRUNCATE keyless; INSERT INTO keyless VALUES ('[1,2,3]', '[1]', '{}/1')");
same_ok('truncate');

verify_all($server{$_}, $_) for sort keys %server;
for my $name (@subscribers)
{
	unlike(slurp_file($server{$name}->logfile), qr/(ERROR|PANIC|TRAP)/, "$name: nothing went wrong in applying");
	$server{$name}->safe_psql('postgres', "DROP SUBSCRIPTION sub_$name");
}
$server{$_}->stop for sort keys %server;
done_testing();
