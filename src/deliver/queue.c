/*
 * queue.c - what waits to be delivered, over all tables and workspaces, and in which order it goes.
 *
 * Dimensions go before master data, that before documents and headers before lines (rank); a few
 * tables of a workspace go at a time; and nothing goes to a workspace where this hub has not
 * claimed its divisions. Called by loader.c.
 */
#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/guc.h"
#include "base/sql.h"
#include "databricks/databricks.h"
#include "databricks/warehouse.h"
#include "deliver/backlog.h"
#include "deliver/casts.h"
#include "deliver/delta_table.h"
#include "deliver/fence.h"
#include "deliver/queue.h"
#include "deliver/volume.h"
#include "deliver/workspace.h"
#include "state/target_state.h"
#include "worker/unit.h"

#define RECORD_AGAIN_MS 1000
#define PAUSED_WAKES_MS 3600000	/* a paused table does not wake its warehouse more often */
#define READ_BATCHES 50000		/* at a time */
#define WAIT_FOR_REST_MS 15000	/* then what may go goes */
#define BEING_READ_ASK_MS 500	/* while the first rows of a table wait for others */
#define UNJUDGED_MOST "10 min"	/* a batch waits for a verdict */

static int64 last_batch;		/* highest id that was read */
static bool held;				/* some that were read wait for their amounts' sign or a verdict */
static TimestampTz looked_at;	/* when all that waits was read */
static TimestampTz asked_at;	/* when it was asked what is being read */

/* ---- what waits ---- */

/* Reads batches above last_batch; *arg is their number. */
static void
batches_unit(void *arg)
{
	static const char sql[] =
	"SELECT b.id, b.slot::int, b.rows, b.delivered_rows, b.bytes,"
	" coalesce(b.workspace, d.workspace), b.entity, coalesce(c.merge_rank, 0), b.division,"
	" b.entity IN ('salesinvoices', 'salesinvoicelines') AND i.turned IS NULL"
	" OR EXISTS (SELECT FROM exact.unjudged u WHERE u.batch = b.id AND u.waits"
	"  AND u.since > clock_timestamp() - interval '" UNJUDGED_MOST "'),"
	" coalesce(b.replay, 0) <> 0, b.staged_at, coalesce(e.urgent, false)"
	" FROM exact.batch b"
	" LEFT JOIN exact.division d ON d.division = b.division"
	" LEFT JOIN exact.catalogue c ON c.entity = b.entity"
	" LEFT JOIN exact.invoice_sign i ON i.division = b.division"
	" LEFT JOIN exact.entity e ON e.name = b.entity"
	" WHERE b.delivered_at IS NULL AND b.id > $1"
	" ORDER BY b.id"
	" LIMIT $2";
	uint64	   *n = arg;
	ExactArg	args[2];

	args[0] = exact_arg_int8(last_batch);
	args[1] = exact_arg_int8(READ_BATCHES);
	*n = exact_sql(sql, 2, args);
	for (uint64 i = 0; i < *n; i++)
	{
		ExactBatch	batch;
		char	   *workspace = exact_cell_text(i, 6);
		ExactDeltaTable *table;

		batch.id = exact_cell_int8(i, 1, 0);
		batch.slot = (int) exact_cell_int8(i, 2, 0);
		batch.rows = (int) exact_cell_int8(i, 3, 0);
		batch.delivered = (int) exact_cell_int8(i, 4, 0);
		batch.bytes = exact_cell_int8(i, 5, 0);
		batch.replay = exact_cell_bool(i, 11, false);
		batch.staged_at = exact_cell_time(i, 12, GetCurrentTimestamp());
		last_batch = Max(last_batch, batch.id);
		if (workspace == NULL)
			/* its division has none; to give it one changes the configuration */
			continue;
		if (exact_cell_bool(i, 10, false))
		{
			held = true;
			continue;
		}
		table = exact_delta_table_get(workspace, exact_cell_text(i, 7));
		table->rank = (int) exact_cell_int8(i, 8, 0);
		table->urgent = exact_cell_bool(i, 13, false);
		exact_backlog_add(&table->backlog, &batch);
		exact_fence_want(workspace, (int) exact_cell_int8(i, 9, 0));
	}
}

/* A table that lost its rows gets all once more that the stage holds. */
static void
send_again(const char *workspace, const char *entity)
{
	static const char sql[] =
	"UPDATE exact.batch b"
	" SET delivered_rows = 0, delivered_at = NULL, replay = 0"
	" FROM exact.division d"
	" WHERE d.division = b.division AND b.entity = $2 AND b.delivered_rows > 0"
	" AND coalesce(b.workspace, d.workspace) = $1";
	ExactArg	args[2];

	args[0] = exact_arg_text(workspace);
	args[1] = exact_arg_text(entity);
	exact_sql(sql, 2, args);
}

typedef struct StatesReading
{
	bool		first;			/* of this process */
	bool		again;			/* a table that lost its rows gets them once more */
} StatesReading;

/*
 * Takes over what users may have done to the state: resume. At the start also what an earlier
 * process left. A next attempt that lies further ahead than any is planned, and a delivery that is
 * still to come, were recorded by a clock that was set back since: they are not taken over.
 */
static void
states_unit(void *arg)
{
	static const char sql[] =
	"SELECT s.workspace, s.entity, s.paused_since IS NOT NULL, s.attempts,"
	" CASE WHEN s.next_attempt_at < clock_timestamp() + interval '1 h'"
	"  THEN s.next_attempt_at END,"
	" CASE WHEN s.delivered_at <= clock_timestamp() THEN s.delivered_at END,"
	" s.created_at IS NOT NULL,"
	" NOT EXISTS (SELECT"
	"  FROM exact.epoch e"
	"  WHERE e.known_seq IS NOT NULL AND e.epoch > coalesce(s.compared_epoch, 0)),"
	" s.lost"
	" FROM exact.target_state s";
	StatesReading *reading = arg;
	uint64		n = exact_sql(sql, 0, NULL);
	List	   *resumed = NIL;
	ListCell   *cell;

	for (uint64 i = 0; i < n; i++)
	{
		ExactDeltaTable *table = exact_delta_table_get(exact_cell_text(i, 1),
													   exact_cell_text(i, 2));
		bool		paused = exact_cell_bool(i, 3, false);
		bool		lost = exact_cell_bool(i, 9, false);

		if (reading->first)
		{
			table->paused = table->pause_recorded = paused;
			table->attempts = paused ? (int) exact_cell_int8(i, 4, 0) : 0;
			table->next_attempt = exact_cell_time(i, 5, 0);
			table->last_delivered = exact_cell_time(i, 6, 0);
			table->verified_once = exact_cell_bool(i, 7, false);
			table->counted_at = table->verified_once ? GetCurrentTimestamp() : 0;
			table->compared = exact_cell_bool(i, 8, false);
			table->gone = lost;
		}
		if (paused || table->busy)
			continue;
		if (table->paused ? table->pause_recorded : lost)
		{
			table->gone |= lost;
			resumed = lappend(resumed, table);
		}
	}
	reading->again = false;
	foreach(cell, resumed)
	{
		const ExactDeltaTable *table = lfirst(cell);

		if (!table->gone)
			continue;
		send_again(table->workspace, table->entity);
		exact_target_state_goes_again(table->workspace, table->entity);
		reading->again = true;
	}
	foreach(cell, resumed)
		exact_delta_table_resume(lfirst(cell));
}

/* Rows that go once more: put aside and tried again, or judged otherwise since they went */
static void
letters_unit(void *arg)
{
	static const char sql[] =
	"SELECT DISTINCT l.workspace, l.entity, l.division"
	" FROM exact.dead_letter l"
	" WHERE l.side = 'delivery' AND l.state = 'retry' AND l.workspace IS NOT NULL"
	" UNION ALL"
	" SELECT w.name, e.entity, v.division"
	" FROM exact.workspace w"
	" CROSS JOIN exact._document_entity e"
	" CROSS JOIN LATERAL (SELECT v.division FROM exact.verdict v"
	"  WHERE v.again AND v.workspace = w.name AND v.entity = e.entity"
	"  ORDER BY v.seq LIMIT 1) v";
	uint64		n = exact_sql(sql, 0, NULL);

	(void) arg;
	for (uint64 i = 0; i < n; i++)
	{
		const char *workspace = exact_cell_text(i, 1);
		ExactDeltaTable *table = exact_delta_table_get(workspace, exact_cell_text(i, 2));

		if (!table->retry)
			table->retry_since = GetCurrentTimestamp();
		table->retry = true;
		exact_fence_want(workspace, (int) exact_cell_int8(i, 3, 0));
	}
}

/* ---- first loads ---- */

/* This process has just made it, and nothing has gone into it. */
static bool
is_empty(const ExactDeltaTable *table)
{
	return table->compared && !table->paused && table->backlog.n > 0 && table->plan != NULL &&
		table->plan->fresh[EXACT_TABLE_HISTORY] && table->plan->fresh[EXACT_TABLE_CURRENT];
}

/* Which entities have a division whose records were not all read yet */
static void
being_read_unit(void *arg)
{
	static const char sql[] =
	"SELECT DISTINCT d.workspace, f.entity"
	" FROM exact._enabled_feed f"
	" JOIN exact.division d ON d.division = f.division"
	" LEFT JOIN exact.feed_state s ON s.division = f.division AND s.feed = f.feed"
	" WHERE f.division_enabled AND d.workspace IS NOT NULL AND s.first_complete_at IS NULL";
	uint64		n = exact_sql(sql, 0, NULL);

	(void) arg;
	for (uint64 i = 0; i < n; i++)
	{
		const char *workspace = exact_cell_text(i, 1);
		const char *entity = exact_cell_text(i, 2);
		dlist_iter	iter;

		dlist_foreach(iter, &exact_delta_tables)
		{
			ExactDeltaTable *table = dlist_container(ExactDeltaTable, node, iter.cur);

			table->being_read |= strcmp(table->workspace, workspace) == 0 &&
				strcmp(table->entity, entity) == 0;
		}
	}
}

/* Is it to be asked what is being read, for a table that is empty? */
static bool
is_question_due(void)
{
	bool		again = exact_clock_is_future(asked_at) ||
		TimestampDifferenceExceeds(asked_at, GetCurrentTimestamp(), BEING_READ_ASK_MS);
	dlist_iter	iter;

	dlist_foreach(iter, &exact_delta_tables)
	{
		const ExactDeltaTable *table = dlist_container(ExactDeltaTable, node, iter.cur);

		if (is_empty(table) && (!table->reading_asked || (table->being_read && again)))
			return true;
	}
	return false;
}

/*
 * Before the batches are read: what was staged with the end of a first load is among them. Without
 * an answer nothing waits.
 */
static void
ask_what_is_read(void)
{
	dlist_iter	iter;

	dlist_foreach(iter, &exact_delta_tables)
	{
		ExactDeltaTable *table = dlist_container(ExactDeltaTable, node, iter.cur);

		table->reading_asked = true;
		table->being_read = false;
	}
	asked_at = GetCurrentTimestamp();
	(void) exact_unit_run("ask what is read", being_read_unit, NULL, NULL);
}

/* ---- all that waits ---- */

static bool
is_all_due(void)
{
	return TimestampDifferenceExceeds(looked_at, GetCurrentTimestamp(), EXACT_QUEUE_LOOK_MS);
}

bool
exact_queue_due(void)
{
	return is_all_due() || is_question_due();
}

/* What is under way stays in the list until it is recorded, as it does in exact.batch. */
static void
forget_batches(void)
{
	dlist_iter	iter;

	last_batch = 0;
	held = false;
	dlist_foreach(iter, &exact_delta_tables)
		dlist_container(ExactDeltaTable, node, iter.cur)->backlog.n = 0;
}

void
exact_queue_again(void)
{
	forget_batches();
	looked_at = 0;
}

bool
exact_queue_look(void)
{
	static StatesReading states = {.first = true};
	TimestampTz now = GetCurrentTimestamp();
	bool		changed;
	uint64		n;

	if (!exact_workspace_look(&changed))
		return false;
	if (is_question_due())
		ask_what_is_read();
	if (changed || held || is_all_due())
	{
		forget_batches();
		looked_at = now;
	}
	if (!exact_unit_run("read table states", states_unit, &states, NULL))
		return false;
	if (!exact_unit_run("read letters", letters_unit, NULL, NULL))
		return false;
	states.first = false;
	if (states.again)
		forget_batches();
	do
	{
		if (!exact_unit_run("read batches", batches_unit, &n, NULL))
			return false;
	} while (n == READ_BATCHES);
	return true;
}

/* ---- order ---- */

/* Of the tables that a table waits for, the one with the oldest batch; NULL: there is none. */
static const ExactDeltaTable *
find_oldest(const ExactDeltaTable *table)
{
	const ExactDeltaTable *oldest = NULL;
	dlist_iter	iter;

	dlist_foreach(iter, &exact_delta_tables)
	{
		const ExactDeltaTable *other = dlist_container(ExactDeltaTable, node, iter.cur);

		if (other->rank < table->rank && !other->paused && other->backlog.n > 0 &&
			strcmp(other->workspace, table->workspace) == 0 &&
			(oldest == NULL || other->backlog.batches[0].id < oldest->backlog.batches[0].id))
			oldest = other;
	}
	return oldest;
}

/* A table waits for older batches of lower ranks in its workspace, unless theirs is paused. */
static int64
may_go_below(const ExactDeltaTable *table)
{
	const ExactDeltaTable *oldest = find_oldest(table);

	return oldest != NULL ? oldest->backlog.batches[0].id : PG_INT64_MAX;
}

/*
 * Is the rest of what waits on its way? A part would cost two statements of its own. The first
 * rows of a table wait for others of a first load, and for what keeps some of them, unless they
 * are urgent, or fill a statement and there is no volume; later, more than one statement carries
 * waits if what keeps the rest of it is under way.
 */
static bool
is_rest_on_its_way(const ExactDeltaTable *table)
{
	const ExactBacklog *backlog = &table->backlog;
	const ExactDeltaTable *oldest = find_oldest(table);
	bool		kept,
				full;
	int64		rows,
				bytes;

	if (!table->compared || backlog->n == 0)
		return false;
	kept = oldest != NULL &&
		backlog->batches[backlog->n - 1].id >= oldest->backlog.batches[0].id;
	exact_backlog_measure(backlog, PG_INT64_MAX, exact_merge_bytes, &rows, &bytes);
	full = rows > exact_merge_rows || bytes >= exact_merge_bytes;
	if (is_empty(table) && !table->urgent &&
		(!full || exact_volume_usable(table->plan->workspace)))
		return kept || table->being_read || !table->reading_asked;
	return full && kept && oldest->busy;
}

/* ms for which a part of what waits should not go by itself, 0: none */
static long
rest_follows_ms(ExactDeltaTable *table)
{
	long		left;

	if (!is_rest_on_its_way(table))
		return 0;
	if (table->rest_since == 0 || exact_clock_is_future(table->rest_since))
		table->rest_since = GetCurrentTimestamp();
	left = exact_clock_wait_ms(TimestampTzPlusMilliseconds(table->rest_since, WAIT_FOR_REST_MS));
	return !is_empty(table) ? left : Min(left, table->reading_asked ? BEING_READ_ASK_MS : 10);
}

/* Does it not yet stand still, or is its next attempt due? Then a fault may be told. */
static bool
may_try(const ExactDeltaTable *table)
{
	return !table->paused ||
		(table->next_attempt != 0 && table->next_attempt <= GetCurrentTimestamp());
}

/*
 * Nothing goes to a workspace where this hub has not claimed its divisions, or where a value that
 * does not fit would become null without an error.
 */
static bool
is_ready(const ExactWorkspace *workspace, ExactDeltaTable *table, bool due, long *wait)
{
	const ExactFault *fault;
	long		ms;
	bool		claimed = exact_fence_advance(workspace, &fault, &ms) == EXACT_FENCE_HELD;

	if (claimed && (!due || exact_casts_advance(workspace, exact_fence_hub(), &fault, &ms) ==
				 EXACT_CASTS_FAIL))
	{
		if (table->unclaimed && table->paused && table->next_attempt != 0)
			table->next_attempt = GetCurrentTimestamp();
		table->unclaimed = false;
		return true;
	}
	*wait = exact_clock_sooner(*wait, ms);
	if (fault != NULL && due && may_try(table))
	{
		table->unclaimed = true;
		exact_delta_table_pause(table, fault, NULL);
	}
	return false;
}

/* In a unit: the service is away while a claim is made; arg is the workspace's name. */
static void
show_trouble(const ExactFault *fault, int attempts, TimestampTz at, void *arg)
{
	dlist_iter	iter;

	dlist_foreach(iter, &exact_delta_tables)
	{
		ExactDeltaTable *table = dlist_container(ExactDeltaTable, node, iter.cur);

		if (strcmp(table->workspace, arg) == 0 && exact_delta_table_due(table))
			exact_delta_table_show(table, fault, attempts, at);
	}
}

void
exact_queue_init(void)
{
	exact_fence_tell(show_trouble);
}

/*
 * What waits for the workspace's warehouse. A paused table may be mended by somebody: it is tried
 * again with what else goes, for itself once an hour.
 */
static ExactWaiting
what_waits(const char *workspace, TimestampTz woken_at)
{
	ExactWaiting waiting = {0};
	TimestampTz now = GetCurrentTimestamp();
	dlist_iter	iter;

	dlist_foreach(iter, &exact_delta_tables)
	{
		const ExactDeltaTable *table = dlist_container(ExactDeltaTable, node, iter.cur);
		const ExactBacklog *backlog = &table->backlog;
		TimestampTz since = backlog->n > 0 ? backlog->batches[0].staged_at : table->retry_since;

		if (since > now)		/* the clock was set back since */
			since = now;
		if ((backlog->n == 0 && !table->retry) || strcmp(table->workspace, workspace) != 0 ||
			(table->paused && table->next_attempt == 0))
			continue;
		if (table->paused)
			since = Max(table->next_attempt, woken_at != 0 ?
						TimestampTzPlusMilliseconds(woken_at, PAUSED_WAKES_MS) : 0);
		else
			waiting.urgent |= table->urgent;
		if (waiting.since == 0 || since < waiting.since)
			waiting.since = since;
		for (int i = 0; i < backlog->n && !table->paused; i++)
			waiting.rows += backlog->batches[i].rows - backlog->batches[i].delivered;
	}
	return waiting;
}

/* A warehouse that sleeps is woken for what is worth it, and what may go now. */
static bool
may_use_warehouse(const ExactWorkspace *workspace, ExactDeltaTable *table, bool due, long *wait)
{
	bool		has_rows = due && (table->backlog.n > 0 || table->retry);
	long		ms = 0;

	table->woken_at = exact_warehouse_woken_at(workspace);
	if (!exact_warehouse_is_spared(workspace))
		return true;
	if (has_rows && !table->busy)
		ms = exact_delta_table_wait(table, workspace, exact_fence_hub(), may_go_below(table));
	if (ms != 0)
	{
		*wait = exact_clock_sooner(*wait, ms);
		return false;
	}
	if (exact_warehouse_may_use(workspace, NULL, &ms))
		return true;
	if (has_rows)
	{
		ExactWaiting waiting = what_waits(workspace->name, table->woken_at);

		if (exact_warehouse_may_use(workspace, &waiting, &ms))
			return true;
	}
	*wait = exact_clock_sooner(*wait, ms);
	return false;
}

/*
 * One table. A hub that has delivered before looks at its claim although nothing is due: it wants
 * to know at its start whether another copy has taken its place.
 */
static void
advance_table(ExactDeltaTable *table, long *wait)
{
	bool		due = exact_delta_table_due(table) || table->unrecorded != NULL;
	ExactWorkspaceEntry *entry;
	long		ms;

	if (!exact_delta_table_record_pause(table))
		*wait = exact_clock_sooner(*wait, RECORD_AGAIN_MS);
	if ((!due && !table->verified_once) || (table->busy && table->unrecorded == NULL))
		return;
	entry = exact_workspace_find(table->workspace);
	if (entry == NULL || !entry->enabled)
		return;
	if (entry->fault != NULL)
	{
		if (due && may_try(table))
			exact_delta_table_pause(table, entry->fault, NULL);
		return;
	}
	if (!table->busy && exact_delta_tables_busy(table->workspace) >= exact_merge_tables)
		return;					/* the end of any of them brings the next turn */
	ms = table->unrecorded == NULL ? rest_follows_ms(table) : 0;
	if (ms > 0)
	{
		*wait = exact_clock_sooner(*wait, ms);
		return;
	}
	if (!may_use_warehouse(&entry->info, table, due, wait))
		return;
	if (!is_ready(&entry->info, table, due, wait) || !due)
		return;
	*wait = exact_clock_sooner(*wait, exact_delta_table_advance(table, &entry->info,
																 exact_fence_hub(),
																 may_go_below(table)));
}

/*
 * Each workspace has its own places, so that one that hangs keeps none of another. Who has had one
 * comes last: a table with a long backlog does not take them all the time.
 */
long
exact_queue_advance(void)
{
	long		wait = -1;
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &exact_delta_tables)
	{
		ExactDeltaTable *table = dlist_container(ExactDeltaTable, node, iter.cur);
		bool		was_busy = table->busy;

		advance_table(table, &wait);
		if (table->busy && !was_busy)
			dlist_move_tail(&exact_delta_tables, &table->node);
	}
	return wait;
}
