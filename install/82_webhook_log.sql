-- What notifications came and what became of them.

CREATE VIEW exact.webhook_log AS
SELECT i.id AS number, i.at, i.app, i.division, i.topic, i.action, i.key, i.secret,
	CASE
		WHEN w.taken_at IS NULL THEN 'waits for the fetcher'
		WHEN w.reason IS NOT NULL THEN 'ignored: ' || w.reason
		ELSE 'taken after '
			|| exact._took(extract(epoch FROM w.taken_at - i.at)::double precision * 1000)
	END AS outcome
FROM exact.inbox AS i
LEFT JOIN exact.inbox_work AS w ON w.id = i.id;
COMMENT ON VIEW exact.webhook_log
	IS 'Notifications of the last seven days whose signature was right, and what became of them';
COMMENT ON COLUMN exact.webhook_log.number IS 'Number of the notification';
COMMENT ON COLUMN exact.webhook_log.at IS 'When it was received';
COMMENT ON COLUMN exact.webhook_log.app IS 'App whose webhook secret signed it';
COMMENT ON COLUMN exact.webhook_log.division IS 'Division that it names';
COMMENT ON COLUMN exact.webhook_log.topic IS 'Topic that it names';
COMMENT ON COLUMN exact.webhook_log.action IS 'Create, Update or Delete';
COMMENT ON COLUMN exact.webhook_log.key IS 'Record that it names';
COMMENT ON COLUMN exact.webhook_log.secret IS 'current or next: the webhook secret that signed it';
COMMENT ON COLUMN exact.webhook_log.outcome
	IS 'waits for the fetcher, taken after how long, or ignored and why';
REVOKE ALL ON TABLE exact.webhook_log FROM PUBLIC;
GRANT SELECT ON TABLE exact.webhook_log TO exact_reader;
