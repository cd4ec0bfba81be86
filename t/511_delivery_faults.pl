# What goes wrong between the hub and Databricks: nothing is lost, nothing is doubled, the reason is shown. Engine-free
# workspace.
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
my %versions;		# key => number of versions staged

# One more version of each of two keys; the wait for their delivery
sub deliver_two
{
	my ($what, $seconds) = @_;
	my $op = $versions{a}++ ? 'U' : 'I';

	$n++;
	$versions{b}++;
	stage($node, 1, 'costcenter', [ $op, 'a', { ID => 'a', Code => "a$n" } ],
		[ $op, 'b', { ID => 'b', Code => "b$n" } ]);
	ok(eval { wait_delivered($node, $seconds) }, "$what: delivered");
	return check_truth($what);
}

# Delta holds the last state once, and every version once
sub check_truth
{
	my ($what) = @_;
	my %codes = map { ($_->{_key} => $_->{code}) } databricks_rows($simulator, 'costcenter');
	my %count;

	$count{"$_->{_key} $_->{_seq}"}++ foreach databricks_rows($simulator, 'costcenter_history');
	is("$codes{a} $codes{b}", "a$n b$n", "$what: the last state");
	is(join(' ', scalar(keys %count), scalar(grep { $_ != 1 } values %count)), ($versions{a} + $versions{b}) . ' 0',
		"$what: one effect in the history");
	return;
}

sub target
{
	my ($column, $entity) = @_;
	return $node->safe_psql('postgres', sprintf("SELECT $column FROM exact.target_state WHERE entity = '%s'",
		$entity // 'costcenter'));
}

# the answer to each statement that makes the tables is lost, and to each that looks at them
foreach my $case ([ 'made', 'ddl', 'CREATE TABLE', 3 ], [ 'looked at', 'check', 'DESCRIBE', 2 ])
{
	my ($what, $kind, $verb, $times) = @$case;
	my $lost = workspace_fault($simulator, path => "$statements\$", statement => "$kind .*$verb", times => $times,
		action => 'reset_after');

	$node->safe_psql('postgres', 'SELECT exact.restart_workers()');
	wait_for_workers($node, 'postgres');
	deliver_two("answers lost while the tables are $what", 60);
	is(fault_count($simulator, $lost), $times, 'each was lost');
}

# the answer is lost before, after and during the execution of each MERGE
foreach my $kind ('history', 'current')
{
	foreach my $action ('reset_before', 'reset_after', 'reset_running', 'cut_body')
	{
		my $slow = $action eq 'reset_running' ? workspace_fault($simulator, path => "$statements\$",
			statement => of_kind($kind), action => 'slow', seconds => 2) : 0;
		my $id = workspace_fault($simulator, path => "$statements\$", statement => of_kind($kind), action => $action);
		deliver_two("$action of the $kind MERGE", 40);
		is(fault_count($simulator, $id), 1, 'it struck');
	}
}
cmp_ok(scalar(my @checks = statements($simulator, qr/^\/\* exact_databricks \S+ costcenter check \d+\./)), '>=', 4,
	'repeated statements were proved by a count');
my @running = statements($simulator, qr/^\/\* exact_databricks \S+ costcenter history/);
is(scalar(grep { $_->{state} !~ /SUCCEEDED|FAILED/ } @running), 0, 'no statement was left running');

# refused for now
foreach my $case (
	[ '429 without Retry-After', { action => 'status', status => 429 } ],
	[ '429 with Retry-After', { action => 'status', status => 429, headers => { 'Retry-After' => '2' } }, 2 ],
	[ '503 with a date', { action => 'status', status => 503,
		headers => { 'Retry-After' => 'Sun, 06 Nov 1994 08:49:37 GMT' } } ],
	[ '503 twice', { action => 'status', status => 503, times => 2 } ],
	[ '500', { action => 'status', status => 500 } ],
	[ 'HTML', { action => 'html' } ],
	[ 'a redirect', { action => 'status', status => 302, body => '', headers => { Location => '/login.html' } } ],
	[ 'an expired token', { action => 'token_expired' } ],
	[ 'a call refused once', { action => 'error_shape', shape => 'bad_request' } ],
	[ 'a call refused once as of another workspace', { action => 'wrong_org' } ],
	[ '499, which leaves open what runs', { action => 'error_shape', shape => 'error_only' } ],
	[ 'a failure without a reason', { action => 'fail', error_class => '', sql_state => '', error_code => 'BAD_REQUEST',
		message => 'The statement could not be completed.' } ],
	[ 'another connection cut', { action => 'reset_before', times => 2 } ],
	[ 'concurrent append', { action => 'fail', error_class => 'DELTA_CONCURRENT_APPEND', sql_state => '2D521',
		message => 'conflict', times => 2 } ],
	[ 'too many commits', { action => 'fail', error_class => 'DELTA_MAX_COMMIT_RETRIES_EXCEEDED', sql_state => '40000',
		message => 'conflict' } ],
	[ 'a failure after execution', { action => 'fail_after', error_class => 'DELTA_METADATA_CHANGED',
		sql_state => '2D521', message => 'changed' } ],
	[ 'a cut transfer', { action => 'fail', error_class => 'MALFORMED_RECORD_IN_PARSING', sql_state => '22023',
		message => 'malformed' } ],
	[ 'a row count', { action => 'fail', error_class => 'USER_RAISED_EXCEPTION', sql_state => 'P0001',
		message => 'exact: the batch holds 0 rows' } ])
{
	my ($what, $fault, $at_least) = @$case;
	my $kind = $n % 2 ? 'history' : 'current';
	my $id = workspace_fault($simulator, path => "$statements\$", statement => of_kind($kind), %$fault);
	my $seconds = seconds_of(sub { deliver_two("$what, $kind MERGE", 60) });

	is(fault_count($simulator, $id), $fault->{times} // 1, 'it struck');
	cmp_ok($seconds, '>=', $at_least, 'Retry-After is honoured') if $at_least;
}

# polls: a warehouse that takes its time, answers to polls that get lost, an id that is forgotten
workspace_fault($simulator, path => "$statements\$", statement => of_kind('history'), action => 'slow', seconds => 3);
deliver_two('a slow statement', 60);

# the service is away: the reason is shown, nobody has to act, nothing is lost
my $away = workspace_fault($simulator, path => '^/api', action => 'status', status => 503, times => -1);
$versions{a}++;
$versions{b}++;
$n++;
stage($node, 1, 'costcenter', [ 'U', 'a', { ID => 'a', Code => "a$n" } ], [ 'U', 'b', { ID => 'b', Code => "b$n" } ]);
wait_until('the reason is shown', sub { target('reason') =~ /Databricks asks to try later: TEMPORARILY_UNAVAILABLE/ });
is(target("coalesce(paused_since::text, 'not paused') || ' ' || (next_attempt_at > now())"), 'not paused true',
	'not paused, tried again by itself');
control($simulator, 'DELETE', "faults/$away");
wait_delivered($node, 60);
check_truth('after an outage');
is(target("reason IS NULL AND attempts = 0"), 't', 'the reason is gone');

# several tables wait for it: one asks, no more often than one alone would, and all go on once it answers
my @tables = qw(costcenter costunit glaccount);
sub stage_each
{
	stage($node, 1, $_, [ 'U', 'a', { ID => 'a', Code => "a$n" } ]) foreach @tables;
}
stage_each();
wait_delivered($node, 60);
$away = workspace_fault($simulator, path => $statements, action => 'status', status => 503, times => -1);
stage_each();
wait_until('the fifth attempt', sub {
	$node->safe_psql('postgres', 'SELECT max(attempts) FROM exact.target_state') >= 5 });
my $tried = join ' ', map { target('attempts', $_) } @tables;
cmp_ok(fault_count($simulator, $away), '<=', 9, "few calls: $tried");
is($node->safe_psql('postgres', 'SELECT count(*) FROM exact.target_state WHERE reason IS NOT NULL'), scalar(@tables),
	'each table says why it waits');
control($simulator, 'DELETE', "faults/$away");
wait_delivered($node, 30);
is($node->safe_psql('postgres', 'SELECT max(attempts) FROM exact.target_state'), 0, 'all go on');
$versions{a} += 2;

# a value that does not fit: its row is put aside, the value is in no log and no table of the hub, all others go on
my $marker = 'MARKER77x';
my $letter = "FROM exact.dead_letter WHERE side = 'delivery' AND entity = 'items'";
stage($node, 1, 'items', [ 'I', 'i1', { ID => 'i1', CostPriceStandard => $marker } ]);
stage($node, 1, 'glaccount', [ 'I', 'g1', { ID => 'g1', Code => '1' } ]);
wait_delivered($node);
is($node->safe_psql('postgres', "SELECT concat_ws('|', key, column_name, reason, state) $letter"),
	'i1|CostPriceStandard|the value of CostPriceStandard does not fit DECIMAL(28,10)|dead',
	'put aside with its reason');
is(target('paused_since IS NULL', 'items'), 't', 'nothing is paused');
is(join('', map { $node->safe_psql('postgres', "SELECT count(*) FROM $_ LIKE '%$marker%'") }
		'exact.statement_log WHERE error', 'exact.audit_log WHERE what::text',
		'exact.dead_letter AS l WHERE l::text'), '000', 'the value is not told');
is(scalar(my @none = eval { databricks_rows($simulator, 'items_history') }), 0, 'nothing of it was written');
$node->safe_psql('postgres', "INSERT INTO exact.entity_field (entity, name, selected) "
	. "VALUES ('items', 'CostPriceStandard', false)");
$node->safe_psql('postgres', "SELECT exact.retry(id) $letter");
wait_until('it is delivered', sub { $node->safe_psql('postgres', "SELECT state $letter") eq 'done' });
like((databricks_rows($simulator, 'items_history'))[0]{_payload}, qr/$marker/,
	'without that column, the value is in the payload');

# twice the same: an error that may pass once is an error the second time
workspace_fault($simulator, path => "$statements\$", statement => of_kind('history'), action => 'fail',
	error_class => 'FAILED_READ_FILE', sql_state => 'KD001', message => 'unreadable', times => 2);
stage($node, 1, 'costcenter', [ 'U', 'a', { ID => 'a', Code => 'a' . ++$n } ],
	[ 'U', 'b', { ID => 'b', Code => "b$n" } ]);
$versions{$_}++ foreach 'a', 'b';
wait_until('costcenter is paused', sub { target('paused_since IS NOT NULL') eq 't' });
like(target("reason || ' ' || sqlstate"), qr/unreadable KD001/, 'reason');
$node->safe_psql('postgres', "SELECT exact.resume(1, 'costcenter')");
wait_delivered($node);
check_truth('resumed');

# a missing grant: the reason names it, the hint is the GRANT
control($simulator, 'POST', 'privileges', { deny => [ { privilege => 'MODIFY', object => 'main.exact.costcenter' } ] });
stage($node, 1, 'costcenter', [ 'U', 'a', { ID => 'a', Code => 'a' . ++$n } ],
	[ 'U', 'b', { ID => 'b', Code => "b$n" } ]);
$versions{$_}++ foreach 'a', 'b';
wait_until('costcenter is paused', sub { target('paused_since IS NOT NULL') eq 't' });
like(target('reason'), qr/^Databricks refused the MERGE into main\.exact\.costcenter: .*MODIFY/, 'reason');
like(target('next_step'), qr/^GRANT SELECT, MODIFY ON TABLE main\.exact\.costcenter TO `$simulator->{info}{client_id}`/,
	'next step');
control($simulator, 'POST', 'privileges', { deny => [] });
$node->safe_psql('postgres', "SELECT exact.resume(1, 'costcenter')");
wait_delivered($node);
check_truth('granted');

# wrong secret: the token endpoint refuses, a good one goes on
$node->safe_psql('postgres', "SELECT exact.set_secret('workspace', 'lake', 'client_secret', 'wrong'); "
	. "SELECT exact.restart_workers()");
wait_for_workers($node, 'postgres');
stage($node, 1, 'costcenter', [ 'U', 'a', { ID => 'a', Code => 'a' . ++$n } ],
	[ 'U', 'b', { ID => 'b', Code => "b$n" } ]);
$versions{$_}++ foreach 'a', 'b';
wait_until('costcenter is paused', sub { target('paused_since IS NOT NULL') eq 't' });
like(target('reason'), qr/invalid_client|refuse/i, 'reason: ' . target('reason'));
$node->safe_psql('postgres', "SELECT exact.set_secret('workspace', 'lake', 'client_secret', "
	. "'$simulator->{info}{client_secret}')");
$node->safe_psql('postgres', "SELECT exact.resume(1, 'costcenter')");
wait_delivered($node);
check_truth('right secret');

# an address that is no longer allowed
$node->safe_psql('postgres', 'ALTER SYSTEM SET exact_databricks.insecure_loopback = off; SELECT pg_reload_conf()');
$node->poll_query_until('postgres', "SELECT current_setting('exact_databricks.insecure_loopback') = 'off'");
stage($node, 1, 'costcenter', [ 'U', 'a', { ID => 'a', Code => 'a' . ++$n } ],
	[ 'U', 'b', { ID => 'b', Code => "b$n" } ]);
$versions{$_}++ foreach 'a', 'b';
wait_until('costcenter is paused', sub { target('paused_since IS NOT NULL') eq 't' });
like(target("sqlstate || ' ' || reason"), qr/^EX006 /, 'reason: ' . target('reason'));
$node->safe_psql('postgres', 'ALTER SYSTEM SET exact_databricks.insecure_loopback = on; SELECT pg_reload_conf()');
$node->poll_query_until('postgres', "SELECT current_setting('exact_databricks.insecure_loopback') = 'on'");
$node->safe_psql('postgres', "SELECT exact.resume(1, 'costcenter')");
ok(eval { wait_delivered($node) }, 'allowed again: delivered') or note target('reason');
check_truth('allowed again');

# a session that holds the batch's row keeps the delivery from being recorded, not from being made, and only once
my $session = $node->background_psql('postgres');
my $merges = () = statements($simulator, qr/costcenter (history|current)/);
control($simulator, 'POST', 'faults', { path => "$statements\$", statement => of_kind('history'), action => 'slow',
	seconds => 2 });
my $held = stage($node, 1, 'costcenter', [ 'U', 'a', { ID => 'a', Code => 'a' . ++$n } ],
	[ 'U', 'b', { ID => 'b', Code => "b$n" } ]);
$versions{$_}++ foreach 'a', 'b';
$session->query_safe("BEGIN; SELECT id FROM exact.batch WHERE id = $held FOR UPDATE");
wait_until('the delivery could not be recorded',
	sub {
		PostgreSQL::Test::Utils::slurp_file(
			$node->logfile) =~ /record delivery: canceling statement due to lock timeout/ });
$session->query_safe('COMMIT');
$session->quit;
wait_delivered($node);
check_truth('recorded later');
is((() = statements($simulator, qr/costcenter (history|current)/)) - $merges, 2, 'delivered once');

my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
unlike($log, qr/$marker/, 'the value is not in the log');
unlike($log, qr/\Q$simulator->{info}{client_secret}\E(?!')/, 'no secret in the log');
like($log, qr/exact loader: paused table=costcenter workspace=lake sqlstate=KD001 batches=1/, 'log line of a pause');
is($node->safe_psql('postgres', 'SELECT count(*) FROM exact.verify_audit()'), '0', 'the audit chains hold');
$node->stop;
done_testing();
