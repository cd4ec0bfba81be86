# exact.replay(): versions of a window are delivered again; rows that Delta has lost come back, none is there twice, no
# older version replaces a newer one, live deliveries go on. Engine-free workspace.
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
	'restart_after_crash' => 'on' });
deliver_to($node, $simulator);

sub one { return $node->safe_psql('postgres', $_[0]); }
sub owner { return control($simulator, 'POST', 'sql', { statement => $_[0] }); }

# A batch of versions of items k1 … kN, version v, staged at a moment
sub stage_rows
{
	my ($rows, $v, $at) = @_;

	one("WITH b AS (SELECT nextval('exact.batch_id') AS id), s AS (
			INSERT INTO exact.stage (slot, batch, ord, seq, division, entity, key, op, at, hash, payload)
			SELECT b.id % 64, b.id, i - 1, (1::bigint << 40) + nextval('exact.version_counter'), 1, 'items', 'k' || i,
				'U', '$at', sha256(''), format('{\"ID\":\"k%s\",\"Description\":\"version %s\"}', i, $v)
			FROM b, generate_series(1, $rows) AS i
			RETURNING *), r AS (
			INSERT INTO exact.record AS r (division, entity, key, seq, slot, batch, ord)
			SELECT division, entity, key, seq, slot, batch, ord FROM s
			ON CONFLICT (division, entity, key) DO UPDATE
				SET seq = excluded.seq, slot = excluded.slot, batch = excluded.batch, ord = excluded.ord)
		INSERT INTO exact.batch (id, slot, workspace, division, entity, feed, epoch, rows, bytes, seq_min, seq_max,
			staged_at)
		SELECT min(batch), min(slot), 'lake', 1, 'items', 'items', 1, count(*), sum(length(payload)), min(seq),
			max(seq), '$at' FROM s");
	one("SELECT exact._wake('loader')");
	return;
}

sub replayed
{
	my ($since, $until, $division) = @_;
	my $id = one("SELECT exact.replay('items', $since, $until, " . ($division // 'NULL') . ')');

	is(one("SELECT exact.wait($id, '2 min')"), 'done', "replay from $since until $until: done");
	return one("SELECT result FROM exact.request WHERE id = $id");
}

# Rows of both tables, and how many show each version
sub truth
{
	my @found;

	foreach my $sql ('SELECT count(*), count(DISTINCT _key) FROM main.exact.items',
		'SELECT count(*), count(DISTINCT _seq) FROM main.exact.items_history',
		"SELECT count(CASE WHEN description = 'version 1' THEN 1 END), count(CASE WHEN description = 'version 2' THEN 1"
			. " END), count(CASE WHEN description = 'version 3' THEN 1 END) FROM main.exact.items")
	{
		push @found, join(' ', @{ owner($sql)->{rows}[0] });
	}
	return join(' | ', @found);
}

stage_rows(600, 1, '2026-03-01 10:00+00');
stage_rows(300, 2, '2026-03-02 10:00+00');
stage_rows(100, 3, '2026-03-03 10:00+00');
ok(eval { wait_delivered($node, 60) }, 'delivered');
my $whole = '600 600 | 1000 1000 | 300 200 100';
is(truth(), $whole, 'before');

# bad input
foreach my $case ([ "NULL, '2026-01-01', '2026-02-01'", 'EX015', 'no entity' ],
	[ "'finance', '2026-01-01', '2026-02-01'", 'EX015', 'more than one entity' ],
	[ "'items', '2026-02-01', '2026-02-01'", 'EX021', 'an empty window' ],
	[ "'items', '2026-03-02', '2026-03-01'", 'EX021', 'a window that ends before it begins' ],
	[ "'items', '2026-03-03 10:00:00.000001+00', NULL", 'EX018', 'a window behind the last version' ],
	[ "'items', NULL, '2026-03-01 10:00+00'", 'EX018', 'a window that ends at the first version' ],
	[ "'items', NULL, NULL, 77", 'EX021', 'a division that is not there' ])
{
	my ($args, $code, $what) = @$case;
	my (undef, undef, $error) = $node->psql('postgres', "\\set VERBOSITY verbose\nSELECT exact.replay($args)");

	like($error, qr/$code/, "$what: $code");
}

# nothing is lost: the same again
is(replayed('NULL', 'NULL'), '1000 versions of 3 batches', 'everything: as many as there are');
is(truth(), $whole, 'everything: no row is there twice, none shows an older version');
is(replayed("'2026-03-02 10:00+00'", "'2026-03-03 10:00+00'"), '300 versions of 1 batches',
	'a window takes its first moment in and leaves its last out');
is(truth(), $whole, 'a window: the same');

# rows that Delta has lost: a window brings the newest versions in it back, and none that was replaced
owner("DELETE FROM main.exact.items WHERE _key IN ('k1', 'k150', 'k500')");
owner("DELETE FROM main.exact.items_history WHERE _key IN ('k1', 'k150', 'k500')");
is(replayed("'2026-03-01'", "'2026-03-02'"), '600 versions of 1 batches', 'the first day');
is(truth(), '598 598 | 997 997 | 300 199 99', 'the first day: k500, whose newest version it is, and no old k1 or k150');
is(replayed("'2026-03-02'", 'NULL'), '400 versions of 2 batches', 'the other days');
is(truth(), $whole, 'the other days: all is whole');

# what somebody has written over is as the hub has it
owner("UPDATE main.exact.items SET description = 'edited' WHERE _key = 'k7'");
replayed("'2026-03-03'", 'NULL');
is(truth(), $whole, 'an edited row is as the hub has it');

# meanwhile nothing is late, nothing is told to be open, and new versions go
my $fault = workspace_fault($simulator, path => '^/api/2.0/sql/statements$', statement => of_kind('history'),
	action => 'slow', seconds => 3);
my $id = one("SELECT exact.replay('items', NULL, NULL)");
wait_until('under way', sub { fault_count($simulator, $fault) == 1 });
is(one("SELECT count(*) FROM exact._open_rows('lake')"), '0', 'under way: nothing is open');
is(one("BEGIN; INSERT INTO exact.feed (division, entity, enabled) VALUES (1, 'items', true);
		SELECT waiting > 0, waiting_since IS NULL FROM exact._feed WHERE entity = 'items' AND division = 1;
		ROLLBACK"), 't|t', 'under way: it waits, and nothing is late');
stage_rows(5, 4, '2026-03-04 10:00+00');
is(one("SELECT exact.wait($id, '2 min')"), 'done', 'under way: done');
ok(eval { wait_delivered($node, 60) }, 'under way: the new versions are delivered');
is(truth(), '600 600 | 1005 1005 | 300 200 95', 'under way: and shown');

# cancelled, and killed
$fault = workspace_fault($simulator, path => '^/api/2.0/sql/statements$', statement => of_kind('history'),
	action => 'slow', seconds => 3);
$id = one("SELECT exact.replay('items', NULL, NULL)");
wait_until('killed: under way', sub { fault_count($simulator, $fault) == 1 });
my $pid = worker_pid($node, 'postgres', 'loader');
kill 'KILL', $pid;
wait_until('killed: another loader runs', sub { my $new = worker_pid($node, 'postgres', 'loader');
	$new ne '' && $new ne $pid }, 60);
is(one("SELECT exact.wait($id, '2 min')"), 'done', 'killed: done');
is(truth(), '600 600 | 1005 1005 | 300 200 95', 'killed: nothing is there twice');
$fault = workspace_fault($simulator, path => '^/api/2.0/sql/statements$', statement => of_kind('history'),
	action => 'slow', seconds => 3);
$id = one("SELECT exact.replay('items', NULL, NULL)");
wait_until('cancelled: under way', sub { fault_count($simulator, $fault) == 1 });
one("SELECT exact.cancel($id)");
like(one("SELECT exact.wait($id, '2 min')"), qr/^(cancelled|done)$/, 'cancelled: it ends');
is(one('SELECT count(*) FROM exact.batch WHERE delivered_at IS NULL'), '0', 'cancelled: nothing waits');
is(truth(), '600 600 | 1005 1005 | 300 200 95', 'cancelled: all is whole');
is(one("SELECT has_function_privilege('exact_reader', 'exact.replay(text, timestamptz, timestamptz, int)', 'EXECUTE')"),
	'f', 'a reader may not');

$node->stop;
done_testing();
