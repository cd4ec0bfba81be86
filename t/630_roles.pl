# State is written by functions only, everything an admin does leaves an event, and an authorisation belongs to the role
# that began it.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactOnline;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $exact = ExactOnline->start('--divisions', 1, '--records', 60, '--fast', '--minute-limit', 100000,
	'--error-limit', 0);
my $node = exact_cluster('main');
my $info = $exact->{info};

sub value { return $node->safe_psql('postgres', $_[0]); }
# As somebody who logged in: SET ROLE would leave the superuser as the one who did it.
sub as { my ($who, $sql) = @_; return $node->safe_psql('postgres', "SET SESSION AUTHORIZATION $who; $sql"); }
sub refused { my ($who, $sql) = @_; return error_of($node, 'postgres', "SET SESSION AUTHORIZATION $who; $sql"); }
sub consent { return $exact->{http}->get($_[0])->{headers}{location}; }
sub last_event
{
	return value("SELECT who, kind, coalesce(what ->> 'event', what -> 'row' ->> 'kind', what ->> 'asked') "
		  . "FROM exact.audit_log WHERE chain IN ('sql', 'fetcher') AND kind <> 'batch' AND who NOT LIKE 'exact %' "
		  . 'ORDER BY at DESC, id DESC LIMIT 1');
}

value('CREATE EXTENSION exact_databricks');
wait_for_workers($node, 'postgres');
value('CREATE ROLE ada LOGIN IN ROLE exact_admin; CREATE ROLE eve LOGIN IN ROLE exact_admin');
as('ada', "INSERT INTO exact.app (name, client_id, base_url, redirect_uri) "
	  . "VALUES ('erp', '$info->{client_id}', '$exact->{url}', 'https://hub.example.com/exact/callback')");

# ---- no state table is an admin's to write ----

my $writable = value(<<'SQL');
SELECT string_agg(c.relname || ' ' || p.name, ', ' ORDER BY c.relname, p.name)
FROM pg_depend AS d
JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'exact_databricks'
JOIN pg_class AS c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid,
	unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER', 'REFERENCES']) AS p (name),
	unnest(ARRAY['exact_admin', 'exact_operator', 'exact_reader']) AS role (name)
WHERE d.refclassid = 'pg_extension'::regclass AND c.relkind IN ('r', 'p', 'v')
	AND (has_table_privilege(role.name, c.oid, p.name)
		OR p.name IN ('INSERT', 'UPDATE', 'REFERENCES') AND has_any_column_privilege(role.name, c.oid, p.name))
	-- whose trigger makes an event of each change
	AND NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = c.oid AND t.tgname IN ('audit_change', 'propose')
		AND c.relname NOT IN ('credential', 'request'))
SQL
is($writable, 'credential DELETE', 'an admin writes the configuration only, and takes secrets away');
like(refused('ada', $_), qr/42501/, "refused: $_") foreach (
	"UPDATE exact.app_state SET oauth_state = 'chosen', oauth_state_at = 'infinity'",
	"INSERT INTO exact.app_state (app, oauth_state) VALUES ('erp', 'chosen')",
	"INSERT INTO exact.token (app, installation, host, key_id, origin) VALUES ('erp', 'x', 'x', 'k1', 'import')",
	"UPDATE exact.credential SET set_by = 'somebody else'", 'SELECT secret FROM exact.credential',
	'SELECT refresh FROM exact.token', 'SELECT oauth_state FROM exact.app_state');

# ---- what an admin does instead leaves an event with the name of who did it ----

as('ada', "SELECT exact.set_secret('app', 'erp', 'client_secret', '$info->{client_secret}')");
is(value("SELECT set_by FROM exact.credential WHERE field = 'client_secret'"), 'ada', 'a secret says who set it');
is(value("SELECT who FROM exact.audit_log WHERE kind = 'secret' ORDER BY id DESC LIMIT 1"), 'ada',
	'so does its event');
as('ada', "SELECT exact.set_secret('app', 'erp', 'webhook_secret_next', 'a secret that is not used any more')");
as('ada', "DELETE FROM exact.credential WHERE kind = 'app' AND name = 'erp' AND field = 'webhook_secret_next'");
is(value("SELECT who || (what ->> 'op') FROM exact.audit_log WHERE kind = 'secret' ORDER BY id DESC LIMIT 1"),
	'adaDELETE', 'a secret that was taken away has one');
is(value("SELECT count(*) FROM exact.audit_log WHERE what::text LIKE '%' || "
	. "(SELECT encode(substr(secret, 30), 'hex') FROM exact.credential LIMIT 1) || '%'"), '0',
	'no event holds a secret');

my $url = as('ada', "SELECT exact.authorize_url('erp')");
is(last_event(), 'ada|token|authorization begun', 'authorize_url()');
my ($state) = $url =~ /state=([0-9a-f]{64})/;
is(value("SELECT count(*) FROM exact.audit_log WHERE what::text LIKE '%$state%'"), '0', 'without the state');
is(value("BEGIN; SELECT FROM exact.authorize_url('erp'); ROLLBACK; "
	  . "SELECT oauth_state = '$state' FROM exact.app_state"), 't',
	'what is rolled back has begun nothing');

# ---- another role may not finish it ----

my $back = consent($url);
like(refused('eve', "SELECT exact.authorize('erp', '$back')"),
	qr/EX005: role ada began this authorisation.*Begin again/s, 'another admin cannot finish it');
like(error_of($node, 'postgres', "SELECT exact.authorize('erp', '$back')"), qr/EX005: role ada began/,
	'nor a superuser');
like(refused('eve', "SET ROLE exact_admin; SELECT exact.authorize('erp', '$back')"), qr/EX005: role ada began/,
	'nor after SET ROLE');
is(scalar $exact->calls(0, qr{oauth2/token}), 0, 'and nothing was sent');
like(as('ada', "SELECT exact.authorize('erp', '$back')"), qr/authorised/, 'who began it can');
is(last_event(), 'ada|inquiry|authorize', 'and has an event');
$back = consent(as('ada', "SELECT exact.authorize_url('erp')"));
like(as('eve', "SELECT exact.authorize('erp', '" . consent(as('eve', "SELECT exact.authorize_url('erp')")) . "')"),
	qr/authorised/, 'another one begins her own');
like(refused('ada', "SELECT exact.authorize('erp', '$back')"), qr/EX005/, 'which ends the first');

# ---- each function of an admin ----

# One that is added is to leave an event too, and a test of it (erase: sql/erase.sql).
is(value(<<'SQL'), <<'LIST' =~ s/\n/ /gr =~ s/ $//r, 'every function of an admin is known here');
SELECT string_agg(p.proname, ' ' ORDER BY p.proname COLLATE "C") FROM pg_proc AS p
WHERE p.pronamespace = 'exact'::regnamespace AND p.proname !~ '^_' AND p.provolatile = 'v'
	AND has_function_privilege('exact_admin', p.oid, 'EXECUTE')
	AND NOT has_function_privilege('exact_operator', p.oid, 'EXECUTE')
SQL
adopt approve authorize authorize_url create_views disable_entities discover_divisions enable_entities erase estimate
fence import_secrets install_schedule reject restart_workers restrict_reader rotate_key set_secret
LIST

as('ada', 'SELECT exact.rotate_key()');
is(last_event(), 'ada|request|rotate_key', 'rotate_key()');
as('ada', 'SELECT FROM exact.import_secrets()');
is(last_event(), 'ada|inquiry|import_secrets', 'import_secrets()');
as('ada', "SELECT FROM exact.discover_divisions('erp')");
is(value("SELECT who FROM exact.audit_log WHERE kind = 'inquiry' AND what ->> 'asked' = 'discover'"), 'ada',
	'discover_divisions()');
as('ada', "SELECT FROM exact.estimate((SELECT division FROM exact.division), ARRAY['items'])");
is(value("SELECT DISTINCT who FROM exact.audit_log WHERE kind = 'inquiry' AND what ->> 'asked' = 'count'"), 'ada',
	'estimate()');
as('ada', 'SELECT exact.restart_workers()');
is(last_event(), 'ada|request|restart', 'restart_workers()');
wait_for_workers($node, 'postgres');
is(value('SELECT count(*) FROM exact.verify_audit()'), '0', 'the chains hold');
$node->stop;
done_testing();
