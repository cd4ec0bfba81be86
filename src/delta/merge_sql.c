/*
 * merge_sql.c - the SQL texts that Databricks runs for one entity.
 *
 * Why the texts look as they do:
 * - Every value arrives as a string and is CAST here: from_json would print numbers again and make
 *   bad values null.
 * - The number of rows is counted on the server, because an empty or cut text is an array of none.
 * - Both MERGEs may be repeated: the history inserts what is missing, the current table takes only
 *   a higher _seq.
 * - Nothing that comes from a record stands in a text.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "databricks/delta_sql.h"
#include "delta/merge_sql.h"
#include "delta/rows_sql.h"

#define NTZ_SQL "'delta.feature.timestampNtz' = 'supported'"

typedef enum Place
{
	/* before the entity's columns: clustering needs statistics, kept for the first 32 columns */
	PLACE_FIRST,
	PLACE_LAST,
	PLACE_HISTORY,				/* last, in the history only */
	PLACE_DIMENSION				/* last, in the current table of a dimension only */
} Place;

typedef struct SystemColumn
{
	const char *name;
	const char *type;
	bool		key;			/* names the record: no update changes it */
	bool		not_null;
	bool		sent;			/* in :batch; else made by the statement */
	bool		on_delete;		/* a delete changes it */
	Place		place;
	const char *comment;
} SystemColumn;

static const SystemColumn system_columns[] = {
	{"_division", "INT", true, true, true, false, PLACE_FIRST,
	"Division (administration) in Exact Online"},
	{"_key", "STRING", true, true, true, false, PLACE_FIRST,
	"Key of the record in Exact Online"},
	{"_seq", "BIGINT", false, true, true, true, PLACE_FIRST,
	"Version: rises with every change, over all divisions and tables"},
	{"_op", "STRING", false, true, true, true, PLACE_LAST,
	"What made this version: I insert, U update, D delete"},
	{"_deleted", "BOOLEAN", false, true, false, true, PLACE_LAST,
	"True when the record is gone in Exact Online; the other columns hold its last state"},
	{"_valid", "BOOLEAN", false, false, true, false, PLACE_LAST,
	"False when a validation rule found a problem"},
	{"_problems", "STRING", false, false, true, false, PLACE_LAST,
	"What the validation rules found"},
	{"_batch", "BIGINT", false, false, true, true, PLACE_LAST,
	"Batch of the hub that brought this version"},
	{"_staged_at", "TIMESTAMP", false, false, true, false, PLACE_LAST,
	"When the hub stored this version"},
	{"_loaded_at", "TIMESTAMP", false, false, false, true, PLACE_LAST,
	"When this row was written here"},
	{"_payload", "STRING", false, false, true, false, PLACE_HISTORY,
	"The record exactly as Exact Online sent it"},
	{"_hash", "STRING", false, false, false, true, PLACE_DIMENSION,
	"Digest of the columns that may be edited here, as the hub wrote them"},
};

/* A column of a table, whoever fills it */
typedef struct Part
{
	const char *name;
	const char *type;
	const char *comment;
	const SystemColumn *system; /* NULL: a column of the entity */
	const ExactColumn *column;	/* NULL: a system column */
} Part;

/* Do users edit rows of this table? */
static bool
is_edited(const ExactTarget *target, ExactTable table)
{
	return target->stamp != NULL && table == EXACT_TABLE_CURRENT;
}

/* All columns of a table in their order; palloc'd */
static Part *
list_parts(const ExactTarget *target, ExactTable table, int *n)
{
	Part	   *parts = palloc(sizeof(Part) * (target->ncolumns + lengthof(system_columns)));

	*n = 0;
	for (Place place = PLACE_FIRST; place <= PLACE_DIMENSION; place++)
	{
		if (place == PLACE_HISTORY && table != EXACT_TABLE_HISTORY)
			continue;
		if (place == PLACE_DIMENSION && !is_edited(target, table))
			continue;
		for (int i = 0; place == PLACE_LAST && i < target->ncolumns; i++)
		{
			const ExactColumn *column = &target->columns[i];

			parts[(*n)++] = (Part) {column->name, column->type, column->comment, NULL, column};
		}
		for (int i = 0; i < (int) lengthof(system_columns); i++)
		{
			const SystemColumn *column = &system_columns[i];

			if (column->place == place)
				parts[(*n)++] = (Part) {column->name, column->type, column->comment, column, NULL};
		}
	}
	return parts;
}

/* Is it in :batch? */
static bool
is_sent(const Part *part)
{
	return part->system == NULL || part->system->sent;
}

void
exact_merge_sql_hash(StringInfo out, const ExactTarget *target, const char *alias)
{
	exact_delta_sql_literal(out, target->stamp);
	appendStringInfoString(out, " || sha2(concat_ws('\\u001f'");
	for (int i = 0; i < target->ncolumns; i++)
	{
		if (!target->columns[i].hashed)
			continue;
		appendStringInfo(out, ", coalesce(CAST(%s.", alias);
		exact_delta_sql_identifier(out, target->columns[i].name);
		appendStringInfoString(out, " AS STRING), '\\u0000')");
	}
	appendStringInfoString(out, "), 256)");
}

/* The row of the table is as the hub wrote it, or has the edit that the hub knows. */
static void
append_guard(StringInfo out, const ExactTarget *target)
{
	appendStringInfoString(out, "coalesce(");
	exact_merge_sql_hash(out, target, "t");
	appendStringInfoString(out, " IN (t.`_hash`, s.`_known`), false)");
}

/*
 * The value of a column that the statement makes itself. A delete keeps the values of the row, and
 * an edit that is known in them: it is none from then on.
 */
static void
append_made(StringInfo out, const ExactTarget *target, const Part *part, bool delete)
{
	if (strcmp(part->name, "_hash") == 0)
		exact_merge_sql_hash(out, target, delete ? "t" : "s");
	else
		appendStringInfoString(out, strcmp(part->name, "_deleted") == 0 ?
							   "s.`_op` = 'D'" : "current_timestamp()");
}

static const char *
table_name(const ExactTarget *target, ExactTable table)
{
	return table == EXACT_TABLE_CURRENT ? target->current : target->history;
}

void
exact_merge_sql_table(StringInfo out, const ExactTarget *target, ExactTable table)
{
	exact_delta_sql_table(out, target->catalog, target->schema, table_name(target, table));
}

void
exact_merge_sql_name(StringInfo out, const ExactTarget *target, ExactTable table)
{
	appendStringInfo(out, "%s.%s.%s", target->catalog, target->schema, table_name(target, table));
}

static void
append_column(StringInfo out, const Part *part, bool may_be_not_null)
{
	exact_delta_sql_identifier(out, part->name);
	appendStringInfo(out, " %s", part->type);
	if (may_be_not_null && part->system != NULL && part->system->not_null)
		appendStringInfoString(out, " NOT NULL");
	if (part->comment != NULL)
	{
		appendStringInfoString(out, " COMMENT ");
		exact_delta_sql_literal(out, part->comment);
	}
}

/* The properties say whose table it is: target.c refuses one with other marks. */
void
exact_merge_sql_create_table(StringInfo out, const ExactTarget *target, ExactTable table)
{
	int			n;
	Part	   *parts = list_parts(target, table, &n);
	bool		current = table == EXACT_TABLE_CURRENT;
	char	   *comment;

	appendStringInfoString(out, "CREATE TABLE ");
	exact_merge_sql_table(out, target, table);
	appendStringInfoString(out, " (");
	for (int i = 0; i < n; i++)
	{
		appendStringInfoString(out, i == 0 ? "\n  " : ",\n  ");
		append_column(out, &parts[i], !is_edited(target, table));
	}
	appendStringInfo(out, "\n) USING DELTA CLUSTER BY (`_division`, %s)\nCOMMENT ",
					 current ? "`_key`" : "`_seq`");
	comment = psprintf(current ?
					   "Exact Online %s: the current state, one row per record;"
					   " deleted ones stay with _deleted" :
					   "Exact Online %s: every version of every record, in the order of _seq",
					   target->resource);
	exact_delta_sql_literal(out, comment);
	appendStringInfoString(out, current ?
						   "\nTBLPROPERTIES ('delta.enableChangeDataFeed' = 'true',"
						   " 'delta.enableDeletionVectors' = 'true',"
						   " 'delta.isolationLevel' = 'Serializable'" :
						   "\nTBLPROPERTIES ('delta.enableDeletionVectors' = 'false',"
						   " 'delta.isolationLevel' = 'Serializable'");
	appendStringInfoString(out, ", " NTZ_SQL ", 'exact.entity' = ");
	exact_delta_sql_literal(out, target->entity);
	appendStringInfoString(out, ", 'exact.installation' = ");
	exact_delta_sql_literal(out, target->hub->installation);
	appendStringInfoChar(out, ')');
	pfree(comment);
	pfree(parts);
}

void
exact_merge_sql_describe(StringInfo out, const ExactTarget *target, ExactTable table)
{
	appendStringInfoString(out, "DESCRIBE TABLE ");
	exact_merge_sql_table(out, target, table);
}

void
exact_merge_sql_properties(StringInfo out, const ExactTarget *target, ExactTable table)
{
	appendStringInfoString(out, "SHOW TBLPROPERTIES ");
	exact_merge_sql_table(out, target, table);
}

void
exact_merge_sql_features(StringInfo out, const ExactTarget *target, ExactTable table)
{
	appendStringInfoString(out, "ALTER TABLE ");
	exact_merge_sql_table(out, target, table);
	appendStringInfoString(out, " SET TBLPROPERTIES (" NTZ_SQL ")");
}

/* Columns that the table has beyond those are none of our business. */
void
exact_merge_sql_compare(StringInfo add, StringInfo different, const ExactTarget *target,
						ExactTable table, const char *const *names, const char *const *types,
						int ncolumns)
{
	int			n;
	Part	   *parts = list_parts(target, table, &n);
	int			added = 0;

	for (int i = 0; i < n; i++)
	{
		char		type[EXACT_DELTA_SQL_TYPE_SIZE];
		int			c = 0;

		while (c < ncolumns && pg_strcasecmp(names[c], parts[i].name) != 0)
			c++;
		if (c == ncolumns)
		{
			if (added++ == 0)
			{
				appendStringInfoString(add, "ALTER TABLE ");
				exact_merge_sql_table(add, target, table);
				appendStringInfoString(add, " ADD COLUMNS (");
			}
			else
				appendStringInfoString(add, ", ");
			append_column(add, &parts[i], false);
		}
		else if (!exact_delta_sql_type(types[c], type) || strcmp(type, parts[i].type) != 0)
			appendStringInfo(different, "%s%s is %s and should be %s",
							 different->len > 0 ? ", " : "", parts[i].name, types[c],
							 parts[i].type);
	}
	if (added > 0)
		appendStringInfoChar(add, ')');
	pfree(parts);
}

/* "AmountDC, Edm.Double": what target.c says of a field, of whichever name and type */
static bool
is_own_comment(const char *comment)
{
	size_t		name = strcspn(comment, ",");
	const char *type = comment + name;

	if (name == 0 || strcspn(comment, " ") < name || strncmp(type, ", Edm.", 6) != 0)
		return false;
	type += 6;
	type += strspn(type, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789");
	return *type == '\0' || strcmp(type, ", looked up by Exact Online") == 0;
}

void
exact_merge_sql_comments(StringInfo out, const ExactTarget *target, ExactTable table,
						 const char *const *names, const char *const *comments, int ncolumns)
{
	int			n;
	Part	   *parts = list_parts(target, table, &n);
	int			begin = out->len;

	for (int i = 0; i < n; i++)
	{
		int			c = 0;

		while (c < ncolumns && pg_strcasecmp(names[c], parts[i].name) != 0)
			c++;
		if (c == ncolumns || parts[i].comment == NULL ||
			(comments[c] != NULL && comments[c][0] != '\0' &&
			 (parts[i].system != NULL || strcmp(comments[c], parts[i].comment) == 0 ||
			  !is_own_comment(comments[c]))))
			continue;
		if (out->len == begin)
		{
			appendStringInfoString(out, "ALTER TABLE ");
			exact_merge_sql_table(out, target, table);
			appendStringInfoString(out, " ALTER COLUMN ");
		}
		else
			appendStringInfoString(out, ", ");
		exact_delta_sql_identifier(out, names[c]);
		appendStringInfoString(out, " COMMENT ");
		exact_delta_sql_literal(out, parts[i].comment);
	}
	pfree(parts);
}

/* The value of a system column: the hub wrote it, it fits. */
static void
append_own(StringInfo out, const Part *part)
{
	bool		is_string = strcmp(part->type, "STRING") == 0;

	appendStringInfoString(out, is_string ? "r." : "CAST(r.");
	exact_delta_sql_identifier(out, part->name);
	if (!is_string)
		appendStringInfo(out, " AS %s)", part->type);
}

/* The type of :batch: an array of structs of texts */
static char *
batch_schema(const ExactTarget *target, ExactTable table, const Part *parts, int n, bool held)
{
	StringInfoData schema;
	const char *separator = "ARRAY<STRUCT<";

	initStringInfo(&schema);
	for (int i = 0; i < n; i++)
	{
		if (!is_sent(&parts[i]))
			continue;
		appendStringInfoString(&schema, separator);
		exact_delta_sql_identifier(&schema, parts[i].name);
		appendStringInfoString(&schema, ": STRING");
		separator = ", ";
	}
	if (is_edited(target, table))
		appendStringInfoString(&schema, ", `_known`: STRING");
	if (held)
		appendStringInfoString(&schema, ", `_held`: STRING");
	appendStringInfoString(&schema, ">>");
	return schema.data;
}

/* The rows of :batch with typed columns, for a statement that writes */
static void
append_source(StringInfo out, const ExactTarget *target, ExactTable table,
			  const ExactMergeRows *batch)
{
	int			n;
	Part	   *parts = list_parts(target, table, &n);
	bool		held = batch->held && table == EXACT_TABLE_CURRENT;
	char	   *schema = batch_schema(target, table, parts, n, held);
	const char *separator = "SELECT ";

	for (int i = 0; i < n; i++)
	{
		if (!is_sent(&parts[i]))
			continue;
		appendStringInfoString(out, separator);
		if (parts[i].system == NULL)
			exact_delta_sql_cast(out, parts[i].name, parts[i].type);
		else
			append_own(out, &parts[i]);
		appendStringInfoString(out, " AS ");
		exact_delta_sql_identifier(out, parts[i].name);
		separator = ", ";
	}
	if (is_edited(target, table))
		appendStringInfoString(out, ", r.`_known` AS `_known`");
	if (held)
		appendStringInfoString(out, ", r.`_held` AS `_held`");
	appendStringInfoChar(out, '\n');
	exact_rows_sql_from(out, schema, target, batch, true);
	pfree(schema);
	pfree(parts);
}

/* (names), `before`, and their values of a row of s */
static void
append_row(StringInfo out, const ExactTarget *target, ExactTable table, const char *before)
{
	int			n;
	Part	   *parts = list_parts(target, table, &n);

	for (int i = 0; i < n; i++)
	{
		appendStringInfoString(out, i == 0 ? "(" : ", ");
		exact_delta_sql_identifier(out, parts[i].name);
	}
	appendStringInfo(out, ")%s", before);
	for (int i = 0; i < n; i++)
	{
		appendStringInfoString(out, i == 0 ? "" : ", ");
		if (is_sent(&parts[i]))
		{
			appendStringInfoString(out, "s.");
			exact_delta_sql_identifier(out, parts[i].name);
		}
		else
			append_made(out, target, &parts[i], false);
	}
	pfree(parts);
}

/* The row of s is inserted where the table has none. */
static void
append_insert(StringInfo out, const ExactTarget *target, ExactTable table, const char *condition)
{
	appendStringInfo(out, "WHEN NOT MATCHED%s THEN INSERT ", condition);
	append_row(out, target, table, "\n  VALUES (");
	appendStringInfoChar(out, ')');
}

/*
 * The value of a derived column: one that the source left out does not wipe out the known one while
 * its key is the same.
 */
static void
append_derived(StringInfo out, const ExactColumn *column)
{
	appendStringInfoString(out, "CASE WHEN s.");
	exact_delta_sql_identifier(out, column->name);
	appendStringInfoString(out, " IS NULL");
	if (column->derived_from != NULL)
	{
		appendStringInfoString(out, " AND t.");
		exact_delta_sql_identifier(out, column->derived_from);
		appendStringInfoString(out, " <=> s.");
		exact_delta_sql_identifier(out, column->derived_from);
	}
	appendStringInfoString(out, " THEN t.");
	exact_delta_sql_identifier(out, column->name);
	appendStringInfoString(out, " ELSE s.");
	exact_delta_sql_identifier(out, column->name);
	appendStringInfoString(out, " END");
}

/*
 * `c` = s.`c`, ...: all but the key; of a delete only what tells it, so that the last state stays
 * readable
 */
static void
append_update(StringInfo out, const ExactTarget *target, ExactTable table, bool delete)
{
	int			n;
	Part	   *parts = list_parts(target, table, &n);
	const char *separator = "";

	for (int i = 0; i < n; i++)
	{
		const Part *part = &parts[i];

		if (part->system != NULL && part->system->key)
			continue;
		if (delete && (part->system == NULL || !part->system->on_delete))
			continue;
		appendStringInfoString(out, separator);
		exact_delta_sql_identifier(out, part->name);
		appendStringInfoString(out, " = ");
		if (!is_sent(part))
			append_made(out, target, part, delete);
		else if (table == EXACT_TABLE_CURRENT && part->column != NULL && part->column->derived)
			append_derived(out, part->column);
		else
		{
			appendStringInfoString(out, "s.");
			exact_delta_sql_identifier(out, part->name);
		}
		separator = ", ";
	}
	pfree(parts);
}

void
exact_merge_sql_history(StringInfo out, const ExactTarget *target, const ExactMergeRows *batch)
{
	appendStringInfoString(out, "MERGE INTO ");
	exact_merge_sql_table(out, target, EXACT_TABLE_HISTORY);
	appendStringInfoString(out, " AS h\nUSING (");
	append_source(out, target, EXACT_TABLE_HISTORY, batch);
	appendStringInfo(out, ") AS s\nON h.`_division` = s.`_division` AND h.`_seq` = s.`_seq`"
					 " AND h.`_key` = s.`_key`"
					 " AND h.`_seq` BETWEEN " INT64_FORMAT " AND " INT64_FORMAT "\n",
					 batch->seq_min, batch->seq_max);
	if (batch->rewrite)
	{
		appendStringInfoString(out, "WHEN MATCHED THEN UPDATE SET ");
		append_update(out, target, EXACT_TABLE_HISTORY, false);
		appendStringInfoChar(out, '\n');
	}
	append_insert(out, target, EXACT_TABLE_HISTORY, "");
}

/*
 * The columns of q when a key has several versions in :batch. Two things must come out as if each
 * version had been merged by itself: a derived value that only an earlier version carries, and (by
 * _versions) the state that a delete leaves behind.
 */
static void
append_repeated(StringInfo out, const ExactTarget *target, bool held)
{
	int			n;
	Part	   *parts = list_parts(target, EXACT_TABLE_CURRENT, &n);

	for (int i = 0; i < n; i++)
	{
		const ExactColumn *column = parts[i].column;

		if (!is_sent(&parts[i]))
			continue;
		if (column == NULL || !column->derived)
		{
			appendStringInfoString(out, "q.");
			exact_delta_sql_identifier(out, parts[i].name);
		}
		else
		{
			appendStringInfoString(out, "last_value(q.");
			exact_delta_sql_identifier(out, column->name);
			appendStringInfoString(out, ", true) OVER (PARTITION BY q.`_division`, q.`_key`");
			if (column->derived_from != NULL)
			{
				appendStringInfoString(out, ", q.");
				exact_delta_sql_identifier(out, column->derived_from);
			}
			appendStringInfoString(out, " ORDER BY q.`_seq`) AS ");
			exact_delta_sql_identifier(out, column->name);
		}
		appendStringInfoString(out, ", ");
	}
	if (target->stamp != NULL)
		appendStringInfoString(out, "q.`_known`, ");
	if (held)
		appendStringInfoString(out, "q.`_held`, ");
	appendStringInfoString(out,
						   "count(*) OVER (PARTITION BY q.`_division`, q.`_key`) AS `_versions`");
	pfree(parts);
}

/* The rows of :batch; of a key that is repeated in it, the newest version */
static void
append_newest(StringInfo out, const ExactTarget *target, const ExactMergeRows *batch,
			  bool repeated)
{
	if (!repeated)
	{
		append_source(out, target, EXACT_TABLE_CURRENT, batch);
		return;
	}
	appendStringInfoString(out, "SELECT * FROM (SELECT ");
	append_repeated(out, target, batch->held);
	appendStringInfoString(out, ", row_number() OVER (PARTITION BY q.`_division`, q.`_key`"
						   " ORDER BY q.`_seq` DESC) AS `_rn`\nFROM (");
	append_source(out, target, EXACT_TABLE_CURRENT, batch);
	appendStringInfoString(out, ") AS q) WHERE `_rn` = 1");
}

static void
append_merge_current(StringInfo out, const ExactTarget *target, const ExactMergeRows *batch,
					 bool repeated)
{
	appendStringInfoString(out, "MERGE INTO ");
	exact_merge_sql_table(out, target, EXACT_TABLE_CURRENT);
	appendStringInfoString(out, " AS t\nUSING (");
	append_newest(out, target, batch, repeated);
	appendStringInfoString(out, ") AS s\nON t.`_division` = s.`_division` AND t.`_key` = s.`_key`"
						   "\n");
}

void
exact_merge_sql_current(StringInfo out, const ExactTarget *target, const ExactMergeRows *batch,
						bool repeated)
{
	const char *newer = batch->rewrite ? ">=" : ">";
	StringInfoData guard;

	initStringInfo(&guard);
	if (target->stamp != NULL)
	{
		appendStringInfoString(&guard, " AND ");
		append_guard(&guard, target);
	}
	if (batch->held)
		appendStringInfoString(&guard, " AND s.`_held` IS NULL");
	append_merge_current(out, target, batch, repeated);
	if (batch->held)
		appendStringInfoString(out, "WHEN MATCHED AND s.`_held` = 'marks'"
							   " AND s.`_seq` >= t.`_seq` THEN UPDATE SET `_valid` = false,"
							   " `_problems` = s.`_problems`, `_loaded_at` = current_timestamp()"
							   "\n");
	appendStringInfo(out, "WHEN MATCHED AND s.`_seq` %s t.`_seq` AND s.`_op` = 'D'%s%s"
					 " THEN UPDATE SET ",
					 newer, repeated ? " AND s.`_versions` = 1" : "", guard.data);
	append_update(out, target, EXACT_TABLE_CURRENT, true);
	appendStringInfo(out, "\nWHEN MATCHED AND s.`_seq` %s t.`_seq`%s THEN UPDATE SET ", newer,
					 guard.data);
	append_update(out, target, EXACT_TABLE_CURRENT, false);
	pfree(guard.data);
	appendStringInfoChar(out, '\n');
	append_insert(out, target, EXACT_TABLE_CURRENT, batch->held ? " AND s.`_held` IS NULL" : "");
}

void
exact_merge_sql_first(StringInfo out, const ExactTarget *target, ExactTable table,
					  const ExactMergeRows *batch)
{
	appendStringInfoString(out, "INSERT INTO ");
	exact_merge_sql_table(out, target, table);
	appendStringInfoChar(out, ' ');
	append_row(out, target, table, "\nSELECT ");
	appendStringInfoString(out, "\nFROM (");
	append_source(out, target, table, batch);
	appendStringInfoString(out, ") AS s\nWHERE (SELECT count(*) FROM ");
	exact_merge_sql_table(out, target, table);
	appendStringInfoString(out, ") = 0");
}

void
exact_merge_sql_insert_current(StringInfo out, const ExactTarget *target,
							   const ExactMergeRows *batch)
{
	append_merge_current(out, target, batch, false);
	/* always so; the table's operations tell by it whose MERGE it was (foreign_change.c) */
	append_insert(out, target, EXACT_TABLE_CURRENT, " AND s.`_seq` > 0");
}

/* Counts the rows of :batch that a table holds */
static void
append_count(StringInfo out, const ExactTarget *target, ExactTable table,
			 const ExactMergeRows *batch, bool held, const char *counts)
{
	appendStringInfo(out, "SELECT %s\n", counts);
	exact_rows_sql_from(out, held ?
						 "ARRAY<STRUCT<`_division`: STRING, `_key`: STRING, `_seq`: STRING,"
						 " `_held`: STRING>>" :
						 "ARRAY<STRUCT<`_division`: STRING, `_key`: STRING, `_seq`: STRING>>",
						 target, batch, false);
	appendStringInfoString(out, " AS s\nJOIN ");
	exact_merge_sql_table(out, target, table);
}

void
exact_merge_sql_check_history(StringInfo out, const ExactTarget *target,
							  const ExactMergeRows *batch)
{
	append_count(out, target, EXACT_TABLE_HISTORY, batch, false,
				 "count(CASE WHEN h.`_key` = s.r.`_key` THEN 1 END) AS `n`,"
				 " max(CASE WHEN h.`_key` <> s.r.`_key` THEN h.`_seq` END) AS `other`");
	appendStringInfo(out, " AS h ON h.`_division` = CAST(s.r.`_division` AS INT)"
					 " AND h.`_seq` = CAST(s.r.`_seq` AS BIGINT)"
					 " AND h.`_seq` BETWEEN " INT64_FORMAT " AND " INT64_FORMAT,
					 batch->seq_min, batch->seq_max);
}

void
exact_merge_sql_check_current(StringInfo out, const ExactTarget *target,
							  const ExactMergeRows *batch)
{
	append_count(out, target, EXACT_TABLE_CURRENT, batch, batch->held,
				 "count(*) AS `n`");
	appendStringInfoString(out, " AS t ON t.`_division` = CAST(s.r.`_division` AS INT)"
						   " AND t.`_key` = s.r.`_key`"
						   " AND t.`_seq` >= CAST(s.r.`_seq` AS BIGINT)");
	if (batch->held)
		appendStringInfoString(out, " AND s.r.`_held` IS NULL");
}

/* A key may have several rows there, if a user has made copies. */
void
exact_merge_sql_check_edited(StringInfo out, const ExactTarget *target,
							 const ExactMergeRows *batch)
{
	appendStringInfoString(out, "SELECT s.`_division`, s.`_key`, s.`_seq`,"
						   " count(CASE WHEN t.`_seq` >= s.`_seq` THEN 1 END) AS `arrived`,"
						   " count(CASE WHEN t.`_seq` < s.`_seq` AND NOT ");
	append_guard(out, target);
	appendStringInfoString(out, " THEN 1 END) AS `held`\nFROM (SELECT"
						   " CAST(r.`_division` AS INT) AS `_division`, r.`_key` AS `_key`,"
						   " CAST(r.`_seq` AS BIGINT) AS `_seq`, r.`_known` AS `_known`\n");
	exact_rows_sql_from(out,
						 "ARRAY<STRUCT<`_division`: STRING, `_key`: STRING, `_seq`: STRING,"
						 " `_known`: STRING>>",
						 target, batch, false);
	appendStringInfoString(out, ") AS s\nLEFT JOIN ");
	exact_merge_sql_table(out, target, EXACT_TABLE_CURRENT);
	appendStringInfoString(out, " AS t ON t.`_division` = s.`_division` AND t.`_key` = s.`_key`"
						   "\nGROUP BY s.`_division`, s.`_key`, s.`_seq`");
}

void
exact_merge_sql_unfit(StringInfo out, const ExactTarget *target, const ExactMergeRows *batch)
{
	int			n;
	Part	   *parts = list_parts(target, EXACT_TABLE_HISTORY, &n);
	char	   *schema = batch_schema(target, EXACT_TABLE_HISTORY, parts, n, false);

	appendStringInfoString(out, "SELECT `_seq`, `columns`\n"
						   "FROM (SELECT r.`_seq` AS `_seq`, concat(''");
	for (int i = 0; i < target->ncolumns; i++)
	{
		const ExactColumn *column = &target->columns[i];

		if (strcmp(column->type, "STRING") == 0)
			continue;
		appendStringInfoString(out, ",\n  CASE WHEN r.");
		exact_delta_sql_identifier(out, column->name);
		appendStringInfoString(out, " IS NOT NULL AND try_cast(r.");
		exact_delta_sql_identifier(out, column->name);
		appendStringInfo(out, " AS %s) IS NULL THEN concat('%d:', length(r.", column->type, i);
		exact_delta_sql_identifier(out, column->name);
		appendStringInfoString(out, "), CASE WHEN translate(r.");
		exact_delta_sql_identifier(out, column->name);
		appendStringInfoString(out, ", '0123456789+-.eE', '') = '' THEN 'n,' ELSE 't,' END)"
							   " ELSE '' END");
	}
	appendStringInfoString(out, ") AS `columns`\n");
	exact_rows_sql_from(out, schema, target, batch, false);
	appendStringInfoString(out, ") WHERE `columns` <> ''");
	pfree(schema);
	pfree(parts);
}

/* Values that do not fit are another matter: they are null here. */
void
exact_merge_sql_violating(StringInfo out, const ExactTarget *target, ExactTable table,
						  const ExactMergeRows *batch, const char *condition)
{
	int			n;
	Part	   *parts = list_parts(target, table, &n);
	char	   *schema = batch_schema(target, table, parts, n, false);

	appendStringInfoString(out, "SELECT `_seq`, '0,' AS `columns`\nFROM (SELECT ");
	for (int i = 0; i < n; i++)
	{
		appendStringInfoString(out, i == 0 ? "" : ", ");
		if (strcmp(parts[i].name, "_hash") == 0)
			appendStringInfoString(out, "CAST(NULL AS STRING)");
		else if (!is_sent(&parts[i]))
			appendStringInfoString(out, strcmp(parts[i].name, "_deleted") == 0 ?
								   "r.`_op` = 'D'" : "current_timestamp()");
		else
		{
			appendStringInfoString(out, "try_cast(r.");
			exact_delta_sql_identifier(out, parts[i].name);
			appendStringInfo(out, " AS %s)", parts[i].type);
		}
		appendStringInfoString(out, " AS ");
		exact_delta_sql_identifier(out, parts[i].name);
	}
	appendStringInfoChar(out, '\n');
	exact_rows_sql_from(out, schema, target, batch, false);
	appendStringInfo(out, ")\nWHERE NOT coalesce((%s), false)", condition);
	pfree(schema);
	pfree(parts);
}
