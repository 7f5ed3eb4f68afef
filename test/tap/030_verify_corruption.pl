# Pages broken on purpose: vecann_verify names what is broken; scans, inserts and vacuum answer with an error or with
# rows, but never crash, hang or loop. One table for each kind of damage, then what an interrupted vacuum may leave,
# which is none, then random bytes.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# ---- the layout, as src/storage/page.h and src/hnsw/hnsw_page.h have it, for 4 dimensions and m = 4 -------------

use constant {
	PAGE => 8192,
	CONTENTS => 24,
	SPECIAL => 8192 - 16,
	DIM => 4,
	M => 4,
	KIND_META => 1,
	KIND_NODE => 2,
	KIND_UPPER => 3,
	KIND_TID => 4,
	INVALID => 0xFFFFFFFF,
	LISTED => 1,
	LIVE => 1,
};
my %slot_size = (KIND_NODE, 28 + 16 + 8 * 2 * M + 4 * DIM, KIND_UPPER, 28 + 8 * M + 4 * DIM);
my $room = PAGE - CONTENTS - 16;
my %slots = map { $_ => int($room / $slot_size{$_}) } keys %slot_size;
my $ids_per_block = $slots{ +KIND_UPPER };
# offset in the slot header and format
my %slot_field = (
	generation => [ 0, 'V' ],
	state => [ 4, 'C' ],
	level => [ 5, 'C' ],
	edge_count => [ 6, 'v' ],
	up => [ 8, 'V' ],
	down => [ 12, 'V' ],
	tid_chain => [ 16, 'V' ],
	tid_count => [ 20, 'v' ],
	tid_epoch => [ 24, 'V' ]);
my %segment_field = (
	owner => [ 0, 'V' ],
	next => [ 8, 'V' ],
	count => [ 12, 'v' ],
	in_use => [ 14, 'v' ]);
# in the meta page
my %meta_field = (
	magic => [ 0, 'V' ],
	node_head => [ 8, 'V' ],
	dim => [ 24, 'v' ],
	m => [ 26, 'v' ],
	metric => [ 31, 'C' ],
	node_slot_size => [ 38, 'v' ],
	payload_size => [ 42, 'v' ],
	entry => [ 44, 'V' ],
	entry_generation => [ 48, 'V' ],
	entry_level => [ 52, 'v' ]);
my %page_field = (
	lower => [ 12, 'v' ],
	next => [ SPECIAL, 'V' ],
	kind => [ SPECIAL + 4, 'v' ],
	flags => [ SPECIAL + 6, 'v' ],
	version => [ SPECIAL + 8, 'v' ],
	page_id => [ SPECIAL + 10, 'v' ]);

# The content of the file that is being changed.
my $f;

# A value in the file at `at`; written when one is given.
sub field
{
	my ($at, $where, $value) = @_;
	my ($offset, $format) = @$where;
	my $length = length pack($format, 0);
	substr($$f, $at + $offset, $length) = pack($format, $value) if defined $value;
	return unpack($format, substr($$f, $at + $offset, $length));
}
sub meta { my ($name, $value) = @_; return field(CONTENTS, $meta_field{$name}, $value); }
sub page { my ($block, $name, $value) = @_; return field($block * PAGE, $page_field{$name}, $value); }
sub blocks { my ($kind) = @_; return grep { page($_, 'kind') == $kind } 0 .. length($$f) / PAGE - 1; }

# Where the slot of an id starts.
sub at
{
	my ($id) = @_;
	my $block = int($id / $ids_per_block);
	return $block * PAGE + CONTENTS + ($id % $ids_per_block) * $slot_size{ page($block, 'kind') };
}
sub slot { my ($id, $name, $value) = @_; return field(at($id), $slot_field{$name}, $value); }
sub edge_at
{
	my ($id, $i) = @_;
	return at($id) + 28 + (page(int($id / $ids_per_block), 'kind') == KIND_NODE ? 16 : 0) + 8 * $i;
}
sub edge { my ($id, $i, $value) = @_; return field(edge_at($id, $i), [ 0, 'V' ], $value); }
sub tid_at { my ($id) = @_; return at($id) + 28; }
sub payload_at { my ($id) = @_; return at($id) + $slot_size{ page(int($id / $ids_per_block), 'kind') } - 4 * DIM; }
sub segment
{
	my ($segment, $name, $value) = @_;
	return field(int($segment / 63) * PAGE + CONTENTS + ($segment % 63) * 128, $segment_field{$name}, $value);
}

# Live slots on pages of a kind for which the test holds, in order.
sub live
{
	my ($kind, $test) = @_;
	my @found;
	for my $block (blocks($kind))
	{
		for my $i (0 .. $slots{$kind} - 1)
		{
			my $id = $block * $ids_per_block + $i;
			push @found, $id if slot($id, 'state') == LIVE && (!$test || $test->($id));
		}
	}
	die 'no such slot' if !@found;
	return @found;
}
sub node { my ($test) = @_; return (live(KIND_NODE, $test))[0]; }
sub upper { my ($test) = @_; return (live(KIND_UPPER, $test))[0]; }
sub chained { return node(sub { slot($_[0], 'tid_chain') != INVALID }); }
sub plain { return node(sub { slot($_[0], 'up') == INVALID && slot($_[0], 'tid_chain') == INVALID }); }
sub free_slot
{
	my ($block) = (blocks(KIND_NODE))[-1];
	my ($i) = grep { slot($block * $ids_per_block + $_, 'state') == 0 } 0 .. $slots{ +KIND_NODE } - 1;
	return $block * $ids_per_block + $i;
}

# A page of nodes that is neither the first nor the last.
sub node_block { return (blocks(KIND_NODE))[1]; }
# The first number of a slot's vector; the first row of a node, as two halves of the block number and the offset.
sub put_number { my ($id, $x) = @_; substr($$f, payload_at($id), 4) = pack('f<', $x); return; }
sub put_row { my ($id, @tid) = @_; substr($$f, tid_at($id), 6) = pack('v3', @tid); return; }
sub put_row_flags { my ($id, $flags) = @_; substr($$f, tid_at($id) + 6, 2) = pack('v', $flags); return; }
# The lowest live slot of layer 1 and the first segment of the first chain.
sub low { return upper(sub { slot($_[0], 'level') == 1 }); }
sub first_segment { return slot(chained(), 'tid_chain'); }

# ---- the damages ------------------------------------------------------------------

# name, what breaks the file, what the verifier must say, and what an ordered scan of everything must do: 'fails' with
# ERRCODE_INDEX_CORRUPTED, 'works' and finds all, or 'any' of the two (it may even find fewer rows).
my @damages = (
	[ 'no damage', sub { }, undef, 'works' ],
	[ 'empty page at the end', sub { $$f .= "\0" x PAGE }, undef, 'works' ],
	# pages
	[ 'no pages', sub { $$f = '' }, qr/the index has no pages/, 'fails' ],
	[ 'empty meta page', sub { substr($$f, 0, PAGE) = "\0" x PAGE }, qr/block 0: the meta page is empty/, 'fails' ],
	[ 'magic', sub { meta('magic', 1) }, qr/block 0: is not the meta page of an hnsw index/, 'fails' ],
	[ 'dimensions', sub { meta('dim', 5) }, qr/block 0: 5 dimensions and m = 4 do not fit/, 'fails' ],
	[ 'm', sub { meta('m', 60000) }, qr/block 0: .* do not fit/, 'fails' ],
	[ 'metric', sub { meta('metric', 3) }, qr/another operator class/, 'fails' ],
	[ 'slot size', sub { meta('node_slot_size', 128) }, qr/slot sizes do not follow/, 'fails' ],
	[ 'payload size', sub { meta('payload_size', 8000) }, qr/slot sizes do not follow/, 'fails' ],
	[ 'meta page as another kind', sub { page(0, 'kind', KIND_NODE) }, qr/is not the meta page/, 'fails' ],
	[ 'page id', sub { page(node_block(), 'page_id', 0) }, qr/is not a vecann page/, 'fails' ],
	[ 'version', sub { page(node_block(), 'version', 9) }, qr/has format version 9/, 'fails' ],
	[ 'kind of another', sub { page(node_block(), 'kind', KIND_UPPER) }, qr/lower pointer/, 'fails' ],
	[ 'no kind', sub { page(node_block(), 'kind', 77) }, qr/has page kind 77/, 'fails' ],
	[ 'page gone', sub { substr($$f, PAGE * node_block(), PAGE) = "\0" x PAGE }, qr/no slot of its kind/, 'fails' ],
	[ 'lower pointer', sub { page(node_block(), 'lower', 100) }, qr/lower pointer at 100/, 'works' ],
	[ 'last pages cut off', sub { $$f = substr($$f, 0, PAGE * (blocks(KIND_NODE))[-2]) },
		qr/no slot of its kind/, 'fails' ],
	# free lists
	[ 'listed, not flagged', sub { page(meta('node_head'), 'flags', 0) },
		qr/on a free list but not flagged/, 'works' ],
	[ 'flagged, not listed', sub { meta('node_head', INVALID) },
		qr/flagged as listed but on no free list/, 'works' ],
	[ 'free list in a circle', sub { my $b = meta('node_head'); page($b, 'next', $b) },
		qr/a second time/, 'works' ],
	[ 'free list out of the file', sub { meta('node_head', 99999) }, qr/free list leads to block 99999/, 'works' ],
	[ 'free list to another kind', sub { meta('node_head', (blocks(KIND_UPPER))[0]) },
		qr/free list leads to block/, 'works' ],
	# slots
	[ 'state', sub { slot(plain(), 'state', 7) }, qr/has state 7/, 'fails' ],
	[ 'edge count', sub { slot(plain(), 'edge_count', 60000) }, qr/has 60000 edges where 8/, 'fails' ],
	[ 'edge count above', sub { slot(upper(), 'edge_count', 8) }, qr/has 8 edges where 4/, 'any' ],
	[ 'level of a node', sub { slot(plain(), 'level', 2) }, qr/has level 2 on a page of kind node/, 'fails' ],
	[ 'level 0 above', sub { slot(meta('entry'), 'level', 0) }, qr/has level 0 on a page of kind upper/, 'fails' ],
	[ 'inline rows', sub { slot(plain(), 'tid_count', 9999) }, qr/has 9999 inline rows/, 'fails' ],
	[ 'free slot in use', sub { slot(free_slot(), 'edge_count', 3) },
		qr/is free but its header is not empty/, 'works' ],
	[ 'slot freed', sub { slot(plain(), 'state', 0) }, qr/which is free.*visible but not in the index/s, 'any' ],
	[ 'slot deleted', sub { slot(plain(), 'state', 2) }, qr/is deleted but has rows/, 'any' ],
	[ 'rows lost', sub { slot(plain(), 'tid_count', 0) }, qr/has lost its inline rows.*not in the index/s, 'any' ],
	[ 'NaN', sub { put_number(plain(), 'nan') }, qr/holds NaN or infinity/, 'any' ],
	[ 'another vector', sub { put_number(plain(), 3) }, qr/which holds another vector/, 'any' ],
	[ 'not of unit norm', sub { put_number(plain(), 3) }, qr/has the squared norm/, 'any', 'cosine' ],
	# edges
	[ 'edge out of the file', sub { edge(plain(), 0, INVALID - 1) }, qr/no slot of its kind/, 'fails' ],
	[ 'edge to another kind', sub { edge(plain(), 0, upper()) }, qr/no slot of its kind/, 'fails' ],
	[ 'edge to the meta page', sub { edge(plain(), 0, 0) }, qr/no slot of its kind/, 'fails' ],
	[ 'edge behind the last slot',
		sub { edge(plain(), 0, $ids_per_block * (blocks(KIND_NODE))[0] + $ids_per_block - 1) },
		qr/no slot of its kind/, 'fails' ],
	[ 'edge to a free slot', sub { edge(plain(), 0, free_slot()) }, qr/has an edge to .* which is free/, 'any' ],
	[ 'edge to itself', sub { edge(plain(), 0, plain()) }, qr/has an edge to itself/, 'works' ],
	[ 'edge twice', sub { my $n = plain(); edge($n, 0, edge($n, 1)) }, qr/has two edges to/, 'works' ],
	[ 'edge to an older generation', sub { substr($$f, edge_at(plain(), 0) + 4, 1) = "\x09" },
		qr/has an edge to generation 9/, 'works' ],
	[ 'edge to another level', sub { my $high = upper(sub { slot($_[0], 'level') > 1 }); edge(low(), 0, $high) },
		qr/has an edge from level 1 to .* on level/, 'any' ],
	# towers
	[ 'up out of the file', sub { slot(plain(), 'up', INVALID - 5) },
		qr/link up leads to .* no upper slot/, 'works' ],
	[ 'up to another tower', sub { slot(plain(), 'up', upper()) }, qr/whose link down leads elsewhere/, 'works' ],
	[ 'no link up', sub { slot(node(sub { slot($_[0], 'up') != INVALID }), 'up', INVALID) },
		qr/whose link up leads elsewhere/, 'works' ],
	[ 'down to another node', sub { slot(low(), 'down', plain()) }, qr/whose link up leads elsewhere/, 'works' ],
	[ 'down out of the file', sub { slot(meta('entry'), 'down', INVALID) },
		qr/link down leads to .* no slot of the layer below/, 'any' ],
	[ 'another vector above', sub { put_number(upper(), 3) }, qr/its vector differs from that of/, 'works' ],
	# entry point
	[ 'no entry point', sub { meta('entry', INVALID) }, qr/the entry point is missing/, 'works' ],
	[ 'entry point out of the file', sub { meta('entry', 0xFFFFFF00) },
		qr/entry point is .* no slot of level/, 'fails' ],
	[ 'entry point on another level', sub { meta('entry_level', 9) }, qr/entry point is level 9/, 'fails' ],
	[ 'entry point on no level', sub { meta('entry_level', 65535) },
		qr/entry point is .* no slot of level 65535/, 'fails' ],
	[ 'entry point of another generation', sub { meta('entry_generation', 77) },
		qr/entry point is generation 77/, 'fails' ],
	# rows
	[ 'row beyond the table', sub { put_row(plain(), 1, 0, 1) },
		qr/\(65536,1\), which the table does not have/, 'any' ],
	[ 'row that is not there', sub { put_row(plain(), 0, 0, 280) },
		qr/\(0,280\), which the table does not have/, 'any' ],
	[ 'row that cannot be', sub { put_row(plain(), 0, 0, 0) }, qr/\(0,0\), which cannot be/, 'any' ],
	[ 'row twice', sub { my ($a, $b) = live(KIND_NODE); substr($$f, tid_at($a), 6) = substr($$f, tid_at($b), 6) },
		qr/which block \d+ slot \d+ has too/, 'any' ],
	[ 'visible row flagged dead', sub { put_row_flags(plain(), 1) }, qr/flags row \(\d+,\d+\) as dead/, 'any' ],
	[ 'unknown flags', sub { put_row_flags(plain(), 64) }, qr/unknown flags 40/, 'works' ],
	# chains of rows
	[ 'chain out of the file', sub { slot(chained(), 'tid_chain', 63 * 99999) },
		qr/leads to segment 0 of block 99999/, 'fails' ],
	[ 'chain to another kind', sub { slot(chained(), 'tid_chain', 63) },
		qr/leads to segment 0 of block 1, which is no page of rows/, 'fails' ],
	[ 'segment of another node', sub { segment(first_segment(), 'owner', plain()) },
		qr/does not own.*in use but in no chain/s, 'fails' ],
	[ 'segment not in use', sub { segment(first_segment(), 'in_use', 0) },
		qr/is free but not empty.*does not own/s, 'fails' ],
	[ 'segment too full', sub { segment(first_segment(), 'count', 999) }, qr/has 999 rows where 14/, 'fails' ],
	[ 'chain in a circle', sub { segment(first_segment(), 'next', first_segment()) },
		qr/is linked twice/, 'fails' ],
	[ 'chain cut off', sub { slot(chained(), 'tid_chain', INVALID) }, qr/is in use but in no chain/, 'any' ],
);

# ---- what is no damage ------------------------------------------------------------

# A slot without its links.
sub clear_edges { my ($id) = @_; slot($id, 'edge_count', 0); return; }
# The tower of a node, from above it.
sub tower
{
	my ($id) = @_;
	my @tower;
	for (my $up = slot($id, 'up'); $up != INVALID; $up = slot($up, 'up')) { push @tower, $up; }
	return @tower;
}
sub high_node { return node(sub { tower($_[0]) >= 2 }); }
sub mark_deleted
{
	my ($id) = @_;
	slot($id, 'state', 2);
	slot($id, 'tid_count', 0);
	return;
}
sub free_slot_of
{
	my ($id) = @_;
	substr($$f, at($id), 28) = pack('V', slot($id, 'generation') + 1) . "\0" x 24;
	return;
}

# States that an interrupted vacuum or insert may leave. All rows of the table are deleted.
my @remains = (
	[ 'node deleted, tower not yet', sub { mark_deleted(high_node()) } ],
	[ 'half of the tower deleted', sub { my $n = high_node(); mark_deleted($n); slot((tower($n))[0], 'state', 2) } ],
	[ 'node freed, tower not yet', sub {
			my $n = high_node();
			clear_edges($_) for live(KIND_NODE), live(KIND_UPPER);
			slot($_, 'state', 2) for tower($n);
			free_slot_of($n);
			meta('entry', (live(KIND_NODE))[0]);
			meta('entry_level', 0);
		} ],
	[ 'top of the tower freed first', sub {
			my $n = high_node();
			my @tower = tower($n);
			clear_edges($_) for live(KIND_NODE), live(KIND_UPPER);
			slot($_, 'state', 2) for @tower;
			free_slot_of($n);
			free_slot_of($tower[-1]);
			meta('entry', (live(KIND_NODE))[0]);
			meta('entry_level', 0);
		} ],
	[ 'deleted entry point', sub {
			my $n = node(sub { grep { $_ == meta('entry') } tower($_[0]) });
			slot($_, 'state', 2) for tower($n);
			mark_deleted($n);
		} ],
	[ 'no entry point', sub { meta('entry', INVALID) } ],
	[ 'inline rows gone, chain not yet', sub {
			my $n = chained();
			slot($n, 'tid_count', 0);
			slot($n, 'tid_epoch', 1);
		} ],
	[ 'a segment emptied', sub {
			my $n = chained();
			slot($n, 'tid_count', 0);
			slot($n, 'tid_epoch', 1);
			segment(first_segment(), 'count', 0);
		} ],
	[ 'chain gone, node not yet deleted', sub {
			my $n = chained();
			slot($n, 'tid_count', 0);
			slot($n, 'tid_epoch', 1);
			slot($n, 'tid_chain', INVALID);
			substr($$f, $_ * PAGE + CONTENTS, 63 * 128) = "\0" x (63 * 128) for blocks(KIND_TID);
		} ],
	[ 'page on no list', sub {
			my $b = meta('node_head');
			meta('node_head', page($b, 'next'));
			page($b, 'next', INVALID);
			page($b, 'flags', 0);
		} ],
	[ 'page not initialised', sub { $$f .= "\0" x (2 * PAGE) } ],
);

# ---- the server -------------------------------------------------------------------

my $rows = 600;
my $node = PostgreSQL::Test::Cluster->new('corruption');
$node->init;
$node->append_conf('postgresql.conf', "autovacuum = off\nfsync = off\nrestart_after_crash = off\nlog_statement = none");
$node->start;

my $fuzzed = 60;
my @tables = (
	(map { "damage_$_" } 0 .. $#damages),
	(map { "fuzz_$_" } 0 .. $fuzzed - 1),
	(map { "remains_$_" } 0 .. $#remains));
my $sql = 'CREATE EXTENSION vecann; SELECT setseed(0.3);';
for my $i (0 .. $#tables)
{
	my $ops = 'vector_' . (($i < @damages ? $damages[$i][4] : undef) // 'l2') . '_ops';
	$sql .= qq{
		CREATE TABLE $tables[$i] (id int, v vector(4));
		INSERT INTO $tables[$i] SELECT i, (SELECT array_agg(random())::vector FROM generate_series(1, 4 + 0 * i))
			FROM generate_series(1, $rows) i;
		INSERT INTO $tables[$i] SELECT 10000 + i, '[0.5,0.5,0.5,0.5]' FROM generate_series(1, 60) i;
		CREATE INDEX $tables[$i]_v ON $tables[$i] USING hnsw (v $ops) WITH (m = 4, ef_construction = 16);
	};
	$sql .= "DELETE FROM $tables[$i];" if $tables[$i] =~ /remains/;
}
$node->safe_psql('postgres', $sql);
my $all = $rows + 60;
my @paths = map { $node->safe_psql('postgres', "SELECT pg_relation_filepath('${_}_v')") } @tables;
$node->stop;

# Changes the bytes of one file.
sub change_file
{
	my ($path, $change) = @_;
	open my $handle, '+<:raw', $node->data_dir . "/$path" or die "cannot open $path: $!";
	local $/ = undef;
	my $content = <$handle>;
	$f = \$content;
	$change->();
	seek $handle, 0, 0;
	print $handle $content;
	truncate $handle, length $content;
	close $handle or die "cannot write $path: $!";
	return;
}

change_file($paths[$_], $damages[$_][1]) for 0 .. $#damages;
change_file($paths[ @damages + $fuzzed + $_ ], $remains[$_][1]) for 0 .. $#remains;
srand 20;
my %done;
for my $i (0 .. $fuzzed - 1)
{
	change_file($paths[ @damages + $i ],
		sub {
			for my $n (1 .. 1 + $i % 8)
			{
				# The page header stays whole: the server itself checks that, and the index never sees the page.
				my $block = int(rand(length($$f) / PAGE));
				my $meta = $block == 0 ? 56 : $room;
				my $at = $block * PAGE + (rand() < 0.2 ? SPECIAL + int(rand 12) : CONTENTS + int(rand $meta));
				substr($$f, $at, 1) = chr(rand() < 0.5 ? int(rand 256) : 255);
				$done{$i} .= sprintf ' %d+%d', $block, $at % PAGE;
			}
		});
}
$node->start;

# Runs SQL and returns its output and the SQLSTATE of its error, or ''.
sub try_sql
{
	my ($statement) = @_;
	my ($status, $out, $err) =
	  $node->psql('postgres', "\\set VERBOSITY sqlstate\nSET statement_timeout = '30s';\n$statement");
	my ($state) = $err =~ /ERROR:\s+(\w{5})/;
	$state = 'crash' if !$state && $status;
	return ($out, $state // '');
}

sub scan
{
	my ($table, $op) = @_;
	return try_sql("SET enable_seqscan = off;\nSET enable_sort = off;\nSELECT count(*) FROM "
		  . "(SELECT id FROM $table ORDER BY v $op '[0.1,0.9,0.2,0.7]') s;");
}

# Inserts, deletes and vacuums after the damage: an error is welcome, a crash or an endless loop is not.
sub work_on
{
	my ($table) = @_;
	my %states;
	for my $statement (
		"INSERT INTO $table SELECT i, ARRAY[i * 0.01, 0.5, 0.5, 0.2]::vector FROM generate_series(1, 30) i",
		"INSERT INTO $table SELECT i, '[0.5,0.5,0.5,0.5]' FROM generate_series(1, 40) i",
		"DELETE FROM $table WHERE id % 3 = 0",
		"VACUUM (INDEX_CLEANUP ON) $table")
	{
		my ($out, $state) = try_sql("$statement;");
		$states{$state} = 1;
	}
	delete @states{ '', 'XX001', 'XX002' };
	return join ' ', sort keys %states;
}

for my $i (0 .. $#damages)
{
	my ($name, undef, $expected, $scan, $metric) = @{ $damages[$i] };
	my ($problems, $state) = try_sql("SELECT problems FROM vecann_verify('$tables[$i]_v');");
	if (defined $expected)
	{
		like($problems, $expected, "$name: found");
	}
	else
	{
		is($problems, '{}', "$name: nothing found");
	}
	is($state, '', "$name: the verifier itself does not fail");
	(my $count, $state) = scan($tables[$i], $metric ? '<=>' : '<->');
	if ($scan eq 'fails')
	{
		is($state, 'XX002', "$name: the scan fails");
	}
	elsif ($scan eq 'works')
	{
		is("$state$count", $all, "$name: the scan works");
	}
	else
	{
		like($state, qr/^(XX00[12])?$/, "$name: the scan ends well");
	}
	is(work_on($tables[$i]), '', "$name: writing ends well");
}

for my $i (0 .. $#remains)
{
	my ($name) = @{ $remains[$i] };
	my $table = "remains_$i";
	my ($problems, $state) = try_sql("SELECT problems FROM vecann_verify('${table}_v');");
	is("$problems$state", '{}', "left behind, $name: no problem");
	(my $count, $state) = scan($table, '<->');
	is("$count$state", '0', "left behind, $name: the scan works");
	$node->safe_psql('postgres',
		"INSERT INTO $table SELECT i, ARRAY[i, 1, 2, 3]::vector FROM generate_series(1, 30) i");
	is((scan($table, '<->'))[0], '30', "left behind, $name: inserts work");
	$node->safe_psql('postgres', "VACUUM $table");
	is( $node->safe_psql(
			'postgres', "SELECT nodes, heap_tids, deleted_slots, problems FROM vecann_verify('${table}_v')"),
		'30|30|0|{}', "left behind, $name: vacuum clears it");
}

# Row pointers that a scan has found dead.
$node->safe_psql(
	'postgres', q{
	CREATE TABLE killed (id int, v vector(4));
	INSERT INTO killed SELECT i, ARRAY[i, 0, 0, 0]::vector FROM generate_series(1, 100) i;
	CREATE INDEX killed_v ON killed USING hnsw (v vector_l2_ops);
	DELETE FROM killed WHERE id <= 40;
});
scan('killed', '<->') for 1 .. 2;
is( $node->safe_psql('postgres', q{SELECT heap_tids, killed_tids, problems FROM vecann_verify('killed_v')}),
	'100|40|{}', 'killed row pointers are counted');

for my $i (0 .. $fuzzed - 1)
{
	my $table = $tables[ @damages + $i ];
	my (undef, $state) = try_sql("SELECT problems FROM vecann_verify('${table}_v');");
	is($state, '', "random damage $i: the verifier ends well") or diag($done{$i});
	(undef, $state) = scan($table, '<->');
	# 58P01: the server looks for a row far behind the end of the table.
	like($state, qr/^(XX00[12]|58P01)?$/, "random damage $i: the scan ends well") or diag($done{$i});
	is(work_on($table), '', "random damage $i: writing ends well") or diag($done{$i});
	(undef, $state) = try_sql("SELECT problems FROM vecann_verify('${table}_v');");
	is($state, '', "random damage $i: the verifier ends well after writing") or diag($done{$i});
}

# More problems than are listed.
$node->safe_psql(
	'postgres', q{
	CREATE TABLE many (id int, v vector(4));
	INSERT INTO many SELECT i, ARRAY[i, 0, 0, 0]::vector FROM generate_series(1, 300) i;
	CREATE INDEX many_v ON many USING hnsw (v vector_l2_ops) WITH (m = 4, ef_construction = 16);
});
my $many = $node->safe_psql('postgres', "SELECT pg_relation_filepath('many_v')");
$node->stop;
change_file($many, sub { slot($_, 'state', 9) for live(KIND_NODE); });
$node->start;
is( $node->safe_psql(
		'postgres', q{SELECT array_length(problems, 1), problems[101] ~ '^and \d+ more$' FROM vecann_verify('many_v')}),
	'101|t', 'at most 100 problems are listed');

# REINDEX heals.
$node->safe_psql('postgres', "REINDEX TABLE $_") for @tables[ 2 .. 20 ];
is($node->safe_psql('postgres', "SELECT problems FROM vecann_verify('damage_4_v')"), '{}', 'REINDEX heals');

$node->stop;
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC|TRAP:/, 'no crash');
done_testing();
