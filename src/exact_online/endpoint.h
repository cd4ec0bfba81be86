/*
 * endpoint.h - errors of an endpoint: Exact Online blocks one that has answered with ten errors in
 * an hour; the fetcher spends six of them, nine when an operator resumes its division.
 *
 * In memory of the fetcher; a block is kept in exact.rate_limit. An endpoint is a resource of a
 * division; a key in its path is the same endpoint. Division 0: calls outside a division.
 */
#ifndef EXACT_ENDPOINT_H
#define EXACT_ENDPOINT_H

#include "utils/timestamp.h"

/* HTTP statuses that Exact Online answers with */
enum
{
	EXACT_STATUS_BAD_REQUEST = 400,
	EXACT_STATUS_UNAUTHORIZED = 401,	/* the access token is not accepted */
	EXACT_STATUS_FORBIDDEN = 403,	/* a right or a scope is missing, or the division is closed */
	EXACT_STATUS_NOT_FOUND = 404,
	EXACT_STATUS_GONE = 410,
	EXACT_STATUS_TOO_MANY = 429,	/* a limit of calls is reached */
	EXACT_STATUS_FAILED = 500,
	EXACT_STATUS_NOT_IMPLEMENTED = 501
};

/* Does an answer with this HTTP status count as an error of the endpoint? */
extern bool exact_endpoint_is_error(long status);

/* exact.api_call.feed of what write.c sends */
#define EXACT_ENDPOINT_WRITER "write-back"

/*
 * It has answered with an error that counts; feed: who asked. Errors of writes close the endpoint
 * to writes, and to others only with theirs, at nine of both: a reading finds out what was written.
 */
extern void exact_endpoint_count_error(int division, const char *resource, const char *feed,
									   TimestampTz at);

/* A call to it is on the way (an error more, perhaps); it has ended. */
extern void exact_endpoint_begin(int division, const char *resource);
extern void exact_endpoint_end(int division, const char *resource);
/*
 * The time at which it may be called again, 0 = now; *why says it for the user (static text).
 */
extern TimestampTz exact_endpoint_closed_until(int division, const char *resource,
											   const char **why);
/*
 * Likewise for a write, which leaves four of the ten errors of an hour to others: six errors of
 * any kind close it.
 */
extern TimestampTz exact_endpoint_writes_closed_until(int division, const char *resource,
													  const char **why);

/*
 * It answered 429 and no header says why. True: Exact Online has blocked it, and it alone waits.
 * False: it may be a limit of the division, which waits until then; the endpoint waits a moment
 * longer, so that an answer to another one tells the two apart.
 */
extern bool exact_endpoint_refused(int division, const char *resource, TimestampTz then);
/* It has answered, with an error or not, but no 429: it is not blocked. */
extern void exact_endpoint_answered(int division, const char *resource);

/*
 * An operator has resumed the division: its errors are forgotten, but for the last three that
 * Exact Online still stands; a blocked endpoint is tried once.
 */
extern void exact_endpoint_forgive(int division);
/* In a unit: keeps the block of an endpoint, or that there is none any more. */
extern void exact_endpoint_save(int division, const char *resource);
/* In a unit, once at start: the errors of this hour and the blocks that are left. */
extern void exact_endpoint_load(void);

#endif
