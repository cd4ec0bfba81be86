-- Configuration: what users edit. Workers only read it. Checks that need the settings of the
-- cluster are triggers in 15_configuration_check.sql.

CREATE TABLE exact.app (
	name text PRIMARY KEY,
	client_id text NOT NULL,
	region text NOT NULL DEFAULT 'nl',
	redirect_uri text,
	callback_url text,
	base_url text,
	language text
);
COMMENT ON TABLE exact.app
	IS 'Registrations in Exact Online''s App Center, one row each. Secrets are not here: '
		'exact.import_secrets() or exact.set_secret().';
COMMENT ON COLUMN exact.app.name IS 'Short name: small letters, digits, - and _';
COMMENT ON COLUMN exact.app.client_id IS 'Client id of the registration';
COMMENT ON COLUMN exact.app.region
	IS 'nl, be, de, fr, es, uk or us: which Exact Online; registrations of one do not '
		'work in another';
COMMENT ON COLUMN exact.app.redirect_uri
	IS 'As registered; null: public_url followed by /exact/callback';
COMMENT ON COLUMN exact.app.callback_url
	IS 'Where notifications are to be sent; null: public_url followed by /exact/hook';
COMMENT ON COLUMN exact.app.base_url
	IS 'Replaces the region''s address, for a simulator or a proxy';
COMMENT ON COLUMN exact.app.language
	IS 'Language of the descriptions that Exact Online fills in, such as nl-NL; null: '
		'that of the user who consented';
REVOKE ALL ON TABLE exact.app FROM PUBLIC;
GRANT SELECT ON TABLE exact.app TO exact_reader, exact_worker;
GRANT INSERT, UPDATE, DELETE ON TABLE exact.app TO exact_admin;
SELECT pg_catalog.pg_extension_config_dump('exact.app', '');

CREATE TABLE exact.workspace (
	name text PRIMARY KEY,
	host text NOT NULL,
	warehouse_id text NOT NULL,
	catalog text NOT NULL,
	schema text NOT NULL,
	client_id text,
	volume text,
	enabled boolean NOT NULL DEFAULT true,
	write_back text NOT NULL DEFAULT 'off',
	on_conflict text NOT NULL DEFAULT 'exact wins',
	merge_interval interval,
	stop_warehouse text NOT NULL DEFAULT 'never',
	wake_after interval,
	wake_rows int,
	quiet_from time,
	quiet_until time,
	quiet_zone text NOT NULL DEFAULT 'Europe/Amsterdam',
	dbu_per_hour numeric,
	dbu_price numeric,
	maintenance text NOT NULL DEFAULT 'auto'
);
COMMENT ON TABLE exact.workspace
	IS 'Databricks workspaces, one row each: where the Delta tables are and who writes them';
COMMENT ON COLUMN exact.workspace.name IS 'Short name: small letters, digits, - and _';
COMMENT ON COLUMN exact.workspace.host
	IS 'Address of the workspace, such as https://adb-1.2.azuredatabricks.net';
COMMENT ON COLUMN exact.workspace.warehouse_id IS 'SQL warehouse that runs the statements';
COMMENT ON COLUMN exact.workspace.catalog IS 'Unity Catalog catalog that holds the schema';
COMMENT ON COLUMN exact.workspace.schema
	IS 'Schema of the Delta tables; made when it does not exist';
COMMENT ON COLUMN exact.workspace.client_id
	IS 'Service principal; null: a personal access token is used';
COMMENT ON COLUMN exact.workspace.volume IS 'Volume in that schema for bulk files and attachments';
COMMENT ON COLUMN exact.workspace.enabled IS 'off: nothing is delivered there, batches wait';
COMMENT ON COLUMN exact.workspace.write_back
	IS 'off, approve or auto: what happens with dimensions that are edited in Delta or in the hub';
COMMENT ON COLUMN exact.workspace.on_conflict
	IS 'exact wins, delta wins or ask: a field of a dimension that is edited on two sides';
COMMENT ON COLUMN exact.workspace.merge_interval
	IS 'At least this long between two deliveries into one table; null: '
		'exact_databricks.merge_interval';
COMMENT ON COLUMN exact.workspace.stop_warehouse
	IS 'own: the hub stops the warehouse when it has woken it, is done and nobody else uses it; '
		'needs CAN MANAGE on it. never: its auto stop ends it';
COMMENT ON COLUMN exact.workspace.wake_after
	IS 'The hub wakes a sleeping warehouse when the oldest version has waited this long; null: at '
		'once';
COMMENT ON COLUMN exact.workspace.wake_rows
	IS 'The hub wakes it earlier if this many versions wait; null: never for their number';
COMMENT ON COLUMN exact.workspace.quiet_from
	IS 'From this time of the day the hub wakes it for urgent entities only; null: no quiet hours';
COMMENT ON COLUMN exact.workspace.quiet_until IS 'Until this time of the day';
COMMENT ON COLUMN exact.workspace.quiet_zone IS 'Time zone of the two';
COMMENT ON COLUMN exact.workspace.dbu_per_hour
	IS 'What the warehouse uses while it runs; null: by its size, as a serverless one';
COMMENT ON COLUMN exact.workspace.dbu_price
	IS 'Price of a DBU in your contract, any currency; null: exact.cost has no money';
COMMENT ON COLUMN exact.workspace.maintenance
	IS 'auto: the hub runs OPTIMIZE and VACUUM on each table once a week if predictive '
		'optimization is off for the schema. on: always. off: never';
REVOKE ALL ON TABLE exact.workspace FROM PUBLIC;
GRANT SELECT ON TABLE exact.workspace TO exact_reader, exact_worker;
GRANT INSERT, UPDATE, DELETE ON TABLE exact.workspace TO exact_admin;
SELECT pg_catalog.pg_extension_config_dump('exact.workspace', '');

CREATE TABLE exact.division (
	division int PRIMARY KEY CONSTRAINT division_is_a_number_of_exact_online CHECK (division > 0),
	app text NOT NULL,
	workspace text,
	description text,
	enabled boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE exact.division
	IS 'Administrations of Exact Online; exact.discover_divisions() fills it, all disabled';
COMMENT ON COLUMN exact.division.division IS 'Exact Online''s number of the administration';
COMMENT ON COLUMN exact.division.app IS 'App whose tokens read it';
COMMENT ON COLUMN exact.division.workspace
	IS 'Workspace that its records are delivered to; null: they are staged and wait';
COMMENT ON COLUMN exact.division.description IS 'Name of the administration';
COMMENT ON COLUMN exact.division.enabled IS 'on: its feeds run';
REVOKE ALL ON TABLE exact.division FROM PUBLIC;
GRANT SELECT ON TABLE exact.division TO exact_reader, exact_worker;
GRANT INSERT, UPDATE, DELETE ON TABLE exact.division TO exact_admin;
SELECT pg_catalog.pg_extension_config_dump('exact.division', '');

CREATE TABLE exact.entity (
	name text PRIMARY KEY,
	resource text,
	method text,
	target_table text,
	target_history text,
	merge_interval interval,
	sync_interval interval,
	urgent boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE exact.entity
	IS 'What a user changed about an entity; everything else comes from exact.catalogue: '
		'see exact.entity_effective';
COMMENT ON COLUMN exact.entity.name IS 'Entity as in exact.catalogue, such as purchaseorders';
COMMENT ON COLUMN exact.entity.resource
	IS 'Path below the division that is read instead of the catalogue''s; null: the catalogue''s';
COMMENT ON COLUMN exact.entity.method
	IS 'sync, full, expanded or modified: how it is read; null: the catalogue''s';
COMMENT ON COLUMN exact.entity.target_table
	IS 'Delta table of the current state; null: the entity''s name';
COMMENT ON COLUMN exact.entity.target_history
	IS 'Delta table of all versions; null: the current table''s name and _history';
COMMENT ON COLUMN exact.entity.merge_interval
	IS 'At least this long between two deliveries; null: the workspace''s, then '
		'exact_databricks.merge_interval';
COMMENT ON COLUMN exact.entity.sync_interval
	IS 'Time between two runs of its feed; null: exact_databricks.sync_interval, then '
		'the catalogue''s';
COMMENT ON COLUMN exact.entity.urgent
	IS 'on: its versions wake a warehouse that sleeps at once, in quiet hours too';
REVOKE ALL ON TABLE exact.entity FROM PUBLIC;
GRANT SELECT ON TABLE exact.entity TO exact_reader, exact_worker;
GRANT INSERT, UPDATE, DELETE ON TABLE exact.entity TO exact_admin;
SELECT pg_catalog.pg_extension_config_dump('exact.entity', '');

CREATE TABLE exact.entity_field (
	entity text,
	name text,
	target_type text,
	selected boolean NOT NULL DEFAULT true,
	PRIMARY KEY (entity, name)
);
COMMENT ON TABLE exact.entity_field
	IS 'What a user changed about a field; everything else comes from exact.catalogue_field: '
		'see exact.field_effective';
COMMENT ON COLUMN exact.entity_field.entity IS 'Entity as in exact.catalogue';
COMMENT ON COLUMN exact.entity_field.name IS 'Field as in exact.catalogue_field';
COMMENT ON COLUMN exact.entity_field.target_type
	IS 'Type of the Delta column, such as DECIMAL(28,6); before the first load only; null: '
		'the catalogue''s';
COMMENT ON COLUMN exact.entity_field.selected IS 'off: no Delta column for it';
REVOKE ALL ON TABLE exact.entity_field FROM PUBLIC;
GRANT SELECT ON TABLE exact.entity_field TO exact_reader, exact_worker;
GRANT INSERT, UPDATE, DELETE ON TABLE exact.entity_field TO exact_admin;
SELECT pg_catalog.pg_extension_config_dump('exact.entity_field', '');

CREATE TABLE exact.feed (
	division int,
	entity text,
	enabled boolean NOT NULL DEFAULT true,
	priority int NOT NULL DEFAULT 0,
	PRIMARY KEY (division, entity)
);
COMMENT ON TABLE exact.feed
	IS 'Which entities of which division are read; exact.enable_entities() and '
		'exact.disable_entities() write it';
COMMENT ON COLUMN exact.feed.division IS 'Division';
COMMENT ON COLUMN exact.feed.entity IS 'Entity as in exact.catalogue';
COMMENT ON COLUMN exact.feed.enabled
	IS 'off: it is not read, and what was read is kept. exact.enable_entities() switches it on '
		'again and reads what was missed';
COMMENT ON COLUMN exact.feed.priority
	IS 'Higher runs earlier when several feeds of a division are due';
REVOKE ALL ON TABLE exact.feed FROM PUBLIC;
GRANT SELECT ON TABLE exact.feed TO exact_reader, exact_worker;
GRANT INSERT, UPDATE, DELETE ON TABLE exact.feed TO exact_admin;
SELECT pg_catalog.pg_extension_config_dump('exact.feed', '');

CREATE FUNCTION exact._shipped_rules() RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT ARRAY['line_gl_account_exists', 'line_cost_center_exists', 'line_cost_unit_exists',
		'cost_center_required', 'cost_center_ended', 'gl_account_blocked', 'entry_balances',
		'lines_match_header']
$$;
COMMENT ON FUNCTION exact._shipped_rules() IS 'Names of the rules that the hub brings along';
REVOKE ALL ON FUNCTION exact._shipped_rules() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._shipped_rules() TO exact_reader, exact_worker;

CREATE TABLE exact.rule (
	name text PRIMARY KEY CONSTRAINT rule_name_is_a_word CHECK (name ~ '^[a-z][a-z0-9_]{0,62}$'),
	enabled boolean NOT NULL DEFAULT true,
	action text CONSTRAINT rule_action_is_known CHECK (action IN ('quarantine', 'flag')),
	function text,
	CONSTRAINT rule_is_shipped_or_has_a_function CHECK (
		(name = ANY (exact._shipped_rules())) = (function IS NULL))
);
COMMENT ON TABLE exact.rule
	IS 'Validation rules that a user changed, and customers'' own; a shipped rule without a row '
		'has its default';
COMMENT ON COLUMN exact.rule.name IS 'Rule: small letters, digits and _';
COMMENT ON COLUMN exact.rule.enabled IS 'off: the rule is not applied';
COMMENT ON COLUMN exact.rule.action
	IS 'quarantine: the document waits; flag: it is delivered with _valid = false; null: '
		'the rule''s default, of one with a function flag';
COMMENT ON COLUMN exact.rule.function
	IS 'Of a customer''s rule: its function, such as accounting.my_rule, which takes (division '
		'int, document jsonb, lines jsonb) and returns rows of (line int, problem text)';
REVOKE ALL ON TABLE exact.rule FROM PUBLIC;
GRANT SELECT ON TABLE exact.rule TO exact_reader, exact_worker;
GRANT INSERT, UPDATE, DELETE ON TABLE exact.rule TO exact_admin;
SELECT pg_catalog.pg_extension_config_dump('exact.rule', '');
