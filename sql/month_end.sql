-- month_end(): what it refuses, and its evidence. What it compares is in t/flow/test_month_end.py.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
RESET client_min_messages;
\set SHOW_CONTEXT never

BEGIN;
\set ON_ERROR_ROLLBACK on
SELECT * FROM exact.month_end(2026, 10);
INSERT INTO exact.app (name, client_id) VALUES ('shop', 'x');
INSERT INTO exact.division (division, app, description, enabled)
VALUES (9000001, 'shop', 'Noord', true), (9000002, 'shop', 'Zuid', false);
SELECT * FROM exact.month_end(2026, 10, 9000002);
SELECT * FROM exact.month_end(2026, 10, 8999999);
SELECT * FROM exact.month_end(0, 10);
SELECT * FROM exact.month_end(1899, 10);
SELECT * FROM exact.month_end(3000, 10);
SELECT * FROM exact.month_end(NULL, 10);
SELECT * FROM exact.month_end(2026, -1);
SELECT * FROM exact.month_end(2026, 14);
SELECT * FROM exact.month_end(2026, NULL);

-- nothing is enabled: unknown is no zero
SELECT kind, exact, hub, delta, difference, open, entries, result, finding
FROM exact.month_end(1900, 0, 9000001);
SELECT count(*) FROM exact.month_end(2999, 13);
SELECT year, period, division, who = session_user AS own, jsonb_array_length(rows),
	digest = exact._month_end_digest(r) AS right
FROM exact.month_end_report AS r ORDER BY id;
SET CONSTRAINTS ALL IMMEDIATE;
SELECT l.division, l.what ->> 'year' AS year, l.what ->> 'period' AS period,
	l.what ->> 'digest' = encode(r.digest, 'hex') AS same
FROM exact.audit_log AS l
JOIN exact.month_end_report AS r ON r.id = (l.what ->> 'report')::bigint
WHERE l.kind = 'month-end' ORDER BY l.id;
SELECT * FROM exact._month_end_gaps();

-- only appended; one who is above the trigger is found
UPDATE exact.month_end_report SET who = 'x';
DELETE FROM exact.month_end_report;
TRUNCATE exact.month_end_report;
SET LOCAL session_replication_role = replica;
SAVEPOINT s;
UPDATE exact.month_end_report SET rows = jsonb_set(rows, '{0,hub}', '1') WHERE year = 1900;
SELECT regexp_replace(finding, '\d+', 'n') FROM exact._month_end_gaps();
UPDATE exact.month_end_report AS r SET digest = exact._month_end_digest(r) WHERE year = 1900;
SELECT regexp_replace(finding, '\d+', 'n') FROM exact._month_end_gaps();
ROLLBACK TO s;
DELETE FROM exact.month_end_report WHERE year = 1900;
INSERT INTO exact.month_end_report (year, period, division, rows, digest)
VALUES (2026, 1, 9000001, '[]', '\x00');
SELECT regexp_replace(finding, '\d+', 'n') AS finding FROM exact._month_end_gaps() ORDER BY 1;
ROLLBACK TO s;
SET LOCAL session_replication_role = origin;

-- who may
CREATE ROLE regress_month_reader IN ROLE exact_reader;
SET SESSION AUTHORIZATION regress_month_reader;
SELECT * FROM exact.month_end(2026, 10);
SELECT count(*) FROM exact.month_end_report;
RESET SESSION AUTHORIZATION;
ROLLBACK;
