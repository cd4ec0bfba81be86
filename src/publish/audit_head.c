/*
 * audit_head.c - writes the heads of the audit chains down where the owner of this database cannot
 * rewrite them: the Delta table exact_audit, by a MERGE that only inserts, and the server log.
 */
#include "postgres.h"

#include "lib/ilist.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/backoff.h"
#include "base/fault.h"
#include "base/sql.h"
#include "databricks/delta_sql.h"
#include "databricks/statement.h"
#include "databricks/statement_log.h"
#include "delta/create_table.h"
#include "publish/audit_head.h"
#include "state/target_state.h"
#include "worker/self.h"
#include "worker/unit.h"

#define ENTITY "exact_audit"
#define LOOK_MS 60000
#define DAY_MS (24 * 3600 * 1000)
#define RETRY_FIRST_MS 60000
#define RETRY_LAST_MS 3600000

typedef struct Anchor
{
	dlist_node	node;
	char	   *workspace;
	TimestampTz looked_at;
	TimestampTz next_attempt;
	int			attempts;
	bool		due;
	/* of what is under way */
	MemoryContext context;		/* NULL: nothing is */
	ExactWorkspace *info;
	char	   *heads;			/* JSON array: the parameter of the MERGE */
	const ExactStatementResult *result;
} Anchor;

static dlist_head anchors = DLIST_STATIC_INIT(anchors);

static Anchor *
get_anchor(const char *workspace)
{
	dlist_iter	iter;
	Anchor	   *a;

	dlist_foreach(iter, &anchors)
	{
		a = dlist_container(Anchor, node, iter.cur);
		if (strcmp(a->workspace, workspace) == 0)
			return a;
	}
	a = MemoryContextAllocZero(TopMemoryContext, sizeof(Anchor));
	a->workspace = MemoryContextStrdup(TopMemoryContext, workspace);
	dlist_push_tail(&anchors, &a->node);
	return a;
}

/* ---- the server log ---- */

static void
log_unit(void *arg pg_attribute_unused())
{
	static const char sql[] =
	"SELECT 'head', chain, id, encode(hash, 'hex') FROM exact.audit_chain WHERE id > 0"
	" UNION ALL"
	" SELECT 'anchor', chain, id, encode(hash, 'hex') FROM exact.audit_anchor"
	" ORDER BY 2, 3";
	uint64		n = exact_sql(sql, 0, NULL);

	for (uint64 i = 0; i < n; i++)
		exact_log(LOG, "audit %s chain=%s id=" INT64_FORMAT " hash=%s", exact_cell_text(i, 1),
				  exact_cell_text(i, 2), exact_cell_int8(i, 3, 0), exact_cell_text(i, 4));
}

void
exact_audit_head_log(void)
{
	static TimestampTz logged_at = 0;
	TimestampTz now = GetCurrentTimestamp();

	if (logged_at != 0 && logged_at <= now && !TimestampDifferenceExceeds(logged_at, now, DAY_MS))
		return;
	if (exact_unit_run("read audit heads", log_unit, NULL, NULL))
		logged_at = now;
}

/* ---- the Delta table ---- */

/* A day after the last time, at first an hour after the installation was made; where it delivers */
static void
due_unit(void *arg)
{
	static const char sql[] =
	"SELECT coalesce(t.delivered_at + interval '1 day', i.made_at + interval '1 hour')"
	"  NOT BETWEEN clock_timestamp() AND clock_timestamp() + interval '1 day'"
	" FROM (SELECT made_at FROM exact.installation ORDER BY made_at, id LIMIT 1) AS i"
	" LEFT JOIN exact.target_state AS t ON t.workspace = $1 AND t.entity = '" ENTITY "'"
	" WHERE EXISTS (SELECT FROM exact.target_state AS d"
	"  WHERE d.workspace = $1 AND d.delivered_at IS NOT NULL)";
	Anchor	   *a = arg;
	ExactArg	workspace = exact_arg_text(a->workspace);

	a->due = exact_sql(sql, 1, &workspace) == 1 && exact_cell_bool(0, 1, false);
}

bool
exact_audit_head_due(const ExactWorkspace *workspace)
{
	Anchor	   *a = get_anchor(workspace->name);
	TimestampTz now = GetCurrentTimestamp();

	if (a->context != NULL || a->next_attempt > now)
		return false;
	if (!a->due && (a->looked_at > now || TimestampDifferenceExceeds(a->looked_at, now, LOOK_MS)))
	{
		a->looked_at = now;
		(void) exact_unit_run("look for audit heads", due_unit, a, NULL);
	}
	return a->due;
}

static void
heads_unit(void *arg)
{
	static const char sql[] =
	"SELECT jsonb_agg(jsonb_build_object("
	"'chain', h.chain,"
	" 'id', h.id::text,"
	" 'hash', encode(h.hash, 'hex')) ORDER BY h.chain, h.id)::text"
	" FROM (SELECT chain, id, hash FROM exact.audit_chain WHERE id > 0"
	"  UNION ALL"
	/* the event behind which a chain begins */
	"  SELECT chain, id, hash FROM exact.audit_anchor) AS h";
	static const char *const entity = ENTITY;
	Anchor	   *a = arg;
	MemoryContext old;

	exact_statement_log_close(a->workspace, &entity, 1);
	exact_sql(sql, 0, NULL);
	old = MemoryContextSwitchTo(a->context);
	a->heads = exact_cell_text(0, 1);
	MemoryContextSwitchTo(old);
}

static char *
table_name(const Anchor *a)
{
	return psprintf("%s.%s." ENTITY, a->info->catalog, a->info->schema);
}

static void
append_create(StringInfo sql, const Anchor *a)
{
	appendStringInfoString(sql, "CREATE TABLE IF NOT EXISTS ");
	exact_delta_sql_table(sql, a->info->catalog, a->info->schema, ENTITY);
	appendStringInfoString(sql,
						   " (\n  `installation` STRING NOT NULL"
						   " COMMENT 'Installation of exact_databricks'"
						   ",\n  `chain` STRING NOT NULL"
						   " COMMENT 'Chain of its audit log'"
						   ",\n  `id` BIGINT NOT NULL"
						   " COMMENT 'Last event of the chain at that time'"
						   ",\n  `hash` STRING NOT NULL"
						   " COMMENT 'Hash of that event, which proves all before it'"
						   ",\n  `written_at` TIMESTAMP"
						   " COMMENT 'When'"
						   "\n) USING DELTA"
						   "\nCOMMENT 'Heads of the audit chains of the hub, day by day: rows are"
						   " only ever added'"
						   "\nTBLPROPERTIES ('delta.appendOnly' = 'true')");
}

/* What stands there stays as it is, whatever the chain says today. */
static void
append_merge(StringInfo sql, const Anchor *a, const ExactHub *hub)
{
	appendStringInfoString(sql, "MERGE INTO ");
	exact_delta_sql_table(sql, a->info->catalog, a->info->schema, ENTITY);
	appendStringInfoString(sql,
						   " AS t\nUSING (SELECT r.`chain` AS `chain`,"
						   " CAST(r.`id` AS BIGINT) AS `id`, r.`hash` AS `hash`"
						   " FROM (SELECT explode(from_json(:batch,"
						   " 'ARRAY<STRUCT<`chain`: STRING, `id`: STRING, `hash`: STRING>>',"
						   " map('mode', 'FAILFAST'))) AS r)) AS s"
						   "\nON t.`chain` = s.`chain` AND t.`id` = s.`id` AND t.`hash` = s.`hash`"
						   " AND t.`installation` = ");
	exact_delta_sql_literal(sql, hub->installation);
	appendStringInfoString(sql,
						   "\nWHEN NOT MATCHED THEN INSERT"
						   " (`installation`, `chain`, `id`, `hash`, `written_at`)\n  VALUES (");
	exact_delta_sql_literal(sql, hub->installation);
	appendStringInfoString(sql, ", s.`chain`, s.`id`, s.`hash`, current_timestamp())");
}

static void
written_unit(void *arg)
{
	Anchor	   *a = arg;
	ExactTargetNames names = {a->workspace, ENTITY, table_name(a), NULL};
	ExactTargetTrouble trouble = {
		.fault = a->result->fault,
		.sqlstate = *a->result->sqlstate != '\0' ? a->result->sqlstate : NULL,
		.attempts = a->attempts,
		.next_attempt = a->next_attempt
	};

	if (a->attempts == 0)
		exact_target_state_delivered(&names, NULL, GetCurrentTimestamp());
	else
		exact_target_state_paused(&names, &trouble);
}

static void
take_result(const ExactStatementResult *result, void *arg)
{
	Anchor	   *a = arg;
	TimestampTz now = GetCurrentTimestamp();

	a->result = result;
	a->due = false;
	if (result->verdict == EXACT_VERDICT_SUCCEEDED)
	{
		a->attempts = 0;
		exact_log(LOG, "audit heads written workspace=%s", a->workspace);
	}
	else
	{
		int64		ms = exact_backoff_ms(++a->attempts, RETRY_FIRST_MS, RETRY_LAST_MS);

		a->next_attempt = TimestampTzPlusMilliseconds(now, ms);
		exact_log(a->attempts == 1 ? WARNING : LOG,
				  "audit heads are not written workspace=%s next_attempt=%s: %s.%s%s",
				  a->workspace, timestamptz_to_str(a->next_attempt), result->fault->message,
				  result->fault->hint ? " Next step: " : "",
				  result->fault->hint ? result->fault->hint : "");
	}
	(void) exact_unit_run("record audit heads", written_unit, a, NULL);
	MemoryContextDelete(a->context);
	a->context = NULL;
}

void
exact_audit_head_write(const ExactWorkspace *workspace, const ExactHub *hub)
{
	Anchor	   *a = get_anchor(workspace->name);
	ExactStatementRequest request;
	StringInfoData merge;
	StringInfoData create;
	MemoryContext old;

	a->due = false;
	a->context = AllocSetContextCreate(TopMemoryContext, "exact audit heads",
									   ALLOCSET_SMALL_SIZES);
	a->heads = NULL;
	if (!exact_unit_run("read audit heads", heads_unit, a, NULL) || a->heads == NULL)
	{
		MemoryContextDelete(a->context);
		a->context = NULL;
		return;
	}
	old = MemoryContextSwitchTo(a->context);
	a->info = exact_databricks_copy(workspace);
	initStringInfo(&merge);
	initStringInfo(&create);
	append_merge(&merge, a, hub);
	append_create(&create, a);
	request = (ExactStatementRequest) {
		.workspace = a->info,
		.hub = hub,
		.entity = ENTITY,
		.table = table_name(a),
		.kind = "state",
		.verb = "MERGE into",
		.sql = merge.data,
		.parameter = a->heads,
		.done = take_result,
		.arg = a
	};
	MemoryContextSwitchTo(old);
	exact_create_table_if_absent(&request, EXACT_MAKE_SCHEMA_AND_TABLE, create.data, NULL);
}
