# explain() while a hub works: the same record through the states that workers bring about. States from prepared rows
# are in sql/explain.sql.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactOnline;
use ExactTest;
use HubTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $exact = exact_online('--records', '60', '--divisions', '1', '--sync-page-size', '3');
my $databricks = simulator(engine => 'none');
my $node = hub_cluster('main', conf => { timezone => morning() });
my ($division) = $exact->divisions;
my $info = $databricks->{info};
my $path = 'statements$';

sub ask { return one($node, $_[0]); }

sub explained
{
	my ($key, $entity) = @_;

	return ask("SELECT exact.explain($division, '" . ($entity // 'glaccount') . "', '$key')");
}

sub becomes
{
	my ($key, $pattern, $what, $entity) = @_;
	my $last = '';

	eval { wait_until($what, sub { ($last = explained($key, $entity)) =~ $pattern }, 40) } or diag $last;
	return like($last, $pattern, $what);
}

sub change
{
	my ($op, $key, %fields) = @_;

	return $exact->post('change', division => $division, resource => 'financial/GLAccounts', op => $op,
		$key ? (key => $key) : (), %fields ? (fields => \%fields) : ());
}

sub sync { ask('SELECT exact.sync_now()'); return; }

# nobody has consented, then the first load
one($node, 'CREATE EXTENSION exact_databricks');
wait_for_workers($node, 'postgres');
my ($record) = sort { $b->{row}{Timestamp} <=> $a->{row}{Timestamp} } grep { !$_->{deleted} } $exact->truth($division,
	'sync/Financial/GLAccounts');
my $key = lc $record->{key};
ask("INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema, client_id) "
	. "VALUES ('lake', '$databricks->{url}', '$info->{warehouse_id}', '$info->{catalog}', 'exact', "
	. "'$info->{client_id}')");
ask("SELECT exact.set_secret('workspace', 'lake', 'client_secret', '$info->{client_secret}')");
$exact->authorise($node, 'postgres');
ask("SELECT * FROM exact.discover_divisions('erp')");
is(explained($key), "Never seen: division $division is not enabled; UPDATE exact.division SET enabled = true "
	. "WHERE division = $division.", 'not enabled');
my $fault = $exact->fault('/sync/Financial/GLAccounts', 'delay', seconds => 2, times => 2, skip => 1);
ask("UPDATE exact.division SET workspace = 'lake'");
$exact->enable($node, 'postgres', ['glaccount'], $division);
becomes($key, qr/^Not seen yet: the first load of glaccount runs since \d\d:\d\d, \d+ rows so far\.$/, 'first load');
becomes($key,
	pattern('^In Databricks since \d\d:\d\d: version \d+ \(new, staged \d\d:\d\d\) is in main\.exact\.glaccount, ',
		'statement \S+…\.$'), 'delivered');
like(explained('00000000-0000-4000-8000-000000000000'),
	pattern('^Exact Online did not show it when glaccount was last read completely, by \d\d:\d\d; SELECT ',
		'exact\.sync_now\(', $division, ', \'glaccount\'\) reads it now\.$'), 'a record that is not there');

# a statement runs; its answer is lost; the service is away
control($databricks, 'POST', 'faults', { path => $path, statement => 'glaccount history ', action => 'slow',
	seconds => 4 });
change('update', $key, Description => 'slow');
sync();
becomes($key,
	pattern('^Waits since \d\d:\d\d: version \d+ \(changed\) is staged; (statement \S+… carries it since|the ',
		'statement that carries it is being sent since) \d\d:\d\d\. Databricks has the version of \d\d:\d\d\.$'),
	'a statement runs');
wait_delivered($node, 60);
control($databricks, 'POST', 'config', { history_delay => 8 });
control($databricks, 'POST', 'faults', { path => $path, statement => 'glaccount history ', action => 'reset_running',
	seconds => 1 });
control($databricks, 'POST', 'faults', { statement => 'glaccount history ', action => 'slow', seconds => 5 });
change('update', $key, Description => 'lost');
sync();
becomes($key,
	pattern('; the answer to the statement of \d\d:\d\d that carries it was lost; the hub sends it again if ',
		'the query history shows that it does not run'), 'an answer is lost');
wait_delivered($node, 60);
control($databricks, 'POST', 'config', { history_delay => 0 });

# refused
control($databricks, 'POST', 'privileges',
	{ deny => [ { privilege => 'MODIFY', object => 'main.exact.glaccount_history' } ] });
change('update', $key, Description => 'refused');
sync();
becomes($key,
	pattern('; deliveries into main\.exact\.glaccount are paused since \d\d:\d\d: Databricks refused the MERGE into ',
		'main\.exact\.glaccount_history: .*; GRANT SELECT, MODIFY ON TABLE main\.exact\.glaccount_history TO ',
		'.*Databricks has the version of \d\d:\d\d\.$'), 'refused');
control($databricks, 'POST', 'privileges', { deny => [] });
ask("SELECT exact.resume($division, 'glaccount')");
wait_delivered($node, 60);

# deleted; there again is another record for Exact Online, so the key stays deleted
my $fresh = lc change('create', undef, Code => '99801', Description => 'short life')->{key};
sync();
becomes($fresh, qr/^In Databricks since/, 'a new record');
change('delete', $fresh);
sync();
becomes($fresh,
	pattern('^In Databricks since \d\d:\d\d: version \d+ \(deleted in Exact Online, as (its log of deletes says|a ',
		'read of its key confirmed), staged \d\d:\d\d\) is in main\.exact\.glaccount with _deleted = true, ',
		'statement'), 'deleted');

# a line waits for its document's table
$exact->enable($node, 'postgres', [ 'purchaseorders', 'purchaseorderlines' ], $division);
is($exact->sync($node, 'postgres'), 'done', 'orders');
wait_delivered($node, 60);
my $line = ask("SELECT key FROM exact.record WHERE entity = 'purchaseorderlines' AND NOT deleted LIMIT 1");
like(explained($line, 'purchaseorders'),
	qr/^Exact Online did not show it .* The key is known in division $division as a record of purchaseorderlines\./,
	'asked for under the wrong entity');
control($databricks, 'POST', 'faults', { path => $path, statement => 'purchaseorders history ', action => 'slow',
	seconds => 4 });
$exact->post('change', division => $division, resource => 'purchaseorder/PurchaseOrderLines', op => 'update',
	key => $line, fields => { Quantity => 77 });
sync();
becomes($line,
	qr/; batch \d+ of purchaseorders \(\d+ versions, staged \d\d:\d\d\) goes first\. Databricks has the version/,
	'a line waits for its header', 'purchaseorderlines');
wait_delivered($node, 60);

# Exact Online refuses: a division that is parked, a consent that is gone
$exact->post('division', code => $division, reason => 'LicenseExpired');
sync();
becomes($key, qr/ Later changes are not read: division $division is parked since .*\.$/, 'parked');
$exact->post('division', code => $division, reason => undef);
ask("SELECT exact.resume($division)");
is($exact->sync($node, 'postgres'), 'done', 'resumed');
$exact->post('revoke', what => 'chain');
sync();
becomes($key,
	qr/^In Databricks since .* Later changes are not read: app erp needs consent again since \d\d:\d\d: .*\.$/,
	'consent is gone');

# off
ask('ALTER SYSTEM SET exact_databricks.enabled = off');
ask('SELECT pg_reload_conf()');
ask("UPDATE exact.app_state SET state = 'authorized'");
becomes($key,
	pattern(' Later changes are not read: the fetcher does not run: exact_databricks\.enabled is off; SELECT \* FROM ',
		'exact\.check\(\)\.$'), 'the hub is off');
is(one($node, "SET ROLE exact_reader; SELECT count(exact.explain($division, 'glaccount', '$key')) + count(*) "
	. "FROM exact.history($division, 'glaccount', '$key')") > 1, 1, 'a reader may ask');
like(one($node, "SELECT string_agg(array_to_string(changed, ', '), '; ' ORDER BY seq) FROM exact.history($division, "
	. "'glaccount', '$key')"), qr/Description: .* → slow.*Description: slow → lost.*Description: lost → refused/,
	'its history tells what changed');
$node->stop;
done_testing();
