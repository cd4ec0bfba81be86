-- Disk space of the hub's tables: from 80 % of max_disk it is told, at max_disk reading is paused,
-- below 95 % it goes on.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
RESET client_min_messages;
\set ON_ERROR_ROLLBACK on
BEGIN;
DELETE FROM exact.disk;
SELECT light, what, next_step FROM exact._disk_finding();
SELECT bytes AS b, is_full FROM exact._measure_disk(0)
\gset
SELECT :b > 1000000 AS measured, :'is_full' AS is_full;
SELECT light, regexp_replace(what, '[0-9.]+ [kMG]B', 'N', 'g') AS what, next_step
FROM exact._disk_finding();
CREATE FUNCTION pg_temp.at(percent int, bytes bigint) RETURNS text LANGUAGE sql AS $$
	SELECT format('%s %%: %s', percent, CASE WHEN m.is_full THEN 'full' ELSE 'goes on' END)
	FROM exact._measure_disk(bytes * 100 / percent) AS m
$$;
CREATE VIEW pg_temp.said AS
SELECT light, regexp_replace(what, '[0-9.]+ [kMG]B', 'N', 'g') AS what FROM exact._disk_finding();
-- upwards
SELECT pg_temp.at(79, :b);
SELECT * FROM pg_temp.said;
SELECT pg_temp.at(81, :b);
SELECT * FROM pg_temp.said;
SELECT pg_temp.at(99, :b);
SELECT count(*) AS lines FROM exact.status WHERE state = 'disk' AND light = 'warn';
SELECT pg_temp.at(101, :b);
SELECT light, regexp_replace(regexp_replace(what, '^.* reading', '… reading'), 'since [^,]*,',
	'since …,') AS what
FROM exact._disk_finding();
SELECT name, light, next_step FROM exact.status WHERE state = 'disk';
SELECT result, rule, fix FROM exact.check() WHERE rule = 'disk';
SELECT since AS paused_since FROM exact.disk
\gset
SELECT pg_temp.at(101, :b);
SELECT since = :'paused_since' AS "since the first time" FROM exact.disk;
-- downwards
SELECT pg_temp.at(96, :b);
SELECT pg_temp.at(94, :b);
SELECT since > :'paused_since' AS "goes on since later" FROM exact.disk;
SELECT pg_temp.at(96, :b);
SELECT pg_temp.at(101, :b);
-- no limit any more
SELECT is_full FROM exact._measure_disk(0);
SELECT count(*) AS lines FROM exact.status WHERE state = 'disk';
-- the sentence about the hub; divisions are counted without it
SELECT exact._headline(ARRAY['warn', 'ok', 'ok'], ARRAY['disk', 'up to date', 'up to date']);
SELECT pg_temp.at(101, :b);
SELECT regexp_replace(regexp_replace(
	exact._headline(ARRAY['fail', 'ok', 'ok'], ARRAY['disk', 'up to date', 'up to date']),
	'holds .* reading', 'holds … reading'), 'since [^,]*,', 'since …,') AS headline;
-- the worker measures, nobody else
SET LOCAL ROLE exact_operator;
SELECT exact._measure_disk(1);
INSERT INTO exact.disk (bytes, max_bytes, is_full) VALUES (1, 1, true);
ROLLBACK;
