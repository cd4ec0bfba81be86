# A customer's rule that cannot be cancelled, in a session of its own: the connection ends, the rule stays as it is, and
# the log says which rule it was. Notices stay out of the log. A dump brings the rules along.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = exact_cluster('main', conf => { 'exact_databricks.rule_timeout' => '100ms' });
my $returns = 'RETURNS TABLE (line int, problem text) LANGUAGE plpgsql';

sub try_rule
{
	my ($name) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', "SELECT * FROM exact.try_rule('$name', 1, '{}', '[]')",
		on_error_stop => 0);

	return "$out$err";
}

$node->safe_psql('postgres', <<"END");
CREATE EXTENSION exact_databricks;
CREATE SCHEMA acc;
GRANT USAGE ON SCHEMA acc TO exact_rule;
CREATE FUNCTION acc.loud(int, jsonb, jsonb) $returns AS
	'BEGIN RAISE LOG ''words of a rule''; RAISE WARNING ''words of a rule''; RETURN QUERY VALUES (1, ''heard''); END';
CREATE FUNCTION acc.catches(int, jsonb, jsonb) $returns AS 'DECLARE i int := 0; BEGIN
	WHILE i < 4 LOOP
		BEGIN PERFORM pg_sleep(600); EXCEPTION WHEN query_canceled THEN i := i + 1; END;
	END LOOP;
END';
CREATE FUNCTION acc.endless(int, jsonb, jsonb) $returns AS 'BEGIN
	LOOP
		BEGIN PERFORM pg_sleep(600); EXCEPTION WHEN query_canceled THEN END;
	END LOOP;
END';
INSERT INTO exact.rule (name, function) SELECT f, 'acc.' || f FROM unnest(ARRAY['loud', 'catches', 'endless']) AS f;
END

like(try_rule('loud'), qr/^\|heard.*WARNING:  words of a rule/s, 'who tries a rule reads its warnings');
unlike(slurp_file($node->logfile), qr/ (?:LOG|WARNING):  words of a rule/, 'the log does not');
like(try_rule('catches'), qr/rule catches gives no verdict: function acc.catches did not answer within 100 ms/,
	'a function that ends after the fourth cancel ends by itself');
like(try_rule('endless'), qr/terminating connection due to administrator command/,
	'one that does not ends with its connection');
like(slurp_file($node->logfile), qr/FATAL:  terminating connection.*?rule "endless" of exact.rule/s,
	'the log names the rule');
is($node->safe_psql('postgres', q(SELECT enabled FROM exact.rule WHERE name = 'endless')), 't',
	'it stays on: who tries a rule changes none');

# ---- the setting ----

$node->safe_psql('postgres', q(ALTER SYSTEM SET exact_databricks.rule_timeout = '250ms'; SELECT pg_reload_conf()));
wait_until('the setting is read',
	sub { $node->safe_psql('postgres', 'SHOW exact_databricks.rule_timeout') eq '250ms' });
like(try_rule('catches'), qr/did not answer within 250 ms/, 'the limit is that of the setting');
like(error_of($node, 'postgres', q(SET exact_databricks.rule_timeout = 0)), qr/cannot be changed now|outside the valid/,
	'nobody lifts it for himself');

# ---- dump and restore ----

my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';
$node->safe_psql('postgres', 'CREATE DATABASE copy; CREATE DATABASE rows');
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'postgres' ], 'a dump');
$node->command_ok([ 'pg_restore', '-j', '2', '-d', 'copy', $dump ], 'it is restored, by two connections');
is($node->safe_psql('copy', q(SELECT string_agg(name || ' ' || function, ', ' ORDER BY name) FROM exact.rule)),
	'catches acc.catches, endless acc.endless, loud acc.loud', 'with its rules');
is($node->safe_psql('copy', q(SELECT count(*) FROM exact.try_rule('loud', 1, '{}', '[]'))), '1', 'which work');
$node->safe_psql('rows', 'CREATE EXTENSION exact_databricks');
$node->command_ok([ 'pg_restore', '-a', '-n', 'exact', '-t', 'rule', '-d', 'rows', $dump ],
	'rows alone, where the functions are not');
my ($rc, $out, $err) = $node->psql('rows', q(SELECT * FROM exact.try_rule('loud', 1, '{}', '[]')), on_error_stop => 0);
like($err, qr/function acc.loud\(integer, jsonb, jsonb\) does not exist/, 'a rule without its function says so');

$node->stop;
done_testing();
