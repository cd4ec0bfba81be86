# Versions that Databricks cannot take: they alone are put aside, the rest of their delivery arrives, later versions of
# their records pass, and exact.retry() delivers them once the cause is mended. Engine-free workspace.
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
	'exact_databricks.merge_rows' => '10000' });
deliver_to($node, $simulator);

sub one { return $node->safe_psql('postgres', $_[0]); }
sub select_field { one("INSERT INTO exact.entity_field (entity, name, selected) VALUES ('$_[0]', '$_[1]', $_[2]) "
	. "ON CONFLICT (entity, name) DO UPDATE SET selected = excluded.selected"); return; }
sub sent { return scalar statements($simulator, qr/^\/\* exact_databricks \S+ $_[0] /); }

# What is put aside of an entity: key column type reason state
sub letters
{
	my ($entity, $columns) = @_;
	$columns //= "concat_ws('|', key, column_name, value_type, reason, state)";
	return one("SELECT string_agg($columns, ' ; ' ORDER BY seq) FROM exact.dead_letter "
		. "WHERE side = 'delivery' AND entity = '$entity'");
}

# "key:value" of the rows of a table, in order
sub rows
{
	my ($table, $column) = @_;
	return join(' ', map { "$_->{_key}:" . ($_->{$column} // '-') . ($_->{_op} eq 'D' ? '!' : '') }
		sort { $a->{_key} cmp $b->{_key} || $a->{_seq} <=> $b->{_seq} } databricks_rows($simulator, $table));
}

# ten thousand rows in one batch, those of the list with a number that no column holds
sub stage_many
{
	my ($entity, $field, $prefix, $bad) = @_;
	one("WITH b AS (SELECT nextval('exact.batch_id') AS id), s AS (
			INSERT INTO exact.stage (slot, batch, ord, seq, division, entity, key, op, hash, payload)
			SELECT b.id % 64, b.id, i - 1, (1::bigint << 40) + nextval('exact.version_counter'), 1, '$entity',
				'$prefix' || i, 'I', sha256(''), format('{\"ID\":\"%s\",\"$field\":%s}', '$prefix' || i,
				CASE WHEN i IN ($bad) THEN '1e26' ELSE i::text END)
			FROM b, generate_series(1, 10000) AS i
			RETURNING *)
		INSERT INTO exact.batch (id, slot, workspace, division, entity, feed, epoch, rows, bytes, seq_min, seq_max)
		SELECT min(batch), min(slot), 'lake', 1, '$entity', '$entity', 1, count(*), sum(length(payload)), min(seq),
			max(seq) FROM s");
	one("SELECT exact._wake('loader')");
	wait_delivered($node, 180);
	return;
}

# one bad row in ten thousand, then a hundred: each delivery that meets them costs two statements more
foreach my $case ([ 'a', 'CostPriceStandard', '777', 1 ],
	[ 'b', 'GrossWeight', join(', ', map { $_ * 7 } 1 .. 100), 100 ])
{
	my ($prefix, $field, $bad, $number) = @$case;
	my $before = () = statements($simulator, qr/./);
	my (@sent, $story);

	stage_many('items', $field, $prefix, $bad);
	@sent = statements($simulator, qr/ items (history|current|check) /);
	is(one("SELECT count(*) FROM exact.dead_letter WHERE key LIKE '$prefix%' AND column_name = '$field' "
			. "AND state = 'dead'"), $number, "$number bad: alone put aside");
	is(scalar(grep { $_->{_key} =~ /^$prefix/ } databricks_rows($simulator, 'items')), 10000 - $number,
		"$number bad: the rest is delivered");
	@sent = grep { $_->{n} > $before && $_->{text} =~ /INSERT INTO|MERGE INTO|try_cast/ } @sent;
	$story = join(' ', map { ($_->{text} =~ /try_cast/ ? 'search' : ($_->{text} =~ / items (\w+)/)[0])
			. ($_->{state} eq 'FAILED' ? '!' : '') } @sent);
	like($story, qr/history! search history current/, "$number bad: four statements for a delivery that has them");
	unlike($story =~ s/history! search history current//r, qr/!|search/, "$number bad: no other one was refused");
}

# what there is to read of one
is(letters('glaccount'), '', 'nothing of glaccount yet');
stage($node, 1, 'glaccount', [ 'I', 'p', { ID => 'p', Code => 'p1', Type => 20 } ],
	[ 'I', 'q', { ID => 'q', Code => 'q1', Type => 99999999999 } ],
	[ 'I', 'r', '{"ID":"r","Code":"r1","Type":20.0}' ], [ 'I', 's', '{"ID":"s","Code":"s1","Type":"much"}' ]);
wait_delivered($node);
is(rows('glaccount', 'type'), 'p:20 r:20', '20.0 is 20 for a column of whole numbers');
is(letters('glaccount'), 'q|Type|number of 11 characters|the value of Type does not fit INT|dead ; '
		. 's|Type|text of 4 characters|the value of Type does not fit INT|dead', 'key, column, type and reason');
unlike(one('SELECT string_agg(l::text, chr(10)) FROM exact.dead_letter AS l'), qr/99999999999|much|1e26/,
	'no value is kept there');
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/99999999999|much|1e26/, 'nor in the log');
like(PostgreSQL::Test::Utils::slurp_file($node->logfile),
	qr/alarm division=1 entity=glaccount put_aside=\d+ key="q" reason="the value of Type does not fit INT"/,
	'the log has an alarm');
is(one('SELECT dead FROM exact.status WHERE division = 1'), '103', 'status counts them');
one("UPDATE exact.record SET hash = '' WHERE entity = 'glaccount'");
like(one("SELECT exact.explain(1, 'glaccount', 'q')"), pattern('^Put aside since .*: version .* \(new\); the value of ',
		'Type does not fit INT\. .*exact\.retry\(\d+\) tries it again'), 'explain() says so');
like(one("SELECT what FROM exact.trace(1, 'glaccount', 'q') WHERE step = 'put aside'"),
	qr/Type does not fit INT; SELECT/, 'so does trace()');
is(one("SELECT string_agg(concat_ws('|', key, state, regexp_replace(reason, '\\d+', 'n')), ' ' ORDER BY key) "
		. "FROM exact._open_rows('lake') WHERE entity = 'glaccount'"),
	join(' ', map { "$_|dead|the value of Type does not fit INT: exact.retry(n)" } 'q', 's'), 'exact_open names them');

# a later version of its record passes; a deletion takes its values from the last version that could be delivered
stage($node, 1, 'glaccount', [ 'U', 'q', { ID => 'q', Code => 'q2', Type => 21 } ],
	[ 'U', 'p', { ID => 'p', Code => 'p2', Type => 'x' } ], [ 'D', 'p', undef ], [ 'D', 's', undef ]);
wait_delivered($node);
is(rows('glaccount', 'code'), 'p:p1! q:q2 r:r1 s:-!', 'later versions and deletions pass');
is(letters('glaccount', "concat_ws(' ', key, state)"), 'q passed ; s passed ; p passed',
	'what newer versions have passed is no matter of the present');
is(one('SELECT dead FROM exact.status WHERE division = 1'), '101', 'status counts them no more');

# tried again before it is mended: dead again, or passed; then mended
my $id = one("SELECT id FROM exact.dead_letter WHERE entity = 'glaccount' AND key = 'q'");
one("SELECT exact.retry($id)");
wait_until('it was tried again', sub { one("SELECT times FROM exact.dead_letter WHERE id = $id") eq '2' });
is(one("SELECT state FROM exact.dead_letter WHERE id = $id"), 'passed', 'tried again in vain');
select_field('glaccount', 'Type', 'false');
select_field('items', 'CostPriceStandard', 'false');
is(one('SELECT exact.retry_all()'), '104', 'all are tried again');
wait_until('all are done or dead',
	sub { one("SELECT count(*) FROM exact.dead_letter WHERE state = 'retry'") eq '0' }, 60);
is(letters('glaccount', "concat_ws(' ', key, state)"), 'q done ; s done ; p done', 'mended: delivered');
is(rows('glaccount', 'code'), 'p:p1! q:q2 r:r1 s:-!', 'what is newer stays');
is(rows('glaccount_history', 'code'), 'p:p1 p:p2 p:p1! q:q1 q:q2 r:r1 s:s1 s:-!', 'and the history is whole');
is(one("SELECT string_agg(DISTINCT concat_ws(' ', column_name, state), ', ') FROM exact.dead_letter "
		. "WHERE entity = 'items'"), 'CostPriceStandard done, GrossWeight dead', 'each by its own column');
like(rows('items', '_op'), qr/\ba777:I\b/, 'the one in ten thousand is there');

# one more of that column: its type is the cause
stage($node, 1, 'items', [ 'I', 'c1', '{"ID":"c1","GrossWeight":1e30}' ],
	[ 'I', 'c2', { ID => 'c2', GrossWeight => 3 } ]);
wait_until('items is paused',
	sub { one("SELECT paused_since IS NOT NULL FROM exact.target_state WHERE entity = 'items'") eq 't' });
is(one("SELECT reason FROM exact.target_state WHERE entity = 'items'"),
	'more than 100 values of column GrossWeight of main.exact.items do not fit DECIMAL(28,10): the cause is the '
		. 'type of the column', 'a hundred and one pause the table');
select_field('items', 'GrossWeight', 'false');
one("SELECT exact.resume(1, 'items')");
wait_delivered($node);
is(one("SELECT count(*) FROM exact.dead_letter WHERE key LIKE 'c%'"), '0', 'deselected: nothing is put aside');

# a row that no statement can carry
stage($node, 1, 'costcenter', [ 'I', 'k', { ID => 'k', Code => 'k1', Description => 'long' x 1_200_000 } ],
	[ 'I', 'l', { ID => 'l', Code => 'l1' } ]);
wait_delivered($node, 60);
is(rows('costcenter', 'code'), 'l:l1', 'the row beside it is delivered');
is(letters('costcenter'), 'k|it is too long for a statement of Databricks|dead', 'a row that is too long');

# a row that a proxy, or the service, takes in no request: 413 of any form, and 400; alone aside, the rest is delivered
my $big = 0;
foreach my $form ('413', '400')
{
	my $key = 'big' . ++$big;
	control($simulator, 'POST', 'config', { body_limit => 75_000, body_limit_form => $form });
	stage($node, 1, 'costcenter', (map { [ 'I', "f$big$_", { ID => "f$big$_", Code => "f$big$_" } ] } 1 .. 5),
		[ 'I', $key, { ID => $key, Code => $key, Description => 'wide' x 20_000 } ],
		(map { [ 'I', "g$big$_", { ID => "g$big$_", Code => "g$big$_" } ] } 1 .. 5));
	wait_delivered($node, 60);
	is(scalar(grep { $_->{_key} =~ /^[fg]$big/ } databricks_rows($simulator, 'costcenter')), 10,
		"$form: the rows beside it are delivered");
	is(one("SELECT reason || ' ' || state FROM exact.dead_letter WHERE key = '$key'"),
		'Databricks refuses a request of its size dead', 'the row is put aside');
	control($simulator, 'POST', 'config', { body_limit => 0 });
	one("SELECT exact.retry(id) FROM exact.dead_letter WHERE key = '$key'");
	wait_until('it is tried again', sub { one("SELECT state FROM exact.dead_letter WHERE key = '$key'") eq 'done' });
}

# a constraint that somebody gave a table is named, and the rows that do not meet it are put aside: CHECK and NOT NULL
my $sql = 'ALTER TABLE main.exact.costunit';
stage($node, 1, 'costunit', [ 'I', 'u', { ID => 'u', Code => 'u1', Description => 'x' } ]);
wait_delivered($node);
control($simulator, 'POST', 'sql', { statement => "$sql ADD CONSTRAINT good_code CHECK (Code <> 'bad')" });
my $before = () = statements($simulator, qr/./);
stage($node, 1, 'costunit', [ 'I', 'v', { ID => 'v', Code => 'bad' } ], [ 'U', 'u', { ID => 'u', Code => 'u2' } ],
	[ 'I', 'w', { ID => 'w', Code => 'bad' } ], [ 'D', 'w', undef ], [ 'I', 'y', { ID => 'y', Code => 'y1' } ]);
wait_delivered($node, 60);
is(rows('costunit', 'code'), 'u:u2 y:y1', 'a constraint: what meets it is delivered');
is(letters('costunit', "concat_ws('|', key, column_name, reason, state)"), join(' ; ',
		'v|it does not meet the constraint good_code of main.exact.costunit|dead',
		'w|it does not meet the constraint good_code of main.exact.costunit|dead',
		'w|it does not meet the constraint good_code of main.exact.costunit|dead'), 'its name');
control($simulator, 'POST', 'sql', { statement => "$sql DROP CONSTRAINT good_code" });
one('SELECT exact.retry_all()');
wait_until('all of costunit are done',
	sub { one("SELECT count(*) FROM exact.dead_letter WHERE entity = 'costunit' AND state <> 'done'") eq '0' }, 60);
is(rows('costunit', 'code'), 'u:u2 v:bad w:bad! y:y1', 'the constraint is gone: delivered');

# what was put aside is not missed when the tables are counted
one('SELECT exact.restart_workers()');
wait_for_workers($node, 'postgres');
stage($node, 1, 'costcenter', [ 'U', 'l', { ID => 'l', Code => 'l2' } ]);
ok(eval { wait_delivered($node, 60) }, 'a new process counts the tables and goes on');
$node->stop;
done_testing();
