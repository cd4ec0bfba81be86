-- Evidence: a hash chain of events for each worker and one for SQL.

CREATE TABLE exact.audit_chain (
	chain text PRIMARY KEY,
	id bigint NOT NULL DEFAULT 0,
	prev_hash bytea NOT NULL DEFAULT E'\\x',
	hash bytea NOT NULL DEFAULT E'\\x'
);
COMMENT ON TABLE exact.audit_chain IS 'Heads of the chains: last event of each';
COMMENT ON COLUMN exact.audit_chain.chain IS 'sql, fetcher, loader, listener';
COMMENT ON COLUMN exact.audit_chain.id IS 'Id of the last event';
COMMENT ON COLUMN exact.audit_chain.prev_hash IS 'Hash of the event before it';
COMMENT ON COLUMN exact.audit_chain.hash IS 'Hash of the last event';
REVOKE ALL ON TABLE exact.audit_chain FROM PUBLIC;
GRANT SELECT ON TABLE exact.audit_chain TO exact_reader;
GRANT SELECT, INSERT, UPDATE ON TABLE exact.audit_chain TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.audit_chain', '');

CREATE TABLE exact.audit_log (
	chain text,
	id bigint,
	at timestamptz NOT NULL,
	kind text NOT NULL,
	division int,
	entity text,
	who text NOT NULL,
	what jsonb NOT NULL,
	prev_hash bytea NOT NULL,
	hash bytea NOT NULL,
	PRIMARY KEY (chain, id)
);
COMMENT ON TABLE exact.audit_log
	IS 'Events, appended, and removed from the oldest end only, after audit_retention. hash = '
		'SHA-256 of prev_hash and the event''s text: exact.verify_audit()';
COMMENT ON COLUMN exact.audit_log.chain IS 'sql, fetcher, loader, listener';
COMMENT ON COLUMN exact.audit_log.id
	IS '1, 2, 3, … without a gap; the first one follows exact.audit_anchor';
COMMENT ON COLUMN exact.audit_log.at IS 'When';
COMMENT ON COLUMN exact.audit_log.kind
	IS 'call, token, batch, statement, subscription, notification, configuration, installation, '
		'division, request, secret, inquiry, write-back, month-end, erasure or removal';
COMMENT ON COLUMN exact.audit_log.division IS 'Division';
COMMENT ON COLUMN exact.audit_log.entity IS 'Entity';
COMMENT ON COLUMN exact.audit_log.who
	IS 'Role that logged in, also where a worker did it for that role; or the worker';
COMMENT ON COLUMN exact.audit_log.what
	IS 'The event. A batch has the digest of its versions'' hashes, never payloads. carried: an '
		'event that was removed and is still needed, appended once more, with its id, time and '
		'hash of then';
COMMENT ON COLUMN exact.audit_log.prev_hash IS 'Hash of the event before';
COMMENT ON COLUMN exact.audit_log.hash IS 'Hash of this event';
REVOKE ALL ON TABLE exact.audit_log FROM PUBLIC;
GRANT SELECT ON TABLE exact.audit_log TO exact_reader;
GRANT SELECT, INSERT ON TABLE exact.audit_log TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.audit_log', '');

CREATE TABLE exact.audit_anchor (
	chain text PRIMARY KEY,
	id bigint NOT NULL,
	at timestamptz NOT NULL,
	hash bytea NOT NULL
);
COMMENT ON TABLE exact.audit_anchor
	IS 'Where each chain of exact.audit_log begins: its last event that was removed after '
		'audit_retention. The chain''s last event of the kind removal says the same';
COMMENT ON COLUMN exact.audit_anchor.chain IS 'sql, fetcher, loader, listener';
COMMENT ON COLUMN exact.audit_anchor.id IS 'Id of that event: all up to it were removed';
COMMENT ON COLUMN exact.audit_anchor.at IS 'Its time';
COMMENT ON COLUMN exact.audit_anchor.hash IS 'Its hash, which the event after it follows';
REVOKE ALL ON TABLE exact.audit_anchor FROM PUBLIC;
GRANT SELECT ON TABLE exact.audit_anchor TO exact_reader, exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.audit_anchor', '');

-- What is evidence: the events, and the reports of month-end.
CREATE FUNCTION exact._is_append_only() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RAISE EXCEPTION USING
		ERRCODE = 'EX021',
		MESSAGE = format('%s of exact.%I are only appended, %s is refused', tg_argv[0],
			tg_table_name, tg_op),
		HINT = tg_argv[1];
END
$$;
COMMENT ON FUNCTION exact._is_append_only()
	IS 'Trigger: refuses UPDATE, DELETE and TRUNCATE; arguments: what the rows are, and a hint';
REVOKE ALL ON FUNCTION exact._is_append_only() FROM PUBLIC;
