/*
 * look_sql.c - the SQL texts that look at what a table holds, without rows of a delivery.
 *
 * Called by presence.c and other_copy.c.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "databricks/delta_sql.h"
#include "delta/look_sql.h"
#include "delta/merge_sql.h"

void
exact_look_sql_operations(StringInfo out, const ExactTarget *target, ExactTable table, int limit)
{
	appendStringInfoString(out, "DESCRIBE HISTORY ");
	exact_merge_sql_table(out, target, table);
	appendStringInfo(out, " LIMIT %d", limit);
}

void
exact_look_sql_count(StringInfo out, const ExactTarget *target, ExactTable table)
{
	appendStringInfoString(out, "SELECT count(*) AS `n`, max(`_seq`) AS `newest` FROM ");
	exact_merge_sql_table(out, target, table);
}

void
exact_look_sql_newest(StringInfo out, const ExactTarget *target, int64 above, int64 below)
{
	appendStringInfoString(out, "SELECT `_seq` FROM ");
	exact_merge_sql_table(out, target, EXACT_TABLE_HISTORY);
	appendStringInfo(out, " WHERE `_seq` > " INT64_FORMAT " AND `_seq` < " INT64_FORMAT
					 " ORDER BY `_seq` DESC LIMIT 1", above, below);
}

void
exact_look_sql_between(StringInfo out, const ExactTarget *target, ExactTable table,
						const char *parent, int64 above, int64 below, int limit)
{
	appendStringInfoString(out, "SELECT `_division`, `_key`, `_seq`, `_deleted`, ");
	if (parent != NULL)
		exact_delta_sql_identifier(out, parent);
	else
		appendStringInfoString(out, "CAST(NULL AS STRING)");
	appendStringInfoString(out, " AS `parent` FROM ");
	exact_merge_sql_table(out, target, table);
	appendStringInfo(out, " WHERE `_seq` > " INT64_FORMAT " AND `_seq` < " INT64_FORMAT
					 " ORDER BY `_seq` LIMIT %d", above, below, limit);
}
