# exact_open and exact_state as an older version of the hub made them, with fewer columns: what they lack is added, and
# they tell as before. Engine-free workspace.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $simulator = simulator(engine => 'none', slots => 8);
my $node = exact_cluster('main', conf => { 'exact_databricks.merge_interval' => "'10ms'" });
deliver_to($node, $simulator);

sub one { return $node->safe_psql('postgres', $_[0]); }
sub sql { control($simulator, 'POST', 'sql', { statement => $_[0] }); return; }

# What exact_state says; the loader looks at once when it starts
sub told
{
	my ($what) = @_;
	my $before = statements($simulator, qr{/\* exact_databricks \S+ exact_state state });
	my $pid = worker_pid($node, 'postgres', 'loader');

	one('SELECT exact.restart_workers()');
	wait_until('a new loader', sub { my $new = worker_pid($node, 'postgres', 'loader'); $new ne '' && $new ne $pid });
	wait_until($what, sub {
		statements($simulator, qr{/\* exact_databricks \S+ exact_state state }) > $before
			&& one("SELECT count(*) FROM exact.statement_log WHERE kind = 'state' AND state NOT IN ('succeeded', "
				. "'failed')") eq '0'
			&& one("SELECT reason IS NULL FROM exact.target_state WHERE entity = 'exact_state'") eq 't' }, 60);
	return join ' ', sort map { "$_->{entity}:$_->{state}:" . (exists $_->{ledger} ? 'ledger' : 'none') }
		databricks_rows($simulator, 'exact_state');
}

one("INSERT INTO exact.app_state (app, state) VALUES ('erp', 'authorized')");
one('UPDATE exact.division SET enabled = true WHERE division = 1');
one("INSERT INTO exact.feed (division, entity) VALUES (1, 'costcenter')");
one("INSERT INTO exact.division_state (division, state, reason) VALUES (1, 'paused', 'paused by a test') "
	. "ON CONFLICT (division) DO UPDATE SET state = 'paused', reason = excluded.reason");
stage($node, 1, 'costcenter', [ 'I', 'c', { ID => 'c', Code => '1' } ]);
wait_delivered($node, 60);
my $first = told('the tables are made');
like($first, qr/^costcenter:\S.*:ledger$/, "told: $first");

# as an older version made them
foreach my $lacks ([ 'exact_state', 'ledger' ], [ 'exact_open', 'since', 'amount' ])
{
	my ($table, @columns) = @$lacks;
	my ($made) = map { $_->{text} } statements($simulator, qr/CREATE TABLE IF NOT EXISTS `main`\.`exact`\.`$table`/);

	$made =~ s/\n  `$_` [^\n]*// || die "$table has no $_: $made" foreach @columns;
	sql("DROP TABLE main.exact.$table");
	sql($made);
}
one("UPDATE exact.target_state SET columns_digest = 'older' WHERE entity = 'exact_state'");
is(told('older tables are written'), $first, 'older tables say the same');
foreach my $table (qw(exact_state exact_open))
{
	is(scalar(statements($simulator, qr/ALTER TABLE `main`\.`exact`\.`$table` ADD COLUMNS/)), 1,
		"$table: what it lacked was added, once");
}
is(one('SELECT count(*) FROM exact.verify_audit()'), '0', 'the audit chains hold');
$node->stop;
done_testing();
