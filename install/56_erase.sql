-- exact.erase(): the content of a record is removed, from the hub at once, from the Delta tables of
-- each workspace as soon as that can be reached; the evidence that it was there stays.

CREATE FUNCTION exact._may_be_erased(entity text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT bool_or(c.personnel
		OR coalesce(c.plain_resource, c.resource) ~ E'^(crm/(Accounts|Addresses|BankAccounts|'
			'Contacts)|activities/|mailbox/|users/|system/Users$|accountancy/(Account|Involved))')
	FROM exact.catalogue AS c
	WHERE c.entity = $1
$$;
COMMENT ON FUNCTION exact._may_be_erased(text)
	IS 'Are records of this entity about a person, and no record of the books? Personnel, '
		'accounts, contacts, addresses, bank accounts, users, activities, mail';
REVOKE ALL ON FUNCTION exact._may_be_erased(text) FROM PUBLIC;

CREATE FUNCTION exact._modified_of(payload text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT substring($1 FROM '"Modified"[[:space:]]*:[[:space:]]*"([^"]{1,64})"')
$$;
COMMENT ON FUNCTION exact._modified_of(text)
	IS 'Modified of a record as received; null: it has none';
REVOKE ALL ON FUNCTION exact._modified_of(text) FROM PUBLIC;

-- A record that lives on in Exact Online is read again and again. What it has now counts once it
-- differs from what was erased; Modified tells even when another set of fields is read.
CREATE FUNCTION exact._came_back(erasure bigint, payload text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce((
		SELECT e.modified IS DISTINCT FROM exact._modified_of($2)
		FROM exact.erasure AS e
		WHERE e.id = $1 AND e.modified IS NOT NULL), true)
$$;
COMMENT ON FUNCTION exact._came_back(bigint, text)
	IS 'Was an erased record changed in Exact Online since? Of one without Modified its hash tells';
REVOKE ALL ON FUNCTION exact._came_back(bigint, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._came_back(bigint, text), exact._modified_of(text)
	TO exact_worker;

-- What names a person is not to stand in the audit log for good.
CREATE FUNCTION exact._named_in(content text, text text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN (
		SELECT min(j.key)
		FROM json_each_text(content::json) AS j
		WHERE j.key ~ '(Name|Initial|Mail|Phone|Mobile|Fax|Street|Address|City|Postcode|Birth|'
				'IBAN|BankAccount|SocialSecurity|VATNumber|Chamber|^Code$|SearchCode)'
			AND length(btrim(j.value)) >= 3
			AND strpos(lower(text), lower(btrim(j.value))) > 0);
EXCEPTION WHEN data_exception THEN
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION exact._named_in(text, text)
	IS 'A field of a record whose value stands in a text; null: none does';
REVOKE ALL ON FUNCTION exact._named_in(text, text) FROM PUBLIC;

-- The Delta tables that may hold it: of the workspace that the division has now, or had before.
CREATE FUNCTION exact._erase_places(division int, entity text)
RETURNS SETOF exact.target_state
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT t.*
	FROM exact.target_state AS t
	WHERE t.entity = $2 AND t.created_at IS NOT NULL
		AND (EXISTS (SELECT FROM exact.division AS d
				WHERE d.division = $1 AND d.workspace = t.workspace)
			OR EXISTS (SELECT FROM exact.batch AS b
				WHERE b.entity = $2 AND b.division = $1 AND b.workspace = t.workspace)
			OR EXISTS (SELECT FROM exact.audit_log AS l
				WHERE l.chain = 'sql' AND l.what ->> 'table' = 'division'
					AND l.what -> 'row' ->> 'division' = $1::text
					AND t.workspace IN (l.what -> 'row' ->> 'workspace',
						l.what -> 'before' ->> 'workspace')))
	ORDER BY t.workspace
$$;
COMMENT ON FUNCTION exact._erase_places(int, text)
	IS 'The Delta tables of an entity that may hold records of a division';
REVOKE ALL ON FUNCTION exact._erase_places(int, text) FROM PUBLIC;

CREATE FUNCTION exact.erase(division int, entity text, key text, reason text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	name text := exact._one_entity(entity);
	wanted text := lower(btrim(key));
	why text := btrim(reason);
	r exact.record;
	named text;
	tables text;
	found_id bigint;
BEGIN
	PERFORM exact._require_division(division);
	IF name IS NULL THEN
		PERFORM exact._refuse_entity(entity);
	ELSIF coalesce(why, '') = '' OR length(why) > 500 THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = 'the reason is missing or has more than 500 characters',
			HINT = 'The reason stays in the audit log: the number of the case, and no name.';
	ELSIF NOT coalesce(exact._may_be_erased(name), false) THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('records of %s are not erased', name),
			DETAIL = 'exact.erase() is for records about a person: personnel, accounts, contacts, '
				'addresses, bank accounts, users, activities, mail. The others belong to the '
				'books, which the law wants kept for years, and totals would not agree without '
				'them.',
			HINT = 'Change such a record in Exact Online; the hub follows.';
	END IF;
	SELECT * INTO r
	FROM exact.record AS x
	WHERE x.division = erase.division AND x.entity = name AND x.key = wanted;
	IF r.key IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'EX018',
			MESSAGE = format('the hub has no record of %s with this key in division %s', name,
				erase.division),
			HINT = 'exact.erase() takes the key and nothing else: SELECT * FROM '
				'exact.find(division, text) finds it.';
	ELSIF NOT exact._is_guid(wanted) THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('the key of this record of %s is no Guid', name),
			DETAIL = 'The key of an erased record stays in the audit log.',
			HINT = 'Erase it in Exact Online.';
	END IF;
	named := exact._named_in(exact._content(r.slot, r.batch, r.ord), why);
	IF named IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021',
			MESSAGE = format('the reason holds the value of field %s of the record', named),
			HINT = 'The reason stays in the audit log: the number of the case, and no name.';
	END IF;
	SELECT q.id
	INTO found_id
	FROM exact.request AS q
	WHERE q.kind = 'erase' AND q.state IN ('queued', 'running') AND NOT q.cancel_wanted
		AND q.division = erase.division AND q.entity = name AND q.args ->> 'key' = wanted
	ORDER BY q.id
	LIMIT 1;
	IF found_id IS NULL THEN
		INSERT INTO exact.request (kind, division, entity, args)
		VALUES ('erase', erase.division, name, jsonb_build_object('key', wanted, 'reason', why))
		RETURNING id INTO found_id;
	END IF;
	PERFORM exact._wake('loader');
	tables := (SELECT string_agg(format('%s and %s (workspace %s)', t.table_name, t.history_name,
		t.workspace), ', ') FROM exact._erase_places(division, name) AS t);
	RAISE NOTICE USING
		MESSAGE = format('request %s removes record %s of %s in division %s for good from the '
			'hub%s', found_id, wanted, name, erase.division, coalesce(', ' || tables, '')),
		DETAIL = concat(CASE
				WHEN NOT r.deleted THEN 'The record is still in Exact Online: its next change '
					'there brings it back. Delete or anonymise it there first. '
			END, 'What other records say about it stays: invoices, entries, records below it. '
			'It cannot be undone. Time travel in Delta and backups of this database still have it '
			'for a while.'),
		HINT = format('After COMMIT: SELECT exact.wait(%s); SELECT * FROM exact.erasures.',
			found_id);
	RETURN found_id;
END
$$;
COMMENT ON FUNCTION exact.erase(int, text, text, text)
	IS 'Removes the content of a record about a person, by its key, from the hub, from both Delta '
		'tables of each workspace that may have it and from the volume, and keeps the evidence '
		'that it was there: exact.erasures, exact.audit_log. It cannot be undone. Only a later '
		'change in Exact Online brings the record back. The reason stays in the audit log. '
		'Returns the request''s id, for exact.wait() and exact.cancel(). EX021: the entity '
		'belongs to the books, or the reason names the person; EX018: there is no such record';
REVOKE ALL ON FUNCTION exact.erase(int, text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.erase(int, text, text, text) TO exact_admin;

-- ---- what the loader does ----

-- Slots are written once and never vacuumed; of one that is not so any more, what was removed is to
-- leave the disk.
CREATE FUNCTION exact._vacuum_slot(slot smallint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	EXECUTE format('ALTER TABLE exact.%I SET (autovacuum_enabled = on, '
		'autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0, '
		'toast.autovacuum_enabled = on, toast.autovacuum_vacuum_threshold = 0, '
		'toast.autovacuum_vacuum_scale_factor = 0)', 'stage_' || lpad($1::text, 2, '0'));
END
$$;
COMMENT ON FUNCTION exact._vacuum_slot(smallint)
	IS 'Has autovacuum look after a slot in which versions were erased';
REVOKE ALL ON FUNCTION exact._vacuum_slot(smallint) FROM PUBLIC;

CREATE FUNCTION exact._erase_versions(r exact.record, OUT versions int, OUT seq bigint,
	OUT digest bytea)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET jit = off
AS $$
DECLARE
	v record;
	hashes bytea := ''::bytea;
	slots smallint[] := '{}';
BEGIN
	versions := 0;
	seq := r.seq;
	FOR v IN
		SELECT s.*
		FROM exact.batch AS b
		CROSS JOIN LATERAL (
			SELECT x.slot, x.batch, x.ord, x.seq, x.op, x.hash, octet_length(x.payload) AS bytes
			FROM exact.stage AS x
			WHERE x.slot = b.slot AND x.batch = b.id AND x.key = r.key
			OFFSET 0) AS s
		WHERE b.division = r.division AND b.entity = r.entity
		ORDER BY s.seq
	LOOP
		seq := greatest(seq, v.seq);
		CONTINUE WHEN v.op = 'E';
		UPDATE exact.stage AS s SET op = 'E', payload = NULL
		WHERE s.slot = v.slot AND s.batch = v.batch AND s.ord = v.ord;
		UPDATE exact.batch AS b
		SET erased = b.erased + 1, bytes = greatest(b.bytes - coalesce(v.bytes, 0), 0)
		WHERE b.id = v.batch;
		versions := versions + 1;
		hashes := hashes || coalesce(v.hash, ''::bytea);
		IF v.slot <> ALL (slots) THEN
			slots := slots || v.slot;
		END IF;
	END LOOP;
	PERFORM exact._vacuum_slot(s) FROM unnest(slots) AS s;
	digest := sha256(hashes);
END
$$;
COMMENT ON FUNCTION exact._erase_versions(exact.record)
	IS 'Removes the content of all versions of a record; the versions stay, with their hashes';
REVOKE ALL ON FUNCTION exact._erase_versions(exact.record) FROM PUBLIC;

CREATE FUNCTION exact._erase_hub(request bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	q exact.request;
	r exact.record;
	modified text;
	done record;
	n int;
BEGIN
	UPDATE exact.request AS x
	SET state = 'running', started_at = coalesce(x.started_at, clock_timestamp())
	WHERE x.id = $1 AND x.kind = 'erase' AND x.state IN ('queued', 'running')
	RETURNING x.* INTO q;
	SELECT * INTO r
	FROM exact.record AS x
	WHERE x.division = q.division AND x.entity = q.entity AND x.key = q.args ->> 'key'
	FOR UPDATE;
	IF r.key IS NULL OR EXISTS (SELECT FROM exact.erasure AS e WHERE e.id = q.id)
			OR NOT coalesce(exact._may_be_erased(q.entity), false) THEN
		RETURN;
	END IF;
	-- of a record that was erased before, what was known of it then
	modified := coalesce(exact._modified_of(exact._content(r.slot, r.batch, r.ord)),
		(SELECT e.modified FROM exact.erasure AS e WHERE e.id = r.erased));
	done := exact._erase_versions(r);
	UPDATE exact.dead_letter AS l
	SET payload = NULL, state = 'done', done_at = coalesce(l.done_at, clock_timestamp())
	WHERE l.division = r.division AND l.entity = r.entity
		AND (l.key = r.key OR (l.side = 'reading' AND strpos(lower(l.payload), r.key) > 0));
	GET DIAGNOSTICS n = ROW_COUNT;
	UPDATE exact.record AS x SET erased = q.id
	WHERE x.division = r.division AND x.entity = r.entity AND x.key = r.key;
	INSERT INTO exact.erasure
		(id, division, entity, key, who, reason, seq, versions, letters, digest, modified)
	VALUES (q.id, q.division, q.entity, r.key, q.made_by, q.args ->> 'reason', done.seq,
		done.versions, n, done.digest, modified);
	INSERT INTO exact.erasure_place (erasure, workspace, division, current_name, history_name)
	SELECT q.id, t.workspace, q.division, t.table_name, t.history_name
	FROM exact._erase_places(q.division, q.entity) AS t;
	PERFORM exact._audit('loader', 'erasure', q.division, q.entity, jsonb_build_object(
		'request', q.id, 'event', 'removed from the hub', 'key', r.key, 'seq', done.seq,
		'versions', done.versions, 'dead_letters', n, 'digest', encode(done.digest, 'hex'),
		'reason', q.args ->> 'reason'), q.made_by);
END
$$;
COMMENT ON FUNCTION exact._erase_hub(bigint)
	IS 'For the loader, while nothing of the entity''s tables is under way: removes the record of '
		'a request of exact.erase() from the hub, and notes where else it may be';
REVOKE ALL ON FUNCTION exact._erase_hub(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._erase_hub(bigint) TO exact_worker;

CREATE FUNCTION exact._erase_open() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT EXISTS (SELECT FROM exact.request AS q
		WHERE q.kind = 'erase' AND q.state IN ('queued', 'running'))
$$;
COMMENT ON FUNCTION exact._erase_open() IS 'Is a request of exact.erase() not done?';
REVOKE ALL ON FUNCTION exact._erase_open() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._erase_open() TO exact_worker;

CREATE FUNCTION exact._erase_due(OUT what text, OUT id bigint, OUT division int, OUT entity text,
	OUT workspace text, OUT parameter text)
RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN q.cancel_wanted THEN 'cancel' ELSE 'hub' END, q.id, q.division, q.entity,
		NULL::text, NULL::text
	FROM exact.request AS q
	WHERE q.kind = 'erase' AND q.state IN ('queued', 'running')
		AND (q.cancel_wanted OR NOT EXISTS (SELECT FROM exact.erasure AS e WHERE e.id = q.id))
	UNION ALL
	-- a version that came later stays, and only a later one is spared
	(SELECT CASE WHEN p.gone_at IS NULL THEN 'delta' ELSE 'vacuum' END, e.id, e.division, e.entity,
		p.workspace, json_build_array(json_build_object('_division', e.division::text,
			'_key', e.key, '_seq', CASE
				WHEN r.erased IS NULL THEN e.seq
				ELSE 9223372036854775807
			END::text))::text
	FROM exact.erasure_place AS p
	JOIN exact.erasure AS e ON e.id = p.erasure
	LEFT JOIN exact.record AS r
		ON r.division = e.division AND r.entity = e.entity AND r.key = e.key
	LEFT JOIN exact.request AS q ON q.id = e.id
	WHERE p.next_at <= clock_timestamp()
		AND CASE
			WHEN p.gone_at IS NULL THEN q.state = 'running' AND NOT q.cancel_wanted
			ELSE p.vacuumed_at IS NULL AND p.vacuum_at <= clock_timestamp()
		END
	ORDER BY p.gone_at IS NOT NULL, p.next_at, e.id)
$$;
COMMENT ON FUNCTION exact._erase_due()
	IS 'What the loader is to do of erasures now: cancel, hub, delta or vacuum, with the row that '
		'its statements take';
REVOKE ALL ON FUNCTION exact._erase_due() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._erase_due() TO exact_worker;

CREATE FUNCTION exact._erase_begin(erasure bigint, workspace text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	UPDATE exact.erasure_place AS p SET begun = p.begun + 1
	WHERE p.erasure = $1 AND p.workspace = $2 AND p.gone_at IS NULL
$$;
COMMENT ON FUNCTION exact._erase_begin(bigint, text)
	IS 'For the loader: an erasure begins in a workspace';
REVOKE ALL ON FUNCTION exact._erase_begin(bigint, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._erase_begin(bigint, text) TO exact_worker;

CREATE FUNCTION exact._erase_delayed(erasure bigint, workspace text, reason text, next_step text)
RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	UPDATE exact.erasure_place AS p SET reason = $3, next_step = $4
	WHERE p.erasure = $1 AND p.workspace = $2
$$;
COMMENT ON FUNCTION exact._erase_delayed(bigint, text, text, text)
	IS 'For the loader: what an erasure waits for in a workspace while it is under way';
REVOKE ALL ON FUNCTION exact._erase_delayed(bigint, text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._erase_delayed(bigint, text, text, text) TO exact_worker;

CREATE FUNCTION exact._erase_waits(erasure bigint, workspace text, reason text, next_step text)
RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	UPDATE exact.erasure_place AS p
	SET attempts = p.attempts + 1, reason = $3, next_step = $4,
		next_at = clock_timestamp() + least(10 * 2 ^ least(p.attempts, 10), 3600) * interval '1 s'
	WHERE p.erasure = $1 AND p.workspace = $2
$$;
COMMENT ON FUNCTION exact._erase_waits(bigint, text, text, text)
	IS 'For the loader: an erasure could not be done in a workspace, and is tried again after '
		'10 s, later after up to an hour';
REVOKE ALL ON FUNCTION exact._erase_waits(bigint, text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._erase_waits(bigint, text, text, text) TO exact_worker;

CREATE FUNCTION exact._retention_of(value text) RETURNS interval
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN $1 IS NULL THEN interval '7 days'
		WHEN lower($1) ~ '^ *(interval )? *[0-9]{1,5} (second|minute|hour|day|week)s? *$'
			THEN greatest(regexp_replace(lower($1), 'interval', '')::interval, interval '7 days')
		ELSE interval '60 days'
	END
$$;
COMMENT ON FUNCTION exact._retention_of(text)
	IS 'How long a Delta table keeps files that no newer version reads: its '
		'delta.deletedFileRetentionDuration, a week at least; 60 days for what is not understood';
REVOKE ALL ON FUNCTION exact._retention_of(text) FROM PUBLIC;

CREATE FUNCTION exact._erase_gone(erasure bigint, workspace text, current_name text,
	history_name text, current_rows bigint, history_rows bigint, retention text[])
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	e exact.erasure;
	p exact.erasure_place;
BEGIN
	UPDATE exact.erasure_place AS x
	SET current_name = $3, history_name = $4,
		current_rows = CASE WHEN x.begun = 1 OR $5 > 0 THEN nullif($5, -1) END,
		history_rows = CASE WHEN x.begun = 1 OR $6 > 0 THEN nullif($6, -1) END,
		gone_at = clock_timestamp(), attempts = 0, reason = NULL, next_step = NULL,
		next_at = clock_timestamp(),
		vacuum_at = clock_timestamp() + interval '1 hour'
			+ greatest(exact._retention_of($7[1]), exact._retention_of($7[2]))
	WHERE x.erasure = $1 AND x.workspace = $2 AND x.gone_at IS NULL
	RETURNING x.* INTO p;
	IF p.erasure IS NULL THEN
		RETURN;
	END IF;
	SELECT * INTO e FROM exact.erasure AS x WHERE x.id = $1;
	PERFORM exact._audit('loader', 'erasure', e.division, e.entity, jsonb_build_object(
		'request', e.id, 'event', 'removed from Delta', 'key', e.key, 'workspace', p.workspace,
		'current', p.current_name, 'current_rows', p.current_rows, 'history', p.history_name,
		'history_rows', p.history_rows, 'old_files_until', p.vacuum_at), e.who);
END
$$;
COMMENT ON FUNCTION exact._erase_gone(bigint, text, text, text, bigint, bigint, text[])
	IS 'For the loader: neither table of a workspace has a row of the record any more; numbers of '
		'rows that were deleted, -1: not known; retention of the tables'' old files';
REVOKE ALL ON FUNCTION exact._erase_gone(bigint, text, text, text, bigint, bigint, text[])
	FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._erase_gone(bigint, text, text, text, bigint, bigint, text[])
	TO exact_worker;

CREATE FUNCTION exact._erase_result(erasure bigint) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT concat(format('%s version%s removed from the hub', e.versions,
			CASE WHEN e.versions <> 1 THEN 's' END), (
		SELECT string_agg(format('; %s of %s, %s of %s, whose old files go after %s',
			coalesce(p.current_rows::text || ' rows', 'rows'), p.current_name,
			coalesce(p.history_rows::text || ' rows', 'rows'), p.history_name,
			exact._since(p.vacuum_at)), '' ORDER BY p.workspace)
		FROM exact.erasure_place AS p
		WHERE p.erasure = $1))
	FROM exact.erasure AS e
	WHERE e.id = $1 AND NOT EXISTS (SELECT FROM exact.erasure_place AS p
		WHERE p.erasure = $1 AND p.gone_at IS NULL)
$$;
COMMENT ON FUNCTION exact._erase_result(bigint)
	IS 'What an erasure has removed; null: it is not done in each workspace yet';
REVOKE ALL ON FUNCTION exact._erase_result(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._erase_result(bigint) TO exact_worker;

CREATE FUNCTION exact._erase_vacuumed(erasure bigint, workspace text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	e exact.erasure;
BEGIN
	UPDATE exact.erasure_place AS x
	SET vacuumed_at = clock_timestamp(), attempts = 0, reason = NULL, next_step = NULL
	WHERE x.erasure = $1 AND x.workspace = $2 AND x.vacuumed_at IS NULL;
	IF NOT FOUND THEN
		RETURN;
	END IF;
	SELECT * INTO e FROM exact.erasure AS x WHERE x.id = $1;
	PERFORM exact._audit('loader', 'erasure', e.division, e.entity, jsonb_build_object(
		'request', e.id, 'event', 'old files removed', 'key', e.key, 'workspace', $2), e.who);
END
$$;
COMMENT ON FUNCTION exact._erase_vacuumed(bigint, text)
	IS 'For the loader: VACUUM has removed the old files of both tables of a workspace';
REVOKE ALL ON FUNCTION exact._erase_vacuumed(bigint, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._erase_vacuumed(bigint, text) TO exact_worker;

-- A version that was renumbered beside another copy keeps its time.
CREATE FUNCTION exact._erasure_gaps(OUT id bigint, OUT finding text) RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET jit = off
AS $$
	WITH event AS (
		SELECT l.id, l.what ->> 'request' AS request,
			jsonb_build_array(l.division, l.entity, l.who) || jsonb_build_array(l.what -> 'key',
				l.what -> 'digest', l.what -> 'seq', l.what -> 'versions', l.what -> 'reason')
				AS said
		FROM exact.audit_log AS l
		WHERE l.chain = 'loader' AND l.kind = 'erasure'
			AND l.what ->> 'event' = 'removed from the hub'
	), kept AS (
		SELECT e.id::text AS request, jsonb_build_array(e.division, e.entity, e.who, e.key,
			encode(e.digest, 'hex'), e.seq, e.versions, e.reason) AS said
		FROM exact.erasure AS e
	)
	SELECT v.id, format(CASE
		WHEN k.request IS NULL THEN 'erasure %s of exact.erasure is gone'
		WHEN v.id IS NULL THEN 'erasure %s of exact.erasure has no event'
		ELSE 'erasure %s of exact.erasure was changed'
	END, coalesce(k.request, v.request))
	FROM event AS v
	FULL JOIN kept AS k ON k.request = v.request
	WHERE v.said IS DISTINCT FROM k.said
	UNION ALL
	SELECT NULL, format(CASE
		WHEN s.payload IS NULL THEN 'version %s of %s in division %s was erased without an event'
		ELSE 'version %s of %s in division %s was erased and has a content'
	END, s.seq, s.entity, s.division)
	FROM exact.batch AS b
	CROSS JOIN LATERAL (
		SELECT x.* FROM exact.stage AS x
		WHERE x.slot = b.slot AND x.batch = b.id AND x.op = 'E'
		OFFSET 0) AS s
	WHERE b.erased > 0 AND (s.payload IS NOT NULL
		OR NOT EXISTS (SELECT FROM exact.erasure AS e
			WHERE e.division = s.division AND e.entity = s.entity AND e.key = s.key
				AND e.at >= s.at))
$$;
COMMENT ON FUNCTION exact._erasure_gaps()
	IS 'Erasures that are gone, were changed or have no event, and erased versions that none of '
		'them has erased or that have a content';
REVOKE ALL ON FUNCTION exact._erasure_gaps() FROM PUBLIC;
