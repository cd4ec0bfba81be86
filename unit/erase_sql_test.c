/*
 * erase_sql_test.c - the texts of src/delta/erase_sql.c.
 *
 * With the argument "print" it writes them instead, one a line of dashes apart.
 */
#define FRONTEND 1
#include "postgres_fe.h"

#include "databricks/delta_sql.c"
#include "delta/rows_sql.c"
#include "delta/merge_sql.c"
#include "delta/erase_sql.c"

#include "sql_text.h"

static const ExactHub hub = {"i1", 3, "c1"};
static const ExactTarget target = {"main", "exact", "accounts", "accounts_history",
	"accounts", "crm/Accounts", &hub, 0, NULL, NULL};

#define RECORD "(SELECT CAST(r.`_division` AS INT) AS `_division`, r.`_key` AS `_key`," \
	" CAST(r.`_seq` AS BIGINT) AS `_seq`\n" \
	"FROM (SELECT explode(CASE WHEN size(a) = 1 THEN a ELSE raise_error('exact: the batch holds '" \
	" || coalesce(size(a), 0) || ' rows, expected 1') END) AS r\n" \
	"  FROM (SELECT from_json(:batch, 'ARRAY<STRUCT<`_division`: STRING, `_key`: STRING," \
	" `_seq`: STRING>>', map('mode', 'FAILFAST')) AS a)"
#define FENCE "\n  WHERE (SELECT assert_true(count(*) = 1, 'exact: fenced')" \
	" FROM `main`.`exact`.`exact_hub` WHERE `installation` = 'i1' AND `epoch` = 3" \
	" AND `claim` = 'c1' AND `division` IN (12)) IS NULL"
#define MEANT "t.`_division` = s.`_division` AND t.`_key` = s.`_key`" \
	" AND coalesce(t.`_seq`, 0) <= s.`_seq`"

int
main(int argc, char **argv)
{
	StringInfoData out;

	print = argc > 1 && strcmp(argv[1], "print") == 0;
	initStringInfo(&out);
	exact_erase_sql_delete(&out, &target, EXACT_TABLE_HISTORY, 12);
	expect("delete from the history", &out,
		   "MERGE INTO `main`.`exact`.`accounts_history` AS t\nUSING " RECORD FENCE ")) AS s\n"
		   "ON " MEANT "\nWHEN MATCHED THEN DELETE");
	exact_erase_sql_delete(&out, &target, EXACT_TABLE_CURRENT, 12);
	expect("delete from the current table", &out,
		   "MERGE INTO `main`.`exact`.`accounts` AS t\nUSING " RECORD FENCE ")) AS s\n"
		   "ON " MEANT "\nWHEN MATCHED THEN DELETE");
	exact_erase_sql_left(&out, &target, EXACT_TABLE_CURRENT, 12);
	expect("count of what is left", &out,
		   "SELECT count(*) AS `n`\nFROM " RECORD ")) AS s\nJOIN `main`.`exact`.`accounts` AS t"
		   " ON " MEANT);
	exact_erase_sql_purge(&out, &target, EXACT_TABLE_CURRENT);
	expect("purge", &out, "REORG TABLE `main`.`exact`.`accounts` APPLY (PURGE)");
	exact_erase_sql_vacuum(&out, &target, EXACT_TABLE_HISTORY);
	expect("vacuum", &out, "VACUUM `main`.`exact`.`accounts_history`");
	return failures == 0 ? 0 : 1;
}
