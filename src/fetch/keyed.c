/*
 * keyed.c - dirty keys: records that are read again by their key.
 *
 * Whatever makes a key dirty (a notification, a changed transaction line, an entry of the log of deletes, absence from a complete
 * read) is settled by one $filter over up to 60 keys. An entity with row versions is only asked which keys still exist, since its
 * versions come from its feed alone; all others are read whole, a document with its lines. 200 and absent is gone. Never a GET by
 * key: a deleted key's 404 counts against the error budget (exact-online.md §5.4, §6.4).
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/memutils.h"

#include "base/errors.h"
#include "base/fault.h"
#include "base/guc.h"
#include "base/sql.h"
#include "exact_online/budget.h"
#include "exact_online/exact_api.h"
#include "exact_online/link.h"
#include "exact_online/odata_value.h"
#include "fetch/keyed.h"
#include "fetch/run.h"
#include "fetch/stage.h"
#include "fetch/trouble.h"
#include "worker/self.h"
#include "worker/unit.h"
#include "worker/wake.h"

void
exact_keyed_want(ExactLane *lane, const char *entity, char **keys, int nkeys, const char *reason)
{
	static const char sql[] =
	"INSERT INTO exact.dirty_key AS d (division, entity, key, since, reason) SELECT $1, $2, k, clock_timestamp(), $4 FROM (SELECT DISTINCT unnest($3::text[])) AS u (k) "
	"ON CONFLICT (division, entity, key) DO UPDATE SET since = excluded.since, first_at = least(d.first_at, d.since, excluded.since), reason = excluded.reason";
	ExactArg	args[4];

	args[0] = exact_arg_int4(lane->division);
	args[1] = exact_arg_text(entity);
	args[2] = exact_arg_text_array((const char *const *) keys, NULL, nkeys);
	args[3] = exact_arg_text(reason);
	exact_sql(sql, 4, args);
	lane->keys_at = 0;
}

/* One keyed read on its way */
typedef struct Keyed
{
	MemoryContext context;
	ExactLane  *lane;
	ExactFeed  *feed;
	bool	   *enabled;		/* for each entity of feed */
	ExactFeedEntity *entity;
	const char *line_entity;	/* its lines go with a header */
	bool		whole;			/* records are read; else only which exist */
	bool		lines;			/* they are the lines of documents: the keys are these documents' */
	bool		approved;		/* an operator's word: nothing is asked */
	bool		first;			/* a first load made the keys dirty */
	char	  **keys;
	bool	   *present;
	int			nkeys;
	char	   *url;
	TimestampTz sent_at;
	int64		sent_seq;
	int64		first_seq;		/* when the first page was sent */
	int			nseen;			/* lines, over all pages */
	char	  **seen;
	/* of the last page */
	ExactApiAnswer *answer;
	ExactPage  *page;
	ExactStagePage staged;
	int			rows;
	int			changed;		/* over all pages */
	int			tombstones;
	TimestampTz next_at;		/* other keys of the division wait */
} Keyed;

static ExactRefusal *
refusal_of(ExactLane *lane, const char *entity)
{
	for (int i = 0; i < lane->nrefused; i++)
		if (strcmp(lane->refused[i].entity, entity) == 0)
			return &lane->refused[i];
	return NULL;
}

/*
 * Keys that a keyed read settles, and from when: notifications come in bursts, so after a pause in them, at the latest five such pauses after
 * the first. A time that is still to come is of a clock that was set back. $1 division, $2 held back entities, $3 debounce in ms
 */
#define DUE "greatest(CASE WHEN k.since > clock_timestamp() THEN '-infinity' " \
	"WHEN k.reason = 'notified' THEN least(k.since + $3 * interval '1 ms', k.first_at + 5 * $3 * interval '1 ms') ELSE k.since END, " \
	"CASE WHEN k.not_before < clock_timestamp() + interval '2 h' THEN k.not_before END)"
#define SETTLED_BY_KEY "(e.method <> 'sync' OR k.reason IN ('confirm', 'approved')) " \
	"AND EXISTS (SELECT FROM exact.feed f JOIN exact.entity_effective x ON x.entity = f.entity WHERE f.division = $1 AND f.enabled AND x.feed = e.feed) " \
	"AND NOT EXISTS (SELECT FROM exact.division_state s JOIN exact.entity_effective x ON x.entity = ANY (s.paused_entities) WHERE s.division = $1 AND x.feed = e.feed)"

static ExactArg *
pick_args(const ExactLane *lane, bool live, ExactArg *args)
{
	const char **held = palloc((lane->nrefused + 2 * lane->nruns + 1) * sizeof(char *));
	TimestampTz now = GetCurrentTimestamp();
	int64		gap = exact_plan_gap(lane);
	int			nheld = 0;

	for (int i = 0; i < lane->nrefused; i++)
		if (lane->refused[i].not_before > now)
			held[nheld++] = lane->refused[i].entity;
	for (int i = 0; i < lane->nruns; i++)
		for (int e = 0; lane->runs[i]->keyed_at + gap > now && lane->runs[i]->def != NULL && e < Min(lane->runs[i]->def->nentities, 2); e++)
			held[nheld++] = lane->runs[i]->def->entities[e].name;
	args[0] = exact_arg_int4(lane->division);
	args[1] = exact_arg_text_array(held, NULL, nheld);
	args[2] = exact_arg_int4(exact_debounce_ms);
	args[3] = exact_arg_bool(!live);
	return args;
}

/* When the next keyed read of a division, or the next that no first load asks for, is due, PG_INT64_MAX never; in a unit. */
static TimestampTz
next_due(const ExactLane *lane, bool live)
{
	static const char sql[] =
	"SELECT min(" DUE ") FROM exact.dirty_key k JOIN exact.entity_effective e ON e.entity = k.entity "
	"WHERE k.division = $1 AND k.entity <> ALL ($2::text[]) AND ($4 OR k.reason IS DISTINCT FROM '" EXACT_STAGE_FIRST_LOAD "') AND " SETTLED_BY_KEY;
	ExactArg	args[4];
	int64		gap = exact_plan_gap(lane);
	TimestampTz at;

	exact_sql(sql, 4, pick_args(lane, live, args));
	at = exact_cell_time(0, 1, PG_INT64_MAX);
	for (int i = 0; i < lane->nrefused; i++)
		if (lane->refused[i].not_before > GetCurrentTimestamp())
			at = Min(at, lane->refused[i].not_before);
	for (int i = 0; i < lane->nruns; i++)
		if (lane->runs[i]->keyed_at + gap > GetCurrentTimestamp())
			at = Min(at, lane->runs[i]->keyed_at + gap);
	return at;
}

#define FIRST_LOAD "coalesce(k.reason = '" EXACT_STAGE_FIRST_LOAD "', false)"

static void
pick_unit(void *arg)
{
	static const char sql[] =
	"SELECT k.entity, k.key, e.feed, e.method <> 'sync', k.reason = 'approved', "
	"  ARRAY(SELECT x.entity FROM exact.entity_effective x JOIN exact.feed f ON f.entity = x.entity WHERE x.feed = e.feed AND f.division = $1 AND f.enabled), " FIRST_LOAD " "
	"FROM exact.dirty_key k JOIN exact.entity_effective e ON e.entity = k.entity WHERE k.division = $1 AND " DUE " <= clock_timestamp() AND (k.entity, k.reason = 'approved', " FIRST_LOAD ") = "
	"  (SELECT k.entity, k.reason = 'approved', " FIRST_LOAD " FROM exact.dirty_key k JOIN exact.entity_effective e ON e.entity = k.entity "
	"   WHERE k.division = $1 AND k.entity <> ALL ($2::text[]) AND " SETTLED_BY_KEY " AND " DUE " <= clock_timestamp() AND $4 ORDER BY 3, k.since, k.entity LIMIT 1) "
	"  AND " SETTLED_BY_KEY " ORDER BY k.since, k.key LIMIT 60";
	Keyed	   *keyed = arg;
	ExactArg	args[4];
	MemoryContext old;
	char	   *entity;
	char	   *feed;
	char	   *enabled;
	ExactRefusal *refusal;
	uint64		n;

	n = exact_sql(sql, 4, pick_args(keyed->lane, false, args));
	keyed->nkeys = 0;
	if (n == 0)
	{
		keyed->next_at = next_due(keyed->lane, false);
		return;
	}
	old = MemoryContextSwitchTo(keyed->context);
	entity = exact_cell_text(0, 1);
	feed = exact_cell_text(0, 3);
	keyed->whole = exact_cell_bool(0, 4, false);
	keyed->approved = exact_cell_bool(0, 5, false);
	enabled = exact_cell_text(0, 6);
	keyed->first = exact_cell_bool(0, 7, false);
	refusal = refusal_of(keyed->lane, entity);
	if (refusal != NULL && !keyed->approved)
		n = Min(n, (uint64) refusal->most);
	keyed->nkeys = (int) n;
	keyed->keys = palloc(n * sizeof(char *));
	for (uint64 i = 0; i < n; i++)
		keyed->keys[i] = exact_cell_text(i, 2);
	keyed->present = palloc0(n * sizeof(bool));
	keyed->feed = exact_feed_load(feed);
	keyed->entity = NULL;
	keyed->line_entity = NULL;
	keyed->enabled = palloc0((keyed->feed ? keyed->feed->nentities + 1 : 1) * sizeof(bool));
	for (int e = 0; keyed->feed != NULL && e < keyed->feed->nentities; e++)
	{
		const char *name = keyed->feed->entities[e].name;
		const char *at = strstr(enabled, name);

		if (strcmp(name, entity) == 0)
			keyed->entity = &keyed->feed->entities[e];
		else if (keyed->feed->entities[e].row_kind == EXACT_FEED_LINE &&
				 keyed->entity != NULL && keyed->entity->row_kind == EXACT_FEED_HEADER)
			keyed->line_entity = name;
		for (; at != NULL && !keyed->enabled[e]; at = strstr(at + 1, name))
			keyed->enabled[e] = strchr("{,", at[-1]) != NULL && strchr("},", at[strlen(name)]) != NULL;
	}
	keyed->lines = keyed->entity != NULL && exact_feed_is_document_line(keyed->feed, keyed->entity);
	if (keyed->entity != NULL && keyed->entity->plain_resource == NULL && !keyed->whole)
		keyed->approved = true;	/* nobody can be asked: only an operator's word puts such a key here */
	MemoryContextSwitchTo(old);
	if (keyed->first)
		keyed->next_at = next_due(keyed->lane, true);
}

static void
apply_unit(void *arg)
{
	static const char clean_sql[] = "DELETE FROM exact.dirty_key WHERE division = $1 AND entity = $2 AND key = ANY ($3::text[]) AND (since < $4 OR since > clock_timestamp())";
	static const char again_sql[] = "UPDATE exact.dirty_key SET first_at = NULL WHERE division = $1 AND entity = $2 AND key = ANY ($3::text[]) AND first_at < $4";
	static const char healed_sql[] = "UPDATE exact.feed_state SET confirm_errors = 0, last_error = NULL, last_error_at = NULL WHERE division = $1 AND feed = $2 AND confirm_errors > 0";
	Keyed	   *keyed = arg;
	ExactLane  *lane = keyed->lane;
	ExactRun   *run = exact_plan_run(lane, keyed->feed->name);
	int64		call = keyed->answer ? exact_api_record(keyed->answer, keyed->rows) : 0;
	char	  **gone = palloc(keyed->nkeys * sizeof(char *));
	int			ngone = 0;
	ExactArg	args[4];

	memset(&keyed->staged, 0, sizeof(keyed->staged));
	keyed->tombstones = 0;
	if (keyed->whole && keyed->page != NULL)
	{
		keyed->staged.feed = keyed->feed;
		keyed->staged.enabled = keyed->enabled;
		keyed->staged.page = keyed->page;
		keyed->staged.division = lane->division;
		keyed->staged.run = run->run;	/* seen by the feed's run, should one be under way */
		keyed->staged.call = call;
		keyed->staged.sent_at = keyed->sent_at;
		keyed->staged.sent_seq = keyed->sent_seq;
		keyed->staged.mark_generation = lane->mark_generation;
		if (keyed->lines)
			exact_stage_lines(&keyed->staged);
		else
			exact_stage_page(&keyed->staged);
	}
	if (keyed->page != NULL && keyed->page->next != NULL)
		return;
	if (keyed->lines)
		exact_stage_vanished(&keyed->staged, keyed->entity->name, keyed->keys, keyed->nkeys, keyed->seen, keyed->nseen, keyed->first_seq);
	for (int i = 0; i < keyed->nkeys; i++)
		if (!keyed->present[i] && !keyed->lines)
			gone[ngone++] = keyed->keys[i];
	if (ngone > 0)
		keyed->tombstones = exact_stage_delete(lane->division, keyed->feed->name, keyed->entity->name, keyed->line_entity,
											   gone, ngone, 0, call, keyed->approved ? "approved by an operator" : "confirmed by a keyed read");
	args[0] = exact_arg_int4(lane->division);
	args[1] = exact_arg_text(keyed->entity->name);
	args[2] = exact_arg_text_array((const char *const *) keyed->keys, NULL, keyed->nkeys);
	args[3] = exact_arg_time(keyed->sent_at);
	exact_sql(clean_sql, 4, args);
	exact_sql(again_sql, 4, args);	/* what has been notified meanwhile */
	args[1] = exact_arg_text(keyed->feed->name);
	exact_sql(healed_sql, 2, args);
	keyed->next_at = next_due(lane, false);
}

/* An entity whose keyed read fails holds back itself only; true when it is one key that is refused again and again. */
static bool
hold_back(ExactLane *lane, const char *entity, int nkeys, ExactApiAnswer *answer)
{
	ExactRefusal *refusal = refusal_of(lane, entity);
	TimestampTz again_at;

	if (refusal == NULL)
	{
		Size		size = (lane->nrefused + 1) * sizeof(ExactRefusal);

		lane->refused = lane->refused ? repalloc(lane->refused, size) : MemoryContextAlloc(TopMemoryContext, size);
		refusal = &lane->refused[lane->nrefused++];
		memset(refusal, 0, sizeof(*refusal));
		strlcpy(refusal->entity, entity, sizeof(refusal->entity));
		refusal->most = EXACT_FEED_KEYS;
	}
	again_at = exact_trouble_answer(lane, answer, ++refusal->errors);
	refusal->not_before = Max(again_at, GetCurrentTimestamp() + USECS_PER_SEC);
	if (answer->http == NULL || refusal->errors < (answer->trouble == EXACT_API_REFUSED ? 1 : 3))
		return false;
	refusal->most = Max(Min(refusal->most, nkeys) / 4, 1);
	return nkeys == 1 && refusal->errors > 1;
}

typedef struct KeyedFailure
{
	Keyed	   *keyed;
	ExactApiAnswer *answer;
	const char *message;
	bool		later;
} KeyedFailure;

static void
failure_unit(void *arg)
{
	static const char sql[] =
	"UPDATE exact.feed_state SET confirm_errors = confirm_errors + 1, last_error = $3, last_error_at = clock_timestamp() WHERE division = $1 AND feed = $2";
	/* one that is refused alone waits, so that it stops no other */
	static const char later_sql[] =
	"UPDATE exact.dirty_key SET not_before = clock_timestamp() + interval '1 h' WHERE division = $1 AND entity = $2 AND key = $3";
	KeyedFailure *failure = arg;
	ExactArg	args[3];

	if (failure->answer->http != NULL)
		exact_api_record(failure->answer, 0);
	args[0] = exact_arg_int4(failure->keyed->lane->division);
	args[1] = exact_arg_text(failure->keyed->feed->name);
	args[2] = exact_arg_text(psprintf(failure->keyed->whole ? "changes of %s cannot be read: %s" : "deletes of %s cannot be confirmed: %s",
									  failure->keyed->entity->name, failure->message));
	exact_sql(sql, 3, args);
	if (failure->later)
	{
		args[1] = exact_arg_text(failure->keyed->entity->name);
		args[2] = exact_arg_text(failure->keyed->keys[0]);
		exact_sql(later_sql, 3, args);
	}
}

static void
trouble(Keyed *keyed, ExactApiAnswer *answer, const ExactFault *fault)
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
		failure.later = hold_back(lane, keyed->entity->name, keyed->nkeys, answer);
		exact_unit_run("record failure", failure_unit, &failure, NULL);
	}
	lane->keys_at = GetCurrentTimestamp() + USECS_PER_SEC;
	exact_log(LOG, "failed division=%d entity=%s keys=%d error=\"%s\"", lane->division, keyed->entity->name, keyed->nkeys, fault->message);
	if (lane->rest != keyed)
		MemoryContextDelete(keyed->context);
	exact_plan_settle();
}

static void
end_keyed(Keyed *keyed)
{
	ExactLane  *lane = keyed->lane;
	ExactRefusal *refusal = refusal_of(lane, keyed->entity->name);

	if (refusal != NULL)
	{
		refusal->errors = 0;
		refusal->most = Min(2 * refusal->most, EXACT_FEED_KEYS);
	}
	lane->keys_at = keyed->next_at;
	exact_log(LOG, "keys division=%d entity=%s keys=%d rows=%d changed=%d deleted=%d ms=%.0f", lane->division, keyed->entity->name,
			  keyed->nkeys, keyed->rows, keyed->changed, keyed->tombstones, keyed->answer ? keyed->answer->http->ms : 0);
	if (keyed->changed + keyed->tombstones > 0)
		exact_wake(EXACT_ROLE_LOADER);
	MemoryContextDelete(keyed->context);
	exact_plan_settle();
}

static bool
find_key(Keyed *keyed, const char *key)
{
	bool		found = false;

	for (int k = 0; key != NULL && k < keyed->nkeys; k++)
		if (strcmp(keyed->keys[k], key) == 0)
			found = keyed->present[k] = true;
	return found;
}

static void
see_line(Keyed *keyed, const char *key)
{
	if ((keyed->nseen & (keyed->nseen - 1)) == 0)	/* 0, or a power of two: full */
	{
		Size		size = Max(2 * keyed->nseen, 1) * sizeof(char *);

		keyed->seen = keyed->seen ? repalloc(keyed->seen, size) : MemoryContextAlloc(keyed->context, size);
	}
	keyed->seen[keyed->nseen++] = MemoryContextStrdup(keyed->context, key);
}

/* A fault of the answer; NULL when it is a page of this division with records of it alone */
static char *
read_page(Keyed *keyed, ExactApiAnswer *answer)
{
	const ExactFeed *feed = keyed->feed;
	const char *key_field[1] = {keyed->entity->plain_key};
	const char **fields = keyed->lines ? feed->line_fields : keyed->whole ? feed->fields : key_field;
	int			nfields = keyed->lines ? feed->nline_fields : keyed->whole ? feed->nfields : 1;
	int			key = keyed->whole ? keyed->entity->key : 0;
	char	   *problem = NULL;
	ExactPage  *page;

	keyed->page = page = exact_odata_parse(answer->http->body, answer->http->body_len, fields, nfields, &problem);
	if (page == NULL)
		return problem;
	if (!page->is_list ||
		exact_link_check(page->next, answer->request->base_url, keyed->lane->division, keyed->url, NULL) != EXACT_LINK_GOOD)
		return pstrdup("not a page of this division");
	for (int i = 0; i < page->nrecords; i++)
	{
		ExactSlice	none = {NULL, 0};
		char	   *name = exact_feed_key(&page->records[i], key);
		int64		division = exact_odata_division(&page->records[i], none, keyed->lane->division);

		if (name == NULL || (division >= 0 && division != keyed->lane->division))
			return pstrdup("a record without key or of another division");
		if (!keyed->lines)
			find_key(keyed, name);
		else if (find_key(keyed, exact_feed_key(&page->records[i], keyed->entity->parent)))
			see_line(keyed, name);
		else
			return pstrdup("a line of a document that was not asked for");
	}
	return NULL;
}

static void
on_keyed(ExactApiAnswer *answer, void *arg)
{
	Keyed	   *keyed = arg;
	ExactFault *fault = NULL;
	ExactFault	bad = {.sqlstate = ERRCODE_EXACT_BAD_ANSWER};

	exact_run_release(keyed->lane);
	if (answer->trouble != EXACT_API_OK)
	{
		trouble(keyed, answer, answer->fault);
		return;
	}
	bad.message = read_page(keyed, answer);
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
		trouble(keyed, answer, fault);
		return;
	}
	keyed->changed += keyed->staged.fresh + keyed->staged.changed + keyed->staged.vanished;
	if (keyed->page->next == NULL)
		end_keyed(keyed);
	else
	{
		keyed->url = MemoryContextStrdup(keyed->context, keyed->page->next);
		keyed->lane->rest = keyed;
		keyed->lane->keys_at = 0;
	}
}

static const char *
resource_of(const Keyed *keyed)
{
	return keyed->whole && !keyed->lines ? keyed->feed->resource : keyed->entity->plain_resource;
}

/* False while the budget does not allow it. */
static bool
send_keyed(Keyed *keyed)
{
	ExactLane  *lane = keyed->lane;
	const char *resource = resource_of(keyed);
	ExactApiRequest request = {0};
	const char *why;

	if (keyed->first && keyed->answer == NULL)	/* its further pages are not kept waiting */
		lane->keys_at = Min(exact_budget_backfill_at(lane->division, resource, &why), keyed->next_at);
	else
		lane->keys_at = exact_budget_allowed_at(lane->division, resource, &why);
	if (lane->keys_at != 0)
		return false;
	exact_plan_run(lane, keyed->feed->name)->keyed_at = GetCurrentTimestamp();
	keyed->sent_seq = exact_stage_last_seq();	/* of each page: a line that has left a document of the page before may be in one of this */
	request.app = lane->app;
	request.base_url = lane->base_url;
	request.division = lane->division;
	request.feed = keyed->feed->name;
	request.resource = resource;
	request.language = lane->language;
	request.url = keyed->url;
	request.label = psprintf("%s?$filter=%d keys", resource, keyed->nkeys);
	exact_run_hold(lane);
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
		MemoryContextDelete(keyed->context);	/* the app was given another address: its keys are still dirty */
		lane->keys_at = 0;
		return false;
	}
	if (send_keyed(keyed))
		return true;
	lane->rest = keyed;
	return false;
}

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
	keyed->lane = lane;
	keyed->next_at = PG_INT64_MAX;
	if (!exact_unit_run("pick keys", pick_unit, keyed, NULL))
		keyed->next_at = GetCurrentTimestamp() + USECS_PER_SEC;
	if (keyed->nkeys == 0 || keyed->entity == NULL)
	{
		lane->keys_at = keyed->next_at;
		MemoryContextDelete(context);
		return false;
	}
	keyed->sent_at = GetCurrentTimestamp();
	if (keyed->approved)
	{
		if (exact_unit_run("store approved deletions", apply_unit, keyed, NULL))
			end_keyed(keyed);
		else
		{
			lane->keys_at = GetCurrentTimestamp() + 5 * USECS_PER_SEC;
			MemoryContextDelete(context);
		}
		return false;
	}
	old = MemoryContextSwitchTo(context);
	keyed->url = keyed->lines ? exact_feed_lines_url(keyed->feed, lane->base_url, lane->division, keyed->keys, keyed->nkeys, &keyed->nkeys) :
		exact_feed_keys_url(keyed->feed, keyed->entity, !keyed->whole, lane->base_url, lane->division, keyed->keys, keyed->nkeys, &keyed->nkeys);
	MemoryContextSwitchTo(old);
	keyed->first_seq = exact_stage_last_seq();
	if (send_keyed(keyed))
		return true;
	MemoryContextDelete(context);
	return false;
}
