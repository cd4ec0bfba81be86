-- Questions that a worker answers at once: through the same tokens, budgets and division guard as
-- the feeds.

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
COMMENT ON FUNCTION exact.me(text) IS 'Who an app acts for: current/Me of Exact Online, one call';
REVOKE ALL ON FUNCTION exact.me(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.me(text) TO exact_operator;

CREATE FUNCTION exact.fetch(division int, resource text, query text = '') RETURNS SETOF jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM exact._require_division(division);
	RETURN QUERY
		SELECT e
		FROM jsonb_array_elements(
			exact._ask('fetcher', 'fetch', division::text, resource, query)::jsonb) AS e;
END
$$;
COMMENT ON FUNCTION exact.fetch(int, text, text)
	IS 'Reads records of a division as they are now, without staging them: '
		'a path below the division and OData options, such as fetch(123456, ''crm/Accounts'', '
		'''$select=Code,Name&$top=10''). Follows all pages; spends the division''s calls';
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
	IS 'Asks Exact Online which divisions an app may open and puts them into exact.division: '
		'new ones disabled, names brought up to date. Returns them';
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
	IS 'Tries each app, division and workspace for real: one small call each';
REVOKE ALL ON FUNCTION exact.ping() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.ping() TO exact_operator;
