# Versions are kept for the retention: then the newest of each record is carried on with the same _seq, and its
# partition is emptied. Nothing that waits is lost, no reader is waited for, a replay and a lost table are whole.
# Engine-free workspace.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $simulator = simulator(engine => 'none', slots => 8, data => PostgreSQL::Test::Utils::tempdir);
my $node = exact_cluster('main', conf => { 'exact_databricks.merge_interval' => "'10ms'",
	'exact_databricks.retention' => "'1h'" });
deliver_to($node, $simulator);

sub one { return $node->safe_psql('postgres', $_[0]); }
sub owner { return control($simulator, 'POST', 'sql', { statement => $_[0] }); }

# A batch of versions of these keys, in the slot that is written now or another; its number
sub stage_versions
{
	my ($keys, $text, %how) = @_;
	my $list = join(', ', map { "'$_'" } @$keys);
	my $slot = $how{slot} // one("SELECT slot FROM exact._open_slot('1 min')");
	my $op = $how{op} // 'U';
	my $payload = $op eq 'D' ? 'NULL' : "format('{\"ID\":\"%s\",\"Description\":\"%s\"}', u.key, '$text')";
	my $batch = one("SELECT nextval('exact.batch_id')");

	one("WITH s AS (
			INSERT INTO exact.stage (slot, batch, ord, seq, division, entity, key, op, prev_slot, prev_batch, prev_ord,
				hash, payload)
			SELECT $slot, $batch, u.n - 1, (1::bigint << 40) + nextval('exact.version_counter'), 1, 'items', u.key,
				'$op', r.slot, r.batch, r.ord, sha256(''), $payload
			FROM unnest(ARRAY[$list]) WITH ORDINALITY AS u (key, n)
			LEFT JOIN exact.record AS r ON r.division = 1 AND r.entity = 'items' AND r.key = u.key
			RETURNING *), r AS (
			INSERT INTO exact.record AS r (division, entity, key, seq, slot, batch, ord, deleted)
			SELECT division, entity, key, seq, slot, batch, ord, op = 'D' FROM s
			ON CONFLICT (division, entity, key) DO UPDATE SET seq = excluded.seq, slot = excluded.slot,
				batch = excluded.batch, ord = excluded.ord, deleted = excluded.deleted)
		INSERT INTO exact.batch (id, slot, workspace, division, entity, feed, epoch, rows, bytes, seq_min, seq_max)
		SELECT $batch, $slot, 'lake', 1, 'items', 'items', 1, count(*), coalesce(sum(length(payload)), 0), min(seq),
			max(seq) FROM s");
	one("SELECT exact._wake('loader')");
	return $batch;
}

# All steps that can be done now; their number
sub carry
{
	my ($n, $steps) = (1, 0);

	while ($n > 0)
	{
		$n = one("SELECT exact._carry_forward('1h')");
		$steps++;
	}
	return $steps - 1;
}

sub age { my ($slot, $age) = @_; one("INSERT INTO exact.stage_slot VALUES ($slot, now() - interval '$age')
	ON CONFLICT (slot) DO UPDATE SET opened_at = excluded.opened_at"); return; }
sub held { return one("SELECT count(*) FROM exact.stage WHERE slot = $_[0]"); }

# Each record's address leads to its version, and each batch has the rows that it says
sub check_addresses
{
	my ($what) = @_;

	is(one("SELECT count(*) FROM exact.record AS r
			LEFT JOIN exact.stage AS s ON s.slot = r.slot AND s.batch = r.batch AND s.ord = r.ord AND s.key = r.key
				AND s.seq = r.seq
			LEFT JOIN exact.batch AS b ON b.id = r.batch AND b.slot = r.slot AND r.ord < b.rows
			WHERE s.key IS NULL OR b.id IS NULL
				OR (r.deleted AND exact._content(r.slot, r.batch, r.ord) IS NULL)"), '0',
		"$what: every record has its newest version");
	is(one("SELECT count(*) FROM exact.batch AS b CROSS JOIN LATERAL (SELECT count(*) AS n, min(s.ord) AS lo,
				max(s.ord) AS hi, min(s.seq) AS first, max(s.seq) AS last
			FROM exact.stage AS s WHERE s.slot = b.slot AND s.batch = b.id) AS s
			WHERE (s.n, s.lo, s.hi, s.first, s.last)
				IS DISTINCT FROM (b.rows::bigint, 0, b.rows - 1, b.seq_min, b.seq_max)"),
		'0', "$what: every batch has its rows");
	return;
}

sub truth
{
	return join(' | ', map { join(' ', @{ owner($_)->{rows}[0] }) }
		'SELECT count(*), count(DISTINCT _key), count(CASE WHEN _deleted THEN 1 END) FROM main.exact.items',
		'SELECT count(*), count(DISTINCT _seq) FROM main.exact.items_history',
		"SELECT count(CASE WHEN description = 'one' THEN 1 END), count(CASE WHEN description = 'two' THEN 1 END)"
			. ' FROM main.exact.items');
}

# three slots: two that are older than the retention, one that is written
age(5, '3 hours');
age(6, '61 minutes');
my $first = stage_versions([ map { "k$_" } 1 .. 10 ], 'one', slot => 5);
my $second = stage_versions([ qw(k1 k2 k3) ], 'two', slot => 5);
stage_versions([ 'k10' ], '', slot => 5, op => 'D');
stage_versions([ 'k4' ], 'two', slot => 6);
ok(eval { wait_delivered($node, 60) }, 'delivered');
my $whole = '10 10 1 | 15 15 | 6 4';
is(truth(), $whole, 'before');
one("INSERT INTO exact.dead_letter (side, division, entity, key, workspace, reason, slot, batch, ord, seq)
	SELECT 'delivery', 1, 'items', s.key, 'lake', 'too wide', s.slot, s.batch, s.ord, s.seq
	FROM exact.stage AS s WHERE s.batch = $first AND s.key IN ('k1', 'k5')");
one("UPDATE exact.dead_letter SET state = 'passed' WHERE key = 'k1'");
one("INSERT INTO exact.verdict (batch, ord, slot, workspace, division, entity, key, seq, problems, again)
	SELECT s.batch, s.ord, s.slot, 'lake', 1, 'items', s.key, s.seq, 'odd', s.key = 'k5'
	FROM exact.stage AS s WHERE s.batch = $first AND s.key IN ('k2', 'k5', 'k7', 'k9')");

# on both sides of the limit: the slot after it is not yet older than the retention
age(7, '59 minutes');
is(carry() > 0 ? held(5) : 'none', '0', 'a slot whose successor was opened 61 minutes ago is emptied');
is(held(6), '1', 'one whose successor was opened 59 minutes ago is left');
is(one('SELECT string_agg(slot::text, chr(32) ORDER BY slot) FROM exact.stage_slot'), '6 7', 'the slot is free');
check_addresses('one slot');
is(one("SELECT string_agg(s.key, ' ' ORDER BY s.ord) FROM exact.batch AS b
		JOIN exact.stage AS s ON s.slot = b.slot AND s.batch = b.id WHERE b.id = $first"), 'k5 k6 k7 k8 k9',
	'the newest versions go on, in their batch');
is(one("SELECT string_agg(format('%s %s', l.key, s.key), ', ' ORDER BY l.key) FROM exact.dead_letter AS l
		LEFT JOIN exact.stage AS s ON s.slot = l.slot AND s.batch = l.batch AND s.ord = l.ord"), 'k1 , k5 k5',
	'what was put aside goes on, what a newer version has passed does not');
is(one("SELECT string_agg(format('%s %s', v.key, s.key), ', ' ORDER BY v.key) FROM exact.verdict AS v
		LEFT JOIN exact.stage AS s ON s.slot = v.slot AND s.batch = v.batch AND s.ord = v.ord"), 'k5 k5, k7 k7, k9 k9',
	'so do verdicts');
is(one("SELECT count(*), sum(rows), count(*) FILTER (WHERE delivered_at IS NULL OR delivered_rows <> rows) FROM
	exact.batch"), '4|10|0', 'four batches, ten versions, all of them delivered');
one("DELETE FROM exact.dead_letter; DELETE FROM exact.verdict");

# nobody is waited for: neither a reader with an old snapshot nor what is not delivered
age(7, '61 minutes');
my $reader = $node->background_psql('postgres');
$reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM exact.stage');
carry();
is(one('SELECT count(*) FROM exact.stage_slot WHERE slot = 6'), '1', 'a slot that somebody reads is left');
$reader->query_safe('COMMIT');
$reader->quit;
carry();
is(one('SELECT count(*) FROM exact.stage_slot WHERE slot = 6'), '0', 'and emptied when he has read it');
one('UPDATE exact.workspace SET enabled = false');
age(8, '2 hours');
age(9, '90 minutes');
my $waits = stage_versions([ 'k5', 'w1' ], 'two', slot => 8);
stage_versions([ 'k6' ], 'two', slot => 8);
carry();
is(held(8), '3', 'versions that wait stay in their slot');
check_addresses('they wait');
one('UPDATE exact.workspace SET enabled = true');
ok(eval { wait_delivered($node, 60) }, 'they are delivered');
carry();
is(held(8), '0', 'and then carried on');
check_addresses('they were carried on');
my $now = '11 11 1 | 18 18 | 4 7';
is(truth(), $now, 'Delta is as it was, with the new versions');

# a replay and a lost table
my $id = one("SELECT exact.replay('items', NULL, NULL)");
is(one("SELECT exact.wait($id, '2 min')"), 'done', 'a replay of all that is held');
is(truth(), $now, 'it changes nothing');
owner('DELETE FROM main.exact.items');
$id = one("SELECT exact.replay('items', NULL, NULL)");
is(one("SELECT exact.wait($id, '2 min')"), 'done', 'a replay into a table that somebody has emptied');
is(truth(), $now, 'it is whole again, the deleted record with its content');

# hours of changes: each record keeps its newest version, and the stage does not grow
my @keys = map { "h$_" } 1 .. 200;
my (@bytes, @batches);
foreach my $round (1 .. 30)
{
	one("UPDATE exact.stage_slot SET opened_at = opened_at - interval '6 minutes'");
	stage_versions(\@keys, 'x' x 500);
	stage_versions([ "once$round" ], 'x' x 500);
	wait_delivered($node, 60);
	carry();
	push @bytes, one("SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits
		WHERE inhparent = 'exact.stage'::regclass");
	push @batches, one('SELECT count(*) FROM exact.batch WHERE rows = 200');
}
cmp_ok($bytes[-1], '<=', $bytes[11] * 1.1,
	"the stage is as large after three hours as after 72 minutes ($bytes[11], $bytes[-1])");
is($batches[-1], $batches[11], 'it has as many full batches');
check_addresses('after three hours');
is(one("SELECT count(*) FROM exact.record WHERE key LIKE 'once%'"), '30', 'what changed once is there');
is(join(' ', @{ owner('SELECT count(*), count(DISTINCT _key) FROM main.exact.items')->{rows}[0] }), '241 241',
	'and Delta has each record once');
is(one('SELECT count(*) FROM exact.verify_audit()'), '0', 'the audit trail verifies');

# no slot is free: the last one is written on
one("INSERT INTO exact.stage_slot SELECT n, now() - interval '30 minutes' FROM generate_series(0, 63) AS n
	ON CONFLICT (slot) DO UPDATE SET opened_at = excluded.opened_at");
age(17, '29 minutes');
is(one("SELECT concat_ws(' ', slot, opened) FROM exact._open_slot('1 min')"), '17 f', 'no slot is free');
one('DELETE FROM exact.stage_slot WHERE slot = 20');
one("INSERT INTO exact.stage (slot, batch, ord, seq, division, entity, key, op)
	VALUES (20, -1, 0, 1, 1, 'items', 'x', 'I')");
is(one("SELECT concat_ws(' ', slot, opened) FROM exact._open_slot('1 min')"), '17 f',
	'a slot that is not known and not empty is not free');
one('DELETE FROM exact.stage_slot WHERE slot = 21');
is(one("SELECT concat_ws(' ', slot, opened) FROM exact._open_slot('1 min')"), '21 t', 'an empty one is');
is(one("SELECT concat_ws(' ', slot, opened) FROM exact._open_slot('1 min')"), '21 f',
	'and stays the one that is written');

$node->stop;
done_testing();
