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
#include "document/judge.h"
#include "exact_online/budget.h"
#include "exact_online/exact_api.h"
#include "exact_online/feed.h"
#include "exact_online/link.h"
#include "exact_online/odata.h"
#include "fetch/backfill.h"
#include "fetch/cursor.h"
#include "fetch/deletes.h"
#include "fetch/generation.h"
#include "fetch/lane.h"
#include "fetch/page.h"
#include "fetch/run.h"
#include "fetch/sync_request.h"
#include "fetch/trouble.h"
#include "http/http_answer.h"
#include "http/http_client.h"
#include "stage/aside.h"
#include "stage/stage.h"
#include "stage/stage_page.h"
#include "state/backfill_state.h"
#include "state/dead_letter.h"
#include "state/dirty_key.h"
#include "state/division_state.h"
#include "state/feed_state.h"
#include "worker/role.h"
#include "worker/self.h"
#include "worker/unit.h"
#include "worker/wake.h"

#define LOG_DAYS 50				/* sync/Deleted keeps two months */
#define AGAIN_US USECS_PER_MINUTE	/* after a notified run that showed nothing */
#define ROWS_UNDOUBTED 10000	/* of one run, beside twice what is known of its entities */

/* ---- a page, in its transaction ---- */

/* The answer of one request of a run, on its way into the database */
typedef struct PageUnit
{
	ExactRun   *run;
	ExactApiAnswer *answer;
	ExactPage  *page;
	/* results, taken over when committed */
	int64		run_id;
	ExactCursor cursor;
	int64		rows;
	int64		reread_from;
	TimestampTz again_at;
	int64		night_mark;
	TimestampTz night_at;
	bool		showed;
	bool		last;			/* the service has no more rows */
	char	   *behind;			/* address of the rows behind a part of a page; NULL none */
	bool		complete;
	bool		superseded;		/* an operator has reset the feed: the page is dropped */
	bool		delivered;		/* versions were written: the loader has work */
	bool		replan;
	ExactStagePage staged;
	int			tombstones;
} PageUnit;

/* Is it beyond the page that failed? A run that began anew comes there once more. */
static bool
got_further(const PageUnit *u)
{
	return u->complete || u->rows > u->run->failed_rows;
}

/*
 * Exact Online may announce a change before its lists show it. Notifications whose run showed
 * nothing make the feed run once more.
 */
static TimestampTz
once_more_at(const PageUnit *u)
{
	const ExactRun *run = u->run;
	TimestampTz began = run->paging ? run->run_started_at : run->sent_at;

	if (!u->complete)
		return run->again_at;
	if (run->live != NULL || u->showed ||
		(run->def->method != EXACT_FEED_SYNC && run->def->method != EXACT_FEED_LOG) ||
		run->notified_first == 0 || run->notified_first >= began)
		return 0;
	if (run->def->method == EXACT_FEED_SYNC && u->rows == 0)
		exact_generation_doubt(run->lane);
	return GetCurrentTimestamp() + AGAIN_US;
}

/* Writes where a backfill stands now; with its last page, what waited for it is done. */
static void
save_backfill(PageUnit *u)
{
	ExactRun   *run = u->run;
	ExactBackfillPage page = {0};

	page.division = run->lane->division;
	page.feed = run->name;
	page.run = u->run_id;
	page.next_link = u->complete ? NULL : u->page->next;
	page.started_at = run->paging ? run->run_started_at : run->sent_at;
	page.first_max = u->cursor.first_max;
	page.max = u->cursor.max;
	page.rising = u->cursor.rising;
	page.rows = u->rows;
	page.night = run->nightly ? exact_cursor_night(run->sent_at) : 0;
	page.errors = got_further(u) ? 0 : run->errors;
	exact_backfill_state_save(&page);
	if (!u->complete)
		return;
	if (run->whole)
		exact_feed_state_whole(page.division, page.feed, page.started_at, page.rows);
	exact_backfill_state_end(page.division, page.feed);
	u->replan = true;
}

/* The night has come: what is read again in it, and the mark for the next. */
static void
begin_night(PageUnit *u)
{
	ExactRun   *run = u->run;

	u->night_mark = run->night_mark;
	u->night_at = run->night_at;
	if (!u->complete)
		return;
	if (exact_backfill_at_night(run, u->cursor.mark))
		u->replan = true;
	if (run->def->timestamp < 0 || !exact_cursor_new_night(run))
		return;
	u->night_mark = u->cursor.mark;
	u->night_at = GetCurrentTimestamp();
}

/* Writes where the run stands now, and when the next one is due. */
static void
save_run(PageUnit *u)
{
	ExactRun   *run = u->run;
	ExactFeedPage page = {0};

	page.division = run->lane->division;
	page.feed = run->name;
	page.mark = u->cursor.mark;
	page.run = u->run_id;
	page.complete = u->complete;
	page.next_link = u->complete ? NULL : u->page->next;
	page.run_started_at = run->paging ? run->run_started_at : run->sent_at;
	page.run_first_max = u->cursor.first_max;
	page.run_max = u->cursor.max;
	page.run_rising = u->cursor.rising;
	page.run_rows = u->rows;
	page.run_whole = run->whole;
	page.fields_digest = run->def->digest;
	page.reread_from = u->reread_from;
	page.again_at = u->again_at;
	page.night_mark = u->night_mark;
	page.night_at = u->night_at;
	page.errors = got_further(u) ? 0 : run->errors;
	if (u->complete)
	{
		ExactRun	ended = *run;

		ended.paging = false;
		ended.wanted_at = 0;
		ended.complete_at = GetCurrentTimestamp();
		ended.again_at = u->again_at;
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

/* Stages the records of the page; with the last one, what the run did not see is gone. */
static void
stage_records(PageUnit *u, int64 call)
{
	ExactRun   *run = u->run;
	ExactRun	so_far = *run;
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
	staged->first = run->complete_at == 0 || run->live != NULL;
	exact_stage_page_store(staged);
	u->delivered = staged->fresh + staged->changed > 0;
	if (staged->reread_from > 0 &&
		(u->reread_from == 0 || staged->reread_from < u->reread_from))
		u->reread_from = staged->reread_from;
	so_far.run = u->run_id;
	so_far.run_rows = u->rows;
	if (!run->paging)
		so_far.run_started_at = run->sent_at;
	if (!u->complete ||
		!exact_aside_nameless(so_far.lane->division, so_far.def, so_far.run_started_at))
		u->tombstones += exact_deletes_absent(&so_far, u->page, u->complete, call);
	u->delivered = u->delivered || u->tombstones > 0;
}

/* Applies a page of the log of deletes. After a gap in it, deletes may have been missed. */
static void
apply_log(PageUnit *u, int64 call)
{
	ExactRun   *run = u->run;

	u->tombstones = exact_deletes_apply_log(run->lane, run->def, u->page, u->run_id, call);
	u->delivered = u->tombstones > 0;
	if (u->complete && run->live == NULL && run->complete_at != 0 &&
		run->complete_at < GetCurrentTimestamp() - LOG_DAYS * USECS_PER_DAY)
	{
		exact_generation_log_gap(run->lane);
		u->replan = true;
	}
}

/* Does a backfill up to a time of change need no page after this one? Pages rise. */
static bool
is_beyond(const ExactRun *run, const ExactPage *page)
{
	int64		mark;

	return run->until > 0 && page->nrecords > 0 &&
		exact_feed_modified(run->def, &page->records[page->nrecords - 1], &mark) &&
		mark > run->until;
}

/*
 * A run that has read far more records than are known to exist is led in a circle by links that
 * are new each time.
 */
static void
check_rows(const PageUnit *u)
{
	static const char sql[] =
	"SELECT count(*) FROM exact.record WHERE division = $1 AND entity = ANY ($2::text[])";
	ExactRun   *run = u->run;
	const char **names = palloc((run->def->nentities + 1) * sizeof(char *));
	ExactArg	args[2];

	if (run->def->nentities == 0 || u->rows <= Max(run->most_rows, ROWS_UNDOUBTED))
		return;
	for (int e = 0; e < run->def->nentities; e++)
		names[e] = run->def->entities[e].name;
	args[0] = exact_arg_int4(run->lane->division);
	args[1] = exact_arg_text_array(names, NULL, run->def->nentities);
	exact_sql(sql, 2, args);
	run->most_rows = 2 * exact_cell_int8(0, 1, 0) + ROWS_UNDOUBTED;
	run->leads_back = u->rows > run->most_rows;
	if (run->leads_back)
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_BAD_ANSWER),
				 errmsg("the pages of %s do not end", run->name),
				 errdetail("GET %s: " INT64_FORMAT " rows, and no more than " INT64_FORMAT
						   " records are known.", run->def->resource, u->rows,
						   (run->most_rows - ROWS_UNDOUBTED) / 2),
				 errhint("The run starts again; if this stays, something between the hub and "
						 "Exact Online changes the answers.")));
}

/* All of a feed has been read: what was to be tried again and did not come again is done. */
static void
end_retried(const ExactRun *run)
{
	const ExactFeed *def = run->def;
	const char **names = palloc((def->nentities + 1) * sizeof(char *));

	if (!run->whole && run->mark > 1)
		return;
	names[0] = def->name;		/* the log of deletes has no entity */
	for (int e = 0; e < def->nentities; e++)
		names[e] = def->entities[e].name;
	exact_dead_letter_reread(run->lane->division, names, Max(def->nentities, 1),
							 run->paging ? run->run_started_at : run->sent_at);
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
	u->superseded = run->live != NULL
		? !exact_backfill_state_lock(lane->division, run->name, run->run, run->paging)
		: !exact_feed_state_lock(lane->division, run->name, run->mark, run->run, run->paging);
	if (u->superseded)
		return;
	if (!run->paging)
	{
		exact_sql("SELECT nextval('exact.run_id')", 0, NULL);
		u->run_id = exact_cell_int8(0, 1, 0);
	}
	u->complete = u->last || is_beyond(run, u->page);
	u->rows = (exact_cursor_begins(run) ? 0 : run->run_rows) + u->page->nrecords;
	exact_cursor_follow(run, u->page, exact_feed_by_time(run->def) ? service_now(u) : 0,
						u->complete, &u->cursor);
	if (run->sent_top > 0 && u->page->nrecords > 0)
		u->page->next = exact_cursor_rises(run, &u->cursor) ? NULL : u->behind;

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
	check_rows(u);
	if (u->complete)
		end_retried(run);
	if (strcmp(lane->state, "parked") == 0)
		exact_division_state_free(lane->division);
	u->showed = (run->paging && run->showed) ||
		u->staged.fresh + u->staged.changed + u->tombstones > 0;
	u->again_at = once_more_at(u);
	if (run->live != NULL)
	{
		save_backfill(u);
		return;
	}
	begin_night(u);
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

/* Likewise of a backfill: the calls of the night, and that it has ended. */
static void
take_over_backfill(ExactRun *run, bool complete)
{
	ExactLane  *lane = run->lane;
	int			night = exact_cursor_night(run->sent_at);

	if (run->nightly)
	{
		lane->night_calls = lane->night == night ? lane->night_calls + 1 : 1;
		lane->night = night;
	}
	if (!complete)
		return;
	run->present = false;
	if (run->whole)
	{
		run->live->whole_at = run->run_started_at;
		run->live->whole_rows = run->run_rows;
	}
	exact_log(LOG, "backfill done division=%d feed=%s rows=" INT64_FORMAT, lane->division,
			  run->name, run->run_rows);
}

/* The page is stored: the run in memory is as its row. */
static void
take_over(PageUnit *u)
{
	ExactRun   *run = u->run;

	exact_page_been(run, u->answer->request->url, exact_cursor_begins(run));
	if (!run->paging)
		run->run_started_at = run->sent_at;
	if (got_further(u))
	{
		run->errors = 0;
		run->failed_rows = 0;
		run->stuck_since = 0;
	}
	run->run = u->run_id;
	run->run_first_max = u->cursor.first_max;
	run->run_max = u->cursor.max;
	run->run_rising = u->cursor.rising;
	run->run_rows = u->rows;
	run->showed = u->showed;
	run->again_at = u->again_at;
	if (run->live == NULL)
		run->mark = u->cursor.mark;
	run->reread_from = u->reread_from;
	if (run->live == NULL)
		strlcpy(run->digest, run->def->digest, sizeof(run->digest));
	run->paging = !u->complete;
	exact_lane_set_text(&run->next_link, u->complete ? NULL : u->page->next);
	run->refusals = 0;
	exact_cursor_larger(run);
	run->not_before = 0;
	if (strcmp(run->lane->state, "parked") == 0)
		strlcpy(run->lane->state, "ok", sizeof(run->lane->state));
	if (run->live != NULL)
		take_over_backfill(run, u->complete);
	else if (u->complete)
		satisfy(run);
	if (run->live == NULL)
	{
		run->night_mark = u->night_mark;
		run->night_at = u->night_at;
	}
}

static void
refuse_page(ExactRun *run, ExactApiAnswer *answer, ExactFault *fault)
{
	answer->trouble = EXACT_API_TRANSIENT;
	answer->fault = fault;
	if (fault->sqlstate == ERRCODE_EXACT_DIVISION_GUARD)
		exact_trouble_freeze(run->lane, fault);
	exact_trouble_run(run, answer, fault);
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
		exact_trouble_run(run, answer, answer->fault);
		return;
	}
	fault = exact_page_read(run, answer, &u.page, &u.last, &u.behind);
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
	if (u.delivered || u.complete)
		exact_judge_want(u.staged.first);
	log_page(&u);
	if (u.replan)
		exact_lane_want_plan();
	if (!u.complete || run->live != NULL)
		return;
	exact_sync_request_settle(lane);
	exact_lane_has_read(lane);
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
	run->sent_top = on ? exact_link_top(run->next_link) : run->top;
	if (!on && run->sent_top > 0)
	{
		request.url = exact_link_part(request.url, run->sent_top, NULL);
		request.label = psprintf("%s%c$top=%d", request.label,
								 strchr(request.label, '?') ? '&' : '?', run->sent_top);
	}
	run->sent_at = GetCurrentTimestamp();
	if (run->notified_last != 0)
		run->told_at = run->sent_at;
	run->sent_seq = exact_stage_last_seq();
	run->leads_back = false;
	exact_lane_hold(lane);
	exact_api_get(&request, on_page, run);
}
