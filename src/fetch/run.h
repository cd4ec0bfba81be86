/*
 * run.h - runs of feeds: which request a division sends next, and what becomes of its answer.
 */
#ifndef EXACT_RUN_H
#define EXACT_RUN_H

#include "fetch/plan.h"

/* Sends what is due in every idle lane; returns ms until something will be due, -1 = nothing by itself. */
extern long exact_run_turn(void);

/* One request of a lane is on the way; it has been answered. */
extern void exact_run_hold(ExactLane *lane);
extern void exact_run_release(ExactLane *lane);

#endif
