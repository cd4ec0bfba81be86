/*
 * delivered.c - the record of what was delivered: batches, rows that were put aside, verdicts,
 * edits, the table's state and the event.
 *
 * Called by delivery.c, once the tables hold it.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/counter.h"
#include "base/sql.h"
#include "deliver/delivered.h"
#include "deliver/known_edit.h"
#include "deliver/load.h"
#include "state/audit.h"
#include "state/dead_letter.h"
#include "state/target_state.h"
#include "state/verdict.h"

static void
record_batches(const ExactLoad *load)
{
	static const char whole_sql[] =
	"UPDATE exact.batch"
	" SET delivered_rows = rows, delivered_at = clock_timestamp()"
	" WHERE id = ANY ($1)";
	static const char part_sql[] =
	"UPDATE exact.batch"
	" SET delivered_rows = $2"
	" WHERE id = $1";
	int64	   *whole = palloc(sizeof(int64) * Max(load->at, 1));
	ExactArg	args[2];

	for (int i = 0; i < load->at; i++)
		whole[i] = load->batches[i].id;
	args[0] = exact_arg_int8_array(whole, NULL, load->at);
	if (load->at > 0)
	{
		exact_sql(whole_sql, 1, args);
		exact_counter_delivered(whole, load->at);
	}
	if (load->at == load->nbatches || load->position == load->batches[load->at].delivered)
		return;
	args[0] = exact_arg_int8(load->batches[load->at].id);
	args[1] = exact_arg_int4(load->position);
	exact_sql(part_sql, 2, args);
}

/* The rows, told by their versions, and the statements that carried them */
static void
audit(const ExactLoad *load, const char *history_statement, const char *current_statement)
{
	ExactAuditDelivery delivery = {
		.entity = load->plan->sql.entity,
		.workspace = load->plan->workspace->name,
		.table = load->plan->current_name,
		.rows = load->rows,
		.keys = load->keys,
		.first_batch = load->range.first_batch,
		.first_ord = load->range.first_ord,
		.last_batch = load->range.last_batch,
		.last_ord = load->range.last_ord,
		.seq_min = load->batch.seq_min,
		.seq_max = load->batch.seq_max,
		.history_statement = history_statement,
		.current_statement = current_statement,
	};

	exact_audit_delivery(&delivery);
}

/* Rows that were put aside and went all the same, and those that newer versions have passed */
static void
record_letters(const ExactLoad *load)
{
	const char *workspace = load->plan->workspace->name;
	int64	   *batches = palloc(2 * sizeof(int64) * (load->rows + 1));
	int			n = 0;

	for (int i = 0; i < load->rows; i++)
	{
		if (!load->sent[i].was_aside)
			continue;
		batches[n] = load->sent[i].batch;
		batches[load->rows + n++] = load->sent[i].ord;
	}
	if (n > 0)
		exact_dead_letter_delivered(workspace, batches, batches + load->rows, n);
	exact_dead_letter_passed(workspace, load->plan->sql.entity);
}

/* What the rules found about the rows is in Delta as they carried it. */
static void
record_verdicts(const ExactLoad *load)
{
	int64	   *batches = palloc(2 * sizeof(int64) * (load->rows + 1));
	TimestampTz *judged_at = palloc(sizeof(TimestampTz) * (load->rows + 1));
	int			n = 0;

	for (int i = 0; i < load->rows; i++)
	{
		if (load->sent[i].judged_at == 0)
			continue;
		batches[n] = load->sent[i].batch;
		batches[load->rows + n] = load->sent[i].ord;
		judged_at[n++] = load->sent[i].judged_at;
	}
	if (n > 0)
		exact_verdict_delivered(batches, batches + load->rows, judged_at, n);
}

void
exact_delivered_record(const ExactLoad *load, const char *history_statement,
					   const char *current_statement)
{
	const ExactTargetPlan *plan = load->plan;
	ExactTargetNames names = {
		plan->workspace->name, plan->sql.entity, plan->current_name, plan->history_name
	};

	record_batches(load);
	record_letters(load);
	record_verdicts(load);
	if (plan->sql.stamp != NULL)
		exact_known_edit_record(plan->sql.entity, load->sent, load->rows);
	exact_target_state_delivered(&names, NULL, GetCurrentTimestamp());
	if (load->rows > 0)
		audit(load, history_statement, current_statement);
}
