/*
 * delivery.c - one delivery: history MERGE, current MERGE, proof, record.
 *
 * What goes as files is put to the volume first, part by part, and deleted at the end, whatever
 * that is. Both MERGEs are safe to repeat in any order, and nothing is recorded before both are
 * proved: whatever ends the process between them, the next one sends both again. So the last rows
 * that wait, as many as one statement carries, go by both at the same time if the warehouse has
 * little else to do; otherwise history goes first. Rows that are all new are inserted into the
 * current table; the MERGE follows only if that did not insert each of them. A statement that ran
 * once, in one attempt, and counts as many rows as it was given has proved itself; otherwise, and
 * always in a dimension, where users make copies of rows, a query counts what the table holds. When
 * one is refused for a value, a SELECT finds the rows that have such values; they are put aside,
 * and the next delivery is read without them. Called by delta_table.c.
 */
#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/memutils.h"

#include "base/errors.h"
#include "base/fault.h"
#include "databricks/delta_sql.h"
#include "databricks/statement.h"
#include "deliver/backlog.h"
#include "deliver/bad_row.h"
#include "deliver/delivered.h"
#include "deliver/delivery.h"
#include "deliver/known_edit.h"
#include "deliver/load.h"
#include "deliver/other_copy.h"
#include "deliver/volume.h"
#include "delta/merge_sql.h"
#include "delta/rows_sql.h"
#include "delta/target.h"
#include "state/dead_letter.h"
#include "state/target_state.h"
#include "worker/self.h"
#include "worker/unit.h"

/* Who refuses a row of less for its size does not mean the row: a proxy has a low limit */
#define SMALL_BYTES 65536

typedef enum PartEnd
{
	PART_OPEN,
	PART_GOOD,
	PART_REFUSED,
	PART_GAP,					/* its table does not hold what was merged into it */
	PART_GIVEN_TWICE			/* another record has a _seq of these rows */
} PartEnd;

/* What one of the two tables gets */
typedef struct Part
{
	ExactDelivery *delivery;
	ExactTable	table;
	bool		fresh;			/* its table was just made: an INSERT may do */
	bool		under_way;
	PartEnd		end;
	char	   *statement;		/* id of its MERGE; may be NULL */
	double		ms;
	ExactStatementResult refusal;
	int64		found;			/* GAP: rows; GIVEN_TWICE: that _seq */
} Part;

struct ExactDelivery
{
	MemoryContext context;
	ExactTargetPlan *plan;
	ExactLoad  *load;
	ExactMergeRows batch;		/* of the load, with its files */
	bool		at_once;		/* both MERGEs at the same time */
	Part		history;
	Part		current;
	size_t		file_bytes;
	const Part *refused;		/* whose rows are searched; NULL: none are */
	ExactStatementTrouble trouble;
	ExactDeliveryEnd end;		/* told when its files are deleted */
	ExactDeliveryDone done;
	void	   *arg;
};

static ExactDelivery *
make_delivery(ExactLoad *load)
{
	ExactDelivery *d;

	if (load == NULL)
		return NULL;
	d = MemoryContextAllocZero(load->context, sizeof(ExactDelivery));
	d->context = load->context;
	d->plan = load->plan;
	d->load = load;
	d->history.delivery = d->current.delivery = d;
	d->history.table = EXACT_TABLE_HISTORY;
	d->current.table = EXACT_TABLE_CURRENT;
	return d;
}

ExactDelivery *
exact_delivery_read(ExactTargetPlan *plan, const ExactBacklog *backlog, int64 below, int most)
{
	return make_delivery(exact_load_read(plan, backlog, below, most,
										 exact_volume_usable(plan->workspace)));
}

ExactDelivery *
exact_delivery_read_aside(ExactTargetPlan *plan, int most)
{
	return make_delivery(exact_load_read_aside(plan, most,
											   exact_volume_usable(plan->workspace)));
}

/* ---- the record ---- */

static void
record_unit(void *arg)
{
	ExactDelivery *d = arg;

	exact_delivered_record(d->load, d->history.statement, d->current.statement);
}

void
exact_delivery_settle(const ExactDelivery *d, ExactBacklog *backlog)
{
	exact_load_settle(d->load, backlog);
}

bool
exact_delivery_record(ExactDelivery *d)
{
	const ExactLoad *load = d->load;
	bool		in_part = load->at < load->nbatches &&
		load->position > load->batches[load->at].delivered;

	if (!exact_unit_run("record delivery", record_unit, d, NULL))
		return false;
	exact_log(LOG, "delivered table=%s rows=%d batches=%d divisions=%d files=%d"
			  " bytes=" UINT64_FORMAT " history_ms=%.0f current_ms=%.0f",
			  d->plan->sql.entity, load->rows,
			  load->at + (in_part ? 1 : 0),
			  list_length(load->divisions), list_length(load->files),
			  load->gzip != NULL ? (uint64) d->file_bytes : (uint64) load->text.len,
			  d->history.ms, d->current.ms);
	return true;
}

void
exact_delivery_free(ExactDelivery *d)
{
	MemoryContextDelete(d->context);
}

/* ---- the end ---- */

static void
tell_end(ExactDelivery *d)
{
	MemoryContext old = MemoryContextSwitchTo(d->context);
	bool		unrecorded;

	if (d->end.fault == NULL && !d->end.put_aside && d->end.most_rows == 0)
		d->end.unrecorded = !exact_delivery_record(d);
	unrecorded = d->end.unrecorded;
	d->done(&d->end, d->arg);
	MemoryContextSwitchTo(old);
	if (!unrecorded)
		exact_delivery_free(d);
}

static void
take_deleted(const ExactFault *fault, void *arg)
{
	ExactDelivery *d = arg;

	d->end.files_left = fault != NULL;
	tell_end(d);
}

/* However it ends: its files are deleted before anybody hears of it. */
static void
end_delivery(ExactDelivery *d, const ExactDeliveryEnd *end)
{
	MemoryContext old = MemoryContextSwitchTo(d->context);

	d->end = *end;
	d->end.fault = end->fault != NULL ? exact_fault_copy(end->fault) : NULL;
	d->end.sqlstate = pstrdup(end->sqlstate != NULL ? end->sqlstate : "");
	MemoryContextSwitchTo(old);
	if (d->load->files != NIL)
		exact_volume_delete(d->plan->workspace, d->load->files, take_deleted, d);
	else
		tell_end(d);
}

static void
end_delivered(ExactDelivery *d)
{
	ExactDeliveryEnd end;

	memset(&end, 0, sizeof(end));
	for (int i = 0; i < d->load->rows; i++)
		end.held |= d->load->sent[i].held;
	if (d->load->files != NIL)
		exact_volume_works(d->plan->workspace);
	end_delivery(d, &end);
}

/* Nothing of it was delivered, and its rows are read anew. */
static void
end_again(ExactDelivery *d)
{
	ExactDeliveryEnd end;

	memset(&end, 0, sizeof(end));
	end.put_aside = true;
	end_delivery(d, &end);
}

static void
too_large_unit(void *arg)
{
	static const char reason[] = "Databricks refuses a request of its size";
	ExactDelivery *d = arg;

	exact_bad_row_put_one(d->plan, &d->load->sent[0], reason);
	if (exact_dead_letter_alike(d->plan->workspace->name, d->plan->sql.entity,
								reason) > EXACT_BAD_ROW_MOST)
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_DATABRICKS_REFUSED),
				 errmsg("Databricks refuses more than %d rows because of their size",
						EXACT_BAD_ROW_MOST),
				 errhint("Raise the limit of the proxy in front of Databricks. Then SELECT"
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
	if (d->load->rows > 1)
		end.most_rows = d->load->rows / 2;
	else if (d->load->gzip != NULL || d->load->text.len < SMALL_BYTES)
		end.fault = result->fault;
	else if (exact_unit_run("put row aside", too_large_unit, d, &fault))
		end.put_aside = true;
	else
		end.fault = fault;
	end_delivery(d, &end);
}

static void search_rows(ExactDelivery *d, const Part *part);

/* Somebody has deleted or changed a file, or may not let it be read. */
static bool
is_about_files(const ExactStatementResult *result)
{
	return strcmp(result->sqlstate, "42K03") == 0 || strncmp(result->sqlstate, "KD", 2) == 0 ||
		strcmp(result->sqlstate, "22023") == 0 ||
		strstr(result->fault->message, EXACT_ROWS_SQL_FILES) != NULL ||
		(strcmp(result->sqlstate, "42501") == 0 &&
		 strstr(result->fault->message, "VOLUME") != NULL);
}

static void
end_refused(ExactDelivery *d, const Part *part)
{
	const ExactStatementResult *result = &part->refusal;
	ExactDeliveryEnd end;

	if (result->too_large)
	{
		end_too_large(d, result);
		return;
	}
	if (d->load->files != NIL && is_about_files(result))
	{
		if (strcmp(result->sqlstate, "42501") == 0)
			exact_volume_fails(d->plan->workspace, result->fault);
		else
			exact_volume_loses(d->plan->workspace, result->fault);
		end_again(d);
		return;
	}
	if (exact_bad_row_meant(result->sqlstate))
	{
		search_rows(d, part);
		return;
	}
	memset(&end, 0, sizeof(end));
	end.fault = result->fault;
	end.sqlstate = result->sqlstate;
	end.fenced = result->fenced;
	end_delivery(d, &end);
}

static void
end_with_gap(ExactDelivery *d, const Part *part)
{
	bool		history = part->table == EXACT_TABLE_HISTORY;
	const char *table = history ? d->plan->history_name : d->plan->current_name;
	ExactDeliveryEnd end;
	char	   *message = psprintf("post-condition failed: %s holds " INT64_FORMAT
								   " of the %d %s of batches " INT64_FORMAT " to " INT64_FORMAT,
								   table, part->found, d->load->rows, history ? "versions" :
								   "versions or later ones of their records",
								   d->load->range.first_batch, d->load->range.last_batch);
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

/* Sends a statement of this delivery, with its rows or without. */
static void
send(ExactDelivery *d, ExactTable table, const char *kind, const char *verb, const char *sql,
	 bool rows, ExactStatementDone done, void *arg)
{
	exact_statement_start(&(ExactStatementRequest) {
		.workspace = d->plan->workspace,
		.hub = d->plan->sql.hub,
		.entity = d->plan->sql.entity,
		.table = table == EXACT_TABLE_HISTORY ? d->plan->history_name : d->plan->current_name,
		.kind = kind,
		.verb = verb,
		.sql = sql,
		.parameter = rows && d->load->gzip == NULL ? d->load->text.data : NULL,
		.quoted = true,
		.range = d->load->range,
		.rows = d->load->rows,
		.bytes = rows && table == EXACT_TABLE_HISTORY ? (int64) d->file_bytes : 0,
		.trouble = d->trouble,
		.trouble_arg = d->arg,
		.done = done,
		.arg = arg
	});
}

/* ---- a search for rows that cannot be delivered ---- */

static void
end_searched(ExactDelivery *d, const ExactFault *fault)
{
	ExactDeliveryEnd end;

	memset(&end, 0, sizeof(end));
	end.fault = fault;
	end.sqlstate = d->refused->refusal.sqlstate;
	end.put_aside = fault == NULL;
	end_delivery(d, &end);
}

/* What is put aside is not read any more: the next delivery has the others. */
static void
take_search(const ExactStatementResult *result, void *arg)
{
	ExactDelivery *d = arg;
	const ExactStatementResult *refusal = &d->refused->refusal;
	ExactBadRowSearch search = {d->plan, d->load->sent, d->load->rows, refusal->constraint};
	ExactFault *fault;

	if (exact_bad_row_put_aside(&search, result, &fault))
		end_searched(d, NULL);
	else
		end_searched(d, fault != NULL ? fault : refusal->fault);
}

static void
take_properties(const ExactStatementResult *result, void *arg)
{
	ExactDelivery *d = arg;
	const char *condition = result->verdict == EXACT_VERDICT_SUCCEEDED ?
		exact_bad_row_condition(&d->plan->sql, d->refused->refusal.constraint, result) : NULL;
	StringInfoData sql;

	if (condition == NULL)
	{
		end_searched(d, d->refused->refusal.fault);
		return;
	}
	initStringInfo(&sql);
	exact_merge_sql_violating(&sql, &d->plan->sql, d->refused->table, &d->batch, condition);
	send(d, d->refused->table, "check", "search for", sql.data, true, take_search, d);
}

static void
search_rows(ExactDelivery *d, const Part *part)
{
	StringInfoData sql;

	d->refused = part;
	initStringInfo(&sql);
	if (part->refusal.constraint != NULL)
	{
		exact_merge_sql_properties(&sql, &d->plan->sql, part->table);
		send(d, part->table, "check", "reading of", sql.data, false, take_properties, d);
		return;
	}
	exact_merge_sql_unfit(&sql, &d->plan->sql, &d->batch);
	send(d, part->table, "check", "search for", sql.data, true, take_search, d);
}

/* ---- the statements ---- */

/* The number of rows that a check answers, -1 when it is none */
static int64
counted(const ExactStatementResult *result)
{
	if (result->nrows != 1 || result->ncolumns < 1 || result->cells[0] == NULL)
		return -1;
	return strtoll(result->cells[0], NULL, 10);
}

static void start_current(ExactDelivery *d);

/* Both are waited for: no file is deleted and no row read anew while a statement has them. */
static void
end_part(Part *part, PartEnd end)
{
	ExactDelivery *d = part->delivery;
	const Part *decides;

	part->end = end;
	part->under_way = false;
	if (d->history.under_way || d->current.under_way)
		return;
	if (d->history.end == PART_GOOD && d->current.end == PART_OPEN)
	{
		start_current(d);
		return;
	}
	decides = d->history.end != PART_GOOD ? &d->history : &d->current;
	if (decides->end == PART_GOOD)
		end_delivered(d);
	else if (decides->end == PART_GAP)
		end_with_gap(d, decides);
	else if (decides->end == PART_GIVEN_TWICE)
		end_given_twice(d, decides->found);
	else
		end_refused(d, decides);
}

static void
end_part_refused(Part *part, const ExactStatementResult *result)
{
	MemoryContext old = MemoryContextSwitchTo(part->delivery->context);

	part->refusal = *result;
	part->refusal.fault = exact_fault_copy(result->fault);
	part->refusal.sqlstate = pstrdup(result->sqlstate);
	part->refusal.constraint = result->constraint != NULL ? pstrdup(result->constraint) : NULL;
	part->refusal.statement_id = NULL;
	part->refusal.cells = NULL;
	MemoryContextSwitchTo(old);
	end_part(part, PART_REFUSED);
}

static void
run(Part *part, const char *kind, const char *verb, const char *sql, ExactStatementDone done)
{
	part->under_way = true;
	send(part->delivery, part->table, kind, verb, sql, true, done, part);
}

/*
 * A MERGE of a part is over. True: something has to follow it; false: it was refused, or it ran
 * once, in one attempt, and `proves` so many rows.
 */
static bool
is_unproved(Part *part, const ExactStatementResult *result, bool proves, int rows)
{
	if (result->verdict != EXACT_VERDICT_SUCCEEDED)
	{
		end_part_refused(part, result);
		return false;
	}
	part->ms = result->ms;
	if (result->statement_id != NULL)
		part->statement = MemoryContextStrdup(part->delivery->context, result->statement_id);
	if (!proves || !result->first_attempt || result->affected != rows)
		return true;
	end_part(part, PART_GOOD);
	return false;
}

static void
take_history_check(const ExactStatementResult *result, void *arg)
{
	Part	   *part = arg;

	if (result->verdict != EXACT_VERDICT_SUCCEEDED)
		end_part_refused(part, result);
	else if (result->nrows == 1 && result->ncolumns == 2 && result->cells[1] != NULL)
	{
		part->found = strtoll(result->cells[1], NULL, 10);
		end_part(part, PART_GIVEN_TWICE);
	}
	else
	{
		part->found = counted(result);
		end_part(part, part->found == part->delivery->load->rows ? PART_GOOD : PART_GAP);
	}
}

static void
take_history(const ExactStatementResult *result, void *arg)
{
	Part	   *part = arg;
	ExactDelivery *d = part->delivery;
	StringInfoData sql;

	if (!is_unproved(part, result, true, d->load->rows))
		return;
	initStringInfo(&sql);
	exact_merge_sql_check_history(&sql, &d->plan->sql, &d->batch);
	run(part, "check", "check of", sql.data, take_history_check);
}

static void
merge_history(ExactDelivery *d)
{
	StringInfoData sql;

	initStringInfo(&sql);
	exact_merge_sql_history(&sql, &d->plan->sql, &d->batch);
	run(&d->history, "history", "MERGE into", sql.data, take_history);
}

static void
take_current_check(const ExactStatementResult *result, void *arg)
{
	Part	   *part = arg;
	ExactDelivery *d = part->delivery;

	if (result->verdict != EXACT_VERDICT_SUCCEEDED)
	{
		end_part_refused(part, result);
		return;
	}
	part->found = d->plan->sql.stamp == NULL ? counted(result) :
		exact_known_edit_prove(result, d->load->sent, d->load->rows);
	end_part(part, part->found == d->load->rows - d->load->held ? PART_GOOD : PART_GAP);
}

static void
take_current(const ExactStatementResult *result, void *arg)
{
	Part	   *part = arg;
	ExactDelivery *d = part->delivery;
	StringInfoData sql;

	if (!is_unproved(part, result, d->plan->sql.stamp == NULL && d->load->held == 0,
					 d->load->keys))
		return;
	initStringInfo(&sql);
	if (d->plan->sql.stamp != NULL)
		exact_merge_sql_check_edited(&sql, &d->plan->sql, &d->batch);
	else
		exact_merge_sql_check_current(&sql, &d->plan->sql, &d->batch);
	run(part, "check", "check of", sql.data, take_current_check);
}

static void
merge_current(ExactDelivery *d)
{
	StringInfoData sql;

	d->batch.rewrite &= d->plan->sql.stamp == NULL;
	initStringInfo(&sql);
	exact_merge_sql_current(&sql, &d->plan->sql, &d->batch, d->load->keys < d->load->rows);
	run(&d->current, "current", "MERGE into", sql.data, take_current);
}

static void
take_inserted(const ExactStatementResult *result, void *arg)
{
	Part	   *part = arg;
	ExactDelivery *d = part->delivery;

	if (!is_unproved(part, result, true, d->load->rows))
		return;
	if (part->table == EXACT_TABLE_HISTORY)
		merge_history(d);
	else
		merge_current(d);
}

/* The first rows of a table */
static void
insert_first(Part *part)
{
	ExactDelivery *d = part->delivery;
	StringInfoData sql;

	initStringInfo(&sql);
	exact_merge_sql_first(&sql, &d->plan->sql, part->table, &d->batch);
	run(part, part->table == EXACT_TABLE_HISTORY ? "history" : "current", "INSERT into", sql.data,
		take_inserted);
}

/* Is each row the first version of a record of its own? */
static bool
are_all_new(const ExactDelivery *d)
{
	const ExactLoad *load = d->load;

	if (d->plan->sql.stamp != NULL || d->batch.rewrite || d->batch.held || load->aside ||
		load->keys < load->rows)
		return false;
	for (int i = 0; i < load->rows; i++)
		if (load->sent[i].op != 'I' || load->sent[i].content_batch != 0)
			return false;
	return true;
}

static void
start_current(ExactDelivery *d)
{
	StringInfoData sql;

	if (d->current.fresh && !d->batch.held && d->load->keys == d->load->rows)
	{
		insert_first(&d->current);
		return;
	}
	if (!are_all_new(d))
	{
		merge_current(d);
		return;
	}
	initStringInfo(&sql);
	exact_merge_sql_insert_current(&sql, &d->plan->sql, &d->batch);
	run(&d->current, "current", "MERGE into", sql.data, take_inserted);
}

/* Before the first rows go: by their number it is known whose they are, whatever is answered. */
static void
first_unit(void *arg)
{
	ExactDelivery *d = arg;
	ExactTargetNames names = {
		d->plan->workspace->name, d->plan->sql.entity, d->plan->current_name, d->plan->history_name
	};

	exact_target_state_first(&names, d->load->rows);
}

static void
start_merges(ExactDelivery *d)
{
	MemoryContext old = MemoryContextSwitchTo(d->context);
	const char **files = palloc(sizeof(char *) * Max(list_length(d->load->files), 1));

	if (d->load->gzip != NULL)
		exact_gzip_release(d->load->gzip);
	d->batch = d->load->batch;
	for (int i = 0; i < list_length(d->load->files); i++)
		files[i] = list_nth(d->load->files, i);
	d->batch.files = files;
	d->batch.nfiles = list_length(d->load->files);
	MemoryContextSwitchTo(old);
	if (d->load->rows == 0)
	{
		end_delivered(d);
		return;
	}
	if ((d->history.fresh || d->current.fresh) &&
		!exact_unit_run("record first rows", first_unit, d, NULL))
		d->history.fresh = d->current.fresh = false;
	/* before the first one is sent: should it end at once, the other one is waited for */
	d->current.under_way = d->at_once;
	if (d->history.fresh)
		insert_first(&d->history);
	else
		merge_history(d);
	if (d->at_once)
		start_current(d);
}

/* ---- files ---- */

static void
read_unit(void *arg)
{
	exact_load_read_on(arg);
}

static void put_part(ExactDelivery *d);

static void
take_put(const ExactFault *fault, void *arg)
{
	ExactDelivery *d = arg;
	ExactFault *read_fault = NULL;
	ExactDeliveryEnd end;

	if (fault != NULL)
	{
		exact_volume_fails(d->plan->workspace, fault);
		end_again(d);
	}
	else if (d->load->complete)
		start_merges(d);
	else if (exact_unit_run("read stage", read_unit, d->load, &read_fault))
		put_part(d);
	else
	{
		memset(&end, 0, sizeof(end));
		end.fault = read_fault;
		end_delivery(d, &end);
	}
}

/* One part is put before the next one is read: no transaction waits for the volume. */
static void
put_part(ExactDelivery *d)
{
	const char *data;
	size_t		len;
	const char *path = exact_load_part(d->load, &data, &len);

	if (path == NULL)
	{
		take_put(NULL, d);
		return;
	}
	d->file_bytes += len;
	exact_volume_put(d->plan->workspace, path, data, len, d->trouble, d->arg, take_put, d);
}

void
exact_delivery_start(ExactDelivery *d, bool at_once, ExactStatementTrouble trouble,
					 ExactDeliveryDone done, void *arg)
{
	bool	   *fresh = d->plan->fresh;

	d->at_once = at_once && d->plan->sql.stamp == NULL && d->load->gzip == NULL &&
		!d->load->aside && d->load->at == d->load->nbatches;
	d->history.fresh = fresh[EXACT_TABLE_HISTORY];
	d->current.fresh = fresh[EXACT_TABLE_CURRENT];
	fresh[EXACT_TABLE_HISTORY] = fresh[EXACT_TABLE_CURRENT] = false;
	d->trouble = trouble;
	d->done = done;
	d->arg = arg;
	if (d->load->gzip != NULL)
		put_part(d);
	else
		start_merges(d);
}
