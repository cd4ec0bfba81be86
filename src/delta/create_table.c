/*
 * create_table.c - a statement on a Delta table that may not be there yet.
 *
 *   request ── table absent ──► CREATE TABLE ──► request, once more, or the caller's word
 *                                │      ▲
 *                  schema absent ▼      │
 *                              CREATE SCHEMA
 *
 * An existing table costs no statement besides the request, and no right to create anything. One
 * that nobody has seen yet is made first, which needs no request; what keeps it from being made
 * decides nothing: the request is sent, and all goes on as above. An
 * existing schema costs no right to create one: Unity Catalog refuses CREATE SCHEMA IF NOT EXISTS
 * to those who may not, also where the schema exists.
 * Called by fence.c, open_state.c and target.c.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "databricks/databricks.h"
#include "databricks/delta_sql.h"
#include "databricks/statement.h"
#include "delta/create_table.h"

#define ALREADY_THERE "42P07"	/* made by another process, or its answer was lost */

typedef struct Creation
{
	MemoryContext context;
	ExactStatementRequest request;	/* of the caller */
	ExactTableMaking making;
	char	   *create;
	ExactTableMade made;
} Creation;

/* The context of the creation must not be the current one. */
static void
end_creation(Creation *c, const ExactStatementResult *result)
{
	c->request.done(result, c->request.arg);
	MemoryContextDelete(c->context);
}

/* Sends a statement about the table of the request. */
static void
send(Creation *c, const char *kind, const char *verb, const char *sql, ExactStatementDone done)
{
	ExactStatementRequest request = c->request;

	request.kind = kind;
	request.verb = verb;
	request.sql = sql;
	request.done = done;
	request.arg = c;
	if (sql != c->request.sql)
		request.parameter = NULL;
	if (sql == c->create)
		request.expected = ALREADY_THERE;
	exact_statement_start(&request);
}

static void
take_repeated(const ExactStatementResult *result, void *arg)
{
	end_creation(arg, result);
}

static void take_table(const ExactStatementResult *result, void *arg);

static void
take_schema(const ExactStatementResult *result, void *arg)
{
	Creation   *c = arg;

	c->making = EXACT_MAKE_TABLE;
	if (result->verdict == EXACT_VERDICT_SUCCEEDED)
		send(c, "ddl", "CREATE TABLE for", c->create, take_table);
	else
		end_creation(c, result);
}

static void
create_schema(Creation *c)
{
	const ExactWorkspace *workspace = c->request.workspace;
	StringInfoData sql;

	initStringInfo(&sql);
	exact_delta_sql_create_schema(&sql, workspace->catalog, workspace->schema);
	send(c, "ddl", "CREATE SCHEMA for", sql.data, take_schema);
}

static void
take_table(const ExactStatementResult *result, void *arg)
{
	Creation   *c = arg;

	c->request.may_be_absent = false;
	if (result->verdict == EXACT_VERDICT_SUCCEEDED && c->made != NULL)
	{
		c->made(c->request.arg);
		MemoryContextDelete(c->context);
	}
	else if (result->verdict == EXACT_VERDICT_SUCCEEDED ||
			 strcmp(result->sqlstate, ALREADY_THERE) == 0)
		send(c, c->request.kind, c->request.verb, c->request.sql, take_repeated);
	else if (c->making == EXACT_MAKE_SCHEMA_AND_TABLE && exact_statement_absent(result->sqlstate))
		create_schema(c);
	else
		end_creation(c, result);
}

static void
take_request(const ExactStatementResult *result, void *arg)
{
	Creation   *c = arg;
	bool		absent = result->verdict != EXACT_VERDICT_SUCCEEDED &&
		exact_statement_absent(result->sqlstate);

	/* only the CREATE TABLE may still find no schema */
	c->request.may_be_absent = c->making == EXACT_MAKE_SCHEMA_AND_TABLE;
	if (absent && c->making != EXACT_MAKE_NOTHING)
		send(c, "ddl", "CREATE TABLE for", c->create, take_table);
	else
		end_creation(c, result);
}

/* It may be there although nobody knew of it, and then no right to create one is needed. */
static void
take_unseen(const ExactStatementResult *result, void *arg)
{
	Creation   *c = arg;

	if (result->verdict == EXACT_VERDICT_SUCCEEDED || exact_statement_absent(result->sqlstate))
	{
		take_table(result, c);
		return;
	}
	c->request.may_be_absent = true;
	send(c, c->request.kind, c->request.verb, c->request.sql, take_request);
}

static Creation *
make_creation(const ExactStatementRequest *request, ExactTableMaking making, const char *create,
			  ExactTableMade made)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "exact creation",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Creation   *c = palloc(sizeof(Creation));

	c->context = context;
	c->request = *exact_statement_copy(request);
	c->request.may_be_absent = true;
	c->making = making;
	c->create = create ? pstrdup(create) : NULL;
	c->made = made;
	MemoryContextSwitchTo(old);
	return c;
}

void
exact_create_table_if_absent(const ExactStatementRequest *request, ExactTableMaking making,
							 const char *create, ExactTableMade made)
{
	Creation   *c = make_creation(request, making, create, made);

	send(c, request->kind, request->verb, c->request.sql, take_request);
}

void
exact_create_table_unseen(const ExactStatementRequest *request, ExactTableMaking making,
						  const char *create, ExactTableMade made)
{
	Creation   *c = make_creation(request, making, create, made);

	c->request.may_be_absent = making == EXACT_MAKE_SCHEMA_AND_TABLE;
	send(c, "ddl", "CREATE TABLE for", c->create, take_unseen);
}
