-- A database where an old application wants standard_conforming_strings off; 19 refuses that.
SELECT current_setting('server_version_num')::int < 190000 AS has_old_strings \gset
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS exact_databricks CASCADE;
\if :has_old_strings
ALTER DATABASE :DBNAME SET standard_conforming_strings = off;
SET standard_conforming_strings = off;
SET escape_string_warning = off;
\endif
SET client_min_messages = error;
CREATE EXTENSION exact_databricks;
RESET client_min_messages;
\set SHOW_CONTEXT never
SELECT count(*) > 5 AS checks FROM exact.check();
SELECT exact._query_value('https://hub.example/exact/callback?code=a%2Bb&state=s', 'code') AS code,
	exact._query_value('https://hub.example/exact/callback?code=a%2Bb&state=s#x', 'state') AS state;
INSERT INTO exact.app (name, client_id, base_url) VALUES ('a', 'x', 'https://[::1]:8443/');
BEGIN;
INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema)
VALUES ('w', 'https://accounts.azuredatabricks.net', 'w1', 'main', 'exact');
ROLLBACK;
SELECT exact.enable_entities(1, 'nothing');
DELETE FROM exact.app;
ALTER DATABASE :DBNAME RESET standard_conforming_strings;
SET client_min_messages = warning;
DROP EXTENSION exact_databricks CASCADE;
