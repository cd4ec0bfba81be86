-- Roles. They belong to the cluster: made when absent, kept by DROP EXTENSION, shared by all
-- databases with the hub. An admin can do what an operator can, an operator what a reader can: by
-- membership, so that each right is granted once.

DO $role$
DECLARE
	role record;
	members text;
BEGIN
	FOR role IN
		SELECT * FROM (VALUES
			('exact_reader', 'Reads views and tables of exact_databricks, no secrets'),
			('exact_operator',
				'Runs the verbs of exact_databricks: sync_now, pause, resume, cancel, ping; '
					'reads what exact_reader reads'),
			('exact_admin',
				'Edits the configuration and secrets of exact_databricks; '
					'does what exact_operator does'),
			('exact_worker',
				'What the fetcher and the loader of exact_databricks become after they connected; '
					'owns nothing, cannot log in'),
			('exact_listener',
				'What the listener of exact_databricks becomes after it connected; '
					'owns nothing, cannot log in'),
			('exact_view',
				'Owns the views of exact_databricks and reads what they show; cannot log in'),
			('exact_rule',
				'What customers'' rule functions of exact_databricks run as; '
					'owns nothing, cannot log in')
		) AS r (name, purpose)
	LOOP
		IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles
				WHERE rolname OPERATOR(pg_catalog.=) role.name) THEN
			EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', role.name);
			EXECUTE pg_catalog.format('COMMENT ON ROLE %I IS %L', role.name, role.purpose);
		ELSIF EXISTS (SELECT FROM pg_catalog.pg_roles
				WHERE rolname OPERATOR(pg_catalog.=) role.name
					AND role.name IN ('exact_worker', 'exact_listener', 'exact_rule',
						'exact_view')
					AND (rolcanlogin OR rolsuper OR rolcreaterole
						OR rolcreatedb OR rolreplication OR rolbypassrls)) THEN
			RAISE EXCEPTION USING
				ERRCODE = 'EX021',
				MESSAGE = pg_catalog.format(
					'role %s exists and can log in or has attributes that it must not have',
					role.name),
				DETAIL = 'The workers run as this role; nobody may log in as it.',
				HINT = pg_catalog.format(
					'ALTER ROLE %I NOLOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION '
						'NOBYPASSRLS; then create the extension.',
					role.name);
		END IF;
		SELECT pg_catalog.string_agg(pg_catalog.quote_ident(m.rolname), ', ' ORDER BY m.rolname)
		INTO members
		FROM pg_catalog.pg_auth_members AS am
		JOIN pg_catalog.pg_roles AS m ON m.oid OPERATOR(pg_catalog.=) am.member
		JOIN pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) am.roleid
		WHERE r.rolname OPERATOR(pg_catalog.=) role.name;
		IF members IS NOT NULL AND role.name
				IN ('exact_worker', 'exact_listener', 'exact_rule', 'exact_view') THEN
			RAISE EXCEPTION USING
				ERRCODE = 'EX021',
				MESSAGE = pg_catalog.format('role %s exists and has members: %s', role.name,
					members),
				DETAIL = 'The workers run as this role; whoever is a member of it could write '
					'what only they write.',
				HINT = pg_catalog.format('REVOKE %I FROM %s; then create the extension.',
					role.name, members);
		END IF;
	END LOOP;
	IF NOT pg_catalog.pg_has_role('exact_operator', 'exact_reader', 'MEMBER') THEN
		GRANT exact_reader TO exact_operator;
	END IF;
	IF NOT pg_catalog.pg_has_role('exact_admin', 'exact_operator', 'MEMBER') THEN
		GRANT exact_operator TO exact_admin;
	END IF;
END
$role$;
