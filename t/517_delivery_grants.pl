# The grants of docs/setup.md are enough, and each one that is missing gives one clear sentence with the GRANT to run:
# in both forms of a refusal, for a principal without any right, in a schema and with tables of somebody else. A column
# of type TIMESTAMP_NTZ is added to a table that was made without one. Engine-free workspace.
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
my $who = $simulator->{info}{client_id};
my $warehouse = $simulator->{info}{warehouse_id};

sub one { return $node->safe_psql('postgres', $_[0]); }
sub owner { return control($simulator, 'POST', 'sql', { statement => $_[0] }); }

sub target
{
	my ($column, $entity) = @_;
	return one("SELECT $column FROM exact.target_state WHERE entity = '$entity'");
}

# The statements of a next step, to be run by the owner
sub of_step { return grep { /^(GRANT|CREATE) / } split /; /, $_[0]; }

my %versions;
sub put
{
	my ($entity) = @_;
	my %key = (costcenter => 'ID', costunit => 'ID', glaccount => 'ID', items => 'ID');

	$versions{$entity}++;
	return stage($node, 1, $entity, [ 'I', "k$versions{$entity}", { $key{$entity} => "k$versions{$entity}" } ]);
}

# The table is paused with this reason and step; the owner does what the step says; it goes on
sub mended
{
	my ($what, $entity, $reason, $step, $by_hand) = @_;

	wait_until("$what: the table is paused", sub { target('paused_since IS NOT NULL', $entity) eq 't' }, 60);
	like(target('reason', $entity), qr/$reason/, "$what: one sentence says what is missing");
	unlike(target('reason', $entity), qr/\n|SQLSTATE|\[[A-Z_]{5}/, "$what: and nothing else");
	my $next = target('next_step', $entity);
	like($next, qr/^$step/, "$what: and what to do");
	unlike($next, qr/exact\.resume\(division, 'exact_/, "$what: which can be done");
	$by_hand ? $by_hand->() : owner($_) foreach $by_hand ? 1 : of_step($next);
	one("SELECT exact.resume(1, '$entity')");
	return;
}

# exactly the documented grants: the tables are made, no schema is asked for
put('costcenter');
ok(eval { wait_delivered($node) }, 'the documented grants are enough') or diag(target('reason', 'costcenter'));
is(scalar(statements($simulator, qr/CREATE SCHEMA/)), 0, 'no schema was made');
is(one("SELECT count(*) FROM exact.statement_log WHERE state = 'failed'"), '0', 'no statement failed');
my ($history) = map { $_->{text} } statements($simulator, qr/CREATE TABLE .*`costcenter_history`/s);
my ($hub) = map { $_->{text} } statements($simulator, qr/CREATE TABLE .*`exact_hub`/s);
my ($current) = map { $_->{text} } statements($simulator, qr/CREATE TABLE .*`costcenter` /s);

foreach my $form ('unity', 'class')
{
	control($simulator, 'POST', 'config', { permission_form => $form });

	# each grant of a schema that somebody else made is taken away: all are asked for, one after the other
	my $schema = "made_$form";
	my $in = "main\\.$schema";
	owner("CREATE SCHEMA main.$schema");
	control($simulator, 'POST', 'privileges', { grant => [], only => JSON::PP::true() });
	one("UPDATE exact.workspace SET schema = '$schema'");
	put('items');
	mended("$form, without any right", 'items', "permission to use the SQL warehouse $warehouse",
		'Grant the service principal CAN USE on the warehouse\.',
		sub { control($simulator, 'POST', 'privileges', { grant => [ { privilege => 'CAN USE', object => $warehouse } ],
					only => JSON::PP::true() }) });
	foreach my $missing (
		[ 'USE CATALOG', 'Catalog', 'main', 'GRANT USE CATALOG ON CATALOG main TO `' . $who . '`;' ],
		[ 'USE SCHEMA', 'Schema', $in, 'GRANT USE SCHEMA ON SCHEMA ' . $in . ' TO `' . $who . '`;' ],
		[ 'SELECT', 'Table', "$in\\.exact_hub", 'GRANT SELECT, MODIFY ON SCHEMA ' . $in . ' TO `' . $who . '`;' ],
		[ 'CREATE TABLE', 'Schema', $in, 'GRANT CREATE TABLE ON SCHEMA ' . $in . ' TO `' . $who . '`;' ])
	{
		my ($privilege, $kind, $object, $grant) = @$missing;

		wait_until("$form: $privilege is what is missing", sub { target('reason', 'items') =~ /$privilege/ }, 60);
		mended("$form, without $privilege", 'items',
			"^Databricks refused the (reading of|CREATE TABLE for) $in\\.exact_hub: .*"
			. "User does not have $privilege on $kind '$object'\$", $grant);
	}
	ok(eval { wait_delivered($node) }, "$form: all that was missing is granted, and it goes on")
		or diag(target('reason', 'items'));

	# tables that somebody else made, by an older version, without the right to read and write
	my $other = "lent_$form";
	owner("CREATE SCHEMA main.$other");
	owner("GRANT USE SCHEMA, CREATE TABLE ON SCHEMA main.$other TO `$who`");
	foreach my $text ($hub, $history, $current)
	{
		my $made = $text =~ s/`exact`/`$other`/r =~ s/'delta.feature.timestampNtz' = 'supported', //r
			=~ s/\n  `\w+` TIMESTAMP_NTZ[^\n]*//gr;
		owner($made);
	}
	owner("GRANT SELECT, MODIFY ON TABLE main.$other.exact_hub TO `$who`");
	one("UPDATE exact.workspace SET schema = '$other'");
	put('costcenter');
	mended("$form, without SELECT", 'costcenter',
		"^Databricks refused the reading of main\\.$other\\.costcenter: .*User does not have SELECT on Table "
		. "'main\\.$other\\.costcenter'\$", "GRANT SELECT, MODIFY ON SCHEMA main\\.$other TO `$who`;",
		sub { owner("GRANT SELECT ON SCHEMA main.$other TO `$who`") });
	foreach my $table ('costcenter', 'costcenter_history')
	{
		wait_until("$form: $table is refused",
			sub { target('reason', 'costcenter') =~ /main\.$other\.$table: .*User does not have MODIFY/ }, 90);
		mended("$form, without MODIFY", 'costcenter',
			"^Databricks refused the ALTER TABLE for main\\.$other\\.$table: .*User does not have MODIFY on Table "
			. "'main\\.$other\\.$table'\$", "GRANT SELECT, MODIFY ON TABLE main\\.$other\\.$table TO `$who`;");
	}
	ok(eval { wait_delivered($node) }, "$form: granted, and it goes on") or diag(target('reason', 'costcenter'));
	my ($row) = databricks_rows_of($other);
	is($row->{_key}, "k$versions{costcenter}", "$form: delivered into the table of somebody else");
	ok(exists $row->{created}, "$form: with the columns of type TIMESTAMP_NTZ that it lacked");

	# a schema that is not there, and no right to make one
	one("UPDATE exact.workspace SET schema = 'none_$form'");
	put('glaccount');
	mended("$form, without the schema", 'glaccount',
		"^Databricks refused the CREATE SCHEMA for main\\.none_$form\\.exact_hub: .*User does not have CREATE SCHEMA "
		. "on Catalog 'main'\$", "CREATE SCHEMA main\\.none_$form; GRANT USE SCHEMA, CREATE TABLE, SELECT, MODIFY "
		. "ON SCHEMA main\\.none_$form TO `$who`;");
	ok(eval { wait_delivered($node) }, "$form: the schema is made, and it goes on")
		or diag(target('reason', 'glaccount'));
}

# 403 is not always of a right; the other tables lack what was delivered into the schemas before
foreach my $case (
	[ 'ip_blocked', 'is blocked by Databricks IP ACL', 'Add the address that the message names' ],
	[ 'wrong_org', 'Invalid access to Org', 'Check host in exact\.workspace' ])
{
	my ($action, $reason, $step) = @$case;
	my $id = workspace_fault($simulator, path => '^/api', action => $action, times => -1);

	put('costunit');
	mended($action, 'costunit', $reason, $step, sub { control($simulator, 'DELETE', "faults/$id") });
	ok(eval { wait_delivered($node) }, "$action: it goes on");
}

is(one('SELECT count(*) FROM exact.verify_audit()'), '0', 'the audit chains hold');
$node->stop;
done_testing();

# Rows of the cost centers of a schema, as databricks_rows()
sub databricks_rows_of
{
	my ($schema) = @_;
	my $answer = control($simulator, 'GET', "rows?table=main.$schema.costcenter");
	my @columns = map { lc } @{ $answer->{columns} };

	return map { my $row = $_; +{ map { $columns[$_] => $row->[$_] } 0 .. $#columns } } @{ $answer->{rows} };
}
