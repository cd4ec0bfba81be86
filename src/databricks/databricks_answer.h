/*
 * databricks_answer.h - what an answer of Databricks says: the state, error and rows of a
 * statement.
 *
 * All results live in the current memory context.
 */
#ifndef EXACT_DATABRICKS_ANSWER_H
#define EXACT_DATABRICKS_ANSWER_H

#include "base/json.h"
#include "databricks/databricks.h"
#include "http/http_client.h"

#define EXACT_DATABRICKS_WORDS_MAX 300	/* bytes of a text of the service that people are shown */

/* The statuses that mean something here (RFC 9110) */
enum
{
	HTTP_OK = 200,
	HTTP_CREATED = 201,
	HTTP_NO_CONTENT = 204,
	HTTP_CLIENT_ERRORS = 400,	/* from here on */
	HTTP_UNAUTHORIZED = 401,
	HTTP_FORBIDDEN = 403,
	HTTP_NOT_FOUND = 404,
	HTTP_TIMEOUT = 408,
	HTTP_TOO_LARGE = 413,
	HTTP_TOO_MANY_REQUESTS = 429,
	HTTP_CLIENT_CLOSED = 499,	/* a gateway's, no RFC's: the call was given up on its way */
	HTTP_SERVER_ERRORS = 500,	/* from here on */
	HTTP_NOT_IMPLEMENTED = 501,
	HTTP_UNAVAILABLE = 503
};

/* The text at a path of the answer (json.h), NULL when it is absent or null */
extern char *exact_databricks_answer_text(const ExactHttpResponse *response, const char *path);
/* The id of a statement; NULL when it is none: longer than 100 bytes, or not one word of ASCII */
extern char *exact_databricks_answer_id(const ExactJsonMember *member);
/* State, name, size and auto stop of a warehouse; false when the answer is not one about it */
extern bool exact_databricks_answer_warehouse(const ExactHttpResponse *response,
											  ExactCallAnswer *answer);
/* The service's own words about an error, from any of its shapes */
extern char *exact_databricks_answer_words(const ExactHttpResponse *response);
/* 401, or the 403 that is about the token and not about a privilege */
extern bool exact_databricks_answer_token_refused(const ExactHttpResponse *response);
/* The next step after a 403 with these words */
extern const char *exact_databricks_answer_forbidden(const char *words);

/* What is looked for in the query history, over its pages */
typedef struct ExactHistory
{
	const char *mark;			/* what a statement of ours begins with */
	const char *not_mark;		/* but not with this one; NULL: all */
	const char *principal;		/* whose statements ours are; NULL: not known */
	bool		others;			/* a statement of somebody else, also one that is over */
	bool		hidden;			/* the text of one is not shown */
} ExactHistory;

/*
 * A page of the query history: running_id when it has what is looked for. *next: another page is to
 * be read, NULL: it was the last. False when the answer is malformed.
 */
extern bool exact_databricks_answer_history(const ExactHttpResponse *response,
											ExactHistory *history, ExactCallAnswer *answer,
											char **next);

/* What an answer says of the whole result, whose rows may come in several chunks */
typedef struct ExactChunk
{
	bool		described;		/* there is a manifest, so that rows can be missed */
	int64		total;			/* rows of all chunks, -1: it does not say */
	bool		truncated;		/* cut by the service */
	char	   *next;			/* path of the next chunk; NULL: this was the last */
} ExactChunk;

/*
 * State, error and first rows of a statement; false when the answer is not one about a statement.
 */
extern bool exact_databricks_answer_statement(const ExactHttpResponse *response,
											  ExactCallAnswer *answer, ExactChunk *out);
/* Adds the rows of the next chunk; false when the answer is not that chunk. */
extern bool exact_databricks_answer_chunk(const ExactHttpResponse *response,
										  ExactCallAnswer *answer, ExactChunk *out);
/* Why the rows that were read are not the whole result; NULL: they are. palloc'd */
extern char *exact_databricks_answer_gap(const ExactCallAnswer *answer, const ExactChunk *chunk);

#endif
