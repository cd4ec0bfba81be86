/*
 * aside.h - rows that cannot be staged are put aside, and what they are of is not taken for gone.
 */
#ifndef EXACT_ASIDE_H
#define EXACT_ASIDE_H

#include "utils/timestamp.h"

#include "exact_online/feed.h"
#include "exact_online/odata.h"

/* A row that cannot be staged */
typedef struct ExactAsideRow
{
	int			division;
	const char *entity;
	const char *key;			/* NULL: it has none */
	const char *field;			/* that is wrong; NULL: not one */
	const char *reason;
	ExactSlice	text;			/* as received */
} ExactAsideRow;

/* All in a unit. */

/* Puts a row into exact.dead_letter, with an alarm in the log when it is new. */
extern void exact_aside_put(const ExactAsideRow *row);

/*
 * Why a record of an entity cannot be staged, a clause; NULL: it can. *field: of which field, NULL
 * not of one. *key: its key, NULL when it has none that can be relied on.
 */
extern const char *exact_aside_reason(const ExactFeed *feed, const ExactFeedEntity *entity,
									  const ExactRecord *record, char **key, const char **field);

/*
 * Records that were in an answer and are not staged count as seen by its run: those with these
 * keys, or the lines of documents with these keys.
 */
extern void exact_aside_seen(int division, const char *entity, char **keys, int nkeys, int64 run);
extern void exact_aside_seen_lines(int division, const char *entity, char **documents,
								   int ndocuments, int64 run);

/*
 * Has a run that began then put rows aside of which nobody knows the record? Then nothing that it
 * did not show is gone.
 */
extern bool exact_aside_nameless(int division, const ExactFeed *feed, TimestampTz run_started_at);

#endif
