# Recall of hnsw against exact search, tie-aware: a row counts when it is no farther than the tenth nearest. On generated
# vectors for every operator class and payload, rows built in bulk and rows inserted afterwards counted apart; on bit
# strings and sparse vectors; then on real data: Fashion-MNIST (L2) and the Tate catalogue's latent semantic vectors
# (cosine), which want VECANN_DATA (see scripts/check).
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/lib";
use IO::Uncompress::Gunzip qw($GunzipError);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VecannTest;

my $node = new_server('main',
	conf => "shared_buffers = 512MB\nmax_wal_size = 4GB\nmax_parallel_workers_per_gather = 0\n"
	  . "maintenance_work_mem = 512MB\nfsync = off\n");
my $file = "${PostgreSQL::Test::Utils::tmp_check}/rows.copy";

# Compares recall@10 at `ef_search` of the rows of `table`, and apart from them of those `inserted` after the build (a
# condition on their id), with `floor`. Makes the table of the exact distances first when it is not there.
sub compare
{
	my (%set) = @_;
	my ($table, $op, $query) = @set{qw(table op query)};
	my $truth = $set{truth} // "${table}_truth";
	my $inserted = $set{inserted} // 'false';
	my $nearest = "SELECT b.id, b.v $op q.v AS d FROM $table b ORDER BY b.v $op q.v LIMIT 10";
	my $near_enough = 'd <= tenth + abs(tenth) * 1e-6 + 1e-9';
	my $plan = $node->safe_psql('postgres', "SET enable_seqscan = off;
		EXPLAIN (COSTS off) SELECT * FROM $query q, LATERAL ($nearest) b");
	like($plan, qr/Custom Scan \(VectorScan\) on $table b\n\s*Index: ${table}_\w+\n\s*Order By: /, "$set{name}: by the index");
	my $result = $node->safe_psql('postgres', "
		SET enable_indexscan = off;
		SET client_min_messages = warning;
		CREATE TABLE IF NOT EXISTS $truth AS
			SELECT q.id, max(d) AS tenth, count(*) FILTER (WHERE $inserted) AS inserted
			FROM $query q, LATERAL (SELECT id, b.v $op q.v AS d FROM $table b ORDER BY 2 LIMIT 10) b(id, d) GROUP BY q.id;
		SET enable_indexscan = on;
		SET enable_seqscan = off;
		SET hnsw.ef_search = $set{ef_search};
		SELECT round(sum(hits) / 10.0 / count(*), 4), round(sum(least(inserted_hits, inserted)) / nullif(sum(inserted), 0), 4)
		FROM (SELECT inserted, f.* FROM $query q JOIN $truth USING (id),
			LATERAL (SELECT count(*) AS hits, count(*) FILTER (WHERE $inserted) AS inserted_hits
				FROM ($nearest) b WHERE $near_enough) f) s");
	my ($recall, $recall_inserted) = split /\|/, $result;
	cmp_ok($recall, '>=', $set{floor}, "$set{name}: recall\@10 at ef_search $set{ef_search} is $recall");
	cmp_ok($recall_inserted, '>=', $set{floor}, "$set{name}: of rows inserted later $recall_inserted")
	  if $recall_inserted ne '';
	return;
}

# ---- generated data -----------------------------------------------------------------

sub start_copy
{
	open my $copy, '>:raw', $file or die "$file: $!";
	print $copy "PGCOPY\n\xff\r\n\0", pack('NN', 0, 0);
	return $copy;
}
sub copy_row
{
	my ($copy, $id, $dim, $numbers) = @_;
	print $copy pack('nNNNnn', 2, 4, $id, 4 + 4 * $dim, $dim, 0), $numbers;
	return;
}
sub end_copy
{
	my ($copy) = @_;
	print $copy pack 'n', 0xffff;
	close $copy or die "$file: $!";
	return;
}

# Writes vectors of few degrees of freedom, as real ones have: a centre out of 30, and three of eight coordinates in
# every dimension, and some noise.
sub write_mixture
{
	my ($rows, $dim) = @_;
	srand $dim;
	my @noise = map { 0.15 * (rand() + rand() + rand() - 1.5) } 1 .. 9973;
	my @centres = map { [ map { 1.2 * (rand() + rand() - 1) } 1 .. $dim ] } 1 .. 30;
	my @mix = map { [ int rand 8, int rand 8, rand() - 0.5 ] } 1 .. $dim;
	my $copy = start_copy();
	for my $id (1 .. $rows)
	{
		my $centre = $centres[ rand @centres ];
		my @z = map { rand() + rand() + rand() - 1.5 } 1 .. 8;
		my $at = int rand @noise;
		copy_row($copy, $id, $dim,
			pack 'f>*', map {
				my ($first, $second, $weight) = @{ $mix[$_] };
				$centre->[$_] + $z[$first] + $weight * $z[$second] + $noise[ ($at + $_ * 7) % 9973 ]
			} 0 .. $dim - 1);
	}
	end_copy($copy);
	return;
}

my %operators = (l2 => '<->', ip => '<#>', cosine => '<=>', l1 => '<+>');

# `built` rows in bulk, `inserted` after that, 100 queries; one index at a time.
sub measure_generated
{
	my (%set) = @_;
	my ($dim, $built) = @set{qw(dim built)};
	my $type = $set{type} // 'vector';
	my $all = $built + $set{inserted};
	my $name = "${type}$dim";
	write_mixture($all + 100, $dim);
	$node->safe_psql('postgres', "CREATE TABLE ${name}_all (id int, v $type($dim));
		ALTER TABLE ${name}_all ALTER v SET STORAGE $set{storage};
		CREATE TEMP TABLE floats (id int, v vector($dim));
		COPY floats FROM '$file' (FORMAT binary);
		INSERT INTO ${name}_all SELECT * FROM floats;
		CREATE TABLE ${name}_query AS SELECT * FROM ${name}_all WHERE id > $all");
	unlink $file;
	for my $payload (@{ $set{payloads} })
	{
		my $table = "${name}_$payload";
		$node->safe_psql('postgres', "CREATE TABLE $table (id int, v $type($dim));
			ALTER TABLE $table ALTER v SET STORAGE $set{storage};
			INSERT INTO $table SELECT * FROM ${name}_all WHERE id <= $built;
			ANALYZE $table");
		for my $class (@{ $set{classes} })
		{
			$node->safe_psql('postgres',
				"CREATE INDEX ${table}_$class ON $table USING hnsw (v ${type}_${class}_ops) WITH (payload = $payload)");
		}
		$node->safe_psql('postgres',
			"INSERT INTO $table SELECT * FROM ${name}_all WHERE id > $built AND id <= $all; VACUUM ANALYZE $table");
		for my $class (@{ $set{classes} })
		{
			compare(
				name => "$type, $dim dimensions, $class, $payload",
				table => $table,
				query => "${name}_query",
				truth => "${name}_${class}_truth",
				op => $operators{$class},
				inserted => $set{inserted} ? "b.id > $built" : 'false',
				ef_search => $set{ef_search},
				floor => $set{floors}{$class});
			verify_ok($node, "${table}_$class", "$dim dimensions");
		}
	}
	return;
}

my @classes = qw(l2 ip cosine l1);
my %floors = (l2 => 0.96, ip => 0.95, cosine => 0.96, l1 => 0.96);
measure_generated(
	dim => 64,
	storage => 'plain',
	built => 4000,
	inserted => 500,
	payloads => [qw(float32 float16 sq8)],
	classes => \@classes,
	ef_search => 40,
	floors => \%floors);
measure_generated(
	dim => 768,
	storage => 'plain',
	built => 1600,
	inserted => 200,
	payloads => ['sq8'],
	classes => \@classes,
	ef_search => 40,
	floors => \%floors);
measure_generated(
	type => 'halfvec',
	dim => 128,
	storage => 'plain',
	built => 2000,
	inserted => 250,
	payloads => [qw(auto float16)],
	classes => \@classes,
	ef_search => 40,
	floors => \%floors);
measure_generated(
	type => 'halfvec',
	dim => 3072,
	storage => 'external',
	built => 1400,
	inserted => 100,
	payloads => [qw(auto float16)],
	classes => [ 'l2', 'cosine' ],
	ef_search => 40,
	floors => \%floors);
# one page a node, then in parts
for my $wide ([ 4096, 'sq8' ], [ 2000, 'float32' ], [ 8000, 'float16' ], [ 16000, 'sq8', 'float32' ])
{
	my ($dim, @payloads) = @$wide;
	measure_generated(
		dim => $dim,
		storage => 'external',
		built => 1400,
		inserted => 100,
		payloads => \@payloads,
		classes => [ 'l2', 'cosine' ],
		ef_search => 100,
		floors => \%floors);
}

# ---- bit strings and sparse vectors ---------------------------------------------------

# `built` rows before the index and `inserted` after it, 40 queries, of text values that `value` makes.
sub measure_values
{
	my (%set) = @_;
	my ($name, $built) = @set{qw(name built)};
	my $all = $built + $set{inserted};
	srand $built;
	open my $copy, '>', $file or die "$file: $!";
	print $copy "$_\t" . $set{value}->() . "\n" for 1 .. $all + 40;
	close $copy or die "$file: $!";
	$node->safe_psql('postgres', "CREATE TABLE ${name}_all (id int, v $set{type});
		ALTER TABLE ${name}_all ALTER v SET STORAGE external;
		COPY ${name}_all FROM '$file';
		CREATE TABLE ${name}_query AS SELECT * FROM ${name}_all WHERE id > $all");
	unlink $file;
	for my $class (sort keys %{ $set{classes} })
	{
		my $table = "${name}_$class";
		$node->safe_psql('postgres', "CREATE TABLE $table (id int, v $set{type});
			ALTER TABLE $table ALTER v SET STORAGE external;
			INSERT INTO $table SELECT * FROM ${name}_all WHERE id <= $built;
			CREATE INDEX ${table}_v ON $table USING hnsw (v $set{opclass}_${class}_ops);
			INSERT INTO $table SELECT * FROM ${name}_all WHERE id > $built AND id <= $all;
			VACUUM ANALYZE $table");
		compare(
			name => "$name, $class",
			table => $table,
			query => "${name}_query",
			op => $set{classes}{$class},
			inserted => "b.id > $built",
			ef_search => 40,
			floor => 0.95);
		verify_ok($node, "${table}_v", $name);
	}
	return;
}

# Bits near one of 40 patterns; a sixteenth of a pattern's blocks of 64 bits are others in each value.
sub bit_values
{
	my ($bits) = @_;
	my $blocks = $bits / 64;
	my @pool = map { join '', map { rand() < 0.5 ? 1 : 0 } 1 .. 64 } 1 .. 1000;
	my @patterns = map { [ map { $pool[ rand @pool ] } 1 .. $blocks ] } 1 .. 40;
	return sub {
		my @value = @{ $patterns[ rand @patterns ] };
		my $noise = 0.02 + 0.2 * rand();
		rand() < $noise and $_ = $pool[ rand @pool ] for @value;
		return join '', @value;
	};
}

# Elements of two of 40 topics, each of which has its own indices and weights, and some others.
sub sparse_values
{
	my ($elements, $dim) = @_;
	my @topics = map { [ map { [ int(rand() * rand() * $dim), rand() + rand() ] } 1 .. 2 * $elements ] } 1 .. 40;
	return sub {
		my ($share, @two) = (rand(), map { $topics[ rand @topics ] } 1, 2);
		my %value;
		while (keys %value < 0.8 * $elements)
		{
			my $first = rand() < 0.6;
			my ($at, $weight) = @{ $two[ $first ? 0 : 1 ][ rand 2 * $elements ] };
			$value{$at} = ($first ? $share : 1 - $share) * $weight + 0.1 * rand() + 0.01;
		}
		$value{ int rand $dim } = 0.5 * rand() + 0.01 while keys %value < $elements;
		return '{' . join(',', map { sprintf '%d:%.4f', $_ + 1, $value{$_} } sort { $a <=> $b } keys %value) . "}/$dim";
	};
}

my %bit_operators = (hamming => '<~>', jaccard => '<%>');
for my $set ([ 768, 1500, 200 ], [ 64000, 400, 50 ])
{
	my ($bits, $built, $inserted) = @$set;
	measure_values(
		name => "bits$bits",
		type => "bit($bits)",
		opclass => 'bit',
		classes => \%bit_operators,
		built => $built,
		inserted => $inserted,
		value => bit_values($bits));
}
measure_values(
	name => 'sparse120',
	type => 'sparsevec(30000)',
	opclass => 'sparsevec',
	classes => \%operators,
	built => 1500,
	inserted => 200,
	value => sparse_values(120, 30000));
measure_values(
	name => 'sparse5000',
	type => 'sparsevec(1000000)',
	opclass => 'sparsevec',
	classes => { cosine => '<=>' },
	built => 400,
	inserted => 40,
	value => sparse_values(5000, 1000000));

# ---- real data ------------------------------------------------------------------------

my $data = $ENV{VECANN_DATA};

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

# Writes rows of an array file as binary COPY data. `take` chooses rows by number.
sub write_array
{
	my ($source, $take) = @_;
	my $in = IO::Uncompress::Gunzip->new($source) or die "$source: $GunzipError";
	my ($head, $header);
	$in->read($head, 10) == 10 && $head =~ /^\x93NUMPY/ or die "$source is no array";
	$in->read($header, unpack 'v', substr $head, 8, 2);
	my ($type) = $header =~ /'descr': '([^']+)'/;
	my ($rows, $dim) = $header =~ /'shape': \((\d+), (\d+)\)/;
	my $element = $elements{$type} or die "$source holds $type";
	my $copy = start_copy();
	for my $id (0 .. $rows - 1)
	{
		$in->read(my $row, $dim * $element->{bytes}) == $dim * $element->{bytes} or die "$source is cut short";
		next unless $take->($id);
		copy_row($copy, $id, $dim, join('', @{ $element->{wire} }[ unpack $element->{unpack}, $row ]));
	}
	end_copy($copy);
	return $dim;
}

# Loads base and query rows, builds the index, and compares recall with a floor.
sub measure_real
{
	my (%set) = @_;
	my $name = $set{name};
	for my $part ([ $name, $set{base}, sub { 1 } ], [ "${name}_query", $set{query}, $set{take} ])
	{
		my ($table, $source, $take) = @$part;
		my $dim = write_array("$data/$source", $take);
		$node->safe_psql('postgres', "CREATE TABLE $table (id int, v vector($dim));
			ALTER TABLE $table ALTER v SET STORAGE plain;
			COPY $table FROM '$file' (FORMAT binary)");
		unlink $file;
	}
	$node->safe_psql('postgres', "CREATE INDEX ${name}_index ON $name USING hnsw (v $set{class})");
	compare(%set, table => $name, query => "${name}_query");
	verify_ok($node, "${name}_index", $name);
	return;
}

SKIP:
{
	skip 'RECALL ON REAL DATA IS NOT TESTED: no data sets (set VECANN_DATA)', 6
	  if !defined $data || !-e "$data/fashion-mnist/train_784_u8.npy.gz" || !-e "$data/tate/lsa_256_f16.npy.gz";
	measure_real(
		name => 'fashion',
		base => 'fashion-mnist/train_784_u8.npy.gz',
		query => 'fashion-mnist/test_784_u8.npy.gz',
		take => sub { $_[0] % 100 == 3 },
		op => '<->',
		class => 'vector_l2_ops',
		ef_search => 40,
		floor => 0.985);
	measure_real(
		name => 'tate',
		base => 'tate/lsa_256_f16.npy.gz',
		query => 'tate/lsa_256_f16.npy.gz',
		take => sub { $_[0] % 692 == 5 },
		op => '<=>',
		class => 'vector_cosine_ops',
		ef_search => 100,
		floor => 0.95);
}

$node->stop;
done_testing();
