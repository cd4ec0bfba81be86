/*
 * feed_state.h - exact.feed_state: how far each feed has been read. Its only writer in C.
 */
#ifndef EXACT_FEED_STATE_H
#define EXACT_FEED_STATE_H

#include "postgres.h"

#include "utils/timestamp.h"

/*
 * Why feeds are read from their start, and which. What of their state is forgotten is the same for
 * each: exact._read_from_start(), which exact.enable_entities() calls as well.
 */
typedef enum ExactFromStart
{
	/* other fields are read than before: the feed `name` of the division */
	EXACT_FROM_START_FIELDS,
	/* row versions begin anew: the division's sync feeds and its log of deletes */
	EXACT_FROM_START_MOVED,
	EXACT_FROM_START_LOG,		/* the log of deletes has a gap: the division's sync feeds */
	EXACT_FROM_START_EPOCH,		/* another copy of the hub may have read on: all feeds */
	/* Delta knows more: the feed of the entity `name`, where a record is unknown */
	EXACT_FROM_START_OTHER_COPY
} ExactFromStart;

/* A page of a run that has been stored */
typedef struct ExactFeedPage
{
	int			division;
	const char *feed;
	int64		mark;
	int64		run;
	bool		complete;		/* the run's last page */
	const char *next_link;		/* NULL on the last page */
	TimestampTz run_started_at;
	int64		run_first_max;
	int64		run_max;
	bool		run_rising;
	int64		run_rows;
	bool		run_whole;
	TimestampTz next_run_at;	/* of the last page; 0 on the others */
	const char *fields_digest;
	int64		reread_from;	/* 0 none */
	TimestampTz again_at;		/* 0 none */
	int64		night_mark;		/* 0 none */
	TimestampTz night_at;
	int			errors;			/* in a row: the run has not got beyond them yet */
} ExactFeedPage;

/* All in a unit. */

/*
 * Returns the number of feeds; *run (may be NULL) becomes the new run of one of them. division,
 * name: 0, NULL unless named above.
 */
extern uint64 exact_feed_state_from_start(ExactFromStart reason, int division, const char *name,
										  int64 *run);

/*
 * Locks the feed's row. False when the feed is not where it was when its page was asked for: it
 * has been reset meanwhile.
 */
extern bool exact_feed_state_lock(int division, const char *feed, int64 mark, int64 run,
								  bool paging);
extern void exact_feed_state_save(const ExactFeedPage *page);
/*
 * A run's request failed, for the errors-th time in a row; forget_link: the run goes back to its
 * first page.
 */
extern void exact_feed_state_fail(int division, const char *feed, const char *error, int errors,
								  bool forget_link);

/* A backfill of it has read everything: what it did not show is gone. */
extern void exact_feed_state_whole(int division, const char *feed, TimestampTz whole_at,
								   int64 rows);

/* A keyed read of the feed failed; one succeeded. */
extern void exact_feed_state_fail_keyed(int division, const char *feed, const char *error);
extern void exact_feed_state_heal_keyed(int division, const char *feed);

/* Its feeds have been notified of changes between these moments. */
extern void exact_feed_state_notify(int division, char **feeds, int nfeeds, TimestampTz first,
									TimestampTz last);
/* The feeds of a topic are to run; that a feed is to run has been seen. */
extern void exact_feed_state_request_topic(int division, const char *topic);
extern void exact_feed_state_take_request(int division, const char *feed);

#endif
