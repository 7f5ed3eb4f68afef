# Recall on real data: Fashion-MNIST (L2) and the Tate catalogue's latent semantic vectors (cosine), against exact search,
# tie-aware: a row counts when it is no farther than the tenth nearest. Wants VECANN_DATA (see scripts/check); skips without.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/lib";
use IO::Uncompress::Gunzip qw($GunzipError);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VecannTest;

my $data = $ENV{VECANN_DATA};
if (!defined $data || !-e "$data/fashion-mnist/train_784_u8.npy.gz" || !-e "$data/tate/lsa_256_f16.npy.gz")
{
	plan skip_all => 'RECALL ON REAL DATA IS NOT TESTED: no data sets (set VECANN_DATA)';
}

# The number that the 16 bits of an IEEE half stand for (finite ones).
sub half
{
	my ($bits) = @_;
	my ($sign, $exponent, $mantissa) = ($bits >> 15 ? -1 : 1, ($bits >> 10) & 31, $bits & 1023);
	return $sign * ($exponent ? (1024 + $mantissa) * 2**($exponent - 25) : $mantissa * 2**-24);
}

# Stored element to float4 as it goes over the wire, one table entry for each possible value.
my %elements = (
	'|u1' => { bytes => 1, unpack => 'C*', wire => [ map { pack 'f>', $_ } 0 .. 255 ] },
	'<f2' => { bytes => 2, unpack => 'v*', wire => [ map { pack 'f>', half($_) } 0 .. 65535 ] },);

# Writes rows of an array file as binary COPY data: id, vector. `take` chooses rows by number.
sub write_copy
{
	my ($file, $out, $take) = @_;
	my $in = IO::Uncompress::Gunzip->new($file) or die "$file: $GunzipError";
	my ($head, $header);
	$in->read($head, 10) == 10 && $head =~ /^\x93NUMPY/ or die "$file is no array";
	$in->read($header, unpack 'v', substr $head, 8, 2);
	my ($type) = $header =~ /'descr': '([^']+)'/;
	my ($rows, $dim) = $header =~ /'shape': \((\d+), (\d+)\)/;
	my $element = $elements{$type} or die "$file holds $type";
	open my $copy, '>:raw', $out or die "$out: $!";
	print $copy "PGCOPY\n\xff\r\n\0", pack('NN', 0, 0);
	for my $id (0 .. $rows - 1)
	{
		$in->read(my $row, $dim * $element->{bytes}) == $dim * $element->{bytes} or die "$file is cut short";
		next unless $take->($id);
		print $copy pack('nNNNnn', 2, 4, $id, 4 + 4 * $dim, $dim, 0),
		  join('', @{ $element->{wire} }[ unpack $element->{unpack}, $row ]);
	}
	print $copy pack 'n', 0xffff;
	close $copy or die "$out: $!";
	return $dim;
}

my $node = new_server('main',
	conf => "shared_buffers = 512MB\nmax_wal_size = 4GB\nmax_parallel_workers_per_gather = 0\n");

# Loads base and query rows, builds the index, and compares recall@10 at `ef_search` with `floor`.
sub measure
{
	my (%set) = @_;
	my ($name, $op) = @set{qw(name op)};
	my $file = "${PostgreSQL::Test::Utils::tmp_check}/$name.copy";
	for my $part ([ $name, $set{base}, sub { 1 } ], [ "${name}_query", $set{query}, $set{take} ])
	{
		my ($table, $source, $take) = @$part;
		my $dim = write_copy("$data/$source", $file, $take);
		$node->safe_psql('postgres', "CREATE TABLE $table (id int, v vector($dim));
			ALTER TABLE $table ALTER v SET STORAGE plain;
			COPY $table FROM '$file' (FORMAT binary)");
		unlink $file;
	}
	$node->safe_psql('postgres', "CREATE INDEX ${name}_index ON $name USING hnsw (v $set{class})");
	my $nearest = "SELECT b.v $op q.v AS d FROM $name b ORDER BY b.v $op q.v LIMIT 10";
	my $recall = $node->safe_psql('postgres', "
		SET enable_indexscan = off;
		CREATE TABLE ${name}_truth AS
			SELECT q.id, (SELECT max(d) FROM (SELECT b.v $op q.v AS d FROM $name b ORDER BY 1 LIMIT 10) s) AS tenth
			FROM ${name}_query q;
		SET enable_indexscan = on;
		SET enable_seqscan = off;
		SET hnsw.ef_search = $set{ef_search};
		SELECT round(avg((SELECT count(*) FROM ($nearest) s WHERE d <= tenth * (1 + 1e-6) + 1e-9)) / 10, 4)
		FROM ${name}_query q JOIN ${name}_truth USING (id)");
	cmp_ok($recall, '>=', $set{floor}, "$name: recall\@10 at ef_search $set{ef_search} is $recall");
	verify_ok($node, "${name}_index", $name);
	return;
}

measure(
	name => 'fashion',
	base => 'fashion-mnist/train_784_u8.npy.gz',
	query => 'fashion-mnist/test_784_u8.npy.gz',
	take => sub { $_[0] % 100 == 3 },
	op => '<->',
	class => 'vector_l2_ops',
	ef_search => 40,
	floor => 0.985);
measure(
	name => 'tate',
	base => 'tate/lsa_256_f16.npy.gz',
	query => 'tate/lsa_256_f16.npy.gz',
	take => sub { $_[0] % 692 == 5 },
	op => '<=>',
	class => 'vector_cosine_ops',
	ef_search => 100,
	floor => 0.95);

$node->stop;
done_testing();
