/*
 * presence.c - are the rows that were delivered still in the Delta tables of an entity?
 *
 * Called by delta_table.c, before the first delivery of a process and then once a day.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "base/errors.h"
#include "base/fault.h"
#include "base/sql.h"
#include "databricks/delta_sql.h"
#include "databricks/statement.h"
#include "delta/merge_sql.h"
#include "delta/presence.h"
#include "delta/target.h"
#include "worker/unit.h"

typedef struct Presence
{
	MemoryContext context;
	ExactTargetPlan *plan;
	ExactTable	table;			/* that is counted */
	int64		records;		/* at least so many rows of the current table */
	int64		versions;		/* at least so many rows of the history */
	int64		newest;			/* at least the highest _seq of both */
	ExactStatementTrouble trouble;
	ExactPresenceDone done;
	void	   *arg;
} Presence;

static void count_table(Presence *p, ExactTable table);

static void
end_presence(Presence *p, const ExactFault *fault, const char *sqlstate, bool lost)
{
	p->done(fault, sqlstate, lost, p->arg);
	MemoryContextDelete(p->context);
}

/*
 * What is recorded as delivered, without what was put aside: the tables may hold more, never less.
 */
static void
expect_unit(void *arg)
{
	static const char versions_sql[] =
	"SELECT coalesce(sum(b.delivered_rows - coalesce(l.rows, 0)), 0)::bigint,"
	" coalesce(max(b.seq_max) FILTER (WHERE b.delivered_rows = b.rows AND l.rows IS NULL), 0)"
	" FROM exact.batch b"
	" JOIN exact.division d ON d.division = b.division"
	" LEFT JOIN (SELECT x.batch, count(*) AS rows"
	"  FROM exact.dead_letter x"
	"  WHERE x.side = 'delivery' AND x.workspace = $1 AND x.state <> 'done'"
	"  GROUP BY x.batch) l"
	"  ON l.batch = b.id"
	" WHERE b.entity = $2 AND coalesce(b.workspace, d.workspace) = $1";
	static const char records_sql[] =
	"SELECT count(*)"
	" FROM exact.record r"
	" JOIN exact.division d ON d.division = r.division"
	" JOIN exact.batch b ON b.id = r.batch"
	" WHERE r.entity = $2 AND b.delivered_rows > r.ord"
	" AND NOT EXISTS (SELECT FROM exact.dead_letter x"
	"  WHERE x.side = 'delivery' AND x.workspace = $1 AND x.batch = r.batch AND x.ord = r.ord"
	"  AND x.state <> 'done')"
	" AND coalesce(b.workspace, d.workspace) = $1";
	Presence   *p = arg;
	ExactArg	args[2];

	args[0] = exact_arg_text(p->plan->workspace->name);
	args[1] = exact_arg_text(p->plan->sql.entity);
	exact_sql(versions_sql, 2, args);
	p->versions = exact_cell_int8(0, 1, 0);
	p->newest = exact_cell_int8(0, 2, 0);
	exact_sql(records_sql, 2, args);
	p->records = exact_cell_int8(0, 1, 0);
}

static const char *
table_name(const Presence *p)
{
	return p->table == EXACT_TABLE_HISTORY ? p->plan->history_name : p->plan->current_name;
}

static void
end_with_loss(Presence *p, int64 rows)
{
	int64		expected = p->table == EXACT_TABLE_HISTORY ? p->versions : p->records;
	const char *name = table_name(p);
	char	   *message = rows < expected ?
		psprintf("table %s holds " INT64_FORMAT " of the " INT64_FORMAT
				 " rows that were delivered into it", name, rows, expected) :
		psprintf("table %s lacks the newest versions that were delivered into it", name);
	char	   *hint = psprintf("Look who changed it: DESCRIBE HISTORY %s; RESTORE TABLE ends the"
								" pause, or SELECT exact.resume(division, '%s') delivers again"
								" what the hub holds.", exact_delta_sql_for_people(name),
								p->plan->sql.entity);

	end_presence(p, exact_fault_make(ERRCODE_EXACT_TABLE_MISMATCH, message, NULL, hint), "EX014",
				 true);
}

static void
take_count(const ExactStatementResult *result, void *arg)
{
	Presence   *p = arg;
	bool		whole = result->nrows == 1 && result->ncolumns == 2 && result->cells[0] != NULL;
	int64		rows = whole ? strtoll(result->cells[0], NULL, 10) : 0;
	int64		newest = whole && result->cells[1] != NULL ?
		strtoll(result->cells[1], NULL, 10) : 0;

	if (result->verdict != EXACT_VERDICT_SUCCEEDED)
		end_presence(p, result->fault, result->sqlstate, false);
	else if (newest < p->newest ||
			 rows < (p->table == EXACT_TABLE_HISTORY ? p->versions : p->records))
		end_with_loss(p, rows);
	else if (p->table == EXACT_TABLE_HISTORY)
		count_table(p, EXACT_TABLE_CURRENT);
	else
		end_presence(p, NULL, "", false);
}

static void
count_table(Presence *p, ExactTable table)
{
	StringInfoData sql;

	p->table = table;
	initStringInfo(&sql);
	exact_merge_sql_count(&sql, &p->plan->sql, table);
	exact_statement_start(&(ExactStatementRequest) {
		.workspace = p->plan->workspace,
		.hub = p->plan->sql.hub,
		.entity = p->plan->sql.entity,
		.table = table_name(p),
		.kind = "check",
		.scope = table_name(p),
		.verb = "count of",
		.sql = sql.data,
		.trouble = p->trouble,
		.trouble_arg = p->arg,
		.done = take_count,
		.arg = p
	});
}

void
exact_presence_start(ExactTargetPlan *plan, ExactStatementTrouble trouble, ExactPresenceDone done,
					 void *arg)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "exact presence",
												  ALLOCSET_SMALL_SIZES);
	Presence   *p = MemoryContextAllocZero(context, sizeof(Presence));
	ExactFault *fault = NULL;

	p->context = context;
	p->plan = plan;
	p->trouble = trouble;
	p->done = done;
	p->arg = arg;
	if (!exact_unit_run("count what was delivered", expect_unit, p, &fault))
		end_presence(p, fault, "", false);
	else if (p->newest == 0 || !plan->held_current || !plan->held_history)
		end_presence(p, NULL, "", false);
	else
		count_table(p, EXACT_TABLE_HISTORY);
}
