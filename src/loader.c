/*
 * loader.c - the loader of a database: staged batches into Delta tables.
 *
 * Its turn looks for new batches, changed configuration and resumed tables, lets each table go on (delta_table.c) in the order of the
 * ranks, and lets the statements under way take their next step (statement.c). Idle, it looks once a minute.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "auth/address.h"
#include "base/clock.h"
#include "base/errors.h"
#include "base/sql.h"
#include "deliver/delta_table.h"
#include "deliver/delta_views.h"
#include "deliver/fence.h"
#include "deliver/open_state.h"
#include "deliver/ping_databricks.h"
#include "worker/ask.h"
#include "worker/unit.h"
#include "worker/worker.h"

#define LOOK_MS 60000			/* all that waits is read anew; batches and changes are told by a wake-up */
#define LOOK_AGAIN_MS 1000		/* after a look that failed */
#define MAX_UNDER_WAY 8
#define READ_BATCHES 50000

PGDLLEXPORT void exact_loader_main(Datum main_arg) pg_attribute_noreturn();

typedef struct Workspace
{
	dlist_node	node;
	ExactWorkspace info;
	bool		enabled;
	ExactFault *fault;			/* its address cannot be used */
} Workspace;

static MemoryContext workspace_context;
static dlist_head workspaces = DLIST_STATIC_INIT(workspaces);
static char *configuration;		/* digest of what the plans depend on */
static int64 last_batch;		/* highest id that was read */
static bool look_due;
static TimestampTz looked_at;	/* when all that waits was read */

static Workspace *
find_workspace(const char *name)
{
	dlist_iter	iter;

	dlist_foreach(iter, &workspaces)
	{
		Workspace  *workspace = dlist_container(Workspace, node, iter.cur);

		if (strcmp(workspace->info.name, name) == 0)
			return workspace;
	}
	return NULL;
}

/* ---- configuration ---- */

typedef struct Digest
{
	MemoryContext context;
	char	   *text;
} Digest;

/* Everything of the users' that the loader has in memory; the catalogue only changes with the extension's version. */
static void
configuration_unit(void *arg)
{
	static const char sql[] =
	"SELECT md5(concat_ws('|', (SELECT string_agg(w::text, '|' ORDER BY w.name) FROM exact.workspace w), "
	"(SELECT string_agg(d.division || ':' || d.workspace, '|' ORDER BY d.division) FROM exact.division d WHERE d.workspace IS NOT NULL), "
	"(SELECT string_agg(e::text, '|' ORDER BY e.name) FROM exact.entity e), "
	"(SELECT string_agg(f::text, '|' ORDER BY f.entity, f.name) FROM exact.entity_field f), "
	"(SELECT max(c.set_at)::text FROM exact.credential c WHERE c.kind = 'workspace')))";
	Digest	   *digest = arg;
	MemoryContext old;

	exact_sql(sql, 0, NULL);
	old = MemoryContextSwitchTo(digest->context);
	digest->text = exact_cell_text(0, 1);
	MemoryContextSwitchTo(old);
}

static void
workspaces_unit(void *arg)
{
	static const char sql[] = "SELECT name, warehouse_id, catalog, schema, client_id, enabled FROM exact.workspace ORDER BY name";
	static const char divisions_sql[] = "SELECT workspace, division FROM exact.division WHERE workspace IS NOT NULL ORDER BY division";
	dlist_head *list = arg;
	MemoryContext old;
	uint64		n;

	exact_fence_load();
	n = exact_sql(divisions_sql, 0, NULL);
	for (uint64 i = 0; i < n; i++)
		exact_fence_want(exact_cell_text(i, 1), (int) exact_cell_int8(i, 2, 0));
	n = exact_sql(sql, 0, NULL);
	old = MemoryContextSwitchTo(workspace_context);
	dlist_init(list);
	for (uint64 i = 0; i < n; i++)
	{
		Workspace  *workspace = palloc0(sizeof(Workspace));

		workspace->info.name = exact_cell_text(i, 1);
		workspace->info.warehouse = exact_cell_text(i, 2);
		workspace->info.catalog = exact_cell_text(i, 3);
		workspace->info.schema = exact_cell_text(i, 4);
		workspace->info.principal = exact_cell_text(i, 5);
		workspace->enabled = exact_cell_bool(i, 6, false);
		dlist_push_tail(list, &workspace->node);
	}
	MemoryContextSwitchTo(old);
}

static void
address_unit(void *arg)
{
	Workspace  *workspace = arg;
	char	   *workspace_id = NULL;
	char	   *origin = exact_workspace_origin(workspace->info.name, &workspace_id);

	workspace->info.origin = MemoryContextStrdup(workspace_context, origin);
	workspace->info.workspace_id = workspace_id ? MemoryContextStrdup(workspace_context, workspace_id) : NULL;
}

/* Reads the workspaces anew; plans follow before their next use. */
static bool
read_configuration(void)
{
	dlist_iter	iter;
	MemoryContext old;

	/* what is under way has copies of its own */
	MemoryContextReset(workspace_context);
	dlist_init(&workspaces);
	if (!exact_unit_run("read workspaces", workspaces_unit, &workspaces, NULL))
	{
		dlist_init(&workspaces);
		return false;
	}
	old = MemoryContextSwitchTo(workspace_context);
	dlist_foreach(iter, &workspaces)
	{
		Workspace  *workspace = dlist_container(Workspace, node, iter.cur);

		(void) exact_unit_run("read address", address_unit, workspace, &workspace->fault);
	}
	MemoryContextSwitchTo(old);
	dlist_foreach(iter, &exact_delta_tables)
		exact_delta_table_reset(dlist_container(ExactDeltaTable, node, iter.cur));
	return true;
}

/* False when it could not be read; *changed: it is another one than before. */
static bool
look_at_configuration(bool *changed)
{
	Digest		digest = {CurrentMemoryContext, NULL};

	*changed = false;
	if (!exact_unit_run("read configuration", configuration_unit, &digest, NULL))
		return false;
	if (configuration != NULL && strcmp(configuration, digest.text) == 0)
		return true;
	if (!read_configuration())
		return false;
	if (configuration != NULL)
		pfree(configuration);
	configuration = MemoryContextStrdup(TopMemoryContext, digest.text);
	*changed = true;
	return true;
}

/* ---- what waits ---- */

/* Reads batches above last_batch; returns their number. */
static void
batches_unit(void *arg)
{
	static const char sql[] =
	"SELECT b.id, b.slot::int, b.rows, b.delivered_rows, b.bytes, coalesce(b.workspace, d.workspace), b.entity, coalesce(c.merge_rank, 0), b.division "
	"FROM exact.batch b LEFT JOIN exact.division d ON d.division = b.division LEFT JOIN exact.catalogue c ON c.entity = b.entity "
	"WHERE b.delivered_at IS NULL AND b.id > $1 ORDER BY b.id LIMIT $2";
	uint64	   *n = arg;
	ExactArg	args[2];

	args[0] = exact_arg_int8(last_batch);
	args[1] = exact_arg_int8(READ_BATCHES);
	*n = exact_sql(sql, 2, args);
	for (uint64 i = 0; i < *n; i++)
	{
		ExactBatch	batch;
		char	   *workspace = exact_cell_text(i, 6);
		ExactDeltaTable *table;

		batch.id = exact_cell_int8(i, 1, 0);
		batch.slot = (int) exact_cell_int8(i, 2, 0);
		batch.rows = (int) exact_cell_int8(i, 3, 0);
		batch.delivered = (int) exact_cell_int8(i, 4, 0);
		batch.bytes = exact_cell_int8(i, 5, 0);
		last_batch = Max(last_batch, batch.id);
		if (workspace == NULL)
			continue;			/* its division has none; a change of that is a change of the configuration */
		table = exact_delta_table_get(workspace, exact_cell_text(i, 7));
		table->rank = (int) exact_cell_int8(i, 8, 0);
		exact_backlog_add(&table->backlog, &batch);
		exact_fence_want(workspace, (int) exact_cell_int8(i, 9, 0));
	}
}

/* Takes over what users may have done to the state: resume. At the start also what an earlier process left. */
static void
states_unit(void *arg)
{
	static const char sql[] =
	"SELECT workspace, entity, paused_since IS NOT NULL, attempts, "
	"CASE WHEN next_attempt_at < clock_timestamp() + interval '1 h' THEN next_attempt_at END, CASE WHEN delivered_at <= clock_timestamp() THEN delivered_at END, created_at IS NOT NULL, "	/* else by a clock that was set back */
	"NOT EXISTS (SELECT FROM exact.epoch e WHERE e.known_seq IS NOT NULL AND e.epoch > coalesce(s.compared_epoch, 0)) FROM exact.target_state s";
	bool	   *first = arg;
	uint64		n = exact_sql(sql, 0, NULL);

	for (uint64 i = 0; i < n; i++)
	{
		ExactDeltaTable *table = exact_delta_table_get(exact_cell_text(i, 1), exact_cell_text(i, 2));
		bool		paused = exact_cell_bool(i, 3, false);

		if (*first)
		{
			table->paused = table->pause_recorded = paused;
			table->attempts = paused ? (int) exact_cell_int8(i, 4, 0) : 0;
			table->next_attempt = exact_cell_time(i, 5, 0);
			table->last_delivered = exact_cell_time(i, 6, 0);
			table->verified_once = exact_cell_bool(i, 7, false);
			table->compared = exact_cell_bool(i, 8, false);
		}
		else if (table->paused && table->pause_recorded && !paused && !table->busy)
			exact_delta_table_resume(table);
	}
}

/* What is new; now and then, and after a change of the configuration, all that waits. False when something could not be read. */
static bool
look(void)
{
	static bool first = true;
	TimestampTz now = GetCurrentTimestamp();
	bool		changed;
	uint64		n;
	dlist_iter	iter;

	if (!look_at_configuration(&changed))
		return false;
	if (changed || TimestampDifferenceExceeds(looked_at, now, LOOK_MS))
	{
		/* what is under way stays in the list until it is recorded, as it does in exact.batch */
		last_batch = 0;
		dlist_foreach(iter, &exact_delta_tables)
			dlist_container(ExactDeltaTable, node, iter.cur)->backlog.n = 0;
		looked_at = now;
	}
	if (!exact_unit_run("read table states", states_unit, &first, NULL))
		return false;
	first = false;
	do
	{
		if (!exact_unit_run("read batches", batches_unit, &n, NULL))
			return false;
	} while (n == READ_BATCHES);
	return true;
}

/* ---- order ---- */

/* Master data goes before documents and headers before lines: a table waits for older batches of lower ranks, unless theirs is paused. */
static int64
may_go_below(const ExactDeltaTable *table)
{
	int64		below = PG_INT64_MAX;
	dlist_iter	iter;

	dlist_foreach(iter, &exact_delta_tables)
	{
		const ExactDeltaTable *other = dlist_container(ExactDeltaTable, node, iter.cur);

		if (other->rank < table->rank && !other->paused && other->backlog.n > 0 && strcmp(other->workspace, table->workspace) == 0)
			below = Min(below, other->backlog.batches[0].id);
	}
	return below;
}

/* Nothing goes to a workspace where this hub has not claimed its divisions. */
static bool
is_claimed(Workspace *workspace, ExactDeltaTable *table, bool due, long *wait)
{
	const ExactFault *fault;
	long		ms;
	ExactFenceState state = exact_fence_advance(&workspace->info, &fault, &ms);

	if (state == EXACT_FENCE_HELD)
	{
		if (table->unclaimed && table->paused && table->next_attempt != 0)
			table->next_attempt = GetCurrentTimestamp();
		table->unclaimed = false;
		return true;
	}
	*wait = exact_clock_sooner(*wait, ms);
	if (state == EXACT_FENCE_FAULT && due && (!table->paused || (table->next_attempt != 0 && table->next_attempt <= GetCurrentTimestamp())))
	{
		table->unclaimed = true;
		exact_delta_table_pause(table, fault, NULL);
	}
	return false;
}

/* In a unit: the service is away while a claim is made. */
static void
show_trouble(const ExactFault *fault, int attempts, TimestampTz at, void *arg)
{
	dlist_iter	iter;

	dlist_foreach(iter, &exact_delta_tables)
	{
		ExactDeltaTable *table = dlist_container(ExactDeltaTable, node, iter.cur);

		if (strcmp(table->workspace, arg) == 0 && exact_delta_table_due(table))
			exact_delta_table_show(table, fault, attempts, at);
	}
}

static long
advance_tables(void)
{
	long		wait = -1;
	int			under_way = 0;
	dlist_iter	iter;

	dlist_foreach(iter, &exact_delta_tables)
		under_way += dlist_container(ExactDeltaTable, node, iter.cur)->busy ? 1 : 0;
	dlist_foreach(iter, &exact_delta_tables)
	{
		ExactDeltaTable *table = dlist_container(ExactDeltaTable, node, iter.cur);
		bool		due = exact_delta_table_due(table) || table->unrecorded != NULL;
		Workspace  *workspace;

		/* a hub that has delivered before wants to know at its start whether another copy has taken its place */
		if ((!due && !table->verified_once) || (table->busy && table->unrecorded == NULL))
			continue;
		workspace = find_workspace(table->workspace);
		if (workspace == NULL || !workspace->enabled)
			continue;
		if (workspace->fault != NULL)
		{
			if (!due)
				continue;
			if (!table->paused || (table->next_attempt != 0 && table->next_attempt <= GetCurrentTimestamp()))
				exact_delta_table_pause(table, workspace->fault, NULL);
			continue;
		}
		if (under_way >= MAX_UNDER_WAY && !table->busy)
			continue;			/* the end of any of them brings the next turn */
		if (!is_claimed(workspace, table, due, &wait) || !due)
			continue;
		wait = exact_clock_sooner(wait, exact_delta_table_advance(table, &workspace->info, exact_fence_hub(), may_go_below(table)));
		under_way += table->busy ? 1 : 0;
	}
	return wait;
}

/* What readers in Databricks are told beside the tables; once this hub may write there. */
static long
tell_open_state(void)
{
	long		wait = -1;
	dlist_iter	iter;

	dlist_foreach(iter, &workspaces)
	{
		Workspace  *workspace = dlist_container(Workspace, node, iter.cur);
		const ExactFault *fault;
		long		ms = -1;

		if (!workspace->enabled || workspace->fault != NULL || !exact_open_state_look(&workspace->info, exact_fence_hub()))
			continue;
		if (exact_fence_advance(&workspace->info, &fault, &ms) == EXACT_FENCE_HELD)
			exact_open_state_tell(&workspace->info);
		wait = exact_clock_sooner(wait, ms);
	}
	return wait;
}

static const ExactWorkspace *
usable_workspace(const char *name, const char **why)
{
	const Workspace *workspace = find_workspace(name);

	*why = workspace == NULL ? "is not there" : !workspace->enabled ? "is not enabled" : workspace->fault != NULL ? workspace->fault->message : NULL;
	return *why == NULL ? &workspace->info : NULL;
}

/* ---- the worker ---- */

static void
start(void)
{
	workspace_context = AllocSetContextCreate(TopMemoryContext, "exact workspaces", ALLOCSET_DEFAULT_SIZES);
	exact_fence_tell(show_trouble);
}

static long
turn(void)
{
	long		wait = LOOK_MS;
	bool		looked;

	look_due |= exact_worker_woken() || TimestampDifferenceExceeds(looked_at, GetCurrentTimestamp(), LOOK_MS);
	looked = look_due;
	if (look_due)
		look_due = !look();
	if (look_due)
		wait = LOOK_AGAIN_MS;
	wait = exact_clock_sooner(wait, advance_tables());
	wait = exact_clock_sooner(wait, tell_open_state());
	exact_delta_views_turn(usable_workspace, exact_fence_hub(), looked);
	wait = exact_clock_sooner(wait, exact_statement_turn());
	return wait;
}

static void
serve(ExactAsk *ask)
{
	dlist_iter	iter;

	if (strcmp(exact_ask_op(ask), "ping") != 0)
	{
		exact_ask_failf(ask, ERRCODE_EXACT_REQUEST, NULL, NULL, "the loader does not know the question \"%s\"", exact_ask_op(ask));
		return;
	}
	look_due = !look();
	exact_ping_begin(ask);
	dlist_foreach(iter, &workspaces)
	{
		Workspace  *workspace = dlist_container(Workspace, node, iter.cur);

		exact_ping_workspace(&workspace->info, workspace->enabled, workspace->fault);
	}
	exact_ping_end();
}

static const ExactWorkerOps ops = {
	.role = EXACT_ROLE_LOADER,
	.start = start,
	.turn = turn,
	.ask = serve,
};

void
exact_loader_main(Datum main_arg)
{
	exact_worker_run(&ops, main_arg);
}
