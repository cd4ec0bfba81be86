-- Catalogue: seed data of the product, replaced as a whole by updates, never dumped. Rows are in
-- 12_catalogue_data.sql.

CREATE TABLE exact.catalogue (
	entity text PRIMARY KEY,
	resource text NOT NULL,
	method text NOT NULL CHECK (method IN ('sync', 'full', 'expanded', 'modified')),
	plain_resource text,
	feed text NOT NULL,
	row_kind text CHECK (row_kind IN ('header', 'line')),
	key_field text,
	parent_field text,
	plain_key text,
	entity_type int,
	topics text[],
	scope text,
	merge_rank int NOT NULL,
	sync_interval interval NOT NULL,
	presets text[] NOT NULL,
	has_division boolean NOT NULL,
	personnel boolean NOT NULL,
	unavailable text,
	trigger_entity text,
	trigger_types int[]
);
COMMENT ON TABLE exact.catalogue
	IS 'Every list endpoint of Exact Online that can be an entity, and how it is read';
COMMENT ON COLUMN exact.catalogue.entity IS 'Name of the entity and of its Delta table';
COMMENT ON COLUMN exact.catalogue.resource
	IS 'The one path below the division that its versions are read from';
COMMENT ON COLUMN exact.catalogue.method
	IS 'sync: by row version; full: completely each time; expanded: header with its lines; '
		'modified: by time of change';
COMMENT ON COLUMN exact.catalogue.plain_resource
	IS 'Path of the plain endpoint, for keyed reads; null when there is none';
COMMENT ON COLUMN exact.catalogue.feed
	IS 'Entities with the same feed are read by the same requests';
COMMENT ON COLUMN exact.catalogue.row_kind
	IS 'header or line where both come in one set; else null';
COMMENT ON COLUMN exact.catalogue.key_field
	IS 'Field that is _key; joined by + where the key has several fields';
COMMENT ON COLUMN exact.catalogue.parent_field
	IS 'Field of a line that names its document; else null';
COMMENT ON COLUMN exact.catalogue.plain_key IS 'Key field at the plain endpoint';
COMMENT ON COLUMN exact.catalogue.entity_type
	IS 'Code in the log of deletes; null: deletes leave no trace';
COMMENT ON COLUMN exact.catalogue.topics IS 'Notification topics; null: none';
COMMENT ON COLUMN exact.catalogue.scope IS 'Scope that the app needs for it';
COMMENT ON COLUMN exact.catalogue.merge_rank
	IS 'Order of delivery: -1 dimensions, 0 master data, 1 headers, 2 lines';
COMMENT ON COLUMN exact.catalogue.sync_interval
	IS 'Time between two runs of its feed when nothing else is set';
COMMENT ON COLUMN exact.catalogue.presets IS 'Presets of exact.enable_entities() that hold it';
COMMENT ON COLUMN exact.catalogue.has_division IS 'Its records name their division';
COMMENT ON COLUMN exact.catalogue.personnel IS 'Personnel data: enabled by explicit name only';
COMMENT ON COLUMN exact.catalogue.unavailable
	IS 'Why it cannot be read at all; null: it can, if its method can';
COMMENT ON COLUMN exact.catalogue.trigger_entity
	IS 'Entity whose parent names a document of this one: when a record of it changes, the '
		'document is read again; null: none';
COMMENT ON COLUMN exact.catalogue.trigger_types
	IS 'Types of its records that belong to this entity';
REVOKE ALL ON TABLE exact.catalogue FROM PUBLIC;
GRANT SELECT ON TABLE exact.catalogue TO exact_reader, exact_worker;

CREATE TABLE exact.catalogue_field (
	entity text REFERENCES exact.catalogue (entity) ON DELETE CASCADE,
	name text,
	ordinal int NOT NULL,
	source_field text NOT NULL,
	edm_type text,
	target_type text,
	derived boolean NOT NULL,
	derived_from text,
	class text CHECK (class IN ('amount', 'price', 'rate', 'quantity')),
	date_only boolean NOT NULL,
	padded boolean NOT NULL,
	hashed boolean NOT NULL,
	key boolean NOT NULL,
	PRIMARY KEY (entity, name)
);
COMMENT ON TABLE exact.catalogue_field
	IS 'Fields of the representation that an entity is read in, under the names of the '
		'plain endpoint';
COMMENT ON COLUMN exact.catalogue_field.entity IS 'Entity';
COMMENT ON COLUMN exact.catalogue_field.name IS 'Name of the field and of its Delta column';
COMMENT ON COLUMN exact.catalogue_field.ordinal IS 'Place in the order of the service, from 1';
COMMENT ON COLUMN exact.catalogue_field.source_field IS 'Its name in the records that are read';
COMMENT ON COLUMN exact.catalogue_field.edm_type IS 'OData type; null: not documented';
COMMENT ON COLUMN exact.catalogue_field.target_type
	IS 'Type of the Delta column; null: no column (binary, collections)';
COMMENT ON COLUMN exact.catalogue_field.derived
	IS 'A text joined from another record: not hashed, never overwritten with null while its key '
		'field is unchanged';
COMMENT ON COLUMN exact.catalogue_field.derived_from IS 'Field whose text it is; null: not known';
COMMENT ON COLUMN exact.catalogue_field.class
	IS 'amount (4 decimals) or price, rate, quantity (10 decimals); null: no Double';
COMMENT ON COLUMN exact.catalogue_field.date_only IS 'A date without a time';
COMMENT ON COLUMN exact.catalogue_field.padded
	IS 'Comes with blanks before or after, which the Delta column does not have';
COMMENT ON COLUMN exact.catalogue_field.hashed IS 'A change of it makes a new version';
COMMENT ON COLUMN exact.catalogue_field.key IS 'It is _key';
REVOKE ALL ON TABLE exact.catalogue_field FROM PUBLIC;
GRANT SELECT ON TABLE exact.catalogue_field TO exact_reader, exact_worker;

CREATE VIEW exact.entity_effective AS
SELECT c.entity, coalesce(e.resource, c.resource) AS resource,
	coalesce(e.method, c.method) AS method, c.plain_resource, c.feed, c.row_kind,
	c.key_field, c.parent_field, c.plain_key, c.entity_type, c.topics, c.scope, c.merge_rank,
	coalesce(e.sync_interval, c.sync_interval) AS sync_interval,
	e.sync_interval IS NOT NULL AS sync_interval_set,
	c.presets, c.has_division, c.personnel, c.unavailable, c.trigger_entity, c.trigger_types,
	coalesce(e.target_table, c.entity) AS target_table,
	coalesce(e.target_history, coalesce(e.target_table, c.entity) || '_history') AS target_history,
	e.merge_interval
FROM exact.catalogue AS c
LEFT JOIN exact.entity AS e ON e.name = c.entity;
COMMENT ON VIEW exact.entity_effective
	IS 'Entities as they are read and delivered: the catalogue with what users changed '
		'in exact.entity';
COMMENT ON COLUMN exact.entity_effective.sync_interval_set
	IS 'The interval was set by a user and beats exact_databricks.sync_interval';
COMMENT ON COLUMN exact.entity_effective.target_table IS 'Delta table of the current state';
COMMENT ON COLUMN exact.entity_effective.target_history IS 'Delta table of all versions';
COMMENT ON COLUMN exact.entity_effective.merge_interval
	IS 'At least this long between two deliveries; null: the workspace''s or the setting''s';
REVOKE ALL ON TABLE exact.entity_effective FROM PUBLIC;
GRANT SELECT ON TABLE exact.entity_effective TO exact_reader, exact_worker;

CREATE VIEW exact.field_effective AS
SELECT f.entity, f.name, f.ordinal, f.source_field, f.edm_type,
	CASE
		WHEN f.target_type IS NULL THEN NULL
		ELSE coalesce(e.target_type, f.target_type)
	END AS target_type,
	f.derived, CASE WHEN coalesce(k.selected, true) THEN f.derived_from END AS derived_from,
	f.class, f.date_only, f.padded, f.hashed, f.key
FROM exact.catalogue_field AS f
LEFT JOIN exact.entity_field AS e ON e.entity = f.entity AND e.name = f.name
LEFT JOIN exact.entity_field AS k ON k.entity = f.entity AND k.name = f.derived_from
WHERE coalesce(e.selected, true);
COMMENT ON VIEW exact.field_effective
	IS 'Fields as they are delivered: the catalogue without what users deselected, with the types '
		'they set in exact.entity_field';
REVOKE ALL ON TABLE exact.field_effective FROM PUBLIC;
GRANT SELECT ON TABLE exact.field_effective TO exact_reader, exact_worker;

-- The columns of both views that repeat the catalogue have the catalogue's comments.
DO $comment$
DECLARE
	c record;
BEGIN
	FOR c IN
		SELECT v.attrelid::pg_catalog.regclass AS view, v.attname, d.description
		FROM (VALUES
			('exact.entity_effective'::pg_catalog.regclass, 'exact.catalogue'::pg_catalog.regclass),
			('exact.field_effective'::pg_catalog.regclass,
				'exact.catalogue_field'::pg_catalog.regclass)
		) AS p (view, seed)
		JOIN pg_catalog.pg_attribute AS v ON v.attrelid OPERATOR(pg_catalog.=) p.view
		JOIN pg_catalog.pg_attribute AS s
			ON s.attrelid OPERATOR(pg_catalog.=) p.seed
				AND s.attname OPERATOR(pg_catalog.=) v.attname
		JOIN pg_catalog.pg_description AS d
			ON d.classoid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
			AND d.objoid OPERATOR(pg_catalog.=) s.attrelid
			AND d.objsubid OPERATOR(pg_catalog.=) s.attnum
		WHERE v.attnum OPERATOR(pg_catalog.>) 0
	LOOP
		EXECUTE pg_catalog.format('COMMENT ON COLUMN %s.%I IS %L', c.view, c.attname,
			c.description);
	END LOOP;
END
$comment$;
