-- exact.dbt_sources(): what it says of a table, and that it stays YAML whatever names there are.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
RESET client_min_messages;

BEGIN;
INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema)
VALUES ('lake', 'https://adb-1.2.azuredatabricks.net', 'w1', 'main', 'exact');
\set VERBOSITY terse
SAVEPOINT none;
SELECT exact.dbt_sources('lake');
ROLLBACK TO none;
SELECT exact.dbt_sources('sea');
ROLLBACK TO none;
SELECT exact.dbt_sources(NULL);
ROLLBACK TO none;
SELECT exact.dbt_sources('lake', '');
ROLLBACK TO none;
SELECT exact.dbt_sources('lake', E'o''dd: "name"');
ROLLBACK TO none;
SELECT exact.dbt_sources('lake', NULL);
ROLLBACK TO none;

\set VERBOSITY default
CREATE FUNCTION pg_temp.made(VARIADIC entities text[]) RETURNS void LANGUAGE sql AS $$
	INSERT INTO exact.target_state (workspace, entity, table_name, history_name, created_at)
	SELECT w.name, e.entity, concat_ws('.', w.catalog, w.schema, e.target_table),
		concat_ws('.', w.catalog, w.schema, e.target_history), now()
	FROM exact.workspace AS w, exact.entity_effective AS e
	WHERE e.entity = ANY (entities)
	ON CONFLICT (workspace, entity) DO UPDATE SET table_name = excluded.table_name,
		history_name = excluded.history_name
$$;
SELECT pg_temp.made('costcenter', 'glaccount', 'purchaseentries', 'purchaseentrylines');
SET LOCAL ROLE exact_reader;
-- one dimension whole, without exact_state
SELECT line
FROM regexp_split_to_table(exact.dbt_sources('lake'), E'\n') WITH ORDINALITY AS l (line, n)
WHERE n <= 64;
RESET ROLE;
-- with it there is freshness
INSERT INTO exact.target_state (workspace, entity, table_name, columns_digest)
VALUES ('lake', 'exact_state', 'main.exact.exact_state', 'x');
SELECT DISTINCT line
FROM regexp_split_to_table(exact.dbt_sources('lake'), E'\n') AS l (line)
WHERE line ~ 'loaded_at|freshness|_after' ORDER BY 1;
-- lines know their document, and the GL account
SELECT n.line AS name, r.line AS refers
FROM regexp_split_to_table(exact.dbt_sources('lake'), E'\n') WITH ORDINALITY AS r (line, n)
JOIN LATERAL (SELECT x.line
	FROM regexp_split_to_table(exact.dbt_sources('lake'), E'\n') WITH ORDINALITY AS x (line, n)
	WHERE x.n < r.n AND x.line LIKE '          - name: %' ORDER BY x.n DESC LIMIT 1) AS n ON true
WHERE r.line ~ 'source[(]' ORDER BY 1, 2;

-- ---- odd names ----
-- Each line is a key, maybe with a value; a value is a text that JSON reads, a word, a number, or a
-- mapping of these in one line.
CREATE FUNCTION pg_temp.odd(yaml text) RETURNS SETOF text LANGUAGE sql AS $$
	WITH line AS (
		SELECT l.line, l.n, regexp_replace(l.line, '"([^"\\]|\\.)*"', '"', 'g') AS bare
		FROM regexp_split_to_table(yaml, E'\n') WITH ORDINALITY AS l (line, n)
	)
	SELECT line
	FROM line
	WHERE line <> '' AND n > 1 AND bare !~ ('^( *)(- )?[a-z_]+(:|: ("|[a-z0-9]+|'
			'[{][a-z_]+: ("|[a-z0-9_]+)(, [a-z_]+: ("|[a-z0-9_]+))*[}]))?$')
	UNION ALL
	SELECT s.found[1]
	FROM line, regexp_matches(line.line, '"(?:[^"\\]|\\.)*"', 'g') AS s (found)
	WHERE n > 1 AND (s.found[1]::json #>> '{}') IS NULL
$$;
SELECT pg_temp.odd(exact.dbt_sources('lake')) AS not_yaml;
UPDATE exact.workspace SET catalog = E'it''s:"a"\\#{{x}}{%y%}{#z#}',
	schema = E'-?!&*|>%@é😀' WHERE name = 'lake';
SELECT pg_temp.made('costcenter', 'glaccount', 'purchaseentries', 'purchaseentrylines');
SELECT exact._yaml(E'a\u007f\u0085\u2028\ufeff\t\n{{b}} {%c%} {d');
SELECT pg_temp.odd(exact.dbt_sources('lake', 'erp_2')) AS not_yaml;
SELECT line
FROM regexp_split_to_table(exact.dbt_sources('lake', 'erp_2'), E'\n') AS l (line)
WHERE line ~ '^(  - name|    (database|schema)|      - name)';
ROLLBACK;
