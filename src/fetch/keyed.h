/*
 * keyed.h - dirty keys: records that are read again by their key.
 */
#ifndef EXACT_KEYED_H
#define EXACT_KEYED_H

#include "fetch/plan.h"

/*
 * Sends one keyed read of a division if keys are due and may be asked for: up to 60 keys of one entity. False when nothing was
 * sent; lane->keys_at then says when to come again. In no transaction.
 */
extern bool exact_keyed_send(ExactLane *lane);

/* In a unit: marks keys as dirty, now. */
extern void exact_keyed_want(ExactLane *lane, const char *entity, char **keys, int nkeys, const char *reason);

#endif
