/*
 * backfill.h - the second cursor of a feed, beside its live one.
 */
#ifndef EXACT_BACKFILL_H
#define EXACT_BACKFILL_H

#include "utils/timestamp.h"

#include "fetch/lane.h"

/* In a unit: has feeds read again whose mark no longer holds for what is asked of them. */
extern void exact_backfill_notice(void);
/* In a unit, after the runs of the plan: the backfills that go on. */
extern void exact_backfill_read(void);

/* When the backfill of this feed may send: 0 = now; PG_INT64_MAX: it has none, or it waits. */
extern TimestampTz exact_backfill_ready_at(ExactRun *live);

/*
 * In a unit, at the end of a live run: once a night what came below the mark is read, or
 * everything where no row version tells. True when a backfill is wanted.
 */
extern bool exact_backfill_at_night(const ExactRun *live, int64 mark);

#endif
