# Somebody sends a signed notification without the time of its event again and again: it costs few calls. An honest one
# that tells of another change of the same record is taken in after a while.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactTest;
use Listener;
use PostgreSQL::Test::Utils;
use Test::More;

my ($node, $port) = listener_cluster('main');
my $key = 'aaaaaaaa-0000-4000-8000-000000000001';
my $captured = notification(content => qq({"Topic":"Items","ClientId":"$Listener::CLIENT_ID",)
	. qq("Division":$Listener::DIVISION,"Action":"Update","Key":"$key"}));

sub value { return $node->safe_psql('postgres', $_[0]); }
sub stored { return value("SELECT count(*) FROM exact.inbox WHERE key = '$key'"); }

# It is so many seconds later.
sub pass_seconds
{
	my ($seconds) = @_;

	return value("UPDATE exact.inbox SET at = at - interval '$seconds s' WHERE key = '$key'");
}

# Sends it, and lets the fetcher take what was stored; stored or repeat.
sub replay
{
	my $before = stored();

	is(status_of(post($port, $captured)), 200, 'answered 200') or return 'refused';
	return 'repeat' if stored() == $before;
	wait_until('the fetcher took it',
		sub { value('SELECT count(*) FROM exact.inbox_work WHERE taken_at IS NULL') eq '0' });
	return 'stored';
}

# ---- both sides of each limit ----
is(replay(), 'stored', 'the first');
is(replay(), 'repeat', 'at once again');
pass_seconds(55);
is(replay(), 'repeat', 'just below a minute');
foreach my $minutes (1, 2, 4, 8, 16, 32, 60, 60)
{
	pass_seconds($minutes == 1 ? 6 : 60 * $minutes + 1);
	is(replay(), 'stored', "more than $minutes minutes after the last that was stored");
	pass_seconds(60 * ($minutes == 60 ? 60 : 2 * $minutes > 60 ? 60 : 2 * $minutes) - 10);
	is(replay(), 'repeat', 'and then less than twice as long, at most an hour');
	pass_seconds(-60 * ($minutes == 60 ? 60 : 2 * $minutes > 60 ? 60 : 2 * $minutes) + 10);
}
pass_seconds(86400 + 10);
is(replay(), 'stored', 'a day later');
pass_seconds(61);
is(replay(), 'stored', 'it begins with a minute');

# ---- for an hour, every twenty seconds ----
pass_seconds(86400 * 8);
my ($before, $counted) = (stored(), value('SELECT duplicates FROM exact.listener'));
foreach my $n (1 .. 180)
{
	replay();
	pass_seconds(20);
}
cmp_ok(stored() - $before, '<=', 6, 'replayed for an hour: ' . (stored() - $before) . ' are stored');
cmp_ok(stored() - $before, '>=', 5, 'not none: one may tell of another change');
cmp_ok(value('SELECT duplicates FROM exact.listener') - $counted, '>=', 174, 'exact.listener counts the others');

# ---- a clock that was set back keeps none out ----
value("DELETE FROM exact.inbox WHERE key = '$key'");
is(replay(), 'stored', 'one');
pass_seconds(-3600);
is(replay(), 'stored', 'one of a time that is still to come is no reason');
is(value('SELECT count(*) FROM exact.verify_audit()'), 0, 'the chains are whole');
done_testing();
