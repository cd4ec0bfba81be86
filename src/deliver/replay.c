/*
 * replay.c - versions that Databricks has had and that an operator wants to be delivered once more:
 * requests of exact.replay().
 *
 * A request makes the batches of its window wait again, while nothing of their tables is under way,
 * and is done when none of them waits. Called by loader.c.
 */
#include "postgres.h"

#include "base/sql.h"
#include "deliver/delta_table.h"
#include "deliver/queue.h"
#include "deliver/replay.h"
#include "state/request.h"
#include "worker/self.h"
#include "worker/unit.h"

#define OPEN_MS 1000			/* from one look at a request to the next */

static bool is_open = true;		/* there may be one */

static bool
is_busy(const char *entity)
{
	dlist_iter	iter;

	dlist_foreach(iter, &exact_delta_tables)
	{
		const ExactDeltaTable *table = dlist_container(ExactDeltaTable, node, iter.cur);

		if (strcmp(table->entity, entity) == 0 && (table->busy || table->unrecorded != NULL))
			return true;
	}
	return false;
}

/* The batches of the window wait again. */
static void
begin(int64 id)
{
	static const char sql[] =
	"UPDATE exact.batch b"
	" SET delivered_rows = 0, delivered_at = NULL, replay = r.id"
	" FROM exact.request r"
	" WHERE r.id = $1 AND b.entity = r.entity AND b.delivered_at IS NOT NULL"
	" AND (r.division IS NULL OR b.division = r.division)"
	" AND b.staged_at >= coalesce((r.args ->> 'since')::timestamptz, '-infinity')"
	" AND b.staged_at < coalesce((r.args ->> 'until')::timestamptz, 'infinity')";
	ExactArg	arg = exact_arg_int8(id);

	exact_log(LOG, "replay request=" INT64_FORMAT " batches=" UINT64_FORMAT, id,
			  exact_sql(sql, 1, &arg));
}

/* Those that did not go yet are as they were: Databricks has them. */
static void
give_up(int64 id)
{
	static const char sql[] =
	"UPDATE exact.batch SET delivered_rows = rows, delivered_at = clock_timestamp()"
	" WHERE replay = $1 AND delivered_at IS NULL";
	ExactArg	arg = exact_arg_int8(id);

	exact_sql(sql, 1, &arg);
	exact_request_finish(id, "cancelled", "cancelled while running", true);
}

static void
end(int64 id)
{
	static const char waits_sql[] =
	"SELECT EXISTS (SELECT FROM exact.batch WHERE delivered_at IS NULL AND replay = $1)";
	static const char sum_sql[] =
	"SELECT format('%s versions of %s batches', coalesce(sum(rows), 0), count(*))"
	" FROM exact.batch WHERE replay = $1";
	ExactArg	arg = exact_arg_int8(id);

	exact_sql(waits_sql, 1, &arg);
	if (exact_cell_bool(0, 1, false))
		return;
	exact_sql(sum_sql, 1, &arg);
	exact_request_finish(id, "done", exact_cell_text(0, 1), true);
}

/* *arg: all that waits is to be read anew. */
static void
look_unit(void *arg)
{
	static const char sql[] =
	"SELECT id, entity, state = 'running', cancel_wanted"
	" FROM exact.request"
	" WHERE kind = '" EXACT_REQUEST_REPLAY "' AND state IN ('queued', 'running')"
	" ORDER BY id LIMIT 1";
	bool	   *changed = arg;
	ExactRequest request;
	int64		id;
	bool		running;
	bool		cancelled;

	*changed = false;
	is_open = exact_sql(sql, 0, NULL) > 0;
	if (!is_open)
		return;
	id = exact_cell_int8(0, 1, 0);
	running = exact_cell_bool(0, 3, false);
	cancelled = exact_cell_bool(0, 4, false);
	if (running && !cancelled)
	{
		end(id);
		return;
	}
	if (is_busy(exact_cell_text(0, 2)))
		return;
	if (running)
		give_up(id);
	else if (exact_request_take_next(EXACT_REQUEST_REPLAY, &request) && request.id == id)
		begin(id);
	*changed = true;
}

long
exact_replay_turn(bool looked)
{
	bool		changed;

	if (!is_open && !looked)
		return -1;
	if (exact_unit_run("replay", look_unit, &changed, NULL) && changed)
		exact_queue_again();
	return is_open ? OPEN_MS : -1;
}
