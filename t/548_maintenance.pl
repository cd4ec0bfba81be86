# OPTIMIZE and VACUUM of the Delta tables, once a week, where Databricks does not run them; what they meet and what they
# must not be in the way of. Engine-free workspace.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $simulator = simulator(engine => 'none', slots => 8, 'start-seconds' => 1);
my $node = exact_cluster('main', conf => { 'exact_databricks.merge_interval' => "'10ms'",
	'restart_after_crash' => 'on' });
deliver_to($node, $simulator);
my $of_maintenance = qr/^\/\* exact_databricks [-0-9a-f]+: \w+ maintenance /;
my $n = 0;
my $seen = 0;

sub one { return $node->safe_psql('postgres', $_[0]); }
sub target { return one("SELECT $_[1] FROM exact.target_state WHERE entity = '$_[0]'"); }
sub config { return control($simulator, 'POST', 'config', {@_}); }

sub stage_one
{
	my ($entity) = @_;
	$n++;
	return stage($node, 1, $entity, [ 'I', "k$n", { ID => "k$n", Code => $n } ]);
}

# Statements of maintenance since the last call, as their verb and table
sub done
{
	my $what = qr{\*/ (DESCRIBE SCHEMA EXTENDED|\w+) `main`\.`exact`(?:\.`(\w+)`)?};
	my @all = map { $_->{text} =~ $what ? join(' ', grep { defined } $1, $2) : $_->{text} }
		statements($simulator, $of_maintenance);
	my @new = @all[$seen .. $#all];

	$seen = @all;
	return join(', ', @new);
}

# Another loader, and two deliveries: what is due begins right behind the first one
sub look_anew
{
	my $pid = worker_pid($node, 'postgres', 'loader');
	one('SELECT exact.restart_workers()');
	wait_until('another loader', sub { my $now = worker_pid($node, 'postgres', 'loader'); $now ne '' && $now ne $pid });
	foreach (1, 2)
	{
		stage_one('costunit');
		wait_delivered($node, 60);
	}
	return;
}

sub due
{
	my ($age, @entities) = @_;
	one("UPDATE exact.target_state SET created_at = now() - interval '$age', maintain_at = NULL WHERE entity = '$_'")
		foreach @entities;
	return;
}

# What the hub writes beside the tables of records is left out here: those are never a week old.
stage_one($_) foreach qw(glaccount costcenter costunit);
wait_delivered($node);
look_anew();
is(done(), '', 'tables that were made just now: nothing is asked');

# a service that tends its tables, and one that does not say
foreach my $form ('enable', 'absent')
{
	config(predictive_optimization => $form);
	due('8 days', 'glaccount');
	look_anew();
	wait_until("$form: asked", sub { one("SELECT count(*) FROM exact.statement_log WHERE kind = 'maintenance' "
		. "AND state = 'succeeded'") eq ($form eq 'enable' ? '1' : '2') });
	stage_one('costunit');
	wait_delivered($node);
	is(done(), 'DESCRIBE SCHEMA EXTENDED', "predictive optimization $form: the hub asks, and leaves it alone");
}

# it is off: a week and not earlier, and not without a delivery, which may be what has woken the warehouse
config(predictive_optimization => 'disable');
due('7 days 1 minute', 'glaccount');
one("UPDATE exact.target_state SET delivered_at = now() - interval '61 s' WHERE workspace = 'lake'");
my $offset = -s $node->logfile;
one('SELECT exact.restart_workers()');
wait_until('another loader may write', sub { slurp_file($node->logfile, $offset) =~ /claimed workspace=lake/ });
one("SELECT exact._ask('loader', 'ping')") foreach 1, 2;
is(done(), '', 'no delivery: nothing is done');
due('6 days 23 hours 59 minutes', 'costcenter');
one("UPDATE exact.target_state SET maintain_at = now() + interval '6 days' WHERE entity = 'costunit'");
look_anew();
wait_until('glaccount is done', sub { target('glaccount', 'maintained_at IS NOT NULL') eq 't' });
is(done(), 'DESCRIBE SCHEMA EXTENDED, OPTIMIZE glaccount, OPTIMIZE glaccount_history, VACUUM glaccount, '
	. 'VACUUM glaccount_history', 'predictive optimization disable: a table of more than a week, both its tables');
is(target('glaccount', "maintain_at - maintained_at = interval '7 days'"), 't', 'again in a week');
look_anew();
is(done(), '', 'and not earlier');
one("UPDATE exact.target_state SET maintain_at = now() - interval '1 s' WHERE entity = 'glaccount'");
look_anew();
is(done(), '', 'nor without a delivery since');
stage_one('glaccount');
wait_delivered($node);
one("UPDATE exact.target_state SET maintain_at = now() + interval '8 days' WHERE entity = 'glaccount'");
look_anew();
wait_until('glaccount is done again', sub { target('glaccount', "maintain_at < now() + interval '7 days'") eq 't' });
like(done(), qr/OPTIMIZE glaccount, /, 'a time that was planned before the clock was set back delays nothing');

# a refusal: the rest goes on, that table is tried the next day
one("UPDATE exact.workspace SET maintenance = 'on'");
stage_one($_) foreach qw(glaccount costcenter);
wait_delivered($node);
due('8 days', 'glaccount', 'costcenter');
my $before = target('glaccount', 'maintained_at');
my $fault = workspace_fault($simulator, statement => 'OPTIMIZE `main`.`exact`.`glaccount`', action => 'fail',
	times => -1, error_class => 'UNSUPPORTED_FEATURE', sql_state => '0A000', message => 'not on this warehouse');
my $log = -s $node->logfile;
look_anew();
wait_until('both are over', sub { one("SELECT count(*) FROM exact.target_state WHERE entity IN ('glaccount', "
	. "'costcenter') AND maintain_at IS NOT NULL") eq '2' });
my $list = done();
unlike($list, qr/DESCRIBE/, 'maintenance = on: nothing is asked');
like($list, qr/OPTIMIZE glaccount, OPTIMIZE glaccount_history, VACUUM glaccount, VACUUM glaccount_history/,
	'what is refused keeps nothing else from being done');
like($list, qr/VACUUM costcenter_history/, 'nor another table');
is(target('glaccount', 'maintained_at') . ' ' . target('glaccount', "maintain_at BETWEEN now() + interval '23 h' AND "
	. "now() + interval '1 day'"), "$before t", 'tried again the next day');
is(target('costcenter', "maintain_at > now() + interval '6 days'"), 't', 'the other one in a week');
like(substr(slurp_file($node->logfile), $log), qr/WARNING: .*cannot optimize workspace=lake table=glaccount: /,
	'it is told');
is(one("SELECT count(*) FROM exact.target_state WHERE paused_since IS NOT NULL OR note IS NOT NULL"), '0',
	'no delivery is paused for it, and nothing of it is taken for what somebody else did');
control($simulator, 'DELETE', "faults/$fault");

# off
one("UPDATE exact.workspace SET maintenance = 'off'");
stage_one('costcenter');
wait_delivered($node);
due('8 days', 'costcenter');
look_anew();
is(done(), '', 'maintenance = off: nothing is done');

# beside deliveries: as the service does, where both may change a table at the same time; a loader that ends in the
# middle leaves an OPTIMIZE for which the next one does not wait
config(table_concurrency => 'row_level');
one("UPDATE exact.workspace SET maintenance = 'on'");
$fault = workspace_fault($simulator, statement => 'OPTIMIZE `main`.`exact`.`costcenter`', action => 'slow',
	seconds => 120);
stage_one('costcenter');
wait_delivered($node);
due('8 days', 'costcenter');
one('SELECT exact.restart_workers()');
wait_until('an OPTIMIZE runs', sub { one("SELECT count(*) FROM exact.statement_log WHERE kind = 'maintenance' "
	. "AND finished_at IS NULL") eq '1' }, 60);
my $pid = worker_pid($node, 'postgres', 'loader');
stage_one('costcenter');
ok(eval { wait_delivered($node, 30); 1 }, 'a delivery beside it');
one("UPDATE exact.workspace SET maintenance = 'off'");
kill 'KILL', $pid;
wait_until('another loader', sub { my $now = eval { worker_pid($node, 'postgres', 'loader') } // '';
	$now ne '' && $now ne $pid }, 60);
stage_one('costcenter');
ok(eval { wait_delivered($node, 60); 1 }, 'a delivery of the next process');
is(one("SELECT count(*) FROM exact.statement_log WHERE kind = 'maintenance' AND finished_at IS NULL"), '0',
	'what the one before left is closed');
is(scalar(grep { $_->{state} =~ /RUNNING|PENDING/ } statements($simulator,
	qr/OPTIMIZE `main`.`exact`.`costcenter`/)), 1, 'while it still runs');
$node->stop('immediate');

done_testing();
