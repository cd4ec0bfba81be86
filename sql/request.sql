-- Verbs of an operator. What a worker would take up is rolled back.
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
SELECT exact.enable_entities(9000001, 'items', 'glaccount', 'purchaseorders', 'purchaseorderlines');

SELECT exact.sync_now(9000002);
SELECT exact.sync_now(9000001, 'accounts');
SELECT exact.sync_now(9000001, 'nothing');
SELECT exact.sync_now(9000001, 'sync/PurchaseOrder/PurchaseOrders');
SELECT exact.sync_now(9000001, 'logistics/Items') AS id \gset
SELECT exact.sync_now(9000001, 'items') = :id AS same_request,
	exact.sync_now(9000001) <> :id AS other_request;
SELECT kind, division, entity, state, made_by = session_user AS mine
FROM exact.request
WHERE id = :id;
-- a worker cannot see it yet
DO $$ BEGIN PERFORM exact.wait((SELECT max(id) FROM exact.request)); EXCEPTION WHEN sqlstate 'EX018'
	THEN RAISE NOTICE '% %',
	sqlstate, regexp_replace(sqlerrm, '\d+', 'N'); END $$;
SELECT exact.cancel(:id);
SELECT state, cancel_wanted, result FROM exact.request WHERE id = :id;
SELECT exact.sync_now(9000001, 'items') <> :id AS new_request;
UPDATE exact.request
SET state = 'running'
WHERE division = 9000001 AND state = 'queued' AND entity = 'items'
RETURNING id \gset
SELECT exact.cancel(:id);
SELECT state, cancel_wanted FROM exact.request WHERE id = :id;
SELECT exact.cancel(-1);

-- pause and resume
SELECT exact.pause(9000002);
SELECT exact.pause(9000001, 'items');
SELECT exact.pause(9000001, 'logistics/Items');
SELECT exact.pause(9000001, 'glaccount');
SELECT state, paused_entities FROM exact.division_state WHERE division = 9000001;
SELECT entity, state FROM exact.feeds WHERE division = 9000001 ORDER BY entity;
SELECT exact.resume(9000001, 'items');
SELECT state, paused_entities FROM exact.division_state WHERE division = 9000001;
SELECT exact.pause(9000001);
SELECT state, replace(reason, session_user, 'USER') AS reason, next_step
FROM exact.division_state
WHERE division = 9000001;
SELECT exact.resume(9000001);
SELECT state, reason, next_step, paused_entities FROM exact.division_state WHERE division = 9000001;

-- a frozen division stays frozen when it is paused; resume ends it, and what failed is tried at
-- once
UPDATE exact.division_state
SET state = 'frozen', reason = 'a record of division 404004', next_step = 'check'
WHERE division = 9000001;
SELECT exact.pause(9000001);
SELECT state, reason FROM exact.division_state WHERE division = 9000001;
INSERT INTO exact.feed_state (division, feed, errors, last_error, next_run_at)
VALUES (9000001, 'items', 4, 'HTTP 500', now() + interval '1 hour')
ON CONFLICT (division, feed)
DO UPDATE SET errors = 4, last_error = 'HTTP 500', next_run_at = excluded.next_run_at;
INSERT INTO exact.target_state (workspace, entity, paused_since, sqlstate, reason, attempts,
	next_attempt_at)
VALUES ('pond', 'items', now(), 'EX012', 'permission denied', 3, now() + interval '1 hour'),
	('other', 'items', now(), 'EX012', 'permission denied', 3, now() + interval '1 hour');
SELECT exact.resume(9000001);
SELECT state, reason FROM exact.division_state WHERE division = 9000001;
SELECT errors, last_error, next_run_at <= now() AS now
FROM exact.feed_state
WHERE division = 9000001 AND feed = 'items';
SELECT workspace, paused_since IS NOT NULL AS paused, reason, attempts
FROM exact.target_state
WHERE entity = 'items'
ORDER BY workspace;

-- each verb is an event
SET CONSTRAINTS ALL IMMEDIATE;
SELECT what -> 'row' ->> 'kind' AS kind, entity, count(*)
FROM exact.audit_log
WHERE kind = 'request' AND division = 9000001
GROUP BY 1, 2
ORDER BY 1, 2;
ROLLBACK;

-- waiting: for requests of other transactions, to their end or the timeout
INSERT INTO exact.request (id, kind, state, result)
VALUES (-1, 'test', 'done', 'read'), (-2, 'test', 'failed', 'refused'),
	(-3, 'test', 'queued', NULL);
SELECT exact.wait(-1), exact.wait(-2);
SELECT exact.wait(-3, '50 ms');
SELECT exact.wait(-4);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT exact.wait(-1);
ROLLBACK;
DELETE FROM exact.request WHERE id < 0;
SELECT * FROM exact.install_schedule();
