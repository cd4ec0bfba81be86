/*
 * casts.c - does a CAST of a bad value fail in a workspace?
 *
 * Asked once a process and place, before the first delivery. Called by queue.c and, for a doubt, by
 * delta_table.c.
 */
#include "postgres.h"

#include "lib/ilist.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/backoff.h"
#include "base/clock.h"
#include "base/errors.h"
#include "base/fault.h"
#include "databricks/databricks.h"
#include "databricks/delta_sql.h"
#include "databricks/statement.h"
#include "deliver/casts.h"

#define ENTITY "exact_casts"	/* in the statement log */
#define RETRY_FIRST_MS 60000
#define RETRY_MAX_MS 900000

typedef struct Casts
{
	dlist_node	node;
	char	   *workspace;		/* name */
	char	   *place;			/* origin and warehouse that were asked */
	bool		fail;
	bool		busy;
	ExactFault *fault;			/* in fault_context */
	MemoryContext fault_context;
	int			attempts;
	TimestampTz next_attempt;
} Casts;

static dlist_head all = DLIST_STATIC_INIT(all);

static Casts *
get_casts(const char *workspace)
{
	dlist_iter	iter;
	Casts	   *c;

	dlist_foreach(iter, &all)
	{
		c = dlist_container(Casts, node, iter.cur);
		if (strcmp(c->workspace, workspace) == 0)
			return c;
	}
	c = MemoryContextAllocZero(TopMemoryContext, sizeof(Casts));
	c->workspace = MemoryContextStrdup(TopMemoryContext, workspace);
	dlist_push_tail(&all, &c->node);
	return c;
}

ExactFault *
exact_casts_fault(void)
{
	return exact_fault_make(ERRCODE_EXACT_DATABRICKS_REFUSED,
							pstrdup("ANSI mode is off in the SQL warehouse: a value that does not"
									" fit would become null without an error"),
							NULL, pstrdup(EXACT_DELTA_SQL_ANSI_HINT));
}

static void
forget_fault(Casts *c)
{
	if (c->fault_context != NULL)
		MemoryContextDelete(c->fault_context);
	c->fault_context = NULL;
	c->fault = NULL;
}

static void
keep_fault(Casts *c, const ExactFault *fault)
{
	int64		ms = exact_backoff_ms(++c->attempts, RETRY_FIRST_MS, RETRY_MAX_MS);
	MemoryContext old;

	c->fault_context = AllocSetContextCreate(TopMemoryContext, "exact casts fault",
											 ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(c->fault_context);
	c->fault = exact_fault_copy(fault);
	MemoryContextSwitchTo(old);
	c->next_attempt = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);
}

/* An answer about a place that is no longer the workspace's says nothing. */
static void
take_result(const ExactStatementResult *result, void *arg)
{
	Casts	   *c = arg;

	c->busy = false;
	if (c->place == NULL)
		return;
	forget_fault(c);
	c->fail = result->verdict == EXACT_VERDICT_REFUSED &&
		strcmp(result->sqlstate, EXACT_CASTS_SQLSTATE) == 0;
	if (c->fail)
		c->attempts = 0;
	else
		keep_fault(c, result->verdict == EXACT_VERDICT_REFUSED ? result->fault :
				   exact_casts_fault());
}

static void
ask(Casts *c, const ExactWorkspace *workspace, const ExactHub *hub)
{
	c->busy = true;
	exact_statement_start(&(ExactStatementRequest) {
		.workspace = workspace,
		.hub = hub,
		.entity = ENTITY,
		.table = workspace->warehouse,
		.kind = "check",
		.verb = "question for ANSI mode to warehouse",
		.sql = EXACT_CASTS_SQL,
		.expected = EXACT_CASTS_SQLSTATE,
		.done = take_result,
		.arg = c
	});
}

static void
see_place(Casts *c, const ExactWorkspace *workspace)
{
	char	   *place = psprintf("%s %s", workspace->origin, workspace->warehouse);

	if (c->place != NULL && strcmp(c->place, place) == 0)
		return;
	exact_casts_doubt(c->workspace);
	if (!c->busy)
		c->place = MemoryContextStrdup(TopMemoryContext, place);
}

void
exact_casts_doubt(const char *workspace)
{
	Casts	   *c = get_casts(workspace);

	if (c->place != NULL)
		pfree(c->place);
	c->place = NULL;
	c->fail = false;
	c->next_attempt = 0;
	forget_fault(c);
}

void
exact_casts_retry(const char *workspace)
{
	get_casts(workspace)->next_attempt = 0;
}

/* Without a token the answer comes before ask() returns. */
ExactCastsState
exact_casts_advance(const ExactWorkspace *workspace, const ExactHub *hub, const ExactFault **fault,
					long *wait)
{
	Casts	   *c = get_casts(workspace->name);

	*fault = NULL;
	*wait = -1;
	see_place(c, workspace);
	if (c->fail)
		return EXACT_CASTS_FAIL;
	if (!c->busy && c->next_attempt <= GetCurrentTimestamp())
		ask(c, workspace, hub);
	if (c->busy || c->fail)
		return c->fail ? EXACT_CASTS_FAIL : EXACT_CASTS_ASKED;
	*fault = c->fault;
	*wait = exact_clock_wait_ms(c->next_attempt);
	return EXACT_CASTS_FAULT;
}
