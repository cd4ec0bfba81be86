/*
 * worker.c - the frame of every worker: start, loop, transactions, end.
 *
 * Entered by the main functions of fetcher.c, loader.c and listener.c. Owns the worker's slot in shared memory, its session locks, signals
 * and memory contexts. No transaction is open while it waits, and a worker whose database binds it elsewhere, whose extension
 * is of another version, or which is switched off, waits without working.
 */
#include "postgres.h"

#include <signal.h>
#include <unistd.h>

#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/evloop.h"
#include "base/guc.h"
#include "base/sql.h"
#include "http/http_client.h"
#include "worker/ask.h"
#include "worker/shmem.h"
#include "worker/unit.h"
#include "worker/worker.h"

#define HOLD_LIMIT_MS 10000		/* an exit waits so long for an outstanding token answer */
#define RECHECK_MS 60000		/* a worker that must not work looks again */
#define RECHECK_FAILED_MS 10000

static const ExactWorkerOps *ops = NULL;
static ExactWorkerSlot *slot = NULL;
static Oid	database = InvalidOid;

/* May it work? If not, not_ready says why. */
static bool ready = false;
static bool started = false;
static ExactFault not_ready;
static char told[EXACT_REASON_LEN] = "";	/* the reason that was logged last */
static TimestampTz assess_at = 0;
static char blocked[EXACT_REASON_LEN] = "";	/* why it cannot do its work for a reason of its own */
static bool woken = true;		/* since the last turn: by exact_wake, a reload, the start */

static volatile sig_atomic_t hold_depth = 0;
static volatile sig_atomic_t exit_wanted = false;
static TimestampTz exit_wanted_at = 0;
static int	epoch = 0;			/* of the installation when this process began to work, 0 before */

Oid
exact_worker_database(void)
{
	return database;
}

bool
exact_worker_woken(void)
{
	return woken;
}

const char *
exact_worker_name(void)
{
	return ops ? ops->name : "backend";
}

void
exact_log(int elevel, const char *fmt,...)
{
	char		text[1024];
	va_list		args;

	Assert(elevel < ERROR);
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	ereport(elevel, (errmsg_internal("exact %s: %s", exact_worker_name(), text), errhidestmt(true), errhidecontext(true)));
}

/* ---- end of the process ---- */

static void
detach_slot(int code pg_attribute_unused(), Datum arg pg_attribute_unused())
{
	LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
	slot->pid = 0;
	slot->state = EXACT_WORKER_STOPPED;
	slot->place[0] = '\0';
	slot->nquestions = 0;		/* the askers see the pid change */
	if (exact_shared->launcher_pid != 0)
		exact_set_proc_latch(exact_shared->launcher_proc_number);
	LWLockRelease(exact_shared_lock);
}

void
exact_worker_end(const char *reason)
{
	LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
	slot->ended_clean = true;
	exact_reason_copy(slot->reason, reason);
	LWLockRelease(exact_shared_lock);
	ereport(DEBUG1, (errmsg_internal("exact %s: ends: %s", ops->name, reason)));
	proc_exit(0);
}

void
exact_worker_rest(const char *reason)
{
	LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
	slot->resting = true;
	LWLockRelease(exact_shared_lock);
	exact_worker_end(reason);
}

/* Inside a unit an exit interrupts like in any backend; elsewhere the loop ends quietly. */
static void
on_sigterm(SIGNAL_ARGS)
{
	int			save_errno = errno;

	exit_wanted = true;
	if (exact_in_unit && hold_depth == 0)
		die(postgres_signal_arg);
	else
		SetLatch(MyLatch);
	errno = save_errno;
}

void
exact_worker_exit_if_wanted(void)
{
	if (!exit_wanted)
		return;
	if (exit_wanted_at == 0)
		exit_wanted_at = GetCurrentTimestamp();
	if (hold_depth == 0 || TimestampDifferenceExceeds(exit_wanted_at, GetCurrentTimestamp(), HOLD_LIMIT_MS))
		proc_exit(0);
}

void
exact_worker_hold_exit(void)
{
	hold_depth++;
}

void
exact_worker_release_exit(void)
{
	if (hold_depth > 0)
		hold_depth--;
}

/* ---- state ---- */

static void
note_error(const char *message)
{
	LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
	exact_reason_copy(slot->last_error, message);
	LWLockRelease(exact_shared_lock);
}

void
exact_worker_block(const char *reason)
{
	exact_reason_copy(blocked, reason ? reason : "");
	if (!ready)
		return;					/* there is a reason already */
	LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
	slot->state = blocked[0] ? EXACT_WORKER_IDLE : EXACT_WORKER_RUNNING;
	strcpy(slot->reason, blocked);
	LWLockRelease(exact_shared_lock);
}

void
exact_worker_place(const char *place)
{
	LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
	exact_reason_copy(slot->place, place);
	LWLockRelease(exact_shared_lock);
}

/* Must not work for now; logged when the reason is a new one. */
static void
set_not_ready(const ExactFault *fault, long again_ms, int elevel)
{
	char		reason[EXACT_REASON_LEN];

	exact_reason_copy(reason, fault->message);
	ready = false;
	not_ready.sqlstate = fault->sqlstate;
	if (not_ready.message == NULL || strcmp(not_ready.message, fault->message) != 0)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		if (not_ready.message)
			pfree(not_ready.message);
		if (not_ready.hint)
			pfree(not_ready.hint);
		not_ready.message = pstrdup(fault->message);
		not_ready.hint = fault->hint ? pstrdup(fault->hint) : NULL;
		MemoryContextSwitchTo(old);
	}
	LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
	slot->state = EXACT_WORKER_IDLE;
	strcpy(slot->reason, reason);
	LWLockRelease(exact_shared_lock);
	assess_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), again_ms);
	if (strcmp(told, reason) != 0)
	{
		strcpy(told, reason);
		ereport(elevel,
				(errcode(fault->sqlstate),
				 errmsg("exact %s: waits: %s", ops->name, reason),
				 fault->hint ? errhint("%s", fault->hint) : 0));
	}
}

bool
exact_unit_run(const char *what, ExactUnit fn, void *arg, ExactFault **fault)
{
	ExactFault *own = NULL;

	if (exact_unit_try(what, fn, arg, &own))
		return true;
	note_error(own->message);
	if (exact_unit_unfit)
		set_not_ready(own, RECHECK_FAILED_MS, WARNING);
	else
		ereport(LOG,
				(errcode(own->sqlstate),
				 errmsg("exact %s: %s: %s", ops->name, what, own->message),
				 own->hint ? errhint("%s", own->hint) : 0));
	if (fault)
		*fault = own;
	return false;
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

/* What this process holds in memory belongs to an epoch that is over; the launcher starts another one. */
static void
end_epoch(void)
{
	LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
	slot->ended_clean = true;
	LWLockRelease(exact_shared_lock);
	exit_wanted = true;
	exact_worker_exit_if_wanted();
}

/* Decides anew whether this worker may work; ends the process when the extension is gone. */
static void
assess(void)
{
	ExactFault	reason;
	ExactFault *fault = NULL;
	Binding		binding = {NULL, 0};

	if (!exact_enabled)
	{
		memset(&reason, 0, sizeof(reason));
		reason.sqlstate = ERRCODE_EXACT_NOT_PRELOADED;
		reason.message = "exact_databricks.enabled is off";
		reason.hint = "ALTER SYSTEM SET exact_databricks.enabled = on; then SELECT pg_reload_conf().";
		set_not_ready(&reason, RECHECK_MS, LOG);
		return;
	}
	if (!exact_unit_try("bind", bind_unit, &binding, &fault))
	{
		if (ready && fault->sqlstate == ERRCODE_LOCK_NOT_AVAILABLE)
			return;				/* someone holds the extension in an open transaction; its end wakes us */
		set_not_ready(fault, RECHECK_FAILED_MS, fault->sqlstate == ERRCODE_EXACT_INSTALLATION ? WARNING : LOG);
		return;
	}
	if (binding.answer == NULL || strcmp(binding.answer, "bound") != 0)
	{
		memset(&reason, 0, sizeof(reason));
		reason.sqlstate = ERRCODE_EXACT_INSTALLATION;
		reason.message = binding.answer ? binding.answer : "this database is not bound to an installation";
		reason.hint = "If this is the hub that shall work from now on, call exact.adopt().";
		set_not_ready(&reason, RECHECK_MS, WARNING);
	}
	else if (epoch != 0 && binding.epoch != epoch)
		end_epoch();
	else if (!ready)
	{
		ready = true;
		epoch = binding.epoch;
		told[0] = '\0';
		LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
		slot->state = blocked[0] ? EXACT_WORKER_IDLE : EXACT_WORKER_RUNNING;
		strcpy(slot->reason, blocked);
		LWLockRelease(exact_shared_lock);
		if (!started && ops->start)
			ops->start();
		started = true;
	}
	if (binding.answer)
		pfree(binding.answer);
}

/* ---- start ---- */

static void
attach_slot(Datum main_arg)
{
	ExactWorkerExtra extra;
	int			index = DatumGetInt32(main_arg);

	memcpy(&extra, MyBgworkerEntry->bgw_extra, sizeof(extra));
	database = extra.database;
	slot = &exact_shared->databases[index].workers[ops->role];

	LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
	if (exact_shared->databases[index].database != database || slot->generation != extra.generation || slot->pid != 0)
	{
		LWLockRelease(exact_shared_lock);
		proc_exit(0);			/* registered by a launcher that has been replaced meanwhile */
	}
	slot->pid = MyProcPid;
	slot->proc_number = exact_my_proc_number();
	slot->state = EXACT_WORKER_STARTING;
	slot->ended_clean = false;
	slot->started_at = GetCurrentTimestamp();
	slot->nquestions = 0;
	LWLockRelease(exact_shared_lock);
	before_shmem_exit(detach_slot, (Datum) 0);
}

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
	LOCKTAG		gate = exact_lock_tag(database, 0, EXACT_LOCK_GATE);
	LOCKTAG		owner = exact_lock_tag(database, ops->role, EXACT_LOCK_OWNER);

	if (exact_database_closing(database) || !exact_lock_try(&gate, ShareLock))
		exact_worker_end("a command on this database waits for the workers to go");
	if (!exact_lock_try(&owner, ExclusiveLock))
		exact_worker_end("another worker of this role still runs");
}

static void
close_server(int code pg_attribute_unused(), Datum arg pg_attribute_unused())
{
	ops->close();
}

/* ---- loop ---- */

/* ms from now until then, at least 0 */
static long
until(TimestampTz then)
{
	return TimestampDifferenceMilliseconds(GetCurrentTimestamp(), then);
}

long
exact_worker_sooner(long a, long b)
{
	if (a < 0)
		return b;
	return b < 0 ? a : Min(a, b);
}

/* Signals, barriers, reload; true after a reload. */
static bool
handle_interrupts(void)
{
	/* A cancel is meant for a unit; between units there is nothing to cancel. */
	QueryCancelPending = false;
	exact_worker_exit_if_wanted();
	CHECK_FOR_INTERRUPTS();
	if (!ConfigReloadPending)
		return false;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	return true;
}

static void pg_attribute_noreturn()
work_loop(void)
{
	MemoryContext loop_context = AllocSetContextCreate(TopMemoryContext, "exact loop", ALLOCSET_DEFAULT_SIZES);
	bool		turn_due = true;
	bool		assess_due = true;
	bool		clock_moved = false;
	TimestampTz turn_at = 0;	/* 0 = only when woken */
	long		serve_wait = 0;

	for (;;)
	{
		uint32		wake;
		long		timeout = -1;

		MemoryContextReset(loop_context);
		MemoryContextSwitchTo(loop_context);

		wake = pg_atomic_exchange_u32(&slot->wake, 0);
		if ((wake & EXACT_WAKE_CHECK) || (!ready && (wake || assess_at <= GetCurrentTimestamp())))
			assess_due = true;
		if (assess_due)
		{
			bool		was_ready = ready;

			assess_due = false;
			assess();
			turn_due |= ready && !was_ready;
			woken |= ready && !was_ready;
		}
		woken |= (wake & EXACT_WAKE_TURN) != 0;
		turn_due |= (wake & EXACT_WAKE_TURN) || (turn_at != 0 && turn_at <= GetCurrentTimestamp());
		if (exact_ask_take(ops->ask, ready ? NULL : &not_ready) > 0)
			turn_due = true;
		if (ready && turn_due)
		{
			long		wanted;

			turn_due = false;
			wanted = ops->turn();
			woken = false;
			turn_at = wanted < 0 ? 0 : TimestampTzPlusMilliseconds(GetCurrentTimestamp(), wanted);
		}

		if (!ready)
			timeout = exact_worker_sooner(timeout, until(assess_at));
		else if (turn_at != 0)
			timeout = exact_worker_sooner(timeout, until(turn_at));
		timeout = exact_worker_sooner(timeout, ops->serve ? serve_wait : exact_http_timeout());
		if (exit_wanted || clock_moved)
			timeout = exact_worker_sooner(timeout, 1000);
		if (timeout != 0)
		{
			/* one that serves many a second reports once a second, and is looked at again for the last report */
			long		report = pgstat_report_stat(ops->serve == NULL);

			if (report > 0)
				timeout = exact_worker_sooner(timeout, report);
			pgstat_report_activity(STATE_IDLE, NULL);
		}
		exact_evloop_wait(timeout);

		if (exact_clock_set_back())
		{
			exact_log(LOG, "the clock was set back");
			clock_moved = assess_due = turn_due = true;
		}
		/* one that plans ahead begins anew; the listener does not */
		if (clock_moved && ops->serve == NULL && hold_depth == 0)
			exact_worker_end("the clock was set back");
		if (handle_interrupts())
		{
			assess_due = true;
			turn_due = true;
			woken = true;
			if (ops->reload && (started || ops->serve))
				ops->reload();
		}
		exact_ask_continue();
		if (ops->serve)
			serve_wait = ops->serve(ready ? NULL : &not_ready);
		else if (exact_http_run() > 0)
			turn_due = true;
	}
}

void
exact_worker_run(const ExactWorkerOps *worker_ops, Datum main_arg)
{
	sigjmp_buf	local_sigjmp_buf;
	char		name[NAMEDATALEN];

	ops = worker_ops;
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, on_sigterm);
	if (exact_shared == NULL)
		proc_exit(0);
	attach_slot(main_arg);
	BackgroundWorkerUnblockSignals();
	ProcessConfigFile(PGC_SIGHUP);	/* a reload before the handler was there is not lost */

	/* An error outside a unit ends the process; the launcher starts another. */
	if (sigsetjmp(local_sigjmp_buf, 1) != 0)
	{
		ErrorData  *error;

		error_context_stack = NULL;
		HOLD_INTERRUPTS();
		EmitErrorReport();
		MemoryContextSwitchTo(TopMemoryContext);
		error = CopyErrorData();
		note_error(error->message);
		proc_exit(1);
	}
	PG_exception_stack = &local_sigjmp_buf;

	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	snprintf(name, sizeof(name), "exact %s", ops->name);
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
