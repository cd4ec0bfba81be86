# A 429 is judged: a block of one endpoint, a limit of the division with headers or without; kept over a restart, shown
# in exact.budget, ended by resume() as far as the errors of the endpoint allow.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactOnline;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $exact = ExactOnline->start('--records', '200', '--divisions', '4', '--fast',
	'--minute-limit', '100000', '--day-limit', '10000000', '--error-limit', '0');
my $node = exact_cluster('main', conf => { 'exact_databricks.sync_interval' => "'1s'" });
my ($first, $second, $third, $fourth) = $exact->divisions;
my %paths = (
	items => 'sync/Logistics/Items',
	glaccount => 'sync/Financial/GLAccounts',
	accounts => 'sync/CRM/Accounts');

sub one { return $node->safe_psql('postgres', $_[0]); }

sub calls
{
	my ($since, $division, $entity) = @_;

	return scalar(my @calls = $exact->calls($since, qr{/$division/$paths{$entity}}));
}

# The worker of another process knows only what is stored.
sub restart_fetcher
{
	my $pid = worker_pid($node, 'postgres', 'fetcher');

	one('SELECT exact.restart_workers()');
	wait_until('another fetcher', sub {
		my $now = worker_pid($node, 'postgres', 'fetcher');
		$now && $now ne $pid });
	return;
}

# Errors of an endpoint, so many minutes ago
sub add_errors
{
	my ($division, $entity, $minutes, @statuses) = @_;

	one("INSERT INTO exact.api_call (at, app, division, feed, method, path, status, outcome) "
		. "SELECT clock_timestamp() - interval '$minutes min', 'erp', $division, '$entity', 'GET', "
		. "'$paths{$entity}?\$filter=x', s, 'refused' FROM unnest(ARRAY[" . join(',', @statuses) . "]) AS s");
	return;
}

# Another endpoint of the division is called so often that this one would have been, too.
sub others_go_on
{
	my ($what, $division, $entity) = @_;
	my $since = $exact->last_call;

	wait_until("$what: $entity is read", sub { calls($since, $division, $entity) >= 4 });
	return $since;
}

sub budget { my ($division, $what) = @_; return one("SELECT $what FROM exact.budget WHERE division = $division"); }

sub refuse
{
	my ($division, $entity, %headers) = @_;

	return $exact->fault("/$division/$paths{$entity}", 'status', status => 429, times => -1, body => '',
		headers => \%headers);
}

one('CREATE EXTENSION exact_databricks');
wait_for_workers($node, 'postgres');
$exact->authorise($node, 'postgres');
$exact->enable($node, 'postgres', [qw(glaccount items accounts)], $first, $second, $third, $fourth);
is($exact->sync($node, 'postgres'), 'done', 'loaded');

# errors count after a restart, whatever their status, for an hour
my $minutes = 50;
add_errors($first, 'items', $minutes, (404) x 5, 400);
restart_fetcher();
my $since = others_go_on('six errors before the restart', $first, 'glaccount');
is(calls($since, $first, 'items'), 0, 'the endpoint of six errors waits after a restart');
is(budget($first, "(closed ->> '$paths{items}')::timestamptz - now() BETWEEN '5 min' AND '10 min' AND blocked IS NULL"),
	't', 'exact.budget shows until when');
one("SELECT exact.resume($first)");
wait_until('it is read after resume()', sub { calls($since, $first, 'items') });
wait_until('nothing is closed any more', sub { budget($first, 'closed IS NULL') eq 't' });
restart_fetcher();
$since = $exact->last_call;
is($exact->sync($node, 'postgres'), 'done', 'what resume() forgave stays forgiven over a restart');
cmp_ok(calls($since, $first, 'items'), '>', 0, 'and the endpoint is read');
add_errors($first, 'items', 20, (403) x 3);
restart_fetcher();
$since = others_go_on('nine errors', $first, 'glaccount');
one("SELECT exact.resume($first)");
others_go_on('resume() with nine errors', $first, 'accounts');
is(calls($since, $first, 'items'), 0, 'resume() asks for no tenth error');
like(error_of($node, 'postgres', "SELECT exact.fetch($first, '$paths{items}', '')"), qr/no call to .* now: six errors/,
	'nor does fetch()');

# a 429 without headers of an endpoint with six errors: the endpoint is blocked
one("DELETE FROM exact.api_call WHERE path LIKE '%Items%'");
add_errors($second, 'items', 30, (403) x 6);
refuse($second, 'items');
restart_fetcher();
others_go_on('the endpoint of six errors is closed', $second, 'glaccount');
$since = $exact->last_call;
one("SELECT exact.resume($second)");
wait_until('it is taken for blocked', sub { budget($second, "blocked ? '$paths{items}'") eq 't' });
is(budget($second, "(blocked ->> '$paths{items}')::timestamptz - now() BETWEEN '69 min' AND '70 min'"), 't',
	'and left alone for 70 minutes');
is(budget($second, 'reading IS NULL AND until IS NULL'), 't', 'the division does not wait');
others_go_on('a blocked endpoint', $second, 'glaccount');
is(calls($since, $second, 'items'), 1, 'it was asked once');
like(error_of($node, 'postgres', "SELECT exact.fetch($second, '$paths{items}', '')"),
	qr/Exact Online has blocked this endpoint/, 'fetch() does not ask either');
restart_fetcher();
others_go_on('the block after a restart', $second, 'glaccount');
is(calls($since, $second, 'items'), 1, 'the block is kept over a restart');
one("SELECT exact.resume($second)");
wait_until('resume() tries once', sub { calls($since, $second, 'items') == 2 });
wait_until('the next wait is longer',
	sub { budget($second, "(blocked ->> '$paths{items}')::timestamptz > now() + '2 h'") eq 't' });
others_go_on('the longer block', $second, 'glaccount');
is(calls($since, $second, 'items'), 2, 'and no more');
$exact->clear_faults;
one("SELECT exact.resume($second)");
wait_until('the block is over',
	sub { calls($since, $second, 'items') > 2 && budget($second, 'blocked IS NULL') eq 't' });

# without headers and without errors: the division waits two minutes, then four
refuse($third, 'items');
wait_until('the 429 is taken for a limit', sub { budget($third, 'reading') eq 'unknown' });
is(budget($third, "until - now() BETWEEN '110 s' AND '120 s' AND blocked IS NULL"), 't', 'for two minutes');
$since = others_go_on('another division', $first, 'glaccount');
is(calls($since, $third, 'glaccount'), 0, 'the whole division waits');
restart_fetcher();
others_go_on('another division after a restart', $first, 'glaccount');
is(calls($since, $third, 'glaccount'), 0, 'the wait is kept over a restart');
$exact->fault("/$third/", 'status', status => 429, times => -1, body => '');
one("UPDATE exact.rate_limit SET until = now() WHERE division = $third");
restart_fetcher();
wait_until('a longer wait', sub { budget($third, "reading = 'unknown' AND until - now() > '230 s'") eq 't' });
is(budget($third, "until - now() <= '240 s'"), 't', 'of four minutes');

# others answer and it alone does not: it is blocked, not the division
$exact->clear_faults;
refuse($third, 'items');
$since = $exact->last_call;
one("SELECT exact.resume($third)");
wait_until('it answers 429 again',
	sub { budget($third, "blocked ? '$paths{items}' OR reading = 'unknown' AND until < now() + '2 min'") eq 't' });
one("SELECT exact.resume($third)") if budget($third, 'blocked IS NULL') eq 't';
wait_until('the endpoint alone is taken for blocked', sub { budget($third, "blocked ? '$paths{items}'") eq 't' });
cmp_ok(calls($since, $third, 'glaccount'), '>', 0, 'after another has answered');
others_go_on('one endpoint blocked', $third, 'glaccount');
is(budget($third, 'reading IS NULL'), 't', 'and the division goes on');
$exact->clear_faults;

# a limit with headers; resets that cannot be are not believed, and a verb ends the wait
my %far = ('X-RateLimit-Limit' => '5000', 'X-RateLimit-Remaining' => '0', 'X-RateLimit-Reset' => '2400000000000');
foreach my $case ([ 'far ahead', %far ], [ 'in the past', %far, 'X-RateLimit-Reset' => '1000' ],
	[ 'of another year', %far, 'X-RateLimit-Reset' => '978307200000', 'X-RateLimit-Remaining' => '-7' ])
{
	my ($name, %headers) = @$case;

	refuse($fourth, 'items', %headers);
	wait_until("a reset $name", sub { budget($fourth, 'reading') eq 'day' });
	is(budget($fourth, "until BETWEEN now() + '50 s' AND now() + '1 h' AND day_reset IS NULL"), 't',
		"a reset $name: the wait is bounded, no such time is shown");
	$exact->clear_faults;
	$since = $exact->last_call;
	one("SELECT exact.resume($fourth)");
	wait_until('resume() ends it', sub { calls($since, $fourth, 'items') && calls($since, $fourth, 'glaccount') });
	wait_until('the division goes on', sub { budget($fourth, 'reading IS NULL AND day_left > 0') eq 't' });
}
my $seconds = time() + 30;
refuse($fourth, 'items', 'X-RateLimit-Minutely-Limit' => '60', 'X-RateLimit-Minutely-Remaining' => '0',
	'X-RateLimit-Minutely-Reset' => "$seconds");
wait_until('a minute', sub { budget($fourth, 'reading') eq 'minute' });
is(budget($fourth, "until BETWEEN to_timestamp($seconds) - interval '3 s' AND to_timestamp($seconds) + interval '3 s'"),
	't', 'a reset in seconds is read as such');
$exact->clear_faults;
one("SELECT exact.resume($fourth)");

# by the service's clock there is an hour more until its reset than by ours: it is moved by the Date header
$exact->post('clock', skew => -3600);
$exact->post('config', day_limit => 1);
wait_until('the day is used up', sub { budget($first, 'reading') eq 'day' });
is(budget($first, "day_reset - (date_trunc('day', now() AT TIME ZONE 'UTC') + interval '1 day') AT TIME ZONE 'UTC' "
	. "BETWEEN '59 min' AND '61 min'"), 't', 'the reset of the day by our clock');

$node->stop;
done_testing();
