# A loader that is killed takes up where it was; tables that are not ours, not right or gone are refused with the
# reason. Engine-free workspace.
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

sub stage_next
{
	$n++;
	return stage($node, 1, 'costcenter', [ $n == 1 ? 'I' : 'U', 'a', { ID => 'a', Code => "a$n" } ]);
}

sub check_truth
{
	my ($what) = @_;
	my @current = databricks_rows($simulator, 'costcenter');
	my @history = sort { $a->{_seq} <=> $b->{_seq} } databricks_rows($simulator, 'costcenter_history');

	is(join(' ', map { $_->{code} } @current), "a$n", "$what: the last state");
	is(join(' ', map { $_->{code} } @history), join(' ', map { "a$_" } 1 .. $n), "$what: every version once, in order");
	return;
}

sub target
{
	my ($column, $entity) = @_;
	return $node->safe_psql('postgres', sprintf("SELECT $column FROM exact.target_state WHERE entity = '%s'",
		$entity // 'costcenter'));
}

sub kill_loader
{
	my $pid = worker_pid($node, 'postgres', 'loader');

	kill 'KILL', $pid;
	wait_until('another loader runs', sub { my $new = worker_pid($node, 'postgres', 'loader');
		$new ne '' && $new ne $pid }, 60);
	return;
}

stage_next();
wait_delivered($node);

# killed while a statement is being sent, while it runs, after it has run and before its answer is recorded, while its
# answer is unknown
foreach my $kind ('history', 'current')
{
	foreach my $case (
		[ 'before it is sent', [ { action => 'hang', seconds => 4 } ], 'sending' ],
		[ 'while it runs', [ { action => 'slow', seconds => 4 } ], 'sending' ],
		[ 'while its answer is unknown', [ { action => 'reset_running' }, { action => 'slow', seconds => 4 } ],
			'unknown' ])
	{
		my ($when, $faults, $state) = @$case;

		workspace_fault($simulator, path => "$statements\$", statement => of_kind($kind), %$_) foreach @$faults;
		stage_next();
		wait_until("a $kind statement is $state", sub {
			$node->safe_psql('postgres', "SELECT count(*) FROM exact.statement_log WHERE kind = '$kind' "
				. "AND state = '$state'") ne '0' });
		kill_loader();
		my $seconds = seconds_of(sub { ok(eval { wait_delivered($node, 60) }, "killed $when ($kind): delivered") });
		cmp_ok($seconds, '<', 30, sprintf('within 30 s (%.1f s)', $seconds));
		check_truth("killed $when ($kind)");
	}
}
is($node->safe_psql('postgres', "SELECT count(*) FROM exact.statement_log WHERE state IN ('sending', 'running', "
	. "'unknown')"), '0',
	'no statement is left open in the log');

# killed with an id recorded: it is polled to its end, not sent a second time while it runs
sub advance
{
	control($simulator, 'POST', 'clock', { advance => $_[0] });
	return;
}

sub wait_running
{
	my ($kind) = @_;
	return wait_until("a $kind statement runs",
		sub { grep { $_->{state} eq 'RUNNING' } statements($simulator, qr/costcenter $kind/) });
}
workspace_fault($simulator, path => "$statements\$", statement => of_kind('history'), action => 'slow', seconds => 60);
stage_next();
wait_running('history');
advance(31);
wait_until('the statement has an id', sub {
	$node->safe_psql('postgres', "SELECT count(*) FROM exact.statement_log WHERE kind = 'history' "
		. "AND state = 'running' AND statement_id IS NOT NULL") eq '1' }, 60);
kill_loader();
wait_until('it is polled',
	sub { grep { $_->{method} eq 'GET'
		&& $_->{path} =~ m{statements/.} } @{ control($simulator, 'GET', 'calls?since=0')->{calls} } }, 60);
advance(60);
ok(eval { wait_delivered($node, 60) }, 'killed while it is polled: delivered');
check_truth('killed while it is polled');
my @overlap;
my @history = sort { $a->{at} <=> $b->{at} } statements($simulator, qr/costcenter history/);
foreach my $i (1 .. $#history)
{
	push @overlap, $i if $history[$i]{at} < $history[ $i - 1 ]{at} + $history[ $i - 1 ]{ms} / 1000 - 0.05;
}
is("@overlap", '', 'no two MERGEs into one table at a time');

# an id that the service has forgotten: looked for in the history, sent again
workspace_fault($simulator, path => "$statements\$", statement => of_kind('current'), action => 'slow', seconds => 60);
workspace_fault($simulator, path => "$statements/.", statement => of_kind('current'), action => 'forget');
stage_next();
wait_running('current');
advance(31);
wait_until('it is looked for',
	sub { grep { $_->{path} =~ m{history/queries} } @{ control($simulator, 'GET', 'calls?since=0')->{calls} } }, 60);
advance(60);
ok(eval { wait_delivered($node, 90) }, 'a forgotten statement: delivered');
check_truth('a forgotten statement');

# a table of someone else, of another installation, with another type; then one that lacks a column
sub paused_reason
{
	my ($entity) = @_;
	wait_until("$entity is paused", sub { target('paused_since IS NOT NULL', $entity) eq 't' });
	return target("reason || ' | ' || sqlstate || ' | ' || next_step", $entity);
}
control($simulator, 'POST', 'sql', { statement => 'CREATE TABLE main.exact.glaccount (`x` STRING) USING DELTA' });
stage($node, 1, 'glaccount', [ 'I', 'g1', { ID => 'g1', Code => '1' } ]);
like(paused_reason('glaccount'),
	pattern('table main\.exact\.glaccount exists and belongs to someone else: it was not made by exact_databricks \| ',
		'EX014 \| Rename or drop'), 'a foreign table');
is(scalar(my @rows = databricks_rows($simulator, 'glaccount')), 0, 'nothing was written into it');
my @made = statements($simulator, qr/CREATE TABLE `main`.`exact`.`costcenter`/);
my ($installation) = $made[0]{text} =~ /'exact\.installation' = '([^']*)'/;
(my $foreign = $made[0]{text}) =~ s/`costcenter`/`costunit`/;
$foreign =~ s/\Q$installation\E/another/g;
$foreign =~ s/'exact.entity' = 'costcenter'/'exact.entity' = 'costunit'/;
control($simulator, 'POST', 'sql', { statement => $foreign });
stage($node, 1, 'costunit', [ 'I', 'u1', { ID => 'u1', Code => '1' } ]);
like(paused_reason('costunit'), qr/another installation of exact_databricks made it \| EX014/, "another hub's table");
(my $other = $made[0]{text}) =~ s/`costcenter`/`items`/;
$other =~ s/'exact.entity' = 'costcenter'/'exact.entity' = 'items'/;
$other =~ s/`Description` STRING/`Description` INT/;
control($simulator, 'POST', 'sql', { statement => $other });
stage($node, 1, 'items', [ 'I', 'i1', { ID => 'i1', Description => 'd', Code => 'c' } ]);
like(paused_reason('items'),
	pattern('table main\.exact\.items has other columns than the hub needs: Description is (?i:int) and should be ',
		'STRING \| EX014'), 'a column of another type');
control($simulator, 'POST', 'sql', { statement => 'DROP TABLE main.exact.items' });
$other =~ s/`Description` INT/`Description` STRING/;
control($simulator, 'POST', 'sql', { statement => $other });
$node->safe_psql('postgres', "SELECT exact.resume(1, 'items')");
wait_until('items is delivered',
	sub { $node->safe_psql('postgres', "SELECT count(*) FROM exact.batch WHERE entity = 'items' "
		. "AND delivered_at IS NULL") eq '0' });
my ($item) = databricks_rows($simulator, 'items');
is("$item->{description} $item->{code}", 'd c', 'missing columns were added to a table that is ours');
cmp_ok(scalar(my @added = statements($simulator, qr/ALTER TABLE `main`.`exact`.`items` ADD COLUMNS/)), '>=', 1,
	'by ALTER TABLE');

# gone with what it held: an empty table in its place takes an operator's word
control($simulator, 'POST', 'sql', { statement => 'DROP TABLE main.exact.costcenter' });
stage_next();
like(paused_reason('costcenter'),
	pattern('table main\.exact\.costcenter is gone, with all that was delivered into it \| EX014 \| UNDROP TABLE ',
		'main\.exact\.costcenter; or SELECT exact\.resume'), 'a table that was dropped');
$node->safe_psql('postgres', "SELECT exact.resume(1, 'costcenter')");
wait_until('costcenter is delivered',
	sub { $node->safe_psql('postgres', "SELECT count(*) FROM exact.batch WHERE entity = 'costcenter' "
		. "AND delivered_at IS NULL") eq '0' });
check_truth('a new table in its place');

# a table that loses what was written: the post-condition stops it
workspace_fault($simulator, path => "$statements\$", statement => of_kind('current'), action => 'reset_before',
	times => 1);
my $gap = workspace_fault($simulator, path => "$statements\$", statement => of_kind('current'), action => 'status',
	status => 200,
	body => { statement_id => '01ef0000-0000-0000-0000-000000000000', status => { state => 'SUCCEEDED' },
		manifest => {}, result => { data_array => [ [ '1', '1', '0', '0' ] ] } }, skip => 1);
stage_next();
like(paused_reason('costcenter'),
	pattern('post-condition failed: main\.exact\.costcenter holds 0 of the 1 versions or later ones of their records ',
		'of batches \d+ to \d+ \| EX014 \| .*DESCRIBE HISTORY'), 'a gap');
is(target('next_attempt_at IS NULL'), 't', 'waits for an operator');
control($simulator, 'DELETE', 'faults');
$node->safe_psql('postgres', "SELECT exact.resume(1, 'costcenter')");
wait_until('costcenter is delivered',
	sub { $node->safe_psql('postgres', "SELECT count(*) FROM exact.batch WHERE entity = 'costcenter' "
		. "AND delivered_at IS NULL") eq '0' });
check_truth('after the gap');
is($node->safe_psql('postgres', 'SELECT count(*) FROM exact.verify_audit()'), '0', 'the audit chains hold');
$node->stop;
done_testing();
