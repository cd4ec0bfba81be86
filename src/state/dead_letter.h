/*
 * dead_letter.h - exact.dead_letter: rows that could be neither staged nor delivered as they are.
 *
 * The only C code that writes it; an operator's part is exact.retry(). Everything runs in a unit.
 * Whoever finds such a row puts it aside here with its reason and goes on with the others.
 */
#ifndef EXACT_DEAD_LETTER_H
#define EXACT_DEAD_LETTER_H

#include "postgres.h"

#include "utils/timestamp.h"

typedef enum ExactDeadLetterSide
{
	EXACT_DEAD_LETTER_READING,	/* Exact Online sent it so */
	EXACT_DEAD_LETTER_DELIVERY	/* Databricks cannot take it */
} ExactDeadLetterSide;

typedef struct ExactDeadLetter
{
	ExactDeadLetterSide side;
	int			division;
	const char *entity;
	const char *key;			/* NULL: the row has none */
	const char *column;			/* what is wrong; NULL: not one column */
	const char *value_type;		/* what kind of value it holds, never the value; NULL: not known */
	const char *reason;
	/* of a delivery: where to, and the address of the version */
	const char *workspace;
	int			slot;
	int64		batch;
	int			ord;
	int64		seq;
	/* of a reading: the row as received, any bytes */
	const char *payload;
	size_t		payload_len;
} ExactDeadLetter;

/*
 * Puts a row aside under *id; true when it is new: the caller says so in the log. The same row (of
 * a reading: its bytes; of a delivery: workspace, batch and ord) again raises its times; one that
 * was to be tried again is dead again.
 */
extern bool exact_dead_letter_add(const ExactDeadLetter *letter, int64 *id);

/*
 * Of a reading: good versions of these keys were staged, or the records are gone: what was put
 * aside of them is done.
 */
extern void exact_dead_letter_done(int division, const char *entity, char **keys, int nkeys);

/*
 * A feed has been read from its start by a run that began then: of these entities, the rows that
 * were to be tried again and did not come again are done.
 */
extern void exact_dead_letter_reread(int division, const char *const *entities, int nentities,
									 TimestampTz run_started_at);

/* Of deliveries of an entity to a workspace: how many are put aside for this reason? */
extern int64 exact_dead_letter_alike(const char *workspace, const char *entity,
									 const char *reason);
/* These versions were delivered after all: their addresses */
extern void exact_dead_letter_delivered(const char *workspace, const int64 *batches,
										const int64 *ords, int n);
/* After a delivery of the entity: dead ones whose record has a newer version there have passed. */
extern void exact_dead_letter_passed(const char *workspace, const char *entity);

#endif
