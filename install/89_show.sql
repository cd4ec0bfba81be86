-- Any output of the hub within the width of a terminal: views of many columns, long sentences.

-- Not more of a cell than 4,000 characters: the rest is for exact.show()'s reader to ask for.
CREATE FUNCTION exact._lines(content text, width int) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	lines text[] := '{}';
	rest text;
	head text;
	place int;
BEGIN
	FOREACH rest IN ARRAY string_to_array(left(content, 4000)
			|| CASE WHEN length(content) > 4000 THEN ' …' ELSE '' END, E'\n')
	LOOP
		-- what a terminal would take for an order, or show as no or as two columns
		rest := regexp_replace(replace(rest, E'\t', ' '), E'[\\x01-\\x1f\\x7f-\\x9f]', '?', 'g');
		WHILE length(rest) > width LOOP
			-- the last blank that leaves no more than a line before it
			head := left(rest, width + 1);
			place := width + 2 - strpos(reverse(head), ' ');
			IF place > width + 1 OR btrim(left(head, place)) = '' THEN
				lines := lines || left(rest, width);
				rest := substr(rest, width + 1);
			ELSE
				lines := lines || rtrim(left(head, place));
				rest := ltrim(substr(rest, place + 1));
			END IF;
		END LOOP;
		lines := lines || rest;
	END LOOP;
	RETURN lines;
END
$$;
COMMENT ON FUNCTION exact._lines(text, int)
	IS 'A text in lines of at most so many characters, broken at blanks; a longer word is cut';
REVOKE ALL ON FUNCTION exact._lines(text, int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._lines(text, int) TO exact_reader;

-- A name, a call or a query becomes a query.
CREATE FUNCTION exact._shown_query(what text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $query$
DECLARE
	word text := regexp_replace(coalesce(nullif(btrim($1, E' \t\r\n;'), ''), 'status'),
		'^"?exact"?[.]', '', 'i');
	plain text := lower(btrim(word, '"'));
BEGIN
	IF word ~* E'^(select|with|table|values)\\M' THEN
		RETURN word;
	ELSIF word !~ E'^"?\\w+"?$' THEN
		RETURN 'SELECT * FROM exact.' || word;
	ELSIF EXISTS (SELECT FROM pg_class AS c
			WHERE c.relnamespace = 'exact'::regnamespace AND c.relname = plain
				AND c.relkind IN ('v', 'r', 'p')) THEN
		RETURN format('SELECT * FROM exact.%I', plain);
	ELSIF EXISTS (SELECT FROM pg_proc AS p
			WHERE p.pronamespace = 'exact'::regnamespace AND p.proname = plain
				AND p.pronargs = p.pronargdefaults AND p.provolatile <> 'v'
				AND p.prorettype <> 'trigger'::regtype) THEN
		RETURN format('SELECT * FROM exact.%I()', plain);
	END IF;
	IF EXISTS (SELECT FROM pg_proc AS p
			WHERE p.pronamespace = 'exact'::regnamespace AND p.proname = plain) THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('exact.show() does not call the function "%s" by its name alone',
				plain),
			DETAIL = 'It takes arguments, or it changes something.',
			HINT = format('Write the whole call: SELECT exact.show($$%s(…)$$).', plain);
	END IF;
	RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
		MESSAGE = format('there is no view, table or function "%s" in schema exact',
			left(plain, 80)),
		HINT = format('Did you mean: %s?', coalesce((
			SELECT string_agg(n.name, ', ' ORDER BY n.alike DESC, n.name)
			FROM (
				SELECT m.name, max(exact._alike(m.name, left(plain, 80))) AS alike
				FROM exact._manual AS m
				GROUP BY m.name
				ORDER BY 2 DESC, 1
				LIMIT 3
			) AS n
			WHERE n.alike > 0.1), 'status, check, services'));
END
$query$;
COMMENT ON FUNCTION exact._shown_query(text) IS 'The query of what exact.show() is asked for';
REVOKE ALL ON FUNCTION exact._shown_query(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._shown_query(text) TO exact_reader;

-- Which columns there is room for, and how wide each becomes: null for one that is left out. Those
-- that say where, how bad, what and what to do stay longest; of the others the last goes first.
CREATE FUNCTION exact._shown_widths(names text[], longest int[], words int[], width int)
RETURNS int[]
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	telling constant text[] := '{division,entity,side,name,light,result,rule,kind,step,what,'
		'finding,problem,problems,reason,next_step,fix,note}';
	least_widths int[];
	widths int[];
	left_out int[] := '{}';
	cap int;
	gone int;
	room int;
	grows int;
BEGIN
	-- As narrow as it must be for those to have room. longest is null for a column that is empty in
	-- each row.
	FOREACH cap IN ARRAY '{42,32,24,16}'::int[] LOOP
		SELECT array_agg(c.w ORDER BY c.i), coalesce(sum(c.w + 3) FILTER (
			WHERE c.name = ANY (telling)), 0)
		INTO least_widths, room
		FROM (
			SELECT n.i, n.name, CASE
				WHEN n.longest IS NOT NULL
					THEN greatest(length(n.name),
						least(n.longest, greatest(16, least(n.word, cap))))
				END AS w
			FROM unnest(names, longest, words) WITH ORDINALITY AS n (name, longest, word, i)) AS c;
		EXIT WHEN room <= width + 1;
	END LOOP;
	widths := least_widths;
	LOOP
		room := width - 2 + 3 - (SELECT coalesce(sum(w.w + 3), 0) FROM unnest(widths) AS w (w));
		EXIT WHEN room >= 0;
		SELECT c.i INTO gone
		FROM unnest(names, widths) WITH ORDINALITY AS c (name, w, i)
		WHERE c.w IS NOT NULL
		ORDER BY c.name = ANY (telling), c.i DESC
		LIMIT 1;
		IF (SELECT count(w.w) FROM unnest(widths) AS w (w)) = 1 THEN
			widths[gone] := greatest(width - 2, 1);
			RETURN widths;
		END IF;
		widths[gone] := NULL;
		left_out := gone || left_out;
	END LOOP;
	-- a narrow one may have room where a wide one had none
	FOREACH gone IN ARRAY left_out LOOP
		grows := least_widths[gone] + 3;
		IF grows <= room THEN
			widths[gone] := least_widths[gone];
			room := room - grows;
		END IF;
	END LOOP;
	-- what is left goes to those that have the most lines
	FOR i IN 1 .. room LOOP
		SELECT c.i INTO grows
		FROM unnest(longest, widths) WITH ORDINALITY AS c (longest, w, i)
		WHERE c.longest > c.w
		ORDER BY c.longest::real / c.w DESC, c.i
		LIMIT 1;
		EXIT WHEN grows IS NULL;
		widths[grows] := widths[grows] + 1;
	END LOOP;
	RETURN widths;
END
$$;
COMMENT ON FUNCTION exact._shown_widths(text[], int[], int[], int)
	IS 'Widths of the columns that exact.show() has room for; null: left out';
REVOKE ALL ON FUNCTION exact._shown_widths(text[], int[], int[], int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._shown_widths(text[], int[], int[], int) TO exact_reader;

-- As whoever calls it: no more rights than the query has without it.
CREATE FUNCTION exact.show(what text = 'status', width int = 120) RETURNS SETOF text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	query text := exact._shown_query(what);
	wide int := greatest(40, least(coalesce(width, 120), 1000));
	names text[];
	-- row after row
	cells text[] := '{}';
	numeric_only boolean[];
	widths int[];
	empty text;
	narrow text;
	rows int := 0;
	r record;
	line text;
BEGIN
	BEGIN
		FOR r IN EXECUTE
			format(E'SELECT row_to_json(q) AS j FROM (%s\n) AS q LIMIT 501', query)
		LOOP
			rows := rows + 1;
			EXIT WHEN rows > 500;
			IF rows = 1 THEN
				names := ARRAY(SELECT array_to_string(exact._lines(c.key, 63), ' ')
					FROM json_each_text(r.j) AS c);
			END IF;
			cells := cells || ARRAY(
				SELECT CASE
						-- a moment, to the second
						WHEN c.value ~ E'^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d[-+.:0-9]*$'
							THEN replace(left(c.value, 19), 'T', ' ')
						-- a span of time, to the millisecond
						WHEN c.value ~ E'^([-+0-9a-z ]* )?-?\\d\\d+:\\d\\d:\\d\\d[.]\\d{4,6}$'
							THEN left(c.value, strpos(c.value, '.') + 3)
						ELSE nullif(left(c.value, 4001), '')
					END
				FROM json_each_text(r.j) AS c);
		END LOOP;
	EXCEPTION
		WHEN insufficient_privilege THEN
			RAISE;
		WHEN syntax_error_or_access_rule_violation THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('exact.show() cannot run this: %s', sqlerrm),
				HINT = 'Give it the name of a view, with a condition if need be, a call, or a '
					'SELECT.';
	END;
	IF rows = 0 THEN
		RETURN QUERY SELECT '(no row)';
		RETURN;
	END IF;
	SELECT array_agg(c.digits ORDER BY c.i),
		exact._shown_widths(names, array_agg(c.longest ORDER BY c.i),
			array_agg(c.word ORDER BY c.i), wide)
	INTO numeric_only, widths
	FROM (
		SELECT n.i, bool_and(x.content ~ '^-?[0-9][0-9.]*$') AS digits,
			(SELECT max(length(l.line)) FROM unnest(array_agg(x.content)) AS y (content),
				unnest(exact._lines(y.content, 4002)) AS l (line)) AS longest,
			(SELECT max(length(w.word)) FROM unnest(array_agg(x.content)) AS y (content),
				regexp_split_to_table(left(y.content, 4000), CASE
					WHEN y.content ~ E'^\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d$' THEN E'\n'
					ELSE E'\\s'
				END) AS w (word)) AS word
		FROM unnest(names) WITH ORDINALITY AS n (name, i)
		JOIN unnest(cells) WITH ORDINALITY AS x (content, place)
			ON (x.place - 1) % cardinality(names) = n.i - 1
		GROUP BY n.i) AS c;
	IF (SELECT count(w.w) FROM unnest(widths) AS w (w)) = 0 THEN
		RETURN QUERY SELECT '(each column is empty)';
		RETURN;
	END IF;

	SELECT string_agg(rpad(left(c.name, c.w), c.w), ' | ' ORDER BY c.i),
		string_agg(repeat('-', c.w), '-+-' ORDER BY c.i)
	INTO line, narrow
	FROM unnest(names, widths) WITH ORDINALITY AS c (name, w, i)
	WHERE c.w IS NOT NULL;
	RETURN QUERY SELECT rtrim(line);
	RETURN QUERY SELECT narrow;
	FOR n IN 0 .. least(rows, 500) - 1 LOOP
		FOR line IN
			WITH part AS MATERIALIZED (
				SELECT c.i, c.w, l.line, l.n, c.digits
				FROM unnest(widths, numeric_only) WITH ORDINALITY AS c (w, digits, i)
				LEFT JOIN LATERAL unnest(exact._lines(
						cells[n * cardinality(names) + c.i::int], c.w))
					WITH ORDINALITY AS l (line, n) ON true
				WHERE c.w IS NOT NULL
			)
			SELECT rtrim(string_agg(CASE
					WHEN c.digits THEN lpad(coalesce(p.line, ''), c.w)
					ELSE rpad(coalesce(p.line, ''), c.w)
				END, ' | ' ORDER BY c.i))
			FROM generate_series(1, coalesce((SELECT max(x.n) FROM part AS x), 1)) AS s (n)
			CROSS JOIN (SELECT DISTINCT x.i, x.w, x.digits FROM part AS x) AS c
			LEFT JOIN part AS p ON p.i = c.i AND p.n = s.n
			GROUP BY s.n
			ORDER BY s.n
		LOOP
			RETURN QUERY SELECT line;
		END LOOP;
	END LOOP;

	-- what is missing is told
	IF rows > 500 THEN
		RETURN QUERY SELECT 'There are more rows than these 500.';
	END IF;
	SELECT string_agg(c.name, ', ' ORDER BY c.i) FILTER (WHERE c.filled),
		string_agg(c.name, ', ' ORDER BY c.i) FILTER (WHERE NOT c.filled)
	INTO narrow, empty
	FROM (
		SELECT n.i, n.name, widths[n.i] IS NULL AS absent, bool_or(x.content IS NOT NULL) AS filled
		FROM unnest(names) WITH ORDINALITY AS n (name, i)
		JOIN unnest(cells) WITH ORDINALITY AS x (content, place)
			ON (x.place - 1) % cardinality(names) = n.i - 1
		GROUP BY n.i, n.name) AS c
	WHERE c.absent;
	IF narrow IS NOT NULL THEN
		RETURN QUERY SELECT l.line
			FROM unnest(exact._lines('No room for: ' || narrow, wide - 2)) AS l (line);
	END IF;
	IF empty IS NOT NULL THEN
		RETURN QUERY SELECT l.line
			FROM unnest(exact._lines('Empty: ' || empty, wide - 2)) AS l (line);
	END IF;
END
$$;
COMMENT ON FUNCTION exact.show(text, int)
	IS 'A view, a table, a function or a query as a table that fits the width of a terminal (40 to '
		'1000 columns): long texts are broken into lines, columns that are empty in each row are '
		'left out, then those for which there is no room; the last lines name them. what: a name '
		'(''services''), a name with a condition (''status WHERE light <> ''''ok''''''), a call '
		'(''trace(101001, ''''items'''', ''''B100'''')'') or a SELECT, with the schema of each '
		'table. Shows 500 rows at most. It is for people: a program reads the view itself';
REVOKE ALL ON FUNCTION exact.show(text, int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.show(text, int) TO exact_reader;
