/*
 * traffic.c - what came to the listener of a database since the server started, counted in shared
 * memory.
 *
 * Written by listener.c, read by exact.listener and page_metrics.c. shmem.c holds the numbers, this
 * file knows what they count: first the counts, then the buckets of the histogram.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"

#include "base/compat.h"
#include "listener/traffic.h"
#include "worker/shmem.h"

PG_FUNCTION_INFO_V1(exact__traffic);

const int	exact_traffic_bounds[EXACT_TRAFFIC_BUCKETS - 1] = {
	500, 1000, 2500, 5000, 10000, 25000, 100000, 500000, 2000000
};

StaticAssertDecl(EXACT_NTRAFFIC + EXACT_TRAFFIC_BUCKETS <= EXACT_NCOUNTERS,
				 "a database has counters for all that is counted");

/* The place of a database in shared memory does not move while one of its workers runs. */
static pg_atomic_uint64 *
own_counts(void)
{
	static pg_atomic_uint64 *own = NULL;

	if (own == NULL && exact_shared != NULL)
	{
		ExactDatabaseSlot *slot;

		LWLockAcquire(exact_shared_lock, LW_SHARED);
		slot = exact_shmem_database(MyDatabaseId);
		own = slot ? slot->counters.counts : NULL;
		LWLockRelease(exact_shared_lock);
	}
	return own;
}

static void
add(pg_atomic_uint64 *count, uint64 n)
{
	pg_atomic_write_u64(count, pg_atomic_read_u64(count) + n);
}

void
exact_traffic_add(ExactTrafficCount what, uint64 n)
{
	pg_atomic_uint64 *counts = own_counts();

	if (counts != NULL && n > 0)
		add(&counts[what], n);
}

void
exact_traffic_set(ExactTrafficCount what, uint64 value)
{
	pg_atomic_uint64 *counts = own_counts();

	if (counts != NULL)
		pg_atomic_write_u64(&counts[what], value);
}

void
exact_traffic_commit(uint64 us)
{
	pg_atomic_uint64 *counts = own_counts();
	int			i = 0;

	if (counts == NULL)
		return;
	while (i < EXACT_TRAFFIC_BUCKETS - 1 && us > (uint64) exact_traffic_bounds[i])
		i++;
	add(&counts[EXACT_NTRAFFIC + i], 1);
	add(&counts[EXACT_TRAFFIC_COMMITS], 1);
	add(&counts[EXACT_TRAFFIC_COMMIT_US], us);
}

bool
exact_traffic_read(ExactTrafficCopy *out)
{
	ExactDatabaseSlot *slot;

	if (exact_shared == NULL)
		return false;
	LWLockAcquire(exact_shared_lock, LW_SHARED);
	slot = exact_shmem_database(MyDatabaseId);
	for (int i = 0; slot != NULL && i < EXACT_NTRAFFIC; i++)
		out->counts[i] = pg_atomic_read_u64(&slot->counters.counts[i]);
	for (int i = 0; slot != NULL && i < EXACT_TRAFFIC_BUCKETS; i++)
		out->buckets[i] = pg_atomic_read_u64(&slot->counters.counts[EXACT_NTRAFFIC + i]);
	LWLockRelease(exact_shared_lock);
	return slot != NULL;
}

/*
 * exact._traffic() → record (received, accepted, duplicates, validations, refused, unavailable,
 * malformed, too_large, unknown, timeouts, over_limit, connections, commits bigint, commit_ms
 * double precision): of this database's listener since the server started; null when nothing is
 * known.
 */
Datum
exact__traffic(PG_FUNCTION_ARGS)
{
	ExactTrafficCopy copy;
	TupleDesc	desc;
	Datum		values[EXACT_NTRAFFIC];
	bool		nulls[EXACT_NTRAFFIC] = {false};
	uint64		commits;
	double		ms;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE ||
		desc->natts != EXACT_NTRAFFIC)
		elog(ERROR, "exact._traffic() must return %d columns", EXACT_NTRAFFIC);
	if (!exact_traffic_read(&copy))
		PG_RETURN_NULL();
	for (int i = 0; i < EXACT_NTRAFFIC; i++)
		values[i] = Int64GetDatum((int64) copy.counts[i]);
	commits = copy.counts[EXACT_TRAFFIC_COMMITS];
	ms = copy.counts[EXACT_TRAFFIC_COMMIT_US] / 1000.0;
	nulls[EXACT_TRAFFIC_COMMIT_US] = commits == 0;
	values[EXACT_TRAFFIC_COMMIT_US] = Float8GetDatum(commits == 0 ? 0 : ms / commits);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
