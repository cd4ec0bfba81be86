/*
 * endpoint.h - errors of an endpoint: Exact Online blocks one that has answered with ten errors in
 * an hour; the fetcher spends six of them.
 *
 * In memory of the fetcher. An endpoint is a resource of a division; a key in its path is the same
 * endpoint. Division 0: calls outside a division.
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

/* It has answered with an error that counts. */
extern void exact_endpoint_count_error(int division, const char *resource, TimestampTz at);

/* The time at which it may be called again, 0 = now. */
extern TimestampTz exact_endpoint_closed_until(int division, const char *resource);

/* Forgets the errors of a division (an operator has resumed it). */
extern void exact_endpoint_forgive(int division);

/* In a unit, once at start: the errors of this hour. */
extern void exact_endpoint_load(void);

#endif
