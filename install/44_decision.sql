-- What waits for a yes or no of a person, and what the calls would be.

-- ---- decisions ----

CREATE FUNCTION exact._decide_dimension(change_id bigint, decision text) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	c record;
	place record;
BEGIN
	-- two decisions about one record come one after the other
	PERFORM exact._lock_changes(o.division, o.entity, o.key, o.code)
	FROM exact.dimension_change AS o
	WHERE o.id = change_id;
	SELECT * INTO c FROM exact.dimension_change AS d WHERE d.id = change_id FOR UPDATE;
	IF c.id IS NULL THEN
		RETURN false;
	END IF;
	place := exact._write_back(c.division);
	IF c.write IS NOT NULL OR c.state NOT IN ('shown', 'proposed', 'conflict', 'approved') THEN
		RAISE EXCEPTION USING ERRCODE = 'EX018',
			MESSAGE = format('change %s is %s', c.id, CASE WHEN c.state = 'approved'
				THEN 'on its way' ELSE c.state END || coalesce(': ' || c.reason, '')),
			HINT = 'SELECT * FROM exact.dimension_change WHERE state IN (''proposed'', '
				'''conflict'') lists what waits.';
	ELSIF decision = 'approved' AND place.mode = 'off' THEN
		RAISE EXCEPTION USING ERRCODE = 'EX018',
			MESSAGE = format(
				'write_back of workspace %s is off: nothing is written to Exact Online',
				coalesce(place.workspace, '(none)')),
			HINT = format('UPDATE exact.workspace SET write_back = ''approve'' WHERE name = %L.',
				place.workspace);
	END IF;
	IF decision = 'approved' THEN
		UPDATE exact.dimension_change AS d
		SET state = 'rejected', reason = format('change %s is approved instead', c.id),
			ended_at = clock_timestamp()
		WHERE d.division = c.division AND d.entity = c.entity AND d.key = c.key
			AND d.field = c.field AND d.id <> c.id AND d.write IS NULL
			AND d.state IN ('shown', 'proposed', 'conflict', 'approved');
		UPDATE exact.dimension_change AS d
		SET state = 'approved', decision = 'approved', decided_by = session_user,
			decided_at = clock_timestamp()
		WHERE d.id = c.id;
	ELSE
		UPDATE exact.dimension_change AS d
		SET decision = 'rejected', decided_by = session_user, decided_at = clock_timestamp()
		WHERE d.id = c.id;
		PERFORM exact._end_change(c.id, 'rejected', format('rejected by %s', session_user));
	END IF;
	PERFORM exact._request_done(CASE decision WHEN 'approved' THEN 'approve' ELSE 'reject' END,
		c.division, c.entity, format('%s of %s %s %s', coalesce(c.field, 'new record'), c.entity,
			coalesce(c.code, c.key), decision),
		jsonb_build_object('change', c.id));
	PERFORM exact._wake('fetcher');
	RETURN true;
END
$$;
COMMENT ON FUNCTION exact._decide_dimension(bigint, text)
	IS 'Approves or rejects a change of a dimension; false: there is none with this id';
REVOKE ALL ON FUNCTION exact._decide_dimension(bigint, text) FROM PUBLIC;

-- What was found under one rule is not written under a bolder one without a yes.
CREATE FUNCTION exact._write_back_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF exact._restoring() THEN
		RETURN NULL;
	END IF;
	UPDATE exact.dimension_change AS c
	SET state = CASE WHEN new.write_back = 'off' THEN 'shown' ELSE 'proposed' END
	WHERE c.workspace = new.name AND c.write IS NULL
		AND (c.state IN ('shown', 'proposed')
			OR (c.state = 'approved' AND (new.write_back = 'off' OR c.decided_by IS NULL)));
	PERFORM exact._wake('fetcher');
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION exact._write_back_changed()
	IS 'Trigger: another write_back takes back what no call carries yet';
REVOKE ALL ON FUNCTION exact._write_back_changed() FROM PUBLIC;
CREATE TRIGGER write_back_changed AFTER UPDATE OF write_back ON exact.workspace
	FOR EACH ROW WHEN (new.write_back OPERATOR(pg_catalog.<>) old.write_back)
	EXECUTE FUNCTION exact._write_back_changed();
COMMENT ON TRIGGER write_back_changed ON exact.workspace
	IS 'Takes back what no call carries yet';

-- What was decided for one workspace is not decided for another.
CREATE FUNCTION exact._write_back_moved() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF exact._restoring() THEN
		RETURN NULL;
	END IF;
	UPDATE exact.dimension_change AS c
	SET workspace = new.workspace, decided_by = NULL, decided_at = NULL,
		state = CASE
			WHEN c.state = 'conflict' THEN 'conflict'
			WHEN (exact._write_back(new.division)).mode = 'off' THEN 'shown'
			ELSE 'proposed'
		END
	WHERE c.division = new.division AND c.write IS NULL
		AND c.state IN ('shown', 'proposed', 'conflict', 'approved');
	PERFORM exact._wake('fetcher');
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION exact._write_back_moved()
	IS 'Trigger: a division that goes to another workspace asks anew for what no call carries yet';
REVOKE ALL ON FUNCTION exact._write_back_moved() FROM PUBLIC;
CREATE TRIGGER write_back_moved AFTER UPDATE OF workspace ON exact.division
	FOR EACH ROW WHEN (new.workspace IS DISTINCT FROM old.workspace)
	EXECUTE FUNCTION exact._write_back_moved();
COMMENT ON TRIGGER write_back_moved ON exact.division
	IS 'Asks anew for what no call carries yet';

-- ---- what a write carries ----

CREATE FUNCTION exact._write_path(division int, entity text, key text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('/api/v1/%s/%s', $1, exact._dimension_resource($2))
		|| coalesce('(guid''' || $3 || ''')', '')
$$;
COMMENT ON FUNCTION exact._write_path(int, text, text)
	IS 'Path of a write; key null: of a new record';
REVOKE ALL ON FUNCTION exact._write_path(int, text, text) FROM PUBLIC;

CREATE FUNCTION exact._write_body(changes bigint[]) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT exact._dimension_body(min(c.entity), array_agg(coalesce(c.field, n.key)),
		array_agg(CASE WHEN c.field IS NULL THEN n.value ELSE c.wanted END))
	FROM exact.dimension_change AS c
	LEFT JOIN LATERAL jsonb_each_text(CASE WHEN c.field IS NULL THEN c.wanted::jsonb END) AS n
		ON true
	WHERE c.id = ANY ($1)
$$;
COMMENT ON FUNCTION exact._write_body(bigint[]) IS 'JSON of the call that carries these changes';
REVOKE ALL ON FUNCTION exact._write_body(bigint[]) FROM PUBLIC;

CREATE FUNCTION exact.dry_run(workspace text, OUT call text, OUT path text, OUT body text,
	OUT why text)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	g record;
BEGIN
	IF NOT EXISTS (SELECT FROM exact.workspace AS w WHERE w.name = $1) THEN
		RAISE EXCEPTION USING ERRCODE = 'EX018',
			MESSAGE = format('there is no workspace %s', quote_nullable($1)),
			HINT = 'SELECT name FROM exact.workspace.';
	END IF;
	FOR g IN
		SELECT c.division, c.entity, c.key, max(c.code) AS code,
			array_agg(c.id ORDER BY c.id) AS ids,
			string_agg(DISTINCT format('%s by %s', c.state, c.who), ', ') AS said,
			w.state AS write_state
		FROM exact.dimension_change AS c
		LEFT JOIN exact.dimension_write AS w ON w.id = c.write
		WHERE c.workspace = $1 AND c.state IN ('shown', 'proposed', 'conflict', 'approved')
			AND (w.id IS NULL OR w.state IN ('new', 'reading', 'ready'))
			AND (exact._visible_divisions() IS NULL
				OR c.division = ANY (exact._visible_divisions()))
		GROUP BY c.division, c.entity, c.key, w.id, w.state,
			CASE WHEN c.key IS NULL THEN c.id END
		ORDER BY min(c.id)
	LOOP
		call := CASE WHEN g.key IS NULL THEN 'POST' ELSE 'PUT' END;
		path := exact._write_path(g.division, g.entity, g.key);
		body := exact._write_body(g.ids);
		why := format('change %s of %s %s: %s%s', array_to_string(g.ids, ', '), g.entity,
			coalesce(g.code, '(no code)'), g.said, CASE (SELECT w.write_back
					FROM exact.workspace AS w WHERE w.name = $1)
				WHEN 'off' THEN '; not sent: write_back is off'
			END);
		RETURN NEXT;
	END LOOP;
END
$$;
COMMENT ON FUNCTION exact.dry_run(text)
	IS 'Shows the calls that would write dimensions of a workspace to Exact Online if all waiting '
		'changes were approved: method, path, body, and the changes in each call';
REVOKE ALL ON FUNCTION exact.dry_run(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.dry_run(text) TO exact_operator;
