/*
 * cursor.c - where a run begins to read, and where it stands (design: reading right, rule 4).
 *
 * The order of rows within a page is not documented, so pages are compared, not rows: while no
 * page begins below the highest mark of the pages before it, the run's highest is what the next
 * run reads from, and a link that was lost is replaced by a filter from there.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/errors.h"
#include "exact_online/feed.h"
#include "exact_online/link.h"
#include "exact_online/odata_value.h"
#include "fetch/cursor.h"
#include "fetch/lane.h"

#define PAGE_ROWS 60
#define SYNC_PAGE_ROWS 1000
#define SMALLER 10				/* times fewer rows after a page that was too large */
#define NIGHT_CALLS 50			/* of one feed, on average */
#define SMALL_CALLS 10
#define OVERLAP_MS (10 * 60 * 1000)		/* records of a transaction that was committed late */
/* once a night: the hour that a local clock has twice */
#define NIGHT_OVERLAP_MS (2 * 60 * 60 * 1000)

/* A night begins when the clocks of Europe have been changed, if they are. */
int
exact_cursor_night(TimestampTz at)
{
	return (int) ((at - 2 * USECS_PER_HOUR) / USECS_PER_DAY);
}

TimestampTz
exact_cursor_night_begins(int night)
{
	return night * USECS_PER_DAY + 2 * USECS_PER_HOUR;
}

bool
exact_cursor_new_night(const ExactRun *run)
{
	return exact_cursor_night(GetCurrentTimestamp()) != exact_cursor_night(run->night_at);
}

static int64
whole_calls(const ExactRun *run)
{
	return run->whole_rows / PAGE_ROWS + 1;
}

/* Large ones less often: at most 50 calls a night on average. */
bool
exact_cursor_night_whole(const ExactRun *run)
{
	return exact_cursor_night(GetCurrentTimestamp()) - exact_cursor_night(run->whole_at) >=
		(whole_calls(run) + NIGHT_CALLS - 1) / NIGHT_CALLS;
}

/*
 * A live run reads everything when it is the first, or when there is nothing else to read; small
 * feeds by time of change also when an operator asks, where no other feed shows what is gone.
 */
bool
exact_cursor_whole(const ExactRun *run)
{
	if (run->live != NULL)
		return run->mark <= 1 && run->until == 0;
	if (run->def->method == EXACT_FEED_FULL || run->mark <= 1)
		return true;
	return exact_feed_by_time(run->def) &&
		run->wanted_at != 0 && run->run_started_at < run->wanted_at &&
		run->def->trigger_feed == NULL && whole_calls(run) <= SMALL_CALLS;
}

static bool
has_marks(const ExactRun *run)
{
	return run->def->timestamp >= 0 || exact_feed_by_time(run->def);
}

/* Has it marks, and did its pages rise? Then its highest mark says where it stands. */
static bool
goes_on_from_max(const ExactRun *run)
{
	return run->paging && run->next_link == NULL && run->run_rising && run->run_max > 1 &&
		has_marks(run);
}

bool
exact_cursor_begins(const ExactRun *run)
{
	return !run->paging || (run->next_link == NULL && !goes_on_from_max(run));
}

/* Records with the highest mark may stand on both sides of a lost link: they are read again. */
int64
exact_cursor_from(const ExactRun *run)
{
	if (goes_on_from_max(run))
		return exact_feed_by_time(run->def) ? run->run_max : run->run_max - 1;
	if (run->live != NULL)
		return run->mark;
	if (exact_feed_by_time(run->def))
	{
		bool		new_night = exact_cursor_night(GetCurrentTimestamp()) >
			exact_cursor_night(run->run_started_at);

		if (run->whole)
			return 1;
		return Max(run->mark - (new_night ? NIGHT_OVERLAP_MS : OVERLAP_MS), 2);
	}
	return run->reread_from > 0 ? Min(run->mark, run->reread_from - 1) : run->mark;
}

static int
page_rows(const ExactRun *run)
{
	return run->def->timestamp >= 0 ? SYNC_PAGE_ROWS : PAGE_ROWS;
}

/*
 * The highest mark leads on from a link of the service. Where there are no marks, or the link was
 * made here because they lead no further, the link is asked for fewer rows.
 */
bool
exact_cursor_smaller(ExactRun *run)
{
	int			rows = run->sent_top > 0 ? run->sent_top : page_rows(run);

	if (rows == 1 ||
		(!has_marks(run) && (run->def->nentities == 0 || !run->def->entities[0].guid_key)))
		return false;
	run->top = Max(rows / SMALLER, 1);
	if (run->next_link != NULL && (run->sent_top > 0 || !has_marks(run)))
		exact_lane_set_text(&run->next_link, exact_link_part(run->next_link, run->top, NULL));
	else
		exact_lane_set_text(&run->next_link, NULL);
	return true;
}

void
exact_cursor_larger(ExactRun *run)
{
	run->top = 2 * run->sent_top < page_rows(run) ? 2 * run->sent_top : 0;
}

int
exact_cursor_next_top(const ExactRun *run)
{
	return Min(2 * run->sent_top, page_rows(run));
}

/* Row versions differ but for the rows of one document: a part holds more than one of them. */
bool
exact_cursor_rises(const ExactRun *run, const ExactCursor *cursor)
{
	int64		before = exact_cursor_begins(run) ? 0 : run->run_max;

	if (!exact_feed_by_time(run->def))
		return has_marks(run);
	return cursor->rising && cursor->max > Max(before, 1);
}

/* ---- where it stands ---- */

/* The marks of one page */
typedef struct PageMarks
{
	int			n;
	int64		min;
	int64		max;
	int			at_max;			/* records that have the highest */
} PageMarks;

static void
add_mark(PageMarks *marks, int64 mark)
{
	if (marks->n == 0 || mark < marks->min)
		marks->min = mark;
	if (marks->n == 0 || mark > marks->max)
	{
		marks->max = mark;
		marks->at_max = 0;
	}
	if (mark == marks->max)
		marks->at_max++;
	marks->n++;
}

/* Times of change. A mark that is still to come would hide what changes until then. */
static void
read_times(const ExactFeed *def, const ExactPage *page, int64 present, PageMarks *marks)
{
	for (int i = 0; i < page->nrecords; i++)
	{
		int64		mark;

		if (exact_feed_modified(def, &page->records[i], &mark) && mark <= present)
			add_mark(marks, mark);
	}
}

static void
read_versions(const ExactFeed *def, const ExactPage *page, PageMarks *marks)
{
	for (int i = 0; i < page->nrecords; i++)
	{
		int64		mark;

		/* one without is put aside */
		if (exact_odata_int64(page->records[i].values[def->timestamp], &mark))
			add_mark(marks, mark);
	}
}

/*
 * With the last page the mark moves: to the highest of all where the pages rose, else to the
 * highest of the first page, which was there when the run began; the run after it settles the
 * rest. Where several records have the highest row version, the next run reads them once more.
 */
void
exact_cursor_follow(const ExactRun *run, const ExactPage *page, int64 present, bool complete,
					ExactCursor *cursor)
{
	bool		begins = exact_cursor_begins(run);
	bool		by_time = exact_feed_by_time(run->def);
	PageMarks	marks = {0};
	bool		shared;

	cursor->first_max = begins ? 0 : run->run_first_max;
	cursor->max = begins ? 0 : run->run_max;
	cursor->rising = begins ? true : run->run_rising;
	cursor->mark = run->mark;
	if (run->def->timestamp < 0 && !by_time)
		return;
	if (by_time)
		read_times(run->def, page, present, &marks);
	else
		read_versions(run->def, page, &marks);
	if (marks.n > 0 && marks.min < cursor->max)
		cursor->rising = false;
	shared = marks.n > 0 && marks.max >= cursor->max &&
		(marks.at_max > 1 || marks.max == cursor->max);
	cursor->max = Max(cursor->max, marks.max);
	if (begins)
		cursor->first_max = cursor->max;
	if (!complete)
		return;
	if (!cursor->rising)
		cursor->mark = Max(run->mark, cursor->first_max);
	else if (shared && !by_time && cursor->max > run->mark + 1)
		cursor->mark = Max(run->mark, cursor->max - 1);
	else
		cursor->mark = Max(run->mark, cursor->max);
	if (by_time && cursor->mark > present)
		cursor->mark = Max(present, 1); /* the service's clock was set back */
}
