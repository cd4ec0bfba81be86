/*
 * sync_request.c - requests of exact.sync_now(): which feeds they want, and when they are done.
 *
 * A request is done when each of its feeds has completed a run that began after it was taken, and
 * no dirty key of them waits: exact._settle_requests().
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/sql.h"
#include "fetch/lane.h"
#include "fetch/sync_request.h"
#include "state/request.h"
#include "worker/unit.h"

/* How much longer than a look takes the next one waits: it takes a tenth of the time at most. */
#define REST 9
#define REST_MOST_S 10

static bool open_requests;
static bool all_unsettled;		/* the plan was read since the last look */
static TimestampTz next_settle; /* not before */

/* Takes the requests that wait and tells the runs of their feeds since when they are wanted. */
void
exact_sync_request_read(void)
{
	static const char wanted_sql[] =
	"SELECT f.division, f.feed, max(q.started_at)"
	" FROM exact.request q"
	" JOIN exact._enabled_feed f ON (q.division IS NULL OR f.division = q.division)"
	"  AND (q.entity IS NULL OR q.entity = f.entity OR q.entity = f.feed)"
	" WHERE q.state = 'running' AND q.kind = '" EXACT_REQUEST_SYNC "'"
	" GROUP BY 1, 2"
	" UNION ALL"
	" SELECT f.division, 'deleted', max(q.started_at)"
	" FROM exact.request q"
	" JOIN exact._enabled_feed f ON q.division IS NULL OR f.division = q.division"
	" WHERE q.state = 'running' AND q.kind = '" EXACT_REQUEST_SYNC "'"
	" GROUP BY 1";
	uint64		n;

	exact_request_cancel(EXACT_REQUEST_SYNC);
	exact_request_take(EXACT_REQUEST_SYNC);
	open_requests = exact_request_runs(EXACT_REQUEST_SYNC);
	if (!open_requests)
		return;
	n = exact_sql(wanted_sql, 0, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		ExactLane  *lane = exact_lane_find((int) exact_cell_int8(i, 1, 0));
		char	   *feed = exact_cell_text(i, 2);

		for (int r = 0; lane != NULL && r < lane->nruns; r++)
			if (strcmp(lane->runs[r]->name, feed) == 0 && lane->runs[r]->present)
			{
				lane->runs[r]->wanted_at = Max(lane->runs[r]->wanted_at, exact_cell_time(i, 3, 0));
				lane->runs[r]->not_before = 0;
			}
	}
}

static void
settle_unit(void *arg)
{
	static const char sql[] = "SELECT exact._settle_requests($1)";
	const ExactLane *lane = arg;
	ExactArg	division = lane != NULL ? exact_arg_int4(lane->division)
		: exact_arg_null(INT4OID);

	exact_sql(sql, 1, &division);
	open_requests = exact_request_runs(EXACT_REQUEST_SYNC);
}

/* False when somebody holds what would be changed: a second later again. */
static bool
settle(ExactLane *lane)
{
	TimestampTz begun = GetCurrentTimestamp();
	bool		done = exact_unit_run("settle requests", settle_unit, lane, NULL);
	TimestampTz ended = GetCurrentTimestamp();
	int64		rest = done ? Max(ended - begun, 0) * REST : USECS_PER_SEC;

	next_settle = ended + Min(rest, REST_MOST_S * USECS_PER_SEC);
	return done;
}

static bool
may_settle(void)
{
	TimestampTz now = GetCurrentTimestamp();

	/* later than ever planned: the clock was set back */
	return next_settle <= now || next_settle > now + REST_MOST_S * USECS_PER_SEC;
}

void
exact_sync_request_settle(ExactLane *lane)
{
	if (lane != NULL)
		lane->unsettled = true;
	else
		all_unsettled = true;
	(void) exact_sync_request_turn();
}

long
exact_sync_request_turn(void)
{
	ExactLane **lanes;
	int			nlanes = exact_lane_all(&lanes);

	for (int i = -1; i < nlanes; i++)
	{
		bool	   *unsettled = i < 0 ? &all_unsettled : &lanes[i]->unsettled;

		if (!*unsettled)
			continue;
		if (open_requests && !may_settle())
			return exact_clock_wait_ms(next_settle);
		*unsettled = open_requests && !settle(i < 0 ? NULL : lanes[i]);
	}
	return -1;
}
