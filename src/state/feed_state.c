/*
 * feed_state.c - exact.feed_state: how far each feed has been read.
 *
 * One row a feed: the mark that the next run reads from, and what is known of the run that goes
 * on. A run is resumed from here after a crash, so each page and its row are written in one
 * transaction.
 */
#include "postgres.h"

#include "base/sql.h"
#include "state/feed_state.h"

/* One text a reason: each chooses the feeds, one function of the install script does the rest. */
uint64
exact_feed_state_from_start(ExactFromStart reason, int division, const char *name, int64 *run)
{
#define FROM_START_SQL(text) \
	"SELECT exact._read_from_start(s.division, s.feed, '" text "')" \
	" FROM exact.feed_state s"
#define SYNC_FEEDS_SQL "(SELECT e.feed FROM exact.entity_effective e WHERE e.method = 'sync')"
	static const char fields_sql[] =
	FROM_START_SQL("fields")
	" WHERE s.division = $1 AND s.feed = $2";
	static const char moved_sql[] =
	FROM_START_SQL("moved")
	" WHERE s.division = $1 AND (s.feed = 'deleted' OR s.feed IN " SYNC_FEEDS_SQL ")";
	static const char log_sql[] =
	FROM_START_SQL("log")
	" WHERE s.division = $1 AND s.feed IN " SYNC_FEEDS_SQL;
	static const char epoch_sql[] =
	FROM_START_SQL("epoch");
	static const char other_copy_sql[] =
	FROM_START_SQL("other copy")
	" WHERE s.feed = (SELECT e.feed FROM exact.entity_effective e WHERE e.entity = $2)"
	" AND s.division IN"
	"  (SELECT r.division FROM exact.record r WHERE r.entity = $2 AND r.hash IS NULL)";
	static const char *const sql[] = {
		[EXACT_FROM_START_FIELDS] = fields_sql,
		[EXACT_FROM_START_MOVED] = moved_sql,
		[EXACT_FROM_START_LOG] = log_sql,
		[EXACT_FROM_START_EPOCH] = epoch_sql,
		[EXACT_FROM_START_OTHER_COPY] = other_copy_sql,
	};
	ExactArg	args[2];
	uint64		n;

	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text(name);
	n = exact_sql(sql[reason], 2, args);
	if (run != NULL && n > 0)
		*run = exact_cell_int8(0, 1, 0);
	return n;
}

bool
exact_feed_state_lock(int division, const char *feed, int64 mark, int64 run, bool paging)
{
	static const char sql[] =
	"SELECT mark, coalesce(run, 0), run_state <> 'idle'"
	" FROM exact.feed_state"
	" WHERE division = $1 AND feed = $2"
	" FOR UPDATE";
	ExactArg	args[2];

	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text(feed);
	if (exact_sql(sql, 2, args) == 0)
		return run == 0 && mark == 1;
	return exact_cell_int8(0, 1, 1) == mark && exact_cell_int8(0, 2, 0) == run &&
		exact_cell_bool(0, 3, false) == paging;
}

/*
 * $5: the run is complete. Notifications that came before it began are followed by it; so are
 * those from a time that is still to come, which are of a clock that was set back.
 */
#define FOLLOWED_SQL "$5 AND (s.notified_last < $7 OR s.notified_last > clock_timestamp())"
static const char save_sql[] =
"INSERT INTO exact.feed_state AS s"
" (division, feed, mark, run, run_state, next_link, run_started_at,"
"  run_first_max, run_max, run_rising, run_rows,"
"  complete_at, first_complete_at,"
"  next_run_at, fields_digest, errors, reread_from,"
"  run_whole, whole_at, whole_rows, again_at, night_mark, night_at)"
" VALUES ($1, $2, $3, $4, CASE WHEN $5 THEN 'idle' ELSE 'paging' END, $6, $7,"
"  $8, $9, $10, $11,"
"  CASE WHEN $5 THEN clock_timestamp() END, CASE WHEN $5 THEN clock_timestamp() END,"
"  $12, $13, $17, $14,"
"  $15 AND NOT $5, CASE WHEN $15 AND $5 THEN $7 END, CASE WHEN $15 AND $5 THEN $11 ELSE 0 END,"
"  $16, $18, $19)"
" ON CONFLICT (division, feed) DO UPDATE SET"
"  mark = excluded.mark,"
"  run = excluded.run,"
"  run_state = excluded.run_state,"
"  next_link = excluded.next_link,"
"  run_started_at = excluded.run_started_at,"
"  run_first_max = excluded.run_first_max,"
"  run_max = excluded.run_max,"
"  run_rising = excluded.run_rising,"
"  run_rows = excluded.run_rows,"
"  complete_at = coalesce(excluded.complete_at, s.complete_at),"
"  first_complete_at = coalesce(s.first_complete_at, excluded.complete_at),"
"  next_run_at = excluded.next_run_at,"
"  fields_digest = excluded.fields_digest,"
"  errors = excluded.errors,"
"  reread_from = excluded.reread_from,"
"  again_at = excluded.again_at,"
"  night_mark = excluded.night_mark,"
"  night_at = excluded.night_at,"
"  run_whole = excluded.run_whole,"
"  whole_at = coalesce(excluded.whole_at, s.whole_at),"
"  whole_rows = CASE WHEN excluded.whole_at IS NULL THEN s.whole_rows"
"    ELSE excluded.whole_rows END,"
"  notified_first = CASE WHEN " FOLLOWED_SQL " THEN NULL"
"    WHEN $5 AND s.notified_first < $7 THEN s.notified_last"
"    ELSE s.notified_first END,"
"  notified_last = CASE WHEN " FOLLOWED_SQL " THEN NULL"
"    ELSE s.notified_last END,"
"  last_error = CASE WHEN s.confirm_errors > 0 OR $17 > 0 THEN s.last_error END,"
"  last_error_at = CASE WHEN s.confirm_errors > 0 OR $17 > 0 THEN s.last_error_at END";

void
exact_feed_state_save(const ExactFeedPage *page)
{
	ExactArg	args[19];

	args[0] = exact_arg_int4(page->division);
	args[1] = exact_arg_text(page->feed);
	args[2] = exact_arg_int8(page->mark);
	args[3] = exact_arg_int8(page->run);
	args[4] = exact_arg_bool(page->complete);
	args[5] = exact_arg_text(page->next_link);
	args[6] = exact_arg_time(page->run_started_at);
	args[7] = exact_arg_int8(page->run_first_max);
	args[8] = exact_arg_int8(page->run_max);
	args[9] = exact_arg_bool(page->run_rising);
	args[10] = exact_arg_int8(page->run_rows);
	args[11] = page->next_run_at != 0 ? exact_arg_time(page->next_run_at)
		: exact_arg_null(TIMESTAMPTZOID);
	args[12] = exact_arg_text(page->fields_digest);
	args[13] = page->reread_from > 0 ? exact_arg_int8(page->reread_from) : exact_arg_null(INT8OID);
	args[14] = exact_arg_bool(page->run_whole);
	args[15] = page->again_at != 0 ? exact_arg_time(page->again_at)
		: exact_arg_null(TIMESTAMPTZOID);
	args[16] = exact_arg_int4(page->errors);
	args[17] = page->night_mark > 0 ? exact_arg_int8(page->night_mark) : exact_arg_null(INT8OID);
	args[18] = page->night_at != 0 ? exact_arg_time(page->night_at)
		: exact_arg_null(TIMESTAMPTZOID);
	exact_sql(save_sql, 19, args);
}

void
exact_feed_state_fail(int division, const char *feed, const char *error, int errors,
					  bool forget_link)
{
	static const char sql[] =
	"INSERT INTO exact.feed_state AS s (division, feed, last_error, last_error_at, errors)"
	" VALUES ($1, $2, $3, now(), $4)"
	" ON CONFLICT (division, feed) DO UPDATE SET"
	"  last_error = excluded.last_error,"
	"  last_error_at = now(),"
	"  errors = excluded.errors,"
	"  next_link = CASE WHEN $5 THEN NULL ELSE s.next_link END";
	ExactArg	args[5];

	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text(feed);
	args[2] = exact_arg_text(error);
	args[3] = exact_arg_int4(errors);
	args[4] = exact_arg_bool(forget_link);
	exact_sql(sql, 5, args);
}

void
exact_feed_state_whole(int division, const char *feed, TimestampTz whole_at, int64 rows)
{
	static const char sql[] =
	"UPDATE exact.feed_state SET whole_at = $3, whole_rows = $4"
	" WHERE division = $1 AND feed = $2";
	ExactArg	args[4];

	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text(feed);
	args[2] = exact_arg_time(whole_at);
	args[3] = exact_arg_int8(rows);
	exact_sql(sql, 4, args);
}

void
exact_feed_state_fail_keyed(int division, const char *feed, const char *error)
{
	static const char sql[] =
	"UPDATE exact.feed_state"
	" SET confirm_errors = confirm_errors + 1, last_error = $3, last_error_at = clock_timestamp()"
	" WHERE division = $1 AND feed = $2";
	ExactArg	args[3];

	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text(feed);
	args[2] = exact_arg_text(error);
	exact_sql(sql, 3, args);
}

void
exact_feed_state_heal_keyed(int division, const char *feed)
{
	static const char sql[] =
	"UPDATE exact.feed_state"
	" SET confirm_errors = 0, last_error = NULL, last_error_at = NULL"
	" WHERE division = $1 AND feed = $2 AND confirm_errors > 0";
	ExactArg	args[2];

	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text(feed);
	exact_sql(sql, 2, args);
}

void
exact_feed_state_notify(int division, char **feeds, int nfeeds, TimestampTz first,
						TimestampTz last)
{
	static const char sql[] =
	"INSERT INTO exact.feed_state AS s (division, feed, notified_first, notified_last)"
	" SELECT $1, f, $3, $4"
	" FROM unnest($2::text[]) f"
	" ON CONFLICT (division, feed) DO UPDATE SET"
	"  notified_first = least(s.notified_first, excluded.notified_first),"
	"  notified_last = greatest(s.notified_last, excluded.notified_last)";
	ExactArg	args[4];

	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text_array((const char *const *) feeds, NULL, nfeeds);
	args[2] = exact_arg_time(first);
	args[3] = exact_arg_time(last);
	exact_sql(sql, 4, args);
}

void
exact_feed_state_request_topic(int division, const char *topic)
{
	static const char sql[] =
	"UPDATE exact.feed_state SET requested = true"
	" WHERE division = $1"
	" AND feed IN (SELECT e.feed FROM exact.entity_effective e WHERE $2 = ANY (e.topics))";
	ExactArg	args[2];

	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text(topic);
	exact_sql(sql, 2, args);
}

/* A row that somebody holds is passed over and taken at the next reading. */
void
exact_feed_state_take_request(int division, const char *feed)
{
	static const char sql[] =
	"UPDATE exact.feed_state SET requested = false,"
	"  reread_from = least(reread_from, doubted_from), doubted_from = NULL"
	" WHERE (division, feed) IN"
	"  (SELECT s.division, s.feed FROM exact.feed_state s"
	"   WHERE s.requested AND s.division = $1 AND s.feed = $2"
	"   FOR UPDATE SKIP LOCKED)";
	ExactArg	args[2];

	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text(feed);
	exact_sql(sql, 2, args);
}
