# Subscriptions at Exact Online: they follow the enabled entities by themselves, are repaired, and say what is missing.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactOnline;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $exact = ExactOnline->start('--records', '140', '--divisions', '2', '--fast', '--minute-limit', '100000',
	'--day-limit', '10000000', '--error-limit', '0');
my $node = exact_cluster('main');
my ($first, $second) = $exact->divisions;
my $receiver = answering_server();		# what stands for a receiver elsewhere
my $url = $receiver->{url};

sub one { return $node->safe_psql('postgres', $_[0]); }

sub answers { return write_file($receiver->{status_file}, join("\n", @_)); }

# state of a topic, and its cause
sub topic { return one("SELECT state || coalesce(' ' || cause, '') FROM exact.subscription WHERE division = $first "
	. "AND topic = '$_[0]'"); }

sub until_topic
{
	my ($name, $wanted) = @_;

	wait_until("$name is $wanted", sub { topic($name) eq $wanted }, 30);
	return pass("$name is '$wanted'");
}

# topics that Exact Online would send, of a division
sub at_exact
{
	my ($division, %filter) = @_;
	my $query = join('', map { "&$_=$filter{$_}" } sort keys %filter);

	return join(' ',
		sort map { $_->{topic} } @{ $exact->get("subscriptions?division=$division$query")->{subscriptions} });
}

sub subscribe
{
	my $id = one('SELECT exact.subscribe(' . ($_[0] // '') . ')');
	my $state = one("SELECT exact.wait($id, '60 s')");

	return "$state: " . one("SELECT result FROM exact.request WHERE id = $id");
}

sub webhook_calls { return $exact->calls($_[0], qr{/webhooks/WebhookSubscriptions}); }

one('CREATE EXTENSION exact_databricks');
wait_for_workers($node, 'postgres');

# a dump that is loaded in parallel: its subscriptions may come before its apps and divisions
one("INSERT INTO exact.subscription (division, topic) VALUES (1, 'Items')");
my $pid = worker_pid($node, 'postgres', 'fetcher');
one('SELECT exact.restart_workers()');
wait_until('another fetcher runs',
	sub { my $new = worker_pid($node, 'postgres', 'fetcher'); $new ne '' && $new ne $pid });
wait_for_workers($node, 'postgres');
error_of($node, 'postgres', "SELECT exact._ask('fetcher', 'nothing')") for 1 .. 2;	# a turn lies between two answers
is(one('SELECT count(*) FROM exact.subscription'), '1', 'without an app no subscription is taken for unwanted');
$exact->authorise($node, 'postgres');
wait_until('with one it is', sub { one('SELECT count(*) FROM exact.subscription') eq '0' });
like(error_of($node, 'postgres', 'SELECT exact.subscribe()'), qr/EX018: nothing to subscribe to/,
	'nothing is enabled yet');
$exact->enable($node, 'postgres', [qw(glaccount items accounts costcenter)], $first);
one("INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema) VALUES ('lake', 'http://127.0.0.1:9', "
	. "'w1', 'main', 'exact')");
write_file("$node->{exact_secrets_directory}/workspace.lake.token", 'dapi0', 0600);
one('SELECT * FROM exact.import_secrets()');
one('UPDATE exact.division SET workspace = \'lake\'');

# neither an address nor a secret: the rows say so and nothing is sent
until_topic('Items', 'wanted address');
is(one("SELECT count(*) FROM exact.subscriptions WHERE division = $first AND what LIKE 'no address for notifications%' "
	. "AND next_step LIKE '%public_url%'"), '3', 'each topic says what is missing');
like(subscribe(), qr/^failed: division $first: no address for notifications .*3 not made/, 'so does subscribe()');
is(scalar webhook_calls(0), 0, 'nothing was sent to Exact Online');
one("UPDATE exact.app SET callback_url = '$url/hook'");
until_topic('Items', 'wanted secret');
is(scalar webhook_calls(0), 0, 'without a secret neither');

# what DROP EXTENSION leaves at Exact Online
sub dropped
{
	my $sql = 'SET client_min_messages = warning; BEGIN; DROP EXTENSION exact_databricks; ROLLBACK';

	$node->psql('postgres', $sql, stderr => \my $said);
	return $said;
}

is(dropped(), '', 'DROP EXTENSION has nothing to say while no subscription was made');

# as if the workspace, at whose address is nobody, had taken everything
sub status
{
	return one("BEGIN; DELETE FROM exact.service_state;
		UPDATE exact.batch SET delivered_at = now(), delivered_rows = rows WHERE delivered_at IS NULL;
		SELECT concat_ws('|', light, what, next_step) FROM exact.status WHERE division = $_[0]; ROLLBACK");
}
wait_until('the first load is complete', sub { status($first) !~ /first load/ });
unlike(status($first), qr/topic/, 'polling alone is no warning');

# with both they are made by themselves
write_file("$node->{exact_secrets_directory}/app.erp.webhook_secret", $exact->{info}{webhook_secret}, 0600);
one('SELECT * FROM exact.import_secrets()');
until_topic($_, 'present') foreach qw(Accounts GLAccounts Items);
is(at_exact($first), 'Accounts GLAccounts Items', 'Exact Online has them');
is(one("SELECT count(DISTINCT id) FROM exact.subscription WHERE division = $first AND id IS NOT NULL "
	. "AND callback_url = '$url/hook'"), '3', 'with their ids');
is(slurp_file($receiver->{seen_file}), "/hook 0\n" x 4, 'the hub has called its address first, as Exact Online does');
is(one("SELECT result || ' ' || (finding LIKE '%answers 200%') FROM exact.check() WHERE rule = 'callback reachable'"),
	'ok true', 'check() knows');
is(one("SELECT string_agg(DISTINCT method || ' ' || status, ', ' ORDER BY method || ' ' || status) FROM exact.api_call "
	. "WHERE feed = 'subscriptions'"), 'GET 200, POST 201', 'the calls are recorded');
is(one("SELECT count(*) FROM exact.audit_log WHERE kind = 'subscription' AND division = $first AND what ->> 'what' = "
	. "'made'"), '3', 'and audited');
is(subscribe($first), 'done: 3 topics: 3 present', 'subscribe() counts them');

like(dropped(),
	qr/WARNING:  subscriptions of exact_databricks stay at Exact Online: 3 in 1 divisions.*HINT:.*disable_entities/s,
	'DROP EXTENSION warns of what is there');
is(at_exact($first) eq '' ? 0 : 1, 1, 'which a ROLLBACK leaves as it was');
ok(wait_for_workers($node, 'postgres'), 'and the workers run');

# they follow the entities
one("SELECT exact.enable_entities($first, 'purchaseorders')");
until_topic('PurchaseOrders', 'present');
one("SELECT exact.enable_entities($first, 'purchaseorderlines')");
one("SELECT exact.disable_entities($first, 'items', 'purchaseorders')");
wait_until('the topic of a disabled entity is gone', sub { at_exact($first) eq 'Accounts GLAccounts PurchaseOrders' });
is(one("SELECT string_agg(topic, ' ' ORDER BY topic) FROM exact.subscriptions WHERE division = $first"),
	'Accounts GLAccounts PurchaseOrders', 'one that another entity needs stays');

# somebody removed one; the answer of its POST is lost
$exact->{http}->delete("$exact->{url}/_control/subscriptions?division=$first&topic=GLAccounts");
$exact->fault("/$first/webhooks/WebhookSubscriptions", 'reset_after', method => 'POST', times => 1);
is(subscribe($first), 'done: 3 topics: 3 present', 'after a lost answer the list is read again');
is(at_exact($first), 'Accounts GLAccounts PurchaseOrders', 'and none is there twice');

# PostgreSQL ends between a POST and its answer
$exact->fault("/$first/webhooks/WebhookSubscriptions", 'delay_after', method => 'POST', seconds => 60, times => 1);
my $since = $exact->last_call;
one("SELECT exact.enable_entities($first, 'items')");
wait_until('Exact Online has made it', sub { at_exact($first) =~ /Items/ });
$node->stop('immediate');
$exact->clear_faults;
$node->start;
until_topic('Items', 'present');
is(at_exact($first), 'Accounts GLAccounts Items PurchaseOrders', 'it is found in the list');
is(scalar(grep { $_->{method} eq 'POST' && $_->{status} && $_->{status} != 201 } webhook_calls($since)), 0,
	'and not made again');

# somebody holds the rows: nothing else waits
my $session = $node->background_psql('postgres');
$session->query_safe('BEGIN; SELECT * FROM exact.subscription FOR UPDATE');
$since = $exact->last_call;
one("SELECT exact.disable_entities($first, 'items')");
wait_until('it is removed all the same', sub { at_exact($first) !~ /Items/ });
is($exact->sync($node, 'postgres'), 'done', 'feeds are read');
$session->query_safe('COMMIT');
$session->quit;
unlike(slurp_file($node->logfile), qr/lock timeout/, 'nobody waited for a lock');
wait_until('the row goes when it is free', sub { topic('Items') eq '' });

# another user of the customer has one
$since = $exact->last_call;
$exact->post('subscriptions', division => $first, topic => 'Items', callback_url => 'https://elsewhere.example.com/',
	user => 'colleague');
one("SELECT exact.enable_entities($first, 'items')");
until_topic('Items', 'foreign exists');
is(scalar(grep { $_->{method} eq 'POST' } webhook_calls($since)), 1, 'one attempt');
like(status($first), qr/^warn\|up to date, 1 topic only by polling: another user of this customer/, 'status warns');
one('SELECT exact.restart_workers()');
wait_until('the fetcher has looked again',
	sub { one("SELECT bool_and(checked_at > now() - interval '1 minute') FROM exact.subscription "
		. "WHERE division = $first AND state = 'present'") eq 't'
	&& grep { $_->{method} eq 'GET' && $_->{n} > $since + 2 } webhook_calls($since) });
is(scalar(grep { $_->{method} eq 'POST' } webhook_calls($since)), 1, 'not repeated at a restart');
is(subscribe($first), 'done: 4 topics: 3 present, 1 of others', 'an operator may try again');
is(scalar(grep { $_->{method} eq 'POST' } webhook_calls($since)), 2, 'which is one more attempt');
$exact->{http}->delete("$exact->{url}/_control/subscriptions?division=$first&topic=Items");
is(subscribe($first), 'done: 4 topics: 3 present, 1 made', 'made once the other is gone');

# another address: what leads to the old one is replaced; who takes it back is another environment
one("UPDATE exact.app SET callback_url = '$url/new'");
wait_until('all lead to the new address',
	sub { one("SELECT count(*) FROM exact.subscription WHERE division = $first AND state = 'present' "
		. "AND callback_url = '$url/new'") eq '4' });
is(scalar(grep { $_->{callback_url} eq "$url/new" } @{ $exact->get("subscriptions?division=$first")->{subscriptions} }),
	4, 'at Exact Online too');
$exact->{http}->delete("$exact->{url}/_control/subscriptions?division=$first&topic=Items");
$exact->post('subscriptions', division => $first, topic => 'Items', callback_url => "$url/other",
	user => $exact->{info}{user}, deliver => JSON::PP::true());
one('SELECT exact.restart_workers()');
until_topic('Items', 'foreign environment');
like(one("SELECT what FROM exact.subscriptions WHERE division = $first AND topic = 'Items'"), qr/another environment/,
	'it is left to the other environment');
is(subscribe($first), 'done: 4 topics: 3 present, 1 replaced', 'unless an operator takes it');
$exact->{http}->delete("$exact->{url}/_control/subscriptions?division=$first&topic=Items");
$exact->post('subscriptions', division => $first, topic => 'Items', callback_url => "$url/other",
	user => $exact->{info}{user}, deliver => JSON::PP::true());
one('SELECT exact.restart_workers()');
until_topic('Items', 'foreign environment');
one("SELECT exact.disable_entities($first, 'items')");
wait_until('its row goes', sub { topic('Items') eq '' });
is(at_exact($first, topic => 'Items'), 'Items', 'what belongs to the other environment is not removed');
$exact->{http}->delete("$exact->{url}/_control/subscriptions?division=$first&topic=Items");
one("SELECT exact.enable_entities($first, 'items')");
until_topic('Items', 'present');

# an address that cannot be tried from here: Exact Online is asked, for one topic a day
$since = $exact->last_call;
one("UPDATE exact.app SET callback_url = 'https://hub.invalid/exact/hook'");
wait_until('it is asked once',
	sub { one("SELECT count(*) FROM exact.subscription WHERE division = $first AND cause = 'callback'") eq '4' });
is(join(' ', map { $_->{method} } grep { $_->{method} ne 'GET' } webhook_calls($since)), 'DELETE POST',
	'one attempt tells it for all topics');
like(one("SELECT DISTINCT what FROM exact.subscriptions WHERE division = $first"),
	qr/^Exact Online cannot call .*; from here: not tried: host hub\.invalid is not in /,
	'the rows say what both found');
like(status($first), qr/^warn\|.*cannot call/, 'status too');
one("UPDATE exact.app SET callback_url = '$url/new'");
wait_until('another address is tried at once',
	sub { one("SELECT count(*) FROM exact.subscription WHERE division = $first AND state = 'present'") eq '4' });
pass('another address is tried at once');

# the address does not lead here
answers('404');
one("SELECT exact.disable_entities($first, 'items')");
wait_until('Items are gone', sub { topic('Items') eq '' });
subscribe($first);    # now it is known: what is enabled next is not asked for before
$since = $exact->last_call;
one("SELECT exact.enable_entities($first, 'items')");
like(subscribe($first), qr/^done: 4 topics: 3 present, 1 not made: .*404/, 'nothing can be made');
is(topic('Items'), 'wanted unreachable', 'the topic waits');
is(scalar(grep { $_->{method} eq 'POST' } webhook_calls($since)), 0, 'and Exact Online was not asked in vain');
is(one("SELECT result FROM exact.check() WHERE rule = 'callback reachable'"), 'fail', 'check() says it');
foreach my $case ([ 'redirect', qr/redirects to https:\/\/elsewhere\.example\.com/, '301',
	'Location: https://elsewhere.example.com/x' ],
	[ 'password', qr/refuses the call \(HTTP 401\)/, '401' ],
	[ 'proxy', qr/proxy does not reach the listener \(HTTP 502\)/, '502' ],
	[ 'other hub', qr/another hub answers there/, '200', 'X-Exact-Hub: 0123456789abcdef' ],
	[ 'no content', qr/HTTP 204 instead of 200/, '204' ])
{
	my ($name, $finding, @answer) = @$case;

	answers(@answer);
	like(subscribe($first), $finding, "$name is named");
}
answers('200');
is(subscribe($first), 'done: 4 topics: 3 present, 1 made', 'mended');

# a right is missing
$since = $exact->last_call;
$exact->post('config', missing_scopes => [ 'organization.administration:manage' ]);
one("SELECT exact.enable_entities($second, 'items', 'accounts', 'glaccount')");
one("UPDATE exact.division SET enabled = true WHERE division = $second");
wait_until('the topics are refused',
	sub { one("SELECT count(*) FROM exact.subscription WHERE division = $second AND state = 'refused' "
		. "AND cause = 'scope'") eq '3' });
is(scalar(grep { $_->{method} eq 'POST' } $exact->calls($since, qr{/$second/webhooks/})), 1,
	'one attempt tells it for all');
like(one("SELECT DISTINCT what || ' ' || next_step FROM exact.subscriptions WHERE division = $second"),
	qr/lacks the scope organization\.administration .*App Center.*authorize_url\('erp'\)/,
	'with the scope and the next step');
$exact->post('config', missing_scopes => [ 'organization.administration' ]);
like(subscribe($second), qr/^failed: division $second: .*a scope is missing.*; 3 topics: 3 refused/,
	'nor may they be listed');
like(status($second), qr/^warn\|up to date, 3 topics only by polling: app erp lacks the scope/, 'status says so');
$exact->post('config', missing_scopes => []);
is(subscribe(), 'done: 7 topics: 4 present, 3 made', 'with the right they are made');

# a division that is switched off
one("UPDATE exact.division SET enabled = false WHERE division = $second");
wait_until('its subscriptions are removed', sub { at_exact($second) eq '' });
is(one("SELECT count(*) FROM exact.subscription WHERE division = $second"), '0', 'with their rows');
is(at_exact($first), 'Accounts GLAccounts Items PurchaseOrders', 'the others stay');

# a refused topic of transaction lines: the other name is tried
$exact->post('config', refused_topics => [ 'CashEntries' ]);
if (one("SELECT count(*) FROM exact.catalogue WHERE entity = 'transactionlines' AND method IN ('sync', 'full')") eq '1')
{
	one("SELECT exact.enable_entities($first, 'transactionlines')");
	until_topic('CashEntries', 'refused topic');
	until_topic('FinancialTransactions', 'present');
	until_topic('SalesEntries', 'present');
}

# a topic that is forgotten here
$exact->post('subscriptions', division => $first, topic => 'Contacts', callback_url => "$url/new",
	user => $exact->{info}{user});
like(subscribe($first), qr/1 removed/, 'what leads here and nobody wants is removed');
unlike(at_exact($first), qr/Contacts/, 'at Exact Online');

unlike(slurp_file($node->logfile), qr/terminated by signal|TRAP|could not settle/, 'nothing crashed');
is(one("SELECT count(*) FROM exact.verify_audit()"), '0', 'the audit log is whole');
$node->stop;
done_testing();
