/*
 * http_client.h - asynchronous HTTPS requests of a worker (libcurl behind http_client.c).
 *
 * Transfers run inside the worker's wait; `done` is called from the loop, outside any transaction
 * and outside libcurl's stack, in a memory context that lives until it returns. It may start other
 * transfers and run units.
 */
#ifndef EXACT_HTTP_CLIENT_H
#define EXACT_HTTP_CLIENT_H

#include "postgres.h"

typedef enum ExactHttpOutcome
{
	EXACT_HTTP_ANSWERED,		/* a complete answer: status, headers, body */
	/* surely not processed: resolve, connect or TLS failed, or the host is not allowed */
	EXACT_HTTP_NOT_SENT,
	/* sent, but no complete answer: the other side may have processed it */
	EXACT_HTTP_UNKNOWN
} ExactHttpOutcome;

/* Why there is no answer */
typedef enum ExactHttpFailure
{
	EXACT_HTTP_NONE,
	EXACT_HTTP_HOST,			/* the host or its address is not allowed */
	EXACT_HTTP_NAME,			/* the name was not found */
	EXACT_HTTP_CONNECT,
	EXACT_HTTP_TLS,
	EXACT_HTTP_TIMEOUT,
	EXACT_HTTP_OTHER
} ExactHttpFailure;

typedef struct ExactHttpRequest
{
	const char *method;			/* GET, POST, PUT, DELETE, HEAD */
	/* absolute; http:// and loopback only with exact_databricks.insecure_loopback */
	const char *url;
	const char *const *headers; /* "Name: value" lines, NULL-terminated; may be NULL */
	const char *body;			/* may be NULL */
	size_t		body_len;
	bool		borrowed;		/* the body lives until done is called: it is not copied */
	long		timeout_ms;		/* total; 0 = 60 s */
	size_t		max_bytes;		/* cap of the answer; 0 = 64 MB */
	/*
	 * origin of public_url when the hub calls itself, else NULL: allowed without an entry in
	 * allowed_hosts
	 */
	const char *own;
	/* buffers of request and answer are cleansed before they are freed */
	bool		sensitive;
} ExactHttpRequest;

typedef struct ExactHttpResponse
{
	ExactHttpOutcome outcome;
	ExactHttpFailure failure;
	long		status;			/* 0 when there is none */
	const char *error;			/* NULL when answered; else a short text without secrets */
	char	   *body;			/* NUL-terminated, never NULL; gone when done returns */
	size_t		body_len;
	double		ms;				/* from start to the last byte */
	bool		too_large;		/* cut at max_bytes (outcome UNKNOWN) */
	struct ExactHttpHeaders *headers;
} ExactHttpResponse;

typedef void (*ExactHttpDone) (ExactHttpResponse *response, void *arg);
typedef struct ExactHttpTransfer ExactHttpTransfer;

/*
 * Copies what it needs of the request. A refused host calls done from the next loop turn. Never
 * follows redirects.
 */
extern ExactHttpTransfer *exact_http_start(const ExactHttpRequest *request, ExactHttpDone done,
										   void *arg);
/* Drops a transfer; done is not called. */
extern void exact_http_cancel(ExactHttpTransfer *transfer);
extern int	exact_http_active(void);

/* Frame side (worker.c). Once in a worker, after exact_evloop_init. */
extern void exact_http_init(void);
/* ms until exact_http_run must be called even if no socket is ready; -1 = none. */
extern long exact_http_timeout(void);
/* Moves all transfers on and calls done of the finished ones; returns how many were called. */
extern int	exact_http_run(void);

#endif
