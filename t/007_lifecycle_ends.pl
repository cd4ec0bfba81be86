# Workers that are asked to end: one within a unit finishes it, and whoever asks a question just then is answered by the
# next one.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = exact_cluster('main');

sub value { return $node->safe_psql('postgres', $_[0]); }

# A question that the fetcher answers by itself
sub ask { return error_of($node, 'postgres', $_[0] . "SELECT exact._ask('fetcher', 'no such question')"); }

my $answered = qr/the fetcher does not know the question "no such question"/;

value('CREATE EXTENSION exact_databricks');
wait_for_workers($node, 'postgres');
like(ask(''), $answered, 'the fetcher answers');

# ---- asked to end within a unit ----

my $session = $node->background_psql('postgres');
foreach my $role (qw(fetcher loader))
{
	my $pid = worker_pid($node, 'postgres', $role);

	$session->query_safe('BEGIN; LOCK TABLE exact.installation_binding IN ACCESS EXCLUSIVE MODE');
	$node->reload;
	wait_until("a unit of the $role waits for the lock",
		sub { value("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid AND wait_event_type = 'Lock'") eq '1' });
	value("SELECT pg_terminate_backend($pid)");
	$session->query_safe('COMMIT');
	wait_until("the $role is gone", sub { !kill(0, $pid) });
	wait_for_workers($node, 'postgres');
}
$session->quit;

# ---- asked while the one that has it ends ----

my @lost = grep { ask('SELECT exact.restart_workers(); ') !~ $answered } 1 .. 15;
is(scalar(@lost), 0, 'a question beside restart_workers() is answered by the next fetcher');
@lost = grep { value('DROP EXTENSION exact_databricks; CREATE EXTENSION exact_databricks'); ask('') !~ $answered }
	1 .. 5;
is(scalar(@lost), 0, 'a question after DROP and CREATE EXTENSION is answered by the new fetcher');
wait_for_workers($node, 'postgres');
@lost = grep { ask('SELECT exact.fence(); COMMIT; ') !~ $answered } 1 .. 5;
is(scalar(@lost), 0, 'a question after a new epoch is answered by its fetcher');

is(join("\n", slurp_file($node->logfile) =~ /^.*FATAL:  terminating background worker "exact .*$/mg), '',
	'no unit was interrupted');
$node->stop;
done_testing();
