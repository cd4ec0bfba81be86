/*
 * shmem.c - shared memory of the workers and backends of a cluster.
 *
 * Owns ExactShared. Called by everything that runs in a server process; knows nothing of what
 * workers do.
 */
#include "postgres.h"

#include <time.h>

#include "mb/pg_wchar.h"
#include "storage/ipc.h"
#include "storage/shmem.h"

#include "base/compat.h"
#include "base/errors.h"
#include "worker/role.h"
#include "worker/shmem.h"

#define CRASH_MEMORY_S 600		/* crashes further apart are not a series */

ExactShared *exact_shared = NULL;
LWLock	   *exact_shared_lock = NULL;

static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;

void
exact_shmem_copy_reason(char *dest, const char *text)
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
 * Makes the memory, empty. The postmaster makes it anew after a crash; its own variables survive
 * that, so the length of a series of crashes is known to it and handed to the launcher, which then
 * starts workers later.
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

		if (crashes >= 0 && now - last_init < CRASH_MEMORY_S)
			crashes++;
		else
			crashes = crashes >= 0 ? 1 : 0;
		last_init = now;
		memset(exact_shared, 0, sizeof(ExactShared));
		exact_shared->crashes = crashes;
		for (int i = 0; i < EXACT_MAX_DATABASES; i++)
		{
			for (int c = 0; c < EXACT_NCOUNTERS; c++)
				pg_atomic_init_u64(&exact_shared->databases[i].counters.counts[c], 0);
			for (int r = 0; r < EXACT_NROLES; r++)
				pg_atomic_init_u32(&exact_shared->databases[i].workers[r].wake, 0);
		}
	}
	LWLockRelease(AddinShmemInitLock);
}

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
				 errhint("Add exact_databricks to shared_preload_libraries in postgresql.conf"
						 " and restart the server.")));
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

/*
 * Only the generation of a slot outlives the database that had it: an old worker must not attach.
 */
static void
clear_slot(ExactDatabaseSlot *slot)
{
	for (int r = 0; r < EXACT_NROLES; r++)
	{
		uint64		generation = slot->workers[r].generation;

		memset(&slot->workers[r], 0, offsetof(ExactWorkerSlot, wake));
		slot->workers[r].generation = generation;
		slot->workers[r].nquestions = 0;
		pg_atomic_write_u32(&slot->workers[r].wake, 0);
	}
	for (int c = 0; c < EXACT_NCOUNTERS; c++)
		pg_atomic_write_u64(&slot->counters.counts[c], 0);
}

ExactDatabaseSlot *
exact_shmem_claim(Oid database, bool *fresh)
{
	ExactDatabaseSlot *slot = exact_shmem_database(database);

	*fresh = false;
	for (int i = 0; slot == NULL && i < EXACT_MAX_DATABASES; i++)
	{
		if (OidIsValid(exact_shared->databases[i].database))
			continue;
		slot = &exact_shared->databases[i];
		slot->database = database;
		clear_slot(slot);
		*fresh = true;
	}
	return slot;
}
