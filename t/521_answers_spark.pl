# On real Spark and Delta: a warehouse whose ANSI mode is off is found before anything is delivered, and by the MERGE
# itself when it is switched off later; a column of type TIMESTAMP_NTZ is added to a table that was made without one, by
# an older version; exact.erase(). Needs the simulator's Python packages and jars.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

my $patience = 240;
my $simulator = simulator(engine => 'spark', seconds => 400);
my $node = exact_cluster('main', conf => { 'exact_databricks.merge_interval' => "'10ms'" });

sub one { return $node->safe_psql('postgres', $_[0]); }
sub owner { return control($simulator, 'POST', 'sql', { statement => $_[0] }); }

sub ansi
{
	my ($on) = @_;
	return control($simulator, 'POST', 'config', { ansi_mode => $on ? JSON::PP::true() : JSON::PP::false() });
}

sub target
{
	my ($column, $entity) = @_;
	return one("SELECT $column FROM exact.target_state WHERE entity = '$entity'");
}

sub paused
{
	my ($entity) = @_;
	return wait_until("$entity is paused", sub { target('paused_since IS NOT NULL', $entity) eq 't' }, $patience);
}

# ANSI mode is off from the start
ansi(0);
deliver_to($node, $simulator);
one("INSERT INTO exact.entity_field (entity, name, selected) SELECT 'costcenter', name, false "
	. "FROM exact.field_effective WHERE entity = 'costcenter' AND target_type = 'TIMESTAMP_NTZ'");
stage($node, 1, 'costcenter', [ 'I', 'a', { ID => 'a', Code => '1', Created => '/Date(1700000000617)/' } ]);
paused('costcenter');
like(target('reason', 'costcenter'), qr/^ANSI mode is off in the SQL warehouse/, 'found before anything is delivered');
is(scalar(statements($simulator, qr/MERGE INTO .*costcenter/s)), 0, 'and nothing was');
ansi(1);
one("SELECT exact.resume(1, 'costcenter')");
wait_delivered($node, $patience);
pass('switched on, it goes on');

# what exact.erase() sends: the MERGE that deletes, the count, REORG
sub guid { return sprintf('00000000-0000-4000-8000-%012d', $_[0]); }
sub rows_of
{
	my $key = guid($_[0]);
	return join(' ', map { owner("SELECT count(*) FROM main.exact.$_ WHERE _key = '$key'")->{rows}[0][0] }
		'accounts', 'accounts_history');
}
stage($node, 1, 'accounts', map { [ 'I', guid($_), { ID => guid($_), Name => "person${_}x" } ] } 1 .. 5);
wait_delivered($node, $patience);
stage($node, 1, 'accounts', [ 'U', guid(1), { ID => guid(1), Name => 'person1xb' } ]);
wait_delivered($node, $patience);
is(rows_of(1), '1 2', 'before: one state, two versions');
my $id = one("SELECT exact.erase(1, 'accounts', '" . guid(1) . "', 'case 4711')");
is(one("SELECT exact.wait($id, '$patience s')"), 'done', 'erased');
like(one("SELECT result FROM exact.request WHERE id = $id"),
	qr/; 1 rows of main\.exact\.accounts, 2 rows of main\.exact\.accounts_history, whose old files go after /,
	'Spark counts what was deleted');
is(rows_of(1), '0 0', 'it is gone');
is(rows_of(2), '1 1', 'the others are as they were');
is(one("SELECT count(*) FROM exact.statement_log WHERE state = 'failed' AND entity = 'accounts'"), '0',
	'no statement of it has failed');

# the tables as an older version has made them: without the feature of a type that they do not have
my @old = map { $_->{text} =~ s/'delta.feature.timestampNtz' = 'supported', //r =~ s/`exact`/`older`/r }
	statements($simulator, qr/CREATE TABLE .*`costcenter(_history)?` /s);
is(scalar(@old), 2, 'two tables');
owner('CREATE SCHEMA main.older');
owner("GRANT USE SCHEMA, CREATE TABLE, SELECT, MODIFY ON SCHEMA main.older TO `$simulator->{info}{client_id}`");
owner($_) foreach @old;
one("DELETE FROM exact.entity_field WHERE entity = 'costcenter'; UPDATE exact.workspace SET schema = 'older'");
stage($node, 1, 'costcenter', [ 'U', 'a', { ID => 'a', Code => '2', Created => '/Date(1700000000617)/' } ]);
ok(eval { wait_delivered($node, $patience) }, 'columns of type TIMESTAMP_NTZ are added later')
	or diag(target('reason', 'costcenter'));
my $rows = owner("SELECT CAST(Created AS STRING) FROM main.older.costcenter_history WHERE Code = '2'")->{rows};
is($rows->[0][0], '2023-11-14 22:13:20.617', 'with the value');

# ANSI mode is switched off while the hub runs: good values go on, a bad one fails and is in no table
ansi(0);
stage($node, 1, 'costcenter', [ 'U', 'a', { ID => 'a', Code => '3' } ]);
wait_delivered($node, $patience);
pass('good values go on');
stage($node, 1, 'purchaseorders', [ 'I', 'p', { PurchaseOrderID => 'p', OrderNumber => 7, AmountDC => '1.5' } ]);
wait_delivered($node, $patience);
foreach my $bad ([ AmountDC => '999999999999999999999999999999.5' ], [ OrderNumber => 'x17' ])
{
	my ($column, $value) = @$bad;

	stage($node, 1, 'purchaseorders', [ 'U', 'p', { PurchaseOrderID => 'p', $column => $value } ]);
	paused('purchaseorders');
	like(target("reason || ' | ' || next_step", 'purchaseorders'),
		pattern('(exact: ANSI_MODE is off|ANSI mode is off in the SQL warehouse.*) \| Set ANSI_MODE to true'),
		"$column: found by the MERGE itself");
	is(owner('SELECT count(*) FROM main.older.purchaseorders_history')->{rows}[0][0], '1',
		"$column: no null is written");
	one("UPDATE exact.batch SET delivered_rows = rows, delivered_at = now() WHERE delivered_at IS NULL");
	one("SELECT exact.resume(1, 'purchaseorders')");
}
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/x17|999999999999/, 'no value is in the log');
$node->stop;
done_testing();
