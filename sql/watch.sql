-- What the hub sees minute by minute, the time line made of it, and what became of notifications.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
RESET client_min_messages;
SET timezone = 'UTC';
BEGIN;
INSERT INTO exact.app (name, client_id) VALUES ('shop', 'x');
INSERT INTO exact.app_state (app, state, since) VALUES ('shop', 'authorized', now());
INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema)
	VALUES ('pond', 'https://adb-1.2.azuredatabricks.net', 'w1', 'main', 'exact');
INSERT INTO exact.division (division, app, workspace, description, enabled)
SELECT 9100000 + n, 'shop', 'pond', 'Division ' || n, n < 3 FROM generate_series(1, 3) AS n;
SET client_min_messages = warning;
SELECT count(*)
FROM exact.division AS d, exact.enable_entities(d.division, 'items')
WHERE d.division > 9100000;
RESET client_min_messages;
UPDATE exact.feed_state SET run_state = 'idle', first_complete_at = now() - interval '1 day',
	complete_at = now() - (division - 9100000) * interval '100 s'
WHERE division > 9100000;
INSERT INTO exact.target_state (workspace, entity, table_name)
	VALUES ('pond', 'items', 'main.exact.items');
CREATE FUNCTION pg_temp.slots(later int) RETURNS void LANGUAGE sql AS $$
	UPDATE exact.watched SET slot = slot - $1 WHERE division > 9100000
$$;
CREATE VIEW pg_temp.seen AS
	SELECT l.side, l.name, l.light, l.state, l.what FROM exact.light_log AS l ORDER BY l.id;

-- what is seen first and is well is no news
SELECT exact._watch();
SELECT * FROM pg_temp.seen;
SELECT side, name, light, state, lags FROM exact.watched
WHERE division IS NULL OR division > 9100000
ORDER BY side, name;
SELECT exact._watch();

-- ten minutes later, and a gap of two
SELECT pg_temp.slots(1);
SELECT exact._watch();
SELECT pg_temp.slots(3);
SELECT exact._watch();
SELECT name, lags FROM exact.watched WHERE division = 9100001;
-- a day at most
SELECT pg_temp.slots(142);
SELECT exact._watch();
SELECT name, cardinality(lags), lags[1], lags[144] FROM exact.watched WHERE division = 9100001;
SELECT pg_temp.slots(144);
SELECT exact._watch();
SELECT name, lags FROM exact.watched WHERE division = 9100001;
-- a clock that was set back
SELECT pg_temp.slots(-3);
SELECT exact._watch();
SELECT name, lags FROM exact.watched WHERE division = 9100001;

-- a service that is away, an app, a table: one event each, whatever the number of divisions
INSERT INTO exact.service_state (side, name, asked_at, failing_since, kind, cause)
	VALUES ('databricks', 'pond', now(), now() - interval '31 s', 'silent', 'no connection');
UPDATE exact.target_state SET paused_since = now(), reason = 'permission denied on items';
UPDATE exact.app_state SET state = 'reauthorize', reason = 'refused';
SELECT exact._watch();
SELECT side, name, light, state, regexp_replace(what, '\d\d:\d\d', 'HH:MI') AS what
FROM pg_temp.seen;
-- the same is no news, worse is
SELECT exact._watch();
UPDATE exact.service_state SET failing_since = now() - interval '600 s';
SELECT exact._watch();
-- what recovered
UPDATE exact.service_state SET failing_since = NULL, answered_at = now();
UPDATE exact.target_state SET paused_since = NULL, reason = NULL;
UPDATE exact.app_state SET state = 'authorized', reason = NULL;
SELECT exact._watch();
SELECT side, name, light, state, what FROM pg_temp.seen WHERE light = 'ok';
-- what is gone is forgotten
DELETE FROM exact.target_state;
SELECT exact._watch();
SELECT count(*) FROM exact.watched WHERE side = 'table';

-- the newest 10,000 stay, of those the ones of 30 days
INSERT INTO exact.light_log (id, at, side, name, light, state)
SELECT 20000 + n, now() - interval '31 days' * (n < 3)::int, 'division', '9100001', 'warn', 'late'
FROM generate_series(1, 10010) AS n;
UPDATE exact.service_state SET failing_since = now() - interval '31 s';
SELECT setval('exact.light_log_id_seq', 30010);
SELECT exact._watch();
SELECT count(*), min(id), max(id) FROM exact.light_log;
TRUNCATE exact.light_log;
INSERT INTO exact.light_log (at, side, name, light, state)
SELECT now() - n * interval '10 days', 'division', '9100001', 'warn', 'late'
FROM generate_series(5, 1, -1) AS n;
UPDATE exact.service_state SET failing_since = NULL;
SELECT exact._watch();
SELECT count(*), max(now() - at) FROM exact.light_log;
TRUNCATE exact.light_log;

-- what became of notifications
INSERT INTO exact.api_call (id, at, app, division, feed, method, path, status, outcome)
SELECT n, now(), 'shop', 9100001, 'items', 'GET',
	'x', 200, 'ok'
FROM generate_series(910001, 910003) AS n;
UPDATE exact.api_call SET at = now() - interval '1 hour' + (id - 910000) * interval '1 minute'
	WHERE id > 910000;
INSERT INTO exact.batch (id, slot, workspace, division, entity, feed, epoch, rows, call, staged_at,
	delivered_at)
SELECT n, 0, 'pond', 9100001, 'items', 'items', 1, 1, n, c.at + interval '1 s',
	CASE WHEN n < 910003 THEN c.at + interval '5 s' END
FROM generate_series(910001, 910003) AS n JOIN exact.api_call AS c ON c.id = n;
INSERT INTO exact.stage (slot, batch, ord, seq, division, entity, key, op, prev_slot, prev_batch,
	prev_ord, payload) VALUES
	(0, 910001, 0, 910001, 9100001, 'items', 'a', 'I', NULL, NULL, NULL, '{}'),
	(0, 910002, 0, 910002, 9100001, 'items', 'a', 'U', 0, 910001, 0, '{}'),
	(0, 910003, 0, 910003, 9100001, 'items', 'b', 'I', NULL, NULL, NULL, '{}');
INSERT INTO exact.record (division, entity, key, seq, slot, batch, ord) VALUES
	(9100001, 'items', 'a', 910002, 0, 910002, 0), (9100001, 'items', 'b', 910003, 0, 910003, 0);
CREATE FUNCTION pg_temp.became(key text, minutes double precision, division int = 9100001,
	topic text = 'Items', taken boolean = true, reason text = NULL) RETURNS text LANGUAGE sql
BEGIN ATOMIC
	SELECT exact._became(division, topic, key, t.at, CASE WHEN taken THEN t.at END, reason)
	FROM (SELECT now() - interval '1 hour' + minutes * interval '1 minute') AS t (at);
END;
SELECT pg_temp.became('a', 0.9, taken => false) AS waits,
	pg_temp.became('a', 0.9, reason => 'its topic is not wanted') AS ignored;
-- the version that came first after it, not the newest
SELECT pg_temp.became('a', 0.9) AS first, pg_temp.became('a', 1.9) AS second,
	pg_temp.became('b', 2.9) AS on_the_way;
UPDATE exact.feed_state SET complete_at = now() WHERE division > 9100000;
SELECT pg_temp.became('a', 2.1) AS nothing_changed, pg_temp.became('none', 2.1) AS unknown_record;
UPDATE exact.feed_state SET complete_at = now() - interval '2 hours' WHERE division = 9100001;
SELECT pg_temp.became('a', 2.1) AS not_read;
UPDATE exact.feed_state SET complete_at = now(), notified_first = now() WHERE division = 9100001;
SELECT pg_temp.became('a', 2.1) AS notified;
UPDATE exact.feed_state SET errors = 2 WHERE division = 9100001;
SELECT pg_temp.became('a', 2.1) AS failing;
UPDATE exact.feed_state SET errors = 0, notified_first = NULL WHERE division = 9100001;
INSERT INTO exact.dirty_key (division, entity, key) VALUES (9100001, 'items', 'a');
SELECT pg_temp.became('a', 2.1) AS asked_for;
INSERT INTO exact.division_state (division, state, since) VALUES (9100001, 'paused', now())
ON CONFLICT (division) DO UPDATE SET state = 'paused';
SELECT pg_temp.became('a', 2.1) AS paused, pg_temp.became('a', 2.1, division => 9100003) AS off,
	pg_temp.became('a', 2.1, topic => 'Accounts') AS no_entity;

-- the view and what the page sees of it
INSERT INTO exact.inbox (id, at, app, secret, division, topic, action, key, digest, content)
SELECT 910000 + n, now() - interval '59 minutes 6 s', 'shop', 'current', 9100001, 'Items', 'Update',
	'a', sha256(n::text::bytea), 'personal'
FROM generate_series(1, 3) AS n;
INSERT INTO exact.inbox_work (id, division, topic, taken_at, reason) VALUES
	(910001, 9100001, 'Items', now() - interval '59 minutes 4 s', NULL),
	(910002, 9100001, 'Items', now(), 'it is not wanted'), (910003, 9100001, 'Items', NULL, NULL);
SELECT number, topic, outcome, became FROM exact.webhook_log WHERE number > 910000 ORDER BY 1;
SELECT number, topic, action, key, became FROM exact._deliveries(2);
SELECT count(*) FROM exact._deliveries(1000000), pg_temp.slots(0);
ROLLBACK;

-- what people did: in exact.events, without the noise of feeds; cleaned up at the end
INSERT INTO exact.app (name, client_id) VALUES ('watched', 'x');
UPDATE exact.app SET client_id = 'y', region = 'be' WHERE name = 'watched';
DELETE FROM exact.app WHERE name = 'watched';
SELECT kind, light, who = session_user AS me, what FROM exact.events
WHERE what LIKE '%watched%' ORDER BY at;
SELECT k.kind, exact._event_words(k.kind, k.what::jsonb)
FROM (VALUES
	('request', '{"table": "request", "row": {"kind": "pause", "result": "paused"}}'),
	('request', '{"table": "request", "row": {"kind": "reconcile", "cancel_wanted": true}}'),
	('installation', '{"table": "request", "row": {"kind": "adopt", "result": "adopted"}}'),
	('installation', '{"event": "a dump was loaded"}'),
	('installation', '{"overtaken_by": 3, "epoch": 2}'),
	('installation', '{"epoch": 2, "reason": "adopted", "feeds_from_start": 7}'),
	('installation', '{"versions_of_other_copies": 3, "table": "main.exact.items"}'),
	('secret', '{"table": "credential", "op": "UPDATE", "row": {"kind": "app", "name": "erp", '
		'"field": "client_secret"}}'),
	('configuration', '{"table": "division", "op": "UPDATE", "row": {"division": 7}, '
		'"before": {"enabled": false, "workspace": "a"}}'),
	('configuration', '{"table": "division", "op": "FOUND", "row": {"division": 7}}'),
	('division', '{"state": "frozen", "reason": "another division answered"}'),
	('division', '{"read_again": "the fields changed"}'),
	('statement', '{"workspace": "lake", "changed": "somebody deleted rows"}'),
	('token', '{"event": "refused", "app": "erp", "error": "invalid_grant"}'),
	('token', '{"event": "consent", "app": "erp"}'),
	('subscription', '{"topic": "Items", "what": "refused", "reason": "no right"}'),
	('notification', '{"silent": "Items", "seconds": 7300}'),
	('month-end', '{"year": 2026, "period": 10}'),
	('something', '{}'),
	-- whatever stands in the log, the view has a line for it
	('notification', '{"silent": "Items", "seconds": "x"}'),
	('configuration', '{"table": "app", "op": "UPDATE", "row": 7, "before": [1]}'),
	('request', '{"table": "request", "row": {"kind": "sync", "cancel_wanted": "perhaps"}}'),
	('request', '{}'), ('secret', '[]'), ('statement', 'null'), ('token', '7')
) AS k (kind, what);
