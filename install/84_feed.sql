-- How each feed does: what is shown of it, and what the lights of its division are made of.

CREATE VIEW exact._feed AS
WITH waiting AS (
	SELECT b.division, b.entity, sum(b.rows - b.delivered_rows) AS rows,
		min(b.staged_at) FILTER (WHERE coalesce(b.replay, 0) = 0) AS oldest
	FROM exact.batch AS b
	WHERE b.delivered_at IS NULL
	GROUP BY b.division, b.entity
), dirty AS (
	-- once for all feeds: there may be very many
	SELECT k.division, x.feed, min(k.since) AS since
	FROM (SELECT y.division, y.entity, min(least(y.since, y.first_at)) AS since
		FROM exact.dirty_key AS y
		GROUP BY y.division, y.entity) AS k
	JOIN exact.entity_effective AS x ON x.entity = k.entity
	GROUP BY k.division, x.feed
), topic AS (
	SELECT c.entity, t.topic, cardinality(c.topics) AS topics
	FROM exact.catalogue AS c, unnest(c.topics) AS t (topic)
), note AS (
	-- what nobody took yet: the oldest of each topic
	SELECT t.entity, w.division, min(x.at) AS at
	FROM (SELECT i.division, i.topic, min(i.id) AS id
		FROM exact.inbox_work AS i
		WHERE i.taken_at IS NULL
		GROUP BY i.division, i.topic) AS w
	JOIN topic AS t ON t.topic = w.topic
	JOIN exact.inbox AS x ON x.id = w.id
	GROUP BY t.entity, w.division
), heard AS (
	SELECT u.division, t.entity
	FROM exact.subscription AS u
	JOIN topic AS t ON t.topic = u.topic
	WHERE u.state = 'present' AND u.silent_since IS NULL
	GROUP BY u.division, t.entity, t.topics
	HAVING count(*) = t.topics
), followed AS (
	-- once for all feeds, too
	SELECT g.entity, o.division, o.complete_at
	FROM exact.entity_effective AS g
	JOIN exact.feed_state AS o ON o.feed = g.feed
	WHERE g.entity IN (SELECT c.trigger_entity FROM exact.catalogue AS c)
)
SELECT f.division, f.entity, e.method, e.merge_rank, e.feed,
	CASE
		WHEN NOT f.enabled OR NOT d.enabled THEN 'off'
		WHEN f.entity = ANY (ds.paused_entities) OR ds.state = 'paused' THEN 'paused'
		WHEN ds.state <> 'ok' THEN ds.state
		WHEN s.errors > 0 OR s.confirm_errors > 0 OR b.errors > 0 THEN 'failing'
		WHEN s.first_complete_at IS NULL AND coalesce(s.run_state, 'idle') <> 'idle'
			THEN 'first load'
		WHEN s.first_complete_at IS NULL THEN 'not read yet'
		WHEN s.run_state <> 'idle' THEN 'reading'
		ELSE 'idle'
	END AS state,
	CASE
		WHEN e.sync_interval_set THEN e.sync_interval
		ELSE coalesce((SELECT exact._interval_setting()), e.sync_interval)
	END AS every,
	s.complete_at, s.first_complete_at,
	-- what was read first is in Delta: nothing that waits is as old
	s.first_complete_at < coalesce(w.oldest, 'infinity') AS loaded,
	greatest(s.complete_at,
		CASE
			WHEN s.first_complete_at IS NOT NULL AND o.division IS NOT NULL
				THEN least(o.complete_at, y.since)
		END,
		CASE
			WHEN h.entity IS NOT NULL AND s.first_complete_at IS NOT NULL
				THEN coalesce(least(s.notified_first, y.since), now())
		END) AS complete_until,
	h.entity IS NOT NULL AS heard,
	-- of a first load nothing was announced
	CASE
		WHEN s.first_complete_at IS NOT NULL
			THEN least(n.at, s.notified_first, y.since, w.oldest)
	END AS announced_since,
	s.run_rows, coalesce(greatest(s.errors, s.confirm_errors, b.errors), 0) AS errors,
	coalesce(s.last_error, b.last_error) AS last_error,
	coalesce(s.last_error_at, b.last_error_at) AS last_error_at,
	coalesce(w.rows, 0) AS waiting, w.oldest AS waiting_since,
	t.delivered_at, t.paused_since, t.reason AS refusal
FROM exact.feed AS f
JOIN exact.division AS d ON d.division = f.division
LEFT JOIN exact.entity_effective AS e ON e.entity = f.entity
LEFT JOIN exact.division_state AS ds ON ds.division = f.division
LEFT JOIN exact.feed_state AS s ON s.division = f.division AND s.feed = e.feed
LEFT JOIN exact.backfill AS b
	ON b.division = f.division AND b.feed = e.feed AND b.finished_at IS NULL
LEFT JOIN waiting AS w ON w.division = f.division AND w.entity = f.entity
LEFT JOIN dirty AS y ON y.division = f.division AND y.feed = e.feed
LEFT JOIN note AS n ON n.division = f.division AND n.entity = f.entity
LEFT JOIN exact.target_state AS t ON t.workspace = d.workspace AND t.entity = f.entity
-- Documents are as complete as the transaction lines that tell of them, and a topic that is heard
-- is complete up to what waits of it.
LEFT JOIN followed AS o ON o.entity = e.trigger_entity AND o.division = f.division
LEFT JOIN heard AS h ON h.division = f.division AND h.entity = f.entity;
COMMENT ON VIEW exact._feed
	IS 'What exact.feeds, exact.status and exact.lag are made of';
REVOKE ALL ON TABLE exact._feed FROM PUBLIC;
GRANT SELECT ON TABLE exact._feed TO exact_reader;

CREATE VIEW exact.feeds AS
SELECT f.division, f.entity, f.method, f.state, f.every,
	exact._age(now() - f.complete_at) || ' ago' AS complete, f.run_rows AS rows_read,
	f.waiting, exact._age(now() - f.delivered_at) || ' ago' AS delivered,
	coalesce(f.last_error, f.refusal) AS problem
FROM exact._feed AS f
ORDER BY f.division, f.merge_rank, f.entity;
COMMENT ON VIEW exact.feeds
	IS 'Every entity that a division reads: how it is read, how far it is, what waits, what went '
		'wrong. Details are in exact.feed_state and exact.target_state';
COMMENT ON COLUMN exact.feeds.division IS 'Division';
COMMENT ON COLUMN exact.feeds.entity IS 'Entity';
COMMENT ON COLUMN exact.feeds.method IS 'sync, expanded, modified or full';
COMMENT ON COLUMN exact.feeds.state
	IS 'off, paused, frozen, parked, failing, not read yet, first load, reading or idle';
COMMENT ON COLUMN exact.feeds.every IS 'Time between two runs';
COMMENT ON COLUMN exact.feeds.complete IS 'End of the last complete run';
COMMENT ON COLUMN exact.feeds.rows_read IS 'Records read by the running or last run';
COMMENT ON COLUMN exact.feeds.waiting IS 'Versions staged and not delivered';
COMMENT ON COLUMN exact.feeds.delivered
	IS 'Last delivery into its Delta table, of all divisions of the workspace';
COMMENT ON COLUMN exact.feeds.problem IS 'What went wrong last, in reading or delivering';
REVOKE ALL ON TABLE exact.feeds FROM PUBLIC;
GRANT SELECT ON TABLE exact.feeds TO exact_reader;
