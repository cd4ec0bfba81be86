-- What a first load would cost, before it begins.

-- How many calls of a division a first load may make: a minute, today, and on each further day.
-- What was never heard of a division is what Exact Online usually allows.
CREATE FUNCTION exact._load_budget(
		division int, OUT a_minute int, OUT today int, OUT a_day int, OUT to_reset numeric)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	reserve CONSTANT int := coalesce(
		nullif(current_setting('exact_databricks.live_reserve', true), '')::int, 30);
	minute_limit int;
	day_limit int;
	day_left int;
	day_reset timestamptz;
BEGIN
	SELECT s.minute_limit, s.day_limit, s.day_left, s.day_reset
	INTO minute_limit, day_limit, day_left, day_reset
	FROM exact.division_state AS s
	WHERE s.division = $1;
	minute_limit := coalesce(nullif(minute_limit, 0), 60);
	day_limit := coalesce(nullif(day_limit, 0), 5000);
	IF day_reset IS NULL OR day_reset <= now() THEN
		day_left := day_limit;
		day_reset := now() + interval '1 day';
	END IF;
	-- as budget.c keeps them back
	a_minute := greatest(minute_limit - 3 - minute_limit * reserve / 100, 1);
	a_day := greatest(day_limit - 2 - day_limit * reserve / 100, 1);
	today := greatest(least(day_left, day_limit) - (day_limit - a_day), 0);
	to_reset := extract(epoch FROM day_reset - now()) / 60;
END
$$;
COMMENT ON FUNCTION exact._load_budget(int)
	IS 'Calls that a first load of a division may make beside its live changes: a minute, today, '
		'on each further day; and the minutes until the day''s limit resets';
REVOKE ALL ON FUNCTION exact._load_budget(int) FROM PUBLIC;

CREATE FUNCTION exact._load_minutes(
		calls bigint, a_minute int, today int, a_day int, to_reset numeric)
RETURNS numeric
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	further CONSTANT bigint := calls - today;
BEGIN
	IF further <= 0 THEN
		RETURN round(ceil(calls * 10.0 / a_minute) / 10, 1);
	END IF;
	-- the last of the further days is not waited for to its end
	RETURN round(ceil(10 * (greatest(to_reset, today::numeric / a_minute)
		+ (further - 1) / a_day * greatest(1440, a_day::numeric / a_minute)
		+ ((further - 1) % a_day + 1)::numeric / a_minute)) / 10, 1);
END
$$;
COMMENT ON FUNCTION exact._load_minutes(bigint, int, int, int, numeric)
	IS 'Minutes that so many calls take within a budget of exact._load_budget()';
REVOKE ALL ON FUNCTION exact._load_minutes(bigint, int, int, int, numeric) FROM PUBLIC;

-- The lists to count for entities, in the order of their delivery. A set that is read by row
-- version is read as a whole; of a document that is read with its lines, the documents make the
-- pages. wanted: somebody asked for the entity itself.
CREATE FUNCTION exact._lists_to_count(
		entities text[], OUT entity text, OUT feed text, OUT wanted boolean, OUT fills boolean,
		OUT page int, OUT path text, OUT filter text)
RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT e.entity, e.feed, e.entity = ANY (entities),
		e.method <> 'expanded' OR e.row_kind IS DISTINCT FROM 'line',
		CASE WHEN e.resource ~* '^(sync|bulk)/' THEN 1000 ELSE 60 END,
		-- Exact Online counts no list by row version, and no bulk one
		CASE
			WHEN e.resource !~* '^(sync|bulk)/' THEN e.resource
			WHEN e.plain_resource !~* '^(sync|bulk)/' THEN e.plain_resource
		END,
		CASE
			WHEN EXISTS (SELECT FROM exact.catalogue_field AS f
					WHERE f.entity = e.entity AND f.name = 'Created'
						AND f.edm_type = 'Edm.DateTime')
				THEN 'Created ge datetime''1900-01-01T00:00:00'''
		END
	FROM exact.entity_effective AS e
	WHERE e.feed IN (SELECT c.feed FROM exact.catalogue AS c WHERE c.entity = ANY (entities))
		AND e.unavailable IS NULL
		AND (e.entity = ANY (entities) OR e.method <> 'expanded'
			OR e.row_kind IS DISTINCT FROM 'line')
	ORDER BY e.merge_rank, e.feed, e.entity
$$;
COMMENT ON FUNCTION exact._lists_to_count(text[])
	IS 'Which lists say how long a first load of entities takes, with the rows of a page; filter: '
		'one that every record passes, for lists that are read with a filter only';
REVOKE ALL ON FUNCTION exact._lists_to_count(text[]) FROM PUBLIC;

-- The numbers of lists, {"items": {"n": 117}, "accounts": {"why": "…"}}. It waits for the next
-- minute's calls, as long as one of three waits brings it further.
CREATE FUNCTION exact._count_lists(division int, lists jsonb) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	at_once CONSTANT int := 20;
	answers jsonb := '{}';
	filtered text[] := '{}';
	part jsonb;
	args text[];
	list record;
	answer jsonb;
	until timestamptz;
	known int;
	before int := -1;
	waits int := 0;
BEGIN
	LOOP
		part := '[]';
		args := ARRAY[division::text];
		FOR list IN
			SELECT l.entity, l.path, l.filter
			FROM jsonb_to_recordset(lists) AS l (entity text, path text, filter text)
			WHERE l.path IS NOT NULL AND NOT answers ? l.entity
			LIMIT at_once
		LOOP
			part := part || to_jsonb(list);
			args := args || ARRAY[list.path,
				CASE WHEN list.entity = ANY (filtered) THEN list.filter END];
		END LOOP;
		IF part = '[]' THEN
			-- what may be asked for within two minutes is
			SELECT coalesce(jsonb_object_agg(a.key, a.value) FILTER (WHERE NOT t.soon), '{}'),
				count(*) FILTER (WHERE NOT t.soon),
				max((a.value ->> 'until')::timestamptz) FILTER (WHERE t.soon)
			INTO part, known, until
			FROM jsonb_each(answers) AS a
			CROSS JOIN LATERAL (SELECT coalesce((a.value ->> 'until')::timestamptz
				< clock_timestamp() + interval '2 minutes', false) AS soon OFFSET 0) AS t;
			waits := CASE WHEN known > before THEN 1 ELSE waits + 1 END;
			EXIT WHEN until IS NULL OR waits > 3;
			before := known;
			answers := part;
			RAISE NOTICE USING
				MESSAGE = format('%s of %s lists are done: the next call goes out at %s', known,
					(SELECT count(*) FROM jsonb_array_elements(lists) AS l
						WHERE l ->> 'path' IS NOT NULL),
					to_char(until, 'HH24:MI:SS'));
			PERFORM pg_sleep(greatest(extract(epoch FROM until - clock_timestamp()), 0.1)::float8);
			CONTINUE;
		END IF;
		FOR list IN
			SELECT p.value AS of, a.value AS answer
			FROM jsonb_array_elements(part) WITH ORDINALITY AS p
			JOIN jsonb_array_elements(
					exact._ask('fetcher', 'count', VARIADIC args)::jsonb) WITH ORDINALITY AS a
				USING (ordinality)
		LOOP
			-- a list that is read with a filter only
			IF (list.answer ->> 'status')::int = 400 AND list.of ->> 'filter' IS NOT NULL
					AND NOT list.of ->> 'entity' = ANY (filtered) THEN
				filtered := filtered || (list.of ->> 'entity');
			ELSE
				answers := answers || jsonb_build_object(list.of ->> 'entity', list.answer);
			END IF;
		END LOOP;
	END LOOP;
	RETURN answers;
END
$$;
COMMENT ON FUNCTION exact._count_lists(int, jsonb)
	IS 'Asks Exact Online how many records lists have: one call each, two where it wants a filter';
REVOKE ALL ON FUNCTION exact._count_lists(int, jsonb) FROM PUBLIC;

CREATE FUNCTION exact.estimate(
		division int, entities text[], OUT entity text, OUT records bigint, OUT calls bigint,
		OUT minutes numeric, OUT note text)
RETURNS SETOF record
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	names text[];
	lists jsonb;
	answers jsonb;
	budget record;
	r record;
	known int := 0;
	all_records bigint := 0;
	all_calls bigint := 0;
BEGIN
	PERFORM exact._require_division(division);
	IF coalesce(cardinality(entities), 0) = 0 THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021', MESSAGE = 'no entity is given',
			HINT = format('SELECT * FROM exact.estimate(%s, ARRAY[''finance'']).', division);
	END IF;
	names := ARRAY(SELECT DISTINCT w.entity FROM exact._wanted_entities(entities) AS w);
	lists := coalesce((SELECT jsonb_agg(l) FROM exact._lists_to_count(names) AS l), '[]');
	answers := exact._count_lists(division, lists);
	SELECT * INTO budget FROM exact._load_budget(division);
	FOR r IN
		WITH list AS (
			SELECT l.ordinality AS ord, l.value ->> 'entity' AS entity, l.value ->> 'feed' AS feed,
				(l.value ->> 'wanted')::boolean AS wanted, (l.value ->> 'fills')::boolean AS fills,
				(l.value ->> 'page')::bigint AS page,
				(answers -> (l.value ->> 'entity') ->> 'n')::bigint AS n,
				coalesce((answers -> (l.value ->> 'entity') ->> 'why')
						|| coalesce(', until '
							|| (answers -> (l.value ->> 'entity') ->> 'until')::timestamptz(0), ''),
					'Exact Online gives no number of records of a list by row version') AS why
			FROM jsonb_array_elements(lists) WITH ORDINALITY AS l
		), feed AS (
			SELECT l.feed, (array_agg(l.entity ORDER BY l.ord) FILTER (WHERE l.wanted))[1] AS first,
				-- a full last page has an empty one behind it
				CASE
					WHEN bool_and(l.n IS NOT NULL) FILTER (WHERE l.fills)
						THEN (sum(l.n) FILTER (WHERE l.fills))::bigint / min(l.page) + 1
				END AS calls,
				(array_agg(format('%s was not counted: %s', l.entity, l.why) ORDER BY l.ord)
					FILTER (WHERE l.fills AND l.n IS NULL))[1] AS why
			FROM list AS l
			GROUP BY l.feed
		)
		SELECT l.entity, l.n AS records, CASE WHEN l.entity = f.first THEN f.calls END AS calls,
			CASE
				WHEN l.n IS NULL THEN l.why
				WHEN l.entity <> f.first THEN 'read in the calls of ' || f.first
				ELSE f.why
			END AS note, l.ord
		FROM list AS l
		JOIN feed AS f USING (feed)
		WHERE l.wanted
		UNION ALL
		SELECT n, NULL, NULL, exact._entity_finding(n), NULL
		FROM unnest(names) AS n
		WHERE exact._entity_finding(n) IS NOT NULL
		ORDER BY ord, entity
	LOOP
		entity := r.entity;
		records := r.records;
		calls := r.calls;
		minutes := exact._load_minutes(calls, budget.a_minute, budget.today, budget.a_day,
			budget.to_reset);
		note := r.note;
		known := known + (records IS NOT NULL)::int;
		all_records := all_records + coalesce(records, 0);
		all_calls := all_calls + coalesce(calls, 0);
		RETURN NEXT;
	END LOOP;
	IF known > 0 THEN
		RAISE NOTICE USING
			MESSAGE = format('counted %s of %s entities: %s records, %s calls, %s minutes', known,
				cardinality(names), all_records, all_calls,
				exact._load_minutes(all_calls, budget.a_minute, budget.today, budget.a_day,
					budget.to_reset)),
			DETAIL = format('A first load of division %s may make %s calls a minute, %s today and '
				'%s on each further day; exact_databricks.live_reserve keeps the rest for live '
				'changes.', division, budget.a_minute, budget.today, budget.a_day);
	END IF;
END
$$;
COMMENT ON FUNCTION exact.estimate(int, text[])
	IS 'Estimates a first load of entities: the records that Exact Online counts now, the calls '
		'that read them, and the minutes that the division''s call limit makes of these calls. '
		'entities: names, paths or presets, as in exact.enable_entities(). It makes one call per '
		'entity, and waits if the calls of the minute are used up. If an entity cannot be '
		'counted, its numbers are null and note has the reason';
REVOKE ALL ON FUNCTION exact.estimate(int, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.estimate(int, text[]) TO exact_admin;
