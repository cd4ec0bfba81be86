-- What a first load costs: questions that are refused, which lists are counted, how long calls
-- take. t/635_estimate.pl asks Exact Online.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
RESET client_min_messages;
\set SHOW_CONTEXT never
\set ON_ERROR_ROLLBACK on
BEGIN;
INSERT INTO exact.app (name, client_id) VALUES ('shop', 'x');
INSERT INTO exact.division VALUES (9000001, 'shop', NULL, 'Noord B.V.', false);

SELECT * FROM exact.estimate(9000002, ARRAY['finance']);
SELECT * FROM exact.estimate(NULL, ARRAY['finance']);
SELECT * FROM exact.estimate(9000001, NULL);
SELECT * FROM exact.estimate(9000001, '{}');
SELECT * FROM exact.estimate(9000001, ARRAY['item']);
SELECT * FROM exact.estimate(9000001, ARRAY['items', NULL]);
SET LOCAL ROLE exact_operator;
SELECT * FROM exact.estimate(9000001, ARRAY['items']);
RESET ROLE;

-- a set by row version is read as a whole, of a document with its lines the documents
SELECT entity, wanted, fills, page, path, filter
FROM exact._lists_to_count(ARRAY['purchaseorderlines', 'bankentrylines', 'items', 'journals',
	'stockpositions']);
SELECT entity, path FROM exact._lists_to_count(ARRAY['bankentries']);

-- within a minute, a day, beyond it
SELECT calls, exact._load_minutes(calls, 39, 3498, 3498, 600) AS minutes
FROM unnest(ARRAY[0, 1, 39, 40, 3498, 3499, 6996, 6997]) AS calls;
SELECT calls, exact._load_minutes(calls, 39, 0, 3498, 600) AS minutes
FROM unnest(ARRAY[1, 3498, 3499]) AS calls;
SELECT exact._load_minutes(NULL, 39, 3498, 3498, 600);

-- as Exact Online usually allows, as it said, and after the reset
SELECT a_minute, today, a_day, to_reset FROM exact._load_budget(9000001);
INSERT INTO exact.division_state (division, minute_limit, minute_left, minute_reset, day_limit,
	day_left, day_reset)
VALUES (9000001, 300, 10, now() + interval '1 minute', 9000, 2703, now() + interval '2 hours');
SELECT a_minute, today, a_day, to_reset FROM exact._load_budget(9000001);
UPDATE exact.division_state SET day_left = 2702 WHERE division = 9000001;
SELECT today FROM exact._load_budget(9000001);
UPDATE exact.division_state SET day_left = 0, day_reset = now() WHERE division = 9000001;
SELECT today FROM exact._load_budget(9000001);
ROLLBACK;
