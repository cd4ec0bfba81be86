# The address that a notification carries is never connected to: the hub asks where it is configured to ask, and nobody
# who signs notifications sends it elsewhere.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Digest::SHA qw(hmac_sha256_hex);
use ExactOnline;
use ExactTest;
use IO::Select;
use IO::Socket::INET;
use Listener;
use PostgreSQL::Test::Utils;
use Test::More;

my $exact = ExactOnline->start('--records', '40', '--divisions', '1', '--fast', '--minute-limit', '100000',
	'--day-limit', '10000000', '--error-limit', '0');
my ($division) = $exact->divisions;
my $trap = IO::Socket::INET->new(Listen => 10, LocalAddr => '127.0.0.1', LocalPort => 0, Proto => 'tcp')
	or die "cannot listen: $!";
my $place = '127.0.0.1:' . $trap->sockport;

# The trap may be connected to: but for the rule that is tried here nothing keeps the hub from it.
my ($node, $port) = listener_cluster('main', no_app => 1,
	conf => { 'exact_databricks.allowed_hosts' => "'$place/private, *.example.com'",
		'exact_databricks.debounce' => "'50ms'" });

sub value { return $node->safe_psql('postgres', $_[0]); }

$exact->authorise($node, 'postgres');
write_file("$node->{exact_secrets_directory}/app.erp.webhook_secret", $exact->{info}{webhook_secret}, 0600);
value('SELECT * FROM exact.import_secrets()');
$exact->enable($node, 'postgres', [qw(items glaccount)], $division);
is($exact->sync($node, 'postgres'), 'done', 'loaded');

my $key = lc +($exact->truth($division, 'logistics/Items'))[0]{key};
my $serial = 0;
my $since = $exact->last_call;
foreach my $endpoint ("http://$place/api/v1/$division/logistics/Items(guid'$key')", "http://$place", "//$place/x",
	"$exact->{url}\@$place/x", "$exact->{url}/api/v1/999999/payroll/Employees", "file:///etc/passwd",
	"gopher://$place/_x", "http://169.254.169.254/latest/meta-data", "$exact->{url}/api/../../_control/info")
{
	foreach my $action ('Update', 'Delete')
	{
		my $content = sprintf '{"Topic":"Items","ClientId":"%s","Division":%d,"Action":"%s","Key":"%s",'
		  . '"ExactOnlineEndpoint":"%s","EventCreatedOn":"2026-03-04T13:14:50.%03d"}', $exact->{info}{client_id},
		  $division, $action, $key, $endpoint, $serial++;
		my $hash = uc hmac_sha256_hex($content, $exact->{info}{webhook_secret});

		is(status_of(post($port, qq({"Content":$content,"HashCode":"$hash"}))), 200, "$action with $endpoint");
	}
}
wait_until('they are taken', sub { value('SELECT count(*) FROM exact.inbox_work WHERE taken_at IS NULL') eq '0' });
wait_until('and read', sub { scalar $exact->calls($since, qr{^/api/v1/$division/}) > 0 });
is($exact->sync($node, 'postgres'), 'done', 'all work is done');
is(value('SELECT count(*) FROM exact.inbox_work WHERE reason IS NOT NULL'), 0, 'each was of use');
ok(!IO::Select->new($trap)->can_read(0), 'nobody connected to the address that they carry');
is(scalar $exact->calls(0, qr{999999|payroll|\.\.|latest/meta}), 0, 'nor was Exact Online asked for it');
is(value("SELECT count(*) FROM exact.api_call WHERE path ~ '999999|payroll|$place|\\.\\.'"), 0, 'nor is it noted');
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|segfault|signal 11/, 'no crash');
done_testing();
