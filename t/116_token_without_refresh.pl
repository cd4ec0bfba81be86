# An answer to a refresh that holds an access token and no refresh token. The access token is stored and used until it
# ends; the refresh token that was sent is tried once more before that, while the service perhaps still takes it.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactOnline;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $exact = ExactOnline->start('--divisions', 1, '--records', 60, '--fast', '--minute-limit', 100000,
	'--token-lifetime', 600, '--min-refresh-age', 1, '--error-limit', 0);
my $node = exact_cluster('main', conf => { 'exact_databricks.refresh_after' => '1s' });
my $info = $exact->{info};
my $token_path = 'oauth2/token';
my $since;

sub value { return $node->safe_psql('postgres', $_[0]); }
sub token_calls { my @calls = $exact->calls($since, qr{$token_path}); return scalar @calls; }
sub me_error { return error_of($node, 'postgres', "SELECT exact.me('erp')"); }
sub state { return value("SELECT state || ': ' || coalesce(reason, '') || '; ' || coalesce(next_step, '') "
	. "FROM exact.app_state"); }
sub newest { return value('SELECT origin FROM exact.token ORDER BY issued_at DESC LIMIT 1'); }
sub due { return wait_until('the pair is due',
	sub { value("SELECT clock_timestamp() - max(issued_at) > interval '1.2 s' FROM exact.token") eq 't' }); }

# A fresh chain, imported, used once and due for a refresh
sub fresh_chain
{
	my ($mode) = @_;

	$exact->clear_faults;
	$exact->post('config', token_extra => [], token_mode => $mode);
	write_file("$node->{exact_secrets_directory}/app.erp.refresh_token", $exact->post('authorize')->{refresh_token},
		0600);
	is(value("SELECT result FROM exact.import_secrets() WHERE field = 'refresh_token'"), 'imported',
		"a fresh chain, $mode");
	wait_until('its first pair', sub { me_error() eq '' });
	due();
	$since = $exact->last_call;
	return;
}

value('CREATE EXTENSION exact_databricks');
wait_for_workers($node, 'postgres');
value("INSERT INTO exact.app (name, client_id, base_url, redirect_uri) VALUES ('erp', '$info->{client_id}', "
	. "'$exact->{url}', '$info->{redirect_uri}')");
write_file("$node->{exact_secrets_directory}/app.erp.client_secret", $info->{client_secret}, 0600);
value('SELECT * FROM exact.import_secrets()');

# the service takes the old one no more: the access token serves until it ends, and a human knows it from the start
fresh_chain('strict');
$exact->fault($token_path, 'no_refresh_token', times => 1);
is(me_error(), '', 'no refresh token, strict service: the access token is used');
is(token_calls(), 2, 'two calls: the refresh, and the old refresh token once more');
is(newest(), 'access', 'the access token is stored');
my $until = value("SELECT extract(year FROM expires_at) FROM exact.token ORDER BY issued_at DESC LIMIT 1");
like(state(),
	pattern("^reauthorize: Exact Online gave an access token, which ends at $until.*, without a refresh token, and no ",
		"longer takes the previous refresh token: .*Old refresh token used.*; SELECT exact.authorize_url"),
	'what happened, until when it works, and the next step');
unlike(state(), qr/lost/, 'no answer was lost');
like(slurp_file($node->logfile), qr/token app=erp event="no refresh token"/, 'the log says it');
like(slurp_file($node->logfile), qr/alarm app=erp state=reauthorize reason="Exact Online gave an access token, which/,
	'and raises the alarm');
is( value("SELECT string_agg(what ->> 'event', ', ' ORDER BY id) FROM (SELECT * FROM exact.audit_log "
	. "WHERE kind = 'token' ORDER BY id DESC LIMIT 2) AS e"),
	'no refresh token, refused', 'both are audited');
due();
is(me_error(), '', 'it works on') foreach 1 .. 3;
my $pid = worker_pid($node, 'postgres', 'fetcher');
value('SELECT exact.restart_workers()');
wait_until('another fetcher', sub { worker_pid($node, 'postgres', 'fetcher') !~ /^(|$pid)$/ });
wait_for_workers($node, 'postgres');
is(me_error(), '', 'with another process as well');
is(token_calls(), 2, 'without another call');
value('UPDATE exact.token SET expires_at = clock_timestamp() WHERE id = (SELECT max(id) FROM exact.token)');
like(me_error(), qr/EX005: app "erp" must be authorised again.*gave an access token.*authorize_url\('erp'\)/s,
	'the access token has ended: a human must consent');
is(token_calls(), 2, 'no call more');

# the access token is refused before its end
fresh_chain('strict');
is(state(), 'authorized: ; ', 'authorised again');
$exact->fault($token_path, 'no_refresh_token', times => 1);
is(me_error(), '', 'no refresh token again');
$exact->post('revoke', what => 'access');
like(me_error(), qr/EX005: app "erp" must be authorised again.*gave an access token/s, 'revoked: a human must consent');
is(token_calls(), 2, 'two calls');

# a service that takes the old one until the new access token is used: nothing is noticed
fresh_chain('forgiving');
$exact->fault($token_path, 'no_refresh_token', times => 1);
is(me_error(), '', 'no refresh token, forgiving service');
is(token_calls(), 2, 'two calls');
is(newest(), 'refresh', 'the second gave a pair');
is(state(), 'authorized: ; ', 'nothing is to be done');
due();
is(me_error(), '', 'the chain goes on');
is(token_calls(), 3, 'by one call');

# the second call says nothing: the access token is used, and the old refresh token is tried when it is due
fresh_chain('strict');
$exact->fault($token_path, 'no_refresh_token', times => 1);
$exact->fault($token_path, 'status', times => -1, status => 503, body => 'down');
is(me_error(), '', 'no refresh token, then 503: the access token is used');
is(token_calls(), 3, 'the old refresh token was tried twice');
like(state(), qr/^authorized: Exact Online gave an access token, which ends at \d.*; nothing yet: the hub tries/,
	'what happened, and what is next');
is(me_error(), '', 'it works on');

# a service that gives no refresh tokens and leaves the old one good, as RFC 6749 has it
fresh_chain('forgiving');
$exact->post('config', token_extra => ['no_refresh_token']);
is(me_error(), '', 'never a refresh token');
is(token_calls(), 2, 'the old one is tried');
like(state(),
	qr/^authorized: .*; nothing yet: the hub tries the previous refresh token again; .* must consent before \d/,
	'and kept');
foreach my $round (1 .. 2)
{
	$since = $exact->last_call;
	due();
	is(me_error(), '', "it is due, $round");
	is(token_calls(), 1, 'one call renews the access token');
}

# what reads meanwhile goes on, and the status tells it from what stands still
fresh_chain('strict');
$exact->fault($token_path, 'no_refresh_token', times => 1);
$exact->enable($node, 'postgres', ['glaccount'], $exact->divisions);
like(state(), qr/^reauthorize/, 'a human must consent');
is($exact->sync($node, 'postgres'), 'done', 'the feeds are read');
my $status = "SELECT light || ' ' || what FROM exact.status";
like(value($status), qr/^warn app erp needs consent again .*gave an access token, which ends at/, 'a warning');
value('UPDATE exact.token SET expires_at = clock_timestamp() WHERE id = (SELECT max(id) FROM exact.token)');
like(value($status), qr/^fail app erp needs consent again/, 'which stands still when the access token has ended');
like($exact->sync($node, 'postgres'), qr/^failed/, 'and a request says so');
value('UPDATE exact.division SET enabled = false');

# a consent without a refresh token is none
$exact->clear_faults;
$exact->fault($token_path, 'no_refresh_token', times => 1);
my $answer = $exact->{http}->get(value("SELECT exact.authorize_url('erp')"));
like(error_of($node, 'postgres', "SELECT exact.authorize('erp', '$answer->{headers}{location}')"),
	qr/the authorisation of app "erp" got no clear answer.*without a usable refresh_token.*Begin again/s,
	'a consent without a refresh token');

$node->stop;
done_testing();
