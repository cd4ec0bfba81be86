# kill -9 of workers, launcher and the whole server: work goes on by itself.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = exact_cluster('main', conf => { 'restart_after_crash' => 'on' });

$node->safe_psql('postgres', 'CREATE EXTENSION exact_databricks');
wait_for_workers($node, 'postgres');

foreach my $role ('fetcher', 'loader', 'launcher')
{
	my $pid = worker_pid($node, 'postgres', $role);

	is(kill('KILL', $pid), 1, "kill -9 of the $role");
	my $seconds = seconds_of(
		sub {
			wait_until("another $role runs", sub { my $new = worker_pid($node, 'postgres', $role);
				$new ne '' && $new ne $pid });
			wait_for_workers($node, 'postgres');
		});
	cmp_ok($seconds, '<', 30, sprintf('all workers run again (%.1f s)', $seconds));
}

# The launcher alone ends: its workers go on, the next launcher finds them.
my $launcher = worker_pid($node, 'postgres', 'launcher');
my $fetcher = worker_pid($node, 'postgres', 'fetcher');
my $loader = worker_pid($node, 'postgres', 'loader');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($launcher)");
wait_until('another launcher runs', sub { my $new = worker_pid($node, 'postgres', 'launcher');
	$new ne '' && $new ne $launcher });
is(worker_pid($node, 'postgres', 'fetcher'), $fetcher, 'the fetcher went on under the new launcher');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($loader)");
wait_until('another loader runs', sub { my $new = worker_pid($node, 'postgres', 'loader');
	$new ne '' && $new ne $loader });
ok(wait_for_workers($node, 'postgres'), 'the new launcher replaces a worker that it did not start');
is( $node->safe_psql('postgres',
		"SELECT count(*) FROM pg_stat_activity WHERE backend_type IN ('exact fetcher', 'exact loader')"),
	'2', 'one worker of each role');

# Workers that a former launcher started also go with the extension.
$launcher = worker_pid($node, 'postgres', 'launcher');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($launcher)");
wait_until('another launcher runs', sub { my $new = worker_pid($node, 'postgres', 'launcher');
	$new ne '' && $new ne $launcher });
$node->safe_psql('postgres', 'DROP EXTENSION exact_databricks');
$node->poll_query_until('postgres',
	"SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type IN ('exact fetcher', 'exact loader')");
ok(1, 'no worker is left after DROP EXTENSION');
$node->safe_psql('postgres', 'CREATE EXTENSION exact_databricks');
wait_for_workers($node, 'postgres');

# kill -9 of the postmaster
$node->kill9;
wait_until(
	'the server starts again',
	sub {
		return 1 if $node->start(fail_ok => 1);
		$node->stop('fast', fail_ok => 1);	# the old processes still go
		return 0;
	});
my $seconds = seconds_of(sub { wait_for_workers($node, 'postgres') });
cmp_ok($seconds, '<', 30, sprintf('workers run after kill -9 of the postmaster (%.1f s)', $seconds));

# A standby has no workers until it is promoted.
$node->stop;
my $primary = exact_cluster('primary', init => { allows_streaming => 1 });
$primary->safe_psql('postgres', 'CREATE EXTENSION exact_databricks');
wait_for_workers($primary, 'postgres');
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
$primary->wait_for_catchup($standby);
is( $standby->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'exact %'"),
	'0', 'nothing of the hub runs on a standby');
like(error_of($standby, 'postgres', "SELECT exact._ask('fetcher', 'me')"), qr/EX001/, 'a question there says so');
$primary->stop('immediate');
$standby->promote;
ok( wait_until(
		'workers are there after promotion',
		sub {
			$standby->safe_psql('postgres',
				"SELECT count(*) FROM exact._workers() WHERE role <> 'launcher' AND pid IS NOT NULL") eq '2';
		}),
	'workers are there after promotion');
$standby->stop;
done_testing();
