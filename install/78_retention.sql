-- What is kept for so long only. Versions that wait or are the newest of their record, and events
-- of the audit log, are never removed here.

-- What has ended, in the order in which it did: the look-up does not depend on how much there is.
CREATE INDEX request_ended ON exact.request (finished_at)
	WHERE state OPERATOR(pg_catalog.=) ANY ('{done,failed,cancelled}')
		AND kind OPERATOR(pg_catalog.<>) 'erase';
COMMENT ON INDEX exact.request_ended IS 'Requests that are not kept for good';
CREATE INDEX dead_letter_ended ON exact.dead_letter (last_at)
	WHERE state OPERATOR(pg_catalog.=) 'done'
		OR (state OPERATOR(pg_catalog.=) 'passed' AND batch IS NULL);
COMMENT ON INDEX exact.dead_letter_ended IS 'Rows about which nothing is left to do';
CREATE INDEX dimension_change_ended ON exact.dimension_change (ended_at)
	WHERE ended_at IS NOT NULL;
COMMENT ON INDEX exact.dimension_change_ended IS 'Changes that have ended';
CREATE INDEX dimension_write_ended ON exact.dimension_write (ended_at)
	WHERE state OPERATOR(pg_catalog.=) 'ended';
COMMENT ON INDEX exact.dimension_write_ended IS 'Calls that have ended';

-- Each statement reads the oldest rows of an index, and as many as a short transaction takes.
CREATE FUNCTION exact._prune(retention interval) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
	before CONSTANT timestamptz := now() - retention;
	removed bigint := 0;
	n bigint;
BEGIN
	-- The newest pair counts; older ones tell how the chain went on, and are worthless to whoever
	-- finds them.
	DELETE FROM exact.token AS t USING (
		SELECT x.id
		FROM (
			SELECT k.id, k.issued_at,
				row_number() OVER (PARTITION BY k.app ORDER BY k.id DESC) AS age
			FROM exact.token AS k
		) AS x
		WHERE x.age > 20 AND x.issued_at < now() - interval '30 days'
		LIMIT 5000
	) AS old
	WHERE t.id = old.id;
	GET DIAGNOSTICS removed = ROW_COUNT;
	-- Ids rise with time: the lowest ones are looked at.
	DELETE FROM exact.api_call AS c
	USING (SELECT x.id, x.at FROM exact.api_call AS x ORDER BY x.id LIMIT 5000) AS old
	WHERE c.id = old.id AND old.at < before;
	GET DIAGNOSTICS n = ROW_COUNT;
	removed := removed + n;
	DELETE FROM exact.statement_log AS s
	USING (SELECT x.id, x.at, x.state FROM exact.statement_log AS x ORDER BY x.id LIMIT 5000) AS old
	WHERE s.id = old.id AND old.at < before AND old.state IN ('succeeded', 'failed');
	GET DIAGNOSTICS n = ROW_COUNT;
	removed := removed + n;
	-- The evidence of an erasure is its request, too; a write asks how its reading has ended.
	DELETE FROM exact.request AS r
	USING (
		SELECT x.id
		FROM exact.request AS x
		WHERE x.state IN ('done', 'failed', 'cancelled') AND x.kind <> 'erase'
			AND x.finished_at < before
			AND NOT EXISTS (SELECT FROM exact.dimension_write AS w
				WHERE w.asked = x.id AND w.state <> 'ended')
		ORDER BY x.finished_at
		LIMIT 5000
	) AS old
	WHERE r.id = old.id;
	GET DIAGNOSTICS n = ROW_COUNT;
	removed := removed + n;
	DELETE FROM exact.dead_letter AS l
	USING (
		SELECT x.id
		FROM exact.dead_letter AS x
		WHERE (x.state = 'done' OR (x.state = 'passed' AND x.batch IS NULL))
			AND x.last_at < before AND coalesce(x.done_at, x.last_at) < before
			AND coalesce(x.decided_at, x.last_at) < before
		ORDER BY x.last_at
		LIMIT 5000
		FOR UPDATE SKIP LOCKED
	) AS old
	WHERE l.id = old.id;
	GET DIAGNOSTICS n = ROW_COUNT;
	removed := removed + n;
	-- New rows of Delta whose key it has not got yet are still needed.
	DELETE FROM exact.dimension_change AS c
	USING (
		SELECT x.id
		FROM exact.dimension_change AS x
		WHERE x.ended_at IS NOT NULL AND x.ended_at < before
			AND x.state IN ('done', 'refused', 'dropped', 'rejected', 'lost')
			AND NOT (x.kind = 'new' AND x.side = 'delta' AND x.state = 'done' AND x.exact IS NULL)
			AND NOT EXISTS (SELECT FROM exact.dimension_write AS w
				WHERE w.id = x.write AND w.state <> 'ended')
		ORDER BY x.ended_at
		LIMIT 5000
	) AS old
	WHERE c.id = old.id;
	GET DIAGNOSTICS n = ROW_COUNT;
	removed := removed + n;
	DELETE FROM exact.dimension_write AS w
	USING (
		SELECT x.id
		FROM exact.dimension_write AS x
		WHERE x.state = 'ended' AND x.ended_at < before
			AND NOT EXISTS (SELECT FROM exact.dimension_change AS c WHERE c.write = x.id)
		ORDER BY x.ended_at
		LIMIT 5000
	) AS old
	WHERE w.id = old.id;
	GET DIAGNOSTICS n = ROW_COUNT;
	removed := removed + n;
	-- A word that was refused holds on: the same absence is not asked about again.
	DELETE FROM exact.held_delete AS h
	USING (
		SELECT x.id
		FROM exact.held_delete AS x
		WHERE x.state IN ('approved', 'returned') AND x.decided_at < before
			AND NOT EXISTS (SELECT FROM exact.held_key AS k WHERE k.held = x.id)
		ORDER BY x.id
		LIMIT 1000
	) AS old
	WHERE h.id = old.id;
	GET DIAGNOSTICS n = ROW_COUNT;
	removed := removed + n;
	DELETE FROM exact.warehouse_run AS w
	USING (SELECT x.id, x.ended_at FROM exact.warehouse_run AS x ORDER BY x.id LIMIT 5000) AS old
	WHERE w.id = old.id AND old.ended_at < now() - retention;
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN removed + n;
END
$$;
COMMENT ON FUNCTION exact._prune(interval)
	IS 'For the fetcher: removes token pairs (but for 20 of each app and those of 30 days), and '
		'what is older than the retention: calls, statements, requests that ended (not those of '
		'exact.erase()), dead letters that are done, changes of dimensions and decisions about '
		'absent records that ended. Some thousand at a time; returns how many';
REVOKE ALL ON FUNCTION exact._prune(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._prune(interval) TO exact_worker;

-- What goes on of a batch: the newest version of each record, also of one that is deleted, with the
-- content that it had, and what was put aside. Its other versions are given up.
CREATE FUNCTION exact._carry_batch(batch bigint, from_slot smallint, to_slot smallint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	kept int[] := ARRAY(
		SELECT s.ord
		FROM exact.stage AS s
		LEFT JOIN LATERAL (SELECT x.batch, x.ord FROM exact.record AS x
			WHERE x.division = s.division AND x.entity = s.entity AND x.key = s.key
			OFFSET 0) AS r ON true
		WHERE s.slot = $2 AND s.batch = $1
			AND ((r.batch = s.batch AND r.ord = s.ord)
				OR EXISTS (SELECT FROM exact.dead_letter AS l
					WHERE l.side = 'delivery' AND l.batch = s.batch AND l.ord = s.ord
						AND l.state = 'dead'))
		ORDER BY s.ord);
BEGIN
	DELETE FROM exact.verdict AS v WHERE v.batch = $1 AND v.ord <> ALL (kept);
	UPDATE exact.dead_letter AS l SET slot = NULL, batch = NULL, ord = NULL
	WHERE l.side = 'delivery' AND l.batch = $1 AND l.ord <> ALL (kept);
	IF kept = '{}' THEN
		DELETE FROM exact.batch AS b WHERE b.id = $1;
		RETURN;
	END IF;
	WITH moved AS (
		INSERT INTO exact.stage (slot, batch, ord, seq, division, entity, key, op, at, hash,
			payload)
		SELECT $3, s.batch, array_position(kept, s.ord) - 1, s.seq, s.division, s.entity, s.key,
			s.op, s.at, s.hash, coalesce(s.payload, exact._content(s.slot, s.batch, s.ord))
		FROM exact.stage AS s
		WHERE s.slot = $2 AND s.batch = $1 AND s.ord = ANY (kept)
		RETURNING seq, op, octet_length(payload) AS bytes
	), figures AS (
		SELECT count(*) AS rows, coalesce(sum(m.bytes), 0) AS bytes, min(m.seq) AS lo,
			max(m.seq) AS hi, count(*) FILTER (WHERE m.op = 'E') AS erased
		FROM moved AS m
	)
	UPDATE exact.batch AS b
	SET slot = $3, rows = f.rows, delivered_rows = f.rows, bytes = f.bytes, seq_min = f.lo,
		seq_max = f.hi, erased = f.erased
	FROM figures AS f
	WHERE b.id = $1;
	UPDATE exact.record AS r SET slot = $3, ord = m.ord
	FROM (
		SELECT s.division, s.entity, s.key, s.ord AS was, array_position(kept, s.ord) - 1 AS ord
		FROM exact.stage AS s
		WHERE s.slot = $2 AND s.batch = $1 AND s.ord = ANY (kept)
	) AS m
	WHERE r.division = m.division AND r.entity = m.entity AND r.key = m.key
		AND r.batch = $1 AND r.slot = $2 AND r.ord = m.was;
	-- places that others had before are taken in two steps
	UPDATE exact.verdict AS v SET slot = $3, ord = -array_position(kept, v.ord)
	WHERE v.batch = $1;
	UPDATE exact.verdict AS v SET ord = -1 - v.ord WHERE v.batch = $1;
	UPDATE exact.dead_letter AS l SET slot = $3, ord = -array_position(kept, l.ord)
	WHERE l.side = 'delivery' AND l.batch = $1;
	UPDATE exact.dead_letter AS l SET ord = -1 - l.ord
	WHERE l.side = 'delivery' AND l.batch = $1;
END
$$;
COMMENT ON FUNCTION exact._carry_batch(bigint, smallint, smallint)
	IS 'Carries what is still needed of a delivered batch into another slot, with the same _seq';
REVOKE ALL ON FUNCTION exact._carry_batch(bigint, smallint, smallint) FROM PUBLIC;

-- Waits for nobody: a reader with an old snapshot, pg_dump for one, puts it off.
CREATE FUNCTION exact._empty_slot(slot smallint) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	name text := 'stage_' || lpad($1::text, 2, '0');
BEGIN
	PERFORM set_config('lock_timeout', '100ms', true);
	BEGIN
		EXECUTE format('LOCK TABLE exact.%I IN ACCESS EXCLUSIVE MODE', name);
	EXCEPTION WHEN lock_not_available THEN
		RETURN false;
	END;
	IF EXISTS (SELECT FROM exact.batch AS b WHERE b.slot = $1)
			OR EXISTS (SELECT FROM exact.record AS r WHERE r.slot = $1) THEN
		RETURN false;
	END IF;
	EXECUTE format('TRUNCATE TABLE exact.%I', name);
	DELETE FROM exact.stage_slot AS s WHERE s.slot = $1;
	RETURN true;
END
$$;
COMMENT ON FUNCTION exact._empty_slot(smallint)
	IS 'Empties a slot whose versions were all carried on; false: somebody reads it, or something '
		'is in it';
REVOKE ALL ON FUNCTION exact._empty_slot(smallint) FROM PUBLIC;

CREATE FUNCTION exact._carry_forward(retention interval) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	old smallint := (
		SELECT s.slot
		FROM exact.stage_slot AS s
		WHERE EXISTS (SELECT FROM exact.stage_slot AS n
			WHERE n.opened_at > s.opened_at AND n.opened_at < now() - retention)
		ORDER BY s.opened_at
		LIMIT 1);
	target smallint := (
		SELECT s.slot FROM exact.stage_slot AS s ORDER BY s.opened_at DESC, s.slot LIMIT 1);
	batch record;
	carried bigint := 0;
	versions bigint := 0;
BEGIN
	IF old IS NULL THEN
		RETURN 0;
	END IF;
	FOR batch IN
		SELECT b.id, b.rows
		FROM exact.batch AS b
		WHERE b.slot = old AND b.delivered_at IS NOT NULL
			-- what was put aside does not go again by itself
			AND NOT EXISTS (SELECT FROM exact.verdict AS v
				WHERE v.batch = b.id AND v.again
					AND NOT EXISTS (SELECT FROM exact.dead_letter AS l
						WHERE l.side = 'delivery' AND l.batch = v.batch AND l.ord = v.ord
							AND l.state = 'dead'))
			AND NOT EXISTS (SELECT FROM exact.unjudged AS u WHERE u.batch = b.id)
			AND NOT EXISTS (SELECT FROM exact.dead_letter AS l
				WHERE l.side = 'delivery' AND l.batch = b.id AND l.state = 'retry')
		ORDER BY b.id
		LIMIT 200
		FOR UPDATE OF b SKIP LOCKED
	LOOP
		PERFORM exact._carry_batch(batch.id, old, target);
		carried := carried + 1;
		versions := versions + batch.rows;
		EXIT WHEN versions >= 5000;
	END LOOP;
	IF carried = 0 AND exact._empty_slot(old) THEN
		RETURN 1;
	END IF;
	RETURN carried;
END
$$;
COMMENT ON FUNCTION exact._carry_forward(interval)
	IS 'For the fetcher: one step towards emptying the oldest slot whose versions are all older '
		'than the retention; 0: there is none, or what is in it waits or is read';
REVOKE ALL ON FUNCTION exact._carry_forward(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._carry_forward(interval) TO exact_worker;
