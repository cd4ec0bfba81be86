/*
 * http_answer.c - what the headers of an answer say, and the header that carries a token.
 */
#include "postgres.h"

#include "base/words.h"
#include "http/http_answer.h"
#include "http/http_client.h"
#include "http/http_transfer.h"

#define BEARER "Authorization: Bearer "
#define HEADER_MAX 2048			/* bytes of a value that anybody reads */

/* The border: no other function hands out a header. */
const char *
exact_http_header(const ExactHttpResponse *response, const char *name)
{
	ExactHttpTransfer *t = (ExactHttpTransfer *) response->headers;
	struct curl_header *header;

	if (t->easy == NULL ||
		curl_easy_header(t->easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
		return NULL;
	return exact_words_tidy(header->value, HEADER_MAX);
}

/* An HTTP date, 0 when it is none */
static TimestampTz
parse_date(const char *text)
{
	time_t		seconds = curl_getdate(text, NULL);

	return seconds < 0 ? 0 : time_t_to_timestamptz(seconds);
}

TimestampTz
exact_http_date(const ExactHttpResponse *response)
{
	const char *value = exact_http_header(response, "Date");

	return value ? parse_date(value) : 0;
}

long
exact_http_retry_after(const ExactHttpResponse *response, long most_s)
{
	const char *value = exact_http_header(response, "Retry-After");
	TimestampTz date;
	char	   *end;
	long		seconds;

	if (value == NULL)
		return -1;
	seconds = strtol(value, &end, 10);
	if (end != value && *end == '\0')
		return seconds < 0 ? -1 : Min(seconds, most_s);
	date = parse_date(value);
	if (date == 0)
		return -1;
	return Max(0, Min((date - GetCurrentTimestamp()) / USECS_PER_SEC, most_s));
}

char *
exact_http_bearer(const char *token, size_t len)
{
	size_t		size = sizeof(BEARER) + len;
	char	   *bearer = palloc(size);

	snprintf(bearer, size, "%s%s", BEARER, token);
	return bearer;
}

void
exact_http_forget_bearer(char *bearer)
{
	explicit_bzero(bearer, strlen(bearer));
	pfree(bearer);
}
