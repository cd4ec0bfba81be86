/*
 * warehouse.c - the SQL warehouse of a workspace: wakes it for what is worth it, and stops it again
 * when this hub alone has used it.
 *
 * What is known of it comes from the service (a GET that wakes nothing) and from our own
 * statements. Called by statement.c for each statement, by queue.c and loader.c before one is
 * made, and by loader.c in its turn.
 */
#include "postgres.h"

#include "lib/ilist.h"
#include "lib/stringinfo.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/fault.h"
#include "databricks/warehouse.h"
#include "databricks/warehouse_run.h"
#include "worker/self.h"
#include "worker/service.h"
#include "worker/unit.h"

#define STOP_AFTER_MS 5000		/* without a statement of ours: the first look */
#define LOOKS_APART_MS 5000		/* the query history may list a statement late */
#define LOOKS 2
#define CLOCKS_APART_MS 120000
#define LAST_CALL_MS 2000
#define AWAKE_MS 5000			/* after a statement of ours it still runs */
#define SEEN_MS 10000			/* so long is believed what the service said of one that runs, */
#define ASLEEP_MS 60000			/* and of one that sleeps: somebody else may wake it */
#define ON_ITS_WAY_MS 30000		/* from the decision to wake it to our first statement */
#define ASK_AGAIN_MS 30000		/* after a question that came to nothing */
#define AUTO_STOP_MIN 10			/* while it is not known: what a serverless one is made with */
#define AUTO_STOP_MARGIN_MS 30000

typedef enum WarehouseState
{
	WAREHOUSE_UNKNOWN,
	WAREHOUSE_RUNS,				/* or starts */
	WAREHOUSE_SLEEPS			/* or stops, or is gone */
} WarehouseState;

typedef struct Warehouse
{
	dlist_node	node;
	char	   *origin;
	char	   *id;
	int			under_way;		/* statements */
	bool		asking;			/* a call about it is under way */
	bool		stopping;		/* that call stops it */
	WarehouseState state;
	TimestampTz seen_at;		/* state was told, or not; 0: not by this process */
	TimestampTz asleep_at;		/* seen to sleep last; 0: not by this process */
	int			auto_stop_min;	/* -1: not known; 0: never */
	TimestampTz used_at;		/* a statement began or ended */
	TimestampTz decided_at;		/* to wake it; 0: not since it sleeps */
	TimestampTz woken_at;		/* the same, kept; 0: never */
	TimestampTz wakes_at;		/* as it is recorded; 0: nothing is planned */
	TimestampTz run_since;		/* our use of it, in exact.warehouse_run; 0: over */
	int64		run;			/* its row; 0: not yet */
	bool		ours;			/* this hub has woken it, and nobody else was seen to use it */
	bool		called;			/* last call was made in this run */
	int			looks;			/* for statements of others, in a row, that found none */
	TimestampTz looked_at;
} Warehouse;

/* A question to the service */
typedef struct Question
{
	Warehouse  *warehouse;
	MemoryContext context;
	ExactWorkspace *workspace;
	bool		over;			/* it was left to its auto stop: does it sleep? */
	ExactWarehouseRun run;		/* what a unit writes */
} Question;

static dlist_head warehouses = DLIST_STATIC_INIT(warehouses);

static bool
is_within(TimestampTz at, int64 ms)
{
	TimestampTz now = GetCurrentTimestamp();

	return at != 0 && at <= now && !TimestampDifferenceExceeds(at, now, (int) ms);
}

/* ---- what is recorded ---- */

static ExactWarehouseRun
make_run(const Warehouse *w, const ExactWorkspace *workspace)
{
	return (ExactWarehouseRun) {
		.workspace = workspace->name,
		.warehouse = w->id,
		.id = w->run,
		.since = w->run_since,
		.auto_stop_min = -1
	};
}

/* What an earlier process has begun goes on. */
static Warehouse *
get_warehouse(const ExactWorkspace *workspace)
{
	dlist_iter	iter;
	Warehouse  *w;
	ExactWarehouseRun run;

	dlist_foreach(iter, &warehouses)
	{
		w = dlist_container(Warehouse, node, iter.cur);
		if (strcmp(w->id, workspace->warehouse) == 0 && strcmp(w->origin, workspace->origin) == 0)
			return w;
	}
	w = MemoryContextAllocZero(TopMemoryContext, sizeof(Warehouse));
	w->origin = MemoryContextStrdup(TopMemoryContext, workspace->origin);
	w->id = MemoryContextStrdup(TopMemoryContext, workspace->warehouse);
	w->auto_stop_min = -1;
	dlist_push_tail(&warehouses, &w->node);
	run = make_run(w, workspace);
	if (exact_unit_run("read warehouse", exact_warehouse_run_open, &run, NULL))
	{
		w->run = run.id;
		w->run_since = run.since;
		w->ours = run.woken;
		w->auto_stop_min = run.auto_stop_min;
		w->woken_at = run.last_woken;
		w->used_at = run.used_at;
	}
	return w;
}

/* When its auto stop ends it, by what the service says; 0: never */
static TimestampTz
stops_at(const Warehouse *w)
{
	int			minutes = w->auto_stop_min >= 0 ? w->auto_stop_min : AUTO_STOP_MIN;

	return minutes == 0 ? 0 : TimestampTzPlusMilliseconds(w->used_at, minutes * INT64CONST(60000));
}

/* At the latest when its auto stop has ended it */
static void
end_run(Warehouse *w, const ExactWorkspace *workspace, const char *ended_by, TimestampTz at)
{
	ExactWarehouseRun run = make_run(w, workspace);

	run.ended_at = stops_at(w) != 0 ? Min(at, stops_at(w)) : at;
	run.ended_by = ended_by;
	if (w->run != 0)
		(void) exact_unit_run("record warehouse", exact_warehouse_run_end, &run, NULL);
	w->run = 0;
	w->run_since = 0;
	w->ours = false;
	w->looks = 0;
	w->called = false;
	w->decided_at = 0;
}

static void
begin_run(Warehouse *w, const ExactWorkspace *workspace, bool woken)
{
	ExactWarehouseRun run = make_run(w, workspace);

	run.woken = woken;
	run.state = "runs";
	w->state = WAREHOUSE_RUNS;
	w->seen_at = GetCurrentTimestamp();
	w->ours = woken;
	w->wakes_at = 0;
	if (exact_unit_run("record warehouse", exact_warehouse_run_begin, &run, NULL))
		w->run = run.id;
	(void) exact_unit_run("record warehouse", exact_warehouse_run_state, &run, NULL);
	if (w->ours)
		exact_log(LOG, "warehouse=%s was woken for workspace=%s", w->id, workspace->name);
}

/* ---- questions ---- */

static Question *
make_question(Warehouse *w, const ExactWorkspace *workspace)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "exact warehouse question",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Question   *q = palloc0(sizeof(Question));

	q->context = context;
	q->warehouse = w;
	q->workspace = exact_databricks_copy(workspace);
	MemoryContextSwitchTo(old);
	w->asking = true;
	return q;
}

static void
end_question(Question *q)
{
	MemoryContextDelete(q->context);
}

static void
take_state(const ExactCallAnswer *answer, void *arg)
{
	Question   *q = arg;
	Warehouse  *w = q->warehouse;
	const char *state = answer->outcome == EXACT_CALL_OK ? answer->warehouse_state : NULL;
	bool		starts = state != NULL && strcmp(state, "STARTING") == 0;
	bool		runs = starts || (state != NULL && strcmp(state, "RUNNING") == 0);

	w->asking = false;
	w->seen_at = GetCurrentTimestamp();
	w->state = state == NULL ? WAREHOUSE_UNKNOWN : runs ? WAREHOUSE_RUNS : WAREHOUSE_SLEEPS;
	if (w->state == WAREHOUSE_SLEEPS)
		w->asleep_at = w->seen_at;
	if (state != NULL)
	{
		w->auto_stop_min = answer->auto_stop_min;
		q->run = make_run(w, q->workspace);
		q->run.state = runs ? "runs" : "sleeps";
		q->run.auto_stop_min = answer->auto_stop_min;
		q->run.size = answer->warehouse_size;
		(void) exact_unit_run("record warehouse", exact_warehouse_run_state, &q->run, NULL);
	}
	if (q->over)
	{
		if (w->under_way == 0 && w->run_since != 0)
			end_run(w, q->workspace, w->state == WAREHOUSE_RUNS ? "others" :
					w->state == WAREHOUSE_SLEEPS ? "auto stop" : "unknown", w->seen_at);
	}
	else if (state != NULL && w->run_since != 0 && w->run == 0)
		begin_run(w, q->workspace, !runs || starts);
	end_question(q);
}

static void
ask_state(Warehouse *w, const ExactWorkspace *workspace, bool over)
{
	Question   *q = make_question(w, workspace);

	q->over = over;
	exact_databricks_warehouse(q->workspace, take_state, q);
}

/* ---- statements ---- */

void
exact_warehouse_begin(const ExactWorkspace *workspace)
{
	Warehouse  *w = get_warehouse(workspace);

	w->under_way++;
	w->looks = 0;
	if (w->run_since == 0)
	{
		w->run_since = GetCurrentTimestamp();
		if (w->state == WAREHOUSE_SLEEPS && is_within(w->seen_at, ASLEEP_MS + ON_ITS_WAY_MS))
			begin_run(w, workspace, true);
		else if (!w->asking && !exact_service_fails(workspace->name))
			ask_state(w, workspace, false);
	}
	w->used_at = GetCurrentTimestamp();
}

void
exact_warehouse_end(const ExactWorkspace *workspace)
{
	Warehouse  *w = get_warehouse(workspace);

	w->under_way--;
	w->used_at = GetCurrentTimestamp();
}

/* ---- waking ---- */

bool
exact_warehouse_is_spared(const ExactWorkspace *workspace)
{
	return workspace->stop_own || workspace->wake_after_ms > 0 || workspace->wake_rows > 0 ||
		workspace->quiet_hours;
}

/* When what waits is worth waking it; recorded, as people wait for it */
static TimestampTz
plan_wake(Warehouse *w, const ExactWorkspace *workspace, const ExactWaiting *waiting)
{
	TimestampTz now = GetCurrentTimestamp();
	ExactWarehouseRun run = make_run(w, workspace);

	run.wakes_at = TimestampTzPlusMilliseconds(Min(waiting->since, now), workspace->wake_after_ms);
	if (waiting->since > now)	/* a paused table: not earlier */
		run.wakes_at = waiting->since;
	if (workspace->wake_rows > 0 && waiting->rows >= workspace->wake_rows)
		run.wakes_at = now;
	if (waiting->urgent)
		return now;
	run.planned = w->wakes_at;
	run.quiet = workspace->quiet_hours;
	/* what cannot be read is no reason to let anything wait */
	if (!exact_unit_run("plan warehouse", exact_warehouse_run_plan, &run, NULL))
		return now;
	w->wakes_at = run.wakes_at;
	return run.wakes_at;
}

bool
exact_warehouse_may_use(const ExactWorkspace *workspace, const ExactWaiting *waiting, long *wait)
{
	Warehouse  *w;
	TimestampTz at;

	if (!exact_warehouse_is_spared(workspace))
		return true;
	w = get_warehouse(workspace);
	*wait = ASLEEP_MS;
	if (w->stopping)
		return false;			/* the answer brings the next turn */
	if (w->under_way > 0 || (w->run_since != 0 && is_within(w->used_at, AWAKE_MS)) ||
		is_within(w->decided_at, ON_ITS_WAY_MS))
		return true;
	if (w->asking)
		return false;			/* so does this one */
	if (!is_within(w->seen_at, w->state == WAREHOUSE_RUNS ? SEEN_MS :
				   w->state == WAREHOUSE_SLEEPS ? ASLEEP_MS : ASK_AGAIN_MS))
	{
		ask_state(w, workspace, false);
		return false;
	}
	if (w->state == WAREHOUSE_RUNS)
		return true;
	if (waiting == NULL || waiting->since == 0)
		return false;
	at = plan_wake(w, workspace, waiting);
	if (at > GetCurrentTimestamp())
	{
		*wait = exact_clock_sooner(*wait, exact_clock_wait_ms(at));
		return false;
	}
	w->decided_at = w->woken_at = GetCurrentTimestamp();
	return true;
}

bool
exact_warehouse_runs(const ExactWorkspace *workspace)
{
	Warehouse  *w;

	if (!exact_warehouse_is_spared(workspace))
		return true;
	w = get_warehouse(workspace);
	return w->under_way > 0 || (w->run_since != 0 && is_within(w->used_at, STOP_AFTER_MS)) ||
		(w->state == WAREHOUSE_RUNS && is_within(w->seen_at, SEEN_MS));
}

bool
exact_warehouse_last_call(const ExactWorkspace *workspace)
{
	Warehouse  *w;

	if (!exact_warehouse_is_spared(workspace))
		return false;
	w = get_warehouse(workspace);
	if (w->called || w->run_since == 0 || w->under_way > 0 || !exact_warehouse_runs(workspace) ||
		is_within(w->used_at, LAST_CALL_MS))
		return false;
	w->called = true;
	return true;
}

TimestampTz
exact_warehouse_woken_at(const ExactWorkspace *workspace)
{
	TimestampTz at = exact_warehouse_is_spared(workspace) ? get_warehouse(workspace)->woken_at : 0;

	return exact_clock_is_future(at) ? 0 : at;
}

/* ---- stopping ---- */

static void
take_stopped(const ExactCallAnswer *answer, void *arg)
{
	Question   *q = arg;
	Warehouse  *w = q->warehouse;

	w->asking = w->stopping = false;
	w->looks = 0;
	w->looked_at = GetCurrentTimestamp();
	q->run = make_run(w, q->workspace);
	if (answer->outcome == EXACT_CALL_OK)
	{
		w->state = WAREHOUSE_SLEEPS;
		w->seen_at = w->asleep_at = w->looked_at;
		q->run.state = "sleeps";
		(void) exact_unit_run("record warehouse", exact_warehouse_run_state, &q->run, NULL);
		exact_log(LOG, "warehouse=%s was stopped", w->id);
		if (w->under_way == 0)
			end_run(w, q->workspace, "hub", w->looked_at);
	}
	else if (answer->outcome == EXACT_CALL_REFUSED)
	{
		w->ours = false;		/* its auto stop ends it */
		q->run.refused = answer->fault->message;
		(void) exact_unit_run("record warehouse", exact_warehouse_run_state, &q->run, NULL);
		exact_log(WARNING, "warehouse=%s cannot be stopped: %s", w->id, answer->fault->message);
	}
	end_question(q);
}

/* Somebody else who has used it since we woke it may need it any moment: it is left to them. */
static void
take_others(const ExactCallAnswer *answer, void *arg)
{
	Question   *q = arg;
	Warehouse  *w = q->warehouse;

	w->asking = false;
	w->looked_at = GetCurrentTimestamp();
	if (answer->outcome == EXACT_CALL_OK && answer->running_id == NULL)
		w->looks++;
	else
	{
		w->looks = 0;
		if (answer->outcome == EXACT_CALL_REFUSED)
		{
			q->run = make_run(w, q->workspace);
			q->run.refused = answer->fault->message;
			(void) exact_unit_run("record warehouse", exact_warehouse_run_state, &q->run, NULL);
		}
		if (answer->outcome == EXACT_CALL_OK || answer->outcome == EXACT_CALL_REFUSED)
		{
			w->ours = false;
			exact_log(LOG, "warehouse=%s is left to its auto stop: %s", w->id,
					  answer->outcome == EXACT_CALL_OK ? "others have used it too" :
					  answer->fault->message);
		}
	}
	end_question(q);
}

/*
 * Somebody may have woken it between our last look and our first statement; their clock may differ
 * from ours.
 */
static TimestampTz
others_since(const Warehouse *w)
{
	bool		slept = w->asleep_at != 0 && w->asleep_at < w->run_since;

	return TimestampTzPlusMilliseconds(slept ? w->asleep_at : w->run_since, -CLOCKS_APART_MS);
}

static long
stop_own(Warehouse *w, const ExactWorkspace *workspace, const ExactHub *hub)
{
	TimestampTz next = TimestampTzPlusMilliseconds(w->used_at, STOP_AFTER_MS);
	StringInfoData mark;
	Question   *q;

	if (w->looked_at > w->used_at && w->looks < LOOKS)
		next = Max(next, TimestampTzPlusMilliseconds(w->looked_at, w->looks > 0 ?
													 LOOKS_APART_MS : ASK_AGAIN_MS));
	if (next > GetCurrentTimestamp())
		return exact_clock_wait_ms(next);
	q = make_question(w, workspace);
	w->stopping = w->looks >= LOOKS;
	if (w->stopping)
		exact_databricks_stop(q->workspace, take_stopped, q);
	else
	{
		initStringInfo(&mark);
		exact_delta_sql_any_marks(&mark, hub);
		exact_databricks_others(q->workspace, mark.data, others_since(w), take_others, q);
		pfree(mark.data);
	}
	return -1;
}

/* A statement that waits for a service which is away does not use a warehouse. */
static long
begin_late(Warehouse *w, const ExactWorkspace *workspace)
{
	TimestampTz next = TimestampTzPlusMilliseconds(w->seen_at, ASK_AGAIN_MS);

	if (w->under_way == 0)
		w->run_since = 0;
	else if (next > GetCurrentTimestamp())
		return exact_clock_wait_ms(next);
	else if (exact_service_fails(workspace->name))
		return ASK_AGAIN_MS;
	else
	{
		w->run_since = GetCurrentTimestamp();
		ask_state(w, workspace, false);
	}
	return -1;
}

long
exact_warehouse_turn(const ExactWorkspace *workspace, const ExactHub *hub)
{
	Warehouse  *w = get_warehouse(workspace);
	TimestampTz over = stops_at(w);

	if (w->run_since == 0 || w->asking)
		return -1;
	if (w->run == 0)			/* the service did not say how it was */
		return begin_late(w, workspace);
	if (w->under_way > 0)
		return -1;
	if (!w->called && exact_warehouse_is_spared(workspace) && exact_warehouse_runs(workspace))
		return LAST_CALL_MS;
	if (workspace->stop_own && w->ours)
		return stop_own(w, workspace, hub);
	if (over == 0)
		return -1;
	over = TimestampTzPlusMilliseconds(over, AUTO_STOP_MARGIN_MS);
	if (over > GetCurrentTimestamp())
		return exact_clock_wait_ms(over);
	ask_state(w, workspace, true);
	return -1;
}
