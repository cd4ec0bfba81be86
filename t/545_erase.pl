# exact.erase(): the content of a record leaves the hub, both Delta tables and their old files; the evidence stays. What
# arrives meanwhile, crashes and lost answers in the middle, workspaces that are away. Engine-free workspace.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $data = PostgreSQL::Test::Utils::tempdir;
my $simulator = simulator(engine => 'none', slots => 8, data => $data);
my $node = exact_cluster('main', conf => { 'exact_databricks.merge_interval' => "'10ms'",
	'restart_after_crash' => 'on' });
deliver_to($node, $simulator);

sub one { return $node->safe_psql('postgres', $_[0]); }
sub owner { return control($simulator, 'POST', 'sql', { statement => $_[0] }); }
sub guid { return sprintf('00000000-0000-4000-8000-%012d', $_[0]); }

# A version of an account
sub account
{
	my ($op, $n, $name, %more) = @_;

	return [ $op, guid($n), undef ] if $op eq 'D';
	return [ $op, guid($n), { ID => guid($n), Name => $name, Email => "$name\@person.test", %more } ];
}

# What stands anywhere of a text, in the hub and in Delta
sub found
{
	my ($text) = @_;
	my @places;

	push @places, 'stage' if one("SELECT count(*) FROM exact.stage WHERE payload LIKE '%$text%'") > 0;
	push @places, 'letters' if one("SELECT count(*) FROM exact.dead_letter WHERE payload LIKE '%$text%'") > 0;
	push @places, 'audit' if one("SELECT count(*) FROM exact.audit_log WHERE what::text LIKE '%$text%'") > 0;
	foreach my $table ('accounts', 'accounts_history')
	{
		push @places, $table if grep { join(' ', map { $_ // '' } values %$_) =~ /\Q$text\E/ }
			databricks_rows($simulator, $table);
	}
	return join(' ', @places);
}

sub rows_of
{
	my ($n) = @_;

	return join(' ', map { my $table = $_; scalar grep { $_->{_key} eq guid($n) } databricks_rows($simulator, $table) }
		'accounts', 'accounts_history');
}

sub erase
{
	my ($n, $reason) = @_;

	return one("SELECT exact.erase(1, 'accounts', '" . guid($n) . "', '" . ($reason // 'case 4711') . "')");
}

sub result_of { return one("SELECT result FROM exact.request WHERE id = $_[0]"); }
sub state_of { return one("SELECT state FROM exact.erasures WHERE id = $_[0]"); }
sub intact { return is(one('SELECT count(*) FROM exact.verify_audit()'), '0', "$_[0]: the audit log is intact"); }

# Delta counts what it has against what was delivered: a new process does so before its first delivery.
sub restarted
{
	my ($what) = @_;
	my $pid = worker_pid($node, 'postgres', 'loader');

	kill 'KILL', $pid;
	wait_until("$what: another loader runs", sub { my $new = worker_pid($node, 'postgres', 'loader');
		$new ne '' && $new ne $pid }, 60);
	return;
}

stage($node, 1, 'accounts', map { account('I', $_, "person${_}x") } 1 .. 9);
ok(eval { wait_delivered($node, 60) }, 'delivered');
stage($node, 1, 'accounts', account('U', 1, 'person1xb'), account('U', 2, 'person2xb'));
ok(eval { wait_delivered($node, 60) }, 'delivered again');
is(found('person1x'), 'stage accounts accounts_history', 'before: the person is in the hub and in Delta');
is(rows_of(1), '1 2', 'before: one state, two versions');

# the whole way
my $id = erase(1);
is(one("SELECT exact.wait($id, '2 min')"), 'done', 'whole way: done');
like(result_of($id), qr/^2\ versions\ removed\ from\ the\ hub;\ 1\ rows\ of\ main\.exact\.accounts,
	\ 2\ rows\ of\ main\.exact\.accounts_history,\ whose\ old\ files\ go\ after\ /x,
	'whole way: its result counts what was removed');
is(found('person1x'), '', 'whole way: nothing of the person is in the hub or in Delta');
is(rows_of(1), '0 0', 'whole way: no row of the key is in Delta');
is(rows_of(2), '1 2', 'whole way: the others are as they were');
is(state_of($id), 'old files', 'whole way: time travel may still show it');
is(scalar(statements($simulator, qr/REORG TABLE/)), 2, 'whole way: both tables were purged');
is(scalar(statements($simulator, qr/VACUUM/)), 0, 'whole way: no VACUUM before its time');
is(one("SELECT string_agg(what ->> 'event', ', ' ORDER BY id) FROM exact.audit_log WHERE kind = 'erasure'"),
	'removed from the hub, removed from Delta', 'whole way: events');
is(one("SELECT count(*) FROM exact.erasure e WHERE digest = (SELECT sha256(string_agg(s.hash, ''::bytea ORDER BY s.seq))
	FROM exact.stage s WHERE s.key = e.key)"), '1', 'whole way: the digest is that of the hashes that stay');
intact('whole way');

# what comes after it is delivered, and the count of a new process finds nothing missing
restarted('counted');
stage($node, 1, 'accounts', account('I', 10, 'person10x'));
ok(eval { wait_delivered($node, 60) }, 'counted: what comes later is delivered');
is(one("SELECT count(*) FROM exact.target_state WHERE paused_since IS NOT NULL"), '0',
	'counted: neither the count nor the look at the operations pauses the table');
is(one("SELECT count(*) FROM exact.target_state WHERE note IS NOT NULL"), '0', 'counted: and nothing is noted');

# a replay, and a table that lost its rows, do not bring it back
my $replay = one("SELECT exact.replay('accounts', NULL, NULL)");
is(one("SELECT exact.wait($replay, '2 min')"), 'done', 'replay: done');
is(rows_of(1) . ' ' . found('person1x'), '0 0 ', 'replay: it is not back');
is(rows_of(2), '1 2', 'replay: the others are there');

# the answer of the MERGE that deletes is lost; a kill between hub and Delta
my $fault = workspace_fault($simulator, path => '^/api/2.0/sql/statements$', statement => of_kind('erase'),
	action => 'reset_after', times => 1);
$id = erase(2);
is(one("SELECT exact.wait($id, '2 min')"), 'done', 'lost answer: done');
is(fault_count($simulator, $fault), 1, 'lost answer: it was lost');
is(rows_of(2) . ' ' . found('person2x'), '0 0 ', 'lost answer: it is gone');
$fault = workspace_fault($simulator, path => '^/api/2.0/sql/statements$', statement => of_kind('erase'),
	action => 'slow', seconds => 4, times => 1);
$id = erase(3);
wait_until('killed: under way', sub { fault_count($simulator, $fault) == 1 });
is(one("SELECT count(*) FROM exact.stage WHERE payload LIKE '%person3x%'"), '0', 'killed: the hub does not have it');
restarted('killed');
is(one("SELECT exact.wait($id, '3 min')"), 'done', 'killed: done');
is(rows_of(3) . ' ' . found('person3x'), '0 0 ', 'killed: it is gone');
is(one("SELECT begun > 1 FROM exact.erasure_place WHERE erasure = $id"), 't', 'killed: it was begun again');

# a delivery that carries the record is under way: its rows do not stay
$fault = workspace_fault($simulator, path => '^/api/2.0/sql/statements$', statement => of_kind('history'),
	action => 'slow', seconds => 3, times => 1);
stage($node, 1, 'accounts', account('U', 4, 'person4xb'), account('U', 5, 'person5xb'));
wait_until('delivery under way', sub { fault_count($simulator, $fault) == 1 });
stage($node, 1, 'accounts', account('U', 4, 'person4xc'), account('U', 5, 'person5xc'));
$id = erase(4);
is(one("SELECT exact.wait($id, '2 min')"), 'done', 'delivery under way: done');
ok(eval { wait_delivered($node, 60) }, 'delivery under way: nothing waits');
is(rows_of(4) . ' ' . found('person4x'), '0 0 ', 'delivery under way: it is gone');
is(rows_of(5), '1 3', 'delivery under way: the others came');
intact('delivery under way');

# a version that comes after it is delivered
$fault = workspace_fault($simulator, path => '^/api/2.0/sql/statements$', statement => of_kind('erase'),
	action => 'slow', seconds => 3, times => 1);
$id = erase(6);
wait_until('later version: under way', sub { fault_count($simulator, $fault) == 1 });
stage($node, 1, 'accounts', account('U', 6, 'changed6'));
one("UPDATE exact.record SET erased = NULL, seq = (SELECT max(seq) FROM exact.stage WHERE key = '" . guid(6) . "')
	WHERE key = '" . guid(6) . "'");
is(one("SELECT exact.wait($id, '2 min')"), 'done', 'later version: done');
ok(eval { wait_delivered($node, 60) }, 'later version: nothing waits');
is(rows_of(6) . ' ' . found('person6x'), '1 1 ', 'later version: only it is there');
is(one("SELECT back_at IS NOT NULL FROM exact.erasures WHERE id = $id"), 't', 'later version: the view says so');

# deleted in Exact Online after it was erased: a tombstone without content
stage($node, 1, 'accounts', account('D', 1));
ok(eval { wait_delivered($node, 60) }, 'deleted after it: delivered');
is(found('person1x'), '', 'deleted after it: no content');

# the workspace is away: it waits, and says so
$node->safe_psql('postgres', "UPDATE exact.workspace SET enabled = false WHERE name = 'lake'");
$id = erase(7);
wait_until('workspace off: it says why', sub { one("SELECT waits_for FROM exact.erasures WHERE id = $id")
	=~ /lake: workspace lake is not enabled/ });
is(one("SELECT count(*) FROM exact.stage WHERE payload LIKE '%person7x%'"), '0',
	'workspace off: the hub does not have it');
is(state_of($id) . ' ' . one("SELECT state FROM exact.request WHERE id = $id"), 'under way running',
	'workspace off: it is under way');
$node->safe_psql('postgres', "UPDATE exact.workspace SET enabled = true WHERE name = 'lake'");
is(one("SELECT exact.wait($id, '2 min')"), 'done', 'workspace off: done once it is on again');
is(rows_of(7) . ' ' . found('person7x'), '0 0 ', 'workspace off: it is gone');

# cancelled meanwhile: what is left is told, and the next call does it
$node->safe_psql('postgres', "UPDATE exact.workspace SET enabled = false WHERE name = 'lake'");
$id = erase(8);
wait_until('cancelled: it waits', sub { one("SELECT waits_for IS NOT NULL FROM exact.erasures
	WHERE id = $id") eq 't' });
one("SELECT exact.cancel($id)");
is(one("SELECT exact.wait($id, '2 min')"), 'cancelled', 'cancelled: it ends');
is(state_of($id), 'incomplete', 'cancelled: the view says that it is not complete');
$node->safe_psql('postgres', "UPDATE exact.workspace SET enabled = true WHERE name = 'lake'");
is(rows_of(8), '1 1', 'cancelled: Delta still has it');
$id = erase(8);
is(one("SELECT exact.wait($id, '2 min')"), 'done', 'cancelled: the next call');
is(rows_of(8) . ' ' . found('person8x'), '0 0 ', 'cancelled: does the rest');

# a right that is taken away
control($simulator, 'POST', 'privileges', { deny => [ { privilege => 'MODIFY', object => 'main.exact.accounts' } ] });
$id = erase(9);
wait_until('right taken away: it says why', sub { one("SELECT waits_for IS NOT NULL FROM exact.erasures
	WHERE id = $id") eq 't' });
like(one("SELECT waits_for || ' / ' || next_step FROM exact.erasures WHERE id = $id"), qr/MODIFY/,
	'right taken away: the next step names it');
control($simulator, 'POST', 'privileges', { deny => [] });
is(one("SELECT exact.wait($id, '2 min')"), 'done', 'right taken away: done once it is given back');
is(rows_of(9) . ' ' . found('person9x'), '0 0 ', 'right taken away: it is gone');

# a file of a delivery that was left in the volume
$node->safe_psql('postgres', "UPDATE exact.workspace SET volume = 'files' WHERE name = 'lake'");
stage($node, 1, 'accounts', account('I', 20, 'person20x'));
ok(eval { wait_delivered($node, 60) }, 'volume: delivered');
my $directory = "$data/volumes/main/exact/files/exact_databricks/" . one('SELECT id FROM exact.installation')
	. '/accounts';
system('mkdir', '-p', $directory) == 0 or die "mkdir $directory";
append_to_file("$directory/7-8-0123456789abcdef.jsonl.gz", 'person20x');
$id = erase(20);
is(one("SELECT exact.wait($id, '2 min')"), 'done', 'volume: done');
is(join(' ', glob("$directory/*")), '', 'volume: the file is gone');

# a week later
$node->safe_psql('postgres', "UPDATE exact.erasure_place SET vacuum_at = now() - interval '1 s'
	WHERE erasure = (SELECT min(erasure) FROM exact.erasure_place); SELECT exact._wake('loader')");
wait_until('old files: they are removed', sub {
	one('SELECT state FROM exact.erasures ORDER BY id LIMIT 1') eq 'done' });
is(scalar(statements($simulator, qr/VACUUM `main`\.`exact`\.`accounts(_history)?`$/)), 2, 'old files: of both tables');
is(one("SELECT what ->> 'event' FROM exact.audit_log WHERE kind = 'erasure' ORDER BY id DESC LIMIT 1"),
	'old files removed', 'old files: event');
intact('old files');
restarted('at the end');
stage($node, 1, 'accounts', account('I', 11, 'person11x'));
ok(eval { wait_delivered($node, 60) }, 'at the end: deliveries go on');
is(one("SELECT count(*) FROM exact.target_state WHERE paused_since IS NOT NULL OR note IS NOT NULL"), '0',
	'at the end: the table is as it should be');

# a table that is not there proves nothing
owner('DROP TABLE main.exact.accounts_history');
$id = erase(5);
wait_until('table dropped: it says so', sub { one("SELECT waits_for FROM exact.erasures WHERE id = $id")
	=~ /table main\.exact\.accounts_history is not found, so it may still hold the record/ });
like(one("SELECT next_step FROM exact.erasures WHERE id = $id"), qr/UNDROP TABLE .*SELECT exact\.cancel\($id\)/,
	'table dropped: the next step names both ways');
is(one("SELECT state FROM exact.request WHERE id = $id"), 'running', 'table dropped: it is not done');
one("SELECT exact.cancel($id)");
is(one("SELECT exact.wait($id, '1 min')"), 'cancelled', 'table dropped: cancelled');

$node->stop;
done_testing();
