-- How events are appended to the chains, and how the chains are verified.

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
COMMENT ON FUNCTION exact._audit_log_is_append_only()
	IS 'Trigger: refuses UPDATE, DELETE and TRUNCATE of events';
REVOKE ALL ON FUNCTION exact._audit_log_is_append_only() FROM PUBLIC;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON exact.audit_log
	FOR EACH STATEMENT EXECUTE FUNCTION exact._audit_log_is_append_only();
COMMENT ON TRIGGER append_only ON exact.audit_log IS 'Events are only appended';

CREATE FUNCTION exact._event_hash(
		prev_hash bytea, chain text, id bigint, at timestamptz, kind text, division int,
		entity text, who text, what jsonb)
RETURNS bytea LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN	-- its plan is kept, that of a function in SQL would be made with each event
	RETURN sha256(prev_hash || convert_to(
		jsonb_build_array(chain, id,
			to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
			kind, division, entity, who, what)::text, 'UTF8'));
END
$$;
COMMENT ON FUNCTION exact._event_hash(
		bytea, text, bigint, timestamptz, text, int, text, text, jsonb)
	IS 'Hash of an event: SHA-256 of the hash before and the JSON array of its values as text, in '
		'UTF-8; time in UTC with microseconds';
REVOKE ALL ON FUNCTION exact._event_hash FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._event_hash TO exact_reader, exact_worker;

CREATE FUNCTION exact._audit(
		chain text, kind text, division int, entity text, what jsonb, who text = NULL)
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	appended bigint;
	moment timestamptz := clock_timestamp();
	actor text := CASE
		WHEN $1 = 'sql' THEN session_user::text
		ELSE coalesce($6, 'exact ' || $1)
	END;
BEGIN
	-- The hash as exact._event_hash() has it, written out: a function in SQL is parsed and planned
	-- anew at every call.
	FOR attempt IN 1 .. 2 LOOP
		WITH head AS (
			UPDATE exact.audit_chain AS c SET id = c.id + 1, prev_hash = c.hash,
				hash = sha256(c.hash || convert_to(
					jsonb_build_array($1, c.id + 1,
						to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
						$2, $3, $4, actor, $5)::text, 'UTF8'))
			WHERE c.chain = $1
			RETURNING c.id, c.prev_hash, c.hash
		)
		INSERT INTO exact.audit_log
			(chain, id, at, kind, division, entity, who, what, prev_hash, hash)
		SELECT $1, head.id, moment, $2, $3, $4, actor, $5, head.prev_hash, head.hash
		FROM head
		RETURNING audit_log.id INTO appended;
		EXIT WHEN appended IS NOT NULL;
		INSERT INTO exact.audit_chain (chain) VALUES ($1) ON CONFLICT DO NOTHING;
	END LOOP;
	RETURN appended;
END
$$;
COMMENT ON FUNCTION exact._audit(text, text, int, text, jsonb, text)
	IS 'Appends one event to a chain and returns its id; the chain stays locked until the '
		'transaction ends, so users'' events come at commit. who: the role that a worker did it '
		'for';
REVOKE ALL ON FUNCTION exact._audit(text, text, int, text, jsonb, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._audit(text, text, int, text, jsonb, text) TO exact_worker;

CREATE FUNCTION exact.verify_audit() RETURNS TABLE (chain text, id bigint, finding text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH event AS (
		SELECT l.*, lag(l.id) OVER w AS id_before, lag(l.hash) OVER w AS hash_before,
			lead(l.id) OVER w AS id_after
		FROM exact.audit_log AS l
		WINDOW w AS (PARTITION BY l.chain ORDER BY l.id)
	)
	SELECT e.chain, e.id, f.finding
	FROM event AS e
	LEFT JOIN exact.audit_chain AS c ON c.chain = e.chain
	CROSS JOIN LATERAL (VALUES
		(e.id <> coalesce(e.id_before, 0) + 1,
			format('%s events before it are missing', e.id - coalesce(e.id_before, 0) - 1)),
		(e.hash <> exact._event_hash(e.prev_hash, e.chain, e.id, e.at, e.kind, e.division, e.entity,
				e.who, e.what),
			'the event was changed: its hash does not match its content'),
		(e.id = coalesce(e.id_before, 0) + 1 AND e.prev_hash <> coalesce(e.hash_before, E'\\x'),
			'the event does not follow the one before it: prev_hash is another event''s'),
		(e.id_after IS NULL AND c.chain IS NULL, 'the chain has no head'),
		(e.id_after IS NULL AND c.id > e.id,
			format('%s events after it are missing: the chain was cut', c.id - e.id)),
		(e.id_after IS NULL AND (c.id < e.id OR (c.id = e.id AND c.hash <> e.hash)),
			'the head of the chain is not its last event')
	) AS f (found, finding)
	WHERE f.found
	UNION ALL
	SELECT c.chain, c.id, format('all %s events of the chain are missing', c.id)
	FROM exact.audit_chain AS c
	WHERE c.id > 0 AND NOT EXISTS (SELECT FROM exact.audit_log AS l WHERE l.chain = c.chain)
	ORDER BY 1, 2
$$;
COMMENT ON FUNCTION exact.verify_audit()
	IS 'Recomputes all chains of exact.audit_log; one row for each event that was changed, is '
		'missing or does not follow; no row: intact';
REVOKE ALL ON FUNCTION exact.verify_audit() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.verify_audit() TO exact_reader;

CREATE FUNCTION exact.assert_audit() RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	findings bigint;
	chain text;
	id bigint;
	finding text;
BEGIN
	SELECT count(*) OVER (), v.chain, v.id, v.finding
	INTO findings, chain, id, finding
	FROM exact.verify_audit() AS v
	LIMIT 1;
	IF findings > 0 THEN
		RAISE EXCEPTION USING
			ERRCODE = 'data_corrupted',
			MESSAGE = format('the audit log was changed: %s findings, the first is event %s of '
				'chain %s: %s', findings, id, chain, finding),
			HINT = 'SELECT * FROM exact.verify_audit() lists them all.';
	END IF;
END
$$;
COMMENT ON FUNCTION exact.assert_audit()
	IS 'Raises when exact.verify_audit() finds something: for a scheduled job, which fails then. '
		'XX001: the log was changed';
REVOKE ALL ON FUNCTION exact.assert_audit() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.assert_audit() TO exact_reader;

-- Changes are audited at commit, in the chain "sql", and wake the workers.
CREATE FUNCTION exact._audit_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	before jsonb := CASE WHEN tg_op <> 'INSERT' THEN to_jsonb(old) - 'secret' END;
	after jsonb := CASE WHEN tg_op <> 'DELETE' THEN to_jsonb(new) - 'secret' END;
	row jsonb := coalesce(after, before);
	event jsonb := jsonb_build_object('table', tg_table_name, 'op', tg_op);
BEGIN
	IF exact._restoring() OR exact._binding_finding() IS NOT NULL THEN
		RETURN NULL;
	ELSIF tg_op = 'UPDATE' AND tg_table_name <> 'credential' THEN
		IF before = after THEN
			RETURN NULL;
		END IF;
		event := event || jsonb_build_object('row', row, 'before', (
			SELECT jsonb_object_agg(key, value)
			FROM jsonb_each(before)
			WHERE after -> key IS DISTINCT FROM value));
	ELSE
		event := event || jsonb_build_object('row', row);
	END IF;
	PERFORM exact._audit('sql',
		CASE tg_table_name
			WHEN 'credential' THEN 'secret'
			WHEN 'request' THEN CASE
				WHEN row ->> 'kind' IN ('adopt', 'fence') THEN 'installation'
				ELSE 'request'
			END
			ELSE 'configuration'
		END,
		(row ->> 'division')::int,
		CASE WHEN tg_table_name = 'entity' THEN row ->> 'name' ELSE row ->> 'entity' END, event);
	PERFORM exact._wake('fetcher');
	PERFORM exact._wake('loader');
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION exact._audit_change()
	IS 'Trigger: an event for each changed row, at commit; silent in a restored copy '
		'until exact.adopt()';
REVOKE ALL ON FUNCTION exact._audit_change() FROM PUBLIC;

DO $audit$
DECLARE
	name text;
BEGIN
	FOREACH name IN ARRAY ARRAY['app', 'workspace', 'division', 'entity', 'entity_field', 'feed',
		'rule', 'credential'] LOOP
		EXECUTE pg_catalog.format(
			'CREATE CONSTRAINT TRIGGER audit_change AFTER INSERT OR UPDATE OR DELETE ON exact.%I'
				' DEFERRABLE INITIALLY DEFERRED'
				' FOR EACH ROW EXECUTE FUNCTION exact._audit_change()',
			name);
		EXECUTE pg_catalog.format('COMMENT ON TRIGGER audit_change ON exact.%I IS %L', name,
			'Appends an event to the chain "sql" at commit and wakes the workers');
	END LOOP;
END
$audit$;
CREATE CONSTRAINT TRIGGER audit_change AFTER INSERT ON exact.request
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION exact._audit_change();
COMMENT ON TRIGGER audit_change ON exact.request
	IS 'Appends an event to the chain "sql" at commit and wakes the workers';
CREATE CONSTRAINT TRIGGER audit_cancel AFTER UPDATE OF cancel_wanted ON exact.request
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
	WHEN (new.cancel_wanted AND NOT old.cancel_wanted) EXECUTE FUNCTION exact._audit_change();
COMMENT ON TRIGGER audit_cancel ON exact.request
	IS 'Appends an event to the chain "sql" at commit and wakes the workers';

-- Who began an authorisation. The state itself stays out of the event.
CREATE FUNCTION exact._audit_authorization() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT exact._restoring() AND exact._binding_finding() IS NULL THEN
		PERFORM exact._audit('sql', 'token', NULL, NULL, jsonb_build_object(
			'event', 'authorization begun', 'app', new.app, 'redirect_uri', new.redirect_uri));
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION exact._audit_authorization()
	IS 'Trigger: an event when exact.authorize_url() has made a state, at commit';
REVOKE ALL ON FUNCTION exact._audit_authorization() FROM PUBLIC;
CREATE CONSTRAINT TRIGGER audit_authorization AFTER INSERT OR UPDATE OF oauth_state
	ON exact.app_state
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
	WHEN (new.oauth_state IS NOT NULL) EXECUTE FUNCTION exact._audit_authorization();
COMMENT ON TRIGGER audit_authorization ON exact.app_state
	IS 'Appends an event to the chain "sql" at commit';
