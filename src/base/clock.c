/*
 * clock.c - has the clock of this host been set back?
 *
 * Compares it with the one that nobody sets. A clock that jumps forward only makes things due.
 */
#include "postgres.h"

#include <time.h>

#include "base/clock.h"

#define TOLERATED_S 10			/* small steps delay by no more than themselves */

bool
exact_clock_set_back(void)
{
	static bool known = false;
	static int64 ahead;			/* of the other, in µs */
	struct timespec other;
	int64		before = ahead;
	bool		compared = known;

	clock_gettime(CLOCK_MONOTONIC, &other);
	ahead = GetCurrentTimestamp() - ((int64) other.tv_sec * USECS_PER_SEC + other.tv_nsec / 1000);
	known = true;
	return compared && ahead < before - TOLERATED_S * USECS_PER_SEC;
}

bool
exact_clock_ahead(TimestampTz at, long planned_ms)
{
	TimestampTz now = GetCurrentTimestamp();

	return at > now && at <= TimestampTzPlusMilliseconds(now, planned_ms);
}
