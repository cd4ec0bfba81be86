-- Held deletes: an operator's yes or no.

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
			HINT = 'SELECT id, division, entity, cardinality(keys), reason FROM exact.held_delete '
				'WHERE state = ''held''.';
	ELSIF held.state <> 'held' THEN
		RAISE EXCEPTION USING ERRCODE = 'EX018',
			MESSAGE = format('change %s was %s by %s', held.id, held.state, held.decided_by),
			HINT = 'What is decided stays so; should the records still be absent at the next '
				'complete read, they are held anew.';
	END IF;
	UPDATE exact.held_delete AS h
	SET state = decision, decided_by = session_user, decided_at = now()
	WHERE h.id = held.id;
	PERFORM exact._request_done(CASE decision WHEN 'approved' THEN 'approve' ELSE 'reject' END,
		held.division, held.entity,
		format('%s deletes %s', cardinality(held.keys), decision),
		jsonb_build_object('change', held.id));
	RETURN held;
END
$$;
COMMENT ON FUNCTION exact._decide(bigint, text)
	IS 'Records the decision about held deletes; EX018 when there is nothing to decide';
REVOKE ALL ON FUNCTION exact._decide(bigint, text) FROM PUBLIC;

CREATE FUNCTION exact.approve(change_id bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	held exact.held_delete := exact._decide(change_id, 'approved');
BEGIN
	-- Where a record can be asked for by its key it is, once more: one that is there again stays.
	PERFORM exact._want_keys(held.division, held.entity, held.keys, NULL,
		CASE
			WHEN e.plain_resource IS NULL OR e.plain_key IS NULL THEN 'approved'
			WHEN e.method = 'sync' THEN 'confirm'
			ELSE 'absent'
		END)
	FROM exact.entity_effective AS e
	WHERE e.entity = held.entity;
	PERFORM exact._wake('fetcher');
END
$$;
COMMENT ON FUNCTION exact.approve(bigint)
	IS 'Deletes the records of a held delete, after they were asked for once more by their keys '
		'where that is possible. EX018: there is nothing to decide';
REVOKE ALL ON FUNCTION exact.approve(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.approve(bigint) TO exact_admin;

CREATE FUNCTION exact.reject(change_id bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM exact._decide(change_id, 'rejected');
END
$$;
COMMENT ON FUNCTION exact.reject(bigint)
	IS 'Keeps the records of a held delete; the same absence is not held again. EX018: '
		'there is nothing to decide';
REVOKE ALL ON FUNCTION exact.reject(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.reject(bigint) TO exact_admin;
