-- The shape of a division's ledger is what its entries say.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
RESET client_min_messages;

BEGIN;
CREATE FUNCTION pg_temp.stage(batch bigint, lines jsonb) RETURNS void
LANGUAGE sql
AS $$
	INSERT INTO exact.stage (slot, batch, ord, seq, division, entity, key, op, at, payload)
	SELECT 0, $1, n - 1, -1000 * $1 + n, 9000001, 'transactionlines',
		concat(l ->> 0, l ->> 1), 'I', now(),
		format('{"EntryID":"%s","LineNumber":%s,"AmountDC":%s,"Type":%s}', l ->> 0, l ->> 1,
			l ->> 2, coalesce(l ->> 3, '20'))
	FROM jsonb_array_elements($2) WITH ORDINALITY AS x (l, n);
	INSERT INTO exact.record (division, entity, key, parent, seq, slot, batch, ord)
	SELECT s.division, s.entity, s.key, substring(s.payload FROM '"EntryID":"([^"]+)'), s.seq,
		s.slot, s.batch, s.ord
	FROM exact.stage AS s
	WHERE s.slot = 0 AND s.batch = $1
	ON CONFLICT (division, entity, key) DO UPDATE
	SET seq = excluded.seq, batch = excluded.batch, ord = excluded.ord;
	SELECT exact._learn_ledger(9000001, 0, $1);
$$;
CREATE VIEW pg_temp.learned AS
SELECT shape, control, repeat, total, plain, neither
FROM exact.ledger_shape
WHERE division = 9000001;

-- the examples of the books: control row, repeated total, total of the lines, journal, a row that
-- is missing, budget, VAT that rounds to nothing, the noise of doubles
SELECT pg_temp.stage(-1, '[["j", 1, -120], ["j", 2, 100], ["j", 3, 20]]');
SELECT * FROM pg_temp.learned;
SELECT exact._shape_of(9000001), exact._shape_of(9000002);
SELECT pg_temp.stage(-2, '[["a", 0, 121.0], ["a", 1, -1E2], ["b", 0, 0.01], ["b", 1, -0.01],
	["c", 0, 0.30000000000000004], ["c", 1, -0.1], ["c", 2, -0.2],
	["d", 1, 5000, 3000], ["d", 2, 1, 3000]]');
SELECT * FROM pg_temp.learned;
-- the row that was missing comes
SELECT pg_temp.stage(-3, '[["a", 9999, -21]]');
SELECT * FROM pg_temp.learned;
SELECT entry, shape FROM exact.ledger_entry ORDER BY entry;
-- another shape
SELECT pg_temp.stage(-4, '[["r", 0, 121], ["r", 1, -100], ["r", 2, -21], ["r", 3, 121]]');
SELECT pg_temp.stage(-5, '[["t", 0, -121], ["t", 1, -100], ["t", 2, -21]]');
SELECT * FROM pg_temp.learned;
-- rows go: by a change, by a deletion
SELECT pg_temp.stage(-6, '[["t", 0, 121]]');
UPDATE exact.record SET deleted = true WHERE division = 9000001 AND parent = 'r';
SELECT exact._learn_ledger(9000001, 0, -4);
SELECT * FROM pg_temp.learned;
-- while a run goes on, one entry in two hundred may look odd
UPDATE exact.ledger_count SET control = 200, repeat = 1 WHERE division = 9000001;
SELECT * FROM pg_temp.learned;
UPDATE exact.ledger_count SET repeat = 2 WHERE division = 9000001;
SELECT * FROM pg_temp.learned;
UPDATE exact.ledger_count SET repeat = 1 WHERE division = 9000001;
INSERT INTO exact.feed_state (division, feed, run_state)
SELECT 9000001, feed, 'idle'
FROM exact.catalogue
WHERE entity = 'transactionlines';
SELECT * FROM pg_temp.learned;
UPDATE exact.ledger_count SET control = 0, repeat = 9, neither = 10 WHERE division = 9000001;
SELECT * FROM pg_temp.learned;
UPDATE exact.ledger_count SET neither = 9 WHERE division = 9000001;
SELECT * FROM pg_temp.learned;
UPDATE exact.ledger_count SET repeat = 0, total = 9, neither = 0 WHERE division = 9000001;
SELECT * FROM pg_temp.learned;

SELECT s.shape, exact.ledger_sign(s.shape, 0) AS zero, exact.ledger_sign(s.shape, 1) AS line,
	exact.ledger_sign(s.shape, NULL) AS none, exact.ledger_sign(s.shape, 1, 2999) AS last,
	exact.ledger_sign(s.shape, 1, 3000) AS budget
FROM unnest('{control,repeat,total,mixed,unknown,NULL}'::text[]) AS s (shape);
SELECT c AS content, exact._plain_number(c, 'LineNumber') AS number
FROM unnest(ARRAY['{"LineNumber":0}', '{"LineNumber" : "-7" }', '{"LineNumber":1.50E+2,"x":1}',
	'{"LineNumber":null}', '{"Notes":"\"LineNumber\":5"}', '{"LineNumber":1e999}',
	'{"LineNumber":"x"}', '{"Notes":"\u0000","LineNumber":3}']) AS u (c);

INSERT INTO exact.app (name, client_id, region) VALUES ('shop', 'x', 'nl');
INSERT INTO exact.division (division, app, enabled) VALUES (9000001, 'shop', true),
	(9000002, 'shop', true);
INSERT INTO exact.feed (division, entity) VALUES (9000001, 'transactionlines'),
	(9000002, 'transactionlines');
SELECT result, rule, finding, fix FROM exact.check() WHERE rule LIKE 'ledger%';
UPDATE exact.ledger_count SET control = 1 WHERE division = 9000001;
SELECT result, rule, finding, fix FROM exact.check() WHERE rule LIKE 'ledger%' LIMIT 1;
UPDATE exact.ledger_count SET control = 0, neither = 3 WHERE division = 9000001;
SELECT result, rule, finding, fix FROM exact.check() WHERE rule LIKE 'ledger%' LIMIT 1;

-- A batch costs as much beside a large stage as in an empty one, also before there are statistics:
-- 200 rows at most are read for one of three.
SELECT pg_temp.stage(-7, jsonb_agg(jsonb_build_array('e' || n / 2, n % 2, n % 2 * 2 - 1)))
FROM generate_series(0, 9999) AS n;
CREATE VIEW pg_temp.reads AS
SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) AS n
FROM pg_stat_xact_user_tables
WHERE schemaname = 'exact';
SELECT pg_temp.stage(-8, '[["e7", 1, 2], ["n", 0, -5], ["n", 1, 5]]');
CREATE TEMPORARY TABLE before AS SELECT n FROM pg_temp.reads;
SELECT exact._learn_ledger(9000001, 0, -8);
SELECT r.n - b.n BETWEEN 6 AND 200 AS few FROM pg_temp.reads AS r, before AS b;
SELECT shape FROM exact.ledger_entry WHERE division = 9000001 AND entry IN ('e7', 'n') ORDER BY 1;
ROLLBACK;
