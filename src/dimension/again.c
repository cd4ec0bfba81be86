/*
 * again.c - records of dimensions that Delta is to get once more as they are.
 *
 * An edit in Delta that was judged and is not to stay, or whose place a held-back version takes,
 * is written over by a version of its own: exact._dimension_again(). What a session has kept out
 * of its table here is taken as soon as that session has ended.
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/sql.h"
#include "dimension/again.h"
#include "stage/stage.h"
#include "worker/role.h"
#include "worker/unit.h"
#include "worker/wake.h"

#define MOST 1000				/* records of one transaction */
#define AGAIN_US USECS_PER_SEC

static TimestampTz look_at;

/* Those of one division and entity; *more: there may be others. */
static void
again_unit(void *arg)
{
	static const char sql[] =
	"WITH first AS ("
	"  SELECT division, entity FROM exact.dimension_again"
	"  WHERE stage ORDER BY division, entity LIMIT 1),"
	" taken AS ("
	"  DELETE FROM exact.dimension_again"
	"  WHERE ctid = ANY (ARRAY("
	"   SELECT a.ctid"
	"   FROM exact.dimension_again a JOIN first USING (division, entity)"
	"   WHERE a.stage"
	"   ORDER BY a.since, a.key LIMIT $1"
	"   FOR UPDATE OF a SKIP LOCKED))"
	"  RETURNING division, entity, key)"
	" SELECT division, entity, array_agg(key ORDER BY key) FROM taken GROUP BY division, entity";
	bool	   *more = arg;
	ExactArg	most = exact_arg_int4(MOST);
	char	  **keys;
	char	   *entity;
	int			nkeys;
	int			division;

	*more = false;
	if (exact_sql_by_index(sql, 1, &most) == 0)
		return;
	division = (int) exact_cell_int8(0, 1, 0);
	entity = exact_cell_text(0, 2);
	keys = exact_cell_texts(0, 3, &nkeys);
	if (exact_stage_again(division, entity, keys, nkeys) > 0)
		exact_wake_at_commit(EXACT_ROLE_LOADER);
	*more = true;
}

/* *left: a session still holds some. */
static void
late_unit(void *arg)
{
	bool	   *left = arg;
	ExactArg	most = exact_arg_int4(MOST);

	exact_sql("SELECT exact._dimension_learn_late($1)", 1, &most);
	*left = exact_cell_bool(0, 1, false);
}

long
exact_again_turn(bool woken)
{
	bool		more;
	bool		left;

	if (woken)
		look_at = 0;
	if (look_at <= GetCurrentTimestamp())
	{
		if (!exact_unit_run("stage once more", again_unit, &more, NULL) ||
			!exact_unit_run("show late", late_unit, &left, NULL))
			look_at = GetCurrentTimestamp() + AGAIN_US;
		else if (more)
			look_at = 0;
		else
			look_at = left ? GetCurrentTimestamp() + AGAIN_US : PG_INT64_MAX;
	}
	return exact_clock_wait_ms(look_at);
}
