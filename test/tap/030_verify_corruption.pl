# Pages broken on purpose: vecann_verify names what is broken; scans, inserts and vacuum answer with an error or with
# rows, but never crash, hang or loop. One table for each kind of damage, then what an interrupted vacuum may leave,
# which is none, then random bytes.
use strict;
use warnings FATAL => 'all';

use Carp;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VecannTest;

# ---- the layout, as src/storage/page.h and src/hnsw/hnsw_page.h have it, for m = 4 -----------------------------

use constant {
	PAGE => 8192,
	CONTENTS => 24,
	SPECIAL => 8192 - 16,
	M => 4,
	KIND_META => 1,
	KIND_NODE => 2,
	KIND_UPPER => 3,
	KIND_TID => 4,
	KIND_PART => 5,
	INVALID => 0xFFFFFFFF,
	LISTED => 1,
	LIVE => 1,
	HEADER => 32,
	TIDS => 32,
	PAYLOAD => 48,
	EDGE => 16,
	PART_REF => 8,
	PART_NUMBER => 8 + 16 + 4 * 7,    # an element of a part
};
my $room = PAGE - CONTENTS - 16;
# The forms of index that are damaged: operator class, its operator, payload and its bytes after a head of 16, bytes of a
# code: four bits a dimension, 64 dimensions to a word; none under L1. Vectors have 4 dimensions, or as many as it takes
# to split them; then the sizes are those that the meta page says.
my %forms = (
	l2 => { ops => 'vector_l2_ops', op => '<->', payload => 'float32', elements => 16, code => 32 },
	cosine => { ops => 'vector_cosine_ops', op => '<=>', payload => 'float32', elements => 16, code => 32 },
	l1 => { ops => 'vector_l1_ops', op => '<+>', payload => 'float32', elements => 16, code => 0 },
	float16 => { ops => 'vector_l2_ops', op => '<->', payload => 'float16', elements => 8, code => 32 },
	sq8 => { ops => 'vector_l2_ops', op => '<->', payload => 'sq8', elements => 8, code => 32 },
	parts => { ops => 'vector_l2_ops', op => '<->', payload => 'float32', dim => 4000 });
# of the file that is being changed
my ($slots, $slot_size, $edges, $parts);
# As many slots to a page as leave each 6 of the 8 edges wished for.
sub use_form
{
	my ($form) = @_;
	$parts = exists $forms{$form}{dim};
	return if $parts;
	$edges = PAYLOAD + 16 + $forms{$form}{elements};
	my $edge_bytes = EDGE + $forms{$form}{code};
	$slots = int($room / ($edges + 6 * $edge_bytes));
	my $fitting = int(((int($room / $slots) & ~7) - $edges) / $edge_bytes);
	$slot_size = $edges + $edge_bytes * ($fitting > 2 * M ? 2 * M : $fitting);
	return;
}
use_form('l2');

# offset in the slot header and format
my %slot_field = (
	generation => [ 0, 'V' ],
	state => [ 4, 'C' ],
	level => [ 5, 'C' ],
	edge_count => [ 6, 'v' ],
	up => [ 8, 'V' ],
	down => [ 12, 'V' ],
	tid_chain => [ 16, 'V' ],
	tid_epoch => [ 20, 'V' ],
	tid_count => [ 24, 'v' ],
	# the payload's head
	error => [ PAYLOAD, 'f<' ],
	low => [ PAYLOAD + 8, 'f<' ],
	step => [ PAYLOAD + 12, 'f<' ],
	number => [ PAYLOAD + 16, 'f<' ],
	half => [ PAYLOAD + 16, 'v' ]);
my %edge_field = (
	id => [ 0, 'V' ],
	generation => [ 4, 'C' ],
	level_sum => [ 6, 'v' ],
	add => [ 8, 'f<' ],
	scale => [ 12, 'f<' ]);
my %segment_field = (
	owner => [ 0, 'V' ],
	next => [ 8, 'V' ],
	count => [ 12, 'v' ],
	in_use => [ 14, 'v' ]);
# in the meta page
my %meta_field = (
	magic => [ 0, 'V' ],
	node_head => [ 8, 'V' ],
	dim => [ 24, 'V' ],
	m => [ 30, 'v' ],
	ef_construction => [ 32, 'v' ],
	metric => [ 35, 'C' ],
	payload => [ 36, 'C' ],
	code_bits => [ 37, 'C' ],
	code_dim => [ 38, 'v' ],
	max_edges => [ 40, 'v' ],
	slots => [ 42, 'v' ],
	slot_size => [ 44, 'v' ],
	payload_size => [ 46, 'v' ],
	code_size => [ 48, 'v' ],
	entry_level => [ 50, 'v' ],
	entry => [ 52, 'V' ],
	entry_generation => [ 56, 'V' ],
	head_dim => [ 60, 'v' ],
	part_count => [ 62, 'v' ],
	part_dim => [ 64, 'v' ],
	part_size => [ 66, 'v' ],
	parts => [ 68, 'v' ],
	part_head => [ 20, 'V' ],
	seed_root => [ 72, 'V' ]);
my %seed_field = (
	level => [ 0, 'v' ],
	count => [ 2, 'v' ]);
my %ref_field = (
	id => [ 0, 'V' ],
	generation => [ 4, 'V' ]);
my %part_field = (
	generation => [ 0, 'V' ],
	number => [ 4, 'v' ],
	in_use => [ 6, 'v' ],
	hash => [ 12, 'V' ],
	element => [ PART_NUMBER, 'f<' ]);
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
sub at { my ($id) = @_; return int($id / $slots) * PAGE + CONTENTS + ($id % $slots) * $slot_size; }
sub slot { my ($id, $name, $value) = @_; return field(at($id), $slot_field{$name}, $value); }
sub edge
{
	my ($id, $i, $name, $value) = @_;
	return field(at($id) + $edges + EDGE * $i, $edge_field{$name}, $value);
}
# The root of the seed tree, which is all of it here, and its entries behind 8 bytes and the payload.
sub seed_page { my ($name, $value) = @_; return field(meta('seed_root') * PAGE + CONTENTS, $seed_field{$name}, $value); }
sub seed
{
	my ($i, $name, $value) = @_;
	return field(meta('seed_root') * PAGE + CONTENTS + 8 + $edges - PAYLOAD + EDGE * $i, $edge_field{$name}, $value);
}
sub tid_at { my ($id) = @_; return at($id) + TIDS; }
sub segment
{
	my ($segment, $name, $value) = @_;
	return field(int($segment / 63) * PAGE + CONTENTS + ($segment % 63) * 128, $segment_field{$name}, $value);
}

# What a slot says of a part, and the part of an id.
sub ref_of
{
	my ($id, $i, $name, $value) = @_;
	return field(at($id) + PAYLOAD + PART_REF * $i, $ref_field{$name}, $value);
}
sub part
{
	my ($id, $name, $value) = @_;
	my $at = int($id / meta('parts')) * PAGE + CONTENTS + ($id % meta('parts')) * meta('part_size');
	return field($at, $part_field{$name}, $value);
}

# Live slots on pages of a kind for which the test holds, in order; there may be none.
sub all_live
{
	my ($kind, $test) = @_;
	my @found;
	for my $block (blocks($kind))
	{
		for my $i (0 .. $slots - 1)
		{
			my $id = $block * $slots + $i;
			push @found, $id if slot($id, 'state') == LIVE && (!$test || $test->($id));
		}
	}
	return @found;
}
# The same where there must be one.
sub live
{
	my @found = all_live(@_);
	confess 'no such slot' if !@found;
	return @found;
}
sub node { my ($test) = @_; return (live(KIND_NODE, $test))[0]; }
sub upper { my ($test) = @_; return (live(KIND_UPPER, $test))[0]; }
sub chained { return node(sub { slot($_[0], 'tid_chain') != INVALID }); }
sub plain { return node(sub { slot($_[0], 'up') == INVALID && slot($_[0], 'tid_chain') == INVALID }); }
sub free_slot
{
	my ($block) = (blocks(KIND_NODE))[-1];
	my ($i) = grep { slot($block * $slots + $_, 'state') == 0 } 0 .. $slots - 1;
	return $block * $slots + $i;
}

# A page of nodes that is neither the first nor the last.
sub node_block { return (blocks(KIND_NODE))[1]; }
# The first row of a node, as two halves of the block number and the offset.
sub put_row { my ($id, @tid) = @_; substr($$f, tid_at($id), 6) = pack('v3', @tid); return; }
sub put_row_flags { my ($id, $flags) = @_; substr($$f, tid_at($id) + 6, 2) = pack('v', $flags); return; }
# The lowest live slot of layer 1 and the first segment of the first chain.
sub low { return upper(sub { slot($_[0], 'level') == 1 }); }
sub first_segment { return slot(chained(), 'tid_chain'); }
# The second part of some node.
sub some_part { return ref_of(plain(), 1, 'id'); }

# The tower of a node, from above it.
sub tower
{
	my ($id) = @_;
	my @tower;
	for (my $up = slot($id, 'up'); $up != INVALID; $up = slot($up, 'up')) { push @tower, $up; }
	return @tower;
}
# Builds the tower of a node one slot higher, by a slot without edges that becomes the entry point: few towers have more
# than one by themselves. Returns the slot.
sub raise_tower
{
	my ($id) = @_;
	my $below = (tower($id))[-1];
	my ($new) = grep { slot($_, 'state') == 0 } map { my $b = $_; map { $b * $slots + $_ } 0 .. $slots - 1 } blocks(KIND_UPPER);
	substr($$f, at($new), $slot_size) = substr($$f, at($below), $slot_size);
	slot($new, 'level', slot($below, 'level') + 1);
	slot($new, 'edge_count', 0);
	slot($new, 'down', $below);
	slot($below, 'up', $new);
	if (meta('entry_level') < slot($new, 'level'))
	{
		meta('entry', $new);
		meta('entry_generation', slot($new, 'generation', 0));
		meta('entry_level', slot($new, 'level'));
	}
	return $new;
}
sub high_node
{
	my $id = node(sub { slot($_[0], 'up') != INVALID });
	raise_tower($id) if tower($id) < 2;
	return $id;
}

# ---- the damages ------------------------------------------------------------------

# name, what breaks the file, what the verifier must say, and what an ordered scan of everything must do: 'fails' with
# ERRCODE_INDEX_CORRUPTED, 'works' and finds all, or 'any' of the two (it may even find fewer rows); 'order': or the
# executor finds that a row is nearer than the index said. Then the form of the index, if it is not l2.
my @damages = (
	[ 'no damage', sub { }, undef, 'works' ],
	[ 'no damage, cosine', sub { }, undef, 'works', 'cosine' ],
	[ 'no damage, L1', sub { }, undef, 'works', 'l1' ],
	[ 'no damage, float16', sub { }, undef, 'works', 'float16' ],
	[ 'no damage, sq8', sub { }, undef, 'works', 'sq8' ],
	[ 'no damage, higher tower', sub { raise_tower(high_node()) }, undef, 'works' ],
	[ 'empty page at the end', sub { $$f .= "\0" x PAGE }, undef, 'works' ],
	# pages
	[ 'no pages', sub { $$f = '' }, qr/the index has no pages/, 'fails' ],
	[ 'empty meta page', sub { substr($$f, 0, PAGE) = "\0" x PAGE }, qr/block 0: the meta page is empty/, 'fails' ],
	[ 'magic', sub { meta('magic', 1) }, qr/block 0: is not the meta page of an hnsw index/, 'fails' ],
	[ 'dimensions', sub { meta('dim', 5) }, qr/block 0: 5 dimensions and m = 4 do not fit/, 'fails' ],
	[ 'm', sub { meta('m', 60000) }, qr/block 0: .* do not fit/, 'fails' ],
	[ 'metric', sub { meta('metric', 3) }, qr/another operator class/, 'fails' ],
	[ 'ef_construction of nothing', sub { meta('ef_construction', 0) }, qr/ef_construction is 0/, 'works' ],
	[ 'ef_construction', sub { meta('ef_construction', 65535) }, qr/ef_construction is 65535/, 'works' ],
	[ 'payload kind', sub { meta('payload', 7) }, qr/has payload 7 and 4 code bits/, 'fails' ],
	[ 'another payload kind', sub { meta('payload', 2) }, qr/slot sizes do not follow/, 'fails' ],
	[ 'code bits', sub { meta('code_bits', 200) }, qr/has payload 0 and 200 code bits/, 'fails' ],
	[ 'fewer code bits', sub { meta('code_bits', 1) }, qr/slot sizes do not follow/, 'fails' ],
	[ 'no code bits', sub { meta('code_bits', 0) }, qr/code bits|slot sizes do not follow/, 'fails' ],
	[ 'code bits without codes', sub { meta('code_bits', 2) }, qr/code bits|slot sizes do not follow/, 'fails', 'l1' ],
	[ 'coded dimensions', sub { meta('code_dim', 3) }, qr/slot sizes do not follow/, 'any' ],
	[ 'too many coded dimensions', sub { meta('code_dim', 500) }, qr/slot sizes do not follow/, 'fails' ],
	[ 'code size', sub { meta('code_size', 8) }, qr/slot sizes do not follow/, 'fails' ],
	[ 'most edges', sub { meta('max_edges', 7) }, qr/slot sizes do not follow/, 'fails' ],
	[ 'no edges', sub { meta('max_edges', 0) }, qr/slot sizes do not follow/, 'fails' ],
	[ 'slot size', sub { meta('slot_size', 128) }, qr/slot sizes do not follow/, 'fails' ],
	[ 'edges and slot size at once', sub { meta('max_edges', 5); meta('slot_size', $slot_size - 48) },
		qr/slot sizes do not follow/, 'any' ],
	[ 'no slots', sub { meta('slots', 0) }, qr/slot sizes do not follow/, 'fails' ],
	[ 'more slots', sub { meta('slots', $slots + 1) }, qr/slot sizes do not follow/, 'fails' ],
	[ 'fewer slots', sub { meta('slots', $slots - 1) }, qr/slot sizes do not follow/, 'any' ],
	[ 'payload size', sub { meta('payload_size', 8000) }, qr/slot sizes do not follow/, 'fails' ],
	[ 'meta page as another kind', sub { page(0, 'kind', KIND_NODE) }, qr/is not the meta page/, 'fails' ],
	[ 'page id', sub { page(node_block(), 'page_id', 0) }, qr/is not a vecann page/, 'fails' ],
	[ 'version', sub { page(node_block(), 'version', 9) }, qr/has format version 9/, 'fails' ],
	[ 'kind of another', sub { page(node_block(), 'kind', KIND_UPPER) }, qr/has level 0 on a page of kind upper/, 'fails' ],
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
	[ 'edge count', sub { slot(plain(), 'edge_count', 60000) }, qr/has 60000 edges where 6/, 'fails' ],
	[ 'edge count above', sub { slot(upper(), 'edge_count', 7) }, qr/has 7 edges where 6/, 'any' ],
	[ 'level of a node', sub { slot(plain(), 'level', 2) }, qr/has level 2 on a page of kind node/, 'fails' ],
	[ 'level 0 above', sub { slot(meta('entry'), 'level', 0) }, qr/has level 0 on a page of kind upper/, 'fails' ],
	[ 'inline rows', sub { slot(plain(), 'tid_count', 9999) }, qr/has 9999 inline rows/, 'fails' ],
	[ 'free slot in use', sub { slot(free_slot(), 'edge_count', 3) },
		qr/is free but its header is not empty/, 'works' ],
	[ 'slot freed', sub { slot(plain(), 'state', 0) }, qr/which is free.*visible but not in the index/s, 'any' ],
	[ 'slot deleted', sub { slot(plain(), 'state', 2) }, qr/is deleted but has rows/, 'any' ],
	[ 'rows lost', sub { slot(plain(), 'tid_count', 0) }, qr/has lost its inline rows.*not in the index/s, 'any' ],
	[ 'NaN', sub { slot(plain(), 'number', 'nan') }, qr/holds NaN or infinity/, 'any' ],
	[ 'another vector', sub { slot(plain(), 'number', 3) }, qr/which holds another vector/, 'order' ],
	[ 'no number above', sub { slot(upper(), 'number', 'nan') }, qr/holds NaN or infinity.*differs from that of/s, 'any' ],
	[ 'error below nought', sub { slot(plain(), 'error', -2) }, qr/its vector has the error -2/, 'order' ],
	[ 'error that is no number', sub { slot(plain(), 'error', 'nan') }, qr/its vector has the error NaN/, 'works' ],
	[ 'error that is no number, cosine', sub { slot(plain(), 'error', 'nan') }, qr/its vector has the error NaN/,
		'works', 'cosine' ],
	[ 'no number in half precision', sub { slot(plain(), 'half', 0x7e00) },
		qr/holds another vector|holds NaN or infinity/, 'any', 'float16' ],
	[ 'scale of half precision', sub { slot(plain(), 'step', 'nan') }, qr/holds NaN or infinity/, 'any', 'float16' ],
	[ 'scale of bytes', sub { slot(plain(), 'step', 'inf') }, qr/holds NaN or infinity/, 'any', 'sq8' ],
	[ 'lowest of bytes', sub { slot(plain(), 'low', 'nan') }, qr/holds NaN or infinity/, 'any', 'sq8' ],
	[ 'error of bytes', sub { slot(plain(), 'error', 'nan') }, qr/its vector has the error NaN/, 'works', 'sq8' ],
	[ 'error that is no number, L1', sub { slot(plain(), 'error', 'nan') }, qr/its vector has the error NaN/,
		'works', 'l1' ],
	[ 'not of unit norm', sub { slot(plain(), 'number', 3) }, qr/has the squared norm/, 'order', 'cosine' ],
	# edges
	[ 'edge out of the file', sub { edge(plain(), 0, 'id', INVALID - 1) }, qr/no slot of its kind/, 'fails' ],
	[ 'edge to another kind', sub { edge(plain(), 0, 'id', upper()) }, qr/no slot of its kind/, 'fails' ],
	[ 'edge to the meta page', sub { edge(plain(), 0, 'id', 0) }, qr/no slot of its kind/, 'fails' ],
	[ 'edge to a free slot', sub { edge(plain(), 0, 'id', free_slot()) }, qr/has an edge to .* which is free/, 'any' ],
	[ 'edge to itself', sub { edge(plain(), 0, 'id', plain()) }, qr/has an edge to itself/, 'works' ],
	[ 'edge twice', sub { my $n = plain(); edge($n, 0, 'id', edge($n, 1, 'id')) }, qr/has two edges to/, 'works' ],
	[ 'edge to an older generation', sub { edge(plain(), 0, 'generation', 9) },
		qr/has an edge to generation 9/, 'works' ],
	[ 'edge to another level', sub { my $high = (tower(high_node()))[1]; edge(low(), 0, 'id', $high) },
		qr/has an edge from level 1 to .* on level/, 'any' ],
	[ 'level sum of a code', sub { edge(plain(), 0, 'level_sum', 65535) }, undef, 'works' ],
	[ 'factor that is no number', sub { edge(plain(), 0, 'add', 'nan') }, qr/edge 0 has a factor that is no number/,
		'works' ],
	[ 'infinite factor', sub { edge(plain(), 1, 'add', '-inf') }, qr/edge 1 has a factor that is no number/, 'works' ],
	[ 'scale that is no number', sub { edge(plain(), 0, 'scale', 'nan') }, qr/edge 0 has a factor that is no number/,
		'works' ],
	[ 'infinite scale', sub { edge(plain(), 0, 'scale', 'inf') }, qr/edge 0 has a factor that is no number/, 'works' ],
	[ 'factors of all edges', sub {
			for my $n (live(KIND_NODE), live(KIND_UPPER))
			{
				edge($n, $_, 'add', 'nan') for 0 .. slot($n, 'edge_count') - 1;
			}
		}, qr/edge 5 has a factor that is no number/, 'works' ],
	# towers
	[ 'up out of the file', sub { slot(plain(), 'up', INVALID - 5) },
		qr/link up leads to .* no upper slot/, 'any' ],
	[ 'up to another tower', sub { slot(plain(), 'up', upper()) }, qr/whose link down leads elsewhere/, 'any' ],
	[ 'no link up', sub { slot(node(sub { slot($_[0], 'up') != INVALID }), 'up', INVALID) },
		qr/whose link up leads elsewhere/, 'any' ],
	[ 'no links up', sub { slot($_, 'up', INVALID) for live(KIND_NODE) }, qr/whose link up leads elsewhere/, 'works' ],
	[ 'down to another node', sub { slot(low(), 'down', plain()) }, qr/whose link up leads elsewhere/, 'any' ],
	[ 'down out of the file', sub { slot(meta('entry'), 'down', INVALID) },
		qr/link down leads to .* no slot of the layer below/, 'any' ],
	[ 'another vector above', sub { slot(upper(), 'number', 3) }, qr/its vector differs from that of/, 'works' ],
	# entry point
	[ 'no entry point', sub { meta('entry', INVALID) }, qr/the entry point is missing/, 'works' ],
	[ 'entry point out of the file', sub { meta('entry', 0xFFFFFF00) },
		qr/entry point is .* no slot of level/, 'fails' ],
	[ 'entry point on another level', sub { meta('entry_level', 9) }, qr/entry point is level 9/, 'fails' ],
	[ 'entry point on no level', sub { meta('entry_level', 65535) },
		qr/entry point is .* no slot of level 65535/, 'fails' ],
	[ 'entry point of another generation', sub { meta('entry_generation', 77) },
		qr/entry point is generation 77/, 'works' ],
	[ 'entry point out of the file, no seeds', sub { meta("entry", 0xFFFFFF00); meta("seed_root", 0) },
		qr/entry point is .* no slot of level/, 'fails' ],
	[ 'entry point of another generation, no seeds', sub { meta('entry_generation', 77); meta('seed_root', 0) },
		qr/entry point is generation 77/, 'fails' ],
	# seeds
	[ 'no seeds', sub { meta('seed_root', 0) }, undef, 'works' ],
	[ 'seed root of another kind', sub { meta('seed_root', node_block()) }, qr/the seed tree leads to it, but/, 'fails' ],
	[ 'seed root out of the file', sub { meta('seed_root', 99999) }, qr/the seed tree leads to it, but/, 'fails' ],
	[ 'number of seeds', sub { seed_page('count', 60000) }, qr/has 60000 seeds of level/, 'fails' ],
	[ 'no seed', sub { seed_page('count', 0) }, qr/has 0 seeds of level/, 'works' ],
	[ 'level of seeds', sub { seed_page('level', 40) }, qr/seeds of level 40/, 'fails' ],
	[ 'seeds above nothing', sub { seed_page('level', 1) }, qr/the seed tree leads to it, but/, 'fails' ],
	[ 'seeds out of the file', sub { seed($_, 'id', INVALID - 1) for 0 .. seed_page('count') - 1 },
		qr/which is no node page/, 'fails' ],
	[ 'seeds of another kind', sub { seed($_, 'id', upper()) for 0 .. seed_page('count') - 1 },
		qr/which is no node page/, 'fails' ],
	[ 'seed codes', sub { seed($_, 'scale', 'NaN') for 0 .. seed_page('count') - 1 },
		qr/the code of a seed has a factor that is no number/, 'works' ],
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
	# parts of vectors
	[ 'no damage, parts', sub { }, undef, 'works', 'parts' ],
	[ 'dimensions in the slot', sub { meta('head_dim', 16) }, qr/slot sizes do not follow/, 'fails', 'parts' ],
	[ 'no parts', sub { meta('part_count', 0) }, qr/slot sizes do not follow/, 'fails', 'parts' ],
	[ 'too many parts', sub { meta('part_count', 9) }, qr/slot sizes do not follow/, 'fails', 'parts' ],
	[ 'dimensions of a part', sub { meta('part_dim', 0) }, qr/slot sizes do not follow/, 'fails', 'parts' ],
	[ 'size of a part', sub { meta('part_size', 8) }, qr/slot sizes do not follow/, 'fails', 'parts' ],
	[ 'no parts on a page', sub { meta('parts', 0) }, qr/slot sizes do not follow/, 'fails', 'parts' ],
	[ 'more parts on a page', sub { meta('parts', 2) }, qr/slot sizes do not follow/, 'fails', 'parts' ],
	[ 'parts where there are none', sub { meta('part_count', 1) }, qr/slot sizes do not follow/, 'fails' ],
	[ 'list of parts where there are none', sub { meta('part_head', node_block()) }, qr/free list 3 is not in use/,
		'works' ],
	[ 'list of parts to another kind', sub { meta('part_head', node_block()) }, qr/free list leads to block/, 'works',
		'parts' ],
	[ 'page of parts of no kind', sub { page(int(some_part() / meta('parts')), 'kind', 77) },
		qr/goes on in part 0 of block \d+, which is no page of parts/, 'fails', 'parts' ],
	[ 'page of parts where there are none', sub { page((blocks(KIND_TID))[0], 'kind', KIND_PART) },
		qr/has page kind 5/, 'fails' ],
	[ 'part out of the file', sub { ref_of(plain(), 0, 'id', INVALID - 7) }, qr/which is no page of parts/, 'fails',
		'parts' ],
	[ 'part on a page of nodes', sub { ref_of(plain(), 0, 'id', meta('parts')) }, qr/block 1, which is no page of parts/,
		'fails', 'parts' ],
	[ 'part of another slot', sub {
			my ($a, $b) = live(KIND_NODE);
			ref_of($a, 1, $_, ref_of($b, 1, $_)) for qw(id generation);
		}, qr/which is (linked twice|not its own)/, 'fails', 'parts' ],
	[ 'parts in the wrong order', sub {
			my $n = plain();
			my @ids = map { ref_of($n, $_, 'id') } 0, 1;
			ref_of($n, $_, 'id', $ids[ 1 - $_ ]) for 0, 1;
		}, qr/which is not its own/, 'fails', 'parts' ],
	[ 'part freed', sub { part(some_part(), 'in_use', 0) }, qr/which is free/, 'fails', 'parts' ],
	[ 'part of another generation', sub { part(some_part(), 'generation', 5) }, qr/which is not its own/, 'fails', 'parts' ],
	[ 'part expected in another generation', sub { ref_of(plain(), 0, 'generation', 5) }, qr/which is not its own/, 'fails',
		'parts' ],
	[ 'part of another number', sub { part(some_part(), 'number', 0) }, qr/which is not its own/, 'fails', 'parts' ],
	[ 'part of a number that cannot be', sub { part(some_part(), 'number', 99) },
		qr/part 0 has number 99 where 2 are the most/, 'fails', 'parts' ],
	[ 'part of another vector', sub { part(some_part(), 'hash', 5) }, qr/which is not its own/, 'fails', 'parts' ],
	[ 'mark of a part', sub { part(some_part(), 'in_use', 7) }, qr/has the in-use mark 7/, 'works', 'parts' ],
	[ 'NaN in a part', sub { part(some_part(), 'element', 'nan') }, qr/holds NaN or infinity/, 'any', 'parts' ],
	[ 'another number in a part', sub { part(some_part(), 'element', 300) }, qr/which holds another vector/, 'order',
		'parts' ],
	[ 'part above', sub { part(ref_of(upper(), 0, 'id'), 'in_use', 0) }, qr/which is free/, 'any', 'parts' ],
	[ 'another number in a part above', sub { part(ref_of(upper(), 0, 'id'), 'element', 300) },
		qr/its vector differs from that of/, 'works', 'parts' ],
);

# ---- what is no damage ------------------------------------------------------------

# A slot without its links.
sub clear_edges { my ($id) = @_; slot($id, 'edge_count', 0); return; }
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
	substr($$f, at($id), HEADER) = pack('V', slot($id, 'generation') + 1) . "\0" x (HEADER - 4);
	return;
}

# States that an interrupted vacuum or insert may leave. All rows of the table are deleted.
my @remains = (
	[ 'node deleted, tower not yet', sub { mark_deleted(high_node()) } ],
	[ 'half of the tower deleted', sub { my $n = high_node(); mark_deleted($n); slot((tower($n))[0], 'state', 2) } ],
	[ 'node freed, tower not yet', sub {
			my $n = high_node();
			clear_edges($_) for live(KIND_NODE), all_live(KIND_UPPER);
			slot($_, 'state', 2) for tower($n);
			free_slot_of($n);
			meta('entry', (live(KIND_NODE))[0]);
			meta('entry_level', 0);
		} ],
	[ 'top of the tower freed first', sub {
			my $n = high_node();
			my @tower = tower($n);
			clear_edges($_) for live(KIND_NODE), all_live(KIND_UPPER);
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
	[ 'parts that no slot has', sub { $$f .= substr $$f, PAGE * (blocks(KIND_PART))[$_], PAGE for 0, 1 }, 'parts' ],
	[ 'node freed, parts not yet', sub {
			clear_edges($_) for live(KIND_NODE), all_live(KIND_UPPER);
			free_slot_of(node(sub { slot($_[0], 'up') == INVALID && slot($_[0], 'tid_chain') == INVALID
				&& $_[0] != meta('entry') }));
		}, 'parts' ],
);

my %form_of;
sub dim_of { my ($table) = @_; return $forms{ $form_of{$table} }{dim} // 4; }
sub rows_of { my ($table) = @_; return dim_of($table) == 4 ? 960 : 160; }

# ---- the server -------------------------------------------------------------------

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
	my $name =
	    $i < @damages ? $damages[$i][4]
	  : $tables[$i] =~ /remains_(\d+)/ ? $remains[$1][2]
	  : $tables[$i] =~ /fuzz_\d*[13]$/ ? 'parts'
	  :   undef;
	my $form = $forms{ $form_of{ $tables[$i] } = $name // 'l2' };
	my $dim = dim_of($tables[$i]);
	my $rows = rows_of($tables[$i]) - 60;
	$sql .= qq{
		CREATE TABLE $tables[$i] (id int, v vector($dim));
		INSERT INTO $tables[$i] SELECT i, (SELECT array_agg(random())::vector FROM generate_series(1, $dim + 0 * i))
			FROM generate_series(1, $rows) i;
		INSERT INTO $tables[$i] SELECT 10000 + i, array_fill(0.5, ARRAY[$dim])::vector FROM generate_series(1, 60) i;
		CREATE INDEX $tables[$i]_v ON $tables[$i] USING hnsw (v $form->{ops})
			WITH (m = 4, ef_construction = 16, payload = $form->{payload});
	};
}
# Vectors that fit a page as bytes only.
$sql .= q{
	CREATE TABLE wide (v vector(3000));
	INSERT INTO wide SELECT array_agg(i % 7)::vector FROM generate_series(1, 3000) i;
	CREATE INDEX wide_v ON wide USING hnsw (v vector_l2_ops) WITH (payload = sq8);
};
$node->safe_psql('postgres', $sql);
# Damages that raise a tower want one, and a free slot on a page of upper slots, those of parts an upper slot; how many of
# those there are is random.
for my $table (grep { !/^fuzz/ } @tables)
{
	use_form($form_of{$table});
	for (1 .. 100)
	{
		my $uppers = $node->safe_psql('postgres', "SELECT upper_slots FROM vecann_verify('${table}_v')");
		last if $uppers > 0 && ($parts || $uppers % $slots != 0);
		$node->safe_psql('postgres', "REINDEX INDEX ${table}_v");
	}
}
$node->safe_psql('postgres', "DELETE FROM $_") for grep { /^remains/ } @tables;
my $wide = $node->safe_psql('postgres', "SELECT pg_relation_filepath('wide_v')");
my @paths = map { $node->safe_psql('postgres', "SELECT pg_relation_filepath('${_}_v')") } @tables;
$node->stop;

# Changes the bytes of one file.
sub change_file
{
	my ($path, $change) = @_;
	rewrite_file(
		$node, $path,
		sub {
			($f) = @_;
			($slots, $slot_size, $edges) =
			  (meta('slots'), meta('slot_size'), PAYLOAD + PART_REF * meta('part_count') + meta('payload_size'))
			  if $parts;
			$change->();
		});
	return;
}

for my $i (0 .. $#damages)
{
	use_form($form_of{ $tables[$i] });
	change_file($paths[$i], $damages[$i][1]);
}
use_form('l2');
change_file($wide, sub { meta('payload', 0) });
for my $i (0 .. $#remains)
{
	use_form($form_of{"remains_$i"});
	change_file($paths[ @damages + $fuzzed + $i ], $remains[$i][1]);
}
use_form('l2');
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
				my $meta = $block == 0 ? 68 : $room;
				my $at = $block * PAGE + (rand() < 0.2 ? SPECIAL + int(rand 12) : CONTENTS + int(rand $meta));
				substr($$f, $at, 1) = chr(rand() < 0.5 ? int(rand 256) : 255);
				$done{$i} .= sprintf ' %d+%d', $block, $at % PAGE;
			}
		});
}
$node->start;

sub scan
{
	my ($table, $op) = @_;
	my $query = '[' . join(',', (0.1, 0.9, 0.2, 0.7) x (dim_of($table) / 4)) . ']';
	return try_sql($node, "SET enable_seqscan = off;\nSET enable_sort = off;\nSELECT count(*) FROM "
		  . "(SELECT id FROM $table ORDER BY v $op '$query') s;");
}

# Inserts, deletes and vacuums after the damage: an error is welcome, a crash or an endless loop is not.
sub work_on
{
	my ($table) = @_;
	my %states;
	my $rest = dim_of($table) - 1;
	for my $statement (
		"INSERT INTO $table SELECT i, (i * 0.01 || array_fill(0.5, ARRAY[$rest]))::vector FROM generate_series(1, 30) i",
		"INSERT INTO $table SELECT i, (0.5 || array_fill(0.5, ARRAY[$rest]))::vector FROM generate_series(1, 40) i",
		"DELETE FROM $table WHERE id % 3 = 0",
		"VACUUM (INDEX_CLEANUP ON) $table")
	{
		my ($out, $state) = try_sql($node, "$statement;");
		$states{$state} = 1;
	}
	delete @states{ '', 'XX001', 'XX002' };
	return join ' ', sort keys %states;
}

for my $i (0 .. $#damages)
{
	my ($name, undef, $expected, $scan) = @{ $damages[$i] };
	my ($problems, $state) = try_sql($node, "SELECT problems FROM vecann_verify('$tables[$i]_v');");
	if (defined $expected)
	{
		like($problems, $expected, "$name: found");
	}
	else
	{
		is($problems, '{}', "$name: nothing found");
	}
	is($state, '', "$name: the verifier itself does not fail");
	(my $count, $state) = scan($tables[$i], $forms{ $form_of{ $tables[$i] } }{op});
	if ($scan eq 'fails')
	{
		is($state, 'XX002', "$name: the scan fails");
	}
	elsif ($scan eq 'works')
	{
		is("$state$count", rows_of($tables[$i]), "$name: the scan works");
	}
	else
	{
		like($state, $scan eq 'order' ? qr/^(XX00[012])?$/ : qr/^(XX00[12])?$/, "$name: the scan ends well");
	}
	is(work_on($tables[$i]), '', "$name: writing ends well");
}

is(join(' ', try_sql($node, q{SELECT problems[1] ~ 'slot sizes do not follow' FROM vecann_verify('wide_v');})),
	't ', 'payload kind that fits no page: found');
is((try_sql($node, 'INSERT INTO wide SELECT v FROM wide;'))[1], 'XX002', 'payload kind that fits no page: writing fails');

for my $i (0 .. $#remains)
{
	my ($name) = @{ $remains[$i] };
	my $table = "remains_$i";
	my ($problems, $state) = try_sql($node, "SELECT problems FROM vecann_verify('${table}_v');");
	is("$problems$state", '{}', "left behind, $name: no problem");
	my $rest = dim_of($table) - 1;
	(my $count, $state) = scan($table, '<->');
	is("$count$state", '0', "left behind, $name: the scan works");
	$node->safe_psql('postgres',
		"INSERT INTO $table SELECT i, (i || array_fill(2, ARRAY[$rest]))::vector FROM generate_series(1, 30) i");
	is((scan($table, '<->'))[0], '30', "left behind, $name: inserts work");
	$node->safe_psql('postgres', "VACUUM $table");
	is( $node->safe_psql(
			'postgres', "SELECT nodes, heap_tids, deleted_slots, problems FROM vecann_verify('${table}_v')"),
		'30|30|0|{}', "left behind, $name: vacuum clears it");
}

# Row pointers that a scan has found dead.
$form_of{killed} = 'l2';
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
	my (undef, $state) = try_sql($node, "SELECT problems FROM vecann_verify('${table}_v');");
	is($state, '', "random damage $i: the verifier ends well") or diag($done{$i});
	(undef, $state) = scan($table, '<->');
	# 58P01: the server looks for a row far behind the end of the table. XX000: a vector that is nearer than its bytes say.
	like($state, qr/^(XX00[012]|58P01)?$/, "random damage $i: the scan ends well") or diag($done{$i});
	is(work_on($table), '', "random damage $i: writing ends well") or diag($done{$i});
	(undef, $state) = try_sql($node, "SELECT problems FROM vecann_verify('${table}_v');");
	is($state, '', "random damage $i: the verifier ends well after writing") or diag($done{$i});
}

# More problems than are listed.
$node->safe_psql(
	'postgres', q{
	CREATE TABLE many (id int, v vector(4));
	INSERT INTO many SELECT i, ARRAY[i, 0, 0, 0]::vector FROM generate_series(1, 300) i;
	CREATE INDEX many_v ON many USING hnsw (v vector_l2_ops) WITH (m = 4, ef_construction = 16, payload = float32);
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
