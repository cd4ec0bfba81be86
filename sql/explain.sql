-- explain(): one sentence for each state a record can be in. Rolled back: no worker sees it. What
-- needs statements under way is in t/810_explain.pl.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
RESET client_min_messages;
\set SHOW_CONTEXT never
\set ON_ERROR_ROLLBACK on

BEGIN;
-- what depends on whether workers run, on the day and on the sequences' values is left out
CREATE FUNCTION pg_temp.explain(division int, entity text, key text) RETURNS text LANGUAGE sql AS $$
	SELECT regexp_replace(regexp_replace(exact.explain($1, $2, $3),
		' (Nothing is (read|delivered) now|Later changes are not read): '
			'(no worker runs|the (fetcher|loader) does not run)(exact\.check\(\)|[^.])*\.',
		'', 'g'),
		'\d{4}-\d\d-\d\d ', '', 'g')
$$;
INSERT INTO exact.app (name, client_id) VALUES ('shop', 'x'), ('closed', 'x'), ('fresh', 'x');
INSERT INTO exact.app_state (app, state, since, reason, next_step)
VALUES ('shop', 'authorized', now(), NULL, NULL),
	('closed', 'reauthorize', '2026-11-22 00:02', 'the refresh token was used already',
		'open https://start.exactonline.nl/x');
INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema, enabled) VALUES
	('pond', 'https://adb-1.2.azuredatabricks.net', 'w1', 'main', 'exact', true),
	('dry', 'https://adb-1.2.azuredatabricks.net', 'w1', 'main', 'exact', false);
INSERT INTO exact.division (division, app, workspace, description, enabled) VALUES
	(9000001, 'shop', 'pond', 'Noord', true), (9000002, 'shop', 'dry', 'Zuid', true),
	(9000003, 'shop', NULL, 'Oost', true), (9000004, 'closed', 'pond', 'West', true),
	(9000005, 'fresh', 'pond', 'Midden', true), (9000006, 'shop', 'pond', 'Uit', false),
	(9000007, 'shop', 'pond', 'Stil', true);
SELECT count(*)
FROM exact.division AS d,
	exact.enable_entities(d.division, 'items', 'glaccount', 'purchaseorders', 'purchaseorderlines')
WHERE d.division BETWEEN 9000001 AND 9000007;
SELECT count(*) FROM exact.enable_entities(9000001, 'costcenter', 'costunit');
SELECT count(*) FROM exact.disable_entities(9000001, 'costunit');

-- not known, not asked rightly
SELECT pg_temp.explain(8999999, 'items', 'x');
SELECT pg_temp.explain(NULL, 'items', 'x');
SELECT pg_temp.explain(9000001, 'itmes', 'x');
SELECT pg_temp.explain(9000001, 'sync/PurchaseOrder/PurchaseOrders', 'x');
SELECT pg_temp.explain(9000001, NULL, 'x');
SELECT pg_temp.explain(9000001, 'items', NULL);

-- never seen, because it is not read
SELECT pg_temp.explain(9000006, 'items', 'x');
SELECT pg_temp.explain(9000001, 'accounts', 'x');
SELECT pg_temp.explain(9000001, 'costunit', 'x');
SELECT pg_temp.explain(9000004, 'items', 'x');
SELECT pg_temp.explain(9000005, 'items', 'x');
SAVEPOINT s;
INSERT INTO exact.division_state (division, state, since, reason, next_step)
VALUES (9000001, 'paused', '2026-11-22 04:05', 'paused by dba', NULL);
SELECT pg_temp.explain(9000001, 'items', 'x');
UPDATE exact.division_state
SET state = 'frozen', reason = 'Exact Online answered with a record of division 404004',
	next_step = 'Check the administration; then SELECT exact.resume(9000001)'
WHERE division = 9000001;
SELECT pg_temp.explain(9000001, 'items', 'x');
UPDATE exact.division_state
SET state = 'parked', reason = 'Exact refused: licence expired',
	next_step = 'renew the licence; retried hourly'
WHERE division = 9000001;
SELECT pg_temp.explain(9000001, 'items', 'x');
UPDATE exact.division_state
SET state = 'ok', reason = NULL, paused_entities = '{items}'
WHERE division = 9000001;
SELECT pg_temp.explain(9000001, 'logistics/Items', 'x');
UPDATE exact.division_state
SET paused_entities = '{}', day_left = 0, day_limit = 5000,
	day_reset = current_date + 1 + time '00:02'
WHERE division = 9000001;
SELECT pg_temp.explain(9000001, 'items', 'x');
ROLLBACK TO s;
UPDATE exact.feed_state
SET errors = 3, last_error = 'HTTP 500: Gegeven bestaat reeds.'
WHERE division = 9000001 AND feed = 'items';
SELECT pg_temp.explain(9000001, 'items', 'x');
ROLLBACK TO s;
-- never seen, though it is read
SELECT pg_temp.explain(9000001, 'items', 'x');
UPDATE exact.feed_state
SET run_state = 'paging', run_started_at = '2026-11-22 14:00', run_rows = 3200
WHERE division = 9000001 AND feed = 'items';
SELECT pg_temp.explain(9000001, 'items', 'x');
UPDATE exact.feed_state
SET complete_at = '2026-11-22 14:10', first_complete_at = '2026-11-22 14:10'
WHERE division = 9000001 AND feed = 'items';
SELECT pg_temp.explain(9000001, 'items', 'x');
UPDATE exact.feed_state SET run_state = 'idle' WHERE division = 9000001 AND feed = 'items';
SELECT pg_temp.explain(9000001, 'items', 'x');
INSERT INTO exact.dirty_key (division, entity, key, since, reason)
VALUES (9000001, 'items', 'x', '2026-11-22 14:11', 'notification');
INSERT INTO exact.inbox (id, at, app, secret, division, topic, action, key, digest, content) VALUES
	(-3, '2026-11-22 14:09', 'shop', 'current', 9000001, 'Items', 'Update', 'x', '\x03', '\x'),
	(-2, '2026-11-22 14:12', 'shop', 'current', 9000001, 'Items', 'Update', 'x', '\x02', '\x'),
	(-1, '2026-11-22 14:12', 'shop', 'current', 9000007, 'Items', 'Update', 'x', '\x01', '\x');
INSERT INTO exact.inbox_work (id, division, topic, taken_at, reason) VALUES
	(-3, 9000001, 'Items', now(), 'no such entity is enabled'), (-2, 9000001, 'Items', NULL, NULL),
	(-1, 9000007, 'Items', NULL, NULL);
SELECT pg_temp.explain(9000001, 'items', 'X');
INSERT INTO exact.record (division, entity, key, hash, seq, slot, batch, ord)
VALUES (9000001, 'purchaseorderlines', 'x', '\x00', 1, 0, -99, 0),
	(9000001, 'glaccount', 'g', NULL, 1, 0, 0, 0);
SELECT pg_temp.explain(9000001, 'purchaseorders', 'x');
SELECT pg_temp.explain(9000001, 'purchaseorderlines', 'x');
SELECT pg_temp.explain(9000001, 'glaccount', 'g');
ROLLBACK TO s;

-- versions of a record; each state changes one thing
UPDATE exact.feed_state
SET complete_at = '2026-11-22 14:10', first_complete_at = '2026-11-22 14:10';
INSERT INTO exact.stage (slot, batch, ord, seq, division, entity, key, op, at, prev_slot,
	prev_batch, prev_ord, payload)
VALUES
	(3, -40, 0, 101, 9000001, 'items', '7a31f0de-0000-4000-8000-000000000001', 'I',
		'2026-11-22 10:00', NULL, NULL, NULL, '{"ID":"7a31","Code":"A"}'),
	(3, -30, 1, 102, 9000001, 'items', '7a31f0de-0000-4000-8000-000000000001', 'U',
		'2026-11-22 11:00', 3, -40, 0, '{"ID":"7a31","Code":"B"}'),
	(63, -20, 0, 103, 9000001, 'items', '7a31f0de-0000-4000-8000-000000000001', 'D',
		'2026-11-22 12:00', 3, -30, 1, NULL),
	(0, -10, 7, 104, 9000001, 'items', '7a31f0de-0000-4000-8000-000000000001', 'I',
		'2026-11-22 13:00', 63, -20, 0, '{"ID":"7a31","Code":"C"}');
INSERT INTO exact.batch (id, slot, workspace, division, entity, feed, run, call, epoch, rows,
	staged_at, delivered_rows, delivered_at)
VALUES
	(-40, 3, 'pond', 9000001, 'items', 'items', 1, -4, 1, 1, '2026-11-22 10:00', 1,
		'2026-11-22 10:00:09'),
	(-30, 3, 'pond', 9000001, 'items', 'items', 2, -3, 1, 2, '2026-11-22 11:00', 0, NULL),
	(-20, 63, 'pond', 9000001, 'items', 'items', 3, -2, 1, 1, '2026-11-22 12:00', 0, NULL),
	(-10, 0, 'pond', 9000001, 'items', 'items', 4, NULL, 1, 8, '2026-11-22 13:00', 0, NULL);
INSERT INTO exact.api_call (id, at, app, division, feed, method, path, status)
VALUES (-2, '2026-11-22 11:59', 'shop', 9000001, 'deleted', 'GET',
	'sync/Deleted?$filter=Timestamp gt 5L', 200);
INSERT INTO exact.record (division, entity, key, hash, seq, slot, batch, ord)
VALUES (9000001, 'items', '7a31f0de-0000-4000-8000-000000000001', '\x00', 101, 3, -40, 0);
SAVEPOINT s;
-- delivered; and what else there is to know
SELECT pg_temp.explain(9000001, 'items', '7A31F0DE-0000-4000-8000-000000000001');
INSERT INTO exact.statement_log (id, workspace, entity, table_name, kind, first_batch, first_ord,
	last_batch, last_ord, rows, statement_id, state, at, finished_at)
VALUES
	(-9, 'pond', 'items', 'main.exact.items', 'current', -40, 0, -40, 0, 1, 'aaaa0000-1',
		'succeeded', '2026-11-22 10:00:05', '2026-11-22 10:00:08');
SELECT pg_temp.explain(9000001, 'items', '7a31f0de-0000-4000-8000-000000000001');
UPDATE exact.division SET workspace = 'dry' WHERE division = 9000001;
INSERT INTO exact.dirty_key (division, entity, key, since, reason)
VALUES (9000001, 'items', '7a31f0de-0000-4000-8000-000000000001', '2026-11-22 14:11', 'confirm');
INSERT INTO exact.held_delete (id, division, entity, records, alive, reason, found_at)
VALUES (-7, 9000001, 'items', 2, 2, '2 of 2 are absent', '2026-11-22 14:12');
INSERT INTO exact.held_key (division, entity, key, held, doubted, since)
VALUES (9000001, 'items', '7a31f0de-0000-4000-8000-000000000001', -7, false, '2026-11-22 14:12');
INSERT INTO exact.division_state (division, state, since, reason)
VALUES (9000001, 'paused', '2026-11-22 04:05', 'paused by dba');
SELECT pg_temp.explain(9000001, 'items', '7a31f0de-0000-4000-8000-000000000001');
ROLLBACK TO s;
-- a newer version waits
UPDATE exact.record SET seq = 102, batch = -30, ord = 1;
SELECT pg_temp.explain(9000001, 'items', '7a31f0de-0000-4000-8000-000000000001');
UPDATE exact.batch SET delivered_rows = 1 WHERE id = -30;
SELECT pg_temp.explain(9000001, 'items', '7a31f0de-0000-4000-8000-000000000001');
UPDATE exact.batch SET delivered_rows = 2 WHERE id = -30;
SELECT pg_temp.explain(9000001, 'items', '7a31f0de-0000-4000-8000-000000000001');
ROLLBACK TO s;
-- its delete waits behind it, and is delivered
UPDATE exact.record SET seq = 103, slot = 63, batch = -20, ord = 0, deleted = true;
SELECT pg_temp.explain(9000001, 'items', '7a31f0de-0000-4000-8000-000000000001');
UPDATE exact.api_call
SET path = 'logistics/Items?$filter=ID eq guid''7a31f0de-0000-4000-8000-000000000001'''
WHERE id = -2;
UPDATE exact.batch SET delivered_rows = 1, delivered_at = '2026-11-22 12:00:10' WHERE id = -20;
SELECT pg_temp.explain(9000001, 'items', '7a31f0de-0000-4000-8000-000000000001');
UPDATE exact.api_call SET path = 'sync/Logistics/Items?$filter=Timestamp gt 1L' WHERE id = -2;
SELECT pg_temp.explain(9000001, 'items', '7a31f0de-0000-4000-8000-000000000001');
ROLLBACK TO s;
-- there again; why it waits
UPDATE exact.record SET seq = 104, slot = 0, batch = -10, ord = 7;
UPDATE exact.batch SET delivered_at = '2026-11-22 12:00:10' WHERE id IN (-30, -20);
SELECT pg_temp.explain(9000001, 'items', '7a31f0de-0000-4000-8000-000000000001');
SAVEPOINT w;
INSERT INTO exact.warehouse_state (workspace, warehouse_id, state, seen_at, wakes_at)
VALUES ('pond', 'w1', 'sleeps', now(), '2099-01-12 07:00');
SELECT pg_temp.explain(9000001, 'items', '7a31f0de-0000-4000-8000-000000000001');
UPDATE exact.warehouse_state SET wakes_at = '2026-01-12 07:00';
SELECT pg_temp.explain(9000001, 'items', '7a31f0de-0000-4000-8000-000000000001');
ROLLBACK TO w;
INSERT INTO exact.target_state (workspace, entity, table_name, delivered_at)
VALUES ('pond', 'items', 'main.exact.items', clock_timestamp());
UPDATE exact.workspace SET merge_interval = '1 hour' WHERE name = 'pond';
SELECT pg_temp.explain(9000001, 'items', '7a31f0de-0000-4000-8000-000000000001');
UPDATE exact.target_state
SET reason = 'Databricks cannot be reached: connection refused',
	next_attempt_at = '2026-11-22 13:01';
SELECT pg_temp.explain(9000001, 'items', '7a31f0de-0000-4000-8000-000000000001');
UPDATE exact.target_state
SET paused_since = '2026-11-22 13:00:01', reason = 'permission denied (MODIFY on table)',
	next_step = 'GRANT MODIFY ON TABLE main.exact.items TO `5c4d`';
SELECT pg_temp.explain(9000001, 'items', '7a31f0de-0000-4000-8000-000000000001');
UPDATE exact.workspace SET enabled = false WHERE name = 'pond';
SELECT pg_temp.explain(9000001, 'items', '7a31f0de-0000-4000-8000-000000000001');
DELETE FROM exact.division WHERE division > 9000001;
UPDATE exact.division SET workspace = NULL;
DELETE FROM exact.workspace WHERE name = 'pond';
SELECT pg_temp.explain(9000001, 'items', '7a31f0de-0000-4000-8000-000000000001');
UPDATE exact.batch SET workspace = NULL WHERE id = -10;
SELECT pg_temp.explain(9000001, 'items', '7a31f0de-0000-4000-8000-000000000001');
ROLLBACK TO w;
INSERT INTO exact.statement_log (id, at, workspace, entity, table_name, kind, first_batch,
	first_ord, last_batch, last_ord, rows, statement_id, state)
VALUES
	(-8, '2026-11-22 13:00:05', 'pond', 'items', 'main.exact.items_history', 'history', -10, 0, -10,
		7, 8, 'bbbb0000-1', 'running');
SELECT pg_temp.explain(9000001, 'items', '7a31f0de-0000-4000-8000-000000000001');
UPDATE exact.statement_log SET state = 'unknown' WHERE id = -8;
SELECT pg_temp.explain(9000001, 'items', '7a31f0de-0000-4000-8000-000000000001');
UPDATE exact.statement_log SET state = 'sending' WHERE id = -8;
SELECT pg_temp.explain(9000001, 'items', '7a31f0de-0000-4000-8000-000000000001');
ROLLBACK TO w;
-- lines wait for what ranks before them, unless that table is paused
INSERT INTO exact.stage (slot, batch, ord, seq, division, entity, key, op, payload)
VALUES (0, -5, 0, 105, 9000001, 'purchaseorderlines', 'line', 'I', '{}');
INSERT INTO exact.batch (id, slot, workspace, division, entity, feed, epoch, rows, staged_at)
VALUES (-5, 0, 'pond', 9000001, 'purchaseorderlines', 'purchaseorders', 1, 1, '2026-11-22 13:02');
INSERT INTO exact.record (division, entity, key, hash, seq, slot, batch, ord)
VALUES (9000001, 'purchaseorderlines', 'line', '\x00', 105, 0, -5, 0);
SELECT pg_temp.explain(9000001, 'purchaseorderlines', 'line');
INSERT INTO exact.target_state (workspace, entity, table_name, paused_since)
VALUES ('pond', 'items', 'main.exact.items', now());
SELECT pg_temp.explain(9000001, 'purchaseorderlines', 'line');
SET LOCAL ROLE exact_reader;
SELECT exact.explain(9000001, 'purchaseorderlines', 'line') LIKE 'Waits since %' AS reader_may;
ROLLBACK;
