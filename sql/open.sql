-- What the Delta tables exact_open and exact_state will say, from prepared rows. Rolled back: no
-- worker sees them.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
RESET client_min_messages;

BEGIN;
INSERT INTO exact.app (name, client_id) VALUES ('shop', 'x');
INSERT INTO exact.app_state (app, state) VALUES ('shop', 'authorized');
INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema) VALUES
	('pond', 'https://adb-1.2.azuredatabricks.net', 'w1', 'main', 'exact'),
	('sea', 'https://adb-1.2.azuredatabricks.net', 'w1', 'main', 'other');
INSERT INTO exact.division
VALUES (9000001, 'shop', 'pond', 'Noord', true), (9000002, 'shop', 'sea', 'Zuid', true),
	(9000003, 'shop', 'pond', 'Oost', false);
SELECT count(*)
FROM exact.enable_entities(9000001, 'items', 'glaccount', 'purchaseorders', 'purchaseorderlines',
	'transactionlines');
SELECT count(*)
FROM exact.enable_entities(9000002, 'items')
UNION ALL
SELECT count(*)
FROM exact.enable_entities(9000003, 'items');
SELECT * FROM exact._open_rows('pond');

-- row 0 of that division is the control row; two versions of a line, a delete whose content is that
-- of the version before, a row 0, a
-- line whose period is its document's
INSERT INTO exact.ledger_count (division, control) VALUES (9000001, 3);
INSERT INTO exact.stage (slot, batch, ord, seq, division, entity, key, op, prev_slot, prev_batch,
	prev_ord, payload)
VALUES
	(0, -9, 0, 900, 9000001, 'transactionlines', 'done', 'I', NULL, NULL, NULL, '{"AmountDC":1}'),
	(0, -9, 1, 901, 9000001, 'transactionlines', 'a', 'I', NULL, NULL, NULL,
		'{"FinancialYear":2026,"FinancialPeriod":10,"AmountDC":12345678901234.5678,'
			'"LineNumber":1}'),
	(0, -8, 0, 902, 9000001, 'transactionlines', 'a', 'U', 0, -9, 1,
		'{"FinancialYear":2026,"FinancialPeriod":11,"AmountDC":-0.1,"LineNumber":1}'),
	(0, -8, 1, 903, 9000001, 'transactionlines', 'h', 'I', NULL, NULL, NULL,
		'{"FinancialYear":2026,"FinancialPeriod":11,"AmountDC":100,"LineNumber":0}'),
	(0, -8, 2, 904, 9000001, 'transactionlines', 'done', 'D', 0, -9, 0, NULL),
	(0, -8, 3, 905, 9000001, 'transactionlines', 'odd', 'I', NULL, NULL, NULL,
		'{"FinancialYear":"x","FinancialPeriod":99999999999,"AmountDC":"NaN"}'),
	(0, -7, 0, 906, 9000002, 'items', 'i', 'I', NULL, NULL, NULL, '{}'),
	(0, -6, 0, 907, 9000001, 'purchaseentries', 'p', 'I', NULL, NULL, NULL,
		'{"ReportingYear":2025,"ReportingPeriod":12,"AmountDC":121.0000}'),
	(0, -5, 0, 908, 9000001, 'purchaseentrylines', 'l', 'I', NULL, NULL, NULL,
		'{"AmountDC":"100.50"}');
INSERT INTO exact.record (division, entity, key, parent, seq, slot, batch, ord) VALUES
	(9000001, 'purchaseentries', 'p', NULL, 907, 0, -6, 0),
	(9000001, 'purchaseentrylines', 'l', 'p', 908, 0, -5, 0),
	(9000001, 'transactionlines', 'a', NULL, 902, 0, -8, 0);
INSERT INTO exact.batch (id, slot, workspace, division, entity, feed, epoch, rows, staged_at,
	delivered_rows, delivered_at, seq_max)
VALUES
	(-9, 0, 'pond', 9000001, 'transactionlines', 'transactionlines', 1, 2, '2026-11-22 10:00+00', 1,
		NULL, 901),
	(-8, 0, 'pond', 9000001, 'transactionlines', 'transactionlines', 1, 4, '2026-11-22 11:00+00', 0,
		NULL, 905),
	(-7, 0, 'sea', 9000002, 'items', 'items', 1, 1, '2026-11-22 10:00+00', 0, NULL, 906),
	(-6, 0, 'pond', 9000001, 'purchaseentries', 'purchaseentries', 1, 1, '2026-11-22 10:30+00', 1,
		'2026-11-22 10:31+00', 907),
	(-5, 0, NULL, 9000001, 'purchaseentrylines', 'purchaseentries', 1, 1, '2026-11-22 10:30+00', 0,
		NULL, 908),
	(-4, 0, 'pond', 9000001, 'glaccount', 'glaccount', 1, 5000, '2026-11-22 09:00+00', 100, NULL,
		5900);
INSERT INTO exact.target_state (workspace, entity, paused_since, reason, delivered_at)
VALUES ('pond', 'purchaseentrylines', now(), 'permission denied', NULL),
	('pond', 'glaccount', NULL, NULL, '2020-11-22 11:30+00');
SELECT division, entity, key, state, reason, year, period, amount, records,
	to_char(since AT TIME ZONE 'UTC', 'HH24:MI') AS since, seq
FROM exact._open_rows('pond');
INSERT INTO exact.held_delete (id, division, entity, records, alive, reason)
VALUES (-1, 9000002, 'items', 2, 30, '2 of 30 are absent'),
	(-2, 9000001, 'items', 1, 1, 'an empty answer');
INSERT INTO exact.record (division, entity, key, hash, seq, slot, batch, ord)
VALUES (9000001, 'items', 'z', '\x00', 1, 0, -99, 0);
INSERT INTO exact.held_key (division, entity, key, held, doubted)
VALUES (9000001, 'items', 'z', -2, false);
SELECT entity, key, state, reason, records, seq FROM exact._open_rows('sea');
DELETE FROM exact.held_delete;
DELETE FROM exact.record WHERE key = 'z';

-- complete up to: the run's start, or what is known and not there
UPDATE exact.feed_state
SET first_complete_at = '2026-11-22 12:00+00', complete_at = '2026-11-22 12:00+00',
	run_started_at = '2026-11-22 11:55+00'
WHERE division = 9000001 AND feed <> 'items';
INSERT INTO exact.feed_state (division, feed, run_started_at, run_state)
VALUES (9000001, 'deleted', '2026-11-22 11:30+00', 'idle');
UPDATE exact.feed_state
SET run_state = 'paging'
WHERE division = 9000001 AND feed = 'purchaseorders';
SELECT division, entity, state, reason,
	to_char(complete_until AT TIME ZONE 'UTC', 'HH24:MI') AS complete_until, open_records
FROM exact._state_rows('pond')
ORDER BY 1, 2;
UPDATE exact.batch
SET delivered_rows = rows, delivered_at = '2026-11-22 12:00+00'
WHERE division = 9000001;
INSERT INTO exact.dirty_key (division, entity, key, since)
VALUES (9000001, 'glaccount', 'x', '2026-11-22 11:40+00');
INSERT INTO exact.inbox (id, at, app, secret, division, topic, action, key, digest, content)
VALUES (-1, '2026-11-22 11:45+00', 'shop', 'current', 9000001, 'BankEntries', 'Update', 'x', '\x',
	'\x');
INSERT INTO exact.inbox_work (id, division, topic) VALUES (-1, 9000001, 'BankEntries');
INSERT INTO exact.division_state (division, state, since, reason)
VALUES (9000001, 'paused', '2026-11-22 12:00+00', 'paused by dba');
SELECT division, entity, state, left(reason, 30) AS reason,
	to_char(complete_until AT TIME ZONE 'UTC', 'HH24:MI') AS complete_until, open_records
FROM exact._state_rows('pond')
ORDER BY 1, 2;
SELECT count(*) FROM exact._open_rows('pond');
-- a key of a document is one of its lines too, from its first notification on; how old lines are
-- that did not come with it is not known
INSERT INTO exact.dirty_key (division, entity, key, since, first_at, reason)
VALUES (9000001, 'purchaseorders', 'd', '2026-11-22 11:50+00', '2026-11-22 11:20+00', 'notified');
UPDATE exact.feed_state SET run_state = 'idle' WHERE division = 9000001 AND feed = 'purchaseorders';
SELECT entity, to_char(complete_until AT TIME ZONE 'UTC', 'HH24:MI') AS complete_until
FROM exact._state_rows('pond')
WHERE entity ~ 'purchaseorder'
ORDER BY 1;
INSERT INTO exact.dirty_key (division, entity, key, since, reason)
VALUES (9000001, 'purchaseorderlines', 'd', '2026-11-22 11:56+00',
	'its lines did not come with it');
SELECT entity, complete_until IS NULL AS as_before
FROM exact._state_rows('pond')
WHERE entity ~ 'purchaseorder'
ORDER BY 1;
DELETE FROM exact.dirty_key WHERE key = 'd';
UPDATE exact.feed_state
SET run_state = 'paging'
WHERE division = 9000001 AND feed = 'purchaseorders';

-- as it is sent; what moves with the time alone leaves the digest as it is
SELECT open_rows, opens, states, json_array_length(state_rows::json), divisions,
	delivered_at AT TIME ZONE 'UTC' AS delivered_at
FROM exact._open_json('pond');
SELECT digest AS before FROM exact._open_json('pond') \gset
UPDATE exact.feed_state SET run_started_at = now(), complete_at = now() WHERE division = 9000001;
SELECT digest = :'before' AS same FROM exact._open_json('pond');
UPDATE exact.batch SET delivered_rows = rows - 1, delivered_at = NULL WHERE id = -9;
SELECT digest = :'before' AS same, open_rows::json->0->>'amount' AS amount,
	open_rows::json->0->>'since' AS since, open_rows::json->3->>'period' AS odd
FROM exact._open_json('pond');
-- a sign that no text can hold hides no other field
SELECT exact._number_in(E'{"a":"\\u0000","b":1.50}', '{b}') AS zero,
	exact._number_in(E'{"a":"\\uD800","b":2}', '{b}') AS half,
	exact._number_in(E'{"a":"\\u0000","b":"x"}', '{b}') AS none,
	exact._text_in(E'{"a":"\\u0000","b":"c\\\\u0000"}', '{b}') AS written;
-- of what is held or was put aside 2,500 are named, the others counted; an older version is not
SAVEPOINT many;
DELETE FROM exact.batch;
INSERT INTO exact.stage (slot, batch, ord, seq, division, entity, key, op, payload)
SELECT 0, -3, n, 10000 + n, 9000001, CASE WHEN n % 2 = 0 THEN 'purchaseentries' ELSE 'items' END,
	'm' || n, 'I', '{"AmountDC":1}'
FROM generate_series(1, 2500) AS n;
INSERT INTO exact.record (division, entity, key, seq, slot, batch, ord)
SELECT s.division, s.entity, s.key, s.seq, s.slot, s.batch, s.ord
FROM exact.stage AS s
WHERE s.slot = 0 AND s.batch = -3;
INSERT INTO exact.batch (id, slot, workspace, division, entity, feed, epoch, rows, delivered_rows,
	delivered_at, seq_max)
VALUES (-3, 0, 'pond', 9000001, 'items', 'items', 1, 2503, 2503, now(), 12503);
INSERT INTO exact.verdict (batch, ord, slot, workspace, division, entity, key, seq, held, again)
SELECT s.batch, s.ord, s.slot, 'pond', s.division, s.entity, s.key, s.seq, 'held', false
FROM exact.stage AS s
WHERE s.slot = 0 AND s.batch = -3;
SELECT entity, count(key) AS named, count(*) - count(key) AS others, sum(records) AS records
FROM exact._open_rows('pond')
WHERE state = 'quarantine'
GROUP BY entity
ORDER BY entity;
INSERT INTO exact.stage (slot, batch, ord, seq, division, entity, key, op, payload)
VALUES (0, -3, 2501, 12501, 9000001, 'items', 'n1', 'I', '{}'),
	(0, -3, 2502, 12502, 9000001, 'purchaseentries', 'n2', 'I', '{}'),
	(0, -3, 2503, 12503, 9000001, 'items', 'm1', 'U', '{}');
INSERT INTO exact.record (division, entity, key, seq, slot, batch, ord)
VALUES (9000001, 'items', 'n1', 12501, 0, -3, 2501),
	(9000001, 'purchaseentries', 'n2', 12502, 0, -3, 2502);
UPDATE exact.record SET seq = 12503, ord = 2503 WHERE entity = 'items' AND key = 'm1';
INSERT INTO exact.verdict (batch, ord, slot, workspace, division, entity, key, seq, held, again)
SELECT s.batch, s.ord, s.slot, 'pond', s.division, s.entity, s.key, s.seq, 'held', false
FROM exact.stage AS s
WHERE s.slot = 0 AND s.batch = -3 AND s.ord > 2500;
SELECT entity, count(key) AS named, count(*) - count(key) AS others, sum(records) AS records
FROM exact._open_rows('pond')
WHERE state = 'quarantine'
GROUP BY entity
ORDER BY entity;
DELETE FROM exact.verdict;
INSERT INTO exact.dead_letter (side, division, entity, key, workspace, reason, slot, batch, ord)
SELECT 'delivery', s.division, s.entity, s.key, 'pond', 'too wide', s.slot, s.batch, s.ord
FROM exact.stage AS s
WHERE s.slot = 0 AND s.batch = -3 AND s.ord <= 2499;
INSERT INTO exact.dead_letter (side, division, entity, key, reason, digest)
VALUES ('reading', 9000001, 'items', 'd1', 'no key', '\x01');
SELECT count(key) AS named, count(*) - count(key) AS others, sum(records) AS records
FROM exact._open_rows('pond')
WHERE state = 'dead';
INSERT INTO exact.dead_letter (side, division, entity, key, reason, digest)
VALUES ('reading', 9000001, 'items', 'd2', 'no key', '\x02'),
	('reading', 9000002, 'items', 'd3', 'no key', '\x03');
SELECT count(key) AS named, count(*) - count(key) AS others, sum(records) AS records
FROM exact._open_rows('pond')
WHERE state = 'dead';
ROLLBACK TO many;
SET LOCAL ROLE exact_worker;
SELECT opens, states
FROM exact._open_json('pond');
SET LOCAL ROLE exact_reader;
SELECT exact._open_json('pond');
ROLLBACK;
