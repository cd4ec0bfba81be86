-- Questions that a worker answers at once: through the same tokens, budgets and division guard as
-- the feeds. The worker commits an event of who asked before it answers.

CREATE FUNCTION exact._require_app(app text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM exact.app AS a WHERE a.name = $1) THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('app %s does not exist', quote_nullable($1)),
			HINT = coalesce('Apps are '
				|| (SELECT string_agg(quote_literal(a.name), ', ' ORDER BY a.name)
					FROM exact.app AS a)
				|| '.',
				'First INSERT INTO exact.app.');
	END IF;
END
$$;
COMMENT ON FUNCTION exact._require_app(text) IS 'Raises when an app is not in exact.app';
REVOKE ALL ON FUNCTION exact._require_app(text) FROM PUBLIC;

CREATE FUNCTION exact.me(app text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM exact._require_app(app);
	RETURN exact._ask('fetcher', 'me', app)::jsonb;
END
$$;
COMMENT ON FUNCTION exact.me(text) IS 'Shows the user that an app acts for: one call of current/Me';
REVOKE ALL ON FUNCTION exact.me(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.me(text) TO exact_operator;

CREATE FUNCTION exact._caller() RETURNS name
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(nullif(current_setting('role'), 'none')::name, session_user)
$$;
COMMENT ON FUNCTION exact._caller()
	IS 'Role whose rights count in a function that runs with its owner''s: that of SET ROLE, else '
		'the one that logged in';
REVOKE ALL ON FUNCTION exact._caller() FROM PUBLIC;

-- What is enabled anyway may be looked at; the rest of a division is an admin's to see.
CREATE FUNCTION exact._require_inquiry(division int, resource text, query text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	-- a list that is read by row version or in bulk has the records of the plain one
	path text := regexp_replace(lower($2), E'^(sync|bulk)/|\\(.*$', '', 'g');
	finding text;
BEGIN
	PERFORM exact._require_division($1);
	IF NOT EXISTS (SELECT FROM exact.division AS d WHERE d.division = $1 AND d.enabled) THEN
		RAISE EXCEPTION USING ERRCODE = 'EX018',
			MESSAGE = format('division %s is not enabled', $1),
			HINT = format('UPDATE exact.division SET enabled = true WHERE division = %s.', $1);
	ELSIF pg_has_role(exact._caller(), 'exact_admin', 'USAGE') THEN
		RETURN;
	ELSIF NOT EXISTS (SELECT FROM exact.feed AS f
			JOIN exact.entity_effective AS e ON e.entity = f.entity
			WHERE f.division = $1 AND f.enabled
				AND path IN (regexp_replace(lower(e.resource), '^(sync|bulk)/', ''),
					lower(e.plain_resource))) THEN
		finding := format('%s does not belong to an entity that is enabled in division %s',
			quote_literal($2), $1);
	ELSIF exact._url_decode(coalesce($3, '')) ~* E'\\$expand' THEN
		finding := '$expand reads records of other resources';
	END IF;
	IF finding IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege', MESSAGE = finding,
			DETAIL = 'Members of exact_operator read the enabled entities, exact_admin the rest.',
			HINT = 'SELECT entity FROM exact.feed WHERE enabled shows them; '
				'SELECT exact.enable_entities(division, entity) as exact_admin.';
	END IF;
END
$$;
COMMENT ON FUNCTION exact._require_inquiry(int, text, text)
	IS 'Raises when the caller may not ask for a resource: EX018 a division that is not enabled, '
		'42501 what is of no enabled entity, but for exact_admin';
REVOKE ALL ON FUNCTION exact._require_inquiry(int, text, text) FROM PUBLIC;

CREATE FUNCTION exact.fetch(division int, resource text, query text = '') RETURNS SETOF jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM exact._require_inquiry(division, resource, query);
	RETURN QUERY
		SELECT e
		FROM jsonb_array_elements(
			exact._ask('fetcher', 'fetch', division::text, resource, query)::jsonb) AS e;
END
$$;
COMMENT ON FUNCTION exact.fetch(int, text, text)
	IS 'Reads records of a division as they are now, without staging them: '
		'a path below the division and OData options, such as fetch(123456, ''crm/Accounts'', '
		'''$select=Code,Name&$top=10''). Follows all pages; spends the division''s calls. '
		'Of enabled divisions and entities; exact_admin also of other resources';
REVOKE ALL ON FUNCTION exact.fetch(int, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.fetch(int, text, text) TO exact_operator;

CREATE FUNCTION exact.discover_divisions(app text) RETURNS SETOF exact.division
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	answer jsonb;
BEGIN
	PERFORM exact._require_app(app);
	answer := exact._ask('fetcher', 'discover', app)::jsonb;
	INSERT INTO exact.division AS d (division, app, description)
	SELECT DISTINCT ON (found.division) found.division, discover_divisions.app,
		nullif(found.description, '')
	FROM jsonb_to_recordset(answer) AS found (division int, description text)
	ON CONFLICT (division) DO UPDATE SET description = excluded.description
	WHERE d.app = excluded.app AND d.description IS DISTINCT FROM excluded.description;
	RETURN QUERY
		SELECT d.* FROM exact.division AS d
		WHERE d.division IN (SELECT (e ->> 'division')::int FROM jsonb_array_elements(answer) AS e)
		ORDER BY d.division;
END
$$;
COMMENT ON FUNCTION exact.discover_divisions(text)
	IS 'Asks Exact Online which divisions an app may open, and writes them into exact.division: '
		'new divisions are disabled, names are updated. Returns the divisions';
REVOKE ALL ON FUNCTION exact.discover_divisions(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.discover_divisions(text) TO exact_admin;

CREATE FUNCTION exact.ping(
		OUT side text, OUT name text, OUT ok boolean, OUT latency interval, OUT finding text,
		OUT next_step text)
RETURNS SETOF record
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	worker text;
	message text;
	hint text;
BEGIN
	FOREACH worker IN ARRAY ARRAY['fetcher', 'loader'] LOOP
		BEGIN
			RETURN QUERY
				SELECT p.side, p.name, p.ok, make_interval(secs => p.latency_ms / 1000), p.finding,
					p.next_step
				FROM jsonb_to_recordset(exact._ask(worker, 'ping')::jsonb)
					AS p (side text, name text, ok boolean, latency_ms double precision,
						finding text, next_step text);
		EXCEPTION WHEN sqlstate 'EX002' THEN
			GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
			RETURN QUERY SELECT 'hub', worker, false, NULL::interval, message, hint;
		END;
	END LOOP;
END
$$;
COMMENT ON FUNCTION exact.ping()
	IS 'Makes one small call to each app, division and workspace, and shows whether it succeeds. '
		'A call that succeeds ends back-offs';
REVOKE ALL ON FUNCTION exact.ping() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.ping() TO exact_operator;
