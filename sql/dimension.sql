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
INSERT INTO exact.feed (division, entity)
SELECT 9000001, unnest(ARRAY['costcenter', 'costunit', 'glaccount']);
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
	edited int = 1, code text = NULL, reading bigint = 1)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	content text := json_build_object('Active', 'true', 'Code', coalesce(code, '10' || (n - 1)),
		'Description', description, 'EndDate', ended);
	taken bigint;
BEGIN
	SET LOCAL ROLE exact_worker;
	taken := exact._take_delta_edits('lake', 'costcenter', reading, 100, edited, ARRAY[9000001],
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
		INSERT INTO exact.feed_state AS s (division, feed, run_started_at, complete_at)
		SELECT 9000001, e.feed, clock_timestamp(), clock_timestamp()
		FROM exact.entity_effective AS e WHERE e.entity = 'glaccount'
		ON CONFLICT (division, feed) DO UPDATE
			SET run_started_at = excluded.run_started_at, complete_at = excluded.complete_at;
	END IF;
	PERFORM exact._write_gather(9000001);
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
-- refused as a double of itself, since something on the way sent it twice; refused for another's
INSERT INTO exact.cost_center (division, code, description) VALUES (9000001, 'TWICE', 'Twice');
SELECT step FROM pg_temp.step();
SELECT pg_temp.outcome('refused', 500, 'Gegeven bestaat reeds.');
SELECT * FROM pg_temp.step();
SELECT pg_temp.outcome('ok', 200, NULL,
	'{"d":[{"ID":"00000000-0000-0000-0000-000000000007","Code":"Twice"}]}');
SAVEPOINT looked;
SELECT pg_temp.cost_center(-32, 7, 'TWICE', 'Twice');
SELECT s.step FROM generate_series(1, 3) AS i, pg_temp.step(i > 0) AS s;
SELECT * FROM pg_temp.write;
ROLLBACK TO looked;
SELECT pg_temp.cost_center(-32, 7, 'TWICE', 'Theirs');
SELECT s.step FROM generate_series(1, 3) AS i, pg_temp.step(i > 0) AS s;
SELECT * FROM pg_temp.write;
SELECT state, reason FROM pg_temp.change;
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

-- an approval of what Exact Online has changed meanwhile: who says yes has not seen it
UPDATE exact.workspace SET write_back = 'approve' WHERE name = 'lake';
UPDATE exact.cost_center SET description = 'Depot', enddate = '2026-12-31'
WHERE division = 9000001 AND code = '100';
SAVEPOINT overtaken;
SELECT pg_temp.cost_center(-34, 1, '100', 'Workshop');
SELECT field, old, exact, hub, decision, state, reason FROM pg_temp.change;
SELECT exact.approve(id) FROM exact.dimension_change WHERE field = 'Description';
ROLLBACK TO overtaken;
UPDATE exact.workspace SET on_conflict = 'ask' WHERE name = 'lake';
SELECT pg_temp.cost_center(-34, 1, '100', 'Workshop');
SELECT pg_temp.cost_center(-35, 1, '100', 'Workshop 2');
SELECT field, old, exact, hub, decision, state, reason FROM pg_temp.change;
SELECT exact.approve(id) FROM exact.dimension_change WHERE field = 'Description';
SELECT s.* FROM generate_series(1, 2) AS i, pg_temp.step(i > 0) AS s;
ROLLBACK TO auto;
-- no answer, and switched off before it is sent once more: it is not
UPDATE exact.cost_center SET description = 'Depot' WHERE division = 9000001 AND code = '100';
INSERT INTO exact.cost_center (division, code, description) VALUES (9000001, 'NEW', 'New');
SELECT s.step FROM generate_series(1, 2) AS i, pg_temp.step(i > 0) AS s;
SELECT exact._write_outcome(id, 'unknown', NULL, NULL, NULL, NULL)
FROM exact.dimension_write ORDER BY id;
UPDATE exact.workspace SET write_back = 'off' WHERE name = 'lake';
SELECT s.step FROM generate_series(1, 2) AS i, pg_temp.step(i > 0) AS s;
SELECT pg_temp.outcome('ok', 200, NULL, '{"d":{"results":[]}}');
SELECT s.step FROM generate_series(1, 2) AS i, pg_temp.step(i > 0) AS s;
SELECT pg_temp.outcome('ok', 200, NULL, '{"d":{"results":[]}}');
SELECT s.step FROM generate_series(1, 9) AS i, pg_temp.step(i > 0) AS s;
SELECT method, state, outcome, attempts FROM pg_temp.write;
SELECT code, state FROM pg_temp.change;
SELECT exact._write_due(9000001);
ROLLBACK TO auto;
-- the hub and Delta edit one field in the same moment, two sessions make one code
UPDATE exact.cost_center SET description = 'Depot' WHERE division = 9000001 AND code = '100';
INSERT INTO exact.dimension_change (edit, workspace, division, entity, key, code, kind, side, who,
	field, old, exact, delta, wanted, decision, state)
SELECT 0, workspace, division, entity, key, code, kind, 'delta', 'workspace lake', field, old,
	exact, 'Shed', 'Shed', 'auto', 'approved'
FROM exact.dimension_change;
INSERT INTO exact.cost_center (division, code, description) VALUES (9000001, 'new', 'First');
INSERT INTO exact.dimension_change (edit, workspace, division, entity, code, kind, side, who,
	wanted, decision, state)
SELECT 0, workspace, division, entity, 'NEW', kind, side, 'somebody',
	'{"Code": "NEW", "Description": "Second"}', 'auto', 'approved'
FROM exact.dimension_change WHERE kind = 'new';
SAVEPOINT same;
SELECT s.* FROM generate_series(1, 2) AS i, pg_temp.step(i > 0) AS s;
SELECT code, kind, side, decision, state, regexp_replace(reason, '\d+', 'N') AS reason
FROM pg_temp.change;
ROLLBACK TO same;
UPDATE exact.workspace SET on_conflict = 'delta wins' WHERE name = 'lake';
SELECT s.* FROM generate_series(1, 2) AS i, pg_temp.step(i > 0) AS s;
ROLLBACK TO same;
UPDATE exact.workspace SET on_conflict = 'ask' WHERE name = 'lake';
SELECT s.* FROM generate_series(1, 2) AS i, pg_temp.step(i > 0) AS s;
SELECT code, kind, side, decision, state FROM pg_temp.change;
ROLLBACK TO auto;
-- a delete means today where the books are kept, in a form that each session reads alike; what has
-- ended is not opened again
SET datestyle = 'SQL, DMY';
SET timezone = 'Pacific/Kiritimati';
DELETE FROM exact.cost_center WHERE division = 9000001 AND code = '100';
RESET timezone;
RESET datestyle;
SELECT code, wanted = to_char(now() AT TIME ZONE 'Europe/Amsterdam', 'YYYY-MM-DD') AS today, state
FROM exact.dimension_change ORDER BY code;
UPDATE exact.app SET region = 'uk' WHERE name = 'shop';
SELECT exact._dimension_today(9000001) = to_char(now() AT TIME ZONE 'Europe/London', 'YYYY-MM-DD'),
	exact._dimension_end(9000001, '2001-02-03'),
	exact._dimension_end(9000001, '2999-02-03') < '2999';
ROLLBACK TO auto;
-- more than 20 and 5 % of a table in one transaction wait; one less does not
SET LOCAL session_replication_role = replica;
INSERT INTO exact.cost_center (division, id, code, description, seq)
SELECT 9000001, ('00000000-0000-0000-0000-0000000001' || i)::uuid, 'm' || i, 'Many', 1
FROM generate_series(10, 30) AS i;
RESET session_replication_role;
SET client_min_messages = warning;
SAVEPOINT many;
UPDATE exact.cost_center SET description = 'x'
WHERE division = 9000001 AND code BETWEEN 'm10' AND 'm29';
SELECT decision, state, count(*) FROM pg_temp.change GROUP BY 1, 2;
UPDATE exact.cost_center SET description = 'x'
WHERE division = 9000001 AND code = 'm30';
SELECT decision, state, count(*) FROM pg_temp.change GROUP BY 1, 2;
ROLLBACK TO many;
SET LOCAL session_replication_role = replica;
INSERT INTO exact.cost_center (division, id, code, description, seq)
SELECT 9000001, gen_random_uuid(), 'few' || i, 'Many', 1 FROM generate_series(1, 397) AS i;
RESET session_replication_role;
SELECT count(*) FROM exact.cost_center WHERE NOT deleted;
UPDATE exact.cost_center SET description = 'x'
WHERE division = 9000001 AND code BETWEEN 'm10' AND 'm30';
SELECT decision, state, count(*) FROM pg_temp.change GROUP BY 1, 2;
ROLLBACK TO auto;
RESET client_min_messages;
-- a division that goes to another workspace asks anew; another copy may have sent it meanwhile
INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema, write_back)
VALUES ('pond', 'https://adb-2.2.azuredatabricks.net', 'w', 'main', 'erp', 'auto');
UPDATE exact.cost_center SET description = 'Depot' WHERE division = 9000001 AND code = '100';
INSERT INTO exact.cost_center (division, code, description) VALUES (9000001, 'NEW', 'New');
SAVEPOINT moved;
UPDATE exact.division SET workspace = 'pond' WHERE division = 9000001;
SELECT * FROM pg_temp.step();
SELECT d.code, d.workspace, d.state FROM exact.dimension_change AS d ORDER BY d.id;
ROLLBACK TO moved;
SAVEPOINT gathered;
INSERT INTO exact.epoch (epoch, timeline, reason) VALUES (9999, 1, 'adopt()');
SELECT * FROM pg_temp.step();
ROLLBACK TO gathered;
SELECT exact._write_gather(9000001);
INSERT INTO exact.epoch (epoch, timeline, reason) VALUES (9999, 1, 'adopt()');
SELECT exact._write_restarted();
SELECT * FROM pg_temp.step();
SAVEPOINT looked;
SELECT pg_temp.outcome('ok', 200, NULL, '{"d":[]}');
SELECT s.step FROM generate_series(1, 2) AS i, pg_temp.step(i > 0) AS s;
SELECT d.code, d.state, d.reason FROM exact.dimension_change AS d WHERE kind = 'new';
ROLLBACK TO looked;
SELECT pg_temp.outcome('ok', 200, NULL,
	'{"d":[{"ID":"00000000-0000-0000-0000-000000000008","Code":"new"}]}');
SELECT method, state, attempts FROM pg_temp.write;
ROLLBACK TO auto;
-- a clock that was set back holds no write up
UPDATE exact.cost_center SET description = 'Depot' WHERE division = 9000001 AND code = '100';
SELECT exact._write_due(9000001) IS NOT NULL;
UPDATE exact.dimension_write SET next_at = now() + interval '1 day';
SELECT exact._write_due(9000001) <= clock_timestamp();
SELECT exact._write_take(9000001);
SELECT state FROM pg_temp.write;
ROLLBACK TO auto;
-- what is not read is not written: neither with what was read once, nor without a proof
UPDATE exact.workspace SET write_back = 'auto' WHERE name = 'lake';
UPDATE exact.gl_account SET description = 'Power' WHERE division = 9000001 AND code = '4000';
SAVEPOINT unread;
SELECT s.step FROM pg_temp.step() AS s;
UPDATE exact.feed SET enabled = false WHERE division = 9000001;
SELECT s.step FROM generate_series(1, 3) AS i, pg_temp.step(i > 0) AS s;
SELECT state FROM pg_temp.write;
SELECT exact._write_due(9000001);
UPDATE exact.feed SET enabled = true WHERE division = 9000001;
SELECT s.step FROM generate_series(1, 2) AS i, pg_temp.step(i > 0) AS s;
ROLLBACK TO unread;
-- the request is done, and no run of the feed began since: as if it was not
SELECT s.step FROM pg_temp.step() AS s;
UPDATE exact.request SET state = 'done' WHERE kind = 'sync' AND division = 9000001;
SELECT s.step FROM pg_temp.step(false) AS s;
SELECT state FROM pg_temp.write;
-- the notification of a write has brought the reading that follows it: no other is asked for
SELECT s.step FROM generate_series(1, 3) AS i, pg_temp.step(i > 0) AS s;
SELECT pg_temp.outcome('ok', 204);
SELECT pg_temp.arrive('glaccount', -60, 3, '{"ID":"00000000-0000-0000-0000-000000000003",'
	'"Code":"4000","Description":"Power","IsBlocked":false}');
SELECT count(*) AS requests FROM exact.request
WHERE kind = 'sync' AND division = 9000001 \gset before_
SELECT s.step FROM pg_temp.step() AS s;
SELECT state, outcome FROM pg_temp.write;
SELECT count(*) - :before_requests AS requests FROM exact.request
WHERE kind = 'sync' AND division = 9000001;
ROLLBACK TO auto;
-- what Exact Online cannot hold is told before a call is spent; what is the same is no change
CREATE VIEW pg_temp.problem AS
SELECT v.n, exact._dimension_problem(v.entity, v.field, 'update', v.wanted) AS problem
FROM (VALUES
	(1, 'costcenter', 'Description', repeat(U&'\+01F600', 30)),
	(2, 'costcenter', 'Description', repeat(U&'\+01F600', 30) || 'x'),
	(3, 'costcenter', 'Description', repeat('x', 60) || '  '),
	(4, 'costcenter', 'EndDate', '1753-01-01'), (5, 'costcenter', 'EndDate', '1752-12-31'),
	(6, 'costcenter', 'EndDate', '9999-12-31'), (7, 'costcenter', 'EndDate', '10000-01-01'),
	(8, 'costcenter', 'EndDate', '0044-03-15 BC'), (9, 'costcenter', 'EndDate', 'infinity'),
	(10, 'costcenter', 'EndDate', '31/12/2026'), (11, 'costcenter', 'EndDate', '2026-02-30'),
	(12, 'glaccount', 'PrivatePercentage', 'NaN'), (13, 'glaccount', 'PrivatePercentage', '1.25E1'),
	(14, 'glaccount', 'UseCostcenter', '255'), (15, 'glaccount', 'UseCostcenter', '256'),
	(16, 'glaccount', 'AssimilatedVATBox', '32768'), (17, 'glaccount', 'Type', '2147483648'),
	(18, 'glaccount', 'PrivateGLAccount', 'none'),
	(19, 'glaccount', 'PrivateGLAccount', '00000000-0000-0000-0000-0000000000AA')
) AS v (n, entity, field, wanted);
SELECT n, left(problem, 50) AS problem FROM pg_temp.problem ORDER BY n;
SELECT exact._dimension_same('STRING', 'Office', 'Office  '),
	exact._dimension_same('STRING', 'Office', ' Office'),
	exact._dimension_same('STRING', '00000000-0000-0000-0000-0000000000AA',
		'00000000-0000-0000-0000-0000000000aa'),
	exact._dimension_same('STRING', 'abc', 'ABC'), exact._dimension_same('STRING', ' ', NULL);
INSERT INTO exact.cost_center (division, code, description) VALUES (9000001, ' X1 ', 'Padded ');
SELECT s.body FROM pg_temp.step() AS s;
INSERT INTO exact.cost_center (division, code, description) VALUES (9000001, 'x1', 'Twice');
ROLLBACK TO auto;
-- a code that no index takes stops no staging
SELECT pg_temp.cost_center(-50, 5,
	(SELECT string_agg(md5(i::text), '') FROM generate_series(1, 300) AS i), 'Long');
SELECT seq FROM exact.record WHERE division = 9000001 AND key = pg_temp.key(5);
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
SAVEPOINT conflict;
SELECT exact.approve(id) FROM exact.dimension_change WHERE side = 'delta';
SELECT side, hub, delta, decision, state, regexp_replace(reason, '\d+', 'N') AS reason
FROM pg_temp.change;
ROLLBACK TO conflict;
-- a third edit, of either side, goes no more by itself than the second
UPDATE exact.workspace SET write_back = 'auto' WHERE name = 'lake';
SELECT pg_temp.delta(1, 11, 'Headquarters');
UPDATE exact.cost_center SET description = 'Shed' WHERE division = 9000001 AND code = '100';
SELECT * FROM pg_temp.step();
SELECT side, hub, delta, decision, state, regexp_replace(reason, '\d+', 'N') AS reason
FROM pg_temp.change;
-- who wants what the other side wants asks for nothing of his own
UPDATE exact.cost_center SET description = 'Headquarters' WHERE division = 9000001 AND code = '100';
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
SELECT exact._take_delta_edits('lake', 'costcenter', 1, n, n, '{9000001}', ARRAY[pg_temp.key(1)],
	'{11}', ARRAY['h' || n], ARRAY[format('{"Description":"****%s"}', n)], NULL)
FROM generate_series(2, 3) AS n;
SELECT decision, state FROM pg_temp.change;
ROLLBACK TO auto;
-- a hundred thousand approved at once: what two readings take is open, the rest waits
INSERT INTO exact.dimension_change (edit, workspace, division, entity, key, code, kind, side, who,
	field, wanted, state, decided_by)
SELECT 0, 'lake', 9000001, 'costunit', gen_random_uuid(), 'm' || n, 'update', 'delta', 'test',
	'Description', 'careless', 'approved', 'test'
FROM generate_series(1, 115) AS n;
SELECT exact._write_gather(9000001), exact._write_gather(9000001);
SELECT count(*) FROM exact.dimension_write WHERE division = 9000001 AND entity = 'costunit';
UPDATE exact.dimension_write SET state = 'ended' WHERE code = 'm2' AND entity = 'costunit';
SELECT exact._write_gather(9000001);
SELECT count(*), bool_or(code = 'm115') AS last FROM exact.dimension_write
WHERE division = 9000001 AND entity = 'costunit';
ROLLBACK TO auto;
-- taken back before it was written
UPDATE exact.workspace SET write_back = 'approve' WHERE name = 'lake';
SELECT pg_temp.delta(1, 11, 'Head office'), pg_temp.delta(2, 52, 'Depot', NULL, 1, '102');
SELECT exact._take_delta_back('lake', 'costcenter', 1, 9);
SELECT exact._take_delta_back('lake', 'costcenter', 2, 1),
	exact._take_delta_back('lake', 'costcenter', 2, 9);
SELECT state, reason FROM pg_temp.change;
ROLLBACK TO auto;
-- held back by an edit that is taken back before it is read: the version comes once more
SELECT exact._dimension_held('costcenter', '{9000001}', ARRAY[pg_temp.key(1)]);
SELECT exact._take_delta_back('lake', 'costcenter', 2, 9);
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
SELECT exact._take_delta_edits('lake', 'costcenter', 1, 100, 2, '{9000001,9000002}',
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
SELECT pg_temp.delta(9, NULL, 'Newer', NULL, 1, '900', 2);
SELECT exact._take_delta_back('lake', 'costcenter', 2, 9);
SELECT code, delta, state, reason FROM pg_temp.change;
SELECT exact._take_delta_back('lake', 'costcenter', 3, 9);
SELECT code, state, reason FROM pg_temp.change;
SELECT count(*) FROM exact.dimension_known WHERE division = 9000001;
ROLLBACK TO auto;
-- a row that was deleted in Delta is never deleted in Exact Online by itself
SELECT exact._take_delta_gone('lake', 'costcenter', '{9000001,9000001}',
	ARRAY[pg_temp.key(1), pg_temp.key(4)]);
SELECT exact._take_delta_gone('lake', 'costcenter', '{9000001}', ARRAY[pg_temp.key(1)]);
SELECT kind, field, old, delta = exact._dimension_today(9000001) AS today, state
FROM pg_temp.change;
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
ROLLBACK TO denied;
-- who may not see a division edits nothing of it, though no WHERE asks for what may be read
RESET ROLE;
SET client_min_messages = warning;
CREATE ROLE dimension_local IN ROLE exact_reader;
INSERT INTO exact.restricted_reader VALUES ('dimension_local', '{9000002}');
GRANT exact_operator TO dimension_local;
SET ROLE dimension_local;
SAVEPOINT hidden;
UPDATE exact.cost_center SET description = 'x';
ROLLBACK TO hidden;
DELETE FROM exact.cost_center;
ROLLBACK TO hidden;
INSERT INTO exact.cost_center (division, code, description) VALUES (9000001, 'X', 'x');
ROLLBACK;
