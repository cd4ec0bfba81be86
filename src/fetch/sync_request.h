/*
 * sync_request.h - requests of exact.sync_now(): which feeds they want, and when they are done.
 */
#ifndef EXACT_SYNC_REQUEST_H
#define EXACT_SYNC_REQUEST_H

#include "postgres.h"

#include "fetch/lane.h"

/*
 * In a unit, after the plan has been read: takes the requests that wait; their feeds are wanted
 * now.
 */
extern void exact_sync_request_read(void);
/*
 * A run or a keyed read of this division has ended, or NULL: the plan was read. Ends the requests
 * that waited for it, now or in a later turn; in no transaction.
 */
extern void exact_sync_request_settle(ExactLane *lane);
/* Returns ms until its next turn is wanted, -1 = none. */
extern long exact_sync_request_turn(void);

#endif
