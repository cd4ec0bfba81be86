/*
 * fence.c - the claim of this hub on its divisions, in the Delta table exact_hub of each workspace.
 *
 * Read the table (make it if it is absent); write the epoch where it is lower, and this process's
 * claim where one of this database stands; read again; wait until no statement of another process
 * or copy is queued or running. A row of a higher epoch, or of the same one with a claim that this
 * database did not make, is another copy at work: that is recorded in exact.installation_binding,
 * and no worker of this database does anything more until exact.adopt() or exact.fence(). Called by
 * queue.c and loader.c.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "lib/ilist.h"
#include "nodes/pg_list.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/backoff.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/errors.h"
#include "base/fault.h"
#include "base/sql.h"
#include "databricks/databricks.h"
#include "databricks/delta_sql.h"
#include "databricks/statement.h"
#include "databricks/statement_error.h"
#include "databricks/statement_log.h"
#include "deliver/fence.h"
#include "delta/create_table.h"
#include "state/audit.h"
#include "state/installation.h"
#include "worker/self.h"
#include "worker/unit.h"
#include "worker/wake.h"

#define ENTITY "exact_hub"		/* in the statement log */
#define MAX_ROUNDS 5
#define SEARCH_FIRST_MS 1000	/* the query history lists a statement a moment after it was sent */
#define SEARCH_AGAIN_MS 2000
#define VOICE_MS 60000			/* a wait that is longer has an alarm */
#define CLAIM_BYTES 16
/* a statement of a warehouse ends within two days */
#define SEARCH_BACK_MS (48 * 3600 * INT64CONST(1000))
#define RETRY_FIRST_MS 5000
#define RETRY_MAX_MS 300000

typedef enum Step
{
	STEP_READ,
	STEP_CLAIM
} Step;

typedef struct Fence
{
	dlist_node	node;
	char	   *workspace;		/* name */
	char	   *place;			/* where its exact_hub is */
	List	   *divisions;		/* wanted; integers */
	int			held;			/* so many of the first ones are claimed, -1: it was not looked */
	bool		stale;			/* what is under way is of another place, or in doubt */
	bool		overtaken;
	/* of what is under way */
	bool		busy;
	MemoryContext context;		/* NULL: nothing is */
	ExactWorkspace *info;
	int			claiming;		/* divisions */
	char	   *batch;			/* parameter of the MERGE */
	Step		step;
	int			rounds;
	List	   *replaced;		/* claims of earlier processes of this database that stand there */
	bool		others;			/* another process or copy was there before */
	bool		searching;		/* claimed; statements of others may still run */
	int			looks;			/* in a row that showed none */
	bool		told;
	TimestampTz voiced_at;		/* the alarm; 0: none */
	TimestampTz search_at;
	TimestampTz search_since;
	/* after a failure */
	ExactFault *fault;			/* in fault_context */
	MemoryContext fault_context;
	int			attempts;
	TimestampTz next_attempt;
} Fence;

static dlist_head fences = DLIST_STATIC_INIT(fences);
static ExactHub *hub;
static ExactStatementTrouble on_trouble;

static void take_step(Fence *f, Step step);

/* ---- this hub ---- */

void
exact_fence_load(void)
{
	static const char hub_sql[] =
	"SELECT b.installation, b.epoch"
	" FROM exact.installation_binding b"
	" JOIN exact.epoch e ON e.epoch = b.epoch";
	static const char *const entity = ENTITY;
	MemoryContext old;

	if (hub == NULL)
	{
		exact_statement_log_close(NULL, &entity, 1);
		if (exact_sql(hub_sql, 0, NULL) != 1)
			ereport(ERROR,
					(errcode(ERRCODE_EXACT_INSTALLATION),
					 errmsg("this database has no installation yet, or its epoch is not in"
							" exact.epoch"),
					 errhint("SELECT * FROM exact.check().")));
		old = MemoryContextSwitchTo(TopMemoryContext);
		hub = palloc(sizeof(ExactHub));
		hub->installation = exact_cell_text(0, 1);
		hub->epoch = (int) exact_cell_int8(0, 2, 1);
		hub->claim = exact_random_hex(CLAIM_BYTES);
		MemoryContextSwitchTo(old);
	}
	/* each time: the unit of the first one may have failed */
	exact_installation_claim(hub->claim, hub->epoch);
}

const ExactHub *
exact_fence_hub(void)
{
	return hub;
}

void
exact_fence_tell(ExactStatementTrouble trouble)
{
	on_trouble = trouble;
}

/* ---- what is wanted ---- */

static Fence *
get_fence(const char *workspace)
{
	dlist_iter	iter;
	Fence	   *f;

	dlist_foreach(iter, &fences)
	{
		f = dlist_container(Fence, node, iter.cur);
		if (strcmp(f->workspace, workspace) == 0)
			return f;
	}
	f = MemoryContextAllocZero(TopMemoryContext, sizeof(Fence));
	f->workspace = MemoryContextStrdup(TopMemoryContext, workspace);
	f->held = -1;
	dlist_push_tail(&fences, &f->node);
	return f;
}

void
exact_fence_want(const char *workspace, int division)
{
	Fence	   *f = get_fence(workspace);
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	f->divisions = list_append_unique_int(f->divisions, division);
	MemoryContextSwitchTo(old);
}

void
exact_fence_doubt(const char *workspace)
{
	Fence	   *f = get_fence(workspace);

	f->stale = f->context != NULL;
	f->held = -1;
}

void
exact_fence_hurry(void)
{
	dlist_iter	iter;

	dlist_foreach(iter, &fences)
		dlist_container(Fence, node, iter.cur)->next_attempt = 0;
}

void
exact_fence_retry(const char *workspace)
{
	get_fence(workspace)->next_attempt = 0;
}

bool
exact_fence_searches(const char *workspace)
{
	return get_fence(workspace)->searching;
}

/* ---- ends ---- */

static void
forget_fault(Fence *f)
{
	if (f->fault_context != NULL)
		MemoryContextDelete(f->fault_context);
	f->fault_context = NULL;
	f->fault = NULL;
}

static void
end_claim(Fence *f, int held)
{
	f->held = f->stale ? -1 : held;
	f->stale = f->busy = f->searching = false;
	MemoryContextDelete(f->context);
	f->context = NULL;
}

static void
end_failed(Fence *f, const ExactFault *fault)
{
	int64		ms = exact_backoff_ms(++f->attempts, RETRY_FIRST_MS, RETRY_MAX_MS);
	MemoryContext old;

	forget_fault(f);
	f->fault_context = AllocSetContextCreate(TopMemoryContext, "exact fence fault",
											 ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(f->fault_context);
	f->fault = exact_fault_copy(fault);
	MemoryContextSwitchTo(old);
	f->next_attempt = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);
	end_claim(f, -1);
}

static void
end_held(Fence *f)
{
	forget_fault(f);
	f->attempts = 0;
	exact_log(LOG, "claimed workspace=%s epoch=%d divisions=%d", f->workspace, hub->epoch,
			  f->claiming);
	end_claim(f, f->claiming);
}

/* ---- another copy of this hub works ---- */

typedef struct Overtaking
{
	Fence	   *fence;
	int			epoch;
} Overtaking;

/* From here on every worker of this database waits. */
static void
overtaken_unit(void *arg)
{
	Overtaking *overtaking = arg;

	if (!exact_installation_overtaken(hub->epoch, overtaking->epoch))
		return;					/* raised meanwhile: this process ends anyway */
	exact_audit_overtaken(overtaking->epoch, hub->epoch, overtaking->fence->workspace);
	exact_wake_check_at_commit();
}

static void
end_overtaken(Fence *f, int epoch)
{
	Overtaking	overtaking = {f, epoch};

	exact_log(WARNING,
			  "alarm: another copy of installation %s works in workspace %s, its epoch is %d,"
			  " this one's %d: nothing more is delivered from here",
			  hub->installation, f->workspace, epoch, hub->epoch);
	f->overtaken = exact_unit_run("record the other copy", overtaken_unit, &overtaking, NULL);
	end_claim(f, -1);
	f->next_attempt = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RETRY_FIRST_MS);
}

/* ---- the search for statements of other processes and copies ---- */

typedef struct Voice
{
	Fence	   *fence;
	const ExactFault *fault;
} Voice;

static void
voice_unit(void *arg)
{
	Voice	   *voice = arg;
	Fence	   *f = voice->fence;

	on_trouble(voice->fault, f->attempts + 1, f->search_at, f->workspace);
}

/* Nothing is delivered meanwhile: after a minute, and once a minute, those that wait say so. */
static void
give_voice(Fence *f, const ExactCallAnswer *answer)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz since = f->voiced_at != 0 ? f->voiced_at : f->search_since;
	Voice		voice = {f, answer->fault};

	if (on_trouble == NULL || !TimestampDifferenceExceeds(since, now, VOICE_MS))
		return;
	if (answer->outcome == EXACT_CALL_OK)
		voice.fault = exact_statement_waits(answer->running_id,
											"a statement of an earlier process or of another copy"
											" of this hub");
	f->voiced_at = now;
	exact_log(WARNING, "alarm: workspace=%s epoch=%d: %s", f->workspace, hub->epoch,
			  voice.fault->message);
	(void) exact_unit_run("tell what is waited for", voice_unit, &voice, NULL);
}

/* One look may come before the history lists a statement: where there was another, two agree. */
static void
take_none(Fence *f)
{
	if (f->others && ++f->looks < 2)
		f->search_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
												   EXACT_STATEMENT_LOOKS_APART_MS);
	else
		end_held(f);
}

/* Nothing of others runs any more, or that cannot be known: held. Else it is asked again. */
static void
take_found(const ExactCallAnswer *answer, void *arg)
{
	Fence	   *f = arg;
	TimestampTz now = GetCurrentTimestamp();

	f->busy = false;
	if (answer->outcome == EXACT_CALL_OK && answer->running_id == NULL)
		take_none(f);
	else if (answer->outcome == EXACT_CALL_REFUSED &&
			 TimestampDifferenceExceeds(f->search_since, now, exact_statement_blind_ms(answer)))
	{
		exact_log(WARNING,
				  "the query history of workspace %s cannot be read, statements of another copy of"
				  " this hub are not waited for: %s", f->workspace, answer->fault->message);
		end_held(f);
	}
	else
	{
		const char *why = answer->outcome == EXACT_CALL_OK ?
			psprintf("statement %s of an earlier process or another copy runs",
					 answer->running_id) :
			answer->fault->message;

		if (!f->told)
			exact_log(LOG, "waits workspace=%s epoch=%d: %s", f->workspace, hub->epoch, why);
		f->told = true;
		f->looks = 0;
		f->search_at = Max(answer->retry_at, TimestampTzPlusMilliseconds(now, SEARCH_AGAIN_MS));
		give_voice(f, answer);
	}
}

static void
search(Fence *f)
{
	StringInfoData all;
	StringInfoData own;

	initStringInfo(&all);
	initStringInfo(&own);
	exact_delta_sql_all_marks(&all, hub);
	exact_delta_sql_own_marks(&own, hub);
	f->busy = true;
	exact_databricks_find(f->info, all.data, own.data,
						  TimestampTzPlusMilliseconds(GetCurrentTimestamp(), -SEARCH_BACK_MS),
						  take_found, f);
}

static void
start_search(Fence *f, long after_ms)
{
	f->busy = f->told = false;
	f->searching = true;
	f->looks = 0;
	f->voiced_at = 0;
	f->search_since = GetCurrentTimestamp();
	f->search_at = TimestampTzPlusMilliseconds(f->search_since, after_ms);
}

/* ---- the table ---- */

static void
append_table(StringInfo sql, const Fence *f)
{
	exact_delta_sql_table(sql, f->info->catalog, f->info->schema, "exact_hub");
}

static void
append_read(StringInfo sql, const Fence *f)
{
	appendStringInfoString(sql, "SELECT `division`, `epoch`, `claim` FROM ");
	append_table(sql, f);
	appendStringInfoString(sql, " WHERE `installation` = ");
	exact_delta_sql_literal(sql, hub->installation);
}

static void
append_create(StringInfo sql, const Fence *f)
{
	appendStringInfoString(sql, "CREATE TABLE IF NOT EXISTS ");
	append_table(sql, f);
	appendStringInfoString(sql,
						   " (\n  `installation` STRING NOT NULL"
						   " COMMENT 'Installation of exact_databricks'"
						   ",\n  `division` INT NOT NULL"
						   " COMMENT 'Division in Exact Online'"
						   ",\n  `epoch` BIGINT NOT NULL"
						   " COMMENT 'Epoch of the copy of that installation whose deliveries are"
						   " taken; the high part of _seq'"
						   ",\n  `claim` STRING NOT NULL"
						   " COMMENT 'Tells two copies of the same epoch apart'"
						   ",\n  `claimed_at` TIMESTAMP"
						   " COMMENT 'Since when'"
						   "\n) USING DELTA"
						   "\nCOMMENT 'Which hub delivers each division: a statement of any other"
						   " is refused'"
						   "\nTBLPROPERTIES ('delta.enableDeletionVectors' = 'false',"
						   " 'delta.isolationLevel' = 'Serializable')");
}

/*
 * Writes this process's claim where there is none, one of a lower epoch or of an earlier process of
 * this database; :batch are the divisions.
 */
static void
append_claim(StringInfo sql, const Fence *f)
{
	ListCell   *cell;

	appendStringInfoString(sql, "MERGE INTO ");
	append_table(sql, f);
	appendStringInfoString(sql,
						   " AS t\nUSING (SELECT CAST(r.`division` AS INT) AS `division`"
						   " FROM (SELECT explode(from_json(:batch,"
						   " 'ARRAY<STRUCT<`division`: STRING>>',"
						   " map('mode', 'FAILFAST'))) AS r)) AS s"
						   "\nON t.`division` = s.`division` AND t.`installation` = ");
	exact_delta_sql_literal(sql, hub->installation);
	appendStringInfo(sql, "\nWHEN MATCHED AND (t.`epoch` < %d", hub->epoch);
	foreach(cell, f->replaced)
	{
		appendStringInfo(sql, " OR (t.`epoch` = %d AND t.`claim` = ", hub->epoch);
		exact_delta_sql_literal(sql, lfirst(cell));
		appendStringInfoChar(sql, ')');
	}
	appendStringInfo(sql, ") THEN UPDATE SET `epoch` = %d, `claim` = ", hub->epoch);
	exact_delta_sql_literal(sql, hub->claim);
	appendStringInfoString(sql,
						   ", `claimed_at` = current_timestamp()"
						   "\nWHEN NOT MATCHED THEN INSERT"
						   " (`installation`, `division`, `epoch`, `claim`, `claimed_at`)"
						   "\n  VALUES (");
	exact_delta_sql_literal(sql, hub->installation);
	appendStringInfo(sql, ", s.`division`, %d, ", hub->epoch);
	exact_delta_sql_literal(sql, hub->claim);
	appendStringInfoString(sql, ", current_timestamp())");
}

static ExactFault *
make_mismatch(const Fence *f, int missing)
{
	char	   *message = psprintf("table %s.%s.exact_hub does not keep the claim of this hub on"
								   " %d divisions", f->info->catalog, f->info->schema, missing);
	char	   *hint = pstrdup("Look who else writes it: DESCRIBE HISTORY; the hub tries again by"
							   " itself.");

	return exact_fault_make(ERRCODE_EXACT_TABLE_MISMATCH, message, NULL, hint);
}

/* ---- the rows of this installation: division, epoch, claim ---- */

typedef struct Standing
{
	Fence	   *fence;
	char	  **claims;			/* of this epoch that are not this process's */
	int			n;
	int			unknown;		/* of them that this database did not make */
} Standing;

static void
standing_unit(void *arg)
{
	Standing   *standing = arg;
	Fence	   *f = standing->fence;
	int			nours;
	char	  **ours = exact_installation_claims(hub->epoch, standing->claims, standing->n, &nours);
	MemoryContext old = MemoryContextSwitchTo(f->context);

	f->replaced = NIL;
	for (int i = 0; i < nours; i++)
		f->replaced = lappend(f->replaced, pstrdup(ours[i]));
	standing->unknown = standing->n - nours;
	MemoryContextSwitchTo(old);
}

static void
add_standing(Standing *standing, char *claim)
{
	for (int i = 0; i < standing->n; i++)
		if (strcmp(standing->claims[i], claim) == 0)
			return;
	standing->claims[standing->n++] = claim;
}

static void
take_rows(Fence *f, const ExactStatementResult *result)
{
	Standing	standing = {f, palloc(sizeof(char *) * (result->nrows + 1)), 0, 0};
	ExactFault *fault = NULL;
	int			missing = f->claiming;
	int			highest = 0;

	for (int r = 0; r < result->nrows && result->ncolumns == 3; r++)
	{
		char	  **row = &result->cells[r * 3];
		int			division = row[0] ? atoi(row[0]) : 0;
		int			epoch = row[1] ? atoi(row[1]) : 0;
		char	   *claim = row[2] ? row[2] : pstrdup("");
		bool		ours = epoch == hub->epoch && strcmp(claim, hub->claim) == 0;

		highest = Max(highest, epoch);
		if (epoch == hub->epoch && !ours)
			add_standing(&standing, claim);
		f->others |= !ours;
		for (int i = 0; ours && i < f->claiming; i++)
			if (list_nth_int(f->divisions, i) == division)
				missing--;
	}
	if (standing.n > 0 && !exact_unit_run("read claims", standing_unit, &standing, &fault))
		end_failed(f, fault);
	else if (highest > hub->epoch || standing.unknown > 0)
		end_overtaken(f, highest);
	else if (missing > 0 && f->rounds++ < MAX_ROUNDS)
		take_step(f, STEP_CLAIM);
	else if (missing > 0)
		end_failed(f, make_mismatch(f, missing));
	else
		start_search(f, f->rounds > 0 ? SEARCH_FIRST_MS : 0);
}

static void
take_result(const ExactStatementResult *result, void *arg)
{
	Fence	   *f = arg;

	if (result->verdict != EXACT_VERDICT_SUCCEEDED)
		end_failed(f, result->fault);
	else if (f->step == STEP_READ)
		take_rows(f, result);
	else
		take_step(f, STEP_READ);
}

/*
 * Sends a statement of the claim. Without a token the answer comes before this returns, and the
 * claim has ended: whoever calls it must not have f->context as the current one.
 */
static void
take_step(Fence *f, Step step)
{
	StringInfoData sql;
	StringInfoData create;
	ExactStatementRequest request = {
		.workspace = f->info,
		.hub = hub,
		.entity = ENTITY,
		.table = psprintf("%s.%s.exact_hub", f->info->catalog, f->info->schema),
		.kind = step == STEP_READ ? "check" : "fence",
		.verb = step == STEP_READ ? "reading of" : "MERGE into",
		.parameter = step == STEP_CLAIM ? f->batch : NULL,
		.trouble = on_trouble,
		.trouble_arg = f->workspace,
		.done = take_result,
		.arg = f
	};

	initStringInfo(&sql);
	initStringInfo(&create);
	f->step = step;
	f->busy = true;
	if (step == STEP_CLAIM)
	{
		append_claim(&sql, f);
		request.sql = sql.data;
		exact_statement_start(&request);
		return;
	}
	append_read(&sql, f);
	append_create(&create, f);
	request.sql = sql.data;
	exact_create_table_if_absent(&request, EXACT_MAKE_SCHEMA_AND_TABLE, create.data, NULL);
}

static void
start_claim(Fence *f, const ExactWorkspace *workspace)
{
	MemoryContext old;
	StringInfoData batch;

	f->context = AllocSetContextCreate(TopMemoryContext, "exact fence", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(f->context);
	f->info = exact_databricks_copy(workspace);
	f->claiming = list_length(f->divisions);
	f->rounds = 0;
	f->replaced = NIL;
	f->others = false;
	initStringInfo(&batch);
	for (int i = 0; i < f->claiming; i++)
		appendStringInfo(&batch, "%s{\"division\":\"%d\"}", i == 0 ? "[" : ",",
						 list_nth_int(f->divisions, i));
	appendStringInfoChar(&batch, ']');
	f->batch = batch.data;
	MemoryContextSwitchTo(old);
	take_step(f, STEP_READ);
}

/* The claim is one on a table; another table needs another. */
static void
see_place(Fence *f, const ExactWorkspace *workspace)
{
	char	   *place = psprintf("%s %s %s", workspace->origin, workspace->catalog,
								 workspace->schema);

	if (f->place != NULL && strcmp(f->place, place) == 0)
		return;
	if (f->place != NULL)
		pfree(f->place);
	f->place = MemoryContextStrdup(TopMemoryContext, place);
	exact_fence_doubt(f->workspace);
	f->next_attempt = 0;
}

/* What is under way goes on by itself; what waits for a time, or is wanted anew, is done here. */
ExactFenceState
exact_fence_advance(const ExactWorkspace *workspace, const ExactFault **fault, long *wait)
{
	Fence	   *f = get_fence(workspace->name);
	TimestampTz now = GetCurrentTimestamp();

	*fault = NULL;
	*wait = -1;
	see_place(f, workspace);
	if (f->overtaken || f->busy)
		return EXACT_FENCE_WAIT;
	if (f->searching)
	{
		*wait = exact_clock_wait_ms(f->search_at);
		if (*wait > 0)
			return EXACT_FENCE_WAIT;
		search(f);
	}
	else if (f->held == list_length(f->divisions))
		return EXACT_FENCE_HELD;
	else if (f->next_attempt > now)
	{
		*wait = exact_clock_wait_ms(f->next_attempt);
		*fault = f->fault;
		return f->fault != NULL ? EXACT_FENCE_FAULT : EXACT_FENCE_WAIT;
	}
	else
		start_claim(f, workspace);
	*wait = 0;
	return EXACT_FENCE_WAIT;
}
