# A power failure with synchronous_commit = off: what the workers have told Databricks is on disk all the same, so no
# version is lost and no number given twice. Engine-free workspace.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $simulator = simulator(engine => 'none', slots => 8);
my $node = exact_cluster('main', conf => { 'exact_databricks.merge_interval' => "'10ms'", synchronous_commit => 'off',
	wal_writer_delay => "'10s'" });
deliver_to($node, $simulator);

sub one { return $node->safe_psql('postgres', $_[0]); }

# The server goes, and with it all WAL that nobody flushed
sub power_failure
{
	my ($file, $offset) = split /\|/, one('SELECT file_name, file_offset '
		. 'FROM pg_walfile_name_offset(pg_current_wal_flush_lsn())');
	my $path;

	$node->stop('immediate');
	$path = $node->data_dir . "/pg_wal/$file";
	open(my $wal, '+<', $path) or die "cannot open $path: $!";
	binmode $wal;
	seek($wal, $offset, 0) or die "cannot seek: $!";
	print $wal "\0" x ((-s $path) - $offset) or die "cannot write: $!";
	close($wal) or die "cannot write: $!";
	$node->start;
	wait_for_workers($node, 'postgres', seconds => 60);
	return;
}

my $n = 0;
foreach my $round (1 .. 3)
{
	foreach (1 .. 10)
	{
		$n++;
		stage($node, 1, 'costcenter', [ $n == 1 ? 'I' : 'U', 'a', { ID => 'a', Code => "a$n" } ]);
	}
	wait_delivered($node, 60);
	power_failure();
	is(one('SELECT count(*) FROM exact.batch WHERE delivered_at IS NOT NULL'), $n,
		"power failure $round: every delivery is known");
}
$n++;
stage($node, 1, 'costcenter', [ 'U', 'a', { ID => 'a', Code => "a$n" } ]);
ok(eval { wait_delivered($node, 60) }, 'it goes on');
my %count;
$count{ $_->{_seq} }++ foreach databricks_rows($simulator, 'costcenter_history');
is(scalar(keys %count), $n, 'every version is in the history');
is(scalar(grep { $_ > 1 } values %count), 0, 'once');
is((databricks_rows($simulator, 'costcenter'))[0]{code}, "a$n", 'and the last state in the table');
is(one('SELECT epoch FROM exact.installation_binding'), '1', 'no epoch had to begin');
$node->stop;
done_testing();
