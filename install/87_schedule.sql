-- Jobs of pg_cron: the recommended ones, and how the last run of each ended.

-- The jobs are the caller's own, so the function that makes them runs as the caller; this row, and
-- with it the event, is not.
CREATE FUNCTION exact._record_schedule() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT exact._request_done('schedule', NULL, NULL, 'scheduled') $$;
COMMENT ON FUNCTION exact._record_schedule()
	IS 'Records that the caller had the recommended jobs scheduled';
REVOKE ALL ON FUNCTION exact._record_schedule() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._record_schedule() TO exact_admin;

CREATE FUNCTION exact.install_schedule() RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	job record;
	has_cron boolean := EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_cron');
BEGIN
	IF has_cron AND NOT has_schema_privilege('cron', 'USAGE') THEN
		RAISE EXCEPTION USING
			ERRCODE = 'insufficient_privilege',
			MESSAGE = format('role %I may not use pg_cron', current_user),
			HINT = 'As a superuser: GRANT USAGE ON SCHEMA cron TO exact_admin; then again.';
	END IF;
	IF has_cron AND NOT (SELECT r.rolcanlogin FROM pg_roles AS r WHERE r.rolname = current_user)
	THEN
		RAISE EXCEPTION USING
			ERRCODE = 'EX021',
			MESSAGE = format('role %I cannot log in, so pg_cron could not run its jobs',
				current_user),
			HINT = 'RESET ROLE, and schedule them as a role that can log in '
				'and is a member of exact_admin.';
	END IF;
	FOR job IN
		SELECT * FROM (VALUES
			('exact-nightly', '15 2 * * *', 'SELECT exact.sync_now()'),
			('exact-audit', '45 3 * * 0', 'SELECT exact.assert_audit()')
		) AS j (name, schedule, command)
	LOOP
		IF has_cron THEN
			EXECUTE 'SELECT cron.schedule($1, $2, $3)' USING job.name, job.schedule, job.command;
			RETURN QUERY SELECT format('scheduled: %s at %s: %s', job.name, job.schedule,
				job.command);
		ELSE
			RETURN QUERY SELECT format('SELECT cron.schedule_in_database(%L, %L, %L, %L);',
				job.name, job.schedule, job.command, current_database());
		END IF;
	END LOOP;
	IF has_cron THEN
		PERFORM exact._record_schedule();
	END IF;
END
$$;
COMMENT ON FUNCTION exact.install_schedule()
	IS 'Schedules the recommended jobs if pg_cron is in this database. If not, it returns the '
		'statements to run in the database that has pg_cron. EX021: the caller cannot log in, so '
		'its jobs could not run';
REVOKE ALL ON FUNCTION exact.install_schedule() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.install_schedule() TO exact_admin;

CREATE FUNCTION exact._check_schedule(
		OUT result text, OUT rule text, OUT finding text, OUT fix text)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	home text := current_setting('cron.database_name', true);
BEGIN
	rule := 'schedule';
	IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_cron') THEN
		result := 'warn';
		finding := concat('pg_cron is not in this database',
			CASE WHEN home <> current_database() THEN ', its jobs and their results are in ' END,
			CASE WHEN home <> current_database() THEN quote_ident(home) END);
		fix := 'optional: SELECT exact.install_schedule()';
		RETURN NEXT;
		RETURN;
	END IF;
	IF home IS NULL THEN
		result := 'warn';
		finding := 'pg_cron is in this database but not in shared_preload_libraries: no job runs';
		fix := 'add pg_cron there and restart PostgreSQL';
	ELSIF home <> current_database() THEN
		result := 'warn';
		finding := format('pg_cron is in this database but runs the jobs of database %I', home);
		fix := format('cron.database_name = %L and a restart', current_database());
	ELSE
		result := 'ok';
		finding := 'pg_cron is in this database';
	END IF;
	RETURN NEXT;
	IF to_regclass('cron.job_run_details') IS NULL THEN
		RETURN;
	END IF;
	RETURN QUERY EXECUTE $query$
		SELECT 'fail', 'job ' || coalesce(j.jobname::text, j.jobid::text),
			format('the last run%s%s failed: %s',
				CASE
					WHEN j.database <> current_database() THEN ' in database ' || j.database
				END,
				' at ' || exact._since(coalesce(r.start_time, r.end_time)),
				coalesce(split_part(btrim(r.return_message), E'\n', 1), 'no reason given')),
			CASE
				WHEN r.return_message ~* 'not permitted to log in'
					THEN 'schedule it as a role that can log in'
				WHEN r.return_message ~* 'connect|authentication|password'
					THEN 'cron.use_background_workers = on and a restart, '
						'or let pg_hba.conf admit the job''s user without a password'
				ELSE 'SELECT * FROM cron.job_run_details ORDER BY runid DESC'
			END
		FROM cron.job AS j
		CROSS JOIN LATERAL (
			SELECT d.status, d.return_message, d.start_time, d.end_time
			FROM cron.job_run_details AS d
			WHERE d.jobid = j.jobid AND d.status IN ('succeeded', 'failed')
			ORDER BY d.runid DESC
			LIMIT 1) AS r
		WHERE j.active AND j.command ~ '(^|[^[:alnum:]_])exact[.]' AND r.status = 'failed'
		ORDER BY j.jobid
	$query$;
END
$$;
COMMENT ON FUNCTION exact._check_schedule()
	IS 'Rows of exact.check(): where pg_cron is, and jobs of the hub whose last run failed';
REVOKE ALL ON FUNCTION exact._check_schedule() FROM PUBLIC;
