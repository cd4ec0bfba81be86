/*
 * edit_sql_test.c - the texts of src/delta/edit_sql.c, and what a dimension has beyond others in
 * those of src/delta/merge_sql.c, compared with texts that ran on Spark 4.0.1 with Delta 4.4.0.
 *
 * With the argument "print" it writes the texts instead, one a line of dashes apart.
 */
#define FRONTEND 1
#include "postgres_fe.h"

#include "databricks/delta_sql.c"
#include "delta/rows_sql.c"
#include "delta/merge_sql.c"
#include "delta/edit_sql.c"

#include "sql_text.h"

static const ExactColumn columns[] = {
	{"ID", "ID", "STRING", "Key", true, false, false, false, false, NULL, false, false},
	{"Code", "Code", "STRING", NULL, false, false, true, false, false, NULL, false, true},
	{"EndDate", "EndDate", "DATE", NULL, false, true, false, false, false, NULL, false, true},
};

static const ExactHub hub = {"i1", 3, "c1"};
static const int divisions[] = {12};
static const ExactMergeRows two = {2, 5, 9, divisions, 1, false};
static const ExactTarget target = {"main", "exact", "costcenter", "costcenter_history",
	"costcenter", "hrm/Costcenters", &hub, lengthof(columns), columns, "v1:0a1b2c3d:"};

/* Is this a part of the text? */
static void
expect_part(const char *what, StringInfo got, const char *part)
{
	if (strstr(got->data, part) == NULL)
	{
		printf("FAILED %s\n--- got\n%s\n--- expected in it\n%s\n", what, got->data, part);
		failures++;
	}
}

#define HASH(alias) "'v1:0a1b2c3d:' || sha2(concat_ws('\\u001f', coalesce(CAST(" alias \
	".`Code` AS STRING), '\\u0000'), coalesce(CAST(" alias ".`EndDate` AS STRING), '\\u0000')), " \
	"256)"
#define GUARD "coalesce(" HASH("t") " IN (t.`_hash`, s.`_known`), false)"
#define TABLE "`main`.`exact`.`costcenter`"
#define ROWS(n, fields) "FROM (SELECT explode(CASE WHEN size(a) = " n " THEN a ELSE " \
	"raise_error('exact: the batch holds ' || coalesce(size(a), 0) || ' rows, expected " n "') " \
	"END) AS r\n  FROM (SELECT from_json(:batch, 'ARRAY<STRUCT<" fields \
	">>', map('mode', 'FAILFAST')) AS a)"
#define READABLE(c) "replace(substr(CAST(t.`" c "` AS STRING), 1, 1000), '\\u0000', '?')"
#define IS_EDITED "((t.`_key` IS NULL OR t.`_seq` IS NULL) OR NOT coalesce(t.`_hash` = " \
	HASH("t") ", false))"
#define IS_MOVED "(t.`_key` IS NOT NULL AND t.`_hash` IS NOT NULL AND (t.`_seq` IS NULL OR " \
	"t.`_seq` > 99))"
#define IS_MARKED "(t.`_key` IS NOT NULL AND t.`_hash` IS NOT NULL AND NOT coalesce(" \
	"t.`_op` IN ('I', 'U', 'D') AND t.`_deleted` = (t.`_op` = 'D'), false))"
#define IS_OUTDATED "(startswith(t.`_hash`, 'v') AND NOT startswith(t.`_hash`, 'v1:0a1b2c3d:'))"

static void
test_merge(StringInfo out)
{
	exact_merge_sql_create_table(out, &target, EXACT_TABLE_CURRENT);
	expect_part("hash of the table", out, ",\n  `_hash` STRING COMMENT 'Digest");
	if (strstr(out->data, "NOT NULL") != NULL)
		expect("a user may leave out what the hub fills", out, "");
	resetStringInfo(out);
	exact_merge_sql_create_table(out, &target, EXACT_TABLE_HISTORY);
	expect_part("the history is the hub's alone", out, "`_key` STRING NOT NULL");
	if (strstr(out->data, "_hash") != NULL)
		expect("the history has no hash", out, "");
	resetStringInfo(out);
	exact_merge_sql_current(out, &target, &two, false);
	expect_part("guard of a delete", out, "AND s.`_seq` > t.`_seq` AND s.`_op` = 'D' AND " GUARD
				" THEN UPDATE SET `_seq` = s.`_seq`, `_op` = s.`_op`, `_deleted` = s.`_op` = 'D',");
	expect_part("hash of a delete: of what stays", out, "`_hash` = " HASH("t") "\nWHEN MATCHED");
	expect_part("guard of an update", out, "AND s.`_seq` > t.`_seq` AND " GUARD " THEN UPDATE SET");
	expect_part("hash of an update", out, "`_hash` = " HASH("s") "\nWHEN NOT MATCHED");
	expect_part("hash of an insert", out, ", current_timestamp(), " HASH("s") ")");
	expect_part("known edits are sent", out, ", `_known`: STRING>>'");
	resetStringInfo(out);
	exact_merge_sql_check_edited(out, &target, &two);
	expect("check", out, "SELECT s.`_division`, s.`_key`, s.`_seq`, count(CASE WHEN t.`_seq` >= "
		   "s.`_seq` THEN 1 END) AS `arrived`, count(CASE WHEN t.`_seq` < s.`_seq` AND NOT " GUARD
		   " THEN 1 END) AS `held`\nFROM (SELECT CAST(r.`_division` AS INT) AS `_division`, "
		   "r.`_key` AS `_key`, CAST(r.`_seq` AS BIGINT) AS `_seq`, r.`_known` AS `_known`\n"
		   ROWS("2", "`_division`: STRING, `_key`: STRING, `_seq`: STRING, `_known`: STRING")
		   ")) AS s\nLEFT JOIN " TABLE " AS t ON t.`_division` = s.`_division` AND t.`_key` = "
		   "s.`_key`\nGROUP BY s.`_division`, s.`_key`, s.`_seq`");
}

static void
test_edits(StringInfo out)
{
	exact_edit_sql_nullable(out, &target, 0);
	expect("nullable", out, "ALTER TABLE " TABLE " ALTER COLUMN `_division` DROP NOT NULL");
	exact_edit_sql_count(out, &target, 99);
	expect("count", out, "SELECT count(*) AS `n`, count(CASE WHEN " IS_EDITED " THEN 1 END) AS "
		   "`edited`,\n count(CASE WHEN " IS_OUTDATED " OR " IS_MOVED
		   " OR " IS_MARKED " THEN 1 END) AS `outdated`, "
		   "count(CASE WHEN (t.`_seq` IS NOT NULL AND t.`_hash` IS NULL) THEN 1 END) AS `bare`,\n "
		   "count(DISTINCT CASE WHEN NOT (t.`_key` IS NULL OR t.`_seq` IS NULL) THEN "
		   "concat(CAST(t.`_division` AS STRING), ' ', t.`_key`) END) AS `keys`, "
		   "count(CASE WHEN NOT (t.`_key` IS NULL OR t.`_seq` IS NULL) THEN 1 END) AS `old`\n"
		   "FROM " TABLE " AS t");
	exact_edit_sql_stamp(out, &target, true, 99);
	expect("stamp", out, "MERGE INTO " TABLE " AS t\nUSING (SELECT `division` AS `_division` FROM "
		   "`main`.`exact`.`exact_hub` WHERE `installation` = 'i1' AND `epoch` = 3 AND `claim` = "
		   "'c1') AS s\nON t.`_division` = s.`_division`\nWHEN MATCHED AND (" IS_OUTDATED
		   " OR (t.`_seq` IS NOT NULL AND t.`_hash` IS NULL) OR " IS_MOVED
		   " OR " IS_MARKED ") THEN UPDATE SET `_hash` = CASE WHEN " IS_MOVED " OR " IS_MARKED
		   " THEN 'moved' ELSE " HASH("t") " END, `_seq` = CASE WHEN " IS_MOVED
		   " THEN CAST(-1 AS BIGINT) WHEN " IS_MARKED
		   " THEN CAST(-2 AS BIGINT) ELSE t.`_seq` END");
	exact_edit_sql_absent(out, &target, 2);
	expect("absent", out, "SELECT s.`_division`, s.`_key`\nFROM (SELECT CAST(r.`_division` AS INT) "
		   "AS `_division`, r.`_key` AS `_key`\n"
		   ROWS("2", "`_division`: STRING, `_key`: STRING")
		   ")) AS s\nLEFT ANTI JOIN " TABLE " AS t ON t.`_division` = s.`_division` AND t.`_key` = "
		   "s.`_key`");
	exact_edit_sql_rows(out, &target, 7, 50, 100);
	expect_part("rows", out, "SELECT coalesce(t.`_division`, 7) AS `_division`, "
				READABLE("_key") " AS `_key`, t.`_seq` AS `_seq`, "
				"(t.`_key` IS NULL OR t.`_seq` IS NULL) AS `_new`, " IS_EDITED
				" AS `_edited`,\nlower(trim(t.`Code`)) AS `_code`, " HASH("t") " AS `_now`,\n"
				"to_json(named_struct('Code', " READABLE("Code") ", 'EndDate', " READABLE("EndDate")
				"), map('ignoreNullFields', 'false')) "
				"AS `_content`");
	expect_part("page", out, "ORDER BY `_division`, `_key`, `_now` LIMIT 50 OFFSET 100");
	resetStringInfo(out);
	exact_edit_sql_adopt(out, &target, 0, &two);
	expect_part("adopted once", out, "LEFT ANTI JOIN " TABLE " AS o ON o.`_division` = "
				"s.`_division` AND o.`_key` = s.`_key`\nWHERE n.`_seq` IS NULL) AS p WHERE "
				"p.`_rn` = 1) AS s\nON t.`_division` = s.`_division` AND " HASH("t")
				" = s.`_hash`\nWHEN MATCHED AND t.`_seq` IS NULL THEN UPDATE SET");
	expect_part("fenced", out, "assert_true(count(*) = 1, 'exact: fenced')");
	resetStringInfo(out);
}

int
main(int argc, char **argv)
{
	StringInfoData out;

	print = argc > 1 && strcmp(argv[1], "print") == 0;
	initStringInfo(&out);
	test_merge(&out);
	test_edits(&out);
	return failures == 0 ? 0 : 1;
}
