-- Events that are older than audit_retention leave the chains from their oldest end. What is left
-- of a chain begins behind its anchor, and is proved by it as before.

CREATE FUNCTION exact._anchor_is_told() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT exact._restoring() AND NOT EXISTS (SELECT
			FROM exact.audit_chain AS c
			JOIN exact.audit_log AS l ON l.chain = c.chain AND l.id = c.id
			WHERE c.chain = new.chain AND l.kind = 'removal'
				AND (l.what ->> 'id')::bigint = new.id AND l.id > new.id
				AND l.what ->> 'hash' = encode(new.hash, 'hex')) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'EX021',
			MESSAGE = format('the anchor of chain %s is not what its last event says, %s is '
				'refused', new.chain, tg_op),
			HINT = 'Events are removed by the hub alone: exact_databricks.audit_retention.';
	END IF;
	RETURN new;
END
$$;
COMMENT ON FUNCTION exact._anchor_is_told()
	IS 'Trigger: an anchor moves in the transaction whose last event tells of the removal, and '
		'with it alone';
REVOKE ALL ON FUNCTION exact._anchor_is_told() FROM PUBLIC;
CREATE TRIGGER anchor_is_told BEFORE INSERT OR UPDATE ON exact.audit_anchor
	FOR EACH ROW EXECUTE FUNCTION exact._anchor_is_told();
COMMENT ON TRIGGER anchor_is_told ON exact.audit_anchor
	IS 'An anchor moves with the event that tells of it';
CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON exact.audit_anchor
	FOR EACH STATEMENT EXECUTE FUNCTION exact._is_append_only('anchors',
		'SELECT * FROM exact.verify_audit() tells whether a chain was cut.');
COMMENT ON TRIGGER append_only ON exact.audit_anchor IS 'Anchors are never removed';

CREATE FUNCTION exact._is_behind_anchor() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	kept record;
BEGIN
	SELECT o.chain, o.id INTO kept
	FROM old_event AS o
	LEFT JOIN exact.audit_anchor AS a ON a.chain = o.chain
	WHERE o.id > coalesce(a.id, 0)
	ORDER BY o.chain, o.id
	LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'EX021',
			MESSAGE = format('events of exact.audit_log are only appended, DELETE of event %s of '
				'chain %s is refused', kept.id, kept.chain),
			HINT = 'Events are removed by the hub alone: exact_databricks.audit_retention.';
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION exact._is_behind_anchor()
	IS 'Trigger: refuses DELETE of events that are not behind the anchor of their chain';
REVOKE ALL ON FUNCTION exact._is_behind_anchor() FROM PUBLIC;
CREATE TRIGGER behind_anchor AFTER DELETE ON exact.audit_log
	REFERENCING OLD TABLE AS old_event
	FOR EACH STATEMENT EXECUTE FUNCTION exact._is_behind_anchor();
COMMENT ON TRIGGER behind_anchor ON exact.audit_log
	IS 'Events leave from the oldest end, after the event that tells of it';

CREATE INDEX audit_log_configuration ON exact.audit_log (id)
	WHERE chain OPERATOR(pg_catalog.=) 'sql'
		AND kind OPERATOR(pg_catalog.=) ANY ('{configuration,secret}');
COMMENT ON INDEX exact.audit_log_configuration IS 'Events about rows of the configuration';

-- What is still needed of the events that are removed: what proves reports of month-end and
-- erasures, the last event about each row of the configuration, the requests that are kept, and
-- where a division was delivered before, which exact.erase() looks up.
CREATE FUNCTION exact._events_to_carry(chain text, after bigint, upto bigint)
RETURNS SETOF exact.audit_log
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	last bigint[] := '{}';
BEGIN
	IF EXISTS (SELECT FROM exact.audit_log AS l
			WHERE $1 = 'sql' AND l.chain = 'sql' AND l.kind IN ('configuration', 'secret')
				AND l.id > $2 AND l.id <= $3) THEN
		last := ARRAY(SELECT e.id FROM exact._last_events() AS e
			WHERE NOT e.gone AND e.id > $2 AND e.id <= $3);
	END IF;
	RETURN QUERY
		SELECT l.*
		FROM exact.audit_log AS l
		WHERE l.chain = $1 AND l.id > $2 AND l.id <= $3
			AND (l.kind IN ('month-end', 'erasure')
				OR l.id = ANY (last)
				OR (l.what ->> 'table' = 'request' AND EXISTS (SELECT FROM exact.request AS r
					WHERE r.id = (l.what #>> '{row,id}')::bigint))
				OR (l.what ->> 'table' = 'division'
					AND (l.what -> 'before' ? 'workspace' OR l.what ->> 'op' = 'DELETE')))
		ORDER BY l.id;
END
$$;
COMMENT ON FUNCTION exact._events_to_carry(text, bigint, bigint)
	IS 'Events of this part of a chain that something rests on';
REVOKE ALL ON FUNCTION exact._events_to_carry(text, bigint, bigint) FROM PUBLIC;

CREATE FUNCTION exact._first_bad_event(chain text, after bigint, prev_hash bytea, upto bigint)
RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
	RETURN (
		SELECT min(e.id)
		FROM (
			SELECT l.*, lag(l.hash, 1, $3) OVER (ORDER BY l.id) AS hash_before,
				lag(l.id, 1, $2) OVER (ORDER BY l.id) AS id_before
			FROM exact.audit_log AS l
			WHERE l.chain = $1 AND l.id > $2 AND l.id <= $4
		) AS e
		WHERE e.id <> e.id_before + 1 OR e.prev_hash <> e.hash_before
			OR e.hash <> exact._event_hash(e.prev_hash, e.chain, e.id, e.at, e.kind, e.division,
				e.entity, e.who, e.what));
END
$$;
COMMENT ON FUNCTION exact._first_bad_event(text, bigint, bytea, bigint)
	IS 'The first event of this part of a chain that exact.verify_audit() would name; null: none';
REVOKE ALL ON FUNCTION exact._first_bad_event(text, bigint, bytea, bigint) FROM PUBLIC;

-- A part of one chain in a transaction. A removal is an event as well: few events are not removed
-- before some time has passed, so that a quiet chain does not live on the events of its removals.
CREATE FUNCTION exact._trim_audit(older_than interval,
	OUT chain text, OUT id bigint, OUT hash text, OUT removed bigint, OUT bad bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	most CONSTANT int := 2000;
	few CONSTANT int := 500;
	head record;
	part record;
	last exact.audit_log;
	carried bigint;
BEGIN
	IF older_than IS NULL OR older_than < interval '1 hour' THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = 'events of the last hour are not removed',
			HINT = 'The shortest exact_databricks.audit_retention is 1h; 0 keeps all.';
	END IF;
	removed := 0;
	FOR head IN
		SELECT c.chain, coalesce(a.id, 0) AS anchor, coalesce(a.hash, E'\\x') AS hash
		FROM exact.audit_chain AS c
		LEFT JOIN exact.audit_anchor AS a ON a.chain = c.chain
		ORDER BY c.chain
	LOOP
		SELECT min(x.at) AS first_at, max(x.id) - head.anchor AS n, max(x.id) AS upto,
			min(x.id) FILTER (WHERE x.at >= now() - older_than) AS young
		INTO part
		FROM (SELECT l.id, l.at FROM exact.audit_log AS l
			WHERE l.chain = head.chain AND l.id > head.anchor
			ORDER BY l.id LIMIT most) AS x;
		IF part.young IS NOT NULL THEN
			part.upto := part.young - 1;
			part.n := part.upto - head.anchor;
		END IF;
		CONTINUE WHEN part.n IS NULL OR part.n <= 0
			OR (part.n < few AND part.first_at > now() - older_than * 1.05);
		-- nobody is waited for; what was changed stays as evidence of that
		PERFORM FROM exact.audit_chain AS c WHERE c.chain = head.chain FOR UPDATE SKIP LOCKED;
		CONTINUE WHEN NOT FOUND;
		bad := exact._first_bad_event(head.chain, head.anchor, head.hash, part.upto);
		IF bad IS NOT NULL THEN
			chain := head.chain;
			CONTINUE;
		END IF;
		SELECT * INTO last FROM exact.audit_log AS l
		WHERE l.chain = head.chain AND l.id = part.upto;
		SELECT count(exact._audit(c.chain, c.kind, c.division, c.entity, CASE
				WHEN c.what ? 'carried' THEN c.what
				ELSE c.what || jsonb_build_object('carried', jsonb_build_object('id', c.id,
					'at', c.at, 'hash', encode(c.hash, 'hex')))
			END, c.who))
		INTO carried
		FROM exact._events_to_carry(head.chain, head.anchor, part.upto) AS c;
		PERFORM exact._audit(head.chain, 'removal', NULL, NULL, jsonb_build_object(
			'id', last.id, 'hash', encode(last.hash, 'hex'), 'at', last.at, 'events', part.n,
			'kept', carried, 'older_than', extract(epoch FROM older_than)), 'exact fetcher');
		INSERT INTO exact.audit_anchor AS a (chain, id, at, hash)
		VALUES (head.chain, last.id, last.at, last.hash)
		ON CONFLICT ON CONSTRAINT audit_anchor_pkey DO UPDATE
			SET id = excluded.id, at = excluded.at, hash = excluded.hash;
		DELETE FROM exact.audit_log AS l WHERE l.chain = head.chain AND l.id <= last.id;
		chain := head.chain;
		id := last.id;
		hash := encode(last.hash, 'hex');
		removed := part.n;
		bad := NULL;
		RETURN;
	END LOOP;
END
$$;
COMMENT ON FUNCTION exact._trim_audit(interval)
	IS 'For the fetcher: removes some thousand of the oldest events of one chain; what something '
		'rests on is appended once more before. Returns the anchor and how many, or the event '
		'(bad) that was changed: then the chain stays as it is';
REVOKE ALL ON FUNCTION exact._trim_audit(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._trim_audit(interval) TO exact_worker;
