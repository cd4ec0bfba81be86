-- Which hub this is, whether it belongs to this database, and since which epoch it is the only one
-- that Databricks listens to.

CREATE FUNCTION exact._binding_finding() RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN b.one IS NULL AND i.id IS NULL THEN NULL
		WHEN b.one IS NULL THEN format('installation %s is not bound to this database', i.id)
		WHEN b.system_identifier = 'restored' THEN 'this database holds a restored hub'
		WHEN i.id IS DISTINCT FROM b.installation
			THEN format('installation %s was restored over %s', i.id, b.installation)
		WHEN b.system_identifier <> c.system_identifier::text
			THEN format('installation %s is bound to another cluster (database "%s")', i.id,
				b.database_name)
		WHEN b.database_oid <> d.oid
			THEN format('installation %s is bound to another database of this cluster ("%s")', i.id,
				b.database_name)
		WHEN b.instance <> coalesce(current_setting('exact_databricks.instance', true), '')
			THEN format('installation %s is bound to the instance "%s"', i.id, b.instance)
		WHEN b.overtaken_by IS NOT NULL
			THEN format(
				'another copy of installation %s works in Databricks (its epoch is %s, '
					'this one''s %s)',
				i.id, b.overtaken_by, b.epoch)
	END
	FROM pg_control_system() AS c
	CROSS JOIN pg_database AS d
	LEFT JOIN exact.installation_binding AS b ON true
	LEFT JOIN (SELECT id FROM exact.installation ORDER BY made_at, id LIMIT 1) AS i ON true
	WHERE d.datname = current_database()
$$;
COMMENT ON FUNCTION exact._binding_finding()
	IS 'Why the installation does not belong to this database; null: it does, or there is none yet';
REVOKE ALL ON FUNCTION exact._binding_finding() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._binding_finding() TO exact_reader, exact_worker;

CREATE FUNCTION exact._lock_installation() RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'exact__lock_installation';
COMMENT ON FUNCTION exact._lock_installation()
	IS 'Until the transaction ends: a worker that binds the installation and the sessions of a '
		'restore come one after the other, and see what the one before has done. Nobody else can '
		'take this lock. 55P03 with the holder''s process when lock_timeout ends the wait';
REVOKE ALL ON FUNCTION exact._lock_installation() FROM PUBLIC;

CREATE FUNCTION exact._timeline() RETURNS int
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	-- of the WAL that is written now: the control file keeps the old one until the checkpoint that
	-- follows a promotion
	SELECT ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int
$$;
COMMENT ON FUNCTION exact._timeline()
	IS 'Timeline of the cluster; another one than before: it was promoted or restored to '
		'a point in time';
REVOKE ALL ON FUNCTION exact._timeline() FROM PUBLIC;

CREATE FUNCTION exact._bind_here(installation text, epoch int) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	INSERT INTO exact.installation_binding (installation, system_identifier, database_oid,
		database_name, instance, epoch)
	SELECT $1, c.system_identifier::text, d.oid, d.datname,
		coalesce(current_setting('exact_databricks.instance', true), ''), $2
	FROM pg_control_system() AS c, pg_database AS d
	WHERE d.datname = current_database()
	ON CONFLICT (one) DO UPDATE
	SET installation = excluded.installation, system_identifier = excluded.system_identifier,
		database_oid = excluded.database_oid, database_name = excluded.database_name,
		instance = excluded.instance,
		epoch = excluded.epoch, bound_at = clock_timestamp(), bound_by = session_user
$$;
COMMENT ON FUNCTION exact._bind_here(text, int) IS 'Binds an installation to this database';
REVOKE ALL ON FUNCTION exact._bind_here(text, int) FROM PUBLIC;

CREATE FUNCTION exact._raise_epoch(reason text, known_seq bigint = NULL) RETURNS int
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	raised int;
BEGIN
	SELECT greatest(greatest(b.epoch, b.overtaken_by) + 1, exact._timeline())
	INTO STRICT raised
	FROM exact.installation_binding AS b
	FOR UPDATE;
	-- Not the counter of versions: after a crash it stands up to 32 higher than what was used.
	INSERT INTO exact.epoch (epoch, timeline, known_seq, reason)
	SELECT raised, exact._timeline(),
		coalesce(_raise_epoch.known_seq, (SELECT max(b.seq_max) FROM exact.batch AS b), 0),
		_raise_epoch.reason;
	UPDATE exact.installation_binding SET epoch = raised, overtaken_by = NULL;
	PERFORM exact._created();	-- at commit the workers look, and start anew with this epoch
	RETURN raised;
END
$$;
COMMENT ON FUNCTION exact._raise_epoch(text, bigint)
	IS 'Begins an epoch: versions staged from now on are newer than all that any copy of this hub '
		'ever wrote; its loader claims it in Databricks, its fetcher reads every feed '
		'from the start. known_seq: the highest version that no other copy can have given to '
		'another record; null: all that are here';
REVOKE ALL ON FUNCTION exact._raise_epoch(text, bigint) FROM PUBLIC;

CREATE FUNCTION exact._renumber(epoch int, batches bigint[]) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	high CONSTANT bigint := epoch::bigint << 40;
	low CONSTANT bigint := (1::bigint << 40) - 1;
	renumbered bigint;
BEGIN
	UPDATE exact.record AS r
	SET seq = high | (v.seq & low)
	FROM exact.stage AS v
	WHERE v.batch = ANY (batches)
		AND (r.division, r.entity, r.key, r.slot, r.batch, r.ord)
			= (v.division, v.entity, v.key, v.slot, v.batch, v.ord);
	UPDATE exact.stage AS v SET seq = high | (v.seq & low) WHERE v.batch = ANY (batches);
	GET DIAGNOSTICS renumbered = ROW_COUNT;
	UPDATE exact.batch AS b
	SET epoch = _renumber.epoch, seq_min = high | (b.seq_min & low),
		seq_max = high | (b.seq_max & low)
	WHERE b.id = ANY (batches);
	RETURN renumbered;
END
$$;
COMMENT ON FUNCTION exact._renumber(int, bigint[])
	IS 'Gives the versions of batches that wait numbers of this epoch, in the same order; '
		'how many they are';
REVOKE ALL ON FUNCTION exact._renumber(int, bigint[]) FROM PUBLIC;

CREATE FUNCTION exact._shut_out(reason text) RETURNS int
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	beside boolean;
	raised int;
	known bigint;
	moved bigint[];
BEGIN
	SELECT b.overtaken_by IS NOT NULL INTO beside FROM exact.installation_binding AS b FOR UPDATE;
	-- What was staged beside another copy may have numbers that this one has given to other
	-- versions. What a statement has carried is in Databricks, unless the other copy's claim
	-- refused it.
	SELECT max(b.seq_max) FILTER (WHERE NOT m.waits), array_agg(b.id) FILTER (WHERE m.waits)
	INTO known, moved
	FROM exact.batch AS b
	CROSS JOIN LATERAL (
		SELECT b.delivered_at IS NULL AND b.delivered_rows = 0 AND b.replay IS NULL
			AND (beside OR b.id > coalesce((SELECT max(l.last_batch)
				FROM exact.statement_log AS l
				WHERE l.entity = b.entity AND l.first_batch IS NOT NULL), 0)) AS waits
	) AS m;
	raised := exact._raise_epoch(reason, coalesce(known, 0));
	IF beside THEN
		PERFORM exact._renumber(raised, moved);	-- no worker works here, none is delayed
	END IF;
	RETURN raised;
END
$$;
COMMENT ON FUNCTION exact._shut_out(text)
	IS 'Begins an epoch beside another copy of this hub, which may work still: whatever has come '
		'into Databricks since the last version that was sent from here is compared, and where '
		'that copy has stopped this one, versions that wait get numbers of the new epoch';
REVOKE ALL ON FUNCTION exact._shut_out(text) FROM PUBLIC;

CREATE FUNCTION exact._set_back(epoch int, entity text, known_seq bigint, found_seq bigint)
RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	raised int;
	renumbered bigint;
	moved bigint[];
BEGIN
	-- The fetcher, which may stage just now, sees the new epoch when it closes its batch.
	LOCK TABLE exact.batch IN SHARE ROW EXCLUSIVE MODE;
	PERFORM FROM exact.installation_binding AS b WHERE b.epoch = _set_back.epoch FOR UPDATE;
	IF NOT FOUND THEN
		RETURN 0;
	END IF;
	raised := exact._raise_epoch(format('%s in Databricks has version %s, this hub sent only up to '
		'%s', entity, found_seq, known_seq), known_seq);
	-- What was staged since has numbers that Databricks may know: it gets others, in the same
	-- order. Of the other entities that is what no statement has carried yet.
	SELECT array_agg(b.id)
	INTO moved
	FROM exact.batch AS b
	WHERE b.delivered_at IS NULL AND b.replay IS NULL
		AND CASE
			WHEN b.entity = _set_back.entity THEN b.seq_max > _set_back.known_seq
			ELSE b.epoch = _set_back.epoch AND b.delivered_rows = 0
				AND b.id > coalesce((SELECT max(l.last_batch)
					FROM exact.statement_log AS l
					WHERE l.entity = b.entity AND l.first_batch IS NOT NULL), 0)
		END;
	renumbered := exact._renumber(raised, moved);
	PERFORM exact._request_done('fence', NULL, NULL, 'epoch raised',
		jsonb_build_object('epoch', raised, 'entity', entity, 'known_seq', known_seq,
			'found_seq', found_seq, 'renumbered', renumbered, 'first_batch', moved[1],
			'last_batch', moved[cardinality(moved)]));
	RETURN raised;
END
$$;
COMMENT ON FUNCTION exact._set_back(int, text, bigint, bigint)
	IS 'For the loader, which has found in Databricks a version of this epoch that this database '
		'never sent: begins an epoch, and gives versions that wait for their first sending numbers '
		'of it. 0: this is no longer the epoch';
REVOKE ALL ON FUNCTION exact._set_back(int, text, bigint, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._set_back(int, text, bigint, bigint) TO exact_worker;

CREATE FUNCTION exact._bind() RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	finding text := exact._binding_finding();
	timeline_was int;
	raised int;
	id text;
BEGIN
	IF finding IS NOT NULL THEN
		RETURN finding;
	ELSIF NOT EXISTS (SELECT FROM exact.installation_binding) THEN
		-- The first worker makes both rows; a second one, or one beside a restore, waits here and
		-- finds what came.
		PERFORM exact._lock_installation();
		finding := exact._binding_finding();
		IF finding IS NOT NULL THEN
			RETURN finding;
		ELSIF NOT EXISTS (SELECT FROM exact.installation_binding) THEN
			INSERT INTO exact.installation (id)
			VALUES (gen_random_uuid()::text)
			RETURNING installation.id INTO id;
			PERFORM exact._bind_here(id, exact._timeline());
			DELETE FROM exact.epoch;
			INSERT INTO exact.epoch (epoch, timeline, reason)
			VALUES (exact._timeline(), exact._timeline(), 'the installation began');
		END IF;
	END IF;
	SELECT e.timeline INTO timeline_was FROM exact.epoch AS e ORDER BY e.epoch DESC LIMIT 1;
	IF timeline_was IS DISTINCT FROM exact._timeline() THEN
		-- Promoted, or restored to a point in time: what this database knows may be less than what
		-- the old one did.
		PERFORM exact._lock_installation();
		SELECT e.timeline INTO timeline_was FROM exact.epoch AS e ORDER BY e.epoch DESC LIMIT 1;
		IF timeline_was IS DISTINCT FROM exact._timeline() AND exact._binding_finding() IS NULL THEN
			raised := exact._raise_epoch(
				format('timeline %s after %s', exact._timeline(),
					coalesce(timeline_was::text, 'none')));
			PERFORM exact._request_done('fence', NULL, NULL, 'epoch raised',
				jsonb_build_object('epoch', raised, 'timeline', exact._timeline(),
					'timeline_was', timeline_was));
		END IF;
	END IF;
	RETURN coalesce(exact._binding_finding(), 'bound');	-- a restore may have begun meanwhile
END
$$;
COMMENT ON FUNCTION exact._bind()
	IS 'For the workers, before they do anything: "bound", or the sentence why they must stay off. '
		'Makes the installation when there is none, and begins an epoch after a promotion or a '
		'point-in-time restore';
REVOKE ALL ON FUNCTION exact._bind() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._bind() TO exact_worker;

CREATE FUNCTION exact.adopt(installation text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	finding text := exact._binding_finding();
	oldest text;
	old_binding exact.installation_binding;
	loaded exact.dump_load;
	raised int;
BEGIN
	LOCK TABLE exact.installation_binding IN SHARE ROW EXCLUSIVE MODE;
	SELECT i.id INTO oldest FROM exact.installation AS i ORDER BY i.made_at, i.id LIMIT 1;
	SELECT * INTO old_binding FROM exact.installation_binding;
	IF oldest IS NULL AND old_binding.one IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'EX016',
			MESSAGE = 'there is nothing to adopt: no worker has made an installation yet',
			HINT = 'Start the workers: SELECT * FROM exact.check().';
	ELSIF oldest IS NOT NULL AND adopt.installation IS DISTINCT FROM oldest THEN
		RAISE EXCEPTION USING ERRCODE = 'EX016',
			MESSAGE = format('the installation of this database is not %s',
				quote_nullable(adopt.installation)),
			HINT = format('If its old hub is dead: SELECT exact.adopt(%L).', oldest);
	ELSIF finding IS NULL THEN
		RETURN format('installation %s is bound to this database already', oldest);
	END IF;
	IF oldest IS NULL THEN
		INSERT INTO exact.installation (id)
		VALUES (gen_random_uuid()::text)
		RETURNING id INTO oldest;
	END IF;
	DELETE FROM exact.installation AS i WHERE i.id <> oldest;
	PERFORM exact._bind_here(oldest,
		greatest(old_binding.epoch, (SELECT max(e.epoch) FROM exact.epoch AS e), 1));
	IF old_binding.overtaken_by IS NULL THEN
		raised := exact._raise_epoch('adopt(): ' || finding);	-- no worker has staged here
	ELSE
		raised := exact._shut_out('adopt(): ' || finding);
	END IF;
	-- What was changed here before has no events: it is written down as it was found.
	PERFORM exact._audit('sql', 'configuration', (g.row ->> 'division')::int, g.row ->> 'entity',
		jsonb_build_object('table', g.table_name, 'op', CASE WHEN g.row IS NULL THEN 'DELETE'
			ELSE 'FOUND' END, 'row', coalesce(g.row, l.what -> 'row')))
	FROM exact._audit_gaps() AS g
	LEFT JOIN exact.audit_log AS l ON l.chain = 'sql' AND l.id = g.id;
	PERFORM exact._request_done('adopt', NULL, NULL, 'adopted',
		jsonb_build_object('installation', oldest, 'was', finding,
			'from_cluster', old_binding.system_identifier,
			'from_database', old_binding.database_name, 'epoch', raised));
	DELETE FROM exact.dump_load RETURNING * INTO loaded;
	IF FOUND THEN
		PERFORM exact._audit('sql', 'installation', NULL, NULL,
			jsonb_build_object('event', 'a dump was loaded', 'begun_at', loaded.begun_at,
				'begun_by', loaded.begun_by));
	END IF;
	RAISE WARNING USING ERRCODE = 'EX016',
		MESSAGE = 'the old hub of this installation must be dead',
		DETAIL = 'Two hubs with the same tokens end each other''s authorisation in Exact Online.',
		HINT = 'Make sure that no other copy of this database runs with exact_databricks in '
			'shared_preload_libraries.';
	RETURN format(
		'installation %s is bound to this database now, epoch %s: '
			'every feed is read again from its start',
		oldest, raised);
END
$$;
COMMENT ON FUNCTION exact.adopt(text)
	IS 'Lets a restored or copied hub work in this database. installation: its id, as a '
		'confirmation. The hub begins an epoch, so Databricks refuses the old hub; the old hub '
		'must be stopped. Every feed is read again from its start. EX016: the id is another one, '
		'or there is nothing to adopt';
REVOKE ALL ON FUNCTION exact.adopt(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.adopt(text) TO exact_admin;

CREATE FUNCTION exact.fence() RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	finding text := exact._binding_finding();
	raised int;
BEGIN
	IF NOT EXISTS (SELECT FROM exact.installation_binding) THEN
		RAISE EXCEPTION USING ERRCODE = 'EX016',
			MESSAGE = 'there is nothing to fence: no worker has made an installation yet',
			HINT = 'Start the workers: SELECT * FROM exact.check().';
	ELSIF finding IS NOT NULL
			AND NOT EXISTS (SELECT FROM exact.installation_binding AS b
				WHERE b.overtaken_by IS NOT NULL) THEN
		RAISE EXCEPTION USING ERRCODE = 'EX016',
			MESSAGE = format('this hub does not work: %s', finding),
			HINT = format('If its old hub is dead: SELECT exact.adopt(%L).',
				(SELECT i.id FROM exact.installation AS i ORDER BY i.made_at, i.id LIMIT 1));
	END IF;
	raised := exact._shut_out('fence() by ' || session_user);
	PERFORM exact._request_done('fence', NULL, NULL, 'epoch raised',
		jsonb_build_object('epoch', raised, 'was', finding));
	RETURN format(
		'epoch %s: Databricks refuses every other copy of this hub once the loader has claimed '
			'it; every feed is read again from its start',
		raised);
END
$$;
COMMENT ON FUNCTION exact.fence()
	IS 'Shuts out every other copy of this hub. It begins an epoch, which the loader claims in '
		'Databricks before the next delivery. Databricks then refuses a copy that still runs, and '
		'that copy stops with an alarm. Every feed is read again from its start. EX016: this '
		'database is not the hub''s';
REVOKE ALL ON FUNCTION exact.fence() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.fence() TO exact_admin;
