-- The verbs of an operator. Each leaves a row in exact.request, and with it an event in the audit
-- log.

CREATE FUNCTION exact._request_done(
		kind text, division int, entity text, result text, args jsonb = NULL)
RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	INSERT INTO exact.request (kind, division, entity, args, state, started_at, finished_at, result)
	VALUES ($1, $2, $3, $5, 'done', clock_timestamp(), clock_timestamp(), $4)
$$;
COMMENT ON FUNCTION exact._request_done(text, int, text, text, jsonb)
	IS 'Records a verb that was done at once';
REVOKE ALL ON FUNCTION exact._request_done(text, int, text, text, jsonb) FROM PUBLIC;

-- One name of the catalogue for an entity argument; null stays null.
CREATE FUNCTION exact._one_entity(wanted text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	names text[];
BEGIN
	IF wanted IS NULL THEN
		RETURN NULL;
	END IF;
	names := ARRAY(SELECT exact._named_entities(wanted));
	IF cardinality(names) > 1 THEN
		RAISE EXCEPTION USING ERRCODE = 'EX015',
			MESSAGE = format('%s is more than one entity', quote_literal(wanted)),
			HINT = format('Name one of them: %s.', array_to_string(names, ', '));
	END IF;
	RETURN names[1];
END
$$;
COMMENT ON FUNCTION exact._one_entity(text)
	IS 'Entity that a name or path means; raises EX015 when there is none or more than one';
REVOKE ALL ON FUNCTION exact._one_entity(text) FROM PUBLIC;

CREATE FUNCTION exact.sync_now(division int = NULL, entity text = NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	name text := exact._one_entity(entity);
	found_id bigint;
BEGIN
	IF division IS NOT NULL THEN
		PERFORM exact._require_division(division);
	END IF;
	IF NOT EXISTS (SELECT FROM exact.feed AS f
			JOIN exact.division AS d ON d.division = f.division AND d.enabled
			WHERE f.enabled
				AND (sync_now.division IS NULL OR f.division = sync_now.division)
				AND (name IS NULL OR f.entity = name)) THEN
		RAISE EXCEPTION USING ERRCODE = 'EX018',
			MESSAGE = format('nothing to read: %s of %s is not enabled',
				coalesce(name, 'no entity'), coalesce('division ' || division, 'any division')),
			HINT = 'UPDATE exact.division SET enabled = true …; '
				'SELECT exact.enable_entities(division, ''finance'').';
	END IF;
	SELECT r.id
	INTO found_id
	FROM exact.request AS r
	WHERE r.kind = 'sync' AND r.state IN ('queued', 'running') AND NOT r.cancel_wanted
		AND r.division IS NOT DISTINCT FROM sync_now.division AND r.entity IS NOT DISTINCT FROM name
	ORDER BY r.id
	LIMIT 1;
	IF found_id IS NULL THEN
		INSERT INTO exact.request (kind, division, entity)
		VALUES ('sync', sync_now.division, name)
		RETURNING id INTO found_id;
	END IF;
	PERFORM exact._wake('fetcher');
	RETURN found_id;
END
$$;
COMMENT ON FUNCTION exact.sync_now(int, text)
	IS 'Reads the feeds of a division and entity now (null: all) and returns the request''s id, '
		'for exact.wait(). The same request is returned while one is queued or running';
REVOKE ALL ON FUNCTION exact.sync_now(int, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.sync_now(int, text) TO exact_operator;

CREATE FUNCTION exact.subscribe(division int = NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found_id bigint;
BEGIN
	IF division IS NOT NULL THEN
		PERFORM exact._require_division(division);
	END IF;
	IF NOT EXISTS (SELECT FROM exact._wanted_topics() AS w
				WHERE subscribe.division IS NULL OR w.division = subscribe.division)
			AND NOT EXISTS (SELECT FROM exact.subscription AS s
				WHERE subscribe.division IS NULL OR s.division = subscribe.division) THEN
		RAISE EXCEPTION USING ERRCODE = 'EX018',
			MESSAGE = format('nothing to subscribe to: no enabled entity of %s has a topic',
				coalesce('division ' || division, 'any division')),
			HINT = 'UPDATE exact.division SET enabled = true …; '
				'SELECT exact.enable_entities(division, ''finance''). '
				'Topics are in exact.catalogue.';
	END IF;
	SELECT r.id
	INTO found_id
	FROM exact.request AS r
	WHERE r.kind = 'subscribe'
		AND r.state IN ('queued', 'running')
		AND NOT r.cancel_wanted
		AND r.division IS NOT DISTINCT FROM subscribe.division
	ORDER BY r.id
	LIMIT 1;
	IF found_id IS NULL THEN
		INSERT INTO exact.request (kind, division)
		VALUES ('subscribe', subscribe.division)
		RETURNING id INTO found_id;
	END IF;
	PERFORM exact._wake('fetcher');
	RETURN found_id;
END
$$;
COMMENT ON FUNCTION exact.subscribe(int)
	IS 'Compares the subscriptions of a division (null: all) with Exact Online now, makes what is '
		'missing, also what was refused today, and returns the request''s id, for exact.wait(); '
		'exact.request.result counts them. '
		'The same request is returned while one is queued or running. '
		'The hub does this by itself at its start, daily, and when entities or addresses change';
REVOKE ALL ON FUNCTION exact.subscribe(int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.subscribe(int) TO exact_operator;

CREATE FUNCTION exact.wait(request_id bigint, timeout interval = '10 min') RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	request exact.request;
	deadline timestamptz := clock_timestamp() + timeout;
	pause double precision := 0.02;
BEGIN
	IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
		RAISE EXCEPTION USING ERRCODE = 'EX018',
			MESSAGE = 'exact.wait() would never see the end of the request in this transaction',
			HINT = 'Call it in a transaction of isolation level READ COMMITTED.';
	END IF;
	LOOP
		SELECT * INTO request FROM exact.request AS r WHERE r.id = request_id;
		IF request.id IS NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'EX018',
				MESSAGE = format('request %s does not exist', coalesce(request_id::text, 'null')),
				HINT = 'Requests are in exact.request.';
		ELSIF request.made_in = pg_current_xact_id_if_assigned() THEN
			RAISE EXCEPTION USING ERRCODE = 'EX018',
				MESSAGE = format(
					'request %s is of this transaction, which no worker sees before it commits',
					request_id),
				HINT = 'COMMIT first, then SELECT exact.wait(id).';
		ELSIF request.state IN ('done', 'failed', 'cancelled') THEN
			RETURN request.state;
		ELSIF clock_timestamp() >= deadline THEN
			RAISE EXCEPTION USING ERRCODE = 'EX018',
				MESSAGE = format('request %s is still %s after %s', request_id, request.state,
					timeout),
				HINT = 'It goes on. SELECT * FROM exact.status; '
					'SELECT * FROM exact.workers say what it waits for.';
		END IF;
		PERFORM pg_sleep(
			least(pause, greatest(extract(epoch FROM deadline - clock_timestamp()), 0.001)));
		pause := least(pause * 1.5, 0.5);
	END LOOP;
END
$$;
COMMENT ON FUNCTION exact.wait(bigint, interval)
	IS 'Waits until a request is done, failed or cancelled, and returns that word. '
		'exact.request.result has the details. EX018: the timeout is over, the request is not '
		'known, or it was made in the same transaction';
REVOKE ALL ON FUNCTION exact.wait(bigint, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.wait(bigint, interval) TO exact_operator;

CREATE FUNCTION exact.cancel(request_id bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	state_was text;
	kind_was text;
BEGIN
	SELECT r.state, r.kind INTO state_was, kind_was
	FROM exact.request AS r WHERE r.id = request_id FOR UPDATE;
	IF state_was IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'EX018',
			MESSAGE = format('request %s does not exist', coalesce(request_id::text, 'null')),
			HINT = 'Requests are in exact.request.';
	ELSIF state_was NOT IN ('queued', 'running') THEN
		RAISE NOTICE USING MESSAGE = format('request %s is %s already', request_id, state_was);
		RETURN;
	END IF;
	UPDATE exact.request AS r SET cancel_wanted = true,
		state = CASE state_was WHEN 'queued' THEN 'cancelled' ELSE r.state END,
		finished_at = CASE state_was WHEN 'queued' THEN clock_timestamp() ELSE r.finished_at END,
		result = CASE state_was WHEN 'queued' THEN 'cancelled before it started' ELSE r.result END
	WHERE r.id = request_id;
	IF kind_was = 'backfill' THEN
		PERFORM exact._cancel_backfill(request_id);
	END IF;
END
$$;
COMMENT ON FUNCTION exact.cancel(bigint)
	IS 'Stops a request: at once if it waits, at its next step if it runs';
REVOKE ALL ON FUNCTION exact.cancel(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.cancel(bigint) TO exact_operator;

CREATE FUNCTION exact.pause(division int, entity text = NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	name text := exact._one_entity(entity);
BEGIN
	PERFORM exact._require_division(division);
	IF name IS NULL THEN
		INSERT INTO exact.division_state AS s (division, state, reason, next_step)
		VALUES (pause.division, 'paused', 'paused by ' || session_user,
			format('SELECT exact.resume(%s)', pause.division))
		ON CONFLICT ON CONSTRAINT division_state_pkey DO UPDATE
			SET state = 'paused', since = now(), reason = excluded.reason,
				next_step = excluded.next_step
		WHERE s.state = 'ok';
	ELSE
		INSERT INTO exact.division_state AS s (division, paused_entities)
		VALUES (pause.division, ARRAY[name])
		ON CONFLICT ON CONSTRAINT division_state_pkey
		DO UPDATE SET paused_entities = s.paused_entities || name
		WHERE name <> ALL (s.paused_entities);
	END IF;
	IF name IS NULL
			AND NOT EXISTS (SELECT FROM exact.division_state AS s
				WHERE s.division = pause.division AND s.state = 'paused') THEN
		RAISE NOTICE USING
			MESSAGE = format('division %s is already stopped for another reason',
				pause.division),
			HINT = 'SELECT * FROM exact.status says why.';
	END IF;
	PERFORM exact._request_done('pause', pause.division, name, 'paused');
END
$$;
COMMENT ON FUNCTION exact.pause(int, text)
	IS 'Stops reading a division, or one entity of it, until exact.resume(). Staged versions are '
		'still delivered';
REVOKE ALL ON FUNCTION exact.pause(int, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.pause(int, text) TO exact_operator;

CREATE FUNCTION exact.resume(division int, entity text = NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	name text := exact._one_entity(entity);
	feeds text[] := ARRAY(SELECT c.feed FROM exact.catalogue AS c WHERE c.entity = name);
BEGIN
	PERFORM exact._require_division(division);
	INSERT INTO exact.division_state AS s (division, resumed_at)
	VALUES (resume.division, clock_timestamp())
	ON CONFLICT ON CONSTRAINT division_state_pkey DO UPDATE
	SET state = CASE WHEN name IS NULL THEN 'ok' ELSE s.state END,
		since = CASE WHEN name IS NULL AND s.state <> 'ok' THEN now() ELSE s.since END,
		reason = CASE WHEN name IS NULL THEN NULL ELSE s.reason END,
		next_step = CASE WHEN name IS NULL THEN NULL ELSE s.next_step END,
		paused_entities = CASE
			WHEN name IS NULL THEN '{}'
			ELSE array_remove(s.paused_entities, name)
		END,
		resumed_at = excluded.resumed_at;
	UPDATE exact.feed_state AS s
	SET errors = 0, confirm_errors = 0, last_error = NULL, last_error_at = NULL, next_run_at = now()
	WHERE s.division = resume.division
		AND (name IS NULL OR s.feed = ANY (feeds))
		AND (s.errors > 0 OR s.confirm_errors > 0);
	UPDATE exact.backfill AS b SET errors = 0, last_error = NULL, last_error_at = NULL
	WHERE b.division = resume.division AND b.errors > 0
		AND (name IS NULL OR b.feed = ANY (feeds));
	-- Paused tables are tried at once.
	UPDATE exact.target_state AS t
	SET paused_since = NULL, sqlstate = NULL, reason = NULL, next_step = NULL, attempts = 0,
		next_attempt_at = NULL
	WHERE t.workspace = (
			SELECT d.workspace FROM exact.division AS d WHERE d.division = resume.division)
		AND t.paused_since IS NOT NULL
		AND (name IS NULL OR t.entity = name);
	PERFORM exact._request_done('resume', resume.division, name, 'resumed');
END
$$;
COMMENT ON FUNCTION exact.resume(int, text)
	IS 'Ends each pause of a division or of one entity: by an operator (paused), by the division '
		'guard (frozen), after a refusal (parked), or of a Delta table. Failed work and work that '
		'waits after a 429 is tried at once, except if its endpoint had nine or more errors in '
		'the last hour';
REVOKE ALL ON FUNCTION exact.resume(int, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.resume(int, text) TO exact_operator;

CREATE FUNCTION exact.restart_workers() RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	result text := exact._restart_workers();
BEGIN
	PERFORM exact._request_done('restart', NULL, NULL, result);
	RETURN result;
END
$$;
COMMENT ON FUNCTION exact.restart_workers()
	IS 'Ends the workers of this database. They start again within a second and read the settings '
		'again (ALTER DATABASE ... SET)';
REVOKE ALL ON FUNCTION exact.restart_workers() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.restart_workers() TO exact_admin;
