-- Requests of operators.

CREATE SEQUENCE exact.request_id;
COMMENT ON SEQUENCE exact.request_id IS 'Ids of exact.request';
REVOKE ALL ON SEQUENCE exact.request_id FROM PUBLIC;
GRANT SELECT, USAGE ON SEQUENCE exact.request_id TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.request_id', '');

CREATE TABLE exact.request (
	id bigint PRIMARY KEY DEFAULT pg_catalog.nextval('exact.request_id'),
	kind text NOT NULL,
	division int,
	entity text,
	workspace text,
	args jsonb,
	state text NOT NULL DEFAULT 'queued' CHECK (
		state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
	made_by text NOT NULL DEFAULT session_user,
	made_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	started_at timestamptz,
	finished_at timestamptz,
	result text,
	cancel_wanted boolean NOT NULL DEFAULT false,
	made_in xid8 NOT NULL DEFAULT pg_catalog.pg_current_xact_id()
);
COMMENT ON TABLE exact.request
	IS 'Requests of operators: work for a worker, and verbs that were done at once';
COMMENT ON COLUMN exact.request.id IS 'Order; for exact.wait() and exact.cancel()';
COMMENT ON COLUMN exact.request.kind
	IS 'sync, backfill, subscribe, pause, resume, enable, disable, adopt, fence, '
		'approve, reject, retry, restart, rotate_key, schedule, read_dimensions, replay, erase';
COMMENT ON COLUMN exact.request.division IS 'Division; null: all';
COMMENT ON COLUMN exact.request.entity IS 'Entity; null: all';
COMMENT ON COLUMN exact.request.workspace IS 'Workspace; null: all';
COMMENT ON COLUMN exact.request.args IS 'Further arguments';
COMMENT ON COLUMN exact.request.state IS 'queued, running, done, failed or cancelled';
COMMENT ON COLUMN exact.request.made_by IS 'Who asked';
COMMENT ON COLUMN exact.request.made_at IS 'When';
COMMENT ON COLUMN exact.request.started_at IS 'When a worker took it';
COMMENT ON COLUMN exact.request.finished_at IS 'When it ended';
COMMENT ON COLUMN exact.request.result IS 'How it ended';
COMMENT ON COLUMN exact.request.cancel_wanted IS 'It is to be stopped';
COMMENT ON COLUMN exact.request.made_in IS 'Transaction that made it: exact.wait() refuses its own';
CREATE INDEX request_open ON exact.request (kind, division, entity)
	WHERE state IN ('queued', 'running');
COMMENT ON INDEX exact.request_open IS 'Requests that are not done';
REVOKE ALL ON TABLE exact.request FROM PUBLIC;
GRANT SELECT ON TABLE exact.request TO exact_reader;
GRANT SELECT, INSERT, UPDATE ON TABLE exact.request TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.request', '');
