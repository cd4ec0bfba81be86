/*
 * subscription.h - upkeep of the webhook subscriptions at Exact Online: the fetcher's turn.
 */
#ifndef EXACT_SUBSCRIPTION_H
#define EXACT_SUBSCRIPTION_H

#include "postgres.h"

/*
 * Sends what is due where a lane is idle; returns ms until something will be due, -1 = nothing by
 * itself.
 */
extern long exact_subscription_turn(void);

/* What got no answer may be tried at once. */
extern void exact_subscription_hurry(const char *app);

#endif
