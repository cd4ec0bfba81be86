/*
 * oauth.h - requests to and answers from an OAuth 2.0 token endpoint, of either service.
 *
 * No state, no SQL. Facts: exact-online.md §2.2-2.5, databricks.md §1.2.
 */
#ifndef EXACT_OAUTH_H
#define EXACT_OAUTH_H

#include "utils/timestamp.h"

#include "auth/secret.h"
#include "http/http_client.h"

typedef enum ExactOauthKind
{
	EXACT_OAUTH_TOKEN,			/* access is set, and refresh when it was asked for */
	/* the service keeps the current tokens; refresh is set if it gave one nevertheless */
	EXACT_OAUTH_TOO_EARLY,
	EXACT_OAUTH_REFUSED,		/* an OAuth error: the same request will not succeed */
	EXACT_OAUTH_BUSY,			/* 429: surely not processed */
	EXACT_OAUTH_NOT_SENT,		/* surely not processed */
	EXACT_OAUTH_UNCLEAR,		/* anything else: it may have been processed */
	EXACT_OAUTH_NO_REFRESH,		/* access is set, a refresh token did not come */
} ExactOauthKind;

typedef struct ExactOauthAnswer
{
	ExactOauthKind kind;
	ExactSecret *access;
	ExactSecret *refresh;
	int64		expires_in;		/* seconds; 600 when the service does not say */
	char	   *error;			/* OAuth error code, NULL when there is none */
	char	   *finding;		/* what happened, for people, without secrets; NULL for TOKEN */
	int64		retry_after;	/* seconds from a Retry-After header, -1 when there is none */
} ExactOauthAnswer;

/*
 * Values in hiding are not shown in `finding`, should the service repeat them. Palloc'd; free the
 * secrets with exact_oauth_forget.
 */
extern void exact_oauth_read(const ExactHttpResponse *response, bool want_refresh,
							 const ExactSecret *const *hiding, int nhiding,
							 ExactOauthAnswer *answer);
extern void exact_oauth_forget(ExactOauthAnswer *answer);

/* One field of an application/x-www-form-urlencoded body: either a secret or a text. */
typedef struct ExactOauthField
{
	const char *name;
	const char *text;
	const ExactSecret *secret;
} ExactOauthField;
extern ExactSecret *exact_oauth_form(const ExactOauthField *fields, int n);

/* Longest pause that a Retry-After of a token endpoint may ask for, in seconds */
#define EXACT_OAUTH_RETRY_AFTER_S 86400

#endif
