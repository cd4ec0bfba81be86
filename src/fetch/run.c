/*
 * run.c - runs of feeds.
 *
 * A run reads a feed from its mark to its last page. Each page is one transaction: call, versions, next link; the mark moves
 * with the last page only. One request of a division is on the way at a time, so everything read earlier is staged when the
 * next request is sent (design: reading right, rule 3). A crash resumes at the stored link.
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/errors.h"
#include "base/fault.h"
#include "base/guc.h"
#include "base/sql.h"
#include "exact_online/budget.h"
#include "exact_online/link.h"
#include "exact_online/odata_value.h"
#include "fetch/cursor.h"
#include "fetch/deletes.h"
#include "fetch/division.h"
#include "fetch/keyed.h"
#include "fetch/run.h"
#include "fetch/stage.h"
#include "fetch/trouble.h"
#include "http/http_answer.h"
#include "worker/self.h"
#include "worker/unit.h"
#include "worker/wake.h"

#define MAX_ACTIVE 32
#define PARKED_MS 3600000
#define LOG_DAYS 50				/* sync/Deleted keeps two months */

static int	active;

void
exact_run_hold(ExactLane *lane)
{
	lane->busy = true;
	active++;
}

void
exact_run_release(ExactLane *lane)
{
	lane->busy = false;
	active--;
	if (lane->reread)
		exact_plan_want();
	lane->reread = false;
}

typedef struct RunFailure
{
	ExactRun   *run;
	ExactApiAnswer *answer;
	const ExactFault *fault;
} RunFailure;

static void
failure_unit(void *arg)
{
	static const char sql[] =
	"INSERT INTO exact.feed_state AS s (division, feed, last_error, last_error_at, errors) VALUES ($1, $2, $3, now(), $4) "
	"ON CONFLICT (division, feed) DO UPDATE SET last_error = excluded.last_error, last_error_at = now(), errors = excluded.errors, "
	"next_link = CASE WHEN $5 THEN NULL ELSE s.next_link END";
	RunFailure *failure = arg;
	ExactRun   *run = failure->run;
	ExactArg	args[5];

	if (failure->answer->http != NULL)
		exact_api_record(failure->answer, 0);
	args[0] = exact_arg_int4(run->lane->division);
	args[1] = exact_arg_text(run->name);
	args[2] = exact_arg_text(failure->fault->message);
	args[3] = exact_arg_int4(run->errors);
	args[4] = exact_arg_bool(run->next_link == NULL);
	exact_sql(sql, 5, args);
}

static void
fail_run(ExactRun *run, ExactApiAnswer *answer, const ExactFault *fault)
{
	RunFailure	failure = {run, answer, fault};

	if (!exact_trouble_waits(answer))
		run->errors++;
	run->not_before = exact_trouble_answer(run->lane, answer, run->errors);
	/* a link that is refused, or answered with nothing usable again and again, has expired: the run goes back to its first page */
	if (run->next_link != NULL && answer->http != NULL && answer->http->status >= 200 &&
		run->errors >= (answer->trouble == EXACT_API_REFUSED ? 2 : 5))
		exact_plan_set_link(run, NULL);
	exact_log(LOG, "failed division=%d feed=%s errors=%d error=\"%s\" detail=\"%s\"", run->lane->division, run->name, run->errors,
			  fault->message, fault->detail ? fault->detail : "");
	exact_unit_run("record failure", failure_unit, &failure, NULL);
	exact_plan_settle();
}

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
	bool		superseded;
	bool		delivered;		/* versions were written: the loader has work */
	bool		replan;
	ExactStagePage staged;
	int			tombstones;
} PageUnit;

/* Is the feed still where it was when the request was sent? If not, an operator has reset it: the page is dropped. */
static bool
still_ours(PageUnit *u)
{
	static const char sql[] = "SELECT mark, coalesce(run, 0), run_state <> 'idle' FROM exact.feed_state WHERE division = $1 AND feed = $2 FOR UPDATE";
	ExactRun   *run = u->run;
	ExactArg	args[2];

	args[0] = exact_arg_int4(run->lane->division);
	args[1] = exact_arg_text(run->name);
	if (exact_sql(sql, 2, args) == 0)
		return run->run == 0 && run->mark == 1;
	return exact_cell_int8(0, 1, 1) == run->mark && exact_cell_int8(0, 2, 0) == run->run &&
		exact_cell_bool(0, 3, false) == run->paging;
}

static void
save_run(PageUnit *u)
{
	static const char sql[] =
	"INSERT INTO exact.feed_state AS s (division, feed, mark, run, run_state, next_link, run_started_at, run_first_max, run_max, run_rising, run_rows, "
	"  complete_at, first_complete_at, next_run_at, fields_digest, errors, reread_from, run_whole, whole_at, whole_rows) "
	"VALUES ($1, $2, $3, $4, CASE WHEN $5 THEN 'idle' ELSE 'paging' END, $6, $7, $8, $9, $10, $11, CASE WHEN $5 THEN clock_timestamp() END, CASE WHEN $5 THEN clock_timestamp() END, $12, $13, 0, "
	"  $14, $15 AND NOT $5, CASE WHEN $15 AND $5 THEN $7 END, CASE WHEN $15 AND $5 THEN $11 ELSE 0 END) "
	"ON CONFLICT (division, feed) DO UPDATE SET mark = excluded.mark, run = excluded.run, run_state = excluded.run_state, next_link = excluded.next_link, "
	"  run_started_at = excluded.run_started_at, run_first_max = excluded.run_first_max, run_max = excluded.run_max, run_rising = excluded.run_rising, "
	"  run_rows = excluded.run_rows, complete_at = coalesce(excluded.complete_at, s.complete_at), "
	"  first_complete_at = coalesce(s.first_complete_at, excluded.complete_at), next_run_at = excluded.next_run_at, fields_digest = excluded.fields_digest, errors = 0, "
	"  reread_from = excluded.reread_from, run_whole = excluded.run_whole, whole_at = coalesce(excluded.whole_at, s.whole_at), "
	"  whole_rows = CASE WHEN excluded.whole_at IS NULL THEN s.whole_rows ELSE excluded.whole_rows END, "
	"  notified_first = CASE WHEN $5 AND (s.notified_last < $7 OR s.notified_last > clock_timestamp()) THEN NULL WHEN $5 AND s.notified_first < $7 THEN s.notified_last ELSE s.notified_first END, "
	"  notified_last = CASE WHEN $5 AND (s.notified_last < $7 OR s.notified_last > clock_timestamp()) THEN NULL ELSE s.notified_last END, "
	"  last_error = CASE WHEN s.confirm_errors > 0 THEN s.last_error END, last_error_at = CASE WHEN s.confirm_errors > 0 THEN s.last_error_at END";
	/* what was read before its deletion and came after it has been read again by now, or is gone */
	static const char clean_sql[] = "DELETE FROM exact.dirty_key WHERE division = $1 AND entity = ANY ($2::text[]) AND reason = 'sent before its deletion' AND since < $3";
	ExactRun   *run = u->run;
	ExactArg	args[15];
	TimestampTz next = 0;

	if (u->complete)
	{
		ExactRun	ended = *run;

		ended.paging = false;
		ended.wanted_at = 0;
		ended.complete_at = GetCurrentTimestamp();
		next = exact_plan_due_at(&ended);
	}
	args[0] = exact_arg_int4(run->lane->division);
	args[1] = exact_arg_text(run->name);
	args[2] = exact_arg_int8(u->mark);
	args[3] = exact_arg_int8(u->run_id);
	args[4] = exact_arg_bool(u->complete);
	args[5] = exact_arg_text(u->complete ? NULL : u->page->next);
	args[6] = exact_arg_time(run->paging ? run->run_started_at : run->sent_at);
	args[7] = exact_arg_int8(u->first_max);
	args[8] = exact_arg_int8(u->max);
	args[9] = exact_arg_bool(u->rising);
	args[10] = exact_arg_int8(u->rows);
	args[11] = next ? exact_arg_time(next) : exact_arg_null(TIMESTAMPTZOID);
	args[12] = exact_arg_text(run->def->digest);
	args[13] = u->reread_from > 0 ? exact_arg_int8(u->reread_from) : exact_arg_null(INT8OID);
	args[14] = exact_arg_bool(run->whole);
	exact_sql(sql, 15, args);
	if (u->complete && run->def->method == EXACT_FEED_SYNC)
	{
		const char **names = palloc(run->def->nentities * sizeof(char *));

		for (int e = 0; e < run->def->nentities; e++)
			names[e] = run->def->entities[e].name;
		args[2] = args[6];
		args[1] = exact_arg_text_array(names, NULL, run->def->nentities);
		exact_sql(clean_sql, 3, args);
	}
}

/* The service's own present as its times of change are written: its local clock (exact-online.md §4.7), in ms. */
static int64
service_now(const PageUnit *u)
{
	static const char sql[] =
	"SELECT (extract(epoch FROM $1 AT TIME ZONE CASE region WHEN 'uk' THEN 'Europe/London' ELSE 'Europe/Amsterdam' END) * 1000)::bigint FROM exact.app WHERE name = $2";
	TimestampTz date = exact_http_date(u->answer->http);
	ExactArg	args[2];

	args[0] = exact_arg_time(date != 0 ? date + USECS_PER_SEC : GetCurrentTimestamp());	/* the header knows no fractions */
	args[1] = exact_arg_text(u->run->lane->app);
	return exact_sql(sql, 2, args) == 1 ? exact_cell_int8(0, 1, 0) : 0;
}

/* Follows the marks of a run, row versions or times of change: highest of the first page, highest of all, and whether they rose throughout. */
static void
follow_marks(PageUnit *u)
{
	const ExactFeed *def = u->run->def;
	bool		by_time = exact_feed_by_time(def);

	if (def->timestamp < 0 && !by_time)
		return;
	if (by_time)
		u->present = service_now(u);
	for (int i = 0; i < u->page->nrecords; i++)
	{
		const ExactRecord *record = &u->page->records[i];
		int64		mark;

		if (by_time)
		{
			if (!exact_feed_modified(def, record, &mark) || mark > u->present)
				continue;		/* a mark that is still to come would hide what changes until then */
			if (mark < u->max)
				u->rising = false;
			u->max = Max(u->max, mark);
			continue;
		}
		if (!exact_odata_int64(record->values[def->timestamp], &mark))
			ereport(ERROR,
					(errcode(ERRCODE_EXACT_BAD_ANSWER),
					 errmsg("Exact Online answered with a record of %s that has no Timestamp", def->name),
					 errdetail("Row %d of the page. Nothing of that page was kept.", i + 1),
					 errhint("The hub asks again by itself.")));
		if (mark <= u->max)
			u->rising = false;
		else
			u->max = mark;
	}
	if (!u->run->paging)
		u->first_max = u->max;
}

static void
page_unit(void *arg)
{
	PageUnit   *u = arg;
	ExactRun   *run = u->run;
	ExactLane  *lane = run->lane;
	int64		call;

	/* a unit may be run again after a lock time-out */
	u->run_id = run->run;
	u->first_max = run->paging ? run->run_first_max : 0;
	u->max = run->paging ? run->run_max : 0;
	u->rising = run->paging ? run->run_rising : true;
	u->mark = run->mark;
	u->reread_from = run->paging ? run->reread_from : 0;
	u->delivered = u->replan = false;
	u->tombstones = 0;
	memset(&u->staged, 0, sizeof(u->staged));

	call = exact_api_record(u->answer, u->page->nrecords);
	u->superseded = !still_ours(u);
	if (u->superseded)
		return;
	if (!run->paging)
	{
		exact_sql("SELECT pg_catalog.nextval('exact.run_id')", 0, NULL);
		u->run_id = exact_cell_int8(0, 1, 0);
	}
	follow_marks(u);
	u->complete = u->page->next == NULL;
	u->rows = (run->paging ? run->run_rows : 0) + u->page->nrecords;
	if (u->complete && (run->def->timestamp >= 0 || exact_feed_by_time(run->def)))
		u->mark = Max(run->mark, u->rising ? u->max : u->first_max);
	if (u->complete && exact_feed_by_time(run->def) && u->mark > u->present)
		u->mark = Max(u->present, 1);	/* the service's clock was set back */

	switch (run->def->method)
	{
		case EXACT_FEED_SYNC:
		case EXACT_FEED_FULL:
		case EXACT_FEED_MODIFIED:
		case EXACT_FEED_EXPANDED:
			u->staged.feed = run->def;
			u->staged.enabled = run->enabled;
			u->staged.page = u->page;
			u->staged.division = lane->division;
			u->staged.run = u->run_id;
			u->staged.call = call;
			u->staged.sent_at = run->sent_at;
			u->staged.sent_seq = run->sent_seq;
			u->staged.mark_generation = lane->mark_generation;
			u->staged.first = run->complete_at == 0;
			exact_stage_page(&u->staged);
			u->delivered = u->staged.fresh + u->staged.changed + u->staged.vanished > 0;
			u->tombstones = u->staged.vanished;
			if (u->staged.reread_from > 0 && (u->reread_from == 0 || u->staged.reread_from < u->reread_from))
				u->reread_from = u->staged.reread_from;
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
			break;
		case EXACT_FEED_LOG:
			u->tombstones = exact_deletes_apply_log(lane, run->def, u->page, u->run_id, call);
			u->delivered = u->tombstones > 0;
			if (u->complete && run->complete_at != 0 && run->complete_at < GetCurrentTimestamp() - LOG_DAYS * USECS_PER_DAY)
			{
				exact_division_read_again(lane, "the log of deletes was not read for longer than it is kept");
				u->replan = true;
			}
			break;
		case EXACT_FEED_GUARD:
			u->replan = exact_division_compare(lane, run->def, u->page);
			break;
	}
	if (strcmp(lane->state, "parked") == 0)
	{
		static const char free_sql[] = "UPDATE exact.division_state SET state = 'ok', since = now(), reason = NULL, next_step = NULL WHERE division = $1 AND state = 'parked'";
		ExactArg	division = exact_arg_int4(lane->division);

		exact_sql(free_sql, 1, &division);
	}
	save_run(u);
}

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
	exact_plan_set_link(run, u->complete ? NULL : u->page->next);
	run->errors = 0;
	run->not_before = 0;
	if (strcmp(run->lane->state, "parked") == 0)
		strlcpy(run->lane->state, "ok", sizeof(run->lane->state));
	if (u->complete)
	{
		run->complete_at = GetCurrentTimestamp();
		if (run->whole)
		{
			run->whole_at = run->run_started_at;
			run->whole_rows = u->rows;
		}
		if (run->notified_first < run->run_started_at)
			run->notified_first = run->notified_last;
		if (run->notified_last < run->run_started_at || run->notified_last > run->complete_at)	/* the latter by a clock that was set back */
			run->notified_first = run->notified_last = 0;
		if (run->run_started_at >= run->wanted_at || run->wanted_at > run->complete_at)
			run->wanted_at = 0;	/* satisfied, or of a clock that was set back */
	}
}

/* __next must lead to the same host and division; a link to elsewhere would carry the token there. */
static ExactFault *
check_link(ExactRun *run, const char *base_url, const char *link)
{
	ExactLane  *lane = run->lane;
	int64		division;
	ExactLink	found = exact_link_check(link, base_url, lane->division, run->next_link, &division);
	ExactFault *fault;

	if (found == EXACT_LINK_GOOD)
		return NULL;
	fault = palloc0(sizeof(ExactFault));
	fault->sqlstate = ERRCODE_EXACT_BAD_ANSWER;
	fault->detail = psprintf("GET %s. Nothing of that page was kept and the link was not followed.", run->def->resource);
	fault->hint = pstrdup("The hub asks again by itself; if it stays, something between it and Exact Online changes the answers.");
	if (found == EXACT_LINK_HOST)
		fault->message = psprintf("the next page of %s is on another host", run->name);
	else if (found == EXACT_LINK_SAME)
		fault->message = psprintf("the next page of %s is the same page again", run->name);
	else
	{
		fault->sqlstate = ERRCODE_EXACT_DIVISION_GUARD;
		fault->message = psprintf("division %d is frozen: the next page of %s is of division " INT64_FORMAT, lane->division, run->name, division);
		fault->hint = psprintf("Check the administration in Exact Online; then SELECT exact.resume(%d).", lane->division);
	}
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
on_page(ExactApiAnswer *answer, void *arg)
{
	ExactRun   *run = arg;
	ExactLane  *lane = run->lane;
	PageUnit	u = {.run = run,.answer = answer};
	ExactFault *fault = NULL;
	char	   *problem;
	int			minute,
				day;

	exact_run_release(lane);
	if (answer->trouble != EXACT_API_OK)
	{
		fail_run(run, answer, answer->fault);
		return;
	}
	u.page = exact_odata_parse(answer->http->body, answer->http->body_len, run->def->fields, run->def->nfields, &problem);
	if (u.page == NULL || !u.page->is_list)
	{
		fault = palloc0(sizeof(ExactFault));
		fault->sqlstate = ERRCODE_EXACT_BAD_ANSWER;
		fault->message = psprintf("Exact Online answered %s with something that is not a page: %s", run->name,
								  u.page == NULL ? problem : "a single entity");
		fault->detail = psprintf("GET %s, HTTP %ld, %zu bytes. Nothing of it was kept.", run->def->resource, answer->http->status, answer->http->body_len);
		fault->hint = pstrdup("The hub asks again by itself.");
	}
	else
		fault = check_link(run, answer->request->base_url, u.page->next);
	if (fault != NULL)
	{
		refuse_page(run, answer, fault);
		return;
	}
	if (!exact_unit_run("store page", page_unit, &u, &fault))
	{
		refuse_page(run, answer, fault);
		return;
	}
	if (u.superseded)
	{
		exact_log(LOG, "page dropped division=%d feed=%s reason=\"the feed was reset while it was on the way\"", lane->division, run->name);
		exact_plan_want();
		return;
	}
	take_over(&u);
	if (u.delivered || u.staged.stale > 0 || u.staged.unread > 0)
		lane->keys_at = 0;		/* it may have made keys dirty */
	if (u.delivered)
		exact_wake(EXACT_ROLE_LOADER);
	exact_budget_left(lane->division, &minute, &day);
	exact_log(LOG, "page division=%d entity=%s rows=%d new=%d changed=%d deleted=%d ms=%.0f left_minute=%d left_day=%d",
			  lane->division, run->name, u.page->nrecords, u.staged.fresh, u.staged.changed, u.tombstones, answer->http->ms, minute, day);
	if (u.staged.stale > 0)
		exact_log(LOG, "stale division=%d entity=%s rows=%d", lane->division, run->name, u.staged.stale);
	if (u.replan)
		exact_plan_want();
	else if (u.complete)
		exact_plan_settle();
}

static void
send_run(ExactRun *run)
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
	request.url = on ? run->next_link : exact_feed_url(run->def, lane->base_url, lane->division, exact_cursor_from(run));
	request.label = on ? psprintf("%s?$skiptoken=...", run->def->resource) : exact_feed_label(run->def, exact_cursor_from(run));
	run->sent_at = GetCurrentTimestamp();
	if (run->notified_last != 0)
		run->told_at = run->sent_at;
	run->sent_seq = exact_stage_last_seq();
	exact_run_hold(lane);
	exact_api_get(&request, on_page, run);
}

/* When this run may send: 0 = now. */
static TimestampTz
run_ready_at(ExactRun *run)
{
	const char *why;
	TimestampTz at;

	if (!run->present || run->paused || run->def == NULL)
		return PG_INT64_MAX;
	at = Max(exact_plan_due_at(run), run->not_before);
	if (at == PG_INT64_MAX)
		return at;
	if (run->complete_at == 0 && run->def->nentities > 0)	/* a first load leaves a part of each budget to live traffic */
		return Max(at, exact_budget_backfill_at(run->lane->division, run->def->resource, &why));
	return Max(at, exact_budget_allowed_at(run->lane->division, run->def->resource, &why));
}

/* Sends what is due in one lane; returns when something will be due. */
static TimestampTz
step_lane(ExactLane *lane)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = PG_INT64_MAX;
	ExactRun   *chosen = NULL;

	if (!lane->present || lane->busy || lane->base_url == NULL)
		return PG_INT64_MAX;
	if (strcmp(lane->state, "parked") == 0)
	{
		if (lane->state_since + PARKED_MS * INT64CONST(1000) > now)
			return lane->state_since + PARKED_MS * INT64CONST(1000);
	}
	else if (strcmp(lane->state, "ok") != 0)
		return PG_INT64_MAX;
	if (lane->not_before > now)
		return lane->not_before;
	for (int i = 0; i < lane->nruns; i++)
	{
		ExactRun   *run = lane->runs[i];
		TimestampTz at = run_ready_at(run);

		if (at > now)
			next = Min(next, at);
		else if (run->def->method == EXACT_FEED_GUARD && run->complete_at == 0 && run->errors == 0)
		{
			chosen = run;		/* the division's move date before its first row version */
			break;
		}
		else if (chosen == NULL || run->sent_at < chosen->sent_at)
			chosen = run;		/* the one that has waited longest, so that a long load starves nobody */
	}
	/* dirty keys and runs take turns */
	if (lane->keys_at <= now && (chosen == NULL || !lane->keyed_last))
	{
		lane->keyed_last = true;
		if (exact_keyed_send(lane))
			return lane->busy ? PG_INT64_MAX : now;
	}
	if (chosen != NULL)
	{
		lane->keyed_last = false;
		send_run(chosen);
		return lane->busy ? PG_INT64_MAX : now;	/* it may have ended at once, without a token */
	}
	return Min(next, lane->keys_at);
}

long
exact_run_turn(void)
{
	ExactLane **lanes;
	int			n = exact_plan_lanes(&lanes);
	TimestampTz next = PG_INT64_MAX;
	TimestampTz now;
	static int	first;

	for (int i = 0; i < n && active < MAX_ACTIVE; i++)
	{
		TimestampTz at = step_lane(lanes[(first + i) % n]);

		next = Min(next, at);
	}
	if (n > 0)
		first = (first + 1) % n;
	if (next == PG_INT64_MAX)
		return -1;
	now = GetCurrentTimestamp();
	return next <= now ? 0 : (long) Min((next - now) / 1000 + 1, 3600000);
}
