/*
 * clock.h - has the clock of this host been set back?
 */
#ifndef EXACT_CLOCK_H
#define EXACT_CLOCK_H

#include "postgres.h"

#include "utils/timestamp.h"

/* True once after each time that it was set back by more than ten seconds: what this process planned until then lies too far ahead. */
extern bool exact_clock_set_back(void);

/* Is this moment still to come? Not when it lies further ahead than it was planned: then the clock was set back. */
extern bool exact_clock_ahead(TimestampTz at, long planned_ms);

#endif
