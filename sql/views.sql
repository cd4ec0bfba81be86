-- Views in Databricks: which, under which names, with which text. Rolled back: no worker sees the
-- requests. What they do: t/540_views.pl.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
RESET client_min_messages;
\set SHOW_CONTEXT never
\set ON_ERROR_ROLLBACK on

BEGIN;
INSERT INTO exact.installation (id, made_at) VALUES ('i''1', '2020-01-01') ON CONFLICT DO NOTHING;
DELETE FROM exact.installation_binding;
INSERT INTO exact.installation_binding (installation, system_identifier, database_oid,
	database_name)
VALUES ('i''1', 'x', 1, 'x');
INSERT INTO exact.workspace (name, host, warehouse_id, catalog, schema)
VALUES ('pond', 'https://adb-1.2.azuredatabricks.net', 'w1', 'main', 'exact');
SELECT * FROM exact.create_views('lake');
SELECT * FROM exact.create_views('pond');
INSERT INTO exact.entity (name, target_table) VALUES ('costunit', 'kostendragers');
INSERT INTO exact.target_state (workspace, entity, table_name, history_name, created_at)
SELECT 'pond', e.entity, 'main.exact.' || e.target_table, 'main.exact.' || e.target_history, now()
FROM exact.entity_effective AS e
WHERE e.entity IN ('costunit', 'salesinvoices', 'salesinvoicelines', 'purchaseentries',
	'purchaseentrylines', 'transactionlines');
INSERT INTO exact.target_state (workspace, entity, table_name, history_name, created_at)
VALUES ('pond', 'items', 'main.exact.other', 'main.exact.items_history', now()),
	('pond', 'accounts', NULL, NULL, NULL);
-- the ledger view reads exact_state
SELECT count(*) AS ledger_views FROM exact._views('pond') WHERE name LIKE '%ledger';
INSERT INTO exact.target_state (workspace, entity, table_name, columns_digest)
VALUES ('pond', 'exact_state', 'main.exact.exact_state', 'x');
SELECT entity, name, comment FROM exact._views('pond') ORDER BY 1, 2;
SELECT name, regexp_replace(text, '(`[th]`\.`[A-Za-z]+`, )+', '… ', 'g') AS text
FROM exact._view_statements('pond',
	'{"kostendragers_versions": null, "salesinvoices_live": '
		'"facturen", "salesinvoices_versions": null}')
WHERE name ~ 'kosten|facturen|salesinvoicelines_live|transaction|purchaseentries_versions';
SELECT text FROM exact._view_statements('pond', NULL) WHERE name = 'kostendragers_live';
-- columns that users deselect are not there
INSERT INTO exact.entity_field (entity, name, selected)
VALUES ('salesinvoices', 'Status', false), ('transactionlines', 'LineNumber', false);
SELECT name, strpos(text, '`Status`') > 0 AS by_status
FROM exact._view_statements('pond', NULL)
WHERE name LIKE 'salesinvoice%live' OR name LIKE '%ledger';
DELETE FROM exact.entity_field;

SELECT count(*) FROM exact.create_views('pond', '[]');
SELECT count(*) FROM exact.create_views('pond', '{"transactionline_ledger": "x"}');
SELECT count(*) FROM exact.create_views('pond', '{"transactionlines_ledger": "a`b"}');
SELECT count(*) FROM exact.create_views('pond', '{"transactionlines_ledger": "exact_state"}');
SELECT count(*)
FROM exact.create_views('pond', '{"transactionlines_ledger": "Purchaseentries_History"}');
SELECT count(*)
FROM exact.create_views('pond',
	'{"transactionlines_ledger": "grootboek", "transactionlines_live": "Grootboek"}');
\set VERBOSITY terse
SET client_min_messages = warning;
SELECT * FROM exact.create_views('pond',
	'{"transactionlines_ledger": "grootboek", "transactionlines_live": null}');
SELECT count(*)
FROM exact.create_views('pond',
	'{"transactionlines_ledger": "grootboek", "transactionlines_live": null}');
SELECT count(*) FROM exact.create_views('pond');
SELECT kind, workspace, args, state FROM exact.request WHERE kind = 'views' ORDER BY id;
SELECT exact._delta_text(E'it''s a \\ of ${x}\n'), exact._delta_name('a', 'b`c');
SET LOCAL ROLE exact_operator;
SELECT * FROM exact.create_views('pond');
ROLLBACK;
