# What Databricks answers is read whole: results in chunks of one row, results that are closed, cut or gone, a warehouse
# whose ANSI mode is off, statements that always fail. Engine-free workspace.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $simulator = simulator(engine => 'none', slots => 8);
my $node = exact_cluster('main', conf => { 'exact_databricks.merge_interval' => "'10ms'" });

sub one { return $node->safe_psql('postgres', $_[0]); }
sub config { return control($simulator, 'POST', 'config', {@_}); }
sub owner { return control($simulator, 'POST', 'sql', { statement => $_[0] }); }

sub target
{
	my ($column, $entity) = @_;
	return one("SELECT $column FROM exact.target_state WHERE entity = '" . ($entity // 'costcenter') . "'");
}

my $statements = '^/api/2.0/sql/statements$';
my $n = 0;

# One more version; the wait for its delivery, and that it is there once
sub deliver
{
	my ($what) = @_;
	my $op = $n++ ? 'U' : 'I';

	stage($node, 1, 'costcenter', [ $op, 'a', { ID => 'a', Code => "a$n" } ]);
	ok(eval { wait_delivered($node) }, "$what: delivered") or diag(target('reason'));
	is(join(' ', map { $_->{code} } grep { $_->{_key} eq 'a' } databricks_rows($simulator, 'costcenter')), "a$n",
		"$what: the last state");
	return;
}

# ANSI mode is off: nothing is delivered, the reason and ping() say why; switched on, all goes on by itself
config(ansi_mode => JSON::PP::false());
deliver_to($node, $simulator);
stage($node, 1, 'costcenter', [ 'I', 'b', { ID => 'b', Code => 'b' } ]);
wait_until('the table is paused', sub { target('paused_since IS NOT NULL') eq 't' });
like(target("sqlstate || ' ' || reason || ' | ' || next_step"), pattern('^EX012 ANSI mode is off in the SQL warehouse:',
		' a value that does not fit would become null without an error \| ',
		'Set ANSI_MODE to true for the SQL warehouses'),
	'ANSI mode is off: the reason and the next step');
is(scalar(grep { $_->{text} =~ /costcenter (ddl|history|current)/ } statements($simulator, qr/./)), 0,
	'nothing was made or written');
like(one("SELECT ok || ' ' || finding || ' | ' || next_step FROM exact.ping() WHERE side = 'databricks'"),
	pattern('^false ANSI mode is off in the SQL warehouse.* \| Set ANSI_MODE to true'), 'ping() says it');
config(ansi_mode => JSON::PP::true());
one("SELECT exact.resume(1, 'costcenter')");
deliver('ANSI mode is on');
is(one("SELECT ok FROM exact.ping() WHERE side = 'databricks'"), 't', 'and ping() is content');
is(scalar(grep { $_->{text} =~ /exact_casts/ } statements($simulator, qr/./)), 2, 'it was asked once more');
is(one("SELECT count(*) FROM exact.statement_log WHERE state = 'failed' AND entity = 'exact_casts'"), '0',
	'a CAST that fails as it should is no failure');

# it is switched off while the hub runs: the MERGE with a bad value fails, no null is written
config(ansi_mode => JSON::PP::false());
deliver('ANSI mode is off, good values');
stage($node, 1, 'items', [ 'I', 'i', { ID => 'i', CostPriceStandard => '999999999999999999999999999999.5' } ]);
wait_until('items is paused', sub { target('paused_since IS NOT NULL', 'items') eq 't' });
like(target("reason || ' | ' || next_step", 'items'),
	pattern('(exact: ANSI_MODE is off|ANSI mode is off in the SQL warehouse.*) \| Set ANSI_MODE to true'),
	'its reason');
is(scalar(grep { $_->{_key} eq 'i' } databricks_rows($simulator, 'items_history')), 0, 'nothing was written');
config(ansi_mode => JSON::PP::true());
one("INSERT INTO exact.entity_field (entity, name, selected) VALUES ('items', 'CostPriceStandard', false)");
one("SELECT exact.resume(1, 'items')");
ok(eval { wait_delivered($node) }, 'it goes on when ANSI mode is on again');

# results in chunks of one row, with the row_offset of the link demanded: every kind of reading
config(chunk_rows => 1, require_row_offset => JSON::PP::true());
one('SELECT exact.restart_workers()');
wait_for_workers($node, 'postgres');
deliver('chunks of one row');
stage($node, 1, 'glaccount', [ 'I', 'g', { ID => 'g', Code => '1' } ]);
ok(eval { wait_delivered($node) }, 'a table is made and described in chunks of one row') or diag(target('reason',
		'glaccount'));

# what another copy has delivered is found whole, in chunks and when each answer carries CLOSED
foreach my $form ([ 'chunks', chunk_rows => 7 ], [ 'CLOSED', chunk_rows => 0, close_on_answer => 1 ])
{
	my ($what, %settings) = @$form;
	my $first = one('SELECT max(seq_max) FROM exact.batch');
	my @rows = map { "(1, '$what$_', " . ($first + $_) . ", 'I', false)" } 1 .. 60;

	owner('INSERT INTO main.exact.costcenter (`_division`, `_key`, `_seq`, `_op`, `_deleted`) VALUES '
		. join(', ', @rows));
	config(%settings);
	one('SELECT exact.fence()');
	wait_for_workers($node, 'postgres');
	deliver("after a fence, $what");
	is(one("SELECT count(*) FROM exact.record WHERE hash IS NULL AND key LIKE '$what%'"), '60',
		"$what: all records of another copy are known");
}
config(close_on_answer => 0, chunk_rows => 0, require_row_offset => JSON::PP::false());

# answers without their rows: CLOSED, SUCCEEDED without a result, fewer rows than counted, truncated; to each reading
my $id = '01f0aaaa-0000-1000-8000-000000000001';
my @bad = (
	[ 'CLOSED without rows', action => 'status', status => 200, body => { statement_id => $id,
		status => { state => 'CLOSED' } } ],
	[ 'SUCCEEDED without rows', action => 'status', status => 200, body => { statement_id => $id,
		status => { state => 'SUCCEEDED' }, result => {} } ],
	[ 'counted rows that are not there', action => 'status', status => 200, body => { statement_id => $id,
		status => { state => 'SUCCEEDED' }, manifest => { total_row_count => 3, truncated => JSON::PP::false() },
		result => { chunk_index => 0, row_offset => 0, data_array => [] } } ],
	[ 'a link to another host', action => 'status', status => 200, body => { statement_id => $id,
		status => { state => 'SUCCEEDED' }, manifest => { total_row_count => 2 },
		result => { chunk_index => 0, row_offset => 0, data_array => [ ['1'] ],
			next_chunk_internal_link => '@127.0.0.1:1/api/2.0/sql/statements' } } ],
	[ 'a chunk that never comes', action => 'status', status => 200, body => { statement_id => $id,
		status => { state => 'SUCCEEDED' }, manifest => { total_row_count => 2 },
		result => { chunk_index => 0, row_offset => 0, data_array => [ ['1'] ], next_chunk_index => 1 } } ],
	[ 'fewer rows', action => 'short_result', rows => 0 ],
	[ 'a cut result', action => 'short_result', rows => 0, truncated => JSON::PP::true() ]);

foreach my $bad (@bad)
{
	my ($what, %fault) = @$bad;
	my $json = JSON::PP->new->canonical;
	$fault{body} = $json->encode($fault{body}) if $fault{body};
	my @faults = map { workspace_fault($simulator, path => $statements, statement => $_, %fault) }
		('exact_hub check ', 'DESCRIBE TABLE', 'SHOW TBLPROPERTIES', 'costcenter check unknown', 'SELECT count');

	# the claim, the tables and the comparison are read anew
	one('SELECT exact.fence()');
	wait_for_workers($node, 'postgres');
	workspace_fault($simulator, path => $statements, statement => of_kind('history'), action => 'reset_after');
	deliver("readings are answered with $what");
	cmp_ok(scalar(grep { fault_count($simulator, $_) } @faults), '>=', 4, 'most of them struck');
	control($simulator, 'DELETE', 'faults');
	is(target('paused_since IS NULL AND attempts = 0'), 't', 'nothing was paused');
}

# a result that never comes whole ends with a reason, not with part of the rows
my $always = workspace_fault($simulator, path => $statements, statement => 'exact_hub check ', action => 'short_result',
	rows => 0, times => -1);
one('SELECT exact.fence()');
wait_for_workers($node, 'postgres');
stage($node, 1, 'costcenter', [ 'U', 'a', { ID => 'a', Code => 'a' . ++$n } ]);
wait_until('the table is paused', sub { target('paused_since IS NOT NULL') eq 't' }, 120);
like(target("sqlstate || ' ' || reason"),
	pattern('^EX009 the reading of main\.exact\.exact_hub gave no complete result in 6 attempts: the answer holds',
		' 0 of [1-9]\d* rows'), 'its reason');
control($simulator, 'DELETE', 'faults');
one("SELECT exact.resume(1, 'costcenter')");
ok(eval { wait_delivered($node) }, 'and it goes on');

# the counts of a MERGE are gone: its rows are counted, that is no gap
foreach my $kind ('history', 'current')
{
	workspace_fault($simulator, path => $statements, statement => of_kind($kind), action => 'short_result', rows => 0);
	deliver("the counts of the $kind MERGE are gone");
}

# statements that always fail or are cancelled: a few sendings, then an alarm, and none for a while
foreach my $case (
	[ 'a time limit', 'DEADLINE_EXCEEDED', { action => 'fail', error_class => '', sql_state => '',
		error_code => 'DEADLINE_EXCEEDED', message => 'It ran longer than STATEMENT_TIMEOUT, 5 seconds.' }, 3,
		'Databricks failed the MERGE into main\.exact\.costcenter_history 3 times in a row: It ran longer than '
		. 'STATEMENT_TIMEOUT, 5 seconds \| Raise STATEMENT_TIMEOUT of the warehouse; ' ],
	[ 'cancelled', 'CANCELED', { action => 'canceled' }, 3,
		'Databricks cancelled the MERGE into main\.exact\.costcenter_history 3 times in a row \| Look who cancels it; '
	],
	[ 'an unknown failure', 'UNKNOWN', { action => 'fail', error_class => '', sql_state => '', error_code => 'UNKNOWN',
		message => 'Something happened.' }, 6,
		'Databricks failed the MERGE into main\.exact\.costcenter_history 6 times in a row: Something happened \| ' ])
{
	my ($what, $code, $fault, $sendings, $reason) = @$case;
	my $fault_id = workspace_fault($simulator, path => $statements, statement => of_kind('history'), times => -1,
		%$fault);

	stage($node, 1, 'costcenter', [ 'U', 'a', { ID => 'a', Code => 'a' . ++$n } ]);
	wait_until("$what: the table is paused", sub { target('paused_since IS NOT NULL') eq 't' }, 120);
	like(target("reason || ' | ' || next_step"), qr/^$reason/, "$what: the reason");
	is(fault_count($simulator, $fault_id), $sendings, "$what: so many sendings");
	is(target("next_attempt_at > now() + interval '40 s'"), 't', "$what: the next ones are planned, later");
	control($simulator, 'DELETE', 'faults');
	one("SELECT exact.resume(1, 'costcenter')");
	ok(eval { wait_delivered($node) }, "$what: it goes on");
}
deliver('at the end');

is(one('SELECT count(*) FROM exact.verify_audit()'), '0', 'the audit chains hold');
$node->stop;
done_testing();
