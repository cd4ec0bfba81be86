/*
 * rows_sql.c - the rows of a delivery as the source of a statement: of the parameter :batch, or of
 * files in the volume.
 *
 * The one place that knows where rows come from: what is done with them is the same text for both.
 * Called by merge_sql.c, edit_sql.c and open_state.c.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "databricks/delta_sql.h"
#include "delta/merge_sql.h"
#include "delta/rows_sql.h"

#define ARRAY_OF "ARRAY<"

/*
 * False, as an error, when another copy of this hub has claimed one of the divisions in exact_hub,
 * or nobody has.
 */
static void
append_fence(StringInfo out, const ExactTarget *target, const ExactMergeRows *batch)
{
	appendStringInfo(out, "(SELECT assert_true(count(*) = %d, '" EXACT_DELTA_SQL_FENCED "') FROM ",
					 batch->ndivisions);
	exact_delta_sql_table(out, target->catalog, target->schema, "exact_hub");
	appendStringInfoString(out, " WHERE `installation` = ");
	exact_delta_sql_literal(out, target->hub->installation);
	appendStringInfo(out, " AND `epoch` = %d AND `claim` = ", target->hub->epoch);
	exact_delta_sql_literal(out, target->hub->claim);
	appendStringInfoString(out, " AND `division` IN (");
	for (int i = 0; i < batch->ndivisions; i++)
		appendStringInfo(out, "%s%d", i == 0 ? "" : ", ", batch->divisions[i]);
	appendStringInfoString(out, ")) IS NULL");
}

/* (SELECT value FROM text.`path` UNION ALL ...): the lines of the files */
static void
append_lines(StringInfo out, const ExactMergeRows *batch)
{
	appendStringInfoChar(out, '(');
	for (int i = 0; i < batch->nfiles; i++)
	{
		appendStringInfo(out, "%sSELECT value FROM text.", i == 0 ? "" : " UNION ALL ");
		exact_delta_sql_identifier(out, batch->files[i]);
	}
	appendStringInfoChar(out, ')');
}

/* A file that is empty, or whose name is hidden, is read as none: all lines are counted first. */
static void
append_file_rows(StringInfo out, const char *schema, const ExactMergeRows *batch)
{
	char	   *line = pnstrdup(schema + strlen(ARRAY_OF), strlen(schema) - strlen(ARRAY_OF) - 1);

	appendStringInfoString(out, "FROM (SELECT from_json(value, ");
	exact_delta_sql_literal(out, line);
	appendStringInfoString(out, ", map('mode', 'FAILFAST')) AS r\n  FROM ");
	append_lines(out, batch);
	appendStringInfo(out, "\n  WHERE (SELECT assert_true(count(*) = %d,"
					 " '" EXACT_ROWS_SQL_FILES " %d rows') FROM ", batch->rows, batch->rows);
	append_lines(out, batch);
	appendStringInfoString(out, ") IS NULL");
	pfree(line);
}

void
exact_rows_sql_from(StringInfo out, const char *schema, const ExactTarget *target,
					const ExactMergeRows *batch, bool fenced)
{
	if (batch->nfiles > 0)
		append_file_rows(out, schema, batch);
	else
	{
		appendStringInfo(out, "FROM (SELECT explode(CASE WHEN size(a) = %d THEN a"
						 " ELSE raise_error('exact: the batch holds ' || coalesce(size(a), 0)"
						 " || ' rows, expected %d') END) AS r\n  FROM (SELECT from_json(:batch, ",
						 batch->rows, batch->rows);
		exact_delta_sql_literal(out, schema);
		appendStringInfoString(out, ", map('mode', 'FAILFAST')) AS a)");
	}
	if (fenced)
	{
		appendStringInfoString(out, batch->nfiles > 0 ? "\n  AND " : "\n  WHERE ");
		append_fence(out, target, batch);
	}
	appendStringInfoChar(out, ')');
}
