/*
 * request.c - exact.request: what operators asked for.
 *
 * queued -> running -> done, failed or cancelled. Requests of kind sync are ended by
 * exact._settle_requests(), which looks at what they asked for.
 */
#include "postgres.h"

#include "base/sql.h"
#include "state/request.h"

int
exact_request_take(const char *kind)
{
	static const char sql[] =
	"UPDATE exact.request SET state = 'running', started_at = clock_timestamp()"
	" WHERE id IN"
	"  (SELECT r.id FROM exact.request r"
	"   WHERE r.kind = $1"
	"   AND (r.state = 'queued' OR (r.state = 'running' AND r.started_at > clock_timestamp()))"
	"   FOR UPDATE SKIP LOCKED)";
	ExactArg	arg = exact_arg_text(kind);

	return (int) exact_sql(sql, 1, &arg);
}

bool
exact_request_take_next(const char *kind, ExactRequest *request)
{
	static const char sql[] =
	"UPDATE exact.request"
	" SET state = 'running', started_at = coalesce(started_at, clock_timestamp())"
	" WHERE id ="
	"  (SELECT r.id FROM exact.request r"
	"   WHERE r.kind = $1 AND r.state IN ('queued', 'running')"
	"   ORDER BY r.id LIMIT 1"
	"   FOR UPDATE SKIP LOCKED)"
	" RETURNING id, workspace, cancel_wanted";
	ExactArg	arg = exact_arg_text(kind);

	if (exact_sql(sql, 1, &arg) == 0)
		return false;
	request->id = exact_cell_int8(0, 1, 0);
	request->workspace = exact_cell_text(0, 2);
	request->cancel_wanted = exact_cell_bool(0, 3, false);
	return true;
}

void
exact_request_cancel(const char *kind)
{
	static const char sql[] =
	"UPDATE exact.request"
	" SET state = 'cancelled', finished_at = now(), result = 'cancelled while running'"
	" WHERE id IN"
	"  (SELECT r.id FROM exact.request r"
	"   WHERE r.kind = $1 AND r.state = 'running' AND r.cancel_wanted"
	"   FOR UPDATE SKIP LOCKED)";
	ExactArg	arg = exact_arg_text(kind);

	exact_sql(sql, 1, &arg);
}

bool
exact_request_cancel_wanted(int64 id)
{
	static const char sql[] = "SELECT cancel_wanted FROM exact.request WHERE id = $1";
	ExactArg	arg = exact_arg_int8(id);

	return exact_sql(sql, 1, &arg) == 1 && exact_cell_bool(0, 1, false);
}

bool
exact_request_runs(const char *kind)
{
	static const char sql[] =
	"SELECT EXISTS (SELECT FROM exact.request WHERE state = 'running' AND kind = $1)";
	ExactArg	arg = exact_arg_text(kind);

	exact_sql(sql, 1, &arg);
	return exact_cell_bool(0, 1, false);
}

bool
exact_request_finish(int64 id, const char *state, const char *result, bool wait)
{
#define FINISH_SQL \
	"UPDATE exact.request SET state = $2, result = $3, finished_at = clock_timestamp()" \
	" WHERE id IN" \
	"  (SELECT r.id FROM exact.request r" \
	"   WHERE r.id = $1 AND r.state = 'running' FOR UPDATE"
	static const char now_sql[] = FINISH_SQL " SKIP LOCKED)";
	static const char wait_sql[] = FINISH_SQL ")";
	ExactArg	args[3];

	args[0] = exact_arg_int8(id);
	args[1] = exact_arg_text(state);
	args[2] = exact_arg_text(result);
	return exact_sql(wait ? wait_sql : now_sql, 3, args) > 0;
}
