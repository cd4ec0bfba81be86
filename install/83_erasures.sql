-- What exact.erase() was asked for, and how far it is.

CREATE VIEW exact.erasures AS
SELECT q.id, q.division, q.entity, q.args ->> 'key' AS key, q.made_by AS who,
	q.args ->> 'reason' AS reason, q.made_at AS asked_at, e.at AS removed_at,
	CASE
		WHEN e.id IS NULL THEN CASE q.state WHEN 'cancelled' THEN 'cancelled' ELSE 'waits' END
		WHEN p.open > 0 AND q.state = 'cancelled' THEN CASE
			WHEN EXISTS (SELECT FROM exact.erasure AS l
				WHERE l.division = e.division AND l.entity = e.entity AND l.key = e.key
					AND l.id > e.id) THEN 'continued'
			ELSE 'incomplete'
		END
		WHEN p.open > 0 THEN 'under way'
		WHEN p.old_files > 0 THEN 'old files'
		ELSE 'done'
	END AS state,
	e.versions, p.rows, p.gone_at, p.old_files_until, p.old_files_gone_at,
	CASE WHEN q.state <> 'cancelled' THEN p.waits_for END AS waits_for,
	CASE
		WHEN p.open > 0 AND q.state = 'cancelled'
			THEN format('SELECT exact.erase(%s, %L, %L, …) goes on', q.division, q.entity,
				q.args ->> 'key')
		WHEN q.state <> 'cancelled' THEN p.next_step
	END AS next_step,
	CASE WHEN r.erased IS NULL AND r.seq > e.seq THEN b.staged_at END AS back_at
FROM exact.request AS q
LEFT JOIN exact.erasure AS e ON e.id = q.id
LEFT JOIN exact.record AS r ON r.division = e.division AND r.entity = e.entity AND r.key = e.key
LEFT JOIN exact.batch AS b ON b.id = r.batch
LEFT JOIN LATERAL (
	SELECT count(*) FILTER (WHERE x.gone_at IS NULL) AS open,
		count(*) FILTER (WHERE x.gone_at IS NOT NULL AND x.vacuumed_at IS NULL) AS old_files,
		sum(coalesce(x.current_rows, 0) + coalesce(x.history_rows, 0))::bigint AS rows,
		CASE WHEN count(x.gone_at) = count(*) THEN max(x.gone_at) END AS gone_at,
		CASE WHEN count(x.vacuumed_at) < count(*) THEN max(x.vacuum_at) END AS old_files_until,
		CASE WHEN count(x.vacuumed_at) = count(*) THEN max(x.vacuumed_at) END AS old_files_gone_at,
		string_agg(format('%s: %s', x.workspace, x.reason), '; ' ORDER BY x.workspace)
			FILTER (WHERE x.reason IS NOT NULL) AS waits_for,
		min(x.next_step) AS next_step
	FROM exact.erasure_place AS x
	WHERE x.erasure = q.id) AS p ON true
WHERE q.kind = 'erase';
COMMENT ON VIEW exact.erasures
	IS 'Records that exact.erase() was asked to remove, how far it is, and whether one came back. '
		'Each workspace is a row of exact.erasure_place';
COMMENT ON COLUMN exact.erasures.id IS 'The request';
COMMENT ON COLUMN exact.erasures.division IS 'Division';
COMMENT ON COLUMN exact.erasures.entity IS 'Entity';
COMMENT ON COLUMN exact.erasures.key IS 'Key of the record';
COMMENT ON COLUMN exact.erasures.who IS 'Who asked for it';
COMMENT ON COLUMN exact.erasures.reason IS 'Why';
COMMENT ON COLUMN exact.erasures.asked_at IS 'When it was asked for';
COMMENT ON COLUMN exact.erasures.removed_at IS 'When the hub removed it';
COMMENT ON COLUMN exact.erasures.state
	IS 'waits; under way: the hub does not have it, a Delta table may; old files: time travel may '
		'still show it; done; incomplete: cancelled before each workspace was done; continued: '
		'likewise, and a later request does the rest; cancelled';
COMMENT ON COLUMN exact.erasures.versions IS 'Versions that the hub removed';
COMMENT ON COLUMN exact.erasures.rows IS 'Rows that were deleted in Databricks, as far as known';
COMMENT ON COLUMN exact.erasures.gone_at
	IS 'When the last row of it was deleted from the Delta tables';
COMMENT ON COLUMN exact.erasures.old_files_until
	IS 'When VACUUM removes the old files of the Delta tables; null: it has';
COMMENT ON COLUMN exact.erasures.old_files_gone_at IS 'When it has';
COMMENT ON COLUMN exact.erasures.waits_for IS 'What it waits for; null: nothing';
COMMENT ON COLUMN exact.erasures.next_step IS 'What to do; null: nothing';
COMMENT ON COLUMN exact.erasures.back_at
	IS 'When the record came back, since it was changed in Exact Online; null: it did not';
REVOKE ALL ON TABLE exact.erasures FROM PUBLIC;
GRANT SELECT ON TABLE exact.erasures TO exact_reader;

CREATE FUNCTION exact._erasure_steps(r exact.record, OUT at timestamptz, OUT step text,
	OUT what text, OUT took text)
RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT s.at, 'erased', s.what, NULL::text
	FROM exact.erasure AS e
	CROSS JOIN LATERAL (
		SELECT 1 AS n, e.at, format('from the hub by %s, %s version%s (request %s)', e.who,
			e.versions, CASE WHEN e.versions <> 1 THEN 's' END, e.id) AS what
		UNION ALL
		SELECT v.n, v.at, v.what
		FROM exact.erasure_place AS p
		CROSS JOIN LATERAL (VALUES
			(2, p.gone_at, format('from %s and %s', p.current_name, p.history_name)),
			(3, p.vacuumed_at, format('old files of %s and %s', p.current_name, p.history_name))
		) AS v (n, at, what)
		WHERE p.erasure = e.id AND v.at IS NOT NULL) AS s
	WHERE e.division = $1.division AND e.entity = $1.entity AND e.key = $1.key
	ORDER BY e.id, s.n, s.at
$$;
COMMENT ON FUNCTION exact._erasure_steps(exact.record)
	IS 'Steps of exact.trace(): when the content of a record was erased, and where';
REVOKE ALL ON FUNCTION exact._erasure_steps FROM PUBLIC;

CREATE FUNCTION exact._explain_erased(erasure bigint) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('Erased since %s by %s (request %s)%s. Only a later change in Exact Online '
		'brings it back.', exact._since(v.removed_at), v.who, v.id, CASE v.state
			WHEN 'under way' THEN ': the hub does not have it any more, Delta still may'
				|| coalesce('; ' || v.waits_for, '')
			WHEN 'incomplete' THEN ': the hub does not have it any more, Delta still may; '
				|| v.next_step
			WHEN 'old files' THEN format(': no table has it; their old files, which time travel '
				'reads, go after %s', exact._since(v.old_files_until))
			ELSE ''
		END)
	FROM exact.erasures AS v
	WHERE v.id = $1
$$;
COMMENT ON FUNCTION exact._explain_erased(bigint) IS 'Where an erased record may still be';
REVOKE ALL ON FUNCTION exact._explain_erased(bigint) FROM PUBLIC;

CREATE FUNCTION exact._check_erasures(OUT result text, OUT rule text, OUT finding text,
	OUT fix text)
RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT 'warn', format('erasure %s', v.id), f.finding, f.fix
	FROM exact.erasures AS v
	CROSS JOIN LATERAL (
		SELECT CASE
			WHEN v.back_at IS NOT NULL
				THEN format('record %s of %s in division %s came back %s: it was changed in Exact '
					'Online', v.key, v.entity, v.division, exact._since(v.back_at))
			WHEN v.state = 'incomplete'
				THEN format('record %s of %s in division %s is gone from the hub, and was left in '
					'Delta', v.key, v.entity, v.division)
			WHEN v.waits_for IS NOT NULL
				THEN format('record %s of %s in division %s: %s', v.key, v.entity, v.division,
					v.waits_for)
		END AS finding, CASE
			WHEN v.back_at IS NOT NULL
				THEN format('delete or anonymise it in Exact Online; SELECT exact.erase(%s, %L, '
					'%L, …)', v.division, v.entity, v.key)
			ELSE v.next_step
		END AS fix) AS f
	WHERE f.finding IS NOT NULL AND NOT EXISTS (SELECT FROM exact.erasure AS l
		WHERE l.division = v.division AND l.entity = v.entity AND l.key = v.key AND l.id > v.id)
	ORDER BY v.id
$$;
COMMENT ON FUNCTION exact._check_erasures() IS 'Rows of exact.check() about erasures';
REVOKE ALL ON FUNCTION exact._check_erasures() FROM PUBLIC;
