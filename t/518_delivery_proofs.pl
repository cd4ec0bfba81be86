# Proofs of a delivery that nothing else visits: a history that was written twice by two attempts, a telling of
# exact_state that a killed loader left behind, a CA file that is named later. Engine-free workspace.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $simulator = simulator(engine => 'none', slots => 8);
my $node = exact_cluster('main', conf => { 'exact_databricks.merge_interval' => "'10ms'",
	'restart_after_crash' => 'on' });
deliver_to($node, $simulator);
my $statements = '^/api/2.0/sql/statements$';
my $tellings = qr{/\* exact_databricks \S+ exact_state state };
my $n = 0;

sub one { return $node->safe_psql('postgres', $_[0]); }
sub change { $n++; return stage($node, 1, 'costcenter', [ $n == 1 ? 'I' : 'U', 'a', { ID => 'a', Code => "a$n" } ]); }
sub target { return one("SELECT $_[0] FROM exact.target_state WHERE entity = 'costcenter'"); }

change();
wait_delivered($node, 60);

# The second attempt says that it has written what it was sent. So may have the first: it is counted all the same.
workspace_fault($simulator, path => $statements, statement => of_kind('history'), action => 'reset_before', times => 1);
workspace_fault($simulator, path => $statements, statement => of_kind('check'), action => 'between', times => 1,
	sql => 'INSERT INTO main.exact.costcenter_history SELECT * FROM main.exact.costcenter_history '
	. 'WHERE `_seq` = (SELECT max(`_seq`) FROM main.exact.costcenter_history)');
change();
wait_until('the table is paused', sub { target('paused_since IS NOT NULL') eq 't' }, 60);
like(target('reason'), qr/post-condition failed: main\.exact\.costcenter_history holds 2 of the 1 versions/,
	'two attempts that have both inserted are told');
control($simulator, 'DELETE', 'faults');

# A loader that is killed while exact_state is told: the next one waits until that telling is over
one("INSERT INTO exact.app_state (app, state) VALUES ('erp', 'authorized')");
one("UPDATE exact.division SET enabled = true WHERE division = 1");
one("INSERT INTO exact.feed (division, entity) VALUES (1, 'items')");
one("INSERT INTO exact.division_state (division, state, reason) VALUES (1, 'paused', 'paused by a test') "
	. "ON CONFLICT (division) DO UPDATE SET state = 'paused', reason = excluded.reason");
workspace_fault($simulator, path => $statements, statement => 'exact_state state ', action => 'slow', seconds => 6,
	times => 1);
one('SELECT exact.restart_workers()');
wait_until('exact_state is being told', sub { one("SELECT count(*) FROM exact.statement_log WHERE kind = 'state' "
	. "AND entity = 'exact_state' AND state IN ('sending', 'running')") eq '1' }, 60);
my $pid = worker_pid($node, 'postgres', 'loader');
kill 'KILL', $pid;
wait_until('another loader runs',
	sub { my $new = eval { worker_pid($node, 'postgres', 'loader') } // ''; $new ne '' && $new ne $pid }, 60);
wait_until('it has told it, too', sub { statements($simulator, $tellings) > 1
	&& one("SELECT count(*) FROM exact.statement_log WHERE kind = 'state' AND state IN ('sending', 'running', "
		. "'unknown')") eq '0' }, 90);
my @told = sort { $a->{at} <=> $b->{at} } statements($simulator, $tellings);
is(scalar(grep { $told[$_]{at} < $told[ $_ - 1 ]{at} + $told[ $_ - 1 ]{ms} / 1000 - 0.05 } 1 .. $#told), 0,
	'no two tellings at a time');
is(one('SELECT count(*) FROM exact.verify_audit()'), '0', 'the audit chains hold');

# The workspace's certificate is not trusted, until its CA is named: a reload is enough.
SKIP:
{
	my $directory = PostgreSQL::Test::Utils::tempdir();
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my $made = system('openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=localhost', '-addext',
		'subjectAltName=DNS:localhost', '-days', '1', '-keyout', "$directory/key", '-out', "$directory/cert", '-batch');

	skip 'no openssl', 2 if $made != 0;
	chmod 0644, "$directory/cert";
	my $server = spawn_server([ 'openssl', 's_server', '-accept', "127.0.0.1:$port", '-key', "$directory/key",
		'-cert', "$directory/cert", '-www' ], qr{(ACCEPT)});
	# what the log says of the token, which is asked for at the workspace itself
	my $tried = sub {
		one('SELECT count(*) FROM exact.ping()');
		return (slurp_file($node->logfile) =~ /token workspace=lake event="not renewed" (attempt=\d+ finding=".*)/g)[-1]
			// '';
	};

	one("UPDATE exact.workspace SET host = 'https://localhost:$port' WHERE name = 'lake'");
	one("SELECT exact.set_secret('workspace', 'lake', 'client_secret', 'of no use')");
	wait_until('the certificate is refused, and the next attempt far away', sub { $tried->() =~ /attempt=5 / }, 90);
	like($tried->(), qr/certificate/i, 'the certificate is refused: ' . $tried->());
	one("ALTER SYSTEM SET exact_databricks.ca_file = '$directory/cert'");
	one('SELECT pg_reload_conf()');
	my $seconds = seconds_of(sub { wait_until('it is trusted', sub { $tried->() !~ /certificate/i }, 60) });
	cmp_ok($seconds, '<', 8, sprintf('a CA file that is named later is used at once (%.1f s)', $seconds));
	stop_server($server);
}
$node->stop;
done_testing();
