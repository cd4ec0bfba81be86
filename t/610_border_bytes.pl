# Bytes of the other side that are no text, in status lines, headers and bodies of every kind of call of both services
# and at the listener: a dump of the hub is restored whole, nothing of them reaches the log, a table or a statement.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use Encode qw(decode FB_CROAK);
use ExactTest;
use HubTest;
use JSON::PP ();
use Listener;
use PostgreSQL::Test::Utils;
use Test::More;

my @odd = ("f\xfcr", "\xc2\x9b31m\xe2\x80\xae", "\x1b[31m\x7f", "\0\xff\xfe");
my @kinds = qw(latin1 controls utf16 long long_header);
my $exact = exact_online('--records', '60', '--divisions', '1');
my $databricks = simulator(engine => 'none', slots => 8);
my $port = free_port();
my $node = hub_cluster('main', conf => { 'exact_databricks.listen_addresses' => "'127.0.0.1'",
	'exact_databricks.port' => $port, 'exact_databricks.public_url' => "'http://127.0.0.1:$port'" });
my ($division) = $exact->divisions;
my $dir = PostgreSQL::Test::Utils::tempdir();

sub ask { return $node->psql('postgres', $_[0]); }
sub hits { my ($id) = @_; return $exact->get("faults/$id")->{faults}[0]{hits}; }

sub odd_workspace { my ($path, $kind, $form, $status, %more) = @_; return workspace_fault($databricks, path => $path,
	action => 'odd_bytes', kind => $kind, form => $form, status => $status, %more); }

# What the border lets pass: UTF-8 without control characters, separators of lines and what turns the direction of
# writing. LF and TAB are those of the log and of COPY.
sub is_clean
{
	my ($bytes, $what) = @_;
	my $text = eval { decode('UTF-8', my $copy = $bytes, FB_CROAK) };
	my $bad = qr/[^\n]{0,60}[\x00-\x08\x0b-\x1f\x7f-\x9f\x{2028}-\x{202e}\x{2066}-\x{2069}][^\n]{0,40}/;

	ok(defined $text, "$what is UTF-8") or return;
	ok($text !~ /($bad)/, "$what has no control characters") or diag(sprintf '%vx: %s', $1, $1);
	return;
}

# Rows of each table whose rows a dump holds
sub rows_of
{
	my ($of) = @_;

	my $counts = one($of, q{SELECT string_agg(format('SELECT %L, count(*) FROM %s', x::regclass, x::regclass),
		' UNION ALL ') FROM pg_extension AS e, unnest(e.extconfig) AS x JOIN pg_class AS c ON c.oid = x
		WHERE e.extname = 'exact_databricks' AND c.relkind IN ('r', 'p')});

	return split /[|\n]/, one($of, $counts);
}

give_hub($node, $exact, $databricks);
wait_for_listener($node, 'postgres');

# ---- calls that somebody asks for: each kind of bytes, as a refusal and as a failure ----

my %asked = (
	'read' => [ '/Items', "SELECT * FROM exact.fetch($division, 'logistics/Items', '\$top=1')" ],
	'Me' => [ '/current/Me', "SELECT exact.me('erp')" ],
	'divisions' => [ '/system/', "SELECT * FROM exact.discover_divisions('erp')" ]);

foreach my $what (sort keys %asked)
{
	my ($path, $sql) = @{ $asked{$what} };
	my $met = 0;

	foreach my $kind (@kinds)
	{
		my $id = $exact->fault($path, 'odd_bytes', kind => $kind, status => $kind eq 'latin1' ? 403 : 503);

		ask($sql);
		$met += hits($id);
		$exact->clear_faults;
	}
	is($met, scalar @kinds, "Exact Online, $what: each was met");
}

# a refusal as JSON, a failure as plain text, and a statement that fails in so many words
my @forms = ([ 'latin1', 'json', 403 ], [ 'controls', 'plain', 503 ], [ 'utf16', 'plain', 403 ],
	[ 'long', 'json', 503 ], [ 'long_header', 'plain', 403 ]);

foreach my $path (qw(oidc/v1/token /oidc/.well-known /warehouses/ /statements))
{
	my @wanted = (@forms, map { [ $_, 'statement', 200 ] } $path eq '/statements' ? qw(latin1 controls) : ());
	my $met = 0;

	foreach my $form (@wanted)
	{
		my $id = odd_workspace($path, @$form, times => -1);

		# any change of the workspace makes the loader forget its token
		one($node, "UPDATE exact.workspace SET host = CASE WHEN host LIKE '%?o=1' THEN '$databricks->{url}' "
			. "ELSE '$databricks->{url}/?o=1' END");
		ask('SELECT * FROM exact.ping()');
		$met++ if fault_count($databricks, $id);
		control($databricks, 'DELETE', 'faults');
	}
	is($met, scalar @wanted, "Databricks, $path: each was met");
}

# ---- subscriptions: the list, a new one, the trial of the address ----

write_file("$node->{exact_secrets_directory}/app.erp.webhook_secret", $exact->{info}{webhook_secret}, 0600);
one($node, 'SELECT * FROM exact.import_secrets()');

sub subscribe
{
	my $request = one($node, "SELECT exact.subscribe($division)");

	return one($node, "SELECT exact.wait($request, '30 s')");
}

foreach my $case ([ GET => 'latin1', 503 ], [ POST => 'controls', 400 ], [ POST => 'latin1', 201 ])
{
	my ($method, $kind, $status) = @$case;

	$exact->{http}->delete("$exact->{url}/_control/subscriptions?division=$division&topic=Items");
	my $id = $exact->fault('/webhooks/', 'odd_bytes', method => $method, kind => $kind, status => $status);

	subscribe();
	is(hits($id), 1, "$method of a subscription, $status: met");
	$exact->clear_faults;
}
foreach my $kind (qw(latin1 controls long_header))
{
	my $id = odd_workspace('^/hook', $kind, 'plain', 302, times => -1);

	one($node, "UPDATE exact.app SET callback_url = '$databricks->{url}/hook/$kind'");
	subscribe();
	ok(fault_count($databricks, $id), "the trial of an address, $kind: met");
	control($databricks, 'DELETE', 'faults');
}
one($node, 'UPDATE exact.app SET callback_url = NULL');
subscribe();

# ---- calls of the workers by themselves ----

my %of_fetcher = map { $_->[0] => $exact->fault($_->[1], 'odd_bytes', kind => $_->[2], status => $_->[3]) }
	[ 'sync', '/sync/Logistics/Items', 'latin1', 503 ], [ 'deletions', '/sync/Deleted', 'controls', 503 ],
	[ 'another feed', '/sync/CRM/Accounts', 'long', 500 ], [ 'keys', 'ID eq guid', 'controls', 503 ],
	[ 'its division', '/system/Divisions', 'latin1', 403 ];
my %of_loader = map { my ($what, @fault) = @$_; $what => odd_workspace(@fault) }
	[ 'poll', '/statements/[^/]+$', 'controls', 'json', 503, method => 'GET' ],
	[ 'rows', '/statements/[^/]+/result', 'latin1', 'json', 503 ],
	[ 'history', '/history/', 'controls', 'json', 503 ];

control($databricks, 'POST', 'config', { chunk_rows => 1 });
workspace_fault($databricks, path => '/statements$', method => 'POST', action => 'state', state => 'RUNNING',
	times => 5);
workspace_fault($databricks, path => '/statements$', statement => of_kind('history'), action => 'reset_after');
one($node, 'SELECT exact.restart_workers()');
wait_for_workers($node, 'postgres');
$exact->post('random', count => 20, deletes => 0.2, seed => 3);
ask('SELECT exact.sync_now()');
wait_until('each call of the fetcher has met one', sub { !grep { !hits($_) } values %of_fetcher });
wait_until('each call of the loader has met one', sub { !grep { !fault_count($databricks, $_) } values %of_loader },
	20);
pass('calls of the workers have met them');
my $token = $exact->fault('/oauth2/token', 'odd_bytes', kind => 'controls', status => 503);
$exact->post('revoke', what => 'access');
ask('SELECT exact.sync_now()');
wait_until('the refresh of the token has met one', sub { hits($token) });

# ---- what comes in at the listener ----

foreach my $odd (@odd)
{
	my $path = '/exact/callback?code=' . $odd . '&state=' . $odd . '&error=' . $odd;

	raw($port, "POST /exact/hook HTTP/1.1\r\nHost: x$odd\r\nX-Forwarded-For: $odd\r\nUser-Agent: $odd\r\n"
		. 'Content-Length: ' . length($odd) . "\r\n\r\n$odd");
	raw($port, "GET $path HTTP/1.1\r\nHost: x\r\n\r\n");
	raw($port, 'GET ' . $path =~ s/([^\x21-\x7e])/sprintf '%%%02x', ord $1/egr . " HTTP/1.1\r\nHost: x\r\n\r\n");
	post($port, notification(secret => $exact->{info}{webhook_secret}, content => qq({"Topic":"$odd","Division":1})));
	ask("SELECT exact.receive_webhook('\\x" . unpack('H*', $odd) . "')");
}

# ---- what is left of it all ----

is_clean(join("\n", map { $_->{text} } statements($databricks, qr/./)), 'what was sent to Databricks');
$node->append_conf('postgresql.conf', 'exact_databricks.enabled = off');
$node->restart;
all_off($node, qr/exact_databricks\.enabled is off/);
my %before = rows_of($node);
cmp_ok(one($node, q{SELECT count(*) FROM exact.api_call WHERE reason LIKE U&'%f\FFFDr%'}), '>', 0,
	'the other letters of a message are kept');
is(one($node, 'SELECT count(*) FROM exact.verify_audit()'), '0', 'the audit chains hold');
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/dump", 'postgres' ], 'dumped');
$node->command_ok([ 'pg_dump', '--data-only', '-f', "$dir/data.sql", 'postgres' ], 'dumped as SQL');
is_clean(slurp_file("$dir/data.sql"), 'each table');
$node->stop;
is_clean(slurp_file($node->logfile), 'the log');

my $copy = hub_cluster('copy', conf => { 'exact_databricks.key_file' => "'$node->{exact_key_file}'" });
my ($out, $err) = ('', '');
ok(IPC::Run::run([ 'pg_restore', '-d', 'postgres', "$dir/dump" ], '>', \$out, '2>', \$err,
	init => sub { $ENV{PGHOST} = $copy->host; $ENV{PGPORT} = $copy->port; }), 'restored without an error') or diag $err;
is_deeply({ rows_of($copy) }, \%before, 'all rows of all tables are there');
cmp_ok($before{'exact.api_call'}, '>', 20, 'those of the calls among them');
$copy->stop;
done_testing();
