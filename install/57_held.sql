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
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION exact._text_in(text, text[])
	IS 'The first of these fields that a record has and that is not blank; null: it has none';
REVOKE ALL ON FUNCTION exact._text_in(text, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._text_in(text, text[]) TO exact_reader, exact_worker;

GRANT EXECUTE ON FUNCTION exact._content(smallint, bigint, int), exact._number_in(text, text[]),
	exact._fields_named(text, text[]), exact._amount_sign(int, text) TO exact_reader;

CREATE VIEW exact.held AS
SELECT r.id, r.division, r.entity, r.key,
	btrim(exact._text_in(c.content, exact._fields_named(r.entity, 'Code', 'EntryNumber',
		'OrderNumber', 'InvoiceNumber', 'LineNumber', 'ItemCode'))) AS code,
	exact._text_in(c.content, exact._fields_named(r.entity, 'Name', 'Description', 'SupplierName',
		'CustomerName', 'InvoiceToName', 'AccountName', 'YourRef')) AS name,
	exact._number_in(c.content, exact._fields_named(r.entity, 'AmountDC', 'AmountFC'))
		* exact._amount_sign(r.division, r.entity) AS amount,
	r.since, r.reason,
	CASE WHEN r.doubted
		THEN format('it is asked for again by itself; gone in Exact Online: '
			'SELECT exact.approve(%s)', r.id)
		ELSE format('look for it in Exact Online; gone: SELECT exact.approve(%s), '
			'still there: SELECT exact.reject(%s)', r.id, r.id)
	END AS next_step
FROM exact._held_record AS r
CROSS JOIN LATERAL (SELECT exact._content(r.slot, r.batch, r.ord) AS content) AS c
WHERE r.state = 'held';
COMMENT ON VIEW exact.held
	IS 'Records that answers did not show and that are not deleted before an operator says so';
COMMENT ON COLUMN exact.held.id
	IS 'For exact.approve() and exact.reject(): one for all of an entity';
COMMENT ON COLUMN exact.held.division IS 'Division';
COMMENT ON COLUMN exact.held.entity IS 'Entity';
COMMENT ON COLUMN exact.held.key IS '_key of the record';
COMMENT ON COLUMN exact.held.code IS 'Its code or number, as printed';
COMMENT ON COLUMN exact.held.name IS 'Its name or description';
COMMENT ON COLUMN exact.held.amount IS 'Its amount, signed as in Delta; null: it has none';
COMMENT ON COLUMN exact.held.since IS 'Since when it is held';
COMMENT ON COLUMN exact.held.reason IS 'Why';
COMMENT ON COLUMN exact.held.next_step IS 'What to do';
REVOKE ALL ON TABLE exact.held FROM PUBLIC;
GRANT SELECT ON TABLE exact.held TO exact_reader;
