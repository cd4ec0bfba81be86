-- State of the Delta tables: written by the loader and by exact.resume().

CREATE TABLE exact.target_state (
	workspace text,
	entity text,
	table_name text,
	history_name text,
	created_at timestamptz,
	columns_digest text,
	delivered_at timestamptz,
	paused_since timestamptz,
	sqlstate text,
	reason text,
	next_step text,
	attempts int NOT NULL DEFAULT 0,
	next_attempt_at timestamptz,
	compared_epoch int,
	current_version bigint DEFAULT -1,
	history_version bigint DEFAULT -1,
	lost boolean NOT NULL DEFAULT false,
	rewrite_below bigint,
	note text,
	note_step text,
	maintained_at timestamptz,
	maintain_at timestamptz,
	first_rows int,
	PRIMARY KEY (workspace, entity)
);
COMMENT ON TABLE exact.target_state IS 'State of the Delta tables of each entity and workspace';
COMMENT ON COLUMN exact.target_state.workspace IS 'Workspace';
COMMENT ON COLUMN exact.target_state.entity IS 'Entity';
COMMENT ON COLUMN exact.target_state.table_name IS 'Full name of the table of the current state';
COMMENT ON COLUMN exact.target_state.history_name IS 'Full name of the table of all versions';
COMMENT ON COLUMN exact.target_state.created_at IS 'When the hub first found or made them';
COMMENT ON COLUMN exact.target_state.columns_digest
	IS 'Digest of names and types of the columns as last verified';
COMMENT ON COLUMN exact.target_state.delivered_at IS 'Last delivery';
COMMENT ON COLUMN exact.target_state.paused_since IS 'Deliveries are paused since; null: they run';
COMMENT ON COLUMN exact.target_state.sqlstate IS 'SQLSTATE of the refusal';
COMMENT ON COLUMN exact.target_state.reason IS 'Why';
COMMENT ON COLUMN exact.target_state.next_step IS 'What to do';
COMMENT ON COLUMN exact.target_state.attempts IS 'Attempts in a row that failed';
COMMENT ON COLUMN exact.target_state.next_attempt_at IS 'When the hub tries again by itself';
COMMENT ON COLUMN exact.target_state.compared_epoch
	IS 'Epoch of the last search in the table for versions that this database does not know; '
		'null: never';
COMMENT ON COLUMN exact.target_state.current_version
	IS 'The hub has looked at the operations of table_name up to this version; -1: none yet; '
		'null: the next look begins with the current version';
COMMENT ON COLUMN exact.target_state.history_version IS 'The same of history_name';
COMMENT ON COLUMN exact.target_state.lost
	IS 'The tables lack what was delivered. As soon as deliveries are not paused, the hub '
		'delivers everything again';
COMMENT ON COLUMN exact.target_state.rewrite_below
	IS 'Versions of batches below this one are written over their rows in the tables; null: '
		'nothing was delivered again yet';
COMMENT ON COLUMN exact.target_state.note
	IS 'What the last look at the operations found that does not pause deliveries; null: nothing';
COMMENT ON COLUMN exact.target_state.note_step IS 'What to do about it';
COMMENT ON COLUMN exact.target_state.maintained_at
	IS 'When the hub ran OPTIMIZE and VACUUM on the tables; null: never';
COMMENT ON COLUMN exact.target_state.maintain_at
	IS 'When it is to do so again, if predictive optimization is off '
		'(exact.workspace.maintenance); null: a week after they were made';
COMMENT ON COLUMN exact.target_state.first_rows
	IS 'Rows that the hub has sent to the tables as their first ones, by an INSERT; null: their '
		'first rows came by a MERGE';
REVOKE ALL ON TABLE exact.target_state FROM PUBLIC;
GRANT SELECT ON TABLE exact.target_state TO exact_reader;
GRANT SELECT, INSERT, UPDATE ON TABLE exact.target_state TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.target_state', '');
