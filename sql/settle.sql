-- When requests of exact.sync_now() are done, as each division ends what it reads. Rolled back: no
-- worker sees them.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
RESET client_min_messages;
BEGIN;
INSERT INTO exact.app (name, client_id) VALUES ('shop', 'x');
INSERT INTO exact.app_state (app, state) VALUES ('shop', 'authorized');
INSERT INTO exact.division
VALUES (9000001, 'shop', NULL, 'Noord', true), (9000002, 'shop', NULL, 'Zuid', true),
	(9000003, 'shop', NULL, 'Oost', false);
SELECT sum(n) FROM (
	SELECT count(*) AS n
	FROM exact.division AS d, exact.enable_entities(d.division, 'items', 'costcenter')) AS x;
CREATE FUNCTION pg_temp.asks(what int, entity text) RETURNS void LANGUAGE sql AS $$
	INSERT INTO exact.request (kind, division, entity, state, started_at)
	VALUES ('sync', what, entity, 'running', '2026-11-22 10:00+00')
$$;
-- a run of a feed that began so many minutes after the requests
CREATE FUNCTION pg_temp.reads(division int, feed text, minutes int) RETURNS void LANGUAGE sql AS $$
	INSERT INTO exact.feed_state AS s (division, feed, run_started_at)
	VALUES (division, feed, '2026-11-22 10:00+00'::timestamptz + minutes * interval '1 min')
	ON CONFLICT ON CONSTRAINT feed_state_pkey DO UPDATE SET run_started_at = excluded.run_started_at
$$;
CREATE FUNCTION pg_temp.settled(division int)
RETURNS TABLE (division int, entity text, state text, result text) LANGUAGE sql AS $$
	SELECT exact._settle_requests(division);
	SELECT r.division, r.entity, r.state, r.result FROM exact.request AS r WHERE r.kind = 'sync'
	ORDER BY r.division, r.entity
$$;
SELECT pg_temp.asks(NULL, NULL), pg_temp.asks(9000001, NULL), pg_temp.asks(9000001, 'items'),
	pg_temp.asks(9000002, 'items'), pg_temp.asks(9000003, NULL);
-- nothing is read yet; what is not enabled is done
SELECT * FROM pg_temp.settled(9000001);
SELECT * FROM pg_temp.settled(9000003);
-- the log goes with what it names
SELECT pg_temp.reads(9000001, 'items', 1), pg_temp.reads(9000001, 'costcenter', -1);
SELECT * FROM pg_temp.settled(9000001);
SELECT pg_temp.reads(9000001, 'deleted', 1);
SELECT * FROM pg_temp.settled(9000002);
SELECT * FROM pg_temp.settled(9000001);
-- a key that is to be asked for holds up its request
SELECT pg_temp.reads(9000001, 'costcenter', 1);
SELECT exact._want_keys(9000001, 'costcenter', '{a}', NULL, 'absent');
SELECT * FROM pg_temp.settled(9000001);
DELETE FROM exact.dirty_key WHERE division = 9000001;
SELECT * FROM pg_temp.settled(9000001);
-- that for all ends with the last division
SELECT pg_temp.reads(9000002, 'items', 1), pg_temp.reads(9000002, 'deleted', 1);
SELECT * FROM pg_temp.settled(9000002);
SELECT pg_temp.reads(9000002, 'costcenter', 1);
SELECT * FROM pg_temp.settled(9000002);
-- what cannot go on fails for all; looked at without a division
DELETE FROM exact.request;
SELECT pg_temp.asks(NULL, 'items'), pg_temp.asks(9000001, 'items');
SELECT pg_temp.reads(9000001, 'items', -1);
INSERT INTO exact.division_state (division, state, reason) VALUES (9000002, 'frozen', 'a test');
SELECT * FROM pg_temp.settled(9000001);
SELECT * FROM pg_temp.settled(NULL);
ROLLBACK;
