-- How documents are judged: what waits for it, what is read again, who is told. What is called for
-- each judgement is in PL/pgSQL, which keeps its plans.

CREATE FUNCTION exact._dimension_state_seen() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	now_is jsonb := to_jsonb(NEW);
	s record;
BEGIN
	FOR s IN
		SELECT v.state, v.value
		FROM (VALUES
			('blocked', CASE WHEN (now_is ->> 'isblocked')::boolean THEN 'true' END),
			('requires', CASE WHEN now_is ->> 'usecostcenter' = '1' THEN 'true' END),
			('ends', now_is ->> 'enddate')
		) AS v (state, value)
		WHERE v.state = ANY (TG_ARGV[1:2])
	LOOP
		IF s.value IS NULL THEN
			DELETE FROM exact.dimension_state AS d
			WHERE d.division = NEW.division AND d.entity = TG_ARGV[0] AND d.id = NEW.id
				AND d.state = s.state;
		ELSE
			INSERT INTO exact.dimension_state AS d (division, entity, id, state, value)
			VALUES (NEW.division, TG_ARGV[0], NEW.id, s.state, s.value)
			ON CONFLICT ON CONSTRAINT dimension_state_pkey DO UPDATE
				SET value = excluded.value, seen = excluded.seen
				WHERE d.value <> excluded.value;
		END IF;
	END LOOP;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION exact._dimension_state_seen()
	IS 'Trigger on the dimensions: keeps exact.dimension_state';
REVOKE ALL ON FUNCTION exact._dimension_state_seen() FROM PUBLIC;
CREATE TRIGGER gl_account_state_made AFTER INSERT ON exact.gl_account
	FOR EACH ROW WHEN (NEW.isblocked OR NEW.usecostcenter OPERATOR(pg_catalog.=) 1)
	EXECUTE FUNCTION exact._dimension_state_seen('glaccount', 'blocked', 'requires');
COMMENT ON TRIGGER gl_account_state_made ON exact.gl_account IS 'Keeps exact.dimension_state';
CREATE TRIGGER gl_account_state AFTER UPDATE ON exact.gl_account
	FOR EACH ROW WHEN (OLD.isblocked IS DISTINCT FROM NEW.isblocked
		OR OLD.usecostcenter IS DISTINCT FROM NEW.usecostcenter)
	EXECUTE FUNCTION exact._dimension_state_seen('glaccount', 'blocked', 'requires');
COMMENT ON TRIGGER gl_account_state ON exact.gl_account IS 'Keeps exact.dimension_state';
CREATE TRIGGER cost_center_state_made AFTER INSERT ON exact.cost_center
	FOR EACH ROW WHEN (NEW.enddate IS NOT NULL)
	EXECUTE FUNCTION exact._dimension_state_seen('costcenter', 'ends');
COMMENT ON TRIGGER cost_center_state_made ON exact.cost_center IS 'Keeps exact.dimension_state';
CREATE TRIGGER cost_center_state AFTER UPDATE ON exact.cost_center
	FOR EACH ROW WHEN (OLD.enddate IS DISTINCT FROM NEW.enddate)
	EXECUTE FUNCTION exact._dimension_state_seen('costcenter', 'ends');
COMMENT ON TRIGGER cost_center_state ON exact.cost_center IS 'Keeps exact.dimension_state';

CREATE FUNCTION exact._service_zone(division int) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN (
		SELECT CASE a.region WHEN 'uk' THEN 'Europe/London' ELSE 'Europe/Amsterdam' END
		FROM exact.division AS d
		JOIN exact.app AS a ON a.name = d.app
		WHERE d.division = $1
	);
END
$$;
COMMENT ON FUNCTION exact._service_zone(int)
	IS 'Time zone of the wall clock by which Exact Online writes moments of a division';
REVOKE ALL ON FUNCTION exact._service_zone(int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._service_zone(int) TO exact_worker;

-- read: the first load of a dimension is done, or it is not read at all; known: a code that is not
-- there does not exist. An endpoint that fails again and again may hide records.
CREATE FUNCTION exact._dimension_known(division int)
RETURNS TABLE (entity text, read boolean, known boolean, lives boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY
		SELECT d.entity,
			f.entity IS NULL OR s.first_complete_at IS NOT NULL OR coalesce(s.errors, 0) > 2,
			f.entity IS NOT NULL AND s.first_complete_at IS NOT NULL AND coalesce(s.errors, 0) <= 2,
			f.entity IS NOT NULL AND CASE d.entity
				WHEN 'glaccount' THEN EXISTS (SELECT FROM exact.gl_account AS g
					WHERE g.division = $1 AND NOT g.deleted)
				WHEN 'costcenter' THEN EXISTS (SELECT FROM exact.cost_center AS c
					WHERE c.division = $1 AND NOT c.deleted)
				ELSE EXISTS (SELECT FROM exact.cost_unit AS u
					WHERE u.division = $1 AND NOT u.deleted)
			END
		FROM (VALUES ('glaccount'), ('costcenter'), ('costunit')) AS d (entity)
		LEFT JOIN exact._enabled_feed AS f ON f.division = $1 AND f.entity = d.entity
		LEFT JOIN exact.feed_state AS s ON s.division = $1 AND s.feed = f.feed;
END
$$;
COMMENT ON FUNCTION exact._dimension_known(int)
	IS 'Of each dimension of a division: it is read as far as it will be, it is known as a whole, '
		'it is enabled and has a record that lives';
REVOKE ALL ON FUNCTION exact._dimension_known(int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._dimension_known(int) TO exact_worker;

CREATE FUNCTION exact._judge_later(
	division int,
	entity text,
	batch bigint,
	first boolean,
	keys text[]
)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	INSERT INTO exact.unjudged (batch, division, document, keys, feed, waits, first)
	SELECT $3, $1, d.document, $5, c.feed, d.holds AND NOT $4, $4
	FROM exact._document_entity AS d
	JOIN exact.catalogue AS c ON c.entity = d.entity
	WHERE d.entity = $2
		AND (EXISTS (SELECT FROM exact._rule AS r
				WHERE r.entity = d.document AND r.action <> 'off')
			OR EXISTS (SELECT FROM exact.rule AS r WHERE r.enabled AND r.function IS NOT NULL)
			OR EXISTS (SELECT FROM exact.judgement AS j
				WHERE j.division = $1 AND j.entity = d.document));
END
$$;
COMMENT ON FUNCTION exact._judge_later(int, text, bigint, boolean, text[])
	IS 'Notes that the documents of a batch are to be judged';
REVOKE ALL ON FUNCTION exact._judge_later(int, text, bigint, boolean, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._judge_later(int, text, bigint, boolean, text[]) TO exact_worker;

-- A document is complete when its run has ended, or came with all its lines.
CREATE FUNCTION exact._judge_next()
RETURNS TABLE (division int, document text, batches bigint[], first boolean)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY
		WITH RECURSIVE kind AS (
			(SELECT u.division, u.document, u.feed
			FROM exact.unjudged AS u ORDER BY u.division, u.document LIMIT 1)
			UNION ALL
			SELECT n.division, n.document, n.feed
			FROM kind AS k
			CROSS JOIN LATERAL (SELECT u.division, u.document, u.feed
				FROM exact.unjudged AS u
				WHERE (u.division, u.document) > (k.division, k.document)
				ORDER BY u.division, u.document LIMIT 1) AS n
		), ready AS (
			SELECT k.division, k.document
			FROM kind AS k
			JOIN exact.catalogue AS c ON c.entity = k.document
			LEFT JOIN exact.feed_state AS s ON s.division = k.division AND s.feed = k.feed
			WHERE (c.method = 'expanded' OR coalesce(s.run_state, 'idle') = 'idle')
				AND (SELECT bool_and(d.read) FROM exact._dimension_known(k.division) AS d)
			LIMIT 1
		)
		SELECT r.division, r.document, array_agg(b.batch), bool_and(b.first)
		FROM ready AS r
		CROSS JOIN LATERAL (SELECT u.batch, u.first
			FROM exact.unjudged AS u
			WHERE u.division = r.division AND u.document = r.document
			ORDER BY u.batch LIMIT 16) AS b
		GROUP BY r.division, r.document;
END
$$;
COMMENT ON FUNCTION exact._judge_next()
	IS 'Some batches whose documents can be judged now; no row: none';
REVOKE ALL ON FUNCTION exact._judge_next() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._judge_next() TO exact_worker;

-- A dimension has changed: the documents that its records say something about are judged again.
CREATE FUNCTION exact._judge_again(division int, entity text, slot int, batch bigint) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	names text[];
	n bigint;
BEGIN
	IF NOT EXISTS (SELECT FROM exact.judgement AS j WHERE j.division = $1) THEN
		RETURN 0;
	END IF;
	IF $2 = 'journalstatuslist' THEN
		-- a period was closed or opened: what is held may go on
		UPDATE exact.judgement AS j SET again = true
		WHERE j.division = $1 AND NOT j.again AND j.state = 'held';
		GET DIAGNOSTICS n = ROW_COUNT;
		RETURN n;
	END IF;
	names := ARRAY(
		SELECT $2 || ':' || exact._folded(x.name)
		FROM exact.stage AS s
		LEFT JOIN exact.cost_center AS c
			ON $2 = 'costcenter' AND c.division = $1 AND c.id = s.key::uuid
		LEFT JOIN exact.cost_unit AS u
			ON $2 = 'costunit' AND u.division = $1 AND u.id = s.key::uuid
		CROSS JOIN LATERAL (VALUES (s.key), (c.code), (u.code)) AS x (name)
		WHERE s.slot = $3 AND s.batch = $4 AND x.name IS NOT NULL);
	UPDATE exact.judgement AS j SET again = true
	WHERE j.division = $1 AND NOT j.again AND j.state <> 'doubt' AND j.waits && names;
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN n;
END
$$;
COMMENT ON FUNCTION exact._judge_again(int, text, int, bigint)
	IS 'Has documents judged again that wait for a dimension of this batch, or for their period; '
		'returns their number';
REVOKE ALL ON FUNCTION exact._judge_again(int, text, int, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._judge_again(int, text, int, bigint) TO exact_worker;

-- Rows of one document are committed together and get neighbouring row versions, but some of them
-- may be seen later than others, when the mark is above them. A run that begins this many versions
-- below what is known of the document meets them. What is older than the last night was read
-- twice.
CREATE FUNCTION exact._document_begins(division int, feed text, keys text[]) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN (
		SELECT greatest(min(v.row_version) - 10000, min(s.night_mark))
		FROM exact.feed_state AS s
		CROSS JOIN unnest($3) AS k (key)
		CROSS JOIN exact.catalogue AS c
		CROSS JOIN LATERAL (SELECT max(r.row_version) AS row_version
			FROM exact.record AS r
			WHERE r.division = $1 AND r.entity = c.entity AND r.parent = k.key OFFSET 0) AS v
		WHERE s.division = $1 AND s.feed = $2 AND c.feed = $2
			AND v.row_version > s.night_mark);
END
$$;
COMMENT ON FUNCTION exact._document_begins(int, text, text[])
	IS 'The row version from which a feed shows all lines of these documents; null: the readings '
		'of the nights have met them, or none is known';
REVOKE ALL ON FUNCTION exact._document_begins(int, text, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._document_begins(int, text, text[]) TO exact_worker;

-- Records that a document casts doubt on are read again: those of an entity with row versions by a
-- run of their feed, others by key. A code is looked for as such.
CREATE FUNCTION exact._judge_want(division int, entity text, keys text[], first boolean)
RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE e.method
		WHEN 'sync'
			THEN exact._want_run($1, e.feed, exact._document_begins($1, e.feed, k.keys))
		ELSE exact._want_keys($1, $2, k.keys, NULL, CASE
			WHEN k.codes THEN 'its code is named by a document'
			WHEN $4 THEN 'first load'
			ELSE 'a document is in doubt'
		END)
	END
	FROM exact.entity_effective AS e
	CROSS JOIN LATERAL (
		SELECT array_agg(DISTINCT u.key) AS keys,
			$2 IN ('costcenter', 'costunit') AND u.key !~ '^[0-9a-f-]{36}$' AS codes
		FROM unnest($3) AS u (key)
		GROUP BY 2) AS k
	WHERE e.entity = $2
$$;
COMMENT ON FUNCTION exact._judge_want(int, text, text[], boolean)
	IS 'Has records read again that a document casts doubt on';
REVOKE ALL ON FUNCTION exact._judge_want(int, text, text[], boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._judge_want(int, text, text[], boolean) TO exact_worker;

-- A line that was not read yet, or cannot be staged, is missing in the document.
CREATE FUNCTION exact._document_unread(division int, document text, line text, key text)
RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN EXISTS (SELECT FROM exact.dirty_key AS k
			WHERE k.division = $1 AND k.entity = $3 AND k.entity <> $2 AND k.key = $4)
		OR EXISTS (SELECT FROM exact.dead_letter AS l
			WHERE l.side = 'reading' AND l.division = $1 AND l.entity = $2 AND l.key = $4
				AND l.state <> 'done');
END
$$;
COMMENT ON FUNCTION exact._document_unread(int, text, text, text)
	IS 'Whether not all lines of a document are staged; line: their entity';
REVOKE ALL ON FUNCTION exact._document_unread(int, text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._document_unread(int, text, text, text) TO exact_worker;

-- Documents of which dimension and document were read after the doubt: those of an entity with row
-- versions by a run, others by key. waits are folded, a code in exact.dirty_key stands as the
-- document names it. And documents that have all their lines now. Entries of the ledger that do
-- not add up are read once more after ten seconds: an answer may lack rows, or rows come late.
CREATE FUNCTION exact._judge_settled() RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	asked record;
	n bigint;
BEGIN
	FOR asked IN
		WITH late AS (
			UPDATE exact.judgement AS j SET asked_at = clock_timestamp()
			WHERE j.state = 'doubt' AND NOT j.again AND j.asked_at IS NULL
				AND j.entity = 'transactionlines' AND j.waits = '{}'
				AND j.doubt_at < clock_timestamp() - interval '10 s'
			RETURNING j.division, j.entity, j.key
		)
		SELECT l.division, l.entity, array_agg(l.key) AS keys
		FROM late AS l
		GROUP BY l.division, l.entity
	LOOP
		PERFORM exact._judge_want(asked.division, asked.entity, asked.keys, false);
		PERFORM exact._wake('fetcher');
	END LOOP;
	WITH doubt AS MATERIALIZED (
		SELECT j.id, j.division, j.entity, j.key, j.waits,
			CASE
				WHEN j.entity = 'transactionlines' AND j.waits = '{}'
					THEN coalesce(j.asked_at, 'infinity')
				ELSE j.doubt_at
			END AS doubt_at
		FROM exact.judgement AS j
		WHERE j.state = 'doubt' AND NOT j.again
	), target AS MATERIALIZED (
		SELECT d.id, d.division, d.doubt_at, d.entity, d.key FROM doubt AS d
		UNION ALL
		SELECT d.id, d.division, d.doubt_at, split_part(w.name, ':', 1),
			substr(w.name, strpos(w.name, ':') + 1)
		FROM doubt AS d
		CROSS JOIN LATERAL unnest(d.waits) AS w (name)
	), feed AS MATERIALIZED (
		SELECT t.division, e.entity, e.method = 'sync' AS by_run,
			CASE
				WHEN s.run_state = 'idle' AND least(s.reread_from, s.doubted_from) IS NULL
					THEN least(s.complete_at, s.run_started_at)
			END AS run_at
		FROM (SELECT DISTINCT x.division, x.entity FROM target AS x) AS t
		JOIN exact.entity_effective AS e ON e.entity = t.entity
		LEFT JOIN exact.feed_state AS s ON s.division = t.division AND s.feed = e.feed
	), unsettled AS MATERIALIZED (
		SELECT DISTINCT t.id
		FROM target AS t
		JOIN feed AS f ON f.division = t.division AND f.entity = t.entity
		WHERE CASE
			WHEN f.by_run THEN coalesce(f.run_at <= t.doubt_at, true)
			ELSE EXISTS (SELECT FROM exact.dirty_key AS k
					WHERE k.division = t.division AND k.entity = t.entity AND k.key = t.key)
				OR (t.division, t.entity, t.key) IN (
					SELECT k.division, k.entity, exact._folded(k.key)
					FROM exact.dirty_key AS k
					WHERE k.entity IN ('costcenter', 'costunit')
						AND k.reason = 'its code is named by a document')
		END
	)
	UPDATE exact.judgement AS j SET again = true
	FROM doubt AS d
	WHERE j.id = d.id AND d.id NOT IN (SELECT u.id FROM unsettled AS u);
	GET DIAGNOSTICS n = ROW_COUNT;
	UPDATE exact.judgement AS j SET again = true
	FROM exact._document_entity AS d
	WHERE j.state = 'unread' AND NOT j.again AND d.document = j.entity AND d.line
		AND NOT exact._document_unread(j.division, j.entity, d.entity, j.key);
	RETURN n;
END
$$;
COMMENT ON FUNCTION exact._judge_settled()
	IS 'Has documents judged again whose doubt was settled by reading; returns their number';
REVOKE ALL ON FUNCTION exact._judge_settled() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._judge_settled() TO exact_worker;

-- A rule that does something else now: the documents that broke one are judged by it.
CREATE FUNCTION exact._rule_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	UPDATE exact.judgement AS j SET again = true
	WHERE NOT j.again AND j.state NOT IN ('doubt', 'unread');
	DELETE FROM exact.rule_failure;
	PERFORM exact._wake('fetcher');
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION exact._rule_changed()
	IS 'Trigger on exact.rule: documents with a problem are judged again';
REVOKE ALL ON FUNCTION exact._rule_changed() FROM PUBLIC;
CREATE TRIGGER rule_changed AFTER INSERT OR UPDATE OR DELETE ON exact.rule
	FOR EACH STATEMENT EXECUTE FUNCTION exact._rule_changed();
COMMENT ON TRIGGER rule_changed ON exact.rule
	IS 'Documents with a problem are judged by the rules as they are now';

CREATE VIEW exact.quarantine AS
SELECT j.id, j.division, j.entity, j.key,
	exact._number_of(j.entity, c.content) AS number, j.since,
	array_to_string(j.problems, E'\n') AS problems,
	array_to_string(j.waits, ', ') AS waits_for,
	exact._text_in(c.content, exact._fields_named(j.entity, 'ReportingYear', 'FinancialYear'))
		|| '-' || lpad(exact._text_in(c.content,
			exact._fields_named(j.entity, 'ReportingPeriod', 'FinancialPeriod')), 2, '0') AS period,
	exact._number_in(c.content, exact._fields_named(j.entity, 'AmountDC', 'Amount', 'AmountFC'))
		* exact._amount_sign(j.division, j.entity) AS amount,
	j.state = 'doubt' AS doubted,
	CASE
		WHEN j.state = 'doubt' THEN 'the hub reads dimension and document again'
		ELSE format('the hub delivers it when the reason is gone; SELECT exact.release(%s) '
			'delivers it as it is', j.id)
	END AS next_step
FROM exact.judgement AS j
LEFT JOIN exact.record AS r
	ON r.division = j.division AND r.entity = j.entity AND r.key = j.key
LEFT JOIN LATERAL (SELECT exact._content(r.slot, r.batch, r.ord) AS content) AS c ON true
WHERE j.state IN ('doubt', 'held');
COMMENT ON VIEW exact.quarantine
	IS 'Documents that a rule holds back: why, since when, and what ends it';
COMMENT ON COLUMN exact.quarantine.id IS 'For exact.release()';
COMMENT ON COLUMN exact.quarantine.division IS 'Division';
COMMENT ON COLUMN exact.quarantine.entity IS 'Entity of the document';
COMMENT ON COLUMN exact.quarantine.key IS '_key of the document';
COMMENT ON COLUMN exact.quarantine.number IS 'Its number, as printed';
COMMENT ON COLUMN exact.quarantine.since IS 'Since when';
COMMENT ON COLUMN exact.quarantine.problems IS 'A sentence a line for each problem';
COMMENT ON COLUMN exact.quarantine.waits_for
	IS 'The dimensions that it waits for: entity and code, or entity and key';
COMMENT ON COLUMN exact.quarantine.period IS 'Its year and period';
COMMENT ON COLUMN exact.quarantine.amount
	IS 'Its amount, signed as in Delta; null: it has none, or its sign is not known yet';
COMMENT ON COLUMN exact.quarantine.doubted
	IS 'The problem does not count before dimension and document were read again';
COMMENT ON COLUMN exact.quarantine.next_step IS 'What to do about it';
REVOKE ALL ON TABLE exact.quarantine FROM PUBLIC;
GRANT SELECT ON TABLE exact.quarantine TO exact_reader;

CREATE FUNCTION exact.release(quarantine_id bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	document record;
BEGIN
	UPDATE exact.judgement AS j
	SET released_seq = j.seq, released_by = session_user, released_at = clock_timestamp(),
		again = true
	WHERE j.id = quarantine_id AND j.state IN ('doubt', 'held')
	RETURNING j.division, j.entity, j.key INTO document;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'EX018',
			MESSAGE = format('nothing is held under %s', quarantine_id),
			DETAIL = 'It has been delivered, or its document is gone.',
			HINT = 'SELECT id, entity, number, problems FROM exact.quarantine shows what is held.';
	END IF;
	PERFORM exact._request_done('release', document.division, document.entity,
		format('document %s is delivered as it is', document.key),
		jsonb_build_object('id', quarantine_id, 'key', document.key));
	PERFORM exact._wake('fetcher');
END
$$;
COMMENT ON FUNCTION exact.release(bigint)
	IS 'Delivers a document of exact.quarantine as it is, with _valid = false and its problems. A '
		'newer version of it is judged again. EX018: nothing is held under this id';
REVOKE ALL ON FUNCTION exact.release(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.release(bigint) TO exact_operator;

-- What the rules ask of a division beside its dimensions.
CREATE FUNCTION exact._uses_cost_centers(division int) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN (
		SELECT EXISTS (SELECT FROM exact.cost_center AS c WHERE c.division = $1 AND NOT c.deleted)
	);
END
$$;
COMMENT ON FUNCTION exact._uses_cost_centers(int) IS 'Whether a cost center of the division lives';
REVOKE ALL ON FUNCTION exact._uses_cost_centers(int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._uses_cost_centers(int) TO exact_worker;

-- Source: vat/VATCodes, field Charged: reverse charge at home, or an acquisition in the EU.
CREATE FUNCTION exact._vat_not_owed(division int) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN (
		SELECT coalesce(array_agg(btrim(exact._text_in(s.payload, '{Code}'))), '{}')
		FROM exact.record AS r
		CROSS JOIN LATERAL (SELECT x.payload FROM exact.stage AS x
			WHERE x.slot = r.slot AND x.batch = r.batch AND x.ord = r.ord OFFSET 0) AS s
		WHERE r.division = $1 AND r.entity = 'vatcodes' AND NOT r.deleted
			AND exact._text_in(s.payload, '{Charged}') = 'true'
			AND exact._text_in(s.payload, '{Code}') IS NOT NULL
	);
END
$$;
COMMENT ON FUNCTION exact._vat_not_owed(int)
	IS 'Codes whose VAT is not owed to a supplier: reverse charge; none where VAT codes are not '
		'read';
REVOKE ALL ON FUNCTION exact._vat_not_owed(int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._vat_not_owed(int) TO exact_worker;

-- Rows of a journal entry in the ledger say whether it balances, where they are read: 1 they do,
-- 0 they do not, null: there are none.
CREATE FUNCTION exact._ledger_balances(division int, document text) RETURNS int
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN count(*) > 0 THEN (abs(sum(x.amount)) < 0.005)::int END
	FROM exact.record AS r
	CROSS JOIN LATERAL (SELECT x.payload FROM exact.stage AS x
		WHERE x.slot = r.slot AND x.batch = r.batch AND x.ord = r.ord OFFSET 0) AS s
	CROSS JOIN LATERAL (SELECT exact._number_in(s.payload, '{AmountDC}') AS amount) AS x
	WHERE r.division = $1 AND r.entity = 'transactionlines' AND r.parent = $2 AND NOT r.deleted
$$;
COMMENT ON FUNCTION exact._ledger_balances(int, text)
	IS 'Whether the ledger rows of a document add up to 0: 1 or 0; null: there are none';
REVOKE ALL ON FUNCTION exact._ledger_balances(int, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._ledger_balances(int, text) TO exact_worker;

-- Source: read/financial/JournalStatusList, Status 1: closed, a journal and period each.
CREATE FUNCTION exact._period_closed(division int, journal text, year bigint, period bigint)
RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN coalesce((
		SELECT exact._text_in(s.payload, '{Status}') = '1'
		FROM exact.record AS r
		CROSS JOIN LATERAL (SELECT x.payload FROM exact.stage AS x
			WHERE x.slot = r.slot AND x.batch = r.batch AND x.ord = r.ord OFFSET 0) AS s
		WHERE r.division = $1 AND r.entity = 'journalstatuslist' AND NOT r.deleted
			AND r.key = concat_ws('|', $2, $4, $3)
	), false);
END
$$;
COMMENT ON FUNCTION exact._period_closed(int, text, bigint, bigint)
	IS 'Whether a journal is closed for a period; not where its status is not read';
REVOKE ALL ON FUNCTION exact._period_closed(int, text, bigint, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._period_closed(int, text, bigint, bigint) TO exact_worker;

CREATE FUNCTION exact._judged(batches bigint[]) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	DELETE FROM exact.unjudged AS u WHERE u.batch = ANY ($1)
$$;
COMMENT ON FUNCTION exact._judged(bigint[]) IS 'The documents of these batches have been judged';
REVOKE ALL ON FUNCTION exact._judged(bigint[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._judged(bigint[]) TO exact_worker;

CREATE FUNCTION exact._document_word(entity text, n bigint) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN $2 = 1 THEN w.one ELSE w.many END
	FROM (VALUES
		('purchaseentries', 'purchase entry', 'purchase entries'),
		('salesentries', 'sales entry', 'sales entries'),
		('generaljournalentries', 'journal entry', 'journal entries'),
		('bankentries', 'bank entry', 'bank entries'),
		('cashentries', 'cash entry', 'cash entries'),
		('purchaseinvoices', 'purchase invoice', 'purchase invoices'),
		('salesinvoices', 'sales invoice', 'sales invoices'),
		('purchaseorders', 'purchase order', 'purchase orders'),
		('transactionlines', 'ledger entry', 'ledger entries')
	) AS w (entity, one, many)
	WHERE w.entity = $1
$$;
COMMENT ON FUNCTION exact._document_word(text, bigint)
	IS 'What documents of an entity are called: one, or several';
REVOKE ALL ON FUNCTION exact._document_word(text, bigint) FROM PUBLIC;

CREATE FUNCTION exact._wait_word(wait text, account text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE x.entity
		WHEN 'glaccount' THEN 'GL account ' || coalesce(btrim($2), x.name)
		WHEN 'costcenter' THEN 'cost center ' || upper(x.name)
		WHEN 'costunit' THEN 'cost unit ' || upper(x.name)
		ELSE 'another version'
	END
	FROM (SELECT split_part($1, ':', 1) AS entity, substr($1, strpos($1, ':') + 1) AS name) AS x
$$;
COMMENT ON FUNCTION exact._wait_word(text, text)
	IS 'A dimension that a document waits for, in words: cost center 4711; account: code of a GL '
		'account, where it is known';
REVOKE ALL ON FUNCTION exact._wait_word(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._wait_word(text, text), exact._document_word(text, bigint)
	TO exact_reader, exact_worker, exact_listener;

-- Rows of exact.check(): a rule that cannot be applied, a document that has waited for a day.
CREATE FUNCTION exact._check_documents()
RETURNS TABLE (result text, rule text, finding text, fix text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH judged AS (
		SELECT DISTINCT f.division
		FROM exact._enabled_feed AS f
		JOIN exact._document_entity AS e ON e.entity = f.entity
	), blind AS (
		SELECT j.division, k.entity, f.entity IS NOT NULL AS enabled
		FROM judged AS j
		CROSS JOIN LATERAL exact._dimension_known(j.division) AS k
		LEFT JOIN exact._enabled_feed AS f ON f.division = j.division AND f.entity = k.entity
		WHERE NOT k.known AND k.read
	), old AS (
		SELECT q.division, count(*) AS n, min(q.since) AS since
		FROM exact.judgement AS q
		WHERE q.state IN ('doubt', 'held') AND q.since < now() - interval '1 day'
		GROUP BY q.division
	)
	SELECT 'warn', format('rules of division %s', b.division),
		CASE
			WHEN b.enabled
				THEN format('%s cannot be read: its rules mark documents and hold none', b.entity)
			ELSE format('%s is not enabled: its rules are not applied', b.entity)
		END,
		CASE
			WHEN b.enabled THEN 'SELECT * FROM exact.feeds'
			ELSE format('SELECT exact.enable_entities(%s, %L)', b.division, b.entity)
		END
	FROM blind AS b
	UNION ALL
	SELECT 'warn', format('documents of division %s', o.division),
		format('%s %s held back for more than a day, since %s', o.n,
			CASE WHEN o.n = 1 THEN 'is' ELSE 'are' END, exact._since(o.since)),
		'SELECT * FROM exact.quarantine ORDER BY since'
	FROM old AS o
	UNION ALL
	SELECT 'warn', format('rule %s', f.rule),
		format('%sit said nothing of %s document%s, last of %s %s of division %s: %s',
			CASE WHEN f.suspended_at IS NOT NULL
				THEN format('suspended since %s, documents go on without it: ',
					exact._since(f.suspended_at))
			END, f.times, CASE WHEN f.times > 1 THEN 's' END, f.entity, f.key, f.division,
			f.reason),
		CASE
			WHEN f.suspended_at IS NULL
				THEN 'SELECT * FROM exact.try_rule(…) shows it; a change of exact.rule ends this'
			ELSE format('make it faster, exact.try_rule(…) shows how long it takes; then UPDATE '
				'exact.rule SET enabled = true WHERE name = %L', f.rule)
		END
	FROM exact.rule_failure AS f
	UNION ALL
	SELECT 'warn', format('rule %s', r.name),
		format('it cannot be called, documents go on without it: %s', f.finding), f.hint
	FROM exact.rule AS r
	CROSS JOIN LATERAL exact._rule_function(r.function) AS f
	WHERE r.enabled AND r.function IS NOT NULL AND f.finding IS NOT NULL
	UNION ALL
	SELECT 'ok', 'documents', format('%s held back, %s marked',
		count(*) FILTER (WHERE j.state IN ('doubt', 'held')),
		count(*) FILTER (WHERE j.state IN ('flagged', 'released'))), NULL
	FROM exact.judgement AS j
	WHERE NOT EXISTS (SELECT FROM old)
	HAVING EXISTS (SELECT FROM judged)
	ORDER BY 2, 3
$$;
COMMENT ON FUNCTION exact._check_documents()
	IS 'Rows of exact.check() about documents and the rules that they are checked by';
REVOKE ALL ON FUNCTION exact._check_documents() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._check_documents() TO exact_reader;
