-- Settings of the extension as SQL reads them.

CREATE FUNCTION exact._setting(name text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT nullif(current_setting('exact_databricks.' || $1, true), '')
$$;
COMMENT ON FUNCTION exact._setting(text) IS 'A setting of the extension; null: unset';
REVOKE ALL ON FUNCTION exact._setting(text) FROM PUBLIC;

CREATE FUNCTION exact._interval_setting() RETURNS interval
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT nullif(current_setting('exact_databricks.sync_interval', true)::interval, interval '0')
$$;
COMMENT ON FUNCTION exact._interval_setting()
	IS 'exact_databricks.sync_interval; null: each entity has its own';
REVOKE ALL ON FUNCTION exact._interval_setting() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._interval_setting() TO exact_reader, exact_worker;
