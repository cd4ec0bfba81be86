-- May a record that answers did not show be deleted? Absences are counted over an hour, whatever
-- found them; an operator decides what is beyond.

-- By a run: what it did not show of what was known before it. By key: what keyed reads did not
-- show. A record that is shown again leaves both.
CREATE VIEW exact._held_record AS
SELECT h.id, h.state, h.division, h.entity, r.key, r.parent, false AS doubted, h.reason,
	h.found_at AS since, r.slot, r.batch, r.ord
FROM exact.held_delete AS h
JOIN exact.record AS r ON r.division = h.division AND r.entity = h.entity
	AND coalesce(r.run, 0) < h.run AND r.first_seen < h.run_started_at
WHERE h.state IN ('held', 'rejected') AND NOT r.deleted
UNION ALL
SELECT h.id, h.state, h.division, h.entity, r.key, r.parent, k.doubted, h.reason, k.since,
	r.slot, r.batch, r.ord
FROM exact.held_key AS k
JOIN exact.held_delete AS h ON h.id = k.held
JOIN exact.record AS r ON r.division = k.division AND r.entity = k.entity AND r.key = k.key
WHERE h.state IN ('held', 'rejected') AND NOT r.deleted
	AND (coalesce(r.run, 0) < h.run AND r.first_seen < h.run_started_at) IS NOT TRUE;
COMMENT ON VIEW exact._held_record
	IS 'Absent records that wait for an operator''s word, or that one has refused to delete';
REVOKE ALL ON TABLE exact._held_record FROM PUBLIC;
GRANT SELECT ON TABLE exact._held_record TO exact_reader, exact_worker;

CREATE FUNCTION exact._too_many_absent(division int, entity text, now_absent bigint)
RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	before bigint;
	alive bigint;
BEGIN
	SELECT coalesce(sum(a.records), 0) INTO before
	FROM exact.absence AS a
	WHERE a.division = $1 AND a.entity = $2
		AND a.minute > clock_timestamp() - interval '1 h' AND NOT exact._is_future(a.minute);
	IF before + now_absent <= 20 THEN
		RETURN false;
	END IF;
	-- only whether there are enough of them; those of the hour before may be deleted already
	SELECT count(*) INTO alive
	FROM (SELECT FROM exact.record AS r
		WHERE r.division = $1 AND r.entity = $2 AND NOT r.deleted
		LIMIT (before + now_absent) * 20) AS r;
	RETURN (before + now_absent) * 20 > alive + before;
END
$$;
COMMENT ON FUNCTION exact._too_many_absent(int, text, bigint)
	IS 'Are so many absent records, with those of the last hour, more than 20 and 5 % of the '
		'entity?';
REVOKE ALL ON FUNCTION exact._too_many_absent(int, text, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._too_many_absent(int, text, bigint) TO exact_worker;

CREATE FUNCTION exact._absence_blocked(division int) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('Exact Online works on the division (BlockingStatus %s)', s.blocking_status)
	FROM exact.division_state AS s
	WHERE s.division = $1 AND s.blocking_status <> 0
$$;
COMMENT ON FUNCTION exact._absence_blocked(int)
	IS 'Why no answer of the division proves an absence now: a backup, a conversion or a copy '
		'goes on; null: it may';
REVOKE ALL ON FUNCTION exact._absence_blocked(int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._absence_blocked(int) TO exact_worker;

CREATE FUNCTION exact._consented_since(division int, moment timestamptz) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT 'somebody consented anew since they were last seen'
	WHERE EXISTS (
		SELECT FROM exact.token AS t
		JOIN exact.division AS d ON d.app = t.app
		WHERE d.division = $1 AND t.origin = 'authorize' AND t.issued_at > $2)
$$;
COMMENT ON FUNCTION exact._consented_since(int, timestamptz)
	IS 'Why absence is doubted: somebody who may see less has perhaps consented since a moment';
REVOKE ALL ON FUNCTION exact._consented_since(int, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._consented_since(int, timestamptz) TO exact_worker;

-- The question about an entity that is open, or a new one.
CREATE FUNCTION exact._hold(division int, entity text, more bigint, why text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	question bigint;
BEGIN
	UPDATE exact.held_delete AS h SET records = h.records + more
	WHERE h.division = $1 AND h.entity = $2 AND h.state = 'held'
	RETURNING h.id INTO question;
	IF question IS NULL THEN
		INSERT INTO exact.held_delete (division, entity, records, alive, reason)
		SELECT $1, $2, more, count(*), why
		FROM exact.record AS r
		WHERE r.division = $1 AND r.entity = $2 AND NOT r.deleted
		RETURNING id INTO question;
	END IF;
	RETURN question;
END
$$;
COMMENT ON FUNCTION exact._hold(int, text, bigint, text)
	IS 'The number of the open question about an entity, to which so many records come';
REVOKE ALL ON FUNCTION exact._hold(int, text, bigint, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._hold(int, text, bigint, text) TO exact_worker;

-- Records leave the open question about an entity; one about none has been answered by what Exact
-- Online has shown since. Whether any is left is looked for, which ends at the first; how many are
-- left is not counted anew each time, in a table of ten million records.
CREATE FUNCTION exact._fewer_held(division int, entity text, fewer bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	UPDATE exact.held_delete AS h
	SET records = CASE WHEN n.waits THEN greatest(h.records - fewer, 1) ELSE h.records END,
		state = CASE WHEN n.waits THEN h.state ELSE 'returned' END,
		decided_by = CASE WHEN NOT n.waits THEN 'later answers' END,
		decided_at = CASE WHEN NOT n.waits THEN now() END
	FROM (SELECT o.id, EXISTS (SELECT FROM exact._held_record AS x WHERE x.id = o.id) AS waits
		FROM exact.held_delete AS o
		WHERE o.division = $1 AND o.entity = $2 AND o.state = 'held') AS n
	WHERE h.id = n.id AND (fewer > 0 OR NOT n.waits);
END
$$;
COMMENT ON FUNCTION exact._fewer_held(int, text, bigint)
	IS 'So many records wait for an operator''s word no more; without any left the question about '
		'an entity is closed';
REVOKE ALL ON FUNCTION exact._fewer_held(int, text, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._fewer_held(int, text, bigint) TO exact_worker;

-- Keys of a question leave it (null: those of records that are deleted).
CREATE FUNCTION exact._leave_hold(division int, entity text, keys text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	asked bigint;
	listed bigint;
BEGIN
	WITH gone AS (
		DELETE FROM exact.held_key AS k
		WHERE k.division = $1 AND k.entity = $2
			AND (k.key = ANY ($3) OR $3 IS NULL AND NOT EXISTS (
				SELECT FROM exact.record AS r
				WHERE r.division = $1 AND r.entity = $2 AND r.key = k.key AND NOT r.deleted))
		RETURNING k.held
	)
	SELECT count(gone.held) INTO listed FROM gone;
	-- of a complete run's question those that are deleted now
	SELECT count(*) INTO asked
	FROM exact.held_delete AS h
	CROSS JOIN unnest($3) AS u (key)
	CROSS JOIN LATERAL (
		SELECT FROM exact.record AS r
		WHERE r.division = $1 AND r.entity = $2 AND r.key = u.key AND r.deleted
			AND coalesce(r.run, 0) < h.run AND r.first_seen < h.run_started_at
		OFFSET 0) AS x
	WHERE h.division = $1 AND h.entity = $2 AND h.state = 'held';
	PERFORM exact._fewer_held($1, $2, listed + asked);
END
$$;
COMMENT ON FUNCTION exact._leave_hold(int, text, text[])
	IS 'These records wait for no word any more';
REVOKE ALL ON FUNCTION exact._leave_hold(int, text, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._leave_hold(int, text, text[]) TO exact_worker;

CREATE FUNCTION exact._see_held(division int, entity text, keys text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	newest bigint;
	shown bigint;
BEGIN
	IF EXISTS (
			SELECT FROM exact.held_key AS k
			WHERE k.division = $1 AND k.entity = $2) THEN
		PERFORM exact._leave_hold($1, $2, keys);
	END IF;
	SELECT max(h.run) INTO newest
	FROM exact.held_delete AS h
	WHERE h.division = $1 AND h.entity = $2 AND h.state IN ('held', 'rejected');
	IF newest IS NULL THEN
		RETURN;
	END IF;
	UPDATE exact.record AS r SET run = newest
	WHERE r.ctid = ANY (ARRAY(
		SELECT x.ctid
		FROM unnest(keys) AS u (key)
		CROSS JOIN LATERAL (
			SELECT s.ctid
			FROM exact.record AS s
			WHERE s.division = $1 AND s.entity = $2 AND s.key = u.key
				AND coalesce(s.run, 0) < newest
			OFFSET 0) AS x));
	GET DIAGNOSTICS shown = ROW_COUNT;
	PERFORM exact._fewer_held($1, $2, shown) WHERE shown > 0;
END
$$;
COMMENT ON FUNCTION exact._see_held(int, text, text[])
	IS 'An answer shows these records: their absence is a question no more';
REVOKE ALL ON FUNCTION exact._see_held(int, text, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._see_held(int, text, text[]) TO exact_worker;

-- OFFSET 0: each key is looked up, whatever the kept plan thinks of the size of the tables.
-- doubt: why the answer is not to be believed; passes: the next one may be. One answer may leave
-- out what lives: only what a second one, a moment later, does not show either is judged at all,
-- and only when BlockingStatus was read between the two: a division that is worked on shows less.
-- What an operator has approved is believed in any case; what waits for a word waits on, what one
-- has refused stays.
CREATE FUNCTION exact._judge_absent(division int, feed text, entity text, keys text[], doubt text,
	passes boolean, approved boolean,
	OUT believed text[], OUT held bigint, OUT reason text, OUT again boolean, OUT once text[])
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	blocked CONSTANT text := exact._absence_blocked($1);
	apart CONSTANT interval := '2 s';
	checked CONSTANT timestamptz := (
		SELECT s.checked_at
		FROM exact.division_state AS s
		WHERE s.division = $1 AND NOT exact._is_future(s.checked_at));
	fresh text[];
	asked bigint;
BEGIN
	believed := '{}';
	once := '{}';
	again := blocked IS NOT NULL OR (passes AND doubt IS NOT NULL);
	IF approved THEN
		again := blocked IS NOT NULL;
		reason := blocked;
		believed := CASE WHEN again THEN '{}' ELSE keys END;
		RETURN;
	END IF;
	-- nothing is lost with keys of no living record
	believed := CASE WHEN again THEN '{}' ELSE ARRAY(
		SELECT u.key
		FROM unnest($4) AS u (key)
		WHERE NOT EXISTS (
			SELECT FROM exact.record AS r
			WHERE r.division = $1 AND r.entity = $3 AND r.key = u.key AND NOT r.deleted
			OFFSET 0)) END;
	fresh := ARRAY(
		SELECT u.key
		FROM unnest($4) AS u (key)
		WHERE EXISTS (
				SELECT FROM exact.record AS r
				WHERE r.division = $1 AND r.entity = $3 AND r.key = u.key AND NOT r.deleted
				OFFSET 0)
			AND NOT EXISTS (
				SELECT FROM exact._held_record AS x
				WHERE x.division = $1 AND x.entity = $3 AND x.key = u.key AND NOT x.doubted
				OFFSET 0));
	asked := cardinality(fresh);
	IF asked = 0 THEN
		RETURN;
	END IF;
	reason := coalesce(doubt, blocked, exact._consented_since($1, (
		SELECT s.whole_at FROM exact.feed_state AS s WHERE s.division = $1 AND s.feed = $2)));
	IF reason IS NULL THEN
		-- an answer that was doubted was none of the two
		PERFORM exact._leave_hold($1, $3, doubted.keys)
		FROM (SELECT array_agg(k.key) AS keys
			FROM exact.held_key AS k
			WHERE k.division = $1 AND k.entity = $3 AND k.key = ANY (fresh)
				AND k.held IS NOT NULL) AS doubted
		WHERE doubted.keys IS NOT NULL;
		INSERT INTO exact.held_key AS k (division, entity, key, doubted, since)
		SELECT $1, $3, u.key, true, clock_timestamp()
		FROM unnest(fresh) AS u (key)
		ON CONFLICT ON CONSTRAINT held_key_pkey DO UPDATE SET since = excluded.since
			WHERE exact._is_future(k.since);
		once := ARRAY(
			SELECT u.key
			FROM unnest(fresh) AS u (key)
			WHERE EXISTS (
				SELECT FROM exact.held_key AS k
				WHERE k.division = $1 AND k.entity = $3 AND k.key = u.key
					AND (k.since > clock_timestamp() - apart OR (k.since < checked) IS NOT TRUE)
				OFFSET 0));
		fresh := ARRAY(SELECT u.key FROM unnest(fresh) AS u (key) WHERE u.key <> ALL (once));
		asked := cardinality(fresh);
		IF asked = 0 THEN
			RETURN;
		END IF;
	END IF;
	IF reason IS NULL AND exact._too_many_absent($1, $3, asked) THEN
		reason := 'more than 20 records and 5 % of the entity within an hour';
	END IF;
	IF NOT again THEN
		DELETE FROM exact.absence AS a
		WHERE a.division = $1 AND a.entity = $3
			AND (a.minute <= clock_timestamp() - interval '1 h' OR exact._is_future(a.minute));
		INSERT INTO exact.absence AS a
		VALUES ($1, $3, date_trunc('minute', clock_timestamp()), asked)
		ON CONFLICT ON CONSTRAINT absence_pkey DO UPDATE SET records = a.records + excluded.records;
	END IF;
	IF reason IS NULL THEN
		PERFORM exact._leave_hold($1, $3, fresh);
		believed := believed || fresh;
		RETURN;
	END IF;
	held := exact._hold($1, $3, (
			SELECT count(*) FROM unnest(fresh) AS u (key)
			WHERE NOT EXISTS (
				SELECT FROM exact.held_key AS k
				WHERE k.division = $1 AND k.entity = $3 AND k.key = u.key
					AND k.held IS NOT NULL)), reason);
	UPDATE exact.held_delete AS h SET reason = _judge_absent.reason
	WHERE h.id = _judge_absent.held AND h.run IS NULL;
	INSERT INTO exact.held_key AS k (division, entity, key, held, doubted)
	SELECT $1, $3, u.key, _judge_absent.held, again
	FROM unnest(fresh) AS u (key)
	ON CONFLICT ON CONSTRAINT held_key_pkey DO UPDATE
		SET held = excluded.held, doubted = excluded.doubted;
END
$$;
COMMENT ON FUNCTION exact._judge_absent(int, text, text, text[], text, boolean, boolean)
	IS 'Which of these absent records may be deleted; the others are held, with the number of '
		'the question and the reason; again: later answers decide without a word; once: of these '
		'it was the first answer that did not show them, and nothing is decided yet';
REVOKE ALL ON FUNCTION exact._judge_absent(int, text, text, text[], text, boolean, boolean)
	FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._judge_absent(int, text, text, text[], text, boolean, boolean)
	TO exact_worker;

-- At the end of a complete run. Of a question that is open already all that is absent is part. What
-- an operator has refused is asked again only with others, when they are many together.
CREATE FUNCTION exact._judge_run(division int, entity text, run bigint, run_started_at timestamptz,
	run_rows bigint, whole_at timestamptz, OUT absent bigint, OUT believed boolean,
	OUT held bigint, OUT reason text, OUT alive bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	fresh bigint;
	refused CONSTANT boolean := EXISTS (
		SELECT FROM exact.held_delete AS h
		WHERE h.division = $1 AND h.entity = $2 AND h.state = 'rejected');
BEGIN
	believed := false;
	SELECT count(*) FILTER (WHERE a.absent),
		count(*) FILTER (WHERE a.absent AND NOT (refused AND EXISTS (
			SELECT FROM exact._held_record AS x
			WHERE x.division = $1 AND x.entity = $2 AND x.key = a.key AND x.state = 'rejected'
			OFFSET 0))),
		count(*)
	INTO absent, fresh, alive
	FROM (SELECT r.key, coalesce(r.run, 0) < $3 AND r.first_seen < $4 AS absent
		FROM exact.record AS r
		WHERE r.division = $1 AND r.entity = $2 AND NOT r.deleted) AS a;
	IF absent = 0 THEN
		UPDATE exact.held_delete AS h
		SET state = 'returned', decided_by = 'a complete read', decided_at = now()
		WHERE h.division = $1 AND h.entity = $2 AND h.state = 'held';
		RETURN;
	END IF;
	IF fresh = 0 OR exact._absence_blocked($1) IS NOT NULL THEN
		RETURN;
	END IF;
	SELECT h.reason INTO reason
	FROM exact.held_delete AS h
	WHERE h.division = $1 AND h.entity = $2 AND h.state = 'held' AND h.run IS NOT NULL;
	reason := coalesce(reason, exact._consented_since($1, $6),
		CASE
			WHEN $5 = 0 THEN 'the answer was empty'
			WHEN exact._too_many_absent($1, $2, absent)
				THEN 'more than 20 records and 5 % of the entity'
		END);
	IF reason IS NULL THEN
		believed := true;
		RETURN;
	END IF;
	held := exact._hold($1, $2, 0, reason);
	UPDATE exact.held_delete AS h
	SET run = $3, run_started_at = $4, records = _judge_run.absent, alive = _judge_run.alive,
		reason = _judge_run.reason, found_at = now()
	WHERE h.id = _judge_run.held;
END
$$;
COMMENT ON FUNCTION exact._judge_run(int, text, bigint, timestamptz, bigint, timestamptz)
	IS 'May the records that a complete run did not show be asked for and deleted? If not, they '
		'are held, or were refused before';
REVOKE ALL ON FUNCTION exact._judge_run(int, text, bigint, timestamptz, bigint, timestamptz)
	FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._judge_run(int, text, bigint, timestamptz, bigint, timestamptz)
	TO exact_worker;
