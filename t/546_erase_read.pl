# What Exact Online shows of a record that exact.erase() has removed: as it was, it does not come back, however often it
# is read; with a later change it does. Without a workspace.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactOnline;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $exact = ExactOnline->start('--records', '120', '--divisions', '1', '--sync-page-size', '50', '--fast',
	'--minute-limit', '100000', '--day-limit', '10000000', '--error-limit', '0');
my $node = exact_cluster('main', conf => { 'exact_databricks.sync_interval' => "'1h'" });
my ($division) = $exact->divisions;

$node->safe_psql('postgres', 'CREATE EXTENSION exact_databricks');
wait_for_workers($node, 'postgres');
$exact->authorise($node, 'postgres');
$exact->enable($node, 'postgres', ['accounts'], $division);

sub one { return $node->safe_psql('postgres', $_[0]); }

sub erase
{
	my ($key) = @_;
	my $id = one("SELECT exact.erase($division, 'accounts', '$key', 'case 4711')");

	is(one("SELECT exact.wait($id, '1 min')"), 'done', "$key: erased");
	return $id;
}

# Versions of a record, and of how many there is a content
sub versions
{
	my ($key) = @_;

	return one("SELECT count(*) || ' ' || count(payload) FROM exact.stage WHERE key = '$key'");
}

# All is read again from its start, by the live cursor and by the backfill
sub read_again
{
	my ($what) = @_;

	one("UPDATE exact.feed_state SET mark = 1, requested = true WHERE division = $division");
	is($exact->sync($node, 'postgres'), 'done', "$what: read from the start");
	my $id = one("SELECT exact.backfill($division, 'accounts')");
	is(one("SELECT exact.wait($id, '2 min')"), 'done', "$what: and by a backfill");
	return;
}

is($exact->sync($node, 'postgres'), 'done', 'the first load ends');
my ($jan, $piet, $klaas) = map { lc $_->{key} } grep { !$_->{deleted} } $exact->truth($division, 'sync/CRM/Accounts');
my $all = one('SELECT count(*) FROM exact.stage');
is(versions($jan), '1 1', 'before: there is a version with its content');

my $id = erase($jan);
like(one("SELECT result FROM exact.request WHERE id = $id"), qr/^1 version removed from the hub$/,
	'erased: there is no workspace that could have it');
is(versions($jan), '1 0', 'erased: the version stays, without its content');
read_again('as it was');
is(versions($jan), '1 0', 'as it was: it does not come back');
is(one('SELECT count(*) FROM exact.stage'), $all, 'as it was: nothing is staged');
is(one("SELECT erased FROM exact.record WHERE key = '$jan'"), $id, 'as it was: the mark stays');

# another set of fields is read: every hash is another one, and the record is the same
one("UPDATE exact.record SET hash = sha256('other fields')");
read_again('other hashes');
is(versions($jan), '1 0', 'other hashes: it does not come back');
cmp_ok(one('SELECT count(*) FROM exact.stage'), '>', $all, 'other hashes: the others are staged again');
is(one("SELECT hash = sha256('other fields') FROM exact.record WHERE key = '$jan'"), 'f',
	'other hashes: its hash is the one of today');

# changed in Exact Online: it comes back, and that is told
$exact->post('change', division => $division, resource => 'crm/Accounts', op => 'update', key => $jan);
is($exact->sync($node, 'postgres'), 'done', 'changed: read');
is(versions($jan), '2 1', 'changed: it comes back');
is(one("SELECT op FROM exact.stage WHERE key = '$jan' AND payload IS NOT NULL"), 'U', 'changed: as a change');
is(one("SELECT erased IS NULL FROM exact.record WHERE key = '$jan'"), 't', 'changed: the mark is gone');
like(one("SELECT finding FROM exact.check() WHERE rule = 'erasure $id'"),
	qr/came back .*: it was changed in Exact Online/,
	'changed: check() says so');
my $again = erase($jan);
is(versions($jan), '2 0', 'changed: erased once more');
is(one("SELECT count(*) FROM exact.check() WHERE rule LIKE 'erasure%'"), '0', 'changed: check() is content');

# deleted in Exact Online before and after it is erased
$exact->post('change', division => $division, resource => 'crm/Accounts', op => 'delete', key => $piet);
is($exact->sync($node, 'postgres'), 'done', 'deleted before: read');
is(one("SELECT op FROM exact.stage WHERE key = '$piet' ORDER BY seq DESC LIMIT 1"), 'D',
	'deleted before: its tombstone');
erase($piet);
is(one("SELECT count(payload) || ' ' || count(*) FILTER (WHERE op <> 'E') FROM exact.stage
	WHERE key = '$piet'"), '0 0',
	'deleted before: the tombstone is erased as well');
erase($klaas);
$exact->post('change', division => $division, resource => 'crm/Accounts', op => 'delete', key => $klaas);
is($exact->sync($node, 'postgres'), 'done', 'deleted after: read');
is(one("SELECT deleted || ' ' || (erased IS NOT NULL) FROM exact.record WHERE key = '$klaas'"), 'true true',
	'deleted after: it is deleted, and stays erased');
read_again('deleted');
is(one("SELECT count(payload) FROM exact.stage WHERE key IN ('$jan', '$piet', '$klaas')"), '0',
	'deleted: nothing comes back');
is(one('SELECT count(*) FROM exact.verify_audit()'), '0', 'the audit log is intact');


$node->stop;
done_testing();
