/*
 * turn.c - what each division sends next.
 *
 * One request of a division is on the way at a time. Keyed reads and runs take turns; among the
 * runs live changes go first, then first loads and backfills, and of each the one that has waited
 * longest is next, so that a long load starves nobody. Nothing is sent while the hub uses all the
 * disk space that it may: what is read would have to be stored.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/clock.h"
#include "exact_online/budget.h"
#include "exact_online/feed.h"
#include "fetch/backfill.h"
#include "fetch/keyed.h"
#include "fetch/lane.h"
#include "fetch/run.h"
#include "fetch/turn.h"
#include "stage/disk.h"

#define MAX_HELD 32				/* divisions with a request on the way */
#define PARKED_US USECS_PER_HOUR	/* a parked division is tried again */
#define LIVES_IN_ROW 8			/* pages of live changes before one of a load that waits */
#define ASIDE_US USECS_PER_SEC	/* whoever lets others go first looks again */

/* A first load: it leaves a part of each budget to live traffic. */
static bool
is_load(const ExactRun *run)
{
	return run->live != NULL || (run->complete_at == 0 && run->def->nentities > 0);
}

/* When this run may send: 0 = now. */
static TimestampTz
run_ready_at(ExactRun *run)
{
	const char *why;
	int			division = run->lane->division;
	TimestampTz at;

	if (!run->present || run->paused || run->def == NULL)
		return PG_INT64_MAX;
	at = Max(exact_lane_due_at(run), run->not_before);
	if (at == PG_INT64_MAX)
		return at;
	if (is_load(run))
		return Max(at, exact_budget_backfill_at(division, run->def->resource, &why));
	return Max(at, exact_budget_allowed_at(division, run->def->resource, &why));
}

/* When the lane as a whole may send: 0 = now. */
static TimestampTz
lane_ready_at(const ExactLane *lane)
{
	TimestampTz now = GetCurrentTimestamp();

	if (!lane->present || lane->busy || lane->base_url == NULL)
		return PG_INT64_MAX;
	if (strcmp(lane->state, "parked") == 0)
	{
		if (lane->state_since + PARKED_US > now)
			return lane->state_since + PARKED_US;
	}
	else if (strcmp(lane->state, "ok") != 0)
		return PG_INT64_MAX;
	return lane->not_before > now ? lane->not_before : 0;
}

/* What is ready of a lane */
typedef struct Choice
{
	ExactRun   *live;
	ExactRun   *load;			/* a first load or a backfill */
	TimestampTz next;			/* when something else will be */
} Choice;

static void
add_run(Choice *choice, ExactRun *run, TimestampTz at)
{
	ExactRun  **best;

	if (at > GetCurrentTimestamp())
	{
		choice->next = Min(choice->next, at);
		return;
	}
	best = is_load(run) ? &choice->load : &choice->live;
	if (*best == NULL || run->sent_at < (*best)->sent_at)
		*best = run;
}

/* The run that is next; NULL when none may send, and *next is when one may. */
static ExactRun *
choose_run(ExactLane *lane, TimestampTz *next)
{
	TimestampTz now = GetCurrentTimestamp();
	Choice		choice = {.next = PG_INT64_MAX};

	for (int i = 0; i < lane->nruns; i++)
	{
		ExactRun   *run = lane->runs[i];
		TimestampTz at = run_ready_at(run);

		if (at == PG_INT64_MAX && (!run->present || run->paused || run->def == NULL))
			continue;
		if (at <= now && run->def->method == EXACT_FEED_GUARD && run->complete_at == 0 &&
			run->errors == 0)
			return run;			/* the division's move date before its first row version */
		add_run(&choice, run, at);
		if ((at = exact_backfill_ready_at(run)) != PG_INT64_MAX)
			add_run(&choice, run->backfill, at);
	}
	*next = choice.next;
	if (choice.live == NULL || (choice.load != NULL && lane->lives_in_row >= LIVES_IN_ROW))
	{
		lane->lives_in_row = 0;
		return choice.load;
	}
	lane->lives_in_row++;
	return choice.live;
}

TimestampTz
exact_turn_aside_at(const ExactLane *lane)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz at = lane_ready_at(lane);
	bool		load = lane->keys_at <= now;

	if (at == 0 && (strcmp(lane->state, "ok") != 0 || lane->blocking_status != 0))
		return PG_INT64_MAX;
	if (at == 0 && exact_lane_held() >= MAX_HELD)
		return now + ASIDE_US;
	for (int i = 0; at == 0 && i < lane->nruns; i++)
	{
		ExactRun   *run = lane->runs[i];

		if (run_ready_at(run) <= now && !is_load(run))
			return now + ASIDE_US;
		load = load || run_ready_at(run) <= now || exact_backfill_ready_at(run) <= now;
	}
	return at == 0 && load && lane->wrote_last ? now + ASIDE_US : at;
}

/* Sends what is due in one lane; returns when something will be due. */
static TimestampTz
step_lane(ExactLane *lane)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = lane_ready_at(lane);
	ExactRun   *chosen;

	if (next != 0)
		return next;
	chosen = choose_run(lane, &next);
	if (lane->keys_at <= now && (chosen == NULL || !lane->keyed_last))
	{
		lane->keyed_last = true;
		lane->wrote_last = false;
		if (exact_keyed_send(lane))
			return lane->busy ? PG_INT64_MAX : now;
	}
	if (chosen != NULL)
	{
		lane->keyed_last = false;
		lane->wrote_last = false;
		exact_run_send(chosen);
		return lane->busy ? PG_INT64_MAX : now; /* it may have ended at once, without a token */
	}
	return Min(next, lane->keys_at);
}

/* Begins with another lane each time, so that all have their turn when not all may be held. */
long
exact_turn_send(void)
{
	static int	first;
	ExactLane **lanes;
	int			n = exact_lane_all(&lanes);
	TimestampTz next = PG_INT64_MAX;

	if (exact_disk_full())
		return exact_clock_wait_ms(next);
	for (int i = 0; i < n && exact_lane_held() < MAX_HELD; i++)
	{
		TimestampTz at = step_lane(lanes[(first + i) % n]);

		next = Min(next, at);
	}
	if (n > 0)
		first = (first + 1) % n;
	return exact_clock_wait_ms(next);
}
