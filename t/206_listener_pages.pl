# The pages for people and for Prometheus: shown to who has the token and to nobody else, whatever a proxy in front adds
# or leaves out; nobody guesses it.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactTest;
use Listener;
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Utils;
use Test::More;

my ($node, $port) = listener_cluster('main', conf => { 'exact_databricks.trusted_proxies' => "'127.0.0.3'" });
my $token = join '', map { sprintf '%x', rand 16 } 1 .. 64;
my $secrets = $node->{exact_secrets_directory};

sub value { return $node->safe_psql('postgres', $_[0]); }

sub import_token
{
	my ($text) = @_;

	write_file("$secrets/listener.status.token", $text, 0600);
	return value("SELECT result FROM exact.import_secrets() WHERE kind = 'listener'");
}

sub page
{
	my ($path, $authorization, %options) = @_;

	return get($port, $path, headers => ["Authorization: $authorization"], %options);
}

# ---- how others look like callers on this machine ----
my @callers = (
	[ 'this machine', "localhost:$port" ],
	[ 'nginx with proxy_pass alone', '127.0.0.1' ],
	[ 'its own address', "127.0.0.1:$port" ],
	[ 'another address', '203.0.113.9' ],
	[ 'IPv6', '[::1]' ],
	[ 'a public name', 'hub.example.com' ],
	map({ [ $_, "localhost:$port", $_ ] } 'X-Forwarded-For: 203.0.113.5', 'X-Forwarded-For: 127.0.0.1',
		'X-Forwarded-Proto: https', 'X-Real-IP: 127.0.0.1', 'Forwarded: for=127.0.0.1', 'Via: 1.1 proxy',
		'CF-Connecting-IP: 203.0.113.5', 'True-Client-IP: 203.0.113.5'));

sub nobody_sees
{
	my ($why) = @_;

	foreach my $path ('/status', '/metrics', '/deliveries')
	{
		foreach my $caller (@callers)
		{
			my ($what, $host, @headers) = @$caller;

			is(status_of(get($port, $path, host => $host, headers => \@headers)), 401, "$path, $what: $why");
		}
		is(status_of(raw($port, "GET $path HTTP/1.0\r\n\r\n")), 401, "$path, HTTP/1.0 without Host: $why");
		is(status_of(get($port, $path, from => '127.0.0.3', headers => ['X-Forwarded-For: 127.0.0.1'])), 401,
			"$path, a trusted proxy: $why");
	}
	return;
}
nobody_sees('no token is set');
is(status_of(page('/status', 'Bearer nonsense', from => '127.0.0.20')), 401, 'nor with any token');

# ---- a token that can be guessed is no token ----
like(import_token('short'),
	qr/^refused: this cannot be the token of listener "status": it has 5 bytes, the minimum is 32.*openssl rand/,
	'a short one is refused');
like(import_token('x' x 31), qr/^refused: .* it has 31 bytes, the minimum is 32/, '31 bytes');
is(value('SELECT count(*) FROM exact.credential WHERE kind = $$listener$$'), 0, 'nothing was stored');
is(import_token($token), 'imported', 'a long one is taken');
is(value("SELECT is_set, finding IS NULL FROM exact.credentials WHERE kind = 'listener'"), 't|t',
	'exact.credentials has it');
write_file("$secrets/app.erp.webhook_secret_next", '16 bytes will do', 0600);
is(value("SELECT result FROM exact.import_secrets() WHERE field = 'webhook_secret_next'"), 'imported',
	'a webhook secret of 16 bytes is taken');
write_file("$secrets/app.erp.webhook_secret_next", '15 bytes do not', 0600);
like(value("SELECT result FROM exact.import_secrets() WHERE field = 'webhook_secret_next'"),
	qr/^refused: .* it has 15 bytes, the minimum is 16/, 'one of 15 is not');

# ---- with it ----
wait_until('it counts', sub { status_of(page('/metrics', "Bearer $token")) eq '200' });
nobody_sees('without the token');
foreach my $caller (@callers)
{
	my ($what, $host, @headers) = @$caller;

	is(status_of(get($port, '/status', host => $host, headers => [ "authorization: bearer $token", @headers ])), 200,
		"with it, $what");
}
is(status_of(page('/status', 'Basic ' . encode_base64("anybody:$token", ''))), 200, 'as the password of a browser');
is(header_of(get($port, '/status'), 'WWW-Authenticate'), 'Bearer', 'which is asked for it');
like(get($port, '/status'), qr/^WWW-Authenticate: Basic realm="status"\r$/m, 'in both ways');
like(body_of(page('/status', "Bearer $token")), qr/<!DOCTYPE html>.*$Listener::DIVISION/s, '/status');
is(status_of(post($port, notification())), 200, 'a notification');
my $metrics;
ok(wait_until('a fresh page', sub { $metrics = body_of(page('/metrics', "Bearer $token"));
	$metrics =~ /^exact_webhooks_received_total\{result="accepted"\} [1-9]\d*$/m }), '/metrics');
my $labels = qr/\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\}/;
like($metrics, qr/^exact_lag_seconds\{division="$Listener::DIVISION"\} \+Inf$/m,
	'a lag without end while nothing is in Delta');
is(scalar(grep { !/^(# (HELP|TYPE) \S+ .+|[a-z_]+$labels? (?:-?[0-9.e+]+|\+Inf))$/ } split /\n/, $metrics), 0,
	'every line of it is of the format');

value("UPDATE exact.division SET description = '<b>&\"''' WHERE division = $Listener::DIVISION");
wait_until('the page is made anew',
	sub { body_of(page('/status', "Bearer $token")) =~ /&lt;b&gt;&amp;&quot;&#39;/ });
unlike(body_of(page('/status', "Bearer $token")), qr/<b>|<script/, 'names are escaped');
cmp_ok(length(body_of(page('/status', "Bearer $token"))), '<', 50_000, 'small');
is(header_of(page('/status', "Bearer $token"), 'Cache-Control'), 'no-store', 'not stored');
like(header_of(page('/status', "Bearer $token"), 'Content-Security-Policy'),
	qr/^default-src 'none'; style-src 'sha256-[^']+'; base-uri 'none'/, 'nothing in it can run');

# ---- guesses ----
my @wrong = ('Bearer ' . substr($token, 0, 63), "Bearer ${token}0", 'Bearer x', "Bearer  $token",
	'Basic ' . encode_base64($token, ''), 'Basic ' . encode_base64("$token:", ''), 'Basic YTpi', 'Basic ===',
	'Bearer ', 'Bearer', $token);
foreach my $n (0 .. $#wrong)
{
	is(status_of(page('/metrics', $wrong[$n], from => '127.0.0.' . (30 + $n))), 401, "not with form $n");
}
is(join(' ', map { status_of(page('/metrics', "Bearer guess $_", from => '127.0.0.50')) } 1 .. 12),
	join(' ', (401) x 10, 429, 429), 'who guesses ten times is not listened to for a minute');
my $answer = page('/metrics', "Bearer $token", from => '127.0.0.50');
is(status_of($answer), 429, 'not even with the token');
is(header_of($answer, 'Retry-After'), 60, 'and is told so');
is(status_of(page('/metrics', "Bearer $token", from => '127.0.0.51')), 200, 'others see the page');
sub forwarded
{
	my ($client, $shown) = @_;

	return status_of(get($port, '/metrics', from => '127.0.0.3',
		headers => [ "X-Forwarded-For: $client", "Authorization: Bearer $shown" ]));
}
is(forwarded('198.51.100.7', "guess $_"), 401, 'a client of a proxy guesses') foreach 1 .. 10;
is(forwarded('198.51.100.7', $token), 429, 'it is known by its own address');
is(forwarded('198.51.100.8', $token), 200, 'and no other client of that proxy is');
is(status_of(post($port, notification(), from => '127.0.0.50')), 200, 'notifications go on');

my $log = slurp_file($node->logfile);
unlike($log, qr/$token/, 'the token is not in the log');
unlike($log, qr/PANIC|TRAP|segfault|signal 11/, 'no crash');
done_testing();
