# Of several copies of a hub Databricks takes the deliveries of one: the claim in exact_hub, what a copy that was
# overtaken does, statements of an older epoch, a table exact_hub that is gone or refused. Engine-free workspace.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $simulator = simulator(engine => 'none', slots => 8);
my $node = exact_cluster('main', conf => { 'exact_databricks.merge_interval' => "'10ms'",
	'restart_after_crash' => 'on' });
deliver_to($node, $simulator);

my $statements = '^/api/2.0/sql/statements';
my $n = 0;

sub one { return $node->safe_psql('postgres', $_[0]); }
sub sql { control($simulator, 'POST', 'sql', { statement => $_[0] }); return; }
sub hub { return join ' ',
	map { "$_->{division}:$_->{epoch}" } sort { $a->{division} <=> $b->{division} } databricks_rows($simulator,
		'exact_hub'); }
sub change { $n++; return stage($node, 1, 'costcenter', [ $n == 1 ? 'I' : 'U', 'a', { ID => 'a', Code => "a$n" } ]); }
sub current { return join ' ', map { $_->{code} } grep { $_->{_key} eq 'a' } databricks_rows($simulator, 'costcenter');
	}
sub epoch { return one('SELECT epoch FROM exact.installation_binding'); }
sub finding { return one("SELECT result || ' ' || finding FROM exact.check() WHERE rule = 'installation'"); }

sub stopped
{
	return wait_until('the workers stay off',
		sub { one("SELECT count(*) FROM exact._workers() WHERE role IN ('fetcher', 'loader') "
			. "AND state = 'idle'") eq '2' });
}

sub delivers
{
	my ($what) = @_;

	change();
	ok(eval { wait_delivered($node, 60) }, "$what: delivered");
	is(current(), "a$n", "$what: the last state");
	return;
}

# the first delivery claims every division of the workspace
delivers('the first delivery');
is(hub(), '1:1 2:1', 'both divisions are claimed');
my ($row) = databricks_rows($simulator, 'exact_hub');
is($row->{installation}, one('SELECT id FROM exact.installation'), 'by this installation');
is($row->{claim}, one('SELECT claim FROM exact.claim'), 'with the claim of its loader');
is(scalar(my @merges = statements($simulator, qr/(?:INSERT|MERGE) INTO `main`.`exact`.`costcenter/)), 2,
	'one statement a table');
is(scalar(my @unasserted = grep { $_->{text} !~ /assert_true\(count\(\*\) = 1, 'exact: fenced'\)/ } @merges), 0,
	'each asserts the epoch');
my $claims = () = statements($simulator, qr/MERGE INTO `main`.`exact`.`exact_hub/);
is($claims, 1, 'claimed once');
delivers('the next delivery');

# a loader that starts anew puts its claim in the place of the one before
my $pid = worker_pid($node, 'postgres', 'loader');
one('SELECT exact.restart_workers()');
wait_until('another loader runs', sub { my $new = worker_pid($node, 'postgres', 'loader'); $new ne '' && $new ne $pid },
	60);
delivers('after a restart');
is(scalar(() = statements($simulator, qr/MERGE INTO `main`.`exact`.`exact_hub/)), 2, 'claimed once more');
is((databricks_rows($simulator, 'exact_hub'))[0]{claim},
	one('SELECT claim FROM exact.claim ORDER BY made_at DESC LIMIT 1'), 'with the claim of the new loader');

# fence(): another epoch, claimed before anything more is delivered
like(one('SELECT exact.fence()'), qr/^epoch 2: Databricks refuses every other copy/, 'fence()');
delivers('after fence()');
is(hub(), '1:2 2:2', 'the new epoch is claimed');
is(one("SELECT kind FROM exact.audit_log WHERE what -> 'row' ->> 'kind' = 'fence'"), 'installation',
	'fence() is an event');
is(one("SELECT compared_epoch FROM exact.target_state WHERE entity = 'costcenter'"), '2',
	'the table was asked what it holds beyond');
is(one("SELECT (what ->> 'feeds_from_start') IS NOT NULL FROM exact.audit_log WHERE chain = 'fetcher' "
	. "AND kind = 'installation'"), 't', 'feeds were sent to their start');
my @seqs = map { $_->{_seq} >> 40 } databricks_rows($simulator, 'costcenter_history');
is("@seqs", '1 1 1 1', 'versions staged by hand keep their _seq');

# an open transaction with fence() delays nobody
{
	my $session = $node->background_psql('postgres');
	$session->query_safe('BEGIN; SELECT exact.fence();');
	delivers('while fence() waits for its COMMIT');
	$session->query_safe('ROLLBACK');
	$session->quit;
}
is(epoch(), '2', 'rolled back');

# staged from here on as the fetcher does it: with numbers of the epoch
one("DO \$\$ BEGIN EXECUTE replace(pg_get_functiondef('public.stage(int,text,jsonb)'::regprocedure), "
	. "'(1::bigint << 40)', '((SELECT epoch FROM exact.installation_binding)::bigint << 40)'); END \$\$");

# another copy takes over while this one delivers: refused, and everything of this one stops
sql("UPDATE main.exact.exact_hub SET epoch = 9, claim = 'theirs' WHERE division = 1");
my $before = current();
change();
stopped();
like(finding(), qr/^fail another copy of installation \S+ works in Databricks \(its epoch is 9, this one's 2\)/,
	'check() says so');
is(current(), $before, 'nothing was written');
is(scalar(my @refused = statements($simulator, qr/costcenter history/)), scalar(@seqs) + 2,
	'one statement was refused');
like($refused[-1]{text}, qr/`epoch` = 2/, 'of the old epoch');
like(slurp_file($node->logfile),
	qr/alarm: another copy of installation \S+ works in workspace lake, its epoch is 9, this one's 2/,
	'the log has an alarm');
is(one("SELECT what ->> 'overtaken_by' FROM exact.audit_log WHERE chain = 'loader' AND kind = 'installation' "
	. "AND what ? 'overtaken_by'"), '9', 'and the audit log an event');
like(one("SELECT reason FROM exact.workers WHERE role = 'loader'"), qr/another copy/, 'exact.workers says why');
like(error_of($node, 'postgres', "SELECT exact.me('erp')"), qr/EX016.*another copy.*exact\.adopt/s,
	'a question is refused with the reason');
one('SELECT exact.restart_workers()');
stopped();
is(hub(), '1:9 2:2', 'a restart changes nothing');

# whoever is in charge says that this one shall work
like(one('SELECT exact.fence()'), qr/^epoch 10:/, 'fence() goes above it');
ok(eval { wait_delivered($node, 60) }, 'delivered');
is(current(), "a$n", 'what waited');
is((databricks_rows($simulator, 'costcenter'))[0]{_seq} >> 40, 10,
	'with a number of the new epoch: the other copy may have given its own');
is(hub(), '1:10 2:10', 'claimed again');
like(finding(), qr/^ok /, 'check() is content');

# the same epoch, another copy: the claim tells them apart
sql("UPDATE main.exact.exact_hub SET claim = 'theirs' WHERE division = 2");
stage($node, 2, 'costcenter', [ 'I', 'b', { ID => 'b', Code => 'b' } ]);
stopped();
like(finding(), qr/its epoch is 10, this one's 10/, 'a copy of the same epoch');
like(one(sprintf 'SELECT exact.adopt(%s)', "'" . one('SELECT id FROM exact.installation') . "'"), qr/epoch 11:/,
	'adopt() goes above it, too');
ok(eval { wait_delivered($node, 60) }, 'delivered');
is(hub(), '1:11 2:11', 'claimed again');

# statements of an older epoch are waited for before anything is delivered
workspace_fault($simulator, path => "$statements\$", statement => 'costunit history', action => 'slow', seconds => 40);
stage($node, 1, 'costunit', [ 'I', 'u', { ID => 'u', Code => 'u' } ]);
wait_until('a statement of the old epoch runs',
	sub { grep { $_->{state} eq 'RUNNING' } statements($simulator, qr/\.11\.\S+ costunit history/) });
one('SELECT exact.fence()');
change();
wait_until('the new epoch is claimed', sub { hub() eq '1:12 2:12' }, 60);
wait_until('the loader waits',
	sub { slurp_file($node->logfile)
		=~ /waits workspace=lake epoch=12: statement \S+ of an earlier process or another copy runs/ }, 60);
is(scalar(my @early = statements($simulator, qr/\.12\.\S+ costcenter history/)), 0, 'nothing is delivered meanwhile');
control($simulator, 'POST', 'clock', { advance => 60 });
ok(eval { wait_delivered($node, 90) }, 'then everything is delivered');
is(current(), "a$n", 'the last state');
is(join(' ', map { $_->{code} } databricks_rows($simulator, 'costunit')), 'u', 'and that of the other table');

# a division that comes later
one("INSERT INTO exact.division (division, app, workspace) VALUES (3, 'erp', 'lake')");
stage($node, 3, 'costcenter', [ 'I', 'c', { ID => 'c', Code => 'c' } ]);
ok(eval { wait_delivered($node, 60) }, 'a new division: delivered');
is(hub(), '1:12 2:12 3:12', 'and claimed');

# exact_hub is gone, then it may not be written
sql('DROP TABLE main.exact.exact_hub');
change();
ok(eval { wait_delivered($node, 90) }, 'exact_hub is gone: made again, delivered');
is(hub(), '1:12 2:12 3:12', 'claimed again');
sql('DROP TABLE main.exact.exact_hub');
workspace_fault($simulator, path => "$statements\$", statement => 'MERGE INTO `main`.`exact`.`exact_hub`',
	action => 'status', status => 200, times => 1,
	body => { statement_id => '01ef0000-0000-0000-0000-000000000001', status => { state => 'FAILED',
		error => { error_code => 'BAD_REQUEST', message => '[INSUFFICIENT_PERMISSIONS] User does not have permission '
			. 'MODIFY on table exact_hub. SQLSTATE: 42501' } , sql_state => '42501' } });
change();
wait_until('the refusal is shown',
	sub { one("SELECT coalesce(max(reason || ' | ' || next_step), '') FROM exact.target_state "
		. "WHERE entity = 'costcenter' AND paused_since IS NOT NULL") =~ /exact_hub/ });
like(one("SELECT reason || ' | ' || next_step FROM exact.target_state WHERE entity = 'costcenter'"),
	pattern('Databricks refused the MERGE into main\.exact\.exact_hub: .*MODIFY.* \| GRANT SELECT, MODIFY ON TABLE ',
		'main\.exact\.exact_hub'), 'a refused claim names the GRANT');
ok(eval { wait_delivered($node, 90) }, 'it is tried again by itself');
is(hub(), '1:12 2:12 3:12', 'claimed');

# killed while it claims
one('SELECT exact.fence()');
workspace_fault($simulator, path => "$statements\$", statement => 'exact_databricks \S+ exact_hub fence',
	action => 'slow', seconds => 3);
wait_until('a claim is being sent',
	sub { one("SELECT count(*) FROM exact.statement_log WHERE kind = 'fence' AND state IN ('sending', "
		. "'running')") ne '0' }, 60);
kill 'KILL', worker_pid($node, 'postgres', 'loader');
wait_until('the server is back', sub { defined answer_of($node, 'postgres', 'SELECT 1') }, 60);
wait_for_workers($node, 'postgres', seconds => 60);
delivers('killed while it claimed');
is(hub(), '1:13 2:13 3:13', 'claimed');
is(one("SELECT count(*) FROM exact.statement_log WHERE state IN ('sending', 'running', 'unknown')"), '0',
	'no statement is left open in the log');
my @codes = map { $_->{code} } sort { $a->{_seq} <=> $b->{_seq} } grep { $_->{_key} eq 'a' } databricks_rows($simulator,
	'costcenter_history');
is("@codes", join(' ', map { "a$_" } 1 .. $n), 'every version once, in order');
is(one('SELECT count(*) FROM exact.verify_audit()'), '0', 'the audit chains hold');
$node->stop;
done_testing();
