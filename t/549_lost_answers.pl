# Twelve workspaces lose answers at the same time, each in another way; then the loader is killed while each of them is
# at another step of a delivery, through its volume or with both MERGEs side by side. Each version arrives once, in
# order, and no file is left.
#
# EXACT_DATABRICKS_LOST_ANSWERS says how often an answer is lost in each way (default 3), EXACT_DATABRICKS_LOADER_KILLS
# how often the loader is killed (default 10), EXACT_DATABRICKS_CLUSTERS how many hubs share that (default 1), and
# EXACT_DATABRICKS_ENGINE takes real tables for it (spark; default none).
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use List::Util qw(max);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $lost_answers = $ENV{EXACT_DATABRICKS_LOST_ANSWERS} // 3;
my $kills = $ENV{EXACT_DATABRICKS_LOADER_KILLS} // 10;
my $clusters = $ENV{EXACT_DATABRICKS_CLUSTERS} // 1;
my $engine = $ENV{EXACT_DATABRICKS_ENGINE} // 'none';
my $patience = $engine eq 'none' ? 120 : 900;
my @workspaces = (1 .. 12);
my @calls = (qw(PUT DELETE history current));
my @ways = map { my $call = $_; map { [ $call, action => $_ ] } qw(reset_before reset_running reset_after) } @calls;
my @steps = map {
	my $file = /[A-Z]/;
	([ $_, action => 'delay', seconds => 5 ], [ $_, action => $file ? 'hang' : 'slow', seconds => 5 ])
} @calls;

# A hub with a workspace for each division, which has a schema and a volume of its own
sub hub
{
	my ($number) = @_;
	my $data = PostgreSQL::Test::Utils::tempdir;
	my $simulator = simulator(engine => $engine, slots => 24, data => $data);
	my $node = exact_cluster("hub$number", conf => { 'exact_databricks.merge_interval' => "'10ms'",
		'exact_databricks.merge_rows' => '3', 'restart_after_crash' => 'on' });
	my $who = $simulator->{info}{client_id};

	deliver_to($node, $simulator);
	foreach my $w (@workspaces)
	{
		control($simulator, 'POST', 'sql', { statement => $_ })
			foreach "CREATE SCHEMA IF NOT EXISTS main.s$w", "CREATE VOLUME main.s$w.files",
			"GRANT USE SCHEMA, CREATE TABLE, SELECT, MODIFY ON SCHEMA main.s$w TO `$who`",
			"GRANT READ VOLUME, WRITE VOLUME ON VOLUME main.s$w.files TO `$who`";
		$node->safe_psql('postgres', "
			INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema, client_id, volume)
			SELECT 'w$w', host, warehouse_id, catalog, 's$w', client_id, 'files' FROM exact.workspace
			WHERE name = 'lake';
			SELECT exact.set_secret('workspace', 'w$w', 'client_secret', '$simulator->{info}{client_secret}');
			INSERT INTO exact.division (division, app, workspace) VALUES ($w, 'erp', 'w$w')
			ON CONFLICT (division) DO UPDATE SET workspace = excluded.workspace");
	}
	return { node => $node, simulator => $simulator, data => $data, rounds => 0 };
}

# Of each workspace three batches of new records and one with the next version of a record that is there, which go
# through its volume; or one and one, which are sent as text, so that both MERGEs run side by side. In two rounds of
# four the one more is new, too: then the current table gets rows by an INSERT alone.
sub stage_all
{
	my ($hub, $small) = @_;
	my $round = ++$hub->{rounds};
	my @new = map { $small && $small->{$_} ? 1 : 3 } @workspaces;
	my $all_new = $round % 4 == 2 || $round % 4 == 3 ? 1 : 0;

	foreach (0 .. $#new)
	{
		$hub->{records}[$_] += $new[$_] + ($all_new || $round == 1 ? 1 : 0);
		$hub->{versions}[$_] += $new[$_] + 1;
	}
	$hub->{again} = $round unless $all_new;
	$hub->{node}->safe_psql('postgres', "
		WITH b AS (SELECT nextval('exact.batch_id') AS id, w, part
			FROM unnest(ARRAY[@{[ join(',', @new) ]}]) WITH ORDINALITY AS n (new, w), generate_series(0, new) AS part),
		s AS (
			INSERT INTO exact.stage (slot, batch, ord, seq, division, entity, key, op, hash, payload)
			SELECT b.id % 64, b.id, 0, (1::bigint << 40) + nextval('exact.version_counter'), b.w, 'items',
				CASE WHEN b.part = 0 AND $all_new = 0 THEN 'again' ELSE 'k$round-' || b.part END,
				CASE WHEN b.part = 0 AND $all_new = 0 AND $round > 1 THEN 'U' ELSE 'I' END, sha256(''),
				format('{\"ID\":\"%s\",\"Description\":\"round %s\"}', b.part, $round)
			FROM b RETURNING *)
		INSERT INTO exact.batch (id, slot, workspace, division, entity, feed, epoch, rows, bytes, seq_min, seq_max)
		SELECT batch, slot, 'w' || division, division, 'items', 'items', 1, 1, length(payload), seq, seq FROM s;
		SELECT exact._wake('loader')");
	return;
}

# Arms a fault for each workspace, and stages what meets it: each second time what a statement meets is small
sub provoke
{
	my ($hub, $round, @faults) = @_;
	my %small;

	$hub->{faults} = {};
	foreach my $w (@workspaces)
	{
		my ($call, %fault) = @{ $faults[ ($w + $round) % @faults ] };
		my %what = $call =~ /[A-Z]/ ? (path => "^/api/2.0/fs/files/Volumes/main/s$w/", method => $call)
			: (path => '^/api/2.0/sql/statements$', statement => of_kind($call) . ".*\\bs$w\\b");
		my $id = workspace_fault($hub->{simulator}, %what, %fault);

		$hub->{faults}{$id} = "$call $fault{action} in w$w";
		$small{$w} = $call !~ /[A-Z]/ && $round % 2;
	}
	stage_all($hub, \%small);
	return;
}

# Faults that no delivery has met yet
sub not_struck
{
	my ($hub) = @_;
	my %struck = map { $_->{id} => $_->{applied} } @{ control($hub->{simulator}, 'GET', 'faults')->{faults} };

	return map { $hub->{faults}{$_} } grep { !$struck{$_} } sort { $a <=> $b } keys %{ $hub->{faults} };
}

# Each version once in the history, each record once and as it was last, no file
sub check_all
{
	my ($hub, $what) = @_;
	my @wrong;

	foreach my $w (@workspaces)
	{
		my ($current, $history) = map { join(' ', map { $_ // '' } @{ $_->{rows}[0] }) } map {
			control($hub->{simulator}, 'POST', 'sql', { statement => $_ })
			} "SELECT count(*), count(DISTINCT _key), max(CASE WHEN _key = 'again' THEN Description END) "
			. "FROM main.s$w.items",
			"SELECT count(*), count(DISTINCT _seq), count(DISTINCT _key) FROM main.s$w.items_history";

		my ($records, $versions) = map { $hub->{$_}[ $w - 1 ] } qw(records versions);
		push @wrong, "w$w: $current, $history" if $current ne join(' ', ($records) x 2, "round $hub->{again}")
			|| $history ne join(' ', ($versions) x 2, $records);
	}
	is(join('; ', @wrong), '', "$what: each version once, the last one is current");
	wait_until("$what: no file is left", sub { !glob("$hub->{data}/volumes/main/s*/files/exact_databricks/*/*/*") });
	return;
}

sub wait_all
{
	my ($what, @hubs) = @_;

	foreach my $hub (@hubs)
	{
		next if eval { wait_delivered($hub->{node}, $patience); 1 };
		fail("$what: " . $hub->{node}->name . ' has delivered');
		BAIL_OUT("$what: " . $hub->{node}->safe_psql('postgres', "SELECT string_agg(concat_ws(' ', workspace, "
			. "paused_since, reason), '; ') FROM exact.target_state"));
	}
	return;
}

# In each workspace another table gets its first rows, through its volume, while the loader is killed
sub kill_first
{
	my ($hub) = @_;
	my ($node, $simulator) = @$hub{qw(node simulator)};
	my @slow;

	foreach my $w (@workspaces)
	{
		my ($call, %fault) = @{ $steps[ 4 + $w % 4 ] };
		push @slow, workspace_fault($simulator, path => '^/api/2.0/sql/statements$',
			statement => "warehouses $call .*INSERT INTO .*\\bs$w\\b", %fault);
		stage($node, $w, 'warehouses', map { [ 'I', "a$_", { ID => "a$_", Description => "text $_" } ] } 1 .. 4);
	}
	wait_until('all are under way', sub { !grep { !fault_count($simulator, $_) } @slow }, 60);
	my $killed = worker_pid($node, 'postgres', 'loader');
	kill 'KILL', $killed;
	wait_until('another loader runs', sub {
		my $new = worker_pid($node, 'postgres', 'loader');
		$new ne '' && $new ne $killed }, 60);
	control($simulator, 'DELETE', 'faults');
	wait_all('killed with first rows', $hub);
	is(join(' ', map { my $w = $_; map { join('/', @{ control($simulator, 'POST', 'sql', { statement =>
		"SELECT count(*), count(DISTINCT _key), count(DISTINCT _seq) FROM main.s$w.$_" })->{rows}[0] })
			} 'warehouses', 'warehouses_history' } @workspaces), join(' ', ('4/4/4') x 24),
		'killed with first rows: each is there once');
	return;
}

my @hubs = map { hub($_) } 1 .. $clusters;

# the first rows of tables that are just made go by an INSERT: its answer is lost, then the loader is killed with it
provoke($_, 0, grep { $_->[0] !~ /[A-Z]/ } @ways) foreach @hubs;
wait_all('first', @hubs);
wait_until('first: all answers are lost', sub { !grep { not_struck($_) } @hubs });
foreach my $hub (@hubs)
{
	control($hub->{simulator}, 'DELETE', 'faults');
	check_all($hub, 'first');
	kill_first($hub);
}

# lost answers
my ($begun, $slowest, $lost) = (time, 0, 0);
my $rounds = int(($lost_answers + $clusters - 1) / $clusters);
foreach my $round (1 .. $rounds)
{
	my $at = time;

	provoke($_, $round, @ways) foreach @hubs;
	wait_all("lost answers, round $round", @hubs);
	$slowest = max($slowest, time - $at);
	foreach my $hub (@hubs)
	{
		# a file is deleted behind its delivery
		wait_until("lost answers, round $round: all are met", sub { !not_struck($hub) });
		control($hub->{simulator}, 'DELETE', 'faults');
		check_all($hub, "lost answers, round $round") if $round <= 3 || $round % 25 == 0 || $round == $rounds;
		$lost += @workspaces;
	}
}
note(sprintf('%d answers lost, %d in each of %d ways; a round took at most %.1f s; %d s', $lost, $lost / @ways,
	scalar @ways, $slowest, time - $begun));

# kills
my ($killed, $armed, $met) = (0, 0, 0);
($begun, $slowest) = (time, 0);
foreach my $round (1 .. int(($kills + $clusters - 1) / $clusters))
{
	provoke($_, $round, @steps) foreach @hubs;
	# each step takes five seconds: until then the last of them is met
	eval { wait_until('all steps are met', sub { !grep { not_struck($_) } @hubs }, 4) };
	my $at = time;
	foreach my $hub (@hubs)
	{
		$hub->{killed} = worker_pid($hub->{node}, 'postgres', 'loader');
		kill 'KILL', $hub->{killed};
		$killed++;
		$armed += @workspaces;
		$met += @workspaces - not_struck($hub);
	}
	foreach my $hub (@hubs)
	{
		wait_until('another loader runs', sub {
			my $new = worker_pid($hub->{node}, 'postgres', 'loader');
			$new ne '' && $new ne $hub->{killed} }, 60);
		control($hub->{simulator}, 'DELETE', 'faults');
	}
	wait_all("kill $round", @hubs);
	$slowest = max($slowest, time - $at);
	if ($round <= 10 || $round % 25 == 0)
	{
		check_all($_, "kill $round") foreach @hubs;
	}
}
note(sprintf('%d kills of the loader in the middle of %d steps of deliveries; all was delivered within %.1f s; %d s',
	$killed, $met, $slowest, time - $begun));
cmp_ok($met, '>=', $armed / 2, "kills: $met of $armed steps were met");
check_all($_, 'at the end') foreach @hubs;
is($_->{node}->safe_psql('postgres', 'SELECT count(*) FROM exact.target_state WHERE paused_since IS NOT NULL'), '0',
	'no table is paused') foreach @hubs;
is($_->{node}->safe_psql('postgres', 'SELECT count(*) FROM exact.dead_letter'), '0', 'nothing is put aside')
	foreach @hubs;

# another hub with tables of its own in the same schema: both put files into one volume at the same time, and a loader
# that starts sweeps its own ones alone
my $first = $hubs[0];
my $other = exact_cluster('other', conf => { 'exact_databricks.merge_interval' => "'10ms'",
	'exact_databricks.merge_rows' => '3', 'restart_after_crash' => 'on' });
deliver_to($other, $first->{simulator});
$other->safe_psql('postgres', "UPDATE exact.workspace SET schema = 's1', volume = 'files';
	INSERT INTO exact.division (division, app, workspace) VALUES (101, 'erp', 'lake')");
my $files = "$first->{data}/volumes/main/s1/files/exact_databricks";
my $accounts = 0;
foreach my $round (1 .. 6)
{
	my $fault = workspace_fault($first->{simulator}, path => '^/api/2.0/sql/statements$',
		statement => '(items|accounts) history .*\\bs1\\b', action => 'slow', seconds => 3, times => 2);

	stage_all($first);
	stage($other, 101, 'accounts', map { [ 'I', "a$round-$_", { ID => "a$round-$_", Name => "$round" } ] } 1 .. 4);
	$accounts += 4;
	eval { wait_until('both are at it', sub { fault_count($first->{simulator}, $fault) == 2 }, 10) };
	# the one or the other ends in the middle, and its next process sweeps
	my $victim = $round % 2 ? $first->{node} : $other;
	kill 'KILL', worker_pid($victim, 'postgres', 'loader');
	wait_until("two hubs, round $round: both have delivered",
		sub { eval { delivered($first->{node}) && delivered($other) } }, $patience);
	control($first->{simulator}, 'DELETE', 'faults');
}
wait_until('two hubs: no file is left', sub { !glob("$files/*/*/*") });
is(scalar(() = glob("$files/*")), 2, 'two hubs: a directory each');
check_all($first, 'two hubs');
my $answer = control($first->{simulator}, 'POST', 'sql', { statement =>
	'SELECT count(*), count(DISTINCT _key), (SELECT count(DISTINCT _seq) FROM main.s1.accounts_history) '
	. 'FROM main.s1.accounts' });
is(join(' ', @{ $answer->{rows}[0] }), join(' ', ($accounts) x 3), 'two hubs: the other one has its rows');

$_->{node}->stop foreach @hubs;
$other->stop;
done_testing();
