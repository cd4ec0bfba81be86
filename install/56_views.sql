-- Views in Databricks, made on request: records that live, versions with their times, the ledger as
-- it may be summed.

CREATE FUNCTION exact._delta_name(VARIADIC parts text[]) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT string_agg('`' || replace(p.part, '`', '``') || '`', '.' ORDER BY p.ordinality)
	FROM unnest($1) WITH ORDINALITY AS p (part, ordinality)
$$;
COMMENT ON FUNCTION exact._delta_name(text[])
	IS 'A name as Databricks reads it, each part in backticks';
REVOKE ALL ON FUNCTION exact._delta_name(text[]) FROM PUBLIC;

CREATE FUNCTION exact._delta_text(value text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT ''''
		|| replace(replace(replace(replace($1, E'\\', E'\\\\'), '''', E'\\'''), '${', E'$\\{'),
			E'\n', E'\\n')
		|| ''''
$$;
COMMENT ON FUNCTION exact._delta_text(text)
	IS 'A literal as Databricks reads it: with backslashes, since a doubled quote means different '
		'things to different versions';
REVOKE ALL ON FUNCTION exact._delta_text(text) FROM PUBLIC;

-- 10 is a draft; 20 is open, and booked. 5 was rejected and is in no ledger.
CREATE FUNCTION exact._draft_status(entity text) RETURNS int
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN $1 IN ('salesinvoices', 'purchaseinvoices') THEN 10
		WHEN $1 IN ('purchaseentries', 'salesentries', 'generaljournalentries') THEN 5
	END
$$;
COMMENT ON FUNCTION exact._draft_status(text)
	IS 'Status of documents of an entity that are not booked, drafts or rejected ones; '
		'null: it has none';
REVOKE ALL ON FUNCTION exact._draft_status(text) FROM PUBLIC;

CREATE FUNCTION exact._view_columns(entity text, alias text, VARIADIC own text[]) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT string_agg(exact._delta_name($2, c.name), ', ' ORDER BY c.place, c.ordinal)
	FROM (SELECT 1 AS place, o.ordinality AS ordinal, o.name
		FROM unnest($3) WITH ORDINALITY AS o (name, ordinality)
		WHERE o.name IN ('_division', '_key', '_seq')
		UNION ALL
		SELECT 2, f.ordinal, f.name
		FROM exact.field_effective AS f
		WHERE f.entity = $1 AND f.target_type IS NOT NULL
		UNION ALL
		SELECT 3, o.ordinality, o.name
		FROM unnest($3) WITH ORDINALITY AS o (name, ordinality)
		WHERE o.name NOT IN ('_division', '_key', '_seq')) AS c
$$;
COMMENT ON FUNCTION exact._view_columns(text, text, text[])
	IS 'Columns of a view: key, the entity''s fields, the hub''s own';
REVOKE ALL ON FUNCTION exact._view_columns(text, text, text[]) FROM PUBLIC;

-- What an amount of the ledger counts hangs on the division: exact_state says what its rows with
-- LineNumber 0 are. An amount of which that is not known is null, so that no sum is wrong.
CREATE FUNCTION exact._ledger_columns() RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT string_agg(c.text, ', ' ORDER BY c.place, c.ordinal)
	FROM (SELECT 1 AS place, o.ordinality AS ordinal, exact._delta_name('t', o.name) AS text
		FROM unnest('{_division,_key,_seq}'::text[]) WITH ORDINALITY AS o (name, ordinality)
		UNION ALL
		SELECT 2, f.ordinal,
			CASE
				WHEN f.name = '_row'
					THEN $text$
  CASE WHEN `t`.`LineNumber` IS NULL OR `t`.`LineNumber` <> 0 THEN 'line'
  WHEN `s`.`ledger` IN ('control', 'total') THEN 'control' END AS `_row`$text$
				WHEN f.class = 'amount'
					THEN format($text$
  CASE WHEN `s`.`ledger` = 'total' AND `t`.`LineNumber` = 0 THEN - %1$s
  WHEN `s`.`ledger` IN ('control', 'repeat', 'total') THEN %1$s END AS %2$s$text$,
						exact._delta_name('t', f.name), exact._delta_name(f.name))
				ELSE exact._delta_name('t', f.name)
			END
		FROM exact.field_effective AS f
		WHERE f.entity = 'transactionlines' AND f.target_type IS NOT NULL
		UNION ALL
		SELECT 3, 0, '`s`.`ledger` AS `_ledger`'
		UNION ALL
		SELECT 4, o.ordinality, exact._delta_name('t', o.name)
		FROM unnest('{_valid,_problems,_batch,_staged_at,_loaded_at}'::text[])
			WITH ORDINALITY AS o (name, ordinality)) AS c
$$;
COMMENT ON FUNCTION exact._ledger_columns()
	IS 'Columns of the ledger view: amounts as they count in a sum, _row and _ledger as the '
		'division''s entries say';
REVOKE ALL ON FUNCTION exact._ledger_columns() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._ledger_columns() TO exact_worker;

-- Has exact_state been written? The ledger view reads it.
CREATE FUNCTION exact._state_is_told(workspace text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT EXISTS (SELECT
		FROM exact.target_state AS t
		JOIN exact.workspace AS w ON w.name = t.workspace
		WHERE t.workspace = $1
			AND t.entity = 'exact_state'
			AND t.columns_digest IS NOT NULL
			AND t.table_name = concat_ws('.', w.catalog, w.schema, 'exact_state'))
$$;
COMMENT ON FUNCTION exact._state_is_told(text)
	IS 'Was the Delta table exact_state of a workspace written';
REVOKE ALL ON FUNCTION exact._state_is_told(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._state_is_told(text) TO exact_worker;

-- The first of these fields that has a column, as a value of a table t; else null of that type.
CREATE FUNCTION exact._own_column(entity text, type text, VARIADIC names text[]) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce((SELECT format('CAST(%s AS %s)', exact._delta_name('t', f.name), $2)
			FROM exact.field_effective AS f
			WHERE f.entity = $1 AND f.name = ANY ($3) AND f.target_type IS NOT NULL
			ORDER BY array_position($3, f.name) LIMIT 1),
		format('CAST(NULL AS %s)', $2))
$$;
COMMENT ON FUNCTION exact._own_column(text, text, text[])
	IS 'A column of a Delta table, by the first of these names that it has; null where it has none';
REVOKE ALL ON FUNCTION exact._own_column(text, text, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._own_column(text, text, text[]) TO exact_worker;

-- Versions with the time at which the next one came, as a table `t` of a query.
CREATE FUNCTION exact._until(history text, alias text, columns text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('(SELECT %s, `h`.`_staged_at` AS `_from`, lead(`h`.`_staged_at`) OVER '
		'(PARTITION BY `h`.`_division`, `h`.`_key` ORDER BY `h`.`_seq`) AS `_until` '
		'FROM %s AS `h`) AS `%s`', $3, $1, $2)
$$;
COMMENT ON FUNCTION exact._until(text, text, text)
	IS 'A subquery of a Delta view: versions of a history table with the times they were valid';
REVOKE ALL ON FUNCTION exact._until(text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._until(text, text, text) TO exact_worker;

-- The state at the end of each month that is over, as the hub saw it: a version counts at the month
-- ends from its own time to that of the next one. `next`: the first day after the month.
CREATE FUNCTION exact._month_end_query(entity text, history text, header_history text,
	parent_field text, draft int, header_draft int)
RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT concat('SELECT date_sub(`m`.`next`, 1) AS `_month_end`, ',
		exact._view_columns($1, 't', '_division', '_key', '_seq', '_valid', '_problems', '_batch',
			'_staged_at', '_loaded_at'),
		format(E'\nFROM (SELECT `s`.`next` FROM (SELECT add_months(DATE ''%s'', `n`.`n`) AS `next` '
			'FROM (SELECT explode(sequence(1, 600)) AS `n`) AS `n`) AS `s` '
			'WHERE `s`.`next` <= current_date()) AS `m`', to_char(coalesce((
				SELECT min(i.made_at) FROM exact.installation AS i), now()) AT TIME ZONE 'UTC',
			'YYYY-MM-01')),
		E'\nJOIN ', exact._until($2, 't', exact._view_columns($1, 'h', '_division', '_key', '_seq',
			'_op', '_deleted', '_valid', '_problems', '_batch', '_staged_at', '_loaded_at')),
		' ON `t`.`_from` < CAST(`m`.`next` AS TIMESTAMP) AND (`t`.`_until` IS NULL OR '
			'`t`.`_until` >= CAST(`m`.`next` AS TIMESTAMP))',
		E'\nLEFT ANTI JOIN ' || exact._until($3, 'd', '`h`.`_division`, `h`.`_key`, `h`.`Status`')
			|| format(' ON `d`.`_division` = `t`.`_division` AND `d`.`_key` = %s AND '
				'`d`.`Status` = %s AND `d`.`_from` < CAST(`m`.`next` AS TIMESTAMP) AND '
				'(`d`.`_until` IS NULL OR `d`.`_until` >= CAST(`m`.`next` AS TIMESTAMP))',
				exact._delta_name('t', $4), $6) || CASE WHEN $6 IS NULL THEN NULL ELSE '' END,
		E'\nWHERE NOT `t`.`_deleted`',
		format(' AND (`t`.`Status` IS NULL OR `t`.`Status` <> %s)', $5)
			|| CASE WHEN $5 IS NULL THEN NULL ELSE '' END)
$$;
COMMENT ON FUNCTION exact._month_end_query(text, text, text, text, int, int)
	IS 'The query of the view that shows an entity as it was at each month''s end';
REVOKE ALL ON FUNCTION exact._month_end_query(text, text, text, text, int, int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._month_end_query(text, text, text, text, int, int) TO exact_worker;

-- Tables that are there; comments say which one to sum, since documents, their lines and their
-- ledger lines are the same money.
CREATE FUNCTION exact._views(workspace text)
RETURNS TABLE (entity text, name text, comment text, query text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH made AS (
		SELECT e.entity, e.target_table, e.target_history, e.resource, e.row_kind, e.parent_field,
			c.feed, w.catalog, w.schema,
			exact._delta_name(w.catalog, w.schema, e.target_table) AS current,
			exact._delta_name(w.catalog, w.schema, e.target_history) AS history,
			EXISTS (SELECT FROM exact.field_effective AS f
				WHERE f.entity = e.entity
					AND f.name = 'Status'
					AND f.target_type IS NOT NULL) AS has_status,
			EXISTS (SELECT FROM exact.field_effective AS f
				WHERE f.entity = e.entity
					AND f.class = 'amount'
					AND f.target_type IS NOT NULL) AS has_amount
		FROM exact.workspace AS w
		JOIN exact.target_state AS t ON t.workspace = w.name AND t.created_at IS NOT NULL
		JOIN exact.entity_effective AS e ON e.entity = t.entity
		JOIN exact.catalogue AS c ON c.entity = e.entity
		WHERE w.name = $1 AND t.table_name = concat_ws('.', w.catalog, w.schema, e.target_table)
			AND t.history_name = concat_ws('.', w.catalog, w.schema, e.target_history)
	), named AS (
		SELECT m.*, h.current AS header, h.history AS header_history,
			h.target_table AS header_table,
			exact._draft_status(h.entity) AS header_draft, l.target_table AS line_table
		FROM made AS m
		LEFT JOIN made AS h
			ON m.row_kind = 'line' AND h.feed = m.feed AND h.row_kind = 'header' AND h.has_status
		LEFT JOIN LATERAL (
			SELECT x.target_table
			FROM made AS x
			WHERE m.row_kind = 'header' AND x.feed = m.feed AND x.row_kind = 'line'
			ORDER BY x.entity
			LIMIT 1
		) AS l ON true
	), live AS (
		SELECT n.*,
			concat(' AS `t`',
				format(
					' LEFT ANTI JOIN %s AS `d` ON `d`.`_division` = `t`.`_division` AND '
						'`d`.`_key` = %s AND `d`.`Status` = %s',
					n.header, exact._delta_name('t', n.parent_field), n.header_draft)
					|| CASE WHEN n.header_draft IS NULL OR n.header IS NULL THEN NULL ELSE '' END,
				E'\nWHERE NOT `t`.`_deleted`',
				format(' AND (`t`.`Status` IS NULL OR `t`.`Status` <> %s)',
					exact._draft_status(n.entity))
					|| CASE
						WHEN n.has_status AND exact._draft_status(n.entity) IS NOT NULL THEN ''
					END) AS source,
			exact._draft_status(n.entity) IS NOT NULL AND n.has_status
				OR n.header_draft IS NOT NULL AND n.header IS NOT NULL AS drafts
		FROM named AS n
	)
	SELECT l.entity, l.target_table || '_live',
		concat(
			format('Exact Online %s: the records that are there now, without deleted ones%s.',
				l.resource,
				CASE
					WHEN l.drafts AND 5 IN (l.header_draft, exact._draft_status(l.entity))
						THEN ' and rejected documents'
					WHEN l.drafts THEN ' and drafts'
				END),
			CASE
				WHEN l.entity = 'transactionlines'
					THEN ' The meaning of rows with LineNumber 0 differs between divisions, and '
						'budget is among the rows: sum the ledger view.'
				WHEN NOT l.has_amount THEN NULL
				WHEN l.line_table IS NOT NULL
					THEN format(' Its amounts are those of %s once more: sum one of the two.',
						l.line_table)
				WHEN l.header_table IS NOT NULL
					THEN format(' Its amounts are those of %s once more: sum one of the two.',
						l.header_table)
			END),
		concat('SELECT ',
			exact._view_columns(l.entity, 't', '_division', '_key', '_seq', '_valid', '_problems',
				'_batch', '_staged_at', '_loaded_at'),
			E'\nFROM ', l.current, l.source)
	FROM live AS l
	UNION ALL
	SELECT n.entity, n.target_table || '_versions',
		format(
			'Exact Online %s: every version with the time it was valid, as the hub saw it. '
				'The state at a time T: valid_from <= T AND (valid_to > T OR valid_to IS NULL) '
				'AND NOT _deleted. Never sum it without a time.',
			n.resource),
		concat('SELECT ',
			exact._view_columns(n.entity, 'h', '_division', '_key', '_seq', '_op', '_deleted',
				'_valid', '_problems', '_batch', '_staged_at', '_loaded_at', '_payload'),
			', `h`.`_staged_at` AS `valid_from`, lead(`h`.`_staged_at`) OVER (PARTITION BY '
				'`h`.`_division`, `h`.`_key` ORDER BY `h`.`_seq`) AS `valid_to`',
			E'\nFROM ', n.history, ' AS `h`')
	FROM named AS n
	UNION ALL
	SELECT l.entity, l.target_table || '_month_end',
		concat(
			format('Exact Online %s: as it was at the end of each month that is over, as the hub '
				'saw it then (time zone of the session), without deleted records%s. Ask for one '
				'month: WHERE _month_end = DATE ''2026-10-31''. Never sum it without a month.',
				l.resource,
				CASE
					WHEN l.drafts AND 5 IN (l.header_draft, exact._draft_status(l.entity))
						THEN ' and rejected documents'
					WHEN l.drafts THEN ' and drafts'
				END),
			CASE WHEN l.entity = 'transactionlines'
				THEN ' The meaning of rows with LineNumber 0 differs between divisions, and budget '
					'is among the rows.'
			END),
		exact._month_end_query(l.entity, l.history, l.header_history, l.parent_field,
			CASE WHEN l.has_status THEN exact._draft_status(l.entity) END,
			CASE WHEN l.header IS NOT NULL THEN l.header_draft END)
	FROM live AS l
	UNION ALL
	SELECT m.entity, m.target_table || '_ledger',
		'The ledger: rows of all entries, control rows (debtors, creditors, bank, cash) '
			'among them, without deleted ones and budget. This is what to sum: AmountDC is '
			'debit positive, credit negative, and zero over each entry; documents and their '
			'lines are the same money. _ledger: the meaning of the rows with LineNumber 0 in '
			'the division; mixed or unknown: its amounts are null, because no sum would be '
			'right.',
		concat('SELECT ', exact._ledger_columns(), E'\nFROM ', m.current, ' AS `t` LEFT JOIN ',
			exact._delta_name(m.catalog, m.schema, 'exact_state'),
			' AS `s` ON `s`.`_division` = `t`.`_division` AND `s`.`entity` = '
				'''transactionlines'' AND `s`.`installation` = ',
			exact._delta_text((SELECT b.installation FROM exact.installation_binding AS b)),
			E'\nWHERE NOT `t`.`_deleted`',
			CASE
				WHEN EXISTS (SELECT FROM exact.field_effective AS f
					WHERE f.entity = m.entity AND f.name = 'Type' AND f.target_type IS NOT NULL)
					THEN ' AND (`t`.`Type` IS NULL OR `t`.`Type` < 3000)'
			END,
			' AND (`t`.`LineNumber` IS NULL OR `t`.`LineNumber` <> 0 OR `s`.`ledger` IS NULL OR '
				'`s`.`ledger` <> ''repeat'')')
	FROM made AS m
	WHERE m.entity = 'transactionlines' AND exact._state_is_told($1)
		AND EXISTS (SELECT FROM exact.field_effective AS f
			WHERE f.entity = m.entity AND f.name = 'LineNumber' AND f.target_type IS NOT NULL)
	UNION ALL
	SELECT 'exact_problems', 'exact_problems',
		'Headers and lines of documents in which a rule of the hub found a problem. state: '
			'flagged (they are in their tables with _valid = false) or held (their tables keep '
			'the state before). amount is in the currency of the division, signed as in its table.',
		concat(string_agg(format($text$SELECT `t`.`_division`, %s AS `entity`, `t`.`_key`,
  `t`.`_seq`, 'flagged' AS `state`, `t`.`_problems` AS `problems`, %s AS `year`,
  %s AS `period`, %s AS `amount`
FROM %s AS `t` WHERE NOT `t`.`_valid` AND NOT `t`.`_deleted`
  AND NOT startswith(`t`.`_problems`, 'held: ')
$text$, exact._delta_text(m.entity),
				exact._own_column(m.entity, 'INT', 'FinancialYear', 'ReportingYear'),
				exact._own_column(m.entity, 'INT', 'FinancialPeriod', 'ReportingPeriod'),
				exact._own_column(m.entity, 'DECIMAL(28,4)', 'AmountDC'), m.current),
				E'UNION ALL\n' ORDER BY m.entity),
			format($text$UNION ALL
SELECT `o`.`_division`, `o`.`entity`, `o`.`_key`, `o`.`_seq`, 'held', `o`.`reason`,
  CAST(`o`.`year` AS INT), CAST(`o`.`period` AS INT), CAST(`o`.`amount` AS DECIMAL(28,4))
FROM %s AS `o` WHERE `o`.`state` = 'quarantine'$text$,
				exact._delta_name(min(m.catalog), min(m.schema), 'exact_open')))
	FROM made AS m
	JOIN exact._document_entity AS d ON d.entity = m.entity
	WHERE exact._state_is_told($1)
	HAVING count(*) > 0
$$;
COMMENT ON FUNCTION exact._views(text)
	IS 'Views of the Delta tables of a workspace under their own names: their comment and query';
REVOKE ALL ON FUNCTION exact._views(text) FROM PUBLIC;

CREATE FUNCTION exact._view_statements(workspace text, names jsonb)
RETURNS TABLE (name text, text text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT c.name,
		format(
			E'CREATE OR REPLACE VIEW %s\nCOMMENT %s\nTBLPROPERTIES (''exact.view'' = %s, '
				'''exact.installation'' = %s)\nAS %s',
			exact._delta_name(w.catalog, w.schema, c.name), exact._delta_text(v.comment),
			exact._delta_text(v.name),
			exact._delta_text((SELECT b.installation FROM exact.installation_binding AS b)),
			v.query)
	FROM exact._views($1) AS v
	JOIN exact.workspace AS w ON w.name = $1
	CROSS JOIN LATERAL (SELECT CASE WHEN $2 ? v.name THEN $2->>v.name ELSE v.name END AS name) AS c
	WHERE c.name IS NOT NULL
	ORDER BY v.entity, v.name
$$;
COMMENT ON FUNCTION exact._view_statements(text, jsonb)
	IS 'Names of the views that a request makes, and the statements that make them';
REVOKE ALL ON FUNCTION exact._view_statements(text, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._view_statements(text, jsonb), exact._views(text),
	exact._view_columns(text, text, text[]), exact._draft_status(text), exact._delta_text(text),
	exact._delta_name(text[]) TO exact_worker;

CREATE FUNCTION exact.create_views(workspace text, names jsonb = NULL, keys boolean = false)
RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	w exact.workspace;
	own text[];
	made text[];
	bad text;
	request bigint;
	wanted CONSTANT jsonb :=
		CASE WHEN keys THEN coalesce(names, '{}') || '{"keys": true}' ELSE names END;
BEGIN
	SELECT * INTO w FROM exact.workspace AS x WHERE x.name = create_views.workspace;
	IF w.name IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('workspace %s is not known', quote_nullable(create_views.workspace)),
			HINT = 'SELECT name FROM exact.workspace.';
	ELSIF names IS NOT NULL AND jsonb_typeof(names) <> 'object' THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = 'names must be an object of view names',
			HINT = 'SELECT exact.create_views(''lake'', '
				'''{"items_live": "articles", "items_versions": null}'').';
	END IF;
	own := ARRAY(SELECT v.name FROM exact._views(w.name) AS v ORDER BY v.entity, v.name);
	made := ARRAY(SELECT s.name FROM exact._view_statements(w.name, names) AS s);
	IF own = '{}' THEN
		RAISE EXCEPTION USING ERRCODE = 'EX018',
			MESSAGE = format('workspace %s has no Delta tables of the hub yet', w.name),
			HINT = 'Tables are made with their first delivery: SELECT * FROM exact.progress.';
	END IF;
	IF NOT exact._state_is_told(w.name) AND EXISTS (SELECT
			FROM exact.target_state AS t
			WHERE t.workspace = w.name
				AND t.entity = 'transactionlines'
				AND t.created_at IS NOT NULL)
	THEN
		RAISE NOTICE USING MESSAGE = 'the ledger view cannot be made yet',
			HINT = 'It reads exact_state, which is written within a minute of the first delivery.';
	END IF;
	bad := (SELECT k.key
		FROM jsonb_object_keys(names) AS k (key)
		WHERE k.key <> ALL (own)
		ORDER BY 1
		LIMIT 1);
	IF bad IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'EX018',
			MESSAGE = format('there is no view %s to be named otherwise', quote_literal(bad)),
			HINT = coalesce('Near to it: ' || exact._nearest(bad, own) || '.',
				'Views are called as their tables with _live, _versions, _month_end and '
					'_ledger.');
	END IF;
	bad := (SELECT m.name
		FROM unnest(made) AS m (name)
		WHERE m.name !~ '^[A-Za-z0-9_]{1,120}$' OR (lower(m.name) LIKE E'exact\\_%'
			AND m.name <> 'exact_problems')
		ORDER BY 1
		LIMIT 1);
	IF bad IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('%s is not a name for a view', quote_literal(bad)),
			HINT = 'Use letters, digits and _; names that begin with exact_ are the hub''s own.';
	END IF;
	bad := (SELECT lower(m.name)
		FROM unnest(made || ARRAY(
			SELECT unnest(ARRAY[e.target_table, e.target_history])
			FROM exact.entity_effective AS e
			JOIN exact.target_state AS t
				ON t.workspace = w.name AND t.entity = e.entity AND t.created_at IS NOT NULL
		)) AS m (name)
		GROUP BY 1
		HAVING count(*) > 1
		ORDER BY 1
		LIMIT 1);
	IF bad IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('two views, or a view and a table, would be called %s',
				quote_literal(bad)),
			HINT = 'Give one of them another name, or null to leave it out.';
	END IF;
	SELECT r.id
	INTO request
	FROM exact.request AS r
	WHERE r.kind = 'views'
		AND r.state = 'queued'
		AND NOT r.cancel_wanted
		AND r.workspace = w.name
		AND r.args IS NOT DISTINCT FROM wanted
	ORDER BY r.id
	LIMIT 1;
	IF request IS NULL THEN
		INSERT INTO exact.request (kind, workspace, args)
		VALUES ('views', w.name, wanted)
		RETURNING id INTO request;
	END IF;
	PERFORM exact._wake('loader');
	RAISE NOTICE USING MESSAGE = format('request %s makes %s views', request, cardinality(made)),
		HINT = format('After COMMIT: SELECT exact.wait(%s).', request);
	RETURN QUERY SELECT concat_ws('.', w.catalog, w.schema, m.name) FROM unnest(made) AS m (name);
END
$$;
COMMENT ON FUNCTION exact.create_views(text, jsonb, boolean)
	IS 'Makes or renews views on the Delta tables of a workspace, through a request for the '
		'loader: <table>_live without deleted records and drafts, <table>_versions with valid_from '
		'and valid_to, <table>_month_end as it was at the end of each month, <table>_ledger of '
		'transactionlines as it may be summed. names: '
		'{"items_live": "articles"} renames, null leaves out. keys: declares primary and foreign '
		'keys of dimensions, which then take no row without _division and _key. '
		'Returns their names; '
		'a view or table of that name that is not the hub''s is never replaced';
REVOKE ALL ON FUNCTION exact.create_views(text, jsonb, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.create_views(text, jsonb, boolean) TO exact_admin;
