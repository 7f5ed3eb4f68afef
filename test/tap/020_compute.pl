# The compute library stays apart: vecann.so does not link it, a backend has one thread before and after it ran, and its
# check works.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

sub thread_count
{
	my ($session) = @_;
	my $pid = $session->query_safe('SELECT pg_backend_pid()');
	# threads that have been told to exit need not have got there
	my $threads;
	for (1 .. 100)
	{
		$threads = () = glob "/proc/$pid/task/*";
		last if $threads == 1;
		usleep(50_000);
	}
	return $threads;
}

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "max_parallel_maintenance_workers = 3");
$node->start;

my $libdir = $node->safe_psql('postgres', q{SELECT setting FROM pg_config() WHERE name = 'PKGLIBDIR'});
my ($linked) = run_command([ 'ldd', "$libdir/vecann.so" ]);
like($linked, qr/libc\.so/, 'ldd works');
unlike($linked, qr/faiss|blas|gomp|lapack/i, 'vecann.so links none of the compute libraries');
my ($symbols) = run_command([ 'nm', '-D', '--defined-only', "$libdir/vecann_compute.so" ]);
is(join(' ', $symbols =~ / T (\w+)/g), 'vecann_compute_api', 'vecann_compute.so exports one function');

SKIP:
{
	skip 'no /proc', 5 unless -d "/proc/$$/task";
	my $session = $node->background_psql('postgres');
	$session->query_safe("LOAD 'vecann'");
	is(thread_count($session), 1, 'one thread after LOAD');
	$session->query_safe('CREATE EXTENSION vecann');
	$session->query_safe(
		q{CREATE TABLE t (id int, v vector(3));
		  INSERT INTO t SELECT i, ARRAY[i, i % 7, i % 3]::vector FROM generate_series(1, 500) i;
		  CREATE INDEX ON t USING hnsw (v vector_l2_ops);
		  SET enable_seqscan = off});
	is($session->query_safe(q{SELECT id FROM t ORDER BY v <-> '[10,3,1]' LIMIT 1}), '10', 'a search works');
	is(thread_count($session), 1, 'one thread after a build and a search');
	is($session->query_safe('SELECT threads_used FROM vecann_compute_check(2)'), '2', 'the self test uses two threads');
	is(thread_count($session), 1, 'one thread after the self test');
	$session->quit;
}

is($node->safe_psql('postgres', 'SELECT threads_used FROM vecann_compute_check(100)'),
	'4', 'threads are held to what maintenance may use');
my ($ret, $out, $err) = $node->psql('postgres', "\\set VERBOSITY sqlstate\nSELECT vecann_compute_check(-1)");
like($err, qr/22023/, 'a negative number of threads is refused');

$node->safe_psql('postgres', 'CREATE ROLE alice LOGIN');
($ret, $out, $err) = $node->psql('postgres', 'SET ROLE alice; SELECT vecann_compute_check()');
like($err, qr/permission denied/, 'not for everybody');
$node->safe_psql('postgres', 'GRANT pg_monitor TO alice; SET ROLE alice; SELECT vecann_compute_check()');

$node->stop;
done_testing();
