/*
 * canary.c - whether an answer that does not show a record may be believed.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/sql.h"
#include "stage/canary.h"
#include "worker/self.h"

#define HELD_FROM 20
#define HELD_SHARE 20			/* a twentieth is 5 % */

/* Two beyond a key, or two before it, by the index. */
#define LIVING_SQL(key, comparison, direction) \
	"(SELECT r." key " FROM exact.record r" \
	"  WHERE r.division = $1 AND r.entity = $2 AND NOT r.deleted AND r." key " " comparison " $4" \
	"  AND r." key " <> ALL ($3::text[])" \
	"  AND NOT EXISTS (SELECT FROM exact.dirty_key d" \
	"   WHERE d.division = $1 AND d.entity = $2 AND d.key = r." key ")" \
	"  ORDER BY r." key " " direction " LIMIT 2)"

/* Whether records of an entity are kept here. */
static bool
is_known(int division, const char *entity)
{
	static const char sql[] =
	"SELECT EXISTS (SELECT FROM exact.record WHERE division = $1 AND entity = $2)";
	ExactArg	args[2];

	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text(entity);
	exact_sql(sql, 2, args);
	return exact_cell_bool(0, 1, false);
}

int
exact_canary_pick(int division, const char *entity, const char *line_entity, bool lines,
				  char **keys, int nkeys, char *found[EXACT_CANARIES])
{
	static const char records_sql[] =
	LIVING_SQL("key", ">", "") " UNION ALL " LIVING_SQL("key", "<", "DESC") " LIMIT 2";
	static const char documents_sql[] =
	LIVING_SQL("parent", ">", "") " UNION ALL " LIVING_SQL("parent", "<", "DESC") " LIMIT 2";
	ExactArg	args[4];
	uint64		n;

	if (line_entity != NULL && !is_known(division, entity))
		return exact_canary_pick(division, line_entity, NULL, true, keys, nkeys, found);
	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text(entity);
	args[2] = exact_arg_text_array((const char *const *) keys, NULL, nkeys);
	/* not the same two each time */
	args[3] = exact_arg_text(keys[(uint64) GetCurrentTimestamp() / 1000 % nkeys]);
	n = exact_sql(lines ? documents_sql : records_sql, 4, args);
	for (uint64 i = 0; i < n; i++)
		found[i] = exact_cell_text(i, 1);
	return (int) n;
}

bool
exact_canary_believed(int division, const char *entity, char **keys, int nkeys)
{
	static const char sql[] =
	"SELECT EXISTS (SELECT FROM exact.held_delete h"
	" WHERE h.division = $1 AND h.entity = $2 AND h.state = 'approved'"
	" AND h.decided_at > now() - interval '1 day' AND h.keys @> $3::text[])";
	ExactArg	args[3];

	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text(entity);
	args[2] = exact_arg_text_array((const char *const *) keys, NULL, nkeys);
	exact_sql(sql, 3, args);
	return exact_cell_bool(0, 1, false);
}

bool
exact_canary_too_many(int division, const char *entity, int64 absent)
{
	static const char sql[] =
	"SELECT count(*) FROM (SELECT FROM exact.record"
	" WHERE division = $1 AND entity = $2 AND NOT deleted LIMIT $3) r";
	ExactArg	args[3];

	if (absent <= HELD_FROM)
		return false;
	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text(entity);
	args[2] = exact_arg_int8(absent * HELD_SHARE + 1);
	exact_sql(sql, 3, args);
	return absent * HELD_SHARE > exact_cell_int8(0, 1, 0);
}

void
exact_canary_hold(int division, const char *entity, const char *line_entity, bool lines,
				  char **keys, int nkeys, const char *why)
{
	static const char sql[] =
	"WITH gone AS ("
	"  SELECT DISTINCT k.key FROM unnest($3::text[]) AS k(key)"
	"  WHERE EXISTS (SELECT FROM exact.record r"
	"   WHERE r.division = $1 AND r.entity = $2 AND NOT r.deleted"
	"   AND CASE WHEN $5 THEN r.parent ELSE r.key END = k.key)"
	"  AND NOT EXISTS (SELECT FROM exact.held_delete h"
	"   WHERE h.division = $1 AND h.entity = $2 AND h.state = 'rejected'"
	"   AND h.keys @> ARRAY[k.key])),"
	" asked AS (SELECT array_agg(key ORDER BY key) AS keys FROM gone)"
	" INSERT INTO exact.held_delete AS h (division, entity, keys, alive, reason)"
	" SELECT $1, $2, a.keys, (SELECT count(*) FROM exact.record"
	"   WHERE division = $1 AND entity = $2 AND NOT deleted), $4"
	" FROM asked a"
	" WHERE a.keys IS NOT NULL"
	" ON CONFLICT (division, entity) WHERE state = 'held' DO UPDATE SET"
	"  keys = ARRAY(SELECT DISTINCT k FROM unnest(h.keys || excluded.keys) AS u(k) ORDER BY k),"
	"  alive = excluded.alive,"
	"  found_at = now()"
	" RETURNING id";
	ExactArg	args[5];

	if (line_entity != NULL && !is_known(division, entity))
	{
		exact_canary_hold(division, line_entity, NULL, true, keys, nkeys, why);
		return;
	}
	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text(entity);
	args[2] = exact_arg_text_array((const char *const *) keys, NULL, nkeys);
	args[3] = exact_arg_text(why);
	args[4] = exact_arg_bool(lines);
	if (exact_sql(sql, 5, args) > 0)
		exact_log(LOG, "alarm division=%d entity=%s absent=%d held=" INT64_FORMAT
				  " reason=\"%s\"", division, entity, nkeys, exact_cell_int8(0, 1, 0), why);
}
