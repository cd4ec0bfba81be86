/*
 * exact_api.h - one call to Exact Online: token, budgets, classification of the answer, record of
 * the call.
 *
 * Fetcher only. The caller asks budget.h first whether a call may be sent.
 */
#ifndef EXACT_EXACT_API_H
#define EXACT_EXACT_API_H

#include "utils/timestamp.h"

#include "base/fault.h"
#include "http/http_client.h"

typedef enum ExactApiTrouble
{
	EXACT_API_OK,
	EXACT_API_TRANSIENT,		/* no answer, 5xx, not JSON: the same request may succeed later */
	EXACT_API_LIMIT,			/* a budget is used up; retry_at says until when */
	EXACT_API_REFUSED,			/* 4xx about this request: repeating it only costs errors */
	EXACT_API_PARKED,			/* 403 with a Reason about the whole division */
	EXACT_API_UNAUTHORIZED,		/* a human must consent, or credentials are missing */
} ExactApiTrouble;

typedef struct ExactApiRequest
{
	const char *app;
	const char *base_url;		/* "https://start.exactonline.nl" */
	int			division;		/* 0: not division-scoped */
	const char *feed;			/* for the call log: feed or "ask" */
	const char *resource;		/* endpoint for the error budget: "sync/CRM/Accounts" */
	const char *url;			/* absolute */
	const char *label;			/* resource and query for people, without the field list */
	const char *language;		/* CustomDescriptionLanguage, may be NULL */
	const char *method;			/* POST, PUT or DELETE; NULL: GET */
	const char *body;			/* JSON, may be NULL */
	bool		number;			/* asks for a number, which is no JSON: $count */
	const char *asked_by;		/* role that asked; NULL: the hub, for its own work */
} ExactApiRequest;

typedef struct ExactApiAnswer
{
	ExactApiTrouble trouble;
	const ExactApiRequest *request;
	ExactHttpResponse *http;	/* NULL when nothing was sent */
	ExactFault *fault;			/* unless OK */
	const char *reason;			/* Reason header, may be NULL */
	/* message of an error body, in the consenting user's language; may be NULL */
	const char *said;
	TimestampTz retry_at;		/* for LIMIT, TRANSIENT from the token side; else 0 */
	bool		alone;			/* LIMIT: of this endpoint, not of its division */
	/* no answer of the service (worker/service.h), or no token: nothing to do with the request */
	bool		away;
} ExactApiAnswer;

typedef void (*ExactApiDone) (ExactApiAnswer *answer, void *arg);

/*
 * Starts a request; done is called once, at once or later, outside a transaction. done itself
 * records the call with exact_api_record in the unit that stores its outcome; what is not recorded
 * there is recorded afterwards. A request that changes something is sent once: without an answer
 * (http->outcome EXACT_HTTP_UNKNOWN) it may have been done.
 */
extern void exact_api_send(const ExactApiRequest *request, ExactApiDone done, void *arg);

/* The same for a request that only reads. */
static inline void
exact_api_get(const ExactApiRequest *request, ExactApiDone done, void *arg)
{
	Assert(request->method == NULL);
	exact_api_send(request, done, arg);
}

/* In a unit: the call's row and the division's budget. Returns the call id. */
extern int64 exact_api_record(ExactApiAnswer *answer, int rows);

#endif
