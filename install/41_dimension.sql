-- The dimensions: what Exact Online has now, kept by the fetcher in the transaction that stages.
--
-- The columns are the fields of Exact Online in lower case, so that a statement over them runs here
-- and in Databricks alike. Whoever else writes here proposes: 43_dimension_edit.sql.

-- Codes are compared as the service does. ASCII is folded first, by itself: in a database whose
-- locale is Turkish the lower case of I is another letter.
CREATE FUNCTION exact._folded(code text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN lower(lower(btrim(code) COLLATE "C") COLLATE "default");
END
$$;
COMMENT ON FUNCTION exact._folded(text)
	IS 'A code as it is compared: without regard to case and to blanks around it';
REVOKE ALL ON FUNCTION exact._folded(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._folded(text) TO exact_worker, exact_operator;

CREATE TABLE exact.gl_account (
	division int NOT NULL,
	id uuid NOT NULL,
	code text,
	description text,
	allowcostsinsales int,
	assimilatedvatbox int,
	balanceside text,
	balancetype text,
	belcotaxtype int,
	compress boolean,
	costcenter text,
	costcenterdescription text,
	costunit text,
	costunitdescription text,
	created timestamp,
	creator uuid,
	creatorfullname text,
	customfield text,
	descriptiontermid int,
	excludevatlisting int,
	expensenondeductiblepercentage numeric(28, 10),
	isblocked boolean,
	matching boolean,
	modified timestamp,
	modifier uuid,
	modifierfullname text,
	privateglaccount uuid,
	privatepercentage numeric(28, 10),
	reportingcode text,
	revaluecurrency boolean,
	searchcode text,
	type int,
	typedescription text,
	usecostcenter int,
	usecostunit int,
	vatcode text,
	vatdescription text,
	vatglaccounttype text,
	vatnondeductibleglaccount uuid,
	vatnondeductiblepercentage numeric(28, 10),
	vatsystem text,
	yearendcostglaccount uuid,
	yearendreflectionglaccount uuid,
	deleted boolean NOT NULL DEFAULT false,
	code_taken boolean NOT NULL DEFAULT false,
	seq bigint NOT NULL,
	PRIMARY KEY (division, id)
);
COMMENT ON TABLE exact.gl_account
	IS 'GL accounts as Exact Online has them. INSERT, UPDATE and DELETE propose a change: '
		'exact.dimension_change';
COMMENT ON COLUMN exact.gl_account.division IS 'Division';
COMMENT ON COLUMN exact.gl_account.id IS 'Key in Exact Online, _key in Delta';
COMMENT ON COLUMN exact.gl_account.code IS 'Code';
COMMENT ON COLUMN exact.gl_account.description IS 'Description';
COMMENT ON COLUMN exact.gl_account.allowcostsinsales IS 'Field AllowCostsInSales of Exact Online';
COMMENT ON COLUMN exact.gl_account.assimilatedvatbox IS 'Field AssimilatedVATBox of Exact Online';
COMMENT ON COLUMN exact.gl_account.balanceside IS 'D debit, C credit';
COMMENT ON COLUMN exact.gl_account.balancetype IS 'B balance sheet, W profit and loss';
COMMENT ON COLUMN exact.gl_account.belcotaxtype IS 'Field BelcotaxType of Exact Online';
COMMENT ON COLUMN exact.gl_account.compress IS 'Field Compress of Exact Online';
COMMENT ON COLUMN exact.gl_account.costcenter IS 'Code of its cost center';
COMMENT ON COLUMN exact.gl_account.costcenterdescription
	IS 'Field CostcenterDescription of Exact Online, which it keeps itself';
COMMENT ON COLUMN exact.gl_account.costunit IS 'Code of its cost unit';
COMMENT ON COLUMN exact.gl_account.costunitdescription
	IS 'Field CostunitDescription of Exact Online, which it keeps itself';
COMMENT ON COLUMN exact.gl_account.created IS 'When it was made there';
COMMENT ON COLUMN exact.gl_account.creator
	IS 'Field Creator of Exact Online, which it keeps itself';
COMMENT ON COLUMN exact.gl_account.creatorfullname
	IS 'Field CreatorFullName of Exact Online, which it keeps itself';
COMMENT ON COLUMN exact.gl_account.customfield
	IS 'Field CustomField of Exact Online, which it keeps itself';
COMMENT ON COLUMN exact.gl_account.descriptiontermid IS 'Field DescriptionTermID of Exact Online';
COMMENT ON COLUMN exact.gl_account.excludevatlisting IS 'Field ExcludeVATListing of Exact Online';
COMMENT ON COLUMN exact.gl_account.expensenondeductiblepercentage
	IS 'Field ExpenseNonDeductiblePercentage of Exact Online';
COMMENT ON COLUMN exact.gl_account.isblocked IS 'Nothing new may be booked on it';
COMMENT ON COLUMN exact.gl_account.matching IS 'Field Matching of Exact Online';
COMMENT ON COLUMN exact.gl_account.modified IS 'When it was changed there last';
COMMENT ON COLUMN exact.gl_account.modifier
	IS 'Field Modifier of Exact Online, which it keeps itself';
COMMENT ON COLUMN exact.gl_account.modifierfullname
	IS 'Field ModifierFullName of Exact Online, which it keeps itself';
COMMENT ON COLUMN exact.gl_account.privateglaccount IS 'Field PrivateGLAccount of Exact Online';
COMMENT ON COLUMN exact.gl_account.privatepercentage IS 'Field PrivatePercentage of Exact Online';
COMMENT ON COLUMN exact.gl_account.reportingcode IS 'Field ReportingCode of Exact Online';
COMMENT ON COLUMN exact.gl_account.revaluecurrency IS 'Field RevalueCurrency of Exact Online';
COMMENT ON COLUMN exact.gl_account.searchcode IS 'Field SearchCode of Exact Online';
COMMENT ON COLUMN exact.gl_account.type IS 'Field Type of Exact Online';
COMMENT ON COLUMN exact.gl_account.typedescription
	IS 'Field TypeDescription of Exact Online, which it keeps itself';
COMMENT ON COLUMN exact.gl_account.usecostcenter
	IS 'Booking with a cost center: 0 optional, 1 mandatory, 2 no';
COMMENT ON COLUMN exact.gl_account.usecostunit
	IS 'Booking with a cost unit: 0 optional, 1 mandatory, 2 no';
COMMENT ON COLUMN exact.gl_account.vatcode IS 'Field VATCode of Exact Online';
COMMENT ON COLUMN exact.gl_account.vatdescription
	IS 'Field VATDescription of Exact Online, which it keeps itself';
COMMENT ON COLUMN exact.gl_account.vatglaccounttype IS 'Field VATGLAccountType of Exact Online';
COMMENT ON COLUMN exact.gl_account.vatnondeductibleglaccount
	IS 'Field VATNonDeductibleGLAccount of Exact Online';
COMMENT ON COLUMN exact.gl_account.vatnondeductiblepercentage
	IS 'Field VATNonDeductiblePercentage of Exact Online';
COMMENT ON COLUMN exact.gl_account.vatsystem IS 'Field VATSystem of Exact Online';
COMMENT ON COLUMN exact.gl_account.yearendcostglaccount
	IS 'Field YearEndCostGLAccount of Exact Online';
COMMENT ON COLUMN exact.gl_account.yearendreflectionglaccount
	IS 'Field YearEndReflectionGLAccount of Exact Online';
COMMENT ON COLUMN exact.gl_account.deleted IS 'It is gone in Exact Online';
COMMENT ON COLUMN exact.gl_account.code_taken
	IS 'A later record has its code: this one was renamed or deleted, and the hub has not read '
		'that yet';
COMMENT ON COLUMN exact.gl_account.seq IS '_seq of the version that the row shows';
CREATE UNIQUE INDEX gl_account_code ON exact.gl_account (division, code)
	WHERE NOT deleted AND NOT code_taken;
COMMENT ON INDEX exact.gl_account_code IS 'A code is one GL account of a division';
CREATE INDEX gl_account_folded ON exact.gl_account (exact._folded(code), division);
COMMENT ON INDEX exact.gl_account_folded IS 'GL accounts by what documents and edits name';
REVOKE ALL ON TABLE exact.gl_account FROM PUBLIC;
GRANT SELECT ON TABLE exact.gl_account TO exact_reader, exact_rule;
GRANT INSERT, UPDATE, DELETE ON TABLE exact.gl_account TO exact_operator;
GRANT SELECT, INSERT, UPDATE ON TABLE exact.gl_account TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.gl_account', '');

CREATE TABLE exact.cost_center (
	division int NOT NULL,
	id uuid NOT NULL,
	code text,
	description text,
	active boolean,
	created timestamp,
	creator uuid,
	creatorfullname text,
	customfield text,
	enddate date,
	modified timestamp,
	modifier uuid,
	modifierfullname text,
	deleted boolean NOT NULL DEFAULT false,
	code_taken boolean NOT NULL DEFAULT false,
	seq bigint NOT NULL,
	PRIMARY KEY (division, id)
);
COMMENT ON TABLE exact.cost_center
	IS 'Cost centers as Exact Online has them. INSERT, UPDATE and DELETE propose a change: '
		'exact.dimension_change';
COMMENT ON COLUMN exact.cost_center.division IS 'Division';
COMMENT ON COLUMN exact.cost_center.id IS 'Key in Exact Online, _key in Delta';
COMMENT ON COLUMN exact.cost_center.code IS 'Code';
COMMENT ON COLUMN exact.cost_center.description IS 'Description';
COMMENT ON COLUMN exact.cost_center.active IS 'Obsolete in Exact Online: EndDate counts';
COMMENT ON COLUMN exact.cost_center.created IS 'When it was made there';
COMMENT ON COLUMN exact.cost_center.creator
	IS 'Field Creator of Exact Online, which it keeps itself';
COMMENT ON COLUMN exact.cost_center.creatorfullname
	IS 'Field CreatorFullName of Exact Online, which it keeps itself';
COMMENT ON COLUMN exact.cost_center.customfield
	IS 'Field CustomField of Exact Online, which it keeps itself';
COMMENT ON COLUMN exact.cost_center.enddate IS 'Not used from this day on; null: in use';
COMMENT ON COLUMN exact.cost_center.modified IS 'When it was changed there last';
COMMENT ON COLUMN exact.cost_center.modifier
	IS 'Field Modifier of Exact Online, which it keeps itself';
COMMENT ON COLUMN exact.cost_center.modifierfullname
	IS 'Field ModifierFullName of Exact Online, which it keeps itself';
COMMENT ON COLUMN exact.cost_center.deleted IS 'It is gone in Exact Online';
COMMENT ON COLUMN exact.cost_center.code_taken
	IS 'A later record has its code: this one was renamed or deleted, and the hub has not read '
		'that yet';
COMMENT ON COLUMN exact.cost_center.seq IS '_seq of the version that the row shows';
CREATE UNIQUE INDEX cost_center_code ON exact.cost_center (division, code)
	WHERE NOT deleted AND NOT code_taken;
COMMENT ON INDEX exact.cost_center_code IS 'A code is one cost center of a division';
CREATE INDEX cost_center_folded ON exact.cost_center (exact._folded(code), division);
COMMENT ON INDEX exact.cost_center_folded IS 'Cost centers by what documents and edits name';
REVOKE ALL ON TABLE exact.cost_center FROM PUBLIC;
GRANT SELECT ON TABLE exact.cost_center TO exact_reader, exact_rule;
GRANT INSERT, UPDATE, DELETE ON TABLE exact.cost_center TO exact_operator;
GRANT SELECT, INSERT, UPDATE ON TABLE exact.cost_center TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.cost_center', '');

CREATE TABLE exact.cost_unit (
	division int NOT NULL,
	id uuid NOT NULL,
	code text,
	description text,
	created timestamp,
	creator uuid,
	creatorfullname text,
	customfield text,
	enddate date,
	modified timestamp,
	modifier uuid,
	modifierfullname text,
	deleted boolean NOT NULL DEFAULT false,
	code_taken boolean NOT NULL DEFAULT false,
	seq bigint NOT NULL,
	PRIMARY KEY (division, id)
);
COMMENT ON TABLE exact.cost_unit
	IS 'Cost units as Exact Online has them. INSERT, UPDATE and DELETE propose a change: '
		'exact.dimension_change';
COMMENT ON COLUMN exact.cost_unit.division IS 'Division';
COMMENT ON COLUMN exact.cost_unit.id IS 'Key in Exact Online, _key in Delta';
COMMENT ON COLUMN exact.cost_unit.code IS 'Code';
COMMENT ON COLUMN exact.cost_unit.description IS 'Description';
COMMENT ON COLUMN exact.cost_unit.created IS 'When it was made there';
COMMENT ON COLUMN exact.cost_unit.creator IS 'Field Creator of Exact Online, which it keeps itself';
COMMENT ON COLUMN exact.cost_unit.creatorfullname
	IS 'Field CreatorFullName of Exact Online, which it keeps itself';
COMMENT ON COLUMN exact.cost_unit.customfield
	IS 'Field CustomField of Exact Online, which it keeps itself';
COMMENT ON COLUMN exact.cost_unit.enddate IS 'Not used from this day on; null: in use';
COMMENT ON COLUMN exact.cost_unit.modified IS 'When it was changed there last';
COMMENT ON COLUMN exact.cost_unit.modifier
	IS 'Field Modifier of Exact Online, which it keeps itself';
COMMENT ON COLUMN exact.cost_unit.modifierfullname
	IS 'Field ModifierFullName of Exact Online, which it keeps itself';
COMMENT ON COLUMN exact.cost_unit.deleted IS 'It is gone in Exact Online';
COMMENT ON COLUMN exact.cost_unit.code_taken
	IS 'A later record has its code: this one was renamed or deleted, and the hub has not read '
		'that yet';
COMMENT ON COLUMN exact.cost_unit.seq IS '_seq of the version that the row shows';
CREATE UNIQUE INDEX cost_unit_code ON exact.cost_unit (division, code)
	WHERE NOT deleted AND NOT code_taken;
COMMENT ON INDEX exact.cost_unit_code IS 'A code is one cost unit of a division';
CREATE INDEX cost_unit_folded ON exact.cost_unit (exact._folded(code), division);
COMMENT ON INDEX exact.cost_unit_folded IS 'Cost units by what documents and edits name';
REVOKE ALL ON TABLE exact.cost_unit FROM PUBLIC;
GRANT SELECT ON TABLE exact.cost_unit TO exact_reader, exact_rule;
GRANT INSERT, UPDATE, DELETE ON TABLE exact.cost_unit TO exact_operator;
GRANT SELECT, INSERT, UPDATE ON TABLE exact.cost_unit TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.cost_unit', '');

-- Sources: the documentation of each resource; Code at creation only: the vendor; lengths: two
-- independent clients.
CREATE VIEW exact._dimension_field AS
SELECT f.entity, f.name, f.ordinal, f.edm_type, f.target_type, w.once, w.mandatory, w.most,
	v.name IS NOT NULL AS hashed
FROM (VALUES
	('costcenter', 'Active', false, false, NULL::int),
	('costcenter', 'Code', true, true, 8),
	('costcenter', 'Description', false, true, 60),
	('costcenter', 'EndDate', false, false, NULL::int),
	('costunit', 'Code', true, true, 8),
	('costunit', 'Description', false, true, 60),
	('costunit', 'EndDate', false, false, NULL::int),
	('glaccount', 'AllowCostsInSales', false, false, NULL),
	('glaccount', 'AssimilatedVATBox', false, false, NULL),
	('glaccount', 'BalanceSide', false, false, NULL),
	('glaccount', 'BalanceType', false, false, NULL),
	('glaccount', 'BelcotaxType', false, false, NULL),
	('glaccount', 'Code', false, true, NULL),
	('glaccount', 'Compress', false, false, NULL),
	('glaccount', 'Costcenter', false, false, NULL),
	('glaccount', 'Costunit', false, false, NULL),
	('glaccount', 'Description', false, true, NULL),
	('glaccount', 'DescriptionTermID', false, false, NULL),
	('glaccount', 'ExcludeVATListing', false, false, NULL),
	('glaccount', 'ExpenseNonDeductiblePercentage', false, false, NULL),
	('glaccount', 'IsBlocked', false, false, NULL),
	('glaccount', 'Matching', false, false, NULL),
	('glaccount', 'PrivateGLAccount', false, false, NULL),
	('glaccount', 'PrivatePercentage', false, false, NULL),
	('glaccount', 'ReportingCode', false, false, NULL),
	('glaccount', 'RevalueCurrency', false, false, NULL),
	('glaccount', 'SearchCode', false, false, NULL),
	('glaccount', 'Type', false, false, NULL),
	('glaccount', 'UseCostcenter', false, false, NULL),
	('glaccount', 'UseCostunit', false, false, NULL),
	('glaccount', 'VATCode', false, false, NULL),
	('glaccount', 'VATGLAccountType', false, false, NULL),
	('glaccount', 'VATNonDeductibleGLAccount', false, false, NULL),
	('glaccount', 'VATNonDeductiblePercentage', false, false, NULL),
	('glaccount', 'VATSystem', false, false, NULL),
	('glaccount', 'YearEndCostGLAccount', false, false, NULL),
	('glaccount', 'YearEndReflectionGLAccount', false, false, NULL)
) AS w (entity, name, once, mandatory, most)
JOIN exact.catalogue_field AS f ON f.entity = w.entity AND f.name = w.name
LEFT JOIN exact.field_effective AS v ON v.entity = f.entity AND v.name = f.name;
COMMENT ON VIEW exact._dimension_field
	IS 'Fields of the dimensions that may be written: once (at creation only), mandatory, most '
		'characters; hashed: an edit of its Delta column is looked for';
REVOKE ALL ON TABLE exact._dimension_field FROM PUBLIC;
GRANT SELECT ON TABLE exact._dimension_field TO exact_reader, exact_worker;
