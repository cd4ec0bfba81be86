/*
 * shmem.c - shared memory of the workers and backends of a cluster, wake-ups and the private lock classes.
 *
 * Owns ExactShared. Called by everything that runs in a server process; knows nothing of what workers do.
 */
#include "postgres.h"

#include <time.h>

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"

#include "base/compat.h"
#include "base/errors.h"
#include "worker/shmem.h"

#define CRASH_MEMORY_S 600		/* crashes further apart are not a series */

ExactShared *exact_shared = NULL;
LWLock	   *exact_shared_lock = NULL;

static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;

/* What to do when the current transaction commits */
static uint32 roles_at_commit = 0;	/* bit per role */
static bool check_at_commit = false;
static bool launcher_at_commit = false;
static bool callback_registered = false;

static const char *const role_names[EXACT_NROLES] = {
	[EXACT_ROLE_FETCHER] = "fetcher",
	[EXACT_ROLE_LOADER] = "loader",
	[EXACT_ROLE_LISTENER] = "listener",
};

const char *
exact_role_name(ExactRole role)
{
	return role_names[role];
}

bool
exact_role_by_name(const char *name, ExactRole *role)
{
	for (int i = 0; i < EXACT_NROLES; i++)
	{
		if (strcmp(role_names[i], name) == 0)
		{
			*role = (ExactRole) i;
			return true;
		}
	}
	return false;
}

/* Cuts at a character, not inside one. */
void
exact_reason_copy(char *dest, const char *text)
{
	int			len = pg_mbcliplen(text, strlen(text), EXACT_REASON_LEN - 1);

	memcpy(dest, text, len);
	dest[len] = '\0';
}

static void
request_shmem(void)
{
	if (previous_request_hook)
		previous_request_hook();
	RequestAddinShmemSpace(MAXALIGN(sizeof(ExactShared)));
	RequestNamedLWLockTranche("exact_databricks", 1);
}

/*
 * The postmaster makes the memory anew after a crash; its own variables survive that, so the length of a series of crashes
 * is known to it and handed to the launcher, which then starts workers later.
 */
static void
startup_shmem(void)
{
	static int	crashes = -1;
	static time_t last_init = 0;
	bool		found;

	if (previous_startup_hook)
		previous_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	exact_shared = ShmemInitStruct("exact_databricks", sizeof(ExactShared), &found);
	exact_shared_lock = &GetNamedLWLockTranche("exact_databricks")->lock;
	if (!found)
	{
		time_t		now = time(NULL);

		crashes = (crashes >= 0 && now - last_init < CRASH_MEMORY_S) ? crashes + 1 : (crashes >= 0 ? 1 : 0);
		last_init = now;
		memset(exact_shared, 0, sizeof(ExactShared));
		exact_shared->crashes = crashes;
		for (int i = 0; i < EXACT_MAX_DATABASES; i++)
		{
			exact_traffic_init(&exact_shared->databases[i].traffic);
			for (int r = 0; r < EXACT_NROLES; r++)
				pg_atomic_init_u32(&exact_shared->databases[i].workers[r].wake, 0);
		}
	}
	LWLockRelease(AddinShmemInitLock);
}

/* Called by _PG_init while the server preloads libraries */
void
exact_shmem_init(void)
{
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request_shmem;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup_shmem;
}

void
exact_shmem_require(void)
{
	if (exact_shared == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_NOT_PRELOADED),
				 errmsg("the workers of exact_databricks do not run in this server"),
				 errdetail("The library is not in shared_preload_libraries."),
				 errhint("Add exact_databricks to shared_preload_libraries in postgresql.conf and restart the server.")));
}

ExactDatabaseSlot *
exact_shmem_database(Oid database)
{
	for (int i = 0; i < EXACT_MAX_DATABASES; i++)
	{
		if (exact_shared->databases[i].database == database && OidIsValid(database))
			return &exact_shared->databases[i];
	}
	return NULL;
}

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

static void
on_transaction_end(XactEvent event, void *arg pg_attribute_unused())
{
	uint32		roles = roles_at_commit;
	bool		check = check_at_commit;
	bool		launcher = launcher_at_commit;

	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	roles_at_commit = 0;
	check_at_commit = false;
	launcher_at_commit = false;
	if (event != XACT_EVENT_COMMIT)
		return;
	if (roles != 0)
		wake_roles(roles, EXACT_WAKE_TURN);
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
exact_check_at_commit(void)
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

LOCKTAG
exact_lock_tag(Oid database, uint32 key, uint16 class_number)
{
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, database, 0, key, class_number);
	return tag;
}

bool
exact_lock_try(const LOCKTAG *tag, LOCKMODE mode)
{
	return LockAcquire(tag, mode, true, true) != LOCKACQUIRE_NOT_AVAIL;
}

void
exact_lock_release(const LOCKTAG *tag, LOCKMODE mode)
{
	LockRelease(tag, mode, true);
}

bool
exact_database_closing(Oid database)
{
	LOCKTAG		closing = exact_lock_tag(database, 0, EXACT_LOCK_CLOSING);

	if (!exact_lock_try(&closing, ShareLock))
		return true;
	exact_lock_release(&closing, ShareLock);
	return false;
}
