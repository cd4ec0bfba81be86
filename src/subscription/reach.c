/*
 * reach.c - does a callback address lead to this hub?
 *
 * Exact Online accepts a subscription only when an empty POST to the callback is answered with 200
 * (exact-online.md §7.2). The hub sends the same POST first, without any secret, and says what a
 * person has to mend. It knows its own listener by the header X-Exact-Hub. public_url is a
 * superuser's setting, so its host needs no entry in allowed_hosts for this one call; a callback
 * address in exact.app is not, and is only tried when the host is allowed or that of public_url.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lwlock.h"
#include "utils/memutils.h"

#include "base/guc.h"
#include "base/sql.h"
#include "http/http_answer.h"
#include "http/http_client.h"
#include "http/url.h"
#include "subscription/reach.h"
#include "worker/role.h"
#include "worker/self.h"
#include "worker/shmem.h"
#include "worker/unit.h"

#define HUB_HEADER "X-Exact-Hub"
#define TIMEOUT_MS 10000
#define MAX_BYTES 65536
/* the listener and a proxy may start after the fetcher */
#define STARTING_US (15 * USECS_PER_SEC)
#define RETRY_US USECS_PER_SEC
#define AGAIN_US (10 * USECS_PER_MINUTE)	/* what does not answer well is tried again */

static ExactReach **reaches;
static int	nreaches;
static int	capacity;
static char mark[17];			/* of this installation */

static const char *const state_names[] = {"untried", "ok", "unsure", "broken"};

static void
set_text(char **field, const char *value)
{
	free(*field);
	*field = value ? strdup(value) : NULL;
}

static ExactReach *
find(const char *url)
{
	for (int i = 0; i < nreaches; i++)
		if (strcmp(reaches[i]->url, url) == 0)
			return reaches[i];
	return NULL;
}

ExactReach *
exact_reach_get(const char *url, bool own)
{
	ExactReach *reach = find(url);

	if (reach == NULL)
	{
		if (nreaches == capacity)
		{
			capacity = capacity ? capacity * 2 : 4;
			reaches = reaches ? repalloc(reaches, capacity * sizeof(ExactReach *))
				: MemoryContextAlloc(TopMemoryContext, capacity * sizeof(ExactReach *));
		}
		reach = MemoryContextAllocZero(TopMemoryContext, sizeof(ExactReach));
		set_text(&reach->url, url);
		reaches[nreaches++] = reach;
	}
	reach->own = own;
	reach->wanted = true;
	return reach;
}

void
exact_reach_forget(void)
{
	for (int i = 0; i < nreaches; i++)
		reaches[i]->wanted = false;
}

void
exact_reach_again(ExactReach *reach, bool forced)
{
	if (!forced && reach->tried_at + USECS_PER_HOUR > GetCurrentTimestamp())
		return;
	reach->next_at = 0;
	if (!forced)
		return;
	reach->state = EXACT_REACH_UNTRIED;
	reach->first_at = GetCurrentTimestamp() - STARTING_US;
}

void
exact_reach_load(void)
{
	static const char mark_sql[] = "SELECT exact._hub_mark()";
	static const char known_sql[] = "SELECT url, state, since FROM exact.callback";
	uint64		n;
	char	   *text;

	exact_sql(mark_sql, 0, NULL);
	text = exact_cell_text(0, 1);
	strlcpy(mark, text ? text : "", sizeof(mark));
	n = exact_sql(known_sql, 0, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		ExactReach *reach = find(exact_cell_text(i, 1));
		char	   *state = exact_cell_text(i, 2);

		/* since when it has been well outlives a restart; the verdict itself does not */
		if (reach != NULL && reach->since == 0 && strcmp(state, "ok") == 0)
			reach->since = exact_cell_time(i, 3, 0);
	}
}

static bool
listener_runs(void)
{
	ExactDatabaseSlot *db;
	bool		runs;

	LWLockAcquire(exact_shared_lock, LW_SHARED);
	db = exact_shmem_database(MyDatabaseId);
	runs = db != NULL && db->workers[EXACT_ROLE_LISTENER].state == EXACT_WORKER_RUNNING;
	LWLockRelease(exact_shared_lock);
	return runs;
}

typedef struct Verdict
{
	ExactReach *reach;
	ExactReachState state;
	const char *finding;
	const char *next_step;
	double		ms;
	TimestampTz since;
} Verdict;

static void
set_verdict(Verdict *v, ExactReachState state, const char *finding, const char *next_step)
{
	v->state = state;
	v->finding = finding;
	v->next_step = next_step;
}

static char *
redirection(const ExactHttpResponse *http)
{
	const char *to = exact_http_header(http, "Location");
	char	   *origin = to ? exact_url_origin(to) : NULL;

	return psprintf("redirects%s%s (HTTP %ld), which Exact Online does not follow",
					origin ? " to " : "", origin ? origin : "", http->status);
}

/* What an HTTP answer means. */
static void
judge_answer(Verdict *v, const ExactHttpResponse *http)
{
	static const char pass_on[] = "let the proxy pass POST /exact/hook on to the listener, "
		"without a password and without a redirect";
	const char *answered_by = exact_http_header(http, HUB_HEADER);
	bool		ours = answered_by != NULL && mark[0] != '\0' && strcmp(answered_by, mark) == 0;
	long		status = http->status;

	if (answered_by != NULL && !ours)
		set_verdict(v, EXACT_REACH_BROKEN, "another hub answers there",
					"set exact_databricks.public_url of each environment to its own address, "
					"or correct the proxy");
	else if (status == 200 && ours)
		set_verdict(v, EXACT_REACH_OK, "answers 200", NULL);
	else if (status == 200 && !v->reach->own)
		set_verdict(v, EXACT_REACH_OK,
					"answers 200, but the answer is not from this hub's listener", NULL);
	else if (status == 200)
		set_verdict(v, EXACT_REACH_BROKEN, "answers 200, but the answer is not from this hub",
					pass_on);
	else if (status >= 300 && status < 400)
		set_verdict(v, EXACT_REACH_BROKEN, redirection(http),
					"set exact_databricks.public_url to the address that answers without "
					"a redirect");
	else if (status == 401 || status == 403 || status == 407)
		set_verdict(v, EXACT_REACH_BROKEN, psprintf("refuses the call (HTTP %ld)", status),
					pass_on);
	else if (status == 404 || status == 405)
		set_verdict(v, EXACT_REACH_BROKEN,
					psprintf("answers HTTP %ld: "
							 "the proxy does not pass the path on to the listener", status),
					pass_on);
	else if (status == 503 && ours)
		set_verdict(v, EXACT_REACH_BROKEN, "the listener answers that it is not ready (HTTP 503)",
					"SELECT * FROM exact.workers; SELECT * FROM exact.check()");
	else if (status == 502 || status == 503 || status == 504)
		set_verdict(v, EXACT_REACH_BROKEN,
					psprintf("the proxy does not reach the listener (HTTP %ld)", status),
					"SELECT * FROM exact.workers shows whether the listener runs; "
					"compare its address and port with the proxy's");
	else
		set_verdict(v, EXACT_REACH_BROKEN, psprintf("answers HTTP %ld instead of 200", status),
					pass_on);
}

/*
 * Why there was no answer. Exact Online may still reach what this machine does not: names and
 * routes differ inside and outside.
 */
static void
judge_failure(Verdict *v, const ExactHttpResponse *http)
{
	static const char look[] = "check that name, port and firewall are right "
		"for callers from the internet";
	const char *error = http->error ? http->error : "no reason given";

	switch (http->failure)
	{
		case EXACT_HTTP_HOST:
			set_verdict(v, EXACT_REACH_UNSURE, psprintf("not tried: %s", http->error),
						"nothing if Exact Online reaches it; to let the hub test it, "
						"add the host to exact_databricks.allowed_hosts "
						"(host/private if its address is private)");
			break;
		case EXACT_HTTP_NAME:
			set_verdict(v, EXACT_REACH_UNSURE, "the name is not found",
						"correct the name, or make the entry in DNS");
			break;
		case EXACT_HTTP_CONNECT:
			if (v->reach->own && !listener_runs())
				set_verdict(v, EXACT_REACH_UNSURE,
							"cannot be connected, and the listener does not run",
							"SELECT * FROM exact.workers says why");
			else
				set_verdict(v, EXACT_REACH_UNSURE, "cannot be connected", look);
			break;
		case EXACT_HTTP_TLS:
			set_verdict(v, EXACT_REACH_BROKEN,
						psprintf("has no certificate that can be trusted: %s", http->error),
						"Exact Online requires a valid certificate of a public authority, "
						"with its chain");
			break;
		case EXACT_HTTP_TIMEOUT:
			set_verdict(v, EXACT_REACH_UNSURE, "does not answer in time", look);
			break;
		default:
			set_verdict(v, EXACT_REACH_UNSURE, psprintf("does not answer: %s", error), look);
	}
}

/* Stores a verdict, and forgets addresses that have not been tried for long. */
static void
save_unit(void *arg)
{
	static const char sql[] =
	"INSERT INTO exact.callback AS c"
	"  (url, state, since, tried_at, took_ms, finding, next_step)"
	" VALUES ($1, $2, now(), now(), $3, $4, $5)"
	" ON CONFLICT (url) DO UPDATE SET"
	"  state = excluded.state,"
	"  since = CASE WHEN c.state = excluded.state THEN c.since ELSE now() END,"
	"  tried_at = now(),"
	"  took_ms = excluded.took_ms,"
	"  finding = excluded.finding,"
	"  next_step = excluded.next_step"
	" RETURNING since";
	static const char clean_sql[] =
	"DELETE FROM exact.callback"
	" WHERE tried_at < now() - interval '30 days'";
	Verdict    *v = arg;
	ExactArg	args[5];

	args[0] = exact_arg_text(v->reach->url);
	args[1] = exact_arg_text(state_names[v->state]);
	args[2] = exact_arg_float8(v->ms);
	args[3] = exact_arg_text(v->finding);
	args[4] = exact_arg_text(v->next_step);
	exact_sql(sql, 5, args);
	v->since = exact_cell_time(0, 1, 0);
	exact_sql(clean_sql, 0, NULL);
}

static bool
may_be_starting(const ExactHttpResponse *http)
{
	if (http->outcome == EXACT_HTTP_ANSWERED)
		return http->status == 502 || http->status == 503 || http->status == 504;
	return http->failure == EXACT_HTTP_CONNECT || http->failure == EXACT_HTTP_TIMEOUT ||
		http->failure == EXACT_HTTP_OTHER;
}

/*
 * Judges a trial, stores the verdict and logs it when it is news. What may only be starting is
 * tried again soon instead.
 */
static void
on_answer(ExactHttpResponse *http, void *arg)
{
	ExactReach *reach = arg;
	Verdict		v = {.reach = reach,.ms = http->ms};
	TimestampTz now = GetCurrentTimestamp();
	bool		news;

	reach->busy = false;
	if (http->outcome == EXACT_HTTP_ANSWERED)
		judge_answer(&v, http);
	else
		judge_failure(&v, http);
	if (reach->own && reach->state == EXACT_REACH_UNTRIED && may_be_starting(http) &&
		now - reach->first_at < STARTING_US)
	{
		reach->next_at = now + RETRY_US;
		return;
	}
	news = reach->state != v.state || reach->finding == NULL ||
		strcmp(reach->finding, v.finding) != 0;
	v.since = reach->state == v.state ? reach->since : now;
	exact_unit_run("record callback", save_unit, &v, NULL);
	reach->state = v.state;
	reach->since = v.since;
	reach->tried_at = now;
	reach->next_at = v.state == EXACT_REACH_OK ? PG_INT64_MAX : now + AGAIN_US;
	set_text(&reach->finding, v.finding);
	set_text(&reach->next_step, v.next_step);
	if (news)
		exact_log(LOG, "callback url=%s state=%s finding=\"%s\" ms=%.0f",
				  reach->url, state_names[v.state], v.finding, v.ms);
}

static void
send_trial(ExactReach *reach)
{
	static const char *const headers[] = {"Content-Type: application/json", NULL};
	ExactHttpRequest request = {0};

	request.method = "POST";
	request.url = reach->url;
	request.headers = headers;
	request.timeout_ms = TIMEOUT_MS;
	request.max_bytes = MAX_BYTES;
	request.own = exact_public_url[0] ? exact_url_origin(exact_public_url) : NULL;
	if (reach->first_at == 0)
		reach->first_at = GetCurrentTimestamp();
	reach->busy = true;
	exact_http_start(&request, on_answer, reach);
}

long
exact_reach_turn(void)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = PG_INT64_MAX;

	for (int i = 0; i < nreaches; i++)
	{
		ExactReach *reach = reaches[i];

		if (!reach->wanted || reach->busy)
			continue;
		if (reach->next_at <= now)
			send_trial(reach);
		else
			next = Min(next, reach->next_at);
	}
	return next == PG_INT64_MAX ? -1 : (long) Min((next - now) / 1000 + 1, 3600000);
}
