-- What is kept for so long only. Versions that wait, and events of the audit log, are never removed
-- here.

CREATE FUNCTION exact._prune(retention interval) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	removed bigint := 0;
	n bigint;
BEGIN
	-- The newest pair counts; older ones tell how the chain went on, and are worthless to whoever
	-- finds them.
	DELETE FROM exact.token AS t USING (
		SELECT x.id
		FROM (
			SELECT k.id, k.issued_at,
				row_number() OVER (PARTITION BY k.app ORDER BY k.id DESC) AS age
			FROM exact.token AS k
		) AS x
		WHERE x.age > 20 AND x.issued_at < now() - interval '30 days'
		LIMIT 5000
	) AS old
	WHERE t.id = old.id;
	GET DIAGNOSTICS removed = ROW_COUNT;
	-- Ids rise with time: the lowest ones are looked at, as many as a short transaction takes.
	DELETE FROM exact.api_call AS c
	USING (SELECT x.id, x.at FROM exact.api_call AS x ORDER BY x.id LIMIT 5000) AS old
	WHERE c.id = old.id AND old.at < now() - retention;
	GET DIAGNOSTICS n = ROW_COUNT;
	removed := removed + n;
	DELETE FROM exact.statement_log AS s
	USING (SELECT x.id, x.at, x.state FROM exact.statement_log AS x ORDER BY x.id LIMIT 5000) AS old
	WHERE s.id = old.id AND old.at < now() - retention AND old.state IN ('succeeded', 'failed');
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN removed + n;
END
$$;
COMMENT ON FUNCTION exact._prune(interval)
	IS 'For the fetcher: removes token pairs (but for 20 of each app and those of 30 days), calls '
		'and statements older than the retention, some thousand at a time; returns how many';
REVOKE ALL ON FUNCTION exact._prune(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._prune(interval) TO exact_worker;
