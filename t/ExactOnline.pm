# ExactOnline - the Exact Online simulator in TAP tests, and a hub that is authorised against it.
package ExactOnline;

use strict;
use warnings;

use Carp qw(croak);
use File::Basename qw(dirname);
use HTTP::Tiny;
use JSON::PP ();

use ExactTest;

my $json = JSON::PP->new->utf8->canonical->allow_nonref;

# The odd forms of the books, without one that the hub does not stand yet: simulator/weather_known.md
my @books = qw(drafts balances charges reverse_charge including overtyped rounding system budget zero zero_guid
  null_vat);

# Starts simulator/exact-online on a free port; options as of its command line.
sub start
{
	my ($class, @options) = @_;
	my $program = dirname(dirname(__FILE__)) . '/simulator/exact-online';
	my $books = 'books=' . $json->encode(\@books);
	my $server = spawn_server([ $program, '--port', '0', '--set', $books, @options ], qr{ready (http://\S+)});
	my $self = bless { server => $server, url => $server->{match}[0],
		http => HTTP::Tiny->new(timeout => 60, max_redirect => 0) }, $class;

	$self->{info} = $self->get('info');
	return $self;
}

sub get
{
	my ($self, $path) = @_;
	my $answer = $self->{http}->get("$self->{url}/_control/$path");

	croak "GET $path: $answer->{status} $answer->{content}" unless $answer->{success};
	return $json->decode($answer->{content});
}

sub post
{
	my ($self, $path, %body) = @_;
	my $answer = $self->{http}->post("$self->{url}/_control/$path",
		{ headers => { 'Content-Type' => 'application/json' }, content => $json->encode(\%body) });

	croak "POST $path: $answer->{status} $answer->{content}" unless $answer->{success};
	return $json->decode($answer->{content});
}

sub fault
{
	my ($self, $path, $action, %more) = @_;

	return $self->post('faults', path => $path, action => $action, %more)->{id};
}

sub clear_faults
{
	my ($self) = @_;

	$self->{http}->delete("$self->{url}/_control/faults");
	return;
}

sub divisions { return map { $_->{code} } @{ $_[0]{info}{divisions} }; }

# Calls since the n-th whose path matches
sub calls
{
	my ($self, $since, $match) = @_;

	return grep { $_->{path} =~ $match } @{ $self->get("calls?since=$since")->{calls} };
}

sub last_call
{
	my ($self) = @_;
	my @calls = @{ $self->get('calls?since=0')->{calls} };

	return @calls ? $calls[-1]{n} : 0;
}

# What the hub should hold: "entity key deleted" lines, sorted, of records it can have seen alive.
sub truth
{
	my ($self, $division, $resource) = @_;

	return @{ $self->get("truth?division=$division&resource=$resource")->{records} };
}

# Makes app and divisions in the database and authorises it as a user would: consent page, redirect, authorize().
sub authorise
{
	my ($self, $node, $database) = @_;
	my $info = $self->{info};

	$node->safe_psql($database,
		"INSERT INTO exact.app (name, client_id, region, base_url, redirect_uri) VALUES ('erp', '$info->{client_id}', "
		. "'nl', '$self->{url}', '$info->{redirect_uri}')");
	write_file("$node->{exact_secrets_directory}/app.erp.client_secret", $info->{client_secret}, 0600);
	$node->safe_psql($database, 'SELECT * FROM exact.import_secrets()');
	my $answer = $self->{http}->get($node->safe_psql($database, "SELECT exact.authorize_url('erp')"));
	my $redirect = $answer->{headers}{location} or croak "no redirect: $answer->{status} $answer->{content}";
	$node->safe_psql($database, "SELECT exact.authorize('erp', '$redirect')");
	return;
}

# Enables divisions and entities; returns when every feed has completed its first run.
sub enable
{
	my ($self, $node, $database, $entities, @divisions) = @_;
	my $list = join(',', @divisions);

	$node->safe_psql($database, "SELECT * FROM exact.discover_divisions('erp')");
	$node->safe_psql($database, "UPDATE exact.division SET enabled = true WHERE division IN ($list)");
	$node->safe_psql($database,
		"SELECT exact.enable_entities(division, " . join(', ', map { "'$_'" } @$entities) . ") FROM exact.division "
		. "WHERE division IN ($list)");
	return;
}

# A sync of everything and its end
sub sync
{
	my ($self, $node, $database, $seconds) = @_;
	my $request = $node->safe_psql($database, 'SELECT exact.sync_now()');

	return $node->safe_psql($database, "SELECT exact.wait($request, '" . ($seconds // 60) . " s')");
}

1;
