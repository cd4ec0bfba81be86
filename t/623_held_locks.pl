# Locks that somebody holds: an idle transaction that holds the chain of the audit log is named after five seconds, and
# no advisory lock that any role may take keeps the hub down.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactTest;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

my $node = exact_cluster('main', conf => { timezone => morning() });

sub value { return $node->safe_psql('postgres', $_[0]); }
# A session that has run the statements and stays; its process id
my @sessions;
sub session
{
	my ($role, $sql) = @_;
	my %session = (in => "SELECT 'pid=' || pg_backend_pid();\n$sql;\nSELECT 'ready';\n", out => '', err => '');

	$session{handle} = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') . " user=$role" ], '<',
		\$session{in}, '>', \$session{out}, '2>', \$session{err});
	push @sessions, \%session;
	wait_until("$role runs $sql", sub { $session{handle}->pump_nb; $session{out} =~ /^ready$/m });
	($session{pid}) = $session{out} =~ /pid=(\d+)/;
	return \%session;
}
sub end_session
{
	my ($session) = @_;

	$session->{in} .= "\\q\n";
	$session->{handle}->finish;
	return;
}

value('CREATE EXTENSION exact_databricks');
wait_for_workers($node, 'postgres');
value("INSERT INTO exact.app (name, client_id) VALUES ('erp', 'x'); "
	. "INSERT INTO exact.division (division, app) VALUES (1, 'erp'), (2, 'erp')");
value('CREATE ROLE bert LOGIN; GRANT exact_operator TO bert; CREATE ROLE nobody_special LOGIN');

# ---- the chain "sql" ----

my $operator = session('bert', 'BEGIN; SET CONSTRAINTS ALL IMMEDIATE; SELECT exact.pause(1)');
my $error;
my $seconds = seconds_of(sub { $error = error_of($node, 'postgres',
	"SET statement_timeout = '4s'; BEGIN; UPDATE exact.app SET client_id = 'y'; COMMIT;") });
cmp_ok($seconds, '<', 15, 'whoever changes something meanwhile waits for seconds');
like($error, qr/55P03: the chain 'sql' of the audit log is held by another transaction/, 'is told why');
like($error, pattern("DETAIL:  Process $operator->{pid} \\(role bert, application \"[^\"]+\", idle in transaction\\) ",
	'has held it since \d\d:\d\d'), 'is told by whom');
like($error, qr/HINT:  Nothing was changed\..*pg_terminate_backend\($operator->{pid}\)/, 'and what to do');
is(value('SELECT client_id FROM exact.app'), 'x', 'nothing was changed');
$seconds = seconds_of(sub { $error = error_of($node, 'postgres',
	"SET lock_timeout = '200ms'; UPDATE exact.app SET client_id = 'y'") });
cmp_ok($seconds, '<', 4, 'a session that waits less says so');
like($error, qr/55P03.*Process $operator->{pid} /s, 'and is told the same');
is(value('SHOW lock_timeout'), '0', 'the setting is nobody else\'s');
end_session($operator);
value("UPDATE exact.app SET client_id = 'y'");
is(value("BEGIN; SET lock_timeout = '7s'; UPDATE exact.app SET client_id = 'z'; SET CONSTRAINTS ALL IMMEDIATE; "
	. "SHOW lock_timeout; COMMIT"), '7s', 'a transaction that may go on keeps its own');

# one that ends in time
$operator = session('bert', 'BEGIN; SET CONSTRAINTS ALL IMMEDIATE; SELECT exact.pause(2)');
my $other = { in => "BEGIN; UPDATE exact.app SET client_id = 'patient'; SET CONSTRAINTS ALL IMMEDIATE;\n"
	. "SHOW lock_timeout; COMMIT;\n\\q\n", out => '', err => '' };
$other->{handle} = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \$other->{in}, '>',
	\$other->{out}, '2>', \$other->{err});
wait_until('it waits', sub { $other->{handle}->pump_nb;
	value("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'SET CONSTR%'") });
end_session($operator);
$other->{handle}->finish;
is("$other->{out}$other->{err}", "0\n", 'one that gets the chain in time goes on, with the setting that it had');
is(value('SELECT client_id FROM exact.app'), 'patient', 'and its change is there');
is(value('SELECT count(*) FROM exact.verify_audit()'), 0, 'the chain is whole');

# ---- advisory locks ----

is(value("SELECT string_agg(p.oid::regprocedure::text, ', ') FROM pg_proc AS p "
	. "WHERE p.pronamespace = 'exact'::regnamespace AND p.prosrc ~ 'advisory'"), '',
	'no function of the hub takes a lock that SQL can take');
my $restarts = value("SELECT sum(restarts) FROM exact._workers()");
my $keys = "hashtextextended('exact_databricks installation', 0)";
my $oid = value("SELECT oid FROM pg_database WHERE datname = 'postgres'");
my $locks = "SELECT pg_advisory_lock($keys), "
  . join(', ', map { my $key = $_; "pg_advisory_lock($key), pg_advisory_lock($key, 0), pg_advisory_lock(0, $key)" }
	  17720 .. 17724, 0 .. 3, $oid);
my $nobody = session('nobody_special', $locks);
is(value("SELECT count(*) > 20 FROM pg_locks WHERE locktype = 'advisory' AND pid = $nobody->{pid}"), 't',
	'somebody without any right holds every lock that he can');
value("DELETE FROM exact.installation_binding; DELETE FROM exact.installation; SELECT exact.restart_workers()");
wait_for_workers($node, 'postgres');
pass('workers bind a database for the first time');
value('UPDATE exact.epoch SET timeline = 77; SELECT exact.restart_workers()');
wait_until('a promotion', sub { value("SELECT reason FROM exact.epoch ORDER BY epoch DESC LIMIT 1") =~ /after 77/ });
wait_for_workers($node, 'postgres');
pass('they work after a promotion');
end_session($nobody);

# what is in the way of a worker is named
my $restore = session(value('SELECT current_user'), 'BEGIN; SELECT exact._lock_installation()');
value('UPDATE exact.epoch SET timeline = 78; SELECT exact.restart_workers()');
wait_until('a worker says who is in the way', sub { value("SELECT count(*) FROM exact._workers() "
	. "WHERE role = 'fetcher' AND state = 'idle' "
	. "AND reason = 'process $restore->{pid} holds the installation of this hub'") });
pass('a session that restores a dump in an open transaction is named');
end_session($restore);
wait_for_workers($node, 'postgres', seconds => 60);
pass('and the workers go on when it has ended');

done_testing();
