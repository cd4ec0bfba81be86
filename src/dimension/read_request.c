/*
 * read_request.c - when the dimensions of a workspace are read besides: on request, and by time.
 *
 * Before a delivery deliver/delta_table.c has them read by itself. A stopped warehouse is started
 * by a request, by the time it never is. Called by loader.c.
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/guc.h"
#include "base/sql.h"
#include "databricks/databricks.h"
#include "deliver/delta_table.h"
#include "deliver/fence.h"
#include "deliver/workspace.h"
#include "dimension/read_request.h"
#include "state/request.h"
#include "worker/self.h"
#include "worker/unit.h"

#define LOOK_AGAIN_MS 300000	/* at a warehouse that did not run, at most so long */

static const char *const entities[] = {"costcenter", "costunit", "glaccount"};

/* A request that runs; one at a time */
typedef struct Running
{
	MemoryContext context;
	int64		request;
	char	   *workspace;		/* NULL: all */
	bool		cancelled;
} Running;

static Running *current;
static bool more = true;		/* there may be another */
static TimestampTz started_at;	/* the first turn of this process */

/* A workspace whose warehouse is asked for */
typedef struct Look
{
	char	   *workspace;
} Look;

static bool looking;			/* one at a time */
static TimestampTz look_again;	/* 0: at once */

static bool
is_dimension(const ExactDeltaTable *table)
{
	for (int i = 0; i < (int) lengthof(entities); i++)
		if (strcmp(table->entity, entities[i]) == 0)
			return true;
	return false;
}

/* A table that was made, in this workspace or, for NULL, in any one */
static bool
is_meant(const ExactDeltaTable *table, const char *workspace)
{
	return is_dimension(table) && (table->verified_once || table->verified) &&
		(workspace == NULL || strcmp(table->workspace, workspace) == 0);
}

/* ---- the claim on the divisions whose rows are read ---- */

static void
divisions_unit(void *arg)
{
	static const char sql[] =
	"SELECT d.division"
	" FROM exact.division d"
	" WHERE d.workspace = $1 AND EXISTS (SELECT"
	"  FROM exact.record r"
	"  WHERE r.division = d.division AND r.entity = ANY ($2))";
	const char *workspace = arg;
	ExactArg	args[2];
	uint64		n;

	args[0] = exact_arg_text(workspace);
	args[1] = exact_arg_text_array(entities, NULL, lengthof(entities));
	n = exact_sql(sql, 2, args);
	for (uint64 i = 0; i < n; i++)
		exact_fence_want(workspace, (int) exact_cell_int8(i, 1, 0));
}

static void
want_table(ExactDeltaTable *table)
{
	table->read_wanted = true;
	(void) exact_unit_run("read divisions of a workspace", divisions_unit, table->workspace, NULL);
}

/* ---- on request ---- */

static void
take_unit(void *arg)
{
	Running    *r = arg;
	ExactRequest request;
	MemoryContext old = MemoryContextSwitchTo(r->context);
	bool		taken = exact_request_take_next(EXACT_REQUEST_READ_DIMENSIONS, &request);

	MemoryContextSwitchTo(old);
	r->request = taken ? request.id : 0;
	if (!taken)
		return;
	r->workspace = request.workspace;
	r->cancelled = request.cancel_wanted;
}

typedef struct Ending
{
	const char *state;
	const char *result;
} Ending;

static void
end_unit(void *arg)
{
	Ending	   *ending = arg;

	exact_request_finish(current->request, ending->state, ending->result, true);
}

/* A request whose end could not be written is begun again in a later turn. */
static void
end_request(const char *state, const char *result)
{
	Ending		ending = {state, result};

	(void) exact_unit_run("end of a request", end_unit, &ending, NULL);
	exact_log(LOG, "dimensions workspace=%s request=" INT64_FORMAT ": %s",
			  current->workspace ? current->workspace : "all", current->request, state);
	MemoryContextDelete(current->context);
	current = NULL;
	more = true;
}

static void
cancel_unit(void *arg)
{
	(void) arg;
	current->cancelled = exact_request_cancel_wanted(current->request);
}

/* Why a table cannot be read now, and will not be by itself; NULL: it can */
static const char *
find_obstacle(const ExactDeltaTable *table)
{
	const char *why;

	if (exact_workspace_usable(table->workspace, &why) == NULL)
		return psprintf("workspace %s %s", table->workspace, why);
	if (table->paused && table->next_attempt == 0)
		return psprintf("deliveries are stopped: look at exact.target_state, then SELECT"
						" exact.resume(division, '%s')", table->entity);
	return NULL;
}

static void
begin_request(void)
{
	dlist_iter	iter;

	dlist_foreach(iter, &exact_delta_tables)
	{
		ExactDeltaTable *table = dlist_container(ExactDeltaTable, node, iter.cur);

		if (!is_meant(table, current->workspace) || find_obstacle(table) != NULL)
			continue;
		if (table->paused && !table->busy)
			exact_delta_table_reset(table);
		want_table(table);
	}
}

/* All that were wanted are read, or it is known why not. */
static void
look_at_request(void)
{
	StringInfoData faults;
	dlist_iter	iter;
	int			tables = 0;
	int			read = 0;

	initStringInfo(&faults);
	dlist_foreach(iter, &exact_delta_tables)
	{
		ExactDeltaTable *table = dlist_container(ExactDeltaTable, node, iter.cur);
		const char *fault;

		if (!is_meant(table, current->workspace))
			continue;
		fault = find_obstacle(table);
		if (table->read_wanted && fault == NULL)
			return;
		if (fault == NULL)
			fault = table->read_fault;
		tables++;
		if (fault != NULL)
			appendStringInfo(&faults, "; %s: %s", table->entity, fault);
		else
			read++;
	}
	if (tables == 0)
		end_request("failed", psprintf("no dimension was delivered to %s yet",
									   current->workspace ? current->workspace : "a workspace"));
	else
		end_request(faults.len == 0 ? "done" : "failed",
					psprintf("%d of %d tables read%s", read, tables, faults.data));
	pfree(faults.data);
}

/* The request lives in a context of its own, which ends with it. */
static void
turn_requests(bool looked)
{
	MemoryContext context;

	more |= looked;
	if (current != NULL)
	{
		if (looked && exact_unit_run("read request", cancel_unit, NULL, NULL) &&
			current->cancelled)
			end_request("cancelled", "cancelled while the tables are read");
		else
			look_at_request();
	}
	while (current == NULL && more)
	{
		context = AllocSetContextCreate(TopMemoryContext, "exact read request",
										ALLOCSET_SMALL_SIZES);
		current = MemoryContextAllocZero(context, sizeof(Running));
		current->context = context;
		if (!exact_unit_run("take request", take_unit, current, NULL) || current->request == 0)
		{
			more = false;
			current = NULL;
			MemoryContextDelete(context);
		}
		else if (current->cancelled)
			end_request("cancelled", "cancelled before it started");
		else
		{
			begin_request();
			look_at_request();
		}
	}
}

/* ---- by time ---- */

/* ms until the table is read by its time; 0: it is due */
static long
time_left(const ExactDeltaTable *table)
{
	TimestampTz last = table->read_at != 0 ? table->read_at : started_at;

	if (last > GetCurrentTimestamp())
		return 0;				/* the clock was set back */
	return exact_clock_wait_ms(TimestampTzPlusMilliseconds(last, exact_dimension_interval_ms));
}

static bool
is_due(const ExactDeltaTable *table, const char *workspace)
{
	return is_meant(table, workspace) && !table->read_wanted && !table->paused &&
		time_left(table) == 0;
}

/* Only one that runs is asked for rows: others would be started, and cost money. */
static void
take_warehouse(const ExactCallAnswer *answer, void *arg)
{
	Look	   *look = arg;
	bool		runs = answer->outcome == EXACT_CALL_OK &&
		strcmp(answer->warehouse_state, "RUNNING") == 0;
	dlist_iter	iter;

	looking = false;
	look_again = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
											 Min(exact_dimension_interval_ms / 12 + 1000,
												 LOOK_AGAIN_MS));
	dlist_foreach(iter, &exact_delta_tables)
	{
		ExactDeltaTable *table = dlist_container(ExactDeltaTable, node, iter.cur);

		if (runs && is_due(table, look->workspace))
			want_table(table);
	}
	if (runs)
		look_again = 0;
	pfree(look->workspace);
	pfree(look);
}

/* The first workspace that has a table whose time has come */
static long
turn_time(void)
{
	long		wait = -1;
	dlist_iter	iter;

	if (started_at == 0)
		started_at = GetCurrentTimestamp();
	if (looking)
		return -1;
	dlist_foreach(iter, &exact_delta_tables)
	{
		ExactDeltaTable *table = dlist_container(ExactDeltaTable, node, iter.cur);
		const char *why;
		const ExactWorkspace *workspace;
		Look	   *look;

		if (!is_meant(table, NULL))
			continue;
		if (!is_due(table, NULL))
		{
			wait = exact_clock_sooner(wait, Max(time_left(table), 1000));
			continue;
		}
		workspace = exact_workspace_usable(table->workspace, &why);
		if (workspace == NULL)
			continue;
		if (look_again != 0 && exact_clock_wait_ms(look_again) > 0)
		{
			wait = exact_clock_sooner(wait, exact_clock_wait_ms(look_again));
			continue;
		}
		look = MemoryContextAlloc(TopMemoryContext, sizeof(Look));
		look->workspace = MemoryContextStrdup(TopMemoryContext, table->workspace);
		looking = true;
		exact_databricks_warehouse(workspace, take_warehouse, look);
		return wait;
	}
	return wait;
}

long
exact_read_request_turn(bool looked)
{
	turn_requests(looked);
	return turn_time();
}
