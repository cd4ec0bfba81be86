-- Which hub this is, and where it runs: written by the first worker, exact.adopt() and
-- exact.fence().

CREATE TABLE exact.installation (
	id text PRIMARY KEY,
	made_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE exact.installation
	IS 'Identity of this hub, made by its first worker; the oldest row counts. '
		'Secrets are bound to it.';
COMMENT ON COLUMN exact.installation.id IS 'Random id; goes with a dump';
COMMENT ON COLUMN exact.installation.made_at IS 'When it was made';
REVOKE ALL ON TABLE exact.installation FROM PUBLIC;
GRANT SELECT ON TABLE exact.installation TO exact_reader;
GRANT SELECT ON TABLE exact.installation TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.installation', '');

CREATE TABLE exact.installation_binding (
	one boolean PRIMARY KEY DEFAULT true CONSTRAINT installation_binding_is_one_row CHECK (one),
	installation text NOT NULL,
	system_identifier text NOT NULL,
	database_oid oid NOT NULL,
	database_name text NOT NULL,
	instance text NOT NULL DEFAULT '',
	epoch int NOT NULL DEFAULT 1 CHECK (epoch BETWEEN 1 AND 4194303),
	overtaken_by int,
	bound_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	bound_by text NOT NULL DEFAULT session_user
);
COMMENT ON TABLE exact.installation_binding
	IS 'Where the installation runs. If it does not match its database, the workers stay off '
		'until exact.adopt()';
COMMENT ON COLUMN exact.installation_binding.one IS 'Always true: there is one row';
COMMENT ON COLUMN exact.installation_binding.installation
	IS 'Id of the installation that runs here';
COMMENT ON COLUMN exact.installation_binding.system_identifier IS 'Identifier of the cluster';
COMMENT ON COLUMN exact.installation_binding.database_oid IS 'Oid of the database';
COMMENT ON COLUMN exact.installation_binding.database_name
	IS 'Name of the database when it was bound';
COMMENT ON COLUMN exact.installation_binding.instance
	IS 'Value of exact_databricks.instance when it was bound';
COMMENT ON COLUMN exact.installation_binding.epoch
	IS 'High part of every _seq: _seq = epoch * 2^40 + counter';
COMMENT ON COLUMN exact.installation_binding.overtaken_by
	IS 'Epoch of another copy of this hub, found in Databricks; '
		'while it is set, the workers stay off. Null: none';
COMMENT ON COLUMN exact.installation_binding.bound_at IS 'When';
COMMENT ON COLUMN exact.installation_binding.bound_by
	IS 'Who: a worker''s superuser, or the one who called exact.adopt()';
REVOKE ALL ON TABLE exact.installation_binding FROM PUBLIC;
GRANT SELECT ON TABLE exact.installation_binding TO exact_reader;
GRANT SELECT, UPDATE (overtaken_by) ON TABLE exact.installation_binding TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.installation_binding', '');

CREATE TABLE exact.epoch (
	epoch int PRIMARY KEY,
	timeline int NOT NULL,
	known_seq bigint,
	reason text NOT NULL,
	raised_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	raised_by text NOT NULL DEFAULT session_user,
	reread_at timestamptz
);
COMMENT ON TABLE exact.epoch
	IS 'Epochs of this installation. An epoch begins if another copy of the hub may have worked. '
		'Databricks takes versions of the newest epoch only (Delta table exact_hub)';
COMMENT ON COLUMN exact.epoch.epoch IS 'Number; never below the timeline of the cluster';
COMMENT ON COLUMN exact.epoch.timeline
	IS 'Timeline of the cluster: a promotion or a point-in-time restore begins another one';
COMMENT ON COLUMN exact.epoch.known_seq
	IS 'Highest _seq of earlier epochs that this database knows: higher ones in Delta came from '
		'another copy. Null: the installation began here';
COMMENT ON COLUMN exact.epoch.reason IS 'Why it was begun';
COMMENT ON COLUMN exact.epoch.raised_at IS 'When';
COMMENT ON COLUMN exact.epoch.raised_by
	IS 'Who: a worker''s superuser, or the one who called exact.adopt() or exact.fence()';
COMMENT ON COLUMN exact.epoch.reread_at
	IS 'When the hub set the feeds back to their start for it; null: not yet, or not needed';
REVOKE ALL ON TABLE exact.epoch FROM PUBLIC;
GRANT SELECT ON TABLE exact.epoch TO exact_reader;
GRANT SELECT, UPDATE (reread_at) ON TABLE exact.epoch TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.epoch', '');

-- Not in a dump: what is restored begins an epoch before it works.
CREATE TABLE exact.claim (
	claim text PRIMARY KEY,
	epoch int NOT NULL,
	made_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE exact.claim
	IS 'One row for each start of the loader. It writes its claim into the Delta table exact_hub '
		'before its first delivery, and every MERGE checks it: of two copies of this hub, '
		'Databricks refuses one. A claim in Delta that is not in this table is that of another '
		'copy';
COMMENT ON COLUMN exact.claim.claim IS 'Random';
COMMENT ON COLUMN exact.claim.epoch IS 'Epoch in which it was made';
COMMENT ON COLUMN exact.claim.made_at IS 'When';
REVOKE ALL ON TABLE exact.claim FROM PUBLIC;
GRANT SELECT ON TABLE exact.claim TO exact_reader;
GRANT SELECT, INSERT ON TABLE exact.claim TO exact_worker;

-- Not in a dump either: it tells of one.
CREATE TABLE exact.dump_load (
	one boolean PRIMARY KEY DEFAULT true CONSTRAINT dump_load_is_one_row CHECK (one),
	begun_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	begun_by text NOT NULL DEFAULT session_user
);
COMMENT ON TABLE exact.dump_load
	IS 'A dump that was loaded into this database, until exact.adopt() makes an event of it';
COMMENT ON COLUMN exact.dump_load.one IS 'Always true: there is one row';
COMMENT ON COLUMN exact.dump_load.begun_at IS 'When its first row came';
COMMENT ON COLUMN exact.dump_load.begun_by IS 'Who loaded it';
REVOKE ALL ON TABLE exact.dump_load FROM PUBLIC;
GRANT SELECT ON TABLE exact.dump_load TO exact_reader;
