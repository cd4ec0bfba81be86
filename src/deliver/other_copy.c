/*
 * other_copy.c - what a Delta table holds that this database does not know.
 *
 * A hub that was restored or promoted may know less than was delivered. A record whose version in
 * Delta is newer than its newest one here loses its hash: whatever Exact Online answers for it is a
 * new version. It is asked for: by key, a line with its document; where only the feed writes
 * versions, by reading that from its start, and then what is absent is looked into. So Delta, this
 * database and Exact Online agree again, whichever of them was ahead.
 *
 * A database that was set back without a new timeline (a copied base backup, a snapshot that was
 * rolled back, lost WAL) gives numbers a second time. Its Delta tables tell: they hold a version of
 * this epoch that it never sent. Then an epoch begins. Called by delta_table.c and delivery.c.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/memutils.h"

#include "base/errors.h"
#include "base/fault.h"
#include "base/sql.h"
#include "databricks/delta_sql.h"
#include "databricks/statement.h"
#include "deliver/other_copy.h"
#include "delta/look_sql.h"
#include "delta/merge_sql.h"
#include "delta/target.h"
#include "state/audit.h"
#include "state/dirty_key.h"
#include "state/feed_state.h"
#include "state/installation.h"
#include "state/target_state.h"
#include "worker/role.h"
#include "worker/self.h"
#include "worker/unit.h"
#include "worker/wake.h"

#define PAGE_ROWS 10000			/* about 1 MB of answer */

typedef struct Comparison
{
	MemoryContext context;
	ExactTargetPlan *plan;
	const char *parent;			/* column with the key of the document, for lines; NULL: none */
	char	   *document;		/* entity that is read instead of this one, by key */
	/* a keyed read tells the state of a record; else only the feed does */
	bool		by_key;
	ExactTable	table;			/* that is read: current, then history */
	int64		known;			/* the highest version that no other copy can have given */
	int64		above;			/* -1: nothing to compare */
	int64		below;			/* the first version of this epoch */
	int64		sent;			/* the highest version that this database has sent */
	int64		seen;			/* rows read */
	int64		unknown;		/* records that were not known at their version */
	bool		last_page;
	const ExactStatementResult *page;
	ExactStatementTrouble trouble;
	ExactOtherCopyDone done;
	void	   *arg;
} Comparison;

static void read_page(Comparison *c);
static void read_newest(Comparison *c);

static void
end_comparison(Comparison *c, const ExactFault *fault, const char *sqlstate)
{
	c->done(fault, sqlstate, c->arg);
	MemoryContextDelete(c->context);
}

static void
end_with_fault(Comparison *c, const ExactFault *fault)
{
	end_comparison(c, fault, "");
}

/*
 * The highest version that was sent to a table of the entity. A batch that a statement carried is
 * recorded in the log before the statement goes out, delivered or not.
 */
static int64
read_sent(const char *entity)
{
	static const char sql[] =
	"SELECT b.seq_max"
	" FROM exact.batch b"
	" WHERE b.entity = $1"
	" AND (b.delivered_rows > 0 OR b.delivered_at IS NOT NULL"
	"  OR b.id <= (SELECT max(l.last_batch)"
	"   FROM exact.statement_log l"
	"   WHERE l.entity = $1 AND l.first_batch IS NOT NULL))"
	" ORDER BY b.id DESC"
	" LIMIT 1";
	ExactArg	arg = exact_arg_text(entity);

	return exact_sql(sql, 1, &arg) == 1 ? exact_cell_int8(0, 1, 0) : 0;
}

/* From where on; epochs that were compared before need no second look. */
static void
start_unit(void *arg)
{
	static const char sql[] =
	"SELECT min(e.known_seq)"
	" FROM exact.epoch e"
	" WHERE e.epoch > coalesce((SELECT t.compared_epoch"
	"  FROM exact.target_state t"
	"  WHERE t.workspace = $1 AND t.entity = $2), 0)";
	static const char entity_sql[] =
	"SELECT e.method <> 'sync',"
	" e.parent_field,"
	" CASE WHEN e.row_kind = 'line' THEN (SELECT h.entity"
	"  FROM exact.entity_effective h"
	"  WHERE h.feed = e.feed AND h.row_kind = 'header') ELSE e.entity END"
	" FROM exact.entity_effective e"
	" WHERE e.entity = $1";
	Comparison *c = arg;
	const ExactTarget *target = &c->plan->sql;
	ExactArg	args[2];
	MemoryContext old;
	char	   *parent_field;

	c->sent = Max(read_sent(target->entity), c->below - 1);
	args[0] = exact_arg_text(c->plan->workspace->name);
	args[1] = exact_arg_text(c->plan->sql.entity);
	exact_sql(sql, 2, args);
	c->above = c->known = exact_cell_int8(0, 1, -1);
	args[0] = args[1];
	if (c->above < 0 || exact_sql(entity_sql, 1, args) != 1)
		return;
	old = MemoryContextSwitchTo(c->context);
	c->by_key = exact_cell_bool(0, 1, false);
	c->document = exact_cell_text(0, 3);
	MemoryContextSwitchTo(old);
	parent_field = exact_cell_text(0, 2);
	for (int i = 0; parent_field != NULL && i < target->ncolumns; i++)
		if (strcmp(target->columns[i].source_field, parent_field) == 0)
			c->parent = target->columns[i].name;
}

/* The page as five arrays: division, key, version, deleted, parent. The next begins above it. */
static void
bind_page(Comparison *c, ExactArg *args)
{
	const ExactStatementResult *page = c->page;
	int32	   *divisions = palloc(sizeof(int32) * Max(page->nrows, 1));
	int64	   *seqs = palloc(sizeof(int64) * Max(page->nrows, 1));
	const char **keys = palloc(sizeof(char *) * Max(page->nrows, 1));
	const char **gone = palloc(sizeof(char *) * Max(page->nrows, 1));
	const char **parents = palloc(sizeof(char *) * Max(page->nrows, 1));

	for (int r = 0; r < page->nrows; r++)
	{
		char	  **row = &page->cells[r * 5];

		if (page->ncolumns != 5 || row[0] == NULL || row[1] == NULL || row[2] == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_EXACT_TABLE_MISMATCH),
					 errmsg("table %s has a row without division, key or version",
							c->plan->current_name),
					 errhint("Look who else writes it: DESCRIBE HISTORY %s; the hub tries again by"
							 " itself.", exact_delta_sql_for_people(c->plan->current_name))));
		divisions[r] = (int32) strtol(row[0], NULL, 10);
		keys[r] = row[1];
		seqs[r] = strtoll(row[2], NULL, 10);
		gone[r] = row[3] != NULL && strcmp(row[3], "true") == 0 ? "true" : "false";
		parents[r] = row[4];
	}
	args[0] = exact_arg_int4_array(divisions, NULL, page->nrows);
	args[1] = exact_arg_text_array(keys, NULL, page->nrows);
	args[2] = exact_arg_int8_array(seqs, NULL, page->nrows);
	args[3] = exact_arg_text_array(gone, NULL, page->nrows);
	args[4] = exact_arg_text_array(parents, NULL, page->nrows);
	if (page->nrows > 0)
		c->above = seqs[page->nrows - 1];
}

/*
 * A page of (division, key, seq, deleted, parent): records that are not known at that version are
 * unknown from now on. A deletion that stands in the history only has not reached the current
 * table: whether the record is gone is asked anew, so that its tombstone gets there.
 */
static void
mark_page(Comparison *c)
{
	static const char sql[] =
	"WITH newest AS ("
	"SELECT DISTINCT ON (d, k) d, k, s, gone, parent"
	" FROM unnest($2::int[], $3::text[], $4::bigint[], $5::text[]::bool[], $6::text[])"
	" AS u (d, k, s, gone, parent)"
	" ORDER BY d, k, s DESC"
	"), unknown AS ("
	"SELECT n.*, n.gone AND (NOT $8 OR coalesce(r.deleted, false)) AS deleted"
	" FROM newest n"
	" LEFT JOIN exact.record r ON r.division = n.d AND r.entity = $1 AND r.key = n.k"
	" WHERE r.key IS NULL OR r.seq < n.s"
	"), marked AS ("
	"INSERT INTO exact.record AS r"
	" (division, entity, key, parent, hash, seq, slot, batch, ord, deleted, first_seen)"
	" SELECT d, $1, k, parent, NULL, s, 0, 0, 0, deleted, '-infinity'"
	" FROM unknown"
	" ON CONFLICT (division, entity, key) DO UPDATE"
	" SET hash = NULL, deleted = excluded.deleted, run = NULL,"
	" parent = coalesce(r.parent, excluded.parent)"
	")"
	" SELECT d, count(*), array_agg(CASE WHEN $7 THEN k ELSE parent END)"
	" FROM unknown"
	" GROUP BY d";
	const char *document = c->document ? c->document : c->plan->sql.entity;
	ExactArg	args[8];
	SPITupleTable *found;
	uint64		n;

	args[0] = exact_arg_text(c->plan->sql.entity);
	bind_page(c, &args[1]);
	args[6] = exact_arg_bool(strcmp(document, c->plan->sql.entity) == 0);
	args[7] = exact_arg_bool(c->table == EXACT_TABLE_HISTORY);
	n = exact_sql(sql, 8, args);
	found = SPI_tuptable;
	for (uint64 i = 0; i < n; i++)
	{
		int			division;
		char	  **wanted;
		int			nwanted;

		SPI_tuptable = found;	/* exact_dirty_key_want() reads another result */
		division = (int) exact_cell_int8(i, 1, 0);
		c->unknown += exact_cell_int8(i, 2, 0);
		wanted = exact_cell_texts(i, 3, &nwanted);
		if (c->by_key)
			exact_dirty_key_want(division, document, wanted, nwanted, EXACT_DIRTY_OTHER_COPY);
	}
	c->seen += c->page->nrows;
}

static void
audit(const Comparison *c)
{
	exact_audit_other_copy(c->plan->sql.entity, c->plan->workspace->name, c->plan->current_name,
						   c->plan->sql.hub->epoch, c->seen, c->unknown);
}

/* The page, and with the last one the end of the comparison */
static void
page_unit(void *arg)
{
	Comparison *c = arg;
	const ExactTarget *target = &c->plan->sql;

	if (c->page != NULL)
		mark_page(c);
	if (!c->last_page)
		return;
	if (c->unknown > 0 && !c->by_key)
		exact_feed_state_from_start(EXACT_FROM_START_OTHER_COPY, 0, c->plan->sql.entity, NULL);
	if (c->unknown > 0)
		exact_wake_at_commit(EXACT_ROLE_FETCHER);
	exact_target_state_compared(c->plan->workspace->name, target->entity, target->hub->epoch);
	if (c->page != NULL)
		audit(c);
}

/* A page that could not be taken in is as if it had not come. */
static void
take_page(const ExactStatementResult *result, void *arg)
{
	Comparison *c = arg;
	int64		above = c->above,
				seen = c->seen,
				unknown = c->unknown;
	bool		last_of_table = result->nrows < PAGE_ROWS;
	ExactFault *fault = NULL;

	if (result->verdict != EXACT_VERDICT_SUCCEEDED)
	{
		end_comparison(c, result->fault, result->sqlstate);
		return;
	}
	c->page = result;
	c->last_page = last_of_table && c->table == EXACT_TABLE_HISTORY;
	if (!exact_unit_run("compare with Delta", page_unit, c, &fault))
	{
		c->above = above;
		c->seen = seen;
		c->unknown = unknown;
		end_with_fault(c, fault);
	}
	else if (c->last_page)
	{
		exact_log(LOG, "compared table=%s epoch=%d versions_of_other_copies=" INT64_FORMAT
				  " unknown_records=" INT64_FORMAT, c->plan->sql.entity, c->plan->sql.hub->epoch,
				  c->seen, c->unknown);
		read_newest(c);
	}
	else
	{
		/* a copy that ended between its two MERGEs has written into the history only */
		if (last_of_table)
		{
			c->table = EXACT_TABLE_HISTORY;
			c->above = c->known;
		}
		read_page(c);
	}
}

static void
send_read(Comparison *c, const char *table, const char *scope, const char *sql,
		  ExactStatementDone done)
{
	exact_statement_start(&(ExactStatementRequest) {
		.workspace = c->plan->workspace,
		.hub = c->plan->sql.hub,
		.entity = c->plan->sql.entity,
		.table = table,
		.kind = "check",
		.scope = scope,
		.verb = "reading of",
		.sql = sql,
		.trouble = c->trouble,
		.trouble_arg = c->arg,
		.done = done,
		.arg = c
	});
}

static void
read_page(Comparison *c)
{
	StringInfoData sql;

	initStringInfo(&sql);
	exact_look_sql_between(&sql, &c->plan->sql, c->table, c->parent, c->above, c->below,
						   PAGE_ROWS);
	send_read(c, c->table == EXACT_TABLE_CURRENT ? c->plan->current_name : c->plan->history_name,
			  "unknown", sql.data, take_page);
}

/* ---- a version of this epoch that was not sent from here ---- */

typedef struct Finding
{
	const ExactTargetPlan *plan;
	ExactSetBack set_back;
} Finding;

/* At its commit every worker of this database looks at the epoch, and starts anew. */
static void
found_unit(void *arg)
{
	Finding    *finding = arg;
	int			raised;

	if (!exact_installation_set_back(&finding->set_back, &raised))
		return;					/* raised meanwhile: this process ends anyway */
	exact_wake_check_at_commit();
	exact_log(WARNING,
			  "alarm: table %s holds version " INT64_FORMAT " of epoch %d, this database has sent"
			  " up to " INT64_FORMAT ": it was set back, or a copy of it has worked; epoch %d"
			  " begins",
			  finding->plan->history_name, finding->set_back.found_seq, finding->set_back.epoch,
			  finding->set_back.known_seq, raised);
}

bool
exact_other_copy_found(const ExactTargetPlan *plan, int64 known_seq, int64 found_seq,
					   ExactFault **fault)
{
	Finding		finding = {
		plan, {plan->sql.hub->epoch, plan->sql.entity, known_seq, found_seq}
	};

	return exact_unit_run("begin an epoch", found_unit, &finding, fault);
}

/* Once the epoch is raised this process ends, so the comparison never does. */
static void
take_newest(const ExactStatementResult *result, void *arg)
{
	Comparison *c = arg;
	ExactFault *fault = NULL;

	if (result->verdict != EXACT_VERDICT_SUCCEEDED)
		end_comparison(c, result->fault, result->sqlstate);
	else if (result->nrows == 0 || result->cells[0] == NULL)
		end_comparison(c, NULL, "");
	else if (!exact_other_copy_found(c->plan, c->sent, strtoll(result->cells[0], NULL, 10),
									 &fault))
		end_with_fault(c, fault);
}

static void
read_newest(Comparison *c)
{
	int64		next_epoch = c->below + (INT64CONST(1) << EXACT_SEQ_EPOCH_BITS);
	StringInfoData sql;

	initStringInfo(&sql);
	exact_look_sql_newest(&sql, &c->plan->sql, c->sent, next_epoch);
	send_read(c, c->plan->history_name, "newest", sql.data, take_newest);
}

/* Where there is nothing to compare, that is recorded at once. */
void
exact_other_copy_start(ExactTargetPlan *plan, ExactStatementTrouble trouble,
					   ExactOtherCopyDone done, void *arg)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "exact comparison",
												  ALLOCSET_SMALL_SIZES);
	Comparison *c = MemoryContextAllocZero(context, sizeof(Comparison));
	ExactFault *fault = NULL;

	c->context = context;
	c->plan = plan;
	c->table = EXACT_TABLE_CURRENT;
	c->below = (int64) plan->sql.hub->epoch << EXACT_SEQ_EPOCH_BITS;
	c->trouble = trouble;
	c->done = done;
	c->arg = arg;
	if (!exact_unit_run("compare with Delta", start_unit, c, &fault))
		end_with_fault(c, fault);
	else if (c->above >= 0)
		read_page(c);
	else
	{
		/* the installation began with this epoch, or the table was compared */
		c->last_page = true;
		if (!exact_unit_run("compare with Delta", page_unit, c, &fault))
			end_with_fault(c, fault);
		else if (plan->fresh[EXACT_TABLE_HISTORY])
			end_comparison(c, NULL, "");
		else
			read_newest(c);
	}
}
