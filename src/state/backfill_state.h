/*
 * backfill_state.h - exact.backfill: what is read again beside the live changes of a feed. Its only
 * writer in C.
 */
#ifndef EXACT_BACKFILL_STATE_H
#define EXACT_BACKFILL_STATE_H

#include "postgres.h"

#include "utils/timestamp.h"

/* A page of a backfill that has been stored */
typedef struct ExactBackfillPage
{
	int			division;
	const char *feed;
	int64		run;
	const char *next_link;		/* NULL: the last page */
	TimestampTz started_at;
	int64		first_max;
	int64		max;
	bool		rising;
	int64		rows;
	int			night;			/* of a nightly one; 0 none */
	int			errors;			/* in a row: it has not got beyond them yet */
} ExactBackfillPage;

/* All in a unit. */

/*
 * The feed is to be read again from this mark; nightly: by itself, a part each night. Nothing
 * changes when a backfill goes on that covers a nightly one.
 */
extern void exact_backfill_state_want(int division, const char *feed, const char *reason,
									  int64 mark, bool nightly);
/* Locks its row. False when it has ended or begun anew since its page was asked for. */
extern bool exact_backfill_state_lock(int division, const char *feed, int64 run, bool paging);
extern void exact_backfill_state_save(const ExactBackfillPage *page);
/* It has read its last page: what waited for it is done. */
extern void exact_backfill_state_end(int division, const char *feed);
/* Its request failed, for the errors-th time in a row; forget_link: it goes on without its link. */
extern void exact_backfill_state_fail(int division, const char *feed, const char *error,
									  int errors, bool forget_link);

#endif
