-- sources.yml for dbt: what readers in Databricks find, as their own tool wants to be told.

-- JSON's texts are YAML's. dbt renders each text once more: braces that it would take for its own
-- are written so that it gives them back.
CREATE FUNCTION exact._yaml(value text) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	quoted text := to_json(regexp_replace(coalesce($1, ''), '[{](?=[{%#])', $brace${{ '{' }}$brace$,
		'g'))::text;
	c text;
BEGIN
	-- what YAML does not allow as it is: U+007F to U+009F, U+2028, U+2029, marks of byte order
	FOR c IN
		SELECT DISTINCT m.found[1]
		FROM regexp_matches(quoted, E'[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]', 'g')
			AS m (found)
	LOOP
		quoted := replace(quoted, c, E'\\u' || lpad(to_hex(ascii(c)), 4, '0'));
	END LOOP;
	RETURN quoted;
END
$$;
COMMENT ON FUNCTION exact._yaml(text)
	IS 'A text as a quoted scalar of YAML that dbt leaves as it is';
REVOKE ALL ON FUNCTION exact._yaml(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._yaml(text) TO exact_reader;

-- A foreign key of the catalogue: a line's document, or a GL account.
CREATE FUNCTION exact._dbt_references(entity text)
RETURNS TABLE (field text, parent text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY
		SELECT f.name, h.entity
		FROM exact.entity_effective AS e
		JOIN exact.entity_effective AS h ON h.feed = e.feed AND h.row_kind = 'header'
		JOIN exact.field_effective AS f ON f.entity = e.entity AND f.name = e.parent_field
		WHERE e.entity = $1 AND e.row_kind = 'line' AND f.target_type IS NOT NULL
		UNION
		SELECT f.name, 'glaccount'
		FROM exact.field_effective AS f
		WHERE f.entity = $1 AND f.target_type = 'STRING' AND f.edm_type = 'Edm.Guid'
			AND f.source_field LIKE '%GLAccount%';
END
$$;
COMMENT ON FUNCTION exact._dbt_references(text)
	IS 'Fields of an entity that hold the _key of another one';
REVOKE ALL ON FUNCTION exact._dbt_references(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._dbt_references(text) TO exact_reader;

CREATE FUNCTION exact._dbt_column(name text, type text, about text, tests text[] = '{}')
RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN concat_ws(E'\n',
		format('          - name: %s', exact._yaml($1)),
		'            data_type: ' || exact._yaml($2),
		'            description: ' || exact._yaml($3),
		'            quote: true',
		CASE WHEN cardinality($4) > 0 THEN '            data_tests:' END,
		nullif(array_to_string($4, E'\n'), ''));
END
$$;
COMMENT ON FUNCTION exact._dbt_column(text, text, text, text[]) IS 'A column in sources.yml';
REVOKE ALL ON FUNCTION exact._dbt_column(text, text, text, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._dbt_column(text, text, text, text[]) TO exact_reader;

-- hub_only: of a dimension, rows that readers insert have neither _seq nor a right _key until the
-- hub has seen them.
CREATE FUNCTION exact._dbt_table(w exact.workspace, e exact.entity_effective, source text,
	history boolean, told boolean, made text[])
RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	hub_only boolean := NOT history AND e.entity IN ('glaccount', 'costcenter', 'costunit');
	config text := CASE WHEN hub_only
		THEN E'\n                  config: {where: "`_seq` IS NOT NULL"}' ELSE '' END;
	filled text := '              - not_null' || CASE WHEN hub_only THEN ':' ELSE '' END || config;
	alone text := CASE WHEN history THEN '`_seq`'
		ELSE 'concat(cast(`_division` AS string), ''|'', `_key`)' END;
BEGIN
	RETURN concat_ws(E'\n',
		'      - name: ' || exact._yaml(CASE WHEN history THEN e.target_history
			ELSE e.target_table END),
		'        description: ' || exact._yaml(format('Exact Online %s: %s', e.resource,
			CASE WHEN history THEN 'every version of every record, in the order of _seq'
				ELSE 'the current state, one row per record; deleted ones stay with _deleted' END)),
		CASE WHEN told THEN concat_ws(E'\n',
			-- exact_state says up to when the table is complete: a quiet table is no stale one
			'        loaded_at_query: ' || exact._yaml(format(
				'SELECT min(`complete_until`) FROM %s WHERE `entity` = %s AND `state` <> ''off''',
				exact._delta_name(w.catalog, w.schema, 'exact_state'),
				exact._delta_text(e.entity))),
			'        freshness:',
			'          warn_after: {count: 26, period: hour}',
			'          error_after: {count: 50, period: hour}') END,
		'        data_tests:',
		format('          - unique:%s              arguments: {column_name: %s}%s', E'\n',
			exact._yaml(alone), replace(config, E'\n    ', E'\n')),
		'        columns:',
		exact._dbt_column('_division', 'int', 'Division (administration) in Exact Online',
			ARRAY[filled]),
		exact._dbt_column('_key', 'string', 'Key of the record in Exact Online',
			ARRAY[filled]),
		exact._dbt_column('_seq', 'bigint',
			'Version: rises with every change, over all divisions and tables',
			CASE WHEN hub_only THEN ARRAY[]::text[] ELSE ARRAY['              - not_null'] END),
		(SELECT string_agg(exact._dbt_column(f.name, lower(f.target_type), concat_ws(', ',
				f.source_field, f.edm_type,
				CASE WHEN f.derived THEN 'looked up by Exact Online' END),
			coalesce((
				SELECT array_agg(concat_ws(E'\n',
					'              - relationships:',
					'                  arguments: {to: ' || exact._yaml(
						format('source(''%s'', ''%s'')', source, p.target_table))
						|| ', field: _key}',
					'                  config: {severity: warn, where: "NOT `_deleted`"}')
					ORDER BY r.parent)
				FROM exact._dbt_references(e.entity) AS r
				JOIN exact.entity_effective AS p ON p.entity = r.parent
				WHERE r.field = f.name AND NOT history AND r.parent = ANY (made)), '{}')),
			E'\n' ORDER BY f.ordinal)
		FROM exact.field_effective AS f
		WHERE f.entity = e.entity AND f.target_type IS NOT NULL AND f.name <> '_key'),
		(SELECT string_agg(exact._dbt_column(c.name, c.type, c.about), E'\n' ORDER BY c.place)
		FROM (VALUES
			(1, '_op', 'string', 'What made this version: I insert, U update, D delete', true,
				true),
			(2, '_deleted', 'boolean', 'True when the record is gone in Exact Online; the other '
				'columns hold its last state', true, false),
			(3, '_valid', 'boolean', 'False when a validation rule found a problem', true, true),
			(4, '_problems', 'string', 'What the validation rules found', true, true),
			(5, '_batch', 'bigint', 'Batch of the hub that brought this version', true, true),
			(6, '_staged_at', 'timestamp', 'When the hub stored this version', true, true),
			(7, '_loaded_at', 'timestamp', 'When this row was written here', true, true),
			(8, '_payload', 'string', 'The record exactly as Exact Online sent it', false, true)
		) AS c (place, name, type, about, in_current, in_history)
		WHERE CASE WHEN history THEN c.in_history ELSE c.in_current END));
END
$$;
COMMENT ON FUNCTION exact._dbt_table(exact.workspace, exact.entity_effective, text, boolean,
	boolean, text[])
	IS 'A table in sources.yml; told: exact_state is there; made: entities whose tables are there';
REVOKE ALL ON FUNCTION exact._dbt_table(exact.workspace, exact.entity_effective, text, boolean,
	boolean, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._dbt_table(exact.workspace, exact.entity_effective, text, boolean,
	boolean, text[]) TO exact_reader;

CREATE FUNCTION exact.dbt_sources(workspace text, source text = 'exact') RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	w exact.workspace;
	told boolean;
	made text[];
	tables text;
BEGIN
	SELECT x.* INTO w FROM exact.workspace AS x WHERE x.name = $1;
	IF w.name IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('there is no workspace "%s"', left($1, 100)),
			HINT = 'SELECT name FROM exact.workspace shows them.';
	END IF;
	-- dbt writes the name into its own templates as it is
	IF ($2 ~ '^[a-zA-Z_][a-zA-Z0-9_]{0,60}$') IS NOT TRUE THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('a source of dbt cannot be named "%s"', left($2, 100)),
			HINT = 'Use letters, digits and _, or leave it out: source(''exact'', ''items'').';
	END IF;
	told := exact._state_is_told(w.name);
	made := ARRAY(
		SELECT t.entity
		FROM exact.target_state AS t
		JOIN exact.entity_effective AS e ON e.entity = t.entity
		WHERE t.workspace = w.name AND t.created_at IS NOT NULL
			AND t.table_name = concat_ws('.', w.catalog, w.schema, e.target_table)
			AND t.history_name = concat_ws('.', w.catalog, w.schema, e.target_history));
	IF made = '{}' THEN
		RAISE EXCEPTION USING ERRCODE = 'EX018',
			MESSAGE = format('workspace %s has no Delta tables of the hub yet', w.name),
			HINT = 'Tables are made with their first delivery: SELECT * FROM exact.progress.';
	END IF;
	SELECT string_agg(exact._dbt_table(w, e, $2, h.history, told, made), E'\n'
		ORDER BY e.target_table COLLATE "C", h.history)
	INTO tables
	FROM exact.entity_effective AS e
	CROSS JOIN (VALUES (false), (true)) AS h (history)
	WHERE e.entity = ANY (made);
	RETURN concat_ws(E'\n',
		'# Made by exact.dbt_sources(); make it anew instead of editing it.',
		'version: 2',
		'sources:',
		'  - name: ' || exact._yaml($2),
		'    description: ' || exact._yaml('Exact Online, delivered by exact_databricks'),
		'    database: ' || exact._yaml(w.catalog),
		'    schema: ' || exact._yaml(w.schema),
		'    quoting: {database: true, schema: true, identifier: true}',
		'    tables:',
		tables, '');
END
$$;
COMMENT ON FUNCTION exact.dbt_sources(text, text)
	IS E'sources.yml for dbt 1.10 and newer: the Delta tables of a workspace with descriptions, '
		'columns, tests (_key is filled and unique in its division, lines have their document, '
		'GL accounts exist) and freshness by exact_state. Save it in psql with '
		'\\g (format=unaligned tuples_only=on) sources.yml. source: its name in dbt. EX021: no '
		'such workspace; EX018: it has no tables yet';
REVOKE ALL ON FUNCTION exact.dbt_sources(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.dbt_sources(text, text) TO exact_reader;
GRANT EXECUTE ON FUNCTION exact._state_is_told(text), exact._delta_name(text[]),
	exact._delta_text(text) TO exact_reader;
