-- What happened to one record.

CREATE FUNCTION exact._changed_fields(entity text, before text, after text) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN ARRAY(
		SELECT f.name
		FROM exact.catalogue_field AS f
		LEFT JOIN json_each(before::json) AS b ON b.key = f.source_field
		LEFT JOIN json_each(after::json) AS a ON a.key = f.source_field
		WHERE f.entity = $1
			AND f.hashed
			AND f.target_type IS NOT NULL
			AND nullif(a.value::text, 'null') IS DISTINCT FROM nullif(b.value::text, 'null')
		ORDER BY f.ordinal);
EXCEPTION WHEN data_exception THEN
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION exact._changed_fields(text, text, text)
	IS 'Fields that differ between two records as received; null: one of them cannot be read';
REVOKE ALL ON FUNCTION exact._changed_fields(text, text, text) FROM PUBLIC;

CREATE FUNCTION exact._shown_value(value json) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN t.text ~ E'^/Date\\(-?\\d{1,14}\\)/$'
			THEN to_char(
				timestamp '1970-01-01'
					+ substring(t.text FROM E'-?\\d+')::bigint * interval '1 ms',
				CASE
					WHEN substring(t.text FROM E'-?\\d+')::bigint % 86400000 = 0 THEN 'YYYY-MM-DD'
					ELSE 'YYYY-MM-DD HH24:MI:SS.MS'
				END)
		WHEN length(t.text) > 80 THEN left(t.text, 80) || '…'
		ELSE coalesce(t.text, 'null')
	END
	FROM (SELECT $1 #>> '{}' AS text) AS t
$$;
COMMENT ON FUNCTION exact._shown_value(json)
	IS 'A value of a record as people read it: texts without quotes and at most 80 characters, '
		'dates as dates, null for none';
REVOKE ALL ON FUNCTION exact._shown_value(json) FROM PUBLIC;

CREATE FUNCTION exact._changes(entity text, before text, after text) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN ARRAY(
		SELECT format('%s: %s → %s', f.name, exact._shown_value(b.value),
			exact._shown_value(a.value))
		FROM exact.catalogue_field AS f
		LEFT JOIN json_each(before::json) AS b ON b.key = f.source_field
		LEFT JOIN json_each(after::json) AS a ON a.key = f.source_field
		WHERE f.entity = $1
			AND f.hashed
			AND f.target_type IS NOT NULL
			AND a.value #>> '{}' IS DISTINCT FROM b.value #>> '{}'
		ORDER BY f.ordinal);
EXCEPTION WHEN data_exception THEN
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION exact._changes(text, text, text)
	IS 'Fields that differ between two records as received, each with its value before and after; '
		'null: one of the records cannot be read';
REVOKE ALL ON FUNCTION exact._changes(text, text, text) FROM PUBLIC;

CREATE FUNCTION exact._require_record(division int, entity text, key text) RETURNS exact.record
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	name text := exact._one_entity(entity);
	found_record exact.record;
BEGIN
	PERFORM exact._require_visible($1);
	found_record := exact._record_named($1, name, $3);
	IF found_record.key IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'EX018',
			MESSAGE = format('the hub has never seen record %s of %s in division %s',
				quote_nullable($3), coalesce(name, 'null'), coalesce($1::text, 'null')),
			HINT = format('SELECT * FROM exact.find(%s, %L) looks in every entity; '
				'SELECT exact.sync_now(%1$s, %3$L) reads the feed now.', $1, $3, name);
	END IF;
	RETURN found_record;
END
$$;
COMMENT ON FUNCTION exact._require_record(int, text, text)
	IS 'The row of exact.record for an entity''s name or path and a key in any case, a number or '
		'a code; raises EX018 when there is none';
REVOKE ALL ON FUNCTION exact._require_record(int, text, text) FROM PUBLIC;

CREATE FUNCTION exact.history(
		division int, entity text, key text, OUT seq bigint, OUT at timestamptz, OUT op text,
		OUT changed text[], OUT payload text)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	newest exact.record := exact._require_record(division, entity, key);
BEGIN
	RETURN QUERY
		WITH RECURSIVE version AS (
			SELECT s.*
			FROM exact.stage AS s
			WHERE s.slot = newest.slot AND s.batch = newest.batch AND s.ord = newest.ord
			UNION ALL
			SELECT s.*
			FROM version AS v
			JOIN exact.stage AS s
				ON s.slot = v.prev_slot
					AND s.batch = v.prev_batch
					AND s.ord = v.prev_ord
					AND s.key = v.key
		), counted AS (
			SELECT v.*, count(v.payload) OVER (ORDER BY v.seq) AS contents FROM version AS v
		)
		-- a delete has no content of its own: what comes after it is compared with the last content
		SELECT c.seq, c.at, c.op,
			CASE
				WHEN c.payload IS NOT NULL AND b.payload IS NOT NULL
					THEN exact._changes(newest.entity, b.payload, c.payload)
			END, c.payload
		FROM counted AS c
		LEFT JOIN counted AS b ON b.payload IS NOT NULL AND b.contents = c.contents - 1
		ORDER BY c.seq;
END
$$;
COMMENT ON FUNCTION exact.history(int, text, text)
	IS 'The versions of a record held here, oldest first: _seq, when staged, I new, U changed, D '
		'deleted, E erased, the fields that changed as "Field: before → after" (after a delete: '
		'since the last content), the record as received (null for D and E). '
		'A line of a document has a key and a history of its own. The number or code may stand in '
		'place of the key: a notice says what was taken';
REVOKE ALL ON FUNCTION exact.history(int, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.history(int, text, text) TO exact_reader;

-- Notifications that name a record, its document or one of its lines, in a span of time.
CREATE FUNCTION exact._notification_steps(
		r exact.record, after timestamptz, until timestamptz, OUT at timestamptz, OUT step text,
		OUT what text, OUT took text)
RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT n.at, 'notification',
		format('%s%s, signature ok (%s secret), no. %s%s', coalesce(n.action, 'unknown action'),
			CASE
				WHEN n.key = lower($1.key) THEN ''
				WHEN n.key = lower($1.parent) THEN ' of its document'
				ELSE ' of a line'
			END,
			n.secret, n.id, ', ignored: ' || n.reason),
		NULL
	FROM (
		SELECT i.*, w.reason
		FROM exact.inbox AS i
		LEFT JOIN exact.inbox_work AS w ON w.id = i.id
		WHERE i.division = $1.division AND i.at > $2 AND i.at <= $3
			AND i.topic = ANY ((SELECT c.topics FROM exact.catalogue AS c
				WHERE c.entity = $1.entity)::text[])
			AND i.key = ANY (ARRAY[lower($1.key), lower($1.parent)] || ARRAY(
				SELECT l.key
				FROM exact.catalogue AS c
				JOIN exact.catalogue AS o ON o.feed = c.feed AND o.parent_field IS NOT NULL
				JOIN exact.record AS l
					ON l.division = $1.division AND l.entity = o.entity AND l.parent = $1.key
				WHERE c.entity = $1.entity
				LIMIT 1000))
		ORDER BY i.id DESC
		LIMIT 20
	) AS n
	ORDER BY n.id
$$;
COMMENT ON FUNCTION exact._notification_steps(exact.record, timestamptz, timestamptz)
	IS 'Steps of exact.trace(): the newest 20 notifications of a record, its document or its lines';
REVOKE ALL ON FUNCTION exact._notification_steps FROM PUBLIC;

-- Edits of a dimension that have not reached the newest version, and those that made it.
CREATE FUNCTION exact._change_steps(r exact.record, OUT at timestamptz, OUT step text,
	OUT what text, OUT took text)
RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(c.ended_at, w.sent_at, c.decided_at, c.found_at), 'edit',
		format('%s by %s: %s → %s, %s%s (change %s)', coalesce(c.field, 'new record'), c.who,
			coalesce(c.old, 'nothing'), coalesce(left(c.wanted, 80), 'nothing'), CASE
				WHEN c.state <> 'approved' THEN c.state
				WHEN w.id IS NULL THEN 'waits for its call'
				ELSE format('%s: %s', w.method, w.state)
			END, coalesce(', ' || c.reason, ''), c.id),
		NULL
	FROM (
		SELECT x.* FROM exact.dimension_change AS x
		WHERE x.division = $1.division AND x.entity = $1.entity AND x.key = $1.key
		ORDER BY x.id DESC
		LIMIT 20
	) AS c
	LEFT JOIN exact.dimension_write AS w ON w.id = c.write
	ORDER BY c.id
$$;
COMMENT ON FUNCTION exact._change_steps(exact.record)
	IS 'Steps of exact.trace(): the newest 20 edits of a dimension and what became of them';
REVOKE ALL ON FUNCTION exact._change_steps FROM PUBLIC;

-- Whether the rules found something about a version of a document.
CREATE FUNCTION exact._judged_step(r exact.record, staged_at timestamptz, OUT at timestamptz,
	OUT step text, OUT what text, OUT took text)
RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(v.changed_at, $2), 'validated', CASE
			WHEN u.batch IS NOT NULL THEN 'not yet: the document is not complete'
			WHEN v.problems IS NULL THEN format('%s rules, no problem', (
				SELECT count(*) FROM exact._rule AS x
				WHERE x.entity = d.document AND x.action <> 'off'))
			WHEN v.held = 'doubt' THEN 'dimension and document are read again: ' || v.problems
			ELSE v.problems
		END, NULL::text
	FROM exact._document_entity AS d
	LEFT JOIN exact.verdict AS v ON v.batch = $1.batch AND v.ord = $1.ord
	LEFT JOIN exact.unjudged AS u ON u.batch = $1.batch
	WHERE d.entity = $1.entity AND NOT $1.deleted
$$;
COMMENT ON FUNCTION exact._judged_step(exact.record, timestamptz)
	IS 'Step of exact.trace(): what the rules found about the newest version';
REVOKE ALL ON FUNCTION exact._judged_step FROM PUBLIC;

CREATE FUNCTION exact.trace(
		division int, entity text, key text, OUT at timestamptz, OUT step text, OUT what text,
		OUT took text)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	r exact.record := exact._require_record(division, entity, key);
	version exact.stage;
	before exact.stage;
	b exact.batch;
	letter exact.dead_letter;
	fields text[];
	delivered boolean;
BEGIN
	SELECT s.*
	INTO version
	FROM exact.stage AS s
	WHERE s.slot = r.slot AND s.batch = r.batch AND s.ord = r.ord;
	SELECT s.*
	INTO before
	FROM exact.stage AS s
	WHERE s.slot = version.prev_slot AND s.batch = version.prev_batch AND s.ord = version.prev_ord;
	SELECT x.* INTO b FROM exact.batch AS x WHERE x.id = r.batch;
	letter := exact._letter_of(b.workspace, r.batch, r.ord);
	delivered := letter.id IS NULL AND (b.delivered_at IS NOT NULL OR b.delivered_rows > r.ord);

	IF r.erased IS NULL THEN
		RETURN QUERY SELECT * FROM exact._erasure_steps(r);
	END IF;
	RETURN QUERY
		SELECT * FROM exact._notification_steps(r, coalesce(before.at, '-infinity'), version.at);
	RETURN QUERY
		SELECT c.at, 'call',
			format('%s %s, %s%s%s', c.method, split_part(c.path, '?', 1),
				coalesce(c.status::text, c.outcome),
				', ' || c.rows || CASE c.rows WHEN 1 THEN ' row' ELSE ' rows' END,
				', ' || c.minute_left || coalesce(' of ' || s.minute_limit, '') || ' left'),
			exact._took(c.took_ms)
		FROM exact.api_call AS c
		LEFT JOIN exact.division_state AS s ON s.division = c.division
		WHERE c.id = b.call;

	IF version.op = 'U' AND before.op NOT IN ('D', 'E') THEN
		fields := exact._changed_fields(r.entity, before.payload, version.payload);
		fields := coalesce(nullif(array_remove(array_remove(fields, 'Modified'), 'Modifier'), '{}'),
			fields);
	END IF;
	at := version.at;
	step := 'staged';
	what := format('version %s, %s', version.seq, CASE
		WHEN version.op = 'D' THEN 'deleted'
		WHEN version.op = 'E' THEN 'erased since'
		WHEN version.op = 'I' AND before.op = 'D' THEN 'there again after a delete'
		WHEN version.op = 'I' THEN 'new'
		WHEN fields IS NULL OR fields = '{}' THEN 'changed'
		ELSE format('%s field%s changed: %s%s', cardinality(fields),
			CASE WHEN cardinality(fields) > 1 THEN 's' END,
			array_to_string(fields[1:3], ', '), CASE WHEN cardinality(fields) > 3 THEN ', …' END)
	END);
	took := exact._took(b.took_ms);
	RETURN NEXT;
	RETURN QUERY SELECT * FROM exact._judged_step(r, version.at);

	-- Ranges of deliveries rise with their batches, so the first ones that end behind this version
	-- are those that hold it.
	RETURN QUERY
		SELECT coalesce(l.finished_at, l.at),
			CASE l.state
				WHEN 'succeeded' THEN 'delivered'
				WHEN 'failed' THEN 'refused'
				ELSE l.state
			END,
			format('%s%s%s, %s row%s%s', 'statement ' || left(l.statement_id, 8) || '…, ',
				CASE l.kind WHEN 'history' THEN 'history of ' END, r.entity, l.rows,
				CASE WHEN l.rows <> 1 THEN 's' END,
				': ' || left(l.error, 160)),
			exact._took(l.took_ms)
		FROM (
			SELECT *
			FROM exact.statement_log AS x
			WHERE x.entity = r.entity
				AND x.first_batch IS NOT NULL
				AND x.last_batch >= b.id
				AND x.workspace IS NOT DISTINCT FROM coalesce(b.workspace, x.workspace)
			ORDER BY x.last_batch, x.id
			LIMIT 400
		) AS l
		WHERE l.kind IN ('history', 'current')
			AND (l.first_batch, l.first_ord) <= (b.id, r.ord)
			AND (b.id, r.ord) <= (l.last_batch, l.last_ord)
			-- what was put aside was in the statements that failed only
			AND (letter.id IS NULL OR l.state <> 'succeeded')
		ORDER BY l.id;

	IF letter.id IS NOT NULL THEN
		RETURN QUERY
			SELECT letter.at, 'put aside'::text,
				format('%s; SELECT exact.retry(%s) tries it again', letter.reason, letter.id),
				NULL::text;
	ELSIF NOT delivered THEN
		RETURN QUERY
			SELECT coalesce(t.paused_since, b.staged_at), 'waiting'::text,
				CASE
					WHEN d.workspace IS NULL THEN 'the division has no workspace'
					WHEN t.paused_since IS NOT NULL
						THEN 'deliveries into the table are paused: '
							|| coalesce(t.reason, 'no reason recorded')
					WHEN NOT w.enabled THEN 'the workspace is not enabled'
					ELSE 'for the next delivery into ' || r.entity
				END,
				exact._took(
					extract(epoch FROM clock_timestamp() - b.staged_at)::double precision * 1000)
			FROM exact.division AS d
			LEFT JOIN exact.workspace AS w ON w.name = d.workspace
			LEFT JOIN exact.target_state AS t ON t.workspace = d.workspace AND t.entity = r.entity
			WHERE d.division = r.division;
	END IF;
	IF r.erased IS NOT NULL THEN
		RETURN QUERY SELECT * FROM exact._erasure_steps(r);
	END IF;
	RETURN QUERY SELECT * FROM exact._change_steps(r);
	RETURN QUERY SELECT * FROM exact._notification_steps(r, version.at, 'infinity');
	RETURN QUERY
		SELECT k.since, 'dirty'::text,
			coalesce('to be read again: ' || k.reason, 'to be read again'), NULL::text
		FROM exact.dirty_key AS k
		WHERE k.division = r.division AND k.entity = r.entity AND k.key = r.key;
END
$$;
COMMENT ON FUNCTION exact.trace(int, text, text)
	IS 'Every step of a record''s newest version: the notifications since the version before, the '
		'call that brought it, when it was staged and what changed, what the rules found about its '
		'document, the statements that delivered it, or what it waits for, and when its content '
		'was erased. The number or code may stand in place of the key: a notice says what was '
		'taken';
REVOKE ALL ON FUNCTION exact.trace(int, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.trace(int, text, text) TO exact_reader;
