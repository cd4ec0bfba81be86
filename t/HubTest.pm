# HubTest - whole hubs in TAP tests: Exact Online's simulator on one side, an engine-free workspace on the other, a
# cluster between them.
package HubTest;

use strict;
use warnings;

use Carp qw(croak);
use Exporter 'import';
use File::Basename qw(dirname);

use DeliveryTest;
use ExactOnline;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(exact_online hub_cluster hub_settings give_hub one installation_of complete agrees all_off epoch_of);

my $root = dirname(dirname(__FILE__));

sub exact_online
{
	my (@options) = @_;

	return ExactOnline->start('--records', '150', '--divisions', '2', '--sync-page-size', '20', '--fast',
		'--minute-limit', '100000',
		'--day-limit', '10000000', '--error-limit', '0', '--min-refresh-age', '1', @options);
}

# Settings under which a hub of these tests reads and delivers without pauses
sub hub_settings
{
	return ('exact_databricks.sync_interval' => "'1h'", 'exact_databricks.merge_interval' => "'10ms'");
}

sub hub_cluster
{
	my ($name, %options) = @_;

	return exact_cluster($name, %options, conf => { hub_settings(), %{ $options{conf} // {} } });
}

sub one
{
	my ($node, $sql) = @_;

	return $node->safe_psql('postgres', $sql);
}

# A hub from nothing to its first load in Databricks
sub give_hub
{
	my ($node, $exact, $databricks) = @_;
	my $info = $databricks->{info};

	one($node, 'CREATE EXTENSION exact_databricks');
	wait_for_workers($node, 'postgres');
	one($node, "INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema, client_id)"
		  . " VALUES ('lake', '$databricks->{url}', '$info->{warehouse_id}', '$info->{catalog}', 'exact', "
		  . "'$info->{client_id}')");
	one($node, "SELECT exact.set_secret('workspace', 'lake', 'client_secret', '$info->{client_secret}')");
	$exact->authorise($node, 'postgres');
	one($node, "SELECT * FROM exact.discover_divisions('erp')");
	one($node, "UPDATE exact.division SET workspace = 'lake'");
	$exact->enable($node, 'postgres',
		$exact->{info}{settings}{preset} eq 'finance' ? ['finance']
		: [qw(glaccount items accounts purchaseorders purchaseorderlines costcenter costunit)], $exact->divisions);
	return complete($node, $exact);
}

sub installation_of { return one($_[0], 'SELECT id FROM exact.installation'); }
sub epoch_of { return one($_[0], 'SELECT epoch FROM exact.installation_binding'); }

# Until everything that was in Exact Online at the call is read and delivered; held deletes, of which a new consent
# makes some, are approved as an operator would
sub complete
{
	my ($node, $exact, $seconds) = @_;

	is($exact->sync($node, 'postgres', $seconds), 'done', 'everything is read');
	my $missing = sub {
		return one($node, "SELECT concat_ws('; ', (SELECT 'batches wait: ' || count(*) FROM exact.batch "
			. "WHERE delivered_at IS NULL HAVING count(*) > 0), "
			  . "(SELECT 'unknown: ' || string_agg(r.entity || ' ' || r.key, ', ') FROM exact.record AS r "
			  . "WHERE r.hash IS NULL AND NOT r.deleted), "
			  . "(SELECT 'keys wait: ' || string_agg(k.entity || ' ' || k.key || ' ' || k.reason, ', ') "
			  . "FROM exact.dirty_key AS k), "
			  . "(SELECT 'held: ' || string_agg(h.entity || ' ' || h.records || ' of ' || h.alive || ' ' || "
			  . "h.reason, ', ') FROM exact.held_delete AS h WHERE h.state = 'held'))");
	};
	return eval { wait_until('everything is delivered and nothing is unknown', sub {
		one($node, "SELECT exact.approve(h.id) FROM exact.held_delete AS h WHERE h.state = 'held'");
		return $missing->() eq '' }, $seconds // 60) } || croak $@ . $missing->();
}

# Delta holds what Exact Online holds now, record by record and field by field; each version of the history is there
# once.
sub agrees
{
	my ($exact, $databricks, $what) = @_;
	my ($out, $err) = ('', '');
	my $same = IPC::Run::run([ $ENV{EXACT_DATABRICKS_PYTHON} // 'python3', "$root/scripts/lib/truth.py", '--now',
		'--exact', $exact->{url}, '--databricks', $databricks->{url} ],
		'>', \$out, '2>', \$err);

	ok($same, "$what: Delta holds what Exact Online holds") or diag "$out$err";
	like($out, qr/^(?:\d+,\d{3}|\d{3,}) rows/, "$what: of some hundred records");
	return;
}

# No worker works: both wait, and say why
sub all_off
{
	my ($node, $reason) = @_;

	wait_for_workers($node, 'postgres', state => 'idle', seconds => 60);
	like(one($node, "SELECT string_agg(DISTINCT reason, ' ') FROM exact.workers WHERE role IN ('fetcher', 'loader')"),
		$reason, 'the workers stay off and say why');
	return;
}

1;
