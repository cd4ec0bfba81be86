/*
 * plan.c - what the fetcher has to do.
 *
 * Read anew whenever the fetcher is woken (configuration, requests, resume); between that it lives in memory, so an idle
 * fetcher runs no SQL. Lanes and runs are never freed while the process lives: requests on the way point to them.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/memutils.h"

#include "auth/address.h"
#include "base/guc.h"
#include "base/sql.h"
#include "exact_online/budget.h"
#include "exact_online/endpoint.h"
#include "exact_online/exact_api.h"
#include "fetch/plan.h"
#include "worker/self.h"
#include "worker/unit.h"

static ExactLane **lanes;
static int	nlanes;
static int	lane_capacity;
static bool requests_open;
static bool plan_due = true;
static TimestampTz read_at;
static TimestampTz plan_not_before;	/* after a reading that failed */

#define LOOK_AGAIN_MS 1000
#define AGAIN_MS 3000
#define READ_AGAIN_MS 1000
#define ADDRESS_AGAIN_MS 60000

static void
set_text(char **field, const char *value)
{
	free(*field);
	*field = value ? strdup(value) : NULL;
}

void
exact_plan_set_link(ExactRun *run, const char *link)
{
	set_text(&run->next_link, link);
}

int
exact_plan_lanes(ExactLane ***out)
{
	*out = lanes;
	return nlanes;
}

ExactLane *
exact_plan_lane(int division)
{
	for (int i = 0; i < nlanes; i++)
		if (lanes[i]->division == division)
			return lanes[i];
	return NULL;
}

static ExactLane *
make_lane(int division)
{
	ExactLane  *lane = exact_plan_lane(division);

	if (lane != NULL)
		return lane;
	if (nlanes == lane_capacity)
	{
		lane_capacity = lane_capacity ? lane_capacity * 2 : 16;
		lanes = lanes ? repalloc(lanes, lane_capacity * sizeof(ExactLane *))
			: MemoryContextAlloc(TopMemoryContext, lane_capacity * sizeof(ExactLane *));
	}
	lane = MemoryContextAllocZero(TopMemoryContext, sizeof(ExactLane));
	lane->division = division;
	lanes[nlanes++] = lane;
	return lane;
}

ExactRun *
exact_plan_run(ExactLane *lane, const char *feed)
{
	ExactRun   *run;

	for (int i = 0; i < lane->nruns; i++)
		if (strcmp(lane->runs[i]->name, feed) == 0)
			return lane->runs[i];
	if (lane->nruns == lane->capacity)
	{
		lane->capacity = lane->capacity ? lane->capacity * 2 : 8;
		lane->runs = lane->runs ? repalloc(lane->runs, lane->capacity * sizeof(ExactRun *))
			: MemoryContextAlloc(TopMemoryContext, lane->capacity * sizeof(ExactRun *));
	}
	run = MemoryContextAllocZero(TopMemoryContext, sizeof(ExactRun));
	run->lane = lane;
	strlcpy(run->name, feed, sizeof(run->name));
	run->mark = 1;
	lane->runs[lane->nruns++] = run;
	return run;
}

void
exact_plan_notified(int division, const char *feed, TimestampTz first, TimestampTz last)
{
	ExactLane  *lane = exact_plan_lane(division);

	for (int i = 0; lane != NULL && i < lane->nruns; i++)
		if (strcmp(lane->runs[i]->name, feed) == 0)
		{
			ExactRun   *run = lane->runs[i];

			if (run->notified_first == 0 || first < run->notified_first)
				run->notified_first = first;
			run->notified_last = Max(run->notified_last, last);
		}
}

/* A first load of documents waits until what makes them be read again is complete: no change then lies between the two. */
static bool
waits_for_trigger(const ExactRun *run)
{
	for (int i = 0; run->def->trigger_feed != NULL && i < run->lane->nruns; i++)
	{
		const ExactRun *trigger = run->lane->runs[i];

		if (strcmp(trigger->name, run->def->trigger_feed) == 0)
			return trigger->present && !trigger->paused && trigger->complete_at == 0 && trigger->errors < 3;
	}
	return false;
}

/* Feeds of a division that were notified lately share its calls. */
int64
exact_plan_gap(const ExactLane *lane)
{
	TimestampTz since = GetCurrentTimestamp() - 10 * USECS_PER_MINUTE;
	int			n = 0;

	for (int i = 0; i < lane->nruns; i++)
		if (lane->runs[i]->notified_last > since || lane->runs[i]->told_at > since || lane->runs[i]->keyed_at > since)
			n++;
	return exact_budget_gap(lane->division, Max(n, 1));
}

/* When notifications make a feed due: after a pause in them, at the latest five such pauses after the first; paced by the budget. */
static TimestampTz
notified_due_at(const ExactRun *run)
{
	int64		pause = exact_debounce_ms * INT64CONST(1000);
	TimestampTz now = GetCurrentTimestamp();

	if (run->notified_last == 0)
		return PG_INT64_MAX;
	/* a time that is still to come is of a clock that was set back */
	return Max(run->notified_last > now ? 0 : Min(run->notified_last + pause, run->notified_first + 5 * pause),
			   run->run_started_at > now ? 0 : run->run_started_at + exact_plan_gap(run->lane));
}

TimestampTz
exact_plan_due_at(const ExactRun *run)
{
	int64		interval = run->def->interval_us;

	if (run->complete_at == 0 && !run->paging && waits_for_trigger(run))
		return PG_INT64_MAX;
	if (run->paging || run->complete_at == 0 || run->complete_at > GetCurrentTimestamp() + USECS_PER_SEC || (run->wanted_at != 0 && run->run_started_at < run->wanted_at))
		return 0;
	if (run->reread_from > 0)
		return run->complete_at + USECS_PER_SEC;
	if (exact_sync_interval_ms > 0 && run->def->method != EXACT_FEED_GUARD && !run->def->interval_set)
		interval = exact_sync_interval_ms * INT64CONST(1000);
	if (interval <= 0)
		interval = USECS_PER_HOUR;
	return Min(run->complete_at + interval, notified_due_at(run));
}

/* Whatever waits after errors may be tried at once. */
static void
forgive(ExactLane *lane)
{
	exact_endpoint_forgive(lane->division);
	for (int r = 0; r < lane->nruns; r++)
		lane->runs[r]->not_before = 0;
}

static void
read_lanes(void)
{
	static const char sql[] =
	"SELECT d.division, d.app, a.language, coalesce(s.state, 'ok'), s.since, coalesce(s.mark_generation, 1), "
	"  d.enabled AND EXISTS (SELECT FROM exact.dirty_key k WHERE k.division = d.division), "
	"  EXISTS (SELECT FROM exact.feed_state f WHERE f.division = d.division AND f.confirm_errors > 0) "
	"FROM exact.division d JOIN exact.app a ON a.name = d.app LEFT JOIN exact.division_state s ON s.division = d.division "
	"WHERE (d.enabled AND EXISTS (SELECT FROM exact.feed f WHERE f.division = d.division AND f.enabled)) "
	"OR EXISTS (SELECT FROM exact.subscription x WHERE x.division = d.division AND x.id IS NOT NULL) ORDER BY d.division";	/* until its subscriptions are removed */
	uint64		n;

	n = exact_sql(sql, 0, NULL);
	for (int i = 0; i < nlanes; i++)
		lanes[i]->present = false;
	for (uint64 i = 0; i < n; i++)
	{
		ExactLane  *lane = make_lane((int) exact_cell_int8(i, 1, 0));
		char	   *state = exact_cell_text(i, 4);

		lane->present = true;
		strlcpy(lane->app, exact_cell_text(i, 2), sizeof(lane->app));
		set_text(&lane->language, exact_cell_text(i, 3));
		if (lane->state[0] && strcmp(lane->state, state) != 0 && strcmp(state, "ok") == 0)
			forgive(lane);		/* an operator has resumed it */
		strlcpy(lane->state, state, sizeof(lane->state));
		lane->state_since = exact_cell_time(i, 5, 0);
		lane->mark_generation = (int) exact_cell_int8(i, 6, 1);
		/* what it waits for may be there now; notifications bring it here every second */
		lane->not_before = Min(lane->not_before, GetCurrentTimestamp() + AGAIN_MS * INT64CONST(1000));
		for (int r = 0; r < lane->nrefused && !exact_cell_bool(i, 8, false); r++)
			lane->refused[r].not_before = 0;	/* resumed */
		lane->keys_at = exact_cell_bool(i, 7, false) ? 0 : PG_INT64_MAX;
	}
}

/* Other fields than before (selected by a user, new in the catalogue): what was read must be read again. In a unit. */
static void
compare_fields(ExactRun *run)
{
	static const char sql[] =
	"UPDATE exact.feed_state SET mark = 1, run = nextval('exact.run_id'), run_state = 'idle', next_link = NULL, fields_digest = $3, complete_at = NULL "
	"WHERE division = $1 AND feed = $2 RETURNING run";
	ExactArg	args[3];

	if (run->digest[0] == '\0' || strcmp(run->digest, run->def->digest) == 0)
		return;
	args[0] = exact_arg_int4(run->lane->division);
	args[1] = exact_arg_text(run->name);
	args[2] = exact_arg_text(run->def->digest);
	if (exact_sql(sql, 3, args) == 0)
		return;
	run->mark = 1;
	run->run = exact_cell_int8(0, 1, 0);
	run->paging = false;
	run->complete_at = 0;
	exact_plan_set_link(run, NULL);
	strlcpy(run->digest, run->def->digest, sizeof(run->digest));
	exact_log(LOG, "fields changed division=%d feed=%s: it is read again from the start", run->lane->division, run->name);
}

/* The feeds of enabled entities that this version can read, the log of deletes where one has a code, and the guard. */
static void
read_runs(void)
{
	static const char sql[] =
	"WITH wanted AS ( "
	"  SELECT f.division, e.feed, array_agg(e.entity) AS entities, bool_or(e.entity = ANY (coalesce(s.paused_entities, '{}'))) AS paused, bool_or(e.entity_type IS NOT NULL AND e.method = 'sync') AS logged "
	"  FROM exact.feed f JOIN exact.division d ON d.division = f.division AND d.enabled JOIN exact.entity_effective e ON e.entity = f.entity "
	"  LEFT JOIN exact.division_state s ON s.division = f.division "
	"  WHERE f.enabled GROUP BY f.division, e.feed), "
	"all_feeds AS ( "
	"  SELECT division, feed, entities, paused FROM wanted "
	"  UNION ALL SELECT division, 'deleted', '{}', false FROM wanted WHERE logged GROUP BY division "
	"  UNION ALL SELECT division, 'divisions', '{}', false FROM wanted GROUP BY division) "
	"SELECT w.division, w.feed, array_to_string(w.entities, ','), w.paused, coalesce(s.mark, 1), coalesce(s.run, 0), coalesce(s.run_state, 'idle') <> 'idle', s.next_link, "
	"  s.run_started_at, coalesce(s.run_first_max, 0), coalesce(s.run_max, 0), coalesce(s.run_rising, true), coalesce(s.run_rows, 0), s.complete_at, coalesce(s.errors, 0), coalesce(s.requested, false), s.fields_digest, "
	"  coalesce(s.run_whole, false), s.whole_at, coalesce(s.whole_rows, 0), coalesce(s.reread_from, 0), s.notified_first, s.notified_last "
	"FROM all_feeds w LEFT JOIN exact.feed_state s ON s.division = w.division AND s.feed = w.feed ORDER BY w.division, w.feed = 'deleted', w.feed";
	static const char taken_sql[] =
	"UPDATE exact.feed_state SET requested = false WHERE (division, feed) IN (SELECT division, feed FROM exact.feed_state WHERE requested AND division = $1 AND feed = $2 FOR UPDATE SKIP LOCKED)";
	MemoryContext unit = CurrentMemoryContext;
	SPITupleTable *rows;
	uint64		n;

	n = exact_sql(sql, 0, NULL);
	rows = SPI_tuptable;
	for (int i = 0; i < nlanes; i++)
		for (int r = 0; r < lanes[i]->nruns; r++)
			lanes[i]->runs[r]->present = false;
	for (uint64 i = 0; i < n; i++)
	{
		ExactLane  *lane;
		ExactRun   *run;
		char	   *entities;
		MemoryContext context;
		bool		requested;
		int			errors;

		SPI_tuptable = rows;	/* exact_feed_load() reads other results */
		lane = exact_plan_lane((int) exact_cell_int8(i, 1, 0));
		if (lane == NULL || !lane->present)
			continue;
		run = exact_plan_run(lane, exact_cell_text(i, 2));
		run->present = true;
		run->paused = exact_cell_bool(i, 4, false);
		requested = exact_cell_bool(i, 16, false);
		errors = (int) exact_cell_int8(i, 15, 0);
		if (requested || errors < run->errors)
			run->not_before = 0;	/* wanted, or resumed */
		if (errors < run->errors)
			forgive(lane);
		if (requested)
			run->wanted_at = GetCurrentTimestamp();
		if (lane->busy && run->def != NULL)
		{
			lane->reread = true;	/* its page is compared with exact.feed_state when it comes */
			continue;
		}
		entities = exact_cell_text(i, 3);
		run->mark = exact_cell_int8(i, 5, 1);
		run->run = exact_cell_int8(i, 6, 0);
		run->paging = exact_cell_bool(i, 7, false);
		exact_plan_set_link(run, exact_cell_text(i, 8));
		run->run_started_at = exact_cell_time(i, 9, 0);
		run->run_first_max = exact_cell_int8(i, 10, 0);
		run->run_max = exact_cell_int8(i, 11, 0);
		run->run_rising = exact_cell_bool(i, 12, true);
		run->run_rows = exact_cell_int8(i, 13, 0);
		run->complete_at = exact_cell_time(i, 14, 0);
		run->errors = errors;
		run->whole = exact_cell_bool(i, 18, false);
		run->whole_at = exact_cell_time(i, 19, 0);
		run->whole_rows = exact_cell_int8(i, 20, 0);
		run->reread_from = exact_cell_int8(i, 21, 0);
		run->notified_first = exact_cell_time(i, 22, 0);
		run->notified_last = exact_cell_time(i, 23, 0);
		strlcpy(run->digest, exact_cell_isnull(i, 17) ? "" : exact_cell_text(i, 17), sizeof(run->digest));

		/* nothing points to the old definition before the new one is whole */
		run->def = NULL;
		run->enabled = NULL;
		context = AllocSetContextCreate(TopMemoryContext, "exact feed", ALLOCSET_SMALL_SIZES);
		MemoryContextSwitchTo(context);
		if (run->context != NULL)
			MemoryContextDelete(run->context);
		run->context = context;
		run->def = exact_feed_load(run->name);
		run->enabled = run->def ? palloc0(Max(run->def->nentities, 1) * sizeof(bool)) : NULL;
		for (int e = 0; run->def != NULL && e < run->def->nentities; e++)
		{
			const char *name = run->def->entities[e].name;
			const char *at = strstr(entities, name);

			for (; at != NULL; at = strstr(at + 1, name))
				if ((at == entities || at[-1] == ',') && (at[strlen(name)] == '\0' || at[strlen(name)] == ','))
					run->enabled[e] = true;
		}
		MemoryContextSwitchTo(unit);
		if (run->def == NULL)
			run->present = false;
		else
			compare_fields(run);
		if (requested)
		{
			ExactArg	args[2];

			args[0] = exact_arg_int4(lane->division);
			args[1] = exact_arg_text(run->name);
			exact_sql(taken_sql, 2, args);
		}
	}
}

/* Takes queued requests: their feeds are wanted now. */
static void
read_requests(void)
{
	static const char cancel_sql[] =
	"UPDATE exact.request SET state = 'cancelled', finished_at = now(), result = 'cancelled while running' "
	"WHERE id IN (SELECT id FROM exact.request WHERE state = 'running' AND kind = 'sync' AND cancel_wanted FOR UPDATE SKIP LOCKED)";
	static const char take_sql[] =
	"UPDATE exact.request SET state = 'running', started_at = clock_timestamp() "
	"WHERE id IN (SELECT id FROM exact.request WHERE (state = 'queued' OR (state = 'running' AND started_at > clock_timestamp())) AND kind = 'sync' FOR UPDATE SKIP LOCKED) RETURNING id";	/* by a clock that was set back */
	static const char open_sql[] =
	"SELECT f.division, e.feed, max(q.started_at) FROM exact.request q JOIN exact.feed f ON f.enabled AND (q.division IS NULL OR f.division = q.division) "
	"JOIN exact.entity_effective e ON e.entity = f.entity AND (q.entity IS NULL OR q.entity = e.entity OR q.entity = e.feed) "
	"WHERE q.state = 'running' AND q.kind = 'sync' GROUP BY 1, 2 "
	"UNION ALL SELECT f.division, 'deleted', max(q.started_at) FROM exact.request q JOIN exact.feed f ON f.enabled AND (q.division IS NULL OR f.division = q.division) "
	"WHERE q.state = 'running' AND q.kind = 'sync' GROUP BY 1";
	static const char exists_sql[] = "SELECT EXISTS (SELECT FROM exact.request WHERE state = 'running' AND kind = 'sync')";
	uint64		n;

	exact_sql(cancel_sql, 0, NULL);
	exact_sql(take_sql, 0, NULL);
	exact_sql(exists_sql, 0, NULL);
	requests_open = exact_cell_bool(0, 1, false);
	if (!requests_open)
		return;
	n = exact_sql(open_sql, 0, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		ExactLane  *lane = exact_plan_lane((int) exact_cell_int8(i, 1, 0));
		char	   *feed = exact_cell_text(i, 2);

		for (int r = 0; lane != NULL && r < lane->nruns; r++)
			if (strcmp(lane->runs[r]->name, feed) == 0 && lane->runs[r]->present)
			{
				lane->runs[r]->wanted_at = Max(lane->runs[r]->wanted_at, exact_cell_time(i, 3, 0));
				lane->runs[r]->not_before = 0;
			}
	}
}

static void
read_unit(void *arg pg_attribute_unused())
{
	read_lanes();
	read_runs();
	read_requests();
}

static void
base_url_unit(void *arg)
{
	ExactLane  *lane = arg;

	set_text(&lane->base_url, exact_app_base_url(lane->app));
}

/* The address of each app; false when one cannot be used, which its feeds show. */
static bool
read_addresses(void)
{
	bool		all = true;

	for (int i = 0; i < nlanes; i++)
	{
		bool		known = false;

		if (!lanes[i]->present)
			continue;
		for (int j = 0; j < i && !known; j++)
			if (lanes[j]->present && strcmp(lanes[j]->app, lanes[i]->app) == 0)
			{
				set_text(&lanes[i]->base_url, lanes[j]->base_url);
				known = true;
			}
		if (!known && !exact_unit_run("read app", base_url_unit, lanes[i], NULL))
			set_text(&lanes[i]->base_url, NULL);
		all = all && lanes[i]->base_url != NULL;
	}
	return all;
}

void
exact_plan_want(void)
{
	plan_due = true;
	plan_not_before = 0;
}

void
exact_plan_look(void)
{
	TimestampTz at = read_at + LOOK_AGAIN_MS * INT64CONST(1000);

	plan_not_before = plan_due ? Min(plan_not_before, at) : at;
	plan_due = true;
}

long
exact_plan_turn(void)
{
	TimestampTz now = GetCurrentTimestamp();

	if (!plan_due)
		return -1;
	if (plan_not_before > now)
		return (long) ((plan_not_before - now) / 1000 + 1);
	plan_due = false;
	read_at = now;
	if (!exact_unit_run("read plan", read_unit, NULL, NULL))
	{
		plan_due = true;
		plan_not_before = now + READ_AGAIN_MS * INT64CONST(1000);
		return READ_AGAIN_MS;
	}
	exact_plan_settle();
	if (read_addresses())
		return -1;
	plan_due = true;
	plan_not_before = now + ADDRESS_AGAIN_MS * INT64CONST(1000);
	return ADDRESS_AGAIN_MS;
}

/* A sync request is done when each of its feeds has completed a run that began after it, and no dirty key waits. */
static void
settle_unit(void *arg pg_attribute_unused())
{
	static const char sql[] =
	"WITH scope AS ( "
	"  SELECT q.id, q.started_at, f.division, e.feed FROM exact.request q "
	"  JOIN exact.feed f ON f.enabled AND (q.division IS NULL OR f.division = q.division) JOIN exact.division d ON d.division = f.division AND d.enabled "
	"  JOIN exact.entity_effective e ON e.entity = f.entity AND (q.entity IS NULL OR q.entity = e.entity OR q.entity = e.feed) "
	"  LEFT JOIN exact.division_state s ON s.division = f.division "
	"  WHERE q.state = 'running' AND q.kind = 'sync' AND NOT EXISTS (SELECT FROM exact.entity_effective p WHERE p.feed = e.feed AND p.entity = ANY (coalesce(s.paused_entities, '{}'))) "
	"  UNION SELECT q.id, q.started_at, f.division, 'deleted' FROM exact.request q "
	"  JOIN exact.feed f ON f.enabled AND (q.division IS NULL OR f.division = q.division) JOIN exact.division d ON d.division = f.division AND d.enabled "
	"  JOIN exact.entity_effective e ON e.entity = f.entity AND e.method = 'sync' AND e.entity_type IS NOT NULL WHERE q.state = 'running' AND q.kind = 'sync'), "
	"verdict AS ( "
	"  SELECT q.id, count(c.feed) AS feeds, "
	"    coalesce(bool_and(coalesce(s.run_state = 'idle' AND s.run_started_at >= c.started_at, false)), false) AS complete, "
	"    min(format('division %s is %s: %s', c.division, d.state, d.reason)) FILTER (WHERE d.state <> 'ok') AS blocked, "
	"    coalesce(min(format('app %s must be authorised', v.app)) FILTER (WHERE a.state IS DISTINCT FROM 'authorized'), "
	"      min(s.last_error) FILTER (WHERE (s.errors >= 3 OR s.confirm_errors >= 3) AND s.last_error_at > c.started_at)) AS error, "
	"    bool_or(EXISTS (SELECT FROM exact.dirty_key k JOIN exact.entity_effective e ON e.entity = k.entity WHERE k.division = c.division AND coalesce(k.not_before < clock_timestamp(), true) AND (e.method <> 'sync' OR k.reason IN ('confirm', 'approved')) AND e.feed = c.feed)) AS unconfirmed "
	"  FROM exact.request q LEFT JOIN scope c ON c.id = q.id LEFT JOIN exact.division v ON v.division = c.division LEFT JOIN exact.app_state a ON a.app = v.app "
	"  LEFT JOIN exact.feed_state s ON s.division = c.division AND s.feed = c.feed LEFT JOIN exact.division_state d ON d.division = c.division "
	"  WHERE q.state = 'running' AND q.kind = 'sync' GROUP BY q.id) "
	"UPDATE exact.request q SET finished_at = now(), "
	"  state = CASE WHEN v.feeds = 0 OR (v.blocked IS NULL AND v.error IS NULL) THEN 'done' ELSE 'failed' END, "
	"  result = CASE WHEN v.feeds = 0 THEN 'nothing is enabled there' ELSE coalesce(v.blocked, v.error, format('%s feeds read', v.feeds)) END "
	"FROM verdict v WHERE v.id = q.id AND q.id IN (SELECT id FROM exact.request WHERE state = 'running' AND kind = 'sync' FOR UPDATE SKIP LOCKED) AND (v.feeds = 0 OR v.blocked IS NOT NULL OR v.error IS NOT NULL OR (v.complete AND NOT v.unconfirmed)) RETURNING q.id";
	static const char exists_sql[] = "SELECT EXISTS (SELECT FROM exact.request WHERE state = 'running' AND kind = 'sync')";

	exact_sql(sql, 0, NULL);
	exact_sql(exists_sql, 0, NULL);
	requests_open = exact_cell_bool(0, 1, false);
}

void
exact_plan_settle(void)
{
	if (requests_open)
		exact_unit_run("settle requests", settle_unit, NULL, NULL);
}
