# A random schema with data: the table `t` with vectors, columns of many types and indexes on them; `u` with a few rows
# to join with; and, of some worlds, partitions, a policy or a view in front of `t`. Changes it between queries.
#
# An exhaustive world keeps its indexes below 1,000 nodes, dead ones included: a search at hnsw.ef_search = 1000 then
# visits all of them, and its answer is exact.
package World;

use strict;
use warnings FATAL => 'all';

use Pick;

use constant MOST_NODES => 950;

my %operators = (l2 => '<->', ip => '<#>', cosine => '<=>', l1 => '<+>');

# Every session begins with it. Settings that RESET ALL must keep are in PGOPTIONS.
use constant SESSION => "LOAD 'vecann';\n\\pset null ''\n";

# Once for a database.
use constant ONCE => q{
CREATE EXTENSION IF NOT EXISTS vecann;
DROP SCHEMA IF EXISTS w CASCADE;
DROP ROLE IF EXISTS random_sql_reader;
CREATE ROLE random_sql_reader;
};

sub new
{
	my ($class, %params) = @_;
	my $self = bless { exhaustive => $params{exhaustive}, session => $params{session}, next_id => 1, nodes => 0 }, $class;
	$self->{dim} = between(3, chance(70) ? 16 : 64);
	$self->{style} = pick('float', 'float', 'cluster', 'grid');
	$self->{kind} = pick('plain', 'plain', 'plain', 'partitioned', 'partitioned', 'rls', 'view');
	$self->{from} = $self->{kind} eq 'view' ? 'tv' : 't';
	$self->{rows} = $params{exhaustive} ? between(20, 800) : between(100, chance(15) ? 6000 : 2500);
	$self->{outer_rows} = between(3, 25);
	$self->_choose_indexes;
	$self->_create;
	return $self;
}

# ---- the schema ----------------------------------------------------------------

# What queries can be ordered by: the expression on `t` ("%s" stands for the alias), operator, what a row needs to be in an index,
# and, unless the query's vector is itself compared, the expression on it.
sub _distance
{
	my ($self, $class, $expression, $dim) = @_;
	my $in_index = "$expression IS NOT NULL";
	$in_index = "coalesce(vector_norm($expression) > 0, false)" if $class eq 'cosine';
	return { class => $class, op => $operators{$class}, expression => $expression, dim => $dim, in_index => $in_index };
}

sub _choose_indexes
{
	my ($self) = @_;
	my $dim = $self->{dim};
	my (@sql, @distances);
	my @conditions = ('', '', '', '', ' WHERE f', ' WHERE a < 8', ' WHERE v IS NOT NULL');
	for my $class (some(45, sort keys %operators))
	{
		push @distances, $self->_distance($class, '%s.v', $dim);
		my $m = pick(4, 8, 16, 16, 24);
		push @sql, sprintf 'CREATE INDEX t_v_%s ON t USING hnsw (v vector_%s_ops) WITH (m = %d, ef_construction = %d, '
		  . 'payload = %s, code_bits = %d)%s', $class, $class, $m, pick(2, 3, 4) * $m, pick('float32', 'float16', 'sq8', 'auto'),
		  pick(0, 0, 1, 2, 3, 4), pick(@conditions);
	}
	if (!@distances || chance(20))
	{
		my $class = pick(sort keys %operators);
		my $part = between(2, $dim);
		push @distances, $self->_distance($class, "subvector(%s.v, 1, $part)::vector($part)", $part);
		push @sql, "CREATE INDEX t_part ON t USING hnsw ((subvector(v, 1, $part)::vector($part)) vector_${class}_ops)";
	}
	if (chance(15))
	{
		# signs, by inverted lists, of which searches read all: see search_settings in Run.pm
		my $bits = "binary_quantize(%s)::bit($dim)";
		push @distances, { class => 'hamming', op => '<~>', expression => $bits =~ s/%s/%s.v/r, query => $bits =~ s/%s/%s::vector/r,
			dim => $dim, in_index => '%s.v IS NOT NULL' };
		push @sql, 'CREATE INDEX t_bits ON t USING ivfflat ((' . $bits =~ s/%s/v/r . ') bit_hamming_ops) WITH (lists = '
		  . pick(1, 2, 7) . ')';
	}
	push @sql, some(45,
		'CREATE INDEX t_a ON t (a)', 'CREATE INDEX t_b ON t (b)', 'CREATE INDEX t_ab ON t (a, b)',
		'CREATE INDEX t_c ON t (c text_pattern_ops)', 'CREATE INDEX t_lower ON t (lower(c))',
		'CREATE INDEX t_hash ON t USING hash (a)', 'CREATE INDEX t_f ON t (f)', 'CREATE INDEX t_d ON t (dt)',
		'CREATE INDEX t_j ON t USING gin (j)', 'CREATE INDEX t_path ON t USING gin (j jsonb_path_ops)',
		'CREATE INDEX t_arr ON t USING gin (arr)', 'CREATE INDEX t_ts ON t USING gin (ts)',
		'CREATE INDEX t_brin ON t USING brin (b) WITH (pages_per_range = 2)', 'CREATE INDEX t_x ON t (x DESC, a)',
		'CREATE INDEX t_some ON t (b) WHERE f', 'CREATE INDEX t_id ON t (id)');
	$self->{index_sql} = \@sql;
	$self->{distances} = \@distances;
	return;
}

sub _create
{
	my ($self) = @_;
	my $session = $self->{session};
	my $columns = "(id int NOT NULL, v vector($self->{dim}), a int, b int, c text, f bool, x float8, dt date, j jsonb, arr int[],
	ts tsvector)";
	my @before = (
		"SET client_min_messages = warning;\nDROP SCHEMA IF EXISTS w CASCADE;\nRESET client_min_messages;\nCREATE SCHEMA w;",
		'GRANT USAGE ON SCHEMA w TO random_sql_reader;');
	if ($self->{kind} ne 'partitioned')
	{
		push @before, "CREATE TABLE t $columns WITH (autovacuum_enabled = off, fillfactor = " . pick(100, 100, 60) . ');';
	}
	elsif (chance(50))
	{
		push @before, "CREATE TABLE t $columns PARTITION BY HASH (id);",
		  map { "CREATE TABLE t_$_ PARTITION OF t FOR VALUES WITH (MODULUS 3, REMAINDER $_);" } 0 .. 2;
	}
	else
	{
		push @before, "CREATE TABLE t $columns PARTITION BY RANGE (b);",
		  'CREATE TABLE t_0 PARTITION OF t FOR VALUES FROM (MINVALUE) TO (200);',
		  'CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (200) TO (600);', 'CREATE TABLE t_2 PARTITION OF t DEFAULT;';
	}
	push @before,
	  "CREATE TABLE u (id int PRIMARY KEY, v vector($self->{dim}), a int, b int, c text, f bool);",
	  'CREATE FUNCTION is_good(int) RETURNS bool IMMUTABLE LANGUAGE sql AS $$ SELECT $1 % 3 = 1 $$;',
	  'CREATE FUNCTION is_fine(int) RETURNS bool IMMUTABLE STRICT PARALLEL SAFE LANGUAGE plpgsql AS '
	  . '$$ BEGIN RETURN $1 % 5 < 2; END $$;',
	  'CREATE VIEW tv WITH (security_barrier) AS SELECT * FROM t WHERE a % 4 <> 1;';
	push @before, 'ALTER TABLE t ENABLE ROW LEVEL SECURITY;', 'CREATE POLICY p ON t USING (' . pick('a % 3 <> 0', 'b > 100', 'f') . ');'
	  if $self->{kind} eq 'rls';
	push @before, 'GRANT ALL ON ALL TABLES IN SCHEMA w TO random_sql_reader;';
	$session->must(join "\n", @before);
	my $early = between(0, 1);
	$session->must(join ";\n", @{ $self->{index_sql} }, '') if $early;
	$self->insert($early ? int $self->{rows} * 0.6 : $self->{rows});
	$session->must(join ";\n", @{ $self->{index_sql} }, '') if !$early;
	$self->insert($self->{rows} - int $self->{rows} * 0.6) if $early;
	my @outer = map {
		join "\t", $_, (chance(8) ? '\N' : vector_text($self->query_vector)), between(0, 14), between(0, 1000), random_word(),
		  pick('t', 'f')
	} 1 .. $self->{outer_rows};
	$session->must(join "\n", 'COPY u FROM STDIN;', @outer, '\.', 'ANALYZE;');
	return;
}

# ---- data ------------------------------------------------------------------------

# A new vector, or one that other rows have.
sub row_vector
{
	my ($self) = @_;
	my $known = $self->{known} //= [];
	return undef if chance(4);
	return [ (0) x $self->{dim} ] if chance(1);
	return $known->[ int rand @$known ] if @$known && chance(15);
	my $vector = random_vector($self->{dim}, $self->{style});
	push @$known, $vector if @$known < 30;
	return $vector;
}

# A vector to ask for: now and then one of the rows, or a zero vector.
sub query_vector
{
	my ($self, $dim) = @_;
	$dim //= $self->{dim};
	my $known = $self->{known} // [];
	return [ (0) x $dim ] if chance(2);
	return [ @{ $known->[ int rand @$known ] }[ 0 .. $dim - 1 ] ] if @$known && chance(12);
	return random_vector($dim, $self->{style});
}

sub _row
{
	my ($self) = @_;
	my $id = $self->{next_id}++;
	my $vector = $self->row_vector;
	my @words = map { random_word() } 1 .. between(0, 5);
	my %json = (k => between(0, 9), ($words[0] // 'z') => between(0, 2), tags => [ map { random_word() } 1 .. 2 ]);
	my $json = sprintf '{"k": %d, "%s": %d, "tags": ["%s", "%s"]}', $json{k}, ($words[0] // 'z'), between(0, 2), @{ $json{tags} };
	return join "\t", $id, (defined $vector ? vector_text($vector) : '\N'), (chance(5) ? '\N' : int 15 * rand()**2),
	  ($id + between(0, 40)) % 1000, (chance(5) ? '\N' : ucfirst(random_word()) . '_' . between(0, 9)),
	  (chance(5) ? '\N' : chance(30) ? 't' : 'f'), int(rand(100000)) / 100, '2020-01-01', (chance(8) ? '\N' : $json),
	  (chance(8) ? '\N' : '{' . join(',', map { between(0, 30) } 1 .. between(0, 4)) . '}'),
	  (chance(5) ? '\N' : join ' ', map { "'$_'" } @words);
}

sub insert
{
	my ($self, $count) = @_;
	return if $count <= 0;
	my @rows = map { $self->_row } 1 .. $count;
	s/2020-01-01/sprintf '2020-%02d-%02d', between(1, 12), between(1, 28)/e for @rows;
	$self->{nodes} += $count;
	$self->{session}->must(join "\n", 'COPY t FROM STDIN;', @rows, '\.');
	return;
}

# ---- changes -----------------------------------------------------------------------

sub vacuum
{
	my ($self) = @_;
	my $session = $self->{session};
	$session->must('VACUUM ' . pick('', '(ANALYZE) ', '(INDEX_CLEANUP ON) ') . 't');
	$self->{nodes} = $session->must('SELECT count(*) FROM t') if !$self->{snapshot_held};
	return;
}

# A random change of the data between two queries.
sub change
{
	my ($self) = @_;
	my $session = $self->{session};
	my $what = int rand 100;
	my $slice = 'id % ' . between(5, 60) . ' = ' . between(0, 4);
	if ($what < 25) { $self->insert(between(1, 40)) }
	elsif ($what < 45)
	{
		my $known = $self->{known};
		my $vector = @$known && chance(50) ? $known->[ int rand @$known ] : random_vector($self->{dim}, $self->{style});
		my $tag = $session->must("WITH s AS (UPDATE t SET v = " . quoted(vector_text($vector))
			  . " WHERE $slice RETURNING 1) SELECT count(*) FROM s");
		$self->{nodes} += $tag;
	}
	elsif ($what < 60)
	{
		my $set = pick('a = (a + 1) % 15', 'x = x + 1', 'f = NOT f', "c = c || 'z'", "j = j || '{\"k\": 3}'", 'arr = arr || 7');
		$self->{nodes} += $session->must("WITH s AS (UPDATE t SET $set WHERE $slice RETURNING 1) SELECT count(*) FROM s");
	}
	elsif ($what < 80) { $session->must("DELETE FROM t WHERE $slice") }
	elsif ($what < 95 || $self->{snapshot_held}) { $self->vacuum }
	else { $session->must('REINDEX TABLE t; ANALYZE t') }
	$self->keep_small if $self->{exhaustive};
	return;
}

# So that a search at the largest ef_search sees everything.
sub keep_small
{
	my ($self) = @_;
	return if $self->{nodes} < MOST_NODES;
	$self->vacuum;
	return if $self->{nodes} < MOST_NODES;
	return $self->{crowded} = 1 if $self->{snapshot_held};
	$self->{session}->must('DELETE FROM t WHERE id % 3 = 0');
	$self->vacuum;
	return;
}

my $verified = "FROM pg_index JOIN pg_class c ON c.oid = indexrelid JOIN pg_am m ON m.oid = relam, vecann_verify(indexrelid) r
	WHERE amname = 'hnsw' AND relkind = 'i'";

# What vecann_verify finds wrong in the indexes, as text.
sub verify
{
	my ($self) = @_;
	return $self->{session}->must(
		"SELECT indexrelid::regclass || ': ' || array_to_string(r.problems, ', ') $verified AND cardinality(r.problems) > 0");
}

# How many nodes searches cannot reach.
sub unreachable
{
	my ($self) = @_;
	return $self->{session}->must("SELECT coalesce(sum(r.unreachable), 0) $verified");
}

# The same by operator class: {class => [nodes, out of reach]}.
sub reach
{
	my ($self) = @_;
	my $text = $self->{session}->must("SELECT opcname, sum(r.nodes), sum(r.unreachable) "
		  . $verified =~ s/vecann_verify/pg_opclass o, vecann_verify/r . ' AND o.oid = indclass[0] GROUP BY 1');
	return map { my ($class, @counts) = split /\|/, $_; ($class => \@counts) } split /\n/, $text;
}

1;
