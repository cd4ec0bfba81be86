# Subscriptions under faults of Exact Online: nothing is made twice, nothing is asked again and again, a foreign answer
# freezes.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactOnline;
use ExactTest;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

my $exact = ExactOnline->start('--records', '140', '--divisions', '2', '--fast', '--page-size', '2',
	'--min-refresh-age', '0', '--minute-limit', '100000', '--day-limit', '10000000', '--error-limit', '0');
my $node = exact_cluster('main');
my ($first, $second) = $exact->divisions;
my $path = "/$first/webhooks/WebhookSubscriptions";

sub one { return $node->safe_psql('postgres', $_[0]); }
sub topics { return one("SELECT string_agg(topic || ' ' || state || coalesce(' ' || cause, ''), ', ' ORDER BY topic) "
	. "FROM exact.subscription WHERE division = $first"); }
sub at_exact { return join(' ',
	sort map { $_->{topic} } @{ $exact->get("subscriptions?division=" . ($_[0] // $first))->{subscriptions} }); }
sub methods { return join(' ', map { "$_->{method} " . ($_->{status} // 0) } $exact->calls($_[0], qr{$path})); }
sub forget { $exact->{http}->delete("$exact->{url}/_control/subscriptions?division=$first&topic=$_") foreach @_; return;
	}

sub subscribe
{
	my $id = one("SELECT exact.subscribe($first)");
	my $state = one("SELECT exact.wait($id, '90 s')");

	return "$state: " . one("SELECT result FROM exact.request WHERE id = $id");
}

one('CREATE EXTENSION exact_databricks');
wait_for_workers($node, 'postgres');
$exact->authorise($node, 'postgres');
write_file("$node->{exact_secrets_directory}/app.erp.webhook_secret", $exact->{info}{webhook_secret}, 0600);
one('SELECT * FROM exact.import_secrets()');

one("UPDATE exact.app SET callback_url = '" . answering_server()->{url} . "/hook'");

# the list comes in pages
$exact->enable($node, 'postgres', [qw(glaccount items accounts purchaseorders salesinvoices)], $first);
my $all = 'Accounts GLAccounts Items PurchaseOrders SalesInvoices';
wait_until('all are made', sub { at_exact() eq $all });
is(subscribe(), 'done: 5 topics: 5 present', 'all pages of the list are read');

# answers that cannot be used: asked again, and nothing is made twice
foreach my $case ([ 'malformed' ], [ 'html' ], [ 'truncate', at => 60 ], [ 'reset_before' ],
	[ 'status', status => 503, body => '' ])
{
	my ($action, %more) = @$case;
	my $since = $exact->last_call;

	$exact->fault($path, $action, times => 1, method => 'GET', %more);
	is(subscribe(), 'done: 5 topics: 5 present', "list: $action");
	is(scalar(grep { $_->{method} ne 'GET' } $exact->calls($since, qr{$path})), 0, 'and nothing was written');
}
foreach my $action (qw(reset_before reset_after truncate malformed))
{
	forget('Items');
	$exact->fault($path, $action, times => 1, method => 'POST', $action eq 'truncate' ? (at => 30) : ());
	like(subscribe(), qr/^done: 5 topics: (5 present|4 present, 1 made)$/, "POST: $action");
	is(at_exact(), $all, 'each is there once');
}

# the service itself fails: one attempt, then an hour of silence
forget('Items');
my $since = $exact->last_call;
$exact->fault($path, 'status', status => 503, times => -1, method => 'POST', html => JSON::PP::true());
like(subscribe(), qr/^failed: division $first: Exact Online failed: HTTP 503; 5 topics: 4 present, 1 not made/,
	'the request says it');
is(scalar(grep { $_->{method} eq 'POST' } $exact->calls($since, qr{$path})), 1, 'one attempt');
like(topics(), qr/Items wanted service/, 'the row too');
$exact->clear_faults;
is(subscribe(), 'done: 5 topics: 4 present, 1 made', 'an operator need not wait');

# what is not permitted to be removed stays, and is not tried again and again
$since = $exact->last_call;
$exact->fault($path, 'status', status => 403, times => -1, method => 'DELETE',
	body => { error => { code => '', message => { lang => '', value => 'Geen rechten' } } });
one("SELECT exact.disable_entities($first, 'items')");
wait_until('it is tried', sub { topics() =~ /Items refused right/ });
like(subscribe(), qr/^done: 4 topics: 4 present/, 'the others are not held up');
is(scalar(grep { $_->{method} eq 'DELETE' } $exact->calls($since, qr{$path})), 2,
	'once by itself, once for the operator');
like(one("SELECT what FROM exact.subscriptions WHERE topic = 'Items'"), qr/does not remove it: Geen rechten/,
	'the reason is told');
$exact->clear_faults;
like(subscribe(), qr/1 removed/, 'with the right it goes');
$all = 'Accounts GLAccounts PurchaseOrders SalesInvoices';
is(at_exact(), $all, 'at Exact Online too');

# a token that ends, and a limit
forget('Accounts');
$exact->post('revoke', what => 'access');
is(subscribe(), 'done: 4 topics: 3 present, 1 made', 'with a new token');
forget('Accounts');
$exact->fault($path, 'status', status => 429, times => 1, method => 'POST', body => '',
	headers => { 'X-RateLimit-Minutely-Limit' => '60', 'X-RateLimit-Minutely-Remaining' => '0',
		'X-RateLimit-Minutely-Reset' => sprintf('%d', (time() + 2) * 1000) });
is(subscribe(), 'done: 4 topics: 3 present, 1 made', 'after a limit it goes on');
is(at_exact(), $all, 'each is there once');

# a page elsewhere is not followed; another division's subscription freezes
$since = $exact->last_call;
$exact->fault($path, 'evil_next', times => 1, host => 'evil.example.com');
is(subscribe(), 'done: 4 topics: 4 present', 'a page on another host is not followed');
$exact->fault($path, 'wrong_division', times => 1, division => $second);
like(subscribe(), qr/^failed: division $first: division $first is frozen/, 'a list of another division freezes');
is(one("SELECT state FROM exact.division_state WHERE division = $first"), 'frozen', 'the division stands still');
like(subscribe(), qr/^failed: division $first: it is frozen/, 'and subscribe() says so');
one("SELECT exact.resume($first)");
is(subscribe(), 'done: 4 topics: 4 present', 'until it is resumed');
is(scalar(grep { $_->{method} ne 'GET' } $exact->calls($since, qr{$path})), 0, 'nothing was written meanwhile');

# nothing is enabled any more
one("SELECT exact.disable_entities($first, VARIADIC ARRAY(SELECT entity FROM exact.feed))");
wait_until('the last entity takes the last topic with it', sub { at_exact() eq '' });
is(one('SELECT count(*) FROM exact.subscriptions'), '0', 'with its row');
unlike(slurp_file($node->logfile), qr/terminated by signal/, 'nothing crashed');
$node->stop;
done_testing();
