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
/*
 * Microseconds that should lie between two runs that notifications ask for, of each of so many
 * feeds of a division, so that the day's calls last to their reset: 0 while calls are few.
 */
extern int64 exact_budget_gap(int division, int feeds);
/* Calls left this minute and today as last heard, -1 = never heard. */
extern void exact_budget_left(int division, int *minute, int *day);

/* A call goes out; it answered with these headers. */
extern void exact_budget_count_call(int division);
extern void exact_budget_hear(int division, const ExactHttpResponse *http);

/* In a unit: stores what is known of a division; once at start: reads what was known. */
extern void exact_budget_save(int division);
extern void exact_budget_load(void);

#endif
