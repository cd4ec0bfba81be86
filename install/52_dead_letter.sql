-- Rows that can be neither staged nor delivered as they are: put aside with their reason, so that
-- the rest goes on.

CREATE TABLE exact.dead_letter (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	last_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	times int NOT NULL DEFAULT 1,
	side text NOT NULL CHECK (side IN ('reading', 'delivery')),
	division int NOT NULL,
	entity text NOT NULL,
	key text,
	workspace text,
	column_name text,
	value_type text,
	reason text NOT NULL,
	slot smallint,
	batch bigint,
	ord int,
	seq bigint,
	payload text,
	digest bytea,
	state text NOT NULL DEFAULT 'dead' CHECK (state IN ('dead', 'retry', 'passed', 'done')),
	decided_at timestamptz,
	decided_by name,
	done_at timestamptz
);
COMMENT ON TABLE exact.dead_letter
	IS 'Rows that could not be staged, or could not be delivered, with the reason; all other rows '
		'went on. exact.retry(id) tries one again';
COMMENT ON COLUMN exact.dead_letter.id IS 'For exact.retry()';
COMMENT ON COLUMN exact.dead_letter.at IS 'When it was put aside first';
COMMENT ON COLUMN exact.dead_letter.last_at IS 'When it was met last';
COMMENT ON COLUMN exact.dead_letter.times IS 'How often it was met';
COMMENT ON COLUMN exact.dead_letter.side
	IS 'reading: Exact Online sent it so; delivery: Databricks cannot take it';
COMMENT ON COLUMN exact.dead_letter.division IS 'Division';
COMMENT ON COLUMN exact.dead_letter.entity
	IS 'Entity, of a line of an expanded document its header''s; deleted: the log of deletes';
COMMENT ON COLUMN exact.dead_letter.key IS 'Its key; null: the row has none';
COMMENT ON COLUMN exact.dead_letter.workspace IS 'Of a delivery: workspace';
COMMENT ON COLUMN exact.dead_letter.column_name IS 'Field or column that is wrong; null: not one';
COMMENT ON COLUMN exact.dead_letter.value_type
	IS 'What kind of value it holds, never the value itself';
COMMENT ON COLUMN exact.dead_letter.reason IS 'Why';
COMMENT ON COLUMN exact.dead_letter.slot IS 'Of a delivery: address of the version in exact.stage';
COMMENT ON COLUMN exact.dead_letter.batch IS 'Likewise';
COMMENT ON COLUMN exact.dead_letter.ord IS 'Likewise';
COMMENT ON COLUMN exact.dead_letter.seq IS 'Of a delivery: the version';
COMMENT ON COLUMN exact.dead_letter.payload
	IS 'Of a reading: the row as received, at most 64 kB of it; '
		'bytes that no text can hold are written as U+FFFD';
COMMENT ON COLUMN exact.dead_letter.digest
	IS 'Of a reading: SHA-256 of all its bytes; the same row again only raises times';
COMMENT ON COLUMN exact.dead_letter.state
	IS 'dead, retry (it is tried again), passed (of a delivery: a newer version of the record is '
		'delivered, only the history lacks this one) or done (a good version came, or it is gone, '
		'or it was delivered)';
COMMENT ON COLUMN exact.dead_letter.decided_at IS 'When exact.retry() was called last';
COMMENT ON COLUMN exact.dead_letter.decided_by IS 'By whom';
COMMENT ON COLUMN exact.dead_letter.done_at IS 'When it was done';
CREATE UNIQUE INDEX dead_letter_row ON exact.dead_letter (division, entity, digest)
	WHERE side = 'reading';
COMMENT ON INDEX exact.dead_letter_row IS 'The same row again';
CREATE UNIQUE INDEX dead_letter_version ON exact.dead_letter (workspace, batch, ord)
	WHERE side = 'delivery';
COMMENT ON INDEX exact.dead_letter_version IS 'The same version again';
CREATE INDEX dead_letter_open ON exact.dead_letter (division, entity, key) WHERE state <> 'done';
COMMENT ON INDEX exact.dead_letter_open IS 'What is not done';
REVOKE ALL ON TABLE exact.dead_letter FROM PUBLIC;
GRANT SELECT ON TABLE exact.dead_letter TO exact_reader;
GRANT SELECT, INSERT, UPDATE ON TABLE exact.dead_letter TO exact_worker;
REVOKE ALL ON SEQUENCE exact.dead_letter_id_seq FROM PUBLIC;
COMMENT ON SEQUENCE exact.dead_letter_id_seq IS 'Ids of exact.dead_letter';
SELECT pg_catalog.pg_extension_config_dump('exact.dead_letter', '');
SELECT pg_catalog.pg_extension_config_dump('exact.dead_letter_id_seq', '');

CREATE FUNCTION exact._letter_of(workspace text, batch bigint, ord int) RETURNS exact.dead_letter
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT l
	FROM exact.dead_letter AS l
	WHERE l.side = 'delivery' AND l.workspace = $1 AND l.batch = $2 AND l.ord = $3
		AND l.state <> 'done'
$$;
COMMENT ON FUNCTION exact._letter_of(text, bigint, int)
	IS 'Why a version is not delivered to a workspace: it was put aside; null: it was not';
REVOKE ALL ON FUNCTION exact._letter_of(text, bigint, int) FROM PUBLIC;

CREATE FUNCTION exact._by_key(e exact.entity_effective, key text) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT $2 IS NOT NULL
		AND ($1).method <> 'sync'
		AND ($1).plain_key IS NOT NULL
		AND (($1).method <> 'expanded' OR ($1).row_kind IS DISTINCT FROM 'line')
$$;
COMMENT ON FUNCTION exact._by_key(exact.entity_effective, text)
	IS 'Can a record of an entity be read whole by this key?';
REVOKE ALL ON FUNCTION exact._by_key(exact.entity_effective, text) FROM PUBLIC;

-- A record that can be read by its key alone is; else its whole feed is, once for all its letters.
CREATE FUNCTION exact._retry(letters bigint[]) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	n bigint;
BEGIN
	UPDATE exact.dead_letter AS l
	SET state = 'retry', decided_at = clock_timestamp(), decided_by = session_user, done_at = NULL
	WHERE l.id = ANY (letters);
	GET DIAGNOSTICS n = ROW_COUNT;
	PERFORM exact._want_keys(l.division, l.entity, array_agg(l.key), NULL, 'retried')
	FROM exact.dead_letter AS l
	JOIN exact.entity_effective AS e ON e.entity = l.entity
	WHERE l.id = ANY (letters) AND l.side = 'reading' AND exact._by_key(e, l.key)
	GROUP BY l.division, l.entity;
	PERFORM exact._read_from_start(f.division, f.feed, 'retry')
	FROM (
		SELECT DISTINCT l.division, coalesce(e.feed, l.entity) AS feed
		FROM exact.dead_letter AS l
		LEFT JOIN exact.entity_effective AS e ON e.entity = l.entity
		WHERE l.id = ANY (letters)
			AND l.side = 'reading'
			AND exact._by_key(e, l.key) IS NOT TRUE
	) AS f;
	PERFORM exact._wake('fetcher');
	PERFORM exact._wake('loader');
	RETURN n;
END
$$;
COMMENT ON FUNCTION exact._retry(bigint[])
	IS 'Has dead letters tried again: records read by their keys or their feeds from the start, '
		'versions delivered; returns how many';
REVOKE ALL ON FUNCTION exact._retry(bigint[]) FROM PUBLIC;

CREATE FUNCTION exact.retry(dead_letter_id bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	letter exact.dead_letter;
BEGIN
	SELECT * INTO letter FROM exact.dead_letter AS l WHERE l.id = dead_letter_id FOR UPDATE;
	IF letter.id IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'EX018',
			MESSAGE = format('there is no dead letter %s', coalesce(dead_letter_id::text, 'null')),
			HINT = 'SELECT id, division, entity, key, reason FROM exact.dead_letter '
				'WHERE state = ''dead''.';
	ELSIF letter.state = 'done' THEN
		RAISE EXCEPTION USING ERRCODE = 'EX018',
			MESSAGE = format('dead letter %s is done since %s', letter.id,
				exact._since(letter.done_at)),
			HINT = 'A good version came, or the record is gone, or it was delivered.';
	END IF;
	PERFORM exact._retry(ARRAY[dead_letter_id]);
	PERFORM exact._request_done('retry', letter.division, letter.entity, 'tried again',
		jsonb_build_object('dead_letter', letter.id));
END
$$;
COMMENT ON FUNCTION exact.retry(bigint)
	IS 'Tries a dead letter again. If it came from reading, its record is read by its key, or its '
		'feed from the start; if it came from a delivery, the version is delivered again. EX018: '
		'there is nothing to try';
REVOKE ALL ON FUNCTION exact.retry(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.retry(bigint) TO exact_operator;

CREATE FUNCTION exact.retry_all() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	letters bigint[];
	n bigint;
BEGIN
	SELECT array_agg(w.id)
	INTO letters
	FROM (
		SELECT l.id
		FROM exact.dead_letter AS l
		WHERE l.state IN ('dead', 'passed')
		ORDER BY l.id
		FOR UPDATE
	) AS w;
	n := exact._retry(letters);
	IF n > 0 THEN
		PERFORM exact._request_done('retry', NULL, NULL, format('%s tried again', n));
	END IF;
	RETURN n;
END
$$;
COMMENT ON FUNCTION exact.retry_all()
	IS 'Tries all dead letters again, as exact.retry() does with one. Returns their number';
REVOKE ALL ON FUNCTION exact.retry_all() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.retry_all() TO exact_operator;
