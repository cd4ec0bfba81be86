-- Where a record is, or why it is not in Databricks, in one sentence.

-- Obstacles are clauses: what stands in the way; then, behind a semicolon, the next step.
CREATE FUNCTION exact._reading_obstacle(division int, entity text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN NOT d.enabled
			THEN format(
				'division %s is not enabled; UPDATE exact.division SET enabled = true '
					'WHERE division = %s',
				d.division, d.division)
		WHEN f.entity IS NULL AND exact._entity_finding($2) IS NOT NULL
			THEN exact._entity_finding($2)
		WHEN f.enabled IS NOT TRUE
			THEN format('%s is not enabled in division %s; SELECT exact.enable_entities(%s, %L)',
				$2, d.division, d.division, $2)
		WHEN s.state <> 'ok'
			THEN format('division %s is %s since %s%s%s', d.division, s.state,
				exact._since(s.since), ': ' || s.reason,
				'; ' || coalesce(s.next_step, format('SELECT exact.resume(%s)', d.division)))
		WHEN $2 = ANY (s.paused_entities)
			THEN format('%s is paused in division %s; SELECT exact.resume(%s, %L)', $2, d.division,
				d.division, $2)
		WHEN a.state = 'reauthorize'
			THEN format('app %s %s since %s%s; %s', d.app,
				CASE
					WHEN a.reason LIKE 'Exact Online refuses the client id or secret%'
						THEN 'gets no token'
					ELSE 'needs consent again'
				END, exact._since(a.since),
				': ' || a.reason,
				coalesce(a.next_step, format('SELECT exact.authorize_url(%L)', d.app)))
		WHEN coalesce(a.state, 'new') = 'new'
			THEN format('app %s is not authorised yet; SELECT exact.authorize_url(%L)', d.app,
				d.app)
		WHEN s.day_left <= 0 AND s.day_reset > now()
			THEN format('the day''s %s calls are used up until %s; then the hub goes on',
				s.day_limit, exact._since(s.day_reset))
		WHEN x.errors > 0
			THEN format('reading %s has failed %s time%s%s; the hub tries again', e.feed,
				x.errors, CASE WHEN x.errors > 1 THEN 's' END, ': ' || rtrim(x.last_error, '.'))
	END
	FROM exact.division AS d
	JOIN exact.entity_effective AS e ON e.entity = $2
	LEFT JOIN exact.feed AS f ON f.division = d.division AND f.entity = $2
	LEFT JOIN exact.division_state AS s ON s.division = d.division
	LEFT JOIN exact.app_state AS a ON a.app = d.app
	LEFT JOIN exact.feed_state AS x ON x.division = d.division AND x.feed = e.feed
	WHERE d.division = $1
$$;
COMMENT ON FUNCTION exact._reading_obstacle(int, text)
	IS 'Why an entity of a division is not read now, with the next step; null: '
		'nothing keeps it from being read';
REVOKE ALL ON FUNCTION exact._reading_obstacle(int, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._reading_obstacle(int, text) TO exact_worker;

CREATE FUNCTION exact._worker_obstacle(role text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN exact._version_library() IS NULL
			THEN 'no worker runs, exact_databricks is not in shared_preload_libraries'
		WHEN w.state IS DISTINCT FROM 'running'
			THEN format('the %s does not run%s; SELECT * FROM exact.check()', $1,
				': ' || coalesce(w.reason, w.last_error))
	END
	FROM (VALUES (1)) AS one
	LEFT JOIN exact._workers() AS w ON w.role = $1
	LIMIT 1
$$;
COMMENT ON FUNCTION exact._worker_obstacle(text) IS 'Why a worker does not run; null: it does';
REVOKE ALL ON FUNCTION exact._worker_obstacle(text) FROM PUBLIC;

-- A version's delivery is looked for among the statements whose range ends at its batch or behind
-- it.
CREATE FUNCTION exact._statement_of(workspace text, entity text, batch bigint, ord int)
RETURNS exact.statement_log
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT l.* FROM (
		SELECT x.*
		FROM exact.statement_log AS x
		WHERE x.entity = $2
			AND x.first_batch IS NOT NULL
			AND x.last_batch >= $3
			AND x.workspace IS NOT DISTINCT FROM coalesce($1, x.workspace)
		ORDER BY x.last_batch, x.id
		LIMIT 400
	) AS l
	WHERE l.kind IN ('history', 'current')
		AND (l.first_batch, l.first_ord) <= ($3, $4)
		AND ($3, $4) <= (l.last_batch, l.last_ord)
	ORDER BY l.id DESC
	LIMIT 1
$$;
COMMENT ON FUNCTION exact._statement_of(text, text, bigint, int)
	IS 'The last MERGE that carried a version, by its address; null: none was sent';
REVOKE ALL ON FUNCTION exact._statement_of(text, text, bigint, int) FROM PUBLIC;

CREATE FUNCTION exact._delivery_obstacle(batch exact.batch, ord int) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	target text := coalesce(batch.workspace,
		(SELECT d.workspace FROM exact.division AS d WHERE d.division = batch.division));
	w exact.workspace;
	t exact.target_state;
	e exact.entity_effective;
	l exact.statement_log;
	older exact.batch;
	ahead bigint;
	due timestamptz;
	every interval;
BEGIN
	IF target IS NULL THEN
		RETURN format(
			'division %s has no workspace; UPDATE exact.division SET workspace = … '
				'WHERE division = %s',
			batch.division, batch.division);
	END IF;
	SELECT * INTO w FROM exact.workspace AS x WHERE x.name = target;
	SELECT *
	INTO t
	FROM exact.target_state AS x
	WHERE x.workspace = target AND x.entity = batch.entity;
	SELECT * INTO e FROM exact.entity_effective AS x WHERE x.entity = batch.entity;
	l := exact._statement_of(target, batch.entity, batch.id, ord);
	IF w.name IS NULL THEN
		RETURN format(
			'workspace %s, which it is for, is gone; INSERT INTO exact.workspace brings it back',
			target);
	ELSIF NOT w.enabled THEN
		RETURN format(
			'workspace %s is not enabled; UPDATE exact.workspace SET enabled = true '
				'WHERE name = %L',
			target, target);
	ELSIF t.paused_since IS NOT NULL THEN
		RETURN format('deliveries into %s are paused since %s%s; %s%s',
			coalesce(t.table_name, e.target_table), exact._since(t.paused_since), ': ' || t.reason,
			coalesce(t.next_step,
				format('SELECT exact.resume(%s, %L)', batch.division, batch.entity)),
			'; tried again at ' || exact._since(t.next_attempt_at));
	ELSIF l.state IN ('sending', 'running', 'unknown') THEN
		RETURN CASE l.state
			WHEN 'unknown'
				THEN format(
					'the answer to the statement of %s that carries it was lost; '
						'the hub sends it again if the query history shows that it does not run',
					exact._since(l.at))
			WHEN 'running'
				THEN format('statement %s… carries it since %s', left(l.statement_id, 8),
					exact._since(l.at))
			ELSE format('the statement that carries it is being sent since %s', exact._since(l.at))
		END || CASE
			WHEN t.reason IS NULL THEN ''
			ELSE format(' (%s; tried again at %s)', t.reason, exact._since(t.next_attempt_at))
		END;
	ELSIF t.reason IS NOT NULL THEN
		RETURN format('%s; tried again at %s', t.reason, exact._since(t.next_attempt_at));
	END IF;
	SELECT s.wakes_at
	INTO due
	FROM exact.warehouse_state AS s
	WHERE s.workspace = target AND s.state = 'sleeps' AND s.wakes_at > clock_timestamp();
	IF due IS NOT NULL THEN
		RETURN format('the warehouse sleeps, it is woken at %s', exact._since(due));
	END IF;

	SELECT o.*
	INTO older
	FROM exact.batch AS o
	JOIN exact.catalogue AS c ON c.entity = o.entity AND c.merge_rank < e.merge_rank
	LEFT JOIN exact.division AS d ON d.division = o.division
	LEFT JOIN exact.target_state AS x ON x.workspace = target AND x.entity = o.entity
	WHERE o.delivered_at IS NULL
		AND o.id < batch.id
		AND coalesce(o.workspace, d.workspace) = target
		AND x.paused_since IS NULL
	ORDER BY o.id
	LIMIT 1;
	IF older.id IS NOT NULL THEN
		RETURN format('batch %s of %s (%s versions, staged %s) goes first', older.id, older.entity,
			older.rows - older.delivered_rows, exact._since(older.staged_at));
	END IF;
	SELECT coalesce(sum(o.rows - o.delivered_rows), 0)
	INTO ahead
	FROM exact.batch AS o
	LEFT JOIN exact.division AS d ON d.division = o.division
	WHERE o.delivered_at IS NULL
		AND o.id < batch.id
		AND o.entity = batch.entity
		AND coalesce(o.workspace, d.workspace) = target;
	IF ahead > 0 THEN
		RETURN format('%s older versions of %s go first or with it', ahead, batch.entity);
	END IF;
	every := coalesce(e.merge_interval, w.merge_interval,
		exact._setting('merge_interval')::interval, interval '5 s');
	due := t.delivered_at + every;
	RETURN CASE
		WHEN due > clock_timestamp()
			THEN format('the next delivery into %s goes %s after the last (merge_interval)',
				e.target_table, exact._took(1000 * extract(epoch FROM every)::double precision))
		ELSE format('the loader takes it with the next delivery into %s', e.target_table)
	END;
END
$$;
COMMENT ON FUNCTION exact._delivery_obstacle(exact.batch, int)
	IS 'Why a staged version of a batch is not in Databricks yet, with the next step where '
		'someone must act';
REVOKE ALL ON FUNCTION exact._delivery_obstacle(exact.batch, int) FROM PUBLIC;

-- Sentences about what is still to come for a key, seen or not: each begins with a blank.
CREATE FUNCTION exact._still_to_come(division int, entity text, key text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT concat(
		(SELECT format(' It is to be read again by its key since %s (%s).', exact._since(k.since),
				coalesce(CASE
					WHEN k.reason IN ('confirm', 'logged', 'absent') THEN 'is it deleted?'
					WHEN k.reason = 'approved' THEN 'its delete was approved'
					ELSE k.reason
				END, 'asked for'))
			FROM exact.dirty_key AS k
			WHERE k.division = $1 AND k.entity = $2 AND k.key = $3),
		-- lines of an expanded document wait under its key
		(SELECT format(' The lines of its document are to be read on their own since %s (%s).',
				exact._since(k.since), k.reason)
			FROM exact.entity_effective AS e
			JOIN exact.entity_effective AS l
				ON l.feed = e.feed AND l.method = 'expanded' AND l.row_kind = 'line'
			JOIN exact.dirty_key AS k ON k.division = $1 AND k.entity = l.entity
				AND k.key = CASE
					WHEN e.entity = l.entity
						THEN (SELECT r.parent
							FROM exact.record AS r
							WHERE r.division = $1 AND r.entity = $2 AND r.key = $3)
					ELSE $3
				END
			WHERE e.entity = $2),
		(SELECT format(' A notification of %s (%s, no. %s) waits for the fetcher.',
				exact._since(i.at), i.action, i.id)
			FROM exact.inbox AS i
			JOIN exact.inbox_work AS w ON w.id = i.id
			WHERE i.key = lower($3) AND i.division = $1 AND w.taken_at IS NULL
			ORDER BY i.id DESC
			LIMIT 1),
		(SELECT format(
				' Its delete is held since %s, one of %s (%s); SELECT exact.approve(%s) deletes '
					'them, exact.reject(%s) keeps them.',
				exact._since(r.since), h.records, h.reason, h.id, h.id)
			FROM exact._held_record AS r
			JOIN exact.held_delete AS h ON h.id = r.id
			WHERE r.division = $1 AND r.entity = $2 AND r.key = $3 AND h.state = 'held'
			LIMIT 1),
		(SELECT format(' A %s of it is put aside since %s (%s); %s.',
				CASE l.side WHEN 'reading' THEN 'row' ELSE 'version' END, exact._since(l.at),
				l.reason,
				CASE l.state
					WHEN 'retry' THEN 'it is tried again'
					ELSE format('SELECT exact.retry(%s) tries it again', l.id)
				END)
			FROM exact.dead_letter AS l
			WHERE l.division = $1 AND l.entity = $2 AND l.key = $3 AND l.state <> 'done'
			ORDER BY l.id DESC
			LIMIT 1))
$$;
COMMENT ON FUNCTION exact._still_to_come(int, text, text)
	IS 'Sentences about a dirty key, a notification that waits, a held delete and a dead letter; '
		'empty: none of them';
REVOKE ALL ON FUNCTION exact._still_to_come(int, text, text) FROM PUBLIC;

CREATE FUNCTION exact._explain_unseen(division int, entity text, key text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	obstacle text := exact._reading_obstacle(division, entity);
	to_come text := exact._still_to_come(division, entity, lower(key));
	elsewhere text := (
		SELECT format(' The key is known in division %s as a record of %s.', r.division, r.entity)
		FROM exact.feed AS f
		JOIN exact.record AS r
			ON r.division = f.division AND r.entity = f.entity AND r.key IN ($3, lower($3))
		ORDER BY r.division = $1 DESC, r.division, r.entity
		LIMIT 1);
	ignored text := (
		SELECT format(' A notification of %s (no. %s) named it and caused no work: %s.',
			exact._since(i.at), i.id, w.reason)
		FROM exact.inbox AS i
		JOIN exact.inbox_work AS w ON w.id = i.id
		WHERE i.key = lower($3) AND i.division = $1 AND w.reason IS NOT NULL
		ORDER BY i.id DESC
		LIMIT 1);
	s exact.feed_state;
	idle text := exact._worker_obstacle('fetcher');
	answer text;
BEGIN
	SELECT x.*
	INTO s
	FROM exact.feed_state AS x
	JOIN exact.entity_effective AS e ON e.feed = x.feed
	WHERE x.division = $1 AND e.entity = $2;
	IF obstacle IS NOT NULL THEN
		answer := format('Never seen: %s.', obstacle);
	ELSIF s.first_complete_at IS NULL AND coalesce(s.run_state, 'idle') <> 'idle' THEN
		answer := format('Not seen yet: the first load of %s runs since %s, %s rows so far.',
			entity, exact._since(s.run_started_at), to_char(s.run_rows, 'FM999,999,999,990'));
	ELSIF s.first_complete_at IS NULL THEN
		answer := format(
			'Not seen yet: %s of division %s was never read completely; '
				'its first load starts by itself.',
			entity, division);
	ELSIF s.run_state <> 'idle' THEN
		answer := format(
			'Exact Online did not show it when %s was last read completely, by %s; '
				'another run goes on since %s, %s rows so far.',
			entity, exact._since(s.complete_at), exact._since(s.run_started_at),
			to_char(s.run_rows, 'FM999,999,999,990'));
	ELSE
		answer := format(
			'Exact Online did not show it when %s was last read completely, by %s; '
				'SELECT exact.sync_now(%s, %L) reads it now.',
			entity, exact._since(s.complete_at), division, entity);
	END IF;
	RETURN concat(answer, elsewhere, to_come, ignored,
		CASE
			WHEN obstacle IS NULL AND idle IS NOT NULL
				THEN format(' Nothing is read now: %s.', idle)
		END);
END
$$;
COMMENT ON FUNCTION exact._explain_unseen(int, text, text) IS 'Why the hub has never seen a record';
REVOKE ALL ON FUNCTION exact._explain_unseen(int, text, text) FROM PUBLIC;

CREATE FUNCTION exact._explain_seen(r exact.record) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	version exact.stage;
	b exact.batch;
	l exact.statement_log;
	letter exact.dead_letter;
	delivered boolean;
	path text;
	event text;
	known_at timestamptz;
	obstacle text;
	answer text;
	idle text;
BEGIN
	SELECT s.*
	INTO version
	FROM exact.stage AS s
	WHERE s.slot = r.slot AND s.batch = r.batch AND s.ord = r.ord;
	SELECT x.* INTO b FROM exact.batch AS x WHERE x.id = r.batch;
	IF r.erased IS NOT NULL THEN
		RETURN concat(exact._explain_erased(r.erased),
			exact._still_to_come(r.division, r.entity, r.key));
	ELSIF r.hash IS NULL THEN
		RETURN concat(
			'Databricks holds a version of it that another copy of this hub delivered; '
				'this hub reads the record again from Exact Online.',
			exact._still_to_come(r.division, r.entity, r.key),
			' Nothing is read now: '
				|| coalesce(exact._reading_obstacle(r.division, r.entity),
					exact._worker_obstacle('fetcher'))
				|| '.');
	ELSIF b.id IS NULL THEN
		RETURN format(
			'Version %s is known, its batch %s is not in exact.batch any more; '
				'SELECT * FROM exact.check().',
			r.seq, r.batch);
	END IF;
	letter := exact._letter_of(
		coalesce(b.workspace,
			(SELECT d.workspace FROM exact.division AS d WHERE d.division = r.division)),
		r.batch, r.ord);
	delivered := letter.id IS NULL AND (b.delivered_at IS NOT NULL OR b.delivered_rows > r.ord);
	path := (SELECT c.path FROM exact.api_call AS c WHERE c.id = b.call);
	event := CASE
		WHEN r.deleted THEN 'deleted in Exact Online' || CASE
			WHEN path LIKE 'sync/Deleted%' THEN ', as its log of deletes says'
			WHEN path LIKE '%$filter=% eq %' OR path LIKE E'%\\%20eq\\%20%'
				THEN ', as a read of its key confirmed'
			WHEN path IS NOT NULL THEN ', as it was absent from a complete read'
			ELSE ''
		END
		WHEN version.op = 'I' AND version.prev_batch IS NOT NULL THEN 'there again after a delete'
		WHEN version.op = 'I' THEN 'new'
		ELSE 'changed'
	END;
	IF delivered THEN
		l := exact._statement_of(b.workspace, r.entity, b.id, r.ord);
		known_at := coalesce(b.delivered_at, l.finished_at);
		answer := format('%s: version %s (%s, staged %s) is in %s%s%s.',
			CASE
				WHEN known_at IS NULL THEN 'In Databricks'
				ELSE 'In Databricks since ' || exact._since(known_at)
			END,
			r.seq, event, exact._since(b.staged_at),
			coalesce(l.table_name,
				(SELECT t.table_name
					FROM exact.target_state AS t
					WHERE t.workspace = b.workspace AND t.entity = r.entity),
				(SELECT e.target_table FROM exact.entity_effective AS e WHERE e.entity = r.entity)),
			CASE WHEN r.deleted THEN ' with _deleted = true' END,
			', statement ' || left(l.statement_id, 8) || '…')
			|| coalesce((
				SELECT format(' That was workspace %s; division %s goes to %s now.', b.workspace,
					d.division, coalesce('workspace ' || d.workspace, 'no workspace'))
				FROM exact.division AS d
				WHERE d.division = r.division
					AND d.workspace IS DISTINCT FROM b.workspace
					AND b.workspace IS NOT NULL), '');
	ELSE
		-- the newest version that Databricks has: the chain of addresses leads back to it
		WITH RECURSIVE earlier AS (
			SELECT version.prev_slot AS slot, version.prev_batch AS batch, version.prev_ord AS ord
			UNION ALL
			SELECT s.prev_slot, s.prev_batch, s.prev_ord
			FROM earlier AS e
			JOIN exact.stage AS s ON s.slot = e.slot AND s.batch = e.batch AND s.ord = e.ord
			JOIN exact.batch AS x
				ON x.id = e.batch AND (
					(x.delivered_at IS NULL AND x.delivered_rows <= e.ord)
					OR (exact._letter_of(x.workspace, e.batch, e.ord)).id IS NOT NULL)
		)
		SELECT x.staged_at
		INTO known_at
		FROM earlier AS e
		JOIN exact.batch AS x ON x.id = e.batch
		WHERE (x.delivered_at IS NOT NULL OR x.delivered_rows > e.ord)
			AND (exact._letter_of(x.workspace, e.batch, e.ord)).id IS NULL
		LIMIT 1;
		idle := exact._worker_obstacle('loader');
		answer := format(
			CASE
				WHEN letter.id IS NULL THEN 'Waits since %s: version %s (%s) is staged; %s. %s.%s'
				ELSE 'Put aside since %s: version %s (%s); %s. %s.%s'
			END,
			exact._since(coalesce(letter.at, b.staged_at)), r.seq, event,
			coalesce(letter.reason, exact._delivery_obstacle(b, r.ord)),
			CASE
				WHEN known_at IS NULL THEN 'Databricks does not have the record yet'
				ELSE format('Databricks has the version of %s', exact._since(known_at))
			END,
			CASE WHEN idle IS NOT NULL THEN format(' Nothing is delivered now: %s.', idle) END);
	END IF;
	obstacle := exact._reading_obstacle(r.division, r.entity);
	idle := CASE WHEN obstacle IS NULL THEN exact._worker_obstacle('fetcher') END;
	RETURN concat(answer, exact._still_to_come(r.division, r.entity, r.key),
		' Later changes are not read: ' || coalesce(obstacle, idle) || '.');
END
$$;
COMMENT ON FUNCTION exact._explain_seen(exact.record) IS 'Where the newest version of a record is';
REVOKE ALL ON FUNCTION exact._explain_seen(exact.record) FROM PUBLIC;

-- What keeps writes alone: what keeps the whole division is told before it.
CREATE FUNCTION exact._write_wait(division int, entity text) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce((
		SELECT CASE
			WHEN f.enabled IS NOT TRUE
				THEN format('%s is not enabled in the division: no write of it can be proved', $2)
			WHEN $2 = ANY (s.paused_entities)
				THEN format('%s is paused', $2)
			WHEN s.blocking_status <> 0
				THEN format('Exact Online works on the division (BlockingStatus %s)',
					s.blocking_status)
		END
		FROM (VALUES (1)) AS one
		LEFT JOIN exact.feed AS f ON f.division = $1 AND f.entity = $2
		LEFT JOIN exact.division_state AS s ON s.division = $1
	), (
		SELECT CASE l.reading
			WHEN 'writes' THEN format('%s has answered six errors within an hour, the hub '
				'writes nothing there until %s', l.resource, exact._since(l.until))
			ELSE format('%s is left alone until %s', coalesce(nullif(l.resource, ''),
				'the division'), exact._since(l.until))
		END
		FROM exact.rate_limit AS l
		WHERE l.division = $1 AND l.resource IN ('', exact._dimension_resource($2))
			AND l.until > now()
		ORDER BY l.resource DESC
		LIMIT 1
	), (
		SELECT format('Exact Online answered %s%s', coalesce('HTTP ' || w.status, 'nothing'),
			': ' || left(w.said, 200))
		FROM exact.dimension_write AS w
		WHERE w.division = $1 AND w.entity = $2 AND w.state NOT IN ('sent', 'ended')
			AND w.sent_at IS NOT NULL AND NOT w.answered
		ORDER BY w.id
		LIMIT 1
	))
	WHERE exact._visible_divisions() IS NULL OR $1 = ANY (exact._visible_divisions())
$$;
COMMENT ON FUNCTION exact._write_wait(int, text)
	IS 'Why writes of a dimension wait, beside what the whole division waits for; null: they go, '
		'or the caller may not see the division';
REVOKE ALL ON FUNCTION exact._write_wait(int, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._write_wait(int, text), exact._dimension_resource(text)
	TO exact_reader, exact_worker;

-- Edits that Exact Online does not have yet.
CREATE FUNCTION exact._explain_change(r exact.record) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(string_agg(format(' Edit of %s by %s to %s %s.', c.field, c.who,
		coalesce(quote_literal(left(c.wanted, 80)), 'nothing'), CASE c.state
			WHEN 'shown' THEN format('is not written: write_back of workspace %s is off',
				c.workspace)
			WHEN 'proposed' THEN format('waits: SELECT exact.approve(%s) or exact.reject(%s)',
				c.id, c.id)
			WHEN 'conflict' THEN format('is in conflict with %s in Exact Online: '
				'SELECT exact.approve(%s) or exact.reject(%s)',
				coalesce(quote_literal(left(c.exact, 80)), 'nothing'), c.id, c.id)
			ELSE 'is on its way to Exact Online' || coalesce((
				SELECT format(' (%s, %s)', w.method, w.state)
				FROM exact.dimension_write AS w
				WHERE w.id = c.write), '') || coalesce(': '
				|| coalesce(exact._reading_obstacle(c.division, c.entity),
					exact._write_wait(c.division, c.entity)), '')
		END), '' ORDER BY c.id), '')
	FROM exact.dimension_change AS c
	WHERE c.division = $1.division AND c.entity = $1.entity AND c.key = $1.key
		AND c.state IN ('shown', 'proposed', 'conflict', 'approved')
$$;
COMMENT ON FUNCTION exact._explain_change(exact.record)
	IS 'Edits of a dimension that are open, a sentence each; empty: there is none';
REVOKE ALL ON FUNCTION exact._explain_change FROM PUBLIC;

-- What the rules found about the document of a record; null: nothing, or it is none.
CREATE FUNCTION exact._judgement_of(r exact.record) RETURNS exact.judgement
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT j
	FROM exact._document_entity AS d
	JOIN exact.judgement AS j ON j.division = $1.division AND j.entity = d.document
		AND j.key = CASE WHEN d.line THEN $1.parent ELSE $1.key END
	WHERE d.entity = $1.entity AND j.state <> 'unread'
$$;
COMMENT ON FUNCTION exact._judgement_of(exact.record)
	IS 'What the rules found about the document that a record is of';
REVOKE ALL ON FUNCTION exact._judgement_of(exact.record) FROM PUBLIC;

CREATE FUNCTION exact._explain_held(r exact.record, j exact.judgement) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN $2.state = 'doubt'
			THEN format('The hub checks since %s if this is still true: %s It reads dimension and '
				'document again.', exact._since($2.since), w.problems)
		WHEN w.waits IS NULL
			THEN format('Held back since %s: %s The hub checks a newer version again; '
				'SELECT exact.release(%s) delivers it as it is.', exact._since($2.since),
				w.problems, $2.id)
		ELSE format('Held back since %s: %s The hub delivers it when %s arrives; '
			'SELECT exact.release(%s) delivers it as it is.', exact._since($2.since), w.problems,
			w.waits, $2.id)
	END
	FROM (SELECT array_to_string($2.problems, ' ') AS problems, (
		SELECT string_agg(exact._wait_word(u.wait, g.code), ', ' ORDER BY u.wait)
		FROM unnest($2.waits) AS u (wait)
		LEFT JOIN exact.gl_account AS g
			ON g.division = $1.division AND 'glaccount:' || g.id::text = u.wait) AS waits) AS w
$$;
COMMENT ON FUNCTION exact._explain_held(exact.record, exact.judgement)
	IS 'Why the document of a record is held back, and what ends that';
REVOKE ALL ON FUNCTION exact._explain_held(exact.record, exact.judgement) FROM PUBLIC;

CREATE FUNCTION exact.explain(division int, entity text, key text) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	name text := exact._one_entity(entity);
	r exact.record;
	j exact.judgement;
BEGIN
	PERFORM exact._require_division(division);
	IF name IS NULL THEN
		PERFORM exact._refuse_entity(entity);
	ELSIF key IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'EX018',
			MESSAGE = 'no key was given',
			HINT = 'Keys are in exact.record: the Guid or code that Exact Online has '
				'for the record.';
	END IF;
	r := exact._record_named(division, name, key);
	IF r.key IS NULL THEN
		RETURN CASE
			WHEN exact._is_guid(btrim(key)) OR NOT exact._has_guids(name) THEN ''
			ELSE format('No record of %s here has the number or code %s. ', name,
				quote_literal(left(key, 80)))
		END || exact._explain_unseen(division, name, key);
	END IF;
	j := exact._judgement_of(r);
	IF j.state IN ('doubt', 'held') AND NOT r.deleted THEN
		RETURN exact._explain_held(r, j);
	END IF;
	RETURN exact._explain_seen(r) || exact._explain_change(r) || coalesce(
		' Its document is marked in Databricks: ' || array_to_string(j.problems, ' '), '');
END
$$;
COMMENT ON FUNCTION exact.explain(int, text, text)
	IS 'Says in one sentence where a record is, or why it is not in Databricks, what to do, and '
		'what will still happen. key: the key, or a number or code; then a notice says which '
		'record was taken. exact.trace() shows every step. EX021: no such division; EX015: no '
		'such entity';
REVOKE ALL ON FUNCTION exact.explain(int, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.explain(int, text, text) TO exact_reader;
