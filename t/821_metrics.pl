# The metrics of a hub that works: counters, the histogram of the whole way, two figures of lag, the first load; they go
# on after the listener and the server were started anew, and the dashboard asks for none that is not there.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use HubTest;
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
