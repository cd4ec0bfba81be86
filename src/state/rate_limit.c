/*
 * rate_limit.c - exact.rate_limit: how the 429 of a division, or of one endpoint of it, is read.
 */
#include "postgres.h"

#include "base/sql.h"
#include "state/rate_limit.h"

int64
exact_rate_limit_wait(int before, int64 first, int64 most)
{
	int64		wait = first;

	for (int i = 0; i < before && wait < most; i++)
		wait *= 2;
	return Min(wait, most);
}

void
exact_rate_limit_store(int division, const char *resource, const ExactRateLimit *limit)
{
	static const char store_sql[] =
	"INSERT INTO exact.rate_limit AS r (division, resource, reading, since, until, times)"
	" VALUES ($1, $2, $3, $4, $5, $6)"
	" ON CONFLICT (division, resource) DO UPDATE SET"
	"  reading = excluded.reading,"
	"  since = excluded.since,"
	"  until = excluded.until,"
	"  times = excluded.times"
	" WHERE (r.reading, r.since, r.until, r.times)"
	"  IS DISTINCT FROM (excluded.reading, excluded.since, excluded.until, excluded.times)";
	static const char remove_sql[] =
	"DELETE FROM exact.rate_limit WHERE division = $1 AND resource = $2";
	ExactArg	args[6];

	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text(resource);
	if (limit->times == 0)
	{
		exact_sql(remove_sql, 2, args);
		return;
	}
	args[2] = exact_arg_text(limit->reading);
	args[3] = exact_arg_time(limit->since);
	args[4] = exact_arg_time(limit->until);
	args[5] = exact_arg_int4(limit->times);
	exact_sql(store_sql, 6, args);
}
