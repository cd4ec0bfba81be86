-- Secrets without a worker: addresses, what set_secret() refuses, what is set, the consent of a
-- user.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
SET client_min_messages = notice;
SET log_statement = none;
SET log_min_duration_statement = -1;
SET log_min_duration_sample = -1;
SET log_transaction_sample_rate = 0;
\set SHOW_CONTEXT never

-- addresses as secrets are bound to them
SELECT exact._app_host(base_url, region) FROM (VALUES
	(NULL, 'nl'), (NULL, 'uk'), (NULL, 'us'), (NULL, 'xx'),
	('https://Proxy.Example.COM:443/', 'nl'), ('https://proxy.example.com:8443', 'nl'),
	('ftp://proxy.example.com', 'nl'), ('', 'be')) AS a (base_url, region);
SELECT host, exact._workspace_host(host) FROM (VALUES
	('adb-1.2.azuredatabricks.net'), ('https://ADB-1.2.azuredatabricks.net/'),
	('https://adb-1.2.azuredatabricks.net:443/sql/editor?o=1#x'),
	('https://dbc-1.cloud.databricks.com:8443/?o=123'),
	('  https://dbc-1.cloud.databricks.com/browse  '), ('http://127.0.0.1:8080'),
	('https://user@dbc-1.cloud.databricks.com'), ('https://accounts.cloud.databricks.com'),
	('accounts-dod.cloud.databricks.us'),
	('ftp://dbc-1.cloud.databricks.com'), ('https://'), ('')) AS w (host);
SELECT exact._url_encode('https://hub.example.com/exact/callback?a=b c+d&é~'),
	exact._url_decode('a%20b%2Bc+%C3%A9');
SELECT exact._url_decode('%zz');
SELECT exact._url_decode('a%00b');
SELECT exact._url_decode('%ff');
SELECT exact._query_value('https://hub.example.com/exact/callback?code=a%2Bb%3D&state=s1#frag',
	name)
FROM (VALUES ('code'), ('state'), ('ode'), ('x')) AS n (name);

-- what is refused before anything is encrypted
INSERT INTO exact.app (name, client_id, redirect_uri)
VALUES ('regress', '6f9d1c2e-0000-4000-8000-000000000001', 'https://hub.example.com/cb');
INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema)
VALUES ('regress', 'adb-1.2.azuredatabricks.net', '475b94ddc7cd5211', 'main', 'exact');
SELECT exact.set_secret('app', 'regress', 'password', 'x');
SELECT exact.set_secret('division', 'regress', 'client_secret', 'x');
SELECT exact.set_secret('workspace', 'regress', 'refresh_token', 'x');
SELECT exact.set_secret('app', 'regress', 'client_secret', '');
SELECT exact.set_secret('app', 'regress', 'client_secret', E'two\nlines');
SELECT exact.set_secret('app', 'regress', 'client_secret', repeat('x', 65537));
SELECT exact.set_secret('app', 'regress', 'webhook_secret', 'fifteen bytes..');
SELECT exact.set_secret('app', 'regress', 'webhook_secret_next', 'fifteen bytes..');
SELECT exact.set_secret('listener', 'status', 'token', repeat('x', 31));
SELECT exact.set_secret('app', 'regress', 'client_secret', NULL);
SELECT exact.set_secret('app', 'nobody', 'client_secret', 'x');
SELECT exact.set_secret('workspace', 'nobody', 'token', 'x');

-- and while it would be logged
SET log_min_duration_statement = 0;
SELECT exact.set_secret('app', 'regress', 'client_secret', 'x');
SET log_min_duration_statement = -1;
SET log_min_duration_sample = '1s';
SELECT exact.set_secret('app', 'regress', 'client_secret', 'x');
SET log_min_duration_sample = -1;
SET log_transaction_sample_rate = 0.5;
SELECT exact.set_secret('app', 'regress', 'client_secret', 'x');
SET log_transaction_sample_rate = 0;
SET log_statement = 'all';
SELECT exact.set_secret('app', 'regress', 'client_secret', 'x');
SET log_statement = 'ddl';
DO $$ BEGIN PERFORM exact.set_secret('app', 'regress', 'client_secret', 'x'); END $$;
EXPLAIN ANALYZE SELECT exact.set_secret('app', 'regress', 'client_secret', 'x');
SET log_statement = none;
SELECT count(*) FROM exact.credential WHERE name = 'regress';

-- what is missing
SELECT kind, name, field, is_set, finding
FROM exact.credentials
WHERE name = 'regress'
ORDER BY kind;
UPDATE exact.workspace
SET client_id = '5c4d0000-0000-4000-8000-000000000002'
WHERE name = 'regress';
SELECT kind, name, field, is_set, finding
FROM exact.credentials
WHERE name = 'regress'
ORDER BY kind;

-- the consent of a user
SELECT regexp_replace(exact.authorize_url('regress'), '[0-9a-f]{64}', '<state>');
SELECT length(oauth_state), redirect_uri, state FROM exact.app_state WHERE app = 'regress';
SELECT exact.authorize_url('nobody');
SELECT exact.authorize('regress', 'https://hub.example.com/cb?code=c&state=wrong');
SELECT exact.authorize('regress', 'https://hub.example.com/cb');
SELECT exact.authorize('regress', NULL);
SELECT exact.authorize('regress',
	'https://hub.example.com/cb?error=access_denied&error_description=no');
UPDATE exact.app_state
SET oauth_state = 'known', oauth_state_at = clock_timestamp() - interval '11 min'
WHERE app = 'regress';
SELECT exact.authorize('regress', 'https://hub.example.com/cb?code=c&state=known');
UPDATE exact.app_state SET oauth_state = NULL WHERE app = 'regress';
SELECT exact.authorize('regress', 'https://hub.example.com/cb?code=c&state=known');

-- rights
CREATE ROLE regress_exact_operator IN ROLE exact_operator;
SET ROLE regress_exact_operator;
SELECT count(*) FROM exact.credentials WHERE name = 'regress';
SELECT secret FROM exact.credential;
SELECT access FROM exact.token;
SELECT exact.set_secret('app', 'regress', 'client_secret', 'x');
SELECT exact.rotate_key();
SELECT exact.authorize_url('regress');
SELECT exact.authorize('regress', 'x');
SELECT * FROM exact.import_secrets();
RESET ROLE;
DROP ROLE regress_exact_operator;
DELETE FROM exact.app_state WHERE app = 'regress';
DELETE FROM exact.app WHERE name = 'regress';
DELETE FROM exact.workspace WHERE name = 'regress';
