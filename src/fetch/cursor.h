/*
 * cursor.h - where a run begins to read.
 */
#ifndef EXACT_CURSOR_H
#define EXACT_CURSOR_H

#include "exact_online/odata.h"
#include "fetch/lane.h"

/* Where a run stands after a page: row versions, or times of change */
typedef struct ExactCursor
{
	int64		first_max;		/* highest of its first page */
	int64		max;			/* of all its pages */
	bool		rising;			/* no page began below the highest of those before */
	int64		mark;			/* that the next run reads from; moves with the last page */
} ExactCursor;

/* Nights since 2000, and when one begins. */
extern int	exact_cursor_night(TimestampTz at);
extern TimestampTz exact_cursor_night_begins(int night);
/* Is it another night than that in which the run's night mark was set? */
extern bool exact_cursor_new_night(const ExactRun *run);
/* Is a feed by time of change to be read whole this night? */
extern bool exact_cursor_night_whole(const ExactRun *run);

/* Does a run that begins now read everything? */
extern bool exact_cursor_whole(const ExactRun *run);
/*
 * The mark that it reads from: row version, or ms of the service's local clock less an overlap; 1
 * = everything.
 */
extern int64 exact_cursor_from(const ExactRun *run);

/*
 * Is the next page the first of the run? Also when the link to it was lost and nothing tells where
 * the run stood.
 */
extern bool exact_cursor_begins(const ExactRun *run);

/*
 * A page was larger than an answer may be: from where the run stands it goes on with fewer rows,
 * and with more after each page. False: it asks for one row already, or nothing
 * tells where the run stands.
 */
extern bool exact_cursor_smaller(ExactRun *run);
extern void exact_cursor_larger(ExactRun *run);
/* Rows that the part of a page after this one is to have */
extern int	exact_cursor_next_top(const ExactRun *run);
/* After a part: does the highest mark of the run lead further than to where the part began? */
extern bool exact_cursor_rises(const ExactRun *run, const ExactCursor *cursor);

/*
 * Follows a page; complete: it is the run's last one. present: the service's own present, for marks
 * that are times of change. Raises EX009 when a record has no row version.
 */
extern void exact_cursor_follow(const ExactRun *run, const ExactPage *page, int64 present,
								bool complete, ExactCursor *cursor);

#endif
