# One signed notification in the forms that senders and what stands between give it: what means the same is stored.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactTest;
use IO::Socket::INET;
use Listener;
use Test::More;

my ($node, $port) = listener_cluster('main');
my $post = "POST /exact/hook HTTP/1.1\r\nHost: x\r\n";

sub stored { return $node->safe_psql('postgres', 'SELECT count(*) FROM exact.inbox'); }

sub chunked
{
	my ($body) = @_;
	my ($head, $rest) = (substr($body, 0, 20), substr($body, 20));

	return sprintf("%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", length $head, $head, length $rest, $rest);
}

sub taken
{
	my ($what, $bytes) = @_;
	my $before = stored();
	my $answer = raw($port, $bytes);
	my @statuses = grep { $_ != 100 } $answer =~ m{^HTTP/1\.[01] (\d{3})}mg;

	is("@statuses", '200', "$what: 200");
	is(stored(), $before + 1, "$what: stored");
	return;
}

sub sized
{
	my ($body, @headers) = @_;

	return join("\r\n", @headers, 'Content-Length: ' . length $body) . "\r\n\r\n$body";
}

taken('as Exact Online sends it', $post . sized(notification()));
taken('a byte order mark before it', $post . sized("\xEF\xBB\xBF" . notification()));
taken('a line end behind it', $post . sized(notification() . "\r\n"));
taken('in chunks', "${post}Transfer-Encoding: chunked\r\n\r\n" . chunked(notification()));
taken('in chunks, with a mark', "${post}Transfer-Encoding: chunked\r\n\r\n" . chunked("\xEF\xBB\xBF" . notification()));
taken('Expect: 100-continue', $post . sized(notification(), 'Expect: 100-continue'));
taken('as text of another character set',
	$post . sized(notification(), 'Content-Type: text/plain; charset=iso-8859-1'));
taken('HTTP/1.0 without Host', "POST /exact/hook HTTP/1.0\r\n" . sized(notification()));

my $before = stored();
my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Proto => 'tcp');
my $answer = raw($port, $post . sized(notification()) . $post . sized(notification()), socket => $socket);
$answer .= raw($port, '', socket => $socket) if 1 == (() = $answer =~ m{^HTTP/1\.1 }mg);
is(scalar(() = $answer =~ m{^HTTP/1\.1 200}mg), 2, 'two on one connection in one packet: both are answered');
is(stored(), $before + 2, 'and stored');

$before = stored();
foreach (
	[ 'compressed', $post . sized("\x1F\x8B\x08\x00" . notification(), 'Content-Encoding: gzip') ],
	[ 'a mark inside', $post . sized(notification() =~ s/Content/\xEF\xBB\xBFContent/r) ],
	[ 'two marks', $post . sized("\xEF\xBB\xBF\xEF\xBB\xBF" . notification()) ],
	[ 'a mark and nothing', $post . sized("\xEF\xBB\xBF") ])
{
	unlike(raw($port, $_->[1]), qr{^HTTP/1\.1 200}, "$_->[0]: not taken");
}
is(stored(), $before, 'none of them is stored');
done_testing();
