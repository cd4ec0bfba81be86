-- Dimensions: the tables follow Exact Online, an edit is a proposal, two edits of a field are
-- settled by the rule, and the way of a write, step by step. Rolled back: no worker sees it.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
RESET client_min_messages;


BEGIN;
INSERT INTO exact.app (name, client_id) VALUES ('shop', 'x');
INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema)
VALUES ('lake', 'https://adb-1.2.azuredatabricks.net', 'w', 'main', 'erp');
INSERT INTO exact.division VALUES (9000001, 'shop', 'lake', 'Noord', true),
	(9000002, 'shop', NULL, 'Zuid', true);
-- a version arrives, as the fetcher stages it
CREATE FUNCTION pg_temp.arrive(entity text, batch bigint, n int, payload text, op text = 'I')
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	of_key text := '00000000-0000-0000-0000-00000000000' || n;
	before record;
BEGIN
	SELECT * INTO before FROM exact.record AS r
	WHERE r.division = 9000001 AND r.entity = $1 AND r.key = of_key;
	INSERT INTO exact.stage (slot, batch, ord, seq, division, entity, key, op, payload, prev_slot,
		prev_batch, prev_ord)
	VALUES (0, $2, n, -$2 * 10 + n, 9000001, $1, of_key, $5,
		CASE WHEN $5 <> 'D' THEN $4 END, before.slot, before.batch, before.ord);
	INSERT INTO exact.record AS r (division, entity, key, seq, slot, batch, ord, deleted)
	VALUES (9000001, $1, of_key, -$2 * 10 + n, 0, $2, n, $5 = 'D')
	ON CONFLICT ON CONSTRAINT record_pkey DO UPDATE
		SET seq = excluded.seq, batch = $2, deleted = excluded.deleted;
	SET LOCAL ROLE exact_worker;
	PERFORM exact._dimension_learn(9000001, $1, 0, $2);
	RESET ROLE;
END
$$;
CREATE FUNCTION pg_temp.cost_center(batch bigint, n int, code text, description text,
	ended text = 'null')
RETURNS void LANGUAGE sql AS $$
	SELECT pg_temp.arrive('costcenter', $1, $2, format(
		'{"ID":"00000000-0000-0000-0000-00000000000%s",'
		'"Code":%s,"Description":%s,"EndDate":%s,"Active":true,"Creator":"not a guid"}', $2,
		to_json($3), to_json($4), $5))
$$;
CREATE FUNCTION pg_temp.key(n int) RETURNS text LANGUAGE sql AS $$
	SELECT '00000000-0000-0000-0000-00000000000' || n
$$;
-- what the loader has read of one row
CREATE FUNCTION pg_temp.delta(n int, seq bigint, description text, ended text = NULL,
	edited int = 1, code text = NULL)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	content text := json_build_object('Active', 'true', 'Code', coalesce(code, '10' || (n - 1)),
		'Description', description, 'EndDate', ended);
	taken bigint;
BEGIN
	SET LOCAL ROLE exact_worker;
	taken := exact._take_delta_edits('lake', 'costcenter', 100, edited, ARRAY[9000001],
		ARRAY[CASE WHEN seq IS NOT NULL THEN pg_temp.key(n) END], ARRAY[seq], ARRAY[md5(content)],
		ARRAY[content], NULL);
	RESET ROLE;
	RETURN taken;
END
$$;
-- the fetcher's next step; the reading that it asked for has been done when $1 is true
CREATE FUNCTION pg_temp.step(arrived boolean = true) RETURNS TABLE (step text, call text, body text)
LANGUAGE plpgsql AS $$
BEGIN
	IF arrived THEN
		DELETE FROM exact.dirty_key AS k WHERE k.division = 9000001;
		UPDATE exact.request AS r SET state = 'done' WHERE r.kind = 'sync' AND r.division = 9000001;
	END IF;
	UPDATE exact.dimension_write AS w SET next_at = '-infinity' WHERE w.division = 9000001;
	SET LOCAL ROLE exact_worker;
	PERFORM exact._write_due(9000001);
	RETURN QUERY SELECT t.step, t.method || ' ' || t.path, t.body
		FROM exact._write_take(9000001) AS t;
	RESET ROLE;
END
$$;
CREATE FUNCTION pg_temp.outcome(outcome text, status int, said text = NULL, answer text = NULL)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	w bigint := (SELECT o.id FROM exact.dimension_write AS o WHERE o.state IN ('sent', 'looking'));
BEGIN
	SET LOCAL ROLE exact_worker;
	PERFORM exact._write_outcome(w, outcome, status, said, answer, NULL);
	RESET ROLE;
END
$$;
CREATE VIEW pg_temp.change AS
SELECT c.code, c.kind, c.side, c.field, c.old, c.exact, c.delta, c.hub, c.decision, c.state,
	c.reason
FROM exact.dimension_change AS c
WHERE c.division IN (9000001, 9000002) OR c.division IS NULL
ORDER BY c.id;
CREATE VIEW pg_temp.write AS
SELECT w.method, w.code, w.state, w.outcome, w.attempts, w.looks, w.said
FROM exact.dimension_write AS w
WHERE w.division = 9000001
ORDER BY w.id;
CREATE VIEW pg_temp.again AS
SELECT right(a.key, 1) AS n FROM exact.dimension_again AS a WHERE a.division = 9000001 ORDER BY 1;

-- ---- the tables follow Exact Online ----
SELECT pg_temp.cost_center(-1, 1, '100', 'Office');
SELECT pg_temp.cost_center(-2, 2, '101', 'Garage', '"/Date(1767139200000)/"');
SELECT pg_temp.arrive('glaccount', -3, 3, '{"ID":"00000000-0000-0000-0000-000000000003",'
	'"Code":"4000","Description":"Energy","IsBlocked":false,"PrivatePercentage":12.50,'
	'"SearchCode":"  EN ","VATCode":"4  ","Type":"110","UseCostcenter":1}');
SELECT code, description, enddate, active, creator, deleted, seq FROM exact.cost_center
WHERE division = 9000001 ORDER BY code;
SELECT code, description, isblocked, privatepercentage, searchcode, vatcode, type, usecostcenter
FROM exact.gl_account WHERE division = 9000001;
-- a code moves to another record before the first has lost it; the first is read, then deleted
SELECT pg_temp.cost_center(-4, 4, '101', 'Garage, new');
SELECT right(id::text, 1) AS n, code, code_taken, deleted FROM exact.cost_center
WHERE division = 9000001 ORDER BY 1;
SELECT pg_temp.cost_center(-5, 2, '102', 'Garage, old');
SELECT pg_temp.arrive('costcenter', -6, 4, NULL, 'D');
SELECT right(id::text, 1) AS n, code, code_taken, deleted FROM exact.cost_center
WHERE division = 9000001 ORDER BY 1;
-- what cannot be read stops nothing
SELECT pg_temp.arrive('costcenter', -7, 5, '{"Code":"zero \u0000 byte"}');
SELECT pg_temp.arrive('costcenter', -8, 5, 'no record');
SELECT code FROM exact.cost_center WHERE division = 9000001 AND right(id::text, 1) = '5';
SELECT pg_temp.arrive('costcenter', -9, 5, NULL, 'D');

-- ---- an edit here is a proposal ----
SAVEPOINT here;
UPDATE exact.cost_center SET description = 'Head office' WHERE division = 9000001 AND code = '100';
SELECT description FROM exact.cost_center WHERE division = 9000001 AND code = '100';
SELECT * FROM pg_temp.change;
SELECT call, path, body FROM exact.dry_run('lake');
SELECT regexp_replace(substring(exact.explain(9000001, 'costcenter', pg_temp.key(1))
	FROM 'Edit of.*'), '\d+', 'N') AS edit;
SELECT step, regexp_replace(what, '\d+', 'N') AS what
FROM exact.trace(9000001, 'costcenter', pg_temp.key(1)) WHERE step = 'edit';
SELECT * FROM pg_temp.step();
SAVEPOINT refused;
SELECT exact.approve((SELECT max(id) FROM exact.dimension_change));
ROLLBACK TO refused;
UPDATE exact.cost_center SET code = '200' WHERE division = 9000001 AND code = '100';
ROLLBACK TO refused;
UPDATE exact.cost_center SET created = now() WHERE division = 9000001 AND code = '100';
ROLLBACK TO refused;
UPDATE exact.cost_center SET description = repeat('x', 61)
WHERE division = 9000001 AND code = '100';
ROLLBACK TO refused;
UPDATE exact.cost_center SET description = '' WHERE division = 9000001 AND code = '100';
ROLLBACK TO refused;
INSERT INTO exact.cost_center (division, code, description) VALUES (9000001, '123456789', 'Nine');
ROLLBACK TO refused;
INSERT INTO exact.cost_center (division, code) VALUES (9000001, '12345678');
ROLLBACK TO refused;
INSERT INTO exact.cost_center (division, code, description) VALUES (9000001, '100', 'There');
ROLLBACK TO refused;
INSERT INTO exact.cost_center (division, code, description) VALUES (9000002, '1', 'No workspace');
ROLLBACK TO refused;
\set VERBOSITY terse
-- exactly as long as they may be
INSERT INTO exact.cost_center (division, code, description)
VALUES (9000001, '12345678', repeat('y', 60));
UPDATE exact.workspace SET write_back = 'approve' WHERE name = 'lake';
SELECT code, kind, field, state, decision FROM pg_temp.change;
-- nothing is written before somebody says yes
SELECT * FROM pg_temp.step();
DELETE FROM exact.gl_account WHERE division = 9000001 AND code = '4000';
SELECT call, path, body, why FROM exact.dry_run('lake') AS d
	CROSS JOIN LATERAL (SELECT regexp_replace(d.why, '\d+', 'N') AS why) AS w (w)
ORDER BY path;
SELECT exact.approve(id) FROM exact.dimension_change WHERE code IN ('100', '12345678') ORDER BY id;
-- a record is read before it is changed; a new one is sent at once
SELECT * FROM pg_temp.step(false);
SELECT pg_temp.outcome('ok', 201, NULL,
	'{"d":{"ID":"00000000-0000-0000-0000-000000000006","Code":null}}');
SELECT entity, right(key, 1) AS n, reason FROM exact.dirty_key WHERE division = 9000001 ORDER BY 2;
SELECT * FROM pg_temp.step();
SELECT pg_temp.outcome('ok', 204);
-- Exact Online shows the one now and the other one late
SELECT pg_temp.cost_center(-20, 6, '12345678', repeat('y', 60));
SELECT * FROM pg_temp.step();
SELECT * FROM pg_temp.step();
SELECT pg_temp.cost_center(-21, 1, '100', 'Head office');
SELECT * FROM pg_temp.step();
SELECT * FROM pg_temp.step();
SELECT * FROM pg_temp.write;
SELECT code, kind, state, reason FROM pg_temp.change;
ROLLBACK TO here;

-- ---- refused, dropped, unknown, called back ----
UPDATE exact.workspace SET write_back = 'auto' WHERE name = 'lake';
SAVEPOINT auto;
UPDATE exact.cost_center SET description = 'Depot', enddate = '2026-12-31'
WHERE division = 9000001 AND code = '100';
SELECT * FROM pg_temp.step();
SELECT * FROM pg_temp.step();
SELECT pg_temp.outcome('refused', 500, 'Verplicht: Omschrijving');
SELECT field, state, reason FROM pg_temp.change;
ROLLBACK TO auto;
UPDATE exact.cost_center SET description = 'Depot', enddate = '2026-12-31'
WHERE division = 9000001 AND code = '100';
SELECT * FROM pg_temp.step();
SELECT * FROM pg_temp.step();
SELECT pg_temp.outcome('ok', 204);
SELECT pg_temp.cost_center(-30, 1, '100', 'Depot');
SELECT count(*) FROM generate_series(1, 6) AS i, pg_temp.step(i > 0) AS s;
SELECT field, state, reason FROM pg_temp.change;
ROLLBACK TO auto;
-- no answer, and it was not done: sent once more after two readings; no answer, and it was done
UPDATE exact.cost_center SET description = 'Depot' WHERE division = 9000001 AND code = '100';
SELECT * FROM pg_temp.step();
SELECT * FROM pg_temp.step();
SELECT pg_temp.outcome('unknown', NULL);
SELECT s.* FROM generate_series(1, 8) AS i, pg_temp.step(i > 0) AS s;
SELECT pg_temp.outcome('unknown', NULL);
SELECT pg_temp.cost_center(-31, 1, '100', 'Depot');
SELECT s.* FROM generate_series(1, 3) AS i, pg_temp.step(i > 0) AS s;
SELECT * FROM pg_temp.write;
SELECT field, state, reason FROM pg_temp.change;
ROLLBACK TO auto;
-- a new record without an answer is looked for by its code, twice, before it is sent again
INSERT INTO exact.cost_center (division, code, description) VALUES (9000001, 'O''1', 'Quote');
SELECT * FROM pg_temp.step();
SELECT pg_temp.outcome('unknown', NULL);
SELECT * FROM pg_temp.step();
SELECT pg_temp.outcome('ok', 200, NULL, '{"d":{"results":[]}}');
SELECT * FROM pg_temp.step();
SELECT pg_temp.outcome('ok', 200, NULL, '{"d":{"results":[]}}');
SELECT * FROM pg_temp.step();
SELECT pg_temp.outcome('refused', 500, 'Gegeven bestaat reeds.');
SELECT * FROM pg_temp.step();
SELECT pg_temp.outcome('ok', 200, NULL,
	'{"d":{"results":[{"ID":"00000000-0000-0000-0000-000000000007","Code":"O''1"}]}}');
SELECT pg_temp.cost_center(-32, 7, 'O''1', 'Quote');
SELECT s.* FROM generate_series(1, 3) AS i, pg_temp.step(i > 0) AS s;
SELECT * FROM pg_temp.write;
ROLLBACK TO auto;
-- nothing was sent, a fetcher that ended, write_back switched off before and after the call
UPDATE exact.cost_center SET description = 'Depot' WHERE division = 9000001 AND code = '100';
SELECT s.* FROM generate_series(1, 2) AS i, pg_temp.step(i > 0) AS s;
SELECT pg_temp.outcome('unsent', 429);
SELECT * FROM pg_temp.step();
SELECT exact._write_restarted();
SELECT * FROM pg_temp.write;
UPDATE exact.workspace SET write_back = 'off' WHERE name = 'lake';
SELECT s.* FROM generate_series(1, 3) AS i, pg_temp.step(i > 0) AS s;
SELECT * FROM pg_temp.write;
ROLLBACK TO auto;
UPDATE exact.cost_center SET description = 'Depot' WHERE division = 9000001 AND code = '100';
SELECT * FROM pg_temp.step(false);
UPDATE exact.workspace SET write_back = 'off' WHERE name = 'lake';
SELECT s.* FROM generate_series(1, 3) AS i, pg_temp.step(i > 0) AS s;
SELECT code, state, reason FROM pg_temp.change;
UPDATE exact.workspace SET write_back = 'auto' WHERE name = 'lake';
SELECT s.* FROM generate_series(1, 3) AS i, pg_temp.step(i > 0) AS s;
SELECT code, state, reason FROM pg_temp.change;
ROLLBACK TO auto;
-- somebody changes the field in Exact Online between the edit and its call
UPDATE exact.cost_center SET description = 'Depot' WHERE division = 9000001 AND code = '100';
SELECT * FROM pg_temp.step();
SELECT pg_temp.cost_center(-33, 1, '100', 'Workshop');
SELECT * FROM pg_temp.step();
SELECT field, old, exact, hub, decision, state, reason FROM pg_temp.change;
ROLLBACK TO auto;

-- ---- edits in Delta ----
-- one that Exact Online does not contradict; the same row is judged once
SELECT pg_temp.delta(1, 11, 'Head office'), pg_temp.delta(1, 11, 'Head office');
SELECT field, old, exact, delta, decision, state FROM pg_temp.change;
SELECT * FROM pg_temp.again;
ROLLBACK TO auto;
-- the row is from before a version that changed another field: both stay
SELECT pg_temp.cost_center(-40, 1, '100', 'Office', '"/Date(1767139200000)/"');
SELECT pg_temp.delta(1, 11, 'Head office');
SELECT field, old, exact, delta, decision, state FROM pg_temp.change;
SELECT * FROM pg_temp.again;
ROLLBACK TO auto;
-- and one that changed the same field: by the rule
SELECT pg_temp.cost_center(-41, 1, '100', 'Workshop');
SAVEPOINT conflict;
SELECT pg_temp.delta(1, 11, 'Head office');
SELECT field, old, exact, delta, decision, state, reason FROM pg_temp.change;
SELECT * FROM pg_temp.again;
ROLLBACK TO conflict;
UPDATE exact.workspace SET on_conflict = 'delta wins' WHERE name = 'lake';
SELECT pg_temp.delta(1, 11, 'Head office');
SELECT field, old, exact, delta, decision, state, reason FROM pg_temp.change;
ROLLBACK TO conflict;
UPDATE exact.workspace SET on_conflict = 'ask' WHERE name = 'lake';
SELECT pg_temp.delta(1, 11, 'Head office');
SELECT * FROM pg_temp.step();
SELECT exact.reject(max(id)) FROM exact.dimension_change;
SELECT field, old, exact, delta, decision, state FROM pg_temp.change;
SELECT * FROM pg_temp.again;
ROLLBACK TO conflict;
-- both had the same idea
SELECT pg_temp.delta(1, 11, 'Workshop');
SELECT * FROM pg_temp.change;
SELECT * FROM pg_temp.again;
ROLLBACK TO auto;
-- the hub and Delta edit one field
UPDATE exact.workspace SET write_back = 'approve', on_conflict = 'ask' WHERE name = 'lake';
UPDATE exact.cost_center SET description = 'Depot' WHERE division = 9000001 AND code = '100';
SELECT pg_temp.delta(1, 11, 'Head office');
SELECT side, hub, delta, decision, state FROM pg_temp.change;
SELECT exact.approve(id) FROM exact.dimension_change WHERE side = 'delta';
SELECT side, hub, delta, decision, state, regexp_replace(reason, '\d+', 'N') AS reason
FROM pg_temp.change;
ROLLBACK TO auto;
-- twenty edits, and one more; 5 % of a table, and one more
SELECT pg_temp.delta(1, 11, 'Head office', NULL, 20);
SELECT decision, state FROM pg_temp.change;
ROLLBACK TO auto;
SELECT pg_temp.delta(1, 11, 'Head office', NULL, 21);
SELECT decision, state FROM pg_temp.change;
ROLLBACK TO auto;
-- two rows of two, and all rows of three: a column mask would look like that
SELECT exact._take_delta_edits('lake', 'costcenter', n, n, '{9000001}', ARRAY[pg_temp.key(1)],
	'{11}', ARRAY['h' || n], ARRAY[format('{"Description":"****%s"}', n)], NULL)
FROM generate_series(2, 3) AS n;
SELECT decision, state FROM pg_temp.change;
ROLLBACK TO auto;
-- taken back before it was written
UPDATE exact.workspace SET write_back = 'approve' WHERE name = 'lake';
SELECT pg_temp.delta(1, 11, 'Head office');
SELECT exact._take_delta_back('lake', 'costcenter', '{}', '{}', '{}');
SELECT state, reason FROM pg_temp.change;
ROLLBACK TO auto;
-- held back by an edit that is taken back before it is read: the version comes once more
SELECT exact._dimension_held('costcenter', '{9000001}', ARRAY[pg_temp.key(1)]);
SELECT exact._take_delta_back('lake', 'costcenter', '{}', '{}', '{}');
SELECT * FROM pg_temp.again;
ROLLBACK TO auto;
-- held back by one that is read: by what was read, not by what was known before
SELECT exact._dimension_held('costcenter', '{9000001}', ARRAY[pg_temp.key(1)]);
SELECT pg_temp.delta(1, 11, 'Head office');
SELECT hash = 'held' AS held FROM exact.dimension_known WHERE division = 9000001;
ROLLBACK TO auto;
-- what cannot be: a new code, too long, no key of the hub, two rows, another division
SELECT pg_temp.delta(1, 11, 'Office', NULL, 1, '999');
SELECT pg_temp.delta(2, 52, repeat('x', 61), NULL, 1, '102');
SELECT pg_temp.delta(8, 11, 'Nobody');
SELECT exact._take_delta_edits('lake', 'costcenter', 100, 2, '{9000001,9000002}',
	ARRAY[pg_temp.key(1), NULL], '{11,NULL}', '{a,b}',
	'{"{\"Code\":\"100\",\"Description\":\"Twice\"}","{\"Code\":\"5\",\"Description\":\"Far\"}"}',
	'{true,false}');
SELECT code, kind, field, delta, state, reason FROM pg_temp.change;
ROLLBACK TO auto;
-- a new row: by its code, once
SELECT pg_temp.delta(9, NULL, 'New', NULL, 1, '900'), pg_temp.delta(9, NULL, 'New', NULL, 1, '900');
SELECT pg_temp.delta(9, NULL, 'There', NULL, 1, '100');
SELECT code, kind, delta, state, reason FROM pg_temp.change;
SELECT * FROM pg_temp.step();
SELECT pg_temp.outcome('ok', 201, NULL, '{"d":{"ID":"00000000-0000-0000-0000-000000000009"}}');
SELECT right(key, 1) AS n, code FROM exact._dimension_adoptions('lake', 'costcenter');
SELECT exact._dimension_adopted(ARRAY(
	SELECT change FROM exact._dimension_adoptions('lake', 'costcenter')));
SELECT * FROM exact._dimension_adoptions('lake', 'costcenter');
ROLLBACK TO auto;
-- a new row that is edited again, and then deleted again, before it is made
UPDATE exact.workspace SET write_back = 'approve' WHERE name = 'lake';
SELECT pg_temp.delta(9, NULL, 'New', NULL, 1, '900');
SELECT pg_temp.delta(9, NULL, 'Newer', NULL, 1, '900');
SELECT exact._take_delta_back('lake', 'costcenter', '{9000001}', '{NULL}',
	ARRAY(SELECT hash FROM exact.dimension_known WHERE division = 9000001 ORDER BY seen_at DESC
		LIMIT 1));
SELECT code, delta, state, reason FROM pg_temp.change;
SELECT exact._take_delta_back('lake', 'costcenter', '{}', '{}', '{}');
SELECT code, state, reason FROM pg_temp.change;
SELECT count(*) FROM exact.dimension_known WHERE division = 9000001;
ROLLBACK TO auto;
-- a row that was deleted in Delta is never deleted in Exact Online by itself
SELECT exact._take_delta_gone('lake', 'costcenter', '{9000001,9000001}',
	ARRAY[pg_temp.key(1), pg_temp.key(4)]);
SELECT exact._take_delta_gone('lake', 'costcenter', '{9000001}', ARRAY[pg_temp.key(1)]);
SELECT kind, field, old, delta = current_date::text AS today, state FROM pg_temp.change;
SELECT exact.reject(max(id)) FROM exact.dimension_change;
SELECT * FROM pg_temp.again;
ROLLBACK TO auto;

-- ---- who may what ----
CREATE ROLE dimension_reader IN ROLE exact_reader;
CREATE ROLE dimension_operator IN ROLE exact_operator;
SET ROLE dimension_reader;
SELECT count(*) FROM exact.cost_center WHERE division = 9000001;
SAVEPOINT denied;
UPDATE exact.cost_center SET description = 'x' WHERE division = 9000001;
ROLLBACK TO denied;
SELECT exact.dry_run('lake');
ROLLBACK TO denied;
SET ROLE dimension_operator;
UPDATE exact.cost_center SET description = 'x' WHERE division = 9000001 AND code = '100';
SELECT who, state FROM exact.dimension_change WHERE division = 9000001;
SAVEPOINT denied;
SELECT exact.approve((SELECT max(id) FROM exact.dimension_change));
ROLLBACK TO denied;
UPDATE exact.dimension_change SET state = 'approved';
ROLLBACK TO denied;
TRUNCATE exact.cost_center;
ROLLBACK TO denied;
SELECT exact._write_take(9000001);
ROLLBACK;
