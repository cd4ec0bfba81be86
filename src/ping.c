/*
 * ping.c - the loader's answer to exact.ping(): token, warehouse, and a statement when the warehouse runs anyway.
 *
 * A stopped warehouse is not started for it. Answer: a JSON array of {side, name, ok, latency_ms, finding, next_step}.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/memutils.h"

#include "delivery_row.h"
#include "ping.h"

typedef struct Ping
{
	MemoryContext context;
	ExactAsk   *ask;
	int			pending;		/* workspaces being tried, and one until all are named */
	StringInfoData rows;
} Ping;

typedef struct Trial
{
	Ping	   *ping;
	ExactWorkspace *workspace;
	double		ms;
	char	   *warehouse;
} Trial;

static Ping *current;

static void
release(Ping *ping)
{
	if (--ping->pending > 0)
		return;
	appendStringInfoChar(&ping->rows, ']');
	exact_ask_answer(ping->ask, ping->rows.data, ping->rows.len);
	MemoryContextDelete(ping->context);
}

static void
append_text(StringInfo out, const char *name, const char *value)
{
	appendStringInfo(out, ",\"%s\":", name);
	if (value != NULL)
		exact_delivery_row_quote(out, value, strlen(value));
	else
		appendStringInfoString(out, "null");
}

/* Adds a workspace's row; ms below 0: nothing was asked. */
static void
add_row(Ping *ping, const char *name, bool ok, double ms, const char *finding, const char *next_step)
{
	StringInfo	out = &ping->rows;

	appendStringInfo(out, "%s{\"side\":\"databricks\",\"ok\":%s", out->len > 1 ? "," : "", ok ? "true" : "false");
	append_text(out, "name", name);
	if (ms >= 0)
		appendStringInfo(out, ",\"latency_ms\":%.1f", ms);
	else
		appendStringInfoString(out, ",\"latency_ms\":null");
	append_text(out, "finding", finding);
	append_text(out, "next_step", next_step);
	appendStringInfoChar(out, '}');
}

static void
add_fault(Trial *trial, const ExactFault *fault, double ms)
{
	add_row(trial->ping, trial->workspace->name, false, ms, fault->message,
			fault->hint ? fault->hint : "The hub tries again by itself.");
}

static void
take_statement(const ExactCallAnswer *answer, void *arg)
{
	Trial	   *trial = arg;
	double		ms = trial->ms + answer->ms;

	if (answer->outcome != EXACT_CALL_OK)
		add_fault(trial, answer->fault, ms);
	else if (answer->state == EXACT_STATEMENT_SUCCEEDED)
		add_row(trial->ping, trial->workspace->name, true, ms,
				psprintf("%s is running, a statement took %.0f ms", trial->warehouse, answer->ms), NULL);
	else if (answer->state == EXACT_STATEMENT_PENDING)
		add_row(trial->ping, trial->workspace->name, true, ms, psprintf("%s is running, a statement still waits after 30 s", trial->warehouse),
				"Look at the queue of the warehouse.");
	else
		add_row(trial->ping, trial->workspace->name, false, ms,
				psprintf("%s did not run a statement: %s", trial->warehouse, exact_databricks_tidy(answer->error_text)),
				"Grant the service principal CAN USE on the warehouse.");
	release(trial->ping);
}

static void
take_warehouse(const ExactCallAnswer *answer, void *arg)
{
	Trial	   *trial = arg;

	if (answer->outcome != EXACT_CALL_OK)
	{
		add_fault(trial, answer->fault, answer->ms);
		release(trial->ping);
		return;
	}
	trial->ms = answer->ms;
	trial->warehouse = MemoryContextStrdup(trial->ping->context, psprintf("warehouse %s", answer->warehouse_name ?
																		  exact_databricks_tidy(answer->warehouse_name) : trial->workspace->warehouse));
	if (strcmp(answer->warehouse_state, "RUNNING") == 0)
	{
		exact_databricks_execute(trial->workspace, "SELECT 1", NULL, take_statement, trial);
		return;
	}
	if (strncmp(answer->warehouse_state, "DELET", 5) == 0)
		add_row(trial->ping, trial->workspace->name, false, answer->ms, psprintf("%s is deleted", trial->warehouse),
				"Set warehouse_id in exact.workspace to one that exists.");
	else
		add_row(trial->ping, trial->workspace->name, true, answer->ms,
				psprintf("%s is %s; the first delivery starts it", trial->warehouse, exact_databricks_tidy(answer->warehouse_state)), NULL);
	release(trial->ping);
}

void
exact_ping_begin(ExactAsk *ask)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "exact ping", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);

	current = palloc0(sizeof(Ping));
	current->context = context;
	current->ask = ask;
	current->pending = 1;
	initStringInfo(&current->rows);
	appendStringInfoChar(&current->rows, '[');
	MemoryContextSwitchTo(old);
}

void
exact_ping_workspace(const ExactWorkspace *workspace, bool enabled, const ExactFault *fault)
{
	MemoryContext old = MemoryContextSwitchTo(current->context);
	Trial	   *trial = palloc0(sizeof(Trial));

	trial->ping = current;
	trial->workspace = exact_databricks_copy(workspace);
	MemoryContextSwitchTo(old);
	if (!enabled)
		add_row(current, workspace->name, true, -1, "not enabled: nothing is delivered there", NULL);
	else if (fault != NULL)
		add_fault(trial, fault, -1);
	else
	{
		current->pending++;
		exact_databricks_warehouse(trial->workspace, take_warehouse, trial);
	}
}

void
exact_ping_end(void)
{
	release(current);
}
