/*
 * listener.c - the worker that answers HTTP: notifications, the return of a consent, health,
 * status, deliveries, metrics. One a database.
 *
 * Each of its turns answers what has come whole: notifications with their group
 * (listener/notification.c), everything else at once.
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/fault.h"
#include "base/guc.h"
#include "http/client.h"
#include "http/http_server.h"
#include "http/listen.h"
#include "listener/callback.h"
#include "listener/notification.h"
#include "listener/pages.h"
#include "listener/traffic.h"
#include "listener/webhook.h"
#include "listener/webhook_secret.h"
#include "worker/ask.h"
#include "worker/role.h"
#include "worker/self.h"
#include "worker/unit.h"
#include "worker/worker.h"

pg_noreturn PGDLLEXPORT void exact_listener_main(Datum main_arg);

#define ROUNDS_AT_ONCE 16		/* groups before the frame has its turn */
#define HEALTH_MS 1000			/* what /health says may be so old */
#define OPEN_FIRST_MS 1000		/* an address that is taken is tried again after 1, 2, 4 … 60 s */
#define OPEN_LAST_MS 60000

enum
{
	ROUTE_HOOK,
	ROUTE_CALLBACK,
	ROUTE_HEALTH,
	ROUTE_STATUS,
	ROUTE_METRICS,
	ROUTE_DELIVERIES,
	ROUTE_ROOT
};

static const ExactRoute routes[] = {
	[ROUTE_HOOK] = {.path = "/exact/hook", .post = true, .max_body = EXACT_WEBHOOK_MAX},
	[ROUTE_CALLBACK] = {.path = "/exact/callback"},
	[ROUTE_HEALTH] = {.path = "/health", .brief = true},
	[ROUTE_STATUS] = {.path = "/status", .token = true},
	[ROUTE_METRICS] = {.path = "/metrics", .token = true},
	[ROUTE_DELIVERIES] = {.path = "/deliveries", .token = true},
	[ROUTE_ROOT] = {.path = "/"},
	{.path = NULL}
};

static bool is_open = false;
static TimestampTz open_at = 0;
static long open_wait_ms = OPEN_FIRST_MS;
static char told[1024] = "";	/* what was logged about the addresses */

static ExactHttpServerCounts counted;	/* what of the server's counts was added to the traffic */

/* ---- addresses ---- */

/* At the start and after each reload */
static void
configure(void)
{
	exact_client_configure(exact_listen_connections, exact_listen_connections_per_address,
						   exact_trusted_proxies);
}

/* Opens the addresses, or says why not and when again. */
static void
try_open(void)
{
	char	   *why = NULL;

	if (exact_http_server_open(exact_listen_addresses, exact_port, routes, &why))
	{
		char	   *places = exact_listen_places();

		is_open = true;
		told[0] = '\0';
		exact_self_place(places);
		exact_self_block(NULL);
		exact_log(LOG, "listens at=\"%s\"", places);
		return;
	}
	open_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), open_wait_ms);
	open_wait_ms = Min(2 * open_wait_ms, OPEN_LAST_MS);
	exact_self_block(why);
	if (strcmp(told, why) == 0)
		return;
	strlcpy(told, why, sizeof(told));
	ereport(LOG,
			(errcode(ERRCODE_EXACT_WORKER_GONE),
			 errmsg("exact listener: %s", why),
			 errdetail("The listener tries again within 60 s."),
			 errhint("Free the port, or ALTER DATABASE … SET exact_databricks.port or"
					 " listen_addresses, then SELECT exact.restart_workers().")));
}

static void
open_listener(void)
{
	if (exact_listen_addresses[0] == '\0')
		exact_self_rest("exact_databricks.listen_addresses is not set");
	configure();
	try_open();
}

/* ---- health ---- */

static void
health_unit(void *arg)
{
	*(bool *) arg = exact_webhook_secret_load(NULL, NULL) > 0;
}

/* Why a notification would not be taken now, in a word; NULL when it would. */
static const char *
ailment(const ExactFault *refuse)
{
	static TimestampTz looked = 0;
	static const char *found;
	bool		ready = false;

	if (refuse != NULL)
		return "not ready\n";
	if (exact_notification_stuck())
		return "notifications cannot be stored\n";
	if (exact_clock_ahead(TimestampTzPlusMilliseconds(looked, HEALTH_MS), HEALTH_MS))
		return found;
	if (!exact_unit_run("health", health_unit, &ready, NULL))
		found = "the database does not answer\n";
	else
		found = ready ? NULL : "no webhook secret can be used\n";
	looked = GetCurrentTimestamp();
	return found;
}

static void
answer_health(ExactRequest *request, const ExactFault *refuse)
{
	const char *why = ailment(refuse);

	exact_pages_text(request, why ? 503 : 200, why ? why : "ok\n");
}

/* ---- loop ---- */

/* Adds what the server counted since the last turn to the traffic. */
static void
count(void)
{
	const ExactHttpServerCounts *now = exact_http_server_counts();

	exact_traffic_add(EXACT_TRAFFIC_MALFORMED, now->malformed - counted.malformed);
	exact_traffic_add(EXACT_TRAFFIC_TOO_LARGE, now->too_large - counted.too_large);
	exact_traffic_add(EXACT_TRAFFIC_UNKNOWN, now->unknown - counted.unknown);
	exact_traffic_add(EXACT_TRAFFIC_TIMEOUT, now->timeouts - counted.timeouts);
	exact_traffic_add(EXACT_TRAFFIC_OVER_LIMIT, now->over_limit - counted.over_limit);
	exact_traffic_set(EXACT_TRAFFIC_CONNECTIONS, now->connections);
	counted = *now;
}

/* Answers everything that is complete; true when the server may go on. */
static bool
answer_round(const ExactFault *refuse)
{
	ExactRequest *request;
	bool		any = false;

	while (exact_notification_room() && (request = exact_http_server_next()) != NULL)
	{
		any = true;
		if (request->route == &routes[ROUTE_CALLBACK])
			exact_callback_start(request, refuse);
		else if (request->route == &routes[ROUTE_STATUS])
			exact_pages_status(request, refuse);
		else if (request->route == &routes[ROUTE_METRICS])
			exact_pages_metrics(request, refuse);
		else if (request->route == &routes[ROUTE_DELIVERIES])
			exact_pages_deliveries(request, refuse);
		else if (request->route == &routes[ROUTE_ROOT])
			exact_pages_root(request);
		else if (request->route == &routes[ROUTE_HEALTH])
			answer_health(request, refuse);
		else
			exact_notification_add(request);
	}
	return exact_notification_run(refuse) || any;
}

/* A turn of the loop: what came is answered, at most some groups of it; ms until the next one. */
static long
serve_http(const ExactFault *refuse)
{
	MemoryContext context;
	MemoryContext old;
	long		wait;
	long		waiting;

	if (!is_open)
	{
		if (!exact_clock_ahead(open_at, OPEN_LAST_MS))
			try_open();
		return is_open ? 0 : exact_clock_wait_ms(open_at);
	}
	context = AllocSetContextCreate(CurrentMemoryContext, "exact requests", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	waiting = exact_callback_run();
	wait = exact_http_server_run();
	for (int i = 0; i < ROUNDS_AT_ONCE && answer_round(refuse); i++)
	{
		MemoryContextReset(context);
		wait = exact_http_server_run();
	}
	wait = exact_clock_sooner(wait, waiting);
	wait = exact_clock_sooner(wait, exact_notification_wait_ms());
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	count();
	exact_notification_log_refused();
	return wait;
}

/* All its work is done by serve_http. */
static long
turn(void)
{
	return -1;
}

static void
answer_ask(ExactAsk *ask)
{
	exact_ask_failf(ask, ERRCODE_INVALID_PARAMETER_VALUE, NULL, NULL,
					"the listener does not know the question \"%s\"", exact_ask_op(ask));
}

static const ExactWorkerOps listener_ops = {
	.role = EXACT_ROLE_LISTENER,
	.reload = configure,
	.turn = turn,
	.ask = answer_ask,
	.open = open_listener,
	.serve = serve_http,
	.close = exact_http_server_stop,
};

void
exact_listener_main(Datum main_arg)
{
	exact_worker_run(&listener_ops, main_arg);
}
