# The server stops within 12 seconds whichever worker's commit waits for a standby that never answers: a page of the
# fetcher, a delivery of the loader, a notification of the listener, the claim at the start, all of them beside calls
# that hang. What waited is done once, afterwards.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use HubTest;
use IO::Socket::INET;
use Listener qw(free_port notification request_bytes wait_for_listener);
use PostgreSQL::Test::Utils;
use Test::More;

my $exact = exact_online();
my $databricks = simulator(engine => 'none', slots => 8);
my $node = hub_cluster('main', init => { allows_streaming => 1 });
my $statements = '^/api/2.0/sql/statements';
my ($port, $seed) = (free_port(), 40);

sub standby
{
	my ($name) = @_;

	$node->append_conf('postgresql.conf', "synchronous_standby_names = '$name'");
	return unless -e $node->data_dir . "/postmaster.pid";
	$node->reload;
	$node->poll_query_until('postgres', "SELECT current_setting('synchronous_standby_names') = '$name'");
	return;
}

sub change { $exact->post('random', count => 20, seed => $seed++); return; }
sub sync { one($node, 'SET synchronous_commit = local; SELECT exact.sync_now()'); return; }

sub waits
{
	my ($role) = @_;

	return wait_until("a commit of the $role waits", sub { one($node, 'SELECT count(*) FROM pg_stat_activity '
		. "WHERE wait_event = 'SyncRep' AND backend_type = 'exact $role'") eq '1' });
}

# Stopped fast; then everything goes on without waiting for standbys
sub stops_in_time
{
	my ($what) = @_;
	my $seconds = seconds_of(sub { $node->stop('fast') });

	cmp_ok($seconds, '<', 12, sprintf('%s: stopped in %.1f s', $what, $seconds));
	control($databricks, 'DELETE', 'faults');
	$exact->clear_faults;
	return;
}

sub goes_on
{
	standby('');
	$node->start unless -e $node->data_dir . "/postmaster.pid";
	wait_for_workers($node, 'postgres', roles => [ 'fetcher', 'loader', 'listener' ], seconds => 60);
	return;
}

one($node, "ALTER DATABASE postgres SET exact_databricks.listen_addresses = '127.0.0.1'");
one($node, "ALTER DATABASE postgres SET exact_databricks.port = $port");
give_hub($node, $exact, $databricks);
write_file("$node->{exact_secrets_directory}/app.erp.webhook_secret", $Listener::SECRET, 0600);
one($node, 'SELECT * FROM exact.import_secrets()');
wait_for_listener($node, 'postgres');

# a page of the fetcher
change();
standby('nobody');
sync();
waits('fetcher');
stops_in_time('a page that was read');
goes_on();

# the record of a delivery; a call for a token of Databricks hangs besides
workspace_fault($databricks, path => "$statements\$", statement => 'MERGE INTO', action => 'slow', seconds => 3,
	times => 1);
change();
sync();
wait_until('a MERGE is under way', sub { one($node, "SELECT count(*) FROM exact.statement_log WHERE state = 'sending' "
	. "AND kind IN ('history', 'current')") ne '0' });
standby('nobody');
waits('loader');
stops_in_time('a delivery');
goes_on();

# a notification, beside both others
my $sender = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) or die "cannot connect: $!";
standby('nobody');
print $sender request_bytes('POST', '/exact/hook', body => notification(content =>
	sprintf('{"Topic":"Items","ClientId":"%s","Division":%d,"Action":"Update",'
	. '"Key":"7a31c0de-0000-0000-0000-000000000001","ExactOnlineEndpoint":"",'
	. '"EventCreatedOn":"2026-03-04T13:14:50.07"}',
	$exact->{info}{client_id}, ($exact->divisions)[0])));
waits('listener');
change();
sync();
waits('fetcher');
stops_in_time('a notification and a page');

# what the loader writes at its start
$node->start;
waits('loader');
workspace_fault($databricks, path => 'oidc/v1/token', action => 'hang', times => -1);
$exact->fault('', 'hang', times => -1);
stops_in_time('the claim at the start');
goes_on();

complete($node, $exact, 90);
agrees($exact, $databricks, 'after all of them');
is(epoch_of($node), '1', 'no epoch had to begin');
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|signal 11/, 'no crash in the log');
$node->stop;
done_testing();
