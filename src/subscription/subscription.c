/*
 * subscription.c - upkeep of the webhook subscriptions of each division at Exact Online.
 *
 * At the start, when the wanted topics or the callback address change, daily, and when an operator asks: the callback is tried
 * (reach.c), the list is read, what is missing is made, what leads elsewhere is replaced, what nobody needs any more is removed.
 * One call of a division at a time, in its lane, in turn with its feeds. The list decides: after an answer that was lost it is
 * read again, so no topic is made twice. A call that was refused is repeated a day later, or when an operator asks.
 * Facts: exact-online.md §7.1, §7.2. What answers mean: subscription_answer.c.
 */
#include "postgres.h"

#include "utils/json.h"

#include "exact_online/budget.h"
#include "fetch/plan.h"
#include "fetch/run.h"
#include "subscription/subscription.h"

#define RESOURCE "webhooks/WebhookSubscriptions"
#define READ_PAUSE_US USECS_PER_SEC	/* between two readings of rows and requests */
#define CHECK_US EXACT_CHECK_US
#define SERVICE_US USECS_PER_HOUR
#define MAX_PASSES 3
#define GAP_FIRST_US USECS_PER_SEC
#define GAP_MAX_US (10 * USECS_PER_MINUTE)

static bool read_due = true;
static TimestampTz read_not_before;

void
exact_subscription_want(void)
{
	read_due = true;
}

static bool
same(const char *a, const char *b)
{
	return a != NULL && b != NULL && strcmp(a, b) == 0;
}

static TimestampTz
due_at(const ExactUpkeep *u)
{
	TimestampTz due = PG_INT64_MAX;

	if (u->requested_at > u->begun_at || u->begun_at == 0 || u->consented_at != u->consent_used)
		return 0;
	for (int i = 0; i < u->ntopics; i++)
	{
		const ExactTopic *t = &u->topics[i];

		if (!t->wanted)
			due = Min(due, t->tried_at == 0 ? 0 : t->tried_at + CHECK_US);
		else if (u->cause != NULL)
			due = Min(due, same(t->cause, u->cause) ? PG_INT64_MAX : 0);
		else if (u->reach->state == EXACT_REACH_BROKEN)
			due = Min(due, t->checked_at == 0 ? 0 : t->checked_at + CHECK_US);
		else if (strcmp(t->state, "present") == 0)
			due = Min(due, same(t->callback_url, u->callback_url) ? t->checked_at + CHECK_US : 0);
		else if (exact_upkeep_may_try(u, t))
			due = 0;
		else
			due = Min(due, t->tried_at + CHECK_US);
	}
	due = Max(due, u->begun_at + u->gap_us);
	return Max(due, u->not_before);
}

/* The next call of an upkeep; the lane is free and the budget allows it. */
static void
send_call(ExactUpkeep *u, ExactLane *lane)
{
	ExactApiRequest request = {0};
	ExactTopic *t = NULL;

	request.app = lane->app;
	request.base_url = lane->base_url;
	request.division = u->division;
	request.feed = "subscriptions";
	request.resource = RESOURCE;
	if (u->phase == EXACT_UPKEEP_LIST)
	{
		if (u->list_url == NULL)
		{
			u->nlisted = 0;
			u->pass++;
		}
		request.url = u->list_url ? u->list_url : psprintf("%s/api/v1/%d/" RESOURCE "?$select=ID,Topic,CallbackURL,Division", lane->base_url, u->division);
		request.label = u->list_url ? RESOURCE "?$skiptoken=..." : RESOURCE;
	}
	else
	{
		for (int i = 0; i < u->ntopics && t == NULL; i++)
			if (u->topics[i].step != EXACT_STEP_NONE)
				t = &u->topics[i];
		if (t->step == EXACT_STEP_POST)
		{
			StringInfoData body;

			initStringInfo(&body);
			appendStringInfoString(&body, "{\"CallbackURL\":");
			escape_json(&body, u->callback_url);
			appendStringInfoString(&body, ",\"Topic\":");
			escape_json(&body, t->name);
			appendStringInfoChar(&body, '}');
			request.method = "POST";
			request.body = body.data;
			request.url = psprintf("%s/api/v1/%d/" RESOURCE, lane->base_url, u->division);
			request.label = psprintf(RESOURCE "?topic=%s", t->name);
		}
		else
		{
			request.method = "DELETE";
			request.url = psprintf("%s/api/v1/%d/" RESOURCE "(guid'%s')", lane->base_url, u->division, t->target);
			request.label = psprintf(RESOURCE "(guid'%s')?topic=%s", t->target, t->name);
		}
	}
	exact_run_hold(lane);
	u->busy = true;
	exact_api_send(&request, u->phase == EXACT_UPKEEP_LIST ? exact_upkeep_on_list : exact_upkeep_on_step, u);
}

/* Why the division cannot be asked at all; NULL: it can. */
static const char *
standstill(const ExactLane *lane)
{
	if (lane == NULL || !lane->present)
		return "it is not read";
	if (strcmp(lane->state, "ok") != 0)
		return psprintf("it is %s", lane->state);
	return lane->base_url == NULL ? "the address of its app cannot be used" : NULL;
}

static bool
nothing_to_remove(const ExactUpkeep *u)
{
	for (int i = 0; i < u->ntopics; i++)
		if (!u->topics[i].wanted)
			return false;
	return true;
}

static void
begin_upkeep(ExactUpkeep *u)
{
	TimestampTz now = GetCurrentTimestamp();

	u->forced = u->requested_at > u->begun_at;
	if (u->counts[EXACT_COUNT_MADE] + u->counts[EXACT_COUNT_REPLACED] + u->counts[EXACT_COUNT_REMOVED] > 0)
		u->gap_us = GAP_FIRST_US;
	else if (!u->forced)
		u->gap_us = now - u->begun_at < 2 * u->gap_us ? Min(2 * u->gap_us, GAP_MAX_US) : GAP_FIRST_US;
	u->consent_used = u->consented_at;
	u->begun_at = now;
	u->ended_at = 0;
	u->pass = u->failures = 0;
	u->not_before = 0;
	u->nlisted = 0;
	u->listed = NULL;
	exact_upkeep_set_link(u, NULL);
	u->phase = EXACT_UPKEEP_LIST;
	if (u->reach != NULL)
		exact_reach_again(u->reach, u->forced);
}

/* Moves one division on; returns when it is due again. */
static TimestampTz
step(ExactUpkeep *u)
{
	ExactLane  *lane = exact_plan_lane(u->division);
	TimestampTz now = GetCurrentTimestamp();
	const char *why = standstill(lane);
	TimestampTz at;

	if (u->busy || !u->present)
		return PG_INT64_MAX;
	if (u->phase == EXACT_UPKEEP_IDLE)
	{
		if (u->stale)
			return PG_INT64_MAX;
		at = due_at(u);
		if (at > now)
			return at;
		if (why != NULL && u->requested_at <= u->begun_at)
			return PG_INT64_MAX;
		begin_upkeep(u);
		if (why == NULL && u->cause != NULL && nothing_to_remove(u))
		{
			exact_upkeep_say_blocked(u);
			return PG_INT64_MAX;
		}
	}
	if (why != NULL)
	{
		exact_upkeep_end(u, why, 0);
		return PG_INT64_MAX;
	}
	if (u->reach != NULL && u->reach->state == EXACT_REACH_UNTRIED)
		return PG_INT64_MAX;	/* reach.c has the next word */
	if (u->phase == EXACT_UPKEEP_STEPS)
	{
		bool		more = false;

		for (int i = 0; i < u->ntopics; i++)
			more = more || u->topics[i].step != EXACT_STEP_NONE;
		if (!more)
		{
			exact_upkeep_end(u, NULL, 0);
			return now;
		}
	}
	else if (u->pass >= MAX_PASSES && u->list_url == NULL)
	{
		exact_upkeep_end(u, "the list of subscriptions does not show what was made", now + SERVICE_US);
		return PG_INT64_MAX;
	}
	if (lane->busy)
		return PG_INT64_MAX;
	at = Max(lane->not_before, u->not_before);
	at = Max(at, exact_budget_allowed_at(u->division, RESOURCE, &why));
	if (at > now)
	{
		if (at > now + 2 * USECS_PER_MINUTE && u->requested_at != 0)
			exact_upkeep_end(u, why ? why : "no call to the division now", at);
		return at;
	}
	if (u->yield)
	{
		u->yield = false;
		return now;
	}
	send_call(u, lane);
	return lane->busy ? PG_INT64_MAX : now;
}

long
exact_subscription_turn(void)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = PG_INT64_MAX;
	ExactUpkeep **upkeeps;
	int			n;
	long		reach_wait;

	exact_upkeep_settle();
	if (read_due && read_not_before <= now)
	{
		read_due = !exact_upkeep_read();
		read_not_before = now + READ_PAUSE_US;
		return read_due ? READ_PAUSE_US / 1000 : 0; /* the plan has the next word */
	}
	n = exact_upkeep_all(&upkeeps);
	for (int i = 0; i < n; i++)
	{
		TimestampTz at = step(upkeeps[i]);

		next = Min(next, at);
	}
	reach_wait = exact_reach_turn();
	exact_upkeep_settle();
	if (read_due)
		next = Min(next, read_not_before);
	if (next == PG_INT64_MAX)
		return reach_wait;
	now = GetCurrentTimestamp();
	next = next <= now ? 0 : Min((next - now) / 1000 + 1, 3600000);
	return reach_wait < 0 ? (long) next : Min(reach_wait, (long) next);
}
