/*
 * hint.h - what notifications say: keys that are dirty, feeds that are to run.
 */
#ifndef EXACT_HINT_H
#define EXACT_HINT_H

#include "postgres.h"

/*
 * Takes the notifications that wait in exact.inbox; notified: some may have come. Returns ms until
 * it wants to be called again, -1 = when they do. In no transaction.
 */
extern long exact_hint_turn(bool notified);

#endif
