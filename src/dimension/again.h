/*
 * again.h - records of dimensions that Delta is to get once more as they are.
 */
#ifndef EXACT_AGAIN_H
#define EXACT_AGAIN_H

#include "postgres.h"

/*
 * Stages the records of exact.dimension_again; woken: there may be some. Returns ms until it is to
 * be called again, -1 = when woken.
 */
extern long exact_again_turn(bool woken);

#endif
