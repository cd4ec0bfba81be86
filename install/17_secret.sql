-- Secrets: how they come in, what is set, and the consent of a user of Exact Online. No function
-- returns a secret.

CREATE FUNCTION exact._app_host(base_url text, region text) RETURNS text
	LANGUAGE c IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'exact__app_host';
COMMENT ON FUNCTION exact._app_host(text, text)
	IS 'Scheme, host and port that an app''s secrets are for; null when the address is not usable';
REVOKE ALL ON FUNCTION exact._app_host(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._app_host(text, text) TO exact_reader, exact_worker;

CREATE FUNCTION exact._workspace_host(host text) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'exact__workspace_host';
COMMENT ON FUNCTION exact._workspace_host(text)
	IS 'Scheme, host and port of a workspace from a pasted address: '
		'path, query and default port dropped; null when it is not usable';
REVOKE ALL ON FUNCTION exact._workspace_host(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._workspace_host(text) TO exact_reader, exact_worker;

CREATE FUNCTION exact._url_encode(value text) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'exact__url_encode';
COMMENT ON FUNCTION exact._url_encode(text) IS 'Percent-encodes one value of a query';
REVOKE ALL ON FUNCTION exact._url_encode(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._url_encode(text) TO exact_admin;

CREATE FUNCTION exact._url_decode(value text) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'exact__url_decode';
COMMENT ON FUNCTION exact._url_decode(text) IS 'Percent-decodes one value of a query';
REVOKE ALL ON FUNCTION exact._url_decode(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._url_decode(text) TO exact_admin;

CREATE FUNCTION exact._public_url() RETURNS text
	LANGUAGE c STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'exact__public_url';
COMMENT ON FUNCTION exact._public_url()
	IS 'The setting exact_databricks.public_url of this database; null when it is not set';
REVOKE ALL ON FUNCTION exact._public_url() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._public_url() TO exact_admin;

CREATE FUNCTION exact._key_file_finding(key_id text = NULL) RETURNS text
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'exact__key_file_finding';
COMMENT ON FUNCTION exact._key_file_finding(text)
	IS 'What is wrong with the key file, as one sentence; null when it can encrypt, '
		'with a key id when it holds that key';
REVOKE ALL ON FUNCTION exact._key_file_finding(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._key_file_finding(text) TO exact_reader;

CREATE FUNCTION exact.set_secret(kind text, name text, field text, value text) RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'exact_set_secret';
COMMENT ON FUNCTION exact.set_secret(text, text, text, text)
	IS 'Stores a secret, encrypted: kind app (client_secret, webhook_secret, webhook_secret_next, '
		'refresh_token), workspace (client_secret, token) or listener (status: '
		'token, for /status and /metrics). '
		'A convenience for tests and tools, refused while statements are logged: '
		'exact.import_secrets() reads secrets from files';
REVOKE ALL ON FUNCTION exact.set_secret(text, text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.set_secret(text, text, text, text) TO exact_admin;

CREATE FUNCTION exact.rotate_key() RETURNS text
	LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'exact_rotate_key';
COMMENT ON FUNCTION exact.rotate_key()
	IS 'Encrypts all credentials and the newest tokens again with the newest key: the last line '
		'of exact_databricks.key_file. You can remove the older lines afterwards';
REVOKE ALL ON FUNCTION exact.rotate_key() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.rotate_key() TO exact_admin;

CREATE FUNCTION exact.import_secrets() RETURNS TABLE (kind text, name text, field text, result text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	answer jsonb := exact._ask('fetcher', 'import_secrets')::jsonb;
BEGIN
	IF jsonb_typeof(answer) = 'object' THEN
		PERFORM exact._refuse(answer ->> 'message', answer ->> 'hint', answer ->> 'sqlstate',
			answer ->> 'detail');
	END IF;
	RETURN QUERY
		SELECT e.value ->> 'kind', e.value ->> 'name', e.value ->> 'field', e.value ->> 'result'
		FROM jsonb_array_elements(answer) WITH ORDINALITY AS e (value, place)
		ORDER BY e.place;
END
$$;
COMMENT ON FUNCTION exact.import_secrets()
	IS 'Reads secrets from files: the fetcher reads the files <kind>.<name>.<field> in '
		'exact_databricks.secrets_directory. A file must belong to the server''s user and give no '
		'rights to others. The hub encrypts and stores each new secret, and returns one row per '
		'file with the result. You can delete the files afterwards';
REVOKE ALL ON FUNCTION exact.import_secrets() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.import_secrets() TO exact_admin;

CREATE VIEW exact.credentials AS
SELECT coalesce(n.kind, c.kind) AS kind,
	coalesce(n.name, c.name) AS name,
	coalesce(n.field, c.field) AS field,
	c.field IS NOT NULL AS is_set,
	c.set_at,
	c.set_by,
	c.key_id,
	c.host,
	CASE
		WHEN c.field IS NULL THEN 'not set'
		WHEN c.kind <> 'listener' AND a.name IS NULL AND w.name IS NULL
			THEN format('there is no %s of this name', c.kind)
		WHEN c.kind <> 'listener'
			AND c.host IS DISTINCT FROM coalesce(exact._app_host(a.base_url, a.region),
				exact._workspace_host(w.host))
			THEN 'set for another host: set it again'
	END AS finding
FROM (
	SELECT 'app' AS kind, name, 'client_secret' AS field FROM exact.app
	UNION ALL
	SELECT 'workspace', name, CASE WHEN client_id IS NULL THEN 'token' ELSE 'client_secret' END
	FROM exact.workspace
) AS n
FULL JOIN exact.credential AS c ON c.kind = n.kind AND c.name = n.name AND c.field = n.field
LEFT JOIN exact.app AS a ON coalesce(n.kind, c.kind) = 'app' AND a.name = coalesce(n.name, c.name)
LEFT JOIN exact.workspace AS w
	ON coalesce(n.kind, c.kind) = 'workspace' AND w.name = coalesce(n.name, c.name);
COMMENT ON VIEW exact.credentials
	IS 'Which secrets are set and which are missing; never the secrets themselves';
COMMENT ON COLUMN exact.credentials.kind IS 'app, workspace or listener';
COMMENT ON COLUMN exact.credentials.name
	IS 'Name of the app or workspace; status: of the listener''s page';
COMMENT ON COLUMN exact.credentials.field
	IS 'client_secret, webhook_secret, webhook_secret_next, refresh_token or token';
COMMENT ON COLUMN exact.credentials.is_set IS 'Is there one';
COMMENT ON COLUMN exact.credentials.set_at IS 'Since when';
COMMENT ON COLUMN exact.credentials.set_by IS 'Who set it; exact fetcher: imported from a file';
COMMENT ON COLUMN exact.credentials.key_id IS 'Key that encrypted it';
COMMENT ON COLUMN exact.credentials.host IS 'Address that it is for';
COMMENT ON COLUMN exact.credentials.finding IS 'Why it cannot be used; null: no problem is known';
REVOKE ALL ON TABLE exact.credentials FROM PUBLIC;
GRANT SELECT ON TABLE exact.credentials TO exact_reader;

-- The consent of a user: Exact Online's authorisation page gives a code to the browser, which comes
-- back by the callback page or by hand.

CREATE FUNCTION exact.authorize_url(app text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found_app exact.app;
	host text;
	redirect text;
	secret_state text := replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');
BEGIN
	SELECT * INTO found_app FROM exact.app AS a WHERE a.name = $1;
	IF NOT found THEN
		PERFORM exact._refuse(format('app %s does not exist', quote_nullable($1)),
			'First INSERT INTO exact.app.');
	END IF;
	redirect := coalesce(found_app.redirect_uri, exact._public_url() || '/exact/callback');
	IF redirect IS NULL THEN
		PERFORM exact._refuse(format('app %s has no redirect address', quote_literal($1)),
			'Set exact.app.redirect_uri to the address registered in the App Center, or '
				'exact_databricks.public_url for this database.');
	END IF;
	host := exact._app_host(found_app.base_url, found_app.region);
	PERFORM exact._refuse_url(format('address of app %s', quote_literal($1)), host);
	INSERT INTO exact.app_state AS s
		(app, oauth_state, oauth_state_at, oauth_state_by, redirect_uri)
	VALUES ($1, secret_state, clock_timestamp(), session_user, redirect)
	ON CONFLICT ON CONSTRAINT app_state_pkey DO UPDATE
		SET oauth_state = excluded.oauth_state, oauth_state_at = excluded.oauth_state_at,
			oauth_state_by = excluded.oauth_state_by, redirect_uri = excluded.redirect_uri;
	RETURN format(
		'%s/api/oauth2/auth?client_id=%s&redirect_uri=%s&response_type=code&state=%s&force_login=0',
		host, exact._url_encode(found_app.client_id), exact._url_encode(redirect), secret_state);
END
$$;
COMMENT ON FUNCTION exact.authorize_url(text)
	IS 'Returns the address where a user of Exact Online gives the app its consent. Open it in a '
		'browser within ten minutes; it works once. The callback page, or exact.authorize(), '
		'finishes the authorisation';
REVOKE ALL ON FUNCTION exact.authorize_url(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.authorize_url(text) TO exact_admin;

CREATE FUNCTION exact._query_value(url text, name text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT exact._url_decode(substr(part, length(name) + 2))
	FROM regexp_split_to_table(regexp_replace(regexp_replace(btrim(url, E' \t\r\n'), '#.*$', ''),
		E'^[^?]*\\?', ''),
		'&') AS part
	WHERE starts_with(part, name || '=')
	LIMIT 1
$$;
COMMENT ON FUNCTION exact._query_value(text, text)
	IS 'Value of a name in the query of an address, decoded once; null when it is not there';
REVOKE ALL ON FUNCTION exact._query_value(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._query_value(text, text) TO exact_admin;

CREATE FUNCTION exact._hide_statement() RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'exact__hide_statement';
COMMENT ON FUNCTION exact._hide_statement()
	IS 'Keeps the text of the running statement, which holds an authorisation code, out of error '
		'reports and pg_stat_activity';
REVOKE ALL ON FUNCTION exact._hide_statement() FROM PUBLIC;

CREATE FUNCTION exact._authorization(
		redirected_url text, INOUT app text = NULL, OUT code text, OUT redirect_uri text,
		OUT finding text, OUT detail text, OUT hint text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	waiting exact.app_state;
	given_state text;
	refusal text;
BEGIN
	BEGIN
		code := exact._query_value($1, 'code');
		given_state := exact._query_value($1, 'state');
		refusal := exact._query_value($1, 'error');
	EXCEPTION WHEN data_exception THEN
		given_state := NULL;
	END;
	SELECT *
	INTO waiting
	FROM exact.app_state AS s
	WHERE CASE WHEN $2 IS NULL THEN s.oauth_state = given_state ELSE s.app = $2 END;
	app := coalesce($2, waiting.app);
	redirect_uri := waiting.redirect_uri;
	hint := format('Begin again: SELECT exact.authorize_url(%L);', coalesce(app, '…'));
	IF refusal IS NOT NULL AND app IS NOT NULL THEN
		finding := format('Exact Online did not authorise app %s: %s', quote_literal(app),
			left(regexp_replace(refusal, '[[:cntrl:]]', ' ', 'g'), 100));
	ELSIF (code IS NULL AND refusal IS NULL) OR given_state IS NULL THEN
		finding := 'this is not the address that Exact Online sent the browser to';
		hint := 'Copy the whole address from the browser after the consent: '
			'it holds code= and state=.';
	ELSIF app IS NULL THEN
		finding := 'no authorisation with this state is waiting';
		detail := 'It was used already (loading the page again does that, and changes nothing), '
			'a later one was begun, or it was begun in another database. Nothing was sent.';
	ELSIF waiting.oauth_state IS NULL THEN
		finding := format('no authorisation of app %s is waiting', quote_literal(app));
	ELSIF waiting.oauth_state <> given_state THEN
		finding := 'this address belongs to another authorisation';
		detail := 'Its state is not the one that exact.authorize_url() gave last; '
			'nothing was sent.';
	ELSIF waiting.oauth_state_at < clock_timestamp() - interval '10 minutes' THEN
		finding := 'the authorisation is older than ten minutes';
	ELSIF $2 IS NOT NULL AND waiting.oauth_state_by <> session_user THEN
		finding := format('role %s began this authorisation', quote_ident(waiting.oauth_state_by));
		detail := 'Only the role that began it may finish it here; nothing was sent.';
	END IF;
END
$$;
COMMENT ON FUNCTION exact._authorization(text, text)
	IS 'Judges the address that the browser was sent to after the consent: '
		'app, code and redirect address, or the finding why it counts for nothing. '
		'Without an app the state tells which; with one the role that logged in must have begun it';
REVOKE ALL ON FUNCTION exact._authorization(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._authorization(text, text) TO exact_worker;

CREATE FUNCTION exact.authorize(app text, redirected_url text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	a record;
BEGIN
	PERFORM exact._hide_statement();
	PERFORM exact._require_app($1);
	SELECT * INTO a FROM exact._authorization($2, $1);
	IF a.finding IS NOT NULL THEN
		PERFORM exact._refuse(a.finding, a.hint, 'EX005', a.detail);
	END IF;
	RETURN exact._ask('fetcher', 'authorize', $1, a.code, a.redirect_uri);
END
$$;
COMMENT ON FUNCTION exact.authorize(text, text)
	IS 'Finishes an authorisation by hand, if the browser cannot reach the callback page. '
		'redirected_url: the full address that the browser was sent to after the consent';
REVOKE ALL ON FUNCTION exact.authorize(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.authorize(text, text) TO exact_admin;
