# Requests that no honest sender makes, over plain sockets: what a lenient reader would take is refused, slow ones are
# ended, idle ones keep nobody out, and the listener lives on with its memory.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactTest;
use IO::Select;
use IO::Socket::INET;
use Listener;
use POSIX ();
use PostgreSQL::Test::Utils;
use Socket qw(SOL_SOCKET SO_LINGER);
use Test::More;
use Time::HiRes qw(time usleep);

my ($node, $port) = listener_cluster('main', conf => { 'exact_databricks.listen_connections' => 300,
	'exact_databricks.listen_connections_per_address' => 100 });
my $pid = worker_pid($node, 'postgres', 'listener');
my $body = notification();
my $length = length $body;
my $smuggled = request_bytes('POST', '/exact/hook',
	body => notification(key => 'aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa'));

sub value { return $node->safe_psql('postgres', $_[0]); }
sub connection { return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Proto => 'tcp',
	LocalAddr => $_[0]); }

sub refused
{
	my ($what, $bytes) = @_;
	my $answer = raw($port, $bytes);
	my @statuses = $answer =~ m{^HTTP/1\.1 (\d{3}) }mg;

	# libmicrohttpd 0.9.75 says it twice when a length is no number, and ends the connection
	like("@statuses", qr/^(400( 400)?|413|414|431|501|505|)$/, "$what: refused or closed");
	unlike($answer, qr/^HTTP\/1\.1 200/m, "$what: no 200");
	return;
}

# ---- two readings of one request ----
my $post = "POST /exact/hook HTTP/1.1\r\nHost: x\r\n";
my $chunked = sprintf("%x\r\n%s\r\n0\r\n\r\n", $length, $body);

refused('both lengths', "${post}Content-Length: $length\r\nTransfer-Encoding: chunked\r\n\r\n$chunked$smuggled");
refused('both lengths, other order', "${post}Transfer-Encoding: chunked\r\nContent-Length: "
	. "$length\r\n\r\n$chunked$smuggled");
refused('two equal lengths', "${post}Content-Length: $length\r\nContent-Length: $length\r\n\r\n$body");
refused('two different lengths', "${post}Content-Length: $length\r\nContent-Length: 0\r\n\r\n$body");
refused('a list of lengths', "${post}Content-Length: $length, $length\r\n\r\n$body");
refused("length $_", "${post}Content-Length: $_\r\n\r\n$body") foreach "+$length", "-$length", "0x10", "$length.0", '',
	' ', "$length x", "\t$length\x0b", "$length ", "$length\t";
refused("transfer coding $_", "${post}Transfer-Encoding: $_\r\n\r\n$chunked") foreach 'gzip', 'identity',
	'chunked, chunked', 'gzip, chunked', 'chunked ', "chunked\x0b", ' ', 'xchunked', "chunk\ted";
refused('two transfer codings', "${post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n$chunked");
refused('chunked in HTTP/1.0', "POST /exact/hook HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n$chunked");
refused('blank before the colon', "POST /exact/hook HTTP/1.1\r\nHost: x\r\nContent-Length : $length\r\n\r\n$body");
refused('tab before the colon', "POST /exact/hook HTTP/1.1\r\nHost: x\r\nTransfer-Encoding\t: chunked\r\n\r\n$chunked");
refused('bare line feeds', "POST /exact/hook HTTP/1.1\nHost: x\nContent-Length: $length\n\n$body");
refused('one bare line feed', "POST /exact/hook HTTP/1.1\r\nHost: x\r\nX: y\nContent-Length: $length\r\n\r\n$body");
refused('a bare line feed at the end', "POST /exact/hook HTTP/1.1\r\nHost: x\r\nContent-Length: $length\r\n\n$body");
refused('a bare line feed in the first line', "POST /exact/hook HTTP/1.1\nHost: x\r\nContent-Length: "
	. "$length\r\n\r\n$body");
refused('bare carriage returns', "POST /exact/hook HTTP/1.1\rHost: x\rContent-Length: $length\r\r$body");
refused('a carriage return in a value', "${post}X: a\rContent-Length: $length\r\n\r\n$body");
refused('a folded line', "${post}X: a\r\n b\r\nContent-Length: $length\r\n\r\n$body");
refused('a folded length', "${post}Content-Length:\r\n $length\r\n\r\n$body");
refused('a line without a colon', "${post}nonsense\r\nContent-Length: $length\r\n\r\n$body");
refused('an empty name', "${post}: x\r\nContent-Length: $length\r\n\r\n$body");
refused('NUL in a value', "${post}X: a\0b\r\nContent-Length: $length\r\n\r\n$body");
refused('NUL in a name', "${post}X\0: b\r\nContent-Length: $length\r\n\r\n$body");
refused('NUL in the path', "POST /exact/hook\0 HTTP/1.1\r\nHost: x\r\nContent-Length: $length\r\n\r\n$body");
refused('NUL in the method', "POST\0 /exact/hook HTTP/1.1\r\nHost: x\r\nContent-Length: $length\r\n\r\n$body");
refused('control characters', "${post}X: a\x01b\r\nContent-Length: $length\r\n\r\n$body");
refused('a name that is no token', "${post}X(y): b\r\nContent-Length: $length\r\n\r\n$body");
refused('no host', "POST /exact/hook HTTP/1.1\r\nContent-Length: $length\r\n\r\n$body");
refused('two hosts', "${post}Host: y\r\nContent-Length: $length\r\n\r\n$body");
refused('absolute form', "POST http://x/exact/hook HTTP/1.1\r\nHost: x\r\nContent-Length: $length\r\n\r\n$body");
refused('authority form', "CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n");
refused('asterisk form', "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n");
refused('no path', "POST  HTTP/1.1\r\nHost: x\r\nContent-Length: $length\r\n\r\n$body");
refused('two blanks', "POST  /exact/hook HTTP/1.1\r\nHost: x\r\nContent-Length: $length\r\n\r\n$body");
refused('a tab for a blank', "POST\t/exact/hook\tHTTP/1.1\r\nHost: x\r\nContent-Length: $length\r\n\r\n$body");
refused('a blank in the path', "POST /exact/hook x HTTP/1.1\r\nHost: x\r\nContent-Length: $length\r\n\r\n$body");
refused('trailing blanks', "POST /exact/hook HTTP/1.1 \r\nHost: x\r\nContent-Length: $length\r\n\r\n$body");
refused('bytes above 127 in the path', "POST /exact/hook\xc3\xa9 HTTP/1.1\r\nHost: x\r\nContent-Length: "
	. "$length\r\n\r\n$body");
refused("version $_", "POST /exact/hook $_\r\nHost: x\r\nContent-Length: $length\r\n\r\n$body") foreach 'HTTP/0.9',
	'HTTP/1.2', 'HTTP/2.0', 'http/1.1', 'HTTP/1.10', 'HTTP/01.1', 'HTTP', 'ICY';
refused('HTTP/0.9', "GET /health\r\n");
refused('HTTP/2 preface', "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
refused('TLS', "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" . ('x' x 160) . "\r\n\r\n");
refused('noise', join('', map { chr(int rand 256) } 1 .. 2000) . "\r\n\r\n") foreach 1 .. 10;
refused("chunk size $_", "${post}Transfer-Encoding: chunked\r\n\r\n$_\r\nabc\r\n0\r\n\r\n$smuggled") foreach 'g', '-1',
	'0x3', '', 'fffffffffffffffff', '3 3';

# blanks behind another value are no part of it
is(status_of(raw($port, "${post}Content-Length: $length\r\nX: y \t\r\nY:  \r\n\r\n$body")), 200,
	'blanks behind a value');

# whatever a lenient reading of chunks leaves over is no next request
foreach my $left ("0\r\n\r\n$smuggled", "0\n\n$smuggled", sprintf("%x;a=b\n%s\n0\n\n%s", $length, $body, $smuggled),
	sprintf("%x\r\n%s\r\n0\r\nX: y\r\n\r\n%s", $length, $body, $smuggled))
{
	my $answer = raw($port, "${post}Transfer-Encoding: chunked\r\n\r\n$left", quiet => 1);
	is(scalar(() = $answer =~ m{^HTTP/1\.1 }mg), 1, 'one answer after chunks');
	is(header_of($answer, 'Connection'), 'close', 'and the connection ends');
}
is(value("SELECT count(*) FROM exact.inbox WHERE key = 'aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa'"), 0,
	'nothing was smuggled');
is(worker_pid($node, 'postgres', 'listener'), $pid, 'the same process');

# ---- slow ones: 10 s in total, however they drip ----
my @drips = (
	[ 'a slow head', 'POST /exact/hook HTTP/1.1', "\r\nX: y" ],
	[ 'a slow first line', 'POST /', 'x' ],
	[ 'a slow body', "${post}Content-Length: 60000\r\n\r\n", 'xx' ],
	[ 'slow chunks', "${post}Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n" ],
	[ 'nothing at all', '', '' ],
	[ 'a second request that is slow',
		request_bytes('POST', '/exact/hook', body => '') =~ s/\r\n\r\n$/\r\n\r\nGET \//r, 'x' ],
	# from 1.0 on libmicrohttpd refuses the second blank at once
	[ 'a second request of blanks',
		request_bytes('POST', '/exact/hook', body => '') =~ s/\r\n\r\n$/\r\n\r\nGET/r, ' ', 0 ]);
my @children;
foreach my $drip (@drips)
{
	my $child = fork();
	if ($child == 0)
	{
		my ($what, $start, $drop, $least) = @$drip;
		my $socket = connection('127.0.0.2');
		my $begun = time();
		local $SIG{PIPE} = 'IGNORE';
		$socket->autoflush(1);
		print $socket $start;
		while (time() - $begun < 20)
		{
			print $socket $drop if $drop ne '';
			next unless IO::Select->new($socket)->can_read(0.4);
			last unless sysread($socket, my $part, 4096);
		}
		my $seconds = time() - $begun;
		POSIX::_exit($seconds > ($least // 8) && $seconds < 14 ? 0 : 1);
	}
	push @children, [ $child, $drip->[0] ];
}
# meanwhile others are answered
my ($good, $worst) = (0, 0);
my $until = time() + 5;
while (time() < $until)
{
	my $begun = time();
	$good++ if status_of(post($port, notification())) eq '200';
	$worst = time() - $begun if time() - $begun > $worst;
}
cmp_ok($good, '>', 20, sprintf('meanwhile %d others were answered, the slowest after %.0f ms', $good, 1000 * $worst));
foreach my $child (@children)
{
	waitpid $child->[0], 0;
	is($?, 0, "$child->[1]: ended, after 10 s at the latest");
}

# ---- many idle ones ----
my $memory = sub { return slurp_file("/proc/$pid/status") =~ /RssAnon:\s+(\d+) kB/ ? $1 : 0; };
my $before = $memory->();
my @idle = grep { defined } map { connection('127.0.0.' . (10 + $_ % 5)) } 1 .. 1000;
cmp_ok(scalar @idle, '>', 900, 'idle connections from five addresses');
# 300 less the tenth that is kept for addresses that hold none
wait_until('they are counted', sub { value('SELECT connections FROM exact.listener') >= 270 });
cmp_ok(value('SELECT connections FROM exact.listener'), '<=', 301, 'no more than listen_connections are open');
wait_until('a good one gets through: the longest silent makes room',
	sub { status_of(post($port, notification(), seconds => 2)) eq '200' });
is(status_of(post($port, notification(), seconds => 5)), 200, 'and the next one') foreach 1 .. 20;
cmp_ok($memory->() - $before, '<', 32 * 1024, 'RssAnon grew by less than 32 MB');
close $_ foreach @idle;
wait_until('they have gone', sub { value('SELECT connections FROM exact.listener') <= 2 });

# more than its share from one address
my @many = grep { defined } map { connection('127.0.0.9') } 1 .. 150;
wait_until('100 are kept', sub { value('SELECT connections FROM exact.listener') >= 100 });
is(value('SELECT connections BETWEEN 100 AND 102 FROM exact.listener'), 't', 'one address holds at most its share');
is(status_of(raw($port, request_bytes('GET', '/health'), from => '127.0.0.9', seconds => 3)), 'closed',
	'the next one from there is closed');
is(status_of(post($port, notification())), 200, 'others are served');
value("ALTER SYSTEM SET exact_databricks.trusted_proxies = '127.0.0.9'");
$node->reload;
wait_until('a proxy is not counted',
	sub { status_of(raw($port, request_bytes('GET', '/health'), from => '127.0.0.9', seconds => 3)) eq '200' });
close $_ foreach @many;

# ---- ends of connections in the middle ----
foreach my $part (map { substr($post . "Content-Length: $length\r\n\r\n$body", 0, $_ * 17) } 1 .. 30)
{
	my $socket = connection();
	print $socket $part;
	setsockopt($socket, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0)) if length($part) % 2;
	close $socket;
}
is(status_of(post($port, notification())), 200, 'half requests and resets: the next is answered');
is(worker_pid($node, 'postgres', 'listener'), $pid, 'the same process all along');
cmp_ok(value('SELECT timeouts FROM exact.listener'), '>=', 6, 'timeouts are counted');
cmp_ok(value('SELECT over_limit FROM exact.listener'), '>=', 50, 'so are those closed for being too many');
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|segfault|signal 11|WARNING/, 'no crash and no warning');
done_testing();
