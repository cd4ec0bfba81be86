-- Records that answers did not show: how many within an hour, and those that an operator decides.

CREATE SEQUENCE exact.change_id;
COMMENT ON SEQUENCE exact.change_id IS 'Numbers of what exact.approve() and exact.reject() decide';
REVOKE ALL ON SEQUENCE exact.change_id FROM PUBLIC;
GRANT USAGE ON SEQUENCE exact.change_id TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.change_id', '');

CREATE TABLE exact.held_delete (
	id bigint PRIMARY KEY DEFAULT pg_catalog.nextval('exact.change_id'),
	division int NOT NULL,
	entity text NOT NULL,
	records bigint NOT NULL,
	alive bigint NOT NULL,
	reason text NOT NULL,
	run bigint,
	run_started_at timestamptz,
	found_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	state text NOT NULL DEFAULT 'held' CHECK (
		state IN ('held', 'approved', 'rejected', 'returned')),
	decided_by text,
	decided_at timestamptz
);
COMMENT ON TABLE exact.held_delete
	IS 'Absent records that the hub does not delete until a person decides: exact.approve(id) '
		'deletes them, exact.reject(id) keeps them. exact.held shows the records';
COMMENT ON COLUMN exact.held_delete.id IS 'For exact.approve() and exact.reject()';
COMMENT ON COLUMN exact.held_delete.division IS 'Division';
COMMENT ON COLUMN exact.held_delete.entity IS 'Entity';
COMMENT ON COLUMN exact.held_delete.records
	IS 'How many records wait; after a decision: how many waited last';
COMMENT ON COLUMN exact.held_delete.alive IS 'Records that the hub knew as not deleted then';
COMMENT ON COLUMN exact.held_delete.reason IS 'Why they are held';
COMMENT ON COLUMN exact.held_delete.run
	IS 'Complete run whose absent records are held; null: only the records of exact.held_key are '
		'held';
COMMENT ON COLUMN exact.held_delete.run_started_at
	IS 'When it started; records that came later are not held';
COMMENT ON COLUMN exact.held_delete.found_at IS 'When';
COMMENT ON COLUMN exact.held_delete.state
	IS 'held, approved or rejected; returned: answers showed them again, or the '
		'log of deletes named them';
COMMENT ON COLUMN exact.held_delete.decided_by IS 'Who decided';
COMMENT ON COLUMN exact.held_delete.decided_at IS 'When';
CREATE UNIQUE INDEX held_delete_open ON exact.held_delete (division, entity) WHERE state = 'held';
COMMENT ON INDEX exact.held_delete_open IS 'One question an entity at a time';
CREATE INDEX held_delete_kept ON exact.held_delete (division, entity)
	WHERE state IN ('held', 'rejected');
COMMENT ON INDEX exact.held_delete_kept IS 'Records that are kept though they are absent';
REVOKE ALL ON TABLE exact.held_delete FROM PUBLIC;
GRANT SELECT ON TABLE exact.held_delete TO exact_reader;
GRANT SELECT, INSERT, UPDATE ON TABLE exact.held_delete TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.held_delete', '');

CREATE TABLE exact.held_key (
	division int,
	entity text,
	key text,
	held bigint REFERENCES exact.held_delete ON DELETE CASCADE,
	doubted boolean NOT NULL,
	since timestamptz NOT NULL DEFAULT pg_catalog.now(),
	PRIMARY KEY (division, entity, key)
);
COMMENT ON TABLE exact.held_key
	IS 'Records that keyed reads did not show: those of exact.held_delete, and those for which '
		'the hub awaits a second answer';
COMMENT ON COLUMN exact.held_key.division IS 'Division';
COMMENT ON COLUMN exact.held_key.entity IS 'Entity';
COMMENT ON COLUMN exact.held_key.key IS '_key of the record';
COMMENT ON COLUMN exact.held_key.held
	IS 'Its row in exact.held_delete; null: one answer did not show it, the next one decides';
COMMENT ON COLUMN exact.held_key.doubted
	IS 'The answer was not credible: the hub asks again, and two credible answers decide without '
		'a person';
COMMENT ON COLUMN exact.held_key.since IS 'When an answer did not show it for the first time';
CREATE INDEX held_key_held ON exact.held_key (held);
COMMENT ON INDEX exact.held_key_held IS 'Records of a question';
REVOKE ALL ON TABLE exact.held_key FROM PUBLIC;
GRANT SELECT ON TABLE exact.held_key TO exact_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE exact.held_key TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.held_key', '');

CREATE TABLE exact.absence (
	division int,
	entity text,
	minute timestamptz,
	records bigint NOT NULL,
	PRIMARY KEY (division, entity, minute)
);
COMMENT ON TABLE exact.absence
	IS 'Records that answers of the last hour did not show, from all kinds of reading';
COMMENT ON COLUMN exact.absence.division IS 'Division';
COMMENT ON COLUMN exact.absence.entity IS 'Entity';
COMMENT ON COLUMN exact.absence.minute IS 'Minute';
COMMENT ON COLUMN exact.absence.records IS 'How many in it';
REVOKE ALL ON TABLE exact.absence FROM PUBLIC;
GRANT SELECT ON TABLE exact.absence TO exact_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE exact.absence TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.absence', '');

CREATE TABLE exact.seen_document (
	division int,
	feed text,
	run bigint,
	key text,
	PRIMARY KEY (division, feed, run, key)
);
COMMENT ON TABLE exact.seen_document
	IS 'Documents on the pages of a running run. After its last page, the hub asks for those of '
		'their lines that it did not show';
COMMENT ON COLUMN exact.seen_document.division IS 'Division';
COMMENT ON COLUMN exact.seen_document.feed IS 'Feed';
COMMENT ON COLUMN exact.seen_document.run IS 'Run';
COMMENT ON COLUMN exact.seen_document.key IS 'Key of the document';
REVOKE ALL ON TABLE exact.seen_document FROM PUBLIC;
GRANT SELECT ON TABLE exact.seen_document TO exact_reader;
GRANT SELECT, INSERT, DELETE ON TABLE exact.seen_document TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.seen_document', '');
