/*
 * turn.c - what each division sends next.
 *
 * One request of a division is on the way at a time. Keyed reads and runs take turns; among the
 * runs the one that has waited longest is next, so that a long load starves nobody.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/clock.h"
#include "exact_online/budget.h"
#include "exact_online/feed.h"
#include "fetch/keyed.h"
#include "fetch/lane.h"
#include "fetch/run.h"
#include "fetch/turn.h"

#define MAX_HELD 32				/* divisions with a request on the way */
#define PARKED_US USECS_PER_HOUR	/* a parked division is tried again */

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
	/* a first load leaves a part of each budget to live traffic */
	if (run->complete_at == 0 && run->def->nentities > 0)
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

/* The run that is next; NULL when none may send, and *next is when one may. */
static ExactRun *
choose_run(ExactLane *lane, TimestampTz *next)
{
	TimestampTz now = GetCurrentTimestamp();
	ExactRun   *chosen = NULL;

	*next = PG_INT64_MAX;
	for (int i = 0; i < lane->nruns; i++)
	{
		ExactRun   *run = lane->runs[i];
		TimestampTz at = run_ready_at(run);

		if (at > now)
			*next = Min(*next, at);
		else if (run->def->method == EXACT_FEED_GUARD && run->complete_at == 0 && run->errors == 0)
			return run;			/* the division's move date before its first row version */
		else if (chosen == NULL || run->sent_at < chosen->sent_at)
			chosen = run;
	}
	return chosen;
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
		if (exact_keyed_send(lane))
			return lane->busy ? PG_INT64_MAX : now;
	}
	if (chosen != NULL)
	{
		lane->keyed_last = false;
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

	for (int i = 0; i < n && exact_lane_held() < MAX_HELD; i++)
	{
		TimestampTz at = step_lane(lanes[(first + i) % n]);

		next = Min(next, at);
	}
	if (n > 0)
		first = (first + 1) % n;
	return exact_clock_wait_ms(next);
}
