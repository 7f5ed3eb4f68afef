# Random choices, all from Perl's own generator, so that a seed gives the same run everywhere.
package Pick;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';

our @EXPORT = qw(chance pick between some quoted random_word random_vector vector_text WORDS);

use constant WORDS => qw(
	amber birch cedar delta ember fjord grove heath inlet jetty kelp lagoon marsh north ocean pine quarry river stone tide
);

# True in so many of a hundred cases.
sub chance
{
	my ($percent) = @_;
	return rand() * 100 < $percent;
}

sub pick
{
	return $_[ int rand @_ ];
}

# A whole number from one to another, both included.
sub between
{
	my ($low, $high) = @_;
	return $low + int rand($high - $low + 1);
}

# A random subset, in a random order.
sub some
{
	my ($percent, @from) = @_;
	my @found;
	for my $one (@from)
	{
		splice @found, int rand(@found + 1), 0, $one if chance($percent);
	}
	return @found;
}

sub quoted
{
	my ($text) = @_;
	return 'NULL' if !defined $text;
	$text =~ s/'/''/g;
	return "'$text'";
}

# Few words are frequent, most are rare.
sub random_word
{
	my @words = WORDS;
	return $words[ int @words * rand()**2 ];
}

# Elements of a vector. Styles: 'float', 'grid' (few values, so that distances tie), 'cluster'.
sub random_vector
{
	my ($dim, $style) = @_;
	return [ map { between(0, 2) } 1 .. $dim ] if $style eq 'grid';
	return [ map { int((rand() - 0.5) * 2000) / 1000 } 1 .. $dim ] if $style eq 'float';
	my $centre = between(1, 6);
	return [ map { int((($centre * ($_ + 2)) % 7 + rand() + rand() - 1) * 1000) / 1000 } 1 .. $dim ];
}

sub vector_text
{
	my ($vector) = @_;
	return '[' . join(',', @$vector) . ']';
}

1;
