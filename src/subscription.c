/*
 * subscription.c - upkeep of the webhook subscriptions of each division at Exact Online.
 *
 * At the start, when the wanted topics or the callback address change, daily, and when an operator asks: the callback is tried
 * (reach.c), the list is read, what is missing is made, what leads elsewhere is replaced, what nobody needs any more is removed.
 * One call of a division at a time, in its lane, in turn with its feeds. The list decides: after an answer that was lost it is
 * read again, so no topic is made twice. A call that was refused is repeated a day later, or when an operator asks.
 * Facts: exact-online.md §7.1, §7.2. A message is in the language of the user who consented: it only chooses words, and whether
 * to try the next topic.
 */
#include "postgres.h"

#include "utils/json.h"
#include "utils/memutils.h"

#include "budget.h"
#include "errors.h"
#include "plan.h"
#include "run.h"
#include "sql.h"
#include "subscription.h"
#include "worker.h"

#define RESOURCE "webhooks/WebhookSubscriptions"
#define READ_PAUSE_US USECS_PER_SEC	/* between two readings of rows and requests */
#define CHECK_US USECS_PER_DAY
#define REPLACE_US (2 * USECS_PER_DAY)	/* two checks: who changes it back within them is another environment */
#define SERVICE_US USECS_PER_HOUR
#define BACKOFF_FIRST_US (5 * USECS_PER_SEC)
#define MAX_PASSES 3
#define MAX_REFUSED 2			/* posts refused in a row before the rest waits */

typedef struct ExactListed
{
	char	   *id;
	char	   *topic;
	char	   *callback_url;
} Listed;

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

/* ---- what is due ---- */

/* May this topic be made now, or only tomorrow? */
static bool
may_try(const ExactUpkeep *u, const ExactTopic *t)
{
	if (u->forced || t->tried_at == 0 || t->tried_at + CHECK_US <= GetCurrentTimestamp() || t->tried_at < u->consented_at)
		return true;
	if (same(t->cause, "environment"))
		return false;
	if (t->callback_url != NULL && u->callback_url != NULL && strcmp(t->callback_url, u->callback_url) != 0)
		return true;			/* another address than the one that failed */
	return same(t->cause, "callback") && u->reach != NULL && u->reach->state == EXACT_REACH_OK && u->reach->since > t->tried_at;
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
		else if (may_try(u, t))
			due = 0;
		else
			due = Min(due, t->tried_at + CHECK_US);
	}
	return Max(due, u->not_before);
}

/* ---- the rows ---- */

static void
set_row(ExactUpkeep *u, ExactTopic *t, const char *state, const char *cause, const char *reason, const char *next_step)
{
	MemoryContext old = MemoryContextSwitchTo(u->context);

	t->state = state;
	t->cause = cause;
	t->reason = reason ? pstrdup(reason) : NULL;
	t->next_step = next_step ? pstrdup(next_step) : NULL;
	MemoryContextSwitchTo(old);
}

static void
set_present(ExactUpkeep *u, ExactTopic *t, const char *id)
{
	set_row(u, t, "present", NULL, NULL, NULL);
	t->id = id ? MemoryContextStrdup(u->context, id) : NULL;
	t->callback_url = u->callback_url;
	t->tried_at = 0;
	t->checked_at = GetCurrentTimestamp();
	t->step = EXACT_STEP_NONE;
}

/* What all topics that are still to be made have in common. */
static void
set_rest(ExactUpkeep *u, const char *state, const char *cause, const char *reason, const char *next_step, bool tried)
{
	for (int i = 0; i < u->ntopics; i++)
	{
		ExactTopic *t = &u->topics[i];

		if (t->step != EXACT_STEP_POST && t->step != EXACT_STEP_REPLACE)
			continue;
		set_row(u, t, state, cause, reason, next_step);
		if (t->step == EXACT_STEP_POST)
			t->callback_url = u->callback_url;
		if (tried)
			t->tried_at = GetCurrentTimestamp();
		t->step = EXACT_STEP_NONE;
	}
}

/* An outcome on its way into the database */
typedef struct Outcome
{
	ExactUpkeep *u;
	ExactApiAnswer *answer;		/* NULL: no call */
	int			rows;
	ExactTopic *topic;			/* NULL: all */
	const char *event;			/* for the audit log, NULL: none */
} Outcome;

static void
outcome_unit(void *arg)
{
	Outcome    *o = arg;

	if (o->answer != NULL && o->answer->http != NULL)
		exact_api_record(o->answer, o->rows);
	for (int i = 0; i < o->u->ntopics; i++)
		if (o->topic == NULL || o->topic == &o->u->topics[i])
			exact_upkeep_save(o->u, &o->u->topics[i]);
	if (o->event != NULL)
		exact_upkeep_audit(o->u, o->topic, o->event);
}

/* False: the list is read again, which finds what was done. */
static bool
store(ExactUpkeep *u, ExactApiAnswer *answer, int rows, ExactTopic *topic, const char *event)
{
	Outcome		o = {u, answer, rows, topic, event};

	return exact_unit_run("store subscriptions", outcome_unit, &o, NULL);
}

static void
end_upkeep(ExactUpkeep *u, const char *problem, TimestampTz not_before)
{
	u->phase = EXACT_UPKEEP_IDLE;
	u->ended_at = GetCurrentTimestamp();
	u->not_before = not_before;
	u->forced = false;
	strlcpy(u->problem, problem ? problem : "", sizeof(u->problem));
	exact_upkeep_count(u);
	exact_log(LOG, "subscriptions division=%d topics=%d present=%d made=%d replaced=%d removed=%d foreign=%d refused=%d waiting=%d%s%s%s", u->division,
			  u->counts[EXACT_COUNT_TOPICS], u->counts[EXACT_COUNT_PRESENT], u->counts[EXACT_COUNT_MADE], u->counts[EXACT_COUNT_REPLACED],
			  u->counts[EXACT_COUNT_REMOVED], u->counts[EXACT_COUNT_FOREIGN], u->counts[EXACT_COUNT_REFUSED], u->counts[EXACT_COUNT_WAITING],
			  problem ? " problem=\"" : "", problem ? problem : "", problem ? "\"" : "");
	exact_subscription_want();
}

/* ---- answers ---- */

/* The right is missing, whatever the topic. */
static void
say_forbidden(ExactUpkeep *u, const ExactApiAnswer *answer, bool lists)
{
	if (answer->fault->sqlstate == ERRCODE_EXACT_MISSING_SCOPE)
		set_rest(u, "refused", "scope", psprintf("the app may not %s webhook subscriptions: it lacks the scope organization.administration (Manage)", lists ? "list" : "make"),
				 "add the scope organization.administration, level Manage, to the app in the App Center; then consent again: SELECT exact.authorize_url(app)", true);
	else
		set_rest(u, "refused", "right", psprintf("Exact Online does not let the consenting user %s webhook subscriptions%s%s", lists ? "list" : "make",
												 answer->said ? ": " : "", answer->said ? answer->said : ""),
				 "give the consenting user the right to administer the organization in Exact Online; then SELECT exact.subscribe()", true);
}

/* No answer, or none that says anything: true when that was dealt with. */
static bool
is_trouble(ExactUpkeep *u, ExactLane *lane, ExactApiAnswer *answer)
{
	TimestampTz now = GetCurrentTimestamp();
	const char *message = answer->fault ? answer->fault->message : "";

	switch (answer->trouble)
	{
		case EXACT_API_LIMIT:
			exact_run_trouble(lane, answer, 1);
			u->phase = EXACT_UPKEEP_LIST;	/* goes on when the limit resets, after another look */
			return true;
		case EXACT_API_UNAUTHORIZED:
		case EXACT_API_PARKED:
			exact_run_trouble(lane, answer, 1);
			end_upkeep(u, message, now + 10 * USECS_PER_MINUTE);
			return true;
		case EXACT_API_TRANSIENT:
			if (answer->http == NULL)
			{
				exact_run_trouble(lane, answer, 1);
				u->phase = EXACT_UPKEEP_LIST;
				return true;
			}
			if (u->phase == EXACT_UPKEEP_LIST || answer->http->outcome != EXACT_HTTP_ANSWERED || answer->http->status < 300)
			{
				/* what changes something may have been done: the list tells */
				u->phase = EXACT_UPKEEP_LIST;
				u->pass = 0;
				u->not_before = now + Min(BACKOFF_FIRST_US << Min(u->errors, 10), SERVICE_US);
				if (++u->errors >= 3)
					end_upkeep(u, message, u->not_before);
				return true;
			}
			return false;
		default:
			return false;
	}
}

static char *
location_id(const ExactHttpResponse *http)
{
	const char *location = exact_http_header(http, "Location");
	const char *from = location ? strstr(location, "guid'") : NULL;

	return from && strlen(from) > 41 && from[41] == '\'' ? pnstrdup(from + 5, 36) : NULL;
}

static void
on_post(ExactUpkeep *u, ExactTopic *t, ExactApiAnswer *answer)
{
	static const char *const id_field[] = {"ID"};
	static const char *const exists[] = {"bestaat", "already exist", "vorhanden", "existiert", "existe"};	/* nl en de fr es */
	const char *said = answer->said ? answer->said : "";
	bool		known = false;

	if (answer->trouble == EXACT_API_OK)
	{
		char	   *problem;
		ExactPage  *page = exact_odata_parse(answer->http->body, answer->http->body_len, id_field, 1, &problem);
		char	   *id = page && page->nrecords == 1 ? exact_odata_string(page->records[0].values[0]) : NULL;

		if (id == NULL)
			id = location_id(answer->http);
		set_present(u, t, id);
		t->made = true;
		u->failures = 0;
		if (id == NULL || !store(u, answer, 1, t, t->replaced ? "replaced" : "made"))
			u->phase = EXACT_UPKEEP_LIST;
		return;
	}
	for (size_t i = 0; i < lengthof(exists); i++)
		known = known || strcasestr(said, exists[i]) != NULL;
	t->tried_at = GetCurrentTimestamp();
	t->callback_url = u->callback_url;
	if (answer->http->status == 403)
		say_forbidden(u, answer, false);
	else if (strcasestr(said, "callback") != NULL || strstr(said, u->callback_url) != NULL)
	{
		bool		seen = u->reach->state == EXACT_REACH_UNSURE;

		set_rest(u, "wanted", "callback", psprintf("Exact Online cannot call %s: %s%s%s", u->callback_url, said, seen ? "; from here: " : "", seen ? u->reach->finding : ""),
				 seen && u->reach->next_step ? u->reach->next_step : "look whether POST /exact/hook reaches this hub from the internet; then SELECT exact.subscribe()", true);
	}
	else if (known)
	{
		t->callback_url = NULL;
		t->step = EXACT_STEP_NONE;
		set_row(u, t, "foreign", "exists", "another user of this customer has subscribed to it, where this user does not see it",
				"nothing, when notifications come; else let that user remove it, or consent as that user");
	}
	else if (answer->trouble == EXACT_API_TRANSIENT && (answer->said == NULL || answer->http->status != 500))
	{
		/* the service itself: nothing was said about the topic */
		set_rest(u, "wanted", "service", answer->fault->message, "the hub tries again by itself", false);
		store(u, answer, 0, NULL, NULL);
		end_upkeep(u, answer->fault->message, GetCurrentTimestamp() + SERVICE_US);
		return;
	}
	else
	{
		t->step = EXACT_STEP_NONE;
		set_row(u, t, "refused", "topic", psprintf("Exact Online refused the topic %s: %s", t->name, answer->said ? said : answer->fault->detail),
				"its entities are read by polling; the hub tries again daily");
		if (++u->failures >= MAX_REFUSED)
			set_rest(u, "wanted", "topic", psprintf("not tried after Exact Online refused others: %s", said), "the hub tries again daily; SELECT exact.subscribe() at once", true);
	}
	if (!store(u, answer, 0, NULL, NULL))
		u->phase = EXACT_UPKEEP_LIST;
	exact_log(LOG, "subscription division=%d topic=%s state=%s reason=\"%s\"", u->division, t->name, t->state, t->reason ? t->reason : "");
}

static void
on_delete(ExactUpkeep *u, ExactTopic *t, ExactApiAnswer *answer)
{
	bool		gone = answer->trouble == EXACT_API_OK || answer->http->status == 404 || answer->http->status == 410;
	bool		replaces = t->step == EXACT_STEP_REPLACE;

	if (gone)
	{
		t->id = NULL;
		t->step = replaces ? EXACT_STEP_POST : EXACT_STEP_NONE;
		t->replaced = replaces;
		t->removed = !replaces;
		if (replaces)
		{
			t->replaced_at = GetCurrentTimestamp();
			set_row(u, t, "wanted", NULL, NULL, NULL);
		}
	}
	else
	{
		t->step = EXACT_STEP_NONE;
		t->tried_at = GetCurrentTimestamp();
		set_row(u, t, "refused", answer->http->status == 403 ? "right" : "service",
				psprintf("Exact Online does not remove the subscription: %s", answer->said ? answer->said : answer->fault->message),
				"remove it as the user who made it; the hub tries again daily");
	}
	if (!store(u, answer, 0, t, gone ? "removed" : NULL))
		u->phase = EXACT_UPKEEP_LIST;
}

static void
on_step(ExactApiAnswer *answer, void *arg)
{
	ExactUpkeep *u = arg;
	ExactLane  *lane = exact_plan_lane(u->division);
	ExactTopic *t = NULL;

	exact_run_release(lane);
	u->busy = false;
	u->yield = true;
	for (int i = 0; i < u->ntopics && t == NULL; i++)
		if (u->topics[i].step != EXACT_STEP_NONE)
			t = &u->topics[i];
	Assert(t != NULL);
	if (is_trouble(u, lane, answer))
		return;
	u->errors = 0;
	if (t->step == EXACT_STEP_POST)
		on_post(u, t, answer);
	else
		on_delete(u, t, answer);
}

/* What the list means for one topic. */
static void
compare_topic(ExactUpkeep *u, ExactTopic *t)
{
	const Listed *ours = NULL;
	const Listed *other = NULL;
	TimestampTz now = GetCurrentTimestamp();

	for (int i = 0; i < u->nlisted; i++)
	{
		const Listed *l = &u->listed[i];

		if (strcmp(l->topic, t->name) != 0)
			continue;
		if (u->callback_url != NULL ? same(l->callback_url, u->callback_url) : same(l->id, t->id))
			ours = l;
		else
			other = l;
	}
	t->step = EXACT_STEP_NONE;
	t->checked_at = now;
	if (!t->wanted)
	{
		const Listed *mine = ours ? ours : other && same(other->id, t->id) ? other : NULL;

		t->id = mine ? mine->id : NULL;
		if (mine != NULL && (u->forced || t->tried_at == 0 || t->tried_at + CHECK_US <= now))
			t->step = EXACT_STEP_DELETE;
	}
	else if (u->cause != NULL)
		set_row(u, t, "wanted", u->cause, u->reason, u->next_step);
	else if (ours != NULL)
		set_present(u, t, ours->id);
	else if (u->reach->state == EXACT_REACH_BROKEN)
	{
		t->id = other ? other->id : NULL;
		t->callback_url = other ? other->callback_url : NULL;
		set_row(u, t, "wanted", "unreachable", psprintf("%s %s", u->callback_url, u->reach->finding), u->reach->next_step);
	}
	else if (other != NULL && !u->forced && (same(t->cause, "environment") || (t->replaced_at != 0 && t->replaced_at + REPLACE_US > now)))
	{
		t->id = other->id;
		t->callback_url = other->callback_url;
		t->tried_at = now;
		set_row(u, t, "foreign", "environment", "another environment uses the same app and division and takes the notifications each time",
				"give each environment an app of its own, or the division to one of them; SELECT exact.subscribe() takes them here once more");
	}
	else if (other != NULL)
	{
		t->id = other->id;
		t->callback_url = other->callback_url;
		t->step = EXACT_STEP_REPLACE;
	}
	else if (may_try(u, t))
	{
		t->id = NULL;
		t->step = EXACT_STEP_POST;
		if (strcmp(t->state, "present") == 0)
			set_row(u, t, "wanted", NULL, NULL, NULL);
	}
	else
		t->id = NULL;
}

/* What leads here and no row knows, because nobody wants it any more. */
static void
add_forgotten(ExactUpkeep *u)
{
	for (int i = 0; i < u->nlisted && u->cause == NULL; i++)
	{
		const Listed *l = &u->listed[i];
		ExactTopic *t = NULL;

		for (int k = 0; k < u->ntopics && t == NULL; k++)
			if (strcmp(u->topics[k].name, l->topic) == 0)
				t = &u->topics[k];
		if (t != NULL || !same(l->callback_url, u->callback_url))
			continue;
		u->topics = repalloc(u->topics, (u->ntopics + 1) * sizeof(ExactTopic));
		t = &u->topics[u->ntopics++];
		memset(t, 0, sizeof(*t));
		t->name = l->topic;
		t->id = l->id;
		t->callback_url = l->callback_url;
		t->state = "present";
		t->step = EXACT_STEP_DELETE;
	}
}

static bool
take_page(ExactUpkeep *u, ExactApiAnswer *answer, ExactPage **out, char **problem)
{
	static const char *const fields[] = {"ID", "Topic", "CallbackURL", "Division"};
	ExactPage  *page = exact_odata_parse(answer->http->body, answer->http->body_len, fields, lengthof(fields), problem);
	char	   *prefix = psprintf("%s/api/v1/%d/", answer->request->base_url, u->division);
	MemoryContext old;

	if (page == NULL)
		return false;
	if (!page->is_list || (page->next && (pg_strncasecmp(page->next, prefix, strlen(prefix)) != 0 || same(page->next, u->list_url))))
	{
		*problem = pstrdup("the list of subscriptions is not a page of this division");
		return false;
	}
	old = MemoryContextSwitchTo(u->context);
	u->listed = u->listed ? repalloc(u->listed, (u->nlisted + page->nrecords + 1) * sizeof(Listed)) : palloc((page->nrecords + 1) * sizeof(Listed));
	for (int i = 0; i < page->nrecords; i++)
	{
		const ExactRecord *record = &page->records[i];
		Listed	   *l = &u->listed[u->nlisted];
		int64		division = exact_odata_division(record, record->values[3], u->division);

		if (division >= 0 && division != u->division)
		{
			*problem = psprintf("the list of subscriptions holds one of division " INT64_FORMAT, division);
			MemoryContextSwitchTo(old);
			return false;
		}
		l->id = exact_odata_string(record->values[0]);
		l->topic = exact_odata_string(record->values[1]);
		l->callback_url = exact_odata_string(record->values[2]);
		if (l->id != NULL && strlen(l->id) == 36 && strspn(l->id, "0123456789abcdefABCDEF-") == 36 && l->topic != NULL)
			u->nlisted++;
	}
	MemoryContextSwitchTo(old);
	*out = page;
	return true;
}

static void
set_link(ExactUpkeep *u, const char *link)
{
	free(u->list_url);
	u->list_url = link ? strdup(link) : NULL;
}

static void
on_list(ExactApiAnswer *answer, void *arg)
{
	ExactUpkeep *u = arg;
	ExactLane  *lane = exact_plan_lane(u->division);
	ExactPage  *page = NULL;
	char	   *problem = NULL;

	exact_run_release(lane);
	u->busy = false;
	u->yield = true;
	if (is_trouble(u, lane, answer))
		return;
	if (answer->trouble != EXACT_API_OK)
	{
		/* nothing can be seen or made */
		for (int i = 0; i < u->ntopics; i++)
			u->topics[i].step = u->topics[i].wanted && strcmp(u->topics[i].state, "present") != 0 ? EXACT_STEP_POST : EXACT_STEP_NONE;
		if (answer->http->status == 403)
			say_forbidden(u, answer, true);
		else
			set_rest(u, "refused", "service", answer->fault->message, "its entities are read by polling; the hub tries again daily", true);
		store(u, answer, 0, NULL, NULL);
		end_upkeep(u, answer->fault->message, GetCurrentTimestamp() + CHECK_US);
		return;
	}
	if (!take_page(u, answer, &page, &problem))
	{
		exact_log(LOG, "alarm division=%d subscriptions=\"%s\"", u->division, problem);
		end_upkeep(u, problem, GetCurrentTimestamp() + SERVICE_US);
		return;
	}
	u->errors = 0;
	if (page->next != NULL)
	{
		set_link(u, page->next);
		return;
	}
	set_link(u, NULL);
	for (int i = 0; i < u->ntopics; i++)
		compare_topic(u, &u->topics[i]);
	add_forgotten(u);
	u->phase = EXACT_UPKEEP_STEPS;
	if (!store(u, answer, u->nlisted, NULL, NULL))
		end_upkeep(u, "the subscriptions found could not be stored", GetCurrentTimestamp() + BACKOFF_FIRST_US);
}

/* ---- calls ---- */

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
			request.url = psprintf("%s/api/v1/%d/" RESOURCE "(guid'%s')", lane->base_url, u->division, t->id);
			request.label = psprintf(RESOURCE "(guid'%s')?topic=%s", t->id, t->name);
		}
	}
	exact_run_hold(lane);
	u->busy = true;
	exact_api_send(&request, u->phase == EXACT_UPKEEP_LIST ? on_list : on_step, u);
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

/* Only rows have to be written: nothing is sent. */
static void
say_blocked(ExactUpkeep *u)
{
	bool		stored = true;

	for (int i = 0; i < u->ntopics; i++)
	{
		ExactTopic *t = &u->topics[i];

		if (t->wanted && (strcmp(t->state, "wanted") != 0 || !same(t->reason, u->reason)))
		{
			set_row(u, t, "wanted", u->cause, u->reason, u->next_step);
			stored = store(u, NULL, 0, t, NULL) && stored;
		}
	}
	end_upkeep(u, u->reason, stored ? 0 : GetCurrentTimestamp() + BACKOFF_FIRST_US);
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
	u->forced = u->requested_at > u->begun_at;
	u->consent_used = u->consented_at;
	u->begun_at = GetCurrentTimestamp();
	u->ended_at = 0;
	u->pass = u->failures = 0;
	u->not_before = 0;
	u->nlisted = 0;
	u->listed = NULL;
	set_link(u, NULL);
	u->phase = EXACT_UPKEEP_LIST;
	if (u->reach != NULL && u->forced)
		exact_reach_again(u->reach);
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
		at = due_at(u);
		if (at > now)
			return at;
		if (why != NULL && u->requested_at <= u->begun_at)
			return PG_INT64_MAX;
		begin_upkeep(u);
		if (why == NULL && u->cause != NULL && nothing_to_remove(u))
		{
			say_blocked(u);
			return PG_INT64_MAX;
		}
	}
	if (why != NULL)
	{
		end_upkeep(u, why, 0);
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
			end_upkeep(u, NULL, 0);
			return now;
		}
	}
	else if (u->pass >= MAX_PASSES && u->list_url == NULL)
	{
		end_upkeep(u, "the list of subscriptions does not show what was made", now + SERVICE_US);
		return PG_INT64_MAX;
	}
	if (lane->busy)
		return PG_INT64_MAX;
	at = Max(lane->not_before, u->not_before);
	at = Max(at, exact_budget_allowed_at(u->division, RESOURCE, &why));
	if (at > now)
	{
		if (at > now + 2 * USECS_PER_MINUTE && u->requested_at != 0)
			end_upkeep(u, why ? why : "no call to the division now", at);
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
	bool		verdict;
	long		reach_wait;

	exact_upkeep_settle();
	if (read_due && read_not_before <= now)
	{
		read_due = !exact_upkeep_read();
		read_not_before = now + READ_PAUSE_US;
	}
	if (read_due)
		next = read_not_before;
	reach_wait = exact_reach_turn(&verdict);
	n = exact_upkeep_all(&upkeeps);
	for (int i = 0; i < n; i++)
	{
		TimestampTz at;

		if (upkeeps[i]->stale && upkeeps[i]->phase == EXACT_UPKEEP_IDLE)
		{
			upkeeps[i]->stale = false;
			exact_subscription_want();
		}
		at = step(upkeeps[i]);
		next = Min(next, at);
	}
	exact_upkeep_settle();
	if (read_due)
		next = Min(next, read_not_before);
	if (next == PG_INT64_MAX)
		return reach_wait;
	now = GetCurrentTimestamp();
	next = next <= now ? 0 : Min((next - now) / 1000 + 1, 3600000);
	return reach_wait < 0 ? (long) next : Min(reach_wait, (long) next);
}
