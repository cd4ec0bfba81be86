/*
 * turn.h - what each division sends next: a run's page or a keyed read.
 */
#ifndef EXACT_TURN_H
#define EXACT_TURN_H

#include "postgres.h"

#include "fetch/lane.h"

/*
 * Sends what is due in every idle lane; returns ms until something will be due, -1 = nothing by
 * itself. In no transaction.
 */
extern long exact_turn_send(void);

/*
 * When a lane may send what goes behind live changes and in turn with loads, and is sent by
 * others: 0 = now, PG_INT64_MAX = when the plan is read again. To be asked before
 * exact_turn_send(), which sends what goes first.
 */
extern TimestampTz exact_turn_aside_at(const ExactLane *lane);

#endif
