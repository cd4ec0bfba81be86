-- Whether the callback addresses lead to this hub, as the hub itself found.

CREATE TABLE exact.callback (
	url text PRIMARY KEY,
	state text NOT NULL CHECK (state IN ('ok', 'unsure', 'broken')),
	since timestamptz NOT NULL DEFAULT pg_catalog.now(),
	tried_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	took_ms real,
	finding text NOT NULL,
	next_step text
);
COMMENT ON TABLE exact.callback
	IS 'Addresses at which notifications are to come in, tried by an empty POST as Exact '
		'Online does it';
COMMENT ON COLUMN exact.callback.url IS 'Address';
COMMENT ON COLUMN exact.callback.state
	IS 'ok; unsure: the hub cannot test it from here, Exact Online may reach it; broken: a caller '
		'gets a wrong answer';
COMMENT ON COLUMN exact.callback.since IS 'In this state since';
COMMENT ON COLUMN exact.callback.tried_at IS 'When it was tried last';
COMMENT ON COLUMN exact.callback.took_ms IS 'Milliseconds until the answer';
COMMENT ON COLUMN exact.callback.finding IS 'What was found';
COMMENT ON COLUMN exact.callback.next_step IS 'What to do; null: nothing';
REVOKE ALL ON TABLE exact.callback FROM PUBLIC;
GRANT SELECT ON TABLE exact.callback TO exact_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE exact.callback TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.callback', '');
