/*
 * launcher.c - one process per cluster that brings actual workers in line with the wanted ones.
 *
 * Connected to no database: it reads pg_database only, and learns by a probe (probe.c) whether a
 * database has the extension. It goes by what is, not by events: each turn compares every slot with
 * the state that the postmaster reports. Workers never restart themselves; a crash delays the next
 * start, doubling from 1 s to 60 s, forgotten after 60 s of healthy work.
 */
#include "postgres.h"

#include <signal.h>

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/backoff.h"
#include "base/clock.h"
#include "base/compat.h"
#include "worker/lock.h"
#include "worker/process.h"
#include "worker/role.h"
#include "worker/shmem.h"

pg_noreturn PGDLLEXPORT void exact_launcher_main(Datum main_arg);

#define SCAN_INTERVAL_MS 300000
#define PROBE_LIMIT_MS 30000	/* a probe that takes longer is ended */
#define BACKOFF_FIRST_MS 1000	/* after a probe or a worker that failed */
#define BACKOFF_LAST_MS 60000
#define HEALTHY_MS 60000		/* a worker that ran so long has no failures behind it */
#define CLOSING_RETRY_MS 1000	/* a command waits for the database to be empty */
#define CLEAN_RETRY_MS 200		/* after a worker that ended by itself */
#define QUICK_CRASHES 2			/* so many crashes of the server delay no worker */
#define CRASH_LAST_MS 15000		/* the longest delay after further ones */

/* A database that could hold the extension */
typedef struct KnownDatabase
{
	Oid			oid;			/* hash key */
	NameData	name;
	bool		seen;			/* in the last scan */
	int			failures;		/* of probes in a row */
	TimestampTz probe_at;		/* PG_INT64_MAX: one is under way, and nothing came since */
} KnownDatabase;

/* What the launcher knows about a slot beside shared memory */
typedef struct SlotPlan
{
	BackgroundWorkerHandle *handle;
	TimestampTz start_at;
	int			failures;
	int			starts;
} SlotPlan;

/* In the order in which scarce worker slots are used */
static const ExactRole started_roles[] = {
	EXACT_ROLE_FETCHER, EXACT_ROLE_LOADER, EXACT_ROLE_LISTENER
};

static HTAB *known = NULL;
static SlotPlan plans[EXACT_MAX_DATABASES][EXACT_NROLES];
static BackgroundWorkerHandle *probe_handle = NULL;
static Oid	probe_database = InvalidOid;
static TimestampTz probe_deadline = 0;
static TimestampTz scan_at = 0;
static bool too_many_told = false;

static TimestampTz
in_ms(long ms)
{
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);
}

/* 1 s, 2 s, 4 s … 60 s */
static long
backoff_ms(int failures)
{
	return (long) exact_backoff_ms(failures, BACKOFF_FIRST_MS, BACKOFF_LAST_MS);
}

/* ---- databases ---- */

static void
forget_missing_databases(void)
{
	HASH_SEQ_STATUS status;
	KnownDatabase *db;

	hash_seq_init(&status, known);
	while ((db = hash_seq_search(&status)) != NULL)
	{
		ExactDatabaseSlot *slot;

		if (db->seen)
			continue;
		LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
		slot = exact_shmem_database(db->oid);
		if (slot)
			slot->wanted = false;
		LWLockRelease(exact_shared_lock);
		hash_search(known, &db->oid, HASH_REMOVE, NULL);
	}
}

/* Reads pg_database; databases not known before are probed at once, gone ones are forgotten. */
static void
scan_databases(void)
{
	HASH_SEQ_STATUS status;
	KnownDatabase *db;
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;

	hash_seq_init(&status, known);
	while ((db = hash_seq_search(&status)) != NULL)
		db->seen = false;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);
		bool		found;

		if (form->datistemplate || !form->datallowconn ||
			form->datconnlimit == DATCONNLIMIT_INVALID_DB)
			continue;
		db = hash_search(known, &form->oid, HASH_ENTER, &found);
		if (!found)
		{
			db->failures = 0;
			db->probe_at = GetCurrentTimestamp();
		}
		db->name = form->datname;
		db->seen = true;
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
	forget_missing_databases();
	scan_at = in_ms(SCAN_INTERVAL_MS);
}

/* Takes the databases that backends asked to look at; an unknown one needs a scan first. */
static void
take_hints(void)
{
	Oid			hints[EXACT_MAX_HINTS];
	int			nhints;
	bool		scan;

	LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
	nhints = exact_shared->nhints;
	memcpy(hints, exact_shared->hints, sizeof(hints));
	scan = exact_shared->scan_wanted;
	exact_shared->nhints = 0;
	exact_shared->scan_wanted = false;
	LWLockRelease(exact_shared_lock);

	for (int i = 0; i < nhints; i++)
		scan |= hash_search(known, &hints[i], HASH_FIND, NULL) == NULL;
	if (scan || scan_at <= GetCurrentTimestamp())
		scan_databases();
	for (int i = 0; i < nhints; i++)
	{
		KnownDatabase *db = hash_search(known, &hints[i], HASH_FIND, NULL);

		if (db)
			db->probe_at = GetCurrentTimestamp();
	}
}

/* ---- probe ---- */

/* The slot of a database, a new one if need be; NULL when there are too many. Lock held. */
static ExactDatabaseSlot *
claim_slot(const KnownDatabase *db)
{
	bool		fresh;
	ExactDatabaseSlot *slot = exact_shmem_claim(db->oid, &fresh);

	if (slot == NULL)
		return NULL;
	if (fresh)
		memset(plans[slot - exact_shared->databases], 0, sizeof(plans[0]));
	slot->name = db->name;
	return slot;
}

static void
tell_too_many(const KnownDatabase *db)
{
	if (too_many_told)
		return;
	too_many_told = true;
	ereport(LOG,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("exact launcher: more than %d databases have the extension",
					EXACT_MAX_DATABASES),
			 errhint("No workers run for database \"%s\" and others.", NameStr(db->name))));
}

/*
 * The probe has ended: with an answer, which decides about workers, or without, then it is
 * repeated.
 */
static void
take_probe_answer(void)
{
	KnownDatabase *db = hash_search(known, &probe_database, HASH_FIND, NULL);
	ExactProbe *probe = &exact_shared->probe;
	bool		answered;
	bool		too_many = false;

	LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
	answered = probe->answered && probe->database == probe_database;
	if (answered && db)
	{
		ExactDatabaseSlot *slot = probe->present ? claim_slot(db) : exact_shmem_database(db->oid);

		too_many = probe->present && slot == NULL;
		if (slot)
			slot->wanted = probe->present;
	}
	probe->answered = false;
	LWLockRelease(exact_shared_lock);

	if (db)
		db->failures = answered ? 0 : db->failures + 1;
	/* what was asked for meanwhile may have come after the probe looked */
	if (db && db->probe_at == PG_INT64_MAX)
		db->probe_at = in_ms(answered ? SCAN_INTERVAL_MS : backoff_ms(db->failures));
	if (too_many)
		tell_too_many(db);
	probe_database = InvalidOid;
}

static void
start_probe(KnownDatabase *db)
{
	ExactWorkerExtra extra;
	char		name[BGW_MAXLEN];

	LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
	memset(&exact_shared->probe, 0, sizeof(exact_shared->probe));
	exact_shared->probe.generation = extra.generation = ++exact_shared->generation;
	exact_shared->probe.database = extra.database = db->oid;
	LWLockRelease(exact_shared_lock);

	snprintf(name, sizeof(name), "exact probe %s", NameStr(db->name));
	if (exact_process_start("exact_probe_main", name, "exact probe", 0, &extra, &probe_handle))
	{
		probe_database = db->oid;
		db->probe_at = PG_INT64_MAX;
		probe_deadline = in_ms(PROBE_LIMIT_MS);
	}
}

/* One probe at a time, the longest due first. Returns ms until it has something to do. */
static long
run_probes(void)
{
	HASH_SEQ_STATUS status;
	KnownDatabase *db;
	KnownDatabase *next = NULL;
	TimestampTz now = GetCurrentTimestamp();

	if (probe_handle != NULL)
	{
		pid_t		pid;

		if (GetBackgroundWorkerPid(probe_handle, &pid) != BGWH_STOPPED)
		{
			if (probe_deadline <= now)
				TerminateBackgroundWorker(probe_handle);
			return PROBE_LIMIT_MS;
		}
		pfree(probe_handle);
		probe_handle = NULL;
		take_probe_answer();
		return 0;				/* workers first, then the next probe */
	}

	hash_seq_init(&status, known);
	while ((db = hash_seq_search(&status)) != NULL)
	{
		if (next == NULL || db->probe_at < next->probe_at)
			next = db;
	}
	if (next == NULL)
		return SCAN_INTERVAL_MS;
	if (next->probe_at > now)
		return exact_clock_wait_ms(next->probe_at);
	if (exact_process_blocked_until > now)
		return exact_clock_wait_ms(exact_process_blocked_until);
	if (exact_lock_closing(next->oid))
		next->probe_at = in_ms(CLOSING_RETRY_MS);
	else
		start_probe(next);
	return probe_handle ? PROBE_LIMIT_MS : 0;
}

/* ---- workers ---- */

/*
 * The worker of this slot has ended, however it did: when may another start? The database is probed
 * first, for the extension may be why it ended.
 */
static void
note_end(ExactDatabaseSlot *slot, ExactRole role, SlotPlan *plan)
{
	ExactWorkerSlot *worker = &slot->workers[role];
	KnownDatabase *db = hash_search(known, &slot->database, HASH_FIND, NULL);
	bool		clean;
	bool		wanted;
	TimestampTz started_at;
	long		wait;

	pfree(plan->handle);
	plan->handle = NULL;
	LWLockAcquire(exact_shared_lock, LW_SHARED);
	clean = worker->ended_clean;
	wanted = slot->wanted;
	started_at = worker->started_at;
	LWLockRelease(exact_shared_lock);

	if (clean || (started_at != 0 &&
				  TimestampDifferenceExceeds(started_at, GetCurrentTimestamp(), HEALTHY_MS)))
		plan->failures = 0;
	wait = clean ? CLEAN_RETRY_MS : backoff_ms(++plan->failures);
	plan->start_at = in_ms(wait);
	if (db)
		db->probe_at = GetCurrentTimestamp();
	if (!clean && wanted)
		ereport(LOG,
				(errmsg("exact launcher: %s of database \"%s\" ended, starts again in %.1f s",
						exact_role_name(role), NameStr(slot->name), wait / 1000.0)));
}

/*
 * Gives the slot a new generation and registers the process that may attach to it. A worker that an
 * earlier generation registered and that comes late finds another number and goes.
 */
static void
start_worker(ExactDatabaseSlot *slot, int index, ExactRole role, SlotPlan *plan)
{
	ExactWorkerSlot *worker = &slot->workers[role];
	ExactWorkerExtra extra;
	char		function[BGW_MAXLEN];
	char		name[BGW_MAXLEN];
	char		type[BGW_MAXLEN];

	LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
	extra.generation = worker->generation = ++exact_shared->generation;
	extra.database = slot->database;
	worker->state = EXACT_WORKER_STARTING;
	worker->ended_clean = false;
	worker->started_at = 0;
	worker->reason[0] = '\0';
	if (plan->starts++ > 0)
		worker->restarts++;
	LWLockRelease(exact_shared_lock);

	snprintf(function, sizeof(function), "exact_%s_main", exact_role_name(role));
	snprintf(type, sizeof(type), "exact %s", exact_role_name(role));
	snprintf(name, sizeof(name), "exact %s %s", exact_role_name(role), NameStr(slot->name));
	if (!exact_process_start(function, name, type, index, &extra, &plan->handle))
	{
		LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
		worker->state = EXACT_WORKER_STOPPED;
		exact_shmem_copy_reason(worker->reason, "no free worker slot: raise max_worker_processes");
		LWLockRelease(exact_shared_lock);
		plan->start_at = exact_process_blocked_until;
		plan->starts--;
	}
}

/*
 * Brings one worker in line with what is wanted; returns ms until it wants to be looked at again.
 * The end of a worker and of a probe set this process's latch, so that nothing of it is waited for
 * here.
 */
static long
reconcile_worker(int index, ExactRole role)
{
	ExactDatabaseSlot *slot = &exact_shared->databases[index];
	ExactWorkerSlot *worker = &slot->workers[role];
	SlotPlan   *plan = &plans[index][role];
	KnownDatabase *db;
	TimestampTz now = GetCurrentTimestamp();
	pid_t		pid;
	bool		wanted;
	bool		resting;

	if (plan->handle != NULL && GetBackgroundWorkerPid(plan->handle, &pid) == BGWH_STOPPED)
		note_end(slot, role, plan);

	LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
	wanted = slot->wanted;
	if (!wanted)
		worker->resting = false;
	resting = worker->resting;
	pid = worker->pid;
	LWLockRelease(exact_shared_lock);

	if (plan->handle != NULL || pid != 0)
	{
		if (!wanted && plan->handle != NULL)
			TerminateBackgroundWorker(plan->handle);
		else if (!wanted)
			kill(pid, SIGTERM); /* started by a launcher before this one */
		return SCAN_INTERVAL_MS;
	}

	db = hash_search(known, &slot->database, HASH_FIND, NULL);
	if (!wanted || resting || db == NULL || db->probe_at <= now || probe_database == slot->database)
		return SCAN_INTERVAL_MS;	/* a probe decides first, its end wakes us */
	if (plan->start_at > now)
		return exact_clock_wait_ms(plan->start_at);
	if (exact_lock_closing(slot->database))
	{
		plan->start_at = in_ms(CLOSING_RETRY_MS);
		return CLOSING_RETRY_MS;
	}
	start_worker(slot, index, role, plan);
	return plan->handle ? SCAN_INTERVAL_MS : EXACT_PROCESS_RETRY_MS;
}

/* Also frees the slots of databases that want no workers and have none. */
static long
reconcile_all(void)
{
	long		wait = SCAN_INTERVAL_MS;

	for (int i = 0; i < EXACT_MAX_DATABASES; i++)
	{
		ExactDatabaseSlot *slot = &exact_shared->databases[i];
		bool		alive = false;

		if (!OidIsValid(slot->database))
			continue;
		for (size_t r = 0; r < lengthof(started_roles); r++)
		{
			ExactRole	role = started_roles[r];

			wait = exact_clock_sooner(wait, reconcile_worker(i, role));
			alive |= plans[i][role].handle != NULL || slot->workers[role].pid != 0;
		}
		if (alive)
			continue;
		LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
		if (!slot->wanted)
			slot->database = InvalidOid;
		LWLockRelease(exact_shared_lock);
	}
	return wait;
}

/* ---- process ---- */

static void
detach_launcher(int code pg_attribute_unused(), Datum arg pg_attribute_unused())
{
	LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
	exact_shared->launcher_pid = 0;
	LWLockRelease(exact_shared_lock);
}

/* Settings may have changed: whoever had nothing to do looks again. */
static void
wake_resting(void)
{
	LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
	for (int i = 0; i < EXACT_MAX_DATABASES; i++)
		for (int r = 0; r < EXACT_NROLES; r++)
			exact_shared->databases[i].workers[r].resting = false;
	LWLockRelease(exact_shared_lock);
}

/* What was planned by a clock that was set back is due now. */
static void
plan_anew(void)
{
	HASH_SEQ_STATUS status;
	KnownDatabase *db;

	hash_seq_init(&status, known);
	while ((db = hash_seq_search(&status)) != NULL)
		db->probe_at = 0;
	for (int i = 0; i < EXACT_MAX_DATABASES; i++)
		for (int r = 0; r < EXACT_NROLES; r++)
			plans[i][r].start_at = 0;
	scan_at = exact_process_blocked_until = 0;
	probe_deadline = in_ms(PROBE_LIMIT_MS);
}

static void
wait_for_latch(long ms)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms,
					 PG_WAIT_EXTENSION);
}

static void
take_signals(void)
{
	ResetLatch(MyLatch);
	if (ShutdownRequestPending)
		proc_exit(1);			/* not 0: the postmaster would never start it again */
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
		wake_resting();
	}
}

/*
 * After a series of crashes of the whole server, which a worker may have caused, workers start
 * later each time: at once after the first two, then 1 s, 2 s, 4 s, 8 s, at most 15 s.
 */
static void
wait_after_crashes(void)
{
	int			crashes;
	long		wait;
	TimestampTz start_at;

	LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
	crashes = exact_shared->crashes;
	exact_shared->crashes = 0;	/* a launcher that restarts alone does not wait again */
	LWLockRelease(exact_shared_lock);
	if (crashes <= QUICK_CRASHES)
		return;
	wait = (long) exact_backoff_ms(crashes - QUICK_CRASHES, BACKOFF_FIRST_MS, CRASH_LAST_MS);
	start_at = in_ms(wait);
	ereport(LOG,
			(errmsg("exact launcher: the server restarted %d times after a crash lately,"
					" workers start in %.0f s", crashes, wait / 1000.0)));
	while (start_at > GetCurrentTimestamp())
	{
		wait_for_latch(exact_clock_wait_ms(start_at));
		take_signals();
	}
}

static void
attach_launcher(void)
{
	LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
	exact_shared->launcher_pid = MyProcPid;
	exact_shared->launcher_proc_number = exact_my_proc_number();
	exact_shared->launcher_started_at = GetCurrentTimestamp();
	LWLockRelease(exact_shared_lock);
	before_shmem_exit(detach_launcher, (Datum) 0);
}

static void
make_known(void)
{
	HASHCTL		ctl;

	memset(&ctl, 0, sizeof(ctl));
	ctl.keysize = sizeof(Oid);
	ctl.entrysize = sizeof(KnownDatabase);
	ctl.hcxt = TopMemoryContext;
	known = hash_create("exact databases", EXACT_MAX_DATABASES, &ctl,
						HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/*
 * The loop: what was asked for, workers, probes, then a wait. An error ends the process, and the
 * postmaster starts it again; workers that run meanwhile are found by their slots.
 */
void
exact_launcher_main(Datum main_arg pg_attribute_unused())
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	if (exact_shared == NULL)
		proc_exit(0);

	attach_launcher();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	SetConfigOption("application_name", "exact launcher", PGC_USERSET, PGC_S_SESSION);

	make_known();
	MemoryContextSwitchTo(TopMemoryContext);

	wait_after_crashes();
	for (;;)
	{
		long		wait;

		take_hints();
		MemoryContextSwitchTo(TopMemoryContext);
		wait = reconcile_all();
		wait = exact_clock_sooner(wait, run_probes());
		wait = exact_clock_sooner(wait, exact_clock_wait_ms(scan_at));

		pgstat_report_activity(STATE_IDLE, NULL);
		wait_for_latch(wait);
		take_signals();
		if (exact_clock_set_back())
			plan_anew();
	}
}
