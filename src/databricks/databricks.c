/*
 * databricks.c - Databricks' REST API over http_client.c, with tokens of databricks_token.c.
 *
 * Called by statement.c, warehouse.c, fence.c, volume.c and ping_databricks.c. A call owns a memory
 * context that ends with it. No SQL is run here, no transaction is open.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "utils/formatting.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "auth/databricks_token.h"
#include "auth/secret.h"
#include "auth/token.h"
#include "base/clock.h"
#include "base/errors.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/words.h"
#include "databricks/databricks.h"
#include "databricks/databricks_answer.h"
#include "http/http_answer.h"
#include "http/http_client.h"
#include "http/url.h"
#include "worker/service.h"

#define WAIT_TIMEOUT "30s"		/* below the idle limits of proxies; 0s or 5s to 50s are valid */
#define POST_TIMEOUT_MS 120000
#define GET_TIMEOUT_MS 60000
#define MAX_RETRY_AFTER_S 3600
#define MAX_PAGES 20			/* of the history, of a directory */
#define REQUEST_ID_MAX 64		/* bytes of x-request-id, which is 36 */
#define MAX_ROWS 1000000		/* of a result: no statement of the hub reads so many */
#define HISTORY_MARGIN_MS 600000	/* our clock against the service's */

typedef enum CallKind
{
	CALL_EXECUTE,
	CALL_POLL,
	CALL_CHUNK,					/* of either: the next chunk of its result */
	CALL_FIND,
	CALL_OTHERS,
	CALL_WAREHOUSE,
	CALL_STOP,
	CALL_PUT,
	CALL_DELETE,
	CALL_LIST
} CallKind;

typedef struct Call
{
	MemoryContext context;
	CallKind	kind;
	const char *workspace;
	const char *routing;		/* header line for the workspace id, NULL none */
	const char *method;
	char	   *url;
	const char *body;
	size_t		body_len;
	ExactHistory history;		/* FIND, OTHERS */
	char	   *first_url;			/* FIND, OTHERS, LIST: of the first of its pages */
	int			pages;
	List	   *files;			/* LIST: names of those that were read so far */
	bool		renewed;		/* its token was refused once */
	bool		refused;		/* it was refused once */
	bool		too_large;		/* for its size */
	const char *origin;			/* EXECUTE, POLL: of the workspace */
	ExactCallAnswer *answer;	/* CHUNK: what was read so far */
	ExactChunk	chunk;
	ExactCallDone done;
	void	   *arg;
} Call;

static void start_call(Call *call);

static const char *
copy_text(const char *value)
{
	return value != NULL ? pstrdup(value) : NULL;
}

static Call *
make_call(const ExactWorkspace *workspace, CallKind kind, ExactCallDone done, void *arg)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "exact databricks call",
												  ALLOCSET_DEFAULT_SIZES);
	Call	   *call = MemoryContextAllocZero(context, sizeof(Call));

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
end_call(Call *call, const ExactCallAnswer *answer)
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
end_without_rows(Call *call, ExactRows rows, const ExactFault *fault, TimestampTz retry_at)
{
	ExactCallAnswer answer = *call->answer;

	answer.rows = rows;
	answer.fault = fault;
	answer.retry_at = retry_at;
	end_call(call, &answer);
}

static void
end_with_fault(Call *call, ExactCallOutcome outcome, const ExactFault *fault, TimestampTz retry_at)
{
	ExactCallAnswer answer;

	if (call->kind == CALL_CHUNK)
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
read_directory(Call *call, const ExactHttpResponse *response, ExactCallAnswer *answer, char **next)
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
end_unusable(Call *call, const ExactHttpResponse *response)
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
turn_page(Call *call, const ExactCallAnswer *answer, const char *next)
{
	MemoryContext old;

	if (answer->running_id != NULL || next == NULL)
		return false;
	if (++call->pages >= MAX_PAGES && call->kind == CALL_LIST)
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
	start_call(call);
	return true;
}

/* ---- a statement's answer ---- */

static void
end_succeeded(Call *call, const ExactHttpResponse *response)
{
	char	   *gap = exact_databricks_answer_gap(call->answer, &call->chunk);

	if (gap == NULL)
		end_call(call, call->answer);
	else
		end_without_rows(call, EXACT_ROWS_GONE,
						 make_fault(ERRCODE_EXACT_BAD_ANSWER, gap, response, NULL), 0);
}

static void
start_chunk(Call *call)
{
	MemoryContext old = MemoryContextSwitchTo(call->context);

	call->kind = CALL_CHUNK;
	call->method = "GET";
	call->body = NULL;
	call->body_len = 0;
	call->url = psprintf("%s%s", call->origin, call->chunk.next);
	call->renewed = false;
	call->refused = false;
	MemoryContextSwitchTo(old);
	start_call(call);
}

/* The state of a statement, or more of its rows. What is read lives as long as the call. */
static void
take_statement(Call *call, const ExactHttpResponse *response)
{
	MemoryContext old = MemoryContextSwitchTo(call->context);
	bool		good;

	if (call->kind == CALL_CHUNK)
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
end_hidden(Call *call)
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
take_good_answer(Call *call, ExactHttpResponse *response)
{
	ExactCallAnswer answer;
	char	   *next;
	bool		good = false;

	memset(&answer, 0, sizeof(answer));
	answer.outcome = EXACT_CALL_OK;
	answer.ms = response->ms;
	switch (call->kind)
	{
		case CALL_EXECUTE:
		case CALL_POLL:
		case CALL_CHUNK:
			take_statement(call, response);
			return;
		case CALL_WAREHOUSE:
			good = exact_databricks_answer_warehouse(response, &answer);
			break;
		case CALL_STOP:
			good = true;
			break;
		case CALL_FIND:
		case CALL_OTHERS:
			good = exact_databricks_answer_history(response, &call->history, &answer, &next);
			if (good && turn_page(call, &answer, next))
				return;
			if (good && call->history.hidden && answer.running_id == NULL)
			{
				end_hidden(call);
				return;
			}
			break;
		case CALL_LIST:
			good = read_directory(call, response, &answer, &next);
			if (good && turn_page(call, &answer, next))
				return;
			break;
		case CALL_PUT:
		case CALL_DELETE:
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
asked_for(const Call *call)
{
	switch (call->kind)
	{
		case CALL_FIND:
		case CALL_OTHERS:
			return "to show the query history";
		case CALL_WAREHOUSE:
			return "to show the warehouse";
		case CALL_STOP:
			return "to stop the warehouse";
		default:
			return "the call";
	}
}

/* The service has understood the call and does not do it. */
static void
end_refused(Call *call, const ExactHttpResponse *response)
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
take_bad_status(Call *call, const ExactHttpResponse *response)
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
			 (call->kind == CALL_POLL || call->kind == CALL_CHUNK ||
			  call->kind == CALL_DELETE || call->kind == CALL_LIST))
	{
		message = pstrdup(call->kind == CALL_POLL ? "Databricks has forgotten the statement" :
						  call->kind == CALL_CHUNK ? "the result of the statement is gone" :
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
		start_call(call);
	}
	else
		end_refused(call, response);
}

/* Is it about the warehouse? Statements go another way, which may be closed or open alone. */
static bool
is_aside(const Call *call)
{
	return call->kind == CALL_WAREHOUSE || call->kind == CALL_OTHERS || call->kind == CALL_STOP;
}

/*
 * What the answer says of the service itself. A question about the warehouse that is refused, by a
 * gateway's page too, says nothing; nor does its answer while statements have none.
 */
static void
tell_service(const Call *call, const ExactHttpResponse *response)
{
	bool		answered = response->outcome == EXACT_HTTP_ANSWERED;
	bool		nothing = answered && is_aside(call) &&
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
	Call	   *call = arg;

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
		start_call(call);
	}
	else
		take_bad_status(call, response);
}

/* The request itself, once the token has come; our copy of it is cleansed as soon as it is sent. */
static void
send_with_token(const ExactTokenAnswer *token, void *arg)
{
	Call	   *call = arg;
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
		headers[n++] = call->kind == CALL_PUT ? "Content-Type: application/octet-stream" :
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
	request.borrowed = call->kind == CALL_PUT;
	request.timeout_ms = call->body != NULL ? POST_TIMEOUT_MS : GET_TIMEOUT_MS;
	request.sensitive = true;
	exact_service_begin(call->workspace, is_aside(call) ? NULL : call->url);
	exact_http_start(&request, take_answer, call);
	exact_http_forget_bearer(bearer);
}

static void
start_call(Call *call)
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

/* ---- the calls ---- */

/* The parameter may be a megabyte: the body is made in one piece of memory. */
void
exact_databricks_execute(const ExactWorkspace *workspace, const char *statement,
						 const char *parameter, ExactCallDone done, void *arg)
{
	Call	   *call = make_call(workspace, CALL_EXECUTE, done, arg);
	MemoryContext old = MemoryContextSwitchTo(call->context);
	StringInfoData body;
	size_t		escaped = parameter ? strlen(parameter) * 5 / 4 : 0;

	initStringInfo(&body);
	enlargeStringInfo(&body, (int) (strlen(statement) + escaped + 512));
	appendStringInfoString(&body, "{\"warehouse_id\":");
	exact_json_quote(&body, workspace->warehouse, strlen(workspace->warehouse));
	appendStringInfoString(&body, ",\"statement\":");
	exact_json_quote(&body, statement, strlen(statement));
	appendStringInfoString(&body, ",\"wait_timeout\":\"" WAIT_TIMEOUT "\""
						   ",\"on_wait_timeout\":\"CONTINUE\""
						   ",\"disposition\":\"INLINE\",\"format\":\"JSON_ARRAY\"");
	if (parameter != NULL)
	{
		appendStringInfoString(&body, ",\"parameters\":[{\"name\":\"batch\",\"type\":\"STRING\""
							   ",\"value\":");
		exact_json_quote(&body, parameter, strlen(parameter));
		appendStringInfoString(&body, "}]");
	}
	appendStringInfoChar(&body, '}');
	call->method = "POST";
	call->url = psprintf("%s/api/2.0/sql/statements", workspace->origin);
	call->body = body.data;
	call->body_len = body.len;
	MemoryContextSwitchTo(old);
	start_call(call);
}

void
exact_databricks_poll(const ExactWorkspace *workspace, const char *statement_id, ExactCallDone done,
					  void *arg)
{
	Call	   *call = make_call(workspace, CALL_POLL, done, arg);
	MemoryContext old = MemoryContextSwitchTo(call->context);

	call->url = psprintf("%s/api/2.0/sql/statements/%s", workspace->origin,
						 exact_url_escape(statement_id));
	MemoryContextSwitchTo(old);
	start_call(call);
}

/* A reading of the query history; more: parameters that choose what is shown */
static void
call_history(const ExactWorkspace *workspace, CallKind kind, const char *mark, const char *other,
			 int64 since_ms, const char *more, ExactCallDone done, void *arg)
{
	Call	   *call = make_call(workspace, kind, done, arg);
	MemoryContext old = MemoryContextSwitchTo(call->context);

	call->history.others = kind == CALL_OTHERS;
	call->history.mark = pstrdup(mark);
	call->history.principal = copy_text(workspace->principal);
	call->history.not_mark = copy_text(other);
	call->first_url = psprintf("%s/api/2.0/sql/history/queries"
							   "?filter_by.query_start_time_range.start_time_ms=" INT64_FORMAT
							   "%s&max_results=100", workspace->origin, since_ms, more);
	call->url = call->first_url;
	MemoryContextSwitchTo(old);
	start_call(call);
}

void
exact_databricks_find(const ExactWorkspace *workspace, const char *mark, const char *other,
					  TimestampTz since, ExactCallDone done, void *arg)
{
	call_history(workspace, CALL_FIND, mark, other,
				 exact_clock_unix_ms(since) - HISTORY_MARGIN_MS,
				 "&filter_by.statuses=QUEUED&filter_by.statuses=STARTED"
				 "&filter_by.statuses=COMPILING&filter_by.statuses=COMPILED"
				 "&filter_by.statuses=RUNNING", done, arg);
}

/* By the service's clock, which may be a little behind ours */
void
exact_databricks_others(const ExactWorkspace *workspace, const char *mark, TimestampTz since,
						ExactCallDone done, void *arg)
{
	char	   *more = psprintf("&filter_by.warehouse_ids=%s",
								exact_url_escape(workspace->warehouse));

	call_history(workspace, CALL_OTHERS, mark, NULL, exact_clock_unix_ms(since), more, done, arg);
	pfree(more);
}

/* A call about the warehouse; what: the end of its path */
static void
call_warehouse(const ExactWorkspace *workspace, CallKind kind, const char *what,
			   ExactCallDone done, void *arg)
{
	Call	   *call = make_call(workspace, kind, done, arg);
	MemoryContext old = MemoryContextSwitchTo(call->context);

	call->url = psprintf("%s/api/2.0/sql/warehouses/%s%s", workspace->origin,
						 exact_url_escape(workspace->warehouse), what);
	if (kind == CALL_STOP)
	{
		call->method = "POST";
		call->body = "{}";
		call->body_len = 2;
	}
	MemoryContextSwitchTo(old);
	start_call(call);
}

void
exact_databricks_warehouse(const ExactWorkspace *workspace, ExactCallDone done, void *arg)
{
	call_warehouse(workspace, CALL_WAREHOUSE, "", done, arg);
}

void
exact_databricks_stop(const ExactWorkspace *workspace, ExactCallDone done, void *arg)
{
	call_warehouse(workspace, CALL_STOP, "/stop", done, arg);
}

/* A call of the Files API: of a file or a directory at a path */
static Call *
make_file_call(const ExactWorkspace *workspace, CallKind kind, const char *method, const char *path,
			   ExactCallDone done, void *arg)
{
	Call	   *call = make_call(workspace, kind, done, arg);
	MemoryContext old = MemoryContextSwitchTo(call->context);
	StringInfoData url;

	initStringInfo(&url);
	appendStringInfo(&url, "%s/api/2.0/fs/%s", workspace->origin,
					 kind == CALL_LIST ? "directories" : "files");
	while (*path == '/')
	{
		size_t		len = strcspn(++path, "/");

		appendStringInfo(&url, "/%s", exact_url_escape(pnstrdup(path, len)));
		path += len;
	}
	call->method = method;
	call->url = call->first_url = url.data;
	MemoryContextSwitchTo(old);
	return call;
}

void
exact_databricks_put(const ExactWorkspace *workspace, const char *path, const char *data,
					 size_t len, ExactCallDone done, void *arg)
{
	Call	   *call = make_file_call(workspace, CALL_PUT, "PUT", path, done, arg);
	MemoryContext old = MemoryContextSwitchTo(call->context);

	call->url = psprintf("%s?overwrite=true", call->url);
	call->body = data;
	call->body_len = len;
	MemoryContextSwitchTo(old);
	start_call(call);
}

void
exact_databricks_delete(const ExactWorkspace *workspace, const char *path, ExactCallDone done,
						void *arg)
{
	start_call(make_file_call(workspace, CALL_DELETE, "DELETE", path, done, arg));
}

void
exact_databricks_list(const ExactWorkspace *workspace, const char *path, ExactCallDone done,
					  void *arg)
{
	start_call(make_file_call(workspace, CALL_LIST, "GET", path, done, arg));
}

ExactWorkspace *
exact_databricks_copy(const ExactWorkspace *workspace)
{
	ExactWorkspace *copy = palloc(sizeof(ExactWorkspace));

	*copy = *workspace;
	copy->name = copy_text(workspace->name);
	copy->origin = copy_text(workspace->origin);
	copy->workspace_id = copy_text(workspace->workspace_id);
	copy->warehouse = copy_text(workspace->warehouse);
	copy->catalog = copy_text(workspace->catalog);
	copy->schema = copy_text(workspace->schema);
	copy->volume = copy_text(workspace->volume);
	copy->principal = copy_text(workspace->principal);
	return copy;
}
