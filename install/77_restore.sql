-- How a restored copy is told from the original: the triggers that a restore fires.

-- A dump is loaded while workers may run: the first configuration row that comes puts them off
-- until exact.adopt().
CREATE FUNCTION exact._restored() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT exact._restoring()
			OR current_setting('shared_preload_libraries') NOT LIKE E'%exact\\_databricks%' THEN
		RETURN NULL;
	ELSIF tg_table_name NOT IN ('app', 'workspace', 'epoch', 'installation',
			'installation_binding') THEN
		-- Rows of a table alone, loaded into a hub that works. One that is being restored has no
		-- app yet, or is known as restored.
		IF EXISTS (SELECT FROM exact.installation_binding) AND EXISTS (SELECT FROM exact.app)
				AND exact._binding_finding() IS NULL THEN
			PERFORM exact._audit('sql', 'installation', NULL, NULL,
				jsonb_build_object('event', 'a dump was loaded', 'rows_of', tg_table_name));
		END IF;
		RETURN NULL;
	END IF;
	PERFORM exact._lock_installation();
	IF NOT EXISTS (SELECT FROM exact.app)
			AND NOT EXISTS (SELECT FROM exact.workspace)
			AND NOT EXISTS (SELECT FROM exact.epoch)
			AND NOT EXISTS (SELECT FROM exact.installation) THEN
		RETURN NULL;
	ELSIF exact._binding_finding() IS NULL THEN
		-- An installation that a worker made a moment ago has nothing bound to it; here and below
		-- it gives way to the dump's.
		DELETE FROM exact.installation
		WHERE NOT EXISTS (SELECT FROM exact.token) AND NOT EXISTS (SELECT FROM exact.credential);
		INSERT INTO exact.installation_binding (installation, system_identifier, database_oid,
			database_name)
		VALUES ('', 'restored', 0, current_database())
		ON CONFLICT (one) DO UPDATE SET system_identifier = 'restored'
		WHERE installation_binding.database_oid = (
			SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database());
	END IF;
	DELETE FROM exact.installation AS i
	WHERE i.id <> (SELECT o.id FROM exact.installation AS o ORDER BY o.made_at, o.id LIMIT 1)
		AND NOT EXISTS (SELECT FROM exact.token AS t WHERE t.installation = i.id);
	INSERT INTO exact.dump_load DEFAULT VALUES ON CONFLICT DO NOTHING;
	PERFORM exact._restart_workers();
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION exact._restored()
	IS 'Trigger: a dump is being loaded; the workers stay off until exact.adopt(), which makes an '
		'event of it. Rows of other tables alone make theirs at once';
REVOKE ALL ON FUNCTION exact._restored() FROM PUBLIC;

CREATE FUNCTION exact._replace_binding() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF exact._restoring() AND new.system_identifier <> 'restored' THEN
		PERFORM exact._lock_installation();
		DELETE FROM exact.installation_binding;
	END IF;
	RETURN new;
END
$$;
COMMENT ON FUNCTION exact._replace_binding()
	IS 'Trigger: the binding of a dump replaces what a worker or the restore has put there';
REVOKE ALL ON FUNCTION exact._replace_binding() FROM PUBLIC;
CREATE TRIGGER replace_binding BEFORE INSERT ON exact.installation_binding
	FOR EACH ROW EXECUTE FUNCTION exact._replace_binding();
COMMENT ON TRIGGER replace_binding ON exact.installation_binding
	IS 'The binding of a dump replaces what is there';

CREATE FUNCTION exact._replace_epochs() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF exact._restoring() THEN
		PERFORM exact._lock_installation();
		DELETE FROM exact.epoch;
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION exact._replace_epochs()
	IS 'Trigger: the epochs of a dump replace what a worker has put there';
REVOKE ALL ON FUNCTION exact._replace_epochs() FROM PUBLIC;
CREATE TRIGGER replace_epochs BEFORE INSERT ON exact.epoch
	FOR EACH STATEMENT EXECUTE FUNCTION exact._replace_epochs();
COMMENT ON TRIGGER replace_epochs ON exact.epoch IS 'The epochs of a dump replace what is there';

DO $restored$
DECLARE
	name text;
BEGIN
	FOREACH name IN ARRAY ARRAY['app', 'workspace', 'epoch', 'installation', 'installation_binding',
		'division', 'entity', 'entity_field', 'feed', 'rule', 'credential', 'request', 'inbox'] LOOP
		EXECUTE pg_catalog.format(
			'CREATE TRIGGER restored AFTER INSERT ON exact.%I FOR EACH STATEMENT EXECUTE FUNCTION '
				'exact._restored()',
			name);
		EXECUTE pg_catalog.format('COMMENT ON TRIGGER restored ON exact.%I IS %L', name,
			'Puts the workers off while a dump is loaded, or tells of rows that were');
	END LOOP;
END
$restored$;
