# Delta tables that somebody changed without changing how many rows they hold: who did it, when and how is told, and
# resume() writes what the hub holds over it. What only arranges files, changes no row or was taken back is no change;
# what finance edits in a dimension is told and left. Engine-free workspace.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use JSON::PP ();
use Test::More;

my $simulator = simulator(engine => 'none', slots => 8);
my $node = exact_cluster('main', conf => { 'exact_databricks.merge_interval' => "'10ms'" });
deliver_to($node, $simulator);

my $n = 0;
my $by = 'by owner@example\.com in version \d+ at 20\d\d-\S+';

sub in_databricks
{
	my ($statement) = @_;
	return control($simulator, 'POST', 'sql', { statement => $statement });
}

sub target
{
	my ($column, $entity) = @_;
	return $node->safe_psql('postgres', "SELECT $column FROM exact.target_state WHERE entity = '$entity'");
}

# Another version of record a in each of these tables
sub stage_next
{
	my (@entities) = @_;
	$n++;
	stage($node, 1, $_, [ 'U', 'a', { ID => 'a', Code => "a$n", Description => "text $n" } ]) foreach @entities;
	return;
}

# A new process looks at the tables before its first delivery.
sub look
{
	my (@entities) = @_;
	$node->safe_psql('postgres', 'SELECT exact.restart_workers()');
	wait_for_workers($node, 'postgres');
	stage_next(@entities);
	return;
}

sub paused_reason
{
	my ($entity) = @_;
	wait_until("$entity is paused", sub { target('paused_since IS NOT NULL', $entity) eq 't' });
	return target("concat_ws(' | ', reason, sqlstate, next_step)", $entity);
}

sub values_of
{
	my ($table) = @_;
	return join ' ', map { "$_->{code}:$_->{description}" } sort { $a->{_seq} <=> $b->{_seq} }
		databricks_rows($simulator, $table);
}

# The truth: record b, and every version of record a
sub check_truth
{
	my ($table, $what) = @_;

	is(values_of($table), "b:text b a$n:text $n", "$what: the last states");
	is(values_of("${table}_history"), join(' ', 'b:text b', map { "a$_:text $_" } 1 .. $n), "$what: every version");
	return;
}

sub edit
{
	my ($table, $key, $value) = @_;
	return in_databricks("UPDATE main.exact.$table SET `Description` = '$value' WHERE `_key` = '$key'");
}

sub newest_version
{
	my ($table) = @_;
	return in_databricks("DESCRIBE HISTORY main.exact.$table LIMIT 1")->{rows}[0][0];
}

# What is done to a table of its own, and what the hub then pauses it for; undef: it does not
my %case = (
	items => [ 'an UPDATE', sub { edit('items', 'b', 'other') }, qr/^table main\.exact\.items was .*: UPDATE $by \|/ ],
	journals => [ 'an UPDATE of the history', sub { edit('journals_history', 'b', 'other') },
		qr/^table main\.exact\.journals_history was .*: UPDATE $by \|/ ],
	warehouses => [ 'a DELETE and an INSERT', sub {
			in_databricks("DELETE FROM main.exact.warehouses WHERE `_key` = 'b'");
			in_databricks('INSERT INTO main.exact.warehouses (`_division`, `_key`, `_seq`, `_op`, `_deleted`, `Code`) '
					. "SELECT `_division`, `_key`, `_seq`, 'I', false, 'b' FROM main.exact.warehouses_history "
					. "WHERE `_key` = 'b'"); },
		qr/^table main\.exact\.warehouses was .*: WRITE $by, and 1 more \|/ ],
	itemgroups => [ 'a MERGE by another key', sub {
			in_databricks('MERGE INTO main.exact.itemgroups AS t USING (SELECT \'b\' AS c) AS s ON t.`Code` = s.c '
					. 'WHEN MATCHED THEN UPDATE SET `Description` = \'merged\''); },
		qr/^table main\.exact\.itemgroups was .*: MERGE $by \|/ ],
	units => [ 'a RESTORE to a version that was changed', sub {
			edit('units', 'b', 'other');
			my $version = newest_version('units');
			edit('units', 'b', 'another');
			in_databricks("RESTORE TABLE main.exact.units TO VERSION AS OF $version"); },
		qr/^table main\.exact\.units was .*: UPDATE $by \|/ ],
	departments => [ 'a change that was taken back', sub {
			my $version = newest_version('departments');
			edit('departments', 'b', 'other');
			in_databricks("RESTORE TABLE main.exact.departments TO VERSION AS OF $version"); } ],
	assets => [ 'what changes no row', sub {
			in_databricks('OPTIMIZE main.exact.assets');
			in_databricks("ALTER TABLE main.exact.assets SET TBLPROPERTIES ('team' = 'finance')");
			edit('assets', 'none', 'other'); } ]);
my @entities = sort keys %case;
my @changed = grep { defined $case{$_}[2] } @entities;

foreach my $entity (@entities, 'costcenter', 'costunit')
{
	stage($node, 1, $entity, [ 'I', 'b', { ID => 'b', Code => 'b', Description => 'text b' } ]);
}
stage_next(@entities, 'costcenter', 'costunit');
wait_delivered($node);
check_truth($_, "$_ delivered") foreach @entities;

$case{$_}[1]->() foreach @entities;
edit('costcenter', 'b', 'edited');
workspace_fault($simulator, path => '^/api/2.0/sql/statements$', statement => 'DESCRIBE HISTORY .*costunit',
	action => 'fail', times => -1, error_class => 'INSUFFICIENT_PERMISSIONS', sql_state => '42501',
	message => "[INSUFFICIENT_PERMISSIONS] Insufficient privileges: User does not have SELECT on Table. "
		. 'SQLSTATE: 42501');
look(@entities, 'costcenter', 'costunit');
foreach my $entity (@changed)
{
	my $reason = paused_reason($entity);

	like($reason, $case{$entity}[2], "$case{$entity}[0] is told");
	like($reason, qr/ \| EX014 \| Look who changed it: DESCRIBE HISTORY main\.exact\.$entity/, 'with its next step');
}
wait_until('the others are delivered', sub {
	$node->safe_psql('postgres', "SELECT count(*) FROM exact.batch WHERE delivered_at IS NULL") eq @changed; });
foreach my $entity (grep { !defined $case{$_}[2] } @entities)
{
	check_truth($entity, $case{$entity}[0]);
	is(target('note IS NULL AND paused_since IS NULL', $entity), 't', 'nothing to tell');
}
is($node->safe_psql('postgres', <<'SQL'), 'fail|1', 'in check() and the audit log');
SELECT (SELECT min(c.result) FROM exact.check() AS c WHERE c.finding LIKE '%items was changed outside the hub%'),
	(SELECT count(*) FROM exact.audit_log AS l WHERE l.what->>'paused' LIKE '%items was changed outside the hub%')
SQL

# an edit of a dimension is told and left; operations that may not be read are told, and rows are counted all the same
like(target("note || ' | ' || note_step", 'costcenter'),
	qr/^table main\.exact\.costcenter was edited: UPDATE $by \| None: the hub reads edits/, 'an edit of a dimension');
is((map { $_->{description} } grep { $_->{_key} eq 'b' } databricks_rows($simulator, 'costcenter'))[0], 'edited',
	'which stays');
is($node->safe_psql('postgres', "SELECT count(*) FROM exact.audit_log WHERE what->>'changed' LIKE 'UPDATE by owner%'"),
	'1', 'in the audit log');
like(target("note || ' | ' || note_step", 'costunit'),
	qr/^what others do to table main\.exact\.costunit cannot be read: /, 'operations that may not be read');
is($node->safe_psql('postgres', "SELECT string_agg(result || ' ' || left(finding, 14), ', ' ORDER BY finding) FROM "
		. "exact.check() WHERE finding ~ '(was edited: UPDATE|^what others do)'"),
	'warn table main.exa, warn what others do', 'check() tells both');

# the pauses outlive their process, and so does what has to be done at their end
control($simulator, 'DELETE', 'faults');
in_databricks("DELETE FROM main.exact.costcenter WHERE `_key` = 'b'");
look('costcenter', 'costunit');
wait_until('costcenter is looked at', sub { target('note', 'costcenter') =~ /was edited: DELETE $by/ });
is(target('paused_since IS NULL', 'costcenter'), 't', 'a row that finance deletes from a dimension is an edit, too');
wait_until('costunit is looked at', sub { target('note IS NULL', 'costunit') eq 't' });
my $calls = $node->safe_psql('postgres', 'SELECT count(*) FROM exact.api_call');
$node->safe_psql('postgres', 'SELECT exact.resume(1)');
wait_delivered($node);
is($node->safe_psql('postgres', 'SELECT count(*) FROM exact.api_call'), $calls, 'no call to Exact Online');
foreach my $entity (@changed)
{
	is(values_of($entity) =~ s/ a.*//r, 'b:text b', "after $case{$entity}[0]: what the hub holds");
	is(values_of("${entity}_history") =~ s/ a.*//r, 'b:text b', 'in the history too');
	is(target('lost', $entity), 'f', 'nothing is lost any more');
}
# A service that tells neither who changed a table nor by which statement: the first rows of a table are known as the
# hub's by their number, also if the answer to their INSERT was lost; what somebody else wrote first, or adds, is not.
control($simulator, 'POST', 'config', { operation_ids => JSON::PP::false() });
my $lost = workspace_fault($simulator, path => '^/api/2.0/sql/statements$', statement => 'vatcodes history .*INSERT',
	action => 'reset_after');
my $mine = workspace_fault($simulator, path => '^/api/2.0/sql/statements$', statement => 'projects current .*INSERT',
	action => 'between', sql => 'INSERT INTO main.exact.projects (`_division`, `_key`, `_seq`, `_op`, `_deleted`) '
		. "VALUES (1, 'mine', 1, 'I', false)");
my @first = ('paymentconditions', 'projects', 'vatcodes');
foreach my $entity (@first)
{
	stage($node, 1, $entity, map { [ 'I', $_, { ID => $_, Code => $_, Description => "text $_" } ] } 'b', 'c');
}
wait_delivered($node);
is(join(' ', map { fault_count($simulator, $_) } $lost, $mine), '1 1', 'both struck');
my @counted = map {
	my $table = $_;
	map { scalar(() = statements($simulator, qr/$_ INTO `main`\.`exact`\.`$table` /)) } 'INSERT', 'MERGE';
} map { ("${_}_history", $_) } @first;
is(join(' ', @counted), '1 0 1 0 1 0 1 1 2 1 1 0', 'where the INSERT of the first rows does not prove itself, a MERGE '
	. 'follows');
stage($node, 1, 'paymentconditions', [ 'I', 'd', { ID => 'd', Code => 'd', Description => 'text d' } ]);
wait_delivered($node);
$node->safe_psql('postgres', 'DELETE FROM exact.statement_log');	# as its retention does
look(@first);
like(paused_reason('projects'), qr/^table main\.exact\.projects was .*: WRITE by an unknown user in version 1 at /,
	'rows that somebody wrote first');
wait_until('the others are delivered', sub {
	$node->safe_psql('postgres', 'SELECT count(*) FROM exact.batch WHERE delivered_at IS NULL') eq '1'; });
is($node->safe_psql('postgres', "SELECT count(*) FROM exact.target_state WHERE entity IN ('paymentconditions', "
	. "'vatcodes') AND note IS NULL AND paused_since IS NULL"), '2', 'nothing to tell of the others');
in_databricks('INSERT INTO main.exact.vatcodes (`_division`, `_key`, `_seq`, `_op`, `_deleted`) '
	. "VALUES (1, 'd', 1, 'I', false), (1, 'e', 1, 'I', false)");
look('vatcodes');
like(paused_reason('vatcodes'), qr/^table main\.exact\.vatcodes was .*: WRITE by an unknown user in version \d+ at /,
	'as many rows as the first ones, added later');
$node->stop;
done_testing();
