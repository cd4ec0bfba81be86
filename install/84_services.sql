-- Is the other side there? Lights count from the first call that no good answer has followed: a
-- service that nobody calls does not fail.

CREATE VIEW exact._service AS
WITH place AS (
	SELECT 'exact' AS side, a.name, format('Exact Online (%s)', a.name) AS called,
		EXISTS (SELECT FROM exact.division AS d WHERE d.app = a.name AND d.enabled) AS used
	FROM exact.app AS a
	UNION ALL
	SELECT 'databricks', w.name, format('Databricks (%s)', w.name), w.enabled
	FROM exact.workspace AS w
), running AS (
	SELECT DISTINCT ON (l.workspace) l.workspace, l.at, format('statement %s (%s of %s)',
		l.statement_id, l.kind, coalesce(l.table_name, l.entity)) AS hangs
	FROM exact.statement_log AS l
	WHERE l.state = 'running'
		AND l.statement_id IS NOT NULL
		AND l.at < now() - CASE WHEN l.kind = 'maintenance' THEN interval '1 hour'
			ELSE interval '1 minute' END
	ORDER BY l.workspace, l.at
), known AS (
	SELECT p.side, p.name, p.called, p.used, s.asked_at, s.answered_at, s.cause, s.slowed_until,
		s.failing_since, s.starting_since, r.hangs, r.at AS hangs_since,
		CASE
			WHEN NOT p.used THEN 'not used'
			-- which it may say by a 503 to each statement
			WHEN s.starting_since <= now() - interval '30 seconds' THEN 'starting'
			WHEN s.failing_since <= now() - interval '30 seconds' AND s.kind = 'token' THEN 'token'
			WHEN s.failing_since <= now() - interval '30 seconds' THEN 'silent'
			WHEN r.hangs IS NOT NULL THEN 'hangs'
			WHEN s.slowed_until > now() THEN 'slowed'
			WHEN s.asked_at IS NULL THEN 'not called'
			ELSE 'answers'
		END AS state
	FROM place AS p
	LEFT JOIN exact.service_state AS s ON s.side = p.side AND s.name = p.name
	LEFT JOIN running AS r ON p.side = 'databricks' AND r.workspace = p.name
)
SELECT k.side, k.name, k.state,
	CASE
		WHEN k.state = 'not used' THEN 'off'
		WHEN k.state IN ('silent', 'token') AND k.failing_since <= now() - interval '10 minutes'
			THEN 'fail'
		WHEN k.state IN ('silent', 'token', 'starting', 'hangs') THEN 'warn'
		ELSE 'ok'
	END AS light,
	CASE
		WHEN k.state IN ('silent', 'token') THEN k.failing_since
		WHEN k.state = 'starting' THEN k.starting_since
		WHEN k.state = 'hangs' THEN k.hangs_since
	END AS since,
	CASE k.state
		WHEN 'silent'
			THEN format('%s has not answered since %s: %s', k.called, exact._since(k.failing_since),
				k.cause)
		WHEN 'token'
			THEN format('no access token works at %s since %s: %s', k.called,
				exact._since(k.failing_since), k.cause)
		WHEN 'starting'
			THEN format('the warehouse of %s is starting since %s', k.called,
				exact._since(k.starting_since))
		WHEN 'hangs'
			THEN format('%s runs in %s since %s', k.hangs, k.called, exact._since(k.hangs_since))
		WHEN 'slowed'
			THEN format('%s answers, and asks to be called no earlier than %s', k.called,
				exact._since(k.slowed_until))
		WHEN 'answers' THEN k.called || ' answers'
		WHEN 'not called' THEN k.called || ' was not called yet'
		ELSE k.called || ' is not used'
	END AS sentence,
	CASE
		WHEN k.state = 'silent'
			THEN 'the hub tests it every few seconds; SELECT * FROM exact.ping() tests it at once'
		WHEN k.state = 'token' AND k.side = 'exact'
			THEN 'the hub goes on when a token works; SELECT * FROM exact.ping()'
		WHEN k.state = 'token'
			THEN 'SELECT * FROM exact.ping() says what is wrong; a new secret: SELECT * FROM '
				'exact.import_secrets()'
		WHEN k.state = 'starting' THEN 'wait, or use a serverless warehouse'
		WHEN k.state = 'hangs'
			THEN 'if it does not end: Databricks, Query History, cancel it; the hub sends it again'
	END AS next_step,
	k.answered_at, k.asked_at, k.failing_since, k.hangs
FROM known AS k;
COMMENT ON VIEW exact._service IS 'What exact.services and exact.status say of each service';
REVOKE ALL ON TABLE exact._service FROM PUBLIC;

CREATE VIEW exact.services AS
SELECT s.side, s.name, s.light, s.state, date_trunc('second', s.since) AS since,
	s.sentence || CASE
		WHEN s.state NOT IN ('silent', 'token', 'starting', 'hangs') THEN ''
		WHEN w.waiting > 0
			THEN format('; %s, nothing is lost', exact._versions_wait(w.waiting))
		ELSE '; nothing is lost'
	END AS what,
	s.next_step, date_trunc('second', s.answered_at) AS answered_at,
	date_trunc('second', s.asked_at) AS asked_at, coalesce(w.waiting, 0)::bigint AS waiting,
	CASE WHEN s.state = 'hangs' THEN s.hangs END AS hangs
FROM exact._service AS s
LEFT JOIN LATERAL (
	SELECT sum(b.rows - b.delivered_rows) AS waiting
	FROM exact.batch AS b
	LEFT JOIN exact.division AS d ON d.division = b.division
	WHERE b.delivered_at IS NULL AND coalesce(b.workspace, d.workspace) = s.name
) AS w ON s.side = 'databricks'
ORDER BY s.side DESC, s.name;
COMMENT ON VIEW exact.services
	IS 'Each app of Exact Online and each workspace of Databricks: whether it answers, since when '
		'it does not, why, and what waits';
COMMENT ON COLUMN exact.services.side IS 'exact: an app; databricks: a workspace';
COMMENT ON COLUMN exact.services.name IS 'App or workspace';
COMMENT ON COLUMN exact.services.light
	IS 'ok; warn: no good answer for 30 seconds, a warehouse that starts, a statement that runs '
		'longer than a minute; fail: no good answer for ten minutes; off: nothing uses it';
COMMENT ON COLUMN exact.services.state
	IS 'answers, slowed (it asks to be called later), silent, token (no access token works), '
		'starting (its warehouse), hangs (a statement), not called, not used';
COMMENT ON COLUMN exact.services.since IS 'Since when it does not answer, starts or hangs';
COMMENT ON COLUMN exact.services.what IS 'The state in one sentence, with what waits';
COMMENT ON COLUMN exact.services.next_step IS 'What to do; null: nothing';
COMMENT ON COLUMN exact.services.answered_at IS 'Last good answer, to about ten seconds';
COMMENT ON COLUMN exact.services.asked_at IS 'Last call, to about ten seconds';
COMMENT ON COLUMN exact.services.waiting IS 'Versions that are not delivered to the workspace yet';
COMMENT ON COLUMN exact.services.hangs IS 'The statement that runs longer than a minute';
REVOKE ALL ON TABLE exact.services FROM PUBLIC;
GRANT SELECT ON TABLE exact.services TO exact_reader, exact_worker;
