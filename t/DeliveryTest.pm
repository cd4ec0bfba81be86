# DeliveryTest - what the tests of the loader share: a Databricks simulator, versions put into the stage by hand, the
# truth in Delta.
package DeliveryTest;

use strict;
use warnings;

use Carp qw(croak);
use Exporter 'import';
use ExactTest;
use File::Basename qw(dirname);
use HTTP::Tiny;
use JSON::PP ();

our @EXPORT = qw(
  simulator control databricks_rows deliver_to stage delivered statements wait_delivered workspace_fault
  fault_count of_kind
);

my $json = JSON::PP->new->canonical->utf8;
my $text = JSON::PP->new->canonical;
my $ascii = JSON::PP->new->canonical->ascii;
my $http = HTTP::Tiny->new(timeout => 120);
my $root = dirname(__FILE__) . '/..';

# Starts simulator/databricks-workspace; options as there. Returns {url, info, server}.
sub simulator
{
	my (%options) = @_;
	my $seconds = delete $options{seconds} // 180;
	my @command = ("$root/simulator/databricks-workspace", '--port', '0');

	push @command, map { ("--$_", $options{$_}) } sort keys %options;
	my $server = spawn_server(\@command, qr{ready (http://\S+)}, $seconds);
	my %simulator = (url => $server->{match}[0], server => $server);
	$simulator{info} = control(\%simulator, 'GET', 'info');
	return \%simulator;
}

# A call of the simulator's control API; its JSON answer
sub control
{
	my ($simulator, $method, $path, $body) = @_;
	my %options = defined $body ? (content => $json->encode($body), headers => { 'content-type' => 'application/json' })
		: ();
	my $answer = $http->request($method, "$simulator->{url}/_control/$path", \%options);

	croak "$method $path: $answer->{status} $answer->{content}" unless $answer->{success};
	return $answer->{content} eq '' ? undef : $json->decode($answer->{content});
}

# Rows of a table as hashes by lower-case column name
sub databricks_rows
{
	my ($simulator, $table) = @_;
	my $answer = control($simulator, 'GET', "rows?table=main.exact.$table");
	my @columns = map { lc } @{ $answer->{columns} };

	return map { my $row = $_; +{ map { $columns[$_] => $row->[$_] } 0 .. $#columns } } @{ $answer->{rows} };
}

# Statements that the simulator has seen, those with the pattern
sub statements
{
	my ($simulator, $pattern) = @_;

	return grep { $_->{text} =~ $pattern } @{ control($simulator, 'GET', 'statements?since=0')->{statements} };
}

# Arms a fault of the workspace; its id
sub workspace_fault
{
	my ($simulator, %fault) = @_;
	return control($simulator, 'POST', 'faults', \%fault)->{id};
}

# What the text of a statement of this kind begins with
sub of_kind
{
	my ($kind) = @_;
	return "exact_databricks \\S+ \\S+ $kind ";
}

# How often a fault has struck
sub fault_count
{
	my ($simulator, $id) = @_;
	my $answer = control($simulator, 'GET', "faults/$id");

	return $answer->{applied};
}

# Extension, workspace "lake" at the simulator, division 1 in it, and the function stage()
sub deliver_to
{
	my ($node, $simulator, %options) = @_;
	my $info = $simulator->{info};
	my $url = $options{url} // $simulator->{url};
	my $secret = $options{secret} // $info->{client_secret};

	$node->safe_psql('postgres', 'CREATE EXTENSION exact_databricks');
	wait_for_workers($node, 'postgres');
	$node->safe_psql('postgres', <<"SQL");
INSERT INTO exact.app (name, client_id) VALUES ('erp', 'none');
INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema, client_id)
	VALUES ('lake', '$url', '$info->{warehouse_id}', '$info->{catalog}', 'exact', '$info->{client_id}');
INSERT INTO exact.division (division, app, workspace) VALUES (1, 'erp', 'lake'), (2, 'erp', 'lake');
SELECT exact.set_secret('workspace', 'lake', 'client_secret', '$secret');
CREATE FUNCTION public.stage(p_division int, p_entity text, p_rows jsonb) RETURNS bigint LANGUAGE plpgsql AS \$\$
DECLARE
	b bigint := nextval('exact.batch_id');
	s smallint := b % 64;
	r record;
BEGIN
	FOR r IN SELECT (ordinality - 1)::int AS ord, value AS v
		FROM jsonb_array_elements(p_rows) WITH ORDINALITY ORDER BY 1 LOOP
		INSERT INTO exact.stage (slot, batch, ord, seq, division, entity, key, op, prev_slot, prev_batch, prev_ord,
			hash, payload)
		SELECT s, b, r.ord, (1::bigint << 40) + nextval('exact.version_counter'), p_division, p_entity,
			r.v->>'key', r.v->>'op',
			x.slot, x.batch, x.ord, sha256(convert_to(r.v::text, 'UTF8')), r.v->>'payload'
		FROM (SELECT 1) AS one
		LEFT JOIN exact.record x ON (x.division, x.entity, x.key) = (p_division, p_entity, r.v->>'key');
		INSERT INTO exact.record (division, entity, key, seq, slot, batch, ord)
		VALUES (p_division, p_entity, r.v->>'key', 0, s, b, r.ord)
		ON CONFLICT (division, entity, key) DO UPDATE SET slot = s, batch = b, ord = r.ord;
	END LOOP;
	INSERT INTO exact.batch (id, slot, workspace, division, entity, feed, epoch, rows, bytes, seq_min, seq_max)
	SELECT b, s, (SELECT workspace FROM exact.division WHERE division = p_division), p_division, p_entity,
		p_entity, 1, count(*),
		coalesce(sum(length(payload)), 0), min(seq), max(seq) FROM exact.stage WHERE slot = s AND batch = b;
	PERFORM exact._wake('loader');
	RETURN b;
END \$\$;
SQL
	return;
}

# Stages one batch: stage($node, $division, $entity, [op, key, {fields} or text], ...); its id
sub stage
{
	my ($node, $division, $entity, @rows) = @_;
	my @list = map { { op => $_->[0], key => $_->[1], payload => ref $_->[2] ? $text->encode($_->[2])
		: $_->[2] } } @rows;
	my $rows = $ascii->encode(\@list);

	return $node->safe_psql('postgres', "SELECT public.stage($division, '$entity', \$json\$$rows\$json\$)");
}

# Batches that wait
sub delivered
{
	my ($node) = @_;

	return $node->safe_psql('postgres', 'SELECT count(*) FROM exact.batch WHERE delivered_at IS NULL') eq '0';
}

sub wait_delivered
{
	my ($node, $seconds) = @_;

	return wait_until('all batches are delivered', sub { delivered($node) }, $seconds);
}

1;
