# Workers come with CREATE EXTENSION and go with DROP EXTENSION, committed or rolled back; settings; reload; shutdown.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = exact_cluster('main');
my $log = $node->logfile;

# nothing before the extension is there
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type IN ('exact fetcher', "
	. "'exact loader')"),
	'0', 'no worker in a database without the extension');

# rolled back
$node->safe_psql('postgres', 'BEGIN; CREATE EXTENSION exact_databricks; ROLLBACK');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_extension WHERE extname = 'exact_databricks'"), '0',
	'rolled back');

# committed
my $seconds = seconds_of(
	sub {
		$node->safe_psql('postgres', 'CREATE EXTENSION exact_databricks');
		wait_for_workers($node, 'postgres');
	});
cmp_ok($seconds, '<', 10, sprintf('workers run after CREATE EXTENSION (%.1f s)', $seconds));
is( $node->safe_psql('postgres',
		"SELECT string_agg(role || ' ' || state, ', ' ORDER BY role) FROM exact._workers()"),
	'fetcher running, launcher running, listener stopped, loader running',
	'the launcher and two workers, and a listener that has nothing to do');
is( $node->safe_psql('postgres',
		"SELECT string_agg(backend_type, ', ' ORDER BY backend_type) FROM pg_stat_activity WHERE application_name LIKE "
		. "'exact %'"),
	'exact fetcher, exact launcher, exact loader',
	'backend types and application names');
is($node->safe_psql('postgres', 'SELECT exact._version_library()'), '1.0', 'library version');
ok( eval { wait_until('no transaction is open', sub { $node->safe_psql('postgres',
		"SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'exact %' AND (xact_start IS NOT NULL "
		. "OR backend_xmin IS NOT NULL)") eq '0' }) },
	'no transaction is open while workers wait');

# questions
like(error_of($node, 'postgres', "SELECT exact._ask('fetcher', 'no such question')"), qr/does not know the question/,
	'a question reaches the fetcher');
like(error_of($node, 'postgres', "SELECT exact._ask('nobody', 'me')"), qr/there is no worker "nobody"/,
	'unknown worker');

# reload
my $pid = worker_pid($node, 'postgres', 'fetcher');
$node->append_conf('postgresql.conf', 'exact_databricks.enabled = off');
$node->reload;
ok(wait_for_workers($node, 'postgres', state => 'idle'), 'enabled = off: workers idle');
is($node->safe_psql('postgres', "SELECT DISTINCT reason FROM exact._workers() WHERE state = 'idle'"),
	'exact_databricks.enabled is off', 'and say why');
like(error_of($node, 'postgres', "SELECT exact._ask('fetcher', 'me')"), qr/EX001.*exact_databricks.enabled is off/s,
	'a question is refused with the reason');
$node->append_conf('postgresql.conf', 'exact_databricks.enabled = on');
$node->reload;
ok(wait_for_workers($node, 'postgres'), 'enabled = on: workers run');
is(worker_pid($node, 'postgres', 'fetcher'), $pid, 'the same process all along');

# restart
wait_until('the listener, which has nothing to do, is gone again',
	sub { worker_pid($node, 'postgres', 'listener') eq '' });
is($node->safe_psql('postgres', 'SELECT exact.restart_workers()'), '2 workers restart', 'restart_workers()');
wait_until('a new fetcher runs', sub { my $new = worker_pid($node, 'postgres', 'fetcher');
	$new ne '' && $new ne $pid });
ok(wait_for_workers($node, 'postgres'), 'workers run again');

# a cancelled worker goes on
$pid = worker_pid($node, 'postgres', 'loader');
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
like(error_of($node, 'postgres', "SELECT exact._ask('loader', 'no such question')"), qr/does not know the question/,
	'loader answers after a cancel');
is(worker_pid($node, 'postgres', 'loader'), $pid, 'it is the same process');

# a terminated worker comes back
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
wait_until('a new loader runs', sub { my $new = worker_pid($node, 'postgres', 'loader'); $new ne '' && $new ne $pid });
is($node->safe_psql('postgres', "SELECT restarts > 0 FROM exact._workers() WHERE role = 'loader'"), 't',
	'restarts are counted');

# DROP and CREATE in one transaction, both ways
wait_for_workers($node, 'postgres');
$pid = worker_pid($node, 'postgres', 'fetcher');
$node->safe_psql('postgres', 'BEGIN; DROP EXTENSION exact_databricks; CREATE EXTENSION exact_databricks; ROLLBACK');
is(worker_pid($node, 'postgres', 'fetcher'), $pid, 'rolled back: the fetcher did not notice');
$node->safe_psql('postgres', 'BEGIN; DROP EXTENSION exact_databricks; CREATE EXTENSION exact_databricks; COMMIT');
wait_until('another fetcher runs', sub { my $new = worker_pid($node, 'postgres', 'fetcher');
	$new ne '' && $new ne $pid });
ok(wait_for_workers($node, 'postgres'), 'committed: workers serve the new extension');

# DROP EXTENSION rolled back and committed
$node->safe_psql('postgres', 'BEGIN; DROP EXTENSION exact_databricks; ROLLBACK');
ok(wait_for_workers($node, 'postgres'), 'DROP EXTENSION rolled back: workers run');
$seconds = seconds_of(sub { $node->safe_psql('postgres', 'DROP EXTENSION exact_databricks') });
cmp_ok($seconds, '<', 5, sprintf('DROP EXTENSION while workers run (%.1f s)', $seconds));
$node->poll_query_until('postgres',
	"SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type IN ('exact fetcher', 'exact loader')");
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_namespace WHERE nspname = 'exact'"), '0', 'nothing is left');
$node->safe_psql('postgres', 'CREATE EXTENSION exact_databricks');
ok(wait_for_workers($node, 'postgres'), 'and again');

# shutdown
foreach my $mode ('fast', 'immediate', 'smart')
{
	$seconds = seconds_of(sub { $node->stop($mode) });
	cmp_ok($seconds, '<', 10, sprintf('%s shutdown (%.1f s)', $mode, $seconds));
	$node->start;
	ok(wait_for_workers($node, 'postgres'), "workers run after $mode shutdown and start");
}

$node->stop;
my $text = PostgreSQL::Test::Utils::slurp_file($log);
unlike($text, qr/PANIC|TRAP|segfault|signal 11/, 'no crash in the log');
unlike($text, qr/WARNING:  (?!terminating connection)/, 'no warning in the log');
done_testing();
