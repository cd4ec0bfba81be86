/*
 * exact_api.c - one call to Exact Online.
 *
 * Every call of the fetcher passes here, so token, budgets and log hold whoever asks. Facts:
 * exact-online.md §2.7, §4.11.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "auth/exact_token.h"
#include "auth/secret.h"
#include "auth/token.h"
#include "base/counter.h"
#include "base/errors.h"
#include "base/fault.h"
#include "base/sql.h"
#include "base/words.h"
#include "exact_online/api_error.h"
#include "exact_online/budget.h"
#include "exact_online/endpoint.h"
#include "exact_online/exact_api.h"
#include "exact_online/odata_value.h"
#include "http/http_answer.h"
#include "http/http_client.h"
#include "http/url.h"
#include "worker/service.h"
#include "worker/unit.h"

#define MAX_RETRY_AFTER_S 3600

typedef struct Call
{
	MemoryContext context;
	ExactApiRequest request;
	ExactApiDone done;
	void	   *arg;
	bool		retried;		/* after a 401 */
	int64		token_id;		/* which token it carries */
	bool		recorded;
} Call;

static Call *answering;			/* whose done runs now, for exact_api_record */

static void send_call(Call *call);

static bool
is_json(const ExactHttpResponse *http)
{
	const char *p = http->body;

	while (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')
		p++;
	if (strncmp(p, "\xEF\xBB\xBF", 3) == 0)	/* a byte order mark */
		p += 3;
	return *p == '{';
}

/* Nothing but a whole number */
static bool
is_number(const ExactHttpResponse *http)
{
	int64		n;

	return exact_odata_count(http->body, http->body_len, &n);
}

/* Is it a Reason of a 403 about the whole division? Exact Online's words. */
static bool
is_division_reason(const char *reason)
{
	static const char *const reasons[] = {
		"BlockedUser", "InactiveUser", "BlockedCustomer", "LicenseExpired", "DivisionBlocked",
		"NoDivisionAccess"
	};

	for (size_t i = 0; reason != NULL && i < lengthof(reasons); i++)
		if (pg_strcasecmp(reason, reasons[i]) == 0)
			return true;
	return false;
}

/* What the service said, as the end of a sentence of ours */
static const char *
in_its_words(const char *said)
{
	char	   *clause = exact_words_clause(said, EXACT_API_ERROR_WORDS_MAX);

	return clause ? psprintf(": %s", clause) : "";
}

static void
fail(ExactApiAnswer *answer, ExactApiTrouble trouble, int sqlstate, char *message, char *detail,
	 const char *hint)
{
	answer->trouble = trouble;
	answer->fault = exact_fault_make(sqlstate, message, detail, pstrdup(hint));
}

/* No answer came, or nothing was sent because the host is not allowed. */
static void
classify_silence(const ExactApiRequest *q, ExactApiAnswer *answer, const ExactHttpResponse *http)
{
	char	   *why = NULL;

	if (!exact_url_allowed(q->url, &why))
		fail(answer, EXACT_API_REFUSED, ERRCODE_EXACT_HOST_NOT_ALLOWED, pstrdup(why),
			 psprintf("%s %s", q->method, q->label),
			 "Correct base_url in exact.app, "
			 "or let a superuser extend exact_databricks.allowed_hosts.");
	else
		fail(answer, EXACT_API_TRANSIENT, ERRCODE_EXACT_UNAVAILABLE,
			 psprintf("Exact Online did not answer: %s",
					  http->error ? http->error : "no reason given"),
			 psprintf("%s %s, after %.0f ms.", q->method, q->label, http->ms),
			 "The hub tries again by itself.");
}

/*
 * 2xx: it holds JSON, or nothing where something was written. Who counts something else than what
 * was asked for has not gone away, as a list that cannot be counted.
 */
static void
classify_success(const ExactApiRequest *q, ExactApiAnswer *answer, const ExactHttpResponse *http)
{
	bool		reads = strcmp(q->method, "GET") == 0;

	if (q->number ? is_number(http) : is_json(http) || (!reads && http->body_len == 0))
		answer->trouble = EXACT_API_OK;
	else if (q->number)
		fail(answer, EXACT_API_REFUSED, ERRCODE_EXACT_BAD_ANSWER,
			 pstrdup("Exact Online answered with something that is not a number"),
			 psprintf("%s %s, HTTP %ld, %zu bytes.", q->method, q->label, http->status,
					  http->body_len),
			 "Enable the entity to learn how many records it has.");
	else
		fail(answer, EXACT_API_TRANSIENT, ERRCODE_EXACT_BAD_ANSWER,
			 pstrdup("Exact Online answered with something that is not JSON"),
			 psprintf("%s %s, HTTP %ld, %zu bytes%s. Nothing of it was kept.", q->method, q->label,
					  http->status, http->body_len,
					  strcasestr(http->body, "<html") ? " of HTML" : ""),
			 "The hub tries again by itself; a maintenance or login page is the usual cause.");
}

/* 403: about the division, or about this resource alone. */
static void
classify_forbidden(const ExactApiRequest *q, ExactApiAnswer *answer, char *detail)
{
	bool		reads = strcmp(q->method, "GET") == 0;
	bool		scope = answer->said != NULL && strcasestr(answer->said, "scope") != NULL;

	if (is_division_reason(answer->reason))
		fail(answer, EXACT_API_PARKED, ERRCODE_EXACT_REFUSED,
			 psprintf("Exact Online refuses division %d: %s", q->division, answer->reason), detail,
			 "Correct it in Exact Online; "
			 "the hub tries again every hour, exact.resume() at once.");
	else
		fail(answer, EXACT_API_REFUSED,
			 scope ? ERRCODE_EXACT_MISSING_SCOPE : ERRCODE_EXACT_REFUSED,
			 psprintf("Exact Online does not permit %s %s%s%s", reads ? "reading" : "writing",
					  q->resource, scope ? ": a scope is missing" : "",
					  in_its_words(answer->said)), detail,
			 scope ?
			 "Add the scope to the app in the App Center, "
			 "then consent again with exact.authorize_url()." :
			 "Give the consenting user the right in Exact Online, or disable the entity.");
}

/* What the service says about an error, and whether the same request may succeed later. */
static void
classify_error(const ExactApiRequest *q, ExactApiAnswer *answer, const ExactHttpResponse *http)
{
	long		status = http->status;
	const char *reason = exact_http_header(http, "Reason");
	char	   *detail = psprintf("%s %s, HTTP %ld%s%s.", q->method, q->label, status,
								  reason ? ", Reason " : "", reason ? reason : "");
	const char *why;

	answer->reason = reason;
	answer->said = exact_api_error_words(http->body, http->body_len);
	if (exact_endpoint_is_error(status))
		exact_endpoint_count_error(q->division, q->resource, q->feed, GetCurrentTimestamp());

	if (status == EXACT_STATUS_TOO_MANY)
	{
		answer->retry_at = exact_budget_allowed_at(q->division, q->resource, &why);
		if (answer->alone)
			fail(answer, EXACT_API_LIMIT, ERRCODE_EXACT_BUDGET,
				 psprintf("Exact Online has blocked %s in division %d after too many errors",
						  q->resource, q->division), detail,
				 "The hub leaves it alone until the block ends; see exact.budget.");
		else
			fail(answer, EXACT_API_LIMIT, ERRCODE_EXACT_BUDGET,
				 psprintf("the call budget of division %d is used up", q->division), detail,
				 "The hub goes on when the limit resets.");
	}
	else if (status == EXACT_STATUS_FORBIDDEN)
		classify_forbidden(q, answer, detail);
	else if (status == EXACT_STATUS_UNAUTHORIZED)
		fail(answer, EXACT_API_TRANSIENT, ERRCODE_EXACT_REFUSED,
			 pstrdup("Exact Online does not accept the access token"), detail,
			 "The hub renews it; if this stays, consent again with exact.authorize_url().");
	else if (status >= EXACT_STATUS_FAILED && status != EXACT_STATUS_NOT_IMPLEMENTED)
		fail(answer, EXACT_API_TRANSIENT, ERRCODE_EXACT_UNAVAILABLE,
			 psprintf("Exact Online failed: HTTP %ld%s", status, in_its_words(answer->said)),
			 detail,
			 "The hub tries again by itself.");
	else if (status >= 300 && status < 400)
		fail(answer, EXACT_API_TRANSIENT, ERRCODE_EXACT_BAD_ANSWER,
			 psprintf("Exact Online redirected: HTTP %ld", status), detail,
			 "The hub follows no redirects and tries again by itself.");
	else
		fail(answer, EXACT_API_REFUSED, ERRCODE_EXACT_REFUSED,
			 psprintf("Exact Online refused %s: HTTP %ld%s", q->resource, status,
					  in_its_words(answer->said)), detail,
			 "See exact.calls; the hub tries again within the error budget.");
}

/* What the answer says of the service itself */
static void
tell_service(const ExactApiRequest *q, ExactApiAnswer *answer, const ExactHttpResponse *http)
{
	bool		unusable = answer->trouble == EXACT_API_TRANSIENT && http->status < 300;
	TimestampTz until = 0;
	long		seconds = 0;

	if (http->outcome == EXACT_HTTP_ANSWERED &&
		(http->status == EXACT_STATUS_TOO_MANY ||
		 (http->status >= EXACT_STATUS_BAD_REQUEST &&
		  (seconds = exact_http_retry_after(http, MAX_RETRY_AFTER_S)) >= 0)))
	{
		if (http->status == EXACT_STATUS_TOO_MANY)
			until = answer->retry_at;
		else
			until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), seconds * INT64CONST(1000));
		exact_service_slowed(q->app, until);
	}
	else if (http->outcome == EXACT_HTTP_ANSWERED && http->status == EXACT_STATUS_UNAUTHORIZED)
	{
		exact_service_refused(q->app);
		exact_service_no_token(q->app, "it does not accept a new token either");
		answer->away = true;
	}
	else if (unusable || exact_service_is_away(http))
	{
		exact_service_silent(q->app, exact_service_away_cause(http));
		answer->away = true;
	}
	else
		exact_service_answered(q->app);
}

static void
classify(const ExactApiRequest *q, ExactApiAnswer *answer, const ExactHttpResponse *http)
{
	if (http->outcome != EXACT_HTTP_ANSWERED)
	{
		classify_silence(q, answer, http);
		return;
	}
	answer->alone = exact_budget_hear(q->division, q->resource, http);
	if (http->status >= 200 && http->status < 300)
		classify_success(q, answer, http);
	else
		classify_error(q, answer, http);
}

static void
record_unit(void *arg)
{
	exact_api_record(arg, 0);
}

/* Hands over the answer and ends the call and its memory; `context` is current afterwards. */
static void
finish_call(Call *call, ExactApiAnswer *answer, MemoryContext context)
{
	Call	   *outer = answering;

	exact_endpoint_end(call->request.division, call->request.resource);
	answer->request = &call->request;
	answering = call;
	call->done(answer, call->arg);
	if (!call->recorded && answer->http != NULL)
		exact_unit_run("record call", record_unit, answer, NULL);
	answering = outer;
	MemoryContextSwitchTo(context);
	MemoryContextDelete(call->context);
}

/* The service did not accept the token: the call is recorded and sent once more with a new one. */
static void
send_again(Call *call, ExactHttpResponse *http)
{
	ExactApiAnswer first = {
		.trouble = EXACT_API_TRANSIENT, .http = http, .request = &call->request
	};

	exact_service_refused(call->request.app);
	exact_budget_hear(call->request.division, call->request.resource, http);
	exact_endpoint_count_error(call->request.division, call->request.resource, call->request.feed,
							   GetCurrentTimestamp());
	answering = call;
	exact_unit_run("record call", record_unit, &first, NULL);
	answering = NULL;
	call->recorded = false;
	call->retried = true;
	exact_token_rejected(call->request.app, call->token_id);
}

static void
on_response(ExactHttpResponse *http, void *arg)
{
	Call	   *call = arg;
	MemoryContext old = MemoryContextSwitchTo(call->context);
	ExactApiAnswer answer = {0};

	answer.http = http;
	if (http->outcome == EXACT_HTTP_ANSWERED && http->status == EXACT_STATUS_UNAUTHORIZED &&
		!call->retried)
	{
		send_again(call, http);
		MemoryContextSwitchTo(old);
		send_call(call);
		return;
	}
	classify(&call->request, &answer, http);
	tell_service(&call->request, &answer, http);
	finish_call(call, &answer, old);
}

static void
finish_without_token(Call *call, const ExactTokenAnswer *token, MemoryContext context)
{
	ExactApiAnswer answer = {0};

	answer.trouble = token->state == EXACT_TOKEN_WAIT ? EXACT_API_TRANSIENT :
		EXACT_API_UNAUTHORIZED;
	answer.retry_at = token->retry_at;
	answer.away = true;
	answer.fault = (ExactFault *) token->fault;
	if (answer.fault == NULL)
		answer.fault = exact_fault_make(ERRCODE_EXACT_UNAVAILABLE,
										psprintf("no access token for app \"%s\" yet",
												 call->request.app), NULL, NULL);
	finish_call(call, &answer, context);
}

/* Sends the request; the header with the token is cleansed as soon as libcurl has its copy. */
static void
on_token(const ExactTokenAnswer *token, void *arg)
{
	Call	   *call = arg;
	MemoryContext old = MemoryContextSwitchTo(call->context);
	const ExactApiRequest *q = &call->request;
	ExactHttpRequest http = {0};
	const char *headers[5];
	int			n = 0;
	size_t		len;
	const char *text;
	char	   *bearer;

	if (token->state != EXACT_TOKEN_OK)
	{
		finish_without_token(call, token, old);
		return;
	}
	call->token_id = token->id;
	text = exact_secret_reveal(token->token, &len);
	bearer = exact_http_bearer(text, len);
	headers[n++] = bearer;
	headers[n++] = q->number ? "Accept: text/plain" : "Accept: application/json";
	if (q->language != NULL)
		headers[n++] = psprintf("CustomDescriptionLanguage: %s", q->language);
	if (q->body != NULL)
		headers[n++] = "Content-Type: application/json";
	headers[n] = NULL;

	http.method = q->method;
	http.body = q->body;
	http.body_len = q->body ? strlen(q->body) : 0;
	http.url = q->url;
	http.headers = headers;
	http.sensitive = true;
	exact_budget_count_call(q->division);
	exact_service_begin(q->app, q->url);
	exact_http_start(&http, on_response, call);
	exact_http_forget_bearer(bearer);
	MemoryContextSwitchTo(old);
}

static void
send_call(Call *call)
{
	exact_token_get(call->request.app, on_token, call);
}

void
exact_api_send(const ExactApiRequest *request, ExactApiDone done, void *arg)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "exact call",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Call	   *call = palloc0(sizeof(Call));

	call->context = context;
	call->done = done;
	call->arg = arg;
	call->request = *request;
	call->request.app = pstrdup(request->app);
	call->request.base_url = pstrdup(request->base_url);
	call->request.feed = pstrdup(request->feed);
	call->request.resource = pstrdup(request->resource);
	call->request.url = pstrdup(request->url);
	call->request.label = pstrdup(request->label);
	call->request.language = request->language ? pstrdup(request->language) : NULL;
	call->request.method = pstrdup(request->method ? request->method : "GET");
	call->request.body = request->body ? pstrdup(request->body) : NULL;
	call->request.asked_by = request->asked_by ? pstrdup(request->asked_by) : NULL;
	MemoryContextSwitchTo(old);
	exact_endpoint_begin(request->division, request->resource);
	send_call(call);
}

/* The outcomes are those of ExactApiTrouble. */
int64
exact_api_record(ExactApiAnswer *answer, int rows)
{
	static const char sql[] =
		"INSERT INTO exact.api_call"
		" (id, at, took_ms, app, division, feed, method, path, status, outcome, rows, bytes,"
		"  minute_left, day_left, reason, error, asked_by)"
		" VALUES (pg_catalog.nextval('exact.call_id'), $1, $2, $3, nullif($4, 0), $5, $6, $7, $8,"
		"  $9, $10, $11, $12, $13, $14, $15, $16)"
		" RETURNING id";
	static const char *const outcomes[] = {
		"ok", "transient", "limit", "refused", "parked", "unauthorized"
	};
	const ExactApiRequest *q = answer->request;
	const ExactHttpResponse *http = answer->http;
	double		ms = http ? http->ms : 0;
	int			minute;
	int			day;
	int64		id;

	exact_budget_left(q->division, &minute, &day);
	{
		ExactArg	args[] = {
			exact_arg_time(GetCurrentTimestamp() - (TimestampTz) (ms * 1000)),
			exact_arg_float8(ms),
			exact_arg_text(q->app),
			exact_arg_int4(q->division),
			exact_arg_text(q->feed),
			exact_arg_text(q->method),
			exact_arg_text(q->label),
			http && http->status ? exact_arg_int4((int32) http->status) : exact_arg_null(INT4OID),
			exact_arg_text(outcomes[answer->trouble]),
			exact_arg_int4(rows),
			exact_arg_int8(http ? (int64) http->body_len : 0),
			minute >= 0 ? exact_arg_int4(minute) : exact_arg_null(INT4OID),
			day >= 0 ? exact_arg_int4(day) : exact_arg_null(INT4OID),
			exact_arg_text(answer->reason),
			exact_arg_text(answer->fault ? answer->fault->message : NULL),
			exact_arg_text(q->asked_by),
		};

		exact_sql(sql, lengthof(args), args);
	}
	id = exact_cell_int8(0, 1, 0);
	exact_counter_add(EXACT_COUNTER_CALL, q->division, "", outcomes[answer->trouble], 1);

	exact_budget_save(q->division, q->resource);
	if (answering != NULL)
		answering->recorded = true;
	return id;
}
