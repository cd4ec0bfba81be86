# A catalog and a schema whose names need quoting: the hub makes its tables there, and each next step that it prints is
# a statement that runs as it stands. Engine-free workspace.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $simulator = simulator(engine => 'none', slots => 8, catalog => 'erp-prod');
my $node = exact_cluster('main', conf => { 'exact_databricks.merge_interval' => "'10ms'" });
deliver_to($node, $simulator);
my $n = 0;

sub one { return $node->safe_psql('postgres', $_[0]); }
sub owner { return control($simulator, 'POST', 'sql', { statement => $_[0] }); }
sub target { return one("SELECT $_[0] FROM exact.target_state WHERE entity = 'costcenter'"); }
sub change { $n++; return stage($node, 1, 'costcenter', [ $n == 1 ? 'I' : 'U', 'a', { ID => 'a', Code => "a$n" } ]); }

sub codes
{
	my $answer = control($simulator, 'GET', 'rows?table=%60erp-prod%60.%60exact-online%60.costcenter');
	my %at = map { lc $answer->{columns}[$_] => $_ } 0 .. $#{ $answer->{columns} };

	return join(' ', map { $_->[ $at{code} ] } @{ $answer->{rows} });
}

# The table is paused; the statement of its next step is run as it is printed (UNDROP is nothing that the workspace of
# this test knows), and the delivery goes on
sub mended
{
	my ($what, $step) = @_;

	wait_until("$what: the table is paused", sub { target('paused_since IS NOT NULL') eq 't' }, 60);
	my $next = target('next_step');
	like($next, qr/^$step;/, "$what: the next step quotes the names");
	owner($next =~ s/;.*//sr) unless $next =~ /^UNDROP/;
	one("SELECT exact.resume(1, 'costcenter')");
	ok(eval { wait_delivered($node, 60) }, "$what: the delivery goes on") or diag(target('reason'));
	is(codes(), "a$n", "$what: the last state");
	return;
}

# Names that no schema of Unity Catalog has are refused where they are typed
like(error_of($node, 'postgres', "UPDATE exact.workspace SET schema = 'Exact-Online NL'"),
	qr/EX021: schema cannot be 'Exact-Online NL'/, 'a blank');

owner('CREATE SCHEMA `erp-prod`.`exact-online`');
owner("GRANT USE SCHEMA, CREATE TABLE, SELECT, MODIFY ON SCHEMA `erp-prod`.`exact-online` "
	. "TO `$simulator->{info}{client_id}`");
one("UPDATE exact.workspace SET schema = 'exact-online'");
change();
ok(eval { wait_delivered($node, 60) }, 'hyphens: delivered') or diag(target('reason'));
is(codes(), 'a1', 'the row is there');

control($simulator, 'POST', 'privileges',
	{ grant => [ map { { privilege => $_, object => 'erp-prod.exact-online' } } 'USE SCHEMA', 'CREATE TABLE', 'SELECT',
			'MODIFY' ], only => JSON::PP::true() });
control($simulator, 'POST', 'privileges',
	{ grant => [ { privilege => 'CAN USE', object => $simulator->{info}{warehouse_id} } ] });
change();
mended('a grant on the catalog', 'GRANT USE CATALOG ON CATALOG `erp-prod` TO `[^`]+`');

owner('DROP TABLE `erp-prod`.`exact-online`.costcenter');
change();
mended('a dropped table', 'UNDROP TABLE `erp-prod`\.`exact-online`\.costcenter');

is(one('SELECT count(*) FROM exact.verify_audit()'), '0', 'the audit chains hold');
$node->stop;
done_testing();
