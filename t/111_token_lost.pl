# Exact Online's token chain when an answer does not come: lost after the service has rotated, gateway faults, nothing
# listening, a process that ends or is killed while the answer is outstanding.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactOnline;
use ExactTest;
use IO::Socket::INET;
use PostgreSQL::Test::Utils;
use Test::More;

my $exact = ExactOnline->start('--divisions', 1, '--records', 60, '--fast', '--minute-limit', 100000,
	'--min-refresh-age', 1, '--error-limit', 0);
my $node = exact_cluster('main', conf => { 'exact_databricks.refresh_after' => '1s', 'restart_after_crash' => 'on' });
my $info = $exact->{info};
my $token_path = 'oauth2/token';
my $since;

sub value { return $node->safe_psql('postgres', $_[0]); }
sub token_calls { return scalar $exact->calls($since, qr{$token_path}); }
sub me_error { return error_of($node, 'postgres', "SELECT exact.me('erp')"); }

# A fresh chain, imported, used once and due for a refresh
sub fresh_chain
{
	my ($mode) = @_;

	$exact->clear_faults;
	$exact->post('config', token_mode => $mode);
	write_file("$node->{exact_secrets_directory}/app.erp.refresh_token", $exact->post('authorize')->{refresh_token},
		0600);
	is(value("SELECT result FROM exact.import_secrets() WHERE field = 'refresh_token'"), 'imported',
		"a fresh chain, $mode");
	wait_until('its first pair', sub { me_error() eq '' });
	wait_until('its first pair is due',
		sub { value("SELECT clock_timestamp() - max(issued_at) > interval '1.2 s' FROM exact.token") eq 't' });
	$since = $exact->last_call;
	return;
}

value('CREATE EXTENSION exact_databricks');
wait_for_workers($node, 'postgres');
value("INSERT INTO exact.app (name, client_id, base_url, redirect_uri) VALUES ('erp', '$info->{client_id}', "
	. "'$exact->{url}', '$info->{redirect_uri}')");
write_file("$node->{exact_secrets_directory}/app.erp.client_secret", $info->{client_secret}, 0600);
value('SELECT * FROM exact.import_secrets()');

# the answer is lost, and the service takes the old token no more: two calls, then a human
fresh_chain('strict');
$exact->fault($token_path, 'reset_after', times => 1);
my $seconds = seconds_of(
	sub {
		like(me_error(),
			pattern('(?s)EX005: app "erp" must be authorised again.*Old refresh token used \(the answer to the ',
				'attempt before was lost.*authorize_url'),
			'lost answer, strict service: must be authorised again');
	});
cmp_ok($seconds, '<', 60, sprintf('within a minute (%.1f s)', $seconds));
is(token_calls(), 2, 'two calls');
me_error() foreach 1 .. 3;
is(token_calls(), 2, 'and no more');
is(value('SELECT state FROM exact.app_state'), 'reauthorize', 'state');
like(slurp_file($node->logfile), qr/alarm app=erp state=reauthorize .*next="SELECT exact.authorize_url\('erp'\)/,
	'alarm with the next step');
value('SELECT exact.restart_workers()');
wait_for_workers($node, 'postgres');
like(me_error(), qr/EX005: app "erp" must be authorised again/, 'another process knows it');
is(token_calls(), 2, 'without asking the service');

# the same with a service that takes the old token until the new pair is used: nothing is noticed
fresh_chain('forgiving');
$exact->fault($token_path, 'reset_after', times => 1);
is(me_error(), '', 'lost answer, forgiving service');
is(token_calls(), 2, 'two calls');
is( value("SELECT string_agg(what ->> 'event', ', ' ORDER BY id) FROM (SELECT * FROM exact.audit_log "
	. "WHERE kind = 'token' ORDER BY id DESC LIMIT 2) AS e"),
	'outcome unknown, refreshed', 'both are audited');

# answers that say nothing about the token: the same token once more
foreach my $fault (
	[ 'status', status => 503, body => '', 'an empty 503' ],
	[ 'status', status => 502, body => '{"fault":{"faultstring":"Execution '
		. 'failed","detail":{"errorcode":"steps.Failed"}}}', 'a gateway fault' ],
	[ 'html', 'a login page' ],
	[ 'status', status => 200, body => '{"access_token":"abc","expires_in":"600","refresh_token":null}',
		'a pair without a refresh token' ],
	[ 'malformed', 'broken JSON' ],
	[ 'reset_before', 'a reset connection' ])
{
	my ($action, @more) = @$fault;
	my $what = pop @more;

	fresh_chain('forgiving');
	$exact->fault($token_path, $action, times => 1, @more);
	is(me_error(), '', "$what: the second attempt is answered");
	is(token_calls(), 2, 'two calls');
}

# for a long time: two calls, then rarely, and never a false alarm
fresh_chain('strict');
$exact->fault($token_path, 'status', times => -1, status => 503, body => 'down');
value("SELECT exact.me('erp')");
is(value("SELECT (clock_timestamp() < expires_at) FROM exact.token ORDER BY id DESC LIMIT 1"), 't',
	'the access token that is still good serves');
is(token_calls(), 2, 'two calls');
value("SELECT exact.me('erp')") foreach 1 .. 3;
is(token_calls(), 2, 'then a pause');
is(value("SELECT state || ' ' || refresh_attempts FROM exact.app_state"), 'authorized 2',
	'no alarm, two attempts on record');
wait_until('the access token is old enough for a rejection',
	sub { value("SELECT clock_timestamp() - max(issued_at) > interval '5.2 s' FROM exact.token") eq 't' });
$exact->post('revoke', what => 'access');
like(me_error(), qr/EX008.*no valid access token now.*HTTP 503.*The refresh token is kept; the hub tries again at/s,
	'without an access token: said so');

# killed while the answer is outstanding: the next process knows that a refresh was sent
fresh_chain('forgiving');
$exact->fault($token_path, 'hang', times => 1);
my $asker = $node->background_psql('postgres', on_error_stop => 0);
$asker->query_until(qr/sent/, "\\echo sent\nSELECT exact.me('erp');\n");
wait_until('the refresh is on record', sub { value('SELECT refresh_attempts FROM exact.app_state') eq '1' });
kill 'KILL', worker_pid($node, 'postgres', 'fetcher');
eval { $asker->quit; };
wait_until('the server is back', sub { defined answer_of($node, 'postgres', 'SELECT 1') });
wait_for_workers($node, 'postgres');
$exact->clear_faults;
is(me_error(), '', 'killed in the middle: the same token is tried again');
like(slurp_file($node->logfile), qr/event="outcome unknown" attempt=1 finding="the process that sent it ended"/,
	'and the log says why');

# asked to end while the answer is outstanding: the pair is committed first
fresh_chain('strict');
$exact->fault($token_path, 'delay_after', times => 1, seconds => 2);
$asker = $node->background_psql('postgres', on_error_stop => 0);
$asker->query_until(qr/sent/, "\\echo sent\nSELECT exact.me('erp');\n");
wait_until('the refresh is on record', sub { value('SELECT refresh_attempts FROM exact.app_state') eq '1' });
my $old = worker_pid($node, 'postgres', 'fetcher');
my $last = value('SELECT max(id) FROM exact.token');
kill 'TERM', $old;
wait_until('the fetcher has ended', sub { worker_pid($node, 'postgres', 'fetcher') !~ /^(|$old)$/ });
wait_for_workers($node, 'postgres');
eval { $asker->quit; };
is(value("SELECT count(*) FROM exact.token WHERE id > $last AND origin = 'refresh'"), '1',
	'the pair was committed before the process ended');
is(me_error(), '', 'and is good');
is(value('SELECT state FROM exact.app_state'), 'authorized', 'state');

# another authorisation is imported while the answer for the old one is outstanding: it stays the newest
fresh_chain('strict');
$exact->fault($token_path, 'delay_after', times => 1, seconds => 2);
$asker = $node->background_psql('postgres', on_error_stop => 0);
$asker->query_until(qr/sent/, "\\echo sent\nSELECT exact.me('erp');\n");
wait_until('the refresh is on record', sub { value('SELECT refresh_attempts FROM exact.app_state') eq '1' });
$last = value('SELECT max(id) FROM exact.token');
value("SELECT exact.set_secret('app', 'erp', 'refresh_token', '"
	. $exact->post('authorize', user => 'other@example.com')->{refresh_token} . "')");
eval { $asker->quit; };
wait_until('the old chain\'s pair is stored', sub { value("SELECT count(*) FROM exact.token WHERE id > $last") >= 2 });
is(me_error(), '', 'works');
# on a slow machine the imported chain was renewed by its time, too
like(value("SELECT string_agg(origin, ', ' ORDER BY issued_at) FROM exact.token WHERE id > $last"),
	qr/^refresh, import(, refresh)+$/, 'the imported chain goes on');

# nothing listens: not sent, so it is no attempt; it works as soon as somebody does
my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', LocalPort => 0) or die "cannot listen: $!";
my $port = $socket->sockport;
close $socket;
value("INSERT INTO exact.app (name, client_id, base_url) VALUES ('down', '$info->{client_id}', "
	. "'http://127.0.0.1:$port')");
write_file("$node->{exact_secrets_directory}/app.down.client_secret", $info->{client_secret}, 0600);
write_file("$node->{exact_secrets_directory}/app.down.refresh_token", 'MarkerNeverSent', 0600);
value('SELECT * FROM exact.import_secrets()');
like(error_of($node, 'postgres', "SELECT exact.me('down')"), qr/EX008.*no valid access token now.*tries again at/s,
	'nothing listens');
is(value("SELECT coalesce(refresh_attempts, 0) FROM exact.app_state WHERE app = 'down'"), '0',
	'no attempt is on record');
is(value("SELECT outcome FROM exact.api_call WHERE app = 'down' ORDER BY id DESC LIMIT 1"), 'transient', 'the call is');

$node->stop;
done_testing();
