# Thousands of questions, wake-ups, units and databases leave no process larger than before.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactTest;
use Test::More;

my $node = exact_cluster('main');
my $n = $ENV{EXACT_TEST_CYCLES} // 2000;

# Private memory of a process in kB
sub memory
{
	my ($pid) = @_;

	open(my $file, '<', "/proc/$pid/smaps_rollup") or die "cannot read smaps_rollup of $pid: $!";
	my $kb = 0;
	while (my $line = <$file>) { $kb += $1 if $line =~ /^Private_\w+:\s+(\d+)/; }
	return $kb;
}

sub work
{
	my ($cycles) = @_;

	$node->safe_psql('postgres',
		"DO \$\$ BEGIN FOR i IN 1..$cycles LOOP PERFORM exact._wake(w), exact._ask(w, 'ping') "
		. "FROM (VALUES ('fetcher'), ('loader')) AS v (w); END LOOP; END \$\$");
	$node->safe_psql('postgres',
		"DO \$\$ BEGIN FOR i IN 1..$cycles LOOP BEGIN PERFORM exact._ask('fetcher', 'me', 'nobody'); EXCEPTION "
		. "WHEN OTHERS THEN NULL; END; END LOOP; END \$\$");
	return;
}

sub churn
{
	my ($cycles) = @_;

	foreach (1 .. $cycles)
	{
		$node->safe_psql('postgres', 'CREATE DATABASE churn TEMPLATE hub');
		$node->safe_psql('postgres', 'DROP DATABASE churn');
	}
	return;
}

$node->safe_psql('postgres', 'CREATE DATABASE hub');
$node->safe_psql($_, 'CREATE EXTENSION exact_databricks') foreach ('postgres', 'hub');
wait_for_workers($node, $_) foreach ('postgres', 'hub');
my %pids = map { $_ => worker_pid($node, 'postgres', $_) } ('fetcher', 'loader', 'launcher');

work($n / 10);
churn(3);
my %before = map { $_ => memory($pids{$_}) } keys %pids;
work($n);
churn(15);
foreach my $role (sort keys %pids)
{
	my $grown = memory($pids{$role}) - $before{$role};

	cmp_ok($grown, '<', 1024, "$role: $n cycles, $before{$role} kB before, $grown kB more");
	is(worker_pid($node, 'postgres', $role), $pids{$role}, "$role is the same process");
}
$node->stop;
done_testing();
