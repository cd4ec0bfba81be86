/*
 * subscription_answer.c - what the answers of Exact Online mean for the wanted topics of a division.
 *
 * The list decides what exists. Each answer is stored with its call in one transaction; when that fails the list is read again.
 * A message of Exact Online is in the language of the user who consented: it only chooses words, and whether the next topic is tried.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "base/errors.h"
#include "base/fault.h"
#include "base/sql.h"
#include "exact_online/link.h"
#include "exact_online/odata_value.h"
#include "fetch/plan.h"
#include "fetch/run.h"
#include "fetch/trouble.h"
#include "http/http_answer.h"
#include "subscription/subscription.h"
#include "worker/self.h"
#include "worker/unit.h"

#define CHECK_US EXACT_CHECK_US
#define REPLACE_US (2 * CHECK_US)	/* two checks: who changes it back within them is another environment */
#define SERVICE_US USECS_PER_HOUR
#define BACKOFF_FIRST_US (5 * USECS_PER_SEC)
#define MAX_REFUSED 2			/* posts refused in a row before the rest waits */

typedef ExactListed Listed;

static bool
same(const char *a, const char *b)
{
	return a != NULL && b != NULL && strcmp(a, b) == 0;
}

/* May this topic be made now, or only tomorrow? */
bool
exact_upkeep_may_try(const ExactUpkeep *u, const ExactTopic *t)
{
	if (u->forced || t->tried_at == 0 || t->tried_at + CHECK_US <= GetCurrentTimestamp() || t->tried_at < u->consented_at)
		return true;
	if (same(t->cause, "environment"))
		return false;
	if (t->callback_url != NULL && u->callback_url != NULL && strcmp(t->callback_url, u->callback_url) != 0)
		return true;			/* another address than the one that failed */
	return (same(t->cause, "callback") || same(t->cause, "unreachable")) && u->reach != NULL && u->reach->state == EXACT_REACH_OK && u->reach->since > t->tried_at;
}

/* ---- rows ---- */

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
		if (tried)
		{
			t->callback_url = u->callback_url;
			t->tried_at = GetCurrentTimestamp();
		}
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

void
exact_upkeep_end(ExactUpkeep *u, const char *problem, TimestampTz not_before)
{
	u->phase = EXACT_UPKEEP_IDLE;
	u->stale = true;
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
		set_rest(u, "refused", "scope", psprintf("app %s lacks the scope organization.administration", u->app),
				 psprintf("give it that scope, level Manage, in the App Center; consent again: SELECT exact.authorize_url('%s')", u->app), true);
	else
		set_rest(u, "refused", "right", psprintf("the user who consented may not %s subscriptions%s%s", lists ? "list" : "make",
												 answer->said ? ": " : "", answer->said ? answer->said : ""),
				 "give that user the right to administer the organization in Exact Online; SELECT exact.subscribe()", true);
}

/* Nothing is known: the list is read again, later each time; from the third time on the upkeep has failed meanwhile. */
static void
look_again(ExactUpkeep *u, const char *message)
{
	u->phase = EXACT_UPKEEP_LIST;
	u->pass = 0;
	exact_upkeep_set_link(u, NULL);
	u->not_before = GetCurrentTimestamp() + Min(BACKOFF_FIRST_US << Min(u->errors, 10), SERVICE_US);
	if (++u->errors >= 3)
		exact_upkeep_end(u, message, u->not_before);
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
			exact_trouble_answer(lane, answer, 1);
			u->phase = EXACT_UPKEEP_LIST;	/* goes on when the limit resets, after another look */
			u->pass = 0;
			return true;
		case EXACT_API_UNAUTHORIZED:
		case EXACT_API_PARKED:
			exact_trouble_answer(lane, answer, 1);
			exact_upkeep_end(u, message, now + 10 * USECS_PER_MINUTE);
			return true;
		case EXACT_API_TRANSIENT:
			if (answer->http == NULL)
			{
				exact_trouble_answer(lane, answer, 1);
				u->phase = EXACT_UPKEEP_LIST;
				return true;
			}
			if (u->phase == EXACT_UPKEEP_LIST || answer->http->outcome != EXACT_HTTP_ANSWERED || answer->http->status < 300)
			{
				look_again(u, message); /* what changes something may have been done */
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
				 seen && u->reach->next_step ? u->reach->next_step : "let POST /exact/hook come through from the internet; SELECT exact.subscribe()", true);
	}
	else if (known)
	{
		t->callback_url = NULL;
		t->step = EXACT_STEP_NONE;
		set_row(u, t, "foreign", "exists", "another user of this customer holds it, out of this user's sight",
				"nothing while notifications come; else let that user remove it, or consent");
	}
	else if (answer->trouble == EXACT_API_TRANSIENT && (answer->said == NULL || answer->http->status != 500))
	{
		/* the service itself: nothing was said about the topic */
		set_rest(u, "wanted", "service", answer->fault->message, "tried again by itself", false);
		store(u, answer, 0, NULL, NULL);
		exact_upkeep_end(u, answer->fault->message, GetCurrentTimestamp() + SERVICE_US);
		return;
	}
	else
	{
		t->step = EXACT_STEP_NONE;
		set_row(u, t, "refused", "topic", psprintf("Exact Online refused %s: %s", t->name, answer->said ? said : answer->fault->detail),
				"read by polling meanwhile; tried again daily");
		if (++u->failures >= MAX_REFUSED)
			set_rest(u, "wanted", "topic", psprintf("not tried after Exact Online refused others: %s", said), "tried again daily; SELECT exact.subscribe() does it at once", true);
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
		if (same(t->id, t->target))
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
		t->callback_url = u->callback_url;
		set_row(u, t, "refused", answer->http->status == 403 ? "right" : "service",
				psprintf("Exact Online does not remove it: %s", answer->said ? answer->said : answer->fault->message),
				"let the user who made it remove it; tried again daily");
	}
	if (!store(u, answer, 0, t, gone ? "removed" : NULL))
		u->phase = EXACT_UPKEEP_LIST;
}

void
exact_upkeep_on_step(ExactApiAnswer *answer, void *arg)
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
		t->target = t->id;
		if (mine != NULL && (u->forced || t->tried_at == 0 || t->tried_at + CHECK_US <= now))
			t->step = EXACT_STEP_DELETE;
		return;
	}
	if (u->cause != NULL)
	{
		set_row(u, t, "wanted", u->cause, u->reason, u->next_step);
		return;
	}
	if (ours != NULL)
	{
		set_present(u, t, ours->id);
		return;
	}
	if (other == NULL || !same(other->id, t->id))
		t->id = NULL;
	if (u->reach->state == EXACT_REACH_BROKEN)
	{
		t->callback_url = other ? other->callback_url : NULL;
		set_row(u, t, "wanted", "unreachable", psprintf("%s %s", u->callback_url, u->reach->finding), u->reach->next_step);
	}
	else if (other != NULL && !u->forced && (same(t->cause, "environment") ||
											 (t->replaced_at != 0 && t->replaced_at + REPLACE_US > now && !same(other->callback_url, t->callback_url))))
	{
		t->callback_url = other->callback_url;
		t->tried_at = now;
		set_row(u, t, "foreign", "environment", "another environment with this app takes the notifications back each time",
				"give each environment its own app; SELECT exact.subscribe() takes them here once");
	}
	else if (exact_upkeep_may_try(u, t))
	{
		t->step = other ? EXACT_STEP_REPLACE : EXACT_STEP_POST;
		t->target = other ? other->id : NULL;
		if (other != NULL)
			t->callback_url = other->callback_url;
		else if (strcmp(t->state, "present") == 0)
			set_row(u, t, "wanted", NULL, NULL, NULL);
	}
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
		t->target = l->id;
		t->callback_url = l->callback_url;
		t->state = "present";
		t->step = EXACT_STEP_DELETE;
	}
}

static bool
take_page(ExactUpkeep *u, ExactLane *lane, ExactApiAnswer *answer, ExactPage **out, char **problem)
{
	static const char *const fields[] = {"ID", "Topic", "CallbackURL", "Division"};
	ExactPage  *page = exact_odata_parse(answer->http->body, answer->http->body_len, fields, lengthof(fields), problem);
	MemoryContext old;

	if (page == NULL)
		return false;
	if (!page->is_list ||
		exact_link_check(page->next, answer->request->base_url, u->division, u->list_url, NULL) != EXACT_LINK_GOOD)
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
			ExactFault	fault = {.sqlstate = ERRCODE_EXACT_DIVISION_GUARD,.detail = pstrdup("GET webhooks/WebhookSubscriptions. Nothing of it was kept.")};

			MemoryContextSwitchTo(old);
			*problem = fault.message = psprintf("division %d is frozen: the list of its subscriptions holds one of division " INT64_FORMAT, u->division, division);
			fault.hint = psprintf("Check the administration in Exact Online; then SELECT exact.resume(%d).", u->division);
			exact_trouble_freeze(lane, &fault);
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

void
exact_upkeep_set_link(ExactUpkeep *u, const char *link)
{
	free(u->list_url);
	u->list_url = link ? strdup(link) : NULL;
}

void
exact_upkeep_on_list(ExactApiAnswer *answer, void *arg)
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
			set_rest(u, "refused", "service", answer->fault->message, "read by polling meanwhile; tried again daily", true);
		store(u, answer, 0, NULL, NULL);
		exact_upkeep_end(u, answer->fault->message, GetCurrentTimestamp() + CHECK_US);
		return;
	}
	if (!take_page(u, lane, answer, &page, &problem))
	{
		exact_log(LOG, "alarm division=%d subscriptions=\"%s\"", u->division, problem);
		if (strcmp(lane->state, "frozen") == 0)
			exact_upkeep_end(u, problem, 0);
		else
			look_again(u, problem);
		return;
	}
	u->errors = 0;
	if (page->next != NULL)
	{
		exact_upkeep_set_link(u, page->next);
		return;
	}
	exact_upkeep_set_link(u, NULL);
	for (int i = 0; i < u->ntopics; i++)
		compare_topic(u, &u->topics[i]);
	add_forgotten(u);
	u->phase = EXACT_UPKEEP_STEPS;
	if (!store(u, answer, u->nlisted, NULL, NULL))
		exact_upkeep_end(u, "the subscriptions found could not be stored", GetCurrentTimestamp() + BACKOFF_FIRST_US);
}

/* Only rows have to be written: nothing is sent. */
void
exact_upkeep_say_blocked(ExactUpkeep *u)
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
	exact_upkeep_end(u, u->reason, stored ? 0 : GetCurrentTimestamp() + BACKOFF_FIRST_US);
}
