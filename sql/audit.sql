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

-- Events older than audit_retention leave from the oldest end; an anchor proves what is left.
CREATE FUNCTION pg_temp.age(name text, upto bigint, age interval) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	e exact.audit_log;
	before bytea := coalesce(
		(SELECT a.hash FROM exact.audit_anchor AS a WHERE a.chain = name), '\x');
BEGIN
	SET LOCAL session_replication_role = replica;
	FOR e IN SELECT * FROM exact.audit_log AS l WHERE l.chain = name ORDER BY l.id LOOP
		e.prev_hash := before;
		e.at := CASE WHEN e.id <= upto THEN now() - age ELSE now() END;
		e.hash := exact._event_hash(before, e.chain, e.id, e.at, e.kind, e.division, e.entity,
			e.who, e.what);
		UPDATE exact.audit_log AS l SET at = e.at, prev_hash = e.prev_hash, hash = e.hash
		WHERE l.chain = e.chain AND l.id = e.id;
		UPDATE exact.audit_chain AS c SET prev_hash = e.prev_hash, hash = e.hash
		WHERE c.chain = e.chain;
		before := e.hash;
	END LOOP;
	SET LOCAL session_replication_role = origin;
END
$$;
BEGIN;
SELECT count(exact._audit('test', 'call', 1, 'items', jsonb_build_object('n', n)))
FROM generate_series(1, 600) AS n;
SELECT exact._audit('test', 'erasure', 1, 'accounts', '{"event": "asked"}') AS erasure;
SELECT pg_temp.age('test', 601, interval '61 minutes');
-- the newest of the old ones: 59 minutes, on the other side of the limit
SELECT exact._audit('test', 'call', 1, 'items', '{"n": 602}') AS young;
SELECT * FROM exact.verify_audit() WHERE chain = 'test';
SELECT encode(l.hash, 'hex') AS old_head FROM exact.audit_log AS l WHERE chain = 'test' AND id = 5
\gset
SELECT encode(l.hash, 'hex') AS anchor FROM exact.audit_log AS l WHERE chain = 'test' AND id = 601
\gset
SELECT exact._trim_audit(interval '59 minutes');
SELECT chain, id, removed, bad, hash = :'anchor' AS anchored
FROM exact._trim_audit(interval '1 hour');
SELECT id, kind, who, what - 'hash' - 'at' - 'carried' AS what, what #> '{carried,id}' AS carried
FROM exact.audit_log WHERE chain = 'test' ORDER BY id;
SELECT id, encode(hash, 'hex') = :'anchor' AS anchored FROM exact.audit_anchor WHERE chain = 'test';
SELECT * FROM exact.verify_audit() WHERE chain = 'test';
SELECT rule, result, finding LIKE '%, 601 older ones removed' AS told
FROM exact.check() WHERE rule = 'audit log';
-- an anchor that was written down elsewhere; a head from before it; one that never was
SELECT id, finding FROM exact.verify_audit('test', 601, :'anchor');
SELECT id, regexp_replace(finding, 'of .*:', 'of …:') AS finding
FROM exact.verify_audit('test', 5, :'old_head');
SELECT id, finding FROM exact.verify_audit('test', 601, :'old_head');
SELECT id, finding FROM exact.verify_audit('test', 602, :'old_head');
-- nothing is old, and few are not removed before a while has passed
SELECT removed, bad FROM exact._trim_audit(interval '1 hour');
SELECT pg_temp.age('test', 602, interval '62 minutes');
SELECT removed, bad FROM exact._trim_audit(interval '1 hour');
SELECT pg_temp.age('test', 602, interval '64 minutes');
SELECT id, removed, bad FROM exact._trim_audit(interval '1 hour');
SELECT id, kind FROM exact.audit_log WHERE chain = 'test' ORDER BY id;
SELECT * FROM exact.verify_audit() WHERE chain = 'test';
-- what was carried on once is carried on again, as what it was
SELECT pg_temp.age('test', 604, interval '64 minutes');
SELECT id, removed, bad FROM exact._trim_audit(interval '1 hour');
SELECT id, kind, what #> '{carried,id}' AS carried
FROM exact.audit_log WHERE chain = 'test' ORDER BY id;

-- nobody else removes: not by hand, not by an anchor without an event, not more than the event says
SAVEPOINT whole;
DELETE FROM exact.audit_log WHERE chain = 'test' AND id < 606;
UPDATE exact.audit_anchor SET id = 605 WHERE chain = 'test';
DELETE FROM exact.audit_anchor WHERE chain = 'test';
TRUNCATE exact.audit_anchor;
SET LOCAL ROLE exact_worker;
DELETE FROM exact.audit_log WHERE chain = 'test';
UPDATE exact.audit_anchor SET id = 605;
RESET ROLE;
SET LOCAL ROLE exact_admin;
SELECT exact._trim_audit(interval '1 hour');
RESET ROLE;
-- one who is above the trigger: a cut, with the anchor and without, a removal of young events
SET LOCAL session_replication_role = replica;
DELETE FROM exact.audit_log WHERE chain = 'test' AND id = 605;
SELECT * FROM exact.verify_audit() WHERE chain = 'test';
UPDATE exact.audit_anchor AS a SET id = 605, hash = (
	SELECT l.prev_hash FROM exact.audit_log AS l WHERE l.chain = 'test' AND l.id = 606)
WHERE chain = 'test';
SELECT * FROM exact.verify_audit() WHERE chain = 'test';
DELETE FROM exact.audit_anchor WHERE chain = 'test';
SELECT * FROM exact.verify_audit() WHERE chain = 'test';
ROLLBACK TO whole;
SELECT exact._audit('test', 'removal', NULL, NULL, jsonb_build_object('id', l.id, 'hash',
	encode(l.hash, 'hex'), 'at', l.at, 'older_than', 3600))
FROM exact.audit_log AS l WHERE l.chain = 'test' AND l.id = 606;
UPDATE exact.audit_anchor AS a SET id = l.id, hash = l.hash, at = l.at
FROM exact.audit_log AS l WHERE l.chain = 'test' AND l.id = 606 AND a.chain = l.chain;
DELETE FROM exact.audit_log WHERE chain = 'test' AND id <= 606;
SELECT * FROM exact.verify_audit() WHERE chain = 'test';
ROLLBACK TO whole;
-- what was changed stays, so that it is found
SELECT pg_temp.age('test', 606, interval '2 hours');
SET LOCAL session_replication_role = replica;
UPDATE exact.audit_log SET who = 'x' WHERE chain = 'test' AND id = 605;
SET LOCAL session_replication_role = origin;
SELECT chain, id, removed, bad FROM exact._trim_audit(interval '1 hour');
SELECT * FROM exact.verify_audit() WHERE chain = 'test';
ROLLBACK;
