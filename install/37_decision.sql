-- Held deletes and changes of dimensions: an admin's yes or no.

CREATE FUNCTION exact._decide(change_id bigint, decision text) RETURNS exact.held_delete
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	held exact.held_delete;
BEGIN
	SELECT * INTO held FROM exact.held_delete AS h WHERE h.id = change_id FOR UPDATE;
	IF held.id IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'EX018',
			MESSAGE = format('there is no change %s', coalesce(change_id::text, 'null')),
			HINT = 'SELECT id, division, entity, records, reason FROM exact.held_delete '
				'WHERE state = ''held''; SELECT * FROM exact.dimension_change '
				'WHERE state IN (''proposed'', ''conflict'').';
	ELSIF held.state <> 'held' THEN
		RAISE EXCEPTION USING ERRCODE = 'EX018',
			MESSAGE = format('change %s was %s by %s', held.id, held.state, held.decided_by),
			HINT = 'A decision is final. If the records are still absent at the next complete '
				'read, the hub holds them again.';
	END IF;
	UPDATE exact.held_delete AS h
	SET state = decision, decided_by = session_user, decided_at = now()
	WHERE h.id = held.id;
	PERFORM exact._request_done(CASE decision WHEN 'approved' THEN 'approve' ELSE 'reject' END,
		held.division, held.entity,
		format('%s deletes %s', held.records, decision),
		jsonb_build_object('change', held.id));
	RETURN held;
END
$$;
COMMENT ON FUNCTION exact._decide(bigint, text)
	IS 'Records the decision about held deletes; EX018 when there is nothing to decide';
REVOKE ALL ON FUNCTION exact._decide(bigint, text) FROM PUBLIC;

-- Each record is asked for once more where it can be: one that is there again stays. Lines of
-- expanded documents are asked for by these.
CREATE FUNCTION exact.approve(change_id bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	portion CONSTANT int := 10000;
	held exact.held_delete;
	asked text;
	wanted text[] := '{}';
BEGIN
	IF exact._decide_dimension(change_id, 'approved') THEN
		RETURN;
	END IF;
	SELECT * INTO held FROM exact.held_delete AS h WHERE h.id = change_id FOR UPDATE;
	FOR asked IN
		SELECT CASE
				WHEN e.method = 'expanded' AND e.row_kind = 'line' THEN r.parent
				ELSE r.key
			END
		FROM exact._held_record AS r
		JOIN exact.entity_effective AS e ON e.entity = r.entity
		WHERE r.id = held.id AND held.state = 'held'
			AND r.division = held.division AND r.entity = held.entity
	LOOP
		wanted := wanted || asked;
		IF cardinality(wanted) = portion THEN
			PERFORM exact._want_keys(held.division, held.entity, wanted, NULL, 'approved');
			wanted := '{}';
		END IF;
	END LOOP;
	PERFORM exact._want_keys(held.division, held.entity, wanted, NULL, 'approved')
	WHERE wanted <> '{}';
	PERFORM exact._decide(change_id, 'approved');
	DELETE FROM exact.held_key AS k WHERE k.held = change_id;
	PERFORM exact._wake('fetcher');
END
$$;
COMMENT ON FUNCTION exact.approve(bigint)
	IS 'Approves what waits for a decision. Of a held delete: the hub asks for each record again '
		'by its key where it can, and deletes those that are absent. Of a change of a dimension: '
		'the hub writes it to Exact Online. EX018: there is nothing to decide';
REVOKE ALL ON FUNCTION exact.approve(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.approve(bigint) TO exact_admin;

CREATE FUNCTION exact.reject(change_id bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF exact._decide_dimension(change_id, 'rejected') THEN
		RETURN;
	END IF;
	PERFORM exact._decide(change_id, 'rejected');
END
$$;
COMMENT ON FUNCTION exact.reject(bigint)
	IS 'Rejects what waits for a decision. Of a held delete: the records stay, and the same '
		'absence is not held again. Of a change of a dimension: it is dropped, and Delta gets the '
		'value of Exact Online. EX018: there is nothing to decide';
REVOKE ALL ON FUNCTION exact.reject(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.reject(bigint) TO exact_admin;
