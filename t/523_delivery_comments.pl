# Columns of a table that is there get the comments that they lack, by one statement a table and start; what somebody
# wrote stays; who may not write them is left in peace. Engine-free workspace.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use Test::More;

my $simulator = simulator(engine => 'none', slots => 8);
my $node = exact_cluster('main', conf => { 'exact_databricks.merge_interval' => "'10ms'" });
my $n = 0;

deliver_to($node, $simulator);

sub one { return $node->safe_psql('postgres', $_[0]); }
sub owner { return control($simulator, 'POST', 'sql', { statement => $_[0] }); }
sub commented { return map { $_->{text} =~ /ALTER TABLE (\S+) ALTER COLUMN/ ? $1 : () }
	statements($simulator, qr/ALTER COLUMN .* COMMENT /s); }

# Another loader looks at the tables, delivers, and no statement of it waits.
sub start_anew
{
	my $pid = worker_pid($node, 'postgres', 'loader');

	one('SELECT exact.restart_workers()');
	wait_until('another loader runs',
		sub { my $new = worker_pid($node, 'postgres', 'loader'); $new ne '' && $new ne $pid });
	deliver();
	return;
}

sub deliver
{
	$n++;
	stage($node, 1, 'costcenter', [ 'I', "k$n", { ID => "k$n", Code => "c$n" } ]);
	return wait_delivered($node);
}

sub comment
{
	my ($table, $column) = @_;
	my %comment = map { lc $_->[0] => $_->[2] } @{ owner("DESCRIBE TABLE main.exact.$table")->{rows} };

	return $comment{ lc $column } // '';
}

deliver();
start_anew();
is(scalar(commented()), 0, 'tables that the hub makes have their comments');
my $code = comment('costcenter', 'Code');
like($code, qr/^Code, Edm\.String$/, 'each column says which field it is');

owner("ALTER TABLE main.exact.costcenter ALTER COLUMN $_->[0] COMMENT '$_->[1]'") foreach
	[ 'Code', '' ], [ 'Description', 'as the controllers know it' ], [ '_key', '' ], [ '_seq', 'ours' ],
	[ 'EndDate', 'Ended, Edm.DateTime' ];
start_anew();
is_deeply([ commented() ], ['`main`.`exact`.`costcenter`'], 'one statement of the table, none of the other');
is(comment('costcenter', 'Code'), $code, 'a column without a comment has it');
isnt(comment('costcenter', '_key'), '', 'the hub\'s own columns, too');
is(comment('costcenter', 'EndDate'), 'EndDate, Edm.DateTime', 'one of the hub that says otherwise is renewed');
is(comment('costcenter', 'Description'), 'as the controllers know it', 'what somebody wrote stays');
is(comment('costcenter', '_seq'), 'ours', 'at the hub\'s own columns, too');
deliver();
start_anew();
is(scalar(commented()), 1, 'no other start has anything to write');

# without the right
owner("ALTER TABLE main.exact.costcenter ALTER COLUMN Code COMMENT ''");
workspace_fault($simulator, path => '/api/2.0/sql/statements$', statement => 'ALTER COLUMN', action => 'fail',
	sql_state => '42501', times => -1);
my $before = commented();
start_anew();
my $tries = commented() - $before;
deliver() for 1 .. 2;
ok($tries >= 1 && $tries <= 2, 'a refusal is believed');
is(commented() - $before, $tries, 'and the statement is not repeated');
is(one("SELECT count(*) FROM exact.target_state WHERE paused_since IS NOT NULL OR reason IS NOT NULL"), '0',
	'the table is not paused');
is(one("SELECT count(*) FROM exact.statement_log WHERE state = 'failed'"), '0', 'nothing is told as failed');
is(one("SELECT string_agg(light, ' ') FROM exact.services WHERE side = 'databricks'"), 'ok', 'the light stays');
is(comment('costcenter', 'Code'), '', 'the column has none');

$node->stop;
done_testing();
