/*
 * asker.h - asking a worker of this database: a backend that waits (exact._ask), or another worker
 * that looks again each turn.
 */
#ifndef EXACT_ASKER_H
#define EXACT_ASKER_H

#include "postgres.h"

#include "base/fault.h"
#include "worker/role.h"

typedef struct ExactAsking ExactAsking;

typedef enum ExactAskingState
{
	EXACT_ASKING_WAITS,			/* look again when the latch is set, and now and then */
	EXACT_ASKING_ANSWERED,
	EXACT_ASKING_FAILED
} ExactAskingState;

/*
 * A question of the role `user` that logged in (NULL: of a worker); NULL among args is SQL null.
 * Lives in the current memory context until exact_asking_free. Raises when it is too long.
 */
extern ExactAsking *exact_asking_new(ExactRole role, const char *op, const char *user,
									 int nargs, const char *const *args);

/*
 * Hands it to the worker, once; exact_asking_look hands it to the next one when that ended before
 * it took the question. False when that cannot take it now; *busy: it has too many
 * questions, else it does not run and *why is the reason (both may be NULL).
 */
extern bool exact_asking_start(ExactAsking *asking, bool *busy, char **why);

/*
 * Is there an answer? *text is palloc'd; *fault likewise, also when the worker ended or was silent
 * for 150 s (EX002).
 */
extern ExactAskingState exact_asking_look(ExactAsking *asking, char **text, size_t *len,
										  ExactFault **fault);

/* Drops it, answered or not. */
extern void exact_asking_free(ExactAsking *asking);

#endif
