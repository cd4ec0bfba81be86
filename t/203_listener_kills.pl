# kill -9 of the listener and of the postmaster while notifications come: every one that was answered 200 is there
# afterwards, and the answers go on. EXACT_DATABRICKS_LISTENER_KILLS and EXACT_DATABRICKS_POSTMASTER_KILLS say how often
# (default 2 and 1).
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactTest;
use Listener;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $listener_kills = $ENV{EXACT_DATABRICKS_LISTENER_KILLS} // 2;
my $postmaster_kills = $ENV{EXACT_DATABRICKS_POSTMASTER_KILLS} // 1;
my $back_within = 30;    # seconds until notifications are accepted again

my ($node, $port) = listener_cluster('main', conf => { 'restart_after_crash' => 'on' });
my %acknowledged;
my ($answered, $unavailable, $slowest) = (0, 0, 0);

sub stored
{
	return answer_of($node, 'postgres', 'SELECT count(*) FROM exact.inbox');
}

# Waits until new notifications are stored; how long that took
sub flowing
{
	my ($what) = @_;
	my $before;

	return seconds_of(
		sub {
			wait_until("$what: the server is back", sub { defined($before = stored()) }, $back_within);
			wait_until("$what: notifications are stored", sub { my $now = stored();
				defined $now && $now > $before + 100 }, $back_within);
		});
}

sub kill_under_load
{
	my ($what, $kill) = @_;
	my $load = start_senders($port, 6);

	flowing("before $what");
	$kill->();
	my $seconds = flowing("after $what");
	my $answers = stop_senders($load);

	$slowest = $seconds if $seconds > $slowest;
	$acknowledged{$_} = 1 foreach @{ $answers->{200} };
	$unavailable += @{ $answers->{503} // [] };
	is(join(' ', grep { !/^(200|503)$/ } keys %$answers), '', "$what: answers are 200 or 503");
	is(scalar(missing_keys($node, { 200 => [ keys %acknowledged ] })), 0,
		sprintf('%s: all of %d acknowledged ones are there', $what, scalar keys %acknowledged));
	return;
}

foreach my $n (1 .. $listener_kills)
{
	kill_under_load(
		"kill $n of the listener",
		sub {
			my $pid = worker_pid($node, 'postgres', 'listener');
			is(kill('KILL', $pid), 1, "kill -9 of the listener");
		});
}
foreach my $n (1 .. $postmaster_kills)
{
	kill_under_load(
		"kill $n of the postmaster",
		sub {
			$node->kill9;
			wait_until('its children have gone', sub { system('pg_ctl', '-s', '-D', $node->data_dir, 'status') != 0
				&& !ipc_in_use() });
			$node->start;
		});
}
is($node->safe_psql('postgres', 'SELECT count(*) FROM exact.verify_audit()'), 0, 'the audit chains are whole');
is($node->safe_psql('postgres', "SELECT count(*) FROM exact.inbox JOIN exact.inbox_work USING (id) "
	. "WHERE taken_at IS NULL GROUP BY digest HAVING count(*) > 1"), '', 'and none is there twice');
note(sprintf('%d listener kills, %d postmaster kills, %d acknowledged, 0 lost, %d answered 503, accepted again '
	. 'within %.1f s',
		$listener_kills, $postmaster_kills, scalar keys %acknowledged, $unavailable, $slowest));
done_testing();

# Is a process of the killed server still attached to its shared memory? Then the next one would refuse to start.
sub ipc_in_use
{
	open(my $file, '<', $node->data_dir . '/postmaster.pid') or return 0;
	my @lines = <$file>;
	close $file;
	my ($key, $id) = ($lines[6] // '') =~ /(\d+)\s+(\d+)/ or return 0;
	open(my $segments, '<', '/proc/sysvipc/shm') or return 0;
	while (<$segments>)
	{
		my @fields = split;
		return $fields[6] > 0 if ($fields[1] // '') eq $id;
	}
	return 0;
}
