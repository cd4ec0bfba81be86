/*
 * delta_views.c - the views and keys that exact.create_views() asks for.
 *
 * A request of kind "views" is a list of names and statements (install/56_views.sql). Each name is
 * looked at before it is written: a view or table that does not carry this hub's mark is never
 * replaced. The keys of dimensions (install/56_keys.sql) are declared behind them; Databricks
 * without Unity Catalog has none, so their refusal is told and is no failure. Every step may be
 * repeated, so a request that an earlier process left is simply begun again. Called by loader.c.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/memutils.h"

#include "base/sql.h"
#include "databricks/databricks.h"
#include "databricks/delta_sql.h"
#include "databricks/statement.h"
#include "databricks/statement_log.h"
#include "publish/delta_views.h"
#include "state/request.h"
#include "worker/self.h"
#include "worker/unit.h"

#define ENTITY "views"			/* in the statement log */

/* A statement that declares a key, or prepares for it */
typedef struct Key
{
	char	   *table;
	char	   *block;			/* the key: a refusal ends its statements */
	char	   *parent;			/* the key that must have been declared; NULL: none */
	char	   *text;
} Key;

typedef struct Views
{
	MemoryContext context;
	int64		request;
	ExactWorkspace *info;
	const ExactHub *hub;
	char	   *workspace;		/* name */
	int			n;
	char	  **names;
	char	  **texts;
	int			nkeys;			/* statements that declare keys */
	Key		   *keys;
	int			key;			/* the one that is under way */
	int			declared;		/* keys */
	StringInfoData refused;		/* why the others are not */
	int			at;				/* the view that is under way */
	bool		looking;
	bool		cancelled;
} Views;

static Views *current;			/* one request at a time */
static bool more = true;		/* there may be another */
static bool started;

static void look_at_view(Views *v);

/* ---- the request ---- */

static void
take_unit(void *arg)
{
	static const char *const entity = ENTITY;
	static const char list_sql[] =
	"SELECT v.name, v.text"
	" FROM exact.request r, exact._view_statements(r.workspace, r.args) v"
	" WHERE r.id = $1";
	static const char keys_sql[] =
	"SELECT k.name, k.block, k.parent, k.text"
	" FROM exact.request r, exact._key_statements(r.workspace, r.args) k"
	" WHERE r.id = $1";
	Views	   *v = arg;
	ExactArg	id;
	MemoryContext old;
	ExactRequest request;
	bool		taken;

	if (!started)
		exact_statement_log_close(NULL, &entity, 1);
	v->request = 0;
	old = MemoryContextSwitchTo(v->context);
	taken = exact_request_take_next(EXACT_REQUEST_VIEWS, &request);
	MemoryContextSwitchTo(old);
	if (!taken)
		return;
	v->request = request.id;
	v->workspace = request.workspace;
	v->cancelled = request.cancel_wanted;
	id = exact_arg_int8(v->request);
	v->n = (int) exact_sql(list_sql, 1, &id);
	old = MemoryContextSwitchTo(v->context);
	v->names = palloc(sizeof(char *) * Max(v->n, 1));
	v->texts = palloc(sizeof(char *) * Max(v->n, 1));
	for (int i = 0; i < v->n; i++)
	{
		v->names[i] = exact_cell_text(i, 1);
		v->texts[i] = exact_cell_text(i, 2);
	}
	MemoryContextSwitchTo(old);
	v->nkeys = (int) exact_sql(keys_sql, 1, &id);
	old = MemoryContextSwitchTo(v->context);
	v->keys = palloc(sizeof(Key) * Max(v->nkeys, 1));
	for (int i = 0; i < v->nkeys; i++)
		v->keys[i] = (Key) {
			exact_cell_text(i, 1), exact_cell_text(i, 2), exact_cell_text(i, 3),
			exact_cell_text(i, 4)
		};
	MemoryContextSwitchTo(old);
}

typedef struct Ending
{
	Views	   *views;
	const char *state;
	const char *result;
} Ending;

static void
end_unit(void *arg)
{
	Ending	   *ending = arg;

	exact_request_finish(ending->views->request, ending->state, ending->result, true);
}

/* A request whose end could not be written is begun again in a later turn. */
static void
end_request(Views *v, const char *state, const char *result)
{
	Ending		ending = {v, state, result};

	(void) exact_unit_run("end of a request", end_unit, &ending, NULL);
	exact_log(LOG, "views workspace=%s request=" INT64_FORMAT " made=%d of=%d: %s",
			  v->workspace ? v->workspace : "", v->request, v->at, v->n, state);
	current = NULL;
	more = true;
	if (CurrentMemoryContext == v->context)
		MemoryContextSwitchTo(MemoryContextGetParent(v->context));
	MemoryContextDelete(v->context);
}

static void
end_failed(Views *v, const char *message, const char *hint)
{
	end_request(v, "failed", psprintf("%d of %d views made; %s%s%s", v->at, v->n, message,
									  hint ? ". " : "", hint ? hint : ""));
}

static void
cancel_unit(void *arg)
{
	Views	   *v = arg;

	v->cancelled = exact_request_cancel_wanted(v->request);
}

/* ---- the statements ---- */

static char *
full_name(const Views *v)
{
	return psprintf("%s.%s.%s", v->info->catalog, v->info->schema,
					v->at < v->n ? v->names[v->at] : v->keys[v->key].table);
}

/* SHOW TBLPROPERTIES: key, value */
static bool
is_ours(const Views *v, const ExactStatementResult *result)
{
	bool		view = false;
	bool		installation = false;

	for (int r = 0; r < result->nrows && result->ncolumns >= 2; r++)
	{
		const char *key = result->cells[r * result->ncolumns];
		const char *value = result->cells[r * result->ncolumns + 1];

		if (key == NULL || value == NULL)
			continue;
		view |= strcmp(key, "exact.view") == 0;
		installation |= strcmp(key, "exact.installation") == 0 &&
			strcmp(value, v->hub->installation) == 0;
	}
	return view && installation;
}

static void take_result(const ExactStatementResult *result, void *arg);

static void
send(Views *v, const char *kind, const char *verb, const char *sql)
{
	exact_statement_start(&(ExactStatementRequest) {
		.workspace = v->info,
		.hub = v->hub,
		.entity = ENTITY,
		.table = full_name(v),
		.kind = kind,
		.scope = full_name(v),
		.verb = verb,
		.sql = sql,
		.may_be_absent = v->looking,
		.done = take_result,
		.arg = v
	});
}

/* ---- keys ---- */

static void declare_key(Views *v);

/* Past the statements of this key */
static void
leave_key(Views *v, const char *why)
{
	const char *block = v->keys[v->key].block;

	appendStringInfo(&v->refused, "; no key %s: %s", block, why);
	while (v->key < v->nkeys && strcmp(v->keys[v->key].block, block) == 0)
		v->key++;
}

static void
take_key(const ExactStatementResult *result, void *arg)
{
	Views	   *v = arg;
	MemoryContext old = MemoryContextSwitchTo(v->context);
	bool		last = v->key + 1 == v->nkeys ||
		strcmp(v->keys[v->key].block, v->keys[v->key + 1].block) != 0;

	if (result->verdict != EXACT_VERDICT_SUCCEEDED)
	{
		v->keys[v->key].text = NULL;
		leave_key(v, result->fault->message);
	}
	else
	{
		v->declared += last ? 1 : 0;
		v->key++;
	}
	declare_key(v);
	MemoryContextSwitchTo(old);
}

/* Was this key refused? One of its statements has no text any more. */
static bool
is_refused(const Views *v, const char *block)
{
	for (int i = 0; i < v->key; i++)
		if (strcmp(v->keys[i].block, block) == 0 && v->keys[i].text == NULL)
			return true;
	return false;
}

/* The next statement; a key whose parent was refused is not tried. */
static void
declare_key(Views *v)
{
	while (v->key < v->nkeys && v->keys[v->key].parent != NULL &&
		   is_refused(v, v->keys[v->key].parent))
		leave_key(v, psprintf("%s has none", v->keys[v->key].parent));
	if (v->key < v->nkeys)
		exact_statement_start(&(ExactStatementRequest) {
			.workspace = v->info,
			.hub = v->hub,
			.entity = ENTITY,
			.table = full_name(v),
			.kind = "ddl",
			.scope = full_name(v),
			.verb = "ALTER TABLE for",
			.sql = v->keys[v->key].text,
			.done = take_key,
			.arg = v
		});
	else
		end_request(v, "done", psprintf("%d views made in %s.%s; %d keys declared%s", v->n,
										v->info->catalog, v->info->schema, v->declared,
										v->refused.data));
}

/* ---- views ---- */

static void
make_view(Views *v)
{
	v->looking = false;
	send(v, "view", "CREATE VIEW", v->texts[v->at]);
}

static void
look_at_view(Views *v)
{
	StringInfoData sql;

	if (v->at == v->n && v->nkeys > 0)
	{
		declare_key(v);
		return;
	}
	if (v->at == v->n)
	{
		end_request(v, "done", psprintf("%d views made in %s.%s", v->n, v->info->catalog,
										v->info->schema));
		return;
	}
	if (exact_unit_run("read request", cancel_unit, v, NULL) && v->cancelled)
	{
		end_request(v, "cancelled", psprintf("cancelled after %d of %d views", v->at, v->n));
		return;
	}
	initStringInfo(&sql);
	appendStringInfoString(&sql, "SHOW TBLPROPERTIES ");
	exact_delta_sql_table(&sql, v->info->catalog, v->info->schema, v->names[v->at]);
	v->looking = true;
	send(v, "check", "reading of", sql.data);
}

static void
take_result(const ExactStatementResult *result, void *arg)
{
	Views	   *v = arg;
	bool		good = result->verdict == EXACT_VERDICT_SUCCEEDED;
	MemoryContext old = MemoryContextSwitchTo(v->context);

	if (v->looking && !good && exact_statement_absent(result->sqlstate))
		make_view(v);
	else if (!good)
		end_failed(v, result->fault->message, result->fault->hint);
	else if (v->looking && !is_ours(v, result))
		end_failed(v, psprintf("%s exists and is not a view of this hub, nothing of it was changed",
							   full_name(v)),
				   psprintf("Drop it, or SELECT exact.create_views('%s',"
							" '{\"%s\": \"another_name\"}')",
							v->workspace, v->names[v->at]));
	else if (v->looking)
		make_view(v);
	else
	{
		v->at++;
		look_at_view(v);
	}
	MemoryContextSwitchTo(old);
}

/* ---- the turn ---- */

/* The request lives in a context of its own, which ends with it. */
void
exact_delta_views_turn(ExactWorkspaceOf workspace_of, const ExactHub *hub, bool woken)
{
	MemoryContext context;
	MemoryContext old;
	const ExactWorkspace *workspace;
	const char *why = NULL;
	Views	   *v;

	more |= woken;
	if (current != NULL || !more || hub == NULL)
		return;
	old = MemoryContextSwitchTo(TopMemoryContext);
	context = AllocSetContextCreate(TopMemoryContext, "exact views", ALLOCSET_DEFAULT_SIZES);
	v = MemoryContextAllocZero(context, sizeof(Views));
	v->context = context;
	v->hub = hub;
	MemoryContextSwitchTo(v->context);
	initStringInfo(&v->refused);
	if (!exact_unit_run("take request", take_unit, v, NULL) || v->request == 0)
	{
		more = false;
		MemoryContextSwitchTo(old);
		MemoryContextDelete(v->context);
		return;
	}
	started = true;
	current = v;
	workspace = v->workspace != NULL ? workspace_of(v->workspace, &why) : NULL;
	if (v->cancelled)
		end_request(v, "cancelled", "cancelled before it started");
	else if (workspace == NULL)
		end_failed(v, psprintf("workspace %s %s", v->workspace ? v->workspace : "null",
							   why ? why : "is not there"), NULL);
	else
	{
		v->info = exact_databricks_copy(workspace);
		look_at_view(v);
	}
	MemoryContextSwitchTo(old);
}
