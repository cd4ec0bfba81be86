-- What a configuration row must be.

CREATE FUNCTION exact._restoring() RETURNS boolean
	LANGUAGE c STABLE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'exact__restoring';
COMMENT ON FUNCTION exact._restoring()
	IS 'The session restores a dump: a superuser''s, which has itself made the two settings that '
		'every dump begins with. What is set for a database or a role does not count';
REVOKE ALL ON FUNCTION exact._restoring() FROM PUBLIC;

CREATE FUNCTION exact._url_finding(url text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	part text[] := regexp_match(lower(url),
		E'^(https?)://(\\[[0-9a-f:.]+\\]|[a-z0-9.-]+)(?::([0-9]{1,5}))?(?:[/?#].*)?$');
	loopback boolean := part[2] IN ('localhost', '[::1]') OR part[2] LIKE '127.%';
	port int := coalesce(part[3], CASE part[1] WHEN 'https' THEN '443' ELSE '80' END)::int;
	entry text;
BEGIN
	PERFORM exact._version_library();	-- settings are known once the library is loaded
	IF part IS NULL THEN
		RETURN format('%s is not an address like https://host', quote_literal(url));
	ELSIF loopback THEN
		RETURN CASE
			WHEN NOT coalesce(
					current_setting('exact_databricks.insecure_loopback', true)::boolean, false)
				THEN format('%s is a loopback address', url)
		END;
	ELSIF part[1] = 'http' THEN
		RETURN format('%s is not encrypted: the address must begin with https://', url);
	END IF;
	FOREACH entry IN ARRAY string_to_array(lower(
		coalesce(current_setting('exact_databricks.allowed_hosts', true), '')),
		',') LOOP
		entry := regexp_replace(btrim(entry, E' \t"'), '/private$', '');
		IF entry !~ ':[0-9]+$' THEN
			entry := entry || ':443';
		END IF;
		IF part[2] || ':' || port = entry
				OR (entry LIKE '*.%'
					AND right(part[2] || ':' || port, length(entry) - 1) = substr(entry, 2)) THEN
			RETURN NULL;
		END IF;
	END LOOP;
	RETURN format('%s is not on the list of allowed hosts',
		part[2] || CASE WHEN port = 443 THEN '' ELSE ':' || port END);
END
$$;
COMMENT ON FUNCTION exact._url_finding(text)
	IS 'Why the hub may not connect to an address; null: it may';
REVOKE ALL ON FUNCTION exact._url_finding(text) FROM PUBLIC;

CREATE FUNCTION exact._refuse(message text, hint text, code text = 'EX021', detail text = NULL)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF detail IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = code, MESSAGE = message, HINT = hint;
	END IF;
	RAISE EXCEPTION USING ERRCODE = code, MESSAGE = message, DETAIL = detail, HINT = hint;
END
$$;
COMMENT ON FUNCTION exact._refuse(text, text, text, text) IS 'Raises an error with a hint';
REVOKE ALL ON FUNCTION exact._refuse(text, text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._refuse(text, text, text, text) TO exact_admin;

CREATE FUNCTION exact._refuse_url(what text, url text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	finding text := exact._url_finding(url);
BEGIN
	IF finding IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'EX006', MESSAGE = format('%s: %s', what, finding),
			HINT = CASE WHEN finding LIKE '%loopback%' OR finding LIKE '%not encrypted%'
				THEN 'Use the https:// address of the service. '
					'Local simulators need exact_databricks.insecure_loopback = on.'
				WHEN finding LIKE '%not an address%'
					THEN 'Write it like https://host or https://host:port.'
				ELSE 'Correct the address, or add the host to exact_databricks.allowed_hosts and '
					'run SELECT pg_reload_conf().'
			END;
	END IF;
END
$$;
COMMENT ON FUNCTION exact._refuse_url(text, text)
	IS 'Raises EX006 when the hub may not connect to an address; '
		'reads settings that only a superuser may read';
REVOKE ALL ON FUNCTION exact._refuse_url(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._refuse_url(text, text) TO exact_admin;

CREATE FUNCTION exact._check_name(kind text, name text, old_name text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF name IS NULL OR name !~ '^[a-z0-9_-]{1,63}$' THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('%s name cannot be %s', kind, quote_nullable(name)),
			HINT = 'Use small letters, digits, - and _, at most 63.';
	ELSIF old_name <> name THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('the name of %s %s cannot be changed', kind, quote_literal(old_name)),
			HINT = format(
				'Its secrets belong to the name: INSERT another %s and UPDATE exact.division.',
				kind);
	END IF;
END
$$;
COMMENT ON FUNCTION exact._check_name(text, text, text)
	IS 'Raises when an app or workspace has a bad name or is renamed';
REVOKE ALL ON FUNCTION exact._check_name(text, text, text) FROM PUBLIC;

CREATE FUNCTION exact._check_app() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF exact._restoring() THEN
		RETURN new;
	END IF;
	PERFORM exact._check_name('app', new.name, CASE WHEN tg_op = 'UPDATE' THEN old.name END);
	IF coalesce(new.client_id, '') !~ '^[[:graph:]]+$' THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('app %s has no client id', quote_literal(new.name)),
			HINT = 'Copy it from the registration in Exact Online''s App Center.';
	ELSIF new.region IS NULL OR new.region NOT IN ('nl', 'be', 'de', 'fr', 'es', 'uk', 'us') THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('%s is no region of Exact Online', quote_nullable(new.region)),
			HINT = 'Regions are nl, be, de, fr, es, uk and us.';
	ELSIF new.language !~ '^[A-Za-z]{2}(-[A-Za-z]{2})?$' THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('%s is not a language', quote_literal(new.language)),
			HINT = 'Languages are written like nl-NL.';
	ELSIF new.redirect_uri !~ '^https?://' OR new.callback_url !~ '^https?://' THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('redirect_uri and callback_url of app %s must be addresses',
				quote_literal(new.name)),
			HINT = 'Write the full address, as registered in the App Center, or leave them null.';
	END IF;
	IF new.base_url IS NOT NULL THEN
		PERFORM exact._refuse_url('base_url', new.base_url);
	END IF;
	RETURN new;
END
$$;
COMMENT ON FUNCTION exact._check_app() IS 'Trigger: what a row of exact.app must be';
REVOKE ALL ON FUNCTION exact._check_app() FROM PUBLIC;
CREATE TRIGGER check_row BEFORE INSERT OR UPDATE ON exact.app
	FOR EACH ROW EXECUTE FUNCTION exact._check_app();
COMMENT ON TRIGGER check_row ON exact.app
	IS 'Refuses bad names, regions and addresses, with a hint';

CREATE FUNCTION exact._check_workspace() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	wrong record;
BEGIN
	IF exact._restoring() THEN
		RETURN new;
	END IF;
	PERFORM exact._check_name('workspace', new.name, CASE WHEN tg_op = 'UPDATE' THEN old.name END);
	PERFORM exact._refuse_url('host',
		CASE WHEN new.host ~ '^[a-zA-Z]+://' THEN new.host ELSE 'https://' || new.host END);
	IF new.host ~* E'^(https?://)?accounts(-dod)?\\.' THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('%s is the account console, which runs no SQL', new.host),
			HINT = 'Use the address of the workspace itself.';
	ELSIF coalesce(new.warehouse_id, '') !~ '^[A-Za-z0-9_-]+$' THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('%s is not the id of a SQL warehouse',
				quote_nullable(new.warehouse_id)),
			HINT = 'It is the last part of the warehouse''s HTTP path, such as 475b94ddc7cd5211.';
	ELSIF new.write_back IS NULL OR new.write_back NOT IN ('off', 'approve', 'auto') THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('write_back cannot be %s', quote_nullable(new.write_back)),
			HINT = 'It is off, approve or auto.';
	ELSIF new.on_conflict IS NULL OR new.on_conflict NOT IN ('exact wins', 'delta wins', 'ask') THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('on_conflict cannot be %s', quote_nullable(new.on_conflict)),
			HINT = 'It is exact wins, delta wins or ask.';
	ELSIF new.merge_interval <= interval '0' THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = 'merge_interval must be longer than nothing',
			HINT = 'Leave it null to use exact_databricks.merge_interval.';
	ELSIF new.stop_warehouse IS NULL OR new.stop_warehouse NOT IN ('never', 'own') THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('stop_warehouse cannot be %s', quote_nullable(new.stop_warehouse)),
			HINT = 'It is never or own.';
	ELSIF new.maintenance IS NULL OR new.maintenance NOT IN ('auto', 'on', 'off') THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('maintenance cannot be %s', quote_nullable(new.maintenance)),
			HINT = 'It is auto, on or off.';
	ELSIF new.wake_after NOT BETWEEN interval '1 second' AND interval '7 days' THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('wake_after cannot be %s', new.wake_after),
			HINT = 'It is a second to 7 days; null wakes the warehouse at once.';
	ELSIF new.wake_rows < 1 OR (new.wake_rows IS NOT NULL AND new.wake_after IS NULL) THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = CASE WHEN new.wake_rows < 1 THEN 'wake_rows must be at least 1'
				ELSE 'wake_rows needs wake_after' END,
			HINT = 'wake_after is how long fewer versions wait at most.';
	ELSIF (new.quiet_from IS NULL) <> (new.quiet_until IS NULL)
			OR new.quiet_from = new.quiet_until
			OR time '24:00' IN (new.quiet_from, new.quiet_until) THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('quiet hours cannot be from %s until %s',
				coalesce(new.quiet_from::text, 'null'), coalesce(new.quiet_until::text, 'null')),
			HINT = 'Set both, such as 19:00 and 07:00, or neither; midnight is 00:00.';
	ELSIF new.quiet_zone IS NULL OR (new.quiet_zone <> 'Europe/Amsterdam'
			AND NOT EXISTS (SELECT FROM pg_timezone_names AS z
				WHERE lower(z.name) = lower(new.quiet_zone))) THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('%s is not a time zone', quote_nullable(new.quiet_zone)),
			HINT = 'SELECT name FROM pg_timezone_names; such as Europe/Amsterdam.';
	ELSIF new.dbu_per_hour < 0 OR new.dbu_price < 0
			OR 'NaN' IN (new.dbu_per_hour, new.dbu_price) THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = 'dbu_per_hour and dbu_price cannot be negative',
			HINT = 'dbu_per_hour is null for what the size of the warehouse says.';
	ELSIF new.client_id !~ '^[[:graph:]]+$' THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('client_id of workspace %s is empty', quote_literal(new.name)),
			HINT = 'Leave it null to use a personal access token.';
	END IF;
	SELECT *
	INTO wrong
	FROM (VALUES ('catalog', new.catalog), ('schema', new.schema),
		('volume', coalesce(new.volume, 'none'))) AS v (field, value)
	WHERE value IS NULL OR value !~ '^[^[:cntrl:][:space:]./`$]{1,255}$';
	IF wrong.field IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('%s cannot be %s', wrong.field, quote_nullable(wrong.value)),
			HINT = 'Names in Unity Catalog have no blank, point, slash, $ or backtick.';
	END IF;
	RETURN new;
END
$$;
COMMENT ON FUNCTION exact._check_workspace() IS 'Trigger: what a row of exact.workspace must be';
REVOKE ALL ON FUNCTION exact._check_workspace() FROM PUBLIC;
CREATE TRIGGER check_row BEFORE INSERT OR UPDATE ON exact.workspace
	FOR EACH ROW EXECUTE FUNCTION exact._check_workspace();
COMMENT ON TRIGGER check_row ON exact.workspace
	IS 'Refuses bad names, hosts and warehouses, with a hint';

-- References are checked here and not by foreign keys, which the data of a dump that is loaded in
-- parallel would violate.
CREATE FUNCTION exact._check_division() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF exact._restoring() THEN
		RETURN new;
	END IF;
	PERFORM FROM exact.app WHERE name = new.app FOR KEY SHARE;
	IF NOT found THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('app %s does not exist', quote_nullable(new.app)),
			HINT = coalesce('Apps are '
				|| (SELECT string_agg(quote_literal(name), ', ' ORDER BY name) FROM exact.app)
				|| '.',
				'First INSERT INTO exact.app.');
	END IF;
	PERFORM FROM exact.workspace WHERE name = new.workspace FOR KEY SHARE;
	IF new.workspace IS NOT NULL AND NOT found THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('workspace %s does not exist', quote_literal(new.workspace)),
			HINT = coalesce('Workspaces are '
				|| (SELECT string_agg(quote_literal(name), ', ' ORDER BY name) FROM exact.workspace)
				|| '.',
				'First INSERT INTO exact.workspace.');
	ELSIF tg_op = 'UPDATE' AND old.division <> new.division THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('the number of division %s cannot be changed', old.division),
			HINT = 'Its records belong to the number: INSERT the other division.';
	END IF;
	RETURN new;
END
$$;
COMMENT ON FUNCTION exact._check_division() IS 'Trigger: what a row of exact.division must be';
REVOKE ALL ON FUNCTION exact._check_division() FROM PUBLIC;
CREATE TRIGGER check_row BEFORE INSERT OR UPDATE ON exact.division
	FOR EACH ROW EXECUTE FUNCTION exact._check_division();
COMMENT ON TRIGGER check_row ON exact.division
	IS 'Refuses unknown apps and workspaces, with a hint';

CREATE FUNCTION exact._check_delete() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	users text;
BEGIN
	IF tg_table_name = 'division' THEN
		DELETE FROM exact.feed WHERE division = old.division;
	ELSIF tg_table_name = 'app' THEN
		SELECT string_agg(d.division::text, ', ' ORDER BY d.division)
		INTO users
		FROM exact.division AS d
		WHERE d.app = old.name;
	ELSE
		SELECT string_agg(d.division::text, ', ' ORDER BY d.division)
		INTO users
		FROM exact.division AS d
		WHERE d.workspace = old.name;
	END IF;
	IF users IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('%s %s is used by divisions', tg_table_name, quote_literal(old.name)),
			DETAIL = format('Divisions %s.', users),
			HINT = 'First UPDATE or DELETE these rows of exact.division.';
	END IF;
	RETURN old;
END
$$;
COMMENT ON FUNCTION exact._check_delete()
	IS 'Trigger: apps and workspaces in use stay; the feeds of a division go with it';
REVOKE ALL ON FUNCTION exact._check_delete() FROM PUBLIC;
CREATE TRIGGER check_delete BEFORE DELETE ON exact.app
	FOR EACH ROW EXECUTE FUNCTION exact._check_delete();
COMMENT ON TRIGGER check_delete ON exact.app IS 'An app that divisions use stays';
CREATE TRIGGER check_delete BEFORE DELETE ON exact.workspace
	FOR EACH ROW EXECUTE FUNCTION exact._check_delete();
COMMENT ON TRIGGER check_delete ON exact.workspace IS 'A workspace that divisions use stays';
CREATE TRIGGER check_delete BEFORE DELETE ON exact.division
	FOR EACH ROW EXECUTE FUNCTION exact._check_delete();
COMMENT ON TRIGGER check_delete ON exact.division IS 'The feeds of a division go with it';

-- Asked at registration, and again at each call: a function may be replaced meanwhile.
CREATE FUNCTION exact._rule_function(
		function text, OUT id oid, OUT name text, OUT finding text, OUT hint text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	part text[];
	f record;
BEGIN
	IF function IS NULL OR function !~ '^([[:alpha:]_][[:alnum:]_$]*|"([^"]|"")+")[.]'
			'([[:alpha:]_][[:alnum:]_$]*|"([^"]|"")+")$' THEN
		finding := format('%s is not written as schema and name', quote_nullable(function));
		hint := 'Write the function without its arguments, such as accounting.my_rule.';
		RETURN;
	END IF;
	part := parse_ident(function);
	name := format('%I.%I', part[1], part[2]);
	IF part[1] = 'exact' OR left(part[1], 3) = 'pg_' THEN
		finding := format('function %s is in a schema of the server or the hub', name);
		hint := 'CREATE the function in a schema of your own.';
		RETURN;
	END IF;
	SELECT p.oid, p.prokind, p.proretset, p.prosecdef, l.lanname, pg_get_function_result(p.oid) AS
		result, CASE WHEN t.typtype = 'c' THEN (
				SELECT string_agg(format_type(a.atttypid, NULL), ', ' ORDER BY a.attnum)
				FROM pg_attribute AS a
				WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped)
			ELSE (
				SELECT string_agg(format_type(a.type, NULL), ', ' ORDER BY a.n)
				FROM unnest(p.proallargtypes, p.proargmodes) WITH ORDINALITY AS a (type, mode, n)
				WHERE a.mode IN ('o', 'b', 't'))
		END AS columns
	INTO f
	FROM pg_proc AS p
	JOIN pg_namespace AS s ON s.oid = p.pronamespace
	JOIN pg_language AS l ON l.oid = p.prolang
	JOIN pg_type AS t ON t.oid = p.prorettype
	WHERE p.proname = part[2]
		AND s.nspname = part[1]
		AND oidvectortypes(p.proargtypes) = 'integer, jsonb, jsonb';
	IF NOT found THEN
		finding := format('function %s(integer, jsonb, jsonb) does not exist', name);
		hint := format('CREATE FUNCTION %s(division int, document jsonb, lines jsonb) '
			'RETURNS TABLE (line int, problem text).', name);
	ELSIF f.prokind <> 'f' OR NOT f.proretset OR f.columns IS DISTINCT FROM 'integer, text' THEN
		finding := format('function %s does not return rows of (line int, problem text)', name);
		hint := format('It returns %s: DROP it and CREATE it with '
			'RETURNS TABLE (line int, problem text).', coalesce(f.result, 'nothing'));
	ELSIF f.lanname NOT IN ('sql', 'plpgsql') THEN
		finding := format('function %s is written in %s', name, f.lanname);
		hint := 'Write it in SQL or PL/pgSQL: a rule in another language may not be stoppable.';
	ELSIF f.prosecdef THEN
		finding := format('function %s is SECURITY DEFINER', name);
		hint := format('ALTER FUNCTION %s(integer, jsonb, jsonb) SECURITY INVOKER; '
			'what it reads is granted to exact_rule.', name);
	ELSIF NOT has_schema_privilege('exact_rule', part[1], 'USAGE') THEN
		finding := format('role exact_rule may not use schema %I', part[1]);
		hint := format('GRANT USAGE ON SCHEMA %I TO exact_rule.', part[1]);
	ELSIF NOT has_function_privilege('exact_rule', f.oid, 'EXECUTE') THEN
		finding := format('role exact_rule may not execute function %s', name);
		hint := format('GRANT EXECUTE ON FUNCTION %s(integer, jsonb, jsonb) TO exact_rule.', name);
	ELSE
		id := f.oid;
	END IF;
END
$$;
COMMENT ON FUNCTION exact._rule_function(text)
	IS 'The function of a customer''s rule: its id and its name as it is quoted; else the finding '
		'why it can be none, with a hint';
REVOKE ALL ON FUNCTION exact._rule_function(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._rule_function(text) TO exact_reader, exact_worker;

CREATE FUNCTION exact._check_rule() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	f record;
BEGIN
	IF exact._restoring() THEN
		RETURN new;
	ELSIF new.name IS NULL OR new.name !~ '^[a-z][a-z0-9_]{0,62}$' THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('rule name cannot be %s', quote_nullable(new.name)),
			HINT = 'Use small letters, digits and _, at most 63, and begin with a letter.';
	ELSIF new.name = ANY (exact._shipped_rules()) THEN
		IF new.function IS NOT NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'EX021',
				MESSAGE = format('rule %s is the hub''s own and takes no function', new.name),
				HINT = 'Give your rule another name.';
		END IF;
		RETURN new;
	ELSIF new.function IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('there is no rule %s', new.name),
			DETAIL = format('The hub''s own rules are %s.',
				array_to_string(exact._shipped_rules(), ', ')),
			HINT = 'A rule of your own has a function: INSERT INTO exact.rule (name, function).';
	ELSIF tg_op = 'UPDATE' THEN
		IF NOT new.enabled AND new.function IS NOT DISTINCT FROM old.function THEN
			RETURN new;	-- it can be switched off, whatever has become of its function
		END IF;
	END IF;
	f := exact._rule_function(new.function);
	IF f.finding IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('rule %s cannot be registered', new.name),
			DETAIL = upper(left(f.finding, 1)) || substr(f.finding, 2) || '.',
			HINT = f.hint;
	END IF;
	new.function := f.name;
	RETURN new;
END
$$;
COMMENT ON FUNCTION exact._check_rule() IS 'Trigger: what a row of exact.rule must be';
REVOKE ALL ON FUNCTION exact._check_rule() FROM PUBLIC;
CREATE TRIGGER check_row BEFORE INSERT OR UPDATE ON exact.rule
	FOR EACH ROW EXECUTE FUNCTION exact._check_rule();
COMMENT ON TRIGGER check_row ON exact.rule
	IS 'Refuses unknown rules, and functions that can be none, with a hint';
