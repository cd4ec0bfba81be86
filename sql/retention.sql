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
VALUES ('rare', 'i', 'h', 'k', now() - interval '3 years', 'authorize');
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
