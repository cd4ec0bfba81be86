# Staged versions reach the history and the current table: values, order, deletes, ranges, ranks, intervals. Engine-free
# workspace.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $simulator = simulator(engine => 'none');
my $node = exact_cluster('main', conf => { 'exact_databricks.merge_interval' => "'10ms'" });
deliver_to($node, $simulator);

sub row
{
	my ($table, $key) = @_;
	my ($found) = grep { $_->{_key} eq $key } databricks_rows($simulator, $table);
	return $found // {};
}

sub history
{
	my ($table, $key) = @_;
	return sort { $a->{_seq} <=> $b->{_seq} } grep { $_->{_key} eq $key } databricks_rows($simulator,
		"${table}_history");
}

# values
my $payload = qq({"__metadata":{"uri":"x"},"ID":"6F9D1C2E-8A44-4A0B-9A0F-3D2B1C0E9F11","Code":"     4711",)
	. qq("Description":"it's \\\\ \\"q\\" \x{20ac} \\u0001",)
  . '"Created":"/Date(1700000000123)/","EndDate":"/Date(1700006400000)/","Active":true,"Creator":null,"Unknown":1}';
my $batch = stage($node, 1, 'costcenter', [ 'I', '6F9D1C2E-8A44-4A0B-9A0F-3D2B1C0E9F11', $payload ],
	[ 'I', 'k2', { ID => 'k2', Code => '2' } ]);
wait_delivered($node);
my $row = row('costcenter', '6f9d1c2e-8a44-4a0b-9a0f-3d2b1c0e9f11');
is($row->{id}, '6f9d1c2e-8a44-4a0b-9a0f-3d2b1c0e9f11', 'key and Guid in lower case');
is($row->{description}, "it's \\ \"q\" \x{20ac} \x{1}", 'text');
like($row->{created}, qr/^2023-11-14.22:13:20\.123/, 'wall clock');
like($row->{enddate}, qr/^2023-11-15/, 'date');
is($row->{active}, 'true', 'boolean');
is($row->{creator}, undef, 'null');
is("$row->{_op} $row->{_deleted} $row->{_valid} $row->{_batch} $row->{_division}", "I false true $batch 1",
	'own columns');
my ($version) = history('costcenter', '6f9d1c2e-8a44-4a0b-9a0f-3d2b1c0e9f11');
is($version->{_payload}, $payload, 'the payload is the text as it was staged');
is($version->{_seq}, $row->{_seq}, 'the same version');
like($row->{_staged_at}, qr/^20\d\d-\d\d-\d\dT.*Z$/, 'staged at');
is($node->safe_psql('postgres', "SELECT delivered_rows FROM exact.batch WHERE id = $batch"), '2',
	'the batch is delivered');
is( $node->safe_psql('postgres',
		"SELECT string_agg(kind || ' ' || state || ' ' || affected, ', ' ORDER BY id) FROM exact.statement_log "
		. "WHERE first_batch = $batch AND last_batch = $batch"),
	'history succeeded 2, current succeeded 2', 'one history and one current statement, which proved themselves');
is( $node->safe_psql('postgres',
		"SELECT what->>'rows' FROM exact.audit_log WHERE chain = 'loader' AND kind = 'statement' "
		. "AND what->>'first_batch' = '$batch'"),
	'2', 'audit event');
is($node->safe_psql('postgres', 'SELECT count(*) FROM exact.verify_audit()'), '0', 'the audit chains hold');

is(join(' ', map { my $what = $_; scalar(() = statements($simulator, qr/$what `main`\.`exact`\.`costcenter/)) }
		'DESCRIBE TABLE', 'CREATE TABLE', 'SHOW TBLPROPERTIES'), '0 2 0',
	'two tables that nobody has seen are made without a look at them');

# update, delete, re-appearance in deliveries of their own
stage($node, 1, 'costcenter', [ 'U', 'k2', { ID => 'k2', Code => '22', Description => 'd' } ]);
wait_delivered($node);
is(row('costcenter', 'k2')->{code}, '22', 'updated');
stage($node, 1, 'costcenter', [ 'D', 'k2', undef ]);
wait_delivered($node);
$row = row('costcenter', 'k2');
is("$row->{code} $row->{_deleted} $row->{_op}", '22 true D', 'a delete keeps the values');
($version) = reverse history('costcenter', 'k2');
is("$version->{code} $version->{_deleted} " . ($version->{_payload} // 'none'), '22 true none',
	'its version holds the content before it');
stage($node, 1, 'costcenter', [ 'I', 'k2', { ID => 'k2', Code => '222' } ]);
wait_delivered($node);
$row = row('costcenter', 'k2');
is("$row->{code} $row->{_deleted}", '222 false', 're-appeared');

# several versions of a key in one delivery, a delete of a record that Delta has never seen
$node->safe_psql('postgres', "UPDATE exact.workspace SET enabled = false");
stage($node, 1, 'costcenter', [ 'I', 'm1', { ID => 'm1', Code => '1' } ], [ 'I', 'm2', { ID => 'm2', Code => '1' } ]);
stage($node, 1, 'costcenter', [ 'U', 'm1', { ID => 'm1', Code => '2' } ], [ 'D', 'm2', undef ]);
stage($node, 1, 'costcenter', [ 'D', 'm1', undef ], [ 'U', 'k2', { ID => 'k2', Code => '3333' } ]);
stage($node, 2, 'costcenter', [ 'I', 'm1', { ID => 'm1', Code => 'other division' } ]);
ok(!delivered($node), 'a workspace that is not enabled waits');
$node->safe_psql('postgres', "UPDATE exact.workspace SET enabled = true");
wait_delivered($node);
is($node->safe_psql('postgres', "SELECT rows || ' ' || affected FROM exact.statement_log WHERE kind = 'history' "
	. "ORDER BY id DESC LIMIT 1"),
	'7 7', 'four batches in one delivery');
my @m1 = grep { $_->{_key} eq 'm1' } databricks_rows($simulator, 'costcenter');
is(join(', ', sort map { "$_->{_division} $_->{code} $_->{_deleted}" } @m1), '1 2 true, 2 other division false',
	'last state before the delete; divisions share a table');
is(row('costcenter', 'm2')->{_deleted}, 'true', 'deleted at once');
is(scalar(my @versions = history('costcenter', 'm1')), 4, 'every version is in the history');

# nothing is sent when nothing waits
my $sent = () = statements($simulator, qr/exact_databricks/);
$node->safe_psql('postgres', "SELECT exact._wake('loader')");
$node->safe_psql('postgres', "SELECT exact._ask('loader', 'ping')");
is(scalar(() = statements($simulator, qr/exact_databricks/)), $sent, 'nothing is sent when nothing waits');

# ranges: at most merge_rows rows, at most merge_bytes, a longer row alone
$node->safe_psql('postgres', 'ALTER SYSTEM SET exact_databricks.merge_bytes = "1MB"; '
	. 'ALTER SYSTEM SET exact_databricks.merge_rows = 100; SELECT pg_reload_conf()');
$node->poll_query_until('postgres', "SELECT current_setting('exact_databricks.merge_rows') = '100'");
my $first = stage($node, 1, 'costcenter', map { [ 'I', "r$_", { ID => "r$_", Code => $_ } ] } 1 .. 250);
wait_delivered($node);
is( $node->safe_psql('postgres',
		"SELECT string_agg(rows::text, ' ' ORDER BY id) FROM exact.statement_log WHERE kind = 'current' "
		. "AND first_batch = $first"),
	'100 100 50', 'merge_rows cuts a batch');
is(scalar(grep { $_->{_key} =~ /^r/ } databricks_rows($simulator, 'costcenter')), 250, 'all of it arrived');
$first = stage($node, 1, 'costcenter',
	[ 'I', 'b1', { ID => 'b1', Description => 'x' x 300_000 } ],
	[ 'I', 'b2', { ID => 'b2', Description => 'y' x 2_000_000 } ],
	map { [ 'I', "b$_", { ID => "b$_", Description => 'z' x 300_000 } ] } 3 .. 6);
wait_delivered($node, 60);
is( $node->safe_psql('postgres',
		"SELECT string_agg(rows::text, ' ' ORDER BY id) FROM exact.statement_log WHERE kind = 'current' "
		. "AND first_batch = $first"),
	'1 1 1 1 1 1', 'merge_bytes of text are a statement, a longer row goes alone');
is(length(row('costcenter', 'b2')->{description}), 2_000_000, 'long text');
$node->safe_psql('postgres', 'ALTER SYSTEM RESET exact_databricks.merge_bytes; '
	. 'ALTER SYSTEM RESET exact_databricks.merge_rows; SELECT pg_reload_conf()');

# order: master data before headers before lines
$node->safe_psql('postgres', "UPDATE exact.workspace SET enabled = false");
stage($node, 1, 'purchaseorders', [ 'I', 'o1', { PurchaseOrderID => 'o1', AmountDC => '0.30000000000000004' } ]);
my $second = stage($node, 1, 'purchaseorderlines', [ 'I', 'l1', { ID => 'l1', PurchaseOrderID => 'o1' } ]);
stage($node, 1, 'glaccount', [ 'I', 'g1', { ID => 'g1', Code => '4300' } ]);
my $fourth = stage($node, 1, 'purchaseorders', [ 'I', 'o2', { PurchaseOrderID => 'o2' } ]);
my $before = $node->safe_psql('postgres', 'SELECT max(id) FROM exact.statement_log');
$node->safe_psql('postgres', "UPDATE exact.workspace SET enabled = true");
wait_delivered($node);
my $order = sub {
	my ($earlier, $later) = @_;
	my $part = "FROM exact.statement_log WHERE id > $before AND kind";
	return $node->safe_psql('postgres',
		"SELECT (SELECT min(at) $part = 'history' AND $later) > (SELECT max(finished_at) $part = 'current' "
		. "AND $earlier)");
};
is($order->("entity = 'purchaseorders' AND first_batch < $second", "entity = 'purchaseorderlines'"), 't',
	'lines wait for older headers');
is($order->("entity = 'glaccount'", "entity = 'purchaseorders' AND last_batch = $fourth"), 't',
	'headers wait for older master data');
is(row('purchaseorders', 'o1')->{amountdc}, '0.3000', 'amounts have four decimals');

# merge_interval: from the end of a delivery to the next
$node->safe_psql('postgres', "UPDATE exact.workspace SET merge_interval = '2 s'");
stage($node, 1, 'items', [ 'I', 'i1', { ID => 'i1' } ]);
wait_delivered($node);
my $seconds = seconds_of(sub { stage($node, 1, 'items', [ 'I', 'i2', { ID => 'i2' } ]); wait_delivered($node) });
cmp_ok($seconds, '>', 1.5, sprintf('merge_interval is kept (%.1f s)', $seconds));
$seconds = seconds_of(sub { stage($node, 1, 'items', map { [ 'I', "j$_", { ID => "j$_" } ] } 1 .. 5000);
	wait_delivered($node) });
cmp_ok($seconds, '<', 30, sprintf('unless a full statement waits (%.1f s)', $seconds));
$node->safe_psql('postgres', "INSERT INTO exact.entity (name, merge_interval) VALUES ('items', '10 ms')");
$seconds = seconds_of(sub { stage($node, 1, 'items', [ 'I', 'i3', { ID => 'i3' } ]); wait_delivered($node) });
cmp_ok($seconds, '<', 1.5, sprintf("an entity's own interval counts first (%.1f s)", $seconds));

# a division without a workspace waits until it has one
$node->safe_psql('postgres', "INSERT INTO exact.division (division, app) VALUES (3, 'erp')");
$batch = stage($node, 3, 'costcenter', [ 'I', 'w1', { ID => 'w1' } ]);
stage($node, 1, 'costcenter', [ 'I', 'w2', { ID => 'w2' } ]);
wait_until('the other batch is delivered',
	sub { $node->safe_psql('postgres', 'SELECT count(*) FROM exact.batch WHERE delivered_at IS NULL') eq '1' });
is($node->safe_psql('postgres', 'SELECT id FROM exact.batch WHERE delivered_at IS NULL'), $batch,
	'no workspace: waits');
$node->safe_psql('postgres', "UPDATE exact.division SET workspace = 'lake' WHERE division = 3");
wait_delivered($node);
is(row('costcenter', 'w1')->{_division}, '3', 'and goes when it has one');

# a new column, a deselected one
$node->safe_psql('postgres', "INSERT INTO exact.entity_field (entity, name, selected) "
	. "VALUES ('costunit', 'Description', false)");
stage($node, 1, 'costunit', [ 'I', 'u1', { ID => 'u1', Description => 'a', Code => 'c' } ]);
wait_delivered($node);
ok(!exists row('costunit', 'u1')->{description}, 'a deselected field has no column');
$node->safe_psql('postgres', "DELETE FROM exact.entity_field");
stage($node, 1, 'costunit', [ 'U', 'u1', { ID => 'u1', Description => 'b', Code => 'c' } ]);
wait_delivered($node);
is(row('costunit', 'u1')->{description}, 'b', 'selected again: the column is added');

is($node->safe_psql('postgres', "SELECT count(*) FROM exact.target_state WHERE paused_since IS NOT NULL "
	. "OR reason IS NOT NULL"), '0', 'no table was paused');
is($node->safe_psql('postgres', "SELECT count(*) FROM exact.statement_log WHERE state <> 'succeeded'"), '0',
	'no statement failed');
my $ping = $node->safe_psql('postgres', "SELECT exact._ask('loader', 'ping')");
like($ping,
	pattern('"side":"databricks","name":"lake","ok":true,"latency_ms":[\d.]+,"finding":"warehouse .* is running, a ',
		'statement took \d+ ms","next_step":null'), 'ping');
control($simulator, 'POST', 'warehouse', { state => 'STOPPED' });
like($node->safe_psql('postgres', "SELECT exact._ask('loader', 'ping')"),
	qr/"ok":true,.*"finding":"warehouse .* is STOP\w+; the first delivery starts it"/,
	'ping does not start a warehouse');
stage($node, 1, 'costunit', [ 'U', 'u1', { ID => 'u1', Code => 'd' } ]);
ok(eval { wait_delivered($node) }, 'a delivery does');
$node->safe_psql('postgres', "UPDATE exact.workspace SET warehouse_id = 'nowhere'");
like($node->safe_psql('postgres', "SELECT exact._ask('loader', 'ping')"),
	qr/"ok":false,.*"finding":"Databricks[ ]refused[ ]to[ ]show[ ]the[ ]warehouse:[ ][^"]*",
		"next_step":"Check[ ]host[ ]and[ ]warehouse_id/x,
	'ping names what is wrong');
$node->safe_psql('postgres', "UPDATE exact.workspace SET warehouse_id = '$simulator->{info}{warehouse_id}', host = "
	. "'$simulator->{url}/?o=12345'");
stage($node, 1, 'costunit', [ 'U', 'u1', { ID => 'u1', Code => 'e' } ]);
wait_delivered($node);
is(row('costunit', 'u1')->{code}, 'e', 'an address as the browser shows it');

my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
like($log, pattern('exact loader: delivered table=costcenter rows=\d+ batches=\d+ divisions=\d files=0 bytes=\d+ ',
		'history_ms=\d+ current_ms=\d+'), 'log line');
unlike($log, qr/WARNING|ERROR|FATAL|PANIC/, 'nothing else in the log');
$node->stop;
done_testing();
