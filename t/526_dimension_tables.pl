# Tables of dimensions that are not as they were: from before _hash, with another list of columns, with a column that is
# dropped or of another type, replaced by a view; 100,000 edits at once; the time between two readings, which starts no
# stopped warehouse. Engine-free workspace.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use JSON::PP ();
use Test::More;

my $simulator = simulator(engine => 'none');
my $node = exact_cluster('main', conf => { 'exact_databricks.merge_interval' => "'10ms'" });
deliver_to($node, $simulator);

sub one { return $node->safe_psql('postgres', $_[0]); }
sub in_databricks { return control($simulator, 'POST', 'sql', { statement => $_[0] }); }
sub id { return sprintf '00000000-0000-4000-8000-%012d', $_[0]; }

sub read_now
{
	my $request = one("SELECT exact.read_dimensions('lake')");
	my $state = one("SELECT exact.wait($request, '30 min')");
	return "$state: " . one("SELECT result FROM exact.request WHERE id = $request");
}

sub unit { my ($n, $text) = @_; return { ID => id($n), Code => "u$n", Description => $text // "unit $n" }; }

sub rows { return sort { ($a->{_key} // '') cmp($b->{_key} // '') } databricks_rows($simulator, 'costunit'); }
sub changes { return one('SELECT count(*) FROM exact.dimension_change'); }

like(read_now(), qr/^failed: no dimension was delivered to lake yet$/, 'nothing to read');
stage($node, 1, 'costunit', map { [ 'I', id($_), unit($_) ] } 1 .. 3);
wait_delivered($node);
one("UPDATE exact.workspace SET write_back = 'approve'");
is(read_now(), 'done: 1 of 1 tables read', 'tables that this process has made, after a change of the workspace');

# a table of before: no _hash, and what the hub fills must not be null
my $properties = "'exact.entity' = 'costunit', 'exact.installation' = '"
	. one('SELECT installation FROM exact.installation_binding') . "'";
my @columns = map { $_->[0] =~ /^_(division|key|seq|op|deleted)$/ ? "`$_->[0]` $_->[1] NOT NULL" : "`$_->[0]` $_->[1]" }
	grep { $_->[0] ne '_hash' } @{ in_databricks('DESCRIBE TABLE main.exact.costunit')->{rows} };
my $names = join ', ', map { /^(`\w+`)/ } @columns;
in_databricks('CREATE TABLE main.exact.kept (' . join(', ', @columns) . ') USING DELTA');
in_databricks("INSERT INTO main.exact.kept ($names) SELECT $names FROM main.exact.costunit");
in_databricks('DROP TABLE main.exact.costunit');
in_databricks('CREATE TABLE main.exact.costunit (' . join(', ', @columns)
	. ") USING DELTA TBLPROPERTIES ($properties, 'delta.enableDeletionVectors' = 'true')");
in_databricks("INSERT INTO main.exact.costunit ($names) SELECT $names FROM main.exact.kept");
one('SELECT exact.restart_workers()');
wait_for_workers($node, 'postgres');
stage($node, 1, 'costunit', [ 'U', id(1), unit(1, 'newer') ]);
wait_delivered($node);
is(scalar(grep { ($_->{_hash} // '') =~ /^v1:/ } rows()), 3, 'every row has got its hash');
is(changes(), '0', 'none reads as edited');
is((rows())[0]{description}, 'newer', 'and deliveries go on');
in_databricks("INSERT INTO main.exact.costunit (Code, Description) VALUES ('n', 'new')");
is(read_now(), 'done: 1 of 1 tables read', 'a user may insert a row now');
is(changes(), '1', 'which is found');
in_databricks("DELETE FROM main.exact.costunit WHERE Code = 'n'");

# another list of columns: every hash is made anew, and no row reads as edited
my ($before) = map { $_->{_hash} } rows();
one("INSERT INTO exact.entity_field (entity, name, selected) VALUES ('costunit', 'EndDate', false)");
is(read_now(), 'done: 1 of 1 tables read', 'a column that is not hashed any more');
isnt(substr((rows())[0]{_hash}, 0, 12), substr($before, 0, 12), 'another stamp');
is(changes(), '1', 'no row reads as edited');
in_databricks("UPDATE main.exact.costunit SET Description = 'edited' WHERE Code = 'u2'");
is(read_now(), 'done: 1 of 1 tables read', 'but an edit does');
is(changes(), '2', 'once');
one("DELETE FROM exact.entity_field");

# replaced by a view: the reading ends with the reason, and is not begun again and again
in_databricks('DROP TABLE main.exact.costunit');
in_databricks('CREATE VIEW main.exact.costunit AS SELECT 1 AS a');
like(read_now(), qr/^failed: 0 of 1 tables read; costunit: .*belongs to someone else: it was not made by exact/,
	'a view in its place');
in_databricks('DROP VIEW main.exact.costunit');
in_databricks('CREATE TABLE main.exact.costunit (' . join(', ', map { s/^(`Description`) .*/$1 INT/r } @columns)
	. ") USING DELTA TBLPROPERTIES ($properties)");
like(read_now(), qr/^failed: .*costunit: .*other columns than the hub needs: Description is int and should be STRING/,
	'a column of another type');
my $statements = () = statements($simulator, qr/costunit/);
is(() = statements($simulator, qr/costunit/), $statements, 'nothing goes on by itself');
in_databricks('DROP TABLE main.exact.costunit');
in_databricks('CREATE TABLE main.exact.costunit (' . join(', ', grep { !/^`Description`/ } @columns)
	. ") USING DELTA TBLPROPERTIES ($properties)");
in_databricks('INSERT INTO main.exact.costunit (' . ($names =~ s/`Description`, //r) . ') SELECT '
	. ($names =~ s/`Description`, //r) . ' FROM main.exact.kept');
is(read_now(), 'done: 1 of 1 tables read', 'a column that was dropped is added');

# what PostgreSQL cannot hold stops nothing: the character 0, a value of a million characters
my $odd = changes();
in_databricks("UPDATE main.exact.costunit SET Description = concat('nul', '\\u0000') WHERE Code = 'u1'");
in_databricks("UPDATE main.exact.costunit SET Description = '" . ('x' x 1_000_000) . "' WHERE Code = 'u3'");
in_databricks("INSERT INTO main.exact.costunit (_key, _seq, Code) VALUES ('k\\u0000', 1, '\\u0000')");
is(read_now(), 'done: 1 of 1 tables read', 'odd values');
is(changes() - $odd, 3, 'each is recorded');
in_databricks("DELETE FROM main.exact.costunit WHERE _key = 'k\\u0000'");

# a careless UPDATE waits for an approval, whatever write_back says; it is read page by page, and other tables are
# delivered meanwhile. There is a second page also when one edit is taken back; EXACT_TEST_ROWS=100000
# has fifty.
my $many = $ENV{EXACT_TEST_ROWS} // 2002;
my $edits = "FROM exact.dimension_change WHERE code LIKE 'm%'";
one("UPDATE exact.workspace SET write_back = 'auto'");
stage($node, 1, 'costunit', map { [ 'U', id($_), unit($_) ] } 1 .. 3);	# over the odd values
wait_delivered($node);
for (my $from = 1; $from <= $many; $from += 500)
{
	my $to = $from + 499 < $many ? $from + 499 : $many;

	stage($node, 1, 'costunit', map { [ 'I', id(1000 + $_), { Code => "m$_", Description => 'one' } ] } $from .. $to);
}
wait_delivered($node, 1800);
in_databricks("UPDATE main.exact.costunit SET Description = 'careless' WHERE startswith(Code, 'm')");
my $request = one("SELECT exact.read_dimensions('lake')");
my $orders = 0;
while (one("SELECT state FROM exact.request WHERE id = $request") =~ /^(?:queued|running)$/)
{
	stage($node, 1, 'purchaseorders', [ 'I', "p$orders", { PurchaseOrderID => "p$orders" } ]);
	wait_until('an order is delivered', sub { one("SELECT count(*) FROM exact.batch WHERE entity = 'purchaseorders' "
		. "AND delivered_at IS NULL") eq '0' }, 180);
	$orders++;
}
is(one("SELECT result FROM exact.request WHERE id = $request"), '1 of 1 tables read', "$many edits at once");
cmp_ok($orders, '>', 0, 'orders are delivered meanwhile');
is(one("SELECT string_agg(DISTINCT concat_ws(' ', state, decision), ', ') || ' ' || count(*) $edits"),
	"proposed many $many", 'each waits');
is(one('SELECT count(*) FROM exact.dimension_write'), '0', 'none is written');
is(() = statements($simulator, qr/costunit read .* OFFSET 2000$/s), 1, 'page by page');
is(read_now(), 'done: 1 of 1 tables read', 'again');
is(one("SELECT count(*) $edits"), $many, 'once');
in_databricks("UPDATE main.exact.costunit SET Description = 'one' WHERE Code = 'm7'");
is(read_now(), 'done: 1 of 1 tables read', 'one of them is taken back');
is(one("SELECT string_agg(concat_ws(' ', code, state, reason), ', ') $edits AND state <> 'proposed'"),
	'm7 rejected taken back in Delta', 'it waits no more');

# by time, but for a warehouse that is stopped: it is asked for its state, and not started
sub readings { return scalar(() = statements($simulator, qr/costunit read /)); }
sub calls { return @{ control($simulator, 'GET', 'calls?since=0')->{calls} }; }
sub looks { return scalar(grep { $_->{path} =~ m{/warehouses/} } calls()); }
control($simulator, 'POST', 'warehouse', { state => 'STOPPED' });
my ($readings, $looks) = (readings(), looks());
$node->append_conf('postgresql.conf', "exact_databricks.dimension_interval = '1s'");
$node->reload;
wait_until('the warehouse is asked for', sub { looks() > $looks + 1 }, 60);
is(readings(), $readings, 'a stopped warehouse is not asked for rows');
is(control($simulator, 'GET', 'info')->{warehouse_state}, 'STOPPED', 'nor started');
control($simulator, 'POST', 'warehouse', { state => 'RUNNING' });
wait_until('the table is read by its time', sub { readings() > $readings }, 60);
$node->stop;
done_testing();
