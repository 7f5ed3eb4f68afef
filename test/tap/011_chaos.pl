# A minute of the chaos run (test/chaos): concurrent inserts, updates, deletes, vacuums, rebuilds and scans with kills of
# the server at random moments; nothing the heap has is lost, every index verifies after each recovery.
use strict;
use warnings FATAL => 'all';

use FindBin;
use PostgreSQL::Test::Utils;
use Test::More;

my ($bindir) = split /\n/, `$ENV{PG_CONFIG} --bindir`;
# a socket's path holds 107 bytes
my $dir = PostgreSQL::Test::Utils::tempdir_short();
my $seed = $ENV{CHAOS_SEED} // int rand 100000;
my ($out, $err) = ('', '');
my $ok = IPC::Run::run(
	[
		$^X, "$FindBin::RealBin/../chaos/chaos.pl", '--bindir', $bindir, '--dir', $dir, '--seconds', 60, '--round', 5,
		'--seed', $seed
	],
	'<', '/dev/null', '>', \$out, '2>', \$err);
ok($ok, "no problems (seed $seed)");
is($err, '', 'nothing on standard error');
my ($kills) = $out =~ /^kills: (\d+)/m;
cmp_ok($kills // 0, '>=', 4, 'the server was killed several times');
diag $_ for $out =~ /^(kills: .*|operations: .*)$/mg;
my ($writes, $scans) = $out =~ /^operations: (\d+) writes, .* (\d+) scans/m;
cmp_ok($writes // 0, '>', 100, 'it had written meanwhile');
cmp_ok($scans // 0, '>', 100, 'and read');
if (!$ok && -e "$dir/log")
{
	my $log = slurp_file("$dir/log");
	note 'the end of the server log: ', substr $log, length $log > 20000 ? -20000 : 0;
}
# last, where scripts/run-tap shows it: it closes with the problems
if ($ok)
{
	note $out;
}
else
{
	diag "$out$err";
}
done_testing();
