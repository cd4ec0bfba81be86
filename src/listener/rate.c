/*
 * rate.c - how often each client did something within a while.
 *
 * A client is an address line. Where there are more than there is room for, the one that began
 * first is forgotten: then only the limit of all holds, where there is one.
 */
#include "postgres.h"

#include "base/clock.h"
#include "listener/rate.h"

static bool
is_over(int64 begun, int span_ms)
{
	return begun == 0 || exact_clock_monotonic_ms() - begun >= span_ms;
}

/* Its entry, or the one that it may take */
static const ExactRateClient *
entry_of(const ExactRate *rate, const ExactPeer *client)
{
	const ExactRateClient *oldest = &rate->clients[0];

	for (int i = 0; i < EXACT_RATE_CLIENTS; i++)
	{
		const ExactRateClient *entry = &rate->clients[i];

		if (entry->begun != 0 && exact_peer_same_line(&entry->peer, client))
			return entry;
		if (entry->begun < oldest->begun)
			oldest = entry;
	}
	return oldest;
}

bool
exact_rate_spent(const ExactRate *rate, const ExactPeer *client)
{
	const ExactRateClient *entry = entry_of(rate, client);

	if (rate->max_all > 0 && rate->n >= rate->max_all && !is_over(rate->begun, rate->span_ms))
		return true;
	return entry->begun != 0 && exact_peer_same_line(&entry->peer, client) &&
		!is_over(entry->begun, rate->span_ms) && entry->n >= rate->max;
}

void
exact_rate_count(ExactRate *rate, const ExactPeer *client)
{
	ExactRateClient *entry = unconstify(ExactRateClient *, entry_of(rate, client));
	int64		now = exact_clock_monotonic_ms();

	if (is_over(rate->begun, rate->span_ms))
	{
		rate->begun = now;
		rate->n = 0;
	}
	rate->n++;
	if (is_over(entry->begun, rate->span_ms) || !exact_peer_same_line(&entry->peer, client))
	{
		entry->peer = *client;
		entry->begun = now;
		entry->n = 0;
	}
	entry->n++;
}
