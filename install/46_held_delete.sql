-- Deletes that were found by absence only, in great numbers: an operator's yes or no.

CREATE SEQUENCE exact.change_id;
COMMENT ON SEQUENCE exact.change_id IS 'Numbers of what exact.approve() and exact.reject() decide';
REVOKE ALL ON SEQUENCE exact.change_id FROM PUBLIC;
GRANT USAGE ON SEQUENCE exact.change_id TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.change_id', '');

CREATE TABLE exact.held_delete (
	id bigint PRIMARY KEY DEFAULT pg_catalog.nextval('exact.change_id'),
	division int NOT NULL,
	entity text NOT NULL,
	keys text[] NOT NULL,
	alive bigint NOT NULL,
	reason text NOT NULL,
	run bigint,
	found_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	state text NOT NULL DEFAULT 'held' CHECK (state IN ('held', 'approved', 'rejected', 'returned')),
	decided_by text,
	decided_at timestamptz
);
COMMENT ON TABLE exact.held_delete IS 'Records that a complete read did not show, too many to be deleted without a word: exact.approve(id) deletes them, exact.reject(id) keeps them';
COMMENT ON COLUMN exact.held_delete.id IS 'For exact.approve() and exact.reject()';
COMMENT ON COLUMN exact.held_delete.division IS 'Division';
COMMENT ON COLUMN exact.held_delete.entity IS 'Entity';
COMMENT ON COLUMN exact.held_delete.keys IS 'Keys of the records';
COMMENT ON COLUMN exact.held_delete.alive IS 'Records that the hub knew as not deleted then';
COMMENT ON COLUMN exact.held_delete.reason IS 'Why they are held';
COMMENT ON COLUMN exact.held_delete.run IS 'Run that did not show them';
COMMENT ON COLUMN exact.held_delete.found_at IS 'When';
COMMENT ON COLUMN exact.held_delete.state IS 'held, approved or rejected; returned: a later complete read shows them all again';
COMMENT ON COLUMN exact.held_delete.decided_by IS 'Who decided';
COMMENT ON COLUMN exact.held_delete.decided_at IS 'When';
CREATE UNIQUE INDEX held_delete_open ON exact.held_delete (division, entity) WHERE state = 'held';
COMMENT ON INDEX exact.held_delete_open IS 'One question an entity at a time';
REVOKE ALL ON TABLE exact.held_delete FROM PUBLIC;
GRANT SELECT ON TABLE exact.held_delete TO exact_reader;
GRANT SELECT, INSERT, UPDATE ON TABLE exact.held_delete TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.held_delete', '');

CREATE FUNCTION exact._decide(change_id bigint, decision text) RETURNS exact.held_delete
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	held exact.held_delete;
BEGIN
	SELECT * INTO held FROM exact.held_delete AS h WHERE h.id = change_id FOR UPDATE;
	IF held.id IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'EX018', MESSAGE = format('there is no change %s', coalesce(change_id::text, 'null')),
			HINT = 'SELECT id, division, entity, cardinality(keys), reason FROM exact.held_delete WHERE state = ''held''.';
	ELSIF held.state <> 'held' THEN
		RAISE EXCEPTION USING ERRCODE = 'EX018', MESSAGE = format('change %s was %s by %s', held.id, held.state, held.decided_by),
			HINT = 'What is decided stays so; should the records still be absent at the next complete read, they are held anew.';
	END IF;
	UPDATE exact.held_delete AS h SET state = decision, decided_by = session_user, decided_at = now() WHERE h.id = held.id;
	PERFORM exact._request_done(CASE decision WHEN 'approved' THEN 'approve' ELSE 'reject' END, held.division, held.entity,
		format('%s deletes %s', cardinality(held.keys), decision), jsonb_build_object('change', held.id));
	RETURN held;
END
$$;
COMMENT ON FUNCTION exact._decide(bigint, text) IS 'Records the decision about held deletes; EX018 when there is nothing to decide';
REVOKE ALL ON FUNCTION exact._decide(bigint, text) FROM PUBLIC;

CREATE FUNCTION exact.approve(change_id bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	held exact.held_delete := exact._decide(change_id, 'approved');
BEGIN
	-- Where a record can be asked for by its key it is, once more: one that is there again stays.
	PERFORM exact._want_keys(held.division, held.entity, held.keys, NULL,
		CASE WHEN e.plain_resource IS NULL OR e.plain_key IS NULL THEN 'approved' WHEN e.method = 'sync' THEN 'confirm' ELSE 'absent' END)
	FROM exact.entity_effective AS e WHERE e.entity = held.entity;
	PERFORM exact._wake('fetcher');
END
$$;
COMMENT ON FUNCTION exact.approve(bigint)
	IS 'Deletes the records of a held delete, after they were asked for once more by their keys where that is possible. EX018: there is nothing to decide';
REVOKE ALL ON FUNCTION exact.approve(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.approve(bigint) TO exact_admin;

CREATE FUNCTION exact.reject(change_id bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM exact._decide(change_id, 'rejected');
END
$$;
COMMENT ON FUNCTION exact.reject(bigint) IS 'Keeps the records of a held delete; the same absence is not held again. EX018: there is nothing to decide';
REVOKE ALL ON FUNCTION exact.reject(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.reject(bigint) TO exact_admin;
