# Every function of the hub, called with hostile arguments by a reader, an operator, an administrator, the owner of the
# database and somebody without any right: no crash, no internal error, nobody becomes more than he was, nothing that
# was changed lacks its event.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactTest;
use HostileCalls;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = exact_cluster('main', conf => {
	'log_line_prefix' => "'%m [%p] %e '", 'log_min_error_statement' => 'panic', 'log_error_verbosity' => 'terse' });
my @roles = qw(nobody_special owner reader operator admin exact_worker);
my %rounds = (nobody_special => 2, owner => 2, reader => 3, operator => 5, admin => 5, exact_worker => 8);

sub value { return $node->safe_psql('hub', $_[0]); }

srand(13);
my @texts = (
	'NULL', "''", "repeat('x', 1000000)", "E'\\x01\\x1b[31m\\x7f'", "'''\"`\$\$\\'", "E'\\u202e\\u2028'", "'%s%n%x%*d'",
	"'../../etc/passwd'", "'{\"a\":'", "'-1'", "'NaN'", "'items'", "'erp'", "'lake'", "E'a\\nb'", "repeat('(', 10000)",
	"'\\u0000'", "E'\\U0001F600'", "'https://[::1]:99999/?%zz'", "'fetcher'", "'sql'", "'k'", "repeat('%', 3001)",
	"'0d1f6a5b-2c3d-4e5f-8a9b-0c1d2e3f4a5b'", "'*'", "'.+'", "'exact.app; DROP TABLE exact.app'", "'EX021'", "'00000'");
my %values = (
	text => \@texts,
	integer => [ qw(NULL 0 -1 1 2 2147483647 -2147483648 999999) ],
	bigint => [ qw(NULL 0 -1 1 9223372036854775807 -9223372036854775808 1099511627777) ],
	smallint => [ qw(NULL 0 -1 63 64 32767 -32768) ],
	numeric => [ 'NULL', "'NaN'", "'Infinity'", '-1e1000', '1e-1000', '0' ],
	'double precision' => [ 'NULL', "'NaN'", "'Infinity'", "'-Infinity'", '1e308', '-0.0', '5e-324' ],
	boolean => [ qw(NULL true false) ],
	interval => [ 'NULL', "'-1 s'", "'170000000 years'", "'-170000000 years'", "'0'", "'1 us'" ],
	'timestamp with time zone' => [ 'NULL', "'infinity'", "'-infinity'", "'294276-12-31'", "'4713-01-01 BC'" ],
	date => [ 'NULL', "'infinity'", "'-infinity'", "'5874897-12-31'", "'4713-01-01 BC'", "'2026-02-01'" ],
	bytea => [ 'NULL', "''", "'\\x00ff'", "decode(repeat('7b', 70000), 'hex')",
		"'{\"Content\":{},\"HashCode\":\"x\"}'",
		"'{\"Content\":{\"Topic\":\"Items\"},\"HashCode\":\"" . '0' x 64 . "\"}'" ],
	jsonb => [ 'NULL', "'null'", "'{}'", "'[]'", "'\"x\"'", "'{\"items\": null}'", "'{\"items\": \"'' || 1\"}'",
		"'1e1000'" ],
	json => [ 'NULL', "'null'", "'{}'", "'[1,{\"a\":\"\\u0000\"}]'", "'1e1000'" ],
	'text[]' => [ 'NULL', "'{}'", "'{NULL}'", "ARRAY[['a','b'],['c',NULL]]", "array_fill('x'::text, ARRAY[10000])",
		"'[5:6]={k,l}'", "'{k,l}'", "'{items,NULL}'" ],
	'bigint[]' => [ 'NULL', "'{}'", "'{NULL}'", "'{{1,2},{3,4}}'", "'{1,9223372036854775807}'", "'[-3:-2]={1,2}'" ],
	'integer[]' => [ 'NULL', "'{}'", "'{NULL}'", "'{{1,2},{3,4}}'", "'{0,2147483647,-1}'" ],
	'timestamp with time zone[]' => [ 'NULL', "'{}'", "'{NULL}'", "'{infinity,-infinity}'" ]);

# What the hub has, so that calls get beyond the first check
my %plausible = (
	division => '1', entity => "'items'", entities => "'items'", app => "'erp'", workspace => "'lake'", key => "'k'",
	feed => "'items'", batch => '1', slot => '0::smallint', ord => '0', chain => "'sql'", topic => "'Items'",
	wanted => "'items'", request_id => '1', kind => "'app'", field => "'client_secret'");

sub hostile
{
	my ($name, $type) = @_;

	return rand() < 0.5 ? "NULL::$type" : "(SELECT x FROM $type AS x LIMIT 1)" if $type =~ /^exact\./;
	my @of_type = @{ $values{$type} // ['NULL'] };
	return $plausible{$name} if $name && $plausible{$name} && $type !~ /\[\]$/ && rand() < 0.6;
	return "CAST($of_type[ rand @of_type ] AS $type)";
}

# What nobody but an administrator may change, and what only a superuser may
sub configuration
{
	return value("SELECT string_agg(md5(rows), ' ') FROM (VALUES "
		. join(', ', map { "((SELECT string_agg(t::text, '|' ORDER BY t::text) FROM exact.$_ AS t))" }
			qw(app workspace division entity entity_field feed rule credential token installation
			installation_binding epoch)) . ') AS v (rows)');
}
sub powers
{
	return value("SELECT string_agg(r::text, '|' ORDER BY r.rolname) FROM (SELECT rolname, rolsuper, rolcreaterole, "
		. "rolcreatedb, rolreplication, rolbypassrls, rolcanlogin FROM pg_roles) AS r") . value("SELECT "
		. "string_agg(m::text, '|' ORDER BY m::text) FROM pg_auth_members AS m") . value("SELECT "
		. "string_agg(concat(p.oid::regprocedure, p.proacl, p.prosecdef, p.proconfig, p.prosrc), '|' ORDER BY p.oid) "
		. "FROM pg_proc AS p WHERE p.pronamespace = 'exact'::regnamespace");
}

$node->safe_psql('postgres', 'CREATE ROLE owner LOGIN; CREATE DATABASE hub OWNER owner');
value('CREATE EXTENSION exact_databricks');
wait_for_workers($node, 'hub');
$node->append_conf('postgresql.conf', 'exact_databricks.enabled = off');
$node->reload;
wait_for_workers($node, 'hub', state => 'idle');
few_rows($node, 'hub');
value("CREATE ROLE $_ LOGIN") foreach grep { !/^(owner|exact_worker)$/ } @roles;
value("GRANT exact_$_ TO $_") foreach qw(reader operator admin);

my @functions = functions_of($node, 'hub');
my ($powers, $before, $calls) = (powers(), configuration(), 0);
foreach my $role (@roles)
{
	my @calls = map { calls_of(\@functions, \&hostile) } 1 .. $rounds{$role};
	my $from = -s $node->logfile;
	# the workers' role cannot log in
	my @become = $role eq 'exact_worker' ? ("SET ROLE $role;") : ();
	my ($rc, $out, $err) = $node->psql('hub',
		join("\n", '\o /dev/null', "SET statement_timeout = '400ms';", @become, @calls), on_error_stop => 0,
		@become ? () : (extra_params => [ '-U', $role ]));
	my $log = slurp_file($node->logfile, $from);

	$calls += @calls;
	is($rc, 0, "$role: the session lived through " . @calls . ' calls');
	my @bad = grep { /\[\d+\] (XX|58|53|P0004|42601|42P01|42703|42883|42804)|(PANIC|FATAL):|terminated by signal/ }
	  split /\n/, $log;
	is(join("\n", map { substr($_, 0, 300) } @bad), '', "$role: no crash and no internal error");
	is(powers(), $powers, "$role: nobody became more than he was");
	is(configuration(), $before, "$role: nothing of the configuration was changed")
	  if $role !~ /^(admin|exact_worker)$/;
}
cmp_ok($calls, '>', 1500, "calls: $calls");
like(error_of($node, 'hub', "SELECT exact.set_secret('app', 'erp', 'client_secret', repeat('x', 20000000))"),
	qr/it is longer than 64 kB/, 'a secret of 20 MB is refused for its length');
is(value("SELECT string_agg(a.pid::text, ' ') FROM pg_stat_activity AS a WHERE a.datname = 'hub' "
	. "AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()"), '', 'no session is left over');

# ---- events ----

foreach my $table (qw(app workspace division entity entity_field feed rule credential request))
{
	is(value("SELECT string_agg(left((to_jsonb(t) - 'secret')::text, 200), E'\\n') FROM exact.$table AS t WHERE NOT "
		. "EXISTS (SELECT FROM exact.audit_log AS l WHERE l.what ->> 'table' = '$table' AND l.what -> 'row' @> "
		. ($table eq 'request' ? "jsonb_build_object('id', t.id, 'kind', t.kind)" : "(to_jsonb(t) - 'secret')")
		. ')'), '', "each row of $table has an event");
}
cmp_ok(value("SELECT count(*) FROM exact.audit_log WHERE who = 'admin'"), '>', 3,
	'an administrator has done something');
is(value("SELECT string_agg(DISTINCT who, ' ') FROM exact.audit_log "
	. "WHERE who IN ('reader', 'owner', 'nobody_special')"),
	'', 'the others have not');
is(value('SELECT count(*) FROM exact.verify_audit()'), 0, 'the chains are whole');

done_testing();
