# The generated SQL on real Spark and Delta: values as they must come out, order, deletes, derived values, repeats,
# refusals. Needs the simulator's Python packages and jars (EXACT_DATABRICKS_PYTHON, EXACT_DATABRICKS_JARS).
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

my $simulator = simulator(engine => 'spark', seconds => 400);
my $node = exact_cluster('main', conf => { 'exact_databricks.merge_interval' => "'10ms'" });
deliver_to($node, $simulator);

my $statements = '^/api/2.0/sql/statements';

sub row
{
	my ($table, $key) = @_;
	my @found = grep { $_->{_key} eq $key } databricks_rows($simulator, $table);
	return @found == 1 ? $found[0] : { error => scalar(@found) . ' rows' };
}

sub hold { $node->safe_psql('postgres', 'UPDATE exact.workspace SET enabled = false'); return; }
sub release { $node->safe_psql('postgres', 'UPDATE exact.workspace SET enabled = true');
	return wait_delivered($node, 120); }

sub target
{
	my ($column, $entity) = @_;
	return $node->safe_psql('postgres', "SELECT $column FROM exact.target_state WHERE entity = '$entity'");
}

# values of every type, in both tables
my $odd = qq(it's a "quote", a \\ backslash, \x{20ac} \x{1f600} \x{2028}, \${env:HOME} \${x} :batch `tick` \n\t end  );
my $long = 'long ' x 20_000;
my %purchase = (
	PurchaseOrderID => '7A31C0DE-0000-4000-8000-00000000ABCD', Supplier => '0D1F6A5B-2C3D-4E5F-8A9B-0C1D2E3F4A5B',
	SupplierName => 'Jansen',
	Description => $odd, Remarks => $long, OrderNumber => 25000871, DropShipment => JSON::PP::false(), Division => 1,
	OrderDate => '/Date(1700006400000)/', Created => '/Date(1700000000617)/', Modified => '/Date(-62135596800000)/',
	SupplierCode => '                25', YourRef => '');
my $text = JSON::PP->new->canonical->encode(\%purchase);
$text =~ s/\}$//;
$text .= ',"AmountDC":0.30000000000000004,"AmountFC":1e-05,"ExchangeRate":1.10,"VATAmount":-1234567890123.45,'
	. '"AmountDiscount":1.00005,"ReceiptDate":null}';
stage($node, 1, 'purchaseorders', [ 'I', '7A31C0DE-0000-4000-8000-00000000ABCD', $text ]);
wait_delivered($node, 180);
my $row = row('purchaseorders', '7a31c0de-0000-4000-8000-00000000abcd');
is($row->{supplier}, '0d1f6a5b-2c3d-4e5f-8a9b-0c1d2e3f4a5b', 'Guid');
is($row->{description}, $odd, 'text with everything that needs an escape');
is($row->{remarks}, $long, 'long text');
is($row->{yourref}, '', 'an empty text is no null');
is($row->{suppliercode}, '25', 'padded code');
is("$row->{ordernumber} $row->{dropshipment} $row->{orderdate}", '25000871 false 2023-11-15', 'integer, boolean, date');
like($row->{created}, qr/^2023-11-14T22:13:20\.617/, 'wall clock, not shifted');
like($row->{modified}, qr/^0001-01-01T00:00:00/, 'the first day');
is("$row->{amountdc} $row->{amountfc} $row->{exchangerate} $row->{vatamount} $row->{amountdiscount}",
	'0.3000 0.0000 1.1000000000 -1234567890123.4500 1.0001', 'decimals: 4 for amounts, 10 for rates, half up');
is($row->{receiptdate}, undef, 'null');
my $version = row('purchaseorders_history', '7a31c0de-0000-4000-8000-00000000abcd');
is($version->{_payload}, $text, 'the payload is byte for byte what was staged');
like("$row->{_staged_at} $version->{_loaded_at}", qr/^20\d\d-\S+Z 20\d\d-\S+Z$/, 'moments in UTC');
my ($described) = control($simulator, 'POST', 'sql', { statement => 'DESCRIBE TABLE main.exact.purchaseorders' });
my %types = map { ($_->[0] => $_->[1]) } @{ $described->{rows} };
is("$types{AmountDC} $types{ExchangeRate} $types{OrderDate} $types{Created} $types{_seq} $types{_division} "
	. "$types{_staged_at}",
	'decimal(28,4) decimal(28,10) date timestamp_ntz bigint int timestamp', 'column types');
my %comments = map { ($_->[0] => $_->[2]) } @{ $described->{rows} };
is($comments{SupplierName}, 'SupplierName, Edm.String, looked up by Exact Online',
	'columns of the entity have comments');
like($comments{_seq}, qr/^Version/, 'and the own ones');
my %properties = map { ($_->[0] => $_->[1]) } @{ control($simulator, 'POST', 'sql',
	{ statement => 'SHOW TBLPROPERTIES main.exact.purchaseorders_history' })->{rows} };
is("$properties{'delta.isolationLevel'} $properties{'delta.enableDeletionVectors'} $properties{'exact.entity'}",
	'Serializable false purchaseorders', 'properties of the history');

# NUL and half a surrogate pair live in the text as escapes
stage($node, 1, 'costcenter', [ 'I', 'n', '{"ID":"n","Code":"n","Description":"a\u0000b\ud83d"}' ]);
wait_delivered($node, 120);
like(row('costcenter', 'n')->{description}, qr/^a\x{0}b(\?|\x{fffd})$/, 'NUL kept, half a pair replaced');
is(row('costcenter_history', 'n')->{_payload}, '{"ID":"n","Code":"n","Description":"a\u0000b\ud83d"}',
	'as received in the payload');

# derived values: an empty one does not wipe out the known one while its key is the same
sub center { my ($key, %fields) = @_; return { ID => $key, %fields } }
stage($node, 1, 'costcenter',
	[ 'I', 'o', center('o', Creator => 's1', CreatorFullName => 'One', Description => 'd1') ]);
wait_delivered($node, 120);
stage($node, 1, 'costcenter',
	[ 'U', 'o', center('o', Creator => 's1', CreatorFullName => undef, Description => undef) ]);
wait_delivered($node, 120);
$row = row('costcenter', 'o');
is("$row->{creatorfullname} " . ($row->{description} // 'null'), 'One null',
	'same key: the name stays; an own text is emptied');
stage($node, 1, 'costcenter', [ 'U', 'o', center('o', Creator => 's2', CreatorFullName => undef) ]);
wait_delivered($node, 120);
is(row('costcenter', 'o')->{creatorfullname}, undef, 'another key: the name is not taken along');

# the same in one delivery with several versions of the key, ending in a delete; re-appearance; a delete of what Delta
# never saw
hold();
stage($node, 1, 'costcenter', [ 'U', 'o', center('o', Creator => 's3', CreatorFullName => 'Three', Code => 1) ],
	[ 'I', 'p', center('p', Creator => 's4') ]);
stage($node, 1, 'costcenter', [ 'U', 'o', center('o', Creator => 's3', CreatorFullName => undef, Code => 2) ],
	[ 'U', 'p', center('p', Creator => 's4', CreatorFullName => 'Four') ]);
stage($node, 1, 'costcenter', [ 'D', 'o', undef ],
	[ 'U', 'p', center('p', Creator => 's4', CreatorFullName => undef, Code => 9) ]);
stage($node, 1, 'costcenter', [ 'I', 'q', center('q', Code => 5) ]);
stage($node, 1, 'costcenter', [ 'D', 'q', undef ]);
stage($node, 2, 'costcenter', [ 'I', 'o', center('o', Code => 77) ]);
release();
my ($o) = grep { $_->{_key} eq 'o' && $_->{_division} eq '1' } databricks_rows($simulator, 'costcenter');
is("$o->{code} $o->{creatorfullname} $o->{_deleted} $o->{_op}", '2 Three true D',
	'the last state before the delete, with its name');
$row = row('costcenter', 'p');
is("$row->{code} $row->{creatorfullname}", '9 Four', 'a name that only an earlier version carried');
$row = row('costcenter', 'q');
is("$row->{code} $row->{_deleted}", '5 true', 'deleted before Delta saw it');
is( $node->safe_psql('postgres', "SELECT rows || ' ' || affected FROM exact.statement_log WHERE kind = 'history' "
	. "AND entity = 'costcenter' ORDER BY id DESC LIMIT 1"),
	'9 9', 'nine versions in one delivery');

# a lost answer after execution of each MERGE: one effect
foreach my $kind ('history', 'current')
{
	my $count = () = databricks_rows($simulator, 'costcenter_history');
	my $fault = control($simulator, 'POST', 'faults', { path => "$statements\$", statement => "costcenter $kind ",
		action => 'reset_after' });
	stage($node, 1, 'costcenter', [ 'I', 'o', center('o', Creator => 's3', Code => 40) ],
		[ 'U', 'p', center('p', Code => 41) ]);
	wait_delivered($node, 120);
	is(fault_count($simulator, $fault->{id}), 1, "the answer of the $kind MERGE was lost");
	is((() = databricks_rows($simulator, 'costcenter_history')) - $count, 2, 'one effect');
}
($o) = grep { $_->{_key} eq 'o' && $_->{_division} eq '1' } databricks_rows($simulator, 'costcenter');
is("$o->{code} $o->{creatorfullname} $o->{_deleted}", '40 Three false', 're-appeared, with the name of its key');
cmp_ok($node->safe_psql('postgres', "SELECT count(*) FROM exact.statement_log WHERE kind = 'check' "
	. "AND first_batch IS NOT NULL AND state = 'succeeded'"), '>=', 2, 'proved by a count');
my %seen;
$seen{"$_->{_division} $_->{_seq}"}++ foreach databricks_rows($simulator, 'costcenter_history');
is(scalar(grep { $_ > 1 } values %seen), 0, 'every version once');
is(scalar(keys %seen), $node->safe_psql('postgres', "SELECT count(*) FROM exact.stage WHERE entity = 'costcenter'"),
	'and all of them');

# a time in a date column fails loudly: its row is put aside, column and type are told, the value is not
stage($node, 1, 'purchaseorders', [ 'I', 'p', { PurchaseOrderID => 'p', OrderDate => '/Date(1700000000777)/' } ],
	[ 'I', 'q', { PurchaseOrderID => 'q', OrderDate => '/Date(1700006400000)/' } ]);
wait_until('purchaseorders is delivered',
	sub { $node->safe_psql('postgres', "SELECT count(*) FROM exact.batch WHERE entity = 'purchaseorders' "
		. "AND delivered_at IS NULL") eq '0' }, 180);
is($node->safe_psql('postgres', "SELECT concat_ws('|', key, column_name, value_type, reason) FROM exact.dead_letter"),
	'p|OrderDate|text of 21 characters|the value of OrderDate does not fit DATE', 'put aside');
is(join(' ', map { "$_->{_key} $_->{orderdate}" } grep { $_->{_key} =~ /^[pq]$/ }
		databricks_rows($simulator, 'purchaseorders')), 'q 2023-11-15',
	'the row beside it is delivered');
# a constraint of somebody's is named, and the row that does not meet it is put aside
control($simulator, 'POST', 'sql', { statement => "ALTER TABLE main.exact.purchaseorders ADD CONSTRAINT not_r "
	. "CHECK (`_key` <> 'r')" });
stage($node, 1, 'purchaseorders', [ 'I', 'r', { PurchaseOrderID => 'r' } ], [ 'I', 's', { PurchaseOrderID => 's' } ]);
wait_until('purchaseorders is delivered',
	sub { $node->safe_psql('postgres', "SELECT count(*) FROM exact.batch WHERE entity = 'purchaseorders' "
		. "AND delivered_at IS NULL") eq '0' }, 180);
is($node->safe_psql('postgres', "SELECT concat_ws('|', key, reason) FROM exact.dead_letter WHERE key = 'r'"),
	'r|it does not meet the constraint not_r of main.exact.purchaseorders', 'a constraint');
is(join(' ', map { $_->{_key} } grep { $_->{_key} =~ /^[rs]$/ } databricks_rows($simulator, 'purchaseorders')), 's',
	'the row beside it is delivered');
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/1700000000777/, 'the value is not in the log');

# a column that someone dropped comes back by itself
control($simulator, 'POST', 'sql',
	{ statement => "ALTER TABLE main.exact.costcenter SET TBLPROPERTIES ('delta.columnMapping.mode' = 'name', "
		. "'delta.minReaderVersion' = '2', 'delta.minWriterVersion' = '5')" });
control($simulator, 'POST', 'sql', { statement => 'ALTER TABLE main.exact.costcenter DROP COLUMN Description' });
stage($node, 1, 'costcenter', [ 'U', 'n', { ID => 'n', Code => 'n', Description => 'back' } ]);
wait_until('costcenter is delivered',
	sub { $node->safe_psql('postgres', "SELECT count(*) FROM exact.batch WHERE entity = 'costcenter' "
		. "AND delivered_at IS NULL") eq '0' }, 180);
is(row('costcenter', 'n')->{description}, 'back', 'a dropped column was added again');

# an epoch begins: it is claimed, and what another copy has delivered is found
my $theirs = $node->safe_psql('postgres', 'SELECT max(seq_max) + 5 FROM exact.batch');
control($simulator, 'POST', 'sql', { statement => "INSERT INTO main.exact.costcenter (`_division`, `_key`, `_seq`, "
	. "`_op`, `_deleted`) VALUES (1, 'theirs', $theirs, 'I', false)" });
my $changed = { statement => "UPDATE main.exact.purchaseorders SET Description = 'other'" };
control($simulator, 'POST', 'sql', $changed);
$node->safe_psql('postgres', 'SELECT exact.fence()');
stage($node, 1, 'costcenter', [ 'U', 'n', { ID => 'n', Code => 'n2' } ]);
wait_until('costcenter is delivered',
	sub { $node->safe_psql('postgres', "SELECT count(*) FROM exact.batch WHERE entity = 'costcenter' "
		. "AND delivered_at IS NULL") eq '0' }, 180);
is(row('costcenter', 'n')->{code}, 'n2', 'delivered in the new epoch');
is(join(' ', sort map { "$_->{division}:$_->{epoch}" } databricks_rows($simulator, 'exact_hub')), '1:2 2:2',
	'which exact_hub names');
is($node->safe_psql('postgres', "SELECT key || ' ' || seq FROM exact.record WHERE hash IS NULL AND batch = 0"),
	"theirs $theirs", 'the record of another copy is unknown, to be read again');

# what an owner did to a table meanwhile: by the operations that Delta lists, the hub's own among them
stage($node, 1, 'purchaseorders', [ 'U', '7A31C0DE-0000-4000-8000-00000000ABCD', $text ]);
wait_until('purchaseorders is paused', sub { target('paused_since IS NOT NULL', 'purchaseorders') eq 't' }, 180);
like(target('reason', 'purchaseorders'),
	qr/^table main\.exact\.purchaseorders was changed .*: UPDATE by owner\@example\.com in version \d+ at 20/,
	'an UPDATE of somebody else');
$node->safe_psql('postgres', "SELECT exact.resume(1, 'purchaseorders')");
wait_delivered($node, 180);
is(row('purchaseorders', '7a31c0de-0000-4000-8000-00000000abcd')->{description}, $odd, 'which resume() writes over');
is(target('note IS NULL', 'costcenter'), 'f', 'what another copy wrote into a dimension is told');

# what finance edits in a dimension is read before it is written over, and kept when it falls in between
my $unit = '00000000-0000-4000-8000-000000000001';
my $edits = "SELECT string_agg(concat_ws(' ', field, wanted), ', ' ORDER BY id) FROM exact.dimension_change "
	. "WHERE entity = 'costunit'";
stage($node, 1, 'costunit', [ 'I', $unit, { ID => $unit, Code => 'u', Description => 'first' } ]);
wait_delivered($node, 180);
control($simulator, 'POST', 'sql', { statement => "UPDATE main.exact.costunit SET Description = 'edited'" });
workspace_fault($simulator, statement => of_kind('current'), action => 'between',
	sql => "UPDATE main.exact.costunit SET Description = 'between'");
stage($node, 1, 'costunit', [ 'U', $unit, { ID => $unit, Code => 'u', Description => 'second' } ]);
wait_delivered($node, 180);
wait_until('both edits are recorded',
	sub { $node->safe_psql('postgres', $edits) eq 'Description edited, Description between' }, 180);
is(row('costunit', $unit)->{description}, 'between', 'the one that fell in between is kept');
stage($node, 1, 'costunit', [ 'U', $unit, { ID => $unit, Code => 'u', Description => 'third' } ]);
wait_delivered($node, 180);
is(row('costunit', $unit)->{description}, 'third', 'until it is known');
is($node->safe_psql('postgres', $edits), 'Description edited, Description between', 'each is recorded once');

# another copy takes over: the MERGE is refused and writes nothing
control($simulator, 'POST', 'sql', { statement => "UPDATE main.exact.exact_hub SET epoch = 9, claim = 'theirs' "
	. "WHERE division = 1" });
stage($node, 1, 'costcenter', [ 'U', 'n', { ID => 'n', Code => 'n3' } ]);
wait_for_workers($node, 'postgres', state => 'idle', seconds => 400);
is(row('costcenter', 'n')->{code}, 'n2', 'nothing was written');
is(scalar(my @late = grep { $_->{code} eq 'n3' } grep { defined $_->{code} } databricks_rows($simulator,
	'costcenter_history')), 0, 'nor into the history');
like($node->safe_psql('postgres', "SELECT finding FROM exact.check() WHERE rule = 'installation'"),
	qr/another copy .* \(its epoch is 9, this one's 2\)/, 'check() says why');
is($node->safe_psql('postgres', 'SELECT count(*) FROM exact.verify_audit()'), '0', 'the audit chains hold');
$node->stop;
done_testing();
