-- What several hands ask of the fetcher's tables: a feed is read from its start, a key is to be
-- read.

CREATE FUNCTION exact._read_from_start(division int, feed text, reason text) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	-- The new run's id makes the fetcher drop the page that it has asked for. Of the run before
	-- nothing stays: who reads run_started_at of an idle feed would take the interrupted run for a
	-- whole one.
	INSERT INTO exact.feed_state AS s (division, feed, run, requested, next_run_at)
	VALUES ($1, $2, nextval('exact.run_id'), true, now())
	ON CONFLICT ON CONSTRAINT feed_state_pkey DO UPDATE
		SET mark = 1, run = excluded.run, run_state = 'idle', next_link = NULL,
			run_started_at = NULL, run_first_max = NULL, run_max = NULL, run_rising = NULL,
			run_rows = 0, run_whole = false, reread_from = NULL, fields_digest = NULL,
			complete_at = NULL,
			first_complete_at = CASE WHEN $3 = 'enabled' THEN NULL ELSE s.first_complete_at END,
			requested = true, next_run_at = now()
	RETURNING s.run
$$;
COMMENT ON FUNCTION exact._read_from_start(int, text, text)
	IS 'Has a feed read from its start; returns the run. enabled: as never read; '
		'fields, moved, log, epoch, other copy: read before';
REVOKE ALL ON FUNCTION exact._read_from_start(int, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._read_from_start(int, text, text) TO exact_worker;

-- What a new reason does to a key that is dirty already. Most take its place. Those that say
-- nothing that the older one does not cover leave its word, unless that is "first load", which lets
-- others go first. Two are of an answer that came late: the key is as dirty as it was.
CREATE FUNCTION exact._want_keys(division int, entity text, keys text[], since timestamptz[],
	reason text)
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	modest CONSTANT boolean := reason IN (
		'notified', 'first load', 'its transaction lines changed');
	late CONSTANT boolean := reason IN ('sent before its deletion', 'older than what is stored');
	n bigint;
BEGIN
	INSERT INTO exact.dirty_key AS d (division, entity, key, since, reason)
	SELECT $1, $2, u.key, max(coalesce(u.since, clock_timestamp())), $5
	FROM unnest(keys, $4) AS u (key, since)
	WHERE u.key IS NOT NULL
	GROUP BY u.key
	ON CONFLICT ON CONSTRAINT dirty_key_pkey DO UPDATE
		SET since = greatest(least(d.since, clock_timestamp()), excluded.since),
			first_at = least(d.first_at, d.since, excluded.since),
			reason = CASE
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
