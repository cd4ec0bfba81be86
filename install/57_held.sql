-- What is kept back, and who has to say something.

CREATE FUNCTION exact._text_in(content text, fields text[]) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN (SELECT j.value #>> '{}'
		FROM json_each(content::json) AS j
		WHERE j.key = ANY (fields) AND btrim(coalesce(j.value #>> '{}', '')) <> ''
		ORDER BY array_position(fields, j.key)
		LIMIT 1);
EXCEPTION WHEN data_exception THEN
	-- a sign that no text can hold, in whatever field: the others are as they are
	IF content ~ E'\\\\u(0000|[dD][89a-fA-F][0-9a-fA-F]{2})' THEN
		RETURN exact._text_in(regexp_replace(content,
			E'\\\\u(0000|[dD][89a-fA-F][0-9a-fA-F]{2})', E'\\\\ufffd', 'g'), fields);
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION exact._text_in(text, text[])
	IS 'The first of these fields that a record has and that is not blank; null: it has none';
REVOKE ALL ON FUNCTION exact._text_in(text, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._text_in(text, text[]) TO exact_reader, exact_worker;

GRANT EXECUTE ON FUNCTION exact._content(smallint, bigint, int), exact._number_in(text, text[]),
	exact._fields_named(text, text[]), exact._amount_sign(int, text) TO exact_reader;

-- The number that a document or a record of master data is known by.
CREATE FUNCTION exact._number_of(entity text, content text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT btrim(exact._text_in(content, exact._fields_named($1, 'Code', 'EntryNumber',
		'InvoiceNumber', 'OrderNumber', 'QuotationNumber', 'DeliveryNumber', 'ItemCode')))
$$;
COMMENT ON FUNCTION exact._number_of(text, text)
	IS 'The code or number that a record is known by; null: it has none of its own';
REVOKE ALL ON FUNCTION exact._number_of(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._number_of(text, text) TO exact_reader;

-- A line is known by the number of its document, which it may not have itself.
CREATE FUNCTION exact._number_in_full(division int, entity text, parent text, content text)
RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	own text := exact._number_of($2, $4);
	document text;
BEGIN
	IF $3 IS NULL THEN
		RETURN own;
	END IF;
	SELECT exact._number_of(x.entity, exact._content(x.slot, x.batch, x.ord))
	INTO document
	FROM exact.catalogue AS l
	JOIN exact.catalogue AS h ON h.feed = l.feed AND h.row_kind = 'header'
	JOIN exact.record AS x ON x.division = $1 AND x.entity = h.entity AND x.key = $3
	WHERE l.entity = $2 AND l.row_kind = 'line'
	LIMIT 1;
	RETURN concat_ws('/', coalesce(document, own),
		btrim(exact._text_in($4, exact._fields_named($2, 'LineNumber'))));
END
$$;
COMMENT ON FUNCTION exact._number_in_full(int, text, text, text)
	IS 'The code or number that a record is known by; of a line: number of its document/number of '
		'the line';
REVOKE ALL ON FUNCTION exact._number_in_full(int, text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._number_in_full(int, text, text, text) TO exact_reader;

CREATE FUNCTION exact._name_of(entity text, content text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT exact._text_in($2, exact._fields_named($1, 'Name', 'FullName', 'Description',
		'SupplierName', 'CustomerName', 'InvoiceToName', 'OrderedByName', 'AccountName', 'Subject',
		'YourRef', 'ItemDescription', 'GLAccountDescription', 'JournalDescription'))
$$;
COMMENT ON FUNCTION exact._name_of(text, text)
	IS 'The name or description that a record is known by; null: it has none';
REVOKE ALL ON FUNCTION exact._name_of(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._name_of(text, text) TO exact_reader;

CREATE VIEW exact.held AS
SELECT r.id, r.division, r.entity, r.key,
	exact._number_in_full(r.division, r.entity, r.parent, c.content) AS code,
	exact._name_of(r.entity, c.content) AS name,
	exact._number_in(c.content, exact._fields_named(r.entity, 'AmountDC', 'Amount', 'AmountFC'))
		* exact._amount_sign(r.division, r.entity) AS amount,
	r.since, r.reason,
	CASE WHEN r.doubted
		THEN format('the hub asks for it again; if it is gone in Exact Online: '
			'SELECT exact.approve(%s)', r.id)
		ELSE format('look for it in Exact Online; if gone: SELECT exact.approve(%s), '
			'if still there: SELECT exact.reject(%s)', r.id, r.id)
	END AS next_step
FROM exact._held_record AS r
CROSS JOIN LATERAL (SELECT exact._content(r.slot, r.batch, r.ord) AS content) AS c
WHERE r.state = 'held';
COMMENT ON VIEW exact.held
	IS 'Absent records that the hub does not delete until an operator decides';
COMMENT ON COLUMN exact.held.id
	IS 'For exact.approve() and exact.reject(): one for all of an entity';
COMMENT ON COLUMN exact.held.division IS 'Division';
COMMENT ON COLUMN exact.held.entity IS 'Entity';
COMMENT ON COLUMN exact.held.key IS '_key of the record';
COMMENT ON COLUMN exact.held.code
	IS 'Its code or number, as printed; of a line: number of its document/number of the line';
COMMENT ON COLUMN exact.held.name IS 'Its name or description';
COMMENT ON COLUMN exact.held.amount
	IS 'Its amount, signed as in Delta; null: it has none, or its sign is not known yet';
COMMENT ON COLUMN exact.held.since IS 'Since when it is held';
COMMENT ON COLUMN exact.held.reason IS 'Why';
COMMENT ON COLUMN exact.held.next_step IS 'What to do';
REVOKE ALL ON TABLE exact.held FROM PUBLIC;
GRANT SELECT ON TABLE exact.held TO exact_reader;
