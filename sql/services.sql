-- What exact.services, exact.status and the headline say of each state of a service. The rows exist
-- in this transaction only; the workers run or not.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
RESET client_min_messages;

BEGIN;
INSERT INTO exact.app (name, client_id) VALUES ('seen', 'x'), ('idle', 'x');
INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema)
VALUES ('pool', 'https://adb-1.2.azuredatabricks.net', 'w1', 'main', 'exact');
INSERT INTO exact.division (division, app, workspace, description, enabled)
VALUES (9100001, 'seen', 'pool', 'One', true), (9100002, 'idle', 'pool', 'Two', false);
INSERT INTO exact.batch (id, slot, workspace, division, entity, feed, epoch, rows, delivered_rows,
	staged_at)
VALUES (-11, 0, 'pool', 9100001, 'glaccount', 'glaccount', 1, 3, 1, now());
CREATE FUNCTION pg_temp.say(OUT state text, OUT light text, OUT what text, OUT next_step text,
	OUT hangs text) RETURNS record LANGUAGE sql AS $$
	SELECT s.state, s.light, regexp_replace(s.what, '(\d{4}-\d\d-\d\d )?\d\d:\d\d', 'HH:MI'),
		s.next_step, s.hangs
	FROM exact.services AS s WHERE s.side = 'databricks' AND s.name = 'pool'
$$;
CREATE FUNCTION pg_temp.fails(age interval, kind text, cause text) RETURNS void LANGUAGE sql AS $$
	INSERT INTO exact.service_state AS s (side, name, asked_at, failing_since, kind, cause)
	VALUES ('databricks', 'pool', now(), now() - age, kind, cause)
	ON CONFLICT (side, name) DO UPDATE SET failing_since = excluded.failing_since,
		kind = excluded.kind, cause = excluded.cause
$$;
\pset format unaligned
\pset tuples_only on
SELECT * FROM pg_temp.say();
SELECT pg_temp.fails('29 s', 'silent', 'connection refused');
SELECT * FROM pg_temp.say();
SELECT pg_temp.fails('30 s', 'silent', 'connection refused');
SELECT * FROM pg_temp.say();
SELECT pg_temp.fails('599 s', 'silent', 'connection refused');
SELECT light FROM pg_temp.say();
SELECT pg_temp.fails('10 min', 'silent', 'connection refused');
SELECT light FROM pg_temp.say();
-- a clock that was set back
SELECT pg_temp.fails('-2 h', 'silent', 'connection refused');
SELECT state, light FROM pg_temp.say();
SELECT pg_temp.fails('31 s', 'token', 'HTTP 401 invalid_client');
SELECT * FROM pg_temp.say();
UPDATE exact.service_state SET failing_since = NULL, kind = NULL, cause = NULL,
	starting_since = now() - interval '11 min' WHERE name = 'pool';
SELECT * FROM pg_temp.say();
UPDATE exact.service_state SET starting_since = NULL WHERE name = 'pool';
INSERT INTO exact.statement_log (id, at, workspace, entity, table_name, kind, statement_id, state)
VALUES
	(-1, now() - interval '20 min', 'pool', 'items', 'main.exact.items', 'current', '01ef',
		'running'),
	(-2, now() - interval '40 s', 'pool', 'glaccount', NULL, 'current', '01aa', 'running');
SELECT * FROM pg_temp.say();
DELETE FROM exact.statement_log WHERE id IN (-1, -2);
UPDATE exact.service_state SET slowed_until = now() + interval '5 min' WHERE name = 'pool';
SELECT * FROM pg_temp.say();
UPDATE exact.service_state SET slowed_until = now() - interval '1 s' WHERE name = 'pool';
SELECT * FROM pg_temp.say();
-- an app that nobody calls
SELECT name, state, light, what
FROM exact.services
WHERE side = 'exact' AND name IN ('seen', 'idle')
ORDER BY name;
-- the headline: the worst first, "up to date" of those alone that are
SELECT h.states, exact._headline(string_to_array(h.lights, ' '), string_to_array(h.states, ','))
FROM (VALUES
	('ok ok', 'up to date,up to date'),
	('ok off', 'up to date,off'),
	('ok', 'first load'),
	('ok ok ok', 'up to date,first load,slowed'),
	('ok ok', 'on the way,up to date'),
	('warn ok', 'held,up to date'),
	('fail fail warn off', 'refused,frozen,blocked,off'),
	('off', 'off')) AS h (lights, states);
SELECT exact._headline(NULL, NULL);
SELECT pg_temp.fails('31 s', 'silent', 'HTTP 503');
SELECT regexp_replace(exact._headline('{warn,ok}', '{service,up to date}'),
	'(\d{4}-\d\d-\d\d )?\d\d:\d\d', 'HH:MI');
ROLLBACK;
