-- Does each app of Exact Online, and each workspace of Databricks, answer? Written by the worker
-- that calls it: the fetcher for apps, the loader for workspaces.

CREATE TABLE exact.service_state (
	side text CHECK (side IN ('exact', 'databricks')),
	name text,
	asked_at timestamptz,
	answered_at timestamptz,
	failing_since timestamptz,
	kind text CHECK (kind IN ('silent', 'token')),
	cause text,
	slowed_until timestamptz,
	starting_since timestamptz,
	PRIMARY KEY (side, name)
);
COMMENT ON TABLE exact.service_state
	IS 'What the last calls to each app and workspace came to; read it as exact.services';
COMMENT ON COLUMN exact.service_state.side IS 'exact: an app; databricks: a workspace';
COMMENT ON COLUMN exact.service_state.name IS 'App or workspace';
COMMENT ON COLUMN exact.service_state.asked_at IS 'Last call, to about ten seconds';
COMMENT ON COLUMN exact.service_state.answered_at IS 'Last good answer, to about ten seconds';
COMMENT ON COLUMN exact.service_state.failing_since
	IS 'First call that no good answer has followed; null: the last one was answered well';
COMMENT ON COLUMN exact.service_state.kind
	IS 'silent: it does not answer; token: it answers, and takes or gives no access token';
COMMENT ON COLUMN exact.service_state.cause IS 'What the last of them came to';
COMMENT ON COLUMN exact.service_state.slowed_until IS 'It asked to be called again no earlier';
COMMENT ON COLUMN exact.service_state.starting_since
	IS 'Since when its SQL warehouse is being started; null: it is not';
REVOKE ALL ON TABLE exact.service_state FROM PUBLIC;
GRANT SELECT ON TABLE exact.service_state TO exact_reader;
GRANT SELECT, INSERT, UPDATE ON TABLE exact.service_state TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.service_state', '');
