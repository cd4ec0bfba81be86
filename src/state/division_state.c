/*
 * division_state.c - exact.division_state: may a division be read, its calls, its generation.
 */
#include "postgres.h"

#include "base/sql.h"
#include "state/division_state.h"

void
exact_division_state_stop(int division, const char *state, const char *reason,
						  const char *next_step)
{
	static const char sql[] =
	"INSERT INTO exact.division_state AS s (division, state, since, reason, next_step)"
	" VALUES ($1, $2, now(), $3, $4)"
	" ON CONFLICT (division) DO UPDATE SET"
	"  state = excluded.state,"
	"  since = now(),"
	"  reason = excluded.reason,"
	"  next_step = excluded.next_step"
	" WHERE excluded.state = 'frozen' OR s.state IN ('ok', 'parked')";
	ExactArg	args[4];

	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text(state);
	args[2] = exact_arg_text(reason);
	args[3] = exact_arg_text(next_step);
	exact_sql(sql, 4, args);
}

void
exact_division_state_free(int division)
{
	static const char sql[] =
	"UPDATE exact.division_state"
	" SET state = 'ok', since = now(), reason = NULL, next_step = NULL"
	" WHERE division = $1 AND state = 'parked'";
	ExactArg	arg = exact_arg_int4(division);

	exact_sql(sql, 1, &arg);
}

int
exact_division_state_dates(int division, const char *move_date, const char *hr_link_date,
						   int blocking_status)
{
	static const char sql[] =
	"INSERT INTO exact.division_state AS s"
	" (division, move_date, hr_link_date, checked_at, blocking_status)"
	" VALUES ($1, $2, $3, now(), $4)"
	" ON CONFLICT (division) DO UPDATE SET"
	"  move_date = excluded.move_date,"
	"  hr_link_date = excluded.hr_link_date,"
	"  checked_at = now(),"
	"  blocking_status = excluded.blocking_status,"
	"  mark_generation = s.mark_generation"
	"   + CASE WHEN s.checked_at IS NOT NULL"
	"      AND (s.move_date, s.hr_link_date)"
	"       IS DISTINCT FROM (excluded.move_date, excluded.hr_link_date) THEN 1 ELSE 0 END"
	" RETURNING mark_generation";
	ExactArg	args[4];

	args[0] = exact_arg_int4(division);
	args[1] = exact_arg_text(move_date);
	args[2] = exact_arg_text(hr_link_date);
	args[3] = exact_arg_int4(blocking_status);
	exact_sql(sql, 4, args);
	return (int) exact_cell_int8(0, 1, 1);
}

/* $n = its limit, left and reset, or nulls when the limit was not said */
static void
set_window(ExactArg *args, int limit, int left, TimestampTz reset)
{
	args[0] = limit > 0 ? exact_arg_int4(limit) : exact_arg_null(INT4OID);
	args[1] = limit > 0 ? exact_arg_int4(left) : exact_arg_null(INT4OID);
	args[2] = limit > 0 && reset != 0 ? exact_arg_time(reset) : exact_arg_null(TIMESTAMPTZOID);
}

void
exact_division_state_budget(int division, const ExactDivisionBudget *budget)
{
	static const char sql[] =
	"INSERT INTO exact.division_state AS s"
	" (division, minute_limit, minute_left, minute_reset, day_limit, day_left, day_reset, gap)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8 * interval '1 s')"
	" ON CONFLICT (division) DO UPDATE SET"
	"  minute_limit = excluded.minute_limit,"
	"  minute_left = excluded.minute_left,"
	"  minute_reset = excluded.minute_reset,"
	"  day_limit = excluded.day_limit,"
	"  day_left = excluded.day_left,"
	"  day_reset = excluded.day_reset,"
	"  gap = excluded.gap";
	ExactArg	args[8];

	args[0] = exact_arg_int4(division);
	set_window(args + 1, budget->minute_limit, budget->minute_left, budget->minute_reset);
	set_window(args + 4, budget->day_limit, budget->day_left, budget->day_reset);
	args[7] = budget->gap > 0 ? exact_arg_float8((double) (budget->gap / USECS_PER_SEC))
		: exact_arg_null(FLOAT8OID);
	exact_sql(sql, 8, args);
}
