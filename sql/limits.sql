-- One row on each side of each limit of exact.status, exact.budget, exact.progress and
-- exact.check(). In one transaction now() stands still, so a limit is met to the millisecond. The
-- workers are said to run, whether they do or not; all is rolled back.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
SET TimeZone = 'UTC';
SET IntervalStyle = postgres;
\set SHOW_CONTEXT never

BEGIN;
CREATE OR REPLACE FUNCTION exact._workers(
	OUT role text, OUT database text, OUT pid int, OUT state text, OUT started_at timestamptz,
	OUT restarts int, OUT last_error text, OUT reason text, OUT listens_at text)
RETURNS SETOF record LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT w.role, 'x', 1, 'running', now(), 0, NULL, NULL, NULL
	FROM (VALUES ('launcher'), ('fetcher'), ('loader')) AS w (role)
$$;
INSERT INTO exact.app (name, client_id) VALUES ('shop', 'x');
INSERT INTO exact.app_state (app, state, since) VALUES ('shop', 'authorized', now());
INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema)
VALUES ('pool', 'https://adb-1.2.azuredatabricks.net', 'w1', 'main', 'exact');
INSERT INTO exact.division (division, app, workspace, description, enabled)
VALUES (9200001, 'shop', 'pool', 'One', true);
SELECT count(*) FROM exact.enable_entities(9200001, 'glaccount');
INSERT INTO exact.division_state AS s (division, state, since, day_left, day_limit, day_reset,
	minute_left, minute_limit, minute_reset)
VALUES (9200001, 'ok', now(), 4000, 5000, now() + interval '9 h', 58, 60, now())
ON CONFLICT (division) DO UPDATE SET state = 'ok', day_left = 4000, day_limit = 5000,
	day_reset = excluded.day_reset, minute_left = 58, minute_limit = 60,
	minute_reset = excluded.minute_reset;
UPDATE exact.feed_state
SET run_state = 'idle', complete_at = now() - interval '14 s',
	first_complete_at = now() - interval '1 day'
WHERE division = 9200001;
INSERT INTO exact.batch (id, slot, workspace, division, entity, feed, epoch, rows, delivered_rows,
	staged_at)
VALUES (-1, 0, 'pool', 9200001, 'glaccount', 'glaccount', 1, 3, 0, now());

-- what a query says after a statement with this value, which is undone then
CREATE FUNCTION pg_temp.after(statement text, value text, query text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	said text;
BEGIN
	EXECUTE replace(statement, '%', value);
	EXECUTE query INTO said;
	RAISE EXCEPTION USING ERRCODE = 'ZZ001', MESSAGE = coalesce(said, '-');
EXCEPTION
	WHEN SQLSTATE 'ZZ001' THEN RETURN sqlerrm;
END
$$;
\set status '$$SELECT concat_ws('' '', light, state) FROM exact.status WHERE division = 9200001$$'

-- ---- exact.status: light and rule at the last value that is not the rule's, and at the first ----
SELECT pg_temp.after('SELECT ''%''', '', :status) AS all_is_well;
SELECT c.about, c.one, pg_temp.after(c.statement, c.one, :status) AS says, c.other,
	pg_temp.after(c.statement, c.other, :status) AS then_says
FROM (VALUES
	-- services
	('silent', '29.999 s', '30 s', 'INSERT INTO exact.service_state (side, name, asked_at, '
		'failing_since, kind, cause) VALUES (''databricks'', ''pool'', now(), now() - interval '
		'''%'', ''silent'', ''refused'')'),
	('silent, fail', '599.999 s', '600 s', 'INSERT INTO exact.service_state (side, name, asked_at, '
		'failing_since, kind, cause) VALUES (''exact'', ''shop'', now(), now() - interval ''%'', '
		'''silent'', ''refused'')'),
	('token', '29.999 s', '30 s', 'INSERT INTO exact.service_state (side, name, asked_at, '
		'failing_since, kind, cause) VALUES (''exact'', ''shop'', now(), now() - interval ''%'', '
		'''token'', ''HTTP 401'')'),
	('token, fail', '599.999 s', '600 s', 'INSERT INTO exact.service_state (side, name, asked_at, '
		'failing_since, kind, cause) VALUES (''databricks'', ''pool'', now(), now() - interval '
		'''%'', ''token'', ''HTTP 401'')'),
	('starting', '29.999 s', '30 s', 'INSERT INTO exact.service_state (side, name, asked_at, '
		'starting_since) VALUES (''databricks'', ''pool'', now(), now() - interval ''%'')'),
	('starting, nothing waits', 'true', 'false', 'INSERT INTO exact.service_state (side, name, '
		'asked_at, starting_since) VALUES (''databricks'', ''pool'', now(), now() - interval '
		'''1 h''); DELETE FROM exact.batch WHERE %'),
	('hangs', '60 s', '60.001 s', 'INSERT INTO exact.statement_log (id, at, workspace, entity, '
		'kind, statement_id, state) VALUES (-1, now() - interval ''%'', ''pool'', ''glaccount'', '
		'''current'', ''01ef'', ''running'')'),
	('hangs, maintenance', '3600 s', '3600.001 s', 'INSERT INTO exact.statement_log (id, at, '
		'workspace, entity, kind, statement_id, state) VALUES (-1, now() - interval ''%'', '
		'''pool'', ''glaccount'', ''maintenance'', ''01ef'', ''running'')'),
	-- the app
	('token goes on', '0 s', '1 s', 'UPDATE exact.app_state SET state = ''reauthorize'', reason = '
		'''revoked''; INSERT INTO exact.token (app, installation, host, key_id, expires_at, '
		'origin) VALUES (''shop'', ''i'', ''h'', ''k'', now() + interval ''%'', ''access'')'),
	('client', 'Exact Online refuses the client id', 'Exact Online refuses the client id or secret',
		'UPDATE exact.app_state SET state = ''reauthorize'', reason = ''%'''),
	-- the day's calls
	('budget: left', '1', '0', 'UPDATE exact.division_state SET day_left = % WHERE division = '
		'9200001'),
	('budget: reset', '0 s', '1 s', 'UPDATE exact.division_state SET day_left = 0, day_reset = '
		'now() + interval ''%'' WHERE division = 9200001'),
	('slowed: gap', '9.999 s', '10 s', 'UPDATE exact.division_state SET gap = ''%'' WHERE division '
		'= 9200001'),
	('slowed: reset', '0 s', '1 s', 'UPDATE exact.division_state SET gap = ''1 min'', day_reset = '
		'now() + interval ''%'' WHERE division = 9200001'),
	('limit: since', '120 s', '120.001 s', 'INSERT INTO exact.rate_limit VALUES (9200001, '''', '
		'''minute'', now() - interval ''%'', now() + interval ''1 h'', 1)'),
	('limit: until', '0 s', '1 s', 'INSERT INTO exact.rate_limit VALUES (9200001, '''', '
		'''minute'', now() - interval ''1 h'', now() + interval ''%'', 1)'),
	('blocked: until', '0 s', '1 s', 'INSERT INTO exact.rate_limit VALUES (9200001, '
		'''crm/Accounts'', ''endpoint'', now(), now() + interval ''%'', 1)'),
	('closed: until', '0 s', '1 s', 'INSERT INTO exact.rate_limit VALUES (9200001, '
		'''crm/Accounts'', ''errors'', now(), now() + interval ''%'', 6)'),
	('closed: errors', '2', '3', 'INSERT INTO exact.rate_limit VALUES (9200001, '
		'''crm/Accounts'', ''errors'', now(), now() + interval ''1 h'', 6); UPDATE '
		'exact.feed_state SET errors = %, last_error = ''HTTP 500'''),
	-- reading
	('failing', '0', '1', 'UPDATE exact.feed_state SET errors = %, last_error = ''HTTP 500'''),
	('failing, fail', '2', '3', 'UPDATE exact.feed_state SET errors = %, last_error = '
		'''HTTP 500'''),
	('first load, read', 'now() - interval ''1 h''', 'NULL', 'UPDATE exact.feed_state SET '
		'first_complete_at = %'),
	('first load, delivered', '0.001 s', '0 s', 'UPDATE exact.feed_state SET first_complete_at = '
		'now() - interval ''%'''),
	('first load, nothing waits', 'true', 'false', 'UPDATE exact.feed_state SET first_complete_at '
		'= now(); DELETE FROM exact.batch WHERE id = -1 AND %'),
	('overdue', '7320 s', '7320.001 s', 'UPDATE exact.feed_state SET complete_at = now() - '
		'interval ''%'''),
	('entities paused', '', 'glaccount', 'UPDATE exact.division_state SET paused_entities = '
		'''{%}'''),
	-- delivering
	('on the way', '30 s', '30.001 s', 'UPDATE exact.batch SET staged_at = now() - interval ''%'' '
		'WHERE id = -1'),
	('sleeps', '0 s', '0.001 s', 'INSERT INTO exact.warehouse_state (workspace, warehouse_id, '
		'state, seen_at, wakes_at) VALUES (''pool'', ''w1'', ''sleeps'', now(), now() + interval '
		'''%'')'),
	('sleeps, it runs', 'runs', 'sleeps', 'INSERT INTO exact.warehouse_state (workspace, '
		'warehouse_id, state, seen_at, wakes_at) VALUES (''pool'', ''w1'', ''%'', now(), now() + '
		'interval ''1 h'')'),
	('sleeps, nothing waits', 'true', 'false', 'INSERT INTO exact.warehouse_state (workspace, '
		'warehouse_id, state, seen_at, wakes_at) VALUES (''pool'', ''w1'', ''sleeps'', now(), '
		'now() + interval ''1 h''); DELETE FROM exact.batch WHERE id = -1 AND %'),
	('late', '600 s', '600.001 s', 'UPDATE exact.batch SET staged_at = now() - interval ''%'' '
		'WHERE id = -1'),
	('workspace off', 'true', 'false', 'UPDATE exact.workspace SET enabled = %'),
	('no workspace', '''pool''', 'NULL', 'UPDATE exact.division SET workspace = %'),
	('refused', 'NULL', 'now()', 'INSERT INTO exact.target_state (workspace, entity, '
		'paused_since) VALUES (''pool'', ''glaccount'', %)'),
	('waits', 'NULL', '''SELECT 1''', 'INSERT INTO exact.target_state (workspace, entity, reason, '
		'next_step) VALUES (''pool'', ''glaccount'', ''the query history may not be read'', %)'),
	('waits: for it', 'now()', 'NULL', 'INSERT INTO exact.target_state (workspace, entity, reason, '
		'next_step) VALUES (''pool'', ''glaccount'', ''a statement still runs'', ''cancel it''); '
		'UPDATE exact.batch SET delivered_at = % WHERE id = -1'),
	-- what needs a person
	('held', 'rejected', 'held', 'INSERT INTO exact.held_delete (id, division, entity, records, '
		'alive, reason, state) VALUES (-1, 9200001, ''glaccount'', 1, 1, ''many'', ''%'')'),
	('erasing', '30 s', '30.001 s', 'INSERT INTO exact.request (id, kind, division, entity, args, '
		'state, made_at) VALUES (-1, ''erase'', 9200001, ''accounts'', ''{}'', ''running'', now() '
		'- interval ''%'')'),
	('dead', 'passed', 'retry', 'INSERT INTO exact.dead_letter (side, division, entity, reason, '
		'digest, state) VALUES (''reading'', 9200001, ''glaccount'', ''no key'', ''\x01'', '
		'''%'')'),
	('kept: state', 'flagged', 'doubt', 'INSERT INTO exact.judgement (division, entity, key, '
		'state, since) VALUES (9200001, ''salesentries'', ''k'', ''%'', now() - interval ''1 h'')'),
	('kept: since', '30 s', '30.001 s', 'INSERT INTO exact.judgement (division, entity, key, '
		'state, since) VALUES (9200001, ''salesentries'', ''k'', ''held'', now() - interval '
		'''%'')'),
	('suspended', 'NULL', 'now()', 'INSERT INTO exact.rule_failure (rule, division, entity, key, '
		'reason, suspended_at) VALUES (''mine'', 9200001, ''salesentries'', ''k'', ''slow'', %)'),
	('writes', '120 s', '120.001 s', 'INSERT INTO exact.dimension_change (id, edit, division, '
		'entity, kind, side, who, state, decided_at) VALUES (-1, 1, 9200001, ''costcenter'', '
		'''update'', ''hub'', ''me'', ''approved'', now() - interval ''%'')'),
	('changes', 'shown', 'proposed', 'INSERT INTO exact.dimension_change (id, edit, division, '
		'entity, kind, side, who, state) VALUES (-1, 1, 9200001, ''costcenter'', ''update'', '
		'''hub'', ''me'', ''%'')'),
	-- notifications
	('foreign: last', '0 s', '0.001 s', 'INSERT INTO exact.subscription (division, topic, state, '
		'since, last_at) VALUES (9200001, ''X'', ''foreign'', now(), now() - interval ''%'')'),
	('foreign: none', 'now()', 'NULL', 'INSERT INTO exact.subscription (division, topic, state, '
		'since, last_at) VALUES (9200001, ''X'', ''foreign'', now(), %)'),
	('subscription: cause', 'service', 'unreachable', 'INSERT INTO exact.subscription (division, '
		'topic, state, cause, reason) VALUES (9200001, ''X'', ''wanted'', ''%'', ''no answer'')'),
	('subscription: state', 'wanted', 'refused', 'INSERT INTO exact.subscription (division, topic, '
		'state) VALUES (9200001, ''X'', ''%'')'),
	('silent topic', 'NULL', 'now()', 'INSERT INTO exact.subscription (division, topic, state, '
		'silent_since) VALUES (9200001, ''X'', ''present'', %)')
) AS c (about, one, other, statement);

-- what "up to date" says: nothing of an entity within two minutes, and of announced changes; and a
-- division that is slowed says no less
\set what '$$SELECT what FROM exact.status WHERE division = 9200001$$'
SELECT c.one, pg_temp.after(c.statement, c.one, :what) AS says, c.other,
	pg_temp.after(c.statement, c.other, :what) AS then_says
FROM (VALUES
	('120 s', '120.001 s', 'UPDATE exact.feed_state SET complete_at = now() - interval ''%'''),
	('120 s', '120.001 s', 'SELECT exact.enable_entities(9200001, ''costcenter''); UPDATE '
		'exact.feed_state SET complete_at = now() - interval ''10 min'', first_complete_at = '
		'now() - interval ''1 h'', run_state = ''idle''; UPDATE exact.feed_state SET '
		'notified_first = now() - interval ''%'' WHERE feed = ''glaccount''; INSERT INTO '
		'exact.subscription (division, topic, state) VALUES (9200001, ''GLAccounts'', '
		'''present'')'),
	('120 s', '120.001 s', 'UPDATE exact.division_state SET gap = ''19 s'', day_limit = 5000, '
		'day_reset = now() + interval ''1 h'' WHERE division = 9200001; UPDATE exact.feed_state '
		'SET complete_at = now() - interval ''%'''),
	('120 s', '120.001 s', 'UPDATE exact.division_state SET gap = ''19 s'', day_limit = 5000, '
		'day_reset = now() + interval ''1 h'' WHERE division = 9200001; SELECT '
		'exact.enable_entities(9200001, ''costcenter''); UPDATE exact.feed_state SET complete_at '
		'= now() - interval ''10 min'', first_complete_at = now() - interval ''1 h'', run_state = '
		'''idle''; UPDATE exact.feed_state SET notified_first = now() - interval ''%'' WHERE feed '
		'= ''glaccount''; INSERT INTO exact.subscription (division, topic, state) VALUES (9200001, '
		'''GLAccounts'', ''present'')')
) AS c (one, other, statement);

-- what a first load says, how much of it is there, and that the lag is of nothing then
SELECT $$SELECT concat_ws(' | ', what, 'loaded ' || loaded, 'lag ' || lag) FROM exact.status
	WHERE division = 9200001$$ AS load \gset
SELECT c.one, pg_temp.after(c.statement, c.one, :'load') AS says, c.other,
	pg_temp.after(c.statement, c.other, :'load') AS then_says
FROM (VALUES
	('1', '2', 'UPDATE exact.feed_state SET first_complete_at = NULL, run_rows = %'),
	('1', '2', 'UPDATE exact.feed_state SET first_complete_at = now(); UPDATE exact.batch SET '
		'rows = % WHERE id = -1'),
	('1', '2', 'SELECT exact.enable_entities(9200001, ''costcenter''); UPDATE exact.feed_state SET '
		'complete_at = now() - interval ''14 s'', run_state = ''idle'', first_complete_at = '
		'CASE feed WHEN ''glaccount'' THEN now() ELSE now() - interval ''1 h'' END; UPDATE '
		'exact.batch SET rows = % WHERE id = -1')
) AS c (one, other, statement);

-- one is no plural
SELECT c.one, pg_temp.after(c.statement, c.one, :what) AS says, c.other,
	pg_temp.after(c.statement, c.other, :what) AS then_says
FROM (VALUES
	('1', '1234', 'UPDATE exact.batch SET rows = %, staged_at = now() - interval ''1 min'' '
		'WHERE id = -1'),
	('1', '1234', 'UPDATE exact.batch SET rows = % WHERE id = -1; UPDATE exact.workspace SET '
		'enabled = false')
) AS c (one, other, statement);

-- ---- exact.budget ----
SELECT $$SELECT concat_ws(' ', minute_left, day_left, gap, reading, until - now(),
	(SELECT jsonb_object_agg(k, 1) FROM jsonb_object_keys(blocked) AS k),
	(SELECT jsonb_object_agg(k, 1) FROM jsonb_object_keys(closed) AS k),
	(SELECT jsonb_object_agg(k, 1) FROM jsonb_object_keys(closed_to_writes) AS k))
	FROM exact.budget WHERE division = 9200001$$ AS budget \gset
SELECT c.about, c.one, pg_temp.after(c.statement, c.one, :'budget') AS says, c.other,
	pg_temp.after(c.statement, c.other, :'budget') AS then_says
FROM (VALUES
	('minute', '0 s', '-1 s', 'UPDATE exact.division_state SET minute_left = 1, minute_reset = '
		'now() + interval ''%'''),
	('day', '0 s', '-1 s', 'UPDATE exact.division_state SET day_left = 7, day_reset = now() + '
		'interval ''%'''),
	('gap', '0 s', '1 s', 'UPDATE exact.division_state SET gap = ''7 s'', day_reset = now() + '
		'interval ''%'''),
	('reading: left', '3', '2', 'UPDATE exact.division_state SET day_left = %'),
	('reading: reset', '0 s', '1 s', 'UPDATE exact.division_state SET day_left = 2, day_reset = '
		'now() + interval ''%'''),
	('a 429', '0 s', '1 s', 'INSERT INTO exact.rate_limit VALUES (9200001, '''', ''unknown'', '
		'now(), now() + interval ''%'', 1)'),
	('a 429 before the day', '0 s', '1 s', 'UPDATE exact.division_state SET day_left = 0; INSERT '
		'INTO exact.rate_limit VALUES (9200001, '''', ''minute'', now(), now() + interval ''%'', '
		'1)'),
	('endpoint', '0 s', '1 s', 'INSERT INTO exact.rate_limit VALUES (9200001, ''a'', ''endpoint'', '
		'now(), now() + interval ''%'', 1), (9200001, ''b'', ''errors'', now(), now() + interval '
		'''%'', 1), (9200001, ''c'', ''writes'', now(), now() + interval ''%'', 1)')
) AS c (about, one, other, statement);
-- a division that is known by a 429 alone, and one of which nothing is known
SELECT pg_temp.after('DELETE FROM exact.division_state; INSERT INTO exact.rate_limit VALUES '
	'(9200001, '''', ''unknown'', now(), now() + interval ''%'', 1)', c.until, :'budget') AS says
FROM (VALUES ('1 s'), ('0 s')) AS c (until);

-- ---- exact.progress ----
SELECT $$SELECT string_agg(concat_ws(' ', kind, phase, done, total, rate, eta), '; '
	ORDER BY kind)
	FROM exact.progress WHERE division = 9200001 OR workspace = 'pool'$$ AS progress \gset
SELECT c.about, c.one, pg_temp.after(c.statement, c.one, :'progress') AS says, c.other,
	pg_temp.after(c.statement, c.other, :'progress') AS then_says
FROM (VALUES
	('kind of a run', 'NULL', 'now()', 'UPDATE exact.feed_state SET run_state = ''paging'', '
		'run_rows = 50, run_started_at = now() - interval ''10 s'', first_complete_at = %'),
	('a run', 'idle', 'paging', 'UPDATE exact.feed_state SET run_state = ''%'', run_rows = 50, '
		'run_started_at = now() - interval ''10 s'''),
	('a request', 'done', 'queued', 'INSERT INTO exact.request (id, kind, division, state) VALUES '
		'(-1, ''sync'', 9200001, ''%'')'),
	('feeds of a request', '-0.001 s', '0 s', 'INSERT INTO exact.request (id, kind, division, '
		'state, started_at) VALUES (-1, ''sync'', 9200001, ''running'', now()); UPDATE '
		'exact.feed_state SET run_started_at = now() + interval ''%'''),
	('a backfill', 'now()', 'NULL', 'INSERT INTO exact.backfill (division, feed, reason, run, '
		'finished_at) VALUES (9200001, ''glaccount'', ''asked for'', 1, %)'),
	('a backfill begins', 'NULL', 'now()', 'INSERT INTO exact.backfill (division, feed, reason, '
		'run, started_at) VALUES (9200001, ''glaccount'', ''asked for'', 1, %)'),
	('a backfill fails', '0', '1', 'INSERT INTO exact.backfill (division, feed, reason, run, '
		'started_at, errors) VALUES (9200001, ''glaccount'', ''asked for'', 1, now(), %)'),
	('until the next night', '600 s', '600.001 s', 'INSERT INTO exact.backfill (division, feed, '
		'reason, run, started_at, nightly, page_at) VALUES (9200001, ''glaccount'', ''night'', 1, '
		'now(), true, now() - interval ''%'')'),
	('by day', 'true', 'false', 'INSERT INTO exact.backfill (division, feed, reason, run, '
		'started_at, nightly, page_at) VALUES (9200001, ''glaccount'', ''night'', 1, now(), %, '
		'now() - interval ''1 h'')'),
	('delivered lately', '300 s', '299.999 s', 'INSERT INTO exact.batch (id, slot, workspace, '
		'division, entity, feed, epoch, rows, delivered_rows, staged_at, delivered_at) VALUES (-2, '
		'0, ''pool'', 9200001, ''glaccount'', ''glaccount'', 1, 600, 600, now(), now() - interval '
		'''%'')'),
	('a paused table', 'NULL', 'now()', 'INSERT INTO exact.batch (id, slot, workspace, division, '
		'entity, feed, epoch, rows, delivered_rows, staged_at, delivered_at) VALUES (-2, 0, '
		'''pool'', 9200001, ''glaccount'', ''glaccount'', 1, 600, 600, now(), now()); INSERT INTO '
		'exact.target_state (workspace, entity, paused_since) VALUES (''pool'', ''glaccount'', '
		'%)'),
	('a statement', 'succeeded', 'sending', 'INSERT INTO exact.statement_log (id, workspace, '
		'entity, kind, state) VALUES (-1, ''pool'', ''glaccount'', ''history'', ''%'')'),
	('all is delivered', '3', '2', 'UPDATE exact.batch SET delivered_rows = %, delivered_at = '
		'CASE WHEN % = 3 THEN now() - interval ''1 day'' END WHERE id = -1')
) AS c (about, one, other, statement);
\set calls '$$SELECT calls FROM exact.progress WHERE kind = ''read'' AND division = 9200001$$'
SELECT c.one, pg_temp.after(c.statement, c.one, :calls) AS calls, c.other,
	pg_temp.after(c.statement, c.other, :calls) AS then_calls
FROM (VALUES
	('10.001 s', '10 s', 'UPDATE exact.feed_state SET run_state = ''paging'', run_started_at = '
		'now() - interval ''10 s''; INSERT INTO exact.api_call (id, at, took_ms, division, feed, '
		'method, path) VALUES (-1, now() - interval ''%'', 1, 9200001, ''glaccount'', ''GET'', '
		'''x'')'),
	('86400 s', '86399.999 s', 'UPDATE exact.feed_state SET run_state = ''paging'', run_started_at '
		'= now() - interval ''9 days''; INSERT INTO exact.api_call (id, at, took_ms, division, '
		'feed, method, path) VALUES (-1, now() - interval ''%'', 1, 9200001, ''glaccount'', '
		'''GET'', ''x'')')
) AS c (one, other, statement);

-- ---- exact.check() ----
CREATE FUNCTION pg_temp.of_check(rules text) RETURNS text LANGUAGE sql AS $$
	SELECT format('SELECT string_agg(concat_ws('' '', c.result, regexp_replace(c.finding, '
		'''(\d{4}-\d\d-\d\d )?\d\d:\d\d'', ''HH:MI'')), ''; '' ORDER BY c.rule, c.finding) '
		'FROM exact.check() AS c WHERE c.rule ~ %L', rules)
$$;
SELECT c.about, c.one, pg_temp.after(c.statement, c.one, pg_temp.of_check(c.rules)) AS says,
	c.other, pg_temp.after(c.statement, c.other, pg_temp.of_check(c.rules)) AS then_says
FROM (VALUES
	('an app', '^app shop', 'authorized', 'reauthorize', 'UPDATE exact.app_state SET state = '
		'''%'''),
	('a new app', '^app shop', 'x', 'shop', 'DELETE FROM exact.app_state WHERE app = ''%'''),
	('a service', '^service Databricks', '29.999 s', '30 s', 'INSERT INTO exact.service_state '
		'(side, name, asked_at, failing_since, kind, cause) VALUES (''databricks'', ''pool'', '
		'now(), now() - interval ''%'', ''silent'', ''refused'')'),
	('a service that is off', '^service Databricks', 'true', 'false', 'UPDATE exact.workspace SET '
		'enabled = %'),
	('a paused table', '^table', 'NULL', 'now()', 'INSERT INTO exact.target_state (workspace, '
		'entity, table_name, paused_since, reason) VALUES (''pool'', ''glaccount'', ''t'', %, '
		'''refused'')'),
	('a table that waits', '^table', 'NULL', '''SELECT 1''', 'INSERT INTO exact.target_state '
		'(workspace, entity, table_name, reason, next_step) VALUES (''pool'', ''glaccount'', '
		'''t'', ''waits'', %)'),
	('a note of a table', '^table', 'NULL', '''somebody changed it''', 'INSERT INTO '
		'exact.target_state (workspace, entity, table_name, note) VALUES (''pool'', ''glaccount'', '
		'''t'', %)'),
	('volume: MERGEs', '^volume', '21', '22', 'INSERT INTO exact.statement_log (id, at, '
		'finished_at, workspace, entity, kind, rows, state) SELECT -n, now() - n * interval '
		'''3 s'', now() - n * interval ''3 s'' + interval ''2 s'', ''pool'', ''glaccount'', '
		'''current'', 21, ''succeeded'' FROM generate_series(1, %) AS n'),
	('volume: rows', '^volume', '20', '21', 'INSERT INTO exact.statement_log (id, at, '
		'finished_at, workspace, entity, kind, rows, state) SELECT -n, now() - n * interval '
		'''3 s'', now() - n * interval ''3 s'' + interval ''2 s'', ''pool'', ''glaccount'', '
		'''current'', %, ''succeeded'' FROM generate_series(1, 22) AS n'),
	('volume: right behind', '^volume', '1 s', '1.001 s', 'INSERT INTO exact.statement_log (id, '
		'at, finished_at, workspace, entity, kind, rows, state) SELECT -n, now() - n * interval '
		'''3 s'', now() - n * interval ''3 s'' + interval ''%'', ''pool'', ''glaccount'', '
		'''current'', 21, ''succeeded'' FROM generate_series(1, 22) AS n'),
	('volume: of a day', '^volume', '86400 s', '86300 s', 'INSERT INTO exact.statement_log (id, '
		'at, finished_at, workspace, entity, kind, rows, state) SELECT -n, now() - interval ''%'' '
		'- n * interval ''3 s'', now(), ''pool'', ''glaccount'', ''current'', 21, ''succeeded'' '
		'FROM generate_series(1, 22) AS n'),
	('a volume', '^volume', 'NULL', '''no such volume''', 'UPDATE exact.workspace SET volume = '
		'''files''; INSERT INTO exact.volume_state (workspace, volume, seen_at, reason) VALUES '
		'(''pool'', ''files'', now(), %)'),
	('held documents', '^documents of', '86400 s', '86400.001 s', 'INSERT INTO exact.judgement '
		'(division, entity, key, state, since) VALUES (9200001, ''salesentries'', ''k'', ''held'', '
		'now() - interval ''%'')'),
	('a rule that fails', '^rule mine', 'NULL', 'now()', 'INSERT INTO exact.rule_failure (rule, '
		'division, entity, key, reason, suspended_at) VALUES (''mine'', 9200001, ''salesentries'', '
		'''k'', ''slow'', %)'),
	('subscriptions', '^subscriptions of', 'wanted', 'present', 'INSERT INTO exact.subscription '
		'(division, topic, state) VALUES (9200001, ''X'', ''%'')'),
	('subscriptions: cause', '^subscriptions', 'scope', 'secret', 'INSERT INTO exact.subscription '
		'(division, topic, state, cause, reason) VALUES (9200001, ''X'', ''wanted'', ''%'', '
		'''why'')'),
	('a division', '^division 9200001', '600 s', '600.001 s', 'UPDATE exact.batch SET staged_at = '
		'now() - interval ''%'' WHERE id = -1')
) AS c (about, rules, one, other, statement);
ROLLBACK;
