-- Views for reading. What a view shows is shown with the rights of its owner, so that readers need
-- no right on state tables.

CREATE VIEW exact.workers AS
SELECT w.role, w.pid, w.state, date_trunc('second', w.started_at) AS started_at, w.restarts,
	coalesce(w.reason, w.last_error) AS reason, w.listens_at
FROM exact._workers() AS w;
COMMENT ON VIEW exact.workers
	IS 'The launcher and the workers of this database. No row: exact_databricks is not in '
		'shared_preload_libraries';
COMMENT ON COLUMN exact.workers.role IS 'launcher, fetcher, loader or listener';
COMMENT ON COLUMN exact.workers.pid IS 'Process id; null: it does not run';
COMMENT ON COLUMN exact.workers.state IS 'running, idle, starting or stopped';
COMMENT ON COLUMN exact.workers.started_at IS 'When the process started';
COMMENT ON COLUMN exact.workers.restarts IS 'How often it had to be started again';
COMMENT ON COLUMN exact.workers.reason
	IS 'Why it is idle, or its last error until that works again';
COMMENT ON COLUMN exact.workers.listens_at IS 'Where it takes connections';
REVOKE ALL ON TABLE exact.workers FROM PUBLIC;
GRANT SELECT ON TABLE exact.workers TO exact_reader, exact_worker;

CREATE VIEW exact.status AS
WITH worker AS (
	-- what is volatile stands here: then who asks for the lights alone pays for no text
	SELECT pg_is_in_recovery() AS standby,
		count(*) FILTER (WHERE role = 'fetcher' AND state = 'running') AS fetchers,
		count(*) FILTER (WHERE role = 'loader' AND state = 'running') AS loaders,
		max(reason) FILTER (WHERE state = 'idle') AS idle_reason
	FROM exact._workers()
), feed AS (
	SELECT f.division AS of_division, count(*) AS feeds, sum(f.waiting) AS waiting,
		min(f.waiting_since) AS waiting_since,
		count(*) FILTER (WHERE f.first_complete_at IS NULL) AS unread,
		count(*) FILTER (WHERE NOT f.loaded) AS undelivered,
		count(*) FILTER (WHERE f.state = 'paused') AS paused,
		coalesce(min(f.complete_until) FILTER (WHERE f.loaded AND f.state <> 'paused'),
			min(f.complete_until) FILTER (WHERE f.loaded)) AS complete_at,
		(array_agg(f.entity ORDER BY f.complete_until)
			FILTER (WHERE f.state <> 'paused'))[1] AS last_entity,
		-- of entities whose first load goes on, nothing is in Delta yet
		min(f.waiting_since) FILTER (WHERE f.loaded) AS loaded_since,
		min(f.complete_at) FILTER (WHERE f.state <> 'paused') AS looked_at,
		min(f.announced_since) FILTER (WHERE f.state <> 'paused') AS announced_since,
		bool_or(f.heard) AS heard,
		max(f.errors) AS errors,
		(array_agg(format('%s: %s', f.entity, f.last_error)
			ORDER BY f.errors DESC, f.last_error_at DESC)
			FILTER (WHERE f.errors > 0))[1] AS problem,
		(array_agg(f.entity ORDER BY f.complete_at) FILTER (
			WHERE f.state IN ('idle', 'reading')
				AND f.complete_at < now() - 2 * f.every - interval '2 minutes'))[1] AS overdue,
		min(f.complete_at) FILTER (
			WHERE f.state IN ('idle', 'reading')
				AND f.complete_at < now() - 2 * f.every - interval '2 minutes') AS overdue_since
	FROM exact._feed AS f
	WHERE f.state <> 'off'
	GROUP BY f.division
), refused AS (
	SELECT f.division, min(t.paused_since) AS since, count(*) AS tables,
		(array_agg(coalesce(t.reason, format('deliveries of %s are paused', t.entity))
			ORDER BY t.paused_since))[1] AS reason,
		(array_agg(t.next_step ORDER BY t.paused_since))[1] AS next_step
	FROM exact.feed AS f
	JOIN exact.division AS d ON d.division = f.division
	JOIN exact.target_state AS t
		ON t.workspace = d.workspace AND t.entity = f.entity AND t.paused_since IS NOT NULL
	WHERE f.enabled
	GROUP BY f.division
), delayed AS (
	-- nothing is wrong, and somebody may have to end what is waited for; a division of which
	-- nothing waits for that table is not behind
	SELECT b.division, (array_agg(t.reason ORDER BY t.entity))[1] AS reason,
		(array_agg(t.next_step ORDER BY t.entity))[1] AS next_step
	FROM exact.target_state AS t
	JOIN exact.batch AS b ON b.entity = t.entity AND b.delivered_at IS NULL
	JOIN exact.division AS d ON d.division = b.division
	WHERE t.workspace = coalesce(b.workspace, d.workspace) AND t.paused_since IS NULL
		AND t.reason IS NOT NULL AND t.next_step IS NOT NULL
	GROUP BY b.division
), subscription AS (
	-- a topic of another user counts as present while its notifications come
	SELECT s.division, count(*) AS topics,
		(array_agg(
			CASE
				WHEN s.state = 'present'
					THEN format('%s: no notification since %s, longer than usual', s.topic,
						exact._since(s.silent_since))
				ELSE s.reason
			END
			ORDER BY s.state <> 'refused', s.state, s.topic))[1] AS reason,
		(array_agg(
			coalesce(s.next_step, 'the hub reads by its timers; SELECT * FROM exact.subscriptions')
			ORDER BY s.state <> 'refused', s.state, s.topic))[1] AS next_step
	FROM exact.subscription AS s
	WHERE s.state = 'refused'
		OR (s.state = 'foreign' AND coalesce(s.last_at < s.since, true))
		OR s.cause IN ('unreachable', 'callback')
		OR s.silent_since IS NOT NULL
	GROUP BY s.division
), held AS (
	SELECT h.division, min(h.id) AS id, sum(h.records) AS records,
		min(h.found_at) AS since, (array_agg(h.entity ORDER BY h.id))[1] AS entity
	FROM exact.held_delete AS h
	WHERE h.state = 'held'
	GROUP BY h.division
), changed AS (
	SELECT c.division, count(*) AS changes, min(c.found_at) AS since,
		coalesce(nullif(count(*) FILTER (WHERE c.decision = 'many'), 0) || ' at once, ', '')
			|| (array_agg(format('%s of %s %s by %s', coalesce(c.field, 'new record'), c.entity,
				coalesce(c.code, '(no code)'), c.who)
				ORDER BY c.decision = 'many' DESC NULLS LAST, c.id))[1] AS first
	FROM exact.dimension_change AS c
	WHERE c.state IN ('proposed', 'conflict')
	GROUP BY c.division
), writing AS (
	SELECT c.division, count(*) AS writes, min(coalesce(c.decided_at, c.found_at)) AS since,
		(array_agg(c.entity ORDER BY c.id))[1] AS entity
	FROM exact.dimension_change AS c
	WHERE c.state = 'approved'
	GROUP BY c.division
	HAVING min(coalesce(c.decided_at, c.found_at)) < now() - interval '2 minutes'
), kept AS (
	-- what most documents wait for
	SELECT DISTINCT ON (k.division) k.division,
		(sum(k.documents) OVER (PARTITION BY k.division))::bigint AS documents,
		k.documents AS alike, k.entity, k.wait, k.since, k.id, g.code AS account
	FROM (SELECT j.division, j.entity, j.wait, count(*) AS documents,
			min(j.since) AS since, min(j.id) AS id
		FROM exact.judgement AS j
		WHERE j.state IN ('doubt', 'held')
		GROUP BY j.division, j.entity, j.wait) AS k
	LEFT JOIN exact.gl_account AS g
		ON g.division = k.division AND 'glaccount:' || g.id::text = k.wait
	WHERE k.since < now() - interval '30 seconds'
	ORDER BY k.division, k.documents DESC, k.since
), suspended AS (
	SELECT f.rule, f.suspended_at AS since
	FROM exact.rule_failure AS f
	WHERE f.suspended_at IS NOT NULL
	ORDER BY f.suspended_at
	LIMIT 1
), dead AS (
	SELECT l.division, count(*) AS letters, min(l.at) AS since,
		(array_agg(format('%s: %s', l.entity, l.reason) ORDER BY l.id))[1] AS reason
	FROM exact.dead_letter AS l
	WHERE l.state IN ('dead', 'retry')
	GROUP BY l.division
), progress AS (
	-- once for all divisions in their first load
	SELECT s.division AS of_division, sum(s.run_rows) AS read_rows
	FROM exact.feed_state AS s
	WHERE EXISTS (SELECT FROM exact._enabled_feed AS e
		WHERE e.division = s.division AND e.feed = s.feed)
	GROUP BY s.division
), erasing AS (
	SELECT v.division, count(*) AS erasures, min(v.asked_at) AS since,
		(array_agg(coalesce(v.waits_for, format('request %s', v.id)) ORDER BY v.id))[1] AS reason,
		(array_agg(v.next_step ORDER BY v.id))[1] AS next_step
	FROM exact.erasures AS v
	WHERE v.state = 'incomplete' OR v.waits_for IS NOT NULL
		OR (v.state IN ('waits', 'under way') AND v.asked_at < now() - interval '30 seconds')
	GROUP BY v.division
), service AS MATERIALIZED (
	SELECT s.side, s.name, s.state, s.light, s.sentence, s.next_step
	FROM exact._service AS s
), waits AS (
	-- a wait of a minute is no news
	SELECT l.division,
		max(l.until) FILTER (
			WHERE l.resource = '' AND l.since < now() - interval '2 minutes') AS until,
		min(l.resource) FILTER (WHERE l.reading = 'endpoint') AS blocked,
		min(l.until) FILTER (WHERE l.reading = 'endpoint') AS blocked_until,
		min(l.resource) FILTER (WHERE l.reading = 'errors') AS closed,
		min(l.until) FILTER (WHERE l.reading = 'errors') AS closed_until
	FROM exact.rate_limit AS l
	WHERE l.until > now()
	GROUP BY l.division
), finding AS (
	-- the first rule that holds is what there is to say; texts are made below, for that rule only
	SELECT d.division, d.description, d.app, d.workspace, f.*, w.idle_reason, w.standby,
		a.state AS app_state, a.since AS app_since, a.reason AS app_reason, a.next_step AS app_step,
		-- an access token that came without a refresh token is used until it ends
		a.state = 'reauthorize' AND (
			SELECT t.origin = 'access' AND t.expires_at > now()
			FROM exact.token AS t
			WHERE t.app = d.app
			ORDER BY t.id DESC
			LIMIT 1) AS app_goes_on,
		g.read_rows, s.since, s.reason, s.next_step AS state_step, s.day_left,
		s.day_limit, s.day_reset,
		r.reason AS refusal, r.since AS refused_since, r.next_step AS refused_step,
		y.reason AS delay, y.next_step AS delay_step,
		h.id AS held, h.records AS held_records, h.since AS held_since, h.entity AS held_entity,
		c.changes, c.since AS changes_since, c.first AS first_change,
		v.writes, v.since AS writes_since, v.entity AS written,
		k.documents, k.alike, k.entity AS kept_entity, k.wait AS kept_wait, k.since AS kept_since,
		k.id AS kept_id, k.account AS kept_account,
		z.rule AS suspended_rule, z.since AS suspended_since,
		x.letters, x.since AS letters_since, x.reason AS letters_reason,
		o.erasures, o.since AS erasures_since, o.reason AS erasures_reason,
		o.next_step AS erasures_step,
		(SELECT min(v.light) FROM (VALUES (xe.state, xe.light), (xd.state, xd.light))
			AS v (state, light)
			WHERE v.state IN ('silent', 'token')) AS service_light,
		concat_ws('; ', CASE WHEN xe.state IN ('silent', 'token') THEN xe.sentence END,
			CASE WHEN xd.state IN ('silent', 'token') THEN xd.sentence END) AS service,
		CASE WHEN xe.state IN ('silent', 'token') THEN xe.next_step ELSE xd.next_step END
			AS service_step,
		xd.sentence AS databricks, ss.wakes_at,
		s.gap, l.until AS limit_until, l.blocked, l.blocked_until, l.closed, l.closed_until,
		u.topics, u.reason AS subscription_reason, u.next_step AS subscription_step,
		CASE
			WHEN NOT d.enabled THEN 'off'
			WHEN w.fetchers = 0 THEN 'no fetcher'
			WHEN a.state = 'reauthorize'
					AND a.reason LIKE 'Exact Online refuses the client id or secret%' THEN 'client'
			WHEN a.state = 'reauthorize' THEN 'consent'
			WHEN coalesce(a.state, 'new') = 'new' THEN 'new app'
			WHEN s.state <> 'ok' THEN s.state
			WHEN f.feeds IS NULL THEN 'no entity'
			WHEN d.workspace IS NULL THEN 'no workspace'
			WHEN NOT ws.enabled THEN 'workspace off'
			WHEN w.loaders = 0 THEN 'no loader'
			WHEN xe.state IN ('silent', 'token') OR xd.state IN ('silent', 'token') THEN 'service'
			WHEN r.tables > 0 THEN 'refused'
			WHEN xd.state IN ('starting', 'hangs') AND f.waiting > 0 THEN xd.state
			WHEN y.reason IS NOT NULL THEN 'waits'
			WHEN s.day_left <= 0 AND s.day_reset > now() THEN 'budget'
			WHEN l.until IS NOT NULL THEN 'limit'
			WHEN l.blocked IS NOT NULL THEN 'blocked'
			WHEN l.closed IS NOT NULL AND f.errors < 3 THEN 'closed'
			WHEN f.errors > 0 THEN 'failing'
			WHEN f.unread > 0 THEN 'first load'
			WHEN f.overdue_since IS NOT NULL THEN 'overdue'
			WHEN f.waiting > 0 AND ss.wakes_at > now() THEN 'sleeps'
			WHEN f.waiting_since < now() - interval '10 minutes' THEN 'late'
			WHEN f.undelivered > 0 THEN 'first load'
			WHEN h.id IS NOT NULL THEN 'held'
			WHEN o.erasures > 0 THEN 'erasing'
			WHEN x.letters > 0 THEN 'dead'
			WHEN k.documents > 0 THEN 'kept'
			WHEN z.rule IS NOT NULL THEN 'suspended'
			WHEN v.writes > 0 THEN 'writes'
			WHEN c.changes > 0 THEN 'changes'
			WHEN f.paused > 0 THEN 'entities paused'
			WHEN u.topics > 0 THEN 'subscription'
			WHEN f.waiting_since < now() - interval '30 seconds' THEN 'on the way'
			WHEN s.gap >= interval '10 seconds' AND s.day_reset > now() THEN 'slowed'
			ELSE 'up to date'
		END AS rule
	FROM exact.division AS d
	CROSS JOIN worker AS w
	LEFT JOIN feed AS f ON f.of_division = d.division
	LEFT JOIN progress AS g ON g.of_division = d.division
	LEFT JOIN refused AS r ON r.division = d.division
	LEFT JOIN delayed AS y ON y.division = d.division
	LEFT JOIN subscription AS u ON u.division = d.division
	LEFT JOIN held AS h ON h.division = d.division
	LEFT JOIN dead AS x ON x.division = d.division
	LEFT JOIN erasing AS o ON o.division = d.division
	LEFT JOIN kept AS k ON k.division = d.division
	LEFT JOIN suspended AS z ON true
	LEFT JOIN changed AS c ON c.division = d.division
	LEFT JOIN writing AS v ON v.division = d.division
	LEFT JOIN exact.division_state AS s ON s.division = d.division
	LEFT JOIN waits AS l ON l.division = d.division
	LEFT JOIN exact.app_state AS a ON a.app = d.app
	LEFT JOIN exact.workspace AS ws ON ws.name = d.workspace
	LEFT JOIN exact.warehouse_state AS ss ON ss.workspace = d.workspace AND ss.state = 'sleeps'
	LEFT JOIN service AS xe ON xe.side = 'exact' AND xe.name = d.app
	LEFT JOIN service AS xd ON xd.side = 'databricks' AND xd.name = d.workspace
), behind AS (
	-- an entity without notifications is read by its timer: that says nothing of the others
	SELECT f.*, CASE
			WHEN rule NOT IN ('slowed', 'up to date') THEN NULL
			WHEN least(complete_at, waiting_since) < now() - interval '2 minutes'
				THEN CASE
					WHEN heard AND coalesce(announced_since, now())
							>= now() - interval '2 minutes'
						THEN format('; announced changes: %s behind; last full look: %s ago (%s)',
							exact._age(now() - coalesce(announced_since, now())),
							exact._age(now() - complete_at), last_entity)
					ELSE format(', %s behind in %s',
						exact._age(now() - least(complete_at, waiting_since)), last_entity)
				END
			ELSE format(', %s behind', exact._age(now() - least(complete_at, waiting_since)))
		END AS behind
	FROM finding AS f
), text AS (
	SELECT f.*,
		CASE
			WHEN rule = 'off' THEN 'off'
			WHEN rule IN ('first load', 'on the way', 'slowed', 'sleeps', 'up to date') THEN 'ok'
			WHEN rule = 'service' THEN service_light
			WHEN rule IN ('paused', 'no entity', 'no workspace', 'workspace off', 'starting',
				'hangs', 'waits', 'budget', 'limit', 'blocked', 'closed', 'overdue', 'late', 'held',
				'erasing', 'dead', 'kept', 'suspended', 'writes', 'changes', 'entities paused',
				'subscription')
				THEN 'warn'
			WHEN rule = 'failing' AND errors < 3
					OR rule IN ('consent', 'client') AND app_goes_on THEN 'warn'
			ELSE 'fail'
		END AS light,
		concat(CASE rule
			WHEN 'off' THEN 'not enabled'
			WHEN 'no fetcher'
				THEN CASE
					WHEN standby THEN 'a standby: its workers run once it is promoted'
					ELSE coalesce(idle_reason, 'the workers do not run')
				END
			WHEN 'consent'
				THEN format('app %s needs consent again since %s: %s', app, exact._since(app_since),
					app_reason)
			WHEN 'client'
				THEN format('app %s gets no token since %s: %s', app, exact._since(app_since),
					app_reason)
			WHEN 'new app' THEN format('app %s is not authorised yet', app)
			WHEN 'frozen' THEN format('frozen since %s: %s', exact._since(since), reason)
			WHEN 'parked' THEN format('%s (since %s)', reason, exact._since(since))
			WHEN 'paused' THEN format('%s since %s', reason, exact._since(since))
			WHEN 'no entity' THEN 'no entity is enabled'
			WHEN 'no workspace'
				THEN format('%s: the division has no workspace', exact._versions_wait(waiting))
			WHEN 'workspace off'
				THEN format('%s: workspace %s is not enabled', exact._versions_wait(waiting),
					workspace)
			WHEN 'no loader' THEN 'the loader does not run'
			WHEN 'service'
				THEN format('%s; %s', service, CASE
					WHEN waiting > 0
						THEN exact._versions_wait(waiting) || ', nothing is lost'
					ELSE 'nothing is lost'
				END)
			WHEN 'starting'
				THEN format('%s; %s', databricks, exact._versions_wait(waiting))
			WHEN 'hangs'
				THEN format('%s; %s', databricks, exact._versions_wait(waiting))
			WHEN 'refused' THEN format('%s (since %s)', refusal, exact._since(refused_since))
			WHEN 'waits' THEN delay
			WHEN 'budget'
				THEN format('the day''s %s calls are used up until %s', day_limit,
					exact._since(day_reset))
			WHEN 'limit'
				THEN format('Exact Online answers 429, the next call is at %s',
					exact._since(limit_until))
			WHEN 'blocked'
				THEN format('Exact Online has blocked %s, which is left alone until %s', blocked,
					exact._since(blocked_until))
			WHEN 'closed'
				THEN format('%s has answered six errors within an hour: it is left alone until %s, '
					'before Exact Online blocks it', closed, exact._since(closed_until))
			WHEN 'failing' THEN problem
			WHEN 'first load'
				THEN CASE
					WHEN unread > 0
						THEN format('first load: %s row%s, %s of %s entities complete',
							to_char(coalesce(read_rows, 0), 'FM999,999,999,990'),
							CASE WHEN read_rows = 1 THEN '' ELSE 's' END,
							feeds - unread - undelivered, feeds)
					ELSE format('first load: all is read, %s of %s entities are in Delta, %s',
						feeds - undelivered, feeds, exact._versions_wait(waiting))
				END
			WHEN 'overdue'
				THEN format('behind: %s was read last %s ago', overdue,
					exact._age(now() - overdue_since))
			WHEN 'sleeps'
				THEN format('%s for the warehouse, which is woken at %s',
					exact._versions_wait(waiting), exact._since(wakes_at))
			WHEN 'late'
				THEN format('behind: %s since %s', exact._versions_wait(waiting),
					exact._since(waiting_since))
			WHEN 'entities paused' THEN format('%s of %s entities are paused', paused, feeds)
			WHEN 'subscription'
				THEN format('up to date, %s topic%s only by polling: %s', topics,
					CASE WHEN topics > 1 THEN 's' END, subscription_reason)
			WHEN 'on the way'
				THEN format('%s version%s on the way to Databricks, the oldest for %s',
					to_char(waiting, 'FM999,999,999,990'), CASE WHEN waiting > 1 THEN 's' END,
					exact._age(now() - waiting_since))
			WHEN 'held'
				THEN format(
					'%s of %s %s absent from complete answers since %s and kept until you decide',
					CASE held_records WHEN 1 THEN '1 record' ELSE held_records || ' records' END,
					held_entity, CASE held_records WHEN 1 THEN 'is' ELSE 'are' END,
					exact._since(held_since))
			WHEN 'erasing'
				THEN format('%s erasure%s not done since %s: %s', erasures,
					CASE WHEN erasures > 1 THEN 's are' ELSE ' is' END,
					exact._since(erasures_since), erasures_reason)
			WHEN 'dead'
				THEN format('%s row%s put aside since %s, the rest goes on: %s', letters,
					CASE WHEN letters > 1 THEN 's' END, exact._since(letters_since), letters_reason)
			WHEN 'kept'
				THEN format('%s %s wait%s for %s since %s%s', alike,
					exact._document_word(kept_entity, alike), CASE WHEN alike = 1 THEN 's' END,
					exact._wait_word(kept_wait, kept_account), exact._since(kept_since),
					CASE WHEN documents > alike
						THEN format(', %s more for something else', documents - alike) END)
			WHEN 'suspended'
				THEN format('up to date, rule %s is suspended since %s: it took too long for '
					'document after document', suspended_rule, exact._since(suspended_since))
			WHEN 'writes'
				THEN format('up to date, %s change%s of dimensions wait%s to be written since '
					'%s: %s', writes, CASE WHEN writes > 1 THEN 's' END,
					CASE WHEN writes = 1 THEN 's' END, exact._since(writes_since),
					coalesce(exact._write_wait(division, written), 'behind what is read live'))
			WHEN 'changes'
				THEN format('up to date, %s change%s of dimensions wait%s for your yes or no since '
					'%s: %s', changes, CASE WHEN changes > 1 THEN 's' END,
					CASE WHEN changes = 1 THEN 's' END, exact._since(changes_since), first_change)
			WHEN 'slowed'
				THEN format('slowed to %s s to stay within %s calls%s',
					round(extract(epoch FROM gap)), to_char(day_limit, 'FM999,999,999,990'),
					behind)
			WHEN 'up to date' THEN 'up to date' || behind
		END, CASE
			WHEN writes > 0 AND rule <> 'writes'
				THEN format('; %s change%s of dimensions wait%s to be written', writes,
					CASE WHEN writes > 1 THEN 's' END, CASE WHEN writes = 1 THEN 's' END)
		END) AS what,
		CASE
			WHEN rule = 'off'
				THEN format('UPDATE exact.division SET enabled = true WHERE division = %s',
					division)
			WHEN rule = 'no fetcher' AND standby
				THEN 'when the primary is dead: SELECT pg_promote()'
			WHEN rule = 'no fetcher' AND exact._binding_finding() IS NOT NULL
				THEN format('if the old hub is dead: SELECT exact.adopt(%L)', (
					SELECT i.id FROM exact.installation AS i ORDER BY i.made_at, i.id LIMIT 1))
			WHEN rule = 'no fetcher' THEN 'SELECT * FROM exact.check()'
			WHEN rule IN ('consent', 'client') AND app_step IS NOT NULL THEN app_step
			WHEN rule IN ('consent', 'new app') THEN format('SELECT exact.authorize_url(%L)', app)
			WHEN rule IN ('frozen', 'parked') AND state_step IS NOT NULL THEN state_step
			WHEN rule = 'parked' THEN 'retried hourly'
			WHEN rule = 'no entity'
				THEN format('SELECT exact.enable_entities(%s, ''finance'')', division)
			WHEN rule = 'no workspace'
				THEN format('UPDATE exact.division SET workspace = … WHERE division = %s',
					division)
			WHEN rule = 'workspace off'
				THEN format('UPDATE exact.workspace SET enabled = true WHERE name = %L', workspace)
			WHEN rule = 'no loader' THEN 'SELECT * FROM exact.workers'
			WHEN rule IN ('service', 'starting', 'hangs') THEN service_step
			WHEN rule = 'refused' AND refused_step IS NOT NULL THEN refused_step
			WHEN rule = 'waits' THEN delay_step
			WHEN rule IN ('frozen', 'paused', 'refused', 'entities paused')
				THEN format('SELECT exact.resume(%s)', division)
			WHEN rule IN ('budget', 'limit', 'blocked') THEN 'nothing: the hub goes on then'
			WHEN rule = 'closed'
				THEN format('SELECT * FROM exact.calls WHERE problem IS NOT NULL; once it is '
					'mended: SELECT exact.resume(%s)', division)
			WHEN rule = 'failing' THEN 'the hub tries again; SELECT * FROM exact.feeds'
			WHEN rule = 'overdue' THEN 'SELECT * FROM exact.calls'
			WHEN rule = 'late' THEN 'SELECT * FROM exact.statement_log ORDER BY id DESC'
			WHEN rule = 'held'
				THEN format('SELECT exact.approve(%s) deletes them, exact.reject(%s) keeps them',
					held, held)
			WHEN rule = 'erasing'
				THEN coalesce(erasures_step, 'SELECT * FROM exact.erasures')
			WHEN rule = 'dead'
				THEN 'SELECT * FROM exact.dead_letter; exact.retry(id) tries one again'
			WHEN rule = 'kept'
				THEN format('%sSELECT exact.release(%s) delivers as it is; SELECT * FROM '
					'exact.quarantine', CASE WHEN kept_wait IS NOT NULL
					THEN 'look for it in Exact Online; ' END, kept_id)
			WHEN rule = 'suspended'
				THEN format('make it faster, then UPDATE exact.rule SET enabled = true WHERE '
					'name = %L', suspended_rule)
			WHEN rule = 'writes'
				THEN 'SELECT * FROM exact.dimension_write WHERE state <> ''ended''; the hub '
					'tries again'
			WHEN rule = 'changes'
				THEN 'SELECT * FROM exact.dimension_change WHERE state IN (''proposed'', '
					'''conflict''); exact.approve(id) or exact.reject(id)'
			WHEN rule = 'subscription' THEN subscription_step
		END AS next_step
	FROM behind AS f
)
SELECT * FROM (
SELECT division, left(description, 24) AS name, light, what, next_step,
	date_trunc('second', CASE
		WHEN complete_at IS NOT NULL
			THEN greatest(now() - least(complete_at, loaded_since), interval '0')
	END) AS lag,
	coalesce(waiting, 0) AS waiting, coalesce(letters, 0) AS dead,
	CASE WHEN day_limit > 0 THEN day_left || '/' || day_limit END AS budget,
	CASE app_state WHEN 'authorized' THEN 'ok' ELSE coalesce(app_state, 'new') END AS token,
	rule AS state,
	date_trunc('second', CASE
		WHEN announced_since IS NOT NULL
			THEN greatest(now() - announced_since, interval '0')
		WHEN heard THEN interval '0'
	END) AS announced,
	date_trunc('second', CASE
		WHEN looked_at IS NOT NULL THEN greatest(now() - looked_at, interval '0')
	END) AS looked,
	round((feeds - unread - undelivered)::numeric / feeds, 3) AS loaded
FROM text
UNION ALL
-- of the same types, so that what nobody asks for is not made
SELECT NULL, 'the hub', n.light, n.what, n.next_step, NULL, 0::numeric, 0::bigint, NULL, NULL,
	'setup', NULL, NULL, NULL
FROM exact._first_step() AS n
WHERE n.what IS NOT NULL
UNION ALL
SELECT NULL, 'the hub', n.light, n.what, n.next_step, NULL, 0::numeric, 0::bigint, NULL, NULL,
	'disk', NULL, NULL, NULL
FROM exact._disk_finding() AS n
WHERE n.light <> 'ok'
) AS s
ORDER BY array_position(ARRAY['fail', 'warn', 'ok', 'off'], light), division;
COMMENT ON VIEW exact.status
	IS 'How each division is, one row per division: the cause that holds it up most, and the next '
		'step. Before the first division is enabled, one row about the hub says what to enter '
		'next. One row about the hub as well while its tables are near exact_databricks.max_disk';
COMMENT ON COLUMN exact.status.division IS 'Division; null: the hub itself';
COMMENT ON COLUMN exact.status.name IS 'Its name';
COMMENT ON COLUMN exact.status.light
	IS 'ok; warn: the hub goes on or waits for you, nothing is lost; fail: it has stopped; off';
COMMENT ON COLUMN exact.status.what IS 'The cause, in one sentence';
COMMENT ON COLUMN exact.status.next_step IS 'What to do; null: nothing';
COMMENT ON COLUMN exact.status.lag
	IS 'Delta holds everything that Exact Online had this long ago, of the entities whose first '
		'load is complete; null: none is. It is made of what notifications announced (announced) '
		'and, where none come, of the timers (looked)';
COMMENT ON COLUMN exact.status.waiting IS 'Versions staged and not delivered';
COMMENT ON COLUMN exact.status.dead
	IS 'Rows put aside, because they could not be staged, or could not be delivered: '
		'exact.dead_letter';
COMMENT ON COLUMN exact.status.budget IS 'Calls left today / calls allowed per day';
COMMENT ON COLUMN exact.status.token
	IS 'ok; new: nobody has consented yet; reauthorize: somebody must consent again';
COMMENT ON COLUMN exact.status.state
	IS 'The same in a word: up to date, first load, on the way, slowed, held, service (one of the '
		'two sides does not answer), setup (something is to be entered first), disk (the hub is at '
		'exact_databricks.max_disk, or near it) and others';
COMMENT ON COLUMN exact.status.announced
	IS 'How long the oldest change that the hub knows of waits to be in Delta: announced by a '
		'notification, or read and under way; 0: none waits; null: no notification comes and '
		'nothing is under way';
COMMENT ON COLUMN exact.status.looked
	IS 'How long ago every entity was last read to the end, by its timer: the slowest entity '
		'counts';
COMMENT ON COLUMN exact.status.loaded
	IS 'Share of the enabled entities whose first load is complete, read and delivered, 0 to 1; '
		'null: none is enabled';
REVOKE ALL ON TABLE exact.status FROM PUBLIC;
GRANT SELECT ON TABLE exact.status TO exact_reader, exact_worker;

-- The worst comes first. "up to date" is said of those alone that are.
CREATE FUNCTION exact._headline(lights text[], states text[]) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	watched int;
	away text := (
		SELECT string_agg(s.what, '; ' ORDER BY s.light, s.side DESC, s.name)
		FROM exact.services AS s
		WHERE s.state IN ('silent', 'token'));
	disk text := (SELECT n.what FROM exact._disk_finding() AS n WHERE n.light = 'fail');
	words text;
BEGIN
	IF 'setup' = ANY (states) THEN
		RETURN (SELECT upper(left(n.what, 1)) || substr(n.what, 2) || '.'
			FROM exact._first_step() AS n);
	END IF;
	watched := (SELECT count(*) FROM unnest(lights, states) AS l (light, state)
		WHERE l.light <> 'off' AND l.state <> 'disk');
	away := concat_ws('. ', upper(left(disk, 1)) || substr(disk, 2),
		upper(left(away, 1)) || substr(away, 2));
	IF watched = 0 THEN
		RETURN 'No division is enabled.';
	END IF;
	SELECT string_agg(CASE
			WHEN watched = 1 THEN 'the division ' || c.one
			WHEN c.first
				THEN format('%s of %s divisions %s', c.n, watched,
					CASE c.n WHEN 1 THEN c.one ELSE c.many END)
			ELSE format('%s %s', c.n, CASE c.n WHEN 1 THEN c.one ELSE c.many END)
		END, ', ' ORDER BY c.rank)
		|| CASE WHEN bool_or(c.rank IN (4, 7)) THEN '; nothing is lost' ELSE '' END
	INTO words
	FROM (
		SELECT k.rank, k.one, k.many, count(*) AS n,
			row_number() OVER (ORDER BY k.rank) = 1 AS first
		FROM unnest(lights, states) AS d (light, state)
		CROSS JOIN LATERAL (SELECT CASE
				WHEN d.state = 'service' THEN 2
				WHEN d.light = 'fail' THEN 1
				WHEN d.state IN ('held', 'kept', 'changes', 'dead', 'erasing') THEN 3
				WHEN d.state IN ('waits', 'starting', 'hangs', 'late', 'on the way', 'sleeps',
						'writes')
					THEN 4
				WHEN d.state IN ('slowed', 'budget', 'limit') THEN 5
				WHEN d.state = 'first load' THEN 6
				WHEN d.state = 'up to date' THEN 8
				ELSE 7
			END AS rank) AS r
		JOIN (VALUES
			(1, 'stands still and needs somebody', 'stand still and need somebody'),
			(2, 'waits for a service', 'wait for a service'),
			(3, 'holds something back until you decide', 'hold something back until you decide'),
			(4, 'waits', 'wait'),
			(5, 'is slowed', 'are slowed'),
			(6, 'is in its first load', 'are in their first load'),
			(7, 'deserves a look', 'deserve a look'),
			(8, 'is up to date', 'are up to date')) AS k (rank, one, many) USING (rank)
		WHERE d.light <> 'off' AND d.state <> 'disk'
		GROUP BY k.rank, k.one, k.many
	) AS c;
	IF watched > 1 AND words = format('%1$s of %1$s divisions are up to date', watched) THEN
		words := format('all %s divisions are up to date', watched);
	END IF;
	RETURN coalesce(nullif(away, '') || '. ', '') || upper(left(words, 1)) || substr(words, 2)
		|| '.';
END
$$;
COMMENT ON FUNCTION exact._headline(text[], text[])
	IS 'One sentence from the lights and states of exact.status';
REVOKE ALL ON FUNCTION exact._headline(text[], text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._headline(text[], text[]) TO exact_reader, exact_worker;

CREATE FUNCTION exact.headline() RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN (SELECT exact._headline(array_agg(s.light), array_agg(s.state)) FROM exact.status AS s);
END
$$;
COMMENT ON FUNCTION exact.headline()
	IS 'Says in one sentence how the hub is: what needs a person, what waits. It says "up to '
		'date" only if every enabled division is';
REVOKE ALL ON FUNCTION exact.headline() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.headline() TO exact_reader;
