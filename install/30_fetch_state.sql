-- State of divisions and feeds: written by the workers and the verbs, never by hand. No foreign key
-- to the configuration.

CREATE TABLE exact.division_state (
	division int PRIMARY KEY,
	state text NOT NULL DEFAULT 'ok' CHECK (state IN ('ok', 'paused', 'frozen', 'parked')),
	since timestamptz NOT NULL DEFAULT pg_catalog.now(),
	reason text,
	next_step text,
	minute_limit int,
	minute_left int,
	minute_reset timestamptz,
	day_limit int,
	day_left int,
	day_reset timestamptz,
	gap interval,
	move_date text,
	hr_link_date text,
	mark_generation int NOT NULL DEFAULT 1,
	checked_at timestamptz,
	blocking_status int NOT NULL DEFAULT 0,
	paused_entities text[] NOT NULL DEFAULT '{}',
	resumed_at timestamptz
);
COMMENT ON TABLE exact.division_state IS 'State and call budget of each division';
COMMENT ON COLUMN exact.division_state.division IS 'Division';
COMMENT ON COLUMN exact.division_state.state
	IS 'ok; paused by an operator; frozen by the division guard until resumed; '
		'parked because the service refuses it';
COMMENT ON COLUMN exact.division_state.since IS 'In this state since';
COMMENT ON COLUMN exact.division_state.reason IS 'Why';
COMMENT ON COLUMN exact.division_state.next_step IS 'What to do';
COMMENT ON COLUMN exact.division_state.minute_limit
	IS 'Calls allowed per minute, as the service said last';
COMMENT ON COLUMN exact.division_state.minute_left IS 'Left of them';
COMMENT ON COLUMN exact.division_state.minute_reset
	IS 'When the minute ends and its calls are available again';
COMMENT ON COLUMN exact.division_state.day_limit
	IS 'Calls allowed per day, as the service said last';
COMMENT ON COLUMN exact.division_state.day_left IS 'Left of them';
COMMENT ON COLUMN exact.division_state.day_reset
	IS 'When the day ends and its calls are available again';
COMMENT ON COLUMN exact.division_state.gap
	IS 'Time between two runs of a feed that notifications ask for, so that the day''s calls last; '
		'null: calls are few';
COMMENT ON COLUMN exact.division_state.move_date
	IS 'DivisionMoveDate as last seen. If it changes, all marks start again';
COMMENT ON COLUMN exact.division_state.hr_link_date
	IS 'DivisionHRLinkUnlinkDate as last seen; likewise';
COMMENT ON COLUMN exact.division_state.mark_generation
	IS 'Increased if marks start again: row versions of two generations cannot be compared';
COMMENT ON COLUMN exact.division_state.checked_at IS 'When these dates were read last';
COMMENT ON COLUMN exact.division_state.blocking_status
	IS 'BlockingStatus as read then; not 0: a backup, a conversion or a copy goes on in it, and '
		'nothing is deleted because it is absent';
COMMENT ON COLUMN exact.division_state.paused_entities IS 'Entities of it that an operator paused';
COMMENT ON COLUMN exact.division_state.resumed_at IS 'Last exact.resume() of it';
REVOKE ALL ON TABLE exact.division_state FROM PUBLIC;
GRANT SELECT ON TABLE exact.division_state TO exact_reader;
GRANT SELECT, INSERT, UPDATE ON TABLE exact.division_state TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.division_state', '');

CREATE TABLE exact.feed_state (
	division int,
	feed text,
	mark bigint NOT NULL DEFAULT 1,
	run bigint,
	run_state text NOT NULL DEFAULT 'idle' CHECK (run_state IN ('idle', 'paging', 'closing')),
	next_link text,
	run_started_at timestamptz,
	run_first_max bigint,
	run_max bigint,
	run_rising boolean,
	run_rows bigint NOT NULL DEFAULT 0,
	complete_at timestamptz,
	first_complete_at timestamptz,
	next_run_at timestamptz,
	last_error text,
	last_error_at timestamptz,
	errors int NOT NULL DEFAULT 0,
	confirm_errors int NOT NULL DEFAULT 0,
	fields_digest text,
	requested boolean NOT NULL DEFAULT false,
	notified_first timestamptz,
	notified_last timestamptz,
	reread_from bigint,
	doubted_from bigint,
	run_whole boolean NOT NULL DEFAULT false,
	whole_at timestamptz,
	whole_rows bigint NOT NULL DEFAULT 0,
	again_at timestamptz,
	night_mark bigint,
	night_at timestamptz,
	entities text[],
	consent bigint,
	PRIMARY KEY (division, feed)
);
COMMENT ON TABLE exact.feed_state
	IS 'Cursor of each feed; the feed "deleted" is the log of deletes';
COMMENT ON COLUMN exact.feed_state.division IS 'Division';
COMMENT ON COLUMN exact.feed_state.feed IS 'Feed as in exact.catalogue.feed';
COMMENT ON COLUMN exact.feed_state.mark
	IS 'Row version after which the next run reads, or for feeds by time of change the latest one '
		'in ms of the service''s local clock; 1: from the start';
COMMENT ON COLUMN exact.feed_state.run IS 'Running or last run';
COMMENT ON COLUMN exact.feed_state.run_state
	IS 'idle; paging: between two pages; closing: all pages staged, absent records are looked for';
COMMENT ON COLUMN exact.feed_state.next_link IS 'Next page of the run';
COMMENT ON COLUMN exact.feed_state.run_started_at IS 'When the run started';
COMMENT ON COLUMN exact.feed_state.run_first_max IS 'Highest row version of the run''s first page';
COMMENT ON COLUMN exact.feed_state.run_max IS 'Highest row version of the run';
COMMENT ON COLUMN exact.feed_state.run_rising
	IS 'No page of the run began below the highest row version of those before it';
COMMENT ON COLUMN exact.feed_state.run_rows IS 'Records read by the run';
COMMENT ON COLUMN exact.feed_state.complete_at
	IS 'End of the last complete run; what it read is complete up to its start';
COMMENT ON COLUMN exact.feed_state.first_complete_at
	IS 'End of the first complete run; null: the first load is not done';
COMMENT ON COLUMN exact.feed_state.next_run_at IS 'When the next run is due';
COMMENT ON COLUMN exact.feed_state.last_error
	IS 'What went wrong last; null: nothing since the last success';
COMMENT ON COLUMN exact.feed_state.last_error_at IS 'When';
COMMENT ON COLUMN exact.feed_state.errors IS 'Failures in a row';
COMMENT ON COLUMN exact.feed_state.confirm_errors
	IS 'Keyed reads in a row that should have confirmed deletes and failed';
COMMENT ON COLUMN exact.feed_state.fields_digest
	IS 'Digest of the fields that are read; with another one everything is read again';
COMMENT ON COLUMN exact.feed_state.requested IS 'A run is asked for now';
COMMENT ON COLUMN exact.feed_state.notified_first
	IS 'First notification that no complete run has followed yet';
COMMENT ON COLUMN exact.feed_state.notified_last IS 'Last of them';
COMMENT ON COLUMN exact.feed_state.reread_from
	IS 'The next run reads from here, because a record was asked for before its deletion and '
		'stored after it; null: from the mark';
COMMENT ON COLUMN exact.feed_state.doubted_from
	IS 'The same for the next run that is asked for, because a document seems to lack rows';
COMMENT ON COLUMN exact.feed_state.run_whole
	IS 'The running run reads everything: records that it does not show may be deleted';
COMMENT ON COLUMN exact.feed_state.whole_at
	IS 'Start of the last complete run that read everything';
COMMENT ON COLUMN exact.feed_state.whole_rows IS 'Records it read';
COMMENT ON COLUMN exact.feed_state.again_at
	IS 'When the feed runs again: notifications came, and the run after them showed nothing';
COMMENT ON COLUMN exact.feed_state.night_mark
	IS 'Mark at the beginning of the night; the next night reads again from it';
COMMENT ON COLUMN exact.feed_state.night_at IS 'When that was';
COMMENT ON COLUMN exact.feed_state.entities IS 'Entities that the mark holds for';
COMMENT ON COLUMN exact.feed_state.consent IS 'Token of the consent under which it was read';
REVOKE ALL ON TABLE exact.feed_state FROM PUBLIC;
GRANT SELECT ON TABLE exact.feed_state TO exact_reader;
GRANT SELECT, INSERT, UPDATE ON TABLE exact.feed_state TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.feed_state', '');

CREATE TABLE exact.field_seen (
	entity text,
	name text,
	first_seen timestamptz NOT NULL DEFAULT pg_catalog.now(),
	PRIMARY KEY (entity, name)
);
COMMENT ON TABLE exact.field_seen
	IS 'Fields that records had and the catalogue does not know; '
		'they are in _payload of the history';
COMMENT ON COLUMN exact.field_seen.entity IS 'Entity';
COMMENT ON COLUMN exact.field_seen.name IS 'Field';
COMMENT ON COLUMN exact.field_seen.first_seen IS 'When it came first';
REVOKE ALL ON TABLE exact.field_seen FROM PUBLIC;
GRANT SELECT ON TABLE exact.field_seen TO exact_reader;
GRANT SELECT, INSERT, UPDATE ON TABLE exact.field_seen TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.field_seen', '');

CREATE TABLE exact.dirty_key (
	division int,
	entity text,
	key text,
	since timestamptz NOT NULL DEFAULT pg_catalog.now(),
	reason text NOT NULL DEFAULT 'asked for',
	first_at timestamptz,
	not_before timestamptz,
	due timestamptz NOT NULL DEFAULT pg_catalog.now(),
	PRIMARY KEY (division, entity, key)
);
COMMENT ON TABLE exact.dirty_key IS 'Records that will be read again by their key';
COMMENT ON COLUMN exact.dirty_key.division IS 'Division';
COMMENT ON COLUMN exact.dirty_key.entity IS 'Entity';
COMMENT ON COLUMN exact.dirty_key.key
	IS 'Key of the record; for lines of expanded documents the key of the document, whose lines '
		'are all read';
COMMENT ON COLUMN exact.dirty_key.since IS 'Since when; a later read of the record ends it';
COMMENT ON COLUMN exact.dirty_key.reason IS 'Why';
COMMENT ON COLUMN exact.dirty_key.first_at
	IS 'First notification that no read has followed; null: none';
COMMENT ON COLUMN exact.dirty_key.not_before
	IS 'The hub does not ask before this time, because Exact Online refused this key alone; null: '
		'it was not refused';
COMMENT ON COLUMN exact.dirty_key.due
	IS 'When the hub reads it: after a pause, because notifications come in bursts';
-- Who wants this order says so by the condition: a look-up of a key must never go by this index,
-- and it might, in a plan that was made while no key was dirty.
CREATE INDEX dirty_key_due ON exact.dirty_key (division, entity, reason, due)
	WHERE due OPERATOR(pg_catalog.>) '-infinity'::timestamptz;
COMMENT ON INDEX exact.dirty_key_due IS 'Which are to be read next';
REVOKE ALL ON TABLE exact.dirty_key FROM PUBLIC;
GRANT SELECT ON TABLE exact.dirty_key TO exact_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE exact.dirty_key TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.dirty_key', '');

CREATE SEQUENCE exact.run_id;
COMMENT ON SEQUENCE exact.run_id IS 'Ids of paging runs';
REVOKE ALL ON SEQUENCE exact.run_id FROM PUBLIC;
GRANT SELECT, USAGE ON SEQUENCE exact.run_id TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.run_id', '');
