-- Somebody publishes every table of the database, as tools that capture changes do: each table of
-- the hub can still be updated and rows deleted from it, but not events and reports, which nobody
-- may change.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS exact_databricks;

BEGIN;
CREATE PUBLICATION everything FOR ALL TABLES;
CREATE FUNCTION pg_temp.refusal(tab regclass) RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
	col text := (SELECT min(attname) FROM pg_attribute
		WHERE attrelid = tab AND attnum > 0 AND NOT attisdropped AND attgenerated = '');
BEGIN
	EXECUTE format('UPDATE %s SET %I = %2$I WHERE false', tab, col);
	EXECUTE format('DELETE FROM %s WHERE false', tab);
	RETURN NULL;
EXCEPTION WHEN OTHERS THEN
	RETURN sqlerrm;
END
$$;
SELECT count(*) > 80 AS tables, count(*) FILTER (WHERE relispartition) AS partitions,
	string_agg(pg_temp.refusal(oid), '; ') AS refused
FROM pg_class
WHERE relnamespace = 'exact'::regnamespace AND relkind = 'r'
	AND relname NOT IN ('audit_anchor', 'audit_log', 'month_end_report');
CREATE TABLE public.no_key (a int);
SELECT pg_temp.refusal('public.no_key');	-- what is tested is there
ROLLBACK;
