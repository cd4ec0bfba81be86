/*
 * plan.h - reads what the fetcher has to do: divisions, their feeds, where each stands, what was
 * asked for.
 */
#ifndef EXACT_PLAN_H
#define EXACT_PLAN_H

#include "postgres.h"

/*
 * Reads the plan into the lanes when that was asked for; in no transaction. Runs on the way are
 * kept. Returns ms until it wants to be called again because something could not be read, -1 =
 * when asked.
 */
extern long exact_plan_turn(void);

#endif
