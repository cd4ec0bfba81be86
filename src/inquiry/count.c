/*
 * count.c - how many records lists of a division have, for exact.estimate().
 *
 * One $count after the other, each a call like all others, within the part of the budget that a
 * first load may use. What cannot be counted has its reason in the answer and never a number; what
 * says of the whole division or the service that it does not answer ends the calls.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "auth/address.h"
#include "base/errors.h"
#include "base/fault.h"
#include "base/sql.h"
#include "exact_online/budget.h"
#include "exact_online/exact_api.h"
#include "exact_online/odata_value.h"
#include "http/url.h"
#include "inquiry/count.h"
#include "state/audit.h"
#include "worker/ask.h"
#include "worker/unit.h"

#define PATH "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz/"
#define ARGS_BEFORE 1			/* the division */
#define ARGS_EACH 2				/* path and filter */

typedef struct Count
{
	MemoryContext context;
	ExactAsk   *ask;
	int			division;
	char	   *app;
	char	   *base_url;
	StringInfoData out;			/* JSON array so far */
	int			nlists;
	int			done;			/* lists that are in out */
	int			counted;		/* those of them that have a number */
	const ExactFault *fault;	/* why the rest is not asked for; NULL: it is */
} Count;

static void go_on(Count *c);

static const char *
path_of(const Count *c, int n)
{
	const char *path = exact_ask_arg(c->ask, ARGS_BEFORE + n * ARGS_EACH);

	return path != NULL ? path : "";
}

/* ---- the answer ---- */

static void
event_unit(void *arg)
{
	Count	   *c = arg;
	ExactAuditInquiry event = {
		.who = exact_ask_user(c->ask),
		.asked = exact_ask_op(c->ask),
		.app = c->app,
		.division = c->division,
		.rows = c->counted,
		.sqlstate = c->fault ? unpack_sql_state(c->fault->sqlstate) : NULL
	};

	exact_audit_inquiry("fetcher", &event);
}

/* The event of who asked is committed before the asker learns anything. */
static void
end(Count *c)
{
	ExactFault *fault = NULL;

	appendStringInfoChar(&c->out, ']');
	if (exact_ask_user(c->ask) == NULL || exact_unit_run("record inquiry", event_unit, c, &fault))
		exact_ask_answer(c->ask, c->out.data, c->out.len);
	else
		exact_ask_fail(c->ask, fault);
	MemoryContextDelete(c->context);
}

static void
add_number(Count *c, int64 n)
{
	appendStringInfo(&c->out, "%s{\"n\":" INT64_FORMAT "}", c->done++ > 0 ? "," : "", n);
	c->counted++;
}

static void
add_reason(Count *c, const ExactFault *fault, long status, TimestampTz until)
{
	appendStringInfo(&c->out, "%s{\"sqlstate\":\"%s\",\"status\":%ld,\"why\":",
					 c->done++ > 0 ? "," : "", unpack_sql_state(fault->sqlstate), status);
	escape_json(&c->out, fault->message);
	if (until != 0)
	{
		appendStringInfoString(&c->out, ",\"until\":");
		escape_json(&c->out, timestamptz_to_str(until));
	}
	appendStringInfoChar(&c->out, '}');
}

/* ---- a call ---- */

static void
on_answer(ExactApiAnswer *answer, void *arg)
{
	Count	   *c = arg;
	MemoryContext old = MemoryContextSwitchTo(c->context);
	const ExactHttpResponse *http = answer->http;
	int64		n;

	if (answer->trouble == EXACT_API_OK && exact_odata_count(http->body, http->body_len, &n))
		add_number(c, n);
	else
	{
		if (answer->away || answer->trouble == EXACT_API_PARKED ||
			answer->trouble == EXACT_API_UNAUTHORIZED)
			c->fault = exact_fault_copy(answer->fault);
		add_reason(c, answer->fault, http ? http->status : 0,
				   answer->trouble == EXACT_API_LIMIT ? answer->retry_at : 0);
	}
	MemoryContextSwitchTo(old);
	go_on(c);
}

static void
send_count(Count *c)
{
	const char *path = path_of(c, c->done);
	const char *filter = exact_ask_arg(c->ask, ARGS_BEFORE + c->done * ARGS_EACH + 1);
	ExactApiRequest request = {0};

	request.app = c->app;
	request.base_url = c->base_url;
	request.division = c->division;
	request.feed = "ask";
	request.resource = path;
	request.url = psprintf("%s/api/v1/%d/%s/$count", c->base_url, c->division, path);
	if (filter != NULL)
		request.url = psprintf("%s?$filter=%s", request.url, exact_url_escape(filter));
	request.label = psprintf("%s/$count%s%s", path, filter ? "?$filter=" : "",
							 filter ? filter : "");
	request.number = true;
	request.asked_by = exact_ask_user(c->ask);
	exact_api_get(&request, on_answer, c);
}

/* Why the next list is not asked for now; NULL: it is. */
static const ExactFault *
refusal(Count *c, TimestampTz *until)
{
	const char *path = path_of(c, c->done);
	const char *why = NULL;

	*until = 0;
	if (c->fault != NULL)
		return c->fault;
	if (path[0] == '\0' || strspn(path, PATH) != strlen(path))
		return exact_fault_make(ERRCODE_EXACT_NOT_USABLE,
								psprintf("\"%s\" is not a list of a division", path), NULL, NULL);
	if (exact_ask_gone(c->ask))
		return exact_fault_make(ERRCODE_QUERY_CANCELED, pstrdup("the asker has gone"), NULL, NULL);
	*until = exact_budget_backfill_at(c->division, path, &why);
	if (*until != 0)
		return exact_fault_make(ERRCODE_EXACT_BUDGET, psprintf("no call now: %s", why), NULL,
								NULL);
	return NULL;
}

/* Sends the next call, or answers when there is none; c may be gone afterwards. */
static void
go_on(Count *c)
{
	MemoryContext old = MemoryContextSwitchTo(c->context);
	const ExactFault *fault;
	TimestampTz until;

	while (c->done < c->nlists && (fault = refusal(c, &until)) != NULL)
		add_reason(c, fault, 0, until);
	MemoryContextSwitchTo(old);
	if (c->done < c->nlists)
		send_count(c);
	else
		end(c);
}

/* ---- the question ---- */

/* In a unit */
static void
find_unit(void *arg)
{
	static const char sql[] = "SELECT app FROM exact.division WHERE division = $1";
	Count	   *c = arg;
	ExactArg	division = exact_arg_int4(c->division);
	MemoryContext old;

	if (exact_sql(sql, 1, &division) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_NOT_USABLE),
				 errmsg("division %d is not known", c->division),
				 errhint("See exact.divisions; "
						 "exact.discover_divisions() lists those an app may open.")));
	old = MemoryContextSwitchTo(c->context);
	c->app = exact_cell_text(0, 1);
	c->base_url = exact_app_base_url(c->app);
	MemoryContextSwitchTo(old);
}

void
exact_count_answer(ExactAsk *ask)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "exact count",
												  ALLOCSET_SMALL_SIZES);
	Count	   *c = MemoryContextAllocZero(context, sizeof(Count));
	MemoryContext old = MemoryContextSwitchTo(context);
	const char *division = exact_ask_arg(ask, 0);
	ExactFault *fault = NULL;

	c->context = context;
	c->ask = ask;
	c->division = division ? atoi(division) : 0;
	c->nlists = (exact_ask_nargs(ask) - ARGS_BEFORE) / ARGS_EACH;
	initStringInfo(&c->out);
	appendStringInfoChar(&c->out, '[');
	MemoryContextSwitchTo(old);
	if (exact_unit_run("find app", find_unit, c, &fault))
		go_on(c);
	else
	{
		exact_ask_fail(ask, fault);
		MemoryContextDelete(context);
	}
}
