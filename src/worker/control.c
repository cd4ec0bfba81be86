/*
 * control.c - SQL functions by which backends see, wake and steer the workers of their database.
 *
 * All work without preloading: they then say that nothing runs.
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "base/compat.h"
#include "worker/lock.h"
#include "worker/role.h"
#include "worker/shmem.h"
#include "worker/wake.h"

PG_FUNCTION_INFO_V1(exact__version_library);
PG_FUNCTION_INFO_V1(exact__wake);
PG_FUNCTION_INFO_V1(exact__created);
PG_FUNCTION_INFO_V1(exact__quiesce);
PG_FUNCTION_INFO_V1(exact__lock_installation);
PG_FUNCTION_INFO_V1(exact__restoring);
PG_FUNCTION_INFO_V1(exact__workers);
PG_FUNCTION_INFO_V1(exact__restart_workers);

/*
 * exact._version_library() → text: version of the library that this server has loaded; null when it
 * is not preloaded.
 */
Datum
exact__version_library(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	if (exact_shared == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(EXACT_VERSION));
}

/* exact._wake(worker text): wakes that worker of this database when the transaction commits. */
Datum
exact__wake(PG_FUNCTION_ARGS)
{
	char	   *worker = text_to_cstring(PG_GETARG_TEXT_PP(0));
	ExactRole	role;

	if (!exact_role_by_name(worker, &role))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("there is no worker \"%s\"", worker),
				 errhint("Workers are fetcher, loader and listener.")));
	exact_wake_at_commit(role);
	PG_RETURN_VOID();
}

/*
 * exact._created(): last call of the install script: at commit the launcher looks into this
 * database.
 */
Datum
exact__created(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	exact_wake_check_at_commit();
	PG_RETURN_VOID();
}

/*
 * exact._quiesce(): first call of an update script: no unit of a worker runs from here to the end
 * of the transaction; the workers then look at the extension again.
 */
Datum
exact__quiesce(PG_FUNCTION_ARGS)
{
	LOCKTAG		tag = exact_lock_tag(MyDatabaseId, 0, EXACT_LOCK_QUIESCE);

	(void) fcinfo;
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
	exact_wake_check_at_commit();
	PG_RETURN_VOID();
}

/*
 * exact._lock_installation(): until the transaction ends. Raises 55P03 with the holder's process id
 * when lock_timeout ends the wait.
 */
Datum
exact__lock_installation(PG_FUNCTION_ARGS)
{
	LOCKTAG		tag = exact_lock_tag(MyDatabaseId, 0, EXACT_LOCK_INSTALLATION);
	int			holder;

	(void) fcinfo;
	if (LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL)
		PG_RETURN_VOID();
	holder = exact_lock_holder(&tag, ExclusiveLock);
	PG_TRY();
	{
		(void) LockAcquire(&tag, ExclusiveLock, false, false);
	}
	PG_CATCH();
	{
		if (geterrcode() != ERRCODE_LOCK_NOT_AVAILABLE)
			PG_RE_THROW();
		FlushErrorState();
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("process %d holds the installation of this hub", holder),
				 errdetail("It restores a dump into this database, or binds the installation, in a "
						   "transaction that is open."),
				 errhint("SELECT * FROM pg_stat_activity WHERE pid = %d;", holder)));
	}
	PG_END_TRY();
	PG_RETURN_VOID();
}

/* Has this session itself turned the setting off? What a database or a role has does not count. */
static bool
turned_off(const struct config_generic *setting)
{
	return setting != NULL && setting->source == PGC_S_SESSION && !exact_guc_is_on(setting);
}

/*
 * exact._restoring() → boolean: is this the session of a superuser, no worker, that has said the
 * two things that every dump begins with?
 */
Datum
exact__restoring(PG_FUNCTION_ARGS)
{
	static const struct config_generic *check_bodies = NULL;
	static const struct config_generic *row_security_on = NULL;

	(void) fcinfo;
	if (check_bodies == NULL)
	{
		check_bodies = exact_guc_find("check_function_bodies");
		row_security_on = exact_guc_find("row_security");
	}
	PG_RETURN_BOOL(MyBackendType == B_BACKEND && turned_off(check_bodies) &&
				   turned_off(row_security_on) && superuser_arg(GetSessionUserId()));
}

static const char *
state_name(const ExactWorkerSlot *worker)
{
	switch (worker->state)
	{
		case EXACT_WORKER_STOPPED:
			return "stopped";
		case EXACT_WORKER_STARTING:
			return "starting";
		case EXACT_WORKER_RUNNING:
			return "running";
		case EXACT_WORKER_IDLE:
			return "idle";
	}
	return "unknown";
}

static Datum
text_or_null(const char *text, bool *isnull)
{
	*isnull = text[0] == '\0';
	return *isnull ? (Datum) 0 : CStringGetTextDatum(text);
}

static void
put_worker(ReturnSetInfo *result, const char *role, const char *db, const ExactWorkerSlot *worker)
{
	Datum		values[9];
	bool		nulls[9] = {false};

	values[0] = CStringGetTextDatum(role);
	values[1] = text_or_null(db, &nulls[1]);
	values[2] = Int32GetDatum(worker->pid);
	nulls[2] = worker->pid == 0;
	values[3] = CStringGetTextDatum(state_name(worker));
	values[4] = TimestampTzGetDatum(worker->started_at);
	nulls[4] = worker->pid == 0 || worker->started_at == 0;
	values[5] = Int32GetDatum(worker->restarts);
	values[6] = text_or_null(worker->last_error, &nulls[6]);
	values[7] = text_or_null(worker->reason, &nulls[7]);
	values[8] = text_or_null(worker->place, &nulls[8]);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * exact._workers() → setof (role, database, pid, state, started_at, restarts, last_error, reason,
 * listens_at)
 *
 * The launcher and the workers of this database; no row when the library is not preloaded.
 */
Datum
exact__workers(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ExactWorkerSlot launcher;
	ExactWorkerSlot workers[EXACT_NROLES];
	ExactDatabaseSlot *db;
	NameData	name;
	bool		known;

	InitMaterializedSRF(fcinfo, 0);
	if (exact_shared == NULL)
		PG_RETURN_NULL();

	memset(&launcher, 0, sizeof(launcher));
	memset(&name, 0, sizeof(name));
	LWLockAcquire(exact_shared_lock, LW_SHARED);
	launcher.pid = exact_shared->launcher_pid;
	launcher.started_at = exact_shared->launcher_started_at;
	db = exact_shmem_database(MyDatabaseId);
	known = db != NULL;
	if (known)
	{
		name = db->name;
		memcpy(workers, db->workers, sizeof(workers));
	}
	LWLockRelease(exact_shared_lock);

	launcher.state = launcher.pid ? EXACT_WORKER_RUNNING : EXACT_WORKER_STOPPED;
	put_worker(result, "launcher", "", &launcher);
	for (int r = 0; known && r < EXACT_NROLES; r++)
	{
		if (workers[r].generation != 0)
			put_worker(result, exact_role_name((ExactRole) r), NameStr(name), &workers[r]);
	}
	PG_RETURN_NULL();
}

/*
 * exact._restart_workers() → text: ends this database's workers; the launcher starts them with the
 * settings as they are then.
 */
Datum
exact__restart_workers(PG_FUNCTION_ARGS)
{
	ExactDatabaseSlot *db;
	int			n = 0;

	(void) fcinfo;
	exact_shmem_require();
	LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
	db = exact_shmem_database(MyDatabaseId);
	for (int r = 0; db != NULL && r < EXACT_NROLES; r++)
	{
		db->workers[r].resting = false;
		if (db->workers[r].pid == 0)
			continue;
		db->workers[r].ended_clean = true;
		kill(db->workers[r].pid, SIGTERM);
		n++;
	}
	LWLockRelease(exact_shared_lock);
	exact_wake_launcher(MyDatabaseId);
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%d workers restart", n)));
}
