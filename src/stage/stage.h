/*
 * stage.h - writes versions: rows of an entity or a list of tombstones become a batch, in one
 * transaction of the caller's.
 *
 * The only writer of exact.stage, exact.batch and exact.record; in the fetcher alone, so that _seq
 * rises in commit order.
 */
#ifndef EXACT_STAGE_H
#define EXACT_STAGE_H

#include "utils/timestamp.h"

#include "exact_online/feed.h"
#include "exact_online/odata.h"

/* A page of records that is staged */
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
	/* older than what is stored, or sent before a tombstone: not staged, keys are dirty */
	int			stale;
	int64		reread_from;	/* lowest row version of those sent before a tombstone, 0 none */
	/* documents that did not show all their lines: dirty under the lines' entity */
	int			unread;
	int			aside;			/* rows that cannot be staged: in exact.dead_letter */
	int			nameless;		/* of these, those of which nobody knows the record */
} ExactStagePage;

/* Columns of a page for one entity */
typedef struct ExactStageRows
{
	int			n;
	char	  **keys;
	char	  **parents;
	const void **hashes;
	size_t	   *hash_lens;
	const void **formers;		/* as hashed before: exact_feed_hash() */
	size_t	   *former_lens;
	int64	   *versions;
	bool	   *no_version;
	const char **payloads;
	size_t	   *payload_lens;
	/* results */
	int64		batch;			/* of the new versions */
	char	  **documents;		/* keys of the documents that these are of */
	int			ndocuments;
} ExactStageRows;

/* All in a unit. */

/* Once at start: installation, epoch and counter. */
extern void exact_stage_load(void);
/* The highest _seq given so far; also outside a unit. */
extern int64 exact_stage_last_seq(void);

/* Stages what changed of these rows, and adds to the page's results. */
extern void exact_stage_rows(ExactStagePage *page, const ExactFeedEntity *entity,
							 ExactStageRows *rows);
/*
 * Stages a tombstone for each key that is known and not deleted; for a header also for its lines
 * (line_entity, may be NULL). how: for the audit log. Returns the number of tombstones.
 */
extern int	exact_stage_delete(int division, const char *feed, const char *entity,
							   const char *line_entity, char **keys, int nkeys, int64 run,
							   int64 call, const char *how);
/*
 * Stages the newest version of these records once more, with a version number of its own, so that
 * Delta gets it again; of a deleted one its tombstone. Returns their number: others are not known.
 */
extern int	exact_stage_again(int division, const char *entity, char **keys, int nkeys);

#endif
