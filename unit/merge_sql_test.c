/*
 * merge_sql_test.c - the texts of src/delta/merge_sql.c, compared with texts that ran on Spark
 * 4.0.1 with Delta 4.4.0.
 *
 * With the argument "print" it writes the texts instead, one a line of dashes apart.
 */
#define FRONTEND 1
#include "postgres_fe.h"

#include "databricks/delta_sql.c"
#include "delta/rows_sql.c"
#include "delta/look_sql.c"
#include "delta/merge_sql.c"

#include "sql_text.h"

static const ExactColumn columns[] = {
	{"ID", "ID", "STRING", "Key", true, false, false, false, false, NULL, false},
	{"Supplier", "Supplier", "STRING", NULL, true, false, false, false, false, NULL, false},
	{"SupplierName", "SupplierName", "STRING", NULL,
		false, false, false, true, false, "Supplier", false},
	{"Remark", "Remark", "STRING", "it's a \\ of ${x}",
		false, false, false, true, false, NULL, false},
	{"AmountDC", "AmountDC", "DECIMAL(28,4)", NULL, false, false, false, false, false, NULL, false},
	{"OrderDate", "OrderDate", "DATE", NULL, false, true, false, false, false, NULL, false},
};

static const ExactHub hub = {"i1", 3, "c'1"};
static const int divisions[] = {12, 34};
static const ExactMergeRows three = {3, INT64CONST(1099511627777), INT64CONST(1099511627790),
	divisions, 2};
static const ExactMergeRows two = {2, 5, 9, divisions, 1};

static const ExactTarget target = {"main", "exact", "orders", "orders_history", "purchaseorders",
	"purchaseorder/PurchaseOrders",
&hub, lengthof(columns), columns};

static void
expect_type(const char *type, const char *expected)
{
	char		out[EXACT_DELTA_SQL_TYPE_SIZE] = "";
	bool		ok = exact_delta_sql_type(type, out);

	if (ok != (expected != NULL) || (ok && strcmp(out, expected) != 0))
	{
		printf("FAILED type %s: got %s\n", type, ok ? out : "none");
		failures++;
	}
}

#define SYSTEM_FIRST "`_division`: STRING, `_key`: STRING, `_seq`: STRING"
#define FIELDS "`ID`: STRING, `Supplier`: STRING, `SupplierName`: STRING, `Remark`: STRING, " \
	"`AmountDC`: STRING, `OrderDate`: STRING"
#define SYSTEM_LAST "`_op`: STRING, `_valid`: STRING, `_problems`: STRING, `_batch`: STRING, " \
	"`_staged_at`: STRING"
#define SOURCE "SELECT CAST(r.`_division` AS INT) AS `_division`, r.`_key` AS `_key`, " \
	"CAST(r.`_seq` AS BIGINT) AS `_seq`, " \
	"r.`ID` AS `ID`, r.`Supplier` AS `Supplier`, r.`SupplierName` AS `SupplierName`, r.`Remark` " \
	"AS `Remark`, " \
	"coalesce(CAST(r.`AmountDC` AS DECIMAL(28,4)), CASE WHEN r.`AmountDC` IS NOT NULL " \
	"THEN raise_error('exact: ANSI_MODE is off') END) AS `AmountDC`, " \
	"coalesce(CAST(r.`OrderDate` AS DATE), CASE WHEN r.`OrderDate` IS NOT NULL " \
	"THEN raise_error('exact: ANSI_MODE is off') END) AS `OrderDate`, r.`_op` AS `_op`, " \
	"CAST(r.`_valid` AS BOOLEAN) AS `_valid`, r.`_problems` AS `_problems`, CAST(r.`_batch` AS " \
	"BIGINT) AS `_batch`, " \
	"CAST(r.`_staged_at` AS TIMESTAMP) AS `_staged_at`"
#define ROWS(n) "\nFROM (SELECT explode(CASE WHEN size(a) = " n " THEN a " \
	"ELSE raise_error('exact: the batch holds ' || " \
	"coalesce(size(a), 0) || ' rows, expected " n "') END) AS r\n  " \
	"FROM (SELECT from_json(:batch, 'ARRAY<STRUCT<" SYSTEM_FIRST
#define END_ROWS ">>', map('mode', 'FAILFAST')) AS a))"
#define FENCED(n, list) ">>', map('mode', 'FAILFAST')) AS a)\n  " \
	"WHERE (SELECT assert_true(count(*) = " n ", 'exact: fenced') " \
	"FROM `main`.`exact`.`exact_hub` WHERE `installation` = 'i1' AND `epoch` = 3 " \
	"AND `claim` = 'c\\'1' AND `division` IN (" list ")) IS NULL)"
#define ALL_COLUMNS "`_division`, `_key`, `_seq`, `ID`, `Supplier`, `SupplierName`, `Remark`, " \
	"`AmountDC`, `OrderDate`, `_op`, `_deleted`, " \
	"`_valid`, `_problems`, `_batch`, `_staged_at`, `_loaded_at`"
#define ALL_VALUES "s.`_division`, s.`_key`, s.`_seq`, s.`ID`, s.`Supplier`, s.`SupplierName`, " \
	"s.`Remark`, s.`AmountDC`, s.`OrderDate`, " \
	"s.`_op`, s.`_op` = 'D', s.`_valid`, s.`_problems`, s.`_batch`, s.`_staged_at`, " \
	"current_timestamp()"
#define UPDATES " THEN UPDATE SET `_seq` = s.`_seq`, `_op` = s.`_op`, `_deleted` = s.`_op` = " \
	"'D', `_batch` = s.`_batch`, " \
	"`_loaded_at` = current_timestamp()\n" \
	"WHEN MATCHED AND s.`_seq` > t.`_seq` THEN UPDATE SET `_seq` = s.`_seq`, `ID` = s.`ID`, " \
	"`Supplier` = s.`Supplier`, " \
	"`SupplierName` = CASE WHEN s.`SupplierName` IS NULL AND t.`Supplier` <=> s.`Supplier` THEN " \
	"t.`SupplierName` ELSE s.`SupplierName` END, " \
	"`Remark` = CASE WHEN s.`Remark` IS NULL THEN t.`Remark` ELSE s.`Remark` END, " \
	"`AmountDC` = s.`AmountDC`, `OrderDate` = s.`OrderDate`, `_op` = s.`_op`, `_deleted` = " \
	"s.`_op` = 'D', `_valid` = s.`_valid`, " \
	"`_problems` = s.`_problems`, `_batch` = s.`_batch`, `_staged_at` = s.`_staged_at`, " \
	"`_loaded_at` = current_timestamp()\n" \
	"WHEN NOT MATCHED THEN INSERT (" ALL_COLUMNS ")\n  VALUES (" ALL_VALUES ")"

#define COLUMN_TEXTS "\n  `_division` INT NOT NULL COMMENT 'Division (administration) in " \
	"Exact Online'" \
	",\n  `_key` STRING NOT NULL COMMENT 'Key of the record in Exact Online'" \
	",\n  `_seq` BIGINT NOT NULL COMMENT 'Version: rises with every change, over all divisions " \
	"and tables'" \
	",\n  `ID` STRING COMMENT 'Key',\n  `Supplier` STRING,\n  `SupplierName` STRING" \
	",\n  `Remark` STRING COMMENT 'it\\'s a \\\\ of $\\{x}',\n  `AmountDC` DECIMAL(28,4),\n  " \
	"`OrderDate` DATE" \
	",\n  `_op` STRING NOT NULL COMMENT 'What made this version: I insert, U update, D delete'" \
	",\n  `_deleted` BOOLEAN NOT NULL COMMENT 'True when the record is gone in Exact Online; the " \
	"other columns hold its last state'" \
	",\n  `_valid` BOOLEAN COMMENT 'False when a validation rule found a problem'" \
	",\n  `_problems` STRING COMMENT 'What the validation rules found'" \
	",\n  `_batch` BIGINT COMMENT 'Batch of the hub that brought this version'" \
	",\n  `_staged_at` TIMESTAMP COMMENT 'When the hub stored this version'" \
	",\n  `_loaded_at` TIMESTAMP COMMENT 'When this row was written here'"

static void
test_tables(StringInfo out)
{
	exact_delta_sql_create_schema(out, target.catalog, target.schema);
	expect("schema", out, "CREATE SCHEMA IF NOT EXISTS `main`.`exact` COMMENT 'Exact Online, kept "
		   "up to date by exact_databricks'");
	exact_merge_sql_create_table(out, &target, EXACT_TABLE_CURRENT);
	expect("current table", out,
		   "CREATE TABLE `main`.`exact`.`orders` (" COLUMN_TEXTS
		   "\n) USING DELTA CLUSTER BY (`_division`, `_key`)\nCOMMENT 'Exact Online "
		   "purchaseorder/PurchaseOrders: the current state, "
		   "one row per record; deleted ones stay with _deleted'\nTBLPROPERTIES "
		   "('delta.enableChangeDataFeed' = 'true', "
		   "'delta.enableDeletionVectors' = 'true', 'delta.isolationLevel' = 'Serializable', "
		   "'delta.feature.timestampNtz' = 'supported', "
		   "'exact.entity' = 'purchaseorders', "
		   "'exact.installation' = 'i1')");
	exact_merge_sql_create_table(out, &target, EXACT_TABLE_HISTORY);
	expect("history table", out,
		   "CREATE TABLE `main`.`exact`.`orders_history` (" COLUMN_TEXTS
		   ",\n  `_payload` STRING COMMENT 'The record exactly as Exact Online sent it'"
		   "\n) USING DELTA CLUSTER BY (`_division`, `_seq`)\nCOMMENT 'Exact Online "
		   "purchaseorder/PurchaseOrders: every version of "
		   "every record, in the order of _seq'\nTBLPROPERTIES ('delta.enableDeletionVectors' "
		   "= 'false', "
		   "'delta.isolationLevel' = 'Serializable', 'delta.feature.timestampNtz' = 'supported', "
		   "'exact.entity' = 'purchaseorders', "
		   "'exact.installation' = 'i1')");
	exact_merge_sql_describe(out, &target, EXACT_TABLE_HISTORY);
	expect("describe", out, "DESCRIBE TABLE `main`.`exact`.`orders_history`");
	exact_look_sql_operations(out, &target, EXACT_TABLE_HISTORY, 9);
	expect("operations", out, "DESCRIBE HISTORY `main`.`exact`.`orders_history` LIMIT 9");
	exact_merge_sql_properties(out, &target, EXACT_TABLE_CURRENT);
	expect("properties", out, "SHOW TBLPROPERTIES `main`.`exact`.`orders`");
	exact_delta_sql_mark(out, &hub, "purchaseorders", "history", "12.1-14.40");
	expect("mark", out,
		   "/* exact_databricks i1.3.c'1 purchaseorders history 12.1-14.40 */");
	exact_merge_sql_name(out, &target, EXACT_TABLE_CURRENT);
	expect("name", out, "main.exact.orders");
}

static void
test_merges(StringInfo out)
{
	exact_merge_sql_history(out, &target, &three);
	expect("history", out,
		   "MERGE INTO `main`.`exact`.`orders_history` AS h\nUSING (" SOURCE ", r.`_payload` AS "
		   "`_payload`" ROWS("3") ", " FIELDS ", "
		   SYSTEM_LAST ", `_payload`: STRING" FENCED("2", "12, 34") ") AS s\nON h.`_division` = "
		   "s.`_division` AND h.`_seq` = s.`_seq` AND "
		   "h.`_key` = s.`_key` AND h.`_seq` BETWEEN 1099511627777 AND 1099511627790\n"
		   "WHEN NOT MATCHED THEN "
		   "INSERT (" ALL_COLUMNS ", `_payload`)\n  VALUES ("
		   ALL_VALUES ", s.`_payload`)");
	exact_merge_sql_current(out, &target, &two, false);
	expect("current", out,
		   "MERGE INTO `main`.`exact`.`orders` AS t\nUSING (" SOURCE ROWS("2") ", " FIELDS ", "
		   SYSTEM_LAST FENCED("1", "12") ") AS s\nON t.`_division` = s.`_division` AND "
		   "t.`_key` = s.`_key`\n"
		   "WHEN MATCHED AND s.`_seq` > t.`_seq` AND s.`_op` = 'D'" UPDATES);
	exact_merge_sql_insert_current(out, &target, &two);
	expect("current with new records", out,
		   "MERGE INTO `main`.`exact`.`orders` AS t\nUSING (" SOURCE ROWS("2") ", " FIELDS ", "
		   SYSTEM_LAST FENCED("1", "12") ") AS s\nON t.`_division` = s.`_division` AND "
		   "t.`_key` = s.`_key`\n"
		   "WHEN NOT MATCHED AND s.`_seq` > 0 THEN INSERT (" ALL_COLUMNS ")\n  VALUES ("
		   ALL_VALUES ")");
	exact_merge_sql_first(out, &target, EXACT_TABLE_CURRENT, &two);
	expect("first rows of current", out,
		   "INSERT INTO `main`.`exact`.`orders` (" ALL_COLUMNS ")\nSELECT " ALL_VALUES "\nFROM ("
		   SOURCE ROWS("2") ", " FIELDS ", " SYSTEM_LAST FENCED("1", "12") ") AS s\n"
		   "WHERE (SELECT count(*) FROM `main`.`exact`.`orders`) = 0");
	exact_merge_sql_first(out, &target, EXACT_TABLE_HISTORY, &three);
	expect("first rows of history", out,
		   "INSERT INTO `main`.`exact`.`orders_history` (" ALL_COLUMNS ", `_payload`)\nSELECT "
		   ALL_VALUES ", s.`_payload`\nFROM (" SOURCE ", r.`_payload` AS `_payload`" ROWS("3")
		   ", " FIELDS ", " SYSTEM_LAST ", `_payload`: STRING" FENCED("2", "12, 34") ") AS s\n"
		   "WHERE (SELECT count(*) FROM `main`.`exact`.`orders_history`) = 0");
	exact_merge_sql_current(out, &target, &three, true);
	expect("current with several versions of a key", out,
		   "MERGE INTO `main`.`exact`.`orders` AS t\nUSING (SELECT * FROM (SELECT q.`_division`, "
		   "q.`_key`, q.`_seq`, q.`ID`, q.`Supplier`, "
		   "last_value(q.`SupplierName`, true) OVER (PARTITION BY q.`_division`, q.`_key`, "
		   "q.`Supplier` ORDER BY q.`_seq`) AS `SupplierName`, "
		   "last_value(q.`Remark`, true) OVER (PARTITION BY q.`_division`, q.`_key` "
		   "ORDER BY q.`_seq`) AS `Remark`, q.`AmountDC`, q.`OrderDate`, "
		   "q.`_op`, q.`_valid`, q.`_problems`, q.`_batch`, q.`_staged_at`, count(*) OVER "
		   "(PARTITION BY q.`_division`, q.`_key`) AS `_versions`, "
		   "row_number() OVER (PARTITION BY q.`_division`, q.`_key` ORDER BY q.`_seq` DESC) AS "
		   "`_rn`\nFROM (" SOURCE ROWS("3") ", " FIELDS ", "
		   SYSTEM_LAST FENCED("2", "12, 34") ") AS q) WHERE `_rn` = 1) AS s\nON t.`_division` = "
		   "s.`_division` AND t.`_key` = s.`_key`\n"
		   "WHEN MATCHED AND s.`_seq` > t.`_seq` AND s.`_op` = 'D' AND s.`_versions` = 1" UPDATES);
	exact_merge_sql_check_history(out, &target, &two);
	expect("check of history", out,
		   "SELECT count(CASE WHEN h.`_key` = s.r.`_key` THEN 1 END) AS `n`, "
		   "max(CASE WHEN h.`_key` <> s.r.`_key` THEN h.`_seq` END) AS `other`"
		   ROWS("2") END_ROWS " AS s\nJOIN `main`.`exact`.`orders_history` AS h ON h.`_division` = "
		   "CAST(s.r.`_division` AS INT) AND h.`_seq` = CAST(s.r.`_seq` AS BIGINT) "
		   "AND h.`_seq` BETWEEN 5 AND 9");
	exact_look_sql_newest(out, &target, 5, 9);
	expect("newest version", out, "SELECT `_seq` FROM `main`.`exact`.`orders_history`"
		   " WHERE `_seq` > 5 AND `_seq` < 9 ORDER BY `_seq` DESC LIMIT 1");
	exact_look_sql_between(out, &target, EXACT_TABLE_CURRENT, "Supplier", 5,
							INT64CONST(3298534883328), 10000);
	expect("versions of other copies", out, "SELECT `_division`, `_key`, `_seq`, `_deleted`, "
		   "`Supplier` AS `parent` FROM `main`.`exact`.`orders` "
		   "WHERE `_seq` > 5 AND `_seq` < 3298534883328 ORDER BY `_seq` LIMIT 10000");
	exact_merge_sql_check_current(out, &target, &three);
	expect("check of current", out,
		   "SELECT count(*) AS `n`" ROWS("3") END_ROWS " AS s\nJOIN `main`.`exact`.`orders` AS t "
		   "ON t.`_division` = "
		   "CAST(s.r.`_division` AS INT) AND t.`_key` = s.r.`_key` AND t.`_seq` >= CAST(s.r.`_seq` "
		   "AS BIGINT)");
}

static void
test_compare(StringInfo out)
{
	static const char *const names[] = {"_division", "_KEY", "_seq", "id", "suppliername", "remark",
		"amountdc", "orderdate", "_op",
		"_deleted", "_valid", "_problems", "_batch", "_staged_at", "_loaded_at", "theirs"};
	static const char *const types[] = {"int", "string", "bigint", "string", "string", "string",
		"decimal(28,2)", "timestamp", "string",
		"boolean", "boolean", "string", "bigint", "timestamp", "timestamp", "map<string,string>"};
	StringInfoData different;

	initStringInfo(&different);
	exact_merge_sql_compare(out, &different, &target, EXACT_TABLE_CURRENT, names, types,
							lengthof(names));
	expect("added columns", out,
		   "ALTER TABLE `main`.`exact`.`orders` ADD COLUMNS (`Supplier` STRING)");
	expect("different columns", &different, "AmountDC is decimal(28,2) and should be "
		   "DECIMAL(28,4), OrderDate is timestamp and should be DATE");
	exact_merge_sql_compare(out, &different, &target, EXACT_TABLE_HISTORY, names, types,
							lengthof(names));
	expect("added columns of the history", out,
		   "ALTER TABLE `main`.`exact`.`orders_history` ADD COLUMNS (`Supplier` STRING, "
		   "`_payload` STRING COMMENT 'The record exactly as Exact Online sent it')");
}

static void
test_comments(StringInfo out)
{
	static const char *const names[] = {"_division", "_KEY", "id", "AmountDC", "_seq"};
	const char *comments[] = {
		NULL, "", NULL, NULL, "Version: rises with every change, over all divisions and tables"
	};
	static const char *const kept[] = {
		"Ours, Edm", "Amount of the order", "the amount, Edm.Double", ", Edm.Double",
		"AmountFC, Edm.Double, in euro", "AmountDC, Edm.Double"
	};
	static const char *const replaced[] = {
		"", "AmountFC, Edm.Double", "AmountDC, Edm.String",
		"X, Edm.Int64, looked up by Exact Online"
	};
	ExactColumn own[lengthof(columns)];
	ExactTarget described = target;

	memcpy(own, columns, sizeof(columns));
	for (int i = 0; i < (int) lengthof(columns); i++)
		own[i].comment = strcmp(own[i].name, "AmountDC") == 0 ? "AmountDC, Edm.Double" : NULL;
	described.columns = own;
	exact_merge_sql_comments(out, &described, EXACT_TABLE_CURRENT, names, comments,
							 lengthof(names));
	expect("comments", out, "ALTER TABLE `main`.`exact`.`orders` ALTER COLUMN "
		   "`_division` COMMENT 'Division (administration) in Exact Online', "
		   "`_KEY` COMMENT 'Key of the record in Exact Online', "
		   "`AmountDC` COMMENT 'AmountDC, Edm.Double'");
	for (int i = 0; i < (int) lengthof(kept); i++)
	{
		exact_merge_sql_comments(out, &described, EXACT_TABLE_CURRENT, &names[3], &kept[i], 1);
		expect(kept[i], out, "");
	}
	for (int i = 0; i < (int) lengthof(replaced); i++)
	{
		exact_merge_sql_comments(out, &described, EXACT_TABLE_HISTORY, &names[3], &replaced[i], 1);
		expect(replaced[i], out, "ALTER TABLE `main`.`exact`.`orders_history` ALTER COLUMN "
			   "`AmountDC` COMMENT 'AmountDC, Edm.Double'");
	}
	comments[0] = "of somebody else";
	exact_merge_sql_comments(out, &described, EXACT_TABLE_CURRENT, names, comments, 1);
	expect("a comment of somebody else", out, "");
}

/* What is asked when a delivery was refused, and what a table that is filled again gets */
static void
test_rare(StringInfo out)
{
	ExactMergeRows again = two;

	again.rewrite = true;
	exact_merge_sql_features(out, &target, EXACT_TABLE_CURRENT);
	expect("features", out, "ALTER TABLE `main`.`exact`.`orders` "
		   "SET TBLPROPERTIES ('delta.feature.timestampNtz' = 'supported')");
	exact_merge_sql_history(out, &target, &again);
	expect("versions that are written anew", out, 
		   "MERGE INTO `main`.`exact`.`orders_history` AS h\nUSING (" SOURCE ", r.`_payload` AS "
		   "`_payload`" ROWS("2") ", " FIELDS ", "
		   SYSTEM_LAST ", `_payload`: STRING" FENCED("1", "12") ") AS s\nON h.`_division` = "
		   "s.`_division` AND h.`_seq` = s.`_seq` AND h.`_key` = s.`_key` AND h.`_seq` BETWEEN "
		   "5 AND 9\nWHEN MATCHED THEN UPDATE SET `_seq` = s.`_seq`, `ID` = s.`ID`, "
		   "`Supplier` = s.`Supplier`, `SupplierName` = s.`SupplierName`, `Remark` = s.`Remark`, "
		   "`AmountDC` = s.`AmountDC`, `OrderDate` = s.`OrderDate`, `_op` = s.`_op`, "
		   "`_deleted` = s.`_op` = 'D', `_valid` = s.`_valid`, `_problems` = s.`_problems`, "
		   "`_batch` = s.`_batch`, `_staged_at` = s.`_staged_at`, "
		   "`_loaded_at` = current_timestamp(), `_payload` = s.`_payload`\n"
		   "WHEN NOT MATCHED THEN INSERT (" ALL_COLUMNS ", `_payload`)\n  VALUES ("
		   ALL_VALUES ", s.`_payload`)");
	exact_merge_sql_unfit(out, &target, &two);
	expect("values that do not fit", out, 
		   "SELECT `_seq`, `columns`\nFROM (SELECT r.`_seq` AS `_seq`, concat('',\n"
		   "  CASE WHEN r.`AmountDC` IS NOT NULL AND try_cast(r.`AmountDC` AS DECIMAL(28,4)) "
		   "IS NULL THEN concat('4:', length(r.`AmountDC`), CASE WHEN translate(r.`AmountDC`, "
		   "'0123456789+-.eE', '') = '' THEN 'n,' ELSE 't,' END) ELSE '' END,\n"
		   "  CASE WHEN r.`OrderDate` IS NOT NULL AND try_cast(r.`OrderDate` AS DATE) "
		   "IS NULL THEN concat('5:', length(r.`OrderDate`), CASE WHEN translate(r.`OrderDate`, "
		   "'0123456789+-.eE', '') = '' THEN 'n,' ELSE 't,' END) ELSE '' END) AS `columns`"
		   ROWS("2") ", " FIELDS ", " SYSTEM_LAST ", `_payload`: STRING" END_ROWS
		   ") WHERE `columns` <> ''");
	exact_merge_sql_violating(out, &target, EXACT_TABLE_CURRENT, &two, "AmountDC > 0");
	expect("rows that violate", out, 
		   "SELECT `_seq`, '0,' AS `columns`\nFROM (SELECT try_cast(r.`_division` AS INT) AS "
		   "`_division`, try_cast(r.`_key` AS STRING) AS `_key`, try_cast(r.`_seq` AS BIGINT) AS "
		   "`_seq`, try_cast(r.`ID` AS STRING) AS `ID`, try_cast(r.`Supplier` AS STRING) AS "
		   "`Supplier`, try_cast(r.`SupplierName` AS STRING) AS `SupplierName`, "
		   "try_cast(r.`Remark` AS STRING) AS `Remark`, try_cast(r.`AmountDC` AS DECIMAL(28,4)) "
		   "AS `AmountDC`, try_cast(r.`OrderDate` AS DATE) AS `OrderDate`, "
		   "try_cast(r.`_op` AS STRING) AS `_op`, r.`_op` = 'D' AS `_deleted`, "
		   "try_cast(r.`_valid` AS BOOLEAN) AS `_valid`, "
		   "try_cast(r.`_problems` AS STRING) AS `_problems`, try_cast(r.`_batch` AS BIGINT) AS "
		   "`_batch`, try_cast(r.`_staged_at` AS TIMESTAMP) AS `_staged_at`, "
		   "current_timestamp() AS `_loaded_at`" ROWS("2") ", " FIELDS ", " SYSTEM_LAST END_ROWS
		   ")\nWHERE NOT coalesce((AmountDC > 0), false)");
}

/* Is this part of the text? */
static void
expect_part(StringInfo out, const char *part)
{
	if (strstr(out->data, part) != NULL)
		return;
	printf("FAILED part\n  got      %s\n  lacks    %s\n", out->data, part);
	failures++;
}

/* One of the five statements that rows are in */
static void
append_statement(StringInfo out, int what, const ExactMergeRows *rows)
{
	initStringInfo(out);
	switch (what)
	{
		case 0:
			exact_merge_sql_history(out, &target, rows);
			break;
		case 1:
			exact_merge_sql_current(out, &target, rows, true);
			break;
		case 2:
			exact_merge_sql_check_history(out, &target, rows);
			break;
		case 3:
			exact_merge_sql_unfit(out, &target, rows);
			break;
		default:
			exact_merge_sql_violating(out, &target, EXACT_TABLE_HISTORY, rows, "x");
	}
}

/* Rows in files: all but where they come from is the text of rows in :batch. */
static void
test_files(StringInfo out)
{
	static const char *const paths[] = {"/Volumes/main/exact/f`s/1-2-ab.jsonl.gz", "/Volumes/b"};
	static const char lines[] = "(SELECT value FROM text.`/Volumes/main/exact/f``s/1-2-ab.jsonl.gz`"
		" UNION ALL SELECT value FROM text.`/Volumes/b`)";
	static const char batch_begins[] = "FROM (SELECT explode(";
	static const char file_begins[] = "FROM (SELECT from_json(value, 'STRUCT<`_division`: STRING, ";
	ExactMergeRows rows[2] = {two, two};
	StringInfoData both[2];

	rows[1].files = paths;
	rows[1].nfiles = 2;
	for (int what = 0; what < 5; what++)
	{
		bool		fenced = what < 2;
		const char *same = fenced ? "FROM `main`.`exact`.`exact_hub`" : NULL;
		const char *from[2];
		const char *until[2];

		for (int f = 0; f < 2; f++)
		{
			const char *ends = same != NULL ? same : f == 0 ? " AS a))" : ") IS NULL)";

			append_statement(&both[f], what, &rows[f]);
			from[f] = strstr(both[f].data, f == 0 ? batch_begins : file_begins);
			until[f] = from[f] != NULL ? strstr(from[f], ends) : NULL;
			if (until[f] != NULL && !fenced)
				until[f] += strlen(ends);
		}
		if (until[0] == NULL || until[1] == NULL || strcmp(until[0], until[1]) != 0 ||
			from[0] - both[0].data != from[1] - both[1].data ||
			strncmp(both[0].data, both[1].data, from[0] - both[0].data) != 0)
		{
			printf("FAILED files %d\n--- batch\n%s\n--- files\n%s\n", what, both[0].data,
				   both[1].data);
			failures++;
		}
		expect_part(&both[1], ">', map('mode', 'FAILFAST')) AS r\n  FROM ");
		expect_part(&both[1], lines);
		resetStringInfo(out);
		appendStringInfo(out, "\n  WHERE (SELECT assert_true(count(*) = 2, 'exact: the files do "
						 "not hold 2 rows') FROM %s) IS NULL%s", lines, fenced ?
						 "\n  AND (SELECT assert_true(count(*) = 1, 'exact: fenced') " : ")");
		expect_part(&both[1], out->data);
	}
	resetStringInfo(out);
}

/* Versions that a rule holds: nothing of them but a mark reaches the current table. */
static void
test_held(StringInfo out)
{
	static const char mark[] = "\nWHEN MATCHED AND s.`_held` = 'marks' AND s.`_seq` >= t.`_seq`"
		" THEN UPDATE SET `_valid` = false, `_problems` = s.`_problems`,"
		" `_loaded_at` = current_timestamp()\nWHEN MATCHED AND s.`_seq` > t.`_seq` AND"
		" s.`_op` = 'D' AND s.`_held` IS NULL THEN UPDATE SET ";
	ExactMergeRows held = two;

	held.held = true;
	for (int repeated = 0; repeated < 2; repeated++)
	{
		resetStringInfo(out);
		exact_merge_sql_current(out, &target, &held, repeated);
		if (repeated)
			expect_part(out, "q.`_held`, ");
		expect_part(out, ", r.`_held` AS `_held`\n");
		expect_part(out, ", `_held`: STRING>>");
		if (!repeated)
			expect_part(out, mark);
		expect_part(out, "t.`_seq` AND s.`_held` IS NULL THEN UPDATE SET ");
		expect_part(out, "\nWHEN NOT MATCHED AND s.`_held` IS NULL THEN INSERT (");
	}
	resetStringInfo(out);
	exact_merge_sql_history(out, &target, &held);
	failures += strstr(out->data, "_held") != NULL;
	resetStringInfo(out);
	exact_merge_sql_check_current(out, &target, &held);
	expect_part(out, "AS BIGINT) AND s.r.`_held` IS NULL");
	resetStringInfo(out);
	exact_merge_sql_check_history(out, &target, &held);
	failures += strstr(out->data, "_held") != NULL;
	resetStringInfo(out);
}

int
main(int argc, char **argv)
{
	StringInfoData out;
	ExactTarget odd = target;

	print = argc > 1 && strcmp(argv[1], "print") == 0;
	initStringInfo(&out);
	test_tables(&out);
	test_merges(&out);
	if (print)
		return 0;
	test_compare(&out);
	test_comments(&out);
	test_rare(&out);
	test_held(&out);
	test_files(&out);
	exact_delta_sql_literal(&out, "{a} $ {b} ${c} it's \\ \n");
	expect("literal", &out, "'{a} $ {b} $\\{c} it\\'s \\\\ \\n'");
	odd.schema = "a`b";
	exact_merge_sql_describe(&out, &odd, EXACT_TABLE_CURRENT);
	expect("identifier", &out, "DESCRIBE TABLE `main`.`a``b`.`orders`");
	expect_type("decimal(28, 4)", "DECIMAL(28,4)");
	expect_type("Timestamp_ntz", "TIMESTAMP_NTZ");
	expect_type("DECIMAL(38,38)", "DECIMAL(38,38)");
	expect_type("DECIMAL(1,0)", "DECIMAL(1,0)");
	expect_type("DECIMAL(0,0)", NULL);
	expect_type("DECIMAL(39,4)", NULL);
	expect_type("STRING) AS x", NULL);
	expect_type("DECIMAL(40,4)", NULL);
	expect_type("DECIMAL(4,5)", NULL);
	expect_type("DECIMAL(28,4)x", NULL);
	expect_type("", NULL);
	expect_type("MAP<STRING,STRING>", NULL);
	printf(failures ? "%d failed\n" : "ok\n", failures);
	return failures != 0;
}
