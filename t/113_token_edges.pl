# Edges of the authorisation: clocks that are a day off, a chain that nobody used for a week, a consent that ended while
# data flowed, divisions that are refused for every reason. Nothing but the reading of what is refused stops.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use HubTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $exact = exact_online('--token-lifetime', '600', '--min-refresh-age', '0', '--token-mode', 'strict');
my $databricks = simulator(engine => 'none', slots => 8);
my $node = hub_cluster('main');
my ($first, $second) = $exact->divisions;
my $seed = 40;

sub value { return one($node, $_[0]); }
sub change { $exact->post('random', count => $_[0] // 15, deletes => 0.2, seed => $seed++); return; }
sub refreshes { return value("SELECT count(*) FROM exact.token WHERE origin = 'refresh'"); }
sub token_calls { return scalar $exact->calls(0, qr{oauth2/token}); }
sub state { return value('SELECT state FROM exact.app_state'); }
sub status { return value("SELECT light || ' | ' || what || ' | ' || coalesce(next_step, '') FROM exact.status "
	. "WHERE division = $_[0]"); }
sub renewed { my $pid = worker_pid($node, 'postgres', 'fetcher'); value('SELECT exact.restart_workers()');
	wait_until('another fetcher runs', sub { my $new = worker_pid($node, 'postgres', 'fetcher');
		$new ne '' && $new ne $pid }); return wait_for_workers($node, 'postgres'); }

give_hub($node, $exact, $databricks);
agrees($exact, $databricks, 'first load');

# ---- clocks ----

# our clock went back a day: the pair seems to be of tomorrow. The service ends it in its own time, and its successors
# count all the same.
value("UPDATE exact.token SET issued_at = issued_at + interval '1 day', expires_at = expires_at + interval '1 day'");
renewed();
foreach my $round (1 .. 3)
{
	# counted before the token ends: whoever asks first has it renewed, the fetcher's own work or the question
	my $before = refreshes();

	$exact->post('clock', advance => 700);
	$exact->post('revoke', what => 'access') if $round > 1;
	like(value("SELECT exact.me('erp') ->> 'FullName'"), qr/\w/, "our clock went back, $round: it works");
	cmp_ok(refreshes(), '>', $before, 'with a new pair');
	is(value('SELECT id = (SELECT max(id) FROM exact.token) FROM exact.token ORDER BY issued_at DESC LIMIT 1'), 't',
		'which is the newest');
}
$exact->post('clock', advance => 700);
$exact->post('revoke', what => 'access');
is(state(), 'authorized', 'no alarm');
complete($node, $exact);

# a new consent is the newest, too
$exact->post('config', min_refresh_age => 570);
write_file("$node->{exact_secrets_directory}/app.erp.refresh_token", $exact->post('authorize')->{refresh_token}, 0600);
is(value("SELECT result FROM exact.import_secrets() WHERE field = 'refresh_token'"), 'imported',
	'another authorisation');
like(value("SELECT exact.me('erp') ->> 'FullName'"), qr/\w/, 'works');
is(value("SELECT origin FROM exact.token ORDER BY issued_at DESC OFFSET 1 LIMIT 1"), 'import',
	'and goes on from the imported one');

# our clock went ahead a day: the pair seems to be long over, the service says that it is not
value("UPDATE exact.token SET issued_at = issued_at - interval '3 days', expires_at = expires_at - interval '3 days'");
my $before = refreshes();
my $calls = token_calls();
renewed();
like(value("SELECT exact.me('erp') ->> 'FullName'"), qr/\w/, 'our clock went ahead: the pair at hand serves as long as '
	. 'the service says so');
like(value("SELECT exact.me('erp') ->> 'FullName'"), qr/\w/, 'again');
is(refreshes(), $before, 'without a new one');
cmp_ok(token_calls() - $calls, '<=', 2, 'after one question');
is(value('SELECT coalesce(learned_refresh_age, 0) <= 600 FROM exact.app_state'), 't',
	'nothing wrong was learned from it');
is(state(), 'authorized', 'no alarm');
$exact->post('clock', advance => 600);
$exact->post('config', min_refresh_age => 0);
value("UPDATE exact.app_state SET learned_refresh_age = NULL");
renewed();

# the service's clock is a day ahead: limits and dates are its own
$exact->post('clock', advance => 86400);
change();
complete($node, $exact);
agrees($exact, $databricks, 'their clock is a day ahead');
is(state(), 'authorized', 'authorised');

# ---- nobody used it for a week ----

value('UPDATE exact.division SET enabled = false');
value("UPDATE exact.token SET issued_at = clock_timestamp() - interval '6 days', expires_at = clock_timestamp() - "
	. "interval '6 days' + interval '600 s'");
$before = refreshes();
renewed();
wait_until('the fetcher has had its first turn',
	sub { value("SELECT count(*) FROM exact._workers() WHERE role = 'fetcher' AND state = 'running'") eq '1' });
is(refreshes(), $before, 'six days: nothing to do');
value("UPDATE exact.token SET issued_at = issued_at - interval '2 days', expires_at = expires_at - interval '2 days'");
renewed();
wait_until('the idle chain is renewed', sub { refreshes() == $before + 1 });
pass('eight days: renewed by itself');
value('UPDATE exact.division SET enabled = true');

# ---- the consent ends while data flows ----

change(25);
complete($node, $exact);
value('UPDATE exact.workspace SET enabled = false');
change(10);
is($exact->sync($node, 'postgres'), 'done', 'versions wait for Databricks');
my $waiting = value('SELECT count(*) FROM exact.batch WHERE delivered_at IS NULL');
cmp_ok($waiting, '>', 0, 'some');
$exact->post('revoke', what => 'expire');
value("UPDATE exact.token SET issued_at = clock_timestamp() - interval '31 days', expires_at = clock_timestamp() - "
	. "interval '31 days' + interval '600 s'");
$calls = token_calls();
renewed();
my $seconds = seconds_of(sub { wait_until('the hub notices', sub { state() eq 'reauthorize' }, 60) });
cmp_ok(token_calls() - $calls, '<=', 2, 'at most two calls');
like(slurp_file($node->logfile), qr/alarm app=erp state=reauthorize .*authorize_url\('erp'\)/,
	'an alarm with the next step');
like(status($first), qr/^fail \| app erp needs consent again since .* \| SELECT exact\.authorize_url\('erp'\)/,
	'status says it, with the next step');
like(value("SELECT exact.authorize_url('erp')"), qr{^http://127\.0\.0\.1:\d+/api/oauth2/auth\?},
	'which gives the address to open');
is(value("SELECT result FROM exact.check() WHERE rule = 'app erp'"), 'fail', 'check(), too');
is(value("SELECT count(*) FROM exact.division_state WHERE state = 'parked'"), '0', 'no division is blamed for it');

# what was read before goes on
value('UPDATE exact.workspace SET enabled = true');
ok(eval { wait_delivered($node, 60) }, 'what was staged is delivered without a token');
change(20);
$calls = token_calls();
$node->psql('postgres', 'SELECT exact.sync_now()');
like(error_of($node, 'postgres', "SELECT exact.me('erp')"), qr/EX005: app "erp" must be authorised again/,
	'a question says why it fails');
is(token_calls(), $calls, 'a dead chain is not asked again');

# a human consents: everything that happened meanwhile arrives
my $redirect = $exact->{http}->get(value("SELECT exact.authorize_url('erp')"))->{headers}{location};
value("SELECT exact.authorize('erp', '$redirect')");
is(state(), 'authorized', 'consented again');
complete($node, $exact);
agrees($exact, $databricks, 'after the consent');

# ---- refused divisions ----

foreach my $reason (qw(BlockedUser InactiveUser BlockedCustomer LicenseExpired DivisionBlocked NoDivisionAccess))
{
	$exact->post('division', code => $first, reason => $reason);
	change(6);
	$node->psql('postgres', 'SELECT exact.sync_now()');
	wait_until("$reason: the division is parked",
		sub { value("SELECT state FROM exact.division_state WHERE division = $first") eq 'parked' });
	like(status($first),
		pattern('^fail \| Exact Online refuses division ', $first, ': ', $reason,
			' \(since .*\) \| Correct it in Exact Online; .*exact\.resume\(\) at once'), "$reason: status");
	unlike(status($second), qr/^fail/, "$reason: the other division goes on");
	is(value("SELECT reason FROM exact.api_call WHERE reason IS NOT NULL ORDER BY id DESC LIMIT 1"), $reason,
		"$reason: the call is recorded with it");
	is(state(), 'authorized', "$reason: the authorisation is not blamed");
	$exact->post('division', code => $first, reason => undef);
	value("SELECT exact.resume($first)");
}
complete($node, $exact);
agrees($exact, $databricks, 'after every refusal');
is(value('SELECT count(*) FROM exact.verify_audit()'), '0', 'the audit chains hold');
$node->stop;
done_testing();
