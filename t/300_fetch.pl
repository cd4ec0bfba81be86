# Feeds against the Exact Online simulator: first load, changes, deletes, runs that are cut off, links and records that
# lead elsewhere.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactOnline;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

my @tables = qw(glaccount items accounts purchaseorders purchaseorderlines costcenter costunit);
my %resources = (
	glaccount => 'sync/Financial/GLAccounts',
	items => 'sync/Logistics/Items',
	accounts => 'sync/CRM/Accounts',
	purchaseorders => 'sync/PurchaseOrder/PurchaseOrders',
	costcenter => 'hrm/Costcenters',
	costunit => 'hrm/Costunits');

my $exact = ExactOnline->start('--records', '300', '--divisions', '2', '--sync-page-size', '7', '--page-size',
	'3', '--fast',
	'--minute-limit', '100000', '--day-limit', '10000000', '--error-limit', '0');
my $node = exact_cluster('main', conf => { 'exact_databricks.sync_interval' => "'1h'" });
my ($first, $second) = $exact->divisions;

$node->safe_psql('postgres', 'CREATE EXTENSION exact_databricks');
wait_for_workers($node, 'postgres');
$exact->authorise($node, 'postgres');
$exact->enable($node, 'postgres', \@tables, $first, $second);

sub one { return $node->safe_psql('postgres', $_[0]); }

# "entity key deleted" of what the hub holds in a division
sub held
{
	my ($division) = @_;

	return one("SELECT string_agg(entity || ' ' || key || ' ' || deleted, E'\\n' ORDER BY entity COLLATE \"C\", key "
		. "COLLATE \"C\") FROM exact.record WHERE division = $division");
}

# the same from the simulator; a record that was never served alive cannot be known
sub expected
{
	my ($division) = @_;
	my %known = map { $_ => 1 } split /\n/,
		one("SELECT string_agg(key, E'\\n') FROM exact.record WHERE division = $division");
	my @lines;

	foreach my $entity (keys %resources)
	{
		foreach my $record ($exact->truth($division, $resources{$entity}))
		{
			my $name = $entity;
			my $key = lc $record->{key};

			$name = 'purchaseorderlines' if $entity eq 'purchaseorders' && $record->{row}{LineNumber} != 0;
			next if $record->{deleted} && !$known{$key};
			push @lines, "$name $key " . ($record->{deleted} ? 'true' : 'false');
		}
	}
	return join "\n", sort @lines;
}

sub agrees
{
	my ($what) = @_;

	is(held($_), expected($_), "$what: division $_ holds what Exact Online holds") foreach $first, $second;
	return;
}

# first load, in many pages
is($exact->sync($node, 'postgres'), 'done', 'the first load ends');
agrees('first load');
is(one("SELECT count(*) FROM exact.stage WHERE op <> 'I'"), '0', 'every version of it is an insert');
is( one("SELECT count(*) FROM exact.stage s JOIN exact.record r ON r.slot = s.slot AND r.batch = s.batch "
	. "AND r.ord = s.ord"),
	one('SELECT count(*) FROM exact.record'), 'every record has the address of its version');

# nothing changed: nothing staged
my $staged = one('SELECT count(*) FROM exact.stage');
is($exact->sync($node, 'postgres'), 'done', 'again');
is(one('SELECT count(*) FROM exact.stage'), $staged, 'unchanged records make no versions');

# changes and deletes of everything
$exact->post('random', count => 120, deletes => 0.25, seed => 7);
is($exact->sync($node, 'postgres'), 'done', 'after 120 changes');
agrees('changes');
is(one('SELECT count(*) FROM exact.dirty_key'), '0', 'no key waits');
is( one("SELECT count(*) FROM (SELECT seq, lag(seq) OVER (ORDER BY batch, ord) AS before FROM exact.stage) s "
	. "WHERE seq <= before"),
	'0', '_seq rises in the order of batches');
is(one("SELECT count(*) FROM exact.verify_audit()"), '0', 'the audit chains are intact');

# an order loses a line: the line is confirmed to be gone before it is deleted
my ($order) = grep { !$_->{deleted} && $_->{row}{LineNumber} == 0 } $exact->truth($first, $resources{purchaseorders});
my ($line) = grep { !$_->{deleted} && $_->{row}{LineNumber} > 0 && lc $_->{row}{PurchaseOrderID} eq lc $order->{key} }
  $exact->truth($first, $resources{purchaseorders});
$exact->post('config', deleted_keys => 'header');
$exact->post('change', division => $first, resource => 'purchaseorder/PurchaseOrderLines', op => 'delete',
	key => $line->{key});
my $since = $exact->last_call;
is($exact->sync($node, 'postgres'), 'done', 'after a line was deleted');
is(one("SELECT deleted FROM exact.record WHERE division = $first AND entity = 'purchaseorderlines' "
	. "AND key = lower('$line->{key}')"), 't',
	'the line is gone though the log does not name it');
cmp_ok(scalar($exact->calls($since, qr{purchaseorder/PurchaseOrderLines$})), '>=', 1, 'a keyed read has confirmed it');
is(scalar($exact->calls($since, qr{\(guid})), 0, 'nothing is read by key');
agrees('line deleted');

# a record that comes back is alive again
$exact->post('config', deleted_keys => 'both');

# PostgreSQL dies inside a run: it goes on at the page it had reached; no request wants another one behind it
$exact->post('random', count => 60, deletes => 0.1, seed => 8, division => $first);
$exact->fault("/$first/sync/Logistics/Items", 'delay', seconds => 1, times => -1);
$node->psql('postgres', "UPDATE exact.feed_state SET mark = 1, requested = true WHERE division = $first "
	. "AND feed = 'items'; SELECT exact._wake('fetcher')");
wait_until('a page of the run is stored',
	sub { one("SELECT run_state || run_rows FROM exact.feed_state WHERE division = $first "
		. "AND feed = 'items'") =~ /paging([1-9])/ });
my $run = one("SELECT run FROM exact.feed_state WHERE division = $first AND feed = 'items'");
$node->stop('immediate');
$exact->clear_faults;
$node->start;
wait_for_workers($node, 'postgres');
wait_until('the run ends',
	sub { one("SELECT run_state FROM exact.feed_state WHERE division = $first AND feed = 'items'") eq 'idle' });
is(one("SELECT run FROM exact.feed_state WHERE division = $first AND feed = 'items'"), $run, 'the same run has ended');
is($exact->sync($node, 'postgres'), 'done', 'and the rest');
agrees('crash inside a run');

# a page of another division: nothing of it is kept, the division is frozen until an operator says otherwise
$exact->post('random', count => 10, deletes => 0, seed => 9, division => $first, resource => 'crm/Accounts');
$staged = one('SELECT count(*) FROM exact.stage');
$exact->fault("/$first/sync/CRM/Accounts", 'wrong_division', division => $second, times => 1);
my $request = one("SELECT exact.sync_now($first, 'accounts')");
$node->psql('postgres', "SELECT exact.wait($request, '30 s')");
like(one("SELECT state || ': ' || result FROM exact.request WHERE id = $request"),
	qr/^failed: .*division $first is frozen: Exact Online answered with a record of division $second/,
	'the guard says what came');
is(one('SELECT count(*) FROM exact.stage'), $staged, 'nothing of the page was kept');
is(one("SELECT state FROM exact.division_state WHERE division = $first"), 'frozen', 'the division is frozen');
is(one("SELECT state FROM exact.division_state WHERE division = $second"), 'ok', 'the other one is not');
one("SELECT exact.resume($first)");
is($exact->sync($node, 'postgres'), 'done', 'it goes on after resume()');
agrees('after the guard');

# a next link to another host or division is not followed
foreach my $where ('host', 'division')
{
	$exact->fault("/$first/sync/Logistics/Items", 'evil_next',
		($where eq 'host' ? (host => 'evil.example.com') : (division => $second)), times => 1);
	$node->psql('postgres', "UPDATE exact.feed_state SET mark = 1, requested = true WHERE division = $first "
		. "AND feed = 'items'; SELECT exact._wake('fetcher')");
	wait_until("the link to another $where is refused", sub {
		$node->log_contains($where eq 'host' ? 'the next page of items is on another host' : 'the next page of items '
			. 'is of division') });
	one("SELECT exact.resume($first)");
	is($exact->sync($node, 'postgres'), 'done', "it goes on after a link to another $where");
}
agrees('bad links');

# a division that is moved begins its row versions anew
$exact->post('random', count => 10, deletes => 0, seed => 10, division => $second);
$exact->post('division', code => $second, move_date => '2026-11-20T00:00:00', reset_timestamps => JSON::PP::true);
$node->safe_psql('postgres', "UPDATE exact.feed_state SET complete_at = NULL, requested = true "
	. "WHERE division = $second AND feed = 'divisions'; SELECT exact._wake('fetcher')");
wait_until('the move is seen',
	sub { one("SELECT mark_generation FROM exact.division_state WHERE division = $second") eq '2' });
is($exact->sync($node, 'postgres'), 'done', 'after the move');
agrees('moved division');

# ad-hoc reads
is(one("SELECT count(*) > 0 FROM exact.fetch($first, 'financial/GLAccounts', '\$select=ID,Code&\$filter=Code ne "
	. "''x''')"), 't', 'fetch() follows pages');
like(error_of($node, 'postgres', "SELECT exact.fetch($first, '../$second/crm/Accounts', '')"),
	qr/EX021.*is not a resource of a division/s, 'no way out of the division');
like(error_of($node, 'postgres', "SELECT exact.fetch(999, 'crm/Accounts', '')"), qr/division 999 is not known/,
	'unknown division');
# each call moves it, also those that the fetcher makes meanwhile
is(one("SELECT exact.me('erp')->>'CurrentDivision' IN ('$first', '$second')"), 't', 'me()');

# no transaction stays open, whatever the network does
is( one("SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'exact %' AND xact_start IS NOT NULL "
	. "AND state <> 'active'"), '0', 'no worker idles in a transaction');

$node->stop;
done_testing();
