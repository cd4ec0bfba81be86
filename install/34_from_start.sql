-- What several hands ask of the fetcher's tables: a feed is read from its start, a key is to be
-- read.

-- A feed that has been read once goes on with its live changes; a backfill reads the rest again.
-- Where its mark says nothing any more (moved: row versions begin anew), or it is read for the
-- first time, it starts at its first mark. A feed that reads everything each time needs none.
CREATE FUNCTION exact._read_from_start(division int, feed text, reason text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	new_run bigint;
BEGIN
	PERFORM FROM exact.feed_state AS s
	WHERE s.division = $1 AND s.feed = $2 AND s.complete_at IS NOT NULL AND s.mark > 1
		AND reason NOT IN ('enabled', 'moved')
		AND (s.feed = 'deleted' OR EXISTS (
			SELECT FROM exact.entity_effective AS e WHERE e.feed = $2 AND e.method <> 'full'))
	FOR UPDATE;
	IF FOUND THEN
		-- A run that goes on reads the fields of before: its page is dropped.
		UPDATE exact.feed_state AS s
		SET fields_digest = NULL, run = nextval('exact.run_id'), run_state = 'idle',
			next_link = NULL, run_started_at = NULL, run_first_max = NULL, run_max = NULL,
			run_rising = NULL, run_rows = 0, run_whole = false, requested = true,
			next_run_at = now()
		WHERE s.division = $1 AND s.feed = $2 AND reason = 'fields' AND s.run_state <> 'idle';
		UPDATE exact.feed_state AS s
		SET fields_digest = CASE reason WHEN 'fields' THEN NULL ELSE s.fields_digest END,
			entities = CASE reason WHEN 'joined' THEN NULL ELSE s.entities END
		WHERE s.division = $1 AND s.feed = $2 AND reason IN ('fields', 'joined');
		RETURN exact._want_backfill($1, $2, reason, 1, NULL, false, NULL);
	END IF;
	IF EXISTS (SELECT FROM exact.backfill AS b
			WHERE b.division = $1 AND b.feed = $2 AND b.finished_at IS NULL) THEN
		PERFORM exact._want_backfill($1, $2, reason, 1, NULL, false, NULL);
	END IF;
	-- The new run's id makes the fetcher drop the page that it has asked for. Of the run before
	-- nothing stays: who reads run_started_at of an idle feed would take the interrupted run for a
	-- whole one.
	INSERT INTO exact.feed_state AS s (division, feed, run, requested, next_run_at)
	VALUES ($1, $2, nextval('exact.run_id'), true, now())
	ON CONFLICT ON CONSTRAINT feed_state_pkey DO UPDATE
		SET mark = 1, run = excluded.run, run_state = 'idle', next_link = NULL,
			run_started_at = NULL, run_first_max = NULL, run_max = NULL, run_rising = NULL,
			run_rows = 0, run_whole = false, reread_from = NULL, doubted_from = NULL,
			fields_digest = NULL,
			complete_at = NULL, again_at = NULL, night_mark = NULL, night_at = NULL,
			entities = NULL,
			first_complete_at = CASE
				WHEN $3 NOT IN ('enabled', 'joined') THEN s.first_complete_at
			END,
			requested = true, next_run_at = now()
	RETURNING s.run INTO new_run;
	RETURN new_run;
END
$$;
COMMENT ON FUNCTION exact._read_from_start(int, text, text)
	IS 'Has a feed read from its start, beside its live changes where it has been read before; '
		'returns the run. enabled: as never read; '
		'fields, moved, log, epoch, other copy, joined, consent: read before';
REVOKE ALL ON FUNCTION exact._read_from_start(int, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._read_from_start(int, text, text) TO exact_worker;

CREATE INDEX token_consent ON exact.token (app, id) WHERE origin = 'authorize';
COMMENT ON INDEX exact.token_consent IS 'Consents of each app';

-- The mark of a feed holds for the entities that it was read for, and for what the user who
-- consented could see. exact.feed may be edited by hand: the fetcher compares.
CREATE FUNCTION exact._notice_changes() RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	f record;
	n bigint := 0;
BEGIN
	FOR f IN
		WITH wanted AS (
			SELECT x.division, x.feed, array_agg(x.entity ORDER BY x.entity) AS entities
			FROM exact._enabled_feed AS x
			WHERE x.division_enabled
			GROUP BY x.division, x.feed
		), consent AS (
			SELECT d.division, max(t.id) AS id, max(t.issued_at) AS at
			FROM exact.token AS t
			JOIN exact.division AS d ON d.app = t.app
			WHERE t.origin = 'authorize'
			GROUP BY d.division
		)
		SELECT s.division, s.feed, w.entities, c.id AS consent,
			s.run IS NOT NULL AND s.entities IS NOT NULL AND NOT w.entities <@ s.entities AS joined,
			s.run IS NOT NULL
				AND (c.id <> s.consent OR s.consent IS NULL AND s.first_complete_at < c.at)
				AS consented
		FROM exact.feed_state AS s
		LEFT JOIN wanted AS w ON w.division = s.division AND w.feed = s.feed
		LEFT JOIN consent AS c ON c.division = s.division
		WHERE s.entities IS DISTINCT FROM coalesce(w.entities, s.entities)
			OR s.consent IS DISTINCT FROM coalesce(c.id, s.consent)
		FOR UPDATE OF s SKIP LOCKED
	LOOP
		IF f.joined THEN
			PERFORM exact._read_from_start(f.division, f.feed, 'joined');
			n := n + 1;
		ELSIF f.consented AND f.feed <> 'divisions' AND (f.feed = 'deleted' OR EXISTS (
				SELECT FROM exact.entity_effective AS e
				WHERE e.feed = f.feed AND e.method <> 'full')) THEN
			PERFORM exact._want_backfill(f.division, f.feed, 'consent', 1, NULL, false, NULL);
			n := n + 1;
		END IF;
		UPDATE exact.feed_state AS s
		SET entities = coalesce(f.entities, s.entities), consent = coalesce(f.consent, s.consent)
		WHERE s.division = f.division AND s.feed = f.feed;
	END LOOP;
	RETURN n;
END
$$;
COMMENT ON FUNCTION exact._notice_changes()
	IS 'Has feeds read again to which an entity came, or whose app somebody consented for anew; '
		'returns how many';
REVOKE ALL ON FUNCTION exact._notice_changes() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._notice_changes() TO exact_worker;

-- What a new reason does to a key that is dirty already. Most take its place. Those that say
-- nothing that the older one does not cover leave its word, unless that is "first load", which lets
-- others go first. What an operator or the log of deletes says stays. Two are of an answer that
-- came late: the key is as dirty as it was.
CREATE FUNCTION exact._want_keys(division int, entity text, keys text[], since timestamptz[],
	reason text)
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	modest CONSTANT boolean := reason IN (
		'notified', 'first load', 'its transaction lines changed');
	late CONSTANT boolean := reason IN ('sent before its deletion', 'older than what is stored');
	-- after a pause in the notifications, at the latest five such pauses after the first
	pause CONSTANT interval := CASE
		WHEN reason = 'notified'
			THEN coalesce(current_setting('exact_databricks.debounce', true), '2s')
		ELSE '0'
	END;
	n bigint;
BEGIN
	INSERT INTO exact.dirty_key AS d (division, entity, key, since, reason, due)
	SELECT $1, $2, u.key, max(coalesce(u.since, clock_timestamp())), $5,
		max(coalesce(u.since, clock_timestamp())) + pause
	FROM unnest(keys, $4) AS u (key, since)
	WHERE u.key IS NOT NULL
	GROUP BY u.key
	ON CONFLICT ON CONSTRAINT dirty_key_pkey DO UPDATE
		SET since = greatest(least(d.since, clock_timestamp()), excluded.since),
			first_at = least(d.first_at, d.since, excluded.since),
			due = greatest(
				least(excluded.due, least(d.first_at, d.since, excluded.since) + 5 * pause),
				CASE WHEN d.not_before < clock_timestamp() + interval '2 h' THEN d.not_before END),
			reason = CASE
				WHEN d.reason = 'approved' OR (d.reason = 'logged' AND $5 <> 'approved')
					THEN d.reason
				WHEN modest AND d.reason <> 'first load' THEN d.reason
				ELSE excluded.reason
			END
		WHERE NOT late;
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN n;
END
$$;
COMMENT ON FUNCTION exact._want_keys(int, text, text[], timestamptz[], text)
	IS 'Marks records to be read by their key, each since a moment of its own (null: now); '
		'returns how many are new or changed';
REVOKE ALL ON FUNCTION exact._want_keys(int, text, text[], timestamptz[], text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._want_keys(int, text, text[], timestamptz[], text) TO exact_worker;

CREATE FUNCTION exact._want_run(division int, feed text, row_version bigint) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	n bigint;
BEGIN
	UPDATE exact.feed_state AS s
	SET requested = true, doubted_from = least(s.doubted_from, $3)
	WHERE s.division = $1 AND s.feed = $2 AND (NOT s.requested
		OR least(s.doubted_from, $3) IS DISTINCT FROM s.doubted_from);
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN n;
END
$$;
COMMENT ON FUNCTION exact._want_run(int, text, bigint)
	IS 'Has a feed run now, from this row version if that is below its mark; null: from its mark';
REVOKE ALL ON FUNCTION exact._want_run(int, text, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._want_run(int, text, bigint) TO exact_worker;
