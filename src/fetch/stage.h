/*
 * stage.h - writes versions: a page of records or a list of tombstones becomes batches, in one transaction of the caller's.
 *
 * The only writer of exact.stage, exact.batch and exact.record; in the fetcher alone, so that _seq rises in commit order.
 */
#ifndef EXACT_STAGE_H
#define EXACT_STAGE_H

#include "exact_online/feed.h"
#include "utils/timestamp.h"

/* The reason of keys that a first load makes dirty: their reads leave the reserve of live traffic alone. */
#define EXACT_STAGE_FIRST_LOAD "first load"

typedef struct ExactStagePage
{
	const ExactFeed *feed;
	const bool *enabled;		/* for each entity of the feed */
	const ExactPage *page;
	int			division;
	int64		run;
	int64		call;
	TimestampTz sent_at;		/* of the request */
	int64		sent_seq;		/* exact_stage_last_seq() when the request was sent */
	int			mark_generation;
	bool		first;			/* of the feed's first load: nobody waits for what it makes dirty */
	/* results */
	int			rows;
	int			fresh;			/* new records */
	int			changed;
	int			stale;			/* older than what is stored, or sent before a tombstone: not staged, keys are dirty */
	int64		reread_from;	/* lowest row version of those sent before a tombstone, 0 none */
	int			vanished;		/* lines that are no longer in their expanded documents */
	int			unread;			/* documents that came without all their lines, which are dirty now under the lines' entity */
} ExactStagePage;

/* In a unit, once at start: installation, epoch and counter. */
extern void exact_stage_load(void);
/* The highest _seq given so far. */
extern int64 exact_stage_last_seq(void);

/* In a unit: stages what changed. Raises EX010 (division guard) or EX009 (a record without key): nothing of the page is kept. */
extern void exact_stage_page(ExactStagePage *page);

/* In a unit: a page of lines that were read on their own, by the keys of their documents. */
extern void exact_stage_lines(ExactStagePage *page);
/* In a unit: deletes the lines of these documents that are none of these keys and were known when the read began. */
extern void exact_stage_vanished(ExactStagePage *page, const char *lines, char **documents, int ndocuments, char **keys, int nkeys, int64 known_seq);

/*
 * In a unit: stages a tombstone for each key that is known and not deleted; for a header also for its lines (line_entity, may
 * be NULL). Returns the number of tombstones.
 */
extern int	exact_stage_delete(int division, const char *feed, const char *entity, const char *line_entity,
							   char **keys, int nkeys, int64 run, int64 call, const char *how);

#endif
