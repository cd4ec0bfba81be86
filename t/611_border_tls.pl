# TLS and sizes at the border: a server that does not prove who it is gets not one byte of a request, no key of a
# connection is written to a file, a small answer that unpacks to a large one stops at the cap, and no request of one
# region goes to another.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactOnline;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $python = $ENV{EXACT_DATABRICKS_PYTHON} // 'python3';

sub openssl
{
	my ($out, $err) = ('', '');

	return IPC::Run::run([ 'openssl', @_ ], '>', \$out, '2>', \$err) || die "openssl @_: $err";
}

# ---- an authority of our own, what it signs, and a server for each ----

write_file("$dir/ca.conf", <<"CONF");
[ca]
default_ca = authority
[authority]
database = $dir/index
new_certs_dir = $dir
certificate = $dir/ca.pem
private_key = $dir/key
default_md = sha256
policy = policy
copy_extensions = copy
unique_subject = no
rand_serial = yes
[policy]
commonName = supplied
CONF
write_file("$dir/index", '');
openssl(qw(genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -out), "$dir/key");
openssl(qw(req -x509 -new -days 2 -subj /CN=authority -key), "$dir/key", '-out', "$dir/ca.pem");
openssl(qw(req -x509 -new -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost -key), "$dir/key",
	'-out', "$dir/self-signed.pem");

sub sign
{
	my ($name, $host, @how) = @_;

	openssl(qw(req -new -subj), "/CN=$host", '-addext', "subjectAltName=DNS:$host", '-key', "$dir/key", '-out',
		"$dir/csr");
	openssl(qw(ca -batch -notext -days 2 -config), "$dir/ca.conf", '-in', "$dir/csr", '-out', "$dir/$name.pem", @how);
	return;
}

sign('good', 'localhost');
sign('tls1.1', 'localhost');
sign('wrong-host', 'other.example');
sign('expired', 'localhost', qw(-startdate 20200101000000Z -enddate 20200201000000Z));
sign('sha1', 'localhost', qw(-md sha1));

# Each on a port of its own; writes how many bytes of a request each connection brought.
my $server = spawn_server([ $python, '-c', <<'PYTHON', $dir ], qr/ready (.*)\n/);
import socket, ssl, sys, threading
directory, ports = sys.argv[1], []

def serve(name, listener):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    if name == "tls1.1":
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.load_cert_chain(f"{directory}/{name}.pem", f"{directory}/key")
    while True:
        connection, _ = listener.accept()
        try:
            connection = context.wrap_socket(connection, server_side=True)
            data = connection.recv(65536)
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        except OSError:
            data = b""
        connection.close()
        with open(f"{directory}/seen", "a") as seen:
            print(name, len(data), file=seen)

for name in ("good", "tls1.1", "wrong-host", "expired", "sha1", "self-signed"):
    listener = socket.create_server(("127.0.0.1", 0))
    ports.append(f"{name}={listener.getsockname()[1]}")
    threading.Thread(target=serve, args=(name, listener), daemon=True).start()
print("ready", *ports, flush=True)
threading.Event().wait()
PYTHON
my %port = map { split /=/ } split / /, $server->{match}[0];
my $node = do {
	local $ENV{SSLKEYLOGFILE} = "$dir/keys";
	exact_cluster('main', conf => { 'exact_databricks.ca_file' => "'$dir/ca.pem'" });
};

sub one { return $node->safe_psql('postgres', $_[0]); }
sub seen { return -e "$dir/seen" ? slurp_file("$dir/seen") =~ s/\n/ /gr : ''; }

# What a call to the server of this name found, and what that server saw
sub call
{
	my ($name) = @_;

	unlink "$dir/seen";
	one("UPDATE exact.workspace SET host = 'https://localhost:$port{$name}'");
	one("SELECT exact.set_secret('workspace', 'lake', 'client_secret', 'Marker-$name')");
	my $finding = one("SELECT finding FROM exact.ping() WHERE side = 'databricks'");
	wait_until("$name was connected", sub { seen() =~ /^\Q$name\E / });
	my $why = (slurp_file($node->logfile) =~ /token workspace=lake event="not renewed" .* finding="(.*)"/g)[-1] // '';
	return ("$finding: $why", seen());
}

my $exact = ExactOnline->start('--records', '40', '--divisions', '1', '--fast');
my $other = simulator(engine => 'none');

one('CREATE EXTENSION exact_databricks');
wait_for_workers($node, 'postgres');
one("INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema, client_id) VALUES ('lake', "
	. "'https://localhost:1', 'w', 'main', 'exact', 'client')");

my %refused = ('wrong-host' => qr/subject name|SAN|host name/i, 'self-signed' => qr/self.signed/i,
	'expired' => qr/expired/i, 'sha1' => qr/md too weak|signature/i,
	'tls1.1' => qr/protocol version|unsupported protocol|alert/i);

foreach my $name (sort keys %refused)
{
	my ($finding, $saw) = call($name);

	like($finding, $refused{$name}, "$name: refused");
	is($finding =~ /exact_databricks\.ca_file names/ ? 'named' : '', $name eq 'self-signed' ? 'named' : '',
		"$name: ca_file is named where the issuer is not known");
	like(one("SELECT finding FROM exact.ping() WHERE side = 'databricks'"), $refused{$name}, "$name: ping() says why");
	like($saw, qr/^(\Q$name\E 0 )+$/, "$name: not one byte of a request");
}
my ($finding, $saw) = call('good');
like($finding, qr/OAuth is not available|404/, 'the right one is spoken to');
like($saw, qr/^good [1-9]/, 'and gets the request');
ok(!-e "$dir/keys", 'no key of a connection is in the file that SSLKEYLOGFILE names');

# ---- an answer that unpacks to 256 MB ----

$exact->authorise($node, 'postgres');
my $fetcher = worker_pid($node, 'postgres', 'fetcher');
sub most_kb { return slurp_file("/proc/$fetcher/status") =~ /VmHWM:\s+(\d+)/ ? $1 : die 'no VmHWM'; }
my $before = most_kb();

$exact->fault('/current/Me', 'odd_bytes', kind => 'bomb', status => 200);
like(error_of($node, 'postgres', "SELECT exact.me('erp')"), qr/the answer is larger than allowed/,
	'a decompression bomb stops at the cap');
my $grown = most_kb() - $before;
cmp_ok($grown, '<', 120 * 1024, "the fetcher's memory is bounded (${grown} kB more)");
is(worker_pid($node, 'postgres', 'fetcher'), $fetcher, 'and the fetcher lives');

# ---- an answer from another region ----

my $url = $exact->{http}->get(one("SELECT exact.authorize_url('erp')"))->{headers}{location};
my $id = $exact->fault('/oauth2/token', 'redirect', to => $other->{url}, times => -1);
$node->psql('postgres', "SELECT exact.authorize('erp', '$url')");
cmp_ok($exact->get("faults/$id")->{faults}[0]{hits}, '>', 0, 'the token endpoint sends to another region');
is(scalar(grep { $_->{path} !~ /_control/ } @{ control($other, 'GET', 'calls?since=0')->{calls} }), 0,
	'no code and no secret goes there');
unlike(slurp_file($node->logfile), qr/Marker-/, 'no secret is in the log');
$node->stop;
done_testing();
