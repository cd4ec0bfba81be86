/*
 * inquiry.c - ad-hoc questions of backends, through the same tokens, budgets and guard as the
 * feeds.
 *
 * A question is a chain of GETs that gathers records as received; its answer is JSON text. No
 * question takes a URL: host and division come from the configuration, the resource is checked,
 * links are followed within the division only.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "auth/address.h"
#include "auth/credential_import.h"
#include "auth/exact_token.h"
#include "auth/token.h"
#include "base/errors.h"
#include "base/fault.h"
#include "base/sql.h"
#include "exact_online/budget.h"
#include "exact_online/exact_api.h"
#include "exact_online/link.h"
#include "exact_online/odata.h"
#include "exact_online/odata_value.h"
#include "fetch/lane.h"
#include "inquiry/count.h"
#include "inquiry/inquiry.h"
#include "inquiry/ping_exact.h"
#include "state/audit.h"
#include "worker/ask.h"
#include "worker/unit.h"

#define MAX_PAGES 200
#define MAX_ANSWER (64 * 1024 * 1024)
#define ALPHANUMERIC "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

typedef enum InquiryKind
{
	INQUIRY_ME,
	INQUIRY_DISCOVER,			/* Me, then the list of divisions */
	INQUIRY_FETCH,
	INQUIRY_PAGE				/* one page, and what to ask for the next */
} InquiryKind;

typedef struct Inquiry
{
	MemoryContext context;
	ExactAsk   *ask;
	InquiryKind kind;
	char	   *app;
	char	   *base_url;
	int			division;		/* 0: current/Me */
	char	   *resource;
	char	   *query;
	StringInfoData out;			/* JSON array so far */
	int			pages;
	int			records;
	const char *next;			/* of a page: the query of the one behind it; NULL: none */
} Inquiry;

static void send_inquiry(Inquiry *q, const char *url);

/* ---- the event of who asked ---- */

static void
event_unit(void *arg)
{
	exact_audit_inquiry("fetcher", arg);
}

/*
 * The event is committed before the asker learns anything: it stays when the asker's query is
 * cancelled or rolled back. Without it there is no answer: false, with *fault.
 */
static bool
record_event(Inquiry *q, const char *sqlstate, ExactFault **fault)
{
	ExactAuditInquiry event = {
		.who = exact_ask_user(q->ask),
		.asked = exact_ask_op(q->ask),
		.app = q->app,
		.division = q->division,
		.resource = q->resource,
		.rows = q->records,
		.sqlstate = sqlstate
	};

	return event.who == NULL || exact_unit_run("record inquiry", event_unit, &event, fault);
}

/* The same for what has no rows, before it is done; an asker without an event has its refusal. */
static bool
allow(ExactAsk *ask, const char *app)
{
	ExactAuditInquiry event = {
		.who = exact_ask_user(ask), .asked = exact_ask_op(ask), .app = app, .rows = -1
	};
	ExactFault *fault = NULL;

	if (event.who == NULL || exact_unit_run("record inquiry", event_unit, &event, &fault))
		return true;
	exact_ask_fail(ask, fault);
	return false;
}

static void
end_inquiry(Inquiry *q)
{
	ExactFault *fault = NULL;

	if (q->kind != INQUIRY_ME)
		appendStringInfoChar(&q->out, ']');
	if (q->kind == INQUIRY_PAGE)
	{
		appendStringInfoString(&q->out, ",\"next\":");
		if (q->next != NULL)
			escape_json(&q->out, q->next);
		else
			appendStringInfoString(&q->out, "null");
		appendStringInfoChar(&q->out, '}');
	}
	if (record_event(q, NULL, &fault))
		exact_ask_answer(q->ask, q->out.data, q->out.len);
	else
		exact_ask_fail(q->ask, fault);
	MemoryContextDelete(q->context);
}

static void
refuse_inquiry(Inquiry *q, const ExactFault *fault)
{
	(void) record_event(q, unpack_sql_state(fault->sqlstate), NULL);
	exact_ask_fail(q->ask, fault);
	MemoryContextDelete(q->context);
}

static const char *const me_fields[] = {"CurrentDivision"};
static const char *const division_fields[] = {"Code", "Description", "Status", "BlockingStatus"};
static const char *const fetch_fields[] = {"Division"};

/*
 * A page of divisions becomes [{"division":..,"description":..,"status":..,"blocking_status":..}]
 */
static void
gather_divisions(Inquiry *q, const ExactPage *page)
{
	for (int i = 0; i < page->nrecords; i++)
	{
		ExactSlice *values = page->records[i].values;
		char	   *description = exact_odata_string(values[1]);
		int64		code,
					status,
					blocking;

		if (!exact_odata_int64(values[0], &code))
			continue;
		appendStringInfo(&q->out, "%s{\"division\":" INT64_FORMAT ",\"description\":",
						 q->records++ ? "," : "", code);
		escape_json(&q->out, description ? description : "");
		if (exact_odata_int64(values[2], &status))
			appendStringInfo(&q->out, ",\"status\":" INT64_FORMAT, status);
		if (exact_odata_int64(values[3], &blocking))
			appendStringInfo(&q->out, ",\"blocking_status\":" INT64_FORMAT, blocking);
		appendStringInfoChar(&q->out, '}');
	}
}

/* Takes the records of a page as they came. None may be of another division. */
static ExactFault *
gather_records(Inquiry *q, const ExactPage *page)
{
	for (int i = 0; i < page->nrecords; i++)
	{
		const ExactRecord *record = &page->records[i];
		int64		division = exact_odata_division(record, record->values[0], q->division);

		if (division >= 0 && division != q->division)
			return exact_fault_make(ERRCODE_EXACT_DIVISION_GUARD,
									psprintf("Exact Online answered with a record of division "
											 INT64_FORMAT, division),
									psprintf("GET %s in division %d, row %d. "
											 "Nothing of it is shown.",
											 q->resource, q->division, i + 1),
									pstrdup("Check the administration in Exact Online."));
		if (q->out.len + record->text.len > MAX_ANSWER)
			return exact_fault_make(ERRCODE_PROGRAM_LIMIT_EXCEEDED,
									pstrdup("the answer is larger than 64 MB"),
									psprintf("GET %s, %d records so far.",
											 q->resource, q->records),
									pstrdup("Ask for fewer fields with $select "
											"or fewer records with $filter or $top."));
		if (q->records++ > 0)
			appendStringInfoChar(&q->out, ',');
		appendBinaryStringInfo(&q->out, record->text.start, (int) record->text.len);
	}
	return NULL;
}

/* The answer of current/Me. A discovery goes on with the list of divisions: *next. */
static ExactFault *
gather_me(Inquiry *q, const ExactPage *page, const char **next)
{
	const ExactRecord *me = &page->records[0];
	int64		division;

	if (page->nrecords != 1 || !exact_odata_int64(me->values[0], &division) || division <= 0)
		return exact_fault_make(ERRCODE_EXACT_BAD_ANSWER,
								pstrdup("Exact Online did not say who the app acts for"),
								pstrdup("GET current/Me."),
								pstrdup("Consent again with exact.authorize_url()."));
	if (q->kind == INQUIRY_ME)
	{
		appendBinaryStringInfo(&q->out, me->text.start, (int) me->text.len);
		q->records = 1;
	}
	else
	{
		q->division = (int) division;
		q->resource = pstrdup("system/Divisions");
		*next = psprintf("%s/api/v1/%d/system/Divisions"
						 "?$select=Code,Description,Status,BlockingStatus",
						 q->base_url, q->division);
	}
	return NULL;
}

/* *next: the page that follows this one, if any. */
static ExactFault *
follow_link(Inquiry *q, const ExactPage *page, const char **next)
{
	if (page->next == NULL)
		return NULL;
	if (exact_link_check(page->next, q->base_url, q->division, NULL, NULL) != EXACT_LINK_GOOD)
		return exact_fault_make(ERRCODE_EXACT_BAD_ANSWER,
								pstrdup("the next page is on another host or of another division"),
								psprintf("GET %s in division %d.", q->resource, q->division),
								pstrdup("Nothing was followed."));
	if (q->kind == INQUIRY_PAGE)
	{
		const char *query = strchr(page->next, '?');

		q->next = pstrdup(query ? query + 1 : "");
		return NULL;
	}
	if (++q->pages >= MAX_PAGES)
		return exact_fault_make(ERRCODE_PROGRAM_LIMIT_EXCEEDED,
								psprintf("the answer has more than %d pages", MAX_PAGES),
								psprintf("GET %s in division %d.", q->resource, q->division),
								pstrdup("Ask for fewer records with $filter or $top, "
										"or enable the entity."));
	if (exact_ask_gone(q->ask))
		return exact_fault_make(ERRCODE_QUERY_CANCELED, pstrdup("the asker has gone"), NULL, NULL);
	*next = page->next;
	return NULL;
}

/* The fields that are looked at in each record of an answer */
static const char *const *
fields_of(const Inquiry *q, int *nfields)
{
	if (q->division == 0)
	{
		*nfields = lengthof(me_fields);
		return me_fields;
	}
	if (q->kind == INQUIRY_DISCOVER)
	{
		*nfields = lengthof(division_fields);
		return division_fields;
	}
	*nfields = lengthof(fetch_fields);
	return fetch_fields;
}

/* Adds an answer to what has been gathered. *next: what is to be asked after it, if anything. */
static ExactFault *
gather(Inquiry *q, const ExactHttpResponse *http, const char **next)
{
	int			nfields;
	const char *const *fields = fields_of(q, &nfields);
	char	   *problem = NULL;
	ExactFault *fault = NULL;
	ExactPage  *page = exact_odata_parse(http->body, http->body_len, fields, nfields, &problem);

	if (page == NULL)
		return exact_fault_make(ERRCODE_EXACT_BAD_ANSWER,
								psprintf("Exact Online's answer cannot be read: %s", problem),
								psprintf("GET %s, HTTP %ld.", q->resource, http->status),
								pstrdup("Try again."));
	if (q->division == 0)
		return gather_me(q, page, next);
	if (q->kind == INQUIRY_DISCOVER)
		gather_divisions(q, page);
	else
		fault = gather_records(q, page);
	return fault != NULL ? fault : follow_link(q, page, next);
}

static void
on_answer(ExactApiAnswer *answer, void *arg)
{
	Inquiry    *q = arg;
	MemoryContext old;
	ExactFault *fault;
	const char *next = NULL;

	if (answer->trouble != EXACT_API_OK)
	{
		refuse_inquiry(q, answer->fault);
		return;
	}
	old = MemoryContextSwitchTo(q->context);
	fault = gather(q, answer->http, &next);
	MemoryContextSwitchTo(old);
	if (fault != NULL)
		refuse_inquiry(q, fault);
	else if (next != NULL)
		send_inquiry(q, next);
	else
		end_inquiry(q);
}

static void
send_inquiry(Inquiry *q, const char *url)
{
	ExactApiRequest request = {0};
	const char *why;
	TimestampTz at = exact_budget_allowed_at(q->division, q->resource, &why);

	if (at != 0)
	{
		MemoryContext old = MemoryContextSwitchTo(q->context);
		char	   *message = psprintf("no call to %s now: %s", q->resource, why);
		char	   *hint = psprintf("Try again after %s.", timestamptz_to_str(at));
		ExactFault *fault = exact_fault_make(ERRCODE_EXACT_BUDGET, message, NULL, hint);

		MemoryContextSwitchTo(old);
		refuse_inquiry(q, fault);
		return;
	}
	request.app = q->app;
	request.base_url = q->base_url;
	request.division = q->division;
	request.feed = "ask";
	request.resource = q->resource;
	request.url = url;
	request.label = q->resource;
	request.asked_by = exact_ask_user(q->ask);
	exact_api_get(&request, on_answer, q);
}

/* Of the configuration, in a unit */
static void
find_unit(void *arg)
{
	static const char division_sql[] = "SELECT app FROM exact.division WHERE division = $1";
	static const char app_sql[] = "SELECT name FROM exact.app WHERE name = $1";
	Inquiry    *q = arg;
	ExactArg	args[1];
	MemoryContext old;

	args[0] = q->division != 0 ? exact_arg_int4(q->division) : exact_arg_text(q->app);
	if (exact_sql(q->division != 0 ? division_sql : app_sql, 1, args) == 0)
	{
		if (q->division != 0)
			ereport(ERROR,
					(errcode(ERRCODE_EXACT_NOT_USABLE),
					 errmsg("division %d is not known", q->division),
					 errhint("See exact.divisions; "
							 "exact.discover_divisions() lists those an app may open.")));
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_NOT_USABLE),
				 errmsg("app \"%s\" is not known", q->app),
				 errhint("See exact.apps.")));
	}
	old = MemoryContextSwitchTo(q->context);
	q->app = exact_cell_text(0, 1);
	q->base_url = exact_app_base_url(q->app);
	MemoryContextSwitchTo(old);
}

/*
 * Letters, digits and slashes, and a key in parentheses: nothing that leaves the division's path.
 */
static bool
good_resource(const char *resource)
{
	size_t		path = strspn(resource, ALPHANUMERIC "/");
	const char *rest = resource + path;

	if (path == 0 || resource[0] == '/' || strstr(resource, "//") != NULL)
		return false;
	if (*rest == '\0')
		return true;
	return *rest == '(' && rest[strlen(rest) - 1] == ')' &&
		strspn(rest, ALPHANUMERIC "()'-=,") == strlen(rest);
}

/* Encodes what a URL cannot hold; what is encoded already stays. */
static char *
encode_query(const char *query)
{
	StringInfoData out;

	initStringInfo(&out);
	for (const unsigned char *c = (const unsigned char *) query; *c; c++)
	{
		if (*c <= ' ' || *c >= 0x7F || strchr("\"'<>\\^`{|}#+", *c) != NULL)
			appendStringInfo(&out, "%%%02X", *c);
		else
			appendStringInfoChar(&out, (char) *c);
	}
	return out.data;
}

/* Where the records of an ad-hoc question are; its query may begin with a question mark. */
static char *
fetch_url(const Inquiry *q, const char *query)
{
	char	   *path = encode_query(q->resource);

	if (query == NULL || *query == '\0')
		return psprintf("%s/api/v1/%d/%s", q->base_url, q->division, path);
	return psprintf("%s/api/v1/%d/%s?%s", q->base_url, q->division, path,
					encode_query(query[0] == '?' ? query + 1 : query));
}

/*
 * Checks the words of a question, finds the app that may answer it and sends the first GET.
 */
static void
start_inquiry(ExactAsk *ask, InquiryKind kind)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "exact inquiry",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Inquiry    *q = palloc0(sizeof(Inquiry));
	ExactFault *fault = NULL;
	const char *first = exact_ask_arg(ask, 0);
	const char *query = exact_ask_arg(ask, 2);

	q->context = context;
	q->ask = ask;
	q->kind = kind;
	initStringInfo(&q->out);
	if (kind != INQUIRY_ME)
		appendStringInfoString(&q->out, kind == INQUIRY_PAGE ? "{\"rows\":[" : "[");
	if (kind == INQUIRY_FETCH || kind == INQUIRY_PAGE)
	{
		const char *resource = exact_ask_arg(ask, 1);

		q->division = first ? atoi(first) : 0;
		q->resource = pstrdup(resource ? resource : "");
		if (q->division <= 0 || !good_resource(q->resource))
			fault = exact_fault_make(ERRCODE_EXACT_NOT_USABLE,
									 psprintf("\"%s\" is not a resource of a division",
											  q->resource),
									 pstrdup("A resource is a path below the division, "
											 "such as crm/Accounts or logistics/Items(guid'...')."),
									 pstrdup("See the column resource of exact.catalogue."));
	}
	else
	{
		q->app = pstrdup(first ? first : "");
		q->resource = pstrdup("current/Me");
	}
	if (fault == NULL)
		exact_unit_run("find app", find_unit, q, &fault);
	MemoryContextSwitchTo(old);
	if (fault != NULL)
	{
		refuse_inquiry(q, fault);
		return;
	}
	if (kind == INQUIRY_FETCH || kind == INQUIRY_PAGE)
		send_inquiry(q, fetch_url(q, query));
	else
		send_inquiry(q, psprintf("%s/api/v1/current/Me%s", q->base_url,
								 kind == INQUIRY_DISCOVER ? "?$select=CurrentDivision" : ""));
}

static void
on_authorized(const ExactTokenAnswer *answer, void *arg)
{
	ExactAsk   *ask = arg;

	if (answer->state == EXACT_TOKEN_OK)
	{
		char	   *text = psprintf("authorised; the first feeds start now");

		exact_ask_answer(ask, text, strlen(text));
		exact_lane_want_plan();
	}
	else if (answer->fault != NULL)
		exact_ask_fail(ask, answer->fault);
	else
		exact_ask_failf(ask, ERRCODE_EXACT_UNAVAILABLE, NULL,
						"Open exact.authorize_url() again: a code works once.",
						"Exact Online did not answer the authorisation");
}

void
exact_inquiry_answer(ExactAsk *ask)
{
	const char *op = exact_ask_op(ask);

	if (strcmp(op, "me") == 0)
		start_inquiry(ask, INQUIRY_ME);
	else if (strcmp(op, "discover") == 0)
		start_inquiry(ask, INQUIRY_DISCOVER);
	else if (strcmp(op, "fetch") == 0)
		start_inquiry(ask, INQUIRY_FETCH);
	else if (strcmp(op, "page") == 0)
		start_inquiry(ask, INQUIRY_PAGE);
	else if (strcmp(op, "count") == 0)
		exact_count_answer(ask);
	else if (strcmp(op, "ping") == 0)
	{
		if (allow(ask, NULL))
			exact_ping_exact(ask);
	}
	else if (strcmp(op, "authorize") == 0 && exact_ask_nargs(ask) == 3)
	{
		if (allow(ask, exact_ask_arg(ask, 0)))
			exact_token_authorize(exact_ask_arg(ask, 0), exact_ask_arg(ask, 1),
								  exact_ask_arg(ask, 2), on_authorized, ask);
	}
	else if (strcmp(op, "import_secrets") == 0)
	{
		char	   *result;

		if (!allow(ask, NULL))
			return;
		result = exact_credential_import();
		exact_ask_answer(ask, result, strlen(result));
		exact_lane_want_plan();
	}
	else
		exact_ask_failf(ask, ERRCODE_EXACT_NOT_USABLE, NULL, NULL,
						"the fetcher does not know the question \"%s\"", op);
}
