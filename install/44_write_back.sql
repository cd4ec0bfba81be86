-- The way of an approved change to Exact Online. The fetcher asks what is next, does it, and says
-- how it ended; what follows from that is decided here.
--
--   new → reading → ready → sent → written → checking → ended
--                             └ no answer: PUT is checked, POST is looked for by its code
--
-- A record is read before (its value must be as it was when the change was judged) and after (a
-- field that Exact Online keeps to itself is dropped without a word). Nothing is sent twice unless
-- two readings, half a minute apart, have not shown it.

-- The approved changes of a record that no call carries yet.
CREATE FUNCTION exact._write_waiting(of_division int, entity text, key text, code text)
RETURNS SETOF exact.dimension_change
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT c.* FROM exact.dimension_change AS c
	WHERE c.division = $1 AND c.entity = $2 AND c.key = $3
		AND c.state = 'approved' AND c.write IS NULL
	UNION ALL
	SELECT c.* FROM exact.dimension_change AS c
	WHERE $3 IS NULL AND c.division = $1 AND c.entity = $2
		AND exact._folded(c.code) = exact._folded($4)
		AND c.kind = 'new' AND c.key IS NULL AND c.state = 'approved' AND c.write IS NULL
$$;
COMMENT ON FUNCTION exact._write_waiting(int, text, text, text)
	IS 'Approved changes of a record that no call carries yet; key null: of a new one by its code';
REVOKE ALL ON FUNCTION exact._write_waiting(int, text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._write_waiting(int, text, text, text) TO exact_worker;

-- The hub and Delta may edit one field in the same moment, and two sessions make one code: neither
-- sees the other before both have committed. A call carries one of them, by the rule.
CREATE FUNCTION exact._write_one_of_each(of_division int, entity text, key text, code text)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	rule text := (SELECT w.rule FROM exact._write_back($1) AS w);
	c record;
BEGIN
	FOR c IN
		SELECT x.*
		FROM (
			SELECT d.id, d.code, d.field,
				first_value(d.id) OVER same AS winner, first_value(d.who) OVER same AS winner_is
			FROM exact._write_waiting($1, $2, $3, $4) AS d
			WINDOW same AS (PARTITION BY d.field
				ORDER BY d.decided_by IS NULL, CASE WHEN d.key IS NULL THEN d.id END,
					(d.side = 'delta') <> (rule = 'delta wins'), d.id DESC)
		) AS x
		WHERE x.id <> x.winner
		ORDER BY x.id
	LOOP
		IF $3 IS NULL THEN
			PERFORM exact._end_change(c.id, 'refused',
				format('code %s is made by %s: change %s', c.code, c.winner_is, c.winner));
		ELSIF rule = 'ask' THEN
			UPDATE exact.dimension_change AS d
			SET state = 'conflict', decision = 'ask', decided_by = NULL,
				reason = format('%s is changed by two at once: changes %s and %s', c.field,
					least(c.id, c.winner), greatest(c.id, c.winner))
			WHERE d.id IN (c.id, c.winner);
		ELSE
			PERFORM exact._end_change(c.id, 'lost',
				format('%s changes it, too, and wins', c.winner_is));
		END IF;
	END LOOP;
END
$$;
COMMENT ON FUNCTION exact._write_one_of_each(int, text, text, text)
	IS 'Of approved changes of one field, or to one new code, one is left';
REVOKE ALL ON FUNCTION exact._write_one_of_each(int, text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._write_one_of_each(int, text, text, text) TO exact_worker;

-- What is not read cannot be written: nobody would know what was there before, nor what came of it.
CREATE FUNCTION exact._write_open(division int, entity text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT EXISTS (SELECT FROM exact.division AS d
		JOIN exact.feed AS f ON f.division = d.division AND f.entity = $2 AND f.enabled
		LEFT JOIN exact.division_state AS s ON s.division = d.division
		WHERE d.division = $1 AND d.enabled
			AND $2 <> ALL (coalesce(s.paused_entities, '{}')))
$$;
COMMENT ON FUNCTION exact._write_open(int, text)
	IS 'Whether a dimension of a division may be written: it is read there';
REVOKE ALL ON FUNCTION exact._write_open(int, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._write_open(int, text) TO exact_worker;

-- A dump, a standby or an older state may have it while another copy has sent it.
CREATE FUNCTION exact._write_is_old(decided_at timestamptz) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT EXISTS (SELECT FROM exact.epoch AS e WHERE e.raised_at > $1)
$$;
COMMENT ON FUNCTION exact._write_is_old(timestamptz)
	IS 'Whether an epoch began since: what was to be sent then may have been sent by another copy';
REVOKE ALL ON FUNCTION exact._write_is_old(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._write_is_old(timestamptz) TO exact_worker;

-- Whether a feed has been read as a whole since a moment.
CREATE FUNCTION exact._write_was_read(division int, entity text, since timestamptz)
RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT EXISTS (SELECT FROM exact.feed_state AS s
		JOIN exact.entity_effective AS e ON e.entity = $2 AND e.feed = s.feed
		WHERE s.division = $1 AND s.run_state = 'idle' AND s.run_started_at >= $3
			AND s.complete_at >= s.run_started_at)
$$;
COMMENT ON FUNCTION exact._write_was_read(int, text, timestamptz)
	IS 'Whether the feed of a dimension was read to its end by a run that began since then';
REVOKE ALL ON FUNCTION exact._write_was_read(int, text, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._write_was_read(int, text, timestamptz) TO exact_worker;

-- Approved changes of a record become one write; one at a time for each record. Those of the next
-- second share the reading before them. What two readings take of an entity is open at once, the
-- rest waits in its order: with a hundred thousand approved, a call costs what it costs with two.
CREATE FUNCTION exact._write_gather(of_division int) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	most CONSTANT int := 114;
	mode text := (SELECT w.mode FROM exact._write_back($1) AS w);
	-- the same for all, however long this takes: they share their reading
	begun CONSTANT timestamptz := clock_timestamp();
	g record;
	ids bigint[];
	old boolean;
	made bigint;
BEGIN
	IF mode NOT IN ('auto', 'approve')
			OR NOT EXISTS (SELECT FROM exact.division AS d WHERE d.division = $1 AND d.enabled) THEN
		RETURN;
	END IF;
	FOR g IN
		SELECT f.entity, f.key, max(f.code) AS code
		FROM (VALUES ('costcenter'), ('costunit'), ('glaccount')) AS e (entity)
		CROSS JOIN LATERAL (
			SELECT count(*) AS n FROM exact.dimension_write AS o
			WHERE o.division = $1 AND o.entity = e.entity AND o.state <> 'ended'
		) AS open
		CROSS JOIN LATERAL (
			SELECT c.id, c.entity, c.key, c.code
			FROM exact.dimension_change AS c
			WHERE c.division = $1 AND c.entity = e.entity AND c.state = 'approved'
				AND c.write IS NULL AND (mode = 'auto' OR c.decided_by IS NOT NULL)
				AND NOT EXISTS (SELECT FROM exact.dimension_write AS o
					WHERE o.division = c.division AND o.entity = c.entity AND o.state <> 'ended'
						AND (o.key = c.key OR (c.key IS NULL
							AND exact._folded(o.code) = exact._folded(c.code))))
			ORDER BY c.id
			LIMIT greatest(most - open.n, 0)
		) AS f
		GROUP BY f.entity, f.key, CASE WHEN f.key IS NULL THEN exact._folded(f.code) END
		ORDER BY min(f.id)
	LOOP
		PERFORM exact._lock_changes($1, g.entity, g.key, g.code);
		PERFORM exact._write_one_of_each($1, g.entity, g.key, g.code);
		SELECT array_agg(c.id), exact._write_is_old(min(coalesce(c.decided_at, c.found_at)))
		INTO ids, old
		FROM exact._write_waiting($1, g.entity, g.key, g.code) AS c
		WHERE mode = 'auto' OR c.decided_by IS NOT NULL;
		CONTINUE WHEN ids IS NULL;
		INSERT INTO exact.dimension_write AS n (division, entity, key, code, method, state, looks,
			next_at)
		VALUES ($1, g.entity, g.key, g.code, CASE WHEN g.key IS NULL THEN 'POST' ELSE 'PUT' END,
			CASE WHEN g.key IS NOT NULL THEN 'new' WHEN old THEN 'look' ELSE 'ready' END,
			CASE WHEN g.key IS NULL AND old THEN 1 ELSE 0 END,
			begun + CASE WHEN g.key IS NULL THEN interval '0' ELSE '1 s' END)
		RETURNING n.id INTO made;
		UPDATE exact.dimension_change AS c SET write = made WHERE c.id = ANY (ids);
	END LOOP;
END
$$;
COMMENT ON FUNCTION exact._write_gather(int)
	IS 'Makes writes of what is approved in a division, some at a time';
REVOKE ALL ON FUNCTION exact._write_gather(int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._write_gather(int) TO exact_worker;

-- No step waits for longer than a minute: a later one is of a clock that was set back since.
CREATE FUNCTION exact._write_next(next_at timestamptz) RETURNS timestamptz
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN $1 > clock_timestamp() + interval '2 minutes' THEN clock_timestamp()
		ELSE $1 END
$$;
COMMENT ON FUNCTION exact._write_next(timestamptz)
	IS 'When a step of a write may be taken, whatever became of the clock';
REVOKE ALL ON FUNCTION exact._write_next(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._write_next(timestamptz) TO exact_worker;

CREATE FUNCTION exact._write_due(of_division int, closed text[] = '{}') RETURNS timestamptz
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
	SELECT exact._write_gather($1);
	SELECT min(CASE
		-- what is read is looked at every second, and after each answer
		WHEN o.state IN ('reading', 'checking')
			THEN greatest(exact._write_next(o.next_at), clock_timestamp() + interval '1 s')
		ELSE exact._write_next(o.next_at)
	END)
	FROM exact.dimension_write AS o
	JOIN exact.division AS d ON d.division = o.division AND d.enabled
	WHERE o.division = $1 AND o.state <> 'ended' AND o.state NOT IN ('sent', 'looking')
		AND NOT (o.state IN ('ready', 'look') AND o.entity = ANY (closed))
		AND exact._write_open(o.division, o.entity);
$$;
COMMENT ON FUNCTION exact._write_due(int, text[])
	IS 'When the next step of a division''s writes may be taken; null: never. closed: entities '
		'whose endpoint may not be called now';
REVOKE ALL ON FUNCTION exact._write_due(int, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._write_due(int, text[]) TO exact_worker;

-- A reading by key is done when the key is not dirty any more; one of a feed when its request is.
CREATE FUNCTION exact._write_read(of_division int, entity text, ids bigint[], state text)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	request bigint;
	keys text[] := ARRAY(SELECT o.key FROM exact.dimension_write AS o WHERE o.id = ANY ($3));
BEGIN
	IF entity = 'glaccount' THEN
		INSERT INTO exact.request (kind, division, entity)
		VALUES ('sync', $1, $2)
		RETURNING id INTO request;
	ELSE
		PERFORM exact._want_keys($1, $2, keys, NULL, 'write-back');
	END IF;
	UPDATE exact.dimension_write AS o
	SET state = $4, asked_at = clock_timestamp(), asked = request, next_at = clock_timestamp()
	WHERE o.id = ANY ($3);
	PERFORM exact._wake('fetcher');
END
$$;
COMMENT ON FUNCTION exact._write_read(int, text, bigint[], text)
	IS 'Has the records of writes read';
REVOKE ALL ON FUNCTION exact._write_read(int, text, bigint[], text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._write_read(int, text, bigint[], text) TO exact_worker;

CREATE FUNCTION exact._write_end(w exact.dimension_write, outcome text, reason text)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	c record;
BEGIN
	UPDATE exact.dimension_write AS o
	SET state = 'ended', outcome = $2, ended_at = clock_timestamp()
	WHERE o.id = w.id;
	FOR c IN SELECT * FROM exact.dimension_change AS d WHERE d.write = w.id AND d.state = 'approved'
	LOOP
		IF $2 = 'called back' THEN
			UPDATE exact.dimension_change AS d SET write = NULL WHERE d.id = c.id;
		ELSIF $2 = 'done' THEN
			UPDATE exact.dimension_change AS d
			SET state = 'done', reason = $3, ended_at = clock_timestamp(), call = w.call,
				key = coalesce(d.key, w.key)
			WHERE d.id = c.id;
		ELSE
			UPDATE exact.dimension_change AS d SET call = w.call WHERE d.id = c.id;
			PERFORM exact._end_change(c.id, CASE $2
				WHEN 'conflict' THEN 'lost' WHEN 'dropped' THEN 'dropped' ELSE 'refused' END, $3);
		END IF;
	END LOOP;
	PERFORM exact._audit('fetcher', 'write-back', w.division, w.entity, jsonb_build_object(
		'event', $2, 'write', w.id, 'method', w.method, 'key', w.key, 'code', w.code,
		'attempts', w.attempts, 'call', w.call, 'reason', $3));
END
$$;
COMMENT ON FUNCTION exact._write_end(exact.dimension_write, text, text)
	IS 'Ends a write and the changes that it carried';
REVOKE ALL ON FUNCTION exact._write_end(exact.dimension_write, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._write_end(exact.dimension_write, text, text) TO exact_worker;

-- Before it is sent: what became of the record since the changes were judged.
CREATE FUNCTION exact._write_compare(w exact.dimension_write) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	there jsonb := exact._dimension_newest(w.division, w.entity, w.key);
	c record;
	now_there text;
BEGIN
	IF there IS NULL OR (there ->> 'deleted')::boolean THEN
		PERFORM exact._write_end(w, 'refused', 'the record is gone in Exact Online');
		RETURN;
	END IF;
	FOR c IN
		SELECT d.*, f.target_type FROM exact.dimension_change AS d
		JOIN exact._dimension_field AS f ON f.entity = d.entity AND lower(f.name) = lower(d.field)
		WHERE d.write = w.id AND d.state = 'approved'
	LOOP
		now_there := there ->> lower(c.field);
		IF exact._dimension_same(c.target_type, now_there, c.wanted) THEN
			UPDATE exact.dimension_change AS d
			SET state = 'done', reason = 'Exact Online has it already', exact = now_there,
				ended_at = clock_timestamp()
			WHERE d.id = c.id;
			PERFORM exact._dimension_again(c.division, c.entity, ARRAY[c.key])
			WHERE c.side = 'delta';
		ELSIF exact._dimension_same(c.target_type, now_there, c.exact) THEN
			CONTINUE;
		ELSE
			PERFORM exact._dimension_overtaken(c.id, now_there);
		END IF;
	END LOOP;
	IF EXISTS (SELECT FROM exact.dimension_change AS d
			WHERE d.write = w.id AND d.state = 'approved') THEN
		UPDATE exact.dimension_write AS o
		SET state = 'ready', next_at = clock_timestamp(), seen = there ->> 'modified'
		WHERE o.id = w.id;
	ELSE
		PERFORM exact._write_end(w, 'conflict', NULL);
	END IF;
END
$$;
COMMENT ON FUNCTION exact._write_compare(exact.dimension_write)
	IS 'Compares a record that was read with what its changes were judged by';
REVOKE ALL ON FUNCTION exact._write_compare(exact.dimension_write) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._write_compare(exact.dimension_write) TO exact_worker;

-- After it was sent. A field may show late, so two more looks follow before it counts as dropped.
CREATE FUNCTION exact._write_check(w exact.dimension_write) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	waits CONSTANT interval[] := ARRAY['2 s', '30 s'];
	there jsonb := exact._dimension_newest(w.division, w.entity, w.key);
	missing text[];
	moved boolean;
	none boolean;
	c record;
BEGIN
	SELECT array_agg(v.name ORDER BY v.name) FILTER (WHERE NOT v.has),
		bool_or(NOT v.has AND NOT v.was), NOT bool_or(v.has)
	INTO missing, moved, none
	FROM (
		SELECT f.name,
			exact._dimension_same(f.target_type, there ->> lower(f.name),
				CASE WHEN d.field IS NULL THEN d.wanted::jsonb ->> f.name ELSE d.wanted END)
				-- it was found, or made, by its code
				OR (d.field IS NULL AND f.name = 'Code') AS has,
			exact._dimension_same(f.target_type, there ->> lower(f.name), d.exact) AS was
		FROM exact.dimension_change AS d
		JOIN exact._dimension_field AS f ON f.entity = d.entity
			AND CASE WHEN d.field IS NULL THEN d.wanted::jsonb ? f.name
				ELSE lower(f.name) = lower(d.field) END
		WHERE d.write = w.id AND d.state = 'approved'
	) AS v;
	IF missing IS NULL THEN
		PERFORM exact._write_end(w, 'done', NULL);
	ELSIF w.outcome = 'refused' AND there IS NOT NULL THEN
		PERFORM exact._write_end(w, 'refused', 'Exact Online refuses it: ' || coalesce(w.said,
			format('code %s is another record', w.code)));
	ELSIF there IS NOT NULL AND w.method = 'PUT' AND moved AND w.answered THEN
		PERFORM exact._write_end(w, 'done', 'written, and changed in Exact Online since');
	ELSIF w.looks < cardinality(waits) THEN
		UPDATE exact.dimension_write AS o
		SET state = 'written', looks = o.looks + 1,
			next_at = clock_timestamp() + waits[o.looks + 1]
		WHERE o.id = w.id;
	ELSIF w.answered OR there IS NULL THEN
		PERFORM exact._write_partly(w, missing);
	ELSIF none AND w.method = 'PUT' AND w.seen <> there ->> 'modified' THEN
		-- the record was changed since: by this call, and then back by somebody, for all we know
		FOR c IN
			SELECT d.id, d.field FROM exact.dimension_change AS d
			WHERE d.write = w.id AND d.state = 'approved'
		LOOP
			PERFORM exact._dimension_overtaken(c.id, there ->> lower(c.field));
		END LOOP;
		IF EXISTS (SELECT FROM exact.dimension_change AS d
				WHERE d.write = w.id AND d.state = 'approved') THEN
			UPDATE exact.dimension_write AS o
			SET state = 'new', looks = 0, next_at = clock_timestamp()
			WHERE o.id = w.id;
		ELSE
			PERFORM exact._write_end(w, 'conflict', NULL);
		END IF;
	ELSIF w.attempts < 3 AND none THEN
		-- two readings have not shown it: it never got there
		UPDATE exact.dimension_write AS o
		SET state = 'new', looks = 0, next_at = clock_timestamp()
		WHERE o.id = w.id;
	ELSE
		PERFORM exact._write_end(w, 'unknown',
			'Exact Online did not answer, and shows no change: sent three times');
	END IF;
END
$$;
COMMENT ON FUNCTION exact._write_check(exact.dimension_write)
	IS 'Compares a record that was read after its write with what was wanted';
REVOKE ALL ON FUNCTION exact._write_check(exact.dimension_write) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._write_check(exact.dimension_write) TO exact_worker;

CREATE FUNCTION exact._write_partly(w exact.dimension_write, missing text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	c record;
BEGIN
	FOR c IN SELECT * FROM exact.dimension_change AS d
		WHERE d.write = w.id AND d.state = 'approved' AND d.field IS NOT NULL
	LOOP
		IF c.field = ANY (missing) THEN
			UPDATE exact.dimension_change AS d SET call = w.call WHERE d.id = c.id;
			PERFORM exact._end_change(c.id, 'dropped',
				format('Exact Online accepted the call and left %s as it was: it is not writable '
					'there now', c.field));
		ELSE
			UPDATE exact.dimension_change AS d
			SET state = 'done', call = w.call, ended_at = clock_timestamp()
			WHERE d.id = c.id;
		END IF;
	END LOOP;
	PERFORM exact._write_end(w,
		CASE WHEN w.method = 'POST' AND w.key IS NOT NULL THEN 'done' ELSE 'dropped' END,
		format('Exact Online accepted the call and left %s as it was',
			array_to_string(missing, ', ')));
END
$$;
COMMENT ON FUNCTION exact._write_partly(exact.dimension_write, text[])
	IS 'Ends a write of which Exact Online has dropped some fields without a word';
REVOKE ALL ON FUNCTION exact._write_partly(exact.dimension_write, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._write_partly(exact.dimension_write, text[]) TO exact_worker;

CREATE FUNCTION exact._write_settle(of_division int) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	w exact.dimension_write;
BEGIN
	UPDATE exact.dimension_write AS o
	SET state = CASE o.state WHEN 'reading' THEN 'new' ELSE 'written' END
	WHERE o.division = $1 AND o.state IN ('reading', 'checking')
		AND NOT exact._write_open(o.division, o.entity);
	FOR w IN
		SELECT o.* FROM exact.dimension_write AS o
		WHERE o.division = $1 AND o.state IN ('reading', 'checking')
			AND CASE
				WHEN o.asked IS NOT NULL THEN EXISTS (SELECT FROM exact.request AS r
					WHERE r.id = o.asked AND r.state NOT IN ('queued', 'running'))
				ELSE NOT EXISTS (SELECT FROM exact.dirty_key AS k
					WHERE k.division = o.division AND k.entity = o.entity AND k.key = o.key)
			END
		ORDER BY o.id
	LOOP
		IF w.asked IS NOT NULL AND ((SELECT r.state FROM exact.request AS r
				WHERE r.id = w.asked) <> 'done'
				OR NOT EXISTS (SELECT FROM exact.feed_state AS s
					JOIN exact.entity_effective AS e ON e.entity = w.entity AND e.feed = s.feed
					WHERE s.division = w.division AND s.complete_at >= w.asked_at)) THEN
			UPDATE exact.dimension_write AS o
			SET state = CASE w.state WHEN 'reading' THEN 'new' ELSE 'written' END,
				next_at = clock_timestamp() + interval '1 minute'
			WHERE o.id = w.id;
		ELSIF w.state = 'reading' THEN
			PERFORM exact._write_compare(w);
		ELSE
			PERFORM exact._write_check(w);
		END IF;
	END LOOP;
END
$$;
COMMENT ON FUNCTION exact._write_settle(int) IS 'Takes what readings have brought for writes';
REVOKE ALL ON FUNCTION exact._write_settle(int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._write_settle(int) TO exact_worker;

CREATE FUNCTION exact._write_take(of_division int, closed text[] = '{}', OUT edit bigint,
	OUT step text, OUT entity text, OUT method text, OUT resource text, OUT path text,
	OUT body text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
	w exact.dimension_write;
	batch record;
	place record := exact._write_back(of_division);
BEGIN
	IF NOT EXISTS (SELECT FROM exact.division AS d WHERE d.division = $1 AND d.enabled) THEN
		RETURN;
	END IF;
	PERFORM exact._write_gather($1);
	PERFORM exact._write_settle($1);
	-- switched off, or asked for another approval, before it was sent or when it was not done
	FOR w IN
		SELECT o.* FROM exact.dimension_write AS o
		WHERE o.division = $1 AND o.state IN ('new', 'reading', 'ready')
			AND (place.mode = 'off' OR (place.mode = 'approve'
				AND EXISTS (SELECT FROM exact.dimension_change AS c
					WHERE c.write = o.id AND c.state = 'approved' AND c.decided_by IS NULL)))
	LOOP
		PERFORM exact._write_end(w, 'called back', format('write_back is %s', place.mode));
		UPDATE exact.dimension_change AS c
		SET state = CASE place.mode WHEN 'off' THEN 'shown' ELSE 'proposed' END
		WHERE c.division = w.division AND c.entity = w.entity AND c.key IS NOT DISTINCT FROM w.key
			AND c.write IS NULL AND c.state = 'approved'
			AND (place.mode = 'off' OR c.decided_by IS NULL);
	END LOOP;
	-- a notification may have brought the reading that follows a write
	FOR w IN
		SELECT o.* FROM exact.dimension_write AS o
		WHERE o.division = $1 AND o.entity = 'glaccount' AND o.state = 'written' AND o.looks = 0
			AND exact._write_next(o.next_at) <= clock_timestamp()
			AND exact._write_was_read(o.division, o.entity, o.sent_at)
	LOOP
		PERFORM exact._write_check(w);
	END LOOP;
	FOR batch IN
		SELECT b.entity, b.state, array_agg(b.id) AS ids
		FROM (
			SELECT o.entity, o.state, o.id,
				row_number() OVER (PARTITION BY o.entity, o.state ORDER BY o.id) AS place
			FROM exact.dimension_write AS o
			WHERE o.division = $1 AND exact._write_next(o.next_at) <= clock_timestamp()
				AND o.key IS NOT NULL AND exact._write_open(o.division, o.entity)
				AND (o.state = 'new' OR (o.state = 'written' AND NOT EXISTS (
					-- one reading after the batch, not one after each write
					SELECT FROM exact.dimension_write AS p
					WHERE p.division = $1 AND p.entity = o.entity
						AND p.state IN ('ready', 'sent') AND o.looks = 0
						AND exact._write_next(p.next_at) <= clock_timestamp()
						AND o.sent_at > clock_timestamp() - interval '1 minute')))
		) AS b
		-- what one reading by key takes, two records that live beside them
		WHERE b.place <= 57
		GROUP BY b.entity, b.state
	LOOP
		PERFORM exact._write_read($1, batch.entity, batch.ids,
			CASE batch.state WHEN 'new' THEN 'reading' ELSE 'checking' END);
	END LOOP;
	SELECT o.* INTO w
	FROM exact.dimension_write AS o
	WHERE o.division = $1 AND o.state IN ('ready', 'look')
		AND exact._write_next(o.next_at) <= clock_timestamp()
		AND o.entity <> ALL (closed) AND exact._write_open(o.division, o.entity)
		-- what switches off stops what is not sent; what was sent is followed to its end
		AND (o.state = 'look' OR place.mode <> 'off')
	ORDER BY o.state = 'look' DESC, o.id
	LIMIT 1
	FOR UPDATE;
	IF w.id IS NULL THEN
		RETURN;
	END IF;
	edit := w.id;
	entity := w.entity;
	resource := exact._dimension_resource(w.entity);
	IF w.state = 'look' THEN
		step := 'look';
		method := 'GET';
		path := format('%s?$filter=Code eq ''%s''&$select=ID,Code',
			exact._write_path($1, w.entity, NULL), replace(w.code, '''', ''''''));
		UPDATE exact.dimension_write AS o SET state = 'looking' WHERE o.id = w.id;
		RETURN;
	END IF;
	step := lower(w.method);
	method := w.method;
	path := exact._write_path($1, w.entity, w.key);
	body := exact._write_body(ARRAY(SELECT c.id FROM exact.dimension_change AS c
		WHERE c.write = w.id AND c.state = 'approved'));
	UPDATE exact.dimension_write AS o
	SET state = 'sent', sent_at = clock_timestamp(), attempts = o.attempts + 1,
		body = _write_take.body, answered = false, looks = 0
	WHERE o.id = w.id;
END
$$;
COMMENT ON FUNCTION exact._write_take(int, text[])
	IS 'The next call of a division''s writes, marked as begun: put, post, or look (a GET by '
		'code); edit null: none is due. closed: as in exact._write_due()';
REVOKE ALL ON FUNCTION exact._write_take(int, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._write_take(int, text[]) TO exact_worker;

CREATE FUNCTION exact._write_key_in(answer text, code text) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	d jsonb := replace(answer, E'\\u0000', '')::jsonb -> 'd';
	found_key text;
BEGIN
	IF d ? 'results' THEN
		d := d -> 'results';
	END IF;
	SELECT lower(r ->> 'ID') INTO found_key
	FROM jsonb_array_elements(
		CASE jsonb_typeof(d) WHEN 'array' THEN d ELSE jsonb_build_array(d) END) AS r
	WHERE $2 IS NULL OR exact._folded(r ->> 'Code') = exact._folded($2)
	LIMIT 1;
	RETURN substring(found_key FROM '^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$');
EXCEPTION WHEN data_exception THEN
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION exact._write_key_in(text, text)
	IS 'Key of the record with this code in an answer, or of the only one; null: none';
REVOKE ALL ON FUNCTION exact._write_key_in(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._write_key_in(text, text) TO exact_worker;

-- One reading follows the write and its notification, which comes within seconds.
CREATE FUNCTION exact._write_notice(division int, entity text) RETURNS interval
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN $2 = 'glaccount' AND EXISTS (SELECT FROM exact.subscription AS s
				WHERE s.division = $1 AND s.topic = 'GLAccounts' AND s.state = 'present')
			THEN interval '6 s'
		ELSE interval '0'
	END
$$;
COMMENT ON FUNCTION exact._write_notice(int, text)
	IS 'How long the reading after a write waits for the notification of that write';
REVOKE ALL ON FUNCTION exact._write_notice(int, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._write_notice(int, text) TO exact_worker;

CREATE FUNCTION exact._write_outcome(edit bigint, outcome text, status int, said text, answer text,
	call bigint)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
	w exact.dimension_write;
	made text;
BEGIN
	SELECT * INTO w FROM exact.dimension_write AS o WHERE o.id = $1 FOR UPDATE;
	IF w.id IS NULL OR w.state NOT IN ('sent', 'looking') THEN
		RETURN;
	END IF;
	-- what was said against it stays while it is looked for
	UPDATE exact.dimension_write AS o
	SET status = CASE WHEN o.state = 'looking' AND $2 = 'ok' THEN o.status ELSE $3 END,
		said = CASE WHEN o.state = 'looking' AND $2 = 'ok' THEN o.said ELSE $4 END,
		call = coalesce($6, o.call)
	WHERE o.id = w.id
	RETURNING o.* INTO w;
	IF $2 = 'unsent' THEN
		UPDATE exact.dimension_write AS o
		SET state = CASE w.state WHEN 'looking' THEN 'look' ELSE 'ready' END,
			attempts = o.attempts - CASE w.state WHEN 'sent' THEN 1 ELSE 0 END,
			next_at = clock_timestamp() + interval '10 s'
		WHERE o.id = w.id;
	ELSIF w.state = 'looking' THEN
		made := CASE WHEN $2 = 'ok' THEN exact._write_key_in($5, w.code) END;
		IF made IS NOT NULL THEN
			PERFORM exact._write_made(w, made);
		ELSIF $2 <> 'ok' THEN
			UPDATE exact.dimension_write AS o
			SET state = 'look', next_at = clock_timestamp() + interval '1 minute'
			WHERE o.id = w.id;
		ELSIF w.looks < 1 THEN
			UPDATE exact.dimension_write AS o
			SET state = 'look', looks = o.looks + 1, next_at = clock_timestamp() + interval '30 s'
			WHERE o.id = w.id;
		ELSIF w.attempts = 0 OR exact._write_is_old(w.sent_at) THEN
			-- another copy may have made it, and somebody deleted it since: only a person knows
			PERFORM exact._write_end(w, 'called back', 'another copy of the hub may have sent it');
			UPDATE exact.dimension_change AS c
			SET state = 'proposed', decided_by = NULL, decided_at = NULL,
				reason = 'another copy of the hub may have made it; Exact Online does not show it'
			WHERE c.division = w.division AND c.entity = w.entity AND c.kind = 'new'
				AND exact._folded(c.code) = exact._folded(w.code)
				AND c.state = 'approved' AND c.write IS NULL;
		ELSIF w.attempts < 3 AND NOT w.answered THEN
			UPDATE exact.dimension_write AS o
			SET state = 'ready', next_at = clock_timestamp()
			WHERE o.id = w.id;
		ELSE
			PERFORM exact._write_end(w, coalesce(w.outcome, 'unknown'),
				coalesce('Exact Online refuses it: ' || w.said,
					'Exact Online does not show the record that it was sent'));
		END IF;
	ELSIF $2 = 'refused' THEN
		-- a record that is there after all may be the one that an earlier attempt made, or that a
		-- proxy made which has sent the call twice and hands out the second answer
		IF w.method = 'POST' THEN
			UPDATE exact.dimension_write AS o
			SET state = 'look', looks = 1, answered = true, outcome = 'refused',
				next_at = clock_timestamp()
			WHERE o.id = w.id;
		ELSE
			PERFORM exact._write_end(w, 'refused', coalesce('Exact Online refuses it: ' || $4,
				format('Exact Online refuses it: HTTP %s', $3)));
			PERFORM exact._want_keys(w.division, w.entity, ARRAY[w.key], NULL, 'write-back'),
				exact._wake('fetcher')
			WHERE w.key IS NOT NULL AND w.entity <> 'glaccount';
		END IF;
	ELSIF w.method = 'POST' THEN
		made := CASE WHEN $2 = 'ok' THEN exact._write_key_in($5, NULL) END;
		IF made IS NOT NULL THEN
			PERFORM exact._write_made(w, made);
		ELSE
			UPDATE exact.dimension_write AS o
			SET state = 'look', looks = 0, answered = $2 = 'ok',
				next_at = clock_timestamp() + interval '2 s'
			WHERE o.id = w.id;
		END IF;
	ELSE
		UPDATE exact.dimension_write AS o
		SET state = 'written', answered = $2 = 'ok', looks = 0,
			next_at = clock_timestamp() + exact._write_notice(w.division, w.entity)
		WHERE o.id = w.id;
	END IF;
END
$$;
COMMENT ON FUNCTION exact._write_outcome(bigint, text, int, text, text, bigint)
	IS 'How a call ended: ok, refused (said has why), unknown (it may have been done) or unsent';
REVOKE ALL ON FUNCTION exact._write_outcome(bigint, text, int, text, text, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._write_outcome(bigint, text, int, text, text, bigint)
	TO exact_worker;

CREATE FUNCTION exact._write_made(w exact.dimension_write, made text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	UPDATE exact.dimension_write AS o
	SET key = $2, state = 'written', answered = true, looks = 0,
		next_at = clock_timestamp() + exact._write_notice(w.division, w.entity)
	WHERE o.id = w.id;
	UPDATE exact.dimension_change AS c SET key = $2 WHERE c.write = w.id;
END
$$;
COMMENT ON FUNCTION exact._write_made(exact.dimension_write, text)
	IS 'A new record has got its key';
REVOKE ALL ON FUNCTION exact._write_made(exact.dimension_write, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._write_made(exact.dimension_write, text) TO exact_worker;

-- The fetcher that sent them is gone: whether they were done is found out. So is what another copy
-- of this installation has made meanwhile.
CREATE FUNCTION exact._write_restarted() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	UPDATE exact.dimension_write AS o
	SET state = CASE
			WHEN o.state = 'looking' OR o.method = 'POST' THEN 'look'
			ELSE 'written'
		END,
		looks = 0, answered = false, next_at = clock_timestamp() + interval '2 s'
	WHERE o.state IN ('sent', 'looking');
	UPDATE exact.dimension_write AS o
	SET state = 'look', looks = 1, next_at = clock_timestamp()
	WHERE o.state = 'ready' AND o.method = 'POST' AND o.attempts = 0
		AND exact._write_is_old(o.made_at);
END
$$;
COMMENT ON FUNCTION exact._write_restarted()
	IS 'At the start of a fetcher: calls that nobody heard the answer of are looked for, and new '
		'records that another copy may have made';
REVOKE ALL ON FUNCTION exact._write_restarted() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._write_restarted() TO exact_worker;

GRANT EXECUTE ON FUNCTION exact._write_path(int, text, text), exact._write_body(bigint[])
	TO exact_worker;

GRANT EXECUTE ON FUNCTION exact._wake(text) TO exact_worker;

-- ---- reading Delta now ----

CREATE FUNCTION exact.read_dimensions(workspace text = NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found_id bigint;
BEGIN
	IF NOT EXISTS (SELECT FROM exact.workspace AS w
			WHERE read_dimensions.workspace IS NULL OR w.name = read_dimensions.workspace) THEN
		RAISE EXCEPTION USING ERRCODE = 'EX018',
			MESSAGE = format('there is no workspace %s',
				coalesce(quote_literal(read_dimensions.workspace), 'yet')),
			HINT = 'SELECT name FROM exact.workspace.';
	END IF;
	SELECT r.id INTO found_id
	FROM exact.request AS r
	WHERE r.kind = 'read_dimensions' AND r.state IN ('queued', 'running') AND NOT r.cancel_wanted
		AND r.workspace IS NOT DISTINCT FROM read_dimensions.workspace
	ORDER BY r.id
	LIMIT 1;
	IF found_id IS NULL THEN
		INSERT INTO exact.request (kind, workspace)
		VALUES ('read_dimensions', read_dimensions.workspace)
		RETURNING id INTO found_id;
	END IF;
	PERFORM exact._wake('loader');
	RETURN found_id;
END
$$;
COMMENT ON FUNCTION exact.read_dimensions(text)
	IS 'Looks for edits of dimensions in the Delta tables of a workspace now (null: all) and '
		'returns the request''s id, for exact.wait(). The same request is returned while one is '
		'queued or running';
REVOKE ALL ON FUNCTION exact.read_dimensions(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.read_dimensions(text) TO exact_operator;
