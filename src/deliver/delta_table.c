/*
 * delta_table.c - one entity in one workspace: recovery, preparation, deliveries, pauses.
 *
 * One thing at a time is under way for a table. Called by queue.c from the loader's turn; callbacks
 * only change the state, the next turn goes on from it.
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/backoff.h"
#include "base/clock.h"
#include "base/errors.h"
#include "base/fault.h"
#include "base/guc.h"
#include "databricks/databricks.h"
#include "databricks/delta_sql.h"
#include "databricks/statement.h"
#include "deliver/backlog.h"
#include "deliver/casts.h"
#include "deliver/delivery.h"
#include "deliver/delta_table.h"
#include "deliver/fence.h"
#include "deliver/other_copy.h"
#include "deliver/volume.h"
#include "delta/presence.h"
#include "delta/target.h"
#include "state/audit.h"
#include "state/target_state.h"
#include "worker/self.h"
#include "worker/unit.h"

#define PAUSE_FIRST_MS 60000
#define PAUSE_LAST_MS 900000
/* what failed as often as it may costs as much each time; below what queue.c takes over */
#define PAUSE_WORN_OUT_MS 3000000
#define RECORD_AGAIN_MS 1000
#define REST_MS 5000			/* or merge_interval, if that is sooner */
#define COUNT_AGAIN_MS 86400000
#define COUNT_AGAIN_DELIVERIES 1000 /* a look at what others did reads as many operations at once */

dlist_head	exact_delta_tables = DLIST_STATIC_INIT(exact_delta_tables);

static ExactDeltaTableReader read_edits;

void
exact_delta_table_read_by(ExactDeltaTableReader reader)
{
	read_edits = reader;
}

ExactDeltaTable *
exact_delta_table_get(const char *workspace, const char *entity)
{
	dlist_iter	iter;
	ExactDeltaTable *table;

	dlist_foreach(iter, &exact_delta_tables)
	{
		table = dlist_container(ExactDeltaTable, node, iter.cur);
		if (strcmp(table->workspace, workspace) == 0 && strcmp(table->entity, entity) == 0)
			return table;
	}
	table = MemoryContextAllocZero(TopMemoryContext, sizeof(ExactDeltaTable));
	table->workspace = MemoryContextStrdup(TopMemoryContext, workspace);
	table->entity = MemoryContextStrdup(TopMemoryContext, entity);
	dlist_push_tail(&exact_delta_tables, &table->node);
	return table;
}

int
exact_delta_tables_busy(const char *workspace)
{
	dlist_iter	iter;
	int			busy = 0;

	dlist_foreach(iter, &exact_delta_tables)
	{
		const ExactDeltaTable *table = dlist_container(ExactDeltaTable, node, iter.cur);

		busy += table->busy && strcmp(table->workspace, workspace) == 0 ? 1 : 0;
	}
	return busy;
}

/* What is looked for in Databricks: the same needs no second look. palloc'd */
static char *
describe_plan(const ExactTargetPlan *plan)
{
	return psprintf("%s %s %s %s", plan->workspace->origin, plan->current_name, plan->history_name,
					plan->digest);
}

static void
forget_verification(ExactDeltaTable *table)
{
	table->verified = table->looked_beyond = false;
	if (table->verified_as != NULL)
		pfree(table->verified_as);
	table->verified_as = NULL;
}

static void
drop_plan(ExactDeltaTable *table)
{
	if (table->plan != NULL)
		MemoryContextDelete(table->plan->context);
	table->plan = NULL;
	table->verified = false;
	table->stale = false;
}

void
exact_delta_table_reset(ExactDeltaTable *table)
{
	if (table->busy)
		table->stale = true;
	else
		drop_plan(table);
	if (table->paused && table->next_attempt != 0)
		table->next_attempt = GetCurrentTimestamp();
}

void
exact_delta_table_resume(ExactDeltaTable *table)
{
	table->paused = false;
	table->attempts = 0;
	table->may_create = table->gone;
	table->gone = table->counted = false;
	exact_fence_retry(table->workspace);
	exact_casts_retry(table->workspace);
	exact_delta_table_reset(table);
}

void
exact_delta_table_hurry(const char *workspace)
{
	dlist_iter	iter;

	dlist_foreach(iter, &exact_delta_tables)
	{
		ExactDeltaTable *table = dlist_container(ExactDeltaTable, node, iter.cur);

		if (table->paused && table->next_attempt != 0 && strcmp(table->workspace, workspace) == 0)
			table->next_attempt = GetCurrentTimestamp();
	}
}

static void
set_idle(ExactDeltaTable *table)
{
	table->busy = false;
	if (table->stale)
		drop_plan(table);
}

void
exact_delta_table_idle(ExactDeltaTable *table)
{
	set_idle(table);
}

/* ---- its row in exact.target_state ---- */

/* The pause, and with the first one of a row its event */
static void
pause_unit(void *arg)
{
	ExactDeltaTable *table = arg;
	ExactTargetNames names = {table->workspace, table->entity, NULL, NULL};
	ExactTargetTrouble trouble = {
		table->pause_fault, table->pause_sqlstate, table->attempts, table->next_attempt
	};

	exact_target_state_paused(&names, &trouble);
	if (table->attempts == 1)
		exact_audit_paused(names.entity, names.workspace, trouble.fault->message,
						   trouble.sqlstate);
	if (table->gone)
		exact_target_state_lost(names.workspace, names.entity);
}

/* A lock on the row may keep it out: then what is to be written stays, for the next turn. */
bool
exact_delta_table_record_pause(ExactDeltaTable *table)
{
	if (table->pause_context == NULL)
		return true;
	if (!exact_unit_run("pause table", pause_unit, table, NULL))
		return false;
	MemoryContextDelete(table->pause_context);
	table->pause_context = NULL;
	table->pause_recorded = true;
	return true;
}

/* Databricks' own state, else ours as text; NULL when there is none */
static const char *
shown_sqlstate(const ExactFault *fault, const char *sqlstate)
{
	if (sqlstate != NULL && *sqlstate != '\0')
		return sqlstate;
	return fault->sqlstate != 0 ? unpack_sql_state(fault->sqlstate) : NULL;
}

static void
log_pause(const ExactDeltaTable *table, const ExactFault *fault, const char *sqlstate)
{
	exact_log(table->attempts == 1 ? WARNING : LOG,
			  "paused table=%s workspace=%s sqlstate=%s batches=%d next_attempt=%s: %s.%s%s%s%s",
			  table->entity, table->workspace, sqlstate ? sqlstate : "none", table->backlog.n,
			  table->next_attempt != 0 ? timestamptz_to_str(table->next_attempt) : "when resumed",
			  fault->message,
			  fault->detail ? " " : "", fault->detail ? fault->detail : "",
			  fault->hint ? " Next step: " : "", fault->hint ? fault->hint : "");
}

/* What was not written of a pause needs no writing any more. */
static void
forget_pause(ExactDeltaTable *table)
{
	if (table->pause_context != NULL)
		MemoryContextDelete(table->pause_context);
	table->pause_context = NULL;
}

/* A reading of the edits is over; the next one comes by its time, or before the next delivery. */
static void
end_reading(ExactDeltaTable *table, const ExactFault *fault)
{
	if (table->read_fault != NULL)
		pfree(table->read_fault);
	table->read_fault = fault == NULL ? NULL :
		MemoryContextStrdup(TopMemoryContext, fault->hint == NULL ? fault->message :
							psprintf("%s. %s", fault->message, fault->hint));
	table->read_wanted = false;
	table->read_at = GetCurrentTimestamp();
}

static void
pause_until(ExactDeltaTable *table, const ExactFault *fault, const char *sqlstate, bool by_itself)
{
	bool		worn_out = fault->sqlstate == ERRCODE_EXACT_DATABRICKS_UNAVAILABLE;
	int64		ms = exact_backoff_ms(++table->attempts, PAUSE_FIRST_MS,
									  worn_out ? PAUSE_WORN_OUT_MS : PAUSE_LAST_MS);
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "exact pause",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);

	table->paused = true;
	table->pause_recorded = false;
	table->next_attempt = by_itself ? TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms) : 0;
	sqlstate = shown_sqlstate(fault, sqlstate);
	table->pause_fault = exact_fault_copy(fault);
	table->pause_sqlstate = sqlstate != NULL ? pstrdup(sqlstate) : NULL;
	MemoryContextSwitchTo(old);
	forget_pause(table);
	table->pause_context = context;
	if (table->read_wanted)
		end_reading(table, table->pause_fault);
	log_pause(table, table->pause_fault, table->pause_sqlstate);
	exact_delta_table_record_pause(table);
}

void
exact_delta_table_pause(ExactDeltaTable *table, const ExactFault *fault, const char *sqlstate)
{
	pause_until(table, fault, sqlstate, true);
}

void
exact_delta_table_show(ExactDeltaTable *table, const ExactFault *fault, int attempts,
					   TimestampTz at)
{
	ExactTargetNames names = {table->workspace, table->entity, NULL, NULL};
	ExactTargetTrouble trouble = {fault, shown_sqlstate(fault, NULL), attempts, at};

	exact_target_state_delayed(&names, &trouble);
}

/* For statements of a table */
static void
show_trouble(const ExactFault *fault, int attempts, TimestampTz at, void *arg)
{
	exact_delta_table_show(arg, fault, attempts, at);
}

/* ---- statements of an earlier process ---- */

/* Whatever came out of it: its rows are still waiting, and are sent again now that nothing runs. */
static void
take_recovered(const ExactStatementResult *result, void *arg)
{
	ExactDeltaTable *table = arg;

	exact_log(LOG, "statement of an earlier process is over, table=%s outcome=%s", table->entity,
			  result->verdict == EXACT_VERDICT_SUCCEEDED ? "succeeded" : "unknown");
	if (--table->recovering == 0)
	{
		table->recovered = true;
		set_idle(table);
	}
}

static bool
start_recovery(ExactDeltaTable *table)
{
	const char *entity = table->entity;
	int			n = exact_statement_follow(&(ExactStatementRequest) {
		.workspace = table->plan->workspace,
		.hub = table->plan->sql.hub,
		.trouble = show_trouble,
		.trouble_arg = table,
		.done = take_recovered,
		.arg = table
	}, &entity, 1);

	if (n < 0)
		return false;
	table->recovering = n;
	table->recovered = n == 0;
	table->busy = n > 0;
	return true;
}

/* ---- plan and preparation ---- */

typedef struct PlanReading
{
	ExactDeltaTable *table;
	const ExactWorkspace *workspace;
	const ExactHub *hub;
} PlanReading;

static void
plan_unit(void *arg)
{
	PlanReading *reading = arg;

	reading->table->plan = exact_target_load(TopMemoryContext, reading->workspace,
											 reading->table->entity, reading->hub);
}

static bool
read_plan(ExactDeltaTable *table, const ExactWorkspace *workspace, const ExactHub *hub)
{
	PlanReading reading = {table, workspace, hub};
	ExactFault *fault = NULL;

	if (exact_unit_run("read table plan", plan_unit, &reading, &fault))
	{
		table->verified = table->verified_as != NULL &&
			strcmp(table->verified_as, describe_plan(table->plan)) == 0;
		return true;
	}
	drop_plan(table);
	pause_until(table, fault, NULL, true);
	return false;
}

static void
verified_unit(void *arg)
{
	ExactDeltaTable *table = arg;
	const ExactTargetPlan *plan = table->plan;
	ExactTargetNames names = {
		table->workspace, table->entity, plan->current_name, plan->history_name
	};

	exact_target_state_verified(&names, plan->digest);
}

static void
take_prepared(const ExactFault *fault, const char *sqlstate, void *arg)
{
	ExactDeltaTable *table = arg;

	forget_verification(table);
	table->commented |= fault == NULL || !table->plan->may_comment;
	if (fault == NULL)
	{
		table->verified = exact_unit_run("record table", verified_unit, table, NULL);
		table->verified_once |= table->verified;
		if (table->verified)
			table->verified_as = MemoryContextStrdup(TopMemoryContext, describe_plan(table->plan));
		/* they are back: with their rows, or not */
		if (table->gone)
			table->counted = false;
	}
	else
	{
		table->gone = table->plan->gone;
		pause_until(table, fault, sqlstate, true);
	}
	table->may_create = false;
	set_idle(table);
}

/*
 * A refusal says that the tables are not as they were: they are looked at again, with a plan that
 * knows what was delivered since the last one was read.
 */
static void
doubt_tables(ExactDeltaTable *table)
{
	forget_verification(table);
	table->stale = true;
}

/* The first refusal of that kind: exact_hub may be what is missing. */
static void
look_at_tables_again(ExactDeltaTable *table, const ExactFault *fault)
{
	exact_log(LOG, "table=%s is looked at again: %s", table->entity, fault->message);
	table->rechecked = true;
	doubt_tables(table);
	exact_fence_doubt(table->workspace);
}

/* ---- deliveries ---- */

typedef struct Reading
{
	ExactDeltaTable *table;
	int64		below;
	bool		retry;			/* rows that were put aside */
	ExactDelivery *delivery;	/* NULL: nothing is left to deliver */
} Reading;

static void
reading_unit(void *arg)
{
	Reading    *reading = arg;

	reading->delivery = NULL;
	if (reading->table->retry)
		reading->delivery = exact_delivery_read_aside(reading->table->plan,
													   reading->table->most_rows);
	reading->retry = reading->delivery != NULL;
	if (!reading->retry && reading->table->backlog.n > 0)
		reading->delivery = exact_delivery_read(reading->table->plan, &reading->table->backlog,
												reading->below, reading->table->most_rows);
}

/* What was not deleted now is deleted at the next start, or before the next delivery. */
static void
take_swept(const ExactFault *fault, void *arg)
{
	ExactDeltaTable *table = arg;

	if (fault != NULL)
		exact_log(LOG, "table=%s: the volume cannot be swept: %s", table->entity, fault->message);
	table->swept = true;
	set_idle(table);
}

typedef struct Running
{
	ExactDeltaTable *table;
	ExactDelivery *delivery;
} Running;

/*
 * A name or type of the table is not as it was; XX000 is what open source makes of an unresolved
 * column in a MERGE.
 */
static bool
is_about_schema(const char *sqlstate)
{
	if (strcmp(sqlstate, "42501") == 0)
		return false;
	return strncmp(sqlstate, "42", 2) == 0 || strcmp(sqlstate, "XX000") == 0;
}

static void
take_compared(const ExactFault *fault, const char *sqlstate, void *arg)
{
	ExactDeltaTable *table = arg;

	if (fault == NULL)
		table->compared = table->looked_beyond = true;
	else
	{
		if (is_about_schema(sqlstate))
			doubt_tables(table);
		pause_until(table, fault, sqlstate, true);
	}
	set_idle(table);
}

static void
take_counted(const ExactFault *fault, const char *sqlstate, bool lost, void *arg)
{
	ExactDeltaTable *table = arg;

	table->gone = lost;
	table->counted = fault == NULL;
	table->counted_at = GetCurrentTimestamp();
	table->deliveries = 0;
	if (fault != NULL)
	{
		if (is_about_schema(sqlstate))
			doubt_tables(table);
		pause_until(table, fault, sqlstate, true);
	}
	else if (table->backlog.n == 0)
		table->paused = false;
	set_idle(table);
}

/* What was read is good for the delivery that follows, and for no later one. */
static void
take_read(const ExactFault *fault, const char *sqlstate, void *arg)
{
	ExactDeltaTable *table = arg;

	if (fault != NULL && is_about_schema(sqlstate) && !table->rechecked)
		look_at_tables_again(table, fault);
	else if (fault != NULL)
	{
		if (is_about_schema(sqlstate))
			doubt_tables(table);
		end_reading(table, fault);
		pause_until(table, fault, sqlstate, true);
	}
	else
	{
		end_reading(table, NULL);
		table->read = table->backlog.n > 0 || table->retry;
		if (!table->read)
			table->paused = table->rechecked = false;
	}
	set_idle(table);
}

static void
settle(ExactDeltaTable *table, const ExactDelivery *delivery)
{
	exact_delivery_settle(delivery, &table->backlog);
	table->read = false;
	table->paused = false;
	forget_pause(table);
	table->rechecked = table->fenced = false;
	table->attempts = 0;
	table->last_delivered = GetCurrentTimestamp();
	table->deliveries++;
	/* what follows may be smaller again */
	if (table->most_rows > 0)
		table->most_rows = table->most_rows < exact_merge_rows / 2 ? table->most_rows * 2 : 0;
	if (table->counted_at == 0)
		table->counted_at = table->last_delivered;
}

static bool
record_again(ExactDeltaTable *table)
{
	if (!exact_delivery_record(table->unrecorded))
		return false;
	settle(table, table->unrecorded);
	exact_delivery_free(table->unrecorded);
	table->unrecorded = NULL;
	set_idle(table);
	return true;
}

/*
 * The end of a delivery. A refusal as fenced, and one about names or types, is answered once by
 * looking again at what the hub believes; the next one pauses the table.
 */
static void
take_delivered(const ExactDeliveryEnd *end, void *arg)
{
	Running    *running = arg;
	ExactDeltaTable *table = running->table;

	if (end->unrecorded)
	{
		table->unrecorded = running->delivery;
		pfree(running);
		return;					/* still busy */
	}
	if (end->put_aside)
		table->last_delivered = 0;	/* the others go now */
	else if (end->most_rows > 0)
	{
		exact_log(LOG, "table=%s: a delivery was too large, the next one has at most %d rows",
				  table->entity, end->most_rows);
		table->most_rows = end->most_rows;
		table->last_delivered = 0;
	}
	else if (end->fault == NULL)
	{
		if (end->files_left)
			exact_log(LOG, "table=%s: files stay in the volume until the next delivery begins",
					  table->entity);
		table->swept &= !end->files_left;
		settle(table, running->delivery);
		table->read_wanted |= end->held;
	}
	else if (end->fenced && !table->fenced)
	{
		exact_log(LOG, "table=%s is fenced, the claim is looked at again", table->entity);
		table->fenced = true;
		exact_fence_doubt(table->workspace);
	}
	else if (is_about_schema(end->sqlstate) && !table->rechecked)
		look_at_tables_again(table, end->fault);
	else
	{
		if (is_about_schema(end->sqlstate))
			doubt_tables(table);
		if (strstr(end->fault->message, EXACT_DELTA_SQL_ANSI_OFF) != NULL)
			exact_casts_doubt(table->workspace);
		pause_until(table, end->fault, end->sqlstate, !end->gap);
	}
	pfree(running);
	set_idle(table);
}

static void
show_delivery_trouble(const ExactFault *fault, int attempts, TimestampTz at, void *arg)
{
	show_trouble(fault, attempts, at, ((Running *) arg)->table);
}

/*
 * A delivery may have left batches behind that waited already, because older ones of a lower rank
 * had to go first: they do not wait for another interval.
 */
static bool
is_rest(const ExactDeltaTable *table)
{
	return table->backlog.n > 0 && table->backlog.batches[0].staged_at <= table->window_at &&
		!exact_clock_is_future(table->window_at);
}

static void
start_delivery(ExactDeltaTable *table, int64 below)
{
	Reading		reading = {table, below, false, NULL};
	ExactFault *fault = NULL;
	Running    *running;

	if (!exact_unit_run("read stage", reading_unit, &reading, &fault))
	{
		pause_until(table, fault, NULL, true);
		return;
	}
	table->retry = reading.retry;
	if (reading.delivery == NULL)
		return;
	table->rest_since = 0;
	if (!is_rest(table))
		table->window_at = GetCurrentTimestamp();
	running = MemoryContextAlloc(TopMemoryContext, sizeof(Running));
	running->table = table;
	running->delivery = reading.delivery;
	table->busy = true;
	/* two statements for each table that is under way are as many as the warehouse is to have */
	exact_delivery_start(reading.delivery,
						 2 * exact_delta_tables_busy(table->workspace) <= exact_merge_tables,
						 show_delivery_trouble, take_delivered, running);
}

/* ms until the next delivery may go by exact_databricks.merge_interval; 0: now */
static long
interval_left(const ExactDeltaTable *table, int64 below)
{
	int64		own = table->plan->merge_interval_ms;
	int64		interval = own >= 0 ? own : exact_merge_interval_ms;
	int64		rows,
				bytes;

	if (table->last_delivered == 0 || table->most_rows > 0 || table->read_wanted ||
		table->last_delivered < table->woken_at)
		return 0;
	exact_backlog_measure(&table->backlog, below, exact_merge_bytes, &rows, &bytes);
	if (rows >= exact_merge_rows || bytes >= exact_merge_bytes)
		return 0;
	if (is_rest(table))
		interval = Min(interval, REST_MS);
	return exact_clock_wait_ms(TimestampTzPlusMilliseconds(table->last_delivered, interval));
}

/*
 * What was delivered is counted once a day and after many deliveries; a clock that was set back
 * makes it due.
 */
static bool
is_count_due(const ExactDeltaTable *table)
{
	TimestampTz now = GetCurrentTimestamp();

	return table->counted_at != 0 &&
		(table->counted_at > now || table->deliveries >= COUNT_AGAIN_DELIVERIES ||
		 TimestampDifferenceExceeds(table->counted_at, now, COUNT_AGAIN_MS));
}

bool
exact_delta_table_due(const ExactDeltaTable *table)
{
	return table->backlog.n > 0 || table->retry || table->read_wanted || is_count_due(table) ||
		(table->verified_once && !table->compared) || (table->paused && table->gone);
}

/* Is it a dimension that may have edits, and are they to be read before anything else is done? */
static bool
is_read_due(const ExactDeltaTable *table)
{
	return table->plan->sql.stamp != NULL && read_edits != NULL &&
		!table->plan->fresh[EXACT_TABLE_CURRENT] &&
		(table->read_wanted || (!table->read && (table->backlog.n > 0 || table->retry)));
}

long
exact_delta_table_wait(ExactDeltaTable *table, const ExactWorkspace *workspace,
					   const ExactHub *hub, int64 below)
{
	long		wait;

	if (table->busy || !exact_delta_table_due(table) ||
		(table->compared && table->backlog.n > 0 &&
		 table->backlog.batches[0].id >= below && !table->read_wanted) ||
		(table->paused && table->next_attempt == 0))
		return -1;
	if (table->paused)
	{
		wait = exact_clock_wait_ms(table->next_attempt);
		if (wait > 0)
			return wait;
	}
	if (table->plan == NULL && !read_plan(table, workspace, hub))
		return PAUSE_FIRST_MS;
	if (is_count_due(table))
		table->counted = false;
	wait = table->compared && table->counted ? interval_left(table, below) : 0;
	return table->paused ? 0 : wait;
}

/*
 * In this order: the plan, what an earlier process left, the tables, other copies, a count, files
 * that an earlier process left, edits of users, deliveries.
 */
long
exact_delta_table_advance(ExactDeltaTable *table, const ExactWorkspace *workspace,
						  const ExactHub *hub, int64 below)
{
	long		wait;

	if (table->unrecorded != NULL && !record_again(table))
		return RECORD_AGAIN_MS;
	wait = exact_delta_table_wait(table, workspace, hub, below);
	if (wait != 0)
		return wait;
	if (!table->recovered && !start_recovery(table))
		return RECORD_AGAIN_MS;
	if (table->busy)
		return 0;
	if (table->verified && table->compared && table->looked_beyond && table->counted &&
		!table->swept && exact_volume_usable(table->plan->workspace))
	{
		table->busy = true;
		exact_volume_sweep(table->plan, take_swept, table);
	}
	else if (table->verified && table->compared && table->looked_beyond && table->counted)
	{
		table->busy = is_read_due(table);
		if (table->read_wanted && !table->busy)
			end_reading(table, NULL);	/* nothing of it can be edited */
		if (table->busy)
			read_edits(table->plan, show_trouble, take_read, table);
		else
			start_delivery(table, below);
	}
	else if (table->verified && table->compared && table->looked_beyond)
	{
		table->busy = true;
		exact_presence_start(table->plan, show_trouble, take_counted, table);
	}
	else if (table->verified)
	{
		table->busy = true;
		exact_other_copy_start(table->plan, show_trouble, take_compared, table);
	}
	else
	{
		table->busy = true;
		table->plan->may_create = table->may_create;
		table->plan->may_comment = !table->commented;
		exact_target_prepare(table->plan, show_trouble, take_prepared, table);
	}
	return table->busy ? 0 : RECORD_AGAIN_MS;
}
