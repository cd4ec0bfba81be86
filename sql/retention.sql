-- What is kept for so long only.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
RESET client_min_messages;
SET TimeZone = 'UTC';
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
INSERT INTO exact.token (app, installation, host, key_id, issued_at, origin)
SELECT 'old', 'i', 'h', 'k', now() - n * interval '1 day', 'refresh'
FROM generate_series(60, 1, -1) AS n;
INSERT INTO exact.token (app, installation, host, key_id, issued_at, origin)
VALUES ('rare', 'i', 'h', 'k', now() - interval '1000 days', 'authorize');
INSERT INTO exact.api_call (at, app, method, path, outcome)
SELECT now() - n * interval '1 day', 'old', 'GET', 'x', 'ok'
FROM generate_series(9, 0, -1) AS n;
INSERT INTO exact.statement_log (at, workspace, entity, kind, state)
SELECT now() - n * interval '1 day', 'old', 'items', 'check',
	CASE n WHEN 8 THEN 'running' ELSE 'succeeded' END
FROM generate_series(9, 0, -1) AS n;
SAVEPOINT filled;
SELECT exact._prune(interval '100 days') AS removed;
SELECT app, count(*), min(now() - issued_at) AS newest, max(now() - issued_at) AS oldest
FROM exact.token
WHERE app IN ('old', 'rare')
GROUP BY app
ORDER BY app;
SELECT exact._prune(interval '100 days') AS removed;
SELECT exact._prune(interval '4 days 12 hours') AS removed;
SELECT count(*), max(now() - at) AS oldest FROM exact.api_call WHERE app = 'old';
SELECT count(*), max(now() - at) AS oldest, count(*) FILTER (WHERE state = 'running') AS open
FROM exact.statement_log
WHERE workspace = 'old';
-- the worker may ask for it, nobody else
SET LOCAL ROLE exact_worker;
SELECT exact._prune(interval '4 days 12 hours') AS removed;
\set ON_ERROR_ROLLBACK on
DELETE FROM exact.api_call;
SET LOCAL ROLE exact_admin;
SELECT exact._prune(interval '1 day');
ROLLBACK;

-- what has ended, on both sides of the limit; what is not over stays
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
INSERT INTO exact.request (kind, state, made_at, finished_at, result, args)
SELECT 'sync', s.state, now() - s.age, CASE WHEN s.state NOT IN ('queued', 'running')
	THEN now() - s.age END, s.what, '{"test": true}'
FROM (VALUES ('done', interval '61 minutes', 'older'), ('done', '59 minutes', 'younger'),
	('failed', '2 hours', 'older'), ('cancelled', '2 hours', 'older'),
	('queued', '2 hours', 'waits'), ('running', '2 hours', 'goes on')) AS s (state, age, what);
INSERT INTO exact.request (kind, state, made_at, finished_at, result, args)
VALUES ('erase', 'done', now() - interval '2 years', now() - interval '2 years', 'an erasure',
	'{"test": true}'),
	('read_dimensions', 'done', now() - interval '2 hours', now() - interval '2 hours',
		'is asked for', '{"test": true}');
INSERT INTO exact.dimension_write (division, entity, key, method, state, asked, ended_at)
SELECT 1, 'costcenter', 'a', 'PUT', 'reading', r.id, NULL
FROM exact.request AS r WHERE r.result = 'is asked for';
INSERT INTO exact.dimension_write (id, division, entity, key, method, state, ended_at)
VALUES (-1, 1, 'costcenter', 'b', 'PUT', 'ended', now() - interval '61 minutes'),
	(-2, 1, 'costcenter', 'c', 'PUT', 'ended', now() - interval '59 minutes'),
	(-3, 1, 'costcenter', 'd', 'PUT', 'ended', now() - interval '61 minutes');
INSERT INTO exact.dimension_change (edit, division, entity, key, kind, side, who, state, exact,
	write, ended_at, reason)
VALUES (1, 1, 'costcenter', 'b', 'update', 'hub', 'x', 'done', 'y', -1,
		now() - interval '61 minutes', 'older'),
	(2, 1, 'costcenter', 'c', 'update', 'hub', 'x', 'lost', 'y', NULL,
		now() - interval '59 minutes', 'younger'),
	(3, 1, 'costcenter', 'e', 'update', 'hub', 'x', 'proposed', 'y', NULL, NULL, 'waits'),
	(4, 1, 'costcenter', 'd', 'new', 'delta', 'x', 'done', NULL, -3, now() - interval '2 hours',
		'its row in Delta has no key yet');
INSERT INTO exact.dead_letter (side, division, entity, key, reason, state, last_at, done_at, batch)
VALUES ('reading', 1, 'test', 'a', 'older', 'done', now() - interval '2 h',
		now() - interval '61 m', NULL),
	('reading', 1, 'test', 'b', 'done lately', 'done', now() - interval '2 h',
		now() - interval '59 m', NULL),
	('reading', 1, 'test', 'c', 'dead', 'dead', now() - interval '2 years', NULL, NULL),
	('delivery', 1, 'test', 'd', 'passed, version gone', 'passed', now() - interval '61 m',
		NULL, NULL),
	('delivery', 1, 'test', 'e', 'passed, version here', 'passed', now() - interval '61 m',
		NULL, 7);
INSERT INTO exact.held_delete (division, entity, records, alive, reason, state, decided_at)
VALUES (1, 'test', 1, 1, 'older', 'approved', now() - interval '61 m'),
	(2, 'test', 1, 1, 'younger', 'approved', now() - interval '59 m'),
	(3, 'test', 1, 1, 'refused holds on', 'rejected', now() - interval '2 years'),
	(4, 'test', 1, 1, 'waits', 'held', NULL);
SELECT exact._prune(interval '1 hour') AS removed;
SELECT kind, state, result FROM exact.request WHERE args = '{"test": true}' ORDER BY id;
SELECT key, state FROM exact.dimension_write ORDER BY key;
SELECT key, state, reason FROM exact.dimension_change ORDER BY key;
SELECT key, state, reason FROM exact.dead_letter WHERE entity = 'test' ORDER BY key;
SELECT division, state, reason FROM exact.held_delete WHERE entity = 'test' ORDER BY division;
SELECT exact._prune(interval '1 hour') AS removed;
-- by index, however large the tables are
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
EXPLAIN (COSTS off)
SELECT x.id FROM exact.dead_letter AS x
WHERE (x.state = 'done' OR (x.state = 'passed' AND x.batch IS NULL)) AND x.last_at < now()
ORDER BY x.last_at LIMIT 5000;
EXPLAIN (COSTS off)
SELECT x.id FROM exact.request AS x
WHERE x.state IN ('done', 'failed', 'cancelled') AND x.kind <> 'erase' AND x.finished_at < now()
ORDER BY x.finished_at LIMIT 5000;
ROLLBACK;
