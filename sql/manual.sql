-- exact.help(), and the examples of the manual: each is run, or parsed where it asks a service.
-- docs/functions.md and docs/views.md are made of this output by scripts/manual. The workers of the
-- database run or not: two expected files, and the manual is made of the second.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
DO $$
BEGIN
	FOR i IN 1 .. 300 LOOP
		EXIT WHEN NOT EXISTS (SELECT FROM exact._workers())
			OR (SELECT count(*)
				FROM exact._workers()
				WHERE role IN ('fetcher', 'loader') AND state = 'running') = 2;
		PERFORM pg_sleep(0.1);
	END LOOP;
END $$;
RESET client_min_messages;
SET TimeZone = 'UTC';
SET IntervalStyle = postgres;

-- ---- every public function and view has an example, and no example is of something else ----
SELECT m.kind, m.name
FROM exact._manual AS m
WHERE m.kind <> 'table' AND m.example IS NULL;
SELECT e.name
FROM exact._examples() AS e
WHERE NOT EXISTS (SELECT FROM exact._manual AS m WHERE m.kind <> 'table' AND m.name = e.name);
SELECT e.name, count(*) FROM exact._examples() AS e GROUP BY e.name HAVING count(*) > 1;
SELECT e.name FROM exact._examples() AS e WHERE e.how NOT IN ('runs', 'asks')
	OR position(e.name IN e.example) = 0;

-- ---- help ----
SET ROLE exact_reader;
SELECT exact.help('budget');
SELECT exact.help('exact.Explain()');
SELECT exact.help('"request";') LIMIT 4;
SELECT exact.help('merge_rows');
SELECT exact.help('subscriptoin');
SELECT exact.help('pg_cron');
SELECT exact.help('zzzz');
SELECT count(*) > 60 AS all, count(*) FILTER (WHERE h ~ 'exact\._') AS private
FROM exact.help() AS h;
SELECT exact.help('_feed') LIMIT 1;
SELECT exact.help(E'a\x01''"; DROP TABLE x; --') LIMIT 1;
SELECT count(*) > 60 AS all FROM exact.help('  ');
SELECT count(*) > 0 AS answers FROM exact.help(repeat('x', 100000));
RESET ROLE;

-- ---- a hub to look at, in this transaction only ----
BEGIN;
SET LOCAL client_min_messages = warning;
INSERT INTO exact.app (name, client_id) VALUES ('erp', '6f9d1c2e');
INSERT INTO exact.app_state (app, state, since) VALUES ('erp', 'authorized', now());
INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema)
VALUES ('lake', 'https://adb-1.2.azuredatabricks.net', 'w1', 'main', 'exact');
INSERT INTO exact.division (division, app, workspace, description, enabled)
VALUES (101001, 'erp', 'lake', 'Noord B.V.', true);
SELECT count(*) FROM exact.enable_entities(101001, 'items', 'glaccount');
INSERT INTO exact.division_state (division, day_left, day_limit, day_reset, minute_left,
	minute_limit, minute_reset)
VALUES (101001, 4893, 5000, now() + interval '9 h', 58, 60, now() + interval '40 s')
ON CONFLICT (division) DO UPDATE SET day_left = 4893, day_limit = 5000,
	day_reset = excluded.day_reset, minute_left = 58, minute_limit = 60,
	minute_reset = excluded.minute_reset;
INSERT INTO exact.feed_state AS s (division, feed, run_state, run_rows, run_started_at, complete_at,
	first_complete_at)
SELECT 101001, e.feed, 'idle', 40, now() - interval '15 s', now() - interval '14 s',
	now() - interval '1 day'
FROM exact.entity_effective AS e
WHERE e.entity IN ('items', 'glaccount')
ON CONFLICT (division, feed) DO UPDATE SET run_state = 'idle', run_rows = 40,
	run_started_at = excluded.run_started_at, complete_at = excluded.complete_at,
	first_complete_at = excluded.first_complete_at;
INSERT INTO exact.api_call (id, at, took_ms, app, division, feed, method, path, status, outcome,
	rows)
VALUES (-2, '2025-03-04 14:02:07+00', 182, 'erp', 101001, 'items', 'GET',
	'sync/Logistics/Items?$filter=Timestamp gt 4711L', 200, 'ok', 2);
INSERT INTO exact.batch (id, slot, workspace, division, entity, feed, call, epoch, rows, staged_at,
	delivered_rows, delivered_at)
VALUES
	(-2, 0, 'lake', 101001, 'items', 'items', NULL, 1, 1, '2025-03-04 11:00+00', 1,
		'2025-03-04 11:01+00'),
	(-1, 0, 'lake', 101001, 'items', 'items', -2, 1, 1, '2025-03-04 14:02:07.3+00', 1,
		'2025-03-04 14:02:12+00');
INSERT INTO exact.stage (slot, batch, ord, seq, division, entity, key, op, prev_slot, prev_batch,
	prev_ord, payload)
VALUES
	(0, -2, 0, 1099511671735, 101001, 'items', '7a31f0c2-0000-4000-8000-000000000001', 'I', NULL,
		NULL, NULL, '{"Code": "B100", "Description": "Bolt"}'),
	(0, -1, 0, 1099511671737, 101001, 'items', '7a31f0c2-0000-4000-8000-000000000001', 'U', 0,
		-2, 0, '{"Code": "B100", "Description": "Bolt M8"}');
INSERT INTO exact.record (division, entity, key, hash, seq, slot, batch, ord, first_seen)
VALUES (101001, 'items', '7a31f0c2-0000-4000-8000-000000000001', '\x01', 1099511671737, 0, -1, 0,
	'2025-03-04 11:00+00');
INSERT INTO exact.statement_log (id, at, workspace, entity, table_name, kind, first_batch,
	first_ord, last_batch, last_ord, rows, statement_id, state, took_ms, finished_at)
VALUES
	(-2, '2025-03-04 14:02:08+00', 'lake', 'items', 'main.exact.items_history', 'history', -1, 0,
		-1, 0, 1, '01f06f11', 'succeeded', 1500,
		'2025-03-04 14:02:09.5+00'),
	(-1, '2025-03-04 14:02:10+00', 'lake', 'items', 'main.exact.items', 'current', -1, 0, -1,
		0, 1, '01faa259', 'succeeded', 1400,
		'2025-03-04 14:02:11.4+00');
INSERT INTO exact.target_state (workspace, entity, table_name, history_name, created_at,
	delivered_at)
VALUES ('lake', 'items', 'main.exact.items', 'main.exact.items_history', '2025-03-04 11:00+00',
	'2025-03-04 14:02:12+00');
SELECT setval('exact.request_id', 40);
\set ON_ERROR_ROLLBACK on

-- ---- the examples ----
-- first those that show, then those that do
SELECT format('/* %s */ %s', e.name, rtrim(e.example, ';'))
FROM exact._examples() AS e
JOIN exact._manual AS m ON m.name = e.name
WHERE e.how = 'runs'
GROUP BY e.name, e.example
ORDER BY min(m.kind) DESC, e.name NOT IN ('dry_run', 'explain', 'headline', 'help', 'history',
	'ledger_sign', 'trace', 'verify_audit'), e.name COLLATE "C" \gexec
ROLLBACK;
-- parsed alone
SELECT format('PREPARE example_%s AS %s', e.name, rtrim(e.example, ';'))
FROM exact._examples() AS e
WHERE e.how = 'asks'
ORDER BY e.name COLLATE "C" \gexec

-- ---- the objects, for scripts/manual ----
\pset format unaligned
\pset fieldsep '\t'
\pset tuples_only on
SELECT 'object', m.kind, m.name, m.title, m.may, m.how, m.example,
	replace(m.comment, E'\n', ' ')
FROM exact._manual AS m
WHERE m.kind <> 'table' OR m.may IS NOT NULL
ORDER BY m.kind, m.title COLLATE "C";
SELECT 'column', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
	col_description(a.attrelid, a.attnum)
FROM pg_attribute AS a
JOIN pg_class AS c ON c.oid = a.attrelid
JOIN exact._manual AS m ON m.name = c.relname AND m.kind <> 'function' AND m.may IS NOT NULL
WHERE c.relnamespace = 'exact'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY c.relname COLLATE "C", a.attnum;
