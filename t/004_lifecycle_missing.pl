# What is missing is said: no preload, too few worker slots, another version, a database with another encoding.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

# without preload
my $node = exact_cluster('plain', preload => '');
$node->safe_psql('postgres', 'CREATE EXTENSION exact_databricks');
is($node->safe_psql('postgres', 'SELECT exact._version_library() IS NULL'), 't', 'no library is preloaded');
is($node->safe_psql('postgres', 'SELECT count(*) FROM exact._workers()'), '0', 'no workers');
$node->safe_psql('postgres', "SELECT exact._wake('fetcher')");
my $error = error_of($node, 'postgres', "SELECT exact._ask('fetcher', 'me')");
like($error, qr/EX001: the workers of exact_databricks do not run in this server/, 'a question raises EX001');
like($error, qr/HINT:  Add exact_databricks to shared_preload_libraries/, 'with the next step');
like(error_of($node, 'postgres', 'SELECT exact.restart_workers()'), qr/EX001/, 'restart_workers() too');
is($node->safe_psql('postgres', "SELECT exact._version_library(); SHOW exact_databricks.merge_interval"), "\n5s",
	'settings are there');
$node->safe_psql('postgres', 'DROP EXTENSION exact_databricks');

# settings refuse nonsense
foreach my $case (
	[ 'allowed_hosts', '*.com', qr/is not a host/ ],
	[ 'allowed_hosts', 'http://x.example', qr/is not a host/ ],
	[ 'allowed_hosts', 'host.example:99999', qr/is not a host/ ],
	[ 'key_file', 'relative/path', qr/must be absolute/ ],
	[ 'instance', 'two words', qr/invalid value/ ],
	[ 'public_url', 'ftp://hub.example', qr/must begin with https/ ],
	[ 'port', '70000', qr/outside the valid range/ ],
	[ 'refresh_after', '600s', qr/outside the valid range/ ],
	[ 'nonsense', '1', qr/invalid configuration parameter name|unrecognized configuration parameter/ ])
{
	my ($name, $value, $expected) = @$case;
	my $sql = "LOAD 'exact_databricks'; ALTER SYSTEM SET exact_databricks.$name = '$value'";
	my ($rc, $out, $err) =
	  $node->psql('postgres', "LOAD 'exact_databricks';\nALTER SYSTEM SET exact_databricks.$name = '$value'");
	like($err, $expected, "$name = $value is refused");
}
# settings about files, hosts and addresses are for superusers
$node->safe_psql('postgres', 'CREATE ROLE somebody LOGIN');
foreach my $name ('key_file', 'secrets_directory', 'allowed_hosts', 'ca_file', 'instance', 'insecure_loopback',
	'listen_addresses', 'public_url')
{
	my $look = "SELECT count(*) FROM pg_settings WHERE name = 'exact_databricks.$name'";

	is($node->safe_psql('postgres', "LOAD 'exact_databricks'; $look; SET ROLE somebody; $look"), "1\n0",
		"$name is shown to superusers only");
}

# another encoding
$node->safe_psql('postgres', "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'");
$error = error_of($node, 'latin', 'CREATE EXTENSION exact_databricks');
like($error, qr/EX016: exact_databricks needs a database with encoding UTF8, this one has LATIN1/, 'LATIN1 is refused');
$node->stop;

# worker slots: 1 for logical replication's launcher, 1 for ours, then the probe and the fetcher only
$node = exact_cluster('narrow', conf => { 'max_worker_processes' => 3, 'log_min_messages' => 'log' });
$node->safe_psql('postgres', 'CREATE EXTENSION exact_databricks');
ok(wait_for_workers($node, 'postgres', roles => ['fetcher']), 'the fetcher gets the last slot');
wait_until('the log says it',
	sub { PostgreSQL::Test::Utils::slurp_file($node->logfile) =~ /exact launcher: no free worker slot/ });
my $text = PostgreSQL::Test::Utils::slurp_file($node->logfile);
like($text, qr/HINT:  Raise max_worker_processes \(now 3\)/, 'with the hint');
my @lines = $text =~ /no free worker slot/g;
is(scalar @lines, 1, 'in one line');
like($node->safe_psql('postgres', "SELECT reason FROM exact._workers() WHERE role = 'loader'"),
	qr/raise max_worker_processes/, 'and _workers() says it');
$error = error_of($node, 'postgres', "SELECT exact._ask('loader', 'ping')");
like($error, qr/EX001.*no free worker slot/s, 'a question to the missing worker says it');

# the server's library and the extension differ
$node->stop;
$node = exact_cluster('versions');
$node->safe_psql('postgres', 'CREATE EXTENSION exact_databricks');
wait_for_workers($node, 'postgres');
my $pid = worker_pid($node, 'postgres', 'fetcher');
$node->safe_psql('postgres',
	"BEGIN; SELECT exact._quiesce(); UPDATE pg_extension SET extversion = '9.9' "
	. "WHERE extname = 'exact_databricks'; COMMIT");
ok(wait_for_workers($node, 'postgres', state => 'idle'), 'another version: workers idle');
like(
	$node->safe_psql('postgres', "SELECT reason FROM exact._workers() WHERE role = 'fetcher'"),
	qr/library is version 1.0, the extension is version 9.9/, 'and say why');
wait_until('the log warns',
	sub {
		PostgreSQL::Test::Utils::slurp_file(
			$node->logfile) =~ /WARNING:  exact fetcher: waits: the server's library is version/ });
$node->safe_psql('postgres',
	"BEGIN; SELECT exact._quiesce(); UPDATE pg_extension SET extversion = '1.0' "
	. "WHERE extname = 'exact_databricks'; COMMIT");
ok(wait_for_workers($node, 'postgres'), 'the right version: workers run');
is(worker_pid($node, 'postgres', 'fetcher'), $pid, 'the same process');

# an update script keeps units away, and workers come back when it ends
my $session = $node->background_psql('postgres');
$session->query_safe('BEGIN');
$session->query_safe('SELECT exact._quiesce()');
is( $node->safe_psql('postgres', "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 17722 "
	. "AND mode = 'ExclusiveLock'"),
	'1', '_quiesce() holds its lock');
like(error_of($node, 'postgres', "SELECT exact._ask('fetcher', 'me', 'nobody')"), qr/lock timeout/,
	'and no unit runs meanwhile');
$session->query_safe('COMMIT');
$session->quit;
like(error_of($node, 'postgres', "SELECT exact._ask('fetcher', 'me', 'nobody')"), qr/app "nobody"/,
	'units run after it');
ok(wait_for_workers($node, 'postgres'), 'workers run after it');
$node->stop;
done_testing();
