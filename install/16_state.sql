-- State: written by the workers and the verbs, never by hand. No foreign key to the configuration.

CREATE TABLE exact.installation (
	id text PRIMARY KEY,
	made_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE exact.installation IS 'Identity of this hub, made by its first worker; the oldest row counts. Secrets are bound to it.';
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
COMMENT ON TABLE exact.installation_binding IS 'Where the installation runs. Where it does not match the database it is in, the workers stay off until exact.adopt()';
COMMENT ON COLUMN exact.installation_binding.one IS 'Always true: there is one row';
COMMENT ON COLUMN exact.installation_binding.installation IS 'Id of the installation that runs here';
COMMENT ON COLUMN exact.installation_binding.system_identifier IS 'Identifier of the cluster';
COMMENT ON COLUMN exact.installation_binding.database_oid IS 'Oid of the database';
COMMENT ON COLUMN exact.installation_binding.database_name IS 'Name of the database when it was bound';
COMMENT ON COLUMN exact.installation_binding.instance IS 'Value of exact_databricks.instance when it was bound';
COMMENT ON COLUMN exact.installation_binding.epoch IS 'High part of every _seq: _seq = epoch * 2^40 + counter';
COMMENT ON COLUMN exact.installation_binding.overtaken_by IS 'Epoch of another copy of this hub, found in Databricks; while it is set, the workers stay off. Null: none';
COMMENT ON COLUMN exact.installation_binding.bound_at IS 'When';
COMMENT ON COLUMN exact.installation_binding.bound_by IS 'Who: a worker''s superuser, or the one who called exact.adopt()';
REVOKE ALL ON TABLE exact.installation_binding FROM PUBLIC;
GRANT SELECT ON TABLE exact.installation_binding TO exact_reader;
GRANT SELECT, UPDATE (overtaken_by) ON TABLE exact.installation_binding TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.installation_binding', '');

CREATE TABLE exact.epoch (
	epoch int PRIMARY KEY,
	claim text NOT NULL DEFAULT pg_catalog.gen_random_uuid()::text,
	timeline int NOT NULL,
	known_seq bigint,
	reason text NOT NULL,
	raised_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	raised_by text NOT NULL DEFAULT session_user,
	reread_at timestamptz
);
COMMENT ON TABLE exact.epoch IS 'Epochs of this installation: each begins when another copy of it may have worked meanwhile. Databricks takes versions of the newest one only (Delta table exact_hub)';
COMMENT ON COLUMN exact.epoch.epoch IS 'Number; never below the timeline of the cluster';
COMMENT ON COLUMN exact.epoch.claim IS 'Random; tells two copies that came to the same number apart';
COMMENT ON COLUMN exact.epoch.timeline IS 'Timeline of the cluster: a promotion or a point-in-time restore begins another one';
COMMENT ON COLUMN exact.epoch.known_seq IS 'Highest _seq of the epochs before that this database knows: what Delta holds above it came from another copy. Null: the installation began here';
COMMENT ON COLUMN exact.epoch.reason IS 'Why it was begun';
COMMENT ON COLUMN exact.epoch.raised_at IS 'When';
COMMENT ON COLUMN exact.epoch.raised_by IS 'Who: a worker''s superuser, or the one who called exact.adopt() or exact.fence()';
COMMENT ON COLUMN exact.epoch.reread_at IS 'When the feeds were sent back to their start for it; null: not yet, or not needed';
REVOKE ALL ON TABLE exact.epoch FROM PUBLIC;
GRANT SELECT ON TABLE exact.epoch TO exact_reader;
GRANT SELECT, UPDATE (reread_at) ON TABLE exact.epoch TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.epoch', '');

CREATE TABLE exact.app_state (
	app text PRIMARY KEY,
	state text NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'authorized', 'reauthorize')),
	since timestamptz NOT NULL DEFAULT pg_catalog.now(),
	reason text,
	next_step text,
	oauth_state text,
	oauth_state_at timestamptz,
	redirect_uri text,
	user_name text,
	learned_refresh_age int,
	refreshing_since timestamptz,
	refresh_attempts int NOT NULL DEFAULT 0
);
COMMENT ON TABLE exact.app_state IS 'Authorisation of each app';
COMMENT ON COLUMN exact.app_state.app IS 'App';
COMMENT ON COLUMN exact.app_state.state IS 'new: nobody consented yet; authorized; reauthorize: a human must consent again';
COMMENT ON COLUMN exact.app_state.since IS 'In this state since';
COMMENT ON COLUMN exact.app_state.reason IS 'Why';
COMMENT ON COLUMN exact.app_state.next_step IS 'What to do';
COMMENT ON COLUMN exact.app_state.oauth_state IS 'Value that the redirect must bring back; used once';
COMMENT ON COLUMN exact.app_state.oauth_state_at IS 'When it was made; valid ten minutes';
COMMENT ON COLUMN exact.app_state.redirect_uri IS 'Redirect address of the running authorisation';
COMMENT ON COLUMN exact.app_state.user_name IS 'User of Exact Online who consented';
COMMENT ON COLUMN exact.app_state.learned_refresh_age IS 'Seconds: age at which the service accepted a refresh, when it refused an earlier one';
COMMENT ON COLUMN exact.app_state.refreshing_since IS 'A refresh was sent and its outcome is not recorded yet';
COMMENT ON COLUMN exact.app_state.refresh_attempts IS 'How often it was sent';
REVOKE ALL ON TABLE exact.app_state FROM PUBLIC;
GRANT SELECT, INSERT, UPDATE ON TABLE exact.app_state TO exact_admin, exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.app_state', '');

CREATE TABLE exact.token (
	id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
	app text NOT NULL,
	installation text NOT NULL,
	host text NOT NULL,
	key_id text NOT NULL,
	access bytea,
	refresh bytea,
	issued_at timestamptz,
	expires_at timestamptz,
	origin text NOT NULL CHECK (origin IN ('authorize', 'refresh', 'import'))
);
COMMENT ON TABLE exact.token IS 'Token pairs of Exact Online, encrypted; the newest row of an app counts, older ones are history';
COMMENT ON COLUMN exact.token.id IS 'Order';
COMMENT ON COLUMN exact.token.app IS 'App';
COMMENT ON COLUMN exact.token.installation IS 'Installation that the ciphertext is bound to';
COMMENT ON COLUMN exact.token.host IS 'Address that the token is for; the ciphertext is bound to it';
COMMENT ON COLUMN exact.token.key_id IS 'Key that encrypted it';
COMMENT ON COLUMN exact.token.access IS 'Access token, encrypted; null: none yet';
COMMENT ON COLUMN exact.token.refresh IS 'Refresh token, encrypted';
COMMENT ON COLUMN exact.token.issued_at IS 'When the service issued it; null: not known';
COMMENT ON COLUMN exact.token.expires_at IS 'When the access token ends';
COMMENT ON COLUMN exact.token.origin IS 'authorize, refresh or import';
CREATE INDEX token_app ON exact.token (app, id DESC);
COMMENT ON INDEX exact.token_app IS 'Newest token of an app';
REVOKE ALL ON TABLE exact.token FROM PUBLIC;
REVOKE ALL ON SEQUENCE exact.token_id_seq FROM PUBLIC;
GRANT SELECT, INSERT ON TABLE exact.token TO exact_admin, exact_worker;
GRANT USAGE ON SEQUENCE exact.token_id_seq TO exact_admin, exact_worker;
COMMENT ON SEQUENCE exact.token_id_seq IS 'Order of tokens';
SELECT pg_catalog.pg_extension_config_dump('exact.token', '');
SELECT pg_catalog.pg_extension_config_dump('exact.token_id_seq', '');

CREATE TABLE exact.credential (
	kind text CHECK (kind IN ('app', 'workspace', 'listener')),
	name text,
	field text,
	secret bytea NOT NULL,
	key_id text NOT NULL,
	host text,
	set_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	set_by text NOT NULL DEFAULT session_user,
	PRIMARY KEY (kind, name, field)
);
COMMENT ON TABLE exact.credential IS 'Secrets of apps and workspaces, encrypted; see the view exact.credentials';
COMMENT ON COLUMN exact.credential.kind IS 'app, workspace or listener';
COMMENT ON COLUMN exact.credential.name IS 'Name of the app or workspace; status: of the listener''s page';
COMMENT ON COLUMN exact.credential.field IS 'client_secret, webhook_secret, webhook_secret_next, refresh_token or token';
COMMENT ON COLUMN exact.credential.secret IS 'Version, key id, nonce, ciphertext and tag';
COMMENT ON COLUMN exact.credential.key_id IS 'Key that encrypted it';
COMMENT ON COLUMN exact.credential.host IS 'Address that it is for; another address cannot open it';
COMMENT ON COLUMN exact.credential.set_at IS 'When it was set';
COMMENT ON COLUMN exact.credential.set_by IS 'Who set it';
REVOKE ALL ON TABLE exact.credential FROM PUBLIC;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE exact.credential TO exact_admin;
GRANT SELECT, INSERT, UPDATE ON TABLE exact.credential TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.credential', '');

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
	paused_entities text[] NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE exact.division_state IS 'State and call budget of each division';
COMMENT ON COLUMN exact.division_state.division IS 'Division';
COMMENT ON COLUMN exact.division_state.state IS 'ok; paused by an operator; frozen by the division guard until resumed; parked because the service refuses it';
COMMENT ON COLUMN exact.division_state.since IS 'In this state since';
COMMENT ON COLUMN exact.division_state.reason IS 'Why';
COMMENT ON COLUMN exact.division_state.next_step IS 'What to do';
COMMENT ON COLUMN exact.division_state.minute_limit IS 'Calls a minute, as the service said last';
COMMENT ON COLUMN exact.division_state.minute_left IS 'Left of them';
COMMENT ON COLUMN exact.division_state.minute_reset IS 'When they are given anew';
COMMENT ON COLUMN exact.division_state.day_limit IS 'Calls a day, as the service said last';
COMMENT ON COLUMN exact.division_state.day_left IS 'Left of them';
COMMENT ON COLUMN exact.division_state.day_reset IS 'When they are given anew';
COMMENT ON COLUMN exact.division_state.gap IS 'Time between two runs of a feed that notifications ask for, so that the day''s calls last; null: calls are few';
COMMENT ON COLUMN exact.division_state.move_date IS 'DivisionMoveDate as last seen; a change starts all marks anew';
COMMENT ON COLUMN exact.division_state.hr_link_date IS 'DivisionHRLinkUnlinkDate as last seen; likewise';
COMMENT ON COLUMN exact.division_state.mark_generation IS 'Raised when marks start anew: row versions of different generations do not compare';
COMMENT ON COLUMN exact.division_state.checked_at IS 'When both dates were read last';
COMMENT ON COLUMN exact.division_state.paused_entities IS 'Entities of it that an operator paused';
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
	run_whole boolean NOT NULL DEFAULT false,
	whole_at timestamptz,
	whole_rows bigint NOT NULL DEFAULT 0,
	PRIMARY KEY (division, feed)
);
COMMENT ON TABLE exact.feed_state IS 'Cursor of each feed; the feed "deleted" is the log of deletes';
COMMENT ON COLUMN exact.feed_state.division IS 'Division';
COMMENT ON COLUMN exact.feed_state.feed IS 'Feed as in exact.catalogue.feed';
COMMENT ON COLUMN exact.feed_state.mark IS 'Row version after which the next run reads, or for feeds by time of change the latest one in ms of the service''s local clock; 1: from the start';
COMMENT ON COLUMN exact.feed_state.run IS 'Running or last run';
COMMENT ON COLUMN exact.feed_state.run_state IS 'idle; paging: between two pages; closing: all pages staged, absent records are looked for';
COMMENT ON COLUMN exact.feed_state.next_link IS 'Next page of the run';
COMMENT ON COLUMN exact.feed_state.run_started_at IS 'When the run started';
COMMENT ON COLUMN exact.feed_state.run_first_max IS 'Highest row version of the run''s first page';
COMMENT ON COLUMN exact.feed_state.run_max IS 'Highest row version of the run';
COMMENT ON COLUMN exact.feed_state.run_rising IS 'Row versions rose through all pages so far';
COMMENT ON COLUMN exact.feed_state.run_rows IS 'Records read by the run';
COMMENT ON COLUMN exact.feed_state.complete_at IS 'End of the last complete run; what it read is complete up to its start';
COMMENT ON COLUMN exact.feed_state.first_complete_at IS 'End of the first complete run; null: the first load is not done';
COMMENT ON COLUMN exact.feed_state.next_run_at IS 'When the next run is due';
COMMENT ON COLUMN exact.feed_state.last_error IS 'What went wrong last; null: nothing since the last success';
COMMENT ON COLUMN exact.feed_state.last_error_at IS 'When';
COMMENT ON COLUMN exact.feed_state.errors IS 'Failures in a row';
COMMENT ON COLUMN exact.feed_state.confirm_errors IS 'Keyed reads in a row that should have confirmed deletes and failed';
COMMENT ON COLUMN exact.feed_state.fields_digest IS 'Digest of the fields that are read; with another one everything is read again';
COMMENT ON COLUMN exact.feed_state.requested IS 'A run is asked for now';
COMMENT ON COLUMN exact.feed_state.notified_first IS 'First notification that no complete run has followed yet';
COMMENT ON COLUMN exact.feed_state.notified_last IS 'Last of them';
COMMENT ON COLUMN exact.feed_state.reread_from IS 'The next run reads from here, since a record that was read before its deletion came after it; null: from the mark';
COMMENT ON COLUMN exact.feed_state.run_whole IS 'The running run reads everything, so what it does not show is gone';
COMMENT ON COLUMN exact.feed_state.whole_at IS 'Start of the last complete run that read everything';
COMMENT ON COLUMN exact.feed_state.whole_rows IS 'Records it read';
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
COMMENT ON TABLE exact.field_seen IS 'Fields that records had and the catalogue does not know; they are in _payload of the history';
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
	reason text,
	first_at timestamptz,
	not_before timestamptz,
	PRIMARY KEY (division, entity, key)
);
COMMENT ON TABLE exact.dirty_key IS 'Records to be read again by their key';
COMMENT ON COLUMN exact.dirty_key.division IS 'Division';
COMMENT ON COLUMN exact.dirty_key.entity IS 'Entity';
COMMENT ON COLUMN exact.dirty_key.key IS 'Key of the record; with the lines of expanded documents that of the document, all of whose lines are read';
COMMENT ON COLUMN exact.dirty_key.since IS 'Since when; what was read later settles it';
COMMENT ON COLUMN exact.dirty_key.reason IS 'Why';
COMMENT ON COLUMN exact.dirty_key.first_at IS 'First of the notifications that no read has followed; null: there was one';
COMMENT ON COLUMN exact.dirty_key.not_before IS 'Not asked for again before: it alone was refused; null: it was not';
REVOKE ALL ON TABLE exact.dirty_key FROM PUBLIC;
GRANT SELECT ON TABLE exact.dirty_key TO exact_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE exact.dirty_key TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.dirty_key', '');

CREATE TABLE exact.target_state (
	workspace text,
	entity text,
	table_name text,
	history_name text,
	created_at timestamptz,
	columns_digest text,
	delivered_at timestamptz,
	paused_since timestamptz,
	sqlstate text,
	reason text,
	next_step text,
	attempts int NOT NULL DEFAULT 0,
	next_attempt_at timestamptz,
	compared_epoch int,
	PRIMARY KEY (workspace, entity)
);
COMMENT ON TABLE exact.target_state IS 'State of the Delta tables of each entity and workspace';
COMMENT ON COLUMN exact.target_state.workspace IS 'Workspace';
COMMENT ON COLUMN exact.target_state.entity IS 'Entity';
COMMENT ON COLUMN exact.target_state.table_name IS 'Full name of the table of the current state';
COMMENT ON COLUMN exact.target_state.history_name IS 'Full name of the table of all versions';
COMMENT ON COLUMN exact.target_state.created_at IS 'When the hub first found or made them';
COMMENT ON COLUMN exact.target_state.columns_digest IS 'Digest of names and types of the columns as last verified';
COMMENT ON COLUMN exact.target_state.delivered_at IS 'Last delivery';
COMMENT ON COLUMN exact.target_state.paused_since IS 'Deliveries are paused since; null: they run';
COMMENT ON COLUMN exact.target_state.sqlstate IS 'SQLSTATE of the refusal';
COMMENT ON COLUMN exact.target_state.reason IS 'Why';
COMMENT ON COLUMN exact.target_state.next_step IS 'What to do';
COMMENT ON COLUMN exact.target_state.attempts IS 'Attempts in a row that failed';
COMMENT ON COLUMN exact.target_state.next_attempt_at IS 'When the hub tries again by itself';
COMMENT ON COLUMN exact.target_state.compared_epoch IS 'Epoch for which it was last asked what the table holds that this database does not know; null: never';
REVOKE ALL ON TABLE exact.target_state FROM PUBLIC;
GRANT SELECT ON TABLE exact.target_state TO exact_reader;
GRANT SELECT, INSERT, UPDATE ON TABLE exact.target_state TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.target_state', '');

-- An epoch has room for 2^40 versions.
CREATE SEQUENCE exact.version_counter MAXVALUE 1099511627775;
COMMENT ON SEQUENCE exact.version_counter IS 'Low part of every _seq';
CREATE SEQUENCE exact.batch_id;
COMMENT ON SEQUENCE exact.batch_id IS 'Ids of exact.batch';
CREATE SEQUENCE exact.run_id;
COMMENT ON SEQUENCE exact.run_id IS 'Ids of paging runs';
CREATE SEQUENCE exact.call_id;
COMMENT ON SEQUENCE exact.call_id IS 'Ids of exact.api_call';
CREATE SEQUENCE exact.request_id;
COMMENT ON SEQUENCE exact.request_id IS 'Ids of exact.request';
CREATE SEQUENCE exact.statement_id;
COMMENT ON SEQUENCE exact.statement_id IS 'Ids of exact.statement_log';
REVOKE ALL ON SEQUENCE exact.version_counter, exact.batch_id, exact.run_id, exact.call_id, exact.request_id, exact.statement_id FROM PUBLIC;
GRANT SELECT, USAGE ON SEQUENCE exact.version_counter, exact.batch_id, exact.run_id, exact.call_id, exact.request_id, exact.statement_id TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.version_counter', '');
SELECT pg_catalog.pg_extension_config_dump('exact.batch_id', '');
SELECT pg_catalog.pg_extension_config_dump('exact.run_id', '');
SELECT pg_catalog.pg_extension_config_dump('exact.call_id', '');
SELECT pg_catalog.pg_extension_config_dump('exact.request_id', '');
SELECT pg_catalog.pg_extension_config_dump('exact.statement_id', '');

