-- Where edits of dimensions come from, and how two edits of one field are settled.
--
-- The tables show what Exact Online has; an edit never changes them. It becomes rows of
-- exact.dimension_change, whether it was made here by SQL or found in Delta.

-- ---- what Exact Online has ----

-- In the transaction that stages. A row that does not fit its columns leaves the table as it is and
-- stops nothing: the version is staged and delivered all the same. So is one whose row, or an edit
-- of it, is held by a session: its table takes it later.
CREATE FUNCTION exact._dimension_learn(division int, entity text, slot int, batch bigint,
	only_key text = NULL)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET lock_timeout = '1ms'
AS $$
DECLARE
	tab text := exact._dimension_table($2);
	columns text;
	v record;
	content jsonb;
BEGIN
	IF tab IS NULL THEN
		RETURN;
	END IF;
	SELECT string_agg(format('%1$I = excluded.%1$I', a.attname), ', ' ORDER BY a.attnum)
	INTO columns
	FROM pg_attribute AS a
	WHERE a.attrelid = format('exact.%I', tab)::regclass
		AND a.attnum > 0 AND NOT a.attisdropped AND a.attname NOT IN ('division', 'id');
	FOR v IN
		SELECT s.key, s.op, s.seq, s.payload
		FROM exact.stage AS s
		WHERE s.slot = $3 AND s.batch = $4 AND ($5 IS NULL OR s.key = $5)
		ORDER BY s.seq
	LOOP
		BEGIN
			IF v.op = 'D' THEN
				EXECUTE format('UPDATE exact.%I SET deleted = true, seq = $3 '
					'WHERE division = $1 AND id = $2::uuid', tab)
				USING $1, v.key, v.seq;
				CONTINUE;
			END IF;
			content := exact._dimension_content($2, v.payload) || jsonb_build_object(
				'division', $1, 'id', v.key, 'deleted', false, 'code_taken', false, 'seq', v.seq);
			-- whoever had the code before has lost it, or is gone: that is read later
			EXECUTE format('UPDATE exact.%I SET code_taken = true WHERE division = $1 '
				'AND code = $2 AND id <> $3::uuid AND NOT deleted AND NOT code_taken', tab)
			USING $1, content ->> 'code', v.key;
			EXECUTE format('INSERT INTO exact.%1$I SELECT (jsonb_populate_record(NULL::exact.%1$I, '
				'$1)).* ON CONFLICT ON CONSTRAINT %2$I DO UPDATE SET %3$s', tab, tab || '_pkey',
				columns)
			USING content;
			PERFORM exact._dimension_arrived($1, $2, v.key);
		EXCEPTION
			WHEN data_exception OR integrity_constraint_violation OR program_limit_exceeded THEN
				PERFORM exact._audit('fetcher', 'write-back', $1, $2, jsonb_build_object(
					'event', 'record not shown', 'key', v.key, 'reason', sqlerrm));
				PERFORM exact._dimension_arrived($1, $2, v.key);
			WHEN lock_not_available THEN
				INSERT INTO exact.dimension_again (division, entity, key, stage)
				VALUES ($1, $2, v.key, false)
				ON CONFLICT ON CONSTRAINT dimension_again_pkey DO NOTHING;
				PERFORM exact._wake('fetcher') WHERE $5 IS NULL;
		END;
	END LOOP;
END
$$;
COMMENT ON FUNCTION exact._dimension_learn(int, text, int, bigint, text)
	IS 'Takes the versions of a batch into the table of their dimension; only_key: of one record';
REVOKE ALL ON FUNCTION exact._dimension_learn(int, text, int, bigint, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._dimension_learn(int, text, int, bigint, text) TO exact_worker;

CREATE FUNCTION exact._dimension_learn_late(most int) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
	late record;
BEGIN
	FOR late IN
		DELETE FROM exact.dimension_again AS a
		WHERE a.ctid = ANY (ARRAY(SELECT o.ctid FROM exact.dimension_again AS o
				WHERE NOT o.stage
				ORDER BY o.since
				LIMIT $1
				FOR UPDATE SKIP LOCKED))
		RETURNING a.division, a.entity, a.key
	LOOP
		PERFORM exact._dimension_learn(r.division, r.entity, r.slot, r.batch, r.key),
			exact._judge_again(r.division, r.entity, r.slot, r.batch)
		FROM exact.record AS r
		WHERE r.division = late.division AND r.entity = late.entity AND r.key = late.key;
	END LOOP;
	RETURN EXISTS (SELECT FROM exact.dimension_again AS a WHERE NOT a.stage);
END
$$;
COMMENT ON FUNCTION exact._dimension_learn_late(int)
	IS 'Takes the newest versions of records whose rows a session held into their tables, so many '
		'at most; true: some are left';
REVOKE ALL ON FUNCTION exact._dimension_learn_late(int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._dimension_learn_late(int) TO exact_worker;

-- Whoever decides about the changes of a record has them to himself: an edit that is found in
-- Delta, a word of a person or another setting comes before, and is seen, or afterwards, and sees
-- the call.
CREATE FUNCTION exact._lock_changes(of_division int, entity text, key text, code text = NULL)
RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF $3 IS NOT NULL THEN
		PERFORM FROM exact.dimension_change AS c
		WHERE c.division = $1 AND c.entity = $2 AND c.key = $3
			AND c.state IN ('shown', 'proposed', 'conflict', 'approved')
		ORDER BY c.id
		FOR UPDATE;
	ELSE
		PERFORM FROM exact.dimension_change AS c
		WHERE c.division = $1 AND c.entity = $2 AND exact._folded(c.code) = exact._folded($4)
			AND c.kind = 'new' AND c.key IS NULL
			AND c.state IN ('shown', 'proposed', 'conflict', 'approved')
		ORDER BY c.id
		FOR UPDATE;
	END IF;
	RETURN FOUND;
END
$$;
COMMENT ON FUNCTION exact._lock_changes(int, text, text, text)
	IS 'Waits for those who decide about changes of a record, which are then the caller''s until '
		'the transaction ends; key null: of a new record by its code; false: there is none';
REVOKE ALL ON FUNCTION exact._lock_changes(int, text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._lock_changes(int, text, text, text) TO exact_worker;

-- A change that Exact Online has by itself needs no call. One whose field has changed there since
-- it was judged is judged once more: whoever approves it would write over what nobody has shown
-- him.
CREATE FUNCTION exact._dimension_arrived(division int, entity text, key text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	there jsonb;
	other record;
BEGIN
	IF NOT exact._lock_changes($1, $2, $3) THEN
		RETURN;
	END IF;
	there := exact._dimension_newest($1, $2, $3);
	IF there IS NULL THEN
		RETURN;
	END IF;
	UPDATE exact.dimension_change AS c
	SET state = 'done', reason = 'Exact Online has it already', ended_at = clock_timestamp(),
		exact = c.wanted
	FROM exact._dimension_field AS f
	WHERE c.division = $1 AND c.entity = $2 AND c.key = $3
		AND c.state IN ('shown', 'proposed', 'conflict', 'approved')
		AND c.write IS NULL
		AND f.entity = c.entity AND lower(f.name) = lower(c.field)
		AND exact._dimension_same(f.target_type,
			there ->> lower(c.field), c.wanted);
	FOR other IN
		SELECT d.id, there ->> lower(d.field) AS now_there
		FROM exact.dimension_change AS d
		JOIN exact._dimension_field AS f ON f.entity = d.entity AND lower(f.name) = lower(d.field)
		WHERE d.division = $1 AND d.entity = $2 AND d.key = $3
			AND d.state IN ('shown', 'proposed', 'conflict') AND d.write IS NULL
			AND NOT exact._dimension_same(f.target_type, there ->> lower(d.field), d.exact)
		ORDER BY d.id
	LOOP
		PERFORM exact._dimension_overtaken(other.id, other.now_there);
	END LOOP;
END
$$;
COMMENT ON FUNCTION exact._dimension_arrived(int, text, text)
	IS 'Ends changes whose value a new version of Exact Online has brought, and judges those anew '
		'whose field it has changed';
REVOKE ALL ON FUNCTION exact._dimension_arrived(int, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._dimension_arrived(int, text, text) TO exact_worker;
GRANT EXECUTE ON FUNCTION exact._dimension_content(text, text), exact._dimension_table(text),
	exact._dimension_row(int, text, text), exact._dimension_same(text, text, text),
	exact._dimension_problem(text, text, text, text), exact._dimension_value(text, text, text),
	exact._dimension_length(text),
	exact._dimension_body(text, text[], text[]), exact._dimension_resource(text) TO exact_worker;

-- ---- one edit of one field ----

CREATE FUNCTION exact._write_back(division int, OUT workspace text, OUT mode text, OUT rule text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT w.name, coalesce(w.write_back, 'off'), coalesce(w.on_conflict, 'exact wins')
	FROM (VALUES ($1)) AS d (division)
	LEFT JOIN exact.division AS x ON x.division = d.division
	LEFT JOIN exact.workspace AS w ON w.name = x.workspace
$$;
COMMENT ON FUNCTION exact._write_back(int)
	IS 'Workspace of a division, what it does with edits of dimensions, and who wins';
REVOKE ALL ON FUNCTION exact._write_back(int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._write_back(int) TO exact_worker;

CREATE FUNCTION exact._end_change(change bigint, state text, reason text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	c record;
BEGIN
	UPDATE exact.dimension_change AS d
	SET state = $2, reason = $3, ended_at = clock_timestamp()
	WHERE d.id = $1
	RETURNING d.* INTO c;
	-- what Delta has otherwise than Exact Online goes back there
	IF c.key IS NOT NULL AND c.side = 'delta' THEN
		PERFORM exact._dimension_again(c.division, c.entity, ARRAY[c.key]);
	END IF;
END
$$;
COMMENT ON FUNCTION exact._end_change(bigint, text, text)
	IS 'Ends a change; an edited row of Delta gets what Exact Online has';
REVOKE ALL ON FUNCTION exact._end_change(bigint, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._end_change(bigint, text, text) TO exact_worker;

CREATE FUNCTION exact._dimension_overtaken(change bigint, now_there text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	c record;
	rule text;
	why text;
BEGIN
	SELECT * INTO c FROM exact.dimension_change AS d WHERE d.id = $1;
	rule := (SELECT w.rule FROM exact._write_back(c.division) AS w);
	why := format('Exact Online has changed %s to %s meanwhile', c.field,
		coalesce(quote_literal(now_there), 'nothing'));
	UPDATE exact.dimension_change AS d
	SET exact = now_there, decision = rule
	WHERE d.id = $1;
	IF rule = 'delta wins' AND c.side = 'delta' THEN
		RETURN;
	ELSIF rule = 'ask' THEN
		UPDATE exact.dimension_change AS d
		SET state = 'conflict', write = NULL, decided_by = NULL, reason = why
		WHERE d.id = $1;
	ELSE
		UPDATE exact.dimension_change AS d SET write = NULL WHERE d.id = $1;
		PERFORM exact._end_change($1, 'lost', why);
	END IF;
END
$$;
COMMENT ON FUNCTION exact._dimension_overtaken(bigint, text)
	IS 'Judges a change anew whose field Exact Online has changed since: by the rule';
REVOKE ALL ON FUNCTION exact._dimension_overtaken(bigint, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._dimension_overtaken(bigint, text) TO exact_worker;

-- base: the value that the editor saw; now: Exact Online's. Returns the state that it has got.
CREATE FUNCTION exact._propose(edit bigint, division int, entity text, key text, code text,
	kind text, side text, who text, field text, base text, now text, wanted text, many boolean)
RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	place record := exact._write_back($2);
	typ text := (SELECT f.target_type FROM exact._dimension_field AS f
		WHERE f.entity = $3 AND lower(f.name) = lower($9));
	problem text := exact._dimension_problem($3, $9, $6, $12);
	other record;
	verdict text;
	why text;
	decided text;
	new_id bigint;
BEGIN
	IF problem IS NULL AND exact._dimension_same(typ, now, wanted) THEN
		RETURN NULL;	-- both sides had the same idea
	END IF;
	-- the row has the later edit of a side, and nothing goes back there; the other side's stands
	UPDATE exact.dimension_change AS c
	SET state = 'rejected', reason = 'edited again', ended_at = clock_timestamp()
	WHERE c.division = $2 AND c.entity = $3 AND c.key = $4 AND lower(c.field) = lower($9)
		AND c.state IN ('shown', 'proposed', 'conflict', 'approved') AND c.side = $7
		AND c.write IS NULL AND problem IS NULL
		AND NOT exact._dimension_same(typ, c.wanted, $12);
	SELECT c.*
	INTO other
	FROM exact.dimension_change AS c
	WHERE c.division = $2 AND c.entity = $3 AND c.key = $4 AND lower(c.field) = lower($9)
		AND c.state IN ('shown', 'proposed', 'conflict', 'approved')
	ORDER BY exact._dimension_same(typ, c.wanted, $12) DESC, c.side <> $7 DESC, c.id DESC
	LIMIT 1
	FOR UPDATE;
	IF other.id IS NOT NULL AND exact._dimension_same(typ, other.wanted, wanted) THEN
		RETURN other.state;
	END IF;
	IF problem IS NOT NULL THEN
		verdict := 'refused';
		why := problem;
	ELSIF NOT exact._dimension_same(typ, base, now) OR other.id IS NOT NULL THEN
		decided := place.rule;
		why := CASE
			WHEN NOT exact._dimension_same(typ, base, now)
				THEN format('Exact Online has changed %s to %s meanwhile', field,
					coalesce(quote_literal(now), 'nothing'))
			ELSE format('%s is changed by %s, too: change %s', field, other.who, other.id)
		END;
		IF place.rule = 'ask' THEN
			verdict := 'conflict';
			UPDATE exact.dimension_change AS c
			SET state = 'conflict', decision = 'ask', reason = format('%s changes it, too', $8)
			WHERE c.id = other.id AND c.write IS NULL;
		ELSIF (place.rule = 'delta wins') = (side = 'delta') THEN
			verdict := 'wins';
			IF other.id IS NOT NULL AND other.write IS NULL THEN
				PERFORM exact._end_change(other.id, 'lost',
					format('%s changes it, too, and wins', $8));
			END IF;
		ELSE
			verdict := 'lost';
		END IF;
		-- here nobody but Exact Online stands against an edit
		IF verdict = 'wins' AND side = 'hub' AND NOT exact._dimension_same(typ, base, now) THEN
			verdict := 'lost';
		END IF;
	END IF;
	IF verdict IS NULL OR verdict = 'wins' THEN
		verdict := CASE
			WHEN place.mode = 'off' THEN 'shown'
			WHEN place.mode = 'auto' AND NOT many AND kind <> 'gone' THEN 'approved'
			ELSE 'proposed'
		END;
		decided := CASE WHEN many THEN 'many' ELSE coalesce(decided,
			CASE WHEN verdict = 'approved' THEN 'auto' END) END;
	END IF;
	INSERT INTO exact.dimension_change AS c (edit, workspace, division, entity, key, code, kind,
		side, who, field, old, exact, delta, hub, wanted, decision, state, reason, decided_at,
		ended_at)
	VALUES ($1, place.workspace, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11,
		CASE WHEN $7 = 'delta' THEN $12 END, CASE WHEN $7 = 'hub' THEN $12 END, $12, decided,
		verdict, why, CASE WHEN verdict <> 'proposed' THEN clock_timestamp() END,
		CASE WHEN verdict IN ('refused', 'lost') THEN clock_timestamp() END)
	RETURNING c.id INTO new_id;
	PERFORM exact._wake('fetcher') WHERE verdict = 'approved';
	RETURN verdict;
END
$$;
COMMENT ON FUNCTION exact._propose(bigint, int, text, text, text, text, text, text, text, text,
		text, text, boolean)
	IS 'Records an edit of a field and judges it: against what Exact Online has now, and against '
		'another edit of the field; null: there is nothing to do';
REVOKE ALL ON FUNCTION exact._propose(bigint, int, text, text, text, text, text, text, text, text,
	text, text, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._propose(bigint, int, text, text, text, text, text, text, text,
	text, text, text, boolean) TO exact_worker;

-- content: field → text. A record needs its mandatory fields; every one that is given is checked.
CREATE FUNCTION exact._propose_new(edit bigint, division int, entity text, side text, who text,
	content jsonb, many boolean)
RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	place record := exact._write_back($2);
	new_code text := btrim(content ->> 'code');
	given jsonb := (
		SELECT coalesce(jsonb_object_agg(f.name, CASE f.name
			WHEN 'Code' THEN btrim(content ->> 'code')
			ELSE content ->> lower(f.name)
		END), '{}')
		FROM exact._dimension_field AS f
		WHERE f.entity = $3 AND nullif(content ->> lower(f.name), '') IS NOT NULL);
	problem text;
	taken boolean;
	verdict text;
BEGIN
	SELECT exact._dimension_problem($3, f.name, 'new', given ->> f.name)
	INTO problem
	FROM exact._dimension_field AS f
	WHERE f.entity = $3 AND (f.mandatory OR given ? f.name)
		AND exact._dimension_problem($3, f.name, 'new', given ->> f.name) IS NOT NULL
	ORDER BY f.ordinal
	LIMIT 1;
	EXECUTE format('SELECT EXISTS (SELECT FROM exact.%I AS t WHERE t.division = $1 '
		'AND exact._folded(t.code) = exact._folded($2) AND NOT t.deleted AND NOT t.code_taken)',
		exact._dimension_table($3))
	INTO taken USING $2, new_code;
	IF place.workspace IS NULL THEN
		problem := coalesce(problem, format('division %s is not in this hub, or has no workspace',
			coalesce($2::text, 'null')));
	ELSIF taken THEN
		problem := coalesce(problem, format('code %s exists in division %s', new_code, $2));
	ELSIF problem IS NULL THEN
		-- there is one row of Delta with the code: it was edited again
		UPDATE exact.dimension_change AS c
		SET state = 'rejected', reason = 'edited again', ended_at = clock_timestamp()
		WHERE c.division = $2 AND c.entity = $3 AND exact._folded(c.code) = exact._folded(new_code)
			AND c.kind = 'new' AND c.state IN ('shown', 'proposed', 'approved')
			AND c.side = 'delta' AND $4 = 'delta' AND c.write IS NULL;
		IF EXISTS (SELECT FROM exact.dimension_change AS c
				WHERE c.division = $2 AND c.entity = $3
					AND exact._folded(c.code) = exact._folded(new_code)
					AND c.kind = 'new' AND c.state IN ('shown', 'proposed', 'approved')) THEN
			problem := format('code %s of division %s is proposed already', new_code, $2);
		END IF;
	END IF;
	verdict := CASE
		WHEN problem IS NOT NULL THEN 'refused'
		WHEN place.mode = 'off' THEN 'shown'
		WHEN place.mode = 'auto' AND NOT many THEN 'approved'
		ELSE 'proposed'
	END;
	INSERT INTO exact.dimension_change (edit, workspace, division, entity, code, kind, side, who,
		delta, hub, wanted, decision, state, reason, decided_at, ended_at)
	VALUES ($1, place.workspace, $2, $3, new_code, 'new', $4, $5,
		CASE WHEN $4 = 'delta' THEN given::text END, CASE WHEN $4 = 'hub' THEN given::text END,
		given::text,
		CASE WHEN many THEN 'many' WHEN verdict = 'approved' THEN 'auto' END, verdict, problem,
		CASE WHEN verdict <> 'proposed' THEN clock_timestamp() END,
		CASE WHEN verdict = 'refused' THEN clock_timestamp() END);
	PERFORM exact._wake('fetcher') WHERE verdict = 'approved';
	RETURN verdict;
END
$$;
COMMENT ON FUNCTION exact._propose_new(bigint, int, text, text, text, jsonb, boolean)
	IS 'Records a new record that somebody wants, and judges it';
REVOKE ALL ON FUNCTION exact._propose_new(bigint, int, text, text, text, jsonb, boolean)
	FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._propose_new(bigint, int, text, text, text, jsonb, boolean)
	TO exact_worker;

-- ---- edits made here ----

CREATE FUNCTION exact._propose_here() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	dimension text := CASE tg_table_name WHEN 'cost_center' THEN 'costcenter'
		WHEN 'cost_unit' THEN 'costunit' WHEN 'gl_account' THEN 'glaccount' END;
	before jsonb := CASE WHEN tg_op <> 'INSERT' THEN to_jsonb(old) END;
	after jsonb := CASE WHEN tg_op <> 'DELETE' THEN to_jsonb(new) END;
	this_edit bigint := nextval('exact.dimension_edit_id');
	of_division int := (coalesce(after, before) ->> 'division')::int;
	place record := exact._write_back(of_division);
	changed record;
	problem text;
	state text;
	n int := 0;
BEGIN
	IF exact._restoring() THEN
		RETURN coalesce(new, old);
	END IF;
	-- an UPDATE without a WHERE, and an INSERT, meet no policy of what may be read
	PERFORM exact._require_visible(of_division);
	IF tg_op <> 'INSERT' AND (before ->> 'deleted')::boolean THEN
		problem := 'it is deleted in Exact Online';
	ELSIF tg_op = 'INSERT' AND after ->> 'id' IS NOT NULL THEN
		problem := 'Exact Online gives a new record its id: leave it out';
	ELSIF place.workspace IS NULL THEN
		problem := format('division %s is not in this hub, or has no workspace',
			coalesce(of_division::text, 'null'));
	ELSIF tg_op = 'INSERT' THEN
		SELECT exact._dimension_problem(dimension, f.key, 'new', f.value)
		INTO problem
		FROM jsonb_each_text(after) AS f
		WHERE f.value IS NOT NULL AND f.key NOT IN ('division', 'deleted', 'code_taken', 'seq')
			AND exact._dimension_problem(dimension, f.key, 'new', f.value) IS NOT NULL
		LIMIT 1;
	ELSIF tg_op = 'UPDATE' THEN
		SELECT coalesce(exact._dimension_problem(dimension, f.key, 'update', f.value),
			CASE WHEN f.key IN ('division', 'id', 'deleted', 'code_taken', 'seq')
				THEN format('%s cannot be changed', f.key) END)
		INTO problem
		FROM jsonb_each_text(after) AS f
		WHERE f.value IS DISTINCT FROM before ->> f.key
			AND (f.key IN ('division', 'id', 'deleted', 'code_taken', 'seq')
				OR exact._dimension_problem(dimension, f.key, 'update', f.value) IS NOT NULL)
		LIMIT 1;
	END IF;
	IF problem IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'EX018', MESSAGE = problem,
			HINT = 'docs/dimensions.md says which fields of a dimension can be written.';
	END IF;
	IF tg_op = 'INSERT' THEN
		state := exact._propose_new(this_edit, of_division, dimension, 'hub', exact._caller(),
			after, false);
		n := 1;
		IF state = 'refused' THEN
			RAISE EXCEPTION USING ERRCODE = 'EX018',
				MESSAGE = (SELECT c.reason FROM exact.dimension_change AS c
					WHERE c.edit = this_edit),
				HINT = 'docs/dimensions.md says what a new record needs.';
		END IF;
	ELSIF tg_op = 'DELETE' THEN
		state := exact._propose(this_edit, of_division, dimension, before ->> 'id',
			before ->> 'code', 'end', 'hub', exact._caller(), v.field, v.base, v.base, v.wanted,
			false)
		FROM (
			SELECT 'IsBlocked' AS field, before ->> 'isblocked' AS base, 'true' AS wanted
			WHERE dimension = 'glaccount'
			UNION ALL
			SELECT 'EndDate', before ->> 'enddate',
				exact._dimension_end(of_division, before ->> 'enddate')
			WHERE dimension <> 'glaccount'
		) AS v;
		n := CASE WHEN state IS NULL THEN 0 ELSE 1 END;
	ELSE
		FOR changed IN
			SELECT f.name, before ->> lower(f.name) AS base, after ->> lower(f.name) AS wanted
			FROM exact._dimension_field AS f
			WHERE f.entity = dimension
				AND after ->> lower(f.name) IS DISTINCT FROM before ->> lower(f.name)
			ORDER BY f.ordinal
		LOOP
			state := coalesce(exact._propose(this_edit, of_division, dimension, before ->> 'id',
				before ->> 'code', 'update', 'hub', exact._caller(), changed.name, changed.base,
				changed.base, changed.wanted, false), state);
			n := n + 1;
		END LOOP;
	END IF;
	IF n > 0 AND state IS NOT NULL THEN
		PERFORM exact._audit('sql', 'write-back', of_division, dimension, jsonb_build_object(
			'event', 'proposed', 'edit', this_edit, 'key', before ->> 'id',
			'code', coalesce(after, before) ->> 'code', 'fields', (
				SELECT jsonb_object_agg(coalesce(c.field, 'new'), c.wanted)
				FROM exact.dimension_change AS c
				WHERE c.edit = this_edit)));
		RAISE NOTICE USING
			MESSAGE = format('edit %s of %s %s is %s', this_edit, dimension,
				coalesce(coalesce(after, before) ->> 'code', '(no code)'), CASE state
					WHEN 'shown' THEN format(
						'shown and not written: write_back of workspace %s is off', place.workspace)
					WHEN 'approved' THEN 'on its way to Exact Online'
					WHEN 'proposed' THEN 'proposed: it waits for an approval'
					WHEN 'conflict' THEN 'in conflict with another one: it waits for a decision'
					WHEN 'lost' THEN 'lost: another edit of the same field wins'
					ELSE state
				END),
			DETAIL = 'The table shows it when Exact Online has it.',
			HINT = format('SELECT * FROM exact.dimension_change WHERE edit = %s.', this_edit);
	END IF;
	RETURN CASE WHEN tg_op = 'UPDATE' THEN old END;
END
$$;
COMMENT ON FUNCTION exact._propose_here()
	IS 'Trigger: an edit of a dimension by anybody but a worker is proposed to Exact Online';
REVOKE ALL ON FUNCTION exact._propose_here() FROM PUBLIC;

-- A statement, or a transaction, that edits a whole table is rather a slip than an edit.
CREATE FUNCTION exact._propose_many() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	dimension text := CASE tg_table_name WHEN 'cost_center' THEN 'costcenter'
		WHEN 'cost_unit' THEN 'costunit' WHEN 'gl_account' THEN 'glaccount' END;
	edits bigint;
	rows_in_table bigint;
BEGIN
	IF exact._restoring() THEN
		RETURN NULL;
	END IF;
	SELECT count(DISTINCT c.edit) INTO edits
	FROM exact.dimension_change AS c
	WHERE c.entity = dimension AND c.side = 'hub' AND c.state = 'approved'
		AND c.write IS NULL AND c.decided_by IS NULL AND c.found_at >= now()
		AND c.who = exact._caller();
	IF edits <= 20 THEN
		RETURN NULL;
	END IF;
	EXECUTE format('SELECT count(*) FROM exact.%I AS t WHERE NOT t.deleted', tg_table_name)
	INTO rows_in_table;
	IF edits <= 0.05 * rows_in_table THEN
		RETURN NULL;
	END IF;
	UPDATE exact.dimension_change AS c
	SET state = 'proposed', decision = 'many', decided_at = NULL
	WHERE c.entity = dimension AND c.side = 'hub' AND c.state = 'approved' AND c.write IS NULL
		AND c.decided_by IS NULL AND c.found_at >= now() AND c.who = exact._caller();
	PERFORM exact._audit('sql', 'write-back', NULL, dimension, jsonb_build_object(
		'event', 'many at once', 'edits', edits, 'rows', rows_in_table));
	RAISE NOTICE USING
		MESSAGE = format('%s edits of %s at once wait for an approval', edits, dimension),
		HINT = 'SELECT * FROM exact.dimension_change WHERE decision = ''many''.';
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION exact._propose_many()
	IS 'Trigger: more than 20 edits and 5 % of a table in one transaction wait for an approval';
REVOKE ALL ON FUNCTION exact._propose_many() FROM PUBLIC;

DO $trigger$
DECLARE
	name text;
BEGIN
	FOREACH name IN ARRAY ARRAY['cost_center', 'cost_unit', 'gl_account'] LOOP
		EXECUTE pg_catalog.format(
			'CREATE TRIGGER propose_many AFTER INSERT OR UPDATE OR DELETE ON exact.%I'
				' FOR EACH STATEMENT WHEN (current_user OPERATOR(pg_catalog.<>) ''exact_worker'')'
				' EXECUTE FUNCTION exact._propose_many()', name);
		EXECUTE pg_catalog.format('COMMENT ON TRIGGER propose_many ON exact.%I IS %L', name,
			'Has many edits at once wait for an approval');
		EXECUTE pg_catalog.format(
			'CREATE TRIGGER propose BEFORE INSERT OR UPDATE OR DELETE ON exact.%I'
				' FOR EACH ROW WHEN (current_user OPERATOR(pg_catalog.<>) ''exact_worker'')'
				' EXECUTE FUNCTION exact._propose_here()', name);
		EXECUTE pg_catalog.format('COMMENT ON TRIGGER propose ON exact.%I IS %L', name,
			'Makes an edit a proposal to Exact Online');
	END LOOP;
END
$trigger$;
