# Compares the answer of a query with the exact one.
#
# The exact answer is complete: all rows that pass, with no LIMIT, as "distance|in_index|group|rest". The answer under
# test has "distance|group|rest". Rows of equal distance may come in any order, and a LIMIT may cut anywhere among them;
# rows whose vector no index holds (NULL, or zero under the cosine distance) may be missing.
package Check;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';

our @EXPORT = qw(check_nearest check_equal);

sub lines_of
{
	my ($text) = @_;
	return split /\n/, $text;
}

# Sorts after all others, as NULL and NaN do.
sub is_last
{
	my ($distance) = @_;
	return $distance eq '' || $distance eq 'NaN';
}

# Is one distance less than another?
sub nearer
{
	my ($one, $other) = @_;
	return is_last($other) && !is_last($one) if is_last($one) || is_last($other);
	return $one < $other;
}

# %check: limit (undef: none), offset, ordered, ties (WITH TIES); level: 'exact', 'complete' (all rows that are asked for)
# or 'sound' (no wrong row); relaxed (late rows may be out of order). $counts gathers: rows, hits (rows that are among the nearest), late.
# Returns what is wrong, or nothing.
sub check_nearest
{
	my ($answer, $exact, $check, $counts) = @_;
	my (%left, %all, %found);
	for my $line (lines_of($exact))
	{
		my ($distance, $in_index, $group, $rest) = split /\|/, $line, 4;
		$left{"$distance|$group|$rest"}++;
		push @{ $all{$group} }, { d => $distance, in => $in_index eq 't' };
	}
	for my $line (lines_of($answer))
	{
		return "not a row of the exact answer, or there too often: $line" if !$left{$line};
		$left{$line}--;
		my ($distance, $group) = split /\|/, $line, 3;
		push @{ $found{$group} }, $distance;
	}
	for my $group (sort keys %all)
	{
		my $problem = check_group($found{$group} // [], $all{$group}, $check, $counts);
		return "group $group: $problem" if $problem;
	}
	return;
}

sub check_group
{
	my ($found, $all, $check, $counts) = @_;
	my @sorted = sort { nearer($a->{d}, $b->{d}) ? -1 : nearer($b->{d}, $a->{d}) ? 1 : 0 } @$all;
	my $offset = $check->{offset} // 0;
	my $limit = $check->{limit} // @sorted;
	my ($most, $least) = map { my $n = $_ - $offset; $n = $limit if $n > $limit; $n < 0 ? 0 : $n } scalar @sorted,
	  scalar grep { $_->{in} } @sorted;
	if ($check->{ties} && $most > 0)
	{
		return 'more rows than the ties of the last one' if @$found > $most && $found->[-1] ne $found->[ $most - 1 ];
		$most++ while $offset + $most < @sorted && $sorted[ $offset + $most ]{d} eq $sorted[ $offset + $most - 1 ]{d};
		$most = @sorted if $check->{level} ne 'exact';
	}
	return @$found . " rows, there should be $most at most" if @$found > $most;
	return @$found . " rows, there should be $least at least" if @$found < $least && $check->{level} ne 'sound';
	my @order = @$found;
	@order = sort { nearer($a, $b) ? -1 : nearer($b, $a) ? 1 : 0 } @order if !$check->{ordered};
	my $late = grep { nearer($order[$_], $order[ $_ - 1 ]) } 1 .. $#order;
	return "rows are not in the order of the distance" if $late && !$check->{relaxed};
	$counts->{late} += $late;
	my @wanted = map { $_->{d} } @sorted[ $offset .. $offset + @$found - 1 ];
	$counts->{rows} += @wanted;
	$counts->{hits} += @wanted ? grep { !nearer($wanted[-1], $_) } @order : 0;
	return if $check->{level} ne 'exact';
	for my $at (0 .. $#order)
	{
		next if is_last($wanted[$at]) && is_last($order[$at]);
		return "row $at is at distance $order[$at], there is one at $wanted[$at]" if $order[$at] ne $wanted[$at];
	}
	if ($check->{ties} && @$found && !is_last($found->[-1]))
	{
		return @$found . " rows, there should be $most" if @$found != $most;
	}
	return;
}

# For answers with no row left open: the same rows, in the same order if there is one. Where the search may miss rows,
# only their number counts (`total`: the column that holds counts; without it the number of rows).
sub check_equal
{
	my ($answer, $exact, $check, $counts) = @_;
	my @answer = lines_of($answer);
	my @exact = lines_of($exact);
	return if $check->{level} eq 'sound';
	if ($check->{level} eq 'complete')
	{
		my ($one, $other) = map { count_of($_, $check) } \@answer, \@exact;
		return $one == $other ? undef : "$one rows, there should be $other";
	}
	if (!$check->{ordered})
	{
		@answer = sort @answer;
		@exact = sort @exact;
	}
	return @answer . ' rows, there should be ' . @exact if @answer != @exact;
	for my $at (0 .. $#answer)
	{
		return "row $at is $answer[$at], not $exact[$at]" if $answer[$at] ne $exact[$at];
	}
	return;
}

sub count_of
{
	my ($rows, $check) = @_;
	return scalar @$rows if !defined $check->{total};
	my $sum = 0;
	$sum += (split /\|/, $_)[ $check->{total} ] || 0 for @$rows;
	return $sum;
}

1;
