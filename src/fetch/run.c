/*
 * run.c - runs of feeds.
 *
 * A run reads a feed from its mark to its last page. Each page is one transaction: call, versions,
 * next link; the mark moves with the last page only. One request of a division is on the way at a
 * time, so everything read earlier is staged when the next request is sent (design: reading right,
 * rule 3). A crash resumes at the stored link.
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/errors.h"
#include "base/fault.h"
#include "base/sql.h"
#include "exact_online/budget.h"
#include "exact_online/exact_api.h"
#include "exact_online/feed.h"
#include "exact_online/link.h"
#include "exact_online/odata.h"
#include "exact_online/odata_value.h"
#include "fetch/cursor.h"
#include "fetch/deletes.h"
#include "fetch/generation.h"
#include "fetch/lane.h"
#include "fetch/run.h"
#include "fetch/sync_request.h"
#include "fetch/trouble.h"
#include "http/http_answer.h"
#include "http/http_client.h"
#include "stage/stage.h"
#include "stage/stage_page.h"
#include "state/dirty_key.h"
#include "state/division_state.h"
#include "state/feed_state.h"
#include "worker/role.h"
#include "worker/self.h"
#include "worker/unit.h"
#include "worker/wake.h"

#define LOG_DAYS 50				/* sync/Deleted keeps two months */
#define LINK_REFUSALS 2			/* in a row: a next link has expired; */
#define LINK_ERRORS 5			/* likewise, answers with nothing usable */

/* ---- failures ---- */

typedef struct RunFailure
{
	ExactRun   *run;
	ExactApiAnswer *answer;
	const ExactFault *fault;
} RunFailure;

static void
failure_unit(void *arg)
{
	RunFailure *failure = arg;
	ExactRun   *run = failure->run;

	if (failure->answer->http != NULL)
		exact_api_record(failure->answer, 0);
	exact_feed_state_fail(run->lane->division, run->name, failure->fault->message, run->errors,
						  run->next_link == NULL);
}

/*
 * Records a request that failed and when the feed may be tried again. A link that is refused, or
 * answered with nothing usable again and again, has expired: the run goes back to its first page.
 */
static void
fail_run(ExactRun *run, ExactApiAnswer *answer, const ExactFault *fault)
{
	RunFailure	failure = {run, answer, fault};
	int			most = answer->trouble == EXACT_API_REFUSED ? LINK_REFUSALS : LINK_ERRORS;

	if (!exact_trouble_waits(answer))
		run->errors++;
	run->not_before = exact_trouble_answer(run->lane, answer, run->errors);
	if (run->next_link != NULL && answer->http != NULL && answer->http->status >= 200 &&
		run->errors >= most)
		exact_lane_set_text(&run->next_link, NULL);
	exact_log(LOG, "failed division=%d feed=%s errors=%d error=\"%s\" detail=\"%s\"",
			  run->lane->division, run->name, run->errors, fault->message,
			  fault->detail ? fault->detail : "");
	exact_unit_run("record failure", failure_unit, &failure, NULL);
	exact_sync_request_settle();
}

/* ---- a page, in its transaction ---- */

/* The answer of one request of a run, on its way into the database */
typedef struct PageUnit
{
	ExactRun   *run;
	ExactApiAnswer *answer;
	ExactPage  *page;
	/* results, taken over when committed */
	int64		run_id;
	int64		first_max;
	int64		max;
	bool		rising;
	int64		rows;
	int64		mark;
	int64		present;		/* of the service, for marks that are times */
	int64		reread_from;
	bool		complete;
	bool		superseded;		/* an operator has reset the feed: the page is dropped */
	bool		delivered;		/* versions were written: the loader has work */
	bool		replan;
	ExactStagePage staged;
	int			tombstones;
} PageUnit;

/* Writes where the run stands now, and when the next one is due. */
static void
save_run(PageUnit *u)
{
	ExactRun   *run = u->run;
	ExactFeedPage page = {0};

	page.division = run->lane->division;
	page.feed = run->name;
	page.mark = u->mark;
	page.run = u->run_id;
	page.complete = u->complete;
	page.next_link = u->complete ? NULL : u->page->next;
	page.run_started_at = run->paging ? run->run_started_at : run->sent_at;
	page.run_first_max = u->first_max;
	page.run_max = u->max;
	page.run_rising = u->rising;
	page.run_rows = u->rows;
	page.run_whole = run->whole;
	page.fields_digest = run->def->digest;
	page.reread_from = u->reread_from;
	if (u->complete)
	{
		ExactRun	ended = *run;

		ended.paging = false;
		ended.wanted_at = 0;
		ended.complete_at = GetCurrentTimestamp();
		page.next_run_at = exact_lane_due_at(&ended);
	}
	exact_feed_state_save(&page);
	if (u->complete && run->def->method == EXACT_FEED_SYNC)
	{
		const char **names = palloc(run->def->nentities * sizeof(char *));

		for (int e = 0; e < run->def->nentities; e++)
			names[e] = run->def->entities[e].name;
		exact_dirty_key_reread(page.division, names, run->def->nentities, page.run_started_at);
	}
}

/*
 * The service's own present as its times of change are written: its local clock (exact-online.md
 * §4.7), in ms. The answer's Date header knows no fractions.
 */
static int64
service_now(const PageUnit *u)
{
	static const char sql[] =
	"SELECT (extract(epoch FROM $1 AT TIME ZONE"
	"  CASE region WHEN 'uk' THEN 'Europe/London' ELSE 'Europe/Amsterdam' END) * 1000)::bigint"
	" FROM exact.app"
	" WHERE name = $2";
	TimestampTz date = exact_http_date(u->answer->http);
	ExactArg	args[2];

	args[0] = exact_arg_time(date != 0 ? date + USECS_PER_SEC : GetCurrentTimestamp());
	args[1] = exact_arg_text(u->run->lane->app);
	return exact_sql(sql, 2, args) == 1 ? exact_cell_int8(0, 1, 0) : 0;
}

/* Times of change. A mark that is still to come would hide what changes until then. */
static void
follow_times(PageUnit *u)
{
	u->present = service_now(u);
	for (int i = 0; i < u->page->nrecords; i++)
	{
		int64		mark;

		if (!exact_feed_modified(u->run->def, &u->page->records[i], &mark) || mark > u->present)
			continue;
		if (mark < u->max)
			u->rising = false;
		u->max = Max(u->max, mark);
	}
}

static void
follow_versions(PageUnit *u)
{
	const ExactFeed *def = u->run->def;

	for (int i = 0; i < u->page->nrecords; i++)
	{
		int64		mark;

		if (!exact_odata_int64(u->page->records[i].values[def->timestamp], &mark))
			ereport(ERROR,
					(errcode(ERRCODE_EXACT_BAD_ANSWER),
					 errmsg("Exact Online answered with a record of %s that has no Timestamp",
							def->name),
					 errdetail("Row %d of the page. Nothing of that page was kept.", i + 1),
					 errhint("The hub asks again by itself.")));
		if (mark <= u->max)
			u->rising = false;
		else
			u->max = mark;
	}
}

/*
 * Follows the marks of a run, row versions or times of change: highest of the first page, highest
 * of all, and whether they rose throughout. With the last page the mark moves: to the highest of
 * all where they rose, else to the highest of the first page only.
 */
static void
follow_marks(PageUnit *u)
{
	ExactRun   *run = u->run;
	bool		by_time = exact_feed_by_time(run->def);

	u->first_max = run->paging ? run->run_first_max : 0;
	u->max = run->paging ? run->run_max : 0;
	u->rising = run->paging ? run->run_rising : true;
	u->mark = run->mark;
	if (run->def->timestamp < 0 && !by_time)
		return;
	if (by_time)
		follow_times(u);
	else
		follow_versions(u);
	if (!run->paging)
		u->first_max = u->max;
	if (!u->complete)
		return;
	u->mark = Max(run->mark, u->rising ? u->max : u->first_max);
	if (by_time && u->mark > u->present)
		u->mark = Max(u->present, 1);	/* the service's clock was set back */
}

/* Stages the records of the page; with the last one, what the run did not see is gone. */
static void
stage_records(PageUnit *u, int64 call)
{
	ExactRun   *run = u->run;
	ExactStagePage *staged = &u->staged;

	staged->feed = run->def;
	staged->enabled = run->enabled;
	staged->page = u->page;
	staged->division = run->lane->division;
	staged->run = u->run_id;
	staged->call = call;
	staged->sent_at = run->sent_at;
	staged->sent_seq = run->sent_seq;
	staged->mark_generation = run->lane->mark_generation;
	staged->first = run->complete_at == 0;
	exact_stage_page_store(staged);
	u->delivered = staged->fresh + staged->changed + staged->vanished > 0;
	u->tombstones = staged->vanished;
	if (staged->reread_from > 0 &&
		(u->reread_from == 0 || staged->reread_from < u->reread_from))
		u->reread_from = staged->reread_from;
	if (u->complete)
	{
		ExactRun	ended = *run;

		ended.run = u->run_id;
		ended.run_rows = u->rows;
		if (!run->paging)
			ended.run_started_at = run->sent_at;
		u->tombstones += exact_deletes_absent(&ended, call);
		u->delivered = u->delivered || u->tombstones > 0;
	}
}

/* Applies a page of the log of deletes. After a gap in it, deletes may have been missed. */
static void
apply_log(PageUnit *u, int64 call)
{
	ExactRun   *run = u->run;

	u->tombstones = exact_deletes_apply_log(run->lane, run->def, u->page, u->run_id, call);
	u->delivered = u->tombstones > 0;
	if (u->complete && run->complete_at != 0 &&
		run->complete_at < GetCurrentTimestamp() - LOG_DAYS * USECS_PER_DAY)
	{
		exact_generation_log_gap(run->lane);
		u->replan = true;
	}
}

/* Stores one page. May run again after a lock time-out: everything in u is set anew. */
static void
page_unit(void *arg)
{
	PageUnit   *u = arg;
	ExactRun   *run = u->run;
	ExactLane  *lane = run->lane;
	int64		call;

	u->run_id = run->run;
	u->reread_from = run->paging ? run->reread_from : 0;
	u->delivered = u->replan = false;
	u->tombstones = 0;
	memset(&u->staged, 0, sizeof(u->staged));

	call = exact_api_record(u->answer, u->page->nrecords);
	u->superseded = !exact_feed_state_lock(lane->division, run->name, run->mark, run->run,
										   run->paging);
	if (u->superseded)
		return;
	if (!run->paging)
	{
		exact_sql("SELECT nextval('exact.run_id')", 0, NULL);
		u->run_id = exact_cell_int8(0, 1, 0);
	}
	u->complete = u->page->next == NULL;
	u->rows = (run->paging ? run->run_rows : 0) + u->page->nrecords;
	follow_marks(u);

	switch (run->def->method)
	{
		case EXACT_FEED_SYNC:
		case EXACT_FEED_FULL:
		case EXACT_FEED_MODIFIED:
		case EXACT_FEED_EXPANDED:
			stage_records(u, call);
			break;
		case EXACT_FEED_LOG:
			apply_log(u, call);
			break;
		case EXACT_FEED_GUARD:
			u->replan = exact_generation_compare(lane, run->def, u->page);
			break;
	}
	if (strcmp(lane->state, "parked") == 0)
		exact_division_state_free(lane->division);
	save_run(u);
}

/* ---- the answer ---- */

/*
 * The run has completed: the notifications and wishes that came before it began are followed by
 * it.
 */
static void
satisfy(ExactRun *run)
{
	run->complete_at = GetCurrentTimestamp();
	if (run->whole)
	{
		run->whole_at = run->run_started_at;
		run->whole_rows = run->run_rows;
	}
	if (run->notified_first < run->run_started_at)
		run->notified_first = run->notified_last;
	if (run->notified_last < run->run_started_at || exact_clock_is_future(run->notified_last))
		run->notified_first = run->notified_last = 0;
	if (run->run_started_at >= run->wanted_at || exact_clock_is_future(run->wanted_at))
		run->wanted_at = 0;
}

/* The page is stored: the run in memory is as its row. */
static void
take_over(PageUnit *u)
{
	ExactRun   *run = u->run;

	if (!run->paging)
		run->run_started_at = run->sent_at;
	run->run = u->run_id;
	run->run_first_max = u->first_max;
	run->run_max = u->max;
	run->run_rising = u->rising;
	run->run_rows = u->rows;
	run->mark = u->mark;
	run->reread_from = u->reread_from;
	strlcpy(run->digest, run->def->digest, sizeof(run->digest));
	run->paging = !u->complete;
	exact_lane_set_text(&run->next_link, u->complete ? NULL : u->page->next);
	run->errors = 0;
	run->not_before = 0;
	if (strcmp(run->lane->state, "parked") == 0)
		strlcpy(run->lane->state, "ok", sizeof(run->lane->state));
	if (u->complete)
		satisfy(run);
}

/*
 * __next must lead to the same host and division; a link to elsewhere would carry the token there.
 */
static ExactFault *
check_link(ExactRun *run, const char *base_url, const char *link)
{
	int			division = run->lane->division;
	int64		other;
	ExactLink	found = exact_link_check(link, base_url, division, run->next_link, &other);
	ExactFault *fault;

	if (found == EXACT_LINK_GOOD)
		return NULL;
	fault = palloc0(sizeof(ExactFault));
	fault->sqlstate = ERRCODE_EXACT_BAD_ANSWER;
	fault->detail = psprintf("GET %s. Nothing of that page was kept and the link was not followed.",
							 run->def->resource);
	fault->hint = pstrdup("The hub asks again by itself; if it stays, something between it and "
						  "Exact Online changes the answers.");
	if (found == EXACT_LINK_HOST)
		fault->message = psprintf("the next page of %s is on another host", run->name);
	else if (found == EXACT_LINK_SAME)
		fault->message = psprintf("the next page of %s is the same page again", run->name);
	else
	{
		fault->sqlstate = ERRCODE_EXACT_DIVISION_GUARD;
		fault->message = psprintf("division %d is frozen: the next page of %s is of division "
								  INT64_FORMAT, division, run->name, other);
		fault->hint = psprintf("Check the administration in Exact Online; "
							   "then SELECT exact.resume(%d).", division);
	}
	return fault;
}

/* Why the answer cannot be used; NULL: *page is a page of the run. */
static ExactFault *
read_page(ExactRun *run, ExactApiAnswer *answer, ExactPage **page)
{
	const ExactHttpResponse *http = answer->http;
	char	   *problem;
	ExactFault *fault;

	*page = exact_odata_parse(http->body, http->body_len, run->def->fields, run->def->nfields,
							  &problem);
	if (*page != NULL && (*page)->is_list)
		return check_link(run, answer->request->base_url, (*page)->next);
	fault = palloc0(sizeof(ExactFault));
	fault->sqlstate = ERRCODE_EXACT_BAD_ANSWER;
	fault->message = psprintf("Exact Online answered %s with something that is not a page: %s",
							  run->name, *page == NULL ? problem : "a single entity");
	fault->detail = psprintf("GET %s, HTTP %ld, %zu bytes. Nothing of it was kept.",
							 run->def->resource, http->status, http->body_len);
	fault->hint = pstrdup("The hub asks again by itself.");
	return fault;
}

static void
refuse_page(ExactRun *run, ExactApiAnswer *answer, ExactFault *fault)
{
	answer->trouble = EXACT_API_TRANSIENT;
	answer->fault = fault;
	if (fault->sqlstate == ERRCODE_EXACT_DIVISION_GUARD)
		exact_trouble_freeze(run->lane, fault);
	fail_run(run, answer, fault);
}

static void
log_page(const PageUnit *u)
{
	const ExactRun *run = u->run;
	int			division = run->lane->division;
	int			minute,
				day;

	exact_budget_left(division, &minute, &day);
	exact_log(LOG, "page division=%d entity=%s rows=%d new=%d changed=%d deleted=%d ms=%.0f "
			  "left_minute=%d left_day=%d",
			  division, run->name, u->page->nrecords, u->staged.fresh, u->staged.changed,
			  u->tombstones, u->answer->http->ms, minute, day);
	if (u->staged.stale > 0)
		exact_log(LOG, "stale division=%d entity=%s rows=%d", division, run->name, u->staged.stale);
}

/* Stores the page of an answer and lets others know what it brings them. */
static void
on_page(ExactApiAnswer *answer, void *arg)
{
	ExactRun   *run = arg;
	ExactLane  *lane = run->lane;
	PageUnit	u = {.run = run,.answer = answer};
	ExactFault *fault;

	exact_lane_release(lane);
	if (answer->trouble != EXACT_API_OK)
	{
		fail_run(run, answer, answer->fault);
		return;
	}
	fault = read_page(run, answer, &u.page);
	if (fault == NULL)
		exact_unit_run("store page", page_unit, &u, &fault);
	if (fault != NULL)
	{
		refuse_page(run, answer, fault);
		return;
	}
	if (u.superseded)
	{
		exact_log(LOG, "page dropped division=%d feed=%s "
				  "reason=\"the feed was reset while it was on the way\"",
				  lane->division, run->name);
		exact_lane_want_plan();
		return;
	}
	take_over(&u);
	if (u.delivered || u.staged.stale > 0 || u.staged.unread > 0)
		lane->keys_at = 0;		/* it may have made keys dirty */
	if (u.delivered)
		exact_wake(EXACT_ROLE_LOADER);
	log_page(&u);
	if (u.replan)
		exact_lane_want_plan();
	else if (u.complete)
		exact_sync_request_settle();
}

/* ---- the request ---- */

/* Asks for the first page of a run, or for the one that its last page pointed to. */
void
exact_run_send(ExactRun *run)
{
	ExactLane  *lane = run->lane;
	ExactApiRequest request = {0};
	bool		on = run->paging && run->next_link;

	if (!run->paging)
		run->whole = exact_cursor_whole(run);
	request.app = lane->app;
	request.base_url = lane->base_url;
	request.division = lane->division;
	request.feed = run->name;
	request.resource = run->def->resource;
	request.language = lane->language;
	if (on)
	{
		request.url = run->next_link;
		request.label = psprintf("%s?$skiptoken=...", run->def->resource);
	}
	else
	{
		int64		from = exact_cursor_from(run);

		request.url = exact_feed_url(run->def, lane->base_url, lane->division, from);
		request.label = exact_feed_label(run->def, from);
	}
	run->sent_at = GetCurrentTimestamp();
	if (run->notified_last != 0)
		run->told_at = run->sent_at;
	run->sent_seq = exact_stage_last_seq();
	exact_lane_hold(lane);
	exact_api_get(&request, on_page, run);
}
