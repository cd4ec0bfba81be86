# At exact_databricks.max_disk nothing is read from Exact Online; notifications are taken, deliveries go on, and reading
# goes on by itself once there is space. Nothing is lost.
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

my $exact = exact_online();
my $databricks = simulator(engine => 'none');
my $node = hub_cluster('main');
my ($division) = $exact->divisions;

sub value { return one($node, $_[0]); }
sub set { value("ALTER SYSTEM SET exact_databricks.max_disk = '$_[0]'"); value('SELECT pg_reload_conf()'); return; }
sub reads { return scalar $exact->calls($_[0], qr{/api/v1/\d+/(?!hooks|system)}); }

give_hub($node, $exact, $databricks);
value("SELECT exact.set_secret('app', 'erp', 'webhook_secret', '$Listener::SECRET')");

# what is staged waits for the workspace, so that there is something to deliver later
value('UPDATE exact.workspace SET enabled = false');
$exact->post('random', count => 20, seed => 1);
is($exact->sync($node, 'postgres'), 'done', 'changes are read');
cmp_ok(value('SELECT count(*) FROM exact.batch WHERE delivered_at IS NULL'), '>', 0, 'and wait for their delivery');

set('1MB');
wait_until('the hub is full', sub { value('SELECT is_full FROM exact.disk') eq 't' });
like(value("SELECT what FROM exact.status WHERE state = 'disk' AND light = 'fail'"),
	qr/^the hub holds \d+ [kM]B of 1024 kB: reading is paused since .*, notifications are taken, deliveries go on$/,
	'status says so');
like(value('SELECT exact.headline()'), qr/^The hub holds .* reading is paused/, 'the headline too');
my $from = $exact->last_call;
$exact->post('random', count => 20, seed => 2);
my $request = value('SELECT exact.sync_now()');
my $body = notification(content => qq({"Topic":"Items","ClientId":"$exact->{info}{client_id}","Division":$division,)
	. qq("Action":"Update","Key":"6f9d1c2e-8a44-4a0b-9a0f-3d2b1c0e9f11",)
	. qq("ExactOnlineEndpoint":"https://start.exactonline.nl/api/v1/$division/logistics/Items",)
	. qq("EventCreatedOn":"2026-03-04T13:14:50.07"}));
is(value("SELECT exact.receive_webhook(convert_to('$body', 'UTF8'))"), 'accepted', 'a notification comes in');
wait_until('it is taken', sub { value('SELECT count(*) FROM exact.inbox_work WHERE taken_at IS NOT NULL') eq '1' });
value('UPDATE exact.workspace SET enabled = true');
wait_until('what was staged is delivered',
	sub { value('SELECT count(*) FROM exact.batch WHERE delivered_at IS NULL') eq '0' });
is(value('SELECT exact._prune(interval \'1 hour\') >= 0'), 't', 'the retention goes on');
is(reads($from), 0, 'nothing was read meanwhile');
isnt(value("SELECT state FROM exact.request WHERE id = $request"), 'done', 'what was asked for waits');

# a restart changes nothing
value('SELECT exact.restart_workers()');
wait_for_workers($node, 'postgres');
wait_until('it was measured again',
	sub { value("SELECT measured_at > (SELECT max(w.started_at) FROM exact.workers AS w WHERE w.role = 'fetcher') "
		. 'FROM exact.disk') eq 't' });
is(reads($from), 0, 'nor after a restart');

set('10GB');
is(value("SELECT exact.wait($request, '60 s')"), 'done', 'with more space it is read by itself');
is(value("SELECT count(*) FROM exact.status WHERE state = 'disk'"), '0', 'and status says nothing any more');
complete($node, $exact);
agrees($exact, $databricks, 'nothing is lost');
my $log = slurp_file($node->logfile);
like($log, qr/WARNING:  exact fetcher: disk full, reading is paused mb=\d+ max_disk=1\n/, 'the log');
like($log, qr/LOG:  exact fetcher: disk has space, reading goes on mb=\d+ max_disk=10240\n/, 'too');
$node->stop;
done_testing();
