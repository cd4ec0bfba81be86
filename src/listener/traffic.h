/*
 * traffic.h - what came to the listener of a database since the server started, counted in shared
 * memory.
 */
#ifndef EXACT_TRAFFIC_H
#define EXACT_TRAFFIC_H

#include "postgres.h"

typedef enum ExactTrafficCount
{
	EXACT_TRAFFIC_RECEIVED,		/* POSTs of the hook that came whole */
	EXACT_TRAFFIC_ACCEPTED,		/* stored */
	EXACT_TRAFFIC_DUPLICATE,
	EXACT_TRAFFIC_VALIDATION,	/* empty: the service tried the address */
	EXACT_TRAFFIC_REFUSED,		/* 401 */
	EXACT_TRAFFIC_UNAVAILABLE,	/* 503 */
	EXACT_TRAFFIC_MALFORMED,	/* no request that is to be understood: 400, 431, 501 */
	EXACT_TRAFFIC_TOO_LARGE,	/* 413 */
	EXACT_TRAFFIC_UNKNOWN,		/* 404, 405 */
	EXACT_TRAFFIC_TIMEOUT,		/* connections that took longer than 10 s for a request */
	EXACT_TRAFFIC_OVER_LIMIT,	/* connections refused: too many */
	EXACT_TRAFFIC_CONNECTIONS,	/* open now */
	EXACT_TRAFFIC_COMMITS,		/* groups of notifications */
	EXACT_TRAFFIC_COMMIT_US,	/* time that they took */
	EXACT_NTRAFFIC
} ExactTrafficCount;

/* Upper bounds of the histogram of commits in microseconds; the last bucket has none. */
#define EXACT_TRAFFIC_BUCKETS 10
extern const int exact_traffic_bounds[EXACT_TRAFFIC_BUCKETS - 1];

typedef struct ExactTrafficCopy
{
	uint64		counts[EXACT_NTRAFFIC];
	uint64		buckets[EXACT_TRAFFIC_BUCKETS];
} ExactTrafficCopy;

/* Of the listener, once attached: adds, or sets a value. */
extern void exact_traffic_add(ExactTrafficCount what, uint64 n);
extern void exact_traffic_set(ExactTrafficCount what, uint64 value);
/* A group of notifications took so long from the first statement to the commit. */
extern void exact_traffic_commit(uint64 us);
/* This database's; false when there are none. */
extern bool exact_traffic_read(ExactTrafficCopy *out);

#endif
