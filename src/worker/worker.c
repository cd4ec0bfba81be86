/*
 * worker.c - the frame of every worker: start, loop, and whether it may work.
 *
 * Entered by the main functions of fetcher.c, loader.c and listener.c. Owns the loop, the session
 * locks and the memory contexts. No transaction is open while it waits, and a worker whose database
 * binds it elsewhere, whose extension is of another version, or which is switched off, waits
 * without working.
 */
#include "postgres.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <signal.h>

#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/evloop.h"
#include "base/fault.h"
#include "base/guc.h"
#include "base/sql.h"
#include "http/http_client.h"
#include "worker/ask.h"
#include "worker/lock.h"
#include "worker/self.h"
#include "worker/unit.h"
#include "worker/wake.h"
#include "worker/worker.h"

#define KEPT_BYTES (32 * 1024 * 1024)	/* of memory that is free, by fetcher and loader */
#define LINGER_MS 1000			/* it should end and is held: how often it looks whether it may */

static const ExactWorkerOps *ops = NULL;

static bool started = false;
static int	epoch = 0;			/* of the installation when this process began to work, 0 before */

static bool assess_due = true;	/* may it work? */
static bool turn_due = true;
static TimestampTz turn_at = PG_INT64_MAX;	/* PG_INT64_MAX: only when woken */
static bool woken = true;		/* since the last turn: by exact_wake, a reload, the start */
static bool notified = false;	/* likewise: told of notifications alone */
static bool clock_moved = false;
static long serve_wait = 0;

bool
exact_worker_woken(void)
{
	return woken;
}

bool
exact_worker_notified(void)
{
	return notified || woken;
}

/* ---- may it work? ---- */

typedef struct Binding
{
	char	   *answer;			/* in TopMemoryContext */
	int			epoch;
} Binding;

static void
bind_unit(void *arg)
{
	Binding    *binding = arg;
	MemoryContext spi = CurrentMemoryContext;

	exact_sql("SELECT pg_catalog.to_regprocedure('exact._bind()') IS NOT NULL", 0, NULL);
	if (!exact_cell_bool(0, 1, false))
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_INSTALLATION),
				 errmsg("function exact._bind() does not exist"),
				 errhint("Drop and create the extension.")));
	exact_sql("SELECT exact._bind()", 0, NULL);
	MemoryContextSwitchTo(TopMemoryContext);
	binding->answer = exact_cell_text(0, 1);
	MemoryContextSwitchTo(spi);
	exact_sql("SELECT epoch FROM exact.installation_binding", 0, NULL);
	binding->epoch = SPI_processed > 0 ? (int) exact_cell_int8(0, 1, 0) : 0;
}

static void
wait_because(int sqlstate, char *message, char *hint, int elevel)
{
	ExactFault	why = {.sqlstate = sqlstate, .message = message, .hint = hint};

	exact_self_wait(&why, EXACT_SELF_RECHECK_MS, elevel);
}

/*
 * Goes by what the installation answered. What this process holds in memory belongs to the epoch in
 * which it began to work: when that is over it ends, and the launcher starts another one.
 */
static void
take_binding(const Binding *binding)
{
	if (binding->answer == NULL || strcmp(binding->answer, "bound") != 0)
	{
		wait_because(ERRCODE_EXACT_INSTALLATION,
					 binding->answer ? binding->answer :
					 "this database is not bound to an installation",
					 "If this is the hub that shall work from now on, call exact.adopt().",
					 WARNING);
		return;
	}
	if (epoch != 0 && binding->epoch != epoch)
	{
		exact_self_retire();
		return;
	}
	if (exact_self_refusal() == NULL)
		return;
	epoch = binding->epoch;
	exact_self_work();
	if (!started && ops->start)
		ops->start();
	started = true;
}

/*
 * Decides anew whether this worker may work; ends the process when the extension is gone. A lock
 * timeout of one that works means nothing: someone holds the extension in an open transaction,
 * whose end wakes us.
 */
static void
assess(void)
{
	ExactFault *fault = NULL;
	Binding		binding = {NULL, 0};

	if (!exact_enabled)
	{
		wait_because(ERRCODE_EXACT_NOT_PRELOADED,
					 "exact_databricks.enabled is off",
					 "ALTER SYSTEM SET exact_databricks.enabled = on;"
					 " then SELECT pg_reload_conf().",
					 LOG);
		return;
	}
	if (!exact_unit_try("bind", bind_unit, &binding, &fault))
	{
		bool		broken = fault->sqlstate == ERRCODE_EXACT_INSTALLATION;

		if (exact_self_refusal() != NULL || fault->sqlstate != ERRCODE_LOCK_NOT_AVAILABLE)
			exact_self_wait(fault, EXACT_SELF_RECHECK_FAILED_MS, broken ? WARNING : LOG);
		return;
	}
	take_binding(&binding);
	if (binding.answer)
		pfree(binding.answer);
}

/* ---- start ---- */

/* What the worker relies on, whatever ALTER DATABASE or ALTER ROLE say */
static void
fix_settings(void)
{
	static const char *const settings[][2] = {
		{"search_path", "pg_catalog, pg_temp"},
		{"lock_timeout", "500ms"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_deferrable", "off"},
		{"session_replication_role", "origin"},
		{"TimeZone", "UTC"},
		{"DateStyle", "ISO, MDY"},
		{"IntervalStyle", "postgres"},
		{"bytea_output", "hex"},
		{"extra_float_digits", "1"},
		{"jit", "off"},
		{"transaction_timeout", "0"},
		{"check_function_bodies", "on"},
		{"row_security", "on"},
		{"standard_conforming_strings", "on"},
		{"backslash_quote", "safe_encoding"},
		{"transform_null_equals", "off"},
		{"array_nulls", "on"},
		{"quote_all_identifiers", "off"},
		{"exit_on_error", "off"},
		{"restrict_nonsystem_relation_kind", ""},
		{"plpgsql.extra_errors", "none"},
		{"plpgsql.variable_conflict", "error"},
		{"debug_print_parse", "off"},
		{"debug_print_rewritten", "off"},
		{"debug_print_plan", "off"},
	};

	for (size_t i = 0; i < lengthof(settings); i++)
	{
		if (GetConfigOption(settings[i][0], true, false) != NULL)
			SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_SESSION);
	}
}

/* One worker of a role in a database, and none while DDL on the database waits for them to go. */
static void
take_ownership(void)
{
	Oid			database = exact_self_database();
	LOCKTAG		gate = exact_lock_tag(database, 0, EXACT_LOCK_GATE);
	LOCKTAG		owner = exact_lock_tag(database, ops->role, EXACT_LOCK_OWNER);

	if (exact_lock_closing(database) || !exact_lock_try(&gate, ShareLock))
		exact_self_end("a command on this database waits until the workers end");
	if (!exact_lock_try(&owner, ExclusiveLock))
		exact_self_end("another worker of this role still runs");
}

static void
close_server(int code pg_attribute_unused(), Datum arg pg_attribute_unused())
{
	ops->close();
}

/* ---- loop ---- */

/* Signals, barriers, reload; true after a reload. */
static bool
handle_interrupts(void)
{
	/* A cancel is meant for a unit; between units there is nothing to cancel. */
	QueryCancelPending = false;
	exact_self_exit_if_wanted();
	CHECK_FOR_INTERRUPTS();
	if (!ConfigReloadPending)
		return false;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	return true;
}

/* What others and the clock ask for; the bits are read before anything is done about them. */
static void
take_wakeups(void)
{
	uint32		wake = pg_atomic_exchange_u32(&exact_self_slot()->wake, 0);
	TimestampTz now = GetCurrentTimestamp();

	if (wake & EXACT_WAKE_CHECK)
		assess_due = true;
	if (exact_self_refusal() != NULL && (wake != 0 || exact_self_look_at() <= now))
		assess_due = true;
	if (wake & EXACT_WAKE_TURN)
		turn_due = woken = true;
	if (wake & EXACT_WAKE_NOTIFIED)
		turn_due = notified = true;
	if (turn_at <= now)
		turn_due = true;
}

static void
assess_if_due(void)
{
	bool		could = exact_self_refusal() == NULL;

	if (!assess_due)
		return;
	assess_due = false;
	assess();
	if (!could && exact_self_refusal() == NULL)
		turn_due = woken = true;
}

static void
turn_if_due(void)
{
	long		wanted;

	if (!turn_due || exact_self_refusal() != NULL)
		return;
	turn_due = false;
	wanted = ops->turn();
	woken = notified = false;
	turn_at = wanted < 0 ? PG_INT64_MAX :
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), wanted);
}

/*
 * Waits for the next thing to do. Statistics are reported when it is idle; one that serves many a
 * second reports once a second, and is looked at again for the last report.
 */
static void
wait_for_work(void)
{
	long		timeout = ops->serve ? serve_wait : exact_http_timeout();

	timeout = exact_clock_sooner(timeout, exact_clock_wait_ms(exact_self_refusal() != NULL ?
															  exact_self_look_at() : turn_at));
	if (exact_self_exit_wanted() || clock_moved)
		timeout = exact_clock_sooner(timeout, LINGER_MS);
	if (timeout != 0)
	{
		long		report = pgstat_report_stat(ops->serve == NULL);

		if (report > 0)
			timeout = exact_clock_sooner(timeout, report);
		pgstat_report_activity(STATE_IDLE, NULL);
	}
	exact_evloop_wait(timeout);
}

/*
 * What was planned by a clock that was set back lies too far ahead: one that plans begins anew, as
 * soon as nothing holds it. The listener plans nothing.
 */
static void
mind_clock(void)
{
	if (exact_clock_set_back())
	{
		exact_log(LOG, "the clock was set back");
		clock_moved = assess_due = turn_due = true;
	}
	if (clock_moved && ops->serve == NULL && !exact_self_is_held())
		exact_self_end("the clock was set back");
}

/*
 * Before the wait: what the worker itself decides. After it: what came meanwhile, which may make
 * the next turn due. Whatever a turn of the loop allocates is gone with it.
 */
pg_noreturn static void
work_loop(void)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "exact loop",
												  ALLOCSET_DEFAULT_SIZES);

	for (;;)
	{
		MemoryContextReset(context);
		MemoryContextSwitchTo(context);
		take_wakeups();
		assess_if_due();
		if (exact_ask_take(ops->ask, exact_self_refusal()) > 0)
			turn_due = true;
		turn_if_due();

		wait_for_work();

		mind_clock();
		if (handle_interrupts())
		{
			assess_due = turn_due = woken = true;
			if (ops->reload && (started || ops->serve))
				ops->reload();
		}
		exact_ask_continue();
		if (ops->serve)
			serve_wait = ops->serve(exact_self_refusal());
		else if (exact_http_run() > 0)
			turn_due = true;
	}
}

/* An error outside a unit ends the process; the launcher starts another. */
pg_noreturn static void
end_by_error(void)
{
	ErrorData  *error;

	error_context_stack = NULL;
	HOLD_INTERRUPTS();
	EmitErrorReport();
	MemoryContextSwitchTo(TopMemoryContext);
	error = CopyErrorData();
	exact_self_note_error(error->message, "");
	proc_exit(1);
}

/*
 * A statement of megabytes follows another: memory that is free is kept up to a limit, which the C
 * library would otherwise give back and fetch again, page by page, with each of them.
 */
static void
keep_memory(void)
{
#ifdef M_TRIM_THRESHOLD
	(void) mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
	(void) mallopt(M_MMAP_THRESHOLD, KEPT_BYTES);
#endif
}

/*
 * From the slot to the loop. The configuration is read once more after the handler of SIGHUP is
 * there, so that no reload is lost.
 */
void
exact_worker_run(const ExactWorkerOps *worker_ops, Datum main_arg)
{
	sigjmp_buf	on_error;
	char		name[NAMEDATALEN];

	ops = worker_ops;
	if (!ops->serve)
		keep_memory();
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	exact_self_attach(ops->role, main_arg);
	BackgroundWorkerUnblockSignals();
	ProcessConfigFile(PGC_SIGHUP);

	if (sigsetjmp(on_error, 1) != 0)
		end_by_error();
	PG_exception_stack = &on_error;

	BackgroundWorkerInitializeConnectionByOid(exact_self_database(), InvalidOid, 0);
	snprintf(name, sizeof(name), "exact %s", exact_self_name());
	SetConfigOption("application_name", name, PGC_USERSET, PGC_S_SESSION);
	fix_settings();
	take_ownership();
	exact_evloop_init();
	if (ops->serve)
	{
		ops->open();
		before_shmem_exit(close_server, (Datum) 0);
	}
	else
		exact_http_init();
	work_loop();
}
