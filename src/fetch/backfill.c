/*
 * backfill.c - the second cursor of a feed, beside its live one (design: reading right, rule 4).
 *
 * The live run reads what changed since its mark, whatever else is to be read; a backfill pages
 * what lies below, from the start or from an older mark, to the end. Both are runs of the same
 * feed, which take turns at its pages but for one thing: a live run that has begun is read to its
 * end first, so that the lines of a document are seen by one run.
 *
 * A nightly backfill reads at most so many pages a night, of all feeds of a division together, and
 * goes on the night after.
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/sql.h"
#include "exact_online/budget.h"
#include "exact_online/feed.h"
#include "fetch/backfill.h"
#include "fetch/cursor.h"
#include "fetch/lane.h"
#include "state/backfill_state.h"
#include "worker/self.h"

#define NIGHT_CALLS 200			/* of a division */

void
exact_backfill_notice(void)
{
	static const char sql[] = "SELECT exact._notice_changes()";

	exact_sql(sql, 0, NULL);
}

/* ---- what goes on ---- */

/* Columns of the statement of exact_backfill_read() */
enum BackfillColumn
{
	BACKFILL_DIVISION = 1,
	BACKFILL_FEED,
	BACKFILL_MARK,
	BACKFILL_UNTIL,
	BACKFILL_NIGHTLY,
	BACKFILL_RUN,
	BACKFILL_NEXT_LINK,
	BACKFILL_STARTED_AT,
	BACKFILL_FIRST_MAX,
	BACKFILL_MAX,
	BACKFILL_RISING,
	BACKFILL_ROWS,
	BACKFILL_NIGHT,
	BACKFILL_NIGHT_CALLS,
	BACKFILL_ERRORS,
	BACKFILL_OPEN,
	BACKFILL_REASON
};

static ExactRun *
backfill_of(ExactRun *live)
{
	ExactRun   *b = live->backfill;

	if (b != NULL)
		return b;
	b = MemoryContextAllocZero(TopMemoryContext, sizeof(ExactRun));
	b->lane = live->lane;
	b->live = live;
	strlcpy(b->name, live->name, sizeof(b->name));
	live->backfill = b;
	return b;
}

static void
take_row(ExactRun *b, uint64 row)
{
	int			errors = (int) exact_cell_int8(row, BACKFILL_ERRORS, 0);

	if (errors < b->errors || exact_cell_int8(row, BACKFILL_RUN, 0) != b->run)
		b->not_before = 0;		/* resumed, or another one */
	if (exact_cell_int8(row, BACKFILL_RUN, 0) != b->run)
		exact_log(LOG, "backfill division=%d feed=%s rows=" INT64_FORMAT " reason=\"%s\"",
				  b->lane->division, b->name, exact_cell_int8(row, BACKFILL_ROWS, 0),
				  exact_cell_text(row, BACKFILL_REASON));
	b->present = true;
	b->mark = exact_cell_int8(row, BACKFILL_MARK, 1);
	b->until = exact_cell_int8(row, BACKFILL_UNTIL, 0);
	b->nightly = exact_cell_bool(row, BACKFILL_NIGHTLY, false);
	b->run = exact_cell_int8(row, BACKFILL_RUN, 0);
	exact_lane_set_text(&b->next_link, exact_cell_text(row, BACKFILL_NEXT_LINK));
	b->run_started_at = exact_cell_time(row, BACKFILL_STARTED_AT, 0);
	b->paging = b->run_started_at != 0;
	b->run_first_max = exact_cell_int8(row, BACKFILL_FIRST_MAX, 0);
	b->run_max = exact_cell_int8(row, BACKFILL_MAX, 0);
	b->run_rising = exact_cell_bool(row, BACKFILL_RISING, true);
	b->run_rows = exact_cell_int8(row, BACKFILL_ROWS, 0);
	b->whole = b->mark <= 1 && b->until == 0;
	b->errors = errors;
}

static ExactRun *
live_run(int division, const char *feed)
{
	ExactLane  *lane = exact_lane_find(division);

	for (int r = 0; lane != NULL && r < lane->nruns; r++)
		if (strcmp(lane->runs[r]->name, feed) == 0)
			return lane->runs[r];
	return NULL;
}

static void
read_row(uint64 row)
{
	ExactRun   *live = live_run((int) exact_cell_int8(row, BACKFILL_DIVISION, 0),
								exact_cell_text(row, BACKFILL_FEED));
	int			night = (int) exact_cell_int8(row, BACKFILL_NIGHT, 0);

	if (live == NULL)
		return;
	if (night == exact_cursor_night(GetCurrentTimestamp()))
	{
		if (live->lane->night != night)
			live->lane->night_calls = 0;
		live->lane->night = night;
		live->lane->night_calls += (int) exact_cell_int8(row, BACKFILL_NIGHT_CALLS, 0);
	}
	if (live->lane->busy && live->backfill != NULL && live->backfill->present)
		live->lane->reread = true;	/* its page is compared with exact.backfill when it comes */
	else if (exact_cell_bool(row, BACKFILL_OPEN, false))
		take_row(backfill_of(live), row);
}

/* Rows that have ended tell of the calls of this night. */
void
exact_backfill_read(void)
{
	static const char sql[] =
	"SELECT b.division, b.feed, b.mark, b.until, b.nightly, b.run, b.next_link, b.started_at,"
	"  b.first_max, b.max, b.rising, b.rows, b.night, b.night_calls, b.errors,"
	"  b.finished_at IS NULL, b.reason"
	" FROM exact.backfill b"
	" WHERE b.finished_at IS NULL OR b.night = $1";
	ExactArg	tonight = exact_arg_int4(exact_cursor_night(GetCurrentTimestamp()));
	ExactLane **lanes;
	int			nlanes = exact_lane_all(&lanes);
	uint64		n;

	for (int i = 0; i < nlanes; i++)
	{
		lanes[i]->night = 0;
		for (int r = 0; r < lanes[i]->nruns; r++)
			if (lanes[i]->runs[r]->backfill != NULL && !lanes[i]->busy)
				lanes[i]->runs[r]->backfill->present = false;
	}
	n = exact_sql(sql, 1, &tonight);
	for (uint64 i = 0; i < n; i++)
		read_row(i);
}

/* ---- when ---- */

/*
 * It leaves a part of each budget to live changes. A feed that is still read for the first time is
 * not read twice at once.
 */
TimestampTz
exact_backfill_ready_at(ExactRun *live)
{
	ExactRun   *b = live->backfill;
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz at;
	const char *why;

	if (b == NULL || !b->present || !live->present || live->paused || live->def == NULL ||
		live->paging || live->complete_at == 0 ||
		(b->whole && live->lane->blocking_status != 0))
		return PG_INT64_MAX;
	b->def = live->def;
	b->enabled = live->enabled;
	b->whole_at = live->whole_at;
	b->complete_at = live->complete_at;
	at = Max(b->not_before,
			 exact_budget_backfill_at(live->lane->division, live->def->resource, &why));
	if (b->nightly && live->lane->night == exact_cursor_night(now) &&
		live->lane->night_calls >= NIGHT_CALLS)
		at = Max(at, exact_cursor_night_begins(live->lane->night + 1));
	return at;
}

/*
 * Records are committed late, rights are given later, logs lag. A feed with row versions reads once
 * a night from where its mark stood the night before. Where times of change tell, but not of what
 * is gone, everything is read: a large feed every so many nights.
 */
bool
exact_backfill_at_night(const ExactRun *live, int64 mark)
{
	if (live->whole || (live->backfill != NULL && live->backfill->present))
		return false;			/* everything is read already, or by what goes on */
	if (exact_feed_by_time(live->def) && exact_cursor_night_whole(live))
	{
		exact_backfill_state_want(live->lane->division, live->name, "night", 1, true);
		return true;
	}
	if (live->def->timestamp < 0 || !exact_cursor_new_night(live) ||
		live->night_mark == 0 || live->night_mark >= mark)
		return false;
	exact_backfill_state_want(live->lane->division, live->name, "night", live->night_mark, true);
	return true;
}
