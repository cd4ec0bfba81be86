/*
 * api_error.h - what an error body of Exact Online says, for people.
 */
#ifndef EXACT_API_ERROR_H
#define EXACT_API_ERROR_H

#include "postgres.h"

#define EXACT_API_ERROR_WORDS_MAX 200	/* bytes of what the service said, in a message */

/*
 * The text in a body, fit for tables and the log (base/words.h), palloc'd; NULL when there is none:
 * no JSON, another form, larger than 1 MB.
 */
extern char *exact_api_error_words(const char *body, size_t len);

/*
 * The message of the service's own form of an error, in full (at most 4,000 bytes), likewise fit
 * and palloc'd; NULL: the body is no such error, but of a gateway, or a page.
 */
extern char *exact_api_error_message(const char *body, size_t len);

#endif
