-- How events are appended to the chains, and how the chains are verified.

CREATE TRIGGER append_only BEFORE UPDATE OR TRUNCATE ON exact.audit_log
	FOR EACH STATEMENT EXECUTE FUNCTION exact._is_append_only('events',
		'SELECT * FROM exact.verify_audit() tells whether someone changed one.');
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

-- A chain that another transaction holds is waited for at COMMIT, where statement_timeout ends
-- nothing.
CREATE FUNCTION exact._hold_chain(chain text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	limit_was text := current_setting('lock_timeout');
	xact xid;
	holder record;
BEGIN
	PERFORM FROM exact.audit_chain AS c WHERE c.chain = $1 FOR UPDATE SKIP LOCKED;
	IF FOUND THEN
		RETURN;
	END IF;
	SELECT c.xmax INTO xact FROM exact.audit_chain AS c WHERE c.chain = $1;
	IF NOT FOUND THEN
		RETURN;	-- the first event makes it
	END IF;
	SELECT l.pid, a.usename, a.application_name, a.state, a.xact_start
	INTO holder
	FROM pg_locks AS l
	LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
	WHERE l.locktype = 'transactionid' AND l.transactionid = xact AND l.granted;
	IF limit_was::interval = interval '0' OR limit_was::interval > interval '5 s' THEN
		PERFORM set_config('lock_timeout', '5s', true);
	END IF;
	BEGIN
		PERFORM FROM exact.audit_chain AS c WHERE c.chain = $1 FOR UPDATE;
	EXCEPTION WHEN lock_not_available THEN
		RAISE EXCEPTION USING
			ERRCODE = 'lock_not_available',
			MESSAGE = format('the chain %s of the audit log is held by another transaction',
				quote_literal($1)),
			DETAIL = coalesce(
				format('Process %s (role %s, application "%s", %s) has held it since %s.',
					holder.pid, holder.usename, holder.application_name, holder.state,
					exact._since(holder.xact_start)),
				'It was not seen who holds it.'),
			HINT = format('Nothing was changed. Repeat the command once that transaction has '
				'ended. A superuser may end it: SELECT pg_terminate_backend(%s);',
				coalesce(holder.pid::text, 'pid'));
	END;
	PERFORM set_config('lock_timeout', limit_was, true);
END
$$;
COMMENT ON FUNCTION exact._hold_chain(text)
	IS 'Takes the head of a chain for this transaction. Waits for another one at most 5 s or '
		'lock_timeout, then raises 55P03 and names who holds it';
REVOKE ALL ON FUNCTION exact._hold_chain(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._hold_chain(text) TO exact_worker;

CREATE FUNCTION exact._audit(
		chain text, kind text, division int, entity text, what jsonb, who text = NULL)
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	appended bigint;
	moment timestamptz := clock_timestamp();
	actor text := CASE
		WHEN $1 = 'sql' THEN coalesce($6, session_user::text)
		ELSE coalesce($6, 'exact ' || $1)
	END;
BEGIN
	IF $1 = 'sql' THEN
		PERFORM exact._hold_chain($1);
	END IF;
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

CREATE FUNCTION exact._audit_keys(OUT name text, OUT columns text[]) RETURNS SETOF record
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	VALUES ('app', ARRAY['name']), ('workspace', ARRAY['name']), ('division', ARRAY['division']),
		('entity', ARRAY['name']), ('entity_field', ARRAY['entity', 'name']),
		('feed', ARRAY['division', 'entity']), ('rule', ARRAY['name']),
		('credential', ARRAY['kind', 'name', 'field']), ('restricted_reader', ARRAY['role'])
$$;
COMMENT ON FUNCTION exact._audit_keys() IS 'Tables of the configuration and their keys';
REVOKE ALL ON FUNCTION exact._audit_keys() FROM PUBLIC;

-- The last event about each row of the configuration: those of the same table and key. One that was
-- carried on keeps the place in that order that it had.
CREATE FUNCTION exact._last_events(
		OUT table_name text, OUT key jsonb, OUT id bigint, OUT gone boolean, OUT "row" jsonb)
RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH event AS (
		SELECT l.id, k.name, k.columns, l.what ->> 'op' = 'DELETE' AS gone, l.what -> 'row' AS row,
			coalesce((l.what #>> '{carried,id}')::bigint, l.id) AS place
		FROM exact.audit_log AS l
		JOIN exact._audit_keys() AS k ON k.name = l.what ->> 'table'
		WHERE l.chain = 'sql' AND l.kind IN ('configuration', 'secret')
		UNION ALL	-- a row that got another key is gone under the one before
		SELECT l.id, k.name, k.columns, true, (l.what -> 'row') || (l.what -> 'before'),
			coalesce((l.what #>> '{carried,id}')::bigint, l.id)
		FROM exact.audit_log AS l
		JOIN exact._audit_keys() AS k ON k.name = l.what ->> 'table'
		WHERE l.chain = 'sql' AND l.kind IN ('configuration', 'secret')
			AND l.what -> 'before' ?| k.columns
	)
	SELECT DISTINCT ON (e.name, v.key) e.name, v.key, e.id, e.gone, e.row
	FROM event AS e
	CROSS JOIN LATERAL (
		SELECT jsonb_agg(e.row -> c.name ORDER BY c.n) AS key
		FROM unnest(e.columns) WITH ORDINALITY AS c (name, n)) AS v
	ORDER BY e.name, v.key, e.place DESC, e.id DESC
$$;
COMMENT ON FUNCTION exact._last_events()
	IS 'The last event about each row that the configuration has or had';
REVOKE ALL ON FUNCTION exact._last_events() FROM PUBLIC;

-- What should have been written: each row of the configuration agrees with the last event about it,
-- each request has one. Intervals and times are left out, as their text depends on the session.
CREATE FUNCTION exact._audit_gaps(
		OUT table_name text, OUT id bigint, OUT "row" jsonb, OUT finding text)
RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH kept AS (
		SELECT 'app' AS name, to_jsonb(t) AS row FROM exact.app AS t
		UNION ALL SELECT 'workspace', to_jsonb(t) FROM exact.workspace AS t
		UNION ALL SELECT 'division', to_jsonb(t) FROM exact.division AS t
		UNION ALL SELECT 'entity', to_jsonb(t) FROM exact.entity AS t
		UNION ALL SELECT 'entity_field', to_jsonb(t) FROM exact.entity_field AS t
		UNION ALL SELECT 'feed', to_jsonb(t) FROM exact.feed AS t
		UNION ALL SELECT 'rule', to_jsonb(t) FROM exact.rule AS t
		UNION ALL SELECT 'credential', to_jsonb(t) - 'secret' FROM exact.credential AS t
		UNION ALL SELECT 'restricted_reader', to_jsonb(t) FROM exact.restricted_reader AS t
	)
	SELECT coalesce(e.table_name, r.name), e.id, r.row, format(f.finding,
		coalesce(e.table_name, r.name), coalesce(e.key, r.key))
	FROM exact._last_events() AS e
	FULL JOIN (
		SELECT t.name, t.row, (
			SELECT jsonb_agg(t.row -> c.name ORDER BY c.n)
			FROM exact._audit_keys() AS k, unnest(k.columns) WITH ORDINALITY AS c (name, n)
			WHERE k.name = t.name) AS key
		FROM kept AS t
	) AS r ON r.name = e.table_name AND r.key = e.key
	CROSS JOIN LATERAL (SELECT CASE
		WHEN r.row IS NULL AND NOT e.gone THEN 'row %2$s of %1$s is gone without an event'
		WHEN r.row IS NOT NULL AND coalesce(e.gone, true)
			THEN 'row %2$s of %1$s is there without an event'
		WHEN EXISTS (SELECT FROM jsonb_each(e.row) AS v (name, value)
				WHERE v.name NOT IN ('merge_interval', 'sync_interval', 'set_at')
					AND v.value IS DISTINCT FROM r.row -> v.name)
			THEN 'row %2$s of %1$s was changed without an event'
	END AS finding) AS f
	WHERE f.finding IS NOT NULL AND (r.row IS NOT NULL OR NOT e.gone)
	UNION ALL
	SELECT 'request', NULL, to_jsonb(q), format('request %s has no event', q.id)
	FROM exact.request AS q
	WHERE NOT EXISTS (SELECT FROM exact.audit_log AS l
		WHERE l.chain = 'sql' AND l.what ->> 'table' = 'request'
			AND (l.what -> 'row' ->> 'id')::bigint = q.id)
$$;
COMMENT ON FUNCTION exact._audit_gaps()
	IS 'Rows of the configuration that do not agree with the last event about them, and requests '
		'without an event: somebody wrote past the trigger';
REVOKE ALL ON FUNCTION exact._audit_gaps() FROM PUBLIC;

-- Each chain begins behind its anchor, and its last removal says where that is.
CREATE FUNCTION exact._anchor_gaps(OUT chain text, OUT id bigint, OUT finding text)
RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH removal AS (
		SELECT l.chain, l.id, l.at, (l.what ->> 'id')::bigint AS upto, l.what ->> 'hash' AS hash,
			(l.what ->> 'at')::timestamptz AS last_at,
			make_interval(secs => (l.what ->> 'older_than')::float8) AS older_than
		FROM exact.audit_log AS l
		WHERE l.kind = 'removal'
	)
	SELECT coalesce(a.chain, r.chain), coalesce(r.id, a.id), f.finding
	FROM exact.audit_anchor AS a
	FULL JOIN (SELECT DISTINCT ON (x.chain) x.* FROM removal AS x ORDER BY x.chain, x.id DESC) AS r
		ON r.chain = a.chain
	CROSS JOIN LATERAL (SELECT CASE
		WHEN r.id IS NULL THEN format('events up to %s were removed without an event', a.id)
		WHEN a.id IS NULL THEN format('the anchor of the chain is gone: events up to %s were '
			'removed', r.upto)
		WHEN (a.id, encode(a.hash, 'hex'), a.at) IS DISTINCT FROM (r.upto, r.hash, r.last_at)
			THEN format('the anchor of the chain is event %s, its last removal went to %s', a.id,
				r.upto)
	END AS finding) AS f
	WHERE f.finding IS NOT NULL
	UNION ALL
	SELECT r.chain, r.id, format('events were removed that were not older than %s', coalesce(
		exact._age(r.older_than), 'the retention'))
	FROM removal AS r
	WHERE (r.older_than >= interval '1 hour' AND r.last_at < r.at - r.older_than) IS NOT TRUE
$$;
COMMENT ON FUNCTION exact._anchor_gaps()
	IS 'Chains whose anchor is not where their last removal says that it is: somebody cut them';
REVOKE ALL ON FUNCTION exact._anchor_gaps() FROM PUBLIC;

CREATE FUNCTION exact.verify_audit() RETURNS TABLE (chain text, id bigint, finding text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	WITH event AS (
		SELECT l.*, lag(l.id, 1, coalesce(a.id, 0)) OVER w AS id_before,
			lag(l.hash, 1, coalesce(a.hash, E'\\x')) OVER w AS hash_before,
			lead(l.id) OVER w AS id_after
		FROM exact.audit_log AS l
		LEFT JOIN exact.audit_anchor AS a ON a.chain = l.chain
		WINDOW w AS (PARTITION BY l.chain ORDER BY l.id)
	)
	SELECT e.chain, e.id, f.finding
	FROM event AS e
	LEFT JOIN exact.audit_chain AS c ON c.chain = e.chain
	CROSS JOIN LATERAL (VALUES
		(e.id > e.id_before + 1,
			format('%s events before it are missing', e.id - e.id_before - 1)),
		(e.id <= e.id_before, 'the event was removed, and is there'),
		(e.hash <> exact._event_hash(e.prev_hash, e.chain, e.id, e.at, e.kind, e.division, e.entity,
				e.who, e.what),
			'the event was changed: its hash does not match its content'),
		(e.id = e.id_before + 1 AND e.prev_hash <> e.hash_before,
			'the event does not follow the one before it: prev_hash is another event''s'),
		(e.id_after IS NULL AND c.chain IS NULL, 'the chain has no head'),
		(e.id_after IS NULL AND c.id > e.id,
			format('%s events after it are missing: the chain was cut', c.id - e.id)),
		(e.id_after IS NULL AND (c.id < e.id OR (c.id = e.id AND c.hash <> e.hash)),
			'the head of the chain is not its last event')
	) AS f (found, finding)
	WHERE f.found
	UNION ALL
	SELECT a.chain, a.id, a.finding FROM exact._anchor_gaps() AS a
	UNION ALL
	SELECT c.chain, c.id, format('all %s events of the chain are missing', c.id)
	FROM exact.audit_chain AS c
	WHERE c.id > 0 AND NOT EXISTS (SELECT FROM exact.audit_log AS l WHERE l.chain = c.chain)
	UNION ALL
	-- The events of this transaction come at its end, those of a copy when it is adopted.
	SELECT 'sql', g.id, g.finding
	FROM exact._audit_gaps() AS g
	WHERE pg_current_xact_id_if_assigned() IS NULL AND exact._binding_finding() IS NULL
	UNION ALL
	SELECT 'sql', m.id, m.finding
	FROM exact._month_end_gaps() AS m
	WHERE pg_current_xact_id_if_assigned() IS NULL AND exact._binding_finding() IS NULL
	UNION ALL
	SELECT 'loader', x.id, x.finding FROM exact._erasure_gaps() AS x
	ORDER BY 1, 2
$$;
COMMENT ON FUNCTION exact.verify_audit()
	IS 'Recomputes all chains of exact.audit_log; one row for each event that was changed, is '
		'missing or does not follow, for each row of the configuration that differs from the last '
		'event about it, each request without one, each report of exact.month_end() that was '
		'changed or is gone, and each version or erasure that does not agree with the events of '
		'exact.erase(); no row: intact. A chain begins behind exact.audit_anchor, as its last '
		'removal says. A chain that was rewritten '
		'as a whole shows against an earlier head: exact.verify_audit(chain, id, hash)';
REVOKE ALL ON FUNCTION exact.verify_audit() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.verify_audit() TO exact_reader;

CREATE FUNCTION exact.verify_audit(chain text, id bigint, hash text)
RETURNS TABLE (chain text, id bigint, finding text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT $1, $2, CASE
		WHEN $2 < a.id
			THEN format('this event was removed after audit_retention, with all up to %s of %s: '
				'heads from there on prove what is kept', a.id, exact._since(a.at))
		WHEN $2 = a.id THEN 'this event was removed, and the anchor of the chain is another one'
		ELSE 'this head is not in the chain: its event is missing or is another one'
	END
	FROM (VALUES (1)) AS one (row)
	LEFT JOIN exact.audit_anchor AS a ON a.chain = $1
	WHERE NOT EXISTS (SELECT FROM exact.audit_log AS l
			WHERE l.chain = $1 AND l.id = $2 AND encode(l.hash, 'hex') = lower($3))
		AND (a.id = $2 AND encode(a.hash, 'hex') = lower($3)) IS NOT TRUE
$$;
COMMENT ON FUNCTION exact.verify_audit(text, bigint, text)
	IS 'A head or an anchor as the server log or the Delta table exact_audit keeps it: one row '
		'when it is not in the chain any more, or was removed. No row, and none of '
		'exact.verify_audit(): no event up to it was changed since';
REVOKE ALL ON FUNCTION exact.verify_audit(text, bigint, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.verify_audit(text, bigint, text) TO exact_reader;

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
				'chain %s: %s', findings, coalesce(id::text, '(none)'), chain, finding),
			HINT = 'SELECT * FROM exact.verify_audit() lists them all.';
	END IF;
END
$$;
COMMENT ON FUNCTION exact.assert_audit()
	IS 'Raises an error if exact.verify_audit() finds something. Use it in a scheduled job: the '
		'job then fails. XX001: the log was changed';
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
	-- A dump has the events of its rows; rows that are loaded into a hub that works have not.
	IF exact._binding_finding() IS NOT NULL
			OR (tg_op = 'INSERT' AND exact._restoring()
				AND NOT (EXISTS (SELECT FROM exact.installation_binding)
					AND EXISTS (SELECT FROM exact.app))) THEN
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
		'rule', 'credential', 'restricted_reader'] LOOP
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
