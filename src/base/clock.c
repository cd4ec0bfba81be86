/*
 * clock.c - moments: how long until one, and has the clock of this host been set back?
 *
 * Compares the clock with the one that nobody sets. A clock that jumps forward only makes things
 * due.
 */
#include "postgres.h"

#include <time.h>

#include "base/clock.h"

#define LONGEST_WAIT_MS 3600000
#define TOLERATED_S 10			/* small steps delay by no more than themselves */

bool
exact_clock_set_back(void)
{
	static bool known = false;
	static int64 ahead;			/* of the other, in µs */
	struct timespec other;
	int64		before = ahead;
	bool		compared = known;
	int64		other_us;

	clock_gettime(CLOCK_MONOTONIC, &other);
	other_us = (int64) other.tv_sec * USECS_PER_SEC + other.tv_nsec / 1000;
	ahead = GetCurrentTimestamp() - other_us;
	known = true;
	return compared && ahead < before - TOLERATED_S * USECS_PER_SEC;
}

bool
exact_clock_ahead(TimestampTz at, long planned_ms)
{
	TimestampTz now = GetCurrentTimestamp();

	return at > now && at <= TimestampTzPlusMilliseconds(now, planned_ms);
}

bool
exact_clock_is_future(TimestampTz happened_at)
{
	return happened_at > GetCurrentTimestamp();
}

long
exact_clock_wait_ms(TimestampTz at)
{
	TimestampTz now = GetCurrentTimestamp();

	if (at == PG_INT64_MAX)
		return -1;
	if (at <= now)
		return 0;
	return (long) Min((at - now) / 1000 + 1, LONGEST_WAIT_MS);
}

int64
exact_clock_unix_ms(TimestampTz at)
{
	return (at + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY) / 1000;
}

long
exact_clock_sooner(long a, long b)
{
	if (a < 0)
		return b;
	return b < 0 ? a : Min(a, b);
}

int64
exact_clock_monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
