-- What a DBA reads first. The divisions exist in this transaction only; the workers of the database
-- run or not: two expected files.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
RESET client_min_messages;
-- where the library is preloaded the workers come up within seconds
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
SELECT role, state FROM exact.workers WHERE role <> 'listener';

BEGIN;
INSERT INTO exact.app (name, client_id) VALUES ('shop', 'x'), ('closed', 'x'), ('fresh', 'x');
INSERT INTO exact.app_state (app, state, since, reason) VALUES ('shop', 'authorized', now(), NULL),
	('closed', 'reauthorize', current_date + time '00:02', 'the refresh token was used already');
INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema, enabled) VALUES
	('pond', 'https://adb-1.2.azuredatabricks.net', 'w1', 'main', 'exact', true),
	('dry', 'https://adb-1.2.azuredatabricks.net', 'w1', 'main', 'exact', false);
INSERT INTO exact.division (division, app, workspace, description, enabled)
SELECT 9000000 + n, CASE n WHEN 2 THEN 'closed' WHEN 3 THEN 'fresh' ELSE 'shop' END,
	CASE n WHEN 8 THEN NULL WHEN 9 THEN 'dry' ELSE 'pond' END,
	'Division number ' || n || ' with a long name', n <> 1
FROM generate_series(1, 18) AS n;
SET client_min_messages = warning;
SELECT count(*)
FROM exact.division AS d, exact.enable_entities(d.division, 'glaccount', 'costcenter')
WHERE d.division <> 9000007;
SELECT count(*) FROM exact.enable_entities(9000010, 'items');
SELECT count(*) FROM exact.enable_entities(9000018, 'purchaseorders', 'purchaseorderlines');
RESET client_min_messages;
INSERT INTO exact.division_state (division, state, since, reason, next_step, day_left, day_limit,
	day_reset, minute_left, minute_limit, minute_reset, paused_entities)
SELECT 9000000 + n,
	CASE n WHEN 4 THEN 'frozen' WHEN 5 THEN 'parked' WHEN 6 THEN 'paused' ELSE 'ok' END,
	current_date + time '04:05',
	CASE n
		WHEN 4 THEN 'Exact Online answered with a record of division 404004'
		WHEN 5 THEN 'Exact refused: licence expired'
		WHEN 6 THEN 'paused by dba'
	END,
	CASE n
		WHEN 4 THEN 'Check the administration; then SELECT exact.resume(9000004)'
		WHEN 5 THEN 'renew the licence; retried hourly'
	END,
	CASE n WHEN 11 THEN 0 ELSE 4893 END, 5000, current_date + 1 + time '00:02', 58, 60,
		now() - interval '1 second',
	CASE n WHEN 16 THEN '{costcenter}'::text[] ELSE '{}' END
FROM generate_series(1, 18) AS n;
INSERT INTO exact.feed_state (division, feed, mark, run_state, run_rows, complete_at,
	first_complete_at, errors, last_error, last_error_at)
SELECT 9000000 + n, f.feed, 5,
	CASE WHEN n = 13 AND f.feed = 'glaccount' THEN 'paging' ELSE 'idle' END,
	CASE n WHEN 13 THEN 3200 ELSE 10 END,
	now() - CASE
		WHEN n = 14 AND f.feed = 'glaccount' THEN interval '3 hours'
		ELSE interval '14.2 s'
	END,
	CASE WHEN n = 13 AND f.feed = 'glaccount' THEN NULL ELSE now() - interval '1 day' END,
	CASE WHEN n = 12 AND f.feed = 'glaccount' THEN 3 ELSE 0 END,
		CASE WHEN n = 12 AND f.feed = 'glaccount' THEN 'HTTP 500: Gegeven bestaat reeds.' END, now()
FROM generate_series(1, 17) AS n, (VALUES ('glaccount'), ('costcenter')) AS f (feed)
UNION ALL SELECT 9000018, 'purchaseorders', 5, 'paging', 2000, NULL, NULL, 0, NULL, NULL
ON CONFLICT (division, feed)
DO UPDATE SET mark = excluded.mark, run_state = excluded.run_state, run_rows = excluded.run_rows,
	complete_at = excluded.complete_at,
	first_complete_at = excluded.first_complete_at, errors = excluded.errors,
	last_error = excluded.last_error, last_error_at = excluded.last_error_at;
INSERT INTO exact.target_state (workspace, entity, table_name, paused_since, reason, next_step)
VALUES ('pond', 'items', 'main.exact.items', current_date + time '09:10',
	'Databricks refused the MERGE into main.exact.items: permission denied (MODIFY on table)',
	'GRANT MODIFY ON TABLE main.exact.items TO `5c4d`');
INSERT INTO exact.batch (id, slot, workspace, division, entity, feed, epoch, rows, delivered_rows,
	staged_at)
VALUES
	(-1, 0, NULL, 9000008, 'glaccount', 'glaccount', 1, 7, 0, now()),
	(-2, 0, 'dry', 9000009, 'glaccount', 'glaccount', 1, 10, 4, now()),
	(-3, 0, 'pond', 9000015, 'glaccount', 'glaccount', 1, 120, 20, now() - interval '20 min'),
	(-4, 0, 'pond', 9000017, 'costcenter', 'costcenter', 1, 3, 0, now() - interval '5 s');

SELECT division, name, light,
	regexp_replace(regexp_replace(what, '\d{4}-\d\d-\d\d ', ''), 'wait since \d\d:\d\d',
		'wait since HH:MI') AS what,
	next_step
FROM exact.status;
SELECT division, lag, waiting, dead, budget, token FROM exact.status ORDER BY division;
SELECT entity, method, state, every, complete, rows_read, waiting, problem
FROM exact.feeds
WHERE division IN (9000010, 9000012, 9000013, 9000016)
ORDER BY division, entity;
SELECT name, state, divisions, reason FROM exact.apps;
SELECT division, entities, state, reason, next_step, paused_entities
FROM exact.divisions
WHERE division IN (9000004, 9000016);
SELECT division, minute_left, minute_limit, day_left, day_limit
FROM exact.budget
WHERE division = 9000011;
-- endpoints that are left alone: the service's doing, and the hub's
INSERT INTO exact.rate_limit (division, resource, reading, since, until, times) VALUES
	(9000010, 'crm/Accounts', 'endpoint', now(), now() + interval '70 min', 1),
	(9000010, 'logistics/Items', 'errors', now(), now() + interval '40 min', 6),
	(9000017, 'crm/Accounts', 'errors', now(), now() + interval '40 min', 6),
	(9000017, 'logistics/Items', 'errors', now(), now(), 6);
SELECT b.division, ARRAY(SELECT jsonb_object_keys(b.blocked)) AS blocked,
	ARRAY(SELECT jsonb_object_keys(b.closed)) AS closed, s.light,
	regexp_replace(s.what, 'until .*\d\d:\d\d', 'until HH:MI') AS what, s.next_step
FROM exact.budget AS b
JOIN exact.status AS s USING (division)
WHERE b.division IN (9000010, 9000017)
ORDER BY 1;
DELETE FROM exact.rate_limit WHERE division IN (9000010, 9000017);
SELECT result, rule, finding, fix
FROM exact.check()
WHERE rule IN ('app closed', 'app fresh', 'app shop', 'secret of workspace pond',
	'address of workspace pond', 'table main.exact.items', 'division 9000004');
SELECT entity, name, edm_type, target_type, class, key, note
FROM exact.fields
WHERE (entity, name) IN (('purchaseorderlines', 'CostCenter'), ('items', 'ID'),
	('items', 'Picture'), ('accounts', 'Code'), ('purchaseorders', 'SupplierName'))
ORDER BY 1, 2;
SELECT column_name, ordinal_position
FROM information_schema.columns
WHERE table_schema = 'exact' AND table_name = 'status'
ORDER BY 2;
ROLLBACK;
