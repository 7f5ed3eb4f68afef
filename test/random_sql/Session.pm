# One psql that stays open: SQL goes in by a pipe, and comes back as text, errors in between.
package Session;

use strict;
use warnings FATAL => 'all';

use IPC::Open2;

# `log`: a file handle that everything sent is written to, for a later psql -f.
sub new
{
	my ($class, %params) = @_;
	my $self = bless { log => $params{log}, count => 0 }, $class;
	$self->{pid} = open2($self->{from}, $self->{to}, 'exec psql -XAtq 2>&1');
	binmode $self->{$_}, ':utf8' for qw(from to);
	$self->{to}->autoflush(1);
	return $self;
}

# Runs statements and psql commands; the parts of their output between the lines of "\echo ~". Dies when the connection
# is gone.
sub run
{
	my ($self, $text) = @_;
	my $end = '~~end ' . ++$self->{count};
	print { $self->{log} } "$text\n" if $self->{log};
	local $SIG{PIPE} = 'IGNORE';
	print { $self->{to} } "$text\n\\echo $end\n";
	my @parts = ([]);
	my $from = $self->{from};
	while (defined(my $line = <$from>))
	{
		chomp $line;
		return map { join "\n", @$_ } @parts if $line eq $end;
		if ($line eq '~') { push @parts, [] }
		else { push @{ $parts[-1] }, $line }
	}
	die "the connection is lost:\n" . join("\n", map { @$_ } @parts) . "\n";
}

# The same, where no error is expected.
sub must
{
	my ($self, $text) = @_;
	my @parts = $self->run($text =~ /(;|\\\.)\s*$/ ? $text : "$text;");
	my ($error) = grep { /ERROR:|FATAL:|PANIC:/ } @parts;
	die "$error\nin: " . substr($text, 0, 2000) . "\n" if defined $error;
	return wantarray ? @parts : $parts[0];
}

sub close
{
	my ($self) = @_;
	local $SIG{PIPE} = 'IGNORE';
	close $self->{to};
	close $self->{from};
	waitpid $self->{pid}, 0;
	return;
}

1;
