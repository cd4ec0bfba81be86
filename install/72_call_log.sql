-- Evidence: what was sent to both services.

CREATE SEQUENCE exact.call_id;
COMMENT ON SEQUENCE exact.call_id IS 'Ids of exact.api_call';
REVOKE ALL ON SEQUENCE exact.call_id FROM PUBLIC;
GRANT SELECT, USAGE ON SEQUENCE exact.call_id TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.call_id', '');

CREATE SEQUENCE exact.statement_id;
COMMENT ON SEQUENCE exact.statement_id IS 'Ids of exact.statement_log';
REVOKE ALL ON SEQUENCE exact.statement_id FROM PUBLIC;
GRANT SELECT, USAGE ON SEQUENCE exact.statement_id TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.statement_id', '');

CREATE TABLE exact.api_call (
	id bigint PRIMARY KEY DEFAULT pg_catalog.nextval('exact.call_id'),
	at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	took_ms real,
	app text,
	division int,
	feed text,
	method text,
	path text,
	status int,
	outcome text,
	rows int,
	bytes bigint,
	minute_left int,
	day_left int,
	reason text,
	error text,
	asked_by text
);
COMMENT ON TABLE exact.api_call IS 'Every call to Exact Online';
COMMENT ON COLUMN exact.api_call.id IS 'Order';
COMMENT ON COLUMN exact.api_call.at IS 'When it was sent';
COMMENT ON COLUMN exact.api_call.took_ms IS 'Milliseconds until the last byte of the answer';
COMMENT ON COLUMN exact.api_call.app IS 'App whose token was used';
COMMENT ON COLUMN exact.api_call.division IS 'Division; null: not below one';
COMMENT ON COLUMN exact.api_call.feed IS 'Feed that asked';
COMMENT ON COLUMN exact.api_call.method IS 'HTTP method';
COMMENT ON COLUMN exact.api_call.path IS 'Resource and query, without secrets';
COMMENT ON COLUMN exact.api_call.status IS 'HTTP status; null: no answer';
COMMENT ON COLUMN exact.api_call.outcome IS 'How it ended';
COMMENT ON COLUMN exact.api_call.rows IS 'Records in the answer';
COMMENT ON COLUMN exact.api_call.bytes IS 'Bytes of the answer';
COMMENT ON COLUMN exact.api_call.minute_left IS 'Calls left in the minute, as the answer said';
COMMENT ON COLUMN exact.api_call.day_left IS 'Calls left in the day, as the answer said';
COMMENT ON COLUMN exact.api_call.reason IS 'Reason that the service gave for a refusal';
COMMENT ON COLUMN exact.api_call.error IS 'What went wrong';
COMMENT ON COLUMN exact.api_call.asked_by
	IS 'Role that asked for it; null: the hub, for its own work';
REVOKE ALL ON TABLE exact.api_call FROM PUBLIC;
GRANT SELECT ON TABLE exact.api_call TO exact_reader;
GRANT SELECT, INSERT, UPDATE ON TABLE exact.api_call TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.api_call', '');

CREATE TABLE exact.statement_log (
	id bigint PRIMARY KEY DEFAULT pg_catalog.nextval('exact.statement_id'),
	at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	workspace text,
	entity text,
	table_name text,
	kind text NOT NULL CHECK (
		kind IN (
			'ddl', 'history', 'current', 'check', 'read', 'fence', 'state', 'view', 'erase',
			'maintenance')),
	first_batch bigint,
	first_ord int,
	last_batch bigint,
	last_ord int,
	rows int,
	statement_id text,
	state text NOT NULL CHECK (state IN ('sending', 'unknown', 'running', 'succeeded', 'failed')),
	attempt int NOT NULL DEFAULT 1,
	took_ms real,
	affected bigint,
	error text,
	sqlstate text,
	finished_at timestamptz,
	bytes bigint
);
COMMENT ON TABLE exact.statement_log IS 'Every statement sent to Databricks';
COMMENT ON COLUMN exact.statement_log.id IS 'Order';
COMMENT ON COLUMN exact.statement_log.at IS 'When it was sent';
COMMENT ON COLUMN exact.statement_log.workspace IS 'Workspace';
COMMENT ON COLUMN exact.statement_log.entity IS 'Entity';
COMMENT ON COLUMN exact.statement_log.table_name IS 'Delta table';
COMMENT ON COLUMN exact.statement_log.kind
	IS 'ddl, history (insert of versions), current (merge of the state), check (post-condition), '
		'read (edits of a dimension), fence (claim of the epoch), state (exact_open, '
		'exact_state; keys and hashes of a dimension), view, erase (a record that was erased) or '
		'maintenance (OPTIMIZE, VACUUM)';
COMMENT ON COLUMN exact.statement_log.first_batch IS 'First version of the delivery: batch';
COMMENT ON COLUMN exact.statement_log.first_ord
	IS 'First version of the delivery: place in the batch';
COMMENT ON COLUMN exact.statement_log.last_batch IS 'Last version of the delivery: batch';
COMMENT ON COLUMN exact.statement_log.last_ord
	IS 'Last version of the delivery: place in the batch, included';
COMMENT ON COLUMN exact.statement_log.rows IS 'Versions in the delivery';
COMMENT ON COLUMN exact.statement_log.statement_id IS 'Id that Databricks gave';
COMMENT ON COLUMN exact.statement_log.state
	IS 'sending; unknown: the answer was lost; running; succeeded; failed';
COMMENT ON COLUMN exact.statement_log.attempt IS '1, 2, …';
COMMENT ON COLUMN exact.statement_log.took_ms IS 'Milliseconds from sending to the end';
COMMENT ON COLUMN exact.statement_log.affected IS 'Rows that Databricks says it wrote';
COMMENT ON COLUMN exact.statement_log.error IS 'What Databricks answered';
COMMENT ON COLUMN exact.statement_log.sqlstate IS 'SQLSTATE of that';
COMMENT ON COLUMN exact.statement_log.finished_at IS 'When it ended';
COMMENT ON COLUMN exact.statement_log.bytes
	IS 'Bytes of rows that were sent for it: its parameter, or files; of the latter once a '
		'delivery';
CREATE INDEX statement_log_delivery ON exact.statement_log (entity, last_batch)
	WHERE first_batch IS NOT NULL;
COMMENT ON INDEX exact.statement_log_delivery IS 'Statements that delivered a version';
REVOKE ALL ON TABLE exact.statement_log FROM PUBLIC;
GRANT SELECT ON TABLE exact.statement_log TO exact_reader;
GRANT SELECT, INSERT, UPDATE ON TABLE exact.statement_log TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.statement_log', '');
