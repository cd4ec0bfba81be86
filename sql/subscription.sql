-- Topics that are wanted, and what the views say of each state. No worker is asked; everything is
-- rolled back.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
RESET client_min_messages;
\set SHOW_CONTEXT never
\set ON_ERROR_ROLLBACK on

BEGIN;
SELECT exact.subscribe();
SELECT exact.subscribe(9100001);
INSERT INTO exact.app (name, client_id) VALUES ('shop', 'x');
INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema)
VALUES ('pond', 'https://adb-1.2.azuredatabricks.net', 'w1', 'main', 'exact');
INSERT INTO exact.division
VALUES (9100001, 'shop', 'pond', 'Noord B.V.', true), (9100002, 'shop', 'pond', 'Zuid B.V.', false);
SELECT exact.enable_entities(9100001, 'glaccount', 'costcenter', 'purchaseorders',
	'purchaseorderlines');
SELECT exact.enable_entities(9100002, 'items');

-- one topic may serve several entities; none for entities without one or divisions that are off
SELECT * FROM exact._wanted_topics() WHERE division BETWEEN 9100001 AND 9100002 ORDER BY 1, 2;
SELECT exact.subscribe(9100002);
SELECT exact.subscribe(9100001) AS id \gset
SELECT exact.subscribe(9100001) = :id AS same_request, exact.subscribe() <> :id AS other_request;
SELECT kind, division, entity, state FROM exact.request WHERE id = :id;
SELECT exact.cancel(:id);
SELECT exact.subscribe(9100001) <> :id AS new_request;

-- the ledger has five topics; the sixth only where one of them is refused as unknown
SELECT exact.enable_entities(9100001, 'transactionlines');
SELECT topic FROM exact._wanted_topics() WHERE division = 9100001 ORDER BY topic COLLATE "C";
INSERT INTO exact.subscription (division, topic, state, cause)
VALUES (9100001, 'CashEntries', 'refused', 'scope');
SELECT count(*)
FROM exact._wanted_topics()
WHERE division = 9100001 AND topic = 'FinancialTransactions';
UPDATE exact.subscription SET cause = 'topic' WHERE division = 9100001;
SELECT count(*)
FROM exact._wanted_topics()
WHERE division = 9100001 AND topic = 'FinancialTransactions';
SELECT exact.disable_entities(9100001, 'transactionlines');
SELECT topic FROM exact._wanted_topics() WHERE division = 9100001 ORDER BY topic COLLATE "C";
DELETE FROM exact.subscription WHERE division = 9100001;

-- each state as it is shown
INSERT INTO exact.subscription (division, topic, id, callback_url, state, since, cause, reason,
	next_step, last_at, gaps, silent_since, checked_at)
VALUES
	(9100001, 'GLAccounts', 'a', 'https://hub.example.com/exact/hook', 'present',
		'2026-11-01 00:00+00', NULL, NULL, NULL, '2026-11-22 08:00+00', '{60,60,300,120}', NULL,
		'2026-11-22 09:00+00'),
	(9100001, 'PurchaseOrders', NULL, NULL, 'wanted', '2026-11-01 00:00+00', NULL, NULL, NULL, NULL,
		'{}', NULL, NULL);
SET LOCAL timezone = 'UTC';
SELECT topic, state, callback_url, what, next_step, last_notification, usual_gap, silent_since
FROM exact.subscriptions
WHERE division = 9100001;
UPDATE exact.subscription
SET silent_since = '2026-11-22 08:00+00'
WHERE topic = 'GLAccounts' AND division = 9100001;
SELECT topic, state, what, silent_since
FROM exact.subscriptions
WHERE division = 9100001 AND topic = 'GLAccounts';

-- what check() says of them
CREATE FUNCTION pg_temp.line() RETURNS TABLE (light text, what text, next_step text) LANGUAGE sql AS
	$$
	SELECT result, finding, fix
	FROM exact.check()
	WHERE rule IN ('subscriptions', 'subscriptions of division 9100001') $$;
SELECT * FROM pg_temp.line();
UPDATE exact.subscription
SET silent_since = NULL, state = 'present', callback_url = 'https://hub.example.com/exact/hook'
WHERE division = 9100001;
SELECT * FROM pg_temp.line();
UPDATE exact.subscription
SET state = 'refused', cause = 'scope', reason = 'the app lacks a scope', next_step = 'add it'
WHERE topic = 'PurchaseOrders' AND division = 9100001;
SELECT * FROM pg_temp.line();
UPDATE exact.subscription
SET state = 'wanted', cause = 'address', reason = 'no address is set', next_step = 'set one'
WHERE division = 9100001;
SELECT * FROM pg_temp.line();

-- the callback as it was tried
UPDATE exact.app SET callback_url = 'https://hub.example.com/exact/hook' WHERE name = 'shop';
SELECT result, finding, fix FROM exact.check() WHERE rule = 'callback reachable';
INSERT INTO exact.callback (url, state, finding, next_step)
VALUES ('https://hub.example.com/exact/hook', 'broken', 'answers HTTP 404', 'correct the proxy');
SELECT result, regexp_replace(finding, '\(.*\)', '(TIME)') AS finding, fix
FROM exact.check()
WHERE rule = 'callback reachable';
ROLLBACK;
