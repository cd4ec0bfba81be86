/*
 * retention.c - what is kept for so long only: versions that are not the newest of their record,
 * token pairs, calls, statements. Called by fetcher.c.
 *
 * A worker may delete none of them; exact._prune() and exact._carry_forward() do, some thousand
 * rows a transaction.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/guc.h"
#include "base/sql.h"
#include "stage/retention.h"
#include "worker/unit.h"

#define FIRST_MS 60000			/* after the start there is more important work */
#define INTERVAL_MS (6 * 3600 * 1000L)
#define SHARE 60				/* of the retention; not longer than that */
#define NEXT_MS 1000			/* between two transactions */

static TimestampTz due;

static void
prune_unit(void *arg)
{
	static const char sql[] =
	"SELECT exact._prune(make_interval(secs => $1))"
	" + exact._carry_forward(make_interval(secs => $1))";
	int64	   *removed = arg;
	ExactArg	retention = exact_arg_float8(exact_retention_s);

	exact_sql(sql, 1, &retention);
	*removed = exact_cell_int8(0, 1, 0);
}

long
exact_retention_turn(void)
{
	TimestampTz now = GetCurrentTimestamp();
	int64		removed = 0;

	if (due == 0)
		due = TimestampTzPlusMilliseconds(now, FIRST_MS);
	if (due <= now)
	{
		long		interval = Min(INTERVAL_MS, exact_retention_s * 1000L / SHARE);

		(void) exact_unit_run("prune", prune_unit, &removed, NULL);
		due = TimestampTzPlusMilliseconds(now, removed > 0 ? NEXT_MS : interval);
	}
	return TimestampDifferenceMilliseconds(now, due);
}
