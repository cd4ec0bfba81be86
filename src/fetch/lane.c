/*
 * lane.c - divisions and their feeds in memory: where each stands, when it is due.
 *
 * A lane is a division: one request of it is on the way at a time. A run is one feed of it. Both
 * live as long as the process, so an idle fetcher runs no SQL.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "base/clock.h"
#include "base/guc.h"
#include "exact_online/budget.h"
#include "exact_online/feed.h"
#include "fetch/lane.h"
#include "state/dirty_key.h"

#define LOOK_AGAIN_MS 1000
#define NOTIFIED_LATELY (10 * USECS_PER_MINUTE)
#define MOST_PAUSES 5			/* notifications delay a run by no more than so many pauses */
#define OWN_NOTICE (8 * USECS_PER_SEC)	/* a write is notified within it */
#define OWN_NOTICE_MOST USECS_PER_MINUTE	/* writes delay a run by no more than that */
#define FAILING_ERRORS 3		/* a feed with so many in a row keeps no other waiting */

static ExactLane **lanes;
static int	nlanes;
static int	capacity;
static int	held;
static bool plan_due = true;
static TimestampTz plan_read_at;
static TimestampTz plan_not_before;

/* ---- lanes and runs ---- */

void
exact_lane_set_text(char **field, const char *value)
{
	free(*field);
	*field = value ? strdup(value) : NULL;
}

int
exact_lane_all(ExactLane ***out)
{
	*out = lanes;
	return nlanes;
}

ExactLane *
exact_lane_find(int division)
{
	for (int i = 0; i < nlanes; i++)
		if (lanes[i]->division == division)
			return lanes[i];
	return NULL;
}

ExactLane *
exact_lane_make(int division)
{
	ExactLane  *lane = exact_lane_find(division);

	if (lane != NULL)
		return lane;
	if (nlanes == capacity)
	{
		capacity = capacity ? capacity * 2 : 16;
		lanes = lanes ? repalloc(lanes, capacity * sizeof(ExactLane *))
			: MemoryContextAlloc(TopMemoryContext, capacity * sizeof(ExactLane *));
	}
	lane = MemoryContextAllocZero(TopMemoryContext, sizeof(ExactLane));
	lane->division = division;
	lanes[nlanes++] = lane;
	return lane;
}

static ExactRun *
find_run(const ExactLane *lane, const char *feed)
{
	for (int i = 0; i < lane->nruns; i++)
		if (strcmp(lane->runs[i]->name, feed) == 0)
			return lane->runs[i];
	return NULL;
}

ExactRun *
exact_lane_run(ExactLane *lane, const char *feed)
{
	ExactRun   *run = find_run(lane, feed);

	if (run != NULL)
		return run;
	if (lane->nruns == lane->capacity)
	{
		lane->capacity = lane->capacity ? lane->capacity * 2 : 8;
		lane->runs = lane->runs ? repalloc(lane->runs, lane->capacity * sizeof(ExactRun *))
			: MemoryContextAlloc(TopMemoryContext, lane->capacity * sizeof(ExactRun *));
	}
	run = MemoryContextAllocZero(TopMemoryContext, sizeof(ExactRun));
	run->lane = lane;
	strlcpy(run->name, feed, sizeof(run->name));
	run->mark = 1;
	lane->runs[lane->nruns++] = run;
	return run;
}

void
exact_lane_hold(ExactLane *lane)
{
	lane->busy = true;
	held++;
}

void
exact_lane_release(ExactLane *lane)
{
	lane->busy = false;
	held--;
	if (lane->reread)
		exact_lane_want_plan();
	lane->reread = false;
}

int
exact_lane_held(void)
{
	return held;
}

void
exact_lane_forgive(ExactLane *lane)
{
	exact_budget_forgive(lane->division);
	lane->not_before = 0;
	for (int r = 0; r < lane->nruns; r++)
		lane->runs[r]->not_before = 0;
	for (int r = 0; r < lane->nrefused; r++)
		lane->refused[r].no_write_before = 0;
}

void
exact_lane_wrote(ExactLane *lane, const char *entity)
{
	for (int i = 0; i < lane->nruns; i++)
	{
		ExactRun   *run = lane->runs[i];

		for (int e = 0; run->def != NULL && e < run->def->nentities; e++)
			if (strcmp(run->def->entities[e].name, entity) == 0)
				run->wrote_at = GetCurrentTimestamp();
	}
}

void
exact_lane_has_read(ExactLane *lane)
{
	if (lane->writes_at != PG_INT64_MAX)
		lane->writes_at = Min(lane->writes_at, GetCurrentTimestamp());
}

static void
hurry_run(ExactRun *run)
{
	if (run != NULL && run->unreached)
		run->not_before = 0;
}

/* What a lane itself waits for, a limit or a token, is asked about before the next call. */
void
exact_lane_hurry(const char *app)
{
	for (int i = 0; i < nlanes; i++)
	{
		ExactLane  *lane = lanes[i];

		if (strcmp(lane->app, app) != 0)
			continue;
		lane->not_before = 0;
		for (int r = 0; r < lane->nruns; r++)
		{
			hurry_run(lane->runs[r]);
			hurry_run(lane->runs[r]->backfill);
		}
		for (int r = 0; r < lane->nrefused; r++)
		{
			if (!lane->refused[r].unreached)
				continue;
			lane->refused[r].not_before = 0;
			if (lane->keys_at != PG_INT64_MAX)
				lane->keys_at = 0;
		}
	}
}

void
exact_lane_notified(int division, const char *feed, TimestampTz first, TimestampTz last)
{
	ExactLane  *lane = exact_lane_find(division);
	ExactRun   *run = lane != NULL ? find_run(lane, feed) : NULL;

	if (run == NULL)
		return;
	if (run->notified_first == 0 || first < run->notified_first)
		run->notified_first = first;
	run->notified_last = Max(run->notified_last, last);
}

/* ---- when a run is due ---- */

/*
 * A first load of documents waits until what makes them be read again is complete: no change then
 * lies between the two.
 */
static bool
waits_for_trigger(const ExactRun *run)
{
	const ExactRun *trigger;

	if (run->def->trigger_feed == NULL)
		return false;
	trigger = find_run(run->lane, run->def->trigger_feed);
	return trigger != NULL && trigger->present && !trigger->paused && trigger->complete_at == 0 &&
		trigger->errors < FAILING_ERRORS;
}

/* Feeds of a division that were notified lately share its calls. */
int64
exact_lane_gap(const ExactLane *lane)
{
	TimestampTz since = GetCurrentTimestamp() - NOTIFIED_LATELY;
	int			n = 0;

	for (int i = 0; i < lane->nruns; i++)
	{
		const ExactRun *run = lane->runs[i];

		if (run->notified_last > since || run->told_at > since || run->keyed_at > since)
			n++;
	}
	return exact_budget_gap(lane->division, Max(n, 1));
}

/*
 * When notifications make a feed due: after a pause in them, at the latest five such pauses after
 * the first; paced by the budget. While the hub itself writes, they are of its own writes, which
 * one reading follows.
 */
static TimestampTz
notified_due_at(const ExactRun *run)
{
	int64		pause = exact_debounce_ms * INT64CONST(1000);
	TimestampTz settled = 0;
	TimestampTz paced = 0;

	if (run->notified_last == 0)
		return PG_INT64_MAX;
	if (!exact_clock_is_future(run->notified_last))
		settled = Min(run->notified_last + pause, run->notified_first + MOST_PAUSES * pause);
	if (run->wrote_at != 0 && !exact_clock_is_future(run->wrote_at))
		settled = Max(settled, Min(run->wrote_at + OWN_NOTICE,
								   run->notified_first + OWN_NOTICE_MOST));
	if (!exact_clock_is_future(run->run_started_at))
		paced = run->run_started_at + exact_lane_gap(run->lane);
	return Max(settled, paced);
}

TimestampTz
exact_lane_due_at(const ExactRun *run)
{
	int64		interval = run->def->interval_us;

	if (run->complete_at == 0 && !run->paging && waits_for_trigger(run))
		return PG_INT64_MAX;
	if (run->paging || run->complete_at == 0 ||
		exact_clock_is_future(run->complete_at - USECS_PER_SEC) ||
		(run->wanted_at != 0 && run->run_started_at < run->wanted_at))
		return 0;
	if (run->reread_from > 0)
		return run->complete_at + USECS_PER_SEC;
	if (exact_sync_interval_ms > 0 && run->def->method != EXACT_FEED_GUARD &&
		!run->def->interval_set)
		interval = exact_sync_interval_ms * INT64CONST(1000);
	if (interval <= 0)
		interval = USECS_PER_HOUR;
	if (run->def->method == EXACT_FEED_GUARD && run->lane->blocking_status != 0)
		interval = Min(interval, USECS_PER_MINUTE);
	if (run->def->method == EXACT_FEED_GUARD && run->run_started_at < run->lane->guard_at)
		interval = Min(interval, Max(run->lane->guard_at - run->complete_at, 0));
	if (run->again_at != 0)
		interval = Min(interval, Max(run->again_at - run->complete_at, 0));
	return Min(run->complete_at + interval, notified_due_at(run));
}

/* ---- entities whose keyed reads fail ---- */

ExactRefusal *
exact_lane_refusal(ExactLane *lane, const char *entity)
{
	for (int i = 0; i < lane->nrefused; i++)
		if (strcmp(lane->refused[i].entity, entity) == 0)
			return &lane->refused[i];
	return NULL;
}

ExactRefusal *
exact_lane_make_refusal(ExactLane *lane, const char *entity)
{
	ExactRefusal *refusal = exact_lane_refusal(lane, entity);
	Size		size = (lane->nrefused + 1) * sizeof(ExactRefusal);

	if (refusal != NULL)
		return refusal;
	lane->refused = lane->refused ? repalloc(lane->refused, size)
		: MemoryContextAlloc(TopMemoryContext, size);
	refusal = &lane->refused[lane->nrefused++];
	memset(refusal, 0, sizeof(*refusal));
	strlcpy(refusal->entity, entity, sizeof(refusal->entity));
	refusal->most = EXACT_FEED_KEYS;
	return refusal;
}

/* ---- keyed reads ---- */

ExactDirtyWait
exact_lane_waiting(const ExactLane *lane, TimestampTz *until)
{
	ExactDirtyWait wait = {0};
	TimestampTz now = GetCurrentTimestamp();
	int64		gap = exact_lane_gap(lane);

	wait.entities = palloc((lane->nrefused + 2 * lane->nruns + 1) * sizeof(char *));
	wait.incredible = palloc((lane->nrefused + 1) * sizeof(char *));
	*until = PG_INT64_MAX;
	for (int i = 0; i < lane->nrefused; i++)
	{
		const ExactRefusal *refusal = &lane->refused[i];

		if (refusal->not_before <= now)
			continue;
		*until = Min(*until, refusal->not_before);
		if (refusal->incredible)
			wait.incredible[wait.nincredible++] = refusal->entity;
		else
			wait.entities[wait.nentities++] = refusal->entity;
	}
	for (int i = 0; i < lane->nruns; i++)
	{
		const ExactRun *run = lane->runs[i];

		if (run->keyed_at + gap <= now)
			continue;
		*until = Min(*until, run->keyed_at + gap);
		for (int e = 0; run->def != NULL && e < Min(run->def->nentities, 2); e++)
			wait.entities[wait.nentities++] = run->def->entities[e].name;
	}
	return wait;
}

TimestampTz
exact_lane_keys_due_at(const ExactLane *lane, bool live)
{
	TimestampTz until;
	ExactDirtyWait wait = exact_lane_waiting(lane, &until);

	return Min(exact_dirty_key_due_at(lane->division, &wait, live), until);
}

/* ---- when the plan is to be read ---- */

void
exact_lane_want_plan(void)
{
	plan_due = true;
	plan_not_before = 0;
}

void
exact_lane_look_at_plan(void)
{
	TimestampTz at = plan_read_at + LOOK_AGAIN_MS * INT64CONST(1000);

	plan_not_before = plan_due ? Min(plan_not_before, at) : at;
	plan_due = true;
}

long
exact_lane_plan_wait(void)
{
	return plan_due ? exact_clock_wait_ms(plan_not_before) : -1;
}

void
exact_lane_plan_begun(void)
{
	plan_due = false;
	plan_read_at = GetCurrentTimestamp();
}

void
exact_lane_plan_again(long ms)
{
	plan_due = true;
	plan_not_before = GetCurrentTimestamp() + ms * INT64CONST(1000);
}
