/*
 * creation.c - a Delta table that is not there yet. Called by fence.c, open_state.c and target.c.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "deliver/creation.h"

static void
take_schema(const ExactStatementResult *result, void *arg)
{
	ExactStatementRequest *table = arg;
	MemoryContext context = GetMemoryChunkContext(table);

	/* without the right to make it: if it is not there, CREATE TABLE says so */
	if (result->verdict == EXACT_VERDICT_SUCCEEDED || strcmp(result->sqlstate, "42501") == 0)
		exact_statement_start(table);
	else
		table->done(result, table->arg);
	MemoryContextDelete(context);
}

void
exact_creation_start(const ExactStatementRequest *request)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "exact creation", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	ExactStatementRequest *table = exact_statement_copy(request);
	ExactStatementRequest schema = *request;
	StringInfoData sql;

	initStringInfo(&sql);
	exact_delta_sql_create_schema(&sql, request->workspace->catalog, request->workspace->schema);
	schema.verb = "CREATE SCHEMA for";
	schema.sql = sql.data;
	schema.done = take_schema;
	schema.arg = table;
	MemoryContextSwitchTo(old);
	exact_statement_start(&schema);
}
