# What was delivered and is lost again: a pause that a lock kept from being recorded, tables that somebody dropped,
# emptied or set back, a MERGE that wrote less than it was sent. Engine-free workspace.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $simulator = simulator(engine => 'none', slots => 8);
my $node = exact_cluster('main', conf => { 'exact_databricks.merge_interval' => "'10ms'" });
deliver_to($node, $simulator);

my $statements = '^/api/2.0/sql/statements';
my $n = 0;

# Another version of record a
sub stage_next
{
	$n++;
	return stage($node, 1, 'costcenter', [ $n == 1 ? 'I' : 'U', 'a', { ID => 'a', Code => "a$n" } ]);
}

sub check_truth
{
	my ($what) = @_;
	my @current = sort { $a->{_key} cmp $b->{_key} } databricks_rows($simulator, 'costcenter');
	my @history = sort { $a->{_seq} <=> $b->{_seq} } databricks_rows($simulator, 'costcenter_history');

	is(join(' ', map { $_->{code} } @current), "a$n b c", "$what: the last states");
	is(join(' ', map { $_->{code} } @history), join(' ', 'b', 'c', map { "a$_" } 1 .. $n),
		"$what: every version once, in order");
	return;
}

sub target
{
	my ($column) = @_;
	return $node->safe_psql('postgres', "SELECT $column FROM exact.target_state WHERE entity = 'costcenter'");
}

sub in_databricks
{
	my ($statement) = @_;
	return control($simulator, 'POST', 'sql', { statement => $statement });
}

# What the next delivery of costcenter pauses with
sub paused_reason
{
	wait_until('costcenter is paused', sub { target('paused_since IS NOT NULL') eq 't' });
	return target("concat_ws(' | ', reason, sqlstate, next_step)");
}

sub resume_and_check
{
	my ($what) = @_;

	$node->safe_psql('postgres', "SELECT exact.resume(1, 'costcenter')");
	wait_delivered($node);
	check_truth($what);
	return;
}

# The first attempt of the current MERGE answers that it wrote nothing: a count follows, and is a gap.
sub fault_gap
{
	return workspace_fault($simulator, path => "$statements\$", statement => of_kind('(current|check)'),
		action => 'status', status => 200, times => -1,
		body => { statement_id => '01ef0000-0000-0000-0000-000000000000', status => { state => 'SUCCEEDED' },
			manifest => { total_row_count => 1, schema => { column_count => 4 } },
			result => { data_array => [ [ '0', '0', '0', '0' ] ] } });
}

stage($node, 1, 'costcenter', [ 'I', 'b', { ID => 'b', Code => 'b' } ], [ 'I', 'c', { ID => 'c', Code => 'c' } ]);
stage_next();
wait_delivered($node);
check_truth('delivered');

# dropped after the first delivery of this process: that another one takes its place takes an operator's word, and it
# is filled from the hub
in_databricks('DROP TABLE main.exact.costcenter');
stage_next();
like(paused_reason(), pattern('table main\.exact\.costcenter is gone, with all that was delivered into it \| EX014 \| ',
		'UNDROP TABLE main\.exact\.costcenter; or SELECT exact\.resume\(division, \'costcenter\'\) to make it anew ',
		'from what the hub holds'), 'a table that was dropped');
resume_and_check('made anew');

in_databricks('DROP TABLE main.exact.costcenter');
in_databricks('DROP TABLE main.exact.costcenter_history');
stage_next();
paused_reason();
$node->safe_psql('postgres', "SELECT exact.resume(1, 'costcenter')");
wait_delivered($node);
check_truth('both made anew');

# a catalog that is away for a while, or UNDROP: the rows are there again, and nothing goes a second time
my $away = workspace_fault($simulator, path => "$statements\$", statement => 'costcenter', action => 'fail',
	times => -1, error_class => 'TABLE_OR_VIEW_NOT_FOUND', sql_state => '42P01',
	message => '[TABLE_OR_VIEW_NOT_FOUND] The table or view cannot be found. SQLSTATE: 42P01');
stage_next();
like(paused_reason(), qr/is gone, with all that was delivered into it/, 'a table that is away');
control($simulator, 'DELETE', "faults/$away");
my $merges = () = statements($simulator, of_kind('history'));
$node->reload;
wait_delivered($node);
check_truth('back');
is((() = statements($simulator, of_kind('history'))) - $merges, 1, 'what was delivered before does not go again');
is(target('lost OR paused_since IS NOT NULL'), 'f', 'nothing is lost, the pause has ended');

# a MERGE that wrote fewer rows than it was sent, at its first attempt; its pause is recorded although the row of the
# table is locked for longer than a worker waits, and resume() ends it
my $gap = fault_gap();
my $session = $node->background_psql('postgres');
$session->query_safe("BEGIN; SELECT * FROM exact.target_state WHERE entity = 'costcenter' FOR UPDATE");
stage_next();
wait_until('the pause could not be recorded',
	sub { PostgreSQL::Test::Utils::slurp_file($node->logfile) =~ /pause table: canceling statement due to lock/ }, 60);
$session->query_safe('COMMIT');
$session->quit;
like(paused_reason(), pattern('post-condition failed: main\.exact\.costcenter holds 0 of the 1 versions .* \| ',
		'EX014 \| .*DESCRIBE HISTORY'), 'a gap after the first attempt');
is(target('next_attempt_at IS NULL'), 't', 'waits for an operator');
is($node->safe_psql('postgres', "SELECT count(*) FROM exact.audit_log WHERE what::text LIKE '%post-condition failed%'"),
	'1', 'told in the audit log');
control($simulator, 'DELETE', 'faults');
resume_and_check('after the gap');

# emptied, and set back to an older version, which a new process sees before its first delivery; record a has a version
# that waits, so its row is none of those that have to be there
foreach my $case (
	[ 'DELETE FROM main.exact.costcenter', 'costcenter holds 0 of the 2 rows that were delivered into it' ],
	[ "DELETE FROM main.exact.costcenter_history WHERE `_key` = 'b'",
		'costcenter_history holds \\d+ of the \\d+ rows' ],
	[ 'UPDATE main.exact.costcenter SET `_seq` = `_seq` - 100', 'costcenter lacks the newest versions' ])
{
	my ($statement, $reason) = @$case;

	in_databricks($statement);
	$node->safe_psql('postgres', 'SELECT exact.restart_workers()');
	wait_for_workers($node, 'postgres');
	stage_next();
	like(paused_reason(), qr/table main\.exact\.$reason.* \| EX014 \| Look who changed it: DESCRIBE HISTORY/,
		$statement);
	resume_and_check("after $statement");
}

# the row of a version stands twice in the history, and the answer of the MERGE that repeats it is lost
workspace_fault($simulator, path => "$statements\$", statement => of_kind('history'), action => 'reset_after');
workspace_fault($simulator, path => "$statements\$", statement => of_kind('check'), action => 'between',
	sql => 'INSERT INTO main.exact.costcenter_history SELECT * FROM main.exact.costcenter_history');
stage_next();
like(paused_reason(), pattern('post-condition failed: main\.exact\.costcenter_history holds 2 of the 1 versions'),
	'a version that stands twice');
$node->stop;
done_testing();
