# HostileCalls - calls of every function of schema exact with arguments that are made from their types, and a hub with
# a few rows of everything for them to meet.
package HostileCalls;

use strict;
use warnings;

use Exporter 'import';

our @EXPORT = qw(functions_of calls_of few_rows);

# Every function but those of triggers: {name, arguments => [[name, type], ...]}, variadic ones with one more argument
sub functions_of
{
	my ($node, $database) = @_;
	my @functions;

	foreach my $line (split /\n/, $node->safe_psql($database, <<'SQL'))
SET search_path = pg_catalog;
SELECT concat_ws('|', p.oid::regprocedure, quote_ident(p.proname), a.n, a.name, a.type)
FROM pg_proc AS p
LEFT JOIN LATERAL (
	SELECT t.n, p.proargnames[t.n] AS name,
		(CASE WHEN p.provariadic <> 0 AND t.n = p.pronargs THEN p.provariadic ELSE t.type END)::regtype AS type
	FROM unnest(p.proargtypes) WITH ORDINALITY AS t (type, n)
) AS a ON true
WHERE p.pronamespace = 'exact'::regnamespace AND p.prorettype <> 'trigger'::regtype
ORDER BY p.oid::regprocedure::text, a.n
SQL
	{
		my ($signature, $name, $n, $argument, $type) = split /\|/, $line;

		push @functions, { signature => $signature, name => "exact.$name", arguments => [] }
		  unless @functions && $functions[-1]{signature} eq $signature;
		push @{ $functions[-1]{arguments} }, [ $argument, $type ] if $n;
	}
	return @functions;
}

# One statement for each function: argument(name, type) gives the SQL of an argument. It must not need an operator.
sub calls_of
{
	my ($functions, $argument) = @_;

	return map { my $function = $_;
		"SELECT * FROM $function->{name}(" . join(', ', map { $argument->(@$_) } @{ $function->{arguments} }) . ');'
	} @$functions;
}

# What few_rows() has made is called so in arguments.
sub few_rows
{
	my ($node, $database) = @_;

	return $node->safe_psql($database, <<'SQL');
SET search_path = pg_catalog;
INSERT INTO exact.app (name, client_id, redirect_uri) VALUES ('erp', 'x', 'https://hub.example.com/cb');
INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema)
VALUES ('lake', 'https://127.0.0.1:9', '475b94ddc7cd5211', 'main', 'exact');
INSERT INTO exact.division (division, app, workspace, enabled) VALUES (1, 'erp', 'lake', true);
SELECT exact.enable_entities(1, 'items', 'glaccount', 'salesinvoices');
SELECT exact.set_secret('app', 'erp', 'client_secret', 'client-secret-of-a-test');
SELECT exact.set_secret('app', 'erp', 'webhook_secret', 'webhook-secret-of-a-test');
SELECT exact.set_secret('app', 'erp', 'refresh_token', 'refresh-token-of-a-test');
SELECT exact.set_secret('workspace', 'lake', 'token', 'token-of-a-test-is-long-enough');
INSERT INTO exact.batch (id, slot, workspace, division, entity, feed, epoch, rows, seq_min, seq_max)
VALUES (1, 0, 'lake', 1, 'items', 'items', 1, 2, 1099511627777, 1099511627778);
INSERT INTO exact.stage (slot, batch, ord, seq, division, entity, key, op, payload, hash)
VALUES (0, 1, 0, 1099511627777, 1, 'items', 'k', 'I', '{"ID":"k","Code":"one","Timestamp":1}', '\x01'),
	(0, 1, 1, 1099511627778, 1, 'items', 'l', 'I', '{"ID":"l","Code":"two","Timestamp":2}', '\x02');
INSERT INTO exact.record (division, entity, key, hash, seq, slot, batch, ord)
VALUES (1, 'items', 'k', '\x01', 1099511627777, 0, 1, 0), (1, 'items', 'l', '\x02', 1099511627778, 0, 1, 1);
INSERT INTO exact.dirty_key (division, entity, key) VALUES (1, 'items', 'k');
INSERT INTO exact.subscription (division, topic) VALUES (1, 'Items');
INSERT INTO exact.division_state (division) VALUES (1) ON CONFLICT DO NOTHING;
SELECT exact.sync_now(1, 'items');
SQL
}

1;
