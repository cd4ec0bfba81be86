/*
 * budget.h - calls that may still be spent: 60 a minute and 5,000 a day per app and division, by
 * the service's own headers. Division 0: calls outside a division.
 */
#ifndef EXACT_BUDGET_H
#define EXACT_BUDGET_H

#include "utils/timestamp.h"

#include "http/http_client.h"

/*
 * 0 when a call to this endpoint may be sent now, else the time at which it may; *why says it for
 * the user (static text).
 */
extern TimestampTz exact_budget_allowed_at(int division, const char *resource, const char **why);
/*
 * The same for a first load or a backfill, which leaves exact_databricks.live_reserve percent of
 * each budget alone.
 */
extern TimestampTz exact_budget_backfill_at(int division, const char *resource, const char **why);
/* The same for a write: likewise, and it leaves errors of its endpoint to others, too. */
extern TimestampTz exact_budget_write_at(int division, const char *resource, const char **why);
/*
 * Microseconds that should lie between two runs that notifications ask for, of each of so many
 * feeds of a division, so that the day's calls last to their reset: 0 while calls are few.
 */
extern int64 exact_budget_gap(int division, int feeds);
/* Calls left this minute and today as last heard, -1 = never heard. */
extern void exact_budget_left(int division, int *minute, int *day);

/* A call goes out. */
extern void exact_budget_count_call(int division);
/*
 * An endpoint answered with these headers. A 429 says here which limit it means; true: the
 * endpoint alone is blocked, its division goes on.
 */
extern bool exact_budget_hear(int division, const char *resource, const ExactHttpResponse *http);
/* An operator has resumed the division: no limit that was heard keeps it waiting any longer. */
extern void exact_budget_forgive(int division);

/*
 * In a unit: stores what is known of a division and of the endpoint that was called; once at
 * start: reads what was known.
 */
extern void exact_budget_save(int division, const char *resource);
extern void exact_budget_load(void);

#endif
