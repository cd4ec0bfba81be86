-- The hash chains: what is appended verifies, what is changed, removed or cut off is found.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
RESET client_min_messages;
\set SHOW_CONTEXT never
\set ON_ERROR_ROLLBACK on

BEGIN;
SELECT exact._audit('test', 'call', 1, 'items', '{"n": 1}');
SELECT exact._audit('test', 'batch', 1, 'items', '{"n": 2, "text": "é \"quoted\""}');
SELECT exact._audit('test', 'token', NULL, NULL, '{"n": 3}');
SELECT exact._audit('other', 'token', NULL, NULL, '{"n": 1}');
SELECT chain, id, kind, division, entity, who, what, length(hash) AS bytes,
	prev_hash = lag(hash, 1, '\x') OVER (PARTITION BY chain ORDER BY id) AS follows
FROM exact.audit_log
WHERE chain IN ('test', 'other')
ORDER BY chain, id;
SELECT l.hash = sha256(l.prev_hash
	|| convert_to(
		jsonb_build_array(l.chain, l.id,
			to_char(l.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
	l.kind, l.division, l.entity, l.who, l.what)::text, 'UTF8')) AS documented
FROM exact.audit_log AS l
WHERE chain = 'test' AND id = 2;
SELECT * FROM exact.verify_audit() WHERE chain IN ('test', 'other');
-- the hash does not depend on the session
SET LOCAL timezone = 'Asia/Kolkata';
SET LOCAL datestyle = 'German';
SELECT * FROM exact.verify_audit() WHERE chain IN ('test', 'other');

UPDATE exact.audit_log SET who = 'x' WHERE chain = 'test';
DELETE FROM exact.audit_log WHERE chain = 'test';
TRUNCATE exact.audit_log;

-- one who is above the trigger
SET LOCAL session_replication_role = replica;
SAVEPOINT whole;
UPDATE exact.audit_log SET what = '{"n": 4}' WHERE chain = 'test' AND id = 2;
SELECT * FROM exact.verify_audit() WHERE chain IN ('test', 'other');
ROLLBACK TO whole;
UPDATE exact.audit_log SET at = at + interval '1 microsecond' WHERE chain = 'test' AND id = 1;
SELECT * FROM exact.verify_audit() WHERE chain IN ('test', 'other');
ROLLBACK TO whole;
UPDATE exact.audit_log AS l
SET what = '{"n": 4}',
	hash = exact._event_hash(l.prev_hash, chain, id, at, kind, division, entity, who, '{"n": 4}')
WHERE chain = 'test' AND id = 2;
SELECT * FROM exact.verify_audit() WHERE chain IN ('test', 'other');
ROLLBACK TO whole;
-- the last one, which only the head betrays
UPDATE exact.audit_log AS l
SET what = '{"n": 4}',
	hash = exact._event_hash(l.prev_hash, chain, id, at, kind, division, entity, who, '{"n": 4}')
WHERE chain = 'test' AND id = 3;
SELECT * FROM exact.verify_audit() WHERE chain IN ('test', 'other');
ROLLBACK TO whole;
DELETE FROM exact.audit_log WHERE chain = 'test' AND id = 2;
SELECT * FROM exact.verify_audit() WHERE chain IN ('test', 'other');
ROLLBACK TO whole;
DELETE FROM exact.audit_log WHERE chain = 'test' AND id = 3;
SELECT * FROM exact.verify_audit() WHERE chain IN ('test', 'other');
ROLLBACK TO whole;
DELETE FROM exact.audit_log WHERE chain = 'test';
SELECT * FROM exact.verify_audit() WHERE chain IN ('test', 'other');
ROLLBACK TO whole;
DELETE FROM exact.audit_chain WHERE chain = 'other';
SELECT * FROM exact.verify_audit() WHERE chain IN ('test', 'other');
ROLLBACK TO whole;
UPDATE exact.audit_chain SET id = 2 WHERE chain = 'test';
SELECT * FROM exact.verify_audit() WHERE chain IN ('test', 'other');
SELECT rule, result, finding FROM exact.check() WHERE rule = 'audit log';
ROLLBACK;
