# Guards of delivery that nothing else visits: the id of an attempt that is over, records that the hub knows and another
# copy has changed, a number given twice. Engine-free workspace.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $simulator = simulator(engine => 'none', slots => 8);
my $node = exact_cluster('main', conf => { 'exact_databricks.merge_interval' => "'10ms'",
	'restart_after_crash' => 'on' });
deliver_to($node, $simulator);
my $statements = '^/api/2.0/sql/statements';

sub one { return $node->safe_psql('postgres', $_[0]); }
sub sql { control($simulator, 'POST', 'sql', { statement => $_[0] }); return; }

sub kill_loader
{
	my $pid = worker_pid($node, 'postgres', 'loader');

	kill 'KILL', $pid;
	wait_until('another loader runs',
		sub { my $new = eval { worker_pid($node, 'postgres', 'loader') } // ''; $new ne '' && $new ne $pid }, 60);
	return;
}

# what the stage knows of its records, as the fetcher would write it
sub record
{
	one('UPDATE exact.record AS r SET hash = sha256(convert_to(r.key, \'UTF8\')), seq = v.seq FROM exact.stage AS v '
		. 'WHERE (r.division, r.entity, r.key, r.batch, r.ord) = (v.division, v.entity, v.key, v.batch, v.ord)');
	return;
}

# What another copy of the hub writes into the history: by the keys that the hub merges by
sub of_another_copy
{
	my ($rows) = @_;
	my $columns = '`_division`, `_key`, `_seq`, `_op`, `_deleted`';

	return "MERGE INTO main.exact.costcenter_history AS t USING ($rows) AS s ON t.`_division` = s.`_division` "
	  . "AND t.`_key` = s.`_key` AND t.`_seq` = s.`_seq` WHEN NOT MATCHED THEN INSERT ($columns) VALUES ("
	  . ($columns =~ s/`_/s.`_/gr) . ')';
}

# killed during the second sending: the id of the first one is no longer in the log
workspace_fault($simulator, path => "$statements\$", statement => of_kind('history'), action => 'fail',
	error_class => 'DELTA_CONCURRENT_APPEND', sql_state => '2D521', message => 'conflict');
workspace_fault($simulator, path => "$statements\$", statement => of_kind('history'), action => 'hang', skip => 1);
stage($node, 1, 'costcenter', [ 'I', 'a', { ID => 'a', Code => 'a1' } ], [ 'I', 'b', { ID => 'b', Code => 'b1' } ]);
wait_until('it is sent a second time',
	sub { one("SELECT count(*) FROM exact.statement_log WHERE kind = 'history' AND attempt = 2") eq '1' }, 60);
is(one("SELECT statement_id IS NULL FROM exact.statement_log WHERE kind = 'history' AND attempt = 2"), 't',
	'the id of the first sending is not that of the second');
kill_loader();
ok(eval { wait_delivered($node, 90) }, 'killed meanwhile: delivered');
is(join(' ', sort map { $_->{_key} } databricks_rows($simulator, 'costcenter_history')), 'a b', 'once');

# a known record that another copy has changed is unknown; one that is as it was is not
record();
sql("UPDATE main.exact.costcenter SET _seq = _seq + 50 WHERE _key = 'a'");
one('SELECT exact.fence()');
stage($node, 1, 'costcenter', [ 'I', 'c', { ID => 'c', Code => 'c1' } ]);
ok(eval { wait_delivered($node, 90) }, 'a new epoch: delivered');
is(one("SELECT string_agg(key, ' ' ORDER BY key) FROM exact.record WHERE hash IS NULL AND key IN ('a', 'b')"), 'a',
	'the one that another copy has changed is unknown');
is(one("SELECT string_agg(key, ' ') FROM exact.dirty_key WHERE entity = 'costcenter'"), 'a', 'and is read again');

# another record has the number of a version: found by the proof of a repeated statement, a new epoch begins
my $epoch = one('SELECT epoch FROM exact.installation_binding');
workspace_fault($simulator, path => "$statements\$", statement => of_kind('history'), action => 'between',
	sql => of_another_copy("SELECT 1 AS `_division`, 'other' AS `_key`, max(`_seq`) + 1 AS `_seq`, 'I' AS `_op`, "
		. 'false AS `_deleted` FROM main.exact.costcenter_history'));
workspace_fault($simulator, path => "$statements\$", statement => of_kind('history'), action => 'reset_after');
one("SELECT setval('exact.version_counter', (SELECT max(seq) & ((1::bigint << 40) - 1) FROM exact.stage))");
stage($node, 1, 'costcenter', [ 'I', 'f', { ID => 'f', Code => 'f1' } ]);
wait_until('an epoch begins', sub { one('SELECT epoch FROM exact.installation_binding') ne $epoch }, 90);
ok(eval { wait_delivered($node, 120) }, 'then it is delivered');
is(one('SELECT epoch FROM exact.installation_binding'), $epoch + 1, 'one epoch, no more');
is(one("SELECT max(seq) >> 40 FROM exact.stage WHERE key = 'f'"), $epoch + 1, 'its version has a number of it');
is((grep { $_->{_key} eq 'f' } databricks_rows($simulator, 'costcenter'))[0]{_seq} >> 40, $epoch + 1,
	'in Databricks, too');

# a deletion that another copy wrote into the history alone has not reached the current table: the record is asked for
record();
sql(of_another_copy("SELECT 1 AS `_division`, 'b' AS `_key`, max(`_seq`) + 1000 AS `_seq`, 'D' AS `_op`, "
	. 'true AS `_deleted` FROM main.exact.costcenter_history'));
one('SELECT exact.fence()');
stage($node, 1, 'costcenter', [ 'I', 'g', { ID => 'g', Code => 'g1' } ]);
ok(eval { wait_delivered($node, 90) }, 'another epoch: delivered');
is(one("SELECT hash IS NULL AND NOT deleted FROM exact.record WHERE key = 'b'"), 't',
	'deleted in the history alone: not taken for deleted');
is(one('SELECT count(*) FROM exact.verify_audit()'), '0', 'the audit chains hold');
$node->stop;
done_testing();
