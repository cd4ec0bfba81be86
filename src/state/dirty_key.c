/*
 * dirty_key.c - exact.dirty_key: records that are to be read again by their key.
 *
 * What makes a key dirty is written by one function of the install script, exact._want_keys(),
 * which exact.approve() and the taking of notifications call as well. A key is settled by a
 * request that was sent after it became dirty: only that one is certain to show what the cause
 * announced.
 */
#include "postgres.h"

#include "utils/guc.h"

#include "base/sql.h"
#include "state/dirty_key.h"

#define ONCE_MORE "3 s"			/* more than two answers must be apart: exact._judge_absent() */

static const char *const reasons[] = {
	[EXACT_DIRTY_CONFIRM] = EXACT_DIRTY_CONFIRM_TEXT,
	[EXACT_DIRTY_LOGGED] = EXACT_DIRTY_LOGGED_TEXT,
	[EXACT_DIRTY_ABSENT] = EXACT_DIRTY_ABSENT_TEXT,
	[EXACT_DIRTY_FIRST_LOAD] = EXACT_DIRTY_FIRST_LOAD_TEXT,
	[EXACT_DIRTY_LINES_CHANGED] = EXACT_DIRTY_LINES_CHANGED_TEXT,
	[EXACT_DIRTY_LINES_MISSING] = EXACT_DIRTY_LINES_MISSING_TEXT,
	[EXACT_DIRTY_BEFORE_DELETION] = EXACT_DIRTY_BEFORE_DELETION_TEXT,
	[EXACT_DIRTY_OLDER] = EXACT_DIRTY_OLDER_TEXT,
	[EXACT_DIRTY_OTHER_COPY] = EXACT_DIRTY_OTHER_COPY_TEXT,
};

/*
 * Rows of these keys, each looked up by its whole key: a plan that was made while few keys were
 * dirty might read all of the entity.
 */
#define KEYS_SQL \
	" WHERE ctid = ANY (ARRAY(SELECT d.ctid" \
	"  FROM unnest($3::text[]) u(key)" \
	"  CROSS JOIN LATERAL (SELECT k.ctid" \
	"   FROM exact.dirty_key k" \
	"   WHERE k.division = $1 AND k.entity = $2 AND k.key = u.key" \
	"   OFFSET 0) d))"

/* $1 division, $2 entity, $3 keys */
static void
set_keys(ExactArg *args, int division, const char *entity, char **keys, int nkeys)
{
	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text(entity);
	args[2] = exact_arg_text_array((const char *const *) keys, NULL, nkeys);
}

void
exact_dirty_key_want(int division, const char *entity, char **keys, int nkeys,
					 ExactDirtyReason reason)
{
	static const char sql[] = "SELECT exact._want_keys($1, $2, $3, NULL, $4)";
	ExactArg	args[4];

	set_keys(args, division, entity, keys, nkeys);
	args[3] = exact_arg_text(reasons[reason]);
	exact_sql(sql, 4, args);
}

void
exact_dirty_key_seen(int division, const char *entity, char **keys, int nkeys, TimestampTz sent_at)
{
	static const char sql[] =
	"DELETE FROM exact.dirty_key"
	KEYS_SQL
	" AND since < $4";
	ExactArg	args[4];

	set_keys(args, division, entity, keys, nkeys);
	args[3] = exact_arg_time(sent_at);
	exact_sql_by_index(sql, 4, args);
}

void
exact_dirty_key_read(int division, const char *entity, char **keys, int nkeys, TimestampTz sent_at)
{
	/* a key from a time that is still to come was dirty before the clock was set back */
	static const char read_sql[] =
	"DELETE FROM exact.dirty_key"
	KEYS_SQL
	" AND (since < $4 OR since > clock_timestamp())";
	static const char again_sql[] =
	"UPDATE exact.dirty_key SET first_at = NULL"
	KEYS_SQL
	" AND first_at < $4";
	ExactArg	args[4];

	set_keys(args, division, entity, keys, nkeys);
	args[3] = exact_arg_time(sent_at);
	exact_sql_by_index(read_sql, 4, args);
	exact_sql_by_index(again_sql, 4, args);
}

void
exact_dirty_key_reread(int division, const char *const *entities, int nentities,
					   TimestampTz run_started_at)
{
	static const char sql[] =
	"DELETE FROM exact.dirty_key"
	" WHERE division = $1 AND entity = ANY ($2::text[])"
	" AND reason = '" EXACT_DIRTY_BEFORE_DELETION_TEXT "' AND since < $3";
	ExactArg	args[3];

	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text_array(entities, NULL, nentities);
	args[2] = exact_arg_time(run_started_at);
	exact_sql(sql, 3, args);
}

void
exact_dirty_key_delay(int division, const char *entity, const char *key)
{
	static const char sql[] =
	"UPDATE exact.dirty_key"
	" SET not_before = clock_timestamp() + interval '1 h', due = clock_timestamp() + interval '1 h'"
	" WHERE division = $1 AND entity = $2 AND key = $3";
	ExactArg	args[3];

	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text(entity);
	args[2] = exact_arg_text(key);
	exact_sql(sql, 3, args);
}

void
exact_dirty_key_again(int division, const char *entity, const char *key)
{
	static const char sql[] =
	"UPDATE exact.dirty_key k"
	" SET not_before = w.at, due = w.at"
	" FROM (SELECT d.ctid, clock_timestamp()"
	"  + least(greatest(clock_timestamp() - d.since, interval '5 s'), interval '1 h') AS at"
	"  FROM exact.dirty_key d"
	"  WHERE d.division = $1 AND d.entity = $2 AND d.key = $3) w"
	" WHERE k.ctid = w.ctid";
	ExactArg	args[3];

	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text(entity);
	args[2] = exact_arg_text(key);
	exact_sql(sql, 3, args);
}

void
exact_dirty_key_now(int division)
{
	static const char sql[] =
	"UPDATE exact.dirty_key"
	" SET not_before = NULL, due = clock_timestamp()"
	" WHERE division = $1 AND due > clock_timestamp()";
	ExactArg	arg = exact_arg_int4(division);

	exact_sql(sql, 1, &arg);
}

void
exact_dirty_key_once_more(int division, const char *entity, char **keys, int nkeys,
						  TimestampTz at)
{
	static const char sql[] =
	"UPDATE exact.dirty_key"
	" SET due = greatest(clock_timestamp() + interval '" ONCE_MORE "', $4)"
	KEYS_SQL;
	ExactArg	args[4];

	set_keys(args, division, entity, keys, nkeys);
	args[3] = exact_arg_time(at);
	exact_sql_by_index(sql, 4, args);
}

/* ---- which are next ---- */

/* $1 division; entities that wait: $2, $3 but for an operator's word */
static void
pick_args(int division, const ExactDirtyWait *wait, ExactArg *args)
{
	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text_array(wait->entities, NULL, wait->nentities);
	args[2] = exact_arg_text_array(wait->incredible, NULL, wait->nincredible);
}

#define FREE_SQL \
	" WHERE g.entity <> ALL ($2::text[])" \
	" AND (g.approved OR g.entity <> ALL ($3::text[]))"

bool
exact_dirty_key_pick(int division, const ExactDirtyWait *wait, int most, ExactDirtyPick *picked)
{
	static const char sql[] =
	"WITH g AS MATERIALIZED (SELECT * FROM exact._due_keys($1)),"
	" next AS MATERIALIZED ("
	"  SELECT g.entity, g.approved, g.logged, g.first_load, g.codes"
	"  FROM g"
	FREE_SQL
	"  AND g.due <= clock_timestamp()"
	"  ORDER BY g.first_load, g.due, g.entity LIMIT 1)"
	" SELECT g.entity, k.key, g.feed, g.whole, g.approved,"
	"  ARRAY(SELECT f.entity FROM exact._enabled_feed f"
	"   WHERE f.division = $1 AND f.feed = g.feed),"
	"  g.first_load, g.logged, g.codes"
	" FROM next n"
	" JOIN g ON (g.entity, g.approved, g.logged, g.first_load, g.codes)"
	"  = (n.entity, n.approved, n.logged, n.first_load, n.codes)"
	" CROSS JOIN LATERAL ("
	"  SELECT d.key, d.due, d.since"
	"  FROM exact.dirty_key d"
	"  WHERE d.division = $1 AND d.entity = g.entity AND d.reason = g.reason"
	"  AND d.due > '-infinity'"
	"  ORDER BY d.due LIMIT $4) k"
	" WHERE k.due <= clock_timestamp() OR k.since > clock_timestamp()"
	" OR k.due > clock_timestamp() + interval '2 h'"
	" ORDER BY k.due, k.key LIMIT $4";
	ExactArg	args[4];

	pick_args(division, wait, args);
	args[3] = exact_arg_int4(most);
	picked->nkeys = (int) exact_sql_by_index(sql, 4, args);
	if (picked->nkeys == 0)
		return false;
	picked->entity = exact_cell_text(0, 1);
	picked->feed = exact_cell_text(0, 3);
	picked->whole = exact_cell_bool(0, 4, false);
	picked->approved = exact_cell_bool(0, 5, false);
	picked->names = exact_cell_texts(0, 6, &picked->nnames);
	picked->first = exact_cell_bool(0, 7, false);
	picked->logged = exact_cell_bool(0, 8, false);
	picked->codes = exact_cell_bool(0, 9, false);
	picked->keys = palloc(picked->nkeys * sizeof(char *));
	for (int i = 0; i < picked->nkeys; i++)
		picked->keys[i] = exact_cell_text(i, 2);
	return true;
}

TimestampTz
exact_dirty_key_due_at(int division, const ExactDirtyWait *wait, bool live)
{
	static const char sql[] =
	"SELECT min(g.due)"
	" FROM exact._due_keys($1) g"
	FREE_SQL
	" AND NOT (g.first_load AND $4)";
	ExactArg	args[4];

	pick_args(division, wait, args);
	args[3] = exact_arg_bool(live);
	exact_sql_by_index(sql, 4, args);
	return exact_cell_time(0, 1, PG_INT64_MAX);
}
