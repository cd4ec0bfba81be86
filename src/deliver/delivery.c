/*
 * delivery.c - one delivery: read from the stage, history MERGE, current MERGE, proof, record.
 *
 * History goes first, so that a crash between the two leaves no state in Delta whose version is not
 * in the history. A statement that ran once, in one attempt, and counts as many rows as it was
 * given has proved itself; otherwise, and always in a dimension, where users make copies of rows, a
 * query counts what the table holds. When one is refused for
 * a value, a SELECT finds the rows that have such values; they are put aside, and the next delivery
 * is read without them. Called by delta_table.c.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "nodes/pg_list.h"
#include "utils/memutils.h"

#include "base/errors.h"
#include "base/fault.h"
#include "base/guc.h"
#include "base/sql.h"
#include "databricks/delta_sql.h"
#include "databricks/statement.h"
#include "deliver/backlog.h"
#include "deliver/bad_row.h"
#include "deliver/delivery.h"
#include "deliver/known_edit.h"
#include "deliver/other_copy.h"
#include "deliver/stage_row.h"
#include "delta/delivery_row.h"
#include "delta/merge_sql.h"
#include "delta/target.h"
#include "state/audit.h"
#include "state/dead_letter.h"
#include "state/ledger.h"
#include "state/target_state.h"
#include "state/verdict.h"
#include "worker/self.h"
#include "worker/unit.h"

/* Who refuses a row of less for its size does not mean the row: a proxy has a low limit */
#define SMALL_BYTES 65536

struct ExactDelivery
{
	MemoryContext context;
	ExactTargetPlan *plan;
	StringInfoData text;		/* JSON array of rows */
	int			most;			/* rows that it may have */
	int			rows;
	int			keys;			/* distinct ones */
	int			held;			/* rows that do not go into the current table */
	bool		again;			/* Delta may have some with another verdict */
	ExactMergeRows batch;		/* what the statements must know of it */
	List	   *divisions;		/* of its rows, each once */
	ExactRange	range;
	int64	   *whole;			/* ids of batches that are delivered to their end */
	int			nwhole;
	int64		part;			/* batch that is delivered in part, 0 none */
	int			part_rows;		/* so many of its rows are */
	ExactSentRow *sent;			/* the rows in their order */
	char	  **names;			/* "division key" of each row, for counting */
	char	   *history_statement;
	char	   *current_statement;
	double		history_ms;
	double		current_ms;
	ExactFault *refusal;		/* why its rows are searched; NULL: they are not */
	char	   *refusal_sqlstate;
	char	   *constraint;		/* that some do not meet; NULL: values do not fit */
	ExactTable	table;			/* of the statement that was sent last */
	ExactStatementTrouble trouble;
	ExactDeliveryDone done;
	void	   *arg;
};

/* ---- reading the stage ---- */

/* It is in the delivery, and stays when that is freed. */
static void
keep_row(ExactDelivery *d, const ExactStageRow *row, int start)
{
	const ExactVersion *version = &row->version;
	MemoryContext old = MemoryContextSwitchTo(d->context);

	d->names[d->rows] = psprintf("%d %s", version->division, version->key);
	d->divisions = list_append_unique_int(d->divisions, version->division);
	d->sent[d->rows] = (ExactSentRow) {
		.division = version->division,
		.key = pstrdup(version->key),
		.seq = version->seq,
		.op = version->op,
		.slot = row->slot,
		.batch = version->batch,
		.ord = row->ord,
		.content_batch = row->prev_batch,
		.content_ord = row->prev_ord,
		.known = version->known != NULL ? pstrdup(version->known) : NULL,
		.was_aside = row->aside,
		.judged_at = row->judged_at,
		.start = start,
		.len = d->text.len - start
	};
	MemoryContextSwitchTo(old);
	d->held += version->held != EXACT_VERSION_GOES ? 1 : 0;
	d->again |= row->again;
	d->rows++;
}

/* It cannot be sent at all: it goes aside, and the delivery goes on without it. */
static void
leave_out(ExactDelivery *d, const ExactStageRow *row, int start, const char *reason)
{
	ExactSentRow sent = {
		.division = row->version.division,
		.key = row->version.key,
		.seq = row->version.seq,
		.op = row->version.op,
		.slot = row->slot,
		.batch = row->version.batch,
		.ord = row->ord
	};

	d->text.len = start;
	d->text.data[start] = '\0';
	exact_bad_row_put_one(d->plan, &sent, reason);
}

/* Appends a row; false when the delivery is full without it. */
static bool
append_row(ExactDelivery *d, ExactStageRow *row)
{
	ExactVersion *version = &row->version;
	const ExactTarget *target = &d->plan->sql;
	int			start = d->text.len;
	int			object;

	if (d->rows >= d->most)
		return false;
	if (version->record == NULL && !row->bare)
		version->record = exact_stage_row_previous(d->plan->workspace->name, row);
	version->record_len = version->record != NULL ? strlen(version->record) : 0;
	appendStringInfoString(&d->text, d->rows == 0 ? "[" : ",\n");
	object = d->text.len;
	if (!exact_delivery_row_append(&d->text, version, target->columns, target->ncolumns))
	{
		leave_out(d, row, start, "its record is not a JSON object, or has a field twice");
		return true;
	}
	if (d->text.len - object > EXACT_BAD_ROW_BYTES)
	{
		leave_out(d, row, start, "it is too long for a statement of Databricks");
		return true;
	}
	if (d->text.len >= EXACT_DELIVERY_BYTES && d->rows > 0)
	{
		d->text.len = start;
		d->text.data[start] = '\0';
		return false;
	}
	if (d->rows == 0)
	{
		d->batch.seq_min = d->batch.seq_max = version->seq;
		d->range.first_batch = version->batch;
		d->range.first_ord = row->ord;
	}
	d->batch.seq_min = Min(d->batch.seq_min, version->seq);
	d->batch.seq_max = Max(d->batch.seq_max, version->seq);
	d->range.last_batch = version->batch;
	d->range.last_ord = row->ord;
	keep_row(d, row, object);
	return true;
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

/* Rows of one batch from where it stands; true when it was read to its end. */
static bool
read_batch(ExactDelivery *d, const ExactBatch *batch)
{
	ExactStageRow *rows = palloc(sizeof(ExactStageRow) * EXACT_STAGE_ROW_READ);
	MemoryContext read_context = AllocSetContextCreate(CurrentMemoryContext, "exact stage rows",
													   ALLOCSET_DEFAULT_SIZES);
	int			position = batch->delivered;
	bool		full = false;

	while (!full && position < batch->rows)
	{
		MemoryContext old = MemoryContextSwitchTo(read_context);
		int			n = exact_stage_row_read(d->plan->workspace->name, batch, position, rows);
		const char *row_zero;
		bool		turned;

		SPI_freetuptable(SPI_tuptable);
		if (d->plan->sql.stamp != NULL)
			exact_known_edit_read(d->plan->sql.entity, rows, n);
		row_zero = exact_ledger_row_zero(rows[0].version.division);
		turned = exact_ledger_invoices_turned(rows[0].version.division);
		for (int i = 0; i < n && !full; i++)
		{
			rows[i].version.row_zero = row_zero;
			rows[i].version.turned = turned;
			full = (!rows[i].aside || rows[i].bare) && !append_row(d, &rows[i]);
			position += full ? 0 : 1;
		}
		MemoryContextSwitchTo(old);
		MemoryContextReset(read_context);
	}
	MemoryContextDelete(read_context);
	pfree(rows);
	if (position > batch->delivered && position < batch->rows)
	{
		d->part = batch->id;
		d->part_rows = position;
	}
	return position >= batch->rows;
}

/* What of the rows is counted and listed once all are there */
static void
sum_up(ExactDelivery *d)
{
	int		   *divisions = palloc(sizeof(int) * list_length(d->divisions));

	d->batch.rows = d->rows;
	for (int i = 0; i < list_length(d->divisions); i++)
		divisions[i] = list_nth_int(d->divisions, i);
	d->batch.divisions = divisions;
	d->batch.ndivisions = list_length(d->divisions);
	d->batch.rewrite = d->again || d->range.first_batch < d->plan->rewrite_below;
	d->batch.held = d->held > 0;
	qsort(d->names, d->rows, sizeof(char *), compare_names);
	for (int i = 0; i < d->rows; i++)
		if (i == 0 || strcmp(d->names[i], d->names[i - 1]) != 0)
			d->keys++;
}

/* One that is empty: at most so many batches end in it, and it has at most so many rows. */
static ExactDelivery *
make_delivery(ExactTargetPlan *plan, int batches, int most)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "exact delivery",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	ExactDelivery *d = palloc0(sizeof(ExactDelivery));

	d->context = context;
	d->plan = plan;
	d->most = most > 0 ? Min(most, exact_merge_rows) : exact_merge_rows;
	initStringInfo(&d->text);
	d->sent = palloc(sizeof(ExactSentRow) * exact_merge_rows);
	d->names = palloc(sizeof(char *) * exact_merge_rows);
	d->whole = palloc(sizeof(int64) * Max(batches, 1));
	MemoryContextSwitchTo(old);
	return d;
}

/* All its rows are there: it lives on beyond the unit. */
static ExactDelivery *
close_delivery(ExactDelivery *d)
{
	MemoryContext old = MemoryContextSwitchTo(d->context);

	appendStringInfoChar(&d->text, ']');
	sum_up(d);
	MemoryContextSwitchTo(old);
	MemoryContextSetParent(d->context, TopMemoryContext);
	return d;
}

/* The rows of batch after batch, until a statement is full or no batch is left. */
ExactDelivery *
exact_delivery_read(ExactTargetPlan *plan, const ExactBacklog *backlog, int64 below, int most)
{
	int			batches = Min(backlog->n, exact_merge_rows);
	ExactDelivery *d = make_delivery(plan, batches, most);

	for (int i = 0; i < batches && backlog->batches[i].id < below; i++)
	{
		if (d->rows >= d->most || !read_batch(d, &backlog->batches[i]))
			break;
		d->whole[d->nwhole++] = backlog->batches[i].id;
	}
	return close_delivery(d);
}

/* A row that is too long for it is put aside, as it was. */
ExactDelivery *
exact_delivery_read_aside(ExactTargetPlan *plan, int most)
{
	ExactStageRow *rows = palloc(sizeof(ExactStageRow) * EXACT_STAGE_ROW_READ);
	int			n = exact_stage_row_read_aside(plan->workspace->name, plan->sql.entity, rows);
	ExactDelivery *d;

	if (n == 0)
		return NULL;
	if (plan->sql.stamp != NULL)
		exact_known_edit_read(plan->sql.entity, rows, n);
	d = make_delivery(plan, 0, most);
	for (int i = 0; i < n; i++)
	{
		ExactVersion *version = &rows[i].version;

		rows[i].bare = false;
		version->row_zero = exact_ledger_row_zero(version->division);
		version->turned = exact_ledger_invoices_turned(version->division);
		if (!append_row(d, &rows[i]))
			break;
	}
	return close_delivery(d);
}

/* ---- the record of a delivery ---- */

static void
record_batches(const ExactDelivery *d)
{
	static const char whole_sql[] =
	"UPDATE exact.batch"
	" SET delivered_rows = rows, delivered_at = clock_timestamp()"
	" WHERE id = ANY ($1)";
	static const char part_sql[] =
	"UPDATE exact.batch"
	" SET delivered_rows = $2"
	" WHERE id = $1";
	ExactArg	args[2];

	args[0] = exact_arg_int8_array(d->whole, NULL, d->nwhole);
	if (d->nwhole > 0)
		exact_sql(whole_sql, 1, args);
	if (d->part == 0)
		return;
	args[0] = exact_arg_int8(d->part);
	args[1] = exact_arg_int4(d->part_rows);
	exact_sql(part_sql, 2, args);
}

/* The rows, told by their versions, and the statements that carried them */
static void
audit(const ExactDelivery *d)
{
	ExactAuditDelivery delivery = {
		.entity = d->plan->sql.entity,
		.workspace = d->plan->workspace->name,
		.table = d->plan->current_name,
		.rows = d->rows,
		.keys = d->keys,
		.first_batch = d->range.first_batch,
		.first_ord = d->range.first_ord,
		.last_batch = d->range.last_batch,
		.last_ord = d->range.last_ord,
		.seq_min = d->batch.seq_min,
		.seq_max = d->batch.seq_max,
		.history_statement = d->history_statement,
		.current_statement = d->current_statement,
	};

	exact_audit_delivery(&delivery);
}

/* Rows that were put aside and went all the same, and those that newer versions have passed */
static void
record_letters(const ExactDelivery *d)
{
	const char *workspace = d->plan->workspace->name;
	int64	   *batches = palloc(2 * sizeof(int64) * (d->rows + 1));
	int			n = 0;

	for (int i = 0; i < d->rows; i++)
	{
		if (!d->sent[i].was_aside)
			continue;
		batches[n] = d->sent[i].batch;
		batches[d->rows + n++] = d->sent[i].ord;
	}
	if (n > 0)
		exact_dead_letter_delivered(workspace, batches, batches + d->rows, n);
	exact_dead_letter_passed(workspace, d->plan->sql.entity);
}

/* What the rules found about the rows is in Delta as they carried it. */
static void
record_verdicts(const ExactDelivery *d)
{
	int64	   *batches = palloc(2 * sizeof(int64) * (d->rows + 1));
	TimestampTz *judged_at = palloc(sizeof(TimestampTz) * (d->rows + 1));
	int			n = 0;

	for (int i = 0; i < d->rows; i++)
	{
		if (d->sent[i].judged_at == 0)
			continue;
		batches[n] = d->sent[i].batch;
		batches[d->rows + n] = d->sent[i].ord;
		judged_at[n++] = d->sent[i].judged_at;
	}
	if (n > 0)
		exact_verdict_delivered(batches, batches + d->rows, judged_at, n);
}

static void
record_unit(void *arg)
{
	ExactDelivery *d = arg;
	const ExactTargetPlan *plan = d->plan;
	ExactTargetNames names = {
		plan->workspace->name, plan->sql.entity, plan->current_name, plan->history_name
	};

	record_batches(d);
	record_letters(d);
	record_verdicts(d);
	if (plan->sql.stamp != NULL)
		exact_known_edit_record(plan->sql.entity, d->sent, d->rows);
	exact_target_state_delivered(&names, NULL, GetCurrentTimestamp());
	if (d->rows > 0)
		audit(d);
}

/* Batches that it delivered leave the list; one that it delivered in part stays with the rest. */
void
exact_delivery_settle(const ExactDelivery *d, ExactBacklog *backlog)
{
	int			kept = 0;
	int			w = 0;

	for (int i = 0; i < backlog->n; i++)
	{
		ExactBatch	batch = backlog->batches[i];

		while (w < d->nwhole && d->whole[w] < batch.id)
			w++;
		if (w < d->nwhole && d->whole[w] == batch.id)
			continue;
		if (batch.id == d->part)
			batch.delivered = d->part_rows;
		backlog->batches[kept++] = batch;
	}
	backlog->n = kept;
}

bool
exact_delivery_record(ExactDelivery *d)
{
	if (!exact_unit_run("record delivery", record_unit, d, NULL))
		return false;
	exact_log(LOG, "delivered table=%s rows=%d batches=%d history_ms=%.0f current_ms=%.0f",
			  d->plan->sql.entity, d->rows, d->nwhole + (d->part != 0 ? 1 : 0), d->history_ms,
			  d->current_ms);
	return true;
}

void
exact_delivery_free(ExactDelivery *d)
{
	MemoryContextDelete(d->context);
}

/* ---- the statements ---- */

static void
end_delivery(ExactDelivery *d, const ExactDeliveryEnd *end)
{
	MemoryContext old = MemoryContextSwitchTo(d->context);

	d->done(end, d->arg);
	MemoryContextSwitchTo(old);
	if (!end->unrecorded)
		exact_delivery_free(d);
}

static void
end_delivered(ExactDelivery *d)
{
	ExactDeliveryEnd end;

	memset(&end, 0, sizeof(end));
	for (int i = 0; i < d->rows; i++)
		end.held |= d->sent[i].held;
	end.unrecorded = !exact_delivery_record(d);
	end_delivery(d, &end);
}

static void
too_large_unit(void *arg)
{
	static const char reason[] = "Databricks refuses a request of its size";
	ExactDelivery *d = arg;

	exact_bad_row_put_one(d->plan, &d->sent[0], reason);
	if (exact_dead_letter_alike(d->plan->workspace->name, d->plan->sql.entity,
								reason) > EXACT_BAD_ROW_MOST)
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_DATABRICKS_REFUSED),
				 errmsg("more than %d rows are refused for their size", EXACT_BAD_ROW_MOST),
				 errhint("Raise the limit of the proxy before Databricks. Then SELECT"
						 " exact.resume(division, '%s').", d->plan->sql.entity)));
}

/* Half of the rows may be taken. One alone goes aside, unless it is no large one. */
static void
end_too_large(ExactDelivery *d, const ExactStatementResult *result)
{
	ExactFault *fault = NULL;
	ExactDeliveryEnd end;

	memset(&end, 0, sizeof(end));
	end.sqlstate = result->sqlstate;
	if (d->rows > 1)
		end.most_rows = d->rows / 2;
	else if (d->text.len < SMALL_BYTES)
		end.fault = result->fault;
	else if (exact_unit_run("put row aside", too_large_unit, d, &fault))
		end.put_aside = true;
	else
		end.fault = fault;
	end_delivery(d, &end);
}

static void search_rows(ExactDelivery *d, const ExactStatementResult *result);

static void
end_refused(ExactDelivery *d, const ExactStatementResult *result)
{
	ExactDeliveryEnd end;

	if (result->too_large)
	{
		end_too_large(d, result);
		return;
	}
	if (exact_bad_row_meant(result->sqlstate))
	{
		search_rows(d, result);
		return;
	}
	memset(&end, 0, sizeof(end));
	end.fault = result->fault;
	end.sqlstate = result->sqlstate;
	end.fenced = result->fenced;
	end_delivery(d, &end);
}

static void
end_with_gap(ExactDelivery *d, const char *table, int64 found, const char *what)
{
	ExactDeliveryEnd end;
	char	   *message = psprintf("post-condition failed: %s holds " INT64_FORMAT
								   " of the %d %s of batches " INT64_FORMAT " to " INT64_FORMAT,
								   table, found, d->rows, what, d->range.first_batch,
								   d->range.last_batch);
	char	   *hint = psprintf("Look who else writes it: DESCRIBE HISTORY %s; then SELECT"
								" exact.resume(division, '%s') delivers them again.",
								exact_delta_sql_for_people(table), d->plan->sql.entity);

	memset(&end, 0, sizeof(end));
	end.fault = exact_fault_make(ERRCODE_EXACT_TABLE_MISMATCH, message, NULL, hint);
	end.sqlstate = "EX014";
	end.gap = true;
	end_delivery(d, &end);
}

/* Another record has a _seq of these rows: an epoch begins, and this process ends. */
static void
end_given_twice(ExactDelivery *d, int64 seq)
{
	ExactFault *fault = NULL;
	ExactDeliveryEnd end;

	if (exact_other_copy_found(d->plan, d->batch.seq_min - 1, seq, &fault))
		return;
	memset(&end, 0, sizeof(end));
	end.fault = fault;
	end.sqlstate = "";
	end_delivery(d, &end);
}

/* Sends a statement of this delivery, with its rows or without; done gets the delivery. */
static void
send(ExactDelivery *d, ExactTable table, const char *kind, const char *verb, const char *sql,
	 bool rows, ExactStatementDone done)
{
	d->table = table;
	exact_statement_start(&(ExactStatementRequest) {
		.workspace = d->plan->workspace,
		.hub = d->plan->sql.hub,
		.entity = d->plan->sql.entity,
		.table = table == EXACT_TABLE_HISTORY ? d->plan->history_name : d->plan->current_name,
		.kind = kind,
		.verb = verb,
		.sql = sql,
		.parameter = rows ? d->text.data : NULL,
		.range = d->range,
		.rows = d->rows,
		.trouble = d->trouble,
		.trouble_arg = d->arg,
		.done = done,
		.arg = d
	});
}

static void
run(ExactDelivery *d, ExactTable table, const char *kind, const char *verb, const char *sql,
	ExactStatementDone done)
{
	send(d, table, kind, verb, sql, true, done);
}

/* ---- a search for rows that cannot be delivered ---- */

static void
end_searched(ExactDelivery *d, const ExactFault *fault)
{
	ExactDeliveryEnd end;

	memset(&end, 0, sizeof(end));
	end.fault = fault;
	end.sqlstate = d->refusal_sqlstate;
	end.put_aside = fault == NULL;
	end_delivery(d, &end);
}

/* What is put aside is not read any more: the next delivery has the others. */
static void
take_search(const ExactStatementResult *result, void *arg)
{
	ExactDelivery *d = arg;
	ExactBadRowSearch search = {d->plan, d->sent, d->rows, d->text.data, d->constraint};
	ExactFault *fault;

	if (exact_bad_row_put_aside(&search, result, &fault))
		end_searched(d, NULL);
	else
		end_searched(d, fault != NULL ? fault : d->refusal);
}

static void
take_properties(const ExactStatementResult *result, void *arg)
{
	ExactDelivery *d = arg;
	const char *condition = result->verdict == EXACT_VERDICT_SUCCEEDED ?
		exact_bad_row_condition(&d->plan->sql, d->constraint, result) : NULL;
	StringInfoData sql;

	if (condition == NULL)
	{
		end_searched(d, d->refusal);
		return;
	}
	initStringInfo(&sql);
	exact_merge_sql_violating(&sql, &d->plan->sql, d->table, &d->batch, condition);
	run(d, d->table, "check", "search for", sql.data, take_search);
}

static void
search_rows(ExactDelivery *d, const ExactStatementResult *result)
{
	MemoryContext old = MemoryContextSwitchTo(d->context);
	StringInfoData sql;

	d->refusal = exact_fault_copy(result->fault);
	d->refusal_sqlstate = pstrdup(result->sqlstate);
	d->constraint = result->constraint != NULL ? pstrdup(result->constraint) : NULL;
	initStringInfo(&sql);
	MemoryContextSwitchTo(old);
	if (d->constraint != NULL)
	{
		exact_merge_sql_properties(&sql, &d->plan->sql, d->table);
		send(d, d->table, "check", "reading of", sql.data, false, take_properties);
		return;
	}
	exact_merge_sql_unfit(&sql, &d->plan->sql, &d->batch);
	run(d, d->table, "check", "search for", sql.data, take_search);
}

/* ---- the statements in their order ---- */

/* The number of rows that a check answers, -1 when it is none */
static int64
counted(const ExactStatementResult *result)
{
	if (result->nrows != 1 || result->ncolumns < 1 || result->cells[0] == NULL)
		return -1;
	return strtoll(result->cells[0], NULL, 10);
}

static void
take_current_check(const ExactStatementResult *result, void *arg)
{
	ExactDelivery *d = arg;
	bool		good = result->verdict == EXACT_VERDICT_SUCCEEDED;
	int64		found = !good ? 0 : d->plan->sql.stamp == NULL ? counted(result) :
		exact_known_edit_prove(result, d->sent, d->rows);

	if (!good)
		end_refused(d, result);
	else if (found != d->rows - d->held)
		end_with_gap(d, d->plan->current_name, found, "versions or later ones of their records");
	else
		end_delivered(d);
}

static void
take_current(const ExactStatementResult *result, void *arg)
{
	ExactDelivery *d = arg;
	StringInfoData sql;

	if (result->verdict != EXACT_VERDICT_SUCCEEDED)
	{
		end_refused(d, result);
		return;
	}
	d->current_ms = result->ms;
	if (result->statement_id != NULL)
		d->current_statement = MemoryContextStrdup(d->context, result->statement_id);
	if (result->first_attempt && result->affected == d->keys && d->plan->sql.stamp == NULL &&
		d->held == 0)
	{
		end_delivered(d);
		return;
	}
	initStringInfo(&sql);
	if (d->plan->sql.stamp != NULL)
		exact_merge_sql_check_edited(&sql, &d->plan->sql, &d->batch);
	else
		exact_merge_sql_check_current(&sql, &d->plan->sql, &d->batch);
	run(d, EXACT_TABLE_CURRENT, "check", "check of", sql.data, take_current_check);
}

static void
start_current(ExactDelivery *d)
{
	StringInfoData sql;

	d->batch.rewrite &= d->plan->sql.stamp == NULL;
	initStringInfo(&sql);
	exact_merge_sql_current(&sql, &d->plan->sql, &d->batch, d->keys < d->rows);
	run(d, EXACT_TABLE_CURRENT, "current", "MERGE into", sql.data, take_current);
}

static void
take_history_check(const ExactStatementResult *result, void *arg)
{
	ExactDelivery *d = arg;

	if (result->verdict != EXACT_VERDICT_SUCCEEDED)
		end_refused(d, result);
	else if (result->nrows == 1 && result->ncolumns == 2 && result->cells[1] != NULL)
		end_given_twice(d, strtoll(result->cells[1], NULL, 10));
	else if (counted(result) != d->rows)
		end_with_gap(d, d->plan->history_name, counted(result), "versions");
	else
		start_current(d);
}

static void
take_history(const ExactStatementResult *result, void *arg)
{
	ExactDelivery *d = arg;
	StringInfoData sql;

	if (result->verdict != EXACT_VERDICT_SUCCEEDED)
	{
		end_refused(d, result);
		return;
	}
	d->history_ms = result->ms;
	if (result->statement_id != NULL)
		d->history_statement = MemoryContextStrdup(d->context, result->statement_id);
	if (result->first_attempt && result->affected == d->rows)
	{
		start_current(d);
		return;
	}
	initStringInfo(&sql);
	exact_merge_sql_check_history(&sql, &d->plan->sql, &d->batch);
	run(d, EXACT_TABLE_HISTORY, "check", "check of", sql.data, take_history_check);
}

void
exact_delivery_start(ExactDelivery *d, ExactStatementTrouble trouble, ExactDeliveryDone done,
					 void *arg)
{
	StringInfoData sql;

	d->trouble = trouble;
	d->done = done;
	d->arg = arg;
	if (d->rows == 0)
	{
		end_delivered(d);
		return;
	}
	initStringInfo(&sql);
	exact_merge_sql_history(&sql, &d->plan->sql, &d->batch);
	run(d, EXACT_TABLE_HISTORY, "history", "MERGE into", sql.data, take_history);
}
