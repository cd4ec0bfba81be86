-- What is under way, and how far.

CREATE INDEX api_call_at ON exact.api_call USING brin (at) WITH (pages_per_range = 32,
	autosummarize = on);
COMMENT ON INDEX exact.api_call_at IS 'Calls of the last hours';
CREATE INDEX statement_log_open ON exact.statement_log (id)
	WHERE state IN ('sending', 'unknown', 'running');
COMMENT ON INDEX exact.statement_log_open IS 'Statements under way';
-- What was delivered lately: an entry is made once, by a batch's last update.
CREATE INDEX batch_delivered ON exact.batch (delivered_at) WHERE delivered_at IS NOT NULL;
COMMENT ON INDEX exact.batch_delivered IS 'Batches by the time of their delivery';

CREATE VIEW exact.progress AS
WITH used AS (
	SELECT s.division, s.feed, count(*) AS calls
	FROM exact.feed_state AS s
	JOIN exact.api_call AS c
		ON c.division = s.division AND c.feed = s.feed AND c.at >= s.run_started_at
	WHERE s.run_state <> 'idle' AND c.at > now() - interval '1 day'
	GROUP BY s.division, s.feed
), request AS (
	SELECT r.id, r.kind, r.division, r.workspace, r.entity, r.state, r.started_at, r.made_at,
		f.done, f.total
	FROM exact.request AS r
	LEFT JOIN LATERAL (
		SELECT
			count(*) FILTER (WHERE s.run_state = 'idle' AND s.run_started_at >= r.started_at)
				AS done,
			count(*) AS total
		FROM (
			SELECT DISTINCT f.division, e.feed
			FROM exact.feed AS f
			JOIN exact.division AS d ON d.division = f.division AND d.enabled
			JOIN exact.entity_effective AS e ON e.entity = f.entity
			WHERE f.enabled
				AND (r.division IS NULL OR f.division = r.division)
				AND (r.entity IS NULL OR f.entity = r.entity)
		) AS f
		LEFT JOIN exact.feed_state AS s ON s.division = f.division AND s.feed = f.feed
	) AS f ON r.kind = 'sync'
	WHERE r.state IN ('queued', 'running')
), waiting AS (
	SELECT coalesce(b.workspace, d.workspace) AS workspace, b.entity,
		sum(b.rows - b.delivered_rows) AS rows, sum(b.delivered_rows) AS part,
		min(b.staged_at) FILTER (WHERE coalesce(b.replay, 0) = 0) AS since
	FROM exact.batch AS b
	LEFT JOIN exact.division AS d ON d.division = b.division
	WHERE b.delivered_at IS NULL
	GROUP BY 1, 2
), delivered AS (
	SELECT b.workspace, b.entity, sum(b.rows) AS rows
	FROM exact.batch AS b
	WHERE b.delivered_at > now() - interval '5 minutes'
	GROUP BY 1, 2
), statement AS (
	SELECT l.workspace, l.entity,
		(array_agg(l.kind || ' ' || l.state ORDER BY l.id DESC))[1] AS phase
	FROM exact.statement_log AS l
	WHERE l.state IN ('sending', 'unknown', 'running')
	GROUP BY 1, 2
)
SELECT CASE WHEN r.first_complete_at IS NULL THEN 'first load' ELSE 'read' END AS kind, r.division,
	NULL::text AS workspace, r.feed AS entity, r.run_state AS phase,
	r.run_rows::bigint AS done, NULL::bigint AS total,
	round((r.run_rows / nullif(extract(epoch FROM now() - r.run_started_at), 0))::numeric, 1)
		AS rate,
	NULL::interval AS eta, coalesce(u.calls, 0) AS calls,
	date_trunc('second', r.run_started_at) AS since
FROM exact.feed_state AS r
LEFT JOIN used AS u ON u.division = r.division AND u.feed = r.feed
WHERE r.run_state <> 'idle'
UNION ALL
-- The rate is that of its last calls, and at night of all that it may make.
SELECT 'backfill', b.division, NULL, b.feed,
	CASE
		WHEN b.errors > 0 THEN 'failing'
		WHEN b.started_at IS NULL THEN 'waiting'
		WHEN b.nightly AND b.page_at < now() - interval '10 minutes' THEN 'until the next night'
		ELSE 'paging'
	END,
	b.rows, greatest(k.total, b.rows), m.rate,
	date_trunc('second', (greatest(k.total, b.rows) - b.rows) / nullif(m.rate, 0)
		* interval '1 second'),
	b.calls, date_trunc('second', coalesce(b.started_at, b.asked_at))
FROM exact.backfill AS b
LEFT JOIN LATERAL (
	SELECT nullif(count(*), 0) AS total
	FROM exact.catalogue AS c
	JOIN exact.record AS r ON r.division = b.division AND r.entity = c.entity AND NOT r.deleted
	WHERE c.feed = b.feed AND b.mark <= 1 AND b.until IS NULL
) AS k ON true
LEFT JOIN LATERAL (
	SELECT CASE
			WHEN b.nightly AND b.calls > 0
				THEN round(b.rows::numeric / b.calls * 200 / 86400, 3)
			WHEN c.n > 1
				THEN round((c.rows / greatest(extract(epoch FROM now() - c.since), 1))::numeric, 1)
		END AS rate
	FROM (
		SELECT count(*) AS n, sum(c.rows) AS rows, min(c.at) AS since
		FROM exact.api_call AS c
		WHERE c.division = b.division AND c.feed = b.feed AND c.rows IS NOT NULL
			AND c.at > greatest(b.started_at, now() - interval '5 minutes')
	) AS c
) AS m ON true
WHERE b.finished_at IS NULL
UNION ALL
SELECT 'request ' || r.id || ': ' || r.kind, r.division, r.workspace, r.entity, r.state, r.done,
	r.total, NULL, NULL, NULL, date_trunc('second', coalesce(r.started_at, r.made_at))
FROM request AS r
UNION ALL
SELECT 'delivery', NULL, w.workspace, w.entity,
	CASE
		WHEN w.workspace IS NULL THEN 'no workspace'
		WHEN t.paused_since IS NOT NULL THEN 'paused'
		ELSE coalesce(s.phase, 'waiting')
	END,
	w.part + coalesce(d.rows, 0), w.part + coalesce(d.rows, 0) + w.rows, round(d.rows / 300.0, 1),
	CASE
		WHEN t.paused_since IS NULL
			THEN date_trunc('second', w.rows::float8 / nullif(d.rows, 0) * interval '5 minutes')
	END,
	NULL, date_trunc('second', w.since)
FROM waiting AS w
LEFT JOIN delivered AS d ON d.workspace = w.workspace AND d.entity = w.entity
LEFT JOIN statement AS s ON s.workspace = w.workspace AND s.entity = w.entity
LEFT JOIN exact.target_state AS t ON t.workspace = w.workspace AND t.entity = w.entity;
COMMENT ON VIEW exact.progress
	IS 'Work that is under way: runs of feeds, requests of operators, deliveries into Delta '
		'tables. No row: no work is under way';
COMMENT ON COLUMN exact.progress.kind
	IS 'first load, read or backfill (of a feed), request with its id and kind, or delivery (of an '
		'entity into its Delta tables)';
COMMENT ON COLUMN exact.progress.division IS 'Division; null: of several';
COMMENT ON COLUMN exact.progress.workspace IS 'Workspace that is written';
COMMENT ON COLUMN exact.progress.entity IS 'Feed or entity; null: all of them';
COMMENT ON COLUMN exact.progress.phase
	IS 'paging, closing, failing, waiting, until the next night; queued, running; '
		'the statement under way and its state, waiting, paused, no workspace';
COMMENT ON COLUMN exact.progress.done
	IS 'Of a read: records read; of a request: feeds read; of a delivery: '
		'versions delivered, those of the last five minutes included';
COMMENT ON COLUMN exact.progress.total
	IS 'Of how many; of a backfill: of those known; null: Exact Online does not say';
COMMENT ON COLUMN exact.progress.rate
	IS 'Per second: records since the run began; records or versions of the last five minutes; of '
		'a nightly backfill: at 200 calls per day';
COMMENT ON COLUMN exact.progress.eta IS 'Time left at that rate; null: not known';
COMMENT ON COLUMN exact.progress.calls
	IS 'Calls that the run has used; calls of the last day at most';
COMMENT ON COLUMN exact.progress.since IS 'When it began, or since when its oldest version waits';
REVOKE ALL ON TABLE exact.progress FROM PUBLIC;
GRANT SELECT ON TABLE exact.progress TO exact_reader;
