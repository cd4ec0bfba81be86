# The consent of a user: authorize_url(), the redirect, authorize() by pasting; what is refused and what that costs.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactOnline;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $exact = ExactOnline->start('--divisions', 1, '--records', 60, '--fast', '--minute-limit', 100000,
	'--error-limit', 0);
my $node = exact_cluster('main');
my $info = $exact->{info};

sub value { return $node->safe_psql('postgres', $_[0]); }
sub token_calls { return scalar $exact->calls(0, qr{oauth2/token}); }
sub refused { return error_of($node, 'postgres', "SELECT exact.authorize('erp', '$_[0]')"); }

# Opens the address as a browser would; where it is sent to.
sub consent
{
	my ($url) = @_;
	my $answer = $exact->{http}->get($url);

	return $answer->{headers}{location} // die "no redirect: $answer->{status} $answer->{content}";
}

value('CREATE EXTENSION exact_databricks');
wait_for_workers($node, 'postgres');
value("INSERT INTO exact.app (name, client_id, base_url) VALUES ('erp', '$info->{client_id}', '$exact->{url}')");
write_file("$node->{exact_secrets_directory}/app.erp.client_secret", $info->{client_secret}, 0600);
value('SELECT * FROM exact.import_secrets()');

# the redirect address
like(error_of($node, 'postgres', "SELECT exact.authorize_url('erp')"), qr/no redirect address.*public_url/s,
	'no redirect address');
like(error_of($node, 'postgres', "SELECT exact.authorize_url('other')"), qr/app 'other' does not exist/, 'no such app');
value("ALTER DATABASE postgres SET exact_databricks.public_url = 'https://hub.example.com'");
my $url = value("SELECT exact.authorize_url('erp')");
like($url,
	pattern('^', quotemeta($exact->{url}), '/api/oauth2/auth\?client_id=', $info->{client_id},
		'&redirect_uri=https%3A%2F%2Fhub\.example\.com%2Fexact%2Fcallback&response_type=code&state=[0-9a-f]{64}&'),
	'the address follows public_url');
value("CREATE ROLE admin LOGIN IN ROLE exact_admin");
like($node->safe_psql('postgres', "SET ROLE admin; SELECT exact.authorize_url('erp')"), qr/hub\.example\.com/,
	'an admin may ask for it');
value("CREATE ROLE operator LOGIN IN ROLE exact_operator");
like(error_of($node, 'postgres', "SET ROLE operator; SELECT exact.authorize_url('erp')"), qr/42501/,
	'an operator may not');

# refused without a call
my $redirect = consent($url);
like(refused($redirect), qr/EX005: this address belongs to another authorisation.*Begin again/s,
	'the state of an address that was asked for before');
$redirect = consent(value("SELECT exact.authorize_url('erp')"));
(my $forged = $redirect) =~ s/state=[0-9a-f]{8}/state=00000000/;
like(refused($forged), qr/EX005: this address belongs to another authorisation/, 'forged state');
like(refused('https://hub.example.com/exact/callback'), qr/EX005: this is not the address/, 'no code');
like(refused('https://hub.example.com/exact/callback?error=access_denied&state=1'),
	qr/EX005: .*access_denied.*Begin again/s, 'the user said no');
value("UPDATE exact.app_state SET oauth_state_at = oauth_state_at - interval '601 s'");
like(refused($redirect), qr/EX005: the authorisation is older than ten minutes/, 'too old');
is(token_calls(), 0, 'nothing was sent');
is(value('SELECT state FROM exact.app_state'), 'new', 'still new');

# in a transaction that is not committed the fetcher cannot see it
$url = value("SELECT exact.authorize_url('erp')");
value("UPDATE exact.app_state SET oauth_state = NULL");
like(refused($redirect), qr/EX005: no authorisation of app 'erp' is waiting/, 'none is waiting');

# accepted, once
$redirect = consent(value("SELECT exact.authorize_url('erp')"));
isnt(value("SELECT exact.authorize('erp', ' $redirect\n')"), '', 'authorised by pasting');
is(value("SELECT origin || ' ' || (access IS NOT NULL) FROM exact.token"), 'authorize true', 'the pair is stored');
is(value('SELECT state FROM exact.app_state'), 'authorized', 'state');
is(value('SELECT oauth_state IS NULL FROM exact.app_state'), 't', 'the state is used up');
like(value("SELECT exact.me('erp') ->> 'FullName'"), qr/\w/, 'and it works');
is(token_calls(), 1, 'one call');
like(refused($redirect), qr/EX005: no authorisation of app 'erp' is waiting/, 'the same address again');
is(value("SELECT what ->> 'event' FROM exact.audit_log WHERE kind = 'token' "
	. "AND chain = 'fetcher' ORDER BY id DESC LIMIT 1"), 'authorized', 'audited');

# a code that the service refuses leaves a living chain alone
$redirect = consent(value("SELECT exact.authorize_url('erp')"));
(my $wrong = $redirect) =~ s/code=[^&]{12}/code=MarkerWrong0/;
like(refused($wrong), qr/EX005: Exact Online refuses the authorisation of app "erp".*invalid_grant.*Begin again/s,
	'refused code');
unlike(refused($wrong), qr/MarkerWrong0.*refuses/, 'the code is in no error text');
is(value('SELECT state FROM exact.app_state'), 'authorized', 'the old chain is still the one');
like(value("SELECT exact.me('erp') ->> 'FullName'"), qr/\w/, 'and works');

# a lost answer: there is no second attempt, a person begins again
my $before = token_calls();
$exact->fault('oauth2/token', 'reset_after', times => 1);
$redirect = consent(value("SELECT exact.authorize_url('erp')"));
like(refused($redirect), qr/EX008: the authorisation of app "erp" got no clear answer.*Begin again/s, 'lost answer');
is(token_calls(), $before + 1, 'one call');
$redirect = consent(value("SELECT exact.authorize_url('erp')"));
isnt(value("SELECT exact.authorize('erp', '$redirect')"), '', 'authorised again');
like(value("SELECT exact.me('erp') ->> 'FullName'"), qr/\w/, 'and it works');

# after a refusal that ended the chain, a new consent is all it takes
$exact->post('revoke', what => 'chain');
like(error_of($node, 'postgres', "SELECT exact.me('erp')"), qr/EX005.*chainId/s,
	'a dead chain is noticed at once, however young its pair');
$redirect = consent(value("SELECT exact.authorize_url('erp')"));
value("SELECT exact.authorize('erp', '$redirect')");
is(value('SELECT state || coalesce(reason, next_step, \'\') FROM exact.app_state'), 'authorized',
	'reason and next step are gone');
like(value("SELECT exact.me('erp') ->> 'FullName'"), qr/\w/, 'works again');

# a wrong client secret
write_file("$node->{exact_secrets_directory}/app.erp.client_secret", 'MarkerWrongSecret', 0600);
value('SELECT * FROM exact.import_secrets()');
$redirect = consent(value("SELECT exact.authorize_url('erp')"));
like(refused($redirect), qr/EX004: Exact Online refuses the client id or secret of app "erp".*app\.erp\.client_secret/s,
	'wrong client secret');
unlike(slurp_file($node->logfile), qr/MarkerWrongSecret/, 'which is not in the log');
unlike(slurp_file($node->logfile), qr/[?&]code=|MarkerWrong0|stampNL001/, 'nor is any code');

$node->stop;
done_testing();
