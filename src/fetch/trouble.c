/*
 * trouble.c - what an answer that is no page means for its division: wait, hold back, park, freeze.
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "utils/timestamp.h"

#include "base/fault.h"
#include "base/sql.h"
#include "fetch/trouble.h"
#include "worker/self.h"
#include "worker/unit.h"

#define BACKOFF_FIRST_MS 2000
#define BACKOFF_MAX_MS 300000
#define REFUSED_FIRST_MS 60000
#define REFUSED_MAX_MS 86400000	/* an endpoint that the licence does not have costs one call a day */

static TimestampTz
backoff(int errors, int64 first_ms, int64 max_ms)
{
	int64		ms = first_ms << Min(errors > 0 ? errors - 1 : 0, 16);

	ms = Min(ms, max_ms);
	ms += (int64) (ms * 0.13 * (2 * pg_prng_double(&pg_global_prng_state) - 1));
	return GetCurrentTimestamp() + ms * 1000;
}

typedef struct StateChange
{
	int			division;
	const char *state;
	const ExactFault *fault;
} StateChange;

static void
state_unit(void *arg)
{
	static const char sql[] =
	"INSERT INTO exact.division_state AS s (division, state, since, reason, next_step) VALUES ($1, $2, now(), $3, $4) "
	"ON CONFLICT (division) DO UPDATE SET state = excluded.state, since = now(), reason = excluded.reason, next_step = excluded.next_step "
	"WHERE excluded.state = 'frozen' OR s.state IN ('ok', 'parked')";	/* an operator's pause stays */
	static const char audit_sql[] =
	"SELECT exact._audit('fetcher', 'division', $1, NULL, jsonb_build_object('state', $2::text, 'reason', $3::text, 'detail', $4::text))";
	StateChange *change = arg;
	ExactArg	args[4];

	args[0] = exact_arg_int4(change->division);
	args[1] = exact_arg_text(change->state);
	args[2] = exact_arg_text(change->fault->message);
	args[3] = exact_arg_text(change->fault->hint);
	exact_sql(sql, 4, args);
	args[3] = exact_arg_text(change->fault->detail);
	exact_sql(audit_sql, 4, args);
}

static void
set_state(ExactLane *lane, const char *state, const ExactFault *fault)
{
	StateChange change = {lane->division, state, fault};
	int			attempts = 5;

	strlcpy(lane->state, state, sizeof(lane->state));
	lane->state_since = GetCurrentTimestamp();
	exact_log(LOG, "alarm division=%d state=%s reason=\"%s\"", lane->division, state, fault->message);
	while (!exact_unit_run("set division state", state_unit, &change, NULL) && attempts-- > 0)
		;
	exact_plan_want();			/* the table has the last word */
}

bool
exact_trouble_waits(const ExactApiAnswer *answer)
{
	return answer->trouble == EXACT_API_LIMIT || answer->trouble == EXACT_API_UNAUTHORIZED ||
		(answer->http == NULL && answer->retry_at > GetCurrentTimestamp());
}

/* What an answer that is no page means for the division; returns when the same feed may be tried again. */
TimestampTz
exact_trouble_answer(ExactLane *lane, ExactApiAnswer *answer, int errors)
{
	TimestampTz now = GetCurrentTimestamp();

	switch (answer->trouble)
	{
		case EXACT_API_LIMIT:
			lane->not_before = Max(answer->retry_at, now + USECS_PER_SEC);
			return 0;
		case EXACT_API_UNAUTHORIZED:
			/* authorize() and import_secrets() wake the fetcher, which looks again at once */
			lane->not_before = now + 10 * USECS_PER_MINUTE;
			return 0;
		case EXACT_API_PARKED:
			set_state(lane, "parked", answer->fault);
			return 0;
		case EXACT_API_REFUSED:
			return backoff(errors, REFUSED_FIRST_MS, REFUSED_MAX_MS);
		default:
			if (answer->retry_at > now && answer->http == NULL)
			{
				lane->not_before = answer->retry_at;	/* no token now: a matter of the whole division */
				return 0;
			}
			return backoff(errors, BACKOFF_FIRST_MS, BACKOFF_MAX_MS);
	}
}

void
exact_trouble_freeze(ExactLane *lane, const ExactFault *fault)
{
	set_state(lane, "frozen", fault);
}
