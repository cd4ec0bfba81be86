# The listener as its users meet it: paths and methods, notifications and what is answered, limits.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactTest;
use Listener;
use PostgreSQL::Test::Utils;
use Test::More;

my ($node, $port) = listener_cluster('main');

sub value { return $node->safe_psql('postgres', $_[0]); }
sub count { return value("SELECT $_[0] FROM exact.listener"); }

is(value('SELECT listens_at FROM exact.workers WHERE role = \'listener\''), "127.0.0.1:$port",
	'exact.workers says where');

# ---- paths and methods ----
my %get = map { $_ => 1 } '/', '/exact/callback?a=b', '/health', '/status', '/metrics', '/deliveries';
foreach my $path (sort(keys %get), '/exact/hook')
{
	foreach my $method (qw(GET HEAD POST PUT DELETE OPTIONS TRACE PATCH CONNECT BREW))
	{
		my $good = $get{$path} ? $method =~ /^(GET|HEAD)$/ : $method eq 'POST';
		my $answer = raw($port, request_bytes($method, $path, $method eq 'POST' ? (body => '') : ()));
		my $status = status_of($answer);

		my $fits = $path =~ /status|metrics|deliveries/ ? 401 : $path eq '/' ? 303
		  : $path =~ /callback/ && $method eq 'GET' ? 400 : 200;
		is($status, $good ? $fits : 405, "$method $path");
		is(header_of($answer, 'Allow'), $get{$path} ? 'GET, HEAD' : 'POST', 'and what is allowed') if $status eq '405';
		is(body_of($answer), '', 'HEAD has no body') if $method eq 'HEAD';
		is(header_of($answer, 'Server'), undef, 'no banner') if $method eq 'TRACE';
		unlike($answer, qr/microhttpd|PostgreSQL|1\.0\.0/i, 'no version') if $method eq 'GET';
	}
}
foreach my $path ('//', '/exact', '/exact/', '/exact/hook/', '/exact/hook/x', '/EXACT/HOOK', '/exact%2fhook',
	'/exact/%68ook', '//exact/hook', '/./exact/hook',
	'/exact/../exact/hook', '/status.html', '/favicon.ico', '/exact/hook;x', '/health%00')
{
	# libmicrohttpd 1.0.10 knows no path with a NUL in it
	my $status = $path =~ /%00/ ? qr/^40[04]$/ : qr/^404$/;

	like(status_of(raw($port, request_bytes('GET', $path))), $status, "GET $path");
	like(status_of(raw($port, request_bytes('POST', $path, body => notification()))), $status, "POST $path");
}
foreach my $header ('Cache-Control: no-store', 'X-Content-Type-Options: nosniff', 'Referrer-Policy: no-referrer')
{
	my ($name, $text) = split /: /, $header;
	is(header_of($_, $name), $text, $header) foreach get($port, '/health'), get($port, '/none'),
		get($port, '/exact/hook'), post($port, '');
}
is(value('SELECT count(*) FROM exact.inbox'), 0, 'nothing was stored');

# ---- notifications ----
my $body = notification(key => '0D1F6A5B-2C3D-4E5F-8A9B-0C1D2E3F4A5B');
my $before = count('accepted');
my $answer = post($port, $body);
is(status_of($answer), 200, 'accepted');
is(body_of($answer), '', 'with an empty body');
is(value('SELECT app, secret, i.division, i.topic, action, key, taken_at IS NULL OR reason IS NULL '
	. 'FROM exact.inbox AS i JOIN exact.inbox_work USING (id)'),
	"erp|current|$Listener::DIVISION|Items|Update|0d1f6a5b-2c3d-4e5f-8a9b-0c1d2e3f4a5b|t", 'and stored');
is(status_of(post($port, $body)), 200, 'a repeat');
is(value('SELECT count(*) FROM exact.inbox'), 1, 'is not stored again');
is(status_of(post($port, '')), 200, 'the empty call of a subscription');
is(status_of(post($port, " \r\n\t")), 200, 'white space only');
is(status_of(raw($port, "POST /exact/hook HTTP/1.1\r\nHost: x\r\n\r\n")), 200, 'without any length');
is(count('accepted') - $before, 1, 'one was accepted');

foreach my $bad ($body =~ s/Update/Delete/r, lc $body, substr($body, 0, -1), "x$body", "$body x", '{}', '[]', 'null',
	"\0", notification(secret => 'another'), $body =~ s/:/: /gr)
{
	my $refused = post($port, $bad);
	is(status_of($refused), 401, 'refused');
	is(body_of($refused), '', 'without a reason');
}
is(value('SELECT count(*) FROM exact.inbox'), 1, 'nothing of it was stored');
foreach my $odd (notification(content => '{}'), notification(content => '{"Topic":"Items","Division":999}'),
	notification(content => '[1]'), notification(content => qq({"Topic":"\xff"})),
	notification(content => qq({"Topic":"Items","Division":$Listener::DIVISION,"New":{"a":[1]}})))
{
	is(status_of(post($port, $odd)), 200, 'signed but of no use: answered 200');
}
is(value('SELECT count(*), count(reason), count(taken_at) FROM exact.inbox_work WHERE reason IS NOT NULL'), '5|5|5',
	'and kept with the reason, for nobody to take');

# several requests over one connection, all at once
my $burst = join '', map { request_bytes('POST', '/exact/hook', body => notification()) } 1 .. 20;
my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Proto => 'tcp');
my $answers = '';
print $socket $burst;
wait_until('20 answers', sub { sysread($socket, my $part, 65536) or return 1; $answers .= $part;
	return 20 == (() = $answers =~ /HTTP\/1\.1 200 OK/g); });
is(scalar(() = $answers =~ /HTTP\/1\.1 200 OK/g), 20, 'pipelined: 20 answers');
close $socket;

# rotation: both secrets count
write_file("$node->{exact_secrets_directory}/app.erp.webhook_secret_next", 'the second secret', 0600);
value('SELECT * FROM exact.import_secrets()');
is(status_of(post($port, notification(secret => 'the second secret'))), 200, 'signed with the next secret');
is(status_of(post($port, notification())), 200, 'signed with the current one');
is(value("SELECT string_agg(secret, ',') FROM (SELECT secret FROM exact.inbox ORDER BY id DESC LIMIT 2) AS x"),
	'current,next', 'which one is recorded');

# ---- limits ----
my $stored = value('SELECT count(*) FROM exact.inbox');
is(status_of(post($port, 'x' x 65536)), 401, '64 kB are read');
is(status_of(post($port, 'x' x 65537)), 413, '64 kB + 1 are not');
my $started = time();
is(status_of(raw($port, "POST /exact/hook HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n")), 413,
	'at once when the length says it');
like(status_of(raw($port, "POST /exact/hook HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n")),
	qr/^(413|400)$/, 'whatever it says; libmicrohttpd 1.0.10 takes no such number for one');
is(status_of(raw($port, "POST /exact/hook HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\nExpect: "
	. "100-continue\r\n\r\n")), 413, 'and before it is sent');
is( status_of(raw($port, "POST /exact/hook HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n10001\r\n"
	. ('x' x 65537) . "\r\n0\r\n\r\n")),
	413, 'chunked: 64 kB + 1');
is( status_of(raw($port, "POST /exact/hook HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
	. ("1000\r\n" . ('x' x 4096) . "\r\n") x 16 . "0\r\n\r\n")),
	401, 'chunked: 64 kB');
is(status_of(raw($port, "GET /health HTTP/1.1\r\nHost: x\r\nX-Long: " . ('x' x 8000) . "\r\n\r\n")), 200,
	'headers below 8 kB');
is(status_of(raw($port, "GET /health HTTP/1.1\r\nHost: x\r\nX-Long: " . ('x' x 8192) . "\r\n\r\n")), 431,
	'headers above 8 kB');
is(status_of(raw($port, "GET /health HTTP/1.1\r\nHost: x\r\nX-Long: " . ('x' x 100_000) . "\r\n\r\n")), 431,
	'far above');
is(status_of(raw($port, "GET /health HTTP/1.1\r\nHost: x\r\n" . "a: b\r\n" x 200 . "\r\n")), 431, 'too many headers');
like(status_of(raw($port, 'GET /' . ('x' x 20_000) . " HTTP/1.1\r\nHost: x\r\n\r\n")), qr/^(414|431)$/, 'a long path');
is(status_of(raw($port, request_bytes('GET', '/health', body => 'x'))), 413, 'a page takes no body');
is(value('SELECT count(*) FROM exact.inbox'), $stored, 'nothing of it was stored');

# Expect: 100-continue is answered, then the body comes
$socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Proto => 'tcp');
$body = notification();
like(raw($port, request_bytes('POST', '/exact/hook',
	headers => [ 'Expect: 100-continue', 'Content-Length: ' . length $body ]), socket => $socket),
	qr/^HTTP\/1\.1 100 Continue\r\n/, '100-continue');
is(status_of(raw($port, $body, socket => $socket)), 200, 'and the answer');

is(body_of(get($port, '/health')), "ok\n", '/health');

# ---- what the log and the view say ----
my $log = slurp_file($node->logfile);
my @lines = $log =~ /(exact listener: webhook refused=.*)/g;
cmp_ok(scalar @lines, '<=', 2, 'refused signatures: at most one line a minute');
like($lines[0], qr/refused=\d+ reason=signature last_from=127\.0\.0\.1$/, 'which names no reason and no content');
unlike($log, qr/HashCode|test-webhook-secret/, 'no body and no secret');
like(value('SELECT concat_ws($$ $$, refused > 10, too_large > 4, unknown > 50, malformed > 2, received - accepted - '
	. 'duplicates - validations - refused - unavailable, unavailable) FROM exact.listener'), qr/^t t t t 0 0$/,
	'exact.listener counts');
is(value("SELECT count(*) FROM exact.verify_audit()"), 0, 'the audit chain is whole');
unlike($log, qr/PANIC|TRAP|segfault|signal 11/, 'no crash');
done_testing();
