-- Rights, comments and the dump, asked from the catalog: no row may come out where none is expected.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
RESET client_min_messages;

CREATE TEMP VIEW member AS
SELECT d.classid, d.objid FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'exact_databricks';

-- nothing for PUBLIC
SELECT c.relname, a.privilege_type FROM member AS m JOIN pg_class AS c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid,
	aclexplode(coalesce(c.relacl, acldefault((CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END)::"char", c.relowner))) AS a WHERE a.grantee = 0;
SELECT p.oid::regprocedure, a.privilege_type FROM member AS m JOIN pg_proc AS p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid,
	aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a WHERE a.grantee = 0;
SELECT n.nspname, a.privilege_type FROM member AS m JOIN pg_namespace AS n ON m.classid = 'pg_namespace'::regclass AND n.oid = m.objid,
	aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) AS a WHERE a.grantee = 0;

-- everything has a comment
SELECT pg_describe_object(m.classid, m.objid, 0) FROM member AS m
WHERE m.classid IN ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_namespace'::regclass) AND obj_description(m.objid, m.classid::regclass::name) IS NULL;
SELECT c.relname, a.attname FROM member AS m JOIN pg_class AS c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition AND c.relname !~ '^_' AND col_description(c.oid, a.attnum) IS NULL ORDER BY 1, 2;
SELECT t.tgrelid::regclass, t.tgname FROM pg_trigger AS t JOIN member AS m ON m.classid = 'pg_class'::regclass AND m.objid = t.tgrelid
WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND obj_description(t.oid, 'pg_trigger') IS NULL;

-- functions in SQL and PL/pgSQL have a fixed search_path, first pg_catalog
SELECT p.oid::regprocedure, p.proconfig FROM member AS m JOIN pg_proc AS p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
JOIN pg_language AS l ON l.oid = p.prolang
WHERE l.lanname <> 'c' AND p.proconfig IS DISTINCT FROM ARRAY['search_path=pg_catalog, pg_temp'];

-- tables are dumped, but for the seed; so are sequences
SELECT c.relname FROM member AS m JOIN pg_class AS c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
WHERE c.relkind IN ('r', 'S') AND c.oid <> ALL (SELECT unnest(e.extconfig) FROM pg_extension AS e WHERE e.extname = 'exact_databricks') ORDER BY 1;
SELECT c.relname, x.condition FROM pg_extension AS e, unnest(e.extconfig, e.extcondition) AS x (oid, condition) JOIN pg_class AS c ON c.oid = x.oid
WHERE e.extname = 'exact_databricks' AND (c.relname LIKE 'catalogue%' OR x.condition <> '');

-- roles
SELECT rolname, rolcanlogin, rolsuper FROM pg_roles WHERE rolname IN ('exact_reader', 'exact_operator', 'exact_admin', 'exact_worker', 'exact_rule') ORDER BY 1;
SELECT pg_has_role('exact_admin', 'exact_operator', 'MEMBER') AND pg_has_role('exact_operator', 'exact_reader', 'MEMBER') AS membership;
SELECT pg_describe_object(m.classid, m.objid, 0), o.rolname FROM member AS m
JOIN pg_class AS c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid JOIN pg_roles AS o ON o.oid = c.relowner WHERE o.rolname LIKE 'exact\_%';

-- what readers cannot read
SELECT c.relname FROM member AS m JOIN pg_class AS c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
WHERE c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition AND NOT has_table_privilege('exact_reader', c.oid, 'SELECT') ORDER BY 1;
-- who writes what
SELECT r.role, p.privilege, array_agg(c.relname ORDER BY c.relname) FILTER (WHERE has_table_privilege(r.role, c.oid, p.privilege)) AS tables
FROM member AS m JOIN pg_class AS c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid AND c.relkind IN ('r', 'p', 'v'),
	unnest(ARRAY['exact_reader', 'exact_operator', 'exact_admin', 'exact_worker', 'exact_rule']) AS r (role), unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) AS p (privilege)
GROUP BY r.role, p.privilege HAVING bool_or(has_table_privilege(r.role, c.oid, p.privilege)) ORDER BY 1, 2;
-- functions by the least role that may run them
SELECT coalesce((SELECT r.role FROM unnest(ARRAY['exact_reader', 'exact_operator', 'exact_admin', 'exact_worker', 'exact_rule']) WITH ORDINALITY AS r (role, rank)
		WHERE has_function_privilege(r.role, p.oid, 'EXECUTE') ORDER BY r.rank LIMIT 1), 'nobody') AS role,
	p.oid::regprocedure AS function, p.prosecdef AS definer
FROM member AS m JOIN pg_proc AS p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
WHERE p.proname !~ '^_' ORDER BY 1, 2;

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
SET LOCAL ROLE exact_worker;
UPDATE exact.app SET client_id = 'x';
DELETE FROM exact.record;
UPDATE exact.stage SET payload = NULL;
UPDATE exact.audit_log SET who = 'x';
ROLLBACK;
