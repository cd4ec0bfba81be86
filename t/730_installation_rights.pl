# Who may do what, tried: workers run as exact_worker and cannot become more; a reader finds no secret in anything that
# it may read; an operator changes no configuration; a key is rotated while everything is in use.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use HubTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $exact = exact_online('--token-lifetime', '600', '--min-refresh-age', '0');
my $databricks = simulator(engine => 'none', slots => 8);
my $node = hub_cluster('main', conf => { 'exact_databricks.refresh_after' => "'1s'" });
my $seed = 80;

sub value { return one($node, $_[0]); }
sub change { $exact->post('random', count => $_[0] // 15, deletes => 0.2, seed => $seed++); return; }

give_hub($node, $exact, $databricks);
write_file("$node->{exact_secrets_directory}/app.erp.webhook_secret", $exact->{info}{webhook_secret}, 0600);
value('SELECT * FROM exact.import_secrets()');

# ---- workers ----

# A trigger runs with the rights of whoever writes: it tells who that is, and tries what it should not be able to do.
value(<<'SQL');
CREATE TABLE public.seen (at timestamptz DEFAULT clock_timestamp(), application text, who text, superuser text,
	tried text, result text);
GRANT INSERT ON public.seen TO exact_worker;
CREATE FUNCTION public.try_all() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	tried text;
	tries text[] := ARRAY[
		'RESET ROLE', 'SET ROLE postgres', 'SET SESSION AUTHORIZATION postgres',
		'SET LOCAL session_replication_role = replica',
		'CREATE ROLE exact_more SUPERUSER', 'ALTER ROLE exact_worker SUPERUSER', 'ALTER SYSTEM SET work_mem = ''1MB''',
		'CREATE TABLE exact.more (x int)', 'CREATE FUNCTION exact.more() RETURNS int LANGUAGE sql AS ''SELECT 1''',
		'CREATE SCHEMA more', 'CREATE EXTENSION hstore',
		'SELECT count(*) FROM pg_authid', 'SELECT pg_read_file(''postgresql.conf'')', 'SELECT pg_ls_dir(''.'')',
		'COPY (SELECT 1) TO PROGRAM ''true''',
		'COPY (SELECT 1) TO ''/tmp/more''', 'SELECT lo_import(''/etc/passwd'')', 'SELECT pg_reload_conf()',
		'SELECT pg_terminate_backend(pg_backend_pid())',
		'UPDATE exact.app SET client_id = ''x''', 'UPDATE exact.division SET enabled = false',
		'UPDATE exact.workspace SET host = ''x''', 'INSERT INTO exact.rule (name) VALUES (''x'')',
		'DELETE FROM exact.token', 'UPDATE exact.token SET access = NULL', 'DELETE FROM exact.credential',
		'DELETE FROM exact.record', 'DELETE FROM exact.batch',
		'UPDATE exact.stage SET payload = NULL', 'DELETE FROM exact.stage', 'TRUNCATE exact.stage',
		'DELETE FROM exact.audit_log', 'UPDATE exact.audit_log SET who = ''x''', 'TRUNCATE exact.audit_log',
		'ALTER TABLE exact.audit_log DISABLE TRIGGER ALL', 'DROP TABLE exact.audit_log',
		'UPDATE exact.catalogue SET feed = ''x''', 'UPDATE exact.installation SET id = ''x''',
		'UPDATE exact.installation_binding SET epoch = 9', 'UPDATE exact.epoch SET epoch = 9',
		'SELECT exact.adopt(''x'')', 'SELECT exact.fence()', 'SELECT exact._raise_epoch(''x'')',
		'SELECT exact.set_secret(''app'', ''erp'', ''client_secret'', ''x'')',
		'SELECT exact.enable_entities(1, ''items'')', 'GRANT exact_admin TO exact_worker',
		'ALTER EXTENSION exact_databricks UPDATE', 'DROP EXTENSION exact_databricks'];
BEGIN
	IF (SELECT count(*) FROM public.seen_by(current_setting('application_name'))) = 0 THEN
		FOREACH tried IN ARRAY tries LOOP
			BEGIN
				EXECUTE tried;
				RAISE EXCEPTION USING ERRCODE = 'ZZ000', MESSAGE = 'it was permitted';
			EXCEPTION
				WHEN SQLSTATE 'ZZ000' THEN
					INSERT INTO public.seen (application, who, superuser, tried, result)
						VALUES (current_setting('application_name'), current_user, current_setting('is_superuser'),
						tried, 'permitted');
				WHEN OTHERS THEN
					INSERT INTO public.seen (application, who, superuser, tried, result)
						VALUES (current_setting('application_name'), current_user, current_setting('is_superuser'),
						tried, SQLSTATE);
			END;
		END LOOP;
	END IF;
	RETURN NULL;
END $$;
CREATE FUNCTION public.seen_by(text) RETURNS SETOF text LANGUAGE sql SECURITY DEFINER
	AS 'SELECT application FROM public.seen WHERE application = $1 LIMIT 1';
CREATE TRIGGER try_all AFTER INSERT ON exact.api_call FOR EACH ROW EXECUTE FUNCTION public.try_all();
CREATE TRIGGER try_all AFTER INSERT ON exact.statement_log FOR EACH ROW EXECUTE FUNCTION public.try_all();
SQL
change();
complete($node, $exact);
foreach my $worker ('exact fetcher', 'exact loader')
{
	cmp_ok(value("SELECT count(*) FROM public.seen WHERE application = '$worker'"), '>=', 45,
		"$worker: everything was tried");
	is(value("SELECT string_agg(DISTINCT who, ' ') FROM public.seen WHERE application = '$worker'"), 'exact_worker',
		"$worker: writes as exact_worker");
	is(value("SELECT string_agg(tried || ' (' || result || ')', '; ') FROM public.seen WHERE application = '$worker' "
		. "AND result NOT IN ('42501', '42704', '0A000', '25001')"), '',
		"$worker: nothing of it is permitted");
}
value('DROP FUNCTION public.try_all() CASCADE');
agrees($exact, $databricks, 'meanwhile');

# ---- readers ----

value('CREATE ROLE anna LOGIN; GRANT exact_reader TO anna; CREATE ROLE bert LOGIN; GRANT exact_operator TO bert; '
	. 'CREATE ROLE carl LOGIN; GRANT exact_admin TO carl');
my %secrets = (
	'client secret of Databricks' => $databricks->{info}{client_secret},
	'client secret of Exact Online' => $exact->{info}{client_secret},
	'webhook secret' => $exact->{info}{webhook_secret},
	'key' => (split /:/, slurp_file($node->{exact_key_file}))[1] =~ s/\s+//r);
my $places = value("SELECT string_agg(c.oid::regclass::text, ' ' ORDER BY 1) FROM pg_class AS c JOIN pg_namespace AS n "
	. "ON n.oid = c.relnamespace"
	  . " WHERE n.nspname = 'exact' AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition "
	  . "AND has_table_privilege('anna', c.oid, 'SELECT')");
my $read = '';
foreach my $place (split / /, $places)
{
	$read .= $node->safe_psql('postgres', "SET SESSION AUTHORIZATION anna; SELECT t::text FROM $place AS t");
}
$read .= $node->safe_psql('postgres', 'SET SESSION AUTHORIZATION anna; SELECT a::text FROM pg_stat_activity AS a; '
	. 'SELECT c::text FROM exact.check() AS c; SELECT s::text FROM pg_settings AS s');
cmp_ok(length $read, '>', 100_000, 'a reader reads a lot');
foreach my $secret (sort keys %secrets)
{
	is(index(lc $read, lc $secrets{$secret}), -1, "but not the $secret");
	is(index(lc slurp_file($node->logfile), lc $secrets{$secret}), -1, "nor is the $secret in the log");
}
unlike($read, qr/stampNL|Bearer /, 'nor any token');
foreach my $table (qw(token credential app_state))
{
	like(error_of($node, 'postgres', "SET SESSION AUTHORIZATION anna; SELECT * FROM exact.$table"), qr/42501/,
		"exact.$table is closed to readers");
	like(error_of($node, 'postgres', "SET SESSION AUTHORIZATION bert; SELECT * FROM exact.$table"), qr/42501/,
		"and to operators");
}

# ---- operators ----

my @configuration = split / /, value("SELECT string_agg(c.relname, ' ') FROM pg_class AS c WHERE c.relnamespace = "
	. "'exact'::regnamespace AND c.relkind = 'r' AND has_table_privilege('exact_admin', c.oid, 'DELETE') "
	# where an operator proposes, and changes nothing
	. "AND c.relname NOT IN ('cost_center', 'cost_unit', 'gl_account')");
cmp_ok(scalar @configuration, '>=', 8, 'there are tables of configuration');
foreach my $table (@configuration)
{
	my $column = value("SELECT attname FROM pg_attribute WHERE attrelid = 'exact.$table'::regclass AND attnum > 0 "
		. "ORDER BY attnum LIMIT 1");

	foreach my $statement ("INSERT INTO exact.$table DEFAULT VALUES", "UPDATE exact.$table SET $column = $column",
		"DELETE FROM exact.$table", "TRUNCATE exact.$table")
	{
		like(error_of($node, 'postgres', "SET SESSION AUTHORIZATION bert; $statement"), qr/42501/,
			"an operator may not: $statement");
	}
}
foreach my $verb ("exact.adopt('x')", 'exact.fence()', 'exact.restart_workers()', 'exact.rotate_key()',
	'exact.import_secrets()', "exact.set_secret('app', 'erp', 'client_secret', 'x')",
	"exact.authorize_url('erp')", "exact.discover_divisions('erp')", "exact.enable_entities(1, 'items')",
	"exact.disable_entities(1, 'items')", 'exact.install_schedule()')
{
	like(error_of($node, 'postgres', "SET SESSION AUTHORIZATION bert; SELECT $verb"), qr/42501/,
		"an operator may not: $verb");
}
like($node->safe_psql('postgres', 'SET SESSION AUTHORIZATION bert; SELECT exact.sync_now()'), qr/^\d+$/,
	'an operator may have everything read');

# ---- a key is rotated while tokens are renewed, records read and deliveries made ----

my $bytes = sub { my $hex = ''; $hex .= sprintf '%02x', int rand 256 foreach 1 .. 32; return $hex; };
foreach my $round (1 .. 3)
{
	my $pairs = value('SELECT count(*) FROM exact.token');

	change(20);
	value('SELECT exact.sync_now()');
	open(my $ring, '>>', $node->{exact_key_file}) or die $!;
	print $ring "r$round:" . $bytes->() . "\n";
	close $ring;
	$node->reload;
	wait_until("round $round: everything is under the new key", sub {
		my ($rc) = $node->psql('postgres', 'SELECT exact.rotate_key()');
		return $rc == 0 && value("SELECT bool_and(key_id = 'r$round') FROM exact.credential") eq 't'
		  && value("SELECT bool_and(t.key_id = 'r$round') FROM (SELECT DISTINCT ON (app) app, key_id FROM exact.token "
			  . "ORDER BY app, issued_at DESC, id DESC) AS t") eq 't'; });
	complete($node, $exact);
	cmp_ok(value('SELECT count(*) FROM exact.token'), '>', $pairs, "round $round: tokens were renewed meanwhile");
	is(value('SELECT state FROM exact.app_state'), 'authorized', "round $round: authorised");
}
# the older keys are gone for good
my @lines = split /\n/, slurp_file($node->{exact_key_file});
write_file($node->{exact_key_file}, "$lines[-1]\n", 0600);
$node->restart;
wait_for_workers($node, 'postgres');
change(20);
complete($node, $exact);
agrees($exact, $databricks, 'with the last key alone');
is(value("SELECT string_agg(DISTINCT key_id, ' ') FROM exact.credentials"), 'r3', 'exact.credentials shows it');
is(value('SELECT count(*) FROM exact.verify_audit()'), '0', 'the audit chains hold');
$node->stop;
done_testing();
