-- The shape of each division's ledger, learned from its entries: which part does row 0 play?

CREATE TABLE exact.ledger_entry (
	division int,
	entry text,
	shape text NOT NULL CHECK (shape IN ('control', 'repeat', 'total', 'plain', 'neither')),
	PRIMARY KEY (division, entry)
);
COMMENT ON TABLE exact.ledger_entry IS 'What the living transaction lines of each entry add up to';
COMMENT ON COLUMN exact.ledger_entry.division IS 'Division';
COMMENT ON COLUMN exact.ledger_entry.entry IS 'EntryID';
COMMENT ON COLUMN exact.ledger_entry.shape
	IS 'control: all rows add up to nothing; repeat: those above LineNumber 0 do; total: row 0 is '
		'the sum of the others; plain: there is no amount in row 0, so any of the three; neither: '
		'it does not balance, rows of it are still to come';
REVOKE ALL ON TABLE exact.ledger_entry FROM PUBLIC;
GRANT SELECT ON TABLE exact.ledger_entry TO exact_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE exact.ledger_entry TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.ledger_entry', '');

CREATE TABLE exact.ledger_count (
	division int PRIMARY KEY,
	control bigint NOT NULL DEFAULT 0,
	repeat bigint NOT NULL DEFAULT 0,
	total bigint NOT NULL DEFAULT 0,
	plain bigint NOT NULL DEFAULT 0,
	neither bigint NOT NULL DEFAULT 0,
	counted_at timestamptz NOT NULL DEFAULT pg_catalog.now()
) WITH (fillfactor = 50);
COMMENT ON TABLE exact.ledger_count IS 'Entries of each shape: read exact.ledger_shape';
COMMENT ON COLUMN exact.ledger_count.division IS 'Division';
COMMENT ON COLUMN exact.ledger_count.control IS 'Entries whose rows all together add up to nothing';
COMMENT ON COLUMN exact.ledger_count.repeat
	IS 'Entries whose rows above LineNumber 0 add up to nothing';
COMMENT ON COLUMN exact.ledger_count.total IS 'Entries whose row 0 is the sum of the others';
COMMENT ON COLUMN exact.ledger_count.plain IS 'Entries without an amount in row 0';
COMMENT ON COLUMN exact.ledger_count.neither IS 'Entries that do not balance';
COMMENT ON COLUMN exact.ledger_count.counted_at IS 'When the numbers changed last';
REVOKE ALL ON TABLE exact.ledger_count FROM PUBLIC;
GRANT SELECT ON TABLE exact.ledger_count TO exact_reader;
GRANT SELECT, INSERT, UPDATE ON TABLE exact.ledger_count TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.ledger_count', '');

-- While a run goes on, an entry of which some rows are still to come may look like another shape;
-- one in two hundred is taken for such. Between runs no entry is.
CREATE VIEW exact.ledger_shape AS
SELECT c.division,
	CASE
		WHEN t.telling = 0 OR c.neither > t.telling THEN 'unknown'
		WHEN (t.telling - t.most)
				* CASE WHEN s.run_state = 'idle' AND b.feed IS NULL THEN t.telling ELSE 200 END
				> t.most
			THEN 'mixed'
		WHEN c.control = t.most THEN 'control'
		WHEN c.repeat = t.most THEN 'repeat'
		ELSE 'total'
	END AS shape,
	c.control, c.repeat, c.total, c.plain, c.neither, c.counted_at
FROM exact.ledger_count AS c
CROSS JOIN LATERAL (
	SELECT c.control + c.repeat + c.total AS telling,
		greatest(c.control, c.repeat, c.total) AS most
) AS t
LEFT JOIN exact.catalogue AS e ON e.entity = 'transactionlines'
LEFT JOIN exact.feed_state AS s ON s.division = c.division AND s.feed = e.feed
LEFT JOIN exact.backfill AS b
	ON b.division = c.division AND b.feed = e.feed AND b.finished_at IS NULL;
COMMENT ON VIEW exact.ledger_shape
	IS 'Meaning of row 0 of the transaction lines, learned from the entries of each division. '
		'control: the debtor, creditor, bank or cash row, sum it; repeat: the total again, do not '
		'sum it; total: the control row with the sign of its lines; mixed, unknown: do not sum';
COMMENT ON COLUMN exact.ledger_shape.division IS 'Division';
COMMENT ON COLUMN exact.ledger_shape.shape IS 'control, repeat, total, mixed or unknown';
COMMENT ON COLUMN exact.ledger_shape.control
	IS 'Entries whose rows all together add up to nothing';
COMMENT ON COLUMN exact.ledger_shape.repeat
	IS 'Entries whose rows above LineNumber 0 add up to nothing';
COMMENT ON COLUMN exact.ledger_shape.total IS 'Entries whose row 0 is the sum of the others';
COMMENT ON COLUMN exact.ledger_shape.plain IS 'Entries without an amount in row 0';
COMMENT ON COLUMN exact.ledger_shape.neither IS 'Entries that do not balance';
COMMENT ON COLUMN exact.ledger_shape.counted_at IS 'When the numbers changed last';
REVOKE ALL ON TABLE exact.ledger_shape FROM PUBLIC;
GRANT SELECT ON TABLE exact.ledger_shape TO exact_reader, exact_worker;

CREATE FUNCTION exact._shape_of(division int) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce((SELECT s.shape FROM exact.ledger_shape AS s WHERE s.division = $1), 'unknown')
$$;
COMMENT ON FUNCTION exact._shape_of(int)
	IS 'Shape of a division''s ledger; unknown: no entry tells';
REVOKE ALL ON FUNCTION exact._shape_of(int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._shape_of(int) TO exact_reader, exact_worker;

CREATE FUNCTION exact.ledger_sign(shape text, line_number numeric, type numeric = NULL) RETURNS int
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN $3 >= 3000 THEN 0
		WHEN $1 IS NULL OR $1 NOT IN ('control', 'repeat', 'total') THEN NULL
		WHEN $2 IS DISTINCT FROM 0 OR $1 = 'control' THEN 1
		WHEN $1 = 'repeat' THEN 0
		ELSE -1
	END
$$;
COMMENT ON FUNCTION exact.ledger_sign(text, numeric, numeric)
	IS 'Factor of a transaction line in a sum over the ledger: 1, -1, or 0 (a budget, or a '
		'repeated total). Null: the shape of the division''s ledger is mixed or not known. shape: '
		'that of exact.ledger_shape';
REVOKE ALL ON FUNCTION exact.ledger_sign(text, numeric, numeric) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.ledger_sign(text, numeric, numeric) TO exact_reader, exact_worker;

-- Amounts carry the noise of doubles: four decimals of it are kept, and less than half a cent is
-- nothing.
CREATE FUNCTION exact._entry_shapes(division int, entries text[])
RETURNS TABLE (entry text, shape text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT r.parent,
		CASE
			WHEN abs(sum(a.zero)) < 0.005 AND abs(sum(a.above)) < 0.005 THEN 'plain'
			WHEN abs(sum(a.zero) + sum(a.above)) < 0.005 THEN 'control'
			WHEN abs(sum(a.above)) < 0.005 AND bool_or(a.above <> 0) THEN 'repeat'
			WHEN abs(sum(a.zero) - sum(a.above)) < 0.005 THEN 'total'
			ELSE 'neither'
		END
	FROM (SELECT DISTINCT unnest($2) AS entry) AS u
	CROSS JOIN LATERAL (
		SELECT x.parent, x.slot, x.batch, x.ord FROM exact.record AS x
		WHERE x.division = $1 AND x.entity = 'transactionlines' AND x.parent = u.entry
			AND NOT x.deleted
		OFFSET 0) AS r
	CROSS JOIN LATERAL (
		SELECT x.payload FROM exact.stage AS x
		WHERE x.slot = r.slot AND x.batch = r.batch AND x.ord = r.ord OFFSET 0) AS s
	CROSS JOIN LATERAL (
		SELECT round(coalesce(exact._plain_number(s.payload, 'AmountDC'), 0), 4) AS amount,
			exact._plain_number(s.payload, 'LineNumber') AS line
	) AS n
	CROSS JOIN LATERAL (
		SELECT CASE WHEN n.line = 0 THEN n.amount ELSE 0 END AS zero,
			CASE WHEN n.line IS DISTINCT FROM 0 THEN n.amount ELSE 0 END AS above
	) AS a
	WHERE coalesce(exact._plain_number(s.payload, 'Type'), 0) < 3000
	GROUP BY r.parent
$$;
COMMENT ON FUNCTION exact._entry_shapes(int, text[])
	IS 'Shapes of these entries by their living rows, budget left out; none: they have no row';
REVOKE ALL ON FUNCTION exact._entry_shapes(int, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._entry_shapes(int, text[]) TO exact_worker;

CREATE FUNCTION exact._learn_ledger(division int, slot int, batch bigint) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	WITH touched AS MATERIALIZED (
		SELECT DISTINCT r.parent AS entry
		FROM exact.stage AS v
		CROSS JOIN LATERAL (
			SELECT x.parent FROM exact.record AS x
			WHERE x.division = $1 AND x.entity = 'transactionlines' AND x.key = v.key
			OFFSET 0) AS r
		WHERE v.slot = $2 AND v.batch = $3 AND r.parent IS NOT NULL
	), judged AS MATERIALIZED (
		SELECT t.entry, j.shape, o.shape AS before
		FROM touched AS t
		LEFT JOIN exact._entry_shapes($1, ARRAY(SELECT x.entry FROM touched AS x)) AS j
			ON j.entry = t.entry
		LEFT JOIN exact.ledger_entry AS o ON o.division = $1 AND o.entry = t.entry
		WHERE j.shape IS DISTINCT FROM o.shape
	), gone AS (
		DELETE FROM exact.ledger_entry AS e
		USING judged AS j
		WHERE e.division = $1 AND e.entry = j.entry AND j.shape IS NULL
	), kept AS (
		INSERT INTO exact.ledger_entry (division, entry, shape)
		SELECT $1, j.entry, j.shape
		FROM judged AS j
		WHERE j.shape IS NOT NULL
		ON CONFLICT ON CONSTRAINT ledger_entry_pkey DO UPDATE SET shape = excluded.shape
	), more AS (
		SELECT m.shape, sum(m.n) AS n
		FROM judged AS j
		CROSS JOIN LATERAL (VALUES (j.shape, 1), (j.before, -1)) AS m (shape, n)
		WHERE m.shape IS NOT NULL
		GROUP BY m.shape
	)
	INSERT INTO exact.ledger_count AS c (division, control, repeat, total, plain, neither)
	SELECT $1, coalesce(sum(m.n) FILTER (WHERE m.shape = 'control'), 0),
		coalesce(sum(m.n) FILTER (WHERE m.shape = 'repeat'), 0),
		coalesce(sum(m.n) FILTER (WHERE m.shape = 'total'), 0),
		coalesce(sum(m.n) FILTER (WHERE m.shape = 'plain'), 0),
		coalesce(sum(m.n) FILTER (WHERE m.shape = 'neither'), 0)
	FROM more AS m
	HAVING count(*) > 0
	ON CONFLICT ON CONSTRAINT ledger_count_pkey DO UPDATE SET
		control = c.control + excluded.control,
		repeat = c.repeat + excluded.repeat,
		total = c.total + excluded.total,
		plain = c.plain + excluded.plain,
		neither = c.neither + excluded.neither,
		counted_at = now()
$$;
COMMENT ON FUNCTION exact._learn_ledger(int, int, bigint)
	IS 'Judges the entries that a staged batch of transaction lines is about, and counts them';
REVOKE ALL ON FUNCTION exact._learn_ledger(int, int, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._learn_ledger(int, int, bigint) TO exact_worker;

CREATE FUNCTION exact._ledger_findings(
	OUT result text, OUT rule text, OUT finding text, OUT fix text)
RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT
		CASE
			WHEN n.shape IN ('mixed', 'unknown') AND (n.entries > 0 OR n.complete) THEN 'warn'
			WHEN n.neither > 0 AND n.idle THEN 'warn'
			ELSE 'ok'
		END,
		'ledger of division ' || n.division,
		concat(
			CASE n.shape
				WHEN 'control' THEN 'LineNumber 0 is the control row'
				WHEN 'repeat' THEN 'LineNumber 0 repeats the total'
				WHEN 'total' THEN 'LineNumber 0 is the total of the lines with their sign'
				WHEN 'mixed'
					THEN 'its entries differ in the meaning of LineNumber 0: no sum is right'
				ELSE 'the meaning of LineNumber 0 is not known yet: the ledger view has no amounts'
			END,
			format(' (entries: %s control, %s repeat, %s total, %s without', n.control, n.repeat,
				n.total, n.plain),
			CASE WHEN n.neither > 0 THEN format(', %s that do not balance', n.neither) END, ')'),
		CASE
			WHEN n.shape = 'mixed' OR n.neither > 0
				THEN format('SELECT * FROM exact.ledger_entry WHERE division = %s AND shape <> %L',
					n.division, n.usual)
		END
	FROM (SELECT f.division, coalesce(l.shape, 'unknown') AS shape,
			coalesce(l.control, 0) AS control, coalesce(l.repeat, 0) AS repeat,
			coalesce(l.total, 0) AS total, coalesce(l.plain, 0) AS plain,
			coalesce(l.neither, 0) AS neither,
			coalesce(l.control + l.repeat + l.total + l.plain + l.neither, 0) AS entries,
			s.first_complete_at IS NOT NULL AS complete, s.run_state = 'idle' AS idle,
			CASE greatest(l.control, l.repeat, l.total)
				WHEN l.control THEN 'control'
				WHEN l.repeat THEN 'repeat'
				ELSE 'total'
			END AS usual
		FROM exact.feed AS f
		JOIN exact.catalogue AS e ON e.entity = f.entity
		LEFT JOIN exact.ledger_shape AS l ON l.division = f.division
		LEFT JOIN exact.feed_state AS s ON s.division = f.division AND s.feed = e.feed
		WHERE f.enabled AND f.entity = 'transactionlines') AS n
	ORDER BY n.division
$$;
COMMENT ON FUNCTION exact._ledger_findings()
	IS 'Rows of check(): what the entries of each division say of its ledger';
REVOKE ALL ON FUNCTION exact._ledger_findings() FROM PUBLIC;
