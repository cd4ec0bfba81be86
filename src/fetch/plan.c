/*
 * plan.c - reads what the fetcher has to do.
 *
 * Read anew whenever the fetcher is woken for anything but notifications (configuration, requests,
 * resume); between that it lives in memory (lane.c).
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/memutils.h"

#include "auth/address.h"
#include "base/sql.h"
#include "exact_online/definition.h"
#include "exact_online/feed.h"
#include "fetch/backfill.h"
#include "fetch/lane.h"
#include "fetch/plan.h"
#include "fetch/sync_request.h"
#include "state/feed_state.h"
#include "worker/self.h"
#include "worker/service.h"
#include "worker/unit.h"

#define AGAIN_MS 3000
#define READ_AGAIN_MS 1000
#define ADDRESS_AGAIN_MS 60000

/* ---- divisions ---- */

static void
take_lane_row(uint64 row)
{
	ExactLane  *lane = exact_lane_make((int) exact_cell_int8(row, 1, 0));
	bool		failing = exact_cell_bool(row, 8, false);
	TimestampTz resumed_at = exact_cell_time(row, 9, 0);
	char	   *reached_by = exact_cell_text(row, 11);

	lane->present = true;
	strlcpy(lane->app, exact_cell_text(row, 2), sizeof(lane->app));
	exact_lane_set_text(&lane->language, exact_cell_text(row, 3));
	strlcpy(lane->state, exact_cell_text(row, 4), sizeof(lane->state));
	lane->state_since = exact_cell_time(row, 5, 0);
	lane->mark_generation = (int) exact_cell_int8(row, 6, 1);
	lane->blocking_status = (int) exact_cell_int8(row, 10, 0);
	/* what it waits for may be there now; notifications bring it here every second */
	lane->not_before = Min(lane->not_before, GetCurrentTimestamp() + AGAIN_MS * INT64CONST(1000));
	if (lane->known && resumed_at != lane->resumed_at)
	{
		exact_lane_forgive(lane);
		exact_service_mended(lane->app);
	}
	lane->resumed_at = resumed_at;
	if (lane->known && strcmp(lane->reached_by, reached_by) != 0)
		exact_service_mended(lane->app);
	strlcpy(lane->reached_by, reached_by, sizeof(lane->reached_by));
	lane->known = true;
	for (int r = 0; r < lane->nrefused && !failing; r++)
		lane->refused[r].not_before = 0;	/* resumed */
	lane->keys_at = exact_cell_bool(row, 7, false) ? 0 : PG_INT64_MAX;
	lane->writes_at = 0;
}

/* Divisions that are read, and those whose subscriptions are still to be removed. */
static void
read_lanes(void)
{
	static const char sql[] =
	"SELECT d.division, d.app, a.language,"
	"  coalesce(s.state, 'ok'), s.since, coalesce(s.mark_generation, 1),"
	"  d.enabled AND EXISTS (SELECT FROM exact.dirty_key k WHERE k.division = d.division),"
	"  EXISTS (SELECT FROM exact.feed_state f"
	"   WHERE f.division = d.division AND f.confirm_errors > 0),"
	"  s.resumed_at, s.blocking_status,"
	"  md5(concat_ws('|', a.base_url, a.region, a.client_id,"
	"   (SELECT max(c.set_at) FROM exact.credential c"
	"    WHERE c.kind = 'app' AND c.name = a.name)))"
	" FROM exact.division d"
	" JOIN exact.app a ON a.name = d.app"
	" LEFT JOIN exact.division_state s ON s.division = d.division"
	" WHERE (d.enabled"
	"   AND EXISTS (SELECT FROM exact.feed f WHERE f.division = d.division AND f.enabled))"
	"  OR EXISTS (SELECT FROM exact.subscription x"
	"   WHERE x.division = d.division AND x.id IS NOT NULL)"
	" ORDER BY d.division";
	ExactLane **lanes;
	int			nlanes = exact_lane_all(&lanes);
	uint64		n = exact_sql(sql, 0, NULL);

	for (int i = 0; i < nlanes; i++)
		lanes[i]->present = false;
	for (uint64 i = 0; i < n; i++)
		take_lane_row(i);
}

/* ---- feeds ---- */

/*
 * Other fields than before (selected by a user, new in the catalogue): what was read must be read
 * again. Returns true when the feed has been sent back to its start. In a unit.
 */
static bool
compare_fields(ExactRun *run)
{
	int			division = run->lane->division;

	if (run->digest[0] == '\0' || strcmp(run->digest, run->def->digest) == 0)
		return false;
	if (exact_feed_state_from_start(EXACT_FROM_START_FIELDS, division, run->name, NULL) == 0)
		return false;
	run->present = false;		/* until the plan is read once more */
	exact_lane_want_plan();
	exact_log(LOG, "fields changed division=%d feed=%s: it is read again from the start",
			  division, run->name);
	return true;
}

/* Columns of exact._plan as read_runs() asks for them */
enum PlanColumn
{
	PLAN_DIVISION = 1,
	PLAN_FEED,
	PLAN_ENTITIES,
	PLAN_PAUSED,
	PLAN_REQUESTED,
	PLAN_ERRORS,
	PLAN_DIGEST,
	PLAN_MARK,
	PLAN_RUN,
	PLAN_PAGING,
	PLAN_NEXT_LINK,
	PLAN_STARTED_AT,
	PLAN_FIRST_MAX,
	PLAN_MAX,
	PLAN_RISING,
	PLAN_ROWS,
	PLAN_WHOLE,
	PLAN_WHOLE_AT,
	PLAN_WHOLE_ROWS,
	PLAN_COMPLETE_AT,
	PLAN_REREAD_FROM,
	PLAN_NOTIFIED_FIRST,
	PLAN_NOTIFIED_LAST,
	PLAN_AGAIN_AT,
	PLAN_NIGHT_MARK,
	PLAN_NIGHT_AT
};

static void
take_run_row(ExactRun *run, uint64 row)
{
	char	   *digest = exact_cell_text(row, PLAN_DIGEST);

	run->mark = exact_cell_int8(row, PLAN_MARK, 1);
	run->run = exact_cell_int8(row, PLAN_RUN, 0);
	run->paging = exact_cell_bool(row, PLAN_PAGING, false);
	exact_lane_set_text(&run->next_link, exact_cell_text(row, PLAN_NEXT_LINK));
	run->run_started_at = exact_cell_time(row, PLAN_STARTED_AT, 0);
	run->run_first_max = exact_cell_int8(row, PLAN_FIRST_MAX, 0);
	run->run_max = exact_cell_int8(row, PLAN_MAX, 0);
	run->run_rising = exact_cell_bool(row, PLAN_RISING, true);
	run->run_rows = exact_cell_int8(row, PLAN_ROWS, 0);
	run->complete_at = exact_cell_time(row, PLAN_COMPLETE_AT, 0);
	run->errors = (int) exact_cell_int8(row, PLAN_ERRORS, 0);
	run->whole = exact_cell_bool(row, PLAN_WHOLE, false);
	run->whole_at = exact_cell_time(row, PLAN_WHOLE_AT, 0);
	run->whole_rows = exact_cell_int8(row, PLAN_WHOLE_ROWS, 0);
	run->reread_from = exact_cell_int8(row, PLAN_REREAD_FROM, 0);
	run->notified_first = exact_cell_time(row, PLAN_NOTIFIED_FIRST, 0);
	run->notified_last = exact_cell_time(row, PLAN_NOTIFIED_LAST, 0);
	run->again_at = exact_cell_time(row, PLAN_AGAIN_AT, 0);
	run->night_mark = exact_cell_int8(row, PLAN_NIGHT_MARK, 0);
	run->night_at = exact_cell_time(row, PLAN_NIGHT_AT, 0);
	strlcpy(run->digest, digest ? digest : "", sizeof(run->digest));
}

static bool
is_one_of(const char *name, char **names, int n)
{
	for (int i = 0; i < n; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

/* The feed as it is defined now; entities: those of it that the division has. */
static void
load_feed(ExactRun *run, char **entities, int nentities)
{
	ExactFeed  *before = run->def;

	run->def = exact_definition_take(before, run->name);
	if (run->def == NULL)
		return;
	if (run->def != before)
	{
		if (run->enabled != NULL)
			pfree(run->enabled);
		run->enabled = MemoryContextAlloc(TopMemoryContext,
										  Max(run->def->nentities, 1) * sizeof(bool));
	}
	for (int e = 0; e < run->def->nentities; e++)
		run->enabled[e] = is_one_of(run->def->entities[e].name, entities, nentities);
}

/* One row of the plan; the result may be another afterwards. */
static void
read_run(uint64 row)
{
	ExactLane  *lane = exact_lane_find((int) exact_cell_int8(row, PLAN_DIVISION, 0));
	ExactRun   *run;
	char	  **entities;
	int			nentities;
	bool		requested = exact_cell_bool(row, PLAN_REQUESTED, false);
	bool		restarted = false;
	int			errors = (int) exact_cell_int8(row, PLAN_ERRORS, 0);

	if (lane == NULL || !lane->present)
		return;
	run = exact_lane_run(lane, exact_cell_text(row, PLAN_FEED));
	run->present = true;
	run->paused = exact_cell_bool(row, PLAN_PAUSED, false);
	if (requested || errors < run->errors)
		run->not_before = 0;	/* wanted, or resumed */
	if (requested)
		run->wanted_at = GetCurrentTimestamp();
	if (lane->busy && run->def != NULL)
	{
		lane->reread = true;	/* its page is compared with exact.feed_state when it comes */
		return;
	}
	take_run_row(run, row);
	entities = exact_cell_texts(row, PLAN_ENTITIES, &nentities);
	load_feed(run, entities, nentities);
	if (run->def == NULL)
		run->present = false;
	else
		restarted = compare_fields(run);
	if (requested || restarted)
		exact_feed_state_take_request(lane->division, run->name);
}

static void
read_runs(void)
{
	static const char sql[] =
	"SELECT p.division, p.feed, p.entities, p.paused, p.requested, p.errors, p.fields_digest,"
	"  p.mark, p.run, p.paging, p.next_link, p.run_started_at,"
	"  p.run_first_max, p.run_max, p.run_rising, p.run_rows,"
	"  p.run_whole, p.whole_at, p.whole_rows,"
	"  p.complete_at, p.reread_from, p.notified_first, p.notified_last, p.again_at,"
	"  p.night_mark, p.night_at"
	" FROM exact._plan p"
	" ORDER BY p.division, p.feed = 'deleted', p.feed";
	ExactLane **lanes;
	int			nlanes = exact_lane_all(&lanes);
	uint64		n = exact_sql(sql, 0, NULL);
	SPITupleTable *rows = SPI_tuptable;

	for (int i = 0; i < nlanes; i++)
		for (int r = 0; r < lanes[i]->nruns; r++)
			lanes[i]->runs[r]->present = false;
	for (uint64 i = 0; i < n; i++)
	{
		SPI_tuptable = rows;
		read_run(i);
	}
}

static void
read_unit(void *arg pg_attribute_unused())
{
	exact_backfill_notice();
	exact_definition_look();
	read_lanes();
	read_runs();
	exact_backfill_read();
	exact_sync_request_read();
}

/* ---- addresses ---- */

static void
base_url_unit(void *arg)
{
	ExactLane  *lane = arg;

	exact_lane_set_text(&lane->base_url, exact_app_base_url(lane->app));
}

/* The address of each app; false when one cannot be used, which its feeds show. */
static bool
read_addresses(void)
{
	ExactLane **lanes;
	int			nlanes = exact_lane_all(&lanes);
	bool		all = true;

	for (int i = 0; i < nlanes; i++)
	{
		bool		known = false;

		if (!lanes[i]->present)
			continue;
		for (int j = 0; j < i && !known; j++)
			if (lanes[j]->present && strcmp(lanes[j]->app, lanes[i]->app) == 0)
			{
				exact_lane_set_text(&lanes[i]->base_url, lanes[j]->base_url);
				known = true;
			}
		if (!known && !exact_unit_run("read app", base_url_unit, lanes[i], NULL))
			exact_lane_set_text(&lanes[i]->base_url, NULL);
		all = all && lanes[i]->base_url != NULL;
	}
	return all;
}

long
exact_plan_turn(void)
{
	long		wait = exact_lane_plan_wait();

	if (wait != 0)
		return wait;
	exact_lane_plan_begun();
	if (!exact_unit_run("read plan", read_unit, NULL, NULL))
	{
		exact_lane_plan_again(READ_AGAIN_MS);
		return READ_AGAIN_MS;
	}
	exact_sync_request_settle(NULL);
	if (read_addresses())
		return -1;
	exact_lane_plan_again(ADDRESS_AGAIN_MS);
	return ADDRESS_AGAIN_MS;
}
