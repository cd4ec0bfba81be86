/*
 * fetcher.c - the worker that reads Exact Online: tokens, subscriptions, feeds, ad-hoc reads.
 *
 * One a database; the only one that stages.
 */
#include "postgres.h"

#include "auth/exact_token.h"
#include "base/clock.h"
#include "base/compat.h"
#include "dimension/again.h"
#include "dimension/write_back.h"
#include "document/judge.h"
#include "exact_online/budget.h"
#include "exact_online/endpoint.h"
#include "exact_online/invoice_sign.h"
#include "fetch/epoch.h"
#include "fetch/hint.h"
#include "fetch/lane.h"
#include "fetch/plan.h"
#include "fetch/silence.h"
#include "fetch/sync_request.h"
#include "fetch/turn.h"
#include "inquiry/inquiry.h"
#include "inquiry/ping_exact.h"
#include "listener/inbox.h"
#include "stage/disk.h"
#include "stage/retention.h"
#include "stage/stage.h"
#include "subscription/subscription.h"
#include "subscription/subscription_store.h"
#include "watch/watch.h"
#include "worker/role.h"
#include "worker/service.h"
#include "worker/unit.h"
#include "worker/worker.h"

pg_noreturn PGDLLEXPORT void exact_fetcher_main(Datum main_arg);

#define START_AGAIN_MS 1000

static bool loaded;

static void back(const char *app, bool certain);

static void
load_unit(void *arg pg_attribute_unused())
{
	exact_stage_load();
	exact_epoch_reread();
	exact_budget_load();
	exact_endpoint_load();
	exact_write_back_load();
}

static void
start(void)
{
	exact_service_init(EXACT_SERVICE_EXACT, back);
	loaded = exact_unit_run("start", load_unit, NULL, NULL);
}

static long
turn(void)
{
	bool		woken = exact_worker_woken();
	long		wait;

	if (woken)
	{
		exact_lane_look_at_plan();
		exact_subscription_store_want();
	}
	if (!loaded)
	{
		start();
		if (!loaded)
			return START_AGAIN_MS;
	}
	wait = exact_clock_sooner(exact_inbox_prune(), exact_retention_turn());
	wait = exact_clock_sooner(wait, exact_disk_turn());
	wait = exact_clock_sooner(wait, exact_hint_turn(exact_worker_notified()));
	wait = exact_clock_sooner(wait, exact_silence_turn());
	wait = exact_clock_sooner(wait, exact_invoice_sign_turn());
	wait = exact_clock_sooner(wait, exact_plan_turn());
	wait = exact_clock_sooner(wait, exact_service_turn());
	wait = exact_clock_sooner(wait, exact_subscription_turn());
	wait = exact_clock_sooner(wait, exact_again_turn(woken));
	wait = exact_clock_sooner(wait, exact_write_back_turn());
	wait = exact_clock_sooner(wait, exact_judge_turn(woken));
	wait = exact_clock_sooner(wait, exact_watch_turn());
	wait = exact_clock_sooner(wait, exact_sync_request_turn());
	wait = exact_clock_sooner(wait, exact_turn_send());
	return exact_clock_sooner(wait, exact_token_turn());
}

/*
 * A setting may have mended what keeps an address from being used, or a call from being answered:
 * allowed_hosts, insecure_loopback, ca_file.
 */
static void
reload(void)
{
	exact_service_mended(NULL);
}

/* A service answers again, or what kept it from answering may have been mended. */
static void
back(const char *app, bool certain)
{
	exact_token_hurry(app, certain);
	exact_lane_hurry(app);
	exact_subscription_hurry(app);
	if (exact_service_fails(app))
		exact_ping_app(app);
}

static const ExactWorkerOps fetcher_ops = {
	.role = EXACT_ROLE_FETCHER,
	.start = start,
	.turn = turn,
	.reload = reload,
	.ask = exact_inquiry_answer,
};

void
exact_fetcher_main(Datum main_arg)
{
	exact_worker_run(&fetcher_ops, main_arg);
}
