/*
 * budget.c - how many calls the fetcher may still spend.
 *
 * Kept in memory, heard from every answer, and saved with every call, so that a restart spends
 * nothing twice. Facts: exact-online.md §6: limits and headers, a 429 that carries only one trio.
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

#define MINUTE_MARGIN 3			/* stop at this many left: other processes share the bucket */
#define DAY_MARGIN 2
#define MINUTE_DEFAULT 60		/* limit of a minute while none was heard */
#define DAY_LONGEST (25 * USECS_PER_HOUR)	/* a day's limit resets within it */
#define RESET_MARGIN (1500 * INT64CONST(1000))	/* in µs, as are the next */
#define COOL_DOWN USECS_PER_MINUTE	/* after a 429 without usable headers */
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
	TimestampTz cool_until;
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

	if (b->minute_reset > now + USECS_PER_MINUTE)
		b->minute_reset = 0;
	if (b->day_reset > now + DAY_LONGEST)
		b->day_reset = 0;
	if (b->cool_until > now + USECS_PER_MINUTE + RESET_MARGIN)
		b->cool_until = 0;
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
	if ((at = exact_endpoint_closed_until(division, resource)) != 0)
	{
		*why = "six errors of this endpoint within an hour";
		return at;
	}
	if (b->cool_until > now)
	{
		*why = "Exact Online answered 429";
		return b->cool_until;
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
		return Min(b->minute_reset, now + USECS_PER_MINUTE) + RESET_MARGIN;
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

static bool
header_number(const ExactHttpResponse *http, const char *name, int64 *out)
{
	const char *value = exact_http_header(http, name);
	char	   *end;

	if (value == NULL || *value < '0' || *value > '9')
		return false;
	errno = 0;
	*out = strtoll(value, &end, 10);
	return errno == 0;
}

/* Epoch milliseconds of the service's clock, moved to ours by the Date header. */
static TimestampTz
reset_time(int64 ms, TimestampTz date)
{
	TimestampTz at =
		(TimestampTz) ms * 1000 - (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;

	return date != 0 ? GetCurrentTimestamp() + (at - date) : at;
}

/* A header that is missing says nothing: on a 429 only the trio of the exhausted limit is there. */
void
exact_budget_hear(int division, const ExactHttpResponse *http)
{
	Budget	   *b = budget_of(division);
	TimestampTz date = exact_http_date(http);
	TimestampTz now = GetCurrentTimestamp();
	int64		limit,
				left,
				reset;
	bool		minute_known = false;
	bool		day_known = false;

	if (header_number(http, "X-RateLimit-Minutely-Limit", &limit) &&
		header_number(http, "X-RateLimit-Minutely-Remaining", &left) &&
		header_number(http, "X-RateLimit-Minutely-Reset", &reset))
	{
		b->minute_limit = (int) Min(limit, PG_INT32_MAX);
		b->minute_left = (int) Min(left, PG_INT32_MAX);
		b->minute_reset = Min(reset_time(reset, date), now + USECS_PER_MINUTE);
		minute_known = true;
	}
	if (header_number(http, "X-RateLimit-Limit", &limit) &&
		header_number(http, "X-RateLimit-Remaining", &left) &&
		header_number(http, "X-RateLimit-Reset", &reset))
	{
		b->day_limit = (int) Min(limit, PG_INT32_MAX);
		b->day_left = (int) Min(left, PG_INT32_MAX);
		b->day_reset = Min(reset_time(reset, date), now + DAY_LONGEST);
		day_known = true;
	}
	if (http->status == EXACT_STATUS_TOO_MANY &&
		!(day_known && b->day_left == 0 && b->day_reset > now))
	{
		TimestampTz until = now + COOL_DOWN;

		if (minute_known && b->minute_reset > now && b->minute_reset < until)
			until = b->minute_reset + RESET_MARGIN;
		b->cool_until = until;
	}
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
exact_budget_save(int division)
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

	if (division == 0 || (b->minute_limit == 0 && b->day_limit == 0))
		return;
	exact_division_state_budget(division, &known);
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
	n = exact_sql(recent_sql, 0, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		Budget	   *b = budget_of((int) exact_cell_int8(i, 1, 0));

		b->sent[b->sent_next] = exact_cell_time(i, 2, 0);
		b->sent_next = (b->sent_next + 1) % WINDOW;
	}
}
