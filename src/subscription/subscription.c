/*
 * subscription.c - upkeep of the webhook subscriptions of each division at Exact Online.
 *
 * At the start, when the wanted topics or the callback address change, daily, and when an operator
 * asks: the callback is tried (reach.c), the list is read, what is missing is made, what leads
 * elsewhere is replaced, what nobody needs any more is removed. One call of a division at a time,
 * in its lane, in turn with its feeds. The list decides: after an answer that was lost it is read
 * again, so no topic is made twice. A call that was refused is repeated a day later, or when an
 * operator asks. Facts: exact-online.md §7.1, §7.2. What answers mean: subscription_answer.c.
 */
#include "postgres.h"

#include "utils/json.h"

#include "base/clock.h"
#include "exact_online/budget.h"
#include "exact_online/exact_api.h"
#include "fetch/lane.h"
#include "subscription/reach.h"
#include "subscription/subscription.h"
#include "subscription/subscription_answer.h"
#include "subscription/subscription_store.h"
#include "subscription/upkeep.h"

#define RESOURCE "webhooks/WebhookSubscriptions"
#define CHECK_US EXACT_UPKEEP_CHECK_US
#define LONG_WAIT_US (2 * USECS_PER_MINUTE)	/* whoever asked is told that there is no call now */
#define SERVICE_US USECS_PER_HOUR
#define MAX_PASSES 3
#define GAP_FIRST_US USECS_PER_SEC
#define GAP_MAX_US (10 * USECS_PER_MINUTE)

static bool
same(const char *a, const char *b)
{
	return a != NULL && b != NULL && strcmp(a, b) == 0;
}

/* When one topic needs a look or a call. */
static TimestampTz
topic_due_at(const ExactUpkeep *u, const ExactTopic *t)
{
	if (!t->wanted)
		return t->tried_at == 0 ? 0 : t->tried_at + CHECK_US;
	if (u->cause != NULL)
		return same(t->cause, u->cause) ? PG_INT64_MAX : 0;
	if (u->reach->state == EXACT_REACH_BROKEN)
		return t->checked_at == 0 ? 0 : t->checked_at + CHECK_US;
	if (strcmp(t->state, "present") == 0)
		return same(t->callback_url, u->callback_url) ? t->checked_at + CHECK_US : 0;
	if (exact_subscription_answer_may_try(u, t))
		return 0;
	return t->tried_at + CHECK_US;
}

static TimestampTz
due_at(const ExactUpkeep *u)
{
	TimestampTz due = PG_INT64_MAX;

	if (u->requested_at > u->begun_at || u->begun_at == 0 || u->consented_at != u->consent_used)
		return 0;
	for (int i = 0; i < u->ntopics; i++)
		due = Min(due, topic_due_at(u, &u->topics[i]));
	due = Max(due, u->begun_at + u->gap_us);
	return Max(due, u->not_before);
}

/* ---- calls ---- */

static void
ask_for_list(ExactUpkeep *u, const ExactLane *lane, ExactApiRequest *request)
{
	if (u->list_url != NULL)
	{
		request->url = u->list_url;
		request->label = RESOURCE "?$skiptoken=...";
		return;
	}
	u->nlisted = 0;
	u->pass++;
	request->url = psprintf("%s/api/v1/%d/" RESOURCE "?$select=ID,Topic,CallbackURL,Division",
							lane->base_url, u->division);
	request->label = RESOURCE;
}

static void
ask_for_step(const ExactUpkeep *u, const ExactLane *lane, const ExactTopic *t,
			 ExactApiRequest *request)
{
	StringInfoData body;

	if (t->step != EXACT_STEP_POST)
	{
		request->method = "DELETE";
		request->url = psprintf("%s/api/v1/%d/" RESOURCE "(guid'%s')",
								lane->base_url, u->division, t->target);
		request->label = psprintf(RESOURCE "(guid'%s')?topic=%s", t->target, t->name);
		return;
	}
	initStringInfo(&body);
	appendStringInfoString(&body, "{\"CallbackURL\":");
	escape_json(&body, u->callback_url);
	appendStringInfoString(&body, ",\"Topic\":");
	escape_json(&body, t->name);
	appendStringInfoChar(&body, '}');
	request->method = "POST";
	request->body = body.data;
	request->url = psprintf("%s/api/v1/%d/" RESOURCE, lane->base_url, u->division);
	request->label = psprintf(RESOURCE "?topic=%s", t->name);
}

/* The next call of an upkeep; the lane is free and the budget allows it. */
static void
send_call(ExactUpkeep *u, ExactLane *lane)
{
	ExactApiRequest request = {0};
	bool		list = u->phase == EXACT_UPKEEP_LIST;

	request.app = lane->app;
	request.base_url = lane->base_url;
	request.division = u->division;
	request.feed = "subscriptions";
	request.resource = RESOURCE;
	if (list)
		ask_for_list(u, lane, &request);
	else
		ask_for_step(u, lane, exact_subscription_answer_next(u), &request);
	exact_lane_hold(lane);
	u->busy = true;
	exact_api_send(&request, list ? exact_subscription_answer_list : exact_subscription_answer_step,
				   u);
}

/* ---- the upkeep of one division ---- */

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
	int			changes = u->counts[EXACT_COUNT_MADE] + u->counts[EXACT_COUNT_REPLACED] +
		u->counts[EXACT_COUNT_REMOVED];

	u->forced = u->requested_at > u->begun_at;
	if (changes > 0)
		u->gap_us = GAP_FIRST_US;
	else if (!u->forced)
		u->gap_us = now - u->begun_at < 2 * u->gap_us
			? Min(2 * u->gap_us, GAP_MAX_US) : GAP_FIRST_US;
	u->consent_used = u->consented_at;
	u->begun_at = now;
	u->ended_at = 0;
	u->pass = u->failures = 0;
	u->not_before = 0;
	u->nlisted = 0;
	u->listed = NULL;
	exact_lane_set_text(&u->list_url, NULL);
	u->phase = EXACT_UPKEEP_LIST;
	if (u->reach != NULL)
		exact_reach_again(u->reach, u->forced);
}

/*
 * Begins an upkeep when one is due. False when there is nothing to send now; *at says when there
 * may be.
 */
static bool
begin_if_due(ExactUpkeep *u, const char *standing, TimestampTz *at)
{
	*at = PG_INT64_MAX;
	if (u->stale)
		return false;
	if (due_at(u) > GetCurrentTimestamp())
	{
		*at = due_at(u);
		return false;
	}
	if (standing != NULL && u->requested_at <= u->begun_at)
		return false;
	begin_upkeep(u);
	if (standing == NULL && u->cause != NULL && nothing_to_remove(u))
	{
		exact_subscription_answer_blocked(u);
		return false;
	}
	return true;
}

/* Ends an upkeep that has nothing left to do, or whose list never shows what was made. */
static bool
end_if_done(ExactUpkeep *u, TimestampTz *at)
{
	TimestampTz now = GetCurrentTimestamp();

	if (u->phase == EXACT_UPKEEP_STEPS && exact_subscription_answer_next(u) == NULL)
	{
		exact_subscription_answer_end(u, NULL, 0);
		*at = now;
		return true;
	}
	if (u->phase == EXACT_UPKEEP_LIST && u->pass >= MAX_PASSES && u->list_url == NULL)
	{
		exact_subscription_answer_end(u, "the list of subscriptions does not show the new ones",
									  now + SERVICE_US);
		*at = PG_INT64_MAX;
		return true;
	}
	return false;
}

/* Moves one division on; returns when it is due again. */
static TimestampTz
step(ExactUpkeep *u)
{
	ExactLane  *lane = exact_lane_find(u->division);
	TimestampTz now = GetCurrentTimestamp();
	const char *why = standstill(lane);
	TimestampTz at;

	if (u->busy || !u->present)
		return PG_INT64_MAX;
	if (u->phase == EXACT_UPKEEP_IDLE && !begin_if_due(u, why, &at))
		return at;
	if (why != NULL)
	{
		exact_subscription_answer_end(u, why, 0);
		return PG_INT64_MAX;
	}
	if (u->reach != NULL && u->reach->state == EXACT_REACH_UNTRIED)
		return PG_INT64_MAX;	/* reach.c has the next word */
	if (end_if_done(u, &at))
		return at;
	if (lane->busy)
		return PG_INT64_MAX;
	at = Max(lane->not_before, u->not_before);
	at = Max(at, exact_budget_allowed_at(u->division, RESOURCE, &why));
	if (at > now)
	{
		if (at > now + LONG_WAIT_US && u->requested_at != 0)
			exact_subscription_answer_end(u, why ? why : "no call to the division now", at);
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

void
exact_subscription_hurry(const char *app)
{
	ExactUpkeep **upkeeps;
	int			n = exact_subscription_store_all(&upkeeps);

	for (int i = 0; i < n; i++)
		if (upkeeps[i]->present && upkeeps[i]->errors > 0 &&
			strcmp(upkeeps[i]->app, app) == 0)
			upkeeps[i]->not_before = 0;
}

long
exact_subscription_turn(void)
{
	TimestampTz next = PG_INT64_MAX;
	ExactUpkeep **upkeeps;
	int			n;
	long		wait;

	exact_subscription_store_settle();
	if (exact_subscription_store_wait() == 0)
	{
		/* after it the plan has the next word */
		return exact_subscription_store_read() ? 0 : exact_subscription_store_wait();
	}
	n = exact_subscription_store_all(&upkeeps);
	for (int i = 0; i < n; i++)
	{
		TimestampTz at = step(upkeeps[i]);

		next = Min(next, at);
	}
	wait = exact_reach_turn();
	exact_subscription_store_settle();
	wait = exact_clock_sooner(wait, exact_subscription_store_wait());
	return exact_clock_sooner(wait, exact_clock_wait_ms(next));
}
