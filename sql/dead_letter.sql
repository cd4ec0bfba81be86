-- Rows put aside: what status and explain() say of them, and what exact.retry() has done.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
RESET client_min_messages;
\set SHOW_CONTEXT never
\set ON_ERROR_ROLLBACK on

BEGIN;
INSERT INTO exact.app (name, client_id) VALUES ('shop', 'x');
INSERT INTO exact.division VALUES (9000001, 'shop', NULL, 'Noord B.V.', true);
SELECT exact.enable_entities(9000001, 'items', 'costcenter', 'purchaseentries',
	'purchaseentrylines');
UPDATE exact.feed_state SET mark = 500 WHERE division = 9000001;
INSERT INTO exact.dead_letter (side, division, entity, key, reason, digest)
VALUES ('reading', 9000001, 'items', 'i', 'it has no Timestamp', '\x01'),
	('reading', 9000001, 'costcenter', 'c', 'Code is there twice', '\x02'),
	('reading', 9000001, 'purchaseentries', 'p', 'a line has no key', '\x03'),
	('reading', 9000001, 'deleted', NULL, 'it names no record', '\x04'),
	('delivery', 9000001, 'costcenter', 'd', 'no number', NULL);
SELECT min(id) AS first FROM exact.dead_letter \gset
SELECT division, dead FROM exact.status;
SELECT regexp_replace(regexp_replace(exact.explain(9000001, 'items', 'i'), ' since [0-9: -]+',
	' since …', 'g'), 'retry\(\d+\)', 'retry(…)');

SELECT exact.retry(NULL);
SELECT exact.retry(-1);
SELECT exact.retry(:first);
SELECT exact.retry(:first + 1);
SELECT state, decided_by = session_user AS mine, done_at IS NULL AS open
FROM exact.dead_letter
ORDER BY id;
SELECT entity, key, reason FROM exact.dirty_key ORDER BY entity, key;
SELECT feed, mark FROM exact.feed_state WHERE division = 9000001 ORDER BY feed COLLATE "C";
SELECT exact.retry_all();
SELECT exact.retry_all();
SELECT state, count(*) FROM exact.dead_letter GROUP BY state;
SELECT entity, key, reason FROM exact.dirty_key ORDER BY entity, key;
SELECT feed, mark FROM exact.feed_state WHERE division = 9000001 ORDER BY feed COLLATE "C";
UPDATE exact.dead_letter SET state = 'done', done_at = now() WHERE id = :first;
DO $$ BEGIN PERFORM exact.retry((SELECT min(id) FROM exact.dead_letter));
EXCEPTION WHEN sqlstate 'EX018' THEN RAISE NOTICE '%', regexp_replace(sqlerrm, '\d.*', '…'); END $$;
SELECT dead FROM exact.status;
ROLLBACK;
