/*
 * erasure.c - requests of exact.erase(): a record is removed from the hub, then from the Delta
 * tables of each workspace that may hold it.
 *
 * The hub comes first, while nothing of the entity's tables is under way: what is read of the stage
 * from then on does not have the record any more. A workspace comes when its fence is held, so that
 * nothing of an earlier process can still arrive, and its table is kept busy meanwhile, so that
 * nothing of this one does. How far it is stands in exact.erasure_place; what a crash interrupts is
 * begun again, and each statement may be repeated. One workspace at a time. Called by loader.c.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/sql.h"
#include "databricks/databricks.h"
#include "databricks/statement.h"
#include "deliver/delta_table.h"
#include "deliver/fence.h"
#include "deliver/volume.h"
#include "deliver/workspace.h"
#include "delta/erase_sql.h"
#include "delta/merge_sql.h"
#include "delta/target.h"
#include "erasure/erasure.h"
#include "state/request.h"
#include "worker/self.h"
#include "worker/unit.h"

#define OPEN_MS 1000			/* from one look at what is open to the next */
#define RETENTION "delta.deletedFileRetentionDuration"

typedef enum Step
{
	/* whose statements take the record as :batch */
	STEP_DELETE_HISTORY,
	STEP_DELETE_CURRENT,
	STEP_LEFT_HISTORY,
	STEP_LEFT_CURRENT,
	/* that do not */
	STEP_PROPERTIES_HISTORY,
	STEP_PROPERTIES_CURRENT,
	STEP_PURGE_HISTORY,
	STEP_PURGE_CURRENT,
	STEP_SWEEP,					/* files that deliveries left in the volume */
	STEP_GONE,
	STEP_VACUUM_HISTORY,
	STEP_VACUUM_CURRENT,
	STEP_VACUUMED
} Step;

/* What is to be done next of an erasure */
typedef struct Job
{
	char	   *what;			/* hub, delta, vacuum or cancel */
	int64		id;
	int			division;
	char	   *entity;
	char	   *workspace;		/* NULL: the hub */
	char	   *parameter;		/* :batch of the statements */
} Job;

/* One workspace, under way */
typedef struct Work
{
	MemoryContext context;
	Job			job;
	ExactDeltaTable *table;
	ExactTargetPlan *plan;
	const ExactWorkspace *workspace;	/* while the plan is read */
	Step		step;
	int64		rows[2];		/* deleted, by ExactTable; -1: not known */
	char	   *retention[2];	/* as the table has it; NULL: it has none of its own */
	const char *reason;			/* what it waits for */
	const char *next_step;
} Work;

typedef struct Jobs
{
	MemoryContext context;
	Job		   *jobs;
	int			n;
	bool		open;
} Jobs;

static bool is_open = true;		/* there may be one */
static Work *current;

static void take_step(Work *w);

/* ---- what is recorded ---- */

static void
waits_unit(void *arg)
{
	static const char sql[] = "SELECT exact._erase_waits($1, $2, $3, $4)";
	const Work *w = arg;
	ExactArg	args[4];

	args[0] = exact_arg_int8(w->job.id);
	args[1] = exact_arg_text(w->job.workspace);
	args[2] = exact_arg_text(w->reason);
	args[3] = exact_arg_text(w->next_step);
	exact_sql(sql, 4, args);
}

static void
end_work(Work *w)
{
	if (w->table != NULL)
		exact_delta_table_idle(w->table);
	if (w->plan != NULL)
		MemoryContextDelete(w->plan->context);
	if (current == w)
		current = NULL;
	MemoryContextDelete(w->context);
}

/* It cannot be done now: tried again later, and told meanwhile. */
static void
end_waiting(Work *w, const char *reason, const char *next_step)
{
	w->reason = reason;
	w->next_step = next_step;
	exact_log(LOG, "erasure=" INT64_FORMAT " workspace=%s waits: %s", w->job.id, w->job.workspace,
			  reason);
	(void) exact_unit_run("record erasure", waits_unit, w, NULL);
	end_work(w);
}

/* In a unit: a service is away. */
static void
show_trouble(const ExactFault *fault, int attempts, TimestampTz at, void *arg)
{
	static const char sql[] = "SELECT exact._erase_delayed($1, $2, $3, $4)";
	const Work *w = arg;
	ExactArg	args[4];

	(void) attempts;
	(void) at;
	args[0] = exact_arg_int8(w->job.id);
	args[1] = exact_arg_text(w->job.workspace);
	args[2] = exact_arg_text(fault->message);
	args[3] = exact_arg_text(fault->hint);
	exact_sql(sql, 4, args);
}

/* The request ends when no workspace of it is left. */
static void
finish(int64 id)
{
	static const char sql[] = "SELECT exact._erase_result($1)";
	ExactArg	arg = exact_arg_int8(id);
	char	   *result;

	exact_sql(sql, 1, &arg);
	result = exact_cell_text(0, 1);
	if (result != NULL)
		exact_request_finish(id, "done", result, true);
}

static void
gone_unit(void *arg)
{
	static const char sql[] = "SELECT exact._erase_gone($1, $2, $3, $4, $5, $6, $7)";
	const Work *w = arg;
	ExactArg	args[7];

	args[0] = exact_arg_int8(w->job.id);
	args[1] = exact_arg_text(w->job.workspace);
	args[2] = exact_arg_text(w->plan->current_name);
	args[3] = exact_arg_text(w->plan->history_name);
	args[4] = exact_arg_int8(w->rows[EXACT_TABLE_CURRENT]);
	args[5] = exact_arg_int8(w->rows[EXACT_TABLE_HISTORY]);
	args[6] = exact_arg_text_array((const char *const *) w->retention, NULL, 2);
	exact_sql(sql, 7, args);
	finish(w->job.id);
}

static void
vacuumed_unit(void *arg)
{
	static const char sql[] = "SELECT exact._erase_vacuumed($1, $2)";
	const Work *w = arg;
	ExactArg	args[2];

	args[0] = exact_arg_int8(w->job.id);
	args[1] = exact_arg_text(w->job.workspace);
	exact_sql(sql, 2, args);
}

/* What could not be recorded is done once more. */
static void
end_done(Work *w)
{
	bool		gone = w->step == STEP_GONE;

	if (exact_unit_run("record erasure", gone ? gone_unit : vacuumed_unit, w, NULL))
		exact_log(LOG, "erasure=" INT64_FORMAT " workspace=%s table=%s: %s", w->job.id,
				  w->job.workspace, w->job.entity, gone ? "gone" : "old files removed");
	end_work(w);
}

/* ---- statements ---- */

static ExactTable
table_of(Step step)
{
	switch (step)
	{
		case STEP_DELETE_HISTORY:
		case STEP_LEFT_HISTORY:
		case STEP_PROPERTIES_HISTORY:
		case STEP_PURGE_HISTORY:
		case STEP_VACUUM_HISTORY:
			return EXACT_TABLE_HISTORY;
		default:
			return EXACT_TABLE_CURRENT;
	}
}

static const char *
table_name(const Work *w)
{
	return table_of(w->step) == EXACT_TABLE_HISTORY ? w->plan->history_name :
		w->plan->current_name;
}

/* SHOW TBLPROPERTIES: how long the table keeps its old files */
static void
take_retention(Work *w, const ExactStatementResult *result)
{
	char	  **retention = &w->retention[table_of(w->step)];

	*retention = NULL;
	for (int i = 0; result->ncolumns == 2 && i < result->nrows; i++)
	{
		const char *name = result->cells[2 * i];
		const char *value = result->cells[2 * i + 1];

		if (name != NULL && value != NULL && strcmp(name, RETENTION) == 0)
			*retention = MemoryContextStrdup(w->context, value);
	}
}

/* Absence is no proof: a table may be hidden, renamed, or come back. */
static void
end_refused(Work *w, const ExactStatementResult *result)
{
	const char *name = exact_delta_sql_for_people(table_name(w));

	if (result->fenced)
		exact_fence_doubt(w->job.workspace);
	if (exact_statement_absent(result->sqlstate))
		end_waiting(w, psprintf("table %s is not found, so it may still hold the record",
								table_name(w)),
					psprintf("UNDROP TABLE %s, or give the hub its right to it back; if it is gone"
							 " for good, SELECT exact.cancel(" INT64_FORMAT ") leaves it out", name,
							 w->job.id));
	else
		end_waiting(w, result->fault->message, result->fault->hint);
}

static void
end_left(Work *w, int64 rows)
{
	end_waiting(w, psprintf("table %s still has " INT64_FORMAT " rows of the record",
							table_name(w), rows),
				psprintf("Look who else writes it: DESCRIBE HISTORY %s; the hub tries again by"
						 " itself", exact_delta_sql_for_people(table_name(w))));
}

static void
take_result(const ExactStatementResult *result, void *arg)
{
	Work	   *w = arg;
	int64		left;

	if (result->verdict != EXACT_VERDICT_SUCCEEDED)
	{
		end_refused(w, result);
		return;
	}
	switch (w->step)
	{
		case STEP_DELETE_HISTORY:
		case STEP_DELETE_CURRENT:
			w->rows[table_of(w->step)] = result->first_attempt ? result->affected : -1;
			break;
		case STEP_LEFT_HISTORY:
		case STEP_LEFT_CURRENT:
			left = result->nrows == 1 && result->ncolumns == 1 && result->cells[0] != NULL ?
				strtoll(result->cells[0], NULL, 10) : -1;
			if (left != 0)
			{
				end_left(w, left);
				return;
			}
			break;
		case STEP_PROPERTIES_HISTORY:
		case STEP_PROPERTIES_CURRENT:
			take_retention(w, result);
			break;
		default:
			break;
	}
	w->step++;
	take_step(w);
}

static void
run_step(Work *w, const char *verb, const char *sql)
{
	exact_statement_start(&(ExactStatementRequest) {
		.workspace = w->plan->workspace,
		.hub = w->plan->sql.hub,
		.entity = w->job.entity,
		.table = table_name(w),
		.kind = "erase",
		.scope = psprintf(INT64_FORMAT ".%d", w->job.id, w->step),
		.verb = verb,
		.sql = sql,
		.parameter = w->step <= STEP_LEFT_CURRENT ? w->job.parameter : NULL,
		.trouble = show_trouble,
		.trouble_arg = w,
		.done = take_result,
		.arg = w
	});
}

static void
take_swept(const ExactFault *fault, void *arg)
{
	Work	   *w = arg;

	if (fault != NULL)
	{
		end_waiting(w, fault->message, fault->hint);
		return;
	}
	w->step++;
	take_step(w);
}

/* What is sent may have ended when it returns, and the work with it. */
static void
take_step(Work *w)
{
	const ExactTarget *target = &w->plan->sql;
	ExactTable	table = table_of(w->step);
	StringInfoData sql;

	initStringInfo(&sql);
	switch (w->step)
	{
		case STEP_DELETE_HISTORY:
		case STEP_DELETE_CURRENT:
			exact_erase_sql_delete(&sql, target, table, w->job.division);
			run_step(w, "MERGE into", sql.data);
			break;
		case STEP_LEFT_HISTORY:
		case STEP_LEFT_CURRENT:
			exact_erase_sql_left(&sql, target, table, w->job.division);
			run_step(w, "count of", sql.data);
			break;
		case STEP_PROPERTIES_HISTORY:
		case STEP_PROPERTIES_CURRENT:
			exact_merge_sql_properties(&sql, target, table);
			run_step(w, "reading of", sql.data);
			break;
		case STEP_PURGE_HISTORY:
		case STEP_PURGE_CURRENT:
			exact_erase_sql_purge(&sql, target, table);
			run_step(w, "REORG of", sql.data);
			break;
		case STEP_VACUUM_HISTORY:
		case STEP_VACUUM_CURRENT:
			exact_erase_sql_vacuum(&sql, target, table);
			run_step(w, "VACUUM of", sql.data);
			break;
		case STEP_SWEEP:
			if (w->plan->workspace->volume != NULL)
				exact_volume_sweep(w->plan, take_swept, w);
			else
			{
				w->step++;
				end_done(w);
			}
			break;
		case STEP_GONE:
		case STEP_VACUUMED:
			end_done(w);
	}
}

/* ---- the beginning of a step ---- */

static bool
is_busy(const char *entity, const char *workspace)
{
	dlist_iter	iter;

	dlist_foreach(iter, &exact_delta_tables)
	{
		const ExactDeltaTable *table = dlist_container(ExactDeltaTable, node, iter.cur);

		if (strcmp(table->entity, entity) == 0 && (table->busy || table->unrecorded != NULL) &&
			(workspace == NULL || strcmp(table->workspace, workspace) == 0))
			return true;
	}
	return false;
}

static void
hub_unit(void *arg)
{
	static const char sql[] = "SELECT exact._erase_hub($1)";
	const Job  *job = arg;
	ExactArg	id = exact_arg_int8(job->id);

	exact_sql(sql, 1, &id);
	finish(job->id);
}

static void
cancel_unit(void *arg)
{
	const Job  *job = arg;

	exact_request_finish(job->id, "cancelled", "cancelled while running: what was removed stays"
						 " removed; exact.erasures says what was not removed", true);
}

/* The plan, and that it is begun: whoever begins again may find nothing to delete. */
static void
begin_unit(void *arg)
{
	static const char sql[] = "SELECT exact._erase_begin($1, $2)";
	Work	   *w = arg;
	ExactArg	args[2];

	args[0] = exact_arg_int8(w->job.id);
	args[1] = exact_arg_text(w->job.workspace);
	exact_sql(sql, 2, args);
	w->plan = exact_target_load(TopMemoryContext, w->workspace, w->job.entity, exact_fence_hub());
}

static Work *
make_work(const Job *job)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "exact erasure",
												  ALLOCSET_SMALL_SIZES);
	Work	   *w = MemoryContextAllocZero(context, sizeof(Work));
	bool		vacuum = strcmp(job->what, "vacuum") == 0;

	w->context = context;
	w->job = *job;
	w->job.what = MemoryContextStrdup(context, job->what);
	w->job.entity = MemoryContextStrdup(context, job->entity);
	w->job.workspace = MemoryContextStrdup(context, job->workspace);
	w->job.parameter = MemoryContextStrdup(context, job->parameter);
	w->step = vacuum ? STEP_VACUUM_HISTORY : STEP_DELETE_HISTORY;
	w->rows[0] = w->rows[1] = -1;
	return w;
}

static void
wait_for_workspace(const Job *job, const char *reason, const char *next_step)
{
	end_waiting(make_work(job), reason, next_step);
}

/* One workspace; false when it cannot begin now */
static bool
start_work(const Job *job, long *wait)
{
	const char *why;
	const ExactWorkspace *workspace = exact_workspace_usable(job->workspace, &why);
	const ExactFault *fault;
	ExactFault *plan_fault = NULL;
	ExactFenceState state;
	long		ms = -1;
	Work	   *w;

	if (workspace == NULL)
	{
		wait_for_workspace(job, psprintf("workspace %s %s", job->workspace, why),
						   psprintf("Let the hub use it again (exact.workspace); if it is gone for"
									" good, SELECT exact.cancel(" INT64_FORMAT ") leaves it out",
									job->id));
		return false;
	}
	if (is_busy(job->entity, job->workspace))
		return false;
	exact_fence_want(job->workspace, job->division);
	state = exact_fence_advance(workspace, &fault, &ms);
	if (state == EXACT_FENCE_FAULT && fault != NULL)
		wait_for_workspace(job, fault->message, fault->hint);
	if (state != EXACT_FENCE_HELD)
	{
		*wait = exact_clock_sooner(*wait, ms);
		return false;
	}
	w = make_work(job);
	w->workspace = workspace;
	if (!exact_unit_run("begin erasure", begin_unit, w, &plan_fault))
	{
		end_waiting(w, plan_fault->message, plan_fault->hint);
		return false;
	}
	current = w;
	w->table = exact_delta_table_get(w->job.workspace, w->job.entity);
	w->table->busy = true;
	take_step(w);
	return true;
}

/* What is due: a request that was cancelled or is new, a workspace. */
static void
jobs_unit(void *arg)
{
	static const char sql[] =
	"SELECT what, id, division, entity, workspace, parameter FROM exact._erase_due()";
	static const char open_sql[] = "SELECT exact._erase_open()";
	Jobs	   *jobs = arg;
	MemoryContext old;

	exact_sql(open_sql, 0, NULL);
	jobs->open = exact_cell_bool(0, 1, false);
	jobs->n = (int) exact_sql(sql, 0, NULL);
	old = MemoryContextSwitchTo(jobs->context);
	jobs->jobs = palloc0(sizeof(Job) * Max(jobs->n, 1));
	for (int i = 0; i < jobs->n; i++)
		jobs->jobs[i] = (Job) {
			.what = exact_cell_text(i, 1),
			.id = exact_cell_int8(i, 2, 0),
			.division = (int) exact_cell_int8(i, 3, 0),
			.entity = exact_cell_text(i, 4),
			.workspace = exact_cell_text(i, 5),
			.parameter = exact_cell_text(i, 6)
		};
	MemoryContextSwitchTo(old);
}

static void
do_jobs(const Jobs *jobs, long *wait)
{
	for (int i = 0; i < jobs->n && current == NULL; i++)
	{
		Job		   *job = &jobs->jobs[i];

		if (strcmp(job->what, "cancel") == 0)
			(void) exact_unit_run("end of a request", cancel_unit, job, NULL);
		else if (strcmp(job->what, "hub") != 0)
			(void) start_work(job, wait);
		else if (!is_busy(job->entity, NULL))
		{
			if (exact_unit_run("erase", hub_unit, job, NULL))
				exact_log(LOG, "erasure=" INT64_FORMAT " table=%s: removed from the hub", job->id,
						  job->entity);
			*wait = 0;
		}
	}
}

long
exact_erasure_turn(bool looked)
{
	Jobs		jobs = {0};
	long		wait = OPEN_MS;

	if (current != NULL || (!is_open && !looked))
		return -1;
	jobs.context = AllocSetContextCreate(CurrentMemoryContext, "exact erasures",
										 ALLOCSET_SMALL_SIZES);
	if (exact_unit_run("read erasures", jobs_unit, &jobs, NULL))
	{
		is_open = jobs.open;
		do_jobs(&jobs, &wait);
	}
	MemoryContextDelete(jobs.context);
	return is_open ? wait : -1;
}
