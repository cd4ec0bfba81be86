# What finance edits in the Delta table of a dimension: read before a delivery and recorded once; an edit that is made
# between the reading and the MERGE is kept; copies, rows without key, rows of strangers, rows that are gone.
# Engine-free workspace, or real Spark with EXACT_TEST_ENGINE=spark.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use JSON::PP ();
use Test::More;

my $engine = $ENV{EXACT_TEST_ENGINE} // 'none';
my $seconds = $engine eq 'none' ? 60 : 600;
my $simulator = simulator(engine => $engine, seconds => 180);
my $node = exact_cluster('main', conf => { 'exact_databricks.merge_interval' => "'10ms'" });
deliver_to($node, $simulator);

sub one { return $node->safe_psql('postgres', $_[0]); }
sub in_databricks { return control($simulator, 'POST', 'sql', { statement => $_[0] }); }

sub id { return sprintf '00000000-0000-4000-8000-%012d', $_[0]; }

sub center
{
	my ($n, %fields) = @_;
	return { ID => id($n), Code => "c$n", Description => "center $n", Active => JSON::PP::true, %fields };
}

# As the fetcher does in the transaction that stages: exact.cost_center knows the versions, too.
one(<<'SQL');
CREATE FUNCTION public.learn() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE exact.record AS r SET seq = s.seq, deleted = s.op = 'D'
	FROM exact.stage AS s
	WHERE s.slot = new.slot AND s.batch = new.id AND r.division = s.division AND r.entity = s.entity
		AND r.key = s.key;
	PERFORM set_config('role', 'exact_worker', true);
	PERFORM exact._dimension_learn(new.division, new.entity, new.slot, new.id);
	PERFORM set_config('role', 'none', true);
	RETURN NULL;
END $$;
CREATE TRIGGER learn AFTER INSERT ON exact.batch FOR EACH ROW EXECUTE FUNCTION public.learn();
SQL

# Stages versions; then all is delivered.
sub deliver
{
	my (@rows) = @_;
	stage($node, 1, 'costcenter', @rows);
	wait_delivered($node, $seconds);
	return;
}

# What the fetcher does of its own: whoever is to be delivered once more is staged as it is.
sub again
{
	my $keys = one("SELECT string_agg(key, ',') FROM exact.dimension_again WHERE entity = 'costcenter'");
	one("DELETE FROM exact.dimension_again");
	deliver(map { [ 'U', $_, JSON::PP->new->decode(one("SELECT exact._content(slot, batch, ord) FROM exact.record "
				. "WHERE division = 1 AND entity = 'costcenter' AND key = '$_'")) ] } split /,/, $keys);
	return $keys;
}

sub row
{
	my ($n) = @_;
	my @found = grep { ($_->{_key} // '') eq id($n) } databricks_rows($simulator, 'costcenter');
	return @found == 1 ? $found[0] : { error => scalar(@found) . ' rows' };
}

sub read_now
{
	my $request = one("SELECT exact.read_dimensions('lake')");
	my $state = one("SELECT exact.wait($request, '5 min')");
	return "$state: " . one("SELECT result FROM exact.request WHERE id = $request");
}

my $seen = 0;

# What has been recorded since the last call
sub changes
{
	my $list = one("SELECT string_agg(concat_ws(' ', kind, coalesce(substr(key, 35), '-'), coalesce(code, '-'), field, "
		. "state, reason), '; ' ORDER BY id) FROM exact.dimension_change WHERE id > $seen");
	$seen = one("SELECT coalesce(max(id), 0) FROM exact.dimension_change");
	return $list;
}

# a table of the hub: users may insert rows that have no more than what they know
deliver(map { [ 'I', id($_), center($_) ] } 1 .. 30);
like(row(1)->{_hash}, qr/^v1:[0-9a-f]{8}:[0-9a-f]{64}$/, 'every row has its hash');
my %hashes = map { $_->{_hash} => 1 } databricks_rows($simulator, 'costcenter');
is(scalar(keys %hashes), 30, 'each its own');
is(read_now(), 'done: 1 of 1 tables read', 'nothing is edited');
is(changes(), '', 'and nothing recorded');

# an edit is read before the delivery that would write over it
in_databricks("UPDATE main.exact.costcenter SET Description = 'edited' WHERE Code = 'c1'");
deliver([ 'U', id(1), center(1, Description => 'newer') ]);
like(changes(), qr/^update 01 c1 Description lost Exact Online has changed [^;]*$/, 'it is recorded, by field');
is(row(1)->{description}, 'newer', 'and written over, since it is known');
is(one("SELECT count(*) FROM exact.dimension_known WHERE key = '" . id(1) . "'"), '0', 'then it is forgotten');
is(read_now(), 'done: 1 of 1 tables read', 'read again');
is(changes(), '', 'it is recorded once');

again();

# an edit that falls between the reading and the MERGE is kept, and comes back
workspace_fault($simulator, statement => 'costcenter current ', action => 'between',
	sql => "UPDATE main.exact.costcenter SET Description = 'between' WHERE Code = 'c2'");
deliver([ 'U', id(2), center(2, Description => 'newer') ], [ 'U', id(3), center(3, Description => 'newer') ]);
is(row(3)->{description}, 'newer', 'its neighbour is delivered');
wait_until('the edit is recorded', sub { one("SELECT count(*) FROM exact.dimension_change WHERE id > $seen") ne '0' },
	$seconds);
is(row(2)->{description}, 'between', 'the edit is kept');
is(one("SELECT count(*) FROM exact.target_state WHERE paused_since IS NOT NULL"), '0', 'a key that was kept is no gap');
like(changes(), qr/^update 02 c2 Description lost Exact Online has changed [^;]*$/, 'and recorded');
is(again(), id(2), 'the version comes once more');
is(row(2)->{description}, 'newer', 'over the edit that is known now');
is(changes(), '', 'which is not recorded again');

# what a reading meets
in_databricks("INSERT INTO main.exact.costcenter (Code, Description) VALUES ('n1', 'no division')");
in_databricks("INSERT INTO main.exact.costcenter (_division, Code, Description) VALUES (1, 'n2', 'new')");
in_databricks("INSERT INTO main.exact.costcenter (_division, Code, Description) "
	. "VALUES (1, 'n3', 'one'), (1, 'N3 ', 'two')");
in_databricks("INSERT INTO main.exact.costcenter (_division, Code, Description) VALUES (77, 'n4', 'a stranger')");
in_databricks("INSERT INTO main.exact.costcenter (_key, Description) VALUES (NULL, NULL)");
in_databricks("INSERT INTO main.exact.costcenter SELECT * FROM main.exact.costcenter WHERE Code = 'c4'");
in_databricks("DELETE FROM main.exact.costcenter WHERE Code = 'c5'");
is(read_now(), 'done: 1 of 1 tables read', 'rows that are nobody\'s');
my $changes = changes();
like($changes, qr/new - n2 /, 'a new row');
like($changes, qr/new - - refused division null is not delivered to workspace lake/, 'one of nothing but nulls');
like($changes, qr/new - n1 refused division null/, 'one without a division, of which there are two');
like($changes, qr/new - n3 refused two rows/, 'two new rows of one code');
like($changes, qr/new - N3  refused two rows/, 'both');
like($changes, qr/new - n4 refused division 77/, 'a row of a division that is not ours');
like($changes, qr/update 04 c4 refused two rows/, 'a copy of a row');
like($changes, qr/gone 05 /, 'a row that is gone');
is(read_now(), 'done: 1 of 1 tables read', 'read again');
is(changes(), '', 'each is judged once');
deliver([ 'U', id(4), center(4, Description => 'newer') ]);
is(join(' ', map { $_->{description} } grep { ($_->{_key} // '') eq id(4) } databricks_rows($simulator, 'costcenter')),
	'newer newer', 'both copies of a row are delivered');
is(one("SELECT count(*) FROM exact.target_state WHERE paused_since IS NOT NULL"), '0', 'and nothing pauses');
in_databricks("DELETE FROM main.exact.costcenter WHERE Code IS NULL OR Code IN ('c4', 'n1', 'n3', 'N3 ', 'n4')");
deliver([ 'U', id(4), center(4) ]);
is(row(4)->{description}, 'center 4', 'one again');

# a new row gets the key of the record that Exact Online made of it
one("UPDATE exact.dimension_change SET key = '" . id(40) . "', state = 'done' WHERE code = 'n2'");
deliver([ 'I', id(40), center(40, Code => 'n2', Description => 'new') ]);
is(row(40)->{_op}, 'I', 'adopted, and delivered over');
is(scalar(grep { ($_->{code} // '') eq 'n2' } databricks_rows($simulator, 'costcenter')), 1, 'there is one row of it');
cmp_ok(row(40)->{_seq}, '>', 0, 'with its version');

# what Exact Online fills itself is nobody's to edit: it is not looked at, and the next version has it right
in_databricks("UPDATE main.exact.costcenter SET CreatorFullName = 'me' WHERE Code = 'c7'");
is(read_now(), 'done: 1 of 1 tables read', 'a field that cannot be written');
changes();
is(one("SELECT count(*) FROM exact.dimension_change WHERE code = 'c7'"), '0', 'is no edit');
deliver([ 'U', id(7), center(7, CreatorFullName => 'Ann', Creator => 's1') ]);
is(row(7)->{creatorfullname}, 'Ann', 'and is written over');

# many new rows at once: each gets its own key
my $many = 150;
in_databricks('INSERT INTO main.exact.costcenter (_division, Code, Description) VALUES '
	. join(', ', map { "(1, 'm$_', 'many')" } 1 .. $many));
is(read_now(), 'done: 1 of 1 tables read', "$many new rows");
is(() = changes() =~ /new - m\d+ shown/g, $many, 'each is found');
one("UPDATE exact.dimension_change SET key = '00000000-0000-4000-8000-' || lpad(substr(code, 2), 12, 'f'), "
	. "state = 'done' WHERE code ~ '^m'");
my @made = split /\n/, one("SELECT key || ' ' || code FROM exact.dimension_change WHERE code ~ '^m' ORDER BY id");
deliver(map { my ($key, $code) = split / /;
	[ 'I', $key, { ID => $key, Code => $code, Description => 'many' } ] } @made);
my @found = grep { ($_->{code} // '') =~ /^m/ } databricks_rows($simulator, 'costcenter');
is(scalar(grep { ($_->{_seq} // 0) > 0 } @found), $many, 'each has a key and its version');
is(scalar(@found), $many, 'and is there once');
is(one("SELECT count(*) FROM exact.dimension_known WHERE code ~ '^m'"), '0', 'nothing of it is kept');

# _seq raised by hand, or taken away: found, told, and the row goes on
one('DELETE FROM exact.dimension_again');
in_databricks("UPDATE main.exact.costcenter SET `_seq` = `_seq` + 1000000 WHERE Code = 'c7'");
in_databricks("UPDATE main.exact.costcenter SET `_seq` = 9223372036854775807, Description = 'raised' "
	. "WHERE Code = 'c8'");
in_databricks("UPDATE main.exact.costcenter SET `_seq` = NULL WHERE Code = 'c9'");
changes();
is(read_now(), 'done: 1 of 1 tables read', 'versions that are not the hub\'s');
$changes = changes();
like($changes, qr/update 0$_ c$_ _seq refused _seq of a row belongs to the hub/, "c$_ is told") for 7 .. 9;
like($changes, qr/update 08 c8 Description /, 'and what else was edited');
is(again(), join(',', map { id($_) } 7 .. 9), 'each comes once more');
is(join(' ', map { row($_)->{description} } 7 .. 9), 'center 7 center 8 center 9', 'as the hub has it');
is(scalar(grep { row($_)->{_seq} > 1 && row($_)->{_seq} < 2 ** 62 } 7 .. 9), 3, 'with a version of the hub');
deliver([ 'U', id(7), center(7, Description => 'later') ]);
is(row(7)->{description}, 'later', 'and takes the next');
is(read_now(), 'done: 1 of 1 tables read', 'read again');
is(changes(), '', 'told once');

# _deleted or _op changed by hand: no delete, and no revival; told, and the row goes on as it was
deliver([ 'D', id(10), undef ]);
one('DELETE FROM exact.dimension_again');
in_databricks("UPDATE main.exact.costcenter SET `_deleted` = true WHERE Code = 'c7'");
in_databricks("UPDATE main.exact.costcenter SET `_op` = NULL, Description = 'odd' WHERE Code = 'c8'");
in_databricks("UPDATE main.exact.costcenter SET `_deleted` = NULL, `_op` = 'X' WHERE Code = 'c9'");
in_databricks("UPDATE main.exact.costcenter SET `_deleted` = false WHERE Code = 'c10'");
is(read_now(), 'done: 1 of 1 tables read', 'marks that are not the hub\'s');
$changes = changes();
like($changes, qr/update 0$_ c$_ _deleted refused _deleted and _op of a row belong to the hub/, "c$_ is told")
	for 7 .. 9;
like($changes, qr/update 08 c8 Description shown/, 'and what else was edited');
is(() = $changes =~ /update/g, 5, 'nothing else');
like($changes, qr/update 10 c10 refused it is deleted in Exact Online/, 'a deleted record is not revived');
is(one("SELECT string_agg(substr(key, 35), ' ' ORDER BY key) FROM exact.dimension_again"), '07 08 09 10',
	'each comes once more');
one('DELETE FROM exact.dimension_again');
deliver([ 'U', id(7), center(7) ], [ 'U', id(8), center(8) ], [ 'U', id(9), center(9) ], [ 'D', id(10), undef ]);
is(join(' ', map { row($_)->{_deleted} . row($_)->{_op} } 7 .. 10), 'falseU falseU falseU trueD',
	'as the hub has them');
is(read_now(), 'done: 1 of 1 tables read', 'read again');
is(changes(), '', 'told once');

# a deletion is kept out by an edit as any version is
workspace_fault($simulator, statement => 'costcenter current ', action => 'between',
	sql => "UPDATE main.exact.costcenter SET Active = false WHERE Code = 'c6'");
deliver([ 'D', id(6), undef ]);
is(row(6)->{_deleted}, 'false', 'an edited row is not marked as deleted unread');

done_testing();
