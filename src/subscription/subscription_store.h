/*
 * subscription_store.h - wanted topics and their rows in exact.subscription, and requests of
 * exact.subscribe().
 */
#ifndef EXACT_SUBSCRIPTION_STORE_H
#define EXACT_SUBSCRIPTION_STORE_H

#include "subscription/upkeep.h"

/* Subscriptions, entities or settings may have changed: they are read in one of the next turns. */
extern void exact_subscription_store_want(void);
/* ms until they are to be read: 0 = now, -1 = when wanted. */
extern long exact_subscription_store_wait(void);
/* Reads wanted topics, rows and open requests; in no transaction. False: to be tried again. */
extern bool exact_subscription_store_read(void);
/* Every division that has topics; returns their number. */
extern int	exact_subscription_store_all(ExactUpkeep ***out);

/*
 * In a unit: writes a row as it is in memory; of a topic that is neither wanted nor known at Exact
 * Online, removes it.
 */
extern void exact_subscription_store_save(const ExactUpkeep *upkeep, const ExactTopic *topic);
/* In a unit: an event of the audit log. */
extern void exact_subscription_store_audit(const ExactUpkeep *upkeep, const ExactTopic *topic,
										   const char *what);

/* At the end of an upkeep: counts its topics. */
extern void exact_subscription_store_count(ExactUpkeep *upkeep);
/* Ends requests whose divisions have all been looked at; in no transaction. */
extern void exact_subscription_store_settle(void);

#endif
