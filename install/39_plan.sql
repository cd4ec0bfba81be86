-- What the fetcher reads and does: its plan, its requests, the notifications that wait.

CREATE VIEW exact._enabled_feed AS
SELECT f.division, d.app, coalesce(d.enabled, false) AS division_enabled, e.*
FROM exact.feed AS f
JOIN exact.entity_effective AS e ON e.entity = f.entity
LEFT JOIN exact.division AS d ON d.division = f.division
WHERE f.enabled;
COMMENT ON VIEW exact._enabled_feed
	IS 'Entities that are enabled in a division; division_enabled: the division is read';
REVOKE ALL ON TABLE exact._enabled_feed FROM PUBLIC;
GRANT SELECT ON TABLE exact._enabled_feed TO exact_worker;

-- The feeds of enabled entities, the log of deletes where one of them has a code in it, and the
-- guard.
CREATE VIEW exact._plan AS
WITH wanted AS (
	SELECT f.division, f.feed, array_agg(f.entity) AS entities,
		bool_or(f.entity = ANY (coalesce(s.paused_entities, '{}'))) AS paused,
		bool_or(f.entity_type IS NOT NULL AND f.method = 'sync') AS logged
	FROM exact._enabled_feed AS f
	LEFT JOIN exact.division_state AS s ON s.division = f.division
	WHERE f.division_enabled
	GROUP BY f.division, f.feed
), every_feed AS (
	SELECT division, feed, entities, paused FROM wanted
	UNION ALL
	SELECT division, 'deleted', '{}', false FROM wanted WHERE logged GROUP BY division
	UNION ALL
	SELECT division, 'divisions', '{}', false FROM wanted GROUP BY division
)
SELECT w.division, w.feed, w.entities, w.paused,
	coalesce(s.requested, false) AS requested, coalesce(s.errors, 0) AS errors, s.fields_digest,
	coalesce(s.mark, 1) AS mark, coalesce(s.run, 0) AS run,
	coalesce(s.run_state, 'idle') <> 'idle' AS paging, s.next_link, s.run_started_at,
	coalesce(s.run_first_max, 0) AS run_first_max, coalesce(s.run_max, 0) AS run_max,
	coalesce(s.run_rising, true) AS run_rising, coalesce(s.run_rows, 0) AS run_rows,
	coalesce(s.run_whole, false) AS run_whole, s.whole_at, coalesce(s.whole_rows, 0) AS whole_rows,
	s.complete_at, coalesce(least(s.reread_from, s.doubted_from), 0) AS reread_from,
	s.notified_first, s.notified_last,
	s.again_at, coalesce(s.night_mark, 0) AS night_mark, s.night_at
FROM every_feed AS w
LEFT JOIN exact.feed_state AS s ON s.division = w.division AND s.feed = w.feed;
COMMENT ON VIEW exact._plan IS 'Every feed that the fetcher reads, and where it stands';
REVOKE ALL ON TABLE exact._plan FROM PUBLIC;
GRANT SELECT ON TABLE exact._plan TO exact_worker;

-- An entity with row versions is only asked whether a record still exists. A key from a time that
-- is still to come was dirty before the clock was set back: it is due now; no delay is longer than
-- an hour.
CREATE FUNCTION exact._due_keys(division int)
RETURNS TABLE (
		entity text, reason text, due timestamptz, feed text, whole boolean, approved boolean,
		logged boolean, first_load boolean, codes boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH RECURSIVE step AS (
		(SELECT k.entity, k.reason, k.due, k.since
		FROM exact.dirty_key AS k
		WHERE k.division = $1 AND k.due > '-infinity'
		ORDER BY k.entity, k.reason, k.due
		LIMIT 1)
		UNION ALL
		SELECT n.*
		FROM step AS s
		CROSS JOIN LATERAL (
			SELECT k.entity, k.reason, k.due, k.since
			FROM exact.dirty_key AS k
			WHERE k.division = $1 AND (k.entity, k.reason) > (s.entity, s.reason)
				AND k.due > '-infinity'
			ORDER BY k.entity, k.reason, k.due
			LIMIT 1) AS n
	), paused AS MATERIALIZED (
		-- once: under a snapshot that somebody holds, this row has all its versions
		SELECT x.feed
		FROM exact.division_state AS d
		JOIN exact.entity_effective AS x ON x.entity = ANY (d.paused_entities)
		WHERE d.division = $1
	)
	SELECT s.entity, s.reason,
		CASE
			WHEN s.since > clock_timestamp() OR s.due > clock_timestamp() + interval '2 h'
				THEN '-infinity'
			ELSE s.due
		END,
		e.feed, e.method <> 'sync', s.reason = 'approved', s.reason = 'logged',
		s.reason = 'first load', s.reason = 'its code is named by a document'
	FROM step AS s
	JOIN exact.entity_effective AS e ON e.entity = s.entity
	WHERE (e.method <> 'sync' OR s.reason IN ('confirm', 'logged', 'approved'))
		AND EXISTS (
			SELECT FROM exact._enabled_feed AS f WHERE f.division = $1 AND f.feed = e.feed)
		AND NOT EXISTS (SELECT FROM paused AS p WHERE p.feed = e.feed)
$$;
COMMENT ON FUNCTION exact._due_keys(int)
	IS 'Of each entity and reason, when the first of its dirty keys that a keyed read settles is '
		'due; whole: records are read, else only which exist; codes: they are no keys but codes';
REVOKE ALL ON FUNCTION exact._due_keys(int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._due_keys(int) TO exact_worker;

-- Of its feeds in one division, or in all.
CREATE FUNCTION exact._request_verdict(request bigint, only_division int,
	OUT feeds bigint, OUT complete boolean, OUT failure text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH asked AS (
		SELECT q.started_at, f.division, f.feed,
			f.method = 'sync' AND f.entity_type IS NOT NULL AS logged,
			q.entity IS NULL OR q.entity = f.entity OR q.entity = f.feed AS named
		FROM exact.request AS q
		JOIN exact._enabled_feed AS f
			ON f.division_enabled AND (q.division IS NULL OR f.division = q.division)
		WHERE q.id = $1 AND ($2 IS NULL OR f.division = $2)
	), scope AS (
		SELECT a.started_at, a.division, a.feed
		FROM asked AS a
		LEFT JOIN exact.division_state AS s ON s.division = a.division
		WHERE a.named AND NOT EXISTS (
			SELECT FROM exact.entity_effective AS p
			WHERE p.feed = a.feed AND p.entity = ANY (coalesce(s.paused_entities, '{}')))
		UNION
		SELECT a.started_at, a.division, 'deleted' FROM asked AS a WHERE a.logged
	)
	-- a key that was refused alone holds up no request; in the order of the index, so that no plan
	-- reads all keys for the first one
	SELECT count(*),
		coalesce(bool_and(coalesce(
			s.run_state = 'idle' AND s.run_started_at >= c.started_at, false)
			AND NOT EXISTS (
				SELECT FROM exact.entity_effective AS e
				CROSS JOIN LATERAL (
					SELECT FROM exact.dirty_key AS k
					WHERE k.division = c.division AND k.entity = e.entity
						AND coalesce(k.not_before < clock_timestamp(), true)
						AND (e.method <> 'sync' OR k.reason IN ('confirm', 'logged', 'approved'))
					ORDER BY k.key
					LIMIT 1) AS k
				WHERE e.feed = c.feed)),
			false),
		coalesce(
			min(format('division %s is %s: %s', c.division, d.state, d.reason))
				FILTER (WHERE d.state <> 'ok'),
			min(format('app %s must be authorised', v.app))
				FILTER (WHERE a.state IS DISTINCT FROM 'authorized' AND (
					SELECT t.origin = 'access' AND t.expires_at > now()
					FROM exact.token AS t
					WHERE t.app = v.app
					ORDER BY t.id DESC
					LIMIT 1) IS NOT TRUE),
			min(s.last_error) FILTER (
				WHERE (s.errors >= 3 OR s.confirm_errors >= 3)
					AND s.last_error_at > c.started_at))
	FROM scope AS c
	LEFT JOIN exact.division AS v ON v.division = c.division
	LEFT JOIN exact.app_state AS a ON a.app = v.app
	LEFT JOIN exact.feed_state AS s ON s.division = c.division AND s.feed = c.feed
	LEFT JOIN exact.division_state AS d ON d.division = c.division
$$;
COMMENT ON FUNCTION exact._request_verdict(bigint, int)
	IS 'How many feeds a request of exact.sync_now() asks for, whether all have completed a run '
		'that began after it, with no key of theirs waiting, and why it cannot go on; of one '
		'division, or null: of all';
REVOKE ALL ON FUNCTION exact._request_verdict(bigint, int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._request_verdict(bigint, int) TO exact_worker;

-- Something has ended in a division: requests for all divisions are looked at as a whole only when
-- this one is done with them.
CREATE FUNCTION exact._settle_requests(division int) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	q record;
	v record;
	n bigint := 0;
BEGIN
	FOR q IN
		SELECT r.id, r.division
		FROM exact.request AS r
		WHERE r.state = 'running' AND r.kind = 'sync'
			AND ($1 IS NULL OR r.division IS NULL OR r.division = $1)
	LOOP
		v := exact._request_verdict(q.id, $1);
		CONTINUE WHEN v.feeds > 0 AND NOT v.complete AND v.failure IS NULL;
		IF $1 IS NOT NULL AND v.failure IS NULL AND q.division IS NULL THEN
			v := exact._request_verdict(q.id, NULL);
			CONTINUE WHEN v.feeds > 0 AND NOT v.complete AND v.failure IS NULL;
		END IF;
		UPDATE exact.request AS r SET finished_at = now(),
			state = CASE WHEN v.failure IS NULL THEN 'done' ELSE 'failed' END,
			result = CASE
				WHEN v.feeds = 0 THEN 'nothing is enabled there'
				ELSE coalesce(v.failure, format('%s feeds read', v.feeds))
			END
		WHERE r.id IN (
			SELECT x.id FROM exact.request AS x
			WHERE x.id = q.id AND x.state = 'running'
			FOR UPDATE SKIP LOCKED);
		n := n + 1;
	END LOOP;
	RETURN n;
END
$$;
COMMENT ON FUNCTION exact._settle_requests(int)
	IS 'Ends each request of exact.sync_now() whose feeds have all completed a run that began '
		'after it, with no key of theirs waiting, or that cannot go on; those that a division has '
		'part in, null: all';
REVOKE ALL ON FUNCTION exact._settle_requests(int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._settle_requests(int) TO exact_worker;

-- The keys of every topic are GUIDs; another one in a filter makes the service refuse all keys of a
-- read.
CREATE FUNCTION exact._take_notifications(division int, topic text, most int,
	OUT taken bigint, OUT runs bigint, OUT first_at timestamptz, OUT last_at timestamptz,
	OUT dirty bigint, OUT heard_at timestamptz, OUT hints bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	guid CONSTANT text := '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';
	reads CONSTANT boolean := EXISTS (
		SELECT FROM exact._enabled_feed AS f WHERE f.division = $1 AND $2 = ANY (f.topics));
	syncs CONSTANT boolean := EXISTS (
		SELECT FROM exact._enabled_feed AS f
		WHERE f.division = $1 AND $2 = ANY (f.topics) AND f.method = 'sync');
BEGIN
	WITH waiting AS MATERIALIZED (
		SELECT w.id FROM exact.inbox_work AS w
		WHERE w.taken_at IS NULL AND w.division = $1 AND w.topic = $2
		ORDER BY w.id LIMIT most
		FOR UPDATE SKIP LOCKED
	), picked AS MATERIALIZED (
		-- a second one of the same content came at the same time as the first, so that neither saw
		-- the other
		SELECT w.id, i.at, i.action, i.key, i.app, EXISTS (
				SELECT FROM exact.inbox AS o
				JOIN exact.inbox_work AS x ON x.id = o.id
				WHERE o.digest = i.digest AND o.id <> i.id
					AND (o.id < i.id OR x.taken_at IS NOT NULL)
					AND o.at > i.at - interval '7 days'
					AND (o.event_at IS NOT NULL OR x.taken_at IS NULL)
			) AS repeated
		FROM waiting AS w
		LEFT JOIN exact.inbox AS i ON i.id = w.id
	), judged AS MATERIALIZED (
		SELECT p.*, CASE
				WHEN p.at IS NULL THEN 'what it said was deleted'
				WHEN p.repeated THEN 'repeat of an earlier one'
				WHEN NOT EXISTS (
					SELECT FROM exact.division AS d
					WHERE d.division = $1 AND d.enabled AND d.app = p.app)
					THEN 'its division is not read with this app'
				WHEN NOT reads THEN 'no entity of its topic is enabled'
				WHEN p.key !~ guid AND NOT syncs THEN 'its key cannot be one of its topic'
			END AS why
		FROM picked AS p
	), marked AS (
		UPDATE exact.inbox_work AS w SET taken_at = clock_timestamp(), reason = j.why
		FROM judged AS j
		WHERE w.id = j.id
	), hint AS MATERIALIZED (
		SELECT j.key, j.action, max(least(j.at, clock_timestamp())) AS at
		FROM judged AS j WHERE j.why IS NULL AND j.key ~ guid
		GROUP BY j.key, j.action
	), entities AS (
		SELECT e.* FROM exact.entity_effective AS e
		WHERE $2 = ANY (e.topics)
			AND EXISTS (
				SELECT FROM exact._enabled_feed AS f WHERE f.division = $1 AND f.feed = e.feed)
	), keys AS (
		-- where an entity has no row versions: the record, and where it is a line's key, its
		-- document
		SELECT e.entity, 'notified' AS reason, coalesce((
				SELECT r.parent FROM entities AS l
				JOIN exact.record AS r
					ON r.division = $1 AND r.entity = l.entity AND r.key = h.key
				WHERE l.feed = e.feed AND l.row_kind = 'line' AND r.parent IS NOT NULL
				LIMIT 1), h.key) AS key, h.at
		FROM hint AS h, entities AS e
		WHERE e.method <> 'sync' AND e.row_kind IS DISTINCT FROM 'line'
		UNION ALL
		-- where it has: what is said to be deleted and can be asked for
		SELECT e.entity, 'confirm', h.key, h.at
		FROM hint AS h
		JOIN entities AS e
			ON e.method = 'sync' AND e.plain_key IS NOT NULL AND e.plain_resource IS NOT NULL
		JOIN exact.record AS r
			ON r.division = $1 AND r.entity = e.entity AND r.key = h.key AND NOT r.deleted
		WHERE h.action = 'Delete'
	), wanted AS (
		SELECT exact._want_keys($1, k.entity, array_agg(k.key), array_agg(k.at), k.reason) AS n
		FROM keys AS k GROUP BY k.entity, k.reason
	)
	SELECT count(*), count(*) FILTER (WHERE j.why IS NULL AND j.action IS DISTINCT FROM 'Delete'),
		min(least(j.at, clock_timestamp())) FILTER (WHERE j.why IS NULL),
		max(least(j.at, clock_timestamp())) FILTER (WHERE j.why IS NULL),
		(SELECT coalesce(sum(w.n), 0)::bigint FROM wanted AS w), max(j.at),
		count(*) FILTER (WHERE j.why IS NULL)
	INTO taken, runs, first_at, last_at, dirty, heard_at, hints
	FROM judged AS j;
END
$$;
COMMENT ON FUNCTION exact._take_notifications(int, text, int)
	IS 'Takes at most so many notifications of a division and topic: marks each with the reason '
		'why it causes no work, marks the keys that are to be read. runs: how many ask the '
		'topic''s feeds to run; first_at, last_at: when those that cause work came; heard_at: when '
		'any came last; hints: how many cause work';
REVOKE ALL ON FUNCTION exact._take_notifications(int, text, int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._take_notifications(int, text, int) TO exact_worker;
