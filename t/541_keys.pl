# exact.create_views(…, keys => true): primary keys of dimensions and foreign keys of what refers to them, declared anew
# each time; a workspace that has no keys tells it, and the views are made all the same. Engine-free workspace.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use Test::More;

my $simulator = simulator(engine => 'none');
my $node = exact_cluster('main', conf => { 'exact_databricks.merge_interval' => "'10ms'" });
deliver_to($node, $simulator);

sub one { return $node->safe_psql('postgres', $_[0]); }
sub id { return sprintf '00000000-0000-4000-8000-%012d', $_[0]; }
sub keys_there { return control($simulator, 'GET', 'unity')->{constraints}; }

sub views
{
	one("SELECT * FROM exact.create_views('lake', $_[0])");
	my $id = one("SELECT max(id) FROM exact.request WHERE kind = 'views'");
	return one("SELECT exact.wait($id, '5 min')") . ': ' . one("SELECT result FROM exact.request WHERE id = $id");
}

stage($node, 1, 'glaccount', [ 'I', id(1), { ID => id(1), Code => '4000', Description => 'Sales' } ]);
stage($node, 1, 'costcenter', [ 'I', id(2), { ID => id(2), Code => 'c1', Description => 'One' } ]);
stage($node, 1, 'journals', [ 'I', id(3), { ID => id(3), Code => '90', GLAccount => id(1) } ]);
wait_delivered($node);

is(views('NULL'), 'done: 9 views made in main.exact', 'views alone');
is_deeply(keys_there(), {}, 'declare nothing');
is(views('keys => true'), 'done: 9 views made in main.exact; 7 keys declared', 'keys on request');
is_deeply(keys_there()->{'main.exact.glaccount'}{exact_glaccount_pk},
	{ kind => 'PRIMARY_KEY', columns => [ '_division', '_key' ] }, 'a primary key');
is_deeply(keys_there()->{'main.exact.journals'}{exact_journals_glaccount_fk},
	{ kind => 'FOREIGN_KEY', columns => [ '_division', 'GLAccount' ], parent => 'main.exact.glaccount' },
	'a foreign key');
is(views("'{\"journals_live\": null}', true"), 'done: 8 views made in main.exact; 7 keys declared', 'again');
stage($node, 1, 'glaccount', [ 'U', id(1), { ID => id(1), Code => '4000', Description => 'Revenue' } ]);
wait_delivered($node);
is((databricks_rows($simulator, 'glaccount'))[0]{description}, 'Revenue', 'deliveries go on');

# a row that has no key, of before
foreach my $statement (
	'ALTER TABLE main.exact.costcenter DROP PRIMARY KEY',
	'ALTER TABLE main.exact.costcenter ALTER COLUMN _key DROP NOT NULL',
	"INSERT INTO main.exact.costcenter (_division, Code) VALUES (1, 'new')")
{
	control($simulator, 'POST', 'sql', { statement => $statement });
}
like(views('keys => true'), qr/^done: 9 views made in main\.exact; 6 keys declared; no key costcenter: .*NOT_NULL/,
	'a row without key: no primary key, and no failure');

# no Unity Catalog
workspace_fault($simulator, path => 'statements$', statement => 'PRIMARY KEY', action => 'fail', times => -1,
	error_class => 'UC_NOT_ENABLED', sql_state => '56038',
	message => '[UC_NOT_ENABLED] Unity Catalog is not enabled on this cluster. SQLSTATE: 56038');
like(views('keys => true'),
	qr/^done: 9 views made in main\.exact; 0 keys declared; no key costcenter: .*; no key glaccount: .*Unity Catalog/,
	'no Unity Catalog: told, and the views are made');
like(one("SELECT result FROM exact.request ORDER BY id DESC LIMIT 1"),
	qr/no key journals\.GLAccount: glaccount has none/, 'what refers to it has none either');
$node->stop;
done_testing();
