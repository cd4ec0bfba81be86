# A restricted reader sees rows of his divisions only, in every table and view of the schema, by whatever way; everybody
# else sees everything. The relations come from the catalogue: one that is added later is tested as well.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = exact_cluster('main', preload => '');	# no worker disturbs what stands in the tables

sub value { return $node->safe_psql($_[1] // 'postgres', $_[0]); }
sub as { my ($who, $sql, $database) = @_; return value("SET SESSION AUTHORIZATION $who; $sql", $database); }
sub refused { my ($who, $sql) = @_; return error_of($node, 'postgres', "SET SESSION AUTHORIZATION $who; $sql"); }

value('CREATE EXTENSION exact_databricks');
value('CREATE ROLE bert LOGIN IN ROLE exact_reader; CREATE ROLE rita LOGIN IN ROLE exact_reader; '
	. 'CREATE ROLE olga LOGIN IN ROLE exact_operator; CREATE ROLE ada LOGIN IN ROLE exact_admin');

# A row of each of three divisions, and one of none, in each table that has a division.
value(<<'SQL');
SET session_replication_role = replica;
DO $$
DECLARE
	c record;
	tab record;
	names text;
	contents text;
BEGIN
	FOR c IN SELECT conname, conrelid::regclass AS tab FROM pg_constraint
		WHERE connamespace = 'exact'::regnamespace AND contype = 'c' AND conislocal LOOP
		EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', c.tab, c.conname);
	END LOOP;
	FOR tab IN SELECT r.oid, r.oid::regclass AS name FROM pg_class AS r
		JOIN pg_attribute AS a ON a.attrelid = r.oid AND a.attname = 'division'
		WHERE r.relnamespace = 'exact'::regnamespace AND r.relkind IN ('r', 'p') AND NOT r.relispartition LOOP
		SELECT string_agg(quote_ident(a.attname), ', '), string_agg(CASE
			WHEN a.attname = 'division' THEN 'd'
			WHEN a.attname = 'entity' THEN quote_literal('items')
			WHEN a.attname = 'app' THEN quote_literal('erp')
			WHEN a.attname = 'slot' THEN '0'
			WHEN t.typcategory = 'A' THEN quote_literal('{}')
			WHEN t.typname = 'bool' THEN 'true'
			WHEN t.typname = 'jsonb' THEN quote_literal('{}')
			WHEN t.typname = 'bytea' THEN quote_literal('\x00')
			WHEN t.typname = 'uuid' THEN 'gen_random_uuid()'
			WHEN t.typname = 'xid8' THEN quote_literal('1')
			WHEN t.typcategory = 'D' THEN 'now()'
			WHEN t.typcategory = 'T' THEN quote_literal('1 h')
			ELSE format('d::text::%s', t.oid::regtype) END, ', ')
		INTO names, contents
		FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
		WHERE a.attrelid = tab.oid AND a.attnum > 0 AND NOT a.attisdropped
			AND (a.attnotnull OR a.attname IN ('division', 'entity', 'app', 'payload', 'reason', 'last_error'))
			AND a.attgenerated = '';
		EXECUTE format('INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM generate_series(1, 3) AS d',
			tab.name, names, contents);
	END LOOP;
END
$$;
INSERT INTO exact.app (name, client_id) VALUES ('erp', 'x');
INSERT INTO exact.audit_log (chain, id, at, kind, who, what, prev_hash, hash)
	VALUES ('none', 1, now(), 'token', 'x', '{}', '', '');
SQL

my @relations = split /\n/, value(<<'SQL');
SELECT r.oid::regclass || ' ' || r.relkind::text FROM pg_class AS r
JOIN pg_attribute AS a ON a.attrelid = r.oid AND a.attname = 'division'
WHERE r.relnamespace = 'exact'::regnamespace AND r.relkind IN ('r', 'p', 'v') AND NOT r.relispartition
	AND has_table_privilege('exact_reader', r.oid, 'SELECT')
ORDER BY r.relkind, r.relname
SQL
cmp_ok(scalar @relations, '>', 30, scalar(@relations) . ' relations with a division');
# "relation" => "rows: divisions" as a role sees them, in one session
sub seen
{
	my ($who, $where) = @_;
	my $all = join ' UNION ALL ', map { my ($relation) = split / /;
		"SELECT '$relation', count(*) || ': ' || coalesce(string_agg(DISTINCT division::text, ' ' "
		  . "ORDER BY division::text), '') FROM $relation WHERE $where" } @relations;

	return map { split /\|/ } split /\n/, $who ne '' ? as($who, $all) : value($all);
}

# the event of a restriction has no division
my %without = seen('rita', 'division IS NOT NULL');
sub plans
{
	return as('rita', join ';', map { my ($relation) = split / /; "EXPLAIN SELECT * FROM $relation" } @relations);
}
value('ANALYZE');
my $plans = plans();
is(value('SELECT count(*) FROM pg_policy'), '0', 'nobody is restricted: no table has a policy');

# ---- restricted ----

like(as('ada', "SELECT exact.restrict_reader('bert', '{1}')"), qr/^bert sees these divisions only: 1$/, 'restricted');
my @wrong;
my %rows = seen('bert', 'true');
my %expected = seen('', 'division = 1');
foreach (@relations)
{
	my ($relation, $kind) = split / /;
	my ($rows, $expected) = ($rows{$relation}, $expected{$relation});

	# what a view makes of a division may hang on rows of others that are made up here
	s/^[1-9]\d*:/some:/ foreach $kind eq 'v' ? ($rows, $expected) : ();
	push @wrong, "$relation: $rows, not $expected" if $rows ne $expected || ($kind ne 'v' && $rows ne '1: 1');
}
is("@wrong", '', 'a restricted reader sees his division only, and all of it');
my @shown = grep { $without{$_} =~ /1 2 3/ } sort keys %without;
cmp_ok(scalar(grep { /exact\.(status|divisions|feeds|calls|webhook_log|_held_record|budget)$/ } @shown), '>=', 3,
	"views among those that have rows of each division: @shown");
foreach my $who ('rita', 'olga', 'ada')
{
	my %now = seen($who, 'division IS NOT NULL');

	@wrong = grep { $now{$_} ne $without{$_} } sort keys %without;

	is("@wrong", '', "$who sees everything");
}
is(value('SET ROLE exact_worker; SELECT count(*) FROM exact.record'), '3', 'the workers as well');
foreach my $role ('exact_worker', 'exact_listener')
{
	my @views = split /\n/, value("SELECT oid::regclass FROM pg_class WHERE relnamespace = 'exact'::regnamespace "
		  . "AND relkind = 'v' AND has_table_privilege('$role', oid, 'SELECT')");
	my ($rc, $out, $err) = $node->psql('postgres', join ';', "SET ROLE $role",
		map { "SELECT count(*) FROM $_" } @views);

	is($rc . $err, '0', "$role reads its " . scalar(@views) . ' views');
}
is(value('SELECT count(*) FROM exact.record'), '3', 'and the owner');

# ---- by other ways ----

is(as('bert', "$_; SELECT string_agg(division::text, ' ') FROM exact.record"), '1', $_)
  foreach ('SET ROLE exact_reader', 'SET ROLE bert', 'RESET ROLE', 'SET ROLE NONE');
like(refused('bert', "SET row_security = off; SELECT * FROM exact.record"), qr/42501/, 'row_security = off');
like(as('bert', 'COPY exact.record (division) TO STDOUT'), qr/^1$/, 'COPY');
is(as('bert', "COPY (SELECT division FROM exact.stage) TO STDOUT"), '1', 'COPY of a query');
like(refused('bert', 'SELECT * FROM exact.stage_00'), qr/42501/, 'a partition');
is(as('bert', "SELECT count(*) FROM pg_stats WHERE schemaname = 'exact' AND tablename = 'record'"), '0', 'pg_stats');
value('CREATE FUNCTION public.leak(v anyelement) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS '
	. '$$BEGIN RAISE NOTICE \'saw %\', v; RETURN true; END$$; GRANT CREATE ON SCHEMA public TO bert');
foreach my $relation ('exact.record', 'exact.stage', 'exact.feed_state', 'exact.divisions', 'exact.webhook_log')
{
	my ($rc, $out, $err) = $node->psql('postgres',
		"SET SESSION AUTHORIZATION bert; SELECT count(*) FROM $relation WHERE public.leak(division)");

	unlike($err, qr/saw [23]/, "a function as a filter of $relation is not shown other rows");
}
unlike(as('bert', 'EXPLAIN (ANALYZE, VERBOSE) SELECT * FROM exact.record WHERE division = 2'), qr/payload|x2/,
	'EXPLAIN shows no value');
is(as('bert', "BEGIN; CREATE VIEW public.mine AS SELECT division FROM exact.record; "
	. "SELECT string_agg(division::text, ' ') FROM public.mine; ROLLBACK"), '1', 'a view of his own');
like(refused('bert', "CREATE TABLE public.child (division int, entity text, key text, "
	. 'FOREIGN KEY (division, entity, key) REFERENCES exact.record)'), qr/42501/, 'a foreign key');
like(refused('bert', "SELECT exact.$_"), qr/42501: role bert may not see division 2.*Its divisions are: 1/s, $_)
  foreach ("find(2, '2')", "explain(2, 'items', '2')", "history(2, 'items', '2')", "trace(2, 'items', '2')");
unlike(refused('bert', "SELECT exact.$_"), qr/42501/, $_)
  foreach ("find(1, '1')", "explain(1, 'items', '1')", "history(1, 'items', '1')", "trace(1, 'items', '1')");
is(as('bert', "SELECT string_agg((exact._write_wait(d, 'costcenter') IS NULL)::text, ' ') "
	. 'FROM generate_series(1, 2) AS d'),
	'false true', 'why writes of another division wait');
like(refused('bert', 'SELECT * FROM exact.check()'), qr/42501: role bert may not see all divisions/, 'check()');
like(refused('bert', "SELECT exact.show('check')"), qr/42501: role bert may not see all divisions/, 'show() of it');
unlike(as('bert', "SELECT exact.show('divisions')"), qr/^ *[23] \|/m, 'show() has the rights of its caller');
like(as('bert', "SELECT exact.show('divisions')"), qr/^ *1 \|/m, 'and shows what he sees');
like(refused('rita', "SELECT exact.restrict_reader('bert', NULL)"), qr/42501/, 'a reader lifts nothing');
like(refused('bert', "UPDATE exact.restricted_reader SET divisions = '{1,2}'"), qr/42501/, 'nor writes the table');
like(refused('bert', 'ALTER TABLE exact.record DISABLE ROW LEVEL SECURITY'), qr/42501/, 'nor takes the policies away');

my $enabled = value("SELECT string_agg(division::text, ',') FROM exact.division WHERE enabled");
value('UPDATE exact.division SET enabled = false');
is(as('bert', 'SELECT count(*) FROM exact.status WHERE division IS NULL'), '0', 'nor is told what is not set up yet');
is(as('rita', 'SELECT count(*) FROM exact.status WHERE division IS NULL'), '1', 'as others are');
value("UPDATE exact.division SET enabled = true WHERE division IN ($enabled)") if $enabled ne '';

# every function that runs with its owner's rights and that a reader may call is known here
my $known = '_disk_finding _first_step _staged_before _visible_divisions _write_wait check explain find history trace '
	. 'verify_audit';
is(value(<<'SQL'), $known, 'no other function');
SELECT string_agg(DISTINCT p.proname, ' ' ORDER BY p.proname) FROM pg_proc AS p
WHERE p.pronamespace = 'exact'::regnamespace AND p.prosecdef
	AND has_function_privilege('exact_reader', p.oid, 'EXECUTE')
SQL

# ---- groups, errors, undo ----

value('CREATE ROLE north IN ROLE exact_reader; CREATE ROLE nora LOGIN IN ROLE north; CREATE ROLE bea LOGIN NOINHERIT '
	. 'IN ROLE north, bert');
as('ada', "SELECT exact.restrict_reader('north', '{2,3,2}')");
is(as('nora', "SELECT string_agg(division::text, ' ' ORDER BY division) FROM exact.record"), '2 3',
	'members of a group');
is(as('bea', "SET ROLE north; SELECT string_agg(division::text, ' ' ORDER BY division) FROM exact.record"), '1 2 3',
	'who is in two groups sees what both see');
like(refused('ada', "SELECT exact.restrict_reader($_->[0])"), $_->[1], "refused: $_->[0]") foreach (
	[ "'olga', '{1}'", qr/EX021: role olga cannot be restricted.*not of exact_operator/s ],
	[ "'exact_reader', '{1}'", qr/EX021: role exact_reader cannot be restricted/ ],
	[ "'nobody', '{1}'", qr/EX021: role 'nobody' does not exist/ ], [ "NULL, '{1}'", qr/EX021/ ],
	[ "'bert', '{1,NULL}'", qr/EX021: a division must not be null.*lift/s ]);
as('ada', "SELECT exact.restrict_reader('bert', '{}')");
is(as('bert', 'SELECT count(*) FROM exact.record'), '0', 'an empty list: nothing');
value('ALTER ROLE bert RENAME TO bertha');
is(as('bertha', 'SELECT count(*) FROM exact.record'), '0', 'another name frees nobody');
is(value("SELECT string_agg((what ->> 'op') || ' ' || (what -> 'row' ->> 'role') || ' ' || who, ', ' ORDER BY id) "
	. "FROM exact.audit_log WHERE what ->> 'table' = 'restricted_reader'"),
	'INSERT bert ada, INSERT north ada, UPDATE bert ada', 'each restriction has an event');
as('ada', "SELECT exact.restrict_reader('bertha', NULL)");
is(as('bertha', 'SELECT count(*) FROM exact.record'), '3', 'lifted: everything');
is(as('nora', 'SELECT count(*) FROM exact.record'), '2', 'the other one is still restricted');
as('ada', "SELECT exact.restrict_reader('north', NULL)");
is(value('SELECT count(*) FROM pg_policy')
	. value("SELECT count(*) FROM pg_class WHERE relnamespace = 'exact'::regnamespace AND relrowsecurity"), '00',
	'the last one lifted: no policy is left');
s/ \(cost=.*?\)//g, s/\$\d+//g foreach $plans, my $plans_now = plans();
is($plans_now, $plans, 'and every plan is what it was');

# ---- dump and restore ----

my $file = PostgreSQL::Test::Utils::tempdir() . '/dump';
value('CREATE DATABASE plain');
value('CREATE EXTENSION exact_databricks', 'plain');
value("INSERT INTO exact.app (name, client_id) VALUES ('erp', 'x'); INSERT INTO exact.division (division, app) "
	. "VALUES (1, 'erp'), (2, 'erp'); SELECT exact.restrict_reader('bertha', '{2}')", 'plain');
$node->command_ok([ 'pg_dump', '-Fc', '-f', $file, $node->connstr('plain') ], 'dumped');
value('CREATE DATABASE copy');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-j2', '-d', $node->connstr('copy'), $file ],
	'restored without an error');
foreach my $relation ('exact.division', 'exact.divisions')
{
	is(as('bertha', "SELECT string_agg(division::text, ' ') FROM $relation", 'copy'), '2', "restored: $relation");
	is(as('rita', "SELECT count(*) FROM $relation", 'copy'), '2', "and for others: $relation");
}
is(value('SELECT count(*) FROM pg_policy', 'copy'), value('SELECT count(*) FROM pg_policy', 'plain'),
	'all policies are there');
is(value("SELECT exact.restrict_reader('bertha', NULL)", 'copy'), 'bertha sees every division',
	'and can be lifted there');
$node->stop;
done_testing();
