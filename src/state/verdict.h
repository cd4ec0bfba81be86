/*
 * verdict.h - exact.verdict: versions that a rule found something about. Its only writer in C.
 */
#ifndef EXACT_VERDICT_H
#define EXACT_VERDICT_H

#include "postgres.h"

#include "utils/timestamp.h"

/* What becomes of a version in the current table */
typedef enum ExactHeld
{
	EXACT_HELD_NOT,
	EXACT_HELD_DOUBT,			/* the state before it stays, unmarked, until it was read again */
	EXACT_HELD_MARKED			/* the state before it stays, with _valid = false */
} ExactHeld;

/* The newest version of a record of a document */
typedef struct ExactFinding
{
	const char *entity;
	const char *key;
	int64		seq;
	int			slot;
	int64		batch;
	int			ord;
	ExactHeld	held;
	const char *problems;		/* NULL: none */
} ExactFinding;

/* All in a unit. */

/*
 * What the rules say of these versions now; what Delta may have otherwise goes once more.
 */
extern void exact_verdict_put(int division, const ExactFinding *findings, int n);

/* Delta has these versions as the verdict was at that moment. */
extern void exact_verdict_delivered(const int64 *batches, const int64 *ords,
									const TimestampTz *changed_at, int n);

#endif
