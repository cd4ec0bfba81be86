/*
 * judge.h - judges documents: those of batches that were staged, and those whose reason to wait may
 * be gone. In the fetcher, between its pages.
 */
#ifndef EXACT_JUDGE_H
#define EXACT_JUDGE_H

#include "postgres.h"

/*
 * Versions were staged: documents may be complete now. first: by a first load or a backfill, for
 * which nobody waits.
 */
extern void exact_judge_want(bool first);

/* Judges what can be judged; ms until it is to look again, -1: when it is woken. */
extern long exact_judge_turn(bool woken);

#endif
