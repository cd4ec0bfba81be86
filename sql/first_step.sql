-- What is to be entered next, for somebody who has lost the page: in exact.status, in the headline
-- and in exact.check(). Rolled back: no worker sees it. Where the library is not preloaded that
-- comes first: two expected files.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
BEGIN;
DROP EXTENSION exact_databricks;
CREATE EXTENSION exact_databricks;
ROLLBACK;
RESET client_min_messages;

BEGIN;
CREATE FUNCTION pg_temp.steps() RETURNS SETOF text LANGUAGE sql AS $$
	SELECT concat_ws(' | ', division, name, light, what, next_step, state)
	FROM exact.status WHERE division IS NULL OR division = 9000001
$$;
CREATE FUNCTION pg_temp.secret(kind text, name text, field text) RETURNS void LANGUAGE sql AS $$
	INSERT INTO exact.credential (kind, name, field, secret, key_id)
	VALUES (kind, name, field, '', 'none')
$$;
SELECT pg_temp.steps();
SELECT exact.headline();
SELECT result, rule, finding, fix FROM exact.check() WHERE rule IN ('first steps', 'preloaded')
	AND result <> 'ok';
INSERT INTO exact.app (name, client_id) VALUES ('shop', 'x');
SELECT pg_temp.steps();
SELECT pg_temp.secret('app', 'shop', 'client_secret');
SELECT pg_temp.steps();
INSERT INTO exact.app_state (app, state, since) VALUES ('shop', 'authorized', now());
SELECT pg_temp.steps();
INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema)
VALUES ('pond', 'https://adb-1.2.azuredatabricks.net', 'w1', 'main', 'exact');
SELECT pg_temp.steps();
UPDATE exact.workspace SET client_id = 'x';
SELECT pg_temp.steps();
SELECT pg_temp.secret('workspace', 'pond', 'client_secret');
SELECT pg_temp.steps();
INSERT INTO exact.division (division, app, description) VALUES (9000001, 'shop', 'Noord');
SELECT pg_temp.steps();
SELECT exact.headline();
-- an entity of a division that is not enabled; one that is; nothing new; personal data
SELECT * FROM exact.enable_entities(9000001, 'items');
UPDATE exact.division SET enabled = true, workspace = 'pond';
SELECT count(*) FROM pg_temp.steps() AS s WHERE s LIKE '%setup%';
SELECT * FROM exact.enable_entities(9000001, 'items', 'glaccount');
SELECT * FROM exact.enable_entities(9000001, 'items');
SELECT * FROM exact.enable_entities(9000001, 'costcenter', 'costunit', 'employees');
-- a slip in the name of a preset
SAVEPOINT slip;
SELECT * FROM exact.enable_entities(9000001, 'finanse');
ROLLBACK TO slip;
SELECT * FROM exact.enable_entities(9000001, 'comerce');
ROLLBACK;
