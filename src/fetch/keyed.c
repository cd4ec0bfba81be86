/*
 * keyed.c - keyed reads: records that are read again by their key.
 *
 * Whatever makes a key dirty (a notification, a changed transaction line, an entry of the log of
 * deletes, absence from a complete read) is settled by one $filter over up to EXACT_FEED_KEYS
 * keys. An entity with row versions is only asked which keys still exist, since its versions come
 * from its feed alone; all others are read whole, a document with its lines. What is absent is
 * gone if a record that lives, asked for in the same request, is in the answer (stage/canary.h).
 * Never a GET by key: a deleted key's 404 counts against the error budget (exact-online.md §5.4,
 * §6.4).
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/memutils.h"

#include "base/errors.h"
#include "base/fault.h"
#include "document/judge.h"
#include "exact_online/budget.h"
#include "exact_online/definition.h"
#include "exact_online/endpoint.h"
#include "exact_online/exact_api.h"
#include "exact_online/feed.h"
#include "exact_online/link.h"
#include "exact_online/odata.h"
#include "exact_online/odata_value.h"
#include "fetch/deletes.h"
#include "fetch/generation.h"
#include "fetch/keyed.h"
#include "fetch/lane.h"
#include "fetch/sync_request.h"
#include "fetch/trouble.h"
#include "stage/absence.h"
#include "stage/canary.h"
#include "stage/stage.h"
#include "stage/stage_page.h"
#include "state/dirty_key.h"
#include "state/feed_state.h"
#include "worker/role.h"
#include "worker/self.h"
#include "worker/unit.h"
#include "worker/wake.h"

#define AGAIN_US USECS_PER_SEC	/* after a failure that says no time */
#define APPROVED_AGAIN_US (5 * USECS_PER_SEC)
#define MANY_ERRORS 3			/* in a row: fewer keys are asked for at a time */
#define INCREDIBLE_ERRORS 6		/* in a row: after that it is asked once an hour */
#define INCREDIBLE "records that exist were not in the answer"

/* One keyed read on its way */
typedef struct Keyed
{
	MemoryContext context;
	MemoryContextCallback ended;
	ExactLane  *lane;
	ExactFeed  *feed;			/* shared: definition.c */
	bool	   *enabled;		/* for each entity of feed */
	ExactFeedEntity *entity;
	const char *line_entity;	/* its lines go with a header */
	bool		whole;			/* records are read; else only which exist */
	bool		lines;			/* they are the lines of documents: the keys are these documents' */
	bool		approved;		/* an operator has said that these keys are gone */
	bool		unasked;		/* and nobody can be asked once more */
	bool		logged;			/* the log of deletes names these keys */
	bool		first;			/* a first load made the keys dirty */
	bool		codes;			/* the keys are codes: a record that lacks one proves nothing */
	int			ncanaries;		/* behind the keys: records that live, asked for beside them */
	bool		canary_seen;	/* one of them was in the answer */
	bool		incredible;		/* neither they nor all keys were in it */
	char	  **keys;
	bool	   *present;
	int			nkeys;
	char	   *url;
	TimestampTz sent_at;
	int64		sent_seq;
	int64		first_seq;		/* when the first page was sent */
	/* a row does not say which record it is of: what does not show may be there, nothing is gone */
	bool		nameless;
	int			nseen;			/* lines, over all pages */
	int			seen_capacity;
	char	  **seen;
	/* of the last page */
	char	  **once;			/* absent for the first time: themselves, or lines of theirs */
	int			nonce;
	ExactApiAnswer *answer;
	ExactPage  *page;
	ExactStagePage staged;
	int			rows;
	int			changed;		/* over all pages */
	int			tombstones;
	bool		log;			/* the log of deletes is to run */
	TimestampTz next_at;		/* other keys of the division wait */
} Keyed;

/* ---- which keys ---- */

/*
 * The feed's entities of which the division has enabled names; and which of them the keys are of.
 */
static void
set_entities(Keyed *keyed, const char *entity, char **names, int nnames)
{
	const ExactFeed *feed = keyed->feed;

	keyed->entity = NULL;
	keyed->line_entity = NULL;
	keyed->enabled = palloc0((feed ? feed->nentities + 1 : 1) * sizeof(bool));
	for (int e = 0; feed != NULL && e < feed->nentities; e++)
	{
		ExactFeedEntity *of_feed = &feed->entities[e];

		if (strcmp(of_feed->name, entity) == 0)
			keyed->entity = of_feed;
		else if (of_feed->row_kind == EXACT_FEED_LINE && keyed->entity != NULL &&
				 keyed->entity->row_kind == EXACT_FEED_HEADER)
			keyed->line_entity = of_feed->name;
		for (int i = 0; i < nnames; i++)
			if (strcmp(names[i], of_feed->name) == 0)
				keyed->enabled[e] = true;
	}
	keyed->lines = keyed->entity != NULL && exact_feed_is_document_line(feed, keyed->entity);
	/* nobody can be asked: only an operator's word puts such a key here */
	keyed->unasked = keyed->entity != NULL && !keyed->whole &&
		(keyed->entity->plain_resource == NULL || keyed->entity->plain_key == NULL);
	keyed->approved = keyed->approved || keyed->unasked;
}

static void
take_keys(Keyed *keyed, const ExactDirtyPick *picked)
{
	MemoryContext old = MemoryContextSwitchTo(keyed->context);
	const ExactRefusal *refusal = exact_lane_refusal(keyed->lane, picked->entity);
	int			n = refusal != NULL ? Min(picked->nkeys, refusal->most) : picked->nkeys;

	keyed->whole = picked->whole;
	keyed->approved = picked->approved;
	keyed->logged = picked->logged;
	keyed->first = picked->first;
	keyed->codes = picked->codes;
	keyed->nkeys = n;
	keyed->keys = palloc((n + EXACT_CANARIES) * sizeof(char *));
	keyed->present = palloc0((n + EXACT_CANARIES) * sizeof(bool));
	for (int i = 0; i < n; i++)
		keyed->keys[i] = pstrdup(picked->keys[i]);
	keyed->feed = exact_definition_take(keyed->feed, picked->feed);
	set_entities(keyed, picked->entity, picked->names, picked->nnames);
	MemoryContextSwitchTo(old);
}

/* Behind the keys: records that live; documents, where their lines alone are kept. In a unit. */
static void
take_canaries(Keyed *keyed)
{
	int			division = keyed->lane->division;
	bool		of_lines = keyed->line_entity != NULL && !keyed->enabled[0];
	const char *entity = of_lines ? keyed->line_entity : keyed->entity->name;
	char	   *found[EXACT_CANARIES];

	keyed->ncanaries = exact_canary_pick(division, entity, keyed->lines || of_lines, keyed->keys,
										 keyed->nkeys, found);
	for (int i = 0; i < keyed->ncanaries; i++)
		keyed->keys[keyed->nkeys + i] = MemoryContextStrdup(keyed->context, found[i]);
}

static void
pick_unit(void *arg)
{
	Keyed	   *keyed = arg;
	ExactDirtyPick picked;
	TimestampTz until;
	ExactDirtyWait wait = exact_lane_waiting(keyed->lane, &until);

	keyed->nkeys = 0;
	if (!exact_dirty_key_pick(keyed->lane->division, &wait, EXACT_FEED_KEYS - EXACT_CANARIES,
							  &picked))
	{
		keyed->next_at = exact_lane_keys_due_at(keyed->lane, false);
		return;
	}
	take_keys(keyed, &picked);
	if (keyed->entity != NULL && !keyed->approved && !keyed->codes)
		take_canaries(keyed);
	if (keyed->first)
		keyed->next_at = exact_lane_keys_due_at(keyed->lane, true);
}

/* ---- what became of it ---- */

/* Stages the records of a page. */
static void
stage_page(Keyed *keyed, const ExactRun *run, int64 call)
{
	ExactStagePage *staged = &keyed->staged;

	staged->feed = keyed->feed;
	staged->enabled = keyed->enabled;
	staged->page = keyed->page;
	staged->division = keyed->lane->division;
	staged->run = run->run;		/* seen by the feed's run, should one be under way */
	staged->call = call;
	staged->sent_at = keyed->sent_at;
	staged->sent_seq = keyed->sent_seq;
	staged->mark_generation = keyed->lane->mark_generation;
	if (keyed->lines)
		exact_stage_page_lines(staged);
	else
		exact_stage_page_store(staged);
}

/*
 * Deletes what may be deleted of these records; false: none of it yet, later answers may prove it.
 * Of keyed->once the next answer decides, in a moment.
 */
static bool
delete_absent(Keyed *keyed, const char *entity, const char *line_entity, char **keys, int nkeys,
			  int64 call)
{
	ExactLane  *lane = keyed->lane;
	ExactAbsence absence = {.division = lane->division,.feed = keyed->feed->name,
	.entity = entity,.approved = keyed->approved || (keyed->logged && !keyed->incredible)};

	if (keyed->incredible)
	{
		absence.doubt = INCREDIBLE;
		absence.passes = true;
	}
	else if (keyed->ncanaries == 0 && !keyed->canary_seen)
		absence.doubt = "there is no other record to compare the answer with";
	keys = exact_absence_judge(&absence, keys, nkeys, &nkeys);
	if (nkeys > 0)
		keyed->tombstones += exact_stage_delete(lane->division, keyed->feed->name, entity,
												line_entity, keys, nkeys, 0, call,
												keyed->approved ? "approved by an operator"
												: keyed->lines ? "no longer in its document"
												: "confirmed by a keyed read");
	keyed->once = absence.once;
	keyed->nonce = absence.nonce;
	if (entity != keyed->entity->name || keyed->lines)
		keyed->once = exact_absence_documents(lane->division, entity, absence.once,
											  absence.nonce, &keyed->nonce);
	return !absence.again;
}

/*
 * What the whole answer does not show: lines of the documents that were asked for, or the keys
 * themselves. Where a division has lines without their documents, these lines.
 */
static bool
apply_absent(Keyed *keyed, char **gone, int ngone, int64 call)
{
	const char *entity = keyed->entity->name;
	int			division = keyed->lane->division;
	const char *lines = keyed->lines ? entity : keyed->line_entity;
	char	  **keys;
	int			n;

	if (keyed->lines)
		keys = exact_absence_lines(division, lines, keyed->keys, keyed->nkeys, keyed->seen,
								   keyed->nseen, keyed->first_seq, &n);
	else if (lines != NULL && !keyed->enabled[0])
		keys = exact_absence_lines(division, lines, gone, ngone, NULL, 0,
								   keyed->first_seq, &n);
	else
		return delete_absent(keyed, entity, lines, gone, ngone, call);
	return delete_absent(keyed, lines, NULL, keys, n, call);
}

/* The keys without those of which another answer decides; their number. */
static int
leave_out_once(const Keyed *keyed, char **keys, int nkeys)
{
	int			n = 0;

	for (int i = 0; i < nkeys; i++)
	{
		bool		once = false;

		for (int k = 0; k < keyed->nonce; k++)
			once |= strcmp(keyed->once[k], keys[i]) == 0;
		if (!once)
			keys[n++] = keys[i];
	}
	return n;
}

/* The second answer comes after the guard has told whether Exact Online works on the division. */
static void
ask_once_more(const Keyed *keyed)
{
	ExactLane  *lane = keyed->lane;
	const char *entity = keyed->entity->name;
	TimestampTz at = exact_generation_want(lane);

	if (at != 0)
		exact_dirty_key_once_more(lane->division, entity, keyed->once, keyed->nonce, at);
	for (int i = 0; at == 0 && i < keyed->nonce; i++)
		exact_dirty_key_again(lane->division, entity, keyed->once[i]);
}

/* A record that was asked for because it lives, and is not in an answer that is believed. */
static void
want_canaries(Keyed *keyed)
{
	for (int i = keyed->nkeys; i < keyed->nkeys + keyed->ncanaries && keyed->canary_seen; i++)
		if (!keyed->present[i])
			exact_dirty_key_want(keyed->lane->division, keyed->entity->name, &keyed->keys[i], 1,
								 keyed->whole ? EXACT_DIRTY_ABSENT : EXACT_DIRTY_CONFIRM);
}

/* Stores a page of the answer; with the last one, what is gone, and the keys are settled. */
static void
apply_unit(void *arg)
{
	Keyed	   *keyed = arg;
	ExactLane  *lane = keyed->lane;
	ExactRun   *run = exact_lane_run(lane, keyed->feed->name);
	const char *entity = keyed->entity->name;
	int64		call = keyed->answer ? exact_api_record(keyed->answer, keyed->rows) : 0;
	char	  **gone = palloc((keyed->nkeys + 1) * sizeof(char *));
	char	  **shown = palloc((keyed->nkeys + 1) * sizeof(char *));
	int			ngone = 0;
	int			nshown = 0;
	int			nsettled;

	memset(&keyed->staged, 0, sizeof(keyed->staged));
	keyed->tombstones = 0;
	keyed->log = false;
	if (keyed->whole && keyed->page != NULL)
		stage_page(keyed, run, call);
	if (keyed->page != NULL && keyed->page->next != NULL)
		return;
	for (int i = 0; i < keyed->nkeys; i++)
	{
		if (keyed->nameless && (keyed->lines || !keyed->present[i]) && !keyed->codes)
			exact_dirty_key_again(lane->division, entity, keyed->keys[i]);
		else if (keyed->present[i] || keyed->codes)
			shown[nshown++] = keyed->keys[i];
		else
			gone[ngone++] = keyed->keys[i];
	}
	if (!keyed->lines && !keyed->codes)
		exact_absence_seen(lane->division, entity, shown, nshown);
	keyed->nonce = 0;
	if (!keyed->nameless && !apply_absent(keyed, gone, ngone, call))
	{
		/* later; whose lines are absent, is not told apart */
		for (int i = 0; i < keyed->nkeys; i++)
			if (keyed->lines || !keyed->present[i])
				exact_dirty_key_delay(lane->division, entity, keyed->keys[i]);
		nsettled = keyed->lines ? 0 : nshown;
	}
	else
	{
		for (int i = 0; i < ngone; i++)
			shown[nshown + i] = gone[i];
		nsettled = leave_out_once(keyed, shown, nshown + ngone);
		if (keyed->nonce > 0)
			ask_once_more(keyed);
	}
	want_canaries(keyed);
	if (keyed->tombstones > 0)
		keyed->log = exact_deletes_want_log(lane, keyed->sent_at, keyed->sent_at);
	exact_dirty_key_read(lane->division, entity, shown, nsettled, keyed->sent_at);
	exact_feed_state_heal_keyed(lane->division, keyed->feed->name);
	keyed->next_at = exact_lane_keys_due_at(lane, false);
}

/*
 * An entity whose keyed read fails holds back itself only; true when it is one key that is refused
 * again and again. A refusal, or the third failure, asks for a quarter of the keys next time: so
 * the key that causes it is found. An answer that is not believed is none of any key.
 */
static bool
hold_back(const Keyed *keyed, ExactApiAnswer *answer)
{
	ExactRefusal *refusal = exact_lane_make_refusal(keyed->lane, keyed->entity->name);
	int			nkeys = keyed->nkeys;
	TimestampTz again_at;

	again_at = exact_trouble_answer(keyed->lane, answer, ++refusal->errors);
	refusal->not_before = Max(again_at, GetCurrentTimestamp() + AGAIN_US);
	refusal->incredible = keyed->incredible;
	refusal->unreached = answer->away;
	if (keyed->incredible && refusal->errors >= INCREDIBLE_ERRORS)
		refusal->not_before = GetCurrentTimestamp() + USECS_PER_HOUR;
	if (keyed->incredible || answer->http == NULL ||
		refusal->errors < (answer->trouble == EXACT_API_REFUSED ? 1 : MANY_ERRORS))
		return false;
	refusal->most = Max(Min(refusal->most, nkeys) / 4, 1);
	return nkeys == 1 && refusal->errors > 1;
}

typedef struct KeyedFailure
{
	Keyed	   *keyed;
	ExactApiAnswer *answer;
	const char *message;
	bool		later;			/* its one key waits */
	bool		held;			/* no answer is believed again and again: an operator is told */
} KeyedFailure;

static void
failure_unit(void *arg)
{
	KeyedFailure *failure = arg;
	Keyed	   *keyed = failure->keyed;
	int			division = keyed->lane->division;
	const char *entity = keyed->entity->name;

	if (failure->answer->http != NULL)
		exact_api_record(failure->answer, 0);
	exact_feed_state_fail_keyed(division, keyed->feed->name,
								psprintf(keyed->whole ? "changes of %s cannot be read: %s"
										 : "deletes of %s cannot be confirmed: %s",
										 entity, failure->message));
	if (failure->later)
		exact_dirty_key_delay(division, entity, keyed->keys[0]);
	if (failure->held)
		apply_absent(keyed, keyed->keys, keyed->nkeys, 0);
}

static void
fail_keyed(Keyed *keyed, ExactApiAnswer *answer, const ExactFault *fault)
{
	ExactLane  *lane = keyed->lane;
	KeyedFailure failure = {.keyed = keyed,.answer = answer,.message = fault->message};

	if (exact_trouble_waits(answer))
	{
		exact_trouble_answer(lane, answer, 1);
		lane->rest = keyed->nseen > 0 ? keyed : NULL;
	}
	else
	{
		failure.later = hold_back(keyed, answer);
		failure.held = keyed->incredible &&
			exact_lane_refusal(lane, keyed->entity->name)->errors >= MANY_ERRORS;
		exact_unit_run("record failure", failure_unit, &failure, NULL);
	}
	lane->keys_at = GetCurrentTimestamp() + AGAIN_US;
	exact_log(LOG, "failed division=%d entity=%s keys=%d error=\"%s\"", lane->division,
			  keyed->entity->name, keyed->nkeys, fault->message);
	if (lane->rest != keyed)
		MemoryContextDelete(keyed->context);
	exact_sync_request_settle(lane);
}

static void
end_keyed(Keyed *keyed)
{
	ExactLane  *lane = keyed->lane;
	ExactRefusal *refusal = exact_lane_refusal(lane, keyed->entity->name);

	if (refusal != NULL)
	{
		refusal->errors = 0;
		refusal->most = Min(2 * refusal->most, EXACT_FEED_KEYS);
	}
	lane->keys_at = keyed->next_at;
	exact_lane_has_read(lane);
	if (keyed->log)
		exact_deletes_log_wanted(lane, keyed->sent_at, keyed->sent_at);
	exact_log(LOG, "keys division=%d entity=%s keys=%d rows=%d changed=%d deleted=%d ms=%.0f",
			  lane->division, keyed->entity->name, keyed->nkeys, keyed->rows, keyed->changed,
			  keyed->tombstones, keyed->answer ? keyed->answer->http->ms : 0);
	exact_judge_want(false);
	if (keyed->changed + keyed->tombstones > 0)
		exact_wake(EXACT_ROLE_LOADER);
	MemoryContextDelete(keyed->context);
	exact_sync_request_settle(lane);
}

/* ---- the answer ---- */

static bool
find_key(Keyed *keyed, const char *key)
{
	bool		found = false;

	for (int k = 0; key != NULL && k < keyed->nkeys + keyed->ncanaries; k++)
		if (strcmp(keyed->keys[k], key) == 0)
		{
			found = keyed->present[k] = true;
			keyed->canary_seen = true;	/* a key that is asked for proves as much */
		}
	return found;
}

static void
see_line(Keyed *keyed, const char *key)
{
	if (keyed->nseen == keyed->seen_capacity)
	{
		Size		size;

		keyed->seen_capacity = Max(2 * keyed->seen_capacity, EXACT_FEED_KEYS);
		size = keyed->seen_capacity * sizeof(char *);
		keyed->seen = keyed->seen ? repalloc(keyed->seen, size)
			: MemoryContextAlloc(keyed->context, size);
	}
	keyed->seen[keyed->nseen++] = MemoryContextStrdup(keyed->context, key);
}

/* What is wrong with one record of a page; NULL: nothing. The key or line is seen from now on. */
static char *
see_record(Keyed *keyed, const ExactRecord *record)
{
	ExactSlice	none = {NULL, 0};
	char	   *name = keyed->whole ? exact_feed_own_key(keyed->entity, record)
		: exact_feed_key(record, 0);
	int64		division = exact_odata_division(record, none, keyed->lane->division);

	if (division >= 0 && division != keyed->lane->division)
		return pstrdup("a record of another division");
	if (name == NULL || record->problem != NULL)
		keyed->nameless = true;
	if (name == NULL)
		return NULL;
	if (!keyed->lines)
		find_key(keyed, keyed->codes ? NULL : name);
	else if (find_key(keyed, exact_feed_key(record, keyed->entity->parent)))
		see_line(keyed, name);
	else
		return pstrdup("a line of a document that was not asked for");
	return NULL;
}

/* What is wrong with the answer; NULL: it is a page of this division with records of it alone. */
static char *
read_page(Keyed *keyed, ExactApiAnswer *answer)
{
	const ExactFeed *feed = keyed->feed;
	const char *key_field[1] = {keyed->entity->plain_key};
	const char **fields = feed->fields;
	int			nfields = feed->nfields;
	char	   *problem = NULL;
	ExactPage  *page;

	if (keyed->lines)
	{
		fields = feed->line_fields;
		nfields = feed->nline_fields;
	}
	else if (!keyed->whole)
	{
		fields = key_field;
		nfields = 1;
	}
	page = exact_odata_parse_rows(answer->http->body, answer->http->body_len, fields, nfields,
								  &problem);
	keyed->page = page;
	if (page == NULL)
		return problem;
	if (!page->is_list ||
		exact_link_check(page->next, answer->request->base_url, keyed->lane->division, keyed->url,
						 NULL) != EXACT_LINK_GOOD)
		return pstrdup("not a page of this division");
	for (int i = 0; i < page->nrecords && problem == NULL; i++)
		problem = see_record(keyed, &page->records[i]);
	return problem;
}

/* Keys are absent from the whole answer, and so are all records that live. */
static bool
is_incredible(const Keyed *keyed)
{
	if (keyed->page->next != NULL || keyed->ncanaries == 0 || keyed->canary_seen)
		return false;
	for (int i = 0; i < keyed->nkeys; i++)
		if (!keyed->present[i])
			return true;
	return false;
}

/*
 * Stores the page; after the last one the read has ended, after any other it goes on when its turn
 * comes.
 */
static void
on_keyed(ExactApiAnswer *answer, void *arg)
{
	Keyed	   *keyed = arg;
	ExactFault *fault = NULL;
	ExactFault	bad = {.sqlstate = ERRCODE_EXACT_BAD_ANSWER};

	exact_lane_release(keyed->lane);
	if (answer->trouble != EXACT_API_OK)
	{
		fail_keyed(keyed, answer, answer->fault);
		return;
	}
	bad.message = read_page(keyed, answer);
	keyed->incredible = bad.message == NULL && is_incredible(keyed);
	if (keyed->incredible)
		bad.message = pstrdup(INCREDIBLE ": nothing is deleted");
	keyed->answer = answer;
	if (bad.message != NULL)
		fault = &bad;
	else
	{
		keyed->rows = keyed->page->nrecords;
		exact_unit_run("store keyed read", apply_unit, keyed, &fault);
	}
	if (fault != NULL)
	{
		answer->trouble = EXACT_API_TRANSIENT;
		if (fault->sqlstate == ERRCODE_EXACT_DIVISION_GUARD)
			exact_trouble_freeze(keyed->lane, fault);
		fail_keyed(keyed, answer, fault);
		return;
	}
	keyed->changed += keyed->staged.fresh + keyed->staged.changed;
	if (keyed->page->next == NULL)
		end_keyed(keyed);
	else
	{
		keyed->url = MemoryContextStrdup(keyed->context, keyed->page->next);
		keyed->lane->rest = keyed;
		keyed->lane->keys_at = 0;
	}
}

/* ---- the request ---- */

static const char *
resource_of(const Keyed *keyed)
{
	return keyed->whole && !keyed->lines ? keyed->feed->resource : keyed->entity->plain_resource;
}

/*
 * False while the budget does not allow it: keys_at is when it will. 0: an endpoint that is closed
 * or blocked keeps this entity waiting and no other; pages that are left are read anew with it.
 */
static bool
send_keyed(Keyed *keyed)
{
	ExactLane  *lane = keyed->lane;
	const char *resource = resource_of(keyed);
	ExactApiRequest request = {0};
	const char *why;
	TimestampTz closed = exact_endpoint_closed_until(lane->division, resource, &why);

	if (closed != 0)
	{
		exact_lane_make_refusal(lane, keyed->entity->name)->not_before = closed;
		lane->keys_at = 0;
		return false;
	}
	if (keyed->first && keyed->answer == NULL)	/* its further pages are not kept waiting */
		lane->keys_at = Min(exact_budget_backfill_at(lane->division, resource, &why),
							keyed->next_at);
	else
		lane->keys_at = exact_budget_allowed_at(lane->division, resource, &why);
	if (lane->keys_at != 0)
		return false;
	exact_lane_run(lane, keyed->feed->name)->keyed_at = GetCurrentTimestamp();
	/* of each page: a line that has left a document of the page before may be in one of this */
	keyed->sent_seq = exact_stage_last_seq();
	request.app = lane->app;
	request.base_url = lane->base_url;
	request.division = lane->division;
	request.feed = keyed->feed->name;
	request.resource = resource;
	request.language = lane->language;
	request.url = keyed->url;
	request.label = psprintf("%s?$filter=%d keys", resource, keyed->nkeys);
	exact_lane_hold(lane);
	exact_api_get(&request, on_keyed, keyed);
	return true;
}

/* The pages of a keyed read take turns with the runs of its division, as all calls do. */
static bool
send_rest(ExactLane *lane)
{
	Keyed	   *keyed = lane->rest;

	lane->rest = NULL;
	if (pg_strncasecmp(keyed->url, lane->base_url, strlen(lane->base_url)) != 0)
	{
		/* the app was given another address: its keys are still dirty */
		MemoryContextDelete(keyed->context);
		lane->keys_at = 0;
		return false;
	}
	if (send_keyed(keyed))
		return true;
	if (lane->keys_at != 0)
		lane->rest = keyed;
	else
		MemoryContextDelete(keyed->context);
	return false;
}

/* An operator's word: nothing is asked. */
static void
apply_approved(Keyed *keyed)
{
	if (exact_unit_run("store approved deletions", apply_unit, keyed, NULL))
		end_keyed(keyed);
	else
	{
		keyed->lane->keys_at = GetCurrentTimestamp() + APPROVED_AGAIN_US;
		MemoryContextDelete(keyed->context);
	}
}

/* The address with as many keys as it holds; the records that live stay behind them. */
static void
set_url(Keyed *keyed)
{
	const ExactLane *lane = keyed->lane;
	int			all = keyed->nkeys + keyed->ncanaries;
	int			taken;

	for (;;)
	{
		if (keyed->lines)
			keyed->url = exact_feed_lines_url(keyed->feed, lane->base_url, lane->division,
											  keyed->keys, all, &taken);
		else
			keyed->url = exact_feed_keys_url(keyed->feed, keyed->entity,
											 keyed->codes ? EXACT_FEED_BY_CODE : keyed->whole
											 ? EXACT_FEED_BY_KEY : EXACT_FEED_KEYS_ONLY,
											 lane->base_url, lane->division, keyed->keys, all,
											 &taken);
		if (taken == all)
			return;
		/* the last keys wait for the next read */
		keyed->nkeys = Max(taken - keyed->ncanaries, 1);
		if (taken <= keyed->ncanaries)
			keyed->ncanaries = 0;
		for (int i = 0; i < keyed->ncanaries; i++)
			keyed->keys[keyed->nkeys + i] = keyed->keys[all - keyed->ncanaries + i];
		all = keyed->nkeys + keyed->ncanaries;
	}
}

/* Its memory goes: so does its hold on the definition. */
static void
give_back(void *arg)
{
	Keyed	   *keyed = arg;

	exact_definition_give_back(keyed->feed);
}

/* Goes on with the read of which pages are left, or begins one for the keys that are due. */
bool
exact_keyed_send(ExactLane *lane)
{
	MemoryContext context;
	Keyed	   *keyed;
	MemoryContext old;

	if (lane->rest != NULL)
		return send_rest(lane);
	context = AllocSetContextCreate(TopMemoryContext, "exact keyed read", ALLOCSET_SMALL_SIZES);
	keyed = MemoryContextAllocZero(context, sizeof(Keyed));
	keyed->context = context;
	keyed->ended.func = give_back;
	keyed->ended.arg = keyed;
	MemoryContextRegisterResetCallback(context, &keyed->ended);
	keyed->lane = lane;
	keyed->next_at = PG_INT64_MAX;
	if (!exact_unit_run("pick keys", pick_unit, keyed, NULL))
		keyed->next_at = GetCurrentTimestamp() + AGAIN_US;
	if (keyed->nkeys == 0 || keyed->entity == NULL)
	{
		lane->keys_at = keyed->next_at;
		MemoryContextDelete(context);
		return false;
	}
	keyed->sent_at = GetCurrentTimestamp();
	if (keyed->unasked)
	{
		apply_approved(keyed);
		return false;
	}
	old = MemoryContextSwitchTo(context);
	set_url(keyed);
	MemoryContextSwitchTo(old);
	keyed->first_seq = exact_stage_last_seq();
	if (send_keyed(keyed))
		return true;
	MemoryContextDelete(context);
	return false;
}
