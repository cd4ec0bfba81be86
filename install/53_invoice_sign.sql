-- The sign of sync sales invoices: on some services a sale is negative there. One plain read of an
-- invoice tells; until then the invoices of the division wait.

CREATE TABLE exact.invoice_sign (
	division int PRIMARY KEY,
	turned boolean,
	invoice text NOT NULL,
	asked int NOT NULL DEFAULT 1,
	asked_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	next_at timestamptz,
	call bigint,
	finding text
);
COMMENT ON TABLE exact.invoice_sign
	IS 'Whether the amounts of sync sales invoices have the opposite sign, as a plain read has '
		'shown';
COMMENT ON COLUMN exact.invoice_sign.division IS 'Division';
COMMENT ON COLUMN exact.invoice_sign.turned
	IS 'They have the other sign than in the plain resource; null: not known yet';
COMMENT ON COLUMN exact.invoice_sign.invoice IS 'InvoiceID that was asked for last';
COMMENT ON COLUMN exact.invoice_sign.asked IS 'Number of reads';
COMMENT ON COLUMN exact.invoice_sign.asked_at IS 'When it was asked last';
COMMENT ON COLUMN exact.invoice_sign.next_at IS 'When it is asked again; null: it is known';
COMMENT ON COLUMN exact.invoice_sign.call IS 'Call that showed it: exact.api_call.id';
COMMENT ON COLUMN exact.invoice_sign.finding IS 'Why it is not known';
REVOKE ALL ON TABLE exact.invoice_sign FROM PUBLIC;
GRANT SELECT ON TABLE exact.invoice_sign TO exact_reader;
GRANT SELECT, INSERT, UPDATE ON TABLE exact.invoice_sign TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.invoice_sign', '');

-- A record that PostgreSQL would refuse as json is read as well, so no number is taken for one
-- that is none.
CREATE FUNCTION exact._plain_number(content text, field text) RETURNS numeric
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT substring($1 FROM '"' || $2 || '"[[:space:]]*:[[:space:]]*"?'
		'(-?[0-9]{1,20}(?:[.][0-9]{1,40})?(?:[eE][-+]?[0-9]{1,2})?)["[:space:],}]')::numeric
$$;
COMMENT ON FUNCTION exact._plain_number(text, text) IS 'A number of a record; null: it has none';
REVOKE ALL ON FUNCTION exact._plain_number(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._plain_number(text, text) TO exact_worker;

CREATE FUNCTION exact._is_invoice(entity text) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT $1 IN ('salesinvoices', 'salesinvoicelines')
$$;
COMMENT ON FUNCTION exact._is_invoice(text) IS 'Is an entity one whose amounts may come turned';
REVOKE ALL ON FUNCTION exact._is_invoice(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._is_invoice(text) TO exact_reader, exact_worker;

CREATE FUNCTION exact._amount_sign(division int, entity text) RETURNS int
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN exact._is_invoice($2)
			THEN (SELECT CASE s.turned WHEN true THEN -1 WHEN false THEN 1 END
				FROM exact.invoice_sign AS s
				WHERE s.division = $1)
		ELSE 1
	END
$$;
COMMENT ON FUNCTION exact._amount_sign(int, text)
	IS 'What the amounts of an entity are multiplied with on their way to Delta; null: not known';
REVOKE ALL ON FUNCTION exact._amount_sign(int, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._amount_sign(int, text) TO exact_worker;

CREATE FUNCTION exact._telling_invoice(
	division int, asked text, again boolean, OUT invoice text, OUT amount numeric)
RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT r.key, a.amount
	FROM exact.record AS r
	CROSS JOIN LATERAL (
		SELECT x.payload FROM exact.stage AS x
		WHERE x.slot = r.slot AND x.batch = r.batch AND x.ord = r.ord OFFSET 0) AS v
	CROSS JOIN LATERAL (SELECT exact._plain_number(v.payload, 'AmountDC') AS amount) AS a
	WHERE r.division = $1
		AND r.entity = 'salesinvoices'
		AND NOT r.deleted
		AND (r.key IS NOT DISTINCT FROM $2) = $3
		AND abs(a.amount) >= 0.005
	LIMIT 1
$$;
COMMENT ON FUNCTION exact._telling_invoice(int, text, boolean)
	IS 'A sales invoice with an amount; again: the one that was asked for, else any other';
REVOKE ALL ON FUNCTION exact._telling_invoice(int, text, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._telling_invoice(int, text, boolean) TO exact_worker;

CREATE FUNCTION exact._sign_question(
	OUT division int, OUT app text, OUT invoice text, OUT amount numeric)
RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT f.division, d.app, i.invoice, i.amount
	FROM exact.feed AS f
	JOIN exact.division AS d ON d.division = f.division AND d.enabled
	LEFT JOIN exact.division_state AS t ON t.division = f.division
	LEFT JOIN exact.invoice_sign AS s ON s.division = f.division
	CROSS JOIN LATERAL (
		SELECT o.* FROM exact._telling_invoice(f.division, s.invoice, false) AS o
		UNION ALL
		SELECT o.* FROM exact._telling_invoice(f.division, s.invoice, true) AS o
		LIMIT 1
	) AS i
	WHERE f.enabled
		AND f.entity = 'salesinvoices'
		AND coalesce(t.state, 'ok') = 'ok'
		AND s.turned IS NULL
		AND (s.next_at IS NULL OR s.next_at <= now())
	ORDER BY s.asked_at NULLS FIRST
	LIMIT 1
$$;
COMMENT ON FUNCTION exact._sign_question()
	IS 'The next invoice to be read through the plain resource: one with an amount, of a division '
		'whose sign is not known';
REVOKE ALL ON FUNCTION exact._sign_question() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._sign_question() TO exact_worker;

CREATE FUNCTION exact._learn_sign(
	division int, invoice text, amount numeric, plain text, call bigint, problem text)
RETURNS boolean
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	INSERT INTO exact.invoice_sign AS s
		(division, turned, invoice, asked_at, next_at, call, finding)
	SELECT $1, x.turned, $2, now(),
		CASE WHEN x.turned IS NULL THEN now() + interval '5 s' END, $5,
		CASE
			WHEN x.turned IS NULL
				THEN coalesce($6, format('invoice %s is there with %s, and was read with %s', $2,
					coalesce($4, 'nothing'), $3))
		END
	FROM (SELECT CASE
			WHEN abs(p.number + $3) < 0.005 THEN true
			WHEN abs(p.number - $3) < 0.005 THEN false
		END AS turned
		FROM (SELECT exact._plain_number(format('{"a":%s}', $4), 'a') AS number) AS p) AS x
	ON CONFLICT ON CONSTRAINT invoice_sign_pkey DO UPDATE SET
		turned = excluded.turned,
		invoice = excluded.invoice,
		asked = s.asked + 1,
		asked_at = excluded.asked_at,
		next_at = CASE
			WHEN excluded.turned IS NULL
				THEN now() + least(interval '5 s' * 2 ^ least(s.asked, 20), interval '1 h')
		END,
		call = excluded.call,
		finding = excluded.finding
	RETURNING s.turned
$$;
COMMENT ON FUNCTION exact._learn_sign(int, text, numeric, text, bigint, text)
	IS 'Takes the answer of a plain read of an invoice; returns whether amounts are turned, null: '
		'it did not tell, another invoice is asked for later';
REVOKE ALL ON FUNCTION exact._learn_sign(int, text, numeric, text, bigint, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._learn_sign(int, text, numeric, text, bigint, text) TO exact_worker;

CREATE FUNCTION exact._sign_findings(
	OUT result text, OUT rule text, OUT finding text, OUT fix text)
RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN s.turned IS NULL AND r.read THEN 'warn' ELSE 'ok' END,
		'sales invoices of division ' || f.division,
		CASE s.turned
			WHEN true THEN 'amounts come turned, and are turned back'
			WHEN false THEN 'amounts come as the plain resource shows them'
			ELSE coalesce('the sign of their amounts is not known, they wait: ' || s.finding,
				'the sign of their amounts is not known: none with an amount was read yet')
		END,
		CASE
			WHEN s.turned IS NULL AND s.asked > 1
				THEN format('SELECT * FROM exact.invoice_sign WHERE division = %s', f.division)
		END
	FROM exact.feed AS f
	LEFT JOIN exact.invoice_sign AS s ON s.division = f.division
	CROSS JOIN LATERAL (
		SELECT EXISTS (SELECT
			FROM exact.record AS r
			WHERE r.division = f.division AND r.entity = 'salesinvoices') AS read
	) AS r
	WHERE f.enabled AND f.entity = 'salesinvoices'
	ORDER BY f.division
$$;
COMMENT ON FUNCTION exact._sign_findings()
	IS 'Rows of check(): the sign of each division''s sync sales invoices';
REVOKE ALL ON FUNCTION exact._sign_findings() FROM PUBLIC;
