# The page to which Exact Online sends the browser: finishes the authorisation, or says in plain words why not; nothing
# leaks.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactOnline;
use ExactTest;
use IO::Socket::INET;
use Listener;
use PostgreSQL::Test::Utils;
use Test::More;

my $exact = ExactOnline->start('--divisions', 1, '--records', 60, '--fast', '--minute-limit', 100000,
	'--error-limit', 0);
my ($node, $port) = listener_cluster('main', no_app => 1);
my $info = $exact->{info};
my (@codes, @states);

sub value { return $node->safe_psql('postgres', $_[0]); }
sub token_calls { return scalar $exact->calls(0, qr{oauth2/token}); }

# The query with which a browser comes back after the consent
sub consent
{
	my $answer = $exact->{http}->get(value("SELECT exact.authorize_url('erp')"));
	my ($query) = ($answer->{headers}{location} // '') =~ /\?(.*)/ or die "no redirect: $answer->{status} "
		. "$answer->{content}";

	push @codes, $query =~ /code=([^&]+)/;
	push @states, $query =~ /state=([^&]+)/;
	return $query;
}

sub page { my ($query, %options) = @_; return get($port, "/exact/callback?$query", host => 'hub.example.com',
	seconds => 60, %options); }

value("ALTER DATABASE postgres SET exact_databricks.public_url = 'https://hub.example.com'");
value("INSERT INTO exact.app (name, client_id, base_url) VALUES ('erp', '$info->{client_id}', '$exact->{url}')");
write_file("$node->{exact_secrets_directory}/app.erp.client_secret", $info->{client_secret}, 0600);
value('SELECT * FROM exact.import_secrets()');

# what counts for nothing
my $unknown = 'd5' x 32;
my $answer = page("code=abc&state=$unknown");
is(status_of($answer), 400, 'unknown state');
like(body_of($answer), qr/No authorisation with this state is waiting.*It was used already/s, 'says so');
unlike(body_of($answer), qr/abc|$unknown/, 'repeats neither code nor state');
is(status_of(page('')), 400, 'nothing in the address');
is(status_of(page('code=%zz&state=%00')), 400, 'an address that cannot be decoded');
is(status_of(page('code=%ff%fe&state=%c3%28')), 400, 'bytes that are no text');
$answer = page('error=%3Cscript%3Ealert(1)%3C/script%3E&state=' . (consent() =~ /state=([^&]+)/)[0]);
is(status_of($answer), 400, 'refused by the user');
unlike(body_of($answer), qr/<script/, 'escaped');
like(body_of($answer),
	qr/did not authorise app &#39;erp&#39;: &lt;script&gt;.*SELECT exact\.authorize_url\(&#39;erp&#39;\)/s,
	'with the next step');
$answer = page('error=access_denied&state=' . (consent() =~ /state=([^&]+)/)[0]);
like(body_of($answer), qr/access_denied/, 'denied');
my $query = consent();
value("UPDATE exact.app_state SET oauth_state_at = oauth_state_at - interval '601 s'");
like(body_of(page($query)), qr/older than ten minutes/, 'too old');
is(token_calls(), 0, 'nothing was sent to Exact Online');
is(value('SELECT state FROM exact.app_state'), 'new', 'still new');

# whoever only looks does not spend the code
$query = consent();
is(status_of(raw($port, request_bytes('HEAD', "/exact/callback?$query"))), 200, 'HEAD');
is(token_calls(), 0, 'spends nothing');

# Exact Online refuses the code
$exact->fault('oauth2/token', 'status', status => 400, body => '{"error":"invalid_grant"}', times => 1);
$answer = page($query);
isnt(status_of($answer), 200, 'the code is refused');
like(body_of($answer), qr/Exact Online refuses the authorisation of app &quot;erp&quot;.*Begin again/s,
	'with reason and next step');
$exact->clear_faults;

# authorised
$query = consent();
$answer = page($query);
is(status_of($answer), 200, 'authorised');
like(body_of($answer), qr/App erp may now read Exact Online as \S.*discover_divisions\(&#39;erp&#39;\)/s,
	'who, and what is next');
is(value('SELECT state FROM exact.app_state'), 'authorized', 'state');
isnt(value('SELECT user_name FROM exact.app_state'), '', 'and by whom');
like(header_of($answer, 'Content-Security-Policy'), qr/default-src 'none'; style-src 'sha256-/,
	'no script may run in the page');
is(header_of($answer, 'Cache-Control'), 'no-store', 'not stored');
is(header_of($answer, 'Referrer-Policy'), 'no-referrer', 'no referrer');
isnt(value("SELECT exact.me('erp') ->> 'FullName'"), '', 'the token works');

# once
my $calls = token_calls();
like(body_of(page($query)), qr/No authorisation with this state is waiting/, 'the same address again');
is(token_calls(), $calls, 'is not sent again');

# what has not the form of a state costs nothing, however often it comes
foreach my $state ('def', 'D5' x 32, 'g5' x 32, 'd5' x 31, ('d5' x 32) . '0', '')
{
	like(body_of(page("code=x&state=$state")), qr/not the address that Exact Online sent the browser to/,
		"state \"$state\" is none");
}
my %formless = map { status_of(page("code=x&state=$_")) => 1 } 1 .. 60;
is(join(' ', sort keys %formless), '400', 'no state: each is told so');

# a stranger who tries many states keeps nobody's notifications waiting, and no administrator out
sub ask_at_once
{
	my ($n, $from) = @_;
	my @many = map { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Proto => 'tcp',
		LocalAddr => $from) } 1 .. $n;
	my $serial = 0;

	print { $_ } request_bytes('GET', sprintf('/exact/callback?code=x&state=%064x', $serial++)) foreach @many;
	return join ' ', sort keys %{ { map { status_of(raw($port, '', socket => $_)) => 1 } @many } };
}

# Asks for states that nobody waits for, until it is ended
sub start_flood
{
	my ($from) = @_;
	my $child = fork() // die "cannot fork: $!";

	return $child if $child != 0;
	local $SIG{TERM} = 'DEFAULT';
	while (1)
	{
		raw($port, request_bytes('GET', sprintf('/exact/callback?code=x&state=%064x', int rand 2**32)),
			from => $from, seconds => 3);
	}
}
is(ask_at_once(60, '127.0.0.60'), '400 503', 'many in a second: some are sent away unread');
my @floods = map { start_flood('127.0.0.' . (60 + $_)) } 1 .. 4;
foreach my $n (1 .. 5)
{
	$query = consent();
	$answer = page($query, from => '127.0.0.70');
	is(status_of($answer), 200, "beside a flood: consent $n comes through");
}
kill 'TERM', @floods;
waitpid $_, 0 foreach @floods;
wait_until('the page answers again',
	sub { status_of(page("code=x&state=$unknown", from => '127.0.0.61')) eq '400' });

# the fetcher does not run: the authorisation waits for the page to be loaded again
$query = consent();
value('ALTER SYSTEM SET exact_databricks.enabled = off');
$node->reload;
wait_for_workers($node, 'postgres', state => 'idle', roles => [ 'fetcher', 'listener' ]);
$answer = page($query);
is(status_of($answer), 503, 'the hub is switched off');
like(body_of($answer), qr/Load this page again/, 'with the next step');
value('ALTER SYSTEM RESET exact_databricks.enabled');
$node->reload;
wait_for_workers($node, 'postgres', roles => [ 'fetcher', 'listener' ]);
is(status_of(page($query)), 200, 'loaded again: authorised');

# nothing leaked
my $log = slurp_file($node->logfile);
is(scalar(grep { index($log, $_) >= 0 } @codes, @states), 0, 'neither code nor state is in the log');
unlike($log, qr/PANIC|TRAP|segfault|signal 11/, 'no crash');
done_testing();
