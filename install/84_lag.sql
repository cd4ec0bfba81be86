-- How long a change takes, stage by stage.

CREATE INDEX inbox_at ON exact.inbox USING brin (at) WITH (pages_per_range = 16);
COMMENT ON INDEX exact.inbox_at IS 'Notifications of the last hours';

CREATE FUNCTION exact._staged_before(slot smallint, batches bigint[], ords int[])
RETURNS TABLE (batch bigint, ord int, at timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF $1 IS NULL OR $1 NOT BETWEEN 0 AND 63 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('there is no slot %s', coalesce($1::text, 'null')),
			HINT = 'Slots are 0 to 63.';
	END IF;
	-- the slot's own partition: to open all 64 takes longer than to read
	RETURN QUERY EXECUTE format(
		'SELECT a.batch, a.ord, p.staged_at FROM unnest($1, $2) AS a (batch, ord) '
		'LEFT JOIN exact.stage_%s AS v ON v.batch = a.batch AND v.ord = a.ord LEFT JOIN '
			'exact.batch AS p ON p.id = v.prev_batch',
		lpad($1::text, 2, '0'))
		USING $2, $3;
END
$$;
COMMENT ON FUNCTION exact._staged_before(smallint, bigint[], int[])
	IS 'When the versions before those at these addresses of a slot were staged; '
		'null: there is none';
REVOKE ALL ON FUNCTION exact._staged_before(smallint, bigint[], int[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._staged_before(smallint, bigint[], int[]) TO exact_reader;

-- A notification belongs to a version when it came after the record's version before and before the
-- call that brought this one. In PL/pgSQL, where plans know the span, and in two steps: what is
-- small then stays small for the planner. No LIMIT below leaves anything out: each notification has
-- at most one version.
CREATE FUNCTION exact._lag(span interval)
RETURNS TABLE (
		entity text, stage text, n bigint, p50 interval, p95 interval, p99 interval, max interval)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	entities text[];
	divisions int[];
	keys text[];
	times timestamptz[];
	first_call bigint := (
		SELECT min(b.call) FROM exact.batch AS b WHERE b.delivered_at > now() - span);
BEGIN
	SELECT array_agg(i.entity), array_agg(i.division), array_agg(i.key), array_agg(i.at)
	INTO entities, divisions, keys, times
	FROM (
		SELECT e.entity, x.division, x.key, x.at
		FROM exact.inbox AS x
		JOIN (
			SELECT c.entity, t.topic
			FROM exact.catalogue AS c, unnest(c.topics) AS t (topic)
			WHERE c.entity IN (SELECT f.entity FROM exact.feed AS f)
		) AS e ON e.topic = x.topic
		WHERE x.at > now() - span - interval '15 minutes' AND x.key IS NOT NULL
			AND NOT EXISTS (SELECT FROM exact.inbox_work AS w
				WHERE w.id = x.id AND w.reason IS NOT NULL)
		ORDER BY x.at DESC
		LIMIT 5000
	) AS i;
	RETURN QUERY
		WITH done AS MATERIALIZED (
			SELECT b.id, b.entity, b.staged_at, b.delivered_at, c.at AS called_at,
				c.at + c.took_ms * interval '1 ms' AS answered_at
			FROM exact.batch AS b
			LEFT JOIN exact.api_call AS c ON c.id = b.call AND c.id >= first_call
			WHERE b.delivered_at > now() - span
		), notified AS MATERIALIZED (
			-- LIMIT: one look-up a notification, however large the table is
			SELECT i.entity, i.at, r.slot, r.batch, r.ord
			FROM unnest(entities, divisions, keys, times) AS i (entity, division, key, at)
			CROSS JOIN LATERAL (
				SELECT x.slot, x.batch, x.ord
				FROM exact.record AS x
				WHERE x.division = i.division AND x.entity = i.entity AND x.key = i.key
				LIMIT 1
			) AS r
		), candidate AS MATERIALIZED (
			SELECT i.entity, i.slot, i.batch, i.ord, d.called_at, d.delivered_at,
				array_agg(i.at) AS times
			FROM notified AS i
			JOIN done AS d ON d.id = i.batch
			WHERE d.called_at >= i.at
			GROUP BY i.entity, i.slot, i.batch, i.ord, d.called_at, d.delivered_at
			LIMIT 5000
		), answered AS (
			SELECT c.entity, c.called_at, c.delivered_at, t.at
			FROM (
				SELECT x.slot, array_agg(x.batch) AS batches, array_agg(x.ord) AS ords
				FROM candidate AS x
				GROUP BY x.slot
			) AS g
			CROSS JOIN LATERAL exact._staged_before(g.slot, g.batches, g.ords) AS before
			JOIN candidate AS c ON c.batch = before.batch AND c.ord = before.ord
			CROSS JOIN LATERAL (
				SELECT min(a.at) AS at
				FROM unnest(c.times) AS a (at)
				WHERE before.at IS NULL OR a.at > before.at
			) AS t
			WHERE t.at IS NOT NULL
			LIMIT 5000
		), took AS (
			SELECT m.entity, 1 AS step, 'notification to call' AS stage, m.called_at - m.at AS took
			FROM answered AS m
			UNION ALL
			SELECT m.entity, 5, 'notification to delivered', m.delivered_at - m.at
			FROM answered AS m
			UNION ALL
			SELECT d.entity, s.step, s.stage, s.took
			FROM done AS d, LATERAL (VALUES
				(2, 'call', d.answered_at - d.called_at),
				(3, 'answer to staged', d.staged_at - d.answered_at),
				(4, 'staged to delivered', d.delivered_at - d.staged_at),
				(6, 'call to delivered', d.delivered_at - d.called_at)
			) AS s (step, stage, took)
			WHERE s.took IS NOT NULL
		), measured AS (
			SELECT t.entity, t.step, t.stage, count(*) AS n,
				percentile_disc(ARRAY[0.5, 0.95, 0.99, 1]) WITHIN GROUP (ORDER BY t.took) AS p
			FROM took AS t
			GROUP BY t.entity, t.step, t.stage
		)
		SELECT m.entity, m.stage, m.n, m.p[1], m.p[2], m.p[3], m.p[4]
		FROM measured AS m
		ORDER BY m.entity, m.step;
END
$$;
COMMENT ON FUNCTION exact._lag(interval)
	IS 'How long the batches that were delivered within a span took, stage by stage; '
		'of notifications the newest 5,000 count';
REVOKE ALL ON FUNCTION exact._lag(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._lag(interval) TO exact_reader;

-- Two figures of now: what is known and not in Delta, and when each entity was read to the end.
CREATE FUNCTION exact._lag_now()
RETURNS TABLE (
		entity text, stage text, n bigint, p50 interval, p95 interval, p99 interval, max interval)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY
		SELECT m.entity, m.stage, m.n, m.p[1], m.p[2], m.p[3], m.p[4]
		FROM (
			SELECT f.entity, s.step, s.stage, count(*) AS n,
				percentile_disc(ARRAY[0.5, 0.95, 0.99, 1])
					WITHIN GROUP (ORDER BY greatest(s.took, interval '0')) AS p
			FROM exact._feed AS f
			CROSS JOIN LATERAL (VALUES
				(7, 'announced, not in Delta', CASE
					WHEN f.announced_since IS NOT NULL THEN now() - f.announced_since
					WHEN f.heard AND f.first_complete_at IS NOT NULL THEN interval '0'
				END),
				(8, 'last full look', now() - f.complete_at)
			) AS s (step, stage, took)
			WHERE f.state NOT IN ('off', 'paused') AND s.took IS NOT NULL
			GROUP BY f.entity, s.step, s.stage
		) AS m
		ORDER BY m.entity, m.step;
END
$$;
COMMENT ON FUNCTION exact._lag_now()
	IS 'For each entity, over the divisions that read it: how long the oldest change that is known '
		'waits to be in Delta, and how long ago it was read to the end';
REVOKE ALL ON FUNCTION exact._lag_now() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._lag_now() TO exact_reader;

CREATE VIEW exact.lag AS
SELECT l.entity, interval '5 minutes' AS span, l.stage, l.n, l.p50, l.p95, l.p99, l.max
FROM exact._lag('5 minutes') AS l
UNION ALL
SELECT l.entity, interval '1 hour', l.stage, l.n, l.p50, l.p95, l.p99, l.max
FROM exact._lag('1 hour') AS l
UNION ALL
SELECT l.entity, interval '24 hours', l.stage, l.n, l.p50, l.p95, l.p99, l.max
FROM exact._lag('24 hours') AS l
UNION ALL
SELECT l.entity, interval '0', l.stage, l.n, l.p50, l.p95, l.p99, l.max
FROM exact._lag_now() AS l;
COMMENT ON VIEW exact.lag
	IS 'How long changes took, of the batches delivered within 5 minutes, 1 hour and 24 hours; '
		'span 0: changes that are known and not in Delta now. Ask for one span: the hub then '
		'computes no other';
COMMENT ON COLUMN exact.lag.entity IS 'Entity';
COMMENT ON COLUMN exact.lag.span IS 'Delivered within this time until now; 0: as it is now';
COMMENT ON COLUMN exact.lag.stage
	IS 'notification to call (debounce and waiting for a turn), call, answer to staged (the hub''s '
		'own work), staged to delivered (merge_interval and the statements); '
		'and the whole way, from the notification or from the call. Of span 0: announced, not in '
		'Delta (age of the oldest change that a notification announced, or that was read and is '
		'under way) and last full look (since it was last read to the end, by its timer)';
COMMENT ON COLUMN exact.lag.n
	IS 'Batches, of notifications the records, of span 0 the divisions, that were measured';
COMMENT ON COLUMN exact.lag.p50 IS 'Half of them took no longer';
COMMENT ON COLUMN exact.lag.p95 IS '95 of 100 took no longer';
COMMENT ON COLUMN exact.lag.p99 IS '99 of 100 took no longer';
COMMENT ON COLUMN exact.lag.max IS 'The longest';
REVOKE ALL ON TABLE exact.lag FROM PUBLIC;
GRANT SELECT ON TABLE exact.lag TO exact_reader;

-- From the notification, or from the call that brought it, to Delta. Each version counts once. Runs
-- in the unit of the delivery, so it looks at what small batches hold, by whole keys.
CREATE FUNCTION exact._count_delivered(batches bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	slot smallint;
	ids bigint[];
	seconds double precision[];
	noted bigint[] := '{}';
	took double precision[] := '{}';
	of_batch bigint[];
BEGIN
	FOR slot, ids IN
		SELECT b.slot, array_agg(b.id)
		FROM unnest($1) AS i (id)
		CROSS JOIN LATERAL (SELECT x.id, x.slot, x.entity, x.rows, x.replay
			FROM exact.batch AS x WHERE x.id = i.id OFFSET 0) AS b
		CROSS JOIN LATERAL (SELECT c.topics FROM exact.catalogue AS c
			WHERE c.entity = b.entity OFFSET 0) AS e
		WHERE b.rows <= 1000 AND b.replay IS NULL AND e.topics IS NOT NULL
		GROUP BY b.slot
	LOOP
		-- the slot as a constant: one partition is planned for, of 64
		EXECUTE format(
			'SELECT array_agg(b.id), '
				'array_agg(extract(epoch FROM b.delivered_at - n.at)::float8) '
			'FROM unnest($1) AS i (id) '
			'CROSS JOIN LATERAL (SELECT x.id, x.division, x.entity, x.delivered_at, x.call '
				'FROM exact.batch AS x WHERE x.id = i.id OFFSET 0) AS b '
			'CROSS JOIN LATERAL (SELECT c.topics FROM exact.catalogue AS c '
				'WHERE c.entity = b.entity OFFSET 0) AS e '
			'CROSS JOIN LATERAL (SELECT c.at FROM exact.api_call AS c '
				'WHERE c.id = b.call OFFSET 0) AS c '
			'CROSS JOIN LATERAL (SELECT x.key, x.prev_batch FROM exact.stage AS x '
				'WHERE x.slot = %s AND x.batch = b.id OFFSET 0) AS v '
			'LEFT JOIN LATERAL (SELECT x.staged_at FROM exact.batch AS x '
				'WHERE x.id = v.prev_batch OFFSET 0) AS p ON true '
			'CROSS JOIN LATERAL (SELECT min(x.at) AS at FROM exact.inbox AS x '
				'WHERE x.key = v.key AND x.division = b.division AND x.topic = ANY (e.topics) '
				'AND x.at <= c.at AND x.at > coalesce(p.staged_at, ''-infinity'') '
				'AND NOT EXISTS (SELECT FROM exact.inbox_work AS w '
					'WHERE w.id = x.id AND w.reason IS NOT NULL) OFFSET 0) AS n '
			'WHERE n.at IS NOT NULL',
			slot)
		INTO of_batch, seconds
		USING ids;
		noted := noted || coalesce(of_batch, '{}');
		took := took || coalesce(seconds, '{}');
	END LOOP;
	PERFORM exact._count_seconds('took', 'announcement', took,
		array_fill(1::bigint, ARRAY[cardinality(took)]));
	SELECT array_agg(extract(epoch FROM b.delivered_at - coalesce(c.at, b.staged_at))::float8),
		array_agg(greatest(b.rows - (SELECT count(*) FROM unnest(noted) AS m (id)
			WHERE m.id = b.id), 0))
	INTO seconds, ids
	FROM unnest($1) AS i (id)
	CROSS JOIN LATERAL (SELECT x.id, x.division, x.feed, x.rows, x.call, x.staged_at,
			x.delivered_at
		FROM exact.batch AS x WHERE x.id = i.id AND x.replay IS NULL OFFSET 0) AS b
	LEFT JOIN LATERAL (SELECT x.at FROM exact.api_call AS x
		WHERE x.id = b.call OFFSET 0) AS c ON true
	-- a first load is no change
	CROSS JOIN LATERAL (SELECT x.first_complete_at FROM exact.feed_state AS x
		WHERE x.division = b.division AND x.feed = b.feed OFFSET 0) AS s
	WHERE s.first_complete_at <= b.staged_at;
	PERFORM exact._count_seconds('took', 'call', seconds, ids);
EXCEPTION WHEN OTHERS THEN
	-- a delivery is never lost for a figure
	RAISE WARNING 'how long a delivery took is not counted: %', SQLERRM;
END
$$;
COMMENT ON FUNCTION exact._count_delivered(bigint[])
	IS 'Adds the batches, which were delivered in this transaction, to the histogram of how long a '
		'change takes: from its notification, or from the call that brought it';
REVOKE ALL ON FUNCTION exact._count_delivered(bigint[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._count_delivered(bigint[]) TO exact_worker;
