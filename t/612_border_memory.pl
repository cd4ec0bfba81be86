# A worker that has used secrets is closed to other processes of the same user, and leaves no image of itself. And who
# may install the extension: a superuser alone.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactOnline;
use ExactTest;
use Test::More;

sub may_read { my ($pid) = @_; return open(my $memory, '<:raw', "/proc/$pid/mem") ? 'yes' : 'no'; }

my $exact = ExactOnline->start('--records', '40', '--divisions', '1', '--fast');
my $databricks = simulator(engine => 'none');
my $node = exact_cluster('main');

sub one { return $node->safe_psql('postgres', $_[0]); }

one('CREATE EXTENSION exact_databricks');
wait_for_workers($node, 'postgres');
$exact->authorise($node, 'postgres');
one("INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema, client_id) VALUES ('lake', "
	. "'$databricks->{url}', '$databricks->{info}{warehouse_id}', 'main', 'exact', '$databricks->{info}{client_id}')");
one("SELECT exact.set_secret('workspace', 'lake', 'client_secret', '$databricks->{info}{client_secret}')");
one("SELECT exact.me('erp')");
one('SELECT * FROM exact.ping()');

SKIP:
{
	my $checkpointer = one("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'");

	skip 'this system closes the memory of every process', 2 if may_read($checkpointer) eq 'no';
	is(may_read(worker_pid($node, 'postgres', $_)), 'no', "the memory of the $_ is closed") foreach 'fetcher', 'loader';
}

is(one("SELECT superuser || ' ' || trusted FROM pg_available_extension_versions WHERE name = 'exact_databricks'"),
	'true false', 'a superuser installs it, nobody else');
one("CREATE ROLE owner LOGIN CREATEROLE");
one('CREATE DATABASE theirs OWNER owner');
my ($rc, $out, $err) = $node->psql('theirs', 'CREATE EXTENSION exact_databricks', extra_params => [ '-U', 'owner' ]);
like($err, qr/permission denied to create extension/, 'not the owner of a database');
$node->stop;
done_testing();
