# What the query history says late, in any of its eight states or not at all: no statement goes out a second time while
# the first may run, and a wait of more than a minute says what is waited for. Engine-free workspace.
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
sub config { control($simulator, 'POST', 'config', {@_}); return; }
sub change { $n++; return stage($node, 1, 'costcenter', [ $n == 1 ? 'I' : 'U', 'a', { ID => 'a', Code => "a$n" } ]); }
sub target { return one(sprintf "SELECT coalesce((SELECT ($_[0])::text FROM exact.target_state "
	. "WHERE entity = '%s'), '')",
	$_[1] // 'costcenter'); }

# Two MERGEs into one table at once, told by what the workspace executed
sub overlaps
{
	my (@bad, %end);

	foreach my $s (sort { $a->{at} <=> $b->{at} } statements($simulator, qr/MERGE INTO `main`.`exact`.`costcenter/))
	{
		my ($table) = $s->{text} =~ /MERGE INTO (\S+)/;
		push @bad, "$table at $s->{at}" if $s->{at} < ($end{$table} // 0) - 0.05;
		$end{$table} = $s->{at} + $s->{ms} / 1000;
	}
	return "@bad";
}

sub check_delivery
{
	my ($what, $seconds) = @_;
	my @codes;

	ok(eval { wait_delivered($node, $seconds // 60) }, "$what: delivered");
	@codes = map { $_->{code} } sort { $a->{_seq} <=> $b->{_seq} } databricks_rows($simulator, 'costcenter_history');
	is("@codes", join(' ', map { "a$_" } 1 .. $n), "$what: every version once");
	is((databricks_rows($simulator, 'costcenter'))[0]{code}, "a$n", "$what: the last state");
	is(overlaps(), '', "$what: no two MERGEs into one table at once");
	return;
}

change();
check_delivery('the first delivery');

# the listing is four seconds late; it walks through every state; both; it does not show what runs
foreach my $case ([ 'a late listing', history_delay => 4 ],
	[ 'eight states', history_delay => 0, history_states => \1 ],
	[ 'both', history_delay => 4, history_states => \1 ],
	[ 'masked texts', history_delay => 0, history_states => \0, history_text => 'redacted' ])
{
	my ($what, @settings) = @$case;

	config(@settings);
	foreach my $kind ('history', 'current')
	{
		workspace_fault($simulator, path => "$statements\$",
			statement => of_kind($kind), action => 'slow', seconds => 9);
		workspace_fault($simulator, path => "$statements\$", statement => of_kind($kind), action => 'reset_running');
		change();
		check_delivery("$what, $kind");
	}
}

config(history_delay => 4, history_states => \1, history_text => 'shown');

# a loader that is killed while the answer is unknown: the next one looks twice, too
workspace_fault($simulator, path => "$statements\$", statement => of_kind('current'), action => 'slow', seconds => 9);
workspace_fault($simulator, path => "$statements\$", statement => of_kind('current'), action => 'reset_running');
change();
wait_until('a current statement is unknown',
	sub { one("SELECT count(*) FROM exact.statement_log WHERE kind = 'current' AND state = 'unknown'") ne '0' });
my $pid = worker_pid($node, 'postgres', 'loader');
kill 'KILL', $pid;
wait_until('another loader runs',
	sub { my $new = eval { worker_pid($node, 'postgres', 'loader') } // ''; $new ne '' && $new ne $pid }, 60);
check_delivery('killed, with a late listing');
config(history_delay => 0, history_states => \0);

# one page of the history after another, without end: that is no answer
workspace_fault($simulator, path => "$statements\$", statement => of_kind('current'), action => 'reset_after');
my $pages = workspace_fault($simulator, path => 'history/queries', action => 'status', status => 200, times => 20,
	body => { res => [], has_next_page => \1, next_page_token => 'again' });
my $sent = () = statements($simulator, of_kind('current'));
change();
wait_until('the pages are read', sub { fault_count($simulator, $pages) == 20 });
is((() = statements($simulator, of_kind('current'))) - $sent, 1, 'not sent again for a history without end');
check_delivery('a history without end');

# the history may not be read: as long as the statement may still be on its way it is not sent again
my $denied = workspace_fault($simulator, path => 'history/queries', action => 'status', status => 403, times => -1,
	body => { error_code => 'PERMISSION_DENIED', message => 'no' });
workspace_fault($simulator, path => "$statements\$", statement => of_kind('current'), action => 'slow', seconds => 12);
workspace_fault($simulator, path => "$statements\$", statement => of_kind('current'), action => 'reset_running');
change();
check_delivery('no history', 120);
control($simulator, 'DELETE', "faults/$denied");

# a statement that does not end: after a minute its table says which
workspace_fault($simulator, path => "$statements\$",
	statement => of_kind('history'), action => 'slow', seconds => 100000);
change();
wait_until('its table says so', sub { target('reason') =~ /still runs/ }, 150);
like(target("reason || ' | ' || next_step"),
	pattern('^statement (\S+) still runs in Databricks: the hub waits for the MERGE into ',
		'main\.exact\.costcenter_history \| ',
		'.*cancel it in Databricks: Query History, statement \1'), 'a statement that does not end');
is(target('paused_since IS NULL'), 'true', 'nothing is paused');
like(one("SELECT result || ' ' || finding FROM exact.check() WHERE rule LIKE 'table %costcenter'"),
	qr/^warn statement \S+ still runs/, 'check() says so');

# and what waits for it after a new epoch says the same
one('SELECT exact.fence()');
stage($node, 1, 'costunit', [ 'I', 'u', { ID => 'u', Code => 'u' } ]);
wait_until('what waits says so', sub { target('reason', 'costunit') =~ /still runs/ }, 150);
like(target("reason || ' | ' || next_step", 'costunit'),
	pattern('^statement (\S+) still runs in Databricks: the hub waits for a statement of an earlier ',
		'process or of another copy of this hub ',
		'\| .*cancel it in Databricks: Query History, statement \1'), 'the claim waits');
like(slurp_file($node->logfile), qr/alarm: workspace=lake epoch=2: statement \S+ still runs/, 'the log has an alarm');
my ($running) = target('next_step', 'costunit') =~ /statement (\S+)\.$/;
my $answer = control($simulator, 'GET', 'statements?since=0');
ok(scalar(grep { ($_->{id} // '') eq $running } @{ $answer->{statements} }), 'with an id that Databricks knows');
control($simulator, 'POST', 'clock', { advance => 200000 });
ok(eval { wait_delivered($node, 90) }, 'it ended: delivered');
is(target('reason IS NULL'), 'true', 'the reason is gone');

# a lost answer, and a history that answers 503: after a minute the table says that, too
my $away = workspace_fault($simulator, path => 'history/queries', action => 'status', status => 503, times => -1);
workspace_fault($simulator, path => "$statements\$", statement => of_kind('current'), action => 'reset_after');
change();
wait_until('its table says so', sub { target('reason') =~ /is not known/ }, 150);
like(target("reason || ' | ' || next_step"),
	pattern('^it is not known if the MERGE into main\.exact\.costcenter still runs, because its answer was lost: ',
		'.* \| .*',
		'cancel it in Databricks'), 'a history that does not answer');
control($simulator, 'DELETE', "faults/$away");
check_delivery('it answers again', 120);
$node->stop;
done_testing();
