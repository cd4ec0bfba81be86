# A warehouse costs money while it runs: what is worth waking it, what travels with a wake-up, and who stops it.
# Engine-free workspace, whose meter counts what is paid for.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $simulator = simulator(engine => 'none', slots => 8, 'start-seconds' => 1);
my $node = exact_cluster('main', conf => { 'exact_databricks.merge_interval' => "'10ms'",
	'restart_after_crash' => 'on' });
my $warehouse = $simulator->{info}{warehouse_id};
my $n = 0;

sub sql
{
	my ($text) = @_;
	return $node->safe_psql('postgres', $text);
}

sub info { return control($simulator, 'GET', 'info'); }
sub wake_ups { return info()->{meter}{wake_ups}; }

sub may_stop
{
	my (@privileges) = @_;
	return control($simulator, 'POST', 'privileges', { only => JSON::PP::false, grant =>
		[ map { { privilege => $_, object => $warehouse } } @privileges ] });
}

sub stage_rows
{
	my ($entity, $rows) = @_;
	return stage($node, 1, $entity, map { $n++; [ 'I', "k$n", { ID => "k$n", Code => "c$n" } ] } 1 .. $rows);
}

sub policy
{
	my ($set) = @_;
	sql("UPDATE exact.workspace SET $set");
	return;
}

# The hub has stopped it; nothing of ours is sent to it any more
sub wait_stopped
{
	my ($what) = @_;
	ok(wait_until($what, sub { info()->{warehouse_state} eq 'STOPPED' }, 60), $what);
	ok(wait_until('it is recorded', sub {
		sql('SELECT count(*) FROM exact.warehouse_run WHERE ended_at IS NULL') eq '0' }, 10), 'its run is over');
	return;
}

# Not delivered while it waits, and nothing wakes the warehouse: seen when the plan is recorded
sub sleeps
{
	my ($what, $wake_ups) = @_;

	ok(wait_until("$what: planned", sub {
		sql('SELECT wakes_at > now() FROM exact.warehouse_state') eq 't' }, 20), "$what: it is planned");
	is(sql('SELECT count(*) > 0 FROM exact.batch WHERE delivered_at IS NULL'), 't', "$what: it waits");
	is(wake_ups(), $wake_ups, "$what: the warehouse sleeps");
	return;
}

deliver_to($node, $simulator);
# something that exact_state tells of, without a service to read
sql(<<'SQL');
INSERT INTO exact.app_state (app, state) VALUES ('erp', 'authorized');
UPDATE exact.app SET base_url = 'http://127.0.0.1:9';
INSERT INTO exact.feed (division, entity) VALUES (1, 'costcenter');
INSERT INTO exact.feed_state (division, feed, run_state, run_started_at, complete_at, first_complete_at, next_run_at)
	VALUES (1, 'costcenter', 'idle', '2026-11-01 10:00+00', '2026-11-01 10:05+00', '2026-11-01 10:05+00',
		now() + interval '1 day')
	ON CONFLICT (division, feed) DO UPDATE SET run_state = 'idle', run_started_at = excluded.run_started_at,
		complete_at = excluded.complete_at, first_complete_at = excluded.first_complete_at;
INSERT INTO exact.division_state (division, state, reason) VALUES (1, 'paused', 'paused by a test')
	ON CONFLICT (division) DO UPDATE SET state = 'paused', reason = excluded.reason;
UPDATE exact.division SET enabled = true WHERE division = 1;
SQL
may_stop('CAN MANAGE');
policy("stop_warehouse = 'own', dbu_price = 0.7");
is(wake_ups(), 0, 'a hub with nothing to deliver wakes nothing');

# one wake-up, and everything travels with it
sql("INSERT INTO exact.entity (name, merge_interval) VALUES ('costunit', '1 h')");
stage_rows('costunit', 1);
stage_rows('costcenter', 2);
ok(wait_delivered($node, 60), 'delivered at once');
wait_stopped('the hub stops what it has woken');
my $meter = info()->{meter};
is($meter->{wake_ups}, 1, 'one wake-up');
cmp_ok($meter->{seconds}, '<', 45, 'seconds that are paid for');
note("seconds of the first delivery, which makes the tables: $meter->{seconds}");
is(sql('SELECT woken, ended_by FROM exact.warehouse_run'), 't|hub', 'the run is recorded');
ok(scalar(statements($simulator, qr/exact_state state/)) > 0, 'exact_state travelled with it');
like(sql("SELECT wake_ups, seconds BETWEEN 5 AND 60, rows, bytes_uploaded > 100, dbu > 0, money = round(dbu * 0.7, 2) "
	. "OR abs(money - dbu * 0.7) < 0.01 FROM exact.cost"), qr/^1\|t\|6\|t\|t\|t$/, 'exact.cost');
like(sql("SELECT finding FROM exact.check() WHERE rule LIKE 'warehouse%'"), qr/the hub stops it/, 'check()');

# what is not worth it yet
my $seen = scalar(statements($simulator, qr/./));
control($simulator, 'POST', 'meter');
policy("wake_after = '9 s'");
my $began = time;
stage_rows('costcenter', 1);
sleeps('wake_after', 0);
is(scalar(statements($simulator, qr/./)), $seen, 'no statement was sent meanwhile');
ok(wait_delivered($node, 60), 'woken for its age');
cmp_ok(time - $began, '>=', 8, 'not earlier');
wait_stopped('and stopped');
$meter = info()->{meter};
is($meter->{wake_ups}, 1, 'one wake-up');
cmp_ok($meter->{seconds}, '<', 30, 'later deliveries are shorter: nothing is made');
# two looks for statements of others, the first five seconds after the last statement, the second five seconds later
my $tail = sql("SELECT extract(epoch FROM ended_at - (SELECT max(finished_at) FROM exact.statement_log)) "
	. 'FROM exact.warehouse_run ORDER BY started_at DESC LIMIT 1');
cmp_ok($tail, '>=', 9.9, 'stopped after two looks');
cmp_ok($tail, '<', 18, 'and at once after the second one');
note("seconds of a delivery: $meter->{seconds}");

# so many are worth it; one wake-up empties what waits, whatever its own interval
policy("wake_after = '1 h', wake_rows = 5");
stage_rows('costunit', 1);
stage_rows('costcenter', 3);
sleeps('four versions', 1);
stage_rows('costcenter', 1);
ok(wait_delivered($node, 60), 'five wake it, and all is delivered');
is(wake_ups(), 2, 'by one wake-up');
wait_stopped('stopped');

# what waited behind a table that has to go first travels with the same wake-up, whatever its interval
sql("INSERT INTO exact.entity (name, merge_interval) VALUES ('items', '1 h')");
policy('wake_after = NULL, wake_rows = NULL');
stage_rows('items', 1);
ok(wait_delivered($node, 60), 'items');
wait_stopped('stopped');
policy("quiet_zone = 'UTC', quiet_from = (now() AT TIME ZONE 'UTC' - interval '2 h')::time(0), "
	. "quiet_until = (now() AT TIME ZONE 'UTC' + interval '2 h')::time(0)");
stage_rows('items', 1);
stage_rows('costcenter', 1);
stage_rows('items', 1);
sleeps('in order', 3);
policy('quiet_from = NULL, quiet_until = NULL');
ok(wait_delivered($node, 60), 'all that waited');
is(wake_ups(), 4, 'by one wake-up');
wait_stopped('stopped');

# quiet hours
policy("wake_after = NULL, wake_rows = NULL, quiet_zone = 'UTC', quiet_from = (now() AT TIME ZONE 'UTC' - interval "
	. "'2 h')::time(0), quiet_until = (now() AT TIME ZONE 'UTC' + interval '2 h')::time(0)");
stage_rows('costcenter', 6);
sleeps('quiet hours', 4);
is(sql("SELECT wakes_at - now() BETWEEN interval '1 h 58 min' AND interval '2 h 1 min' FROM "
	. 'exact.warehouse_state'), 't', 'until they end');
sql("INSERT INTO exact.entity (name, urgent) VALUES ('glaccount', true)");
stage_rows('glaccount', 1);
ok(wait_delivered($node, 60), 'an urgent entity wakes it, and takes all with it');
is(wake_ups(), 5, 'once');

policy('quiet_from = NULL, quiet_until = NULL');
wait_stopped('and stopped');

# without the right to stop it: told, with what to do; taken back once it can
control($simulator, 'POST', 'privileges', { only => JSON::PP::true, grant => [
	map { { privilege => $_->[0], object => $_->[1] } } [ 'ALL PRIVILEGES', 'main' ], [ 'CAN USE', $warehouse ] ] });
stage_rows('costcenter', 1);
ok(wait_delivered($node, 60), 'delivered');
ok(wait_until('refused', sub { sql('SELECT stop_refused IS NOT NULL FROM exact.warehouse_state') eq 't' }, 60),
	'the stop is refused');
like(sql("SELECT result, finding, fix FROM exact.check() WHERE rule LIKE 'warehouse%'"),
	qr/^warn\|the hub cannot stop it: .*Manage.*\|grant \S+ CAN MANAGE on warehouse $warehouse, or set/, 'check()');
is(info()->{warehouse_state}, 'RUNNING', 'it runs on');
may_stop('CAN MANAGE');
control($simulator, 'POST', 'warehouse', { state => 'STOPPED' });
sql("UPDATE exact.warehouse_run SET ended_at = now(), ended_by = 'auto stop' WHERE ended_at IS NULL");
sql("SELECT pg_terminate_backend(pid) FROM exact.workers WHERE role = 'loader'");
wait_for_workers($node, 'postgres');
stage_rows('costcenter', 1);

# a crash while it runs: the next process stops it
ok(wait_delivered($node, 60), 'delivered');
kill_worker_by_9($node);
wait_for_workers($node, 'postgres');
wait_stopped('stopped by the next process');
is(sql("SELECT stop_refused IS NULL FROM exact.warehouse_state"), 't', 'the refusal is forgotten');

# OPTIMIZE and VACUUM travel with a wake-up, cause none, and are nobody else's use of the warehouse
policy("stop_warehouse = 'own', maintenance = 'on', wake_after = '1 h', wake_rows = 3, merge_interval = NULL");
my $woken = wake_ups();
sql("UPDATE exact.target_state SET maintain_at = now() + interval '6 days' WHERE entity <> 'costcenter'; "
	. "UPDATE exact.target_state SET maintain_at = now() - interval '1 s' WHERE entity = 'costcenter'");
sql("SELECT pg_terminate_backend(pid) FROM exact.workers WHERE role = 'loader'");
wait_for_workers($node, 'postgres');
stage_rows('costcenter', 2);
sleeps('a table whose turn it is', $woken);
is(scalar(statements($simulator, qr/OPTIMIZE|VACUUM/)), 0, 'nothing is done to it');
stage_rows('costcenter', 1);
ok(wait_delivered($node, 60), 'three versions wake it');
wait_stopped('the hub stops it after all of it');
is(join(' ', map { $_->{text} =~ m{\*/ (\w+)} ? $1 : () } statements($simulator, qr/OPTIMIZE|VACUUM/)),
	'OPTIMIZE OPTIMIZE VACUUM VACUUM', 'OPTIMIZE and VACUUM went with the delivery');
is(sql('SELECT ended_by FROM exact.warehouse_run ORDER BY id DESC LIMIT 1'), 'hub', 'and are nobody else\'s use of it');
is(wake_ups(), $woken + 1, 'one wake-up');
policy("maintenance = 'off', wake_after = NULL, wake_rows = NULL");

# the history does not show whose statements they are: it is left to its auto stop
control($simulator, 'POST', 'config', { history_text => 'redacted' });
stage_rows('costcenter', 1);
ok(wait_delivered($node, 60), 'delivered');
ok(wait_until('not stopped', sub { sql('SELECT stop_refused IS NOT NULL FROM exact.warehouse_state') eq 't' }, 60),
	'masked texts: the hub does not stop it');
like(sql("SELECT fix FROM exact.check() WHERE rule LIKE 'warehouse%'"),
	qr/^add \S+ to the account's group databricks_pii_access, or set stop_warehouse of lake to never$/,
	'check() says what to do');
is(info()->{warehouse_state}, 'RUNNING', 'it runs on');
control($simulator, 'POST', 'config', { history_text => 'shown' });
control($simulator, 'POST', 'clock', { advance => 700 });
sql("UPDATE exact.warehouse_run SET ended_at = now(), ended_by = 'auto stop' WHERE ended_at IS NULL");
sql("SELECT pg_terminate_backend(pid) FROM exact.workers WHERE role = 'loader'");
wait_for_workers($node, 'postgres');

# somebody else uses it: it is left to them
stage_rows('costcenter', 1);
ok(wait_delivered($node, 60), 'delivered');
my $offset = -s $node->logfile;
control($simulator, 'POST', 'query', { statement => 'SELECT 1', user => 'analyst@example.com' });
ok(wait_until('left to others', sub {
	PostgreSQL::Test::Utils::slurp_file($node->logfile, $offset) =~ /is left to its auto stop: others have used it too/
}, 60), 'others have used it');
is(info()->{warehouse_state}, 'RUNNING', 'it is not stopped');
control($simulator, 'POST', 'clock', { advance => 700 });
is(info()->{warehouse_state}, 'STOPPED', 'its auto stop does');

# a gateway lets nobody ask who else uses it: that is no service that is away
sql("UPDATE exact.warehouse_run SET ended_at = now(), ended_by = 'auto stop' WHERE ended_at IS NULL");
sql("SELECT pg_terminate_backend(pid) FROM exact.workers WHERE role = 'loader'");
wait_for_workers($node, 'postgres');
$offset = -s $node->logfile;
stage_rows('costcenter', 1);
ok(wait_delivered($node, 60), 'delivered');
control($simulator, 'POST', 'faults', { path => 'history/queries', action => 'html', status => 404, times => -1 });
ok(wait_until('left to its auto stop', sub {
	PostgreSQL::Test::Utils::slurp_file($node->logfile, $offset) =~ /is left to its auto stop: (?!others)/
}, 60), 'nobody else can be looked for');
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile, $offset), qr/service side=databricks/,
	'the service has not gone away');
is(sql("SELECT light FROM exact.services WHERE side = 'databricks'"), 'ok', 'its light is green');
control($simulator, 'DELETE', 'faults');
control($simulator, 'POST', 'clock', { advance => 700 });
is(sql("SELECT count(*) FROM exact.target_state WHERE reason IS NOT NULL AND entity <> 'exact_audit'"), '0',
	'no table complains');
is(join(' ', map { scalar(() = databricks_rows($simulator, $_)) } 'costcenter', 'costcenter_history'), '22 22',
	'each version once');
done_testing();

sub kill_worker_by_9
{
	my ($cluster) = @_;
	my $pid = sql("SELECT pid FROM exact.workers WHERE role = 'loader'");

	kill 9, $pid;
	wait_until('the server has recovered', sub { eval { sql('SELECT 1') } }, 60);
	return;
}
