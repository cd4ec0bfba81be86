# What must not stop the fetcher: locks of others, configuration that changes under a request, refused confirmations,
# odd answers.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactOnline;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $exact = ExactOnline->start('--records', '200', '--divisions', '2', '--sync-page-size', '8', '--fast',
	'--minute-limit', '100000', '--day-limit', '10000000', '--error-limit', '0');
my $node = exact_cluster('main', conf => { 'exact_databricks.sync_interval' => "'1s'" });
my ($first, $second) = $exact->divisions;

sub one { return $node->safe_psql('postgres', $_[0]); }

sub calls_go_on
{
	my ($what, $seconds) = @_;
	my $since = $exact->last_call;

	wait_until("$what: calls go on", sub { $exact->calls($since, qr{/$first/sync/}) >= 2 }, $seconds // 15);
	return pass("$what: calls go on");
}

one('CREATE EXTENSION exact_databricks');
wait_for_workers($node, 'postgres');
$exact->authorise($node, 'postgres');
$exact->enable($node, 'postgres', [qw(glaccount items purchaseorders purchaseorderlines costcenter)], $first, $second);
is($exact->sync($node, 'postgres'), 'done', 'loaded');
my $pid = worker_pid($node, 'postgres', 'fetcher');

# a page comes when the app's address may no longer be used
$exact->post('random', count => 40, deletes => 0, seed => 3, division => $first, resource => 'logistics/Items');
my $fault = $exact->fault("/$first/sync/Logistics/Items", 'delay_after', seconds => 2, times => 1);
wait_until('a page is on the way', sub { $exact->get("faults/$fault")->{faults}[0]{hits} });
one('ALTER SYSTEM SET exact_databricks.insecure_loopback = off');
one('SELECT pg_reload_conf()');
wait_until('the address is refused', sub { $node->log_contains('read app') });
one('ALTER SYSTEM RESET exact_databricks.insecure_loopback');
one('SELECT pg_reload_conf()');
calls_go_on('address off and on');
is(worker_pid($node, 'postgres', 'fetcher'), $pid, 'in the same process');

# somebody holds a table while the fetcher is woken, or while it looks for a token
foreach my $table ('exact.app', 'exact.token', 'exact.request')
{
	my $session = $node->background_psql('postgres');

	$session->query_safe("BEGIN; LOCK TABLE $table IN ACCESS EXCLUSIVE MODE");
	$node->psql('postgres', "SELECT exact._wake('fetcher')");
	wait_until("$table is waited for", sub {
		one("SELECT count(*) FROM pg_locks l WHERE NOT granted AND relation = '$table'::regclass") > 0
			|| $node->log_contains('lock timeout') });
	$session->query_safe('COMMIT');
	$session->quit;
	calls_go_on("a lock on $table");
}

# deletes of one entity cannot be confirmed: the others are, and a request says what is wrong
$exact->clear_faults;
$exact->fault("/$first/purchaseorder/PurchaseOrders", 'status', status => 403, times => -1,
	body => { error => { code => '', message => { lang => '', value => 'Forbidden' } } });
my ($order) = grep { !$_->{deleted}
	&& $_->{row}{LineNumber} == 0 } $exact->truth($first, 'sync/PurchaseOrder/PurchaseOrders');
my ($center) = grep { !$_->{deleted} } $exact->truth($first, 'hrm/Costcenters');
$exact->post('change', division => $first, resource => 'purchaseorder/PurchaseOrders', op => 'delete',
	key => $order->{key});
$exact->post('change', division => $first, resource => 'hrm/Costcenters', op => 'delete', key => $center->{key});
one("SELECT exact.sync_now($first, 'costcenter')");
my $deleted = "SELECT deleted FROM exact.record WHERE division = $first AND entity = '%s' AND key = lower('%s')";
wait_until('the other entity is confirmed', sub { one(sprintf $deleted, 'costcenter', $center->{key}) eq 't' });
is(one(sprintf $deleted, 'purchaseorders', $order->{key}), 'f', 'the order is not deleted without a yes');
like(one("SELECT last_error FROM exact.feed_state WHERE division = $first AND feed = 'purchaseorders'"),
	qr/deletes of purchaseorders cannot be confirmed/, 'and its feed says so');
$exact->clear_faults;
one("SELECT exact.resume($first)");
wait_until('after resume the order is confirmed',
	sub { one(sprintf $deleted, 'purchaseorders', $order->{key}) eq 't' });
is(one("SELECT count(*) FROM exact.record WHERE division = $first AND parent = lower('$order->{key}') AND NOT deleted"),
	'0', 'with its lines');

# resume() tries what was refused at once
$fault = $exact->fault("/$first/sync/Financial/GLAccounts", 'status', status => 400, times => -1, body => {});
wait_until('the feed is refused',
	sub { one("SELECT errors FROM exact.feed_state WHERE division = $first AND feed = 'glaccount'") > 0 });
$exact->clear_faults;
my $since = $exact->last_call;
one("SELECT exact.resume($first, 'glaccount')");
wait_until('it is read again', sub { $exact->calls($since, qr{/$first/sync/Financial/GLAccounts}) > 0 }, 10);
pass('resume() tries at once');

# one entity of a group is paused: a request does not wait for it
one("SELECT exact.pause($first, 'purchaseorderlines')");
is($exact->sync($node, 'postgres'), 'done', 'a request ends beside a paused entity');
one("SELECT exact.resume($first, 'purchaseorderlines')");

# 429 for the day with a reset that lies behind: a cool-down all the same
$exact->fault("/$second/sync/", 'status', status => 429, times => -1, body => '',
	headers => { 'X-RateLimit-Limit' => '5000', 'X-RateLimit-Remaining' => '0', 'X-RateLimit-Reset' => '1000' });
$since = $exact->last_call;
wait_until('429 is met', sub { scalar grep { $_->{status} == 429 } $exact->calls($since, qr{/$second/}) });
calls_go_on('another division has used up its calls', 30) foreach 1 .. 2;
cmp_ok(scalar(grep { $_->{status} == 429 } $exact->calls($since, qr{/$second/})), '<=', 2, 'no loop on 429');
$exact->clear_faults;

# JSON nested too deep for a parser that recurses
$exact->fault("/$first/sync/Logistics/Items", 'status', status => 200, times => 2,
	headers => { 'Content-Type' => 'application/json' },
	body => '{"d":' . ('[' x 200_000));
wait_until('it is refused', sub { $node->log_contains('nested deeper than') });
calls_go_on('nested JSON');
is(worker_pid($node, 'postgres', 'fetcher'), $pid, 'still the same process');

# a column more: what was read is read again
one("SELECT exact.disable_entities($second, 'glaccount')");
one("INSERT INTO exact.entity_field (entity, name, selected) VALUES ('items', 'Notes', false)");
wait_until('items are read again from the start',
	sub { $node->log_contains("fields changed division=$first feed=items") });
is($exact->sync($node, 'postgres'), 'done', 'and the rest goes on')
	|| diag(one('SELECT state, result FROM exact.request ORDER BY id DESC LIMIT 3'));
unlike(slurp_file($node->logfile), qr/terminated by signal|stack depth/, 'nothing crashed');

$node->stop;
done_testing();
