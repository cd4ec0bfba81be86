/*
 * erase_sql.c - the SQL texts that remove a record from the Delta tables of an entity, and show
 * that it is gone.
 *
 * A MERGE, and no DELETE: the condition of a DELETE can hold no fence in open source, and a look at
 * the operations of others (foreign_change.h) knows the MERGEs of the hub.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "delta/erase_sql.h"
#include "delta/merge_sql.h"
#include "delta/rows_sql.h"

static void
append_record(StringInfo out, const ExactTarget *target, int division, bool fenced)
{
	ExactMergeRows batch = {.rows = 1, .divisions = &division, .ndivisions = 1};

	appendStringInfoString(out, "(SELECT CAST(r.`_division` AS INT) AS `_division`,"
						   " r.`_key` AS `_key`, CAST(r.`_seq` AS BIGINT) AS `_seq`\n");
	exact_rows_sql_from(out, "ARRAY<STRUCT<`_division`: STRING, `_key`: STRING, `_seq`: STRING>>",
						 target, &batch, fenced);
	appendStringInfoString(out, ") AS s\n");
}

#define IS_MEANT \
	"t.`_division` = s.`_division` AND t.`_key` = s.`_key` AND coalesce(t.`_seq`, 0) <= s.`_seq`"

void
exact_erase_sql_delete(StringInfo out, const ExactTarget *target, ExactTable table, int division)
{
	appendStringInfoString(out, "MERGE INTO ");
	exact_merge_sql_table(out, target, table);
	appendStringInfoString(out, " AS t\nUSING ");
	append_record(out, target, division, true);
	appendStringInfoString(out, "ON " IS_MEANT "\nWHEN MATCHED THEN DELETE");
}

void
exact_erase_sql_left(StringInfo out, const ExactTarget *target, ExactTable table, int division)
{
	appendStringInfoString(out, "SELECT count(*) AS `n`\nFROM ");
	append_record(out, target, division, false);
	appendStringInfoString(out, "JOIN ");
	exact_merge_sql_table(out, target, table);
	appendStringInfoString(out, " AS t ON " IS_MEANT);
}

void
exact_erase_sql_purge(StringInfo out, const ExactTarget *target, ExactTable table)
{
	appendStringInfoString(out, "REORG TABLE ");
	exact_merge_sql_table(out, target, table);
	appendStringInfoString(out, " APPLY (PURGE)");
}

/* Without RETAIN: less than the table's own retention would break who reads it now. */
void
exact_erase_sql_vacuum(StringInfo out, const ExactTarget *target, ExactTable table)
{
	appendStringInfoString(out, "VACUUM ");
	exact_merge_sql_table(out, target, table);
}
