/*
 * pages.c - what the listener shows: status, deliveries and metrics to those who may see them,
 * short texts to everybody.
 *
 * Called by listener.c. Only who has the token sees them, wherever he asks: what a proxy in front
 * adds or leaves out opens nothing. Each page is made at most every 2 s, and its statements may
 * take 1 s: notifications wait meanwhile.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "auth/credential.h"
#include "auth/secret.h"
#include "base/fault.h"
#include "base/sql.h"
#include "http/http_server.h"
#include "listener/html.h"
#include "listener/page_deliveries.h"
#include "listener/page_metrics.h"
#include "listener/page_status.h"
#include "listener/pages.h"
#include "listener/rate.h"
#include "worker/unit.h"

#define PAGE_CACHE_MS 2000
#define PAGE_SHARE 10			/* and takes this part of the time at most */
#define PAGE_LIMIT_MS 1000
#define GUESSES 10				/* wrong tokens of a client within a minute */
#define GUESSES_MS 60000

void
exact_pages_text(ExactRequest *request, int status, const char *text)
{
	ExactReply	reply = {
		.status = status,
		.body = text,
		.len = strlen(text),
		.type = "text/plain; charset=utf-8"
	};

	if (status == 503)
		reply.retry_after = EXACT_RETRY_AFTER_S;
	exact_http_server_answer(request, &reply);
}

/* A page that is made at most every 2 s, whoever asks */
typedef struct CachedPage
{
	bool		(*make) (StringInfo out);
	const char *type;
	bool		html;
	StringInfoData text;		/* in TopMemoryContext */
	bool		good;
	TimestampTz until;
} CachedPage;

static CachedPage status_page = {
	.make = exact_page_status,
	.type = "text/html; charset=utf-8",
	.html = true
};
static CachedPage metrics_page = {
	.make = exact_page_metrics,
	.type = "text/plain; version=0.0.4; charset=utf-8"
};

static CachedPage deliveries_page = {
	.make = exact_page_deliveries,
	.type = "text/html; charset=utf-8",
	.html = true
};

static void
make_page(CachedPage *page)
{
	TimestampTz begun = GetCurrentTimestamp();
	StringInfoData fresh;
	long		keep;

	initStringInfo(&fresh);
	enable_timeout_after(STATEMENT_TIMEOUT, PAGE_LIMIT_MS);
	page->good = page->make(&fresh);
	disable_timeout(STATEMENT_TIMEOUT, false);
	QueryCancelPending = false;
	if (page->text.data == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		initStringInfo(&page->text);
		MemoryContextSwitchTo(old);
	}
	resetStringInfo(&page->text);
	appendBinaryStringInfo(&page->text, fresh.data, fresh.len);
	keep = TimestampDifferenceMilliseconds(begun, GetCurrentTimestamp()) * PAGE_SHARE;
	if (!page->good || keep < PAGE_CACHE_MS)
		keep = PAGE_CACHE_MS;
	page->until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), keep);
}

/* The token with which /status and /metrics may be read; NULL when none is set */
static void
token_unit(void *arg)
{
	static const char sql[] =
	"SELECT FROM exact._listener_secrets()"
	" WHERE kind = 'listener' AND name = 'status' AND field = 'token'";
	ExactSecret **token = arg;

	if (exact_sql(sql, 0, NULL) > 0)
		*token = exact_credential_open("listener", "status", "token", NULL);
}

/* As it was at most 2 s ago; NULL when none is set or it cannot be read. */
static const ExactSecret *
current_token(void)
{
	static ExactSecret *token = NULL;
	static TimestampTz until = 0;
	ExactSecret *fresh = NULL;

	if (until > GetCurrentTimestamp())
		return token;
	if (!exact_unit_run("token of the status page", token_unit, &fresh, NULL))
		return NULL;
	exact_secret_free(token);
	token = fresh;
	until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), PAGE_CACHE_MS);
	return token;
}

/*
 * 200 for who shows the token; else the status to answer. A client that guesses is not listened to
 * for the rest of a minute.
 */
static int
admission(const ExactRequest *request)
{
	static ExactRate guesses = {.max = GUESSES, .span_ms = GUESSES_MS};
	const ExactSecret *token;
	ExactSecret *shown;
	bool		same;

	if (request->token == NULL)
		return 401;
	if (exact_rate_spent(&guesses, &request->client))
		return 429;
	token = current_token();
	if (token == NULL)
		return 401;
	shown = exact_secret_new(request->token, strlen(request->token));
	same = exact_secret_equal(token, shown);
	exact_secret_free(shown);
	if (same)
		return 200;
	exact_rate_count(&guesses, &request->client);
	return 401;
}

/* The page as it was made last, or why it is not shown */
static void
answer(ExactRequest *request, CachedPage *page, const ExactFault *refuse)
{
	ExactReply	reply = {.status = admission(request), .type = page->type};

	if (reply.status != 200)
	{
		reply.retry_after = reply.status == 429 ? GUESSES_MS / 1000 : 0;
		exact_http_server_answer(request, &reply);
		return;
	}
	if (refuse)
	{
		exact_pages_text(request, 503, psprintf("%s\n", refuse->message));
		return;
	}
	if (page->until <= GetCurrentTimestamp())
		make_page(page);
	if (!page->good)
	{
		exact_pages_text(request, 503, "the database did not answer in time\n");
		return;
	}
	reply.body = page->text.data;
	reply.len = page->text.len;
	reply.style_hash = page->html ? exact_html_style_hash() : NULL;
	exact_http_server_answer(request, &reply);
}

void
exact_pages_status(ExactRequest *request, const ExactFault *refuse)
{
	answer(request, &status_page, refuse);
}

void
exact_pages_metrics(ExactRequest *request, const ExactFault *refuse)
{
	answer(request, &metrics_page, refuse);
}

void
exact_pages_deliveries(ExactRequest *request, const ExactFault *refuse)
{
	answer(request, &deliveries_page, refuse);
}

/* Relative: whatever stands before the path in front of a proxy stays. */
void
exact_pages_root(ExactRequest *request)
{
	ExactReply	reply = {.status = 303, .location = "status"};

	exact_http_server_answer(request, &reply);
}
