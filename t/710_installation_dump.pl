# A hub is dumped and restored, in every form, into an empty cluster: no error, no difference, and nothing works there
# until adopt(). Then the copy works, with all that was delivered since the dump, and the original is refused.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use HubTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $exact = exact_online();
my $databricks = simulator(engine => 'none', slots => 8);
my $node = hub_cluster('main');
my $dir = PostgreSQL::Test::Utils::tempdir();

# Everything that a dump must bring back, as one text per object. Partitions are read through their parent.
sub content
{
	my ($of) = @_;
	my @relations = split /\n/, one($of, "SELECT c.oid::regclass || ' ' || c.relkind::text FROM pg_extension e, "
		. "unnest(e.extconfig) AS x JOIN pg_class c ON c.oid = x"
		  . " WHERE e.extname = 'exact_databricks' ORDER BY 1");
	my %content;

	foreach my $relation (@relations)
	{
		my ($name, $kind) = split / /, $relation;

		$content{$name} = $kind eq 'S'
		  ? one($of, "SELECT last_value || ' ' || is_called FROM $name")
		  : one($of, "SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, E'\\n' ORDER BY t::text COLLATE "
			  . "\"C\")), '') FROM $name AS t");
	}
	return %content;
}

# What a dump does not bring but the extension's script makes: objects, owners, rights, comments
sub catalog
{
	my ($of) = @_;

	return one($of, <<'SQL');
SELECT string_agg(line, E'\n' ORDER BY line COLLATE "C") FROM (
	SELECT concat_ws(' ', pg_describe_object(d.classid, d.objid, 0), c.relowner::regrole, c.relacl,
		p.proowner::regrole, p.proacl,
		obj_description(d.objid, d.classid::regclass::name), p.prosrc, p.proconfig,
		(SELECT string_agg(concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attacl), ', '
			ORDER BY a.attnum)
			FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0)) AS line
	FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid
	LEFT JOIN pg_class AS c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
	LEFT JOIN pg_proc AS p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
	WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'exact_databricks') AS lines
SQL
}

give_hub($node, $exact, $databricks);
$exact->post('random', count => 60, deletes => 0.2, seed => 3);
complete($node, $exact);
agrees($exact, $databricks, 'before the dump');
is(one($node, 'SELECT exact.fence()') =~ /epoch 2/ ? 1 : 0, 1, 'the hub has had an epoch before');
complete($node, $exact);
# something is on the way, and a request waits
one($node, 'UPDATE exact.workspace SET enabled = false');
$exact->post('random', count => 15, deletes => 0.1, seed => 4);
is($exact->sync($node, 'postgres'), 'done', 'versions wait in the dump');
cmp_ok(one($node, 'SELECT count(*) FROM exact.batch WHERE delivered_at IS NULL'), '>', 0, 'some');
one($node, 'UPDATE exact.division SET enabled = false');

my $installation = installation_of($node);
# a dump is of one moment: nothing may be written while it is compared
$node->append_conf('postgresql.conf', 'exact_databricks.enabled = off');
$node->restart;
all_off($node, qr/exact_databricks\.enabled is off/);
my %before = content($node);
my $objects = catalog($node);
$node->command_ok([ 'pg_dump', '-Fd', '-j', '2', '-f', "$dir/directory", 'postgres' ], 'pg_dump in parallel');
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/custom", 'postgres' ], 'pg_dump into one file');
$node->command_ok([ 'pg_dump', '-f', "$dir/plain.sql", 'postgres' ], 'pg_dump as SQL');
my $dumped = slurp_file("$dir/plain.sql");
foreach my $secret ($databricks->{info}{client_secret}, $exact->{info}{client_secret})
{
	unlike($dumped, qr/\Q$secret\E/, 'no secret is in the dump');
}

# Each form goes into an empty cluster of its own, which has the extension's library but no roles of it.
my %forms = (
	'pg_restore -j 4' => [ 'pg_restore', '-j', '4', '--exit-on-error', '-d', 'postgres', "$dir/directory" ],
	'pg_restore --single-transaction' => [ 'pg_restore', '--single-transaction', '-d', 'postgres', "$dir/custom" ],
	'psql' => [ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', 'postgres', '-f', "$dir/plain.sql" ]);
my $copy;
my $number = 0;

foreach my $form (sort keys %forms)
{
	$number++;
	my $other = hub_cluster("copy$number", conf => { 'exact_databricks.key_file' => "'$node->{exact_key_file}'" });
	my ($out, $err) = ('', '');
	my $done = IPC::Run::run($forms{$form}, '>', \$out, '2>', \$err, init => sub { $ENV{PGHOST} = $other->host;
		$ENV{PGPORT} = $other->port; });

	ok($done, "$form: restored without an error") or diag $err;
	is($err, '', "$form: without a word");
	my %after = content($other);
	my @differ = grep { ($before{$_} // 'absent') ne ($after{$_} // 'absent') } sort keys %{ { %before, %after } };
	is("@differ", '', "$form: no difference in $number. copy")
	  or diag(map { my $name = $_;
		  map { $_->name . ": $name\n" . one($_, "SELECT t::text FROM $name AS t ORDER BY 1") . "\n" } $node, $other
	  } @differ);
	is(catalog($other), $objects, "$form: the same objects, rights and comments");
	all_off($other, qr/installation \S+ is bound to another cluster \(database "postgres"\)/);
	my %later = content($other);
	is(join(', ', grep { $after{$_} ne $later{$_} } sort keys %after), '', "$form: nothing is written before adopt()");
	is(one($other, "SELECT result || ' ' || fix FROM exact.check() WHERE rule = 'installation'"),
		"fail if the old hub is dead: SELECT exact.adopt('$installation')", "$form: check() says what to do");
	$copy = $other if $form eq 'pg_restore -j 4';
	$other->stop unless $other == $copy;
}

# the original goes on meanwhile: changes, deletes, new records that the copy has never heard of
$node->append_conf('postgresql.conf', 'exact_databricks.enabled = on');
$node->reload;
wait_for_workers($node, 'postgres');
one($node, 'UPDATE exact.division SET enabled = true');
one($node, 'UPDATE exact.workspace SET enabled = true');
$exact->post('random', count => 80, deletes => 0.2, seed => 5);
complete($node, $exact);
agrees($exact, $databricks, 'the original after the dump');

# then the copy takes its place
$exact->post('random', count => 40, deletes => 0.3, seed => 6);
like(one($copy, "SELECT exact.adopt('$installation')"), qr/is bound to this database now, epoch 3/, 'adopt()');
wait_for_workers($copy, 'postgres');
one($copy, 'UPDATE exact.division SET enabled = true');
one($copy, 'UPDATE exact.workspace SET enabled = true');
wait_until('the copy has claimed its place',
	sub { !grep { $_->{epoch} != 3 } databricks_rows($databricks, 'exact_hub') }, 60);
complete($copy, $exact);
agrees($exact, $databricks, 'the copy');
cmp_ok(one($copy, "SELECT sum((what ->> 'unknown_records')::int) FROM exact.audit_log WHERE kind = 'installation' "
	. "AND what ? 'unknown_records'"), '>', 0,
	'it has looked for what the original had delivered');
is(one($copy, 'SELECT count(*) FROM exact.verify_audit()'), '0', 'its audit chains hold');

# the original delivers no more, and stops
sub of_the_original { return scalar grep { $_->{_seq} >> 40 < 3 } map { databricks_rows($databricks,
	"${_}_history") } qw(glaccount items accounts); }
my $delivered = of_the_original();
$exact->post('random', count => 20, seed => 7);
$node->psql('postgres', 'SELECT exact.sync_now()');
all_off($node, qr/another copy of installation \S+ works in Databricks \(its epoch is 3, this one's 2\)/);
is(of_the_original(), $delivered, 'nothing more came from it');
complete($copy, $exact);
agrees($exact, $databricks, 'the copy, beside an original that is off');
$_->stop foreach $node, $copy;
done_testing();
