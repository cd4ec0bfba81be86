# Events older than audit_retention are removed; what reports of month-end, erasures, the configuration and requests
# rest on is carried on, so that what somebody does to it is found as before. The worker does it by itself.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $databricks = simulator(engine => 'none');
my $node = exact_cluster('main', conf => { 'exact_databricks.retention' => "'1h'" });

sub one { return $node->safe_psql('postgres', $_[0]); }
sub findings { return one("SELECT string_agg(finding, '; ' ORDER BY finding) FROM exact.verify_audit()"); }
sub silently { return one("SET session_replication_role = replica; $_[0]"); }
sub events { return one("SELECT count(*) FROM exact.audit_log WHERE $_[0]"); }

# All that is there becomes two hours older
sub age
{
	my $older = slurp_file("$FindBin::RealBin/../scripts/lib/older.sql");

	$older =~ s/\@age\@/interval '2 h'/g;
	one($older);
	return;
}

sub trim
{
	my $removed = 0;

	one("SELECT exact._prune('1 h')");
	while (my $n = one("SELECT removed FROM exact._trim_audit('1 h')")) { $removed += $n; }
	return $removed;
}

my $key = '6f9d1c2e-8a44-4a0b-9a0f-3d2b1c0e9f11';
deliver_to($node, $databricks);
stage($node, 1, 'accounts', [ 'I', $key, { ID => $key, Code => '1', Name => 'Jan Jansen' } ]);
wait_delivered($node);
my $erasure = one("SELECT exact.erase(1, 'accounts', '$key', 'case 7')");
is(one("SELECT exact.wait($erasure, '1 min')"), 'done', 'a record is erased');
one("UPDATE exact.division SET description = 'other' WHERE division = 1");
one("INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema, enabled)
	SELECT 'second', host, warehouse_id, 'main', 'second', false FROM exact.workspace WHERE name = 'lake'");
one("UPDATE exact.division SET workspace = 'second' WHERE division = 1");
one("UPDATE exact.division SET workspace = NULL WHERE division = 1");
one("INSERT INTO exact.app (name, client_id) VALUES ('gone', 'x'); DELETE FROM exact.app WHERE name = 'gone'");
one("UPDATE exact.app SET language = 'en'") for 1 .. 3;
one("INSERT INTO exact.app (name, client_id) VALUES ('n$_', 'x')") for 1 .. 3;
one("INSERT INTO exact.rule (name, enabled) VALUES ('entry_balances', false);
	UPDATE exact.rule SET enabled = true; UPDATE exact.rule SET enabled = false");
one("WITH r AS (SELECT (nextval('exact.month_end_report_id'), clock_timestamp(), 'cleo', 2026, 9, 1, '[]',
			NULL)::exact.month_end_report AS r)
	INSERT INTO exact.month_end_report (id, at, who, year, period, division, rows, digest)
	SELECT (r).id, (r).at, (r).who, (r).year, (r).period, (r).division, (r).rows, exact._month_end_digest(r) FROM r");
one('SELECT exact.pause(1); SELECT exact.resume(1)');
is(findings(), '', 'all is as its events say');
my $requests = one('SELECT count(*) FROM exact.request');
cmp_ok($requests, '>', 2, "$requests requests");

foreach my $round (1 .. 3)
{
	age();
	is(findings(), '', "round $round: it is older");
	cmp_ok(trim(), '>', 3, 'events are removed');
	is(findings(), '', 'what is left is proved');
	is(one("SELECT string_agg(kind, ' ') FROM exact.request"), 'erase', 'of the requests that of the erasure stays');
	is(events("kind = 'month-end' AND who <> 'exact fetcher'"), '1', 'so does the event of the report, with who asked');
	is(events("what ->> 'table' = 'app' AND what #>> '{row,name}' = 'gone'"), '0',
		'nothing is carried on of what is gone');
	is(events("what ->> 'table' = 'rule'"), '1', 'of each row that is there the last event');
	is(one("SELECT string_agg(workspace, ' ') FROM exact._erase_places(1, 'accounts')"), 'lake',
		'where a division was delivered before is known');
	is(one('SELECT count(*) FROM exact.audit_anchor AS a WHERE EXISTS (SELECT FROM exact.audit_log AS l
		WHERE l.chain = a.chain AND l.id <= a.id)'), '0', 'no event behind its anchor');
	is(one("SELECT count(*) FROM exact.events AS e WHERE e.at > now() - interval '1 h' AND e.kind = 'configuration'"),
		'0', 'what was carried on is no news');
}

# ---- what somebody does to it is found as before ----

foreach my $case (
	[ "UPDATE exact.app SET region = 'be' WHERE name = 'n1'", "UPDATE exact.app SET region = 'nl' WHERE name = 'n1'",
		'row ["n1"] of app was changed without an event' ],
	[ "UPDATE exact.month_end_report SET who = 'dora'", "UPDATE exact.month_end_report SET who = 'cleo'",
		'report 1 of exact.month_end_report was changed' ],
	[ "UPDATE exact.erasure SET reason = 'none'", "UPDATE exact.erasure SET reason = 'case 7'",
		"erasure $erasure of exact.erasure was changed" ],
	[ "INSERT INTO exact.rule (name) VALUES ('gl_account_blocked')",
		"DELETE FROM exact.rule WHERE name = 'gl_account_blocked'",
		'row ["gl_account_blocked"] of rule is there without an event' ],
	[ "UPDATE exact.division SET workspace = 'second' WHERE division = 1",
		"UPDATE exact.division SET workspace = NULL WHERE division = 1",
		'row [1] of division was changed without an event' ])
{
	silently($case->[0]);
	is(findings(), $case->[2], "$case->[2]: shows");
	silently($case->[1]);
	is(findings(), '', 'and does not when it is undone');
}
one("UPDATE exact.app SET region = 'be' WHERE name = 'n1'");
is(findings(), '', 'a later change counts, not what was carried on');

# ---- a chain that somebody holds is passed over ----

age();
my $anchor = sub { return one("SELECT sum(id) FROM exact.audit_anchor WHERE chain $_[0] 'sql'") };
my ($own, $others) = ($anchor->('='), $anchor->('<>'));
my $holder = $node->background_psql('postgres');
$holder->query_safe("BEGIN; SELECT FROM exact.audit_chain WHERE chain = 'sql' FOR UPDATE");
cmp_ok(seconds_of(sub { trim() }), '<', 10, 'nobody waits for it');
is($anchor->('='), $own, 'it stays as it is');
cmp_ok($anchor->('<>'), '>', $others, 'the others are removed from');
$holder->query_safe('COMMIT');
$holder->quit;
trim();
cmp_ok($anchor->('='), '>', $own, 'and it, once it is free');
is(findings(), '', 'what is left is proved');

# ---- a dump has the anchors, and the copy proves itself ----

my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-d', $node->connstr('postgres') ], 'a dump');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('copy'), $dump ], 'is restored');
is($node->safe_psql('copy', 'SELECT count(*) FROM exact.verify_audit()'), '0', 'the copy proves itself');
is($node->safe_psql('copy', "SELECT string_agg(a::text, ';' ORDER BY chain) FROM exact.audit_anchor AS a"),
	one("SELECT string_agg(a::text, ';' ORDER BY chain) FROM exact.audit_anchor AS a"), 'with the same anchors');

# ---- by itself: a setting, on both sides of its limit; the anchor goes where heads go ----

like(error_of($node, 'postgres', "ALTER SYSTEM SET exact_databricks.audit_retention = '59min'"),
	qr/22023.*Events of the last hour are never removed.*0 keeps all events/s, 'less than an hour is refused');
age();
my $before = one('SELECT sum(id) FROM exact.audit_anchor');
one("ALTER SYSTEM SET exact_databricks.audit_retention = '1h'");
one('SELECT pg_reload_conf()');
one('SELECT exact.restart_workers()');
wait_until('the worker removes events', sub { return one('SELECT sum(id) FROM exact.audit_anchor') > $before }, 120);
wait_until('it says so in the log', sub { return slurp_file($node->logfile)
	=~ /exact fetcher: audit anchor chain=\w+ id=\d+ hash=[0-9a-f]{64} removed=\d+/ });
is(findings(), '', 'what is left is proved');
one("UPDATE exact.installation SET made_at = now() - interval '61 min'");
one("UPDATE exact.division SET workspace = 'lake' WHERE division = 1");
one('SELECT exact.restart_workers()');
wait_until('heads are in Delta', sub {
	return one("SELECT delivered_at IS NOT NULL FROM exact.target_state WHERE entity = 'exact_audit'") eq 't' });
my %rows = map { ("$_->{chain} $_->{id} $_->{hash}" => 1) } databricks_rows($databricks, 'exact_audit');
my @anchors = split /\n/, one("SELECT concat_ws(' ', chain, id, encode(hash, 'hex')) FROM exact.audit_anchor
	ORDER BY chain");
is(scalar(grep { !$rows{$_} } @anchors), 0, 'the anchors are in Delta');
my ($chain, $id, $hash) = split / /, $anchors[0];
is(one("SELECT count(*) FROM exact.verify_audit('$chain', $id, '$hash')"), '0', 'and are the ones that count');
$node->stop;
done_testing();
