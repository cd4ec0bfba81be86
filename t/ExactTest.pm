# ExactTest - what the TAP tests share: clusters with the extension, waiting for its workers, programs that listen.
#
#   use FindBin; use lib $FindBin::RealBin; use ExactTest;
#   my $node = exact_cluster('main', conf => { 'exact_databricks.merge_interval' => '1s' });
#   $node->safe_psql('postgres', 'CREATE EXTENSION exact_databricks');
#   wait_for_workers($node, 'postgres');
package ExactTest;

use strict;
use warnings;

use Carp qw(croak);
use Exporter 'import';
use IO::Socket::INET;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(time usleep);

our @EXPORT = qw(
  exact_cluster morning wait_for_workers worker_pid answer_of wait_until seconds_of error_of pattern
  write_file make_key_file spawn_server stop_server hanging_server answering_server
);

my @servers;

# A regular expression from its parts, for one that is longer than a line.
sub pattern { my $text = join('', @_); return qr/$text/; }

# A started cluster: UTF8, preloaded unless preload => '' (or another list), settings in conf => {name => value}, a key
# file and a secrets directory of its own (paths in $node->{exact_key_file} and $node->{exact_secrets_directory}).
sub exact_cluster
{
	my ($name, %options) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	my $own = PostgreSQL::Test::Utils::tempdir();
	my $preload = $options{preload} // 'exact_databricks';
	my %conf = (
		'jit' => 'off',    # what is asked here is asked once in a session
		'log_statement' => 'none',
		'max_worker_processes' => 16,
		'shared_preload_libraries' => "'$preload'",
		'exact_databricks.key_file' => "'$own/key'",
		'exact_databricks.secrets_directory' => "'$own/secrets'",
		'exact_databricks.insecure_loopback' => 'on',
		%{ $options{conf} // {} });

	$node->{exact_key_file} = make_key_file("$own/key");
	mkdir "$own/secrets", 0700 or croak "cannot make $own/secrets: $!";
	$node->{exact_secrets_directory} = "$own/secrets";
	$node->init(extra => [ '--encoding=UTF8', '--locale=C' ], %{ $options{init} // {} });
	$node->append_conf('postgresql.conf', "$_ = $conf{$_}") foreach sort keys %conf;
	$node->start unless $options{stopped};
	return $node;
}

# A time zone in which it is about six in the morning: no midnight passes while a test runs, after which times that it
# reads would be told with their date.
sub morning
{
	my $ahead = (6 - (gmtime)[2] + 11) % 24 - 11;

	return sprintf("'Etc/GMT%+d'", -$ahead);
}

# Polls the code until it returns true; dies after the seconds (default 60) with what was waited for. The longer it
# waits, the more seldom it asks, up to five times a second: tests run side by side, and most of the code is a psql.
sub wait_until
{
	my ($what, $code, $seconds) = @_;
	my $begun = time();

	until ($code->())
	{
		my $waited = time() - $begun;

		croak "timed out: $what" if $waited > ($seconds // 60);
		usleep(1_000_000 * ($waited < 0.2 ? 0.02 : $waited < 2 ? $waited / 10 : 0.2));
	}
	return 1;
}

# What a query answers; undef while the server is away. psql then may have gone before the harness gave it the query,
# which is fatal there.
sub answer_of
{
	my ($node, $database, $query) = @_;
	my ($rc, $out) = eval { $node->psql($database, $query, on_error_stop => 0) };

	return defined $rc && $rc == 0 ? $out : undef;
}

# The process id of a worker, or ''.
sub worker_pid
{
	my ($node, $database, $role) = @_;

	return answer_of($node, $database, "SELECT pid FROM exact._workers() WHERE role = '$role' "
		. "AND pid IS NOT NULL") // '';
}

# Until fetcher and loader (or those named) are in the state (default running).
sub wait_for_workers
{
	my ($node, $database, %options) = @_;
	my $state = $options{state} // 'running';
	my $roles = join(',', map { "'$_'" } @{ $options{roles} // [ 'fetcher', 'loader' ] });
	my $wanted = scalar @{ $options{roles} // [ 'fetcher', 'loader' ] };

	return wait_until(
		"workers of $database are $state",
		sub {
			my $there = answer_of($node, $database, "SELECT count(*) FROM exact._workers() WHERE role IN ($roles) "
				. "AND pid IS NOT NULL AND state = '$state'");

			return ($there // '') eq $wanted;
		},
		$options{seconds});
}

# How long the code took
sub seconds_of
{
	my ($code) = @_;
	my $start = time();

	$code->();
	return time() - $start;
}

# The whole error text of a statement that must fail (VERBOSITY verbose: with its SQLSTATE); '' when it did not fail.
sub error_of
{
	my ($node, $database, $sql) = @_;
	my ($rc, $out, $err) = $node->psql($database, "\\set VERBOSITY verbose\n$sql");
	return $rc == 0 ? '' : $err;
}

sub write_file
{
	my ($path, $text, $mode) = @_;

	open(my $file, '>', $path) or croak "cannot write $path: $!";
	chmod $mode // 0600, $path;
	print $file $text;
	close $file;
	return $path;
}

# A key ring with one random key
sub make_key_file
{
	my ($path, $id) = @_;

	open(my $random, '<:raw', '/dev/urandom') or croak "cannot read random bytes: $!";
	read($random, my $bytes, 32);
	return write_file($path, ($id // 'k1') . ':' . unpack('H*', $bytes) . "\n", 0600);
}

# The whole lines that a program has printed: a line that it is still writing may be cut anywhere.
sub lines_of { return join('', map { /\A(.*\n)/s ? $1 : '' } @_); }

# Starts a program that prints a line with its address when it is ready; returns {handle, match => [captures], ...}.
# spawn_server(['simulator/exact-online', '--port', '0'], qr{(http://\S+)})
# What it prints goes to files: a pipe is read at the start alone, and who fills it would stand still for ever.
sub spawn_server
{
	my ($command, $ready, $seconds) = @_;
	my $printed = PostgreSQL::Test::Utils::tempdir('server');
	my %server = (out => "$printed/out", err => "$printed/err", command => $command);
	my $lines = sub { lines_of(map { -e $_ ? slurp_file($_) : '' } @server{qw(out err)}) };

	$server{handle} = IPC::Run::start($command, '<', \undef, '>', $server{out}, '2>', $server{err});
	push @servers, \%server;
	wait_until(
		"$command->[0] is ready",
		sub {
			croak "$command->[0] ended: " . slurp_file($server{err}) unless $server{handle}->pumpable;
			return $lines->() =~ $ready;
		},
		$seconds // 180);
	$server{match} = [ $lines->() =~ $ready ];
	return \%server;
}

sub stop_server
{
	my ($server) = @_;

	return unless $server->{handle};
	eval { $server->{handle}->signal('TERM'); };
	eval { $server->{handle}->kill_kill(grace => 5); };
	delete $server->{handle};
	return;
}

# A server on a free port of 127.0.0.1 that accepts and never answers; its port and process id.
sub hanging_server
{
	my $listener = IO::Socket::INET->new(
		Listen => 128, LocalAddr => '127.0.0.1', LocalPort => 0, Proto => 'tcp', ReuseAddr => 1)
	  or croak "cannot listen: $!";
	my $port = $listener->sockport;
	my $pid = fork();

	croak "cannot fork: $!" unless defined $pid;
	if ($pid == 0)
	{
		my @kept;

		$SIG{TERM} = 'DEFAULT';
		while (my $client = $listener->accept) { push @kept, $client; }
		POSIX::_exit(0);
	}
	push @servers, { fork_pid => $pid };
	return ($port, $pid);
}

# A server on a free port of 127.0.0.1 that answers every POST with the status, and maybe a header, that the file
# {status_file} holds in one line each, and notes path and length of each in {seen_file}.
sub answering_server
{
	my $directory = PostgreSQL::Test::Utils::tempdir();
	my $listener = IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1', LocalPort => 0, Proto => 'tcp',
		ReuseAddr => 1)
	  or croak "cannot listen: $!";
	my %server = (status_file => "$directory/status", seen_file => "$directory/seen", url => 'http://127.0.0.1:'
		. $listener->sockport);

	write_file($server{status_file}, '200');
	write_file($server{seen_file}, '');
	$server{fork_pid} = fork();
	croak "cannot fork: $!" unless defined $server{fork_pid};
	if ($server{fork_pid} == 0)
	{
		$SIG{TERM} = 'DEFAULT';
		while (my $client = $listener->accept)
		{
			my ($path, $length) = ('', 0);

			while (defined(my $line = <$client>))
			{
				$path = $1 if $line =~ m{^POST (\S+) };
				$length = $1 if $line =~ m{^content-length:\s*(\d+)}i;
				last if $line =~ /^\r?\n$/;
			}
			read($client, my $body, $length) if $length;
			open(my $seen, '>>', $server{seen_file}) or next;
			print $seen "$path $length\n";
			close $seen;
			my ($status, $header) = split /\n/, slurp_file($server{status_file});
			print $client "HTTP/1.1 $status X\r\n" . ($header ? "$header\r\n" : '')
				. "Content-Length: 0\r\nConnection: close\r\n\r\n";
			close $client;
		}
		POSIX::_exit(0);
	}
	close $listener;
	push @servers, \%server;
	return \%server;
}

END
{
	my $status = $?;

	foreach my $server (@servers)
	{
		stop_server($server);
		if ($server->{fork_pid})
		{
			kill 'TERM', $server->{fork_pid};
			waitpid $server->{fork_pid}, 0;
		}
	}
	$? = $status;
}

1;
