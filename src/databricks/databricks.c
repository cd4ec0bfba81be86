/*
 * databricks.c - the calls of Databricks' REST API that the hub makes: statements, the query
 * history, the warehouse, files. What becomes of one is databricks_call.c's.
 *
 * Called by statement.c, warehouse.c, fence.c, volume.c and ping_databricks.c.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/json.h"
#include "databricks/databricks.h"
#include "databricks/databricks_call.h"
#include "http/url.h"

#define WAIT_TIMEOUT "30s"		/* below the idle limits of proxies; 0s or 5s to 50s are valid */
#define HISTORY_MARGIN_MS 600000	/* our clock against the service's */

static const char *
copy_text(const char *value)
{
	return value != NULL ? pstrdup(value) : NULL;
}

/* The parameter may be a megabyte: the body is made in one piece of memory. */
void
exact_databricks_execute(const ExactWorkspace *workspace, const char *statement,
						 const char *parameter, bool quoted, ExactCallDone done, void *arg)
{
	ExactCall  *call = exact_databricks_call_make(workspace, EXACT_KIND_EXECUTE, done, arg);
	MemoryContext old = MemoryContextSwitchTo(call->context);
	StringInfoData body;
	size_t		escaped = parameter ? strlen(parameter) * 5 / 4 : 0;

	initStringInfo(&body);
	enlargeStringInfo(&body, (int) (strlen(statement) + escaped + 512));
	appendStringInfoString(&body, "{\"warehouse_id\":");
	exact_json_quote(&body, workspace->warehouse, strlen(workspace->warehouse));
	appendStringInfoString(&body, ",\"statement\":");
	exact_json_quote(&body, statement, strlen(statement));
	appendStringInfoString(&body, ",\"wait_timeout\":\"" WAIT_TIMEOUT "\""
						   ",\"on_wait_timeout\":\"CONTINUE\""
						   ",\"disposition\":\"INLINE\",\"format\":\"JSON_ARRAY\"");
	if (parameter != NULL)
	{
		appendStringInfoString(&body, ",\"parameters\":[{\"name\":\"batch\",\"type\":\"STRING\""
							   ",\"value\":");
		if (quoted)
			appendStringInfoString(&body, parameter);
		else
			exact_json_quote(&body, parameter, strlen(parameter));
		appendStringInfoString(&body, "}]");
	}
	appendStringInfoChar(&body, '}');
	call->method = "POST";
	call->url = psprintf("%s/api/2.0/sql/statements", workspace->origin);
	call->body = body.data;
	call->body_len = body.len;
	MemoryContextSwitchTo(old);
	exact_databricks_call_start(call);
}

void
exact_databricks_poll(const ExactWorkspace *workspace, const char *statement_id, ExactCallDone done,
					  void *arg)
{
	ExactCall  *call = exact_databricks_call_make(workspace, EXACT_KIND_POLL, done, arg);
	MemoryContext old = MemoryContextSwitchTo(call->context);

	call->url = psprintf("%s/api/2.0/sql/statements/%s", workspace->origin,
						 exact_url_escape(statement_id));
	MemoryContextSwitchTo(old);
	exact_databricks_call_start(call);
}

/* A reading of the query history; more: parameters that choose what is shown */
static void
call_history(const ExactWorkspace *workspace, ExactCallKind kind, const char *mark,
			 const char *other, int64 since_ms, const char *more, ExactCallDone done, void *arg)
{
	ExactCall  *call = exact_databricks_call_make(workspace, kind, done, arg);
	MemoryContext old = MemoryContextSwitchTo(call->context);

	call->history.others = kind == EXACT_KIND_OTHERS;
	call->history.mark = pstrdup(mark);
	call->history.principal = copy_text(workspace->principal);
	call->history.not_mark = copy_text(other);
	call->first_url = psprintf("%s/api/2.0/sql/history/queries"
							   "?filter_by.query_start_time_range.start_time_ms=" INT64_FORMAT
							   "%s&max_results=100", workspace->origin, since_ms, more);
	call->url = call->first_url;
	MemoryContextSwitchTo(old);
	exact_databricks_call_start(call);
}

void
exact_databricks_find(const ExactWorkspace *workspace, const char *mark, const char *other,
					  TimestampTz since, ExactCallDone done, void *arg)
{
	call_history(workspace, EXACT_KIND_FIND, mark, other,
				 exact_clock_unix_ms(since) - HISTORY_MARGIN_MS,
				 "&filter_by.statuses=QUEUED&filter_by.statuses=STARTED"
				 "&filter_by.statuses=COMPILING&filter_by.statuses=COMPILED"
				 "&filter_by.statuses=RUNNING", done, arg);
}

/* By the service's clock, which may be a little behind ours */
void
exact_databricks_others(const ExactWorkspace *workspace, const char *mark, TimestampTz since,
						ExactCallDone done, void *arg)
{
	char	   *more = psprintf("&filter_by.warehouse_ids=%s",
								exact_url_escape(workspace->warehouse));

	call_history(workspace, EXACT_KIND_OTHERS, mark, NULL, exact_clock_unix_ms(since), more, done,
				 arg);
	pfree(more);
}

/* A call about the warehouse; what: the end of its path */
static void
call_warehouse(const ExactWorkspace *workspace, ExactCallKind kind, const char *what,
			   ExactCallDone done, void *arg)
{
	ExactCall  *call = exact_databricks_call_make(workspace, kind, done, arg);
	MemoryContext old = MemoryContextSwitchTo(call->context);

	call->url = psprintf("%s/api/2.0/sql/warehouses/%s%s", workspace->origin,
						 exact_url_escape(workspace->warehouse), what);
	if (kind == EXACT_KIND_STOP)
	{
		call->method = "POST";
		call->body = "{}";
		call->body_len = 2;
	}
	MemoryContextSwitchTo(old);
	exact_databricks_call_start(call);
}

void
exact_databricks_warehouse(const ExactWorkspace *workspace, ExactCallDone done, void *arg)
{
	call_warehouse(workspace, EXACT_KIND_WAREHOUSE, "", done, arg);
}

void
exact_databricks_stop(const ExactWorkspace *workspace, ExactCallDone done, void *arg)
{
	call_warehouse(workspace, EXACT_KIND_STOP, "/stop", done, arg);
}

/* A call of the Files API: of a file or a directory at a path */
static ExactCall *
make_file_call(const ExactWorkspace *workspace, ExactCallKind kind, const char *method,
			   const char *path, ExactCallDone done, void *arg)
{
	ExactCall  *call = exact_databricks_call_make(workspace, kind, done, arg);
	MemoryContext old = MemoryContextSwitchTo(call->context);
	StringInfoData url;

	initStringInfo(&url);
	appendStringInfo(&url, "%s/api/2.0/fs/%s", workspace->origin,
					 kind == EXACT_KIND_LIST ? "directories" : "files");
	while (*path == '/')
	{
		size_t		len = strcspn(++path, "/");

		appendStringInfo(&url, "/%s", exact_url_escape(pnstrdup(path, len)));
		path += len;
	}
	call->method = method;
	call->url = call->first_url = url.data;
	MemoryContextSwitchTo(old);
	return call;
}

void
exact_databricks_put(const ExactWorkspace *workspace, const char *path, const char *data,
					 size_t len, ExactCallDone done, void *arg)
{
	ExactCall  *call = make_file_call(workspace, EXACT_KIND_PUT, "PUT", path, done, arg);
	MemoryContext old = MemoryContextSwitchTo(call->context);

	call->url = psprintf("%s?overwrite=true", call->url);
	call->body = data;
	call->body_len = len;
	MemoryContextSwitchTo(old);
	exact_databricks_call_start(call);
}

void
exact_databricks_delete(const ExactWorkspace *workspace, const char *path, ExactCallDone done,
						void *arg)
{
	exact_databricks_call_start(make_file_call(workspace, EXACT_KIND_DELETE, "DELETE", path, done,
											   arg));
}

void
exact_databricks_list(const ExactWorkspace *workspace, const char *path, ExactCallDone done,
					  void *arg)
{
	exact_databricks_call_start(make_file_call(workspace, EXACT_KIND_LIST, "GET", path, done, arg));
}

ExactWorkspace *
exact_databricks_copy(const ExactWorkspace *workspace)
{
	ExactWorkspace *copy = palloc(sizeof(ExactWorkspace));

	*copy = *workspace;
	copy->name = copy_text(workspace->name);
	copy->origin = copy_text(workspace->origin);
	copy->workspace_id = copy_text(workspace->workspace_id);
	copy->warehouse = copy_text(workspace->warehouse);
	copy->catalog = copy_text(workspace->catalog);
	copy->schema = copy_text(workspace->schema);
	copy->volume = copy_text(workspace->volume);
	copy->principal = copy_text(workspace->principal);
	return copy;
}
