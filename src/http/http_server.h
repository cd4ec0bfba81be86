/*
 * http_server.h - the HTTP/1.1 server of the listener (libmicrohttpd behind http_server.c).
 *
 * Runs inside the worker's wait, without a thread of its own. Complete requests wait in a list
 * until they are answered; whatever the routes, limits or strictness refuse is answered inside and
 * never seen by the caller.
 */
#ifndef EXACT_HTTP_SERVER_H
#define EXACT_HTTP_SERVER_H

#include "postgres.h"

#include "base/peer.h"

typedef struct ExactRoute
{
	const char *path;
	bool		post;			/* POST; else GET and HEAD */
	bool		token;			/* only for who shows the token */
	bool		brief;			/* the connection ends with the reply */
	size_t		max_body;		/* bytes; more is 413 */
} ExactRoute;

/*
 * A complete request, valid until it is answered or, unless it is held, exact_http_server_run is
 * called again
 */
typedef struct ExactRequest
{
	const ExactRoute *route;
	bool		head;			/* HEAD: the body of the reply is not sent */
	const char *query;			/* what follows the first ?, as sent; "" when there is nothing */
	const char *body;
	size_t		body_len;
	/* token of an Authorization header: Bearer's, or Basic's password; NULL when there is none */
	const char *token;
	ExactPeer	client;
	void	   *caller;			/* the caller's own */
} ExactRequest;

typedef struct ExactReply
{
	int			status;
	const char *body;			/* copied; NULL = none */
	size_t		len;
	const char *type;			/* of a body */
	const char *style_hash;		/* 'sha256-…' of an HTML page's one style element; NULL = none */
	int			retry_after;	/* seconds; 0 = no such header */
	bool		notification;	/* of a signed one: the connection may go on for ever */
	const char *location;		/* of another page, for 303; NULL = none */
	const char *hub;			/* X-Exact-Hub: which hub answers; NULL or "" = no such header */
} ExactReply;

/*
 * What happened to connections and requests that the caller never sees; counts since the process
 * started
 */
typedef struct ExactHttpServerCounts
{
	uint64		malformed;		/* 400, 411, 431, 501 */
	uint64		too_large;		/* 413 */
	uint64		unknown;		/* 404, 405 */
	uint64		timeouts;		/* closed after 10 s */
	uint64		over_limit;		/* closed: too many connections */
	int			connections;	/* open now */
} ExactHttpServerCounts;

/*
 * Opens sockets at the addresses (comma-separated; * = all) and starts to serve the routes, an
 * array that ends with a NULL path. False, and a palloc'd sentence in *why, when an address cannot
 * be used: nothing is open then.
 */
extern bool exact_http_server_open(const char *addresses, int port, const ExactRoute *routes,
								   char **why);
/*
 * Moves everything on that can be without waiting. Returns ms until it must be called again if
 * nothing comes, -1 = never.
 */
extern long exact_http_server_run(void);
/*
 * The next complete request, in the order they were completed; NULL when there is none. Each is
 * answered or held before the next run.
 */
extern ExactRequest *exact_http_server_next(void);
/* It will be answered in a later turn. */
extern void exact_http_server_hold(ExactRequest *request);
extern void exact_http_server_answer(ExactRequest *request, const ExactReply *reply);
extern const ExactHttpServerCounts *exact_http_server_counts(void);

/*
 * The process ends: answers 503 to everything that waits, as far as the sockets take it at once.
 * Palloc-free.
 */
extern void exact_http_server_stop(void);

#endif
