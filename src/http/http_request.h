/*
 * http_request.h - may this request be served? What a strict reader of RFC 9112 finds in the head
 * of a request.
 *
 * Pure reading of bytes that somebody else split into lines: no server calls, nothing raises,
 * compiles FRONTEND for fuzzing.
 */
#ifndef EXACT_HTTP_REQUEST_H
#define EXACT_HTTP_REQUEST_H

#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#define EXACT_HEAD_MAX 8192		/* bytes of request line and headers */
#define EXACT_HEADERS_MAX 100

typedef struct ExactHeader
{
	const char *name;
	size_t		name_len;
	const char *value;
	size_t		value_len;
	size_t		blanks;			/* behind the value, no part of it */
} ExactHeader;

typedef struct ExactHead
{
	/* given */
	const char *method;
	size_t		method_len;
	const char *target;			/* as sent, not decoded */
	size_t		target_len;
	const char *version;		/* HTTP/1.0 or HTTP/1.1 */
	/* bytes that request line, headers and the empty line took on the wire */
	size_t		size;
	int			nheaders;
	ExactHeader headers[EXACT_HEADERS_MAX];

	/* found */
	size_t		path_len;		/* of target, up to the first ? */
	bool		chunked;
	uint64		content_length;
	const ExactHeader *authorization;
	/* values of X-Forwarded-For, joined with commas */
	char		forwarded_for[EXACT_HEAD_MAX + 1];
} ExactHead;

/*
 * 0, and what was found; or the status that refuses it. name and value of each header must lie in
 * the buffer that was received, so that the bytes between them can be counted: whatever the
 * splitter forgave (bare line feeds, folded lines, blanks before a colon, NUL) makes the sum differ
 * from size and is refused.
 */
extern int	exact_request_check(ExactHead *head);

#endif
