/*
 * generation.c - the generation of a division's row versions, and whether Exact Online works on it:
 * what the guard feed reads of system/Divisions.
 *
 * Exact Online resets Timestamp values when DivisionMoveDate or DivisionHRLinkUnlinkDate changes
 * (exact-online.md §5.3). The mark generation then rises, every sync feed starts at its first mark
 * again, and what a whole run does not show is gone.
 */
#include "postgres.h"

#include "base/errors.h"
#include "exact_online/feed.h"
#include "exact_online/odata.h"
#include "exact_online/odata_value.h"
#include "fetch/generation.h"
#include "fetch/lane.h"
#include "state/audit.h"
#include "state/dirty_key.h"
#include "state/division_state.h"
#include "state/feed_state.h"
#include "worker/self.h"

#define DOUBT_US (10 * USECS_PER_MINUTE)

static void
read_again(ExactLane *lane, ExactFromStart reason, const char *why)
{
	exact_feed_state_from_start(reason, lane->division, NULL, NULL);
	exact_audit_read_again(lane->division, why);
	exact_log(LOG, "alarm division=%d all sync feeds are read again from the start reason=\"%s\"",
			  lane->division, why);
}

void
exact_generation_log_gap(ExactLane *lane)
{
	read_again(lane, EXACT_FROM_START_LOG,
			   "the log of deletes was not read for longer than it is kept");
}

TimestampTz
exact_generation_want(ExactLane *lane)
{
	TimestampTz now = GetCurrentTimestamp();

	for (int i = 0; i < lane->nruns; i++)
	{
		const ExactRun *run = lane->runs[i];

		if (!run->present || run->def == NULL || run->def->method != EXACT_FEED_GUARD)
			continue;
		/* a start that is still to come is one of a clock that was set back since */
		lane->guard_at = Max(now, Min(run->run_started_at, now) + exact_lane_gap(lane));
		/* one that fails, maybe before a restart, is tried after its back-off */
		return run->errors > 0 ? 0 : lane->guard_at + USECS_PER_SEC;
	}
	return 0;
}

/*
 * A notification came, and the rows above the mark are none: a repeated one, or row versions that
 * have started again below the mark. The guard tells, and need not be asked often.
 */
void
exact_generation_doubt(ExactLane *lane)
{
	if (!exact_generation_read_since(lane, GetCurrentTimestamp() - DOUBT_US))
		exact_generation_want(lane);
}

bool
exact_generation_read_since(const ExactLane *lane, TimestampTz since)
{
	for (int i = 0; i < lane->nruns; i++)
	{
		const ExactRun *run = lane->runs[i];

		if (run->present && run->def != NULL && run->def->method == EXACT_FEED_GUARD)
			return !run->paging && run->run_started_at >= since;
	}
	return false;
}

bool
exact_generation_compare(ExactLane *lane, const ExactFeed *feed, const ExactPage *page)
{
	for (int i = 0; i < page->nrecords; i++)
	{
		const ExactSlice *values = page->records[i].values;
		int64		code;
		int64		blocking = 0;

		if (!exact_odata_int64(values[EXACT_DIVISIONS_CODE], &code) || code != lane->division)
			continue;
		exact_odata_int64(values[EXACT_DIVISIONS_BLOCKING_STATUS], &blocking);
		if (blocking != lane->blocking_status)
			exact_log(LOG, "division=%d blocking_status=" INT64_FORMAT " before=%d",
					  lane->division, blocking, lane->blocking_status);
		if (blocking == 0 && lane->blocking_status != 0)
		{
			exact_dirty_key_now(lane->division);
			lane->keys_at = 0;
		}
		lane->blocking_status = (int) blocking;
		if (exact_division_state_dates(lane->division,
									   exact_odata_string(values[EXACT_DIVISIONS_MOVE_DATE]),
									   exact_odata_string(values[EXACT_DIVISIONS_HR_LINK_DATE]),
									   (int) blocking)
			== lane->mark_generation)
			return false;
		read_again(lane, EXACT_FROM_START_MOVED,
				   "the division was moved or linked: row versions start again");
		return true;
	}
	ereport(ERROR,
			(errcode(ERRCODE_EXACT_BAD_ANSWER),
			 errmsg("Exact Online does not list division %d among those the app may open",
					lane->division),
			 errdetail("GET %s, %d divisions.", feed->resource, page->nrecords),
			 errhint("Consent again with a user who may open it, or disable the division.")));
}
