/*
 * subscription_answer.c - what the answers of Exact Online mean for the wanted topics of a
 * division.
 *
 * The list decides what exists. Each answer is stored with its call in one transaction; when that
 * fails the list is read again. A message of Exact Online is in the language of the user who
 * consented: it only chooses words, and whether the next topic is tried.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "base/backoff.h"
#include "base/errors.h"
#include "base/fault.h"
#include "exact_online/exact_api.h"
#include "exact_online/link.h"
#include "exact_online/odata.h"
#include "exact_online/odata_value.h"
#include "fetch/lane.h"
#include "fetch/trouble.h"
#include "http/http_answer.h"
#include "http/http_client.h"
#include "subscription/reach.h"
#include "subscription/subscription_answer.h"
#include "subscription/subscription_store.h"
#include "subscription/upkeep.h"
#include "worker/self.h"
#include "worker/unit.h"

#define CHECK_US EXACT_UPKEEP_CHECK_US
/* two checks: who changes it back within them is another environment */
#define REPLACE_US (2 * CHECK_US)
#define SERVICE_US USECS_PER_HOUR
#define STORE_AGAIN_US (5 * USECS_PER_SEC)
#define BACKOFF_FIRST_MS 5000
#define BACKOFF_MAX_MS 3600000
#define MAX_ERRORS 3			/* calls without an answer in a row before the upkeep has failed */
#define NO_CONSENT_US (10 * USECS_PER_MINUTE)
#define MAX_REFUSED 2			/* posts refused in a row before the rest waits */
#define GUID_LEN 36

static bool
same(const char *a, const char *b)
{
	return a != NULL && b != NULL && strcmp(a, b) == 0;
}

bool
exact_subscription_answer_may_try(const ExactUpkeep *u, const ExactTopic *t)
{
	if (u->forced || t->tried_at == 0 || t->tried_at + CHECK_US <= GetCurrentTimestamp() ||
		t->tried_at < u->consented_at)
		return true;
	if (same(t->cause, "environment"))
		return false;
	if (t->callback_url != NULL && u->callback_url != NULL &&
		strcmp(t->callback_url, u->callback_url) != 0)
		return true;			/* another address than the one that failed */
	return (same(t->cause, "callback") || same(t->cause, "unreachable")) && u->reach != NULL &&
		u->reach->state == EXACT_REACH_OK && u->reach->since > t->tried_at;
}

ExactTopic *
exact_subscription_answer_next(const ExactUpkeep *u)
{
	for (int i = 0; i < u->ntopics; i++)
		if (u->topics[i].step != EXACT_STEP_NONE)
			return &u->topics[i];
	return NULL;
}

/* ---- rows ---- */

static void
set_row(ExactUpkeep *u, ExactTopic *t, const char *state, const char *cause, const char *reason,
		const char *next_step)
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
set_rest(ExactUpkeep *u, const char *state, const char *cause, const char *reason,
		 const char *next_step, bool tried)
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
			exact_subscription_store_save(o->u, &o->u->topics[i]);
	if (o->event != NULL)
		exact_subscription_store_audit(o->u, o->topic, o->event);
}

/* False: the list is read again, which finds what was done. */
static bool
store(ExactUpkeep *u, ExactApiAnswer *answer, int rows, ExactTopic *topic,
	  const char *event)
{
	Outcome		o = {u, answer, rows, topic, event};

	return exact_unit_run("store subscriptions", outcome_unit, &o, NULL);
}

void
exact_subscription_answer_end(ExactUpkeep *u, const char *problem, TimestampTz not_before)
{
	const int  *counts = u->counts;

	u->phase = EXACT_UPKEEP_IDLE;
	u->stale = true;
	u->ended_at = GetCurrentTimestamp();
	u->not_before = not_before;
	u->forced = false;
	strlcpy(u->problem, problem ? problem : "", sizeof(u->problem));
	exact_subscription_store_count(u);
	exact_log(LOG, "subscriptions division=%d topics=%d present=%d made=%d replaced=%d removed=%d "
			  "foreign=%d refused=%d waiting=%d%s%s%s",
			  u->division, counts[EXACT_COUNT_TOPICS], counts[EXACT_COUNT_PRESENT],
			  counts[EXACT_COUNT_MADE], counts[EXACT_COUNT_REPLACED], counts[EXACT_COUNT_REMOVED],
			  counts[EXACT_COUNT_FOREIGN], counts[EXACT_COUNT_REFUSED], counts[EXACT_COUNT_WAITING],
			  problem ? " problem=\"" : "", problem ? problem : "", problem ? "\"" : "");
	exact_subscription_store_want();
}

/* ---- answers ---- */

/* The right is missing, whatever the topic. */
static void
say_forbidden(ExactUpkeep *u, const ExactApiAnswer *answer, bool lists)
{
	if (answer->fault->sqlstate == ERRCODE_EXACT_MISSING_SCOPE)
		set_rest(u, "refused", "scope",
				 psprintf("app %s lacks the scope organization.administration", u->app),
				 psprintf("give it that scope, level Manage, in the App Center; consent again: "
						  "SELECT exact.authorize_url('%s')", u->app), true);
	else
		set_rest(u, "refused", "right",
				 psprintf("the user who consented may not %s subscriptions%s%s",
						  lists ? "list" : "make",
						  answer->said ? ": " : "", answer->said ? answer->said : ""),
				 "give that user the right to administer the organization in Exact Online; "
				 "SELECT exact.subscribe()", true);
}

/* The list is read again from its first page. */
static void
read_list_again(ExactUpkeep *u)
{
	u->phase = EXACT_UPKEEP_LIST;
	u->pass = 0;
}

/*
 * Nothing is known: likewise, later each time; from the third time on the upkeep has failed
 * meanwhile.
 */
static void
look_again(ExactUpkeep *u, const char *message)
{
	read_list_again(u);
	exact_lane_set_text(&u->list_url, NULL);
	u->errors++;
	u->not_before = GetCurrentTimestamp() +
		exact_backoff_ms(u->errors, BACKOFF_FIRST_MS, BACKOFF_MAX_MS) * 1000;
	if (u->errors >= MAX_ERRORS)
		exact_subscription_answer_end(u, message, u->not_before);
}

/* No answer, or none that says anything: true when that was dealt with. */
static bool
is_trouble(ExactUpkeep *u, ExactLane *lane, ExactApiAnswer *answer)
{
	const char *message = answer->fault ? answer->fault->message : "";

	switch (answer->trouble)
	{
		case EXACT_API_LIMIT:
			/* goes on when the limit resets, after another look */
			exact_trouble_answer(lane, answer, 1);
			read_list_again(u);
			return true;
		case EXACT_API_UNAUTHORIZED:
		case EXACT_API_PARKED:
			exact_trouble_answer(lane, answer, 1);
			exact_subscription_answer_end(u, message, GetCurrentTimestamp() + NO_CONSENT_US);
			return true;
		case EXACT_API_TRANSIENT:
			if (answer->http == NULL)
			{
				exact_trouble_answer(lane, answer, 1);
				u->phase = EXACT_UPKEEP_LIST;
				return true;
			}
			if (u->phase == EXACT_UPKEEP_LIST || answer->http->outcome != EXACT_HTTP_ANSWERED ||
				answer->http->status < 300)
			{
				look_again(u, message); /* what changes something may have been done */
				return true;
			}
			return false;
		default:
			return false;
	}
}

/* The id in Location: .../WebhookSubscriptions(guid'...'); NULL: there is none. */
static char *
location_id(const ExactHttpResponse *http)
{
	static const char before[] = "guid'";
	const char *location = exact_http_header(http, "Location");
	const char *id = location ? strstr(location, before) : NULL;

	if (id == NULL)
		return NULL;
	id += strlen(before);
	return strlen(id) > GUID_LEN && id[GUID_LEN] == '\'' ? pnstrdup(id, GUID_LEN) : NULL;
}

/* A subscription was made. */
static void
take_made(ExactUpkeep *u, ExactTopic *t, ExactApiAnswer *answer)
{
	static const char *const id_field[] = {"ID"};
	char	   *problem;
	ExactPage  *page = exact_odata_parse(answer->http->body, answer->http->body_len, id_field, 1,
										 &problem);
	char	   *id = NULL;

	if (page != NULL && page->nrecords == 1)
		id = exact_odata_string(page->records[0].values[0]);
	if (id == NULL)
		id = location_id(answer->http);
	set_present(u, t, id);
	t->made = true;
	u->failures = 0;
	if (id == NULL || !store(u, answer, 1, t, t->replaced ? "replaced" : "made"))
		u->phase = EXACT_UPKEEP_LIST;
}

/* Does the message say that the subscription is there already? */
static bool
says_exists(const char *said)
{
	static const char *const words[] = {"bestaat", "already exist", "vorhanden", "existiert",
	"existe"};					/* nl en de fr es */

	for (size_t i = 0; i < lengthof(words); i++)
		if (strcasestr(said, words[i]) != NULL)
			return true;
	return false;
}

/* Exact Online tried to call the callback and could not: so it would be with every topic. */
static void
say_unreachable(ExactUpkeep *u, const char *said)
{
	const ExactReach *reach = u->reach;
	bool		unsure = reach->state == EXACT_REACH_UNSURE;
	const char *step = "let POST /exact/hook come through from the internet; "
	"SELECT exact.subscribe()";

	set_rest(u, "wanted", "callback",
			 psprintf("Exact Online cannot call %s: %s%s%s", u->callback_url, said,
					  unsure ? "; from here: " : "", unsure ? reach->finding : ""),
			 unsure && reach->next_step ? reach->next_step : step, true);
}

/* The topic is refused; after several in a row the rest waits until tomorrow. */
static void
say_refused(ExactUpkeep *u, ExactTopic *t, const ExactApiAnswer *answer)
{
	const char *said = answer->said ? answer->said : "";

	t->step = EXACT_STEP_NONE;
	set_row(u, t, "refused", "topic",
			psprintf("Exact Online refused %s: %s", t->name,
					 answer->said ? said : answer->fault->detail),
			"nothing: the hub reads by its timers and tries again daily");
	if (++u->failures >= MAX_REFUSED)
		set_rest(u, "wanted", "topic",
				 psprintf("not tried after Exact Online refused others: %s", said),
				 "the hub tries again daily; SELECT exact.subscribe() tries at once", true);
}

/* The answer to a POST: made, or why not. */
static void
on_post(ExactUpkeep *u, ExactTopic *t, ExactApiAnswer *answer)
{
	const char *said = answer->said ? answer->said : "";

	if (answer->trouble == EXACT_API_OK)
	{
		take_made(u, t, answer);
		return;
	}
	t->tried_at = GetCurrentTimestamp();
	t->callback_url = u->callback_url;
	if (answer->http->status == 403)
		say_forbidden(u, answer, false);
	else if (strcasestr(said, "callback") != NULL || strstr(said, u->callback_url) != NULL)
		say_unreachable(u, said);
	else if (says_exists(said))
	{
		t->callback_url = NULL;
		t->step = EXACT_STEP_NONE;
		set_row(u, t, "foreign", "exists",
				"another user of this customer has it; the user who consented cannot see it",
				"nothing while notifications come; otherwise let that user remove it, or consent");
	}
	else if (answer->trouble == EXACT_API_TRANSIENT &&
			 (answer->said == NULL || answer->http->status != 500))
	{
		/* the service itself: nothing was said about the topic */
		set_rest(u, "wanted", "service", answer->fault->message, "the hub tries again", false);
		store(u, answer, 0, NULL, NULL);
		exact_subscription_answer_end(u, answer->fault->message,
									  GetCurrentTimestamp() + SERVICE_US);
		return;
	}
	else
		say_refused(u, t, answer);
	if (!store(u, answer, 0, NULL, NULL))
		u->phase = EXACT_UPKEEP_LIST;
	exact_log(LOG, "subscription division=%d topic=%s state=%s reason=\"%s\"",
			  u->division, t->name, t->state, t->reason ? t->reason : "");
}

/* The answer to a DELETE: gone, also when it was gone before, or still there. */
static void
on_delete(ExactUpkeep *u, ExactTopic *t, ExactApiAnswer *answer)
{
	bool		gone = answer->trouble == EXACT_API_OK || answer->http->status == 404 ||
		answer->http->status == 410;
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
		const char *said = answer->said ? answer->said : answer->fault->message;

		t->step = EXACT_STEP_NONE;
		t->tried_at = GetCurrentTimestamp();
		t->callback_url = u->callback_url;
		set_row(u, t, "refused", answer->http->status == 403 ? "right" : "service",
				psprintf("Exact Online does not remove it: %s", said),
				"let the user who made it remove it; the hub tries again daily");
	}
	if (!store(u, answer, 0, t, gone ? "removed" : NULL))
		u->phase = EXACT_UPKEEP_LIST;
}

void
exact_subscription_answer_step(ExactApiAnswer *answer, void *arg)
{
	ExactUpkeep *u = arg;
	ExactLane  *lane = exact_lane_find(u->division);
	ExactTopic *t = exact_subscription_answer_next(u);

	exact_lane_release(lane);
	u->busy = false;
	u->yield = true;
	Assert(t != NULL);
	if (is_trouble(u, lane, answer))
		return;
	u->errors = 0;
	if (t->step == EXACT_STEP_POST)
		on_post(u, t, answer);
	else
		on_delete(u, t, answer);
}

/* What the list has of a topic: *ours leads here (or is known as ours), *other leads elsewhere. */
static void
find_listed(const ExactUpkeep *u, const ExactTopic *t, const ExactListed **ours,
			const ExactListed **other)
{
	*ours = NULL;
	*other = NULL;
	for (int i = 0; i < u->nlisted; i++)
	{
		const ExactListed *l = &u->listed[i];
		bool		here;

		if (strcmp(l->topic, t->name) != 0)
			continue;
		if (u->callback_url != NULL)
			here = same(l->callback_url, u->callback_url);
		else
			here = same(l->id, t->id);
		if (here)
			*ours = l;
		else
			*other = l;
	}
}

/* Nobody wants it any more: deleted if it is ours. */
static void
compare_unwanted(ExactUpkeep *u, ExactTopic *t, const ExactListed *ours, const ExactListed *other)
{
	const ExactListed *mine = ours;

	if (mine == NULL && other != NULL && same(other->id, t->id))
		mine = other;
	t->id = mine ? mine->id : NULL;
	t->target = t->id;
	if (mine != NULL &&
		(u->forced || t->tried_at == 0 || t->tried_at + CHECK_US <= GetCurrentTimestamp()))
		t->step = EXACT_STEP_DELETE;
}

/*
 * Does another environment with this app take the notifications back each time? It does when what
 * the hub replaced less than two checks ago leads elsewhere again.
 */
static bool
is_contested(const ExactUpkeep *u, const ExactTopic *t, const ExactListed *other)
{
	if (other == NULL || u->forced)
		return false;
	return same(t->cause, "environment") ||
		(t->replaced_at != 0 && t->replaced_at + REPLACE_US > GetCurrentTimestamp() &&
		 !same(other->callback_url, t->callback_url));
}

/* What the list means for one topic. */
static void
compare_topic(ExactUpkeep *u, ExactTopic *t)
{
	const ExactListed *ours;
	const ExactListed *other;

	find_listed(u, t, &ours, &other);
	t->step = EXACT_STEP_NONE;
	t->checked_at = GetCurrentTimestamp();
	if (!t->wanted)
	{
		compare_unwanted(u, t, ours, other);
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
		set_row(u, t, "wanted", "unreachable",
				psprintf("%s %s", u->callback_url, u->reach->finding), u->reach->next_step);
	}
	else if (is_contested(u, t, other))
	{
		t->callback_url = other->callback_url;
		t->tried_at = t->checked_at;
		set_row(u, t, "foreign", "environment",
				"another environment with this app takes the notifications back each time",
				"give each environment its own app; SELECT exact.subscribe() takes them here once");
	}
	else if (exact_subscription_answer_may_try(u, t))
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
		const ExactListed *l = &u->listed[i];
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

/*
 * One entry of a page into the list. False when it is of another division; others are passed over
 * if incomplete.
 */
static bool
take_listed(ExactUpkeep *u, const ExactRecord *record, int64 *division)
{
	ExactListed *l = &u->listed[u->nlisted];

	*division = exact_odata_division(record, record->values[3], u->division);
	if (*division >= 0 && *division != u->division)
		return false;
	l->id = exact_odata_string(record->values[0]);
	l->topic = exact_odata_string(record->values[1]);
	l->callback_url = exact_odata_string(record->values[2]);
	if (l->id != NULL && strlen(l->id) == GUID_LEN &&
		strspn(l->id, "0123456789abcdefABCDEF-") == GUID_LEN && l->topic != NULL)
		u->nlisted++;
	return true;
}

/* An entry of another division: nothing of this one is read any more. */
static char *
freeze(ExactUpkeep *u, ExactLane *lane, int64 division)
{
	ExactFault	fault = {.sqlstate = ERRCODE_EXACT_DIVISION_GUARD};

	fault.message = psprintf("division %d is frozen: the list of its subscriptions holds one of "
							 "division " INT64_FORMAT, u->division, division);
	fault.detail = pstrdup("GET webhooks/WebhookSubscriptions. Nothing of it was kept.");
	fault.hint = psprintf("Check the administration in Exact Online; then SELECT exact.resume(%d).",
						  u->division);
	exact_trouble_freeze(lane, &fault);
	return fault.message;
}

/* Adds a page to the list. NULL with *problem when the answer is no page of this division. */
static ExactPage *
take_page(ExactUpkeep *u, ExactLane *lane, ExactApiAnswer *answer, char **problem)
{
	static const char *const fields[] = {"ID", "Topic", "CallbackURL", "Division"};
	ExactPage  *page = exact_odata_parse(answer->http->body, answer->http->body_len, fields,
										 lengthof(fields), problem);
	MemoryContext old;
	Size		size;
	bool		ours = true;
	int64		division = 0;

	if (page == NULL)
		return NULL;
	if (!page->is_list ||
		exact_link_check(page->next, answer->request->base_url, u->division, u->list_url, NULL)
		!= EXACT_LINK_GOOD)
	{
		*problem = pstrdup("the list of subscriptions is not a page of this division");
		return NULL;
	}
	old = MemoryContextSwitchTo(u->context);
	size = (u->nlisted + page->nrecords + 1) * sizeof(ExactListed);
	u->listed = u->listed ? repalloc(u->listed, size) : palloc(size);
	for (int i = 0; i < page->nrecords && ours; i++)
		ours = take_listed(u, &page->records[i], &division);
	MemoryContextSwitchTo(old);
	if (ours)
		return page;
	*problem = freeze(u, lane, division);
	return NULL;
}

/* The list was refused: nothing can be seen or made. */
static void
refuse_list(ExactUpkeep *u, ExactApiAnswer *answer)
{
	for (int i = 0; i < u->ntopics; i++)
	{
		ExactTopic *t = &u->topics[i];
		bool		missing = t->wanted && strcmp(t->state, "present") != 0;

		t->step = missing ? EXACT_STEP_POST : EXACT_STEP_NONE;
	}
	if (answer->http->status == 403)
		say_forbidden(u, answer, true);
	else
		set_rest(u, "refused", "service", answer->fault->message,
				 "nothing: the hub reads by its timers and tries again daily", true);
	store(u, answer, 0, NULL, NULL);
	exact_subscription_answer_end(u, answer->fault->message, GetCurrentTimestamp() + CHECK_US);
}

/* A page of the list; after the last one it is known what is to be done. */
void
exact_subscription_answer_list(ExactApiAnswer *answer, void *arg)
{
	ExactUpkeep *u = arg;
	ExactLane  *lane = exact_lane_find(u->division);
	ExactPage  *page;
	char	   *problem = NULL;

	exact_lane_release(lane);
	u->busy = false;
	u->yield = true;
	if (is_trouble(u, lane, answer))
		return;
	if (answer->trouble != EXACT_API_OK)
	{
		refuse_list(u, answer);
		return;
	}
	page = take_page(u, lane, answer, &problem);
	if (page == NULL)
	{
		exact_log(LOG, "alarm division=%d subscriptions=\"%s\"", u->division, problem);
		if (strcmp(lane->state, "frozen") == 0)
			exact_subscription_answer_end(u, problem, 0);
		else
			look_again(u, problem);
		return;
	}
	u->errors = 0;
	exact_lane_set_text(&u->list_url, page->next);
	if (page->next != NULL)
		return;
	for (int i = 0; i < u->ntopics; i++)
		compare_topic(u, &u->topics[i]);
	add_forgotten(u);
	u->phase = EXACT_UPKEEP_STEPS;
	if (!store(u, answer, u->nlisted, NULL, NULL))
		exact_subscription_answer_end(u, "the subscriptions found could not be stored",
									  GetCurrentTimestamp() + STORE_AGAIN_US);
}

/* Only rows have to be written: nothing is sent. */
void
exact_subscription_answer_blocked(ExactUpkeep *u)
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
	exact_subscription_answer_end(u, u->reason,
								  stored ? 0 : GetCurrentTimestamp() + STORE_AGAIN_US);
}
