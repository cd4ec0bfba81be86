# Browser - a headless Chromium, told what to do over two pipes (the DevTools protocol): pages as people see them, with
# the headers that they were sent with.
package Browser;

use strict;
use warnings;

use Carp qw(croak);
use IO::Select;
use JSON::PP;
use POSIX ();
use Time::HiRes qw(time);

my $json = JSON::PP->new->utf8->allow_nonref;

# The program, or undef where there is none
sub program
{
	foreach my $name ('chromium', 'chromium-browser')
	{
		foreach my $directory (split /:/, "$ENV{PATH}:/usr/bin")
		{
			return "$directory/$name" if -x "$directory/$name";
		}
	}
	return;
}

# Starts one, whose files are in a directory that exists
sub start
{
	my ($class, $directory) = @_;
	my $self = bless { id => 0, read => '', said => [] }, $class;

	pipe(my $child_in, $self->{out}) or croak "no pipe: $!";
	pipe($self->{in}, my $child_out) or croak "no pipe: $!";
	$self->{pid} = fork() // croak "cannot fork: $!";
	if ($self->{pid} == 0)
	{
		# above the descriptors that it reads and writes, which then are copies
		my $in = POSIX::dup2(fileno($child_in), 20);
		my $out = POSIX::dup2(fileno($child_out), 21);

		POSIX::dup2(20, 3);
		POSIX::dup2(21, 4);
		POSIX::close($_) foreach 5 .. 30;
		open(STDOUT, '>', '/dev/null');
		open(STDERR, '>', "$directory/browser.log");
		$ENV{HOME} = $directory;
		setpgrp(0, 0);
		no warnings 'exec';
		exec program(), '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
			'--disable-background-networking', '--disable-component-update', '--disable-extensions', '--mute-audio',
			"--user-data-dir=$directory/profile", '--remote-debugging-pipe', 'about:blank';
		POSIX::_exit(127);
	}
	close $child_in;
	close $child_out;
	$self->{out}->autoflush(1);
	my $target = $self->call('Target.createTarget', url => 'about:blank')->{targetId};
	$self->{session} = $self->call('Target.attachToTarget', targetId => $target,
		flatten => JSON::PP::true)->{sessionId};
	$self->call("$_.enable") foreach 'Page', 'Network', 'Log', 'Runtime';
	return $self;
}

# One message of the browser; undef when none comes in time
sub _message
{
	my ($self, $deadline) = @_;

	while (index($self->{read}, "\0") < 0)
	{
		my $left = $deadline - time();

		return if $left <= 0 || !IO::Select->new($self->{in})->can_read($left);
		sysread($self->{in}, my $part, 1 << 20) or croak 'the browser has ended';
		$self->{read} .= $part;
	}
	my ($message, $rest) = split /\0/, $self->{read}, 2;
	$self->{read} = $rest;
	return $json->decode($message);
}

# Asks for something and returns the answer
sub call
{
	my ($self, $method, %parameters) = @_;
	my $id = ++$self->{id};
	my $deadline = time() + 60;

	print { $self->{out} } $json->encode({ id => $id, method => $method, params => \%parameters,
		$self->{session} ? (sessionId => $self->{session}) : () }) . "\0";
	while (my $message = $self->_message($deadline))
	{
		push @{ $self->{said} }, $message if $message->{method};
		next unless defined $message->{id} && $message->{id} == $id;
		croak "$method: $message->{error}{message}" if $message->{error};
		return $message->{result};
	}
	croak "$method: no answer in time";
}

# Opens an address as a screen of this width sees it (options: height, dark, headers), once it is loaded
sub open_page
{
	my ($self, $url, $width, %options) = @_;
	my $deadline = time() + 60;

	$self->call('Network.setExtraHTTPHeaders', headers => $options{headers} // {});
	$self->call('Emulation.setDeviceMetricsOverride', width => $width, height => $options{height} // 900,
		deviceScaleFactor => 1, mobile => $width < 600 ? JSON::PP::true : JSON::PP::false);
	$self->call('Emulation.setEmulatedMedia',
		features => [ { name => 'prefers-color-scheme', value => $options{dark} ? 'dark' : 'light' } ]);
	$self->{said} = [];
	$self->call('Page.navigate', url => $url);
	until (grep { $_->{method} eq 'Page.loadEventFired' } @{ $self->{said} })
	{
		my $message = $self->_message($deadline) or croak "$url was not loaded in time";
		push @{ $self->{said} }, $message if $message->{method};
	}
	return;
}

# The value of an expression in the page
sub value
{
	my ($self, $expression) = @_;
	my $answer = $self->call('Runtime.evaluate', expression => $expression, returnByValue => JSON::PP::true);

	croak "$expression: $answer->{exceptionDetails}{text}" if $answer->{exceptionDetails};
	return $answer->{result}{value};
}

# What it complained of since the page was opened: refused by a policy, not found, errors
sub complaints
{
	my ($self) = @_;

	return map { $_->{params}{entry}{text} } grep { $_->{method} eq 'Log.entryAdded' } @{ $self->{said} };
}

# A PNG of the whole page
sub picture
{
	my ($self, $path) = @_;
	require MIME::Base64;
	my $data = $self->call('Page.captureScreenshot', captureBeyondViewport => JSON::PP::true)->{data};

	open(my $file, '>:raw', $path) or croak "$path: $!";
	print $file MIME::Base64::decode_base64($data);
	close $file;
	return;
}

sub stop
{
	my ($self) = @_;

	return unless $self->{pid};
	kill 'KILL', -$self->{pid};
	waitpid $self->{pid}, 0;
	delete $self->{pid};
	return;
}

sub DESTROY { my ($self) = @_; local ($?, $@); $self->stop; return; }

1;
