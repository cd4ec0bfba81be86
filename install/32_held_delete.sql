-- Deletes that were found by absence only, in great numbers.

CREATE SEQUENCE exact.change_id;
COMMENT ON SEQUENCE exact.change_id IS 'Numbers of what exact.approve() and exact.reject() decide';
REVOKE ALL ON SEQUENCE exact.change_id FROM PUBLIC;
GRANT USAGE ON SEQUENCE exact.change_id TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.change_id', '');

CREATE TABLE exact.held_delete (
	id bigint PRIMARY KEY DEFAULT pg_catalog.nextval('exact.change_id'),
	division int NOT NULL,
	entity text NOT NULL,
	keys text[] NOT NULL,
	alive bigint NOT NULL,
	reason text NOT NULL,
	run bigint,
	found_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	state text NOT NULL DEFAULT 'held' CHECK (
		state IN ('held', 'approved', 'rejected', 'returned')),
	decided_by text,
	decided_at timestamptz
);
COMMENT ON TABLE exact.held_delete
	IS 'Records that a complete read did not show, too many to be deleted without a word: '
		'exact.approve(id) deletes them, exact.reject(id) keeps them';
COMMENT ON COLUMN exact.held_delete.id IS 'For exact.approve() and exact.reject()';
COMMENT ON COLUMN exact.held_delete.division IS 'Division';
COMMENT ON COLUMN exact.held_delete.entity IS 'Entity';
COMMENT ON COLUMN exact.held_delete.keys IS 'Keys of the records';
COMMENT ON COLUMN exact.held_delete.alive IS 'Records that the hub knew as not deleted then';
COMMENT ON COLUMN exact.held_delete.reason IS 'Why they are held';
COMMENT ON COLUMN exact.held_delete.run IS 'Run that did not show them';
COMMENT ON COLUMN exact.held_delete.found_at IS 'When';
COMMENT ON COLUMN exact.held_delete.state
	IS 'held, approved or rejected; returned: a later complete read shows them all again';
COMMENT ON COLUMN exact.held_delete.decided_by IS 'Who decided';
COMMENT ON COLUMN exact.held_delete.decided_at IS 'When';
CREATE UNIQUE INDEX held_delete_open ON exact.held_delete (division, entity) WHERE state = 'held';
COMMENT ON INDEX exact.held_delete_open IS 'One question an entity at a time';
REVOKE ALL ON TABLE exact.held_delete FROM PUBLIC;
GRANT SELECT ON TABLE exact.held_delete TO exact_reader;
GRANT SELECT, INSERT, UPDATE ON TABLE exact.held_delete TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.held_delete', '');
