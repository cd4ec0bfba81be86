# exact.erase() on real Spark with Delta tables: the MERGE that deletes, the count, REORG.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $simulator = simulator(engine => 'spark', data => PostgreSQL::Test::Utils::tempdir, seconds => 300);
my $node = exact_cluster('main', conf => { 'exact_databricks.merge_interval' => "'10ms'" });
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

$node->stop;
done_testing();
