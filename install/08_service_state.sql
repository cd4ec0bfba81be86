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
	IS 'Result of the last calls to each app and workspace; read it as exact.services';
COMMENT ON COLUMN exact.service_state.side IS 'exact: an app; databricks: a workspace';
COMMENT ON COLUMN exact.service_state.name IS 'App or workspace';
COMMENT ON COLUMN exact.service_state.asked_at IS 'Last call, to about ten seconds';
COMMENT ON COLUMN exact.service_state.answered_at IS 'Last good answer, to about ten seconds';
COMMENT ON COLUMN exact.service_state.failing_since
	IS 'First call after the last good answer; null: the last call got a good answer';
COMMENT ON COLUMN exact.service_state.kind
	IS 'silent: the service does not answer; token: it answers, but refuses the access token or '
		'gives none';
COMMENT ON COLUMN exact.service_state.cause IS 'Result of the last failed call';
COMMENT ON COLUMN exact.service_state.slowed_until
	IS 'The service asked for no call before this time';
COMMENT ON COLUMN exact.service_state.starting_since
	IS 'Since when its SQL warehouse is being started; null: it is not';
REVOKE ALL ON TABLE exact.service_state FROM PUBLIC;
GRANT SELECT ON TABLE exact.service_state TO exact_reader;
GRANT SELECT, INSERT, UPDATE ON TABLE exact.service_state TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.service_state', '');
