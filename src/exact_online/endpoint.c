/*
 * endpoint.c - errors of an endpoint (exact-online.md §6): counted in memory, and read from
 * exact.api_call at start, so that a restart spends nothing twice.
 */
#include "postgres.h"

#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "base/clock.h"
#include "base/sql.h"
#include "exact_online/endpoint.h"

#define ERRORS_PER_HOUR 6
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
	TimestampTz errors[ERRORS_PER_HOUR];	/* ring */
	int			next;
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
	/* without a key in the path */
	memcpy(key.resource, resource, Min(strcspn(resource, "("), sizeof(key.resource) - 1));
	e = hash_search(endpoints, &key, HASH_ENTER, &found);
	if (!found)
	{
		memset(e->errors, 0, sizeof(e->errors));
		e->next = 0;
	}
	return e;
}

void
exact_endpoint_count_error(int division, const char *resource, TimestampTz at)
{
	Endpoint   *e = endpoint_of(division, resource);

	e->errors[e->next] = at;
	e->next = (e->next + 1) % ERRORS_PER_HOUR;
}

TimestampTz
exact_endpoint_closed_until(int division, const char *resource)
{
	const Endpoint *e = endpoint_of(division, resource);
	TimestampTz oldest = e->errors[e->next];	/* of the last six */

	if (oldest == 0 || exact_clock_is_future(oldest) ||
		oldest + USECS_PER_HOUR <= GetCurrentTimestamp())
		return 0;
	return oldest + USECS_PER_HOUR;
}

void
exact_endpoint_forgive(int division)
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

void
exact_endpoint_load(void)
{
	static const char sql[] =
		"SELECT coalesce(division, 0), pg_catalog.split_part(path, '?', 1), at"
		" FROM exact.api_call"
		" WHERE at > pg_catalog.now() - interval '1 hour' AND status = ANY ($1)"
		" ORDER BY at";
	ExactArg	arg = exact_arg_int4_array(errors, NULL, lengthof(errors));
	uint64		n = exact_sql(sql, 1, &arg);

	for (uint64 i = 0; i < n; i++)
		exact_endpoint_count_error((int) exact_cell_int8(i, 1, 0), exact_cell_text(i, 2),
								   exact_cell_time(i, 3, 0));
}
