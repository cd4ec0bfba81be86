/*
 * stage.h - writes versions: a page of records or a list of tombstones becomes batches, in one transaction of the caller's.
 *
 * The only writer of exact.stage, exact.batch and exact.record; in the fetcher alone, so that _seq rises in commit order.
 */
#ifndef EXACT_STAGE_H
#define EXACT_STAGE_H

#include "feed.h"

typedef struct ExactStagePage
{
	const ExactFeed *feed;
	const bool *enabled;		/* for each entity of the feed */
	const ExactPage *page;
	int			division;
	int64		run;
	int64		call;
	int64		sent_seq;		/* exact_stage_last_seq() when the request was sent */
	int			mark_generation;
	/* results */
	int			rows;
	int			fresh;			/* new records */
	int			changed;
	int			stale;			/* older than what is stored, or sent before a tombstone: not staged, keys are dirty */
} ExactStagePage;

/* In a unit, once at start: installation, epoch and counter. */
extern void exact_stage_load(void);
/* The highest _seq given so far. */
extern int64 exact_stage_last_seq(void);

/* In a unit: stages what changed. Raises EX010 (division guard) or EX009 (a record without key): nothing of the page is kept. */
extern void exact_stage_page(ExactStagePage *page);

/*
 * In a unit: stages a tombstone for each key that is known and not deleted; for a header also for its lines (line_entity, may
 * be NULL). Returns the number of tombstones.
 */
extern int	exact_stage_delete(int division, const char *feed, const char *entity, const char *line_entity,
							   char **keys, int nkeys, int64 run, int64 call, const char *how);

#endif
