# exact.create_views(): records that live, versions with their times, the ledger; names, refusals, repeats. Engine-free
# workspace, or real
# Spark with EXACT_TEST_ENGINE=spark.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DeliveryTest;
use ExactTest;
use Test::More;

my $engine = $ENV{EXACT_TEST_ENGINE} // 'none';
my $simulator = simulator(engine => $engine, seconds => 180);
my $node = exact_cluster('main', conf => { 'exact_databricks.merge_interval' => "'10ms'" });
deliver_to($node, $simulator);

sub one { return $node->safe_psql('postgres', $_[0]); }

# A request for views, to its end: its state and result
sub views
{
	my ($names) = @_;
	my $list = one(defined $names ? "SELECT * FROM exact.create_views('lake', '$names')" : "SELECT * "
		. "FROM exact.create_views('lake')");
	my $id = one("SELECT max(id) FROM exact.request WHERE kind = 'views'");
	my $state = one("SELECT exact.wait($id, '20 min')");

	return ($state, one("SELECT result FROM exact.request WHERE id = $id"), $list);
}

sub cells
{
	my ($view, @columns) = @_;

	return join '; ', sort map { my $row = $_;
		join ' ', map { $row->{$_} // '-' } @columns } databricks_rows($simulator, $view);
}

like(error_of($node, 'postgres', "SELECT * FROM exact.create_views('lake')"),
	qr/EX018: .*has no Delta tables of the hub yet/, 'no table, no view');

one("INSERT INTO exact.invoice_sign (division, turned, invoice) VALUES (1, false, 'i2')");
stage($node, 1, 'salesinvoices', [ 'I', 'i1', { InvoiceID => 'i1', Status => 10, AmountDC => '10.00' } ],
	[ 'I', 'i2', { InvoiceID => 'i2', Status => 50, AmountDC => '20.00' } ],
	[ 'I', 'i3', { InvoiceID => 'i3' } ], [ 'I', 'i4', { InvoiceID => 'i4', Status => 20 } ]);
stage($node, 1, 'salesinvoicelines', [ 'I', 'l1', { ID => 'l1', InvoiceID => 'i1' } ],
	[ 'I', 'l2', { ID => 'l2', InvoiceID => 'i2' } ], [ 'I', 'l4', { ID => 'l4', InvoiceID => 'gone' } ]);
stage($node, 1, 'transactionlines', [ 'I', 'h', { ID => 'h', LineNumber => 0, AmountDC => '121.00' } ],
	[ 'I', 'd', { ID => 'd', LineNumber => 1, AmountDC => '121.00' } ],
	[ 'I', 'c1', { ID => 'c1', LineNumber => 2, AmountDC => '-100.00' } ],
	[ 'I', 'c2', { ID => 'c2', LineNumber => 3, AmountDC => '-21.00' } ],
	[ 'I', 'x', { ID => 'x', LineNumber => 1, AmountDC => '5.00' } ],
	[ 'I', 'b', { ID => 'b', LineNumber => 1, AmountDC => '7.00', Type => 3000 } ]);
wait_delivered($node, $engine eq 'none' ? 60 : 900);
stage($node, 1, 'transactionlines', [ 'D', 'x', undef ]);
stage($node, 1, 'salesinvoices', [ 'U', 'i2', { InvoiceID => 'i2', Status => 50, AmountDC => '25.00' } ]);
wait_delivered($node, $engine eq 'none' ? 60 : 900);

# the ledger view reads exact_state, in which the hub says what row 0 is
is(one("SELECT count(*) FROM exact._views('lake') WHERE name LIKE '%ledger'"), '0', 'no ledger view before that');
one(<<'SQL');
INSERT INTO exact.ledger_count (division, repeat) VALUES (1, 1);
INSERT INTO exact.feed (division, entity) VALUES (1, 'transactionlines');
SELECT exact.restart_workers();
SQL
wait_until('exact_state is written', sub { one("SELECT exact._state_is_told('lake')") eq 't' },
	$engine eq 'none' ? 90 : 900);

one("UPDATE exact.installation SET made_at = date_trunc('month', now() - interval '70 days') + interval '5 days'");
my ($state, $result, $list) = views();
is($state, 'done', 'the request ends');
is($result, '11 views made in main.exact', 'and says what it did');
is($list,
	join("\n",
		map { "main.exact.$_" } qw(exact_problems salesinvoicelines_live salesinvoicelines_month_end
			salesinvoicelines_versions salesinvoices_live salesinvoices_month_end salesinvoices_versions
			transactionlines_ledger transactionlines_live transactionlines_month_end
			transactionlines_versions)), 'names');
is(cells('salesinvoices_live', '_key', 'amountdc'), 'i2 25.0000; i3 -; i4 -', 'no drafts');
is(cells('salesinvoicelines_live', '_key'), 'l2; l4', 'nor their lines');
is(cells('transactionlines_live', '_key'), 'b; c1; c2; d; h', 'no deleted ones');
is(cells('transactionlines_ledger', '_key', 'amountdc', '_row', '_ledger'),
	'c1 -100.0000 line repeat; c2 -21.0000 line repeat; d 121.0000 line repeat', 'the ledger sums to nothing');
my @versions = sort { $a->{_seq} <=> $b->{_seq} } grep { $_->{_key} eq 'i2' } databricks_rows($simulator,
	'salesinvoices_versions');
is(scalar(@versions), 2, 'two versions');
is($versions[0]{valid_from}, $versions[0]{_staged_at}, 'valid from when it was staged');
is($versions[0]{valid_to}, $versions[1]{valid_from}, 'to when the next was');
is($versions[1]{valid_to}, undef, 'the newest has no end');
like($versions[1]{_payload}, qr/"25.00"/, 'as received');
like(join("\n", map { $_->{text} } statements($simulator, qr/VIEW `main`.`exact`.`transactionlines_live`/)),
	qr/COMMENT '.*sum the ledger view/, 'comments say what to sum');

# again, with other names: those that are ours are replaced, others stay as they are
($state, $result) = views('{"transactionlines_ledger": "grootboek", "salesinvoices_versions": null}');
is("$state: $result", 'done: 10 views made in main.exact', 'again');
is(cells('grootboek', '_key'), 'c1; c2; d', 'under another name');
control($simulator, 'POST', 'sql', { statement => 'CREATE TABLE main.exact.mine (a INT) USING DELTA' });
control($simulator, 'POST', 'sql', { statement => 'CREATE VIEW main.exact.theirs AS SELECT 1 AS a' });
foreach my $name ('mine', 'theirs')
{
	($state, $result) = views("{\"transactionlines_ledger\": \"$name\"}");
	is($state, 'failed', "what is not ours is not replaced: $name");
	like($result,
		pattern('^7 of 11 views made; main\.exact\.', $name,
			' exists and is not a view of this hub, nothing of it was changed\. Drop it, or SELECT ',
			'exact\.create_views\(\'lake\', \'\{"', $name, '"'), 'and how to go on');
}
is(cells('theirs', 'a'), '1', 'it is as it was');

# refused, lost, cancelled, left by another process
control($simulator, 'POST', 'privileges', { deny => [ { privilege => 'CREATE TABLE', object => 'main.exact' } ] });
($state, $result) = views();
is($state, 'failed', 'a missing right');
like($result,
	qr/^0 of 11 views made; Databricks refused the CREATE VIEW main\.exact\.exact_problems: .*CREATE TABLE/,
	'is named');
control($simulator, 'POST', 'privileges', { deny => [] });
my $fault = control($simulator, 'POST', 'faults', { path => 'statements$', statement => 'views view ',
	action => 'reset_after' });
($state) = views();
is($state, 'done', 'a lost answer');
is(fault_count($simulator, $fault->{id}), 1, 'of one statement');
control($simulator, 'POST', 'faults', { path => 'statements$', statement => 'views view ', action => 'slow',
	seconds => 3 });
my $id = one("SELECT exact.create_views('lake'); SELECT max(id) FROM exact.request") =~ /(\d+)$/ ? $1 : 0;
wait_until('a view is made',
	sub { one("SELECT count(*) FROM exact.statement_log WHERE kind = 'view' AND state IN ('sending', "
		. "'running')") eq '1' }, 300);
one("SELECT exact.cancel($id)");
is(one("SELECT exact.wait($id)"), 'cancelled', 'cancelled while it runs');
like(one("SELECT result FROM exact.request WHERE id = $id"), qr/^cancelled after 1 of 11 views$/,
	'after the view that was under way');
control($simulator, 'POST', 'faults', { path => 'statements$', statement => 'views view ', action => 'slow',
	seconds => 3 });
$id = one("SELECT exact.create_views('lake'); SELECT max(id) FROM exact.request") =~ /(\d+)$/ ? $1 : 0;
wait_until('a view is made',
	sub { one("SELECT count(*) FROM exact.statement_log WHERE kind = 'view' AND state IN ('sending', "
		. "'running')") eq '1' }, 300);
one('SELECT exact.restart_workers()');
is(one("SELECT exact.wait($id, '20 min')"), 'done', 'the next loader begins it again');
is(one("SELECT count(*) FROM exact.statement_log WHERE entity = 'views' AND state IN ('sending', 'running', "
	. "'unknown')"), '0', 'no statement is left open');

# as it was at the end of each month that is over: the first version of each record is staged in the month before the
# last one, the next in the last one, so that the newest are no news of a month's end
my ($older, $newer, @ends) = split / /, one("SELECT string_agg(t::text, ' ' ORDER BY n) FROM (VALUES
		(1, (date_trunc('month', now()) - interval '40 days')::date),
		(2, (date_trunc('month', now()) - interval '5 days')::date),
		(3, (date_trunc('month', now()) - interval '1 month' - interval '1 day')::date),
		(4, (date_trunc('month', now()) - interval '1 day')::date)) AS v (n, t)");
foreach my $table (qw(salesinvoices salesinvoicelines transactionlines))
{
	# what came last of a record is the higher _seq
	my %first;
	foreach my $row (sort { $a->{_seq} <=> $b->{_seq} } databricks_rows($simulator, "${table}_history"))
	{
		my $at = $first{ $row->{_key} }++ ? $newer : $older;
		control($simulator, 'POST', 'sql', { statement => "UPDATE main.exact.${table}_history "
			. "SET _staged_at = TIMESTAMP '$at 12:00:00' WHERE _seq = $row->{_seq}" });
	}
}
is(cells('salesinvoices_month_end', '_month_end', '_key', 'amountdc'),
	join('; ', "$ends[0] i2 20.0000", "$ends[0] i3 -", "$ends[0] i4 -", "$ends[1] i2 25.0000", "$ends[1] i3 -",
		"$ends[1] i4 -"), 'each month has the version of then, no drafts');
is(cells('salesinvoicelines_month_end', '_month_end', '_key'),
	join('; ', map { my $end = $_; map { "$end $_" } qw(l2 l4) } @ends), 'nor their lines');
is(cells('transactionlines_month_end', '_month_end', '_key'),
	join('; ', (map { "$ends[0] $_" } qw(b c1 c2 d h x)), map { "$ends[1] $_" } qw(b c1 c2 d h)),
	'what was deleted later was there');
# the second after which a version counts: one at midnight belongs to the new month
my $midnight = one("SELECT date_trunc('month', now())::date");
my ($second) = map { $_->{_seq} } sort { $b->{_seq} <=> $a->{_seq} } grep { $_->{_key} eq 'i2' }
	databricks_rows($simulator, 'salesinvoices_history');
foreach my $case ([ "TIMESTAMP '$midnight 00:00:00'", '20.0000', 'at midnight' ],
	[ "TIMESTAMP '$ends[1] 23:59:59.999'", '25.0000', 'a moment before' ])
{
	control($simulator, 'POST', 'sql', { statement => "UPDATE main.exact.salesinvoices_history "
		. "SET _staged_at = $case->[0] WHERE _seq = $second" });
	like(cells('salesinvoices_month_end', '_month_end', '_key', 'amountdc'), qr/$ends[1] i2 \Q$case->[1]\E/,
		"a version $case->[2] of the month's end");
}

# a workspace that cannot be used
one("UPDATE exact.workspace SET enabled = false");
($state, $result) = views();
is("$state: $result", 'failed: 0 of 11 views made; workspace lake is not enabled', 'a workspace that is off');
$node->stop;
done_testing();
