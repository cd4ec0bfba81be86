-- Changes of dimensions that somebody wants in Exact Online, and the calls that carry them there.

CREATE SEQUENCE exact.dimension_edit_id;
COMMENT ON SEQUENCE exact.dimension_edit_id
	IS 'Numbers of edits: changes of one record that were made together';
REVOKE ALL ON SEQUENCE exact.dimension_edit_id FROM PUBLIC;
GRANT SELECT, USAGE ON SEQUENCE exact.dimension_edit_id TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.dimension_edit_id', '');

CREATE SEQUENCE exact.dimension_write_id;
COMMENT ON SEQUENCE exact.dimension_write_id IS 'Ids of exact.dimension_write';
REVOKE ALL ON SEQUENCE exact.dimension_write_id FROM PUBLIC;
GRANT SELECT, USAGE ON SEQUENCE exact.dimension_write_id TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.dimension_write_id', '');

-- One call, and what became of it. Several changes of a record go in one call.
CREATE TABLE exact.dimension_write (
	id bigint PRIMARY KEY DEFAULT pg_catalog.nextval('exact.dimension_write_id'),
	division int NOT NULL,
	entity text NOT NULL CHECK (entity IN ('costcenter', 'costunit', 'glaccount')),
	key text,
	code text,
	method text NOT NULL CHECK (method IN ('POST', 'PUT')),
	body text,
	state text NOT NULL DEFAULT 'new' CHECK (state IN (
		'new', 'reading', 'ready', 'sent', 'look', 'looking', 'written', 'checking', 'ended')),
	outcome text CHECK (
		outcome IN ('done', 'refused', 'dropped', 'conflict', 'unknown', 'called back')),
	attempts int NOT NULL DEFAULT 0,
	looks int NOT NULL DEFAULT 0,
	asked_at timestamptz,
	asked bigint,
	sent_at timestamptz,
	answered boolean NOT NULL DEFAULT false,
	seen text,
	next_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	call bigint,
	status int,
	said text,
	made_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	ended_at timestamptz
);
COMMENT ON TABLE exact.dimension_write IS 'Calls that write a dimension to Exact Online';
COMMENT ON COLUMN exact.dimension_write.id IS 'Order';
COMMENT ON COLUMN exact.dimension_write.division IS 'Division';
COMMENT ON COLUMN exact.dimension_write.entity IS 'costcenter, costunit or glaccount';
COMMENT ON COLUMN exact.dimension_write.key IS 'Key of the record; null: it is not made yet';
COMMENT ON COLUMN exact.dimension_write.code IS 'Its code';
COMMENT ON COLUMN exact.dimension_write.method IS 'POST makes a record, PUT changes one';
COMMENT ON COLUMN exact.dimension_write.body IS 'JSON as it was sent last';
COMMENT ON COLUMN exact.dimension_write.state
	IS 'new; reading: the record is read before; ready; sent: its answer is awaited; look, '
		'looking: whether it was made is asked by its code; written, checking: the record is '
		'read after; ended';
COMMENT ON COLUMN exact.dimension_write.outcome
	IS 'done; refused: Exact Online says why in said; dropped: accepted and not changed; '
		'conflict: changed there meanwhile; unknown: no answer, several times; called back: '
		'decided otherwise';
COMMENT ON COLUMN exact.dimension_write.attempts IS 'How often it was sent';
COMMENT ON COLUMN exact.dimension_write.looks IS 'Readings since then that did not show it';
COMMENT ON COLUMN exact.dimension_write.asked_at IS 'When the reading was asked for';
COMMENT ON COLUMN exact.dimension_write.asked IS 'Request of that reading; null: by key';
COMMENT ON COLUMN exact.dimension_write.sent_at IS 'When it was sent last';
COMMENT ON COLUMN exact.dimension_write.answered IS 'Exact Online has accepted it';
COMMENT ON COLUMN exact.dimension_write.seen IS 'Modified of the record as it was read before';
COMMENT ON COLUMN exact.dimension_write.next_at IS 'Not before';
COMMENT ON COLUMN exact.dimension_write.call IS 'Call: exact.api_call.id';
COMMENT ON COLUMN exact.dimension_write.status IS 'HTTP status of its answer';
COMMENT ON COLUMN exact.dimension_write.said IS 'What Exact Online said, in full';
COMMENT ON COLUMN exact.dimension_write.made_at IS 'When it was made';
COMMENT ON COLUMN exact.dimension_write.ended_at IS 'When it ended';
CREATE INDEX dimension_write_open ON exact.dimension_write (division, next_at)
	WHERE state <> 'ended';
COMMENT ON INDEX exact.dimension_write_open IS 'Writes that have not ended';
CREATE UNIQUE INDEX dimension_write_one ON exact.dimension_write (division, entity, key)
	WHERE state <> 'ended' AND key IS NOT NULL;
COMMENT ON INDEX exact.dimension_write_one IS 'A record is written by one call at a time';
REVOKE ALL ON TABLE exact.dimension_write FROM PUBLIC;
GRANT SELECT ON TABLE exact.dimension_write TO exact_reader;
GRANT SELECT, INSERT, UPDATE ON TABLE exact.dimension_write TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.dimension_write', '');

CREATE TABLE exact.dimension_change (
	id bigint PRIMARY KEY DEFAULT pg_catalog.nextval('exact.change_id'),
	edit bigint NOT NULL,
	workspace text,
	division int,
	entity text NOT NULL,
	key text,
	code text,
	kind text NOT NULL CHECK (kind IN ('new', 'update', 'end', 'gone')),
	side text NOT NULL CHECK (side IN ('hub', 'delta')),
	who text NOT NULL,
	field text,
	old text,
	exact text,
	delta text,
	hub text,
	wanted text,
	decision text,
	state text NOT NULL CHECK (state IN ('shown', 'proposed', 'conflict', 'approved', 'done',
		'refused', 'dropped', 'rejected', 'lost')),
	reason text,
	write bigint,
	call bigint,
	found_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	decided_by text,
	decided_at timestamptz,
	ended_at timestamptz,
	-- what a person is asked about goes nowhere meanwhile
	CHECK (write IS NULL OR state NOT IN ('shown', 'proposed', 'conflict'))
);
COMMENT ON TABLE exact.dimension_change
	IS 'Every edit of a dimension that was made in the hub or in Delta, a row for each field: what '
		'it was, what each side has, what was decided and what became of it';
COMMENT ON COLUMN exact.dimension_change.id IS 'For exact.approve() and exact.reject()';
COMMENT ON COLUMN exact.dimension_change.edit IS 'The same number: fields edited together';
COMMENT ON COLUMN exact.dimension_change.workspace IS 'Workspace of the division';
COMMENT ON COLUMN exact.dimension_change.division IS 'Division';
COMMENT ON COLUMN exact.dimension_change.entity IS 'costcenter, costunit or glaccount';
COMMENT ON COLUMN exact.dimension_change.key IS 'Key of the record; null: it is not made yet';
COMMENT ON COLUMN exact.dimension_change.code IS 'Its code';
COMMENT ON COLUMN exact.dimension_change.kind
	IS 'new; update; end: end date or block instead of a delete; gone: its row was deleted in '
		'Delta';
COMMENT ON COLUMN exact.dimension_change.side IS 'Where it was edited: hub or delta';
COMMENT ON COLUMN exact.dimension_change.who
	IS 'Role that edited it here; for an edit in Delta the workspace, whose history of the table '
		'names the user';
COMMENT ON COLUMN exact.dimension_change.field IS 'Field; null: a whole new record';
COMMENT ON COLUMN exact.dimension_change.old IS 'Value that the edit began with';
COMMENT ON COLUMN exact.dimension_change.exact IS 'Value in Exact Online when it was found';
COMMENT ON COLUMN exact.dimension_change.delta IS 'Value in Delta then; null: not edited there';
COMMENT ON COLUMN exact.dimension_change.hub IS 'Value asked for in the hub; null: not there';
COMMENT ON COLUMN exact.dimension_change.wanted IS 'Value that Exact Online is to have';
COMMENT ON COLUMN exact.dimension_change.decision
	IS 'auto, approved, rejected; exact wins, delta wins or ask for an edit on two sides; '
		'many: more than 20 and 5 % of a table at once';
COMMENT ON COLUMN exact.dimension_change.state
	IS 'shown (write_back is off), proposed (waits for exact.approve), conflict (waits too), '
		'approved (on its way), done, refused, dropped (accepted and not changed), rejected, lost '
		'(the other side''s value stays)';
COMMENT ON COLUMN exact.dimension_change.reason IS 'Why';
COMMENT ON COLUMN exact.dimension_change.write IS 'Call that carries it: exact.dimension_write.id';
COMMENT ON COLUMN exact.dimension_change.call IS 'Its last call: exact.api_call.id';
COMMENT ON COLUMN exact.dimension_change.found_at IS 'When the edit was made or found';
COMMENT ON COLUMN exact.dimension_change.decided_by IS 'Role that decided; null: the rule did';
COMMENT ON COLUMN exact.dimension_change.decided_at IS 'When';
COMMENT ON COLUMN exact.dimension_change.ended_at IS 'When it ended';
CREATE INDEX dimension_change_open ON exact.dimension_change (division, entity, key)
	WHERE state IN ('shown', 'proposed', 'conflict', 'approved');
COMMENT ON INDEX exact.dimension_change_open IS 'Changes that have not ended';
CREATE INDEX dimension_change_write ON exact.dimension_change (write) WHERE write IS NOT NULL;
COMMENT ON INDEX exact.dimension_change_write IS 'Changes of a write';
CREATE INDEX dimension_change_new ON exact.dimension_change (division, entity, exact._folded(code))
	WHERE kind = 'new' AND state IN ('shown', 'proposed', 'conflict', 'approved');
COMMENT ON INDEX exact.dimension_change_new IS 'New records that are not made yet';
CREATE INDEX dimension_change_next ON exact.dimension_change (division, entity, id)
	WHERE state = 'approved' AND write IS NULL;
COMMENT ON INDEX exact.dimension_change_next IS 'Approved changes that no call carries yet';
CREATE INDEX dimension_change_record ON exact.dimension_change (division, entity, key);
COMMENT ON INDEX exact.dimension_change_record IS 'Changes of a record';
CREATE INDEX dimension_change_edit ON exact.dimension_change (edit);
COMMENT ON INDEX exact.dimension_change_edit IS 'Changes of an edit';
REVOKE ALL ON TABLE exact.dimension_change FROM PUBLIC;
GRANT SELECT ON TABLE exact.dimension_change TO exact_reader;
GRANT SELECT, INSERT, UPDATE ON TABLE exact.dimension_change TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.dimension_change', '');

CREATE TABLE exact.dimension_known (
	division int,
	entity text,
	key text,
	hash text NOT NULL,
	code text,
	seen_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	reading bigint NOT NULL DEFAULT 0,
	PRIMARY KEY (entity, division, key)
);
COMMENT ON TABLE exact.dimension_known
	IS 'Edited rows of Delta that were read and judged: a delivery may write over this content, '
		'and over no other edit';
COMMENT ON COLUMN exact.dimension_known.division IS 'Division; 0: the row names none';
COMMENT ON COLUMN exact.dimension_known.entity IS 'Entity';
COMMENT ON COLUMN exact.dimension_known.key
	IS '_key of the row; one without _key: new: and a digest of it';
COMMENT ON COLUMN exact.dimension_known.hash
	IS 'Hash of its columns, as Delta computes _hash; held: a version is held back by an edit that '
		'is not read yet';
COMMENT ON COLUMN exact.dimension_known.code
	IS 'Of a row without _key: its code in lower case; null: the row has a _key';
COMMENT ON COLUMN exact.dimension_known.seen_at IS 'When it was read last';
COMMENT ON COLUMN exact.dimension_known.reading
	IS 'The last reading that has met it; 0: none yet';
CREATE INDEX dimension_known_code ON exact.dimension_known (entity, division, code)
	WHERE code IS NOT NULL;
COMMENT ON INDEX exact.dimension_known_code IS 'Rows without _key by their code';
REVOKE ALL ON TABLE exact.dimension_known FROM PUBLIC;
GRANT SELECT ON TABLE exact.dimension_known TO exact_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE exact.dimension_known TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.dimension_known', '');

CREATE TABLE exact.dimension_again (
	division int,
	entity text,
	key text,
	since timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	stage boolean NOT NULL DEFAULT true,
	PRIMARY KEY (division, entity, key)
);
COMMENT ON TABLE exact.dimension_again
	IS 'Records that the fetcher stages once more, so that Delta gets them again, and records '
		'that their table in the hub does not show yet';
COMMENT ON COLUMN exact.dimension_again.division IS 'Division';
COMMENT ON COLUMN exact.dimension_again.entity IS 'Entity';
COMMENT ON COLUMN exact.dimension_again.key IS 'Key of the record';
COMMENT ON COLUMN exact.dimension_again.since IS 'Since when';
COMMENT ON COLUMN exact.dimension_again.stage
	IS 'false: it is staged, and its table here takes it when the session that holds its row ends';
REVOKE ALL ON TABLE exact.dimension_again FROM PUBLIC;
GRANT SELECT ON TABLE exact.dimension_again TO exact_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE exact.dimension_again TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.dimension_again', '');

CREATE FUNCTION exact._dimension_again(division int, entity text, keys text[]) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	INSERT INTO exact.dimension_again AS a (division, entity, key)
	SELECT DISTINCT $1, $2, k.key FROM unnest($3) AS k (key) WHERE k.key IS NOT NULL
	ON CONFLICT ON CONSTRAINT dimension_again_pkey DO UPDATE SET stage = true WHERE NOT a.stage;
	SELECT exact._wake('fetcher');
$$;
COMMENT ON FUNCTION exact._dimension_again(int, text, text[])
	IS 'Has the fetcher stage these records once more as they are';
REVOKE ALL ON FUNCTION exact._dimension_again(int, text, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._dimension_again(int, text, text[]) TO exact_worker;

-- ---- values ----

-- Where the books are kept: neither where the hub runs nor where the editor sits.
CREATE FUNCTION exact._dimension_today(division int) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT to_char(now() AT TIME ZONE
		CASE WHEN EXISTS (SELECT FROM exact.division AS d JOIN exact.app AS a ON a.name = d.app
				WHERE d.division = $1 AND a.region = 'uk')
			THEN 'Europe/London'
			ELSE 'Europe/Amsterdam'
		END, 'YYYY-MM-DD')
$$;
COMMENT ON FUNCTION exact._dimension_today(int) IS 'The day that it is in a division';
REVOKE ALL ON FUNCTION exact._dimension_today(int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._dimension_today(int) TO exact_worker;

-- It ends today, unless it has ended before.
CREATE FUNCTION exact._dimension_end(division int, enddate text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT least(exact._dimension_today($1), left($2, 10))
$$;
COMMENT ON FUNCTION exact._dimension_end(int, text)
	IS 'End date of a cost center or cost unit that somebody deletes; enddate: the one it has';
REVOKE ALL ON FUNCTION exact._dimension_end(int, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._dimension_end(int, text) TO exact_worker;

-- A text that is no value of its type is null: one odd field stops no record.
CREATE FUNCTION exact._dimension_content(entity text, payload text) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN (
		SELECT jsonb_object_agg(lower(f.name), CASE
			WHEN f.edm_type = 'Edm.DateTime' AND v.text ~ E'^/Date\\(-?\\d{1,14}\\)/$' THEN
				to_jsonb(timestamp '1970-01-01'
					+ substring(v.text FROM E'-?\\d+')::bigint * interval '1 ms')
			WHEN f.edm_type = 'Edm.DateTime' AND v.text !~ E'^\\d{4}-\\d\\d-\\d\\d' THEN NULL
			WHEN f.edm_type = 'Edm.Guid'
				AND v.text !~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN NULL
			WHEN f.target_type IN ('INT', 'BIGINT') AND v.text !~ E'^-?\\d{1,9}$' THEN NULL
			WHEN f.target_type LIKE 'DECIMAL%'
				AND v.text !~ E'^-?\\d{1,18}(\\.\\d{1,40})?([eE][-+]?\\d{1,2})?$' THEN NULL
			WHEN f.target_type = 'BOOLEAN' AND v.text NOT IN ('true', 'false') THEN NULL
			WHEN f.padded THEN to_jsonb(btrim(v.text))
			ELSE to_jsonb(v.text)
		END)
		FROM exact.catalogue_field AS f
		LEFT JOIN json_each(replace(payload, E'\\u0000', E'\\ufffd')::json) AS j
			ON j.key = f.source_field
		LEFT JOIN LATERAL (SELECT j.value #>> '{}' AS text) AS v ON true
		WHERE f.entity = $1 AND f.target_type IS NOT NULL);
EXCEPTION WHEN data_exception THEN
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION exact._dimension_content(text, text)
	IS 'A record as received as an object of the columns of its table; null: it cannot be read';
REVOKE ALL ON FUNCTION exact._dimension_content(text, text) FROM PUBLIC;

CREATE FUNCTION exact._dimension_table(entity text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE $1
		WHEN 'costcenter' THEN 'cost_center'
		WHEN 'costunit' THEN 'cost_unit'
		WHEN 'glaccount' THEN 'gl_account'
	END
$$;
COMMENT ON FUNCTION exact._dimension_table(text) IS 'Table of a dimension; null: it is none';
REVOKE ALL ON FUNCTION exact._dimension_table(text) FROM PUBLIC;

CREATE FUNCTION exact._dimension_row(division int, entity text, key text) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found_row jsonb;
BEGIN
	IF key !~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN
		RETURN NULL;
	END IF;
	EXECUTE format('SELECT to_jsonb(t) FROM exact.%I AS t WHERE t.division = $1 AND t.id = $2',
		exact._dimension_table(entity))
	INTO found_row USING division, key::uuid;
	RETURN found_row;
END
$$;
COMMENT ON FUNCTION exact._dimension_row(int, text, text)
	IS 'A row of a dimension as an object; null: there is none';
REVOKE ALL ON FUNCTION exact._dimension_row(int, text, text) FROM PUBLIC;

-- '' and nothing are the same to Exact Online, blanks at the end are none, and a Guid is one in
-- capitals, too.
CREATE FUNCTION exact._dimension_same(target_type text, a text, b text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF nullif(rtrim(a), '') IS NOT DISTINCT FROM nullif(rtrim(b), '') THEN
		RETURN true;
	ELSIF a IS NULL OR b IS NULL OR target_type IN ('STRING', 'BOOLEAN') THEN
		RETURN coalesce(lower(a) = lower(b) AND (target_type = 'BOOLEAN'
			OR a ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'), false);
	ELSIF target_type LIKE 'DECIMAL%' OR target_type IN ('INT', 'BIGINT') THEN
		RETURN a::numeric = b::numeric;
	END IF;
	RETURN a::timestamp = b::timestamp;
EXCEPTION WHEN data_exception THEN
	RETURN false;
END
$$;
COMMENT ON FUNCTION exact._dimension_same(text, text, text)
	IS 'Whether two texts are the same value of a column of Delta';
REVOKE ALL ON FUNCTION exact._dimension_same(text, text, text) FROM PUBLIC;

-- A character beyond the first 65,536, such as an emoji, is two there.
CREATE FUNCTION exact._dimension_length(value text) RETURNS int
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT length($1) + length(regexp_replace($1, E'[\\u0001-\\uffff]', '', 'g'))
$$;
COMMENT ON FUNCTION exact._dimension_length(text) IS 'Length of a text as Exact Online counts it';
REVOKE ALL ON FUNCTION exact._dimension_length(text) FROM PUBLIC;

-- What would be refused is told before a call is spent.
CREATE FUNCTION exact._dimension_problem(entity text, field text, kind text, wanted text)
RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	f record;
	what text := CASE entity WHEN 'costcenter' THEN 'a cost center' WHEN 'costunit'
		THEN 'a cost unit' ELSE 'a GL account' END;
BEGIN
	SELECT * INTO f FROM exact._dimension_field AS d
	WHERE d.entity = $1 AND lower(d.name) = lower(field);
	IF f.name IS NULL THEN
		RETURN format('Exact Online keeps %s of %s itself: it cannot be written', field, what);
	ELSIF f.once AND kind <> 'new' THEN
		RETURN format('Exact Online cannot change the code of %s: make one with the new code and '
			'end this one, or have it recoded in Exact Online', what);
	ELSIF f.mandatory AND btrim(coalesce(wanted, '')) = '' THEN
		RETURN format('%s of %s must not be empty', f.name, what);
	ELSIF exact._dimension_length(rtrim(wanted)) > f.most THEN
		RETURN format('%s of %s has at most %s characters, %s has %s', f.name, what, f.most,
			quote_literal(left(wanted, 80)), exact._dimension_length(rtrim(wanted)));
	ELSIF exact._dimension_value(f.edm_type, f.target_type, wanted) IS NULL THEN
		RETURN format('%s is no value of %s', quote_literal(left(wanted, 80)), f.name);
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION exact._dimension_problem(text, text, text, text)
	IS 'Why Exact Online would not take a value; null: nothing is known against it';
REVOKE ALL ON FUNCTION exact._dimension_problem(text, text, text, text) FROM PUBLIC;

-- As Exact Online takes it: a date without a time and without a zone, of the years that it knows.
CREATE FUNCTION exact._dimension_value(edm_type text, target_type text, wanted text) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF wanted IS NULL OR (wanted = '' AND target_type <> 'STRING') THEN
		RETURN 'null';
	END IF;
	RETURN CASE
		WHEN edm_type = 'Edm.Guid' THEN CASE
			WHEN wanted = '' THEN 'null'
			WHEN wanted ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
				THEN to_jsonb(lower(wanted))
		END
		WHEN target_type = 'BOOLEAN' THEN to_jsonb(wanted::boolean)
		WHEN target_type LIKE 'DECIMAL%' THEN CASE
			WHEN wanted::numeric NOT IN ('NaN', 'Infinity', '-Infinity')
				THEN to_jsonb(trim_scale(wanted::numeric))
		END
		WHEN edm_type = 'Edm.Byte' AND wanted::bigint NOT BETWEEN 0 AND 255 THEN NULL
		WHEN edm_type = 'Edm.Int16' THEN to_jsonb(wanted::smallint)
		WHEN target_type = 'INT' THEN to_jsonb(wanted::int)
		WHEN target_type = 'BIGINT' THEN to_jsonb(wanted::bigint)
		WHEN target_type = 'STRING' THEN to_jsonb(rtrim(wanted))
		WHEN wanted !~ E'^\\d{4}-\\d\\d-\\d\\d' OR wanted::timestamp
			NOT BETWEEN '1753-01-01' AND '9999-12-31 23:59:59' THEN NULL
		WHEN target_type = 'DATE' THEN to_jsonb(to_char(wanted::date, 'YYYY-MM-DD'))
		ELSE to_jsonb(to_char(wanted::timestamp, 'YYYY-MM-DD"T"HH24:MI:SS'))
	END;
EXCEPTION WHEN data_exception THEN
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION exact._dimension_value(text, text, text)
	IS 'A value as JSON for Exact Online; null: the text is no value of the type';
REVOKE ALL ON FUNCTION exact._dimension_value(text, text, text) FROM PUBLIC;

CREATE FUNCTION exact._dimension_body(entity text, fields text[], wanted text[]) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT '{' || string_agg(to_json(f.name)::text || ':'
		|| coalesce(exact._dimension_value(f.edm_type, f.target_type, w.wanted), 'null')::text, ','
		ORDER BY f.ordinal) || '}'
	FROM unnest($2, $3) AS w (field, wanted)
	JOIN exact._dimension_field AS f ON f.entity = $1 AND lower(f.name) = lower(w.field)
$$;
COMMENT ON FUNCTION exact._dimension_body(text, text[], text[])
	IS 'The JSON object that a call carries: these fields and no other';
REVOKE ALL ON FUNCTION exact._dimension_body(text, text[], text[]) FROM PUBLIC;

CREATE FUNCTION exact._dimension_resource(entity text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE $1
		WHEN 'costcenter' THEN 'hrm/Costcenters'
		WHEN 'costunit' THEN 'hrm/Costunits'
		WHEN 'glaccount' THEN 'financial/GLAccounts'
	END
$$;
COMMENT ON FUNCTION exact._dimension_resource(text)
	IS 'Where a dimension is written: the only three';
REVOKE ALL ON FUNCTION exact._dimension_resource(text) FROM PUBLIC;
