-- The rules that documents are checked by: which there are, for which documents, and what each does
-- with one that breaks it. The formulas are in src/document/rule.c.

CREATE TABLE exact.catalogue_rule (
	rule text,
	entity text REFERENCES exact.catalogue (entity) ON DELETE CASCADE,
	action text NOT NULL CHECK (action IN ('quarantine', 'flag', 'off')),
	holds boolean NOT NULL,
	PRIMARY KEY (rule, entity)
);
COMMENT ON TABLE exact.catalogue_rule
	IS 'The shipped rules, and what each does with documents of an entity when no user changed it';
COMMENT ON COLUMN exact.catalogue_rule.rule IS 'Rule, as in exact.rule.name';
COMMENT ON COLUMN exact.catalogue_rule.entity IS 'Entity of the documents'' headers';
COMMENT ON COLUMN exact.catalogue_rule.action
	IS 'quarantine: the document waits; flag: it is delivered with _valid = false; off: the rule '
		'is not applied';
COMMENT ON COLUMN exact.catalogue_rule.holds
	IS 'A user may have the rule hold these documents; else they are always delivered';
REVOKE ALL ON TABLE exact.catalogue_rule FROM PUBLIC;
GRANT SELECT ON TABLE exact.catalogue_rule TO exact_reader, exact_worker;

INSERT INTO exact.catalogue_rule (rule, entity, action, holds)
SELECT r.rule, e.entity,
	CASE
		WHEN e.entity OPERATOR(pg_catalog.=) ANY (r.off::text[]) THEN 'off'
		WHEN e.holds THEN r.action
		ELSE 'flag'
	END, e.holds
FROM (VALUES
	('line_gl_account_exists', 'quarantine', '{purchaseinvoices,purchaseorders}', '{}'),
	('line_cost_center_exists', 'quarantine', '{}', '{}'),
	('line_cost_unit_exists', 'quarantine', '{}', '{}'),
	('cost_center_required', 'flag', '{purchaseinvoices,purchaseorders,transactionlines}', '{}'),
	('cost_center_ended', 'flag', '{purchaseorders,transactionlines}', '{}'),
	('gl_account_blocked', 'flag', '{purchaseinvoices,purchaseorders,transactionlines}', '{}'),
	('entry_balances', 'flag', '{purchaseentries,salesentries,bankentries,cashentries,'
		'purchaseinvoices,salesinvoices,purchaseorders}', '{}'),
	('lines_match_header', 'flag', '{generaljournalentries,transactionlines}',
		'{salesinvoices,bankentries,cashentries}')
) AS r (rule, action, without, off)
CROSS JOIN (VALUES
	('purchaseentries', true),
	('salesentries', true),
	('generaljournalentries', true),
	('bankentries', true),
	('cashentries', true),
	('purchaseinvoices', true),
	('salesinvoices', true),
	('purchaseorders', false),
	('transactionlines', false)
) AS e (entity, holds)
WHERE e.entity OPERATOR(pg_catalog.<>) ALL (r.without::text[]);

CREATE VIEW exact._rule AS
SELECT c.rule, c.entity,
	CASE
		WHEN NOT r.enabled THEN 'off'
		WHEN r.action IS NULL THEN c.action
		WHEN c.holds THEN r.action
		ELSE 'flag'
	END AS action
FROM exact.catalogue_rule AS c
LEFT JOIN exact.rule AS r ON r.name = c.rule;
COMMENT ON VIEW exact._rule
	IS 'What each shipped rule does with documents of an entity: the catalogue with what users '
		'changed in exact.rule';
REVOKE ALL ON TABLE exact._rule FROM PUBLIC;
GRANT SELECT ON TABLE exact._rule TO exact_reader, exact_worker;

-- Header and lines of a document are versions of two entities; the rows of a ledger entry are of
-- one, and have no header.
CREATE VIEW exact._document_entity AS
SELECT h.entity AS document, h.entity, h.entity = 'transactionlines' AS line,
	bool_or(r.holds) AS holds
FROM exact.catalogue AS h
JOIN exact.catalogue_rule AS r ON r.entity = h.entity
GROUP BY h.entity
UNION ALL
SELECT h.entity, l.entity, true, bool_or(r.holds)
FROM exact.catalogue AS h
JOIN exact.catalogue_rule AS r ON r.entity = h.entity
JOIN exact.catalogue AS l ON l.feed = h.feed AND l.row_kind = 'line' AND h.row_kind = 'header'
GROUP BY h.entity, l.entity;
COMMENT ON VIEW exact._document_entity
	IS 'Entities whose records are headers or lines of documents that are checked';
REVOKE ALL ON TABLE exact._document_entity FROM PUBLIC;
GRANT SELECT ON TABLE exact._document_entity TO exact_reader, exact_worker;
