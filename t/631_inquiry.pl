# Who asked: an inquiry reads enabled divisions and entities, has an event that stays, and its calls name the role.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactOnline;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $exact = ExactOnline->start('--divisions', 2, '--records', 80, '--fast', '--minute-limit', 100000,
	'--error-limit', 0);
my $node = exact_cluster('main');

sub value { return $node->safe_psql('postgres', $_[0]); }
sub as { my ($who, $sql) = @_; return $node->safe_psql('postgres', "SET SESSION AUTHORIZATION $who; $sql"); }
sub refused { my ($who, $sql) = @_; return error_of($node, 'postgres', "SET SESSION AUTHORIZATION $who; $sql"); }
sub inquiries { return value("SELECT count(*) FROM exact.audit_log WHERE kind = 'inquiry'"); }
sub last_inquiry
{
	return value("SELECT who || ' ' || what::text || coalesce(' of ' || division, '') FROM exact.audit_log "
		  . "WHERE kind = 'inquiry' ORDER BY at DESC LIMIT 1");
}

value('CREATE EXTENSION exact_databricks');
wait_for_workers($node, 'postgres');
$exact->authorise($node, 'postgres');
my ($first, $second) = $exact->divisions;
value("SELECT FROM exact.discover_divisions('erp')");
value("UPDATE exact.division SET enabled = division = $first");
value("SELECT exact.enable_entities($first, 'items')");
value('CREATE ROLE olga LOGIN IN ROLE exact_operator; CREATE ROLE ada LOGIN IN ROLE exact_admin; '
	. 'CREATE ROLE rita LOGIN IN ROLE exact_reader; CREATE ROLE nobody LOGIN');
my $before = inquiries();

# ---- what may be asked ----

like(as('olga', "SELECT count(*) FROM exact.fetch($first, 'logistics/Items', '\$select=ID,Code')"), qr/^[1-9]/,
	'an operator reads an enabled entity');
like(last_inquiry(), qr/^olga \{.*"asked": "fetch".*\} of $first$/, 'and that leaves an event with the role');
my ($rows) = last_inquiry() =~ /"rows": (\d+)/;
is($rows, as('olga', "SELECT count(*) FROM exact.fetch($first, 'Logistics/items')"), 'with the number of records');
my $id = as('olga',
	"SELECT f ->> 'ID' FROM exact.fetch($first, 'logistics/Items', '\$select=ID&\$top=1') AS f LIMIT 1");
is(as('olga', "SELECT count(*) FROM exact.fetch($first, \$\$logistics/Items(guid'$id')\$\$)"), 1, 'one record');
is(inquiries(), $before + 4, 'an event each');

like(as('olga', "SELECT count(*) FROM exact.fetch($first, 'bulk/Logistics/Items', '\$select=ID')"), qr/^[1-9]/,
	'the same records in bulk');

my $calls = value("SELECT count(*) FROM exact.api_call WHERE feed = 'ask'");
like(refused('ada', "SELECT exact.fetch($second, 'logistics/Items')"),
	qr/EX018.*division $second is not enabled.*UPDATE/s, 'a division that is not enabled is nobody\'s to read');
like(error_of($node, 'postgres', "SELECT exact.fetch($second, 'logistics/Items')"), qr/EX018/, 'nor the superuser\'s');
like(refused('olga', "SELECT exact.fetch($first, $_)"), qr/42501.*enable_entities/s, "no operator's: $_") foreach (
	"'crm/Accounts'", "'payroll/Employees', '\$select=FullName'", "'logistics/Items/Employees'", "'logistics'",
	"'logistics/Items', '\$expand=Employee'", "'logistics/Items', '%24Expand=Employee'", "'logistics/Items',
	'\$select=ID&%24%65xpand=Employee'", "''");
like(refused('olga', "SET ROLE exact_reader; SELECT exact.fetch($first, 'logistics/Items')"), qr/42501/,
	'a reader may not');
like(refused('rita', "SELECT exact.fetch($first, 'logistics/Items')"), qr/42501/, 'nor one who logged in');
like(refused('nobody', "SELECT exact.fetch($first, 'logistics/Items')"), qr/42501/, 'nor anybody');
like(refused('ada', "SET ROLE exact_operator; SELECT exact.fetch($first, 'crm/Accounts')"), qr/42501/,
	'an admin who became an operator may what an operator may');
is(value("SELECT count(*) FROM exact.api_call WHERE feed = 'ask'"), $calls, 'nothing was sent for any of them');
value("SELECT exact.disable_entities($first, 'items')");
like(refused('olga', "SELECT exact.fetch($first, 'logistics/Items')"), qr/42501/, 'what is disabled is out');
value("SELECT exact.enable_entities($first, 'items')");

like(as('ada', "SELECT count(*) FROM exact.fetch($first, 'crm/Accounts', '\$top=5')"), qr/^[1-9]/,
	'an admin reads other resources');
like(last_inquiry(), qr/^ada .*"resource": "crm\/Accounts"/, 'with an event');

# ---- each inquiry, and its calls ----

value("UPDATE exact.division SET enabled = true");
as('olga', "SELECT exact.me('erp')");
like(last_inquiry(), qr/^olga .*"app": "erp".*"rows": 1.*"asked": "me"/, 'me()');
as('olga', 'SELECT count(*) FROM exact.ping()');
is(value("SELECT string_agg(chain, ' ' ORDER BY chain) FROM exact.audit_log WHERE who = 'olga' "
	. "AND what ->> 'asked' = 'ping'"), 'fetcher loader', 'ping() asks both sides');
as('ada', "SELECT FROM exact.discover_divisions('erp')");
like(last_inquiry(), qr/^ada .*"asked": "discover"/, 'discover_divisions()');
is(value("SELECT string_agg(DISTINCT asked_by, ' ' ORDER BY asked_by) FROM exact.api_call WHERE feed = 'ask' "
	. "AND asked_by <> session_user"), 'ada olga', 'the calls name who asked');
is(value("SELECT count(*) FROM exact.api_call WHERE feed = 'ask' AND asked_by IS NULL"), '0', 'all of them');
$exact->sync($node, 'postgres');
is(value("SELECT count(*) > 0 AND count(asked_by) = 0 FROM exact.api_call WHERE feed <> 'ask'"), 't',
	'the hub\'s own calls have nobody');

# ---- the event stays ----

$before = inquiries();
value("BEGIN; SELECT count(*) FROM exact.fetch($first, 'logistics/Items', '\$top=1'); ROLLBACK");
is(inquiries(), $before + 1, 'when the asker rolls back');
like(error_of($node, 'postgres',
		"SELECT 1 / (count(*) - count(*)) FROM exact.fetch($first, 'logistics/Items', '\$top=1')"),
	qr/22012/, 'the asker\'s query fails');
is(inquiries(), $before + 2, 'and when the query fails');
$exact->fault("/$first/logistics/Items", 'delay_after', times => 1, seconds => 1);
like(error_of($node, 'postgres', "SET statement_timeout = '300ms'; SELECT exact.fetch($first, 'logistics/Items')"),
	qr/57014/, 'the asker\'s query is cancelled');
is(value("SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'exact %' AND xact_start IS NOT NULL "
	. "AND state <> 'active'"), '0', 'no transaction is open while the network is waited for');
wait_until('its event', sub { inquiries() == $before + 3 });
$exact->clear_faults;
$exact->fault("/$first/logistics/Items", 'status', status => 404, times => 1);
isnt(error_of($node, 'postgres', "SELECT exact.fetch($first, 'logistics/Items')"), '', 'Exact Online refuses');
is(inquiries(), $before + 4, 'and when the service refuses');
like(last_inquiry(), qr/"sqlstate": "\w{5}"/, 'with the reason\'s code');

# without an event nobody learns anything
my $session = $node->background_psql('postgres');
$session->query_safe("BEGIN; SELECT FROM exact.audit_chain WHERE chain = 'fetcher' FOR UPDATE");
like(error_of($node, 'postgres', "SELECT exact.me('erp')"), qr/55P03/, 'the chain is locked: no answer');
like(error_of($node, 'postgres', 'SELECT exact.import_secrets()'), qr/55P03/, 'and nothing is done');
$session->query_safe('ROLLBACK');
$session->quit;
like(value("SELECT exact.me('erp')"), qr/CurrentDivision/, 'it goes on');
is(value('SELECT count(*) FROM exact.verify_audit()'), '0', 'the chains hold');
$node->stop;
done_testing();
