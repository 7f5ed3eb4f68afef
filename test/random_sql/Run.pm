# Runs a query under random settings and its exact counterpart, and compares.
package Run;

use strict;
use warnings FATAL => 'all';

use Pick;
use Check;

use constant EXACT_SETTINGS => (
	'enable_indexscan = off', 'enable_indexonlyscan = off', 'enable_bitmapscan = off', 'max_parallel_workers_per_gather = 0',
	'vecann.enable_custom_scan = off', 'work_mem = \'64MB\'');

# Settings of the extension that not every version has.
my @optional = qw(vecann.enable_bitmap_search vecann.enable_exact_search vecann.enable_post_filter vecann.enable_row_codes);

# ---- settings ------------------------------------------------------------------------

sub random_settings
{
	my ($exhaustive, $query, $known) = @_;
	my @settings;
	push @settings, map { "$_ = off" } some(12, map { "enable_$_" } qw(bitmapscan hashjoin nestloop mergejoin material memoize
	  incremental_sort hashagg indexonlyscan indexscan tidscan));
	push @settings, map { "enable_$_ = off" } chance(50) ? some(70, qw(seqscan sort)) : ();
	push @settings, map { "$_ = on" } some(25, 'enable_partitionwise_join', 'enable_partitionwise_aggregate');
	push @settings, 'work_mem = ' . pick("'64kB'", "'64kB'", "'100kB'", "'1MB'") if chance(40);
	push @settings, 'random_page_cost = ' . pick(0.1, 1, 1.1, 20) if chance(25);
	push @settings, 'cpu_operator_cost = ' . pick(0.0001, 0.1, 1) if chance(20);
	push @settings, 'cpu_tuple_cost = ' . pick(0.0001, 0.3) if chance(10);
	push @settings, 'from_collapse_limit = 1', 'join_collapse_limit = 1' if chance(5);
	push @settings, 'cursor_tuple_fraction = ' . pick(0.01, 1) if $query->{wrap} eq 'cursor' && chance(60);
	if (chance(25))
	{
		push @settings, 'max_parallel_workers_per_gather = 2', 'parallel_setup_cost = 0', 'parallel_tuple_cost = 0',
		  'min_parallel_table_scan_size = 0', 'min_parallel_index_scan_size = 0';
		push @settings, 'parallel_leader_participation = off' if chance(30);
		push @settings, $known->{forced_parallel} . ' = ' . pick('on', 'regress') if chance(25);
	}
	push @settings, 'plan_cache_mode = ' . pick('force_generic_plan', 'force_generic_plan', 'auto', 'force_custom_plan');
	push @settings, 'jit = on', 'jit_above_cost = 0' if $known->{jit} && chance(1);
	push @settings, 'vecann.enable_custom_scan = off' if chance(15);
	push @settings, map { "$_ = " . pick('on', 'off') } some(35, grep { $known->{$_} } @optional);
	push @settings, search_settings($exhaustive, $query->{strict}), 'ivfflat.probes = 32768';
	return @settings;
}

sub search_settings
{
	my ($exhaustive, $strict) = @_;
	return ('hnsw.ef_search = 1000', 'hnsw.scan_mem_multiplier = 1000', 'hnsw.iterative_scan = ' . pick('relaxed_order', 'strict_order'))
	  if $exhaustive;
	my @settings;
	push @settings, 'hnsw.ef_search = ' . pick(1, 2, 10, 100, 400) if chance(30);
	push @settings, 'hnsw.scan_mem_multiplier = ' . pick(1, 2, 8) if chance(20);
	my $mode = $strict ? 'strict_order' : chance(20) ? pick('strict_order', 'off') : '';
	push @settings, "hnsw.iterative_scan = $mode" if $mode;
	push @settings, 'hnsw.max_scan_tuples = ' . between(0, 200) if chance(4);
	return @settings;
}

# How much of an answer can be checked: see Check.pm.
sub level_of
{
	my ($exhaustive, $settings) = @_;
	return 'exact' if $exhaustive;
	return (grep { /iterative_scan|max_scan_tuples/ } @$settings) ? 'sound' : 'complete';
}

# What this server and this version of the extension have.
sub known_settings
{
	my ($session) = @_;
	my %known = map { $_ => 1 } split /\n/, $session->must("SELECT name FROM pg_settings WHERE name ~ '^vecann[.]'");
	$known{forced_parallel} =
	  $session->must("SELECT name FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query') LIMIT 1");
	$known{jit} = $session->must('SELECT pg_jit_available()') eq 't';
	return \%known;
}

# ---- statements ------------------------------------------------------------------------

# The statements that give the answers, "\echo ~" before each: one answer for each set of parameters; pieces of a cursor.
sub statements
{
	my ($query, $in_transaction) = @_;
	my ($begin, $end) = $in_transaction ? ('SAVEPOINT one', 'ROLLBACK TO one') : ('BEGIN', 'ROLLBACK');
	my $wrap = $query->{wrap};
	my $text = $query->inlined($query->{sql}, 0);
	return cursor_statements($query, $text, $begin, $in_transaction ? 'RELEASE one' : 'COMMIT') if $wrap eq 'cursor';
	return "$begin;\nDECLARE c CURSOR FOR $text;\n\\echo ~\nFETCH 3 FROM c;\n"
	  . "\\echo ~\nUPDATE t SET x = x + 1 WHERE CURRENT OF c RETURNING id;\n\\echo ~\n$end;" if $wrap eq 'current of';
	return "$begin;\n\\echo ~\n$text;\n\\echo ~\n$end;" if $wrap eq 'rolled back';
	my $params = $query->{params};
	return "\\echo ~\n$text;\n\\echo ~" if !@$params || !$query->{prepared};
	return "PREPARE p (" . join(', ', map { $_->{type} } @$params) . ") AS $query->{sql};\n" . join('', map {
		my $set = $_;
		"\\echo ~\nEXECUTE p (" . join(', ', map { $_->{values}[$set] } @$params) . ");\n"
	} 0, 1, 0) . "\\echo ~\nDEALLOCATE p;";
}

sub cursor_statements
{
	my ($query, $text, $begin, $end) = @_;
	my $hold = $query->{hold} && $begin eq 'BEGIN';
	my $sql = "$begin;\nDECLARE c $query->{scroll} CURSOR " . ($hold ? 'WITH HOLD ' : '') . "FOR $text;\n";
	my @moves = @{ $query->{moves} };
	$sql .= fetch(shift @moves) if $hold;
	$sql .= "$end;\n" if $hold;
	$sql .= fetch($_) for @moves;
	return $sql . "\\echo ~\nCLOSE c;\n" . ($hold ? '' : "$end;");
}

sub fetch
{
	my ($direction, $count) = @{ $_[0] };
	return "\\echo ~\nFETCH " . ($direction > 0 ? 'FORWARD' : 'BACKWARD') . " $count FROM c;\n";
}

# What the cursor gave, put together; a row that comes again must be the same. (rows, problem)
sub cursor_rows
{
	my ($query, @pieces) = @_;
	my (@rows, $all);
	my $at = 0;
	for my $move (@{ $query->{moves} })
	{
		my ($direction, $count) = @$move;
		my @piece = split /\n/, shift @pieces;
		for my $row (@piece)
		{
			$at += $direction;
			return (undef, "row $at of the cursor is $row now, was $rows[$at]") if defined $rows[$at] && $rows[$at] ne $row;
			return (undef, 'a row behind the end of the cursor') if defined $all && $at > $all;
			$rows[$at] = $row;
		}
		next if $count ne 'ALL' && @piece == $count;
		if ($direction > 0) { $all //= $at; $at = $all + 1 }
		else { $at = 0 }
	}
	return (join("\n", @rows[ 1 .. $all ]));
}

# ---- one query ---------------------------------------------------------------------------

# Runs it; a report of what is wrong, or nothing. %with: world, session, known, exhaustive, counts, in_transaction.
sub check_query
{
	my ($query, %with) = @_;
	my ($session, $counts) = @with{qw(session counts)};
	$query->{prepared} = chance(60);
	my @settings = random_settings($with{exhaustive}, $query, $with{known});
	my %check = (%{ $query->{check} }, level => level_of($with{exhaustive}, \@settings));
	$check{relaxed} = !$with{exhaustive} && !grep { /strict_order|iterative_scan = off/ } @settings;
	my $role = $with{world}{kind} eq 'rls' ? "SET ROLE random_sql_reader;\n" : '';
	my $plan = $query->{sql} =~ /\$\d/ && $query->{prepared} && $query->{wrap} eq 'select' ? explain_prepared($query) : explain($query);
	my $set = join '', $role, map { "SET $_;\n" } @settings;
	my $reset = "RESET ALL;\nRESET ROLE;\n";
	my $before = $query->{before} ? "$query->{before};\n" : '';
	my @parts = $session->run($before . $set . $plan . statements($query, $with{in_transaction}) . "\n$reset");
	my $last = pop @parts;
	my ($explained, @answers) = @parts;
	count_plan($counts, $explained);
	my @sets = $query->{prepared} && $query->{wrap} eq 'select' && @{ $query->{params} } ? (0, 1, 0) : (0);
	my @exact = $session->run($role . join('', map { "SET $_;\n" } EXACT_SETTINGS) . join("\\echo ~\n", map {
		$query->inlined($query->{exact}, $_) . ";\n"
	} @sets[ 0 .. (@sets > 1 ? 1 : 0) ]) . $reset);
	my $problem = compare($query, \%check, \@answers, \@exact, \@sets, $counts, $explained . $last);
	if ($problem && $check{level} eq 'exact' && $with{world}->unreachable > 0)
	{
		# Rows of nodes that no search reaches come late, or, with strict_order, not at all.
		$check{relaxed} = !grep { /strict_order/ } @settings;
		$check{level} = $check{relaxed} ? 'complete' : 'sound';
		$problem = compare($query, \%check, \@answers, \@exact, \@sets, $counts, $explained . $last);
		$counts->{excused}++ if !$problem;
	}
	return if !$problem;
	return join "\n", "$problem", "-- settings\n$set-- query\n" . statements($query, $with{in_transaction}), "-- exact\n"
	  . $query->inlined($query->{exact}, 0), "-- plan\n$explained", (map { "-- answer\n" . shortened($_) } @answers),
	  (map { "-- exact answer\n" . shortened($_) } @exact), $last;
}

sub explain
{
	my ($query) = @_;
	return "EXPLAIN (COSTS off) " . $query->inlined($query->{sql}, 0) . ";\n";
}
sub explain_prepared
{
	my ($query) = @_;
	my $params = $query->{params};
	return "PREPARE e (" . join(', ', map { $_->{type} } @$params) . ") AS $query->{sql};\nEXPLAIN (COSTS off) EXECUTE e ("
	  . join(', ', map { $_->{values}[0] } @$params) . ");\nDEALLOCATE e;\n";
}

sub count_plan
{
	my ($counts, $plan) = @_;
	$counts->{plans}{custom}++ if $plan =~ /VectorScan/;
	$counts->{plans}{index}++ if $plan =~ /Index Scan using \S*(_v_|_part|subvector|_v\d*_idx)/;
	$counts->{plans}{bitmap}++ if $plan =~ /Bitmap/;
	$counts->{plans}{parallel}++ if $plan =~ /Gather/;
	while ($plan =~ /^\s*(?:Strategy|Search): (.*)$/mg) { $counts->{plans}{"strategy $1"}++ }
	return;
}

sub compare
{
	my ($query, $check, $answers, $exact, $sets, $counts, $others) = @_;
	for my $text (@$answers, @$exact, $others)
	{
		# the cursor had no third row
		next if $query->{wrap} eq 'current of' && $text =~ /is not positioned on a row/ && $answers->[0] !~ /\n.*\n/;
		return "an error: $1" if $text =~ /((?:ERROR|FATAL|PANIC|WARNING):.*)/;
	}
	return if $query->{exact_only} && $check->{level} ne 'exact' || $query->{not_missing} && $check->{level} eq 'sound';
	my @found = @$answers;
	if ($query->{wrap} eq 'cursor')
	{
		my ($rows, $problem) = cursor_rows($query, @found);
		return $problem if $problem;
		@found = ($rows);
	}
	elsif ($query->{wrap} eq 'current of')
	{
		my ($rows, $changed) = @found;
		my @rows = split /\n/, $rows;
		my ($id) = @rows ? $rows[-1] =~ /\|(\d+)$/ : ();
		return "the cursor stands at row $id, row $changed was changed" if @rows == 3 && $changed ne $id;
		@found = ($rows);
	}
	for my $at (0 .. $#$sets)
	{
		my $function = $check->{kind} eq 'nearest' ? \&check_nearest : \&check_equal;
		my $problem = $function->($found[$at], $exact->[ $sets->[$at] ], $check, $counts);
		return "parameters $sets->[$at]: $problem" if $problem;
	}
	return;
}

sub shortened
{
	my ($text) = @_;
	my @lines = split /\n/, $text;
	return join "\n", @lines if @lines <= 40;
	return join "\n", @lines[ 0 .. 39 ], '... ' . (@lines - 40) . ' more';
}

1;
