-- Evidence that a month was checked: what exact.month_end() answered, to whom and when. It is kept
-- for good; its digest stands in an event of the audit log.

CREATE SEQUENCE exact.month_end_report_id;
COMMENT ON SEQUENCE exact.month_end_report_id IS 'Ids of exact.month_end_report';
REVOKE ALL ON SEQUENCE exact.month_end_report_id FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('exact.month_end_report_id', '');

CREATE TABLE exact.month_end_report (
	id bigint PRIMARY KEY DEFAULT pg_catalog.nextval('exact.month_end_report_id'),
	at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	who text NOT NULL DEFAULT session_user,
	year int NOT NULL,
	period int NOT NULL,
	division int NOT NULL,
	rows jsonb NOT NULL,
	digest bytea NOT NULL
);
COMMENT ON TABLE exact.month_end_report
	IS 'What exact.month_end() answered, a row for each division; only ever appended, never '
		'removed';
COMMENT ON COLUMN exact.month_end_report.id IS 'Order';
COMMENT ON COLUMN exact.month_end_report.at IS 'When';
COMMENT ON COLUMN exact.month_end_report.who IS 'Role that logged in and asked';
COMMENT ON COLUMN exact.month_end_report.year IS 'Financial year that was asked for';
COMMENT ON COLUMN exact.month_end_report.period IS 'Period that was asked for';
COMMENT ON COLUMN exact.month_end_report.division IS 'Division';
COMMENT ON COLUMN exact.month_end_report.rows IS 'The rows of the answer about this division';
COMMENT ON COLUMN exact.month_end_report.digest
	IS 'SHA-256 over all of the row; the event of the audit log has it too';
REVOKE ALL ON TABLE exact.month_end_report FROM PUBLIC;
GRANT SELECT ON TABLE exact.month_end_report TO exact_reader;
SELECT pg_catalog.pg_extension_config_dump('exact.month_end_report', '');

CREATE FUNCTION exact._month_end_digest(report exact.month_end_report) RETURNS bytea
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT sha256(convert_to(jsonb_build_array($1.id,
		to_char($1.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
		$1.who, $1.year, $1.period, $1.division, $1.rows)::text, 'UTF8'))
$$;
COMMENT ON FUNCTION exact._month_end_digest(exact.month_end_report)
	IS 'SHA-256 of the JSON array of a report''s values as text, in UTF-8; time in UTC with '
		'microseconds';
REVOKE ALL ON FUNCTION exact._month_end_digest(exact.month_end_report) FROM PUBLIC;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON exact.month_end_report
	FOR EACH STATEMENT EXECUTE FUNCTION exact._is_append_only('reports',
		'SELECT * FROM exact.month_end(year, period) makes a new one.');
COMMENT ON TRIGGER append_only ON exact.month_end_report IS 'Reports are only appended';

-- At commit: the chain of events is held for a moment, not while the services are asked.
CREATE FUNCTION exact._audit_month_end() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT exact._restoring() THEN
		PERFORM exact._audit('sql', 'month-end', new.division, NULL, jsonb_build_object(
			'report', new.id, 'year', new.year, 'period', new.period,
			'digest', encode(new.digest, 'hex')));
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION exact._audit_month_end() IS 'Trigger: an event for each report, at commit';
REVOKE ALL ON FUNCTION exact._audit_month_end() FROM PUBLIC;
CREATE CONSTRAINT TRIGGER audit_month_end AFTER INSERT ON exact.month_end_report
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION exact._audit_month_end();
COMMENT ON TRIGGER audit_month_end ON exact.month_end_report
	IS 'Appends an event to the chain "sql" at commit';

CREATE FUNCTION exact._month_end_gaps(OUT id bigint, OUT finding text) RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH event AS (
		SELECT l.id, (l.what ->> 'report')::bigint AS report, l.what ->> 'digest' AS digest
		FROM exact.audit_log AS l
		WHERE l.chain = 'sql' AND l.kind = 'month-end'
	)
	SELECT e.id, CASE
		WHEN r.id IS NULL THEN format('report %s of exact.month_end_report is gone', e.report)
		WHEN e.id IS NULL THEN format('report %s of exact.month_end_report has no event', r.id)
		ELSE format('report %s of exact.month_end_report was changed', r.id)
	END
	FROM event AS e
	FULL JOIN exact.month_end_report AS r ON r.id = e.report
	WHERE r.id IS NULL OR e.id IS NULL
		OR e.digest IS DISTINCT FROM encode(exact._month_end_digest(r), 'hex')
		OR r.digest IS DISTINCT FROM exact._month_end_digest(r)
$$;
COMMENT ON FUNCTION exact._month_end_gaps()
	IS 'Reports that are gone, were changed, or have no event in the audit log';
REVOKE ALL ON FUNCTION exact._month_end_gaps() FROM PUBLIC;
