/*
 * exact_api.c - one call to Exact Online.
 *
 * Every call of the fetcher passes here, so token, budgets and log hold whoever asks. Facts: exact-online.md §2.7, §4.11.
 */
#include "postgres.h"

#include <ctype.h>

#include "mb/pg_wchar.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "auth/exact_token.h"
#include "base/errors.h"
#include "base/sql.h"
#include "exact_online/budget.h"
#include "exact_online/exact_api.h"
#include "exact_online/odata.h"
#include "http/http_answer.h"
#include "http/url.h"
#include "worker/unit.h"

#define WORDS_MAX 200			/* bytes of what the service said, in a message */


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

/* The value of the first string after a key, decoded and shortened: texts of error bodies, for people only. */
static char *
text_after(const char *body, const char *key)
{
	const char *p = strstr(body, key);
	ExactSlice	slice;
	char	   *text;

	if (p == NULL)
		return NULL;
	p += strlen(key);
	while (*p == ' ' || *p == ':')
		p++;
	if (*p != '"')
		return NULL;
	slice.start = p++;
	while (*p != '\0' && *p != '"')
		p += (*p == '\\' && p[1] != '\0') ? 2 : 1;
	if (*p != '"')
		return NULL;
	slice.len = p + 1 - slice.start;
	text = exact_odata_string(slice);
	for (char *c = text; *c; c++)
		if ((unsigned char) *c < ' ')
			*c = ' ';
	text[pg_mbcliplen(text, (int) strlen(text), 200)] = '\0';
	return text[0] ? text : NULL;
}

static char *
error_text(const char *body)
{
	static const char *const keys[] = {"\"value\"", "\"error_description\"", "\"faultstring\"", "\"message\""};

	for (size_t i = 0; i < lengthof(keys); i++)
	{
		char	   *text = text_after(body, keys[i]);

		if (text != NULL)
			return text;
	}
	return NULL;
}

static bool
is_json(const ExactHttpResponse *http)
{
	const char *p = http->body;

	while (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')
		p++;
	if ((unsigned char) p[0] == 0xEF && (unsigned char) p[1] == 0xBB && (unsigned char) p[2] == 0xBF)
		p += 3;
	return *p == '{';
}

static bool
is_division_reason(const char *reason)
{
	static const char *const reasons[] = {"BlockedUser", "InactiveUser", "BlockedCustomer", "LicenseExpired",
	"DivisionBlocked", "NoDivisionAccess"};

	for (size_t i = 0; reason != NULL && i < lengthof(reasons); i++)
		if (pg_strcasecmp(reason, reasons[i]) == 0)
			return true;
	return false;
}

/* What it said, as the end of a sentence of ours: no full stop, no more than a line */
static const char *
in_its_words(const char *said)
{
	size_t		len = said ? strlen(said) : 0;

	while (len > 0 && (said[len - 1] == '.' || isspace((unsigned char) said[len - 1])))
		len--;
	if (len > WORDS_MAX)
		len = pg_mbcliplen(said, len, WORDS_MAX);
	return len > 0 ? psprintf(": %.*s", (int) len, said) : "";
}

static void
classify(Call *call, ExactApiAnswer *answer, ExactHttpResponse *http)
{
	const char *label = call->request.label;
	const char *method = call->request.method;
	bool		reads = strcmp(method, "GET") == 0;
	long		status = http->status;
	const char *said;
	const char *words;
	char	   *detail;

	answer->trouble = EXACT_API_TRANSIENT;
	if (http->outcome != EXACT_HTTP_ANSWERED)
	{
		char	   *why = NULL;

		if (!exact_url_allowed(call->request.url, &why))
		{
			answer->trouble = EXACT_API_REFUSED;
			answer->fault = exact_fault_make(ERRCODE_EXACT_HOST_NOT_ALLOWED, pstrdup(why), psprintf("%s %s", method, label),
									   pstrdup("Correct base_url in exact.app, or let a superuser extend exact_databricks.allowed_hosts."));
			return;
		}
		answer->fault = exact_fault_make(ERRCODE_EXACT_UNAVAILABLE,
								   psprintf("Exact Online did not answer: %s", http->error ? http->error : "no reason given"),
								   psprintf("%s %s, after %.0f ms.", method, label, http->ms),
								   pstrdup("The hub tries again by itself."));
		return;
	}
	exact_budget_hear(call->request.division, http);
	if (status >= 200 && status < 300)
	{
		if (is_json(http) || (!reads && http->body_len == 0))
		{
			answer->trouble = EXACT_API_OK;
			return;
		}
		answer->fault = exact_fault_make(ERRCODE_EXACT_BAD_ANSWER,
								   pstrdup("Exact Online answered with something that is not JSON"),
								   psprintf("%s %s, HTTP %ld, %zu bytes%s. Nothing of it was kept.", method, label, status, http->body_len,
											strcasestr(http->body, "<html") ? " of HTML" : ""),
								   pstrdup("The hub tries again by itself; a maintenance or login page is the usual cause."));
		return;
	}
	said = answer->said = error_text(http->body);
	answer->reason = exact_http_header(http, "Reason");
	detail = psprintf("%s %s, HTTP %ld%s%s.", method, label, status, answer->reason ? ", Reason " : "", answer->reason ? answer->reason : "");
	words = in_its_words(said);
	if (status == 429)
	{
		const char *why;

		answer->trouble = EXACT_API_LIMIT;
		answer->retry_at = exact_budget_allowed_at(call->request.division, call->request.resource, &why);
		answer->fault = exact_fault_make(ERRCODE_EXACT_BUDGET, psprintf("the call budget of division %d is used up", call->request.division),
								   detail, pstrdup("The hub goes on when the limit resets."));
		return;
	}
	if (status == 401 || status == 403 || status == 400 || status == 404 || status == 410 || status == 500 || status == 501)
		exact_budget_count_error(call->request.division, call->request.resource);
	if (status == 403 && is_division_reason(answer->reason))
	{
		answer->trouble = EXACT_API_PARKED;
		answer->fault = exact_fault_make(ERRCODE_EXACT_REFUSED,
								   psprintf("Exact Online refuses division %d: %s", call->request.division, answer->reason), detail,
								   pstrdup("Put it right in Exact Online; the hub tries again every hour, exact.resume() at once."));
	}
	else if (status == 403)
	{
		bool		scope = said != NULL && strcasestr(said, "scope") != NULL;

		answer->trouble = EXACT_API_REFUSED;
		answer->fault = exact_fault_make(scope ? ERRCODE_EXACT_MISSING_SCOPE : ERRCODE_EXACT_REFUSED,
								   psprintf("Exact Online does not permit %s %s%s%s", reads ? "reading" : "writing", call->request.resource,
											scope ? ": a scope is missing" : "", words), detail,
								   scope ? pstrdup("Add the scope to the app in the App Center, then consent again with exact.authorize_url().")
								   : pstrdup("Give the consenting user the right in Exact Online, or disable the entity."));
	}
	else if (status == 401)
	{
		answer->trouble = EXACT_API_TRANSIENT;
		answer->fault = exact_fault_make(ERRCODE_EXACT_REFUSED, pstrdup("Exact Online does not accept the access token"), detail,
								   pstrdup("The hub renews it; if this stays, consent again with exact.authorize_url()."));
	}
	else if (status >= 500 && status != 501)
		answer->fault = exact_fault_make(ERRCODE_EXACT_UNAVAILABLE, psprintf("Exact Online failed: HTTP %ld%s", status, words), detail,
								   pstrdup("The hub tries again by itself."));
	else if (status >= 300 && status < 400)
		answer->fault = exact_fault_make(ERRCODE_EXACT_BAD_ANSWER, psprintf("Exact Online redirected: HTTP %ld", status), detail,
								   pstrdup("The hub follows no redirects and tries again by itself."));
	else
	{
		answer->trouble = EXACT_API_REFUSED;
		answer->fault = exact_fault_make(ERRCODE_EXACT_REFUSED, psprintf("Exact Online refused %s: HTTP %ld%s", call->request.resource, status, words), detail,
								   pstrdup("See exact.calls; the hub tries again within the error budget."));
	}
}

static void
record_unit(void *arg)
{
	exact_api_record(arg, 0);
}

static void
finish_call(Call *call, ExactApiAnswer *answer)
{
	Call	   *outer = answering;

	answer->request = &call->request;
	answering = call;
	call->done(answer, call->arg);
	if (!call->recorded && answer->http != NULL)
		exact_unit_run("record call", record_unit, answer, NULL);
	answering = outer;
	MemoryContextDelete(call->context);
}

static void
on_response(ExactHttpResponse *http, void *arg)
{
	Call	   *call = arg;
	MemoryContext old = MemoryContextSwitchTo(call->context);
	ExactApiAnswer answer = {0};

	answer.http = http;
	if (http->outcome == EXACT_HTTP_ANSWERED && http->status == 401 && !call->retried)
	{
		ExactApiAnswer first = {.trouble = EXACT_API_TRANSIENT, .http = http, .request = &call->request};

		exact_budget_hear(call->request.division, http);
		exact_budget_count_error(call->request.division, call->request.resource);
		answering = call;
		exact_unit_run("record call", record_unit, &first, NULL);
		answering = NULL;
		call->recorded = false;
		call->retried = true;
		exact_token_rejected(call->request.app, call->token_id);
		MemoryContextSwitchTo(old);
		send_call(call);
		return;
	}
	classify(call, &answer, http);
	finish_call(call, &answer);
	MemoryContextSwitchTo(old);
}

static void
on_token(const ExactTokenAnswer *token, void *arg)
{
	Call	   *call = arg;
	MemoryContext old = MemoryContextSwitchTo(call->context);
	ExactHttpRequest http = {0};
	const char *headers[5];
	int			n = 0;
	size_t		len;
	const char *text;
	char	   *bearer;

	if (token->state != EXACT_TOKEN_OK)
	{
		ExactApiAnswer answer = {0};

		answer.trouble = token->state == EXACT_TOKEN_WAIT ? EXACT_API_TRANSIENT : EXACT_API_UNAUTHORIZED;
		answer.retry_at = token->retry_at;
		answer.fault = (ExactFault *) token->fault;
		if (answer.fault == NULL)
			answer.fault = exact_fault_make(ERRCODE_EXACT_UNAVAILABLE, psprintf("no access token for app \"%s\" yet", call->request.app), NULL, NULL);
		finish_call(call, &answer);
		MemoryContextSwitchTo(old);
		return;
	}
	call->token_id = token->id;
	text = exact_secret_reveal(token->token, &len);
	bearer = exact_http_bearer(text, len);
	headers[n++] = bearer;
	headers[n++] = "Accept: application/json";
	if (call->request.language != NULL)
		headers[n++] = psprintf("CustomDescriptionLanguage: %s", call->request.language);
	if (call->request.body != NULL)
		headers[n++] = "Content-Type: application/json";
	headers[n] = NULL;

	http.method = call->request.method;
	http.body = call->request.body;
	http.body_len = call->request.body ? strlen(call->request.body) : 0;
	http.url = call->request.url;
	http.headers = headers;
	http.sensitive = true;
	exact_budget_count_call(call->request.division);
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
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "exact call", ALLOCSET_SMALL_SIZES);
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
	MemoryContextSwitchTo(old);
	send_call(call);
}

int64
exact_api_record(ExactApiAnswer *answer, int rows)
{
	static const char insert_call[] =
	"INSERT INTO exact.api_call (id, at, took_ms, app, division, feed, method, path, status, outcome, rows, bytes, minute_left, day_left, reason, error) "
	"VALUES (pg_catalog.nextval('exact.call_id'), $1, $2, $3, nullif($4, 0), $5, $15, $6, $7, $8, $9, $10, $11, $12, $13, $14) RETURNING id";
	static const char *const outcomes[] = {"ok", "transient", "limit", "refused", "parked", "unauthorized"};
	const ExactApiRequest *q = answer->request;
	const ExactHttpResponse *http = answer->http;
	int			division = q->division;
	ExactArg	args[15];
	int			minute,
				day;
	int64		id;

	exact_budget_left(division, &minute, &day);
	args[0] = exact_arg_time(GetCurrentTimestamp() - (TimestampTz) ((http ? http->ms : 0) * 1000));
	args[1] = exact_arg_float8(http ? http->ms : 0);
	args[2] = exact_arg_text(q->app);
	args[3] = exact_arg_int4(division);
	args[4] = exact_arg_text(q->feed);
	args[5] = exact_arg_text(q->label);
	args[6] = http && http->status ? exact_arg_int4((int32) http->status) : exact_arg_null(INT4OID);
	args[7] = exact_arg_text(outcomes[answer->trouble]);
	args[8] = exact_arg_int4(rows);
	args[9] = exact_arg_int8(http ? (int64) http->body_len : 0);
	args[10] = minute >= 0 ? exact_arg_int4(minute) : exact_arg_null(INT4OID);
	args[11] = day >= 0 ? exact_arg_int4(day) : exact_arg_null(INT4OID);
	args[12] = exact_arg_text(answer->reason);
	args[13] = exact_arg_text(answer->fault ? answer->fault->message : NULL);
	args[14] = exact_arg_text(q->method);
	exact_sql(insert_call, 15, args);
	id = exact_cell_int8(0, 1, 0);

	exact_budget_save(division);
	if (answering != NULL)
		answering->recorded = true;
	return id;
}
