# A small run of random SQL against the exact answer (see test/random_sql/random_sql.pl; scripts/random-sql runs more).
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/lib";
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VecannTest;

my $node = new_server('main', conf => "fsync = off\nshared_buffers = 64MB\nmax_parallel_workers = 4\n");
local @ENV{qw(PGHOST PGPORT PGDATABASE)} = ($node->host, $node->port, 'postgres');
for my $kind ('exhaustive', 'default')
{
	my $result = IPC::Run::run(
		[
			$^X, "$FindBin::RealBin/../random_sql/random_sql.pl",
			"--$kind", '--seconds', 20, '--logs', $PostgreSQL::Test::Utils::log_path, 300, 71
		],
		'<', '/dev/null', '>', \my $output, '2>&1');
	note($output);
	ok($result, "$kind answers") or diag(substr $output, 0, 8000);
	my ($count) = $output =~ /^$kind: (\d+) queries/m;
	cmp_ok($count // 0, '>=', 100, 'enough queries');
}
$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/, 'no crash');
done_testing();
