/*
 * ping_exact.c - the fetcher's answer to exact.ping(): every app and every enabled division, one
 * small call each, one after the other.
 *
 * Called by inquiry.c. The calls go through the same tokens and budgets as the feeds.
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "auth/address.h"
#include "base/fault.h"
#include "base/sql.h"
#include "exact_online/budget.h"
#include "exact_online/exact_api.h"
#include "exact_online/odata.h"
#include "exact_online/odata_value.h"
#include "fetch/lane.h"
#include "http/http_answer.h"
#include "inquiry/ping_exact.h"
#include "worker/ask.h"
#include "worker/ping.h"
#include "worker/service.h"
#include "worker/unit.h"

static const char *const division_fields[] = {"Code", "BlockingStatus"};

typedef struct Ping
{
	ExactPing  *answer;
	int			n;
	int			next;
	char	  **names;
	char	  **apps;
	char	  **base_urls;
	int		   *divisions;		/* 0: an app */
} Ping;

static void ping_next(Ping *ping);

static void
add_row(Ping *ping, bool ok, double ms, const char *finding, const char *next_step)
{
	exact_ping_add(ping->answer, "exact", ping->names[ping->next - 1], ok, ms, finding,
				   next_step ? next_step : "");
}

/* An app's token works; its answer also shows the time of Exact Online's clock. */
static void
judge_app(Ping *ping, const ExactHttpResponse *http)
{
	TimestampTz date = exact_http_date(http);
	int64		skew = date ? (GetCurrentTimestamp() - date) / USECS_PER_SEC : 0;

	if (skew > 60 || skew < -60)
		add_row(ping, true, http->ms,
				psprintf("token accepted; clocks differ by " INT64_FORMAT " s", skew),
				"set this machine's clock by NTP");
	else
		add_row(ping, true, http->ms, "token accepted", NULL);
}

/* Is the division among those that the app may open, and is it open now? */
static void
judge_division(Ping *ping, int division, const ExactHttpResponse *http)
{
	ExactPage  *page;
	char	   *problem;
	int64		blocking = 0;
	bool		found = false;

	page = exact_odata_parse(http->body, http->body_len, division_fields,
							 lengthof(division_fields), &problem);
	for (int r = 0; page != NULL && r < page->nrecords; r++)
	{
		const ExactSlice *values = page->records[r].values;
		int64		code;

		if (exact_odata_int64(values[0], &code) && code == division)
		{
			found = true;
			exact_odata_int64(values[1], &blocking);
		}
	}
	if (page == NULL)
		add_row(ping, false, http->ms, problem, "try again");
	else if (!found)
		add_row(ping, false, http->ms, "the app may not open this division",
				"consent again with a user who may, or disable the division");
	else if (blocking != 0)
		add_row(ping, true, http->ms,
				psprintf("blocked for a backup, conversion or copy (status " INT64_FORMAT ")",
						 blocking),
				"wait until Exact Online has finished");
	else
	{
		ExactLane  *lane = exact_lane_find(division);

		/* it is not refused any more: one that is tried every hour is tried now */
		if (lane != NULL && strcmp(lane->state, "parked") == 0)
			lane->state_since = 0;
		add_row(ping, true, http->ms, "division can be read", NULL);
	}
}

static void
on_ping(ExactApiAnswer *answer, void *arg)
{
	Ping	   *ping = arg;
	int			division = ping->divisions[ping->next - 1];

	if (answer->trouble != EXACT_API_OK)
	{
		const ExactFault *fault = answer->fault;

		add_row(ping, false, answer->http ? answer->http->ms : 0, exact_ping_finding(fault),
				fault->hint);
	}
	else if (division == 0)
	{
		exact_service_mended(answer->request->app);
		judge_app(ping, answer->http);
	}
	else
		judge_division(ping, division, answer->http);
	ping_next(ping);
}

/* What is asked of a division; 0: of an app */
static char *
url_of(const char *base_url, int division)
{
	if (division == 0)
		return psprintf("%s/api/v1/current/Me?$select=CurrentDivision", base_url);
	return psprintf("%s/api/v1/%d/system/Divisions?$filter=Code%%20eq%%20%d"
					"&$select=Code,Description,Status,BlockingStatus",
					base_url, division, division);
}

/*
 * Asks about the next app or division. One that cannot be asked has its row at once, and the turn
 * goes to the one after it; after the last the answer is complete.
 */
static void
ping_next(Ping *ping)
{
	ExactApiRequest request = {0};
	const char *resource;
	const char *why;
	int			i = ping->next++;

	if (i >= ping->n || exact_ask_gone(ping->answer->ask))
	{
		exact_ping_close(ping->answer);
		return;
	}
	if (ping->base_urls[i] == NULL)
	{
		add_row(ping, false, 0, "its base URL cannot be used",
				"see the server log; correct exact.app");
		ping_next(ping);
		return;
	}
	resource = ping->divisions[i] ? "system/Divisions" : "current/Me";
	if (exact_budget_allowed_at(ping->divisions[i], resource, &why) != 0)
	{
		add_row(ping, true, 0, psprintf("no call now: %s", why), "try again later");
		ping_next(ping);
		return;
	}
	request.app = ping->apps[i];
	request.base_url = ping->base_urls[i];
	request.division = ping->divisions[i];
	request.feed = "ask";
	request.resource = resource;
	request.label = resource;
	request.url = url_of(ping->base_urls[i], ping->divisions[i]);
	request.asked_by = exact_ask_user(ping->answer->ask);
	exact_api_get(&request, on_ping, ping);
}

static void
ping_unit(void *arg)
{
	static const char sql[] =
	"SELECT name, name, 0"
	" FROM exact.app"
	" UNION ALL"
	" SELECT division::text, app, division"
	" FROM exact.division"
	" WHERE enabled"
	" ORDER BY 3, 1";
	Ping	   *ping = arg;
	MemoryContext old = MemoryContextSwitchTo(ping->answer->context);

	ping->n = (int) exact_sql(sql, 0, NULL);
	ping->names = palloc0((ping->n + 1) * sizeof(char *));
	ping->apps = palloc0((ping->n + 1) * sizeof(char *));
	ping->base_urls = palloc0((ping->n + 1) * sizeof(char *));
	ping->divisions = palloc0((ping->n + 1) * sizeof(int));
	for (int i = 0; i < ping->n; i++)
	{
		ping->names[i] = exact_cell_text(i, 1);
		ping->apps[i] = exact_cell_text(i, 2);
		ping->divisions[i] = (int) exact_cell_int8(i, 3, 0);
	}
	MemoryContextSwitchTo(old);
}

typedef struct BaseUrl
{
	const char *app;
	MemoryContext context;
	char	   *url;
} BaseUrl;

static void
base_url_unit(void *arg)
{
	BaseUrl    *base = arg;
	MemoryContext old = MemoryContextSwitchTo(base->context);

	base->url = exact_app_base_url(base->app);
	MemoryContextSwitchTo(old);
}

static void
on_app(ExactApiAnswer *answer pg_attribute_unused(), void *arg pg_attribute_unused())
{
	/* exact_api.c has told the service and records the call */
}

void
exact_ping_app(const char *app)
{
	BaseUrl		base = {app, CurrentMemoryContext, NULL};
	ExactApiRequest request = {0};
	const char *why;

	if (exact_budget_allowed_at(0, "current/Me", &why) != 0 ||
		!exact_unit_run("read app", base_url_unit, &base, NULL))
		return;
	request.app = app;
	request.base_url = base.url;
	request.feed = "ask";
	request.resource = request.label = "current/Me";
	request.url = url_of(base.url, 0);
	exact_api_get(&request, on_app, NULL);
}

void
exact_ping_exact(ExactAsk *ask)
{
	ExactPing  *answer = exact_ping_open(ask);
	MemoryContext old = MemoryContextSwitchTo(answer->context);
	Ping	   *ping = palloc0(sizeof(Ping));
	ExactFault *fault = NULL;

	ping->answer = answer;
	if (exact_unit_run("ping", ping_unit, ping, &fault))
		for (int i = 0; i < ping->n; i++)
		{
			BaseUrl		base = {ping->apps[i], answer->context, NULL};

			exact_unit_run("read app", base_url_unit, &base, NULL);
			ping->base_urls[i] = base.url;
		}
	MemoryContextSwitchTo(old);
	if (fault != NULL)
	{
		exact_ask_fail(ask, fault);
		MemoryContextDelete(answer->context);
		return;
	}
	ping_next(ping);
}
