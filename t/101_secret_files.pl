# Secrets at rest: rules for the key file and the files of secrets, what set_secret() leaves behind (nothing), rotation
# of keys, ciphertexts that were moved, and a search of everything the server has written.
use strict;
use warnings;

use File::Find;
use FindBin;
use lib $FindBin::RealBin;
use ExactTest;
use MIME::Base64;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = exact_cluster('main', conf => { 'log_min_messages' => 'debug1', 'log_min_error_statement' => 'error' });
my $key_file = $node->{exact_key_file};
my $secrets = $node->{exact_secrets_directory};
my @markers = map { "Marker$_-7Qx!/+= x" } qw(Client Webhook Token Refresh Set Refused);

sub value { return $node->safe_psql('postgres', $_[0]); }
sub import_file
{
	my ($name) = @_;

	return value("SELECT result FROM exact.import_secrets() WHERE concat_ws('.', kind, name, field) = '$name'");
}
sub secret_file { my ($name, $text, $mode) = @_; unlink "$secrets/$name";
	write_file("$secrets/$name", $text, $mode // 0600); return import_file($name); }
sub finding { return value('SELECT exact._key_file_finding()'); }
sub use_setting
{
	my ($name, $setting) = @_;

	$node->append_conf('postgresql.conf', "exact_databricks.$name = '$setting'");
	$node->reload;
	return wait_until("$name = $setting", sub { value("SHOW exact_databricks.$name") eq $setting });
}
# The fetcher reloads when it wakes: ask until it has.
sub import_says
{
	my ($pattern, $what) = @_;

	wait_until($what, sub { error_of($node, 'postgres', 'SELECT * FROM exact.import_secrets()') =~ $pattern });
	return pass($what);
}

value('CREATE EXTENSION exact_databricks');
wait_for_workers($node, 'postgres');
value("INSERT INTO exact.app (name, client_id) VALUES ('erp', '6f9d1c2e-0000-4000-8000-000000000001')");
value("INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema) "
	. "VALUES ('lake', 'adb-1.2.azuredatabricks.net', 'a1', 'main', 'exact')");

# files of secrets
is(secret_file('app.erp.client_secret', "$markers[0]\n"), 'imported', 'a file with a line end');
is(import_file('app.erp.client_secret'), 'unchanged', 'the same again');
is(secret_file('app.erp.client_secret', "\xEF\xBB\xBF$markers[0]\r\n"), 'unchanged',
	'with the byte order mark of an editor it is the same secret');
is(secret_file('app.erp.webhook_secret', "$markers[1]\r\n", 0400), 'imported', 'read-only, line end of Windows');
is(secret_file('workspace.lake.token', $markers[2]), 'imported', 'no line end');
is(secret_file('app.erp.refresh_token', $markers[3]), 'imported', 'refresh token');
is(value("SELECT origin || (access IS NULL) FROM exact.token"), 'importtrue', 'is a pair without an access token');
is(import_file('app.erp.refresh_token'), 'unchanged', 'and is imported once');
is(value("SELECT string_agg(concat_ws(' ', kind, name, field, set_by, key_id, host), ', ' ORDER BY kind, name, field) "
	. "FROM exact.credentials WHERE is_set"),
	join(', ', 'app erp client_secret exact fetcher k1 https://start.exactonline.nl',
		'app erp refresh_token exact fetcher k1 https://start.exactonline.nl',
		'app erp webhook_secret exact fetcher k1 https://start.exactonline.nl',
		'workspace lake token exact fetcher k1 https://adb-1.2.azuredatabricks.net'),
	'exact.credentials');
is(value("SELECT count(*) FROM exact.audit_log WHERE kind = 'secret' AND what ->> 'op' = 'INSERT'"), '4', 'audited');
like(secret_file('app.erp.webhook_secret_next', 'x', 0644), qr/^refused: the file is open to others \(mode 0644\)/,
	'readable by others');
like(secret_file('app.erp.webhook_secret_next', 'x', 0640), qr/^refused: the file is open to others \(mode 0640\)/,
	'readable by a group');
like(secret_file('app.erp.webhook_secret_next', ''), qr/^refused: .*it is empty/, 'empty');
like(secret_file('app.erp.webhook_secret_next', "$markers[5]\nsecond"), qr/^refused: .*control character/, 'two lines');
like(secret_file('app.erp.webhook_secret_next', 'x' x 65537), qr/^refused: the file is larger than 65536 bytes/,
	'too large');
like(secret_file('app.nobody.client_secret', 'x'), qr/^refused: there is no app "nobody"/, 'no such app');
like(secret_file('app.erp.password', 'x'), qr/^ignored: An app has client_secret/, 'no such field');
unlink "$secrets/app.erp.password", "$secrets/app.nobody.client_secret", "$secrets/app.erp.webhook_secret_next";
symlink("$secrets/app.erp.client_secret", "$secrets/app.erp.webhook_secret_next");
is(import_file('app.erp.webhook_secret_next'), 'refused: the file is a symbolic link', 'symbolic link');
unlink "$secrets/app.erp.webhook_secret_next";
mkdir "$secrets/app.erp.webhook_secret_next";
is(import_file('app.erp.webhook_secret_next'), 'refused: the file is not a regular file', 'directory');
rmdir "$secrets/app.erp.webhook_secret_next";
write_file("$secrets/notes", 'x');
write_file("$secrets/.hidden", 'x');
is(value("SELECT string_agg(name || ': ' || result, ', ') FROM exact.import_secrets() WHERE kind IS NULL"),
	'notes: ignored: the name of the file is not <kind>.<name>.<field>',
	'other files are named, those with a dot are not');
unlink "$secrets/notes";

# the directory
chmod 0770, $secrets;
import_says(qr/EX004: others may write into the secrets directory/, 'directory that a group may write');
chmod 0700, $secrets;
use_setting(secrets_directory => $node->data_dir . '/base');
import_says(qr/EX004: secrets directory ".*" is inside the data directory/, 'directory inside the data directory');
use_setting(secrets_directory => "$secrets/none");
import_says(qr/EX004: secrets directory ".*" cannot be opened/, 'no such directory');
use_setting(secrets_directory => '');
import_says(qr/EX004: exact_databricks.secrets_directory is not set/, 'no directory');
use_setting(secrets_directory => $secrets);

# set_secret leaves its value nowhere, not even when it fails
my $session = $node->background_psql('postgres', on_error_stop => 0);
$session->query("SELECT exact.set_secret('app', 'erp', 'webhook_secret_next', '$markers[4]')");
is(value("SELECT query FROM pg_stat_activity WHERE query LIKE '%set_secret%' AND pid <> pg_backend_pid()"),
	'SELECT exact.set_secret(...)',
	'pg_stat_activity shows the call without its value');
$session->query("SELECT exact.set_secret('app', 'nobody', 'webhook_secret', '$markers[5]')");
$session->quit;
like(slurp_file($node->logfile), qr/there is no app "nobody"\n.*?STATEMENT:  SELECT exact\.set_secret\(\.\.\.\)/s,
	'so does the log of an error');
is(value("SELECT set_by = session_user FROM exact.credentials WHERE field = 'webhook_secret_next'"), 't', 'set_by');

# the key file
is(finding(), '', 'a good key file');
my $key = slurp_file($key_file);
sub refused_key
{
	my ($pattern, $what) = @_;

	like(finding(), $pattern, $what);
	return like(error_of($node, 'postgres',
		"SELECT exact.set_secret('app', 'erp', 'webhook_secret_next', 'sixteen bytes ..')"),
		qr/EX003: $pattern/, "$what: nothing is stored");
}
chmod 0640, $key_file;
refused_key(qr/key file ".*" is open to others \(mode 0640\)/, 'key file readable by a group');
chmod 0600, $key_file;
rename($key_file, "$key_file.real");
refused_key(qr/key file ".*" does not exist/, 'no key file');
symlink("$key_file.real", $key_file);
refused_key(qr/key file ".*" is a symbolic link/, 'key file by a symbolic link');
like(error_of($node, 'postgres', "SELECT exact.set_secret('app', 'erp', 'webhook_secret_next', 'sixteen bytes ..')"),
	qr/is a symbolic link.*Put a copy of the file itself there/s, 'with what to do');
unlink $key_file;
foreach my $bad ([ "# only a comment\n\n", qr/it holds no key/ ], [ "k1:abc\n", qr/line 1 is not "id:64 hex digits"/ ],
	[ "${key}k 2:" . 'ab' x 32 . "\n", qr/line 2 is not/ ], [ $key . 'k2:' . 'zz' x 32 . "\n", qr/line 2 is not/ ],
	[ "$key$key", qr/line 2 repeats a key id/ ])
{
	write_file($key_file, $bad->[0]);
	refused_key(qr/key file ".*" cannot be used: $bad->[1]/, "key file with $bad->[1]");
}
unlink $key_file;
use_setting(key_file => $node->data_dir . '/key');
write_file($node->data_dir . '/key', $key);
refused_key(qr/key file ".*" is inside the data directory/, 'key file inside the data directory');
unlink $node->data_dir . '/key';
use_setting(key_file => '');
refused_key(qr/exact_databricks.key_file is not set/, 'no setting');
use_setting(key_file => $key_file);
rename("$key_file.real", $key_file);
is(finding(), '', 'good again');

# a new key
is(value('SELECT exact.rotate_key()'), 'everything is encrypted with key k1 already', 'nothing to rotate');
write_file($key_file, "# first\n\n$key  k2:" . '3c' x 32 . "  \r\n");
is(value('SELECT exact.rotate_key()'), '5 credentials and 1 token pairs are now encrypted with key k2', 'rotated');
write_file($key_file, 'k2:' . '3c' x 32);
is(value('SELECT string_agg(DISTINCT key_id, \',\') FROM exact.credentials WHERE is_set'), 'k2',
	'all under the new key');
is(value("SELECT string_agg(key_id || ' ' || origin, ', ' ORDER BY id) FROM exact.token"), 'k1 import, k2 import',
	'the newest pair as well');
is(value('SELECT count(DISTINCT issued_at) FROM exact.token'), '1', 'with its time of issue');
wait_until('the fetcher opens all with the new key alone',
	sub { value("SELECT string_agg(DISTINCT result, ',') FROM exact.import_secrets()") eq 'unchanged' });
write_file($key_file, 'k3:' . '5a' x 32);
like(error_of($node, 'postgres', 'SELECT exact.rotate_key()'),
	qr/EX003: key "k2" is not in key file.*Put the line of that key back/s, 'the old key is gone');
my $row_of_key = "SELECT result, finding, fix FROM exact.check() WHERE rule = 'key file'";
like(value($row_of_key), qr/^fail\|key "k2" is not in key file "[^"]+"\|put the line of that key back/,
	'check() tells it');
write_file($key_file, 'k2:' . '3c' x 32 . "\nk3:" . '5a' x 32);
is(value($row_of_key), 'ok|can be read by the server only|', 'put back, though k1 of the older pair is gone');
write_file($key_file, 'k2:' . '3d' x 32);
like(error_of($node, 'postgres', "SELECT exact.me('erp')"),
	qr/EX004: the refresh token of app "erp" cannot be opened.*authorize_url/s, 'another key of the same id');
write_file($key_file, 'k2:' . '3c' x 32);

# ciphertexts belong to their place
value("UPDATE exact.credential SET secret = (SELECT secret FROM exact.credential WHERE field = 'webhook_secret') "
	. "WHERE field = 'client_secret'");
like(error_of($node, 'postgres', "SELECT exact.me('erp')"),
	qr/EX004: the client_secret of app "erp" cannot be opened.*Set it again/s, 'a ciphertext of another field');
is(import_file('app.erp.client_secret'), 'imported', 'set again');
value("UPDATE exact.credential SET secret = set_byte(secret, length(secret) - 1, get_byte(secret, length(secret) - 1) "
	. "# 1) WHERE field = 'client_secret'");
like(error_of($node, 'postgres', "SELECT exact.me('erp')"), qr/EX004: the client_secret of app "erp" cannot be opened/,
	'a changed ciphertext');
value("UPDATE exact.credential SET secret = '\\x01' WHERE field = 'client_secret'");
like(error_of($node, 'postgres', "SELECT exact.me('erp')"), qr/EX004: the client_secret of app "erp" cannot be opened/,
	'no ciphertext');
is(import_file('app.erp.client_secret'), 'imported', 'set again');
value("UPDATE exact.app SET region = 'be'");
is(value("SELECT DISTINCT finding FROM exact.credentials WHERE kind = 'app'"), 'set for another host: set it again',
	'another region voids the secrets');
like(error_of($node, 'postgres', "SELECT exact.me('erp')"),
	qr/EX004: the tokens of app "erp" are for another host.*start\.exactonline\.be/s, 'and the tokens');
is(import_file('app.erp.client_secret'), 'imported', 'until they are set again');

# everything the server has written
value('CHECKPOINT');
my @places = ([ 'server log', slurp_file($node->logfile) ]);
my ($out, $err);
IPC::Run::run([ 'pg_dump', '-h', $node->host, '-p', $node->port, 'postgres' ], '>', \$out, '2>', \$err);
push @places, [ 'pg_dump', $out . $err ];
push @places, [ $_, value("SELECT t::text FROM $_ AS t") ]
  foreach 'pg_stat_activity', 'pg_settings',
  split(/\n/, value("SELECT oid::regclass FROM pg_class WHERE relnamespace = 'exact'::regnamespace "
	  . "AND relkind IN ('r', 'v', 'p')"));
$node->stop;
find({ no_chdir => 1, wanted => sub { push @places, [ $_, slurp_file($_) ] if -f; } }, $node->data_dir);
my ($bytes, @found) = (0);
foreach my $place (@places)
{
	my ($where, $content) = @$place;

	$bytes += length $content;
	foreach my $marker (@markers)
	{
		my $short = substr($marker, 0, index($marker, '-') + 4);

		foreach my $form ($short, unpack('H*', $short), substr(encode_base64($short, ''), 0, -4))
		{
			push @found, "$marker in $where" if index($content, $form) >= 0;
		}
	}
}
is(join("\n", @found), '', 'no secret in log, views, tables, dump, WAL or heap');
cmp_ok($bytes, '>', 20_000_000, 'the search read them');
done_testing();
