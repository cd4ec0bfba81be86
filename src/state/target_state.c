/*
 * target_state.c - exact.target_state: what is known of the Delta tables of an entity in a
 * workspace.
 *
 * Called by delta_table.c, delivery.c, open_state.c, other_copy.c, queue.c, presence.c
 * and maintenance.c.
 */
#include "postgres.h"

#include "base/sql.h"
#include "state/target_state.h"

static ExactArg
time_or_null(TimestampTz at)
{
	return at != 0 ? exact_arg_time(at) : exact_arg_null(TIMESTAMPTZOID);
}

/* The arguments $1 to $4 of every statement on both tables */
static void
bind_names(ExactArg *args, const ExactTargetNames *names)
{
	args[0] = exact_arg_text(names->workspace);
	args[1] = exact_arg_text(names->entity);
	args[2] = exact_arg_text(names->table);
	args[3] = exact_arg_text(names->history);
}

void
exact_target_state_verified(const ExactTargetNames *names, const char *digest)
{
	static const char sql[] =
	"INSERT INTO exact.target_state AS t"
	" (workspace, entity, table_name, history_name, created_at, columns_digest)"
	" VALUES ($1, $2, $3, $4, clock_timestamp(), $5)"
	" ON CONFLICT (workspace, entity) DO UPDATE"
	" SET table_name = coalesce(excluded.table_name, t.table_name),"
	" history_name = coalesce(excluded.history_name, t.history_name),"
	/* of another table no operation is known yet; its rows are counted */
	" current_version = CASE WHEN excluded.table_name IS NOT DISTINCT FROM t.table_name"
	"  THEN t.current_version END,"
	" history_version = CASE WHEN excluded.history_name IS NOT DISTINCT FROM t.history_name"
	"  THEN t.history_version END,"
	" created_at = coalesce(t.created_at, excluded.created_at),"
	" columns_digest = excluded.columns_digest";
	ExactArg	args[5];

	bind_names(args, names);
	args[4] = exact_arg_text(digest);
	exact_sql(sql, 5, args);
}

void
exact_target_state_first(const ExactTargetNames *names, int rows)
{
	static const char sql[] =
	"UPDATE exact.target_state"
	" SET first_rows = $5"
	" WHERE workspace = $1 AND entity = $2 AND table_name = $3 AND history_name = $4";
	ExactArg	args[5];

	bind_names(args, names);
	args[4] = exact_arg_int4(rows);
	exact_sql(sql, 5, args);
}

void
exact_target_state_delivered(const ExactTargetNames *names, const char *digest, TimestampTz at)
{
	static const char sql[] =
	"INSERT INTO exact.target_state AS t"
	" (workspace, entity, table_name, history_name, columns_digest, delivered_at)"
	" VALUES ($1, $2, $3, $4, $5, $6)"
	" ON CONFLICT (workspace, entity) DO UPDATE"
	" SET table_name = coalesce(excluded.table_name, t.table_name),"
	" history_name = coalesce(excluded.history_name, t.history_name),"
	" columns_digest = coalesce(excluded.columns_digest, t.columns_digest),"
	" delivered_at = excluded.delivered_at,"
	" paused_since = NULL,"
	" sqlstate = NULL,"
	" reason = NULL,"
	" next_step = NULL,"
	" attempts = 0,"
	" next_attempt_at = NULL";
	ExactArg	args[6];

	bind_names(args, names);
	args[4] = exact_arg_text(digest);
	args[5] = time_or_null(at);
	exact_sql(sql, 6, args);
}

/* What was delivered and made stays as it is recorded. */
static void
write_trouble(const ExactTargetNames *names, const ExactTargetTrouble *trouble, bool pauses)
{
	static const char sql[] =
	"INSERT INTO exact.target_state AS t"
	" (workspace, entity, table_name, history_name, paused_since,"
	" sqlstate, reason, next_step, attempts, next_attempt_at)"
	" VALUES ($1, $2, $3, $4, CASE WHEN $5 THEN clock_timestamp() END, $6, $7, $8, $9, $10)"
	" ON CONFLICT (workspace, entity) DO UPDATE"
	" SET table_name = coalesce(excluded.table_name, t.table_name),"
	" history_name = coalesce(excluded.history_name, t.history_name),"
	" paused_since = coalesce(t.paused_since, excluded.paused_since),"
	" sqlstate = excluded.sqlstate,"
	" reason = excluded.reason,"
	" next_step = excluded.next_step,"
	" attempts = excluded.attempts,"
	" next_attempt_at = excluded.next_attempt_at";
	ExactArg	args[10];

	bind_names(args, names);
	args[4] = exact_arg_bool(pauses);
	args[5] = exact_arg_text(trouble->sqlstate);
	args[6] = exact_arg_text(trouble->fault->message);
	args[7] = exact_arg_text(trouble->fault->hint);
	args[8] = exact_arg_int4(trouble->attempts);
	args[9] = time_or_null(trouble->next_attempt);
	exact_sql(sql, 10, args);
}

void
exact_target_state_paused(const ExactTargetNames *names, const ExactTargetTrouble *trouble)
{
	write_trouble(names, trouble, true);
}

void
exact_target_state_delayed(const ExactTargetNames *names, const ExactTargetTrouble *trouble)
{
	write_trouble(names, trouble, false);
}

void
exact_target_state_compared(const char *workspace, const char *entity, int epoch)
{
	static const char sql[] =
	"UPDATE exact.target_state"
	" SET compared_epoch = $3"
	" WHERE workspace = $1 AND entity = $2";
	ExactArg	args[3];

	args[0] = exact_arg_text(workspace);
	args[1] = exact_arg_text(entity);
	args[2] = exact_arg_int4(epoch);
	exact_sql(sql, 3, args);
}

void
exact_target_state_lost(const char *workspace, const char *entity)
{
	static const char sql[] =
	"UPDATE exact.target_state"
	" SET lost = true"
	" WHERE workspace = $1 AND entity = $2";
	ExactArg	args[2];

	args[0] = exact_arg_text(workspace);
	args[1] = exact_arg_text(entity);
	exact_sql(sql, 2, args);
}

void
exact_target_state_goes_again(const char *workspace, const char *entity)
{
	static const char sql[] =
	"UPDATE exact.target_state"
	" SET lost = false,"
	/* a pause for what was lost, and is there again */
	" paused_since = CASE WHEN NOT lost THEN paused_since END,"
	" sqlstate = CASE WHEN NOT lost THEN sqlstate END,"
	" reason = CASE WHEN NOT lost THEN reason END,"
	" next_step = CASE WHEN NOT lost THEN next_step END,"
	" attempts = CASE WHEN lost THEN 0 ELSE attempts END,"
	" next_attempt_at = CASE WHEN NOT lost THEN next_attempt_at END,"
	" current_version = NULL,"
	" history_version = NULL,"
	" rewrite_below = 1 + (SELECT coalesce(max(b.id), 0)"
	"  FROM exact.batch b"
	"  WHERE b.entity = $2)"
	" WHERE workspace = $1 AND entity = $2";
	ExactArg	args[2];

	args[0] = exact_arg_text(workspace);
	args[1] = exact_arg_text(entity);
	exact_sql(sql, 2, args);
}

static ExactArg
version_or_null(int64 version)
{
	return version >= 0 ? exact_arg_int8(version) : exact_arg_null(INT8OID);
}

void
exact_target_state_looked(const char *workspace, const char *entity, const ExactTargetLook *look)
{
	static const char sql[] =
	"UPDATE exact.target_state"
	" SET lost = false,"
	" current_version = coalesce($3, current_version),"
	" history_version = coalesce($4, history_version),"
	" note = $5,"
	" note_step = $6"
	" WHERE workspace = $1 AND entity = $2";
	ExactArg	args[6];

	args[0] = exact_arg_text(workspace);
	args[1] = exact_arg_text(entity);
	args[2] = version_or_null(look->current_version);
	args[3] = version_or_null(look->history_version);
	args[4] = exact_arg_text(look->note);
	args[5] = exact_arg_text(look->note_step);
	exact_sql(sql, 6, args);
}

void
exact_target_state_maintained(const char *workspace, const char *entity, bool done)
{
	static const char sql[] =
	"UPDATE exact.target_state t"
	" SET maintained_at = CASE WHEN $3 THEN n.at ELSE t.maintained_at END,"
	" maintain_at = n.at + CASE WHEN $3 THEN interval '7 days' ELSE interval '1 day' END"
	" FROM (SELECT clock_timestamp() AS at) n"
	" WHERE t.workspace = $1 AND t.entity = $2";
	ExactArg	args[3];

	args[0] = exact_arg_text(workspace);
	args[1] = exact_arg_text(entity);
	args[2] = exact_arg_bool(done);
	exact_sql(sql, 3, args);
}
