/*
 * volume_state.c - exact.volume_state: whether the volume of a workspace can be used.
 */
#include "postgres.h"

#include "base/sql.h"
#include "state/volume_state.h"

void
exact_volume_state_store(const char *workspace, const char *volume, const ExactFault *fault)
{
	static const char sql[] =
	"INSERT INTO exact.volume_state AS v (workspace, volume, seen_at, reason, next_step)"
	" VALUES ($1, $2, clock_timestamp(), $3, $4)"
	" ON CONFLICT (workspace) DO UPDATE SET"
	"  volume = excluded.volume,"
	"  seen_at = excluded.seen_at,"
	"  reason = excluded.reason,"
	"  next_step = excluded.next_step";
	ExactArg	args[4];

	args[0] = exact_arg_text(workspace);
	args[1] = exact_arg_text(volume);
	args[2] = exact_arg_text(fault != NULL ? fault->message : NULL);
	args[3] = exact_arg_text(fault != NULL ? fault->hint : NULL);
	exact_sql(sql, 4, args);
}
