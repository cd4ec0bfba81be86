/*
 * budget.c - how many calls and errors the fetcher may still spend.
 *
 * Kept in memory, heard from every answer, and saved with every call, so that a restart spends nothing twice. Facts:
 * exact-online.md §6: limits and headers, a 429 that carries only one trio, ten errors an hour that block an endpoint.
 */
#include "postgres.h"

#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "budget.h"
#include "sql.h"

#define MINUTE_MARGIN 3			/* stop at this many left: other processes share the bucket */
#define DAY_MARGIN 2
#define RESET_MARGIN_MS 1500
#define COOL_DOWN_MS 60000		/* after a 429 without usable headers */
#define ERRORS_PER_HOUR 6
#define WINDOW 128
#define RESOURCE_LEN 96

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
	TimestampTz sent[WINDOW];	/* ring of send times */
	int			sent_next;
} Budget;

typedef struct EndpointKey
{
	int			division;
	char		resource[RESOURCE_LEN];
} EndpointKey;

typedef struct Endpoint
{
	EndpointKey key;
	TimestampTz errors[ERRORS_PER_HOUR];	/* ring */
	int			next;
} Endpoint;

static HTAB *budgets;
static HTAB *endpoints;

static Budget *
budget_of(int division)
{
	bool		found;
	Budget	   *b;

	if (budgets == NULL)
	{
		HASHCTL		ctl = {.keysize = sizeof(int), .entrysize = sizeof(Budget), .hcxt = TopMemoryContext};

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

static Endpoint *
endpoint_of(int division, const char *resource)
{
	EndpointKey key;
	bool		found;
	Endpoint   *e;

	if (endpoints == NULL)
	{
		HASHCTL		ctl = {.keysize = sizeof(EndpointKey), .entrysize = sizeof(Endpoint), .hcxt = TopMemoryContext};

		endpoints = hash_create("exact endpoints", 256, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	memset(&key, 0, sizeof(key));
	key.division = division;
	/* a key in the path is the same endpoint */
	memcpy(key.resource, resource, Min(strcspn(resource, "("), sizeof(key.resource) - 1));
	e = hash_search(endpoints, &key, HASH_ENTER, &found);
	if (!found)
	{
		memset(e->errors, 0, sizeof(e->errors));
		e->next = 0;
	}
	return e;
}

static void
count_error_at(int division, const char *resource, TimestampTz at)
{
	Endpoint   *e = endpoint_of(division, resource);

	e->errors[e->next] = at;
	e->next = (e->next + 1) % ERRORS_PER_HOUR;
}

void
exact_budget_forgive(int division)
{
	HASH_SEQ_STATUS seq;
	Endpoint   *e;

	if (endpoints == NULL)
		return;
	hash_seq_init(&seq, endpoints);
	while ((e = hash_seq_search(&seq)) != NULL)
		if (e->key.division == division)
			memset(e->errors, 0, sizeof(e->errors));
}

TimestampTz
exact_budget_allowed_at(int division, const char *resource, const char **why)
{
	TimestampTz now = GetCurrentTimestamp();
	Budget	   *b = budget_of(division);
	Endpoint   *e = endpoint_of(division, resource);
	TimestampTz oldest_error = e->errors[e->next];	/* of the last six */
	int			limit = b->minute_limit > 0 ? b->minute_limit : 60;

	*why = NULL;
	if (oldest_error != 0 && oldest_error + USECS_PER_HOUR > now)
	{
		*why = "six errors of this endpoint within an hour";
		return oldest_error + USECS_PER_HOUR;
	}
	if (b->cool_until > now)
	{
		*why = "Exact Online answered 429";
		return b->cool_until;
	}
	if (b->day_limit > 0 && b->day_left <= DAY_MARGIN && b->day_reset > now)
	{
		*why = "the calls of today are used up";
		return b->day_reset + RESET_MARGIN_MS * 1000L;
	}
	if (b->minute_limit > 0 && b->minute_left <= MINUTE_MARGIN && b->minute_reset > now)
	{
		*why = "the calls of this minute are used up";
		return Min(b->minute_reset, now + USECS_PER_MINUTE) + RESET_MARGIN_MS * 1000L;
	}
	if (limit - MINUTE_MARGIN < WINDOW)
	{
		/* our own count of the last 60 s holds where headers are missing or another window is meant */
		int			allowed = Max(limit - MINUTE_MARGIN, 1);
		TimestampTz then = b->sent[(b->sent_next + WINDOW - allowed) % WINDOW];

		if (then != 0 && then + USECS_PER_MINUTE > now)
		{
			*why = "the calls of this minute are used up";
			return then + USECS_PER_MINUTE;
		}
	}
	return 0;
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
	TimestampTz at = (TimestampTz) ms * 1000 - (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;

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
		b->day_reset = Min(reset_time(reset, date), now + 25 * USECS_PER_HOUR);
		day_known = true;
	}
	if (http->status == 429 && !(day_known && b->day_left == 0 && b->day_reset > now))
	{
		TimestampTz until = now + COOL_DOWN_MS * 1000L;

		if (minute_known && b->minute_reset > now && b->minute_reset < until)
			until = b->minute_reset + RESET_MARGIN_MS * 1000L;
		b->cool_until = until;
	}
}

void
exact_budget_count_error(int division, const char *resource)
{
	count_error_at(division, resource, GetCurrentTimestamp());
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

void
exact_budget_save(int division)
{
	static const char sql[] =
	"INSERT INTO exact.division_state AS s (division, minute_limit, minute_left, minute_reset, day_limit, day_left, day_reset) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7) "
	"ON CONFLICT (division) DO UPDATE SET minute_limit = excluded.minute_limit, minute_left = excluded.minute_left, "
	"minute_reset = excluded.minute_reset, day_limit = excluded.day_limit, day_left = excluded.day_left, day_reset = excluded.day_reset";
	Budget	   *b = budget_of(division);
	ExactArg	args[7];

	if (division == 0 || (b->minute_limit == 0 && b->day_limit == 0))
		return;
	args[0] = exact_arg_int4(division);
	args[1] = b->minute_limit > 0 ? exact_arg_int4(b->minute_limit) : exact_arg_null(INT4OID);
	args[2] = b->minute_limit > 0 ? exact_arg_int4(b->minute_left) : exact_arg_null(INT4OID);
	args[3] = b->minute_limit > 0 ? exact_arg_time(b->minute_reset) : exact_arg_null(TIMESTAMPTZOID);
	args[4] = b->day_limit > 0 ? exact_arg_int4(b->day_limit) : exact_arg_null(INT4OID);
	args[5] = b->day_limit > 0 ? exact_arg_int4(b->day_left) : exact_arg_null(INT4OID);
	args[6] = b->day_limit > 0 ? exact_arg_time(b->day_reset) : exact_arg_null(TIMESTAMPTZOID);
	exact_sql(sql, 7, args);
}

void
exact_budget_load(void)
{
	static const char budgets_sql[] =
	"SELECT division, minute_limit, minute_left, minute_reset, day_limit, day_left, day_reset FROM exact.division_state";
	static const char errors_sql[] =
	"SELECT coalesce(division, 0), pg_catalog.split_part(path, '?', 1), at FROM exact.api_call "
	"WHERE at > pg_catalog.now() - interval '1 hour' AND status = ANY ('{400,401,403,404,410,500,501}') ORDER BY at";
	static const char recent_sql[] =
	"SELECT coalesce(division, 0), at FROM exact.api_call WHERE at > pg_catalog.now() - interval '1 minute' ORDER BY at";
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
	n = exact_sql(errors_sql, 0, NULL);
	for (uint64 i = 0; i < n; i++)
		count_error_at((int) exact_cell_int8(i, 1, 0), exact_cell_text(i, 2), exact_cell_time(i, 3, 0));
	n = exact_sql(recent_sql, 0, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		Budget	   *b = budget_of((int) exact_cell_int8(i, 1, 0));

		b->sent[b->sent_next] = exact_cell_time(i, 2, 0);
		b->sent_next = (b->sent_next + 1) % WINDOW;
	}
}
