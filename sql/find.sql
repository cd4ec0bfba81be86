-- find(): a record by what is printed on it; a number or code in the place of a key. Rolled back:
-- no worker sees it.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
RESET client_min_messages;
\set SHOW_CONTEXT never
\set ON_ERROR_ROLLBACK on

BEGIN;
INSERT INTO exact.app (name, client_id) VALUES ('shop', 'x');
INSERT INTO exact.division (division, app, description, enabled)
VALUES (9000001, 'shop', 'Noord', true), (9000002, 'shop', 'Zuid', true);

-- each row a batch; a content that is null is a delete of the version before
CREATE TEMP SEQUENCE made;
CREATE FUNCTION pg_temp.guid(n int) RETURNS text LANGUAGE sql
AS $$SELECT 'aaaaaaaa-0000-4000-8000-' || lpad($1::text, 12, '0')$$;
CREATE FUNCTION pg_temp.stage(division int, entity text, key text, content text,
	parent text = NULL)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	n int := nextval('made');
	r exact.record;
BEGIN
	SELECT * INTO r FROM exact.record AS x
	WHERE x.division = $1 AND x.entity = $2 AND x.key = $3;
	INSERT INTO exact.batch (id, slot, division, entity, epoch, rows, delivered_rows, delivered_at)
	VALUES (-n, 5, $1, $2, 1, 1, 1, now());
	INSERT INTO exact.stage (slot, batch, ord, seq, division, entity, key, op, prev_slot,
		prev_batch, prev_ord, payload)
	VALUES (5, -n, 0, n, $1, $2, $3, CASE WHEN content IS NULL THEN 'D' ELSE 'I' END, r.slot,
		r.batch, r.ord, content);
	INSERT INTO exact.record AS x (division, entity, key, parent, hash, seq, slot, batch, ord,
		deleted, first_seen)
	VALUES ($1, $2, $3, $5, E'\\x00', n, 5, -n, 0, content IS NULL, '2026-11-01 12:00')
	ON CONFLICT ON CONSTRAINT record_pkey
	DO UPDATE SET batch = excluded.batch, seq = excluded.seq, deleted = excluded.deleted;
END
$$;
SELECT count(pg_temp.stage(9000001, x.entity, pg_temp.guid(x.n), x.content))
FROM (VALUES
	(1, 'purchaseentries', '{"EntryID":"aaaaaaaa-0000-4000-8000-000000000001","EntryNumber":900001,'
		'"EntryDate":"/Date(1727913600000)/","YourRef":"F-2024/77","SupplierName":"Jansen & Zn.",'
		'"AmountDC":1234.56,"AmountFC":1234.56}'),
	(2, 'salesentries', '{"EntryNumber":900001,"EntryDate":"/Date(1730419200000)/",'
		'"CustomerName":"De Vries","AmountDC":121}'),
	(3, 'generaljournalentries', '{"EntryNumber":900001,"JournalDescription":"Memoriaal"}'),
	(4, 'glaccount', '{"Code":"               1300","Description":"Debiteuren"}'),
	(5, 'accounts', '{"Code":"               1300","Name":"O''Neill \"de Zaak\" \u0026 Co"}'),
	(6, 'items', '{"Code":"100%_A\\B","Description":"Caf\u00e9 crème"}'),
	(7, 'items', '{"Code":"00042","Description":"Schroef M8"}'),
	(8, 'items', '{"Code":"42","Description":"Moer M8"}'),
	(9, 'salesentries', '{"EntryNumber":900007,"CustomerName":"Ruis",'
		'"AmountDC":1234.5599999999999}'),
	(10, 'salesentries', '{"EntryNumber":900008,"CustomerName":"Terug","AmountDC":-1234.5600}'),
	(11, 'costcenter', '{"Code":"A1","Description":"Één"}'),
	(12, 'items', '{"Code":"日本","Description":"Doos\u0000tape"}'),
	(13, 'salesentries', '{"EntryNumber":12,"CustomerName":"Kort","AmountDC":1000000}')
) AS x (n, entity, content);
SELECT count(pg_temp.stage(9000001, 'purchaseentrylines', pg_temp.guid(100 + n),
	format('{"ID":"x","LineNumber":%s,"EntryID":"y","AmountDC":10.5,"Description":"regel"}', n),
	pg_temp.guid(1)))
FROM generate_series(1, 2) AS n;
SELECT count(pg_temp.stage(9000001, 'transactionlines', pg_temp.guid(200 + n),
	format('{"ID":"x","LineNumber":%s,"EntryNumber":900001,"AmountDC":5}', n), pg_temp.guid(1)))
FROM generate_series(0, 1) AS n;
SELECT pg_temp.stage(9000002, 'items', pg_temp.guid(7), '{"Code":"00042","Description":"Zuid"}');

CREATE FUNCTION pg_temp.find(what text) RETURNS TABLE (entity text, n int, number text, name text,
	at date, amount numeric) LANGUAGE sql
AS $$
	SELECT f.entity, substr(f.key, 25)::int, f.number, f.name, f.at, f.amount
	FROM exact.find(9000001, $1) AS f
$$;

-- a number that is of three entities; lines come last
SELECT * FROM pg_temp.find('900001');
SELECT * FROM pg_temp.find(E' \u00a00900001\n');
-- padded, with leading zeros, and without what was padded
SELECT * FROM pg_temp.find('1300');
SELECT * FROM pg_temp.find('42');
SELECT * FROM pg_temp.find('00042');
SELECT * FROM pg_temp.find('12');
SELECT * FROM pg_temp.find('a1');
-- signs that mean something to somebody
SELECT * FROM pg_temp.find('100%_A\B');
SELECT * FROM pg_temp.find('100%');
SELECT * FROM pg_temp.find('%');
SELECT * FROM pg_temp.find('O''Neill "de Zaak" & Co');
SELECT * FROM pg_temp.find('o''neill');
SELECT * FROM pg_temp.find('''; DROP TABLE exact.app; --');
SELECT * FROM pg_temp.find('f-2024/77');
SELECT * FROM pg_temp.find('日本');
-- a locale knows their case, C does not (find_1.out)
SELECT * FROM pg_temp.find('CAFÉ');
SELECT * FROM pg_temp.find('één');
SELECT * FROM pg_temp.find('tape');
SELECT * FROM pg_temp.find('jansen');
-- amounts, as people write them
SELECT what, (SELECT string_agg(f.number, ' ' ORDER BY f.number) FROM pg_temp.find(what) AS f)
FROM unnest(ARRAY['1.234,56', '1,234.56', '1234,56', '1234.56', '-1234.56', '€ 1.234,56',
	'EUR 1,234.56', '(1,234.56)', '1 234,56', '1.234', '1234.55', '1234.57', '1000000',
	'1.000.000', '1,000,000.00', '121,00', '10,50']) AS what;
SELECT what, exact._amounts_meant(what)
FROM unnest(ARRAY['1.234', '1,234', '12.34.56', '1,23,456', '', 'abc', '12 eur', '.5',
	'1234567890123456789012345']) AS what;
-- a key
SELECT * FROM pg_temp.find('AAAAAAAA-0000-4000-8000-000000000004');
SELECT * FROM pg_temp.find('aaaaaaaa-0000-4000-8000-000000000099');
-- the newest version counts; what is deleted is found behind what lives
SELECT pg_temp.stage(9000001, 'items', pg_temp.guid(8), '{"Code":"43","Description":"Moer M8"}');
SELECT pg_temp.stage(9000001, 'items', pg_temp.guid(7), NULL);
SELECT entity, number, name, deleted FROM exact.find(9000001, '42');
SELECT entity, number, name, deleted FROM exact.find(9000001, 'oer m8');
SELECT pg_temp.stage(9000001, 'items', pg_temp.guid(n), '{"Code":"42","Description":"m8 nieuw"}')
FROM generate_series(14, 14) AS n;
SELECT entity, number, name, deleted FROM exact.find(9000001, 'schroef ');

-- at the limit, and behind it
SAVEPOINT s;
SELECT count(pg_temp.stage(9000001, 'salesentries', pg_temp.guid(1000 + n),
	format('{"EntryNumber":%s,"EntryDate":"/Date(%s)/","CustomerName":"Veel","AmountDC":77.7}', n,
		86400000::bigint * (10000 + n))))
FROM generate_series(1, 200) AS n;
SELECT count(*), min(at), max(at) FROM exact.find(9000001, 'veel');
SELECT pg_temp.stage(9000001, 'salesentries', pg_temp.guid(999),
	'{"EntryNumber":1,"EntryDate":"/Date(86400000)/","CustomerName":"Veel","AmountDC":77.7}');
SELECT count(*), min(at), max(at) FROM exact.find(9000001, '77,70');
ROLLBACK TO s;

-- nothing to look for, nowhere to look
SELECT * FROM exact.find(9000001, NULL);
SELECT * FROM exact.find(9000001, '  ');
SELECT * FROM exact.find(8999999, '1');
SELECT * FROM exact.find(NULL, '1');
SELECT count(*) FROM exact.find(9000001, repeat('9', 200));
SELECT count(*) FROM exact.find(9000001, repeat('9', 201));

-- in the place of a key
SELECT step, what FROM exact.trace(9000001, 'purchaseentries', '900001') WHERE step = 'staged';
SELECT op, payload FROM exact.history(9000001, 'glaccount', ' 1300');
SELECT exact.explain(9000001, 'glaccount', '01300') LIKE 'In Databricks%: version 4 %' AS told;
SELECT op FROM exact.history(9000001, 'glaccount', 'AAAAAAAA-0000-4000-8000-000000000004');
SELECT op FROM exact.history(9000001, 'purchaseentrylines', '900001');
SELECT payload FROM exact.history(9000001, 'purchaseentrylines', '900001/2');
SELECT op FROM exact.history(9000001, 'purchaseentrylines', '900001/3');
SELECT op FROM exact.history(9000001, 'transactionlines', '900001');
SELECT payload FROM exact.history(9000001, 'transactionlines', '900001/0');
SELECT op FROM exact.history(9000001, 'items', '100%_a\b');
SELECT exact.explain(9000001, 'glaccount', '1301') LIKE
	'No record of glaccount here has the number or code ''1301''. %' AS told;
SELECT op FROM exact.history(9000001, 'glaccount', 'Debiteuren');
SELECT count(pg_temp.stage(9000001, 'journals', pg_temp.guid(300 + n),
	format('{"Code":"70","Description":"Dagboek %s","AmountDC":1}', n)))
FROM generate_series(1, 11) AS n;
SELECT exact.explain(9000001, 'journals', '70');
SELECT pg_temp.stage(9000001, 'items', pg_temp.guid(15), '{"Code":"007","Description":"Bond"}'),
	pg_temp.stage(9000001, 'items', pg_temp.guid(16), '{"Code":"7","Description":"Zeven"}');
SELECT payload FROM exact.history(9000001, 'items', '007');
SELECT payload FROM exact.history(9000001, 'items', '7');
SELECT payload FROM exact.history(9000001, 'items', '0007');
SELECT pg_temp.stage(9000001, 'items', pg_temp.guid(16), NULL);
SELECT op FROM exact.history(9000001, 'items', '7');

-- who may
CREATE ROLE regress_find_reader IN ROLE exact_reader;
CREATE ROLE regress_find_nobody;
GRANT USAGE ON SCHEMA exact TO regress_find_nobody;
SET CONSTRAINTS ALL IMMEDIATE;
SELECT exact.restrict_reader('regress_find_reader', '{9000002}');
SET SESSION AUTHORIZATION regress_find_reader;
SELECT entity, name FROM exact.find(9000002, '42');
SELECT entity, name FROM exact.find(9000001, '42');
SELECT exact.explain(9000001, 'items', '42');
SET SESSION AUTHORIZATION regress_find_nobody;
SELECT entity, name FROM exact.find(9000002, '42');
RESET SESSION AUTHORIZATION;
ROLLBACK;
