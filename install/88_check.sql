-- check(): one row for each rule of a healthy installation.

CREATE FUNCTION exact._is_public(place text) RETURNS boolean
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT NOT (regexp_match(place, E'^\\[?([0-9a-f.:]+?)\\]?:[0-9]+$'))[1]::inet
		<<= ANY ('{127.0.0.0/8,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,'
			'100.64.0.0/10,::1,fc00::/7,fe80::/10}'::inet[])
$$;
COMMENT ON FUNCTION exact._is_public(text)
	IS 'Is this address and port, as a listener has it, one that the internet may reach?';
REVOKE ALL ON FUNCTION exact._is_public(text) FROM PUBLIC;

-- One row for each workspace: of a volume whether it can be used, without one what it would save:
-- the MERGEs of a day that went right behind another one into the same table, as what waited was
-- more than one statement carries.
CREATE FUNCTION exact._check_volumes(OUT result text, OUT rule text, OUT finding text, OUT fix text)
RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT
		CASE WHEN s.reason IS NOT NULL OR x.behind > 20 THEN 'warn' ELSE 'ok' END,
		'volume of workspace ' || w.name,
		CASE
			WHEN s.reason IS NOT NULL
				THEN format('deliveries go without %s: %s', w.volume, s.reason)
			WHEN s.seen_at IS NOT NULL
				THEN format('%s can be used, seen %s', w.volume, exact._since(s.seen_at))
			WHEN w.volume IS NOT NULL THEN w.volume || ', not needed yet'
			WHEN x.behind > 20
				THEN format('none: a volume would have saved %s of %s MERGEs since yesterday',
					x.behind, x.merges)
			ELSE 'none: a volume would have saved little since yesterday'
		END,
		CASE
			WHEN s.reason IS NOT NULL THEN s.next_step
			WHEN x.behind > 20
				THEN format('CREATE VOLUME %1$s.%2$s.files; GRANT READ VOLUME, WRITE VOLUME ON '
					'VOLUME %1$s.%2$s.files TO `%3$s`; here UPDATE exact.workspace SET '
					'volume = ''files'' WHERE name = %4$L', w.catalog, w.schema,
					coalesce(w.client_id, '<owner of the token>'), w.name)
		END
	FROM exact.workspace AS w
	LEFT JOIN exact.volume_state AS s ON s.workspace = w.name AND s.volume = w.volume
	LEFT JOIN LATERAL (
		SELECT count(*) AS merges,
			count(*) FILTER (WHERE m.at < m.before + interval '2 s' AND m.rows > 20) AS behind
		FROM (SELECT l.at, l.rows,
				lag(l.finished_at) OVER (PARTITION BY l.entity, l.kind ORDER BY l.at) AS before
			FROM exact.statement_log AS l
			WHERE l.workspace = w.name AND l.kind IN ('history', 'current')
				AND l.at > now() - interval '1 day') AS m) AS x ON w.volume IS NULL
	ORDER BY w.name
$$;
COMMENT ON FUNCTION exact._check_volumes() IS 'Rows of exact.check() about volumes';
REVOKE ALL ON FUNCTION exact._check_volumes() FROM PUBLIC;

-- While somebody holds a snapshot, no version of a row is removed that it may see: rows that change
-- with each call are found ever more slowly.
CREATE FUNCTION exact._check_snapshots(before timestamptz, OUT result text, OUT rule text,
	OUT finding text, OUT fix text) RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT 'warn', 'old snapshot',
		format('%s has held a snapshot since %s: old versions of rows stay, and the hub gets '
			'slower', s.who, exact._since(s.since)),
		s.fix
	FROM (
		SELECT a.xact_start AS since, format('session %s of %s', a.pid, a.usename) AS who,
			format('if nobody needs it: SELECT pg_terminate_backend(%s)', a.pid) AS fix
		FROM pg_stat_activity AS a
		WHERE a.datname = current_database() AND a.backend_type = 'client backend'
			AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)
		UNION ALL
		SELECT p.prepared, format('the prepared transaction %L', p.gid),
			format('COMMIT PREPARED %1$L or ROLLBACK PREPARED %1$L', p.gid)
		FROM pg_prepared_xacts AS p
		WHERE p.database = current_database()) AS s
	WHERE s.since < $1
	ORDER BY s.since
	LIMIT 5
$$;
COMMENT ON FUNCTION exact._check_snapshots(timestamptz)
	IS 'Rows of exact.check() about transactions that began before that time';
REVOKE ALL ON FUNCTION exact._check_snapshots(timestamptz) FROM PUBLIC;

CREATE FUNCTION exact.check(OUT result text, OUT rule text, OUT finding text, OUT fix text)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	library text := exact._version_library();
	installed text := (SELECT extversion FROM pg_extension WHERE extname = 'exact_databricks');
	preloaded boolean := library IS NOT NULL;
	binding text := exact._binding_finding();
	key_file text := exact._key_file_finding();
	-- what counts of that which is encrypted: of an app's tokens the newest pair
	lost_key text := (
		SELECT min(exact._key_file_finding(k.key_id))
		FROM (
			SELECT c.key_id
			FROM exact.credential AS c
			UNION
			SELECT t.key_id
			FROM (
				SELECT DISTINCT ON (n.app) n.key_id
				FROM exact.token AS n
				ORDER BY n.app, n.id DESC) AS t) AS k);
	url text := exact._setting('public_url');
BEGIN
	PERFORM exact._require_visible(NULL);
	RETURN QUERY
		SELECT v.*
		FROM (VALUES
			(CASE
					WHEN NOT preloaded THEN 'fail'
					WHEN library <> installed THEN 'fail'
					ELSE 'ok'
				END,
				'preloaded',
				CASE
					WHEN NOT preloaded THEN 'not in shared_preload_libraries: no worker runs'
					WHEN library <> installed
						THEN format('the library is version %s, the extension %s',
							library, installed)
					ELSE 'version ' || library
				END,
				CASE
					WHEN NOT preloaded THEN 'add exact_databricks there and restart PostgreSQL'
					WHEN library <> installed
						THEN 'ALTER EXTENSION exact_databricks UPDATE, or a restart'
				END),
			(CASE WHEN exact._setting('enabled') IS DISTINCT FROM 'off' THEN 'ok' ELSE 'warn' END,
				'enabled',
				CASE
					WHEN exact._setting('enabled') IS DISTINCT FROM 'off' THEN 'the hub is on'
					ELSE 'exact_databricks.enabled is off'
				END,
				CASE
					WHEN exact._setting('enabled') = 'off'
						THEN 'ALTER SYSTEM SET exact_databricks.enabled = on; '
							'SELECT pg_reload_conf()'
				END),
			(CASE WHEN binding IS NULL THEN 'ok' ELSE 'fail' END, 'installation',
				coalesce(binding,
					'bound to this database since '
						|| (SELECT exact._since(b.bound_at) FROM exact.installation_binding AS b),
					'made when the first worker starts'),
				CASE
					WHEN binding IS NOT NULL
						THEN format('if the old hub is dead: SELECT exact.adopt(%L)', coalesce((
							SELECT i.id
							FROM exact.installation AS i
							ORDER BY i.made_at, i.id
							LIMIT 1), ''))
				END),
			(CASE WHEN coalesce(key_file, lost_key) IS NULL THEN 'ok' ELSE 'fail' END, 'key file',
				coalesce(key_file, lost_key, 'can be read by the server only'),
				CASE
					WHEN key_file IS NOT NULL
						THEN 'lines id:64 hex digits, mode 0600; SELECT pg_reload_conf()'
					WHEN lost_key IS NOT NULL
						THEN 'put the line of that key back before the others; without it '
							'import_secrets(), then authorize_url() of each app'
				END),
			(CASE WHEN exact._setting('secrets_directory') IS NULL THEN 'warn' ELSE 'ok' END,
				'secrets directory',
				CASE
					WHEN exact._setting('secrets_directory') IS NULL
						THEN 'not set: import_secrets() has nothing to read'
					ELSE 'set'
				END,
				CASE
					WHEN exact._setting('secrets_directory') IS NULL
						THEN 'set exact_databricks.secrets_directory'
				END),
			(CASE WHEN exact._setting('insecure_loopback') = 'on' THEN 'warn' ELSE 'ok' END,
				'encrypted connections',
				CASE
					WHEN exact._setting('insecure_loopback') = 'on'
						THEN 'http:// to this machine is allowed'
					ELSE 'https:// only'
				END,
				CASE
					WHEN exact._setting('insecure_loopback') = 'on'
						THEN 'for rehearsals only: insecure_loopback = off'
				END),
			(CASE WHEN url IS NULL THEN 'warn' ELSE 'ok' END, 'public url',
				coalesce(url, 'not set: exact.app must have the redirect address'),
				CASE
					WHEN url IS NULL THEN 'ALTER DATABASE … SET exact_databricks.public_url'
				END)
		) AS v;
	RETURN QUERY
		SELECT n.light, 'first steps', n.what, n.next_step
		FROM exact._first_step() AS n
		WHERE n.what IS NOT NULL AND preloaded;
	RETURN QUERY SELECT * FROM exact._check_schedule();
	RETURN QUERY SELECT * FROM exact._check_documents();

	RETURN QUERY
		SELECT
			CASE
				WHEN w.state = 'running' THEN 'ok'
				WHEN w.state = 'starting' THEN 'warn'
				ELSE 'fail'
			END,
			'worker ' || w.role,
			coalesce(CASE
				WHEN w.state = 'running'
					THEN format('process %s since %s', w.pid, exact._since(w.started_at))
			END, w.reason, w.last_error, w.state),
			CASE
				WHEN w.state NOT IN ('running', 'starting') AND binding IS NULL
					THEN 'see the server log and max_worker_processes'
			END
		FROM exact._workers() AS w
		WHERE w.role <> 'listener' OR exact._setting('listen_addresses') IS NOT NULL;

	-- TLS is a proxy's business, so the listener itself should be where only the proxy reaches it.
	RETURN QUERY
		SELECT CASE WHEN count(p.public) > 0 THEN 'warn' ELSE 'ok' END, 'listener address',
			CASE
				WHEN count(p.public) > 0
					THEN 'http:// at public addresses: ' || string_agg(p.public, ', ')
				ELSE 'loopback and private addresses only'
			END,
			CASE
				WHEN count(p.public) > 0
					THEN 'listen at 127.0.0.1 or a private address, behind a proxy with '
						'TLS: docs/proxy.md'
			END
		FROM exact._workers() AS w, regexp_split_to_table(w.listens_at, ', ') AS l (place),
			LATERAL (
				SELECT CASE WHEN exact._is_public(l.place) THEN l.place END AS public
			) AS p
		HAVING count(*) > 0;

	-- Settings of the database reach a worker only at its start; which it started with is not
	-- visible from here.
	RETURN QUERY
		SELECT 'ok', 'settings of the database', string_agg(split_part(c.setting, '=', 1), ', '),
			'after a change: SELECT exact.restart_workers()'
		FROM pg_db_role_setting AS s, unnest(s.setconfig) AS c (setting)
		WHERE s.setdatabase = (
				SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
			AND s.setrole = 0
			AND c.setting LIKE E'exact\\_databricks.%'
		HAVING count(*) > 0;

	-- What the owner of the database, or any role for itself, may set: functions of the hub would
	-- do something else then, or leave no event.
	RETURN QUERY
		SELECT 'fail', 'setting ' || n.name,
			format('%s is set for %s: the hub''s functions rely on its default', c.setting,
				concat_ws(' in ', 'role ' || quote_ident(r.rolname),
					CASE WHEN s.setdatabase <> 0 THEN 'this database' END)),
			format('ALTER %s RESET %s',
				CASE
					WHEN s.setrole = 0 THEN format('DATABASE %I', current_database())
					ELSE format('ROLE %I', r.rolname)
						|| CASE
							WHEN s.setdatabase = 0 THEN ''
							ELSE format(' IN DATABASE %I', current_database())
						END
				END,
				n.name)
		FROM pg_db_role_setting AS s
		CROSS JOIN unnest(s.setconfig) AS c (setting)
		CROSS JOIN LATERAL (SELECT split_part(c.setting, '=', 1) AS name) AS n
		LEFT JOIN pg_roles AS r ON r.oid = s.setrole
		WHERE (s.setdatabase = 0
				OR s.setdatabase = (
					SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()))
			AND n.name IN ('check_function_bodies', 'row_security', 'session_replication_role',
				'session_authorization', 'standard_conforming_strings', 'backslash_quote',
				'transform_null_equals', 'array_nulls', 'quote_all_identifiers', 'exit_on_error',
				'restrict_nonsystem_relation_kind', 'plpgsql.extra_errors',
				'plpgsql.variable_conflict')
		ORDER BY n.name, s.setdatabase, r.rolname;

	RETURN QUERY
		SELECT CASE WHEN s.state = 'authorized' THEN 'ok' ELSE 'fail' END, 'app ' || a.name,
			CASE coalesce(s.state, 'new')
				WHEN 'authorized' THEN 'authorised' || coalesce(' by ' || s.user_name, '')
				WHEN 'new' THEN 'nobody has consented yet'
				ELSE coalesce(s.reason, 'consent is needed again')
			END,
			CASE
				WHEN s.state IS DISTINCT FROM 'authorized'
					THEN coalesce(s.next_step, format('SELECT exact.authorize_url(%L)', a.name))
			END
		FROM exact.app AS a
		LEFT JOIN exact.app_state AS s ON s.app = a.name
		ORDER BY a.name;
	RETURN QUERY
		SELECT CASE WHEN c.field IS NULL THEN 'fail' ELSE 'ok' END,
			format('secret of %s %s', n.kind, n.name),
			CASE
				WHEN c.field IS NULL THEN n.field || ' is not set'
				ELSE format('%s set %s', c.field, exact._since(c.set_at))
			END,
			CASE WHEN c.field IS NULL THEN 'SELECT * FROM exact.import_secrets()' END
		FROM (SELECT 'app', a.name, 'client_secret' FROM exact.app AS a
			UNION ALL
			SELECT 'workspace', w.name,
				CASE WHEN w.client_id IS NULL THEN 'token' ELSE 'client_secret' END
			FROM exact.workspace AS w) AS n (kind, name, field)
		LEFT JOIN exact.credential AS c ON c.kind = n.kind AND c.name = n.name AND c.field = n.field
		ORDER BY n.kind, n.name;
	RETURN QUERY
		SELECT CASE WHEN h.finding IS NULL THEN 'ok' ELSE 'fail' END,
			format('address of %s %s', n.kind, n.name), coalesce(h.finding, n.url),
			CASE WHEN h.finding IS NOT NULL THEN 'correct it, or exact_databricks.allowed_hosts' END
		FROM (SELECT 'app', a.name, a.base_url FROM exact.app AS a WHERE a.base_url IS NOT NULL
			UNION ALL
			SELECT 'workspace', w.name,
				CASE WHEN w.host ~ '^[a-zA-Z]+://' THEN w.host ELSE 'https://' || w.host END
			FROM exact.workspace AS w) AS n (kind, name, url),
			LATERAL (SELECT exact._url_finding(n.url) AS finding) AS h
		ORDER BY n.kind, n.name;
	RETURN QUERY
		SELECT CASE c.state WHEN 'ok' THEN 'ok' WHEN 'broken' THEN 'fail' ELSE 'warn' END,
			'callback reachable',
			format('%s %s', n.url,
				coalesce(c.finding || format(' (%s)', exact._since(c.tried_at)), 'not tried')),
			CASE WHEN c.state IS NULL THEN 'SELECT exact.subscribe()' ELSE c.next_step END
		FROM (SELECT DISTINCT coalesce(a.callback_url, url || '/exact/hook') AS url
			FROM exact.app AS a
			WHERE a.callback_url IS NOT NULL
				OR (url IS NOT NULL AND exact._setting('listen_addresses') IS NOT NULL)) AS n
		LEFT JOIN exact.callback AS c ON c.url = n.url
		ORDER BY n.url;
	RETURN QUERY
		SELECT 'warn', 'subscriptions',
			format('%s topic%s of %s division%s: %s', count(*),
				CASE WHEN count(*) > 1 THEN 's' END, count(DISTINCT s.division),
				CASE WHEN count(DISTINCT s.division) > 1 THEN 's' END, s.reason),
			s.next_step
		FROM exact.subscription AS s
		WHERE s.cause IN ('address', 'listener', 'secret')
		GROUP BY s.reason, s.next_step
		ORDER BY s.reason;
	RETURN QUERY
		SELECT
			CASE
				WHEN count(*) = count(*) FILTER (WHERE s.state = 'present') THEN 'ok'
				ELSE 'warn'
			END,
			'subscriptions of division ' || s.division,
			format('%s of %s topics', count(*) FILTER (WHERE s.state = 'present'), count(*))
				|| coalesce(': ' || (array_agg(coalesce(s.reason, 'not made yet')
					ORDER BY s.state <> 'refused', s.state, s.topic)
					FILTER (WHERE s.state <> 'present'))[1], ''),
			(array_agg(coalesce(s.next_step, 'SELECT * FROM exact.subscriptions')
				ORDER BY s.state <> 'refused', s.state, s.topic)
				FILTER (WHERE s.state <> 'present'))[1]
		FROM exact.subscription AS s
		WHERE coalesce(s.cause, '') NOT IN ('address', 'listener', 'secret')
		GROUP BY s.division
		ORDER BY s.division;
	RETURN QUERY
		SELECT s.light, 'service ' || CASE s.side WHEN 'exact' THEN 'Exact Online' ELSE 'Databricks'
			END || ' (' || s.name || ')', s.what, s.next_step
		FROM exact.services AS s
		WHERE s.light <> 'off';
	RETURN QUERY SELECT d.light, 'disk', d.what, d.next_step FROM exact._disk_finding() AS d;
	RETURN QUERY SELECT * FROM exact._check_volumes();
	RETURN QUERY SELECT * FROM exact._check_warehouses();
	RETURN QUERY SELECT * FROM exact._check_snapshots(now() - interval '1 hour');
	RETURN QUERY SELECT * FROM exact._check_erasures();
	RETURN QUERY SELECT * FROM exact._ledger_findings();
	RETURN QUERY SELECT * FROM exact._sign_findings();

	RETURN QUERY
		SELECT s.light, 'division ' || s.division, s.what,
			nullif(s.next_step, 'SELECT * FROM exact.check()')
		FROM exact.status AS s
		WHERE s.light <> 'off' AND s.division IS NOT NULL
		ORDER BY s.division;
	RETURN QUERY
		SELECT 'fail', 'table ' || coalesce(t.table_name, t.workspace || '.' || t.entity), t.reason,
			coalesce(t.next_step, 'SELECT exact.resume(division)')
		FROM exact.target_state AS t
		WHERE t.paused_since IS NOT NULL
		ORDER BY t.workspace, t.entity;
	RETURN QUERY
		SELECT 'warn', 'table ' || coalesce(t.table_name, t.workspace || '.' || t.entity), t.reason,
			t.next_step
		FROM exact.target_state AS t
		WHERE t.paused_since IS NULL AND t.reason IS NOT NULL AND t.next_step IS NOT NULL
		ORDER BY t.workspace, t.entity;
	RETURN QUERY
		SELECT 'warn', 'table ' || coalesce(t.table_name, t.workspace || '.' || t.entity), t.note,
			t.note_step
		FROM exact.target_state AS t
		WHERE t.note IS NOT NULL
		ORDER BY t.workspace, t.entity;
	RETURN QUERY
		SELECT 'fail', 'names of Delta tables',
			format('%s are both the table %s', string_agg(n.entity, ' and '), n.name),
			'choose another target_table in exact.entity'
		FROM (SELECT e.entity, lower(e.target_table) AS name
			FROM exact.entity_effective AS e
			UNION ALL
			SELECT e.entity, lower(e.target_history)
			FROM exact.entity_effective AS e) AS n
		WHERE n.entity IN (SELECT f.entity FROM exact.feed AS f)
		GROUP BY n.name
		HAVING count(*) > 1;

	RETURN QUERY
		SELECT CASE WHEN a.attcompression = 'l' THEN 'ok' ELSE 'warn' END, 'compression',
			CASE
				WHEN a.attcompression = 'l' THEN 'lz4'
				ELSE 'pglz, as this server was built without lz4: a record above 8 kB takes six '
					'times as long to compress'
			END,
			CASE
				WHEN a.attcompression <> 'l'
					THEN 'a PostgreSQL that is built with lz4, into which a dump of this database '
						'is restored'
			END
		FROM pg_attribute AS a
		WHERE a.attrelid = 'exact.stage'::regclass
			AND a.attname = 'payload';

	-- Heads only: SELECT * FROM exact.verify_audit() recomputes everything.
	RETURN QUERY
		SELECT CASE WHEN count(l.id) = count(*) THEN 'ok' ELSE 'fail' END, 'audit log',
			CASE
				WHEN count(l.id) = count(*)
					THEN format('%s chains, %s events%s', count(*),
						coalesce(sum(c.id - coalesce(a.id, 0)), 0),
						', ' || nullif(sum(a.id), 0) || ' older ones removed')
				ELSE 'the last event of a chain is missing or changed'
			END,
			CASE WHEN count(l.id) < count(*) THEN 'SELECT * FROM exact.verify_audit()' END
		FROM exact.audit_chain AS c
		LEFT JOIN exact.audit_anchor AS a ON a.chain = c.chain
		LEFT JOIN exact.audit_log AS l ON l.chain = c.chain AND l.id = c.id AND l.hash = c.hash
			AND l.hash = exact._event_hash(l.prev_hash, l.chain, l.id, l.at, l.kind, l.division,
				l.entity, l.who, l.what);
	RETURN QUERY
		SELECT 'fail', 'role ' || r.rolname,
			CASE WHEN r.rolcanlogin THEN 'can log in' ELSE 'has members: ' || m.members END,
			CASE
				WHEN r.rolcanlogin THEN format('ALTER ROLE %I NOLOGIN', r.rolname)
				ELSE format('REVOKE %I FROM %s', r.rolname, m.members)
			END
		FROM pg_roles AS r
		LEFT JOIN LATERAL (
			SELECT string_agg(quote_ident(x.rolname), ', ') AS members
			FROM pg_auth_members AS am
			JOIN pg_roles AS x ON x.oid = am.member
			WHERE am.roleid = r.oid
		) AS m ON true
		WHERE r.rolname IN ('exact_worker', 'exact_listener', 'exact_rule', 'exact_view')
			AND (r.rolcanlogin OR m.members IS NOT NULL);
	RETURN QUERY
		SELECT 'ok', 'members of exact_admin',
			coalesce(string_agg(x.rolname, ', ' ORDER BY x.rolname), 'nobody'), NULL::text
		FROM pg_auth_members AS am
		JOIN pg_roles AS r ON r.oid = am.roleid AND r.rolname = 'exact_admin'
		JOIN pg_roles AS x ON x.oid = am.member;
END
$$;
COMMENT ON FUNCTION exact.check()
	IS 'Checks the installation: one row per rule with ok, warn or fail, what was found and how '
		'to mend it. It asks neither service; exact.ping() does';
REVOKE ALL ON FUNCTION exact.check() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.check() TO exact_reader;
