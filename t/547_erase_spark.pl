# exact.erase() on real Spark with Delta tables: the MERGE that deletes, the count, REORG, VACUUM, and what the log of
# the tables says of them.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $simulator = simulator(engine => 'spark', data => PostgreSQL::Test::Utils::tempdir, seconds => 300);
my $node = exact_cluster('main', conf => { 'exact_databricks.merge_interval' => "'10ms'",
	'restart_after_crash' => 'on' });
deliver_to($node, $simulator);

sub one { return $node->safe_psql('postgres', $_[0]); }
sub owner { return control($simulator, 'POST', 'sql', { statement => $_[0] }); }
sub guid { return sprintf('00000000-0000-4000-8000-%012d', $_[0]); }

sub rows_of
{
	my ($n) = @_;
	my $key = guid($n);

	return join(' ', map { owner("SELECT count(*) FROM main.exact.$_ WHERE _key = '$key'")->{rows}[0][0] }
		'accounts', 'accounts_history');
}

# Operations of a table that are no delivery, the oldest first
sub operations
{
	my ($table) = @_;
	my $answer = owner("DESCRIBE HISTORY main.exact.$table");
	my @names = map { $_->[4] } reverse @{ $answer->{rows} };

	return join(' ', grep { /REORG|VACUUM|OPTIMIZE/ } @names);
}

stage($node, 1, 'accounts', map { [ 'I', guid($_), { ID => guid($_), Name => "person${_}x" } ] } 1 .. 5);
ok(eval { wait_delivered($node, 120) }, 'delivered');
stage($node, 1, 'accounts', [ 'U', guid(1), { ID => guid(1), Name => 'person1xb' } ]);
ok(eval { wait_delivered($node, 120) }, 'delivered again');
is(rows_of(1), '1 2', 'before: one state, two versions');

my $id = one("SELECT exact.erase(1, 'accounts', '" . guid(1) . "', 'case 4711')");
is(one("SELECT exact.wait($id, '3 min')"), 'done', 'done');
like(one("SELECT result FROM exact.request WHERE id = $id"),
	qr/; 1 rows of main\.exact\.accounts, 2 rows of main\.exact\.accounts_history, whose old files go after /,
	'Spark counts what was deleted');
is(rows_of(1), '0 0', 'it is gone');
is(rows_of(2), '1 1', 'the others are as they were');
is(one("SELECT string_agg(kind || ' ' || coalesce(sqlstate, 'ok'), ', ') FROM exact.statement_log
	WHERE state = 'failed'"), '', 'no statement has failed');

one("UPDATE exact.erasure_place SET vacuum_at = now() - interval '1 s'; SELECT exact._wake('loader')");
wait_until('old files: they are removed', sub { one("SELECT state FROM exact.erasures") eq 'done' }, 400);
like(operations($_), qr/VACUUM START.*VACUUM END/, "old files: $_ lists it") foreach 'accounts', 'accounts_history';

# a new process counts, and reads what others did to the tables: nothing
my $pid = worker_pid($node, 'postgres', 'loader');
kill 'KILL', $pid;
wait_until('another loader runs', sub { my $new = worker_pid($node, 'postgres', 'loader');
	$new ne '' && $new ne $pid }, 60);
stage($node, 1, 'accounts', [ 'I', guid(6), { ID => guid(6), Name => 'person6x' } ]);
ok(eval { wait_delivered($node, 120) }, 'deliveries go on');
is(one('SELECT count(*) FROM exact.target_state WHERE paused_since IS NOT NULL OR note IS NOT NULL'), '0',
	'nothing is missing, and nobody else has changed the table');

$node->stop;
done_testing();
