# The ledger in a hub that was set back: an older backup of it takes over after entries were changed, lines removed and
# documents deleted elsewhere; every table of the preset finance agrees with Exact Online again.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use HubTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $exact = exact_online('--preset', 'finance', '--records', '200');
my $databricks = simulator(engine => 'none', slots => 8);
my $main = hub_cluster('main', init => { allows_streaming => 1, has_archiving => 1 });

give_hub($main, $exact, $databricks);
agrees($exact, $databricks, 'the first load');
$main->backup('early');
foreach my $seed (91 .. 93)
{
	$exact->post('random', count => 60, deletes => 0.15, seed => $seed);
	complete($main, $exact, 90);
}
agrees($exact, $databricks, 'after 180 changes');
$main->stop('immediate');

my $restored = PostgreSQL::Test::Cluster->new('restored');
$restored->init_from_backup($main, 'early', has_restoring => 1, standby => 0);
$restored->append_conf('postgresql.conf', "recovery_target = 'immediate'\nrecovery_target_action = 'promote'");
$exact->post('random', count => 40, deletes => 0.15, seed => 94);
$restored->start;
wait_for_workers($restored, 'postgres', seconds => 60);
complete($restored, $exact, 90);
agrees($exact, $databricks, 'the restored hub');
$exact->post('random', count => 40, deletes => 0.15, seed => 95);
complete($restored, $exact, 90);
agrees($exact, $databricks, 'and later');
$restored->stop;
done_testing();
