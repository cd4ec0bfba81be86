/*
 * trouble.c - what an answer that is no page means for its division: wait, hold back, park, freeze;
 * and for its run: is its link dead, does it get on?
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/backoff.h"
#include "base/fault.h"
#include "exact_online/endpoint.h"
#include "exact_online/exact_api.h"
#include "fetch/cursor.h"
#include "fetch/lane.h"
#include "fetch/sync_request.h"
#include "fetch/trouble.h"
#include "http/http_client.h"
#include "http/url.h"
#include "state/audit.h"
#include "state/backfill_state.h"
#include "state/division_state.h"
#include "state/feed_state.h"
#include "worker/self.h"
#include "worker/unit.h"

#define BACKOFF_FIRST_MS 2000
#define BACKOFF_MAX_MS 300000
#define REFUSED_FIRST_MS 60000
/* an endpoint that the licence does not have costs one call a day */
#define REFUSED_MAX_MS 86400000
#define NO_CONSENT_US (10 * USECS_PER_MINUTE)
#define STATE_ATTEMPTS 6
#define LINK_REFUSALS 2			/* in a row: a next link has expired */
#define STUCK_US USECS_PER_HOUR

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

/* ---- of a run ---- */

typedef struct RunFailure
{
	ExactRun   *run;
	ExactApiAnswer *answer;
	const ExactFault *fault;
} RunFailure;

static void
failure_unit(void *arg)
{
	RunFailure *failure = arg;
	ExactRun   *run = failure->run;

	if (failure->answer->http != NULL)
		exact_api_record(failure->answer, 0);
	if (run->live != NULL)
		exact_backfill_state_fail(run->lane->division, run->name, failure->fault->message,
								  run->errors, run->next_link == NULL);
	else
		exact_feed_state_fail(run->lane->division, run->name, failure->fault->message, run->errors,
							  run->next_link == NULL);
}

/*
 * Will the stored link never lead to its page? So says the service when it refuses it, or leads
 * back to where the run has been, twice in a row; so does the hub when it may not be sent at all.
 * Trouble on the way, or our own, says nothing about it.
 */
static bool
link_is_dead(ExactRun *run, const ExactApiAnswer *answer)
{
	const ExactHttpResponse *http = answer->http;
	bool		refused = run->leads_back;
	char	   *why = NULL;

	if (run->next_link == NULL || http == NULL)
		return false;
	if (http->outcome != EXACT_HTTP_ANSWERED)
		return !exact_url_allowed(run->next_link, &why) &&
			exact_url_allowed(run->lane->base_url, &why);
	if (answer->trouble == EXACT_API_REFUSED)
		refused = refused || http->status == EXACT_STATUS_BAD_REQUEST ||
			http->status == EXACT_STATUS_NOT_FOUND || http->status == EXACT_STATUS_GONE;
	run->refusals = refused ? run->refusals + 1 : 0;
	return run->refusals >= LINK_REFUSALS;
}

/* An alarm when a feed got no further for an hour, and every hour. */
static void
watch_progress(ExactRun *run)
{
	TimestampTz now = GetCurrentTimestamp();

	run->failed_rows = Max(run->failed_rows, run->paging ? run->run_rows : 0);
	if (run->stuck_since == 0 || run->stuck_since > now)
		run->stuck_since = run->alarmed_at = now;
	if (now - run->alarmed_at < STUCK_US)
		return;
	run->alarmed_at = now;
	exact_log(LOG, "alarm division=%d feed=%s stands still since=%s errors=%d rows=" INT64_FORMAT,
			  run->lane->division, run->name, timestamptz_to_str(run->stuck_since), run->errors,
			  run->failed_rows);
}

void
exact_trouble_run(ExactRun *run, ExactApiAnswer *answer, const ExactFault *fault)
{
	RunFailure	failure = {run, answer, fault};

	if (!exact_trouble_waits(answer))
	{
		run->errors++;
		watch_progress(run);
	}
	run->not_before = exact_trouble_answer(run->lane, answer, run->errors);
	run->unreached = answer->away;
	if (answer->http != NULL && answer->http->too_large && exact_cursor_smaller(run))
	{
		run->not_before = 0;
		exact_log(LOG, "page too large division=%d feed=%s rows=" INT64_FORMAT
				  " goes_on=%s top=%d", run->lane->division, run->name, run->run_rows,
				  run->next_link != NULL ? "behind the last row" :
				  exact_cursor_begins(run) ? "from the start" : "from the highest mark", run->top);
	}
	else if (link_is_dead(run, answer))
	{
		exact_lane_set_text(&run->next_link, NULL);
		run->not_before = 0;	/* what is asked for next is another page */
		exact_log(LOG, "link dropped division=%d feed=%s rows=" INT64_FORMAT " goes_on=%s",
				  run->lane->division, run->name, run->run_rows,
				  exact_cursor_begins(run) ? "from the start" : "from the highest mark");
	}
	exact_log(LOG, "failed division=%d feed=%s errors=%d error=\"%s\" detail=\"%s\"",
			  run->lane->division, run->name, run->errors, fault->message,
			  fault->detail ? fault->detail : "");
	exact_unit_run("record failure", failure_unit, &failure, NULL);
	exact_sync_request_settle(run->lane);
}
