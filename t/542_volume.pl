# What is more than one statement carries goes through the workspace's volume: all divisions at once, in two MERGEs.
# Nobody who deletes files and no volume that is missing, full or not granted loses or doubles a row, or leaves a file
# for long; bad rows in a file of EXACT_DATABRICKS_FILE_ROWS rows (default 20,000) hold no other one back. Answers that
# are lost and processes that are killed: t/549_lost_answers.pl. Engine-free workspace.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $data = PostgreSQL::Test::Utils::tempdir;
my $simulator = simulator(engine => 'none', slots => 8, data => $data);
my $node = exact_cluster('main', conf => { 'exact_databricks.merge_interval' => "'10ms'",
	'exact_databricks.merge_rows' => '20', 'restart_after_crash' => 'on' });
deliver_to($node, $simulator);

my $statements = '^/api/2.0/sql/statements$';
my $files = '^/api/2.0/fs/files/';
my $who = $simulator->{info}{client_id};
my ($n, $checked) = (0, 0);
my $file_rows = $ENV{EXACT_DATABRICKS_FILE_ROWS} // 20_000;

sub one { return $node->safe_psql('postgres', $_[0]); }
sub owner { return control($simulator, 'POST', 'sql', { statement => $_[0] }); }
sub log_text { return slurp_file($node->logfile); }

sub check_row
{
	return one("SELECT concat_ws(' | ', result, finding, fix) FROM exact.check() WHERE rule LIKE 'volume %'");
}


# What the volume holds, without its own directory
sub left
{
	my @found = glob("$data/volumes/main/exact/files/exact_databricks/*/*/*");
	return join(' ', map { s{.*/exact_databricks/}{}r } @found);
}

# A batch of so many new rows of a division; the numbers of the bad ones, if there are any
sub stage_rows
{
	my ($division, $rows, @bad) = @_;
	my $first = $n + 1;
	my $bad = join(', ', @bad, 0);

	$n += $rows;
	one("WITH b AS (SELECT nextval('exact.batch_id') AS id), s AS (
			INSERT INTO exact.stage (slot, batch, ord, seq, division, entity, key, op, hash, payload)
			SELECT b.id % 64, b.id, i - $first, (1::bigint << 40) + nextval('exact.version_counter'), $division,
				'items',
				'k' || i, 'I', sha256(''), format('{\"ID\":\"%s\",\"Description\":\"it''s %s \\\\ \\u20ac\",'
				'\"CostPriceStandard\":%s}', 'k' || i, i, CASE WHEN i IN ($bad) THEN '1e26' ELSE i::text END)
			FROM b, generate_series($first, $n) AS i
			RETURNING *)
		INSERT INTO exact.batch (id, slot, workspace, division, entity, feed, epoch, rows, bytes, seq_min, seq_max)
		SELECT min(batch), min(slot), 'lake', $division, 'items', 'items', 1, count(*), sum(length(payload)), min(seq),
			max(seq) FROM s");
	return;
}

sub wake { one("SELECT exact._wake('loader')"); return; }

# Two batches of each division at once
sub stage_some
{
	one('UPDATE exact.workspace SET enabled = false');
	stage_rows($_, 12) foreach 1, 2, 1, 2;
	one('UPDATE exact.workspace SET enabled = true');
	return;
}

# Each row once in both tables, nothing waits
sub check_truth
{
	my ($what, $seconds, $aside) = @_;
	my $wanted = $n - ($aside // 0);

	ok(eval { wait_delivered($node, $seconds // 60) }, "$what: delivered");
	foreach my $table ('items', 'items_history')
	{
		my $answer = owner("SELECT count(*), count(DISTINCT _key) FROM main.exact.$table");
		is(join(' ', @{ $answer->{rows}[0] }), "$wanted $wanted", "$what: $table has each row once");
	}
	wait_until("$what: no file is left", sub { left() eq '' });
	return;
}

# Statements with rows since the last call, as "history current"
sub story
{
	my @sent = grep { $_->{n} > $checked } statements($simulator, qr/ items (history|current|check) /);

	$checked = $_->{n} foreach sort { $a->{n} <=> $b->{n} } statements($simulator, qr/./);
	return join(' ', map { ($_->{text} =~ /try_cast/ ? 'search' : ($_->{text} =~ / items (\w+)/)[0])
			. ($_->{text} =~ /text\.`/ ? '' : ':inline') . ($_->{state} eq 'FAILED' ? '!' : '') } @sent);
}

sub kill_loader
{
	my $pid = worker_pid($node, 'postgres', 'loader');

	kill 'KILL', $pid;
	wait_until('another loader runs', sub { my $new = worker_pid($node, 'postgres', 'loader');
		$new ne '' && $new ne $pid }, 60);
	return;
}

# without a volume the rows go as parameters
stage_some();
check_truth('no volume');
is(scalar(() = story() =~ /history:inline/g), 3, 'no volume: a statement for each twenty rows');
like(check_row(), qr/^ok \| none: a volume would have saved little/, 'no volume: so few MERGEs need none');

# one that is configured but not there: the rows go all the same
one("UPDATE exact.workspace SET volume = 'files'");
stage_some();
check_truth('missing');
like(story(), qr/^(history:inline current:inline ?){3}$/, 'missing: as parameters');
like(check_row(), pattern('^warn \| deliveries go without files: .*does not exist.* \| ',
		'CREATE VOLUME IF NOT EXISTS main\.exact\.files; '), 'missing: check() says so, and what to do');
is(scalar(() = log_text() =~ /volume=main\.exact\.files cannot be used/g), 1, 'missing: one alarm');

# there, but not granted; reading alone is not enough, writing neither
owner('CREATE VOLUME main.exact.files');
foreach my $grant ('', 'READ VOLUME', 'WRITE VOLUME')
{
	owner("REVOKE READ VOLUME, WRITE VOLUME ON VOLUME main.exact.files FROM `$who`");
	owner("GRANT $grant ON VOLUME main.exact.files TO `$who`") if $grant;
	stage_some();
	check_truth("granted '$grant'", 60) if $grant ne 'WRITE VOLUME';
	ok(eval { wait_delivered($node, 60) }, "granted '$grant': delivered");
	like(check_row(), qr/^warn \| deliveries go without files: .*VOLUME.* \| .*GRANT READ VOLUME, WRITE VOLUME ON /,
		"granted '$grant': check() says so");
}
owner("GRANT READ VOLUME, WRITE VOLUME ON VOLUME main.exact.files TO `$who`");

# two batches of each of two divisions: one history and one current MERGE
story();
stage_some();
check_truth('granted');
is(story(), 'history current', 'granted: two MERGEs for four batches of two divisions');
like(log_text(), qr/delivered table=items rows=48 batches=4 divisions=2 files=1 /, 'granted: one file');
like(check_row(), qr/^ok \| files can be used/, 'granted: check() says so');
is(one("SELECT count(*) FROM exact.volume_state WHERE reason IS NULL"), '1', 'granted: it is known to work');

# on each side of the limit
one('UPDATE exact.workspace SET enabled = false');
stage_rows(1, 20);
one('UPDATE exact.workspace SET enabled = true');
check_truth('as many as a statement carries');
is(story(), 'history:inline current:inline', 'as many as a statement carries: inline');
stage_rows(1, 21);
wake();
check_truth('one more');
is(story(), 'history current', 'one more: through the volume');

# what the rules find of many versions that Delta has: more than are read at a time (500) go through the volume
sub judged
{
	my ($rows) = @_;
	my $count = "SELECT count(*) FROM exact.statement_log WHERE entity = 'purchaseentries'
		AND kind IN ('history', 'current')";
	my $before = one($count);

	one("INSERT INTO exact.verdict (batch, ord, slot, workspace, division, entity, key, seq, problems, again)
		SELECT s.batch, s.ord, s.slot, 'lake', s.division, s.entity, s.key, s.seq, 'odd', true
		FROM exact.stage AS s WHERE s.entity = 'purchaseentries' ORDER BY s.seq LIMIT $rows");
	wake();
	wait_until("$rows versions: told", sub { one('SELECT count(*) FROM exact.verdict WHERE again') eq '0' }, 60);
	my $answer = owner('SELECT count(*), count(CASE WHEN NOT _valid THEN 1 END) FROM main.exact.purchaseentries');
	is(join(' ', @{ $answer->{rows}[0] }), "501 $rows", "$rows versions: marked, and each row is there once");
	one("UPDATE exact.verdict SET problems = NULL, again = true, changed_at = clock_timestamp()");
	wake();
	wait_until("$rows versions: taken back", sub { one('SELECT count(*) FROM exact.verdict') eq '0' }, 60);
	return one($count) - $before;
}

one("WITH b AS (SELECT nextval('exact.batch_id') AS id), s AS (
		INSERT INTO exact.stage (slot, batch, ord, seq, division, entity, key, op, hash, payload)
		SELECT b.id % 64, b.id, i - 1, (1::bigint << 40) + nextval('exact.version_counter'), 1 + i % 2,
			'purchaseentries', 'e' || i, 'I', sha256(''), format('{\"EntryID\":\"e%s\",\"AmountDC\":%s}', i, i)
		FROM b, generate_series(1, 501) AS i
		RETURNING *)
	INSERT INTO exact.batch (id, slot, workspace, division, entity, feed, epoch, rows, bytes, seq_min, seq_max)
	SELECT min(batch), min(slot), 'lake', 1, 'purchaseentries', 'purchaseentries', 1, count(*), sum(length(payload)),
		min(seq), max(seq) FROM s");
wake();
ok(eval { wait_delivered($node, 60) }, 'documents: delivered');
is(judged(501), 4, '501 versions: two MERGEs to mark them, two to take it back');
is(judged(500), 4, '500 versions: the same');
is(judged(499), 100, '499 versions: inline, twenty a statement');
wait_until('no file is left of them', sub { left() eq '' });

# a file that somebody deletes, and one that somebody cuts, before it is read
foreach my $case ([ 'deleted', sub { unlink $_[0] } ], [ 'cut', sub { truncate $_[0], 100 } ],
	[ 'empty', sub { truncate $_[0], 0 } ])
{
	my ($what, $harm) = @$case;
	my $fault = workspace_fault($simulator, path => $statements, statement => of_kind('history'), action => 'delay',
		seconds => 2);
	my @found;

	stage_some();
	wait_until("$what: the statement is on its way", sub { fault_count($simulator, $fault) == 1 });
	@found = glob("$data/volumes/main/exact/files/exact_databricks/*/*/*");
	is(scalar(@found), 1, "$what: one file");
	$harm->($_) foreach @found;
	check_truth($what);
	like(story(), qr/history!.* history current$/, "$what: put again");
}
is(one("SELECT count(*) FROM exact.target_state WHERE paused_since IS NOT NULL"), '0', 'no table is paused for it');

# files of another hub are none of ours; ours that nobody needs are swept at the next start
my ($own) = glob("$data/volumes/main/exact/files/exact_databricks/*/items");
mkdir "$data/volumes/main/exact/files/exact_databricks/$_" foreach 'other', 'other/items';
append_to_file("$data/volumes/main/exact/files/exact_databricks/other/items/1-2-ab.jsonl.gz", 'theirs');
append_to_file("$own/1-2-cd.jsonl.gz", 'ours');
kill_loader();
stage_rows(1, 1);
wake();
ok(eval { wait_delivered($node, 60) }, 'swept: delivered');
is(left(), 'other/items/1-2-ab.jsonl.gz', 'swept: ours are gone, theirs stay');
unlink "$data/volumes/main/exact/files/exact_databricks/other/items/1-2-ab.jsonl.gz";

# a volume that takes nothing more, and one whose host is away: after some tries the rows go without it
my $full = workspace_fault($simulator, path => $files, method => 'PUT', action => 'status', status => 500, times => -1);
stage_some();
check_truth('full', 120);
like(check_row(), qr/^warn \| deliveries go without files: .* \| Look who else .* in main\.exact\.files; /,
	'full: check() says so');
control($simulator, 'DELETE', "faults/$full");
one("UPDATE exact.workspace SET merge_interval = '11ms'");

# one bad row in a file of many, and a hundred: they alone are put aside, after few statements
$node->safe_psql('postgres', 'ALTER SYSTEM SET exact_databricks.merge_rows = 5000');
$node->reload;
wait_delivered($node);
my $aside = 0;
foreach my $wanted (1, 100)
{
	my @bad = map { $n + int($file_rows * $_ / ($wanted + 1)) } 1 .. $wanted;
	my $begun = time;

	story();
	one('DELETE FROM exact.dead_letter');
	stage_rows(1, $file_rows, @bad);
	wake();
	check_truth("bad rows: $wanted", 300, $aside += $wanted);
	is(story(), 'history! search history current', "bad rows: $wanted: four statements");
	is(one("SELECT string_agg(DISTINCT concat_ws('|', column_name, value_type, state), ', ') || ' ' || "
			. "string_agg(key, ' ' ORDER BY length(key), key) FROM exact.dead_letter"),
		join(' ', 'CostPriceStandard|number of 4 characters|dead', map { "k$_" } @bad),
		"bad rows: $wanted: alone put aside");
	note("bad rows: $wanted of $file_rows, the others delivered after " . (time - $begun) . ' s');
}

$node->stop;
done_testing();
