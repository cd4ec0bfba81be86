# The owner of a database, who is no superuser, gives it each setting that he may, one after the other and all
# together: a superuser's changes leave the same events, bad rows are refused, the workers go on. What a dump says at
# its beginning counts only where a session says it, and leaves an event.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use HubTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $exact = exact_online();
my $databricks = simulator(engine => 'none', slots => 8);
my $node = hub_cluster('main');
my $seed = 500;

sub value { return one($node, $_[0]); }
# In another database, so that it can be done whatever this one has
sub beside { my ($sql, %options) = @_; return $node->psql('beside', $sql, on_error_stop => 0, %options); }

# ALTER DATABASE as its owner; the settings that he was allowed
sub give
{
	my (@settings) = @_;
	my ($rc, $out, $err) = beside(join('', 'DO $$ BEGIN END $$;', "ALTER DATABASE postgres RESET ALL;\n",
		(map { "ALTER DATABASE postgres SET $_;\n" } @settings),
		"SELECT unnest(setconfig) FROM pg_db_role_setting AS s "
		  . "JOIN pg_database AS d ON d.oid = s.setdatabase AND d.datname = 'postgres'"),
		extra_params => [ '-U', 'owner' ]);

	return grep { /\S/ } split /\n/, $out;
}

give_hub($node, $exact, $databricks);
beside_made();
my $state = value('SELECT row(installation, epoch, overtaken_by) FROM exact.installation_binding');

sub beside_made
{
	$node->safe_psql('postgres', 'CREATE ROLE owner LOGIN; ALTER DATABASE postgres OWNER TO owner; '
		. 'CREATE DATABASE beside; CREATE TABLE public.done (try int); '
		. 'CREATE EXTENSION IF NOT EXISTS plpgsql; GRANT CONNECT ON DATABASE beside TO owner');
	return;
}

# ---- each setting ----

my %strings = (
	datestyle => [ "'German, DMY'", "'SQL, MDY'" ], timezone => ["'Asia/Kolkata'"],
	client_encoding => [ "'LATIN1'", "'SQL_ASCII'" ], search_path => [ "''", "'nowhere'" ],
	application_name => ["'exact fetcher'"], restrict_nonsystem_relation_kind => ["'view, foreign-table'"],
	local_preload_libraries => ["'nowhere'"], lc_monetary => ["'C.UTF-8'"], lc_numeric => ["'C.UTF-8'"],
	lc_time => ["'C.UTF-8'"], default_text_search_config => ["'german'"], temp_tablespaces => ["'pg_default'"],
	default_tablespace => ["'pg_default'"], default_table_access_method => ["'heap'"]);
my @single = (
	[ 'check_function_bodies = off', 'row_security = off' ],
	[ 'role = owner' ], [ 'session_authorization = owner' ],
	[ "plpgsql.extra_errors = 'all'" ], [ "plpgsql.extra_warnings = 'all'" ], [ 'plpgsql.check_asserts = off' ],
	[ 'plpgsql.print_strict_params = on' ]);
my @many;	# what tells only how a plan is made or a server process behaves

foreach my $line (split /\n/, value("SELECT concat_ws('|', lower(name), vartype, min_val, max_val, "
	. "array_to_string(enumvals, ','), setting) FROM pg_settings WHERE context = 'user' "
	. "AND name NOT LIKE 'transaction\\_%' ORDER BY 1"))
{
	my ($name, $type, @rest) = split /\|/, $line;
	my $now = $rest[-1] // '';
	my @values = $type eq 'bool' ? ($now eq 'on' ? 'off' : 'on')
	  : $type eq 'enum' ? map { "'$_'" } grep { $_ ne $now } split /,/, $rest[0]
	  : $type eq 'string' ? @{ $strings{$name} // [] }
	  : $name =~ /_timeout$/ ? (1) : ($rest[1]);

	push @many, "$name = $values[0]" and next
	  if $name =~ /^(enable|jit|geqo|vacuum|tcp|cpu|parallel|min_parallel|max_parallel|.*(_cost|_mem|concurrency)$)/;
	push @single, map { [ "$name = $_" ] } @values;
}
push @single, [ @many ];

my $try = 0;
my @settled;
foreach my $settings (@single)
{
	my @given = give(@$settings);

	next unless @given;
	push @settled, @given;
	$try++;
	$node->psql('postgres', <<"SQL", on_error_stop => 0);
BEGIN;
UPDATE exact.app SET client_id = 'v$try' WHERE name = 'erp';
INSERT INTO public.done VALUES ($try);
COMMIT;
INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema)
VALUES ('pond', 'https://127.0.0.1:9', 'x', 'main', 'exact');
DELETE FROM exact.workspace WHERE name = 'pond';
INSERT INTO exact.app (name, client_id, region) VALUES ('bad$try', 'x', 'zz');
INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema)
VALUES ('bad$try', 'http://somewhere.example.com', 'x', 'main', 'exact');
INSERT INTO exact.division (division, app) VALUES (99999$try, 'nobody');
INSERT INTO exact.entity_field (entity, name, target_type) VALUES ('items', 'bad$try', 'NO TYPE');
SQL
}
give();
cmp_ok($try, '>', 80, "settings were tried: $try times");
cmp_ok(scalar(@settled), '>', 140, 'of them: ' . @settled);
cmp_ok(value('SELECT count(*) FROM public.done'), '>', $try - 20, 'nearly all let a superuser change the app');
is(value("SELECT string_agg(d.try::text, ' ') FROM public.done AS d WHERE (SELECT count(*) FROM exact.audit_log AS l "
	. "WHERE l.what ->> 'table' = 'app' AND l.what -> 'row' ->> 'client_id' = 'v' || d.try) <> 1"), '',
	'each change has its event');
is(value("SELECT count(*) FROM exact.app WHERE name LIKE 'bad%'")
	. value("SELECT count(*) FROM exact.workspace WHERE name LIKE 'bad%'")
	. value("SELECT count(*) FROM exact.division WHERE app = 'nobody'")
	. value("SELECT count(*) FROM exact.entity_field WHERE name LIKE 'bad%'"), '0000', 'no bad row was taken');
is(value('SELECT row(installation, epoch, overtaken_by) FROM exact.installation_binding'), $state,
	'it is the hub that it was');
is(value('SELECT count(*) FROM exact.verify_audit()'), 0, 'the chains are whole');
is(value("SELECT count(*) FROM exact.audit_log WHERE what ->> 'event' = 'a dump was loaded'"), 0,
	'nobody took it for a restore');

# what a reader sees does not hang on them either; from 19 on no server lets a backslash be an escape
my @matter = qw(array_nulls backslash_quote plpgsql.extra_errors quote_all_identifiers);
push @matter, 'standard_conforming_strings' if value('SHOW server_version_num') < 190000;
push @matter, 'transform_null_equals';
my @taken = give('standard_conforming_strings = off', "datestyle = 'German'", "intervalstyle = 'sql_standard'",
	"bytea_output = 'escape'", 'extra_float_digits = -15', 'quote_all_identifiers = on', 'array_nulls = off',
	'transform_null_equals = on', "backslash_quote = 'off'", "plpgsql.extra_errors = 'all'");
is(scalar(@taken), @matter + 4, 'they were taken');
is(value('SELECT count(*) FROM exact.verify_audit()'), 0, 'verify_audit() finds nothing under any of them');
is(value("SELECT string_agg(rule, ', ' ORDER BY rule) FROM exact.check() WHERE rule LIKE 'setting %'"),
	join(', ', map { "setting $_" } @matter), 'check() names those that matter');
is(value("SELECT result || ': ' || finding || ': ' || fix FROM exact.check() WHERE rule = 'setting array_nulls'"),
	"fail: array_nulls=off is set for this database: the hub's functions rely on its default: "
	  . 'ALTER DATABASE "postgres" RESET array_nulls', 'in a sentence');
give();
value('CREATE ROLE anna LOGIN; ALTER ROLE anna SET check_function_bodies = off; '
	. 'ALTER ROLE anna IN DATABASE postgres SET row_security = off');
is(value("SELECT string_agg(fix, '; ' ORDER BY rule) FROM exact.check() WHERE rule LIKE 'setting %'"),
	'ALTER ROLE anna RESET check_function_bodies; ALTER ROLE anna IN DATABASE postgres RESET row_security',
	'also those of a role');

# ---- the workers with all of them ----

sub workers_start_with
{
	my (@settings) = @_;
	my $workers = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'postgres' AND pid <> pg_backend_pid() "
	  . "AND application_name IN ('exact fetcher', 'exact loader')";
	my $since = (beside('SELECT clock_timestamp()'))[1];
	my @given = give(@settings);

	beside("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'postgres' "
		. "AND backend_type LIKE 'exact%'");
	wait_until('new workers', sub { ((beside("$workers AND backend_start > '$since'"))[1] // '') eq '2' });
	give();
	return scalar @given;
}
value("UPDATE exact.app SET client_id = '$exact->{info}{client_id}' WHERE name = 'erp'");
foreach my $settings (
	[ map { $_->[0] } grep { @$_ == 1 && $_->[0] !~ /^(role|session_authorization|local_preload)/ } @single ],
	[ @many, 'check_function_bodies = off', 'row_security = off', 'role = owner',
		'session_authorization = owner' ])
{
	cmp_ok(workers_start_with(@$settings), '>', 40, 'workers start with settings of the database');
	wait_for_workers($node, 'postgres');
	$exact->post('random', count => 10, deletes => 0.2, seed => $seed++);
	complete($node, $exact);
	agrees($exact, $databricks, 'with them');
	is(value('SELECT count(*) FROM exact.verify_audit()'), 0, 'and the chains are whole');
}
is(value('SELECT row(installation, epoch, overtaken_by) FROM exact.installation_binding'), $state,
	'it is the hub that it was');

# ---- a dump ----

my $events = "SELECT count(*) FROM exact.audit_log WHERE kind = 'installation' "
  . "AND what ->> 'event' = 'a dump was loaded'";
my $begin = 'SET check_function_bodies = false; SET row_security = off;';
value("$begin UPDATE exact.app SET client_id = 'restoring' WHERE name = 'erp'");
is(value("SELECT count(*) FROM exact.audit_log WHERE what -> 'row' ->> 'client_id' = 'restoring'"), 1,
	'a dump changes no row: who does has an event');
value("$begin INSERT INTO exact.rule (name) VALUES ('entry_balances')");
is(value("$events AND what ->> 'rows_of' = 'rule' AND who = session_user"), 1,
	'rows that a dump brings into a hub that works: one event');
value("SET ROLE exact_admin; $begin INSERT INTO exact.rule (name) VALUES ('line_gl_account_exists')");
is(value("$events AND what ->> 'rows_of' = 'rule'"), 2, 'likewise for a superuser who has another role');
is(value("SELECT count(*) FROM exact.audit_log WHERE kind = 'configuration' AND what ->> 'table' = 'rule'"), 2,
	'and one for each row');
value("CREATE ROLE carl LOGIN; GRANT exact_admin TO carl");
$node->safe_psql('postgres', "$begin INSERT INTO exact.rule (name) VALUES ('gl_account_blocked')",
	extra_params => [ '-U', 'carl' ]);
is(value("SELECT count(*) FROM exact.audit_log WHERE who = 'carl' AND kind = 'configuration'"), 1,
	'an administrator who says so restores nothing: a row, an event');
is(value('SELECT count(*) FROM exact.verify_audit()'), 0, 'no row lacks its event');

value("GRANT exact_reader TO anna; SELECT exact.restrict_reader('anna', ARRAY[1])");
my $before = value($events);
$node->safe_psql('postgres', 'CREATE DATABASE copy');
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'postgres' ], 'a dump');
$node->command_ok([ 'pg_restore', '--single-transaction', '-d', 'copy', $dump ], 'restored');
is($node->safe_psql('copy', "SELECT count(*) > 20 FROM pg_policy"), 't', 'with the restrictions of readers');
is($node->safe_psql('copy', $events), $before, 'no event while it is being loaded');
is($node->safe_psql('copy', 'SELECT count(*) FROM exact.dump_load'), 1, 'it is noted');
my $installation = installation_of($node);
$node->safe_psql('copy', "SELECT exact.adopt('$installation')");
is($node->safe_psql('copy', $events), $before + 1, 'and an event when it is adopted');
is($node->safe_psql('copy', "SELECT count(*) FROM exact.verify_audit()"), 0, 'in a chain that is whole');

done_testing();
