/*
 * queue.h - what waits to be delivered, over all tables and workspaces, and in which order it goes.
 */
#ifndef EXACT_QUEUE_H
#define EXACT_QUEUE_H

#include "postgres.h"

/*
 * At most so many ms between two readings of all that waits; batches and changes are told by a
 * wake-up
 */
#define EXACT_QUEUE_LOOK_MS 60000

/* Once a process */
extern void exact_queue_init(void);

/* Is it time to look without a wake-up: at all that waits, or at what first rows wait for? */
extern bool exact_queue_due(void);

/*
 * Reads what is new: the configuration, what users did to tables, batches. Now and then, and after
 * a change of the configuration, all that waits. False when something could not be read. In no
 * transaction, like the next one.
 */
extern bool exact_queue_look(void);

/* What waits has changed otherwise than by new batches: the next look reads all of it. */
extern void exact_queue_again(void);

/*
 * Lets each table go on that may; ms until the next call is wanted, -1 when something else comes
 * first.
 */
extern long exact_queue_advance(void);

#endif
