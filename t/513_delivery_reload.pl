# A setting that kept a workspace from being used is corrected: a reload is enough, at once. Engine-free workspace.
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
my $n = 0;

sub one { return $node->safe_psql('postgres', $_[0]); }
sub change { $n++; return stage($node, 1, 'costcenter', [ $n == 1 ? 'I' : 'U', 'a', { ID => 'a', Code => "a$n" } ]); }
sub target { return one("SELECT $_[0] FROM exact.target_state WHERE entity = 'costcenter'"); }

sub setting
{
	my ($name, $value) = @_;

	one("ALTER SYSTEM SET exact_databricks.$name = $value");
	one('SELECT pg_reload_conf()');
	$node->poll_query_until('postgres', "SELECT current_setting('exact_databricks.$name') = '$value'");
	return;
}

sub restart_loader
{
	my $old = worker_pid($node, 'postgres', 'loader');

	one('SELECT exact.restart_workers()');
	wait_until('another loader runs', sub { my $new = worker_pid($node, 'postgres', 'loader');
		$new ne '' && $new ne $old }, 60);
	return;
}

change();
wait_delivered($node, 60);

# refused when the loader starts: what it found out about the address is kept
setting('insecure_loopback', 'off');
restart_loader();
change();
wait_until('costcenter is paused', sub { target('paused_since IS NOT NULL') eq 't' }, 60);
like(target("sqlstate || ' ' || reason"), qr/^EX006 /, 'the address may not be used: ' . target('reason'));
my $seconds = seconds_of(sub {
	setting('insecure_loopback', 'on');
	ok(eval { wait_delivered($node, 60) }, 'allowed and reloaded: delivered') or diag target('reason');
});
cmp_ok($seconds, '<', 30, sprintf('at once (%.1f s)', $seconds));
is(target('paused_since IS NULL AND reason IS NULL'), 't', 'no longer paused');

# refused while it runs
setting('insecure_loopback', 'off');
change();
wait_until('costcenter is paused', sub { target('paused_since IS NOT NULL') eq 't' }, 60);
$seconds = seconds_of(sub {
	setting('insecure_loopback', 'on');
	ok(eval { wait_delivered($node, 60) }, 'while it runs: delivered') or diag target('reason');
});
cmp_ok($seconds, '<', 30, sprintf('at once (%.1f s)', $seconds));
is((databricks_rows($simulator, 'costcenter'))[0]{code}, "a$n", 'the last state');
$node->stop;
done_testing();
