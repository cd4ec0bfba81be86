/*
 * backoff.c - how long to wait before the next attempt.
 */
#include "postgres.h"

#include "common/pg_prng.h"

#include "base/backoff.h"

#define JITTER 0.13

int64
exact_backoff_ms(int failures, int64 first_ms, int64 last_ms)
{
	int64		ms = first_ms;

	for (int i = 1; i < failures && ms < last_ms; i++)
		ms *= 2;
	ms = Min(ms, last_ms);
	return ms + (int64) (ms * JITTER * (2 * pg_prng_double(&pg_global_prng_state) - 1));
}
