-- The SQL warehouses: how they are, when this hub has used them, and what that costs.

CREATE TABLE exact.warehouse_state (
	workspace text PRIMARY KEY,
	warehouse_id text NOT NULL,
	state text NOT NULL CHECK (state IN ('runs', 'sleeps')),
	seen_at timestamptz NOT NULL,
	auto_stop interval,
	size text,
	wakes_at timestamptz,
	stop_refused text,
	refused_at timestamptz
);
COMMENT ON TABLE exact.warehouse_state IS 'SQL warehouses of the workspaces, as they were seen last';
COMMENT ON COLUMN exact.warehouse_state.workspace IS 'Workspace';
COMMENT ON COLUMN exact.warehouse_state.warehouse_id IS 'Warehouse';
COMMENT ON COLUMN exact.warehouse_state.state IS 'runs (or starts) or sleeps (or stops)';
COMMENT ON COLUMN exact.warehouse_state.seen_at IS 'When that was seen';
COMMENT ON COLUMN exact.warehouse_state.auto_stop
	IS 'So long without a statement, then it stops by itself; 0: never; null: not known';
COMMENT ON COLUMN exact.warehouse_state.size IS 'Its size, such as 2X-Small';
COMMENT ON COLUMN exact.warehouse_state.wakes_at
	IS 'When it is woken for what waits: wake_after, wake_rows, quiet hours; null: not planned';
COMMENT ON COLUMN exact.warehouse_state.stop_refused
	IS 'Why the hub could not stop it; null: it could, or never tried';
COMMENT ON COLUMN exact.warehouse_state.refused_at IS 'When that was refused last';
REVOKE ALL ON TABLE exact.warehouse_state FROM PUBLIC;
GRANT SELECT ON TABLE exact.warehouse_state TO exact_reader;
GRANT SELECT, INSERT, UPDATE ON TABLE exact.warehouse_state TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.warehouse_state', '');

CREATE TABLE exact.warehouse_run (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	workspace text NOT NULL,
	warehouse_id text NOT NULL,
	started_at timestamptz NOT NULL,
	woken boolean NOT NULL,
	ended_at timestamptz,
	ended_by text CHECK (ended_by IN ('hub', 'auto stop', 'others', 'unknown'))
);
COMMENT ON TABLE exact.warehouse_run
	IS 'When this hub has used a SQL warehouse, from its first statement until the warehouse has '
		'stopped or goes on for others';
COMMENT ON COLUMN exact.warehouse_run.id IS 'Order';
COMMENT ON COLUMN exact.warehouse_run.workspace IS 'Workspace';
COMMENT ON COLUMN exact.warehouse_run.warehouse_id IS 'Warehouse';
COMMENT ON COLUMN exact.warehouse_run.started_at IS 'First statement';
COMMENT ON COLUMN exact.warehouse_run.woken
	IS 'Did that wake it? false: it ran already';
COMMENT ON COLUMN exact.warehouse_run.ended_at
	IS 'When it stopped, or would have without others; null: it goes on';
COMMENT ON COLUMN exact.warehouse_run.ended_by
	IS 'hub (stop_warehouse), auto stop, others (who go on using it) or unknown';
CREATE INDEX warehouse_run_started ON exact.warehouse_run (workspace, started_at);
COMMENT ON INDEX exact.warehouse_run_started IS 'Runs of a day, and the last one';
REVOKE ALL ON TABLE exact.warehouse_run FROM PUBLIC;
GRANT SELECT ON TABLE exact.warehouse_run TO exact_reader;
GRANT SELECT, INSERT, UPDATE ON TABLE exact.warehouse_run TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.warehouse_run', '');

-- The clock of the wall decides: an hour that daylight saving takes away or gives is part of it.
CREATE FUNCTION exact._wakes_at(quiet_from time, quiet_until time, quiet_zone text,
	wanted timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	moment timestamptz := greatest(wanted, now());
	local timestamp := moment AT TIME ZONE quiet_zone;
	quiet boolean := CASE
		WHEN quiet_from < quiet_until THEN local::time >= quiet_from AND local::time < quiet_until
		ELSE local::time >= quiet_from OR local::time < quiet_until
	END;
BEGIN
	RETURN CASE
		WHEN quiet AND local::time < quiet_until
			THEN (local::date + quiet_until) AT TIME ZONE quiet_zone
		WHEN quiet THEN (local::date + 1 + quiet_until) AT TIME ZONE quiet_zone
		ELSE wanted
	END;
END
$$;
COMMENT ON FUNCTION exact._wakes_at(time, time, text, timestamptz)
	IS 'When a warehouse is woken that is to be woken at that time: then, or when the quiet hours '
		'end in which it lies';
REVOKE ALL ON FUNCTION exact._wakes_at(time, time, text, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._wakes_at(time, time, text, timestamptz) TO exact_worker;

-- Serverless SQL warehouses: DBU an hour by size, from the price list of Databricks.
CREATE FUNCTION exact._dbu_per_hour(size text) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE size
		WHEN '2X-Small' THEN 4
		WHEN 'X-Small' THEN 6
		WHEN 'Small' THEN 12
		WHEN 'Medium' THEN 24
		WHEN 'Large' THEN 40
		WHEN 'X-Large' THEN 80
		WHEN '2X-Large' THEN 144
		WHEN '3X-Large' THEN 272
		WHEN '4X-Large' THEN 528
	END::numeric
$$;
COMMENT ON FUNCTION exact._dbu_per_hour(text)
	IS 'DBU an hour of a serverless SQL warehouse of one cluster; null: the size is not known';
REVOKE ALL ON FUNCTION exact._dbu_per_hour(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._dbu_per_hour(text) TO exact_reader;

CREATE VIEW exact.cost AS
SELECT d.day, d.workspace, coalesce(l.statements, 0) AS statements,
	coalesce(r.wake_ups, 0) AS wake_ups, coalesce(r.seconds, 0) AS seconds,
	coalesce(l.rows, 0) AS rows,
	round(l.rows::numeric / nullif(l.merges, 0), 1) AS rows_per_statement,
	coalesce(l.bytes, 0) AS bytes_uploaded,
	round(coalesce(r.seconds, 0) * p.dbu_per_hour / 3600, 3) AS dbu,
	round(coalesce(r.seconds, 0) * p.dbu_per_hour / 3600 * w.dbu_price, 2) AS money
FROM (
	SELECT x.at::date AS day, x.workspace
	FROM exact.statement_log AS x
	WHERE x.workspace IS NOT NULL
	UNION
	SELECT s.day::date, x.workspace
	FROM exact.warehouse_run AS x
	CROSS JOIN LATERAL generate_series(x.started_at::date::timestamp,
		coalesce(x.ended_at, now())::date::timestamp, interval '1 day') AS s (day)) AS d
LEFT JOIN (
	SELECT x.at::date AS day, x.workspace, count(*) AS statements, sum(x.bytes) AS bytes,
		count(*) FILTER (WHERE x.kind IN ('history', 'current') AND x.rows > 0) AS merges,
		sum(x.rows) FILTER (WHERE x.kind IN ('history', 'current')) AS rows
	FROM exact.statement_log AS x
	WHERE x.workspace IS NOT NULL
	GROUP BY 1, 2) AS l ON l.day = d.day AND l.workspace = d.workspace
LEFT JOIN LATERAL (
	SELECT count(*) FILTER (WHERE x.woken AND x.started_at::date = d.day) AS wake_ups,
		round(sum(extract(epoch FROM least(coalesce(x.ended_at, now()), (d.day + 1)::timestamptz)
			- greatest(x.started_at, d.day::timestamptz))))::bigint AS seconds
	FROM exact.warehouse_run AS x
	WHERE x.workspace = d.workspace AND x.started_at < (d.day + 1)::timestamptz
		AND coalesce(x.ended_at, now()) >= d.day::timestamptz) AS r ON true
LEFT JOIN exact.workspace AS w ON w.name = d.workspace
LEFT JOIN exact.warehouse_state AS s ON s.workspace = d.workspace
CROSS JOIN LATERAL (SELECT coalesce(w.dbu_per_hour, exact._dbu_per_hour(s.size)) AS dbu_per_hour)
	AS p
ORDER BY d.day DESC, d.workspace;
COMMENT ON VIEW exact.cost
	IS 'What Databricks was asked to do, a day and workspace, and an estimate of what that costs; '
		'days of your session''s time zone';
COMMENT ON COLUMN exact.cost.day IS 'Day';
COMMENT ON COLUMN exact.cost.workspace IS 'Workspace';
COMMENT ON COLUMN exact.cost.statements IS 'Statements that were sent';
COMMENT ON COLUMN exact.cost.wake_ups IS 'Times that this hub has woken the warehouse';
COMMENT ON COLUMN exact.cost.seconds
	IS 'The warehouse ran for this hub: from a first statement until it stopped, or would have '
		'without others';
COMMENT ON COLUMN exact.cost.rows IS 'Versions in deliveries, once for the history and once for '
	'the current table';
COMMENT ON COLUMN exact.cost.rows_per_statement IS 'Versions of a statement that delivers';
COMMENT ON COLUMN exact.cost.bytes_uploaded IS 'Bytes of their rows, in statements and in files';
COMMENT ON COLUMN exact.cost.dbu
	IS 'DBU of those seconds by exact.workspace.dbu_per_hour, or by the size of the warehouse; '
		'null: neither is known';
COMMENT ON COLUMN exact.cost.money
	IS 'The same by exact.workspace.dbu_price; null: that is not set';
REVOKE ALL ON TABLE exact.cost FROM PUBLIC;
GRANT SELECT ON TABLE exact.cost TO exact_reader;

-- A wake-up of a warehouse costs its way to stop, too: of 30 days, as far as runs are kept.
CREATE FUNCTION exact._check_warehouses(OUT result text, OUT rule text, OUT finding text,
	OUT fix text) RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT
		CASE WHEN w.stop_warehouse = 'own' AND s.stop_refused IS NOT NULL THEN 'warn' ELSE 'ok' END,
		'warehouse of workspace ' || w.name,
		concat(
			CASE
				WHEN w.stop_warehouse = 'own' AND s.stop_refused IS NOT NULL
					THEN format('the hub cannot stop it: %s', s.stop_refused)
				WHEN w.stop_warehouse = 'own' THEN 'the hub stops it when it has woken it'
				WHEN s.auto_stop = interval '0' THEN 'it has no auto stop'
				ELSE format('it stops %s after its last statement', exact._age(s.auto_stop))
			END,
			CASE WHEN t.dbu > 0 AND (w.stop_warehouse = 'never' OR s.stop_refused IS NOT NULL)
				THEN format('; the idle time after %s wake-up%s of 30 days cost about %s DBU',
					t.wake_ups, CASE WHEN t.wake_ups > 1 THEN 's' END, t.dbu) END),
		CASE
			WHEN w.stop_warehouse = 'own' AND s.stop_refused IS NOT NULL
				THEN format('grant %s CAN MANAGE on warehouse %s, or set stop_warehouse of %s to '
					'never', coalesce(w.client_id, 'the owner of the token'), w.warehouse_id, w.name)
			WHEN w.stop_warehouse = 'never' AND t.dbu > 0
				THEN format('grant %s CAN MANAGE on warehouse %s; UPDATE exact.workspace SET '
					'stop_warehouse = ''own'' WHERE name = %L',
					coalesce(w.client_id, 'the owner of the token'), w.warehouse_id, w.name)
		END
	FROM exact.workspace AS w
	JOIN exact.warehouse_state AS s ON s.workspace = w.name
	CROSS JOIN LATERAL (
		SELECT count(*) AS wake_ups, round(count(*) * extract(epoch FROM s.auto_stop) / 3600
			* coalesce(w.dbu_per_hour, exact._dbu_per_hour(s.size)), 1) AS dbu
		FROM exact.warehouse_run AS x
		WHERE x.workspace = w.name AND x.woken AND x.ended_by = 'auto stop'
			AND x.started_at > now() - interval '30 days') AS t
	WHERE w.enabled AND s.auto_stop IS NOT NULL
	ORDER BY w.name
$$;
COMMENT ON FUNCTION exact._check_warehouses() IS 'Rows of exact.check() about warehouses';
REVOKE ALL ON FUNCTION exact._check_warehouses() FROM PUBLIC;
