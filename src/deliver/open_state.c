/*
 * open_state.c - the Delta tables exact_open and exact_state of a workspace.
 *
 * Both are small and replaced whole by one MERGE each, so that a reader never sees half of them: exact_open first, which may then name
 * too much beside an older exact_state, never too little. What they say is made by exact._open_json() (install/55_open.sql). Nothing
 * is sent while nothing was delivered and nothing has changed but the time, and rarely while a first load goes on; once a day the times
 * are brought up to date. Called by loader.c.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "lib/ilist.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/errors.h"
#include "base/sql.h"
#include "deliver/creation.h"
#include "deliver/fence.h"
#include "deliver/open_state.h"

#define ENTITY "exact_state"	/* of both in exact.target_state */
#define LOOK_MS 60000
#define LOADING_MS 600000		/* between two tellings while a first load goes on: each of them would slow it down */
#define REFRESH_MS (24 * 3600 * 1000)
#define RETRY_FIRST_MS 60000L
#define RETRY_LAST_MS 900000L

typedef enum Place
{
	PLACE_OPEN,
	PLACE_STATE
} Place;

#define NPLACES 2

typedef enum Step
{
	STEP_MERGE,
	STEP_CREATE
} Step;

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
	{"_key", "STRING", true, NULL, "Key of the record; null: the row stands for several, see records"},
	{"state", "STRING", true, NULL, "waiting: on its way; paused: its table takes nothing; held: waits for a person's decision"},
	{"reason", "STRING", false, NULL, "Why it is held or its table paused"},
	{"year", "INT", false, NULL, "Financial year; null: not known, it may be any"},
	{"period", "INT", false, NULL, "Financial period; null: not known, it may be any"},
	{"amount", "DECIMAL(28,4)", false, NULL, "AmountDC of the newest version. Documents repeat the amounts of their lines: sum one entity"},
	{"records", "BIGINT", false, NULL, "Records, or versions, that the row stands for"},
	{"since", "TIMESTAMP", false, NULL, "Since when"},
	{"_seq", "BIGINT", false, NULL, "Newest version that is not in the tables yet"},
	{"as_of", "TIMESTAMP", false, NULL, "When the hub looked"},
};

static const OpenColumn state_columns[] = {
	{"_division", "INT", true, NULL, "Division (administration) in Exact Online"},
	{"entity", "STRING", true, NULL, "Entity: name of its table unless that was changed"},
	{"state", "STRING", false, NULL, "complete: kept up to date; first load: still being read for the first time; stopped: see reason; off: not read any more"},
	{"reason", "STRING", false, NULL, "Why it does not go on"},
	{"complete_until", "TIMESTAMP", false, "greatest(t.`complete_until`, s.`complete_until`)", "The table holds all that Exact Online had at this time, but for the rows of exact_open"},
	{"open_records", "BIGINT", false, NULL, "Versions of it in exact_open"},
	{"as_of", "TIMESTAMP", false, NULL, "When the hub looked"},
};

static const OpenTable tables[NPLACES] = {
	{"exact_open", "What the hub has and the tables beside this one have not: on its way, held, or refused. No row of a period: nothing known is missing",
	lengthof(open_columns), open_columns},
	{"exact_state", "Up to when each division and entity is complete: a month is closed when complete_until of all its entities lies behind its end and exact_open has no row of it",
	lengthof(state_columns), state_columns},
};

typedef struct OpenState
{
	dlist_node	node;
	char	   *workspace;
	bool		known;			/* what an earlier process wrote was read, and its statements are over */
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
	char	   *rows[NPLACES];
	int			nrows[NPLACES];
	int		   *divisions;
	int			ndivisions;
	Place		place;
	Step		step;
	bool		created;		/* this table */
} OpenState;

static dlist_head states = DLIST_STATIC_INIT(states);

static void take_step(OpenState *o, Step step);

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

static void
known_unit(void *arg)
{
	static const char sql[] = "SELECT columns_digest, CASE WHEN delivered_at <= clock_timestamp() THEN delivered_at END FROM exact.target_state WHERE workspace = $1 AND entity = '" ENTITY "'";	/* a later one is of a clock that was set back */
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

/* Whatever became of it: both tables are written anew, now that it cannot come later than what is sent next. */
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
	if (n == 0)					/* else the tables hold what nobody knows */
		o->known = exact_unit_run("read what is open", known_unit, o, NULL);
}

/* ---- what there is to say ---- */

static void
look_unit(void *arg)
{
	static const char sql[] =
	"SELECT open_rows, opens, state_rows, states, digest, delivered_at, divisions::text, first_loads > 0 FROM exact._open_json($1)";
	OpenState  *o = arg;
	ExactArg	workspace = exact_arg_text(o->workspace);
	MemoryContext old;
	char	   *list;
	int			capacity;

	exact_sql(sql, 1, &workspace);
	old = MemoryContextSwitchTo(o->context);
	o->rows[PLACE_OPEN] = exact_cell_text(0, 1);
	o->nrows[PLACE_OPEN] = (int) exact_cell_int8(0, 2, 0);
	o->rows[PLACE_STATE] = exact_cell_text(0, 3);
	o->nrows[PLACE_STATE] = (int) exact_cell_int8(0, 4, 0);
	o->digest = psprintf("%d %s %s.%s %s", o->hub->epoch, o->info->origin, o->info->catalog, o->info->schema, exact_cell_text(0, 5));
	o->delivered = exact_cell_time(0, 6, 0);
	list = exact_cell_text(0, 7);	/* "{1,2}" */
	o->loading = exact_cell_bool(0, 8, false);
	capacity = o->nrows[PLACE_STATE];
	o->divisions = palloc(sizeof(int) * Max(capacity, 1));
	o->ndivisions = 0;
	for (char *p = list; p != NULL && *p != '\0' && *p != '}' && o->ndivisions < capacity; p = strpbrk(p + 1, ",}"))
		o->divisions[o->ndivisions++] = (int) strtol(p + 1, NULL, 10);
	MemoryContextSwitchTo(old);
}

static bool
is_news(const OpenState *o)
{
	if (o->nrows[PLACE_STATE] == 0 || (o->written == NULL && o->delivered == 0 && o->nrows[PLACE_OPEN] == 0))
		return false;			/* nothing to say yet */
	if (o->loading && o->written != NULL && !TimestampDifferenceExceeds(o->written_at, GetCurrentTimestamp(), LOADING_MS))
		return false;			/* what was told stays true: complete_until is of then */
	return o->written == NULL || strcmp(o->written, o->digest) != 0 || o->delivered > o->delivered_at ||
		TimestampDifferenceExceeds(o->written_at, GetCurrentTimestamp(), REFRESH_MS);
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
	const ExactFault *fault;	/* NULL: written */
	const char *sqlstate;
} Entry;

static void
record_unit(void *arg)
{
	static const char written_sql[] =
	"INSERT INTO exact.target_state AS t (workspace, entity, table_name, columns_digest, delivered_at) VALUES ($1, '" ENTITY "', $2, $3, $4) "
	"ON CONFLICT (workspace, entity) DO UPDATE SET table_name = excluded.table_name, columns_digest = excluded.columns_digest, "
	"delivered_at = excluded.delivered_at, paused_since = NULL, sqlstate = NULL, reason = NULL, next_step = NULL, attempts = 0, next_attempt_at = NULL";
	static const char failed_sql[] =
	"INSERT INTO exact.target_state AS t (workspace, entity, table_name, paused_since, sqlstate, reason, next_step, attempts, next_attempt_at) "
	"VALUES ($1, '" ENTITY "', $2, clock_timestamp(), $3, $4, $5, $6, $7) ON CONFLICT (workspace, entity) DO UPDATE SET table_name = excluded.table_name, "
	"paused_since = coalesce(t.paused_since, excluded.paused_since), sqlstate = excluded.sqlstate, reason = excluded.reason, next_step = excluded.next_step, "
	"attempts = excluded.attempts, next_attempt_at = excluded.next_attempt_at";
	Entry	   *entry = arg;
	OpenState  *o = entry->state;
	ExactArg	args[7];

	args[0] = exact_arg_text(o->workspace);
	args[1] = exact_arg_text(table_name(o));
	if (entry->fault == NULL)
	{
		args[2] = exact_arg_text(o->digest);
		args[3] = o->delivered != 0 ? exact_arg_time(o->delivered) : exact_arg_null(TIMESTAMPTZOID);
		exact_sql(written_sql, 4, args);
		return;
	}
	args[2] = exact_arg_text(entry->sqlstate);
	args[3] = exact_arg_text(entry->fault->message);
	args[4] = exact_arg_text(entry->fault->hint);
	args[5] = exact_arg_int4(o->attempts);
	args[6] = exact_arg_time(o->next_attempt);
	exact_sql(failed_sql, 7, args);
}

static void
end_written(OpenState *o)
{
	Entry		entry = {o, NULL, NULL};

	(void) exact_unit_run("record what is open", record_unit, &entry, NULL);	/* else it is written once more by the next process */
	if (o->written != NULL)
		pfree(o->written);
	o->written = MemoryContextStrdup(TopMemoryContext, o->digest);
	o->written_at = GetCurrentTimestamp();
	o->delivered_at = o->delivered;
	o->attempts = 0;
	exact_log(LOG, "told workspace=%s open=%d entities=%d", o->workspace, o->nrows[PLACE_OPEN], o->nrows[PLACE_STATE]);
	forget(o);
}

static void
end_failed(OpenState *o, const ExactStatementResult *result)
{
	Entry		entry = {o, result->fault, *result->sqlstate != '\0' ? result->sqlstate : NULL};
	long		ms = RETRY_LAST_MS;

	if (++o->attempts < 5)
		ms = Min(RETRY_FIRST_MS << (o->attempts - 1), RETRY_LAST_MS);
	o->next_attempt = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);
	exact_log(o->attempts == 1 ? WARNING : LOG, "what is open is not told workspace=%s next_attempt=%s: %s.%s%s", o->workspace, timestamptz_to_str(o->next_attempt),
			  result->fault->message, result->fault->hint ? " Next step: " : "", result->fault->hint ? result->fault->hint : "");
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
	appendStringInfoString(sql, " (\n  `installation` STRING NOT NULL COMMENT 'Installation of exact_databricks that says it'");
	for (int i = 0; i < table->ncolumns; i++)
	{
		appendStringInfo(sql, ",\n  `%s` %s COMMENT ", table->columns[i].name, table->columns[i].type);
		exact_delta_sql_literal(sql, table->columns[i].comment);
	}
	appendStringInfoString(sql, "\n) USING DELTA\nCOMMENT ");
	exact_delta_sql_literal(sql, table->comment);
	appendStringInfoString(sql, "\nTBLPROPERTIES ('delta.enableDeletionVectors' = 'false')");
}

/* Replaces the rows of this installation by those of :batch, in one statement. */
static void
append_merge(StringInfo sql, const OpenTable *table, const ExactTarget *target, const ExactMergeRows *batch)
{
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
		appendStringInfo(sql, "%sCAST(r.`%s` AS %s) AS `%s`", i == 0 ? "SELECT " : ", ", table->columns[i].name, table->columns[i].type, table->columns[i].name);
		appendStringInfo(&schema, "%s`%s`: STRING", i == 0 ? "ARRAY<STRUCT<" : ", ", table->columns[i].name);
	}
	appendStringInfoString(&schema, ">>");
	appendStringInfoChar(sql, '\n');
	exact_merge_sql_rows(sql, batch->rows, schema.data, target, batch);
	appendStringInfo(sql, ") AS s\nON %s", own.data);
	for (int i = 0; i < table->ncolumns; i++)
		if (table->columns[i].key)
			appendStringInfo(sql, " AND t.`%s` %s s.`%s`", table->columns[i].name, strcmp(table->columns[i].name, "_key") == 0 ? "<=>" : "=", table->columns[i].name);
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
	appendStringInfo(sql, ")\nWHEN NOT MATCHED BY SOURCE AND %s THEN DELETE", own.data);
}

static void
take_result(const ExactStatementResult *result, void *arg)
{
	OpenState  *o = arg;
	bool		good = result->verdict == EXACT_VERDICT_SUCCEEDED;
	MemoryContext old = MemoryContextSwitchTo(o->context);

	if (!good && o->step == STEP_MERGE && exact_statement_absent(result->sqlstate) && !o->created)
		take_step(o, STEP_CREATE);
	else if (!good)
		end_failed(o, result);
	else if (o->step == STEP_CREATE)
	{
		o->created = true;
		take_step(o, STEP_MERGE);
	}
	else if (o->place == PLACE_OPEN)
	{
		o->place = PLACE_STATE;
		o->created = false;
		take_step(o, STEP_MERGE);
	}
	else
		end_written(o);
	MemoryContextSwitchTo(old);
}

static void
take_step(OpenState *o, Step step)
{
	const OpenTable *table = &tables[o->place];
	ExactTarget target = {
		.catalog = o->info->catalog,
		.schema = o->info->schema,
		.current = table->name,
		.entity = table->name,
		.hub = o->hub
	};
	ExactMergeRows batch = {
		.rows = o->nrows[o->place],
		.divisions = o->divisions,
		.ndivisions = o->ndivisions
	};
	ExactStatementRequest request = {
		.workspace = o->info,
		.hub = o->hub,
		.entity = table->name,
		.table = table_name(o),
		.kind = step == STEP_MERGE ? "state" : "ddl",
		.verb = step == STEP_MERGE ? "MERGE into" : "CREATE TABLE for",
		.parameter = step == STEP_MERGE ? o->rows[o->place] : NULL,
		.may_be_absent = step == STEP_MERGE && !o->created,
		.done = take_result,
		.arg = o
	};
	StringInfoData sql;

	initStringInfo(&sql);
	o->step = step;
	if (step == STEP_MERGE)
	{
		append_merge(&sql, table, &target, &batch);
		request.sql = sql.data;
		exact_statement_start(&request);
	}
	else
	{
		append_create(&sql, table, &target);
		request.sql = sql.data;
		exact_creation_start(&request);
	}
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
	o->context = AllocSetContextCreate(TopMemoryContext, "exact open records", ALLOCSET_DEFAULT_SIZES);
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
exact_open_state_tell(const ExactWorkspace *workspace)
{
	OpenState  *o = get_state(workspace->name);
	MemoryContext old = MemoryContextSwitchTo(o->context);

	o->info = exact_databricks_copy(workspace); /* the claim was made there, maybe since the look */
	o->pending = false;
	o->busy = true;
	o->place = PLACE_OPEN;
	o->created = false;
	take_step(o, STEP_MERGE);
	MemoryContextSwitchTo(old);
}
