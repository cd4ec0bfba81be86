-- Configuration: what is refused, with a hint; presets; events of changes. All is rolled back, so
-- that workers see none of it.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
RESET client_min_messages;
\set SHOW_CONTEXT never
\set ON_ERROR_ROLLBACK on

BEGIN;
\set VERBOSITY default
INSERT INTO exact.app (name, client_id) VALUES ('Bad Name', 'x');
INSERT INTO exact.app (name, client_id) VALUES ('', 'x');
INSERT INTO exact.app (name, client_id) VALUES ('shop', ' ');
INSERT INTO exact.app (name, client_id, region) VALUES ('shop', 'x', 'xx');
INSERT INTO exact.app (name, client_id, language) VALUES ('shop', 'x', 'Dutch');
INSERT INTO exact.app (name, client_id, redirect_uri) VALUES ('shop', 'x', 'hub.example.com');
INSERT INTO exact.app (name, client_id, base_url)
VALUES ('shop', 'x', 'http://start.exactonline.nl');
INSERT INTO exact.app (name, client_id, base_url) VALUES ('shop', 'x', 'https://127.0.0.1:8443');
INSERT INTO exact.app (name, client_id, base_url)
VALUES ('shop', 'x', 'https://start.exactonline.nl.example.com');
INSERT INTO exact.app (name, client_id, base_url)
VALUES ('shop', 'x', 'https://start.exactonline.nl@example.com/');
INSERT INTO exact.app (name, client_id, base_url)
VALUES ('shop', 'x', 'https://start.exactonline.nl:8443');
INSERT INTO exact.app (name, client_id, base_url) VALUES ('shop', 'x', 'start.exactonline.nl');
INSERT INTO exact.app (name, client_id) VALUES ('shop', '6f9d1c2e-0000');
UPDATE exact.app SET name = 'store' WHERE name = 'shop';

INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema)
VALUES ('pond', 'https://example.com', 'w1', 'main', 'exact');
INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema)
VALUES ('pond', 'http://adb-1.2.azuredatabricks.net', 'w1', 'main', 'exact');
INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema)
VALUES ('pond', 'https://accounts.azuredatabricks.net', 'w1', 'main', 'exact');
INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema)
VALUES ('pond', 'https://azuredatabricks.net', 'w1', 'main', 'exact');
INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema)
VALUES ('pond', 'https://adb-1.2.azuredatabricks.net', '/sql/1.0/x', 'main', 'exact');
INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema)
VALUES ('pond', 'https://adb-1.2.azuredatabricks.net', 'w1', 'my.main', 'exact');
INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema)
VALUES ('pond', 'https://adb-1.2.azuredatabricks.net', 'w1', 'main', '${env:HOME}');
INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema, write_back)
VALUES ('pond', 'https://adb-1.2.azuredatabricks.net', 'w1', 'main', 'exact', 'on');
INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema, merge_interval)
VALUES ('pond', 'https://adb-1.2.azuredatabricks.net', 'w1', 'main', 'exact', '0');
INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema)
VALUES ('pond', 'adb-1.2.azuredatabricks.net/?o=12', 'w1', 'main', 'exact');

INSERT INTO exact.division VALUES (9000001, 'nobody');
INSERT INTO exact.division VALUES (9000001, 'shop', 'sea');
INSERT INTO exact.division VALUES (-1, 'shop');
INSERT INTO exact.division VALUES (9000001, 'shop', 'pond', 'Noord B.V.');
DELETE FROM exact.app WHERE name = 'shop';
DELETE FROM exact.workspace WHERE name = 'pond';

-- entities by name, path and preset
SELECT exact.enable_entities(9000002, 'items');
SELECT exact.enable_entities(9000001, 'purchaseorder');
SELECT exact.enable_entities(9000001, 'zzz');
SELECT exact.enable_entities(9000001, 'items', 'bankentries');
SELECT exact.enable_entities(9000001, 'customfield/CustomFields');
SELECT exact.enable_entities(9000001, 'Items', '/api/v1/{division}/purchaseorder/PurchaseOrders',
	'sync/SalesInvoice/SalesInvoices', 'project/Projects');
SELECT exact.enable_entities(9000001, 'finance');
SELECT exact.disable_entities(9000001, 'finance', 'projects');
SELECT exact.disable_entities(9000001, 'nothing');
SELECT bool_or(enabled) AS enabled, count(*) FROM exact.feed WHERE division = 9000001;
SELECT count(*) > 40 AS many, bool_or('employees' IN (n)) AS personnel
FROM exact.enable_entities(9000001, 'all') AS n;
SELECT exact.enable_entities(9000001, 'employees');

-- an entity that was off while its feed ran is read from the start
SELECT exact.disable_entities(9000001, 'purchaseorderlines', 'items');
INSERT INTO exact.feed_state (division, feed, mark, run_state, next_link, first_complete_at,
	complete_at)
VALUES (9000001, 'purchaseorders', 77, 'paging', 'https://x/', now(), now()),
	(9000001, 'glaccount', 88, 'idle', NULL, now(), now())
ON CONFLICT (division, feed)
DO UPDATE SET mark = excluded.mark, run_state = excluded.run_state, next_link = excluded.next_link,
	first_complete_at = now(), requested = false;
SELECT exact.enable_entities(9000001, 'purchaseorderlines', 'glaccount');
SELECT feed, mark, run_state, next_link, first_complete_at IS NULL AS first_load, requested
FROM exact.feed_state
WHERE division = 9000001 AND feed IN ('glaccount', 'purchaseorders')
ORDER BY feed;

-- overrides
INSERT INTO exact.entity (name) VALUES ('itemz');
INSERT INTO exact.entity (name, method) VALUES ('items', 'bulk');
INSERT INTO exact.entity (name, resource) VALUES ('items', '../x');
INSERT INTO exact.entity (name, target_table) VALUES ('items', 'my items');
INSERT INTO exact.entity (name, target_table) VALUES ('items', 'Accounts');
INSERT INTO exact.entity (name, target_history) VALUES ('items', 'items');
INSERT INTO exact.entity (name, sync_interval) VALUES ('items', '-1 s');
INSERT INTO exact.entity (name, target_table, sync_interval) VALUES ('items', 'artikelen', '5 min');
SELECT entity, target_table, target_history, sync_interval, sync_interval_set, method
FROM exact.entity_effective
WHERE entity = 'items';
INSERT INTO exact.entity_field (entity, name) VALUES ('items', 'Stok');
INSERT INTO exact.entity_field (entity, name, selected) VALUES ('items', 'ID', false);
INSERT INTO exact.entity_field (entity, name, target_type) VALUES ('items', 'Stock', 'NUMBER');
INSERT INTO exact.entity_field (entity, name, target_type)
VALUES ('items', 'Stock', 'DECIMAL(10,11)');
INSERT INTO exact.entity_field (entity, name, target_type) VALUES ('items', 'Picture', 'STRING');
INSERT INTO exact.entity_field (entity, name, target_type, selected)
VALUES ('items', 'Stock', 'DECIMAL(28,6)', true), ('items', 'Notes', NULL, false),
	('items', 'ItemGroup', NULL, false);
SELECT name, target_type, derived_from
FROM exact.field_effective
WHERE entity = 'items'
	AND name IN ('Stock', 'Notes', 'ItemGroup', 'ItemGroupDescription', 'Picture')
ORDER BY name;
INSERT INTO exact.target_state (workspace, entity, created_at) VALUES ('pond', 'items', now());
INSERT INTO exact.entity_field (entity, name, target_type)
VALUES ('items', 'AverageCost', 'DOUBLE');
INSERT INTO exact.feed (division, entity) VALUES (9000001, 'nothing');
INSERT INTO exact.rule (name) VALUES ('my_rule');
INSERT INTO exact.rule (name, action) VALUES ('entry_balances', 'delete');

-- every change is an event, once, with what it was before
SET CONSTRAINTS ALL IMMEDIATE;
UPDATE exact.division SET workspace = NULL, description = description WHERE division = 9000001;
UPDATE exact.division SET description = description WHERE division = 9000001;
DELETE FROM exact.entity WHERE name = 'items';
SELECT kind, division, entity, what -> 'table' AS "table", what -> 'op' AS op,
	what -> 'before' AS before
FROM exact.audit_log
WHERE chain = 'sql'
ORDER BY id DESC
LIMIT 2;
SELECT count(*)
FROM exact.audit_log
WHERE chain = 'sql' AND what -> 'row' ->> 'name' = 'shop' AND what ->> 'op' = 'INSERT';
SELECT * FROM exact.verify_audit();
INSERT INTO exact.credential (kind, name, field, secret, key_id)
VALUES ('app', 'shop', 'client_secret', '\x0123456789', 'k1');
SELECT kind, what -> 'table' AS "table", what -> 'row' ? 'secret' AS secret
FROM exact.audit_log
WHERE chain = 'sql'
ORDER BY id DESC
LIMIT 1;
DELETE FROM exact.division WHERE division = 9000001;
SELECT count(*) FROM exact.feed WHERE division = 9000001;
ROLLBACK;

-- a dump is loaded without checks that need settings of the cluster, and without events
BEGIN;
SET LOCAL check_function_bodies = off;
SET LOCAL row_security = off;
INSERT INTO exact.division VALUES (9000001, 'shop', 'pond', 'before its app');
INSERT INTO exact.app (name, client_id, base_url) VALUES ('shop', 'x', 'http://127.0.0.1:1');
SET CONSTRAINTS ALL IMMEDIATE;
SELECT count(*) FROM exact.audit_log WHERE what -> 'row' ->> 'name' = 'shop' OR division = 9000001;
ROLLBACK;
