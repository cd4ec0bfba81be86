-- A feed that is read from its start, and a key that is to be read: one rule each, whoever asks.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
RESET client_min_messages;

BEGIN;
SELECT pg_catalog.setval('exact.run_id', 1000) AS run_id;
-- a run that was interrupted between two of its pages: every column has a value
CREATE FUNCTION pg_temp.interrupt() RETURNS void LANGUAGE sql AS $$
	DELETE FROM exact.backfill;
	DELETE FROM exact.feed_state;
	INSERT INTO exact.feed_state (division, feed, mark, run, run_state, next_link, run_started_at,
		run_first_max, run_max, run_rising, run_rows, run_whole, whole_at, whole_rows, reread_from,
		fields_digest, complete_at, first_complete_at, next_run_at, requested, errors, last_error,
		notified_first, notified_last, again_at, night_mark, night_at, entities, consent,
		doubted_from)
	VALUES (1, 'items', 500, 7, 'paging', 'https://next', '2026-01-02',
		510, 520, false, 60, true, '2026-01-01', 90, 400,
		'abc', '2026-01-01', '2025-12-31', '2026-01-03', false, 2, 'timeout',
		'2026-01-02 10:00', '2026-01-02 11:00', '2026-01-02 11:01', 450, '2026-01-01', '{items}',
		3, 300);
$$;
CREATE FUNCTION pg_temp.from_start(reason text) RETURNS TABLE (what text, value text)
LANGUAGE plpgsql AS $$
DECLARE
	before jsonb;
BEGIN
	PERFORM pg_temp.interrupt();
	SELECT to_jsonb(s) INTO before FROM exact.feed_state AS s;
	PERFORM exact._read_from_start(1, 'items', reason);
	RETURN QUERY SELECT n.key, CASE
			WHEN n.value = before -> n.key THEN 'stays'
			WHEN n.key = 'run' THEN CASE WHEN n.value::text::bigint > 1000 THEN 'a new one' END
			WHEN n.key = 'next_run_at' THEN CASE
				WHEN n.value #>> '{}' = to_jsonb(now()) #>> '{}' THEN 'now' END
			ELSE n.value::text
		END
	FROM exact.feed_state AS s, jsonb_each(to_jsonb(s)) AS n
	WHERE n.key NOT IN ('division', 'feed')
	ORDER BY 1;
END
$$;
-- nothing of the interrupted run stays of a feed that is as never read, or whose mark says nothing
SELECT * FROM pg_temp.from_start('enabled');
SELECT f.what || ' ' || f.value AS moved_is_other_than_enabled
FROM pg_temp.from_start('enabled') AS e, pg_temp.from_start('moved') AS f
WHERE f.what = e.what AND f.value IS DISTINCT FROM e.value;
-- else its live run stays, unless it reads the fields of before, and a backfill begins beside it
SELECT r.reason,
	array_agg(f.what || ' ' || coalesce(f.value, 'null') ORDER BY f.what)
		FILTER (WHERE f.value <> 'stays') AS changes
FROM unnest(ARRAY['fields', 'log', 'epoch', 'other copy', 'joined', 'consent']) AS r (reason),
	pg_temp.from_start(r.reason) AS f
GROUP BY r.reason
ORDER BY r.reason;
SELECT feed, mark, until, nightly, run > 1000 AS new_run, started_at FROM exact.backfill;
-- what is asked for while one goes on widens it, but for what it covers; then another begins
CREATE FUNCTION pg_temp.go_on() RETURNS void LANGUAGE sql AS $$
	UPDATE exact.backfill SET run = 7, started_at = now(), next_link = 'https://next', rows = 60,
		night = 9, night_calls = 5
$$;
SELECT pg_temp.go_on();
SELECT exact._want_backfill(1, 'items', 'night', 400, NULL, true, NULL) IS NULL AS covered;
SELECT run, rows, nightly FROM exact.backfill;
SELECT exact._want_backfill(1, 'items', 'backfill', 1, NULL, false, 8) > 1000 AS anew;
SELECT exact._want_backfill(1, 'items', 'backfill', 1, NULL, false, 9) > 1000 AS anew;
SELECT run > 1000 AS new_run, requests, mark, rows, started_at, next_link, night, night_calls
FROM exact.backfill;
SELECT exact._end_backfill(1, 'items');
SELECT exact._want_backfill(1, 'items', 'night', 400, NULL, true, NULL) > 1000 AS anew;
SELECT mark, reason, nightly, requests, finished_at, night_calls FROM exact.backfill;
SELECT exact._want_backfill(1, 'items', 'window', 300, 900, false, NULL) > 1000 AS anew;
SELECT exact._want_backfill(1, 'items', 'window', 200, 800, false, NULL) > 1000 AS anew;
SELECT mark, until, nightly FROM exact.backfill;
-- a feed that was never read has a row from now on
DELETE FROM exact.feed_state;
SELECT exact._read_from_start(2, 'accounts', 'enabled') > 1000 AS new_run;
SELECT feed, mark, run_state, requested, complete_at, run_started_at FROM exact.feed_state;

-- keys: what each reason does to one that is dirty already
CREATE FUNCTION pg_temp.again(before text, after text)
RETURNS TABLE (changed bigint, reason text, since_moves boolean, first_stays boolean)
LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	DELETE FROM exact.dirty_key;
	PERFORM exact._want_keys(1, 'items', ARRAY['k'], ARRAY[now() - interval '1 h'], before);
	n := exact._want_keys(1, 'items', ARRAY['k', NULL, 'k'], NULL, after);
	RETURN QUERY SELECT n, d.reason, d.since > now() - interval '1 min',
		d.first_at = now() - interval '1 h' OR d.first_at IS NULL
	FROM exact.dirty_key AS d;
END
$$;
SELECT b.before, a.after, g.*
FROM unnest(ARRAY['confirm', 'first load']) WITH ORDINALITY AS b (before, i),
	unnest(ARRAY['confirm', 'absent', 'approved', 'notified', 'first load',
		'its transaction lines changed', 'its lines did not come with it',
		'sent before its deletion', 'older than what is stored',
		'another copy of the hub delivered it']) WITH ORDINALITY AS a (after, i),
	LATERAL pg_temp.again(b.before, a.after) AS g
ORDER BY b.i, a.i;
-- a moment that is still to come is of a clock that was set back: it does not stay
DELETE FROM exact.dirty_key;
SELECT exact._want_keys(1, 'items', ARRAY['k'], ARRAY[now() + interval '1 day'], 'absent');
SELECT exact._want_keys(1, 'items', ARRAY['k'], NULL, 'absent');
SELECT since <= clock_timestamp() AS since_is_past FROM exact.dirty_key;
ROLLBACK;
