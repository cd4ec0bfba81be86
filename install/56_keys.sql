-- Keys in Databricks, declared on request: informational, so that Databricks and the tools on it
-- see which records belong to which dimension.

-- A primary key wants columns that are not null, so a user who inserts a row must then name a
-- _division and a _key of its own (uuid()); it is new all the same, having no _seq. Costs centers
-- and units are referred to by code, which is no key there: nothing can refer to them.
-- block: what a refusal ends; parent: the block that must have gone well.
CREATE FUNCTION exact._key_statements(workspace text, args jsonb)
RETURNS TABLE (name text, block text, parent text, text text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH made AS (
		SELECT e.entity, e.target_table, exact._delta_name(w.catalog, w.schema, e.target_table) AS t
		FROM exact.workspace AS w
		JOIN exact.target_state AS s ON s.workspace = w.name AND s.created_at IS NOT NULL
		JOIN exact.entity_effective AS e ON e.entity = s.entity
		WHERE w.name = $1
			AND s.table_name = concat_ws('.', w.catalog, w.schema, e.target_table)
			AND ($2 ->> 'keys')::boolean
	), key AS (
		SELECT m.target_table, m.t, format('exact_%s_pk', m.target_table) AS name
		FROM made AS m
		WHERE m.entity IN ('glaccount', 'costcenter', 'costunit')
	), reference AS (
		SELECT m.target_table, m.t, f.name AS field, p.t AS parent_t, p.target_table AS parent,
			format('exact_%s_%s_fk', m.target_table, lower(f.name)) AS name
		FROM made AS m
		JOIN made AS p ON p.entity = 'glaccount'
		JOIN exact.field_effective AS f ON f.entity = m.entity
			AND f.target_type = 'STRING'
			AND f.edm_type = 'Edm.Guid'
			AND f.source_field LIKE '%GLAccount%'
	)
	SELECT s.target_table, s.block, s.parent, s.text
	FROM (SELECT 1 AS place, k.target_table, k.target_table AS block, NULL AS parent, x.step,
			format('ALTER TABLE %s %s', k.t, x.text) AS text
		FROM key AS k
		CROSS JOIN LATERAL (VALUES
			(1, 'ALTER COLUMN `_division` SET NOT NULL'),
			(2, 'ALTER COLUMN `_key` SET NOT NULL'),
			(3, format('DROP CONSTRAINT IF EXISTS %s CASCADE', exact._delta_name(k.name))),
			(4, format('ADD CONSTRAINT %s PRIMARY KEY (`_division`, `_key`) NOT ENFORCED',
				exact._delta_name(k.name)))
		) AS x (step, text)
		UNION ALL
		SELECT 2, r.target_table, r.target_table || '.' || r.field, r.parent, x.step,
			format('ALTER TABLE %s %s', r.t, x.text)
		FROM reference AS r
		CROSS JOIN LATERAL (VALUES
			(1, format('DROP CONSTRAINT IF EXISTS %s', exact._delta_name(r.name))),
			(2, format('ADD CONSTRAINT %s FOREIGN KEY (`_division`, %s) REFERENCES %s '
				'(`_division`, `_key`) NOT ENFORCED', exact._delta_name(r.name),
				exact._delta_name(r.field), r.parent_t))
		) AS x (step, text)) AS s
	ORDER BY s.place, s.target_table, s.block, s.step
$$;
COMMENT ON FUNCTION exact._key_statements(text, jsonb)
	IS 'Statements that declare the keys of dimensions and what refers to them, when args has '
		'"keys": true';
REVOKE ALL ON FUNCTION exact._key_statements(text, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._key_statements(text, jsonb) TO exact_worker;
