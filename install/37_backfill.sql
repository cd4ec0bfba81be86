-- Reading again what lies below the live cursor, as an operator asks for it.

CREATE FUNCTION exact.backfill(division int, entity text, since date = NULL, until date = NULL)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	name text := exact._one_entity(entity);
	of_feed text;
	of_method text;
	by_time boolean;
	found_id bigint;
BEGIN
	PERFORM exact._require_division(division);
	SELECT e.feed, e.method INTO of_feed, of_method
	FROM exact.feed AS f
	JOIN exact.division AS d ON d.division = f.division AND d.enabled
	JOIN exact.entity_effective AS e ON e.entity = f.entity
	WHERE f.division = backfill.division AND f.entity = name AND f.enabled;
	IF of_feed IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'EX018',
			MESSAGE = format('nothing to read: %s of division %s is not enabled',
				coalesce(name, 'no entity'), division),
			HINT = 'UPDATE exact.division SET enabled = true …; '
				'SELECT exact.enable_entities(division, entity).';
	ELSIF since > until THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('%s is after %s', since, until),
			HINT = 'The first of the two dates is the earlier one.';
	END IF;
	by_time := of_method NOT IN ('sync', 'full');
	IF NOT by_time AND (since IS NOT NULL OR until IS NOT NULL) THEN
		RAISE NOTICE USING
			MESSAGE = format('%s is read whole: its feed knows no dates', name);
	END IF;
	INSERT INTO exact.request (kind, division, entity, args, state, started_at)
	VALUES ('backfill', backfill.division, name,
		jsonb_strip_nulls(jsonb_build_object('since', since, 'until', until)), 'running',
		clock_timestamp())
	RETURNING id INTO found_id;
	PERFORM exact._want_backfill(backfill.division, of_feed,
		CASE WHEN by_time AND since IS NOT NULL THEN 'backfill since ' || since ELSE 'backfill' END,
		CASE
			WHEN by_time AND since IS NOT NULL
				THEN greatest((extract(epoch FROM since::timestamp) * 1000)::bigint, 2)
			ELSE 1
		END,
		CASE
			WHEN by_time AND until IS NOT NULL
				THEN (extract(epoch FROM (until + 1)::timestamp) * 1000)::bigint - 1
		END,
		false, found_id);
	PERFORM exact._wake('fetcher');
	RETURN found_id;
END
$$;
COMMENT ON FUNCTION exact.backfill(int, text, date, date)
	IS 'Reads an entity of a division again beside its live changes, from the start or what '
		'changed from one day to another, and returns the request''s id for exact.wait() and '
		'exact.cancel(). It uses no call that exact_databricks.live_reserve keeps. pause() and '
		'resume() of the entity hold it too; exact.progress shows how far it is';
REVOKE ALL ON FUNCTION exact.backfill(int, text, date, date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.backfill(int, text, date, date) TO exact_operator;

CREATE FUNCTION exact._end_backfill(division int, feed text) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	WITH ended AS (
		UPDATE exact.backfill AS b SET finished_at = clock_timestamp(), next_link = NULL
		WHERE b.division = $1 AND b.feed = $2
		RETURNING b.requests, b.rows
	), done AS (
		UPDATE exact.request AS r SET state = 'done', finished_at = clock_timestamp(),
			result = format('%s records read', e.rows)
		FROM ended AS e
		WHERE r.id = ANY (e.requests) AND r.state = 'running'
		RETURNING r.id
	)
	SELECT count(*) FROM done
$$;
COMMENT ON FUNCTION exact._end_backfill(int, text)
	IS 'Ends the backfill of a feed, and the requests that waited for it; returns their number';
REVOKE ALL ON FUNCTION exact._end_backfill(int, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._end_backfill(int, text) TO exact_worker;

CREATE FUNCTION exact._cancel_backfill(request_id bigint) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	UPDATE exact.backfill AS b
	SET requests = array_remove(b.requests, $1),
		finished_at = CASE
			WHEN b.requests = ARRAY[$1] AND b.reason LIKE 'backfill%' THEN clock_timestamp()
		END
	WHERE b.requests @> ARRAY[$1] AND b.finished_at IS NULL;
	UPDATE exact.request AS r SET state = 'cancelled', finished_at = clock_timestamp(),
		result = 'cancelled while running'
	WHERE r.id = $1 AND r.state = 'running'
$$;
COMMENT ON FUNCTION exact._cancel_backfill(bigint)
	IS 'Ends a request of exact.backfill(), and the backfill when nobody else wants it';
REVOKE ALL ON FUNCTION exact._cancel_backfill(bigint) FROM PUBLIC;
