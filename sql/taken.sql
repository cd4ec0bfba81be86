-- What becomes of each notification when it is taken: a reason why it causes no work, a run of the
-- feed, a key to be asked for. Rolled back: no worker sees them.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
RESET client_min_messages;
BEGIN;
INSERT INTO exact.app (name, client_id) VALUES ('shop', 'x'), ('other', 'y');
INSERT INTO exact.app_state (app, state) VALUES ('shop', 'authorized');
INSERT INTO exact.division
VALUES (9000001, 'shop', NULL, 'Noord', true), (9000002, 'shop', NULL, 'Zuid', false);
SELECT count(*) FROM exact.enable_entities(9000001, 'items', 'salesentries');
SELECT e.entity, e.method, e.topics FROM exact.entity_effective AS e
WHERE e.entity IN ('items', 'salesentries', 'salesentrylines') ORDER BY 1;
CREATE FUNCTION pg_temp.guid(n int) RETURNS text LANGUAGE sql AS $$
	SELECT format('00000000-0000-4000-8000-%s', lpad(n::text, 12, '0'))
$$;
-- a notification: of an event at that minute (null: it does not say), received as many minutes
-- after the first
CREATE FUNCTION pg_temp.comes(id bigint, division int, topic text, action text, key text,
	event int, minute int, app text DEFAULT 'shop')
RETURNS void LANGUAGE sql AS $$
	INSERT INTO exact.inbox (id, at, app, secret, division, topic, action, key, event_at, digest,
		content)
	VALUES (id, '2026-11-22 10:00+00'::timestamptz + minute * interval '1 min', app, 'current',
		division, topic, action, key, 'minute ' || event,
		sha256(format('%s %s %s %s %s', division, topic, action, key, event)::bytea), 'x');
	INSERT INTO exact.inbox_work (id, division, topic) VALUES (id, division, topic)
$$;
-- since: the first that has come since the last call
CREATE FUNCTION pg_temp.takes(division int, topic text, since int)
RETURNS TABLE (taken bigint, runs bigint, dirty bigint, hints bigint, what text)
LANGUAGE plpgsql AS $$
BEGIN
	SELECT t.taken, t.runs, t.dirty, t.hints INTO taken, runs, dirty, hints
	FROM exact._take_notifications(division, topic, 100) AS t;
	RETURN NEXT;
	taken := NULL;
	runs := NULL;
	dirty := NULL;
	hints := NULL;
	FOR what IN
		SELECT format('%s %s', w.id, coalesce(w.reason, 'causes work')) FROM exact.inbox_work AS w
		WHERE w.taken_at IS NOT NULL AND w.division = $1 AND w.topic = $2 AND w.id >= $3
		ORDER BY w.id
	LOOP
		RETURN NEXT;
	END LOOP;
END
$$;
CREATE FUNCTION pg_temp.keys() RETURNS TABLE (entity text, key text, reason text)
LANGUAGE sql AS $$
	SELECT k.entity, k.key, k.reason FROM exact.dirty_key AS k WHERE k.division = 9000001
	ORDER BY k.entity, k.key
$$;
INSERT INTO exact.record (division, entity, key, seq, slot, batch, ord, deleted)
VALUES (9000001, 'items', pg_temp.guid(1), 1, 0, 1, 1, false),
	(9000001, 'items', pg_temp.guid(2), 2, 0, 1, 2, true),
	(9000001, 'salesentries', pg_temp.guid(3), 3, 0, 1, 3, false);
INSERT INTO exact.record (division, entity, key, parent, seq, slot, batch, ord)
VALUES (9000001, 'salesentrylines', pg_temp.guid(5), pg_temp.guid(6), 4, 0, 1, 4);

-- a change asks for a run; a delete for the record, if it is known, lives, and is of this entity
SELECT pg_temp.comes(1, 9000001, 'Items', 'Update', pg_temp.guid(1), 1, 0),
	pg_temp.comes(2, 9000001, 'Items', 'Update', 'no key of its kind', 1, 0);
SELECT * FROM pg_temp.takes(9000001, 'Items', 1);
SELECT * FROM pg_temp.keys();
SELECT pg_temp.comes(3, 9000001, 'Items', 'Delete', pg_temp.guid(1), 2, 1),
	pg_temp.comes(4, 9000001, 'Items', 'Delete', pg_temp.guid(2), 2, 1),
	pg_temp.comes(5, 9000001, 'Items', 'Delete', pg_temp.guid(3), 2, 1),
	pg_temp.comes(6, 9000001, 'Items', 'Delete', pg_temp.guid(4), 2, 1);
SELECT * FROM pg_temp.takes(9000001, 'Items', 3);
SELECT * FROM pg_temp.keys();

-- without row versions it is the record that is read, of a line its document; a key must be one
SELECT pg_temp.comes(7, 9000001, 'SalesEntries', 'Update', pg_temp.guid(3), 1, 2),
	pg_temp.comes(8, 9000001, 'SalesEntries', 'Update', 'no key of its kind', 1, 2),
	pg_temp.comes(12, 9000001, 'SalesEntries', 'Delete', pg_temp.guid(5), 1, 2);
SELECT * FROM pg_temp.takes(9000001, 'SalesEntries', 7);
SELECT * FROM pg_temp.keys();

-- what is not read, or not with this app
SELECT pg_temp.comes(9, 9000002, 'Items', 'Update', pg_temp.guid(1), 3, 3),
	pg_temp.comes(10, 9000001, 'Items', 'Update', pg_temp.guid(1), 3, 3, 'other'),
	pg_temp.comes(11, 9000001, 'Warehouses', 'Update', pg_temp.guid(1), 3, 3);
SELECT * FROM pg_temp.takes(9000002, 'Items', 9);
SELECT * FROM pg_temp.takes(9000001, 'Items', 10);
SELECT * FROM pg_temp.takes(9000001, 'Warehouses', 11);

-- of two equal ones that came at the same time the first counts; the same event seven days later
-- does not happen, but counts
SELECT pg_temp.comes(21, 9000001, 'Items', 'Update', pg_temp.guid(1), 4, 4),
	pg_temp.comes(22, 9000001, 'Items', 'Update', pg_temp.guid(1), 4, 4);
SELECT * FROM pg_temp.takes(9000001, 'Items', 21);
SELECT pg_temp.comes(23, 9000001, 'Items', 'Update', pg_temp.guid(1), 4, 4 + 7 * 24 * 60 - 1),
	pg_temp.comes(24, 9000001, 'Items', 'Update', pg_temp.guid(2), 5, 5);
SELECT * FROM pg_temp.takes(9000001, 'Items', 23);
SELECT pg_temp.comes(25, 9000001, 'Items', 'Update', pg_temp.guid(2), 5, 5 + 7 * 24 * 60);
SELECT * FROM pg_temp.takes(9000001, 'Items', 25);

-- one that does not say when its event was repeats what waits, and nothing that was taken
SELECT pg_temp.comes(31, 9000001, 'Items', 'Update', pg_temp.guid(1), NULL, 6),
	pg_temp.comes(32, 9000001, 'Items', 'Update', pg_temp.guid(1), NULL, 6);
SELECT * FROM pg_temp.takes(9000001, 'Items', 31);
SELECT pg_temp.comes(33, 9000001, 'Items', 'Update', pg_temp.guid(1), NULL, 7);
SELECT * FROM pg_temp.takes(9000001, 'Items', 33);
ROLLBACK;
