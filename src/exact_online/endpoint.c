/*
 * endpoint.c - errors of an endpoint (exact-online.md §6): counted in memory, and read from
 * exact.api_call at start, so that a restart spends nothing twice.
 *
 * A blocked endpoint answers 429 without a header, as a used-up limit may do, too. Either reading
 * is held until an answer decides: design.md §4 rule 9.
 */
#include "postgres.h"

#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "base/clock.h"
#include "base/sql.h"
#include "exact_online/endpoint.h"
#include "state/rate_limit.h"

#define ERRORS_PER_HOUR 6
#define ERRORS_AT_MOST 9		/* in an hour, whatever an operator resumes: the tenth may block */
#define BLOCK_FIRST (70 * USECS_PER_MINUTE)
#define BLOCK_LONGEST (12 * USECS_PER_HOUR)
#define AFTER_OTHERS (5 * USECS_PER_SEC)	/* an endpoint under suspicion lets others go first */
#define SUSPECT_FOR (15 * USECS_PER_MINUTE)	/* after that a 429 is a new one */
#define CALL_WAIT USECS_PER_SEC /* the answer of a call on the way decides */
#define RESOURCE_LEN 96

static const int32 errors[] = {
	EXACT_STATUS_BAD_REQUEST, EXACT_STATUS_UNAUTHORIZED, EXACT_STATUS_FORBIDDEN,
	EXACT_STATUS_NOT_FOUND, EXACT_STATUS_GONE, EXACT_STATUS_FAILED, EXACT_STATUS_NOT_IMPLEMENTED
};

typedef struct EndpointKey
{
	int			division;
	char		resource[RESOURCE_LEN];
} EndpointKey;

typedef struct Endpoint
{
	EndpointKey key;
	TimestampTz errors[ERRORS_AT_MOST]; /* ring */
	bool		written[ERRORS_AT_MOST];	/* of the same: it was the answer to a write */
	int			next;
	int			pending;		/* calls on the way */
	TimestampTz forgiven_at;	/* errors before it count for ERRORS_AT_MOST only */
	TimestampTz answered_at;	/* last answer that was no 429 */
	TimestampTz suspect_since;	/* its 429 made the division wait until then; 0 none */
	ExactRateLimit block;		/* times 0: not blocked */
	bool		stored;			/* in exact.rate_limit */
} Endpoint;

static HTAB *endpoints;

bool
exact_endpoint_is_error(long status)
{
	for (size_t i = 0; i < lengthof(errors); i++)
		if (status == errors[i])
			return true;
	return false;
}

/* Made when it is not known yet. */
static Endpoint *
endpoint_of(int division, const char *resource)
{
	const char *counted = strstr(resource, "/$");
	size_t		len = counted != NULL ? (size_t) (counted - resource) : strcspn(resource, "(");
	EndpointKey key;
	bool		found;
	Endpoint   *e;

	if (endpoints == NULL)
	{
		HASHCTL		ctl = {
			.keysize = sizeof(EndpointKey),
			.entrysize = sizeof(Endpoint),
			.hcxt = TopMemoryContext
		};

		endpoints = hash_create("exact endpoints", 256, &ctl,
								HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	memset(&key, 0, sizeof(key));
	key.division = division;
	/* without a key in the path, or /$count */
	memcpy(key.resource, resource, Min(len, sizeof(key.resource) - 1));
	e = hash_search(endpoints, &key, HASH_ENTER, &found);
	if (!found)
		memset((char *) e + sizeof(e->key), 0, sizeof(*e) - sizeof(e->key));
	return e;
}

void
exact_endpoint_count_error(int division, const char *resource, const char *feed, TimestampTz at)
{
	Endpoint   *e = endpoint_of(division, resource);

	e->errors[e->next] = at;
	e->written[e->next] = feed != NULL && strcmp(feed, EXACT_ENDPOINT_WRITER) == 0;
	e->next = (e->next + 1) % ERRORS_AT_MOST;
}

/* The nth of the latest errors, 1 the last; 0: it is not of this hour, or was after since. */
static TimestampTz
latest_error(const Endpoint *e, int nth, TimestampTz since)
{
	TimestampTz at = e->errors[(e->next + ERRORS_AT_MOST - nth) % ERRORS_AT_MOST];

	if (at == 0 || at <= since || exact_clock_is_future(at) ||
		at + USECS_PER_HOUR <= GetCurrentTimestamp())
		return 0;
	return at;
}

/* Likewise, among those that were no answers to writes */
static TimestampTz
latest_read_error(const Endpoint *e, int nth, TimestampTz since)
{
	for (int i = 1; i <= ERRORS_AT_MOST; i++)
		if (!e->written[(e->next + ERRORS_AT_MOST - i) % ERRORS_AT_MOST] && --nth == 0)
			return latest_error(e, i, since);
	return 0;
}

void
exact_endpoint_begin(int division, const char *resource)
{
	endpoint_of(division, resource)->pending++;
}

void
exact_endpoint_end(int division, const char *resource)
{
	endpoint_of(division, resource)->pending--;
}

/* The first of the errors that close it, for an hour from then; 0: it is not closed. */
static TimestampTz
closed_by_errors(const Endpoint *e)
{
	TimestampTz at = latest_read_error(e, ERRORS_PER_HOUR, e->forgiven_at);

	return at != 0 ? at : latest_error(e, ERRORS_AT_MOST, 0);
}

/* Errors keep it closed until then; 0: they do not. Calls on the way may be errors, too. */
static TimestampTz
errors_until(const Endpoint *e)
{
	TimestampTz at = closed_by_errors(e);

	if (at != 0)
		return at + USECS_PER_HOUR;
	if (e->pending > 0 && latest_error(e, Max(ERRORS_AT_MOST - e->pending, 1), 0) != 0)
		return GetCurrentTimestamp() + CALL_WAIT;
	return 0;
}

TimestampTz
exact_endpoint_closed_until(int division, const char *resource, const char **why)
{
	const Endpoint *e = endpoint_of(division, resource);
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz at;

	if (e->block.until > now && e->block.until <= now + BLOCK_LONGEST)
	{
		*why = "Exact Online has blocked this endpoint";
		return e->block.until;
	}
	if ((at = errors_until(e)) != 0)
	{
		*why = "six errors of this endpoint within an hour";
		return at;
	}
	at = e->suspect_since + AFTER_OTHERS;
	if (e->suspect_since == 0 || at <= now || at > now + BLOCK_LONGEST)
		return 0;
	*why = "Exact Online answered 429";
	return at;
}

TimestampTz
exact_endpoint_writes_closed_until(int division, const char *resource, const char **why)
{
	const Endpoint *e = endpoint_of(division, resource);
	TimestampTz at = latest_error(e, ERRORS_PER_HOUR, e->forgiven_at);

	if (at == 0)
		return exact_endpoint_closed_until(division, resource, why);
	*why = "six errors of this endpoint within an hour: the hub writes nothing there";
	return at + USECS_PER_HOUR;
}

/* Has another endpoint of the division answered since the wait that this one caused? */
static bool
others_answer(const Endpoint *suspect)
{
	TimestampTz now = GetCurrentTimestamp();
	HASH_SEQ_STATUS seq;
	Endpoint   *e;
	bool		found = false;

	if (suspect->suspect_since == 0 || suspect->suspect_since + SUSPECT_FOR <= now)
		return false;
	hash_seq_init(&seq, endpoints);
	while ((e = hash_seq_search(&seq)) != NULL)
		if (e != suspect && e->key.division == suspect->key.division &&
			e->answered_at >= suspect->suspect_since)
			found = true;
	return found;
}

bool
exact_endpoint_refused(int division, const char *resource, TimestampTz then)
{
	Endpoint   *e = endpoint_of(division, resource);
	TimestampTz now = GetCurrentTimestamp();

	if (e->block.times > 0 || latest_error(e, ERRORS_PER_HOUR, 0) != 0 || others_answer(e))
	{
		if (e->block.times == 0)
			e->block.since = now;
		e->block.reading = "endpoint";
		e->block.until = now + exact_rate_limit_wait(e->block.times++, BLOCK_FIRST, BLOCK_LONGEST);
		e->suspect_since = 0;
		return true;
	}
	e->suspect_since = then;
	return false;
}

void
exact_endpoint_answered(int division, const char *resource)
{
	Endpoint   *e = endpoint_of(division, resource);

	e->answered_at = GetCurrentTimestamp();
	e->suspect_since = 0;
	memset(&e->block, 0, sizeof(e->block));
}

void
exact_endpoint_forgive(int division)
{
	TimestampTz now = GetCurrentTimestamp();
	HASH_SEQ_STATUS seq;
	Endpoint   *e;

	if (endpoints == NULL)
		return;
	hash_seq_init(&seq, endpoints);
	while ((e = hash_seq_search(&seq)) != NULL)
	{
		if (e->key.division != division)
			continue;
		e->forgiven_at = now;
		e->suspect_since = Min(e->suspect_since, now);
		e->block.until = Min(e->block.until, now);	/* its times stay: the next is longer */
	}
}

static void
save(Endpoint *e)
{
	ExactRateLimit limit = e->block;
	TimestampTz closed = 0;

	if (limit.times == 0 && (closed = closed_by_errors(e)) != 0)
		limit.reading = "errors";
	else if (limit.times == 0 &&
			 (closed = latest_error(e, ERRORS_PER_HOUR, e->forgiven_at)) != 0)
		limit.reading = "writes";
	if (closed != 0)
	{
		limit.since = closed;
		limit.until = closed + USECS_PER_HOUR;
		limit.times = ERRORS_PER_HOUR;
	}
	if (limit.times > 0 || e->stored)
		exact_rate_limit_store(e->key.division, e->key.resource, &limit);
	e->stored = limit.times > 0;
}

void
exact_endpoint_save(int division, const char *resource)
{
	save(endpoint_of(division, resource));
}

/* What is left of the blocks of before a restart */
static void
load_blocks(void)
{
	static const char sql[] =
		"SELECT division, resource, since, until, times, reading = 'endpoint'"
		" FROM exact.rate_limit"
		" WHERE resource <> ''";
	uint64		n = exact_sql(sql, 0, NULL);

	for (uint64 i = 0; i < n; i++)
	{
		Endpoint   *e = endpoint_of((int) exact_cell_int8(i, 1, 0), exact_cell_text(i, 2));

		e->stored = true;
		if (!exact_cell_bool(i, 6, false))
			continue;			/* its errors are in exact.api_call */
		e->block.reading = "endpoint";
		e->block.since = exact_cell_time(i, 3, 0);
		e->block.until = exact_cell_time(i, 4, 0);
		e->block.times = (int) exact_cell_int8(i, 5, 0);
	}
}

/* What the errors of the last hour close, or close no more */
static void
save_all(void)
{
	HASH_SEQ_STATUS seq;
	Endpoint   *e;

	if (endpoints == NULL)
		return;
	hash_seq_init(&seq, endpoints);
	while ((e = hash_seq_search(&seq)) != NULL)
		save(e);
}

/* The errors of the last hour, and which of them an operator's resume() has forgiven */
void
exact_endpoint_load(void)
{
	static const char sql[] =
		"SELECT coalesce(c.division, 0), pg_catalog.split_part(c.path, '?', 1), c.at, s.resumed_at,"
		"  c.feed"
		" FROM exact.api_call c"
		" LEFT JOIN exact.division_state s ON s.division = c.division"
		" WHERE c.at > pg_catalog.now() - interval '1 hour' AND c.status = ANY ($1)"
		" AND c.feed IS DISTINCT FROM 'token'"
		" ORDER BY c.at";
	ExactArg	arg = exact_arg_int4_array(errors, NULL, lengthof(errors));
	uint64		n = exact_sql(sql, 1, &arg);

	/* of an attempt that failed: each error counts once */
	if (endpoints != NULL)
		hash_destroy(endpoints);
	endpoints = NULL;

	for (uint64 i = 0; i < n; i++)
	{
		int			division = (int) exact_cell_int8(i, 1, 0);
		char	   *resource = exact_cell_text(i, 2);

		exact_endpoint_count_error(division, resource, exact_cell_text(i, 5),
								   exact_cell_time(i, 3, 0));
		endpoint_of(division, resource)->forgiven_at = exact_cell_time(i, 4, 0);
	}
	load_blocks();
	save_all();
}
