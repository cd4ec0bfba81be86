-- Customers' own rules: run by hand, and switched off.

CREATE FUNCTION exact.try_rule(
		name text, division int, document jsonb, lines jsonb, OUT line int, OUT problem text)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'exact_try_rule';
COMMENT ON FUNCTION exact.try_rule(text, int, jsonb, jsonb)
	IS 'Shows what a rule of your own finds in a document, run as in a worker: one row per '
		'problem; line is null for the document itself. document null: an entry of the ledger. '
		'EX021: the rule gives no verdict';
REVOKE ALL ON FUNCTION exact.try_rule(text, int, jsonb, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.try_rule(text, int, jsonb, jsonb) TO exact_operator;

CREATE FUNCTION exact._switch_rule_off(name text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	UPDATE exact.rule AS r
	SET enabled = false
	WHERE r.name = $1 AND r.enabled AND r.function IS NOT NULL
$$;
COMMENT ON FUNCTION exact._switch_rule_off(text)
	IS 'Switches a customer''s rule off whose function could not be cancelled';
REVOKE ALL ON FUNCTION exact._switch_rule_off(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._switch_rule_off(text) TO exact_worker;
