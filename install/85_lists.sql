-- Views that show one table each, in a reader's words.

CREATE VIEW exact.calls AS
SELECT date_trunc('second', c.at) AS at, c.division, c.feed,
	c.method || ' ' || split_part(c.path, '?', 1) AS call, c.status, c.rows,
	exact._took(c.took_ms) AS took,
	c.day_left AS left_today, coalesce(c.error, c.reason, nullif(c.outcome, 'ok')) AS problem
FROM exact.api_call AS c
ORDER BY c.id DESC;
COMMENT ON VIEW exact.calls
	IS 'Calls to Exact Online, newest first; with their queries in exact.api_call';
COMMENT ON COLUMN exact.calls.at IS 'When it was sent';
COMMENT ON COLUMN exact.calls.division IS 'Division';
COMMENT ON COLUMN exact.calls.feed IS 'Feed that asked';
COMMENT ON COLUMN exact.calls.call IS 'Method and resource';
COMMENT ON COLUMN exact.calls.status IS 'HTTP status; null: no answer';
COMMENT ON COLUMN exact.calls.rows IS 'Records in the answer';
COMMENT ON COLUMN exact.calls.took IS 'Time until the last byte';
COMMENT ON COLUMN exact.calls.left_today IS 'Calls left in the day, as the answer said';
COMMENT ON COLUMN exact.calls.problem IS 'What went wrong';
REVOKE ALL ON TABLE exact.calls FROM PUBLIC;
GRANT SELECT ON TABLE exact.calls TO exact_reader;

CREATE VIEW exact.apps AS
SELECT a.name, a.region, a.client_id, coalesce(s.state, 'new') AS state,
	date_trunc('second', s.since) AS since, s.user_name,
	exact._age(now() - t.issued_at) AS token_age,
	(SELECT count(*) FROM exact.division AS d WHERE d.app = a.name AND d.enabled) AS divisions,
		s.reason, s.next_step
FROM exact.app AS a
LEFT JOIN exact.app_state AS s ON s.app = a.name
LEFT JOIN LATERAL (
	SELECT x.issued_at FROM exact.token AS x WHERE x.app = a.name ORDER BY x.id DESC LIMIT 1
) AS t ON true
ORDER BY a.name;
COMMENT ON VIEW exact.apps IS 'Apps with their authorisation';
COMMENT ON COLUMN exact.apps.name IS 'App';
COMMENT ON COLUMN exact.apps.region IS 'Which Exact Online';
COMMENT ON COLUMN exact.apps.client_id IS 'Client id of the registration';
COMMENT ON COLUMN exact.apps.state IS 'new, authorized or reauthorize';
COMMENT ON COLUMN exact.apps.since IS 'In this state since';
COMMENT ON COLUMN exact.apps.user_name IS 'User of Exact Online who consented';
COMMENT ON COLUMN exact.apps.token_age
	IS 'Time since the newest token was issued; null: none, or not known';
COMMENT ON COLUMN exact.apps.divisions IS 'Enabled divisions that it reads';
COMMENT ON COLUMN exact.apps.reason IS 'Why it is in this state';
COMMENT ON COLUMN exact.apps.next_step IS 'What to do';
REVOKE ALL ON TABLE exact.apps FROM PUBLIC;
GRANT SELECT ON TABLE exact.apps TO exact_reader;

CREATE VIEW exact.divisions AS
SELECT d.division, d.description, d.app, d.workspace, d.enabled,
	(SELECT count(*) FROM exact.feed AS f WHERE f.division = d.division AND f.enabled) AS entities,
	coalesce(s.state, 'ok') AS state, date_trunc('second', s.since) AS since, s.reason, s.next_step,
	s.paused_entities
FROM exact.division AS d
LEFT JOIN exact.division_state AS s USING (division)
ORDER BY d.division;
COMMENT ON VIEW exact.divisions IS 'Divisions with their state';
COMMENT ON COLUMN exact.divisions.division IS 'Division';
COMMENT ON COLUMN exact.divisions.description IS 'Its name';
COMMENT ON COLUMN exact.divisions.app IS 'App that reads it';
COMMENT ON COLUMN exact.divisions.workspace IS 'Workspace that its records go to';
COMMENT ON COLUMN exact.divisions.enabled IS 'Its feeds run';
COMMENT ON COLUMN exact.divisions.entities IS 'Enabled entities';
COMMENT ON COLUMN exact.divisions.state IS 'ok, paused, frozen or parked';
COMMENT ON COLUMN exact.divisions.since IS 'In this state since';
COMMENT ON COLUMN exact.divisions.reason IS 'Why';
COMMENT ON COLUMN exact.divisions.next_step IS 'What to do';
COMMENT ON COLUMN exact.divisions.paused_entities IS 'Entities that an operator paused';
REVOKE ALL ON TABLE exact.divisions FROM PUBLIC;
GRANT SELECT ON TABLE exact.divisions TO exact_reader;

CREATE VIEW exact.budget AS
WITH wait AS (
	SELECT r.division,
		min(r.reading) FILTER (WHERE r.resource = '') AS reading,
		min(r.until) FILTER (WHERE r.resource = '') AS until,
		jsonb_object_agg(r.resource, r.until) FILTER (WHERE r.reading = 'endpoint') AS blocked,
		jsonb_object_agg(r.resource, r.until) FILTER (WHERE r.reading = 'errors') AS closed,
		jsonb_object_agg(r.resource, r.until) FILTER (WHERE r.reading = 'writes')
			AS closed_to_writes
	FROM exact.rate_limit AS r
	WHERE r.until > now()
	GROUP BY r.division
), known AS (
	SELECT s.division, s.minute_limit, s.minute_left, s.minute_reset, s.day_limit, s.day_left,
		s.day_reset, s.gap
	FROM exact.division_state AS s
	WHERE s.day_limit IS NOT NULL OR s.minute_limit IS NOT NULL
)
SELECT division,
	CASE WHEN s.minute_reset < now() THEN s.minute_limit ELSE s.minute_left END AS minute_left,
		s.minute_limit, s.minute_reset,
	CASE WHEN s.day_reset < now() THEN s.day_limit ELSE s.day_left END AS day_left, s.day_limit,
		s.day_reset,
	CASE WHEN s.day_reset > now() THEN s.gap END AS gap,
	CASE
		WHEN w.reading IS NOT NULL THEN w.reading
		WHEN s.day_left <= 2 AND s.day_reset > now() THEN 'day'
	END AS reading,
	CASE
		WHEN w.reading IS NOT NULL THEN w.until
		WHEN s.day_left <= 2 AND s.day_reset > now() THEN s.day_reset
	END AS until,
	w.blocked, w.closed, w.closed_to_writes
FROM known AS s
FULL JOIN wait AS w USING (division)
ORDER BY division;
COMMENT ON VIEW exact.budget IS 'Calls that each division has left, as Exact Online said last';
COMMENT ON COLUMN exact.budget.division IS 'Division';
COMMENT ON COLUMN exact.budget.minute_left IS 'Left in the minute';
COMMENT ON COLUMN exact.budget.minute_limit IS 'Calls allowed per minute';
COMMENT ON COLUMN exact.budget.minute_reset IS 'When the minute ends';
COMMENT ON COLUMN exact.budget.day_left IS 'Left in the day';
COMMENT ON COLUMN exact.budget.day_limit IS 'Calls allowed per day';
COMMENT ON COLUMN exact.budget.day_reset IS 'When the day ends';
COMMENT ON COLUMN exact.budget.gap
	IS 'Time between two runs of a feed that notifications ask for, so that the day''s calls last; '
		'null: calls are few';
COMMENT ON COLUMN exact.budget.reading
	IS 'What the division waits for: minute, day (that limit is used up), '
		'unknown (a 429 that said nothing); null: it does not wait';
COMMENT ON COLUMN exact.budget.until IS 'When it goes on';
COMMENT ON COLUMN exact.budget.blocked
	IS 'Endpoints that Exact Online has blocked, and when each is tried again; '
		'the division goes on without them';
COMMENT ON COLUMN exact.budget.closed
	IS 'Endpoints that the hub leaves alone after six errors within an hour, before Exact Online '
		'blocks them, and when each is tried again; exact.resume() tries at once';
COMMENT ON COLUMN exact.budget.closed_to_writes
	IS 'Endpoints that are still read and not written after six errors within an hour, and when '
		'each is written again; exact.resume() writes at once';
REVOKE ALL ON TABLE exact.budget FROM PUBLIC;
GRANT SELECT ON TABLE exact.budget TO exact_reader, exact_worker;

CREATE VIEW exact.fields AS
SELECT f.entity, f.name, f.edm_type, v.target_type, f.class, f.key,
	concat_ws(', ', CASE WHEN f.source_field <> f.name THEN 'from ' || f.source_field END,
		CASE WHEN f.derived THEN coalesce('text of ' || f.derived_from, 'joined text') END,
		CASE WHEN f.padded THEN 'trimmed' END,
		CASE
			WHEN f.target_type IS NULL THEN 'no column'
			WHEN v.name IS NULL THEN 'not selected'
		END) AS note
FROM exact.catalogue_field AS f
LEFT JOIN exact.field_effective AS v ON v.entity = f.entity AND v.name = f.name
UNION ALL
SELECT s.entity, s.name, NULL, NULL, NULL, false,
	'not in the catalogue, seen first ' || exact._since(s.first_seen)
FROM exact.field_seen AS s;
COMMENT ON VIEW exact.fields IS 'Fields of every entity and the Delta columns they become';
COMMENT ON COLUMN exact.fields.entity IS 'Entity';
COMMENT ON COLUMN exact.fields.name IS 'Field and Delta column';
COMMENT ON COLUMN exact.fields.edm_type IS 'OData type';
COMMENT ON COLUMN exact.fields.target_type IS 'Type of the Delta column; null: no column';
COMMENT ON COLUMN exact.fields.class IS 'amount, price, rate or quantity';
COMMENT ON COLUMN exact.fields.key IS 'It is _key';
COMMENT ON COLUMN exact.fields.note IS 'What is special about it';
REVOKE ALL ON TABLE exact.fields FROM PUBLIC;
GRANT SELECT ON TABLE exact.fields TO exact_reader;
