# A random query on a world, with its exact counterpart and how the two compare (see Check.pm).
package Query;

use strict;
use warnings FATAL => 'all';

use Pick;

# sql, exact: texts with parameters as $1, $2 ...; params: type and two values of each; check: 'nearest' or 'equal' with
# its options; wrap: how it is run (see Run.pm); strict: wants rows in order; exact_only, not_missing: only to be compared
# where answers are exact, or where all rows come; changes: not for an older snapshot.
my %defaults = (wrap => 'select', strict => 0, exact_only => 0, not_missing => 0, changes => 0);

my @shapes = (
	[ 30, \&simple ], [ 6, \&tie_broken ], [ 8, \&cte ], [ 8, \&join_filter ], [ 9, \&lateral ], [ 5, \&grouped ],
	[ 3, \&distinct ], [ 3, \&with_ties ], [ 3, \&union ], [ 6, \&cursor ], [ 4, \&locking ], [ 6, \&update_or_delete ],
	[ 3, \&in_limited ], [ 3, \&descending ], [ 3, \&numbered ], [ 3, \&scalar ], [ 3, \&function ], [ 2, \&current_of ],
	[ 3, \&second_order ]);

sub new
{
	my ($class, $world) = @_;
	my $self = bless { %defaults, world => $world, params => [], table => $world->{from} }, $class;
	my $all = 0;
	$all += $_->[0] for @shapes;
	my $at = rand $all;
	my ($shape) = grep { ($at -= $_->[0]) < 0 } @shapes;
	$self->_choose_distance;
	$shape->[1]->($self);
	return $self;
}

# ---- parts -------------------------------------------------------------------------

# A value: as it is, or as a parameter. `make` gives a literal, each time another.
sub value
{
	my ($self, $type, $make) = @_;
	return $make->() . "::$type" if chance(45) || @{ $self->{params} } > 8;
	push @{ $self->{params} }, { type => $type, values => [ $make->(), $make->() ] };
	return '$' . @{ $self->{params} };
}

sub number
{
	my ($self, $low, $high) = @_;
	return $self->value('int', sub { between($low, $high) });
}

sub word
{
	my ($self) = @_;
	return $self->value('text', sub { quoted(random_word()) });
}

sub _choose_distance
{
	my ($self) = @_;
	my $world = $self->{world};
	my $from = pick(@{ $world->{distances} });
	my $dim = $from->{dim};
	my $value = $self->value('vector',
		sub { chance(2) ? 'NULL' : quoted(vector_text($world->query_vector($dim))) });
	if (chance(12))
	{
		my $id = $self->number(1, $world->{outer_rows});
		$value = "(SELECT " . ($dim == $world->{dim} ? 'z.v' : "subvector(z.v, 1, $dim)") . " FROM u z WHERE z.id = $id)";
	}
	$self->{d} = { %$from, value => $value };
	return;
}

# The distance of a row, and whether indexes hold it.
sub distance
{
	my ($self, $alias, $query) = @_;
	$query //= $self->{d}{value};
	$query = $self->{d}{query} =~ s/%s/$query/r if $self->{d}{query};
	my $column = $self->{d}{expression} =~ s/%s/$alias/gr;
	return $self->{swapped} ? "$query $self->{d}{op} $column" : "$column $self->{d}{op} $query";
}
sub in_index
{
	my ($self, $alias) = @_;
	return $self->{d}{in_index} =~ s/%s/$alias/gr;
}

# LIMIT and OFFSET for the query and for the check.
sub limit
{
	my ($self, %also) = @_;
	my $limit = chance(8) ? between(100, 1000) : chance(4) ? 0 : pick(1, 1, 5, 10, 10, between(1, 60));
	my $offset = chance(25) ? between(0, 30) : 0;
	my ($l, $o) = map {
		my $n = $_;
		$self->value('int', sub { $n })
	} $limit, $offset;
	my $text = $also{ties} ? "FETCH FIRST ($l) ROWS WITH TIES" : $also{always} || !chance(4) ? "LIMIT $l" : '';
	$limit = undef if $text eq '';
	$text .= " OFFSET $o" if $offset && !$also{ties};
	$text = "OFFSET $o $text" if $offset && $also{ties};
	return ($text, limit => $limit, offset => $offset, ties => $also{ties});
}

# What comes after distance and group, always with the id.
sub rest
{
	my ($self, $alias) = @_;
	return "$alias.id" if chance(60);
	my @more = ("$alias.a", "$alias.c", "$alias.f", "$alias.j->>'k'", "$alias.dt", "upper($alias.c)", "$alias.v IS NULL");
	push @more, "$alias.tableoid::regclass", "$alias.ctid", "$alias" if $self->{table} eq 't';
	return join ', ', "$alias.id", some(30, @more);
}

# ---- predicates -----------------------------------------------------------------------

my @leaves = (
	sub { my ($q, $t) = @_; "$t.a = " . $q->number(0, 15) },
	sub { my ($q, $t) = @_; "$t.a <> " . $q->number(0, 15) },
	sub { my ($q, $t) = @_; "$t.a < " . $q->number(0, 15) },
	sub { my ($q, $t) = @_; "$t.a IN (" . join(', ', map { $q->number(0, 15) } 1 .. between(1, 4)) . ')' },
	sub { my ($q, $t) = @_; "$t.a = ANY (" . $q->value('int[]', sub { "'{" . join(',', map { between(0, 15) } 1 .. between(0, 5)) . "}'" }) . ')' },
	sub { my ($q, $t) = @_; "$t.b BETWEEN " . $q->number(0, 900) . ' AND ' . $q->number(100, 1000) },
	sub { my ($q, $t) = @_; my $low = between(0, 950); "$t.b >= $low AND $t.b < $low + " . $q->number(1, 60) },
	sub { my ($q, $t) = @_; "$t.b > " . $q->number(0, 1000) },
	sub { my ($q, $t) = @_; "$t.b % " . between(2, 9) . ' = ' . $q->number(0, 3) },
	sub { my ($q, $t) = @_; "($t.a, $t.b) < (" . $q->number(0, 15) . ', ' . $q->number(0, 1000) . ')' },
	sub { my ($q, $t) = @_; "$t.id = ANY (" . $q->value('int[]', sub { "'{" . join(',', map { between(1, 900) } 1 .. between(1, 30)) . "}'" }) . ')' },
	sub { my ($q, $t) = @_; "$t.c LIKE '" . ucfirst(random_word()) . pick('%', '\_1%', '_3', '') . "'" },
	sub { my ($q, $t) = @_; "$t.c LIKE '%" . pick('a', 'er', 'or', '_2') . "%'" },
	sub { my ($q, $t) = @_; "$t.c NOT ILIKE '%" . pick('a', 'e', 'q') . "%'" },
	sub { my ($q, $t) = @_; "lower($t.c) = " . $q->word . " || '_" . between(0, 9) . "'" },
	sub { my ($q, $t) = @_; "length($t.c) > " . $q->number(4, 8) },
	sub { my ($q, $t) = @_; "$t.ts @@ " . $q->value('tsquery', sub { quoted(join pick(' & ', ' | ', ' | ', ' & !'), random_word(), random_word()) }) },
	sub { my ($q, $t) = @_; "$t.ts @@ plainto_tsquery('simple', " . $q->word . ')' },
	sub { my ($q, $t) = @_; "$t.j @> '{\"k\": " . between(0, 9) . "}'" },
	sub { my ($q, $t) = @_; "$t.j @> " . $q->value('jsonb', sub { "'{\"tags\": [\"" . random_word() . "\"]}'" }) },
	sub { my ($q, $t) = @_; "$t.j ? " . $q->word },
	sub { my ($q, $t) = @_; "$t.j->>'k' = '" . between(0, 9) . "'" },
	sub { my ($q, $t) = @_; "($t.j->>'k')::int > " . $q->number(0, 9) },
	sub { my ($q, $t) = @_; "$t.arr && " . $q->value('int[]', sub { "'{" . join(',', map { between(0, 30) } 1 .. between(1, 4)) . "}'" }) },
	sub { my ($q, $t) = @_; "$t.arr @> ARRAY[" . $q->number(0, 30) . ']' },
	sub { my ($q, $t) = @_; $q->number(0, 30) . " = ANY ($t.arr)" },
	sub { my ($q, $t) = @_; pick("$t.f", "NOT $t.f", "$t.f IS TRUE", "$t.f IS NOT TRUE", "$t.f = true", "$t.f IS NULL") },
	sub { my ($q, $t) = @_; "$t.dt " . pick('<', '>=') . ' ' . $q->value('date', sub { sprintf "'2020-%02d-15'", between(1, 12) }) },
	sub { my ($q, $t) = @_; "$t.x " . pick('<', '>') . ' ' . $q->value('float8', sub { between(0, 1000) }) },
	sub { my ($q, $t) = @_; "$t." . pick('a', 'c', 'j', 'arr', 'ts', 'v') . pick(' IS NULL', ' IS NOT NULL', ' IS NOT NULL') },
	sub { my ($q, $t) = @_; "coalesce($t.a, -1) < " . $q->number(-1, 15) },
	sub { my ($q, $t) = @_; "$t.a IS NOT DISTINCT FROM " . $q->number(0, 15) },
	sub { my ($q, $t) = @_; pick('is_good', 'is_fine') . "($t." . pick('a', 'b', 'id') . ')' },
	sub { my ($q, $t) = @_; pick('true', 'true', 'false', 'NULL::bool', '1 = 1', "$t.a = $t.a", "$t.id = -1") },
	sub { my ($q, $t) = @_; "CASE WHEN $t.f THEN $t.a < " . $q->number(0, 9) . " ELSE $t.b > " . $q->number(0, 900) . ' END' },
	sub { my ($q, $t) = @_; $q->distance($t) . ' < ' . $q->value('float8', sub { between(0, 12) }) },
	sub { my ($q, $t) = @_; "$t.a IN (SELECT z.a FROM u z WHERE z.id <= " . $q->number(1, 9) . ')' },
	sub { my ($q, $t) = @_; "$t.a NOT IN (SELECT z.a FROM u z WHERE z.f)" },
	sub { my ($q, $t) = @_; pick('', 'NOT ') . "EXISTS (SELECT FROM u z WHERE z.a = $t.a AND z.b > " . $q->number(0, 1000) . ')' },
	sub { my ($q, $t) = @_; "$t.b > (SELECT avg(z.b) FROM u z)" },
	sub { my ($q, $t) = @_; "$t.id IN (SELECT y.id FROM $q->{table} y WHERE y.a = " . $q->number(0, 15) . ')' },);

# A condition on the table; at times none.
sub predicate
{
	my ($self, $alias, $depth) = @_;
	$depth //= pick(0, 0, 1, 1, 2, 3);
	return pick(@leaves)->($self, $alias) if $depth == 0;
	my @parts = map { $self->predicate($alias, $depth - 1) } 1 .. between(1, 3);
	my $text = '(' . join(pick(' AND ', ' AND ', ' OR '), @parts) . ')';
	return chance(12) ? "NOT $text" : $text;
}
sub where
{
	my ($self, $alias, @also) = @_;
	push @also, $self->predicate($alias) if chance(85);
	return @also ? 'WHERE ' . join(' AND ', @also) : '';
}

# ---- shapes ------------------------------------------------------------------------------

sub _set
{
	my ($self, %what) = @_;
	@$self{ keys %what } = values %what;
	return;
}

sub simple
{
	my ($self) = @_;
	$self->{swapped} = chance(15);
	my ($limit, %check) = $self->limit;
	my $d = $self->distance('t');
	my $rest = $self->rest('t');
	my $rows = "FROM $self->{table} t " . $self->where('t');
	my $order = pick("ORDER BY $d", 'ORDER BY 1', "ORDER BY $d ASC NULLS LAST");
	$self->_set(
		sql => "SELECT $d, 0, $rest $rows $order $limit",
		exact => "SELECT $d, " . $self->in_index('t') . ", 0, $rest $rows",
		check => { kind => 'nearest', ordered => 1, %check });
	return;
}

sub tie_broken
{
	my ($self) = @_;
	my ($limit) = $self->limit;
	my $d = $self->distance('t');
	my $text = "SELECT $d, t.id FROM $self->{table} t " . $self->where('t', $self->in_index('t')) . " ORDER BY $d, "
	  . pick('t.id', 't.a, t.id', 't.id DESC') . " $limit";
	$self->_set(sql => $text, exact => $text, check => { kind => 'equal', ordered => 1 });
	return;
}

sub cte
{
	my ($self) = @_;
	my ($limit, %check) = $self->limit(always => 1);
	my $d = $self->distance('t');
	my $kept = pick('', 'MATERIALIZED', 'NOT MATERIALIZED');
	my $exact = "SELECT $d AS d, " . $self->in_index('t') . ", 0, t.id";
	if (chance(50))
	{
		my $rows = "FROM $self->{table} t " . $self->where('t');
		$self->_set(
			sql => "WITH s AS $kept (SELECT $d AS d, t.id $rows ORDER BY $d $limit) SELECT s.d, 0, s.id FROM s ORDER BY s.d",
			exact => "$exact $rows",
			check => { kind => 'nearest', ordered => 1, %check });
		return;
	}
	my $with = "WITH s AS $kept (SELECT y.id, y.a FROM $self->{table} y " . $self->where('y') . ')';
	my $rows = "FROM $self->{table} t " . $self->where('t', pick('t.id IN (SELECT s.id FROM s)',
		't.a IN (SELECT s.a FROM s)', 'EXISTS (SELECT FROM s WHERE s.id = t.id)', 't.id NOT IN (SELECT s.id FROM s)'));
	$self->_set(
		sql => "$with SELECT $d, 0, t.id $rows ORDER BY $d $limit",
		exact => "$with $exact $rows",
		check => { kind => 'nearest', ordered => 1, %check });
	return;
}

sub join_filter
{
	my ($self) = @_;
	my ($limit, %check) = $self->limit;
	my $d = $self->distance('t');
	my $on = pick('t.a = o.a', 't.a = o.a', 't.b = o.b', 't.b BETWEEN o.b AND o.b + 9', 't.id = o.b', 't.a = o.a AND t.f = o.f');
	my $other = chance(75) ? 'u' : '(SELECT * FROM u WHERE f)';
	$other = $self->{table} if $on eq 't.b = o.b' && chance(50);
	my $rows = "FROM $self->{table} t " . pick('', 'LEFT ') . "JOIN $other o ON $on " . $self->where('t');
	$self->_set(
		sql => "SELECT $d, 0, t.id, o.id $rows ORDER BY $d $limit",
		exact => "SELECT $d, " . $self->in_index('t') . ", 0, t.id, o.id $rows",
		check => { kind => 'nearest', ordered => 1, %check });
	return;
}

# The nearest rows of each row of u: the search is run again for each.
sub lateral
{
	my ($self) = @_;
	my $left = chance(25);
	my ($limit, %check) = $self->limit(always => 1);
	$left = 0 if $check{limit} == 0 || $check{offset};
	my $part = $self->{d}{dim} == $self->{world}{dim} ? 'o.v' : "subvector(o.v, 1, $self->{d}{dim})";
	my $d = $self->distance('t', $part);
	my @where = $left ? $self->in_index('t') : ();
	push @where, pick('t.a = o.a', 't.b > o.b', 't.a IN (o.a, o.a + 1)', 't.f = o.f', 't.id <> o.id') if chance(60);
	my $rows = "FROM $self->{table} t " . $self->where('t', @where);
	my ($join, $on) = $left ? ('LEFT JOIN', 'ON true') : ('CROSS JOIN', '');
	my $outer = 'WHERE o.id <= ' . $self->number(1, 12);
	$self->_set(
		sql => "SELECT s.d, o.id, s.id FROM u o $join LATERAL (SELECT $d AS d, t.id $rows ORDER BY $d $limit) s $on $outer",
		exact => "SELECT s.d, s.i, o.id, s.id FROM u o $join LATERAL (SELECT $d AS d, "
		  . $self->in_index('t') . " AS i, t.id $rows) s $on $outer",
		not_missing => $left,
		check => { kind => 'nearest', ordered => 0, %check });
	return;
}

sub grouped
{
	my ($self) = @_;
	my ($limit) = $self->limit(always => 1);
	my $d = $self->distance('t');
	my $rows = "(SELECT $d AS d FROM $self->{table} t " . $self->where('t', $self->in_index('t')) . " ORDER BY $d $limit) s";
	my $text = "SELECT s.d, count(*) FROM $rows GROUP BY s.d ORDER BY s.d";
	my %check = (total => 1, ordered => 1);
	if (chance(50))
	{
		$text = "SELECT count(*), max(s.d), min(s.d) FROM $rows";
		%check = (total => 0);
	}
	elsif (chance(30))
	{
		$text = "SELECT DISTINCT s.d FROM $rows";
		%check = ();
		$self->{exact_only} = 1;
	}
	$self->_set(sql => $text, exact => $text, check => { kind => 'equal', %check });
	return;
}

sub distinct
{
	my ($self) = @_;
	my ($limit, %check) = $self->limit;
	my $d = $self->distance('t');
	my $rows = "FROM $self->{table} t " . $self->where('t', $self->in_index('t'));
	$self->_set(
		sql => "SELECT DISTINCT $d, 0, t.a $rows ORDER BY $d $limit",
		exact => "SELECT DISTINCT $d, true, 0, t.a $rows",
		strict => 1,
		check => { kind => 'nearest', ordered => 1, %check });
	return;
}

sub with_ties
{
	my ($self) = @_;
	my ($limit, %check) = $self->limit(ties => 1);
	my $d = $self->distance('t');
	my $rows = "FROM $self->{table} t " . $self->where('t', $self->in_index('t'));
	$self->_set(
		sql => "SELECT $d, 0, t.id $rows ORDER BY $d $limit",
		exact => "SELECT $d, true, 0, t.id $rows",
		strict => 1,
		check => { kind => 'nearest', ordered => 1, %check });
	return;
}

sub union
{
	my ($self) = @_;
	my ($limit, %check) = $self->limit(always => 1);
	my $d = $self->distance('t');
	my @rows = map { "FROM $self->{table} t " . $self->where('t') } 0, 1;
	my ($sql, $exact) = map {
		my ($more, $end) = @$_;
		join ' UNION ALL ', map { "(SELECT $d AS d, $more $_, t.id $rows[$_] $end)" } 0, 1
	} [ '', "ORDER BY $d $limit" ], [ $self->in_index('t') . ',', '' ];
	$self->_set(sql => $sql, exact => $exact, check => { kind => 'nearest', ordered => 0, %check });
	return;
}

sub cursor
{
	my ($self) = @_;
	$self->simple;
	my $scroll = pick('SCROLL', 'SCROLL', 'NO SCROLL', '');
	my @moves = map { [ 1, between(1, 12) ] } 1 .. between(1, 3);
	splice @moves, between(1, scalar @moves), 0, [ -1, between(1, 15) ], [ 1, between(1, 9) ] if $scroll eq 'SCROLL';
	$self->_set(wrap => 'cursor', scroll => $scroll, moves => [ @moves, [ 1, 'ALL' ] ], hold => chance(15));
	return;
}

sub locking
{
	my ($self) = @_;
	$self->simple;
	$self->{sql} .= pick(' FOR UPDATE', ' FOR UPDATE OF t', ' FOR SHARE', ' FOR NO KEY UPDATE SKIP LOCKED');
	$self->_set(wrap => 'rolled back', changes => 1);
	return;
}

sub update_or_delete
{
	my ($self) = @_;
	my ($limit, %check) = $self->limit(always => 1);
	my $d = $self->distance('t');
	my $rows = "FROM $self->{table} t " . $self->where('t');
	my $near = "SELECT $d AS d, t.id $rows ORDER BY $d $limit";
	# Asked once: a second time FOR UPDATE would pass over the rows that the command has changed, and take others.
	$near = "WITH near AS MATERIALIZED ($near FOR UPDATE) SELECT * FROM near" if chance(33);
	$near = "($near) s";
	my $sql = pick(
		"UPDATE $self->{table} r SET x = r.x + 1 FROM $near WHERE r.id = s.id RETURNING s.d, 0, r.id",
		"UPDATE $self->{table} r SET v = r.v FROM $near WHERE r.id = s.id RETURNING s.d, 0, r.id",
		"DELETE FROM $self->{table} r USING $near WHERE r.id = s.id RETURNING s.d, 0, r.id",
		"WITH gone AS (DELETE FROM $self->{table} r USING $near WHERE r.id = s.id RETURNING s.d, r.id) SELECT d, 0, id FROM gone",
		"DELETE FROM $self->{table} r WHERE r.id IN (SELECT t.id $rows ORDER BY $d $limit) RETURNING " . $self->distance('r')
		  . ', 0, r.id');
	$self->_set(
		sql => $sql,
		exact => "SELECT $d, " . $self->in_index('t') . ", 0, t.id $rows",
		wrap => 'rolled back',
		changes => 1,
		check => { kind => 'nearest', ordered => 0, %check });
	return;
}

sub in_limited
{
	my ($self) = @_;
	my ($limit, %check) = $self->limit(always => 1);
	my ($d, $inner) = map { $self->distance($_) } 't', 'y';
	my $where = $self->where('y');
	$self->_set(
		sql => "SELECT $d, 0, t.id FROM $self->{table} t WHERE t.id IN (SELECT y.id FROM $self->{table} y $where ORDER BY $inner $limit)",
		exact => "SELECT $inner, " . $self->in_index('y') . ", 0, y.id FROM $self->{table} y $where",
		check => { kind => 'nearest', ordered => 0, %check });
	return;
}

# No index serves these; none must be taken for it.
sub descending
{
	my ($self) = @_;
	my ($limit) = $self->limit;
	my $d = $self->distance('t');
	my $order = pick("$d DESC", "$d NULLS FIRST", "-($d)", "$d USING >", "t.a, $d");
	my $text = "SELECT $d FROM $self->{table} t " . $self->where('t') . " ORDER BY $order $limit";
	$self->_set(sql => $text, exact => $text, check => { kind => 'equal', ordered => 1 });
	return;
}

sub numbered
{
	my ($self) = @_;
	my $d = $self->distance('t');
	my $text = "SELECT s.d, s.n FROM (SELECT $d AS d, row_number() OVER (ORDER BY $d) AS n FROM $self->{table} t "
	  . $self->where('t', $self->in_index('t')) . ") s WHERE s.n <= " . $self->number(1, 20) . ' ORDER BY s.n';
	$self->_set(sql => $text, exact => $text, check => { kind => 'equal', ordered => 1 });
	return;
}

sub scalar
{
	my ($self) = @_;
	my $part = $self->{d}{dim} == $self->{world}{dim} ? 'o.v' : "subvector(o.v, 1, $self->{d}{dim})";
	my $d = $self->distance('t', $part);
	my $where = $self->where('t', $self->in_index('t'), chance(50) ? 't.a = o.a' : ());
	my $text = "SELECT o.id, (SELECT $d FROM $self->{table} t $where ORDER BY $d LIMIT 1) FROM u o";
	$self->_set(sql => $text, exact => $text, check => { kind => 'equal' });
	return;
}

sub function
{
	my ($self) = @_;
	my $language = pick('sql', 'plpgsql');
	my $d = $self->distance('t', '$1');
	my @saved = @{ $self->{params} };
	my $where = chance(50) ? 'WHERE t.a = $3' : '';
	my $body = "SELECT $d, t.id FROM $self->{table} t $where ORDER BY $d LIMIT \$2";
	$body = "BEGIN RETURN QUERY $body; END" if $language eq 'plpgsql';
	my ($limit, $a) = (between(0, 30), $self->number(0, 14));
	my $query = $self->{d}{value};
	$self->{before} = "CREATE OR REPLACE FUNCTION nearest(vector, int, int) RETURNS TABLE (d float8, id int) LANGUAGE $language "
	  . "STABLE AS \$\$ #variable_conflict use_column $body \$\$" =~ s/#variable_conflict use_column/$language eq 'sql' ? '' : "\n#variable_conflict use_column\n"/er;
	my $exact = $self->distance('t');
	$self->_set(
		sql => "SELECT n.d, 0, n.id FROM nearest($query, $limit, $a) n",
		exact => "SELECT $exact, " . $self->in_index('t') . ", 0, t.id FROM $self->{table} t " . $where =~ s/\$3/$a/r,
		check => { kind => 'nearest', ordered => 1, limit => $limit, offset => 0 });
	return;
}

# The third row of a cursor is changed through it.
sub current_of
{
	my ($self) = @_;
	return $self->simple if $self->{world}{kind} ne 'plain';
	my $d = $self->distance('t');
	my $where = $self->where('t');
	$self->_set(
		sql => "SELECT $d, 0, t.id FROM t $where ORDER BY $d" . pick('', ' LIMIT 9') . ' FOR UPDATE',
		exact => "SELECT $d, " . $self->in_index('t') . ", 0, t.id FROM t $where",
		wrap => 'current of',
		changes => 1,
		check => { kind => 'nearest', ordered => 1, limit => 3, offset => 0 });
	return;
}

# Ordered by one distance, with another one beside it.
sub second_order
{
	my ($self) = @_;
	my ($limit, %check) = $self->limit;
	my $d = $self->distance('t');
	my $other = "round((t.v " . pick('<->', '<#>', '<+>') . " (SELECT z.v FROM u z ORDER BY z.id LIMIT 1))::numeric, 3)";
	my $rows = "FROM $self->{table} t " . $self->where('t');
	$self->_set(
		sql => "SELECT $d, 0, t.id, $other $rows ORDER BY $d $limit",
		exact => "SELECT $d, " . $self->in_index('t') . ", 0, t.id, $other $rows",
		check => { kind => 'nearest', ordered => 1, %check });
	return;
}

# ---- texts -----------------------------------------------------------------------------------

# A text with the parameters of one set (0 or 1) put in.
sub inlined
{
	my ($self, $text, $set) = @_;
	my $params = $self->{params};
	return $text =~ s/\$(\d+)/"($params->[$1 - 1]{values}[$set]::$params->[$1 - 1]{type})"/ger;
}

1;
