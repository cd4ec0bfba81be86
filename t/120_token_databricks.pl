# Databricks tokens: discovery, client credentials, early renewal, one more when rejected, personal access tokens, hosts
# as people paste them, and what is refused. Asked through the loader's own ping, which needs a token for its call.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

my $simulator = simulator(engine => 'none', pat => 'dapiMarkerPersonal-5Wd', 'client-secret' => 'MarkerLake-9Zv!/+=:x',
	'token-lifetime' => 600);
my $node = exact_cluster('main');
my $client_id = $simulator->{info}{client_id};
my $json = JSON::PP->new->utf8;
(my $port = $simulator->{url}) =~ s/.*://;

sub value { return $node->safe_psql('postgres', $_[0]); }
sub ping { return $json->decode(value("SELECT exact._ask('loader', 'ping')"))->[0]; }
sub count_of { my ($path) = @_;
	return scalar grep { $_->{path} =~ $path } @{ control($simulator, 'GET', 'calls?since=0')->{calls} }; }
sub fault { my ($path, $action, %more) = @_;
	return control($simulator, 'POST', 'faults', { path => $path, action => $action, %more }); }
sub clear { return control($simulator, 'DELETE', 'faults'); }
sub set_secret
{
	my ($field, $secret) = @_;

	write_file("$node->{exact_secrets_directory}/workspace.lake.$field", $secret);
	return value("SELECT result FROM exact.import_secrets() WHERE field = '$field'");
}
# Any change of the workspace makes the loader forget its token.
sub anew { return value("UPDATE exact.workspace SET host = CASE WHEN host LIKE '%?o=1' THEN '$simulator->{url}' "
	. "ELSE '$simulator->{url}/?o=1' END"); }

value('CREATE EXTENSION exact_databricks');
wait_for_workers($node, 'postgres');
value("INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema, client_id) "
	. "VALUES ('lake', '$simulator->{url}', '$simulator->{info}{warehouse_id}', 'main', 'exact', '$client_id')");

# nothing set, wrong, right
like(ping()->{finding}, qr/the client_secret of workspace "lake" is not set/, 'no secret');
is(count_of(qr{oidc/v1/token}), 0, 'nothing was sent');
is(set_secret('client_secret', 'MarkerWrongLake'), 'imported', 'a wrong secret');
like(ping()->{finding}, qr/Databricks refuses the client id or secret of workspace "lake"/, 'is refused');
like(ping()->{next_step}, qr/workspace\.lake\.client_secret/, 'with the next step');
is(count_of(qr{oidc/v1/token}), 1, 'by one answer');
unlike(slurp_file($node->logfile), qr/alarm workspace=lake/, 'which alone is no alarm');
ok(wait_until('it is refused twice', sub { ping(); slurp_file($node->logfile) =~ /alarm workspace=lake/ }, 10),
	'the second answer is believed');
like(ping()->{finding}, qr/Databricks refuses the client id or secret of workspace "lake"/, 'and said') foreach 1 .. 3;
is(count_of(qr{oidc/v1/token}), 2, 'and no more are asked for');
like(slurp_file($node->logfile), qr/WARNING:  exact loader: alarm workspace=lake .*invalid_client/, 'alarm in the log');
is(set_secret('client_secret', 'MarkerLake-9Zv!/+=:x'), 'imported', 'the right secret');
ok(ping()->{ok}, 'works at once');
ok(ping()->{ok}, 'and again') foreach 1 .. 2;
is(count_of(qr{oidc/v1/token}), 3, 'with one token');
is(count_of(qr{oauth-authorization-server}), 2, 'the endpoint was discovered once for each secret');
is(value("SELECT what ->> 'event' || ' ' || (what ->> 'workspace') FROM exact.audit_log WHERE chain = 'loader' "
	. "AND kind = 'token'"), 'issued lake', 'audited');
is(value('SELECT count(*) FROM exact.token'), '0', 'it is stored nowhere');

# rejected: one more
my $before = count_of(qr{oidc/v1/token});
fault('sql/warehouses', 'token_expired', times => 1);
ok(ping()->{ok}, 'a rejected token is renewed');
is(count_of(qr{oidc/v1/token}), $before + 1, 'by one call');

# tokens that are rejected whatever comes
fault('sql/warehouses', 'token_expired', times => -1);
ok(!ping()->{ok}, 'a token that is always rejected') foreach 1 .. 4;
like(ping()->{finding}, qr/Databricks refuses the tokens that it issued/, 'is said after some');
$before = count_of(qr{oidc/v1/token});
ping() foreach 1 .. 3;
is(count_of(qr{oidc/v1/token}), $before, 'and no more are asked for');
clear();
# what is changed is tried at once, also by nobody's ping
anew();
ok(wait_until('it works', sub { ping()->{ok} }, 10), 'another address is tried at once');

# the endpoint does not answer, or strangely
foreach my $case (
	[ 'oidc/v1/token', 'status', [ status => 503 ], qr/gives no access token to workspace "lake" now/ ],
	[ 'oidc/v1/token', 'status', [ status => 429, headers => { 'Retry-After' => '1' } ], qr/gives no access token/ ],
	[ 'oidc/v1/token', 'html', [], qr/gives no access token/ ],
	[ 'oidc/v1/token', 'reset_before', [], qr/gives no access token/ ],
	[ 'oauth-authorization-server', 'html', [], qr/gives no access token/ ],
	[ 'oauth-authorization-server', 'status', [ status => 404 ], qr/OAuth is not available on/ ],
	[ 'oauth-authorization-server', 'status',
		[ status => 200, body => '{"token_endpoint":"https:\\/\\/evil.example.com\\/oidc\\/v1\\/token"}' ],
		qr/token endpoint on another host/ ])
{
	my ($path, $action, $more, $expected) = @$case;

	anew();
	fault($path, $action, times => 1, @$more);
	like(ping()->{finding}, $expected, "$path $action @$more");
	clear();
	ok(wait_until('it is tried again', sub { ping()->{ok} }, 10), 'works a second later');
}

# what only a human can mend is believed when it comes twice, whatever comes between the two
anew();
fault('oauth-authorization-server', 'status', times => 1, status => 404);
ping();
clear();
fault('oauth-authorization-server', 'status', times => 1, status => 503);
ok(wait_until('nothing is known between', sub { ping()->{finding} =~ /gives no access token/ }, 10), 'a 503 between');
clear();
fault('oauth-authorization-server', 'status', times => -1, status => 404);
$before = () = slurp_file($node->logfile) =~ /alarm workspace=lake reason="OAuth is not available/g;
ok(wait_until('an alarm', sub {
	ping();
	my $now = () = slurp_file($node->logfile) =~ /alarm workspace=lake reason="OAuth is not available/g;
	return $now > $before;
}, 20), 'the second 404 is believed');
$before = count_of(qr{oauth-authorization-server});
ping() foreach 1 .. 3;
is(count_of(qr{oauth-authorization-server}), $before, 'no more are asked for');
clear();
anew();
ok(ping()->{ok}, 'a changed address is tried at once');

# short lives are renewed at four fifths
control($simulator, 'POST', 'config', { token_lifetime => 3 });
anew();
ok(ping()->{ok}, 'a token of three seconds');
$before = count_of(qr{oidc/v1/token});
wait_until('it is renewed', sub { return ping()->{ok} && count_of(qr{oidc/v1/token}) > $before }, 10);
is(scalar(grep { $_->{status} == 403 } @{ control($simulator, 'GET', 'calls?since=0')->{calls} }[ -3 .. -1 ]), 0,
	'before it is rejected');
control($simulator, 'POST', 'config', { token_lifetime => 3600 });

# personal access tokens
value("UPDATE exact.workspace SET client_id = NULL");
like(ping()->{finding}, qr/the token of workspace "lake" is not set/,
	'without client id a personal access token is wanted');
set_secret('token', 'dapiMarkerWrong');
ok(!ping()->{ok}, 'a wrong one');
like(ping()->{finding}, qr/Databricks refuses the personal access token of workspace "lake"/, 'is said');
set_secret('token', "dapiMarkerPersonal-5Wd\n");
ok(ping()->{ok}, 'the right one works at once');

# hosts as pasted
foreach my $host ("$simulator->{url}/", "$simulator->{url}/sql/editor/1?o=123456&x=y#z",
	uc($simulator->{url}) =~ s/HTTP/http/r)
{
	value("UPDATE exact.workspace SET host = '$host'");
	set_secret('token', 'dapiMarkerPersonal-5Wd');
	ok(ping()->{ok}, $host);
}
value("UPDATE exact.workspace SET host = 'http://localhost:$port'");
like(ping()->{finding}, qr/the token of workspace "lake" is for another host/, 'another name is another host');

unlike(slurp_file($node->logfile), qr/Marker/, 'no secret in the log');
unlike(value('SELECT string_agg(t::text, \'\') FROM exact.audit_log AS t'), qr/Marker/, 'nor in the audit log');
$node->stop;
done_testing();
