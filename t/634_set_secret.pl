# A value given to set_secret() does not stay in pg_stat_statements, by whatever statement: a cursor (psql with
# FETCH_COUNT made one of every SELECT before 17) is refused before anything is stored.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

chomp(my $libraries = `pg_config --pkglibdir`);
plan skip_all => 'this server has no pg_stat_statements' unless -e "$libraries/pg_stat_statements.so";

my $node = exact_cluster('main', preload => 'exact_databricks,pg_stat_statements',
	conf => { 'pg_stat_statements.track' => 'all' });
my $n = 0;

sub value { return $node->safe_psql('postgres', $_[0]); }
sub call { $n++; return "exact.set_secret('app', 'erp', 'webhook_secret', 'CANARY number $n of many')"; }
sub stored { return value("SELECT count(*) FROM exact.credential WHERE field = 'webhook_secret'"); }

value('CREATE EXTENSION exact_databricks; CREATE EXTENSION pg_stat_statements');
wait_for_workers($node, 'postgres');
value("INSERT INTO exact.app (name, client_id) VALUES ('erp', 'x')");

my @counted = [ 'FETCH_COUNT', "\\set FETCH_COUNT 100\nSELECT %s;" ];
my $by_cursor = $node->pg_version < 17;

foreach my $case ($by_cursor ? @counted : (),
	[ 'a cursor', 'BEGIN; DECLARE c CURSOR FOR SELECT %s; FETCH c; COMMIT;' ],
	[ 'one that can scroll', 'BEGIN; DECLARE c SCROLL CURSOR FOR SELECT %s; FETCH ALL FROM c; COMMIT;' ],
	[ 'one that is held', 'BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT %s; COMMIT; FETCH c;' ],
	[ 'one that is moved', 'BEGIN; DECLARE c CURSOR FOR SELECT %s; MOVE FORWARD 1 FROM c; COMMIT;' ],
	[ 'DO', 'DO $$ BEGIN PERFORM %s; END $$;' ],
	[ 'a cursor in DO', 'DO $$ DECLARE c CURSOR FOR SELECT %s; BEGIN OPEN c; MOVE c; END $$;' ],
	[ 'CREATE TABLE AS', 'CREATE TABLE public.t AS SELECT 1 FROM %s;' ],
	[ 'COPY', 'COPY (SELECT %s) TO STDOUT;' ],
	[ 'EXPLAIN ANALYZE', 'EXPLAIN ANALYZE SELECT %s;' ])
{
	my ($name, $sql) = @$case;
	my ($rc, $out, $err) = $node->psql('postgres', sprintf($sql, call()), extra_params => [ '-X' ]);

	like($err, qr/exact\.set_secret\(\) is refused inside another statement/, "$name: refused");
	is(stored(), '0', "$name: nothing is stored");
}
# what the statistics keep of a refused utility statement cannot be prevented in the function: see the manual
value('SELECT pg_stat_statements_reset()');
foreach my $case ([ 'SELECT', 'SELECT %s;' ], [ 'EXECUTE', 'PREPARE p AS SELECT %s; EXECUTE p;' ],
	[ 'a view of one row', 'SELECT * FROM %s;' ], $by_cursor ? () : @counted)
{
	my ($name, $sql) = @$case;
	my ($rc, $out, $err) = $node->psql('postgres', sprintf($sql, call()), extra_params => [ '-X' ]);

	is($rc, 0, "$name: taken");
	is(value("SELECT count(*) FROM pg_stat_statements WHERE query LIKE '%CAN' || 'ARY%'"), '0',
		"$name: the statistics do not have the value");
}
is(stored(), '1', 'stored');
is(value("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%CAN' || 'ARY%'"), '0', 'nor has pg_stat_activity');
unlike(slurp_file($node->logfile), qr/CANARY number/, 'nor the server log, of all of them');
$node->stop;
done_testing();
