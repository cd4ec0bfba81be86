/*
 * clock.h - has the clock of this host been set back?
 */
#ifndef EXACT_CLOCK_H
#define EXACT_CLOCK_H

#include "postgres.h"

/* True once after each time that it was set back by more than ten seconds: what this process planned until then lies too far ahead. */
extern bool exact_clock_set_back(void);

#endif
