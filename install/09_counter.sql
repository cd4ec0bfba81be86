-- What Prometheus counts: numbers that only rise, and go on where they were after a restart.

CREATE TABLE exact.counter (
	name text,
	division int DEFAULT 0,
	kind text DEFAULT '',
	result text DEFAULT '',
	n bigint NOT NULL DEFAULT 0,
	seconds double precision NOT NULL DEFAULT 0,
	buckets bigint[],
	PRIMARY KEY (name, division, kind, result)
) WITH (fillfactor = 50);
COMMENT ON TABLE exact.counter
	IS 'What was counted since the extension was created: calls, statements, versions staged, and '
		'how long changes took. Read it as /metrics';
COMMENT ON COLUMN exact.counter.name
	IS 'call, statement, staged; took (a histogram of the whole way of a change) or statement took';
COMMENT ON COLUMN exact.counter.division IS 'Division; 0: not told apart';
COMMENT ON COLUMN exact.counter.kind
	IS 'Kind of the statement; I, U or D of a version; announcement or call: where the way began';
COMMENT ON COLUMN exact.counter.result IS 'How it ended';
COMMENT ON COLUMN exact.counter.n IS 'How many';
COMMENT ON COLUMN exact.counter.seconds IS 'Of a histogram: their times added up';
COMMENT ON COLUMN exact.counter.buckets
	IS 'Of a histogram: how many took no longer than each of 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60, '
		'300, 900, 3600 seconds and more than the one before; the last: longer than all';
REVOKE ALL ON TABLE exact.counter FROM PUBLIC;
GRANT SELECT ON TABLE exact.counter TO exact_reader;
GRANT SELECT, INSERT, UPDATE ON TABLE exact.counter TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.counter', '');

CREATE FUNCTION exact._count(name text, division int, kind text, result text, n bigint)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	INSERT INTO exact.counter AS c (name, division, kind, result, n)
	VALUES ($1, $2, $3, $4, $5)
	ON CONFLICT ON CONSTRAINT counter_pkey DO UPDATE SET n = c.n + excluded.n;
END
$$;
COMMENT ON FUNCTION exact._count(text, int, text, text, bigint)
	IS 'Adds to a number of exact.counter';
REVOKE ALL ON FUNCTION exact._count(text, int, text, text, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._count(text, int, text, text, bigint) TO exact_worker;

-- One row is written: the buckets of all times that one transaction counts are added up before.
CREATE FUNCTION exact._count_seconds(name text, kind text, seconds double precision[],
	times bigint[])
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	bounds CONSTANT double precision[] := exact._bounds();
	counted bigint[];
	n bigint;
	total double precision;
BEGIN
	SELECT sum(x.n), sum(x.n * greatest(x.s, 0))
	INTO n, total
	FROM unnest($3, $4) AS x (s, n)
	WHERE x.s IS NOT NULL;
	IF coalesce(n, 0) = 0 THEN
		RETURN;
	END IF;
	SELECT array_agg(coalesce(t.n, 0) ORDER BY b.i)
	INTO counted
	FROM generate_series(1, cardinality(bounds) + 1) AS b (i)
	LEFT JOIN (
		SELECT 1 + (SELECT count(*) FROM unnest(bounds) AS u (le) WHERE u.le < x.s) AS i,
			sum(x.n)::bigint AS n
		FROM unnest($3, $4) AS x (s, n)
		WHERE x.s IS NOT NULL
		GROUP BY 1
	) AS t ON t.i = b.i;
	INSERT INTO exact.counter AS c (name, kind, n, seconds, buckets)
	VALUES ($1, $2, n, total, counted)
	ON CONFLICT ON CONSTRAINT counter_pkey DO UPDATE SET
		n = c.n + excluded.n,
		seconds = c.seconds + excluded.seconds,
		buckets = (
			SELECT array_agg(coalesce(x.a, 0) + coalesce(x.b, 0) ORDER BY x.i)
			FROM unnest(c.buckets, excluded.buckets) WITH ORDINALITY AS x (a, b, i));
END
$$;
COMMENT ON FUNCTION exact._count_seconds(text, text, double precision[], bigint[])
	IS 'Adds times to a histogram of exact.counter; times: how often each of them';
REVOKE ALL ON FUNCTION exact._count_seconds(text, text, double precision[], bigint[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._count_seconds(text, text, double precision[], bigint[])
	TO exact_worker;

CREATE FUNCTION exact._bounds() RETURNS double precision[]
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN ARRAY[0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60, 300, 900, 3600];
END
$$;
COMMENT ON FUNCTION exact._bounds()
	IS 'Upper bounds, in seconds, of the histograms of exact.counter';
REVOKE ALL ON FUNCTION exact._bounds() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._bounds() TO exact_worker, exact_listener;
