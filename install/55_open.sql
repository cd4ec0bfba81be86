-- What the Delta tables exact_open and exact_state say: is a month complete in Databricks? The
-- loader asks and writes.

CREATE FUNCTION exact._content(slot smallint, batch bigint, ord int) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	s record;
BEGIN
	LOOP
		SELECT v.payload, v.prev_slot, v.prev_batch, v.prev_ord
		INTO s
		FROM exact.stage AS v
		WHERE v.slot = $1 AND v.batch = $2 AND v.ord = $3;
		EXIT WHEN NOT found OR s.payload IS NOT NULL OR s.prev_batch IS NULL;
		slot := s.prev_slot;
		batch := s.prev_batch;
		ord := s.prev_ord;
	END LOOP;
	RETURN s.payload;
END
$$;
COMMENT ON FUNCTION exact._content(smallint, bigint, int)
	IS 'The record as received of a version; of a delete that of the version before it; '
		'null: none is held';
REVOKE ALL ON FUNCTION exact._content(smallint, bigint, int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._content(smallint, bigint, int) TO exact_worker;

CREATE FUNCTION exact._number_in(content text, fields text[]) RETURNS numeric
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN (SELECT CASE WHEN n.number > -1e23 AND n.number < 1e23 THEN n.number END
		FROM json_each(content::json) AS j,
			LATERAL (SELECT nullif(j.value #>> '{}', '')::numeric AS number) AS n
		WHERE j.key = ANY (fields) AND j.value::text <> 'null'
		ORDER BY array_position(fields, j.key)
		LIMIT 1);
EXCEPTION WHEN data_exception THEN
	-- a sign that no text can hold, in whatever field: the others are as they are
	IF content ~ E'\\\\u(0000|[dD][89a-fA-F][0-9a-fA-F]{2})' THEN
		RETURN exact._number_in(regexp_replace(content,
			E'\\\\u(0000|[dD][89a-fA-F][0-9a-fA-F]{2})', E'\\\\ufffd', 'g'), fields);
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION exact._number_in(text, text[])
	IS 'The first of these fields that a record has, as a number with all its digits; null: '
		'it has none, or it is no number that fits into DECIMAL(28,4)';
REVOKE ALL ON FUNCTION exact._number_in(text, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._number_in(text, text[]) TO exact_worker;

CREATE FUNCTION exact._fields_named(entity text, VARIADIC names text[]) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT array_agg(f.source_field ORDER BY array_position($2, f.name))
	FROM exact.catalogue_field AS f
	WHERE f.entity = $1 AND f.name = ANY ($2)
$$;
COMMENT ON FUNCTION exact._fields_named(text, text[])
	IS 'How these columns of an entity are called in its records; null: it has none of them';
REVOKE ALL ON FUNCTION exact._fields_named(text, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._fields_named(text, text[]) TO exact_worker;

-- Small backlogs are named record by record, smallest first, as long as all fit into one statement;
-- of the others there is one row each.
CREATE FUNCTION exact._open_rows(workspace text)
RETURNS TABLE (
		division int, entity text, key text, state text, reason text, year numeric, period numeric,
		amount numeric, records bigint, since timestamptz, seq bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	most constant int := 2500;
	-- the first of what is held back by a rule, and of what was put aside, that is not named
	held_rest constant bigint := coalesce((
		SELECT v.seq
		FROM exact.verdict AS v
		WHERE v.held IS NOT NULL AND v.workspace = $1
		ORDER BY v.seq
		OFFSET most
		LIMIT 1), 9223372036854775807);
	dead_rest constant bigint := coalesce((
		SELECT x.id
		FROM exact.dead_letter AS x
		WHERE x.state IN ('dead', 'retry')
		ORDER BY x.id
		OFFSET most
		LIMIT 1), 9223372036854775807);
BEGIN
	RETURN QUERY
		WITH backlog AS (
			SELECT b.division, b.entity, sum(b.rows - b.delivered_rows) AS rows,
				min(b.staged_at) AS since, max(b.seq_max) AS seq,
				array_agg(b.id) AS ids
			FROM exact.batch AS b
			LEFT JOIN exact.division AS d ON d.division = b.division
			WHERE b.delivered_at IS NULL AND coalesce(b.workspace, d.workspace) = $1
				AND coalesce(b.replay, 0) = 0
			GROUP BY b.division, b.entity
		), ranked AS (
			SELECT l.*, sum(l.rows) OVER (ORDER BY l.rows, l.division, l.entity) <= most AS named,
				CASE WHEN t.paused_since IS NOT NULL THEN 'paused' ELSE 'waiting' END AS state,
				CASE WHEN t.paused_since IS NOT NULL THEN t.reason END AS reason
			FROM backlog AS l
			LEFT JOIN exact.target_state AS t ON t.workspace = $1 AND t.entity = l.entity
		), address AS (
			SELECT l.division, l.entity, l.state, l.reason, b.staged_at AS since, s.slot, s.batch,
				s.ord
			FROM ranked AS l
			JOIN exact.batch AS b ON b.id = ANY (l.ids)
			JOIN exact.stage AS s
				ON s.slot = b.slot AND s.batch = b.id AND s.ord >= b.delivered_rows
			WHERE l.named
			UNION ALL
			SELECT x.division, x.entity, 'dead', format('%s: exact.retry(%s)', x.reason, x.id),
				x.at, x.slot, x.batch, x.ord
			FROM exact.dead_letter AS x
			WHERE x.side = 'delivery' AND x.workspace = $1 AND x.state IN ('dead', 'retry')
				AND x.id < dead_rest
			UNION ALL
			SELECT v.division, v.entity, 'quarantine', v.problems, b.staged_at, v.slot, v.batch,
				v.ord
			FROM exact.verdict AS v
			CROSS JOIN LATERAL (SELECT x.batch, x.ord FROM exact.record AS x
				WHERE x.division = v.division AND x.entity = v.entity AND x.key = v.key
				OFFSET 0) AS r
			JOIN exact.batch AS b ON b.id = v.batch
			WHERE v.held IS NOT NULL AND v.workspace = $1 AND v.seq < held_rest
				AND r.batch = v.batch AND r.ord = v.ord
		), version AS (
			SELECT DISTINCT ON (a.division, a.entity, s.key) a.division, a.entity, s.key, a.state,
				a.reason, a.since AS staged_at, s.seq,
				coalesce(s.payload, exact._content(s.slot, s.batch, s.ord)) AS content, r.parent
			FROM address AS a
			-- each is looked up by its whole key: plans are made while tables are small
			CROSS JOIN LATERAL (SELECT x.* FROM exact.stage AS x
				WHERE x.slot = a.slot AND x.batch = a.batch AND x.ord = a.ord OFFSET 0) AS s
			LEFT JOIN LATERAL (SELECT x.parent FROM exact.record AS x
				WHERE x.division = a.division AND x.entity = a.entity AND x.key = s.key
				OFFSET 0) AS r ON true
			ORDER BY a.division, a.entity, s.key, s.seq DESC
		)
		SELECT v.division, v.entity, v.key, v.state, v.reason,
			coalesce(
				exact._number_in(v.content,
					exact._fields_named(v.entity, 'FinancialYear', 'ReportingYear')),
				h.year),
			coalesce(
				exact._number_in(v.content,
					exact._fields_named(v.entity, 'FinancialPeriod', 'ReportingPeriod')),
				h.period),
			-- what a transaction line adds to the ledger depends on the division
			exact._number_in(v.content, exact._fields_named(v.entity, 'AmountDC'))
				* CASE
					WHEN v.entity = 'transactionlines'
						THEN nullif(exact.ledger_sign(exact._shape_of(v.division),
							exact._number_in(v.content, '{LineNumber}'),
							exact._number_in(v.content, '{Type}')), 0)
					ELSE exact._amount_sign(v.division, v.entity)
				END,
			1::bigint, v.staged_at, v.seq
		FROM version AS v
		JOIN exact.catalogue AS c ON c.entity = v.entity
		-- a line is of its document's period
		LEFT JOIN LATERAL (
			SELECT exact._number_in(x.content,
					exact._fields_named(x.entity, 'FinancialYear', 'ReportingYear')) AS year,
				exact._number_in(x.content,
					exact._fields_named(x.entity, 'FinancialPeriod', 'ReportingPeriod')) AS period
			FROM (SELECT e.entity, exact._content(r.slot, r.batch, r.ord) AS content
				FROM exact.catalogue AS e
				JOIN exact.record AS r
					ON r.division = v.division AND r.entity = e.entity AND r.key = v.parent
				WHERE e.feed = c.feed AND e.row_kind = 'header'
				LIMIT 1) AS x
		) AS h ON c.row_kind = 'line' AND v.parent IS NOT NULL
		UNION ALL
		SELECT l.division, l.entity, NULL, l.state, l.reason, NULL, NULL, NULL, l.rows::bigint,
			l.since, l.seq
		FROM ranked AS l
		WHERE NOT l.named
		UNION ALL
		SELECT v.division, v.entity, NULL, 'quarantine', 'documents wait: exact.quarantine', NULL,
			NULL, NULL, count(*), min(v.changed_at), max(v.seq)
		FROM exact.verdict AS v
		CROSS JOIN LATERAL (SELECT x.batch, x.ord FROM exact.record AS x
			WHERE x.division = v.division AND x.entity = v.entity AND x.key = v.key
			OFFSET 0) AS r
		WHERE v.held IS NOT NULL AND v.workspace = $1 AND v.seq >= held_rest
			AND r.batch = v.batch AND r.ord = v.ord
		GROUP BY v.division, v.entity
		UNION ALL
		SELECT h.division, h.entity,
			CASE WHEN h.records = 1 THEN (
				SELECT min(r.key) FROM exact._held_record AS r
				WHERE r.id = h.id AND r.division = h.division AND r.entity = h.entity) END,
			'held', format('deletes wait for a yes or no (%s): exact.approve(%s)', h.reason, h.id),
			NULL, NULL, NULL, h.records, h.found_at, NULL
		FROM exact.held_delete AS h
		JOIN exact.division AS d ON d.division = h.division AND d.workspace = $1
		WHERE h.state = 'held'
		UNION ALL
		SELECT x.division, x.entity, x.key, 'dead', format('%s: exact.retry(%s)', x.reason, x.id),
			NULL, NULL, NULL, 1, x.at, NULL
		FROM exact.dead_letter AS x
		JOIN exact.division AS d ON d.division = x.division AND d.workspace = $1
		WHERE x.side = 'reading' AND x.state IN ('dead', 'retry') AND x.id < dead_rest
		UNION ALL
		SELECT x.division, x.entity, NULL, 'dead', 'rows were put aside: exact.dead_letter',
			NULL, NULL, NULL, count(*), min(x.at), NULL
		FROM exact.dead_letter AS x
		JOIN exact.division AS d ON d.division = x.division
		WHERE CASE x.side WHEN 'delivery' THEN x.workspace ELSE d.workspace END = $1
			AND x.state IN ('dead', 'retry') AND x.id >= dead_rest
		GROUP BY x.division, x.entity
		ORDER BY 1, 2, 11, 3;
END
$$;
COMMENT ON FUNCTION exact._open_rows(text)
	IS 'What is staged for a workspace and not in its Delta tables: '
		'newest version of each record with period and amount; '
		'of large backlogs one row with their number; documents that a rule holds back, deletes '
		'that are held, and rows that were put aside';
REVOKE ALL ON FUNCTION exact._open_rows(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._open_rows(text) TO exact_worker;

-- Complete up to: the start of the last whole run, or before it the oldest thing that is known and
-- not in Delta. While a run goes on, when the one before it began is not known any more, while
-- lines are read that did not come with their documents, while the log of deletes is behind what
-- was confirmed, and while deletes are held: null, and what was said before stays true.
CREATE FUNCTION exact._state_rows(workspace text)
RETURNS TABLE (
		division int, entity text, state text, reason text, complete_until timestamptz,
		open_records bigint, delivered_at timestamptz, ledger text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH waiting AS (
		SELECT x.division, x.entity, sum(x.rows) AS rows, min(x.since) AS since
		FROM (
			SELECT b.division, b.entity, b.rows - b.delivered_rows AS rows, b.staged_at AS since
			FROM exact.batch AS b
			WHERE b.delivered_at IS NULL AND coalesce(b.replay, 0) = 0
			UNION ALL
			-- a version that was put aside is open as long as nothing newer of its record is there
			SELECT l.division, l.entity, 1, coalesce(b.staged_at, l.at)
			FROM exact.dead_letter AS l
			LEFT JOIN exact.batch AS b ON b.id = l.batch
			WHERE l.state IN ('dead', 'retry')
			UNION ALL
			-- so is one that a rule holds back
			SELECT v.division, v.entity, 1, b.staged_at
			FROM exact.verdict AS v
			JOIN exact.record AS r ON r.division = v.division AND r.entity = v.entity
				AND r.key = v.key AND r.batch = v.batch AND r.ord = v.ord
			JOIN exact.batch AS b ON b.id = v.batch
			WHERE v.held IS NOT NULL
		) AS x
		GROUP BY x.division, x.entity
	), dirty AS (
		-- a document's key stands for its lines too; of lines that did not come it is not known how
		-- old they are
		SELECT k.division, e.feed, min(least(k.since, k.first_at)) AS since,
			bool_or(k.reason IN ('first load', 'its lines did not come with it')) AS unread
		FROM exact.dirty_key AS k
		JOIN exact.entity_effective AS e ON e.entity = k.entity
		GROUP BY k.division, e.feed
	), announced AS (
		SELECT w.division, w.topic, min(i.at) AS since
		FROM exact.inbox_work AS w
		JOIN exact.inbox AS i ON i.id = w.id
		WHERE w.taken_at IS NULL
		GROUP BY w.division, w.topic
	)
	SELECT f.division, f.entity,
		CASE
			WHEN NOT f.enabled OR NOT d.enabled THEN 'off'
			WHEN s.first_complete_at IS NULL OR b.reason = 'joined' THEN 'first load'
			WHEN o.reason IS NOT NULL THEN 'stopped'
			ELSE 'complete'
		END,
		CASE WHEN f.enabled AND d.enabled THEN o.reason END,
		CASE
			WHEN s.first_complete_at IS NOT NULL
					AND b.feed IS NULL
					AND s.run_state = 'idle' AND s.run_started_at IS NOT NULL
					AND (x.feed IS NULL OR (x.run_state = 'idle' AND x.run_started_at IS NOT NULL
						AND x.again_at IS NULL))
					AND NOT EXISTS (
						SELECT FROM exact.held_delete AS h
						WHERE h.division = f.division AND h.entity = f.entity AND h.state = 'held')
					AND k.unread IS NOT TRUE
				THEN least(s.run_started_at, x.run_started_at, w.since, k.since,
					(SELECT min(a.since)
						FROM announced AS a
						WHERE a.division = f.division
							AND a.topic = ANY (e.topics)))
		END,
		coalesce(w.rows, 0)::bigint, t.delivered_at,
		CASE WHEN f.entity = 'transactionlines' THEN exact._shape_of(f.division) END
	FROM exact.feed AS f
	JOIN exact.division AS d ON d.division = f.division AND d.workspace = $1
	JOIN exact.entity_effective AS e ON e.entity = f.entity
	LEFT JOIN exact.feed_state AS s ON s.division = f.division AND s.feed = e.feed
	-- what is read again, other than by itself at night
	LEFT JOIN exact.backfill AS b
		ON b.division = f.division AND b.feed = e.feed AND b.finished_at IS NULL AND NOT b.nightly
	-- deletes of many entities come by a log of their own
	LEFT JOIN exact.feed_state AS x
		ON x.division = f.division
			AND x.feed = 'deleted'
			AND e.method = 'sync'
			AND e.entity_type IS NOT NULL
	LEFT JOIN waiting AS w ON w.division = f.division AND w.entity = f.entity
	LEFT JOIN dirty AS k ON k.division = f.division AND k.feed = e.feed
	LEFT JOIN exact.target_state AS t ON t.workspace = $1 AND t.entity = f.entity
	CROSS JOIN LATERAL (
		SELECT coalesce(exact._reading_obstacle(f.division, f.entity),
			CASE WHEN t.paused_since IS NOT NULL THEN t.reason END) AS reason
	) AS o
$$;
COMMENT ON FUNCTION exact._state_rows(text)
	IS 'Up to when each division and entity of a workspace is complete in Delta, and what keeps '
		'it from going on';
REVOKE ALL ON FUNCTION exact._state_rows(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._state_rows(text) TO exact_worker;

CREATE FUNCTION exact._open_json(
		workspace text, OUT open_rows text, OUT opens int, OUT state_rows text, OUT states int,
		OUT digest text, OUT delivered_at timestamptz, OUT divisions int[], OUT first_loads int)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH moment AS (
		SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS now
	), o AS (
		SELECT json_agg(json_build_object(
				'_division', r.division::text,
				'entity', r.entity,
				'_key', r.key,
				'state', r.state,
				'reason', r.reason,
				'year', CASE WHEN abs(r.year) < 32768 THEN trunc(r.year)::text END,
				'period', CASE WHEN abs(r.period) < 32768 THEN trunc(r.period)::text END,
				'amount', r.amount::text,
				'records', r.records::text,
				'since', to_char(r.since AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
				'_seq', r.seq::text,
				'as_of', m.now)) AS rows,
			count(*)::int AS n,
			md5(coalesce(string_agg(
				concat_ws('|', r.division, r.entity, r.key, r.state, r.reason, r.seq), E'\n'),
				'')) AS digest
		FROM exact._open_rows($1) AS r, moment AS m
	), s AS (
		SELECT json_agg(json_build_object(
				'_division', r.division::text,
				'entity', r.entity,
				'state', r.state,
				'reason', r.reason,
				'complete_until',
					to_char(r.complete_until AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
				'open_records', r.open_records::text,
				'ledger', r.ledger,
				'as_of', m.now) ORDER BY r.division, r.entity) AS rows,
			count(*)::int AS n,
			md5(coalesce(string_agg(
				concat_ws('|', r.division, r.entity, r.state, r.ledger),
				E'\n' ORDER BY r.division, r.entity),
				'')) AS digest,
			max(r.delivered_at) FILTER (WHERE NOT exact._is_future(r.delivered_at)) AS delivered_at,
			array_agg(DISTINCT r.division) AS divisions,
			(count(*) FILTER (WHERE r.state = 'first load' AND r.reason IS NULL))::int
				AS first_loads
		FROM exact._state_rows($1) AS r, moment AS m
	)
	SELECT coalesce(o.rows, '[]')::text, o.n, coalesce(s.rows, '[]')::text, s.n,
		o.digest || s.digest, s.delivered_at, s.divisions,
		s.first_loads + (
			-- all was read, and some of it is on its way still
			SELECT count(DISTINCT (b.division, b.entity))::int
			FROM exact.batch AS b
			JOIN exact.division AS d ON d.division = b.division AND d.workspace = $1
			JOIN exact.entity_effective AS e ON e.entity = b.entity
			JOIN exact.feed_state AS f
				ON f.division = b.division AND f.feed = e.feed
					AND f.first_complete_at >= b.staged_at
			LEFT JOIN exact.target_state AS t ON t.workspace = $1 AND t.entity = b.entity
			WHERE b.delivered_at IS NULL AND t.paused_since IS NULL)
	FROM o, s
$$;
COMMENT ON FUNCTION exact._open_json(text)
	IS 'Rows of exact_open and exact_state as the loader sends them: '
		'arrays of objects whose values are texts; the digest leaves out what changes with the '
		'time alone. first_loads: entities whose first load is read or delivered';
REVOKE ALL ON FUNCTION exact._open_json(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._open_json(text) TO exact_worker;
