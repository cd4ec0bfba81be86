# Exact Online's token chain while the service answers: import, refresh, one call for many who wait, too early,
# rejected, wrong secret, another host, locks of users; the database says each time what happened.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactOnline;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $exact = ExactOnline->start('--divisions', 1, '--records', 60, '--fast', '--minute-limit', 100000,
	'--token-lifetime', 600, '--min-refresh-age', 2);
my $node = exact_cluster('main', conf => { 'exact_databricks.refresh_after' => '3s' });
my $info = $exact->{info};

sub value { return $node->safe_psql('postgres', $_[0]); }
sub token_calls { return scalar $exact->calls(0, qr{oauth2/token}); }
sub refreshes { return value("SELECT count(*) FROM exact.token WHERE origin = 'refresh'"); }
sub setting
{
	my (%conf) = @_;

	$node->append_conf('postgresql.conf', "exact_databricks.$_ = '$conf{$_}'") foreach sort keys %conf;
	$node->reload;
	return;
}
sub import_file
{
	my ($name, $text) = @_;

	write_file("$node->{exact_secrets_directory}/$name", $text, 0600);
	return value("SELECT result FROM exact.import_secrets() WHERE kind || '.' || name || '.' || field = '$name'");
}
sub older_than
{
	my ($seconds) = @_;

	return wait_until("the pair is $seconds s old",
		sub { value("SELECT clock_timestamp() - max(issued_at) > interval '$seconds s' FROM exact.token") eq 't' });
}

value('CREATE EXTENSION exact_databricks');
wait_for_workers($node, 'postgres');
value("INSERT INTO exact.app (name, client_id, base_url, redirect_uri) VALUES ('erp', '$info->{client_id}', "
	. "'$exact->{url}', '$info->{redirect_uri}')");

# nobody has consented, nothing is set
like(error_of($node, 'postgres', "SELECT exact.me('erp')"),
	qr/EX005: app "erp" is not authorised yet.*authorize_url\('erp'\)/s, 'not authorised');
my $first = $exact->post('authorize')->{refresh_token};
is(import_file('app.erp.refresh_token', "$first\n"), 'imported', 'a refresh token is imported');
is(value("SELECT state FROM exact.app_state"), 'authorized', 'state');
like(error_of($node, 'postgres', "SELECT exact.me('erp')"),
	qr/EX004: the client_secret of app "erp" is not set.*app\.erp\.client_secret/s,
	'no client secret: nothing is sent');
is(token_calls(), 0, 'the imported token is still unused');

# the first call refreshes, the next ones do not
is(import_file('app.erp.client_secret', $info->{client_secret}), 'imported', 'client secret');
like(value("SELECT exact.me('erp') ->> 'FullName'"), qr/\w/, 'a call with a fresh token');
value("SELECT exact.me('erp')") foreach 1 .. 3;
is(token_calls(), 1, 'one call of the token endpoint');
is(value("SELECT string_agg(origin || ' ' || (access IS NOT NULL), ', ' ORDER BY id) FROM exact.token"),
	'import false, refresh true', 'two pairs stored');
is( value("SELECT state || ' ' || refresh_attempts || ' ' || (refreshing_since IS NULL) FROM exact.app_state"),
	'authorized 0 true', 'no attempt is open');
is(value("SELECT outcome || ' ' || path || ' ' || status FROM exact.api_call WHERE feed = 'token'"),
	'ok oauth2/token 200', 'the call is recorded');
is(value("SELECT what ->> 'event' FROM exact.audit_log WHERE kind = 'token'"), 'refreshed', 'and audited');
is(import_file('app.erp.refresh_token', "$first\n"), 'unchanged', 'the same file again leaves the newer chain alone');

# five who wait, one call
older_than(3);
{
	my @sessions = map { $node->background_psql('postgres') } 1 .. 5;
	$_->query_until(qr/sent/, "\\echo sent\nSELECT 'got ' || (exact.me('erp') ->> 'FullName');\n") foreach @sessions;
	$_->query_until(qr/got /, '') foreach @sessions;
	$_->quit foreach @sessions;
}
is(refreshes(), 2, 'five callers at the age of refresh: one new pair');
is(token_calls(), 2, 'and one call');

# a user's open transaction has the row of the app's state
older_than(3);
my $user = $node->background_psql('postgres');
$user->query_safe("BEGIN; SELECT exact.authorize_url('erp');");
my $seconds = seconds_of(sub { value("SELECT exact.me('erp')"); });
is(refreshes(), 3, 'refreshed while a user holds the row of exact.app_state');
cmp_ok($seconds, '<', 1, sprintf('without waiting for it (%.2f s)', $seconds));
$user->query_safe('ROLLBACK');
$user->quit;
wait_until('the state is written later',
	sub { value("SELECT refreshing_since IS NULL AND refresh_attempts = 0 FROM exact.app_state") eq 't' });

# too early: the setting is shorter than the service allows
$exact->post('config', min_refresh_age => 570);
value("SELECT exact.me('erp')");
older_than(3);
wait_until('a pair that the new limit is for', sub { value("SELECT exact.me('erp')"); refreshes() >= 4 });
older_than(3);
my $before = token_calls();
value("SELECT exact.me('erp')") foreach 1 .. 3;
is(token_calls(), $before + 1, 'too early: asked once');
is(value('SELECT learned_refresh_age FROM exact.app_state'), '570', 'and learned the age');
is(value('SELECT state FROM exact.app_state'), 'authorized', 'no alarm');
is(value("SELECT outcome FROM exact.api_call WHERE feed = 'token' ORDER BY id DESC LIMIT 1"), 'limit', 'recorded');
is(refreshes(), 4, 'the pair stays');

# the access token is rejected before its time: one early attempt tells that the chain lives
$exact->post('revoke', what => 'access');
$before = token_calls();
like(error_of($node, 'postgres', "SELECT exact.me('erp')"), qr/EX008.*tries again at/s,
	'rejected early: wait for the time of refresh');
like(error_of($node, 'postgres', "SELECT exact.me('erp')"), qr/EX008/, 'again');
is(token_calls(), $before + 1, 'one early attempt');
is(value('SELECT state FROM exact.app_state'), 'authorized', 'the chain lives');

# and a dead chain is known at once
value("UPDATE exact.app_state SET learned_refresh_age = NULL");
$exact->post('config', min_refresh_age => 2);
setting(refresh_after => '570s');
import_file('app.erp.refresh_token', $exact->post('authorize')->{refresh_token});
value("SELECT exact.me('erp')");
$exact->post('revoke', what => 'chain');
$before = token_calls();
like(error_of($node, 'postgres', "SELECT exact.me('erp')"),
	qr/EX005: app "erp" must be authorised again.*chainId.*authorize_url/s, 'a dead chain');
cmp_ok(token_calls() - $before, '<=', 2, 'at most two calls');
is(value('SELECT state FROM exact.app_state'), 'reauthorize', 'state');
like(value('SELECT next_step FROM exact.app_state'), qr/authorize_url\('erp'\)/, 'next step');
like(slurp_file($node->logfile), qr/WARNING:  exact fetcher: alarm app=erp state=reauthorize reason=".*chainId/,
	'alarm in the log');
error_of($node, 'postgres', "SELECT exact.me('erp')") foreach 1 .. 3;
cmp_ok(token_calls() - $before, '<=', 2, 'and no more');

# a wrong client secret costs one call; the right one makes the chain go on
setting(refresh_after => '3s');
$exact->post('config', min_refresh_age => 2);
import_file('app.erp.refresh_token', $exact->post('authorize')->{refresh_token});
import_file('app.erp.client_secret', 'MarkerWrongSecret');
$before = token_calls();
like(error_of($node, 'postgres', "SELECT exact.me('erp')"),
	qr/EX005.*refuses the client id or secret.*app\.erp\.client_secret/s, 'wrong client secret');
error_of($node, 'postgres', "SELECT exact.me('erp')") foreach 1 .. 3;
is(token_calls(), $before + 1, 'is tried once');
is(import_file('app.erp.client_secret', $info->{client_secret}), 'imported', 'the right one');
like(value("SELECT exact.me('erp') ->> 'FullName'"), qr/\w/, 'goes on with the same refresh token');
is(value('SELECT state FROM exact.app_state'), 'authorized', 'state');

# the day's token calls
$exact->post('config', token_day_limit => 1);
older_than(3);
value("SELECT exact.me('erp')");
is(value("SELECT outcome FROM exact.api_call WHERE feed = 'token' ORDER BY id DESC LIMIT 1"), 'limit',
	'429 of the token endpoint');
is(value('SELECT state FROM exact.app_state'), 'authorized', 'is no refusal');
$exact->post('config', token_day_limit => 200);

# another host voids what is stored for this one
$before = token_calls();
value("UPDATE exact.app SET base_url = 'http://127.0.0.1:9'");
like(error_of($node, 'postgres', "SELECT exact.me('erp')"),
	qr/EX004: the tokens of app "erp" are for another host.*127\.0\.0\.1:9/s, 'another host');
is(value("SELECT finding FROM exact.credentials WHERE field = 'client_secret'"), 'set for another host: set it again',
	'exact.credentials says so');
value("UPDATE exact.app SET base_url = '$exact->{url}'");
setting(allowed_hosts => 'start.exactonline.nl', insecure_loopback => 'off');
wait_until('the setting counts', sub { error_of($node, 'postgres', "SELECT exact.me('erp')") =~ /EX006/ });
setting(insecure_loopback => 'on');

# the key file is gone for a while
rename("$node->{exact_key_file}", "$node->{exact_key_file}.away") or die "cannot rename: $!";
value('SELECT exact.restart_workers()');
wait_for_workers($node, 'postgres');
like(error_of($node, 'postgres', "SELECT exact.me('erp')"), qr/EX003: key file ".*" does not exist.*openssl rand/s,
	'key file missing');
rename("$node->{exact_key_file}.away", "$node->{exact_key_file}") or die "cannot rename: $!";
wait_until('it is back', sub { error_of($node, 'postgres', "SELECT exact.me('erp')") eq '' });

is(value('SELECT count(*) FROM exact.verify_audit()'), '0', 'the audit chains are intact');
$node->stop;
done_testing();
