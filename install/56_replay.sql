-- What Databricks has had once is delivered again, from the stage.

CREATE FUNCTION exact.replay(
	entity text,
	since timestamptz,
	until timestamptz,
	division int = NULL
)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	name text := exact._one_entity(entity);
	wanted jsonb := jsonb_strip_nulls(jsonb_build_object('since', since, 'until', until));
	found record;
	found_id bigint;
BEGIN
	IF division IS NOT NULL THEN
		PERFORM exact._require_division(division);
	END IF;
	IF name IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'EX015',
			MESSAGE = 'exact.replay() delivers one entity again, and none is named',
			HINT = 'SELECT DISTINCT entity FROM exact.batch names those that were delivered.';
	ELSIF since >= until THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('%s is not before %s', since, until),
			HINT = 'exact.replay() delivers versions that were staged from the first moment on '
				'and before the second.';
	END IF;
	SELECT count(*) AS batches, sum(b.rows) AS versions
	INTO found
	FROM exact.batch AS b
	WHERE b.entity = name
		AND b.delivered_at IS NOT NULL
		AND (replay.division IS NULL OR b.division = replay.division)
		AND b.staged_at >= coalesce(since, '-infinity')
		AND b.staged_at < coalesce(until, 'infinity');
	IF found.batches = 0 THEN
		RAISE EXCEPTION USING ERRCODE = 'EX018',
			MESSAGE = format('nothing to deliver again: no version of %s of %s was staged then and '
				'delivered', name, coalesce('division ' || division, 'any division')),
			HINT = format('SELECT min(staged_at), max(staged_at) FROM exact.batch WHERE entity = '
				'%L says what the hub holds. The hub delivers new versions without exact.replay().',
				name);
	END IF;
	SELECT r.id
	INTO found_id
	FROM exact.request AS r
	WHERE r.kind = 'replay' AND r.state = 'queued' AND NOT r.cancel_wanted
		AND r.entity = name AND r.division IS NOT DISTINCT FROM replay.division AND r.args = wanted
	ORDER BY r.id
	LIMIT 1;
	IF found_id IS NULL THEN
		INSERT INTO exact.request (kind, division, entity, args)
		VALUES ('replay', replay.division, name, wanted)
		RETURNING id INTO found_id;
	END IF;
	PERFORM exact._wake('loader');
	RAISE NOTICE USING
		MESSAGE = format('request %s delivers %s versions of %s batches again', found_id,
			found.versions, found.batches),
		HINT = format('After COMMIT: SELECT exact.wait(%s).', found_id);
	RETURN found_id;
END
$$;
COMMENT ON FUNCTION exact.replay(text, timestamptz, timestamptz, int)
	IS 'Delivers versions of an entity again that were staged from one moment on and before '
		'another (null: the first, the last), of one division or of all, without a call to Exact '
		'Online. Rows that Delta still has become as the hub holds them, rows that it has lost '
		'come back, nothing is there twice, and no older version replaces a newer one. '
		'Returns the request''s id, for exact.wait() and exact.cancel()';
REVOKE ALL ON FUNCTION exact.replay(text, timestamptz, timestamptz, int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.replay(text, timestamptz, timestamptz, int) TO exact_operator;
