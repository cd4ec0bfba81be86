-- The views belong to exact_view, which has no rights but to read the tables: what they show stands
-- under the row policies of exact.restrict_reader(). It reads no secret, encrypted or not.

DO $views$
DECLARE
	relation record;
	columns text;
BEGIN
	FOR relation IN
		SELECT c.oid, c.relname, c.relkind
		FROM pg_catalog.pg_class AS c
		WHERE c.relnamespace OPERATOR(pg_catalog.=) 'exact'::pg_catalog.regnamespace
			AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
	LOOP
		IF relation.relkind OPERATOR(pg_catalog.=) 'v' THEN
			EXECUTE pg_catalog.format('ALTER VIEW exact.%I OWNER TO exact_view', relation.relname);
			CONTINUE;
		END IF;
		SELECT CASE WHEN relation.relname IN ('app_state', 'credential', 'token')
			THEN pg_catalog.format('(%s)',
				pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ')) END
		INTO columns
		FROM pg_catalog.pg_attribute AS a
		WHERE a.attrelid OPERATOR(pg_catalog.=) relation.oid
			AND a.attnum OPERATOR(pg_catalog.>) 0
			AND a.atttypid OPERATOR(pg_catalog.<>) 'pg_catalog.bytea'::pg_catalog.regtype
			AND a.attname OPERATOR(pg_catalog.<>) 'oauth_state';
		EXECUTE pg_catalog.format('GRANT SELECT %s ON TABLE exact.%I TO exact_view', columns,
			relation.relname);
	END LOOP;
END
$views$;
GRANT USAGE ON SCHEMA exact TO exact_view;
