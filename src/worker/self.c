/*
 * self.c - the worker that this process is: its slot in shared memory, what it says of itself, and
 * how it ends.
 *
 * Called by worker.c and unit.c, and by the work itself. A process attaches to its slot once and
 * leaves it when it ends, however it ends.
 */
#include "postgres.h"

#include <signal.h>
#include <time.h>

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "base/fault.h"
#include "base/words.h"
#include "worker/process.h"
#include "worker/role.h"
#include "worker/self.h"
#include "worker/shmem.h"

#define HOLD_LIMIT_MS 10000		/* an exit waits so long for an outstanding token answer */
#define FORGET_ERROR_MS 60000	/* an error of something else, or of the process before */
#define UNIT_LIMIT_MS 1000		/* and so long for the end of a unit that is not held */

static ExactWorkerSlot *own = NULL;
static const char *name = "backend";
static const char *user = NULL;
static Oid	database = InvalidOid;

/* May it work? If not, refusal says why. */
static bool ready = false;
static ExactFault refusal;
static TimestampTz look_at = 0;
static char told[EXACT_REASON_LEN] = "";	/* the reason that was logged last */
static char blocked[EXACT_REASON_LEN] = ""; /* why it cannot do its work for a reason of its own */

static char failed[NAMEDATALEN] = "";	/* the unit whose error is shown */
static TimestampTz failed_at = 0;

static volatile sig_atomic_t in_unit = false;
static volatile sig_atomic_t hold_depth = 0;
static volatile sig_atomic_t exit_wanted = false;
static TimestampTz exit_wanted_at = 0;

/* Comes back to on_sigterm when the limit of the exit is over. */
static timer_t exit_timer;
static bool has_timer = false;
static volatile sig_atomic_t asked = false;
static struct timespec asked_at;

ExactWorkerSlot *
exact_self_slot(void)
{
	return own;
}

Oid
exact_self_database(void)
{
	return database;
}

const char *
exact_self_name(void)
{
	return name;
}

const char *
exact_self_user(void)
{
	return user;
}

void
exact_log(int elevel, const char *fmt,...)
{
	char		text[1024];
	char	   *line;
	va_list		args;

	Assert(elevel < ERROR);
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	line = exact_words_tidy(text, sizeof(text));
	ereport(elevel,
			(errmsg_internal("exact %s: %s", name, line ? line : ""),
			 errhidestmt(true),
			 errhidecontext(true)));
	if (line)
		pfree(line);
}

/* ---- start ---- */

static void
detach(int code pg_attribute_unused(), Datum arg pg_attribute_unused())
{
	LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
	own->pid = 0;
	own->state = EXACT_WORKER_STOPPED;
	own->place[0] = '\0';
	own->nquestions = 0;		/* the askers see the pid change */
	if (exact_shared->launcher_pid != 0)
		exact_set_proc_latch(exact_shared->launcher_proc_number);
	LWLockRelease(exact_shared_lock);
}

/*
 * In the signal handler: has the exit waited so long? Else the signal comes again when it has. The
 * first call starts the time.
 */
static bool
has_waited(long limit_ms)
{
	struct timespec now;
	struct itimerspec rest = {.it_value = {0, 0}};
	long		rest_ms;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (!asked)
		asked_at = now;
	asked = true;
	rest_ms = limit_ms - (now.tv_sec - asked_at.tv_sec) * 1000 -
		(now.tv_nsec - asked_at.tv_nsec) / 1000000;
	if (rest_ms <= 0 || !has_timer)
		return true;
	rest.it_value.tv_sec = rest_ms / 1000;
	rest.it_value.tv_nsec = rest_ms % 1000 * 1000000;
	return timer_settime(exit_timer, 0, &rest, NULL) != 0;
}

/*
 * The loop ends quietly, after the unit that runs. A unit that does not end soon, because it waits
 * for a lock or its commit for a standby that never answers, is interrupted like any backend.
 */
static void
on_sigterm(SIGNAL_ARGS)
{
	int			save_errno = errno;
	bool		waited = has_waited(hold_depth > 0 ? HOLD_LIMIT_MS : UNIT_LIMIT_MS);

	exit_wanted = true;
	if (in_unit && waited)
		die(EXACT_SIGNAL_PASS);
	else
		SetLatch(MyLatch);
	errno = save_errno;
}

/* It sends the signal once more. Without it an exit within a unit does not wait. */
static void
make_exit_timer(void)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGTERM};

	has_timer = timer_create(CLOCK_MONOTONIC, &event, &exit_timer) == 0;
}

/*
 * The slot is taken under the lock, and only by the registration that the launcher gave last. From
 * here on the end of the process, however it comes, frees it.
 */
void
exact_self_attach(ExactRole role, Datum main_arg)
{
	ExactWorkerExtra extra;
	ExactDatabaseSlot *slot;

	name = exact_role_name(role);
	user = exact_role_user(role);
	make_exit_timer();
	pqsignal(SIGTERM, on_sigterm);
	if (exact_shared == NULL)
		proc_exit(0);
	memcpy(&extra, MyBgworkerEntry->bgw_extra, sizeof(extra));
	database = extra.database;
	slot = &exact_shared->databases[DatumGetInt32(main_arg)];
	own = &slot->workers[role];

	LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
	if (slot->database != database || own->generation != extra.generation || own->pid != 0)
	{
		LWLockRelease(exact_shared_lock);
		proc_exit(0);			/* registered by a launcher that has been replaced meanwhile */
	}
	own->pid = MyProcPid;
	own->proc_number = exact_my_proc_number();
	own->state = EXACT_WORKER_STARTING;
	own->ended_clean = false;
	own->started_at = GetCurrentTimestamp();
	own->nquestions = 0;
	LWLockRelease(exact_shared_lock);
	before_shmem_exit(detach, (Datum) 0);
}

/* ---- state ---- */

static void
show_state(ExactWorkerState state, const char *reason)
{
	LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
	own->state = state;
	strlcpy(own->reason, reason, EXACT_REASON_LEN);
	LWLockRelease(exact_shared_lock);
}

/* The fault outlives the unit that found it: its texts are copied when they are new. */
static void
keep_refusal(const ExactFault *why)
{
	MemoryContext old;

	refusal.sqlstate = why->sqlstate;
	if (refusal.message != NULL && strcmp(refusal.message, why->message) == 0)
		return;
	old = MemoryContextSwitchTo(TopMemoryContext);
	if (refusal.message)
		pfree(refusal.message);
	if (refusal.hint)
		pfree(refusal.hint);
	refusal.message = pstrdup(why->message);
	refusal.hint = why->hint ? pstrdup(why->hint) : NULL;
	MemoryContextSwitchTo(old);
}

void
exact_self_wait(const ExactFault *why, long again_ms, int elevel)
{
	char		reason[EXACT_REASON_LEN];

	exact_shmem_copy_reason(reason, why->message);
	ready = false;
	keep_refusal(why);
	show_state(EXACT_WORKER_IDLE, reason);
	look_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), again_ms);
	if (strcmp(told, reason) == 0)
		return;
	strlcpy(told, reason, sizeof(told));
	ereport(elevel,
			(errcode(why->sqlstate),
			 errmsg("exact %s: waits: %s", name, reason),
			 why->hint ? errhint("%s", why->hint) : 0));
}

void
exact_self_work(void)
{
	ready = true;
	told[0] = '\0';
	show_state(blocked[0] ? EXACT_WORKER_IDLE : EXACT_WORKER_RUNNING, blocked);
}

const ExactFault *
exact_self_refusal(void)
{
	return ready ? NULL : &refusal;
}

TimestampTz
exact_self_look_at(void)
{
	return look_at;
}

void
exact_self_block(const char *reason)
{
	exact_shmem_copy_reason(blocked, reason ? reason : "");
	if (ready)					/* else there is a reason already */
		show_state(blocked[0] ? EXACT_WORKER_IDLE : EXACT_WORKER_RUNNING, blocked);
}

void
exact_self_place(const char *place)
{
	LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
	exact_shmem_copy_reason(own->place, place);
	LWLockRelease(exact_shared_lock);
}

void
exact_self_note_error(const char *message, const char *what)
{
	strlcpy(failed, what, sizeof(failed));
	failed_at = GetCurrentTimestamp();
	LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
	exact_shmem_copy_reason(own->last_error, message);
	LWLockRelease(exact_shared_lock);
}

/* This process alone writes its slot's error, so it may look without the lock. */
void
exact_self_worked(const char *what)
{
	TimestampTz since;

	if (own == NULL || own->last_error[0] == '\0')
		return;
	since = Max(failed_at, own->started_at);
	if (strcmp(failed, what) != 0 &&
		!TimestampDifferenceExceeds(since, GetCurrentTimestamp(), FORGET_ERROR_MS))
		return;
	failed[0] = '\0';
	LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
	own->last_error[0] = '\0';
	LWLockRelease(exact_shared_lock);
}

/* ---- end ---- */

void
exact_self_hold_exit(void)
{
	hold_depth++;
}

void
exact_self_release_exit(void)
{
	if (hold_depth > 0)
		hold_depth--;
}

bool
exact_self_is_held(void)
{
	return hold_depth > 0;
}

bool
exact_self_exit_wanted(void)
{
	return exit_wanted;
}

void
exact_self_exit_if_wanted(void)
{
	if (!exit_wanted)
		return;
	if (exit_wanted_at == 0)
		exit_wanted_at = GetCurrentTimestamp();
	if (hold_depth == 0 ||
		TimestampDifferenceExceeds(exit_wanted_at, GetCurrentTimestamp(), HOLD_LIMIT_MS))
		proc_exit(0);
}

void
exact_self_enter_unit(void)
{
	in_unit = true;
}

void
exact_self_leave_unit(void)
{
	in_unit = false;
}

void
exact_self_end(const char *reason)
{
	LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
	own->ended_clean = true;
	exact_shmem_copy_reason(own->reason, reason);
	LWLockRelease(exact_shared_lock);
	ereport(DEBUG1, (errmsg_internal("exact %s: ends: %s", name, reason)));
	proc_exit(0);
}

void
exact_self_rest(const char *reason)
{
	LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
	own->resting = true;
	LWLockRelease(exact_shared_lock);
	exact_self_end(reason);
}

void
exact_self_retire(void)
{
	LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
	own->ended_clean = true;
	LWLockRelease(exact_shared_lock);
	exit_wanted = true;
	exact_self_exit_if_wanted();
}
