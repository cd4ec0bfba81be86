/*
 * erasure.h - requests of exact.erase(): a record is removed from the hub, then from the Delta
 * tables of each workspace that may hold it. Loader only.
 */
#ifndef EXACT_ERASURE_H
#define EXACT_ERASURE_H

/*
 * Takes the next step that may be taken now. looked: something may have changed. Returns ms until
 * the next turn is wanted, -1 = none.
 */
extern long exact_erasure_turn(bool looked);

#endif
