/*
 * division.h - has a division been moved to another database, or linked to HR? Then its row versions begin anew.
 */
#ifndef EXACT_DIVISION_H
#define EXACT_DIVISION_H

#include "fetch/plan.h"

/* In a unit: compares a page of system/Divisions with what is known; true when marks were reset and the plan must be read again. */
extern bool exact_division_compare(ExactLane *lane, const ExactFeed *feed, const ExactPage *page);

/* In a unit: all sync feeds of the division start at their first mark again; the caller has the plan read anew. */
extern void exact_division_read_again(ExactLane *lane, const char *why);

#endif
