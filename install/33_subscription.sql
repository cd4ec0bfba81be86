-- Subscriptions: which bring notifications.

CREATE TABLE exact.subscription (
	division int,
	topic text,
	id text,
	callback_url text,
	state text NOT NULL DEFAULT 'wanted' CHECK (
		state IN ('wanted', 'present', 'foreign', 'refused')),
	since timestamptz NOT NULL DEFAULT pg_catalog.now(),
	cause text CHECK (
		cause IN ('address', 'listener', 'secret', 'unreachable', 'callback', 'scope', 'right',
			'exists', 'environment', 'topic', 'service')),
	reason text,
	next_step text,
	tried_at timestamptz,
	checked_at timestamptz,
	replaced_at timestamptz,
	last_at timestamptz,
	gaps real[] NOT NULL DEFAULT '{}',
	silent_since timestamptz,
	PRIMARY KEY (division, topic)
);
COMMENT ON TABLE exact.subscription
	IS 'Notifications that the hub wants, by division and topic; see exact.subscriptions';
COMMENT ON COLUMN exact.subscription.division IS 'Division';
COMMENT ON COLUMN exact.subscription.topic IS 'Topic';
COMMENT ON COLUMN exact.subscription.id IS 'Id at Exact Online; null: not known';
COMMENT ON COLUMN exact.subscription.callback_url
	IS 'Address to which Exact Online sends them, as last seen or as last asked for';
COMMENT ON COLUMN exact.subscription.state
	IS 'wanted: to be made; present: ours; foreign: another user of the customer has it; '
		'refused: see reason';
COMMENT ON COLUMN exact.subscription.since IS 'In this state since';
COMMENT ON COLUMN exact.subscription.cause
	IS 'Kind of the reason: address, listener, secret, unreachable (the hub''s own trial), '
		'callback (Exact Online''s trial), scope, right, exists (another user''s), environment, '
		'topic, service; null: none';
COMMENT ON COLUMN exact.subscription.reason IS 'Why';
COMMENT ON COLUMN exact.subscription.next_step IS 'What to do';
COMMENT ON COLUMN exact.subscription.tried_at
	IS 'When the last attempt to make it failed. The hub tries again after a day; '
		'exact.subscribe() tries at once';
COMMENT ON COLUMN exact.subscription.checked_at IS 'When the list of Exact Online was last read';
COMMENT ON COLUMN exact.subscription.replaced_at
	IS 'When the hub last replaced another callback address';
COMMENT ON COLUMN exact.subscription.last_at IS 'Last notification';
COMMENT ON COLUMN exact.subscription.gaps
	IS 'Seconds between the latest notifications, at most 50: the usual gap';
COMMENT ON COLUMN exact.subscription.silent_since IS 'Silent for longer than its usual gap since';
REVOKE ALL ON TABLE exact.subscription FROM PUBLIC;
GRANT SELECT ON TABLE exact.subscription TO exact_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE exact.subscription TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.subscription', '');
