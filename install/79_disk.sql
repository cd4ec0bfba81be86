-- How much disk space the hub uses, and whether it may use more.

-- Not in a dump: what is restored is measured anew.
CREATE TABLE exact.disk (
	one boolean PRIMARY KEY DEFAULT true CONSTRAINT disk_is_one_row CHECK (one),
	bytes bigint NOT NULL,
	max_bytes bigint NOT NULL,
	is_full boolean NOT NULL,
	since timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	measured_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
) WITH (fillfactor = 50);
COMMENT ON TABLE exact.disk
	IS 'Disk space of the hub''s tables with their indexes, measured by the fetcher each minute. '
		'At exact_databricks.max_disk it reads nothing until they use less than 95 % of it';
COMMENT ON COLUMN exact.disk.one IS 'Always true: there is one row';
COMMENT ON COLUMN exact.disk.bytes IS 'What they use';
COMMENT ON COLUMN exact.disk.max_bytes IS 'exact_databricks.max_disk then; 0: no limit';
COMMENT ON COLUMN exact.disk.is_full IS 'Reading is paused';
COMMENT ON COLUMN exact.disk.since IS 'Since when reading is paused, or goes on';
COMMENT ON COLUMN exact.disk.measured_at IS 'When it was measured';
REVOKE ALL ON TABLE exact.disk FROM PUBLIC;
GRANT SELECT ON TABLE exact.disk TO exact_reader;

CREATE FUNCTION exact._measure_disk(max_bytes bigint, OUT bytes bigint, OUT is_full boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	bytes := (
		SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)
		FROM pg_class AS c
		WHERE c.relnamespace = 'exact'::regnamespace AND c.relkind IN ('r', 'm'));
	is_full := $1 > 0 AND (bytes >= $1
		OR (bytes >= $1 * 0.95
			AND coalesce((SELECT d.is_full FROM exact.disk AS d), false)));
	INSERT INTO exact.disk AS d (bytes, max_bytes, is_full)
	VALUES (_measure_disk.bytes, $1, _measure_disk.is_full)
	ON CONFLICT ON CONSTRAINT disk_pkey DO UPDATE
		SET bytes = excluded.bytes, max_bytes = excluded.max_bytes, is_full = excluded.is_full,
			since = CASE WHEN d.is_full = excluded.is_full THEN d.since ELSE excluded.since END,
			measured_at = excluded.measured_at;
END
$$;
COMMENT ON FUNCTION exact._measure_disk(bigint)
	IS 'For the fetcher: measures the hub''s tables and says whether reading is paused';
REVOKE ALL ON FUNCTION exact._measure_disk(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._measure_disk(bigint) TO exact_worker;

CREATE FUNCTION exact._disk_finding(OUT light text, OUT what text, OUT next_step text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	d exact.disk;
	sizes text;
BEGIN
	SELECT * INTO d FROM exact.disk;
	IF d.one IS NULL THEN
		light := 'ok';
		what := 'not measured yet';
		RETURN;
	END IF;
	sizes := format('the hub holds %s', pg_size_pretty(d.bytes))
		|| CASE WHEN d.max_bytes > 0 THEN ' of ' || pg_size_pretty(d.max_bytes) ELSE '' END;
	IF d.is_full THEN
		light := 'fail';
		what := format('%s: reading is paused since %s, notifications are taken, deliveries go on',
			sizes, exact._since(d.since));
	ELSIF d.max_bytes > 0 AND d.bytes >= d.max_bytes * 0.8 THEN
		light := 'warn';
		what := sizes || ': at the limit reading is paused';
	ELSE
		light := 'ok';
		what := sizes || CASE WHEN d.max_bytes > 0 THEN '' ELSE ', without a limit' END;
		RETURN;
	END IF;
	next_step := 'raise exact_databricks.max_disk if the disk has space, or lower '
		'exact_databricks.retention: the hub removes what is older; SELECT pg_reload_conf()';
END
$$;
COMMENT ON FUNCTION exact._disk_finding()
	IS 'What there is to say about the disk space of the hub''s tables: warn from 80 % of '
		'max_disk, fail while reading is paused';
REVOKE ALL ON FUNCTION exact._disk_finding() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._disk_finding() TO exact_reader, exact_worker;
