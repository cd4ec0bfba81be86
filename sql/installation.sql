-- The installation belongs to one database of one cluster; a copy stays off until it is adopted.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
RESET client_min_messages;
\set SHOW_CONTEXT never
\set ON_ERROR_ROLLBACK on

BEGIN;
SELECT exact._bind();
SELECT exact._bind();
SELECT b.installation = i.id AS bound, b.system_identifier = c.system_identifier::text AS cluster,
	b.database_name = current_database() AS database, b.epoch
FROM exact.installation_binding AS b, exact.installation AS i, pg_control_system() AS c;
SELECT id AS installation FROM exact.installation \gset
SELECT exact.adopt(:'installation') = format('installation %s is bound to this database already',
	:'installation') AS nothing_to_do;

CREATE FUNCTION pg_temp.said(said text) RETURNS text LANGUAGE sql AS $$
	SELECT replace(said, (SELECT id FROM exact.installation ORDER BY made_at LIMIT 1),
		'INSTALLATION')
$$;
CREATE FUNCTION pg_temp.adopt(id text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	hint text;
BEGIN
	RETURN pg_temp.said(exact.adopt(id));
EXCEPTION WHEN sqlstate 'EX016' THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RETURN pg_temp.said(format('%s %s HINT: %s', sqlstate, sqlerrm, hint));
END
$$;

-- another database of the cluster, another cluster, another instance
SAVEPOINT bound;
UPDATE exact.installation_binding SET database_oid = 1, database_name = 'elsewhere';
SELECT pg_temp.said(exact._bind());
INSERT INTO exact.request (kind) VALUES ('test');
SELECT count(*)
FROM exact.audit_log
WHERE chain = 'sql' \gset before_
SET CONSTRAINTS ALL IMMEDIATE;
SELECT count(*) - :before_count AS events_in_a_copy
FROM exact.audit_log
WHERE chain = 'sql';
SET CONSTRAINTS ALL DEFERRED;
SELECT result, pg_temp.said(finding), pg_temp.said(fix)
FROM exact.check()
WHERE rule = 'installation';
SELECT pg_temp.adopt('wrong');
SELECT pg_temp.adopt(NULL);
SELECT pg_temp.adopt(:'installation');
SELECT exact._bind();
SET CONSTRAINTS ALL IMMEDIATE;
SELECT kind, what -> 'row' ->> 'kind' AS verb, what -> 'row' -> 'args' ->> 'from_database' AS "from"
FROM exact.audit_log
WHERE chain = 'sql'
ORDER BY id DESC
LIMIT 1;
SET CONSTRAINTS ALL DEFERRED;
ROLLBACK TO bound;
UPDATE exact.installation_binding SET system_identifier = '1', database_name = 'elsewhere';
SELECT pg_temp.said(exact._bind());
ROLLBACK TO bound;
UPDATE exact.installation_binding SET instance = 'production';
SELECT pg_temp.said(exact._bind());
ROLLBACK TO bound;
DELETE FROM exact.installation_binding;
SELECT pg_temp.said(exact._bind());
ROLLBACK TO bound;

-- the oldest installation counts: a restored one wins over one that a worker made a moment ago
INSERT INTO exact.installation (id, made_at) VALUES ('restored', '2001-01-01');
SELECT replace(exact._bind(), :'installation', 'NEWER');
SELECT pg_temp.adopt('restored');
SELECT exact._bind();
SELECT id, installation FROM exact.installation, exact.installation_binding;
ROLLBACK TO bound;

-- a promotion or a point-in-time restore begins an epoch, once
UPDATE exact.epoch SET timeline = 77;
SELECT exact._bind();
SELECT exact._bind();
SELECT e.epoch, e.epoch = b.epoch AS bound, e.reason, e.known_seq, e.reread_at IS NULL AS reread_due
FROM exact.epoch AS e, exact.installation_binding AS b
ORDER BY e.epoch;
SELECT kind, result FROM exact.request ORDER BY id DESC LIMIT 1;
-- never below the timeline
DELETE FROM exact.epoch WHERE epoch > 1;
UPDATE exact.installation_binding SET epoch = 1;
SELECT exact._raise_epoch('test') = greatest(2, exact._timeline()) AS raised;
ROLLBACK TO bound;

-- what is known is what was sent, not where the counter stands; where another copy has stopped
-- this one, what waits may have a number that the other one has given, and gets a new one
SELECT nextval('exact.version_counter') > 0 AS counted;
INSERT INTO exact.batch (id, slot, division, entity, epoch, rows, seq_min, seq_max, delivered_rows,
	delivered_at)
VALUES (9001, 0, 1, 'items', 1, 1, 1099511627777, 1099511627780, 1, now()),
	(9002, 0, 1, 'items', 1, 1, 1099511627781, 1099511627781, 0, NULL);
SELECT exact.fence();
SELECT epoch, known_seq, regexp_replace(reason, 'by .*', 'by …') AS reason
FROM exact.epoch
ORDER BY epoch;
SAVEPOINT overtaken;
UPDATE exact.installation_binding SET overtaken_by = 1;
SELECT exact._shut_out('test') AS epoch;
SELECT id, epoch, seq_min & 1099511627775 AS counted, seq_max >> 40 AS of_epoch
FROM exact.batch
WHERE id > 9000
ORDER BY id;
ROLLBACK TO overtaken;
SELECT kind, args FROM exact.request ORDER BY id DESC LIMIT 1;
-- another copy has gone further: this one stays off, until someone says that it shall work
UPDATE exact.installation_binding SET overtaken_by = 7;
SELECT pg_temp.said(exact._bind());
SELECT result, pg_temp.said(finding), pg_temp.said(fix)
FROM exact.check()
WHERE rule = 'installation';
SAVEPOINT overtaken;
SELECT exact.fence();
SELECT exact._bind();
SELECT epoch, overtaken_by FROM exact.installation_binding;
ROLLBACK TO overtaken;
SELECT pg_temp.adopt(:'installation');
SELECT exact._bind();
ROLLBACK TO bound;
-- a copy that is not adopted fences nobody
UPDATE exact.installation_binding SET instance = 'production';
DO $$
BEGIN
	PERFORM exact.fence();
EXCEPTION WHEN sqlstate 'EX016' THEN
	RAISE NOTICE '%', pg_temp.said(sqlerrm);
END
$$;
ROLLBACK TO bound;

-- no hub yet
DELETE FROM exact.installation_binding;
DELETE FROM exact.installation;
SELECT exact.adopt('x');
SELECT exact.fence();
SELECT exact._bind();
SELECT count(*), bool_and(id <> :'installation') AS new FROM exact.installation;
ROLLBACK;
