/*
 * listener.c - the worker that answers HTTP: notifications, the return of a consent, health, status, metrics. One a database.
 *
 * All notifications that came while the last group was committed, and some milliseconds longer when they come thick, are the next
 * group: one unit, and each answer after its commit.
 * Nothing is answered 200 that is not committed; what cannot be stored now is answered 503, and the sender comes again.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/errors.h"
#include "base/guc.h"
#include "base/sql.h"
#include "http/client.h"
#include "http/http_server.h"
#include "http/listen.h"
#include "listener/callback.h"
#include "listener/inbox.h"
#include "listener/pages.h"
#include "listener/traffic.h"
#include "listener/webhook.h"
#include "listener/webhook_secret.h"
#include "worker/ask.h"
#include "worker/self.h"
#include "worker/unit.h"
#include "worker/worker.h"

PGDLLEXPORT void exact_listener_main(Datum main_arg) pg_attribute_noreturn();

#define GROUP_MAX 1024			/* notifications of one unit */
#define GATHER_MS 3				/* between the beginnings of two groups: a unit costs as much as ten of its notifications … */
#define GATHER_N 16				/* … so that with so many there is nothing to wait for */
#define ROUNDS_AT_ONCE 16		/* groups before the frame has its turn */
#define REFUSED_LOG_MS 60000
#define STORE_AGAIN_MS 1000		/* after a failure that is no single one's: all are answered 503 meanwhile, and the log is not filled */
#define HEALTH_MS 1000			/* what /health says may be so old */
#define OPEN_FIRST_MS 1000		/* an address that is taken is tried again after 1, 2, 4 … 60 s */
#define OPEN_LAST_MS 60000

enum
{
	ROUTE_HOOK,
	ROUTE_CALLBACK,
	ROUTE_HEALTH,
	ROUTE_STATUS,
	ROUTE_METRICS
};

static const ExactRoute routes[] = {
	[ROUTE_HOOK] = {.path = "/exact/hook", .post = true, .max_body = EXACT_WEBHOOK_MAX},
	[ROUTE_CALLBACK] = {.path = "/exact/callback"},
	[ROUTE_HEALTH] = {.path = "/health"},
	[ROUTE_STATUS] = {.path = "/status", .local = true},
	[ROUTE_METRICS] = {.path = "/metrics", .local = true},
	{.path = NULL}
};

static bool is_open = false;
static TimestampTz open_at = 0;
static long open_wait_ms = OPEN_FIRST_MS;
static char told[1024] = "";	/* what was logged about the addresses */

static TimestampTz store_again = 0; /* until then nothing can be stored */

static uint64 refused = 0;		/* signatures since the last log line */
static ExactPeer refused_from;
static TimestampTz refused_log_at = 0;

static ExactHttpServerCounts counted;	/* what of the server's counts was added to the traffic */

/* ---- addresses ---- */

/* At the start and after each reload */
static void
configure(void)
{
	const char *durable = GetConfigOption("synchronous_commit", false, false);

	/* an answer promises that the notification is there, whatever the database is content with otherwise */
	if (strcmp(durable, "off") == 0)
		SetConfigOption("synchronous_commit", "local", PGC_USERSET, PGC_S_SESSION);
	exact_client_configure(exact_listen_connections, exact_listen_connections_per_address, exact_trusted_proxies);
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
			 errdetail("It is tried again by itself, at most 60 s later."),
			 errhint("Free the port, or ALTER DATABASE … SET exact_databricks.port or listen_addresses, then SELECT exact.restart_workers().")));
}

static void
open_listener(void)
{
	if (exact_listen_addresses[0] == '\0')
		exact_self_rest("exact_databricks.listen_addresses is not set");
	configure();
	try_open();
}

/* ---- notifications ---- */

typedef struct Group
{
	instr_time	begun;			/* when the group before it was stored */
	int			held;			/* of them: the first so many wait for a later turn */
	int			n;
	ExactRequest *requests[GROUP_MAX];
	ExactInboxItem items[GROUP_MAX];
} Group;

typedef struct StoreUnit
{
	ExactInboxItem *items;
	int			n;
} StoreUnit;

/* By which this hub knows its own answer when it tries its public address (reach.c). */
static char hub_mark[17];

static void
store_unit(void *arg)
{
	StoreUnit  *unit = arg;

	exact_inbox_store(unit->items, unit->n);
	if (hub_mark[0] == '\0' && exact_sql("SELECT exact._hub_mark()", 0, NULL) == 1)
	{
		const char *mark = exact_cell_text(0, 1);

		strlcpy(hub_mark, mark ? mark : "", sizeof(hub_mark));
	}
}

static bool
store(ExactInboxItem *items, int n, ExactFault **fault)
{
	StoreUnit	unit = {items, n};
	instr_time	start;
	instr_time	took;
	bool		stored;

	INSTR_TIME_SET_CURRENT(start);
	stored = exact_unit_run("notifications", store_unit, &unit, fault);
	INSTR_TIME_SET_CURRENT(took);
	INSTR_TIME_SUBTRACT(took, start);
	if (stored)
		exact_traffic_commit(INSTR_TIME_GET_MICROSEC(took));
	return stored;
}

static void
answer_unavailable(ExactRequest *request)
{
	ExactReply	reply = {.status = 503, .retry_after = EXACT_RETRY_AFTER_S, .hub = request->body_len == 0 ? hub_mark : NULL};

	exact_traffic_add(EXACT_TRAFFIC_UNAVAILABLE, 1);
	exact_http_server_answer(request, &reply);
}

static void
answer_stored(ExactRequest *request, ExactInboxOutcome outcome)
{
	static const ExactReply ok = {.status = 200};
	static const ExactReply known = {.status = 200, .hub = hub_mark};
	static const ExactReply unauthorized = {.status = 401};

	switch (outcome)
	{
		case EXACT_INBOX_ACCEPTED:
			exact_traffic_add(EXACT_TRAFFIC_ACCEPTED, 1);
			exact_http_server_answer(request, &ok);
			return;
		case EXACT_INBOX_DUPLICATE:
			exact_traffic_add(EXACT_TRAFFIC_DUPLICATE, 1);
			exact_http_server_answer(request, &ok);
			return;
		case EXACT_INBOX_VALIDATION:
			exact_traffic_add(EXACT_TRAFFIC_VALIDATION, 1);
			exact_http_server_answer(request, &known);
			return;
		case EXACT_INBOX_REFUSED:
			exact_traffic_add(EXACT_TRAFFIC_REFUSED, 1);
			refused++;
			refused_from = request->client;
			exact_http_server_answer(request, &unauthorized);
			return;
		case EXACT_INBOX_NOT_READY:
			break;
	}
	answer_unavailable(request);
}

/* Is it the content of one that the server did not take? Then the others are stored without it. */
static bool
is_about_one(const ExactFault *fault)
{
	return ERRCODE_TO_CATEGORY(fault->sqlstate) == ERRCODE_DATA_EXCEPTION ||
		ERRCODE_TO_CATEGORY(fault->sqlstate) == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION ||
		ERRCODE_TO_CATEGORY(fault->sqlstate) == ERRCODE_PROGRAM_LIMIT_EXCEEDED;
}

static void
take_group(Group *group)
{
	ExactFault *fault = NULL;
	bool		tried = !exact_clock_ahead(store_again, STORE_AGAIN_MS);
	bool		stored;
	bool		singly;

	INSTR_TIME_SET_CURRENT(group->begun);
	stored = tried && store(group->items, group->n, &fault);
	singly = tried && !stored && is_about_one(fault);
	if (tried && !stored && !singly)
		store_again = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), STORE_AGAIN_MS);
	if (ProcDiePending)
		stored = false;			/* the wait for a synchronous standby may have been cut off */
	exact_traffic_add(EXACT_TRAFFIC_RECEIVED, group->n);
	for (int i = 0; i < group->n; i++)
	{
		if (singly && group->n > 1 ? store(&group->items[i], 1, NULL) : stored)
			answer_stored(group->requests[i], group->items[i].outcome);
		else
			answer_unavailable(group->requests[i]);
	}
	group->n = group->held = 0;
}

static void
refuse_group(Group *group)
{
	exact_traffic_add(EXACT_TRAFFIC_RECEIVED, group->n);
	for (int i = 0; i < group->n; i++)
		answer_unavailable(group->requests[i]);
	group->n = group->held = 0;
}

/* ms until the group may be stored; one that comes alone does not wait */
static long
gather_ms(const Group *group)
{
	instr_time	since;

	if (INSTR_TIME_IS_ZERO(group->begun) || group->n >= GATHER_N)
		return 0;
	INSTR_TIME_SET_CURRENT(since);
	INSTR_TIME_SUBTRACT(since, group->begun);
	return Max(GATHER_MS - (long) INSTR_TIME_GET_MILLISEC(since), 0);
}

static void
log_refused(void)
{
	char		text[EXACT_PEER_TEXT];

	if (refused == 0 || exact_clock_ahead(refused_log_at, REFUSED_LOG_MS))
		return;
	exact_log(LOG, "webhook refused=" UINT64_FORMAT " reason=signature last_from=%s", refused, exact_peer_text(&refused_from, text));
	refused = 0;
	refused_log_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), REFUSED_LOG_MS);
}

/* ---- loop ---- */

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

/* ---- health ---- */

static void
health_unit(void *arg)
{
	*(bool *) arg = exact_webhook_secret_load(NULL, NULL) > 0;
}

/* Why a notification would not be taken now, in a word; NULL when it would. Looked up at most once a second. */
static const char *
ailment(const ExactFault *refuse)
{
	static TimestampTz looked = 0;
	static const char *found;
	bool		ready = false;

	if (refuse != NULL)
		return "not ready\n";
	if (exact_clock_ahead(store_again, STORE_AGAIN_MS))
		return "notifications cannot be stored\n";
	if (!exact_clock_ahead(TimestampTzPlusMilliseconds(looked, HEALTH_MS), HEALTH_MS))
	{
		found = !exact_unit_run("health", health_unit, &ready, NULL) ? "the database does not answer\n" : ready ? NULL : "no webhook secret can be used\n";
		looked = GetCurrentTimestamp();
	}
	return found;
}

static Group group;

/* Answers everything that is complete, notifications with their group; true when the server may go on. */
static bool
serve_round(const ExactFault *refuse)
{
	ExactRequest *request;
	bool		any = false;

	while (group.n < GROUP_MAX && (request = exact_http_server_next()) != NULL)
	{
		any = true;
		if (request->route == &routes[ROUTE_CALLBACK])
			exact_callback_start(request, refuse);
		else if (request->route == &routes[ROUTE_STATUS])
			exact_pages_status(request, refuse);
		else if (request->route == &routes[ROUTE_METRICS])
			exact_pages_metrics(request, refuse);
		else if (request->route == &routes[ROUTE_HEALTH])
		{
			const char *why = ailment(refuse);

			exact_pages_text(request, why ? 503 : 200, why ? why : "ok\n");
		}
		else
		{
			group.items[group.n].body = request->body;
			group.items[group.n].len = request->body_len;
			group.requests[group.n++] = request;
		}
	}
	if (group.n > 0 && (refuse || gather_ms(&group) == 0))
	{
		any = true;
		if (refuse)
			refuse_group(&group);
		else
			take_group(&group);
	}
	while (group.held < group.n)
		exact_http_server_hold(group.requests[group.held++]);
	return any;
}

static long
serve(const ExactFault *refuse)
{
	MemoryContext context;
	MemoryContext old;
	long		wait;
	long		waiting;

	if (!is_open)
	{
		if (!exact_clock_ahead(open_at, OPEN_LAST_MS))
			try_open();
		return is_open ? 0 : TimestampDifferenceMilliseconds(GetCurrentTimestamp(), open_at) + 1;
	}
	context = AllocSetContextCreate(CurrentMemoryContext, "exact requests", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	waiting = exact_callback_run();
	wait = exact_http_server_run();
	for (int i = 0; i < ROUNDS_AT_ONCE && serve_round(refuse); i++)
	{
		MemoryContextReset(context);
		wait = exact_http_server_run();
	}
	if (waiting >= 0)
		wait = wait < 0 ? waiting : Min(wait, waiting);
	if (group.n > 0)
		wait = wait < 0 ? gather_ms(&group) : Min(wait, gather_ms(&group));
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	count();
	log_refused();
	return wait;
}

static long
turn(void)
{
	return -1;
}

static void
on_ask(ExactAsk *ask)
{
	exact_ask_failf(ask, ERRCODE_INVALID_PARAMETER_VALUE, NULL, NULL, "the listener does not know the question \"%s\"", exact_ask_op(ask));
}

static const ExactWorkerOps listener_ops = {
	.role = EXACT_ROLE_LISTENER,
	.reload = configure,
	.turn = turn,
	.ask = on_ask,
	.open = open_listener,
	.serve = serve,
	.close = exact_http_server_stop,
};

void
exact_listener_main(Datum main_arg)
{
	exact_worker_run(&listener_ops, main_arg);
}
