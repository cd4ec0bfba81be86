/*
 * replay.h - versions that Databricks has had and that an operator wants to be delivered once more:
 * requests of exact.replay().
 */
#ifndef EXACT_REPLAY_H
#define EXACT_REPLAY_H

/*
 * Begins and ends requests, one after the other. looked: there may be a new one. Returns ms until
 * the next call is wanted, -1: none is open. In no transaction.
 */
extern long exact_replay_turn(bool looked);

#endif
