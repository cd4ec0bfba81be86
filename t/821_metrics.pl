# The metrics of a hub that works: counters, the histogram of the whole way, two figures of lag, the first load; they go
# on after the listener and the server were started anew, and the dashboard asks for none that is not there.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use HubTest;
use JSON::PP qw(decode_json);
use Listener;
use PostgreSQL::Test::Utils;
use Test::More;

my $exact = exact_online('--records', '60', '--divisions', '1');
my $databricks = simulator(engine => 'none');
my $node = hub_cluster('main');
my $port = free_port();
my $token = 'f0' x 32;
my $secret = 'a secret of the metrics';
my ($division) = $exact->divisions;

sub value { return one($node, $_[0]); }
value("ALTER DATABASE postgres SET exact_databricks.listen_addresses = '127.0.0.1'");
value("ALTER DATABASE postgres SET exact_databricks.port = $port");
give_hub($node, $exact, $databricks);
write_file("$node->{exact_secrets_directory}/listener.status.token", $token, 0600);
write_file("$node->{exact_secrets_directory}/app.erp.webhook_secret", $secret, 0600);
is(value("SELECT count(*) FROM exact.import_secrets() WHERE result = 'imported'"), 2, 'a token for the page');

sub metrics { return body_of(get($port, '/metrics', headers => ["Authorization: Bearer $token"])); }
sub metric
{
	my ($name, %labels) = @_;
	my $labels = join ',', map { qq($_="$labels{$_}") } sort keys %labels;

	return metrics() =~ /^$name\{\Q$labels\E\} (\S+)$/m ? $1 : 'none';
}
sub at_least
{
	my ($least, $what, $name, %labels) = @_;

	ok(eval { wait_until($what, sub { my $now = metric($name, %labels); $now ne 'none' && $now >= $least }) }, $what)
		or diag metric($name, %labels);
	return metric($name, %labels);
}

# ---- after the first load ----
my $records = value('SELECT count(*) FROM exact.record');
cmp_ok(at_least($records, 'versions are counted', 'exact_records_staged_total', op => 'I'), '==',
	value("SELECT count(*) FROM exact.stage WHERE op = 'I'"), 'each of them once');
is(at_least(1, 'calls are counted', 'exact_api_calls_total', division => $division, outcome => 'ok'),
	value("SELECT count(*) FROM exact.api_call WHERE division = $division AND outcome = 'ok'"), 'each of them once');
my $statements = "FROM exact.statement_log WHERE kind = 'history' AND state = 'succeeded'";
is(at_least(1, 'statements are counted', 'exact_statements_total', kind => 'history', result => 'succeeded'),
	value("SELECT count(*) $statements"), 'each of them once');
is(metric('exact_statement_seconds_count', kind => 'history'), value("SELECT count(*) $statements"),
	'and their times');
is(metric('exact_first_load_ratio', division => $division), '1.000', 'the first load is complete');
like(metric('exact_lag_seconds', division => $division), qr/^\d+(\.\d+)?$/, 'a lag');
like(metric('exact_last_full_look_seconds', division => $division), qr/^\d+(\.\d+)?$/, 'a last full look');
is(metric('exact_end_to_end_seconds_count', source => 'announcement'), 0, 'nothing was announced');

# ---- one more entity: the lag stays, the first load is less than whole ----
$exact->fault('VATCodes', 'status', status => 500, times => 100);
value("SELECT exact.enable_entities($division, 'vatcodes')");
ok(wait_until('less than whole', sub { metric('exact_first_load_ratio', division => $division) =~ /^0\.\d+$/ }),
	'an entity is not loaded');
like(metric('exact_lag_seconds', division => $division), qr/^\d+(\.\d+)?$/, 'the lag does not vanish');
$exact->clear_faults;
value("SELECT exact.disable_entities($division, 'vatcodes')");

# ---- a change that is announced ----
my $key = value("SELECT key FROM exact.record WHERE entity = 'items' AND NOT deleted LIMIT 1");
$exact->post('change', division => $division, resource => 'logistics/Items', op => 'update', key => $key,
	fields => { Description => 'announced' });
my $sent = post($port, notification(secret => $secret, content => qq({"Topic":"Items","ClientId":)
	. qq("$exact->{info}{client_id}","Division":$division,"Action":"Update","Key":"$key",)
	. qq("ExactOnlineEndpoint":"","EventCreatedOn":"2026-03-04T13:14:50.07"})));
is(status_of($sent), 200, 'a notification');
is(at_least(1, 'it is in the histogram', 'exact_end_to_end_seconds_count', source => 'announcement'), 1, 'once');
is(metric('exact_end_to_end_seconds_bucket', source => 'announcement', le => '+Inf'), 'none', 'labels in their order');
like(metrics(), qr/^exact_end_to_end_seconds_bucket\{source="announcement",le="\+Inf"\} 1$/m, 'in its last bucket');
like(metrics(), qr/^exact_end_to_end_seconds_bucket\{source="announcement",le="0.25"\} 0$/m,
	'and not in that of a quarter of a second: the debounce alone takes longer');

# ---- a change that is known and not there ----
is(metric('exact_announced_lag_seconds', division => $division), 'none', 'no notification comes, and nothing waits');
value("UPDATE exact.workspace SET enabled = false");
$exact->post('change', division => $division, resource => 'logistics/Items', op => 'update', key => $key,
	fields => { Description => 'waits' });
is($exact->sync($node, 'postgres'), 'done', 'it is read');
at_least(1, 'and waits', 'exact_announced_lag_seconds', division => $division);
cmp_ok(metric('exact_lag_seconds', division => $division), '>=', 1, 'and the lag is at least as long');

# ---- the dashboard and the alerts: each metric that they ask for is there, with the labels that they name ----
my $page = metrics();
my (%labels_of, %family);
foreach my $line (split /\n/, $page)
{
	$family{$1} = 1 if $line =~ /^# TYPE (\w+) /;
	next unless $line =~ /^(\w+)(?:\{(.*)\})? \S+$/;
	my ($name, $labels) = ($1, $2 // '');
	$labels_of{$name} = { map { $_ => 1 } $labels =~ /(\w+)="/g };
}
# no document is held, nothing was put aside, nothing waits: these have no line now
my %none = map { $_ => 1 } qw(exact_documents_held exact_documents_marked exact_dead_letters exact_pending_records
  exact_oldest_pending_seconds exact_oldest_held_document_seconds exact_api_calls_remaining
  exact_refresh_token_expiry_timestamp_seconds);
my $board = decode_json(slurp_file("$FindBin::RealBin/../docs/grafana.json"));
my @asked = map { my $panel = $_; map { [ $panel->{title}, $_->{expr}, $_->{legendFormat} ] } @{ $panel->{targets} } }
  @{ $board->{panels} };
push @asked, map { [ 'alert', $_, '' ] } slurp_file("$FindBin::RealBin/../docs/alerts.yml") =~ /^\s+expr: (.*)$/mg;
cmp_ok(scalar(@asked), '>', 30, 'expressions');
foreach my $asked (@asked)
{
	my ($title, $expr, $legend) = @$asked;
	my @names = grep { !$none{$_} } $expr =~ /\b(exact_\w+)/g;
	my @missing = grep { !$labels_of{$_} } @names;

	is("@missing", '', "$title: the metrics of $expr");
	next unless @names && !@missing;
	my %known = map { %{ $labels_of{$_} } } @names;
	my @labels = map { split /,\s*/ } $expr =~ /\bby \(([^)]*)\)/g;
	push @labels, $legend =~ /\{\{(\w+)\}\}/g, map { /(\w+)\s*=/g } $expr =~ /\{([^}]*)\}/g;
	is(join(' ', grep { !$known{$_} && $_ ne 'instance' } @labels), '', "$title: the labels of $expr");
}

value("UPDATE exact.workspace SET enabled = true");
ok(wait_until('it is delivered', sub { metric('exact_announced_lag_seconds', division => $division) eq 'none' }),
	'nothing waits once it is delivered');

# ---- a restart ----
my %before = map { $_ => metric(split / /, $_) } 'exact_records_staged_total op I', 'exact_records_staged_total op U',
	'exact_end_to_end_seconds_count source announcement', "exact_statement_seconds_sum kind history";
value('SELECT exact.restart_workers()');
wait_for_listener($node, 'postgres');
foreach my $name (sort keys %before)
{
	ok(wait_until("$name again", sub { metric(split / /, $name) ne 'none' }), "$name is there");
	cmp_ok(metric(split / /, $name), '>=', $before{$name}, "$name goes on");
}
$node->restart;
wait_for_listener($node, 'postgres');
foreach my $name (sort keys %before)
{
	ok(wait_until("$name again", sub { metric(split / /, $name) ne 'none' }), "$name is there after a restart");
	cmp_ok(metric(split / /, $name), '>=', $before{$name}, "$name goes on after it");
}

$node->stop;
done_testing();
