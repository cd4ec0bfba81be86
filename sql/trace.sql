-- What happened to one record: its versions, the call that brought the newest, its deliveries.
-- Rolled back: no worker sees it.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
RESET client_min_messages;
\set SHOW_CONTEXT never
\set ON_ERROR_ROLLBACK on

BEGIN;
INSERT INTO exact.app (name, client_id) VALUES ('shop', 'x');
INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema)
VALUES ('pond', 'https://adb-1.2.azuredatabricks.net', 'w1', 'main', 'exact');
INSERT INTO exact.division VALUES (9000001, 'shop', 'pond', 'Noord B.V.', true);
INSERT INTO exact.division_state (division, minute_limit) VALUES (9000001, 60);
INSERT INTO exact.stage (slot, batch, ord, seq, division, entity, key, op, at, prev_slot,
	prev_batch, prev_ord, payload)
VALUES
	(3, -40, 0, 101, 9000001, 'items', '7a31f0de-0000-4000-8000-000000000001', 'I',
		'2026-11-22 10:00', NULL, NULL, NULL,
		'{"__metadata":{"uri":"x"},"Timestamp":"5","ID":"7a31","Code":"A",'
			'"Description":"caf\u00e9","AverageCost":1.10,"ItemGroupDescription":"old"}'),
	(3, -30, 1, 102, 9000001, 'items', '7a31f0de-0000-4000-8000-000000000001', 'U',
		'2026-11-22 11:00', 3, -40, 0,
		'{"__metadata":{"uri":"y"},"Timestamp":"6","ID":"7a31","Code":"B","Description":"café",'
			'"AverageCost":1.20,"ItemGroupDescription":"new"}'),
	(63, -20, 0, 103, 9000001, 'items', '7a31f0de-0000-4000-8000-000000000001', 'D',
		'2026-11-22 12:00', 3, -30, 1, NULL),
	(0, -10, 7, 104, 9000001, 'items', '7a31f0de-0000-4000-8000-000000000001', 'I',
		'2026-11-22 13:00', 63, -20, 0, '{"ID":"7a31","Code":"C"}');
INSERT INTO exact.batch (id, slot, workspace, division, entity, feed, run, call, epoch, rows,
	staged_at, took_ms)
VALUES
	(-40, 3, 'pond', 9000001, 'items', 'items', 1, -4, 1, 1, '2026-11-22 10:00', 3),
	(-30, 3, 'pond', 9000001, 'items', 'items', 2, -3, 1, 2, '2026-11-22 11:00', 9.4),
	(-20, 63, 'pond', 9000001, 'items', 'items', 3, -2, 1, 1, '2026-11-22 12:00', 0.4),
	(-10, 0, 'pond', 9000001, 'items', 'items', 4, NULL, 1, 8, clock_timestamp(), 2);
INSERT INTO exact.api_call (id, at, took_ms, app, division, feed, method, path, status, outcome,
	rows, minute_left)
VALUES
	(-3, '2026-11-22 10:59:59.8', 182.3, 'shop', 9000001, 'items', 'GET',
		'sync/Logistics/Items?$filter=Timestamp gt 5L', 200, 'ok', 41, 58),
	(-2, '2026-11-22 11:59', 1502, 'shop', 9000001, 'deleted', 'GET',
		'sync/Deleted?$filter=Timestamp gt 5L', 200, 'ok', 1, 57);
INSERT INTO exact.statement_log (id, workspace, entity, table_name, kind, first_batch, first_ord,
	last_batch, last_ord, rows, statement_id, state, took_ms, error, finished_at)
VALUES
	(-9, 'pond', 'items', 'main.exact.items_history', 'history', -40, 0, -30, 0, 2, 'aaaa0000-1',
		'succeeded', 900, NULL, '2026-11-22 11:00:04'),
	(-8, 'pond', 'items', 'main.exact.items_history', 'history', -30, 1, -30, 1, 1, NULL, 'failed',
		100, 'permission denied', '2026-11-22 11:00:05'),
	(-7, 'pond', 'items', 'main.exact.items_history', 'history', -30, 1, -20, 0, 2, 'bbbb0000-1',
		'succeeded', 1540, NULL, '2026-11-22 12:00:08'),
	(-6, 'pond', 'items', 'main.exact.items', 'check', -30, 1, -20, 0, 2, 'cccc0000-1', 'succeeded',
		10, NULL, '2026-11-22 12:00:09'),
	(-5, 'pond', 'items', 'main.exact.items', 'current', -30, 1, -20, 0, 2, 'dddd0000-1',
		'succeeded', 62000, NULL, '2026-11-22 12:01:10'),
	(-4, 'other', 'items', 'main.exact.items', 'current', -30, 1, -20, 0, 2, 'eeee0000-1',
		'succeeded', 1, NULL, '2026-11-22 12:01:10');

INSERT INTO exact.inbox (id, at, app, secret, division, topic, action, key, digest, content) VALUES
	(-9, '2026-11-22 09:59', 'shop', 'current', 9000001, 'Items', 'Create',
		'7a31f0de-0000-4000-8000-000000000001', '', ''),
	(-8, '2026-11-22 10:59', 'shop', 'current', 9000001, 'Items', 'Update',
		'7a31f0de-0000-4000-8000-000000000001', '', ''),
	(-7, '2026-11-22 10:59', 'shop', 'next', 9000001, 'Items', 'Update',
		'7a31f0de-0000-4000-8000-000000000001', '', ''),
	(-6, '2026-11-22 10:59', 'shop', 'current', 9000001, 'Accounts', 'Update',
		'7a31f0de-0000-4000-8000-000000000001', '', ''),
	(-5, '2026-11-22 10:59', 'shop', 'current', 9000002, 'Items', 'Update',
		'7a31f0de-0000-4000-8000-000000000001', '', ''),
	(-4, '2026-11-22 10:59', 'shop', 'current', 9000001, 'Items', 'Update',
		'7a31f0de-0000-4000-8000-000000000002', '', ''),
	(-3, '2026-11-22 11:59', 'shop', 'current', 9000001, 'Items', 'Delete',
		'7a31f0de-0000-4000-8000-000000000001', '', '');
INSERT INTO exact.inbox_work (id, division, topic, taken_at, reason)
SELECT id, division, topic, at + interval '2 s', CASE id WHEN -7 THEN 'repeat of an earlier one' END
FROM exact.inbox
WHERE id < 0;

SELECT exact.trace(9000001, 'items', '7a31f0de-0000-4000-8000-000000000009');
SELECT exact.history(9000001, 'nothing', 'x');

-- the version that changed fields; the key in any case, the entity by its path
SAVEPOINT s;
INSERT INTO exact.record (division, entity, key, seq, slot, batch, ord)
VALUES (9000001, 'items', '7a31f0de-0000-4000-8000-000000000001', 102, 3, -30, 1);
UPDATE exact.batch SET delivered_rows = 2, delivered_at = now() WHERE id = -30;
SELECT to_char(at, 'HH24:MI:SS') AS at, step, what, took
FROM exact.trace(9000001, 'logistics/Items', '7A31F0DE-0000-4000-8000-000000000001');
ROLLBACK TO s;
-- the delete
INSERT INTO exact.record (division, entity, key, seq, slot, batch, ord, deleted)
VALUES (9000001, 'items', '7a31f0de-0000-4000-8000-000000000001', 103, 63, -20, 0, true);
UPDATE exact.batch SET delivered_rows = 1, delivered_at = now() WHERE id = -20;
SELECT to_char(at, 'HH24:MI:SS') AS at, step, what, took
FROM exact.trace(9000001, 'items', '7a31f0de-0000-4000-8000-000000000001');
ROLLBACK TO s;
-- not delivered yet, and why
INSERT INTO exact.record (division, entity, key, seq, slot, batch, ord)
VALUES (9000001, 'items', '7a31f0de-0000-4000-8000-000000000001', 104, 0, -10, 7);
SELECT step, what FROM exact.trace(9000001, 'items', '7a31f0de-0000-4000-8000-000000000001');
INSERT INTO exact.target_state (workspace, entity, paused_since, reason)
VALUES ('pond', 'items', '2026-11-22 13:00:01', 'permission denied (MODIFY on table)');
INSERT INTO exact.dirty_key (division, entity, key, reason)
VALUES (9000001, 'items', '7a31f0de-0000-4000-8000-000000000001', 'older than what is stored');
SELECT step, what FROM exact.trace(9000001, 'items', '7a31f0de-0000-4000-8000-000000000001');
SELECT seq, to_char(at, 'HH24:MI') AS at, op, changed, payload
FROM exact.history(9000001, 'items', '7a31f0de-0000-4000-8000-000000000001');
-- a value for each kind; absent and null are the same
SELECT exact._changes('items',
	'{"Code":null,"Description":"a \"b\" '
		'€","CostPriceStandard":1.10,"EndDate":"\/Date(1700006400000)\/","IsSalesItem":true,'
			'"Notes":"x"}',
	'{"Description":"' || repeat('long ', 30)
		|| '","CostPriceStandard":12345678901234.125,"EndDate":"\/Date(-1)\/","IsSalesItem":false,'
			'"Notes":null}');
SELECT exact._changes('items', '{"Code":"\u0000"}', '{"Code":"x"}'),
	exact._changes('items', '{', '{}') IS NULL AS broken;
-- a line of a document has versions of its own
INSERT INTO exact.stage (slot, batch, ord, seq, division, entity, key, op, prev_slot, prev_batch,
	prev_ord, payload)
VALUES
	(1, -7, 0, 201, 9000001, 'purchaseorderlines', 'l1', 'I', NULL, NULL, NULL,
		'{"ID":"l1","Quantity":1,"Amount":10.50}'),
	(1, -6, 0, 202, 9000001, 'purchaseorderlines', 'l1', 'U', 1, -7, 0,
		'{"ID":"l1","Quantity":2,"Amount":21}'),
	(1, -6, 1, 203, 9000001, 'purchaseorderlines', 'l1', 'D', 1, -6, 0, NULL);
INSERT INTO exact.record (division, entity, key, parent, seq, slot, batch, ord, deleted)
VALUES (9000001, 'purchaseorderlines', 'l1', 'p1', 203, 1, -6, 1, true);
SELECT seq, op, changed FROM exact.history(9000001, 'purchaseorderlines', 'L1');
-- a line's notification is its document's, and the other way round
INSERT INTO exact.stage (slot, batch, ord, seq, division, entity, key, op, at, payload) VALUES
	(3, -40, 1, 105, 9000001, 'purchaseorders', 'aaaa0000-0000-4000-8000-000000000001', 'I',
		'2026-11-22 10:00', '{}'),
	(3, -40, 2, 106, 9000001, 'purchaseorderlines', 'aaaa0000-0000-4000-8000-000000000002', 'I',
		'2026-11-22 10:00', '{}');
INSERT INTO exact.record (division, entity, key, parent, seq, slot, batch, ord) VALUES
	(9000001, 'purchaseorders', 'aaaa0000-0000-4000-8000-000000000001', NULL, 105, 3, -40, 1),
	(9000001, 'purchaseorderlines', 'aaaa0000-0000-4000-8000-000000000002',
		'aaaa0000-0000-4000-8000-000000000001', 106, 3, -40, 2);
INSERT INTO exact.inbox (id, at, app, secret, division, topic, action, key, digest, content) VALUES
	(-2, '2026-11-22 09:59', 'shop', 'current', 9000001, 'PurchaseOrders', 'Create',
		'aaaa0000-0000-4000-8000-000000000001', '', ''),
	(-1, '2026-11-22 10:09', 'shop', 'current', 9000001, 'PurchaseOrders', NULL,
		'aaaa0000-0000-4000-8000-000000000002', '', '');
SELECT step, what
FROM exact.trace(9000001, 'purchaseorders', 'aaaa0000-0000-4000-8000-000000000001');
SELECT step, what
FROM exact.trace(9000001, 'purchaseorderlines', 'AAAA0000-0000-4000-8000-000000000002');
SELECT exact._changed_fields('items', '{"Code":"\u0000"}', '{"Code":"x"}'),
	exact._changed_fields('items', '{"Code":"x"', '{"Code":"x"}') IS NULL AS broken;
SELECT exact._took(0.2), exact._took(41.6), exact._took(1540), exact._took(62000),
	exact._age('14.2 s'), exact._age('-3 s'), exact._age('150 s'), exact._age('5 h'),
	exact._age('9 days');
ROLLBACK;
