# HubTest - whole hubs in TAP tests: Exact Online's simulator on one side, an engine-free workspace on the other, a cluster between them.
package HubTest;

use strict;
use warnings;

use Carp qw(croak);
use Exporter 'import';

use DeliveryTest;
use ExactOnline;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(exact_online hub_cluster hub_settings give_hub one installation_of complete agrees all_off epoch_of);

# Canonical resource and a column whose value is compared, for each entity
my %entities = (
	glaccount => [ 'sync/Financial/GLAccounts', 'Description' ],
	items => [ 'sync/Logistics/Items', 'Description' ],
	accounts => [ 'sync/CRM/Accounts', 'Name' ],
	purchaseorders => [ 'sync/PurchaseOrder/PurchaseOrders', 'Description' ],
	costcenter => [ 'hrm/Costcenters', 'Description' ],
	costunit => [ 'hrm/Costunits', 'Description' ]);

sub exact_online
{
	my (@options) = @_;

	return ExactOnline->start('--records', '150', '--divisions', '2', '--sync-page-size', '20', '--fast', '--minute-limit', '100000',
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
		  . " VALUES ('lake', '$databricks->{url}', '$info->{warehouse_id}', '$info->{catalog}', 'exact', '$info->{client_id}')");
	one($node, "SELECT exact.set_secret('workspace', 'lake', 'client_secret', '$info->{client_secret}')");
	$exact->authorise($node, 'postgres');
	one($node, "SELECT * FROM exact.discover_divisions('erp')");
	one($node, "UPDATE exact.division SET workspace = 'lake'");
	$exact->enable($node, 'postgres', [ sort keys %entities ], $exact->divisions);
	return complete($node, $exact);
}

sub installation_of { return one($_[0], 'SELECT id FROM exact.installation'); }
sub epoch_of { return one($_[0], 'SELECT epoch FROM exact.installation_binding'); }

# Until everything that was in Exact Online at the call is read and delivered
sub complete
{
	my ($node, $exact, $seconds) = @_;

	is($exact->sync($node, 'postgres', $seconds), 'done', 'everything is read');
	return wait_until(
		'everything is delivered and nothing is unknown',
		sub {
			one($node, 'SELECT count(*) FROM exact.batch WHERE delivered_at IS NULL') eq '0'
			  && one($node, 'SELECT count(*) FROM exact.record WHERE hash IS NULL AND NOT deleted') eq '0'
			  && one($node, 'SELECT count(*) FROM exact.dirty_key') eq '0';
		},
		$seconds // 60);
}

# Delta holds what Exact Online holds: the same records, none that is gone, with the same values.
sub agrees
{
	my ($exact, $databricks, $what) = @_;
	my (@expected, @found);

	foreach my $entity (sort keys %entities)
	{
		my ($resource, $field) = @{ $entities{$entity} };

		foreach my $division ($exact->divisions)
		{
			foreach my $record ($exact->truth($division, $resource))
			{
				next if $record->{deleted} || ($record->{row}{LineNumber} // 0) != 0;
				push @expected, join ' ', $entity, $division, lc $record->{key}, $record->{row}{$field} // 'null';
			}
		}
		foreach my $row (databricks_rows($databricks, $entity))
		{
			next if $row->{_deleted} =~ /^(true|1)$/;
			push @found, join ' ', $entity, $row->{_division}, $row->{_key}, $row->{ lc $field } // 'null';
		}
	}
	cmp_ok(scalar @expected, '>', 50, "$what: there is something to compare");
	my %count;
	$count{$_}++ foreach @expected;
	$count{$_}-- foreach @found;
	my @different = grep { $count{$_} != 0 } sort keys %count;
	is(scalar @different, 0, "$what: Delta holds what Exact Online holds") or diag join "\n", map { "$count{$_} $_" } @different[ 0 .. ($#different < 9 ? $#different : 9) ];

	# every version of the history once
	foreach my $entity (sort keys %entities)
	{
		my %seen;
		$seen{"$_->{_division} $_->{_seq}"}++ foreach databricks_rows($databricks, "${entity}_history");
		is(scalar(grep { $_ > 1 } values %seen), 0, "$what: $entity has no version twice");
	}
	return;
}

# No worker works: both wait, and say why
sub all_off
{
	my ($node, $reason) = @_;

	wait_for_workers($node, 'postgres', state => 'idle', seconds => 60);
	like(one($node, "SELECT string_agg(DISTINCT reason, ' ') FROM exact.workers WHERE role IN ('fetcher', 'loader')"), $reason, 'the workers stay off and say why');
	return;
}

1;
