/*
 * month.c - what the Delta tables of a workspace hold of a period, for exact.month_end().
 *
 * One SELECT for a kind of entries and all divisions that are asked for; its text is made by
 * exact._month_delta_sql() (install/79_month_end.sql). The asker waits for the answer; when the
 * service cannot be reached now the asker learns that at once, and what is under way ends by
 * itself. Called by loader.c.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/json.h"
#include "utils/memutils.h"

#include "base/clock.h"
#include "base/errors.h"
#include "base/fault.h"
#include "base/sql.h"
#include "databricks/databricks.h"
#include "databricks/statement.h"
#include "deliver/fence.h"
#include "deliver/workspace.h"
#include "inquiry/month.h"
#include "worker/ask.h"
#include "worker/unit.h"

#define ENTITY "month_end"		/* in the statement log */
#define SOON_MS 30000
#define MAX_RUNNING 16			/* statements that nobody may wait for any more among them */

typedef struct Month
{
	MemoryContext context;
	ExactAsk   *ask;			/* NULL: it has been answered */
	const ExactWorkspace *info;
	char	   *sql;			/* NULL: the table was never made */
	char	   *table;
} Month;

static int	running;

static void
text_unit(void *arg)
{
	static const char sql[] =
	"SELECT text, table_name FROM exact._month_delta_sql($1, $2, $3::int, $4::int, $5::int[])";
	Month	   *m = arg;
	ExactArg	args[5];
	MemoryContext old;

	for (int i = 0; i < 5; i++)
		args[i] = exact_arg_text(exact_ask_arg(m->ask, i));
	exact_sql(sql, 5, args);
	old = MemoryContextSwitchTo(m->context);
	m->sql = exact_cell_text(0, 1);
	m->table = exact_cell_text(0, 2);
	MemoryContextSwitchTo(old);
}

static void
end_month(Month *m)
{
	running--;
	MemoryContextDelete(m->context);
}

static void
answer_rows(Month *m, const ExactStatementResult *result)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoChar(&out, '[');
	for (int r = 0; r < result->nrows; r++)
	{
		appendStringInfoString(&out, r == 0 ? "[" : ",[");
		for (int c = 0; c < result->ncolumns; c++)
		{
			const char *cell = result->cells[r * result->ncolumns + c];

			if (c > 0)
				appendStringInfoChar(&out, ',');
			if (cell == NULL)
				appendStringInfoString(&out, "null");
			else
				escape_json(&out, cell);
		}
		appendStringInfoChar(&out, ']');
	}
	appendStringInfoChar(&out, ']');
	exact_ask_answer(m->ask, out.data, out.len);
	pfree(out.data);
}

static void
take_result(const ExactStatementResult *result, void *arg)
{
	Month	   *m = arg;

	if (m->ask != NULL)
	{
		if (result->verdict == EXACT_VERDICT_SUCCEEDED)
			answer_rows(m, result);
		else if (result->fault != NULL)
			exact_ask_fail(m->ask, result->fault);
		else
			exact_ask_failf(m->ask, ERRCODE_EXACT_DATABRICKS_UNAVAILABLE, NULL, "Ask again.",
							"Databricks did not answer");
	}
	end_month(m);
}

/* What is tried again soon is waited for; the asker has the reason of what goes on failing. */
static void
take_trouble(const ExactFault *fault, int attempts, TimestampTz at, void *arg)
{
	Month	   *m = arg;

	if (m->ask == NULL || (attempts < 3 && exact_clock_wait_ms(at) < SOON_MS))
		return;
	exact_ask_fail(m->ask, fault);
	m->ask = NULL;
}

/* Why it cannot be asked; NULL: it can. */
static ExactFault *
look(Month *m)
{
	const char *name = exact_ask_arg(m->ask, 0);
	const char *why = NULL;
	ExactFault *fault = NULL;

	if (exact_ask_nargs(m->ask) != 5 || name == NULL)
		return exact_fault_make(ERRCODE_EXACT_REQUEST, pstrdup("a question has five words"), NULL,
								NULL);
	if (running >= MAX_RUNNING)
		return exact_fault_make(ERRCODE_EXACT_DATABRICKS_UNAVAILABLE,
								psprintf("%d earlier questions still wait for Databricks",
										 running), NULL,
								pstrdup("SELECT * FROM exact.services; then ask again."));
	m->info = exact_workspace_usable(name, &why);
	if (m->info == NULL || exact_fence_hub() == NULL)
		return exact_fault_make(ERRCODE_EXACT_DATABRICKS_UNAVAILABLE,
								psprintf("workspace %s %s", name, why ? why : "is not known yet"),
								NULL, pstrdup("SELECT * FROM exact.ping()."));
	(void) exact_unit_run("read month", text_unit, m, &fault);
	return fault;
}

void
exact_month_answer(ExactAsk *ask)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "exact month",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Month	   *m = palloc0(sizeof(Month));
	ExactFault *fault;

	m->context = context;
	m->ask = ask;
	fault = look(m);
	MemoryContextSwitchTo(old);
	running++;
	if (fault != NULL)
	{
		exact_ask_fail(ask, fault);
		end_month(m);
	}
	else if (m->sql == NULL)
	{
		exact_ask_answer(ask, "null", strlen("null"));
		end_month(m);
	}
	else
		exact_statement_start(&(ExactStatementRequest) {
			.workspace = m->info,
			.hub = exact_fence_hub(),
			.entity = ENTITY,
			.table = m->table,
			.kind = "check",
			.scope = m->table,
			.verb = "reading of",
			.sql = m->sql,
			.trouble = take_trouble,
			.trouble_arg = m,
			.done = take_result,
			.arg = m
		});
}
