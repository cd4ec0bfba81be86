-- Rights, comments and the dump, asked from the catalog: no row may come out where none is
-- expected.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
RESET client_min_messages;

CREATE TEMP VIEW member AS
SELECT d.classid, d.objid
FROM pg_depend AS d
JOIN pg_extension AS e ON e.oid = d.refobjid
WHERE d.refclassid = 'pg_extension'::regclass
	AND d.deptype = 'e'
	AND e.extname = 'exact_databricks'
	-- since 18 the types that each table and each type bring along are members, too
	AND NOT EXISTS (
		SELECT
		FROM pg_type AS t
		LEFT JOIN pg_class AS c ON c.oid = t.typrelid
		WHERE d.classid = 'pg_type'::regclass
			AND t.oid = d.objid
			AND (t.typcategory = 'A' OR c.relkind <> 'c')
	);

-- nothing for PUBLIC
CREATE TEMP VIEW public_right AS
SELECT pg_describe_object(o.classid, o.objid, o.objsubid) AS object, a.privilege_type
FROM (
	SELECT m.classid, m.objid, 0 AS objsubid, coalesce(c.relacl,
			acldefault((CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END)::"char", c.relowner)) AS acl
	FROM member AS m
	JOIN pg_class AS c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
	UNION ALL
	SELECT m.classid, m.objid, c.attnum, c.attacl
	FROM member AS m
	JOIN pg_attribute AS c ON m.classid = 'pg_class'::regclass AND c.attrelid = m.objid
	UNION ALL
	SELECT m.classid, m.objid, 0, coalesce(p.proacl, acldefault('f', p.proowner))
	FROM member AS m
	JOIN pg_proc AS p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
	UNION ALL
	SELECT m.classid, m.objid, 0, coalesce(n.nspacl, acldefault('n', n.nspowner))
	FROM member AS m
	JOIN pg_namespace AS n ON m.classid = 'pg_namespace'::regclass AND n.oid = m.objid
) AS o (classid, objid, objsubid, acl), aclexplode(o.acl) AS a
WHERE a.grantee = 0;
SELECT * FROM public_right;

-- everything has a comment: objects, columns, triggers, indexes but for those of constraints
CREATE TEMP VIEW uncommented AS
SELECT pg_describe_object(o.classid, o.objid, o.objsubid) AS object
FROM (
	SELECT m.classid, m.objid, 0
	FROM member AS m
	WHERE obj_description(m.objid, m.classid::regclass::name) IS NULL
	UNION ALL
	SELECT m.classid, c.oid, a.attnum
	FROM member AS m
	JOIN pg_class AS c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
	JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
	WHERE c.relkind IN ('r', 'p', 'v')
		AND NOT c.relispartition
		AND c.relname !~ '^_'
		AND col_description(c.oid, a.attnum) IS NULL
	UNION ALL
	SELECT 'pg_trigger'::regclass, t.oid, 0
	FROM member AS m
	JOIN pg_trigger AS t ON m.classid = 'pg_class'::regclass AND t.tgrelid = m.objid
	WHERE NOT t.tgisinternal
		AND t.tgparentid = 0
		AND obj_description(t.oid, 'pg_trigger') IS NULL
	UNION ALL
	SELECT 'pg_class'::regclass, i.indexrelid, 0
	FROM member AS m
	JOIN pg_index AS i ON m.classid = 'pg_class'::regclass AND i.indrelid = m.objid
	JOIN pg_class AS c ON c.oid = i.indexrelid
	WHERE NOT c.relispartition
		AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = i.indexrelid)
		AND obj_description(i.indexrelid, 'pg_class') IS NULL
) AS o (classid, objid, objsubid);
SELECT * FROM uncommented;

-- both notice what a script forgets
BEGIN;
CREATE FUNCTION exact.stray() RETURNS int LANGUAGE sql RETURN 1;
CREATE VIEW exact.stray AS SELECT 1 AS n, 2 AS other;
CREATE SEQUENCE exact.stray_id;
CREATE TYPE exact.stray_kind AS ENUM ('a');
ALTER EXTENSION exact_databricks ADD FUNCTION exact.stray();
ALTER EXTENSION exact_databricks ADD VIEW exact.stray;
ALTER EXTENSION exact_databricks ADD SEQUENCE exact.stray_id;
ALTER EXTENSION exact_databricks ADD TYPE exact.stray_kind;
CREATE INDEX stray_index ON exact.rule (action);
CREATE TRIGGER stray_trigger BEFORE INSERT ON exact.rule
	FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
GRANT SELECT (n) ON exact.stray TO PUBLIC;
GRANT USAGE ON SEQUENCE exact.stray_id TO PUBLIC;
SELECT * FROM public_right ORDER BY object COLLATE "C", privilege_type;
SELECT * FROM uncommented ORDER BY object COLLATE "C";
ROLLBACK;

-- every function has a fixed search_path, first pg_catalog: one in C runs SQL as well
SELECT p.oid::regprocedure, p.proconfig
FROM member AS m
JOIN pg_proc AS p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
WHERE p.proconfig[1] IS DISTINCT FROM 'search_path=pg_catalog, pg_temp'
	OR NOT p.proconfig[2:] <@ ARRAY['enable_seqscan=off', 'jit=off', 'lock_timeout=1ms'];
-- and no literal whose meaning hangs on standard_conforming_strings
SELECT p.oid::regprocedure
FROM member AS m
JOIN pg_proc AS p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
WHERE regexp_replace(p.prosrc,
		E'\\mE''([^''\\\\]|\\\\.|'''')*''([ \t]*\n[ \t]*''([^''\\\\]|\\\\.|'''')*'')*', '', 'g')
	~ E'\\\\';

-- tables are dumped, but for the seed; so are sequences
SELECT c.relname
FROM member AS m
JOIN pg_class AS c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
WHERE c.relkind IN ('r', 'S')
	AND c.oid <> ALL (SELECT unnest(e.extconfig)
		FROM pg_extension AS e
		WHERE e.extname = 'exact_databricks')
ORDER BY 1;
SELECT c.relname, x.condition
FROM pg_extension AS e, unnest(e.extconfig, e.extcondition) AS x (oid, condition)
JOIN pg_class AS c ON c.oid = x.oid
WHERE e.extname = 'exact_databricks' AND (c.relname LIKE 'catalogue%' OR x.condition <> '');

-- roles
SELECT rolname, rolcanlogin, rolsuper
FROM pg_roles
WHERE rolname IN ('exact_reader', 'exact_operator', 'exact_admin', 'exact_worker', 'exact_rule',
	'exact_listener', 'exact_view')
ORDER BY 1;
SELECT pg_has_role('exact_admin', 'exact_operator', 'MEMBER')
	AND pg_has_role('exact_operator', 'exact_reader', 'MEMBER') AS membership;
-- all views belong to exact_view, and nothing else to a role of the product
SELECT pg_describe_object(m.classid, m.objid, 0), o.rolname
FROM member AS m
JOIN pg_class AS c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
JOIN pg_roles AS o ON o.oid = c.relowner
WHERE CASE WHEN c.relkind = 'v' THEN o.rolname <> 'exact_view' ELSE o.rolname LIKE 'exact\_%' END;

-- who may do what with each table, view and sequence: r read, a insert, w update, d delete, D
-- truncate, x references, t trigger, U use
\pset format unaligned
\pset footer off
SELECT c.relname, c.relkind AS kind, right_of.*
FROM member AS m
JOIN pg_class AS c
	ON m.classid = 'pg_class'::regclass
		AND c.oid = m.objid
		AND c.relkind IN ('r', 'p', 'v', 'S')
		AND NOT c.relispartition,
	LATERAL (
		SELECT max(letters) FILTER (WHERE role = 'exact_reader') AS reader,
			max(letters) FILTER (WHERE role = 'exact_operator') AS operator,
			max(letters) FILTER (WHERE role = 'exact_admin') AS admin,
			max(letters) FILTER (WHERE role = 'exact_worker') AS worker,
			max(letters) FILTER (WHERE role = 'exact_listener') AS listener,
			max(letters) FILTER (WHERE role = 'exact_rule') AS rule
		FROM (
			SELECT g.role, string_agg(p.letter, '' ORDER BY p.n) AS letters
			FROM unnest(
				ARRAY['exact_reader', 'exact_operator', 'exact_admin', 'exact_worker',
					'exact_listener', 'exact_rule']) AS g (role),
				(VALUES (1, 'r', 'SELECT'), (2, 'a', 'INSERT'), (3, 'w', 'UPDATE'),
					(4, 'd', 'DELETE'), (5, 'D', 'TRUNCATE'), (6, 'x', 'REFERENCES'),
					(7, 't', 'TRIGGER'), (8, 'U', 'USAGE')) AS p (n, letter, name)
			WHERE CASE
				WHEN c.relkind = 'S'
					THEN p.letter IN ('r', 'w', 'U')
						AND has_sequence_privilege(g.role, c.oid, p.name)
				ELSE p.letter <> 'U' AND has_table_privilege(g.role, c.oid, p.name) END
			GROUP BY g.role) AS l) AS right_of
ORDER BY c.relname COLLATE "C";
-- rights on single columns
SELECT c.relname, a.attname, a.attacl
FROM member AS m
JOIN pg_class AS c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
JOIN pg_attribute AS a ON a.attrelid = c.oid
WHERE a.attacl IS NOT NULL
ORDER BY c.relname COLLATE "C", a.attnum;
-- partitions: nobody but the worker through the parent
SELECT c.relname, c.relacl
FROM member AS m
JOIN pg_class AS c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
WHERE c.relispartition
	AND EXISTS (SELECT FROM aclexplode(c.relacl) AS a WHERE a.grantee <> c.relowner);
-- who may run each function; with whose rights it runs
SELECT p.oid::regprocedure AS function,
	CASE WHEN p.prosecdef THEN 'owner' ELSE 'caller' END AS runs_as,
	coalesce((SELECT string_agg(replace(g.role, 'exact_', ''), ' ' ORDER BY g.n)
		FROM unnest(ARRAY['exact_reader', 'exact_operator', 'exact_admin', 'exact_worker',
			'exact_listener', 'exact_rule']) WITH ORDINALITY AS g (role,
			n)
		WHERE has_function_privilege(g.role, p.oid, 'EXECUTE')), 'nobody') AS roles
FROM member AS m
JOIN pg_proc AS p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
ORDER BY p.proname COLLATE "C", p.oid::regprocedure::text COLLATE "C";
SELECT n.nspname, replace(g.role, 'exact_', '') AS role,
	has_schema_privilege(g.role, n.oid, 'USAGE') AS usage,
	has_schema_privilege(g.role, n.oid, 'CREATE') AS create
FROM member AS m
JOIN pg_namespace AS n ON m.classid = 'pg_namespace'::regclass AND n.oid = m.objid,
	unnest(
		ARRAY['exact_reader', 'exact_operator', 'exact_admin', 'exact_worker',
			'exact_listener', 'exact_rule']) AS g (role);
\pset format aligned
\pset footer on

-- a reader sees the views and none of the secrets; an operator writes no table
BEGIN;
\set ON_ERROR_ROLLBACK on
SET LOCAL ROLE exact_reader;
SELECT count(*) >= 0 AS ok FROM exact.status;
SELECT count(*) >= 0 AS ok FROM exact.feeds;
SELECT count(*) > 5 AS ok FROM exact.check();
SELECT count(*) >= 0 AS ok FROM exact.verify_audit();
SELECT count(*) FROM exact.token;
SELECT count(*) FROM exact.credential;
SELECT count(*) FROM exact.app_state;
SELECT exact.sync_now();
SELECT exact._ask('fetcher', 'me', 'x');
SELECT exact._audit('sql', 'x', NULL, NULL, '{}');
SET LOCAL ROLE exact_operator;
UPDATE exact.division SET enabled = true;
UPDATE exact.feed_state SET mark = 1;
SELECT exact.enable_entities(1, 'items');
SET LOCAL ROLE exact_admin;
DELETE FROM exact.audit_log;
UPDATE exact.installation SET id = 'x';
SET LOCAL ROLE exact_listener;
SELECT count(*) FROM exact.token;
SELECT count(*) FROM exact.credential;
SELECT count(*) FROM exact.stage;
INSERT INTO exact.stage DEFAULT VALUES;
SELECT exact._audit('fetcher', 'x', NULL, NULL, '{}');
SET LOCAL ROLE exact_worker;
INSERT INTO exact.inbox DEFAULT VALUES;
UPDATE exact.app SET client_id = 'x';
DELETE FROM exact.record;
UPDATE exact.stage SET payload = NULL;
UPDATE exact.audit_log SET who = 'x';
ROLLBACK;
