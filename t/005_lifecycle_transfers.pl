# Commands and signals while 20 transfers hang, and while the answer to a token request is outstanding.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactOnline;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

my @entities = qw(glaccount items accounts purchaseorders costcenter costunit);
my $exact = ExactOnline->start('--divisions', 20, '--records', 4000, '--fast', '--min-refresh-age', 1,
	'--error-limit', 0,
	'--minute-limit', 100000, '--day-limit', 10000000);
my $node = exact_cluster('main', conf => { 'exact_databricks.sync_interval' => "'1h'" });

# A hub whose feeds all wait for answers that never come; returns how many transfers hang.
sub hanging_hub
{
	my ($database, $before_hang) = @_;
	my $hanging = 0;

	$exact->clear_faults;
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, 'CREATE EXTENSION exact_databricks');
	wait_for_workers($node, $database);
	$exact->authorise($node, $database);
	$node->safe_psql($database, "SELECT * FROM exact.discover_divisions('erp')");
	$before_hang->($database) if $before_hang;
	$exact->fault('/(sync|hrm)/', 'hang', times => -1);
	$node->safe_psql($database,
		"UPDATE exact.division SET enabled = true; SELECT exact.enable_entities(division, "
		  . join(', ', map { "'$_'" } @entities)
		  . ") FROM exact.division");
	wait_until('20 transfers hang', sub { $hanging = $exact->get('faults')->{faults}[0]{hits};
		return $hanging >= 20; });
	return $hanging;
}

# reload, question, other databases, restart: nothing waits for the transfers
my $hanging = hanging_hub(
	'one',
	sub {
		my $division = ($exact->divisions)[0];

		# an answer of many times the size of the queue that it comes through
		$node->safe_psql('one', 'UPDATE exact.division SET enabled = true');
		like(
			$node->safe_psql('one',
				"SELECT length(a), jsonb_array_length(a::jsonb) FROM exact._ask('fetcher', 'fetch', '$division', "
				. "'sync/PurchaseOrder/PurchaseOrders', '\$filter=Timestamp gt 1L') AS a"),
			qr/^\d{6,}\|\d{2,}$/,
			'a large answer arrives whole');
	});
cmp_ok($hanging, '>=', 20, "$hanging transfers hang");
is( $node->safe_psql('one',
		"SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'exact %' AND (xact_start IS NOT NULL "
		. "OR backend_xmin IS NOT NULL)"),
	'0', 'no transaction is open meanwhile');
my $seconds = seconds_of(sub { like($node->safe_psql('one', "SELECT exact.me('erp')"), qr/CurrentDivision/,
	'a question is answered beside them') });
cmp_ok($seconds, '<', 2, sprintf('in time (%.2f s)', $seconds));
my $division = ($exact->divisions)[0];
$seconds = seconds_of(
	sub {
		like(
			error_of($node, 'one',
				"SET statement_timeout = '500ms'; SELECT exact._ask('fetcher', 'fetch', '$division', "
				. "'sync/Financial/GLAccounts', '\$filter=Timestamp gt 1L')"),
			qr/57014/,
			'a question that hangs can be cancelled');
	});
cmp_ok($seconds, '<', 3, sprintf('at once (%.2f s)', $seconds));
$seconds = seconds_of(
	sub { $node->safe_psql('postgres', 'CREATE DATABASE other'); $node->safe_psql('postgres', 'DROP DATABASE other') });
cmp_ok($seconds, '<', 5, sprintf('another database comes and goes (%.2f s)', $seconds));
$seconds = seconds_of(
	sub {
		$node->append_conf('postgresql.conf', 'exact_databricks.enabled = off');
		$node->reload;
		wait_for_workers($node, 'one', state => 'idle');
	});
cmp_ok($seconds, '<', 2, sprintf('a reload is seen (%.2f s)', $seconds));
$node->append_conf('postgresql.conf', 'exact_databricks.enabled = on');
$node->reload;
wait_for_workers($node, 'one');
my $pid = worker_pid($node, 'one', 'fetcher');
my $hits = $exact->get('faults')->{faults}[0]{hits};
$seconds = seconds_of(
	sub {
		$node->safe_psql('one', "SELECT pg_terminate_backend($pid)");
		wait_until('the fetcher is gone', sub { !kill(0, $pid) });
	});
cmp_ok($seconds, '<', 2, sprintf('a terminated fetcher is gone (%.2f s)', $seconds));

# DROP DATABASE, plain and forced
wait_for_workers($node, 'one');
wait_until('the next fetcher hangs too', sub { $exact->get('faults')->{faults}[0]{hits} >= $hits + 20 });
$seconds = seconds_of(sub { $node->safe_psql('postgres', 'DROP DATABASE one') });
cmp_ok($seconds, '<', 2, sprintf('DROP DATABASE with 20 hanging transfers (%.2f s)', $seconds));
hanging_hub('two');
$seconds = seconds_of(sub { $node->safe_psql('postgres', 'DROP DATABASE two WITH (FORCE)') });
cmp_ok($seconds, '<', 2, sprintf('DROP DATABASE WITH (FORCE) with 20 hanging transfers (%.2f s)', $seconds));

# DROP EXTENSION
hanging_hub('three');
$seconds = seconds_of(sub { $node->safe_psql('three', 'DROP EXTENSION exact_databricks') });
cmp_ok($seconds, '<', 5, sprintf('DROP EXTENSION with 20 hanging transfers (%.2f s)', $seconds));
$node->poll_query_until('postgres',
	"SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type IN ('exact fetcher', 'exact loader')");
$node->safe_psql('postgres', 'DROP DATABASE three');

# a token answer is outstanding: the fetcher waits for it, but not for ever
$exact->clear_faults;
$node->safe_psql('postgres', 'CREATE DATABASE four');
$node->safe_psql('four', 'CREATE EXTENSION exact_databricks');
wait_for_workers($node, 'four');
$exact->authorise($node, 'four');
$node->append_conf('postgresql.conf', "exact_databricks.refresh_after = '1s'");
$node->reload;
wait_until('the token is due',
	sub { $node->safe_psql('four', "SELECT clock_timestamp() - max(issued_at) > interval '1.2 s' "
		. "FROM exact.token") eq 't' });
$exact->fault('oauth2/token', 'hang', times => -1);
my $session = $node->background_psql('four');
$session->query_until(qr/asked/, "\\echo asked\nSELECT exact.me('erp');\n");
wait_until('the token call hangs', sub { $exact->get('faults')->{faults}[0]{hits} > 0 });
$seconds = seconds_of(sub { $node->safe_psql('postgres', 'DROP DATABASE four WITH (FORCE)') });
cmp_ok($seconds, '>', 5, sprintf('DROP DATABASE waits for an outstanding token answer (%.2f s)', $seconds));
cmp_ok($seconds, '<', 13, 'at most 12 s');
eval { $session->{run}->kill_kill; };

# a fast shutdown
hanging_hub('five');
$seconds = seconds_of(sub { $node->stop('fast') });
cmp_ok($seconds, '<', 3, sprintf('fast shutdown with 20 hanging transfers (%.2f s)', $seconds));

my $text = slurp_file($node->logfile);
unlike($text, qr/PANIC|TRAP|signal 11/, 'no crash in the log');
unlike($text, qr/still waiting for backend/, 'no barrier was held up');
is(join("\n", $text =~ /^.*FATAL:  terminating background worker "exact (?:fetcher|loader).*\n(?:.*\n){0,3}/mg), '',
	'no worker was started in vain');
done_testing();
