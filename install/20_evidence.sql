-- Evidence: a hash chain of events for each worker and one for SQL, and what was sent to both services.

CREATE TABLE exact.audit_chain (
	chain text PRIMARY KEY,
	id bigint NOT NULL DEFAULT 0,
	prev_hash bytea NOT NULL DEFAULT '\x',
	hash bytea NOT NULL DEFAULT '\x'
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
COMMENT ON TABLE exact.audit_log IS 'Events, only ever appended. hash = SHA-256 of prev_hash and the event''s text: exact.verify_audit()';
COMMENT ON COLUMN exact.audit_log.chain IS 'sql, fetcher, loader, listener';
COMMENT ON COLUMN exact.audit_log.id IS '1, 2, 3, … without a gap';
COMMENT ON COLUMN exact.audit_log.at IS 'When';
COMMENT ON COLUMN exact.audit_log.kind IS 'call, token, batch, statement, subscription, notification, configuration, installation, division, request or secret';
COMMENT ON COLUMN exact.audit_log.division IS 'Division';
COMMENT ON COLUMN exact.audit_log.entity IS 'Entity';
COMMENT ON COLUMN exact.audit_log.who IS 'Role that logged in, or the worker';
COMMENT ON COLUMN exact.audit_log.what IS 'The event. A batch has the digest of its versions'' hashes, never payloads';
COMMENT ON COLUMN exact.audit_log.prev_hash IS 'Hash of the event before';
COMMENT ON COLUMN exact.audit_log.hash IS 'Hash of this event';
REVOKE ALL ON TABLE exact.audit_log FROM PUBLIC;
GRANT SELECT ON TABLE exact.audit_log TO exact_reader;
GRANT SELECT, INSERT ON TABLE exact.audit_log TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.audit_log', '');

CREATE FUNCTION exact._audit_log_is_append_only() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RAISE EXCEPTION USING
		ERRCODE = 'EX021',
		MESSAGE = format('events of exact.audit_log are only appended, %s is refused', tg_op),
		HINT = 'SELECT * FROM exact.verify_audit() tells whether someone changed one.';
END
$$;
COMMENT ON FUNCTION exact._audit_log_is_append_only() IS 'Trigger: refuses UPDATE, DELETE and TRUNCATE of events';
REVOKE ALL ON FUNCTION exact._audit_log_is_append_only() FROM PUBLIC;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON exact.audit_log
	FOR EACH STATEMENT EXECUTE FUNCTION exact._audit_log_is_append_only();
COMMENT ON TRIGGER append_only ON exact.audit_log IS 'Events are only appended';

CREATE FUNCTION exact._event_hash(prev_hash bytea, chain text, id bigint, at timestamptz, kind text, division int, entity text, who text, what jsonb)
RETURNS bytea LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN	-- its plan is kept, that of a function in SQL would be made with each event
	RETURN sha256(prev_hash || convert_to(jsonb_build_array(chain, id, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
		kind, division, entity, who, what)::text, 'UTF8'));
END
$$;
COMMENT ON FUNCTION exact._event_hash(bytea, text, bigint, timestamptz, text, int, text, text, jsonb)
	IS 'Hash of an event: SHA-256 of the hash before and the JSON array of its values as text, in UTF-8; time in UTC with microseconds';
REVOKE ALL ON FUNCTION exact._event_hash(bytea, text, bigint, timestamptz, text, int, text, text, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._event_hash(bytea, text, bigint, timestamptz, text, int, text, text, jsonb) TO exact_worker;

CREATE FUNCTION exact._audit(chain text, kind text, division int, entity text, what jsonb) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	appended bigint;
	moment timestamptz := clock_timestamp();
	actor text := CASE WHEN $1 = 'sql' THEN session_user::text ELSE 'exact ' || $1 END;
BEGIN
	-- The hash as exact._event_hash() has it, written out: a function in SQL is parsed and planned anew at every call.
	FOR attempt IN 1 .. 2 LOOP
		WITH head AS (
			UPDATE exact.audit_chain AS c SET id = c.id + 1, prev_hash = c.hash,
				hash = sha256(c.hash || convert_to(jsonb_build_array($1, c.id + 1, to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
					$2, $3, $4, actor, $5)::text, 'UTF8'))
			WHERE c.chain = $1
			RETURNING c.id, c.prev_hash, c.hash
		)
		INSERT INTO exact.audit_log (chain, id, at, kind, division, entity, who, what, prev_hash, hash)
		SELECT $1, head.id, moment, $2, $3, $4, actor, $5, head.prev_hash, head.hash FROM head
		RETURNING audit_log.id INTO appended;
		EXIT WHEN appended IS NOT NULL;
		INSERT INTO exact.audit_chain (chain) VALUES ($1) ON CONFLICT DO NOTHING;
	END LOOP;
	RETURN appended;
END
$$;
COMMENT ON FUNCTION exact._audit(text, text, int, text, jsonb)
	IS 'Appends one event to a chain and returns its id; the chain stays locked until the transaction ends, so users'' events come at commit';
REVOKE ALL ON FUNCTION exact._audit(text, text, int, text, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._audit(text, text, int, text, jsonb) TO exact_worker;

CREATE FUNCTION exact.verify_audit() RETURNS TABLE (chain text, id bigint, finding text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH event AS (
		SELECT l.*, lag(l.id) OVER w AS id_before, lag(l.hash) OVER w AS hash_before, lead(l.id) OVER w AS id_after
		FROM exact.audit_log AS l
		WINDOW w AS (PARTITION BY l.chain ORDER BY l.id)
	)
	SELECT e.chain, e.id, f.finding
	FROM event AS e
	LEFT JOIN exact.audit_chain AS c ON c.chain = e.chain
	CROSS JOIN LATERAL (VALUES
		(e.id <> coalesce(e.id_before, 0) + 1,
			format('%s events before it are missing', e.id - coalesce(e.id_before, 0) - 1)),
		(e.hash <> exact._event_hash(e.prev_hash, e.chain, e.id, e.at, e.kind, e.division, e.entity, e.who, e.what),
			'the event was changed: its hash does not match its content'),
		(e.id = coalesce(e.id_before, 0) + 1 AND e.prev_hash <> coalesce(e.hash_before, '\x'),
			'the event does not follow the one before it: prev_hash is another event''s'),
		(e.id_after IS NULL AND c.chain IS NULL, 'the chain has no head'),
		(e.id_after IS NULL AND c.id > e.id, format('%s events after it are missing: the chain was cut', c.id - e.id)),
		(e.id_after IS NULL AND (c.id < e.id OR (c.id = e.id AND c.hash <> e.hash)), 'the head of the chain is not its last event')
	) AS f (found, finding)
	WHERE f.found
	UNION ALL
	SELECT c.chain, c.id, format('all %s events of the chain are missing', c.id)
	FROM exact.audit_chain AS c
	WHERE c.id > 0 AND NOT EXISTS (SELECT FROM exact.audit_log AS l WHERE l.chain = c.chain)
	ORDER BY 1, 2
$$;
COMMENT ON FUNCTION exact.verify_audit() IS 'Recomputes all chains of exact.audit_log; one row for each event that was changed, is missing or does not follow; no row: intact';
REVOKE ALL ON FUNCTION exact.verify_audit() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.verify_audit() TO exact_reader;
GRANT EXECUTE ON FUNCTION exact._event_hash(bytea, text, bigint, timestamptz, text, int, text, text, jsonb) TO exact_reader;

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
	error text
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
	kind text NOT NULL CHECK (kind IN ('ddl', 'history', 'current', 'check', 'fence', 'state', 'view')),
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
	finished_at timestamptz
);
COMMENT ON TABLE exact.statement_log IS 'Every statement sent to Databricks';
COMMENT ON COLUMN exact.statement_log.id IS 'Order';
COMMENT ON COLUMN exact.statement_log.at IS 'When it was sent';
COMMENT ON COLUMN exact.statement_log.workspace IS 'Workspace';
COMMENT ON COLUMN exact.statement_log.entity IS 'Entity';
COMMENT ON COLUMN exact.statement_log.table_name IS 'Delta table';
COMMENT ON COLUMN exact.statement_log.kind IS 'ddl, history (insert of versions), current (merge of the state), check (post-condition), fence (claim of the epoch), state (exact_open, exact_state) or view';
COMMENT ON COLUMN exact.statement_log.first_batch IS 'First version of the delivery: batch';
COMMENT ON COLUMN exact.statement_log.first_ord IS 'First version of the delivery: place in the batch';
COMMENT ON COLUMN exact.statement_log.last_batch IS 'Last version of the delivery: batch';
COMMENT ON COLUMN exact.statement_log.last_ord IS 'Last version of the delivery: place in the batch, included';
COMMENT ON COLUMN exact.statement_log.rows IS 'Versions in the delivery';
COMMENT ON COLUMN exact.statement_log.statement_id IS 'Id that Databricks gave';
COMMENT ON COLUMN exact.statement_log.state IS 'sending; unknown: the answer was lost; running; succeeded; failed';
COMMENT ON COLUMN exact.statement_log.attempt IS '1, 2, …';
COMMENT ON COLUMN exact.statement_log.took_ms IS 'Milliseconds from sending to the end';
COMMENT ON COLUMN exact.statement_log.affected IS 'Rows that Databricks says it wrote';
COMMENT ON COLUMN exact.statement_log.error IS 'What Databricks answered';
COMMENT ON COLUMN exact.statement_log.sqlstate IS 'SQLSTATE of that';
COMMENT ON COLUMN exact.statement_log.finished_at IS 'When it ended';
CREATE INDEX statement_log_delivery ON exact.statement_log (entity, last_batch) WHERE first_batch IS NOT NULL;
COMMENT ON INDEX exact.statement_log_delivery IS 'Statements that delivered a version';
REVOKE ALL ON TABLE exact.statement_log FROM PUBLIC;
GRANT SELECT ON TABLE exact.statement_log TO exact_reader;
GRANT SELECT, INSERT, UPDATE ON TABLE exact.statement_log TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.statement_log', '');

