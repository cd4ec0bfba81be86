# The listener becomes a role of its own, which sees neither tokens nor secrets of others nor what was read, and writes
# notifications alone; roles that somebody prepared are refused.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactTest;
use Listener;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = exact_cluster('main', conf => { 'log_min_messages' => 'log' });
my $port = free_port();

sub value { return $node->safe_psql('postgres', $_[0]); }

# ---- roles that are there before the extension ----
value('CREATE ROLE mallory');
foreach my $role ('exact_worker', 'exact_listener', 'exact_rule')
{
	value("CREATE ROLE $role NOLOGIN");
	value("GRANT $role TO mallory");
	like(error_of($node, 'postgres', 'CREATE EXTENSION exact_databricks'),
		qr/EX021: role $role exists and has members: mallory.*HINT:  REVOKE $role FROM mallory;/s,
		"$role with a member is refused");
	value("REVOKE $role FROM mallory");
	value("ALTER ROLE $role LOGIN");
	like(error_of($node, 'postgres', 'CREATE EXTENSION exact_databricks'),
		qr/EX021: role $role exists and can log in/, "$role that can log in is refused");
	value("DROP ROLE $role");
}
value("ALTER DATABASE postgres SET exact_databricks.listen_addresses = '127.0.0.1'");
value("ALTER DATABASE postgres SET exact_databricks.port = $port");
value('CREATE ROLE exact_admin; GRANT exact_admin TO mallory; CREATE ROLE exact_listener NOLOGIN');
value('CREATE EXTENSION exact_databricks');
wait_for_workers($node, 'postgres');
add_app($node, 'postgres');
like(value("SELECT result, finding FROM exact.check() WHERE rule = 'members of exact_admin'"), qr/^ok\|mallory$/,
	'check() shows who is an administrator');
is(value("SELECT count(*) FROM exact.check() WHERE rule LIKE 'role %'"), 0, 'nothing is wrong with the roles');
value('GRANT exact_listener TO mallory');
like(value("SELECT result, finding, fix FROM exact.check() WHERE rule = 'role exact_listener'"),
	qr/^fail\|has members: mallory\|REVOKE exact_listener FROM mallory/, 'a later member is shown');
value('REVOKE exact_listener FROM mallory');

# ---- the listener's pages as that role: every statement of them ----
my $token = 'f0' x 32;
write_file("$node->{exact_secrets_directory}/listener.status.token", $token, 0600);
is(value("SELECT result FROM exact.import_secrets() WHERE kind = 'listener'"), 'imported', 'a token');
foreach my $path ('/status', '/metrics', '/deliveries')
{
	wait_until("$path is shown",
		sub { status_of(get($port, $path, headers => ["Authorization: Bearer $token"])) eq '200' });
}
is(status_of(get($port, '/exact/callback?code=x&state=' . ('d5' x 32))), 400, 'a consent is looked up');

# ---- what it is while it stores, and what it may not ----
value(<<'SQL');
CREATE TABLE public.seen (who text, session text, superuser text, tried text, result text);
GRANT INSERT, SELECT ON public.seen TO exact_listener;
CREATE FUNCTION public.try_all() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	tried text;
	tries text[] := ARRAY[
		'RESET ROLE', 'SET ROLE postgres', 'SET SESSION AUTHORIZATION postgres', 'SET ROLE exact_worker',
		'SELECT FROM exact.token', 'SELECT FROM exact.credential', 'SELECT FROM exact.app_state',
		'INSERT INTO exact.stage SELECT (NULL::exact.stage).*', 'SELECT FROM exact.stage', 'SELECT FROM exact.record',
		'UPDATE exact.stage SET payload = NULL', 'DELETE FROM exact.stage',
		'INSERT INTO exact.token (app) VALUES (''x'')', 'UPDATE exact.app_state SET oauth_state = ''x''',
		'SELECT payload FROM exact.dead_letter', 'SELECT content FROM exact.inbox', 'DELETE FROM exact.inbox',
		'UPDATE exact.inbox_work SET reason = NULL', 'INSERT INTO exact.dirty_key SELECT (NULL::exact.dirty_key).*',
		'INSERT INTO exact.batch DEFAULT VALUES', 'UPDATE exact.target_state SET table_name = ''x''',
		'INSERT INTO exact.audit_log DEFAULT VALUES', 'UPDATE exact.audit_chain SET hash = ''''',
		'SELECT exact._audit(''fetcher'', ''x'', NULL, NULL, ''{}'')', 'SELECT FROM exact.api_call',
		'SELECT exact._ask(''fetcher'', ''me'', ''erp'')',
		'SELECT exact.set_secret(''app'', ''erp'', ''client_secret'', ''x'')',
		'SELECT exact.authorize_url(''erp'')', 'SELECT exact.adopt(''x'')', 'SELECT pg_read_file(''postgresql.conf'')',
		'COPY (SELECT 1) TO PROGRAM ''true''', 'CREATE TABLE exact.more (x int)',
		'SELECT who FROM exact.events', 'SELECT FROM exact.audit_log', 'SELECT FROM exact.light_log',
		'UPDATE exact.watched SET light = ''ok''', 'DELETE FROM exact.light_log', 'SELECT exact._watch()',
		'SELECT became FROM exact.webhook_log',
		'GRANT exact_listener TO mallory', 'DROP EXTENSION exact_databricks'];
BEGIN
	IF EXISTS (SELECT FROM public.seen) THEN
		RETURN NULL;
	END IF;
	FOREACH tried IN ARRAY tries LOOP
		BEGIN
			EXECUTE tried;
			RAISE EXCEPTION USING ERRCODE = 'ZZ000';
		EXCEPTION WHEN OTHERS THEN
			INSERT INTO public.seen VALUES (current_user, session_user, current_setting('is_superuser'), tried,
				CASE SQLSTATE WHEN 'ZZ000' THEN 'permitted' ELSE SQLSTATE END);
		END;
	END LOOP;
	RETURN NULL;
END $$;
CREATE TRIGGER try_all AFTER INSERT ON exact.inbox FOR EACH ROW EXECUTE FUNCTION public.try_all();
SQL
is(status_of(post($port, notification())), 200, 'a notification');
is(value("SELECT string_agg(DISTINCT who, ' ') FROM public.seen"), 'exact_listener', 'it writes as exact_listener');
is(value('SELECT count(*) FROM public.seen'), 41, 'everything was tried');
is(value("SELECT string_agg(tried || ' (' || result || ')', '; ') FROM public.seen "
	. "WHERE result NOT IN ('42501', '42704', '0A000', '25001')"), '', 'nothing of it is permitted');
value('DROP FUNCTION public.try_all() CASCADE');
is(value("SELECT string_agg(DISTINCT kind, ' ') || count(*) FROM exact.audit_log WHERE chain = 'listener'"),
	'notification1', 'its chain has the event of it');
is(value('SELECT count(*) FROM exact.verify_audit()'), 0, 'the chains are whole');

# ---- without the role it says so, and goes on when it is there ----
# renamed, as from 17 on a role cannot be dropped that an extension's initial privileges name
value('ALTER ROLE exact_listener RENAME TO exact_gone');
is(status_of(post($port, notification())), 503, 'without its role: 503');
wait_until('and says why',
	sub { value("SELECT reason FROM exact.workers WHERE role = 'listener'") =~ /role exact_listener does not exist/ });
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|segfault|signal 11/, 'no crash');
done_testing();
