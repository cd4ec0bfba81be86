/*
 * rate.h - how often each client did something within a while.
 */
#ifndef EXACT_RATE_H
#define EXACT_RATE_H

#include "postgres.h"

#include "base/peer.h"

#define EXACT_RATE_CLIENTS 256

/* One address line, from the first time that it did it */
typedef struct ExactRateClient
{
	ExactPeer	peer;
	int64		begun;			/* ms, see exact_clock_monotonic_ms; 0 = nobody */
	int			n;
} ExactRateClient;

typedef struct ExactRate
{
	int			max;			/* times a client may, within span_ms */
	int			max_all;		/* and all together; 0 = no limit */
	int			span_ms;
	int64		begun;			/* of all */
	int			n;
	ExactRateClient clients[EXACT_RATE_CLIENTS];
} ExactRate;

/* Did this client, or did all, do it as often as they may? Counts nothing. */
extern bool exact_rate_spent(const ExactRate *rate, const ExactPeer *client);
/* It did it once more. */
extern void exact_rate_count(ExactRate *rate, const ExactPeer *client);

#endif
