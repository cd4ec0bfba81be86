/*
 * http_answer.h - what the headers of an answer say, and the header that carries a token.
 */
#ifndef EXACT_HTTP_ANSWER_H
#define EXACT_HTTP_ANSWER_H

#include "postgres.h"

#include "utils/timestamp.h"

#include "http/http_client.h"

/* Value of a header of the answer without regard to case, or NULL. */
extern const char *exact_http_header(const ExactHttpResponse *response, const char *name);

/* The answer's Date header as time, or 0 */
extern TimestampTz exact_http_date(const ExactHttpResponse *response);

/*
 * Seconds until the service wants to be asked again, 0 to most_s: Retry-After in seconds or as a
 * date (RFC 9110, 10.2.3). -1 when it does not say, or nothing that can be read.
 */
extern long exact_http_retry_after(const ExactHttpResponse *response, long most_s);

/*
 * "Authorization: Bearer …", palloc'd; exact_http_forget_bearer() cleanses and frees it as soon as
 * the request has its copy.
 */
extern char *exact_http_bearer(const char *token, size_t len);
extern void exact_http_forget_bearer(char *bearer);

#endif
