-- Schema and the functions of the worker frame.

CREATE SCHEMA exact;
COMMENT ON SCHEMA exact
	IS 'Hub between Exact Online and Databricks: configuration, state, staged records, '
		'evidence, functions.';
REVOKE ALL ON SCHEMA exact FROM PUBLIC;

CREATE FUNCTION exact._version_library() RETURNS text
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'exact__version_library';
COMMENT ON FUNCTION exact._version_library()
	IS 'Version of the preloaded library; null when it is not in shared_preload_libraries.';
REVOKE ALL ON FUNCTION exact._version_library() FROM PUBLIC;

CREATE FUNCTION exact._workers(
		OUT role text, OUT database text, OUT pid int, OUT state text, OUT started_at timestamptz,
		OUT restarts int, OUT last_error text, OUT reason text, OUT listens_at text)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'exact__workers';
COMMENT ON FUNCTION exact._workers()
	IS 'The launcher and the workers of this database: running, idle (reason says why), starting '
		'or stopped. No row without shared_preload_libraries.';
REVOKE ALL ON FUNCTION exact._workers() FROM PUBLIC;

CREATE FUNCTION exact._wake(worker text) RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'exact__wake';
COMMENT ON FUNCTION exact._wake(text)
	IS 'Wakes the fetcher, loader or listener of this database when the transaction commits.';
REVOKE ALL ON FUNCTION exact._wake(text) FROM PUBLIC;

CREATE FUNCTION exact._ask(worker text, op text, VARIADIC args text[] DEFAULT '{}') RETURNS text
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'exact__ask';
COMMENT ON FUNCTION exact._ask(text, text, text[])
	IS 'Asks a worker of this database and waits for its answer, at most 150 s. '
		'Raises EX001 when it does not run.';
REVOKE ALL ON FUNCTION exact._ask(text, text, text[]) FROM PUBLIC;

CREATE FUNCTION exact._created() RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'exact__created';
COMMENT ON FUNCTION exact._created()
	IS 'Tells the launcher, when the transaction commits, to look into this database. '
		'The install script ends with it.';
REVOKE ALL ON FUNCTION exact._created() FROM PUBLIC;

CREATE FUNCTION exact._quiesce() RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'exact__quiesce';
COMMENT ON FUNCTION exact._quiesce()
	IS 'Keeps the workers of this database from work until the transaction ends. '
		'Update scripts begin with it.';
REVOKE ALL ON FUNCTION exact._quiesce() FROM PUBLIC;

CREATE FUNCTION exact._restart_workers() RETURNS text
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'exact__restart_workers';
COMMENT ON FUNCTION exact._restart_workers()
	IS 'Ends the workers of this database; the launcher starts them again.';
REVOKE ALL ON FUNCTION exact._restart_workers() FROM PUBLIC;
