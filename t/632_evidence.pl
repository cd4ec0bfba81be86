# What somebody above the triggers does to the evidence shows: what was written past them, and a chain that was
# rewritten as a whole against the heads that the server log and Delta keep.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $databricks = simulator(engine => 'none');
my $node = exact_cluster('main');

sub one { return $node->safe_psql('postgres', $_[0]); }
sub findings { return one("SELECT string_agg(finding, '; ' ORDER BY finding) FROM exact.verify_audit()"); }
# As one does it whom no trigger stops
sub silently { return one("SET session_replication_role = replica; $_[0]"); }

deliver_to($node, $databricks);
stage($node, 1, 'costcenter', [ 'I', 'a', { ID => 'a', Code => 'a1' } ]);
wait_delivered($node);
one("INSERT INTO exact.entity (name, target_table, sync_interval) VALUES ('items', 'articles', '1 h')");
is(findings(), '', 'all is as its events say');

# ---- a gap in what should have been written ----

my ($division) = split /\n/, one('SELECT division FROM exact.division ORDER BY 1 LIMIT 1');
foreach my $case (
	[ "INSERT INTO exact.app (name, client_id) VALUES ('sly', 'x')", "DELETE FROM exact.app WHERE name = 'sly'",
		'row ["sly"] of app is there without an event' ],
	[ "UPDATE exact.division SET enabled = NOT enabled WHERE division = $division",
		"UPDATE exact.division SET enabled = NOT enabled WHERE division = $division",
		"row [$division] of division was changed without an event" ],
	[ "DELETE FROM exact.entity WHERE name = 'items'",
		"INSERT INTO exact.entity (name, target_table, sync_interval) VALUES ('items', 'articles', '1 h')",
		'row ["items"] of entity is gone without an event' ],
	[ "UPDATE exact.workspace SET host = host || 'x'", "UPDATE exact.workspace SET host = left(host, -1)",
		'row ["lake"] of workspace was changed without an event' ])
{
	silently($case->[0]);
	is(findings(), $case->[2], "$case->[2]: shows");
	silently($case->[1]);
	is(findings(), '', 'and does not when it is undone');
}
silently("INSERT INTO exact.request (id, kind, state) VALUES (1000000, 'pause', 'done')");
is(findings(), 'request 1000000 has no event', 'a request without an event shows');
like(error_of($node, 'postgres', 'SELECT exact.assert_audit()'), qr/XX001.*request 1000000 has no event/s,
	'assert_audit()');
silently('DELETE FROM exact.request WHERE id = 1000000');

# what goes through the triggers is none: all tables, each operation, another key, another session's way to write times
one(<<'SQL');
INSERT INTO exact.app (name, client_id) VALUES ('third', 'x');
UPDATE exact.app SET region = 'be' WHERE name = 'third';
DELETE FROM exact.app WHERE name = 'third';
BEGIN;
INSERT INTO exact.app (name, client_id) VALUES ('third', 'x');
UPDATE exact.app SET client_id = 'y' WHERE name = 'third';
COMMIT;
INSERT INTO exact.rule (name, enabled) VALUES ('entry_balances', false);
INSERT INTO exact.entity_field (entity, name, selected) VALUES ('items', 'Notes', false);
UPDATE exact.entity_field SET name = 'Barcode' WHERE name = 'Notes';
UPDATE exact.entity SET sync_interval = '2 d' WHERE name = 'items';
SELECT exact.set_secret('app', 'third', 'webhook_secret', 'a secret that nobody will ever use');
SQL
is(findings(), '', 'what leaves events is none');
is(one("SET timezone = 'Asia/Kolkata'; SET intervalstyle = 'sql_standard'; SET datestyle = 'German'; "
	. 'SELECT count(*) FROM exact.verify_audit()'), '0', 'in any session');
is(one("BEGIN; UPDATE exact.app SET region = 'nl' WHERE name = 'third'; "
	. 'SELECT count(*) FROM exact.verify_audit(); ROLLBACK'), '0', 'what is not committed is none');
one('CREATE ROLE rita LOGIN IN ROLE exact_reader');
is(one('SET SESSION AUTHORIZATION rita; SELECT count(*) FROM exact.verify_audit()'), '0', 'a reader may ask');

# ---- the heads are outside ----

sub heads
{
	my @heads = sort map { "$_->{chain} $_->{id} $_->{hash}" } databricks_rows($databricks, 'exact_audit');

	return @heads;
}
is(scalar(() = statements($databricks, qr/exact_audit/)), 0, 'not in the first hour of an installation');
one("UPDATE exact.installation SET made_at = now() - interval '61 min'");
one('SELECT exact.restart_workers()');
wait_until('the heads are in Delta', sub {
	return one("SELECT delivered_at IS NOT NULL FROM exact.target_state "
		. "WHERE entity = 'exact_audit'") eq 't' });
my @first = heads();
my ($sql) = grep { /^sql / } @first;
like($sql, qr/^sql [1-9]\d* [0-9a-f]{64}$/, 'a row for the chain sql');
my ($chain, $id, $hash) = split / /, $sql;
is(one("SELECT encode(hash, 'hex') FROM exact.audit_log WHERE chain = 'sql' AND id = $id"), $hash, 'with its hash');
is(one("SELECT count(*) FROM exact.verify_audit('sql', $id, '$hash')"), '0', 'which is in the chain');
is(one("SELECT count(*) FROM exact.verify_audit('sql', $id, upper('$hash'))"), '0', 'in capitals as well');
like(one("SELECT finding FROM exact.verify_audit('sql', $id + 1, '$hash')"), qr/not in the chain/, 'another id is not');
like(slurp_file($node->logfile), qr/exact loader: audit head chain=sql id=\d+ hash=[0-9a-f]{64}/,
	'the server log has heads');

# ---- a chain that is rewritten as a whole ----

silently(<<'SQL');
UPDATE exact.audit_log SET who = 'somebody else' WHERE chain = 'sql' AND id = 1;
DO $$
DECLARE
	e exact.audit_log;
	before bytea := '\x';
BEGIN
	SET LOCAL session_replication_role = replica;
	FOR e IN SELECT * FROM exact.audit_log WHERE chain = 'sql' ORDER BY id LOOP
		e.prev_hash := before;
		e.hash := exact._event_hash(before, e.chain, e.id, e.at, e.kind, e.division, e.entity, e.who, e.what);
		UPDATE exact.audit_log SET prev_hash = e.prev_hash, hash = e.hash WHERE chain = e.chain AND id = e.id;
		UPDATE exact.audit_chain SET prev_hash = e.prev_hash, hash = e.hash WHERE chain = e.chain;
		before := e.hash;
	END LOOP;
END
$$;
SQL
is(findings(), '', 'a chain that was rewritten as a whole agrees with itself');
like(one("SELECT finding FROM exact.verify_audit('sql', $id, '$hash')"), qr/not in the chain/,
	'but not with the head in Delta');
my @logged = slurp_file($node->logfile) =~ /audit head chain=sql id=(\d+) hash=([0-9a-f]{64})/g;
like(one("SELECT finding FROM exact.verify_audit('sql', $logged[-2], '$logged[-1]')"), qr/not in the chain/,
	'nor with the one in the log');
# the next day: the head of the rewritten chain stands beside it, what was there stays
one("UPDATE exact.target_state SET delivered_at = delivered_at - interval '25 h' WHERE entity = 'exact_audit'");
one('SELECT exact.restart_workers()');
wait_until('the next heads', sub { my @now = heads(); return @now > @first; });
my %now = map { $_ => 1 } heads();
is(scalar(grep { !$now{$_} } @first), 0, 'no row in Delta is changed or taken away');
$node->stop;
done_testing();
