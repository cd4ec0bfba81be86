/*
 * target.c - the two Delta tables of an entity in a workspace.
 *
 * Looks before it creates what it has seen before: an existing table costs two small reads and no
 * right to create anything. One that it has never seen is made, and looked at only if that fails.
 * Called by delta_table.c, once a process and table, and again after an error that says that the
 * table has changed.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/memutils.h"

#include "base/digest.h"
#include "base/errors.h"
#include "base/fault.h"
#include "base/sql.h"
#include "base/words.h"
#include "databricks/databricks.h"
#include "databricks/databricks_answer.h"
#include "databricks/delta_sql.h"
#include "databricks/statement.h"
#include "delta/create_table.h"
#include "delta/edit_sql.h"
#include "delta/merge_sql.h"
#include "delta/target.h"
#include "worker/self.h"

#define COLUMNS_DIGEST_BYTES 8	/* enough to see that it is another one */
#define STAMP_DIGEST_BYTES 4
#define NO_RIGHT "42501"
#define MAX_ROUNDS 3			/* another hub may add the same columns at the same time */

typedef enum Step
{
	STEP_DESCRIBE,
	STEP_PROPERTIES,
	STEP_FEATURES,				/* that the added columns need */
	STEP_NULLABLE,				/* columns of a dimension from before it had _hash */
	STEP_ADD_COLUMNS,
	STEP_COMMENTS
} Step;

typedef struct Preparation
{
	MemoryContext context;
	ExactTargetPlan *plan;
	ExactTable	table;
	Step		step;
	ExactTableMaking making;	/* of this table, if it is absent */
	int			rounds;			/* columns added to this table */
	int			nullable;		/* columns that may be null now */
	StringInfoData add;			/* ALTER TABLE for missing columns */
	StringInfoData comments;	/* ALTER TABLE for missing comments */
	ExactStatementTrouble trouble;
	ExactTargetDone done;
	void	   *arg;
} Preparation;

static void take_step(Preparation *p, Step step);

/* ---- plan ---- */

static const char *
find_key_column(const ExactColumn *columns, int n, const char *name)
{
	for (int i = 0; name != NULL && i < n; i++)
		if (strcmp(columns[i].name, name) == 0)
			return columns[i].name;
	return NULL;
}

/* The comment of a column in Delta */
static const char *
describe_column(const ExactColumn *column, const char *edm_type)
{
	if (column->row)
		return "Of the row with LineNumber 0, as the division's ledger says: control, the debtor,"
			" creditor, bank or cash row; header, the total once more; null, not known. line: all"
			" others. The ledger view is the one to sum";
	return psprintf("%s%s%s%s", column->source_field, edm_type ? ", " : "",
					edm_type ? edm_type : "",
					column->derived ? ", looked up by Exact Online" : "");
}

/*
 * Columns of the entity in the order of the service; result rows of the statement that was run
 * last.
 */
static ExactColumn *
read_columns(MemoryContext context, const char *entity, uint64 n)
{
	ExactColumn *columns = MemoryContextAllocZero(context, sizeof(ExactColumn) * Max(n, 1));
	MemoryContext old = MemoryContextSwitchTo(context);

	for (uint64 i = 0; i < n; i++)
	{
		ExactColumn *column = &columns[i];
		char	   *edm_type = exact_cell_text(i, 4);
		char	   *target_type = exact_cell_text(i, 3);
		char		type[EXACT_DELTA_SQL_TYPE_SIZE];

		column->name = exact_cell_text(i, 1);
		column->source_field = exact_cell_text(i, 2);
		if (!exact_delta_sql_type(target_type, type))
			ereport(ERROR,
					(errcode(ERRCODE_EXACT_TABLE_MISMATCH),
					 errmsg("column %s of %s cannot have the type \"%s\"",
							column->name, entity, target_type),
					 errhint("Set target_type in exact.entity_field to STRING, BOOLEAN, INT,"
							 " BIGINT, DOUBLE, DECIMAL(p,s), DATE, TIMESTAMP or TIMESTAMP_NTZ.")));
		column->type = pstrdup(type);
		column->guid = edm_type != NULL && strcmp(edm_type, "Edm.Guid") == 0;
		column->moment = edm_type != NULL && strcmp(edm_type, "Edm.DateTime") == 0;
		column->padded = exact_cell_bool(i, 5, false);
		column->derived = exact_cell_bool(i, 6, false);
		column->derived_from = exact_cell_text(i, 7);
		column->amount = exact_cell_bool(i, 8, false);
		column->hashed = exact_cell_bool(i, 9, false) && !column->derived;
		column->row = strcmp(column->name, "_row") == 0;
		column->comment = describe_column(column, edm_type);
	}
	for (uint64 i = 0; i < n; i++)
		columns[i].derived_from = find_key_column(columns, (int) n, columns[i].derived_from);
	MemoryContextSwitchTo(old);
	return columns;
}

/* Of names and types of all columns, or of those that users may edit */
static char *
digest_columns(const ExactTarget *target, bool hashed, int bytes)
{
	StringInfoData text;
	uint8		digest[EXACT_DIGEST_LEN];
	char	   *hex = palloc(2 * bytes + 1);

	initStringInfo(&text);
	for (int i = 0; i < target->ncolumns; i++)
		if (!hashed || target->columns[i].hashed)
			appendStringInfo(&text, "%s %s\n", target->columns[i].name, target->columns[i].type);
	exact_sha256(text.data, text.len, digest);
	for (int i = 0; i < bytes; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	pfree(text.data);
	return hex;
}

/*
 * What _hash of a dimension begins with: a row that carries another stamp was hashed over other
 * columns. NULL: no dimension.
 */
static const char *
make_stamp(const ExactTarget *target)
{
	for (int i = 0; i < target->ncolumns; i++)
		if (target->columns[i].hashed)
			return psprintf("v1:%s:", digest_columns(target, true, STAMP_DIGEST_BYTES));
	return NULL;
}

static char *
full_name(const ExactTarget *target, ExactTable table)
{
	StringInfoData name;

	initStringInfo(&name);
	exact_merge_sql_name(&name, target, table);
	return name.data;
}

/* Made in a context of its own, which a failure takes away. */
ExactTargetPlan *
exact_target_load(MemoryContext parent, const ExactWorkspace *workspace, const char *entity,
				  const ExactHub *hub)
{
	static const char entity_sql[] =
	"SELECT e.resource, e.target_table, e.target_history,"
	" (extract(epoch FROM coalesce(e.merge_interval, w.merge_interval)) * 1000)::bigint,"
	" s.table_name, s.history_name,"
	" coalesce(CASE WHEN s.delivered_at IS NOT NULL THEN s.rewrite_below END, 0),"
	" (SELECT CASE WHEN count(*) = 1 THEN min(d.division) END"
	"  FROM exact.division d"
	"  WHERE d.workspace = $2),"
	" s.delivered_at IS NOT NULL"
	" FROM exact.entity_effective e"
	" LEFT JOIN exact.workspace w ON w.name = $2"
	" LEFT JOIN exact.target_state s ON s.workspace = $2 AND s.entity = $1"
	" WHERE e.entity = $1";
	static const char fields_sql[] =
	"SELECT name, source_field, target_type, edm_type, padded, derived, derived_from,"
	" class = 'amount' AND exact._is_invoice(entity),"
	" EXISTS (SELECT"
	"  FROM exact._dimension_field d"
	"  WHERE d.entity = f.entity AND d.name = f.name AND d.hashed)"
	" FROM exact.field_effective f"
	" WHERE entity = $1 AND target_type IS NOT NULL"
	" ORDER BY ordinal";
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "exact target",
												  ALLOCSET_SMALL_SIZES);
	ExactTargetPlan *plan = MemoryContextAllocZero(context, sizeof(ExactTargetPlan));
	ExactArg	args[2];
	MemoryContext old;
	char	   *seen_current;
	char	   *seen_history;
	bool		delivered;

	args[0] = exact_arg_text(entity);
	args[1] = exact_arg_text(workspace->name);
	if (exact_sql(entity_sql, 2, args) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_UNKNOWN_ENTITY),
				 errmsg("the catalogue has no entity \"%s\"", entity),
				 errhint("Batches of it wait until an update of the extension brings it back.")));
	old = MemoryContextSwitchTo(context);
	plan->context = context;
	plan->workspace = exact_databricks_copy(workspace);
	plan->sql.catalog = plan->workspace->catalog;
	plan->sql.schema = plan->workspace->schema;
	plan->sql.entity = pstrdup(entity);
	plan->sql.hub = hub;
	plan->sql.resource = exact_cell_text(0, 1);
	plan->sql.current = exact_cell_text(0, 2);
	plan->sql.history = exact_cell_text(0, 3);
	plan->merge_interval_ms = exact_cell_int8(0, 4, -1);
	seen_current = exact_cell_text(0, 5);
	seen_history = exact_cell_text(0, 6);
	plan->rewrite_below = exact_cell_int8(0, 7, 0);
	plan->only_division = (int) exact_cell_int8(0, 8, 0);
	delivered = exact_cell_bool(0, 9, false);
	MemoryContextSwitchTo(old);

	plan->sql.ncolumns = (int) exact_sql(fields_sql, 1, args);
	plan->sql.columns = read_columns(context, entity, plan->sql.ncolumns);

	old = MemoryContextSwitchTo(context);
	plan->digest = digest_columns(&plan->sql, false, COLUMNS_DIGEST_BYTES);
	plan->sql.stamp = make_stamp(&plan->sql);
	plan->current_name = full_name(&plan->sql, EXACT_TABLE_CURRENT);
	plan->history_name = full_name(&plan->sql, EXACT_TABLE_HISTORY);
	plan->seen[EXACT_TABLE_CURRENT] = seen_current != NULL &&
		strcmp(seen_current, plan->current_name) == 0;
	plan->seen[EXACT_TABLE_HISTORY] = seen_history != NULL &&
		strcmp(seen_history, plan->history_name) == 0;
	for (int i = 0; i < (int) lengthof(plan->held); i++)
		plan->held[i] = delivered && plan->seen[i];
	MemoryContextSwitchTo(old);
	MemoryContextSetParent(context, parent);	/* nothing can fail any more */
	return plan;
}

/* ---- preparation ---- */

static void
end_preparation(Preparation *p, const ExactFault *fault, const char *sqlstate)
{
	MemoryContext old = MemoryContextSwitchTo(p->context);

	p->done(fault, sqlstate, p->arg);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(p->context);
}

static const char *
table_name(const Preparation *p)
{
	return p->table == EXACT_TABLE_CURRENT ? p->plan->current_name : p->plan->history_name;
}

static void
end_with_mismatch(Preparation *p, char *message, const char *detail)
{
	const char *setting = p->table == EXACT_TABLE_CURRENT ? "target_table" : "target_history";
	char	   *hint = psprintf("Rename or drop the table, or set another %s for %s in"
								" exact.entity; the hub tries again by itself.",
								setting, p->plan->sql.entity);

	end_preparation(p, exact_fault_make(ERRCODE_EXACT_TABLE_MISMATCH, message,
										unconstify(char *, detail), hint), "EX014");
}

/*
 * What was delivered into it is gone with it. An empty one in its place would look complete; once
 * an operator has said so, queue.c lets all that was delivered go again.
 */
static void
end_with_loss(Preparation *p)
{
	char	   *message = psprintf("table %s is gone, with all that was delivered into it",
								   table_name(p));
	char	   *hint = psprintf("UNDROP TABLE %s; or SELECT exact.resume(division, '%s') to make"
								" it anew from what the hub holds.",
								exact_delta_sql_for_people(table_name(p)), p->plan->sql.entity);

	p->plan->gone = true;
	end_preparation(p, exact_fault_make(ERRCODE_EXACT_TABLE_MISMATCH, message, NULL, hint),
					"EX014");
}

/*
 * DESCRIBE TABLE: name, type, comment; then sections that begin with "#". Compares with what is
 * needed.
 */
static void
take_columns(Preparation *p, const ExactStatementResult *result)
{
	const char **names = palloc(sizeof(char *) * (result->nrows + 1));
	const char **types = palloc(sizeof(char *) * (result->nrows + 1));
	const char **comments = palloc0(sizeof(char *) * (result->nrows + 1));
	int			n = 0;
	StringInfoData different;

	for (int r = 0; r < result->nrows && result->ncolumns >= 2; r++)
	{
		const char *name = result->cells[r * result->ncolumns];
		const char *type = result->cells[r * result->ncolumns + 1];

		if (name == NULL || *name == '\0' || *name == '#' || type == NULL)
			break;
		names[n] = name;
		if (result->ncolumns >= 3)
			comments[n] = result->cells[r * result->ncolumns + 2];
		types[n++] = type;
	}
	initStringInfo(&different);
	resetStringInfo(&p->add);
	resetStringInfo(&p->comments);
	if (result->ncolumns >= 3)
		exact_merge_sql_comments(&p->comments, &p->plan->sql, p->table, names, comments, n);
	exact_merge_sql_compare(&p->add, &different, &p->plan->sql, p->table, names, types, n);
	if (different.len > 0)
	{
		const char *words = exact_words_tidy(different.data, EXACT_DATABRICKS_WORDS_MAX);

		end_with_mismatch(p, psprintf("table %s has other columns than the hub needs: %s",
									  table_name(p), words),
						  "Nothing was written into it.");
	}
	else
		take_step(p, STEP_PROPERTIES);
}

static void
next_table(Preparation *p)
{
	if (p->table == EXACT_TABLE_HISTORY)
	{
		end_preparation(p, NULL, "");
		return;
	}
	p->plan->seen[EXACT_TABLE_CURRENT] = true;
	p->table = EXACT_TABLE_HISTORY;
	p->rounds = 0;
	take_step(p, STEP_DESCRIBE);
}

/* Why a table with these marks is not ours; NULL: it is. */
static const char *
find_stranger(const ExactTarget *target, const char *entity, const char *installation)
{
	const char *words;

	if (entity == NULL || installation == NULL)
		return "it was not made by exact_databricks";
	if (strcmp(installation, target->hub->installation) != 0)
		return "another installation of exact_databricks made it";
	if (strcmp(entity, target->entity) == 0)
		return NULL;
	words = exact_words_tidy(entity, EXACT_DATABRICKS_WORDS_MAX);
	return psprintf("it holds the entity %s", words ? words : "\"\"");
}

/*
 * A table that gets _hash is from before users could insert rows: what they do not know may be null
 * from now on.
 */
static Step
after_features(Preparation *p)
{
	bool		first = p->table == EXACT_TABLE_CURRENT && strstr(p->add.data, "`_hash`") != NULL;

	return first && p->nullable < EXACT_EDIT_SQL_NULLABLE ? STEP_NULLABLE : STEP_ADD_COLUMNS;
}

/* SHOW TBLPROPERTIES: key, value. A table that does not carry our marks belongs to someone else. */
static void
take_properties(Preparation *p, const ExactStatementResult *result)
{
	const char *entity = NULL;
	const char *installation = NULL;
	const char *stranger;

	for (int r = 0; r < result->nrows && result->ncolumns >= 2; r++)
	{
		const char *key = result->cells[r * result->ncolumns];
		const char *value = result->cells[r * result->ncolumns + 1];

		if (key != NULL && strcmp(key, "exact.entity") == 0)
			entity = value;
		else if (key != NULL && strcmp(key, "exact.installation") == 0)
			installation = value;
	}
	stranger = find_stranger(&p->plan->sql, entity, installation);
	if (stranger != NULL)
		end_with_mismatch(p, psprintf("table %s exists and belongs to someone else: %s",
									  table_name(p), stranger),
						  "Nothing was written into it.");
	else if (p->add.len > 0 && p->rounds++ < MAX_ROUNDS)
		take_step(p, strstr(p->add.data, "` TIMESTAMP_NTZ") ? STEP_FEATURES : after_features(p));
	else if (p->add.len > 0)
		end_with_mismatch(p, psprintf("table %s still lacks columns after they were added",
									  table_name(p)), NULL);
	else if (p->plan->may_comment && p->comments.len > 0)
		take_step(p, STEP_COMMENTS);
	else
		next_table(p);
}

/* The answer of a step: the next one, or the end. */
static void
take_result(const ExactStatementResult *result, void *arg)
{
	Preparation *p = arg;
	bool		good = result->verdict == EXACT_VERDICT_SUCCEEDED;

	if (p->step == STEP_ADD_COLUMNS && strcmp(result->sqlstate, "42710") == 0)
		good = true;			/* someone else added one of them meanwhile */
	if (!good && p->step == STEP_DESCRIBE && p->making == EXACT_MAKE_NOTHING &&
		exact_statement_absent(result->sqlstate))
		end_with_loss(p);
	else if (p->step == STEP_COMMENTS)
	{
		/* nothing hangs on them: who may not write them, or whose warehouse is too old, goes on */
		if (!good)
			exact_log(LOG, "table=%s: its columns have no comments: %s", table_name(p),
					  result->fault->message);
		p->plan->may_comment = p->plan->may_comment && good;
		next_table(p);
	}
	else if (!good)
		end_preparation(p, result->fault, result->sqlstate);
	else if (p->step == STEP_DESCRIBE)
		take_columns(p, result);
	else if (p->step == STEP_PROPERTIES)
		take_properties(p, result);
	else if (p->step == STEP_FEATURES || p->step == STEP_NULLABLE)
	{
		p->nullable += p->step == STEP_NULLABLE ? 1 : 0;
		take_step(p, after_features(p));
	}
	else
	{
		p->plan->hash_added |= strstr(p->add.data, "`_hash`") != NULL;
		take_step(p, STEP_DESCRIBE);
	}
}

/* A table that was made this moment needs no look at it. */
static void
take_made(void *arg)
{
	Preparation *p = arg;

	p->plan->fresh[p->table] = true;
	next_table(p);
}

/* What is made when this table is absent */
static ExactTableMaking
what_to_make(const Preparation *p)
{
	if (!p->plan->may_create && p->plan->held[p->table])
		return EXACT_MAKE_NOTHING;
	return p->table == EXACT_TABLE_CURRENT ? EXACT_MAKE_SCHEMA_AND_TABLE : EXACT_MAKE_TABLE;
}

/* Sends a statement of the preparation. A table that is absent is made by the first one. */
static void
take_step(Preparation *p, Step step)
{
	static const char *const verbs[] = {
		"reading of", "reading of", "ALTER TABLE for", "ALTER TABLE for", "ALTER TABLE for",
		"ALTER TABLE for"
	};
	const ExactTarget *target = &p->plan->sql;
	StringInfoData sql;
	StringInfoData create;
	ExactStatementRequest request = {
		.workspace = p->plan->workspace,
		.hub = target->hub,
		.entity = target->entity,
		.table = table_name(p),
		.kind = step >= STEP_FEATURES ? "ddl" : "check",
		.scope = table_name(p),
		.verb = verbs[step],
		.expected = step == STEP_COMMENTS ? NO_RIGHT : NULL,
		.trouble = p->trouble,
		.trouble_arg = p->arg,
		.done = take_result,
		.arg = p
	};

	initStringInfo(&sql);
	initStringInfo(&create);
	p->step = step;
	if (step == STEP_DESCRIBE)
		exact_merge_sql_describe(&sql, target, p->table);
	else if (step == STEP_PROPERTIES)
		exact_merge_sql_properties(&sql, target, p->table);
	else if (step == STEP_FEATURES)
		exact_merge_sql_features(&sql, target, p->table);
	else if (step == STEP_NULLABLE)
		exact_edit_sql_nullable(&sql, target, p->nullable);
	else
	{
		const StringInfoData *alter = step == STEP_COMMENTS ? &p->comments : &p->add;

		appendBinaryStringInfo(&sql, alter->data, alter->len);
	}
	request.sql = sql.data;
	if (step != STEP_DESCRIBE)
	{
		exact_statement_start(&request);
		return;
	}
	p->making = what_to_make(p);
	exact_merge_sql_create_table(&create, target, p->table);
	/* one that has got columns was looked at before */
	if (!p->plan->seen[p->table] && p->rounds == 0)
		exact_create_table_unseen(&request, p->making, create.data, take_made);
	else
		exact_create_table_if_absent(&request, p->making, create.data, take_made);
}

void
exact_target_prepare(ExactTargetPlan *plan, ExactStatementTrouble trouble, ExactTargetDone done,
					 void *arg)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "exact target preparation",
												  ALLOCSET_SMALL_SIZES);
	Preparation *p = MemoryContextAllocZero(context, sizeof(Preparation));
	MemoryContext old = MemoryContextSwitchTo(context);

	p->context = context;
	p->plan = plan;
	plan->gone = plan->fresh[EXACT_TABLE_CURRENT] = plan->fresh[EXACT_TABLE_HISTORY] = false;
	initStringInfo(&p->add);
	initStringInfo(&p->comments);
	p->table = EXACT_TABLE_CURRENT;
	p->trouble = trouble;
	p->done = done;
	p->arg = arg;
	MemoryContextSwitchTo(old);
	take_step(p, STEP_DESCRIBE);
}
