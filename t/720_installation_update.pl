# ALTER EXTENSION UPDATE from an older version while records are read and delivered: nothing runs beside the update
# script, work waits while library and extension are of different versions, and goes on by itself afterwards. The older
# version and its update script are made up here, in a copy of the server's directories.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use File::Basename qw(dirname);
use File::Copy qw(copy);
use File::Path qw(make_path);
use HubTest;
use PostgreSQL::Test::Utils;
use Test::More;

# The server's programs find their directories relative to themselves, so a copy of the programs finds a copy of share/.
sub copied_server
{
	my ($into) = @_;
	my %dir;

	foreach my $kind (qw(bindir sharedir pkglibdir))
	{
		chomp($dir{$kind} = `pg_config --$kind`);
	}
	my @parts = split m{/}, $dir{bindir};
	my $root = '';
	while (@parts > 1)
	{
		my $longer = "$root$parts[0]/";
		last if grep { index("$_/", $longer) != 0 } values %dir;
		$root = $longer;
		shift @parts;
	}
	my %copy = map { $_ => "$into/" . substr($dir{$_}, length $root) } keys %dir;
	make_path($copy{bindir}, "$copy{sharedir}/extension", dirname($copy{pkglibdir}));
	foreach my $program (glob "$dir{bindir}/*")
	{
		my $name = substr $program, length("$dir{bindir}/");
		next if -d $program;
		copy($program, "$copy{bindir}/$name") or die "cannot copy $program: $!";
		chmod 0755, "$copy{bindir}/$name";
	}
	symlink $dir{pkglibdir}, $copy{pkglibdir} or die "cannot link $copy{pkglibdir}: $!" unless -e $copy{pkglibdir};
	# a server of its own prefix finds its libraries relative to itself, too
	my %libraries = map { dirname($_) => 1 } `ldd $dir{bindir}/psql` =~ m{=> (/\S+)}g;
	$ENV{LD_LIBRARY_PATH} = join ':', sort keys %libraries;
	foreach my $file (glob "$dir{sharedir}/*")
	{
		my $name = substr $file, length("$dir{sharedir}/");
		symlink $file, "$copy{sharedir}/$name" unless $name eq 'extension';
	}
	foreach my $file (glob "$dir{sharedir}/extension/*")
	{
		symlink $file, "$copy{sharedir}/extension/" . substr($file, length("$dir{sharedir}/extension/"));
	}
	return \%copy;
}

my $copy = copied_server(PostgreSQL::Test::Utils::tempdir());
$ENV{PATH} = "$copy->{bindir}:$ENV{PATH}";

my $exact = exact_online();
my $databricks = simulator(engine => 'none', slots => 8);
my $node = hub_cluster('main');
my ($division) = $exact->divisions;
my $seed = 60;

sub value { return one($node, $_[0]); }
sub change { $exact->post('random', count => $_[0], deletes => 0.2, seed => $seed++); return; }

give_hub($node, $exact, $databricks);
like(value("SHOW shared_preload_libraries"), qr/exact_databricks/, 'preloaded');
my $current = value("SELECT extversion FROM pg_extension WHERE extname = 'exact_databricks'");
my $definition = value("SELECT pg_get_functiondef('exact.fence()'::regprocedure)");

write_file("$copy->{sharedir}/extension/exact_databricks--0.9--$current.sql", <<"SQL", 0644);
SELECT exact._quiesce();
ALTER TABLE exact.record ADD COLUMN made_up int;
$definition;
SQL

# ---- _quiesce(): no unit of work runs beside the script ----

my $session = $node->background_psql('postgres');
$session->query_safe('BEGIN; SELECT exact._quiesce();');
my $staged = value('SELECT count(*) FROM exact.stage');
change(15);
$node->psql('postgres', 'SELECT exact.sync_now()');
wait_until('the workers wait for the script',
	sub { value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") ne '0' });
is(value('SELECT count(*) FROM exact.stage'), $staged, 'nothing is staged');
$session->query_safe('COMMIT');
$session->quit;
complete($node, $exact);
agrees($exact, $databricks, 'after the script');

# ---- an older version, with a run between two pages and statements on the way ----

$exact->fault('/sync/', 'delay', seconds => 0.3, times => -1);
my $slow = control($databricks, 'POST', 'faults', { path => '^/api/2.0/sql/statements$', statement => 'history',
	action => 'slow', seconds => 2, times => -1 })->{id};
change(120);
value("UPDATE exact.feed_state SET mark = 1, run = nextval('exact.run_id'), run_state = 'idle', next_link = NULL, "
	. "requested = true WHERE feed IN ('items', 'glaccount')");
$node->psql('postgres', 'SELECT exact.sync_now()');
wait_until('statements and a run are on the way', sub {
	value("SELECT (SELECT count(*) FROM exact.statement_log WHERE state IN ('sending', 'running')) > 0 "
		. "AND (SELECT count(*) FROM exact.feed_state WHERE run_state = 'paging') > 0") eq 't' }, 60);
# what the older version did not have
value('ALTER EXTENSION exact_databricks DROP FUNCTION exact.fence(); DROP FUNCTION exact.fence(); '
	  . "UPDATE pg_extension SET extversion = '0.9' WHERE extname = 'exact_databricks'; SELECT exact._created()");
all_off($node, qr/the server's library is version \Q$current\E, the extension is version 0\.9/);
is(value("SELECT result || ' ' || fix FROM exact.check() WHERE rule = 'preloaded'"),
	'fail ALTER EXTENSION exact_databricks UPDATE, or a restart', 'check() names the next step');
$exact->clear_faults;
control($databricks, 'DELETE', 'faults');
$staged = value('SELECT max(seq_max) FROM exact.batch');
cmp_ok(value('SELECT count(*) FROM exact.batch WHERE delivered_at IS NULL'), '>', 0, 'versions wait');
change(20);
my $request = value('SELECT exact.sync_now()');
$node->restart;	# as one does to load another library
all_off($node, qr/the server's library is version \Q$current\E, the extension is version 0\.9/);
is(value('SELECT max(seq_max) FROM exact.batch'), $staged, 'nothing is staged by a library of another version');

# ---- the update ----

value('ALTER EXTENSION exact_databricks UPDATE');
is(value("SELECT extversion FROM pg_extension WHERE extname = 'exact_databricks'"), $current, 'updated');
is(value("SELECT count(*) FROM information_schema.columns WHERE table_schema = 'exact' AND column_name = 'made_up'"),
	'1', 'the script has run');
wait_for_workers($node, 'postgres', seconds => 60);
is(value("SELECT exact.wait($request, '60 s')"), 'done', 'the request that waited is done, without anyone\'s help');
complete($node, $exact, 90);
agrees($exact, $databricks, 'after the update');
is(value('SELECT epoch FROM exact.installation_binding'), '1', 'it is the same hub');
like(value('SELECT exact.fence()'), qr/^epoch 2/, 'and has what the older version lacked');
complete($node, $exact, 90);
agrees($exact, $databricks, 'in the next epoch');

# ---- a newer version whose library is not loaded yet ----

write_file("$copy->{sharedir}/extension/exact_databricks--$current--9.9.sql", "SELECT exact._quiesce();\n", 0644);
value("ALTER EXTENSION exact_databricks UPDATE TO '9.9'");
all_off($node, qr/the server's library is version \Q$current\E, the extension is version 9\.9/);
value("UPDATE pg_extension SET extversion = '$current' WHERE extname = 'exact_databricks'; SELECT exact._created()");
wait_for_workers($node, 'postgres', seconds => 60);

# ---- DROP and CREATE while everything runs: no worker is left with the old one ----

change(20);
$node->psql('postgres', 'SELECT exact.sync_now()');
value('DROP EXTENSION exact_databricks');
is(value("SELECT count(*) FROM pg_stat_activity WHERE application_name IN ('exact fetcher', 'exact loader') "
	. "AND state = 'active'"), '0', 'no worker works');
is(value("SELECT count(*) FROM pg_namespace WHERE nspname = 'exact'"), '0', 'nothing is left of it');
value('CREATE EXTENSION exact_databricks');
wait_for_workers($node, 'postgres', seconds => 60);
is(value('SELECT count(*) FROM exact.installation'), '1', 'another installation');
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/, 'nothing crashed');
$node->stop;
done_testing();
