-- Subscriptions: which topics are wanted, and how each stands.

CREATE FUNCTION exact._hub_mark() RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT left(encode(sha256(convert_to(i.id, 'UTF8')), 'hex'), 16)
	FROM exact.installation AS i
	ORDER BY i.made_at, i.id
	LIMIT 1
$$;
COMMENT ON FUNCTION exact._hub_mark()
	IS 'How this hub is known by its answers (header X-Exact-Hub): '
		'first 16 digits of the SHA-256 of its installation; null: none yet';
REVOKE ALL ON FUNCTION exact._hub_mark() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._hub_mark() TO exact_worker;

-- All topics of an entity are wanted: each announces some of its changes. FinancialTransactions,
-- which announces any financial entry, only where one of the others is not known to the service.
CREATE FUNCTION exact._wanted_topics() RETURNS TABLE (division int, topic text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH feed AS (
		SELECT f.division, e.topics
		FROM exact.feed AS f
		JOIN exact.division AS d ON d.division = f.division AND d.enabled
		JOIN exact.entity_effective AS e ON e.entity = f.entity
		WHERE f.enabled AND e.topics IS NOT NULL
	)
	SELECT feed.division, t.topic
	FROM feed, unnest(feed.topics) AS t (topic)
	WHERE t.topic <> 'FinancialTransactions'
	UNION
	SELECT feed.division, 'FinancialTransactions'
	FROM feed
	JOIN exact.subscription AS s ON s.division = feed.division AND s.topic = ANY (feed.topics)
	WHERE 'FinancialTransactions' = ANY (feed.topics) AND s.state = 'refused' AND s.cause = 'topic'
$$;
COMMENT ON FUNCTION exact._wanted_topics()
	IS 'Topics that the enabled entities of enabled divisions need';
REVOKE ALL ON FUNCTION exact._wanted_topics() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._wanted_topics() TO exact_worker;

CREATE VIEW exact.subscriptions AS
SELECT s.division, s.topic, s.state, date_trunc('second', s.since) AS since, s.callback_url,
	coalesce(s.reason, CASE
		WHEN s.silent_since IS NOT NULL
			THEN format('silent since %s, for longer than usual; its feed is read by polling',
				to_char(s.silent_since, 'YYYY-MM-DD HH24:MI'))
		WHEN s.state = 'wanted' THEN 'waits for the fetcher' END) AS what,
	s.next_step, date_trunc('second', s.last_at) AS last_notification,
	(SELECT date_trunc('second',
		make_interval(secs => percentile_disc(0.95) WITHIN GROUP (ORDER BY g.gap)))
		FROM unnest(s.gaps) AS g (gap)) AS usual_gap,
	date_trunc('second', s.silent_since) AS silent_since,
	date_trunc('second', s.checked_at) AS checked_at
FROM exact.subscription AS s
ORDER BY s.division, s.topic;
COMMENT ON VIEW exact.subscriptions
	IS 'Notifications that the hub wants, by division and topic: '
		'whether Exact Online sends them, and when the last came';
COMMENT ON COLUMN exact.subscriptions.division IS 'Division';
COMMENT ON COLUMN exact.subscriptions.topic IS 'Topic; one may serve several entities';
COMMENT ON COLUMN exact.subscriptions.state
	IS 'wanted: not made yet; present: ours; foreign: another user''s or another '
		'environment''s; refused';
COMMENT ON COLUMN exact.subscriptions.since IS 'In this state since';
COMMENT ON COLUMN exact.subscriptions.callback_url
	IS 'Address to which Exact Online sends them, as last seen or as last asked for';
COMMENT ON COLUMN exact.subscriptions.what IS 'Why it is in this state; null: nothing to say';
COMMENT ON COLUMN exact.subscriptions.next_step IS 'What to do; null: nothing';
COMMENT ON COLUMN exact.subscriptions.last_notification IS 'When the last notification came';
COMMENT ON COLUMN exact.subscriptions.usual_gap
	IS 'Time between two notifications that 95 of 100 of the latest did not exceed; null: none yet';
COMMENT ON COLUMN exact.subscriptions.silent_since
	IS 'Silent for longer than its usual gap since; null: it is not';
COMMENT ON COLUMN exact.subscriptions.checked_at IS 'When the list of Exact Online was last read';
REVOKE ALL ON TABLE exact.subscriptions FROM PUBLIC;
GRANT SELECT ON TABLE exact.subscriptions TO exact_reader;
