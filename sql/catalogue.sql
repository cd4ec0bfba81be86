-- The catalogue: what it must hold, and that the three tables it is made of do not contradict each
-- other.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS exact_databricks;
RESET client_min_messages;

SELECT count(*) > 300 AS entities FROM exact.catalogue;
SELECT count(*) > 7000 AS fields FROM exact.catalogue_field;

-- the entities that a reader looks for first
SELECT entity, resource, method, feed, row_kind, key_field, parent_field, entity_type, merge_rank
FROM exact.catalogue
WHERE entity IN ('glaccount', 'items', 'accounts', 'purchaseorders', 'purchaseorderlines',
	'costcenter', 'costunit',
	'salesinvoices', 'salesinvoicelines', 'transactionlines', 'purchaseentries',
	'purchaseentrylines', 'salesorders', 'salesorderlines', 'vatcodes')
ORDER BY entity;

SELECT p.preset, array_agg(c.entity ORDER BY c.entity) AS entities
FROM (VALUES ('finance'), ('commerce')) AS p (preset)
JOIN exact.catalogue AS c ON p.preset = ANY (c.presets)
GROUP BY p.preset
ORDER BY p.preset DESC;

SELECT entity, sync_interval
FROM exact.catalogue
WHERE entity IN ('glaccount', 'transactionlines', 'stockpositions', 'costcenter',
	'purchaseinvoices', 'purchaseentries', 'units', 'vatcodes', 'journals', 'financialperiods')
ORDER BY entity;

-- no row may come out of any of these
SELECT entity, 'personnel data in a preset' AS problem
FROM exact.catalogue
WHERE personnel AND presets <> '{}';
SELECT entity, 'not a name of a Delta table' AS problem
FROM exact.catalogue
WHERE entity !~ '^[a-z0-9_]+$';
SELECT target_table, 'two entities share a table' AS problem
FROM (SELECT target_table
	FROM exact.entity_effective
	UNION ALL
	SELECT target_history
	FROM exact.entity_effective) AS t
GROUP BY target_table
HAVING count(*) > 1;
SELECT c.entity, 'key is no field' AS problem
FROM exact.catalogue AS c
WHERE unavailable IS NULL
	AND EXISTS (SELECT FROM string_to_table(c.key_field, '+') AS k (field)
		WHERE NOT EXISTS (SELECT FROM exact.catalogue_field AS f
			WHERE f.entity = c.entity AND f.source_field = k.field
				AND (f.key OR c.key_field LIKE '%+%')));
SELECT c.entity, 'one that cannot be asked for by its key has a topic' AS problem
FROM exact.catalogue AS c
WHERE c.key_field LIKE '%+%' AND (c.topics IS NOT NULL OR c.plain_key IS NOT NULL);
SELECT c.entity, 'parent is no field' AS problem
FROM exact.catalogue AS c
WHERE parent_field IS NOT NULL
	AND NOT EXISTS (SELECT FROM exact.catalogue_field AS f
		WHERE f.entity = c.entity AND f.source_field = c.parent_field);
SELECT feed, 'a feed with several resources' AS problem
FROM exact.catalogue
WHERE method = 'sync'
GROUP BY feed
HAVING count(DISTINCT resource) > 1;
SELECT resource, 'a resource read by two feeds' AS problem
FROM exact.catalogue
GROUP BY resource
HAVING count(DISTINCT feed) > 1;
SELECT c.entity, 'sync without sync path' AS problem
FROM exact.catalogue AS c
WHERE (method = 'sync') <> (resource LIKE 'sync/%');
SELECT entity, name, 'technical field' AS problem
FROM exact.catalogue_field
WHERE name IN ('Timestamp', '__metadata');
SELECT entity, name, 'names differ in case only' AS problem
FROM exact.catalogue_field AS f
WHERE EXISTS (SELECT FROM exact.catalogue_field AS o
	WHERE o.entity = f.entity AND o.name <> f.name AND lower(o.name) = lower(f.name));
SELECT f.entity, f.name, 'text of a field that is not there' AS problem
FROM exact.catalogue_field AS f
WHERE f.derived_from IS NOT NULL
	AND NOT EXISTS (SELECT FROM exact.catalogue_field AS k
		WHERE k.entity = f.entity AND k.name = f.derived_from AND k.target_type IS NOT NULL);
SELECT entity, name, 'derived and hashed' AS problem
FROM exact.catalogue_field
WHERE derived AND hashed;
SELECT entity, name, 'its own text taken for a joined one' AS problem
FROM exact.catalogue_field
WHERE derived
	AND name IN ('Description', 'Name', 'Subject', 'FullName', 'Code', 'Notes', 'Remarks');
SELECT entity, name, edm_type, target_type, class, 'type does not fit' AS problem
FROM exact.catalogue_field
WHERE target_type IS DISTINCT FROM CASE
	WHEN edm_type IS NULL OR edm_type IN ('Edm.String', 'Edm.Guid') THEN 'STRING'
	WHEN edm_type = 'Edm.Int64' THEN 'BIGINT'
	WHEN edm_type IN ('Edm.Int32', 'Edm.Int16', 'Edm.Byte') THEN 'INT'
	WHEN edm_type = 'Edm.Boolean' THEN 'BOOLEAN'
	WHEN edm_type = 'Edm.DateTime' THEN CASE WHEN date_only THEN 'DATE' ELSE 'TIMESTAMP_NTZ' END
	WHEN edm_type = 'Edm.Double'
		THEN CASE WHEN class = 'amount' THEN 'DECIMAL(28,4)' ELSE 'DECIMAL(28,10)' END END;
SELECT entity, name, 'a moment taken for a date' AS problem
FROM exact.catalogue_field
WHERE date_only AND name IN ('Created', 'Modified', 'Approved');

-- the combined set of purchase orders: a header has no field of a line, codes have the plain names
SELECT entity, name, source_field, edm_type, target_type, derived_from
FROM exact.catalogue_field
WHERE entity LIKE 'purchaseorder%'
	AND (name LIKE 'CostCenter%'
		OR name LIKE 'CostUnit%'
		OR name IN ('DocumentNumber', 'SendingMethod', 'Item', 'Supplier'))
ORDER BY entity, ordinal;
SELECT entity, count(*)
FROM exact.catalogue_field
WHERE entity IN ('purchaseorders', 'purchaseorderlines')
GROUP BY entity
ORDER BY entity;

-- classes, dates and blanks of the best known fields
SELECT entity, name, target_type, class, date_only, padded, derived_from
FROM exact.catalogue_field
WHERE (entity, name) IN (('purchaseorderlines', 'AmountDC'), ('purchaseorderlines', 'UnitPrice'),
	('purchaseorderlines', 'Quantity'), ('purchaseorderlines', 'VATPercentage'),
	('purchaseorders', 'ExchangeRate'), ('purchaseorders', 'OrderDate'),
	('purchaseorders', 'Approved'), ('purchaseorders', 'SupplierCode'),
	('purchaseorders', 'SupplierName'),
	('purchaseorders', 'DeliveryContactPersonFullName'), ('purchaseorderlines', 'VATDescription'),
	('accounts', 'Code'), ('accounts', 'Country'), ('accounts', 'Logo'), ('accounts', 'Modified'),
	('items', 'CostPriceStandard'), ('items', 'Description'), ('items', 'Unit'),
	('items', 'StartDate'), ('glaccount', 'Code'), ('glaccount', 'TypeDescription'))
ORDER BY entity, name;
