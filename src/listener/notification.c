/*
 * notification.c - notifications that came to the listener: gathered into groups, stored, answered.
 *
 * Called by listener.c; what is in a body is inbox.c's business.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/peer.h"
#include "base/sql.h"
#include "http/http_server.h"
#include "listener/inbox.h"
#include "listener/notification.h"
#include "listener/pages.h"
#include "listener/traffic.h"
#include "worker/self.h"
#include "worker/unit.h"

#define GROUP_MAX 1024			/* notifications of one unit */
/* Between the beginnings of two groups: a unit costs as much as ten of its notifications */
#define GATHER_MS 3
#define GATHER_N 16				/* with so many there is nothing to wait for */
#define REFUSED_LOG_MS 60000
/* After a failure that is no single one's: all are answered 503, and the log is not filled */
#define STORE_AGAIN_MS 1000

typedef struct Group
{
	instr_time	begun;			/* when the group before it was stored */
	int			held;			/* of them: the first so many wait for a later turn */
	int			n;
	ExactRequest *requests[GROUP_MAX];
	ExactInboxItem items[GROUP_MAX];
} Group;

static Group group;
static TimestampTz store_again = 0; /* until then nothing can be stored */

static uint64 refused = 0;		/* signatures since the last log line */
static ExactPeer refused_from;
static TimestampTz refused_log_at = 0;

/* By which this hub knows its own answer when it tries its public address (reach.c). */
static char hub_mark[17];

/* ---- storing ---- */

typedef struct StoreUnit
{
	ExactInboxItem *items;
	int			n;
} StoreUnit;

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

/* Is it the content of one that the server did not take? Then the others are stored without it. */
static bool
is_about_one(const ExactFault *fault)
{
	return ERRCODE_TO_CATEGORY(fault->sqlstate) == ERRCODE_DATA_EXCEPTION ||
		ERRCODE_TO_CATEGORY(fault->sqlstate) == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION ||
		ERRCODE_TO_CATEGORY(fault->sqlstate) == ERRCODE_PROGRAM_LIMIT_EXCEEDED;
}

/* ---- answering ---- */

static void
answer_unavailable(ExactRequest *request)
{
	ExactReply	reply = {
		.status = 503,
		.retry_after = EXACT_RETRY_AFTER_S,
		.hub = request->body_len == 0 ? hub_mark : NULL
	};

	exact_traffic_add(EXACT_TRAFFIC_UNAVAILABLE, 1);
	exact_http_server_answer(request, &reply);
}

/* What the sender is told once the group is committed. */
static void
answer_stored(ExactRequest *request, ExactInboxOutcome outcome)
{
	static const ExactReply ok = {.status = 200, .notification = true};
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

/* ---- the group ---- */

bool
exact_notification_room(void)
{
	return group.n < GROUP_MAX;
}

void
exact_notification_add(ExactRequest *request)
{
	group.items[group.n].body = request->body;
	group.items[group.n].len = request->body_len;
	group.requests[group.n++] = request;
}

bool
exact_notification_stuck(void)
{
	return exact_clock_ahead(store_again, STORE_AGAIN_MS);
}

/* Stores all at once. When one of them is the reason why that fails, each is stored by itself. */
static void
take_group(void)
{
	ExactFault *fault = NULL;
	bool		tried = !exact_notification_stuck();
	bool		stored;
	bool		singly;

	INSTR_TIME_SET_CURRENT(group.begun);
	stored = tried && store(group.items, group.n, &fault);
	singly = tried && !stored && is_about_one(fault);
	if (tried && !stored && !singly)
		store_again = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), STORE_AGAIN_MS);
	if (ProcDiePending)
		stored = false;			/* the wait for a synchronous standby may have been cut off */
	for (int i = 0; i < group.n; i++)
	{
		if (singly && group.n > 1 ? store(&group.items[i], 1, NULL) : stored)
			answer_stored(group.requests[i], group.items[i].outcome);
		else
			answer_unavailable(group.requests[i]);
	}
}

static void
refuse_group(void)
{
	for (int i = 0; i < group.n; i++)
		answer_unavailable(group.requests[i]);
}

long
exact_notification_wait_ms(void)
{
	instr_time	since;

	if (group.n == 0)
		return -1;
	if (INSTR_TIME_IS_ZERO(group.begun) || group.n >= GATHER_N)
		return 0;
	INSTR_TIME_SET_CURRENT(since);
	INSTR_TIME_SUBTRACT(since, group.begun);
	return Max(GATHER_MS - (long) INSTR_TIME_GET_MILLISEC(since), 0);
}

bool
exact_notification_run(const ExactFault *refuse)
{
	bool		due = group.n > 0 && (refuse != NULL || exact_notification_wait_ms() == 0);

	if (due)
	{
		exact_traffic_add(EXACT_TRAFFIC_RECEIVED, group.n);
		if (refuse != NULL)
			refuse_group();
		else
			take_group();
		group.n = group.held = 0;
	}
	while (group.held < group.n)
		exact_http_server_hold(group.requests[group.held++]);
	return due;
}

void
exact_notification_log_refused(void)
{
	char		text[EXACT_PEER_TEXT];

	if (refused == 0 || exact_clock_ahead(refused_log_at, REFUSED_LOG_MS))
		return;
	exact_log(LOG, "webhook refused=" UINT64_FORMAT " reason=signature last_from=%s", refused,
			  exact_peer_text(&refused_from, text));
	refused = 0;
	refused_log_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), REFUSED_LOG_MS);
}
