/*
 * deletes.h - records that are gone: by the log of deletes, by absence from a complete read,
 * confirmed by a keyed read.
 */
#ifndef EXACT_DELETES_H
#define EXACT_DELETES_H

#include "exact_online/feed.h"
#include "exact_online/odata.h"
#include "fetch/lane.h"

/*
 * A record is gone, or is said to be: what went with it stands in the log of deletes alone, so the
 * log is read as after a notification. The first in a unit; false when the division has no log.
 * The second when that is committed.
 */
extern bool exact_deletes_want_log(const ExactLane *lane, TimestampTz first, TimestampTz last);
extern void exact_deletes_log_wanted(const ExactLane *lane, TimestampTz first, TimestampTz last);

/* In a unit: applies a page of sync/Deleted; returns the tombstones written. */
extern int	exact_deletes_apply_log(ExactLane *lane, const ExactFeed *feed, const ExactPage *page,
									int64 run, int64 call);
/*
 * In a unit, with each page of a run, which is staged: with the last one, what was not seen in the
 * run is to be confirmed (deleted at once where no keyed read exists, held in great numbers).
 * run_rows are those with this page. Returns tombstones.
 */
extern int	exact_deletes_absent(const ExactRun *run, const ExactPage *page, bool last,
								 int64 call);

#endif
