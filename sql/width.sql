-- Outputs fit 120 columns: a hub with what is usual, and what goes wrong, in this transaction only.
-- What a person reads as it is fits by itself; views of many columns do by exact.show().
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
SET TimeZone = 'UTC';
SET DateStyle = ISO;
SET IntervalStyle = postgres;
\set SHOW_CONTEXT never

BEGIN;
INSERT INTO exact.app (name, client_id) VALUES ('erp', '6f9d1c2e-8a44-4a0b-9a0f-3d2b1c0e9f11');
INSERT INTO exact.app_state (app, state, since, user_name)
VALUES ('erp', 'authorized', now(), 'Anna de Vries');
INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema, client_id)
VALUES ('lake', 'https://adb-1234567890123456.7.azuredatabricks.net', '475b94ddc7cd5211', 'main',
	'exact', '5c4d0a4e-1111-4222-8333-444455556666');
INSERT INTO exact.division (division, app, workspace, description, enabled)
VALUES (101001, 'erp', 'lake', 'Noord B.V.', true), (202002, 'erp', 'lake', 'Zuid B.V.', true),
	(303003, 'erp', 'lake', 'Handelsonderneming West GmbH', true),
	(404004, 'erp', 'lake', 'Oost N.V.', false);
SELECT count(*)
FROM exact.division AS d, exact.enable_entities(d.division, 'finance')
WHERE d.enabled;
INSERT INTO exact.division_state AS s (division, state, since, reason, next_step, day_left,
	day_limit, day_reset, minute_left, minute_limit, minute_reset)
VALUES
	(101001, 'ok', now(), NULL, NULL, 4893, 5000, now() + interval '9 h', 58, 60, now()),
	(202002, 'ok', now(), NULL, NULL, 4711, 5000, now() + interval '9 h', 58, 60, now()),
	(303003, 'frozen', now(), 'Exact Online answered with a record of division 404004',
		'check the administration in Exact Online; then SELECT exact.resume(303003)', 0, 5000,
		now() + interval '9 h', 58, 60, now())
ON CONFLICT (division) DO UPDATE SET state = excluded.state, since = excluded.since,
	reason = excluded.reason, next_step = excluded.next_step, day_left = excluded.day_left,
	day_limit = excluded.day_limit, day_reset = excluded.day_reset,
	minute_left = excluded.minute_left, minute_limit = excluded.minute_limit,
	minute_reset = excluded.minute_reset;
UPDATE exact.feed_state
SET run_state = 'idle', run_rows = 1000, run_started_at = now() - interval '15 s',
	complete_at = now() - interval '14 s', first_complete_at = now() - interval '1 day';
UPDATE exact.feed_state
SET run_state = 'paging', run_rows = 123456, errors = 3, last_error_at = now(),
	last_error = 'HTTP 500: Er is een onverwachte fout opgetreden bij het verwerken van het '
		'verzoek.'
WHERE division = 202002 AND feed = 'transactionlines';
INSERT INTO exact.rate_limit (division, resource, reading, since, until, times)
VALUES
	(202002, 'salesinvoice/SalesInvoices', 'endpoint', now(), now() + interval '70 min', 1),
	(202002, 'bulk/Financial/TransactionLines', 'errors', now(), now() + interval '40 min', 6);
INSERT INTO exact.service_state (side, name, asked_at, answered_at, failing_since, kind, cause)
VALUES ('databricks', 'lake', now(), now() - interval '11 min', now() - interval '11 min',
	'silent', 'Failed to connect to adb-1234567890123456.7.azuredatabricks.net port 443: '
		'Connection refused'), ('exact', 'erp', now(), now(), NULL, NULL, NULL);
INSERT INTO exact.api_call (id, at, took_ms, app, division, feed, method, path, status, outcome,
	rows, minute_left, day_left, error)
VALUES
	(-2, now() - interval '20 s', 182, 'erp', 101001, 'salesinvoicelines', 'GET',
		'sync/SalesInvoice/SalesInvoices?$filter=Timestamp gt 4711L', 200, 'ok', 2, 58, 4893,
		NULL),
	(-1, now() - interval '10 s', 182, 'erp', 202002, 'transactionlines', 'GET',
		'bulk/Financial/TransactionLines?$select=ID', 500, 'transient', NULL, 58, 4711,
		'HTTP 500: Er is een onverwachte fout opgetreden bij het verwerken van het verzoek.');
\set one '\'7a31f0c2-0000-4000-8000-000000000001\''
\set two '\'7a31f0c2-0000-4000-8000-000000000002\''
\set three '\'7a31f0c2-0000-4000-8000-000000000003\''
INSERT INTO exact.batch (id, slot, workspace, division, entity, feed, call, epoch, rows, staged_at,
	delivered_rows, delivered_at)
VALUES
	(-4, 0, 'lake', 101001, 'contacts', 'contacts', NULL, 1, 1, now() - interval '2 h', 1,
		now() - interval '2 h'),
	(-3, 0, 'lake', 101001, 'salesinvoices', 'salesinvoices', NULL, 1, 1, now() - interval '2 h', 1,
		now() - interval '2 h'),
	(-2, 0, 'lake', 101001, 'salesinvoices', 'salesinvoices', -2, 1, 2, now() - interval '19 s', 2,
		now() - interval '12 s'),
	(-1, 0, 'lake', 202002, 'transactionlines', 'transactionlines', NULL, 1, 123456, now(), 456,
		NULL);
INSERT INTO exact.stage (slot, batch, ord, seq, division, entity, key, op, prev_slot, prev_batch,
	prev_ord, payload)
SELECT 0, v.batch, v.ord, 1099511671735 + v.ord, 101001, v.entity, v.key, v.op, v.prev,
	v.prev_batch, v.prev, v.content
FROM (VALUES
	(-3, 0, 'salesinvoices', :one, 'I', NULL::int, NULL::int,
		'{"InvoiceNumber":24010233,"InvoiceToName":"Jansen & Zonen Installatietechniek B.V.",'
			'"AmountDC":1234567.89,"Description":"Levering november"}'),
	(-2, 0, 'salesinvoices', :one, 'U', 0, -3,
		'{"InvoiceNumber":24010233,"InvoiceToName":"Jansen & Zonen Installatietechniek B.V.",'
			'"AmountDC":1234567.90,"Description":"Levering november en december",'
			'"InvoiceDate":"/Date(1794268800000)/","YourRef":"F-2026/0077"}'),
	(-2, 1, 'salesinvoicelines', :two, 'I', NULL, NULL,
		'{"LineNumber":2,"Description":"Schroef M8 verzinkt, doos van 200 stuks",'
			'"AmountDC":100.5}'),
	(-4, 0, 'contacts', :three, 'I', NULL, NULL, '{"FullName":"Jan Jansen"}')
) AS v (batch, ord, entity, key, op, prev, prev_batch, content);
INSERT INTO exact.record (division, entity, key, parent, hash, seq, slot, batch, ord, first_seen)
VALUES (101001, 'salesinvoices', :one, NULL, '\x01', 1099511671735, 0, -2, 0, now()),
	(101001, 'salesinvoicelines', :two, :one, '\x01', 1099511671736, 0, -2, 1, now()),
	(101001, 'contacts', :three, NULL, '\x01', 1099511671735, 0, -4, 0, now());
INSERT INTO exact.target_state (workspace, entity, table_name, history_name, created_at)
VALUES ('lake', 'contacts', 'main.exact.contacts', 'main.exact.contacts_history', now());
INSERT INTO exact.inbox (id, at, app, secret, division, topic, action, key, digest, content)
VALUES (-1, now() - interval '22 s', 'erp', 'current', 101001, 'SalesInvoices', 'Update', :one,
	'\x00', '\x');
INSERT INTO exact.inbox_work (id, division, topic, taken_at)
VALUES (-1, 101001, 'SalesInvoices', now() - interval '20 s');
INSERT INTO exact.statement_log (id, at, workspace, entity, table_name, kind, first_batch,
	first_ord, last_batch, last_ord, rows, statement_id, state, took_ms, finished_at, error)
VALUES
	(-2, now() - interval '15 s', 'lake', 'salesinvoices', 'main.exact.salesinvoices_history',
		'history', -2, 0, -2, 1, 2, '01f06f11-2222-1333-8444-555566667777', 'succeeded', 1500,
		now() - interval '13 s', NULL),
	(-1, now() - interval '13 s', 'lake', 'salesinvoices', 'main.exact.salesinvoices', 'current',
		-2, 0, -2, 1, 2, '01f06f12-2222-1333-8444-555566667777', 'failed', 1400, now(),
		'[INSUFFICIENT_PERMISSIONS] Insufficient privileges: User does not have MODIFY on Table '
			'''main.exact.salesinvoices''. SQLSTATE: 42501');
INSERT INTO exact.target_state (workspace, entity, table_name, history_name, created_at,
	delivered_at, paused_since, attempts, next_attempt_at, reason, next_step)
VALUES
	('lake', 'salesinvoices', 'main.exact.salesinvoices', 'main.exact.salesinvoices_history',
		now(), now(), NULL, 0, NULL, NULL, NULL),
	('lake', 'salesinvoicelines', 'main.exact.salesinvoicelines',
		'main.exact.salesinvoicelines_history', now(), now(), now(), 2, now(),
		'Databricks refused the MERGE into main.exact.salesinvoicelines: permission denied (MODIFY '
			'on table)',
		'GRANT MODIFY ON TABLE main.exact.salesinvoicelines TO '
			'`5c4d0a4e-1111-4222-8333-444455556666`');
INSERT INTO exact.held_delete (id, division, entity, records, alive, reason)
VALUES (-1, 101001, 'salesinvoicelines', 1, 20, 'more than 20 records and 5 percent are absent');
INSERT INTO exact.held_key (division, entity, key, held, doubted)
VALUES (101001, 'salesinvoicelines', :two, -1, false);
INSERT INTO exact.judgement (id, division, entity, key, state, problems, waits)
VALUES (88, 101001, 'salesinvoices', :one, 'held',
	ARRAY['held: line 2 names cost center 4711, which does not exist in division 101001',
		'line 2 names the GL account 8000, which is blocked since 2026-01-01'],
	ARRAY['costcenter:4711']);
INSERT INTO exact.dead_letter (side, workspace, division, entity, key, reason, digest)
VALUES ('reading', NULL, 101001, 'salesinvoicelines', :two,
	'a line has no key, so it belongs to no document', '\x01');
INSERT INTO exact.backfill (division, feed, reason, run, started_at, rows, calls, page_at, errors,
	last_error)
VALUES (202002, 'salesinvoices', 'asked for by an operator: from 2026-01-01', 7, now(), 120000,
	240, now(), 3, 'HTTP 503: The service is unavailable.');
INSERT INTO exact.request (id, kind, division, entity, state, started_at)
VALUES (-1, 'sync', 202002, 'salesinvoicelines', 'running', now());
SELECT exact.erase(101001, 'contacts', :three, 'case 4711') > 0 AS erases;
INSERT INTO exact.dimension_change (id, edit, workspace, division, entity, key, code, kind, side,
	who, field, old, exact, delta, wanted, state, reason)
VALUES (-1, 1, 'lake', 101001, 'costcenter', :two, '4711', 'update', 'delta',
	'anna.de.vries@example.com', 'Description', 'Onderhoud gebouwen',
	'Onderhoud gebouwen', 'Onderhoud gebouwen en terreinen', 'Onderhoud gebouwen en terreinen',
	'conflict', 'both sides have changed it since they were last the same');
INSERT INTO exact.light_log (at, side, name, division, light, state, what)
SELECT now(), 'division', s.division::text, s.division, s.light, s.state, s.what
FROM exact.status AS s WHERE s.light = 'fail';

-- ---- as it is: what psql prints, aligned, without a setting ----
CREATE FUNCTION pg_temp.width(query text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	wide int;
BEGIN
	-- a column is as wide as its name or its widest line, and has a blank on each side
	CREATE TEMP TABLE cell (name text, content text) ON COMMIT DROP;
	EXECUTE format('INSERT INTO cell SELECT c.key, c.value FROM (%s) AS q, '
		'json_each_text(row_to_json(q)) AS c', query);
	SELECT sum(w.width) + 3 * count(*) - 1 INTO wide
	FROM (
		SELECT greatest(length(c.name), max(length(l.line))) AS width
		FROM cell AS c
		LEFT JOIN LATERAL regexp_split_to_table(c.content, E'\n') AS l (line) ON true
		GROUP BY c.name) AS w;
	DROP TABLE cell;
	RETURN wide;
END
$$;
SELECT q.call, pg_temp.width('SELECT * FROM exact.' || q.call) <= 120 AS fits
FROM (VALUES ('credentials'), ('app'), ('division'), ('feed'), ('help()'),
	('help(''status'')'), ('help(''backfill'')'), ('help(''pg_cron'')')) AS q (call);
-- an example goes on in the next line, and is the same statement
SELECT count(*) AS broken_examples
FROM exact._examples() AS e
WHERE length(e.example) > 100
	AND EXISTS (SELECT FROM regexp_matches(e.example, '''([^'']*)''', 'g') AS l (parts)
		WHERE l.parts[1] ~ '\s');

-- ---- everything that a person may read, by exact.show() ----
SET LOCAL ROLE exact_reader;
SELECT m.name, s.line
FROM exact._manual AS m
CROSS JOIN LATERAL exact.show(m.name) AS s (line)
WHERE m.kind <> 'function' AND m.may = 'exact_reader' AND length(s.line) > 118;
SELECT q.call, s.line
FROM (VALUES ('check()'), ('headline()'), ('help()'), ('find(101001, ''24010233'')'),
	('trace(101001, ''salesinvoices'', ''24010233'')'),
	('explain(101001, ''salesinvoices'', ''24010233'')'),
	('history(101001, ''salesinvoices'', ''24010233'')')) AS q (call)
CROSS JOIN LATERAL exact.show(q.call) AS s (line)
WHERE length(s.line) > 118;
RESET ROLE;
-- each column's name is in the first line, or among those that are left out
SELECT m.name, a.attname
FROM exact._manual AS m
JOIN pg_class AS c ON c.relname = m.name AND c.relnamespace = 'exact'::regnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
CROSS JOIN LATERAL (SELECT array_agg(s.line) AS lines FROM exact.show(m.name) AS s (line)) AS t
WHERE m.kind = 'view' AND t.lines[1] NOT LIKE '(%'
	AND a.attname <> ALL (regexp_split_to_array(t.lines[1], E'[ |]+'))
	AND NOT EXISTS (SELECT FROM unnest(t.lines) WITH ORDINALITY AS l (line, n)
		WHERE l.n > cardinality(t.lines) - 6 AND l.line ~ ('\m' || a.attname || '\M'));
-- what is said and what to do is never left out
SELECT q.name, bool_or(s.line ~ ('^' || q.columns)) AS shows
FROM (VALUES ('status', 'division +\| name +\| light +\| what +\| next_step'),
	('check', 'result +\| rule +\| finding +\| fix'),
	('services', 'side +\| name +\| light +\| .*what +\| next_step'),
	('quarantine', 'id +\| .*number +\| problems +\| next_step'),
	('held', 'id +\| .*name .*\| reason +\| next_step'),
	('events', 'at +\| .*what'),
	('feeds', 'division +\| entity +\| .*state .*problem')) AS q (name, columns)
CROSS JOIN LATERAL exact.show(q.name) AS s (line)
GROUP BY q.name
ORDER BY q.name;
SELECT exact.show('held');

-- ---- at the limits ----
SELECT q.width, max(length(s.line)) AS longest
FROM (VALUES (40), (1), (-5), (NULL), (90), (200)) AS q (width)
CROSS JOIN LATERAL exact.show('quarantine', q.width) AS s (line)
GROUP BY q.width
ORDER BY q.width;
SELECT exact.show('SELECT 1 AS n, interval ''1 day 00:00:01.234567'' AS took, NULL AS nothing, '
	'-2.50 AS amount, ''2026-11-30 08:15:00.123+00''::timestamptz AS at, ''a''::text AS word;  ');
SELECT exact.show($$SELECT repeat('word ', 12) || repeat('x', 70) AS a, 'b c' AS b -- the end$$,
	40);
SELECT exact.show($$SELECT E'one\n\ntwo\tthree\x01\x1b[31m' AS lines, '' AS empty$$);
SELECT exact.show($$SELECT NULL AS a$$);
SELECT exact.show('status WHERE false');
SELECT count(*), max(length(s.line))
FROM exact.show($$SELECT n, repeat('é ', 5000) AS long FROM generate_series(1, 2) AS n$$)
	AS s (line);
SELECT count(*), (array_agg(s.line))[500:]
FROM exact.show('SELECT n FROM generate_series(1, 500) AS n') AS s (line);
SELECT count(*), (array_agg(s.line))[500:]
FROM exact.show('SELECT n FROM generate_series(1, 501) AS n') AS s (line);
SELECT exact.show($$"Exact".division WHERE division = 404004$$);
SELECT count(*) > 0 AS all FROM exact.show(' exact.SERVICES ; ');
SELECT count(*) > 0 AS all FROM exact.show(' ');

-- ---- what is refused: as whoever asks, and it writes nothing ----
\set ON_ERROR_ROLLBACK on
SELECT exact.show('statsu');
SELECT exact.show('fence');
SELECT exact.show('trace');
\set VERBOSITY sqlstate
SELECT exact.show($$SELECT 1; SELECT 2$$);
SELECT exact.show($$SELECT 1) AS x; DROP TABLE exact.app; --$$);
SELECT exact.show($$WITH gone AS (DELETE FROM exact.rule RETURNING *) SELECT * FROM gone$$);
\set VERBOSITY default
SET LOCAL ROLE exact_reader;
SELECT exact.show('credential');
SELECT exact.show($$pause(101001)$$);
RESET ROLE;
ROLLBACK;
