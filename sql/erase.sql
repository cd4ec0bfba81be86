-- exact.erase(): what it refuses, what it takes out of the hub, what it leaves, and what is said of
-- it. What the loader does in Delta: t/545_erase.pl.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
RESET client_min_messages;
\set SHOW_CONTEXT never
\set ON_ERROR_ROLLBACK on

BEGIN;
INSERT INTO exact.app (name, client_id) VALUES ('shop', 'x');
INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema, client_id)
VALUES ('lake', 'https://adb-1.2.azuredatabricks.net', 'w', 'main', 'exact', 'c'),
	('pond', 'https://adb-2.2.azuredatabricks.net', 'w', 'main', 'exact', 'c');
INSERT INTO exact.division VALUES (9000001, 'shop', 'lake', 'Noord B.V.', true),
	(9000002, 'shop', 'pond', 'Zuid B.V.', true);
SELECT exact.enable_entities(9000001, 'accounts', 'items');
INSERT INTO exact.target_state (workspace, entity, table_name, history_name, created_at)
VALUES ('lake', 'accounts', 'main.exact.accounts', 'main.exact.accounts_history', now()),
	('pond', 'accounts', 'main.pond.accounts', 'main.pond.accounts_history', now()),
	('lake', 'contacts', 'main.exact.contacts', 'main.exact.contacts_history', NULL);
\set jan '\'7a31f0c2-0000-4000-8000-000000000001\''
\set piet '\'7a31f0c2-0000-4000-8000-000000000002\''
\set item '\'7a31f0c2-0000-4000-8000-000000000003\''
INSERT INTO exact.stage (slot, batch, ord, seq, division, entity, key, op, prev_slot, prev_batch,
	prev_ord, hash, payload)
SELECT v.slot, v.batch, v.ord, v.seq, v.division, v.entity, v.key, v.op, v.prev_slot, v.prev_batch,
	CASE WHEN v.prev_batch IS NOT NULL THEN 0 END, v.hash,
	json_build_object('ID', v.key)::jsonb || v.content::jsonb
FROM (VALUES
	(1, 11, 0, 101, 9000001, 'accounts', :jan, 'I', NULL::int, NULL::bigint, '\x01'::bytea,
		'{"Name":"Jan Jansen","Email":"jan@person.test"}'),
	(1, 11, 1, 102, 9000001, 'accounts', :piet, 'I', NULL, NULL, '\x02', '{"Name":"Piet"}'),
	(2, 12, 0, 103, 9000001, 'accounts', :jan, 'U', 1, 11, '\x03',
		'{"Name":"Jan Jansen","Modified":"/Date(1772000000000)/"}'),
	(2, 13, 0, 104, 9000002, 'accounts', :jan, 'I', NULL, NULL, '\x04', '{"Name":"Jan Jansen"}'),
	(2, 14, 0, 105, 9000001, 'items', :item, 'I', NULL, NULL, '\x05', '{}'),
	(2, 15, 0, 106, 9000001, 'contacts', 'jansen', 'I', NULL, NULL, '\x06', '{}')
) AS v (slot, batch, ord, seq, division, entity, key, op, prev_slot, prev_batch, hash, content);
INSERT INTO exact.batch (id, slot, workspace, division, entity, feed, epoch, rows, bytes, seq_min,
	seq_max, delivered_rows, delivered_at)
SELECT s.batch, min(s.slot), min(d.workspace), min(s.division), min(s.entity), min(s.entity), 1,
	count(*), sum(length(s.payload)), min(s.seq), max(s.seq), count(*), now()
FROM exact.stage AS s
JOIN exact.division AS d ON d.division = s.division
GROUP BY s.batch;
INSERT INTO exact.record (division, entity, key, hash, seq, slot, batch, ord)
SELECT DISTINCT ON (s.division, s.entity, s.key) s.division, s.entity, s.key, s.hash, s.seq, s.slot,
	s.batch, s.ord
FROM exact.stage AS s
ORDER BY s.division, s.entity, s.key, s.seq DESC;
INSERT INTO exact.dead_letter (side, division, entity, key, reason, digest, payload)
VALUES ('reading', 9000001, 'accounts', :jan, 'no Timestamp', '\x01', 'Jansen'),
	('reading', 9000001, 'accounts', NULL, 'a field is there twice', '\x02',
		upper('{"ID":"' || :jan || '","Name":"Jan Jansen"}')),
	('reading', 9000001, 'accounts', :piet, 'no Timestamp', '\x03', 'Piet');

-- refused: what is no record about a person, no reason, one that names the person, no key
SELECT exact.erase(9000001, 'items', :item, 'case 4711');
SELECT exact.erase(9000001, 'transactionlines', :jan, 'case 4711');
SELECT exact.erase(9000001, 'accounts', :jan, NULL);
SELECT exact.erase(9000001, 'accounts', :jan, '  ');
SELECT exact.erase(9000001, 'accounts', :jan, repeat('x', 501));
SELECT exact.erase(9000001, 'accounts', :jan, 'mail of jan jansen of May 3');
SELECT exact.erase(9000001, 'accounts', '7a31f0c2-0000-4000-8000-000000000009', 'case 4711');
SELECT exact.erase(9000001, 'accounts', 'Jan Jansen', 'case 4711');
SELECT exact.erase(9000001, 'accounts', NULL, 'case 4711');
SELECT exact.erase(9000001, 'contacts', 'jansen', 'case 4711');
SELECT exact.erase(9000001, 'finance', :jan, 'case 4711');
SELECT exact.erase(9000001, NULL, :jan, 'case 4711');
SELECT exact.erase(77, 'accounts', :jan, 'case 4711');
SELECT count(*) FROM exact.request WHERE kind = 'erase';
-- which entities are about a person
SELECT c.entity FROM exact.catalogue AS c WHERE exact._may_be_erased(c.entity)
ORDER BY c.entity COLLATE "C";

-- asked for twice it is one request; asked for a record of another division it is another one
ALTER SEQUENCE exact.request_id RESTART 41;
SELECT exact.erase(9000001, 'crm/Accounts', upper(:jan), ' case 4711 ');
SELECT exact.erase(9000001, 'accounts', :jan, 'case 4712');
SELECT what, id, workspace, parameter FROM exact._erase_due();
SELECT id, key, reason, state, versions, waits_for FROM exact.erasures;

-- what the loader does in the hub
SELECT exact._erase_hub(41);
SELECT exact._erase_hub(41);
SELECT batch, ord, seq, op, encode(hash, 'hex') AS hash, payload FROM exact.stage ORDER BY seq;
SELECT id, rows, erased, bytes > 0 AS has_bytes FROM exact.batch ORDER BY id;
SELECT division, key, hash IS NOT NULL AS hash, erased FROM exact.record
WHERE entity = 'accounts'
ORDER BY 1, 2;
SELECT key, state, payload FROM exact.dead_letter ORDER BY id;
SELECT id, division, entity, key, reason, seq, versions, letters,
	digest = sha256('\x0103') AS digest, modified
FROM exact.erasure;
SELECT erasure, workspace, current_name, history_name, gone_at, vacuum_at FROM exact.erasure_place;
SELECT relname, reloptions FROM pg_class
WHERE relname IN ('stage_01', 'stage_02', 'stage_03')
ORDER BY 1;
SELECT kind, division, entity, what - 'digest' AS what FROM exact.audit_log WHERE kind = 'erasure';
SELECT bool_and(who = session_user) AS mine FROM exact.audit_log WHERE kind = 'erasure';
SELECT count(*) AS named FROM exact.audit_log WHERE what::text ~* 'jan ?jansen|person.test';

-- what is said of it
SELECT op, changed, payload FROM exact.history(9000001, 'accounts', :jan);
SELECT step, replace(what, session_user, '(me)') AS what
FROM exact.trace(9000001, 'accounts', :jan);
SELECT replace(regexp_replace(exact.explain(9000001, 'accounts', :jan), ' since [0-9: -]+',
	' since … '), session_user, '(me)') AS explain;
SELECT entity, key, name FROM exact.find(9000001, :jan);
SELECT count(*) AS by_name FROM exact.find(9000001, 'Jansen');
SELECT state, versions, rows, waits_for FROM exact.erasures;
SELECT exact._erase_waits(41, 'lake', 'workspace lake is not enabled', 'enable it');
SELECT result, rule, finding, fix FROM exact.check() WHERE rule LIKE 'erasure%';
SELECT exact._erase_result(41) IS NULL AS not_done;
SELECT count(*) AS later FROM exact._erase_due();
UPDATE exact.erasure_place SET next_at = now();
SELECT what, id, workspace, parameter FROM exact._erase_due();

-- gone from Delta, and its old files
SELECT exact._erase_begin(41, 'lake');
SELECT exact._erase_gone(41, 'lake', 'main.exact.accounts', 'main.exact.accounts_history', 1, 2,
	ARRAY[NULL, 'interval 30 days']);
SELECT exact._erase_gone(41, 'lake', 'main.exact.accounts', 'main.exact.accounts_history', 0, 0,
	NULL);
SELECT current_rows, history_rows, vacuum_at - gone_at > interval '30 days' AS kept
FROM exact.erasure_place;
SELECT regexp_replace(exact._erase_result(41), ' after .*', ' after …');
SELECT value, exact._retention_of(value)
FROM (VALUES (NULL), ('interval 1 week'), ('2 days'), ('INTERVAL 400 hours'), ('calendar'),
	('interval 99999999999 days'), ('')) AS v (value);
UPDATE exact.request SET state = 'done' WHERE id = 41;
SELECT state, rows, waits_for FROM exact.erasures;
SELECT count(*) AS not_yet FROM exact._erase_due();
UPDATE exact.erasure_place SET vacuum_at = now();
SELECT what, id, workspace FROM exact._erase_due();
SELECT exact._erase_vacuumed(41, 'lake');
SELECT exact._erase_vacuumed(41, 'lake');
SELECT state, old_files_until FROM exact.erasures;
SELECT what ->> 'event' AS event FROM exact.audit_log WHERE kind = 'erasure' ORDER BY id;

-- what is read of it again: the same Modified is no change, another one is
SELECT exact._came_back(41, '{"Modified":"/Date(1772000000000)/","Fax":"new field"}') AS same,
	exact._came_back(41, '{"Modified":"/Date(1772000000001)/"}') AS changed,
	exact._came_back(41, '{}') AS without;
-- what is kept of it has to agree with the events
SELECT * FROM exact.verify_audit();
SAVEPOINT gaps;
UPDATE exact.erasure SET reason = 'case 1';
SELECT chain, id IS NOT NULL AS event, finding FROM exact.verify_audit();
UPDATE exact.erasure SET id = 40;
SELECT chain, id IS NOT NULL AS event, finding FROM exact.verify_audit() ORDER BY finding;
ROLLBACK TO gaps;
UPDATE exact.stage SET payload = '{}' WHERE seq = 101;
UPDATE exact.stage SET op = 'E', payload = NULL WHERE seq = 102;
SELECT chain, id IS NOT NULL AS event, finding FROM exact.verify_audit() ORDER BY finding;
ROLLBACK TO gaps;
-- carried into another slot when its time is over: it stays erased, and is counted so
SELECT exact._carry_batch(11, 1::smallint, 3::smallint);
SELECT exact._carry_batch(12, 2::smallint, 3::smallint);
SELECT batch, ord, seq, op, payload IS NULL AS empty FROM exact.stage WHERE slot = 3 ORDER BY seq;
SELECT id, rows, erased FROM exact.batch WHERE slot = 3 ORDER BY id;
SELECT * FROM exact.verify_audit();
ROLLBACK TO gaps;
-- it came back with a later change
UPDATE exact.record SET erased = NULL, seq = 107 WHERE erased = 41;
SELECT rule, regexp_replace(finding, ' back [0-9: -]+', ' back … ') AS finding, fix
FROM exact.check()
WHERE rule LIKE 'erasure%';
SELECT what, parameter FROM exact._erase_due();
-- cancelled in the middle
SELECT exact.erase(9000001, 'accounts', :piet, 'case 4713') AS id \gset
SELECT exact._erase_hub(:id);
UPDATE exact.request SET cancel_wanted = true WHERE id = :id;
SELECT what, id = :id AS same FROM exact._erase_due();
UPDATE exact.request SET state = 'cancelled' WHERE id = :id;
SELECT state, next_step FROM exact.erasures WHERE id = :id;
SELECT finding, fix FROM exact.check() WHERE rule = 'erasure ' || :id;
SELECT count(*) AS nothing FROM exact._erase_due();
-- only admins
SELECT r, has_function_privilege(r, 'exact.erase(int, text, text, text)', 'EXECUTE') AS may
FROM unnest(ARRAY['exact_admin', 'exact_operator', 'exact_reader', 'exact_worker']) AS r;
ROLLBACK;
