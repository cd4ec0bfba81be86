/*
 * generation.h - the generation of a division's row versions, and whether Exact Online works on it.
 *
 * Has the division been moved to another database, or linked to HR? Then its row versions begin
 * anew. While a backup, a conversion or a copy goes on (BlockingStatus), no absence is believed.
 */
#ifndef EXACT_GENERATION_H
#define EXACT_GENERATION_H

#include "exact_online/feed.h"
#include "exact_online/odata.h"
#include "fetch/lane.h"

/*
 * In a unit: compares a page of system/Divisions with what is known; true when marks were reset
 * and the plan must be read again. Raises EX009 when the page does not list the division.
 */
extern bool exact_generation_compare(ExactLane *lane, const ExactFeed *feed, const ExactPage *page);

/*
 * A record was not shown: has system/Divisions read once more, for BlockingStatus has to be known
 * between the two answers that a deletion needs. Paced by the budget. Returns when that is done; 0:
 * it is not known when, as it fails.
 */
extern TimestampTz exact_generation_want(ExactLane *lane);

/* In a unit: a notification was followed, and there was nothing above the mark. */
extern void exact_generation_doubt(ExactLane *lane);

/* Has system/Divisions been read by a request that was sent since? */
extern bool exact_generation_read_since(const ExactLane *lane, TimestampTz since);

/*
 * In a unit, when the log of deletes was not read for longer than it is kept: all sync feeds of
 * the division start at their first mark again. The caller has the plan read anew.
 */
extern void exact_generation_log_gap(ExactLane *lane);

#endif
