/*
 * rate_limit.h - exact.rate_limit: how the 429 of a division, or of one endpoint of it, is read.
 * Its only writer in C.
 */
#ifndef EXACT_RATE_LIMIT_H
#define EXACT_RATE_LIMIT_H

#include "postgres.h"

#include "utils/timestamp.h"

/* A wait after a 429 */
typedef struct ExactRateLimit
{
	const char *reading;		/* minute, day, unknown, endpoint; static text */
	TimestampTz since;			/* first 429 of the row */
	TimestampTz until;
	int			times;			/* 429s in a row; 0: there is none */
} ExactRateLimit;

/* Microseconds of a wait after so many before it: doubled each time, up to most. */
extern int64 exact_rate_limit_wait(int before, int64 first, int64 most);

/*
 * In a unit: stores it, or removes the row when times is 0. resource "": of the whole division.
 */
extern void exact_rate_limit_store(int division, const char *resource,
								   const ExactRateLimit *limit);

#endif
