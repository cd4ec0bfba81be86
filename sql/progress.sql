-- What is under way and how long changes take, from prepared rows. Rolled back: no worker sees
-- them.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
RESET client_min_messages;

BEGIN;
SELECT count(*) FROM exact.progress WHERE division >= 9000001 OR workspace = 'pond';
INSERT INTO exact.app (name, client_id) VALUES ('shop', 'x');
INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema)
VALUES ('pond', 'https://adb-1.2.azuredatabricks.net', 'w1', 'main', 'exact');
INSERT INTO exact.division
VALUES (9000001, 'shop', 'pond', 'Noord B.V.', true), (9000002, 'shop', NULL, 'Zuid', true);
SELECT count(*)
FROM exact.enable_entities(9000001, 'items', 'glaccount', 'purchaseorders', 'purchaseorderlines');
UPDATE exact.feed_state
SET run_state = 'paging', run_started_at = now() - interval '100 s', run_rows = 3200
WHERE division = 9000001 AND feed = 'items';
UPDATE exact.feed_state
SET run_state = 'closing', run_started_at = now() - interval '50 s', run_rows = 10,
	first_complete_at = now() - interval '1 day'
WHERE division = 9000001 AND feed = 'purchaseorders';
UPDATE exact.feed_state
SET run_state = 'idle', run_started_at = now() + interval '1 s'
WHERE division = 9000001 AND feed = 'glaccount';
INSERT INTO exact.api_call (id, at, took_ms, division, feed, method, path, status)
SELECT -n, now() - n * interval '20 s', 100 + n, 9000001, 'items', 'GET', 'sync/Logistics/Items',
	200
FROM generate_series(1, 9) AS n;
INSERT INTO exact.request (id, kind, division, state, started_at, made_at)
VALUES (-1, 'sync', 9000001, 'running', now(), now()), (-2, 'sync', 9000001, 'done', now(), now());
INSERT INTO exact.request (id, kind, workspace, state, made_at)
VALUES (-3, 'views', 'pond', 'queued', now());
-- delivered within five minutes, an hour, a day, before that; and what waits
INSERT INTO exact.batch (id, slot, workspace, division, entity, feed, call, epoch, rows, staged_at,
	delivered_rows, delivered_at)
VALUES
	(-9, 0, 'pond', 9000001, 'items', 'items', NULL, 1, 100, now() - interval '2 days', 100,
		now() - interval '2 days'),
	(-8, 0, 'pond', 9000001, 'items', 'items', NULL, 1, 100, now() - interval '3 h', 100,
		now() - interval '2 h'),
	(-7, 0, 'pond', 9000001, 'items', 'items', NULL, 1, 100, now() - interval '20 min', 100,
		now() - interval '10 min'),
	(-6, 0, 'pond', 9000001, 'items', 'items', -6, 1, 600, now() - interval '119.5 s', 600,
		now() - interval '110 s'),
	(-5, 0, 'pond', 9000001, 'items', 'items', -5, 1, 600, now() - interval '99.5 s', 600,
		now() - interval '95 s'),
	(-4, 0, 'pond', 9000001, 'items', 'items', -4, 1, 300, now() - interval '70 s', 100, NULL),
	(-3, 0, 'pond', 9000001, 'purchaseorders', 'purchaseorders', NULL, 1, 7,
		now() - interval '60 s', 0, NULL),
	(-2, 0, 'pond', 9000001, 'purchaseorderlines', 'purchaseorders', NULL, 1, 9,
		now() - interval '60 s', 0, NULL),
	(-1, 0, NULL, 9000002, 'items', 'items', NULL, 1, 4, now() - interval '60 s', 0, NULL);
INSERT INTO exact.statement_log (id, workspace, entity, table_name, kind, first_batch, first_ord,
	last_batch, last_ord, rows, state)
VALUES
	(-2, 'pond', 'items', 'main.exact.items_history', 'history', -4, 0, -4, 99, 100, 'succeeded'),
	(-1, 'pond', 'items', 'main.exact.items', 'current', -4, 100, -4, 299, 200, 'running');
INSERT INTO exact.target_state (workspace, entity, paused_since)
VALUES ('pond', 'purchaseorders', now());
SELECT kind, division, workspace, entity, phase, done, total, rate, eta, calls
FROM exact.progress
WHERE division >= 9000001 OR workspace = 'pond' OR phase = 'no workspace'
ORDER BY kind, entity;

-- lag: the batches -5 and -6 were notified; a notification before the version before, one of
-- another topic and one after the call are not theirs
INSERT INTO exact.stage (slot, batch, ord, seq, division, entity, key, op, prev_slot, prev_batch,
	prev_ord, payload)
VALUES
	(0, -7, 0, 901, 9000001, 'items', 'k1', 'I', NULL, NULL, NULL, '{}'),
	(0, -6, 0, 902, 9000001, 'items', 'k1', 'U', 0, -7, 0, '{}'),
	(0, -5, 0, 903, 9000001, 'items', 'k2', 'I', NULL, NULL, NULL, '{}');
INSERT INTO exact.record (division, entity, key, seq, slot, batch, ord)
VALUES (9000001, 'items', 'k1', 902, 0, -6, 0), (9000001, 'items', 'k2', 903, 0, -5, 0);
WITH note AS (SELECT * FROM (VALUES
	(1, 1300, 'Items', 'k1', NULL), (2, 125, 'Items', 'k1', NULL), (3, 122, 'Items', 'k1', NULL),
	(4, 60, 'Items', 'k1', NULL), (5, 130, 'Accounts', 'k1', NULL),
	(6, 101, 'Items', 'k2', NULL), (7, 110, 'Items', 'k2', 'repeated'),
	(8, 102, 'Items', 'unknown', NULL)) AS v (n, age, topic, key, reason)),
	came AS (
		INSERT INTO exact.inbox (id, at, app, secret, division, topic, action, key, digest, content)
		SELECT -n, now() - age * interval '1 s', 'shop', 'current', 9000001, topic, 'Update', key,
			'\x00', '\x'
		FROM note)
INSERT INTO exact.inbox_work (id, division, topic, taken_at, reason)
SELECT -n, 9000001, topic, now(), reason
FROM note;
SELECT entity, span, stage, n, p50, p95, p99, max
FROM exact.lag
WHERE entity = 'items'
ORDER BY span, stage COLLATE "C";

-- the same, added up for Prometheus: each version once; a first load is no change
SELECT exact._count_delivered('{-8,-7,-6,-5}');
SELECT kind, n, round(seconds) AS seconds, buckets FROM exact.counter WHERE name = 'took';
UPDATE exact.feed_state SET first_complete_at = now() - interval '1 h'
WHERE division = 9000001 AND feed = 'items';
SELECT exact._count_delivered('{-8,-7,-6}');
SELECT kind, n, round(seconds) AS seconds, buckets FROM exact.counter WHERE name = 'took'
ORDER BY kind;
SELECT exact._count_seconds('took', 'call', '{0.25,0.251,3600,3600.001,-1,NULL}', '{1,1,1,1,1,7}');
SELECT n, buckets FROM exact.counter WHERE name = 'took' AND kind = 'call';

-- and of now: what is known and not in Delta, and the last full look
SELECT entity, stage, n, date_trunc('minute', max) AS max
FROM exact.lag
WHERE span = '0' AND entity IN ('items', 'purchaseorders') AND max < '1 day'
ORDER BY entity, stage COLLATE "C";
SET LOCAL ROLE exact_reader;
SELECT count(*) > 0 AS reader_may FROM exact.lag WHERE span = '1 hour';
SELECT count(*) > 0 AS reader_may FROM exact.progress;
ROLLBACK;
