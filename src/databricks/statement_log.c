/*
 * statement_log.c - exact.statement_log: a row for each statement that is sent to Databricks.
 *
 * The row is committed before the statement goes out, so that a crash leaves none that nobody knows
 * of. Called by statement.c; close also by those whose statements need not be followed.
 */
#include "postgres.h"

#include "base/counter.h"
#include "base/sql.h"
#include "databricks/statement.h"
#include "databricks/statement_log.h"

#define IS_OPEN_SQL " state IN ('sending', 'running', 'unknown')"
#define CLOSE_SQL \
	" SET state = 'failed'," \
	" error = 'the loader ended before the answer came'," \
	" finished_at = clock_timestamp()"
/* $1 workspace or null, $2 entities */
#define IS_LEFT_SQL \
	" (workspace = $1 OR $1 IS NULL) AND entity = ANY ($2) AND" IS_OPEN_SQL
#define WRITES_ROWS_SQL " kind IN ('history', 'current', 'state')"

bool
exact_statement_log_writes_rows(const char *kind)
{
	return strcmp(kind, "history") == 0 || strcmp(kind, "current") == 0 ||
		strcmp(kind, "state") == 0;
}

int64
exact_statement_log_add(const ExactStatementRequest *request)
{
	static const char sql[] =
	"INSERT INTO exact.statement_log"
	" (id, at, workspace, entity, table_name, kind,"
	" first_batch, first_ord, last_batch, last_ord, rows, state, attempt, bytes)"
	" VALUES (nextval('exact.statement_id'), clock_timestamp(), $1, $2, $3, $4,"
	" $5, $6, $7, $8, $9, 'sending', 1, $10)"
	" RETURNING id";
	bool		has_range = request->range.first_batch != 0;
	int64		bytes = request->parameter != NULL ? (int64) strlen(request->parameter) :
		request->bytes;
	ExactArg	args[10];

	args[0] = exact_arg_text(request->workspace->name);
	args[1] = exact_arg_text(request->entity);
	args[2] = exact_arg_text(request->table);
	args[3] = exact_arg_text(request->kind);
	args[4] = has_range ? exact_arg_int8(request->range.first_batch) : exact_arg_null(INT8OID);
	args[5] = has_range ? exact_arg_int4(request->range.first_ord) : exact_arg_null(INT4OID);
	args[6] = has_range ? exact_arg_int8(request->range.last_batch) : exact_arg_null(INT8OID);
	args[7] = has_range ? exact_arg_int4(request->range.last_ord) : exact_arg_null(INT4OID);
	args[8] = has_range ? exact_arg_int4(request->rows) : exact_arg_null(INT4OID);
	args[9] = bytes > 0 ? exact_arg_int8(bytes) : exact_arg_null(INT8OID);
	exact_sql(sql, 10, args);
	return exact_cell_int8(0, 1, 0);
}

void
exact_statement_log_update(const ExactLogEntry *entry)
{
	static const char sql[] =
	"UPDATE exact.statement_log"
	" SET state = $2,"
	" attempt = $3,"
	" statement_id = $4,"
	" affected = $5,"
	" error = $6,"
	" sqlstate = $7,"
	" took_ms = extract(epoch FROM clock_timestamp() - at) * 1000,"
	" finished_at = CASE WHEN $2 IN ('succeeded', 'failed') THEN clock_timestamp() END"
	" WHERE id = $1"
	" RETURNING kind, took_ms::bigint, finished_at IS NOT NULL";
	ExactArg	args[7];

	args[0] = exact_arg_int8(entry->id);
	args[1] = exact_arg_text(entry->state);
	args[2] = exact_arg_int4(entry->attempt);
	args[3] = exact_arg_text(entry->statement_id);
	args[4] = entry->affected >= 0 ? exact_arg_int8(entry->affected) : exact_arg_null(INT8OID);
	args[5] = exact_arg_text(entry->error);
	args[6] = exact_arg_text(entry->sqlstate);
	if (exact_sql(sql, 7, args) > 0 && exact_cell_bool(0, 3, false))
		exact_counter_statement(exact_cell_text(0, 1), entry->state,
								exact_cell_int8(0, 2, 0) / 1000.0);
}

/* What was closed counts as failed: the kinds of the rows that the last statement returned. */
static void
count_closed(uint64 n)
{
	char	  **kinds = palloc(sizeof(char *) * (n + 1));

	for (uint64 i = 0; i < n; i++)
		kinds[i] = exact_cell_text(i, 1);
	for (uint64 i = 0; i < n; i++)
		exact_counter_add(EXACT_COUNTER_STATEMENT, 0, kinds[i], "failed", 1);
}

void
exact_statement_log_close(const char *workspace, const char *const *entities, int n)
{
	static const char sql[] =
	"UPDATE exact.statement_log"
	CLOSE_SQL
	" WHERE NOT" WRITES_ROWS_SQL
	" AND" IS_LEFT_SQL
	" RETURNING kind";
	ExactArg	args[2];

	args[0] = exact_arg_text(workspace);
	args[1] = exact_arg_text_array(entities, NULL, n);
	count_closed(exact_sql(sql, 2, args));
}

void
exact_statement_log_close_kind(const char *workspace, const char *kind)
{
	static const char sql[] =
	"UPDATE exact.statement_log"
	CLOSE_SQL
	" WHERE workspace = $1 AND kind = $2 AND" IS_OPEN_SQL
	" RETURNING kind";
	ExactArg	args[2];

	args[0] = exact_arg_text(workspace);
	args[1] = exact_arg_text(kind);
	count_closed(exact_sql(sql, 2, args));
}

/* Texts of the result live in `context`, which outlives the unit. */
int
exact_statement_log_left(const char *workspace, const char *const *entities, int n,
						 MemoryContext context, ExactLeftover **rows)
{
	static const char sql[] =
	"SELECT id, entity, table_name, kind, statement_id, at,"
	" first_batch, first_ord, last_batch, last_ord"
	" FROM exact.statement_log"
	" WHERE" WRITES_ROWS_SQL
	" AND" IS_LEFT_SQL
	" ORDER BY id";
	ExactArg	args[2];
	int			found;
	MemoryContext old;

	args[0] = exact_arg_text(workspace);
	args[1] = exact_arg_text_array(entities, NULL, n);
	found = (int) exact_sql(sql, 2, args);
	old = MemoryContextSwitchTo(context);
	*rows = palloc0(sizeof(ExactLeftover) * Max(found, 1));
	for (int i = 0; i < found; i++)
	{
		ExactLeftover *row = &(*rows)[i];

		row->id = exact_cell_int8(i, 1, 0);
		row->entity = exact_cell_text(i, 2);
		row->table = exact_cell_text(i, 3);
		row->kind = exact_cell_text(i, 4);
		row->statement_id = exact_cell_text(i, 5);
		row->at = exact_cell_time(i, 6, 0);
		row->range.first_batch = exact_cell_int8(i, 7, 0);
		row->range.first_ord = (int) exact_cell_int8(i, 8, 0);
		row->range.last_batch = exact_cell_int8(i, 9, 0);
		row->range.last_ord = (int) exact_cell_int8(i, 10, 0);
	}
	MemoryContextSwitchTo(old);
	return found;
}
