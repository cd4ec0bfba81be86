# Copies of the data directory: a physical clone with another name stays off; a promoted standby and an older base
# backup take the place of the hub, learn what it had delivered beyond what they know, and shut it out.
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

my $exact = exact_online();
my $databricks = simulator(engine => 'none', slots => 8);
my $main = hub_cluster('main', init => { allows_streaming => 1, has_archiving => 1 });
my $seed = 20;

sub change { my ($count, $deletes) = @_; $exact->post('random', count => $count, deletes => $deletes // 0.2,
	seed => $seed++); return; }
sub epochs { return join ' ',
	sort { $a <=> $b } keys %{ { map { $_->{epoch} => 1 } databricks_rows($databricks, 'exact_hub') } }; }
sub unknown { return one($_[0], "SELECT coalesce(sum((what ->> 'unknown_records')::int), 0) FROM exact.audit_log "
	. "WHERE kind = 'installation' AND what ? 'unknown_records'"); }

give_hub($main, $exact, $databricks);
agrees($exact, $databricks, 'the first hub');
$main->backup('early');
change(40);
complete($main, $exact);
$main->backup('late');

# ---- a physical clone with a name of its own, for rehearsals ----

my $clone = PostgreSQL::Test::Cluster->new('clone');
$clone->init_from_backup($main, 'late');
$clone->append_conf('postgresql.conf', "exact_databricks.instance = 'rehearsal'");
$clone->start;
all_off($clone, qr/installation \S+ is bound to the instance ""/);
like(error_of($clone, 'postgres', 'SELECT exact.fence()'), qr/EX016.*this hub does not work: .*bound to the instance/s,
	'a clone fences nobody by mistake');
is(epoch_of($clone), '1', 'its epoch is as it was');
change(10);
complete($main, $exact);
agrees($exact, $databricks, 'the original, beside its clone');
is(epochs(), '1', 'nobody else claimed anything');
$clone->stop;

# ---- a standby: nothing runs on it; promoted, it takes over with less than the primary had ----

my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($main, 'late', has_streaming => 1);
$standby->start;
$main->wait_for_catchup($standby);
is(one($standby, "SELECT count(*) FROM exact._workers() WHERE role IN ('fetcher', 'loader') AND pid IS NOT NULL"), '0',
	'no worker runs on a standby');
is(one($standby, "SELECT DISTINCT light || ': ' || what || ', ' || next_step FROM exact.status"),
	'fail: a standby: its workers run once it is promoted, when the primary is dead: SELECT pg_promote()',
	'and status says that it is one');
$standby->stop;
change(60, 0.3);
complete($main, $exact);	# delivered, and unknown to the standby
my $at_last = one($main, 'SELECT max(seq_max) FROM exact.batch');
$main->stop('immediate');
change(20);
$standby->start;
cmp_ok(one($standby, 'SELECT max(seq_max) FROM exact.batch'), '<', $at_last,
	'the standby knows less than was delivered');
$standby->promote;
wait_for_workers($standby, 'postgres', seconds => 60);
complete($standby, $exact, 90);
agrees($exact, $databricks, 'the promoted standby');
is(epoch_of($standby), '2', 'it has begun an epoch');
is(epochs(), '2', 'and claimed it');
like(one($standby, 'SELECT reason FROM exact.epoch WHERE epoch = 2'), qr/^timeline 2 after 1$/,
	'because of its timeline');
is(one($standby, 'SELECT bool_and(seq >> 40 = 2) FROM exact.stage WHERE batch > (SELECT max(id) FROM exact.batch '
	. 'WHERE epoch = 1)'), 't', 'what it stages is of that epoch');
cmp_ok(unknown($standby), '>', 0, 'it has learned of records that the primary had delivered');
is(one($standby, 'SELECT count(*) FROM exact.verify_audit()'), '0', 'its audit chains hold');
$standby->restart;
wait_for_workers($standby, 'postgres', seconds => 60);
is(epoch_of($standby), '2', 'a restart begins no other epoch');

# the old primary comes back: it looks into Databricks before it does anything, and stays off
$main->start;
all_off($main, qr/another copy of installation \S+ works in Databricks \(its epoch is 2, this one's 1\)/);
is(one($main, "SELECT DISTINCT light || ': ' || next_step FROM exact.status"),
	"fail: if the old hub is dead: SELECT exact.adopt('" . installation_of($main) . "')",
	'and status says what to do should the other one be dead');
is(epochs(), '2', 'the claim of the new one stands');
change(20);
complete($standby, $exact);
agrees($exact, $databricks, 'the promoted standby, beside the old primary');
$main->stop;

# ---- an older base backup, restored to the moment of its end ----

my $restored = PostgreSQL::Test::Cluster->new('restored');
$restored->init_from_backup($main, 'early', has_restoring => 1, standby => 0);
$restored->append_conf('postgresql.conf', "recovery_target = 'immediate'\nrecovery_target_action = "
	. "'promote'\nrecovery_target_timeline = 'current'");
change(20);
complete($standby, $exact);
$standby->stop('immediate');
$restored->start;
$restored->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()')
	or die 'the restored cluster does not come up';

wait_for_workers($restored, 'postgres', seconds => 60);
is(epoch_of($restored), '3', 'its epoch is not below its timeline');
change(20);
complete($restored, $exact, 90);
agrees($exact, $databricks, 'the older base backup');
is(epochs(), '3', 'it has claimed its epoch');
cmp_ok(unknown($restored), '>', 0, 'it has learned of records that were delivered after it');
is(one($restored, "SELECT count(*) FROM exact.stage WHERE op = 'D' AND seq >> 40 = 3") > 0, 1,
	'and of some that are gone');
is(one($restored, 'SELECT count(*) FROM exact.verify_audit()'), '0', 'its audit chains hold');

# and the one that it replaces is refused in its turn
$standby->start;
all_off($standby, qr/another copy of installation \S+ works in Databricks \(its epoch is 3, this one's 2\)/);
change(20);
complete($restored, $exact);
agrees($exact, $databricks, 'the last one');
$_->stop foreach $standby, $restored;
done_testing();
