# StandIn - a server between the hub and a service: it passes everything on, or behaves like a service that is away.
#
#   my $server = StandIn->start('http://127.0.0.1:40825');      its address: $server->{url}
#   $server->mode('refuse');      pass, refuse, hang, 401, html, 503, 429
package StandIn;

use strict;
use warnings;

use Carp qw(croak);
use IO::Select;
use IO::Socket::INET;
use PostgreSQL::Test::Utils;
use POSIX ();
use Time::HiRes qw(usleep);

use ExactTest;

my @pids;
my %answers = (
	401 => [ '401 Unauthorized', 'Content-Type: text/plain', 'no' ],
	html => [ '200 OK', 'Content-Type: text/html', '<!DOCTYPE html><html><body>Maintenance</body></html>' ],
	503 => [ '503 Service Unavailable', 'Content-Type: text/plain', 'away' ],
	429 => [ '429 Too Many Requests', "Content-Type: text/plain\r\nRetry-After: 5", 'later' ]);

sub start
{
	my ($class, $upstream) = @_;
	my $directory = PostgreSQL::Test::Utils::tempdir();
	my $self = bless { mode_file => "$directory/mode", seen_file => "$directory/seen", owner => $$ }, $class;

	($self->{upstream}) = $upstream =~ m{^http://([^/]+)} or croak "no address: $upstream";
	$self->{listener} = _listen(0);
	$self->{port} = $self->{listener}->sockport;
	$self->{url} = "http://127.0.0.1:$self->{port}";
	write_file($self->{mode_file}, 'pass');
	$self->{pid} = fork();
	croak "cannot fork: $!" unless defined $self->{pid};
	if ($self->{pid} == 0)
	{
		$SIG{TERM} = 'DEFAULT';
		$SIG{CHLD} = 'IGNORE';
		$self->_serve;
		POSIX::_exit(0);
	}
	close delete $self->{listener};
	push @pids, $self->{pid};
	return $self;
}

# Returns once the server has taken it, and has closed the connections of before.
sub mode
{
	my ($self, $mode) = @_;

	write_file("$self->{mode_file}.new", $mode);
	rename "$self->{mode_file}.new", $self->{mode_file} or croak "cannot rename: $!";
	return wait_until("the stand-in takes $mode", sub { -e $self->{seen_file}
		&& slurp_file($self->{seen_file}) eq $mode });
}

sub _listen
{
	my ($port) = @_;

	return IO::Socket::INET->new(Listen => 128, LocalAddr => '127.0.0.1', LocalPort => $port, Proto => 'tcp',
		ReuseAddr => 1);
}

sub _mode { return slurp_file($_[0]{mode_file}); }

# One process a connection; while it refuses, nobody listens.
sub _serve
{
	my ($self) = @_;
	my $told = '';

	$self->{server} = $$;
	while (getppid() == $self->{owner})
	{
		my $mode = $self->_mode;

		if ($mode eq 'refuse') { close delete $self->{listener} if $self->{listener}; }
		else { $self->{listener} //= _listen($self->{port}); }
		if ($told ne $mode && ($mode eq 'refuse' || $self->{listener}))
		{
			write_file("$self->{seen_file}.new", $mode);
			rename "$self->{seen_file}.new", $self->{seen_file};
			$told = $mode;
		}
		usleep(20_000), next unless $self->{listener} && IO::Select->new($self->{listener})->can_read(0.02);
		my $client = $self->{listener}->accept or next;
		my $pid = fork();

		next if $pid;
		close $self->{listener};
		$self->_connection($client, $mode);
		POSIX::_exit(0);
	}
	return;
}

# Until the mode is another one
sub _connection
{
	my ($self, $client, $mode) = @_;
	my $service = $mode eq 'pass' ? IO::Socket::INET->new(PeerAddr => $self->{upstream}, Proto => 'tcp') : undef;
	my $select = IO::Select->new($client, $service // ());
	my $request = '';

	while (getppid() == $self->{server} && $self->_mode eq $mode)
	{
		foreach my $ready ($select->can_read(0.05))
		{
			sysread($ready, my $bytes, 65536) or return;
			if ($service)
			{
				my $to = $ready == $client ? $service : $client;

				while (length $bytes)
				{
					my $n = syswrite($to, $bytes) or return;

					substr($bytes, 0, $n) = '';
				}
				next;
			}
			$request .= $bytes;
			next if $mode eq 'hang' || $request !~ /\r\n\r\n/;
			my ($status, $headers, $body) = @{ $answers{$mode} };

			syswrite($client, "HTTP/1.1 $status\r\n$headers\r\nContent-Length: " . length($body)
				. "\r\nConnection: close\r\n\r\n$body");
			return;
		}
	}
	return;
}

END
{
	my $status = $?;

	foreach my $pid (@pids)
	{
		kill 'TERM', $pid;
		waitpid $pid, 0;
	}
	$? = $status;
}

1;
