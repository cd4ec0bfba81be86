/*
 * watch.c - looks how the hub does: which lights changed, how far each division is behind.
 *
 * Called by fetcher.c. What is seen is compared and noted by exact._watch(), in a unit of its own.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/sql.h"
#include "watch/watch.h"
#include "worker/unit.h"

#define FIRST_MS 60000			/* after a start workers come up and old runs go on: no news */
#define EVERY_MS 60000
#define EVERY_MOST_MS 300000	/* each ten minutes have a sample */
#define SHARE 500				/* of the worker's time no more than this part */

static void
watch_unit(void *arg pg_attribute_unused())
{
	exact_sql("SELECT exact._watch()", 0, NULL);
}

long
exact_watch_turn(void)
{
	static TimestampTz due = 0;
	TimestampTz begun = GetCurrentTimestamp();
	long		took;

	if (due == 0)
		due = TimestampTzPlusMilliseconds(begun, FIRST_MS);
	if (exact_clock_ahead(due, EVERY_MOST_MS))
		return exact_clock_wait_ms(due);
	(void) exact_unit_run("watch", watch_unit, NULL, NULL);
	took = TimestampDifferenceMilliseconds(begun, GetCurrentTimestamp());
	due = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
									  Min(Max(EVERY_MS, took * SHARE), EVERY_MOST_MS));
	return exact_clock_wait_ms(due);
}
