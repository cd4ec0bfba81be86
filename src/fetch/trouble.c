/*
 * trouble.c - what an answer that is no page means for its division: wait, hold back, park, freeze.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/backoff.h"
#include "base/fault.h"
#include "exact_online/exact_api.h"
#include "fetch/lane.h"
#include "fetch/trouble.h"
#include "state/audit.h"
#include "state/division_state.h"
#include "worker/self.h"
#include "worker/unit.h"

#define BACKOFF_FIRST_MS 2000
#define BACKOFF_MAX_MS 300000
#define REFUSED_FIRST_MS 60000
/* an endpoint that the licence does not have costs one call a day */
#define REFUSED_MAX_MS 86400000
#define NO_CONSENT_US (10 * USECS_PER_MINUTE)
#define STATE_ATTEMPTS 6

static TimestampTz
after_backoff(int errors, int64 first_ms, int64 most_ms)
{
	return GetCurrentTimestamp() + exact_backoff_ms(errors, first_ms, most_ms) * 1000;
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
	StateChange *change = arg;

	exact_division_state_stop(change->division, change->state, change->fault->message,
							  change->fault->hint);
	exact_audit_division_state(change->division, change->state, change->fault->message,
							   change->fault->detail);
}

static void
set_state(ExactLane *lane, const char *state, const ExactFault *fault)
{
	StateChange change = {lane->division, state, fault};
	bool		stored = false;

	strlcpy(lane->state, state, sizeof(lane->state));
	lane->state_since = GetCurrentTimestamp();
	exact_log(LOG, "alarm division=%d state=%s reason=\"%s\"",
			  lane->division, state, fault->message);
	for (int i = 0; i < STATE_ATTEMPTS && !stored; i++)
		stored = exact_unit_run("set division state", state_unit, &change, NULL);
	exact_lane_want_plan();		/* the table has the last word */
}

bool
exact_trouble_waits(const ExactApiAnswer *answer)
{
	return answer->trouble == EXACT_API_LIMIT || answer->trouble == EXACT_API_UNAUTHORIZED ||
		(answer->http == NULL && answer->retry_at > GetCurrentTimestamp());
}

/*
 * Trouble of the whole division makes its lane wait or stand still; trouble of one feed makes that
 * feed wait, longer with each error.
 */
TimestampTz
exact_trouble_answer(ExactLane *lane, ExactApiAnswer *answer, int errors)
{
	TimestampTz now = GetCurrentTimestamp();

	switch (answer->trouble)
	{
		case EXACT_API_LIMIT:
			if (answer->alone)
				return Max(answer->retry_at, now + USECS_PER_SEC);
			lane->not_before = Max(answer->retry_at, now + USECS_PER_SEC);
			return 0;
		case EXACT_API_UNAUTHORIZED:
			/* authorize() and import_secrets() wake the fetcher, which looks again at once */
			lane->not_before = now + NO_CONSENT_US;
			return 0;
		case EXACT_API_PARKED:
			set_state(lane, "parked", answer->fault);
			return 0;
		case EXACT_API_REFUSED:
			return after_backoff(errors, REFUSED_FIRST_MS, REFUSED_MAX_MS);
		default:
			if (answer->retry_at > now && answer->http == NULL)
			{
				/* no token now: a matter of the whole division */
				lane->not_before = answer->retry_at;
				return 0;
			}
			return after_backoff(errors, BACKOFF_FIRST_MS, BACKOFF_MAX_MS);
	}
}

void
exact_trouble_freeze(ExactLane *lane, const ExactFault *fault)
{
	set_state(lane, "frozen", fault);
}
