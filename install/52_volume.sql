-- Whether the volumes of the workspaces can be used: written by the loader.

CREATE TABLE exact.volume_state (
	workspace text PRIMARY KEY,
	volume text NOT NULL,
	seen_at timestamptz NOT NULL,
	reason text,
	next_step text
);
COMMENT ON TABLE exact.volume_state IS 'State of the volumes that carry large deliveries';
COMMENT ON COLUMN exact.volume_state.workspace IS 'Workspace';
COMMENT ON COLUMN exact.volume_state.volume IS 'Volume that was used, or was to be';
COMMENT ON COLUMN exact.volume_state.seen_at IS 'When that was found';
COMMENT ON COLUMN exact.volume_state.reason IS 'Why it could not be used; null: it could';
COMMENT ON COLUMN exact.volume_state.next_step IS 'What to do';
REVOKE ALL ON TABLE exact.volume_state FROM PUBLIC;
GRANT SELECT ON TABLE exact.volume_state TO exact_reader;
GRANT SELECT, INSERT, UPDATE ON TABLE exact.volume_state TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.volume_state', '');
