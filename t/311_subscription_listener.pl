# From settings to notifications: the hub's own listener, found by the hub itself and by Exact Online; what stands in
# the way is named.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactOnline;
use ExactTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $exact = ExactOnline->start('--records', '100', '--divisions', '1', '--fast', '--minute-limit', '100000',
	'--day-limit', '10000000', '--error-limit', '0');
my $node = exact_cluster('main');
my ($division) = $exact->divisions;
my $port = PostgreSQL::Test::Cluster::get_free_port();

sub one { return $node->safe_psql('postgres', $_[0]); }
sub states { return one("SELECT string_agg(topic || ' ' || state || coalesce(' ' || cause, ''), ', ' ORDER BY topic) "
	. "FROM exact.subscription"); }
sub callback { return one("SELECT concat_ws('|', state, finding) FROM exact.callback WHERE url = '$_[0]/exact/hook'"); }

sub set_address
{
	my ($public, %more) = @_;

	one("ALTER DATABASE postgres SET exact_databricks.public_url = '$public'");
	one("ALTER DATABASE postgres SET exact_databricks.$_ = '$more{$_}'") foreach sort keys %more;
	one('SELECT exact.restart_workers()');
	wait_for_workers($node, 'postgres');
	return;
}

one('CREATE EXTENSION exact_databricks');
wait_for_workers($node, 'postgres');
$exact->authorise($node, 'postgres');
write_file("$node->{exact_secrets_directory}/app.erp.webhook_secret", $exact->{info}{webhook_secret}, 0600);
one('SELECT * FROM exact.import_secrets()');
$exact->enable($node, 'postgres', [qw(glaccount items)], $division);

# a public address without a listener
set_address("http://127.0.0.1:$port");
wait_until('the listener is missed', sub { states() eq 'GLAccounts wanted listener, Items wanted listener' });
is(scalar $exact->calls(0, qr{/webhooks/}), 0, 'nothing was sent to Exact Online');

# with one, subscriptions and notifications follow by themselves
set_address("http://127.0.0.1:$port", listen_addresses => '127.0.0.1', port => $port);
wait_until('subscriptions are made', sub { states() eq 'GLAccounts present, Items present' }, 60);
is(callback("http://127.0.0.1:$port"), 'ok|answers 200', 'this hub has recognised itself');
is(one("SELECT count(*) FROM exact.inbox"), '0', 'trials of the address leave nothing in the inbox');
is($exact->sync($node, 'postgres'), 'done', 'loaded');
my ($item) = grep { !$_->{deleted} } $exact->truth($division, 'logistics/Items');
$exact->post('change', division => $division, resource => 'logistics/Items', op => 'update', key => $item->{key},
	fields => { Description => 'announced' });
wait_until('a change is announced and read', sub {
	one("SELECT count(*) FROM exact.stage WHERE entity = 'items' AND key = lower('$item->{key}') "
		. "AND payload LIKE '%announced%'") eq '1' });
pass('a change is announced and read');
wait_until('the view knows',
	sub { one("SELECT last_notification IS NOT NULL FROM exact.subscriptions WHERE topic = 'Items'") eq 't' });

# the address of another hub
$node->safe_psql('postgres', 'CREATE DATABASE other');
my $other_port = PostgreSQL::Test::Cluster::get_free_port();
$node->safe_psql('other', "CREATE EXTENSION exact_databricks; ALTER DATABASE other "
	. "SET exact_databricks.listen_addresses = '127.0.0.1'; ALTER DATABASE other SET exact_databricks.port = "
	. "$other_port");
$node->safe_psql('other', "SELECT exact.restart_workers()");
$node->safe_psql('other', "INSERT INTO exact.app (name, client_id) VALUES ('other', 'x')");
write_file("$node->{exact_secrets_directory}/app.other.webhook_secret", 'another secret of 16', 0600);
wait_for_workers($node, 'other', roles => [qw(fetcher listener)]);
$node->safe_psql('other', 'SELECT * FROM exact.import_secrets()');
my $since = $exact->last_call;
set_address("http://127.0.0.1:$other_port");
wait_until('the other hub is noticed',
	sub { callback("http://127.0.0.1:$other_port") eq 'broken|another hub answers there' }, 60);
wait_until('the rows say so', sub { states() eq 'GLAccounts wanted unreachable, Items wanted unreachable' });
is(scalar(grep { $_->{method} ne 'GET' } $exact->calls($since, qr{/webhooks/})), 0,
	'what works at Exact Online is left alone');
is(one("SELECT string_agg(result, ' ') FROM exact.check() WHERE rule = 'callback reachable'"), 'fail',
	'check() says it');

# a certificate that nobody trusts
SKIP:
{
	my $directory = PostgreSQL::Test::Utils::tempdir();
	my $tls_port = PostgreSQL::Test::Cluster::get_free_port();
	my $made = system('openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=localhost', '-days',
		'1', '-keyout', "$directory/key", '-out', "$directory/cert", '-batch');

	skip 'no openssl', 1 if $made != 0;
	my $server = spawn_server([ 'openssl', 's_server', '-accept', "127.0.0.1:$tls_port", '-key', "$directory/key",
		'-cert', "$directory/cert", '-www' ], qr{(ACCEPT)});
	set_address("https://localhost:$tls_port");
	wait_until('the certificate is refused',
		sub { callback("https://localhost:$tls_port") =~ /^broken\|has no certificate that can be trusted/ }, 60);
	pass('an untrusted certificate is named');
	stop_server($server);
}

# nobody answers: Exact Online is asked once, and what both found is said
$exact->{http}->delete("$exact->{url}/_control/subscriptions?division=$division");
$since = $exact->last_call;
my $free = PostgreSQL::Test::Cluster::get_free_port();
set_address("http://127.0.0.1:$free");
wait_until('nobody answers', sub { states() eq 'GLAccounts wanted callback, Items wanted callback' }, 60);
is(scalar(grep { $_->{method} eq 'POST' } $exact->calls($since, qr{/webhooks/})), 1, 'one attempt at Exact Online');
like(one("SELECT DISTINCT what FROM exact.subscriptions"),
	qr/^Exact Online cannot call .*; from here: cannot be connected$/, 'both findings are told');

# mended: it goes on by itself
set_address("http://127.0.0.1:$port");
wait_until('made again', sub { states() eq 'GLAccounts present, Items present' }, 60);
pass('mended, the rest follows by itself');
unlike(slurp_file($node->logfile), qr/terminated by signal/, 'nothing crashed');
$node->stop;
done_testing();
