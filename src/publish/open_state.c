/*
 * open_state.c - the Delta tables exact_open and exact_state of a workspace.
 *
 * Both are small and replaced whole by one MERGE each, so that a reader never sees half of them:
 * exact_open first, which may then name too much beside an older exact_state, never too little.
 * What does not fit into one parameter goes in parts, each safe to repeat; rows that are no longer
 * so vanish with the last one, so that a reader then too sees too much, never too little.
 * What they say is made by exact._open_json() (install/55_open.sql). Nothing is sent while nothing
 * was delivered and nothing has changed but the time, and rarely while a first load goes on; once a
 * day the times are brought up to date. Called by loader.c.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "lib/ilist.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/backoff.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/sql.h"
#include "databricks/databricks.h"
#include "databricks/delta_sql.h"
#include "databricks/statement.h"
#include "deliver/fence.h"
#include "delta/create_table.h"
#include "delta/merge_sql.h"
#include "delta/rows_sql.h"
#include "publish/open_state.h"
#include "state/target_state.h"
#include "worker/self.h"
#include "worker/unit.h"

#define ENTITY "exact_state"	/* of both in exact.target_state */
#define LOOK_MS 60000
/* between two tellings while a first load goes on: each of them would slow it down */
#define LOADING_MS 600000
#define REFRESH_MS (24 * 3600 * 1000)
#define RETRY_FIRST_MS 60000
#define RETRY_LAST_MS 900000
#define PART_BYTES 262144		/* of a parameter: some refuse a megabyte */

typedef enum Place
{
	PLACE_OPEN,
	PLACE_STATE
} Place;

#define NPLACES 2

typedef struct OpenColumn
{
	const char *name;
	const char *type;
	bool		key;			/* tells the rows apart */
	const char *update;			/* NULL: as sent */
	const char *comment;
} OpenColumn;

typedef struct OpenTable
{
	const char *name;
	const char *comment;
	int			ncolumns;
	const OpenColumn *columns;
} OpenTable;

static const OpenColumn open_columns[] = {
	{"_division", "INT", true, NULL, "Division (administration) in Exact Online"},
	{"entity", "STRING", true, NULL, "Entity: name of its table unless that was changed"},
	{"_key", "STRING", true, NULL,
	"Key of the record; null: the row stands for several, see records"},
	{"state", "STRING", true, NULL,
	"waiting: on its way; paused: deliveries into its table are paused;"
	" held: waits for a person's decision"},
	{"reason", "STRING", false, NULL, "Why it is held or its table paused"},
	{"year", "INT", false, NULL, "Financial year; null: not known, it may be any"},
	{"period", "INT", false, NULL, "Financial period; null: not known, it may be any"},
	{"amount", "DECIMAL(28,4)", false, NULL,
	"AmountDC of the newest version."
	" Documents repeat the amounts of their lines: sum one entity"},
	{"records", "BIGINT", false, NULL, "Records, or versions, that the row stands for"},
	{"since", "TIMESTAMP", false, NULL, "Since when"},
	{"_seq", "BIGINT", false, NULL, "Newest version that is not in the tables yet"},
	{"as_of", "TIMESTAMP", false, NULL, "When the hub looked"},
};

static const OpenColumn state_columns[] = {
	{"_division", "INT", true, NULL, "Division (administration) in Exact Online"},
	{"entity", "STRING", true, NULL, "Entity: name of its table unless that was changed"},
	{"state", "STRING", false, NULL,
	"complete: kept up to date; first load: still being read for the first time;"
	" stopped: see reason; off: not read any more"},
	{"reason", "STRING", false, NULL, "Why it does not go on"},
	{"complete_until", "TIMESTAMP", false, "greatest(t.`complete_until`, s.`complete_until`)",
	"The table holds all that Exact Online had at this time,"
	" except the rows of exact_open"},
	{"open_records", "BIGINT", false, NULL, "Versions of it in exact_open"},
	{"ledger", "STRING", false, NULL,
	"Of transactionlines, the meaning of the rows with LineNumber 0."
	" control: debtor, creditor, bank or cash, one to sum; repeat: the total once more, not to sum;"
	" total: control row with the sign of its lines; mixed, unknown: no sum is right"},
	{"as_of", "TIMESTAMP", false, NULL, "When the hub looked"},
};

static const OpenTable tables[NPLACES] = {
	{"exact_open",
	"Versions that are in the hub and not in the other tables: on their way, held, or refused."
	" If it has no row of a period, nothing known is missing",
	lengthof(open_columns), open_columns},
	{"exact_state",
	"Up to when each division and entity is complete: a month is closed if complete_until of"
	" all entities is after the end of the month, and exact_open has no row of the month",
	lengthof(state_columns), state_columns},
};

typedef struct OpenState
{
	dlist_node	node;
	char	   *workspace;
	/* what an earlier process wrote was read, and its statements are over */
	bool		known;
	int			recovering;
	TimestampTz looked_at;
	char	   *written;		/* digest, "" none */
	TimestampTz written_at;
	TimestampTz delivered_at;	/* newest delivery that was known then */
	int			attempts;		/* failures in a row */
	TimestampTz next_attempt;
	/* of what is to be told and what is under way */
	bool		pending;
	bool		busy;
	MemoryContext context;		/* NULL: nothing is */
	ExactWorkspace *info;
	const ExactHub *hub;
	char	   *digest;
	TimestampTz delivered;
	bool		loading;		/* a first load goes on */
	ExactJson	rows[NPLACES];	/* an array of objects */
	int		   *divisions;
	int			ndivisions;
	bool		described[NPLACES]; /* its columns were looked at in this telling */
	ExactStatementResult refusal;	/* of a MERGE, while they are looked at */
	Place		place;			/* that is being written */
	int			from;			/* its rows from this one on */
	int			to;				/* up to this one */
} OpenState;

static dlist_head states = DLIST_STATIC_INIT(states);

static void write_part(OpenState *o, Place place, int from);
static bool look_at_columns(OpenState *o, const ExactStatementResult *result);
static ExactTarget target_of(const OpenState *o);

static OpenState *
get_state(const char *workspace)
{
	dlist_iter	iter;
	OpenState  *o;

	dlist_foreach(iter, &states)
	{
		o = dlist_container(OpenState, node, iter.cur);
		if (strcmp(o->workspace, workspace) == 0)
			return o;
	}
	o = MemoryContextAllocZero(TopMemoryContext, sizeof(OpenState));
	o->workspace = MemoryContextStrdup(TopMemoryContext, workspace);
	dlist_push_tail(&states, &o->node);
	return o;
}

/* ---- what an earlier process left ---- */

/* A delivery that is still to come was recorded by a clock that was set back since: unknown. */
static void
known_unit(void *arg)
{
	static const char sql[] =
	"SELECT columns_digest, CASE WHEN delivered_at <= clock_timestamp() THEN delivered_at END"
	" FROM exact.target_state"
	" WHERE workspace = $1 AND entity = '" ENTITY "'";
	OpenState  *o = arg;
	ExactArg	workspace = exact_arg_text(o->workspace);

	if (exact_sql(sql, 1, &workspace) == 1 && !exact_cell_isnull(0, 1))
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		o->written = exact_cell_text(0, 1);
		MemoryContextSwitchTo(old);
		o->written_at = o->delivered_at = exact_cell_time(0, 2, 0);
	}
}

/*
 * Whatever became of it: both tables are written anew, now that it cannot come later than what is
 * sent next.
 */
static void
take_leftover(const ExactStatementResult *result pg_attribute_unused(), void *arg)
{
	OpenState  *o = arg;

	if (--o->recovering > 0)
		return;
	o->busy = false;
	o->looked_at = 0;
}

static void
start_reading(OpenState *o, const ExactWorkspace *workspace, const ExactHub *hub)
{
	static const char *const entities[NPLACES] = {"exact_open", "exact_state"};
	int			n = exact_statement_follow(&(ExactStatementRequest) {
		.workspace = workspace,
		.hub = hub,
		.done = take_leftover,
		.arg = o
	}, entities, NPLACES);

	o->known = n >= 0;
	o->recovering = Max(n, 0);
	o->busy = n > 0;
	/* what is recorded is only true when no statement is left that may still change the tables */
	if (n == 0)
		o->known = exact_unit_run("read what is open", known_unit, o, NULL);
}

/* ---- what there is to say ---- */

/* The rows of a table; in o->context, which is the current one. */
static void
take_rows(OpenState *o, Place place, int column)
{
	char	   *text = exact_cell_text(0, column);

	if (!exact_json_read(text, strlen(text), &o->rows[place]))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("exact._open_json() answered no array")));
}

/* Both tables as they should be now, and what tells whether that is news */
static void
look_unit(void *arg)
{
	static const char sql[] =
	"SELECT open_rows, state_rows, digest, delivered_at, divisions, first_loads > 0"
	" FROM exact._open_json($1)";
	OpenState  *o = arg;
	ExactArg	workspace = exact_arg_text(o->workspace);
	MemoryContext old;

	exact_sql(sql, 1, &workspace);
	old = MemoryContextSwitchTo(o->context);
	take_rows(o, PLACE_OPEN, 1);
	take_rows(o, PLACE_STATE, 2);
	o->digest = psprintf("%d %s %s.%s %s", o->hub->epoch, o->info->origin, o->info->catalog,
						 o->info->schema, exact_cell_text(0, 3));
	o->delivered = exact_cell_time(0, 4, 0);
	o->divisions = exact_cell_int4s(0, 5, &o->ndivisions);
	o->loading = exact_cell_bool(0, 6, false);
	MemoryContextSwitchTo(old);
}

static bool
is_over(TimestampTz since, int ms)
{
	return TimestampDifferenceExceeds(since, GetCurrentTimestamp(), ms);
}

/* While a first load goes on what was told stays true: complete_until is of then. */
static bool
is_news(const OpenState *o)
{
	bool		told = o->written != NULL;

	if (o->rows[PLACE_STATE].n == 0)
		return false;			/* nothing to say yet */
	if (!told)
		return o->delivered != 0 || o->rows[PLACE_OPEN].n > 0;
	if (o->loading && !is_over(o->written_at, LOADING_MS))
		return false;
	return strcmp(o->written, o->digest) != 0 || o->delivered > o->delivered_at ||
		is_over(o->written_at, REFRESH_MS);
}

/* ---- ends ---- */

static void
forget(OpenState *o)
{
	o->busy = false;
	if (CurrentMemoryContext == o->context)
		MemoryContextSwitchTo(MemoryContextGetParent(o->context));
	MemoryContextDelete(o->context);
	o->context = NULL;
}

static char *
table_name(const OpenState *o)
{
	return psprintf("%s.%s.%s", o->info->catalog, o->info->schema, tables[o->place].name);
}

typedef struct Entry
{
	OpenState  *state;
	const ExactTargetTrouble *trouble;	/* NULL: written */
} Entry;

static void
record_unit(void *arg)
{
	Entry	   *entry = arg;
	OpenState  *o = entry->state;
	ExactTargetNames names = {o->workspace, ENTITY, table_name(o), NULL};

	if (entry->trouble == NULL)
		exact_target_state_delivered(&names, o->digest, o->delivered);
	else
		exact_target_state_paused(&names, entry->trouble);
}

/* Both tables say what is open. A record that fails lets the next process write them once more. */
static void
end_written(OpenState *o)
{
	Entry		entry = {o, NULL};

	(void) exact_unit_run("record what is open", record_unit, &entry, NULL);
	if (o->written != NULL)
		pfree(o->written);
	o->written = MemoryContextStrdup(TopMemoryContext, o->digest);
	o->written_at = GetCurrentTimestamp();
	o->delivered_at = o->delivered;
	o->attempts = 0;
	exact_log(LOG, "told workspace=%s open=%d entities=%d", o->workspace, o->rows[PLACE_OPEN].n,
			  o->rows[PLACE_STATE].n);
	forget(o);
}

static void
end_failed(OpenState *o, const ExactStatementResult *result)
{
	const ExactFault *fault = result->fault;
	int64		ms = exact_backoff_ms(++o->attempts, RETRY_FIRST_MS, RETRY_LAST_MS);
	ExactTargetTrouble trouble = {
		.fault = fault,
		.sqlstate = *result->sqlstate != '\0' ? result->sqlstate : NULL,
		.attempts = o->attempts,
		.next_attempt = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms)
	};
	Entry		entry = {o, &trouble};

	o->next_attempt = trouble.next_attempt;
	exact_log(o->attempts == 1 ? WARNING : LOG,
			  "what is open is not told workspace=%s next_attempt=%s: %s.%s%s", o->workspace,
			  timestamptz_to_str(o->next_attempt), fault->message,
			  fault->hint ? " Next step: " : "", fault->hint ? fault->hint : "");
	(void) exact_unit_run("record what is open", record_unit, &entry, NULL);
	if (result->fenced)
		exact_fence_doubt(o->workspace);
	forget(o);
}

/* ---- the statements ---- */

static void
append_create(StringInfo sql, const OpenTable *table, const ExactTarget *target)
{
	appendStringInfoString(sql, "CREATE TABLE IF NOT EXISTS ");
	exact_merge_sql_table(sql, target, EXACT_TABLE_CURRENT);
	appendStringInfoString(sql, " (\n  `installation` STRING NOT NULL"
						   " COMMENT 'Installation of exact_databricks that says it'");
	for (int i = 0; i < table->ncolumns; i++)
	{
		appendStringInfo(sql, ",\n  `%s` %s COMMENT ", table->columns[i].name,
						 table->columns[i].type);
		exact_delta_sql_literal(sql, table->columns[i].comment);
	}
	appendStringInfoString(sql, "\n) USING DELTA\nCOMMENT ");
	exact_delta_sql_literal(sql, table->comment);
	appendStringInfoString(sql, "\nTBLPROPERTIES ('delta.enableDeletionVectors' = 'false')");
}

/* The moment of the telling, which all its rows carry */
static void
append_moment(StringInfo sql, const ExactJson *rows)
{
	ExactJsonMember member;

	if (!exact_json_find(rows->members[0].raw, rows->members[0].len, "as_of", &member))
		elog(ERROR, "a row of exact._open_json() has no as_of");
	appendStringInfoString(sql, "CAST(");
	exact_delta_sql_literal(sql, exact_json_text(&member));
	appendStringInfoString(sql, " AS TIMESTAMP)");
}

/*
 * Rows of this installation that are neither in :batch, which is the last part, nor in a part
 * before it.
 */
static void
append_vanish(StringInfo sql, const OpenState *o, const char *own)
{
	const ExactJson *rows = &o->rows[o->place];

	if (o->to < rows->n)
		return;
	appendStringInfo(sql, "\nWHEN NOT MATCHED BY SOURCE AND %s", own);
	if (o->from > 0)
	{
		appendStringInfoString(sql, " AND coalesce(t.`as_of` <> ");
		append_moment(sql, rows);
		appendStringInfoString(sql, ", true)");
	}
	appendStringInfoString(sql, " THEN DELETE");
}

/* Writes the rows of :batch; with the last part those of this installation that are old vanish. */
static void
append_merge(StringInfo sql, const OpenState *o, const ExactTarget *target,
			 const ExactMergeRows *batch)
{
	const OpenTable *table = &tables[o->place];
	StringInfoData schema;
	StringInfoData own;

	initStringInfo(&schema);
	initStringInfo(&own);
	appendStringInfoString(&own, "t.`installation` = ");
	exact_delta_sql_literal(&own, target->hub->installation);
	appendStringInfoString(sql, "MERGE INTO ");
	exact_merge_sql_table(sql, target, EXACT_TABLE_CURRENT);
	appendStringInfoString(sql, " AS t\nUSING (");
	for (int i = 0; i < table->ncolumns; i++)
	{
		appendStringInfoString(sql, i == 0 ? "SELECT " : ", ");
		exact_delta_sql_cast(sql, table->columns[i].name, table->columns[i].type);
		appendStringInfo(sql, " AS `%s`", table->columns[i].name);
		appendStringInfo(&schema, "%s`%s`: STRING", i == 0 ? "ARRAY<STRUCT<" : ", ",
						 table->columns[i].name);
	}
	appendStringInfoString(&schema, ">>");
	appendStringInfoChar(sql, '\n');
	exact_rows_sql_from(sql, schema.data, target, batch, true);
	appendStringInfo(sql, ") AS s\nON %s", own.data);
	for (int i = 0; i < table->ncolumns; i++)
		if (table->columns[i].key)
			appendStringInfo(sql, " AND t.`%s` %s s.`%s`", table->columns[i].name,
							 strcmp(table->columns[i].name, "_key") == 0 ? "<=>" : "=",
							 table->columns[i].name);
	appendStringInfoString(sql, "\nWHEN MATCHED THEN UPDATE SET ");
	for (int i = 0, n = 0; i < table->ncolumns; i++)
	{
		const OpenColumn *column = &table->columns[i];

		if (column->key)
			continue;
		appendStringInfo(sql, "%s`%s` = ", n++ == 0 ? "" : ", ", column->name);
		if (column->update != NULL)
			appendStringInfoString(sql, column->update);
		else
			appendStringInfo(sql, "s.`%s`", column->name);
	}
	appendStringInfoString(sql, "\nWHEN NOT MATCHED THEN INSERT (`installation`");
	for (int i = 0; i < table->ncolumns; i++)
		appendStringInfo(sql, ", `%s`", table->columns[i].name);
	appendStringInfoString(sql, ")\n  VALUES (");
	exact_delta_sql_literal(sql, target->hub->installation);
	for (int i = 0; i < table->ncolumns; i++)
		appendStringInfo(sql, ", s.`%s`", table->columns[i].name);
	appendStringInfoChar(sql, ')');
	append_vanish(sql, o, own.data);
}

static void
take_result(const ExactStatementResult *result, void *arg)
{
	OpenState  *o = arg;
	MemoryContext old = MemoryContextSwitchTo(o->context);

	if (result->verdict != EXACT_VERDICT_SUCCEEDED)
	{
		if (!look_at_columns(o, result))
			end_failed(o, result);
	}
	else if (o->to < o->rows[o->place].n)
		write_part(o, o->place, o->to);
	else if (o->place == PLACE_OPEN)
		write_part(o, PLACE_STATE, 0);
	else
		end_written(o);
	MemoryContextSwitchTo(old);
}

/* As many rows from o->from on as fit into one parameter, one at least. palloc'd; sets o->to */
static char *
cut_part(OpenState *o)
{
	const ExactJson *rows = &o->rows[o->place];
	StringInfoData part;

	initStringInfo(&part);
	appendStringInfoChar(&part, '[');
	for (o->to = o->from; o->to < rows->n; o->to++)
	{
		const ExactJsonMember *row = &rows->members[o->to];

		if (o->to > o->from && part.len + row->len > PART_BYTES)
			break;
		appendStringInfoString(&part, o->to > o->from ? ",\n" : "");
		appendBinaryStringInfo(&part, row->raw, (int) row->len);
	}
	appendStringInfoChar(&part, ']');
	return part.data;
}

/* Sends the MERGE of a part of one of the two tables, which is made if it is absent. */
static void
write_part(OpenState *o, Place place, int from)
{
	const OpenTable *table = &tables[place];
	StringInfoData merge;
	StringInfoData create;
	ExactTarget target;
	ExactMergeRows batch = {
		.divisions = o->divisions,
		.ndivisions = o->ndivisions
	};
	ExactStatementRequest request = {
		.workspace = o->info,
		.hub = o->hub,
		.entity = table->name,
		.kind = "state",
		.verb = "MERGE into",
		.done = take_result,
		.arg = o
	};

	o->place = place;
	o->from = from;
	target = target_of(o);
	request.parameter = cut_part(o);
	batch.rows = o->to - o->from;
	initStringInfo(&merge);
	initStringInfo(&create);
	append_merge(&merge, o, &target, &batch);
	append_create(&create, table, &target);
	request.table = table_name(o);
	request.sql = merge.data;
	exact_create_table_if_absent(&request, EXACT_MAKE_SCHEMA_AND_TABLE, create.data, NULL);
}

/* ---- a table that an older version made ---- */

static bool
has_column(const ExactStatementResult *described, const char *name)
{
	for (int r = 0; r < described->nrows; r++)
	{
		const char *found = described->cells[(size_t) r * described->ncolumns];

		if (found != NULL && pg_strcasecmp(found, name) == 0)
			return true;
	}
	return false;
}

/* The columns that the table lacks; false: none. */
static bool
append_add(StringInfo sql, const OpenTable *table, const ExactTarget *target,
		   const ExactStatementResult *described)
{
	int			added = 0;

	appendStringInfoString(sql, "ALTER TABLE ");
	exact_merge_sql_table(sql, target, EXACT_TABLE_CURRENT);
	appendStringInfoString(sql, " ADD COLUMNS (");
	for (int i = 0; i < table->ncolumns; i++)
	{
		const OpenColumn *column = &table->columns[i];

		if (has_column(described, column->name))
			continue;
		appendStringInfo(sql, "%s`%s` %s COMMENT ", added++ > 0 ? ", " : "", column->name,
						 column->type);
		exact_delta_sql_literal(sql, column->comment);
	}
	appendStringInfoChar(sql, ')');
	return added > 0;
}

static ExactTarget
target_of(const OpenState *o)
{
	return (ExactTarget) {
		.catalog = o->info->catalog,
		.schema = o->info->schema,
		.current = tables[o->place].name,
		.entity = tables[o->place].name,
		.hub = o->hub
	};
}

static void
send(OpenState *o, const char *kind, const char *verb, const char *sql, ExactStatementDone done)
{
	exact_statement_start(&(ExactStatementRequest) {
		.workspace = o->info,
		.hub = o->hub,
		.entity = tables[o->place].name,
		.table = table_name(o),
		.kind = kind,
		.verb = verb,
		.sql = sql,
		.done = done,
		.arg = o
	});
}

/* The part goes out once more when the columns are there. */
static void
take_added(const ExactStatementResult *result, void *arg)
{
	OpenState  *o = arg;
	MemoryContext old = MemoryContextSwitchTo(o->context);

	if (result->verdict == EXACT_VERDICT_SUCCEEDED)
		write_part(o, o->place, o->from);
	else
		end_failed(o, result);
	MemoryContextSwitchTo(old);
}

static void
take_described(const ExactStatementResult *result, void *arg)
{
	OpenState  *o = arg;
	MemoryContext old = MemoryContextSwitchTo(o->context);
	ExactTarget target = target_of(o);
	StringInfoData sql;

	initStringInfo(&sql);
	if (result->verdict == EXACT_VERDICT_SUCCEEDED && result->ncolumns > 0 &&
		append_add(&sql, &tables[o->place], &target, result))
		send(o, "ddl", "ALTER TABLE for", sql.data, take_added);
	else
		end_failed(o, &o->refusal);
	MemoryContextSwitchTo(old);
}

/*
 * A MERGE that was refused for what its text says may name a column that the table lacks: once a
 * telling its columns are looked at. False: that is not why.
 */
static bool
look_at_columns(OpenState *o, const ExactStatementResult *result)
{
	bool		of_text = *result->sqlstate == '\0' ||
		(strncmp(result->sqlstate, "42", 2) == 0 && strcmp(result->sqlstate, "42501") != 0);
	ExactTarget target = target_of(o);
	StringInfoData sql;

	if (!of_text || result->fenced || o->described[o->place])
		return false;
	o->described[o->place] = true;
	o->refusal = (ExactStatementResult) {
		.verdict = result->verdict,
		.fault = exact_fault_copy(result->fault),
		.sqlstate = pstrdup(result->sqlstate)
	};
	initStringInfo(&sql);
	exact_merge_sql_describe(&sql, &target, EXACT_TABLE_CURRENT);
	send(o, "check", "reading of", sql.data, take_described);
	return true;
}

bool
exact_open_state_look(const ExactWorkspace *workspace, const ExactHub *hub)
{
	OpenState  *o = get_state(workspace->name);
	TimestampTz now = GetCurrentTimestamp();
	MemoryContext old;

	if (o->pending)
		return true;
	if (o->busy || o->next_attempt > now || !TimestampDifferenceExceeds(o->looked_at, now, LOOK_MS))
		return false;
	o->looked_at = now;
	if (!o->known)
		start_reading(o, workspace, hub);
	if (!o->known || o->busy)
		return false;
	o->context = AllocSetContextCreate(TopMemoryContext, "exact open records",
									   ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(o->context);
	o->info = exact_databricks_copy(workspace);
	o->hub = hub;
	o->pending = exact_unit_run("look what is open", look_unit, o, NULL) && is_news(o);
	if (!o->pending)
		forget(o);
	MemoryContextSwitchTo(old);
	return o->pending;
}

void
exact_open_state_hurry(const char *workspace)
{
	OpenState  *o = get_state(workspace);

	if (o->next_attempt != 0)
		o->next_attempt = o->looked_at = 0;
}

void
exact_open_state_look_again(const char *workspace)
{
	get_state(workspace)->looked_at = 0;
}

void
exact_open_state_tell(const ExactWorkspace *workspace)
{
	OpenState  *o = get_state(workspace->name);
	MemoryContext old = MemoryContextSwitchTo(o->context);

	o->info = exact_databricks_copy(workspace); /* the claim was made there, maybe since the look */
	o->pending = false;
	o->busy = true;
	memset(o->described, 0, sizeof(o->described));
	write_part(o, PLACE_OPEN, 0);
	MemoryContextSwitchTo(old);
}
