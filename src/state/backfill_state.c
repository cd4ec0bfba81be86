/*
 * backfill_state.c - exact.backfill: what is read again beside the live changes of a feed.
 *
 * One row a feed. Its pages and its row are written in one transaction, so that it goes on at the
 * next page after a crash. What makes a backfill is one function of the install script,
 * exact._want_backfill(), which exact._read_from_start() and exact.backfill() call as well.
 */
#include "postgres.h"

#include "base/sql.h"
#include "state/backfill_state.h"

void
exact_backfill_state_want(int division, const char *feed, const char *reason, int64 mark,
						  bool nightly)
{
	static const char sql[] = "SELECT exact._want_backfill($1, $2, $3, $4, NULL, $5, NULL)";
	ExactArg	args[5];

	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text(feed);
	args[2] = exact_arg_text(reason);
	args[3] = exact_arg_int8(mark);
	args[4] = exact_arg_bool(nightly);
	exact_sql(sql, 5, args);
}

bool
exact_backfill_state_lock(int division, const char *feed, int64 run, bool paging)
{
	static const char sql[] =
	"SELECT run, started_at IS NOT NULL"
	" FROM exact.backfill"
	" WHERE division = $1 AND feed = $2 AND finished_at IS NULL"
	" FOR UPDATE";
	ExactArg	args[2];

	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text(feed);
	return exact_sql(sql, 2, args) == 1 && exact_cell_int8(0, 1, 0) == run &&
		exact_cell_bool(0, 2, false) == paging;
}

void
exact_backfill_state_save(const ExactBackfillPage *page)
{
	static const char sql[] =
	"UPDATE exact.backfill SET"
	"  run = $3,"
	"  next_link = $4,"
	"  started_at = $5,"
	"  first_max = $6,"
	"  max = $7,"
	"  rising = $8,"
	"  rows = $9,"
	"  calls = calls + 1,"
	"  page_at = clock_timestamp(),"
	"  night_calls = CASE WHEN night = $10 THEN night_calls + 1"
	"    WHEN $10 > 0 THEN 1 ELSE night_calls END,"
	"  night = CASE WHEN $10 > 0 THEN $10 ELSE night END,"
	"  errors = $11,"
	"  last_error = CASE WHEN $11 > 0 THEN last_error END,"
	"  last_error_at = CASE WHEN $11 > 0 THEN last_error_at END"
	" WHERE division = $1 AND feed = $2";
	ExactArg	args[11];

	args[0] = exact_arg_int4(page->division);
	args[1] = exact_arg_text(page->feed);
	args[2] = exact_arg_int8(page->run);
	args[3] = exact_arg_text(page->next_link);
	args[4] = exact_arg_time(page->started_at);
	args[5] = exact_arg_int8(page->first_max);
	args[6] = exact_arg_int8(page->max);
	args[7] = exact_arg_bool(page->rising);
	args[8] = exact_arg_int8(page->rows);
	args[9] = exact_arg_int4(page->night);
	args[10] = exact_arg_int4(page->errors);
	exact_sql(sql, 11, args);
}

void
exact_backfill_state_end(int division, const char *feed)
{
	static const char sql[] = "SELECT exact._end_backfill($1, $2)";
	ExactArg	args[2];

	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text(feed);
	exact_sql(sql, 2, args);
}

void
exact_backfill_state_fail(int division, const char *feed, const char *error, int errors,
						  bool forget_link)
{
	static const char sql[] =
	"UPDATE exact.backfill"
	" SET last_error = $3, last_error_at = now(), errors = $4,"
	"  next_link = CASE WHEN $5 THEN NULL ELSE next_link END"
	" WHERE division = $1 AND feed = $2 AND finished_at IS NULL";
	ExactArg	args[5];

	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text(feed);
	args[2] = exact_arg_text(error);
	args[3] = exact_arg_int4(errors);
	args[4] = exact_arg_bool(forget_link);
	exact_sql(sql, 5, args);
}
