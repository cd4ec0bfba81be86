-- Moments: one that happened does not lie ahead.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
RESET client_min_messages;

SELECT exact._is_future(clock_timestamp()) AS now,
	exact._is_future(now() - interval '1 year') AS past,
	exact._is_future('-infinity') AS always,
	exact._is_future(clock_timestamp() + interval '1 hour') AS set_back,
	exact._is_future('infinity') AS never,
	exact._is_future(NULL) IS NULL AS none;
-- A moment after the transaction's begin is none that lies ahead.
BEGIN;
SELECT pg_sleep(0.01);
SELECT exact._is_future(clock_timestamp()) AS later_than_begin;
COMMIT;
