# What holds what back: a paused table nobody, a workspace that does not answer or hangs no other one, a long backlog no
# other table; and after a pause that is over the next one begins anew. Engine-free workspace.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use List::Util qw(min);
use PostgreSQL::Test::Utils;
use Test::More;

my $simulator = simulator(engine => 'none', slots => 8);
my $node = exact_cluster('main', conf => { 'exact_databricks.merge_interval' => "'10ms'" });
deliver_to($node, $simulator);

sub one { return $node->safe_psql('postgres', $_[0]); }
sub target { return one("SELECT coalesce((SELECT ($_[1])::text FROM exact.target_state "
	. "WHERE workspace = 'lake' AND entity = '$_[0]'), '')"); }
sub waiting { return one("SELECT count(*) FROM exact.batch WHERE entity = '$_[0]' AND delivered_at IS NULL"); }

# The history MERGE of an entity is refused, so many times
sub refuse
{
	my ($entity, $times) = @_;
	return workspace_fault($simulator, statement => "$entity history ", action => 'fail', times => $times,
		error_class => 'UNSUPPORTED_FEATURE', sql_state => '0A000', message => 'not on this warehouse');
}

sub wait_paused
{
	my ($entity) = @_;
	wait_until("$entity is paused", sub { target($entity, 'paused_since IS NOT NULL') eq 'true' });
	return;
}

is(one("SELECT string_agg(entity, ' ' ORDER BY merge_rank) FROM exact.catalogue "
		. "WHERE entity IN ('glaccount', 'purchaseorders') AND merge_rank < 2"), 'glaccount purchaseorders',
	'master data goes first');

# a table of master data that is paused holds no document back
my $fault = refuse('glaccount', -1);
stage($node, 1, 'glaccount', [ 'I', 'g', { ID => 'g', Code => '1' } ]);
wait_paused('glaccount');
stage($node, 1, 'purchaseorders', [ 'I', 'p', { PurchaseOrderID => 'p' } ]);
ok(eval { wait_until('purchaseorders is delivered', sub { waiting('purchaseorders') eq '0' }); 1 },
	'a paused table holds nobody back');
is(waiting('glaccount'), '1', 'it is paused still');
control($simulator, 'DELETE', "faults/$fault");
one("SELECT exact.resume(1, 'glaccount')");
wait_delivered($node);

# master data of a workspace that does not answer holds no document of another one back
one("INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema, client_id)
	SELECT 'far', 'http://127.0.0.1:1', warehouse_id, catalog, schema, client_id FROM exact.workspace;
	SELECT exact.set_secret('workspace', 'far', 'client_secret', 'none');
	UPDATE exact.division SET workspace = 'far' WHERE division = 2");
stage($node, 2, 'glaccount', [ 'I', 'h', { ID => 'h', Code => '2' } ]);
stage($node, 1, 'purchaseorders', [ 'I', 'q', { PurchaseOrderID => 'q' } ]);
ok(eval { wait_until('purchaseorders is delivered', sub { waiting('purchaseorders') eq '0' }); 1 },
	'a workspace that does not answer holds no other one back');
is(waiting('glaccount'), '1', 'what is for it waits');
one("UPDATE exact.workspace SET enabled = false WHERE name = 'far'");

# refused, delivered by itself, refused again: the second pause is a first one
foreach my $round (1, 2)
{
	refuse('costcenter', 1);
	stage($node, 1, 'costcenter', [ $round == 1 ? 'I' : 'U', 'c', { ID => 'c', Code => "c$round" } ]);
	wait_paused('costcenter');
	is(target('costcenter', 'attempts'), '1', "pause $round: one attempt");
	is(target('costcenter', "next_attempt_at < clock_timestamp() + interval '2 min'"), 'true',
		"pause $round: tried again within a minute or two");
	wait_until("pause $round is told", sub { one("SELECT count(*) FROM exact.audit_log "
		. "WHERE what::text LIKE '%not on this warehouse%' AND what::text LIKE '%costcenter%'") eq $round });
	# a change of the configuration has it tried at once, as the time that passes does
	one("INSERT INTO exact.entity_field (entity, name, selected) VALUES ('costcenter', 'Description', "
		. ($round == 1 ? 'false' : 'true') . ') ON CONFLICT (entity, name) DO UPDATE SET selected = excluded.selected');
	ok(eval { wait_until('costcenter is delivered', sub { waiting('costcenter') eq '0' }); 1 }, "pause $round is over");
}
is(scalar(() = PostgreSQL::Test::Utils::slurp_file($node->logfile) =~ /WARNING: .* paused table=costcenter /g), 2,
	'each is a warning in the log');

# places: so many tables of a workspace at the same time, each workspace has its own, and they go round
my @entities = qw(glaccount costcenter costunit);

sub at_once
{
	my ($since) = @_;
	my $ours = "workspace = 'lake' AND entity IN ('" . join("', '", @entities) . "') AND id > $since";

	return one("SELECT max((SELECT count(DISTINCT b.entity) FROM exact.statement_log b WHERE b.at <= a.at AND $ours "
		. "AND coalesce(b.finished_at, 'infinity') > a.at)) FROM exact.statement_log a WHERE $ours");
}

one("UPDATE exact.batch SET workspace = 'lake' WHERE workspace = 'far'");
my $since = one('SELECT max(id) FROM exact.statement_log');
foreach my $places (8, 2, 1)
{
	one("ALTER SYSTEM SET exact_databricks.merge_tables = $places; SELECT pg_reload_conf()");
	$node->poll_query_until('postgres', "SELECT current_setting('exact_databricks.merge_tables') = '$places'");
	one('UPDATE exact.workspace SET enabled = false');
	my $slow = workspace_fault($simulator, statement => ' history ', action => 'slow', seconds => 1, times => -1);
	stage($node, 1, $_, [ 'I', "at$places", { ID => "at$places", Code => $places } ]) foreach @entities;
	one("UPDATE exact.workspace SET enabled = true WHERE name = 'lake'");
	wait_delivered($node);
	is(at_once($since), min(scalar @entities, $places), "merge_tables = $places: so many tables at the same time");
	control($simulator, 'DELETE', "faults/$slow");
	$since = one('SELECT max(id) FROM exact.statement_log');
}
one("ALTER SYSTEM SET exact_databricks.merge_rows = 10; SELECT pg_reload_conf()");
$node->poll_query_until('postgres', "SELECT current_setting('exact_databricks.merge_rows') = '10'");
one('UPDATE exact.workspace SET enabled = false');
stage($node, 1, 'glaccount', map { [ 'I', "long$_", { ID => "long$_", Code => $_ } ] } 1 .. 100);
stage($node, 1, 'costcenter', [ 'I', 'short', { ID => 'short', Code => '1' } ]);
one("UPDATE exact.workspace SET enabled = true WHERE name = 'lake'");
wait_delivered($node);
is(one("SELECT count(*) > 5 FROM exact.statement_log WHERE id > $since AND entity = 'glaccount' AND kind = 'current' "
		. "AND at > (SELECT max(finished_at) FROM exact.statement_log WHERE id > $since AND entity = 'costcenter')"),
	't', 'with one place a table of one row goes in the middle of a long backlog');

# lines that are older than a header which was just sent wait for those that are newer than it if all of them are more
# than one statement carries (merge_rows is 10); but not behind a header that takes long
one("ALTER SYSTEM SET exact_databricks.merge_tables = 8; SELECT pg_reload_conf()");
$node->poll_query_until('postgres', "SELECT current_setting('exact_databricks.merge_tables') = '8'");
stage($node, 1, 'purchaseorderlines', [ 'I', 'made', { ID => 'made' } ]);
wait_delivered($node);
foreach my $case ([ 5, 2, 't', 'as many as one statement carries: a part goes at once' ],
	[ 6, 2, 'f', 'more than one statement carries: all go behind the header' ],
	[ 6, 19, 't', 'a header that takes longer than 15 s is not waited for' ])
{
	my ($rows, $seconds, $first, $what) = @$case;
	my @lines = map { "$seconds-$rows-$_" } 1 .. 2 * $rows;

	$since = one('SELECT max(id) FROM exact.statement_log');
	one("UPDATE exact.workspace SET enabled = false WHERE name = 'lake'");
	my $slow = workspace_fault($simulator, statement => 'purchaseorders history ', action => 'slow',
		seconds => $seconds);
	stage($node, 1, 'purchaseorderlines', map { [ 'I', $_, { ID => $_ } ] } @lines[ 0 .. $rows - 1 ]);
	stage($node, 1, 'purchaseorders', [ 'I', "h$seconds-$rows", { PurchaseOrderID => "h$seconds-$rows" } ]);
	stage($node, 1, 'purchaseorderlines', map { [ 'I', $_, { ID => $_ } ] } @lines[ $rows .. $#lines ]);
	one("UPDATE exact.workspace SET enabled = true WHERE name = 'lake'");
	wait_delivered($node, 60);
	is(fault_count($simulator, $slow), 1, 'the header was slow');
	is(one("SELECT min(at) FILTER (WHERE entity = 'purchaseorderlines' AND kind = 'history')"
			. " < max(finished_at) FILTER (WHERE entity = 'purchaseorders') FROM exact.statement_log"
			. " WHERE id > $since"), $first, $what);
}

# the first rows of a table wait for the others of a first load and for what keeps some of them, at most 15 s; not if
# they fill a statement (merge_rows is 10, there is no volume), and not if they are urgent
one("UPDATE exact.division SET enabled = true WHERE division = 1;
	INSERT INTO exact.feed (division, entity)
	SELECT 1, unnest('{journals,vatcodes,accounts,items,contacts}'::text[]) ON CONFLICT DO NOTHING;
	INSERT INTO exact.entity (name, urgent) VALUES ('journals', true)
	ON CONFLICT (name) DO UPDATE SET urgent = true");
sub read_whole { return one("INSERT INTO exact.feed_state (division, feed, first_complete_at)
	SELECT 1, feed, now() FROM exact.catalogue WHERE entity = '$_[0]'
	ON CONFLICT (division, feed) DO UPDATE SET first_complete_at = now()"); }
sub first_seconds { return one("SELECT extract(epoch FROM min(l.at) - (SELECT min(b.staged_at) FROM exact.batch b
	WHERE b.entity = '$_[0]')) FROM exact.statement_log l WHERE l.entity = '$_[0]' AND l.kind = 'history'"); }
foreach ([ journals => 1 ], [ items => 1 ], [ vatcodes => 1 ], [ accounts => 11 ], [ contacts => 10 ])
{
	my ($entity, $rows) = @$_;
	stage($node, 1, $entity, map { [ 'I', "f$_", { ID => "f$_", Code => "$_" } ] } 1 .. $rows);
}
stage($node, 1, 'items', [ 'I', 'f2', { ID => 'f2', Code => '2' } ]);
wait_until('the tables are there', sub { target($_, 'created_at IS NOT NULL') eq 'true' || return 0
	foreach qw(items vatcodes contacts); 1 });
read_whole('items');
ok(!eval { wait_until('a part of them', sub { waiting('items') ne '2' }, 3); 1 },
	'first rows wait for older master data that keeps some of them');
read_whole('vatcodes');
wait_delivered($node, 60);
is(one("SELECT string_agg(rows::text, ' ') FROM exact.statement_log WHERE entity = 'items' AND kind = 'history'"),
	'2', 'what is read before the end goes with the first rows');
cmp_ok(first_seconds($_), '<', 12, "$_: not the longest wait") foreach qw(journals items vatcodes accounts);
my $waited = first_seconds('contacts');
ok($waited >= 15 && $waited < 30, "a first load that does not end is waited for 15 s: $waited s");

control($simulator, 'POST', 'sql', { statement => $_ }) foreach ('CREATE SCHEMA main.near',
	"GRANT USE SCHEMA, CREATE TABLE, SELECT, MODIFY ON SCHEMA main.near TO `$simulator->{info}{client_id}`");
one("INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema, client_id)
	SELECT 'near', host, warehouse_id, catalog, 'near', client_id FROM exact.workspace WHERE name = 'lake';
	SELECT exact.set_secret('workspace', 'near', 'client_secret', '$simulator->{info}{client_secret}');
	UPDATE exact.division SET workspace = 'near' WHERE division = 2");
one("ALTER SYSTEM SET exact_databricks.merge_tables = 1; SELECT pg_reload_conf()");
$node->poll_query_until('postgres', "SELECT current_setting('exact_databricks.merge_tables') = '1'");
workspace_fault($simulator, statement => 'glaccount history ', action => 'slow', seconds => 30);
stage($node, 1, 'glaccount', [ 'I', 'hangs', { ID => 'hangs', Code => '3' } ]);
wait_until('its statement is under way', sub { one("SELECT count(*) FROM exact.statement_log "
	. "WHERE entity = 'glaccount' AND kind = 'history' AND finished_at IS NULL") eq '1' });
stage($node, 2, 'purchaseorders', [ 'I', 'near', { PurchaseOrderID => 'near' } ]);
ok(eval { wait_until('the other workspace has it', sub { waiting('purchaseorders') eq '0' }, 20); 1 },
	'a workspace whose only place is taken takes no place of another one');
is(waiting('glaccount'), '1', 'what hangs still hangs');
$node->stop('immediate');
done_testing();
