/*
 * trouble.h - what an answer that is no page means for its division.
 */
#ifndef EXACT_TROUBLE_H
#define EXACT_TROUBLE_H

#include "utils/timestamp.h"

#include "base/fault.h"
#include "exact_online/exact_api.h"
#include "fetch/lane.h"

/*
 * Records what a failed request, the errors-th in a row, means for the division (not before,
 * parked); in no transaction. Returns when the same may be tried again, 0 when the division says
 * it.
 */
extern TimestampTz exact_trouble_answer(ExactLane *lane, ExactApiAnswer *answer, int errors);
/*
 * The division waits for a limit, an access token or a consent: no fault of what was asked, so no
 * error of it.
 */
extern bool exact_trouble_waits(const ExactApiAnswer *answer);
/* The division guard: nothing is read until an operator resumes it. In no transaction. */
extern void exact_trouble_freeze(ExactLane *lane, const ExactFault *fault);
/*
 * A request of a run failed: that is recorded, and when the feed may be tried again; in no
 * transaction. A run whose link is dead goes on from the highest mark that it has seen, or begins
 * anew. An alarm when it gets no further for an hour.
 */
extern void exact_trouble_run(ExactRun *run, ExactApiAnswer *answer, const ExactFault *fault);

#endif
