# Listener - TAP tests of the listener: a cluster with one, requests over plain sockets, signed notifications, senders
# under load.
package Listener;

use strict;
use warnings;

use Carp qw(croak);
use Digest::SHA qw(hmac_sha256_hex);
use Exporter 'import';
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Time::HiRes qw(time usleep);

use ExactTest;

our @EXPORT = qw(
  listener_cluster wait_for_listener free_port add_app notification request_bytes raw status_of
  header_of body_of get post
  start_senders stop_senders stored_keys missing_keys
);

our $SECRET = 'test-webhook-secret';
our $CLIENT_ID = '6f9d1c2e-8a44-4a0b-9a0f-3d2b1c0e9f11';
our $DIVISION = 123456;

# A port that nobody uses at this moment
sub free_port
{
	my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', LocalPort => 0, Proto => 'tcp')
		or croak "no free port: $!";
	my $port = $socket->sockport;

	close $socket;
	return $port;
}

# A cluster whose database postgres has the extension, an app with a webhook secret, and a listener at 127.0.0.1; its
# port.
sub listener_cluster
{
	my ($name, %options) = @_;
	my $node = exact_cluster($name, conf => { 'log_min_messages' => 'log', %{ $options{conf} // {} } });
	my $port = free_port();

	$node->safe_psql('postgres', "ALTER DATABASE postgres SET exact_databricks.listen_addresses = '"
		. ($options{addresses} // '127.0.0.1') . "'");
	$node->safe_psql('postgres', "ALTER DATABASE postgres SET exact_databricks.port = $port");
	$node->safe_psql('postgres', 'CREATE EXTENSION exact_databricks');
	wait_for_workers($node, 'postgres', roles => [ 'fetcher', 'loader', 'listener' ]);
	add_app($node, 'postgres') unless $options{no_app};
	return ($node, $port);
}

sub add_app
{
	my ($node, $database) = @_;

	$node->safe_psql($database, "INSERT INTO exact.app (name, client_id, base_url) VALUES ('erp', '$CLIENT_ID', "
		. "'http://127.0.0.1:1')");
	write_file("$node->{exact_secrets_directory}/app.erp.webhook_secret", $SECRET, 0600);
	$node->safe_psql($database, 'SELECT * FROM exact.import_secrets()');
	$node->safe_psql($database, "INSERT INTO exact.division (division, app, enabled) VALUES ($DIVISION, 'erp', true)");
	$node->safe_psql($database, "SELECT exact.enable_entities($DIVISION, 'items')");
	return;
}

sub wait_for_listener
{
	my ($node, $database, $seconds) = @_;

	return wait_for_workers($node, $database, roles => ['listener'], seconds => $seconds);
}

# The body of a signed notification; a key of its own unless given
my $serial = 0;

sub notification
{
	my (%fields) = @_;
	my $key = $fields{key} // sprintf('%08x-%04x-%04x-%04x-%012x', int(rand(2**32)), int(rand(2**16)), $$ & 0xffff,
		$serial >> 16 & 0xffff, $serial++);
	my $content = $fields{content}
	  // qq({"Topic":"Items","ClientId":"$CLIENT_ID","Division":$DIVISION,"Action":"Update","Key":"$key",)
	  . qq("ExactOnlineEndpoint":"https://start.exactonline.nl/api/v1/$DIVISION/logistics/Items(guid'$key')",)
	  . qq("EventCreatedOn":"2026-03-04T13:14:50.07"});

	return qq({"Content":$content,"HashCode":") . uc(hmac_sha256_hex($content, $fields{secret} // $SECRET)) . qq("});
}

# A request as bytes; headers => [lines], body => text (with its length)
sub request_bytes
{
	my ($method, $path, %options) = @_;
	my @lines = ("$method $path HTTP/1.1", 'Host: ' . ($options{host} // 'localhost'), @{ $options{headers} // [] });

	push @lines, 'Content-Length: ' . length($options{body}) if defined $options{body};
	return join("\r\n", @lines) . "\r\n\r\n" . ($options{body} // '');
}

# Sends bytes and reads until the other side closes, is silent for `quiet` s after an answer, or for `seconds` without
# one.
sub raw
{
	my ($port, $bytes, %options) = @_;
	my $socket = $options{socket}
	  // IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Proto => 'tcp', LocalAddr => $options{from})
	  or return "no connection: $!";
	my $answer = '';
	my $deadline = time() + ($options{seconds} // 15);

	local $SIG{PIPE} = 'IGNORE';
	$socket->autoflush(1);
	print $socket $bytes;
	while ((my $left = $deadline - time()) > 0)
	{
		my $wait = $answer eq '' ? $left : ($options{quiet} // 0.3);

		last unless IO::Select->new($socket)->can_read($wait < $left ? $wait : $left);
		last unless sysread($socket, my $part, 65536);
		$answer .= $part;
		last if $answer =~ /\r\n\r\n/ && length(body_of($answer)) >= (header_of($answer, 'Content-Length') // 2**31);
	}
	return $answer;
}

sub status_of { return $_[0] =~ m{^HTTP/1\.1 (\d{3}) } ? $1 : $_[0] eq '' ? 'closed' : "odd: $_[0]"; }
sub header_of { return $_[0] =~ /^\Q$_[1]\E: (.*?)\r$/mi ? $1 : undef; }
sub body_of { return $_[0] =~ /\r\n\r\n(.*)/s ? $1 : ''; }
sub get { my ($port, $path, %options) = @_; return raw($port, request_bytes('GET', $path, %options), %options); }
sub post { my ($port, $body, %options) = @_;
	return raw($port, request_bytes('POST', '/exact/hook', %options, body => $body), %options); }

# ---- senders ----

# One sender: unique notifications over one connection, made anew when it breaks; a line "status key" for each answer.
sub send_until_stopped
{
	my ($port, $path) = @_;
	my $stop = 0;
	my $socket;

	local $SIG{TERM} = sub { $stop = 1 };
	local $SIG{PIPE} = 'IGNORE';
	open(my $out, '>', $path) or POSIX::_exit(1);
	$out->autoflush(1);
	srand($$ ^ int(time() * 1000));
	until ($stop)
	{
		$socket //= IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Proto => 'tcp', Timeout => 5);
		if (!$socket)
		{
			usleep(20_000);
			next;
		}
		my $body = notification();
		my ($key) = $body =~ /"Key":"([^"]+)"/;
		my $answer = raw($port, request_bytes('POST', '/exact/hook', body => $body), socket => $socket);

		print $out status_of($answer) . " $key\n" if $answer =~ /\r\n\r\n/;
		$socket = undef if $answer !~ /\r\n\r\n/ || (header_of($answer, 'Connection') // '') =~ /close/i;
		usleep(5_000) unless status_of($answer) eq '200';
	}
	POSIX::_exit(0);
}

my @senders;

sub start_senders
{
	my ($port, $n) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my @pids;

	foreach my $i (1 .. $n)
	{
		my $pid = fork();

		croak "cannot fork: $!" unless defined $pid;
		send_until_stopped($port, "$dir/$i") if $pid == 0;
		push @pids, $pid;
	}
	push @senders, @pids;
	return { pids => \@pids, dir => $dir, n => $n };
}

# {status => [keys]} of all answers
sub stop_senders
{
	my ($load) = @_;
	my %answers;

	kill 'TERM', @{ $load->{pids} };
	waitpid $_, 0 foreach @{ $load->{pids} };
	@senders = grep { my $pid = $_; !grep { $_ == $pid } @{ $load->{pids} } } @senders;
	foreach my $i (1 .. $load->{n})
	{
		open(my $in, '<', "$load->{dir}/$i") or next;
		while (<$in>) { push @{ $answers{$1} }, $2 if /^(\S+) (\S+)$/; }
		close $in;
	}
	return \%answers;
}

sub stored_keys
{
	my ($node) = @_;

	return map { $_ => 1 } split /\n/, $node->safe_psql('postgres', 'SELECT key FROM exact.inbox');
}

# Of the keys that were acknowledged, those that are not stored
sub missing_keys
{
	my ($node, $answers) = @_;
	my %stored = stored_keys($node);

	return grep { !$stored{$_} } @{ $answers->{200} // [] };
}

END
{
	my $status = $?;

	if (@senders)
	{
		kill 'TERM', @senders;
		waitpid $_, 0 foreach @senders;
	}
	$? = $status;
}

1;
