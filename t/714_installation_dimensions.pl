# A hub is dumped while a new cost center is on its way to Exact Online, another edit is approved and a third waits. The
# original goes on and writes; then the restored copy takes its place, has the same tables, and writes nothing twice.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use HubTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $exact = exact_online('--divisions', '1');
my $databricks = simulator(engine => 'none');
my $node = hub_cluster('main');
my $dump = PostgreSQL::Test::Utils::tempdir() . '/hub';

give_hub($node, $exact, $databricks);

sub writes
{
	return scalar grep { $_->{method} eq $_[0] } $exact->calls(0, qr{/hrm/Cost|/financial/GLAccounts});
}
sub there { return map { $_->{row} } grep { !$_->{deleted} } $exact->truth($exact->divisions, $_[0]); }

# Every row of the dimensions, of their changes and of their calls
sub dimensions
{
	my ($of) = @_;

	return join "\n", map { one($of, "SELECT t::text FROM exact.$_ AS t ORDER BY 1") }
		qw(cost_center cost_unit gl_account dimension_change dimension_write dimension_known dimension_again);
}

sub states
{
	return one($_[0], "SELECT string_agg(code || ' ' || state, ', ' ORDER BY id) FROM exact.dimension_change");
}

# the answer to a POST is awaited, an approved change has not been sent, one waits
my ($first, $second) = split /\n/, one($node, 'SELECT id FROM exact.cost_center WHERE NOT deleted ORDER BY code '
	. 'LIMIT 2');
one($node, "UPDATE exact.workspace SET write_back = 'auto'");
my $fault = $exact->fault('hrm/Costcenters$', 'delay_after', method => 'POST', seconds => 40);
one($node, "INSERT INTO exact.cost_center (division, code, description) SELECT division, 'DUMP1', 'Once' "
	. "FROM exact.division");
wait_until('the call is on its way', sub { grep { $_->{Code} eq 'DUMP1' } there('hrm/Costcenters') }, 30);
one($node, "UPDATE exact.division SET enabled = false; UPDATE exact.workspace SET write_back = 'approve'");
one($node, "UPDATE exact.cost_center SET description = 'Approved' WHERE id = '$first'");
one($node, "UPDATE exact.cost_center SET description = 'Proposed' WHERE id = '$second'");
my ($approved, $proposed) = split /\n/, one($node, "SELECT id FROM exact.dimension_change WHERE kind = 'update' "
	. "ORDER BY id");
one($node, "SELECT exact.approve($approved)");
$node->append_conf('postgresql.conf', 'exact_databricks.enabled = off');
$node->restart;
all_off($node, qr/exact_databricks\.enabled is off/);
like(states($node), qr/^DUMP1 approved, \S+ approved, \S+ proposed$/, 'one of each kind');
is(one($node, 'SELECT string_agg(state, \' \') FROM exact.dimension_write'), 'sent', 'a call without an answer');

$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'postgres' ], 'pg_dump');
my $copy = hub_cluster('copy', conf => { 'exact_databricks.key_file' => "'$node->{exact_key_file}'" });
$copy->command_ok([ 'pg_restore', '--exit-on-error', '-d', 'postgres', $dump ], 'pg_restore');
is(dimensions($copy), dimensions($node), 'dimensions, changes and calls are the same');
all_off($copy, qr/is bound to another cluster/);

# the original finds out that its call was done, and sends what was approved
sub go_on
{
	my ($of) = @_;

	one($of, 'UPDATE exact.division SET enabled = true');
	wait_until('what was approved is done',
		sub { states($of) =~ /^DUMP1 done, \S+ done, \S+ proposed$/ }, 120);
	return;
}
$exact->clear_faults;
$node->append_conf('postgresql.conf', 'exact_databricks.enabled = on');
$node->reload;
go_on($node);
is(writes('PUT'), 1, 'it is sent');
complete($node, $exact);

# so does the copy, which has heard of neither
one($copy, "SELECT exact.adopt('" . installation_of($copy) . "')");
wait_for_workers($copy, 'postgres');
go_on($copy);
is(writes('PUT'), 1, 'nothing is sent once more');
complete($copy, $exact);
one($copy, "SELECT exact.approve($proposed)");
wait_until('the third is done', sub { states($copy) =~ /^DUMP1 done, \S+ done, \S+ done$/ }, 60);
is(writes('PUT'), 2, 'what waited is written by the copy');
wait_until('the call that nobody heard the end of has ended', sub { writes('POST') > 0 }, 60);
is(writes('POST'), 1, 'it was sent once');
complete($copy, $exact);
foreach my $table (qw(cost_center cost_unit gl_account))
{
	my ($resource) = { cost_center => 'hrm/Costcenters', cost_unit => 'hrm/Costunits',
		gl_account => 'financial/GLAccounts' }->{$table};
	my %there = map { $_->{ID} => $_->{Description} } there($resource);
	my %here = map { split /\|/ } split /\n/, one($copy, "SELECT id, description FROM exact.$table WHERE NOT deleted");

	is_deeply(\%here, \%there, "$table has what Exact Online has");
}
$_->stop foreach $node, $copy;
done_testing();
