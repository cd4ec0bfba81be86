/*
 * service_state.c - exact.service_state: does each app of Exact Online, and each workspace of
 * Databricks, answer?
 *
 * Called by worker/service.c, of the fetcher for apps and of the loader for workspaces.
 */
#include "postgres.h"

#include "base/sql.h"
#include "state/service_state.h"

static ExactArg
time_or_null(TimestampTz at)
{
	return at != 0 ? exact_arg_time(at) : exact_arg_null(TIMESTAMPTZOID);
}

void
exact_service_state_store(const ExactServiceState *state)
{
	static const char sql[] =
	"INSERT INTO exact.service_state AS s"
	" (side, name, asked_at, answered_at, failing_since, kind, cause, slowed_until,"
	"  starting_since)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
	" ON CONFLICT (side, name) DO UPDATE SET"
	"  asked_at = coalesce(excluded.asked_at, s.asked_at),"
	"  answered_at = coalesce(excluded.answered_at, s.answered_at),"
	"  failing_since = excluded.failing_since,"
	"  kind = excluded.kind,"
	"  cause = excluded.cause,"
	"  slowed_until = excluded.slowed_until,"
	"  starting_since = excluded.starting_since";
	ExactArg	args[9];

	args[0] = exact_arg_text(state->side);
	args[1] = exact_arg_text(state->name);
	args[2] = time_or_null(state->asked_at);
	args[3] = time_or_null(state->answered_at);
	args[4] = time_or_null(state->failing_since);
	args[5] = exact_arg_text(state->failing_since != 0 ? state->kind : NULL);
	args[6] = exact_arg_text(state->failing_since != 0 ? state->cause : NULL);
	args[7] = time_or_null(state->slowed_until);
	args[8] = time_or_null(state->starting_since);
	exact_sql(sql, 9, args);
}

int
exact_service_state_failing(const char *side, MemoryContext context, ExactServiceFailure **rows)
{
	static const char sql[] =
	"SELECT name, failing_since, kind, cause"
	" FROM exact.service_state"
	" WHERE side = $1 AND failing_since IS NOT NULL";
	ExactArg	arg = exact_arg_text(side);
	int			n = (int) exact_sql(sql, 1, &arg);
	MemoryContext old = MemoryContextSwitchTo(context);

	*rows = palloc0(sizeof(ExactServiceFailure) * (n + 1));
	for (int i = 0; i < n; i++)
	{
		(*rows)[i].name = exact_cell_text(i, 1);
		(*rows)[i].since = exact_cell_time(i, 2, 0);
		(*rows)[i].kind = exact_cell_text(i, 3);
		(*rows)[i].cause = exact_cell_text(i, 4);
	}
	MemoryContextSwitchTo(old);
	return n;
}
