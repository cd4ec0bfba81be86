-- Edits of dimensions that the loader has found in Delta become rows of exact.dimension_change.

-- The content of a version that Delta has: what the editor saw.
CREATE FUNCTION exact._dimension_version(division int, entity text, key text, seq bigint)
RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	v record;
BEGIN
	SELECT r.slot, r.batch, r.ord, r.seq INTO v FROM exact.record AS r
	WHERE r.division = $1 AND r.entity = $2 AND r.key = $3;
	WHILE v.seq > $4 LOOP
		SELECT p.slot, p.batch, p.ord, p.seq INTO v
		FROM exact.stage AS s
		JOIN exact.stage AS p ON p.slot = s.prev_slot AND p.batch = s.prev_batch
			AND p.ord = s.prev_ord
		WHERE s.slot = v.slot AND s.batch = v.batch AND s.ord = v.ord;
	END LOOP;
	RETURN CASE WHEN v.seq IS NOT NULL
		THEN exact._dimension_content($2, exact._content(v.slot, v.batch, v.ord)) END;
END
$$;
COMMENT ON FUNCTION exact._dimension_version(int, text, text, bigint)
	IS 'Content of a version of a dimension, or of the one before it; null: it is not held';
REVOKE ALL ON FUNCTION exact._dimension_version(int, text, text, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._dimension_version(int, text, text, bigint) TO exact_worker;

-- What Exact Online has now, also of a record that its table could not take, or in which somebody
-- wrote who is above triggers.
CREATE FUNCTION exact._dimension_newest(division int, entity text, key text) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce((
			SELECT exact._dimension_version($1, $2, $3, 9223372036854775807)
			FROM exact.record AS r
			WHERE r.division = $1 AND r.entity = $2 AND r.key = $3 AND NOT r.deleted
		), exact._dimension_row($1, $2, $3))
$$;
COMMENT ON FUNCTION exact._dimension_newest(int, text, text)
	IS 'Content of the newest version of a dimension; null: none is held';
REVOKE ALL ON FUNCTION exact._dimension_newest(int, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._dimension_newest(int, text, text) TO exact_worker;

-- A row as the loader has read it. Returns the state of its last change; null: nothing is open.
CREATE FUNCTION exact._take_delta_row(workspace text, entity text, reading bigint,
	of_division int, key text, seq bigint, hash text, content jsonb, double boolean, many boolean)
RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET lock_timeout = '1ms'
AS $$
DECLARE
	edit bigint := nextval('exact.dimension_edit_id');
	given jsonb := (SELECT jsonb_object_agg(lower(c.key), c.value) FROM jsonb_each(content) AS c);
	mark text := CASE
		WHEN $5 IS NULL OR $6 IS NULL THEN 'new:' || md5($7 || coalesce($5, ''))
		ELSE $5
	END;
	r record;
	base jsonb;
	fresh jsonb;
	changed record;
	problem text;
	state text;
	last text;
BEGIN
	UPDATE exact.dimension_known AS k
	SET seen_at = clock_timestamp(), reading = $3
	WHERE k.entity = $2 AND k.division = coalesce($4, 0) AND k.key = mark AND k.hash = $7;
	IF FOUND THEN
		RETURN 'known';
	END IF;
	INSERT INTO exact.dimension_known AS k (division, entity, key, hash, code, reading)
	VALUES (coalesce($4, 0), $2, mark, $7,
		CASE WHEN mark LIKE 'new:%' THEN exact._folded(coalesce(given ->> 'code', '')) END, $3)
	ON CONFLICT ON CONSTRAINT dimension_known_pkey
		DO UPDATE SET hash = excluded.hash, seen_at = clock_timestamp(), reading = $3;
	SELECT x.seq, x.deleted INTO r FROM exact.record AS x
	WHERE x.division = $4 AND x.entity = $2 AND x.key = $5;
	problem := CASE
		WHEN NOT EXISTS (SELECT FROM exact.division AS d
			WHERE d.division = $4 AND d.workspace = $1)
			THEN format('division %s is not delivered to workspace %s',
				coalesce($4::text, 'null'), $1)
		WHEN double THEN 'two rows of Delta have the same key or the same code'
		WHEN mark <> $5 OR $5 IS NULL THEN NULL
		WHEN r.seq IS NULL THEN 'the hub does not know its key'
		WHEN r.deleted THEN 'it is deleted in Exact Online'
	END;
	IF problem IS NULL AND mark LIKE 'new:%' THEN
		RETURN exact._propose_new(edit, $4, $2, 'delta', 'workspace ' || $1, given, many);
	ELSIF problem IS NOT NULL THEN
		INSERT INTO exact.dimension_change (edit, workspace, division, entity, key, code, kind,
			side, who, delta, wanted, state, reason, ended_at)
		VALUES (edit, $1, $4, $2, $5, given ->> 'code',
			CASE WHEN mark LIKE 'new:%' THEN 'new' ELSE 'update' END, 'delta', 'workspace ' || $1,
			content::text, content::text, 'refused', problem, clock_timestamp());
		IF r.seq IS NOT NULL AND NOT double THEN
			PERFORM exact._dimension_again($4, $2, ARRAY[$5]);
		END IF;
		RETURN 'refused';
	END IF;
	-- EXACT_EDIT_SQL_MOVED, EXACT_EDIT_SQL_MARKED: the version comes once more
	IF $6 IN (-1, -2) THEN
		INSERT INTO exact.dimension_change (edit, workspace, division, entity, key, code, kind,
			side, who, field, state, reason, ended_at)
		VALUES (edit, $1, $4, $2, $5, given ->> 'code', 'update', 'delta', 'workspace ' || $1,
			CASE $6 WHEN -1 THEN '_seq' ELSE '_deleted' END, 'refused', CASE $6
				WHEN -1 THEN '_seq of a row belongs to the hub: this value would have blocked '
					'every later version'
				ELSE '_deleted and _op of a row belong to the hub: delete the row itself, then '
					'the hub proposes its end date or block'
			END, clock_timestamp());
		PERFORM exact._dimension_again($4, $2, ARRAY[$5]);
	END IF;
	fresh := exact._dimension_newest($4, $2, $5);
	base := coalesce(exact._dimension_version($4, $2, $5, $6), fresh);
	FOR changed IN
		SELECT f.name, f.target_type, base ->> lower(f.name) AS base,
			fresh ->> lower(f.name) AS now, given ->> lower(f.name) AS wanted
		FROM exact._dimension_field AS f
		WHERE f.entity = $2 AND f.hashed AND given ? lower(f.name)
			AND NOT exact._dimension_same(f.target_type, base ->> lower(f.name),
				given ->> lower(f.name))
		ORDER BY f.ordinal
	LOOP
		state := exact._propose(edit, $4, $2, $5, fresh ->> 'code', 'update', 'delta',
			'workspace ' || $1, changed.name, changed.base, changed.now, changed.wanted, many);
		last := CASE WHEN state IN ('shown', 'proposed', 'conflict', 'approved')
			THEN state ELSE last END;
	END LOOP;
	-- nothing of it waits, or a newer version was held back by it
	IF last IS NULL OR r.seq > $6 THEN
		PERFORM exact._dimension_again($4, $2, ARRAY[$5]);
	END IF;
	RETURN last;
END
$$;
COMMENT ON FUNCTION exact._take_delta_row(text, text, bigint, int, text, bigint, text, jsonb,
		boolean, boolean)
	IS 'Judges one edited row of Delta, once for each content';
REVOKE ALL ON FUNCTION exact._take_delta_row(text, text, bigint, int, text, bigint, text, jsonb,
	boolean, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._take_delta_row(text, text, bigint, int, text, bigint, text,
	jsonb, boolean, boolean) TO exact_worker;

CREATE FUNCTION exact._take_delta_edits(workspace text, entity text, reading bigint,
	rows_in_table bigint, edited bigint, divisions int[], keys text[], seqs bigint[],
	hashes_now text[], contents text[], doubles boolean[])
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
	-- All rows at once are rather a column mask, or a table that was written anew, than edits.
	many CONSTANT boolean := (edited > 20 AND edited > 0.05 * rows_in_table)
		OR (edited > 2 AND edited >= rows_in_table);
	row record;
	state text;
	taken bigint := 0;
	waiting bigint := 0;
BEGIN
	FOR row IN
		SELECT u.*
		FROM unnest($6, $7, $8, $9, $10, coalesce($11, array_fill(false, ARRAY[cardinality($7)])))
			AS u (division, key, seq, hash, content, double)
	LOOP
		BEGIN
			state := exact._take_delta_row($1, $2, $3, row.division, row.key, row.seq,
				coalesce(row.hash, ''), coalesce(row.content, '{}')::jsonb,
				coalesce(row.double, false), many);
		EXCEPTION WHEN lock_not_available THEN
			-- a session decides about the record just now: another reading meets it again
			UPDATE exact.dimension_known AS k SET reading = $3
			WHERE k.entity = $2 AND k.division = row.division AND k.key = row.key;
			state := 'known';
		END;
		taken := taken + CASE WHEN state IS DISTINCT FROM 'known' THEN 1 ELSE 0 END;
		waiting := waiting + CASE WHEN state IN ('proposed', 'conflict') THEN 1 ELSE 0 END;
	END LOOP;
	IF taken > 0 THEN
		PERFORM exact._audit('loader', 'write-back', NULL, $2, jsonb_build_object(
			'event', 'read from Delta', 'workspace', $1, 'rows', rows_in_table, 'edited', edited,
			'taken', taken, 'waiting', waiting, 'many', many));
	END IF;
	RETURN taken;
END
$$;
COMMENT ON FUNCTION exact._take_delta_edits(text, text, bigint, bigint, bigint, int[], text[],
		bigint[], text[], text[], boolean[])
	IS 'Judges the edited rows of a table that the loader has read; returns how many were new. '
		'More than 20 and 5 % of the table at once, or all rows, wait for an approval';
REVOKE ALL ON FUNCTION exact._take_delta_edits(text, text, bigint, bigint, bigint, int[], text[],
	bigint[], text[], text[], boolean[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._take_delta_edits(text, text, bigint, bigint, bigint, int[], text[],
	bigint[], text[], text[], boolean[]) TO exact_worker;

-- An edit that somebody took back in Delta before it was written: its content is as delivered, and
-- a reading of all that is edited has not met it.
CREATE FUNCTION exact._take_delta_back(workspace text, entity text, reading bigint, most int)
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET lock_timeout = '1ms'
AS $$
DECLARE
	row record;
	n bigint := 0;
BEGIN
	FOR row IN
		SELECT k.ctid, k.division, k.key, k.code, k.hash
		FROM exact.dimension_known AS k
		JOIN exact.division AS d ON d.division = k.division
		WHERE k.entity = $2 AND k.reading <> $3 AND d.workspace = $1
		LIMIT $4
		FOR UPDATE OF k SKIP LOCKED
	LOOP
		BEGIN
			DELETE FROM exact.dimension_known AS k WHERE k.ctid = row.ctid;
			PERFORM exact._dimension_again(row.division, $2, ARRAY[row.key])
			WHERE row.hash = 'held';
			IF row.code IS NULL THEN
				UPDATE exact.dimension_change AS c
				SET state = 'rejected', reason = 'taken back in Delta', ended_at = clock_timestamp()
				WHERE c.division = row.division AND c.entity = $2 AND c.key = row.key
					AND c.kind = 'update' AND c.side = 'delta' AND c.write IS NULL
					AND c.state IN ('shown', 'proposed', 'conflict', 'approved');
			ELSE
				UPDATE exact.dimension_change AS c
				SET state = 'rejected', reason = 'taken back in Delta', ended_at = clock_timestamp()
				WHERE c.division = row.division AND c.entity = $2
					AND exact._folded(c.code) = row.code
					AND c.kind = 'new' AND c.key IS NULL AND c.side = 'delta' AND c.write IS NULL
					AND c.state IN ('shown', 'proposed', 'conflict', 'approved')
					AND NOT EXISTS (SELECT FROM exact.dimension_known AS k
						WHERE k.entity = $2 AND k.division = row.division AND k.code = row.code);
			END IF;
			n := n + 1;
		EXCEPTION WHEN lock_not_available THEN
			CONTINUE;	-- a session decides about the record just now
		END;
	END LOOP;
	RETURN n;
END
$$;
COMMENT ON FUNCTION exact._take_delta_back(text, text, bigint, int)
	IS 'Ends the edits of Delta that are none any more: those that a reading has not met, so many '
		'at most; returns how many';
REVOKE ALL ON FUNCTION exact._take_delta_back(text, text, bigint, int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._take_delta_back(text, text, bigint, int) TO exact_worker;

-- A row that somebody deleted in Delta is never a delete in Exact Online by itself.
CREATE FUNCTION exact._take_delta_gone(workspace text, entity text, divisions int[], keys text[])
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
	gone record;
	there jsonb;
	n bigint := 0;
	field text := CASE $2 WHEN 'glaccount' THEN 'IsBlocked' ELSE 'EndDate' END;
	wanted text;
BEGIN
	FOR gone IN
		SELECT u.division, u.key
		FROM unnest($3, $4) AS u (division, key)
		JOIN exact.record AS r ON r.division = u.division AND r.entity = $2 AND r.key = u.key
		WHERE NOT EXISTS (SELECT FROM exact.dimension_change AS c
			WHERE c.division = u.division AND c.entity = $2 AND c.key = u.key AND c.kind = 'gone'
				AND c.state IN ('shown', 'proposed', 'conflict', 'approved'))
	LOOP
		there := exact._dimension_newest(gone.division, $2, gone.key);
		wanted := CASE $2 WHEN 'glaccount' THEN 'true'
			ELSE exact._dimension_end(gone.division, there ->> 'enddate') END;
		IF (there ->> 'deleted')::boolean OR there IS NULL
				OR coalesce(exact._propose(nextval('exact.dimension_edit_id'), gone.division, $2,
					gone.key, there ->> 'code', 'gone', 'delta', 'workspace ' || $1, field,
					there ->> lower(field), there ->> lower(field), wanted,
					cardinality($4) > 20), 'done')
					NOT IN ('shown', 'proposed', 'conflict') THEN
			PERFORM exact._dimension_again(gone.division, $2, ARRAY[gone.key]);
		END IF;
		n := n + 1;
	END LOOP;
	RETURN n;
END
$$;
COMMENT ON FUNCTION exact._take_delta_gone(text, text, int[], text[])
	IS 'Proposes to end the records whose rows were deleted in Delta; returns how many are new';
REVOKE ALL ON FUNCTION exact._take_delta_gone(text, text, int[], text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._take_delta_gone(text, text, int[], text[]) TO exact_worker;

-- Held back by an edit that is not read yet: the loader reads the table again. Should the edit be
-- taken back until then, the version comes once more.
CREATE FUNCTION exact._dimension_held(entity text, divisions int[], keys text[]) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	INSERT INTO exact.dimension_known AS k (division, entity, key, hash)
	SELECT DISTINCT u.division, $1, u.key, 'held'
	FROM unnest($2, $3) AS u (division, key)
	ON CONFLICT ON CONSTRAINT dimension_known_pkey
		DO UPDATE SET hash = 'held', seen_at = clock_timestamp(), reading = 0
$$;
COMMENT ON FUNCTION exact._dimension_held(text, int[], text[])
	IS 'Rows that a delivery left alone because of an edit: what was known of them is old';
REVOKE ALL ON FUNCTION exact._dimension_held(text, int[], text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._dimension_held(text, int[], text[]) TO exact_worker;

CREATE FUNCTION exact._dimension_delivered(entity text, divisions int[], keys text[],
	knowns text[])
RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	DELETE FROM exact.dimension_known AS k
	USING unnest($2, $3, $4) AS u (division, key, hash)
	WHERE k.entity = $1 AND k.division = u.division AND k.key = u.key AND k.hash = u.hash
$$;
COMMENT ON FUNCTION exact._dimension_delivered(text, int[], text[], text[])
	IS 'Forgets edits of Delta that a delivery has written over';
REVOKE ALL ON FUNCTION exact._dimension_delivered(text, int[], text[], text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._dimension_delivered(text, int[], text[], text[]) TO exact_worker;

-- New rows of Delta that Exact Online has made: they get the key before the record is delivered.
CREATE FUNCTION exact._dimension_adoptions(workspace text, entity text, OUT change bigint,
	OUT division int, OUT key text, OUT code text)
RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT c.id, c.division, c.key, c.code
	FROM exact.dimension_change AS c
	WHERE c.workspace = $1 AND c.entity = $2 AND c.kind = 'new' AND c.side = 'delta'
		AND c.key IS NOT NULL AND c.state IN ('approved', 'done') AND c.exact IS NULL
	ORDER BY c.id
	LIMIT 1000
$$;
COMMENT ON FUNCTION exact._dimension_adoptions(text, text)
	IS 'New rows of Delta whose records have a key now';
REVOKE ALL ON FUNCTION exact._dimension_adoptions(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._dimension_adoptions(text, text) TO exact_worker;

CREATE FUNCTION exact._dimension_adopted(changes bigint[]) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	UPDATE exact.dimension_change AS c SET exact = c.key WHERE c.id = ANY ($1);
	DELETE FROM exact.dimension_known AS k
	USING exact.dimension_change AS c
	WHERE c.id = ANY ($1) AND k.entity = c.entity AND k.division = c.division
		AND k.code = exact._folded(c.code);
$$;
COMMENT ON FUNCTION exact._dimension_adopted(bigint[])
	IS 'Their rows in Delta have the key: exact holds it';
REVOKE ALL ON FUNCTION exact._dimension_adopted(bigint[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._dimension_adopted(bigint[]) TO exact_worker;
