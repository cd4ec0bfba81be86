/*
 * load.c - what one delivery carries: versions of the stage as the text of a statement, or as files
 * in the volume.
 *
 * Files are read and packed part by part, so that what is in memory does not grow with the load but
 * for some 150 bytes a row. The name of a file says which versions are in it and what bytes it has:
 * one that comes late, from an upload whose answer was lost, is the same as the one that is there.
 * Called by delivery.c.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "executor/spi.h"
#include "utils/memutils.h"

#include "base/digest.h"
#include "base/guc.h"
#include "base/gzip.h"
#include "base/json.h"
#include "deliver/backlog.h"
#include "deliver/bad_row.h"
#include "deliver/known_edit.h"
#include "deliver/load.h"
#include "deliver/stage_row.h"
#include "deliver/volume.h"
#include "delta/delivery_row.h"
#include "delta/merge_sql.h"
#include "delta/target.h"
#include "state/ledger.h"

#define FIRST_ROWS 1024
#define LEAST_READ 16
#define KEYS_BLOCK 8192
#define PART_BYTES (4 * 1024 * 1024)	/* packed: a part is in memory while it is sent */
/* rows of a dimension, each of which is proved by a row of the answer to a query */
#define DIMENSION_ROWS 20000
#define NAME_DIGITS 16			/* hex ones of the digest that is in a file's name */

/* ---- a row ---- */

/* The key of a row, as long as the load lives */
static const char *
keep_key(ExactLoad *load, const char *key)
{
	size_t		size = strlen(key) + 1;
	char	   *kept;

	if (size > load->keys_bytes)
	{
		load->keys_bytes = Max(KEYS_BLOCK, size);
		load->keys_left = MemoryContextAlloc(load->context, load->keys_bytes);
	}
	kept = load->keys_left;
	memcpy(kept, key, size);
	load->keys_left += size;
	load->keys_bytes -= size;
	return kept;
}

static void
make_room(ExactLoad *load)
{
	if (load->rows < load->allocated)
		return;
	load->allocated *= 2;
	load->sent = repalloc(load->sent, sizeof(ExactSentRow) * load->allocated);
	load->names = repalloc(load->names, sizeof(uint64) * load->allocated);
}

static void
keep_row(ExactLoad *load, const ExactStageRow *row)
{
	const ExactVersion *version = &row->version;
	MemoryContext old = MemoryContextSwitchTo(load->context);

	make_room(load);
	if (load->rows == 0)
	{
		load->batch.seq_min = load->batch.seq_max = version->seq;
		load->range.first_batch = version->batch;
		load->range.first_ord = row->ord;
	}
	load->batch.seq_min = Min(load->batch.seq_min, version->seq);
	load->batch.seq_max = Max(load->batch.seq_max, version->seq);
	load->range.last_batch = version->batch;
	load->range.last_ord = row->ord;
	load->divisions = list_append_unique_int(load->divisions, version->division);
	load->names[load->rows] = hash_bytes_extended((const unsigned char *) version->key,
												  strlen(version->key), version->division);
	load->sent[load->rows] = (ExactSentRow) {
		.division = version->division,
		.key = keep_key(load, version->key),
		.seq = version->seq,
		.op = version->op,
		.slot = row->slot,
		.batch = version->batch,
		.ord = row->ord,
		.content_batch = row->prev_batch,
		.content_ord = row->prev_ord,
		.known = version->known != NULL ? pstrdup(version->known) : NULL,
		.was_aside = row->aside,
		.judged_at = row->judged_at
	};
	MemoryContextSwitchTo(old);
	load->held += version->held != EXACT_VERSION_GOES ? 1 : 0;
	load->again |= row->again;
	load->rows++;
}

/* It cannot be sent at all: it goes aside, and the delivery goes on without it. */
static void
leave_out(ExactLoad *load, const ExactStageRow *row, const char *reason)
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

	exact_bad_row_put_one(load->plan, &sent, reason);
}

static void
cut_text(ExactLoad *load, int len)
{
	load->text.len = len;
	load->text.data[len] = '\0';
}

/* Appends a row; false when the load, or its part, is full without it. */
static bool
append_row(ExactLoad *load, ExactStageRow *row)
{
	ExactVersion *version = &row->version;
	const ExactTarget *target = &load->plan->sql;
	int			start = load->text.len;
	int			object;

	if (load->rows >= load->most ||
		(load->gzip != NULL && exact_gzip_size(load->gzip) >= PART_BYTES))
		return false;
	if (version->record == NULL && !row->bare)
		version->record = exact_stage_row_previous(load->plan->workspace->name, row);
	version->record_len = version->record != NULL ? strlen(version->record) : 0;
	if (load->gzip == NULL)
		appendStringInfoString(&load->text, load->rows == 0 ? "[" : ",\n");
	object = load->text.len;
	if (!exact_delivery_row_append(&load->text, version, target->columns, target->ncolumns))
	{
		cut_text(load, start);
		leave_out(load, row, "its record is not a JSON object, or has a field twice");
		return true;
	}
	if (load->text.len - object > EXACT_BAD_ROW_BYTES)
	{
		cut_text(load, start);
		leave_out(load, row, "it is too long for a statement of Databricks");
		return true;
	}
	if (load->gzip != NULL)
	{
		appendStringInfoChar(&load->text, '\n');
		exact_gzip_add(load->gzip, load->text.data, load->text.len);
		cut_text(load, 0);
	}
	else if (load->text.len >= exact_merge_bytes && load->rows > 0)
	{
		cut_text(load, start);
		return false;
	}
	keep_row(load, row);
	return true;
}

/* What is known of the division's ledger and invoices, if a column of the table depends on it */
static void
know_division(ExactLoad *load, ExactVersion *version)
{
	const ExactTarget *target = &load->plan->sql;
	bool		ledger = false;
	bool		amounts = false;

	if (load->known_division != version->division)
	{
		for (int i = 0; i < target->ncolumns; i++)
		{
			ledger |= target->columns[i].row;
			amounts |= target->columns[i].amount;
		}
		load->known_division = version->division;
		load->row_zero = ledger ? exact_ledger_row_zero(version->division) : NULL;
		load->turned = amounts && exact_ledger_invoices_turned(version->division);
	}
	version->row_zero = load->row_zero;
	version->turned = load->turned;
}

/* ---- batches ---- */

/*
 * So many rows may fit into the text, or into memory for a file. What is read of a text and does
 * not fit is read again for the next one.
 */
static int
rows_to_read(const ExactLoad *load)
{
	int64		left = PART_BYTES;
	int64		bytes = exact_backlog_row_bytes(&load->batches[load->at]);

	if (load->gzip == NULL)
	{
		left = exact_merge_bytes - load->text.len;
		if (load->rows > 0)
			bytes = load->text.len / load->rows;
	}
	return (int) Min(Max(left / bytes + 1, LEAST_READ), EXACT_STAGE_ROW_READ);
}

/* Rows of the batch where it stands; true when it was read to its end. */
static bool
read_batch(ExactLoad *load)
{
	const ExactBatch *batch = &load->batches[load->at];
	const ExactTargetPlan *plan = load->plan;
	ExactStageRow *rows = palloc(sizeof(ExactStageRow) * EXACT_STAGE_ROW_READ);
	MemoryContext read_context = AllocSetContextCreate(CurrentMemoryContext, "exact stage rows",
													   ALLOCSET_DEFAULT_SIZES);
	bool		full = false;

	while (!full && load->position < batch->rows)
	{
		MemoryContext old = MemoryContextSwitchTo(read_context);
		int			n = exact_stage_row_read(plan->workspace->name, batch, load->position,
												 rows_to_read(load), rows);

		SPI_freetuptable(SPI_tuptable);
		if (plan->sql.stamp != NULL)
			exact_known_edit_read(plan->sql.entity, rows, n);
		for (int i = 0; i < n && !full; i++)
		{
			know_division(load, &rows[i].version);
			rows[i].again |= batch->replay;
			full = (!rows[i].aside || rows[i].bare) && !append_row(load, &rows[i]);
			load->position += full ? 0 : 1;
		}
		MemoryContextSwitchTo(old);
		MemoryContextReset(read_context);
	}
	MemoryContextDelete(read_context);
	pfree(rows);
	return !full;
}

static int
compare_names(const void *a, const void *b)
{
	uint64		x = *(const uint64 *) a;
	uint64		y = *(const uint64 *) b;

	return x < y ? -1 : x > y ? 1 : 0;
}

/* Both MERGEs send the text as it stands in their bodies. */
static void
quote_text(ExactLoad *load)
{
	StringInfoData rows = load->text;

	appendStringInfoChar(&rows, ']');
	initStringInfo(&load->text);
	enlargeStringInfo(&load->text, rows.len + rows.len / 4);
	exact_json_quote(&load->text, rows.data, rows.len);
	pfree(rows.data);
}

/*
 * What of the rows is counted and listed once all are there. Two keys with one digest count as one:
 * then the statements take the longer way, and the proof is a query.
 */
static void
close_load(ExactLoad *load)
{
	MemoryContext old = MemoryContextSwitchTo(load->context);
	int		   *divisions = palloc(sizeof(int) * Max(list_length(load->divisions), 1));

	if (load->gzip == NULL)
		quote_text(load);
	load->complete = true;
	load->batch.rows = load->rows;
	for (int i = 0; i < list_length(load->divisions); i++)
		divisions[i] = list_nth_int(load->divisions, i);
	load->batch.divisions = divisions;
	load->batch.ndivisions = list_length(load->divisions);
	load->batch.rewrite = load->again || load->range.first_batch < load->plan->rewrite_below;
	load->batch.held = load->held > 0;
	qsort(load->names, load->rows, sizeof(uint64), compare_names);
	for (int i = 0; i < load->rows; i++)
		if (i == 0 || load->names[i] != load->names[i - 1])
			load->keys++;
	pfree(load->names);
	load->names = NULL;
	MemoryContextSwitchTo(old);
}

static void
begin_part(ExactLoad *load)
{
	load->part_first = load->rows;
	load->part_held = load->held;
	load->part_again = load->again;
	load->part_at = load->at;
	load->part_position = load->position;
	load->part_up_to = load->up_to;
}

/* ---- rows that go once more ---- */

/* False when it is full before the last of them. A row that is too long is put aside, as it was. */
static bool
take_aside(ExactLoad *load, ExactStageRow *rows, int n)
{
	const ExactTarget *target = &load->plan->sql;

	if (target->stamp != NULL)
		exact_known_edit_read(target->entity, rows, n);
	for (int i = 0; i < n; i++)
	{
		know_division(load, &rows[i].version);
		rows[i].bare = false;
		if (!append_row(load, &rows[i]))
			return false;
		load->up_to = rows[i].version.seq;
	}
	load->all = n < EXACT_STAGE_ROW_READ;
	return true;
}

static void
read_aside(ExactLoad *load)
{
	const ExactTargetPlan *plan = load->plan;
	ExactStageRow *rows = palloc(sizeof(ExactStageRow) * EXACT_STAGE_ROW_READ);
	MemoryContext read_context = AllocSetContextCreate(CurrentMemoryContext, "exact stage rows",
													   ALLOCSET_DEFAULT_SIZES);
	bool		room = true;

	while (room && !load->all)
	{
		MemoryContext old = MemoryContextSwitchTo(read_context);
		int			n = exact_stage_row_read_aside(plan->workspace->name, plan->sql.entity,
												   load->up_to, rows);

		SPI_freetuptable(SPI_tuptable);
		room = take_aside(load, rows, n);
		MemoryContextSwitchTo(old);
		MemoryContextReset(read_context);
	}
	MemoryContextDelete(read_context);
	pfree(rows);
}

/* ---- the whole ---- */

static bool
is_complete(const ExactLoad *load)
{
	return load->gzip == NULL || load->rows >= load->most ||
		(load->aside ? load->all : load->at == load->nbatches);
}

/*
 * Batch after batch, until it is full or none is left; of files until the part is full. A unit that
 * runs a second time begins the part anew.
 */
void
exact_load_read_on(ExactLoad *load)
{
	load->rows = load->part_first;
	load->held = load->part_held;
	load->again = load->part_again;
	load->at = load->part_at;
	load->position = load->part_position;
	load->up_to = load->part_up_to;
	load->all = false;
	load->known_division = 0;
	if (load->gzip != NULL)
		exact_gzip_restart(load->gzip);
	if (load->aside)
		read_aside(load);
	while (load->at < load->nbatches && load->rows < load->most && read_batch(load))
	{
		load->at++;
		load->position = load->at < load->nbatches ? load->batches[load->at].delivered : 0;
	}
	if (is_complete(load))
		close_load(load);
}

/* One that is empty, with so many of the batches that wait */
static ExactLoad *
make_load(ExactTargetPlan *plan, const ExactBacklog *backlog, int64 below, int wanted, bool files)
{
	int			most_files = plan->sql.stamp != NULL ? DIMENSION_ROWS : exact_file_rows;
	int			most = files ? Min(most_files, exact_file_rows) :
		wanted > 0 ? Min(wanted, exact_merge_rows) : exact_merge_rows;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "exact load",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	ExactLoad  *load = palloc0(sizeof(ExactLoad));
	int			n = Min(backlog->n, most);

	load->context = context;
	load->plan = plan;
	load->most = most;
	initStringInfo(&load->text);
	/* memory that no row has touched yet costs nothing, a larger copy of the rows does */
	load->allocated = files ? most : FIRST_ROWS;
	load->sent = palloc(sizeof(ExactSentRow) * load->allocated);
	load->names = palloc(sizeof(uint64) * load->allocated);
	load->batches = palloc(sizeof(ExactBatch) * Max(n, 1));
	while (load->nbatches < n && backlog->batches[load->nbatches].id < below)
	{
		load->batches[load->nbatches] = backlog->batches[load->nbatches];
		load->nbatches++;
	}
	load->position = load->nbatches > 0 ? load->batches[0].delivered : 0;
	begin_part(load);
	if (files)
		load->gzip = exact_gzip_begin(context);
	MemoryContextSwitchTo(old);
	return load;
}

/* Is there more than one statement carries? */
static bool
is_bulk(const ExactBacklog *backlog, int64 below)
{
	int64		rows,
				bytes;

	exact_backlog_measure(backlog, below, exact_merge_bytes, &rows, &bytes);
	return rows > exact_merge_rows || bytes >= exact_merge_bytes;
}

ExactLoad *
exact_load_read(ExactTargetPlan *plan, const ExactBacklog *backlog, int64 below, int most,
				bool files)
{
	ExactLoad  *load;

	files = files && most == 0 && exact_file_rows > 0 && is_bulk(backlog, below);
	load = make_load(plan, backlog, below, most, files);
	exact_load_read_on(load);
	MemoryContextSetParent(load->context, TopMemoryContext);
	return load;
}

ExactLoad *
exact_load_read_aside(ExactTargetPlan *plan, int most, bool files)
{
	const ExactBacklog none = {0};
	ExactStageRow *rows = palloc(sizeof(ExactStageRow) * EXACT_STAGE_ROW_READ);
	int			n = exact_stage_row_read_aside(plan->workspace->name, plan->sql.entity, 0, rows);
	ExactLoad  *load;

	if (n == 0)
		return NULL;
	files = files && most == 0 && exact_file_rows > 0 && n == EXACT_STAGE_ROW_READ;
	load = make_load(plan, &none, 0, most, files);
	load->aside = true;
	if (take_aside(load, rows, n))
		read_aside(load);
	if (is_complete(load))
		close_load(load);
	MemoryContextSetParent(load->context, TopMemoryContext);
	return load;
}

/* ---- files ---- */

const char *
exact_load_part(ExactLoad *load, const char **data, size_t *len)
{
	MemoryContext old = MemoryContextSwitchTo(load->context);
	int64		first = PG_INT64_MAX;
	int64		last = 0;
	uint8		digest[EXACT_DIGEST_LEN];
	char		hex[NAME_DIGITS + 1];
	char	   *path = NULL;

	for (int i = load->part_first; i < load->rows; i++)
	{
		first = Min(first, load->sent[i].seq);
		last = Max(last, load->sent[i].seq);
	}
	if (load->part_first < load->rows)
	{
		*data = exact_gzip_end(load->gzip, len);
		exact_sha256(*data, *len, digest);
		for (int i = 0; i < NAME_DIGITS / 2; i++)
			snprintf(hex + 2 * i, 3, "%02x", digest[i]);
		path = psprintf("%s/" INT64_FORMAT "-" INT64_FORMAT "-%s.jsonl.gz",
						exact_volume_directory(load->plan), first, last, hex);
		load->files = lappend(load->files, path);
		begin_part(load);
	}
	MemoryContextSwitchTo(old);
	return path;
}

/* ---- the backlog ---- */

void
exact_load_settle(const ExactLoad *load, ExactBacklog *backlog)
{
	int			kept = 0;
	int			w = 0;

	for (int i = 0; i < backlog->n; i++)
	{
		ExactBatch	batch = backlog->batches[i];

		while (w < load->at && load->batches[w].id < batch.id)
			w++;
		if (w < load->at && load->batches[w].id == batch.id)
			continue;
		if (load->at < load->nbatches && load->batches[load->at].id == batch.id)
			batch.delivered = load->position;
		backlog->batches[kept++] = batch;
	}
	backlog->n = kept;
}
