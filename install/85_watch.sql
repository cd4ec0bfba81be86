-- The time line: who paused, what failed, what recovered.

-- One look: what changed since the last one is noted, and each ten minutes the lag of each
-- division. What stands still for a cause outside a division (a service, an app, a table, the
-- workers) is noted of that cause alone, not of the hundreds of divisions that wait for it. What is
-- seen for the first time and is well is no news.
CREATE FUNCTION exact._watch() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	this_slot CONSTANT int := floor(extract(epoch FROM now()) / 600);
	noted bigint;
BEGIN
	WITH now_seen AS MATERIALIZED (
		SELECT 'division' AS side, s.division::text AS name, s.division, s.light, s.state, s.what,
			CASE WHEN s.light <> 'off'
				THEN least(extract(epoch FROM s.lag), 2147483647)::int END AS lag,
			s.state IN ('service', 'starting', 'hangs', 'refused', 'waits', 'client', 'consent',
				'new app', 'no fetcher', 'no loader') AS of_other
		FROM exact.status AS s
		WHERE s.division IS NOT NULL
		UNION ALL
		SELECT s.side, s.name, NULL, s.light, s.state, s.what, NULL, false
		FROM exact.services AS s
		UNION ALL
		SELECT 'app', a.app, NULL,
			CASE a.state WHEN 'reauthorize' THEN 'fail' ELSE 'ok' END, a.state,
			CASE a.state
				WHEN 'reauthorize' THEN format('app %s is not authorised: %s', a.app, a.reason)
				WHEN 'authorized' THEN format('app %s is authorised', a.app)
				ELSE format('app %s waits for a consent', a.app)
			END, NULL, false
		FROM exact.app_state AS a
		UNION ALL
		SELECT 'table', t.workspace || '.' || t.entity, NULL,
			CASE WHEN t.paused_since IS NULL THEN 'ok' ELSE 'fail' END,
			CASE WHEN t.paused_since IS NULL THEN 'delivered' ELSE 'paused' END,
			CASE
				WHEN t.paused_since IS NULL
					THEN format('%s of workspace %s is delivered again', t.entity, t.workspace)
				ELSE coalesce(t.reason, format('deliveries of %s to workspace %s are paused',
					t.entity, t.workspace))
			END, NULL, false
		FROM exact.target_state AS t
		UNION ALL
		SELECT 'hub', 'disk', NULL, d.light, 'disk', d.what, NULL, false
		FROM exact._disk_finding() AS d
	), found AS MATERIALIZED (
		SELECT n.side, n.name, n.division, n.what,
			-- of what waits for another the last own light stays
			CASE WHEN n.of_other THEN coalesce(w.light, 'ok') ELSE n.light END AS light,
			CASE WHEN n.of_other THEN coalesce(w.state, 'up to date') ELSE n.state END AS state,
			n.lag, w.side IS NULL AS first_time, w.light AS light_was, w.state AS state_was,
			w.slot AS slot_was, w.lags AS lags_was
		FROM now_seen AS n
		LEFT JOIN exact.watched AS w ON w.side = n.side AND w.name = n.name
	), logged AS (
		INSERT INTO exact.light_log (side, name, division, light, state, what)
		SELECT f.side, f.name, f.division, f.light, f.state, f.what
		FROM found AS f
		WHERE (f.light IS DISTINCT FROM f.light_was
				OR (f.state IS DISTINCT FROM f.state_was AND f.light IN ('warn', 'fail')))
			AND NOT (f.first_time AND f.light IN ('ok', 'off'))
		ORDER BY f.side <> 'division' DESC, f.side, f.name
		RETURNING id
	), gone AS (
		DELETE FROM exact.watched AS w
		WHERE NOT EXISTS (SELECT FROM now_seen AS n WHERE n.side = w.side AND n.name = w.name)
	), kept AS (
		INSERT INTO exact.watched AS w (side, name, division, light, state, slot, lags)
		SELECT f.side, f.name, f.division, f.light, f.state,
			CASE WHEN f.side = 'division' THEN this_slot END,
			CASE
				WHEN f.side <> 'division' THEN NULL
				WHEN f.slot_was = this_slot THEN f.lags_was
				-- nothing is known of the time between; a clock that was set back begins anew
				WHEN f.slot_was BETWEEN this_slot - 143 AND this_slot - 1
					THEN (ARRAY[f.lag] || array_fill(NULL::int, ARRAY[this_slot - f.slot_was - 1])
						|| f.lags_was)[1:144]
				ELSE ARRAY[f.lag]
			END
		FROM found AS f
		WHERE f.first_time OR f.light <> f.light_was OR f.state <> f.state_was
			OR (f.side = 'division' AND f.slot_was IS DISTINCT FROM this_slot)
		ON CONFLICT (side, name) DO UPDATE SET
			light = excluded.light, state = excluded.state, slot = excluded.slot,
			lags = excluded.lags
	)
	SELECT count(*) INTO noted FROM logged;
	IF noted > 0 THEN
		DELETE FROM exact.light_log AS l
		WHERE l.id <= (SELECT max(x.id) FROM exact.light_log AS x) - 10000;
		DELETE FROM exact.light_log AS l
		USING (SELECT x.id, x.at FROM exact.light_log AS x ORDER BY x.id LIMIT 1000) AS old
		WHERE l.id = old.id AND old.at < now() - interval '30 days';
	END IF;
	RETURN noted;
END
$$;
COMMENT ON FUNCTION exact._watch()
	IS 'For the fetcher, each minute: notes which lights changed since the last look, and each ten '
		'minutes the lag of each division; returns how many lights';
REVOKE ALL ON FUNCTION exact._watch() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._watch() TO exact_worker;

CREATE FUNCTION exact._event_words(kind text, what jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	request jsonb := $2 -> 'row';
	place text := $2 ->> 'table';
BEGIN
	CASE
		WHEN $1 IN ('request', 'installation') AND place = 'request' THEN
			RETURN concat(CASE WHEN request ->> 'cancel_wanted' = 'true'
					THEN 'is to be cancelled: ' END,
				request ->> 'kind', ': ' || nullif(request ->> 'result', ''));
		WHEN $1 IN ('configuration', 'secret') THEN
			RETURN format('%s %s %s', CASE place
					WHEN 'credential' THEN format('%s of %s', request ->> 'field',
						request ->> 'kind')
					WHEN 'restricted_reader' THEN 'restricted reader'
					ELSE place
				END,
				coalesce(request ->> 'name', request ->> 'division', request ->> 'role'),
				CASE $2 ->> 'op'
					WHEN 'INSERT' THEN 'was entered'
					WHEN 'DELETE' THEN 'was removed'
					WHEN 'UPDATE' THEN coalesce('was changed: ' || (
						SELECT string_agg(k.name, ', ' ORDER BY k.name)
						FROM jsonb_object_keys(CASE jsonb_typeof($2 -> 'before')
							WHEN 'object' THEN $2 -> 'before' ELSE '{}' END) AS k (name)),
						'was set anew')
					ELSE 'was found changed'
				END);
		WHEN $1 = 'division' THEN
			RETURN coalesce('all its feeds are read again: ' || ($2 ->> 'read_again'),
				concat_ws(': ', $2 ->> 'state', $2 ->> 'reason'));
		WHEN $1 = 'statement' THEN
			RETURN $2 ->> 'changed';
		WHEN $1 = 'token' THEN
			RETURN concat('token of app ', $2 ->> 'app', ': ', $2 ->> 'event',
				': ' || ($2 ->> 'error'));
		WHEN $1 = 'subscription' THEN
			RETURN concat('subscription of ', $2 ->> 'topic', ': ', $2 ->> 'what',
				': ' || ($2 ->> 'reason'));
		WHEN $1 = 'notification' THEN
			RETURN concat('topic ', $2 ->> 'silent', ' has said nothing for ',
				CASE WHEN $2 ->> 'seconds' ~ '^[0-9]{1,9}$'
					THEN exact._age(($2 ->> 'seconds')::int * interval '1 second')
					ELSE 'a while'
				END, ', longer than usual');
		WHEN $1 = 'month-end' THEN
			RETURN format('month-end of %s-%s was compared', $2 ->> 'year', $2 ->> 'period');
		WHEN $2 ? 'overtaken_by' THEN
			RETURN format('another copy of this hub works with epoch %s: this one stops',
				$2 ->> 'overtaken_by');
		WHEN $2 ? 'feeds_from_start' THEN
			RETURN format('epoch %s: all feeds are read from the start: %s', $2 ->> 'epoch',
				$2 ->> 'reason');
		WHEN $2 ? 'versions_of_other_copies' THEN
			RETURN format('another copy of this hub had delivered %s versions to %s',
				$2 ->> 'versions_of_other_copies', $2 ->> 'table');
		ELSE
			RETURN coalesce($2 ->> 'event', $1);
	END CASE;
END
$$;
COMMENT ON FUNCTION exact._event_words(text, jsonb)
	IS 'What exact.events says of an event of exact.audit_log';
REVOKE ALL ON FUNCTION exact._event_words(text, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._event_words(text, jsonb) TO exact_reader;

-- Of millions of events few are of a person or of a decision: the view has the same condition.
CREATE INDEX audit_log_told ON exact.audit_log (at)
	WHERE kind IN ('installation', 'division', 'secret', 'month-end')
		OR (kind = 'configuration' AND what ->> 'table' NOT IN ('feed', 'entity_field'))
		OR (kind = 'request' AND what #>> '{row,kind}' <> 'sync')
		OR (kind = 'statement' AND what ? 'changed')
		OR (kind = 'token' AND what ->> 'event' <> 'issued')
		OR (kind = 'subscription' AND what ->> 'what' NOT IN ('made', 'removed'))
		OR (kind = 'notification' AND what ? 'silent');
COMMENT ON INDEX exact.audit_log_told IS 'The events that exact.events tells';

CREATE VIEW exact.events AS
SELECT l.at, l.division, NULL::text AS entity,
	CASE l.side WHEN 'division' THEN 'division' WHEN 'app' THEN 'app' WHEN 'table' THEN 'table'
		WHEN 'hub' THEN 'hub' ELSE 'service' END AS kind,
	l.light, NULL::text AS who,
	coalesce(l.what, l.state) AS what
FROM exact.light_log AS l
UNION ALL
-- in its own order as well: the last ones are then the first that are read
(SELECT a.at, a.division, a.entity, a.kind, NULL, a.who, exact._event_words(a.kind, a.what)
FROM exact.audit_log AS a
WHERE (a.kind IN ('installation', 'division', 'secret', 'month-end')
		OR (a.kind = 'configuration' AND a.what ->> 'table' NOT IN ('feed', 'entity_field'))
		OR (a.kind = 'request' AND a.what #>> '{row,kind}' <> 'sync')
		OR (a.kind = 'statement' AND a.what ? 'changed')
		OR (a.kind = 'token' AND a.what ->> 'event' <> 'issued')
		OR (a.kind = 'subscription' AND a.what ->> 'what' NOT IN ('made', 'removed'))
		OR (a.kind = 'notification' AND a.what ? 'silent'))
	-- an event that was carried on is no news
	AND NOT a.what ? 'carried'
ORDER BY a.at DESC)
ORDER BY at DESC;
COMMENT ON VIEW exact.events
	IS 'The time line, newest first: who paused, decided or changed the configuration, what '
		'failed, what recovered. Lights of the last 30 days; exact.audit_log has all events';
COMMENT ON COLUMN exact.events.at
	IS 'When; of a light: when the hub saw it, which looks each minute';
COMMENT ON COLUMN exact.events.division IS 'Division; null: it is of none, or of several';
COMMENT ON COLUMN exact.events.entity IS 'Entity';
COMMENT ON COLUMN exact.events.kind
	IS 'division, app, service, table or hub (a light changed), or the kind of exact.audit_log';
COMMENT ON COLUMN exact.events.light
	IS 'Of a light: what it is from then on (ok: it recovered); else null';
COMMENT ON COLUMN exact.events.who
	IS 'Role that logged in, or the worker; null: the hub saw a light change';
COMMENT ON COLUMN exact.events.what IS 'What happened';
REVOKE ALL ON TABLE exact.events FROM PUBLIC;
GRANT SELECT ON TABLE exact.events TO exact_reader;
