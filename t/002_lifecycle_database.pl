# Commands on databases with running workers: DROP plain and FORCE, RENAME, SET TABLESPACE, TEMPLATE; two databases side
# by side.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = exact_cluster('main');
my $log = $node->logfile;

sub hub
{
	my ($database) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, 'CREATE EXTENSION exact_databricks');
	wait_for_workers($node, $database);
	return;
}

hub('one');
hub('two');
ok(1, 'two databases have workers of their own');
isnt(worker_pid($node, 'one', 'fetcher'), worker_pid($node, 'two', 'fetcher'), 'different processes');

# a failed DROP: another connection is there; the workers come back
my $session = $node->background_psql('one');
$session->query_safe('SELECT 1');
my ($rc, $out, $err) = $node->psql('postgres', 'DROP DATABASE one');
like($err, qr/being accessed by other users/, 'DROP DATABASE fails while a user is connected');
ok(wait_for_workers($node, 'one'), 'and the workers come back');
$session->quit;

# plain and forced
my $seconds = seconds_of(sub { $node->safe_psql('postgres', 'DROP DATABASE one') });
cmp_ok($seconds, '<', 2, sprintf('DROP DATABASE (%.2f s)', $seconds));
is($node->safe_psql('two', "SELECT count(*) FROM exact._workers() WHERE state = 'running'"),
	'3', 'workers of the other database run on');
hub('one');
$seconds = seconds_of(sub { $node->safe_psql('postgres', 'DROP DATABASE one WITH (FORCE)') });
cmp_ok($seconds, '<', 2, sprintf('DROP DATABASE WITH (FORCE) (%.2f s)', $seconds));

# a database that has the extension since a moment ago
$node->safe_psql('postgres', 'CREATE DATABASE one');
$node->safe_psql('one', 'CREATE EXTENSION exact_databricks');
$seconds = seconds_of(sub { $node->safe_psql('postgres', 'DROP DATABASE one') });
cmp_ok($seconds, '<', 8, sprintf('DROP DATABASE right after CREATE EXTENSION (%.2f s)', $seconds));

# rename
hub('one');
$seconds = seconds_of(sub { $node->safe_psql('postgres', 'ALTER DATABASE one RENAME TO uno') });
cmp_ok($seconds, '<', 3, sprintf('RENAME (%.2f s)', $seconds));
ok(wait_for_workers($node, 'uno'), 'workers serve the renamed database');
ok(wait_until('the new name',
	sub { $node->safe_psql('uno', "SELECT DISTINCT database FROM exact._workers() WHERE database IS NOT "
		. "NULL") eq 'uno' }),
	'under its new name');

# as a template: the copy has the extension and gets workers of its own
$seconds = seconds_of(sub { $node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE uno') });
cmp_ok($seconds, '<', 10, sprintf('CREATE DATABASE ... TEMPLATE (%.2f s)', $seconds));
ok(wait_for_workers($node, 'uno'), 'workers of the template come back');
ok( wait_until(
		'the copy has workers',
		sub { $node->safe_psql('copy', "SELECT count(*) FROM exact._workers() WHERE role <> 'launcher' "
			. "AND pid IS NOT NULL") eq '2' }),
	'the copy has workers');

# tablespace
my $directory = PostgreSQL::Test::Utils::tempdir();
$node->safe_psql('postgres', "CREATE TABLESPACE elsewhere LOCATION '$directory'");
$seconds = seconds_of(sub { $node->safe_psql('postgres', 'ALTER DATABASE uno SET TABLESPACE elsewhere') });
cmp_ok($seconds, '<', 10, sprintf('SET TABLESPACE (%.2f s)', $seconds));
ok(wait_for_workers($node, 'uno'), 'workers serve the moved database');

# someone without the right cannot end workers
$node->safe_psql('postgres', 'CREATE ROLE mallory LOGIN; CREATE ROLE builder LOGIN CREATEDB');
my $pid = worker_pid($node, 'uno', 'fetcher');
foreach my $try ([ 'mallory', 'DROP DATABASE uno' ], [ 'mallory', 'ALTER DATABASE uno RENAME TO x' ],
	[ 'builder', 'DROP DATABASE uno WITH (FORCE)' ], [ 'builder', 'CREATE DATABASE x TEMPLATE uno' ])
{
	($rc, $out, $err) = $node->psql('postgres', $try->[1], extra_params => [ '-U', $try->[0] ]);
	like($err, qr/permission denied|must be owner/, "$try->[0]: $try->[1] is refused");
}
is(worker_pid($node, 'uno', 'fetcher'), $pid, 'and the workers were not touched');

# barriers: other databases come and go while the workers wait
$seconds = seconds_of(
	sub { $node->safe_psql('postgres', 'CREATE DATABASE other'); $node->safe_psql('postgres', 'DROP DATABASE other') });
cmp_ok($seconds, '<', 5, sprintf('CREATE and DROP DATABASE of another database (%.2f s)', $seconds));

# all of them at once
$node->safe_psql('postgres', "DROP DATABASE $_ WITH (FORCE)") foreach ('uno', 'copy', 'two');
$node->poll_query_until('postgres',
	"SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type IN ('exact fetcher', 'exact loader')");
ok(1, 'no worker is left');

$node->stop;
my $text = PostgreSQL::Test::Utils::slurp_file($log);
unlike($text, qr/PANIC|TRAP|signal 11/, 'no crash in the log');
unlike($text, qr/still waiting for backend/, 'no barrier was held up');
unlike($text, qr/did not end within/, 'every worker went in time');
done_testing();
