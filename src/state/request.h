/*
 * request.h - exact.request: what operators asked for. Its only writer in C.
 */
#ifndef EXACT_REQUEST_H
#define EXACT_REQUEST_H

#include "postgres.h"

/* Kinds of requests that a worker does; the verbs that are done at once write their rows in SQL. */
#define EXACT_REQUEST_SYNC "sync"
#define EXACT_REQUEST_SUBSCRIBE "subscribe"
#define EXACT_REQUEST_VIEWS "views"
#define EXACT_REQUEST_READ_DIMENSIONS "read_dimensions"
#define EXACT_REQUEST_REPLAY "replay"
#define EXACT_REQUEST_ERASE "erase"

typedef struct ExactRequest
{
	int64		id;
	char	   *workspace;		/* NULL: all */
	bool		cancel_wanted;
} ExactRequest;

/*
 * All in a unit. A row that somebody holds is passed over, so that nobody's open transaction keeps
 * a worker waiting.
 */

/*
 * Takes all that wait; returns their number. Also those that were taken at a time that is still to
 * come, by a clock that was set back.
 */
extern int	exact_request_take(const char *kind);
/*
 * Takes the oldest that waits or that an earlier process left running; false when there is none.
 * Texts in CurrentMemoryContext.
 */
extern bool exact_request_take_next(const char *kind, ExactRequest *request);
/* Ends those that run and whose asker does not want them any more. */
extern void exact_request_cancel(const char *kind);
extern bool exact_request_cancel_wanted(int64 id);
/* Does one run? */
extern bool exact_request_runs(const char *kind);
/*
 * Ends one that runs: state "done", "failed" or "cancelled". wait: also if somebody holds it.
 * False when it was not ended.
 */
extern bool exact_request_finish(int64 id, const char *state, const char *result, bool wait);

#endif
