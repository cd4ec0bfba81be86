/*
 * retention.c - what is kept for so long only: versions that are not the newest of their record,
 * token pairs, calls, statements, requests and what else has ended; events of the audit log, if
 * they are not kept for good. Called by fetcher.c.
 *
 * A worker may delete none of them; exact._prune(), exact._carry_forward() and exact._trim_audit()
 * do, some thousand rows a transaction.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/guc.h"
#include "base/sql.h"
#include "stage/retention.h"
#include "worker/self.h"
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

typedef struct Trim
{
	char		chain[NAMEDATALEN]; /* empty: there was nothing to remove */
	char		hash[65];
	int64		id;
	int64		removed;
	int64		bad;
} Trim;

static void
trim_unit(void *arg)
{
	static const char sql[] =
	"SELECT t.chain, t.id, t.hash, t.removed, t.bad"
	" FROM exact._trim_audit(make_interval(secs => $1)) AS t";
	Trim	   *t = arg;
	ExactArg	older_than = exact_arg_float8(Max(exact_audit_retention_s, exact_retention_s));

	memset(t, 0, sizeof(Trim));
	exact_sql(sql, 1, &older_than);
	if (exact_cell_isnull(0, 1))
		return;
	strlcpy(t->chain, exact_cell_text(0, 1), sizeof(t->chain));
	t->id = exact_cell_int8(0, 2, 0);
	if (!exact_cell_isnull(0, 3))
		strlcpy(t->hash, exact_cell_text(0, 3), sizeof(t->hash));
	t->removed = exact_cell_int8(0, 4, 0);
	t->bad = exact_cell_int8(0, 5, 0);
}

/* Events of the audit log; the anchor goes to the server log as heads do. How many were removed. */
static int64
trim_audit(void)
{
	Trim		t;

	if (exact_audit_retention_s == 0 || !exact_unit_run("audit retention", trim_unit, &t, NULL))
		return 0;
	if (t.removed > 0)
		exact_log(LOG, "audit anchor chain=%s id=" INT64_FORMAT " hash=%s removed=" INT64_FORMAT,
				  t.chain, t.id, t.hash, t.removed);
	else if (t.bad != 0)
		exact_log(WARNING, "audit events are not removed chain=%s id=" INT64_FORMAT
				  ": it was changed. Next step: SELECT * FROM exact.verify_audit()",
				  t.chain, t.bad);
	return t.removed;
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
		removed += trim_audit();
		due = TimestampTzPlusMilliseconds(now, removed > 0 ? NEXT_MS : interval);
	}
	return TimestampDifferenceMilliseconds(now, due);
}
