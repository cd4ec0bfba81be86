/*
 * statement.c - the life of one statement in Databricks.
 *
 * NEW: recorded in exact.statement_log (committed), then sent. RUNNING: has an id, is polled. UNKNOWN: sent, no answer; looked for
 * in the query history. A crash leaves the row in the log, and exact_statement_recover() takes it up from there. Called by
 * target.c, delivery.c and loader.c. Each step is one request and at most one unit; nothing waits in a transaction.
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "lib/ilist.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "errors.h"
#include "sql.h"
#include "statement.h"

#define FIRST_POLL_MS 200
#define LAST_POLL_MS 5000
#define RETRY_MAX_MS 60000
#define FIRST_SEARCH_MS 1000	/* the history lists a statement a moment after it was sent */
#define BLIND_WAIT_MS 60000		/* when the history may not be read: as long as a statement may still be on its way */

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
	char	   *text;			/* mark and sql; NULL for a recovered one */
	Phase		phase;
	bool		busy;			/* a request is under way */
	TimestampTz due;			/* next step */
	int64		log_id;
	char	   *statement_id;
	int			attempt;		/* sendings */
	int			failures;		/* in a row, for the backoff */
	bool		sent_once_more; /* an error that may pass was given its second chance */
	long		poll_ms;
	TimestampTz first_sent;
	TimestampTz last_sent;
} Statement;

/* What a unit writes into the statement's row */
typedef struct Entry
{
	Statement  *statement;
	const char *state;
	int64		affected;		/* -1 = null */
	const char *error;
	const char *sqlstate;
	const ExactFault *trouble;	/* tell the caller within the unit */
} Entry;

static dlist_head statements = DLIST_STATIC_INIT(statements);

long
exact_statement_backoff(int failures, long max_ms)
{
	long		ms = max_ms;

	if (failures < 20)
		ms = Min(max_ms, 1000L << (Max(failures, 1) - 1));
	return ms / 2 + (long) (pg_prng_double(&pg_global_prng_state) * (ms / 2));
}

/* Neither the table nor, maybe, its schema is there. */
bool
exact_statement_absent(const char *sqlstate)
{
	return strcmp(sqlstate, "42P01") == 0 || strcmp(sqlstate, "42704") == 0;
}

static void
set_due(Statement *st, long ms)
{
	st->due = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);
}

/* ---- its row in the log ---- */

static void
insert_unit(void *arg)
{
	static const char sql[] =
	"INSERT INTO exact.statement_log (id, at, workspace, entity, table_name, kind, first_batch, first_ord, last_batch, last_ord, rows, state, attempt) "
	"VALUES (nextval('exact.statement_id'), clock_timestamp(), $1, $2, $3, $4, $5, $6, $7, $8, $9, 'sending', 1) RETURNING id";
	Statement  *st = arg;
	const ExactStatementRequest *request = &st->request;
	bool		has_range = request->range.first_batch != 0;
	ExactArg	args[9];

	args[0] = exact_arg_text(request->workspace->name);
	args[1] = exact_arg_text(request->entity);
	args[2] = exact_arg_text(request->table);
	args[3] = exact_arg_text(request->kind);
	args[4] = has_range ? exact_arg_int8(request->range.first_batch) : exact_arg_null(INT8OID);
	args[5] = has_range ? exact_arg_int4(request->range.first_ord) : exact_arg_null(INT4OID);
	args[6] = has_range ? exact_arg_int8(request->range.last_batch) : exact_arg_null(INT8OID);
	args[7] = has_range ? exact_arg_int4(request->range.last_ord) : exact_arg_null(INT4OID);
	args[8] = has_range ? exact_arg_int4(request->rows) : exact_arg_null(INT4OID);
	exact_sql(sql, 9, args);
	st->log_id = exact_cell_int8(0, 1, 0);
}

static void
update_unit(void *arg)
{
	static const char sql[] =
	"UPDATE exact.statement_log SET state = $2, attempt = $3, statement_id = $4, took_ms = extract(epoch FROM clock_timestamp() - at) * 1000, "
	"affected = $5, error = $6, sqlstate = $7, finished_at = CASE WHEN $2 IN ('succeeded', 'failed') THEN clock_timestamp() END WHERE id = $1";
	Entry	   *entry = arg;
	Statement  *st = entry->statement;
	ExactArg	args[7];

	args[0] = exact_arg_int8(st->log_id);
	args[1] = exact_arg_text(entry->state);
	args[2] = exact_arg_int4(st->attempt);
	args[3] = exact_arg_text(st->statement_id);
	args[4] = entry->affected >= 0 ? exact_arg_int8(entry->affected) : exact_arg_null(INT8OID);
	args[5] = exact_arg_text(entry->error);
	args[6] = exact_arg_text(entry->sqlstate);
	exact_sql(sql, 7, args);
	if (entry->trouble != NULL && st->request.trouble != NULL)
		st->request.trouble(entry->trouble, st->failures, st->due, st->request.arg);
}

/* A row that could not be written does not stop the work: a crash finds out anew what it would say. */
static void
write_entry(Statement *st, const char *state, const ExactFault *trouble)
{
	Entry		entry = {st, state, -1, trouble ? trouble->message : NULL, NULL, trouble};

	(void) exact_unit_run("statement log", update_unit, &entry, NULL);
}

/* ---- ends ---- */

static void
finish(Statement *st, ExactStatementResult *result, const char *error)
{
	Entry		entry = {st, result->verdict == EXACT_VERDICT_SUCCEEDED ? "succeeded" : "failed", result->affected, error, NULL, NULL};
	MemoryContext old = MemoryContextSwitchTo(st->context);

	if (st->request.may_be_absent && exact_statement_absent(result->sqlstate))
	{
		entry.state = "succeeded";
		entry.error = NULL;
	}
	entry.sqlstate = result->sqlstate != NULL && *result->sqlstate != '\0' ? result->sqlstate : NULL;
	result->statement_id = st->statement_id;
	result->first_attempt = st->attempt == 1 && st->text != NULL;
	result->ms = (double) (GetCurrentTimestamp() - st->first_sent) / 1000.0;
	(void) exact_unit_run("statement log", update_unit, &entry, NULL);
	dlist_delete(&st->node);
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

static void
finish_refused(Statement *st, const ExactFault *fault, const char *sqlstate)
{
	ExactStatementResult result = make_result(EXACT_VERDICT_REFUSED);

	result.fault = fault;
	result.sqlstate = sqlstate;
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

	result.nrows = answer->nrows;	/* none when the result is no longer there */
	result.ncolumns = answer->ncolumns;
	result.cells = answer->cells;
	/* a MERGE answers one row of counts: affected, updated, deleted, inserted */
	if (answer->nrows == 1 && answer->ncolumns == 4 && answer->cells[0] != NULL)
		result.affected = strtoll(answer->cells[0], NULL, 10);
	finish(st, &result, NULL);
}

/* ---- what a failure means ---- */

static bool
is_one_of(const char *value, const char *const *list)
{
	for (; *list != NULL; list++)
		if (strcmp(value, *list) == 0)
			return true;
	return false;
}

/* The same text will succeed when whatever was in its way has gone. */
static bool
is_passing(const ExactCallAnswer *answer)
{
	static const char *const codes[] = {"ABORTED", "CANCELLED", "DEADLINE_EXCEEDED", "INTERNAL_ERROR", "IO_ERROR", "RESOURCE_EXHAUSTED",
		"SERVICE_UNDER_MAINTENANCE", "TEMPORARILY_UNAVAILABLE", "UNKNOWN", "WORKSPACE_TEMPORARILY_UNAVAILABLE", NULL};
	static const char *const states[] = {"2D521", "40000", NULL};

	if (*answer->sqlstate != '\0')
		return is_one_of(answer->sqlstate, states);
	return is_one_of(answer->error_code, codes);
}

/* A cut transfer or an unreadable file: once more, then it is an error. */
static bool
is_worth_one_more(const ExactCallAnswer *answer)
{
	static const char *const states[] = {"22023", "P0001", NULL};

	return strncmp(answer->sqlstate, "KD", 2) == 0 || is_one_of(answer->sqlstate, states);
}

/* The column whose CAST failed: the engine marks the place in the statement with a line of ^. NULL when it does not. */
static char *
failing_column(const char *message)
{
	static const char cast[] = "CAST(r.`";
	const char *caret = strchr(message, '^');
	const char *line;
	const char *above;
	const char *start;

	for (line = caret; line != NULL && line > message && line[-1] != '\n'; line--)
		;
	if (caret == NULL || line == message)
		return NULL;
	for (above = line - 1; above > message && above[-1] != '\n'; above--)
		;
	start = above + (caret - line);
	if (start >= line || strncmp(start, cast, sizeof(cast) - 1) != 0)
		return NULL;
	start += sizeof(cast) - 1;
	return pnstrdup(start, strcspn(start, "`\n"));
}

/* The message for people. Errors about values name the value: only the class and the column are told of those. */
static char *
describe_error(const ExactCallAnswer *answer)
{
	const char *start = answer->error_text;
	char	   *end;
	char	   *words;
	bool		about_values = strncmp(answer->sqlstate, "22", 2) == 0 || strncmp(answer->sqlstate, "23", 2) == 0;

	if (about_values)
	{
		char	   *column = failing_column(answer->error_text);

		if (column != NULL)
			return psprintf("a value of column %s does not fit (%s)", column, answer->error_class);
		return psprintf("a value does not fit (%s)", *answer->error_class ? answer->error_class : answer->sqlstate);
	}
	if (*answer->error_class != '\0')
	{
		start = strchr(start, ']');
		start = start != NULL ? start + 1 : answer->error_text;
	}
	words = pnstrdup(start, strcspn(start, "\n"));
	end = strstr(words, " SQLSTATE: ");
	if (end != NULL)
		*end = '\0';
	words = exact_databricks_tidy(words);
	if (*words != '\0' && words[strlen(words) - 1] == '.')
		words[strlen(words) - 1] = '\0';
	return *words != '\0' ? words : pstrdup(answer->error_class);
}

static char *
make_hint(const ExactStatementRequest *request, const ExactCallAnswer *answer)
{
	const ExactWorkspace *workspace = request->workspace;
	const char *who = workspace->principal ? workspace->principal : "<user of the token>";

	if (strcmp(answer->sqlstate, "42501") == 0 || strcmp(answer->error_code, "PERMISSION_DENIED") == 0)
	{
		if (strcmp(request->kind, "ddl") == 0)
			return psprintf("GRANT USE CATALOG ON CATALOG %s TO `%s`; GRANT USE SCHEMA, CREATE TABLE ON SCHEMA %s.%s TO `%s`; the hub tries again by itself.",
							workspace->catalog, who, workspace->catalog, workspace->schema, who);
		return psprintf("GRANT SELECT, MODIFY ON TABLE %s TO `%s`; the hub tries again by itself within a minute.", request->table, who);
	}
	if (strncmp(answer->sqlstate, "22", 2) == 0 || strncmp(answer->sqlstate, "23", 2) == 0)
		return psprintf("Find the value in exact.stage (batches " INT64_FORMAT " to " INT64_FORMAT ", entity %s). A column that is deselected in "
						"exact.entity_field does not stop the others; its values stay in _payload.",
						request->range.first_batch, request->range.last_batch, request->entity);
	return psprintf("Correct what the message names; the hub tries again by itself, or at once with SELECT exact.resume(division, '%s').",
					request->entity);
}

static void
refuse(Statement *st, const ExactCallAnswer *answer)
{
	const ExactStatementRequest *request = &st->request;
	ExactFault *fault = palloc0(sizeof(ExactFault));

	fault->sqlstate = ERRCODE_EXACT_DATABRICKS_REFUSED;
	fault->message = psprintf("Databricks refused the %s %s: %s", request->verb, request->table, describe_error(answer));
	fault->detail = psprintf("Statement %s, SQLSTATE %s.", st->statement_id ? st->statement_id : "without id",
							 *answer->sqlstate ? answer->sqlstate : "unknown");
	fault->hint = make_hint(request, answer);
	finish_refused(st, fault, answer->sqlstate);
}

/* ---- answers ---- */

/* Not yet: the same step again later. */
static void
again_later(Statement *st, Phase phase, const ExactFault *fault, TimestampTz not_before)
{
	st->phase = phase;
	st->failures++;
	set_due(st, exact_statement_backoff(st->failures, RETRY_MAX_MS));
	if (not_before > st->due)
		st->due = not_before;
	if (st->failures <= 3 || st->failures % 10 == 0)
		exact_log(LOG, "later entity=%s kind=%s attempt=%d retry_ms=%ld: %s", st->request.entity, st->request.kind, st->attempt,
				  TimestampDifferenceMilliseconds(GetCurrentTimestamp(), st->due), fault->message);
	write_entry(st, phase == PHASE_RUNNING ? "running" : phase == PHASE_UNKNOWN ? "unknown" : "sending", fault);
}

static ExactFault *
passing_fault(const ExactStatementRequest *request, const char *why)
{
	ExactFault *fault = palloc0(sizeof(ExactFault));

	fault->sqlstate = ERRCODE_EXACT_DATABRICKS_UNAVAILABLE;
	fault->message = psprintf("the %s %s has to be sent again: %s", request->verb, request->table, why);
	return fault;
}

static void
keep_id(Statement *st, const char *statement_id)
{
	if (st->statement_id == NULL || strcmp(st->statement_id, statement_id) != 0)
		st->statement_id = MemoryContextStrdup(st->context, statement_id);
}

static void
take_state(Statement *st, const ExactCallAnswer *answer)
{
	bool		known = st->phase == PHASE_RUNNING;

	keep_id(st, answer->statement_id);
	switch (answer->state)
	{
		case EXACT_STATEMENT_SUCCEEDED:
		case EXACT_STATEMENT_CLOSED:
			finish_succeeded(st, answer);
			return;
		case EXACT_STATEMENT_PENDING:
			st->phase = PHASE_RUNNING;
			st->poll_ms = known ? Min(st->poll_ms * 3 / 2, LAST_POLL_MS) : FIRST_POLL_MS;
			st->failures = 0;
			set_due(st, st->poll_ms);
			if (!known)
				write_entry(st, "running", NULL);
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
	if (answer->state == EXACT_STATEMENT_CANCELED)
		again_later(st, PHASE_NEW, passing_fault(&st->request, "it was cancelled in Databricks"), 0);
	else if (is_passing(answer) || (is_worth_one_more(answer) && !st->sent_once_more))
	{
		st->sent_once_more |= !is_passing(answer);
		again_later(st, PHASE_NEW, passing_fault(&st->request, describe_error(answer)), 0);
	}
	else
		refuse(st, answer);
}

static void
take_execute(const ExactCallAnswer *answer, void *arg)
{
	Statement  *st = arg;

	st->busy = false;
	if (answer->outcome == EXACT_CALL_OK)
		take_state(st, answer);
	else if (answer->outcome == EXACT_CALL_LATER)
		again_later(st, PHASE_NEW, answer->fault, answer->retry_at);
	else if (answer->outcome == EXACT_CALL_UNKNOWN)
		again_later(st, PHASE_UNKNOWN, answer->fault, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), FIRST_SEARCH_MS));
	else
		finish_refused(st, answer->fault, "");
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
		again_later(st, answer->outcome == EXACT_CALL_GONE ? PHASE_UNKNOWN : PHASE_RUNNING, answer->fault, answer->retry_at);
}

static void
send_again(Statement *st)
{
	if (st->text == NULL)
	{
		finish_lapsed(st);
		return;
	}
	st->phase = PHASE_NEW;
	set_due(st, 0);
}

static void
take_find(const ExactCallAnswer *answer, void *arg)
{
	Statement  *st = arg;

	st->busy = false;
	if (answer->outcome == EXACT_CALL_OK && answer->running_id != NULL)
	{
		keep_id(st, answer->running_id);
		st->phase = PHASE_RUNNING;
		st->poll_ms = FIRST_POLL_MS;
		set_due(st, st->poll_ms);
		write_entry(st, "running", NULL);
	}
	else if (answer->outcome == EXACT_CALL_OK)
		send_again(st);
	else if (answer->outcome == EXACT_CALL_REFUSED &&
			 TimestampDifferenceExceeds(st->last_sent, GetCurrentTimestamp(), BLIND_WAIT_MS))
	{
		exact_log(WARNING, "the query history cannot be read, entity=%s kind=%s is sent again unseen: %s", st->request.entity,
				  st->request.kind, answer->fault->message);
		send_again(st);
	}
	else
		again_later(st, PHASE_UNKNOWN, answer->fault, answer->retry_at);
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
		if (!exact_unit_run("statement log", insert_unit, st, NULL))
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
	exact_databricks_execute(st->request.workspace, st->text, st->request.parameter, take_execute, st);
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
			st->busy = true;
			exact_databricks_find(st->request.workspace, st->request.mark, st->first_sent, take_find, st);
			break;
	}
}

static Statement *
make_statement(const ExactStatementRequest *request)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "exact statement", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Statement  *st = palloc0(sizeof(Statement));

	st->context = context;
	st->request = *request;
	st->request.workspace = exact_databricks_copy(request->workspace);
	st->request.entity = pstrdup(request->entity);
	st->request.table = pstrdup(request->table);
	st->request.kind = pstrdup(request->kind);
	st->request.verb = pstrdup(request->verb);
	st->request.mark = pstrdup(request->mark);
	if (request->sql != NULL)
		st->text = psprintf("%s %s", request->mark, request->sql);
	st->request.sql = NULL;
	dlist_push_tail(&statements, &st->node);
	MemoryContextSwitchTo(old);
	return st;
}

void
exact_statement_start(const ExactStatementRequest *request)
{
	do_step(make_statement(request));
}

void
exact_statement_recover(const ExactStatementRequest *request, int64 log_id, const char *statement_id, TimestampTz sent_at)
{
	Statement  *st = make_statement(request);

	st->log_id = log_id;
	st->attempt = 1;
	st->first_sent = st->last_sent = sent_at;
	st->phase = PHASE_UNKNOWN;
	if (statement_id != NULL)
	{
		keep_id(st, statement_id);
		st->phase = PHASE_RUNNING;
		st->poll_ms = FIRST_POLL_MS;
	}
	do_step(st);
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

		if (!st->busy && st->due <= now)
			do_step(st);
	}
	dlist_foreach_modify(iter, &statements)
	{
		Statement  *st = dlist_container(Statement, node, iter.cur);
		long		ms;

		if (st->busy)
			continue;
		ms = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), st->due);
		wait = wait < 0 ? ms : Min(wait, ms);
	}
	return wait;
}
