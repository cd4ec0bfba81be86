/*
 * presence.c - are the rows that were delivered still in the Delta tables of an entity?
 *
 * Of each table the operations of others are read, then its rows are counted: an operation tells
 * who did what, a count tells that something is missing whoever did it. Called by delta_table.c,
 * before the first delivery of a process and then once a day.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "base/errors.h"
#include "base/fault.h"
#include "base/sql.h"
#include "databricks/delta_sql.h"
#include "databricks/statement.h"
#include "delta/foreign_change.h"
#include "delta/look_sql.h"
#include "delta/merge_sql.h"
#include "delta/presence.h"
#include "delta/target.h"
#include "state/audit.h"
#include "state/target_state.h"
#include "worker/self.h"
#include "worker/unit.h"

/* Twice what is delivered between two looks (delta_table.c) */
#define OPERATIONS_READ 2000

typedef struct Presence
{
	MemoryContext context;
	ExactTargetPlan *plan;
	bool		edited;			/* users may change rows of the current table */
	ExactTable	table;			/* that is counted */
	int64		records;		/* at least so many rows of the current table */
	int64		versions;		/* at least so many rows of the history */
	int64		newest;			/* at least the highest _seq of both */
	/* the same of the current table, of rows that no edit and no rule holds back */
	int64		newest_current;
	int64		known_current;	/* versions of the tables that were looked at before */
	int64		known_history;
	/* what is read of DESCRIBE HISTORY in a unit */
	const ExactStatementResult *operations;
	ExactForeignChange change;	/* of the table that is counted */
	ExactTargetLook look;		/* of both */
	ExactStatementTrouble trouble;
	ExactPresenceDone done;
	void	   *arg;
} Presence;

static void look_at_table(Presence *p, ExactTable table);

static void
end_presence(Presence *p, const ExactFault *fault, const char *sqlstate, bool lost)
{
	p->done(fault, sqlstate, lost, p->arg);
	MemoryContextDelete(p->context);
}

/*
 * What is recorded as delivered, without what was put aside or erased: the tables may hold more,
 * never less.
 */
static void
expect_unit(void *arg)
{
	static const char versions_sql[] =
	"SELECT coalesce(sum(b.delivered_rows - coalesce(l.rows, 0) - b.erased), 0)::bigint,"
	" coalesce(max(b.seq_max) FILTER (WHERE b.delivered_rows = b.rows AND l.rows IS NULL"
	"  AND b.erased = 0), 0)"
	" FROM exact.batch b"
	" JOIN exact.division d ON d.division = b.division"
	" LEFT JOIN (SELECT x.batch, count(*) AS rows"
	"  FROM exact.dead_letter x"
	"  WHERE x.side = 'delivery' AND x.workspace = $1 AND x.state <> 'done'"
	"  GROUP BY x.batch) l"
	"  ON l.batch = b.id"
	" WHERE b.entity = $2 AND coalesce(b.workspace, d.workspace) = $1";
	static const char records_sql[] =
	"SELECT count(*),"
	" CASE WHEN EXISTS (SELECT FROM exact.dimension_known k WHERE k.entity = $2)"
	"   OR EXISTS (SELECT FROM exact.verdict v WHERE v.workspace = $1 AND v.entity = $2"
	"    AND (v.again OR v.held IS NOT NULL))"
	"  THEN coalesce(max(r.seq) FILTER (WHERE NOT EXISTS (SELECT FROM exact.dimension_known k"
	"   WHERE k.entity = r.entity AND k.division = r.division AND k.key = r.key)), 0) END"
	" FROM exact.record r"
	" JOIN exact.division d ON d.division = r.division"
	" JOIN exact.batch b ON b.id = r.batch"
	" WHERE r.entity = $2 AND b.delivered_rows > r.ord AND r.erased IS NULL"
	" AND NOT EXISTS (SELECT FROM exact.dead_letter x"
	"  WHERE x.side = 'delivery' AND x.workspace = $1 AND x.batch = r.batch AND x.ord = r.ord"
	"  AND x.state <> 'done')"
	" AND NOT EXISTS (SELECT FROM exact.verdict v"
	"  WHERE v.batch = r.batch AND v.ord = r.ord AND (v.again OR v.held IS NOT NULL))"
	" AND coalesce(b.workspace, d.workspace) = $1";
	static const char looked_sql[] =
	"SELECT coalesce(t.current_version, $3), coalesce(t.history_version, $3)"
	" FROM exact.target_state t"
	" WHERE t.workspace = $1 AND t.entity = $2";
	Presence   *p = arg;
	ExactArg	args[3];

	args[0] = exact_arg_text(p->plan->workspace->name);
	args[1] = exact_arg_text(p->plan->sql.entity);
	exact_sql(versions_sql, 2, args);
	p->versions = exact_cell_int8(0, 1, 0);
	p->newest = exact_cell_int8(0, 2, 0);
	exact_sql(records_sql, 2, args);
	p->records = exact_cell_int8(0, 1, 0);
	p->newest_current = exact_cell_int8(0, 2, p->newest);
	args[2] = exact_arg_int8(EXACT_FOREIGN_CHANGE_FROM_NOW);
	p->known_current = p->known_history = -1;
	if (exact_sql(looked_sql, 3, args) > 0)
	{
		p->known_current = exact_cell_int8(0, 1, -1);
		p->known_history = exact_cell_int8(0, 2, -1);
	}
}

static const char *
table_name(const Presence *p)
{
	return p->table == EXACT_TABLE_HISTORY ? p->plan->history_name : p->plan->current_name;
}

/* The tables are as they should be. */
static void
looked_unit(void *arg)
{
	Presence   *p = arg;
	const char *workspace = p->plan->workspace->name;

	exact_target_state_looked(workspace, p->plan->sql.entity, &p->look);
}

static void
end_with_presence(Presence *p)
{
	ExactFault *fault = NULL;

	if (exact_unit_run("record look at table", looked_unit, p, &fault))
		end_presence(p, NULL, "", false);
	else
		end_presence(p, fault, "", false);
}

/* One note of both tables; the newer one stands first. */
static void
add_note(Presence *p, const char *note, const char *step)
{
	MemoryContext old = MemoryContextSwitchTo(p->context);

	exact_log(WARNING, "table=%s: %s", p->plan->sql.entity, note);
	p->look.note = p->look.note == NULL ? pstrdup(note) : psprintf("%s; %s", note, p->look.note);
	p->look.note_step = pstrdup(step);
	MemoryContextSwitchTo(old);
}

/* Rows may be as many as they were and not be what was delivered. */
static void
end_with_change(Presence *p)
{
	char	   *message = psprintf("table %s was changed outside the hub: %s", table_name(p),
								   p->change.what);
	const char *name = exact_delta_sql_for_people(table_name(p));
	char	   *undo = p->change.before < 0 ? "" :
		psprintf(" RESTORE TABLE %s TO VERSION AS OF " INT64_FORMAT " undoes the change and ends"
				 " the pause; or", name, p->change.before);
	char	   *hint = psprintf("Look who changed it: DESCRIBE HISTORY %s.%s SELECT"
								" exact.resume(division, '%s') writes all versions of the hub into"
								" the table again; rows that others added stay.",
								name, undo, p->plan->sql.entity);

	end_presence(p, exact_fault_make(ERRCODE_EXACT_TABLE_MISMATCH, message, NULL, hint), "EX014",
				 true);
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

	if (p->change.what != NULL)
		message = psprintf("%s; %s", message, p->change.what);
	end_presence(p, exact_fault_make(ERRCODE_EXACT_TABLE_MISMATCH, message, NULL, hint), "EX014",
				 true);
}

/*
 * Does the table lack what was delivered? Rows of a dimension that a user has deleted are proposed
 * as such (dimension/), but when none is left; of a row that a user has edited, the newest version
 * may be held back.
 */
static bool
is_lost(const Presence *p, int64 rows, int64 newest)
{
	if (p->table == EXACT_TABLE_HISTORY)
		return newest < p->newest || rows < p->versions;
	if (p->edited && rows > 0 && rows < p->records)
		return false;
	return newest < p->newest_current || rows < p->records;
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
	else if (is_lost(p, rows, newest))
		end_with_loss(p, rows);
	else if (p->change.what != NULL)
		end_with_change(p);
	else if (p->table == EXACT_TABLE_HISTORY)
		look_at_table(p, EXACT_TABLE_CURRENT);
	else
		end_with_presence(p);
}

/* A small reading of the table */
static void
ask(Presence *p, const char *verb, const char *sql, ExactStatementDone done)
{
	exact_statement_start(&(ExactStatementRequest) {
		.workspace = p->plan->workspace,
		.hub = p->plan->sql.hub,
		.entity = p->plan->sql.entity,
		.table = table_name(p),
		.kind = "check",
		.scope = table_name(p),
		.verb = verb,
		.sql = sql,
		.trouble = p->trouble,
		.trouble_arg = p->arg,
		.done = done,
		.arg = p
	});
}

static void
count_table(Presence *p)
{
	StringInfoData sql;

	initStringInfo(&sql);
	exact_look_sql_count(&sql, &p->plan->sql, p->table);
	ask(p, "count of", sql.data, take_count);
}

/* Users may edit rows of a dimension: told, and left as they made it. */
static void
operations_unit(void *arg)
{
	Presence   *p = arg;
	bool		history = p->table == EXACT_TABLE_HISTORY;
	int64		known = history ? p->known_history : p->known_current;

	exact_foreign_change_find(p->operations, table_name(p), known, !history && p->edited,
							  &p->change);
	if (p->change.what == NULL)
		return;
	if (!history && p->edited && p->change.edit)
		exact_audit_changed(p->plan->sql.entity, p->plan->workspace->name, p->change.what);
	p->change.what = MemoryContextStrdup(p->context, p->change.what);
}

/* What was found and pauses nothing */
static void
take_change(Presence *p)
{
	const char *name = table_name(p);
	bool		history = p->table == EXACT_TABLE_HISTORY;

	*(history ? &p->look.history_version : &p->look.current_version) = p->change.newest;
	if (p->change.unlisted >= 0)
		add_note(p, psprintf("table %s does not list the operations before version "
							 INT64_FORMAT ": its log was cut, or there were too many of them",
							 name, p->change.unlisted),
				 "None, if only the hub writes to the table; its rows were counted");
	if (p->change.what == NULL || history || !p->edited || !p->change.edit)
		return;
	add_note(p, psprintf("table %s was edited: %s", name, p->change.what),
			 "None: the hub reads edits of a dimension; exact.dimension_change shows them");
	p->change.what = NULL;
}

/* Whoever may not read the operations can still count. */
static void
take_operations(const ExactStatementResult *result, void *arg)
{
	Presence   *p = arg;
	ExactFault *fault = NULL;
	const char *step;

	p->operations = result;
	if (result->verdict != EXACT_VERDICT_SUCCEEDED)
	{
		step = result->fault->hint != NULL ? result->fault->hint :
			"Let the hub's principal read it: DESCRIBE HISTORY asks for SELECT on the table";
		add_note(p, psprintf("what others do to table %s cannot be read: %s", table_name(p),
							 result->fault->message), step);
	}
	else if (!exact_unit_run("read operations", operations_unit, p, &fault))
	{
		end_presence(p, fault, "", false);
		return;
	}
	else
		take_change(p);
	count_table(p);
}

static void
look_at_table(Presence *p, ExactTable table)
{
	StringInfoData sql;

	p->table = table;
	p->change = (ExactForeignChange) {.newest = -1};
	initStringInfo(&sql);
	exact_look_sql_operations(&sql, &p->plan->sql, table, OPERATIONS_READ);
	ask(p, "reading of", sql.data, take_operations);
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
	p->edited = plan->sql.stamp != NULL;
	p->trouble = trouble;
	p->done = done;
	p->arg = arg;
	p->look = (ExactTargetLook) {-1, -1, NULL, NULL};
	if (!exact_unit_run("count what was delivered", expect_unit, p, &fault))
		end_presence(p, fault, "", false);
	else if (!plan->held[EXACT_TABLE_CURRENT] || !plan->held[EXACT_TABLE_HISTORY] ||
			 (p->newest == 0 && p->known_current != EXACT_FOREIGN_CHANGE_FROM_NOW))
		end_presence(p, NULL, "", false);
	else
		look_at_table(p, EXACT_TABLE_HISTORY);
}
