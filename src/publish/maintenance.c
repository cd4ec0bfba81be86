/*
 * maintenance.c - OPTIMIZE and VACUUM of the Delta tables of a workspace, where Databricks does not
 * do it.
 *
 * Each MERGE leaves files that are small, and files that are only read by time travel. Predictive
 * optimization, a service of Databricks that is on by default, tends the managed tables of a
 * schema; where it is off the hub does, a table after the other, once a week, and only right
 * behind a delivery, while the warehouse runs anyway. VACUUM goes by the retention of the table. A
 * delivery that meets an OPTIMIZE may fail of a conflict, and is sent again. Called by loader.c.
 */
#include "postgres.h"

#include "lib/ilist.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/fault.h"
#include "base/sql.h"
#include "databricks/delta_sql.h"
#include "databricks/statement.h"
#include "databricks/statement_log.h"
#include "deliver/delta_table.h"
#include "publish/maintenance.h"
#include "state/target_state.h"
#include "worker/self.h"
#include "worker/unit.h"

#define LOOK_MS 60000
#define BEHIND_MS 60000			/* a delivery: the warehouse still runs then */
#define DAY_MS (24 * 3600 * 1000)

/*
 * The item and the beginning of its value in DESCRIBE SCHEMA EXTENDED (docs.databricks.com,
 * Predictive optimization): "DISABLE (inherited from METASTORE ...)"
 */
#define PREDICTIVE "Predictive Optimization"
#define PREDICTIVE_OFF "DISABLE"

typedef enum Step
{
	STEP_ASK,					/* does Databricks tend the tables? */
	STEP_OPTIMIZE,
	STEP_OPTIMIZE_HISTORY,
	STEP_VACUUM,
	STEP_VACUUM_HISTORY,
	STEP_DONE
} Step;

typedef struct Maintenance
{
	dlist_node	node;
	char	   *workspace;
	TimestampTz looked_at;
	TimestampTz asked_at;		/* whether it is done by Databricks; 0: not yet */
	bool		theirs;			/* the answer; without one as well */
	bool		always;			/* whatever the answer is */
	char	   *entity;			/* of the table whose turn it is, NULL: none */
	char	   *names[2];		/* current and history, NULL: it has none; below the schema */
	/* of what is under way */
	MemoryContext context;		/* NULL: nothing is */
	ExactWorkspace *info;
	const ExactHub *hub;
	Step		step;
	bool		failed;
} Maintenance;

static dlist_head all_maintenance = DLIST_STATIC_INIT(all_maintenance);

static void take_step(Maintenance *m);

static Maintenance *
get_maintenance(const char *workspace)
{
	dlist_iter	iter;
	Maintenance *m;

	dlist_foreach(iter, &all_maintenance)
	{
		m = dlist_container(Maintenance, node, iter.cur);
		if (strcmp(m->workspace, workspace) == 0)
			return m;
	}
	m = MemoryContextAllocZero(TopMemoryContext, sizeof(Maintenance));
	m->workspace = MemoryContextStrdup(TopMemoryContext, workspace);
	dlist_push_tail(&all_maintenance, &m->node);
	return m;
}

static bool
is_within(TimestampTz at, int64 ms)
{
	TimestampTz now = GetCurrentTimestamp();

	return at != 0 && at <= now && !TimestampDifferenceExceeds(at, now, (int) ms);
}

static void
forget_table(Maintenance *m)
{
	if (m->entity != NULL)
		pfree(m->entity);
	m->entity = NULL;
	for (int i = 0; i < 2; i++)
	{
		if (m->names[i] != NULL)
			pfree(m->names[i]);
		m->names[i] = NULL;
	}
}

/*
 * The table that has waited longest, of those with a delivery since the last time. One of another
 * schema than today's is nobody's; one that is paused has to be mended first.
 */
static void
due_unit(void *arg)
{
	static const char sql[] =
	"SELECT w.maintenance = 'on', t.entity,"
	" substr(t.table_name, length(x.place) + 1),"
	" CASE WHEN starts_with(t.history_name, x.place)"
	"  THEN substr(t.history_name, length(x.place) + 1) END"
	" FROM exact.workspace w"
	" JOIN exact.target_state t ON t.workspace = w.name"
	" CROSS JOIN LATERAL (SELECT format('%s.%s.', w.catalog, w.schema) AS place) x"
	" WHERE w.name = $1"
	" AND w.maintenance <> 'off'"
	" AND starts_with(t.table_name, x.place)"
	" AND t.paused_since IS NULL"
	" AND t.delivered_at > coalesce(t.maintained_at, '-infinity')"
	" AND coalesce(t.maintain_at, t.created_at + interval '7 days',"
	"  (SELECT min(made_at) + interval '7 days' FROM exact.installation))"
	/* later than ever planned: the clock was set back since */
	"  NOT BETWEEN clock_timestamp() AND clock_timestamp() + interval '7 days'"
	" ORDER BY coalesce(t.maintain_at, t.created_at) NULLS FIRST"
	" LIMIT 1";
	Maintenance *m = arg;
	ExactArg	workspace = exact_arg_text(m->workspace);
	uint64		n = exact_sql(sql, 1, &workspace);
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	forget_table(m);
	if (n > 0)
	{
		m->always = exact_cell_bool(0, 1, false);
		m->entity = exact_cell_text(0, 2);
		m->names[0] = exact_cell_text(0, 3);
		m->names[1] = exact_cell_text(0, 4);
	}
	MemoryContextSwitchTo(old);
}

static bool
has_delivered(const char *workspace)
{
	dlist_iter	iter;

	dlist_foreach(iter, &exact_delta_tables)
	{
		const ExactDeltaTable *table = dlist_container(ExactDeltaTable, node, iter.cur);

		if (strcmp(table->workspace, workspace) == 0 &&
			is_within(table->last_delivered, BEHIND_MS))
			return true;
	}
	return false;
}

static void
close_unit(void *arg)
{
	const Maintenance *m = arg;

	exact_statement_log_close_kind(m->workspace, EXACT_DELTA_SQL_MAINTENANCE);
}

bool
exact_maintenance_due(const ExactWorkspace *workspace)
{
	Maintenance *m = get_maintenance(workspace->name);

	if (m->context != NULL)
		return false;
	if (!is_within(m->looked_at, LOOK_MS))
	{
		/* what an earlier process left */
		if (m->looked_at == 0 && !exact_unit_run("close maintenance", close_unit, m, NULL))
			return false;
		m->looked_at = GetCurrentTimestamp();
		(void) exact_unit_run("look for maintenance", due_unit, m, NULL);
	}
	return m->entity != NULL &&
		(m->always || !m->theirs || !is_within(m->asked_at, DAY_MS)) &&
		has_delivered(m->workspace);
}

/* Is the statement of this step about the history? */
static bool
is_history(Step step)
{
	return step == STEP_OPTIMIZE_HISTORY || step == STEP_VACUUM_HISTORY;
}

static const char *
table_of(const Maintenance *m)
{
	return m->names[is_history(m->step)];
}

static void
end_maintenance(Maintenance *m)
{
	MemoryContextDelete(m->context);
	m->context = NULL;
}

static void
maintained_unit(void *arg)
{
	const Maintenance *m = arg;

	exact_target_state_maintained(m->workspace, m->entity, !m->failed);
}

/* One that failed is tried again the next day: the others come before it. */
static void
end_table(Maintenance *m)
{
	if (!m->failed)
		exact_log(LOG, "optimized and vacuumed workspace=%s table=%s", m->workspace, m->entity);
	if (!exact_unit_run("record maintenance", maintained_unit, m, NULL) ||
		!exact_unit_run("look for maintenance", due_unit, m, NULL))	/* the next one */
		forget_table(m);
	end_maintenance(m);
}

/* Of a service without that word nothing is known, and it is left alone. */
static bool
is_ours(const ExactStatementResult *result)
{
	for (int i = 0; result->ncolumns >= 2 && i < result->nrows; i++)
	{
		const char *item = result->cells[result->ncolumns * i];
		const char *value = result->cells[result->ncolumns * i + 1];

		if (item != NULL && value != NULL && pg_strcasecmp(item, PREDICTIVE) == 0)
			return pg_strncasecmp(value, PREDICTIVE_OFF, strlen(PREDICTIVE_OFF)) == 0;
	}
	return false;
}

static void
take_result(const ExactStatementResult *result, void *arg)
{
	Maintenance *m = arg;
	bool		good = result->verdict == EXACT_VERDICT_SUCCEEDED;

	if (m->step == STEP_ASK)
	{
		m->asked_at = GetCurrentTimestamp();
		m->theirs = !good || !is_ours(result);
		if (m->theirs)
		{
			end_maintenance(m);
			return;
		}
	}
	else if (!good)
	{
		exact_log(WARNING, "cannot %s workspace=%s table=%s: %s.%s%s",
				  m->step < STEP_VACUUM ? "optimize" : "vacuum", m->workspace, table_of(m),
				  result->fault->message, result->fault->hint ? " Next step: " : "",
				  result->fault->hint ? result->fault->hint : "");
		m->failed = true;
	}
	m->step++;
	take_step(m);
}

static void
run_statement(Maintenance *m, const char *verb, const char *sql)
{
	exact_statement_start(&(ExactStatementRequest) {
		.workspace = m->info,
		.hub = m->hub,
		.entity = m->entity,
		.table = m->step == STEP_ASK ? psprintf("%s.%s", m->info->catalog, m->info->schema) :
			psprintf("%s.%s.%s", m->info->catalog, m->info->schema, table_of(m)),
		.kind = EXACT_DELTA_SQL_MAINTENANCE,
		.verb = verb,
		.sql = sql,
		.done = take_result,
		.arg = m
	});
}

/* What is sent may have ended when it returns, and the work with it. */
static void
take_step(Maintenance *m)
{
	StringInfoData sql;

	initStringInfo(&sql);
	if (is_history(m->step) && m->names[1] == NULL)
		m->step++;
	switch (m->step)
	{
		case STEP_ASK:
			appendStringInfoString(&sql, "DESCRIBE SCHEMA EXTENDED ");
			exact_delta_sql_identifier(&sql, m->info->catalog);
			appendStringInfoChar(&sql, '.');
			exact_delta_sql_identifier(&sql, m->info->schema);
			run_statement(m, "DESCRIBE SCHEMA of", sql.data);
			break;
		case STEP_OPTIMIZE:
		case STEP_OPTIMIZE_HISTORY:
		case STEP_VACUUM:
		case STEP_VACUUM_HISTORY:
			appendStringInfoString(&sql, m->step < STEP_VACUUM ? "OPTIMIZE " : "VACUUM ");
			exact_delta_sql_table(&sql, m->info->catalog, m->info->schema, table_of(m));
			run_statement(m, m->step < STEP_VACUUM ? "OPTIMIZE of" : "VACUUM of", sql.data);
			break;
		case STEP_DONE:
			end_table(m);
	}
}

void
exact_maintenance_begin(const ExactWorkspace *workspace, const ExactHub *hub)
{
	Maintenance *m = get_maintenance(workspace->name);
	MemoryContext old;

	m->context = AllocSetContextCreate(TopMemoryContext, "exact maintenance", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(m->context);
	m->info = exact_databricks_copy(workspace);
	MemoryContextSwitchTo(old);
	m->hub = hub;
	m->failed = false;
	m->step = m->always || (!m->theirs && is_within(m->asked_at, DAY_MS)) ? STEP_OPTIMIZE :
		STEP_ASK;
	take_step(m);
}
