/*
 * service.c - is the other side there? One record for each app or workspace that this worker
 * calls, and the request that asks whether a service that was away is back.
 *
 * A service fails from the first call that no good answer has followed: one that ended badly, or
 * one that is on its way for ten seconds while the small request is not answered either (a
 * statement may take its time). A service that nobody calls does not fail. The lights after 30 s
 * and 10 min are the business of exact.services.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "base/clock.h"
#include "base/words.h"
#include "http/http_answer.h"
#include "http/http_client.h"
#include "http/url.h"
#include "state/service_state.h"
#include "worker/self.h"
#include "worker/service.h"
#include "worker/unit.h"

#define CAUSE_LEN 200
#define WRITE_US (10 * USECS_PER_SEC)	/* between two writes of nothing but times */
#define WRITE_AGAIN_MS 1000
#define OVERDUE_US (10 * USECS_PER_SEC) /* a call that is on its way so long is asked about */
#define TRY_US (8 * USECS_PER_SEC)	/* between two small requests */
#define TRY_TIMEOUT_MS 5000
#define STATUS_UNAUTHORIZED 401
#define HURRY_MAX_US (2 * USECS_PER_MINUTE)
#define OUTAGE_US (20 * USECS_PER_SEC)	/* after so long it is told at once that it is over */
#define TOKEN_HURRY_US (30 * USECS_PER_SEC) /* a refused token is an error of its endpoint */
/* nothing was called for so long: there is nobody to tell */
#define FORGET_US USECS_PER_HOUR
#define SLOWED_US (30 * USECS_PER_SEC)	/* when it does not say for how long */
#define LONGEST_SLOWED_US USECS_PER_DAY

typedef struct Service
{
	struct Service *next;
	char	   *name;
	char	   *url;			/* of the last call, without its query */
	int			flying;			/* calls on their way */
	TimestampTz flying_since;	/* the first of them, or the last good answer since */
	TimestampTz begun_at;
	TimestampTz answered_at;
	TimestampTz failing_since;	/* 0: it does not fail */
	const char *kind;
	char		cause[CAUSE_LEN];
	TimestampTz slowed_until;
	TimestampTz starting_since;
	/* the small request */
	bool		trying;
	bool		absent;			/* it found nobody since the last good answer */
	TimestampTz try_at;
	TimestampTz hurried_at;		/* who waits was told that somebody is there */
	TimestampTz hurry_at;		/* and is not told again before */
	int64		hurry_us;
	bool		back;			/* who waits is to be told in the next turn */
	bool		certain;		/* and that it is there for certain */
	/* the table */
	bool		changed;
	bool		aged;			/* but for times nothing has changed */
	TimestampTz written_at;
	TimestampTz write_at;		/* not before, after a failure */
} Service;

static ExactServiceSide own_side;
static ExactServiceBack on_back;
static Service *services;
static bool loaded;

static const char *
side_name(void)
{
	return own_side == EXACT_SERVICE_EXACT ? "exact" : "databricks";
}

static Service *
service_of(const char *name)
{
	Service    *s;

	for (s = services; s != NULL; s = s->next)
		if (strcmp(s->name, name) == 0)
			return s;
	s = MemoryContextAllocZero(TopMemoryContext, sizeof(Service));
	s->name = MemoryContextStrdup(TopMemoryContext, name);
	s->next = services;
	services = s;
	return s;
}

void
exact_service_init(ExactServiceSide side, ExactServiceBack back)
{
	own_side = side;
	on_back = back;
}

/* ---- what calls say ---- */

static void
keep_url(Service *s, const char *url)
{
	size_t		len = strcspn(url, "?");

	if (s->url != NULL && strncmp(s->url, url, len) == 0 && s->url[len] == '\0')
		return;
	if (s->url != NULL)
		pfree(s->url);
	s->url = MemoryContextAlloc(TopMemoryContext, len + 1);
	strlcpy(s->url, url, len + 1);
}

void
exact_service_begin(const char *name, const char *url)
{
	Service    *s = service_of(name);

	s->begun_at = GetCurrentTimestamp();
	if (s->flying++ == 0)
		s->flying_since = s->begun_at;
	if (s->failing_since != 0 && s->url == NULL)
		s->try_at = s->begun_at + TRY_US;
	if (url != NULL && (s->failing_since == 0 || s->url == NULL))
		keep_url(s, url);
}

static void
land(Service *s)
{
	if (s->flying > 0)
		s->flying--;
}

/*
 * Whoever waits is told that somebody is there, less often each time that nothing comes of it: a
 * gateway may answer the small request and no other, and one endpoint may fail while others answer.
 */
static void
tell_back(Service *s)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		token = s->kind != NULL && strcmp(s->kind, "token") == 0;

	if (s->hurry_at > now && s->hurry_at <= now + HURRY_MAX_US)
		return;
	s->hurry_us = Min(Max(s->hurry_us * 2, token ? TOKEN_HURRY_US : TRY_US / 2), HURRY_MAX_US);
	s->hurry_at = now + s->hurry_us;
	s->hurried_at = now;
	s->back = true;
}

/* A good answer: whatever is still on its way is waited for from now on. */
static void
hear(Service *s)
{
	TimestampTz now = GetCurrentTimestamp();

	s->answered_at = s->flying_since = now;
	s->absent = false;
	s->aged = true;
	if (s->failing_since == 0)
		return;
	if (s->failing_since <= now - OUTAGE_US)
		s->hurry_us = s->hurry_at = 0;
	tell_back(s);
	exact_log(LOG, "service side=%s name=%s event=\"answers again\" after_s=" INT64_FORMAT,
			  side_name(), s->name, Max(now - s->failing_since, 0) / USECS_PER_SEC);
	s->failing_since = 0;
	s->changed = true;
}

static void
fail(Service *s, const char *kind, TimestampTz since, const char *cause)
{
	TimestampTz now = GetCurrentTimestamp();
	char	   *words = exact_words_clause(cause, CAUSE_LEN - 8);

	if (s->failing_since == 0)
	{
		s->failing_since = since;
		s->try_at = now + (strcmp(kind, "token") == 0 ? TOKEN_HURRY_US : TRY_US);
	}
	if (s->failing_since > now)	/* the clock was set back */
	{
		s->failing_since = now;
		s->changed = true;
	}
	if (s->kind == NULL || strcmp(s->kind, kind) != 0 ||
		strcmp(s->cause, words ? words : "") != 0 || s->written_at < s->failing_since)
	{
		exact_log(LOG, "service side=%s name=%s event=%s cause=\"%s\"", side_name(), s->name, kind,
				  words ? words : "");
		s->changed = true;
	}
	s->aged = true;
	s->kind = kind;
	strlcpy(s->cause, words ? words : "", CAUSE_LEN);
	s->slowed_until = 0;
}

void
exact_service_answered(const char *name)
{
	Service    *s = service_of(name);

	land(s);
	if (s->slowed_until != 0)
		s->changed = true;
	s->slowed_until = 0;
	hear(s);
}

void
exact_service_slowed(const char *name, TimestampTz until)
{
	Service    *s = service_of(name);
	TimestampTz now = GetCurrentTimestamp();

	land(s);
	hear(s);
	s->slowed_until = until > now ? Min(until, now + LONGEST_SLOWED_US) : now + SLOWED_US;
	s->changed = true;
}

void
exact_service_silent(const char *name, const char *cause)
{
	Service    *s = service_of(name);

	land(s);
	fail(s, "silent", Min(s->flying_since, GetCurrentTimestamp()), cause);
}

void
exact_service_refused(const char *name)
{
	land(service_of(name));
}

void
exact_service_no_token(const char *name, const char *cause)
{
	fail(service_of(name), "token", GetCurrentTimestamp(), cause);
}

void
exact_service_starting(const char *name, bool starting)
{
	Service    *s = service_of(name);

	if (starting == (s->starting_since != 0))
		return;
	s->starting_since = starting ? GetCurrentTimestamp() : 0;
	s->changed = true;
}

/* ---- what an answer is ---- */

static bool
is_html(const ExactHttpResponse *response)
{
	const char *p = response->body;

	while (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')
		p++;
	return *p == '<' && (strcasestr(p, "<html") != NULL || strcasestr(p, "<!doctype html") != NULL);
}

bool
exact_service_is_json(const ExactHttpResponse *response)
{
	const char *p = response->body;

	while (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')
		p++;
	if (strncmp(p, "\xEF\xBB\xBF", 3) == 0)	/* a byte order mark */
		p += 3;
	return *p == '{' || *p == '[';
}

/* 500 with words of its own is an answer of the service, about what was asked. */
bool
exact_service_is_away(const ExactHttpResponse *response)
{
	long		status = response->status;

	if (response->outcome != EXACT_HTTP_ANSWERED)
		return true;
	if (is_html(response) || (status >= 300 && status < 400))
		return true;
	if (status == 502 || status == 503 || status == 504)
		return true;
	return status >= 500 && status != 501 && !exact_service_is_json(response);
}

/* "... port 443 after 12 ms: ..." says the same each time without the milliseconds. */
static char *
without_ms(const char *error)
{
	char	   *text = pstrdup(error);
	char	   *after = strstr(text, " after ");
	size_t		digits = after ? strspn(after + 7, "0123456789") : 0;

	if (digits > 0 && strncmp(after + 7 + digits, " ms", 3) == 0)
		memmove(after, after + 10 + digits, strlen(after + 10 + digits) + 1);
	return text;
}

char *
exact_service_away_cause(const ExactHttpResponse *response)
{
	if (response->outcome != EXACT_HTTP_ANSWERED)
		return without_ms(response->error ? response->error : "no answer");
	return psprintf("HTTP %ld%s", response->status,
					is_html(response) ? " with a page of HTML" :
					response->status < 300 ? " with something that is not JSON" : "");
}

/* ---- the small request ---- */

/*
 * It answers: of a call that is on its way that is enough to know. A service that did not answer
 * this request before is back, though calls may still hang. Of any other the next call tells; when
 * nobody calls, this answer is the good one.
 */
static void
take_there(Service *s)
{
	if (s->failing_since == 0)
		s->flying_since = GetCurrentTimestamp();
	else if (s->absent)
	{
		hear(s);
		s->back = s->certain = true;
	}
	else if (s->flying == 0 && s->hurried_at != 0 && s->begun_at < s->hurried_at)
		hear(s);
	else
		tell_back(s);
}

static void
take_try(ExactHttpResponse *response, void *arg)
{
	Service    *s = arg;

	s->trying = false;
	s->try_at = GetCurrentTimestamp() + TRY_US;
	/* who asks for a token is the service, whatever page comes with it */
	if (response->outcome == EXACT_HTTP_ANSWERED && response->status == STATUS_UNAUTHORIZED)
		take_there(s);
	else if (!exact_service_is_away(response) &&
			 (response->status >= 300 || exact_service_is_json(response)))
		take_there(s);
	else if (s->failing_since != 0 || s->flying > 0)
	{
		if (s->failing_since == 0)
			fail(s, "silent", s->flying_since,
				 response->outcome == EXACT_HTTP_ANSWERED ? exact_service_away_cause(response) :
				 "calls hang without an answer");
		s->absent = strcmp(s->kind, "silent") == 0;
	}
}

/* Without a token: it costs no call of a budget, and tells nobody anything. */
static void
try_service(Service *s)
{
	static const char *const headers[] = {"Accept: application/json", NULL};
	ExactHttpRequest request = {0};
	char	   *why = NULL;

	s->try_at = GetCurrentTimestamp() + TRY_US;
	if (s->failing_since != 0 && strcmp(s->kind, "token") == 0)
	{
		tell_back(s);			/* it is there: a call of its own tells more */
		s->try_at = s->hurry_at;
		return;
	}
	if (s->url == NULL || !exact_url_allowed(s->url, &why))
		return;
	request.method = "GET";
	request.url = s->url;
	request.headers = headers;
	request.timeout_ms = TRY_TIMEOUT_MS;
	request.max_bytes = 1024 * 1024;
	s->trying = true;
	exact_http_start(&request, take_try, s);
}

/* What lies further ahead than it is ever planned was planned by a clock that was set back. */
static TimestampTz
planned(TimestampTz at, int64 longest_us)
{
	return exact_clock_ahead(at, longest_us / 1000 + 1) ? at : 0;
}

/* When the small request is due; PG_INT64_MAX: not at all */
static TimestampTz
try_due(const Service *s)
{
	if (s->trying || s->begun_at + FORGET_US < GetCurrentTimestamp())
		return PG_INT64_MAX;
	if (s->failing_since != 0 && (s->url != NULL || strcmp(s->kind, "token") == 0))
		return planned(s->try_at, HURRY_MAX_US);
	if (s->failing_since == 0 && s->flying > 0 && s->url != NULL)
		return Max(planned(s->flying_since + OVERDUE_US, OVERDUE_US), planned(s->try_at, TRY_US));
	return PG_INT64_MAX;
}

bool
exact_service_fails(const char *name)
{
	return service_of(name)->failing_since != 0;
}

void
exact_service_mended(const char *name)
{
	for (Service *s = services; s != NULL; s = s->next)
	{
		if (name != NULL && strcmp(s->name, name) != 0)
			continue;
		if (s->url != NULL)
			pfree(s->url);			/* it may have another one now */
		s->url = NULL;
		s->hurry_us = 0;
		s->hurry_at = 0;
		s->back = s->certain = true;
	}
}

/* ---- the table ---- */

static void
store_unit(void *arg)
{
	const Service *s = arg;
	ExactServiceState state = {
		.side = side_name(),
		.name = s->name,
		.asked_at = s->begun_at,
		.answered_at = s->answered_at,
		.failing_since = s->failing_since,
		.kind = s->kind,
		.cause = s->cause,
		.slowed_until = s->slowed_until,
		.starting_since = s->starting_since
	};

	exact_service_state_store(&state);
}

/* When it is to be written; PG_INT64_MAX: nothing is new */
static TimestampTz
write_due(const Service *s)
{
	if (s->changed)
		return planned(s->write_at, WRITE_AGAIN_MS * INT64CONST(1000));
	return s->aged ? planned(s->written_at + WRITE_US, WRITE_US) : PG_INT64_MAX;
}

static void
store(Service *s)
{
	TimestampTz now = GetCurrentTimestamp();

	if (exact_unit_run("record service", store_unit, s, NULL))
	{
		s->changed = s->aged = false;
		s->written_at = now;
		s->write_at = 0;
		return;
	}
	s->changed = true;
	s->write_at = now + WRITE_AGAIN_MS * INT64CONST(1000);
}

typedef struct Loading
{
	MemoryContext context;
	ExactServiceFailure *rows;
	int			n;
} Loading;

static void
load_unit(void *arg)
{
	Loading    *loading = arg;

	loading->n = exact_service_state_failing(side_name(), loading->context, &loading->rows);
}

/* What an earlier process knew: a new one does not forget since when. */
static void
load(void)
{
	Loading		loading = {CurrentMemoryContext, NULL, 0};
	TimestampTz now = GetCurrentTimestamp();

	loaded = exact_unit_run("read services", load_unit, &loading, NULL);
	for (int i = 0; loaded && i < loading.n; i++)
	{
		const ExactServiceFailure *row = &loading.rows[i];
		Service    *s = service_of(row->name);

		if (s->answered_at == 0)
		{
			s->failing_since = Min(row->since, now);
			s->kind = row->kind != NULL && strcmp(row->kind, "token") == 0 ? "token" : "silent";
			strlcpy(s->cause, row->cause ? row->cause : "", CAUSE_LEN);
		}
		s->changed = s->back = true;
	}
}

long
exact_service_turn(void)
{
	TimestampTz next = PG_INT64_MAX;

	if (!loaded)
		load();
	for (Service *s = services; s != NULL; s = s->next)
	{
		if (try_due(s) <= GetCurrentTimestamp())
			try_service(s);
		if (write_due(s) <= GetCurrentTimestamp())
			store(s);
		if (s->back)
		{
			bool		certain = s->certain;

			s->back = s->certain = false;
			on_back(s->name, certain);
		}
		next = Min(next, Min(try_due(s), write_due(s)));
	}
	return loaded ? exact_clock_wait_ms(next) :
		exact_clock_sooner(exact_clock_wait_ms(next), WRITE_AGAIN_MS);
}
