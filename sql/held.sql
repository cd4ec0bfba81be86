-- What an operator sees of records that are held: one row each, with what it is known by. Rolled
-- back: no worker sees them.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
RESET client_min_messages;

BEGIN;
INSERT INTO exact.app (name, client_id) VALUES ('shop', 'x');
INSERT INTO exact.division VALUES (9000001, 'shop', NULL, 'Noord', true);
INSERT INTO exact.stage (slot, batch, ord, seq, division, entity, key, op, payload)
SELECT 0, -9, v.ord, 900 + v.ord, 9000001, v.entity, v.key, 'I', v.payload
FROM (VALUES
	(0, 'items', 'i', '{"Code":"  4711","Description":"Chair","CostPriceStandard":9.5}'),
	(1, 'purchaseentries', 'p', '{"EntryNumber":26700001,"InvoiceNumber":88,"OrderNumber":99,'
		'"SupplierName":"Jansen","AmountDC":121.00}'),
	(2, 'purchaseentrylines', 'l', '{"LineNumber":2,"Description":"Paper","AmountDC":100.5}'),
	(3, 'purchaseentrylines', 'orphan', '{"LineNumber":7,"AmountDC":"-1"}'),
	(4, 'transactionlines', 't', '{"EntryNumber":26700001,"LineNumber":3,"AccountName":"Jansen",'
		'"AmountDC":-121}'),
	(5, 'salesorders', 's', '{"OrderNumber":12,"OrderedByName":"De Vries","AmountDC":5,'
		'"AmountFC":6}'),
	(6, 'generaljournalentries', 'g', '{"EntryNumber":5,"JournalDescription":"Memo"}'),
	(7, 'purchaseinvoices', 'pi', '{"EntryNumber":9,"Description":"Rent","Amount":2}'),
	(8, 'glaccount', 'kept', '{"Code":"1000","Description":"Cash"}')
) AS v (ord, entity, key, payload);
INSERT INTO exact.record (division, entity, key, parent, seq, slot, batch, ord)
SELECT s.division, s.entity, s.key,
	CASE s.key WHEN 'l' THEN 'p' WHEN 'orphan' THEN 'q' WHEN 't' THEN 'p' END, s.seq, 0, -9, s.ord
FROM exact.stage AS s WHERE s.batch = -9;
INSERT INTO exact.record (division, entity, key, seq, slot, batch, ord)
VALUES (9000001, 'items', 'pruned', 1, 0, -99, 0);
INSERT INTO exact.held_delete (id, division, entity, records, alive, reason, run, run_started_at)
VALUES (-1, 9000001, 'items', 2, 2, 'the answer was empty', 9, 'infinity');
INSERT INTO exact.held_delete (id, division, entity, records, alive, reason)
SELECT -2 - row_number() OVER (ORDER BY r.entity), 9000001, r.entity, count(*), 9, 'many'
FROM exact.record AS r WHERE r.division = 9000001 AND r.entity NOT IN ('items', 'glaccount')
GROUP BY r.entity;
INSERT INTO exact.held_delete (id, division, entity, records, alive, reason, state)
VALUES (-50, 9000001, 'glaccount', 1, 1, 'many', 'rejected');
INSERT INTO exact.held_key (division, entity, key, held, doubted)
SELECT r.division, r.entity, r.key, h.id, r.key = 'g'
FROM exact.record AS r
JOIN exact.held_delete AS h ON h.division = r.division AND h.entity = r.entity
WHERE r.division = 9000001;
SELECT entity, key, code, name, amount, next_step FROM exact.held ORDER BY entity, key;
SELECT count(*) AS arrays FROM pg_attribute AS a
WHERE a.attrelid = 'exact.held'::regclass AND a.atttypid::regtype::text LIKE '%[]';
ROLLBACK;
