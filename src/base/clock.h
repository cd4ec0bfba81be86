/*
 * clock.h - moments: how long until one, and has the clock of this host been set back?
 */
#ifndef EXACT_CLOCK_H
#define EXACT_CLOCK_H

#include "postgres.h"

#include "utils/timestamp.h"

/*
 * True once after each time that it was set back by more than ten seconds: what this process
 * planned until then lies too far ahead.
 */
extern bool exact_clock_set_back(void);

/*
 * Is this moment still to come? Not when it lies further ahead than it was planned: then the clock
 * was set back.
 */
extern bool exact_clock_ahead(TimestampTz at, long planned_ms);

/*
 * A moment at which something happened lies ahead: the clock was set back since. Whoever waits for
 * what should follow that moment would wait until the old time comes again. In SQL:
 * exact._is_future().
 */
extern bool exact_clock_is_future(TimestampTz happened_at);

/*
 * Milliseconds until a moment, rounded up, for a wait: 0 when it has come, -1 for PG_INT64_MAX
 * (never), at most an hour.
 */
extern long exact_clock_wait_ms(TimestampTz at);

/* Milliseconds since 1970 */
extern int64 exact_clock_unix_ms(TimestampTz at);

/* The shorter of two waits in ms; -1 = none */
extern long exact_clock_sooner(long a, long b);

/* Milliseconds by the clock that nobody sets, for deadlines within this process. Raises nothing. */
extern int64 exact_clock_monotonic_ms(void);

#endif
