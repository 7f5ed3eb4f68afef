# Random input, from a seed: for each type, texts through its input function and bytes through its receive function (COPY
# BINARY), made from nothing and from good values with damage. Each is refused with an SQLSTATE that input may have, or is
# a value: one that text and binary form both give back as it was. The server crashes at nothing.
#   VECANN_FUZZ_ROUNDS   how much: 1 by default, some 3,000 inputs a type
#   VECANN_FUZZ_SEED     another seed
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $rounds = $ENV{VECANN_FUZZ_ROUNDS} // 1;
my $seed = $ENV{VECANN_FUZZ_SEED} // 20261121;
srand($seed);
note("seed $seed");

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "autovacuum = off\nrestart_after_crash = off\nlog_min_error_statement = panic\n");
$node->start;

# A type modifier that fits nothing but 3 dimensions is tried as well. Each row of the result counts inputs by what came of
# them; "lost" ones were taken, but their text or binary form is not them.
$node->safe_psql('postgres', q{
	CREATE EXTENSION vecann;
	CREATE TABLE texts (type text, input text);
	CREATE TABLE outcome (way text, type text, input text, code text, message text);
	CREATE FUNCTION try_text(kind text, input text) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		same boolean;
	BEGIN
		EXECUTE format('SELECT v::text::%1$s = v AND v::text::%1$s::text = v::text
			AND (%2$s_send(v::text::%1$s) = %2$s_send(v)) FROM (SELECT $1::%1$s AS v OFFSET 0) s', kind, split_part(kind, '(', 1))
		INTO same USING input;
		INSERT INTO outcome VALUES ('text', kind, input, CASE WHEN same THEN 'ok' ELSE 'lost' END);
	EXCEPTION WHEN OTHERS THEN
		INSERT INTO outcome VALUES ('text', kind, input, SQLSTATE, SQLERRM);
	END $$;
	CREATE FUNCTION try_file(kind text, file text) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		same boolean;
	BEGIN
		EXECUTE format('CREATE TEMP TABLE received (v %s)', kind);
		EXECUTE format('COPY received FROM %L (FORMAT binary)', file);
		EXECUTE format('SELECT bool_and(v::text::%1$s = v AND %2$s_send(v::text::%1$s) = %2$s_send(v)) FROM received',
			kind, split_part(kind, '(', 1)) INTO same;
		DROP TABLE received;
		INSERT INTO outcome VALUES ('binary', kind, file, CASE WHEN same IS NOT FALSE THEN 'ok' ELSE 'lost' END);
	EXCEPTION WHEN OTHERS THEN
		INSERT INTO outcome VALUES ('binary', kind, file, SQLSTATE, SQLERRM);
	END $$;
});

# ---- inputs ----------------------------------------------------------------------------

sub pick { return $_[ rand @_ ]; }

my @numbers = qw(0 -0 1 -1 1.5 1e3 1e-3 .5 5. +7 1e38 3.4028235e38 3.5e38 -1e39 1e400 1e-45 1e-46 65504 65519 65520 6e-8 1e-9
	0x1p-3 0x NaN nan inf -Infinity infinity 1e 1e+ -- 00012 1_000 0.1 16777217 2147483648 99999999999999999999 1d 1f ٣);
my @indices = qw(1 2 3 0 -1 7 2147483647 2147483648 -2147483649 1000000000 1000000001 99999999999999999999 01 +5 1.5 x);
my @spaces = ('', '', '', '', ' ', "\t", "\n", '  ', "\x0b", "\xc2\xa0");

sub dense_text
{
	my $text = pick(@spaces) . '[' . join(',', map { pick(@spaces) . pick(@numbers) . pick(@spaces) } 1 .. int rand 5) . ']' . pick(@spaces);
	return $text;
}
sub sparse_text
{
	my @elements = map { pick(@spaces) . pick(@indices, 1 .. 9) . pick(@spaces) . ':' . pick(@spaces) . pick(@numbers) } 1 .. int rand 5;
	return pick(@spaces) . '{' . join(',', @elements) . '}' . pick(@spaces) . '/' . pick(@spaces) . pick(3, 9, 9, @indices);
}
# Damage: bytes changed, removed, doubled, cut off.
sub damage
{
	my ($bytes, $alphabet) = @_;
	for (1 .. 1 + int rand 3)
	{
		my $at = int rand(1 + length $bytes);
		my $way = int rand 5;
		my $length = $at < length $bytes ? 1 : 0;
		my $byte = $alphabet ? substr($alphabet, rand length $alphabet, 1) : chr int rand 256;
		if ($way == 0) { substr($bytes, $at, $length) = $byte; }
		elsif ($way == 1) { substr($bytes, $at, $length) = ''; }
		elsif ($way == 2) { substr($bytes, $at, 0) = $byte; }
		elsif ($way == 3) { substr($bytes, $at, 0) = substr($bytes, rand(1 + length $bytes), 4); }
		else { $bytes = substr($bytes, 0, $at); }
	}
	return $bytes;
}

my @floats = (0, 0x80000000, 0x3f800000, 0xbf800000, 0x7f7fffff, 0x7f800000, 0xff800000, 0x7fc00000, 1, 0x7f800001, 0x42f60000);
my @halves = (0, 0x8000, 0x3c00, 0xbc00, 0x7bff, 0x7c00, 0xfc00, 0x7e00, 1, 0x7c01, 0x1234);
sub dense_bytes
{
	my ($letter, @values) = @_;
	my $n = int rand 5;
	my $claimed = rand() < .8 ? $n : pick(0, 1, 3, 0x7fff, 0x8000, 0xffff, 16000, 16001);
	return pack("n n $letter*", $claimed, rand() < .9 ? 0 : pick(1, 0xffff, 0x100), map { pick(@values) } 1 .. $n);
}
sub sparse_bytes
{
	my $n = int rand 5;
	my $next = 0;
	my @indices = rand() < .7 ? map { $next += int rand 4; $next++ } 1 .. $n : map { pick(0, 1, 2, 8, 9, 0xffffffff, 0x7fffffff) } 1 .. $n;
	return pack('N N N N* N*', pick(9, 9, 9, 3, 0, 1, 1000000000, 1000000001, 0xffffffff, 0x7fffffff),
		rand() < .8 ? $n : pick(0, 1, 16000, 16001, 0xffffffff, 0x7fffffff, 0x20000000), rand() < .9 ? 0 : pick(1, 0x80000000),
		@indices, map { pick(@floats) } 1 .. $n);
}
my %make = (
	vector => [ \&dense_text, sub { dense_bytes('N', @floats) } ],
	halfvec => [ \&dense_text, sub { dense_bytes('n', @halves) } ],
	sparsevec => [ \&sparse_text, \&sparse_bytes ]);
my $alphabet = "[]{},:/ +-.0123456789eExXnNaifpt\t_\\\"'";

# ---- the runs --------------------------------------------------------------------------

# What an input function may answer: syntax, range, data, program limits, what is no text in this encoding; and of binary
# COPY: bad format, bad length.
my %sensible = map { $_ => 1 } qw(22P02 22003 22000 54000 22021 22P03 08P01);
my $psql_file = $node->basedir . '/inputs.sql';

# COPY's frame: signature, flags, no extension; one row of one field; the end.
sub frame
{
	my ($bytes) = @_;
	return "PGCOPY\n\xff\r\n\0" . pack('N N', 0, 0) . pack('n N', 1, length $bytes) . $bytes . pack('n', 0xffff);
}

for my $type (sort keys %make)
{
	my ($text, $binary) = @{ $make{$type} };
	my $script = '';
	for my $n (1 .. 1500 * $rounds)
	{
		my $input = $n % 10 == 0 ? damage('', undef) . damage('', undef) : $n % 3 ? $text->() : damage($text->(), $alphabet);
		$input =~ s/\0//g;
		# bytes that are no UTF-8 are the server's to refuse, before we see them
		$input = join '', map { chr(ord($_) & 127) } split //, $input if $n % 10 == 0 || !utf8::decode(my $copy = $input);
		$input =~ s/\0/ /g;
		my $kind = $n % 4 ? $type : "$type(3)";
		(my $quoted = $input) =~ s/'/''/g;
		$quoted =~ s/\\/\\\\/g;
		$script .= "SELECT try_text('$kind', E'$quoted');\n";
	}
	for my $n (1 .. 1500 * $rounds)
	{
		my $bytes = $n % 10 == 0 ? join('', map { chr int rand 256 } 1 .. rand 40) : $n % 3 ? $binary->() : damage($binary->());
		my $file = $node->basedir . "/$type.$n";
		open my $out, '>:raw', $file or die "$file: $!";
		print $out frame($bytes);
		close $out or die "$file: $!";
		my $kind = $n % 4 ? $type : "$type(3)";
		$script .= "SELECT try_file('$kind', '$file');\n";
	}
	open my $out, '>:raw', $psql_file or die "$psql_file: $!";
	print $out "SET client_encoding = 'UTF8';\nSET standard_conforming_strings = on;\nBEGIN;\n$script COMMIT;\n";
	close $out or die "$psql_file: $!";
	my $result = $node->run_log([ 'psql', '-X', '-q', '-o', '/dev/null', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'),
		'-f', $psql_file ]);
	ok($result, "$type: all inputs were answered");

	my @counts = split /\n/, $node->safe_psql('postgres',
		"SELECT way, code, count(*) FROM outcome WHERE type LIKE '$type%' GROUP BY 1, 2 ORDER BY 1, 2");
	my %count;
	for my $line (@counts)
	{
		my ($way, $code, $n) = split /\|/, $line;
		$count{$way}{$code} = $n;
		ok($sensible{$code} || $code eq 'ok', "$type, $way: $n times $code");
	}
	for my $way ('text', 'binary')
	{
		cmp_ok($count{$way}{ok} // 0, '>', 50, "$type, $way: some are values, and come back");
		cmp_ok(scalar(keys %{ $count{$way} }), '>=', 4, "$type, $way: refused for different reasons");
	}
	diag($_) for split /\n/, $node->safe_psql('postgres', qq{
		SELECT way, type, quote_literal(input), code, message FROM outcome
		WHERE type LIKE '$type%' AND code NOT IN ('ok', '@{[ join "', '", sort keys %sensible ]}') LIMIT 10});
	unlink glob $node->basedir . "/$type.*";
}

is($node->safe_psql('postgres', 'SELECT count(*) FROM outcome'), 9000 * $rounds, 'nothing was lost');
unlike(slurp_file($node->logfile), qr/(PANIC|TRAP|terminated by signal)/, 'no crash');
$node->stop;
done_testing();
