# vecann_verify on a hot standby: works read-only while replay changes the index, and finds damage there. On the primary
# it waits for writers and can be cancelled.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', "autovacuum = off\nwal_consistency_checking = all\nhot_standby_feedback = on\nwal_keep_size = 8GB");
$primary->start;
$primary->safe_psql(
	'postgres', q{
	CREATE EXTENSION vecann;
	CREATE TABLE t (id serial, v vector(4));
	INSERT INTO t (v) SELECT (SELECT array_agg(random())::vector FROM generate_series(1, 4 + 0 * i))
		FROM generate_series(1, 2000) i;
	INSERT INTO t (v) SELECT '[1,2,3,4]' FROM generate_series(1, 100);
	CREATE INDEX t_v ON t USING hnsw (v vector_l2_ops) WITH (m = 4, ef_construction = 16);
	CREATE UNLOGGED TABLE u (v vector(4));
	CREATE INDEX u_v ON u USING hnsw (v vector_l2_ops);
});
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', 'max_standby_streaming_delay = -1');
$standby->start;
$primary->wait_for_catchup($standby);

my $verify = "SELECT nodes, heap_tids, problems FROM vecann_verify('t_v')";
is($standby->safe_psql('postgres', "BEGIN READ ONLY; $verify; COMMIT"), '2001|2100|{}', 'the standby agrees');
my ($status, undef, $err) = $standby->psql('postgres', "\\set VERBOSITY sqlstate\nSELECT vecann_verify('u_v')");
like($err, qr/55000/, 'an unlogged index has no content on a standby');

# Verify again and again while the primary writes and vacuums: clean, or told that the index keeps changing.
my $script = $primary->basedir . '/load.sql';
append_to_file(
	$script, q{
	INSERT INTO t (v) SELECT ARRAY[random(), random(), random(), random()]::vector FROM generate_series(1, 5);
	INSERT INTO t (v) SELECT '[1,2,3,4]' FROM generate_series(1, 5);
	DELETE FROM t WHERE id IN (SELECT id FROM t TABLESAMPLE SYSTEM (20) LIMIT 20);
	UPDATE t SET v = ARRAY[random(), 0, 1, 1]::vector WHERE id IN (SELECT id FROM t TABLESAMPLE SYSTEM (20) LIMIT 5);
});
my ($load_out, $load_err) = ('', '');
my $load = IPC::Run::start(
	[ 'pgbench', '-n', '-T', '12', '-c', '2', '-h', $primary->host, '-p', $primary->port, '-f', $script, 'postgres' ],
	'<', \undef, '>', \$load_out, '2>', \$load_err);
my ($clean, $changing, $end) = (0, 0, time() + 12);
my @wrong;
while (time() < $end)
{
	$primary->safe_psql('postgres', 'VACUUM t');
	my ($rc, $out, $error) = $standby->psql('postgres', "\\set VERBOSITY sqlstate\n$verify");
	if ($out =~ /\{\}/) { $clean++; }
	elsif ($error =~ /55006/) { $changing++; }
	else { push @wrong, "$out $error"; }
}
$load->finish;
is(join('', @wrong), '', 'no false alarm on the standby under replay');
note("clean $clean, changing $changing");
ok($clean > 0, 'the verifier comes to an end under replay');
$primary->wait_for_catchup($standby);
my $answer = $primary->safe_psql('postgres', $verify);
like($answer, qr/\{\}$/, 'the primary is clean');
is($standby->safe_psql('postgres', $verify), $answer, 'the standby agrees after the load');

# Locks on the primary.
my $writer = $primary->background_psql('postgres');
$writer->query_safe("BEGIN; INSERT INTO t (v) VALUES ('[1,1,1,1]')");
my $started = time();
(undef, undef, $err) =
  $primary->psql('postgres', "\\set VERBOSITY sqlstate\nSET statement_timeout = '200ms';\n$verify");
like($err, qr/57014/, 'waits for writers, can be cancelled');
ok(time() - $started < 5, 'at once');
$writer->query_safe('COMMIT');
$writer->quit;

# Damage that is on the standby only. Behind a restart point, so that no page image replayed at the start mends it.
$primary->safe_psql('postgres', 'CHECKPOINT');
$primary->wait_for_catchup($standby);
$standby->safe_psql('postgres', 'CHECKPOINT');
my $path = $standby->safe_psql('postgres', "SELECT pg_relation_filepath('t_v')");
$standby->stop;
open my $file, '+<:raw', $standby->data_dir . "/$path" or die "cannot open $path: $!";
seek $file, 8192 + 24 + 4, 0;
print $file "\x09";
close $file;
$standby->start;
like($standby->safe_psql('postgres', $verify), qr/block 1 slot 0: has state 9/, 'damage on the standby is found');
is($primary->safe_psql('postgres', "SELECT problems FROM vecann_verify('t_v')"), '{}', 'and is not on the primary');
$standby->stop;
$primary->stop;
done_testing();
