/*
 * edit_sql.c - the SQL texts that read what users have edited in the current table of a dimension.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "databricks/delta_sql.h"
#include "delta/edit_sql.h"
#include "delta/merge_sql.h"
#include "delta/rows_sql.h"

static void
append_table(StringInfo out, const ExactTarget *target)
{
	exact_merge_sql_table(out, target, EXACT_TABLE_CURRENT);
}

void
exact_edit_sql_nullable(StringInfo out, const ExactTarget *target, int column)
{
	static const char *const names[EXACT_EDIT_SQL_NULLABLE] = {
		"_division", "_key", "_seq", "_op", "_deleted"
	};

	appendStringInfoString(out, "ALTER TABLE ");
	append_table(out, target);
	appendStringInfo(out, " ALTER COLUMN `%s` DROP NOT NULL", names[column]);
}

/* The row t was inserted by a user. */
#define IS_NEW "(t.`_key` IS NULL OR t.`_seq` IS NULL)"

static void
append_is_edited(StringInfo out, const ExactTarget *target)
{
	appendStringInfoString(out, "(" IS_NEW " OR NOT coalesce(t.`_hash` = ");
	exact_merge_sql_hash(out, target, "t");
	appendStringInfoString(out, ", false))");
}

/* _hash of the row t was made of another list of columns, or by another version of the hub. */
static void
append_is_outdated(StringInfo out, const ExactTarget *target)
{
	appendStringInfoString(out, "(startswith(t.`_hash`, 'v') AND NOT startswith(t.`_hash`, ");
	exact_delta_sql_literal(out, target->stamp);
	appendStringInfoString(out, "))");
}

#define IS_BARE "(t.`_seq` IS NOT NULL AND t.`_hash` IS NULL)"

/*
 * A user has changed _seq of the row t: no version of the hub would ever be newer, or none could be
 * compared with it.
 */
static void
append_is_moved(StringInfo out, int64 newest)
{
	appendStringInfo(out, "(t.`_key` IS NOT NULL AND t.`_hash` IS NOT NULL"
					 " AND (t.`_seq` IS NULL OR t.`_seq` > " INT64_FORMAT "))", newest);
}

/* The hub has written _op and _deleted together: a user has changed one of the row t. */
#define IS_MARKED \
	"(t.`_key` IS NOT NULL AND t.`_hash` IS NOT NULL AND NOT coalesce(" \
	"t.`_op` IN ('I', 'U', 'D') AND t.`_deleted` = (t.`_op` = 'D'), false))"

void
exact_edit_sql_count(StringInfo out, const ExactTarget *target, int64 newest)
{
	appendStringInfoString(out, "SELECT count(*) AS `n`, count(CASE WHEN ");
	append_is_edited(out, target);
	appendStringInfoString(out, " THEN 1 END) AS `edited`,\n count(CASE WHEN ");
	append_is_outdated(out, target);
	appendStringInfoString(out, " OR ");
	append_is_moved(out, newest);
	appendStringInfoString(out, " OR " IS_MARKED " THEN 1 END) AS `outdated`,"
						   " count(CASE WHEN " IS_BARE " THEN 1 END) AS `bare`,\n"
						   " count(DISTINCT CASE WHEN NOT " IS_NEW
						   " THEN"
						   " concat(CAST(t.`_division` AS STRING), ' ', t.`_key`) END)"
						   " AS `keys`,"
						   " count(CASE WHEN NOT " IS_NEW " THEN 1 END) AS `old`\nFROM ");
	append_table(out, target);
	appendStringInfoString(out, " AS t");
}

void
exact_edit_sql_stamp(StringInfo out, const ExactTarget *target, bool bare, int64 newest)
{
	appendStringInfoString(out, "MERGE INTO ");
	append_table(out, target);
	appendStringInfoString(out, " AS t\nUSING (SELECT `division` AS `_division` FROM ");
	exact_delta_sql_table(out, target->catalog, target->schema, "exact_hub");
	appendStringInfoString(out, " WHERE `installation` = ");
	exact_delta_sql_literal(out, target->hub->installation);
	appendStringInfo(out, " AND `epoch` = %d AND `claim` = ", target->hub->epoch);
	exact_delta_sql_literal(out, target->hub->claim);
	appendStringInfoString(out, ") AS s\nON t.`_division` = s.`_division`\nWHEN MATCHED AND (");
	append_is_outdated(out, target);
	appendStringInfo(out, "%s OR ", bare ? " OR " IS_BARE : "");
	append_is_moved(out, newest);
	appendStringInfoString(out, " OR " IS_MARKED ") THEN UPDATE SET `_hash` = CASE WHEN ");
	append_is_moved(out, newest);
	appendStringInfoString(out, " OR " IS_MARKED " THEN 'moved' ELSE ");
	exact_merge_sql_hash(out, target, "t");
	appendStringInfoString(out, " END, `_seq` = CASE WHEN ");
	append_is_moved(out, newest);
	appendStringInfo(out, " THEN CAST(%d AS BIGINT) WHEN " IS_MARKED
					 " THEN CAST(%d AS BIGINT) ELSE t.`_seq` END", EXACT_EDIT_SQL_MOVED,
					 EXACT_EDIT_SQL_MARKED);
}

/* The column that finance knows a record by; NULL: the table does not have it. */
static const char *
code_column(const ExactTarget *target)
{
	for (int i = 0; i < target->ncolumns; i++)
		if (pg_strcasecmp(target->columns[i].name, "Code") == 0)
			return target->columns[i].name;
	return NULL;
}

static void
append_code(StringInfo out, const ExactTarget *target, const char *alias)
{
	appendStringInfo(out, "lower(trim(%s.", alias);
	exact_delta_sql_identifier(out, code_column(target));
	appendStringInfoString(out, "))");
}

/* The division of a row: the only one there is, when it names none */
static void
append_division(StringInfo out, const char *alias, int division)
{
	if (division != 0)
		appendStringInfo(out, "coalesce(%s.`_division`, %d)", alias, division);
	else
		appendStringInfo(out, "%s.`_division`", alias);
}

/* A value as a text that PostgreSQL takes: without the character 0, and cut */
static void
append_readable(StringInfo out, const char *column)
{
	appendStringInfoString(out, "replace(substr(CAST(t.");
	exact_delta_sql_identifier(out, column);
	appendStringInfo(out, " AS STRING), 1, %d), '\\u0000', '?')", EXACT_EDIT_SQL_VALUE);
}

/* The values that may be edited, as an object of texts and nulls */
static void
append_content(StringInfo out, const ExactTarget *target)
{
	const char *separator = "to_json(named_struct(";

	for (int i = 0; i < target->ncolumns; i++)
	{
		if (!target->columns[i].hashed)
			continue;
		appendStringInfoString(out, separator);
		exact_delta_sql_literal(out, target->columns[i].name);
		appendStringInfoString(out, ", ");
		append_readable(out, target->columns[i].name);
		separator = ", ";
	}
	appendStringInfoString(out, "), map('ignoreNullFields', 'false'))");
}

void
exact_edit_sql_rows(StringInfo out, const ExactTarget *target, int division, int limit,
					int64 offset)
{
	appendStringInfoString(out, "SELECT `_division`, `_key`, `_seq`, `_now`, `_content`,"
						   " CASE WHEN `_new` THEN `_codes` > 1 ELSE `_copies` > 1 END"
						   " AS `_double`\nFROM (SELECT q.*,"
						   " count(*) OVER (PARTITION BY q.`_division`, q.`_key`, q.`_new`)"
						   " AS `_copies`,\n"
						   " row_number() OVER (PARTITION BY q.`_division`, q.`_key`, q.`_new`"
						   " ORDER BY CASE WHEN q.`_edited` THEN 0 ELSE 1 END, q.`_now`)"
						   " AS `_rn`, ");
	appendStringInfoString(out, code_column(target) == NULL ? "0" :
						   "CASE WHEN q.`_code` IS NULL THEN 0 ELSE"
						   " count(*) OVER (PARTITION BY q.`_division`, q.`_code`, q.`_new`) END");
	appendStringInfoString(out, " AS `_codes`\nFROM (SELECT ");
	append_division(out, "t", division);
	appendStringInfoString(out, " AS `_division`, ");
	append_readable(out, "_key");
	appendStringInfoString(out, " AS `_key`, t.`_seq` AS `_seq`, " IS_NEW " AS `_new`, ");
	append_is_edited(out, target);
	appendStringInfoString(out, " AS `_edited`,\n");
	if (code_column(target) != NULL)
	{
		append_code(out, target, "t");
		appendStringInfoString(out, " AS `_code`, ");
	}
	exact_merge_sql_hash(out, target, "t");
	appendStringInfoString(out, " AS `_now`,\n");
	append_content(out, target);
	appendStringInfoString(out, " AS `_content`\nFROM ");
	append_table(out, target);
	appendStringInfo(out, " AS t) AS q)\nWHERE (`_edited` AND (`_new` OR `_copies` = 1))"
					 " OR (NOT `_new` AND `_copies` > 1 AND `_rn` = 1)\n"
					 "ORDER BY `_division`, `_key`, `_now` LIMIT %d OFFSET " INT64_FORMAT,
					 limit, offset);
}

void
exact_edit_sql_absent(StringInfo out, const ExactTarget *target, int rows)
{
	ExactMergeRows batch = {.rows = rows};

	appendStringInfoString(out, "SELECT s.`_division`, s.`_key`\n"
						   "FROM (SELECT CAST(r.`_division` AS INT) AS `_division`,"
						   " r.`_key` AS `_key`\n");
	exact_rows_sql_from(out, "ARRAY<STRUCT<`_division`: STRING, `_key`: STRING>>", target, &batch,
						 false);
	appendStringInfoString(out, ") AS s\nLEFT ANTI JOIN ");
	append_table(out, target);
	appendStringInfoString(out, " AS t ON t.`_division` = s.`_division` AND t.`_key` = s.`_key`");
}

/* A key that the table has by now is not given once more. */
void
exact_edit_sql_adopt(StringInfo out, const ExactTarget *target, int division,
					 const ExactMergeRows *batch)
{
	appendStringInfoString(out, "MERGE INTO ");
	append_table(out, target);
	appendStringInfoString(out, " AS t\nUSING (SELECT p.`_division`, p.`_key`, p.`_hash`\n"
						   "FROM (SELECT s.`_division`, s.`_key`, s.`_hash`, row_number() OVER"
						   " (PARTITION BY s.`_division`, s.`_key` ORDER BY s.`_hash`) AS `_rn`\n"
						   "FROM (SELECT CAST(r.`_division` AS INT) AS `_division`,"
						   " r.`_key` AS `_key`, lower(trim(r.`_code`)) AS `_code`,"
						   " r.`_hash` AS `_hash`\n");
	exact_rows_sql_from(out,
						 "ARRAY<STRUCT<`_division`: STRING, `_key`: STRING, `_code`: STRING,"
						 " `_hash`: STRING>>",
						 target, batch, true);
	appendStringInfoString(out, ") AS s\nJOIN ");
	append_table(out, target);
	appendStringInfoString(out, " AS n ON ");
	append_division(out, "n", division);
	appendStringInfoString(out, " = s.`_division` AND ");
	if (code_column(target) != NULL)
	{
		append_code(out, target, "n");
		appendStringInfoString(out, " = s.`_code` AND ");
	}
	exact_merge_sql_hash(out, target, "n");
	appendStringInfoString(out, " = s.`_hash`\nLEFT ANTI JOIN ");
	append_table(out, target);
	appendStringInfoString(out, " AS o ON o.`_division` = s.`_division` AND o.`_key` = s.`_key`\n"
						   "WHERE n.`_seq` IS NULL) AS p WHERE p.`_rn` = 1) AS s\nON ");
	append_division(out, "t", division);
	appendStringInfoString(out, " = s.`_division` AND ");
	exact_merge_sql_hash(out, target, "t");
	appendStringInfoString(out, " = s.`_hash`\nWHEN MATCHED AND t.`_seq` IS NULL THEN UPDATE SET"
						   " `_division` = s.`_division`, `_key` = s.`_key`, `_seq` = 0,"
						   " `_op` = 'I', `_deleted` = false, `_hash` = ");
	exact_merge_sql_hash(out, target, "t");
}
