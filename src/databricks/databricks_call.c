/*
 * databricks_call.c - one call of Databricks' REST API: a token of databricks_token.c, a request of
 * http_client.c, and what is known about its effect.
 *
 * Called by databricks.c. A call owns a memory context that ends with it. No SQL is run here, no
 * transaction is open.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/formatting.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "auth/databricks_token.h"
#include "auth/secret.h"
#include "auth/token.h"
#include "base/errors.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/words.h"
#include "databricks/databricks_call.h"
#include "http/http_answer.h"
#include "http/http_client.h"
#include "http/url.h"
#include "worker/service.h"

#define POST_TIMEOUT_MS 120000
#define GET_TIMEOUT_MS 60000
#define MAX_RETRY_AFTER_S 3600
#define MAX_PAGES 20			/* of the history, of a directory */
#define REQUEST_ID_MAX 64		/* bytes of x-request-id, which is 36 */
#define MAX_ROWS 1000000		/* of a result: no statement of the hub reads so many */

ExactCall *
exact_databricks_call_make(const ExactWorkspace *workspace, ExactCallKind kind,
						   ExactCallDone done, void *arg)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "exact databricks call",
												  ALLOCSET_DEFAULT_SIZES);
	ExactCall  *call = MemoryContextAllocZero(context, sizeof(ExactCall));

	call->context = context;
	call->kind = kind;
	call->workspace = MemoryContextStrdup(context, workspace->name);
	call->origin = MemoryContextStrdup(context, workspace->origin);
	if (workspace->workspace_id != NULL)
	{
		StringInfoData line;
		MemoryContext old = MemoryContextSwitchTo(context);

		initStringInfo(&line);
		appendStringInfo(&line, "X-Databricks-Workspace-Id: %s", workspace->workspace_id);
		call->routing = line.data;
		MemoryContextSwitchTo(old);
	}
	call->method = "GET";
	call->done = done;
	call->arg = arg;
	return call;
}

/* Tells the caller and ends the call; not with the call's own context as the current one. */
static void
end_call(ExactCall *call, const ExactCallAnswer *answer)
{
	MemoryContext old = MemoryContextSwitchTo(call->context);

	Assert(old != call->context);
	call->done(answer, call->arg);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(call->context);
}

/* The id of the request comes from the service: it is shown like any text of it. */
static ExactFault *
make_fault(int sqlstate, char *message, const ExactHttpResponse *response, const char *hint)
{
	const char *header = response != NULL ? exact_http_header(response, "x-request-id") : NULL;
	char	   *request_id = exact_words_tidy(header, REQUEST_ID_MAX);
	char	   *detail = NULL;

	if (request_id != NULL)
		detail = psprintf("HTTP status %ld, x-request-id %s.", response->status, request_id);
	else if (response != NULL && response->status != 0)
		detail = psprintf("HTTP status %ld.", response->status);
	return exact_fault_make(sqlstate, message, detail, hint != NULL ? pstrdup(hint) : NULL);
}

/* A statement that has succeeded stays one that has, whatever becomes of its further rows. */
static void
end_without_rows(ExactCall *call, ExactRows rows, const ExactFault *fault, TimestampTz retry_at)
{
	ExactCallAnswer answer = *call->answer;

	answer.rows = rows;
	answer.fault = fault;
	answer.retry_at = retry_at;
	end_call(call, &answer);
}

static void
end_with_fault(ExactCall *call, ExactCallOutcome outcome, const ExactFault *fault,
			   TimestampTz retry_at)
{
	ExactCallAnswer answer;

	if (call->kind == EXACT_KIND_CHUNK)
	{
		bool		later = outcome == EXACT_CALL_LATER || outcome == EXACT_CALL_UNKNOWN;

		end_without_rows(call, later ? EXACT_ROWS_LATER : EXACT_ROWS_GONE, fault, retry_at);
		return;
	}
	memset(&answer, 0, sizeof(answer));
	answer.outcome = outcome;
	answer.too_large = call->too_large;
	answer.fault = fault;
	answer.retry_at = retry_at;
	end_call(call, &answer);
}

/* When the service wants to be asked again; 0 when it does not say. */
static TimestampTz
retry_after(const ExactHttpResponse *response)
{
	long		seconds = exact_http_retry_after(response, MAX_RETRY_AFTER_S);

	if (seconds < 0)
		return 0;
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), seconds * INT64CONST(1000));
}

/* ---- a directory's answer ---- */

/* A page of a directory; false when it is malformed. *next: another page is to be read. */
static bool
read_directory(ExactCall *call, const ExactHttpResponse *response, ExactCallAnswer *answer,
			   char **next)
{
	MemoryContext old = MemoryContextSwitchTo(call->context);
	ExactJsonMember member;
	ExactJson	list;
	char	   *page_token = exact_databricks_answer_text(response, "next_page_token");
	bool		good = true;

	*next = page_token != NULL && *page_token != '\0' ? page_token : NULL;
	list.n = 0;
	if (exact_json_find(response->body, response->body_len, "contents", &member) &&
		member.kind != EXACT_JSON_NULL)
		good = member.kind == EXACT_JSON_ARRAY && exact_json_read(member.raw, member.len, &list);
	for (int i = 0; good && i < list.n; i++)
	{
		ExactJson	item;
		char	   *name;
		char	   *directory;

		good = exact_json_read(list.members[i].raw, list.members[i].len, &item);
		if (!good)
			break;
		name = exact_json_text(exact_json_member(&item, "name"));
		directory = exact_json_text(exact_json_member(&item, "is_directory"));
		if (name != NULL && (directory == NULL || strcmp(directory, "true") != 0))
			call->files = lappend(call->files, name);
	}
	answer->nfiles = list_length(call->files);
	answer->files = palloc(sizeof(char *) * Max(answer->nfiles, 1));
	for (int i = 0; i < answer->nfiles; i++)
		answer->files[i] = list_nth(call->files, i);
	MemoryContextSwitchTo(old);
	return good;
}

/* ---- any answer ---- */

static void
end_unusable(ExactCall *call, const ExactHttpResponse *response)
{
	char	   *message = psprintf("Databricks answered with something that is not its API"
								   " (status %ld)", response->status);

	end_with_fault(call, EXACT_CALL_UNKNOWN,
				   make_fault(ERRCODE_EXACT_BAD_ANSWER, message, response,
							  "Check host of the workspace; a host that serves several workspaces"
							  " needs the address with ?o=<workspace id>."), 0);
}

/*
 * Goes on to the next page of the history, unless what is looked for was found. Too many pages are
 * no answer: what is looked for may stand on a later one; of a directory they are enough for once.
 * False: this page was the last one.
 */
static bool
turn_page(ExactCall *call, const ExactCallAnswer *answer, const char *next)
{
	MemoryContext old;

	if (answer->running_id != NULL || next == NULL)
		return false;
	if (++call->pages >= MAX_PAGES && call->kind == EXACT_KIND_LIST)
		return false;
	if (call->pages >= MAX_PAGES)
	{
		char	   *message = psprintf("the query history of Databricks lists more than %d pages of"
									   " statements that run", MAX_PAGES);

		end_with_fault(call, EXACT_CALL_UNKNOWN,
					   make_fault(ERRCODE_EXACT_DATABRICKS_UNAVAILABLE, message, NULL, NULL), 0);
		return true;
	}
	old = MemoryContextSwitchTo(call->context);
	call->url = psprintf("%s%cpage_token=%s", call->first_url,
						 strchr(call->first_url, '?') != NULL ? '&' : '?', exact_url_escape(next));
	MemoryContextSwitchTo(old);
	exact_databricks_call_start(call);
	return true;
}

/* ---- a statement's answer ---- */

static void
end_succeeded(ExactCall *call, const ExactHttpResponse *response)
{
	char	   *gap = exact_databricks_answer_gap(call->answer, &call->chunk);

	if (gap == NULL)
		end_call(call, call->answer);
	else
		end_without_rows(call, EXACT_ROWS_GONE,
						 make_fault(ERRCODE_EXACT_BAD_ANSWER, gap, response, NULL), 0);
}

static void
start_chunk(ExactCall *call)
{
	MemoryContext old = MemoryContextSwitchTo(call->context);

	call->kind = EXACT_KIND_CHUNK;
	call->method = "GET";
	call->body = NULL;
	call->body_len = 0;
	call->url = psprintf("%s%s", call->origin, call->chunk.next);
	call->renewed = false;
	call->refused = false;
	MemoryContextSwitchTo(old);
	exact_databricks_call_start(call);
}

/* The state of a statement, or more of its rows. What is read lives as long as the call. */
static void
take_statement(ExactCall *call, const ExactHttpResponse *response)
{
	MemoryContext old = MemoryContextSwitchTo(call->context);
	bool		good;

	if (call->kind == EXACT_KIND_CHUNK)
		good = exact_databricks_answer_chunk(response, call->answer, &call->chunk);
	else
	{
		call->answer = palloc0(sizeof(ExactCallAnswer));
		good = exact_databricks_answer_statement(response, call->answer, &call->chunk);
	}
	call->answer->ms += response->ms;
	MemoryContextSwitchTo(old);
	if (!good)
		end_unusable(call, response);
	else if (call->answer->state != EXACT_STATEMENT_SUCCEEDED &&
			 call->answer->state != EXACT_STATEMENT_CLOSED)
		end_call(call, call->answer);
	else if (call->chunk.next == NULL || call->answer->nrows > MAX_ROWS)
		end_succeeded(call, response);
	else
		start_chunk(call);
}

static void
end_hidden(ExactCall *call)
{
	ExactCallAnswer answer = {.outcome = EXACT_CALL_REFUSED, .hidden = true};

	answer.fault = exact_fault_make(ERRCODE_EXACT_DATABRICKS_REFUSED,
									pstrdup("the query history of Databricks does not show the"
											" text of statements"), NULL,
									pstrdup("Add the service principal to the account's group"
											" databricks_pii_access."));
	end_call(call, &answer);
}

/* An answer with a status of success: read by what was asked. */
static void
take_good_answer(ExactCall *call, ExactHttpResponse *response)
{
	ExactCallAnswer answer;
	char	   *next;
	bool		good = false;

	memset(&answer, 0, sizeof(answer));
	answer.outcome = EXACT_CALL_OK;
	answer.ms = response->ms;
	switch (call->kind)
	{
		case EXACT_KIND_EXECUTE:
		case EXACT_KIND_POLL:
		case EXACT_KIND_CHUNK:
			take_statement(call, response);
			return;
		case EXACT_KIND_WAREHOUSE:
			good = exact_databricks_answer_warehouse(response, &answer);
			break;
		case EXACT_KIND_STOP:
			good = true;
			break;
		case EXACT_KIND_FIND:
		case EXACT_KIND_OTHERS:
			good = exact_databricks_answer_history(response, &call->history, &answer, &next);
			if (good && turn_page(call, &answer, next))
				return;
			if (good && call->history.hidden && answer.running_id == NULL)
			{
				end_hidden(call);
				return;
			}
			break;
		case EXACT_KIND_LIST:
			good = read_directory(call, response, &answer, &next);
			if (good && turn_page(call, &answer, next))
				return;
			break;
		case EXACT_KIND_PUT:
		case EXACT_KIND_DELETE:
			good = response->status != HTTP_OK || response->body_len == 0;
			break;
	}
	if (good)
		end_call(call, &answer);
	else
		end_unusable(call, response);
}

/* What was asked for, where that is not what the reader thinks of first */
static const char *
asked_for(const ExactCall *call)
{
	switch (call->kind)
	{
		case EXACT_KIND_FIND:
		case EXACT_KIND_OTHERS:
			return "to show the query history";
		case EXACT_KIND_WAREHOUSE:
			return "to show the warehouse";
		case EXACT_KIND_STOP:
			return "to stop the warehouse";
		default:
			return "the call";
	}
}

/* The service has understood the call and does not do it. */
static void
end_refused(ExactCall *call, const ExactHttpResponse *response)
{
	const char *words = exact_databricks_answer_words(response);
	int			sqlstate = ERRCODE_EXACT_DATABRICKS_REFUSED;
	char	   *message;
	const char *hint = "Check host and warehouse_id in exact.workspace.";

	if (exact_databricks_answer_token_refused(response))
	{
		sqlstate = ERRCODE_EXACT_NOT_AUTHORIZED;
		message = psprintf("Databricks refuses a new token too: %s", words);
		exact_service_no_token(call->workspace,
							   psprintf("it does not accept a new token either: %s", words));
		hint = "Check that the service principal is a user of this workspace, then set its secret"
			" again.";
	}
	else
	{
		message = psprintf("Databricks refused %s: %s", asked_for(call), words);
		if (response->status == HTTP_FORBIDDEN)
			hint = exact_databricks_answer_forbidden(words);
		call->too_large = response->status == HTTP_TOO_LARGE ||
			(response->status == HTTP_CLIENT_ERRORS && words != NULL &&
			 strstr(asc_tolower(words, strlen(words)), "too large") != NULL);
	}
	end_with_fault(call, EXACT_CALL_REFUSED, make_fault(sqlstate, message, response, hint), 0);
}

/*
 * An answer with a status other than success. Gateways and proxies refuse a call now and then that
 * the service would take: a refusal is believed when it comes twice.
 */
static void
take_bad_status(ExactCall *call, const ExactHttpResponse *response)
{
	int			away = ERRCODE_EXACT_DATABRICKS_UNAVAILABLE;
	char	   *message;

	if (response->status == HTTP_TOO_MANY_REQUESTS || response->status == HTTP_UNAVAILABLE)
	{
		message = psprintf("Databricks asks to try later: %s",
						   exact_databricks_answer_words(response));
		end_with_fault(call, EXACT_CALL_LATER, make_fault(away, message, response, NULL),
					   retry_after(response));
	}
	else if (response->status == HTTP_NOT_FOUND &&
			 (call->kind == EXACT_KIND_POLL || call->kind == EXACT_KIND_CHUNK ||
			  call->kind == EXACT_KIND_DELETE || call->kind == EXACT_KIND_LIST))
	{
		message = pstrdup(call->kind == EXACT_KIND_POLL ? "Databricks has forgotten the statement" :
						  call->kind == EXACT_KIND_CHUNK ? "the result of the statement is gone" :
						  "there is no such file");
		end_with_fault(call, EXACT_CALL_GONE, make_fault(away, message, response, NULL), 0);
	}
	else if (response->status == HTTP_TIMEOUT || response->status == HTTP_CLIENT_CLOSED)
	{
		message = psprintf("Databricks has ended the call: %s",
						   exact_databricks_answer_words(response));
		end_with_fault(call, EXACT_CALL_UNKNOWN, make_fault(away, message, response, NULL), 0);
	}
	else if (response->status < HTTP_CLIENT_ERRORS ||
			 (response->status >= HTTP_SERVER_ERRORS && response->status != HTTP_NOT_IMPLEMENTED))
		end_unusable(call, response);
	else if (!call->refused)
	{
		call->refused = true;
		exact_databricks_call_start(call);
	}
	else
		end_refused(call, response);
}

/* Statements go another way than these questions, and either may be closed alone. */
static bool
is_about_warehouse(const ExactCall *call)
{
	return call->kind == EXACT_KIND_WAREHOUSE || call->kind == EXACT_KIND_OTHERS ||
		call->kind == EXACT_KIND_STOP;
}

/*
 * What the answer says of the service itself. A question about the warehouse that is refused, by a
 * gateway's page too, says nothing; nor does its answer while statements have none.
 */
static void
tell_service(const ExactCall *call, const ExactHttpResponse *response)
{
	bool		answered = response->outcome == EXACT_HTTP_ANSWERED;
	bool		nothing = answered && is_about_warehouse(call) &&
		(exact_service_fails(call->workspace) ||
		 (response->status >= HTTP_CLIENT_ERRORS && response->status < HTTP_SERVER_ERRORS) ||
		 response->status == HTTP_NOT_IMPLEMENTED);
	bool		good = answered && response->status < 300;
	bool		later = answered && response->status >= HTTP_CLIENT_ERRORS &&
		(response->status == HTTP_TOO_MANY_REQUESTS || retry_after(response) != 0);

	if (later)
		exact_service_slowed(call->workspace, retry_after(response));
	else if (nothing || (answered && exact_databricks_answer_token_refused(response)))
		exact_service_refused(call->workspace);
	else if (exact_service_is_away(response) ||
			 (good && response->body_len > 0 && !exact_service_is_json(response)))
		exact_service_silent(call->workspace, exact_service_away_cause(response));
	else
		exact_service_answered(call->workspace);
}

/* What came of a call. A token that is refused is renewed once: the call was not looked at. */
static void
take_answer(ExactHttpResponse *response, void *arg)
{
	ExactCall  *call = arg;

	tell_service(call, response);
	if (response->outcome != EXACT_HTTP_ANSWERED)
	{
		bool		sent = response->outcome == EXACT_HTTP_UNKNOWN;
		char	   *message = psprintf("Databricks cannot be reached: %s", response->error);

		end_with_fault(call, sent ? EXACT_CALL_UNKNOWN : EXACT_CALL_LATER,
					   make_fault(ERRCODE_EXACT_DATABRICKS_UNAVAILABLE, message, response, NULL),
					   0);
	}
	else if (response->status == HTTP_OK || response->status == HTTP_CREATED ||
			 response->status == HTTP_NO_CONTENT)
		take_good_answer(call, response);
	else if (exact_databricks_answer_token_refused(response) && !call->renewed)
	{
		call->renewed = true;
		exact_databricks_token_rejected(call->workspace);
		exact_databricks_call_start(call);
	}
	else
		take_bad_status(call, response);
}

/* The request itself, once the token has come; our copy of it is cleansed as soon as it is sent. */
static void
send_with_token(const ExactTokenAnswer *token, void *arg)
{
	ExactCall  *call = arg;
	ExactHttpRequest request;
	const char *headers[5];
	int			n = 0;
	char	   *bearer;
	size_t		len;
	const char *secret;

	if (token->state == EXACT_TOKEN_WAIT)
	{
		end_with_fault(call, EXACT_CALL_LATER, token->fault, token->retry_at);
		return;
	}
	if (token->state != EXACT_TOKEN_OK)
	{
		end_with_fault(call, EXACT_CALL_REFUSED, token->fault, 0);
		return;
	}
	secret = exact_secret_reveal(token->token, &len);
	bearer = exact_http_bearer(secret, len);
	headers[n++] = bearer;
	headers[n++] = "Accept: application/json";
	if (call->body != NULL)
		headers[n++] = call->kind == EXACT_KIND_PUT ? "Content-Type: application/octet-stream" :
			"Content-Type: application/json";
	if (call->routing != NULL)
		headers[n++] = call->routing;
	headers[n] = NULL;

	memset(&request, 0, sizeof(request));
	request.method = call->method;
	request.url = call->url;
	request.headers = headers;
	request.body = call->body;
	request.body_len = call->body_len;
	request.borrowed = call->body != NULL;	/* the call lives until it is answered */
	request.timeout_ms = call->body != NULL ? POST_TIMEOUT_MS : GET_TIMEOUT_MS;
	request.sensitive = true;
	exact_service_begin(call->workspace, is_about_warehouse(call) ? NULL : call->url);
	exact_http_start(&request, take_answer, call);
	exact_http_forget_bearer(bearer);
}

void
exact_databricks_call_start(ExactCall *call)
{
	char	   *why = NULL;

	if (!exact_url_allowed(call->url, &why))
	{
		char	   *message = pstrdup(why ? why : "the workspace's host is not allowed");

		end_with_fault(call, EXACT_CALL_REFUSED,
					   make_fault(ERRCODE_EXACT_HOST_NOT_ALLOWED, message, NULL,
								  "Add the host to exact_databricks.allowed_hosts, or correct it in"
								  " exact.workspace."), 0);
	}
	else
		exact_databricks_token_get(call->workspace, send_with_token, call);
}
