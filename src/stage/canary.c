/*
 * canary.c - records that live, asked for beside those that are perhaps gone.
 */
#include "postgres.h"

#include "common/pg_prng.h"

#include "base/sql.h"
#include "stage/canary.h"

/* Two beyond a random key, or two before it, by the index. */
#define LIVING_SQL(key, comparison, direction) \
	"(SELECT r." key " FROM exact.record r" \
	"  WHERE r.division = $1 AND r.entity = $2 AND NOT r.deleted AND r." key " " comparison " $4" \
	"  AND r." key " <> ALL ($3::text[])" \
	"  AND NOT EXISTS (SELECT FROM exact.dirty_key d" \
	"   WHERE d.division = $1 AND d.entity = $2 AND d.key = r." key \
	"   OFFSET 0)" \
	"  AND NOT EXISTS (SELECT FROM exact._held_record h" \
	"   WHERE h.division = $1 AND h.entity = $2 AND h." key " = r." key \
	"   OFFSET 0)" \
	"  ORDER BY r." key " " direction " LIMIT 2)"

int
exact_canary_pick(int division, const char *entity, bool lines, char **keys, int nkeys,
				  char *found[EXACT_CANARIES])
{
	static const char records_sql[] =
	LIVING_SQL("key", ">", "") " UNION ALL " LIVING_SQL("key", "<", "DESC") " LIMIT 2";
	static const char documents_sql[] =
	LIVING_SQL("parent", ">", "") " UNION ALL " LIVING_SQL("parent", "<", "DESC") " LIMIT 2";
	ExactArg	args[4];
	uint64		n;

	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text(entity);
	args[2] = exact_arg_text_array((const char *const *) keys, NULL, nkeys);
	/* not the same two each time: they may be gone themselves */
	args[3] = exact_arg_text(psprintf("%08x", pg_prng_uint32(&pg_global_prng_state)));
	n = exact_sql(lines ? documents_sql : records_sql, 4, args);
	for (uint64 i = 0; i < n; i++)
		found[i] = exact_cell_text(i, 1);
	return (int) n;
}
