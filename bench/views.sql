-- Fills an empty database with the traces of a month of work (1,000,000 batches and calls,
-- 400,000 statements, 100,000 notifications) and measures what people and monitoring ask: the
-- fastest and the median of 25 in milliseconds. Run by bench/views.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
CREATE EXTENSION exact_databricks;
INSERT INTO exact.app (name, client_id) VALUES ('erp', 'none');
INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema)
	VALUES ('lake', 'https://adb-1.2.azuredatabricks.net', 'w1', 'main', 'exact');
INSERT INTO exact.division (division, app, workspace, enabled)
SELECT d, 'erp', 'lake', true FROM generate_series(1, 5) AS d;
CREATE TEMP TABLE entity AS
SELECT (row_number() OVER () - 1)::int AS n, e
	FROM unnest('{glaccount,items,accounts,purchaseorders,salesinvoices,transactionlines}'::text[]
		|| '{costcenter,costunit,purchaseorderlines,salesinvoicelines}'::text[]) AS e;
SET enable_nestloop = off;
ALTER TABLE exact.inbox DISABLE TRIGGER USER;   -- no event for each
\o /dev/null
SELECT exact.enable_entities(d.division, VARIADIC (SELECT array_agg(e) FROM entity))
	FROM exact.division AS d;
\o
-- one batch every 2.6 s; the last 300 wait
INSERT INTO exact.api_call (id, at, took_ms, app, division, feed, method, path, status, outcome,
	rows)
SELECT g, now() - (999700 - g) * interval '2.592 s', 50 + random() * 200, 'erp', 1 + g % 5,
	e.e, 'GET', 'sync/Logistics/Items?$filter=Timestamp gt 1L', 200, 'ok', 3
FROM generate_series(1, 1000000) AS g JOIN entity AS e ON e.n = g % 10;
INSERT INTO exact.batch (id, slot, workspace, division, entity, feed, run, call, epoch, rows, bytes,
	seq_max, staged_at, took_ms)
SELECT g, 7, 'lake', 1 + g % 5, e.e, e.e, g, g, 1, 3, 5000, g,
	now() - (999700 - g) * interval '2.592 s' + interval '0.3 s', 4
FROM generate_series(1, 1000000) AS g JOIN entity AS e ON e.n = g % 10;
UPDATE exact.batch SET delivered_rows = rows,
	delivered_at = staged_at + (2 + random() * 6) * interval '1 s' WHERE id <= 999700;
INSERT INTO exact.statement_log (id, at, workspace, entity, table_name, kind, first_batch,
	first_ord, last_batch, last_ord, rows, statement_id, state, took_ms, finished_at)
SELECT g, now() - (400000 - g) * interval '6.48 s', 'lake', e.e, 'main.exact.' || e.e,
	(ARRAY['history', 'current'])[1 + g / 10 % 2], g * 2.5, 0, g * 2.5 + 25, 2, 7, 'aaaa-' || g,
	'succeeded', 900, now()
FROM generate_series(1, 400000) AS g JOIN entity AS e ON e.n = g % 10;
-- every tenth batch was announced, a second before its call
INSERT INTO exact.stage (slot, batch, ord, seq, division, entity, key, op, payload)
SELECT 7, g, 0, g, 1 + g % 5, 'items', 'k' || g, 'I', '{}'
	FROM generate_series(1, 1000000, 10) AS g;
ANALYZE exact.stage;
ANALYZE exact.api_call;
INSERT INTO exact.record (division, entity, key, seq, slot, batch, ord)
SELECT s.division, s.entity, s.key, s.seq, s.slot, s.batch, s.ord FROM exact.stage AS s;
WITH new AS (INSERT INTO exact.inbox (at, app, secret, division, topic, action, key, digest,
	content)
SELECT c.at - interval '1 s', 'erp', 'current', s.division, 'Items', 'Update', s.key,
	sha256(s.key::bytea), '\x'
	FROM exact.stage AS s JOIN exact.api_call AS c ON c.id = s.batch ORDER BY s.batch
	RETURNING id, at, division, topic)
INSERT INTO exact.inbox_work (id, division, topic, taken_at)
SELECT id, division, topic, at + interval '1 s' FROM new;
RESET enable_nestloop;
VACUUM (ANALYZE) exact.batch;
VACUUM (ANALYZE) exact.api_call;
VACUUM (ANALYZE) exact.statement_log;
VACUUM (ANALYZE) exact.inbox;
VACUUM (ANALYZE) exact.inbox_work;
VACUUM (ANALYZE) exact.record;
VACUUM (ANALYZE) exact.stage;

CREATE FUNCTION pg_temp.times(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	start timestamptz;
	times double precision[];
BEGIN
	FOR i IN 1 .. 25 LOOP
		start := clock_timestamp();
		EXECUTE query;
		times := times || extract(epoch FROM clock_timestamp() - start)::double precision * 1000;
	END LOOP;
	RETURN (SELECT format('%s ms | %s ms', round(min(t)::numeric, 1),
		round((percentile_disc(0.5) WITHIN GROUP (ORDER BY t))::numeric, 1))
		FROM unnest(times) AS t);
END $$;
\pset format unaligned
\pset tuples_only on
\pset fieldsep ' | '
SELECT q.what, pg_temp.times(q.query) FROM (VALUES
	(1, '`status`', 'SELECT count(what) FROM exact.status'),
	(2, '`progress`', 'SELECT count(phase) FROM exact.progress'),
	(3, '`lag`, 5 minutes', 'SELECT count(p99) FROM exact.lag WHERE span = ''5 minutes'''),
	(4, '`lag`, 1 hour', 'SELECT count(p99) FROM exact.lag WHERE span = ''1 hour'''),
	(5, '`lag`, 24 hours', 'SELECT count(p99) FROM exact.lag WHERE span = ''24 hours'''),
	(6, '`explain()` of a delivered record',
		'SELECT count(exact.explain(2, ''items'', ''k500001''))'),
	(7, '`explain()` of one that waits', 'SELECT count(exact.explain(2, ''items'', ''k999991''))')
) AS q (n, what, query) ORDER BY q.n;
