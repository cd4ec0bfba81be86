# Far sides of the token chain's limits: the calls of a day, attempts before a restart, the margin before an expiry, a
# crash right after a refresh, an older pair that was written later.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactOnline;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $exact = ExactOnline->start('--divisions', 1, '--records', 60, '--fast', '--minute-limit', 100000,
	'--min-refresh-age', 1, '--error-limit', 0);
my $node = exact_cluster('main', conf => {
	'exact_databricks.refresh_after' => '1s', 'restart_after_crash' => 'on', 'wal_writer_delay' => '10s' });
my $info = $exact->{info};
my $token_path = 'oauth2/token';

sub value { return $node->safe_psql('postgres', $_[0]); }
sub me_error { return error_of($node, 'postgres', "SELECT exact.me('erp')"); }
sub token_calls { my ($since) = @_; return scalar(my @calls = $exact->calls($since, qr{$token_path})); }

sub renewed
{
	my $pid = worker_pid($node, 'postgres', 'fetcher');

	value('SELECT exact.restart_workers()');
	wait_until('another fetcher', sub { worker_pid($node, 'postgres', 'fetcher') !~ /^(|$pid)$/ });
	return;
}

# The pair at hand is as old as that and ends in so many seconds.
sub make_pair
{
	my ($age, $left) = @_;

	return value("UPDATE exact.token SET issued_at = clock_timestamp() - interval '$age s', "
		. "expires_at = clock_timestamp() + interval '$left s' WHERE id = (SELECT max(id) FROM exact.token)");
}

sub wait_due
{
	return wait_until('the pair is due',
		sub { value("SELECT clock_timestamp() - max(issued_at) > interval '1.2 s' FROM exact.token") eq 't' });
}

value('CREATE EXTENSION exact_databricks');
wait_for_workers($node, 'postgres');
value("INSERT INTO exact.app (name, client_id, base_url, redirect_uri) VALUES ('erp', '$info->{client_id}', "
	. "'$exact->{url}', '$info->{redirect_uri}')");
write_file("$node->{exact_secrets_directory}/app.erp.client_secret", $info->{client_secret}, 0600);
$exact->post('config', token_mode => 'strict');
write_file("$node->{exact_secrets_directory}/app.erp.refresh_token", $exact->post('authorize')->{refresh_token}, 0600);
value('SELECT * FROM exact.import_secrets()');
is(me_error(), '', 'the first pair');

# the cluster crashes right after a refresh: the only refresh token is on the disk, whatever the database wishes
value('ALTER SYSTEM SET synchronous_commit = off');
value('SELECT pg_reload_conf()');
foreach my $round (1 .. 3)
{
	wait_due();
	my $since = $exact->last_call;

	is(me_error(), '', "round $round: refreshed");
	is(token_calls($since), 1, 'by one call');
	$node->stop('immediate');
	$node->start;
	wait_for_workers($node, 'postgres');
}
wait_due();
is(me_error(), '', 'the chain goes on');
is(value('SELECT state FROM exact.app_state'), 'authorized', 'and no consent is needed');
value('ALTER SYSTEM RESET synchronous_commit');
value('SELECT pg_reload_conf()');

# an older pair is written anew, as when it is sealed with another key: the newer one is used
value("INSERT INTO exact.token (app, installation, host, key_id, access, refresh, issued_at, expires_at, origin) "
	. "SELECT app, installation, host, key_id, access, refresh, issued_at, expires_at, origin FROM exact.token "
	. "WHERE access IS NOT NULL ORDER BY issued_at LIMIT 1");
wait_due();
renewed();
my $since = $exact->last_call;
is(me_error(), '', 'the newest by time of issue is used');
is(token_calls($since), 1, 'at the first attempt');
is(value('SELECT state FROM exact.app_state'), 'authorized', 'the service knows it');
value('DELETE FROM exact.token t WHERE issued_at < (SELECT max(issued_at) FROM exact.token)');

# a process that was restarted after unclear attempts waits as the one before would have
wait_due();
make_pair(700, -100);
value('UPDATE exact.app_state SET refresh_attempts = 3, refreshing_since = clock_timestamp()');
$since = $exact->last_call;
renewed();
like(me_error(), qr/EX008.*The refresh token is kept; the hub tries again at/s, 'attempts before the restart count');
is(token_calls($since), 0, 'no call');
like(value("SELECT refresh_attempts || ' ' || state FROM exact.app_state"), qr/^3 authorized$/, 'nothing is forgotten');
value('UPDATE exact.app_state SET refresh_attempts = 0, refreshing_since = NULL');
renewed();
is(me_error(), '', 'without them it goes on');

# the token service is down: no call carries a token that has expired
wait_due();
$exact->fault($token_path, 'status', times => -1, status => 503, body => 'down');
make_pair(590, 10);
my $ends = value('SELECT max(expires_at) FROM exact.token');
renewed();
is(me_error(), '', 'the pair that is still good serves');
wait_until('the margin before its end',
	sub { value("SELECT clock_timestamp() > '$ends'::timestamptz - interval '4 s'") eq 't' });
like(me_error(), qr/EX008/, 'it serves no more');
is(value("SELECT clock_timestamp() < '$ends'"), 't', 'before it expires');
is(value("SELECT count(*) FROM exact.api_call WHERE feed <> 'token' AND at >= '$ends'"), '0',
	'no call carries it later');
$exact->clear_faults;
value('UPDATE exact.app_state SET refresh_attempts = 0, refreshing_since = NULL');

# the calls of a day: 199 leave one, 200 none
sub spend
{
	my ($calls) = @_;

	value('DELETE FROM exact.api_call');
	# with a division, so that they are none of the last minute's calls outside one
	return value("INSERT INTO exact.api_call (at, app, division, feed, method, path, status, outcome) "
		. "SELECT clock_timestamp(), 'erp', 1, 'token', 'POST', 'oauth2/token', 200, 'ok' "
		. "FROM generate_series(1, $calls)");
}
spend(199);
make_pair(700, -100);
$since = $exact->last_call;
renewed();
is(me_error(), '', '199 calls of today: one more');
is(token_calls($since), 1, 'is made');
spend(200);
make_pair(700, -100);
$since = $exact->last_call;
renewed();
like(me_error(), qr/EX017: app "erp" has used its 200 token calls of today.*The hub goes on at .* 00:00:00/s,
	'200 calls: none until the next day');
is(token_calls($since), 0, 'none is made');

$node->stop;
done_testing();
