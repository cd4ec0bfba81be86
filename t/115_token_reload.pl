# What keeps a token call from being sent is mended in the settings: after a reload the next attempt is made at once.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = exact_cluster('main');
my $directory = PostgreSQL::Test::Utils::tempdir();
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $made = system('openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=localhost', '-addext',
	'subjectAltName=DNS:localhost', '-days', '1', '-keyout', "$directory/key", '-out', "$directory/cert", '-batch');

plan skip_all => 'no openssl' if $made != 0;
chmod 0644, "$directory/cert";

# it takes a connection, and never answers a POST
my $server = spawn_server([ 'openssl', 's_server', '-accept', "127.0.0.1:$port", '-key', "$directory/key", '-cert',
	"$directory/cert", '-www' ], qr{(ACCEPT)});

sub value { return $node->safe_psql('postgres', $_[0]); }

# The last attempt that was not sent, as the log has it
sub asked
{
	error_of($node, 'postgres', "SET statement_timeout = '1500ms'; SELECT exact.me('erp')");
	return (slurp_file($node->logfile) =~ /token app=erp event="not sent" (attempt=\d+ finding=".*)/g)[-1] // '';
}

value('CREATE EXTENSION exact_databricks');
wait_for_workers($node, 'postgres');
value("INSERT INTO exact.app (name, client_id, base_url, redirect_uri) VALUES ('erp', "
	. "'6f9d1c2e-8a44-4a0b-9a0f-3d2b1c0e9f11', 'https://localhost:$port', 'https://hub.example.com/exact/callback')");
write_file("$node->{exact_secrets_directory}/app.erp.$_", "some-$_", 0600) foreach qw(client_secret refresh_token);
is(value("SELECT string_agg(result, ' ') FROM exact.import_secrets()"), 'imported imported', 'secrets');

wait_until('the certificate is refused, and the next attempt far away', sub { asked() =~ /attempt=5 / }, 90);
like(asked(), qr/certificate/i, 'the certificate is refused: ' . asked());
value("ALTER SYSTEM SET exact_databricks.ca_file = '$directory/cert'");
value('SELECT pg_reload_conf()');
my $seconds = seconds_of(sub { wait_until('the call is under way', sub {
	error_of($node, 'postgres', "SET statement_timeout = '1500ms'; SELECT exact.me('erp')") =~ /57014/ }, 60) });
cmp_ok($seconds, '<', 10, sprintf('its CA is named: tried at once (%.1f s)', $seconds));
is(asked(), (slurp_file($node->logfile) =~ /event="not sent" (attempt=5 finding=".*)/)[0], 'and not refused again');
$node->stop;
stop_server($server);
done_testing();
