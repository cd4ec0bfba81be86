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

CREATE VIEW exact.lag AS
SELECT l.entity, interval '5 minutes' AS span, l.stage, l.n, l.p50, l.p95, l.p99, l.max
FROM exact._lag('5 minutes') AS l
UNION ALL
SELECT l.entity, interval '1 hour', l.stage, l.n, l.p50, l.p95, l.p99, l.max
FROM exact._lag('1 hour') AS l
UNION ALL
SELECT l.entity, interval '24 hours', l.stage, l.n, l.p50, l.p95, l.p99, l.max
FROM exact._lag('24 hours') AS l;
COMMENT ON VIEW exact.lag
	IS 'How long a change takes, of the batches delivered within 5 minutes, 1 hour and 24 hours. '
		'Ask for one span: the others are not computed then';
COMMENT ON COLUMN exact.lag.entity IS 'Entity';
COMMENT ON COLUMN exact.lag.span IS 'Delivered within this time until now';
COMMENT ON COLUMN exact.lag.stage
	IS 'notification to call (debounce and waiting for a turn), call, answer to staged (the hub''s '
		'own work), staged to delivered (merge_interval and the statements); '
		'and the whole way, from the notification or from the call';
COMMENT ON COLUMN exact.lag.n IS 'Batches, of notifications the records, that were measured';
COMMENT ON COLUMN exact.lag.p50 IS 'Half of them took no longer';
COMMENT ON COLUMN exact.lag.p95 IS '95 of 100 took no longer';
COMMENT ON COLUMN exact.lag.p99 IS '99 of 100 took no longer';
COMMENT ON COLUMN exact.lag.max IS 'The longest';
REVOKE ALL ON TABLE exact.lag FROM PUBLIC;
GRANT SELECT ON TABLE exact.lag TO exact_reader;
