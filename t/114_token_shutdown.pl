# The server stops within 12 seconds whatever a worker waits for: the answer to a token call, a standby that never
# confirms the commit of the pair, both, a statement of Databricks.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest qw(simulator deliver_to stage workspace_fault of_kind);
use ExactOnline;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $exact = ExactOnline->start('--divisions', 1, '--records', 60, '--fast', '--minute-limit', 100000,
	'--min-refresh-age', 1, '--error-limit', 0);
my $databricks = simulator(engine => 'none', slots => 8);
my $node = exact_cluster('main', init => { allows_streaming => 1 }, conf => { 'exact_databricks.refresh_after' => '1s',
	'exact_databricks.merge_interval' => "'10ms'" });
my $info = $exact->{info};
my $token_path = 'oauth2/token';

sub value { return $node->safe_psql('postgres', $_[0]); }

sub fresh_chain
{
	$exact->clear_faults;
	write_file("$node->{exact_secrets_directory}/app.erp.refresh_token", $exact->post('authorize')->{refresh_token},
		0600);
	is(value("SELECT result FROM exact.import_secrets() WHERE field = 'refresh_token'"), 'imported', 'a fresh chain');
	wait_until('its first pair', sub { error_of($node, 'postgres', "SELECT exact.me('erp')") eq '' });
	wait_until('its first pair is due',
		sub { value("SELECT clock_timestamp() - max(issued_at) > interval '1.2 s' FROM exact.token") eq 't' });
	return;
}

# A refresh is under way, its answer comes after so many seconds (0: never)
sub refresh_under_way
{
	my ($seconds) = @_;

	fresh_chain();
	$exact->fault($token_path, $seconds ? 'delay_after' : 'hang', times => 1, $seconds ? (seconds => $seconds) : ());
	my $asker = $node->background_psql('postgres', on_error_stop => 0);
	$asker->query_until(qr/sent/, "\\echo sent\nSELECT exact.me('erp');\n");
	wait_until('the refresh is on record', sub { value('SELECT refresh_attempts FROM exact.app_state') eq '1' });
	return $asker;
}

sub wait_for_standby
{
	$node->append_conf('postgresql.conf', "synchronous_standby_names = 'nobody'");
	$node->reload;
	$node->poll_query_until('postgres', "SELECT current_setting('synchronous_standby_names') = 'nobody'");
	return;
}

# Stopped fast, then started without waiting for standbys
sub stops_in_time
{
	my ($what, $asker) = @_;
	my $seconds = seconds_of(sub { $node->stop('fast') });

	cmp_ok($seconds, '<', 12, sprintf('%s: stopped in %.1f s', $what, $seconds));
	eval { $asker->quit } if $asker;
	$node->append_conf('postgresql.conf', "synchronous_standby_names = ''");
	$node->start;
	wait_for_workers($node, 'postgres', seconds => 60);
	return;
}

value("CREATE EXTENSION exact_databricks");
wait_for_workers($node, 'postgres');
value("INSERT INTO exact.app (name, client_id, base_url, redirect_uri) VALUES ('erp', '$info->{client_id}', "
	. "'$exact->{url}', '$info->{redirect_uri}')");
write_file("$node->{exact_secrets_directory}/app.erp.client_secret", $info->{client_secret}, 0600);
value('SELECT * FROM exact.import_secrets()');

my $asker = refresh_under_way(0);
stops_in_time('the answer to a token call never comes', $asker);

$asker = refresh_under_way(3);
wait_for_standby();
my $last = value('SELECT max(id) FROM exact.token');
stops_in_time('it comes, and no standby confirms the pair', $asker);
is(value("SELECT count(*) FROM exact.token WHERE id > $last"), '1', 'the pair is on disk');
is(error_of($node, 'postgres', "SELECT exact.me('erp')"), '', 'and is good');

$asker = refresh_under_way(3);
wait_for_standby();
wait_until('the commit of the pair waits',
	sub { value("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' "
	. "AND backend_type = 'exact fetcher'") eq '1' });
stops_in_time('it waits for the standby already', $asker);

value("INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema, client_id) VALUES ('lake', "
	. "'$databricks->{url}', '$databricks->{info}{warehouse_id}', '$databricks->{info}{catalog}', 'exact', "
	. "'$databricks->{info}{client_id}')");
value("SELECT exact.set_secret('workspace', 'lake', 'client_secret', '$databricks->{info}{client_secret}')");
workspace_fault($databricks, path => '^/api/2.0/sql/statements$', action => 'hang', seconds => 60, times => -1);
value("INSERT INTO exact.division (division, app, workspace) VALUES (1, 'erp', 'lake')");
value("INSERT INTO exact.stage (slot, batch, ord, seq, division, entity, key, op, payload) VALUES (0, 1, 0, 1, 1, "
	. "'costcenter', 'a', 'I', '{\"ID\":\"a\"}')");
value("INSERT INTO exact.batch (id, slot, workspace, division, entity, epoch, rows, seq_min, seq_max) VALUES (1, 0, "
	. "'lake', 1, 'costcenter', 1, 1, 1, 1); SELECT exact._wake('loader')");
wait_until('a statement is sent',
	sub { value("SELECT count(*) FROM exact.statement_log WHERE state = 'sending'") eq '1' });
wait_for_standby();
stops_in_time('the answer to a statement never comes');
$node->stop;
done_testing();
