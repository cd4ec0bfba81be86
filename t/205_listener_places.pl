# Others hold all the connections that they may, and ask as often as they like: whoever holds none is answered, soon.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactTest;
use IO::Socket::INET;
use Listener;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my ($node, $port) = listener_cluster('main', conf => { 'exact_databricks.trusted_proxies' => "'127.0.0.3'" });
my $pid = worker_pid($node, 'postgres', 'listener');

sub value { return $node->safe_psql('postgres', $_[0]); }
sub connections { return value('SELECT connections FROM exact.listener'); }
sub connection { return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Proto => 'tcp',
	LocalAddr => $_[0]); }

# One after the other, each over a connection of its own: how many, how many were answered 200, the slowest of 99 of 100
sub honest
{
	my ($seconds, %options) = @_;
	my ($until, $good, @took) = (time() + $seconds, 0);

	while (time() < $until)
	{
		my $begun = time();

		$good++ if status_of(post($port, notification(), seconds => 3, %options)) eq '200';
		push @took, time() - $begun;
		usleep(20_000);
	}
	@took = sort { $a <=> $b } @took;
	return (scalar @took, $good, $took[ int(0.99 * $#took) ]);
}

# ---- all connections are held by some addresses ----
foreach my $case ([ 4, 128 ], [ 64, 16 ])
{
	my ($lines, $each) = @$case;
	my $child = fork() // die "cannot fork: $!";

	if ($child == 0)
	{
		open STDOUT, '>', '/dev/null';
		exec 'python3', "$FindBin::RealBin/../bench/hold.py", $port, $lines, $each;
	}
	wait_until("$lines addresses hold what they may", sub { connections() >= 440 });
	my ($sent, $good, $p99) = honest(3, from => '127.0.0.100');
	is($good, $sent, "$lines addresses with $each connections each: all $sent notifications are answered");
	cmp_ok($p99, '<', 1, sprintf('99 %% of them within %.0f ms', 1000 * $p99));
	is(status_of(get($port, '/health', host => 'hub.example', from => '127.0.0.101')), 200, 'health as well');
	cmp_ok(connections(), '<=', 512, 'no more than listen_connections are open');
	kill 'TERM', $child;
	waitpid $child, 0;
	wait_until('they have gone', sub { connections() < 20 });
}

# ---- the same by clients of a proxy ----
# Each client has asked over a connection that the proxy keeps; they are counted as the clients', not as the proxy's.
sub forwarded
{
	my ($client) = @_;
	my $socket = connection('127.0.0.3') or return;

	return $socket if status_of(raw($port, request_bytes('POST', '/exact/hook', body => notification(),
		headers => ["X-Forwarded-For: $client"]), socket => $socket, seconds => 3)) eq '200';
	close $socket;
	return;
}
my @kept = grep { defined } map { forwarded('203.0.113.' . (1 + $_ % 4)) } 1 .. 520;
cmp_ok(scalar @kept, '>=', 440, 'four clients of a proxy keep what they may');
cmp_ok(connections(), '<=', 512, 'no more than listen_connections are open');
is(scalar(grep { defined forwarded("198.51.100.$_") } 1 .. 20), 20, 'twenty others come through the same proxy');
is((honest(1, from => '127.0.0.102'))[1] > 10, 1, 'and past it');
close $_ foreach @kept;
wait_until('they have gone', sub { connections() < 20 });

# ---- a connection is for notifications ----
sub answers_until_closed
{
	my ($n, $bytes) = @_;
	my $socket = connection('127.0.0.104');

	foreach my $i (1 .. $n)
	{
		my $answer = raw($port, $bytes->(), socket => $socket);

		return $i if (header_of($answer, 'Connection') // '') eq 'close';
	}
	return 'open';
}
is(answers_until_closed(5, sub { request_bytes('GET', '/health') }), 1, '/health ends the connection');
is(answers_until_closed(100, sub { request_bytes('GET', '/status') }), 32, 'other requests do after 32 times');
is(answers_until_closed(100, sub { request_bytes('POST', '/exact/hook', body => '') }), 32, 'so do empty calls');
is(answers_until_closed(100, sub { request_bytes('POST', '/exact/hook', body => '{}') }), 32, 'and unsigned ones');
is(answers_until_closed(100, sub { request_bytes('POST', '/exact/hook', body => notification()) }), 'open',
	'notifications go on');

is(worker_pid($node, 'postgres', 'listener'), $pid, 'the same process all along');
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|segfault|signal 11|WARNING/, 'no crash and no warning');
done_testing();
