/*
 * ping_databricks.c - the loader's answer to exact.ping(): token, warehouse, and when the warehouse
 * runs anyway a statement, which tells whether ANSI mode is on.
 *
 * A stopped warehouse is not started for it. Called by loader.c.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "base/fault.h"
#include "base/words.h"
#include "databricks/databricks.h"
#include "databricks/databricks_answer.h"
#include "deliver/casts.h"
#include "inquiry/ping_databricks.h"
#include "worker/ask.h"
#include "worker/ping.h"
#include "worker/service.h"

typedef struct Ping
{
	ExactPing  *answer;
	int			pending;		/* workspaces being tried, and one until all are named */
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
	exact_ping_close(ping->answer);
}

static void
add_row(const Trial *trial, bool ok, double ms, const char *finding, const char *next_step)
{
	exact_ping_add(trial->ping->answer, "databricks", trial->workspace->name, ok, ms, finding,
				   next_step);
}

static void
add_fault(Trial *trial, const ExactFault *fault, double ms)
{
	add_row(trial, false, ms, exact_ping_finding(fault),
			fault->hint ? fault->hint : "The hub tries again by itself.");
}

/* A text of the service, fit for people */
static const char *
tidy(const char *text)
{
	const char *words = exact_words_tidy(text, EXACT_DATABRICKS_WORDS_MAX);

	return words ? words : "";
}

/* The statement is one that must fail: what a CAST does is asked besides. */
static void
take_statement(const ExactCallAnswer *answer, void *arg)
{
	Trial	   *trial = arg;
	double		ms = trial->ms + answer->ms;

	if (answer->outcome != EXACT_CALL_OK)
		add_fault(trial, answer->fault, ms);
	else if (answer->state == EXACT_STATEMENT_SUCCEEDED || answer->state == EXACT_STATEMENT_CLOSED)
		add_fault(trial, exact_casts_fault(), ms);
	else if (answer->state == EXACT_STATEMENT_FAILED &&
			 strcmp(answer->sqlstate, EXACT_CASTS_SQLSTATE) == 0)
	{
		exact_service_mended(trial->workspace->name);
		add_row(trial, true, ms,
				psprintf("%s is running, a statement took %.0f ms", trial->warehouse, answer->ms),
				NULL);
	}
	else if (answer->state == EXACT_STATEMENT_PENDING)
		add_row(trial, true, ms,
				psprintf("%s is running, a statement still waits after 30 s", trial->warehouse),
				"Look at the queue of the warehouse.");
	else
		add_row(trial, false, ms,
				psprintf("%s did not run a statement: %s", trial->warehouse,
						 tidy(answer->error_text)),
				"Grant the service principal CAN USE on the warehouse.");
	release(trial->ping);
}

/* Only one that runs is given a statement: others would be started, and cost money. */
static void
take_warehouse(const ExactCallAnswer *answer, void *arg)
{
	Trial	   *trial = arg;
	const char *name;

	if (answer->outcome != EXACT_CALL_OK)
	{
		add_fault(trial, answer->fault, answer->ms);
		release(trial->ping);
		return;
	}
	trial->ms = answer->ms;
	name = answer->warehouse_name ? tidy(answer->warehouse_name) : trial->workspace->warehouse;
	trial->warehouse = MemoryContextStrdup(trial->ping->answer->context,
										   psprintf("warehouse %s", name));
	if (strcmp(answer->warehouse_state, "RUNNING") == 0)
	{
		exact_databricks_execute(trial->workspace, EXACT_CASTS_SQL, NULL, false, take_statement,
								 trial);
		return;
	}
	if (strncmp(answer->warehouse_state, "DELET", 5) == 0)
		add_row(trial, false, answer->ms, psprintf("%s is deleted", trial->warehouse),
				"Set warehouse_id in exact.workspace to one that exists.");
	else
		add_row(trial, true, answer->ms,
				psprintf("%s is %s; the first delivery starts it", trial->warehouse,
						 tidy(answer->warehouse_state)),
				NULL);
	release(trial->ping);
}

void
exact_ping_begin(ExactAsk *ask)
{
	ExactPing  *answer = exact_ping_open(ask);

	current = MemoryContextAlloc(answer->context, sizeof(Ping));
	current->answer = answer;
	current->pending = 1;
}

void
exact_ping_workspace(const ExactWorkspace *workspace, bool enabled, const ExactFault *fault)
{
	MemoryContext old = MemoryContextSwitchTo(current->answer->context);
	Trial	   *trial = palloc0(sizeof(Trial));

	trial->ping = current;
	trial->workspace = exact_databricks_copy(workspace);
	MemoryContextSwitchTo(old);
	if (!enabled)
		add_row(trial, true, -1, "not enabled: nothing is delivered there", NULL);
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

static void
on_again(const ExactCallAnswer *answer pg_attribute_unused(), void *arg pg_attribute_unused())
{
	/* databricks.c has told the service */
}

void
exact_ping_again(const ExactWorkspace *workspace)
{
	exact_databricks_warehouse(workspace, on_again, NULL);
}
