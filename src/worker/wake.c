/*
 * wake.c - wakes workers and the launcher, now or when the current transaction commits.
 *
 * Called by backends and workers. A wake-up is a bit in the worker's slot and its latch: nothing is
 * lost when the worker is busy, and nothing happens twice.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"

#include "base/compat.h"
#include "worker/role.h"
#include "worker/shmem.h"
#include "worker/wake.h"

/* What to do when the current transaction commits */
static uint32 roles_at_commit = 0;	/* bit per role */
static bool notified_at_commit = false;
static bool check_at_commit = false;
static bool launcher_at_commit = false;
static bool callback_registered = false;

static void
wake_roles(uint32 roles, uint32 why)
{
	ExactDatabaseSlot *slot;

	if (exact_shared == NULL)
		return;
	LWLockAcquire(exact_shared_lock, LW_SHARED);
	slot = exact_shmem_database(MyDatabaseId);
	for (int r = 0; slot != NULL && r < EXACT_NROLES; r++)
	{
		ExactWorkerSlot *worker = &slot->workers[r];

		if (!(roles & (1u << r)))
			continue;
		pg_atomic_fetch_or_u32(&worker->wake, why);
		if (worker->pid != 0)
			exact_set_proc_latch(worker->proc_number);
	}
	LWLockRelease(exact_shared_lock);
}

void
exact_wake(ExactRole role)
{
	wake_roles(1u << role, EXACT_WAKE_TURN);
}

void
exact_wake_launcher(Oid database)
{
	if (exact_shared == NULL)
		return;
	LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
	if (!OidIsValid(database) || exact_shared->nhints == EXACT_MAX_HINTS)
		exact_shared->scan_wanted = true;
	else
		exact_shared->hints[exact_shared->nhints++] = database;
	if (exact_shared->launcher_pid != 0)
		exact_set_proc_latch(exact_shared->launcher_proc_number);
	LWLockRelease(exact_shared_lock);
}

/*
 * Does at commit what was asked for in the transaction; an abort forgets it. PREPARE TRANSACTION
 * forgets it too: another session may commit that transaction.
 */
static void
on_transaction_end(XactEvent event, void *arg pg_attribute_unused())
{
	uint32		roles = roles_at_commit;
	bool		notified = notified_at_commit;
	bool		check = check_at_commit;
	bool		launcher = launcher_at_commit;

	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	roles_at_commit = 0;
	notified_at_commit = false;
	check_at_commit = false;
	launcher_at_commit = false;
	if (event != XACT_EVENT_COMMIT)
		return;
	if (roles != 0)
		wake_roles(roles, EXACT_WAKE_TURN);
	if (notified)
		wake_roles(1u << EXACT_ROLE_FETCHER, EXACT_WAKE_NOTIFIED);
	if (check)
	{
		wake_roles(~0u, EXACT_WAKE_CHECK);
		exact_wake_launcher(MyDatabaseId);
	}
	if (launcher)
		exact_wake_launcher(InvalidOid);
}

static void
register_callback(void)
{
	if (!callback_registered)
		RegisterXactCallback(on_transaction_end, NULL);
	callback_registered = true;
}

void
exact_wake_at_commit(ExactRole role)
{
	register_callback();
	roles_at_commit |= 1u << role;
}

void
exact_wake_notified_at_commit(void)
{
	register_callback();
	notified_at_commit = true;
}

void
exact_wake_check_at_commit(void)
{
	register_callback();
	check_at_commit = true;
}

void
exact_wake_launcher_at_commit(void)
{
	register_callback();
	launcher_at_commit = true;
}
