/*
 * workspace.c - the workspaces of Databricks that are configured, as the loader has them in memory.
 *
 * A digest of all that users can set tells whether to read them anew. Called by loader.c and
 * queue.c.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "auth/address.h"
#include "base/sql.h"
#include "databricks/databricks.h"
#include "deliver/delta_table.h"
#include "deliver/fence.h"
#include "deliver/volume.h"
#include "deliver/workspace.h"
#include "worker/service.h"
#include "worker/unit.h"

dlist_head	exact_workspaces = DLIST_STATIC_INIT(exact_workspaces);

static MemoryContext workspace_context; /* of the entries */
static char *configuration;		/* digest of what they and the plans were made of */

ExactWorkspaceEntry *
exact_workspace_find(const char *name)
{
	dlist_iter	iter;

	dlist_foreach(iter, &exact_workspaces)
	{
		ExactWorkspaceEntry *entry = dlist_container(ExactWorkspaceEntry, node, iter.cur);

		if (strcmp(entry->info.name, name) == 0)
			return entry;
	}
	return NULL;
}

const ExactWorkspace *
exact_workspace_usable(const char *name, const char **why)
{
	const ExactWorkspaceEntry *entry = exact_workspace_find(name);

	*why = NULL;
	if (entry == NULL)
		*why = "is not there";
	else if (!entry->enabled)
		*why = "is not enabled";
	else if (entry->fault != NULL)
		*why = entry->fault->message;
	return *why == NULL ? &entry->info : NULL;
}

/* ---- reading ---- */

typedef struct Digest
{
	MemoryContext context;
	char	   *text;
} Digest;

/* Everything of the users'; the catalogue only changes with the extension's version. */
static void
digest_unit(void *arg)
{
	static const char sql[] =
	"SELECT md5(concat_ws('|',"
	" (SELECT string_agg(w::text, '|' ORDER BY w.name)"
	"  FROM exact.workspace w),"
	" (SELECT string_agg(d.division || ':' || d.workspace, '|' ORDER BY d.division)"
	"  FROM exact.division d"
	"  WHERE d.workspace IS NOT NULL),"
	" (SELECT string_agg(e::text, '|' ORDER BY e.name)"
	"  FROM exact.entity e),"
	" (SELECT string_agg(f::text, '|' ORDER BY f.entity, f.name)"
	"  FROM exact.entity_field f),"
	" (SELECT max(c.set_at)::text"
	"  FROM exact.credential c"
	"  WHERE c.kind = 'workspace'),"
	" (SELECT max(s.resumed_at)::text"
	"  FROM exact.division_state s)))";
	Digest	   *digest = arg;
	MemoryContext old;

	exact_sql(sql, 0, NULL);
	old = MemoryContextSwitchTo(digest->context);
	digest->text = exact_cell_text(0, 1);
	MemoryContextSwitchTo(old);
}

/* Every division that goes to a workspace is to be claimed there. */
static void
want_divisions(void)
{
	static const char sql[] =
	"SELECT workspace, division"
	" FROM exact.division"
	" WHERE workspace IS NOT NULL"
	" ORDER BY division";
	uint64		n = exact_sql(sql, 0, NULL);

	for (uint64 i = 0; i < n; i++)
		exact_fence_want(exact_cell_text(i, 1), (int) exact_cell_int8(i, 2, 0));
}

/* Makes the entries in workspace_context; what is under way has copies of its own. */
static void
entries_unit(void *arg)
{
	static const char sql[] =
	"SELECT name, warehouse_id, catalog, schema, client_id, volume, enabled,"
	" (extract(epoch FROM wake_after) * 1000)::bigint, wake_rows, quiet_from IS NOT NULL,"
	" stop_warehouse = 'own'"
	" FROM exact.workspace"
	" ORDER BY name";
	dlist_head *list = arg;
	MemoryContext old;
	uint64		n;

	exact_fence_load();
	want_divisions();
	n = exact_sql(sql, 0, NULL);
	old = MemoryContextSwitchTo(workspace_context);
	dlist_init(list);
	for (uint64 i = 0; i < n; i++)
	{
		ExactWorkspaceEntry *entry = palloc0(sizeof(ExactWorkspaceEntry));

		entry->info.name = exact_cell_text(i, 1);
		entry->info.warehouse = exact_cell_text(i, 2);
		entry->info.catalog = exact_cell_text(i, 3);
		entry->info.schema = exact_cell_text(i, 4);
		entry->info.principal = exact_cell_text(i, 5);
		entry->info.volume = exact_cell_text(i, 6);
		entry->enabled = exact_cell_bool(i, 7, false);
		entry->info.wake_after_ms = exact_cell_int8(i, 8, 0);
		entry->info.wake_rows = (int) exact_cell_int8(i, 9, 0);
		entry->info.quiet_hours = exact_cell_bool(i, 10, false);
		entry->info.stop_own = exact_cell_bool(i, 11, false);
		dlist_push_tail(list, &entry->node);
	}
	MemoryContextSwitchTo(old);
}

static void
address_unit(void *arg)
{
	ExactWorkspaceEntry *entry = arg;
	char	   *id = NULL;
	char	   *origin = exact_workspace_origin(entry->info.name, &id);

	entry->info.origin = MemoryContextStrdup(workspace_context, origin);
	entry->info.workspace_id = id ? MemoryContextStrdup(workspace_context, id) : NULL;
}

/* An address that cannot be used is a fault of its workspace alone. */
static bool
read_entries(void)
{
	dlist_iter	iter;
	MemoryContext old;

	if (workspace_context == NULL)
		workspace_context = AllocSetContextCreate(TopMemoryContext, "exact workspaces",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContextReset(workspace_context);
	dlist_init(&exact_workspaces);
	if (!exact_unit_run("read workspaces", entries_unit, &exact_workspaces, NULL))
	{
		dlist_init(&exact_workspaces);
		return false;
	}
	old = MemoryContextSwitchTo(workspace_context);
	dlist_foreach(iter, &exact_workspaces)
	{
		ExactWorkspaceEntry *entry = dlist_container(ExactWorkspaceEntry, node, iter.cur);

		(void) exact_unit_run("read address", address_unit, entry, &entry->fault);
	}
	MemoryContextSwitchTo(old);
	dlist_foreach(iter, &exact_delta_tables)
		exact_delta_table_reset(dlist_container(ExactDeltaTable, node, iter.cur));
	return true;
}

void
exact_workspace_forget(void)
{
	if (configuration != NULL)
		pfree(configuration);
	configuration = NULL;
}

bool
exact_workspace_look(bool *changed)
{
	Digest		digest = {CurrentMemoryContext, NULL};

	*changed = false;
	if (!exact_unit_run("read configuration", digest_unit, &digest, NULL))
		return false;
	if (configuration != NULL && strcmp(configuration, digest.text) == 0)
		return true;
	if (!read_entries())
		return false;
	exact_volume_retry();
	exact_service_mended(NULL);
	exact_workspace_forget();
	configuration = MemoryContextStrdup(TopMemoryContext, digest.text);
	*changed = true;
	return true;
}
