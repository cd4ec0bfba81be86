# The owner of a database, who is no superuser, puts operators, functions, types and views of his own ahead of
# pg_catalog. A superuser then calls every function of the hub, changes every table and reads every view: nothing of the
# owner's is ever reached.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactTest;
use HostileCalls;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = exact_cluster('main');
my $sprung = 'the trap was reached';

sub of_superuser { return $node->safe_psql('hub', "SET search_path = pg_catalog;\n$_[0]"); }
# What psql says when the statements run one after the other in a session with the settings of the database
sub in_hostile_session
{
	my (@statements) = @_;
	my ($rc, $out, $err) = $node->psql('hub', join("\n", @statements), on_error_stop => 0);

	return "$out$err";
}

sub reached { my ($from) = @_; return grep { /\Q$sprung\E/ } split /\n/, slurp_file($node->logfile, $from); }

sub wait_for
{
	my ($state) = @_;

	return wait_until("the workers are $state", sub { of_superuser("SELECT count(*) FROM exact._workers() "
		. "WHERE role IN ('fetcher', 'loader') AND state = '$state'") eq '2' });
}

$node->safe_psql('postgres',
	'CREATE ROLE owner LOGIN; CREATE DATABASE hub OWNER owner; CREATE DATABASE early OWNER owner');
my ($rc, $out, $err) = $node->psql('hub', 'CREATE EXTENSION exact_databricks', extra_params => [ '-U', 'owner' ]);
like($err, qr/permission denied to create extension/, 'the owner of a database cannot make the extension');
$node->safe_psql('early', "CREATE SCHEMA exact; CREATE FUNCTION exact._restoring() RETURNS boolean LANGUAGE sql "
	. "AS 'SELECT true'", extra_params => [ '-U', 'owner' ]);
like(error_of($node, 'early', 'CREATE EXTENSION exact_databricks'), qr/schema "exact" already exists/,
	'nor make objects of it before a superuser does');

# ---- the trap ----

$node->safe_psql('hub', <<"SQL", extra_params => [ '-U', 'owner' ]);
CREATE SCHEMA evil;
GRANT USAGE ON SCHEMA evil TO PUBLIC;
CREATE FUNCTION evil.trap() RETURNS boolean LANGUAGE plpgsql AS \$\$
BEGIN
	RAISE LOG '$sprung: a type or a view';
	RAISE EXCEPTION '$sprung';
END \$\$;
DO \$\$
DECLARE
	f record;
	body text := E'BEGIN RAISE LOG ''$sprung: %s''; RAISE EXCEPTION ''$sprung''; END';
BEGIN
	FOR f IN
		SELECT p.proname AS name, pg_get_function_identity_arguments(p.oid) AS all_arguments,
			(SELECT string_agg(a.type::regtype::text, ', ' ORDER BY a.n)
				FROM unnest(p.proargtypes) WITH ORDINALITY AS a (type, n)) AS arguments,
			CASE WHEN p.proretset THEN 'SETOF ' ELSE '' END || p.prorettype::regtype AS result
		FROM pg_proc AS p
		WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind IN ('f', 'a')
			AND NOT p.proargtypes::oid[] && ARRAY['internal'::regtype::oid, 'cstring'::regtype::oid,
				'"any"'::regtype::oid]
			AND p.prorettype <> ALL (ARRAY['internal', 'cstring', 'trigger', 'event_trigger',
				'language_handler', 'fdw_handler', 'index_am_handler', 'tsm_handler',
				'table_am_handler']::regtype[])
	LOOP
		BEGIN
			EXECUTE format('CREATE FUNCTION evil.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L', f.name,
				f.arguments, f.result, format(body, f.name));
		EXCEPTION WHEN OTHERS THEN
			NULL;	-- what PL/pgSQL cannot take
		END;
	END LOOP;
	FOR f IN
		SELECT row_number() OVER () AS n, o.oprname AS name, o.oprleft::regtype AS l, o.oprright::regtype AS r,
			o.oprresult::regtype AS result
		FROM pg_operator AS o
		WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprleft <> 0
	LOOP
		BEGIN
			EXECUTE format('CREATE FUNCTION evil.o%s(%s, %s) RETURNS %s LANGUAGE plpgsql AS %L', f.n, f.l, f.r,
				f.result, format(body, 'operator'));
			EXECUTE format('CREATE OPERATOR evil.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = evil.o%s)', f.name,
				f.l, f.r, f.n);
		EXCEPTION WHEN OTHERS THEN
			NULL;
		END;
	END LOOP;
	FOR f IN
		SELECT c.relname AS name FROM pg_class AS c
		WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind IN ('r', 'v')
	LOOP
		BEGIN
			EXECUTE format('CREATE VIEW evil.%1\$I AS SELECT * FROM pg_catalog.%1\$I WHERE evil.trap()', f.name);
			EXECUTE format('GRANT SELECT ON evil.%I TO PUBLIC', f.name);
		EXCEPTION WHEN OTHERS THEN
			NULL;
		END;
	END LOOP;
	FOR f IN SELECT unnest(ARRAY['text', 'name', 'jsonb', 'json', 'bytea', 'uuid', 'date', 'timestamptz', 'regclass',
			'inet', 'oid', 'int4', 'int8']) AS name
	LOOP
		EXECUTE format('CREATE DOMAIN evil.%1\$I AS pg_catalog.%1\$I CHECK (evil.trap())', f.name);
	END LOOP;
END \$\$;
ALTER DATABASE hub SET search_path = evil, pg_catalog, exact;
SQL
my $from = -s $node->logfile;
is(in_hostile_session('CREATE EXTENSION exact_databricks;'), '', 'a superuser makes the extension');
is(join("\n", reached($from)), '', 'the install script reached nothing of the owner\'s');
wait_for('running');	# they bind the database
$node->append_conf('postgresql.conf', 'exact_databricks.enabled = off');
$node->reload;
wait_for('idle');
few_rows($node, 'hub');
my @functions = functions_of($node, 'hub');

cmp_ok(of_superuser("SELECT count(*) FROM pg_operator WHERE oprnamespace = 'evil'::regnamespace"), '>', 600,
	'the owner has operators');
cmp_ok(of_superuser("SELECT count(*) FROM pg_proc WHERE pronamespace = 'evil'::regnamespace"), '>', 2500,
	'and functions');
like(in_hostile_session("SELECT 'a'::pg_catalog.text = 'b'::pg_catalog.text;"), qr/\Q$sprung\E/,
	'what the superuser types himself is the owner\'s: the trap works');

# ---- every function, every table, every view ----

my %of_name = (
	division => '1', entity => "'items'", entities => "'items'", app => "'erp'", workspace => "'lake'", key => "'k'",
	feed => "'items'", keys => "ARRAY['k', 'l']", name => "'erp'", kind => "'app'", field => "'client_secret'",
	value => "'another-client-secret'", worker => "'fetcher'", role => "'fetcher'", batch => '1', slot => '0',
	ord => '0', batches => 'ARRAY[1]', ords => 'ARRAY[0]', region => "'nl'", resource => "'crm/Accounts'",
	chain => "'sql'", topic => "'Items'", url => "'https://start.exactonline.nl/x?code=1&state=2'",
	redirected_url => "'https://hub.example.com/cb?code=1&state=2'", base_url => "'https://start.exactonline.nl'",
	host => "'adb-1.2.azuredatabricks.net'", query => "'\$top=1'", installation => 'NULL', names => "'ID'",
	parts => "'main'", code => "'EX021'");
my %of_type = (
	text => "'x'", integer => '1', bigint => '1', smallint => '0', numeric => '1', 'double precision' => '1',
	boolean => 'true', interval => "'1 ms'", 'timestamp with time zone' => "'2026-01-01'", date => "'2026-01-01'",
	bytea => "'{}'", jsonb => "'{}'", json => "'{}'", 'text[]' => "ARRAY['x']", 'bigint[]' => 'ARRAY[1]',
	'integer[]' => 'ARRAY[1]', 'timestamp with time zone[]' => "'{2026-01-01}'");

# Types by the names that no search_path changes
sub cast
{
	my ($sql, $type) = @_;

	$type = "pg_catalog.\"$type\"" if $type =~ /^(text|jsonb|json|bytea|date)$/;
	$type = 'pg_catalog.text[]' if $type eq 'text[]';
	return "CAST($sql AS $type)";
}

sub plausible
{
	my ($name, $type) = @_;

	return "(SELECT x FROM $type AS x LIMIT 1)" if $type =~ /^exact\./;
	my $sql = $type =~ /\[\]$/ ? $of_type{$type} : $of_name{$name // ''} // $of_type{$type};
	return cast($name && $name eq 'keys' ? $of_name{keys} : $sql // 'NULL', $type);
}

my @changes;
foreach my $table (split /\n/, of_superuser("SELECT c.relname || ' ' || quote_ident(a.attname) FROM pg_class AS c "
	. "JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = 1 WHERE c.relnamespace = 'exact'::regnamespace "
	. "AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1"))
{
	my ($name, $column) = split / /, $table;

	push @changes, "UPDATE exact.$name SET $column = $column;",
	  "INSERT INTO exact.$name SELECT * FROM exact.$name ON CONFLICT DO NOTHING;";
}
my @views = map { "TABLE exact.$_;" } split /\n/, of_superuser("SELECT c.relname FROM pg_class AS c "
	. "WHERE c.relnamespace = 'exact'::regnamespace AND c.relkind = 'v' ORDER BY 1");
my @calls = (
	calls_of(\@functions, \&plausible),
	calls_of(\@functions, sub { return cast('NULL', $_[1]); }),
	@changes, @views,
	"INSERT INTO exact.app (name, client_id) VALUES ('shop', 'x');",
	"INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema) "
	  . "VALUES ('pond', 'adb-1.2.azuredatabricks.net', '475b94ddc7cd5211', 'main', 'exact');",
	"INSERT INTO exact.division (division, app, workspace) VALUES (2, 'shop', 'pond');",
	"SELECT exact.enable_entities(2, 'items');", "UPDATE exact.feed SET priority = 7;",
	"INSERT INTO exact.rule (name) VALUES ('entry_balances');",
	"INSERT INTO exact.entity (name) VALUES ('glaccount');", "UPDATE exact.entity SET merge_interval = '1 min';",
	'DELETE FROM exact.rule;',
	'DELETE FROM exact.division WHERE division OPERATOR(pg_catalog.=) 2;',
	"DELETE FROM exact.app WHERE name OPERATOR(pg_catalog.=) 'shop';");

# the keys of all secrets are rotated for real
write_file($node->{exact_key_file}, slurp_file($node->{exact_key_file}) . 'a:' . '0b' x 32 . "\n");

$from = -s $node->logfile;
my $said = in_hostile_session("SET statement_timeout = '5s';", 'SELECT exact.rotate_key();', @calls);
my $errors = () = $said =~ /ERROR: /g;
note $said;
like($said, qr/now encrypted with key a/, 'a superuser rotates the key');
cmp_ok(scalar(@calls), '>', 350, 'statements were run: ' . @calls);
cmp_ok(@calls - $errors, '>', 150, "many of them did something: $errors failed");
is(join("\n", reached($from)), '', 'nothing of the owner\'s was reached');
unlike($said, qr/evil/, 'or seen');

# the workers of such a database
$from = -s $node->logfile;
$node->append_conf('postgresql.conf', 'exact_databricks.enabled = on');
$node->reload;
in_hostile_session('SELECT exact.restart_workers();');
wait_for('running');
is(join("\n", reached($from)), '', 'nor by the workers');
is(of_superuser("SELECT rolsuper FROM pg_roles WHERE rolname = 'owner'"), 'f', 'the owner is what he was');

# ---- and would have been ----

foreach my $function ('rotate_key()', 'set_secret(text, text, text, text)', 'check()')
{
	of_superuser("ALTER FUNCTION exact.$function RESET ALL");
}
write_file($node->{exact_key_file}, slurp_file($node->{exact_key_file}) . 'b:' . '0c' x 32 . "\n");
foreach my $call ('rotate_key()', "set_secret('app', 'erp', 'client_secret', 'a-third-client-secret')", 'check()')
{
	$from = -s $node->logfile;
	in_hostile_session("SELECT exact.$call;");
	cmp_ok(scalar(reached($from)), '>', 0, "without its search_path $call reaches the trap");
}

done_testing();
