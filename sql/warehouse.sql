-- Warehouses: when one is woken, what exact.workspace takes, what exact.cost and check() say.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
RESET client_min_messages;
SET TimeZone = 'Europe/Amsterdam';

-- quiet hours: each side of each limit; wanted in the past is as good as now, so all lie ahead
CREATE FUNCTION pg_temp.wakes(wanted text, quiet_from time, quiet_until time,
	zone text DEFAULT 'Europe/Amsterdam') RETURNS text
LANGUAGE sql AS $$
	SELECT to_char(exact._wakes_at(quiet_from, quiet_until, zone, wanted::timestamptz),
		'YYYY-MM-DD HH24:MI:SS TZH')
$$;
SELECT w.wanted, pg_temp.wakes(w.wanted, '19:00', '07:00') AS by_night,
	pg_temp.wakes(w.wanted, '08:00', '17:30') AS by_day
FROM (VALUES ('2099-01-12 06:59:59'), ('2099-01-12 07:00:00'), ('2099-01-12 07:59:59'),
	('2099-01-12 08:00:00'), ('2099-01-12 17:29:59.999'), ('2099-01-12 17:30:00'),
	('2099-01-12 18:59:59'), ('2099-01-12 19:00:00'), ('2099-01-12 23:59:59'),
	('2099-01-13 00:00:00')) AS w (wanted);
-- another zone; the nights in which an hour is left out or comes twice
SELECT pg_temp.wakes('2099-01-12 07:30', '19:00', '07:00', 'Europe/London') AS london;
SELECT pg_temp.wakes('2098-03-30 01:59', '01:00', '02:30') AS hour_left_out,
	pg_temp.wakes('2098-10-26 01:59', '01:00', '02:30') AS hour_twice;

BEGIN;
INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema, client_id)
VALUES ('lake', 'https://adb-1.2.azuredatabricks.net', '475b94ddc7cd5211', 'main', 'exact', 'sp');
-- what is refused, and what lies beside it
CREATE FUNCTION pg_temp.try(change text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	message text;
	hint text;
BEGIN
	EXECUTE 'UPDATE exact.workspace SET ' || change;
	RETURN 'taken';
EXCEPTION
	WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
		RETURN format('%s %s. %s', sqlstate, message, hint);
END $$;
SELECT c.change, pg_temp.try(c.change)
FROM (VALUES ('stop_warehouse = ''always'''), ('stop_warehouse = NULL'),
	('stop_warehouse = ''own'''), ('maintenance = ''weekly'''), ('maintenance = NULL'),
	('maintenance = ''on'''), ('maintenance = ''off'''), ('maintenance = ''auto'''),
	('wake_after = ''999 ms'''), ('wake_after = ''1 s'''), ('wake_after = ''7 days'''),
	('wake_after = ''7 days 1 s'''), ('wake_after = NULL, wake_rows = 5'),
	('wake_after = ''1 h'', wake_rows = 0'), ('wake_after = ''1 h'', wake_rows = 1'),
	('quiet_from = ''19:00'''), ('quiet_until = ''07:00'''),
	('quiet_from = ''07:00'', quiet_until = ''07:00'''),
	('quiet_from = ''19:00'', quiet_until = ''24:00'''),
	('quiet_from = ''19:00'', quiet_until = ''00:00'''), ('quiet_zone = ''Amsterdam'''),
	('quiet_zone = NULL'), ('quiet_zone = ''europe/london'''), ('dbu_per_hour = -1'),
	('dbu_price = ''NaN'''), ('dbu_per_hour = 0, dbu_price = 0')) AS c (change);

-- two days, a run over midnight, one of a warehouse that ran already, a day of statements alone
UPDATE exact.workspace SET dbu_per_hour = NULL, dbu_price = NULL;
INSERT INTO exact.warehouse_run (workspace, warehouse_id, started_at, woken, ended_at, ended_by)
VALUES
	('lake', '475b94ddc7cd5211', '2026-01-05 09:00', true, '2026-01-05 09:00:30', 'hub'),
	('lake', '475b94ddc7cd5211', '2026-01-05 09:15', true, '2026-01-05 09:25:02', 'auto stop'),
	('lake', '475b94ddc7cd5211', '2026-01-05 10:00', false, '2026-01-05 10:11', 'others'),
	('lake', '475b94ddc7cd5211', '2026-01-05 23:59', true, '2026-01-06 00:02', 'hub');
INSERT INTO exact.statement_log (at, workspace, entity, kind, rows, state, bytes) VALUES
	('2026-01-05 09:00', 'lake', 'items', 'history', 10, 'succeeded', 1000),
	('2026-01-05 09:00', 'lake', 'items', 'current', 10, 'succeeded', 1000),
	('2026-01-05 09:15', 'lake', 'items', 'history', 35, 'succeeded', 3500),
	('2026-01-05 09:15', 'lake', 'items', 'check', NULL, 'succeeded', NULL),
	('2026-01-07 09:15', 'lake', 'items', 'fence', NULL, 'succeeded', NULL);
SELECT * FROM exact.cost WHERE workspace = 'lake';
INSERT INTO exact.warehouse_state (workspace, warehouse_id, state, seen_at, auto_stop, size)
VALUES ('lake', '475b94ddc7cd5211', 'sleeps', now(), '10 min', '2X-Small');
SELECT day, seconds, dbu, money FROM exact.cost WHERE workspace = 'lake';
UPDATE exact.workspace SET dbu_per_hour = 6, dbu_price = 0.7;
SELECT day, seconds, dbu, money FROM exact.cost WHERE workspace = 'lake';
-- a day of another zone
SET LOCAL TimeZone = 'Asia/Tokyo';
SELECT day, wake_ups, seconds FROM exact.cost WHERE workspace = 'lake';
SET LOCAL TimeZone = 'Europe/Amsterdam';

-- check(): what the way to the auto stop costs; a stop that is refused; none of either
UPDATE exact.workspace SET stop_warehouse = 'never', dbu_per_hour = NULL;
SELECT result, finding, fix FROM exact.check() WHERE rule = 'warehouse of workspace lake';
INSERT INTO exact.warehouse_run (workspace, warehouse_id, started_at, woken, ended_at, ended_by)
SELECT 'lake', '475b94ddc7cd5211', now() - age, true, now() - age + interval '11 min', 'auto stop'
FROM unnest('{29 days 23:59:59,30 days 00:00:01,1 h,2 h}'::interval[]) AS a (age);
SELECT result, finding, fix FROM exact.check() WHERE rule = 'warehouse of workspace lake';
UPDATE exact.workspace SET stop_warehouse = 'own';
SELECT result, finding, fix FROM exact.check() WHERE rule = 'warehouse of workspace lake';
UPDATE exact.warehouse_state SET refused_at = now(),
	stop_refused = 'Databricks refused the call: no Manage permission';
SELECT result, finding, fix FROM exact.check() WHERE rule = 'warehouse of workspace lake';
UPDATE exact.warehouse_state SET auto_stop = '0', stop_refused = NULL;
UPDATE exact.workspace SET stop_warehouse = 'never';
SELECT result, finding, fix FROM exact.check() WHERE rule = 'warehouse of workspace lake';

-- pruned with the calls, the one that goes on and the younger ones stay
INSERT INTO exact.warehouse_run (workspace, warehouse_id, started_at, woken)
VALUES ('lake', '475b94ddc7cd5211', '2026-01-05 09:00', true);
SELECT exact._prune('29 days') > 0 AS pruned;
SELECT count(*), count(ended_at), min(ended_at) > now() - interval '29 days' AS younger
FROM exact.warehouse_run;
ROLLBACK;

-- who may see and change what
SELECT has_table_privilege('exact_reader', 'exact.cost', 'SELECT') AS reader_sees,
	has_table_privilege('exact_reader', 'exact.warehouse_run', 'INSERT') AS reader_writes,
	has_table_privilege('exact_admin', 'exact.warehouse_run', 'UPDATE') AS admin_writes;
