-- What notifications came and what became of them.

-- The first version that was read after the notification came: from the newest one back, as long as
-- the one before it was read later, too.
CREATE FUNCTION exact._became(
		division int, topic text, key text, at timestamptz, taken_at timestamptz, reason text)
RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	v record;
	earlier record;
	of_batch record;
	feeds int := 0;
	pending boolean := false;
	of_feed record;
BEGIN
	IF $5 IS NULL THEN
		RETURN 'waits for the fetcher';
	ELSIF $6 IS NOT NULL THEN
		RETURN 'ignored: ' || $6;
	END IF;
	SELECT r.slot, r.batch, r.ord, b.staged_at, b.delivered_at, c.at AS called_at, e.entity
	INTO v
	FROM exact.catalogue AS e
	CROSS JOIN LATERAL (SELECT x.slot, x.batch, x.ord FROM exact.record AS x
		WHERE x.division = $1 AND x.entity = e.entity AND x.key = $3 OFFSET 0) AS r
	CROSS JOIN LATERAL (SELECT x.staged_at, x.delivered_at, x.call
		FROM exact.batch AS x WHERE x.id = r.batch OFFSET 0) AS b
	LEFT JOIN LATERAL (SELECT x.at FROM exact.api_call AS x WHERE x.id = b.call OFFSET 0) AS c
		ON true
	WHERE $2 = ANY (e.topics)
	ORDER BY b.staged_at DESC
	LIMIT 1;
	IF coalesce(v.called_at, v.staged_at) >= $4 THEN
		FOR step IN 1 .. 20 LOOP
			-- the slot as a constant: one partition is planned for, of 64
			EXECUTE format('SELECT s.prev_slot AS slot, s.prev_batch AS batch, s.prev_ord AS ord '
				'FROM exact.stage AS s WHERE s.slot = %s AND s.batch = $1 AND s.ord = $2', v.slot)
			INTO earlier
			USING v.batch, v.ord;
			EXIT WHEN earlier.batch IS NULL;
			SELECT b.staged_at, b.delivered_at, c.at AS called_at
			INTO of_batch
			FROM (SELECT x.staged_at, x.delivered_at, x.call
				FROM exact.batch AS x WHERE x.id = earlier.batch OFFSET 0) AS b
			LEFT JOIN LATERAL (SELECT x.at FROM exact.api_call AS x
				WHERE x.id = b.call OFFSET 0) AS c ON true;
			EXIT WHEN NOT FOUND OR coalesce(of_batch.called_at, of_batch.staged_at) < $4;
			v.slot := earlier.slot;
			v.batch := earlier.batch;
			v.ord := earlier.ord;
			v.staged_at := of_batch.staged_at;
			v.delivered_at := of_batch.delivered_at;
		END LOOP;
		RETURN CASE
			WHEN v.delivered_at IS NOT NULL
				THEN 'in Delta after '
					|| exact._took(extract(epoch FROM v.delivered_at - $4)::float8 * 1000)
			ELSE format('read, on the way to Delta for %s', exact._age(now() - v.staged_at))
		END;
	END IF;
	FOR of_feed IN
		SELECT f.enabled AND d.enabled AS enabled, s.notified_first, s.complete_at, s.errors,
			ds.state AS division_state, f.entity = ANY (ds.paused_entities) AS paused,
			EXISTS (SELECT FROM exact.dirty_key AS y
				WHERE y.division = $1 AND y.entity = e.entity AND y.key = $3) AS dirty
		FROM exact.catalogue AS e
		JOIN exact.feed AS f ON f.division = $1 AND f.entity = e.entity
		JOIN exact.division AS d ON d.division = f.division
		LEFT JOIN exact.feed_state AS s ON s.division = f.division AND s.feed = e.feed
		LEFT JOIN exact.division_state AS ds ON ds.division = f.division
		WHERE $2 = ANY (e.topics)
	LOOP
		CONTINUE WHEN NOT of_feed.enabled;
		feeds := feeds + 1;
		IF of_feed.division_state IN ('paused', 'frozen', 'parked') THEN
			RETURN 'waits: the division is ' || of_feed.division_state;
		ELSIF of_feed.paused THEN
			RETURN 'waits: the entity is paused';
		ELSIF of_feed.dirty OR of_feed.notified_first IS NOT NULL
				OR coalesce(of_feed.complete_at < $5, true) THEN
			IF of_feed.errors > 0 THEN
				RETURN 'waits: the last reading failed, it is tried again';
			END IF;
			pending := true;
		END IF;
	END LOOP;
	RETURN CASE
		WHEN feeds = 0 THEN 'not read: no entity of it is enabled now'
		WHEN pending THEN 'is to be read'
		ELSE 'read, and nothing had changed'
	END;
END
$$;
COMMENT ON FUNCTION exact._became(int, text, text, timestamptz, timestamptz, text)
	IS 'What became of a notification of exact.webhook_log; arguments as there, and when and why '
		'the fetcher took it';
REVOKE ALL ON FUNCTION exact._became(int, text, text, timestamptz, timestamptz, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._became(int, text, text, timestamptz, timestamptz, text)
	TO exact_reader;

CREATE VIEW exact.webhook_log AS
SELECT i.id AS number, i.at, i.app, i.division, i.topic, i.action, i.key, i.secret,
	CASE
		WHEN w.taken_at IS NULL THEN 'waits for the fetcher'
		WHEN w.reason IS NOT NULL THEN 'ignored: ' || w.reason
		ELSE 'taken after '
			|| exact._took(extract(epoch FROM w.taken_at - i.at)::double precision * 1000)
	END AS outcome,
	exact._became(i.division, i.topic, i.key, i.at, w.taken_at, w.reason) AS became
FROM exact.inbox AS i
LEFT JOIN exact.inbox_work AS w ON w.id = i.id;
COMMENT ON VIEW exact.webhook_log
	IS 'Notifications of the last seven days with a correct signature, and what became of each';
COMMENT ON COLUMN exact.webhook_log.number IS 'Number of the notification';
COMMENT ON COLUMN exact.webhook_log.at IS 'When it was received';
COMMENT ON COLUMN exact.webhook_log.app IS 'App whose webhook secret signed it';
COMMENT ON COLUMN exact.webhook_log.division IS 'Division that it names';
COMMENT ON COLUMN exact.webhook_log.topic IS 'Topic that it names';
COMMENT ON COLUMN exact.webhook_log.action IS 'Create, Update or Delete';
COMMENT ON COLUMN exact.webhook_log.key IS 'Record that it names';
COMMENT ON COLUMN exact.webhook_log.secret IS 'current or next: the webhook secret that signed it';
COMMENT ON COLUMN exact.webhook_log.outcome
	IS 'waits for the fetcher, taken after how long, or ignored and why';
COMMENT ON COLUMN exact.webhook_log.became
	IS 'What became of the change: in Delta and after how long, on the way, to be read, nothing '
		'had changed, or why it waits';
REVOKE ALL ON TABLE exact.webhook_log FROM PUBLIC;
GRANT SELECT ON TABLE exact.webhook_log TO exact_reader;

-- The listener may not read notifications: of the last ones it sees what the page shows.
CREATE FUNCTION exact._deliveries(n int)
RETURNS TABLE (number bigint, at timestamptz, app text, division int, topic text, action text,
	key text, secret text, became text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY
		-- who signs may have sent long names
		SELECT i.id, i.at, i.app, i.division, left(i.topic, 64), left(i.action, 16),
			left(i.key, 64), i.secret,
			exact._became(i.division, i.topic, i.key, i.at, w.taken_at, w.reason)
		FROM (SELECT x.* FROM exact.inbox AS x ORDER BY x.id DESC LIMIT least($1, 200)) AS i
		LEFT JOIN LATERAL (SELECT x.taken_at, x.reason FROM exact.inbox_work AS x
			WHERE x.id = i.id OFFSET 0) AS w ON true
		ORDER BY i.id DESC;
END
$$;
COMMENT ON FUNCTION exact._deliveries(int)
	IS 'The last notifications as the page /deliveries shows them, 200 at most';
REVOKE ALL ON FUNCTION exact._deliveries(int) FROM PUBLIC;
