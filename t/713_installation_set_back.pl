# A data directory that goes back, or that is there twice, without a new timeline: a base backup that is copied and
# started, a snapshot that is rolled back, two copies beside each other, three in a row, WAL that a power failure took.
# No number is given twice, one hub delivers, and Delta ends as Exact Online is.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use HubTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::RecursiveCopy;
use PostgreSQL::Test::Utils;
use Test::More;

my $exact = exact_online();
my $databricks = simulator(engine => 'none', slots => 8);
my $main = hub_cluster('main', init => { allows_streaming => 1 });
my $seed = 120;

sub change { my ($count, $deletes) = @_; $exact->post('random', count => $count, deletes => $deletes // 0.2,
	seed => $seed++); return; }
sub claims { my %seen = map { ("$_->{epoch} $_->{claim}" => 1) } databricks_rows($databricks, 'exact_hub');
	return keys %seen; }
sub reason { return one($_[0], 'SELECT reason FROM exact.epoch ORDER BY epoch DESC LIMIT 1'); }

# In each history: versions that stand there twice, and numbers that two records have
sub numbers_are_given_once
{
	my ($what) = @_;
	my @bad;

	foreach my $entity (qw(glaccount items accounts purchaseorders purchaseorderlines costcenter costunit))
	{
		my %of;
		$of{ $_->{_seq} }++ foreach databricks_rows($databricks, "${entity}_history");
		push @bad, map { "$entity $_" } grep { $of{$_} > 1 } keys %of;
	}
	is("@bad", '', "$what: no number is given twice");
	return;
}

sub authorise_again
{
	my ($node) = @_;
	my $answer = $exact->{http}->get(one($node, "SELECT exact.authorize_url('erp')"));

	one($node, "SELECT exact.authorize('erp', '$answer->{headers}{location}')");
	return;
}

# Started; what it does until everything is read and delivered
sub works
{
	my ($node, $what) = @_;

	$node->start;
	wait_for_workers($node, 'postgres', seconds => 60);
	change(30);
	complete($node, $exact, 120);
	agrees($exact, $databricks, $what);
	numbers_are_given_once($what);
	is(scalar(my @claims = claims()), 1, "$what: one hub has claimed every division");
	is(one($node, "SELECT string_agg(finding, '; ') FROM exact.check() WHERE rule = 'installation' AND result <> 'ok'"),
		'', "$what: check() is content");
	return;
}

give_hub($main, $exact, $databricks);
agrees($exact, $databricks, 'the first hub');
$main->backup('early');
change(60, 0.3);
complete($main, $exact);	# delivered, and unknown to the backup
my $at_last = one($main, 'SELECT max(seq_max) FROM exact.batch');
$main->stop('immediate');

# ---- a base backup, copied and started: the plain restore, on the same timeline ----

my $copy = PostgreSQL::Test::Cluster->new('copy');
$copy->init_from_backup($main, 'early');
works($copy, 'a base backup that was copied and started');
is(one($copy, 'SELECT exact._timeline()'), '1', 'its timeline is as it was');
is(epoch_of($copy), '2', 'it has begun an epoch');
like(reason($copy), qr/^\w+ in Databricks has version \d+, this hub sent only up to \d+$/,
	'because of what Databricks has: ' . reason($copy));
is(one($copy, "SELECT what -> 'row' -> 'args' ->> 'epoch' FROM exact.audit_log WHERE kind = 'installation' "
	. "AND what -> 'row' ->> 'kind' = 'fence'"), '2', 'the audit log says so');
is(one($copy, 'SELECT count(*) FROM exact.verify_audit()'), '0', 'its audit chains hold');
like(slurp_file($copy->logfile), qr/alarm: table main\.exact\.\w+_history holds version \d+ of epoch 1/, 'and the log');
$copy->restart;
wait_for_workers($copy, 'postgres', seconds => 60);
change(10);
complete($copy, $exact);
is(epoch_of($copy), '2', 'a restart begins no other epoch');

# the one that it replaces comes back
$main->start;
all_off($main, qr/another copy of installation \S+ works in Databricks \(its epoch is 2, this one's 1\)/);
$main->stop;

# ---- a snapshot of the stopped volume, rolled back later ----

$copy->stop;
my $snapshot = $copy->basedir . '/snapshot';
PostgreSQL::Test::RecursiveCopy::copypath($copy->data_dir, $snapshot);
works($copy, 'the hub after its snapshot');
$copy->stop('immediate');
File::Path::rmtree($copy->data_dir);
PostgreSQL::Test::RecursiveCopy::copypath($snapshot, $copy->data_dir);
chmod 0700, $copy->data_dir;
$copy->start;
all_off($copy, qr/another copy of installation \S+ works in Databricks \(its epoch is 2, this one's 2\)/);
like(one($copy, 'SELECT exact.fence()'), qr/^epoch 3/, 'whoever rolled it back knows that there is no other');
$copy->stop;
works($copy, 'a snapshot that was rolled back');

# ---- copies beside the original, three in a row: each start takes the place of the one before ----

$copy->backup('late');
my @copies = ($copy);
foreach my $name (qw(second third fourth))
{
	my $next = PostgreSQL::Test::Cluster->new($name);
	$next->init_from_backup($copy, 'late');
	$next->start;
	push @copies, $next;
}
wait_until('one of them is left', sub {
	my $ready = 0;
	foreach my $node (@copies)
	{
		one($node, "SELECT exact._wake('loader')");
		$ready += one($node, "SELECT count(*) FROM exact._workers() WHERE role = 'loader' AND state = 'running'");
	}
	return $ready == 1 }, 120);
my ($winner) = grep { one($_, "SELECT count(*) FROM exact._workers() WHERE role = 'loader' AND state = 'running'") }
	@copies;
my @losers = grep { $_ != $winner } @copies;
all_off($_, qr/another copy of installation \S+ works in Databricks/) foreach @losers;
$_->stop foreach @losers;
authorise_again($winner);	# they have used up each other's tokens
change(30);
complete($winner, $exact, 120);
agrees($exact, $databricks, 'the one that is left');
numbers_are_given_once('the one that is left');
$winner->stop;
done_testing();
