-- Month-end: what Exact Online, the hub and Delta have of a period, entry by entry.

-- Sales and purchase entries are compared by their totals, bank and cash by the sum of their lines,
-- the journal by all rows of the ledger.
CREATE FUNCTION exact._month_kinds(
	OUT kind text, OUT entity text, OUT lines text, OUT resource text, OUT query text,
	OUT year text, OUT period text, OUT collection text, OUT place int)
RETURNS SETOF record
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	VALUES
		('sales', 'salesentries', NULL, 'salesentry/SalesEntries',
			'$select=EntryID,EntryNumber,AmountDC,Status', 'ReportingYear', 'ReportingPeriod', NULL,
			1),
		('purchase', 'purchaseentries', NULL, 'purchaseentry/PurchaseEntries',
			'$select=EntryID,EntryNumber,AmountDC,Status', 'ReportingYear', 'ReportingPeriod', NULL,
			2),
		('bank', 'bankentries', 'bankentrylines', 'financialtransaction/BankEntries',
			'$expand=BankEntryLines&$select=EntryID,EntryNumber,BankEntryLines', 'FinancialYear',
			'FinancialPeriod', 'BankEntryLines', 3),
		('cash', 'cashentries', 'cashentrylines', 'financialtransaction/CashEntries',
			'$expand=CashEntryLines&$select=EntryID,EntryNumber,CashEntryLines', 'FinancialYear',
			'FinancialPeriod', 'CashEntryLines', 4),
		('journal', 'transactionlines', NULL, 'bulk/Financial/TransactionLines',
			'$select=ID,EntryID,EntryNumber,LineNumber,Type,AmountDC,GLAccountCode',
			'FinancialYear', 'FinancialPeriod', NULL, 5)
$$;
COMMENT ON FUNCTION exact._month_kinds()
	IS 'What exact.month_end() compares, where it is asked for and which fields name the period';
REVOKE ALL ON FUNCTION exact._month_kinds() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._month_kinds(), exact._delta_name(text[]) TO exact_worker;

-- Page by page: a month of many pages waits for the next minute's calls.
CREATE FUNCTION exact._read_pages(division int, resource text, query text) RETURNS SETOF jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	page jsonb;
	next text := query;
	give_up timestamptz;
BEGIN
	WHILE next IS NOT NULL LOOP
		BEGIN
			page := exact._ask('fetcher', 'page', division::text, resource, next)::jsonb;
		EXCEPTION WHEN sqlstate 'EX017' THEN
			give_up := coalesce(give_up, clock_timestamp() + interval '75 s');
			IF clock_timestamp() > give_up OR EXISTS (SELECT FROM exact.division_state AS s
					WHERE s.division = $1 AND s.day_left <= 0 AND s.day_reset > clock_timestamp())
			THEN
				RAISE;
			END IF;
			PERFORM pg_sleep(2);
			CONTINUE;
		END;
		give_up := NULL;
		RETURN QUERY SELECT e FROM jsonb_array_elements(page -> 'rows') AS e;
		next := page ->> 'next';
	END LOOP;
END
$$;
COMMENT ON FUNCTION exact._read_pages(int, text, text)
	IS 'Reads records of a division as they are now, all pages; waits for calls of the next '
		'minute, not of the next day';
REVOKE ALL ON FUNCTION exact._read_pages(int, text, text) FROM PUBLIC;

-- zero: amounts of rows with LineNumber 0 of the ledger, of which the division says what they
-- count.
CREATE FUNCTION exact._month_exact(
	division int, kind text, year int, period int, OUT key text, OUT number text,
	OUT account text, OUT n bigint, OUT zero numeric, OUT above numeric)
RETURNS SETOF record
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	k record;
	late text;
BEGIN
	SELECT * INTO k FROM exact._month_kinds() AS x WHERE x.kind = $2;
	IF k.collection IS NULL THEN
		RETURN QUERY
			SELECT lower(e ->> 'EntryID'), max(e ->> 'EntryNumber'), btrim(e ->> 'GLAccountCode'),
				count(*),
				coalesce(sum(round((e ->> 'AmountDC')::numeric, 4))
					FILTER (WHERE e ->> 'LineNumber' = '0'), 0),
				coalesce(sum(round((e ->> 'AmountDC')::numeric, 4))
					FILTER (WHERE e ->> 'LineNumber' IS DISTINCT FROM '0'), 0)
			FROM exact._read_pages($1, k.resource, format('%s&$filter=%s eq %s and %s eq %s',
				k.query, k.year, $3, k.period, $4)) AS e
			WHERE coalesce((e ->> 'Type')::int, 0) < 3000 AND e ->> 'Status' IS DISTINCT FROM '5'
			GROUP BY 1, 3;
		RETURN;
	END IF;
	FOR key, number, late, n, zero, above IN
		SELECT lower(e ->> 'EntryID'), e ->> 'EntryNumber',
			CASE WHEN l.lines IS NULL OR e -> k.collection ? '__next' THEN e ->> 'EntryNumber' END,
			coalesce(jsonb_array_length(l.lines), 0), 0, (
				SELECT coalesce(sum(round((x ->> 'AmountDC')::numeric, 4)), 0)
				FROM jsonb_array_elements(l.lines) AS x)
		FROM exact._read_pages($1, k.resource, format('%s&$filter=%s eq %s and %s eq %s', k.query,
			k.year, $3, k.period, $4)) AS e
		CROSS JOIN LATERAL (SELECT CASE
			WHEN jsonb_typeof(e -> k.collection) = 'array' THEN e -> k.collection
			WHEN jsonb_typeof(e -> k.collection -> 'results') = 'array'
				THEN e -> k.collection -> 'results'
		END AS lines) AS l
	LOOP
		IF late IS NOT NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'EX009',
				MESSAGE = format('entry %s came without all its lines', late);
		END IF;
		RETURN NEXT;
	END LOOP;
END
$$;
COMMENT ON FUNCTION exact._month_exact(int, text, int, int)
	IS 'Entries of a kind in a period as Exact Online has them now; raises when it cannot be asked';
REVOKE ALL ON FUNCTION exact._month_exact(int, text, int, int) FROM PUBLIC;

CREATE FUNCTION exact._month_hub(
	division int, kind text, year int, period int, OUT key text, OUT number text,
	OUT account text, OUT n bigint, OUT zero numeric, OUT above numeric)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	k record;
	years text[];
	periods text[];
	sign text;
BEGIN
	SELECT * INTO k FROM exact._month_kinds() AS x WHERE x.kind = $2;
	years := exact._fields_named(k.entity, k.year);
	periods := exact._fields_named(k.entity, k.period);
	-- a record of another period is passed over before it is read
	sign := format(E'"%s"[[:space:]]*:[[:space:]]*"?%s[^0-9.]', periods[1], $4);
	RETURN QUERY
		WITH content AS MATERIALIZED (
			SELECT r.key, r.parent, s.payload
			FROM exact.record AS r
			-- each is looked up by its whole key: plans are made while tables are small
			CROSS JOIN LATERAL (SELECT x.payload FROM exact.stage AS x
				WHERE x.slot = r.slot AND x.batch = r.batch AND x.ord = r.ord
				OFFSET 0) AS s
			WHERE r.division = $1 AND r.entity = k.entity AND NOT r.deleted
				AND s.payload ~ sign
				AND exact._number_in(s.payload, periods) = $4
				AND exact._number_in(s.payload, years) = $3
		), row AS (
			SELECT CASE WHEN k.kind = 'journal' THEN coalesce(c.parent, c.key)
					ELSE c.key END AS key,
				exact._number_in(c.payload, '{EntryNumber}')::text AS number,
				btrim(exact._text_in(c.payload, '{GLAccountCode}')) AS account,
				coalesce(exact._number_in(c.payload, '{LineNumber}') = 0, false) AS is_zero,
				round(exact._number_in(c.payload, '{AmountDC}'), 4) AS amount
			FROM content AS c
			WHERE k.lines IS NULL
				AND coalesce(exact._number_in(c.payload, '{Type}'), 0) < 3000
				AND exact._number_in(c.payload, '{Status}') IS DISTINCT FROM 5
		)
		SELECT lower(w.key), max(w.number), CASE WHEN k.kind = 'journal' THEN w.account END,
			count(*), coalesce(sum(w.amount) FILTER (WHERE w.is_zero), 0),
			coalesce(sum(w.amount) FILTER (WHERE NOT w.is_zero), 0)
		FROM row AS w
		GROUP BY 1, 3
		UNION ALL
		SELECT lower(c.key), exact._number_in(c.payload, '{EntryNumber}')::text, NULL, l.n, 0,
			l.amount
		FROM content AS c
		CROSS JOIN LATERAL (
			SELECT count(*) AS n,
				coalesce(sum(round(exact._number_in(exact._content(x.slot, x.batch, x.ord),
					'{AmountDC}'), 4)), 0) AS amount
			FROM exact.record AS x
			WHERE x.division = $1 AND x.entity = k.lines AND x.parent = c.key AND NOT x.deleted
		) AS l
		WHERE k.lines IS NOT NULL;
END
$$;
COMMENT ON FUNCTION exact._month_hub(int, text, int, int)
	IS 'Entries of a kind in a period as the hub has them';
REVOKE ALL ON FUNCTION exact._month_hub(int, text, int, int) FROM PUBLIC;

CREATE FUNCTION exact._month_delta_sql(
	workspace text, kind text, year int, period int, divisions int[], OUT text text,
	OUT table_name text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	k record;
	w exact.workspace;
	t text;
	l text;
	place text;
BEGIN
	SELECT * INTO k FROM exact._month_kinds() AS x WHERE x.kind = $2;
	SELECT * INTO w FROM exact.workspace AS x WHERE x.name = $1;
	SELECT exact._delta_name(w.catalog, w.schema, e.target_table),
		concat_ws('.', w.catalog, w.schema, e.target_table)
	INTO t, table_name
	FROM exact.entity_effective AS e
	JOIN exact.target_state AS s ON s.workspace = $1 AND s.entity = e.entity
		AND s.created_at IS NOT NULL
	WHERE e.entity = k.entity;
	SELECT exact._delta_name(w.catalog, w.schema, e.target_table)
	INTO l
	FROM exact.entity_effective AS e
	JOIN exact.target_state AS s ON s.workspace = $1 AND s.entity = e.entity
		AND s.created_at IS NOT NULL
	WHERE e.entity = k.lines;
	place := format('NOT t._deleted AND t.%s = %s AND t.%s = %s AND t._division IN (%s)', k.year,
		$3, k.period, $4, array_to_string($5, ', '));
	IF t IS NULL THEN
		RETURN;
	ELSIF k.kind = 'journal' THEN
		text := format('SELECT t._division, lower(t.EntryID), max(CAST(t.EntryNumber AS STRING)), '
			'count(*), sum(CASE WHEN t.LineNumber = 0 THEN t.AmountDC END), '
			'sum(CASE WHEN t.LineNumber IS NULL OR t.LineNumber <> 0 THEN t.AmountDC END) '
			'FROM %s AS t WHERE %s AND (t.Type IS NULL OR t.Type < 3000) '
			'GROUP BY t._division, lower(t.EntryID)', t, place);
	ELSIF k.lines IS NULL THEN
		text := format('SELECT t._division, t._key, CAST(t.EntryNumber AS STRING), 1, NULL, '
			't.AmountDC FROM %s AS t WHERE %s AND (t.Status IS NULL OR t.Status <> 5)', t, place);
	ELSIF l IS NULL THEN
		text := format('SELECT t._division, t._key, CAST(t.EntryNumber AS STRING), 0, NULL, NULL '
			'FROM %s AS t WHERE %s', t, place);
	ELSE
		text := format('SELECT t._division, t._key, max(CAST(t.EntryNumber AS STRING)), '
			'count(l._key), NULL, sum(l.AmountDC) FROM %s AS t LEFT JOIN %s AS l '
			'ON l._division = t._division AND lower(l.EntryID) = t._key AND NOT l._deleted '
			'WHERE %s GROUP BY t._division, t._key', t, l, place);
	END IF;
END
$$;
COMMENT ON FUNCTION exact._month_delta_sql(text, text, int, int, int[])
	IS 'The SELECT that asks Delta for a period: division, key, number, rows, amount of rows with '
		'LineNumber 0, and of the others; null: the table was never made';
REVOKE ALL ON FUNCTION exact._month_delta_sql(text, text, int, int, int[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._month_delta_sql(text, text, int, int, int[]) TO exact_worker;

-- What ReportingBalance says of each account that the hub's ledger says otherwise: a witness that
-- knows nothing of rows.
CREATE FUNCTION exact._month_witness(division int, year int, period int, hub jsonb, shape text)
RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN (
		WITH balance AS (
			SELECT btrim(e ->> 'GLAccountCode') AS account,
				sum(round((e ->> 'Amount')::numeric, 4)) AS amount
			FROM exact._read_pages($1, 'financial/ReportingBalance', format(
				'$select=ID,GLAccountCode,Amount&$filter=ReportingYear eq %s '
				'and ReportingPeriod eq %s', $2, $3)) AS e
			GROUP BY 1
		), ledger AS (
			SELECT h.account, sum(h.above + h.zero * exact.ledger_sign($5, 0)) AS amount
			FROM jsonb_to_recordset($4) AS h (account text, zero numeric, above numeric)
			WHERE h.account IS NOT NULL
			GROUP BY 1
		)
		SELECT string_agg(format('account %s (ReportingBalance %s, hub %s)',
			left(regexp_replace(account, '[^0-9A-Za-z._-]', '', 'g'), 40),
			trim_scale(coalesce(b.amount, 0)), trim_scale(coalesce(l.amount, 0))), '; '
			ORDER BY account)
		FROM balance AS b
		FULL JOIN ledger AS l USING (account)
		WHERE account <> '' AND abs(coalesce(b.amount, 0) - coalesce(l.amount, 0)) >= 0.005
	);
END
$$;
COMMENT ON FUNCTION exact._month_witness(int, int, int, jsonb, text)
	IS 'Accounts whose movement in the period differs between financial/ReportingBalance and the '
		'hub''s ledger; null: none. Raises when Exact Online cannot be asked';
REVOKE ALL ON FUNCTION exact._month_witness(int, int, int, jsonb, text) FROM PUBLIC;

CREATE FUNCTION exact._month_open(workspace text) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(jsonb_agg(jsonb_build_object('division', o.division, 'kind', k.kind,
		'key', CASE WHEN o.entity = k.entity AND k.kind <> 'journal' THEN lower(o.key)
			ELSE lower(coalesce(r.parent, o.key)) END,
		'state', o.state, 'year', o.year, 'period', o.period, 'records', o.records)), '[]')
	FROM exact._open_rows($1) AS o
	JOIN exact._month_kinds() AS k ON o.entity IN (k.entity, k.lines)
	LEFT JOIN LATERAL (SELECT x.parent FROM exact.record AS x
		WHERE x.division = o.division AND x.entity = o.entity AND x.key = o.key
		OFFSET 0) AS r ON true
$$;
COMMENT ON FUNCTION exact._month_open(text)
	IS 'What is on its way to a workspace or held back, by the entry that it belongs to';
REVOKE ALL ON FUNCTION exact._month_open(text) FROM PUBLIC;

-- exact_rows, hub_rows, delta_rows: what each side has; null: it could not be asked.
CREATE FUNCTION exact._month_row(
	division int, kind text, year int, period int, shape text, exact_rows jsonb, hub_rows jsonb,
	delta_rows jsonb, open_rows jsonb, OUT exact numeric, OUT hub numeric, OUT delta numeric,
	OUT open bigint, OUT entries text, OUT in_exact bigint, OUT in_hub bigint, OUT in_delta bigint,
	OUT differing bigint, OUT explained bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH side AS (
		SELECT s.side, r.key, max(r.number) AS number, sum(r.n) AS n,
			CASE WHEN $2 = 'journal'
				THEN sum(r.above) + CASE WHEN sum(r.zero) = 0 THEN 0
					ELSE sum(r.zero) * exact.ledger_sign($5, 0) END
				ELSE sum(r.above)
			END AS amount
		FROM (VALUES ('exact', $6), ('hub', $7), ('delta', $8)) AS s (side, rows)
		CROSS JOIN LATERAL jsonb_to_recordset(s.rows)
			AS r (key text, number text, n bigint, zero numeric, above numeric)
		GROUP BY s.side, r.key
	), waiting AS (
		SELECT o.key, min(o.state) AS state, sum(o.records) AS records
		FROM jsonb_to_recordset($9)
			AS o (division int, kind text, key text, state text, year numeric, period numeric,
				records bigint)
		WHERE o.division = $1 AND o.kind = $2
			AND coalesce(o.year, $3) = $3 AND coalesce(o.period, $4) = $4
		GROUP BY o.key
	), entry AS (
		SELECT s.key, max(s.number) AS number,
			max(s.amount) FILTER (WHERE s.side = 'exact') AS exact,
			max(s.amount) FILTER (WHERE s.side = 'hub') AS hub,
			max(s.amount) FILTER (WHERE s.side = 'delta') AS delta,
			max(s.n) FILTER (WHERE s.side = 'exact') AS n_exact,
			max(s.n) FILTER (WHERE s.side = 'hub') AS n_hub,
			max(s.n) FILTER (WHERE s.side = 'delta') AS n_delta
		FROM side AS s
		GROUP BY s.key
	), judged AS (
		SELECT e.*, w.state,
			$6 IS NOT NULL
				AND (e.exact IS DISTINCT FROM e.hub OR e.n_exact IS DISTINCT FROM e.n_hub)
				AS before,
			$8 IS NOT NULL
				AND (e.hub IS DISTINCT FROM e.delta OR e.n_hub IS DISTINCT FROM e.n_delta)
				AS behind
		FROM entry AS e
		LEFT JOIN waiting AS w ON w.key = e.key
	), named AS (
		SELECT j.*, row_number() OVER (ORDER BY j.state IS NOT NULL, j.number, j.key) AS place
		FROM judged AS j
		WHERE j.before OR j.behind
	)
	SELECT CASE WHEN $6 IS NOT NULL THEN (SELECT CASE
				WHEN bool_or(e.n_exact IS NOT NULL AND e.exact IS NULL) THEN NULL
				ELSE coalesce(sum(e.exact), 0) END FROM entry AS e) END,
		(SELECT CASE WHEN $7 IS NULL OR bool_or(e.n_hub IS NOT NULL AND e.hub IS NULL) THEN NULL
				ELSE coalesce(sum(e.hub), 0) END FROM entry AS e),
		CASE WHEN $8 IS NOT NULL THEN (SELECT CASE
				WHEN bool_or(e.n_delta IS NOT NULL AND e.delta IS NULL) THEN NULL
				ELSE coalesce(sum(e.delta), 0) END FROM entry AS e) END,
		(SELECT coalesce(sum(CASE WHEN w.key IS NULL THEN w.records ELSE 1 END), 0)::bigint
			FROM waiting AS w),
		(SELECT string_agg(format('%s (Exact Online %s, hub %s, Delta %s%s%s)',
				-- what a service sends is not shown as it is
				left(regexp_replace(coalesce(n.number, n.key), '[^0-9A-Za-z._-]', '', 'g'), 40),
				CASE WHEN $6 IS NULL THEN 'not asked' ELSE coalesce(n.exact::text, 'none') END,
				coalesce(n.hub::text, 'none'),
				CASE WHEN $8 IS NULL THEN 'not asked' ELSE coalesce(n.delta::text, 'none') END,
				CASE WHEN (n.exact = n.hub OR $6 IS NULL) AND (n.hub = n.delta OR $8 IS NULL)
					THEN format('; rows %s', concat_ws(', ', n.n_exact, n.n_hub, n.n_delta)) END,
				'; ' || CASE n.state WHEN 'quarantine' THEN 'held' ELSE n.state END), '; '
				ORDER BY n.place) FILTER (WHERE n.place <= 20)
			|| CASE WHEN count(*) > 20 THEN format('; and %s more', count(*) - 20) ELSE '' END
			FROM named AS n),
		CASE WHEN $6 IS NOT NULL THEN (SELECT count(e.n_exact) FROM entry AS e) END,
		CASE WHEN $7 IS NOT NULL THEN (SELECT count(e.n_hub) FROM entry AS e) END,
		CASE WHEN $8 IS NOT NULL THEN (SELECT count(e.n_delta) FROM entry AS e) END,
		(SELECT count(*) FROM named),
		(SELECT count(*) FROM named AS n WHERE n.state IS NOT NULL AND NOT n.before)
$$;
COMMENT ON FUNCTION exact._month_row IS 'One row of exact.month_end(): the three sides compared';
REVOKE ALL ON FUNCTION exact._month_row FROM PUBLIC;

CREATE FUNCTION exact._month_end(wanted_year int, wanted_period int, wanted int,
	OUT division int, OUT kind text, OUT exact numeric, OUT hub numeric, OUT delta numeric,
	OUT difference numeric, OUT open bigint, OUT entries text, OUT result text, OUT finding text,
	OUT in_exact bigint, OUT in_hub bigint, OUT in_delta bigint)
RETURNS SETOF record
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	d exact.division;
	k record;
	m record;
	shape text;
	places jsonb := '{}';		-- workspace: kind: rows, or the fault
	opens jsonb := '{}';
	place jsonb;
	enabled boolean;
	exact_rows jsonb;
	hub_rows jsonb;
	delta_rows jsonb;
	witness text;
	findings text[];
	report exact.month_end_report;
	answer jsonb;
	jit_was constant text := current_setting('jit');
BEGIN
	PERFORM exact._require_visible(wanted);
	IF wanted_year IS NULL OR wanted_year NOT BETWEEN 1900 AND 2999 THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('%s is not a financial year', coalesce(wanted_year::text, 'null')),
			HINT = 'SELECT * FROM exact.month_end(2026, 10): a year from 1900 to 2999.';
	ELSIF wanted_period IS NULL OR wanted_period NOT BETWEEN 0 AND 13 THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('%s is not a period', coalesce(wanted_period::text, 'null')),
			HINT = 'A year has periods 1 to 12, or 13; openings and closings are in period 0.';
	ELSIF wanted IS NOT NULL THEN
		PERFORM exact._require_division(wanted);
	END IF;
	IF NOT EXISTS (SELECT FROM exact.division AS x
			WHERE x.enabled AND x.division = coalesce(wanted, x.division)) THEN
		RAISE EXCEPTION USING ERRCODE = 'EX018',
			MESSAGE = coalesce('division ' || wanted || ' is not enabled',
				'no division is enabled'),
			HINT = format('UPDATE exact.division SET enabled = true WHERE division = %s.',
				coalesce(wanted::text, '…'));
	ELSIF exact._binding_finding() IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'EX016', MESSAGE = exact._binding_finding(),
			HINT = 'SELECT * FROM exact.check() says what to do.';
	END IF;
	IF current_setting('transaction_read_only')::boolean
			OR current_setting('transaction_isolation') NOT IN ('read committed',
				'read uncommitted') THEN
		RAISE EXCEPTION USING ERRCODE = 'EX018',
			MESSAGE = 'exact.month_end() would compare with an old state, or could not keep its '
				'answer',
			HINT = 'Call it in a transaction of isolation level READ COMMITTED that may write.';
	END IF;
	PERFORM set_config('jit', 'off', true);

	FOR d IN SELECT x.* FROM exact.division AS x
		WHERE x.enabled AND x.division = coalesce(wanted, x.division)
		ORDER BY x.division
	LOOP
		shape := exact._shape_of(d.division);
		answer := '[]';
		IF d.workspace IS NOT NULL AND opens -> d.workspace IS NULL THEN
			opens := opens || jsonb_build_object(d.workspace, exact._month_open(d.workspace));
		END IF;
		FOR k IN SELECT * FROM exact._month_kinds() AS x ORDER BY x.place LOOP
			findings := '{}';
			exact_rows := NULL;
			delta_rows := NULL;
			witness := NULL;
			-- both services are asked before the hub is looked at, so that what arrived meanwhile
			-- is no difference of the hub
			place := places -> d.workspace -> k.kind;
			IF d.workspace IS NOT NULL AND place IS NULL THEN
				BEGIN
					place := coalesce(exact._ask('loader', 'month', d.workspace, k.kind,
						wanted_year::text, wanted_period::text, (
							SELECT array_agg(x.division)::text FROM exact.division AS x
							WHERE x.enabled AND x.workspace = d.workspace
								AND x.division = coalesce(wanted, x.division)))::jsonb, '[]');
					place := CASE jsonb_typeof(place) WHEN 'array' THEN place ELSE '[]' END;
				EXCEPTION WHEN OTHERS THEN
					place := to_jsonb(sqlerrm);
				END;
				places := jsonb_set(places || jsonb_build_object(d.workspace,
					coalesce(places -> d.workspace, '{}')), ARRAY[d.workspace, k.kind], place);
			END IF;
			enabled := EXISTS (SELECT FROM exact.feed AS f
				WHERE f.division = d.division AND f.entity = k.entity AND f.enabled);
			IF NOT enabled THEN
				findings := findings || format(
					'%s is not enabled: SELECT exact.enable_entities(%s, %L)', k.entity, d.division,
					k.entity);
			ELSE
				BEGIN
					SELECT coalesce(jsonb_agg(x), '[]') INTO exact_rows
					FROM exact._month_exact(d.division, k.kind, wanted_year, wanted_period) AS x;
				EXCEPTION WHEN OTHERS THEN
					exact_rows := NULL;
					findings := findings || ('Exact Online was not asked: ' || sqlerrm);
				END;
				IF d.workspace IS NULL THEN
					findings := findings
						|| 'Delta was not asked: the division has no workspace'::text;
				ELSIF jsonb_typeof(place) = 'string' THEN
					findings := findings || ('Delta was not asked: ' || (place #>> '{}'));
				ELSE
					SELECT coalesce(jsonb_agg(jsonb_build_object('key', r ->> 1, 'number', r ->> 2,
						'n', r ->> 3, 'zero', coalesce(r ->> 4, '0'),
						'above', round(coalesce(r ->> 5, '0')::numeric, 4))), '[]')
					INTO delta_rows
					FROM jsonb_array_elements(place) AS r
					WHERE (r ->> 0)::int = d.division;
				END IF;
			END IF;
			hub_rows := NULL;
			IF enabled THEN
				SELECT coalesce(jsonb_agg(x), '[]') INTO hub_rows
				FROM exact._month_hub(d.division, k.kind, wanted_year, wanted_period) AS x;
			END IF;
			IF k.kind = 'journal' AND shape NOT IN ('control', 'repeat', 'total')
					AND (hub_rows <> '[]' OR exact_rows <> '[]') THEN
				findings := findings || 'the meaning of rows with LineNumber 0 of the ledger is '
					'not known: SELECT * FROM exact.check()'::text;
			ELSIF k.kind = 'journal' AND exact_rows IS NOT NULL THEN
				BEGIN
					witness := exact._month_witness(d.division, wanted_year, wanted_period,
						hub_rows, shape);
				EXCEPTION WHEN OTHERS THEN
					findings := findings || ('ReportingBalance was not asked: ' || sqlerrm);
				END;
			END IF;
			SELECT * INTO m FROM exact._month_row(d.division, k.kind, wanted_year, wanted_period,
				shape, exact_rows, hub_rows, delta_rows, coalesce(opens -> d.workspace, '[]'));
			division := d.division;
			kind := k.kind;
			exact := m.exact;
			hub := m.hub;
			delta := m.delta;
			difference := m.exact - m.delta;
			open := m.open;
			entries := nullif(concat_ws('; ', m.entries, witness), '');
			in_exact := m.in_exact;
			in_hub := m.in_hub;
			in_delta := m.in_delta;
			result := CASE
				WHEN m.differing > m.explained OR witness IS NOT NULL THEN 'differ'
				WHEN m.exact IS NULL OR m.hub IS NULL OR m.delta IS NULL THEN 'unknown'
				WHEN m.open > 0 THEN 'open'
				ELSE 'agree'
			END;
			finding := nullif(array_to_string(findings, '; '), '');
			answer := answer || jsonb_build_object('kind', kind, 'exact', exact, 'hub', hub,
				'delta', delta, 'difference', difference, 'open', open, 'entries', entries,
				'result', result, 'finding', finding, 'in_exact', in_exact, 'in_hub', in_hub,
				'in_delta', in_delta);
			RETURN NEXT;
		END LOOP;
		report := ROW(nextval('exact.month_end_report_id'), clock_timestamp(), session_user,
			wanted_year, wanted_period, d.division, answer, NULL);
		INSERT INTO exact.month_end_report (id, at, who, year, period, division, rows, digest)
		VALUES (report.id, report.at, report.who, report.year, report.period, report.division,
			report.rows, exact._month_end_digest(report));
	END LOOP;
	PERFORM set_config('jit', jit_was, true);
END
$$;
COMMENT ON FUNCTION exact._month_end(int, int, int) IS 'See exact.month_end()';
REVOKE ALL ON FUNCTION exact._month_end(int, int, int) FROM PUBLIC;

CREATE FUNCTION exact.month_end(year int, period int, division int = NULL)
RETURNS TABLE (
	division int, kind text, exact numeric, hub numeric, delta numeric, difference numeric,
	open bigint, entries text, result text, finding text, in_exact bigint, in_hub bigint,
	in_delta bigint)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT * FROM exact._month_end($1, $2, $3)
$$;
COMMENT ON FUNCTION exact.month_end(int, int, int)
	IS 'Compares a period of all enabled divisions, or of one, on three sides: what Exact Online '
		'has now, what the hub has, what the Delta tables have. A row for sales, purchase, bank, '
		'cash and journal, also where nothing was booked. exact, hub, delta: the amounts; '
		'difference: exact - delta; open: entries that are on their way or held; entries: those '
		'that differ; result: agree, open (only what is open differs), differ, or unknown: a side '
		'could not be asked, finding says why, and its amount is null. in_exact, in_hub, '
		'in_delta: numbers of entries. Spends calls. The answer is kept in '
		'exact.month_end_report. EX021: no such year or period; EX018: the division is not enabled';
REVOKE ALL ON FUNCTION exact.month_end(int, int, int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.month_end(int, int, int) TO exact_operator;
