/*
 * databricks_token.c - access tokens for Databricks, one per workspace (loader only).
 *
 * Client credentials of a service principal: the endpoint is discovered, the token is kept in
 * memory only and renewed early, and once more when it is rejected (databricks.md §1.2, §1.4).
 * Without a client id the stored personal access token serves. Each request looks at the
 * workspace's row and the credential's time, so a change of either counts at once.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "auth/address.h"
#include "auth/credential.h"
#include "auth/databricks_token.h"
#include "auth/oauth.h"
#include "auth/secret.h"
#include "auth/token.h"
#include "base/backoff.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/sql.h"
#include "http/http_answer.h"
#include "http/http_client.h"
#include "http/url.h"
#include "state/audit.h"
#include "worker/self.h"
#include "worker/service.h"
#include "worker/unit.h"

/* a refusal that came twice is not worth another call sooner, unless something is changed */
#define REFUSED_MS 300000
#define RETRY_FIRST_MS 1000
#define RETRY_LAST_MS 60000
#define RENEW_BEFORE_MS 300000	/* before its end a token is renewed, */
#define LONG_LIFE_MS 1500000	/* or after four fifths of a life that is no longer than this */
#define REJECTIONS 5			/* so many within REJECTIONS_S: a new token does not help */
#define REJECTIONS_S 60

typedef struct Access
{
	struct Access *next;
	char	   *workspace;
	bool		calling;
	ExactTokenWaiter *waiters;

	/* what the stored configuration was when the rest was learned */
	char	   *origin;
	char	   *workspace_id;
	char	   *client_id;		/* NULL: personal access token */
	TimestampTz secret_set_at;

	char	   *endpoint;		/* of tokens, once discovered */
	ExactSecret *token;
	TimestampTz renew_at;
	TimestampTz expires_at;
	TimestampTz rejected_at[REJECTIONS];	/* the last ones, newest first */

	int			failures;		/* in a row */
	int			refusals;		/* answers that only a human can mend, since the last token */
	TimestampTz not_before;		/* of the next call */
	bool		refused;		/* until then: a human must act */
	bool		unreached;		/* the last call did not reach the service */
	MemoryContext fault_context;
	ExactFault *fault;			/* of the last failure */
} Access;

typedef struct LookUnit
{
	Access	   *access;
	MemoryContext context;
	char	   *origin;
	char	   *workspace_id;
	char	   *client_id;
	TimestampTz set_at;
	ExactSecret *secret;		/* opened when it is needed */
	bool		open;
} LookUnit;

static Access *all = NULL;

static void go_on(Access *access);

static Access *
find_access(const char *workspace)
{
	Access	   *access;

	for (access = all; access != NULL; access = access->next)
		if (strcmp(access->workspace, workspace) == 0)
			return access;
	access = MemoryContextAllocZero(TopMemoryContext, sizeof(Access));
	access->workspace = MemoryContextStrdup(TopMemoryContext, workspace);
	access->fault_context = AllocSetContextCreate(TopMemoryContext, "exact Databricks fault",
												  ALLOCSET_SMALL_SIZES);
	access->next = all;
	all = access;
	return access;
}

static void
replace_text(char **place, const char *value)
{
	if (*place != NULL)
		pfree(*place);
	*place = value ? MemoryContextStrdup(TopMemoryContext, value) : NULL;
}

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static void
answer(Access *access, ExactTokenState state, const ExactFault *fault, TimestampTz retry_at)
{
	exact_token_answer(&access->waiters, state, access->token, 0, fault, retry_at);
}

/*
 * Remembers why there is no token; refused: only a human helps, so it is an alarm. Texts are
 * copied.
 */
static void
fail(Access *access, bool refused, TimestampTz not_before, int sqlstate, const char *message,
	 const char *detail, const char *hint)
{
	MemoryContext old;

	MemoryContextReset(access->fault_context);
	old = MemoryContextSwitchTo(access->fault_context);
	access->fault = palloc(sizeof(ExactFault));
	access->fault->sqlstate = sqlstate;
	access->fault->message = pstrdup(message);
	access->fault->detail = detail ? pstrdup(detail) : NULL;
	access->fault->hint = hint ? pstrdup(hint) : NULL;
	MemoryContextSwitchTo(old);
	access->refused = refused;
	access->not_before = not_before;
	access->failures++;
	if (refused)
		exact_log(WARNING, "alarm workspace=%s reason=\"%s\" detail=\"%s\" next=\"%s\"",
				  access->workspace, message, detail ? detail : "", hint ? hint : "");
	else
		exact_log(LOG, "token workspace=%s event=\"not renewed\" attempt=%d finding=\"%s\"",
				  access->workspace, access->failures,
				  detail ? detail : message);
}

/* No clear answer, or none now: later. A token that is still good serves meanwhile. */
static void
fail_for_now(Access *access, int sqlstate, const char *finding, int64 retry_after)
{
	int64		ms = retry_after >= 0 ? Max(retry_after, 1) * 1000 :
		exact_backoff_ms(access->failures + 1, RETRY_FIRST_MS, RETRY_LAST_MS);
	TimestampTz when = exact_token_in_ms(ms);

	fail(access, false, when, sqlstate,
		 psprintf("Databricks gives no access token to workspace \"%s\" now", access->workspace),
		 psprintf("%s.", finding),
		 psprintf("The hub tries again at %s.", timestamptz_to_str(when)));
}

/*
 * Only a human helps, when it is true: one such answer may be that of a gateway, a second one is
 * believed.
 */
static void
refuse(Access *access, int sqlstate, const char *message, const char *detail, const char *hint)
{
	bool		sure = ++access->refusals > 1;

	fail(access, sure, exact_token_in_ms(sure ? REFUSED_MS : RETRY_FIRST_MS), sqlstate, message,
		 detail, hint);
}

static void
look_unit(void *arg)
{
	static const char set_at[] =
		"SELECT set_at FROM exact.credential"
		" WHERE kind = 'workspace' AND name = $1 AND field = $2";
	LookUnit   *unit = arg;
	MemoryContext old = MemoryContextSwitchTo(unit->context);
	const char *field;
	ExactArg	args[2] = {exact_arg_text(unit->access->workspace)};

	exact_secret_drop(&unit->secret);
	unit->origin = exact_workspace_origin(unit->access->workspace, &unit->workspace_id);
	exact_sql("SELECT client_id FROM exact.workspace WHERE name = $1", 1, args);
	unit->client_id = exact_cell_text(0, 1);
	field = unit->client_id ? "client_secret" : "token";
	args[1] = exact_arg_text(field);
	if (exact_sql(set_at, 2, args) > 0)
		unit->set_at = exact_cell_time(0, 1, 0);
	if (unit->open)
		unit->secret = exact_credential_open("workspace", unit->access->workspace, field,
											 &unit->set_at);
	MemoryContextSwitchTo(old);
}

/* Runs look_unit; answers those who wait when it fails. */
static bool
look(LookUnit *unit)
{
	ExactFault *fault = NULL;

	if (exact_unit_run("Databricks token", look_unit, unit, &fault))
		return true;
	exact_secret_drop(&unit->secret);
	exact_token_answer_local(&unit->access->waiters, fault);
	return false;
}

/* Another host, principal or secret: nothing that was learned counts. */
static void
adopt_configuration(Access *access, const LookUnit *unit)
{
	if (same_text(access->origin, unit->origin) &&
		same_text(access->workspace_id, unit->workspace_id) &&
		same_text(access->client_id, unit->client_id) && access->secret_set_at == unit->set_at &&
		access->origin != NULL)
		return;
	replace_text(&access->origin, unit->origin);
	replace_text(&access->workspace_id, unit->workspace_id);
	replace_text(&access->client_id, unit->client_id);
	replace_text(&access->endpoint, NULL);
	access->secret_set_at = unit->set_at;
	exact_secret_drop(&access->token);
	memset(access->rejected_at, 0, sizeof(access->rejected_at));
	access->failures = 0;
	access->refusals = 0;
	access->not_before = 0;
	access->refused = false;
}

static void
audit_unit(void *arg)
{
	Access	   *access = arg;

	exact_audit_databricks_token(access->workspace, access->expires_at);
}

/* What an answer of the token endpoint says of the service itself */
static void
tell_service(Access *access, const ExactOauthAnswer *oauth, const ExactHttpResponse *response)
{
	TimestampTz until = oauth->retry_after < 0 ? 0 :
		exact_token_in_ms(Max(oauth->retry_after, 1) * 1000);

	if (oauth->kind == EXACT_OAUTH_TOKEN)
		exact_service_answered(access->workspace);
	else if (oauth->kind == EXACT_OAUTH_BUSY ||
			 (oauth->kind == EXACT_OAUTH_UNCLEAR && oauth->retry_after >= 0))
		exact_service_slowed(access->workspace, until);
	else if (exact_service_is_away(response))
		exact_service_silent(access->workspace, exact_service_away_cause(response));
	else
	{
		exact_service_refused(access->workspace);
		exact_service_no_token(access->workspace, oauth->finding);
	}
}

/* An answer of the token endpoint. */
static void
on_token(ExactHttpResponse *response, void *arg)
{
	Access	   *access = arg;
	ExactOauthAnswer oauth;
	TimestampTz now = GetCurrentTimestamp();

	access->calling = false;
	access->unreached = response->outcome != EXACT_HTTP_ANSWERED;
	exact_oauth_read(response, false, NULL, 0, &oauth);
	tell_service(access, &oauth, response);
	if (oauth.kind == EXACT_OAUTH_TOKEN)
	{
		int64		life_ms = oauth.expires_in * 1000;
		int64		good_ms = life_ms > LONG_LIFE_MS ? life_ms - RENEW_BEFORE_MS : life_ms / 5 * 4;

		exact_secret_drop(&access->token);
		access->token = oauth.access;
		access->expires_at = TimestampTzPlusMilliseconds(now, life_ms);
		access->renew_at = TimestampTzPlusMilliseconds(now, good_ms);
		access->failures = 0;
		access->refusals = 0;
		access->not_before = 0;
		access->refused = false;
		exact_log(LOG, "token workspace=%s event=issued ms=%.0f expires_s=%d", access->workspace,
				  response->ms, (int) oauth.expires_in);
		exact_unit_run("record Databricks token", audit_unit, access, NULL);
	}
	else if (oauth.kind == EXACT_OAUTH_REFUSED || oauth.kind == EXACT_OAUTH_TOO_EARLY)
		refuse(access, ERRCODE_EXACT_SECRET,
			   psprintf("Databricks refuses the client id or secret of workspace \"%s\"",
						access->workspace),
			   psprintf("%s.", oauth.finding),
			   psprintf("Check client_id in exact.workspace, that the service principal is in the "
						"workspace and that the secret was made in Databricks; "
						"then put it into the file workspace.%s.client_secret and "
						"SELECT * FROM exact.import_secrets();", access->workspace));
	else
		fail_for_now(access, ERRCODE_EXACT_DATABRICKS_UNAVAILABLE, oauth.finding,
					 oauth.retry_after);
	go_on(access);
}

/* Sends a request for the token or, without an authorization, for the address of its endpoint. */
static void
start(Access *access, const char *method, const char *url, const ExactSecret *authorization,
	  const char *body, ExactHttpDone done)
{
	const char *headers[5];
	int			n = 0;
	ExactHttpRequest request = {0};

	headers[n++] = "Accept: application/json";
	if (access->workspace_id != NULL)
		headers[n++] = psprintf("X-Databricks-Workspace-Id: %s", access->workspace_id);
	if (authorization != NULL)
	{
		headers[n++] = "Content-Type: application/x-www-form-urlencoded";
		headers[n++] = exact_secret_reveal(authorization, NULL);
	}
	headers[n] = NULL;
	request.method = method;
	request.url = url;
	request.headers = headers;
	request.body = body;
	request.body_len = body ? strlen(body) : 0;
	request.max_bytes = 1024 * 1024;
	request.sensitive = true;
	access->calling = true;
	exact_service_begin(access->workspace, url);
	exact_http_start(&request, done, access);
}

static void
request_token(Access *access, const ExactSecret *client_secret)
{
	static const char scheme[] = "Authorization: Basic ";
	size_t		len;
	const char *data = exact_secret_reveal(client_secret, &len);
	ExactSecretPiece plain[] = {
		{access->client_id, strlen(access->client_id), EXACT_PIECE_PLAIN},
		{":", 1, EXACT_PIECE_PLAIN},
		{data, len, EXACT_PIECE_PLAIN},
	};
	ExactSecret *pair = exact_secret_join(plain, lengthof(plain));
	ExactSecretPiece line[] = {
		{scheme, strlen(scheme), EXACT_PIECE_PLAIN},
		{NULL, 0, EXACT_PIECE_BASE64},
	};
	ExactSecret *header;

	line[1].data = exact_secret_reveal(pair, &line[1].len);
	header = exact_secret_join(line, lengthof(line));
	exact_secret_free(pair);
	start(access, "POST", access->endpoint, header, "grant_type=client_credentials&scope=all-apis",
		  on_token);
	exact_secret_free(header);
}

static void
tell_discovery(Access *access, const ExactHttpResponse *response)
{
	long		seconds = response->outcome != EXACT_HTTP_ANSWERED || response->status < 400 ? -1 :
		exact_http_retry_after(response, EXACT_OAUTH_RETRY_AFTER_S);

	if (seconds >= 0)
		exact_service_slowed(access->workspace, exact_token_in_ms(Max(seconds, 1) * 1000));
	else if (exact_service_is_away(response) ||
			 (response->status == 200 && !exact_service_is_json(response)))
		exact_service_silent(access->workspace, exact_service_away_cause(response));
	else
		exact_service_answered(access->workspace);
}

/*
 * An answer that should name the token endpoint. The client secret goes there, so it must be on the
 * host of the workspace.
 */
static void
on_discovery(ExactHttpResponse *response, void *arg)
{
	Access	   *access = arg;
	ExactJson	json;
	char	   *endpoint = NULL;
	char	   *origin;

	access->calling = false;
	access->unreached = response->outcome != EXACT_HTTP_ANSWERED;
	tell_discovery(access, response);
	if (response->outcome != EXACT_HTTP_ANSWERED)
		fail_for_now(access, ERRCODE_EXACT_DATABRICKS_UNAVAILABLE,
					 response->error ? response->error : "no answer", -1);
	else if (response->status == 404)
		refuse(access, ERRCODE_EXACT_DATABRICKS_REFUSED,
			   psprintf("OAuth is not available on %s", access->origin),
			   psprintf("The host of workspace \"%s\" has no OAuth discovery document (HTTP 404).",
						access->workspace),
			   "Check exact.workspace.host; or set client_id to null and import a personal access "
			   "token.");
	else if (response->status != 200)
		fail_for_now(access, ERRCODE_EXACT_DATABRICKS_UNAVAILABLE,
					 psprintf("OAuth discovery answered HTTP %ld", response->status),
					 exact_http_retry_after(response, EXACT_OAUTH_RETRY_AFTER_S));
	else if (!exact_json_read(response->body, response->body_len, &json) ||
			 (endpoint = exact_json_text(exact_json_member(&json, "token_endpoint"))) == NULL)
		fail_for_now(access, ERRCODE_EXACT_BAD_ANSWER,
					 "OAuth discovery answered something else than its document, "
					 "perhaps a login page; a host that serves several workspaces "
					 "needs ?o=<workspace id> in exact.workspace.host", -1);
	else if ((origin = exact_url_origin(endpoint)) == NULL || strcmp(origin, access->origin) != 0)
		refuse(access, ERRCODE_EXACT_HOST_NOT_ALLOWED,
			   psprintf("OAuth discovery of %s names a token endpoint on another host",
						access->origin),
			   psprintf("It names %s; the client secret is not sent there.",
						origin ? origin : "no http address"),
			   "Check exact.workspace.host with the administrator of the workspace.");
	else
		replace_text(&access->endpoint, endpoint);
	go_on(access);
}

/* Asks for the endpoint if it is not known yet, else for a token; not without a secret. */
static void
renew(Access *access, MemoryContext context)
{
	LookUnit	unit = {.access = access, .context = context, .open = true};

	if (!look(&unit))
		return;
	if (access->endpoint == NULL)
		start(access, "GET",
			  psprintf("%s/oidc/.well-known/oauth-authorization-server", access->origin),
			  NULL, NULL, on_discovery);
	else
		request_token(access, unit.secret);
	exact_secret_free(unit.secret);
}

/* A personal access token is used as it is, until it was rejected twice. */
static bool
open_personal(Access *access, MemoryContext context)
{
	LookUnit	unit = {.access = access, .context = context, .open = true};

	if (access->token != NULL)
		return true;
	if (!look(&unit))
		return false;
	access->token = unit.secret;
	return true;
}

static void
decide(Access *access, MemoryContext context)
{
	TimestampTz now = GetCurrentTimestamp();

	if (access->refused && now < access->not_before)
		answer(access, EXACT_TOKEN_REAUTHORIZE, access->fault, access->not_before);
	else if (access->client_id == NULL)
	{
		if (open_personal(access, context))
			answer(access, EXACT_TOKEN_OK, NULL, 0);
	}
	else if (access->token != NULL && now < access->renew_at)
		answer(access, EXACT_TOKEN_OK, NULL, 0);
	else if (now >= access->not_before)
		renew(access, context);
	else if (access->token != NULL && now < access->expires_at)
		answer(access, EXACT_TOKEN_OK, NULL, 0);
	else
		answer(access, EXACT_TOKEN_WAIT, access->fault, access->not_before);
}

static void
go_on(Access *access)
{
	MemoryContext context;
	MemoryContext old;
	LookUnit	unit = {.access = access};

	if (access->calling || access->waiters == NULL)
		return;
	context = AllocSetContextCreate(CurrentMemoryContext, "exact Databricks token",
									ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	unit.context = context;
	if (look(&unit))
	{
		adopt_configuration(access, &unit);
		decide(access, context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

void
exact_databricks_token_get(const char *workspace, ExactTokenDone done, void *arg)
{
	Access	   *access = find_access(workspace);

	exact_token_wait(&access->waiters, done, arg);
	go_on(access);
}

/*
 * Several requests may have used the token that was rejected, so one that comes while a new one is
 * fetched changes nothing, and the new one may be dropped for the sake of the old: that costs one
 * more call. Only many in a short time say that no token helps.
 */
void
exact_databricks_token_rejected(const char *workspace)
{
	Access	   *access = find_access(workspace);
	TimestampTz now = GetCurrentTimestamp();
	int			limit = access->client_id == NULL ? 2 : REJECTIONS;
	TimestampTz earliest = now - (int64) REJECTIONS_S * USECS_PER_SEC;

	if (access->calling || access->token == NULL)
		return;
	exact_secret_drop(&access->token);
	memmove(access->rejected_at + 1, access->rejected_at, sizeof(TimestampTz) * (REJECTIONS - 1));
	access->rejected_at[0] = now;
	if (access->rejected_at[limit - 1] <= earliest)
		return;
	memset(access->rejected_at, 0, sizeof(access->rejected_at));
	exact_service_no_token(workspace, access->client_id == NULL ?
						   "it refuses the personal access token" :
						   "it refuses the tokens that it issued");
	if (access->client_id == NULL)
		fail(access, true, exact_token_in_ms(REFUSED_MS), ERRCODE_EXACT_SECRET,
			 psprintf("Databricks refuses the personal access token of workspace \"%s\"",
					  access->workspace),
			 "It is wrong, expired or revoked.",
			 psprintf("Make a new one, put it into the file workspace.%s.token and SELECT * FROM "
					  "exact.import_secrets();", access->workspace));
	else
		fail(access, true, exact_token_in_ms(REFUSED_MS), ERRCODE_EXACT_SECRET,
			 psprintf("Databricks refuses the tokens that it issued for workspace \"%s\"",
					  access->workspace),
			 psprintf("%d new tokens were rejected within %d seconds.", REJECTIONS, REJECTIONS_S),
			 "Check that the service principal is active and a member of this workspace.");
}

void
exact_databricks_token_hurry(const char *workspace, bool certain)
{
	for (Access *access = all; access != NULL; access = access->next)
	{
		if (strcmp(access->workspace, workspace) != 0 || (access->refused && !certain))
			continue;
		access->not_before = 0;
		access->refused = false;
	}
}
