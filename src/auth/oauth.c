/*
 * oauth.c - requests to and answers from an OAuth 2.0 token endpoint, of either service.
 *
 * Decides what an answer means: a token, a refusal that repeating will not change, or an unclear
 * outcome. Called by exact_token.c and databricks_token.c. No secret leaves it but in an
 * ExactSecret.
 */
#include "postgres.h"

#include "auth/oauth.h"
#include "auth/secret.h"
#include "base/compat.h"
#include "base/json.h"
#include "base/words.h"
#include "http/http_answer.h"
#include "http/http_client.h"

#define FINDING_MAX 300

/*
 * A token as ExactSecret; NULL when the member is no string, empty, or holds what would break a
 * header line.
 */
static ExactSecret *
read_secret(const ExactJsonMember *member)
{
	ExactSecret *buffer;
	ExactSecret *secret = NULL;
	char	   *data;
	size_t		len = 0;

	if (member == NULL || member->kind != EXACT_JSON_STRING)
		return NULL;
	buffer = exact_secret_alloc(member->len);
	if (buffer == NULL)
		return NULL;
	data = unconstify(char *, exact_secret_reveal(buffer, NULL));
	if (exact_json_decode(member, data, &len) && len > 0)
	{
		bool		printable = true;

		for (size_t i = 0; i < len; i++)
			printable = printable && data[i] > 0x20 && data[i] < 0x7f;
		if (printable)
			secret = exact_secret_new(data, len);
	}
	exact_secret_free(buffer);
	return secret;
}

/* A text of the service for people: not at all when it repeats a secret. */
static char *
presentable(const char *text_of_service, const ExactSecret *const *hiding, int nhiding)
{
	for (int i = 0; i < nhiding && text_of_service != NULL; i++)
		if (hiding[i] != NULL &&
			strstr(text_of_service, exact_secret_reveal(hiding[i], NULL)) != NULL)
			return pstrdup("(text withheld: it repeats a secret)");
	return exact_words_clause(text_of_service, FINDING_MAX);
}

static bool
holds(const char *haystack, const char *needle)
{
	size_t		n = strlen(needle);

	for (; haystack != NULL && *haystack; haystack++)
		if (pg_strncasecmp(haystack, needle, n) == 0)
			return true;
	return false;
}

/* Reads a JSON body; what is not an OAuth answer leaves the kind at UNCLEAR. */
static void
read_body(const ExactHttpResponse *response, bool want_refresh, const ExactSecret *const *hiding,
		  int nhiding,
		  ExactOauthAnswer *answer)
{
	ExactJson	json;
	char	   *description;
	const char *reason = exact_http_header(response, "Reason");
	const ExactJsonMember *error;

	if (!exact_json_read(response->body, response->body_len, &json) ||
		json.kind != EXACT_JSON_OBJECT)
	{
		answer->finding = psprintf("HTTP %ld with %s", response->status,
								   response->body_len == 0 ? "an empty body" :
								   "a body that is not JSON");
		return;
	}
	if (response->status == 200)
	{
		answer->access = read_secret(exact_json_member(&json, "access_token"));
		answer->refresh = want_refresh ? read_secret(exact_json_member(&json, "refresh_token")) :
			NULL;
		if (!exact_json_int64(exact_json_member(&json, "expires_in"), &answer->expires_in) ||
			answer->expires_in <= 0)
			answer->expires_in = 600;
		answer->expires_in = Min(answer->expires_in, 366 * 86400);
		if (answer->access != NULL && (answer->refresh != NULL || !want_refresh))
			answer->kind = EXACT_OAUTH_TOKEN;
		else
		{
			answer->kind = answer->access == NULL ? EXACT_OAUTH_UNCLEAR : EXACT_OAUTH_NO_REFRESH;
			answer->finding = psprintf("HTTP 200 without a usable %s", answer->access == NULL ?
									   "access_token" : "refresh_token");
		}
		return;
	}
	error = exact_json_member(&json, "error");
	if (error != NULL && error->kind == EXACT_JSON_STRING)
		answer->error = presentable(exact_json_text(error), hiding, nhiding);
	description = presentable(exact_json_text(exact_json_member(&json, "error_description")),
							  hiding, nhiding);
	if (answer->error == NULL)
	{
		ExactJsonMember fault;
		char	   *text_of_fault = NULL;

		if (exact_json_find(response->body, response->body_len, "fault.faultstring", &fault))
			text_of_fault = presentable(exact_json_text(&fault), hiding, nhiding);
		answer->finding = psprintf("HTTP %ld%s%s", response->status, text_of_fault ? ": " : "",
								   text_of_fault ? text_of_fault : "");
		return;
	}
	answer->finding = psprintf("HTTP %ld %s%s%s", response->status, answer->error,
							   description ? ": " : "", description ? description : "");
	if (response->status >= 400 && response->status < 500 &&
		((reason != NULL && pg_strcasecmp(reason, "TooEarlyToRefreshTokens") == 0) ||
		 holds(description, "access_token not expired")))
	{
		answer->kind = EXACT_OAUTH_TOO_EARLY;
		answer->refresh = want_refresh ? read_secret(exact_json_member(&json, "refresh_token")) :
			NULL;
	}
	else if (response->status == 400 || response->status == 401 || response->status == 403)
		answer->kind = EXACT_OAUTH_REFUSED;
}

/*
 * 429 says that the request was not processed, whatever the body says. Secrets are kept only where
 * the kind of the answer says that they are there.
 */
void
exact_oauth_read(const ExactHttpResponse *response, bool want_refresh,
				 const ExactSecret *const *hiding, int nhiding,
				 ExactOauthAnswer *answer)
{
	memset(answer, 0, sizeof(*answer));
	answer->kind = EXACT_OAUTH_UNCLEAR;
	answer->retry_after = -1;
	if (response->outcome != EXACT_HTTP_ANSWERED)
	{
		answer->kind = response->outcome == EXACT_HTTP_NOT_SENT ? EXACT_OAUTH_NOT_SENT :
			EXACT_OAUTH_UNCLEAR;
		answer->finding = presentable(response->error ? response->error : "no answer", hiding,
									  nhiding);
		return;
	}
	answer->retry_after = exact_http_retry_after(response, EXACT_OAUTH_RETRY_AFTER_S);
	read_body(response, want_refresh, hiding, nhiding, answer);
	if (response->status == 429 && answer->kind != EXACT_OAUTH_TOO_EARLY)
		answer->kind = EXACT_OAUTH_BUSY;
	if (answer->kind != EXACT_OAUTH_TOKEN && answer->kind != EXACT_OAUTH_NO_REFRESH)
	{
		exact_secret_free(answer->access);
		answer->access = NULL;
		if (answer->kind != EXACT_OAUTH_TOO_EARLY)
		{
			exact_secret_free(answer->refresh);
			answer->refresh = NULL;
		}
	}
}

void
exact_oauth_forget(ExactOauthAnswer *answer)
{
	exact_secret_free(answer->access);
	exact_secret_free(answer->refresh);
	answer->access = answer->refresh = NULL;
}

/* name=value&..., in the secure heap; what is not unreserved is percent-encoded. */
ExactSecret *
exact_oauth_form(const ExactOauthField *fields, int n)
{
	ExactSecretPiece *pieces = palloc0(sizeof(ExactSecretPiece) * n * 4);
	int			count = 0;

	for (int i = 0; i < n; i++)
	{
		ExactSecretPiece *value;

		pieces[count].data = i == 0 ? "" : "&";
		pieces[count].len = i == 0 ? 0 : 1;
		count++;
		pieces[count].data = fields[i].name;
		pieces[count++].len = strlen(fields[i].name);
		pieces[count].data = "=";
		pieces[count++].len = 1;
		value = &pieces[count++];
		value->coding = EXACT_PIECE_PERCENT;
		if (fields[i].secret != NULL)
			value->data = exact_secret_reveal(fields[i].secret, &value->len);
		else
		{
			value->data = fields[i].text;
			value->len = strlen(fields[i].text);
		}
	}
	return exact_secret_join(pieces, count);
}
