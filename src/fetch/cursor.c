/*
 * cursor.c - where a run begins to read (design: reading right, rule 4).
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "exact_online/feed.h"
#include "fetch/cursor.h"
#include "fetch/lane.h"

#define PAGE_ROWS 60
#define NIGHT_CALLS 50			/* of one feed, on average */
#define SMALL_CALLS 10
#define OVERLAP_MS (10 * 60 * 1000)		/* records of a transaction that was committed late */
/* once a night: the hour that a local clock has twice */
#define NIGHT_OVERLAP_MS (2 * 60 * 60 * 1000)

/* Nights since 2000; one begins when the clocks of Europe have been changed, if they are. */
static int64
night_of(TimestampTz at)
{
	return (at - 2 * USECS_PER_HOUR) / USECS_PER_DAY;
}

/*
 * Feeds by time of change are read whole at night, large ones less often: at most 50 calls a night
 * on average. When an operator asks, small ones are too, where no other feed shows what is gone.
 */
bool
exact_cursor_whole(const ExactRun *run)
{
	int64		calls = run->whole_rows / PAGE_ROWS + 1;

	if (run->def->method == EXACT_FEED_FULL || run->mark <= 1)
		return true;
	if (!exact_feed_by_time(run->def))
		return false;
	if (run->wanted_at != 0 && run->run_started_at < run->wanted_at &&
		run->def->trigger_feed == NULL && calls <= SMALL_CALLS)
		return true;
	return night_of(GetCurrentTimestamp()) - night_of(run->whole_at) >=
		(calls + NIGHT_CALLS - 1) / NIGHT_CALLS;
}

int64
exact_cursor_from(const ExactRun *run)
{
	if (exact_feed_by_time(run->def))
	{
		bool		new_night = night_of(GetCurrentTimestamp()) > night_of(run->run_started_at);

		if (run->whole)
			return 1;
		return Max(run->mark - (new_night ? NIGHT_OVERLAP_MS : OVERLAP_MS), 2);
	}
	return run->reread_from > 0 ? Min(run->mark, run->reread_from - 1) : run->mark;
}
