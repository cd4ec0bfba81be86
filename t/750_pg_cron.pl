# The schedule with the real pg_cron, set as Debian's package and the manual say: jobs in the database of the hub and in
# another one, a job that fails, roles that lack something.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use ExactOnline;
use ExactTest;
use PostgreSQL::Test::Utils;
use Test::More;

chomp(my $libraries = `pg_config --pkglibdir`);
plan skip_all => 'this server has no pg_cron' unless -e "$libraries/pg_cron.so";

my $exact = ExactOnline->start('--records', '80', '--divisions', '2', '--fast', '--minute-limit', '100000',
	'--day-limit', '10000000', '--error-limit', '0');
my $node = exact_cluster('main', preload => 'exact_databricks,pg_cron', conf => {
	'cron.use_background_workers' => 'on', 'cron.database_name' => 'postgres', 'max_worker_processes' => 24 });

sub one { my ($query, $database) = @_; return $node->safe_psql($database // 'postgres', $query); }

sub last_run
{
	my ($job) = @_;

	return one("SELECT d.status FROM cron.job_run_details d JOIN cron.job j USING (jobid) WHERE j.jobname = '$job' "
		. "AND d.status IN ('succeeded', 'failed') ORDER BY d.runid DESC LIMIT 1");
}

sub found { my ($rule) = @_; return one("SELECT result || ': ' || finding FROM exact.check() WHERE rule = '$rule'"); }

one('CREATE EXTENSION exact_databricks');
like(found('schedule'), qr/^warn: pg_cron is not in this database$/, 'check() without pg_cron');
one('CREATE EXTENSION pg_cron');
one('CREATE DATABASE other');
one('CREATE EXTENSION exact_databricks', 'other');
wait_for_workers($node, 'postgres');
wait_for_workers($node, 'other');
$exact->authorise($node, 'postgres');
$exact->enable($node, 'postgres', [qw(glaccount items)], ($exact->divisions)[0]);
is($exact->sync($node, 'postgres'), 'done', 'loaded');

# who may schedule
one('CREATE ROLE dba LOGIN; GRANT exact_admin TO dba');
like(error_of($node, 'postgres', 'SET ROLE dba; SELECT exact.install_schedule()'),
	qr/role dba may not use pg_cron.*GRANT USAGE ON SCHEMA cron TO exact_admin/s, 'a right on the schema is missing');
one('GRANT USAGE ON SCHEMA cron TO exact_admin');
like(error_of($node, 'postgres', 'SET ROLE exact_admin; SELECT exact.install_schedule()'),
	qr/role exact_admin cannot log in, so pg_cron could not run its jobs.*as a role that can log in/s,
	'nobody can log in as the role');
like(one('SET ROLE dba; SELECT exact.install_schedule()'), qr/^scheduled: exact-nightly .*\nscheduled: exact-audit /,
	'scheduled by a member of exact_admin');

# the jobs of the other database, whose hub has nobody's consent yet: its request waits for that
one("INSERT INTO exact.app (name, client_id, region, base_url, redirect_uri) "
	. "VALUES ('erp', 'x', 'nl', '$exact->{url}', 'https://hub.example.com/exact/callback')", 'other');
one("INSERT INTO exact.division (division, app, enabled) VALUES (1, 'erp', true)", 'other');
one("SELECT exact.enable_entities(1, 'items')", 'other');
my $statements = one('SELECT exact.install_schedule()', 'other');
like($statements, qr/^SELECT cron\.schedule_in_database\('exact-nightly'/, 'statements to run elsewhere');
like(one("SELECT finding FROM exact.check() WHERE rule = 'schedule'", 'other'),
	qr/^pg_cron is not in this database, its jobs and their results are in postgres$/, 'check() says where');
one($statements =~ s/'exact-/'other-/gr);

# a verb of one's own: a nightly backfill
my ($division) = $exact->divisions;
one("SELECT cron.schedule('exact-backfill', '15 2 * * *', 'SELECT exact.backfill($division, ''items'')')");

# once a minute, so that they run now
my $requests = one('SELECT count(*) FROM exact.request');
one("UPDATE cron.job SET schedule = '* * * * *'");
foreach my $job (qw(exact-nightly exact-audit exact-backfill other-nightly other-audit))
{
	wait_until("$job has run", sub { last_run($job) }, 90);
	is(last_run($job), 'succeeded', "$job: succeeded")
		|| diag(one('SELECT * FROM cron.job_run_details'));
}
cmp_ok(one('SELECT count(*) FROM exact.request'), '>', $requests, 'the nightly job asked for a sync');
wait_until('it is done',
	sub { one("SELECT count(*) FROM exact.request WHERE state <> 'done' AND kind = 'sync'") == 0 });
wait_until('the backfill is done',
	sub { one("SELECT count(*) > 0 FROM exact.request WHERE kind = 'backfill' AND state = 'done'") eq 't' });
is(one("SELECT count(*) > 0 FROM exact.request WHERE kind = 'sync'", 'other'), 't', 'and that of the other database');
is(found('schedule'), 'ok: pg_cron is in this database', 'check()');
is(one("SELECT count(*) FROM exact.check() WHERE rule LIKE 'job %'"), '0', 'no job has failed');

# somebody changes an event
one('ALTER TABLE exact.audit_log DISABLE TRIGGER append_only; UPDATE exact.audit_log SET who = \'mallory\' '
	. 'WHERE id = 1; ALTER TABLE exact.audit_log ENABLE TRIGGER append_only');
like(error_of($node, 'postgres', 'SELECT exact.assert_audit()'), qr/the audit log was changed: /,
	'assert_audit() raises');
wait_until('the weekly job fails', sub { last_run('exact-audit') eq 'failed' }, 90);
like(found('job exact-audit'), qr/^fail: the last run at .* failed: .*the audit log was changed/,
	'check() names the job and the reason');

$node->stop;
done_testing();
