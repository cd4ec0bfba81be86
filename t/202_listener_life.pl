# The listener's life: settings, a port that is taken, times at which it must not work, locks of users, commands on the
# database and the extension, ends under load. Never 200 for what is not stored.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactTest;
use IO::Socket::INET;
use Listener;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = exact_cluster('main', conf => { 'log_min_messages' => 'log' });
my ($port, $other) = (free_port(), free_port());

sub value { return $node->safe_psql('postgres', $_[0]); }
sub listener { return value("SELECT $_[0] FROM exact.workers WHERE role = 'listener'"); }

# ---- settings ----
value('CREATE EXTENSION exact_databricks');
wait_for_workers($node, 'postgres');
wait_until('a listener without an address rests', sub { listener('state') eq 'stopped' });
is(listener('reason'), 'exact_databricks.listen_addresses is not set', 'and says why');
my $restarts = listener('restarts');
add_app($node, 'postgres');
value("ALTER DATABASE postgres SET exact_databricks.listen_addresses = 'localhost'");
value("ALTER DATABASE postgres SET exact_databricks.port = $port");
is(listener('state'), 'stopped', 'settings of the database reach a worker at its start');
is(listener('restarts'), $restarts, 'nobody started it meanwhile');
value('SELECT exact.restart_workers()');
wait_for_listener($node, 'postgres');
like(listener('listens_at'), qr/127\.0\.0\.1:$port/, 'restart_workers(): it listens');
is(status_of(post($port, notification())), 200, 'and takes notifications');

like(error_of($node, 'postgres', "ALTER DATABASE postgres SET exact_databricks.$_->[0] = '$_->[1]'"),
	qr/22023.*$_->[2]/s, "$_->[0] = $_->[1] is refused")
	foreach [ 'listen_addresses', 'a b;c', 'IP addresses and host names' ], [ 'port', '0', 'outside the valid range' ],
	[ 'port', '65536', 'outside the valid range' ];
like(error_of($node, 'postgres', "ALTER SYSTEM SET exact_databricks.trusted_proxies = '$_'"),
	qr/IP addresses or networks/, "trusted_proxies = $_ is refused")
	foreach '10.0.0.0/33', 'proxy.example', '10.0.0.0/', '1.2.3', '::1/129', '10.0.0.1,,';

# an address that is not here, and a port that is taken: says so, tries again
value("ALTER DATABASE postgres SET exact_databricks.listen_addresses = '203.0.113.77'");
value('SELECT exact.restart_workers()');
wait_until('an address of another machine',
	sub { listener('reason') =~ /cannot listen at 203\.0\.113\.77 port $port: / });
is(listener('state'), 'idle', 'it waits');
my $taken = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', LocalPort => $other, Proto => 'tcp')
	or die "cannot listen: $!";
value("ALTER DATABASE postgres SET exact_databricks.listen_addresses = '127.0.0.1, ::1'");
value("ALTER DATABASE postgres SET exact_databricks.port = $other");
value('SELECT exact.restart_workers()');
wait_until('the port is taken',
	sub { listener('reason') =~ /cannot listen at 127\.0\.0\.1 port $other: Address already in use/ });
my $pid = listener('pid');
like(slurp_file($node->logfile),
	qr/exact listener: cannot listen at 127\.0\.0\.1 port $other.*\n.*HINT:  Free the port/s,
	'the log says it, with a hint');
close $taken;
wait_for_listener($node, 'postgres');
is(listener('pid'), $pid, 'when it is free, the same process takes it');
like(listener('listens_at'), qr/^127\.0\.0\.1:$other, \[::1\]:$other$/, 'both addresses');
is(listener('reason'), '', 'and nothing is wrong');
is(scalar(() = slurp_file($node->logfile) =~ /cannot listen at 127\.0\.0\.1 port $other/g), 1, 'said once');
$port = $other;

# ---- must not work ----
value('ALTER SYSTEM SET exact_databricks.enabled = off');
$node->reload;
wait_for_workers($node, 'postgres', state => 'idle', roles => ['listener']);
my $answer = post($port, notification());
is(status_of($answer), 503, 'switched off: 503');
like(header_of($answer, 'Retry-After'), qr/^\d+$/, 'come again later');
is(status_of(get($port, '/health')), 503, '/health says so');
is(status_of(post($port, '')), 503, 'the empty call too: no subscription is made now');
value('ALTER SYSTEM RESET exact_databricks.enabled');
$node->reload;
wait_for_listener($node, 'postgres');
is(status_of(get($port, '/health')), 200, 'switched on');
is(status_of(post($port, notification())), 200, 'takes notifications');

value("DELETE FROM exact.credential WHERE field = 'webhook_secret'");
wait_until('no secret: 503, not 401', sub { status_of(post($port, notification())) eq '503' });
value('SELECT * FROM exact.import_secrets()');
wait_until('a secret again', sub { status_of(post($port, notification())) eq '200' });

# nothing can be committed: 503, and nothing is lost when it can again
value("CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION "
	. "USING ERRCODE = ''53100'', MESSAGE = ''disk full''; END'");
value('CREATE TRIGGER refuse BEFORE INSERT ON exact.inbox FOR EACH STATEMENT EXECUTE FUNCTION public.refuse()');
my $body = notification();
is(status_of(post($port, $body)), 503, 'the disk is full: 503');
value('DROP TRIGGER refuse ON exact.inbox');
ok(wait_until('the sender comes again', sub { status_of(post($port, $body)) eq '200' }, 5),
	'the sender comes again: 200');
value("CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON exact.inbox DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE "
	. "FUNCTION public.refuse()");
is(status_of(post($port, notification())), 503, 'the commit fails: 503');
my $log_before = () = slurp_file($node->logfile) =~ /exact listener: notifications: disk full/g;
post($port, notification()) foreach 1 .. 200;
cmp_ok((() = slurp_file($node->logfile) =~ /exact listener: notifications: disk full/g) - $log_before, '<', 20,
	'the log is not filled');
value('DROP TRIGGER refuse ON exact.inbox; DROP FUNCTION public.refuse()');
wait_until('accepted again', sub { status_of(post($port, notification())) eq '200' }, 5);
# one that the database refuses does not take the others with it
value("ALTER TABLE exact.inbox ADD CONSTRAINT no_bad CHECK (key <> 'bad00000-0000-0000-0000-000000000000')");
my @group = map { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Proto => 'tcp') } 1 .. 9;
my @bodies = map { notification($_ == 5 ? (key => 'bad00000-0000-0000-0000-000000000000') : ()) } 1 .. 9;
print { $group[ $_ - 1 ] } request_bytes('POST', '/exact/hook', body => $bodies[ $_ - 1 ]) foreach 1 .. 9;
is(join(' ', map { status_of(raw($port, '', socket => $_)) } @group), '200 200 200 200 503 200 200 200 200',
	'one of a group is refused alone');
value('ALTER TABLE exact.inbox DROP CONSTRAINT no_bad');

# ---- a user's open transaction ----
my $user = $node->background_psql('postgres', on_error_stop => 1, timeout => 60);
# all but the heads of the audit chains, of which no user's role can lock a row
is(value("SELECT has_table_privilege('exact_admin', 'exact.audit_chain', 'UPDATE') "
	. "OR has_table_privilege('exact_admin', 'exact.audit_chain', 'DELETE')"), 'f',
	'heads of chains are for the workers');
my @tables = split /\n/, value("SELECT c.oid::regclass FROM pg_class AS c WHERE c.relnamespace = 'exact'::regnamespace "
	. "AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> 'audit_chain'");
$user->query_safe('BEGIN');
$user->query_safe("SELECT count(*) FROM (SELECT FROM $_ FOR UPDATE) AS x") foreach @tables;
my $begun = time();
is(status_of(post($port, notification())), 200, sprintf('rows of %d tables locked: accepted', scalar @tables))
	foreach 1 .. 10;
cmp_ok(time() - $begun, '<', 3, sprintf('without a delay (%.0f ms each)', 100 * (time() - $begun)));
$user->query_safe('ROLLBACK');
# its own notification, not committed
$body = notification();
$user->query_safe('BEGIN');
is($user->query_safe("SELECT exact.receive_webhook(convert_to(\$b\$$body\$b\$, 'UTF8'))"), 'accepted',
	'receive_webhook() not committed');
$begun = time();
is(status_of(post($port, $body)), 200, 'the same one by HTTP');
is(status_of(post($port, notification())), 200, 'and another');
cmp_ok(time() - $begun, '<', 2, 'without a delay');
$user->query_safe('ROLLBACK');
# the whole table: answered, not hung
$user->query_safe('BEGIN; LOCK TABLE exact.inbox IN ACCESS EXCLUSIVE MODE');
$begun = time();
is(status_of(post($port, notification(), seconds => 10)), 503, 'the table is locked: 503');
cmp_ok(time() - $begun, '<', 5, sprintf('after %.1f s', time() - $begun));
$user->query_safe('ROLLBACK');
$user->quit;
ok(wait_until('accepted again', sub { status_of(post($port, notification())) eq '200' }, 5), 'accepted again');

# ---- ends under load ----
sub under_load
{
	my ($what, $code) = @_;
	my $before = value('SELECT count(*) FROM exact.inbox');
	my $load = start_senders($port, 4);

	wait_until("$what: notifications flow", sub { value("SELECT count(*) > $before + 300 FROM exact.inbox") eq 't' });
	my $seconds = seconds_of($code);
	return (stop_senders($load), $seconds);
}

my ($answers, $seconds) = under_load('restart', sub { value('SELECT exact.restart_workers()');
	wait_until('gone', sub { listener('pid') ne $pid }); wait_for_listener($node, 'postgres'); });
is(scalar(missing_keys($node, $answers)), 0, sprintf('restart_workers(): all of %d acknowledged ones are stored',
	scalar @{ $answers->{200} }));
is(join(' ', grep { !/^(200|503|closed)$/ } keys %$answers), '', 'answers are 200 and 503');

($answers, $seconds) = under_load('fast shutdown', sub { $node->stop('fast'); });
cmp_ok($seconds, '<', 10, sprintf('fast shutdown under load (%.1f s)', $seconds));
$node->start;
wait_for_listener($node, 'postgres');
is(scalar(missing_keys($node, $answers)), 0, sprintf('all of %d acknowledged ones are stored',
	scalar @{ $answers->{200} }));

($answers, $seconds) = under_load('immediate shutdown', sub { $node->stop('immediate'); });
$node->start;
wait_for_listener($node, 'postgres');
is(scalar(missing_keys($node, $answers)), 0, sprintf('immediate shutdown: all of %d acknowledged ones are stored',
	scalar @{ $answers->{200} }));

# synchronous_commit = off is the database's wish for itself; an answer promises more
value('ALTER SYSTEM SET synchronous_commit = off');
value('ALTER SYSTEM SET wal_writer_delay = 10000');
$node->reload;
foreach my $since ('a reload', 'the start')
{
	($answers) = under_load('immediate shutdown', sub { $node->stop('immediate'); });
	$node->start;
	wait_for_listener($node, 'postgres');
	is(scalar(missing_keys($node, $answers)), 0,
		sprintf('synchronous_commit = off since %s: all of %d acknowledged ones are stored', $since,
			scalar @{ $answers->{200} }));
}

# the extension goes and comes under load
my $load = start_senders($port, 2);
$seconds = seconds_of(sub { value('DROP EXTENSION exact_databricks') });
cmp_ok($seconds, '<', 5, sprintf('DROP EXTENSION under load (%.1f s)', $seconds));
wait_until('the listener has gone',
	sub { value("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'exact listener'") eq '0' });
value('CREATE EXTENSION exact_databricks');
wait_for_listener($node, 'postgres');
is(status_of(post($port, notification())), 503, 'without a secret: 503');
stop_senders($load);

# a database of its own
$node->safe_psql('postgres', 'CREATE DATABASE hub');
my $third = free_port();
$node->safe_psql('postgres', "ALTER DATABASE hub SET exact_databricks.listen_addresses = '*'; ALTER DATABASE hub "
	. "SET exact_databricks.port = $third");
$node->safe_psql('hub', 'CREATE EXTENSION exact_databricks');
wait_for_listener($node, 'hub');
is(body_of(get($third, '/health')), "no webhook secret can be used\n",
	'two databases, two listeners; this one could take no notification');
like($node->safe_psql('hub', "SELECT result, finding FROM exact.check() WHERE rule = 'listener address'"),
	qr/^warn\|http:\/\/ at public addresses: 0\.0\.0\.0:$third/, 'check() warns of all addresses');
is(value("SELECT result FROM exact.check() WHERE rule = 'listener address'"), 'ok', 'and not of loopback');
$load = start_senders($third, 2);
my $idle = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $third, Proto => 'tcp');
$seconds = seconds_of(sub { $node->safe_psql('postgres', 'DROP DATABASE hub') });
cmp_ok($seconds, '<', 10, sprintf('DROP DATABASE under load (%.1f s)', $seconds));
stop_senders($load);
is(status_of(post($port, '')), 200, 'the other lives');
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|segfault|signal 11/, 'no crash');
done_testing();
