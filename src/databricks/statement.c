/*
 * statement.c - the life of one statement in Databricks.
 *
 * NEW: recorded in exact.statement_log (committed), then sent. RUNNING: has an id, is polled.
 * UNKNOWN: sent, no answer; looked for in the query history. A crash leaves the row in the log, and
 * exact_statement_follow() takes it up from there. Called by all that send one, and by loader.c in
 * its turn. Each step is one request and at most one unit; nothing waits in a transaction.
 */
#include "postgres.h"

#include "lib/ilist.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/backoff.h"
#include "base/clock.h"
#include "base/errors.h"
#include "base/fault.h"
#include "databricks/databricks.h"
#include "databricks/delta_sql.h"
#include "databricks/statement.h"
#include "databricks/statement_error.h"
#include "databricks/statement_log.h"
#include "databricks/warehouse.h"
#include "worker/self.h"
#include "worker/service.h"
#include "worker/unit.h"

#define FIRST_POLL_MS 200
#define LAST_POLL_MS 5000
#define RETRY_FIRST_MS 1000
#define RETRY_MAX_MS 60000
#define ASKED_MS 250			/* while another one asks whether the workspace answers */
#define MAX_READINGS 5			/* of a result that does not come whole */
#define FIRST_SEARCH_MS 1000	/* the history lists a statement a moment after it was sent */
#define LOOK_MS 15000			/* one that is queued so long: does the warehouse start? */
#define VOICE_MS 60000			/* one that runs longer is told, once a minute */

typedef enum Phase
{
	PHASE_NEW,
	PHASE_RUNNING,
	PHASE_UNKNOWN
} Phase;

typedef struct Statement
{
	dlist_node	node;
	MemoryContext context;
	ExactStatementRequest request;
	char	   *mark;
	char	   *text;			/* mark and sql; NULL for one that an earlier process sent */
	Phase		phase;
	bool		busy;			/* a request is under way */
	TimestampTz due;			/* next step */
	int64		log_id;
	char	   *statement_id;
	int			attempt;		/* sendings */
	int			failures;		/* in a row, for the backoff */
	int			repeats;		/* ends that let it be sent again */
	bool		sent_once_more; /* an error that may pass was given its second chance */
	int			looks;			/* into the history, in a row, that showed none */
	long		poll_ms;
	TimestampTz told_at;		/* that it runs; 0: not yet */
	TimestampTz looked_at;		/* why it does not run yet; 0: not yet */
	TimestampTz first_sent;
	TimestampTz last_sent;
} Statement;

/* What a unit writes */
typedef struct Entry
{
	Statement  *statement;
	ExactLogEntry row;
	const ExactFault *trouble;	/* tell the caller within the unit */
} Entry;

static dlist_head statements = DLIST_STATIC_INIT(statements);

/* Neither the table nor, maybe, its schema is there. */
bool
exact_statement_absent(const char *sqlstate)
{
	return strcmp(sqlstate, "42P01") == 0 || strcmp(sqlstate, "42704") == 0;
}

static void
set_due(Statement *st, int64 ms)
{
	st->due = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);
}

/* ---- its row in the log ---- */

static void
add_unit(void *arg)
{
	Statement  *st = arg;

	st->log_id = exact_statement_log_add(&st->request);
}

static void
update_unit(void *arg)
{
	Entry	   *entry = arg;
	Statement  *st = entry->statement;

	exact_statement_log_update(&entry->row);
	if (entry->trouble != NULL && st->request.trouble != NULL)
		st->request.trouble(entry->trouble, st->failures, st->due, st->request.trouble_arg);
}

static void
write_row(Statement *st, const char *state, int64 affected, const char *error, const char *sqlstate,
		  const ExactFault *trouble)
{
	Entry		entry = {
		.statement = st,
		.row = {st->log_id, state, st->attempt, st->statement_id, affected, error, sqlstate},
		.trouble = trouble
	};

	(void) exact_unit_run("statement log", update_unit, &entry, NULL);
}

/*
 * A row that could not be written does not stop the work: a crash finds out anew what it would say.
 */
static void
write_entry(Statement *st, const char *state, const ExactFault *trouble)
{
	write_row(st, state, -1, trouble ? trouble->message : NULL, NULL, trouble);
}

/* ---- ends ---- */

static void
finish(Statement *st, ExactStatementResult *result, const char *error)
{
	bool		good = result->verdict == EXACT_VERDICT_SUCCEEDED ||
		(st->request.may_be_absent && exact_statement_absent(result->sqlstate)) ||
		(st->request.expected != NULL && strcmp(st->request.expected, result->sqlstate) == 0);
	MemoryContext old = MemoryContextSwitchTo(st->context);

	result->statement_id = st->statement_id;
	result->first_attempt = st->attempt == 1 && st->text != NULL;
	result->ms = (double) (GetCurrentTimestamp() - st->first_sent) / 1000.0;
	write_row(st, good ? "succeeded" : "failed", result->affected, good ? NULL : error,
			  *result->sqlstate != '\0' ? result->sqlstate : NULL, NULL);
	dlist_delete(&st->node);
	exact_warehouse_end(st->request.workspace);
	st->request.done(result, st->request.arg);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(st->context);
}

static ExactStatementResult
make_result(ExactVerdict verdict)
{
	ExactStatementResult result;

	memset(&result, 0, sizeof(result));
	result.verdict = verdict;
	result.sqlstate = "";
	result.affected = -1;
	return result;
}

/* answer: of the service; NULL: none of it is the reason */
static void
finish_refused(Statement *st, const ExactFault *fault, const ExactCallAnswer *answer)
{
	ExactStatementResult result = make_result(EXACT_VERDICT_REFUSED);

	result.fault = fault;
	if (answer != NULL)
	{
		result.fenced = exact_statement_error_fenced(answer);
		result.sqlstate = answer->sqlstate;
		result.constraint = exact_statement_error_constraint(answer);
	}
	finish(st, &result, fault->message);
}

static void
finish_too_large(Statement *st, const ExactFault *fault)
{
	ExactStatementResult result = make_result(EXACT_VERDICT_REFUSED);

	result.fault = fault;
	result.too_large = true;
	finish(st, &result, fault->message);
}

static void
finish_lapsed(Statement *st)
{
	ExactStatementResult result = make_result(EXACT_VERDICT_LAPSED);

	finish(st, &result, "its answer was lost; its rows are sent again");
}

static void
finish_succeeded(Statement *st, const ExactCallAnswer *answer)
{
	ExactStatementResult result = make_result(EXACT_VERDICT_SUCCEEDED);

	if (answer->rows == EXACT_ROWS_WHOLE)
	{
		result.nrows = answer->nrows;
		result.ncolumns = answer->ncolumns;
		result.cells = answer->cells;
	}
	/* of a MERGE: affected, updated, deleted, inserted; of an INSERT: affected, inserted */
	if (result.nrows == 1 && result.cells[0] != NULL &&
		(result.ncolumns == 4 ||
		 (result.ncolumns == 2 && exact_statement_log_writes_rows(st->request.kind))))
		result.affected = strtoll(result.cells[0], NULL, 10);
	finish(st, &result, NULL);
}

/* ---- a workspace that does not answer ---- */

/* They have tried, and wait for the workspace of this one. */
static bool
waits_with(const Statement *other, const Statement *st)
{
	return other != st && other->failures > 0 &&
		strcmp(other->request.workspace->name, st->request.workspace->name) == 0;
}

/* One asks whether the workspace answers again; the others wait for what it finds. */
static bool
another_asks(const Statement *st)
{
	dlist_iter	iter;

	if (st->failures == 0 || !exact_service_fails(st->request.workspace->name))
		return false;
	dlist_foreach(iter, &statements)
	{
		const Statement *other = dlist_container(Statement, node, iter.cur);

		if (other->busy && waits_with(other, st))
			return true;
	}
	return false;
}

/* What fails again counts on from all that wait with it: they ask as seldom as one alone would. */
static void
count_together(Statement *st)
{
	int			one_more = st->failures > 1 ? 1 : 0;
	dlist_iter	iter;

	dlist_foreach(iter, &statements)
	{
		const Statement *other = dlist_container(Statement, node, iter.cur);

		if (waits_with(other, st))
			st->failures = Max(st->failures, other->failures + one_more);
	}
}

/* It goes behind all that wait with it, and none of them asks before it is due. */
static void
go_behind(Statement *st)
{
	dlist_iter	iter;

	dlist_foreach(iter, &statements)
	{
		Statement  *other = dlist_container(Statement, node, iter.cur);

		if (!other->busy && waits_with(other, st))
			other->due = Max(other->due, st->due);
	}
	dlist_delete(&st->node);
	dlist_push_tail(&statements, &st->node);
}

/* ---- answers ---- */

/* Not yet: the same step again later. */
static void
again_later(Statement *st, Phase phase, const ExactFault *fault, TimestampTz not_before)
{
	static const char *const states[] = {
		[PHASE_NEW] = "sending", [PHASE_RUNNING] = "running", [PHASE_UNKNOWN] = "unknown"
	};
	bool		away = exact_service_fails(st->request.workspace->name);

	st->phase = phase;
	st->failures++;
	if (away)
		count_together(st);
	set_due(st, exact_backoff_ms(st->failures, RETRY_FIRST_MS, RETRY_MAX_MS));
	if (away)
		go_behind(st);
	if (not_before > st->due)
		st->due = not_before;
	if (st->failures <= 3 || st->failures % 10 == 0)
		exact_log(LOG, "later entity=%s kind=%s attempt=%d retry_ms=%ld: %s", st->request.entity,
				  st->request.kind, st->attempt,
				  TimestampDifferenceMilliseconds(GetCurrentTimestamp(), st->due), fault->message);
	write_entry(st, states[phase], fault);
}

static void
keep_id(Statement *st, const char *statement_id)
{
	if (st->statement_id == NULL || strcmp(st->statement_id, statement_id) != 0)
		st->statement_id = MemoryContextStrdup(st->context, statement_id);
}

/* It does not run any more and has had no effect: the same text again, later each time. */
static void
send_later(Statement *st, const char *why)
{
	st->failures = st->repeats++;
	again_later(st, PHASE_NEW, exact_statement_error_again(&st->request, why), 0);
}

/*
 * A reading has succeeded and its rows are not all there: a part of them must not be taken for all.
 * They are asked for again, or the statement is.
 */
static void
ask_for_rows(Statement *st, const ExactCallAnswer *answer)
{
	char	   *message;

	if (answer->rows == EXACT_ROWS_LATER)
		again_later(st, PHASE_RUNNING, answer->fault, answer->retry_at);
	else if (st->repeats < MAX_READINGS)
		send_later(st, answer->fault->message);
	else
	{
		message = psprintf("the %s %s gave no complete result in %d attempts: %s",
						   st->request.verb, st->request.table, st->repeats + 1,
						   answer->fault->message);
		finish_refused(st, exact_fault_make(ERRCODE_EXACT_BAD_ANSWER, message,
											answer->fault->detail,
											pstrdup("The hub tries again by itself.")),
					   NULL);
	}
}

/* It has ended without an effect: once more, as often as such an end allows, or refused. */
static void
take_failure(Statement *st, const ExactCallAnswer *answer)
{
	int			repeats = exact_statement_error_repeats(answer);
	bool		again = repeats == 1 ? !st->sent_once_more : st->repeats < repeats;
	const ExactFault *fault;

	st->sent_once_more |= repeats == 1;
	if (again)
	{
		send_later(st, answer->state == EXACT_STATEMENT_CANCELED ?
				   "it was cancelled in Databricks" : exact_statement_error_text(answer));
		return;
	}
	if (repeats > 1)
		fault = exact_statement_error_worn_out(&st->request, st->statement_id, st->repeats + 1,
											   answer);
	else
		fault = exact_statement_error_refused(&st->request, st->statement_id, answer);
	finish_refused(st, fault, answer);
}

ExactFault *
exact_statement_waits(const char *statement_id, const char *what)
{
	char	   *message = psprintf("statement %s still runs in Databricks: the hub waits for %s",
								   statement_id, what);
	char	   *hint = psprintf("It may take its time. If it does not end, cancel it in Databricks:"
								" Query History, statement %s.", statement_id);

	return exact_fault_make(ERRCODE_EXACT_DATABRICKS_UNAVAILABLE, message, NULL, hint);
}

/* A wait is no failure; after a minute, and once a minute, the table says what it waits for. */
static void
tell_wait(Statement *st)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz since = st->told_at != 0 ? st->told_at : st->first_sent;

	if (!TimestampDifferenceExceeds(since, now, VOICE_MS))
		return;
	st->told_at = now;
	write_entry(st, "running", exact_statement_waits(st->statement_id,
													 psprintf("the %s %s", st->request.verb,
															  st->request.table)));
}

/* ---- why it does not run yet ---- */

static void
take_warehouse(const ExactCallAnswer *answer, void *arg)
{
	char	   *workspace = arg;

	exact_service_starting(workspace, answer->outcome == EXACT_CALL_OK &&
						   strcmp(answer->warehouse_state, "STARTING") == 0);
	pfree(workspace);
}

/*
 * A warehouse may take ten minutes to start, and answer 503 meanwhile: that is named, and no
 * silence of the service. A statement that has begun to run says that it has.
 */
static void
look_why_queued(Statement *st, bool queued)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz since = st->looked_at != 0 ? st->looked_at : st->first_sent;

	if (!queued)
	{
		exact_service_starting(st->request.workspace->name, false);
		return;
	}
	if (!TimestampDifferenceExceeds(since, now, LOOK_MS))
		return;
	st->looked_at = now;
	exact_databricks_warehouse(st->request.workspace, take_warehouse,
							   MemoryContextStrdup(TopMemoryContext, st->request.workspace->name));
}

/* What the service says of a statement whose id is known: done, not yet, or an error. */
static void
take_state(Statement *st, const ExactCallAnswer *answer)
{
	bool		known = st->phase == PHASE_RUNNING;

	keep_id(st, answer->statement_id);
	look_why_queued(st, answer->queued);
	switch (answer->state)
	{
		case EXACT_STATEMENT_SUCCEEDED:
		case EXACT_STATEMENT_CLOSED:
			if (answer->rows == EXACT_ROWS_WHOLE || strcmp(st->request.kind, "check") != 0)
				finish_succeeded(st, answer);
			else
				ask_for_rows(st, answer);
			return;
		case EXACT_STATEMENT_PENDING:
			st->phase = PHASE_RUNNING;
			st->poll_ms = known ? Min(st->poll_ms * 3 / 2, LAST_POLL_MS) : FIRST_POLL_MS;
			st->failures = 0;
			set_due(st, st->poll_ms);
			if (!known)
				write_entry(st, "running", NULL);
			else
				tell_wait(st);
			return;
		case EXACT_STATEMENT_CANCELED:
		case EXACT_STATEMENT_FAILED:
			break;
	}
	if (st->text == NULL)
	{
		finish_lapsed(st);
		return;
	}
	take_failure(st, answer);
}

static void
take_execute(const ExactCallAnswer *answer, void *arg)
{
	Statement  *st = arg;

	st->busy = false;
	if (answer->outcome == EXACT_CALL_OK)
		take_state(st, answer);
	else if (answer->outcome == EXACT_CALL_LATER)
	{
		look_why_queued(st, true);
		again_later(st, PHASE_NEW, answer->fault, answer->retry_at);
	}
	else if (answer->outcome == EXACT_CALL_UNKNOWN)
		again_later(st, PHASE_UNKNOWN, answer->fault,
					TimestampTzPlusMilliseconds(GetCurrentTimestamp(), FIRST_SEARCH_MS));
	else if (answer->too_large)
		finish_too_large(st, answer->fault);
	else
		finish_refused(st, answer->fault, NULL);
}

/* Asking for a state has no effect: whatever goes wrong, it is asked again. */
static void
take_poll(const ExactCallAnswer *answer, void *arg)
{
	Statement  *st = arg;

	st->busy = false;
	if (answer->outcome == EXACT_CALL_OK)
		take_state(st, answer);
	else
		again_later(st, answer->outcome == EXACT_CALL_GONE ? PHASE_UNKNOWN : PHASE_RUNNING,
					answer->fault, answer->retry_at);
}

static void
send_again(Statement *st)
{
	st->phase = PHASE_NEW;
	st->looks = 0;
	set_due(st, 0);
}

/*
 * The history shows none. One that writes rows is sent again when a second look, some seconds
 * later, agrees: two that run at once may both insert.
 */
static void
take_none(Statement *st)
{
	if (exact_statement_log_writes_rows(st->request.kind) && ++st->looks < 2)
		set_due(st, EXACT_STATEMENT_LOOKS_APART_MS);
	else
		send_again(st);
}

/* What is told while the history gives no answer: after a minute what the table waits for. */
static const ExactFault *
still_unknown(const Statement *st, const ExactFault *fault)
{
	char	   *message;
	char	   *hint;

	if (!TimestampDifferenceExceeds(st->last_sent, GetCurrentTimestamp(), VOICE_MS))
		return fault;
	message = psprintf("it is not known if the %s %s still runs, because its answer was lost: %s",
					   st->request.verb, st->request.table, fault->message);
	hint = psprintf("The hub sends it again when the query history of Databricks shows that it does"
					" not run. Look there for the statement that begins with \"%s\"; if it does"
					" not end, cancel it in Databricks.", st->mark);
	return exact_fault_make(fault->sqlstate, message, NULL, hint);
}

static void
take_find(const ExactCallAnswer *answer, void *arg)
{
	Statement  *st = arg;
	long		blind_ms = exact_statement_blind_ms(answer);

	st->busy = false;
	if (answer->outcome != EXACT_CALL_OK || answer->running_id != NULL)
		st->looks = 0;
	if (answer->outcome == EXACT_CALL_OK && answer->running_id != NULL)
	{
		keep_id(st, answer->running_id);
		st->phase = PHASE_RUNNING;
		st->poll_ms = FIRST_POLL_MS;
		set_due(st, st->poll_ms);
		write_entry(st, "running", NULL);
	}
	else if (answer->outcome == EXACT_CALL_OK)
		take_none(st);
	else if (answer->outcome == EXACT_CALL_REFUSED &&
			 TimestampDifferenceExceeds(st->last_sent, GetCurrentTimestamp(), blind_ms))
	{
		exact_log(WARNING,
				  "the query history cannot be read, entity=%s kind=%s is sent again unseen: %s",
				  st->request.entity, st->request.kind, answer->fault->message);
		send_again(st);
	}
	else
	{
		again_later(st, PHASE_UNKNOWN, still_unknown(st, answer->fault), answer->retry_at);
		/* the backoff does not sleep past the end of that wait */
		if (answer->outcome == EXACT_CALL_REFUSED)
			st->due = Min(st->due, TimestampTzPlusMilliseconds(st->last_sent, blind_ms + 1));
	}
}

/* ---- steps ---- */

static void
send_statement(Statement *st)
{
	st->attempt++;
	st->last_sent = GetCurrentTimestamp();
	if (st->attempt == 1)
	{
		st->first_sent = st->last_sent;
		if (!exact_unit_run("statement log", add_unit, st, NULL))
		{
			st->attempt = 0;	/* nothing is sent that is not recorded */
			set_due(st, 1000);
			return;
		}
	}
	else
	{
		st->statement_id = NULL;
		write_entry(st, "sending", NULL);
	}
	st->busy = true;
	exact_databricks_execute(st->request.workspace, st->text, st->request.parameter,
							 st->request.quoted, take_execute, st);
}

static void
do_step(Statement *st)
{
	switch (st->phase)
	{
		case PHASE_NEW:
			send_statement(st);
			break;
		case PHASE_RUNNING:
			st->busy = true;
			exact_databricks_poll(st->request.workspace, st->statement_id, take_poll, st);
			break;
		case PHASE_UNKNOWN:
			if (st->text == NULL)
			{
				finish_lapsed(st);
				break;
			}
			st->busy = true;
			exact_databricks_find(st->request.workspace, st->mark, NULL, st->first_sent, take_find,
								  st);
			break;
	}
}

ExactStatementRequest *
exact_statement_copy(const ExactStatementRequest *request)
{
	ExactStatementRequest *copy = palloc(sizeof(ExactStatementRequest));

	*copy = *request;
	copy->workspace = exact_databricks_copy(request->workspace);
	copy->entity = pstrdup(request->entity);
	copy->table = pstrdup(request->table);
	copy->kind = pstrdup(request->kind);
	copy->scope = request->scope ? pstrdup(request->scope) : NULL;
	copy->verb = pstrdup(request->verb);
	copy->sql = request->sql ? pstrdup(request->sql) : NULL;
	return copy;
}

/* The leading comment by which it is found again, by an earlier or later process too. palloc'd */
static char *
make_mark(const ExactStatementRequest *request)
{
	const ExactRange *range = &request->range;
	const char *scope = request->scope ? request->scope : request->workspace->name;
	StringInfoData mark;

	if (range->first_batch != 0)
		scope = psprintf(INT64_FORMAT ".%d-" INT64_FORMAT ".%d", range->first_batch,
						 range->first_ord, range->last_batch, range->last_ord);
	initStringInfo(&mark);
	exact_delta_sql_mark(&mark, request->hub, request->entity, request->kind, scope);
	return mark.data;
}

static Statement *
make_statement(const ExactStatementRequest *request)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "exact statement",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Statement  *st = palloc0(sizeof(Statement));

	st->context = context;
	st->request = *exact_statement_copy(request);
	st->mark = make_mark(request);
	if (request->sql != NULL)
		st->text = psprintf("%s %s", st->mark, request->sql);
	dlist_push_tail(&statements, &st->node);
	MemoryContextSwitchTo(old);
	exact_warehouse_begin(st->request.workspace);
	return st;
}

void
exact_statement_start(const ExactStatementRequest *request)
{
	do_step(make_statement(request));
}

/* ---- statements of an earlier process ---- */

typedef struct Reading
{
	const char *workspace;
	const char *const *entities;
	int			n;
	MemoryContext context;
	ExactLeftover *rows;
	int			found;
} Reading;

static void
leftover_unit(void *arg)
{
	Reading    *reading = arg;

	exact_statement_log_close(reading->workspace, reading->entities, reading->n);
	reading->found = exact_statement_log_left(reading->workspace, reading->entities, reading->n,
											  reading->context, &reading->rows);
}

/* Each is made as if this process had sent it, but without its text: it cannot be sent again. */
int
exact_statement_follow(const ExactStatementRequest *like, const char *const *entities, int n)
{
	Reading		reading = {like->workspace->name, entities, n, CurrentMemoryContext, NULL, 0};

	if (!exact_unit_run("read unfinished statements", leftover_unit, &reading, NULL))
		return -1;
	for (int i = 0; i < reading.found; i++)
	{
		const ExactLeftover *row = &reading.rows[i];
		ExactStatementRequest request = *like;
		Statement  *st;

		request.entity = row->entity;
		request.table = row->table ? row->table : row->entity;
		request.kind = row->kind;
		request.verb = "MERGE into";
		request.range = row->range;
		st = make_statement(&request);
		st->log_id = row->id;
		st->attempt = 1;
		st->first_sent = st->last_sent = row->at;
		st->phase = PHASE_UNKNOWN;
		if (row->statement_id != NULL)
		{
			keep_id(st, row->statement_id);
			st->phase = PHASE_RUNNING;
			st->poll_ms = FIRST_POLL_MS;
		}
	}
	return reading.found;
}

/* ---- the turn ---- */

/* Not between two looks into the history, which agree only when they are so far apart. */
void
exact_statement_hurry(const char *workspace)
{
	dlist_iter	iter;

	dlist_foreach(iter, &statements)
	{
		Statement  *st = dlist_container(Statement, node, iter.cur);

		if (strcmp(st->request.workspace->name, workspace) == 0 && !st->busy &&
			st->failures > 0 &&
			(st->phase != PHASE_UNKNOWN ||
			 (st->looks == 0 &&
			  TimestampDifferenceExceeds(st->last_sent, GetCurrentTimestamp(), FIRST_SEARCH_MS))))
			set_due(st, 0);
	}
}

long
exact_statement_turn(void)
{
	TimestampTz now = GetCurrentTimestamp();
	long		wait = -1;
	dlist_mutable_iter iter;

	/* a step may end its statement and start others, never end another one */
	dlist_foreach_modify(iter, &statements)
	{
		Statement  *st = dlist_container(Statement, node, iter.cur);

		if (st->busy || st->due > now)
			continue;
		if (another_asks(st))
			set_due(st, ASKED_MS);
		else
			do_step(st);
	}
	dlist_foreach_modify(iter, &statements)
	{
		Statement  *st = dlist_container(Statement, node, iter.cur);

		if (!st->busy)
			wait = exact_clock_sooner(wait, exact_clock_wait_ms(st->due));
	}
	return wait;
}
