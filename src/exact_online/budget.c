/*
 * budget.c - how many calls the fetcher may still spend.
 *
 * Kept in memory, heard from every answer, and saved with every call, so that a restart spends
 * nothing twice. Facts: exact-online.md §6: limits and headers, a 429 that carries only one trio.
 * A 429 that carries none is judged, never believed for good: design.md §4 rule 9.
 * Errors of an endpoint: endpoint.c.
 */
#include "postgres.h"

#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/guc.h"
#include "base/sql.h"
#include "exact_online/budget.h"
#include "exact_online/endpoint.h"
#include "http/http_answer.h"
#include "http/http_client.h"
#include "state/division_state.h"
#include "state/rate_limit.h"

#define MINUTE_MARGIN 3			/* stop at this many left: other processes share the bucket */
#define DAY_MARGIN 2
#define MINUTE_DEFAULT 60		/* limit of a minute while none was heard */
#define DAY_LONGEST (25 * USECS_PER_HOUR)	/* a day's limit resets within it */
#define RESET_MARGIN (1500 * INT64CONST(1000))	/* in µs, as are the next */
#define MINUTE_LONGEST (5 * USECS_PER_MINUTE)	/* a minute's limit resets within it */
#define NAMED_WAIT USECS_PER_MINUTE /* after a 429 of a limit whose reset is not usable */
#define UNKNOWN_WAIT (2 * USECS_PER_MINUTE)	/* after a 429 that says nothing */
#define LONGEST_WAIT USECS_PER_HOUR	/* each wait is twice the last, up to this one */
#define FIRST_MS INT64CONST(100000000000)	/* a smaller number of ms is of the years before 1974 */
#define LAST_MS INT64CONST(10000000000000)	/* the year 2286 */
#define BURST_CALLS 40			/* in ten minutes: so many need no gap between them */
#define POLLS_SHARE 0.13		/* of a day's calls, for what is read without a notification */
#define WINDOW 128

typedef struct Budget
{
	int			division;		/* key */
	int			minute_limit;	/* 0 = never heard */
	int			minute_left;
	TimestampTz minute_reset;
	int			day_limit;
	int			day_left;
	TimestampTz day_reset;
	ExactRateLimit wait;		/* after a 429; times 0: none */
	bool		stored;			/* it is in exact.rate_limit */
	int64		gap;			/* between runs that notifications ask for, in µs */
	TimestampTz sent[WINDOW];	/* ring of send times */
	int			sent_next;
} Budget;

static HTAB *budgets;

static Budget *
budget_of(int division)
{
	bool		found;
	Budget	   *b;

	if (budgets == NULL)
	{
		HASHCTL		ctl = {
			.keysize = sizeof(int),
			.entrysize = sizeof(Budget),
			.hcxt = TopMemoryContext
		};

		budgets = hash_create("exact budgets", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	b = hash_search(budgets, &division, HASH_ENTER, &found);
	if (!found)
	{
		memset(b, 0, sizeof(*b));
		b->division = division;
	}
	return b;
}

/* Calls of a limit that are not to be used; reserve in percent */
static int
kept_back(int limit, int margin, int reserve)
{
	return Min(margin + limit * reserve / 100, limit - 1);
}

/* What lies further ahead than it can was heard by a clock that was set back: one call tells. */
static void
forget_impossible(Budget *b)
{
	TimestampTz now = GetCurrentTimestamp();

	if (b->minute_reset > now + MINUTE_LONGEST)
		b->minute_reset = 0;
	if (b->day_reset > now + DAY_LONGEST)
		b->day_reset = 0;
	if (b->wait.until > now + LONGEST_WAIT + RESET_MARGIN)
		b->wait.until = 0;
}

/*
 * The time at which our own count of the last 60 s lets the next call go, 0 = now. It holds where
 * headers are missing or another window is meant.
 */
static TimestampTz
own_minute(const Budget *b, int reserve)
{
	int			limit = b->minute_limit > 0 ? b->minute_limit : MINUTE_DEFAULT;
	int			allowed = Max(limit - kept_back(limit, MINUTE_MARGIN, reserve), 1);
	TimestampTz then;

	if (limit - MINUTE_MARGIN >= WINDOW)
		return 0;
	then = b->sent[(b->sent_next + WINDOW - allowed) % WINDOW];
	if (then == 0 || exact_clock_is_future(then) ||
		then + USECS_PER_MINUTE <= GetCurrentTimestamp())
		return 0;
	return then + USECS_PER_MINUTE;
}

static bool
is_used_up(int limit, int left, TimestampTz reset, int margin, int reserve)
{
	return limit > 0 && left <= kept_back(limit, margin, reserve) && reset > GetCurrentTimestamp();
}

/* reserve: percent of each budget that are not for this call */
static TimestampTz
allowed_at(int division, const char *resource, int reserve, const char **why)
{
	TimestampTz now = GetCurrentTimestamp();
	Budget	   *b = budget_of(division);
	TimestampTz at;

	forget_impossible(b);
	*why = NULL;
	if ((at = exact_endpoint_closed_until(division, resource, why)) != 0)
		return at;
	if (b->wait.until > now)
	{
		*why = "Exact Online answered 429";
		return b->wait.until;
	}
	if (is_used_up(b->day_limit, b->day_left, b->day_reset, DAY_MARGIN, reserve))
	{
		*why = reserve ? "the rest of today's calls is kept for live changes" :
			"the calls of today are used up";
		return b->day_reset + RESET_MARGIN;
	}
	if (is_used_up(b->minute_limit, b->minute_left, b->minute_reset, MINUTE_MARGIN, reserve))
	{
		*why = "the calls of this minute are used up";
		return b->minute_reset + RESET_MARGIN;
	}
	if ((at = own_minute(b, reserve)) != 0)
		*why = "the calls of this minute are used up";
	return at;
}

TimestampTz
exact_budget_allowed_at(int division, const char *resource, const char **why)
{
	return allowed_at(division, resource, 0, why);
}

TimestampTz
exact_budget_backfill_at(int division, const char *resource, const char **why)
{
	return allowed_at(division, resource, exact_live_reserve, why);
}

TimestampTz
exact_budget_write_at(int division, const char *resource, const char **why)
{
	TimestampTz closed = exact_endpoint_writes_closed_until(division, resource, why);

	return closed != 0 ? closed : exact_budget_backfill_at(division, resource, why);
}

/*
 * An hour may use a fifth of what is left beside the polls, or its even share, whichever is more;
 * what was saved in quiet hours may be spent in busy ones, and the gap grows as the rest gets
 * smaller.
 */
int64
exact_budget_gap(int division, int feeds)
{
	Budget	   *b = budget_of(division);
	TimestampTz now = GetCurrentTimestamp();
	double		hours;
	double		left;
	double		an_hour;
	int			lately = 0;

	for (int i = 0; i < WINDOW; i++)
		if (b->sent[i] > now - 10 * USECS_PER_MINUTE && b->sent[i] <= now)
			lately++;
	b->gap = 0;
	if (lately < BURST_CALLS || b->day_limit == 0 || b->day_reset <= now)
		return 0;
	hours = (double) (b->day_reset - now) / USECS_PER_HOUR;
	left = b->day_left - DAY_MARGIN - b->day_limit * POLLS_SHARE * hours / 24;
	an_hour = Max(left / 5, left / Max(hours, 1.0));
	b->gap = (int64) (feeds * (double) USECS_PER_HOUR / Max(an_hour, 1.0));
	return b->gap;
}

void
exact_budget_left(int division, int *minute, int *day)
{
	Budget	   *b = budget_of(division);

	*minute = b->minute_limit > 0 ? b->minute_left : -1;
	*day = b->day_limit > 0 ? b->day_left : -1;
}

/* A whole number; false: the header is missing, or is none. */
static bool
header_number(const ExactHttpResponse *http, const char *name, int64 *out)
{
	const char *value = exact_http_header(http, name);
	const char *digits = value != NULL && *value == '-' ? value + 1 : value;
	char	   *end;

	if (digits == NULL || *digits < '0' || *digits > '9')
		return false;
	errno = 0;
	*out = strtoll(value, &end, 10);
	return errno == 0;
}

/*
 * Epoch milliseconds of the service's clock (seconds, when it is too small for them), moved to
 * ours by the Date header. 0: it is past, or too far ahead to be one.
 */
static TimestampTz
reset_time(int64 ms, TimestampTz date, int64 longest)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz at;

	if (ms < FIRST_MS)
		ms *= 1000;
	if (ms < FIRST_MS || ms > LAST_MS)
		return 0;
	at = (TimestampTz) ms * 1000 - (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
	if (date != 0)
		at += now - date;
	return at <= now || at > now + longest ? 0 : at;
}

/*
 * Takes one trio of headers. False: it is not there, so nothing was said of this limit. A
 * remainder below 0 is none left.
 */
static bool
hear_trio(const ExactHttpResponse *http, const char *const *names, int64 longest, int *limit_out,
		  int *left_out, TimestampTz *reset_out)
{
	int64		limit,
				left,
				reset;

	if (!header_number(http, names[0], &limit) || limit < 0 ||
		!header_number(http, names[1], &left) || !header_number(http, names[2], &reset))
		return false;
	*limit_out = (int) Min(limit, PG_INT32_MAX);
	*left_out = (int) Max(Min(left, PG_INT32_MAX), 0);
	*reset_out = reset_time(reset, exact_http_date(http), longest);
	return true;
}

/* The division waits: until the limit resets, else longer than after the 429 before. */
static void
make_wait(Budget *b, const char *reading, TimestampTz reset, int64 first)
{
	TimestampTz now = GetCurrentTimestamp();

	if (b->wait.times == 0)
		b->wait.since = now;
	b->wait.reading = reading;
	b->wait.until = reset != 0 ? reset + RESET_MARGIN
		: now + exact_rate_limit_wait(b->wait.times, first, LONGEST_WAIT);
	b->wait.times++;
}

/*
 * What a 429 means: the limit that its headers name; the day's, when that is known to be used up;
 * else a block of the endpoint, or a limit that nobody named. True: the endpoint alone waits.
 */
static bool
judge(Budget *b, const char *resource, bool minute_known, bool day_known)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz until;

	if (b->day_limit > 0 && b->day_left == 0 && b->day_reset > now)
		return false;			/* is_used_up() keeps it */
	if (minute_known && !(day_known && b->day_left == 0))
		make_wait(b, "minute", b->minute_reset, NAMED_WAIT);
	else if (day_known)
		make_wait(b, "day", 0, NAMED_WAIT);
	else
	{
		until = now + exact_rate_limit_wait(b->wait.times, UNKNOWN_WAIT, LONGEST_WAIT);
		if (exact_endpoint_refused(b->division, resource, until))
			return true;
		make_wait(b, "unknown", 0, UNKNOWN_WAIT);
	}
	return false;
}

/* A header that is missing says nothing: on a 429 only the trio of the exhausted limit is there. */
bool
exact_budget_hear(int division, const char *resource, const ExactHttpResponse *http)
{
	static const char *const minutely[] = {
		"X-RateLimit-Minutely-Limit", "X-RateLimit-Minutely-Remaining",
		"X-RateLimit-Minutely-Reset"
	};
	static const char *const daily[] = {
		"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"
	};
	Budget	   *b = budget_of(division);
	bool		minute_known = hear_trio(http, minutely, MINUTE_LONGEST, &b->minute_limit,
										 &b->minute_left, &b->minute_reset);
	bool		day_known = hear_trio(http, daily, DAY_LONGEST, &b->day_limit, &b->day_left,
									  &b->day_reset);

	if (http->status == EXACT_STATUS_TOO_MANY)
		return judge(b, resource, minute_known, day_known);
	if (http->status < EXACT_STATUS_FAILED)
	{
		memset(&b->wait, 0, sizeof(b->wait));
		exact_endpoint_answered(division, resource);
	}
	return false;
}

/* What was heard is forgotten, since it may be wrong: the next answer says it anew. */
void
exact_budget_forgive(int division)
{
	Budget	   *b = budget_of(division);

	b->wait.until = 0;
	b->minute_reset = 0;
	b->day_reset = 0;
	exact_endpoint_forgive(division);
}

void
exact_budget_count_call(int division)
{
	Budget	   *b = budget_of(division);
	TimestampTz now = GetCurrentTimestamp();

	b->sent[b->sent_next] = now;
	b->sent_next = (b->sent_next + 1) % WINDOW;
	if (b->minute_limit > 0 && b->minute_reset < now)
		b->minute_left = b->minute_limit;
	if (b->minute_limit > 0 && b->minute_left > 0)
		b->minute_left--;
	if (b->day_limit > 0 && b->day_left > 0)
		b->day_left--;
}

/* A limit that was never heard is stored as null. */
void
exact_budget_save(int division, const char *resource)
{
	Budget	   *b = budget_of(division);
	ExactDivisionBudget known = {
		.minute_limit = b->minute_limit,
		.minute_left = b->minute_left,
		.minute_reset = b->minute_reset,
		.day_limit = b->day_limit,
		.day_left = b->day_left,
		.day_reset = b->day_reset,
		.gap = b->gap,
	};

	if (b->wait.times > 0 || b->stored)
		exact_rate_limit_store(division, "", &b->wait);
	b->stored = b->wait.times > 0;
	exact_endpoint_save(division, resource);
	if (division != 0 && (b->minute_limit > 0 || b->day_limit > 0))
		exact_division_state_budget(division, &known);
}

/* The same word as a text that stays */
static const char *
reading_of(const char *stored)
{
	static const char *const readings[] = {"minute", "day"};

	for (size_t i = 0; i < lengthof(readings); i++)
		if (strcmp(readings[i], stored) == 0)
			return readings[i];
	return "unknown";
}

static void
load_waits(void)
{
	static const char sql[] =
		"SELECT division, reading, since, until, times"
		" FROM exact.rate_limit"
		" WHERE resource = ''";
	uint64		n = exact_sql(sql, 0, NULL);

	for (uint64 i = 0; i < n; i++)
	{
		Budget	   *b = budget_of((int) exact_cell_int8(i, 1, 0));

		b->wait.reading = reading_of(exact_cell_text(i, 2));
		b->wait.since = exact_cell_time(i, 3, 0);
		b->wait.until = exact_cell_time(i, 4, 0);
		b->wait.times = (int) exact_cell_int8(i, 5, 0);
		b->stored = true;
	}
}

/* What was known when the fetcher ended, and the calls of the last minute. */
void
exact_budget_load(void)
{
	static const char budgets_sql[] =
		"SELECT division, minute_limit, minute_left, minute_reset, day_limit, day_left, day_reset"
		" FROM exact.division_state";
	static const char recent_sql[] =
		"SELECT coalesce(division, 0), at"
		" FROM exact.api_call"
		" WHERE at > pg_catalog.now() - interval '1 minute'"
		" ORDER BY at";
	uint64		n;

	n = exact_sql(budgets_sql, 0, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		Budget	   *b = budget_of((int) exact_cell_int8(i, 1, 0));

		b->minute_limit = (int) exact_cell_int8(i, 2, 0);
		b->minute_left = (int) exact_cell_int8(i, 3, 0);
		b->minute_reset = exact_cell_time(i, 4, 0);
		b->day_limit = (int) exact_cell_int8(i, 5, 0);
		b->day_left = (int) exact_cell_int8(i, 6, 0);
		b->day_reset = exact_cell_time(i, 7, 0);
	}
	load_waits();
	n = exact_sql(recent_sql, 0, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		Budget	   *b = budget_of((int) exact_cell_int8(i, 1, 0));

		b->sent[b->sent_next] = exact_cell_time(i, 2, 0);
		b->sent_next = (b->sent_next + 1) % WINDOW;
	}
}
