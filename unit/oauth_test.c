/*
 * oauth_test.c - what an answer of a token endpoint means, and that its finding holds no secret.
 */
#include "backend.h"

#include "miscadmin.h"

#include "auth/oauth.c"
#include "auth/secret.c"
#include "base/json.c"
#include "base/words.c"

#include "check.h"

BackendType MyBackendType = B_BACKEND;

static const char *reason_header;
static ExactSecret *sent;

int
errdetail(const char *fmt pg_attribute_unused(),...)
{
	return 0;
}

const char *
exact_http_header(const ExactHttpResponse *response pg_attribute_unused(), const char *name)
{
	return strcmp(name, "Reason") == 0 ? reason_header : NULL;
}

long
exact_http_retry_after(const ExactHttpResponse *response pg_attribute_unused(),
					   long most_s pg_attribute_unused())
{
	return 7;
}

/* No answer came: what it means depends on whether the request went out. */
static ExactOauthKind
without_answer(ExactHttpOutcome outcome)
{
	ExactHttpResponse response = {.outcome = outcome, .error = "no route"};
	ExactOauthAnswer answer;

	response.body = pstrdup("{\"access_token\":\"a\",\"refresh_token\":\"r\"}");
	response.body_len = strlen(response.body);
	response.status = 200;
	exact_oauth_read(&response, true, NULL, 0, &answer);
	CHECK(answer.access == NULL && answer.refresh == NULL && answer.retry_after == -1);
	CHECK(answer.finding != NULL && strcmp(answer.finding, "no route") == 0);
	exact_oauth_forget(&answer);
	return answer.kind;
}

static ExactOauthAnswer
read_answer(long status, const char *body, bool want_refresh)
{
	const ExactSecret *hiding[] = {sent, NULL};
	ExactHttpResponse response = {.status = status};
	ExactOauthAnswer answer;

	response.body = pstrdup(body);
	response.body_len = strlen(body);
	exact_oauth_read(&response, want_refresh, hiding, lengthof(hiding), &answer);
	return answer;
}

/* Does an answer with this status and body mean that, and say this? NULL: it says nothing. */
static bool
means(long status, const char *body, ExactOauthKind kind, const char *finding)
{
	ExactOauthAnswer answer = read_answer(status, body, true);
	bool		said = finding == NULL ? answer.finding == NULL :
		answer.finding != NULL && strcmp(answer.finding, finding) == 0;
	bool		error_is_there = kind != EXACT_OAUTH_REFUSED || answer.error != NULL;

	if (answer.kind != kind || !said)
		fprintf(stderr, "kind %d, finding: %s\n", answer.kind, answer.finding);
	exact_oauth_forget(&answer);
	return answer.kind == kind && said && error_is_there;
}

static void
test_tokens(void)
{
	static const char body[] =
		"{\"access_token\":\"a\\u002Fb\",\"refresh_token\":\"r\",\"expires_in\":\"600\"}";
	ExactOauthAnswer answer = read_answer(200, body, true);

	CHECK(answer.kind == EXACT_OAUTH_TOKEN && answer.finding == NULL);
	CHECK(strcmp(exact_secret_reveal(answer.access, NULL), "a/b") == 0);
	CHECK(strcmp(exact_secret_reveal(answer.refresh, NULL), "r") == 0);
	CHECK(answer.expires_in == 600 && answer.retry_after == 7);
	exact_oauth_forget(&answer);
	CHECK(answer.access == NULL && answer.refresh == NULL);

	answer = read_answer(200, "{\"access_token\":\"a\",\"expires_in\":-1}", false);
	CHECK(answer.kind == EXACT_OAUTH_TOKEN && answer.refresh == NULL && answer.expires_in == 600);
	exact_oauth_forget(&answer);
	CHECK(means(200, "{\"access_token\":\"a\"}", EXACT_OAUTH_NO_REFRESH,
				"HTTP 200 without a usable refresh_token"));
	CHECK(means(200, "{\"access_token\":\"a\\nb\",\"refresh_token\":\"r\"}", EXACT_OAUTH_UNCLEAR,
				"HTTP 200 without a usable access_token"));
}

static void
test_errors(void)
{
	CHECK(means(400, "{\"error\":\"invalid_grant\"}", EXACT_OAUTH_REFUSED,
				"HTTP 400 invalid_grant"));
	CHECK(means(401, "{\"error\":\"invalid_client\",\"error_description\":\" No\\nsuch one. \"}",
				EXACT_OAUTH_REFUSED, "HTTP 401 invalid_client: No such one"));
	CHECK(means(500, "{\"error\":\"server_error\"}", EXACT_OAUTH_UNCLEAR,
				"HTTP 500 server_error"));
	CHECK(means(429, "{\"error\":\"slow_down\"}", EXACT_OAUTH_BUSY, "HTTP 429 slow_down"));
	CHECK(means(400, "{\"error\":\"x\",\"error_description\":\"Access_token not expired\"}",
				EXACT_OAUTH_TOO_EARLY, "HTTP 400 x: Access_token not expired"));
	reason_header = "TooEarlyToRefreshTokens";
	CHECK(means(400, "{\"error\":\"x\"}", EXACT_OAUTH_TOO_EARLY, "HTTP 400 x"));
	reason_header = NULL;

	/* no OAuth error: it may have been processed */
	CHECK(means(400, "{\"error\":\"\"}", EXACT_OAUTH_UNCLEAR, "HTTP 400"));
	CHECK(means(400, "{\"error\":null}", EXACT_OAUTH_UNCLEAR, "HTTP 400"));
	CHECK(means(400, "{\"error\":{\"code\":1}}", EXACT_OAUTH_UNCLEAR, "HTTP 400"));
	CHECK(means(400, "{\"fault\":{\"faultstring\":\"quota\"}}", EXACT_OAUTH_UNCLEAR,
				"HTTP 400: quota"));
	CHECK(means(400, "", EXACT_OAUTH_UNCLEAR, "HTTP 400 with an empty body"));
	CHECK(means(502, "<html>", EXACT_OAUTH_UNCLEAR, "HTTP 502 with a body that is not JSON"));
}

static void
test_outcomes(void)
{
	ExactOauthAnswer answer;

	CHECK(without_answer(EXACT_HTTP_NOT_SENT) == EXACT_OAUTH_NOT_SENT);
	CHECK(without_answer(EXACT_HTTP_UNKNOWN) == EXACT_OAUTH_UNCLEAR);

	/* half a pair is none, and nothing of it is kept */
	answer = read_answer(200, "{\"refresh_token\":\"r\"}", true);
	CHECK(answer.kind == EXACT_OAUTH_UNCLEAR && answer.refresh == NULL && answer.access == NULL);
	exact_oauth_forget(&answer);
	answer = read_answer(200, "{\"access_token\":\"\",\"refresh_token\":\"r\"}", true);
	CHECK(answer.kind == EXACT_OAUTH_UNCLEAR && answer.refresh == NULL && answer.access == NULL);
	exact_oauth_forget(&answer);

	/* nobody lends a token for longer than a year */
	answer = read_answer(200, "{\"access_token\":\"a\",\"expires_in\":99999999999}", false);
	CHECK(answer.kind == EXACT_OAUTH_TOKEN && answer.expires_in == 366 * 86400);
	exact_oauth_forget(&answer);
}

static void
test_hiding(void)
{
	CHECK(means(400, "{\"error\":\"invalid_grant\",\"error_description\":\"no Secret/1 any more\"}",
				EXACT_OAUTH_REFUSED,
				"HTTP 400 invalid_grant: (text withheld: it repeats a secret)"));
	CHECK(means(400, "{\"error\":\"Secret/1\"}", EXACT_OAUTH_REFUSED,
				"HTTP 400 (text withheld: it repeats a secret)"));
}

static void
test_form(void)
{
	ExactOauthField fields[] = {
		{"grant_type", "refresh_token", NULL},
		{"client_secret", NULL, sent},
	};
	ExactSecret *form = exact_oauth_form(fields, lengthof(fields));

	CHECK(strcmp(exact_secret_reveal(form, NULL),
				 "grant_type=refresh_token&client_secret=Secret%2F1") == 0);
	exact_secret_free(form);
}

int
main(void)
{
	sent = exact_secret_new("Secret/1", 8);
	test_tokens();
	test_errors();
	test_outcomes();
	test_hiding();
	test_form();
	exact_secret_free(sent);
	return checks_done();
}
