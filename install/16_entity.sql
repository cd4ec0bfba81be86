-- Entities: which exist, which of them a division reads.

CREATE FUNCTION exact._entity_finding(entity text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('%s cannot be read: %s', e.entity, e.unavailable)
	FROM exact.entity_effective AS e
	WHERE e.entity = $1 AND e.unavailable IS NOT NULL
$$;
COMMENT ON FUNCTION exact._entity_finding(text)
	IS 'Why an entity cannot be enabled; null: it can, or it is not known';
REVOKE ALL ON FUNCTION exact._entity_finding(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._entity_finding(text) TO exact_worker;

CREATE FUNCTION exact._nearest(wanted text, names text[]) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH piece AS (
		SELECT DISTINCT substr(lower($1), i, 3) AS piece
		FROM generate_series(1, greatest(length($1) - 2, 1)) AS i
	), near AS (
		SELECT n.name
		FROM unnest($2) AS n (name)
		CROSS JOIN LATERAL (
			SELECT count(*) AS shared FROM piece WHERE strpos(lower(n.name), piece) > 0
		) AS s
		WHERE s.shared > 0
		ORDER BY s.shared::numeric / (length(n.name) + length($1)) DESC, n.name
		LIMIT 3
	)
	SELECT string_agg(name, ', ') FROM near
$$;
COMMENT ON FUNCTION exact._nearest(text, text[])
	IS 'The names most like a wanted one, by pieces of three letters; null: none is like it';
REVOKE ALL ON FUNCTION exact._nearest(text, text[]) FROM PUBLIC;

CREATE FUNCTION exact._refuse_entity(entity text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RAISE EXCEPTION USING ERRCODE = 'EX015',
		MESSAGE = format('entity %s is not known', quote_nullable($1)),
		HINT = coalesce('Near to it: '
			|| exact._nearest($1, ARRAY(SELECT c.entity FROM exact.catalogue AS c)
				|| ARRAY['finance', 'commerce', 'all']) || '.',
			'All are in exact.catalogue.')
			|| ' A path such as ''project/Projects'' works too; '
				'exact.enable_entities() also takes the presets finance, commerce and all.';
END
$$;
COMMENT ON FUNCTION exact._refuse_entity(text) IS 'Raises EX015 with the nearest names';
REVOKE ALL ON FUNCTION exact._refuse_entity(text) FROM PUBLIC;

CREATE FUNCTION exact._require_division(division int) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM exact.division AS d WHERE d.division = $1) THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('division %s is not known', coalesce($1::text, 'null')),
			HINT = 'SELECT * FROM exact.discover_divisions(app) fills exact.division.';
	END IF;
	PERFORM exact._require_visible($1);
END
$$;
COMMENT ON FUNCTION exact._require_division(int)
	IS 'Raises when a division is not in exact.division, or the caller is restricted to others';
REVOKE ALL ON FUNCTION exact._require_division(int) FROM PUBLIC;

-- Names of the catalogue for a name or a path in any case.
CREATE FUNCTION exact._named_entities(wanted text) RETURNS SETOF text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	path text := regexp_replace(lower(wanted), E'^/?(api/v1/\\{division\\}/)?', '');
BEGIN
	RETURN QUERY SELECT c.entity FROM exact.catalogue AS c WHERE c.entity = path;
	IF NOT found THEN
		RETURN QUERY
			SELECT c.entity
			FROM exact.catalogue AS c
			WHERE path IN (lower(c.plain_resource), lower(c.resource))
			ORDER BY c.merge_rank, c.entity;
		IF NOT found THEN
			PERFORM exact._refuse_entity(wanted);
		END IF;
	END IF;
END
$$;
COMMENT ON FUNCTION exact._named_entities(text)
	IS 'Entities that a name or a path means; raises EX015 when there is none';
REVOKE ALL ON FUNCTION exact._named_entities(text) FROM PUBLIC;

CREATE FUNCTION exact._tell_enabled(of_division int, fresh text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	n CONSTANT int := coalesce(cardinality(fresh), 0);
	entities CONSTANT text := CASE WHEN n = 1 THEN fresh[1] ELSE n || ' entities' END;
	personal text;
BEGIN
	IF n = 0 THEN
		RETURN;
	ELSIF EXISTS (SELECT FROM exact.division AS d WHERE d.division = $1 AND d.enabled) THEN
		RAISE NOTICE USING
			MESSAGE = format('the first load of %s of division %s begins', entities, $1),
			DETAIL = 'It takes one call per 1,000 records, and one per 60 where Exact Online has '
				'no list by row version.',
			HINT = 'SELECT * FROM exact.progress shows how far it is.';
	ELSE
		RAISE NOTICE USING
			MESSAGE = format('division %s is not enabled: %s will be read once it is', $1,
				entities),
			HINT = format('UPDATE exact.division SET enabled = true WHERE division = %1$s. '
				'SELECT * FROM exact.estimate(%1$s, entities) tells before what that takes.', $1);
	END IF;
	SELECT string_agg(c.entity, ', ' ORDER BY c.entity) INTO personal
	FROM exact.catalogue AS c
	WHERE c.personnel AND c.entity = ANY (fresh);
	IF personal IS NOT NULL THEN
		RAISE NOTICE USING
			MESSAGE = format('personal data of employees: %s', personal),
			DETAIL = 'Members of exact_reader see it here, and in Databricks whoever may read the '
				'schema.',
			HINT = 'exact.entity_field chooses which fields are read; '
				'SELECT exact.restrict_reader(role, divisions) limits a reader.';
	END IF;
END
$$;
COMMENT ON FUNCTION exact._tell_enabled(int, text[])
	IS 'Tells who enables entities what begins, and which of them hold personal data';
REVOKE ALL ON FUNCTION exact._tell_enabled(int, text[]) FROM PUBLIC;

-- by_preset: it was not named itself
CREATE FUNCTION exact._wanted_entities(
		entities text[], OUT entity text, OUT finding text, OUT by_preset boolean)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	wanted text;
BEGIN
	FOREACH wanted IN ARRAY entities LOOP
		IF lower(wanted) IN ('finance', 'commerce', 'all') THEN
			RETURN QUERY
				SELECT c.entity, exact._entity_finding(c.entity), true
				FROM exact.catalogue AS c
				WHERE lower(wanted) = ANY (c.presets)
				ORDER BY c.merge_rank, c.entity;
		ELSE
			by_preset := false;
			FOR entity IN SELECT * FROM exact._named_entities(wanted) LOOP
				finding := exact._entity_finding(entity);
				RETURN NEXT;
			END LOOP;
		END IF;
	END LOOP;
END
$$;
COMMENT ON FUNCTION exact._wanted_entities(text[])
	IS 'Entities that names, paths and presets mean, and why one cannot be read; raises EX015 when '
		'one is not known';
REVOKE ALL ON FUNCTION exact._wanted_entities(text[]) FROM PUBLIC;

CREATE FUNCTION exact.enable_entities(division int, VARIADIC entities text[]) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	wanted record;
	names text[] := '{}';
	skipped text[] := '{}';
	fresh text[];
BEGIN
	PERFORM exact._require_division(division);
	FOR wanted IN SELECT * FROM exact._wanted_entities(entities) LOOP
		IF wanted.finding IS NULL THEN
			names := names || wanted.entity;
		ELSIF wanted.by_preset THEN
			skipped := skipped || wanted.entity;
		ELSE
			RAISE EXCEPTION USING ERRCODE = 'EX020', MESSAGE = wanted.finding,
				HINT = 'SELECT entity, unavailable FROM exact.entity_effective shows what can be '
					'read.';
		END IF;
	END LOOP;
	IF skipped <> '{}' THEN
		RAISE WARNING USING ERRCODE = 'EX020',
			MESSAGE = format('%s entities of the preset are skipped: they cannot be read',
				cardinality(skipped)),
			DETAIL = array_to_string(skipped[1:30], ', ')
				|| CASE WHEN cardinality(skipped) > 30 THEN ', …' ELSE '.' END,
			HINT = 'Everything else is enabled. SELECT entity, unavailable FROM '
				'exact.entity_effective says why.';
	END IF;
	WITH changed AS (
		INSERT INTO exact.feed AS f (division, entity)
		SELECT DISTINCT enable_entities.division, n
		FROM unnest(names) AS n
		ON CONFLICT ON CONSTRAINT feed_pkey DO UPDATE SET enabled = true WHERE NOT f.enabled
		RETURNING f.entity
	)
	SELECT array_agg(changed.entity) INTO fresh FROM changed;
	-- What an entity missed while its feed read on for others is only found by reading from the
	-- start.
	PERFORM exact._read_from_start(enable_entities.division, f.feed,
		CASE
			WHEN EXISTS (SELECT FROM exact.feed AS o
					JOIN exact.catalogue AS c ON c.entity = o.entity
					WHERE o.division = enable_entities.division AND o.enabled AND c.feed = f.feed
						AND o.entity <> ALL (fresh))
				THEN 'joined'
			ELSE 'enabled'
		END)
	FROM (SELECT DISTINCT c.feed FROM exact.catalogue AS c WHERE c.entity = ANY (fresh)) AS f;
	PERFORM exact._tell_enabled(enable_entities.division, fresh);
	RETURN QUERY SELECT DISTINCT n FROM unnest(names) AS n ORDER BY 1;
END
$$;
COMMENT ON FUNCTION exact.enable_entities(int, text[])
	IS 'Starts reading these entities of a division: names, paths such as project/Projects, or '
		'the presets finance, commerce, all. Returns the names. EX015: an entity is not known; '
		'EX020: it cannot be read';
REVOKE ALL ON FUNCTION exact.enable_entities(int, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.enable_entities(int, text[]) TO exact_admin;

CREATE FUNCTION exact.disable_entities(division int, VARIADIC entities text[]) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	names text[];
BEGIN
	PERFORM exact._require_division(division);
	names := ARRAY(SELECT w.entity FROM exact._wanted_entities(entities) AS w);
	RETURN QUERY
		WITH changed AS (
			UPDATE exact.feed AS f SET enabled = false
			WHERE f.division = disable_entities.division AND f.enabled AND f.entity = ANY (names)
			RETURNING f.entity
		)
		SELECT changed.entity FROM changed ORDER BY 1;
END
$$;
COMMENT ON FUNCTION exact.disable_entities(int, text[])
	IS 'Stops reading these entities of a division: names, paths or presets. Returns the names '
		'that were enabled. What was read and delivered stays';
REVOKE ALL ON FUNCTION exact.disable_entities(int, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.disable_entities(int, text[]) TO exact_admin;

CREATE FUNCTION exact._check_entity() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	other text;
BEGIN
	IF exact._restoring() THEN
		RETURN new;
	ELSIF NOT EXISTS (SELECT FROM exact.catalogue AS c WHERE c.entity = new.name) THEN
		PERFORM exact._refuse_entity(new.name);
	ELSIF new.method NOT IN ('sync', 'full', 'expanded', 'modified') THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('%s is not a feed', quote_literal(new.method)),
			HINT = 'Feeds are sync, full, expanded and modified.';
	ELSIF new.target_table !~ '^[A-Za-z0-9_]{1,120}$'
			OR new.target_history !~ '^[A-Za-z0-9_]{1,120}$' THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('%s is not a name of a Delta table',
				quote_literal(CASE
					WHEN new.target_table !~ '^[A-Za-z0-9_]{1,120}$' THEN new.target_table
					ELSE new.target_history
				END)),
			HINT = 'Use letters, digits and _; catalog and schema come from exact.workspace.';
	ELSIF new.sync_interval <= interval '0' OR new.merge_interval <= interval '0' THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021', MESSAGE = 'intervals must be longer than nothing',
			HINT = 'Leave them null to use the settings and the catalogue.';
	ELSIF new.resource !~ '^[A-Za-z]+(/[A-Za-z]+)+$' THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('%s is not a path below the division', quote_literal(new.resource)),
			HINT = 'Paths look like sync/Logistics/Items.';
	END IF;
	SELECT e.entity
	INTO other
	FROM exact.entity_effective AS e
	WHERE e.entity <> new.name
		AND ARRAY[lower(e.target_table), lower(e.target_history)]
			&& ARRAY[lower(coalesce(new.target_table, new.name)),
				lower(coalesce(new.target_history,
					coalesce(new.target_table, new.name) || '_history'))]
	LIMIT 1;
	IF other IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('entity %s would share a Delta table with %s', new.name, other),
			HINT = 'Choose other names for target_table and target_history.';
	ELSIF lower(coalesce(new.target_history, '')) = lower(coalesce(new.target_table, new.name)) THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('the history of %s needs a table of its own', new.name),
			HINT = 'Choose another name for target_history.';
	END IF;
	RETURN new;
END
$$;
COMMENT ON FUNCTION exact._check_entity() IS 'Trigger: what a row of exact.entity must be';
REVOKE ALL ON FUNCTION exact._check_entity() FROM PUBLIC;
CREATE TRIGGER check_row BEFORE INSERT OR UPDATE ON exact.entity
	FOR EACH ROW EXECUTE FUNCTION exact._check_entity();
COMMENT ON TRIGGER check_row ON exact.entity
	IS 'Refuses unknown entities, feeds and shared Delta tables, with a hint';

CREATE FUNCTION exact._check_entity_field() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	field exact.catalogue_field;
	decimals int[] := regexp_match(new.target_type,
		E'^DECIMAL\\(([0-9]{1,2}),([0-9]{1,2})\\)$')::int[];
BEGIN
	IF exact._restoring() THEN
		RETURN new;
	ELSIF NOT EXISTS (SELECT FROM exact.catalogue AS c WHERE c.entity = new.entity) THEN
		PERFORM exact._refuse_entity(new.entity);
	END IF;
	SELECT *
	INTO field
	FROM exact.catalogue_field AS f
	WHERE f.entity = new.entity AND f.name = new.name;
	IF field.name IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'EX015',
			MESSAGE = format('%s has no field %s', new.entity, quote_nullable(new.name)),
			HINT = coalesce('Near to it: '
				|| exact._nearest(new.name,
					ARRAY(SELECT f.name
						FROM exact.catalogue_field AS f
						WHERE f.entity = new.entity))
				|| '.',
				'All are in exact.catalogue_field.');
	ELSIF field.key AND NOT new.selected THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('%s is the key of %s and stays selected', new.name, new.entity),
			HINT = 'Deselect other fields.';
	ELSIF new.target_type IS NOT NULL AND field.target_type IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('%s.%s has no column', new.entity, new.name),
			HINT = 'Binary values and collections are in _payload of the history only.';
	ELSIF new.target_type NOT IN ('STRING', 'BIGINT', 'INT', 'BOOLEAN', 'DATE', 'TIMESTAMP_NTZ',
		'DOUBLE')
		AND NOT coalesce(decimals[1] BETWEEN 1 AND 38 AND decimals[2] <= decimals[1], false) THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('%s is not a type of a Delta column', quote_literal(new.target_type)),
			HINT = 'Types are STRING, BIGINT, INT, BOOLEAN, DATE, TIMESTAMP_NTZ, DOUBLE and '
				'DECIMAL(p,s) with p up to 38.';
	ELSIF (tg_op = 'INSERT' OR new.target_type IS DISTINCT FROM old.target_type)
		AND coalesce(new.target_type, field.target_type)
			<> coalesce(CASE WHEN tg_op = 'UPDATE' THEN old.target_type END, field.target_type)
		AND EXISTS (SELECT FROM exact.target_state AS t
			WHERE t.entity = new.entity AND t.created_at IS NOT NULL) THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('the Delta table of %s exists, the type of %s stays', new.entity,
				new.name),
			HINT = 'Types are set before the first load. Give the entity another target_table and '
				'target_history to load it anew.';
	END IF;
	RETURN new;
END
$$;
COMMENT ON FUNCTION exact._check_entity_field()
	IS 'Trigger: what a row of exact.entity_field must be';
REVOKE ALL ON FUNCTION exact._check_entity_field() FROM PUBLIC;
CREATE TRIGGER check_row BEFORE INSERT OR UPDATE ON exact.entity_field
	FOR EACH ROW EXECUTE FUNCTION exact._check_entity_field();
COMMENT ON TRIGGER check_row ON exact.entity_field
	IS 'Refuses unknown fields and bad types, with a hint';

CREATE FUNCTION exact._check_feed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF exact._restoring() THEN
		RETURN new;
	END IF;
	PERFORM exact._require_division(new.division);
	IF NOT EXISTS (SELECT FROM exact.catalogue AS c WHERE c.entity = new.entity) THEN
		PERFORM exact._refuse_entity(new.entity);
	ELSIF new.enabled AND exact._entity_finding(new.entity) IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'EX020', MESSAGE = exact._entity_finding(new.entity),
			HINT = 'SELECT entity, unavailable FROM exact.entity_effective shows what can be read.';
	END IF;
	RETURN new;
END
$$;
COMMENT ON FUNCTION exact._check_feed() IS 'Trigger: what a row of exact.feed must be';
REVOKE ALL ON FUNCTION exact._check_feed() FROM PUBLIC;
CREATE TRIGGER check_row BEFORE INSERT OR UPDATE ON exact.feed
	FOR EACH ROW EXECUTE FUNCTION exact._check_feed();
COMMENT ON TRIGGER check_row ON exact.feed IS 'Refuses unknown divisions and entities, with a hint';
