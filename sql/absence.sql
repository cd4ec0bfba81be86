-- What becomes of records that answers do not show: one answer decides nothing, a second one a
-- moment later does. Rolled back: no worker sees them.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
RESET client_min_messages;

BEGIN;
INSERT INTO exact.app (name, client_id) VALUES ('shop', 'x');
INSERT INTO exact.division VALUES (9000001, 'shop', NULL, 'Noord', true);
INSERT INTO exact.division_state (division, checked_at) VALUES (9000001, clock_timestamp());
INSERT INTO exact.record (division, entity, key, seq, slot, batch, ord)
SELECT 9000001, 'items', 'k' || i, 1, 0, -99, i FROM generate_series(100, 520) AS i;
CREATE FUNCTION pg_temp.absent(keys text[], doubt text, passes boolean, approved boolean)
RETURNS TABLE (believed bigint, held boolean, reason text, again boolean, once text[])
LANGUAGE sql AS $$
	SELECT cardinality(j.believed), j.held IS NOT NULL, j.reason, j.again, j.once
	FROM exact._judge_absent(9000001, 'items', 'items', keys, doubt, passes, approved) AS j
$$;
CREATE FUNCTION pg_temp.seconds_pass(seconds float8) RETURNS void LANGUAGE sql AS $$
	UPDATE exact.held_key SET since = since - make_interval(secs => seconds)
	WHERE division = 9000001;
	UPDATE exact.division_state SET checked_at = clock_timestamp() WHERE division = 9000001
$$;

-- the first answer; another one in the same moment
SELECT * FROM pg_temp.absent('{k100,k101}', NULL, false, false);
SELECT * FROM pg_temp.absent('{k100,k101}', NULL, false, false);
-- too soon, however long the statements above took; and late enough, beside one that is absent for
-- the first time
UPDATE exact.held_key SET since = clock_timestamp() - interval '0.9 s' WHERE division = 9000001;
SELECT * FROM pg_temp.absent('{k100,k101}', NULL, false, false);
SELECT pg_temp.seconds_pass(1.1);
SELECT * FROM pg_temp.absent('{k100,k101,k102}', NULL, false, false);
SELECT key, held, doubted FROM exact.held_key WHERE division = 9000001;
-- shown in between: it begins anew
SELECT pg_temp.seconds_pass(60);
SELECT exact._see_held(9000001, 'items', '{k102}');
SELECT * FROM pg_temp.absent('{k102}', NULL, false, false);
-- an answer of a time that is still to come was the first one
UPDATE exact.held_key SET since = since + interval '1 day' WHERE division = 9000001;
SELECT * FROM pg_temp.absent('{k102}', NULL, false, false);
SELECT pg_temp.seconds_pass(2);
SELECT * FROM pg_temp.absent('{k102}', NULL, false, false);
-- BlockingStatus was read before the first answer only, at a time that is still to come, never
SELECT * FROM pg_temp.absent('{k110}', NULL, false, false);
SELECT pg_temp.seconds_pass(60);
UPDATE exact.division_state AS s SET checked_at = k.since
FROM exact.held_key AS k WHERE k.division = 9000001 AND s.division = k.division AND k.key = 'k110';
SELECT * FROM pg_temp.absent('{k110}', NULL, false, false);
UPDATE exact.division_state SET checked_at = clock_timestamp() + interval '1 h'
WHERE division = 9000001;
SELECT * FROM pg_temp.absent('{k110}', NULL, false, false);
UPDATE exact.division_state SET checked_at = NULL WHERE division = 9000001;
SELECT * FROM pg_temp.absent('{k110}', NULL, false, false);
UPDATE exact.division_state AS s SET checked_at = k.since + interval '1 us'
FROM exact.held_key AS k WHERE k.division = 9000001 AND s.division = k.division AND k.key = 'k110';
SELECT * FROM pg_temp.absent('{k110}', NULL, false, false);
-- an operator's word, the log of deletes, and keys of no living record need no second answer
SELECT * FROM pg_temp.absent('{k103}', NULL, false, true);
SELECT * FROM pg_temp.absent('{nobody}', NULL, false, false);
-- what is doubted is held at once
SELECT * FROM pg_temp.absent('{k104}', 'a test', false, false);
SELECT * FROM pg_temp.absent('{k105}', 'a test', true, false);
-- and was none of the two answers
SELECT pg_temp.seconds_pass(60);
SELECT * FROM pg_temp.absent('{k105}', NULL, false, false);
SELECT key, held IS NOT NULL AS held FROM exact.held_key WHERE division = 9000001 ORDER BY key;
SELECT pg_temp.seconds_pass(2);
SELECT * FROM pg_temp.absent('{k105}', NULL, false, false);
-- the last that 20 and 5 % of 421 records allow in an hour, and one more; each by its second answer
DELETE FROM exact.absence WHERE division = 9000001;
SELECT * FROM pg_temp.absent(ARRAY(SELECT 'k' || i FROM generate_series(200, 220) AS i), NULL,
	false, false);
SELECT pg_temp.seconds_pass(2);
SELECT * FROM pg_temp.absent(ARRAY(SELECT 'k' || i FROM generate_series(200, 220) AS i), NULL,
	false, false);
UPDATE exact.record SET deleted = true
WHERE division = 9000001 AND key BETWEEN 'k200' AND 'k220';
SELECT * FROM pg_temp.absent('{k300}', NULL, false, false);
SELECT pg_temp.seconds_pass(2);
SELECT * FROM pg_temp.absent('{k300}', NULL, false, false);
SELECT entity, records, reason, state FROM exact.held_delete WHERE division = 9000001;
-- a question of a complete run: one record is shown since, one is deleted, the last one is shown:
-- how many wait is said each time, and a question about none is closed
UPDATE exact.held_delete SET state = 'rejected' WHERE division = 9000001;
UPDATE exact.record SET run = 70, first_seen = now() - interval '1 day' WHERE division = 9000001;
UPDATE exact.record SET run = 60 WHERE division = 9000001 AND key IN ('k401', 'k402', 'k403');
INSERT INTO exact.held_delete (division, entity, records, alive, reason, run, run_started_at)
VALUES (9000001, 'items', 3, 400, 'a test', 70, now());
SELECT exact._see_held(9000001, 'items', '{k400,k401}');
SELECT records, state, decided_by FROM exact.held_delete WHERE division = 9000001 AND run = 70;
UPDATE exact.record SET deleted = true WHERE division = 9000001 AND key = 'k402';
SELECT exact._leave_hold(9000001, 'items', '{k402}');
SELECT records, state, decided_by FROM exact.held_delete WHERE division = 9000001 AND run = 70;
SELECT exact._see_held(9000001, 'items', '{k400}');
SELECT records, state, decided_by FROM exact.held_delete WHERE division = 9000001 AND run = 70;
SELECT exact._see_held(9000001, 'items', '{k403}');
SELECT records, state, decided_by, decided_at IS NOT NULL AS decided
FROM exact.held_delete WHERE division = 9000001 AND run = 70;
ROLLBACK;
