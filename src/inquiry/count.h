/*
 * count.h - how many records lists of a division have, for exact.estimate(). Fetcher only.
 */
#ifndef EXACT_COUNT_H
#define EXACT_COUNT_H

#include "worker/ask.h"

/*
 * Answers the question "count": division, then path and $filter (or null) of each list. A JSON
 * array with an object for each: n; or sqlstate, why, the HTTP status that said so (0: none), and
 * until, the time at which it may be asked for, if that is known.
 */
extern void exact_count_answer(ExactAsk *ask);

#endif
