/*
 * write_back.c - edits of dimensions on their way to Exact Online.
 *
 * What is next is said by exact._write_take(), which marks it as sent and is committed before the
 * call; what became of it is told to exact._write_outcome() in the transaction that records the
 * call. What lies between the two is sent once. A write goes behind live changes of its division,
 * in turn with loads, and holds the division's lane, so that every reading after it shows it.
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/errors.h"
#include "base/fault.h"
#include "base/sql.h"
#include "dimension/write_back.h"
#include "exact_online/budget.h"
#include "exact_online/endpoint.h"
#include "exact_online/exact_api.h"
#include "exact_online/write.h"
#include "fetch/generation.h"
#include "fetch/lane.h"
#include "fetch/trouble.h"
#include "fetch/turn.h"
#include "worker/self.h"
#include "worker/unit.h"

#define LOOK_AGAIN_US USECS_PER_SEC /* nothing was to be done now, or a unit failed */
#define DOUBT_US (2 * USECS_PER_MINUTE) /* a refusal is believed then at the latest */

/* One call of a write-back, from its choice to its outcome in the database */
typedef struct Step
{
	struct Step *next;
	MemoryContext context;
	ExactLane  *lane;
	const char **closed;		/* entities that may not be written now */
	int			nclosed;
	TimestampTz opens_at;		/* the first of them may then; PG_INT64_MAX: none is closed */
	TimestampTz due_at;			/* when there may be another */
	int64		edit;			/* exact.dimension_write.id; 0: none is due */
	ExactWrite	write;
	ExactApiAnswer *answer;		/* while it is there: it is recorded with the outcome */
	int64		call;			/* its row, when it was recorded before; 0: it was not */
	ExactWriteResult result;
	bool		ended;			/* the outcome is known */
	TimestampTz refused_at;		/* but it may be a refusal of the whole division; 0: it is not */
	TimestampTz store_at;		/* it could not be stored: again then */
} Step;

static Step *steps;				/* those that are not stored yet */

void
exact_write_back_load(void)
{
	exact_sql("SELECT exact._write_restarted()", 0, NULL);
}

static Step *
find_step(const ExactLane *lane)
{
	for (Step *step = steps; step != NULL; step = step->next)
		if (step->lane == lane)
			return step;
	return NULL;
}

static void
drop_step(Step *step)
{
	for (Step **at = &steps; *at != NULL; at = &(*at)->next)
		if (*at == step)
		{
			*at = step->next;
			break;
		}
	MemoryContextDelete(step->context);
}

/* ---- when is something due? ---- */

/* In a unit: of one division, and of what may be written, now or then; PG_INT64_MAX never. */
static TimestampTz
due_at(const Step *step)
{
	ExactArg	args[2];

	args[0] = exact_arg_int4(step->lane->division);
	args[1] = exact_arg_text_array(step->closed, NULL, step->nclosed);
	exact_sql("SELECT exact._write_due($1, $2)", 2, args);
	return Min(exact_cell_time(0, 1, PG_INT64_MAX), step->opens_at);
}

/* Of all divisions of which that is to be asked, since the plan was read */
static void
look_unit(void *arg pg_attribute_unused())
{
	static const char sql[] =
	"SELECT d.division, exact._write_due(d.division)"
	" FROM unnest($1::int[]) AS d (division)"
	" WHERE d.division IN ("
	"  SELECT c.division FROM exact.dimension_change c WHERE c.state = 'approved'"
	"  UNION ALL"
	"  SELECT w.division FROM exact.dimension_write w WHERE w.state <> 'ended')";
	ExactLane **lanes;
	int			nlanes = exact_lane_all(&lanes);
	int32	   *asked = palloc((nlanes + 1) * sizeof(int32));
	int			n = 0;
	ExactArg	arg1;
	uint64		found;

	for (int i = 0; i < nlanes; i++)
		if (lanes[i]->present && lanes[i]->writes_at == 0)
			asked[n++] = lanes[i]->division;
	arg1 = exact_arg_int4_array(asked, NULL, n);
	found = exact_sql(sql, 1, &arg1);
	for (int i = 0; i < nlanes; i++)
		if (lanes[i]->writes_at == 0)
			lanes[i]->writes_at = PG_INT64_MAX;
	for (uint64 i = 0; i < found; i++)
		exact_lane_find((int) exact_cell_int8(i, 1, 0))->writes_at =
			exact_cell_time(i, 2, PG_INT64_MAX);
}

static void
look(void)
{
	ExactLane **lanes;
	int			nlanes = exact_lane_all(&lanes);
	bool		asked = false;

	for (int i = 0; i < nlanes; i++)
		asked = asked || (lanes[i]->present && lanes[i]->writes_at == 0);
	if (!asked || exact_unit_run("look for writes", look_unit, NULL, NULL))
		return;
	for (int i = 0; i < nlanes; i++)
		if (lanes[i]->writes_at == 0)
			lanes[i]->writes_at = GetCurrentTimestamp() + LOOK_AGAIN_US;
}

/* ---- the outcome ---- */

/* In a unit, which may run twice; without the answer the call is as it was recorded before. */
static void
record(Step *step)
{
	if (step->answer != NULL)
		step->call = step->answer->http != NULL ? exact_api_record(step->answer, 0) : 0;
}

static void
record_unit(void *arg)
{
	record(arg);
}

static void
outcome_unit(void *arg)
{
	static const char sql[] = "SELECT exact._write_outcome($1, $2, $3, $4, $5, $6)";
	Step	   *step = arg;
	const ExactWriteResult *result = &step->result;
	ExactArg	args[6];

	record(step);
	args[0] = exact_arg_int8(step->edit);
	args[1] = exact_arg_text(exact_write_outcome_name(result->outcome));
	args[2] = result->status != 0 ? exact_arg_int4(result->status) : exact_arg_null(INT4OID);
	args[3] = exact_arg_text(result->said);
	args[4] = exact_arg_text(result->rows);
	args[5] = step->call != 0 ? exact_arg_int8(step->call) : exact_arg_null(INT8OID);
	exact_sql(sql, 6, args);
	step->due_at = due_at(step);
}

/* Until it is stored, no other write of the division is sent. */
static void
store(Step *step)
{
	ExactLane  *lane = step->lane;

	if (exact_unit_run("store the outcome of a write", outcome_unit, step, NULL))
	{
		lane->writes_at = step->due_at;
		drop_step(step);
		return;
	}
	if (step->answer != NULL)
		step->call = 0;			/* it is recorded by itself, as the answer goes now */
	step->answer = NULL;
	step->store_at = GetCurrentTimestamp() + LOOK_AGAIN_US;
}

/*
 * What hinders a write hinders the next one of its entity as well, longer with each: a right that
 * is missing, a service that does not answer.
 */
static void
hold_back(const Step *step, ExactApiAnswer *answer)
{
	ExactRefusal *refusal = exact_lane_make_refusal(step->lane, step->write.entity);

	if (step->result.outcome == EXACT_WRITE_OK || step->result.outcome == EXACT_WRITE_REFUSED)
	{
		refusal->write_errors = 0;
		return;
	}
	if (answer->trouble == EXACT_API_OK)
		return;
	if (exact_trouble_waits(answer))
		exact_trouble_answer(step->lane, answer, 1);
	else
		refusal->no_write_before = exact_trouble_answer(step->lane, answer,
														++refusal->write_errors);
}

/*
 * While Exact Online works on a division it refuses every write of it as it refuses a bad one: by
 * HTTP 500. Only the division's BlockingStatus tells the two apart, so it is read first. False: it
 * cannot be read now.
 */
static bool
doubt(Step *step)
{
	if (step->result.outcome != EXACT_WRITE_REFUSED || step->result.status != EXACT_STATUS_FAILED ||
		exact_generation_want(step->lane) == 0)
		return false;
	step->refused_at = GetCurrentTimestamp();
	if (!exact_unit_run("record a write", record_unit, step, NULL))
		step->call = 0;
	step->answer = NULL;
	return true;
}

/* Is it known what the refusal was of? */
static bool
is_judged(Step *step)
{
	if (step->refused_at == 0)
		return true;
	if (step->lane->blocking_status != 0)
		step->result.outcome = EXACT_WRITE_UNSENT;
	else if (!exact_generation_read_since(step->lane, step->refused_at) &&
			 step->refused_at + DOUBT_US > GetCurrentTimestamp())
		return false;
	step->refused_at = 0;
	return true;
}

static void
freeze(const Step *step)
{
	ExactFault	fault = {.sqlstate = ERRCODE_EXACT_DIVISION_GUARD};

	fault.message = psprintf("the answer to %s of division %d is about another division",
							 step->write.method, step->lane->division);
	exact_trouble_freeze(step->lane, &fault);
}

static void
on_answer(ExactApiAnswer *answer, void *arg)
{
	Step	   *step = arg;
	ExactLane  *lane = step->lane;
	MemoryContext old = MemoryContextSwitchTo(step->context);

	exact_lane_release(lane);
	exact_write_judge(&step->write, answer, &step->result);
	hold_back(step, answer);
	if (step->result.foreign)
		freeze(step);
	exact_log(LOG, "write division=%d edit=" INT64_FORMAT " %s entity=%s outcome=%s status=%d "
			  "ms=%.0f", lane->division, step->edit, step->write.method, step->write.entity,
			  exact_write_outcome_name(step->result.outcome), step->result.status,
			  answer->http != NULL ? answer->http->ms : 0);
	step->answer = answer;
	step->ended = true;
	MemoryContextSwitchTo(old);
	if (!doubt(step))
		store(step);
}

/* ---- the call ---- */

/* In a unit: the next call is marked as sent. Live keys of the division go first. */
static void
take_unit(void *arg)
{
	static const char sql[] =
	"SELECT edit, entity, method, path, body FROM exact._write_take($1, $2)";
	Step	   *step = arg;
	TimestampTz now = GetCurrentTimestamp();
	ExactArg	args[2];
	MemoryContext old;

	step->edit = 0;
	step->due_at = now + LOOK_AGAIN_US;
	if (exact_lane_keys_due_at(step->lane, true) <= now)
	{
		if (step->lane->keys_at == PG_INT64_MAX)
			step->lane->keys_at = 0;	/* nobody has told the lane of them */
		return;
	}
	args[0] = exact_arg_int4(step->lane->division);
	args[1] = exact_arg_text_array(step->closed, NULL, step->nclosed);
	exact_sql(sql, 2, args);
	if (exact_cell_isnull(0, 1))
	{
		step->due_at = Max(due_at(step), now + LOOK_AGAIN_US);
		return;
	}
	old = MemoryContextSwitchTo(step->context);
	step->edit = exact_cell_int8(0, 1, 0);
	step->write.division = step->lane->division;
	step->write.entity = exact_cell_text(0, 2);
	step->write.method = exact_cell_text(0, 3);
	step->write.path = exact_cell_text(0, 4);
	step->write.body = exact_cell_text(0, 5);
	MemoryContextSwitchTo(old);
	exact_write_check(&step->write);
}

static void
send_step(Step *step)
{
	ExactLane  *lane = step->lane;
	ExactApiRequest from = {.app = lane->app,.base_url = lane->base_url};
	MemoryContext old = MemoryContextSwitchTo(step->context);

	step->next = steps;
	steps = step;
	lane->wrote_last = true;
	exact_lane_wrote(lane, step->write.entity);
	exact_lane_hold(lane);
	exact_write_send(&step->write, &from, on_answer, step);
	MemoryContextSwitchTo(old);
}

/* Entities that may not be written now */
static void
find_closed(Step *step)
{
	step->closed = palloc(EXACT_WRITE_RESOURCES * sizeof(char *));
	step->opens_at = PG_INT64_MAX;
	for (int i = 0; i < EXACT_WRITE_RESOURCES; i++)
	{
		const char *entity = exact_write_entity(i);
		const ExactRefusal *refusal = exact_lane_refusal(step->lane, entity);
		const char *why;
		TimestampTz at = exact_budget_write_at(step->lane->division, exact_write_resource(entity),
											   &why);

		if (refusal != NULL)
			at = Max(at, refusal->no_write_before);
		if (at <= GetCurrentTimestamp())
			continue;
		step->closed[step->nclosed++] = entity;
		step->opens_at = Min(step->opens_at, at);
	}
}

static void
step_lane(ExactLane *lane)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "exact write",
												  ALLOCSET_SMALL_SIZES);
	Step	   *step = MemoryContextAllocZero(context, sizeof(Step));
	MemoryContext old = MemoryContextSwitchTo(context);

	step->context = context;
	step->lane = lane;
	find_closed(step);
	MemoryContextSwitchTo(old);
	if (!exact_unit_run("take a write", take_unit, step, NULL))
	{
		step->edit = 0;
		step->due_at = GetCurrentTimestamp() + LOOK_AGAIN_US;
	}
	lane->writes_at = step->due_at;
	if (step->edit != 0)
		send_step(step);
	else
		drop_step(step);
}

long
exact_write_back_turn(void)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = PG_INT64_MAX;
	ExactLane **lanes;
	int			nlanes = exact_lane_all(&lanes);
	Step	   *following;

	for (Step *step = steps; step != NULL; step = following)
	{
		following = step->next;
		if (!step->ended)
			continue;
		if (step->store_at > now)
			next = Min(next, step->store_at);
		else if (is_judged(step))
			store(step);
		else
			next = Min(next, now + LOOK_AGAIN_US);
	}
	look();
	for (int i = 0; i < nlanes; i++)
	{
		ExactLane  *lane = lanes[i];
		TimestampTz at;

		if (!lane->present || lane->writes_at == PG_INT64_MAX || find_step(lane) != NULL)
			continue;
		at = Max(lane->writes_at, exact_turn_aside_at(lane));
		if (at <= now)
		{
			step_lane(lane);
			at = find_step(lane) != NULL ? PG_INT64_MAX : lane->writes_at;
		}
		next = Min(next, at);
	}
	return exact_clock_wait_ms(next);
}
