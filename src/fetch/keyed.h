/*
 * keyed.h - keyed reads: records that are read again by their key.
 */
#ifndef EXACT_KEYED_H
#define EXACT_KEYED_H

#include "fetch/lane.h"

/*
 * Sends one keyed read of a division if keys are due and may be asked for: up to EXACT_FEED_KEYS
 * keys of one entity. False when nothing was sent; lane->keys_at then says when to come again. In
 * no transaction.
 */
extern bool exact_keyed_send(ExactLane *lane);

#endif
