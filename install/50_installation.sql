-- Which hub this is, and whether it belongs to this database.

CREATE FUNCTION exact._bind_here(installation text, epoch int) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	INSERT INTO exact.installation_binding (installation, system_identifier, database_oid, database_name, instance, epoch)
	SELECT $1, c.system_identifier::text, d.oid, d.datname, coalesce(current_setting('exact_databricks.instance', true), ''), $2
	FROM pg_control_system() AS c, pg_database AS d WHERE d.datname = current_database()
	ON CONFLICT (one) DO UPDATE SET installation = excluded.installation, system_identifier = excluded.system_identifier,
		database_oid = excluded.database_oid, database_name = excluded.database_name, instance = excluded.instance,
		epoch = excluded.epoch, bound_at = clock_timestamp(), bound_by = session_user
$$;
COMMENT ON FUNCTION exact._bind_here(text, int) IS 'Binds an installation to this database';
REVOKE ALL ON FUNCTION exact._bind_here(text, int) FROM PUBLIC;

CREATE FUNCTION exact._bind() RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	finding text := exact._binding_finding();
	id text;
BEGIN
	IF finding IS NOT NULL THEN
		RETURN finding;
	ELSIF NOT EXISTS (SELECT FROM exact.installation_binding) THEN
		-- The first worker makes both rows; a second one, or one beside a restore, waits here and finds what came.
		LOCK TABLE exact.installation_binding IN SHARE ROW EXCLUSIVE MODE;
		finding := exact._binding_finding();
		IF finding IS NOT NULL THEN
			RETURN finding;
		ELSIF NOT EXISTS (SELECT FROM exact.installation_binding) THEN
			INSERT INTO exact.installation (id) VALUES (gen_random_uuid()::text) RETURNING installation.id INTO id;
			PERFORM exact._bind_here(id, 1);
		END IF;
	END IF;
	RETURN 'bound';
END
$$;
COMMENT ON FUNCTION exact._bind() IS 'For the workers, before they do anything: "bound", or the sentence why they must stay off. Makes the installation when there is none';
REVOKE ALL ON FUNCTION exact._bind() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._bind() TO exact_worker;

CREATE FUNCTION exact.adopt(installation text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	finding text := exact._binding_finding();
	oldest text;
	old_binding exact.installation_binding;
BEGIN
	LOCK TABLE exact.installation_binding IN SHARE ROW EXCLUSIVE MODE;
	SELECT i.id INTO oldest FROM exact.installation AS i ORDER BY i.made_at, i.id LIMIT 1;
	SELECT * INTO old_binding FROM exact.installation_binding;
	IF oldest IS NULL AND old_binding.one IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'EX016', MESSAGE = 'there is nothing to adopt: no worker has made an installation yet',
			HINT = 'Start the workers: SELECT * FROM exact.check().';
	ELSIF oldest IS NOT NULL AND adopt.installation IS DISTINCT FROM oldest THEN
		RAISE EXCEPTION USING ERRCODE = 'EX016', MESSAGE = format('the installation of this database is not %s', quote_nullable(adopt.installation)),
			HINT = format('If its old hub is dead: SELECT exact.adopt(%L).', oldest);
	ELSIF finding IS NULL THEN
		RETURN format('installation %s is bound to this database already', oldest);
	END IF;
	IF oldest IS NULL THEN
		INSERT INTO exact.installation (id) VALUES (gen_random_uuid()::text) RETURNING id INTO oldest;
	END IF;
	DELETE FROM exact.installation AS i WHERE i.id <> oldest;
	PERFORM exact._bind_here(oldest, coalesce(old_binding.epoch, 1));
	PERFORM exact._request_done('adopt', NULL, NULL, 'adopted',
		jsonb_build_object('installation', oldest, 'was', finding, 'from_cluster', old_binding.system_identifier, 'from_database', old_binding.database_name));
	RAISE WARNING USING ERRCODE = 'EX016',
		MESSAGE = 'the old hub of this installation must be dead',
		DETAIL = 'Two hubs with the same tokens end each other''s authorisation in Exact Online.',
		HINT = 'Make sure that no other copy of this database runs with exact_databricks in shared_preload_libraries.';
	IF exact._version_library() IS NOT NULL THEN
		PERFORM exact.restart_workers();
	END IF;
	RETURN format('installation %s is bound to this database now', oldest);
END
$$;
COMMENT ON FUNCTION exact.adopt(text)
	IS 'Lets a restored or copied hub work here: binds its installation (the id is asked for as a confirmation) to this database. The old hub must be dead';
REVOKE ALL ON FUNCTION exact.adopt(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.adopt(text) TO exact_admin;

CREATE FUNCTION exact.install_schedule() RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	job record;
	has_cron boolean := EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_cron');
BEGIN
	FOR job IN
		SELECT * FROM (VALUES
			('exact-nightly', '15 2 * * *', 'SELECT exact.sync_now()'),
			('exact-audit', '45 3 * * 0', 'SELECT * FROM exact.verify_audit()')
		) AS j (name, schedule, command)
	LOOP
		IF has_cron THEN
			EXECUTE 'SELECT cron.schedule($1, $2, $3)' USING job.name, job.schedule, job.command;
			RETURN NEXT format('scheduled: %s at %s: %s', job.name, job.schedule, job.command);
		ELSE
			RETURN NEXT format('SELECT cron.schedule_in_database(%L, %L, %L, %L);', job.name, job.schedule, job.command, current_database());
		END IF;
	END LOOP;
END
$$;
COMMENT ON FUNCTION exact.install_schedule()
	IS 'Schedules the recommended jobs when pg_cron is in this database; else returns the statements to run in the database that has it';
REVOKE ALL ON FUNCTION exact.install_schedule() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.install_schedule() TO exact_admin;

