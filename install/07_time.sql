-- Moments and spans of time: one that cannot be, and how people read them.

-- After a clock was set back, whoever waits for what should follow such a moment would wait until
-- the old time comes again.
CREATE FUNCTION exact._is_future(happened_at timestamptz) RETURNS boolean
LANGUAGE sql VOLATILE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT $1 > clock_timestamp()
$$;
COMMENT ON FUNCTION exact._is_future(timestamptz)
	IS 'A moment at which something happened lies ahead: the clock was set back since. Null: '
		'there is no moment';
REVOKE ALL ON FUNCTION exact._is_future(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._is_future(timestamptz) TO exact_reader, exact_worker;

CREATE FUNCTION exact._since(moment timestamptz) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT to_char($1,
		CASE WHEN $1::date = current_date THEN 'HH24:MI' ELSE 'YYYY-MM-DD HH24:MI' END)
$$;
COMMENT ON FUNCTION exact._since(timestamptz)
	IS 'A moment as people read it: the time, with the date when it is not today';
REVOKE ALL ON FUNCTION exact._since(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._since(timestamptz) TO exact_reader, exact_worker;

CREATE FUNCTION exact._took(ms double precision) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN $1 < 1 THEN '< 1 ms'
		WHEN $1 < 1000 THEN round($1) || ' ms'
		WHEN $1 < 60000 THEN round($1::numeric / 1000, 1) || ' s'
		ELSE floor($1 / 60000) || ' min ' || floor(($1::numeric % 60000) / 1000) || ' s'
	END
$$;
COMMENT ON FUNCTION exact._took(double precision) IS 'Milliseconds as people read them';
REVOKE ALL ON FUNCTION exact._took(double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._took(double precision) TO exact_reader;

CREATE FUNCTION exact._age(age interval) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN s < 120 THEN greatest(floor(s), 0) || ' s'
		WHEN s < 7200 THEN floor(s / 60) || ' min'
		WHEN s < 172800 THEN floor(s / 3600) || ' h'
		ELSE floor(s / 86400) || ' d'
	END FROM (SELECT extract(epoch FROM $1) AS s) AS t
$$;
COMMENT ON FUNCTION exact._age(interval) IS 'A span of time as people read it';
REVOKE ALL ON FUNCTION exact._age(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._age(interval) TO exact_reader, exact_worker;

CREATE FUNCTION exact._versions_wait(n numeric) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN CASE
		WHEN n = 1 THEN '1 version waits'
		ELSE to_char(n, 'FM999,999,999,990') || ' versions wait'
	END;
END
$$;
COMMENT ON FUNCTION exact._versions_wait(numeric) IS 'How many versions wait, as people read it';
REVOKE ALL ON FUNCTION exact._versions_wait(numeric) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._versions_wait(numeric) TO exact_reader, exact_worker;
