/*
 * warehouse_run.c - exact.warehouse_state and exact.warehouse_run. Called by warehouse.c.
 */
#include "postgres.h"

#include "base/sql.h"
#include "databricks/warehouse_run.h"

void
exact_warehouse_run_open(void *arg)
{
	static const char sql[] =
	"SELECT"
	" (SELECT max(r.started_at) FROM exact.warehouse_run r"
	"  WHERE r.workspace = $1 AND r.warehouse_id = $2 AND r.woken),"
	" o.id, o.started_at, o.woken, extract(epoch FROM s.auto_stop)::int / 60,"
	" greatest(o.started_at, (SELECT max(coalesce(l.finished_at, l.at))"
	"  FROM (SELECT l.workspace, l.at, l.finished_at FROM exact.statement_log l"
	"   ORDER BY l.id DESC LIMIT 200) l"
	"  WHERE l.workspace = $1))"
	" FROM (SELECT) x"
	" LEFT JOIN exact.warehouse_state s ON s.workspace = $1 AND s.warehouse_id = $2"
	" LEFT JOIN LATERAL (SELECT r.id, r.started_at, r.woken FROM exact.warehouse_run r"
	"  WHERE r.workspace = $1 AND r.warehouse_id = $2 AND r.ended_at IS NULL"
	"  ORDER BY r.id DESC LIMIT 1) o ON true";
	ExactWarehouseRun *run = arg;
	ExactArg	args[2];

	args[0] = exact_arg_text(run->workspace);
	args[1] = exact_arg_text(run->warehouse);
	exact_sql(sql, 2, args);
	run->last_woken = exact_cell_time(0, 1, 0);
	run->id = exact_cell_int8(0, 2, 0);
	run->since = exact_cell_time(0, 3, 0);
	run->woken = exact_cell_bool(0, 4, false);
	run->auto_stop_min = (int) exact_cell_int8(0, 5, -1);
	run->used_at = exact_cell_time(0, 6, 0);
}

/* One that is still open, of another warehouse too, was never seen to end: it ends here. */
void
exact_warehouse_run_begin(void *arg)
{
	static const char sql[] =
	"WITH left_open AS ("
	" UPDATE exact.warehouse_run SET ended_at = greatest($3, started_at), ended_by = 'unknown'"
	" WHERE workspace = $1 AND ended_at IS NULL)"
	" INSERT INTO exact.warehouse_run (workspace, warehouse_id, started_at, woken)"
	" VALUES ($1, $2, $3, $4)"
	" RETURNING id";
	ExactWarehouseRun *run = arg;
	ExactArg	args[4];

	args[0] = exact_arg_text(run->workspace);
	args[1] = exact_arg_text(run->warehouse);
	args[2] = exact_arg_time(run->since);
	args[3] = exact_arg_bool(run->woken);
	exact_sql(sql, 4, args);
	run->id = exact_cell_int8(0, 1, 0);
}

void
exact_warehouse_run_end(void *arg)
{
	static const char sql[] =
	"UPDATE exact.warehouse_run"
	" SET ended_at = greatest($2, started_at), ended_by = $3"
	" WHERE id = $1 AND ended_at IS NULL";
	const ExactWarehouseRun *run = arg;
	ExactArg	args[3];

	args[0] = exact_arg_int8(run->id);
	args[1] = exact_arg_time(run->ended_at);
	args[2] = exact_arg_text(run->ended_by);
	exact_sql(sql, 3, args);
}

/* That it could be stopped takes away what kept it from being stopped. */
void
exact_warehouse_run_state(void *arg)
{
	static const char sql[] =
	"INSERT INTO exact.warehouse_state AS s"
	" (workspace, warehouse_id, state, seen_at, auto_stop, size, stop_refused, refused_at)"
	" VALUES ($1, $2, coalesce($3, 'runs'), clock_timestamp(),"
	"  CASE WHEN $4 >= 0 THEN make_interval(mins => $4) END, $5, $6,"
	"  CASE WHEN $6 IS NOT NULL THEN clock_timestamp() END)"
	" ON CONFLICT (workspace) DO UPDATE SET"
	"  warehouse_id = excluded.warehouse_id,"
	"  state = coalesce($3, s.state),"
	"  seen_at = excluded.seen_at,"
	"  auto_stop = coalesce(excluded.auto_stop, s.auto_stop),"
	"  size = coalesce(excluded.size, s.size),"
	"  wakes_at = CASE WHEN coalesce($3, s.state) = 'sleeps' THEN s.wakes_at END,"
	"  stop_refused = CASE WHEN $6 IS NOT NULL THEN $6"
	"   WHEN $3 = 'sleeps' AND $4 < 0 THEN NULL ELSE s.stop_refused END,"
	"  refused_at = CASE WHEN $6 IS NOT NULL THEN clock_timestamp()"
	"   WHEN $3 = 'sleeps' AND $4 < 0 THEN NULL ELSE s.refused_at END";
	const ExactWarehouseRun *run = arg;
	ExactArg	args[6];

	args[0] = exact_arg_text(run->workspace);
	args[1] = exact_arg_text(run->warehouse);
	args[2] = exact_arg_text(run->state);
	args[3] = exact_arg_int4(run->auto_stop_min);
	args[4] = exact_arg_text(run->size);
	args[5] = exact_arg_text(run->refused);
	exact_sql(sql, 6, args);
}

void
exact_warehouse_run_plan(void *arg)
{
	static const char quiet_sql[] =
	"SELECT exact._wakes_at(w.quiet_from, w.quiet_until, w.quiet_zone, $2)"
	" FROM exact.workspace w"
	" WHERE w.name = $1";
	static const char store_sql[] =
	"UPDATE exact.warehouse_state SET wakes_at = $2 WHERE workspace = $1";
	ExactWarehouseRun *run = arg;
	ExactArg	args[2];

	args[0] = exact_arg_text(run->workspace);
	args[1] = exact_arg_time(run->wakes_at);
	if (run->quiet && exact_sql(quiet_sql, 2, args) == 1)
		run->wakes_at = exact_cell_time(0, 1, run->wakes_at);
	if (run->wakes_at == run->planned)
		return;
	args[1] = exact_arg_time(run->wakes_at);
	exact_sql(store_sql, 2, args);
}
