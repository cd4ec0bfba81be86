/*
 * backoff.h - how long to wait before the next attempt.
 */
#ifndef EXACT_BACKOFF_H
#define EXACT_BACKOFF_H

#include "postgres.h"

/*
 * Milliseconds to wait after so many failures in a row: first_ms after the first, twice as long
 * after each further one, at most last_ms; each wait is up to 13 % shorter or longer, so that many
 * do not come at once.
 */
extern int64 exact_backoff_ms(int failures, int64 first_ms, int64 last_ms);

#endif
