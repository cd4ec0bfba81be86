/*
 * counter.h - exact.counter: numbers for Prometheus that only rise, and outlive a restart.
 */
#ifndef EXACT_COUNTER_H
#define EXACT_COUNTER_H

#include "postgres.h"

/* What is counted: names of exact.counter */
#define EXACT_COUNTER_CALL "call"	/* of Exact Online, by division and outcome */
#define EXACT_COUNTER_STATEMENT "statement" /* by kind and result */
#define EXACT_COUNTER_STAGED "staged"	/* versions by I, U or D */

/* All in a unit. Kind and result may be ""; division 0: not told apart. */
extern void exact_counter_add(const char *name, int division, const char *kind,
							  const char *result, int64 n);

/* A statement that ended, and the time that it took */
extern void exact_counter_statement(const char *kind, const char *result, double seconds);

/* Batches that are in Delta as a whole now, recorded as such in this unit: how long they took */
extern void exact_counter_delivered(const int64 *batches, int n);

#endif
