# exact_open in parts: no parameter grows beyond its bound, no row is missing at any time, what is no longer open
# vanishes with the last part, a part whose answer is lost is repeated. Engine-free workspace.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use Test::More;

my $simulator = simulator(engine => 'none', slots => 8);
my $node = exact_cluster('main', conf => { 'exact_databricks.merge_interval' => "'10ms'" });
deliver_to($node, $simulator);

sub one { return $node->safe_psql('postgres', $_[0]); }
sub parts { return statements($simulator, qr/exact_open state .*MERGE INTO/s); }
sub open_keys { return join ' ', sort map { $_->{_key} } eval { databricks_rows($simulator, 'exact_open') }; }

one("INSERT INTO exact.feed (division, entity, enabled) VALUES (1, 'costcenter', true) ON CONFLICT DO NOTHING");
stage($node, 1, 'costcenter', [ 'I', 'first', { ID => 'first' } ]);
wait_delivered($node);

# 2,000 records that are refused, with keys of some length
control($simulator, 'POST', 'privileges',
	{ deny => [ { privilege => 'MODIFY', object => 'main.exact.costcenter_history' } ] });
my @keys = map { sprintf('k%04d-%s', $_, 'x' x 60) } 1 .. 2000;
stage($node, 1, 'costcenter', map { [ 'I', $_, { ID => $_ } ] } @keys);
wait_until('the table is paused',
	sub { one("SELECT count(*) FROM exact.target_state WHERE entity = 'costcenter' AND paused_since IS NOT NULL") });
my $lost = workspace_fault($simulator, path => '^/api/2.0/sql/statements$', statement => 'exact_open state ',
	action => 'reset_after', skip => 1, times => 2);
one("SELECT exact.restart_workers()");
wait_until('they are told', sub { open_keys() eq join(' ', @keys) }, 180);
my @parts = parts();
cmp_ok(scalar(@parts), '>=', 4, 'in several statements');
is(scalar(grep { $_->{parameters}{batch} > 270_000 } @parts), 0, 'none of which has a large parameter');
is(fault_count($simulator, $lost), 2, 'answers to parts were lost');
wait_until('all of them went', sub { one("SELECT count(*) FROM exact.target_state WHERE entity = 'exact_state' "
			. "AND delivered_at IS NOT NULL AND reason IS NULL") eq '1' }, 120);

# the first thousand are given up: they vanish, the others stand
one("UPDATE exact.batch SET delivered_rows = 1000 WHERE delivered_at IS NULL");
my $least = 2000;
one("SELECT exact.restart_workers()");
wait_until('the others are told', sub {
		my $found = open_keys();
		my $n = scalar(my @found = split / /, $found);
		$least = $n if $n < $least;
		return $found eq join(' ', @keys[ 1000 .. 1999 ]); }, 180);
is($least, 1000, 'none of them was missing meanwhile');

# granted: the table takes all, none is open
control($simulator, 'POST', 'privileges', { deny => [] });
one("SELECT exact.resume(1, 'costcenter')");
# the hub counts the table before it delivers, and finds that the thousand are not there: they go once more
wait_until('all batches are delivered', sub {
		one("SELECT exact.resume(1, 'costcenter')") if one("SELECT count(*) FROM exact.target_state "
			. "WHERE entity = 'costcenter' AND reason LIKE '%holds 1 of the 1001 rows%'") eq '1';
		return delivered($node); }, 120);
one("SELECT exact.restart_workers()");
wait_until('none is open', sub { open_keys() eq '' }, 180);
is(one('SELECT count(*) FROM exact.verify_audit()'), '0', 'the audit chains hold');
$node->stop;
done_testing();
