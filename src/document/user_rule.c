/*
 * user_rule.c - the customers' own rules: SQL functions that are registered in exact.rule.
 *
 * The function is a stranger in our process. So its subtransaction never commits: what it wrote,
 * set, notified or opened is undone by the rollback, which gives role and settings back as well.
 * What a rollback does not undo (locks of the session, connections of an extension, the rights of a
 * function's owner) is refused when it is called. A timer cancels it again and again, since a
 * PL/pgSQL function may catch a cancel; in the end it ends the process, which nobody can catch.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/proclang.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/syscache.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/guc.h"
#include "base/sql.h"
#include "base/words.h"
#include "document/user_rule.h"
#include "worker/self.h"
#include "worker/shmem.h"

#define MOST_CHARACTERS 500		/* of a problem */
#define MOST_WORDS 300			/* bytes of an error's message in a failure */
#define CANCEL_AGAIN_MS 500
#define CANCELS 4				/* the process ends at the one after the last */

/* ---- the timer ---- */

static TimeoutId timer = MAX_TIMEOUTS;	/* none yet */
static volatile sig_atomic_t cancels = 0;	/* of this call, so far */
static char running[NAMEDATALEN];	/* the rule that is called */

/* In the signal handler */
static void
cancel_call(void)
{
	if (++cancels <= CANCELS)
		QueryCancelPending = true;
	else
		ProcDiePending = true;
	InterruptPending = true;
	SetLatch(MyLatch);
}

/*
 * When the process ends, before its transaction is rolled back: if that came of a rule, the next
 * one shall know. A try by hand ends the connection of who tries, and nothing else.
 */
static void
leave_word(int code pg_attribute_unused(), Datum arg pg_attribute_unused())
{
	ExactWorkerSlot *slot = exact_self_slot();

	if (cancels <= CANCELS || slot == NULL)
		return;
	LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
	strlcpy(slot->endless_rule, running, sizeof(slot->endless_rule));
	LWLockRelease(exact_shared_lock);
}

static void
start_timer(const ExactUserRule *rule)
{
	if (timer == MAX_TIMEOUTS)
	{
		timer = RegisterTimeout(USER_TIMEOUT, cancel_call);
		before_shmem_exit(leave_word, (Datum) 0);
	}
	cancels = 0;
	strlcpy(running, rule->name, sizeof(running));
	enable_timeout_every(timer,
						 TimestampTzPlusMilliseconds(GetCurrentTimestamp(), exact_rule_timeout_ms),
						 CANCEL_AGAIN_MS);
}

/* A cancel that came too late is not to meet what runs next. */
static void
stop_timer(void)
{
	if (timer == MAX_TIMEOUTS)
		return;
	disable_timeout(timer, false);
	if (cancels > 0)
		QueryCancelPending = false;
}

/* ---- what it must not call ---- */

static object_access_hook_type next_hook = NULL;
static bool confined = false;

/*
 * Of the server's own functions: what lasts until the session ends, or leaves the transaction at
 * once. Told by the C function's name, which no other SQL name hides.
 */
static bool
outlasts_rollback(HeapTuple tuple)
{
	bool		isnull;
	Datum		value = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &isnull);
	char	   *source = isnull ? pstrdup("") : TextDatumGetCString(value);
	bool		outlasts =
		((strncmp(source, "pg_advisory_", 12) == 0 ||
		  strncmp(source, "pg_try_advisory_", 16) == 0) && strstr(source, "_xact_") == NULL) ||
		strncmp(source, "pg_logical_emit_message", 23) == 0;

	pfree(source);
	return outlasts;
}

/* Why a rule may not call this function; NULL: it may. */
static const char *
refusal(HeapTuple tuple)
{
	Form_pg_proc form = (Form_pg_proc) GETSTRUCT(tuple);

	if (form->pronamespace == get_namespace_oid("exact", true))
		return NULL;			/* policies of the tables call them; rights are checked as ever */
	if (form->prosecdef)
		return "it is SECURITY DEFINER";
	switch (form->prolang)
	{
		case INTERNALlanguageId:
			if (form->provolatile == PROVOLATILE_VOLATILE && outlasts_rollback(tuple))
				return "its effect lasts longer than the transaction";
			return NULL;
		case ClanguageId:
			if (form->provolatile == PROVOLATILE_VOLATILE)
				return "it is a VOLATILE function of an extension";
			return NULL;
		case SQLlanguageId:
			return NULL;
		default:
			if (form->prolang == get_language_oid("plpgsql", true))
				return NULL;
			return "its language cannot be stopped";
	}
}

/* Before each function that is called while a rule runs */
static void
before_access(ObjectAccessType access, Oid class, Oid object, int sub, void *arg)
{
	HeapTuple	tuple;
	const char *why;

	if (next_hook)
		next_hook(access, class, object, sub, arg);
	if (access != OAT_FUNCTION_EXECUTE)
		return;
	/* PostgreSQL 15 lets a function RESET it, and call nextval() then. */
	XactReadOnly = true;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(object));
	if (!HeapTupleIsValid(tuple))
		return;					/* whoever calls it will say so */
	why = refusal(tuple);
	ReleaseSysCache(tuple);
	if (why)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("a rule may not call function %s: %s", get_func_name(object), why)));
}

/*
 * In the subtransaction, whose end undoes it but for the hook. A function may change settings that
 * any user may change; none of these is what safety hangs on alone.
 */
static void
confine(Oid role)
{
	static const char *const settings[][2] = {
		{"search_path", "pg_catalog, pg_temp"},
		{"transaction_read_only", "on"},
		{"log_min_messages", "fatal"},	/* its notices are not for the log */
		{"temp_file_limit", "64MB"},
		{"max_parallel_workers_per_gather", "0"},
		{"restrict_nonsystem_relation_kind", "foreign-table"},
	};

	for (size_t i = 0; i < lengthof(settings); i++)
	{
		if (GetConfigOption(settings[i][0], true, false) != NULL)
			(void) set_config_option(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_SESSION,
									 GUC_ACTION_LOCAL, true, 0, false);
	}
	next_hook = object_access_hook;
	object_access_hook = before_access;
	confined = true;
	SetUserIdAndSecContext(role, SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
}

static void
unconfine(void)
{
	if (confined)
		object_access_hook = next_hook;
	confined = false;
}

/* ---- the call ---- */

typedef enum Step
{
	STEP_FIND,
	STEP_READ,
	STEP_CALL
} Step;

typedef struct Call
{
	const ExactUserRule *rule;
	int			division;
	const char *header;
	const char *lines;
	MemoryContext caller;		/* where the verdict goes */
	ExactUserVerdict *verdict;
	Step		step;
} Call;

static void
fail(Call *call, const char *failure, const char *hint)
{
	MemoryContext old = MemoryContextSwitchTo(call->caller);

	call->verdict->failure = pstrdup(failure);
	call->verdict->hint = pstrdup(hint);
	MemoryContextSwitchTo(old);
}

/* Its name as it is now, InvalidOid and a failure when it is no function for a rule any more */
static Oid
find_function(Call *call)
{
	ExactArg	arg = exact_arg_text(call->rule->function);

	exact_sql("SELECT f.id, f.finding, f.hint"
			  " FROM exact._rule_function($1) AS f", 1, &arg);
	if (exact_cell_isnull(0, 2))
		return (Oid) exact_cell_int8(0, 1, InvalidOid);
	fail(call, exact_cell_text(0, 2), exact_cell_text(0, 3));
	return InvalidOid;
}

static char *
tidy_problem(char *text)
{
	int			most = pg_mbcharcliplen(text, (int) strlen(text), MOST_CHARACTERS);
	char	   *tidy;

	if (text[most] != '\0')
	{
		most = pg_mbcharcliplen(text, most, MOST_CHARACTERS - 3);
		text = psprintf("%.*s...", most, text);
	}
	tidy = exact_words_tidy(text, MOST_CHARACTERS * MAX_MULTIBYTE_CHAR_LEN + 1);
	/* only the hub says that a document is held */
	if (tidy != NULL && strncmp(tidy, "held:", 5) == 0)
		*tidy = 'H';
	return tidy ? tidy : pstrdup("breaks the rule; the rule gives no reason");
}

static void
take_problems(Call *call)
{
	ExactUserVerdict *verdict = call->verdict;
	MemoryContext old;

	if (SPI_tuptable == NULL || SPI_tuptable->tupdesc->natts != 3)
		elog(ERROR, "the rule's statement has no result");
	if (SPI_processed > EXACT_USER_RULE_PROBLEMS)
	{
		fail(call, psprintf("function %s returned more than %d problems of one document",
							call->rule->function, EXACT_USER_RULE_PROBLEMS),
			 "Return a row for each problem of the document only.");
		return;
	}
	old = MemoryContextSwitchTo(call->caller);
	verdict->problems = palloc(Max(SPI_processed, 1) * sizeof(ExactUserProblem));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		ExactUserProblem *problem = &verdict->problems[i];

		problem->line = exact_cell_bool(i, 3, false) ? exact_cell_int8(i, 1, -1) : -1;
		problem->text = tidy_problem(exact_cell_text(i, 2));
	}
	verdict->n = (int) SPI_processed;
	MemoryContextSwitchTo(old);
}

/*
 * The statement is put together, as no other: the function's name cannot be a parameter. It comes
 * from the catalog and is quoted.
 */
static void
call_function(Call *call, Oid function)
{
	Oid			types[] = {INT4OID, JSONBOID, JSONBOID};
	Datum		values[3];
	char	   *name = quote_qualified_identifier(get_namespace_name(get_func_namespace(function)),
												  get_func_name(function));
	char	   *sql = psprintf("SELECT r.line, r.problem, n.number IS NOT NULL"
							   " FROM (SELECT f.line, pg_catalog.left(f.problem, %d) AS problem,"
							   "   f.place"
							   "  FROM %s($1, $2, $3) WITH ORDINALITY AS f (line, problem, place)"
							   "  WHERE f.problem IS NOT NULL"
							   "  LIMIT %d) AS r"
							   " LEFT JOIN (SELECT DISTINCT l ->> 'LineNumber' AS number"
							   "  FROM pg_catalog.jsonb_array_elements($3) AS l) AS n"
							   " ON n.number = r.line::text"
							   " ORDER BY r.place",
							   MOST_CHARACTERS + 1, name, EXACT_USER_RULE_PROBLEMS + 1);
	int			result;

	call->step = STEP_READ;
	values[0] = Int32GetDatum(call->division);
	values[1] = DirectFunctionCall1(jsonb_in, CStringGetDatum(call->header));
	values[2] = DirectFunctionCall1(jsonb_in, CStringGetDatum(call->lines));
	call->step = STEP_CALL;
	result = SPI_execute_with_args(sql, lengthof(types), types, values, NULL, false, 0);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_with_args failed: %s", SPI_result_code_string(result));
	take_problems(call);
}

/* In the subtransaction */
static void
run_call(Call *call)
{
	Oid			function;
	Oid			role;

	SPI_connect();
	function = find_function(call);
	if (OidIsValid(function))
	{
		role = get_role_oid("exact_rule", false);
		start_timer(call->rule);
		confine(role);
		call_function(call, function);
	}
	SPI_finish();
}

static void
name_rule(void *arg)
{
	errcontext("rule \"%s\" of exact.rule", ((const Call *) arg)->rule->name);
}

/* What an error that ended the call says of it */
static void
fail_by_error(Call *call, const ErrorData *error)
{
	char	   *words = exact_words_clause(error->message ? error->message : "", MOST_WORDS);
	const char *said = words ? words : "no message";

	if (call->step == STEP_READ)
		fail(call, psprintf("the document cannot be read as jsonb: %s", said),
			 "The rule cannot judge it; correct the text in Exact Online.");
	else
		fail(call, psprintf("function %s raised an error: %s (SQLSTATE %s)", call->rule->function,
							said, unpack_sql_state(error->sqlerrcode)),
			 "Correct the function; exact.try_rule() runs it on a document.");
}

/*
 * A cancel that is not the timer's: of a person, or of the session's own limit. Not when the
 * function raised that code itself, which would stop the unit.
 */
static bool
is_cancel(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_QUERY_CANCELED && cancels == 0 &&
		error->funcname != NULL && strcmp(error->funcname, "ProcessInterrupts") == 0;
}

void
exact_user_rule_judge(const ExactUserRule *rule, int division, const char *header_json,
					  const char *lines_json, ExactUserVerdict *verdict)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	Call		call = {rule, division, header_json, lines_json, caller, verdict, STEP_FIND};
	ErrorData  *volatile error = NULL;
	ErrorContextCallback context;

	if (confined)
		elog(ERROR, "a rule calls a rule");
	memset(verdict, 0, sizeof(*verdict));
	cancels = 0;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	context.callback = name_rule;
	context.arg = &call;
	context.previous = error_context_stack;
	error_context_stack = &context;
	PG_TRY();
	{
		run_call(&call);
		stop_timer();
	}
	PG_CATCH();
	{
		stop_timer();
		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	error_context_stack = context.previous;
	unconfine();
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;

	if (error != NULL && is_cancel(error))
		ReThrowError(error);
	verdict->timed_out = cancels > 0;
	if (verdict->timed_out)
		fail(&call, psprintf("function %s did not answer within %d ms", rule->function,
							 exact_rule_timeout_ms),
			 "Make it faster, or raise exact_databricks.rule_timeout.");
	else if (error != NULL)
		fail_by_error(&call, error);
	if (verdict->failure != NULL)
		verdict->n = 0;
	if (error != NULL)
		FreeErrorData(error);
}

/* ---- the rules ---- */

static bool switched_off = false;	/* in this transaction: the endless one */

static void
forget_endless(XactEvent event, void *arg pg_attribute_unused())
{
	if (!switched_off || (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT))
		return;
	switched_off = false;
	if (event == XACT_EVENT_ABORT)
		return;
	LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
	exact_self_slot()->endless_rule[0] = '\0';
	LWLockRelease(exact_shared_lock);
}

/* Else this worker would end at the same document, too. */
static void
switch_endless_off(void)
{
	static bool registered = false;
	ExactWorkerSlot *slot = exact_self_slot();
	char		name[NAMEDATALEN];
	ExactArg	arg;

	if (slot == NULL)
		return;
	LWLockAcquire(exact_shared_lock, LW_SHARED);
	strlcpy(name, slot->endless_rule, sizeof(name));
	LWLockRelease(exact_shared_lock);
	if (name[0] == '\0')
		return;
	if (!registered)
		RegisterXactCallback(forget_endless, NULL);
	registered = true;
	arg = exact_arg_text(name);
	exact_sql("SELECT exact._switch_rule_off($1)", 1, &arg);
	switched_off = true;
	exact_log(WARNING, "rule=%s switched off: it went on after it was cancelled %d times,"
			  " which ended the worker", name, CANCELS);
}

/* Of the result's row: name, function, quarantine, timeouts */
static void
read_rule(uint64 row, ExactUserRule *rule)
{
	rule->name = exact_cell_text(row, 1);
	rule->function = exact_cell_text(row, 2);
	rule->quarantine = exact_cell_bool(row, 3, false);
	rule->timeouts = (int) exact_cell_int8(row, 4, 0);
}

int
exact_user_rules(ExactUserRule **rules)
{
	int			n;

	switch_endless_off();
	n = (int) exact_sql("SELECT r.name, r.function, r.action = 'quarantine', f.timeouts"
						" FROM exact.rule AS r"
						" LEFT JOIN exact.rule_failure AS f ON f.rule = r.name"
						" WHERE r.enabled AND r.function IS NOT NULL AND f.suspended_at IS NULL"
						" ORDER BY r.name COLLATE \"C\"", 0, NULL);
	*rules = palloc(Max(n, 1) * sizeof(ExactUserRule));
	for (int i = 0; i < n; i++)
		read_rule((uint64) i, &(*rules)[i]);
	return n;
}

bool
exact_user_rule_find(const char *name, ExactUserRule *rule)
{
	ExactArg	arg = exact_arg_text(name);

	if (exact_sql("SELECT r.name, r.function, r.action = 'quarantine', 0"
				  " FROM exact.rule AS r"
				  " WHERE r.name = $1 AND r.function IS NOT NULL", 1, &arg) == 0)
		return false;
	read_rule(0, rule);
	return true;
}
