-- What came to the listener, and what it may read for its pages.

CREATE FUNCTION exact._traffic(
		OUT received bigint, OUT accepted bigint, OUT duplicates bigint, OUT validations bigint,
		OUT refused bigint, OUT unavailable bigint, OUT malformed bigint, OUT too_large bigint,
		OUT unknown bigint, OUT timeouts bigint, OUT over_limit bigint, OUT connections bigint,
		OUT commits bigint, OUT commit_ms double precision)
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'exact__traffic';
COMMENT ON FUNCTION exact._traffic()
	IS 'What came to the listener of this database since the server started; nulls without workers';
REVOKE ALL ON FUNCTION exact._traffic() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._traffic() TO exact_reader;

CREATE VIEW exact.listener AS
SELECT w.listens_at, coalesce(w.state, 'stopped') AS state, w.reason, t.connections, t.received,
	t.accepted, t.duplicates, t.validations, t.refused,
	t.unavailable, t.malformed, t.too_large, t.unknown, t.timeouts, t.over_limit, t.commits,
	round(t.commit_ms::numeric, 2) AS commit_ms
FROM exact._traffic() AS t
LEFT JOIN exact._workers() AS w ON w.role = 'listener';
COMMENT ON VIEW exact.listener
	IS 'The listener of this database: where it listens, and what came since the server started';
COMMENT ON COLUMN exact.listener.listens_at IS 'Addresses; null: nowhere';
COMMENT ON COLUMN exact.listener.state IS 'running, idle, starting or stopped';
COMMENT ON COLUMN exact.listener.reason IS 'Why it does not run';
COMMENT ON COLUMN exact.listener.connections IS 'Open now';
COMMENT ON COLUMN exact.listener.received IS 'Notifications that came whole';
COMMENT ON COLUMN exact.listener.accepted IS 'Of these: stored, answered 200';
COMMENT ON COLUMN exact.listener.duplicates IS 'Of these: received before, answered 200';
COMMENT ON COLUMN exact.listener.validations
	IS 'Of these: empty, Exact Online tried the address, answered 200';
COMMENT ON COLUMN exact.listener.refused
	IS 'Of these: not signed by a webhook secret of ours, answered 401';
COMMENT ON COLUMN exact.listener.unavailable IS 'Of these: could not be stored, answered 503';
COMMENT ON COLUMN exact.listener.malformed IS 'Requests that are none: 400, 431, 501';
COMMENT ON COLUMN exact.listener.too_large IS 'Requests with more than 64 kB: 413';
COMMENT ON COLUMN exact.listener.unknown IS 'Requests for something else: 404, 405';
COMMENT ON COLUMN exact.listener.timeouts
	IS 'Connections closed: ten seconds without a whole request';
COMMENT ON COLUMN exact.listener.over_limit
	IS 'Connections closed: too many, see exact_databricks.listen_connections';
COMMENT ON COLUMN exact.listener.commits IS 'Transactions that stored notifications, many at once';
COMMENT ON COLUMN exact.listener.commit_ms IS 'How long one took on average, in milliseconds';
REVOKE ALL ON TABLE exact.listener FROM PUBLIC;
GRANT SELECT ON TABLE exact.listener TO exact_reader;
