# exact_open and exact_state: what readers in Databricks are told beside the tables. Engine-free workspace, or real
# Spark with
# EXACT_TEST_ENGINE=spark.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use Test::More;

my $engine = $ENV{EXACT_TEST_ENGINE} // 'none';
my $patience = $engine eq 'none' ? 60 : 900;
my $simulator = simulator(engine => $engine, seconds => 180);
my $node = exact_cluster('main', conf => { 'exact_databricks.merge_interval' => "'10ms'" });
deliver_to($node, $simulator);

sub one { return $node->safe_psql('postgres', $_[0]); }

# The loader looks at once when it starts, then once a minute.
sub look_again
{
	my $pid = worker_pid($node, 'postgres', 'loader');

	one('SELECT exact.restart_workers()');
	wait_until('a new loader', sub { my $new = worker_pid($node, 'postgres', 'loader'); $new ne '' && $new ne $pid });
	wait_for_workers($node, 'postgres');
	return;
}

# "key=value" lines of a table of ours, in order
sub told
{
	my ($table, @columns) = @_;
	my @rows = databricks_rows($simulator, $table);

	return join "\n", sort map { my $row = $_;
		join ' ', map { $row->{$_} // '-' } @columns } grep { $_->{installation} ne 'other' } @rows;
}

sub tellings { return scalar(() = statements($simulator, qr{/\* exact_databricks \S+ exact_state state })); }

# What is open was written at least once more, and its statements are over.
sub wait_told
{
	my ($before) = @_;

	return wait_until('the tables were written',
		sub { tellings() > $before && one("SELECT count(*) FROM exact.statement_log WHERE kind = 'state' "
			. "AND state NOT IN ('succeeded', 'failed')") eq '0' }, $patience);
}

# The table comes to say this; the loader may have looked while a delivery was under way, and looks again after a
# minute.
sub tells
{
	my ($table, $columns, $expected, $what) = @_;

	eval { wait_until($what, sub { told($table, @$columns) eq $expected }, $patience + 90); };
	return is(told($table, @$columns), $expected, $what);
}

# nothing to say yet
look_again();
one("SELECT exact._ask('loader', 'ping')");
is(tellings(), 0, 'nothing is told before there is something');

one(<<'SQL');
INSERT INTO exact.app_state (app, state) VALUES ('erp', 'authorized');
UPDATE exact.division SET enabled = true WHERE division = 1;
INSERT INTO exact.feed (division, entity) VALUES (1, 'costcenter'), (1, 'items'), (1, 'purchaseentries'),
	(1, 'purchaseentrylines');
UPDATE exact.app SET base_url = 'http://127.0.0.1:9';
INSERT INTO exact.feed_state (division, feed, run_state, run_started_at, complete_at, first_complete_at, next_run_at)
	VALUES (1, 'costcenter', 'idle', '2026-11-01 10:00+00', '2026-11-01 10:05+00', '2026-11-01 10:05+00',
			now() + interval '1 day'),
		(1, 'purchaseentries', 'idle', '2026-11-01 11:00+00', '2026-11-01 11:05+00', '2026-11-01 11:05+00',
			now() + interval '1 day')
	ON CONFLICT (division, feed) DO UPDATE SET run_state = 'idle', run_started_at = excluded.run_started_at,
		complete_at = excluded.complete_at, first_complete_at = excluded.first_complete_at;
INSERT INTO exact.division_state (division, state, reason) VALUES (1, 'paused', 'paused by a test')
	ON CONFLICT (division) DO UPDATE SET state = 'paused', reason = excluded.reason;
SQL
stage($node, 1, 'costcenter', [ 'I', 'c', { ID => 'c', Code => '1' } ]);
stage($node, 1, 'purchaseentries', [ 'I', 'p', { EntryID => 'p', ReportingYear => 2026, ReportingPeriod => 10,
	AmountDC => 1 } ]);
wait_delivered($node, $patience);
look_again();
wait_told(0);
tells('exact_open', ['_key'], '', 'nothing is open');
tells('exact_state', [qw(_division entity state complete_until open_records)],
	"1 costcenter stopped 2026-11-01T10:00:00.000Z 0\n1 items first load - 0\n1 purchaseentries stopped "
	. "2026-11-01T11:00:00.000Z 0\n1 purchaseentrylines stopped 2026-11-01T11:00:00.000Z 0",
	'every entity of the workspace, complete up to the start of its last run');
like((grep { $_->{entity} eq 'costcenter' } databricks_rows($simulator, 'exact_state'))[0]->{reason},
	qr/^division 1 is paused since .*: paused by a test; SELECT exact.resume\(1\)$/, 'and why it does not go on');
control($simulator, 'POST', 'sql', { statement => "INSERT INTO main.exact.exact_open (installation, _division, entity, "
	. "state, records) VALUES ('other', 7, 'items', 'held', 1)" });

# again: nothing has changed but the time
wait_told(0);
my $count = tellings();
one("UPDATE exact.feed_state SET run_started_at = now() - interval '1 minute', complete_at = now() "
	. "WHERE feed = 'costcenter'");
look_again();
one("SELECT exact._ask('loader', 'ping')");
is(tellings(), $count, 'nothing is told when nothing has changed');

# what a table refuses is open, with period and amount; a line's period is its document's
control($simulator, 'POST', 'privileges',
	{ deny => [ map { { privilege => 'MODIFY', object => "main.exact.purchaseentr${_}_history" } } 'ies', 'ylines' ] });
stage($node, 1, 'purchaseentries', [ 'U', 'p', { EntryID => 'p', ReportingYear => 2026, ReportingPeriod => 11,
	AmountDC => '12345678901234.5678' } ], [ 'I', 'q', { EntryID => 'q' } ]);
stage($node, 1, 'purchaseentrylines', [ 'I', 'l', { ID => 'l', EntryID => 'p', AmountDC => '0.1' } ]);
one("UPDATE exact.record SET parent = 'p' WHERE key = 'l'");
stage($node, 1, 'costcenter', [ 'U', 'c', { ID => 'c', Code => '2' } ]);
wait_until('both tables are paused',
	sub { one("SELECT count(*) FROM exact.target_state WHERE paused_since IS NOT NULL "
		. "AND entity LIKE 'purchaseentr%'") eq '2' }, $patience);
$count = tellings();
look_again();
wait_told($count);
tells('exact_open', [qw(entity _key state year period amount records)],
	"purchaseentries p paused 2026 11 12345678901234.5678 1\npurchaseentries q paused - - - 1\npurchaseentrylines l "
	. "paused 2026 11 0.1000 1", 'open records');
like((databricks_rows($simulator, 'exact_open'))[1]->{reason}, qr/permission|privileges|not have MODIFY/i, 'and why');
tells('exact_state', [qw(entity open_records)], "costcenter 0\nitems 0\npurchaseentries 2\npurchaseentrylines 1",
	'their number');
cmp_ok((grep { $_->{entity} eq 'costcenter' } databricks_rows($simulator, 'exact_state'))[0]->{complete_until}, 'gt',
	'2026-11-01T10:00:00.000Z', 'the time moves with what is told');
my ($entries) = grep { $_->{entity} eq 'purchaseentries' } databricks_rows($simulator, 'exact_state');
is($entries->{complete_until}, '2026-11-01T11:00:00.000Z', 'but not behind what waits');

# delivered: closed; the answer of one statement is lost
control($simulator, 'POST', 'privileges', { deny => [] });
my $fault = control($simulator, 'POST', 'faults', { path => 'statements$', statement => 'exact_open state ',
	action => 'reset_after' });
one("SELECT exact.resume(1, e) FROM unnest(ARRAY['purchaseentries', 'purchaseentrylines']) AS e");
wait_delivered($node, $patience);
$count = tellings();
look_again();
wait_told($count);
is(fault_count($simulator, $fault->{id}), 1, 'an answer was lost');
tells('exact_open', ['_key'], '', 'nothing is open any more');
is(scalar(grep { $_->{installation} eq 'other' } databricks_rows($simulator, 'exact_open')), 1,
	'rows of another hub stay');

# refused: shown, tried again, nothing else stops
control($simulator, 'POST', 'privileges',
	{ deny => [ { privilege => 'MODIFY', object => 'main.exact.exact_state' } ] });
stage($node, 1, 'costcenter', [ 'U', 'c', { ID => 'c', Code => '3' } ]);
wait_delivered($node, $patience);
look_again();
wait_until('the refusal is shown',
	sub { one("SELECT count(*) FROM exact.check() WHERE result = 'fail' AND rule = 'table main.exact.exact_state' "
		. "AND fix LIKE 'GRANT SELECT, MODIFY ON TABLE main.exact.exact_state TO%'") eq '1' }, $patience);
stage($node, 1, 'costcenter', [ 'U', 'c', { ID => 'c', Code => '4' } ]);
wait_delivered($node, $patience);
pass('deliveries go on');
control($simulator, 'POST', 'privileges', { deny => [] });
$count = tellings();
look_again();
wait_told($count);
is(one("SELECT count(*) FROM exact.target_state WHERE entity = 'exact_state' AND paused_since IS NULL "
	. "AND attempts = 0"), '1', 'and it is told again');

# while a first load goes on, each telling would slow it down: it is told every ten minutes, and when it has ended
one("UPDATE exact.division_state SET state = 'ok', reason = NULL; UPDATE exact.target_state SET delivered_at = now() - "
	. "interval '11 minutes' WHERE entity = 'exact_state'");
$count = tellings();
look_again();
wait_told($count);
is((grep { $_->{entity} eq 'items' } databricks_rows($simulator, 'exact_state'))[0]->{state}, 'first load',
	'what was told before it stands');
stage($node, 1, 'costcenter', [ 'U', 'c', { ID => 'c', Code => '5' } ]);
wait_delivered($node, $patience);
one("UPDATE exact.target_state SET delivered_at = now() - interval '1 minute' WHERE entity = 'exact_state'");
$count = tellings();
look_again();
one("SELECT exact._ask('loader', 'ping')");
is(tellings(), $count, 'a delivery is not told while a first load goes on');
one("UPDATE exact.target_state SET delivered_at = now() - interval '11 minutes' WHERE entity = 'exact_state'");
look_again();
wait_told($count);
pass('after ten minutes it is');
one("UPDATE exact.target_state SET delivered_at = now() - interval '1 minute' WHERE entity = 'exact_state'");
# all is read, but not all of it is delivered
$fault = control($simulator, 'POST', 'faults', { path => 'statements$', statement => 'items history ',
	action => 'fail', times => -1, error_class => 'DELTA_CONCURRENT_APPEND', sql_state => '2D521',
	message => 'concurrent append' });
stage($node, 1, 'items', [ 'I', 'i', { ID => 'i', Code => 'i' } ]);
one("INSERT INTO exact.feed_state (division, feed, run_started_at, complete_at, first_complete_at, next_run_at) "
	. "VALUES (1, 'items', now(), now(), now(), now() + interval '1 day') "
	. "ON CONFLICT (division, feed) DO UPDATE SET run_state = 'idle', run_started_at = now(), complete_at = now(), "
	. "first_complete_at = now()");
$count = tellings();
look_again();
one("SELECT exact._ask('loader', 'ping')");
is(tellings(), $count, 'what the first load has read and is not delivered holds a telling back, too');
# that came after the first load: it is told as anything else
one("UPDATE exact.feed_state SET first_complete_at = (SELECT min(staged_at) FROM exact.batch WHERE entity = 'items') "
	. "- interval '1 s' WHERE feed = 'items'");
look_again();
wait_told($count);
tells('exact_open', ['_key'], 'i', 'what came after it does not');
control($simulator, 'DELETE', "faults/$fault->{id}");
wait_delivered($node, $patience);
$count = tellings();
look_again();
wait_told($count);
is((grep { $_->{entity} eq 'items' } databricks_rows($simulator, 'exact_state'))[0]->{state}, 'complete',
	'and when the first load has ended');

# a loader that ends while its statement runs: the next one waits for it, then writes anew
$fault = control($simulator, 'POST', 'faults', { path => 'statements$', statement => 'exact_open state ',
	action => 'slow', seconds => 3 });
stage($node, 1, 'costcenter', [ 'U', 'c', { ID => 'c', Code => '5' } ]);
wait_delivered($node, $patience);
$count = tellings();
look_again();
wait_until('the statement runs',
	sub { one("SELECT count(*) FROM exact.statement_log WHERE entity = 'exact_open' AND state = 'running'") eq '1'
		|| fault_count($simulator, $fault->{id}) > 0 }, $patience);
look_again();
wait_told($count);
is(one("SELECT count(*) FROM exact.statement_log WHERE kind = 'state' AND state IN ('sending', 'running', 'unknown')"),
	'0', 'no statement is forgotten');
tells('exact_open', ['_key'], '', 'and the tables say what is so');

# a large backlog is one row
one('UPDATE exact.workspace SET enabled = false');
stage($node, 1, 'costcenter', map { [ 'I', "k$_", { ID => "k$_", Code => $_ } ] } 1 .. 2600);
stage($node, 1, 'items', [ 'I', 'i', { ID => 'i', Code => 'i' } ]);
is(one("SELECT string_agg(entity || ' ' || coalesce(key, '-') || ' ' || records, ', ' ORDER BY entity) "
	. "FROM exact._open_rows('lake')"), 'costcenter - 2600, items i 1', 'a large backlog is one row');
is(one('SELECT count(*) FROM exact.verify_audit()'), '0', 'the audit chains hold');
$node->stop;
done_testing();
