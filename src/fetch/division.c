/*
 * division.c - the guard of row versions.
 *
 * Exact Online resets Timestamp values when DivisionMoveDate or DivisionHRLinkUnlinkDate changes (exact-online.md §5.3). The
 * mark generation then rises, every sync feed starts at its first mark again, and what a whole run does not show is gone.
 */
#include "postgres.h"

#include "base/errors.h"
#include "base/sql.h"
#include "exact_online/odata_value.h"
#include "fetch/division.h"
#include "worker/self.h"

void
exact_division_read_again(ExactLane *lane, const char *why)
{
	static const char sql[] =
	"UPDATE exact.feed_state SET mark = 1, run = nextval('exact.run_id'), run_state = 'idle', next_link = NULL, requested = true "
	"WHERE division = $1 AND feed IN (SELECT feed FROM exact.entity_effective WHERE method = 'sync')";
	static const char audit_sql[] =
	"SELECT exact._audit('fetcher', 'division', $1, NULL, jsonb_build_object('read_again', $2::text))";
	ExactArg	args[2];

	args[0] = exact_arg_int4(lane->division);
	args[1] = exact_arg_text(why);
	exact_sql(sql, 1, args);
	exact_sql(audit_sql, 2, args);
	exact_log(LOG, "alarm division=%d all sync feeds are read again from the start reason=\"%s\"", lane->division, why);
}

bool
exact_division_compare(ExactLane *lane, const ExactFeed *feed, const ExactPage *page)
{
	static const char save_sql[] =
	"INSERT INTO exact.division_state AS s (division, move_date, hr_link_date, checked_at) VALUES ($1, $2, $3, now()) "
	"ON CONFLICT (division) DO UPDATE SET move_date = excluded.move_date, hr_link_date = excluded.hr_link_date, checked_at = now(), "
	"mark_generation = s.mark_generation + CASE WHEN s.checked_at IS NOT NULL AND (s.move_date, s.hr_link_date) IS DISTINCT FROM "
	"  (excluded.move_date, excluded.hr_link_date) THEN 1 ELSE 0 END RETURNING mark_generation";
	static const char log_sql[] =
	"UPDATE exact.feed_state SET mark = 1, run_state = 'idle', next_link = NULL, requested = true WHERE division = $1 AND feed = 'deleted'";
	ExactArg	args[3];
	int			generation;

	for (int i = 0; i < page->nrecords; i++)
	{
		const ExactRecord *record = &page->records[i];
		int64		code;

		/* fields in the order of feed.c: Code, DivisionMoveDate, DivisionHRLinkUnlinkDate, ... */
		if (!exact_odata_int64(record->values[0], &code) || code != lane->division)
			continue;
		args[0] = exact_arg_int4(lane->division);
		args[1] = exact_arg_text(exact_odata_string(record->values[1]));
		args[2] = exact_arg_text(exact_odata_string(record->values[2]));
		exact_sql(save_sql, 3, args);
		generation = (int) exact_cell_int8(0, 1, 1);
		if (generation == lane->mark_generation)
			return false;
		exact_sql(log_sql, 1, args);	/* it has row versions of its own */
		exact_division_read_again(lane, "the division was moved or linked: row versions begin anew");
		return true;
	}
	ereport(ERROR,
			(errcode(ERRCODE_EXACT_BAD_ANSWER),
			 errmsg("Exact Online does not list division %d among those the app may open", lane->division),
			 errdetail("GET %s, %d divisions.", feed->resource, page->nrecords),
			 errhint("Consent again with a user who may open it, or disable the division.")));
}
