/*
 * loader.c - the loader of a database: staged batches into Delta tables.
 *
 * Its turn looks for new batches, replays, changed configuration and resumed tables, has records
 * erased (erasure/), lets each table go on (deliver/queue.c), has dimensions read that users edit
 * there (dimension/), tells readers in Databricks what is open, makes the views that were asked
 * for, and lets the statements under way take their next step (databricks/statement.c). Idle, it
 * looks once a minute.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "auth/databricks_token.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/fault.h"
#include "databricks/statement.h"
#include "databricks/warehouse.h"
#include "deliver/casts.h"
#include "deliver/delta_table.h"
#include "deliver/fence.h"
#include "deliver/queue.h"
#include "deliver/replay.h"
#include "deliver/volume.h"
#include "deliver/workspace.h"
#include "dimension/read_back.h"
#include "dimension/read_request.h"
#include "erasure/erasure.h"
#include "inquiry/month.h"
#include "inquiry/ping_databricks.h"
#include "publish/audit_head.h"
#include "publish/delta_views.h"
#include "publish/maintenance.h"
#include "publish/open_state.h"
#include "state/audit.h"
#include "worker/ask.h"
#include "worker/role.h"
#include "worker/service.h"
#include "worker/unit.h"
#include "worker/worker.h"

#define LOOK_AGAIN_MS 1000		/* after a look that failed */

pg_noreturn PGDLLEXPORT void exact_loader_main(Datum main_arg);

static bool look_due;

/* What readers in Databricks are told beside the tables; once this hub may write there. */
static long
tell_open_state(void)
{
	long		wait = -1;
	dlist_iter	iter;

	dlist_foreach(iter, &exact_workspaces)
	{
		ExactWorkspaceEntry *entry = dlist_container(ExactWorkspaceEntry, node, iter.cur);
		const ExactFault *fault;
		long		ms = -1;

		if (!entry->enabled || entry->fault != NULL ||
			!exact_warehouse_runs(&entry->info) ||
			!exact_open_state_look(&entry->info, exact_fence_hub()))
			continue;
		if (exact_fence_advance(&entry->info, &fault, &ms) == EXACT_FENCE_HELD)
			exact_open_state_tell(&entry->info);
		wait = exact_clock_sooner(wait, ms);
	}
	return wait;
}

/* What wakes no warehouse: begun in each workspace where it is due and this hub may write. */
static long
begin_where_due(bool (*due) (const ExactWorkspace *workspace),
				void (*begin) (const ExactWorkspace *workspace, const ExactHub *hub))
{
	long		wait = -1;
	dlist_iter	iter;

	dlist_foreach(iter, &exact_workspaces)
	{
		ExactWorkspaceEntry *entry = dlist_container(ExactWorkspaceEntry, node, iter.cur);
		const ExactFault *fault;
		long		ms = -1;

		if (!entry->enabled || entry->fault != NULL || !exact_warehouse_runs(&entry->info) ||
			!due(&entry->info))
			continue;
		if (exact_fence_advance(&entry->info, &fault, &ms) == EXACT_FENCE_HELD)
			begin(&entry->info, exact_fence_hub());
		wait = exact_clock_sooner(wait, ms);
	}
	return wait;
}

/* Stops warehouses that are not needed any more. */
static long
tend_warehouses(void)
{
	long		wait = -1;
	dlist_iter	iter;

	dlist_foreach(iter, &exact_workspaces)
	{
		ExactWorkspaceEntry *entry = dlist_container(ExactWorkspaceEntry, node, iter.cur);

		if (!entry->enabled || entry->fault != NULL)
			continue;
		if (exact_warehouse_last_call(&entry->info))
		{
			exact_open_state_look_again(entry->info.name);
			wait = 0;
		}
		if (!exact_fence_searches(entry->info.name))
			wait = exact_clock_sooner(wait, exact_warehouse_turn(&entry->info,
																 exact_fence_hub()));
	}
	return wait;
}

static long
turn(void)
{
	long		wait = EXACT_QUEUE_LOOK_MS;
	bool		looked;

	look_due |= exact_worker_woken() || exact_queue_due();
	looked = look_due;
	wait = exact_clock_sooner(wait, exact_replay_turn(looked));
	look_due |= exact_queue_due();
	if (look_due)
		look_due = !exact_queue_look();
	if (look_due)
		wait = exact_clock_sooner(wait, LOOK_AGAIN_MS);
	wait = exact_clock_sooner(wait, exact_service_turn());
	wait = exact_clock_sooner(wait, exact_read_back_turn());
	wait = exact_clock_sooner(wait, exact_read_request_turn(looked));
	wait = exact_clock_sooner(wait, exact_erasure_turn(looked));
	wait = exact_clock_sooner(wait, exact_queue_advance());
	wait = exact_clock_sooner(wait, tell_open_state());
	exact_audit_head_log();
	wait = exact_clock_sooner(wait, begin_where_due(exact_audit_head_due, exact_audit_head_write));
	wait = exact_clock_sooner(wait, begin_where_due(exact_maintenance_due,
													exact_maintenance_begin));
	exact_delta_views_turn(exact_workspace_usable, exact_fence_hub(), looked);
	wait = exact_clock_sooner(wait, exact_volume_turn());
	wait = exact_clock_sooner(wait, exact_statement_turn());
	wait = exact_clock_sooner(wait, tend_warehouses());
	return wait;
}

/*
 * A setting may have mended what keeps an address from being used, or a call from being answered:
 * allowed_hosts, insecure_loopback, ca_file.
 */
static void
reload(void)
{
	exact_workspace_forget();
	exact_service_mended(NULL);
	exact_fence_hurry();
}

/* A service answers again, or what kept it from answering may have been mended. */
static void
back(const char *workspace, bool certain)
{
	const ExactWorkspaceEntry *entry = exact_workspace_find(workspace);

	exact_databricks_token_hurry(workspace, certain);
	exact_fence_retry(workspace);
	exact_casts_retry(workspace);
	exact_statement_hurry(workspace);
	exact_delta_table_hurry(workspace);
	exact_open_state_hurry(workspace);
	if (exact_service_fails(workspace) && entry != NULL && entry->enabled && entry->fault == NULL)
		exact_ping_again(&entry->info);
}

static void
event_unit(void *arg)
{
	exact_audit_inquiry("loader", arg);
}

/* The event of who asked is committed before anything is sent. */
static void
answer_ask(ExactAsk *ask)
{
	bool		month = strcmp(exact_ask_op(ask), "month") == 0;
	ExactAuditInquiry event = {.who = exact_ask_user(ask), .asked = exact_ask_op(ask), .rows = -1};
	ExactFault *fault = NULL;
	dlist_iter	iter;

	if (!month && strcmp(exact_ask_op(ask), "ping") != 0)
	{
		exact_ask_failf(ask, ERRCODE_EXACT_REQUEST, NULL, NULL,
						"the loader does not know the question \"%s\"", exact_ask_op(ask));
		return;
	}
	if (event.who != NULL && !exact_unit_run("record inquiry", event_unit, &event, &fault))
	{
		exact_ask_fail(ask, fault);
		return;
	}
	look_due = !exact_queue_look();
	if (month)
	{
		exact_month_answer(ask);
		return;
	}
	exact_ping_begin(ask);
	dlist_foreach(iter, &exact_workspaces)
	{
		ExactWorkspaceEntry *entry = dlist_container(ExactWorkspaceEntry, node, iter.cur);

		exact_ping_workspace(&entry->info, entry->enabled, entry->fault);
	}
	exact_ping_end();
}

static void
start(void)
{
	exact_service_init(EXACT_SERVICE_DATABRICKS, back);
	exact_queue_init();
	exact_delta_table_read_by(exact_read_back_start);
}

static const ExactWorkerOps ops = {
	.role = EXACT_ROLE_LOADER,
	.start = start,
	.turn = turn,
	.reload = reload,
	.ask = answer_ask,
};

void
exact_loader_main(Datum main_arg)
{
	exact_worker_run(&ops, main_arg);
}
