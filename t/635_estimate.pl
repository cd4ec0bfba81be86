# What a first load would cost: the numbers are Exact Online's, the calls are those that the load then makes, and what
# cannot be counted says why.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactOnline;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $exact = ExactOnline->start('--divisions', 1, '--records', 6000, '--fast', '--minute-limit', 100000, '--day-limit',
	100000, '--error-limit', 0);
my $node = exact_cluster('main', conf => { 'exact_databricks.sync_interval' => "'1h'" });
my ($division) = $exact->divisions;

sub value { return $node->safe_psql('postgres', $_[0]); }
sub refused { return error_of($node, 'postgres', $_[0]); }
sub living { return grep { !$_->{deleted} } $exact->truth($division, $_[0]); }

# Takes so many records away that $left are there.
sub leave
{
	my ($resource, $left) = @_;
	my @records = living($resource);

	cmp_ok(scalar(@records), '>=', $left, "$resource has records enough");
	$exact->post('change', division => $division, resource => $resource, op => 'delete', key => $_->{key})
		foreach @records[ $left .. $#records ];
	return;
}

# "entity records calls" of each row
sub estimated
{
	my $names = join ', ', map { "'$_'" } @_;

	return value("SELECT string_agg(concat_ws(' ', entity, records, coalesce(calls::text, '-')), ', ') "
		  . "FROM exact.estimate($division, ARRAY[$names])");
}

sub note
{
	my ($name) = @_;

	return value("SELECT concat_ws('|', records, calls, minutes, note) FROM exact.estimate($division, ARRAY['$name'])");
}

sub asked { return $exact->calls($_[0], qr{\$count}); }

value('CREATE EXTENSION exact_databricks');
wait_for_workers($node, 'postgres');
$exact->authorise($node, 'postgres');
value("SELECT FROM exact.discover_divisions('erp')");

# ---- a full page has an empty one behind it ----

leave('logistics/Items', 1000);
leave('hrm/Costunits', 60);
my $orders = () = living('purchaseorder/PurchaseOrders');
my $lines = () = living('purchaseorder/PurchaseOrderLines');
my ($centers, $accounts) = (scalar(living('hrm/Costcenters')), scalar(living('financial/GLAccounts')));
my $set = int(($orders + $lines) / 1000) + 1;
my $since = $exact->last_call;
is(estimated(qw(items costunit costcenter glaccount purchaseorders purchaseorderlines)),
	"costcenter $centers " . (int($centers / 60) + 1) . ", costunit 60 2, glaccount $accounts 1, items 1000 2, "
	. "purchaseorders $orders $set, purchaseorderlines $lines -", 'a division that is not enabled yet is counted');
is(scalar(asked($since)), 6, 'by a call each');
is(value("SELECT count(*) FROM exact.api_call WHERE path LIKE '%/\$count' AND outcome = 'ok' AND feed = 'ask' "
	. "AND division = $division AND asked_by = session_user"), '6', 'which are accounted for as all others');
is(value("SELECT what ->> 'asked' || ' ' || (what ->> 'rows') FROM exact.audit_log WHERE kind = 'inquiry' "
	. "ORDER BY at DESC LIMIT 1"), 'count 6', 'with an event of who asked');
is(estimated('purchaseorderlines'), "purchaseorderlines $lines $set", 'lines are read with their documents');
is(value("SELECT note FROM exact.estimate($division, ARRAY['purchaseorders', 'purchaseorderlines']) "
	. "WHERE entity = 'purchaseorderlines'"), 'read in the calls of purchaseorders', 'and both have the calls once');
is(estimated('Logistics/items', 'ITEMS', 'items'), 'items 1000 2', 'a path and names of one entity are one row');

# the load makes these calls
my %calls = map { (split / /)[ 0, 2 ] } split /, /,
	estimated(qw(items costunit costcenter glaccount purchaseorders));
$exact->enable($node, 'postgres', [qw(items costunit costcenter glaccount purchaseorders)], $division);
wait_until('the first load',
	sub { value("SELECT count(*) FROM exact.feed_state WHERE first_complete_at IS NOT NULL "
	. "AND feed IN ('items', 'costunit', 'costcenter', 'glaccount', 'purchaseorders')") eq '5' });
foreach my $feed (sort keys %calls)
{
	is(value("SELECT count(*) FROM exact.api_call AS c JOIN exact.feed_state AS s USING (division, feed) "
		. "WHERE feed = '$feed' AND c.at <= s.first_complete_at"), $calls{$feed},
		"$feed is read in $calls{$feed} calls");
}

# one on each side of a page
leave('logistics/Items', 999);
leave('hrm/Costunits', 59);
is(estimated('items', 'costunit'), 'costunit 59 1, items 999 1', 'a page that is not full is the last');
$exact->post('change', division => $division, resource => 'hrm/Costunits', op => 'create',
	fields => { Code => "N$_", Description => "new $_" }) foreach 1, 2;
$exact->post('change', division => $division, resource => 'logistics/Items', op => 'create',
	fields => { Code => "N$_", Description => "new $_" }) foreach 1, 2;
is(estimated('items', 'costunit'), 'costunit 61 2, items 1001 2', 'one more than a page');

# ---- what cannot be counted ----

$exact->fault("/$division/hrm/Costunits", 'status', status => $_, times => 1),
	like(note('costunit'), qr/^Exact Online (?:refused|failed|does not permit).*$/, "$_ is no number")
	foreach 403, 404, 500, 501;
$exact->clear_faults;
like(note('costunit'), qr/^61\|2\|/, 'and afterwards there is one');
$exact->post('config', mandatory_filter => JSON::PP::true());
$since = $exact->last_call;
like(note('items'), qr/^1001\|2\|/, 'a list that is read with a filter only is counted with one');
is(scalar(asked($since)), 2, 'by a second call');
$exact->post('config', mandatory_filter => JSON::PP::false());
$exact->fault("/$division/logistics/Items", 'status', status => 400, times => 2);
$since = $exact->last_call;
like(note('items'), qr/^Exact Online refused logistics\/Items: HTTP 400/, 'which is tried once');
is(scalar(asked($since)), 2, 'and no more');
$exact->clear_faults;
$exact->fault("/$division/hrm/Costcenters", 'html', times => 1);
unlike(note('costcenter'), qr/^\d/, 'a page of HTML is no number');
$exact->clear_faults;
is(value("SELECT count(*) FROM exact.services WHERE side = 'Exact Online' AND light <> 'ok'"), '0',
	'the service is not said to be away');
like(note('stockpositions'), qr/^Exact Online gives no number of records of a list by row version/,
	'a list that is only read by row version is not asked for');
$exact->post('config', missing_scopes => ['financial.generalledgers']);
like(note('glaccount'), qr/^Exact Online does not permit reading financial\/GLAccounts/, 'a scope is missing');
$exact->post('config', missing_scopes => []);
like(refused("SELECT * FROM exact.estimate($division, ARRAY['item'])"), qr/EX015.*items/s, 'not known: the nearest');
like(refused("SELECT * FROM exact.estimate($division, NULL)"), qr/EX021.*ARRAY/s, 'no entity');
like(refused("SELECT * FROM exact.estimate($division, '{}')"), qr/EX021.*ARRAY/s, 'nor an empty list');
like(refused("SELECT * FROM exact.estimate(1, ARRAY['items'])"), qr/EX021.*division 1 is not known/s,
	'no such division');
like(refused("SET ROLE exact_operator; SELECT * FROM exact.estimate($division, ARRAY['items'])"), qr/42501/,
	'who may not enable may not ask');

# ---- no call left ----

value("UPDATE exact.division SET enabled = false");
my $used = scalar($exact->calls(0, qr{/api/v1/$division/}));
$exact->post('config', day_limit => $used + 10);	# more than ten are kept for live changes
note('costunit');
$since = $exact->last_call;
is(note('costunit') =~ s/until .*/until/r, 'no call now: the rest of today\'s calls is kept for live changes, until',
	'a row without a number says so');
is(scalar(asked($since)), 0, 'nothing was sent');
like(refused("SELECT 1 / count(records) FROM exact.estimate($division, ARRAY['costunit'])"), qr/22012/, 'nor is it 0');

# the calls of a minute are waited for: 39 of 60 are a first load's, and there are more lists
$exact->post('config', day_limit => 100000, minute_limit => 60);
value("UPDATE exact.division SET enabled = true; SELECT exact.resume($division)");
wait_until('what was heard of the day is forgotten', sub { note('costunit') =~ /^61/ });
my $preset = "'commerce', 'finance'";
my ($rows, $waits) = split /\|/, value("SELECT count(*), count(*) FILTER (WHERE note LIKE 'no call%') "
	. "FROM exact.estimate($division, ARRAY[$preset])");
cmp_ok($rows, '>', 39, 'a preset has more entities than a minute has calls');
is($waits, 0, 'and each of them was asked for');
my $most = value("SELECT max(n) FROM (SELECT count(*) OVER (ORDER BY at RANGE BETWEEN '59 s' PRECEDING AND "
	. "CURRENT ROW) AS n FROM exact.api_call WHERE division = $division AND minute_left < 60) AS x");
cmp_ok($most, '<=', 60, 'within the limit of the minute');

$node->stop;
done_testing();
