/*
 * read_back.c - what users have edited in the Delta table of a dimension, read and handed over to
 * the hub.
 *
 * One count tells whether there is anything to read. Edited rows come in pages, so that memory is
 * bounded however many there are, and are judged some in each turn of the loader, so that other
 * tables go on meanwhile. An edit that was handed over may be written over by a delivery from then
 * on, no other one (deliver/known_edit.h).
 */
#include "postgres.h"

#include "executor/spi.h"
#include "lib/ilist.h"
#include "nodes/pg_list.h"
#include "utils/memutils.h"

#include "base/errors.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/sql.h"
#include "databricks/delta_sql.h"
#include "databricks/statement.h"
#include "delta/edit_sql.h"
#include "delta/merge_sql.h"
#include "delta/target.h"
#include "dimension/read_back.h"
#include "worker/self.h"
#include "worker/unit.h"

#define PAGE_ROWS 2000			/* edited rows in one answer, which may have 25 MiB */
#define KEY_ROWS 10000			/* keys in one question: below 1 MiB */
#define TURN_ROWS 250			/* handed over in one turn, in a unit: below a second */

typedef struct ReadBack
{
	MemoryContext context;
	MemoryContext page;			/* of one answer or question, emptied with the next */
	ExactTargetPlan *plan;
	bool		stamped;		/* rows without the right stamp got it */
	int64		newest;			/* _seq that the hub has given last */
	int64		reading;		/* number of this one: exact.dimension_known.reading */
	int64		rows;			/* of the table */
	int64		edited;
	int64		keys;			/* that its rows have */
	int64		read;			/* edited rows that were read */
	int64		taken;			/* of those, so many are new to the hub */
	int64		gone;
	/* rows of an answer that are handed over, from one to before another in a unit */
	dlist_node	node;			/* of handing_over */
	char	  **cells;			/* in page */
	int			nrows;
	int			from;
	int			to;
	const char *unit_name;
	void		(*unit) (void *arg);
	void		(*then) (struct ReadBack *r);
	/* the next keys that are looked for come behind this one */
	int			last_division;
	char	   *last_key;
	StringInfoData batch;		/* parameter of the statement that is under way */
	int			batch_rows;
	int64	   *adopted;		/* ids of the changes whose rows get their keys */
	int			nadopted;
	List	   *divisions;		/* of those */
	ExactStatementTrouble trouble;
	ExactTargetDone done;
	void	   *arg;
} ReadBack;

static dlist_head handing_over = DLIST_STATIC_INIT(handing_over);

static void count_rows(ReadBack *r);
static void read_page(ReadBack *r);
static void look_for_keys(ReadBack *r);

static void
end_read(ReadBack *r, const ExactFault *fault, const char *sqlstate)
{
	MemoryContext old = MemoryContextSwitchTo(r->context);

	if (fault == NULL && (r->taken > 0 || r->gone > 0))
		exact_log(LOG, "read table=%s workspace=%s rows=" INT64_FORMAT " edited=" INT64_FORMAT
				  " new=" INT64_FORMAT " gone=" INT64_FORMAT, r->plan->sql.entity,
				  r->plan->workspace->name, r->rows, r->edited, r->taken, r->gone);
	r->done(fault, sqlstate, r->arg);
	MemoryContextSwitchTo(old == r->page || old == r->context ? TopMemoryContext : old);
	MemoryContextDelete(r->context);
}

static void
send(ReadBack *r, const char *kind, const char *verb, const char *sql, bool batch,
	 ExactStatementDone done)
{
	exact_statement_start(&(ExactStatementRequest) {
		.workspace = r->plan->workspace,
		.hub = r->plan->sql.hub,
		.entity = r->plan->sql.entity,
		.table = r->plan->current_name,
		.kind = kind,
		.scope = r->plan->current_name,
		.verb = verb,
		.sql = sql,
		.parameter = batch ? r->batch.data : NULL,
		.trouble = r->trouble,
		.trouble_arg = r->arg,
		.done = done,
		.arg = r
	});
}

/*
 * Is it an answer of so many columns and at least so many rows? If not, the read has ended. One
 * without rows may have no columns.
 */
static bool
is_answer(ReadBack *r, const ExactStatementResult *result, int columns, int rows)
{
	if (result->verdict != EXACT_VERDICT_SUCCEEDED)
		end_read(r, result->fault, result->sqlstate);
	else if (result->nrows < rows || (result->nrows > 0 && columns > 0 &&
									  result->ncolumns != columns))
		end_read(r, exact_fault_make(ERRCODE_EXACT_TABLE_MISMATCH,
									 psprintf("the answer to a reading of %s has %d rows of %d"
											  " columns", r->plan->current_name, result->nrows,
											  result->ncolumns),
									 NULL, NULL), "EX014");
	else
		return true;
	return false;
}

static bool
run(ReadBack *r, const char *name, void (*unit) (void *arg))
{
	ExactFault *fault = NULL;

	if (exact_unit_run(name, unit, r, &fault))
		return true;
	end_read(r, fault, "");
	return false;
}

/* Where the next answer or question is made; what the last one left is gone. */
static MemoryContext
open_page(ReadBack *r)
{
	MemoryContextReset(r->page);
	return MemoryContextSwitchTo(r->page);
}

/* ---- rows that are handed over, turn by turn ---- */

static void
start_turns(ReadBack *r, int nrows, const char *unit_name, void (*unit) (void *arg),
			void (*then) (ReadBack *r))
{
	r->nrows = nrows;
	r->to = 0;
	r->unit_name = unit_name;
	r->unit = unit;
	r->then = then;
	dlist_push_tail(&handing_over, &r->node);
}

static void
hand_over(ReadBack *r, const ExactStatementResult *answer, const char *unit_name,
		  void (*unit) (void *arg), void (*then) (ReadBack *r))
{
	int			ncells = answer->nrows * answer->ncolumns;
	MemoryContext old = open_page(r);

	r->cells = palloc(sizeof(char *) * Max(ncells, 1));
	for (int i = 0; i < ncells; i++)
		r->cells[i] = answer->cells[i] != NULL ? pstrdup(answer->cells[i]) : NULL;
	MemoryContextSwitchTo(old);
	start_turns(r, answer->nrows, unit_name, unit, then);
}

long
exact_read_back_turn(void)
{
	ReadBack   *r;

	if (dlist_is_empty(&handing_over))
		return -1;
	r = dlist_container(ReadBack, node, dlist_pop_head_node(&handing_over));
	r->from = r->to;
	r->to = Min(r->nrows, r->from + TURN_ROWS);
	if (r->from < r->to && !run(r, r->unit_name, r->unit))
		return 0;
	if (r->to < r->nrows)
		dlist_push_tail(&handing_over, &r->node);
	else
		r->then(r);
	return dlist_is_empty(&handing_over) ? -1 : 0;
}

/* ---- new rows that have become records ---- */

static void
adopted_unit(void *arg)
{
	static const char sql[] = "SELECT exact._dimension_adopted($1)";
	ReadBack   *r = arg;
	ExactArg	ids = exact_arg_int8_array(r->adopted, NULL, r->nadopted);

	exact_sql(sql, 1, &ids);
}

static void
take_adopted(const ExactStatementResult *result, void *arg)
{
	ReadBack   *r = arg;

	if (is_answer(r, result, 0, 0) && run(r, "record keys of new rows", adopted_unit))
		end_read(r, NULL, "");
}

static void
append_text(StringInfo out, const char *name, const char *value)
{
	appendStringInfo(out, ",\"%s\":", name);
	exact_json_quote(out, value, strlen(value));
}

/* With each key go the contents that were read of new rows: the row must still have one of them. */
static void
adoptions_unit(void *arg)
{
	static const char sql[] =
	"SELECT a.change, a.division, a.key, a.code, k.hash"
	" FROM exact._dimension_adoptions($1, $2) a"
	" JOIN exact.dimension_known k"
	" ON k.entity = $2 AND k.division = a.division AND k.code = exact._folded(a.code)"
	" WHERE a.code IS NOT NULL"
	" ORDER BY a.change, k.hash"
	" LIMIT $3";
	ReadBack   *r = arg;
	ExactArg	args[3];
	MemoryContext old;

	args[0] = exact_arg_text(r->plan->workspace->name);
	args[1] = exact_arg_text(r->plan->sql.entity);
	args[2] = exact_arg_int8(KEY_ROWS);
	r->batch_rows = (int) exact_sql(sql, 3, args);
	old = MemoryContextSwitchTo(r->page);
	initStringInfo(&r->batch);
	r->adopted = palloc(sizeof(int64) * Max(r->batch_rows, 1));
	r->nadopted = 0;
	r->divisions = NIL;
	for (int i = 0; i < r->batch_rows; i++)
	{
		int64		change = exact_cell_int8(i, 1, 0);
		int			division = (int) exact_cell_int8(i, 2, 0);

		if (r->nadopted == 0 || r->adopted[r->nadopted - 1] != change)
			r->adopted[r->nadopted++] = change;
		r->divisions = list_append_unique_int(r->divisions, division);
		appendStringInfo(&r->batch, "%s{\"_division\":\"%d\"", i == 0 ? "[" : ",\n", division);
		append_text(&r->batch, "_key", exact_cell_text(i, 3));
		append_text(&r->batch, "_code", exact_cell_text(i, 4));
		append_text(&r->batch, "_hash", exact_cell_text(i, 5));
		appendStringInfoChar(&r->batch, '}');
	}
	appendStringInfoChar(&r->batch, ']');
	MemoryContextSwitchTo(old);
}

static void
adopt_rows(ReadBack *r)
{
	MemoryContext old = open_page(r);
	ExactMergeRows batch = {0};
	int		   *divisions;
	StringInfoData sql;

	if (run(r, "read keys of new rows", adoptions_unit))
	{
		if (r->batch_rows == 0)
			end_read(r, NULL, "");
		else
		{
			divisions = palloc(sizeof(int) * list_length(r->divisions));
			for (int i = 0; i < list_length(r->divisions); i++)
				divisions[i] = list_nth_int(r->divisions, i);
			batch.rows = r->batch_rows;
			batch.divisions = divisions;
			batch.ndivisions = list_length(r->divisions);
			initStringInfo(&sql);
			exact_edit_sql_adopt(&sql, &r->plan->sql, r->plan->only_division, &batch);
			send(r, "state", "MERGE into", sql.data, true, take_adopted);
		}
	}
	MemoryContextSwitchTo(old);
}

/* ---- rows that are gone ---- */

static void
gone_unit(void *arg)
{
	static const char sql[] = "SELECT exact._take_delta_gone($1, $2, $3, $4)";
	ReadBack   *r = arg;
	int			n = r->to - r->from;
	int32	   *divisions = palloc(sizeof(int32) * n);
	const char **keys = palloc(sizeof(char *) * n);
	ExactArg	args[4];

	for (int i = 0; i < n; i++)
	{
		char	  **cells = &r->cells[2 * (r->from + i)];

		divisions[i] = (int32) strtol(cells[0], NULL, 10);
		keys[i] = cells[1];
	}
	args[0] = exact_arg_text(r->plan->workspace->name);
	args[1] = exact_arg_text(r->plan->sql.entity);
	args[2] = exact_arg_int4_array(divisions, NULL, n);
	args[3] = exact_arg_text_array(keys, NULL, n);
	exact_sql(sql, 4, args);
}

static void
gone_taken(ReadBack *r)
{
	r->gone += r->nrows;
	if (r->batch_rows < KEY_ROWS)
		adopt_rows(r);
	else
		look_for_keys(r);
}

static void
take_absent(const ExactStatementResult *result, void *arg)
{
	ReadBack   *r = arg;

	if (is_answer(r, result, 2, 0))
		hand_over(r, result, "take gone rows", gone_unit, gone_taken);
}

/*
 * Records of which a version was delivered to the workspace and none lies aside: their newest
 * version, or one before it.
 */
#define DELIVERED_SQL \
	" WITH RECURSIVE v AS" \
	" (SELECT r.division, r.key, r.slot, r.batch, r.ord" \
	"  FROM exact.record r" \
	"  JOIN exact.division d ON d.division = r.division" \
	"  WHERE r.entity = $2 AND d.workspace = $1" \
	"  UNION ALL" \
	"  SELECT v.division, v.key, s.prev_slot, s.prev_batch, s.prev_ord" \
	"  FROM v" \
	"  JOIN exact.batch b ON b.id = v.batch AND b.delivered_rows <= v.ord" \
	"  JOIN exact.stage s ON s.slot = v.slot AND s.batch = v.batch AND s.ord = v.ord" \
	"  WHERE s.prev_batch IS NOT NULL)"

#define DELIVERED_FROM \
	" FROM v" \
	" JOIN exact.batch b ON b.id = v.batch AND b.delivered_rows > v.ord" \
	" WHERE NOT EXISTS (SELECT" \
	"  FROM exact.dead_letter x" \
	"  WHERE x.side = 'delivery' AND x.workspace = $1 AND x.batch = v.batch AND x.ord = v.ord" \
	"  AND x.state <> 'done')"

static void
expected_unit(void *arg)
{
	static const char sql[] = DELIVERED_SQL " SELECT count(*)" DELIVERED_FROM;
	ReadBack   *r = arg;
	ExactArg	args[2];

	args[0] = exact_arg_text(r->plan->workspace->name);
	args[1] = exact_arg_text(r->plan->sql.entity);
	exact_sql(sql, 2, args);
	r->keys -= exact_cell_int8(0, 1, 0);
}

/* The next keys that the table should have, as a question */
static void
keys_unit(void *arg)
{
	static const char sql[] =
	DELIVERED_SQL
	" SELECT v.division, v.key" DELIVERED_FROM
	" AND (v.division, v.key) > ($3, $4)"
	" ORDER BY v.division, v.key"
	" LIMIT $5";
	ReadBack   *r = arg;
	ExactArg	args[5];
	MemoryContext old;

	args[0] = exact_arg_text(r->plan->workspace->name);
	args[1] = exact_arg_text(r->plan->sql.entity);
	args[2] = exact_arg_int4(r->last_division);
	args[3] = exact_arg_text(r->last_key);
	args[4] = exact_arg_int8(KEY_ROWS);
	r->batch_rows = (int) exact_sql(sql, 5, args);
	old = MemoryContextSwitchTo(r->page);
	initStringInfo(&r->batch);
	for (int i = 0; i < r->batch_rows; i++)
	{
		int			division = (int) exact_cell_int8(i, 1, 0);
		char	   *key = exact_cell_text(i, 2);

		appendStringInfo(&r->batch, "%s{\"_division\":\"%d\"", i == 0 ? "[" : ",\n", division);
		append_text(&r->batch, "_key", key);
		appendStringInfoChar(&r->batch, '}');
		if (i < r->batch_rows - 1)
			continue;
		r->last_division = division;
		r->last_key = MemoryContextStrdup(r->context, key);
	}
	appendStringInfoChar(&r->batch, ']');
	MemoryContextSwitchTo(old);
}

static void
look_for_keys(ReadBack *r)
{
	MemoryContext old = open_page(r);
	StringInfoData sql;

	if (run(r, "read keys of a dimension", keys_unit))
	{
		if (r->batch_rows == 0)
			adopt_rows(r);
		else
		{
			initStringInfo(&sql);
			exact_edit_sql_absent(&sql, &r->plan->sql, r->batch_rows);
			send(r, "read", "reading of", sql.data, true, take_absent);
		}
	}
	MemoryContextSwitchTo(old);
}

/* Only when the table has fewer keys than were delivered are they looked for one by one. */
static void
compare_keys(ReadBack *r)
{
	if (!run(r, "count what was delivered", expected_unit))
		return;
	if (r->keys < 0)
		look_for_keys(r);
	else
		adopt_rows(r);
}

/* ---- edited rows ---- */

/* Columns of the answer to exact_edit_sql_rows() */
enum
{
	EDIT_DIVISION,
	EDIT_KEY,
	EDIT_SEQ,
	EDIT_NOW,
	EDIT_CONTENT,
	EDIT_DOUBLE,
	EDIT_COLUMNS
};

/* The next rows of a page */
static void
edits_unit(void *arg)
{
	static const char sql[] =
	"SELECT exact._take_delta_edits($1, $2, $3, $4, $5, $6, $7, $8, $9, $10,"
	" $11::boolean[])";
	ReadBack   *r = arg;
	int			n = r->to - r->from;
	int32	   *divisions = palloc(sizeof(int32) * n);
	bool	   *no_divisions = palloc(sizeof(bool) * n);
	int64	   *seqs = palloc(sizeof(int64) * n);
	bool	   *no_seqs = palloc(sizeof(bool) * n);
	const char **keys = palloc(sizeof(char *) * n);
	const char **hashes = palloc(sizeof(char *) * n);
	const char **contents = palloc(sizeof(char *) * n);
	const char **doubles = palloc(sizeof(char *) * n);
	ExactArg	args[11];

	for (int i = 0; i < n; i++)
	{
		char	  **cells = &r->cells[EDIT_COLUMNS * (r->from + i)];
		const char *division = cells[EDIT_DIVISION];
		const char *seq = cells[EDIT_SEQ];

		no_divisions[i] = division == NULL;
		divisions[i] = division != NULL ? (int32) strtol(division, NULL, 10) : 0;
		no_seqs[i] = seq == NULL;
		seqs[i] = seq != NULL ? strtoll(seq, NULL, 10) : 0;
		keys[i] = cells[EDIT_KEY];
		hashes[i] = cells[EDIT_NOW];
		contents[i] = cells[EDIT_CONTENT];
		doubles[i] = cells[EDIT_DOUBLE];
	}
	args[0] = exact_arg_text(r->plan->workspace->name);
	args[1] = exact_arg_text(r->plan->sql.entity);
	args[2] = exact_arg_int8(r->reading);
	args[3] = exact_arg_int8(r->rows);
	args[4] = exact_arg_int8(Max(r->edited, r->read + r->nrows));
	args[5] = exact_arg_int4_array(divisions, no_divisions, n);
	args[6] = exact_arg_text_array(keys, NULL, n);
	args[7] = exact_arg_int8_array(seqs, no_seqs, n);
	args[8] = exact_arg_text_array(hashes, NULL, n);
	args[9] = exact_arg_text_array(contents, NULL, n);
	args[10] = exact_arg_text_array(doubles, NULL, n);
	exact_sql(sql, 11, args);
	r->taken += exact_cell_int8(0, 1, 0);
}

/* What this reading has not met is no edit any more: some in each turn, until there are no more. */
static void
taken_back_unit(void *arg)
{
	static const char sql[] = "SELECT exact._take_delta_back($1, $2, $3, $4)";
	ReadBack   *r = arg;
	ExactArg	args[4];

	args[0] = exact_arg_text(r->plan->workspace->name);
	args[1] = exact_arg_text(r->plan->sql.entity);
	args[2] = exact_arg_int8(r->reading);
	args[3] = exact_arg_int4(TURN_ROWS);
	exact_sql(sql, 4, args);
	r->nrows = exact_cell_int8(0, 1, 0) < TURN_ROWS ? r->to : PG_INT32_MAX;
}

/* A reading in several answers has met all edited rows if these are as many as were counted. */
static void
page_taken(ReadBack *r)
{
	r->read += r->nrows;
	if (r->nrows == PAGE_ROWS)
		read_page(r);
	else if (r->read < PAGE_ROWS || r->read == r->edited)
		start_turns(r, PG_INT32_MAX, "take edits that were taken back", taken_back_unit,
					compare_keys);
	else
		compare_keys(r);
}

static void
take_page(const ExactStatementResult *result, void *arg)
{
	ReadBack   *r = arg;

	if (is_answer(r, result, EDIT_COLUMNS, 0))
		hand_over(r, result, "take edited rows", edits_unit, page_taken);
}

static void
read_page(ReadBack *r)
{
	MemoryContext old = open_page(r);
	StringInfoData sql;

	initStringInfo(&sql);
	exact_edit_sql_rows(&sql, &r->plan->sql, r->plan->only_division, PAGE_ROWS, r->read);
	send(r, "read", "reading of", sql.data, false, take_page);
	MemoryContextSwitchTo(old);
}

/* ---- the count ---- */

static void
take_stamped(const ExactStatementResult *result, void *arg)
{
	ReadBack   *r = arg;

	if (!is_answer(r, result, 0, 0))
		return;
	r->plan->hash_added = false;
	count_rows(r);
}

/*
 * What another list of columns was hashed over is hashed anew, once: what was edited before that
 * cannot be told. So are all rows of a table that has just got the column. A _seq that a user has
 * changed is set back, and its row is read as edited then.
 */
static void
stamp_rows(ReadBack *r)
{
	MemoryContext old = open_page(r);
	StringInfoData sql;

	r->stamped = true;
	initStringInfo(&sql);
	exact_edit_sql_stamp(&sql, &r->plan->sql, r->plan->hash_added, r->newest);
	send(r, "state", "MERGE into", sql.data, false, take_stamped);
	MemoryContextSwitchTo(old);
}

static int64
number(const ExactStatementResult *result, int column)
{
	return result->cells[column] != NULL ? strtoll(result->cells[column], NULL, 10) : 0;
}

static void
take_count(const ExactStatementResult *result, void *arg)
{
	ReadBack   *r = arg;
	int64		outdated,
				bare;

	if (!is_answer(r, result, 6, 1))
		return;
	r->rows = number(result, 0);
	r->edited = number(result, 1);
	outdated = number(result, 2);
	bare = number(result, 3);
	r->keys = number(result, 4);
	if (!r->stamped && (outdated > 0 || (bare > 0 && r->plan->hash_added)))
		stamp_rows(r);
	else if (r->edited > 0 || number(result, 5) > r->keys)
		read_page(r);
	else
		page_taken(r);
}

/* The table is not written meanwhile: a row of it has no later one. */
static void
newest_unit(void *arg)
{
	static const char sql[] =
	"SELECT (b.epoch::bigint << " CppAsString2(EXACT_SEQ_EPOCH_BITS) ") + s.last_value,"
	" nextval('exact.dimension_edit_id')"
	" FROM exact.installation_binding b, exact.version_counter s";
	ReadBack   *r = arg;

	exact_sql(sql, 0, NULL);
	r->newest = exact_cell_int8(0, 1, PG_INT64_MAX);
	r->reading = exact_cell_int8(0, 2, 0);
}

static void
count_rows(ReadBack *r)
{
	MemoryContext old = open_page(r);
	StringInfoData sql;

	initStringInfo(&sql);
	if (run(r, "read the newest version", newest_unit))
	{
		exact_edit_sql_count(&sql, &r->plan->sql, r->newest);
		send(r, "read", "count of", sql.data, false, take_count);
	}
	MemoryContextSwitchTo(old);
}

void
exact_read_back_start(ExactTargetPlan *plan, ExactStatementTrouble trouble, ExactTargetDone done,
					  void *arg)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "exact read back",
												  ALLOCSET_SMALL_SIZES);
	ReadBack   *r = MemoryContextAllocZero(context, sizeof(ReadBack));

	r->context = context;
	r->page = AllocSetContextCreate(context, "exact read back page", ALLOCSET_DEFAULT_SIZES);
	r->plan = plan;
	r->last_division = PG_INT32_MIN;
	r->last_key = MemoryContextStrdup(context, "");
	r->trouble = trouble;
	r->done = done;
	r->arg = arg;
	count_rows(r);
}
