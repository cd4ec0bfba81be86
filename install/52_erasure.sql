-- Records whose content was removed on purpose: what was there, who removed it, and from where.

CREATE TABLE exact.erasure (
	id bigint PRIMARY KEY,
	division int NOT NULL,
	entity text NOT NULL,
	key text NOT NULL,
	who text NOT NULL,
	reason text NOT NULL,
	at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	seq bigint NOT NULL,
	versions int NOT NULL,
	letters int NOT NULL,
	digest bytea NOT NULL,
	modified text
);
COMMENT ON TABLE exact.erasure
	IS 'Records that exact.erase() has removed from the hub, without anything of their content';
COMMENT ON COLUMN exact.erasure.id IS 'The request: exact.request.id';
COMMENT ON COLUMN exact.erasure.division IS 'Division';
COMMENT ON COLUMN exact.erasure.entity IS 'Entity';
COMMENT ON COLUMN exact.erasure.key IS '_key of the record: a Guid';
COMMENT ON COLUMN exact.erasure.who IS 'Who asked for it';
COMMENT ON COLUMN exact.erasure.reason IS 'Why';
COMMENT ON COLUMN exact.erasure.at IS 'When the hub removed it';
COMMENT ON COLUMN exact.erasure.seq IS 'Highest _seq that was removed';
COMMENT ON COLUMN exact.erasure.versions IS 'Versions that were removed from exact.stage';
COMMENT ON COLUMN exact.erasure.letters IS 'Rows of exact.dead_letter that lost their content';
COMMENT ON COLUMN exact.erasure.digest
	IS 'SHA-256 of the hashes of the versions, in the order of _seq: those that the events of '
		'their batches have digests of';
COMMENT ON COLUMN exact.erasure.modified
	IS 'Modified of the newest version: if Exact Online still shows the record with this value, '
		'it is not new';
CREATE INDEX erasure_key ON exact.erasure (division, entity, key);
COMMENT ON INDEX exact.erasure_key IS 'Erasures of a record';
REVOKE ALL ON TABLE exact.erasure FROM PUBLIC;
GRANT SELECT ON TABLE exact.erasure TO exact_reader, exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.erasure', '');

CREATE TABLE exact.erasure_place (
	erasure bigint,
	workspace text,
	division int NOT NULL,
	current_name text,
	history_name text,
	current_rows bigint,
	history_rows bigint,
	gone_at timestamptz,
	vacuum_at timestamptz,
	vacuumed_at timestamptz,
	begun int NOT NULL DEFAULT 0,
	attempts int NOT NULL DEFAULT 0,
	next_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	reason text,
	next_step text,
	PRIMARY KEY (erasure, workspace)
);
COMMENT ON TABLE exact.erasure_place
	IS 'The workspaces whose Delta tables may hold an erased record, and how far it is there';
COMMENT ON COLUMN exact.erasure_place.erasure IS 'exact.erasure.id';
COMMENT ON COLUMN exact.erasure_place.workspace IS 'Workspace';
COMMENT ON COLUMN exact.erasure_place.division IS 'Division';
COMMENT ON COLUMN exact.erasure_place.current_name IS 'Full name of the table of the current state';
COMMENT ON COLUMN exact.erasure_place.history_name IS 'Full name of the table of all versions';
COMMENT ON COLUMN exact.erasure_place.current_rows
	IS 'Rows that were deleted from it; null: the answer that had the number was lost';
COMMENT ON COLUMN exact.erasure_place.history_rows
	IS 'Rows that were deleted from it; null: the answer that had the number was lost';
COMMENT ON COLUMN exact.erasure_place.gone_at
	IS 'When a count showed that neither table has a row of it; null: not yet';
COMMENT ON COLUMN exact.erasure_place.vacuum_at
	IS 'When VACUUM may remove the files that time travel still reads';
COMMENT ON COLUMN exact.erasure_place.vacuumed_at IS 'When VACUUM removed them; null: not yet';
COMMENT ON COLUMN exact.erasure_place.begun
	IS 'How often it was begun; if more than once, the number of rows may be that of an earlier '
		'time';
COMMENT ON COLUMN exact.erasure_place.attempts IS 'Attempts in a row that failed';
COMMENT ON COLUMN exact.erasure_place.next_at IS 'When the next one is made';
COMMENT ON COLUMN exact.erasure_place.reason IS 'What it waits for; null: nothing';
COMMENT ON COLUMN exact.erasure_place.next_step IS 'What to do';
REVOKE ALL ON TABLE exact.erasure_place FROM PUBLIC;
GRANT SELECT ON TABLE exact.erasure_place TO exact_reader, exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.erasure_place', '');
