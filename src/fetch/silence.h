/*
 * silence.h - topics that have fallen silent.
 */
#ifndef EXACT_SILENCE_H
#define EXACT_SILENCE_H

#include "postgres.h"

/*
 * Every minute, in no transaction: raises an alarm for each topic that is silent, and its feeds
 * run. Returns ms until the next look.
 */
extern long exact_silence_turn(void);

#endif
